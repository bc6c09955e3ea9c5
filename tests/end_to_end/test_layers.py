"""Everything that a recipe adds: beside coherence, or to the way in which it is estimated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import rasterio

from insar_mining.coherence.builtin import layers, mapbands
from insar_mining.coherence.builtin.engine import BuiltinEngine
from insar_mining.coherence.builtin.extras.common_band import spectral_shift
from insar_mining.coherence.builtin.layers import AMPLITUDES
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import make_plan
from insar_mining.coherence.plan.recipe import DESCRIPTIONS, Recipe, Window
from insar_mining.coherence.snap.engine import SnapEngine
from insar_mining.errors import EngineError, OptionError
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.coregister import Region
from insar_mining.options.models import BandName
from insar_mining.sentinel1.baselines import incidence_deg
from insar_mining.sentinel1.product import Product, open_product
from insar_mining.simulate.spectrum import Response

ALL_BANDS = get_args(BandName)


def _plan(stack, pair=(1, 2), reference=0, **how):
    made, area = stack
    first, second = (made.products[i] for i in pair)
    how.setdefault("out", Path("unused.tif"))
    return make_plan(first, second, dem=made.dem, area=area, stack_reference=made.products[reference], **how)


def _layers(plan):
    return BuiltinEngine().map_layers(plan, lambda share: None)


@pytest.fixture(scope="module")
def plain(stack):
    return _layers(_plan(stack))["coherence"]


@pytest.fixture(scope="module")
def full(stack):
    """All bands of the pair of dates 1 and 2, 240 m apart, on the geometry of date 0."""
    return _layers(_plan(stack, bands=ALL_BANDS))


@pytest.fixture(scope="module")
def truth(stack):
    with rasterio.open(stack[0].truth[1, 2]) as source:
        return dict(zip(source.descriptions, source.read(), strict=True))


def test_bands_leave_coherence_untouched(plain, full):
    """No band, nor the exponent of the phase filter, changes a value of coherence."""
    np.testing.assert_array_equal(full["coherence"], plain)
    assert set(full) == {"coherence", *ALL_BANDS}
    for name, values in full.items():
        assert values.shape == plain.shape
        assert np.isfinite(values[np.isfinite(plain)]).all(), name


def test_the_product_names_its_bands(stack, tmp_path):
    """Bands follow coherence in the order of the recipe, described in the GeoTIFF and in the STAC item."""
    plan = _plan(stack, bands=("incidence", "unbiased"), out=tmp_path / "map.tif")
    with rasterio.open(coherence(plan)) as source:
        assert source.descriptions == ("coherence", "incidence", "unbiased")
        assert source.tags()["ESTIMATOR"] == "boxcar"
        assert float(source.tags()["LOOKS"]) == pytest.approx(7.0, abs=0.1)
        assert source.tags()["LOOKS_MEASURED"].endswith(" pieces of IW2)")
    item = json.loads((tmp_path / "map.json").read_text())
    bands = item["assets"]["coherence"]["bands"]
    assert [(band["name"], band["unit"]) for band in bands] == [
        ("coherence", "1"),
        ("incidence", "deg"),
        ("unbiased", "1"),
    ]
    assert plan.sha256 != _plan(stack).sha256


def test_a_mine_of_one_kilometre_has_measured_looks(stack):
    """70 lines x 260 samples are too few; with what the burst shows around them 4 pieces and more tell the number."""
    made, area = stack
    mine = area.centroid.buffer(0.005, cap_style="square")
    engine = BuiltinEngine()
    engine.map_layers(_plan((made, mine)), lambda share: None)
    annotated, measured = float(engine.notes["LOOKS"]), float(engine.notes["LOOKS_MEASURED"].split()[0])
    assert annotated == pytest.approx(7.0, abs=0.1)
    assert measured == pytest.approx(annotated, rel=0.15)
    assert measured != annotated  # another way to the number
    assert int(engine.notes["LOOKS_MEASURED"].split()[3]) >= 4


def test_ground_without_pixels_around_has_none(stack, monkeypatch):
    """A stack reference whose burst is empty around the mine: the tag says why, the map is made."""
    monkeypatch.setattr(layers, "LOOKS_LINES", 100)
    engine = BuiltinEngine()
    engine.map_layers(_plan(stack), lambda share: None)
    assert engine.notes["LOOKS_MEASURED"].startswith("not measured: ")
    assert "tiles of 64 x 512" in engine.notes["LOOKS_MEASURED"]


def test_looks_are_read_within_the_valid_burst(stack):
    """At the rim of a burst the piece moves inward and keeps its size; in its middle it lies around the mine."""
    side = BuiltinEngine()._scene_of(_plan(stack)).side(_plan(stack).bursts[0])
    lines, samples = side.burst.valid_lines, side.burst.valid_samples
    for first, left in ((lines.start, samples.start), (lines.stop - 70, samples.stop - 260), (700, 600)):
        piece = layers._piece_around(Region(first, first + 70, left, left + 260), side)
        assert piece.shape == (384, min(4096, samples.stop - samples.start))
        assert piece.within(lines, samples) == piece
        assert piece.line_start <= first
        assert first + 70 <= piece.line_stop
        assert piece.sample_start <= left
        assert left + 260 <= piece.sample_stop


def test_phase_of_still_ground_is_flat(full, truth):
    """Over ground of coherence above 0.8, phase is 0 to 0.1 rad in the mean, and the filter halves its scatter."""
    still = (truth["coherence"] > 0.8) & np.isfinite(full["phase"])
    assert still.mean() > 0.2
    for name in ("phase", "filtered_phase"):
        assert abs(np.angle(np.exp(1j * full[name][still]).mean())) < 0.1
    assert full["filtered_phase"][still].std() < 0.5 * full["phase"][still].std()


def test_the_phase_filter_takes_its_parameters(stack, full):
    """Exponent 0 gives the phase back; a threshold leaves ground of less coherence unfiltered, the rest filtered."""
    still = _layers(_plan(stack, bands=("phase", "filtered_phase"), goldstein_alpha=0.0))
    difference = np.angle(np.exp(1j * (still["filtered_phase"] - still["phase"])))
    assert np.nanmax(np.abs(difference)) < 1e-3
    recipe = dict(bands=("phase", "filtered_phase"), goldstein_fft_size=32, goldstein_coherence_threshold=0.7)
    masked = _layers(_plan(stack, **recipe))
    low, high = full["coherence"] < 0.3, full["coherence"] > 0.9
    change = np.abs(np.angle(np.exp(1j * (masked["filtered_phase"] - masked["phase"]))))
    assert np.nanmedian(change[low]) < 0.02
    assert np.nanmedian(change[high]) > 0.03
    # where coherence decides, coherent ground is filtered less than the rest; with the exponent 1 more
    recipe = dict(bands=("phase", "filtered_phase"), goldstein_adaptive_alpha=True)
    decided = _layers(_plan(stack, **recipe))
    gentle = np.abs(np.angle(np.exp(1j * (decided["filtered_phase"] - full["phase"]))))
    usual = np.abs(np.angle(np.exp(1j * (full["filtered_phase"] - full["phase"]))))
    assert 0.005 < np.nanmedian(gentle[high]) < 0.8 * np.nanmedian(usual[high])
    assert np.nanmedian(gentle[low]) > 0.5 * np.nanmedian(usual[low])


def test_incidence_and_mask_are_those_of_the_simulator(full, truth):
    """The simulator's own incidence angle is met to 1 degree in the median; neither sees layover on these hills."""
    known = np.isfinite(truth["local_incidence_deg"]) & np.isfinite(full["incidence"])
    assert np.median(np.abs(full["incidence"] - truth["local_incidence_deg"])[known]) < 1.0
    layover = (full["mask"].astype(int) & 3) > 0
    assert not (truth["mask"][known] >= 2).any()
    assert not layover[known].any()


