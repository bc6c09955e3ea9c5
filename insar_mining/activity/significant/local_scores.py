"""What each cell of a block reads in each pair, beside what stable ground reads: ndarray in, ndarray out.

Means and normal scores over 3 x 3 cells, and how coherent a cell's own undisturbed ground is. Sums over neighbours
are taken in one fixed order, so that no result depends on the blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from numba import extending

from insar_mining.arrays import Float32Array, FloatArray
from insar_mining.coherence.estimators.statistics import SCORE_TRUE_MAX, expected_coherence, score_table, unbias

# true coherence of stable ground: (pairs,), or (pairs, rows, columns) where cells differ
Levels = npt.NDArray[np.floating[Any]]

# a year of fewer pairs does not tell a cell's own level; one with a smaller share of undisturbed pairs neither
OWN_LEVEL_PAIRS = 4
OWN_LEVEL_SHARE = 0.1
# ground is at most so much more coherent than the stable mean
MOST_RATIO = 1.15
UNKNOWN = -1.0
# cells around a certain one in which the level of disturbed ground, and of what it was before, is taken
LEVEL_REACH = 3
# ratios that differ by less are of the same undisturbed ground
NEARLY = 0.1

_INVERSE_NODES = 1024


class LookTables(NamedTuple):
    """Tables of the law of coherence for one number of looks, as the loops take them.

    Attributes
    ----------
    expected : ndarray
        Mean sample coherence for true coherence 0, ..., 1, evenly spaced.
    true : ndarray
        True coherence for a mean of 0, ..., 1, evenly spaced.
    score : ndarray
        Of `score_table`.
    """

    expected: FloatArray
    true: FloatArray
    score: Float32Array


def look_tables(looks: float) -> LookTables:
    """Make the tables for a number of looks."""
    nodes = np.linspace(0.0, 1.0, _INVERSE_NODES + 1)
    return LookTables(
        np.ascontiguousarray(expected_coherence(nodes, looks)),
        np.ascontiguousarray(unbias(nodes, looks).true),
        np.ascontiguousarray(score_table(looks), np.float32),
    )


@numba.njit(cache=True, nogil=True, inline="always")
def at(table, x):  # type: ignore[no-untyped-def]
    """Linear interpolation in a table over 0..1."""
    place = min(max(x, 0.0), 1.0) * (table.size - 1)
    i = min(int(place), table.size - 2)
    part = place - i
    return table[i] + part * (table[i + 1] - table[i])


def stable_at(stable: Levels, p: int, y: int, x: int) -> float:
    """Return the true coherence of stable ground in a pair: one for all cells, or each its own."""
    return float(stable[p] if stable.ndim == 1 else stable[p, y, x])


@extending.overload(stable_at)
def _stable_at(stable, p, y, x):  # type: ignore[no-untyped-def]
    """Settle which of both it is when a loop is compiled: one for all costs no look-up."""
    if stable.ndim == 1:
        return lambda stable, p, y, x: stable[p]
    return lambda stable, p, y, x: np.float64(stable[p, y, x])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _means_of_pair(values, out):  # type: ignore[no-untyped-def]
    """`local_means` of one pair, (rows, columns)."""
    rows, cols = values.shape
    # sums along three rows at a time, with nothing above, below and beside, so that no loop asks where it is
    total = np.zeros((3, cols), np.float32)
    count = np.zeros((3, cols), np.float32)
    known = np.zeros(cols + 2, np.float32)
    there = np.zeros(cols + 2, np.float32)
    # views, for an index that may leave the array is not worked out for several cells at once
    known_here, known_right = known[1:-1], known[2:]
    there_here, there_right = there[1:-1], there[2:]
    nothing, nan = np.float32(0.0), np.float32(np.nan)
    for y in range(rows + 1):
        # the row below takes the place of the one that is no longer needed
        t, c = total[(y + 1) % 3], count[(y + 1) % 3]
        if y < rows:
            row = values[y]
            for x in range(cols):
                v = row[x]
                known_here[x] = v if v == v else nothing
                there_here[x] = np.float32(1.0) if v == v else nothing
            for x in range(cols):
                t[x] = known[x] + known_here[x] + known_right[x]
            for x in range(cols):
                c[x] = there[x] + there_here[x] + there_right[x]
        else:
            t[:] = nothing
            c[:] = nothing
        if y == 0:
            continue
        t0, t1, c0, c1 = total[(y - 1) % 3], total[y % 3], count[(y - 1) % 3], count[y % 3]
        row, means = values[y - 1], out[y - 1]
        for x in range(cols):
            s = t0[x] + t1[x] + t[x]
            n = c0[x] + c1[x] + c[x]
            means[x] = s / n if row[x] == row[x] else nan


@numba.njit(cache=True, nogil=True)
def local_means(values: Float32Array) -> Float32Array:
    """Mean over the finite cells of the 3 x 3 around each finite cell; NaN elsewhere. Shape (pairs, rows, columns)."""
    out = np.empty(values.shape, np.float32)
    for p in range(values.shape[0]):
        _means_of_pair(values[p], out[p])
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def own_ratio(  # type: ignore[no-untyped-def]
    mean: Float32Array, stable: Levels, spans: FloatArray, expected: FloatArray, true: FloatArray
):
    """How coherent each cell is beside the stable ground when nobody works on it, over the shortest span.

    From the mean over the pairs in which its local mean lies above the middle of stable and decorrelated ground;
    UNKNOWN where there are too few of these: such a cell is taken for as coherent as the stable ground.
    """
    pairs, rows, cols = mean.shape
    ratio = np.full((rows, cols), UNKNOWN)
    # a row at a time, whose sums stay in the processor; what does not count is added as zero, which asks no questions
    total = np.empty(cols)
    reference = np.empty(cols)
    span = np.empty(cols)
    used = np.empty(cols, np.int32)
    finite = np.empty(cols, np.int32)
    levels = np.empty(cols)
    limits = np.empty(cols)
    for y in range(rows):
        total[:] = 0.0
        reference[:] = 0.0
        span[:] = 0.0
        used[:] = 0
        finite[:] = 0
        for p in range(pairs):
            if stable.ndim == 1:
                levels[:] = stable[p]
                limits[:] = (at(expected, stable[p]) + expected[0]) / 2
            else:
                for x in range(cols):
                    levels[x] = stable_at(stable, p, y, x)
                    limits[x] = (at(expected, levels[x]) + expected[0]) / 2
            days = spans[p]
            for x in range(cols):
                v = np.float64(mean[p, y, x])
                up = v >= limits[x]
                finite[x] += np.int32(1) if v == v else np.int32(0)
                used[x] += np.int32(1) if up else np.int32(0)
                total[x] += v if up else 0.0
                reference[x] += levels[x] if up else 0.0
                span[x] += days if up else 0.0
        for x in range(cols):
            n = used[x]
            if finite[x] >= OWN_LEVEL_PAIRS and n >= 2 and n >= OWN_LEVEL_SHARE * finite[x]:
                own = at(true, total[x] / n) / (reference[x] / n)
                ratio[y, x] = min(max(own, 1e-3) ** (n / span[x]), MOST_RATIO)
    return ratio


@numba.njit(cache=True, nogil=True)
def ratio_beside(ratio, y, x):  # type: ignore[no-untyped-def]
    """`ratio_near` of one cell."""
    rows, cols = ratio.shape
    top = ratio[y, x]
    for v in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
        for u in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
            top = max(top, ratio[v, u])
    total = 0.0
    count = 0
    for v in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
        for u in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
            if ratio[v, u] >= top - NEARLY and ratio[v, u] != UNKNOWN:
                total += ratio[v, u]
                count += 1
    return total / count if count > 0 else UNKNOWN


@numba.njit(cache=True, nogil=True)
def ratio_near(ratio):  # type: ignore[no-untyped-def]
    """Ratio of the undisturbed ground around each cell: the mean of those near it that are nearly as large as any.

    A cell on the border mixes both grounds in every pair; what it is undisturbed the cells beside it tell.
    UNKNOWN where none of them knows.
    """
    out = np.empty(ratio.shape)
    for y in range(ratio.shape[0]):
        for x in range(ratio.shape[1]):
            out[y, x] = ratio_beside(ratio, y, x)
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def _factor(ratio, span):  # type: ignore[no-untyped-def]
    """How coherent a cell is beside the stable ground in a pair in which nobody works on it."""
    return 1.0 if ratio == UNKNOWN else ratio if span == 1.0 else ratio**span


@numba.njit(cache=True, nogil=True, inline="always")
def undisturbed(stable, ratio, span):  # type: ignore[no-untyped-def]
    """Return the true coherence that a cell has in a pair in which nobody works on it."""
    return min(stable * _factor(ratio, span), SCORE_TRUE_MAX)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def local_scores(  # type: ignore[no-untyped-def]
    values: Float32Array, stable: Levels, spans: FloatArray, ratio: FloatArray, score: Float32Array
):
    """Mean normal score over the 3 x 3 around each cell, float32 (pairs, rows, columns), NaN without data."""
    pairs, rows, cols = values.shape
    out = np.empty(values.shape, np.float32)
    single = np.empty((rows, cols), np.float32)
    # a node of the table and the three beside and below it
    width = np.int32(score.shape[1])
    table = score.ravel()
    after, under, corner = table[1:], table[width:], table[width + 1 :]
    across = np.float64(score.shape[1] - 1)
    down = (score.shape[0] - 1) / SCORE_TRUE_MAX
    last_row, last_col = np.int32(score.shape[0] - 2), np.int32(score.shape[1] - 2)
    factor = np.empty((rows, cols))
    of_span = np.nan
    # places in the table first, which the processor works out for several cells at once; then the look-ups
    node = np.empty(cols, np.uint64)
    right = np.empty(cols)
    below = np.empty(cols)
    for p in range(pairs):
        if spans[p] != of_span:
            # powers are dear: for all pairs of one span they are the same
            of_span = spans[p]
            for y in range(rows):
                for x in range(cols):
                    factor[y, x] = _factor(ratio[y, x], of_span)
        for y in range(rows):
            for x in range(cols):
                v = np.float64(values[p, y, x])
                b = min(stable_at(stable, p, y, x) * factor[y, x], SCORE_TRUE_MAX) * down
                i = min(np.int32(b), last_row)
                a = (min(max(v, 0.0), 1.0) if v == v else 0.0) * across
                j = min(np.int32(a), last_col)
                below[x] = b - i
                right[x] = a - j
                node[x] = i * width + j
            for x in range(cols):
                k, a, b = node[x], right[x], below[x]
                low = table[k] + a * (after[k] - table[k])
                high = under[k] + a * (corner[k] - under[k])
                v = values[p, y, x]
                single[y, x] = np.float32(low + b * (high - low)) if v == v else np.float32(np.nan)
        _means_of_pair(single, out[p])
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def score_counts(  # type: ignore[no-untyped-def]
    scores: Float32Array,
    stable: npt.NDArray[np.bool_],
    mine: npt.NDArray[np.bool_],
    top: int,
    left: int,
    low: float,
    step: float,
    steps: int,
):
    """Count the local scores of stable ground, and the least score of each cell, in even steps.

    Parameters
    ----------
    scores : ndarray (pairs, rows, columns)
        Of a block with its margin.
    stable, mine : ndarray of bool
        Stable ground, and cells that are decided on; of the block alone.
    top, left : int
        Rows and columns of the margin before the block.
    low, step : float
    steps : int
        Scores below the first step and above the last belong to these.

    Returns
    -------
    on_stable, least : ndarray of int64 (steps,)
        Every score of the stable cells; the smallest over the pairs of every cell of `mine` that has any.
    """
    rows, cols = stable.shape
    on_stable = np.zeros(steps, np.int64)
    least = np.zeros(steps, np.int64)
    smallest = np.empty(cols, np.float32)
    place = np.empty(cols, np.int32)
    last = np.float64(steps - 1)
    for y in range(rows):
        smallest[:] = np.inf
        some = stable[y].any()
        for p in range(scores.shape[0]):
            row = scores[p, y + top, left : left + cols]
            for x in range(cols):
                v = row[x]
                # what is not a number is not smaller
                smallest[x] = v if v < smallest[x] else smallest[x]
            if some:
                for x in range(cols):
                    v = np.float64(row[x])
                    inside = min(max((v - low) / step, 0.0), last)
                    place[x] = np.int32(inside) if v == v and stable[y, x] else np.int32(-1)
                for x in range(cols):
                    if place[x] >= 0:
                        on_stable[place[x]] += 1
        for x in range(cols):
            v = smallest[x]
            if mine[y, x] and v < np.inf:
                least[min(max(int((np.float64(v) - low) / step), 0), steps - 1)] += 1
    return on_stable, least


@numba.njit(cache=True, nogil=True)
def departed(mean: Float32Array, usual: FloatArray, floor: float) -> npt.NDArray[np.bool_]:
    """Where the local mean of any pair lies below the middle of the pair's usual value and decorrelated ground.

    Parameters
    ----------
    mean : ndarray (pairs, rows, columns)
    usual : ndarray (pairs,)
        NaN: the pair says nothing.
    floor : float
        Mean sample coherence of decorrelated ground.
    """
    pairs, rows, cols = mean.shape
    out = np.zeros((rows, cols), np.bool_)
    for p in range(pairs):
        limit = (usual[p] + floor) / 2
        for y in range(rows):
            for x in range(cols):
                if mean[p, y, x] < limit:
                    out[y, x] = True
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def value_counts(values: Float32Array, mask: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.int64]:
    """Count the values 0..1 of each pair over a mask in even steps; int64 (pairs, steps)."""
    pairs, rows, cols = values.shape
    counts = np.zeros((pairs, steps), np.int64)
    place = np.empty(cols, np.int32)
    last = np.float64(steps - 1)
    for y in range(rows):
        if not mask[y].any():
            continue
        for p in range(pairs):
            for x in range(cols):
                v = np.float64(values[p, y, x])
                inside = min(max(v * steps, 0.0), last)
                place[x] = np.int32(inside) if v == v and mask[y, x] else np.int32(-1)
            for x in range(cols):
                if place[x] >= 0:
                    counts[p, place[x]] += 1
    return counts
