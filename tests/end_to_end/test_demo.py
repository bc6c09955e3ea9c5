"""``insar-mining demo``: every output that is promised, beside the truth that was simulated."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import xarray as xr
import yaml
from pystac.validation import validate_dict
from rasterio.windows import from_bounds
from scipy.ndimage import binary_dilation, binary_erosion

from .conftest import Demo, insar_mining

YEARS = (2021, 2022, 2023)
WINDOW = "2021_2022_2023"
CELL_M2 = 400.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def truth(demo_folder: Path) -> dict[str, Any]:
    """What was simulated, from the simulation's own record."""
    return json.loads((demo_folder / "simulated" / "demo.json").read_text("utf-8"))


def days(truth: dict[str, Any], name: str) -> set[dt.date]:
    return {dt.date.fromisoformat(text) for text in truth[name]}


def pair_of(first: dt.date, second: dt.date) -> str:
    return f"{first:%Y%m%d}_{second:%Y%m%d}"


def dates_of(pair: str) -> tuple[dt.date, dt.date]:
    first, second = pair.split("_")
    return dt.date.fromisoformat(first), dt.date.fromisoformat(second)


def expected_pairs(truth: dict[str, Any]) -> set[str]:
    """Each date with the one 12 days later, else the one 24 days later, the far date being none of them."""
    usable = days(truth, "dates") - days(truth, "far_dates")
    pairs = set()
    for first in usable:
        after = [first + dt.timedelta(days=span) for span in (12, 24)]
        second = next((date for date in after if date in usable), None)
        if second is not None:
            pairs.add(pair_of(first, second))
    return pairs


def maps_of(folder: Path) -> list[Path]:
    return sorted((folder / "coherence").glob("*.tif"))


def test_every_promised_file_is_there_and_no_other(demo_folder: Path, truth: dict[str, Any]) -> None:
    names = {path.name for path in demo_folder.iterdir() if path.suffix != ".qml" and not path.name.startswith(".")}
    assert names == {
        "activity.csv",
        "active_dates.tif",
        *(f"active_{year}.tif" for year in YEARS),
        *(f"duty_{year}.tif" for year in YEARS),
        *(f"states_{year}.tif" for year in YEARS),
        *("monthly.csv", "seasonality.csv", "zones.csv", "zone_shares.csv", "class_areas.csv"),
        *(f"classes_{WINDOW}.tif", f"class_bands_{WINDOW}.tif", "class_counts.csv", "rejected.csv"),
        "coherence",
        "coherence.zarr",
        "collection.json",
        *(f"ndai_{year}.tif" for year in YEARS),
        "report.html",
        f"rgb_{WINDOW}.tif",
        "run.yaml",
        "scenes.csv",
        "simulated",
        "stable.tif",
    }
    pairs = expected_pairs(truth)
    maps = {path.name for path in (demo_folder / "coherence").iterdir() if not path.name.startswith(".")}
    assert maps == {f"{pair}.{kind}" for pair in pairs for kind in ("tif", "json")} | {"stack_reference.json"}
    size = sum(path.stat().st_size for path in demo_folder.rglob("*") if path.is_file())
    assert size < 2e9


def test_the_command_says_what_is_simulated_and_how_far_off_it_is(demo: Demo) -> None:
    assert "no pixel is real" in demo.said.stderr
    assert f"report: {demo.folder / 'report.html'}" in demo.said.stderr
    assert "Active area found beside the area simulated" in demo.said.stdout
    for year in YEARS:
        assert f"│ {year} │" in demo.said.stdout
    assert "lie within 40 m of the edge of a worked zone" in demo.said.stdout


def test_pairs_are_of_12_days_and_bridge_what_is_missing(demo_folder: Path, truth: dict[str, Any]) -> None:
    pairs = set(pd.read_csv(demo_folder / "scenes.csv")["pair"])
    assert pairs == expected_pairs(truth)
    (far,) = days(truth, "far_dates")
    assert not any(far in dates_of(pair) for pair in pairs)
    assert pair_of(far - dt.timedelta(days=12), far + dt.timedelta(days=12)) in pairs
    # the two dates beside it were there: without the limit they would have been paired with it
    assert {far - dt.timedelta(days=12), far + dt.timedelta(days=12)} <= days(truth, "dates")
    for path in maps_of(demo_folder):
        with rasterio.open(path) as source:
            assert abs(float(source.tags()["PERPENDICULAR_BASELINE_M"])) <= 250
    assert pair_of(far - dt.timedelta(days=12), far) in (demo_folder / "report.html").read_text("utf-8")


