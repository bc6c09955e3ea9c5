"""Which cells of a block were disturbed in which pair: ndarray in, ndarray out.

A cell is decided with its neighbours, so a block comes with `HALO` more cells on every side. Sums over neighbours
are taken in one fixed order, so that no result depends on the blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from insar_mining.activity.significant.means import plane_means
from insar_mining.activity.significant.scores import at_class
from insar_mining.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from insar_mining.jit import njit

# bits of a cell in a pair: certain with its neighbours, beyond the border, close to a certain cell
CORE, LOW, NEAR = 1, 2, 4

# a seed lost so much of the way to the floor
SEED_LOSS = 0.45
# of the nine cells around a core so many are seeds; or so many where they are in enough pairs
SUPPORT, FEWER_SUPPORT, SUPPORT_PAIRS = 7, 5, 4
# cells around a core in which the border is drawn; in which the level of disturbed and undisturbed ground is taken
REACH, LEVEL_REACH = 2, 3
# levels that differ by less are of the same ground
NEARLY = 0.05
# undisturbed ground beside a border cell: so many cells away from the work around it, so many aside
BESIDE_REACH, BESIDE_FROM, BESIDE_TO, BESIDE_WIDTH = 4, 1.5, 3.0, 1.2
# work lies to one side of a cell where its cells around it are so far off in the mean
LEAST_SLOPE = 0.4
# pairs from which a border that stays is drawn by their mean alone; what is added to losses of fewer
POOLED_PAIRS, FEW_SLACK = 4, 0.05
# a core reads a little more than the ground within it, so that half-way to it lies so much further out, in losses
BORDER_BIAS = 0.015
# loss that varies so much more between pairs than that of undisturbed ground is that of a moving border
SWINGING_SD = 0.25
SEAM = 2
CORE_WEIGHT = 16.0
# cells that a decision looks at: 1 core, 2 border, 4 undisturbed ground near work itself, 2 seams; rounded up
HALO = 10


@njit(nogil=True, inline="always")
def _at(table, x):  # type: ignore[no-untyped-def]
    """Interpolate linearly in a table over 0..1."""
    place = min(max(x, 0.0), 1.0) * (table.size - 1)
    i = min(int(place), table.size - 2)
    return table[i] + (place - i) * (table[i + 1] - table[i])


@njit(nogil=True)
def _seeds(mean, scores, wide, place, usual, floor, limits):  # type: ignore[no-untyped-def]
    """Find the cells of a pair that are significant and below the border."""
    rows, cols = mean.shape
    flags = np.zeros((rows, cols), np.bool_)
    for y in range(rows):
        for x in range(cols):
            if scores[y, x] < limits[0] or wide[y, x] < limits[1]:
                whole = at_class(usual, 0, np.float64(place[y, x]))
                flags[y, x] = np.float64(mean[y, x]) < whole - SEED_LOSS * (whole - floor)
    return flags


@njit(nogil=True)
def _support(flags, place, around, held):  # type: ignore[no-untyped-def]
    """Count the seeds, and the cells that are decided, in the 3 x 3 around every seed."""
    rows, cols = flags.shape
    for y in range(rows):
        for x in range(cols):
            around[y, x] = 0
            if not flags[y, x]:
                continue
            n = 0
            h = 0
            for v in range(max(y - 1, 0), min(y + 2, rows)):
                for u in range(max(x - 1, 0), min(x + 2, cols)):
                    n += 1 if flags[v, u] else 0
                    h += 1 if place[v, u] == place[v, u] else 0
            around[y, x] = n
            held[y, x] = h


@njit(nogil=True)
def find_cores(  # type: ignore[no-untyped-def]
    mean: Float32Array, scores: Float32Array, place: Float32Array, usual: FloatArray, floor: float, limits: FloatArray
):
    """Find the cells that are disturbed for certain in each pair.

    Parameters
    ----------
    mean, scores : ndarray of float32 (pairs, rows, columns)
        Local mean of coherence; score.
    place : ndarray of float32 (rows, columns)
        Place of each cell's own level among the classes; NaN: not decided.
    usual : ndarray (pairs, classes)
        What undisturbed ground of each class reads.
    floor : float
    limits : ndarray (pairs, 2)
        Score, and mean score of the 3 x 3, below which a loss is significant.

    Returns
    -------
    codes : ndarray of uint8 (pairs, rows, columns)
        CORE: 7 of the 9 cells around are significant, or 5 in at least four pairs.
    inmost : ndarray of bool, same shape
        Cores all of whose neighbours are seeds.
    """
    pairs, rows, cols = mean.shape
    codes = np.zeros((pairs, rows, cols), np.uint8)
    inmost = np.zeros((pairs, rows, cols), np.bool_)
    around = np.zeros((pairs, rows, cols), np.uint8)
    held = np.zeros((rows, cols), np.uint8)
    wide = np.empty((rows, cols), np.float32)
    often = np.zeros((rows, cols), np.int32)
    for p in range(pairs):
        plane_means(scores[p], False, wide)
        flags = _seeds(mean[p], scores[p], wide, place, usual[p : p + 1], floor, limits[p])
        if not flags.any():
            continue
        _support(flags, place, around[p], held)
        for y in range(rows):
            for x in range(cols):
                n = np.int64(around[p, y, x])
                if n == 0:
                    continue
                h = np.int64(held[y, x])
                if h >= 4 and 9 * n >= SUPPORT * h:
                    codes[p, y, x] = CORE
                    inmost[p, y, x] = n == h
                if h >= 4 and 9 * n >= FEWER_SUPPORT * h:
                    often[y, x] += 1
                else:
                    around[p, y, x] = 0
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if around[p, y, x] > 0 and often[y, x] >= SUPPORT_PAIRS:
                    codes[p, y, x] = CORE
    return codes, inmost


@njit(nogil=True)
def _near(codes, p, reach, y, x):  # type: ignore[no-untyped-def]
    """Check whether a core of a pair lies within some cells."""
    rows, cols = codes.shape[1:]
    for v in range(max(y - reach, 0), min(y + reach + 1, rows)):
        for u in range(max(x - reach, 0), min(x + reach + 1, cols)):
            if codes[p, v, u] & CORE:
                return True
    return False


@njit(nogil=True)
def _mostly_cores(codes):  # type: ignore[no-untyped-def]
    """Check whether a cell and all its neighbours are certain in most of the pairs in which each is near work."""
    pairs, rows, cols = codes.shape
    mostly = np.zeros((rows, cols), np.bool_)
    out = np.zeros((rows, cols), np.bool_)
    for y in range(rows):
        for x in range(cols):
            near = 0
            core = 0
            for p in range(pairs):
                near += 1 if codes[p, y, x] & NEAR else 0
                core += 1 if codes[p, y, x] & CORE else 0
            mostly[y, x] = near >= POOLED_PAIRS and 2 * core > near
    for y in range(1, rows - 1):
        for x in range(1, cols - 1):
            out[y, x] = mostly[y, x] and mostly[y - 1 : y + 2, x - 1 : x + 2].all()
    return out


@njit(nogil=True, error_model="numpy")
def _level_near(mean, codes, inmost, mostly, p, y, x):  # type: ignore[no-untyped-def]
    """Average the cells around a cell that are inmost in most pairs; else the pair's cores, inmost weighted."""
    rows, cols = codes.shape[1:]
    weight = 0.0
    total = 0.0
    count = 0
    pooled = 0.0
    for v in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
        for u in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
            m = np.float64(mean[p, v, u])
            if m != m:
                continue
            if codes[p, v, u] & CORE:
                w = CORE_WEIGHT if inmost[p, v, u] else 1.0
                weight += w
                total += w * m
            if mostly[v, u] and codes[p, v, u] & NEAR:
                count += 1
                pooled += m
    # cells that happen to read low in this pair are more often cores of it
    return pooled / count if count > 0 else total / weight


