"""Estimate coherence in windows that end at edges of brightness.

A boxcar over a haul road or a pit wall mixes two kinds of ground.  Here each pixel starts
from a window several times larger than the boxcar and cuts it where the amplitudes say
that it holds two kinds of ground, as often as they say so, always keeping the part around the pixel.

The window is a raster of cells of 1 line x 3 samples (about 14 m x 10 m).  A cut keeps a band of
neighbouring lines, columns or diagonals around the pixel: one side of an edge, or a strip.  For
speckle of L looks the mean intensity is Gamma distributed, and the likelihood ratio of "two means"
against "one mean" is

``q = 2 sum_dates [n ln(S / n) - n1 ln(S1 / n1) - n2 ln(S2 / n2)]``

(n, n1, n2 the independent looks of the whole and of the parts, S the sums of intensity; Conradsen
et al. 2003, doi:10.1109/TGRS.2002.808066, for one channel).  The best of all cuts is made if q
exceeds the quantile of chi-squared with two degrees of freedom (one per date), `significance` being divided
among the cuts.  The idea of neighbourhoods adapted to amplitude is that of Vasile et al. 2006,
IEEE TGRS 44(6), 1609-1621; the cuts, which weigh half a window and not one pixel, are this project's.

Only amplitude decides.  An edge of coherence between equally bright grounds is not seen, and is
as wide as the whole window; where that matters take the boxcar.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, Float32Array, IntArray
from insar_mining.errors import OptionError
from insar_mining.jit import njit

CELL_SAMPLES = 3
MOST_CELLS = 21
SIDE_BY_SIDE = 256  # pixels whose work fits into the processor's nearest memory
# of ln(1 + x) / x between the roots of 1/2 and 2, least squares at Chebyshev nodes
LOG = tuple(
    np.float32(coefficient)
    for coefficient in (
        0.99999994,
        -0.50000363,
        0.33335114,
        -0.24970072,
        0.19898565,
        -0.17247013,
        0.1623419,
        -0.10134057,
    )
)
LOG_2, HALF_ROOT = np.float32(math.log(2)), np.int32(0x3F3504F3)


def adaptive_coherence(
    reference: Complex64Array,
    secondary: Complex64Array,
    lines: int = 5,
    samples: int = 15,
    *,
    significance: float = 0.05,
    least_samples: int = 15,
    looks_per_sample: float = 0.5,
) -> tuple[Float32Array, npt.NDArray[np.int16]]:
    """Estimate sample coherence in windows cut at edges of brightness.

    Parameters
    ----------
    reference, secondary : ndarray of complex64, shape (lines, samples)
        On the same pixels; NaN is not data.
    lines : int
        Lines of the largest window; odd, 3..21.
    samples : int
        Samples of the largest window; an odd multiple of 3, 9..63.
    significance : float
        Bound of the probability of a cut in uniform ground, 0..1 (both excluded); with the default
        2 % of windows are cut in ground without coherence, and 12 % where both dates have the
        same speckle.
    least_samples : int
        Samples that a cut must leave; at most those of the window.
    looks_per_sample : float
        Independent looks per pixel, > 0..1 (0.56 / 0.50 / 0.45 in IW1 / 2 / 3).

    Returns
    -------
    coherence : ndarray of float32, shape (lines, samples)
        0..1, of the window centred on each pixel (all sizes are odd).  NaN where the largest
        window leaves the image, where the pixel or its two neighbours along range have no data,
        and where fewer than `least_samples` have any.
    count : ndarray of int16
        Samples that each value rests on, 0 where it is NaN.

    Raises
    ------
    OptionError
        A parameter is out of range.

    Notes
    -----
    Pixels within ``lines // 2`` lines and ``samples // 2`` samples of the block's edge are NaN: give
    that much more on every side.  Nothing else depends on the block.
    """
    _check(lines, samples, significance, least_samples, looks_per_sample)
    down, across = lines // 2, samples // CELL_SAMPLES // 2
    keys, cuts = _cuts(down, across)
    # the quantile of chi-squared with two degrees of freedom, in closed form; scipy.stats takes a second to load
    threshold = -2 * math.log(significance / len(cuts))
    least = -(-least_samples // CELL_SAMPLES)
    cells = np.full((4, *reference.shape), np.nan, np.float32)
    _cell_sums(np.ascontiguousarray(reference), np.ascontiguousarray(secondary), cells)
    coherence = np.full(reference.shape, np.nan, np.float32)
    count = np.zeros(reference.shape, np.int16)
    _cut_windows(
        cells, down, across, least, threshold / (2 * CELL_SAMPLES * looks_per_sample), keys, cuts, coherence, count
    )
    return coherence, count


def _check(lines: int, samples: int, significance: float, least_samples: int, looks_per_sample: float) -> None:
    if not (3 <= lines <= MOST_CELLS and lines % 2 == 1):
        raise OptionError(f"adaptive window of {lines} lines: an odd number from 3 to {MOST_CELLS} (default 5)")
    if not (9 <= samples <= CELL_SAMPLES * MOST_CELLS and samples % (2 * CELL_SAMPLES) == CELL_SAMPLES):
        raise OptionError(
            f"adaptive window of {samples} samples: an odd multiple of 3 from 9 to {CELL_SAMPLES * MOST_CELLS} "
            "(default 15)"
        )
    if not 0 < significance < 1:
        raise OptionError(f"significance {significance}: a probability between 0 and 1 (default 0.05)")
    if not 1 <= least_samples <= lines * samples:
        raise OptionError(
            f"{least_samples} samples at least: from 1 to the {lines * samples} of the window (default 15)"
        )
    if not 0 < looks_per_sample <= 1:
        raise OptionError(f"{looks_per_sample} looks per sample: above 0 and at most 1 (default 0.5)")


@njit(parallel=True)
def _cell_sums(reference, secondary, out):  # type: ignore[no-untyped-def]
    """Sum each pixel and its neighbours along range: product (re, im) and powers, (4, lines, samples).

    Left as they are (NaN) where one of the three has no data, or one date no power.
    """
    lines, samples = reference.shape
    for y in numba.prange(lines):
        for x in range(1, samples - 1):
            re = im = pr = ps = 0.0
            for k in range(x - 1, x + 2):
                r = reference[y, k]
                s = secondary[y, k]
                ar, ai, br, bi = float(r.real), float(r.imag), float(s.real), float(s.imag)
                re += ar * br + ai * bi
                im += ai * br - ar * bi
                pr += ar * ar + ai * ai
                ps += br * br + bi * bi
            if pr * ps > 0:
                out[0, y, x] = re
                out[1, y, x] = im
                out[2, y, x] = pr
                out[3, y, x] = ps


def _cuts(down: int, across: int) -> tuple[IntArray, IntArray]:
    """Return the line, column and diagonals of each cell of the window, and the list of possible cuts.

    Returns
    -------
    keys : ndarray of int64, shape (4, cells)
        Cells in the order of lines; directions are lines, columns and the two diagonals.
    cuts : ndarray of int64, shape (cuts, 3)
        Direction, first and last key of every band around the middle cell, in the order in which
        :func:`_best_cuts` tries them.
    """
    height, width = 2 * down + 1, 2 * across + 1
    i, j = (index.ravel() for index in np.mgrid[:height, :width])
    keys = np.stack([i, j, i + j, i - j + width - 1])
    middle = keys[:, keys.shape[1] // 2]
    cuts = [
        (direction, start, stop)
        for direction in range(4)
        for start in range(middle[direction], -1, -1)
        for stop in range(middle[direction], keys[direction].max() + 1)
        if (start, stop) != (0, keys[direction].max())
    ]
    return keys, np.array(cuts)


@njit(parallel=True)
def _cut_windows(cells, down, across, least, threshold, keys, cuts, out, count):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Compute coherence and cell count, line by line."""
    for y in numba.prange(down, cells.shape[1] - down):
        _cut_line(cells, y, down, across, least, threshold, keys, cuts, out[y], count[y])