def test_baseline_band_agrees_with_the_plan(stack, full):
    """At the middle of the map the band is the plan's baseline to 0.5 m; across 2 km it changes by less than 1 %."""
    plan = _plan(stack)
    middle = full["baseline"][plan.grid.height // 2, plan.grid.width // 2]
    assert middle == pytest.approx(plan.perpendicular_baseline_m, abs=0.5)
    assert np.ptp(full["baseline"]) < 0.01 * abs(middle)


def test_intervals_hold_the_truth(full, truth):
    """Per cell the 95 % interval holds temporal x geometric x thermal coherence in at least 90 % of cells.

    Neighbouring ground of another coherence is inside some windows, the simulator's relief is rough, and
    that truth is a mean over a cell: the pure statistics (93 %) are shown on speckle alone.
    """
    clear = np.isfinite(truth["coherence"]) & (truth["mask"] == 0) & np.isfinite(full["lower"])
    inside = (full["lower"] <= truth["coherence"]) & (truth["coherence"] <= full["upper"])
    assert inside[clear].mean() > 0.90
    assert (full["lower"] <= full["unbiased"] + 1e-6)[clear].all()
    assert (full["unbiased"] <= full["upper"] + 1e-6)[clear].all()


def test_common_band_returns_what_the_baseline_takes(stack, plain, truth):
    """At 240 m still ground gains what theory says its range spectra have lost, 0.01, to 0.003."""
    plan = _plan(stack, common_band=True)
    engine = BuiltinEngine()
    got = engine.map_layers(plan, lambda share: None)["coherence"]
    swath = open_product(plan.scenes.reference.path).sub_swath("IW2", "VV")
    still = (truth["temporal"] > 0.9) & (truth["mask"] == 0) & np.isfinite(got)
    incidence = truth["local_incidence_deg"][still].astype(float)
    shift = spectral_shift(
        plan.perpendicular_baseline_m, 870e3, incidence, 0.0,
        wavelength_m=swath.wavelength_m, range_spacing_m=swath.range_spacing_m,
    )  # fmt: skip
    kept = Response.of(swath.range_bandwidth, swath.range_sampling_rate_hz).overlap(shift)
    gain = (plain[still] / kept - plain[still]).mean()
    assert gain > 0.008
    assert (got[still] - plain[still]).mean() == pytest.approx(gain, abs=0.003)
    # and the window has the looks of a band that is narrower by the shift of level ground
    level = incidence_deg(swath, *(v[0] for v in stack[1].centroid.xy))
    shift = spectral_shift(
        plan.perpendicular_baseline_m, 870e3, level, 0.0,
        wavelength_m=swath.wavelength_m, range_spacing_m=swath.range_spacing_m,
    )  # fmt: skip
    share = 1 - abs(shift) * swath.range_sampling_rate_hz / swath.range_bandwidth.processed_hz
    assert 0.9 < share < 0.98
    assert float(engine.notes["LOOKS"]) == pytest.approx(7.02 * share, abs=0.08)
    assert engine.notes["LOOKS_MEASURED"].endswith("before the common-band filter")


@pytest.mark.parametrize(
    ("recipe", "band"),
    [(dict(), "coherence"), (dict(estimator="adaptive"), "coherence"), (dict(bands=AMPLITUDES), AMPLITUDES[0])],
    ids=["boxcar", "adaptive", "amplitude"],
)
def test_windows_of_any_size_leave_a_point_in_its_place(stack, monkeypatch, recipe, band):
    """A bright still point among noise: what it raises has its middle at the point, to a tenth of a line and sample."""
    plan = _plan(stack, **recipe, spacing_m=5.0)
    engine = BuiltinEngine()
    scene = engine._scene_of(plan)
    burst = max(plan.bursts, key=lambda pair: scene.shown_by(pair).chosen.sum())
    region, frame = scene.region(burst), scene.side(burst).frame
    points = [
        (round(np.interp(v, (0, 1), (region.line_start, region.line_stop))),
         round(np.interp(u, (0, 1), (region.sample_start, region.sample_stop))))
        for v in (0.4, 0.5, 0.6) for u in (0.4, 0.5, 0.6)
    ]  # fmt: skip

    def noise_and_points(block, dates, recipe):
        images = []
        for date in (0, 1):
            lines = []
            for line in range(block.line_start, block.line_stop):
                rng = np.random.default_rng([date, line + 100])
                row = rng.standard_normal((2, block.shape[1]))
                lines.append(row[0] + 1j * row[1])
            image = np.array(lines, np.complex64)
            for line, sample in points:
                if block.line_start <= line < block.line_stop:
                    image[line - block.line_start, sample - block.sample_start] = 1000
            images.append(image)
        return tuple(images)

    monkeypatch.setattr(layers, "images_of", noise_and_points)
    values = engine.map_layers(plan, lambda share: None)[band]
    line, sample = frame.line_of(scene.look.time_s), frame.sample_of(scene.look.slant_range_m)
    off = []
    for at in points:
        near = (np.abs(line - at[0]) < 6) & (np.abs(sample - at[1]) < 25)
        raised = near & (values > (0.98 if band == "coherence" else 20.0))
        assert raised.sum() > 5
        off.append((line[raised].mean() - at[0], sample[raised].mean() - at[1]))
    assert np.abs(np.mean(off, axis=0)).max() < 0.1


@pytest.mark.parametrize(
    "recipe",
    [
        dict(estimator="adaptive"),
        dict(remove_fringes=True, bands=("phase",)),
        dict(common_band=True),
        dict(bands=ALL_BANDS),
        dict(bands=("filtered_phase",), goldstein_adaptive_alpha=True, goldstein_fft_size=32),
    ],
    ids=["adaptive", "fringes", "common band", "bands", "exponent by coherence"],
)
def test_a_part_of_the_map_is_the_same(stack, recipe):
    """Whatever the recipe, cells do not depend on how much is mapped."""
    whole = _plan(stack, **recipe)
    top, left, height, width = 31, 40, 25, 30
    grid = whole.grid
    part = MapGrid(grid.epsg, grid.west_m + 20 * left, grid.north_m - 20 * top, 20.0, width, height)
    got, all_ = _layers(_plan(stack, **recipe, grid=part)), _layers(whole)
    for name, values in got.items():
        expected = all_[name][top : top + height, left : left + width]
        difference = values - expected
        if name.endswith("phase"):
            difference = np.angle(np.exp(1j * difference))
        assert np.nanmax(np.abs(difference)) < 1e-6, name
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"estimator": "adaptive", "remove_fringes": True}, "boxcar only"),
        ({"estimator": "adaptive", "bands": ("lower",)}, "windows of one size"),
        ({"common_band": True, "bands": ("upper",)}, "whole band"),
        ({"bands": ("phase", "phase")}, "name each once"),
        ({"bands": ("colour",)}, "colour"),
        ({"estimator": "median"}, "choose one of boxcar, adaptive"),
        ({"goldstein_alpha": 1.5}, "between 0"),
        ({"goldstein_alpha": 0.5}, "goldstein_alpha: only the band filtered_phase"),
        ({"goldstein_fft_size": 32, "bands": ("phase",)}, "goldstein_fft_size: only the band filtered_phase"),
        ({"goldstein_adaptive_alpha": True, "goldstein_alpha": 0.5, "bands": ("filtered_phase",)}, "exponent"),
    ],
)
def test_what_does_not_go_together_is_refused(how, words):
    """The message says what to change."""
    with pytest.raises(OptionError, match=words):
        Recipe(**how)


