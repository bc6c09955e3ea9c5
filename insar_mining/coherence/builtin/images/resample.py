"""A secondary burst, brought onto the pixels of the reference.

In the order of the data: remove the azimuth carrier (deramp), interpolate along range,
interpolate along azimuth, put the carrier back at the interpolated position (reramp)
and remove the interferometric phase that geometry explains.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.geometry.coregister import POST_SAMPLES
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import Bandwidth
from insar_mining.sentinel1.tops import TopsRamp

CARRIER_SAMPLES = 16  # samples between which the carrier's phase is taken for straight along range
MIDDLE = (POST_SAMPLES - 1) / (2 * POST_SAMPLES)  # of the four samples that share a post, between it and the next
FRACTIONS = 512  # positions between two samples that the table of weights tells apart
LEAST_TAPS, MOST_TAPS = 6, 16
MAX_COHERENCE_LOSS = 1e-3
NOISE_FLOOR = 1e-4


class RampArrays(NamedTuple):
    """Hold a :class:`TopsRamp` as kernels take it; the samples start at `first_sample`."""

    mid_line: float
    line_interval_s: float
    doppler_rate_hz_s: FloatArray
    reference_time_s: FloatArray
    doppler_centroid_hz: FloatArray
    first_sample: int


def ramp_arrays(ramp: TopsRamp, first_sample: int) -> RampArrays:
    """Return the values of a ramp that kernels need."""
    return RampArrays(
        ramp.mid_line,
        ramp.line_interval_s,
        ramp.doppler_rate_hz_s,
        ramp.reference_time_s,
        ramp.doppler_centroid_hz,
        first_sample,
    )


def interpolation_weights(
    bandwidth: Bandwidth, sampling_hz: float, least_taps: int = LEAST_TAPS
) -> npt.NDArray[np.float32]:
    """Return the weights that interpolate a band-limited signal with the least mean square error.

    The signal's autocorrelation `rho` follows from its processed bandwidth and Hamming
    window; the weights `w` for a position `d` between samples solve the normal equations
    ``R w = r(d)`` with ``R[i, j] = rho(i - j)`` and ``r[i] = rho(d - i)`` (Wiener
    interpolation; e.g. Papoulis, Probability, Random Variables and Stochastic Processes,
    ch. 13).  The number of taps is the smallest even one, `least_taps` to 16, that loses less
    than 0.001 of coherence at any position.  Few taps also move the image, by up to 0.002 of a
    pixel; 16 by 0.0001.

    Returns
    -------
    ndarray of float32, shape (513, taps)
        Row `k` is for the position ``k / 512`` behind the sample of tap ``taps // 2 - 1``.
    """
    return _weights(bandwidth.processed_hz / sampling_hz, bandwidth.hamming, least_taps)


@lru_cache(maxsize=16)
def _weights(relative_bandwidth: float, hamming: float, least_taps: int) -> npt.NDArray[np.float32]:
    for taps in range(least_taps, MOST_TAPS + 1, 2):
        weights, loss = _wiener(relative_bandwidth, hamming, taps)
        if loss < MAX_COHERENCE_LOSS:
            break
    weights.setflags(write=False)
    return weights


def _wiener(relative_bandwidth: float, hamming: float, taps: int) -> tuple[npt.NDArray[np.float32], float]:
    """Return the table of weights for a number of taps, and the most coherence it loses."""
    lags = np.arange(taps, dtype=np.float64) - (taps // 2 - 1)
    position = np.arange(FRACTIONS + 1) / FRACTIONS
    signal = _autocorrelation(lags[:, None] - lags, relative_bandwidth, hamming)
    towards = _autocorrelation(position[:, None] - lags, relative_bandwidth, hamming)
    weights = np.linalg.solve(signal + NOISE_FLOOR * np.eye(taps), towards.T).T
    power = np.einsum("ki,ij,kj->k", weights, signal, weights)
    kept = np.einsum("ki,ki->k", weights, towards) / np.sqrt(power)
    # unit power at every position, so that an image keeps its brightness between samples
    return (weights / np.sqrt(power)[:, None]).astype(np.float32), float(1 - kept.min())


def _autocorrelation(lag: FloatArray, relative_bandwidth: float, hamming: float) -> FloatArray:
    """Return the autocorrelation of the focused signal at lags in samples; 1 at lag 0."""
    node, quadrature = np.polynomial.legendre.leggauss(96)
    frequency = node * relative_bandwidth / 2
    window = hamming + (1 - hamming) * np.cos(2 * np.pi * frequency / relative_bandwidth)
    spectrum = window**2 * quadrature
    return np.asarray(np.cos(2 * np.pi * np.multiply.outer(lag, frequency)) @ spectrum / spectrum.sum())


@njit(inline="always")
def _carrier_turns(ramp, line, sample):  # type: ignore[no-untyped-def]
    """Return the phase of the carrier, in turns, at a fractional line and sample of the burst."""
    q = sample - ramp.first_sample
    q = q if q > 0 else 0.0  # also where it is NaN, which must not become an index
    b = min(int(q), ramp.doppler_rate_hz_s.size - 2)
    q -= b
    rate = ramp.doppler_rate_hz_s[b] * (1 - q) + ramp.doppler_rate_hz_s[b + 1] * q
    centroid = ramp.doppler_centroid_hz[b] * (1 - q) + ramp.doppler_centroid_hz[b + 1] * q
    reference = ramp.reference_time_s[b] * (1 - q) + ramp.reference_time_s[b + 1] * q
    eta = (line - ramp.mid_line) * ramp.line_interval_s - reference
    return eta * (0.5 * rate * eta + centroid)


@njit(inline="always")
def _unit(turns):  # type: ignore[no-untyped-def]
    angle = 2 * math.pi * (turns - math.floor(turns))
    return complex(math.cos(angle), math.sin(angle))


@njit(inline="always")
def _step(turns):  # type: ignore[no-untyped-def]
    """Return the same as `_unit`, quicker for small turns: there the Taylor series is exact to 1e-9."""
    if abs(turns) > 0.06:
        return _unit(turns)
    a = 2 * math.pi * turns
    b = a * a
    return complex(
        1 - b / 2 * (1 - b / 12 * (1 - b / 30 * (1 - b / 56))), a * (1 - b / 6 * (1 - b / 20 * (1 - b / 42)))
    )


@njit(parallel=True)
def deramp(image, ramp, first_line, first_sample):  # type: ignore[no-untyped-def]
    """Multiply an image by the conjugate of its carrier; pixel (0, 0) is (first_line, first_sample).

    Along range the carrier's phase bends by less than 1e-6 rad over 16 samples, so it is
    evaluated at every 16th sample of the burst and turned on by equal steps between.
    """
    out = np.empty_like(image)
    samples = image.shape[1]
    begin = first_sample // CARRIER_SAMPLES * CARRIER_SAMPLES - first_sample
    for i in numba.prange(image.shape[0]):
        line = float(first_line + i)
        here = _carrier_turns(ramp, line, float(first_sample + begin))
        for start in range(begin, samples, CARRIER_SAMPLES):
            there = _carrier_turns(ramp, line, float(first_sample + start + CARRIER_SAMPLES))
            turns = (here - there) / CARRIER_SAMPLES
            inside = max(start, 0)
            carrier = _unit(turns * (inside - start) - here)
            step = _step(turns)
            for j in range(inside, min(start + CARRIER_SAMPLES, samples)):
                out[i, j] = image[i, j] * np.complex64(carrier)
                carrier *= step
            here = there
    return out


@njit(inline="always", fastmath={"contract"})
def _four(parts, index, stride, weights):  # type: ignore[no-untyped-def]
    """Sum `weights` over four neighbouring complex pixels at once: eight real sums.

    `parts` is the flat image as real numbers, `index` where the first tap of the first pixel lies, `stride`
    the distance of taps.  Written out so that the compiler makes one vector of the eight; unsigned
    indices spare it the test for negative ones.
    """
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.float32(0)
    for k in range(weights.size):
        w = weights[k]
        a0 += w * parts[index]
        a1 += w * parts[index + np.uint64(1)]
        a2 += w * parts[index + np.uint64(2)]
        a3 += w * parts[index + np.uint64(3)]
        a4 += w * parts[index + np.uint64(4)]
        a5 += w * parts[index + np.uint64(5)]
        a6 += w * parts[index + np.uint64(6)]
        a7 += w * parts[index + np.uint64(7)]
        index += stride
    return (
        np.complex64(complex(a0, a1)),
        np.complex64(complex(a2, a3)),
        np.complex64(complex(a4, a5)),
        np.complex64(complex(a6, a7)),
    )


@njit(parallel=True)
def resample_range(image, first_sample, weights, sample_offset, line_of_row, samples, sample_start):  # type: ignore[no-untyped-def]
    """Interpolate each line of `image` at ``sample + offset``.

    The four samples of a post share one set of weights, that of their middle: between posts the
    offset changes by thousandths of a sample (but in layover).

    Parameters
    ----------
    image : ndarray of complex64, shape (rows, columns)
        Deramped secondary; column 0 is the sample `first_sample`.
    sample_offset : ndarray, shape (lines, posts)
        Offsets at the height posts of the reference region.
    line_of_row : ndarray of int, shape (rows,)
        Which line of `sample_offset` goes with a row of the image.
    samples, sample_start : int
        Samples of the reference wanted, counted from the first post: a multiple of four.

    Returns
    -------
    ndarray of complex64, shape (rows, samples)
        NaN where an interpolation would need samples outside of `image`.
    """
    taps = weights.shape[1]
    half = taps // 2 - 1
    rows, columns = image.shape
    parts = image.view(np.float32).ravel()
    out = np.empty((rows, samples), np.complex64)
    for i in numba.prange(rows):
        offsets = sample_offset[line_of_row[i]]
        for post in range(samples // POST_SAMPLES):
            start = post * POST_SAMPLES
            offset = offsets[post] + (offsets[post + 1] - offsets[post]) * MIDDLE
            position = sample_start + start + offset - first_sample
            if position >= half and position < columns - half - 2 - (POST_SAMPLES - 1):
                base = int(position)
                row = weights[int((position - base) * FRACTIONS + 0.5)]
                index = np.uint64(2 * (i * columns + base - half))
                out[i, start], out[i, start + 1], out[i, start + 2], out[i, start + 3] = _four(
                    parts, index, np.uint64(2), row
                )
                continue
            for j in range(start, start + POST_SAMPLES):  # at the edges, and where there is no offset
                place = position + (j - start)
                if not (place >= half and place < columns - half - 2):
                    out[i, j] = np.nan
                    continue
                base = int(place)
                row = weights[int((place - base) * FRACTIONS + 0.5)]
                total = np.complex64(0)
                for k in range(taps):
                    total += row[k] * image[i, base - half + k]
                out[i, j] = total
    return out


@njit(parallel=True)
def resample_azimuth(  # type: ignore[no-untyped-def]  # noqa: PLR0913
    image, first_line, weights, ramp, line_offset, sample_offset, phase_per_m, range_offset_m, line_start, sample_start
):
    """Interpolate along azimuth, put the carrier back, remove the phase of geometry.

    Parameters
    ----------
    image : ndarray of complex64, shape (rows, samples)
        Output of :func:`resample_range`; row 0 is line `first_line` of the secondary.
    line_offset, sample_offset, range_offset_m : ndarray, shape (lines, posts)
        Secondary minus reference at the height posts.
    phase_per_m : float
        ``4 * pi / wavelength``; 0 leaves the geometric phase in.

    Returns
    -------
    ndarray of complex64, shape (lines, samples)
    """
    taps = weights.shape[1]
    half = taps // 2 - 1
    lines = line_offset.shape[0]
    rows, samples = image.shape
    parts = image.view(np.float32).ravel()
    turns_per_m = phase_per_m / (2 * math.pi)
    out = np.empty((lines, samples), np.complex64)
    for i in numba.prange(lines):
        line = float(line_start + i)
        here = _carrier_turns(ramp, line + line_offset[i, 0], sample_start + sample_offset[i, 0])
        here += turns_per_m * range_offset_m[i, 0]
        for post in range(samples // POST_SAMPLES):
            start = post * POST_SAMPLES
            there = _carrier_turns(
                ramp, line + line_offset[i, post + 1], sample_start + start + POST_SAMPLES + sample_offset[i, post + 1]
            )
            there += turns_per_m * range_offset_m[i, post + 1]
            # between posts the phase is as straight as the offsets are
            carrier = _unit(here)
            step = _step((there - here) / POST_SAMPLES)
            here = there
            offset = line_offset[i, post] + (line_offset[i, post + 1] - line_offset[i, post]) * MIDDLE
            position = line + offset - first_line
            if not (position >= half and position < rows - half - 2):  # also where an offset is NaN
                for j in range(start, start + POST_SAMPLES):
                    out[i, j] = np.nan
                continue
            base = int(position)
            row = weights[int((position - base) * FRACTIONS + 0.5)]
            index = np.uint64(2 * ((base - half) * samples + start))
            four = _four(parts, index, np.uint64(2 * samples), row)
            out[i, start] = four[0] * np.complex64(carrier)
            carrier *= step
            out[i, start + 1] = four[1] * np.complex64(carrier)
            carrier *= step
            out[i, start + 2] = four[2] * np.complex64(carrier)
            carrier *= step
            out[i, start + 3] = four[3] * np.complex64(carrier)
    return out
