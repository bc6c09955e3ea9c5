"""Scores of the cells of a block, pair by pair: computed, freed of local weather, counted; ndarray in, ndarray out."""

from __future__ import annotations

import numpy as np

from insar_mining.activity.significant.means import plane_means
from insar_mining.activity.significant.ranks import WEATHER_CELLS
from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray
from insar_mining.jit import njit


@njit(nogil=True, inline="always")
def at_class(table, p, place):  # type: ignore[no-untyped-def]
    """Interpolate linearly in a table (pairs, classes) at a place between classes."""
    k = min(int(place), table.shape[1] - 2)
    part = place - k
    return table[p, k] + part * (table[p, k + 1] - table[p, k])


@njit(nogil=True, error_model="numpy")
def class_scores(scaled: Float32Array, place: Float32Array, usual: FloatArray, spread: FloatArray) -> None:
    """Replace means of atanh by scores against ground of the same own level; NaN where `place` is.

    Parameters
    ----------
    scaled : ndarray of float32 (pairs, rows, columns)
        Of `local_means`, changed in its place.
    place : ndarray of float32 (rows, columns)
        Place of each cell's level among the classes.
    usual, spread : ndarray (pairs, classes)
    """
    pairs, rows, cols = scaled.shape
    last = usual.shape[1] - 2
    known = place == place
    lower = np.zeros((rows, cols), np.int32)
    part = np.zeros((rows, cols), np.float64)
    for y in range(rows):
        for x in range(cols):
            if known[y, x]:
                where = np.float64(place[y, x])
                lower[y, x] = min(int(where), last)
                part[y, x] = where - lower[y, x]
    for p in range(pairs):
        middle, width = usual[p], spread[p]
        for y in range(rows):
            for x in range(cols):
                k, a = lower[y, x], part[y, x]
                centre = middle[k] + a * (middle[k + 1] - middle[k])
                scale = width[k] + a * (width[k + 1] - width[k])
                score = np.float32((scaled[p, y, x] - centre) / scale)
                scaled[p, y, x] = score if known[y, x] else np.float32(np.nan)


@njit(nogil=True)
def take_weather(scores: Float32Array, weather: Float32Array, top: int, left: int) -> None:
    """Take the local weather off scores, in their place, linear between the middles of the blocks.

    Parameters
    ----------
    scores : ndarray of float32 (pairs, rows, columns)
    weather : ndarray of float32 (pairs, blocks down, blocks across)
        Of the whole map.
    top, left : int
        Row and column of the map at which `scores` begin.
    """
    pairs, rows, cols = scores.shape
    down = slice(max(top // WEATHER_CELLS - 1, 0), (top + rows) // WEATHER_CELLS + 2)
    across = slice(max(left // WEATHER_CELLS - 1, 0), (left + cols) // WEATHER_CELLS + 2)
    for p in range(pairs):
        if not (weather[p, down, across] != 0).any():
            continue
        for y in range(rows):
            v = min(max((y + top + 0.5) / WEATHER_CELLS - 0.5, 0.0), weather.shape[1] - 1.0)
            i = min(int(v), max(weather.shape[1] - 2, 0))
            i1 = min(i + 1, weather.shape[1] - 1)
            b = v - i
            for x in range(cols):
                u = min(max((x + left + 0.5) / WEATHER_CELLS - 0.5, 0.0), weather.shape[2] - 1.0)
                j = min(int(u), max(weather.shape[2] - 2, 0))
                j1 = min(j + 1, weather.shape[2] - 1)
                a = u - j
                high = weather[p, i, j] + a * (weather[p, i, j1] - weather[p, i, j])
                low = weather[p, i1, j] + a * (weather[p, i1, j1] - weather[p, i1, j])
                scores[p, y, x] -= np.float32(high + b * (low - high))


@njit(nogil=True)
def count_plane(scores: Float32Array, where: BoolArray, low: float, step: float, counts: IntArray) -> None:
    """Add the scores of some cells of a plane to counts in even steps; those beyond belong to the outermost."""
    rows, cols = scores.shape
    last = counts.size - 1
    for y in range(rows):
        for x in range(cols):
            v = np.float64(scores[y, x])
            if where[y, x] and v == v:
                counts[int(min(max((v - low) / step, 0.0), last))] += 1


@njit(nogil=True)
def count_scores(  # type: ignore[no-untyped-def]
    scores: Float32Array, where: BoolArray, low: float, step: float, counts: IntArray, wide_counts: IntArray
):
    """Count the scores of some cells in every pair, and their means over 3 x 3 cells; return the least scores.

    Parameters
    ----------
    scores : ndarray of float32 (pairs, rows, columns)
    where : ndarray of bool (rows, columns)
    low, step : float
        Where the even steps begin, and how long they are.
    counts, wide_counts : ndarray of int (pairs, steps)
        Added to.

    Returns
    -------
    ndarray of float32 (rows, columns)
        Least score of each cell over the pairs, +inf without any.
    """
    pairs, rows, cols = scores.shape
    wide = np.empty((rows, cols), np.float32)
    least = np.full((rows, cols), np.inf, np.float32)
    for p in range(pairs):
        plane_means(scores[p], False, wide)
        count_plane(scores[p], where, low, step, counts[p])
        count_plane(wide, where, low, step, wide_counts[p])
        for y in range(rows):
            for x in range(cols):
                v = scores[p, y, x]
                least[y, x] = v if v < least[y, x] else least[y, x]
    return least


@njit(nogil=True)
def least_scores(  # type: ignore[no-untyped-def]
    scores: Float32Array, centre: FloatArray, scale: FloatArray, widening: float, wide_widening: float
):
    """Find the least of both scores over the pairs of each cell, the wide one standardised; +inf without any.

    Parameters
    ----------
    scores : ndarray of float32 (pairs, rows, columns)
    centre, scale : ndarray (pairs,)
        Of the mean score over 3 x 3 cells, which is divided by `wide_widening` first.
    widening, wide_widening : float
        How much wider than of a normal law scores, and mean scores, scatter.
    """
    pairs, rows, cols = scores.shape
    out = np.full((rows, cols), np.inf, np.float32)
    wide = np.empty((rows, cols), np.float32)
    narrower, wider = np.float32(widening), np.float32(wide_widening)
    for p in range(pairs):
        plane_means(scores[p], False, wide)
        for y in range(rows):
            for x in range(cols):
                v = scores[p, y, x] / narrower
                w = np.float32((np.float64(wide[y, x] / wider) - centre[p]) / scale[p])
                v = w if not v <= w else v
                out[y, x] = v if v < out[y, x] else out[y, x]
    return out
