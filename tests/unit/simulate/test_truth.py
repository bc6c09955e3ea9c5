"""The written truth against what the pixels show, and against the textbook formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Acquisition, Settings, SimulatedPair, flat, morocco_template, ramp, simulate_pair
from insar_mining.simulate.geometry import to_ecef, to_geodetic, trajectory, zero_doppler
from insar_mining.simulate.terrain import Terrain, undulation_m
from insar_mining.simulate.truth import geometric_coherence, mask_of, path_of, view

Complex = npt.NDArray[np.complex128]
FloatArray = npt.NDArray[np.float64]

NOISELESS = Settings(snr_db=np.inf, margin_m=100.0, scatterers_per_cell=4.0)
CENTRE = (-8.336, 31.7127)
UTM_CENTRE = (562_930.0, 3_508_780.0)


def bands(path: Path) -> dict[str, FloatArray]:
    with rasterio.open(path) as source:
        return dict(zip(source.descriptions, source.read().astype(np.float64), strict=True))


def patch(safe: Path, lines: slice, samples: slice) -> Complex:
    return open_product(safe).read_burst("IW1", "VV", 0, lines, samples).astype(np.complex128)


def place(swath: SubSwath, height: float) -> tuple[int, int]:
    """Line and sample of the patch's centre."""
    point = to_ecef(*CENTRE, height + undulation_m(*CENTRE))
    time, slant = zero_doppler(path_of(swath), point[None])
    line = (time[0] - swath.bursts[0].azimuth_time_s) / swath.azimuth_time_interval_s
    tau = 2 * slant[0] / 299_792_458.0
    return round(line), round((tau - swath.slant_range_time_s) * swath.range_sampling_rate_hz)


def sample_coherence(first: Complex, second: Complex) -> float:
    power = np.sqrt(np.mean(np.abs(first) ** 2) * np.mean(np.abs(second) ** 2))
    return float(np.abs(np.mean(first * second.conj())) / power)


def test_a_zero_baseline_pair_has_the_coherence_that_the_truth_says(
    flat_pair: SimulatedPair, annotation_of: Callable[[Path], SubSwath]
) -> None:
    """Both products lie on one grid, so a plain mean over all pixels is the estimator."""
    line, sample = place(annotation_of(flat_pair.reference), 300.0)
    window = slice(line - 60, line + 60), slice(sample - 180, sample + 180)
    first, second = (patch(safe, *window) for safe in (flat_pair.reference, flat_pair.secondary))
    truth = bands(flat_pair.truth)
    expected = 0.7 / (1 + 10**-1.0)  # temporal, and an SNR of 10 dB in both
    assert np.nanmedian(truth["coherence"]) == pytest.approx(expected, abs=0.002)
    # 120 x 360 samples are about 25,000 independent looks: a standard error of 0.003
    assert sample_coherence(first, second) == pytest.approx(expected, abs=0.01)
    assert abs(np.angle(np.mean(first * second.conj()))) < 0.02, "no baseline, no phase"
    power = np.mean(np.abs(first) ** 2)
    assert power == pytest.approx(2 * 75.0**2 * 1.1, rel=0.04)


