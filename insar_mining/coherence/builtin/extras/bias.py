"""Correct maps of coherence for the bias of the estimator, with their errors.

A window of few looks reads too much coherence where there is little (ground without any
reads 0.32 in a 2 x 7 window of IW1).  This module turns the law of sample coherence
(:mod:`insar_mining.coherence.estimators.statistics`, after Touzi et al. 1999, doi:10.1109/36.739146) into tables for
one number of looks and looks every cell of a map up in them.

A single value stays a poor estimate: what it can tell is in its interval.  Means over many
windows or pairs are corrected by :func:`corrected_mean`: the mean first, then the
inversion.  The mean of corrected cells is wrong, because values below what ground without
coherence reads have all become 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from insar_mining.arrays import Float32Array, FloatArray
from insar_mining.coherence.estimators.statistics import expected_coherence, likelihood_interval, sample_pdf, unbias
from insar_mining.errors import OptionError
from insar_mining.jit import njit

NODES = 4097  # of sample coherence, 0..1
TRUE_NODES = 257  # of true coherence, for the standard error
SAMPLE_STEP = 0.01  # of atanh d in the integral over samples
LARGEST_ATANH = 8.0


class Corrected(NamedTuple):
    """Hold corrected maps of one shape, float32; NaN where the coherence is NaN.

    Attributes
    ----------
    coherence : ndarray
        The inverse of the expectation, 0..1; exactly 0 where the sample lies below what
        ground without coherence reads on average.
    standard_error : ndarray
        Root mean square difference between `coherence` and the truth, for single windows
        over ground whose true coherence is the corrected value.
    low, high : ndarray
        Likelihood interval of the truth; `low` is 0 where no coherence at all is among the
        likely values (a one-sided interval).
    """

    coherence: Float32Array
    standard_error: Float32Array
    low: Float32Array
    high: Float32Array


class CorrectedMean(NamedTuple):
    """Hold the true coherence inverted from the mean of many sample coherences.

    Attributes
    ----------
    coherence : float
        0..1; 0 where the mean lies below what ground without coherence reads.
    low, high : float
        Where the mean less, or plus, the quantile times its standard error leads.
    windows : int
        Finite values in the mean.
    """

    coherence: float
    low: float
    high: float
    windows: int


def correct_map(coherence: Float32Array, looks: float, level: float = 0.95) -> Corrected:
    """Correct a map of sample coherence cell by cell, with standard error and interval.

    Parameters
    ----------
    coherence : ndarray of float32, any shape
        Of single windows, 0..1; NaN is not data.  Values that were averaged or
        interpolated have a smaller bias and spread than the tables know.
    looks : float, 1.5..400
        Independent looks of a window (:mod:`insar_mining.coherence.estimators.looks`).
    level : float, 0..1 (both excluded)
        Confidence of the interval.

    Raises
    ------
    OptionError
        Looks or level out of range, or a coherence outside 0..1.
    """
    tables = _tables(float(looks), float(level))
    values = np.ascontiguousarray(coherence, dtype=np.float32).reshape(-1)
    out = Corrected(*(np.empty(values.shape, np.float32) for _ in range(4)))
    outside = _look_up(values, tables, *out)
    if outside:
        raise OptionError(f"{outside} cells hold a coherence outside 0..1; is this a map of coherence?")
    return Corrected(*(band.reshape(coherence.shape) for band in out))


def corrected_mean(coherence: npt.ArrayLike, looks: float, level: float = 0.95) -> CorrectedMean:
    """Return the true coherence of many windows over ground of one coherence: mean first, then inversion.

    Parameters
    ----------
    coherence : array_like
        Sample coherence of windows that do not overlap, or of pairs; NaN is left out.  At least
        100 are needed for an error near 0.05, at low coherence many more.
    looks : float
        Of one window.
    level : float
        Confidence of the interval, from the scatter of the values (Student's factor is not
        applied: with 100 values it is 1 % larger).

    Raises
    ------
    OptionError
        Fewer than 2 values, or looks or level out of range.

    Notes
    -----
    The mean is inverted, never the values: a thousand means of 100 windows of 7.8 looks gave, after
    inversion, 0.000 to 0.002 beside truths of 0.3 to 0.9, one of them scattering by 0.033 at 0.3 and 0.006 at 0.9.
    At truth 0 nothing scatters below it: their mean is 0.05.  Arrays of means, without the
    interval: :func:`insar_mining.coherence.estimators.statistics.unbias`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> window = rng.normal(size=(2, 2, 1000, 8)).view(complex)  # two dates, 1000 windows of 4 samples
    >>> one, other = window[0], 0.6 * window[0] + 0.8 * window[1]
    >>> both = np.abs((one * other.conj()).sum(-1)) / np.sqrt((abs(one) ** 2).sum(-1) * (abs(other) ** 2).sum(-1))
    >>> found = corrected_mean(both, looks=4)
    >>> round(float(both.mean()), 2), found.low < 0.6 < found.high
    (0.67, True)
    """
    if not 0 < level < 1:
        raise OptionError(f"level={level}: a confidence level lies between 0 and 1 (0.95 is usual)")
    values = np.asarray(coherence, dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size < 2:
        raise OptionError(f"{values.size} values: the mean of sample coherence needs at least 2 (and should have 100)")
    mean = float(values.mean())
    reach = float(ndtri((1 + level) / 2)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    low, middle, high = unbias(np.clip([mean - reach, mean, mean + reach], 0.0, 1.0), looks).true.tolist()
    return CorrectedMean(middle, low, high, values.size)


def single_value_bias(true: npt.ArrayLike, looks: float) -> tuple[FloatArray, FloatArray]:
    """Compute the mean error of single windows over ground of a true coherence: as estimated, and corrected.

    Parameters
    ----------
    true : array_like, 0..1
    looks : float

    Returns
    -------
    raw, corrected : ndarray
        Mean of the sample coherence, and of its correction cut at 0, less the truth.
    """
    truth = np.asarray(true, dtype=np.float64)
    corrected, _ = _moments_of_correction(truth.ravel(), float(looks))
    return expected_coherence(truth, looks) - truth, corrected.reshape(truth.shape) - truth


def _moments_of_correction(true: FloatArray, looks: float) -> tuple[FloatArray, FloatArray]:
    """Compute mean and root mean square error of the correction of single windows, for each true coherence."""
    t = np.arange(SAMPLE_STEP / 2, LARGEST_ATANH, SAMPLE_STEP)
    sample = np.tanh(t)
    corrected = unbias(sample, looks).true
    # of one look more than 2 the density vanishes at 1; the weights are scaled to a sum of 1 for the others
    inside = np.minimum(true, 1 - 1e-6)
    weights = sample_pdf(sample[None, :], inside[:, None], looks) / np.cosh(t) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ corrected
    square = weights @ corrected**2 - 2 * true * mean + true**2
    return mean, np.sqrt(np.maximum(square, 0.0))


@lru_cache(maxsize=16)
def _tables(looks: float, level: float) -> FloatArray:
    """Tabulate corrected value squared, standard error, low and high at evenly spaced samples, shape (4, 4097).

    The square of the corrected value is straight just above the floor, where the value itself
    rises like a root; below the floor it goes on with the same slope, so that
    no cell between two nodes is off.
    """
    sample = np.linspace(0.0, 1.0, NODES)
    floor = float(expected_coherence(0.0, looks))
    squared = unbias(sample, looks).true ** 2
    above = floor + 1e-3
    slope = (float(unbias(above, looks).true) ** 2) / (above - floor)
    squared = np.where(sample < floor, slope * (sample - floor), squared)
    true = np.linspace(0.0, 1.0, TRUE_NODES)
    _, error = _moments_of_correction(true, looks)
    low, high = likelihood_interval(sample, looks, level)
    # at a sample of exactly 1 nothing but 1 is likely
    return np.stack([squared, np.interp(np.sqrt(np.maximum(squared, 0.0)), true, error), low, high])


@njit(parallel=True)
def _look_up(values, tables, corrected, error, low, high):  # type: ignore[no-untyped-def]
    """Interpolate four maps in linear tables over 0..1; return the number of values outside."""
    nodes = tables.shape[1]
    outside = 0
    for i in numba.prange(values.size):
        d = values[i]
        if not 0.0 <= d <= 1.0:
            corrected[i] = error[i] = low[i] = high[i] = np.nan
            if d == d:
                outside += 1
            continue
        place = d * (nodes - 1)
        k = min(int(place), nodes - 2)
        u = place - k
        square = tables[0, k] * (1 - u) + tables[0, k + 1] * u
        corrected[i] = math.sqrt(square) if square > 0 else 0.0
        error[i] = tables[1, k] * (1 - u) + tables[1, k + 1] * u
        low[i] = tables[2, k] * (1 - u) + tables[2, k + 1] * u
        high[i] = tables[3, k] * (1 - u) + tables[3, k + 1] * u
    return outside
