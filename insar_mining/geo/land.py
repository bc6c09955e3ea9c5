"""Which cells of one degree hold land, by a map that comes with the package.

The map was made of the GLOBE elevation model's land mask of 30 arc-seconds (NOAA, public domain;
``scripts/make_land_cells.py``).  It tells whether a cell that an archive of elevation tiles lacks can be sea.
"""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
import numpy.typing as npt

SEA, UNCERTAIN, LAND = 0, 1, 2
"""No land within 3 arc-minutes; little land inside or near by; at least 100 cells of 30 arc-seconds of land."""


def land_in(lon: int, lat: int) -> int:
    """Return what the cell with a south-west corner holds: `SEA`, `UNCERTAIN` or `LAND`.

    Parameters
    ----------
    lon, lat : int
        Whole degrees; the longitude may differ by turns.
    """
    return int(_cells()[89 - lat, (lon + 180) % 360])


@functools.cache
def _cells() -> npt.NDArray[np.uint8]:
    import rasterio

    with (
        resources.as_file(resources.files("insar_mining") / "data" / "land_cells.tif") as path,
        rasterio.open(path) as file,
    ):
        return np.asarray(file.read(1))
