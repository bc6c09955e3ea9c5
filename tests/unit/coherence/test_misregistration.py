"""Shifts of band-limited speckle: made by phase ramps in the Fourier domain, found by correlation and diversity."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insar_mining.coherence.builtin.correlation import (
    PatchShifts,
    amplitude_surface,
    patch_shifts,
    robust_mean,
    surface_peak,
)
from insar_mining.coherence.builtin.diversity import ambiguity_lines, overlap_cells, shift_of
from insar_mining.coherence.builtin.misregistration import Shift, correlate, diversify
from insar_mining.coherence.builtin.spectrum import azimuth_spectrum, range_spectrum

from .speckle import pair

LINES = 64
EDGE_LINES, EDGE_SAMPLES = 16, 32  # speckle around a strip, so that what is shifted in was there
RATE_TURNS = -0.0072  # of the carrier, turns per line and line, as in IW1


@pytest.fixture(scope="module")
def swath(morocco_sub_swath):
    return morocco_sub_swath("20230904", "IW1")


def moved(image, lines, samples):
    """The image by any shift: ``out(p) = image(p - shift)``, exact for what is band-limited and periodic."""
    down, across = (np.fft.fftfreq(n) for n in image.shape)
    ramp = np.exp(-2j * np.pi * (down[:, None] * lines + across * samples))
    return np.fft.ifft2(np.fft.fft2(image) * ramp)


class Speckle:
    """A strip of two dates; the second lies `truth` beyond its geometry, and carries the Doppler phase of that."""

    def __init__(self, rng, swath, samples, coherence, truth, *, texture=None, fringe=0.0):
        self.azimuth, self.range_ = azimuth_spectrum(swath), range_spectrum(swath)
        self.truth = truth
        shape = LINES + 2 * EDGE_LINES, samples + 2 * EDGE_SAMPLES
        self.first, self.second = (v.astype(np.complex64) for v in pair(rng, swath, shape, coherence))
        self.texture = np.ones(shape) if texture is None else texture
        line = np.arange(shape[0])[:, None] + rng.uniform(-400, 400)
        self.doppler = RATE_TURNS * line
        self.phase = np.exp(1j * fringe * np.arange(shape[1]))
        self.pixels = LINES * samples
        self.read = 0

    def at(self, shift):
        self.read += 1
        left = [true - known for true, known in zip(self.truth, shift, strict=True)]
        second = moved(self.second * self.texture, *left) * np.exp(-2j * np.pi * self.doppler * left[0]) * self.phase
        inner = slice(EDGE_LINES, -EDGE_LINES), slice(EDGE_SAMPLES, -EDGE_SAMPLES)
        return tuple(v[inner].astype(np.complex64) for v in (self.first * self.texture, second))


def strips(rng, swath, count, samples, coherence, truth, **how):
    return [Speckle(rng, swath, samples, coherence, truth, **how) for _ in range(count)]


@pytest.mark.parametrize("truth", [(0.001, -0.001), (-0.01, 0.02), (0.1, -0.1), (-0.45, 0.4)])
def test_shifts_are_found_to_a_thousandth_at_coherence_07(rng, swath, truth):
    """Three million pixels of coherence 0.7 give both directions within 0.001, and say so."""
    found = correlate(strips(rng, swath, 12, 3840, 0.7, truth))
    assert found.method == "correlation"
    assert found.lines == pytest.approx(truth[0], abs=1e-3)
    assert found.samples == pytest.approx(truth[1], abs=1e-3)
    assert 1e-4 < found.lines_sd < 5e-4
    assert 1e-4 < found.samples_sd < 5e-4
    assert found.coherence == pytest.approx(0.7, abs=0.01)
