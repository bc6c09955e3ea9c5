"""The plan: what it chooses, what it refuses, what its identity depends on."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from shapely.geometry import box

from insar_mining.coherence.builtin.engine import BuiltinEngine
from insar_mining.coherence.current import is_current
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import Window, make_plan
from insar_mining.errors import (
    CoverageError,
    DamagedMapWarning,
    DemError,
    EngineError,
    OptionError,
    OrbitError,
    PairError,
    PartialCoverageWarning,
    PartialDemWarning,
    ProductError,
)
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Settings, flat, load_template, simulate_pair

AREA = box(-8.62, 31.30, -8.605, 31.31)  # IW1, one burst


@pytest.fixture(scope="module")
def scene(morocco_safe, tmp_path_factory):
    """A small simulated pair under the real annotations of both dates."""
    first, second = (load_template(morocco_safe(date)) for date in ("20230904", "20230916"))
    return simulate_pair(
        tmp_path_factory.mktemp("plan"),
        reference=first,
        secondary=second,
        area=AREA,
        terrain=flat(32629, 400.0),
        coherence=0.9,
        rng=np.random.default_rng(3),
        settings=Settings(scatterers_per_cell=2.0),
    )


@pytest.fixture
def plan(scene, tmp_path):
    return make_plan(scene.reference, scene.secondary, area=AREA, dem=scene.dem, out=tmp_path / "coherence.tif")


def estimated(plan, **how):
    """Return a plan that estimates otherwise."""
    return dataclasses.replace(plan, estimation=dataclasses.replace(plan.estimation, **how))


def test_names_what_decides_the_result(plan):
    """Dates, bursts, baseline and grid are in the plan, and it prints as plain values."""
    assert plan.pair == "20230904_20230916"
    assert [(b.swath, b.reference_index, b.secondary_index) for b in plan.bursts] == [("IW1", 0, 0)]
    assert plan.covered == 1.0
    assert plan.perpendicular_baseline_m == pytest.approx(28, abs=2)
    assert plan.grid.crs == "EPSG:32629"
    assert json.loads(json.dumps(plan.describe()))["sha256"] == plan.sha256


def test_identity_is_that_of_the_result(plan, scene, tmp_path):
    """Another output name is the same plan; another window, anchor, phase or grid is another."""
    assert dataclasses.replace(plan, out=tmp_path / "elsewhere.tif").sha256 == plan.sha256
    other = dataclasses.replace(plan.scenes.secondary, product_identity="another")
    changes = [
        estimated(plan, window=Window(3, 9)),
        estimated(plan, window_anchor="snap"),
        estimated(plan, remove_topography=False),
        dataclasses.replace(plan, grid=dataclasses.replace(plan.grid, width=plan.grid.width + 1)),
        dataclasses.replace(plan, elevation=dataclasses.replace(plan.elevation, identity="another")),
        dataclasses.replace(plan, scenes=dataclasses.replace(plan.scenes, secondary=other)),
    ]
    hashes = {change.sha256 for change in changes}
    assert len(hashes | {plan.sha256}) == len(changes) + 1
    again = make_plan(scene.reference, scene.secondary, area=AREA, dem=scene.dem, out=tmp_path / "x.tif")
    assert again.sha256 == plan.sha256


def test_product_is_a_cog_with_a_valid_stac_item(plan):
    """The map has the plan's grid, NaN nodata and the provenance; the item passes pystac's schema-free checks."""
    path = coherence(plan)
    assert path == plan.out
    with rasterio.open(path) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (source.crs.to_epsg(), source.transform, source.shape) == (32629, plan.grid.transform, plan.grid.shape)
        assert np.isnan(source.nodata)
        assert source.tags()["PLAN_SHA256"] == plan.sha256
        assert source.tags()["WINDOW"] == "2x7"
        assert source.tags()["PHASES_REMOVED"] == "flat-earth topographic"
        values = source.read(1)
    assert np.nanmean(values) == pytest.approx(0.9, abs=0.03)
    item = pystac.Item.from_file(str(path.with_suffix(".json")))
    assert item.properties["insar_mining:plan_sha256"] == plan.sha256
    assert item.common_metadata.start_datetime.date().isoformat() == "2023-09-04"
    assert item.assets["coherence"].href.endswith(path.name)


def test_a_complete_result_is_kept_and_any_other_redone(plan):
    """A rerun keeps the map of this very plan; a map of another plan, half a file or a lost item does not count."""
    coherence(plan)
    assert is_current(plan, "builtin")
    stamp = plan.out.stat().st_mtime_ns
    assert coherence(plan).stat().st_mtime_ns == stamp
    other = estimated(plan, window=Window(4, 14))
    assert not is_current(other, "builtin")
    content = plan.out.read_bytes()
    for share in (0.01, 0.5, 0.99):
        plan.out.write_bytes(content[: int(share * len(content))])
        assert not is_current(plan, "builtin")
    coherence(plan)
    assert is_current(plan, "builtin")
    assert plan.out.stat().st_size == len(content)
    content = bytearray(plan.out.read_bytes())
    content[-100] ^= 1  # of the same length, with the same tags
    plan.out.write_bytes(content)
    with pytest.warns(DamagedMapWarning):
        assert not is_current(plan, "builtin")
    with pytest.warns(DamagedMapWarning):
        coherence(plan)
    assert is_current(plan, "builtin")
    plan.out.with_suffix(".json").write_text("{}")
    assert not is_current(plan, "builtin")
    coherence(plan)
    plan.out.with_suffix(".json").unlink()
    assert not is_current(plan, "builtin")


@pytest.fixture
def own(scene, tmp_path):
    """A plan whose inputs no other test reads, and the files that may change."""
    copies = [Path(shutil.copytree(path, tmp_path / path.name)) for path in (scene.reference, scene.secondary)]
    dem = Path(shutil.copy(scene.dem, tmp_path / "dem.tif"))
    plan = make_plan(*copies, area=AREA, dem=dem, out=tmp_path / "coherence.tif")
    (pixels,) = (copies[1] / "measurement").glob("*.tiff")
    return plan, {"manifest": copies[1] / "manifest.safe", "measurement": pixels, "dem": dem}


@pytest.mark.parametrize(
    ("changed", "error"), [("manifest", ProductError), ("measurement", ProductError), ("dem", DemError)]
)
def test_an_input_that_changes_after_the_plan_is_refused(own, changed, error):
    plan, files = own
    path = files[changed]
    if changed == "dem":
        with rasterio.open(path, "r+") as dataset:
            dataset.write(dataset.read() + 10)
    elif changed == "manifest":
        path.write_bytes(path.read_bytes() + b"\n")
    else:
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(error, match=re.escape(str(path if changed == "dem" else path.parents[changed != "manifest"]))):
        coherence(plan)
    assert not plan.out.exists()


def test_pixels_that_change_between_two_pairs_are_refused(own):
    """The engine keeps products open for the next pair: what it read of them must still hold."""
    plan, files = own
    engine = BuiltinEngine()
    coherence(plan, engine)
    content = files["measurement"].read_bytes()
    files["measurement"].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ProductError, match=re.escape(str(files["measurement"]))):
        coherence(dataclasses.replace(plan, out=plan.out.with_name("other.tif")), engine)


def test_window_anchor_moves_the_map_only(plan, tmp_path):
    """The two anchors differ by half a line (about 7 m) and not in what is estimated."""
    centre = rasterio.open(coherence(plan)).read(1)
    moved = dataclasses.replace(estimated(plan, window_anchor="snap"), out=tmp_path / "snap.tif")
    snap = rasterio.open(coherence(moved)).read(1)
    assert not np.array_equal(centre, snap, equal_nan=True)
    assert np.nanmean(snap) == pytest.approx(np.nanmean(centre), abs=2e-3)
    assert np.nanmax(np.abs(snap - centre)) < 0.3


def test_flat_earth_alone_is_the_ellipsoid(scene, plan, tmp_path):
    """Over flat ground at 400 m, leaving the topographic phase in hardly lowers coherence: it is almost constant."""
    without = dataclasses.replace(estimated(plan, remove_topography=False), out=tmp_path / "flat.tif")
    neither = dataclasses.replace(estimated(without, remove_flat_earth=False), out=tmp_path / "none.tif")
    whole, flat_only, raw = (rasterio.open(coherence(p)).read(1) for p in (plan, without, neither))
    assert np.nanmean(flat_only) == pytest.approx(np.nanmean(whole), abs=1e-3)
    # the flat-earth fringe of a 28 m baseline: about 0.03 rad per sample, within 7 samples a loss of some 1e-3
    assert 1e-4 < np.nanmean(whole) - np.nanmean(raw) < 0.02


def test_scenes_that_do_not_pair(scene, tmp_path):
    """The same scene twice, and the wrong order, are named with the remedy."""
    out = tmp_path / "x.tif"
    with pytest.raises(PairError, match="same scene"):
        make_plan(scene.reference, scene.reference, area=AREA, dem=scene.dem, out=out)
    with pytest.raises(PairError, match="later than the secondary"):
        make_plan(scene.secondary, scene.reference, area=AREA, dem=scene.dem, out=out)
    other = dataclasses.replace(open_product(scene.secondary), relative_orbit=60)
    with pytest.raises(PairError, match="different tracks"):
        make_plan(scene.reference, other, area=AREA, dem=scene.dem, out=out)


def test_an_area_elsewhere_is_refused(scene, tmp_path):
    """A polygon far from the scene, or beside its last sample, is named with both extents; a DEM elsewhere too."""
    far = box(-8.62, 35.0, -8.61, 35.01)
    with pytest.raises(CoverageError, match="does not see the area"):
        make_plan(scene.reference, scene.secondary, area=far, dem=scene.dem, out=tmp_path / "x.tif")
    beside = box(-8.60, 31.285, -8.599, 31.286)
    with pytest.raises(CoverageError, match="does not see the area"):
        make_plan(scene.reference, scene.secondary, area=beside, dem=scene.dem, out=tmp_path / "x.tif", swaths=["IW1"])
    off_the_dem = box(-8.3, 31.30, -8.29, 31.31)
    with pytest.raises(DemError, match="31"):
        make_plan(scene.reference, scene.secondary, area=off_the_dem, dem=scene.dem, out=tmp_path / "x.tif")


def test_unknown_choices_are_named(scene, plan, tmp_path):
    """Sub-swath, window, anchor, engine and phases are checked at the door."""
    arguments = {"area": AREA, "dem": scene.dem, "out": tmp_path / "x.tif"}
    with pytest.raises(OptionError, match="IW2"):
        make_plan(scene.reference, scene.secondary, swaths=["IW2"], **arguments)
    with pytest.raises(OptionError, match="centre"):
        make_plan(scene.reference, scene.secondary, window_anchor="corner", **arguments)
    with pytest.raises(OptionError, match="flat"):
        make_plan(scene.reference, scene.secondary, remove_flat_earth=False, **arguments)
    with pytest.raises(OptionError, match="2x7"):
        Window.parse("seven")
    with pytest.raises(OptionError, match="at least 2 pixels"):
        Window(1, 1)
    with pytest.raises(EngineError, match="builtin"):
        coherence(plan, engine="magic")


def test_an_orbit_file_that_does_not_fit_is_refused(scene, tmp_path):
    """Orbit files are used where they cover a product; none that fits is an error, not a silent annotation orbit."""
    wrong = tmp_path / "S1A_OPER_AUX_POEORB.EOF"
    wrong.write_text("<Earth_Explorer_File/>", encoding="utf-8")
    with pytest.raises(OrbitError, match="no orbit file fits"):
        make_plan(scene.reference, scene.secondary, area=AREA, dem=scene.dem, out=tmp_path / "x.tif", orbits=[wrong])


def test_partial_elevation_model(scene, plan, tmp_path):
    """Where the DEM ends the map is NaN, the share is warned, and the rest equals the whole map."""
    whole = rasterio.open(coherence(plan)).read(1)
    half = tmp_path / "half.tif"
    with rasterio.open(scene.dem) as source:
        columns = int((-8.6125 - source.bounds.left) / source.res[0])
        profile = source.profile | {"width": columns}
        with rasterio.open(half, "w", **profile) as target:
            target.write(source.read(1)[:, :columns], 1)
    with pytest.warns(PartialDemWarning, match="%"):
        partial = make_plan(scene.reference, scene.secondary, area=AREA, dem=half, out=tmp_path / "partial.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialDemWarning)
        got = rasterio.open(coherence(partial)).read(1)
    seen = np.isfinite(got)
    assert 0.3 < seen.mean() < 0.7
    np.testing.assert_allclose(got[seen], whole[seen], atol=1e-6)


def test_partial_cover_is_warned(scene, tmp_path):
    """An area that reaches beyond the product's samples is mapped where it is seen, and the share is said."""
    west, south, east, north = AREA.bounds
    wide = box(west - 0.02, south, east, north)
    with pytest.warns(PartialCoverageWarning, match="% of the area"):
        partial = make_plan(scene.reference, scene.secondary, area=wide, dem=scene.dem, out=tmp_path / "wide.tif")
    assert 0.3 < partial.covered < 0.95
