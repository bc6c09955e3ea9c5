"""What comes from outside: scenes and their catalogue, pairs, orbits, elevation models."""
