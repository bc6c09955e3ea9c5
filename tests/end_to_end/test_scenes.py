"""Everything a scene can be: where sub-swaths, bursts and slices meet, what a date may lack, where on Earth it lies."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from scipy.ndimage import binary_erosion
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.coherence.builtin.engine import BuiltinEngine
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.bursts import burst_cuts
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.coherence.plan.stack import choose_stack_reference
from insar_mining.errors import (
    PairError,
    PartialCoverageWarning,
    ProductError,
    SkippedInputWarning,
    UnlikeScenesWarning,
)
from insar_mining.geo.grid import MapGrid, utm_epsg
from insar_mining.geometry.geocode import look_up
from insar_mining.geometry.terrain import dem_arrays, heights_for
from insar_mining.options.models import CoherenceOptions, PairOptions, RunOptions
from insar_mining.pipeline.maps import Planner, make_maps
from insar_mining.scenes.network import choose_pairs, scenes_for
from insar_mining.scenes.products import scan_products
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product, join, open_product
from insar_mining.simulate import (
    Settings,
    flat,
    load_template,
    morocco_template,
    scene,
    simulate_pair,
    simulate_stack,
)
from insar_mining.simulate.geometry import locate, to_ecef, trajectory, zero_doppler
from insar_mining.simulate.scene import Acquisition
from insar_mining.simulate.terrain import undulation_m, write_dem
from tests.moved import moved
from tests.slicing import as_bursts, as_platform, as_polarisation, cut_product, drop_burst

EPSG = 32629
HALF_DEG = 0.005
STARTS_S = (0.0, 0.0021, -0.0017)  # how much later bursts begin, as between real dates


@dataclass(frozen=True)
class Corner:
    """Three dates over the place where two bursts of IW1 and one of IW2 meet; a burst more at either end of each."""

    products: tuple[Path, ...]
    dem: Path
    area: BaseGeometry

    def plan(self, first: Path | None = None, second: Path | None = None, **how: object) -> CoherencePlan:
        how.setdefault("area", self.area)
        return make_plan(first or self.products[0], second or self.products[1], dem=self.dem, out="unused.tif", **how)  # type: ignore[arg-type]

    def map(self, first: Path | None = None, second: Path | None = None, **how: object) -> np.ndarray:
        return mapped(self.plan(first, second, **how))


def mapped(plan: CoherencePlan) -> np.ndarray:
    return BuiltinEngine().map_layers(plan, lambda share: None)["coherence"]


def seam_of_swaths(swaths: tuple[SubSwath, SubSwath]) -> float:
    """Slant range in the middle of what the last valid sample of one and the first of the other see, metres."""
    near, far = swaths
    last = min(burst.valid_samples.stop - 0.5 for burst in near.bursts)
    first = max(burst.valid_samples.start - 0.5 for burst in far.bursts)
    return ((near.slant_range_m + last * near.range_spacing_m) + (far.slant_range_m + first * far.range_spacing_m)) / 2


@pytest.fixture(scope="module")
def corner(
    morocco_safe: Callable[[str], Path],
    morocco_sub_swath: Callable[[str, str], SubSwath],
    tmp_path_factory: pytest.TempPathFactory,
) -> Corner:
    near, far = (morocco_sub_swath("20230904", name) for name in ("IW1", "IW2"))
    first, second = near.bursts[4], near.bursts[5]
    time = (first.azimuth_time_s + 1506 * near.azimuth_time_interval_s + second.azimuth_time_s) / 2
    path = trajectory(near.orbit, time - 2, time + 2)
    lon, lat = (float(v) for v in locate(path, time, seam_of_swaths((near, far)), 540.0))
    area = box(lon - HALF_DEG, lat - HALF_DEG, lon + HALF_DEG, lat + HALF_DEG)
    template = load_template(morocco_safe("20230904"))
    original = scene._cut
    with pytest.MonkeyPatch.context() as patched:
        # a burst more at either end, as a product has that was not cut to the mine
        patched.setattr(
            scene,
            "_cut",
            lambda *what: replace(
                original(*what), first_burst=original(*what).first_burst - 1, stop_burst=original(*what).stop_burst + 1
            ),
        )
        made = simulate_stack(
            tmp_path_factory.mktemp("corner"),
            [Acquisition(template, 12 * i, STARTS_S[i], (0.0, 80.0, -50.0)[i]) for i in range(3)],
            swaths=("IW1", "IW2"),
            area=area,
            terrain=flat(EPSG, 500.0),
            coherence=lambda index: lambda x, y: np.full(x.shape, 0.9),
            rng=np.random.default_rng(8),
            settings=Settings(margin_m=150.0),
            truth_pairs=(),
        )
    return Corner(made.products, made.dem, area)


@pytest.fixture(scope="module")
def whole(corner: Corner) -> np.ndarray:
    """The map of the first pair, from the complete products."""
    return corner.map()


def seen_at(corner: Corner, grid: MapGrid, swath: SubSwath) -> tuple[np.ndarray, np.ndarray]:
    """When and how far away cells are seen, by the simulator's geometry; the ground is at 500 m above the geoid."""
    lon, lat = grid.lonlat()
    with rasterio.open(corner.dem) as source:
        heights = np.array([next(source.sample([(float(lon.mean()), float(lat.mean()))]))[0]])
    place = to_ecef(lon, lat, heights[0] + undulation_m(lon, lat))
    start = swath.bursts[0].azimuth_time_s
    return zero_doppler(trajectory(swath.orbit, start - 2, start + 14), place)


