"""Ground of a level that control does not have: what it reads undisturbed, from itself.

Work takes a part of such ground, weather all of it. Where the upper decile of a pair is as usual and the rest is not,
a part was worked, and the ground is what the upper decile says; where the upper decile fell too, the median and the
wide spread of the pair stand, and nothing is said for certain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from insar_mining.activity.significant.classes import (
    CLASS_CELLS,
    CLASS_WIDTH,
    DECILE,
    FELL,
    LEAST_SPREAD,
    UPPER_WEIGHT,
    Classes,
    control_tables,
    edges_of,
    quantiles_of,
    rising,
    usual_of,
)
from insar_mining.activity.significant.level import Looks
from insar_mining.activity.significant.quantiles import row_quantiles
from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray


class GroundSample(NamedTuple):
    """Hold some cells: own levels (cells,), local means of coherence and of its atanh (pairs, cells)."""

    levels: FloatArray
    mean: Float32Array
    scaled: Float32Array


# control cells of about a level that make a class, and the least share of control beside that of the mine
ENOUGH_CONTROL, LEAST_SHARE = 100, 0.1
# cells of a class of the mine's own ground
OWN_CELLS, OWN_WIDTH = 60, 0.05
# maps that scatter less than any window of samples are no better known than this, atanh of coherence
SMALLEST_SPREAD = 0.02
# quantile over the pairs that is usual for such a class: it may be worked in more than half of them
USUAL_SHARE = 0.75
# lower spread beyond which a part of a class was worked
WORKED_SPREAD = 1.5
# of what ground usually stands above the floor, so much is left at most where it is gone
GONE_SHARE = 0.3
# and the most coherent ground kept at least so much
STANDING_SHARE = 0.5
# distance of the quantiles 0.75 and 0.95 of a normal law
TAIL = 0.9704


def without_control(control: FloatArray, inside: FloatArray) -> BoolArray:
    """Return which cells of the mine have a level that control lacks.

    Parameters
    ----------
    control, inside : ndarray (cells,)
        Own levels, finite.
    """
    if control.size < ENOUGH_CONTROL:
        return np.ones(inside.size, np.bool_)
    edges = np.arange(-0.5, 1.5, CLASS_WIDTH)
    of_control, of_mine = (np.histogram(levels, edges)[0].astype(float) for levels in (control, inside))
    around = np.convolve(of_control, np.ones(3), "same")
    share = np.convolve(of_mine, np.ones(3), "same") / max(inside.size, 1)
    lacks = (around < ENOUGH_CONTROL) | (around / control.size < LEAST_SHARE * share)
    return np.asarray(lacks[np.clip(np.digitize(inside, edges) - 1, 0, lacks.size - 1)])


def own_tables(
    mean: Float32Array, scaled: Float32Array, groups: list[IntArray], days: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return what classes of the mine's own ground read undisturbed; shapes as of `control_tables`."""
    shape = len(mean), len(groups)
    level, usual, spread = (np.full(shape, np.nan) for _ in range(3))
    fell = np.zeros(shape, np.bool_)
    for k, cells in enumerate(groups):
        level[:, k], usual[:, k], spread[:, k], fell[:, k] = _own_class(mean[:, cells], scaled[:, cells], days)
    return level, usual, spread, fell