@njit(nogil=True)
def _place_beside(place, levels, inner, y, x):  # type: ignore[no-untyped-def]
    """Place of the undisturbed ground beside a cell: just beyond the mixed windows, away from the work near it."""
    rows, cols = place.shape
    down = 0.0
    right = 0.0
    n = 0
    for v in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
        for u in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
            if inner[v, u]:
                down += y - v
                right += x - u
                n += 1
    length = np.sqrt(down * down + right * right)
    total = 0.0
    count = 0
    if length >= LEAST_SLOPE * max(n, 1):
        down /= length
        right /= length
        for v in range(max(y - BESIDE_REACH, 0), min(y + BESIDE_REACH + 1, rows)):
            for u in range(max(x - BESIDE_REACH, 0), min(x + BESIDE_REACH + 1, cols)):
                away = (v - y) * down + (u - x) * right
                aside = abs((v - y) * right - (u - x) * down)
                if (
                    BESIDE_FROM <= away <= BESIDE_TO
                    and aside <= BESIDE_WIDTH
                    and levels[v, u] > -np.inf
                    and not inner[v, u]
                ):
                    total += place[v, u]
                    count += 1
    if count > 0:
        return total / count
    top = np.float32(-np.inf)
    for v in range(max(y - BESIDE_REACH, 0), min(y + BESIDE_REACH + 1, rows)):
        for u in range(max(x - BESIDE_REACH, 0), min(x + BESIDE_REACH + 1, cols)):
            if levels[v, u] > top:
                top = levels[v, u]
    for v in range(max(y - LEVEL_REACH, 0), min(y + LEVEL_REACH + 1, rows)):
        for u in range(max(x - LEVEL_REACH, 0), min(x + LEVEL_REACH + 1, cols)):
            if levels[v, u] >= top - NEARLY:
                total += place[v, u]
                count += 1
    return total / count if count > 0 else np.float64(place[y, x])