def registered(
    pair: SimulatedPair, terrain: Terrain, annotation_of: Callable[[Path], SubSwath], height: float
) -> tuple[Complex, Complex]:
    """Reference and secondary patch on one grid, without topographic phase: plain sinc in range, no engine.

    The map from reference to secondary pixels is fitted to exact positions of points on the terrain.
    """
    swaths = [annotation_of(safe) for safe in (pair.reference, pair.secondary)]
    line, sample = place(swaths[0], height)
    x, y = np.meshgrid(UTM_CENTRE[0] + np.arange(-700, 701, 100.0), UTM_CENTRE[1] + np.arange(-900, 901, 100.0))
    seen = [view(s, terrain, x, y) for s in swaths]
    lines = [
        (v.time_s - s.bursts[0].azimuth_time_s) / s.azimuth_time_interval_s for v, s in zip(seen, swaths, strict=True)
    ]
    samples = [
        (2 * v.slant_range_m / 299_792_458.0 - s.slant_range_time_s) * s.range_sampling_rate_hz
        for v, s in zip(seen, swaths, strict=True)
    ]
    assert np.abs(lines[1] - lines[0]).max() < 0.02, "the shift of the orbit leaves the lines where they are"
    u, v = (lines[0] - line) / 100, (samples[0] - sample) / 100
    basis = np.stack([u**i * v**j for i in range(4) for j in range(4 - i)], axis=-1).reshape(-1, 10)

    def fitted(values: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
        coefficients, *_ = np.linalg.lstsq(basis, values.ravel(), rcond=None)
        a, b = np.meshgrid((rows - line) / 100, (columns - sample) / 100, indexing="ij")
        terms = np.stack([a**i * b**j for i in range(4) for j in range(4 - i)], axis=-1)
        return np.asarray(terms @ coefficients)

    rows, columns = np.arange(line - 40, line + 40), np.arange(sample - 100, sample + 100)
    shift = fitted(samples[1] - samples[0], rows, columns)
    path = fitted(seen[0].slant_range_m - seen[1].slant_range_m, rows, columns)
    low = columns[0] + int(np.floor(shift.min())) - 24
    high = columns[-1] + int(np.ceil(shift.max())) + 25
    window = slice(int(rows[0]), int(rows[-1]) + 1)
    first = patch(pair.reference, window, slice(int(columns[0]), int(columns[-1]) + 1))
    raw = patch(pair.secondary, window, slice(low, high))
    grid = np.arange(low, high)
    second = np.stack([np.sinc((columns + shift[i])[:, None] - grid) @ raw[i] for i in range(rows.size)])
    wavelength = 299_792_458.0 / swaths[0].radar_frequency_hz
    return first * np.exp(4j * np.pi * path / wavelength), second


@pytest.mark.parametrize(("slope_deg", "baseline_m"), [(0.0, 1500.0), (12.0, -900.0)])
def test_the_spectral_shift_of_a_baseline_costs_what_the_truth_says(
    tmp_path: Path, annotation_of: Callable[[Path], SubSwath], slope_deg: float, baseline_m: float
) -> None:
    # the radar flies towards 192.7 degrees and looks to its right: ground that rises that way faces it.  Any other
    # direction would also tilt the ground along the track, which the textbook formula does not contain
    terrain, template = ramp(32629, UTM_CENTRE, slope_deg=slope_deg, towards_deg=282.4), morocco_template()
    pair = simulate_pair(
        tmp_path, reference=template, secondary=Acquisition(template, 12, perpendicular_m=baseline_m),
        area=(-8.344, 31.705, -8.328, 31.7205), terrain=terrain, coherence=1.0, rng=np.random.default_rng(8),
        settings=NOISELESS,
    )  # fmt: skip
    truth = bands(pair.truth)
    expected = float(np.nanmedian(truth["geometric"]))
    assert 0.4 < expected < 0.93, "the case must lose something to test anything"
    assert sample_coherence(*registered(pair, terrain, annotation_of, 300.0)) == pytest.approx(expected, abs=0.015)

    # the textbook: shift of the spectrum = f0 B / (R tan(incidence - slope)), Gatelli et al. 1994, Eq. 6
    swath = annotation_of(pair.reference)
    incidence = np.deg2rad(float(np.nanmedian(truth["local_incidence_deg"])))
    _, slant = zero_doppler(path_of(swath), to_ecef(*CENTRE, 350.0)[None])
    shift_hz = swath.radar_frequency_hz * abs(baseline_m) / (slant[0] * np.tan(incidence))
    share = shift_hz / swath.range_bandwidth.processed_hz
    a = swath.range_bandwidth.hamming
    f = np.linspace(-0.5, 0.5, 20_001)

    def window(u: FloatArray) -> FloatArray:
        return np.where(np.abs(u) <= 0.5, a + (1 - a) * np.cos(2 * np.pi * u), 0.0)

    textbook = np.sum(window(f) * window(f + share)) / np.sum(window(f) ** 2)
    assert expected == pytest.approx(textbook, abs=0.01)


def test_bursts_that_start_elsewhere_lose_azimuth_spectrum(morocco_sub_swath: Callable[[str, str], SubSwath]) -> None:
    """The real pair: 13 ms of burst misalignment and Doppler difference, from the annotations alone."""
    first, second = (morocco_sub_swath(d, "IW1") for d in ("20230904", "20230916"))
    grid = first.geolocation
    longitude, latitude = grid.longitude_deg[0:2].mean(axis=0)[8:12], grid.latitude_deg[0:2].mean(axis=0)[8:12]
    from pyproj import Transformer

    x, y = Transformer.from_crs(4326, 32629, always_xy=True).transform(longitude, latitude)
    terrain = flat(32629, 400.0)
    views = [view(s, terrain, np.asarray(x), np.asarray(y)) for s in (first, second)]
    found = geometric_coherence(first, second, *views)
    # by hand: frequency of the TOPS carrier at the points, from the reader's ramp and each orbit's own time
    from insar_mining.sentinel1.tops import tops_ramp

    frequency = []
    for swath, seen in zip((first, second), views, strict=True):
        sample = (2 * seen.slant_range_m / 299_792_458.0 - swath.slant_range_time_s) * swath.range_sampling_rate_hz
        line = (seen.time_s - swath.bursts[0].azimuth_time_s) / swath.azimuth_time_interval_s
        carrier = tops_ramp(swath, 0, sample)
        eta = (line - carrier.mid_line) * carrier.line_interval_s - carrier.reference_time_s
        frequency.append(carrier.doppler_rate_hz_s * eta + carrier.doppler_centroid_hz)
    share = np.abs(frequency[0] - frequency[1]) / first.azimuth_bandwidth.processed_hz
    a = first.azimuth_bandwidth.hamming
    f = np.linspace(-0.5, 0.5, 20_001)

    def window(u: FloatArray) -> FloatArray:
        return np.where(np.abs(u) <= 0.5, a + (1 - a) * np.cos(2 * np.pi * u), 0.0)

    azimuth = np.array([np.sum(window(f) * window(f + s)) for s in share]) / np.sum(window(f) ** 2)
    assert (share > 0.005).all()
    # what is left besides is the 29.5 m baseline's: 29.5 / 5500 of the range band
    np.testing.assert_allclose(found, azimuth, atol=0.006)
    assert (found < azimuth).all()


def test_layover_shadow_and_steep_ground_are_masked() -> None:
    np.testing.assert_array_equal(mask_of(np.array([-5.0, 0.0, 5.0, 10.0, 40.0, 89.0, 90.0])), [2, 2, 1, 0, 0, 0, 3])


@pytest.mark.parametrize(("slope_deg", "mask"), [(-60.0, 3), (0.0, 0), (20.0, 0), (30.0, 1), (45.0, 2)])
def test_slopes_towards_the_radar_lie_over(
    morocco_sub_swath: Callable[[str, str], SubSwath], slope_deg: float, mask: int
) -> None:
    """Seen at 36 degrees: 20 degrees stays clear, 30 comes within 10 of layover, 45 lies over, -60 lies in shadow."""
    swath = morocco_sub_swath("20230904", "IW1")
    path = path_of(swath)
    point = to_ecef(*CENTRE, 350.0)
    time, _ = zero_doppler(path, point[None])
    # azimuth of the satellite as seen from the ground: the slope must fall towards it
    satellite = path.position_m(time[0])
    towards = to_geodetic(point + 2000 * (satellite - point) / np.linalg.norm(satellite - point))
    azimuth = np.rad2deg(np.arctan2((towards[0] - CENTRE[0]) * np.cos(np.deg2rad(CENTRE[1])), towards[1] - CENTRE[1]))
    terrain = ramp(32629, UTM_CENTRE, slope_deg=slope_deg, towards_deg=float(azimuth) + 180.0)
    seen = view(swath, terrain, np.array([UTM_CENTRE[0]]), np.array([UTM_CENTRE[1]]))
    flat_ground = view(swath, flat(32629), np.array([UTM_CENTRE[0]]), np.array([UTM_CENTRE[1]]))
    assert seen.local_incidence_deg[0] == pytest.approx(flat_ground.local_incidence_deg[0] - slope_deg, abs=0.5)
    assert mask_of(seen.local_incidence_deg)[0] == mask


def test_trajectories_are_smooth_to_the_limit_of_float64(morocco_sub_swath: Callable[[str, str], SubSwath]) -> None:
    path = trajectory(morocco_sub_swath("20230904", "IW1").orbit, 23_855.0, 23_865.0)
    step = 0.05
    times = np.arange(23_856.0, 23_864.0, step)
    slope = (path.position_m(times + step) - path.position_m(times - step)) / (2 * step)
    np.testing.assert_allclose(slope, path.velocity_m_s(times), atol=1e-5)
