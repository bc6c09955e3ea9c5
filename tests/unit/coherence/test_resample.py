"""Interpolation against exact band-limited signals; the ramp removed and put back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insar_mining.coherence.builtin.images.resample import (
    FRACTIONS,
    deramp,
    interpolation_weights,
    ramp_arrays,
    resample_azimuth,
    resample_range,
)
from insar_mining.geometry.coregister import POST_SAMPLES
from insar_mining.sentinel1.tops import tops_ramp


def _speckle(rng, bandwidth, sampling_hz, samples, oversampling):
    """Band-limited noise with the processor's spectrum, made by FFT on a grid `oversampling` times finer."""
    size = samples * oversampling
    frequency = np.fft.fftfreq(size, 1 / (sampling_hz * oversampling))
    window = bandwidth.hamming + (1 - bandwidth.hamming) * np.cos(2 * np.pi * frequency / bandwidth.processed_hz)
    window[np.abs(frequency) > bandwidth.processed_hz / 2] = 0
    noise = rng.normal(size=size) + 1j * rng.normal(size=size)
    return np.fft.ifft(noise * window)


def _coherence(a, b):
    return abs(np.vdot(a, b)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real)


@pytest.mark.parametrize("swath", ["IW1", "IW2", "IW3"])
@pytest.mark.parametrize("direction", ["range", "azimuth"])
def test_interpolation_loses_less_than_a_thousandth_of_coherence(rng, morocco_sub_swath, swath, direction):
    """At any of 16 positions between samples, interpolated speckle has coherence >= 0.999 with the exact one."""
    annotation = morocco_sub_swath("20230904", swath)
    if direction == "range":
        bandwidth, sampling = annotation.range_bandwidth, annotation.range_sampling_rate_hz
    else:
        bandwidth, sampling = annotation.azimuth_bandwidth, annotation.azimuth_frequency_hz
    weights = interpolation_weights(bandwidth, sampling)
    taps = weights.shape[1]
    fine = _speckle(rng, bandwidth, sampling, 20_000, 16)
    coarse = fine[::16]
    for step in range(16):
        row = weights[step * FRACTIONS // 16]
        got = sum(row[k] * np.roll(coarse, taps // 2 - 1 - k) for k in range(taps))
        assert _coherence(got, fine[step::16]) > 0.999
        assert np.mean(abs(got) ** 2) == pytest.approx(np.mean(abs(coarse) ** 2), rel=0.02)


def _resampled(image, annotation, burst, region, line_offset, sample_offset, range_offset=0.0, phase_per_m=0.0):
    """Run the three steps of a secondary with constant offsets; pixel (0, 0) of `image` is (0, 0) of the burst."""
    line_start, lines, sample_start, samples = region
    posts = -(-samples // POST_SAMPLES) + 1
    shape = (lines, posts)
    ramp = ramp_arrays(tops_ramp(annotation, burst, np.arange(annotation.samples_per_burst)), 0)
    weights = (
        interpolation_weights(annotation.range_bandwidth, annotation.range_sampling_rate_hz),
        interpolation_weights(annotation.azimuth_bandwidth, annotation.azimuth_frequency_hz),
    )
    flat = deramp(image, ramp, 0, 0)
    rows = np.zeros(image.shape[0], dtype=np.int64)
    offsets = [np.full(shape, v) for v in (line_offset, sample_offset, range_offset)]
    narrow = resample_range(flat, 0, weights[0], offsets[1], rows, samples, sample_start)
    return resample_azimuth(
        narrow, 0, weights[1], ramp, offsets[0], offsets[1], phase_per_m, offsets[2], line_start, sample_start
    )


def test_whole_offsets_only_move_the_image(rng, morocco_sub_swath):
    """Deramp, shift by whole pixels and reramp gives the moved image, carrier and all.

    White noise has power outside the processed band, which the weights rightly damp: 0.0001 of coherence.
    """
    annotation = morocco_sub_swath("20230904", "IW1")
    image = (rng.normal(size=(120, 300)) + 1j * rng.normal(size=(120, 300))).astype(np.complex64)
    got = _resampled(image, annotation, 4, (30, 60, 64, 128), 3.0, -5.0)
    moved = image[33:93, 59:187]
    np.testing.assert_allclose(got, moved, atol=0.03)
    assert _coherence(got, moved) > 0.9999


def test_geometric_phase_is_removed_with_its_sign(rng, morocco_sub_swath):
    """A range offset of a quarter wavelength turns the secondary by +pi: it undoes exp(-i 4 pi R / lambda)."""
    annotation = morocco_sub_swath("20230904", "IW1")
    image = np.ones((60, 100), np.complex64)
    still = _resampled(image, annotation, 4, (20, 20, 32, 40), 0.0, 0.0)
    per_m = 4 * math.pi / annotation.wavelength_m
    turned = _resampled(image, annotation, 4, (20, 20, 32, 40), 0.0, 0.0, annotation.wavelength_m / 16, per_m)
    np.testing.assert_allclose(turned / still, np.exp(1j * np.pi / 4), atol=1e-5)


def test_fractional_offsets_keep_the_carrier(rng, morocco_sub_swath):
    """A TOPS burst sampled half a line and 0.3 samples away, near the burst's edge, is met to coherence 0.999.

    The exact image is band-limited speckle on a finer grid times the carrier evaluated at the
    moved positions; the phase of the product of the two is flat to 0.02 rad.
    """
    annotation = morocco_sub_swath("20230904", "IW2")
    lines, samples, fine = 128, 160, 10
    azimuth = np.stack(
        [
            _speckle(rng, annotation.azimuth_bandwidth, annotation.azimuth_frequency_hz, lines, fine)
            for _ in range(samples * fine)
        ],
        axis=1,
    )
    spectrum = np.fft.fft(azimuth, axis=1)
    frequency = np.fft.fftfreq(samples * fine, 1 / (annotation.range_sampling_rate_hz * fine))
    band = annotation.range_bandwidth
    window = band.hamming + (1 - band.hamming) * np.cos(2 * np.pi * frequency / band.processed_hz)
    window[np.abs(frequency) > band.processed_hz / 2] = 0
    speckle = np.fft.ifft(spectrum * window, axis=1)

    def sampled(down, right):
        """The burst at positions (line + down / 10, sample + right / 10)."""
        ramp = tops_ramp(annotation, 3, np.arange(samples) + right / fine)
        return speckle[down::fine, right::fine] * np.exp(1j * ramp.phase_rad(np.arange(lines)[:, None] + down / fine))

    image = sampled(0, 0).astype(np.complex64)
    exact = sampled(5, 3)
    got = _resampled(image, annotation, 3, (20, 80, 32, 96), 0.5, 0.3)
    inside = exact[20:100, 32:128]
    assert _coherence(got, inside) > 0.998
    phase = np.angle((got * inside.conj()).reshape(10, 8, 96).sum(axis=(1, 2)))
    assert np.abs(phase).max() < 0.02


def test_positions_outside_the_image_are_nan(rng, morocco_sub_swath):
    """What would need pixels that are not there is NaN and never an extrapolation."""
    annotation = morocco_sub_swath("20230904", "IW1")
    image = np.ones((40, 80), np.complex64)
    got = _resampled(image, annotation, 4, (0, 40, 0, 80), 0.5, 0.5)
    assert np.isnan(got[:2]).all()
    assert np.isnan(got[-3:]).all()
    assert np.isnan(got[:, :3]).all()
    assert np.isnan(got[:, -4:]).all()
    assert np.isfinite(got[3:-4, 4:-5]).all()
