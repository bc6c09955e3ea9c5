"""Geometry under both engines: range-Doppler solutions, coregistration, geocoding and viewing angles."""
