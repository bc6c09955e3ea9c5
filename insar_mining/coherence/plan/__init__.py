"""Plans of coherence maps: bursts, matching, recipe, stack reference and the product that is written."""