# Below, pixels of a line are worked on side by side, the last axis being theirs: the loops over them fill vector
# registers, which the compiler can do only where few arrays meet in one loop.  Every pixel sees the same
# operations in the same order, wherever it lies.


@njit(error_model="numpy")
def _cut_line(cells, y, down, across, least, threshold, keys, cuts, out, count):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Cut the window of each pixel of a line and estimate coherence in the remaining cells."""
    reach = CELL_SAMPLES * across + CELL_SAMPLES // 2
    number = keys.shape[1]
    # powers of the cells of each pixel's window over those of its middle cell, 0 where they are left out
    first, second = np.empty((number, SIDE_BY_SIDE), np.float32), np.empty((number, SIDE_BY_SIDE), np.float32)
    some_first, some_second = np.empty_like(first), np.empty_like(second)  # of pixels that are not done
    sums = np.empty((3, 2 * (down + across) + 1, SIDE_BY_SIDE), np.float32)
    rows = np.empty((6, SIDE_BY_SIDE), np.float32)
    which, pixels = np.empty(SIDE_BY_SIDE, np.int64), np.empty(SIDE_BY_SIDE, np.int64)
    totals = np.empty((4, SIDE_BY_SIDE))
    for x in range(reach, cells.shape[2] - reach, SIDE_BY_SIDE):
        width = min(SIDE_BY_SIDE, cells.shape[2] - reach - x)
        _powers(cells[2], y, x, down, across, width, first)
        _powers(cells[3], y, x, down, across, width, second)
        left = _complete(first, least, width, pixels)
        while left > 0:
            for cell in range(number):
                for k in range(left):
                    some_first[cell, k] = first[cell, pixels[k]]
                    some_second[cell, k] = second[cell, pixels[k]]
            _best_cuts(some_first, some_second, left, least, threshold, keys, sums, rows, which)
            left = _cut(first, second, left, keys, cuts, which, pixels)
        _coherence_of_kept(cells, y, x, down, across, width, least, first, totals, out, count)


@njit(error_model="numpy")
def _powers(power, y, x, down, across, width, out):  # type: ignore[no-untyped-def]
    """Load the cells around pixels from x on, relative to the middle cell; 0 where there are no data."""
    middle = power[y, x : x + width]
    cell = 0
    for i in range(y - down, y + down + 1):
        for j in range(-across, across + 1):
            start = x + CELL_SAMPLES * j
            _relative(power[i, start : start + width], middle, out[cell], width)
            cell += 1


@njit(error_model="numpy")
def _relative(power, middle, out, width):  # type: ignore[no-untyped-def]
    for k in range(width):
        value = power[k] / middle[k]
        out[k] = value if value > 0 else np.float32(0)


@njit()
def _complete(first, least, width, pixels):  # type: ignore[no-untyped-def]
    """List the pixels with data in themselves and in at least `least` cells; exclude all cells of the others."""
    middle = first.shape[0] // 2
    left = 0
    for k in range(width):
        known = 0
        for cell in range(first.shape[0]):
            known += first[cell, k] > 0
        if first[middle, k] > 0 and known >= least:
            pixels[left] = k
            left += 1
        else:
            for cell in range(first.shape[0]):
                first[cell, k] = 0
    return left


@njit(error_model="numpy")
def _best_cuts(first, second, width, least, threshold, keys, sums, rows, which):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Find the cut with the largest likelihood ratio for each pixel: -1 where none exceeds the threshold.

    `threshold` is that of half the ratio per look; `sums` and `rows` are room for work.
    """
    number = keys.shape[1]
    n, r, s = sums[0], sums[1], sums[2]
    whole_n, whole_r, whole_s, whole, score, best = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    for k in range(width):
        best[k] = threshold
        which[k] = -1
    cut = 0
    for direction in range(4):
        middle = keys[direction, number // 2]
        last = 2 * middle
        for key in range(last + 1):
            for k in range(width):
                n[key, k] = r[key, k] = s[key, k] = 0
        for cell in range(number):
            key = keys[direction, cell]
            _add_known(first[cell], n[key], r[key], width)
            _add(second[cell], s[key], width)
        if direction == 0:
            for k in range(width):
                whole_n[k] = whole_r[k] = whole_s[k] = 0
            for key in range(last + 1):
                for what in range(3):
                    _add(sums[what, key], rows[what], width)
            _log_likelihood(whole_n, whole_r, whole_s, whole, width)
        # every band of neighbouring lines, columns or diagonals around the pixel: row `stop` holds the sums from
        # `start` to `stop`
        for start in range(middle, -1, -1):
            for stop in range(middle, last + 1):
                if start < middle or stop > middle:
                    for what in range(3):
                        _add(sums[what, start if start < middle else stop - 1], sums[what, stop], width)
                if start == 0 and stop == last:
                    continue
                _score(n[stop], r[stop], s[stop], whole_n, whole_r, whole_s, least, score, width)
                _keep_better(score, whole, best, cut, which, width)
                cut += 1


@njit()
def _add(values, out, width):  # type: ignore[no-untyped-def]
    for k in range(width):
        out[k] += values[k]


@njit()
def _add_known(values, number, out, width):  # type: ignore[no-untyped-def]
    for k in range(width):
        number[k] += np.float32(1) if values[k] > 0 else np.float32(0)
        out[k] += values[k]


@njit(error_model="numpy")
def _log_likelihood(n, r, s, out, width):  # type: ignore[no-untyped-def]
    """Compute the log-likelihood of one mean, per look and with the opposite sign."""
    for k in range(width):
        out[k] = n[k] * _log(r[k] * s[k] / (n[k] * n[k]))


@njit(error_model="numpy")
def _score(n, r, s, whole_n, whole_r, whole_s, least, out, width):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Compute the log-likelihood of separate means for a band and the rest; very low where that is no cut."""
    for k in range(width):
        rest = whole_n[k] - n[k]
        inner = r[k] * s[k] / (n[k] * n[k])
        outer = (whole_r[k] - r[k]) * (whole_s[k] - s[k]) / (rest * rest)
        value = -n[k] * _log(inner) - rest * _log(outer)
        out[k] = value if (n[k] >= least) & (rest > 0) & (inner > 0) & (outer > 0) else np.float32(-1e30)


@njit()
def _keep_better(score, whole, best, cut, chosen, width):  # type: ignore[no-untyped-def]
    for k in range(width):
        gain = whole[k] + score[k]
        better = gain > best[k]
        best[k] = gain if better else best[k]
        chosen[k] = cut if better else chosen[k]


@njit(inline="always")
def _log(value):  # type: ignore[no-untyped-def]
    """Compute the natural logarithm of a normal float32 above 0, to 2e-7 (the library's does not vectorise)."""
    bits = np.float32(value).view(np.int32)
    exponent = np.int32(np.int32(bits - HALF_ROOT) >> np.int32(23))
    x = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - np.float32(1)
    y = x * x
    low = (LOG[0] + LOG[1] * x) + y * (LOG[2] + LOG[3] * x)
    high = (LOG[4] + LOG[5] * x) + y * (LOG[6] + LOG[7] * x)
    return np.float32(exponent) * LOG_2 + x * (low + y * y * high)


@njit()
def _cut(first, second, left, keys, cuts, which, pixels):  # type: ignore[no-untyped-def]
    """Exclude the cells beyond a cut, and list the pixels that were cut, to be tried again."""
    again = 0
    for k in range(left):
        if which[k] < 0:
            continue
        pixel = pixels[k]
        direction, start, stop = cuts[which[k]]
        for cell in range(keys.shape[1]):
            if not start <= keys[direction, cell] <= stop:
                first[cell, pixel] = second[cell, pixel] = 0
        pixels[again] = pixel
        again += 1
    return again


@njit(error_model="numpy")
def _coherence_of_kept(cells, y, x, down, across, width, least, kept, totals, out, count):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Sum the remaining cells and estimate coherence."""
    number = np.zeros(width, np.int16)
    for k in range(width):
        totals[0, k] = totals[1, k] = totals[2, k] = totals[3, k] = 0
    cell = 0
    for i in range(y - down, y + down + 1):
        for j in range(-across, across + 1):
            start = x + CELL_SAMPLES * j
            for band in range(4):
                _add_kept(cells[band, i, start : start + width], kept[cell], totals[band], width)
            for k in range(width):
                number[k] += CELL_SAMPLES * (kept[cell, k] > 0)
            cell += 1
    for k in range(width):
        if number[k] > 0:
            re, im, pr, ps = totals[0, k], totals[1, k], totals[2, k], totals[3, k]
            out[x + k] = min(math.sqrt((re * re + im * im) / (pr * ps)), 1.0)
            count[x + k] = number[k]


@njit()
def _add_kept(values, kept, total, width):  # type: ignore[no-untyped-def]
    for k in range(width):
        total[k] += values[k] if kept[k] > 0 else np.float32(0)
