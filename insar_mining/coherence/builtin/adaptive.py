"""Coherence in a window that stops at edges of brightness.

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

from insar_mining.errors import OptionError

FloatImage = npt.NDArray[np.float32]
ComplexImage = npt.NDArray[np.complex64]

CELL_SAMPLES = 3
MOST_CELLS = 21


def adaptive_coherence(
    reference: ComplexImage,
    secondary: ComplexImage,
    lines: int = 5,
    samples: int = 15,
    *,
    significance: float = 0.05,
    least_samples: int = 15,
    looks_per_sample: float = 0.5,
) -> tuple[FloatImage, npt.NDArray[np.int16]]:
    """Sample coherence in windows cut at edges of brightness.

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
    # bands around the pixel: so many starts times so many stops, the whole window left out
    starts = [down + 1, across + 1, down + across + 1, down + across + 1]
    cuts = sum(n * n - 1 for n in starts)
    # the quantile of chi-squared with two degrees of freedom, in closed form; scipy.stats takes a second to load
    threshold = -2 * math.log(significance / cuts)
    least = -(-least_samples // CELL_SAMPLES)
    cells = np.full((4, *reference.shape), np.nan, np.float32)
    _cell_sums(np.ascontiguousarray(reference), np.ascontiguousarray(secondary), cells)
    coherence = np.full(reference.shape, np.nan, np.float32)
    count = np.zeros(reference.shape, np.int16)
    _cut_windows(cells, down, across, least, threshold, CELL_SAMPLES * looks_per_sample, coherence, count)
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


@numba.njit(cache=True, parallel=True)
def _cell_sums(reference, secondary, out):  # type: ignore[no-untyped-def]
    """Add up each pixel and its neighbours along range: product (re, im) and powers, (4, lines, samples).

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


@numba.njit(cache=True)
def _best_cut(first, second, kept, down, across, least, threshold, looks, sums):  # type: ignore[no-untyped-def]
    """Cut the kept cells once, if the likelihood ratio says so; tells whether it did.

    `first` and `second` are the powers of the cells on the two dates, `sums` is room for work.
    """
    height, width = 2 * down + 1, 2 * across + 1
    best = threshold
    best_direction = best_start = best_stop = -1
    for direction in range(4):
        keys = height if direction == 0 else width if direction == 1 else height + width - 1
        for key in range(keys):
            sums[0, key] = sums[1, key] = sums[2, key] = 0.0
        for i in range(height):
            for j in range(width):
                if kept[i, j]:
                    key = _key(direction, i, j, width)
                    sums[0, key] += 1.0
                    sums[1, key] += first[i, j]
                    sums[2, key] += second[i, j]
        for key in range(1, keys):
            sums[0, key] += sums[0, key - 1]
            sums[1, key] += sums[1, key - 1]
            sums[2, key] += sums[2, key - 1]
        n, r, s = sums[0, keys - 1], sums[1, keys - 1], sums[2, keys - 1]
        whole = n * math.log(r * s / (n * n))
        centre = _key(direction, down, across, width)
        # every band of neighbouring lines, columns or diagonals around the pixel, against the rest
        for start in range(centre + 1):
            n0 = r0 = s0 = 0.0
            if start > 0:
                n0, r0, s0 = sums[0, start - 1], sums[1, start - 1], sums[2, start - 1]
            for stop in range(centre, keys):
                n1 = sums[0, stop] - n0
                n2 = n - n1
                if n1 < least or n2 == 0:
                    continue
                r1 = sums[1, stop] - r0
                s1 = sums[2, stop] - s0
                r2 = r - r1
                s2 = s - s1
                if not (r1 * s1 > 0 and r2 * s2 > 0):
                    continue
                parts = n1 * math.log(r1 * s1 / (n1 * n1)) + n2 * math.log(r2 * s2 / (n2 * n2))
                ratio = 2 * looks * (whole - parts)
                if ratio > best:
                    best = ratio
                    best_direction = direction
                    best_start = start
                    best_stop = stop
    if best_direction < 0:
        return False
    for i in range(height):
        for j in range(width):
            key = _key(best_direction, i, j, width)
            if key < best_start or key > best_stop:
                kept[i, j] = False
    return True


@numba.njit(cache=True, inline="always")
def _key(direction, i, j, width):  # type: ignore[no-untyped-def]
    """On which line, column or diagonal a cell lies."""
    if direction == 0:
        return i
    if direction == 1:
        return j
    if direction == 2:
        return i + j
    return i - j + width - 1


@numba.njit(cache=True, parallel=True)
def _cut_windows(cells, down, across, least, threshold, looks, out, count):  # type: ignore[no-untyped-def]
    """Fill coherence and count, line by line."""
    for y in numba.prange(down, cells.shape[1] - down):
        _cut_line(cells, y, down, across, least, threshold, looks, out, count)


@numba.njit(cache=True)
def _cut_line(cells, y, down, across, least, threshold, looks, out, count):  # type: ignore[no-untyped-def]
    """Cut the window of each pixel of a line and estimate coherence in what is left of it."""
    height, width = 2 * down + 1, 2 * across + 1
    reach = CELL_SAMPLES * across + CELL_SAMPLES // 2
    first = np.empty((height, width))
    second = np.empty((height, width))
    kept = np.empty((height, width), np.bool_)
    sums = np.empty((3, height + width))
    for x in range(reach, cells.shape[2] - reach):
        if math.isnan(cells[2, y, x]):
            continue
        known = 0
        for i in range(height):
            for j in range(width):
                first[i, j] = cells[2, y + i - down, x + CELL_SAMPLES * (j - across)]
                second[i, j] = cells[3, y + i - down, x + CELL_SAMPLES * (j - across)]
                kept[i, j] = not math.isnan(first[i, j])
                known += kept[i, j]
        if known < least:
            continue
        while _best_cut(first, second, kept, down, across, least, threshold, looks, sums):
            pass
        re = im = pr = ps = 0.0
        used = 0
        for i in range(height):
            for j in range(width):
                if kept[i, j]:
                    re += cells[0, y + i - down, x + CELL_SAMPLES * (j - across)]
                    im += cells[1, y + i - down, x + CELL_SAMPLES * (j - across)]
                    pr += first[i, j]
                    ps += second[i, j]
                    used += 1
        out[y, x] = min(math.sqrt((re * re + im * im) / (pr * ps)), 1.0)
        count[y, x] = used * CELL_SAMPLES
