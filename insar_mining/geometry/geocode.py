"""Locate the cells of a map in a burst, and bring the values of the burst back to the map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from pyproj import Transformer

from insar_mining.arrays import FloatArray
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.coregister import (
    BurstFrame,
    Region,
    cubic_at,
    cubic_value,
    cubics_in_height,
    node_heights_m,
)
from insar_mining.geometry.range_doppler import (
    DemArrays,
    arc_arrays,
    right_of_track,
    terrain_height,
    to_cartesian,
    zero_doppler,
)
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import SubSwath

# Between lattice points slant range bends by d^2 / 8 R: at most 1 cm over 160 m
LATTICE_M = 160.0


@dataclass(frozen=True, eq=False)
class Look:
    """Hold the zero-Doppler time and slant range of each cell of the map in the reference, NaN if there are none."""

    time_s: FloatArray
    slant_range_m: FloatArray


def look_up(swath: SubSwath, grid: MapGrid, dem: DemArrays) -> Look:
    """Compute zero-Doppler time and slant range of every cell of a grid in a sub-swath.

    Both are as smooth as the orbit but for the height.  So they are solved exactly on a lattice of
    about 160 m for four fixed heights, kept as cubics in height, and evaluated with the height of
    each cell, bilinear between lattice points: within 1 cm of range and 1e-8 s of the exact solution.
    The lattice belongs to the projection and not to the grid, so a cell has the same place in every
    grid that holds it.

    Returns
    -------
    Look
        NaN where the terrain has no height, and where a cell lies left of the track or more than an
        arc's length before or behind it.
    """
    cells = max(1, math.floor(LATTICE_M / grid.spacing_m))
    side = cells * grid.spacing_m
    column, row = grid.x / side, grid.y / side
    across = np.arange(math.floor(column[0]), math.floor(column[-1]) + 2)
    down = np.arange(math.floor(row[-1]), math.floor(row[0]) + 2)
    x, y = np.meshgrid(across * side, down * side)
    lon, lat = Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(x, y)
    lon = dem.west_deg + np.mod(lon - dem.west_deg, 360.0)  # no jump where the map crosses the antimeridian
    coefficients = cubics_in_height(_solve(arc_arrays(swath.arc()), lon, lat, node_heights_m()))
    return Look(*_between(lon, lat, coefficients, row - down[0], column - across[0], dem))


@njit(parallel=True)
def _solve(arc, lon_deg, lat_deg, height_m):  # type: ignore[no-untyped-def]
    """Solve times and ranges of lattice points at the node heights, shape (2, rows, columns, heights)."""
    out = np.full((2, *lon_deg.shape, height_m.size), np.nan)
    for i in numba.prange(lon_deg.shape[0]):
        guess = arc.centre_s
        for j in range(lon_deg.shape[1]):
            for k in range(height_m.size):
                x, y, z = to_cartesian(lon_deg[i, j], lat_deg[i, j], height_m[k])
                t, distance = zero_doppler(arc, x, y, z, guess)
                if abs(t - arc.centre_s) < 2 * arc.half_s and right_of_track(arc, t, x, y, z):
                    out[0, i, j, k] = t
                    out[1, i, j, k] = distance
                    guess = t
    return out


@njit(parallel=True)
def _between(lon, lat, coefficients, row, column, dem):  # type: ignore[no-untyped-def]
    """Interpolate times and ranges of the cells at fractional rows and columns of the lattice."""
    time = np.empty((row.size, column.size))
    slant_range = np.empty((row.size, column.size))
    for i in numba.prange(row.size):
        k = int(row[i])
        v = row[i] - k
        # one row of cells lies between two of the lattice: what is left is to go along it
        x, y = (1 - v) * lon[k] + v * lon[k + 1], (1 - v) * lat[k] + v * lat[k + 1]
        times = (1 - v) * coefficients[0, k] + v * coefficients[0, k + 1]
        ranges = (1 - v) * coefficients[1, k] + v * coefficients[1, k + 1]
        for j in range(column.size):
            m = min(int(column[j]), x.size - 2)
            u = column[j] - m
            h = terrain_height(dem, (1 - u) * x[m] + u * x[m + 1], (1 - u) * y[m] + u * y[m + 1])
            time[i, j] = cubic_value(cubic_at(times, column[j]), h)
            slant_range[i, j] = cubic_value(cubic_at(ranges, column[j]), h)
    return time, slant_range


class Place(NamedTuple):
    """Convert times and ranges to fractional lines and samples of a piece of a burst."""

    first_time_s: float
    line_interval_s: float
    first_range_m: float
    range_spacing_m: float
    down: float
    right: float
    line_start: float
    sample_start: float

    @classmethod
    def on(cls, region: Region, frame: BurstFrame, offset: tuple[float, float]) -> Place:
        """Return the place of positions on a region of a burst.

        Parameters
        ----------
        offset : (float, float)
            Lines and samples by which a pixel's value lies beyond the pixel: the middle of its window.
        """
        return cls(
            frame.first_time_s,
            frame.line_interval_s,
            frame.first_range_m,
            frame.range_spacing_m,
            *offset,
            float(region.line_start),
            float(region.sample_start),
        )


@njit(inline="always")
def _line_and_sample(place, time_s, slant_range_m):  # type: ignore[no-untyped-def]
    """Compute the fractional position in the piece; its start is subtracted last, so that pieces do not matter."""
    line = (time_s - place.first_time_s) / place.line_interval_s - place.down
    sample = (slant_range_m - place.first_range_m) / place.range_spacing_m - place.right
    return line - place.line_start, sample - place.sample_start


@njit(parallel=True)
def bilinear(image, look_time_s, look_range_m, place, chosen, top, left, out):  # type: ignore[no-untyped-def]
    """Interpolate an image bilinearly at the fractional positions of the chosen cells of a map.

    Parameters
    ----------
    image : ndarray of float32, shape (lines, samples)
        Pixels of a piece of a burst.
    look_time_s, look_range_m : ndarray, shape (rows, columns)
        Where each cell of the map lies.
    place : Place
        Of the image.
    chosen : ndarray of bool
        Cells to fill, of the part of the map that starts at row `top`, column `left`.
    top, left : int
    out : ndarray of float32, shape (rows, columns)
        Written in place.  A cell becomes NaN where any of the pixels that bear weight is NaN
        or lies outside.
    """
    lines, samples = image.shape
    for r in numba.prange(chosen.shape[0]):
        for c in range(chosen.shape[1]):
            if not chosen[r, c]:
                continue
            y, x = _line_and_sample(place, look_time_s[top + r, left + c], look_range_m[top + r, left + c])
            if not (y >= 0 and x >= 0 and y <= lines - 1 and x <= samples - 1):
                out[top + r, left + c] = np.nan
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
            out[top + r, left + c] = total


@njit(parallel=True)
def nearest(image, look_time_s, look_range_m, place, chosen, top, left, out):  # type: ignore[no-untyped-def]
    """Take the nearest pixel for the chosen cells of a map: for values that must not be averaged.

    Parameters are those of :func:`bilinear`.
    """
    lines, samples = image.shape
    for r in numba.prange(chosen.shape[0]):
        for c in range(chosen.shape[1]):
            if not chosen[r, c]:
                continue
            line, sample = _line_and_sample(place, look_time_s[top + r, left + c], look_range_m[top + r, left + c])
            y = math.floor(line + 0.5)
            x = math.floor(sample + 0.5)
            if y >= 0 and x >= 0 and y < lines and x < samples:
                out[top + r, left + c] = image[y, x]
            else:
                out[top + r, left + c] = np.nan
