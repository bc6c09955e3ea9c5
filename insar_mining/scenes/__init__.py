"""Scenes over a mine: catalogue search, tables of records, tracks and pairs."""
