"""Ground whose cover is known from elsewhere: what coherence alone cannot tell of ground that is never coherent."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import xarray as xr

from insar_mining.arrays import BoolArray, ByteArray
from insar_mining.geo.cells import on_cells_of


class Cover(IntEnum):
    """Hold the known cover of a cell from an image, a mask or a map of land cover."""

    UNKNOWN = 0
    NATURAL = 1
    BARE = 2


class Evidence(NamedTuple):
    """Hold the cover by one source, bool (year, y, x) or (y, x) for all years.

    Attributes
    ----------
    natural : ndarray of bool
        Water, forest, wetland: never coherent by nature.
    bare : ndarray of bool
        Ground without water and plants, which is never coherent only where it is worked.
    """

    natural: BoolArray
    bare: BoolArray


def cover_from(coh: xr.DataArray, sources: Mapping[str, Evidence]) -> xr.DataArray | None:
    """Combine what several sources say of the cover of the cells of a cube; None without any.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    sources : mapping of str to Evidence

    Returns
    -------
    DataArray (year, y, x) of uint8
        Of `Cover`. Where sources contradict each other, the cover stays unknown.
    """
    if not sources:
        return None
    years = np.unique(coh["year"].values)
    shape = years.size, coh.sizes["y"], coh.sizes["x"]
    natural, bare = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for evidence in sources.values():
        natural |= evidence.natural
        bare |= evidence.bare
    values = np.where(natural & ~bare, np.uint8(Cover.NATURAL), np.where(bare & ~natural, np.uint8(Cover.BARE), 0))
    return on_cells_of(coh, ("year", "y", "x"), values.astype(np.uint8), "cover", {}, {"year": years})


def cover_in(cover: xr.DataArray, year: int) -> ByteArray:
    """Return the cover of a year, (y, x) of `Cover`."""
    return np.asarray(cover.sel(year=year).values, np.uint8)
