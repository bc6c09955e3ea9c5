"""Loops over the pixels of a block: ndarray in, ndarray out.

Each runs pair by pair over all pixels, so that a pixel's numbers are summed in the order of
the pairs whatever block it lies in, and memory is read in its order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray
from insar_mining.jit import njit

# Coherence as a whole number of 2**-30: exact for every float32 of at least 2**-7, within 2**-31 below.
FIXED_ONE = 2**30
_LOW_BITS = 2**32 - 1

# pixels that are worked on side by side
TOGETHER = 1024


@njit(nogil=True, error_model="numpy")
def pixel_moments(values: Float32Array, use: BoolArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Count, mean and standard deviation (ddof 0) over the finite pairs in use.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
    use : ndarray of bool, shape (pairs,)

    Returns
    -------
    count, mean, sd : ndarray, shape (pixels,)
        Mean and sd are NaN where the count is 0.
    """
    pairs, pixels = values.shape
    count = np.zeros(pixels, np.int64)
    mean = np.zeros(pixels, np.float64)
    sd = np.zeros(pixels, np.float64)
    for p in range(pairs):
        if use[p]:
            for i in range(pixels):
                v = np.float64(values[p, i])
                if v == v:
                    count[i] += 1
                    mean[i] += v
    for i in range(pixels):
        mean[i] = mean[i] / count[i] if count[i] > 0 else np.nan
    for p in range(pairs):
        if use[p]:
            for i in range(pixels):
                v = np.float64(values[p, i])
                if v == v:
                    sd[i] += (v - mean[i]) ** 2
    for i in range(pixels):
        sd[i] = np.sqrt(sd[i] / count[i]) if count[i] > 0 else np.nan
    return count, mean, sd


@njit(nogil=True)
def has_data(values: npt.NDArray[Any]) -> bool:
    """Check whether any value is not NaN; stop at the first."""
    for v in values.flat:  # noqa: SIM110 - compiled, this is the fast way
        if v == v:
            return True
    return False


@njit(nogil=True)
def points_of_best(values: Float32Array, order: IntArray, least: IntArray, mean_min: float, sd_max: float) -> IntArray:
    """Count the stable pixels over the best pair, the best two, and so on.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
    order : ndarray of int, shape (pairs,)
        Positions of the pairs, the best first.
    least : ndarray of int, shape (pairs,)
        Least number of finite pairs of a stable pixel, for each number of pairs.
    mean_min, sd_max : float
        Inclusive.

    Returns
    -------
    ndarray of int64, shape (pairs,)
        Stable pixels over the best 1, 2, ... pairs.
    """
    pairs, pixels = values.shape
    found = np.zeros(pairs, np.int64)
    # some pixels at a time, whose sums stay in the processor; what is not there is added as zero, without a question
    count = np.empty(TOGETHER, np.float64)
    total = np.empty(TOGETHER, np.float64)
    squares = np.empty(TOGETHER, np.float64)
    for first in range(0, pixels, TOGETHER):
        some = min(TOGETHER, pixels - first)
        count[:] = 0.0
        total[:] = 0.0
        squares[:] = 0.0
        for k in range(pairs):
            row = values[order[k], first : first + some]
            enough = np.float64(least[k])
            stable = 0
            for i in range(some):
                v = np.float64(row[i])
                # sums about the limit itself lose nothing where the decision is close
                above = v - mean_min if v == v else 0.0
                count[i] += 1.0 if v == v else 0.0
                total[i] += above
                squares[i] += above * above
                n = count[i]
                steady = n * squares[i] - total[i] ** 2 <= (n * sd_max) ** 2
                stable += 1 if (n >= enough) & (total[i] >= 0) & steady else 0
            found[k] += stable
    return found


@njit(nogil=True)
def pair_counts(values: Float32Array, limit: float) -> tuple[IntArray, IntArray]:
    """Count the finite pixels, and those of them at or above a limit, of each pair; shape (pairs,) each."""
    pairs, pixels = values.shape
    count = np.zeros(pairs, np.int64)
    above = np.zeros(pairs, np.int64)
    for p in range(pairs):
        n = 0
        high = 0
        for i in range(pixels):
            v = np.float64(values[p, i])
            n += 1 if v == v else 0
            high += 1 if v >= limit else 0
        count[p], above[p] = n, high
    return count, above


@njit(nogil=True)
def pair_sums(values: Float32Array, mask: BoolArray) -> IntArray:
    """Sum each pair over the pixels of a mask, in whole numbers.

    Whole numbers have no order of summation, so that the sums over blocks are the same for any blocks.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
        Coherence, not above 2.
    mask : ndarray of bool, shape (pixels,)

    Returns
    -------
    ndarray of int64, shape (pairs, 4)
        Count, sum of ``q = round(value * 2**30)``, and the high and low 32 bits of the sum of ``q**2``
        (each summed by itself; at most 2**31 pixels).
    """
    pairs, pixels = values.shape
    sums = np.zeros((pairs, 4), np.int64)
    for p in range(pairs):
        count, total, high, low = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for i in range(pixels):
            v = np.float64(values[p, i])
            # add zero instead of branching: it vectorises
            used = (v == v) & mask[i]
            q = np.int64(np.rint((v if used else 0.0) * FIXED_ONE))
            square = q * q
            count += np.int64(1) if used else np.int64(0)
            total += q
            high += square >> 32
            low += square & _LOW_BITS
        sums[p, 0], sums[p, 1], sums[p, 2], sums[p, 3] = count, total, high, low
    return sums


