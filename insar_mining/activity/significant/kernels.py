"""Loops over the cells of a block: means, own levels, scores, local weather; ndarray in, ndarray out.

Sums over neighbours are taken in one fixed order, so that no result depends on the blocks.
"""

from __future__ import annotations

import numba
import numpy as np

from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray

# coherence above this says nothing more, and its atanh grows without bound
MOST_COHERENCE = np.float32(0.995)
WEATHER_CELLS = 8


@numba.njit(cache=True, nogil=True, error_model="numpy")
def local_means(values: Float32Array, averaged: bool):  # type: ignore[no-untyped-def]
    """Average coherence, and its atanh, over the finite cells of the 3 x 3 around each finite cell.

    Parameters
    ----------
    values : ndarray of float32 (pairs, rows, columns)
    averaged : bool
        False: each cell by itself.

    Returns
    -------
    mean, mean_atanh : ndarray of float32 (pairs, rows, columns)
    """
    pairs, rows, cols = values.shape
    mean = np.empty(values.shape, np.float32)
    scaled = np.empty(values.shape, np.float32)
    one, zero, nan = np.float32(1.0), np.float32(0.0), np.float32(np.nan)
    half, top = np.float32(0.5), MOST_COHERENCE
    sums = np.zeros((3, 3, cols), np.float32)
    known = np.zeros((3, cols + 2), np.float32)
    for p in range(pairs):
        for y in range(rows + 1):
            here = sums[(y + 1) % 3]
            if y < rows:
                row = values[p, y]
                for x in range(cols):
                    v = row[x]
                    there = v == v
                    d = min(v, top) if there else zero
                    known[0, x + 1] = v if there else zero
                    known[1, x + 1] = half * np.log((one + d) / (one - d))
                    known[2, x + 1] = one if there else zero
                if not averaged:
                    for x in range(cols):
                        there = row[x] == row[x]
                        mean[p, y, x] = row[x]
                        scaled[p, y, x] = known[1, x + 1] if there else nan
                    continue
                for k in range(3):
                    for x in range(cols):
                        here[k, x] = known[k, x] + known[k, x + 1] + known[k, x + 2]
            elif not averaged:
                continue
            else:
                here[:] = zero
            if y == 0:
                # nothing lies above the first row
                sums[y % 3] = zero
                continue
            above, middle = sums[(y - 1) % 3], sums[y % 3]
            row = values[p, y - 1]
            for x in range(cols):
                n = above[2, x] + middle[2, x] + here[2, x]
                there = row[x] == row[x]
                mean[p, y - 1, x] = (above[0, x] + middle[0, x] + here[0, x]) / n if there else nan
                scaled[p, y - 1, x] = (above[1, x] + middle[1, x] + here[1, x]) / n if there else nan
        sums[:] = zero
    return mean, scaled


@numba.njit(cache=True, nogil=True, error_model="numpy")
def own_levels(  # type: ignore[no-untyped-def]
    mean: Float32Array, upper: FloatArray, short: BoolArray, floor: float, share: float, least: int, least_share: float
):
    """Find what each cell reads when nobody works on it, relative to the most coherent ground of each pair.

    Parameters
    ----------
    mean : ndarray of float32 (pairs, rows, columns)
    upper : ndarray (pairs,)
        What the most coherent ground reads; NaN: the pair is not used.
    short : ndarray of bool (pairs,)
        Pairs of a short span.
    floor : float
        What decorrelated ground reads.
    share : float
        Part of the way from floor to upper at which a cell counts as up.
    least, least_share : int, float
        Pairs, and share of the cell's short pairs, in which it must be up.

    Returns
    -------
    level, weak : ndarray of float32 (rows, columns)
        Mean of the upper half of ``mean - upper`` over the pairs in which the cell is up, NaN where it is up too
        seldom; the same over all short pairs, and -inf where the median of these lies below `WEAK` of the way.
    """
    pairs, rows, cols = mean.shape
    level = np.full((rows, cols), np.nan, np.float32)
    weak = np.full((rows, cols), np.nan, np.float32)
    up = np.empty((cols, pairs), np.float32)
    every = np.empty((cols, pairs), np.float32)
    n_up = np.zeros(cols, np.int64)
    n = np.zeros(cols, np.int64)
    for y in range(rows):
        n_up[:] = 0
        n[:] = 0
        for p in range(pairs):
            if not short[p] or upper[p] != upper[p]:
                continue
            top = np.float32(upper[p])
            limit = np.float32(floor + share * (upper[p] - floor))
            row = mean[p, y]
            for x in range(cols):
                v = row[x]
                if v == v:
                    every[x, n[x]] = v - top
                    n[x] += 1
                    if v >= limit:
                        up[x, n_up[x]] = v - top
                        n_up[x] += 1
        for x in range(cols):
            if n[x] == 0:
                continue
            if n_up[x] >= least and n_up[x] >= least_share * n[x]:
                level[y, x] = _upper_half(up[x, : n_up[x]])
            weak[y, x] = _upper_half(every[x, : n[x]])
    return level, weak


