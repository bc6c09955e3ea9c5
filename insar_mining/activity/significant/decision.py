"""Which cells of a block are disturbed in which pair: ndarray in, ndarray out.

A cell is decided on with its neighbours, so a block comes with a margin of `HALO` cells around what is
kept of it. Sums over neighbours are taken in one fixed order, so that no result depends on the blocks.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.activity.significant.local_scores import (
    LEVEL_REACH,
    Levels,
    LookTables,
    at,
    local_means,
    local_scores,
    own_ratio,
    ratio_beside,
    stable_at,
    undisturbed,
)
from insar_mining.arrays import ByteArray, Float32Array, FloatArray

# cells around a block that its decisions look at: 1 of the mean, 1 of the support, 3 of the level, 2 of seams
HALO = 7

# bits of what a cell is in a pair
CORE, LOW, NEAR = 1, 2, 4

# neighbours of the 3 x 3, itself included, that are low as well where a cell is certain
SUPPORT = 7
# cells around a certain one in which the border is drawn
REACH = 2
# pairs from which a border that stays in its place is told by their mean alone; what is added to losses of fewer
POOLED_PAIRS = 4
FEW_SLACK = 0.3
# cells over which a seam between active ground is closed
SEAM = 2
# weight of a core all of whose neighbours are low, in that level
CORE_WEIGHT = 16.0


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
                whole = at(expected, undisturbed(stable_at(stable, p, y, x), ratio[y, x], span))
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
    mean: Float32Array,
    scores: Float32Array,
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
                    beside[y, x] = ratio_beside(ratio, y, x)
                rests = undisturbed(stable_at(stable, p, y, x), beside[y, x], spans[p])
                whole = at(expected, rests)
                level = levels[x] / cores[x]
                range_ = max(whole - level, 1e-6)
                loss = (whole - m) / range_
                # of the three rows on a straight edge the middle one holds windows that mix both grounds: they
                # average coherence, not its biased estimate
                mixed = at(expected, (rests + at(true, level)) / 2)
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
def disturbed_in(codes: ByteArray, active: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
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
    values: Float32Array, stable: Levels, spans: FloatArray, tables: LookTables, critical: float, min_loss: float
) -> tuple[Any, ...]:
    """All steps on a block: `decide`'s result from coherence."""
    mean = local_means(values)
    ratio = own_ratio(mean, stable, spans, tables.expected, tables.true)
    scores = local_scores(values, stable, spans, ratio, tables.score)
    return tuple(decide(mean, scores, stable, spans, ratio, tables.expected, tables.true, critical, min_loss))
