"""How sure an active area is: its interval, what is not in it, and the flags of a year."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage, stats

from insar_mining.activity.cube.blocks import held
from insar_mining.activity.significant.flags import flags_of
from insar_mining.activity.significant.method import YearMethod, year_blocks
from insar_mining.activity.significant.power import smallest_side
from insar_mining.activity.significant.significance import Significance
from insar_mining.activity.significant.states import METHOD_VERSION, State
from insar_mining.activity.significant.year import YearReference
from insar_mining.arrays import BoolArray, FloatArray
from insar_mining.errors import OptionError
from insar_mining.geo.cells import mine_cells

LEVEL = 0.95
# parts of the standard error: of the place of the border (cells), of area low in few pairs, of any area
BORDER_CELLS, FEW_PAIRS_SHARE, AREA_SHARE = 0.085, 0.02, 0.006
FEW_PAIRS = 2
# share of the idle ground that leftover weather may show where no control tells (measured without surroundings)
UNKNOWN_PLACEBO = 0.005
# so many of the smallest squares that can be seen may lie in a mine in which nothing is found
UNSEEN_SQUARES = 3.75
LEAST_CONTRAST = 0.2
# idle ground that a smaller share of the pairs sees is in the upper bound
LEAST_SEEN = 1 / 3
# without control, ground active in few pairs is not certain in a year of fewer pairs than this
ENOUGH_PAIRS = 6
# of nine cells so many partly disturbed ones make a patch, and it may reach as far beyond them as they are averaged
PATCH_CELLS, PARTIAL_REACH = 4, 2
# how far the border is moved for the sensitivity columns
LOOSER, STRICTER = -0.1, 0.1

INTERVAL_COLUMNS = (
    "year",
    "area_m2",
    "area_low_m2",
    "area_high_m2",
    "area_map_m2",
    "area_loose_m2",
    "area_strict_m2",
    "smallest_area_m2",
    "smallest_duty",
    "partial_m2",
    "blind_m2",
    "doubt_m2",
    "weather_only_m2",
    "seen",
    "placebo",
    "flags",
    "method_version",
)


@dataclass(frozen=True, eq=False)
class _Year:
    """Hold the inputs of the interval of a year: its maps, the ground of every cell, its reference."""

    states: np.ndarray
    active: BoolArray
    disturbed: np.ndarray
    seen: FloatArray
    contrast: FloatArray
    weights: FloatArray
    placebo: FloatArray
    reference: YearReference

    def area(self, *states: State) -> float:
        """Sum the ground of all cells of some states, m2."""
        return float(self.weights[np.isin(self.states, [int(state) for state in states])].sum())


def area_intervals(
    coh: xr.DataArray, found: Significance, *, level: float = LEVEL, intervals: bool = True
) -> pd.DataFrame:
    """Return the active area of every year with its interval, the ground that is not in it, and its flags.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        The cube that was decided on.
    found : Significance
    level : float, 0..1
        Confidence of the interval.
    intervals : bool
        False: bounds are NaN.

    Returns
    -------
    DataFrame
        One row per year: ``area_m2``; ``area_low_m2`` and ``area_high_m2``; ``area_map_m2`` (the same as ``area_m2``);
        ``area_loose_m2`` and ``area_strict_m2``, mapped with the border a tenth further out or in;
        ``smallest_area_m2``, the smallest square that is found when it is fully disturbed in a single pair (NaN
        without any), ``smallest_duty``, one pair's share of the year; ``partial_m2`` (partly disturbed), ``blind_m2``
        (seen by no pair), ``doubt_m2`` (never coherent, or beside it: worked throughout, or natural) and
        ``weather_only_m2``; ``seen``, mean share of the pairs that show a full loss; ``placebo``, share of the
        control ground that is called active; ``flags``; ``method_version``.

    Raises
    ------
    OptionError
        `level` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise OptionError(f"level: must lie between 0 and 1 ({level}, limit 0 to 1). Give 0.95, say.")
    coh = held(coh)
    weights = np.where(mine_cells(found.active), cell_weights_m2(found.active), 0.0)
    rows = []
    for number, (year, reference) in enumerate(found.references.items()):
        seen, contrast = (layer.values[number].astype(np.float64) for layer in (found.seen, found.contrast))
        data = _Year(
            found.states.values[number],
            found.active.values[number] == 1,
            found.disturbed.values[number],
            np.where(seen == 255, np.nan, seen / 100),
            np.where(contrast == 255, np.nan, contrast / 100),
            weights,
            found.placebo.values[number],
            reference,
        )
        rows.append({"year": year, **_row(data, level, intervals), **_moved_borders(coh, data)})
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS)).astype({"year": "int64"})


