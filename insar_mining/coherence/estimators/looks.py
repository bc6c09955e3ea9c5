"""Estimate the number of independent looks of a coherence window.

Neighbouring pixels share a part of their speckle, because the processor's bandwidth is
narrower than the sampling and weighted; 14 pixels are therefore 6 to 8 independent looks.
Everything that is known of the sample coherence (its bias, its spread: Touzi et al. 1999,
doi:10.1109/36.739146) is written in independent looks.

Looks are defined here by what the estimator gives on ground without coherence: L looks are
those for which Touzi's mean ``E[d | D = 0] = Gamma(L) Gamma(3/2) / Gamma(L + 1/2)`` is the
mean that the window has.  That mean comes from the processor's spectra as the annotation
gives them (:func:`window_looks`), from the spectra that the pixels have (:func:`looks_of_image`), or
from coherence over ground that is known to have none (:func:`looks_of_decorrelated`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import toeplitz
from scipy.optimize import brentq
from scipy.special import gammaln

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.estimators.spectrum import (
    NoiseSpectrum,
    Spectrum,
    azimuth_spectrum,
    noise_spectrum,
    range_spectrum,
)
from insar_mining.errors import CoverageError, OptionError
from insar_mining.sentinel1.annotation import SubSwath

LEAST_LOOKS, MOST_LOOKS = 1.0 + 1e-6, 1e6
QUADRATURE_POINTS = 256
# the fourth moment needs all pairs of eigenvalues; beyond, it moves the looks by less than a hundredth of them
MOST_PAIRED = 512
LEAST_WINDOWS = 400
TILE = (64, 512)  # lines, samples; the carrier's rate changes by less than a thousandth across it
LEAST_TILES = 4


@dataclass(frozen=True)
class LooksEstimate:
    """Hold measured looks.

    Attributes
    ----------
    looks : float
        Independent looks, > 1.
    sd : float
        Standard deviation of `looks`, from the scatter of the pieces.
    parts : int
        Number of separate pieces (windows or tiles) that it rests on.
    """

    looks: float
    sd: float
    parts: int


def mean_without_coherence(looks: npt.ArrayLike) -> FloatArray:
    """Compute the mean sample coherence of decorrelated ground, ``Gamma(L) Gamma(3/2) / Gamma(L + 1/2)``.

    Examples
    --------
    >>> float(mean_without_coherence(7))
    0.341
    """
    count = np.asarray(looks, dtype=np.float64)
    return np.asarray(np.exp(gammaln(count) + gammaln(1.5) - gammaln(count + 0.5)))


def looks_of_mean(mean: float) -> float:
    """Solve the independent looks for which decorrelated ground reads `mean`.

    Raises
    ------
    OptionError
        The mean is not between 0.0009 (a million looks) and 1 (one look).
    """
    low, high = float(mean_without_coherence(MOST_LOOKS)), float(mean_without_coherence(LEAST_LOOKS))
    if not low <= mean < high:
        raise OptionError(f"a mean of {mean:.4g} is that of no number of looks: it must lie in {low:.4f}..1")
    return float(brentq(lambda n: float(mean_without_coherence(n)) - mean, LEAST_LOOKS, MOST_LOOKS, xtol=1e-9))


def window_looks(swath: SubSwath, lines: int, samples: int) -> float:
    """Compute independent looks of a window of a sub-swath from the bandwidths in its annotation.

    Parameters
    ----------
    lines, samples : int
        Size of the window in azimuth and in range.
    """
    return spectral_looks(azimuth_spectrum(swath), range_spectrum(swath), lines, samples)


def window_looks_of_noise(swath: SubSwath, lines: int, samples: int) -> float:
    """Return the independent looks of a window over thermal noise: calm water, radar shadow.

    They are more than those of speckle (9.9 / 7.8 / 7.8 beside 7.8 / 7.0 / 6.4 in IW1 / IW2 / IW3 for 2 x 7), so
    that such ground reads less coherence than decorrelated land.  For parameters see :func:`window_looks`.
    """
    return spectral_looks(noise_spectrum(swath), range_spectrum(swath), lines, samples)


def spectral_looks(azimuth: Spectrum | NoiseSpectrum, range_: Spectrum, lines: int, samples: int) -> float:
    """Compute independent looks of a window over speckle of known spectra.

    With the eigenvalues ``l_i`` (sum 1) of the correlation matrix of the window's pixels and
    independent exponential powers ``p_i``, ``q_i`` of the two dates, the squared sample
    coherence of decorrelated ground is ``x = |sum l_i sqrt(p_i q_i) exp(i phi_i)|^2 / (sum l_i p_i sum l_i q_i)``.
    Averaging over the phases and writing ``1/S = integral exp(-t S) dt`` gives its moments exactly,

    ``E[x] = sum_i (l_i a_i)^2``,  ``a_i = integral f_i(t) F(t) dt``,
    ``E[x^2] = 2 sum_ij (l_i l_j b_ij)^2 - sum_i (l_i^2 b_ii)^2``,
    ``b_ij = (1 + [i = j]) integral t f_i(t) f_j(t) F(t) dt``

    with ``f_i = 1 / (1 + l_i t)`` and ``F`` their product.  For L independent pixels x is
    Beta(1, L - 1); the mean of its root is taken from that density with the one Jacobi
    polynomial that gives the second moment.  Against simulation of the definition the mean
    is right to 0.0005 from 5 pixels on, and to 0.001 for the least window of 2.

    Parameters
    ----------
    azimuth, range_ : Spectrum
        That of azimuth may be a `NoiseSpectrum`.
    lines, samples : int
        Size of the window, >= 1 each, at least 2 pixels.

    Raises
    ------
    OptionError
        The window is a single pixel, in which coherence means nothing.
    """
    if lines < 1 or samples < 1 or lines * samples < 2:
        raise OptionError(f"window of {lines} lines x {samples} samples: at least 2 pixels are needed (default 2 x 7)")
    down, across = azimuth.autocorrelation(np.arange(lines)), range_.autocorrelation(np.arange(samples))
    return _looks_of(toeplitz(down), toeplitz(across))


def _looks_of(down: FloatArray, across: FloatArray) -> float:
    """Compute the looks of a window whose pixels have these correlation matrices along lines and samples."""
    eigenvalues = np.clip(np.outer(np.linalg.eigvalsh(down), np.linalg.eigvalsh(across)).ravel(), 0.0, None)
    return looks_of_mean(_mean_of_root(*_moments(eigenvalues / eigenvalues.sum())))


def _moments(eigenvalues: FloatArray) -> tuple[float, float | None]:
    """Compute E[x] and E[x^2] of the squared sample coherence; the second is None for very large windows."""
    node, weight = _quadrature()
    u = (node + 1) / 2
    t = u / (1 - u)  # 0..1 to 0..infinity
    density = weight / 2 / (1 - u) ** 2 * np.exp(-np.log1p(np.outer(t, eigenvalues)).sum(axis=1))
    factor = 1 / (1 + np.outer(t, eigenvalues))
    first = float(np.sum((eigenvalues * (density @ factor)) ** 2))
    if eigenvalues.size > MOST_PAIRED:
        return first, None
    pairs = (factor * (density * t)[:, None]).T @ factor
    pairs[np.diag_indices_from(pairs)] *= 2
    pairs *= np.outer(eigenvalues, eigenvalues)
    return first, float(2 * np.sum(pairs**2) - np.sum(np.diag(pairs) ** 2))


@functools.cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes and weights on -1..1, cached since they cost more than their use."""
    return np.polynomial.legendre.leggauss(QUADRATURE_POINTS)