@numba.njit(cache=True, nogil=True)
def _upper_half(values):  # type: ignore[no-untyped-def]
    """Average the upper half of some values, the middle one included; they are sorted in their place."""
    values.sort()
    first = values.size // 2
    total = 0.0
    for k in range(first, values.size):
        total += values[k]
    return total / (values.size - first)


@numba.njit(cache=True, nogil=True)
def upper_halves(values: Float32Array, use: BoolArray) -> Float32Array:
    """Average the upper half of each cell's values over some pairs, (rows, columns); NaN without any."""
    pairs, rows, cols = values.shape
    out = np.full((rows, cols), np.nan, np.float32)
    some = np.empty((cols, pairs), np.float32)
    count = np.zeros(cols, np.int64)
    for y in range(rows):
        count[:] = 0
        for p in range(pairs):
            if use[p]:
                for x in range(cols):
                    v = values[p, y, x]
                    if v == v:
                        some[x, count[x]] = v
                        count[x] += 1
        for x in range(cols):
            if count[x] > 0:
                out[y, x] = _upper_half(some[x, : count[x]])
    return out


@numba.njit(cache=True, nogil=True)
def weak_ground(mean: Float32Array, upper: FloatArray, short: BoolArray, floor: float, share: float) -> BoolArray:
    """Check whether a cell lies a part of the way from floor to upper in at least half of its short pairs."""
    pairs, rows, cols = mean.shape
    count = np.zeros((rows, cols), np.int32)
    above = np.zeros((rows, cols), np.int32)
    for p in range(pairs):
        if not short[p] or upper[p] != upper[p]:
            continue
        limit = np.float32(floor + share * (upper[p] - floor))
        for y in range(rows):
            for x in range(cols):
                v = mean[p, y, x]
                count[y, x] += 1 if v == v else 0
                above[y, x] += 1 if v >= limit else 0
    return (2 * above >= count) & (count > 0)


