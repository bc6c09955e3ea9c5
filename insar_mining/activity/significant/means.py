"""Means over 3 x 3 cells, of planes and of all pairs of a block; ndarray in, ndarray out.

Sums over neighbours are taken in one fixed order, so that no result depends on the blocks.
"""

from __future__ import annotations

import numpy as np

from insar_mining.arrays import Float32Array
from insar_mining.jit import njit

# coherence above this says nothing more, and its atanh grows without bound
MOST_COHERENCE = np.float32(0.995)


# float32 numbers from sqrt(1/2) on, as whole numbers: what is above its bits counts powers of two
_ROOT_HALF = np.int32(0x3F3504F3)
_MANTISSA = np.int32(0x007FFFFF)


@njit(nogil=True, error_model="numpy")
def _enter_row(row, known, there):  # type: ignore[no-untyped-def]
    """Enter the finite values of a row between two zeros, and where they are."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for x in range(row.size):
        v = row[x]
        finite = v == v
        known[x + 1] = v if finite else zero
        there[x + 1] = one if finite else zero


@njit(nogil=True, error_model="numpy")
def _scale_row(known, ratio, bits):  # type: ignore[no-untyped-def]
    """Replace the values of a row (`_enter_row`) by their atanh, which is half the logarithm of (1 + d) / (1 - d).

    The logarithm is Cephes' `logf`, to one unit in the last place, https://netlib.org/cephes/: loops without a call
    are four times as fast as the one of the C library. `bits` are those of `ratio`.
    """
    one, half, top = np.float32(1.0), np.float32(0.5), MOST_COHERENCE
    for x in range(ratio.size):
        d = min(known[x + 1], top)
        ratio[x] = (one + d) / (one - d)
    for x in range(ratio.size):
        above = bits[x] - _ROOT_HALF
        bits[x] = (above & _MANTISSA) + _ROOT_HALF
        known[x + 1] = np.float32(above >> np.int32(23))
    for x in range(ratio.size):
        power = known[x + 1]
        f = ratio[x] - one
        z = f * f
        p = np.float32(7.0376836292e-2) * f - np.float32(1.1514610310e-1)
        p = p * f + np.float32(1.1676998740e-1)
        p = p * f - np.float32(1.2420140846e-1)
        p = p * f + np.float32(1.4249322787e-1)
        p = p * f - np.float32(1.6668057665e-1)
        p = p * f + np.float32(2.0000714765e-1)
        p = p * f - np.float32(2.4999993993e-1)
        p = p * f + np.float32(3.3333331174e-1)
        log = p * f * z - np.float32(2.12194440e-4) * power - half * z + f + np.float32(0.693359375) * power
        known[x + 1] = half * log


@njit(nogil=True, error_model="numpy")
def plane_means(values, scaled, out):  # type: ignore[no-untyped-def]
    """Average the finite values, or their atanh, over the 3 x 3 around each finite cell of a plane into `out`."""
    rows, cols = values.shape
    sums = np.zeros((3, cols), np.float32)
    counts = np.zeros((3, cols), np.float32)
    known = np.zeros(cols + 2, np.float32)
    there = np.zeros(cols + 2, np.float32)
    ratio = np.empty(cols, np.float32)
    bits = ratio.view(np.int32)
    nan = np.float32(np.nan)
    for y in range(rows + 1):
        total, count = sums[(y + 1) % 3], counts[(y + 1) % 3]
        if y < rows:
            _enter_row(values[y], known, there)
            if scaled:
                _scale_row(known, ratio, bits)
            for x in range(cols):
                total[x] = known[x] + known[x + 1] + known[x + 2]
                count[x] = there[x] + there[x + 1] + there[x + 2]
        else:
            total[:] = 0
            count[:] = 0
        if y == 0:
            continue
        above, middle = sums[(y - 1) % 3], sums[y % 3]
        more, some = counts[(y - 1) % 3], counts[y % 3]
        if y == 1:
            # nothing lies above the first row
            above[:] = 0
            more[:] = 0
        row, result = values[y - 1], out[y - 1]
        for x in range(cols):
            n = more[x] + some[x] + count[x]
            v = row[x]
            result[x] = (above[x] + middle[x] + total[x]) / n if v == v else nan


@njit(nogil=True, error_model="numpy")
def means_into(values, scaled, averaged, out):  # type: ignore[no-untyped-def]
    """Write the means of every plane (`local_means`) into `out`, which may be `values` itself."""
    pairs, rows, cols = values.shape
    known = np.zeros(cols + 2, np.float32)
    there = np.zeros(cols + 2, np.float32)
    ratio = np.empty(cols, np.float32)
    bits = ratio.view(np.int32)
    for p in range(pairs):
        if averaged:
            # a row is written once the next one is read
            plane_means(values[p], scaled, out[p])
            continue
        for y in range(rows):
            _enter_row(values[p, y], known, there)
            if scaled:
                _scale_row(known, ratio, bits)
            for x in range(cols):
                out[p, y, x] = known[x + 1] if there[x + 1] > 0 else np.float32(np.nan)


def local_means(values: Float32Array, scaled: bool, averaged: bool = True) -> Float32Array:
    """Average coherence, or its atanh, over the finite cells of the 3 x 3 around each finite cell; NaN elsewhere.

    Parameters
    ----------
    values : ndarray of float32 (pairs, rows, columns)
    scaled : bool
        Whether atanh of the values is averaged.
    averaged : bool
        False: each cell by itself.

    Returns
    -------
    ndarray of float32 (pairs, rows, columns)
    """
    out = np.empty_like(values)
    means_into(values, scaled, averaged, out)
    return out
