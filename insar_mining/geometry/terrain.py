"""The ground under a map: its heights, and where a sub-swath sees it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insar_mining.arrays import FloatArray
from insar_mining.geo.elevation import Dem, read_dem
from insar_mining.geo.elevation_window import Heights
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.range_doppler import DemArrays, arc_arrays, radar_coordinates
from insar_mining.geometry.threads import threads
from insar_mining.sentinel1.annotation import SubSwath

DEM_MARGIN_DEG = 0.02
PROBE_POINTS = 65


@dataclass(frozen=True, eq=False)
class GridHeights:
    """The elevation model around a grid.

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
    state = path.stat() if path.exists() else None
    stamp = None if state is None else (state.st_mtime_ns, state.st_size)
    return _heights_for(grid, path, kind, stamp)


@functools.lru_cache(maxsize=1)
def _heights_for(grid: MapGrid, path: Path, kind: Heights, stamp: tuple[int, int] | None) -> GridHeights:
    dem = read_dem(path, grid.bounds_lonlat(), margin_deg=DEM_MARGIN_DEG, heights=kind)
    dem.height_m.setflags(write=False)
    rows = np.unique(np.linspace(0, grid.height - 1, PROBE_POINTS).round().astype(int))
    columns = np.unique(np.linspace(0, grid.width - 1, PROBE_POINTS).round().astype(int))
    lonlat = [grid.lonlat(slice(row, row + 1)) for row in rows]
    lon, lat = (np.concatenate([pair[which][:, columns] for pair in lonlat]) for which in (0, 1))
    lon += 360.0 * np.round((dem.west_deg - lon) / 360.0)  # where the model's longitudes go on beyond 180
    return GridHeights(dem, dem.identity(), lon, lat)


def dem_arrays(dem: Dem) -> DemArrays:
    """Return an elevation model as kernels take it."""
    height = np.ascontiguousarray(dem.height_m, dtype=np.float32)
    return DemArrays(height, dem.west_deg, dem.north_deg, dem.step_lon_deg, dem.step_lat_deg)


def probe(swath: SubSwath, heights: GridHeights) -> tuple[FloatArray, FloatArray]:
    """Zero-Doppler times and slant ranges of the probes of a grid.

    Cells without a height are left out: they say nothing of what the product sees.
    """
    arc = swath.arc()
    with threads():
        time, slant_range, height = radar_coordinates(
            arc_arrays(arc), dem_arrays(heights.dem), heights.probe_lon_deg, heights.probe_lat_deg, arc.centre_s
        )
    known = np.isfinite(height)
    return time[known], slant_range[known]