def test_the_scenes_under_snow_are_kept_and_said_to_be_of_weather(demo_folder: Path, truth: dict[str, Any]) -> None:
    scenes = pd.read_csv(demo_folder / "scenes.csv", keep_default_na=False)
    assert list(scenes.columns)[:6] == ["pair", "kept", "reason", "stable_mean", "stable_sd", "n_stable"]
    assert scenes["kept"].all()
    snow = days(truth, "snow_dates")
    assert snow
    activity = pd.read_csv(demo_folder / "activity.csv").set_index("year")
    snowy = {year: 0 for year in YEARS}
    for row in scenes.itertuples():
        white = not snow.isdisjoint(dates_of(row.pair))
        assert (row.stable_mean < 0.8) == white, row.pair
        assert row.n_stable > 1000, row.pair
        snowy[int(row.pair[:4])] += white
    for year, count in snowy.items():
        (said,) = re.findall(r"WEATHER (\d+) of", activity.loc[year, "flags"])
        assert int(said) >= count, year


def test_activity_is_within_a_twentieth_of_the_truth_and_the_interval_holds_it(
    demo_folder: Path, truth: dict[str, Any]
) -> None:
    activity = pd.read_csv(demo_folder / "activity.csv")
    assert list(activity.columns) == [
        "mine_id",
        "year",
        "method",
        "n_pairs",
        "n_pixels",
        "active_pixels",
        "area_m2",
        "area_low_m2",
        "area_high_m2",
        "area_nominal_m2",
        "area_map_m2",
        "area_loose_m2",
        "area_strict_m2",
        "smallest_area_m2",
        "smallest_duty",
        "partial_m2",
        "blind_m2",
        "doubt_m2",
        "weather_only_m2",
        "seen",
        "placebo",
        "flags",
        "method_version",
    ]
    assert set(activity["method"]) == {"significant"}
    assert tuple(activity["year"]) == YEARS
    assert set(activity["mine_id"]) == {"demo"}
    scenes = pd.read_csv(demo_folder / "scenes.csv")
    kept = scenes.loc[scenes["kept"], "pair"]
    with rasterio.open(demo_folder / "simulated" / "truth.tif") as source:
        worked_m2 = {
            int(name.removeprefix("active_")): float((band == 1).sum() * CELL_M2)
            for name, band in zip(source.descriptions, source.read(), strict=True)
        }
    for row in activity.itertuples():
        assert row.n_pairs == sum(pair.startswith(str(row.year)) for pair in kept)
        assert row.area_nominal_m2 == 100 * row.active_pixels
        # a cell that the outline cuts counts with its part inside
        assert 0.98 * CELL_M2 * row.active_pixels < row.area_map_m2 <= CELL_M2 * row.active_pixels
        simulated = truth["active_area_m2"][str(row.year)]
        assert simulated == pytest.approx(worked_m2[row.year], rel=0.02)
        assert row.area_m2 == pytest.approx(simulated, rel=0.05), row.year
        assert row.area_low_m2 < simulated < row.area_high_m2
        assert row.area_strict_m2 < row.area_map_m2 < row.area_loose_m2
        # 6 to 9 % either way; 200 m of control ground of one kind is little
        assert row.area_high_m2 - row.area_low_m2 < 0.3 * simulated


def test_the_published_method_is_shown_beside_the_default_and_errs_more(demo: Demo) -> None:
    again = json.loads(insar_mining("demo", "--keep-scenes", "--out", demo.folder, "--json").stdout)
    ours = [abs(row["difference_percent"]) for row in again]
    published = [abs(row["published_difference_percent"]) for row in again]
    assert max(ours) < 5
    assert max(published) < 20
    assert sum(ours) < sum(published)


def test_the_intervals_of_the_classes_hold_their_truth(demo_folder: Path) -> None:
    """Seven combinations of years, each against the ground that the simulator worked in just these."""
    with rasterio.open(demo_folder / "simulated" / "truth.tif") as source:
        worked = source.read() == 1
        cell_m2 = abs(source.transform.a * source.transform.e)
    codes = sum(layer.astype(int) << bit for bit, layer in enumerate(worked))
    table = pd.read_csv(demo_folder / "class_areas.csv")
    assert list(table["class"]) == ["Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White"]
    true = np.bincount(codes.ravel(), minlength=8) * cell_m2
    holds = (table["area_low_m2"] <= true) & (true <= table["area_high_m2"])
    # black ground reaches beyond the mine on the simulator's map
    assert holds[1:].sum() >= 6, table.assign(true=true)
    # and they say something: none of a class that is there is wider than a sixth of it either way
    there = true[1:] > 1e5
    half = (table["area_high_m2"] - table["area_low_m2"])[1:][there] / 2
    assert (half < true[1:][there] / 6).all()