@njit(nogil=True)
def _often_core(mean, codes):  # type: ignore[no-untyped-def]
    """Check whether each cell is certain in more than half of its pairs."""
    pairs, rows, cols = mean.shape
    out = np.zeros((rows, cols), np.bool_)
    for y in range(rows):
        for x in range(cols):
            n = 0
            data = 0
            for p in range(pairs):
                if mean[p, y, x] == mean[p, y, x]:
                    data += 1
                    n += 1 if codes[p, y, x] & CORE else 0
            out[y, x] = 2 * n > data
    return out


@njit(nogil=True)
def border_cells(codes: ByteArray) -> npt.NDArray[np.int32]:
    """Mark the cells near cores, and count the pairs in which each is near but not certain; int32 (rows, columns)."""
    pairs, rows, cols = codes.shape
    count = np.zeros((rows, cols), np.int32)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if codes[p, y, x] & CORE:
                    for v in range(max(y - REACH, 0), min(y + REACH + 1, rows)):
                        for u in range(max(x - REACH, 0), min(x + REACH + 1, cols)):
                            codes[p, v, u] |= NEAR
        for y in range(rows):
            for x in range(cols):
                count[y, x] += 1 if codes[p, y, x] == NEAR else 0
    return count


@njit(nogil=True, error_model="numpy")
def draw_border(  # type: ignore[no-untyped-def]  # noqa: PLR0913
    mean: Float32Array, codes: ByteArray, inmost: BoolArray, place: Float32Array, levels: Float32Array,
    usual: FloatArray, spread: FloatArray, expected: FloatArray, true: FloatArray, min_loss: float,
):  # fmt: skip
    """Draw the border around the cores half-way between undisturbed and disturbed ground.

    Parameters
    ----------
    mean, codes, inmost, place, usual
        As of `find_cores`; codes with NEAR of `border_cells`, and changed here.
    levels : ndarray of float32 (rows, columns)
        Own levels; -inf where a cell has none of its own.
    spread : ndarray (pairs, classes)
        Scatter of atanh of undisturbed ground.
    expected, true : ndarray
        Expectation of coherence for true coherence 0..1, and its inverse.
    min_loss : float

    Returns
    -------
    active : ndarray of bool (rows, columns)
    losses : ndarray of float32 (rows, columns)
        Mean loss over the pairs in which the cell is near or certain; 0 elsewhere.
    """
    pairs, rows, cols = mean.shape
    active = np.zeros((rows, cols), np.bool_)
    low_once = np.zeros((rows, cols), np.bool_)
    mean_loss = np.zeros((rows, cols), np.float32)
    inner = _often_core(mean, codes)
    mostly = _mostly_cores(codes)
    for y in range(rows):
        for x in range(cols):
            if place[y, x] != place[y, x]:
                continue
            n = 0
            border = 0
            data = 0
            certain = False
            for p in range(pairs):
                if codes[p, y, x] & NEAR and mean[p, y, x] == mean[p, y, x]:
                    n += 1
                    border += 0 if codes[p, y, x] & CORE else 1
                    certain = certain or codes[p, y, x] & CORE > 0
                data += 1 if mean[p, y, x] == mean[p, y, x] else 0
            if n == 0:
                continue
            own = np.float64(place[y, x])
            if levels[y, x] == -np.inf or 2 * border > data:
                own = _place_beside(place, levels, inner, y, x)
            total = 0.0
            squares = 0.0
            noise = 0.0
            lows = 0
            for p in range(pairs):
                m = np.float64(mean[p, y, x])
                if not codes[p, y, x] & NEAR or m != m:
                    continue
                whole = at_class(usual, p, own)
                level = min(_level_near(mean, codes, inmost, mostly, p, y, x), whole - 1e-3)
                range_ = whole - level
                loss = (whole - m) / range_
                # of three rows on a straight edge the middle one holds windows that mix both grounds: they average
                # coherence, not its biased estimate
                mixed = _at(expected, (_at(true, whole) + _at(true, level)) / 2)
                loss -= ((whole + level) / 2 - mixed) / (3.0 * range_)
                loss = min(max(loss, -1.0), 2.0)
                total += loss
                squares += loss * loss
                noise += ((1 - whole * whole) * at_class(spread, p, own) / range_) ** 2
                if loss >= min_loss + BORDER_BIAS:
                    codes[p, y, x] |= LOW
                    lows += 1
            mean_loss[y, x] = total / n
            low_once[y, x] = lows > 0
            slack = FEW_SLACK if n < POOLED_PAIRS else 0.0
            within = total >= (min_loss + BORDER_BIAS) * n - slack
            swings = lows >= 2 and squares - total * total / n > SWINGING_SD**2 * n + noise
            # a core of the noisiest of many pairs may lie beyond a border that stays
            certain = certain and (n < POOLED_PAIRS or swings)
            active[y, x] = certain or (lows > 0 and (within or n < 2 or swings))
    return _closed(active, low_once), mean_loss


