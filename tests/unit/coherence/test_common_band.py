"""The common-band filter: on spectra, on scatterers seen from two places, and its formula on real orbits."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.coherence.builtin.extras.common_band import (
    _filters,
    common_band,
    shift_of_offsets,
    spectral_shift,
    turned,
)
from insar_mining.coherence.estimators.spectrum import range_spectrum
from insar_mining.errors import OptionError
from insar_mining.geometry.range_doppler import arc_arrays, ground_point, to_cartesian, zero_doppler
from insar_mining.sentinel1.baselines import incidence_deg, perpendicular_baseline_m
from insar_mining.simulate.spectrum import Response

from .speckle import white

INSIDE = np.s_[:, 30:-30]


def _coherence(first, second):
    """Of all pixels together."""
    return abs(np.vdot(second, first)) / np.sqrt(np.vdot(first, first).real * np.vdot(second, second).real)


def _response(swath):
    return Response.of(swath.range_bandwidth, swath.range_sampling_rate_hz)


def _shifted_pair(rng, swath, shift, true, noise=0.0, shape=(120, 2048)):
    """Aligned reflectivity of coherence `true` under two windows that lie `shift` apart, with noise of its own."""
    response, f = _response(swath), np.fft.fftfreq(shape[1])
    ground, fresh = white(rng, shape), white(rng, shape)
    images = []
    for reflectivity, centre in ((ground, 0.0), (true * ground + np.sqrt(1 - true**2) * fresh, shift)):
        window = response.spectrum((f - centre + 0.5) % 1 - 0.5)
        images.append(np.fft.ifft((reflectivity + np.sqrt(noise) * white(rng, shape)) * window))
    return images[0].astype(np.complex64), images[1].astype(np.complex64)


@pytest.mark.parametrize("name", ["IW1", "IW2", "IW3"])
@pytest.mark.parametrize("shift", [0.01, -0.03, 0.05])
def test_geometric_loss_is_restored(rng, morocco_sub_swath, name, shift):
    """Before: truth x overlap of the windows; after: truth, within 0.002."""
    swath = morocco_sub_swath("20230904", name)
    for true in (1.0, 0.6):
        first, second = _shifted_pair(rng, swath, shift, true)
        loss = float(_response(swath).overlap(shift))
        assert loss < 0.996
        assert _coherence(first, second) == pytest.approx(true * loss, abs=0.004)
        filtered = common_band(first, second, np.full(first.shape, shift, np.float32), range_spectrum(swath))
        assert _coherence(*(v[INSIDE] for v in filtered)) == pytest.approx(true, abs=0.002 if true == 1 else 0.006)


def test_other_terms_are_kept(rng, morocco_sub_swath):
    """With noise the result is truth x noise term: echo and noise pass the same filters."""
    swath = morocco_sub_swath("20230904", "IW2")
    first, second = _shifted_pair(rng, swath, 0.05, 0.8, noise=0.2, shape=(240, 2048))
    filtered = common_band(first, second, np.full(first.shape, 0.05, np.float32), range_spectrum(swath))
    assert _coherence(*(v[INSIDE] for v in filtered)) == pytest.approx(0.8 / 1.2, abs=0.008)


@pytest.mark.parametrize("shift", [0.0, 0.04, -0.08])
def test_equals_taps_from_dense_least_squares(rng, morocco_sub_swath, shift):
    """The filters, convolved by numpy, are those that a fit on many frequencies gives."""
    swath = morocco_sub_swath("20230904", "IW3")
    band, a = _response(swath).band, _response(swath).hamming
    f = (np.arange(20000) + 0.5) / 20000 * band - band / 2
    taps = np.arange(-24, 25)

    def fitted(shift):
        """Taps for a window at 0 that shares its band with one at `shift`."""
        width = band - abs(shift)
        within = (f - shift / 2) / width
        share = np.where(np.abs(within) <= 0.5, a + (1 - a) * np.cos(2 * np.pi * within), 0.0)
        window = a + (1 - a) * np.cos(2 * np.pi * f / band)
        scale = np.sqrt(np.mean(window**2) * f.size)
        rows = np.exp(-2j * np.pi * np.outer(f, taps)) * window[:, None] / scale
        rows = np.vstack([rows, 1e-2 * np.eye(taps.size)])
        return np.linalg.lstsq(rows, np.append(share / scale, np.zeros(taps.size)), rcond=None)[0]

    shift = round(shift * 1024) / 1024
    # taps do as they like where an image has no power, so it has to be an image of this spectrum
    image, other = _shifted_pair(rng, swath, shift, 0.5, shape=(1, 200))
    got = common_band(image, other, np.full((1, 200), shift, np.float32), range_spectrum(swath))
    expected = np.convolve(image[0].astype(complex), fitted(shift), "valid")
    moved = fitted(-shift) * np.exp(2j * np.pi * shift * taps)
    np.testing.assert_allclose(got[0][0, 24:-24], expected, atol=2e-3)
    np.testing.assert_allclose(got[1][0, 24:-24], np.convolve(other[0].astype(complex), moved, "valid"), atol=2e-3)


def test_equals_a_slow_sum_with_the_taps_of_each_pixel(rng, morocco_sub_swath):
    """Single precision, many taps at once: within 2e-6 of the image's amplitude of sums in double precision."""
    spectrum = range_spectrum(morocco_sub_swath("20230904", "IW2"))
    shape = 5, 400
    first, second = (white(rng, shape).astype(np.complex64) for _ in range(2))
    shift = rng.uniform(-0.5, 0.5, shape).astype(np.float32)  # beyond half of the band too
    shift[2, 100] = np.nan
    got = common_band(first, second, shift, spectrum)
    table = _filters(spectrum)
    most = table.shape[0] // 2
    taps = np.arange(-24, 25)
    expected = np.full((2, *shape), np.nan, complex)
    for y, x in np.ndindex(shape):
        if 24 <= x < shape[1] - 24 and np.isfinite(shift[y, x]):
            step = int(np.clip(np.rint(shift[y, x] * 1024), -most, most))
            own, mirrored = table[most + step], table[most - step]
            expected[0, y, x] = np.sum(own * first[y, x - taps].astype(complex))
            moved = mirrored * np.exp(2j * np.pi * step / 1024 * taps)
            expected[1, y, x] = np.sum(moved * second[y, x - taps].astype(complex))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(np.array(got), expected, rtol=0, atol=2e-6)