def test_work_is_dated_and_counted(demo_folder: Path, truth: dict[str, Any]) -> None:
    """The western push-back is worked in 2021 only, nine steps in ten of those that are seen."""
    with rasterio.open(demo_folder / "active_dates.tif") as source:
        assert source.descriptions == ("first_active", "last_active", "start", "stop")
        first, last, start, stop = source.read()
    with rasterio.open(demo_folder / "classes_2021_2022_2023.tif") as source:
        classes = source.read(1)
    with rasterio.open(demo_folder / "duty_2021.tif") as source:
        duty = source.read(1)
    only_first = binary_erosion(classes == 1, iterations=2)
    assert only_first.sum() > 300
    assert np.median(duty[only_first]) == pytest.approx(0.9, abs=0.11)
    assert ((last[only_first] > 20210101) & (last[only_first] < 20220101)).mean() > 0.99
    assert (stop[only_first] == last[only_first]).mean() > 0.95
    assert (start[only_first] == first[only_first]).mean() > 0.95
    never = classes == 0
    assert (first[never] == 0).all()
    monthly = pd.read_csv(demo_folder / "monthly.csv")
    kept = pd.read_csv(demo_folder / "scenes.csv").query("kept")
    assert monthly["n_pairs"].sum() == len(kept)


def test_the_activity_lies_where_it_was_simulated(demo_folder: Path) -> None:
    """An area can be right by chance, so most of each year's worked cells are found, and few others."""
    with rasterio.open(demo_folder / f"classes_{WINDOW}.tif") as source:
        every, place = source.read(1), source.transform
    with rasterio.open(demo_folder / "simulated" / "truth.tif") as source:
        # the map shows control ground around the mine as well
        window = from_bounds(*source.bounds, transform=place).round_offsets().round_lengths()
        true = source.read()
    rows, columns = window.toslices()
    classes = every[rows, columns]
    assert true.shape == (3, *classes.shape)
    inside = (classes != 255) & (true != 255).all(axis=0)
    assert inside.sum() > 20_000
    for bit, year in enumerate(YEARS):
        found = inside & (classes >> bit & 1 == 1)
        worked = inside & (true[bit] == 1)
        assert (found & worked).sum() > 0.85 * worked.sum(), year
        assert (found & ~worked).sum() < 0.2 * found.sum(), year
        # beyond 60 m of worked ground neither window nor map can carry its change
        quiet = inside & ~binary_dilation(worked, iterations=3)
        assert (found & quiet).sum() < 0.01 * quiet.sum(), year


def test_every_raster_is_a_cloud_optimised_geotiff_on_the_mines_grid(demo_folder: Path) -> None:
    maps = maps_of(demo_folder)
    rasters = [*maps, *demo_folder.glob("*.tif")]
    assert len(rasters) == len(maps) + 17
    for path in rasters:
        with rasterio.open(path) as source:
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG", path.name
            assert source.crs.to_epsg() == 32629
            assert source.res == (20.0, 20.0)
            assert source.transform.c % 20 == source.transform.f % 20 == 0
            floating = set(source.dtypes) == {"float32"}
            none = 0 if path.name == "active_dates.tif" else 255
            assert np.isnan(source.nodata) if floating else source.nodata == none, path.name
    shapes = set()
    for path in maps:
        with rasterio.open(path) as source:
            values = source.read(1)
            tags = source.tags()
        shapes.add(values.shape)
        assert np.isfinite(values).all(), "the simulated scenes see the whole mine"
        assert values.min() >= 0
        assert values.max() <= 1
        assert tuple(map(str, dates_of(path.stem))) == (tags["REFERENCE_DATE"], tags["SECONDARY_DATE"])
        assert tags["ENGINE"] == "builtin"
        assert tags["WINDOW"] == "2x7"
    assert len(shapes) == 1
    with rasterio.open(demo_folder / f"rgb_{WINDOW}.tif") as source:
        rgb = source.read()
    assert rgb.shape[0] == 3
    assert np.nanmin(rgb) == 0
    assert np.nanmax(rgb) == 1


def test_the_cube_is_the_maps_inside_the_mine(demo_folder: Path) -> None:
    with xr.open_zarr(demo_folder / "coherence.zarr") as dataset:
        cube = dataset["coherence"].load()
    maps = maps_of(demo_folder)
    assert cube.dims == ("pair", "y", "x")
    assert [str(name) for name in cube["pair"].values] == [path.stem for path in maps]
    for layer, path in zip(cube.values, maps, strict=True):
        inside = np.isfinite(layer)
        with rasterio.open(path) as source:
            np.testing.assert_array_equal(layer[inside], source.read(1)[inside])
    # the mine has 8.2 km2 in a box of 9.1
    assert inside.mean() == pytest.approx(0.905, abs=0.02)


