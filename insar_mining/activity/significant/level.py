"""What the reference set of a year reads: looks, floor, and the most coherent ground of each pair; own levels."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from insar_mining.activity.significant.quantiles import row_quantiles
from insar_mining.activity.significant.ranks import own_levels, upper_halves, weak_ground
from insar_mining.arrays import BoolArray, Float32Array, FloatArray
from insar_mining.coherence.estimators.statistics import expected_coherence, sample_cdf, unbias

USUAL_LOOKS = 7.0
# looks from which cells are taken by themselves, without a mean over 3 x 3
MANY_LOOKS = 20.0
MOST_LOOKS = 150.0
# true coherence of the ground whose scatter shows the looks
COHERENT = 0.9
# cells and pairs from which the looks are estimated
ENOUGH_CELLS, ENOUGH_PAIRS = 30, 3
# of the pairs, those from here on are a cell's better ones; and decorrelated ground reads this with seven looks
BETTER, FLOOR_OF_FEW_LOOKS = 0.75, 0.34
# a pair tells levels where the most coherent ground keeps this share of what it stands above the floor
TELLING = 0.5
# quantile of the reference set that stands for the most coherent ground of a pair
UPPER_QUANTILE = 0.85
# part of the way from floor to the most coherent ground from which a cell is up, and wide ground known as weak
UP, WEAK = 0.35, 0.15
# the same of single cells in their best pairs, below which they are dark
DARK = 0.2
UP_PAIRS, UP_SHARE = 2, 0.15
# pairs of up to so many times the shortest span show a cell's level
SHORT_SPANS = 2.0


class Looks(NamedTuple):
    """Hold the looks of a year, and what follows from them.

    Attributes
    ----------
    looks : float
    averaged : bool
        Whether cells are averaged over 3 x 3.
    floor, floor_atanh : float
        Mean coherence, and mean of its atanh, of decorrelated ground.
    expected, true : ndarray
        Mean coherence for true coherence 0..1, and its inverse.
    """

    looks: float
    averaged: bool
    floor: float
    floor_atanh: float
    expected: FloatArray
    true: FloatArray


def estimate_looks(samples: Float32Array) -> float:
    """Estimate the independent looks from the scatter of the most coherent cells between far pairs.

    Parameters
    ----------
    samples : ndarray (pairs, cells)
        Coherence of single cells of the reference set.

    Returns
    -------
    float
        Looks at which the interquartile range of atanh d (Touzi et al. 1999, doi:10.1109/36.739146) is that of the
        most coherent 30 % of the cells; 7 where there are fewer than 30 of these or 3 pairs.
    """
    pairs = len(samples)
    # cells without data in some pair have no mean
    mean = samples.mean(axis=0) if pairs else np.zeros(0)
    whole = np.isfinite(mean)
    if pairs < ENOUGH_PAIRS or whole.sum() < ENOUGH_CELLS / 0.3:
        return USUAL_LOOKS
    chosen = np.flatnonzero(mean >= np.quantile(mean[whole], 0.7))
    scaled = np.arctanh(np.minimum(samples[:, chosen], 0.995))
    rest = scaled - np.median(scaled - np.median(scaled, axis=0), axis=1, keepdims=True)
    # ground that stays coherent keeps its speckle: far pairs share the least of it
    lags = range(pairs - max(1, pairs // 3), pairs)
    far = np.empty((sum(pairs - lag for lag in lags), chosen.size), rest.dtype)
    first = 0
    for lag in lags:
        np.subtract(rest[lag:], rest[:-lag], out=far[first : first + pairs - lag])
        first += pairs - lag
    low, high = np.quantile(far.ravel(), (0.25, 0.75), overwrite_input=True)
    looks, widths = _width_table()
    return float(np.interp(-(high - low) / np.sqrt(2), -widths, looks))


@lru_cache(maxsize=1)
def _width_table() -> tuple[FloatArray, FloatArray]:
    """Return looks, and the interquartile range of atanh d of coherent ground; its coherence hardly matters."""
    looks = np.geomspace(2.0, MOST_LOOKS, 24)
    scaled = np.linspace(0.3, 3.0, 541)
    widths = []
    for number in looks:
        chance = sample_cdf(np.tanh(scaled), COHERENT, float(number))
        widths.append(np.diff(np.interp((0.25, 0.75), chance, scaled))[0])
    return looks, np.array(widths)


@lru_cache(maxsize=64)
def _tables(looks: float) -> Looks:
    nodes = np.linspace(0.0, 1.0, 1025)
    expected = np.ascontiguousarray(expected_coherence(nodes, looks))
    true = np.ascontiguousarray(unbias(nodes, looks).true)
    # of decorrelated ground d squared follows a beta law: the mean of atanh d over its quantiles
    shares = (np.arange(4000) + 0.5) / 4000
    quantiles = np.sqrt(1 - (1 - shares) ** (1 / max(looks - 1, 0.5)))
    floor_atanh = float(np.arctanh(np.minimum(quantiles, 0.995)).mean())
    return Looks(looks, looks < MANY_LOOKS, float(expected[0]), floor_atanh, expected, true)


def tables_of(looks: float) -> Looks:
    """Return the tables of a number of looks, rounded to a quarter (below 20) or to whole ones."""
    return _tables(max(round(looks * 4) / 4 if looks < MANY_LOOKS else float(round(looks)), 1.75))


def coherent_from(best: float) -> float:
    """Return what a coherent cell reads at least in its better pairs, whatever the looks.

    Parameters
    ----------
    best : float
        What the most coherent ground reads in its better pairs (`better_pairs`).
    """
    return FLOOR_OF_FEW_LOOKS + UP * (best - FLOOR_OF_FEW_LOOKS)


def better_pairs(mean: Float32Array) -> FloatArray:
    """Return what each cell reads in the better quarter of its pairs, (cells,)."""
    return np.asarray(row_quantiles(mean.T, (BETTER,))[0])


def upper_of(mean: Float32Array) -> FloatArray:
    """Return what the most coherent ground of a reference set (pairs, cells) reads in each pair; NaN without data."""
    return np.asarray(row_quantiles(mean, (UPPER_QUANTILE,))[0])


def short_pairs(days: FloatArray) -> BoolArray:
    """Return the pairs of at most twice the shortest span."""
    return np.asarray(days <= SHORT_SPANS * days.min())


def telling_pairs(upper: FloatArray, short: BoolArray, floor: float) -> BoolArray:
    """Return the pairs in which the most coherent ground stands: under snow all ground reads alike, (pairs,)."""
    standing = upper - floor
    usual = np.nanquantile(standing[short], BETTER) if np.isfinite(standing[short]).any() else np.nan
    telling = standing >= TELLING * usual
    return np.asarray(telling if (telling & short).any() else np.ones_like(telling))


def dark_cells(values: Float32Array, upper: FloatArray, short: BoolArray, looks: Looks) -> BoolArray:
    """Return the single cells that read like decorrelated ground in their best pairs, (rows, columns).

    Parameters
    ----------
    values : ndarray of float32 (pairs, rows, columns)
        Coherence of single cells.
    upper : ndarray (pairs,)
    short : ndarray of bool (pairs,)
    looks : Looks

    Notes
    -----
    A patch of a few cells reads half-way in every mean over 3 x 3. The mean of the upper half of a cell's own values
    is, of decorrelated ground, 0.8 standard deviations above the floor; ``E[d**2] = 1 / L`` (Touzi et al. 1999).
    """
    best = upper_halves(values, short & np.isfinite(upper), np.zeros(upper.size))
    sd = np.sqrt(max(1 / looks.looks - looks.floor**2, 1e-6))
    limit = looks.floor + 0.8 * sd + DARK * (float(np.nanmedian(upper)) - looks.floor)
    return np.asarray(best < limit)


def levels_of(
    mean: Float32Array, upper: FloatArray, short: BoolArray, floor: float, *, weak_known: bool = True
) -> Float32Array:
    """Return what each cell reads when nobody works on it, NaN where that is not known (`both_levels_of`)."""
    strict, weak = both_levels_of(mean, upper, short, floor, weak_known=weak_known)
    return weak if weak_known else strict


def both_levels_of(
    mean: Float32Array, upper: FloatArray, short: BoolArray, floor: float, *, weak_known: bool = True
) -> tuple[Float32Array, Float32Array]:
    """Return what each cell reads when nobody works on it, NaN where that is not known: without and with weak ground.

    Parameters
    ----------
    mean : ndarray of float32 (pairs, rows, columns)
        Local means.
    upper : ndarray (pairs,)
    short : ndarray of bool (pairs,)
    floor : float
    weak_known : bool
        Whether wide ground that is hardly ever up is looked for; else it is always low, in both.
    """
    use = short & np.isfinite(upper)
    count = int(use.sum())
    least = min(UP_PAIRS, max(count - 1, 1))
    level = own_levels(mean, upper, short, floor, UP, least, UP_SHARE)
    offset = np.float32(np.nanmedian(upper)) if count else np.float32(np.nan)
    strict = np.asarray(level + offset, np.float32)
    if not weak_known:
        return strict, strict
    wide = weak_ground(mean, upper, short, floor, WEAK)
    if mean.shape[1] > 1:
        wide = ndimage.binary_opening(wide, np.ones((5, 5), np.bool_))
    unknown = np.isnan(level) & wide
    if unknown.any():
        level = np.where(unknown, upper_halves(mean, use, upper), level)
    return strict, np.asarray(level + offset, np.float32)
