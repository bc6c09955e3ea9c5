"""The coherence cube: rasters in, dates, blocks, layers and the Zarr store."""
