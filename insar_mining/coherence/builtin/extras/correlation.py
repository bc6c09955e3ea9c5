"""Measure the shift between two images by correlation of patches.

Two steps.  The amplitudes are correlated over whole lines and samples (:func:`amplitude_surface`); that
survives any fringe.  Then the complex patches give the fraction (:func:`patch_shifts`): a shift is a phase
that grows with frequency, and speckle of known spectrum weights every frequency of its band alike, which
reaches the Cramer-Rao bound of Bamler and Eineder, "Accuracy of differential shift estimation by
correlation and split-bandwidth interferometry", 2005, doi:10.1109/LGRS.2004.843203.

Throughout, a shift `d` is that of the second image: ``second(p) = first(p - d)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.estimators.spectrum import Spectrum

PATCH_LINES, PATCH_SAMPLES = 32, 128
SEARCH_LINES, SEARCH_SAMPLES = 8, 16  # how far amplitudes are searched, either way
LEAST_FINITE = 0.5  # of a patch
TEXTURE = 1 / 16  # cycles per pixel; slower changes of brightness are of the ground, not of speckle
BAND_KEPT = 0.9  # of the band: its very edges are what interpolation renders worst
LEAST_PEAK = 8.0  # standard deviations of the surface by which a peak must stand out
LEAST_POWER = 6.0  # of noise alone, exp(-6) = 0.25 % of the patches show more
LEAST_EXCESS = 6.0  # standard deviations by which all patches together must exceed noise
MOST_COHERENCE2 = 0.98  # a patch's weight grows no further
TUKEY = 5.0
STEPS = 30


@dataclass(frozen=True, eq=False)
class PatchShifts:
    """Hold the shift measured in each patch of two images; all arrays of shape (patches,).

    Attributes
    ----------
    lines, samples : ndarray
        Shift, by one step from zero: exact when small, some per cent too large at half a pixel.
    lines_sd, samples_sd : ndarray
        The Cramer-Rao bound of either at the patch's coherence; infinite without coherence.
    coherence2 : ndarray
        Squared coherence, free of bias: scatters around 0 where there is none; 0.98 at most.
    power : ndarray
        Of the correlation at zero, in units of what ground of this brightness gives without coherence:
        exponentially distributed then.
    """

    lines: FloatArray
    samples: FloatArray
    lines_sd: FloatArray
    samples_sd: FloatArray
    coherence2: FloatArray
    power: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[PatchShifts]) -> PatchShifts:
        """Concatenate the patches of several images."""
        names = ("lines", "samples", "lines_sd", "samples_sd", "coherence2", "power")
        return cls(*(np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)]) for name in names))

    @property
    def coherent(self) -> npt.NDArray[np.bool_]:
        """Select patches with significant coherence."""
        return (self.power > LEAST_POWER) & (self.coherence2 > 0)

    def excess(self, rounds: int = 1) -> float:
        """Compute by how many standard deviations mean power exceeds noise, each patch being there `rounds` times."""
        count = self.power.size
        return float((self.power.mean() - 1) * math.sqrt(count / rounds)) if count else 0.0


def patch_shifts(first: Complex64Array, second: Complex64Array, azimuth: Spectrum, range_: Spectrum) -> PatchShifts:
    """Measure the shift of the second image against the first, patch by patch.

    Parameters
    ----------
    first, second : ndarray of complex64, shape (lines, samples)
        Without carrier, on one grid to within a pixel; whole patches of 32 x 128 are taken, from the first
        pixel on.  NaN where either has no data.
    azimuth, range_ : Spectrum
        Along lines and along samples.

    Notes
    -----
    With ``X(f) = A(f) conj(B(f)) / S(f)``, S the power spectrum of speckle, and ``c = sum X``,
    ``c' = sum f X`` over the band, the phase ``2 pi f d`` of X gives ``d = Im(conj(c) c') / (2 pi v |c|^2)``,
    v being the variance of f; its standard deviation is
    ``sqrt((1 - g^2) / (2 g^2 N)) / (2 pi sqrt(v))`` for N independent frequencies of coherence g.
    """
    pair = [_patches(image) for image in (first, second)]
    used = _usable(*pair)
    known = [np.where(used[1], image[used[0]], 0) for image in pair]
    (f_line, weight_line), (f_sample, weight_sample) = (
        _band(spectrum, n) for spectrum, n in ((azimuth, PATCH_LINES), (range_, PATCH_SAMPLES))
    )
    bins = np.ix_(np.arange(known[0].shape[0]), f_line.index, f_sample.index)
    a, b = (fft.fft2(image, axes=(1, 2))[bins].astype(np.complex128) for image in known)
    weight = weight_line[:, None] * weight_sample
    a, b = (v * np.sqrt(weight) for v in (a, b))
    cross = a * b.conj()
    total = cross.sum(axis=(1, 2))
    energy = np.prod([np.sum(np.abs(v) ** 2, axis=(1, 2)) for v in (a, b)], axis=0)
    noise = _noise(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):  # a patch without signal is dropped below
        raw = np.abs(total) ** 2 / energy
        power = np.abs(total) ** 2 / noise
        shift = [
            np.imag(total.conj() * moment) / (2 * np.pi * frequency.variance * np.abs(total) ** 2)
            for moment, frequency in (
                (np.einsum("pij,i->p", cross, f_line.value), f_line),
                (np.einsum("pij,j->p", cross, f_sample.value), f_sample),
            )
        ]
        # coherent images of even brightness show 1 + g^2 of the noise of incoherent ones
        count = np.minimum((1 + raw) * energy / noise, weight.size * used[1].mean(axis=(1, 2)))
        coherence2 = np.minimum((raw - 1 / count) / (1 - 1 / count), MOST_COHERENCE2)
        phase_sd = np.sqrt((1 - coherence2) / (2 * np.maximum(coherence2, 0) * count))
    sd = [phase_sd / (2 * np.pi * math.sqrt(f.variance)) for f in (f_line, f_sample)]
    seen = np.isfinite(power)
    return PatchShifts(*(v[seen] for v in (*shift, *sd, coherence2, power)))


def _noise(a: npt.NDArray[np.complex128], b: npt.NDArray[np.complex128]) -> FloatArray:
    """Compute the power of the sum of ``a conj(b)`` without coherence, from the brightness at each place.

    Bright and dark ground lies alike on both dates; few bright pixels then make most of the sum, and it
    scatters as much as that of few pixels.
    """
    # the frequencies of the band alone are the transform of a smaller image, whose pixels are independent
    first, second = (np.abs(fft.ifft2(v, axes=(1, 2))) ** 2 for v in (a, b))
    return np.asarray(np.sum(first * second, axis=(1, 2)) * float(a.shape[1] * a.shape[2]) ** 2)


@dataclass(frozen=True, eq=False)
class _Frequencies:
    """Hold the frequencies of a band: indices in a transform, cycles per pixel, and their variance."""

    index: npt.NDArray[np.intp]
    value: FloatArray
    variance: float


def _band(spectrum: Spectrum, size: int) -> tuple[_Frequencies, FloatArray]:
    """Return the frequencies inside of a band, and the weights that flatten its power."""
    frequency = fft.fftfreq(size)
    index = np.flatnonzero(np.abs(frequency) <= BAND_KEPT * spectrum.band / 2)
    value = frequency[index]
    return _Frequencies(index, value, float(np.mean(value**2))), 1 / spectrum.amplitude(value) ** 2


def _patches(image: Complex64Array) -> Complex64Array:
    """Cut an image into whole patches, shape (patches, 32, 128)."""
    rows, columns = image.shape[0] // PATCH_LINES, image.shape[1] // PATCH_SAMPLES
    cut = image[: rows * PATCH_LINES, : columns * PATCH_SAMPLES]
    cut = cut.reshape(rows, PATCH_LINES, columns, PATCH_SAMPLES).swapaxes(1, 2)
    return cut.reshape(rows * columns, PATCH_LINES, PATCH_SAMPLES)


def _usable(first: Complex64Array, second: Complex64Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Select patches that both images fill well enough, and their valid pixels."""
    known = np.isfinite(first) & np.isfinite(second) & (first != 0) & (second != 0)
    used = known.mean(axis=(1, 2)) >= LEAST_FINITE if known.size else np.zeros(known.shape[0], dtype=np.bool_)
    return used, known[used]