def test_a_window_that_would_not_be_used_is_refused(stack, tmp_path):
    """Adaptive windows have their own size, and the product says so and claims no looks."""
    with pytest.raises(OptionError, match="8x28: the estimator adaptive cuts its own"):
        _plan(stack, window=Window(8, 28), estimator="adaptive")
    plan = _plan(stack, estimator="adaptive", out=tmp_path / "map.tif")
    with rasterio.open(coherence(plan)) as source:
        assert source.tags()["WINDOW"] == "at most 5x15"
        assert not {"LOOKS", "LOOKS_MEASURED"} & set(source.tags())


def test_common_band_needs_the_phase(stack):
    """Without the topographic phase there is no shift to filter by."""
    with pytest.raises(OptionError, match="common_band"):
        _plan(stack, common_band=True, remove_topography=False)


def test_snap_refuses_what_it_cannot_do(stack):
    """Another engine makes plain coherence only, and says so before it starts."""
    with pytest.raises(EngineError, match="--engine builtin"):
        SnapEngine().map_layers(_plan(stack, bands=("mask",)), lambda share: None)
    assert set(DESCRIPTIONS) == {"coherence", *ALL_BANDS}


def test_refinement_is_recorded_and_changes_little_where_geometry_is_right(stack, plain, tmp_path):
    """Orbits of the simulation are exact: measured shifts are below 0.003, and coherence stays as it was."""
    plan = _plan(stack, refine="auto", out=tmp_path / "map.tif")
    engine = BuiltinEngine()
    with rasterio.open(coherence(plan, engine)) as source:
        tags, values = source.tags(), source.read(1)
    for which in ("REFERENCE_SHIFT", "SECONDARY_SHIFT"):
        lines, samples = (float(part.split()[0]) for part in tags[which].split(", ")[:2])
        assert abs(lines) < 0.003, tags[which]
        assert abs(samples) < 0.003, tags[which]
    seen = np.isfinite(values) & np.isfinite(plain)
    assert seen.sum() == np.isfinite(plain).sum()
    assert np.abs(values - plain)[seen].mean() < 0.003


