"""Where sub-swaths meet, with pixels of known coherence: IW2 and IW3, all three, and dates that start elsewhere.

Pixels are held to the limits of one sub-swath alone (test_known_truth.py), with the same functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from scipy.ndimage import uniform_filter
from scipy.optimize import brentq
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.coherence.builtin.engine import BuiltinEngine
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.errors import PartialCoverageWarning, UnlikeScenesWarning
from insar_mining.geo.grid import MapGrid
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Settings, Template, flat, hills, load_template, scene, simulate_stack
from insar_mining.simulate import annotation_xml as edit
from insar_mining.simulate.geometry import locate, to_ecef, trajectory, zero_doppler
from insar_mining.simulate.pixels import responses
from insar_mining.simulate.scene import Acquisition
from insar_mining.simulate.stack import SimulatedStack
from insar_mining.simulate.terrain import Terrain
from tests.end_to_end.test_known_truth import (
    EPSG,
    LEVELS,
    Known,
    expected_coherence,
    zone_errors,
)

STRIPE_M = 300.0
ORDER = np.array([0, 4, 1, 3, 2])  # of the levels, stable ground on the seam; large steps tell best where they lie
LATE_S = 0.08  # of the third date's bursts: six tenths of the azimuth spectrum are left


@dataclass(frozen=True)
class Ground:
    """Products over one piece of ground, and the simulator's own knowledge of it."""

    made: SimulatedStack
    area: BaseGeometry
    terrain: Terrain
    centre: tuple[float, float]

    def plan(self, pair: tuple[int, int] = (0, 1), **how: object) -> CoherencePlan:
        first, second = (self.made.products[index] for index in pair)
        how.setdefault("area", self.area)
        return make_plan(first, second, dem=self.made.dem, out="unused.tif", **how)  # type: ignore[arg-type]

    def map(self, **how: object) -> np.ndarray:
        return mapped(self.plan(**how))  # type: ignore[arg-type]

    def map_of(self, swath: str) -> np.ndarray:
        """The map that one sub-swath alone gives."""
        with pytest.warns(PartialCoverageWarning, match="of the area; the rest of the map is NaN"):
            plan = self.plan(swaths=[swath])
        return mapped(plan)

    def swaths(self) -> list[SubSwath]:
        product = open_product(self.made.products[0])
        return [product.sub_swath(name, "VV") for name in product.swaths]

    def slant_range(self, grid: MapGrid) -> np.ndarray:
        """Slant ranges of cells, by the simulator's geometry."""
        swath = self.swaths()[0]
        start = swath.bursts[0].azimuth_time_s
        x, y = np.meshgrid(grid.x, grid.y)
        place = to_ecef(*grid.lonlat(), self.terrain.ellipsoidal_m(x, y))
        return zero_doppler(trajectory(swath.orbit, start - 2, start + 14), place)[1]

    def known(self, pair: tuple[int, int], measured: np.ndarray, swath: SubSwath, here: np.ndarray) -> Known:
        """A map beside its truth, of which some cells count."""
        plan = self.plan()
        with rasterio.open(self.made.truth[pair]) as source:
            truth = dict(zip(source.descriptions, source.read(), strict=True))
        x, _ = np.meshgrid(plan.grid.x, plan.grid.y)
        inside = np.abs(np.abs(x - self.centre[0]) / STRIPE_M % 1 - 0.5) < 0.42
        return Known(plan, swath, measured, truth, level_of(x, self.centre), inside & here, self.centre)