def amplitude_surface(first: Complex64Array, second: Complex64Array) -> tuple[FloatArray, int]:
    """Correlate amplitudes at whole shifts, summed over patches; also return the number of patches.

    Returns
    -------
    ndarray, shape (17, 33)
        At ``[8 + lines, 16 + samples]``, for each shift of the second image.
    """
    pair = [_patches(image) for image in (first, second)]
    used, known = _usable(*pair)
    transforms = []
    for image in pair:
        amplitude = np.where(known, np.abs(image[used]), 0)
        mean = amplitude.sum(axis=(1, 2)) / known.sum(axis=(1, 2))
        transforms.append(fft.fft2(np.where(known, amplitude - mean[:, None, None], 0), axes=(1, 2)))
    # brightness that changes slowly belongs to the ground: it says little of where, and would hide the peak
    slow = np.hypot(fft.fftfreq(PATCH_LINES)[:, None], fft.fftfreq(PATCH_SAMPLES)) < TEXTURE
    a, b = (np.where(slow, 0, v) for v in transforms)
    energy = np.sqrt(np.prod([np.sum(np.abs(v) ** 2, axis=(1, 2)) for v in (a, b)], axis=0))
    filled = energy > 0
    cross = np.sum((a.conj() * b)[filled] / energy[filled, None, None], axis=0)
    surface = fft.ifft2(cross).real * cross.size
    lines, samples = np.arange(-SEARCH_LINES, SEARCH_LINES + 1), np.arange(-SEARCH_SAMPLES, SEARCH_SAMPLES + 1)
    return np.asarray(surface[np.ix_(lines, samples)], dtype=np.float64), int(filled.sum())


