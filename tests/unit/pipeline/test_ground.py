"""`analyse` with what is known of the ground beside coherence: masks, surfaces, vegetation, weather, a sample."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from shapely import transform
from shapely.geometry import Polygon, box

import insar_mining as im
from insar_mining.activity import from_zarr
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError, RasterError
from insar_mining.files import write_text
from insar_mining.geo.raster import write_cog
from insar_mining.options.models import ActivityOptions, RunOptions
from insar_mining.pipeline import result as results
from tests.unit.activity.conftest import sample_coherence

CRS, CELL, SIDE, RIM = "EPSG:32629", 20.0, 40, 6
WEST, NORTH = 700_000.0, 3_520_000.0
SNOW_DAY = dt.date(2021, 3, 9)
TO_LONLAT = Transformer.from_crs(CRS, 4326, always_xy=True)


def cells(left: int, top: int, right: int, bottom: int) -> Polygon:
    """Return columns and rows of the mine's cells as a polygon in degrees."""
    x, y = WEST + RIM * CELL, NORTH - RIM * CELL
    shape = box(x + left * CELL, y - bottom * CELL, x + right * CELL, y - top * CELL)
    return transform(shape, lambda xy: np.column_stack(TO_LONLAT.transform(xy[:, 0], xy[:, 1])))


# the pit is worked in 2021 and 2022, the dump in 2022, the west never; nothing in 2023
PIT, DUMP = (20, 0, 40, 20), (20, 20, 40, 40)


@dataclass(frozen=True)
class Stack:
    folder: Path
    maps: Path

    def analyse(self, years: tuple[int, ...] = (), **options: Any) -> im.Result:
        options = {"method": "published", **options}
        if options["method"] == "significant":
            options.setdefault("interval_draws", 0)
        mine = im.mine_from_geometry(cells(0, 0, SIDE, SIDE))
        return im.analyse(self.maps, mine, out=self.folder / "out", years=years, activity=ActivityOptions(**options))

    def raster(self, name: str, values: np.ndarray[Any, Any]) -> Path:
        """Write values of the mine's cells."""
        place = Affine(CELL, 0, WEST + RIM * CELL, 0, -CELL, NORTH - RIM * CELL)
        return write_cog(self.folder / name, values, crs=CRS, transform=place, names=["values"])

    def polygons(self, name: str, **kinds: tuple[int, int, int, int]) -> Path:
        path = self.folder / name
        table = {"class": list(kinds), "geometry": [cells(*place) for place in kinds.values()]}
        gpd.GeoDataFrame(table, crs=4326).to_file(path)
        return path


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(6)
    size = SIDE + 2 * RIM
    for year in (2021, 2022, 2023):
        for number in range(6):
            first = dt.date(year, 2, 1) + dt.timedelta(days=12 * number)
            second = first + dt.timedelta(days=12)
            values = rng.normal(0.9, 0.02, (size, size))
            for place, years in ((PIT, (2021, 2022)), (DUMP, (2022,))):
                if year in years:
                    left, top, right, bottom = (edge + RIM for edge in place)
                    values[top:bottom, left:right] = rng.normal(0.3, 0.05, (bottom - top, right - left))
            if SNOW_DAY in (first, second):
                values -= 0.25
            write_cog(
                folder / f"{first:%Y%m%d}_{second:%Y%m%d}.tif",
                values.clip(0.01, 1).astype(np.float32),
                crs=CRS,
                transform=Affine(CELL, 0, WEST, 0, -CELL, NORTH),
                names=["coherence"],
                tags={"PERPENDICULAR_BASELINE_M": f"{40 * number}"},
            )
    return folder


@pytest.fixture
def stack(tmp_path: Path, maps: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Stack:
    if request.node.get_closest_marker("real_report") is None:
        monkeypatch.setattr(results, "write_report", lambda path, content: write_text(path, f"{content.notes}"))
    return Stack(tmp_path, maps)


def weather_of(folder: Path) -> Path:
    """Write snow on one day of three years."""
    days = pd.date_range("2021-01-01", "2023-12-31")
    depth = np.where(days == pd.Timestamp(SNOW_DAY), 14.0, 0.0)
    path = folder / "weather.csv"
    pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "snow_cm": depth}).to_csv(path, index=False)
    return path


