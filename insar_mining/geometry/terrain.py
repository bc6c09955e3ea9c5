"""The ground under a map: its heights, and where a sub-swath sees it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insar_mining.arrays import Float32Array, FloatArray
from insar_mining.geo.elevation import Dem, model_files, read_dem
from insar_mining.geo.elevation_window import Heights
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.range_doppler import DemArrays, arc_arrays, radar_coordinates
from insar_mining.geometry.threads import threads
from insar_mining.sentinel1.annotation import SubSwath

DEM_MARGIN_DEG = 0.02
PROBE_POINTS = 65


RIM_M = 300.0
"""Distance from the end of an elevation model within which cells may have no value."""

METRES_PER_DEGREE = 111_320.0


@dataclass(frozen=True)
class Rim:
    """Hold what a map lost where its elevation model ends.

    Attributes
    ----------
    share : float
        Cells without a value near the model's end, of all cells of the map, 0..1.
    margin_m : float
        By how much the model reaches beyond the map on its tightest side; negative where it ends inside.
    """

    share: float
    margin_m: float

    def __str__(self) -> str:
        where = f"{self.margin_m:.0f} m beyond" if self.margin_m >= 0 else f"{-self.margin_m:.0f} m inside"
        return (
            f"{self.share:.1%} of the map's cells have no value at its rim, where the elevation model ends {where} it"
        )


@dataclass(frozen=True, eq=False)
class GridHeights:
    """Hold the elevation model around a grid.

    Attributes
    ----------
    dem : Dem
    identity : str
        Hash of its heights.
    probe_lon_deg, probe_lat_deg : ndarray
        At most 65 x 65 cells spread over the whole grid, as a stand-in for all of them.
    """

    dem: Dem
    identity: str
    probe_lon_deg: FloatArray
    probe_lat_deg: FloatArray


def heights_for(grid: MapGrid, path: Path, kind: Heights) -> GridHeights:
    """Read the elevation model around a grid; the last one read is kept, for the next pair of a stack.

    Raises
    ------
    DemError
    """
    states = [one.stat() for one in model_files(path) if one.exists()]
    stamp = tuple((state.st_mtime_ns, state.st_size) for state in states)
    return _heights_for(grid, path, kind, stamp)


@functools.lru_cache(maxsize=1)
def _heights_for(grid: MapGrid, path: Path, kind: Heights, stamp: tuple[tuple[int, int], ...]) -> GridHeights:
    dem = read_dem(path, grid.bounds_lonlat(), margin_deg=DEM_MARGIN_DEG, heights=kind)
    dem.height_m.setflags(write=False)
    rows = np.unique(np.linspace(0, grid.height - 1, PROBE_POINTS).round().astype(int))
    columns = np.unique(np.linspace(0, grid.width - 1, PROBE_POINTS).round().astype(int))
    lonlat = [grid.lonlat(slice(row, row + 1)) for row in rows]
    lon, lat = (np.concatenate([pair[which][:, columns] for pair in lonlat]) for which in (0, 1))
    lon += 360.0 * np.round((dem.west_deg - lon) / 360.0)  # where the model's longitudes go on beyond 180
    return GridHeights(dem, dem.identity(), lon, lat)


def lost_at_rim(values: Float32Array, grid: MapGrid, dem: Dem) -> Rim | None:
    """Return how much of a map has no value because its elevation model ends; None if nothing.

    Parameters
    ----------
    values : ndarray, shape (height, width)
        Of the map, NaN where there is none.
    grid : MapGrid
    dem : Dem

    Notes
    -----
    Counted are cells without a value within `RIM_M` of the model's outermost posts, or beyond them: windows
    and interpolation take heights around a cell, and slopes are seen from aside.
    """
    west, south, east, north = dem.bounds
    left, bottom, right, top = grid.bounds_lonlat()
    turn = 360.0 * round((west + east - left - right) / 720.0)
    lat_m = METRES_PER_DEGREE
    lon_m = METRES_PER_DEGREE * math.cos(math.radians((bottom + top) / 2))
    margin = min(
        (left + turn - west) * lon_m, (east - right - turn) * lon_m, (bottom - south) * lat_m, (north - top) * lat_m
    )
    if margin >= RIM_M:
        return None
    lost = 0
    for row in range(grid.height):
        missing = np.isnan(values[row])
        if missing.any():
            lon, lat = (v[0][missing] for v in grid.lonlat(slice(row, row + 1)))
            lon = lon + 360.0 * np.round((west - lon) / 360.0)
            inside = np.minimum.reduce(
                [(lon - west) * lon_m, (east - lon) * lon_m, (lat - south) * lat_m, (north - lat) * lat_m]
            )
            lost += int((inside < RIM_M).sum())
    return Rim(lost / values.size, margin) if lost else None


def dem_arrays(dem: Dem) -> DemArrays:
    """Return an elevation model as kernels take it."""
    height = np.ascontiguousarray(dem.height_m, dtype=np.float32)
    return DemArrays(height, dem.west_deg, dem.north_deg, dem.step_lon_deg, dem.step_lat_deg)


def probe(swath: SubSwath, heights: GridHeights) -> tuple[FloatArray, FloatArray]:
    """Return the zero-Doppler times and slant ranges of the probes of a grid.

    Cells without a height are left out: they say nothing of what the product sees.
    """
    arc = swath.arc()
    with threads():
        time, slant_range, height = radar_coordinates(
            arc_arrays(arc), dem_arrays(heights.dem), heights.probe_lon_deg, heights.probe_lat_deg, arc.centre_s
        )
    known = np.isfinite(height)
    return time[known], slant_range[known]
