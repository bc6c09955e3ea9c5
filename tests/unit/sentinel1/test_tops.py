"""The ramp of TOPS bursts: on real pixels, and against the formulas written a second way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from lxml import etree
from scipy.ndimage import uniform_filter

from insar_mining.coherence.builtin.images.resample import interpolation_weights, resample_range
from insar_mining.sentinel1.annotation import RangePolynomial, SubSwath
from insar_mining.sentinel1.tops import nearest_in_time, tops_ramp

C = 299_792_458.0
BURST, FIRST_LINE, FIRST_SAMPLE = 6, 9799 - 6 * 1514, 10999
SAMPLES = FIRST_SAMPLE + np.arange(1401)
LINES = FIRST_LINE + np.arange(601)


@pytest.fixture(scope="session")
def land(azores_pixels: npt.NDArray[np.complex64]) -> npt.NDArray[np.bool_]:
    """Terceira is some 15 dB brighter than the sea around it."""
    return uniform_filter(np.abs(azores_pixels) ** 2, 15)[1:] > 3000


def lag_one(pixels: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    return pixels[1:] * pixels[:-1].conj()


def test_real_pixels_have_no_ramp_left(
    azores_sub_swath: SubSwath, azores_pixels: npt.NDArray[np.complex64], land: npt.NDArray[np.bool_]
) -> None:
    assert 0.4 < land.mean() < 0.8
    before = lag_one(azores_pixels.astype(np.complex128))
    assert np.ptp(np.unwrap(np.angle((before * land)[:480].sum(axis=1)))) > 5.5 * np.pi  # the ramp wraps
    assert np.ptp(np.unwrap(np.angle(before.sum(axis=1)))) == pytest.approx(7.7 * np.pi, rel=0.05)

    ramp = tops_ramp(azores_sub_swath, BURST, SAMPLES)
    after = lag_one(azores_pixels * np.exp(-1j * ramp.phase_rad(LINES[:, None]))) * land
    assert abs(np.angle(after.sum())) <= 0.1
    # not only on the whole: in every hundred lines and in every fifth of the width
    for part in (*(after[i : i + 100] for i in range(0, 400, 100)), *np.array_split(after, 5, axis=1)):
        assert abs(np.angle(part.sum())) <= 0.1
    assert abs(after.sum()) / np.abs(after).sum() > 0.7


def test_the_other_sign_makes_the_ramp_twice_as_steep(
    azores_sub_swath: SubSwath, azores_pixels: npt.NDArray[np.complex64], land: npt.NDArray[np.bool_]
) -> None:
    ramp = tops_ramp(azores_sub_swath, BURST, SAMPLES)
    wrong = lag_one(azores_pixels * np.exp(+1j * ramp.phase_rad(LINES[:, None]))) * land
    assert abs(wrong.sum()) / np.abs(wrong).sum() < 0.1
    assert np.ptp(np.unwrap(np.angle(wrong[:480].sum(axis=1)))) > 11 * np.pi


def written_again(xml: bytes, burst: int, sample: npt.NDArray[np.float64], line: float) -> npt.NDArray[np.float64]:
    """COPE-GSEG-EOPG-TN-14-0025 equations 1 to 13, from the XML itself, with another orbit interpolation."""
    root = etree.fromstring(xml)

    def number(path: str) -> float:
        return float(root.findtext(path))

    day = np.datetime64(root.findtext("adsHeader/startTime")[:10])

    def seconds(text: str) -> float:
        return float((np.datetime64(text) - day) / np.timedelta64(1, "us")) * 1e-6

    bursts = root.findall("swathTiming/burstList/burst")
    interval = number("imageAnnotation/imageInformation/azimuthTimeInterval")
    lines, samples = number("swathTiming/linesPerBurst"), number("swathTiming/samplesPerBurst")
    middle = seconds(bursts[burst].findtext("azimuthTime")) + lines / 2 * interval
    tau0 = number("imageAnnotation/imageInformation/slantRangeTime")
    rate = number("generalAnnotation/productInformation/rangeSamplingRate")

    def nearest(path: str, name: str, tau: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found = min(root.findall(path), key=lambda e: abs(seconds(e.findtext("azimuthTime")) - middle))
        coefficients = [float(c) for c in found.findtext(name).split()]
        return np.polyval(coefficients[::-1], tau - float(found.findtext("t0")))

    def both(tau: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        ka = nearest("generalAnnotation/azimuthFmRateList/azimuthFmRate", "azimuthFmRatePolynomial", tau)
        return ka, nearest("dopplerCentroid/dcEstimateList/dcEstimate", "dataDcPolynomial", tau)

    vectors = root.findall("generalAnnotation/orbitList/orbit")
    times = [seconds(v.findtext("time")) for v in vectors]
    speeds = [np.hypot.reduce([float(v.findtext(f"velocity/{a}")) for a in "xyz"]) for v in vectors]
    speed = np.interp(middle, times, speeds)

    frequency = number("generalAnnotation/productInformation/radarFrequency")
    steering = np.deg2rad(number("generalAnnotation/productInformation/azimuthSteeringRate"))
    ks = 2 * speed / C * frequency * steering
    ka, fdc = both(tau0 + sample / rate)
    ka_mid, fdc_mid = both(np.asarray(tau0 + samples / 2 / rate))
    kt = 1 / (1 / ks - 1 / ka)
    eta_ref = -fdc / ka - (-fdc_mid / ka_mid)
    eta = -lines / 2 * interval + line * interval
    return np.pi * kt * (eta - eta_ref) ** 2 + 2 * np.pi * fdc * (eta - eta_ref)


@pytest.mark.parametrize("burst", [0, 4, 8])
@pytest.mark.parametrize("swath", ["IW1", "IW2", "IW3"])
def test_the_formulas_written_again_give_the_same_phase(
    swath: str, burst: int, morocco_annotation: Callable[..., bytes], morocco_sub_swath: Callable[..., SubSwath]
) -> None:
    found = morocco_sub_swath("20230904", swath)
    sample = np.linspace(0, found.samples_per_burst - 1, 13)
    ramp = tops_ramp(found, burst, sample)
    assert ramp.phase_rad(np.zeros((5, 1))).shape == (5, 13)
    for line in (0.0, 100.25, 753.5, found.lines_per_burst - 1.0):
        expected = written_again(morocco_annotation("20230904", swath), burst, sample, line)
        # hundreds of radians at the edges; speeds interpolated in two ways differ by parts in 1e8
        np.testing.assert_allclose(ramp.phase_rad(line), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("date", ["azores", "20230904"])
def test_the_origin_of_a_polynomial_is_free(
    date: str, azores_sub_swath: SubSwath, morocco_sub_swath: Callable[..., SubSwath]
) -> None:
    """The same polynomial written around another t0 is the same ramp; forgetting t0 is another one."""
    swath = azores_sub_swath if date == "azores" else morocco_sub_swath("20230904", "IW2")

    def moved(polynomial: RangePolynomial, by_s: float) -> RangePolynomial:
        shifted = np.polynomial.Polynomial(polynomial.coefficients)(np.polynomial.Polynomial([by_s, 1.0]))
        return replace(polynomial, t0_s=polynomial.t0_s + by_s, coefficients=tuple(shifted.coef.tolist()))

    def at_line_100(**changes: tuple[RangePolynomial, ...]) -> npt.NDArray[np.float64]:
        return tops_ramp(replace(swath, **changes), 3, np.linspace(0, swath.samples_per_burst - 1, 9)).phase_rad(100)

    moved_rates = tuple(moved(p, 3e-4) for p in swath.fm_rates)
    moved_centroids = tuple(moved(p, -5e-4) for p in swath.doppler_centroids)
    expected = at_line_100()
    np.testing.assert_allclose(
        at_line_100(fm_rates=moved_rates, doppler_centroids=moved_centroids), expected, atol=1e-6, rtol=0
    )
    forgotten = tuple(replace(p, t0_s=swath.slant_range_time_s) for p in moved_rates)
    assert np.abs(at_line_100(fm_rates=forgotten) - expected).min() > 1
    forgotten = tuple(replace(p, t0_s=swath.slant_range_time_s) for p in moved_centroids)
    assert np.abs(at_line_100(doppler_centroids=forgotten) - expected).max() > 1


def test_the_ramp_spans_the_steered_band(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    """Across a burst the Doppler centroid sweeps some 4.5 kHz, many times the sampled band of 486 Hz."""
    for swath in ("IW1", "IW2", "IW3"):
        found = morocco_sub_swath("20230904", swath)
        ramp = tops_ramp(found, 4, np.array([found.samples_per_burst / 2]))
        duration = found.lines_per_burst * found.azimuth_time_interval_s
        sweep = ramp.doppler_rate_hz_s[0] * duration
        step = 1e-3
        lines = np.array([[0.0], [found.lines_per_burst]])
        frequency = (ramp.phase_rad(lines + step) - ramp.phase_rad(lines - step)) / (
            2 * step * found.azimuth_time_interval_s * 2 * np.pi
        )
        assert frequency[1, 0] - frequency[0, 0] == pytest.approx(sweep, rel=1e-6)
        assert 4300 < sweep < 5800
        # symmetric to the burst's middle at mid swath, but for the Doppler centroid of some ten hertz
        assert frequency.sum() / 2 == pytest.approx(ramp.doppler_centroid_hz[0], abs=0.1)
        assert ramp.reference_time_s[0] == pytest.approx(0, abs=1e-12)


def test_the_polynomial_nearest_in_time_is_taken() -> None:
    polynomials = tuple(RangePolynomial(t, 0.0, (t,)) for t in (0.0, 3.0, 5.0))
    assert [nearest_in_time(polynomials, t).azimuth_time_s for t in (-9, 1.4, 1.6, 3.9, 4.1, 99)] == [0, 0, 3, 3, 5, 5]


# Real pixels (Azores, IW3): figures of the image, measured once ------------------------------------


@pytest.fixture(scope="module")
def level(azores_sub_swath: SubSwath, azores_pixels: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex128]:
    """The image without its carrier."""
    ramp = tops_ramp(azores_sub_swath, BURST, SAMPLES)
    return np.asarray(azores_pixels * np.exp(-1j * ramp.phase_rad(LINES[:, None])), dtype=np.complex128)


def correlation(image: npt.NDArray[np.complex128], axis: int, lag: int) -> complex:
    rows = np.moveaxis(image, axis, 0)
    one, other = rows[lag:], rows[:-lag]
    power = np.sum(np.abs(one) ** 2) * np.sum(np.abs(other) ** 2)
    return complex(np.sum(one * other.conj()) / np.sqrt(power))


def test_speckle_of_the_real_image(level: npt.NDArray[np.complex128], azores_sub_swath: SubSwath) -> None:
    """Autocorrelation along azimuth and range, and the Doppler frequency that is left."""
    found = [abs(correlation(level, axis, lag)) for axis in (0, 1) for lag in (1, 2)]
    np.testing.assert_allclose(found, [0.636, 0.116, 0.620, 0.101], atol=0.006)
    left_hz = np.angle(correlation(level, 0, 1)) / (2 * np.pi) * azores_sub_swath.azimuth_frequency_hz
    assert abs(left_hz) < 6.0


@pytest.mark.parametrize("fraction", [0.13, 0.5, 0.87])
def test_real_pixels_are_resampled_as_an_exact_shift_would(
    fraction: float, level: npt.NDArray[np.complex128], azores_sub_swath: SubSwath
) -> None:
    """The kernels beside a shift of phase in the Fourier transform, away from the ends."""
    image = level.astype(np.complex64)
    weights = interpolation_weights(azores_sub_swath.range_bandwidth, azores_sub_swath.range_sampling_rate_hz)
    samples = image.shape[1] // 4 * 4
    offsets = np.full((image.shape[0], samples // 4 + 1), fraction)
    ours = resample_range(image, 0, weights, offsets, np.arange(image.shape[0]), samples, 0)[:, 100:-100]
    turns = np.exp(2j * np.pi * np.fft.fftfreq(image.shape[1]) * fraction)
    exact = np.fft.ifft(np.fft.fft(level, axis=1) * turns, axis=1)[:, :samples][:, 100:-100]
    power = np.sum(np.abs(ours) ** 2) * np.sum(np.abs(exact) ** 2)
    assert abs(np.sum(ours * exact.conj())) / np.sqrt(power) >= 0.9999