def area(result: im.Result) -> list[float]:
    """Active area of every year in cells."""
    return list(result.activity["area_m2"] / CELL**2)


@pytest.mark.parametrize("method", ["published", "significant"])
def test_kinds_of_ground_share_the_area_of_the_mine(stack: Stack, method: str) -> None:
    surfaces = stack.polygons("surfaces.geojson", pit=PIT, dump=DUMP)
    result = stack.analyse(method=method, surfaces=surfaces)
    table = pd.read_csv(stack.folder / "out" / "strata.csv")
    assert list(table["by"].unique()) == ["surfaces"]
    whole = table.groupby("year")["area_m2"].sum()
    mapped = result.activity.get("area_map_m2", result.activity["area_m2"])
    np.testing.assert_allclose(whole, mapped, rtol=1e-9)
    share = table.pivot_table(index="year", columns="stratum", values="active_share")
    expected = pd.DataFrame({"dump": [0, 1, 0], "pit": [1, 1, 0], "rest": [0, 0, 0]}, [2021, 2022, 2023])
    np.testing.assert_allclose(share[expected.columns], expected, atol=0.06)
    assert not (share.loc[2023] > 0.01).any()


@pytest.mark.parametrize("method", ["published", "significant"])
def test_masked_ground_counts_in_no_number(stack: Stack, method: str) -> None:
    water = np.zeros((SIDE, SIDE), np.uint8)
    water[0:20, 30:40] = 1
    by_raster = stack.raster("water.tif", water)
    by_polygon = stack.polygons("road.geojson", road=(20, 20, 40, 40))
    bare = stack.analyse(method=method)
    masked = stack.analyse(method=method, masks=(by_raster, by_polygon))
    assert area(bare)[:2] == pytest.approx([400, 800], rel=0.05)
    assert area(masked)[:2] == pytest.approx([200, 200], rel=0.05)
    assert list(bare.activity["n_pixels"] - masked.activity["n_pixels"]) == [600] * 3
    assert "600 cells of the mine were left out" in masked.report.read_text("utf-8")
    # the maps beside the result are those that were given
    (first, *_) = sorted((stack.folder / "out" / "coherence").glob("*.tif"))
    with rasterio.open(first) as source:
        assert np.isfinite(source.read(1)).sum() >= SIDE**2


def test_vegetation_is_told_apart_or_left_out(stack: Stack) -> None:
    index = np.full((SIDE, SIDE), 0.1, np.float32)
    index[20:40, 20:40] = 0.7
    red, nir = 1 - index, 1 + index
    made = stack.raster("red.tif", red), stack.raster("nir.tif", nir)
    stack.analyse(ndvi=made)
    table = pd.read_csv(stack.folder / "out" / "strata.csv").set_index(["by", "year", "stratum"])
    assert table.loc[("vegetation", 2022, "dense"), "n_pixels"] == 400
    assert table.loc[("vegetation", 2022, "dense"), "active_share"] == pytest.approx(1, abs=0.01)
    left = stack.analyse(ndvi=(stack.raster("ndvi.tif", index),), ndvi_max=0.5)
    assert area(left)[:2] == pytest.approx([400, 400], rel=0.03)


def test_snow_explains_the_scene_that_it_spoilt(stack: Stack) -> None:
    # the default method rejects no pair
    result = stack.analyse(method="published", covariates=weather_of(stack.folder))
    scenes = pd.read_csv(stack.folder / "out" / "scenes.csv", keep_default_na=False).set_index("pair")
    lost = scenes[~scenes["kept"]]
    assert len(lost) == 2
    assert lost["explanation"].str.contains(f"snow_cm 14 on {SNOW_DAY}").all()
    assert (lost["lost_share"].astype(float) > 0.9).all()
    assert not scenes.loc[scenes["kept"], "explanation"].any()
    assert "explanation" not in stack.analyse(method="published").scenes
    assert result.scenes["snow_cm_reference"].max() == 14