def cell_weights_m2(cells: xr.DataArray) -> FloatArray:
    """Return the ground area of every cell within the mine, (y, x); the whole cell where there is no mine."""
    shape = cells.sizes["y"], cells.sizes["x"]
    rows = np.broadcast_to(np.asarray(cells["cell_area_m2"].values, np.float64), shape[0])[:, None]
    cover = cells["cover"].values.astype(np.float64) if "cover" in cells.coords else 1.0
    return np.asarray(np.broadcast_to(rows * cover, shape))


def _row(year: _Year, level: float, intervals: bool) -> dict[str, object]:
    area = float(year.weights[year.active].sum())
    doubt = year.area(State.DOUBT, State.NATURAL)
    known = np.isfinite(year.seen) & (year.weights > 0)
    smallest = _smallest_area(year)
    row: dict[str, object] = {
        "area_m2": area,
        "area_map_m2": area,
        "area_low_m2": np.nan,
        "area_high_m2": np.nan,
        "smallest_area_m2": smallest,
        "smallest_duty": 1 / year.reference.pairs.size,
        "partial_m2": year.area(State.PARTIAL),
        "blind_m2": year.area(State.BLIND),
        "doubt_m2": doubt,
        "weather_only_m2": year.area(State.WEATHER_ONLY),
        "seen": float(np.average(year.seen[known], weights=year.weights[known])) if known.any() else np.nan,
        "placebo": float(year.placebo.sum()),
        "method_version": METHOD_VERSION,
    }
    row["flags"] = "; ".join(flags_of(year.reference, row, float(year.placebo[0]), year.weights, year.active))
    if intervals:
        row["area_low_m2"], row["area_high_m2"] = _bounds(year, area, smallest, level)
    return row


def _bounds(year: _Year, area: float, smallest: float, level: float) -> tuple[float, float]:
    """Lower and upper bound: errors of the border and of chance, then what is not known one-sidedly."""
    factor = float(stats.norm.ppf((1 + level) / 2))
    half = factor * _standard_error(year, area)
    # the only pair of a year shows nothing for certain
    doubtful = np.isin(year.states, [State.DOUBT, State.NATURAL])
    doubt = float(year.weights[doubtful & year.active].sum())
    low = max(area - half - doubt - _uncertain(year), 0.0) if year.reference.pairs.size > 1 else 0.0
    unseen = year.area(State.BLIND, State.PARTIAL, State.WEATHER_ONLY) + _hidden(year) + _around_partial(year)
    unseen += float(year.weights[doubtful & ~year.active].sum())
    whole = float(year.weights[year.states != State.OUTSIDE].sum())
    high = area + half + unseen
    if year.reference.pairs.size == 1:
        return low, whole
    least = whole if np.isnan(smallest) else UNSEEN_SQUARES * smallest
    if area == 0:
        high = max(high, least)
    return low, max(min(high, whole), area)


def _standard_error(year: _Year, area: float) -> float:
    """Return the standard error of an area, m2."""
    active = year.active
    border = border_error_m2(active, year.weights, _contrast(year))
    shallow = UNKNOWN_PLACEBO if np.isnan(year.placebo[1]) else float(year.placebo[1])
    idle = float(year.weights[~active & (year.states != State.OUTSIDE)].sum())
    few = float(year.weights[active & (year.disturbed <= FEW_PAIRS)].sum())
    parts = border**2 + (shallow * idle) ** 2 + (FEW_PAIRS_SHARE * few) ** 2 + (AREA_SHARE * area) ** 2
    return float(np.sqrt(parts))


def border_error_m2(active: BoolArray, weights: FloatArray, contrast: FloatArray | float = 1.0) -> float:
    """Return the standard error of an area by its border: its place, and cells that count as 0 or 1, m2.

    Parameters
    ----------
    active : ndarray of bool (y, x)
    weights : ndarray (y, x)
        Ground of every cell within the mine, m2.
    contrast : float or ndarray (y, x), 0..1
        How far undisturbed ground stands above decorrelated ground, as a share of the most coherent.
    """
    side = np.sqrt(float(weights.max(initial=0.0)))
    rim = active & ~ndimage.binary_erosion(active, border_value=1)
    shares = np.broadcast_to(contrast, active.shape)[rim]
    mean = float((1 / shares).mean()) if shares.size else 1.0
    place = BORDER_CELLS * side * _border_m(active, weights) * mean
    return float(np.sqrt(place**2 + (weights[rim] ** 2).sum() / 12))


