"""Compute viewing geometry of map cells: line of sight, local incidence, perpendicular baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Float32Array, FloatArray
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.range_doppler import (
    WGS84_A_M,
    WGS84_E2,
    DemArrays,
    arc_arrays,
    orbit_state,
    terrain_height,
    to_cartesian,
    zero_doppler,
)
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import SubSwath

ROWS = 256


class SightLines(NamedTuple):
    """Hold unit vectors from the cells of a map to the satellite, along the map's own axes.

    Attributes
    ----------
    east, north, up : ndarray of float32, shape (height, width)
        Along increasing eastings, increasing northings (of the grid, not of the meridian), and the
        ellipsoid's normal; NaN where the height is not known.
    """

    east: Float32Array
    north: Float32Array
    up: Float32Array


def sight_lines(swath: SubSwath, grid: MapGrid, height_m: npt.ArrayLike) -> SightLines:
    """Compute the line of sight of every cell of a grid at its zero-Doppler time.

    Parameters
    ----------
    swath : SubSwath
        Any sub-swath of the product; its orbit counts.
    grid : MapGrid
    height_m : array_like, shape (height, width)
        Ellipsoidal heights; NaN stays NaN.
    """
    arc = swath.arc()
    out = SightLines(*(np.empty(grid.shape, np.float32) for _ in range(3)))
    heights = np.asarray(height_m, dtype=np.float64)
    for rows, lon, lat, turn in _strips(grid):
        _sight(arc_arrays(arc), lon, lat, heights[rows], turn, arc.centre_s, *(band[rows] for band in out))
    return out


def perpendicular_baseline_map(
    reference: SubSwath, secondary: SubSwath, grid: MapGrid, height_m: npt.ArrayLike
) -> Float32Array:
    """Compute the perpendicular baseline of a pair at every cell of a grid, metres.

    The distance of the two satellites, each at its zero-Doppler time of the cell, along line
    of sight x velocity of the reference: positive upward, the sign of ASF's catalogue
    (as :func:`insar_mining.sentinel1.baselines.perpendicular_baseline_m`).

    Parameters
    ----------
    reference, secondary : SubSwath
    grid : MapGrid
    height_m : array_like, shape (height, width)
        Ellipsoidal heights; NaN stays NaN.

    Returns
    -------
    ndarray of float32, shape (height, width)
    """
    first, second = reference.arc(), secondary.arc()
    out = np.empty(grid.shape, np.float32)
    heights = np.asarray(height_m, dtype=np.float64)
    for rows, lon, lat, _ in _strips(grid):
        _baseline(
            arc_arrays(first), arc_arrays(second), lon, lat, heights[rows], first.centre_s, second.centre_s, out[rows]
        )
    return out


def local_incidence_deg(height_m: npt.ArrayLike, spacing_m: float, sight: SightLines) -> Float32Array:
    """Compute the angle between the line of sight and the normal of the terrain, degrees.

    Parameters
    ----------
    height_m : array_like, shape (height, width)
        Heights of the cells of a map; slopes are central differences between neighbours (to one
        side at the map's rim).
    spacing_m : float
    sight : SightLines

    Returns
    -------
    ndarray of float32, shape (height, width)
        0..180; above 90 the ground is turned away (shadow). NaN where a height is missing.
        The angle in space (SNAP's localIncidenceAngle), not the one projected into the
        plane of the ranges.
    """
    east, north = slopes(height_m, spacing_m)
    along = (sight.up - east * sight.east - north * sight.north) / np.sqrt(1 + east**2 + north**2)
    return np.degrees(np.arccos(np.clip(along, -1.0, 1.0))).astype(np.float32)


def local_incidence_map(swath: SubSwath, grid: MapGrid, dem: DemArrays) -> Float32Array:
    """Compute the local incidence angle of the cells of a grid, degrees, from the terrain around it too.

    As :func:`local_incidence_deg`, but with the neighbours of the cells at the grid's rim: a cell has the
    same angle in every grid that holds it.
    """
    wide = padded(grid, 1)
    heights = cell_heights(wide, dem)
    return local_incidence_deg(heights, grid.spacing_m, sight_lines(swath, wide, heights))[1:-1, 1:-1]


def padded(grid: MapGrid, cells: int) -> MapGrid:
    """Return the grid with some cells more on every side."""
    side = cells * grid.spacing_m
    return replace(
        grid, west_m=grid.west_m - side, north_m=grid.north_m + side,
        width=grid.width + 2 * cells, height=grid.height + 2 * cells,
    )  # fmt: skip


def cell_heights(grid: MapGrid, dem: DemArrays) -> FloatArray:
    """Interpolate ellipsoidal heights at the cell centres of a grid; NaN beyond the model."""
    lon, lat = grid.lonlat()
    return np.asarray(_heights(dem, lon, lat))


def slopes(height_m: npt.ArrayLike, spacing_m: float) -> tuple[FloatArray, FloatArray]:
    """Compute the rise of the ground per metre of easting and per metre of northing, each (height, width)."""
    heights = np.asarray(height_m, dtype=np.float64)
    down, right = (
        np.gradient(heights, spacing_m, axis=axis) if heights.shape[axis] > 1 else np.zeros(heights.shape)
        for axis in (0, 1)
    )
    return right, -down


def _strips(grid: MapGrid) -> Iterator[tuple[slice, FloatArray, FloatArray, FloatArray]]:
    """Yield rows of a grid some at a time: longitudes, latitudes, and the angle of the grid's axes to north."""
    # one cell more to the east, for the direction of the last cells' rows
    wider = replace(grid, width=grid.width + 1)
    for start in range(0, grid.height, ROWS):
        rows = slice(start, min(start + ROWS, grid.height))
        lon, lat = wider.lonlat(rows)
        yield rows, lon[:, :-1].copy(), lat[:, :-1].copy(), _turn(lon[:, :-1], lat[:, :-1], lon[:, 1:], lat[:, 1:])


def _turn(lon: FloatArray, lat: FloatArray, lon_east: FloatArray, lat_east: FloatArray) -> FloatArray:
    """Compute the angle from east to the direction of increasing eastings, radians, towards north."""
    sin_lat = np.sin(np.radians(lat))
    root = 1 - WGS84_E2 * sin_lat**2
    prime, meridian = WGS84_A_M / np.sqrt(root), WGS84_A_M * (1 - WGS84_E2) / root**1.5
    east = np.radians((lon_east - lon + 180) % 360 - 180) * prime * np.cos(np.radians(lat))
    north = np.radians(lat_east - lat) * meridian
    return np.asarray(np.arctan2(north, east))


@njit(parallel=True)
def _heights(dem, lon_deg, lat_deg):  # type: ignore[no-untyped-def]
    out = np.empty(lon_deg.shape)
    for i in numba.prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = terrain_height(dem, lon_deg[i, j], lat_deg[i, j])
    return out


@njit(parallel=True)
def _sight(arc, lon_deg, lat_deg, height_m, turn, guess_s, east, north, up):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    rows, columns = lon_deg.shape
    for i in numba.prange(rows):
        guess = guess_s
        for j in range(columns):
            east[i, j] = north[i, j] = up[i, j] = np.nan
            x, y, z = to_cartesian(lon_deg[i, j], lat_deg[i, j], height_m[i, j])
            t, distance = zero_doppler(arc, x, y, z, guess)
            if math.isnan(t):
                continue
            guess = t
            state = orbit_state(arc, t)
            dx, dy, dz = (state[0] - x) / distance, (state[1] - y) / distance, (state[2] - z) / distance
            lon, lat = math.radians(lon_deg[i, j]), math.radians(lat_deg[i, j])
            to_east = -math.sin(lon) * dx + math.cos(lon) * dy
            outward = math.cos(lon) * dx + math.sin(lon) * dy
            to_north = -math.sin(lat) * outward + math.cos(lat) * dz
            c, s = math.cos(turn[i, j]), math.sin(turn[i, j])
            east[i, j] = c * to_east + s * to_north
            north[i, j] = c * to_north - s * to_east
            up[i, j] = math.cos(lat) * outward + math.sin(lat) * dz


@njit(parallel=True)
def _baseline(first, second, lon_deg, lat_deg, height_m, first_guess_s, second_guess_s, out):  # type: ignore[no-untyped-def]
    rows, columns = lon_deg.shape
    for i in numba.prange(rows):
        one, other = first_guess_s, second_guess_s
        for j in range(columns):
            out[i, j] = np.nan
            x, y, z = to_cartesian(lon_deg[i, j], lat_deg[i, j], height_m[i, j])
            t, _ = zero_doppler(first, x, y, z, one)
            u, _ = zero_doppler(second, x, y, z, other)
            if math.isnan(t + u):
                continue
            one, other = t, u
            px, py, pz, vx, vy, vz, _, _, _ = orbit_state(first, t)
            state = orbit_state(second, u)
            sx, sy, sz = x - px, y - py, z - pz
            nx, ny, nz = sy * vz - sz * vy, sz * vx - sx * vz, sx * vy - sy * vx
            size = math.sqrt(nx * nx + ny * ny + nz * nz)
            out[i, j] = ((state[0] - px) * nx + (state[1] - py) * ny + (state[2] - pz) * nz) / size