@njit(nogil=True)
def _closed(active, low):  # type: ignore[no-untyped-def]
    """Add cells that were low in some pair and lie between active ones: seams of a face that moves on."""
    rows, cols = active.shape
    out = active.copy()
    for y in range(rows):
        for x in range(cols):
            if active[y, x] or not low[y, x]:
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


@njit(nogil=True)
def disturbed_in(codes: ByteArray, active: BoolArray) -> BoolArray:
    """Find the pairs in which each active cell was disturbed, bool (pairs, rows, columns)."""
    pairs, rows, cols = codes.shape
    out = np.zeros(codes.shape, np.bool_)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if active[y, x] and codes[p, y, x] & (CORE | LOW):
                    out[p, y, x] = True
    return out


@njit(nogil=True, error_model="numpy")
def depths(  # type: ignore[no-untyped-def]
    mean: Float32Array, disturbed: BoolArray, place: Float32Array, usual: FloatArray, floor: float
):
    """Return the largest share of the way from undisturbed ground to the floor that each cell lost while disturbed."""
    pairs, rows, cols = mean.shape
    out = np.zeros((rows, cols), np.float32)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if disturbed[p, y, x]:
                    whole = at_class(usual, p, np.float64(place[y, x]))
                    lost = (whole - np.float64(mean[p, y, x])) / max(whole - floor, 1e-3)
                    out[y, x] = max(out[y, x], np.float32(lost))
    return out


@njit(nogil=True)
def disturbed_beside(disturbed: BoolArray, fallen: BoolArray, kind: IntArray) -> BoolArray:
    """Find the cells that were disturbed in a pair in which their class (-1: none) did not fall, (rows, columns)."""
    pairs, rows, cols = disturbed.shape
    out = np.zeros((rows, cols), np.bool_)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if disturbed[p, y, x] and not (kind[y, x] >= 0 and fallen[p, kind[y, x]]):
                    out[y, x] = True
    return out


@njit(nogil=True)
def low_with_class(mean: Float32Array, gone: BoolArray, kind: IntArray, limit: FloatArray) -> BoolArray:
    """Find the cells that lie below the limit of a pair in which all of their class is gone, (rows, columns)."""
    pairs, rows, cols = mean.shape
    out = np.zeros((rows, cols), np.bool_)
    for p in range(pairs):
        if not gone[p].any():
            continue
        for y in range(rows):
            for x in range(cols):
                if kind[y, x] >= 0 and gone[p, kind[y, x]] and mean[p, y, x] < limit[p]:
                    out[y, x] = True
    return out