def test_a_reference_sample_corrects_the_area(stack: Stack) -> None:
    # forty points on the ground mapped active in 2022, ten of which people saw idle; forty elsewhere, all idle
    rows = [(25.5 + k % 10, 5.5 + 5 * (k // 10), k >= 10) for k in range(40)]
    rows += [(5.5 + k % 10, 5.5 + 5 * (k // 10), False) for k in range(40)]
    x, y = (np.array(values) for values in list(zip(*rows, strict=True))[:2])
    lon, lat = TO_LONLAT.transform(WEST + (RIM + x) * CELL, NORTH - (RIM + y) * CELL)
    seen = ["active" if row[2] else "inactive" for row in rows]
    sample = stack.folder / "sample.csv"
    pd.DataFrame({"longitude": lon, "latitude": lat, "reference": seen, "year": 2022}).to_csv(sample, index=False)
    result = stack.analyse(sample=sample)
    table = pd.read_csv(stack.folder / "out" / "adjusted.csv").set_index("class")
    assert set(table["year"]) == {2022}
    mapped = result.activity.set_index("year")["area_m2"][2022]
    assert table.loc["active", "map_area_m2"] == pytest.approx(mapped, rel=1e-9)
    # three quarters of what is mapped active, nothing of the rest; standard error by hand (Cochran's, of a share)
    assert table.loc["active", "area_m2"] == pytest.approx(0.75 * mapped, rel=1e-9)
    assert table.loc["active", "area_se_m2"] == pytest.approx(mapped * np.sqrt(0.75 * 0.25 / 39), rel=1e-9)
    pd.read_csv(sample).assign(year=2019).to_csv(sample, index=False)
    with pytest.raises(ActivityError, match="speaks of 2019; active ground is known of 2021, 2022, 2023"):
        stack.analyse(sample=sample)


def test_options_that_speak_of_nothing_are_refused() -> None:
    with pytest.raises(OptionError, match=r"activity\.ndvi"):
        ActivityOptions(ndvi_max=0.4)
    with pytest.raises(OptionError, match=r"activity\.surfaces"):
        ActivityOptions(surface_field="kind")


@pytest.mark.real_report
def test_the_report_tells_of_kinds_of_ground_and_of_the_sample(stack: Stack) -> None:
    surfaces = stack.polygons("surfaces.geojson", pit=PIT, dump=DUMP)
    seen = "longitude,latitude,reference,year\n"
    for left, word in ((22, "active"), (2, "inactive")):
        for number in range(12):
            place = cells(left + number, 10, left + number + 1, 11).centroid
            seen += f"{place.x:.7f},{place.y:.7f},{word},2022\n"
    sample = write_text(stack.folder / "seen.csv", seen)
    with pytest.warns(FewObservationsWarning, match="fewer than 20 reference points"):
        result = stack.analyse(surfaces=surfaces, sample=sample, covariates=weather_of(stack.folder))
    page = result.report.read_text("utf-8")
    assert 'href="#ground"' in page
    # 400 cells of 20 m, all of them worked: by the plan of the pit, and by what people saw
    assert '<th scope="row">pit</th><td class="text">surfaces</td><td>2022</td><td>0.160</td><td>0.160</td>' in page
    assert "<td>12</td><td>100 %</td><td>100 %</td>" in page
    assert f"snow_cm 14 on {SNOW_DAY}" in page
    assert "Histogram of the hue" in page


def test_stable_ground_around_the_mine_serves_and_counts_in_no_area(stack: Stack) -> None:
    published = {"method": "published"}
    bare, wider = stack.analyse(**published), stack.analyse(margin_m=100, **published)
    # five cells around 40 x 40, but for the corners that a distance cuts off: all of it is stable
    around = int(wider.stable.values.sum()) - int(bare.stable.values.sum())
    assert 0.95 * 4 * 5 * SIDE < around < 50**2 - 40**2 + 1
    assert list(wider.activity["n_pixels"]) == list(bare.activity["n_pixels"])
    assert area(wider)[:2] == pytest.approx([400, 800], rel=0.05)
    with rasterio.open(stack.folder / "out" / "stable.tif") as source:
        assert (source.read(1) == 1).sum() == wider.stable.values.sum()
    outside = stack.analyse(margin_m=100, stable_ground="around", **published).stable
    assert not (outside.values & (outside["cover"].values > 0)).any()
    assert outside.values.sum() > 0.9 * around


@pytest.mark.filterwarnings("ignore::insar_mining.errors.FewObservationsWarning")
def test_ground_around_the_mine_serves_the_significant_method_too(stack: Stack) -> None:
    """A mine that is worked all over; the year in which the ground beside it is worked as well is left out."""
    mine = im.mine_from_geometry(cells(*PIT))

    def of(**options: Any) -> im.Result:
        chosen = ActivityOptions(interval_draws=2, **options)
        return im.analyse(stack.maps, mine, out=stack.folder / "out", years=(2021,), activity=chosen)

    found = of(margin_m=200, stable_ground="around")
    # 400 cells, whole: nothing of the ground around counts, and none of it is mapped active
    assert list(found.activity["n_pixels"]) == [400]
    np.testing.assert_allclose(found.activity["area_map_m2"], 400 * CELL**2, rtol=0.01)
    with rasterio.open(stack.folder / "out" / "active_2021.tif") as source:
        active = source.read(1)
    assert (active == 1).sum() == pytest.approx(400, abs=6)
    assert (active != 255).sum() == 400
    assert not pd.read_csv(stack.folder / "out" / "monthly.csv")["area_m2"].gt(400.5 * CELL**2).any()


def test_what_span_and_baseline_took_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stable ground of 0.9 that loses 12 % above the floor in 24 days instead of 12, and 15 % at 250 m."""
    monkeypatch.setattr(results, "write_report", lambda path, content: write_text(path, f"{content.notes}"))
    rng = np.random.default_rng(3)
    size = SIDE + 2 * RIM
    place = Affine(CELL, 0, WEST, 0, -CELL, NORTH)
    for number, (days, baseline) in enumerate(((12, 0), (12, 250), (24, 0), (24, 250), (12, 100), (24, 100)) * 2):
        first = dt.date(2021, 1, 5) + dt.timedelta(days=30 * number)
        left = (0.88 if days == 24 else 1) * 0.85 ** ((baseline / 250) ** 2)
        values = 0.34 + (0.9 - 0.34) * left + rng.normal(0, 0.01, (size, size))
        write_cog(
            tmp_path / "maps" / f"{first:%Y%m%d}_{first + dt.timedelta(days=days):%Y%m%d}.tif",
            values.astype(np.float32), crs=CRS, transform=place, names=["coherence"],
            tags={"PERPENDICULAR_BASELINE_M": f"{baseline}"},
        )  # fmt: skip
    stack = Stack(tmp_path, tmp_path / "maps")
    limits = {"stable_mean_min": 0.7, "scene_mean_min": 0.7}
    means = {
        names: stack.analyse(**limits, **dict.fromkeys(names, True)).scenes["stable_mean"].to_numpy()[:4]
        for names in ((), ("span_correction",), ("baseline_correction",), ("span_correction", "baseline_correction"))
    }
    d, b, both = 0.56 * 0.88, 0.56 * 0.85, 0.56 * 0.88 * 0.85
    expected = ((0.56, b, d, both), (0.56, b, 0.56, b), (0.56, 0.56, d, d), (0.56, 0.56, 0.56, 0.56))
    for (names, found), excess in zip(means.items(), expected, strict=True):
        np.testing.assert_allclose(found, 0.34 + np.array(excess), atol=0.012, err_msg=str(names))


def slope_of_loss(folder: Path, kept_at_250: float) -> Path:
    """Maps of 0.9 of which the east keeps less the longer the baseline; the north-west is worked in every pair."""
    rng = np.random.default_rng(3)
    size = SIDE + 2 * RIM
    for number in range(14):
        first = dt.date(2021, 1, 5) + dt.timedelta(days=12 * number)
        baseline = (0, 60, -120, 180, -250, 90, 30)[number % 7]
        true = np.full((size, size), 0.9)
        true[:, RIM + 20 :] *= kept_at_250 ** ((baseline / 250) ** 2)
        true[RIM : RIM + 10, RIM : RIM + 10] = 0.1
        write_cog(
            folder / "maps" / f"{first:%Y%m%d}_{first + dt.timedelta(days=12):%Y%m%d}.tif",
            sample_coherence(true, 7, rng), crs=CRS, transform=Affine(CELL, 0, WEST, 0, -CELL, NORTH),
            names=["coherence"], tags={"PERPENDICULAR_BASELINE_M": f"{baseline}"},
        )  # fmt: skip
    return folder / "maps"


def test_a_face_that_loses_with_the_baseline_is_not_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "write_report", lambda path, content: write_text(path, f"{content.notes}"))
    stack = Stack(tmp_path, slope_of_loss(tmp_path, 0.35))
    corrected = stack.analyse(method="significant", baseline_correction=True)
    # 100 cells are worked; a face of 800 more is taken for worked in its two longest baselines
    assert area(corrected)[0] == pytest.approx(100, abs=15)


def test_losses_are_fitted_by_class_of_slope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flat west loses nothing at 250 m, the east, on 45 degrees of the elevation model, 30 %."""
    monkeypatch.setattr(results, "write_report", lambda path, content: write_text(path, " ".join(content.notes)))
    stack = Stack(tmp_path, slope_of_loss(tmp_path, 0.7))
    column = np.arange(SIDE + 40, dtype=np.float64) - 20
    heights = np.broadcast_to(CELL * np.maximum(column - 19, 0), (SIDE + 40, SIDE + 40))
    place = Affine(CELL, 0, WEST + (RIM - 20) * CELL, 0, -CELL, NORTH - (RIM - 20) * CELL)
    model = write_cog(tmp_path / "dem.tif", heights.astype(np.float32), crs=CRS, transform=place, names=["height"])
    how = {"baseline_correction": True, "stable_mean_min": 0.7, "scene_mean_min": 0.5}
    gap = []
    for options in (how, how | {"elevation": model}):
        stack.analyse(**options)
        worst = from_zarr(tmp_path / "out" / "coherence.zarr").sel(pair="20210222_20210306").values
        gap.append(float(np.nanmean(worst[12:, :18]) - np.nanmean(worst[12:, 22:])))
    said = (tmp_path / "out" / "report.html").read_text("utf-8")
    lost = dict(re.findall(r"slope (\w+ ?\w*): ([\d.]+) %", said))
    # 0.9 keeps 0.63, which is 48 % less above the floor
    assert float(lost["below 5"]) < 6
    assert float(lost["from 35"]) == pytest.approx(48, abs=6)
    # with one class for both the west still stands above the east in the pair of 250 m; with two it does not
    assert gap[0] > 0.15
    # (but for what would lie above 1 and cannot)
    assert abs(gap[1]) < 0.08


def test_a_class_of_incidence_is_compared_with_its_own_stable_points(stack: Stack) -> None:
    angle = np.broadcast_to(np.where(np.arange(SIDE) < 10, 32.0, 37.0), (SIDE, SIDE)).astype(np.float32)
    seen = stack.raster("incidence.tif", angle)
    bare, classed = stack.analyse(), stack.analyse(incidence=seen)
    west = (slice(None), slice(None), slice(0, 10))
    index = [run.annual.values[west] for run in (bare, classed)]
    # the west is stable everywhere, so beside itself its mean is nothing
    assert abs(np.nanmean(index[1])) < 5e-4
    assert not np.array_equal(index[0], index[1])


def test_corrections_of_the_maps_belong_to_the_published_method() -> None:
    wanted = {"span_correction": True, "incidence": "a.tif", "elevation": "dem.tif"}
    for name, value in wanted.items():
        with pytest.raises(OptionError, match=f"{name}=.*: of the published method only"):
            ActivityOptions(**{"baseline_correction": True, name: value})
        assert getattr(ActivityOptions(method="published", baseline_correction=True, **{name: value}), name)
    with pytest.raises(OptionError, match="elevation is for baseline_correction"):
        ActivityOptions(method="published", elevation="dem.tif")
    with pytest.raises(OptionError, match=r"stable_ground='around'.*activity.margin_m"):
        ActivityOptions(method="published", stable_ground="around")
    with pytest.raises(OptionError, match=r"the band mask, which coherence\.bands does not name"):
        RunOptions(activity={"mask_flags": ["shadow"]})
    assert RunOptions(activity={"mask_flags": ["shadow"]}, coherence={"bands": ["mask"]}).activity.mask_flags


def test_ground_that_most_pairs_flag_is_left_out(stack: Stack) -> None:
    flagged = stack.folder / "flagged"
    flagged.mkdir()
    with pytest.raises(RasterError, match="has no band 'mask'"):
        stack.analyse(mask_flags=("layover",))
    for number, path in enumerate(sorted(stack.maps.glob("*.tif"))):
        with rasterio.open(path) as source:
            coherence, tags = source.read(1), source.tags()
        mask = np.zeros_like(coherence)
        mask[RIM : RIM + 20, RIM + 20 : RIM + 30] = 2 + 16  # half of the pit, in layover with others
        mask[RIM + 20 : RIM + 30, RIM + 20 : RIM + 40] = 8  # half of the dump, in shadow
        mask[RIM + 30 : RIM + 40, RIM + 20 : RIM + 40] = 1 if number % 3 == 0 else 0  # a third of the pairs
        write_cog(
            flagged / path.name, np.stack([coherence, mask]), crs=CRS,
            transform=Affine(CELL, 0, WEST, 0, -CELL, NORTH), names=["coherence", "mask"], tags=tags,
        )  # fmt: skip
    of_flags = Stack(stack.folder, flagged)
    assert area(of_flags.analyse(mask_flags=("layover",)))[:2] == pytest.approx([200, 600], rel=0.05)
    assert area(of_flags.analyse(mask_flags=("layover", "shadow")))[:2] == pytest.approx([200, 400], rel=0.05)


def test_flags_of_a_year_count_for_that_year_only(stack: Stack) -> None:
    """A cell flagged in one year only is left out of that year, whichever years are shown."""
    flagged = stack.folder / "flagged in one year"
    flagged.mkdir()
    for path in sorted(stack.maps.glob("*.tif")):
        with rasterio.open(path) as source:
            coherence, tags = source.read(1), source.tags()
        mask = np.zeros_like(coherence)
        if path.name.startswith("2021"):
            mask[RIM : RIM + 20, RIM + 20 : RIM + 30] = 1
        write_cog(
            flagged / path.name, np.stack([coherence, mask]), crs=CRS,
            transform=Affine(CELL, 0, WEST, 0, -CELL, NORTH), names=["coherence", "mask"], tags=tags,
        )  # fmt: skip
    of_flags = Stack(stack.folder, flagged)
    plain = of_flags.analyse(method="significant").activity.set_index("year")["area_m2"]
    together = of_flags.analyse(method="significant", mask_flags=("layover",)).activity.set_index("year")["area_m2"]
    assert together[2021] < 0.6 * plain[2021]
    assert together[2022] == plain[2022] > 0
    for year in (2021, 2022):
        alone = of_flags.analyse(years=(year,), method="significant", mask_flags=("layover",)).activity
        assert alone["area_m2"].tolist() == [together[year]]
