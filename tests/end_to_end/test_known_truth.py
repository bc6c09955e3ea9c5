"""The built-in engine on simulated pairs whose coherence is known.

The pairs carry the real annotations and orbits of 2023-09-04 and 2023-09-16 (baseline
about 29 m).  Neither the geometry nor the carrier of the simulation shares code with
the engine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from scipy.interpolate import griddata
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.optimize import curve_fit
from scipy.special import ndtr
from shapely.geometry import box

from insar_mining.coherence.builtin.images.burst import Side, valid_pixels
from insar_mining.coherence.builtin.images.dates import Phases, Relief, Resampler
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.geo.elevation import read_dem
from insar_mining.geometry.coregister import Region, field_at_posts
from insar_mining.geometry.terrain import dem_arrays
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Template, flat, hills, load_template, simulate_pair

EPSG = 32629
LEVELS = np.array([0.9, 0.6, 0.35, 0.2, 0.0])
BLOCK_M = 600.0
HALF_BOX_DEG = 0.018

SCENES = [
    ("IW1", "inside", "flat"),
    ("IW1", "seam", "hills"),
    ("IW2", "inside", "hills"),
    ("IW2", "seam", "flat"),
    ("IW3", "inside", "flat"),
    ("IW3", "seam", "hills"),
]


@dataclass(frozen=True)
class Known:
    """A mapped pair beside its truth."""

    plan: CoherencePlan
    swath: SubSwath
    measured: np.ndarray
    truth: dict[str, np.ndarray]
    level: np.ndarray
    interior: np.ndarray
    centre: tuple[float, float]


def _ground(swath: SubSwath, where: str) -> tuple[float, float]:
    """A tie point's longitude and latitude: mid-swath, inside burst 5 or on the seam of bursts 5 and 6."""
    burst, after = swath.bursts[4], swath.bursts[5]
    length = swath.lines_per_burst * swath.azimuth_time_interval_s
    time = (
        burst.azimuth_time_s + length / 2
        if where == "inside"
        else (burst.azimuth_time_s + length + after.azimuth_time_s) / 2
    )
    grid = swath.geolocation
    column = grid.line.shape[1] // 2
    return tuple(
        float(np.interp(time, grid.azimuth_time_s[:, column], values[:, column]))
        for values in (grid.longitude_deg, grid.latitude_deg)
    )


