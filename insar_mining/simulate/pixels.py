"""Simulate the pixels of one burst: scatterers through the processor's response, plus receiver noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import prange
from scipy import fft

from insar_mining.arrays import Complex64Array, ComplexArray, FloatArray
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.simulate.carrier import antenna_pattern, burst_carrier
from insar_mining.simulate.spectrum import Response
from insar_mining.simulate.splat import Kernel, splat

SPEED_OF_LIGHT_M_S = 299_792_458.0
PAD = 24  # lines and samples on either side, against the wrap-around of the FFT and for tails from outside


@dataclass(frozen=True, eq=False)
class Echoes:
    """Hold the position of scatterers in one acquisition, in order of zero-Doppler time.

    Attributes
    ----------
    time_s, slant_range_m : ndarray, shape (n,)
    amplitude : ndarray of complex128, shape (n,)
        Reflectivity times the square root of the mean intensity, without propagation phase.
    """

    time_s: FloatArray
    slant_range_m: FloatArray
    amplitude: ComplexArray


def responses(swath: SubSwath) -> tuple[Response, Response]:
    """Return azimuth and range response of a sub-swath."""
    return (
        Response.of(swath.azimuth_bandwidth, 1 / swath.azimuth_time_interval_s),
        Response.of(swath.range_bandwidth, swath.range_sampling_rate_hz),
    )


def sample_of(swath: SubSwath, slant_range_m: FloatArray) -> FloatArray:
    """Compute the fractional sample of slant ranges."""
    return (2 * slant_range_m / SPEED_OF_LIGHT_M_S - swath.slant_range_time_s) * swath.range_sampling_rate_hz


def line_of(swath: SubSwath, burst_index: int, time_s: FloatArray) -> FloatArray:
    """Compute the fractional line inside a burst of zero-Doppler times."""
    return (time_s - swath.bursts[burst_index].azimuth_time_s) / swath.azimuth_time_interval_s


def burst_image(
    swath: SubSwath,
    burst_index: int,
    echoes: Echoes,
    *,
    noise_sigma: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Complex64Array:
    """Compute focused pixels of a burst, shape (lines per burst, samples), zero where not valid.

    A scatterer at (eta_i, R_i) adds
    ``A psf_a(eta - eta_i) psf_r(tau - tau_i) exp(-4i pi R_i / lambda + i phi(eta) - i phi(eta_i))``,
    phi being the TOPS carrier at its range.

    Parameters
    ----------
    noise_sigma : float
        Root mean square of the complex receiver noise.  It fills every valid pixel.  It passes
        the same matched filter and the same windows as the echo, and the inverse of the antenna
        pattern, which had shaped the echo alone: its azimuth spectrum is wider.
    rng : Generator
        Needed for noise only.
    """
    azimuth, range_ = responses(swath)
    kernels = Kernel.of(azimuth), Kernel.of(range_)
    shape = (
        fft.next_fast_len(swath.lines_per_burst + 2 * PAD),
        fft.next_fast_len(swath.samples_per_burst + 2 * PAD),
    )
    planes = _spread(swath, burst_index, echoes, kernels, shape)
    image = _joined(planes)
    del planes
    image = _filtered(image, 1, _gain(range_, kernels[1], shape[1]))
    ramp = _ramp(swath, burst_index, shape)
    image *= ramp.conj()
    image = fft.fft(image, axis=0, workers=-1, overwrite_x=True)
    image *= _gain(azimuth, kernels[0], shape[0])[:, None].astype(np.float32)
    if noise_sigma > 0:
        if rng is None:
            raise ValueError("noise needs a random generator")
        frequency = fft.fftfreq(shape[0])
        pattern = antenna_pattern(swath, burst_index, frequency / swath.azimuth_time_interval_s)
        inside = azimuth.spectrum(frequency) > 0
        windows = np.where(inside, azimuth.spectrum(frequency) / np.where(inside, pattern, 1.0), 0.0)
        image += _noise(shape, (windows, range_.spectrum(fft.fftfreq(shape[1]))), noise_sigma, rng)
    image = fft.ifft(image, axis=0, workers=-1, overwrite_x=True)
    image *= ramp
    burst = swath.bursts[burst_index]
    inner = image[PAD : PAD + swath.lines_per_burst, PAD : PAD + swath.samples_per_burst]
    sample = np.arange(swath.samples_per_burst)
    first, last = burst.first_valid_sample[:, None], burst.last_valid_sample[:, None]
    return np.asarray(np.where((first >= 0) & (sample >= first) & (sample <= last), inner, np.complex64(0)))


def _spread(
    swath: SubSwath, burst_index: int, echoes: Echoes, kernels: tuple[Kernel, Kernel], shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    planes = np.zeros((shape[0], 2, shape[1]), dtype=np.float32)
    line = line_of(swath, burst_index, echoes.time_s) + PAD
    low, high = np.searchsorted(line, [-kernels[0].half, swath.lines_per_burst + 2 * PAD])
    seen = slice(int(low), int(high))
    time, slant = echoes.time_s[seen], echoes.slant_range_m[seen]
    tau = 2 * slant / SPEED_OF_LIGHT_M_S
    carrier = burst_carrier(swath, burst_index, tau)
    interval = swath.azimuth_time_interval_s
    propagation = np.exp(-2j * np.pi * np.mod(tau * swath.radar_frequency_hz, 1.0))
    splat(
        planes, line[seen], sample_of(swath, slant) + PAD, echoes.amplitude[seen] * propagation,
        carrier.frequency_hz(time) * interval, carrier.rate_hz_s * interval**2, *kernels,
    )  # fmt: skip
    return planes


def _gain(response: Response, kernel: Kernel, count: int) -> FloatArray:
    """Turn the kernel's spectrum into the processor's, for a response with a peak of 1."""
    frequency = fft.fftfreq(count)
    window = response.spectrum(frequency)
    inside = window > 0
    gain = np.zeros(count)
    gain[inside] = window[inside] / kernel.spectrum(frequency[inside])
    return np.asarray(gain / (response.hamming * response.band))  # the integral of the window over frequency


def _filtered(image: Complex64Array, axis: int, gain: FloatArray) -> Complex64Array:
    spectrum = fft.fft(image, axis=axis, workers=-1, overwrite_x=True)
    spectrum *= gain.astype(np.float32)
    return np.asarray(fft.ifft(spectrum, axis=axis, workers=-1, overwrite_x=True))


def _ramp(swath: SubSwath, burst_index: int, shape: tuple[int, int]) -> Complex64Array:
    carrier = burst_carrier(swath, burst_index, swath.slant_range_time_of(np.arange(shape[1]) - PAD))
    times = swath.bursts[burst_index].azimuth_time_s + (np.arange(shape[0]) - PAD) * swath.azimuth_time_interval_s
    return np.asarray(_phasor(times, carrier.rate_hz_s, carrier.origin_s, carrier.centroid_hz))


def _noise(
    shape: tuple[int, int], windows: tuple[FloatArray, FloatArray], sigma: float, rng: np.random.Generator
) -> Complex64Array:
    """Draw noise of the azimuth spectrum with amplitudes along azimuth and range; `sigma` is its rms."""
    white = rng.standard_normal((shape[0], 2 * shape[1]), dtype=np.float32).view(np.complex64)
    rms = [np.sqrt(np.mean(w**2)) for w in windows]
    # white in the range spectrum: the inverse FFT divides by n, so sqrt(n) keeps the power; in
    # azimuth the noise stays a spectrum, whose inverse follows
    scale = sigma * np.sqrt(0.5) * np.sqrt(shape[0] * shape[1]) / (rms[0] * rms[1])
    white *= (windows[1] * scale).astype(np.float32)
    noise = fft.ifft(white, axis=1, workers=-1, overwrite_x=True)
    noise *= windows[0].astype(np.float32)[:, None]
    return np.asarray(noise)


@njit(parallel=True)
def _phasor(times, rate, origin, centroid):  # type: ignore[no-untyped-def]
    out = np.empty((times.size, rate.size), dtype=np.complex64)
    for row in prange(times.size):
        for s in range(rate.size):
            x = times[row] - origin[s]
            turns = x * (centroid[s] + 0.5 * rate[s] * x)
            phase = 2 * np.pi * (turns - np.floor(turns))
            out[row, s] = complex(np.cos(phase), np.sin(phase))
    return out


@njit(parallel=True)
def _joined(planes):  # type: ignore[no-untyped-def]
    lines, _, samples = planes.shape
    out = np.empty((lines, samples), dtype=np.complex64)
    for row in prange(lines):
        for s in range(samples):
            out[row, s] = complex(planes[row, 0, s], planes[row, 1, s])
    return out


def to_int16(image: Complex64Array) -> tuple[npt.NDArray[np.int16], int]:
    """Round to CInt16, saturating.

    Returns
    -------
    (ndarray of int16, shape (lines, samples, 2), int)
        The values, and how many of them were clipped.
    """
    parts = np.ascontiguousarray(image).view(np.float32).reshape(*image.shape, 2)
    rounded = np.rint(parts)
    limits = np.iinfo(np.int16)
    clipped = int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
    return np.clip(rounded, limits.min, limits.max).astype(np.int16), clipped
