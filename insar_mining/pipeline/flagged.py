"""Read what the band ``mask`` of this package's maps flags: layover, shadow, low signal, water."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from rasterio.errors import RasterioError

from insar_mining.activity import read_layer
from insar_mining.doors import LAYER_FORMATS, open_raster
from insar_mining.errors import PartialCoverageWarning, RasterError
from insar_mining.options.activity import Flag

# of the band mask: a cell's own layover or shadow, and that cast on it by others
BITS: Mapping[Flag, int] = {"layover": 1 + 2, "shadow": 4 + 8, "low-signal": 16, "water": 32}


def flagged(coh: xr.DataArray, files: Mapping[int, Path], flags: Sequence[Flag]) -> xr.DataArray:
    """Select cells that half or more of the pairs of a year flag which say anything of them, (year, y, x).

    Each year by its own pairs, so that no year's area depends on which others are shown. `files` are by the
    number of the pair.
    """
    bits = sum({BITS[flag] for flag in flags})
    years = np.unique(coh["year"].values)
    said, count = (np.zeros((years.size, *coh.shape[1:]), np.int64) for _ in range(2))
    year_of_pair = np.searchsorted(years, coh["year"].values)
    for number, path in files.items():
        year = year_of_pair[number]
        with warnings.catch_warnings():
            # the maps need not reach over all of the mine; a warning was given when they were read
            warnings.simplefilter("ignore", PartialCoverageWarning)
            layer = read_layer(path, coh, band=_band_of_flags(path), categories=True)
        known = np.isfinite(layer.values)
        said[year] += known
        count[year] += known & (np.where(known, layer.values, 0).astype(np.int64) & bits > 0)
    return xr.DataArray((count > 0) & (2 * count >= said), dims=("year", "y", "x"), coords={"year": years})


def _band_of_flags(path: Path) -> int:
    """Return the number of the band ``mask``."""
    names = _band_names(path)
    if "mask" not in names:
        raise RasterError(
            f"{path}: has no band 'mask' for activity.mask_flags. Make the maps with coherence.bands mask, or give "
            "activity.masks."
        )
    return names.index("mask") + 1


def has_flags(path: Path) -> bool:
    """Return whether a map has a band ``mask``."""
    return "mask" in _band_names(path)


def _band_names(path: Path) -> list[str | None]:
    """Return the names of the bands of a map.

    Raises
    ------
    RasterError
    """
    try:
        with open_raster(path, LAYER_FORMATS) as source:
            return list(source.descriptions)
    except RasterioError as error:
        raise RasterError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
