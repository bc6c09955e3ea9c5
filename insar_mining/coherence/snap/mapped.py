"""SNAP's map as the plan wants it: on the common grid, and NaN where geometry says that there are no data.

In SNAP's products 0 stands for "no data" and for "no coherence", and windows that
reach over the edge of the data hold too small a value instead of none.  So which cells
count is not read from SNAP's numbers: a cell counts where the windows around it lie
inside the valid samples of both dates.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from insar_mining.arrays import BoolArray, Float32Array
from insar_mining.coherence.plan.bursts import burst_cuts, cut_of_each
from insar_mining.coherence.plan.model import CoherencePlan, Window
from insar_mining.coherence.snap.dimap import Band, Dimap
from insar_mining.errors import PartialCoverageWarning, SnapOutputError
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.geocode import Look, look_up
from insar_mining.geometry.terrain import dem_arrays
from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S, SubSwath

ON_GRID_M = 1e-3
MANY_LOST, MOSTLY_LOST = 0.01, 0.5


def on_grid(product: Dimap, band: Band, grid: MapGrid) -> tuple[Float32Array, BoolArray]:
    """Return the part of a mapped band that a grid asks for, and which cells the product reaches.

    Raises
    ------
    SnapOutputError
        The product does not lie on the grid's cells.
    """
    t = product.transform
    if t is None or product.crs_wkt is None:
        raise SnapOutputError(f"{product.path}: is not on a map; SNAP's terrain correction did not run")
    _check_crs(product, grid)
    column, row = (t.c - grid.west_m) / grid.spacing_m, (grid.north_m - t.f) / grid.spacing_m
    first_column, first_row = round(column), round(row)
    off = max(abs(column - first_column), abs(row - first_row), abs(t.a / grid.spacing_m - 1) * product.width,
              abs(t.e / grid.spacing_m + 1) * product.height, abs(t.b), abs(t.d)) * grid.spacing_m  # fmt: skip
    if not off < ON_GRID_M:
        raise SnapOutputError(
            f"{product.path}: its cells ({t.a:g} x {t.e:g} m from {t.c}, {t.f}) are not those of the common grid "
            f"({grid.spacing_m:g} m, edges on multiples of it): off by {off:g} m; the template terrain-correction "
            "must align to the standard grid with its origin half a cell off"
        )
    values = np.zeros(grid.shape, dtype=np.float32)
    reached = np.zeros(grid.shape, dtype=np.bool_)
    rows = slice(max(first_row, 0), min(first_row + band.height, grid.height))
    columns = slice(max(first_column, 0), min(first_column + band.width, grid.width))
    if rows.start < rows.stop and columns.start < columns.stop:
        pixels = band.pixels()
        values[rows, columns] = pixels[
            rows.start - first_row : rows.stop - first_row, columns.start - first_column : columns.stop - first_column
        ]
        reached[rows, columns] = True
    return values, reached


def _check_crs(product: Dimap, grid: MapGrid) -> None:
    """Compare two coordinate systems by what they do: names and codes differ between libraries."""
    try:
        to_lonlat = Transformer.from_crs(CRS.from_wkt(product.crs_wkt or ""), 4326, always_xy=True)
    except CRSError as error:
        raise SnapOutputError(f"{product.path}: its coordinate system cannot be read ({error})") from error
    west, south, east, north = grid.bounds
    back = Transformer.from_crs(4326, grid.epsg, always_xy=True)
    for x, y in ((west, south), (east, north)):
        again = back.transform(*to_lonlat.transform(x, y))
        if not max(abs(again[0] - x), abs(again[1] - y)) < ON_GRID_M:
            raise SnapOutputError(
                f"{product.path}: its coordinate system is not {grid.crs}, which it was to be mapped to"
            )


def masked(values: Float32Array, reached: BoolArray, seen: BoolArray, path: Path) -> Float32Array:
    """Set NaN where geometry says that there are no data, and where SNAP lost them.

    SNAP takes a sample of the secondary with i = q = 0 for no data and writes 0 there; a coherence that is
    estimated is never exactly 0.

    Raises
    ------
    SnapOutputError
        SNAP left out cells that both dates see, lost most of them, or some values are no coherence.

    Warns
    -----
    PartialCoverageWarning
        SNAP lost more than 1 % of the cells.
    """
    missing = seen & ~reached
    if missing.any():
        raise SnapOutputError(
            f"{path}: does not reach {np.count_nonzero(missing)} of {np.count_nonzero(seen)} cells that both dates "
            "see. Run SNAP again, and use --engine builtin if it stays so."
        )
    inside = values[seen]
    if inside.size and not (np.isfinite(inside).all() and inside.min() >= 0 and inside.max() <= 1 + 1e-3):
        raise SnapOutputError(f"{path}: values from {inside.min()} to {inside.max()} are no coherence (0..1)")
    lost = float(np.mean(inside == 0)) if inside.size else 0.0
    if lost > MOSTLY_LOST:
        raise SnapOutputError(
            f"{path}: {lost:.0%} of the cells that both dates see are exactly 0; SNAP coregistered no data there. "
            "Check orbits and elevation model, or use --engine builtin"
        )
    if lost > MANY_LOST:
        warnings.warn(
            f"{lost:.1%} of the cells that both dates see are exactly 0 in SNAP's map (samples of the secondary with "
            "i = q = 0 are no data for SNAP); they are NaN. --engine builtin maps them",
            PartialCoverageWarning,
            stacklevel=4,
        )
    return np.where(seen & (values > 0), np.minimum(values, np.float32(1)), np.float32(np.nan)).astype(np.float32)


def seen_cells(plan: CoherencePlan) -> BoolArray:
    """Find the cells of the plan's grid at which both dates have data; shape (height, width)."""
    sides = [date.open() for date in (plan.scenes.reference, plan.scenes.secondary)]
    dem = dem_arrays(plan.heights().dem)
    names = sorted({pair.swath for pair in plan.bursts})
    first, second = ({name: side.sub_swath(name, plan.polarisation) for name in names} for side in sides)
    here, there = (look_up(swaths[names[0]], plan.grid, dem) for swaths in (first, second))
    cuts = burst_cuts(list(first.values()))
    cut = cut_of_each(cuts, here.time_s, here.slant_range_m)
    shift = plan.estimation.window_offset

    seen = np.zeros(plan.grid.shape, dtype=np.bool_)
    for pair in plan.bursts:
        burst = pair.swath, pair.reference_index
        chosen = np.isin(cut, [number for number, c in enumerate(cuts) if (c.swath, c.burst_index) == burst])
        chosen &= _inside(here, first[pair.swath], pair.reference_index, plan.window, shift)
        chosen &= _inside(there, second[pair.swath], pair.secondary_index, plan.window, shift)
        seen |= chosen
    return seen


def _inside(look: Look, swath: SubSwath, burst_index: int, window: Window, shift: tuple[float, float]) -> BoolArray:
    """Check whether the windows of the four pixels around a position lie inside the valid part of a burst."""
    burst = swath.bursts[burst_index]
    line = (look.time_s - burst.azimuth_time_s) / swath.azimuth_time_interval_s - shift[0]
    slant_time = look.slant_range_m * 2 / SPEED_OF_LIGHT_M_S
    sample = (slant_time - swath.slant_range_time_s) * swath.range_sampling_rate_hz - shift[1]
    inside = np.ones(line.shape, dtype=np.bool_)
    for position, size, valid in (
        (line, window.azimuth, burst.valid_lines),
        (sample, window.range, burst.valid_samples),
    ):
        before = (size - 1) // 2
        with np.errstate(invalid="ignore"):
            inside &= np.floor(position) - before >= valid.start
            inside &= np.ceil(position) + (size - 1 - before) <= valid.stop - 1
    return inside