def test_a_wrong_orbit_is_mended(stack, plain, monkeypatch):
    """A date whose image lies 0.08 line and 0.1 sample beside its orbit is put right."""
    plan = _plan(stack, pair=(0, 1))
    original = Product.sub_swath

    def displaced(self, swath, polarisation):
        found = original(self, swath, polarisation)
        if self.name != plan.scenes.secondary.scene:
            return found
        bursts = tuple(
            replace(b, azimuth_time_s=b.azimuth_time_s + 0.08 * found.azimuth_time_interval_s) for b in found.bursts
        )
        late = 0.1 / found.range_sampling_rate_hz
        return replace(found, bursts=bursts, slant_range_time_s=found.slant_range_time_s + late)

    right = _layers(plan)["coherence"]
    monkeypatch.setattr(Product, "sub_swath", displaced)
    engine = BuiltinEngine()
    wrong = engine.map_layers(plan, lambda share: None)["coherence"]
    mended = engine.map_layers(_plan(stack, pair=(0, 1), refine="auto"), lambda share: None)["coherence"]
    lines, samples = (float(part.split()[0]) for part in engine.notes["SECONDARY_SHIFT"].split(", ")[:2])
    assert (lines, samples) == (pytest.approx(0.08, abs=0.002), pytest.approx(0.1, abs=0.002))
    assert np.nanmean(np.abs(mended - right)) < 0.3 * np.nanmean(np.abs(wrong - right))


@pytest.mark.parametrize(("noise", "bit"), [(1e-3, 0), (1e9, 16)])
def test_the_mask_knows_weak_ground_where_noise_is_annotated(stack, monkeypatch, noise, bit):
    """Against noise far below the echo no cell is weak; far above it all are, but slopes are no water."""

    class Field:
        def power(self, line, sample):
            return np.full(np.broadcast(line, sample).shape, noise)

    monkeypatch.setattr(mapbands, "read_noise", lambda product, swath, polarisation: Field())
    mask = _layers(_plan(stack, bands=("mask",)))["mask"].astype(int)
    assert (mask & 16 == bit).all()
    assert not (mask & 32).any()
