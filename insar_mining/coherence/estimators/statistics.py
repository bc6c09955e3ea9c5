"""Compute the distribution of sample coherence, its moments and their inverses.

Notation: ``D`` is the true coherence of the ground, ``d`` the sample coherence of a window of ``L``
independent looks (a real number: samples of one window are correlated). All formulas
follow Touzi, Lopes, Bruniquel and Vachon 1999, doi:10.1109/36.739146, for circular Gaussian samples.

Everything is integrated in ``t = atanh d``, in which the density is smooth and its width nearly the
same everywhere (Fisher's transform).
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import interpolate, special

from insar_mining.arrays import BoolArray, FloatArray
from insar_mining.errors import OptionError

# below, the density is infinite near 1; above, the hypergeometric function leaves the range of doubles
LEAST_LOOKS = 1.5
MOST_LOOKS = 400.0

# nodes of a panel of Gauss-Legendre quadrature, and values that are integrated at a time
_NODES = 48
_AT_A_TIME = 4096

# nodes of true coherence in the table of `unbias`, of the tables of `likelihood_interval`
_EXPECTATION_NODES = 1025
_LIKELIHOOD_SAMPLES = 513
_LIKELIHOOD_TRUE = 2049

# of the series in `_series`
_MOST_TERMS = 2000

# atanh of the largest coherence that tables hold: 1 - 1e-6
_TABLE_END = 7.25

# a true coherence is not told apart from 1 beyond this
_CLOSEST_TO_ONE = 1e-12


class Unbiased(NamedTuple):
    """Hold the true coherence inverted from a mean of sample coherence.

    Attributes
    ----------
    true : ndarray
        0..1; exactly 0 where `below_floor`.
    below_floor : ndarray of bool
        The mean lies below what fully decorrelated ground reads: the data only say that the true
        coherence is small (a one-sided answer).
    """

    true: FloatArray
    below_floor: BoolArray


def sample_pdf(sample: npt.ArrayLike, true: npt.ArrayLike, looks: npt.ArrayLike) -> FloatArray:
    """Return the density of the sample coherence.

    Parameters
    ----------
    sample : array_like, 0..1
    true : array_like, 0 <= true < 1
    looks : array_like, 1.5..400
        Independent looks, any real number.

    Returns
    -------
    ndarray
        Broadcast over the three; 0 outside 0..1.

    Raises
    ------
    OptionError
        A true coherence or a number of looks out of its range.

    Notes
    -----
    ``p(d) = 2 (L-1) (1-D^2)^L d (1-d^2)^(L-2) 2F1(L, L; 1; d^2 D^2)`` (Touzi et al. 1999, doi:10.1109/36.739146),
    with Euler's transformation ``2F1(L, L; 1; z) = (1-z)^(1-2L) 2F1(1-L, 1-L; 1; z)``, a sum of
    positive terms that stays bounded up to z = 1.

    Examples
    --------
    >>> float(sample_pdf(0.5, 0.0, 7).round(4))
    1.4238
    """
    d, true_, looks_ = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (sample, true, looks)))
    _check(true_, looks_)
    inside = (d > 0) & (d < 1)
    t = np.arctanh(np.where(inside, d, 0.5))
    density = np.exp(_log_density(t, true_, looks_)) * np.cosh(t) ** 2
    return np.asarray(np.where(inside, density, 0.0))


def sample_cdf(sample: npt.ArrayLike, true: npt.ArrayLike, looks: npt.ArrayLike) -> FloatArray:
    """Return the probability of a sample coherence of at most `sample`.

    Parameters
    ----------
    sample, true, looks : array_like
        As of `sample_pdf`.

    Returns
    -------
    ndarray
        Broadcast over the three. The quadrature errs by less than 1e-9.

    Examples
    --------
    For D = 0 the square of the sample coherence follows Beta(1, L - 1):

    >>> float(sample_cdf(0.5, 0.0, 7).round(6)), round(1 - 0.75**6, 6)
    (0.822021, 0.822021)
    """
    d, true_, looks_ = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (sample, true, looks)))
    _check(true_, looks_)
    t = np.arctanh(np.clip(d, 0.0, np.nextafter(1.0, 0.0)))
    flat = _in_pieces(t.ravel(), true_.ravel(), looks_.ravel(), power=0)
    return np.where(d >= 1, 1.0, np.where(np.isnan(d), np.nan, flat.reshape(d.shape).clip(0.0, 1.0)))


def expected_coherence(true: npt.ArrayLike, looks: npt.ArrayLike) -> FloatArray:
    """Return the mean of the sample coherence for a true coherence.

    Parameters
    ----------
    true : array_like, 0..1
    looks : array_like, 1.5..400

    Returns
    -------
    ndarray
        Broadcast over both; the quadrature errs by less than 1e-9. For D = 0 this is
        ``Gamma(L) Gamma(3/2) / Gamma(L + 1/2)``.

    Examples
    --------
    >>> expected_coherence([0.0, 0.5, 0.9], 7).round(3)
    array([0.341, 0.552, 0.902])
    """
    return _moment(true, looks, 1)


def coherence_sd(true: npt.ArrayLike, looks: npt.ArrayLike) -> FloatArray:
    """Return the standard deviation of the sample coherence for a true coherence.

    Parameters
    ----------
    true, looks : array_like
        As of `expected_coherence`.

    Examples
    --------
    >>> coherence_sd([0.0, 0.5, 0.9], 7).round(3)
    array([0.163, 0.175, 0.056])
    """
    variance = _moment(true, looks, 2) - _moment(true, looks, 1) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def unbias(mean_sample: npt.ArrayLike, looks: float) -> Unbiased:
    """Return the true coherence behind a mean of sample coherence: the inverse of the expectation.

    Give means (over pairs, over cells, or both). The inverse of single estimates, cut at 0, is itself biased:
    averaging it afterwards cannot mend that.

    Parameters
    ----------
    mean_sample : array_like
        Mean of the sample coherence, 0..1; NaN stays NaN.
    looks : float, 1.5..400
        Looks of one window, not of the mean.

    Returns
    -------
    Unbiased
        ``true`` and ``below_floor``; from a table that errs by less than 2e-6 in ``true`` (measured, 1.5 to 30 looks).

    Examples
    --------
    >>> found = unbias([0.902, 0.30], 7)
    >>> found.true.round(3), found.below_floor
    (array([0.9, 0. ]), array([False,  True]))
    """
    mean = np.asarray(mean_sample, np.float64)
    floor, squared = _inverse_of_expectation(_one(looks))
    with np.errstate(invalid="ignore"):
        below = mean < floor
        true = np.sqrt(np.clip(squared(np.clip(mean, floor, 1.0)), 0.0, 1.0))
    return Unbiased(np.where(below, 0.0, true), np.asarray(below))


def likelihood_interval(sample: npt.ArrayLike, looks: float, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return the interval of true coherence that one sample coherence supports.

    Parameters
    ----------
    sample : array_like, 0..1
        Of single windows; NaN stays NaN.
    looks : float, 1.5..400
    level : float, 0..1 (both excluded)
        Confidence.

    Returns
    -------
    low, high : ndarray
        All D with ``2 (max l - l(D)) <= q``, l the log likelihood and q the quantile of chi-squared with one degree
        of freedom. `low` is 0, one-sided, where D = 0 is among them. From tables of 513 samples that err by
        less than 2e-3. The true coherence lies within for 93 to 98 % of samples at a level of 95 %,
        from 4.5 to 30 looks (by integration over `sample_pdf`).

    Examples
    --------
    >>> low, high = likelihood_interval([0.3, 0.9], 7)
    >>> low.round(2), high.round(2)
    (array([0.  , 0.69]), array([0.61, 0.96]))
    """
    if not 0 < level < 1:
        raise OptionError(f"level={level}: a confidence level lies between 0 and 1 (0.95 is usual)")
    values = np.asarray(sample, np.float64)
    t, low, high = _likelihood_table(_one(looks), float(level))
    with np.errstate(invalid="ignore"):
        place = np.arctanh(np.clip(values, 0.0, np.tanh(_TABLE_END)))
    return np.tanh(np.interp(place, t, low)), np.tanh(np.interp(place, t, high))