@njit(nogil=True, error_model="numpy")
def difference_index(values: Float32Array, stable: FloatArray, group: npt.NDArray[np.int16]) -> Float32Array:
    """Compute the normalised difference of each pair's stable coherence and its pixels.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
    stable : ndarray, shape (references, pairs)
    group : ndarray of int16, shape (pixels,)
        Which reference each pixel is compared with.

    Returns
    -------
    ndarray of float32, shape (pairs, pixels)
        NaN where either is NaN, or both are 0.
    """
    pairs, pixels = values.shape
    index = np.empty((pairs, pixels), np.float32)
    nan = np.float32(np.nan)
    for p in range(pairs):
        if stable.shape[0] == 1:
            # one reference for all is not looked up for each
            reference = stable[0, p]
            for i in range(pixels):
                v = np.float64(values[p, i])
                total = reference + v
                index[p, i] = np.float32((reference - v) / total) if total > 0 else nan
            continue
        for i in range(pixels):
            v = np.float64(values[p, i])
            reference = stable[group[i], p]
            total = reference + v
            index[p, i] = (reference - v) / total if total > 0 else np.nan
    return index


@njit(nogil=True)
def lost_counts(
    values: Float32Array, mask: BoolArray, mean: FloatArray, sd: FloatArray, sigma: float
) -> tuple[IntArray, IntArray]:
    """Count the pixels of a mask with data in each pair, and those of them far below their own mean.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
    mask : ndarray of bool, shape (pixels,)
    mean, sd : ndarray, shape (pixels,)
        Of each pixel over the pairs that count as good.
    sigma : float
        A pixel is lost where it lies more than so many of its sd below its mean.

    Returns
    -------
    count, lost : ndarray of int64, shape (pairs,)
    """
    pairs, pixels = values.shape
    count = np.zeros(pairs, np.int64)
    lost = np.zeros(pairs, np.int64)
    for p in range(pairs):
        for i in range(pixels):
            v = np.float64(values[p, i])
            if mask[i] and v == v:
                count[p] += 1
                if v < mean[i] - sigma * sd[i]:
                    lost[p] += 1
    return count, lost


@njit(nogil=True, error_model="numpy")
def group_means(values: Float32Array, group: IntArray, groups: int) -> tuple[FloatArray, IntArray]:
    """Compute the mean and count over the finite pairs of each group, of each pixel.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
    group : ndarray of int, shape (pairs,)
        Number of each pair's group, from 0.
    groups : int

    Returns
    -------
    mean, count : ndarray, shape (groups, pixels)
        The mean is NaN where the count is 0.
    """
    pairs, pixels = values.shape
    mean = np.zeros((groups, pixels), np.float64)
    count = np.zeros((groups, pixels), np.int64)
    for p in range(pairs):
        g = group[p]
        for i in range(pixels):
            v = np.float64(values[p, i])
            if v == v:
                mean[g, i] += v
                count[g, i] += 1
    for g in range(groups):
        for i in range(pixels):
            mean[g, i] = mean[g, i] / count[g, i] if count[g, i] > 0 else np.nan
    return mean, count


@njit(nogil=True)
def scale_excess(values: Float32Array, group: IntArray, factor: FloatArray, floor: float) -> Float32Array:
    """Scale what coherence has above a floor, by pair and by the class of the pixel.

    Parameters
    ----------
    values : ndarray, shape (pairs, pixels)
    group : ndarray of int, shape (pixels,)
        Row of `factor`; a pixel of a negative number stays as it is.
    factor : ndarray, shape (classes, pairs)
    floor : float
        Values up to it stay as they are.

    Returns
    -------
    ndarray of float32, shape (pairs, pixels)
        Not above 1; NaN stays NaN.
    """
    pairs, pixels = values.shape
    scaled = values.copy()
    for p in range(pairs):
        for i in range(pixels):
            g = group[i]
            v = np.float64(values[p, i])
            if g >= 0 and v > floor and factor[g, p] != 1.0:
                scaled[p, i] = min(1.0, floor + (v - floor) * factor[g, p])
    return scaled


def mean_and_sd(sums: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Compute mean and standard deviation (ddof 0) of each pair from the sums of `pair_sums`, shape (pairs, 4).

    Worked in whole numbers of any length up to the last step: the square of a small deviation is
    not lost beside the square of the mean.
    """
    mean = np.full(len(sums), np.nan)
    sd = np.full(len(sums), np.nan)
    for p, (count, total, high, low) in enumerate(sums.tolist()):
        if count:
            squares = (high << 32) + low
            mean[p] = total / (count * FIXED_ONE)
            sd[p] = ((count * squares - total * total) / (count * count)) ** 0.5 / FIXED_ONE
    return mean, sd