def test_sub_swaths_meet_in_the_middle_of_their_overlap(corner: Corner, whole: np.ndarray) -> None:
    """No hole and no drop; each side is what its sub-swath alone shows, and the sides part at the middle."""
    plan = corner.plan()
    assert plan.geometry.swaths == ("IW1", "IW2")
    assert len(plan.bursts) == 3
    assert np.isfinite(whole).all()
    alone = {name: corner.map(swaths=[name]) for name in plan.geometry.swaths}
    product = open_product(corner.products[0])
    swaths = tuple(product.sub_swath(name, "VV") for name in plan.geometry.swaths)
    _, slant_range = seen_at(corner, plan.grid, swaths[0])
    from_seam = slant_range - seam_of_swaths((swaths[0], swaths[1]))
    for name, side in (("IW1", from_seam < -1), ("IW2", from_seam > 1)):
        assert side.sum() > 500
        np.testing.assert_allclose(whole[side], alone[name][side], rtol=0, atol=1e-6)
    near = np.abs(from_seam) < 60
    assert near.sum() > 200
    assert abs(whole[near].mean() - whole[~near].mean()) < 0.015


def test_bursts_meet_without_a_drop(corner: Corner, whole: np.ndarray) -> None:
    """On either side of the seam of two bursts, and on it, coherence is the same within noise."""
    swath = open_product(corner.products[0]).sub_swath("IW1", "VV")
    time, _ = seen_at(corner, corner.plan().grid, swath)
    cuts = burst_cuts([swath])
    lines = (time - cuts[1].stop_s) / swath.azimuth_time_interval_s
    sides = [whole[some].mean() for some in (lines < -4, np.abs(lines) < 4, lines > 4)]
    assert (np.abs(lines) < 4).sum() > 150
    assert max(sides) - min(sides) < 0.015


def test_an_area_over_three_sub_swaths(morocco_safe: Callable[[str], Path], tmp_path: Path) -> None:
    """Under the real annotations: 180 km across all three, every cell is shown by one burst, and by one only."""
    first, second = (open_product(morocco_safe(date)) for date in ("20230904", "20230916"))
    area = box(-10.2, 31.15, -8.4, 31.25)
    dem = write_dem(flat(EPSG, 800.0), (-10.4, 31.0, -8.2, 31.4), tmp_path / "dem.tif", step_deg=0.01)
    plan = make_plan(first, second, area=area, dem=dem, out=tmp_path / "c.tif", spacing_m=250.0)
    assert {pair.swath for pair in plan.bursts} == {"IW1", "IW2", "IW3"}
    assert plan.covered == 1
    swaths = [first.sub_swath(name, "VV") for name in plan.geometry.swaths]
    look = look_up(swaths[0], plan.grid, dem_arrays(heights_for(plan.grid, dem, "auto").dem))
    bursts = {(pair.swath, pair.stack_index) for pair in plan.bursts}
    cuts = [cut for cut in burst_cuts(swaths) if (cut.swath, cut.burst_index) in bursts]
    shown = np.sum([cut.holds(look.time_s, look.slant_range_m) for cut in cuts], axis=0)
    assert shown.size > 20_000
    assert (shown == 1).all()


def without(corner: Corner, date: int, out: Path, swath: str, index: int) -> Path:
    """Copy a date without one burst; index 1 and 2 of IW1, and 1 of IW2, show the area."""
    copy = Path(shutil.copytree(corner.products[date], out / corner.products[date].name))
    drop_burst(copy, swath, index)
    return copy