def _views(slope_deg, baseline_m, spacing, rng, count=40_000):
    """Scatterers on a slope in the plane of the ranges, seen by a satellite and by one `baseline_m` above its sight.

    Returns slant ranges to both, less those of the middle, and what the formula needs.
    """
    theta, distance, slope = np.radians(38.0), 850e3, np.radians(slope_deg)
    satellite = np.array([-distance * np.sin(theta), distance * np.cos(theta)])  # it looks to the right and down
    upward = np.array([np.cos(theta), np.sin(theta)])  # across the line of sight
    along = rng.uniform(-3000, 3000, count)
    ground = np.stack([along * np.cos(slope), along * np.sin(slope)], axis=1)
    first = np.hypot(*(ground - satellite).T)
    second = np.hypot(*(ground - satellite - baseline_m * upward).T)
    return first - distance, second - np.hypot(*(satellite + baseline_m * upward)), distance, np.degrees(theta)


@pytest.mark.parametrize(("slope", "baseline"), [(0.0, 800.0), (15.0, -400.0), (-20.0, 700.0), (25.0, 250.0)])
def test_scatterers_seen_from_two_places(rng, morocco_sub_swath, slope, baseline):
    """From positions alone: the formula's shift has the right sign and size, and the filter restores coherence."""
    swath = morocco_sub_swath("20230904", "IW2")
    spacing, wavelength, response = swath.range_spacing_m, swath.wavelength_m, _response(swath)
    near, far, distance, incidence = _views(slope, baseline, spacing, rng)
    amplitude = white(rng, near.shape)
    lines, samples = 16, 64
    images = np.zeros((2, lines * samples), complex)
    # one long line of pixels around the middle; each scatterer reaches a few dozen of them
    centre = near / spacing + lines * samples / 2
    inside = (centre > -40) & (centre < lines * samples + 40)
    offset = np.polynomial.Polynomial.fit(near, far - near, 5)
    for start, phase in ((0, near), (1, far)):
        image = images[start]
        values = amplitude * np.exp(-4j * np.pi / wavelength * phase)
        for k in range(-40, 41):
            pixel = np.floor(centre[inside]).astype(int) + k
            seen = (pixel >= 0) & (pixel < image.size)
            np.add.at(image, pixel[seen], (values[inside] * response(pixel - centre[inside]))[seen])
    place = (np.arange(images.shape[1]) - images.shape[1] / 2) * spacing
    first, second = images[0], images[1] * np.exp(4j * np.pi / wavelength * offset(place))
    shift = spectral_shift(baseline, distance, incidence, slope, wavelength_m=wavelength, range_spacing_m=spacing)
    numeric = 2 / wavelength * offset.deriv()(0.0) * spacing
    assert float(shift) == pytest.approx(numeric, rel=2e-3)
    from_posts = shift_of_offsets(offset(place[None, ::4]), 4, wavelength)
    np.testing.assert_allclose(from_posts, float(shift), rtol=0.05)

    first, second = (v[None].astype(np.complex64) for v in (first, second))
    cut = np.s_[:, 40:-40]
    loss = float(response.overlap(shift))
    assert _coherence(first[cut], second[cut]) == pytest.approx(loss, abs=0.02)
    field = np.full(first.shape, shift, np.float32)
    filtered = [v[cut] for v in common_band(first, second, field, range_spectrum(swath))]
    assert _coherence(*filtered) > 0.997
    wrong = [v[cut] for v in common_band(first, second, -field, range_spectrum(swath))]
    assert _coherence(*wrong) < loss


