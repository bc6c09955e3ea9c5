"""Simulated bursts: single scatterers against closed forms, speckle against its statistics."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import pytest

from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.tops import tops_ramp
from insar_mining.simulate.carrier import burst_carrier
from insar_mining.simulate.pixels import Echoes, burst_image, responses, to_int16

SPEED_OF_LIGHT = 299_792_458.0
Pixels = npt.NDArray[np.complex64]


def echoes(swath: SubSwath, lines: npt.ArrayLike, samples: npt.ArrayLike, amplitudes: npt.ArrayLike) -> Echoes:
    line, sample, amplitude = (np.asarray(v) for v in (lines, samples, amplitudes))
    order = np.argsort(line, kind="stable")
    time = swath.bursts[0].azimuth_time_s + line * swath.azimuth_time_interval_s
    slant = SPEED_OF_LIGHT / 2 * (swath.slant_range_time_s + sample / swath.range_sampling_rate_hz)
    return Echoes(time[order], slant[order], amplitude.astype(np.complex128)[order])


def esa_ramp(swath: SubSwath, lines: npt.ArrayLike, sample: float) -> npt.NDArray[np.float64]:
    """Phase of the ramp, spelled out from the note; nothing of the simulator is used."""
    mid = swath.bursts[0].azimuth_time_s + swath.lines_per_burst / 2 * swath.azimuth_time_interval_s
    fm = min(swath.fm_rates, key=lambda p: abs(p.azimuth_time_s - mid))
    dc = min(swath.doppler_centroids, key=lambda p: abs(p.azimuth_time_s - mid))
    tau = swath.slant_range_time_s + sample / swath.range_sampling_rate_hz
    tau_mid = swath.slant_range_time_s + swath.samples_per_burst / 2 / swath.range_sampling_rate_hz

    def value(p, t):  # type: ignore[no-untyped-def]
        return sum(c * (t - p.t0_s) ** k for k, c in enumerate(p.coefficients))

    velocity = np.array([np.interp(mid, swath.orbit.time_s, swath.orbit.velocity_m_s[:, k]) for k in range(3)])
    ks = 2 * np.linalg.norm(velocity) * swath.radar_frequency_hz * swath.azimuth_steering_rate_rad_s / SPEED_OF_LIGHT
    ka = value(fm, tau)
    kt = ka * ks / (ka - ks)
    reference = -value(dc, tau) / ka + value(dc, tau_mid) / value(fm, tau_mid)
    eta = (np.asarray(lines) - swath.lines_per_burst / 2) * swath.azimuth_time_interval_s - reference
    return np.asarray(np.pi * kt * eta**2 + 2 * np.pi * value(dc, tau) * eta)


def test_the_sum_over_scatterers_is_the_sum_of_their_ideal_responses(narrow_swath: SubSwath) -> None:
    """Gridding, windows and FFTs together against the plain double loop, at 1e-3 of the peak."""
    rng = np.random.default_rng(7)
    count = 25
    line, sample = rng.uniform(650, 750, count), rng.uniform(150, 250, count)
    amplitude = rng.standard_normal(count) + 1j * rng.standard_normal(count)
    image = burst_image(narrow_swath, 0, echoes(narrow_swath, line, sample, amplitude))
    azimuth, range_ = responses(narrow_swath)
    rows, columns = np.arange(600, 800), np.arange(100, 300)
    expected = np.zeros((rows.size, columns.size), dtype=np.complex128)
    for i in range(count):
        slant = SPEED_OF_LIGHT / 2 * (narrow_swath.slant_range_time_s + sample[i] / narrow_swath.range_sampling_rate_hz)
        ramp = esa_ramp(narrow_swath, rows, sample[i]) - esa_ramp(narrow_swath, line[i], sample[i])
        phase = -4 * np.pi * slant * narrow_swath.radar_frequency_hz / SPEED_OF_LIGHT
        along = azimuth(rows - line[i]) * np.exp(1j * ramp) * np.exp(1j * phase) * amplitude[i]
        expected += along[:, None] * range_(columns - sample[i])
    assert np.abs(image[600:800, 100:300] - expected).max() < 3e-3 * np.abs(amplitude).max()


@pytest.mark.parametrize(("line", "sample"), [(143.37, 101.81), (752.5, 200.25), (1390.12, 307.66)])
def test_a_lone_scatterer_peaks_at_its_place_with_the_phase_of_its_range(
    narrow_swath: SubSwath, line: float, sample: float
) -> None:
    """Deramped by the note's formula and interpolated by a zero-padded FFT."""
    image = burst_image(narrow_swath, 0, echoes(narrow_swath, [line], [sample], [100.0]))
    half, finer = 32, 64
    row, column = round(line), round(sample)
    lines = np.arange(row - half, row + half)
    cut = image[row - half : row + half, column - half : column + half] * np.exp(
        -1j * (esa_ramp(narrow_swath, lines, sample) - esa_ramp(narrow_swath, line, sample))
    )[:, None].astype(np.complex64)

    def peak(values: Pixels) -> tuple[float, complex]:
        n = values.size
        spectrum = np.fft.fft(values.astype(np.complex128))
        padded = np.zeros(n * finer, dtype=np.complex128)
        padded[: n // 2], padded[-n // 2 :] = spectrum[: n // 2], spectrum[-n // 2 :]
        fine = np.fft.ifft(padded) * finer
        k = int(np.abs(fine).argmax())
        a, b, c = np.abs(fine[k - 1 : k + 2])
        return (k + 0.5 * (a - c) / (a - 2 * b + c)) / finer, complex(fine[k])

    found_line = row - half + peak(cut[:, half])[0]
    found_sample = column - half + peak(cut[half, :])[0]
    assert found_line == pytest.approx(line, abs=0.01)
    assert found_sample == pytest.approx(sample, abs=0.01)
    slant = SPEED_OF_LIGHT / 2 * (narrow_swath.slant_range_time_s + sample / narrow_swath.range_sampling_rate_hz)
    expected = np.exp(-4j * np.pi * slant * narrow_swath.radar_frequency_hz / SPEED_OF_LIGHT)
    # at the nearest pixel the response is real and positive once deramped: its phase is that of the range
    assert abs(np.angle(cut[half, half] * np.conj(expected))) < 0.01
    azimuth, range_ = responses(narrow_swath)
    assert abs(cut[half, half]) == pytest.approx(100 * float(azimuth(row - line) * range_(column - sample)), rel=1e-3)


def test_the_carrier_agrees_with_the_readers_ramp_and_with_the_antenna(
    narrow_swath: SubSwath,
) -> None:
    samples = np.array([0.0, 150.0, 399.0])
    carrier = burst_carrier(narrow_swath, 0, narrow_swath.slant_range_time_of(samples))
    ramp = tops_ramp(narrow_swath, 0, samples)
    np.testing.assert_allclose(carrier.rate_hz_s, ramp.doppler_rate_hz_s, rtol=1e-6)
    # the beam, swept at the annotated rate: raw time t -> Doppler, and zero-Doppler time -> raw time
    middle = (
        narrow_swath.bursts[0].azimuth_time_s + narrow_swath.lines_per_burst / 2 * narrow_swath.azimuth_time_interval_s
    )
    speed = np.linalg.norm(narrow_swath.orbit.arc(middle, middle).velocity_m_s(middle))
    sweep = 2 * speed * narrow_swath.azimuth_steering_rate_rad_s / narrow_swath.wavelength_m
    fm = min(narrow_swath.fm_rates, key=lambda p: abs(p.azimuth_time_s - middle))
    for tau, rate in zip(narrow_swath.slant_range_time_of(samples), carrier.rate_hz_s, strict=True):
        raw = np.array([-0.3, 0.3])
        doppler = sweep * raw
        focused = raw - doppler / float(fm(tau))
        assert np.diff(doppler)[0] / np.diff(focused)[0] == pytest.approx(rate, rel=1e-5)


@pytest.fixture(scope="module")
def speckle(narrow_swath: SubSwath) -> Pixels:
    """Deramped speckle of scatterers far denser than the resolution, at unit mean power."""
    rng = np.random.default_rng(11)
    lines, samples = (grid.ravel() for grid in np.meshgrid(np.arange(180, 1320, 0.6), np.arange(20, 380, 0.5)))
    line, sample = lines + 0.6 * rng.random(lines.size), samples + 0.5 * rng.random(samples.size)
    amplitude = rng.standard_normal(line.size) + 1j * rng.standard_normal(line.size)
    image = burst_image(narrow_swath, 0, echoes(narrow_swath, line, sample, amplitude))[200:1300, 40:360]
    columns = np.arange(40, 360)
    ramp = np.stack([esa_ramp(narrow_swath, np.arange(200, 1300), float(c)) for c in columns], axis=1)
    image = image * np.exp(-1j * ramp)
    return np.asarray(image / np.sqrt(np.mean(np.abs(image) ** 2)))


def test_speckle_is_circular_gaussian(speckle: Pixels) -> None:
    intensity = np.abs(speckle) ** 2
    assert np.mean(intensity**2) == pytest.approx(2.0, abs=0.03)
    assert np.mean(intensity**3) == pytest.approx(6.0, abs=0.35)
    assert abs(np.mean(speckle**2)) < 0.01, "real and imaginary parts are alike and independent"
    assert abs(np.mean(speckle)) < 0.01


def test_speckle_has_the_spectrum_of_the_hamming_window(speckle: Pixels, narrow_swath: SubSwath) -> None:
    """Lag correlations against those of the analytic window, by quadrature over frequency."""
    f = np.linspace(-0.5, 0.5, 20001)
    for response, axis in zip(responses(narrow_swath), (0, 1), strict=True):
        power = response.spectrum(f) ** 2
        for lag in (1, 2, 3):
            expected = np.sum(power * np.cos(2 * np.pi * f * lag)) / np.sum(power)
            first = speckle[:-lag] if axis == 0 else speckle[:, :-lag]
            later = speckle[lag:] if axis == 0 else speckle[:, lag:]
            assert np.mean(later * first.conj()).real == pytest.approx(expected, abs=0.012)


def test_the_azimuth_spectrum_moves_at_the_carriers_rate(narrow_swath: SubSwath) -> None:
    rng = np.random.default_rng(3)
    line, sample = rng.uniform(100, 1400, 60_000), rng.uniform(150, 250, 60_000)
    amplitude = rng.standard_normal(line.size) + 1j * rng.standard_normal(line.size)
    image = burst_image(narrow_swath, 0, echoes(narrow_swath, line, sample, amplitude))
    lag = np.sum(image[201:1301, 160:240] * image[200:1300, 160:240].conj(), axis=1)
    interval = narrow_swath.azimuth_time_interval_s
    frequency = np.unwrap(np.angle(lag)) / (2 * np.pi * interval)
    rate = np.polyfit(np.arange(lag.size) * interval, frequency, 1)[0]
    expected = tops_ramp(narrow_swath, 0, [200.0]).doppler_rate_hz_s[0]
    assert rate == pytest.approx(expected, rel=0.005)


def test_noise_has_the_spectrum_of_the_inverse_antenna_and_the_power_asked_for(narrow_swath: SubSwath) -> None:
    nothing = Echoes(np.empty(0), np.empty(0), np.empty(0, dtype=np.complex128))
    image = burst_image(narrow_swath, 0, nothing, noise_sigma=30.0, rng=np.random.default_rng(5))
    ramp = np.stack([esa_ramp(narrow_swath, np.arange(200, 1300), float(c)) for c in range(40, 360)], axis=1)
    noise = image[200:1300, 40:360] * np.exp(-1j * ramp)
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(30.0, rel=0.01)
    f = np.linspace(-0.5, 0.5, 20001)
    # the annotation's numbers by hand: two-way pattern of 12.3 m, seen through the sweep of the beam
    hertz = f / narrow_swath.azimuth_time_interval_s
    speed = 7_590.0
    sweep = 2 * speed * narrow_swath.azimuth_steering_rate_rad_s / narrow_swath.wavelength_m
    target = float(narrow_swath.fm_rates[0](narrow_swath.slant_range_time_of(narrow_swath.samples_per_burst / 2)))
    pattern = np.sinc(12.3 * hertz * (target - sweep) / (target * 2 * speed)) ** 4
    window = responses(narrow_swath)[0].spectrum(f)
    power = np.where(window > 0, window**2 / pattern, 0.0)
    expected = np.sum(power * np.cos(2 * np.pi * f)) / np.sum(power)
    assert np.mean(noise[1:] * noise[:-1].conj()).real / 900 == pytest.approx(expected, abs=0.012)


def test_pixels_are_zero_where_the_annotation_says_invalid(narrow_swath: SubSwath) -> None:
    nothing = Echoes(np.empty(0), np.empty(0), np.empty(0, dtype=np.complex128))
    image = burst_image(narrow_swath, 0, nothing, noise_sigma=30.0, rng=np.random.default_rng(5))
    valid = narrow_swath.bursts[0].first_valid_sample >= 0
    assert not image[~valid].any()
    assert (image[valid] != 0).all()


def test_pixels_do_not_depend_on_the_number_of_threads(narrow_swath: SubSwath) -> None:
    rng = np.random.default_rng(2)
    line, sample = rng.uniform(0, 1506, 20_000), rng.uniform(0, 400, 20_000)
    scene = echoes(narrow_swath, line, sample, rng.standard_normal(20_000))
    before = numba.get_num_threads()
    images = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            images.append(burst_image(narrow_swath, 0, scene, noise_sigma=1.0, rng=np.random.default_rng(1)))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(images[0], images[1])


def test_what_exceeds_16_bits_saturates_and_is_counted() -> None:
    image = np.array([[40_000 - 50_000j, 1.4 - 1.6j]], dtype=np.complex64)
    values, clipped = to_int16(image)
    np.testing.assert_array_equal(values, [[[32767, -32768], [1, -2]]])
    assert clipped == 2