def _border_m(active: BoolArray, weights: FloatArray) -> float:
    """Measure the border of active ground within the mine, metres; its steps are longer than it by 4 / pi."""
    inside = weights > 0
    edges = (
        (active[1:] ^ active[:-1]) & inside[1:] & inside[:-1],
        (active[:, 1:] ^ active[:, :-1]) & inside[:, 1:] & inside[:, :-1],
    )
    return float(sum(edge.sum() for edge in edges) * np.sqrt(weights.max(initial=0.0)) * np.pi / 4)


def _contrast(year: _Year) -> FloatArray:
    """Return how far each cell's ground stands above the floor, taken from the ground beside it where not known."""
    known = np.where(np.isfinite(year.contrast), year.contrast, -1.0)
    beside = ndimage.maximum_filter(known, 7)
    usual = np.where(beside < 0, 1.0, beside)
    return np.asarray(np.clip(np.where(known < 0, usual, known), LEAST_CONTRAST, 1.0))


def _hidden(year: _Year) -> float:
    """Return the area hidden by pairs that do not see their ground, m2: seen in one pair, or most are blind."""
    sees = np.isfinite(year.seen) & (year.seen > 0)
    once = year.active & (year.disturbed == 1) & sees
    share = year.seen[once]
    hardly = (year.states == State.QUIET) & sees & (year.seen < LEAST_SEEN)
    return float((year.weights[once] * (1 - share) / share).sum() + year.weights[hardly].sum())


def _uncertain(year: _Year) -> float:
    """Return the ground active in few pairs where neither control nor other pairs tell what it reads idle, m2."""
    if year.reference.has_control or year.reference.pairs.size >= ENOUGH_PAIRS:
        return 0.0
    doubtful = np.isin(year.states, [State.DOUBT, State.NATURAL])
    return float(year.weights[year.active & ~doubtful & (year.disturbed <= FEW_PAIRS)].sum())


def _around_partial(year: _Year) -> float:
    """Return the quiet ground beside patches of partly disturbed cells, m2: means of means end before these do."""
    partial = year.states == State.PARTIAL
    patches = partial & (ndimage.uniform_filter(partial.astype(np.float32), 3, mode="constant") * 9 > PATCH_CELLS - 0.5)
    beside = ndimage.binary_dilation(patches, np.ones((3, 3), np.bool_), iterations=PARTIAL_REACH)
    return float(year.weights[beside & (year.states == State.QUIET)].sum())


def _smallest_area(year: _Year) -> float:
    """Return the smallest square that is found when it is fully lost in a median pair, m2; NaN without any."""
    reference = year.reference
    expected = reference.expectation
    side = None
    if expected.pairs.size > 1:
        limit = max(reference.critical, reference.alone)
        side = smallest_side(expected.classes, expected.tables, reference.scatter, limit, expected.usual)
    return np.nan if side is None else side**2 * float(year.weights.max(initial=0.0))


def _moved_borders(coh: xr.DataArray, year: _Year) -> dict[str, float]:
    """Map areas with the border a tenth further out or in; decide only blocks near active ground again."""
    reference = year.reference
    mapped = float(year.weights[year.active].sum())
    areas = {"area_loose_m2": mapped, "area_strict_m2": mapped}
    if not year.active.any():
        return areas
    wide = ndimage.binary_dilation(year.active, iterations=3)
    blocks = year_blocks(coh, reference.pairs.size)
    blocks = [block for block in blocks if wide[block.rows, block.cols].any()]
    method = YearMethod.of(coh, reference, blocks)
    for name, change in zip(areas, (LOOSER, STRICTER), strict=True):
        moved = dataclasses.replace(reference, min_loss=min(max(reference.min_loss + change, 0.05), 0.95))
        for part in method.decide(moved):
            where = part.block.rows, part.block.cols
            areas[name] += float(year.weights[where][part.active].sum() - year.weights[where][year.active[where]].sum())
    return areas


__all__ = ["INTERVAL_COLUMNS", "area_intervals", "border_error_m2", "cell_weights_m2"]