def _mean_of_root(first: float, second: float | None) -> float:
    """Compute E[sqrt(x)] of a density of 0..1 near Beta(1, b) with one or two known moments."""
    b = 1 / first - 1

    def moment(k: float) -> float:
        return math.exp(gammaln(1 + k) + gammaln(1 + b) - gammaln(1 + b + k))

    if second is None:
        return moment(0.5)
    # p(x) = beta(x) (1 + c P(x)), P = x^2 + alpha x + gamma orthogonal to 1 and x under Beta(1, b)
    alpha, gamma = np.linalg.solve([[moment(1), 1.0], [moment(2), moment(1)]], [-moment(2), -moment(3)])
    c = (second - moment(2)) / (moment(4) + alpha * moment(3) + gamma * moment(2))
    return float(moment(0.5) + c * (moment(2.5) + alpha * moment(1.5) + gamma * moment(0.5)))


def looks_of_image(image: Complex64Array, lines: int, samples: int) -> LooksEstimate:
    """Estimate independent looks of a window from the spectra of an image's pixels.

    The image is cut into tiles of 64 lines x 512 samples; in each the azimuth carrier (a
    parabola of phase) is found from the phase between lines and removed, and the autocorrelation
    is added up.  Along lines and along samples it takes the place of the annotation's in
    :func:`spectral_looks`.  Texture does not disturb: a bright target has the autocorrelation
    of the response, which is that of speckle.  What moves (the sea) has fewer or more.

    Parameters
    ----------
    image : ndarray of complex64, shape (lines, samples)
        A block of one date, with its azimuth carrier or without; NaN and 0 are not data.
    lines, samples : int
        Size of the window, at most 32 lines and 256 samples.

    Raises
    ------
    CoverageError
        Fewer than four tiles are at least half full of data.
    OptionError
        The window is a single pixel, or larger than half a tile.
    """
    if not (1 <= lines <= TILE[0] // 2 and 1 <= samples <= TILE[1] // 2 and lines * samples >= 2):
        raise OptionError(
            f"window of {lines} lines x {samples} samples: looks are measured for 2 pixels up to "
            f"{TILE[0] // 2} x {TILE[1] // 2}. Take those of the annotation's spectra."
        )
    tiles = [_tile_autocorrelation(tile, lines, samples) for tile in _full_tiles(image)]
    if len(tiles) < LEAST_TILES:
        raise CoverageError(
            f"{len(tiles)} tiles of {TILE[0]} x {TILE[1]} pixels with data are too few to measure looks from "
            f"(at least {LEAST_TILES}). Take a larger block, or the looks of the annotation's spectra."
        )
    separate = [_looks_of(toeplitz(down), toeplitz(across)) for down, across in tiles]
    down, across = (np.mean([tile[axis] for tile in tiles], axis=0) for axis in (0, 1))
    sd = float(np.std(separate, ddof=1)) / math.sqrt(len(tiles))
    return LooksEstimate(_looks_of(toeplitz(down), toeplitz(across)), sd, len(tiles))


def _full_tiles(image: Complex64Array) -> Iterator[npt.NDArray[np.complex128]]:
    """Cut an image into tiles with at least half of their pixels valid; the others are 0."""
    for top in range(0, image.shape[0] - TILE[0] + 1, TILE[0]):
        for left in range(0, image.shape[1] - TILE[1] + 1, TILE[1]):
            tile = np.nan_to_num(image[top : top + TILE[0], left : left + TILE[1]].astype(np.complex128))
            if np.count_nonzero(tile) >= tile.size / 2:
                yield tile


def _tile_autocorrelation(tile: npt.NDArray[np.complex128], lines: int, samples: int) -> tuple[FloatArray, FloatArray]:
    """Compute the autocorrelation of a tile along lines and along samples, real, 1 at lag 0."""
    between = np.sum(tile[1:] * tile[:-1].conj(), axis=1)  # phase from a line to the next: straight in the line
    rate = float(np.angle(np.sum(between[1:] * between[:-1].conj())))
    line = np.arange(tile.shape[0])
    start = float(np.angle(np.sum(between * np.exp(-1j * rate * line[:-1]))))
    level = tile * np.exp(-1j * (start * line + rate * line * (line - 1) / 2))[:, None]
    across = [np.sum(level[:, k:] * level[:, : level.shape[1] - k].conj()) for k in range(samples)]
    down = [np.sum(level[k:] * level[: level.shape[0] - k].conj()) for k in range(lines)]
    counts = (tile != 0).astype(np.float64)
    pairs_across = [np.sum(counts[:, k:] * counts[:, : counts.shape[1] - k]) for k in range(samples)]
    pairs_down = [np.sum(counts[k:] * counts[: counts.shape[0] - k]) for k in range(lines)]
    return _centred(down, pairs_down), _centred(across, pairs_across)


def _centred(sums: list[np.complex128], pairs: list[np.float64]) -> FloatArray:
    """Normalise mean products by lag 0, with the phase of the spectrum's centre removed."""
    mean = np.asarray(sums) / np.maximum(pairs, 1.0)
    turn = np.angle(mean[1]) if mean.size > 1 else 0.0
    return np.asarray((mean * np.exp(-1j * turn * np.arange(mean.size))).real / mean[0].real)


def looks_of_decorrelated(coherence: npt.ArrayLike) -> LooksEstimate:
    """Estimate independent looks from the sample coherence of decorrelated ground.

    Parameters
    ----------
    coherence : array_like
        Values of windows that do not overlap, 0..1; NaN is left out.

    Raises
    ------
    CoverageError
        Fewer than 400 values.
    OptionError
        The mean is that of no number of looks.
    """
    values = np.asarray(coherence, dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size < LEAST_WINDOWS:
        raise CoverageError(
            f"{values.size} windows with data are too few to measure looks from (at least {LEAST_WINDOWS}). "
            "Take a larger block, or the looks of the annotation's spectra."
        )
    mean = float(values.mean())
    looks = looks_of_mean(mean)
    step = 1e-4 * looks
    slope = float(mean_without_coherence(looks + step) - mean_without_coherence(looks)) / step
    return LooksEstimate(looks, float(values.std(ddof=1)) / math.sqrt(values.size) / abs(slope), values.size)
