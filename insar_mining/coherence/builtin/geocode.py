"""From the pixels of a burst to the cells of the map."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from insar_mining.grid import MapGrid

FloatArray = npt.NDArray[np.float64]

# UTM bends by 2 mm (15 mm at 82 degrees north) over 16 cells of 20 m, and PROJ takes a microsecond for a point
LATTICE_CELLS = 16


def lonlat_of_cells(grid: MapGrid, rows: slice) -> tuple[FloatArray, FloatArray]:
    """Longitudes and latitudes of the cell centres of some rows, degrees, each (rows, width).

    Exact on a lattice of every 16th cell edge of the whole projection, bilinear between:
    within millimetres for cells of 20 m.  The lattice does not belong to the grid, so a cell has
    the same place in every grid that holds it.
    """
    side = LATTICE_CELLS * grid.spacing_m
    column, row = grid.x / side, grid.y[rows] / side
    across = np.arange(math.floor(column[0]), math.floor(column[-1]) + 2)
    down = np.arange(math.floor(row[-1]), math.floor(row[0]) + 2)
    x, y = np.meshgrid(across * side, down * side)
    lon, lat = Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(x, y)
    return _between(lon, row - down[0], column - across[0]), _between(lat, row - down[0], column - across[0])


@numba.njit(cache=True, parallel=True)
def _between(lattice, row, column):  # type: ignore[no-untyped-def]
    """Bilinear values of a lattice at the crossings of fractional rows and columns."""
    out = np.empty((row.size, column.size))
    for i in numba.prange(row.size):
        k = int(row[i])
        v = row[i] - k
        for j in range(column.size):
            m = int(column[j])
            u = column[j] - m
            upper = lattice[k, m] * (1 - u) + lattice[k, m + 1] * u
            lower = lattice[k + 1, m] * (1 - u) + lattice[k + 1, m + 1] * u
            out[i, j] = upper * (1 - v) + lower * v
    return out


@numba.njit(cache=True, parallel=True)
def bilinear(image, line, sample, chosen, out):  # type: ignore[no-untyped-def]
    """Fill the chosen cells of a map from fractional positions in an image.

    Parameters
    ----------
    image : ndarray of float32, shape (lines, samples)
    line, sample : ndarray, shape (rows, columns)
        Position of each cell's centre in `image`.
    chosen : ndarray of bool, shape (rows, columns)
        Cells to fill.
    out : ndarray of float32, shape (rows, columns)
        Written in place.  A cell becomes NaN where any of the pixels that bear weight is NaN
        or lies outside.
    """
    lines, samples = image.shape
    for r in numba.prange(out.shape[0]):
        for c in range(out.shape[1]):
            if not chosen[r, c]:
                continue
            y = line[r, c]
            x = sample[r, c]
            if not (y >= 0 and x >= 0 and y <= lines - 1 and x <= samples - 1):
                out[r, c] = np.nan
                continue
            i = min(math.floor(y), lines - 2)
            j = min(math.floor(x), samples - 2)
            v = y - i
            u = x - j
            total = 0.0
            if (1 - v) * (1 - u) > 0:
                total += (1 - v) * (1 - u) * image[i, j]
            if (1 - v) * u > 0:
                total += (1 - v) * u * image[i, j + 1]
            if v * (1 - u) > 0:
                total += v * (1 - u) * image[i + 1, j]
            if v * u > 0:
                total += v * u * image[i + 1, j + 1]
            out[r, c] = total