def _check(true: FloatArray, looks: FloatArray) -> None:
    if true.size and not (np.nanmin(true) >= 0 and np.nanmax(true) <= 1):
        raise OptionError(f"true coherence from {np.nanmin(true):g} to {np.nanmax(true):g}: it lies between 0 and 1")
    if looks.size and not (np.min(looks) >= LEAST_LOOKS and np.max(looks) <= MOST_LOOKS):
        raise OptionError(
            f"looks from {np.min(looks):g} to {np.max(looks):g}: the law of coherence is held for "
            f"{LEAST_LOOKS:g} to {MOST_LOOKS:g} independent looks"
        )


def _one(looks: float) -> float:
    value = float(looks)
    _check(np.zeros(1), np.array([value]))
    return value


def _log_density(t: FloatArray, true: FloatArray, looks: FloatArray) -> FloatArray:
    """Compute the log density of ``t = atanh d``; t > 0."""
    # 1 - d^2 and d without loss where d is close to 1
    fall = np.exp(-2 * t)
    log_left = 2 * (np.log(2.0) - t - np.log1p(fall))
    d = -np.expm1(-2 * t) / (1 + fall)
    loss = np.maximum((1 - true) * (1 + true), _CLOSEST_TO_ONE)
    z = d * d * (1 - loss)
    log_rest = np.log(np.exp(log_left) + d * d * loss)
    series = _series(looks, z)
    return np.asarray(
        np.log(2 * (looks - 1))
        + looks * np.log(loss)
        + np.log(d)
        + (looks - 1) * log_left
        + (1 - 2 * looks) * log_rest
        + np.log(series)
    )