@pytest.mark.parametrize("name", ["IW1", "IW3"])
def test_formula_on_the_orbits_of_a_real_pair(morocco_sub_swath, name):
    """Slant ranges on the ellipsoid at neighbouring samples give the shift of the formula (no slope) within 2 %."""
    first, second = morocco_sub_swath("20230904", name), morocco_sub_swath("20230916", name)
    arc, other = arc_arrays(first.arc()), arc_arrays(second.arc())
    time, slant = first.arc().centre_s, first.slant_range_m + 10000 * first.range_spacing_m
    offsets = []
    for step in (-200, 200):
        lon, lat = ground_point(arc, time, slant + step, 0.0)
        _, distance = zero_doppler(other, *to_cartesian(lon, lat, 0.0), second.arc().centre_s)
        offsets.append(distance - slant - step)
    measured = 2 / first.wavelength_m * (offsets[1] - offsets[0]) / 400 * first.range_spacing_m
    lon, lat = ground_point(arc, time, slant, 0.0)
    formula = spectral_shift(
        perpendicular_baseline_m(first, second, lon, lat), slant, incidence_deg(first, lon, lat), 0.0,
        wavelength_m=first.wavelength_m, range_spacing_m=first.range_spacing_m,
    )  # fmt: skip
    assert measured == pytest.approx(float(formula), rel=0.02)


def test_each_pixel_has_its_own_filter_and_no_block(rng, morocco_sub_swath):
    """Where the shift changes, pixels take the filter of their own shift; parts equal the whole."""
    spectrum = range_spectrum(morocco_sub_swath("20230904", "IW1"))
    first, second = white(rng, (6, 300)).astype(np.complex64), white(rng, (6, 300)).astype(np.complex64)
    shift = np.broadcast_to(np.linspace(-0.08, 0.08, 300, dtype=np.float32), (6, 300))
    second[3, 200] = np.nan
    whole = common_band(first, second, shift, spectrum)
    part = common_band(first[2:5, 90:280], second[2:5, 90:280], shift[2:5, 90:280], spectrum)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[2:5, 114:256], b[:, 24:-24])
    uniform = common_band(first, second, np.full((6, 300), shift[0, 60], np.float32), spectrum)
    np.testing.assert_array_equal(whole[0][:, 60], uniform[0][:, 60])
    assert np.isnan(whole[1][3, 176:225]).all()
    assert np.isfinite(whole[1][3, 60:176]).all()
    assert np.isnan(whole[0][:, :24]).all()


def test_turning_both_leaves_the_interferogram(rng):
    """The phase of the offset between posts, by numpy in double precision, to 1e-6; a part equals the whole."""
    first, second = (white(rng, (4, 41)).astype(np.complex64) for _ in range(2))
    field = 120.0 + np.cumsum(rng.normal(size=(4, 12)), axis=1)
    field[2, 5] = np.nan
    one, other = turned(first, second, field, 4, 0.0555)
    between = np.array([np.interp(np.arange(41) / 4, np.arange(12), row) for row in field])
    turn = np.exp(-4j * np.pi / 0.0555 * between)
    np.testing.assert_allclose(one, first * turn, rtol=0, atol=1e-6)
    np.testing.assert_allclose(other, second * turn, rtol=0, atol=1e-6)
    known = np.isfinite(one)
    np.testing.assert_allclose((one * other.conj())[known], (first * second.conj())[known], rtol=0, atol=2e-6)
    part, _ = turned(first[1:3, 8:30], second[1:3, 8:30], field[1:3, 2:], 4, 0.0555)
    np.testing.assert_array_equal(part, one[1:3, 8:30])


def test_offsets_beyond_the_terrain_stay_unknown():
    offsets = np.linspace(0, 1, 12)[None].repeat(2, axis=0)
    offsets[1, 5] = np.nan
    got = shift_of_offsets(offsets, 4, 0.0555)
    assert got.shape == (2, 45)
    np.testing.assert_allclose(got[0], 2 / 0.0555 / 11 / 4, rtol=1e-6)
    assert np.isnan(got[1]).any()
    with pytest.raises(OptionError, match="at least 2"):
        shift_of_offsets(offsets[:, :1], 4, 0.0555)
    with pytest.raises(OptionError, match="differ"):
        common_band(
            np.zeros((2, 60), np.complex64), np.zeros((2, 60), np.complex64), np.zeros((2, 59), np.float32), None
        )