@pytest.mark.parametrize(
    ("date", "swath", "index"), [(0, "IW1", 1), (0, "IW1", 2), (1, "IW1", 1), (1, "IW1", 2), (1, "IW2", 1)]
)
def test_a_burst_that_a_date_lacks_in_the_middle(
    corner: Corner, whole: np.ndarray, tmp_path: Path, date: int, swath: str, index: int
) -> None:
    """What others show is unchanged, where it would be nothing is mapped (no neighbour's noise), and it is named."""
    products = list(corner.products[:2])
    products[date] = without(corner, date, tmp_path, swath, index)
    # the complete date gives the geometry, whichever of the two it is
    complete = corner.products[2]
    with pytest.warns(PartialCoverageWarning, match=f"does not hold {swath} burst {index + 1}; the map is NaN there"):
        got = corner.map(*products, stack_reference=complete)
    plan = corner.plan(stack_reference=complete)
    reference = mapped(plan)
    kept = np.isfinite(got)
    np.testing.assert_array_equal(got[kept], reference[kept])
    product = open_product(complete)
    swaths = [product.sub_swath(name, "VV") for name in plan.geometry.swaths]
    time, slant_range = seen_at(corner, plan.grid, swaths[0])
    (lost,) = [cut for cut in burst_cuts(swaths) if (cut.swath, cut.burst_index) == (swath, index)][:1]
    expected = np.sum(
        [cut.holds(time, slant_range) for cut in burst_cuts(swaths) if (cut.swath, cut.burst_index) == (swath, index)],
        axis=0,
    )
    assert lost.swath == swath
    assert 0.1 < expected.mean() < 0.9
    assert ((expected == 1) != kept).mean() > 0.99  # cells on the very seam are a matter of rounding


