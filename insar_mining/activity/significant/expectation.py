"""What undisturbed ground reads in each pair of a year: looks, levels and classes from samples of its ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from insar_mining.activity.cube.blocks import Block
from insar_mining.activity.significant.anchor import GroundSample, make_classes
from insar_mining.activity.significant.baseline import give_back
from insar_mining.activity.significant.classes import Classes
from insar_mining.activity.significant.level import (
    UP,
    Looks,
    better_pairs,
    both_levels_of,
    coherent_from,
    dark_cells,
    estimate_looks,
    levels_of,
    short_pairs,
    tables_of,
    telling_pairs,
    upper_of,
)
from insar_mining.activity.significant.sample import (
    Grounds,
    Sample,
    chosen_of,
    grounds_of,
    mine_of,
    samples_of,
)
from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray

# single cells that are never coherent are work if less than this share of control is so; and pairs from which they show
DARK_SHARE, DARK_PAIRS = 0.002, 8
# quantile of all cells that stands for the most coherent ground, and coherent control cells that are enough
BEST, ENOUGH_STANDING = 0.95, 200
# ground that is hardly ever up is known only where more than this share of control is such
WEAK_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Expectation:
    """Hold the expected coherence of undisturbed ground in each pair of a year.

    Attributes
    ----------
    year : int
    pairs : ndarray of int
        Positions in the cube.
    tables : Looks
    upper : ndarray (pairs,)
        What the most coherent ground reads.
    short : ndarray of bool (pairs,)
        Pairs that show a cell's own level.
    classes : Classes
    assumed, usual : float
        Level taken for ground that is never coherent: the median of control; the median of the mine's ground.
    grounds : Grounds
    own_share : float
        Share of the mine's ground that is its own control.
    class_shares : ndarray (classes,)
        Share of the mine's ground of known level that is nearest to each class.
    squares : ndarray (pairs,), optional
        Squares of the baselines, where every cell is given back what its own pairs say that they take.
    dark_is_work : bool
        Whether single cells that are never coherent count as always worked: next to no control cell is so.
    weak_known : bool
        Whether wide ground that is hardly ever up has a level, because control has such ground.
    """

    year: int
    pairs: IntArray
    tables: Looks
    upper: FloatArray
    short: BoolArray
    classes: Classes
    assumed: float
    usual: float
    grounds: Grounds
    own_share: float
    class_shares: FloatArray
    squares: FloatArray | None = None
    dark_is_work: bool = False
    weak_known: bool = False


def expectation_of(
    coh: xr.DataArray,
    year: int,
    pairs: IntArray,
    control: BoolArray | None,
    blocks: list[Block],
    squares: FloatArray | None = None,
) -> Expectation:
    """Find what undisturbed ground reads in each pair of a year.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    year : int
    pairs : ndarray of int
    control : ndarray of bool (y, x), optional
        Cells that may be control; default all outside the mine.
    blocks : list of Block
    squares : ndarray (pairs,), optional
        Of the baselines (`baseline_losses`).
    """
    grounds = grounds_of(coh, pairs, control, blocks, mine_of(coh))
    blocks = grounds.blocks
    around, mine = _samples(coh, pairs, grounds, blocks)
    of, standing = _standing(around, mine)
    single = (around, mine)[of].single
    if single is None:
        single = samples_of(coh, pairs, [chosen_of(grounds.mine)], blocks)[0].single
    assert single is not None
    tables = tables_of(estimate_looks(_of_cells(single, standing)))
    del single
    if not tables.averaged:
        del around, mine  # before others are read
        around, mine = _samples(coh, pairs, grounds, blocks, averaged=False)
    days = coh["days"].values[pairs].astype(np.float64) if "days" in coh.coords else np.ones(pairs.size)
    short = short_pairs(days)
    upper = upper_of(_of_cells((around, mine)[of].mean, standing))
    if squares is not None:
        for sample in (around, mine) if mine is not around else (around,):
            give_back(sample.mean[:, None, :], sample.scaled[:, None, :], upper, squares, tables.floor, UP)
        upper = upper_of(_of_cells((around, mine)[of].mean, standing))
    short &= telling_pairs(upper, short, tables.floor)
    dark = False
    if grounds.has_control and tables.averaged and pairs.size >= DARK_PAIRS:
        assert around.single is not None
        dark = float(dark_cells(around.single[:, None, :], upper, short, tables).mean()) < DARK_SHARE
    # single cells of a sample have no neighbours that show whether weak ground is wide
    strict, weak = (level[0] for level in both_levels_of(around.mean[:, None, :], upper, short, tables.floor))
    weak_known = grounds.has_control and float((np.isfinite(weak) & np.isnan(strict)).mean()) > WEAK_SHARE
    first = weak if weak_known else strict
    second = first
    if mine is not around:
        second = levels_of(mine.mean[:, None, :], upper, short, tables.floor, weak_known=weak_known)[0]
    control_sample, mine_sample = (
        GroundSample(level.astype(np.float64), sample.mean, sample.scaled)
        for level, sample in ((first, around), (second, mine))
    )
    classes, own_share = make_classes(control_sample, mine_sample, days, tables, upper, use_control=grounds.has_control)
    assumed, usual = (
        float(np.median(level[np.isfinite(level)])) if np.isfinite(level).any() else float(np.nanmedian(upper))
        for level in (first, second)
    )
    nearest = nearest_class(classes.place(second), classes)
    shares = np.bincount(nearest[nearest >= 0], minlength=classes.centres.size) / max(int((nearest >= 0).sum()), 1)
    return Expectation(
        year, pairs, tables, upper, short, classes, assumed, usual, grounds, own_share, shares, squares, dark,
        weak_known,
    )  # fmt: skip


def _samples(
    coh: xr.DataArray, pairs: IntArray, grounds: Grounds, blocks: list[Block], *, averaged: bool = True
) -> tuple[Sample, Sample]:
    """Read some cells of control, and of the mine; these are the same where the mine is its own control."""
    masks = [chosen_of(mask) for mask in (grounds.control, grounds.mine)]
    samples = samples_of(coh, pairs, masks if grounds.has_control else masks[1:], blocks, averaged=averaged)
    return samples[0], samples[-1]


def _of_cells(values: Float32Array, cells: BoolArray) -> Float32Array:
    """Return the columns of some cells, without a copy where they are all."""
    return values if cells.all() else values[:, cells]


def _standing(around: Sample, mine: Sample) -> tuple[int, BoolArray]:
    """Return which sample (0: control, 1: mine) shows coherent ground, and its cells that are coherent.

    Where nearly all of control is forest or water, its quantiles are those of decorrelated ground.
    """
    better = [better_pairs(sample.mean) for sample in ((around,) if mine is around else (around, mine))]
    better = [better[0], better[-1]]
    every = np.concatenate(better)
    if not np.isfinite(every).any():
        return 0, np.ones(around.mean.shape[1], np.bool_)
    best = float(np.nanquantile(every, BEST))
    masks = [np.asarray(value >= coherent_from(best)) for value in better]
    of = 0 if masks[0].sum() >= min(ENOUGH_STANDING, int(masks[1].sum())) else 1
    return of, masks[of]


def nearest_class(place: Float32Array, classes: Classes) -> IntArray:
    """Return the number of the nearest class; -1 for cells without a level."""
    last = classes.centres.size - 1
    return np.where(np.isfinite(place), np.rint(np.nan_to_num(place)), -1).astype(np.int64).clip(-1, last)
