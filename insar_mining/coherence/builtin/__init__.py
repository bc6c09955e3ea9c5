"""The built-in engine: numpy and numba, nothing else.

The steps in the order of the data: `geometry` (orbit, ellipsoid, terrain) ->
`coregister` (where each pixel of the reference lies in the secondary) -> `resample`
-> `estimate` (coherence) -> `geocode` (onto the map) -> `engine` (the whole job).
"""