def test_bursts_that_a_date_lacks_at_its_ends(corner: Corner, whole: np.ndarray, tmp_path: Path) -> None:
    """Other numbers of bursts and other starts match by time: bursts that do not see the area change nothing."""
    short = cut_product(corner.products[1], tmp_path / "b", {"IW1": slice(1, 4), "IW2": slice(0, 2)})
    shorter = cut_product(corner.products[0], tmp_path / "a", {"IW1": slice(0, 3), "IW2": slice(1, 2)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = corner.plan(shorter, short)
        np.testing.assert_allclose(mapped(plan), whole, rtol=0, atol=1e-5)
    pairs = {(p.swath, p.reference_index, p.secondary_index) for p in plan.bursts}
    assert pairs == {("IW1", 1, 0), ("IW1", 2, 1), ("IW2", 0, 1)}
    end = cut_product(corner.products[1], tmp_path / "end", {"IW1": slice(0, 2), "IW2": slice(0, 3)})
    with pytest.warns(PartialCoverageWarning, match="does not hold IW1 burst 3"):
        got = corner.map(None, end)
    kept = np.isfinite(got)
    assert 0.5 < kept.mean() < 0.9
    np.testing.assert_allclose(got[kept], whole[kept], rtol=0, atol=1e-6)


def test_a_stack_reference_that_lacks_a_burst(corner: Corner, tmp_path: Path) -> None:
    """What its other bursts see beyond their seams is mapped from them: here all, and as well."""
    hole = without(corner, 0, tmp_path, "IW1", 2)
    plan = corner.plan(corner.products[1], corner.products[2], stack_reference=hole)
    assert plan.covered == 1
    assert {(pair.swath, pair.stack_index) for pair in plan.bursts} == {("IW1", 1), ("IW2", 1)}
    got, complete = mapped(plan), corner.map(corner.products[1], corner.products[2])
    assert np.isfinite(got).all()
    assert np.percentile(np.abs(got - complete), 50) < 0.05
    assert abs(got.mean() - complete.mean()) < 0.005


def test_a_hole_in_the_stack_reference(morocco_safe: Callable[[str], Path], tmp_path: Path) -> None:
    """Under the real annotations: a scene that sees all is preferred; a hole that stays is told and planned as such."""
    first, second = (morocco_safe(date) for date in ("20230904", "20230916"))
    hole = Path(shutil.copytree(first, tmp_path / first.name))
    for swath in ("IW1", "IW2"):
        drop_burst(hole, swath, 4, pixels=False)
    area = box(-8.98, 31.0, -8.9, 31.08)
    dem = write_dem(flat(EPSG, 500.0), (-9.1, 30.9, -8.8, 31.2), tmp_path / "dem.tif", step_deg=0.01)
    products = [open_product(path) for path in (hole, second)]
    grid = MapGrid.around(area, 50.0)
    assert choose_stack_reference(products, grid, dem) is products[1]
    assert choose_stack_reference(products[:1], grid, dem) is products[0]
    with pytest.warns(PartialCoverageWarning, match=r"sees \d\d% of the area; the rest of the map is NaN"):
        plan = make_plan(hole, second, area=area, dem=dem, out=tmp_path / "c.tif", grid=grid)
    assert 0.1 < plan.covered < 0.9


def test_bursts_that_are_not_synchronised_are_told(corner: Corner, morocco_safe: Callable[[str], Path]) -> None:
    """Bursts 0.1 s apart share half of their spectra; a few milliseconds are not worth a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        corner.plan()
    late = Acquisition(load_template(morocco_safe("20230904")), 12, 0.1)
    from insar_mining.simulate import annotation_xml as edit

    folder = corner.products[1].parent.parent / "late" / corner.products[1].name
    shutil.copytree(corner.products[1], folder)
    for path in (folder / "annotation").iterdir():
        path.write_bytes(edit.later_product(path.read_bytes(), days=0, start_offset_s=late.start_offset_s))
    with pytest.warns(UnlikeScenesWarning, match=r"azimuth spectra share only [45]\d%"):
        corner.plan(None, folder)


@pytest.mark.parametrize("polarisation", ["VH", "HH", "HV"])
def test_all_polarisations(corner: Corner, whole: np.ndarray, tmp_path: Path, polarisation: str) -> None:
    """The same pixels in any polarisation give the same map; of a product with two, each shows its own."""
    products = [as_polarisation(path, tmp_path / "one", polarisation) for path in corner.products[:2]]
    plan = corner.plan(*products, polarisation=polarisation.lower())
    assert plan.polarisation == polarisation
    np.testing.assert_array_equal(mapped(plan), whole)
    # the third date's pixels beside the second's: a product of two polarisations
    other = as_polarisation(corner.products[2], tmp_path / "two", polarisation)
    with pytest.raises(PairError, match="none of the bursts"):
        corner.map(products[0], corner.products[1], polarisation=polarisation)
    assert not np.array_equal(corner.map(products[0], other, polarisation=polarisation), whole)


def test_single_bursts(corner: Corner, whole: np.ndarray, tmp_path: Path) -> None:
    """Bursts as ASF's extractor lays them out, all or only those that show the area, give the map of the product."""
    first, second = (as_bursts(path, tmp_path / path.stem) for path in corner.products[:2])
    np.testing.assert_array_equal(corner.map(first, second), whole)
    for folder in (first, second):  # IW2's go, and the two at the ends of IW1, which do not see the area
        wanted = sorted(folder.glob("*_IW1_*.tiff"))[1:3]
        for path in set(folder.glob("*.tiff")) - set(wanted):
            path.unlink()
    np.testing.assert_allclose(corner.map(first, second), corner.map(swaths=["IW1"]), rtol=0, atol=1e-6)
    alone = as_bursts(cut_product(corner.products[0], tmp_path / "cut", {"IW1": slice(1, 2)}), tmp_path / "alone")
    got = corner.map(alone, second)
    assert np.isfinite(got).all()
    swath = open_product(corner.products[0]).sub_swath("IW1", "VV")
    time, _ = seen_at(corner, corner.plan().grid, swath)
    before = time < burst_cuts([swath])[1].stop_s - swath.azimuth_time_interval_s
    np.testing.assert_allclose(got[before], corner.map(swaths=["IW1"])[before], rtol=0, atol=1e-5)


@pytest.mark.parametrize("damage", [b"<product>", b"", None], ids=["half", "empty", "no orbit"])
def test_a_damaged_sub_swath_stops_only_what_needs_it(corner: Corner, tmp_path: Path, damage: bytes | None) -> None:
    """IW1 alone sees the area: the annotation of IW2 is not needed, unless another date's choice of bursts needs it."""
    spoilt = tmp_path / "scenes" / corner.products[0].name
    for number in (0, 1):
        shutil.copytree(corner.products[number], tmp_path / "scenes" / corner.products[number].name)
    (annotation,) = (spoilt / "annotation").glob("*-iw2-*.xml")
    text = annotation.read_bytes()
    annotation.write_bytes(re.sub(rb"<orbit>.*</orbit>", b"", text, flags=re.DOTALL) if damage is None else damage)
    with pytest.warns(SkippedInputWarning, match=re.escape(annotation.name)):
        plan = corner.plan(spoilt)
    assert plan.geometry.swaths == ("IW1",)
    if damage is None:
        np.testing.assert_array_equal(mapped(plan), corner.map(swaths=["IW1"]))
    assert len(choose_pairs(scan_products(tmp_path / "scenes"), PairOptions(), area=corner.area)) == 1
    for how in ({"swaths": ["IW1", "IW2"]}, {"stack_reference": corner.products[2]}):
        with pytest.raises(ProductError, match=re.escape(annotation.name)):
            corner.plan(spoilt, **how)


def test_products_cropped_in_range(corner: Corner, tmp_path: Path) -> None:
    """Dates cut to other samples map what both hold, as before the cut."""
    first = cut_product(corner.products[0], tmp_path / "a", {"IW1": slice(None)}, samples=slice(37, None))
    second = cut_product(corner.products[1], tmp_path / "b", {"IW1": slice(None)}, samples=slice(0, 300))
    got, uncut = corner.map(first, second), corner.map(swaths=["IW1"])
    kept = np.isfinite(got)
    assert 0.2 < kept.mean() < 0.95
    inside = binary_erosion(kept, iterations=2)  # windows at the cut hold fewer samples
    assert np.abs(got[inside] - uncut[inside]).max() < 0.005


def test_two_satellites(corner: Corner, whole: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of two satellites is mapped, tagged and warned of; a network has it only where it is asked for."""
    other = as_platform(corner.products[1], tmp_path / "scenes", "B")
    shutil.copytree(corner.products[0], tmp_path / "scenes" / corner.products[0].name)
    with pytest.warns(UnlikeScenesWarning, match="is of S1A and .* of S1B"):
        plan = replace(corner.plan(None, other), out=tmp_path / "map.tif")
    with rasterio.open(coherence(plan)) as source:
        np.testing.assert_array_equal(source.read(1), whole)
        assert source.tags()["PLATFORMS"] == "S1A S1B"
    # a constant phase of each burst, as pairs of Sentinel-1C and 1D have, changes no cell, at no seam either
    read, phases = Product.read_burst, iter(np.linspace(1.40, 1.65, 7))
    known: dict[tuple[str, int], float] = {}

    def turned(product: Product, swath: str, polarisation: str, index: int, *window: slice) -> np.ndarray:
        pixels = read(product, swath, polarisation, index, *window)
        if product.platform == "S1A":
            return pixels
        phase = known.setdefault((swath, index), float(known.get((swath, index)) or next(phases)))
        return pixels * np.complex64(np.exp(1j * phase))

    monkeypatch.setattr(Product, "read_burst", turned)
    with pytest.warns(UnlikeScenesWarning):
        np.testing.assert_allclose(corner.map(None, other), whole, rtol=0, atol=2e-6)
    assert len(known) > 2
    monkeypatch.undo()
    scenes = scan_products(tmp_path / "scenes")
    with pytest.raises(PairError, match="S1A and S1B"):
        choose_pairs(scenes, PairOptions(), area=corner.area)
    pairs = choose_pairs(scenes, PairOptions(allow_mixed_platforms=True), area=corner.area)
    assert pairs["platforms"].tolist() == ["S1A+S1B"]


# Slices ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slices(corner: Corner, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Each date cut on the seam of two bursts of IW1; of the second date both slices hold one burst."""
    folder = tmp_path_factory.mktemp("slices")
    parts = (({"IW1": slice(0, 2), "IW2": slice(0, 1)}, {"IW1": slice(2, 4), "IW2": slice(1, 3)}),
             ({"IW1": slice(0, 3), "IW2": slice(0, 2)}, {"IW1": slice(2, 4), "IW2": slice(1, 3)}),
             ({"IW1": slice(0, 1), "IW2": slice(0, 1)}, {"IW1": slice(1, 4), "IW2": slice(1, 3)}))  # fmt: skip
    return [
        (cut_product(path, folder / "1", one), cut_product(path, folder / "2", other))
        for path, (one, other) in zip(corner.products, parts, strict=True)
    ]


def test_two_slices_are_one_scene(corner: Corner, whole: np.ndarray, slices: list[tuple[Path, Path]]) -> None:
    """The map over the seam of two slices is that of the scene before it was cut, to the bit."""
    first, second = (join([open_product(path) for path in parts]) for parts in slices[:2])
    plan = corner.plan(first, second)  # type: ignore[arg-type]
    np.testing.assert_array_equal(mapped(plan), whole)
    # the plan holds paths, not products: it can be carried out elsewhere
    named = corner.plan(first.path, Path(os.pathsep.join(map(str, slices[1]))))
    assert named.sha256 == plan.sha256
    assert "+" in plan.scenes.reference.scene


def test_a_run_joins_the_slices_over_the_mine(corner: Corner, slices: list[tuple[Path, Path]], tmp_path: Path) -> None:
    """Slices in a folder, as they are delivered: one scene a date, and the maps of the whole scenes."""
    table = scan_products([path.parent for path in slices[0]])
    assert len(table) == 6
    scenes = scenes_for(table, area=corner.area)
    assert len(scenes) == 3
    assert list(scenes.dtypes) == list(table.dtypes)
    # of the third date the first slice ends 10 km before the mine
    assert [os.pathsep in path for path in scenes["path"]] == [True, True, False]
    assert len(scenes_for(scenes, area=corner.area)) == 3  # what is joined stays so
    options = RunOptions(dem=corner.dem, coherence=CoherenceOptions(cache_gb=1.0))
    maps = make_maps(scenes, Planner(corner.area, corner.dem, tmp_path / "maps", options), lambda *_: None)
    assert maps.pairs["pair"].tolist() == ["20230904_20230916", "20230916_20230928"]
    assert not maps.failures
    for path, pair in zip(maps.paths, ((0, 1), (1, 2)), strict=True):
        products = [corner.products[index] for index in pair]
        with rasterio.open(path) as source:
            expected = corner.map(*products, stack_reference=corner.products[0])
            np.testing.assert_array_equal(source.read(1), expected)
    # a date of which one slice was never delivered is mapped as far as it goes
    lone = scenes_for(table[table["scene"] != slices[1][1].stem], area=corner.area)
    assert len(lone) == 3
    assert [os.pathsep in path for path in lone["path"]] == [True, False, False]


# Elsewhere on Earth ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "ascending"),
    [(-25.0, 120.0, True), (76.0, 15.0, False), (-17.0, 180.0, True)],
    ids=["ascending", "78 north", "antimeridian"],
)
def test_anywhere_on_earth(tmp_path: Path, latitude_deg: float, longitude_deg: float, ascending: bool) -> None:
    """Stable ground west, worked ground east: no hole, coherence as simulated, the edge within 10 m of its place."""
    template, (lon, lat) = moved(
        morocco_template(), "IW1", latitude_deg=latitude_deg, longitude_deg=longitude_deg, ascending=ascending
    )
    epsg = utm_epsg(lon, lat)
    height = 0.005
    width = height / np.cos(np.deg2rad(lat))
    area = box(lon - width, lat - height, lon + width, lat + height)
    centre, _ = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    pair = simulate_pair(
        tmp_path,
        reference=template,
        secondary=Acquisition(template, 12, perpendicular_m=60.0),
        area=area,
        terrain=flat(epsg, 200.0),
        coherence=lambda x, y: np.where(x < centre, 0.9, 0.1),
        rng=np.random.default_rng(3),
        settings=Settings(margin_m=150.0),
    )
    plan = make_plan(pair.reference, pair.secondary, area=area, dem=pair.dem, out=tmp_path / "c.tif")
    assert plan.scenes.direction == ("ascending" if ascending else "descending")
    assert plan.perpendicular_baseline_m == pytest.approx(60.0, abs=0.1)
    got = mapped(plan)
    assert np.isfinite(got).all()
    with rasterio.open(pair.truth) as source:
        truth = source.read(1)
    from_edge = plan.grid.x - centre
    stable = from_edge < -60
    assert abs(got[:, stable].mean() - np.nanmean(truth[:, stable])) < 0.01
    profile = got.mean(axis=0)
    low, high = profile[from_edge > 60].mean(), profile[stable].mean()
    assert low < 0.4
    # of a blurred step the area under the profile tells where it is
    near = np.abs(from_edge) <= 200
    excess = float(((profile[near] - low) / (high - low)).sum()) * plan.grid.spacing_m
    edge = from_edge[near].min() - plan.grid.spacing_m / 2 + excess
    assert abs(edge) < 10.0