def test_the_collection_can_be_walked(demo_folder: Path, truth: dict[str, Any]) -> None:
    collection = pystac.Collection.from_file(str(demo_folder / "collection.json"))
    assert {Path(asset.get_absolute_href()) for asset in collection.assets.values()} == {
        path
        for path in demo_folder.iterdir()
        if not path.name.startswith(".") and path.name not in ("coherence", "simulated", "collection.json")
    }
    items = list(collection.get_items())
    assert {item.id.removesuffix("_vv") for item in items} == expected_pairs(truth)
    starts, stops = (
        [getattr(item.common_metadata, name) for item in items] for name in ("start_datetime", "end_datetime")
    )
    assert collection.extent.temporal.intervals == [[min(starts), max(stops)]]
    assert {time.hour for time in (*starts, *stops)} == {6}  # the acquisitions', not midnight
    for item in items:
        assert item.bbox is not None
        assert collection.extent.spatial.bboxes[0] == pytest.approx(item.bbox, abs=1e-3)
        asset = item.assets["coherence"]
        path = Path(str(asset.get_absolute_href()))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert asset.extra_fields["file:checksum"] == "1220" + digest, path.name
    # ESA's and STAC's extensions have their schemas on the network; the core's come with pystac
    for thing in (collection, *items):
        thing.stac_extensions.clear()
        # the schemas of extensions are on a host; pystac ships those of the core
        validate_dict(thing.to_dict(), extensions=[])


def test_the_record_names_what_is_needed_to_make_it_again(demo_folder: Path, truth: dict[str, Any]) -> None:
    record = yaml.safe_load((demo_folder / "run.yaml").read_text("utf-8"))
    assert Path(record["mine"]) == demo_folder / "simulated" / "mine.geojson"
    assert Path(record["scenes"]) == demo_folder / "simulated" / "scenes"
    assert Path(record["dem"]) == demo_folder / "simulated" / "dem.tif"
    dates = days(truth, "dates")
    assert (record["start"], record["end"]) == (str(min(dates)), str(max(dates)))
    made_by = record["made_by"]
    assert len(made_by["scenes"]) == len(dates) - 1  # the far date is in no pair
    assert made_by["relative_orbit"] == 52
    assert {"insar_mining", "numpy", "rasterio"} <= set(made_by["versions"])


class _Addresses(HTMLParser):
    """Collects what a page would load or lead to, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "xlink:href", "action", "poster", "data", "background"):
                self.addresses.append(value or "")
            elif name == "style":
                self.styles.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style":
            self.styles.append(data)


def test_the_report_needs_nothing_but_itself(demo_folder: Path) -> None:
    text = (demo_folder / "report.html").read_text("utf-8")
    page = _Addresses()
    page.feed(text)
    assert page.addresses
    outside = [address for address in page.addresses if not address.startswith(("data:", "#"))]
    assert not outside
    assert not {"iframe", "object", "embed", "link"} & set(page.tags)
    assert page.tags.count("script") == 2, "the explorer's data and its script"
    assert not any("@import" in style or "url(http" in style or "url(//" in style for style in page.styles)


def test_the_report_tells_the_result_and_that_it_is_simulated(demo_folder: Path) -> None:
    text = (demo_folder / "report.html").read_text("utf-8")
    assert "simulated" in text[: text.index("Active area per year")]
    areas = pd.read_csv(demo_folder / "activity.csv")["area_m2"]
    shown = re.findall(r'<td class="strong" data-area-m2="[^"]+">([\d.]+)</td>', text)
    assert [float(area) for area in shown] == pytest.approx(list(areas / 1e6), rel=0.005)
    for pair in pd.read_csv(demo_folder / "scenes.csv").query("not kept")["pair"]:
        assert pair in text


def test_a_second_run_keeps_scenes_and_maps(demo: Demo, truth: dict[str, Any]) -> None:
    """Nothing is simulated or mapped again (a fifth of the processor time is usual), and the result is the same."""
    kept = [*demo.folder.glob("simulated/scenes/*/measurement/*.tiff"), *demo.folder.glob("coherence/2*")]
    pairs = expected_pairs(truth)
    assert len(kept) == len(truth["dates"]) + 2 * len(pairs)
    written = {path: path.stat().st_mtime_ns for path in kept}
    activity = (demo.folder / "activity.csv").read_bytes()
    again = insar_mining("demo", "--keep-scenes", "--out", demo.folder, "--json")
    assert {path: path.stat().st_mtime_ns for path in kept} == written
    assert (demo.folder / "activity.csv").read_bytes() == activity
    assert again.processor_s < 0.6 * demo.said.processor_s
    record = yaml.safe_load((demo.folder / "run.yaml").read_text("utf-8"))
    assert record["made_by"]["maps_kept_from_an_earlier_run"] == len(pairs)
    for row in json.loads(again.stdout):
        simulated = truth["active_area_m2"][str(row["year"])]
        assert row["simulated_m2"] == pytest.approx(simulated)
        assert row["difference_percent"] == pytest.approx(100 * (row["found_m2"] / simulated - 1), abs=0.051)
