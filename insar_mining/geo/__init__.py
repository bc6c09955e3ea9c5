"""Ground: mines, vector files, grids, rasters, elevation models and the geoid."""