def _level_index(x: np.ndarray, y: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Blocks of 600 m; neighbours in a row differ by one level, neighbours in a column by two."""
    column = np.floor((x - centre[0]) / BLOCK_M).astype(int)
    row = np.floor((y - centre[1]) / BLOCK_M).astype(int)
    return (column + 2 * row) % LEVELS.size


@pytest.fixture(scope="session")
def templates(morocco_safe) -> list[Template]:
    return [load_template(morocco_safe(date)) for date in ("20230904", "20230916")]


@pytest.fixture(scope="session")
def known(templates, morocco_sub_swath, tmp_path_factory):
    """A function that simulates and maps a scene, once per session."""

    @functools.cache
    def make(swath: str, where: str, relief: str) -> Known:
        out = tmp_path_factory.mktemp("known") / f"{swath} {where} {relief}"
        return simulate_and_map(out, templates, morocco_sub_swath("20230904", swath), where, relief)

    return make


def simulate_and_map(out: Path, templates: list[Template], swath: SubSwath, where: str, relief: str) -> Known:
    """Simulate a pair with blocks of five levels of coherence, and map it with the engine."""
    lon, lat = _ground(swath, where)
    centre = Transformer.from_crs(4326, EPSG, always_xy=True).transform(lon, lat)
    area = box(lon - HALF_BOX_DEG, lat - HALF_BOX_DEG, lon + HALF_BOX_DEG, lat + HALF_BOX_DEG)
    pair = simulate_pair(
        out,
        reference=templates[0],
        secondary=templates[1],
        swaths=swath.swath,
        area=area,
        terrain=flat(EPSG) if relief == "flat" else hills(EPSG, centre, relief_m=900.0),
        coherence=lambda x, y: LEVELS[_level_index(x, y, centre)],
        rng=np.random.default_rng([*f"{swath.swath} {where} {relief}".encode()]),
    )
    plan = make_plan(pair.reference, pair.secondary, area=area, dem=pair.dem, out=out / "coherence.tif")
    with rasterio.open(coherence(plan)) as source:
        measured = source.read(1)
    with rasterio.open(pair.truth) as source:
        truth = dict(zip(source.descriptions, source.read(), strict=True))
    x, y = np.meshgrid(plan.grid.x, plan.grid.y)
    # cells whose window lies wholly inside one block
    offset = np.maximum(np.abs((x - centre[0]) / BLOCK_M % 1 - 0.5), np.abs((y - centre[1]) / BLOCK_M % 1 - 0.5))
    return Known(plan, swath, measured, truth, _level_index(x, y, centre), offset < 0.42, centre)


@functools.cache
def _expected(swath: str, bandwidths: tuple[float, ...], truth: float) -> float:
    """Mean of the published estimator over speckle of the processor's spectrum, by plain numpy and scipy."""
    rng = np.random.default_rng(7)
    shape = (512, 1024)  # 37,000 windows: 0.0003 at 0.9, 0.001 at 0
    azimuth, azimuth_window, lines_hz, range_, range_window, samples_hz = bandwidths
    filters = []
    for size, rate, band, hamming in (
        (shape[0], lines_hz, azimuth, azimuth_window),
        (shape[1], samples_hz, range_, range_window),
    ):
        f = np.fft.fftfreq(size, 1 / rate)
        filters.append(np.where(abs(f) < band / 2, hamming + (1 - hamming) * np.cos(2 * np.pi * f / band), 0))
    first, other = (
        np.fft.ifft2(np.fft.fft2(rng.normal(size=shape) + 1j * rng.normal(size=shape)) * np.outer(*filters))
        for _ in range(2)
    )
    second = truth * first + np.sqrt(1 - truth**2) * other
    cross = first * second.conj()
    mean = functools.partial(uniform_filter, size=(2, 7), mode="wrap")
    return float(
        np.mean(np.hypot(mean(cross.real), mean(cross.imag)) / np.sqrt(mean(abs(first) ** 2) * mean(abs(second) ** 2)))
    )


def expected_coherence(swath: SubSwath, truth: float) -> float:
    a, r = swath.azimuth_bandwidth, swath.range_bandwidth
    values = (
        a.processed_hz,
        a.hamming,
        swath.azimuth_frequency_hz,
        r.processed_hz,
        r.hamming,
        swath.range_sampling_rate_hz,
    )
    return _expected(swath.swath, values, round(truth, 3))


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=" ".join)
def test_zone_means(known, scene):
    """In every zone the mean is within 0.02 of the estimator's expectation, on stable ground within 0.006.

    Zones of true 0.9 (stable) / 0.6 / 0.35 / 0.2 / 0; every cell has a value.
    """
    got = known(*scene)
    assert np.isfinite(got.measured).all()
    errors = zone_errors(got)
    assert abs(errors[0]) < 0.006, errors
    assert np.abs(errors).max() < 0.02, errors


def zone_errors(got: Known) -> np.ndarray:
    """Mean measured coherence minus the estimator's expectation, for each level."""
    errors = []
    for index in range(LEVELS.size):
        zone = got.interior & (got.level == index)
        truth = float(np.nanmean(got.truth["coherence"][zone]))
        errors.append(got.measured[zone].mean() - expected_coherence(got.swath, truth))
    return np.array(errors)