def level_of(x: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Stripes from the middle outwards, the same on both sides: what one edge does to a shift its mirror takes back."""
    return ORDER[np.minimum(np.abs(x - centre[0]) // STRIPE_M, ORDER.size - 1).astype(int)]


def shift_east_m(got: Known) -> float:
    """Shift of a map against the one that truth predicts: coherence over a window's ground, then the zones' means."""
    # 41 points a cell: with few of them all edges, a whole number of cells apart, would be off alike
    step = got.plan.grid.spacing_m / 41
    x = got.plan.grid.bounds[0] + (np.arange(got.plan.grid.width * 41) + 0.5) * step
    truth = uniform_filter(LEVELS[level_of(x, got.centre)], size=round(28.0 / step))[20::41]
    means = [got.measured[got.interior & (got.level == k)].mean() for k in range(LEVELS.size)]
    model = np.interp(truth, LEVELS[::-1], means[::-1])
    slope = np.gradient(model)[4:-4]
    profile = got.measured.mean(axis=0)
    lines = np.column_stack([slope, np.ones(slope.size)])
    # measured(x) = model(x - shift), to first order model - shift * slope
    return float(np.linalg.lstsq(lines, (model - profile)[4:-4], rcond=None)[0][0] * got.plan.grid.spacing_m)


def mapped(plan: CoherencePlan) -> np.ndarray:
    return BuiltinEngine().map_layers(plan, lambda share: None)["coherence"]


def seams_m(swaths: list[SubSwath]) -> list[float]:
    """Slant ranges in the middle of what one sub-swath's last valid sample and the next one's first see."""
    edges = []
    for swath in swaths:
        first = max(burst.valid_samples.start - 0.5 for burst in swath.bursts)
        last = min(burst.valid_samples.stop - 0.5 for burst in swath.bursts)
        edges.append([float(swath.slant_range_m + edge * swath.range_spacing_m) for edge in (first, last)])
    assert all(far[0] < near[1] for near, far in pairwise(edges)), "they overlap"
    return [(near[1] + far[0]) / 2 for near, far in pairwise(edges)]


def around(swath: SubSwath, time_s: float, slant_range_m: float, half_deg: tuple[float, float]) -> BaseGeometry:
    """A box around what is seen at a time and a slant range, longitudes before latitudes."""
    path = trajectory(swath.orbit, time_s - 2, time_s + 2)
    lon, lat = (float(v) for v in locate(path, time_s, slant_range_m, 540.0))
    return box(lon - half_deg[0], lat - half_deg[1], lon + half_deg[0], lat + half_deg[1])


def between_bursts(swath: SubSwath) -> float:
    """Time in the middle between the fifth burst's last line and the sixth's first."""
    one, other = swath.bursts[4], swath.bursts[5]
    last = one.azimuth_time_s + (swath.lines_per_burst - 1) * swath.azimuth_time_interval_s
    return (last + other.azimuth_time_s) / 2


def cuts_of_each_date(monkeypatch: pytest.MonkeyPatch, swaths: int, more: list[tuple[int, int]]) -> None:
    """Let each date hold so many bursts more, before and after those that see the area."""
    original, calls = scene._cut, iter(range(100))

    def cut(*what: object) -> edit.Cut:
        before, after = more[next(calls) // swaths]
        found = original(*what)  # type: ignore[arg-type]
        return replace(found, first_burst=found.first_burst - before, stop_burst=found.stop_burst + after)

    monkeypatch.setattr(scene, "_cut", cut)


# IW2 and IW3 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(
    morocco_safe: Callable[[str], Path],
    morocco_sub_swath: Callable[[str, str], SubSwath],
    tmp_path_factory: pytest.TempPathFactory,
) -> Ground:
    """Three dates where two bursts of IW2 and IW3 meet, over hills; other numbers of bursts, the third starts late."""
    swaths = [morocco_sub_swath("20230904", name) for name in ("IW2", "IW3")]
    area = around(swaths[0], between_bursts(swaths[0]), seams_m(swaths)[0], (0.0157, 0.0054))
    centre = Transformer.from_crs(4326, EPSG, always_xy=True).transform(area.centroid.x, area.centroid.y)
    terrain = hills(EPSG, centre, relief_m=400.0)
    first, second = (load_template(morocco_safe(date)) for date in ("20230904", "20230916"))
    with pytest.MonkeyPatch.context() as patched:
        cuts_of_each_date(patched, 2, [(1, 0), (0, 1), (1, 1)])
        made = simulate_stack(
            tmp_path_factory.mktemp("far"),
            [Acquisition(first), Acquisition(second), Acquisition(first, 24, LATE_S, 40.0)],
            swaths=("IW2", "IW3"),
            area=area,
            terrain=terrain,
            coherence=lambda step: lambda x, y: LEVELS[level_of(x, centre)] if step == 0 else np.ones(x.shape),
            rng=np.random.default_rng(23),
            settings=Settings(margin_m=150.0),
            truth_pairs=((0, 1), (0, 2)),
        )
    return Ground(made, area, terrain, centre)


@pytest.fixture(scope="module")
def far_map(far: Ground) -> np.ndarray:
    return far.map()


def sides_of(ground: Ground) -> list[np.ndarray]:
    """Cells of each sub-swath, with those on the very seams in none."""
    slant_range = ground.slant_range(ground.plan().grid)
    edges = [0.0, *seams_m(ground.swaths()), 1e7]
    return [(slant_range > low + 1) & (slant_range < high - 1) for low, high in pairwise(edges)]


def errors_of(ground: Ground, pair: tuple[int, int], got: np.ndarray) -> np.ndarray:
    """Mean error of each level: cells of each sub-swath against the expectation of its own spectra."""
    sides, swaths = sides_of(ground), ground.swaths()
    weights = np.array([[(k.interior & (k.level == i)).sum() for i in range(LEVELS.size)]
                        for k in (ground.known(pair, got, *of) for of in zip(swaths, sides, strict=True))])  # fmt: skip
    errors = [zone_errors(ground.known(pair, got, *of)) for of in zip(swaths, sides, strict=True)]
    return np.sum(weights * errors, axis=0) / weights.sum(axis=0)


def test_two_far_sub_swaths_show_the_truth(far: Ground, far_map: np.ndarray) -> None:
    """No gap; stable ground within 0.006, all levels within 0.02 of their expectation, nothing 3 m east or west."""
    plan = far.plan()
    assert len(plan.bursts) >= 3
    assert {pair.swath for pair in plan.bursts} == {"IW2", "IW3"}
    assert np.isfinite(far_map).all()
    errors = errors_of(far, (0, 1), far_map)
    assert abs(errors[0]) < 0.006, errors
    assert np.abs(errors).max() < 0.02, errors
    everywhere = np.ones(plan.grid.shape, dtype=bool)
    assert abs(shift_east_m(far.known((0, 1), far_map, far.swaths()[0], everywhere))) < 3.0


def test_two_far_sub_swaths_meet_in_the_middle(far: Ground, far_map: np.ndarray) -> None:
    """Each side is to 1e-5 what its sub-swath alone shows; at the seam there is neither drop nor step."""
    names = [swath.swath for swath in far.swaths()]
    alone = [far.map_of(name) for name in names]
    for side, values in zip(sides_of(far), alone, strict=True):
        assert side.sum() > 2500
        np.testing.assert_allclose(far_map[side], values[side], rtol=0, atol=1e-5)
    got = far.known((0, 1), far_map, far.swaths()[0], np.ones(far_map.shape, dtype=bool))
    residual = far_map - np.choose(
        got.level, [far_map[got.interior & (got.level == index)].mean() for index in range(LEVELS.size)]
    )
    from_seam = far.slant_range(got.plan.grid) - seams_m(far.swaths())[0]
    near, stable = np.abs(from_seam) < 60, got.interior & (got.level == 0)
    assert near[stable].sum() > 100
    assert abs(residual[stable & near].mean()) < 0.02
    assert abs(residual[got.interior & near].mean()) < 0.02
    before, behind = (residual[stable & (np.abs(from_seam - middle) < 120)].mean() for middle in (-120, 120))
    assert abs(before - behind) < 0.02


def test_dates_that_start_elsewhere(far: Ground) -> None:
    """Other numbers of bursts match by time; bursts 0.08 s late cost what the common azimuth spectrum says."""
    with pytest.warns(UnlikeScenesWarning, match=r"share only (5\d|6\d)%"):
        plan = far.plan((0, 2))
    indices = {(p.swath, p.reference_index, p.secondary_index) for p in far.plan().bursts}
    assert all(reference == secondary + 1 for _, reference, secondary in indices)
    counts = [[len(open_product(path).sub_swath(name, "VV").bursts) for name in ("IW2", "IW3")]
              for path in far.made.products]  # fmt: skip
    assert len({tuple(count) for count in counts}) > 1
    got = mapped(plan)
    assert np.isfinite(got).all()
    with rasterio.open(far.made.truth[0, 2]) as source:
        loss = source.read(2 + 1)
    assert 0.4 < np.nanmean(loss) < 0.8
    for swath, side in zip(far.swaths(), sides_of(far), strict=True):
        known = far.known((0, 2), got, swath, side)
        for level in (0, 4):  # stable, decorrelated
            zone = known.interior & (known.level == level)
            geometric, truth = (float(known.truth[name][zone].mean()) for name in ("geometric", "coherence"))
            error = float(got[zone].mean()) - expected_apart(swath, truth / geometric, geometric)
            assert abs(error) < (0.012 if level == 0 else 0.02), (swath.swath, level, error)


def expected_apart(swath: SubSwath, truth: float, geometric: float) -> float:
    """Mean of the estimator where the secondary's azimuth spectrum lies so far off that `geometric` is left."""
    rng, shape = np.random.default_rng(7), (512, 1024)
    azimuth, range_ = responses(swath)
    shift = brentq(lambda f: float(azimuth.overlap(f)) - geometric, 0.0, azimuth.band)
    f = np.fft.fftfreq(shape[0])
    ground, fresh = (np.fft.fft2(rng.normal(size=shape) + 1j * rng.normal(size=shape)) for _ in range(2))
    across = range_.spectrum(np.fft.fftfreq(shape[1]))
    first = np.fft.ifft2(ground * azimuth.spectrum(f)[:, None] * across)
    moved = azimuth.spectrum((f - shift + 0.5) % 1 - 0.5)[:, None]
    second = np.fft.ifft2((truth * ground + np.sqrt(1 - truth**2) * fresh) * moved * across)
    cross = first * second.conj()
    real, imag, one, other = (
        uniform_filter(part, size=(2, 7), mode="wrap")
        for part in (cross.real, cross.imag, np.abs(first) ** 2, np.abs(second) ** 2)
    )
    return float(np.mean(np.hypot(real, imag) / np.sqrt(one * other)))


def parts_equal(ground: Ground, whole: np.ndarray, boxes: list[tuple[int, int, int, int]]) -> None:
    """Maps of some boxes (top, left, height, width) are those cells of the whole map, bit for bit."""
    large = ground.plan().grid
    for top, left, height, width in boxes:
        west, north = large.west_m + left * large.spacing_m, large.north_m - top * large.spacing_m
        small = MapGrid(large.epsg, west, north, large.spacing_m, width, height)
        np.testing.assert_array_equal(ground.map(grid=small), whole[top : top + height, left : left + width])


def test_a_small_map_across_the_seam_is_part_of_the_large(far: Ground, far_map: np.ndarray) -> None:
    height, width = far_map.shape
    parts_equal(far, far_map, [(height // 2 - 9, width // 2 - 11, 19, 24), (0, width // 2 - 20, height, 30)])


# All three -------------------------------------------------------------------------------------------


def _later(xml: bytes, by_s: float) -> bytes:
    """Move a sub-swath in range: its first sample, and what its polynomials count from."""

    def moved(match: re.Match[bytes]) -> bytes:
        return b"%s%.15e%s" % (match[1], float(match[2]) + by_s, match[3])

    return re.sub(rb"(<(?:slantRangeTime|t0)>)([^<]+)(</)", moved, xml)


@pytest.fixture(scope="module")
def three(morocco_safe: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Two dates over all three sub-swaths, of which IW2 is cut to 4 km and IW3 moved to meet it: 80 km are too many."""

    def narrowed(date: str) -> Template:
        template = load_template(morocco_safe(date))
        xml = {name: template.annotation(name, "VV") for name in ("IW1", "IW2", "IW3")}
        before = {name: parse_annotation(text, source=name) for name, text in xml.items()}
        first = max(burst.valid_samples.start for burst in before["IW2"].bursts)
        stop = first + 1100
        xml["IW2"] = edit.cut_annotation(xml["IW2"], edit.Cut(0, len(before["IW2"].bursts), 0, stop))
        # 300 samples of what IW2 still sees
        far = before["IW3"]
        wanted = float(before["IW2"].slant_range_time_of(stop - 300))
        first = max(burst.valid_samples.start for burst in far.bursts)
        xml["IW3"] = _later(xml["IW3"], wanted - float(far.slant_range_time_of(first)))
        return Template(template.name, {(name, "VV"): text for name, text in xml.items()}, template.manifest)

    templates = [narrowed(date) for date in ("20230904", "20230916")]
    swaths = [parse_annotation(templates[0].annotation(name, "VV"), source=name) for name in ("IW1", "IW2", "IW3")]
    middle = float(np.mean(seams_m(swaths)))
    swath = swaths[1]
    time = swath.bursts[4].azimuth_time_s + swath.lines_per_burst / 2 * swath.azimuth_time_interval_s
    area = around(swath, time, middle, (0.022, 0.003))
    terrain = flat(EPSG, 500.0)
    centre = Transformer.from_crs(4326, EPSG, always_xy=True).transform(area.centroid.x, area.centroid.y)
    made = simulate_stack(
        tmp_path_factory.mktemp("three"),
        [Acquisition(template) for template in templates],
        swaths=("IW1", "IW2", "IW3"),
        area=area,
        terrain=terrain,
        coherence=lambda step: lambda x, y: np.full(x.shape, LEVELS[0]),
        rng=np.random.default_rng(31),
        settings=Settings(margin_m=150.0),
    )
    return Ground(made, area, terrain, centre)


@pytest.fixture(scope="module")
def three_map(three: Ground) -> np.ndarray:
    return three.map()


def test_three_sub_swaths_show_the_truth(three: Ground, three_map: np.ndarray) -> None:
    """Each of the three shows its part, without a gap, drop or step, and within 0.006 of its expectation."""
    plan = three.plan()
    assert {pair.swath for pair in plan.bursts} == {"IW1", "IW2", "IW3"}
    assert np.isfinite(three_map).all()
    sides, swaths = sides_of(three), three.swaths()
    for swath, side in zip(swaths, sides, strict=True):
        assert side.sum() > 700
        np.testing.assert_allclose(three_map[side], three.map_of(swath.swath)[side], rtol=0, atol=1e-5)
        truth = float(three.known((0, 1), three_map, swath, side).truth["coherence"][side].mean())
        assert abs(three_map[side].mean() - expected_coherence(swath, truth)) < 0.006
    slant_range = three.slant_range(plan.grid)
    for seam in seams_m(swaths):
        near = np.abs(slant_range - seam) < 60
        assert near.sum() > 200
        assert abs(three_map[near].mean() - three_map.mean()) < 0.02


def test_a_small_map_across_all_three_is_part_of_the_large(three: Ground, three_map: np.ndarray) -> None:
    height, width = three_map.shape
    parts_equal(three, three_map, [(5, 11, height - 9, width - 20)])
