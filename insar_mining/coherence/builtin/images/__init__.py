"""Images of one date on the geometry of a stack: bursts, resampling and the cache of dates."""
