"""The default method: an absolute decision per year and cell."""