@numba.njit(cache=True, nogil=True, inline="always")
def at_class(table, p, place):  # type: ignore[no-untyped-def]
    """Interpolate linearly in a table (pairs, classes) at a place between classes."""
    k = min(int(place), table.shape[1] - 2)
    part = place - k
    return table[p, k] + part * (table[p, k + 1] - table[p, k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def class_scores(scaled: Float32Array, place: Float32Array, usual: FloatArray, spread: FloatArray) -> Float32Array:
    """Score of each cell and pair against ground of its own level; NaN where `place` is.

    Parameters
    ----------
    scaled : ndarray of float32 (pairs, rows, columns)
        Of `local_means`.
    place : ndarray of float32 (rows, columns)
        Place of each cell's level among the classes.
    usual, spread : ndarray (pairs, classes)
    """
    pairs, rows, cols = scaled.shape
    out = np.empty(scaled.shape, np.float32)
    last = usual.shape[1] - 2
    for p in range(pairs):
        middle, width = usual[p], spread[p]
        for y in range(rows):
            for x in range(cols):
                where = np.float64(place[y, x])
                if where != where:
                    out[p, y, x] = np.nan
                    continue
                k = min(int(where), last)
                part = where - k
                centre = middle[k] + part * (middle[k + 1] - middle[k])
                scale = width[k] + part * (width[k + 1] - width[k])
                out[p, y, x] = (scaled[p, y, x] - centre) / scale
    return out


@numba.njit(cache=True, nogil=True)
def block_medians(scores: Float32Array, mean: Float32Array, limit: FloatArray, out: Float32Array) -> None:
    """Compute the median score of every 8 x 8 cells in each pair; NaN of fewer than 16, or most at the floor.

    Parameters
    ----------
    scores, mean : ndarray of float32 (pairs, rows, columns)
        Beginning on a multiple of 8 of the map.
    limit : ndarray (pairs,)
        Local mean below which a cell counts as decorrelated.
    out : ndarray of float32 (pairs, blocks down, blocks across)
    """
    pairs, rows, cols = scores.shape
    some = np.empty(WEATHER_CELLS * WEATHER_CELLS, np.float32)
    for p in range(pairs):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                n = 0
                gone = 0
                for y in range(i * WEATHER_CELLS, min((i + 1) * WEATHER_CELLS, rows)):
                    for x in range(j * WEATHER_CELLS, min((j + 1) * WEATHER_CELLS, cols)):
                        v = scores[p, y, x]
                        if v == v:
                            some[n] = v
                            n += 1
                            gone += 1 if mean[p, y, x] < limit[p] else 0
                out[p, i, j] = np.nan
                if n >= 16 and 2 * gone <= n:
                    some[:n].sort()
                    out[p, i, j] = 0.5 * (some[(n - 1) // 2] + some[n // 2])


@numba.njit(cache=True, nogil=True)
def weather_around(medians: Float32Array, reach: int, limit: float) -> Float32Array:
    """Return the median of the finite values within some blocks of each, where it lies below a limit; 0 elsewhere."""
    pairs, rows, cols = medians.shape
    out = np.zeros(medians.shape, np.float32)
    some = np.empty((2 * reach + 1) ** 2, np.float32)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                n = 0
                for v in range(max(y - reach, 0), min(y + reach + 1, rows)):
                    for u in range(max(x - reach, 0), min(x + reach + 1, cols)):
                        if medians[p, v, u] == medians[p, v, u]:
                            some[n] = medians[p, v, u]
                            n += 1
                if n > 0:
                    some[:n].sort()
                    middle = 0.5 * (some[(n - 1) // 2] + some[n // 2])
                    if middle < limit:
                        out[p, y, x] = middle
    return out


@numba.njit(cache=True, nogil=True)
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
    for p in range(pairs):
        if not (weather[p] != 0).any():
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def wide_scores(scores: Float32Array) -> Float32Array:
    """Average the scores over the finite cells of the 3 x 3 around each finite cell; NaN elsewhere."""
    pairs, rows, cols = scores.shape
    out = np.empty(scores.shape, np.float32)
    sums = np.zeros((3, cols), np.float32)
    counts = np.zeros((3, cols), np.float32)
    known = np.zeros(cols + 2, np.float32)
    there = np.zeros(cols + 2, np.float32)
    for p in range(pairs):
        sums[:] = 0
        counts[:] = 0
        for y in range(rows + 1):
            s, c = sums[(y + 1) % 3], counts[(y + 1) % 3]
            if y < rows:
                for x in range(cols):
                    v = scores[p, y, x]
                    known[x + 1] = v if v == v else np.float32(0)
                    there[x + 1] = np.float32(1) if v == v else np.float32(0)
                for x in range(cols):
                    s[x] = known[x] + known[x + 1] + known[x + 2]
                    c[x] = there[x] + there[x + 1] + there[x + 2]
            else:
                s[:] = 0
                c[:] = 0
            if y > 0:
                for x in range(cols):
                    total = sums[(y - 1) % 3, x] + sums[y % 3, x] + s[x]
                    n = counts[(y - 1) % 3, x] + counts[y % 3, x] + c[x]
                    v = scores[p, y - 1, x]
                    out[p, y - 1, x] = total / n if v == v else np.float32(np.nan)
    return out


@numba.njit(cache=True, nogil=True)
def count_scores(scores: Float32Array, where: BoolArray, low: float, step: float, counts: IntArray) -> None:
    """Add the scores of some cells to counts (pairs, steps) in even steps; those beyond belong to the outermost."""
    pairs, rows, cols = scores.shape
    last = counts.shape[1] - 1
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = np.float64(scores[p, y, x])
                if where[y, x] and v == v:
                    counts[p, int(min(max((v - low) / step, 0.0), last))] += 1


@numba.njit(cache=True, nogil=True)
def least_scores(scores: Float32Array, wide: Float32Array, centre: FloatArray, scale: FloatArray) -> Float32Array:
    """Find the least of both scores over the pairs of each cell, the wide one standardised; +inf without any."""
    pairs, rows, cols = scores.shape
    out = np.full((rows, cols), np.inf, np.float32)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = scores[p, y, x]
                if v < out[y, x]:
                    out[y, x] = v
                w = np.float32((np.float64(wide[p, y, x]) - centre[p]) / scale[p])
                if w < out[y, x]:
                    out[y, x] = w
    return out


@numba.njit(cache=True, nogil=True)
def lowest_third(scores: Float32Array) -> Float32Array:
    """Average the lowest third of each cell's scores over its pairs, NaN without any; float32 (rows, columns)."""
    pairs, rows, cols = scores.shape
    out = np.full((rows, cols), np.nan, np.float32)
    some = np.empty((cols, pairs), np.float32)
    count = np.zeros(cols, np.int64)
    for y in range(rows):
        count[:] = 0
        for p in range(pairs):
            for x in range(cols):
                v = scores[p, y, x]
                if v == v:
                    some[x, count[x]] = v
                    count[x] += 1
        for x in range(cols):
            n = count[x]
            if n == 0:
                continue
            part = some[x, :n]
            part.sort()
            third = max(n // 3, 1)
            total = 0.0
            for k in range(third):
                total += part[k]
            out[y, x] = total / third
    return out