def _series(looks: FloatArray, z: FloatArray) -> FloatArray:
    """Sum ``2F1(1-L, 1-L; 1; z)``, 0 <= z <= 1: ``sum ((1-L)_k / k!)^2 z^k``, all terms positive.

    For broken L scipy's hyp2f1 takes up to a millisecond per value near z = 1, and is NaN from some 400
    looks on; the plain sum ends after 10 to 250 terms from 3 looks on. Below, its terms fall too slowly.
    """
    looks_, z_ = np.broadcast_arrays(np.asarray(looks, np.float64), np.asarray(z, np.float64))
    few = looks_ < 3
    if few.any():
        direct = np.asarray(special.hyp2f1(1 - looks_[few], 1 - looks_[few], 1.0, z_[few]))
        if few.all():
            return direct.reshape(z_.shape)
    total = np.ones(z_.shape)
    term = np.ones(z_.shape)
    for k in range(_MOST_TERMS):
        term = term * z_ * ((k + 1 - looks_) / (k + 1)) ** 2
        total += term
        if not (term > 1e-15 * total)[~few].any():
            break
    if few.any():
        total[few] = direct
    return total


def _integral(upper: FloatArray, true: FloatArray, looks: FloatArray, power: int) -> FloatArray:
    """Integrate ``d**power`` times the density from 0 to atanh d = `upper`, 1-D arrays."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    centre = np.arctanh(np.minimum(true, 1 - _CLOSEST_TO_ONE))
    # near its centre the density is a bell of this width; its flanks fall as exp(2 L t) and exp(-2 (L-1) t)
    width = 1 / np.sqrt(2 * looks)
    lowest = np.maximum(centre - 20 / looks - 9 * width, 0.0)
    highest = centre + 20 / (looks - 1) + 9 * width
    far = centre + 4 * width + 3 / (looks - 1)
    edges = np.stack([lowest, centre - 4 * width, centre, centre + 4 * width, far, highest])
    edges = np.minimum(np.maximum(edges, lowest), np.minimum(upper, highest))
    total = np.zeros_like(upper)
    for left, right in itertools.pairwise(edges):
        half = (right - left) / 2
        used = half > 0
        if not used.any():
            continue
        t = (left[used] + half[used])[:, None] + half[used][:, None] * nodes
        density = np.exp(_log_density(t, true[used, None], looks[used, None]))
        total[used] += half[used] * ((density * np.tanh(t) ** power) @ weights)
    return total


def _in_pieces(upper: FloatArray, true: FloatArray, looks: FloatArray, power: int) -> FloatArray:
    """Integrate long arrays in pieces, so that the nodes fit into memory."""
    pieces = [
        _integral(upper[i : i + _AT_A_TIME], true[i : i + _AT_A_TIME], looks[i : i + _AT_A_TIME], power)
        for i in range(0, upper.size, _AT_A_TIME)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0)


def _moment(true: npt.ArrayLike, looks: npt.ArrayLike, power: int) -> FloatArray:
    true_, looks_ = np.broadcast_arrays(np.asarray(true, np.float64), np.asarray(looks, np.float64))
    _check(true_, looks_)
    upper = np.full(true_.size, np.inf)
    found = _in_pieces(upper, true_.ravel(), looks_.ravel(), power).reshape(true_.shape)
    return np.where(true_ >= 1, 1.0, found)


@lru_cache(maxsize=32)
def _inverse_of_expectation(looks: float) -> tuple[float, interpolate.CubicSpline]:
    """Return the expectation for D = 0, and D squared as a smooth function of the expectation."""
    true = np.linspace(0.0, 1.0, _EXPECTATION_NODES)
    expected = expected_coherence(true, looks)
    return float(expected[0]), interpolate.CubicSpline(expected, true**2)


@lru_cache(maxsize=32)
def _likelihood_table(looks: float, level: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Tabulate atanh d at nodes, and atanh of the bounds of D at each."""
    sample = np.linspace(0.0, _TABLE_END, _LIKELIHOOD_SAMPLES)
    true = np.linspace(0.0, _TABLE_END + 1.0, _LIKELIHOOD_TRUE)
    # a sample of exactly 0 has no density; its likelihood is the limit of small samples
    place = np.maximum(sample, 1e-6)
    likelihood = _log_density(place[:, None], np.tanh(true)[None, :], np.full((1, 1), looks))
    # half the quantile of chi-squared with one degree of freedom: the square of a normal one; scipy.stats takes 20 MB
    drop = likelihood.max(axis=1, keepdims=True) - likelihood - special.ndtri((1 + level) / 2) ** 2 / 2
    best = likelihood.argmax(axis=1)
    low, high = np.zeros(sample.size), np.full(sample.size, true[-1])
    for i, top in enumerate(best):
        outside = np.flatnonzero(drop[i, :top] > 0)
        if outside.size:
            low[i] = _crossing(true, drop[i], outside[-1])
        outside = np.flatnonzero(drop[i, top:] > 0)
        if outside.size:
            high[i] = _crossing(true, drop[i], top + outside[0] - 1)
    return sample, low, high


def _crossing(x: FloatArray, y: FloatArray, left: int) -> float:
    """Find where y, linear between nodes `left` and `left + 1`, is 0."""
    return float(x[left] + (x[left + 1] - x[left]) * y[left] / (y[left] - y[left + 1]))
