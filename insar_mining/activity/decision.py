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
def local_means(values: FloatBlock) -> FloatBlock:
    """Mean over the finite cells of the 3 x 3 around each finite cell; NaN elsewhere. Shape (pairs, rows, columns)."""
    out = np.empty(values.shape, np.float32)
    for p in range(values.shape[0]):
        _means_of_pair(values[p], out[p])
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def own_ratio(  # type: ignore[no-untyped-def]
    mean: FloatBlock, stable: Levels, spans: FloatArray, expected: FloatArray, true: FloatArray
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
                limits[:] = (_at(expected, stable[p]) + expected[0]) / 2
            else:
                for x in range(cols):
                    levels[x] = stable_at(stable, p, y, x)
                    limits[x] = (_at(expected, levels[x]) + expected[0]) / 2
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
                own = _at(true, total[x] / n) / (reference[x] / n)
                ratio[y, x] = min(max(own, 1e-3) ** (n / span[x]), MOST_RATIO)
    return ratio


@numba.njit(cache=True, nogil=True)
def _ratio_beside(ratio, y, x):  # type: ignore[no-untyped-def]
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
            out[y, x] = _ratio_beside(ratio, y, x)
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
    values: FloatBlock, stable: Levels, spans: FloatArray, ratio: FloatArray, score: FloatBlock
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
    scores: FloatBlock,
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def value_counts(values: FloatBlock, mask: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.int64]:
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


@numba.njit(cache=True, nogil=True, inline="always")
def _sums_along(line, reach, out):  # type: ignore[no-untyped-def]
    """Sum the `reach` values on either side of each, in order; `line` has as many zeros more at both ends."""
    for x in range(out.size):
        out[x] = line[x]
    for k in range(1, 2 * reach + 1):
        beside = line[k:]
        for x in range(out.size):
            out[x] += beside[x]


@numba.njit(cache=True, nogil=True)
def _add_rows(parts, busy, y, reach, out):  # type: ignore[no-untyped-def]
    """Sum rows up to `reach` above and below one, in order; those that are not busy hold nothing."""
    out[:] = 0.0
    for k in range(max(y - reach, 0), min(y + reach + 1, busy.size)):
        if busy[k]:
            for x in range(out.size):
                out[x] += parts[k, x]


@numba.njit(cache=True, nogil=True)
def _seeds(mean, scores, stable, p, span, ratio, expected, critical, min_loss, flags, busy):  # type: ignore[no-untyped-def]
    """Flag the cells of a pair that are significant and below the border; 1 cell of margin around `flags`."""
    rows, cols = mean.shape
    floor = expected[0]
    seeds = 0
    for y in range(rows):
        count = 0
        for x in range(cols):
            count += 1 if scores[y, x] < critical else 0
        if busy[y]:
            flags[y + 1, :] = 0.0
        busy[y] = False
        if count == 0:
            continue
        for x in range(cols):
            if scores[y, x] < critical:
                m = np.float64(mean[y, x])
                whole = _at(expected, undisturbed(stable_at(stable, p, y, x), ratio[y, x], span))
                if m < whole - min_loss * (whole - floor):
                    flags[y + 1, x + 1] = 1.0
                    busy[y] = True
                    seeds += 1
    return seeds


@numba.njit(cache=True, nogil=True)
def _cores(mean, flags, seeded, codes, weights, weighted, busy):  # type: ignore[no-untyped-def]
    """Find the cells that are flagged with enough of their neighbours: their codes, weights and weighted means."""
    rows, cols = mean.shape
    found = 0
    for y in range(rows):
        if busy[y]:
            weights[y, :] = 0.0
            weighted[y, :] = 0.0
        busy[y] = False
        if not seeded[y]:
            continue
        for x in range(cols):
            if flags[y + 1, x + 1] == 0.0:
                continue
            around = 0.0
            held = 0.0
            for v in range(max(y - 1, 0), min(y + 2, rows)):
                for u in range(max(x - 1, 0), min(x + 2, cols)):
                    around += flags[v + 1, u + 1]
                    held += 1.0 if mean[v, u] == mean[v, u] else 0.0
            if 9.0 * around >= SUPPORT * held and held >= 4.0:
                # the level of disturbed ground is that of the inmost cells where there are any near
                weight = CORE_WEIGHT if around == held else 1.0
                weights[y, x + LEVEL_REACH] = weight
                weighted[y, x + LEVEL_REACH] = weight * np.float64(mean[y, x])
                codes[y, x] = CORE
                busy[y] = True
                found += 1
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
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
    # a pair's flags and cores with a margin of zeros; rows that hold none are marked, and passed over
    flags = np.zeros((rows + 2, cols + 2))
    seeded = np.zeros(rows, np.bool_)
    weights = np.zeros((rows, cols + 2 * LEVEL_REACH))
    weighted = np.zeros((rows, cols + 2 * LEVEL_REACH))
    busy = np.zeros(rows, np.bool_)
    part_near = np.empty((rows, cols))
    part_cores = np.empty((rows, cols))
    part_levels = np.empty((rows, cols))
    near = np.empty(cols)
    cores = np.empty(cols)
    levels = np.empty(cols)
    losses = np.zeros((rows, cols), np.float64)
    nears = np.zeros((rows, cols), np.int64)
    some = np.zeros((rows, cols), np.uint8)
    beside = np.full((rows, cols), np.nan)
    inset = LEVEL_REACH - REACH
    for p in range(pairs):
        if not _seeds(
            mean[p], scores[p], stable, p, spans[p], ratio, expected, critical, min_loss, flags, seeded
        ) or not _cores(mean[p], flags, seeded, codes[p], weights, weighted, busy):
            continue
        for y in range(rows):
            if busy[y]:
                _sums_along(weights[y, inset : cols + 2 * LEVEL_REACH - inset], REACH, part_near[y])
                _sums_along(weights[y], LEVEL_REACH, part_cores[y])
                _sums_along(weighted[y], LEVEL_REACH, part_levels[y])
        for y in range(rows):
            if not busy[max(y - REACH, 0) : y + REACH + 1].any():
                continue
            _add_rows(part_near, busy, y, REACH, near)
            _add_rows(part_cores, busy, y, LEVEL_REACH, cores)
            _add_rows(part_levels, busy, y, LEVEL_REACH, levels)
            for x in range(cols):
                m = np.float64(mean[p, y, x])
                if near[x] == 0.0 or m != m:
                    continue
                if beside[y, x] != beside[y, x]:
                    beside[y, x] = _ratio_beside(ratio, y, x)
                rests = undisturbed(stable_at(stable, p, y, x), beside[y, x], spans[p])
                whole = _at(expected, rests)
                level = levels[x] / cores[x]
                range_ = max(whole - level, 1e-6)
                loss = (whole - m) / range_
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