def _own_class(
    mean: Float32Array, scaled: Float32Array, days: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    low, middle, high = quantiles_of(scaled)
    # the upper tail is that of undisturbed ground even where half of the class is worked
    tail = np.diff(row_quantiles(scaled, (0.75, 0.95), 5), axis=0)[0] / TAIL
    usual_spread = usual_of(tail, days, 1 - USUAL_SHARE)
    fell = high < usual_of(high, days, USUAL_SHARE) - FELL * usual_spread
    lower, upper = (middle - low) / DECILE, (high - middle) / DECILE
    worked = ~fell & (np.fmax(lower, upper) > WORKED_SPREAD * usual_spread)
    wide = np.fmax(np.fmax(lower, UPPER_WEIGHT * upper), LEAST_SPREAD * usual_spread)
    usual = np.where(worked, high - DECILE * usual_spread, middle)
    level = quantiles_of(mean)[1]
    # the mean that belongs to the anchor: of the cells about it
    for p in np.flatnonzero(worked):
        near = np.abs(scaled[p] - usual[p]) < usual_spread[p] / 2
        level[p] = np.nanmean(mean[p, near]) if near.any() else np.tanh(usual[p])
    return level, usual, np.where(worked, usual_spread, wide), fell


def make_classes(
    control: GroundSample,
    inside: GroundSample,
    days: FloatArray,
    looks: Looks,
    upper: FloatArray,
    *,
    use_control: bool = True,
) -> tuple[Classes, float]:
    """Make the classes of a year.

    Parameters
    ----------
    control, inside : GroundSample
        Of control and of the mine's cells; levels that are not known are NaN.
    days : ndarray (pairs,)
    looks : Looks
    upper : ndarray (pairs,)
        What the most coherent ground reads.
    use_control : bool
        False: all ground is its own control.

    Returns
    -------
    classes : Classes
    own_share : float
        Share of the mine's ground of known level that is its own control.
    """
    around, cells = (np.flatnonzero(np.isfinite(sample.levels)) for sample in (control, inside))
    known = control.levels[around], inside.levels[cells]
    lacking = without_control(*known) if use_control else np.ones(cells.size, np.bool_)
    parts = []
    if use_control and around.size >= ENOUGH_CONTROL:
        groups = edges_of(known[0], cells=min(CLASS_CELLS, max(around.size // 4, ENOUGH_CONTROL)))
        groups = [around[group] for group in groups]
        parts.append(
            (_centres(control.levels, groups), control_tables(control.mean, control.scaled, groups, days), False)
        )
    own = cells[lacking]
    if own.size >= OWN_CELLS or (not parts and own.size):
        groups = [own[group] for group in edges_of(inside.levels[own], OWN_WIDTH, OWN_CELLS)]
        tables = own_tables(inside.mean, inside.scaled, groups, days)
        parts.append((_centres(inside.levels, groups), (*tables, np.zeros_like(tables[3])), True))
    share = own.size / max(cells.size, 1)
    return _joined(parts, days, looks, upper), share


def _centres(levels: FloatArray, groups: list[IntArray]) -> FloatArray:
    return np.array([np.median(levels[cells]) for cells in groups])


def _joined(
    parts: list[tuple[FloatArray, tuple[FloatArray, FloatArray, FloatArray, BoolArray, BoolArray], bool]],
    days: FloatArray,
    looks: Looks,
    upper: FloatArray,
) -> Classes:
    """Put classes in the order of their levels, below them one of decorrelated ground that every pair reads alike."""
    own_ranges = [(part[0].min(), part[0].max()) for part in parts if part[2]]
    centres, tables, own = [], [], []
    for levels, values, of_mine in parts:
        keep = np.ones(levels.size, np.bool_)
        if not of_mine:
            for low, high in own_ranges:
                # few control cells of these levels do not stand beside the mine's own
                keep &= (levels < low) | (levels > high) if len(parts) > 1 else keep
        if not keep.any():
            continue
        centres.append(levels[keep])
        tables.append([value[:, keep] for value in values])
        own.append(np.full(int(keep.sum()), of_mine))
    floor_spread = float(np.median(np.concatenate([t[2].ravel() for t in tables]))) if tables else 0.2
    centres.append(np.array([looks.floor, looks.floor - 1.0]))
    tables.append(
        [
            np.full((days.size, 2), looks.floor),
            np.full((days.size, 2), looks.floor_atanh),
            np.full((days.size, 2), floor_spread),
            np.zeros((days.size, 2), np.bool_),
            np.zeros((days.size, 2), np.bool_),
        ]
    )
    own.append(np.zeros(2, np.bool_))
    order = np.argsort(np.concatenate(centres), kind="stable")
    is_own = np.concatenate(own)[order]
    mean, usual, spread, fell, unsettled = (np.concatenate([t[i] for t in tables], axis=1)[:, order] for i in range(5))
    # a pair without data of a class says nothing of it
    usual = np.where(np.isfinite(usual), usual, looks.floor_atanh)
    mean = np.where(np.isfinite(mean), mean, looks.floor)
    spread = np.where(np.isfinite(spread), np.maximum(spread, SMALLEST_SPREAD), 1e6)
    fell, unsettled = fell.astype(np.bool_), unsettled.astype(np.bool_)
    standing = ~_below_usual(upper[:, None], looks, days, STANDING_SHARE)
    gone = fell & is_own & standing & _below_usual(mean, looks, days, GONE_SHARE)
    return Classes(np.concatenate(centres)[order], rising(mean), usual, spread, fell, unsettled, is_own, gone)


def _below_usual(mean: FloatArray, looks: Looks, days: FloatArray, share: float) -> BoolArray:
    """Return where ground keeps less than a share of what it usually stands above the floor, (pairs, classes)."""
    return np.asarray(mean - looks.floor < share * (usual_of(mean, days, USUAL_SHARE) - looks.floor))
