"""Decide activity against control ground around the mine: the successor of the default method, as a preview."""
