"""Pixels of one burst: scatterers through the processor's response, plus receiver noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.simulate.carrier import burst_carrier
from insar_mining.simulate.spectrum import Response, azimuth_response, range_response
from insar_mining.simulate.splat import band_limited_noise, splat

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

SPEED_OF_LIGHT_M_S = 299_792_458.0


@dataclass(frozen=True, eq=False)
class Echoes:
    """Where scatterers appear in one acquisition, in order of zero-Doppler time.

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
    """Azimuth and range response of a sub-swath."""
    return (
        azimuth_response(swath.azimuth_bandwidth, 1 / swath.azimuth_time_interval_s),
        range_response(swath.range_bandwidth, swath.range_sampling_rate_hz),
    )


def sample_of(swath: SubSwath, slant_range_m: FloatArray) -> FloatArray:
    """Fractional sample of slant ranges."""
    return (2 * slant_range_m / SPEED_OF_LIGHT_M_S - swath.slant_range_time_s) * swath.range_sampling_rate_hz


def line_of(swath: SubSwath, burst_index: int, time_s: FloatArray) -> FloatArray:
    """Fractional line inside a burst of zero-Doppler times."""
    return (time_s - swath.bursts[burst_index].azimuth_time_s) / swath.azimuth_time_interval_s


def burst_image(
    swath: SubSwath, burst_index: int, echoes: Echoes, *, noise_sigma: float = 0.0, rng: np.random.Generator | None = None
) -> npt.NDArray[np.complex64]:
    """Focused pixels of a burst, shape (lines per burst, samples), zero where not valid.

    Parameters
    ----------
    noise_sigma : float
        Root mean square of the complex receiver noise; it fills every valid pixel, with
        the processor's spectrum around the local Doppler centroid, as the echo.
    rng : Generator
        Needed for noise only.
    """
    shape = (swath.lines_per_burst, swath.samples_per_burst)
    planes = np.zeros((shape[0], 2, shape[1]), dtype=np.float32)
    azimuth, range_ = responses(swath)
    line = line_of(swath, burst_index, echoes.time_s)
    low, high = np.searchsorted(line, [-azimuth.half_width, shape[0] - 1 + azimuth.half_width])
    seen = slice(int(low), int(high))
    time, slant = echoes.time_s[seen], echoes.slant_range_m[seen]
    tau = 2 * slant / SPEED_OF_LIGHT_M_S
    carrier = burst_carrier(swath, burst_index, tau)
    interval = swath.azimuth_time_interval_s
    propagation = np.exp(-2j * np.pi * np.mod(tau * swath.radar_frequency_hz, 1.0))
    splat(
        planes, line[seen], sample_of(swath, slant), echoes.amplitude[seen] * propagation,
        carrier.frequency_hz(time) * interval, carrier.rate_hz_s * interval**2, azimuth, range_,
    )  # fmt: skip
    if noise_sigma > 0:
        if rng is None:
            raise ValueError("noise needs a random generator")
        noise = band_limited_noise(shape, azimuth, range_, rng)
        pixel = burst_carrier(swath, burst_index, swath.slant_range_time_of(np.arange(shape[1])))
        times = swath.bursts[burst_index].azimuth_time_s + np.arange(shape[0]) * interval
        _add_noise(planes, noise, noise_sigma, times, pixel.rate_hz_s, pixel.origin_s, pixel.centroid_hz)
    burst = swath.bursts[burst_index]
    return np.asarray(_assemble(planes, burst.first_valid_sample, burst.last_valid_sample))


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _add_noise(planes, noise, sigma, times, rate, origin, centroid):  # type: ignore[no-untyped-def]
    for l in prange(planes.shape[0]):
        for s in range(planes.shape[2]):
            x = times[l] - origin[s]
            turns = x * (centroid[s] + 0.5 * rate[s] * x)
            phase = 2 * np.pi * (turns - np.floor(turns))
            value = noise[l, s] * np.complex64(sigma * np.exp(1j * phase))
            planes[l, 0, s] += value.real
            planes[l, 1, s] += value.imag


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _assemble(planes, first, last):  # type: ignore[no-untyped-def]
    lines, _, samples = planes.shape
    out = np.zeros((lines, samples), dtype=np.complex64)
    for l in prange(lines):
        if first[l] >= 0:
            for s in range(first[l], last[l] + 1):
                out[l, s] = complex(planes[l, 0, s], planes[l, 1, s])
    return out


def to_int16(image: npt.NDArray[np.complex64]) -> tuple[npt.NDArray[np.int16], int]:
    """Round to CInt16, saturating; returns an array of shape (lines, samples, 2) and the count of clipped values."""
    parts = np.ascontiguousarray(image).view(np.float32).reshape(*image.shape, 2)
    rounded = np.rint(parts)
    limits = np.iinfo(np.int16)
    clipped = int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
    return np.clip(rounded, limits.min, limits.max).astype(np.int16), clipped
