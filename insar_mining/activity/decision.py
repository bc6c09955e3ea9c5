"""Loops of the significance method over the cells of a block: ndarray in, ndarray out.

A cell is decided on with its neighbours, so a block comes with a margin of `HALO` cells around what is
kept of it. Sums over neighbours are taken in one fixed order, so that no result depends on the blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from numba import extending

from insar_mining.coherence.statistics import SCORE_TRUE_MAX, expected_coherence, score_table, unbias

FloatArray = npt.NDArray[np.float64]
FloatBlock = npt.NDArray[np.float32]
CodeBlock = npt.NDArray[np.uint8]
# true coherence of stable ground: (pairs,), or (pairs, rows, columns) where cells differ
Levels = npt.NDArray[np.floating[Any]]

# cells around a block that its decisions look at: 1 of the mean, 1 of the support, 3 of the level, 2 of seams
HALO = 7

# bits of what a cell is in a pair
CORE, LOW, NEAR = 1, 2, 4

# neighbours of the 3 x 3, itself included, that are low as well where a cell is certain
SUPPORT = 7
# cells around a certain one in which the border is drawn, and in which the level of disturbed ground is taken
REACH, LEVEL_REACH = 2, 3
# pairs from which a border that stays in its place is told by their mean alone; what is added to losses of fewer
POOLED_PAIRS = 4
FEW_SLACK = 0.3
# cells over which a seam between active ground is closed
SEAM = 2
# a year of fewer pairs does not tell a cell's own level; one with a smaller share of undisturbed pairs neither
OWN_LEVEL_PAIRS = 4
OWN_LEVEL_SHARE = 0.1
# ground is at most so much more coherent than the stable mean
MOST_RATIO = 1.15
UNKNOWN = -1.0
# ratios that differ by less are of the same undisturbed ground
NEARLY = 0.1

# weight of a core all of whose neighbours are low, in that level
CORE_WEIGHT = 16.0

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
    score: FloatBlock


def look_tables(looks: float) -> LookTables:
    """Make the tables for a number of looks."""
    nodes = np.linspace(0.0, 1.0, _INVERSE_NODES + 1)
    return LookTables(
        np.ascontiguousarray(expected_coherence(nodes, looks)),
        np.ascontiguousarray(unbias(nodes, looks).true),
        np.ascontiguousarray(score_table(looks), np.float32),
    )


@numba.njit(cache=True, nogil=True, inline="always")
def _at(table, x):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True, nogil=True)
def local_means(values: FloatBlock) -> FloatBlock:
    """Mean over the finite cells of the 3 x 3 around each finite cell; NaN elsewhere. Shape (pairs, rows, columns)."""
    pairs, rows, cols = values.shape
    out = np.empty(values.shape, np.float32)
    # sums along the rows, with a row of nothing above and below, so that no loop asks where it is
    total = np.zeros((rows + 2, cols), np.float32)
    count = np.zeros((rows + 2, cols), np.float32)
    known = np.zeros(cols + 2, np.float32)
    there = np.zeros(cols + 2, np.float32)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = values[p, y, x]
                known[x + 1] = v if v == v else np.float32(0.0)
                there[x + 1] = np.float32(1.0) if v == v else np.float32(0.0)
            for x in range(cols):
                total[y + 1, x] = known[x] + known[x + 1] + known[x + 2]
                count[y + 1, x] = there[x] + there[x + 1] + there[x + 2]
        for y in range(rows):
            for x in range(cols):
                v = values[p, y, x]
                s = total[y, x] + total[y + 1, x] + total[y + 2, x]
                n = count[y, x] + count[y + 1, x] + count[y + 2, x]
                out[p, y, x] = s / n if v == v else np.nan
    return out


@numba.njit(cache=True, nogil=True)
def own_ratio(  # type: ignore[no-untyped-def]
    mean: FloatBlock, stable: Levels, spans: FloatArray, expected: FloatArray, true: FloatArray
):
    """How coherent each cell is beside the stable ground when nobody works on it, over the shortest span.

    From the mean over the pairs in which its local mean lies above the middle of stable and decorrelated ground;
    UNKNOWN where there are too few of these: such a cell is taken for as coherent as the stable ground.
    """
    pairs, rows, cols = mean.shape
    total = np.zeros((rows, cols))
    reference = np.zeros((rows, cols))
    span = np.zeros((rows, cols))
    used = np.zeros((rows, cols), np.int64)
    finite = np.zeros((rows, cols), np.int64)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = np.float64(mean[p, y, x])
                if v == v:
                    finite[y, x] += 1
                    if v >= (_at(expected, stable_at(stable, p, y, x)) + expected[0]) / 2:
                        used[y, x] += 1
                        total[y, x] += v
                        reference[y, x] += stable_at(stable, p, y, x)
                        span[y, x] += spans[p]
    ratio = np.full((rows, cols), UNKNOWN)
    for y in range(rows):
        for x in range(cols):
            n = used[y, x]
            if finite[y, x] >= OWN_LEVEL_PAIRS and n >= 2 and n >= OWN_LEVEL_SHARE * finite[y, x]:
                level = _at(true, total[y, x] / n) / (reference[y, x] / n)
                ratio[y, x] = min(max(level, 1e-3) ** (n / span[y, x]), MOST_RATIO)
    return ratio


@numba.njit(cache=True, nogil=True)
def ratio_near(ratio):  # type: ignore[no-untyped-def]
    """Ratio of the undisturbed ground around each cell: the mean of those near it that are nearly as large as any.

    A cell on the border mixes both grounds in every pair; what it is undisturbed the cells beside it tell.
    UNKNOWN where none of them knows.
    """
    rows, cols = ratio.shape
    part = np.empty((rows, cols))
    out = np.empty((rows, cols))
    for y in range(rows):
        for x in range(cols):
            top = ratio[y, x]
            for k in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
                top = max(top, ratio[y, k])
            part[y, x] = top
    for y in range(rows):
        for x in range(cols):
            top = part[y, x]
            for k in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
                top = max(top, part[k, x])
            total = 0.0
            count = 0
            for v in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
                for u in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
                    if ratio[v, u] >= top - NEARLY and ratio[v, u] != UNKNOWN:
                        total += ratio[v, u]
                        count += 1
            out[y, x] = total / count if count > 0 else UNKNOWN
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def undisturbed(stable, ratio, span):  # type: ignore[no-untyped-def]
    """Return the true coherence that a cell has in a pair in which nobody works on it."""
    factor = 1.0 if ratio == UNKNOWN else ratio if span == 1.0 else ratio**span
    return min(stable * factor, SCORE_TRUE_MAX)


@numba.njit(cache=True, nogil=True)
def local_scores(  # type: ignore[no-untyped-def]
    values: FloatBlock, stable: Levels, spans: FloatArray, ratio: FloatArray, score: FloatBlock
):
    """Mean normal score over the 3 x 3 around each cell, float32 (pairs, rows, columns), NaN without data."""
    pairs, rows, cols = values.shape
    single = np.empty((pairs, rows, cols), np.float32)
    across = np.float64(score.shape[1] - 1)
    down = (score.shape[0] - 1) / SCORE_TRUE_MAX
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = np.float64(values[p, y, x])
                if v != v:
                    single[p, y, x] = np.nan
                    continue
                b = undisturbed(stable_at(stable, p, y, x), ratio[y, x], spans[p]) * down
                i = min(int(b), score.shape[0] - 2)
                b -= i
                a = min(max(v, 0.0), 1.0) * across
                j = min(int(a), score.shape[1] - 2)
                a -= j
                low = score[i, j] + a * (score[i, j + 1] - score[i, j])
                high = score[i + 1, j] + a * (score[i + 1, j + 1] - score[i + 1, j])
                single[p, y, x] = low + b * (high - low)
    return local_means(single)


@numba.njit(cache=True, nogil=True)
def least_scores(scores: FloatBlock) -> FloatBlock:
    """Smallest score over the pairs of each cell; NaN without data. Shape (rows, columns)."""
    pairs, rows, cols = scores.shape
    least = np.full((rows, cols), np.nan, np.float32)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = scores[p, y, x]
                if v == v and not v >= least[y, x]:
                    least[y, x] = v
    return least


@numba.njit(cache=True, nogil=True)
def departed(mean: FloatBlock, usual: FloatArray, floor: float) -> npt.NDArray[np.bool_]:
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


@numba.njit(cache=True, nogil=True)
def value_counts(values: FloatBlock, mask: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.int64]:
    """Count the values 0..1 of each pair over a mask in even steps; int64 (pairs, steps)."""
    pairs, rows, cols = values.shape
    counts = np.zeros((pairs, steps), np.int64)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                v = values[p, y, x]
                if mask[y, x] and v == v:
                    counts[p, min(max(int(v * steps), 0), steps - 1)] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _within(flags, reach, out):  # type: ignore[no-untyped-def]
    """Count the set cells in the square of `reach` cells around each."""
    rows, cols = flags.shape
    part = np.zeros((rows, cols), np.float64)
    for y in range(rows):
        for x in range(cols):
            s = 0.0
            for k in range(max(x - reach, 0), min(x + reach + 1, cols)):
                s += flags[y, k]
            part[y, x] = s
    for y in range(rows):
        for x in range(cols):
            s = 0.0
            for k in range(max(y - reach, 0), min(y + reach + 1, rows)):
                s += part[k, x]
            out[y, x] = s


@numba.njit(cache=True, nogil=True)
def decide(  # type: ignore[no-untyped-def]
    mean: FloatBlock,
    scores: FloatBlock,
    stable: Levels,
    spans: FloatArray,
    ratio: FloatArray,
    expected: FloatArray,
    true: FloatArray,
    critical: float,
    min_loss: float,
):
    """Decide where the ground was disturbed in each pair, and in the year.

    Parameters
    ----------
    mean, scores : ndarray (pairs, rows, columns)
        Of `local_means` and `local_scores`.
    stable, spans : ndarray (pairs,)
        True coherence of the stable ground; span over the shortest span.
    ratio : ndarray (rows, columns)
        Of `own_ratio`.
    expected, true : ndarray
        Tables of the expectation and of its inverse.
    critical : float
        Local score below which a loss is significant.
    min_loss : float
        Share of the coherence, from undisturbed to disturbed ground, at which the border is drawn.

    Returns
    -------
    active : ndarray of bool (rows, columns)
    codes : ndarray of uint8 (pairs, rows, columns)
        Bits CORE (significant, and its neighbours as well), LOW (below the border), NEAR (close to a core).
    pooled : ndarray of bool (rows, columns)
        The border beside it stays in its place, and the cell lies within.
    """
    pairs, rows, cols = mean.shape
    codes = np.zeros((pairs, rows, cols), np.uint8)
    flags = np.empty((rows, cols), np.float64)
    finite = np.empty((rows, cols), np.float64)
    weighted = np.empty((rows, cols), np.float64)
    around = np.empty((rows, cols), np.float64)
    held = np.empty((rows, cols), np.float64)
    cores = np.empty((rows, cols), np.float64)
    levels = np.empty((rows, cols), np.float64)
    losses = np.zeros((rows, cols), np.float64)
    nears = np.zeros((rows, cols), np.int64)
    some = np.zeros((rows, cols), np.uint8)
    floor = expected[0]
    beside = ratio_near(ratio)
    for p in range(pairs):
        seeds = 0
        for y in range(rows):
            for x in range(cols):
                m = np.float64(mean[p, y, x])
                finite[y, x] = 1.0 if m == m else 0.0
                flags[y, x] = 0.0
                if m == m and scores[p, y, x] < critical:
                    whole = _at(expected, undisturbed(stable_at(stable, p, y, x), ratio[y, x], spans[p]))
                    if m < whole - min_loss * (whole - floor):
                        flags[y, x] = 1.0
                        seeds += 1
        if seeds == 0:
            continue
        _within(flags, 1, around)
        _within(finite, 1, held)
        found = 0
        for y in range(rows):
            for x in range(cols):
                core = flags[y, x] == 1.0 and 9.0 * around[y, x] >= SUPPORT * held[y, x] and held[y, x] >= 4.0
                # the level of disturbed ground is that of the inmost cells where there are any near
                weight = CORE_WEIGHT if around[y, x] == held[y, x] else 1.0
                flags[y, x] = weight if core else 0.0
                weighted[y, x] = weight * np.float64(mean[p, y, x]) if core else 0.0
                if core:
                    codes[p, y, x] = CORE
                    found += 1
        if found == 0:
            continue
        _within(flags, REACH, around)
        _within(flags, LEVEL_REACH, cores)
        _within(weighted, LEVEL_REACH, levels)
        for y in range(rows):
            for x in range(cols):
                if finite[y, x] == 0.0 or around[y, x] == 0.0:
                    continue
                rests = undisturbed(stable_at(stable, p, y, x), beside[y, x], spans[p])
                whole = _at(expected, rests)
                level = levels[y, x] / cores[y, x]
                range_ = max(whole - level, 1e-6)
                loss = (whole - np.float64(mean[p, y, x])) / range_
                # of the three rows on a straight edge the middle one holds windows that mix both grounds: they
                # average coherence, not its biased estimate
                mixed = _at(expected, (rests + _at(true, level)) / 2)
                loss -= ((whole + level) / 2 - mixed) / (3.0 * range_)
                codes[p, y, x] |= NEAR
                nears[y, x] += 1
                losses[y, x] += min(max(loss, -1.0), 2.0)
                if loss >= min_loss:
                    codes[p, y, x] |= LOW
                some[y, x] |= codes[p, y, x]
    active = np.zeros((rows, cols), np.bool_)
    pooled = np.zeros((rows, cols), np.bool_)
    for y in range(rows):
        for x in range(cols):
            # with few pairs a face that moves on looks like a border that stays: the mean must say more
            slack = FEW_SLACK if nears[y, x] < POOLED_PAIRS else 0.0
            within = losses[y, x] >= min_loss * nears[y, x] - slack
            steady = nears[y, x] >= 2
            pooled[y, x] = steady and within
            if some[y, x] & CORE or (some[y, x] & LOW and (within or not steady)):
                active[y, x] = True
    return _closed(active, some), codes, pooled


@numba.njit(cache=True, nogil=True)
def _closed(active, some):  # type: ignore[no-untyped-def]
    """Add cells that were low in some pair and lie between active ones: seams of a face that moves on."""
    rows, cols = active.shape
    out = active.copy()
    for y in range(rows):
        for x in range(cols):
            if active[y, x] or not some[y, x] & LOW:
                continue
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                ahead = False
                behind = False
                for k in range(1, SEAM + 1):
                    a, b, c, d = y + k * dy, x + k * dx, y - k * dy, x - k * dx
                    if 0 <= a < rows and 0 <= b < cols and active[a, b]:
                        ahead = True
                    if 0 <= c < rows and 0 <= d < cols and active[c, d]:
                        behind = True
                if ahead and behind:
                    out[y, x] = True
                    break
    return out


@numba.njit(cache=True, nogil=True)
def disturbed_in(codes: CodeBlock, active: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether each active cell was disturbed in each pair, bool (pairs, rows, columns)."""
    pairs, rows, cols = codes.shape
    out = np.zeros(codes.shape, np.bool_)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if active[y, x] and codes[p, y, x] & (CORE | LOW):
                    out[p, y, x] = True
    return out


def decision(
    values: FloatBlock, stable: Levels, spans: FloatArray, tables: LookTables, critical: float, min_loss: float
) -> tuple[Any, ...]:
    """All steps on a block: `decide`'s result from coherence."""
    mean = local_means(values)
    ratio = own_ratio(mean, stable, spans, tables.expected, tables.true)
    scores = local_scores(values, stable, spans, ratio, tables.score)
    return tuple(decide(mean, scores, stable, spans, ratio, tables.expected, tables.true, critical, min_loss))