def surface_peak(surface: FloatArray) -> tuple[int, int] | None:
    """Find the peak of :func:`amplitude_surface` in whole lines and samples; None if it is not significant."""
    row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
    away = np.ones(surface.shape, dtype=np.bool_)
    away[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = False
    middle = float(np.median(surface[away]))
    spread = 1.4826 * float(np.median(np.abs(surface[away] - middle)))
    if not surface[row, column] - middle > LEAST_PEAK * spread:
        return None
    return int(row) - SEARCH_LINES, int(column) - SEARCH_SAMPLES


def robust_mean(value: FloatArray, sd: FloatArray) -> tuple[float, float]:
    """Compute a weighted mean without outliers, and its standard deviation.

    Weights are ``1 / sd^2``, lowered by Tukey's biweight of the deviation (Huber and Ronchetti, Robust
    Statistics, 2009, ch. 4) in units of the spread that is seen.  The standard deviation is the larger of
    that which the deviations show and that which `sd` promises.

    Parameters
    ----------
    value, sd : ndarray, shape (n,)
        n >= 1; every sd finite and > 0.
    """
    weight = 1 / sd**2
    centre = _weighted_median(value, weight)
    kept = weight
    for _ in range(STEPS):
        deviation = (value - centre) / sd
        spread = max(1.4826 * float(np.median(np.abs(deviation))), 0.5)
        kept = weight * np.clip(1 - (deviation / (TUKEY * spread)) ** 2, 0, None) ** 2
        before, centre = centre, float(np.sum(kept * value) / np.sum(kept))
        if abs(centre - before) < 1e-9:
            break
    promised = 1 / math.sqrt(float(np.sum(kept)))
    if value.size < 2:
        return centre, promised
    seen = math.sqrt(float(np.sum((kept * (value - centre)) ** 2)) * value.size / (value.size - 1))
    return centre, max(promised, seen / float(np.sum(kept)))


def _weighted_median(value: FloatArray, weight: FloatArray) -> float:
    order = np.argsort(value)
    share = np.cumsum(weight[order])
    return float(value[order][np.searchsorted(share, share[-1] / 2)])
