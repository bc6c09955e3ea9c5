"""From two Sentinel-1 products to one map of coherence: the plan and its engines."""