@pytest.mark.slow
@pytest.mark.parametrize("scene", [s for s in SCENES if s[1] == "seam"], ids=" ".join)
def test_no_drop_at_the_seam(known, scene):
    """Within 60 m of the seam of two bursts, coherence minus its zone's mean stays within noise."""
    got = known(*scene)
    assert len(got.plan.bursts) == 2
    x, y = np.meshgrid(got.plan.grid.x, got.plan.grid.y)
    near = np.abs(_lines_from_seam(got, x, y)) < 4
    residual = got.measured.copy()
    for index in range(LEVELS.size):
        residual[got.level == index] -= got.measured[got.interior & (got.level == index)].mean()
    stable = got.interior & (got.level == 0)
    assert near[stable].sum() > 100
    assert abs(residual[stable & near].mean()) < 0.02
    assert abs(residual[got.interior & near].mean()) < 0.02


def _lines_from_seam(got: Known, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of cells from the seam in lines, by bilinear interpolation of the annotation's tie points."""
    grid = got.swath.geolocation
    to_map = Transformer.from_crs(4326, EPSG, always_xy=True)
    px, py = to_map.transform(grid.longitude_deg.ravel(), grid.latitude_deg.ravel())
    time = griddata((px, py), grid.azimuth_time_s.ravel(), (x, y), method="cubic")
    first, second = got.swath.bursts[4], got.swath.bursts[5]
    last_line = first.azimuth_time_s + (got.swath.lines_per_burst - 1) * got.swath.azimuth_time_interval_s
    return (time - (last_line + second.azimuth_time_s) / 2) / got.swath.azimuth_time_interval_s


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=" ".join)
def test_map_lies_where_the_truth_lies(known, scene):
    """The map's mean shift against the truth is at most 3 m in either direction."""
    shift = map_shift_m(known(*scene))
    assert np.abs(shift).max() < 3.0, shift


def map_shift_m(got: Known) -> np.ndarray:
    """Shift of the measured map against the map that truth predicts: metres east and north."""
    measured = gaussian_filter(got.measured, 1.0)
    model = gaussian_filter(_model_map(got), 1.0)
    down, right = np.gradient(model)
    inside = slice(4, -4), slice(4, -4)
    slopes = np.column_stack([right[inside].ravel(), -down[inside].ravel(), np.ones(right[inside].size)])
    # measured(x) = model(x - shift), to first order model - shift . gradient
    shift, *_ = np.linalg.lstsq(slopes, (model - measured)[inside].ravel(), rcond=None)
    return shift[:2] * got.plan.grid.spacing_m


def _model_map(got: Known, finer: int = 5) -> np.ndarray:
    """The map that truth predicts: coherence averaged over a window's ground (28 m), then the estimator's mean.

    A window across an edge averages coherence, not the estimator's output, so the edge of the
    measured map lies a few metres inside the more coherent side; the model has the same bias.
    """
    step = got.plan.grid.spacing_m / finer
    x = got.plan.grid.bounds[0] + (np.arange(got.plan.grid.width * finer) + 0.5) * step
    y = got.plan.grid.bounds[3] - (np.arange(got.plan.grid.height * finer) + 0.5) * step
    truth = LEVELS[_level_index(*np.meshgrid(x, y), got.centre)]
    window = uniform_filter(truth, size=round(28.0 / step))[finer // 2 :: finer, finer // 2 :: finer]
    means = [got.measured[got.interior & (got.level == k)].mean() for k in range(LEVELS.size)]
    return np.interp(window, LEVELS[::-1], means[::-1])


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=" ".join)
def test_zone_edges(known, scene):
    """Edges between stable (0.9) and destroyed (0) ground lie within half a cell (10 m) of the truth."""
    offset, width, low, high = edge(known(*scene))
    assert abs(offset) < 10.0
    assert abs(width) < 40.0  # window (28 m) and cell (20 m) blur an edge, nothing else does
    assert low < 0.45 < 0.85 < high


