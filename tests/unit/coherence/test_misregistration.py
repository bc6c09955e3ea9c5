"""Shifts of band-limited speckle: made by phase ramps in the Fourier domain, found by correlation and diversity."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insar_mining.coherence.builtin.extras.correlation import (
    PatchShifts,
    amplitude_surface,
    patch_shifts,
    robust_mean,
    surface_peak,
)
from insar_mining.coherence.builtin.extras.diversity import ambiguity_lines, overlap_cells, shift_of
from insar_mining.coherence.builtin.extras.misregistration import Shift, correlate, diversify
from insar_mining.coherence.builtin.images.resample import interpolation_weights
from insar_mining.coherence.estimators.spectrum import azimuth_spectrum, range_spectrum

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


@pytest.mark.parametrize("truth", [(0.001, -0.001), (0.1, -0.1)])
def test_shifts_are_found_to_a_thousandth_at_coherence_07(rng, swath, truth):
    """Three million pixels of coherence 0.7 give both directions within 0.001, and say how well."""
    found = correlate(strips(rng, swath, 12, 3840, 0.7, truth))
    assert found.method == "correlation"
    assert found.lines == pytest.approx(truth[0], abs=1e-3)
    assert found.samples == pytest.approx(truth[1], abs=1e-3)
    assert 1e-4 < found.lines_sd < 6e-4
    assert 1e-4 < found.samples_sd < 5e-4
    assert found.coherence == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("truth", [(0.45, -0.5), (-5.3, 11.45)])
def test_large_shifts_are_found_first_by_amplitude(rng, swath, truth):
    """Half pixels and whole ones, under a fringe that would hide the correlation of complex patches."""
    found = correlate(strips(rng, swath, 4, 1024, 0.9, truth, fringe=0.02))
    assert found.lines == pytest.approx(truth[0], abs=4 * found.lines_sd)
    assert found.samples == pytest.approx(truth[1], abs=4 * found.samples_sd)
    assert max(found.lines_sd, found.samples_sd) < 3e-3


def test_the_standard_deviation_is_the_error(rng, swath, campaign):
    """Over many small areas the error is what was promised, at coherence 0.9 and at 0.3."""
    for coherence in (0.9, 0.3):
        errors = []
        for _ in range(campaign(60)):
            truth = tuple(rng.uniform(-0.1, 0.1, 2))
            found = correlate(strips(rng, swath, 2, 512, coherence, truth))
            errors += [(found.lines - truth[0]) / found.lines_sd, (found.samples - truth[1]) / found.samples_sd]
        # 12 numbers scatter by 20 %
        assert 0.5 < np.sqrt(np.mean(np.square(errors))) < 1.7


def test_ground_without_coherence_has_no_shift(rng, swath):
    """Also where roads and houses look alike on both dates: nothing is claimed, and the reason given."""
    shape = LINES + 2 * EDGE_LINES, 1024 + 2 * EDGE_SAMPLES
    blobs = np.exp(0.5 * np.kron(rng.normal(size=(shape[0] // 8, shape[1] // 8)), np.ones((8, 8))))
    for texture in (None, blobs, blobs**3):
        found = correlate(strips(rng, swath, 4, 1024, 0.0, (0.03, 0.02), texture=texture))
        assert (found.lines, found.samples, found.method, found.used) == (0.0, 0.0, "none", 0)
        assert math.isnan(found.lines_sd)
        assert math.isnan(found.samples_sd)
        assert "not coherent enough" in found.reason


def test_no_pixels_are_no_error(swath, rng):
    """Beside the elevation model all is NaN; an area may also have no strips at all."""
    assert correlate([]).method == "none"
    empty = strips(rng, swath, 1, 256, 0.9, (0.0, 0.0))[0]
    empty.first[:] = np.nan
    assert "no pixels" in correlate([empty]).reason


def test_a_coherent_rim_tells_the_shift_of_a_decorrelated_mine(rng, swath):
    """One pixel in eight is coherent: the shift is found with the scatter of these alone."""
    mine = strips(rng, swath, 7, 1024, 0.0, (0.04, -0.03))
    rim = strips(rng, swath, 1, 1024, 0.9, (0.04, -0.03))
    found, alone = correlate(mine + rim), correlate(rim)
    assert found.lines == pytest.approx(0.04, abs=4 * found.lines_sd)
    assert found.samples == pytest.approx(-0.03, abs=4 * found.samples_sd)
    assert found.lines_sd < 1.5 * alone.lines_sd
    assert 16 * 0.9 <= found.used <= 16 + 4  # 0.25 % of 112 patches pass by chance


def test_ground_that_moved_is_left_out(rng, swath):
    """A tenth of the patches lies 0.3 sample aside, and does not draw the others after it."""
    still = strips(rng, swath, 9, 1024, 0.8, (0.02, 0.01))
    slide = strips(rng, swath, 1, 1024, 0.8, (0.02, 0.31))
    found = correlate(still + slide)
    assert found.samples == pytest.approx(0.01, abs=4 * found.samples_sd)
    assert found.samples_sd < 1.5e-3


def test_weak_coherence_gives_a_wide_deviation(rng, swath):
    """At 0.1 the shift of a small area is known to hundredths, and this is what is said."""
    found = correlate(strips(rng, swath, 4, 1024, 0.1, (0.0, 0.0)))
    assert 0.01 < found.lines_sd < 0.03
    assert abs(found.lines) < 4 * found.lines_sd


def test_pixels_are_bounded(rng, swath):
    """Of a large area only so many pixels are read as were allowed, spread over all of it."""
    many = strips(rng, swath, 16, 512, 0.9, (0.01, 0.0))
    found = correlate(many, most_pixels=4 * many[0].pixels)
    assert found.lines == pytest.approx(0.01, abs=4 * found.lines_sd)
    used = [k for k, strip in enumerate(many) if strip.read]
    assert used == [2, 6, 10, 14]


def test_no_data_in_a_patch_is_tolerated(rng, swath):
    """Patches with some NaN count, those with more than half are dropped."""
    strip = strips(rng, swath, 1, 1024, 0.9, (0.05, 0.05))[0]
    first, second = strip.at((0.0, 0.0))
    second = second.copy()
    second[:, :100] = np.nan
    second[40:50] = np.nan
    found = patch_shifts(first, second, strip.azimuth, strip.range_)
    assert found.lines.size == 14
    assert robust_mean(found.samples, found.samples_sd)[0] == pytest.approx(0.05, abs=0.01)


def test_amplitudes_without_a_peak(rng, swath):
    """Noise has none; the same image moved by whole pixels has it there."""
    strip = strips(rng, swath, 1, 2048, 0.0, (0.0, 0.0))[0]
    first, second = strip.at((0.0, 0.0))
    assert surface_peak(amplitude_surface(first, second)[0]) is None
    assert surface_peak(amplitude_surface(first, np.roll(first, (-3, 7), axis=(0, 1)))[0]) == (-3, 7)


def test_the_robust_mean_of_few():
    """One value is its own mean; of two, the better one counts more; a far one among ten counts nothing."""
    assert robust_mean(np.array([3.0]), np.array([0.5])) == (3.0, 0.5)
    mean, sd = robust_mean(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert 0 < mean < 0.5
    assert sd >= 1 / math.sqrt(1.25)
    rest = np.linspace(-1, 1, 10)
    assert robust_mean(np.append(rest, 100.0), np.ones(11))[0] == pytest.approx(0.0, abs=0.05)


class Overlap:
    """A burst overlap of two dates; carriers of the two bursts are `turns` apart, in turns per line."""

    def __init__(self, rng, swath, shape, coherence, truth, turns=-9.6, screen=0.01):
        self.azimuth, self.range_ = azimuth_spectrum(swath), range_spectrum(swath)
        self.bursts = [pair(rng, swath, shape, coherence) for _ in range(2)]
        self.turns_per_line = turns * np.linspace(1.01, 0.99, shape[1]) * np.ones((shape[0], 1))
        self.screen = np.exp(1j * screen * np.arange(shape[1]))  # what both bursts see alike
        self.truth = truth
        self.pixels = shape[0] * shape[1]

    def at(self, shift):
        left = self.truth - shift[0]
        out = []
        for (first, second), half in zip(self.bursts, (0.5, -0.5), strict=True):
            doppler = np.exp(-2j * np.pi * half * self.turns_per_line * left)
            out.append((first.astype(np.complex64), (moved(second, left, 0) * doppler * self.screen).astype("c8")))
        return tuple(out)


def near(lines, sd=0.004):
    """What correlation may have found before."""
    return Shift(lines, 0.0, sd, 0.001, 0.7, "correlation", 20)


@pytest.mark.parametrize("truth", [0.001, -0.01, 0.03, 0.1])
def test_diversity_finds_the_rest(rng, swath, truth):
    """An overlap of 128 lines x 1024 samples at coherence 0.7 gives 0.0002 line, from 0.012 line away."""
    found = diversify(near(truth - 0.012), [Overlap(rng, swath, (32, 1024), 0.7, truth) for _ in range(4)])
    assert found.method == "spectral diversity"
    assert found.lines == pytest.approx(truth, abs=2e-4)
    assert found.lines == pytest.approx(truth, abs=4 * found.lines_sd)
    assert found.lines_sd < 1e-4
    assert (found.samples, found.samples_sd) == (0.0, 0.001)
    assert found.used > 200


def test_the_deviation_of_diversity_is_its_error(rng, swath, campaign):
    """Over many small overlaps, at coherence 0.9 and at 0.4."""
    for coherence in (0.9, 0.4):
        errors = []
        for _ in range(campaign(300)):
            truth = rng.uniform(-0.01, 0.01)
            found = diversify(near(0.0), [Overlap(rng, swath, (32, 512), coherence, truth)])
            assert found.method == "spectral diversity"
            errors.append((found.lines - truth) / found.lines_sd)
        # 30 numbers scatter by 13 %
        assert 0.6 < np.sqrt(np.mean(np.square(errors))) < 1.5


def test_half_a_turn_is_the_limit(rng, swath):
    """Beyond it a double difference alone is wrong by a whole turn."""
    for truth, wrong in ((0.045, 0.0), (0.06, -1 / 9.6)):
        lap = Overlap(rng, swath, (64, 512), 0.9, truth)
        cells = overlap_cells(*lap.at((0.0, 0.0)), lap.turns_per_line, lap.azimuth, lap.range_)
        assert ambiguity_lines(cells) == pytest.approx(1 / 9.6, rel=1e-3)
        assert shift_of(cells)[0] == pytest.approx(truth + wrong, abs=1e-3)


def test_an_ambiguous_overlap_changes_nothing(rng, swath):
    """If correlation cannot tell one turn from the next, or contradicts, its own value stays."""
    lap = Overlap(rng, swath, (64, 512), 0.9, 0.04)
    for before, reason in ((near(0.0, sd=0.03), "ambiguous"), (near(0.0, sd=0.001), "disagrees")):
        found = diversify(before, [lap])
        assert found.both == before.both
        assert found.method == "correlation"
        assert reason in found.reason


def test_an_incoherent_overlap_changes_nothing(rng, swath):
    """Too few coherent cells, or none seen at all, leave what correlation found."""
    for overlaps, reason in (
        ([Overlap(rng, swath, (64, 1024), 0.0, 0.0)], "coherent cells"),
        ([], "no burst overlap"),
    ):
        found = diversify(near(0.003), overlaps)
        assert (found.lines, found.method) == (0.003, "correlation")
        assert reason in found.reason


@pytest.mark.parametrize("name", ["IW1", "IW2", "IW3"])
def test_sixteen_taps_move_nothing(morocco_sub_swath, name):
    """The phase of the interpolator over the band, at every fraction of a pixel: a delay below 0.0002."""
    own = morocco_sub_swath("20230904", name)
    for bandwidth, sampling_hz in (
        (own.range_bandwidth, own.range_sampling_rate_hz),
        (own.azimuth_bandwidth, own.azimuth_frequency_hz),
    ):
        delay = {}
        for least_taps in (6, 16):
            weights = interpolation_weights(bandwidth, sampling_hz, least_taps)
            place = np.arange(weights.shape[1]) - (weights.shape[1] // 2 - 1)
            fraction = np.arange(weights.shape[0]) / (weights.shape[0] - 1)
            f = np.linspace(-0.45, 0.45, 201) * bandwidth.processed_hz / sampling_hz
            phase = np.angle(
                (weights @ np.exp(2j * np.pi * np.outer(place, f))) * np.exp(-2j * np.pi * np.outer(fraction, f))
            )
            delay[least_taps] = np.abs(phase @ f / (2 * np.pi * f @ f)).max()
        assert delay[16] < 2e-4 < 5e-4 < delay[6]


def test_joined_parts_are_one():
    """No parts are no patches."""
    nothing = PatchShifts.joined([])
    assert nothing.power.size == 0
    assert nothing.excess() == 0.0
