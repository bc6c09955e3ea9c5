"""Ranks of the values of each cell over its pairs, or of a square over its cells; ndarray in, ndarray out.

Many cells are ranked side by side, by a network of comparisons that does not depend on the values: compilers make
vector instructions of it, several times as fast as one sort after the other.
"""

from __future__ import annotations

import numpy as np

from insar_mining.arrays import BoolArray, Float32Array, FloatArray
from insar_mining.jit import njit

# cells that are ranked together: their values over a year stay in the first cache
TOGETHER = 64
# cells along a side of the squares of which the local weather is found, and values that such a square needs
WEATHER_CELLS, WEATHER_VALUES = 8, 16


@njit(nogil=True)
def sort_columns(values: Float32Array, cols: int) -> None:
    """Sort the first columns of an array (n, at least `cols`) in their place, rising; no NaN.

    Notes
    -----
    Merge exchange of Batcher 1968, doi:10.1145/1468075.1468121, as algorithm 5.2.2M of Knuth, The Art of Computer
    Programming 3.
    """
    n = values.shape[0]
    top = 1
    while 2 * top < n:
        top *= 2
    step = top if n > 1 else 0
    while step > 0:
        quotient, rest, distance = top, 0, step
        while True:
            for i in range(n - distance):
                if i & step == rest:
                    low, high = values[i], values[i + distance]
                    for x in range(cols):
                        a, b = low[x], high[x]
                        low[x] = a if a < b else b
                        high[x] = b if a < b else a
            if quotient == step:
                break
            distance, rest = quotient - step, step
            quotient //= 2
        step //= 2