def edge(got: Known) -> np.ndarray:
    """Fit a blurred step across all such edges: offset and width in metres, coherence on either side."""
    distance, value = _across_edges(got, stable=0, destroyed=4)
    assert distance.size > 500

    def step(d, offset, width, low, high):
        return low + (high - low) * ndtr((d - offset) / width)

    return curve_fit(step, distance, value, p0=(0.0, 15.0, 0.35, 0.9))[0]


def _across_edges(got: Known, *, stable: int, destroyed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells within 150 m of a north-south edge: distance into the stable side, coherence."""
    x, y = np.meshgrid(got.plan.grid.x, got.plan.grid.y)
    column = (x - got.centre[0]) / BLOCK_M
    nearest = np.round(column)
    away_from_corners = np.abs((y - got.centre[1]) / BLOCK_M % 1 - 0.5) < 0.42
    left = _level_index(got.centre[0] + (nearest - 0.5) * BLOCK_M, y, got.centre)
    right = _level_index(got.centre[0] + (nearest + 0.5) * BLOCK_M, y, got.centre)
    near = away_from_corners & (np.abs(column - nearest) * BLOCK_M < 150)
    distances, values = [], []
    for sign, one, other in ((1, destroyed, stable), (-1, stable, destroyed)):
        cells = near & (left == one) & (right == other)
        distances.append(sign * (column - nearest)[cells] * BLOCK_M)
        values.append(got.measured[cells])
    return np.concatenate(distances), np.concatenate(values)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=" ".join)
def test_phase_of_stable_ground_is_flat(known, scene):
    """With flat-earth and topographic phase removed, the phase over stable ground is 0 within 0.1 rad.

    Means over 1024 pixels; the simulation holds no deformation and no atmosphere.
    """
    phases = stable_phases(known(*scene))
    assert phases.size > 10
    assert np.abs(phases).max() < 0.1, (phases.mean(), phases.std())


def stable_phases(got: Known) -> np.ndarray:
    """Phase of the flattened interferogram over stable ground, one value per 16 lines x 64 samples."""
    plan = got.plan
    first, second = open_product(plan.scenes.reference.path), open_product(plan.scenes.secondary.path)
    dem = dem_arrays(read_dem(plan.elevation.path, plan.grid.bounds_lonlat(), margin_deg=0.02))
    to_map = Transformer.from_crs(4326, EPSG, always_xy=True)
    phases = []
    for pair in plan.bursts:
        sides = [
            Side(product, product.sub_swath(pair.swath, plan.polarisation), index)
            for product, index in ((first, pair.reference_index), (second, pair.secondary_index))
        ]
        valid = sides[0].swath.bursts[pair.reference_index]
        whole = Region(
            valid.valid_lines.start, valid.valid_lines.stop, valid.valid_samples.start, valid.valid_samples.stop
        )
        relief = Relief(whole.aligned(), sides[0], dem)
        resampler = Resampler.of(relief, sides[1], sides[0], Phases())
        for start in range(whole.line_start, whole.line_stop - 16, 16):
            block = whole.aligned().lines_between(start, start + 16)
            reference = valid_pixels(sides[0], block)
            interferogram = reference * resampler.lines(block).conj()
            height = relief.heights(start, start + 16)
            lon, lat = (field_at_posts(relief.ground, k, height, block.line_start, block.sample_start) for k in (0, 1))
            x, y = to_map.transform(lon, lat)
            for p in range(0, block.posts - 17, 16):
                place = x[:, p : p + 16], y[:, p : p + 16]
                values = interferogram[:, p * 4 : (p + 16) * 4]
                if not (np.isfinite(place).all() and np.isfinite(values).all()):
                    continue
                w, s, e, n = plan.grid.bounds
                simulated = (w + 100 < place[0]) & (place[0] < e - 100) & (s + 100 < place[1]) & (place[1] < n - 100)
                if (simulated & (_level_index(*place, got.centre) == 0)).all():
                    phases.append(np.angle(values.sum()))
    return np.array(phases)
