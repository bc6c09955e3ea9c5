"""Steps of the built-in engine that are off by default."""