@njit(nogil=True)
def _upper_half(ranked, n, x):  # type: ignore[no-untyped-def]
    """Average the upper half of the first n values of a sorted column, the middle one included."""
    total = 0.0
    for k in range(n // 2, n):
        total += ranked[k, x]
    return total / (n - n // 2)


@njit(nogil=True)
def upper_halves(values: Float32Array, use: BoolArray, offset: FloatArray) -> Float32Array:
    """Average the upper half of each cell's values less an offset over some pairs, (rows, columns); NaN without any."""
    pairs, rows, cols = values.shape
    out = np.full((rows, cols), np.nan, np.float32)
    some = np.empty((pairs, TOGETHER), np.float32)
    count = np.zeros(TOGETHER, np.int64)
    for y in range(rows):
        for left in range(0, cols, TOGETHER):
            width = min(TOGETHER, cols - left)
            some[:] = np.inf
            count[:] = 0
            for p in range(pairs):
                if use[p]:
                    less = np.float32(offset[p])
                    for x in range(width):
                        v = values[p, y, left + x]
                        some[p, x] = v - less if v == v else np.float32(np.inf)
                        count[x] += 1 if v == v else 0
            sort_columns(some, width)
            for x in range(width):
                if count[x] > 0:
                    out[y, left + x] = _upper_half(some, count[x], x)
    return out


@njit(nogil=True, error_model="numpy")
def own_levels(
    mean: Float32Array, upper: FloatArray, short: BoolArray, floor: float, share: float, least: int, least_share: float
) -> Float32Array:
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
    ndarray of float32 (rows, columns)
        Mean of the upper half of ``mean - upper`` over the pairs in which the cell is up, NaN where it is up too
        seldom.
    """
    pairs, rows, cols = mean.shape
    level = np.full((rows, cols), np.nan, np.float32)
    up = np.empty((pairs, TOGETHER), np.float32)
    n_up = np.zeros(TOGETHER, np.int64)
    n = np.zeros(TOGETHER, np.int64)
    infinite = np.float32(np.inf)
    for y in range(rows):
        for left in range(0, cols, TOGETHER):
            width = min(TOGETHER, cols - left)
            up[:] = infinite
            n_up[:] = 0
            n[:] = 0
            for p in range(pairs):
                if not short[p] or upper[p] != upper[p]:
                    continue
                top = np.float32(upper[p])
                limit = np.float32(floor + share * (upper[p] - floor))
                for x in range(width):
                    v = mean[p, y, left + x]
                    n[x] += 1 if v == v else 0
                    n_up[x] += 1 if v >= limit else 0
                    up[p, x] = v - top if v >= limit else infinite
            sort_columns(up, width)
            for x in range(width):
                if n[x] > 0 and n_up[x] >= least and n_up[x] >= least_share * n[x]:
                    level[y, left + x] = _upper_half(up, n_up[x], x)
    return level


@njit(nogil=True)
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


@njit(nogil=True)
def lowest_third(scores: Float32Array, sign: float = 1.0) -> Float32Array:
    """Average the lowest third of each cell's scores times a sign, NaN without any; float32 (rows, columns)."""
    pairs, rows, cols = scores.shape
    out = np.full((rows, cols), np.nan, np.float32)
    some = np.empty((pairs, TOGETHER), np.float32)
    count = np.zeros(TOGETHER, np.int64)
    factor = np.float32(sign)
    for y in range(rows):
        for left in range(0, cols, TOGETHER):
            width = min(TOGETHER, cols - left)
            count[:] = 0
            for p in range(pairs):
                for x in range(width):
                    v = scores[p, y, left + x]
                    some[p, x] = factor * v if v == v else np.float32(np.inf)
                    count[x] += 1 if v == v else 0
            sort_columns(some, width)
            for x in range(width):
                third = max(count[x] // 3, 1)
                total = 0.0
                for k in range(third):
                    total += some[k, x]
                if count[x] > 0:
                    out[y, left + x] = total / third
    return out


@njit(nogil=True, inline="always")
def _middle(ranked, n, x):  # type: ignore[no-untyped-def]
    """Return the median of the first n values of a sorted column."""
    return 0.5 * (ranked[(n - 1) // 2, x] + ranked[n // 2, x])


@njit(nogil=True)
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
    across = out.shape[2]
    some = np.empty((WEATHER_CELLS * WEATHER_CELLS, across), np.float32)
    count = np.zeros(across, np.int64)
    gone = np.zeros(across, np.int64)
    for p in range(pairs):
        for i in range(out.shape[1]):
            some[:] = np.inf
            count[:] = 0
            gone[:] = 0
            for y in range(i * WEATHER_CELLS, min((i + 1) * WEATHER_CELLS, rows)):
                first = y % WEATHER_CELLS * WEATHER_CELLS
                for x in range(cols):
                    v = scores[p, y, x]
                    if v == v:
                        j = x // WEATHER_CELLS
                        some[first + x % WEATHER_CELLS, j] = v
                        count[j] += 1
                        gone[j] += 1 if mean[p, y, x] < limit[p] else 0
            sort_columns(some, across)
            for j in range(across):
                clear = count[j] >= WEATHER_VALUES and 2 * gone[j] <= count[j]
                out[p, i, j] = _middle(some, count[j], j) if clear else np.nan


@njit(nogil=True)
def weather_around(medians: Float32Array, reach: int, limit: float, out: Float32Array) -> None:
    """Write the median of the values (0: none) within some blocks of each where it lies below a limit.

    Parameters
    ----------
    medians, out : ndarray of float32 (pairs, blocks down, blocks across)
        `out` holds zeros.
    reach : int
    limit : float
    """
    pairs, rows, cols = medians.shape
    some = np.empty(((2 * reach + 1) ** 2, cols), np.float32)
    count = np.zeros(cols, np.int64)
    for p in range(pairs):
        for y in range(rows):
            if not medians[p, max(y - reach, 0) : y + reach + 1].any():
                continue
            some[:] = np.inf
            count[:] = 0
            n = 0
            for v in range(max(y - reach, 0), min(y + reach + 1, rows)):
                for right in range(-reach, reach + 1):
                    for x in range(max(-right, 0), min(cols - right, cols)):
                        m = medians[p, v, x + right]
                        if m != 0:
                            some[n, x] = m
                            count[x] += 1
                    n += 1
            sort_columns(some, cols)
            for x in range(cols):
                middle = _middle(some, count[x], x) if count[x] > 0 else 0.0
                if middle < limit:
                    out[p, y, x] = middle
