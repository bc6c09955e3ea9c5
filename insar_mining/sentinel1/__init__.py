"""What a Sentinel-1 product says: annotation, orbit, bursts, ramps and pixels."""
