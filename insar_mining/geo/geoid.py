"""Height of the geoid above the ellipsoid: EGM96 at 15 arc-minutes, shipped with the package."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import rasterio

from insar_mining.arrays import FloatArray

NODE_SPACING_DEG = 0.25
SNAP_NODES = 1e-6


def geoid_undulation_m(longitude_deg: npt.ArrayLike, latitude_deg: npt.ArrayLike) -> FloatArray:
    """Return the height of the EGM96 geoid above the WGS 84 ellipsoid, metres.

    Bilinear between the nodes of the 15' grid (NGA; Lemoine et al. 1998,
    NASA/TP-1998-206861), periodic in longitude.

    Parameters
    ----------
    longitude_deg, latitude_deg : array_like
        Broadcast against each other; any longitude, latitudes -90..90.

    Returns
    -------
    ndarray
        -107..86 m; NaN where a coordinate is NaN or the latitude beyond 90 degrees.

    Examples
    --------
    >>> geoid_undulation_m([0.0, 360.0], 0.0)
    array([17.16, 17.16])
    """
    longitude = np.asarray(longitude_deg, dtype=np.float64)
    latitude = np.asarray(latitude_deg, dtype=np.float64)
    column = np.mod(longitude + 180.0, 360.0) / NODE_SPACING_DEG
    return bilinear(_grid(), (90.0 - latitude) / NODE_SPACING_DEG, column)


@lru_cache(maxsize=1)
def _grid() -> npt.NDArray[np.float32]:
    """Read nodes from 90 to -90 and -180 to +180 degrees (the seam twice), shape (721, 1441), read-only."""
    with (
        resources.as_file(resources.files("insar_mining") / "data" / "egm96_15.tif") as path,
        rasterio.open(path) as file,
    ):
        nodes = file.read(1)
    closed = np.hstack([nodes, nodes[:, :1]])
    closed.flags.writeable = False
    return closed


def bilinear(values: npt.NDArray[np.floating], row: npt.ArrayLike, column: npt.ArrayLike) -> FloatArray:
    """Interpolate a grid at fractional rows and columns, counted from the centre of the first node.

    Only nodes of non-zero weight count, so that a node beside a void keeps its value;
    positions within a millionth of a node are taken as that node.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
    row, column : array_like
        Broadcast against each other.

    Returns
    -------
    ndarray
        NaN outside of ``0..rows - 1`` and ``0..columns - 1`` and where a node is NaN.
    """
    row, column = np.broadcast_arrays(_snapped(row), _snapped(column))
    inside = (row >= 0) & (row <= values.shape[0] - 1) & (column >= 0) & (column <= values.shape[1] - 1)
    row, column = np.where(inside, row, 0.0), np.where(inside, column, 0.0)
    top, left = row.astype(np.intp), column.astype(np.intp)
    down, right = row - top, column - left
    bottom, east = top + (down > 0), left + (right > 0)
    upper = values[top, left] * (1 - right) + values[top, east] * right
    lower = values[bottom, left] * (1 - right) + values[bottom, east] * right
    return np.where(inside, upper * (1 - down) + lower * down, np.nan)


def _snapped(position: npt.ArrayLike) -> FloatArray:
    position = np.asarray(position, dtype=np.float64)
    nearest = np.round(position)
    return np.where(np.abs(position - nearest) < SNAP_NODES, nearest, position)
