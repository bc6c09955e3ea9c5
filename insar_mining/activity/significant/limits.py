"""When a score is significant: the scatter of scores on control ground, and the false-discovery rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from insar_mining.arrays import Float32Array, FloatArray, IntArray

# scores are counted in even steps
SCORE_LOW, SCORE_STEP, SCORE_STEPS = -12.0, 0.01, 2400
LEAST_LOW, LEAST_STEP, LEAST_STEPS = -12.0, 0.005, 3200
# the tail of control is compared with the normal law at this quantile, and widens it by at most so much
TAIL_SHARE, MOST_WIDENING = 0.002, 1.5
LEAST_SCALE = 0.85
# ground that is its own control has classes that are known less well
OWN_WIDENING = 1.2


@dataclass(frozen=True, eq=False)
class Scatter:
    """Hold the scatter of scores on undisturbed ground.

    Attributes
    ----------
    centre, scale : ndarray (pairs,)
        Median and lower spread of the mean score over 3 x 3 cells.
    widening, wide_widening : float
        How much wider the lower tail is than that of the normal law, of scores and of mean scores.
    """

    centre: FloatArray
    scale: FloatArray
    widening: float
    wide_widening: float


def quantile_of(counts: IntArray, share: float) -> FloatArray:
    """Return a quantile of each row of counts, at the upper edge of its step; 0 for rows without any."""
    total = counts.sum(axis=1)
    reached = np.cumsum(counts, axis=1) >= share * np.maximum(total, 1)[:, None]
    edges = SCORE_LOW + SCORE_STEP * (reached.argmax(axis=1) + 1.0)
    return np.where(total > 0, edges, 0.0)


def scatter_of(scores: IntArray, wide: IntArray, has_control: bool) -> Scatter:
    """Measure the scatter from counts of scores and of mean scores (pairs, steps).

    Without control the ground may be worked: its upper half, which work does not reach, stands for both.
    """
    middle = quantile_of(wide, 0.5)
    lower, upper = middle - quantile_of(wide, special.ndtr(-1.0)), quantile_of(wide, special.ndtr(1.0)) - middle
    scale = lower if has_control else np.minimum(lower, upper)
    scale = np.maximum(np.maximum(scale, LEAST_SCALE * np.median(scale)), 0.05)
    centre = middle if has_control else np.zeros_like(middle)
    share = TAIL_SHARE if has_control else 1 - TAIL_SHARE
    normal = float(special.ndtri(share))
    first = float(quantile_of(scores.sum(axis=0, keepdims=True), share)[0]) / normal
    second = first
    if has_control:
        # standardised scores of all pairs together
        edges = SCORE_LOW + SCORE_STEP * (np.arange(SCORE_STEPS) + 0.5)
        standard = ((edges[None, :] - centre[:, None]) / scale[:, None]).ravel()
        order = np.argsort(standard, kind="stable")
        reached = np.cumsum(wide.ravel()[order])
        place = int(np.searchsorted(reached, share * max(int(reached[-1]), 1)))
        second = float(standard[order[min(place, order.size - 1)]]) / normal
    least = 1.0 if has_control else OWN_WIDENING
    clipped = [float(np.clip(value, least, MOST_WIDENING)) for value in (first, second)]
    return Scatter(centre, scale, *clipped)


def critical_score(least: IntArray, tests: int, rate: float) -> float:
    """Score below which a cell is significant in its year, the false-discovery rate controlled.

    Parameters
    ----------
    least : ndarray (steps,)
        Counts of the least score of each cell.
    tests : int
        Scores of each cell: two for every pair.
    rate : float

    Returns
    -------
    float
        Minus infinity where nothing is significant.

    Notes
    -----
    Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; it holds under the positive dependence of
    neighbouring cells as well (Benjamini and Yekutieli 2001, doi:10.1214/aos/1013699998).
    """
    edges = LEAST_LOW + LEAST_STEP * np.arange(1, least.size + 1)
    with np.errstate(divide="ignore"):
        chance = -np.expm1(tests * np.log1p(-special.ndtr(edges)))
    below = np.cumsum(least)
    passed = np.flatnonzero((chance <= rate * below / max(int(below[-1]), 1)) & (below > 0))
    return float(edges[passed[-1]]) if passed.size else -math.inf


def score_alone(cells: int, tests: int, rate: float) -> float:
    """Score at which one cell of so many is significant by itself, the strictest limit of `critical_score`."""
    one = -math.expm1(math.log1p(-rate / max(cells, 1)) / max(tests, 1))
    return float(special.ndtri(one))


def count_least(scores: Float32Array) -> IntArray:
    """Count finite least scores in even steps."""
    finite = scores[np.isfinite(scores)]
    place = np.clip((finite - LEAST_LOW) / LEAST_STEP, 0, LEAST_STEPS - 1).astype(np.int64)
    return np.bincount(place, minlength=LEAST_STEPS)
