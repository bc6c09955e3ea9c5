"""`run` with an engine that is a double: files, resume, bad dates, and everything that can be wrong at the start."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from affine import Affine
from shapely.geometry import box

from insar_mining.errors import (
    ArchiveError,
    CoverageError,
    DemError,
    FewObservationsWarning,
    MineError,
    OptionError,
    OrbitError,
    OutputError,
    PairError,
    ProductError,
    SkippedInputWarning,
)
from insar_mining.files import sha256
from insar_mining.geo.grid import MapGrid
from insar_mining.geo.mines import Mine, mine_from_geometry
from insar_mining.options.models import PairOptions, RunOptions, read_options
from insar_mining.pipeline import acquisition, jobs, maps
from insar_mining.pipeline.inputs import check_paths
from insar_mining.pipeline.maps import MAP_FILES
from insar_mining.pipeline.outputs import FILES
from insar_mining.pipeline.quality import COLUMNS, remarks_on_dates, with_quality

from .conftest import AREA, Bench, cells_of_mine, scene_table

PAIRS = 18  # seven scenes in each of three years

pytestmark = pytest.mark.filterwarnings("ignore:pair .* left out:insar_mining.errors.SkippedInputWarning")


@pytest.mark.real_report
def test_a_run_leaves_every_file_of_the_design(bench: Bench) -> None:
    result = bench.run()
    names = {path.name for path in bench.out.iterdir() if path.suffix != ".qml" and not path.name.startswith(".")}
    assert names == {
        "coherence",
        "coherence.zarr",
        "stable.tif",
        *(f"{name}_{year}.tif" for name in ("active", "duty", "states") for year in (2021, 2022, 2023)),
        "active_dates.tif",
        "monthly.csv",
        "seasonality.csv",
        "class_areas.csv",
        "class_counts.csv",
        "rejected.csv",
        "zones.csv",
        "zone_shares.csv",
        "ndai_2021.tif",
        "ndai_2022.tif",
        "ndai_2023.tif",
        "rgb_2021_2022_2023.tif",
        "classes_2021_2022_2023.tif",
        "class_bands_2021_2022_2023.tif",
        "activity.csv",
        "scenes.csv",
        "report.html",
        "run.yaml",
        "collection.json",
    }
    assert len(list((bench.out / "coherence").glob("*.tif"))) == PAIRS
    activity = pd.read_csv(bench.out / "activity.csv")
    assert list(activity["year"]) == [2021, 2022, 2023]
    east = AREA.area / 2 / AREA.area
    # the worked share of the mine by construction: a sixth, a half, nothing
    share = activity["area_m2"] / mine_from_geometry(AREA).area_m2()
    assert share[0] == pytest.approx(east / 3, abs=0.02)
    assert share[1] == pytest.approx(east, abs=0.02)
    assert share[2] == pytest.approx(0, abs=0.002)
    assert len(result.scenes) == PAIRS
    assert result.scenes["kept"].all()
    # work stops with 2022, within the pair at which the year ends
    zones = pd.read_csv(bench.out / "zones.csv", parse_dates=["start", "stop"])
    assert set(zones["zone"]) == {"mine"}
    assert list(zones["worked"]) == [True, True, False]
    np.testing.assert_allclose(zones["share"], [east / 3, east, 0], atol=0.02)
    assert list(zones["start"].dt.year) == [2021, 2022, 2023]
    shares = pd.read_csv(bench.out / "zone_shares.csv")
    assert list(shares["pair"]) == list(result.scenes["pair"])
    # the north of the east is Yellow, its rest Green, and no other class is there beyond its interval
    classes = pd.read_csv(bench.out / "class_areas.csv").set_index("class")
    ground = result.stable["cover"].values * float(result.stable["cell_area_m2"])
    ground = ground[cells_of_mine(Affine(*result.stable.attrs["transform"]))]
    east, north = ground.shape[1] // 2, ground.shape[0] // 3
    truth = {"Yellow": ground[:north, east:], "Green": ground[north:, east:], "Black": ground[:, :east]}
    for name, part in truth.items():
        assert classes.loc[name, "area_low_m2"] < part.sum() < classes.loc[name, "area_high_m2"], name
        assert classes.loc[name, "area_m2"] == pytest.approx(part.sum(), rel=0.03), name
    page = result.report.read_text("utf-8")
    for words_ in ("Starts and stops", "From when to when", "What the baseline takes", "What could have been missed",
                   "Area of each class and its interval", "parts that the ground was divided into"):  # fmt: skip
        assert words_ in page, words_
    # all pairs have one span, which shows no decay
    assert "What time takes" not in page


def test_the_maps_of_a_result_tell_what_they_are(bench: Bench) -> None:
    bench.run()
    with rasterio.open(bench.out / "classes_2021_2022_2023.tif") as source:
        assert source.nodata == 255
        assert source.tags()["CLASS_3"] == "Yellow"
        assert source.tags()["YEARS"] == "2021 2022 2023"
        classes = source.read(1)
    counts = {int(value): int(n) for value, n in zip(*np.unique(classes[classes < 8], return_counts=True), strict=True)}
    # the north of the east is active in 2021 and 2022 (Yellow), its rest in 2022 (Green), the west never (Black)
    total = sum(counts.values())
    for value, share in {0: 1 / 2, 2: 1 / 3, 3: 1 / 6}.items():
        assert counts[value] / total == pytest.approx(share, abs=0.02), value
    with rasterio.open(bench.out / "stable.tif") as source:
        stable = source.read(1)
        mine = cells_of_mine(source.transform)
    assert set(np.unique(stable)) <= {0, 1, 255}
    # ground around the mine alone is the reference, and all of it is as coherent
    outside = stable != 255
    outside[mine] = False
    assert (stable == 1).sum() == pytest.approx(outside.sum(), rel=0.02)
    with rasterio.open(bench.out / "rgb_2021_2022_2023.tif") as source:
        assert source.descriptions == ("red 2021", "green 2022", "blue 2023")
        assert source.tags()["CEILING"] == "0.45"


@pytest.mark.parametrize("method", ["significant", "published"])
def test_every_class_is_a_band_and_a_row_of_counts(bench: Bench, method: str) -> None:
    """By either method, also where nothing is drawn again: bands, counts and the map of codes say the same."""
    choice = {"interval_draws": 0} if method == "significant" else {"method": "published"}
    activity = bench.options.activity.replace(**choice)
    result = bench.run(options=bench.options.replace(activity=activity))
    with rasterio.open(bench.out / "classes_2021_2022_2023.tif") as source:
        classes = source.read(1)
    with rasterio.open(bench.out / "class_bands_2021_2022_2023.tif") as source:
        assert source.descriptions == ("Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White")
        assert source.nodata == 255
        assert source.dtypes == ("uint8",) * 8
        bands = source.read()
    assert set(np.unique(bands)) == {0, 1, 255}
    np.testing.assert_array_equal((bands == 255).all(axis=0), classes == 255)
    np.testing.assert_array_equal(bands[:, classes != 255].argmax(axis=0), classes[classes != 255])
    assert (bands[:, classes != 255].sum(axis=0) == 1).all()
    counts = pd.read_csv(bench.out / "class_counts.csv")
    assert list(counts["years"]) == ["2021_2022_2023"] * 8
    assert counts["pixels"].tolist() == (bands == 1).sum(axis=(1, 2)).tolist()
    np.testing.assert_allclose(counts["area_nominal_m2"], 100 * counts["pixels"])
    # over all classes the polygon, slivers and all
    assert counts["area_m2"].sum() == pytest.approx(mine_from_geometry(AREA).area_m2(), rel=1e-3)
    for bit, area in enumerate(result.activity["area_m2"]):
        in_year = counts["area_m2"][[code >> bit & 1 == 1 for code in range(8)]].sum()
        assert in_year == pytest.approx(area, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("years", [2, 5])
def test_all_years_have_one_map_of_classes(bench: Bench, years: int) -> None:
    bench.scenes = scene_table(years=years, of_each=5)
    draws = bench.options.activity.replace(interval_draws=0)
    bench.run(end=f"{2020 + years}-12-31", options=bench.options.replace(activity=draws))
    of_all = [str(2021 + number) for number in range(years)]
    with rasterio.open(bench.out / f"classes_2021_{2020 + years}.tif") as source:
        assert source.tags()["YEARS"].split() == of_all
        legend = {int(name[6:]): said for name, said in source.tags().items() if name.startswith("CLASS_")}
        classes = source.read(1)
        nodata = source.nodata
    # the north of the east is worked in the first two years, its rest in the second, the west never
    assert {0: "none", 2: "2022", 3: "2021+2022"}.items() <= legend.items()
    known = classes[classes != nodata]
    for value, share in {0: 1 / 2, 2: 1 / 3, 3: 1 / 6}.items():
        assert (known == value).mean() == pytest.approx(share, abs=0.02), legend[value]
    counts = pd.read_csv(bench.out / "class_counts.csv")
    of_map = counts[counts["years"] == "_".join(of_all)].set_index("class")["pixels"]
    assert of_map.to_dict() == {legend[value]: int((known == value).sum()) for value in legend}
    for bit, year in enumerate(of_all):
        with rasterio.open(bench.out / f"active_{year}.tif") as source:
            np.testing.assert_array_equal((classes >> bit & 1)[classes != nodata], source.read(1)[classes != nodata])


def test_the_numbers_behind_every_rejection_are_written(bench: Bench) -> None:
    """Three quarters of the stable ground lost in one pair: the scene goes, and its row says what it lost."""
    bench.snowy_pairs = {"20230215_20230227"}
    published = bench.options.activity.replace(method="published")
    result = bench.run(start="2023-01-01", options=bench.options.replace(activity=published))
    scenes = result.scenes
    out = scenes.loc[~scenes["kept"].astype(bool), "pair"].tolist()
    assert out == ["20230215_20230227"]
    (row,) = pd.read_csv(bench.out / "rejected.csv").to_dict("records")
    assert row["pair"] == out[0]
    assert row["days"] == 12
    assert row["perpendicular_baseline_m"] == 12.5
    assert row["lost_share"] == pytest.approx(3 / 4, abs=0.06)
    assert f"{100 * row['lost_share']:.0f} % of the stable set lost" in row["explanation"]


def test_the_record_is_enough_to_make_the_result_again(bench: Bench) -> None:
    bench.run()
    record = yaml.safe_load((bench.out / "run.yaml").read_text("utf-8"))
    assert record["made_by"]["versions"]["insar_mining"]
    assert record["made_by"]["relative_orbit"] == 52
    assert len(record["made_by"]["scenes"]) == 21
    again = read_options(bench.out / "run.yaml", RunOptions)
    assert again.mine == bench.mine
    bench.run(mine=again.mine, options=again)
    assert bench.mapped == []


def test_a_second_run_keeps_every_map_and_a_changed_option_makes_all_again(bench: Bench) -> None:
    bench.run()
    assert len(bench.mapped) == PAIRS
    result = bench.run()
    assert bench.mapped == []
    assert result.kept_maps == PAIRS
    changed = bench.options.replace(coherence=bench.options.coherence.replace(window="3x9"))
    assert bench.run(options=changed).kept_maps == 0
    assert len(bench.mapped) == PAIRS


def test_an_added_scene_costs_one_map(bench: Bench) -> None:
    scenes = bench.scenes
    bench.scenes = scenes.iloc[:-1]
    bench.scenes.attrs = {}
    bench.run()
    bench.scenes = scenes
    bench.run()
    assert bench.mapped == ["20230311_20230323"]


def test_a_bad_date_is_bridged_and_reported(bench: Bench) -> None:
    bench.bad_scenes = {"20210225"}
    with pytest.warns(SkippedInputWarning, match="pair 20210213_20210225 left out.*truncated"):
        result = bench.run()
    pairs = list(result.scenes["pair"])
    assert "20210213_20210309" in pairs  # the 24-day bridge
    table = result.scenes.set_index("pair")
    assert not table.loc["20210213_20210225", "kept"]
    assert "truncated" in table.loc["20210213_20210225", "reason"]
    assert not table.loc["20210225_20210309", "kept"]
    assert {one["what"] for one in result.skipped} >= {"half.zip", "date 2021-02-25", "pair 20210213_20210225"}
    assert "2021-02-25" in (bench.out / "run.yaml").read_text("utf-8")
    assert "20210225" in result.report.read_text("utf-8")


def test_a_pair_that_fails_alone_costs_no_date(bench: Bench) -> None:
    bench.bad_pairs = {"20210213_20210225"}
    result = bench.run()
    kept = set(result.scenes.loc[result.scenes["kept"], "pair"])
    assert "20210201_20210213" in kept
    assert "20210225_20210309" in kept
    assert not any(one["what"].startswith("date") for one in result.skipped)


def test_the_first_fault_ends_a_run_without_any_map(bench: Bench) -> None:
    bench.bad_scenes = {""}  # in every pair
    with pytest.raises(ProductError, match=r"none of the 18 pairs tried could be mapped; the first, 20210120_20210201"):
        bench.run()
    assert not (bench.out / "report.html").exists()


def test_a_fault_of_the_elevation_model_is_nobody_elses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_dem(*_: object, **__: object) -> None:
        raise DemError("the elevation model lies elsewhere")

    monkeypatch.setattr(maps, "make_plan", no_dem)
    with pytest.raises(DemError, match="lies elsewhere"):
        bench.run()


def test_an_interrupted_run_continues(bench: Bench) -> None:
    bench.interrupt_at = "20220208_20220220"
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    done = len(bench.mapped)
    assert 0 < done < PAIRS
    assert not (bench.out / "collection.json").exists()
    bench.interrupt_at = None
    result = bench.run()
    assert result.kept_maps == done
    assert len(bench.mapped) == PAIRS - done


def test_what_a_killed_run_left_is_cleared(bench: Bench) -> None:
    left = bench.out / "coherence" / ".20210120_20210201.0123abcd.part.tif"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    bench.run()
    assert not left.exists()


def test_a_dry_run_writes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from insar_mining.pipeline import estimate

    monkeypatch.setattr(estimate, "samples_needed", lambda plan: 1_000_000)
    planned = jobs.plan(bench.mine, out=bench.out, options=bench.options)
    assert not bench.out.exists()
    assert planned.estimate.pairs == planned.estimate.pairs_to_map == PAIRS
    assert planned.estimate.read_bytes == PAIRS * 2 * 4_000_000
    assert set(planned.pairs["map"]) == {"to make"}
    bench.run()
    again = jobs.plan(bench.mine, out=bench.out, options=bench.options)
    assert again.estimate.pairs_to_map == again.estimate.read_bytes == 0
    assert set(again.pairs["map"]) == {"there"}
    # a bound, but not a wild one
    size = sum(path.stat().st_size for path in bench.out.rglob("*.tif"))
    assert again.estimate.disk_bytes > size / 3


def test_a_shorter_rerun_leaves_no_map_of_another_year(bench: Bench) -> None:
    bench.run()
    (bench.out / "my own notes.txt").write_text("keep me", encoding="utf-8")
    bench.run(end="2022-12-31")
    names = {path.name for path in bench.out.iterdir()}
    assert "class_bands_2021_2022_2023.tif" not in names
    assert "ndai_2023.tif" not in names
    assert "classes_2021_2022_2023.tif" not in names
    assert "ndai_2022.tif" in names
    assert "my own notes.txt" in names


EVIL_NAMES = ("..", ".", "", "/", "../user.txt", "my own notes.txt", "link.tif", "ndai_2021.tif/..", "coherence")


def test_a_foreign_record_decides_nothing(bench: Bench) -> None:
    """Only an unchanged file that the record lists with its checksum, under a name of ours, makes room."""
    bench.run()
    bench.out.with_name("user.txt").write_text("keep me", encoding="utf-8")
    (bench.out / "my own notes.txt").write_text("keep me", encoding="utf-8")
    (bench.out / "link.tif").symlink_to(bench.out.with_name("user.txt"))
    (bench.out / "ndai_2019.tif").write_bytes(b"a map of the user's own")
    (bench.out / "ndai_2018.tif").symlink_to(bench.out.with_name("user.txt"))
    (bench.out / "ndai_2023.tif").write_bytes(b"changed by the user")
    path = bench.out / "collection.json"
    collection = json.loads(path.read_text("utf-8"))
    known = collection["assets"]["ndai_2022.tif"]
    for name in (*EVIL_NAMES, "ndai_2019.tif", "ndai_2018.tif"):
        collection["assets"][name] = known | {"file:checksum": "1220" + sha256(bench.out.with_name("user.txt"))}
    path.write_text(json.dumps(collection), encoding="utf-8")
    before = {path for path in bench.out.parent.rglob("*") if ".dates" not in path.parts}
    bench.run(end="2022-12-31")
    gone = before - set(bench.out.parent.rglob("*"))
    maps = [f"{name}_2023" for name in ("active", "duty", "states")]
    maps += [f"{name}_2021_2022_2023" for name in ("rgb", "classes", "class_bands")]
    styled = {f"{name}.qml" for name in (*maps, "ndai_2023") if not name.startswith(("states", "class_bands"))}
    assert {path.name for path in gone} == {"class_areas.csv", *styled, *(f"{name}.tif" for name in maps)}
    assert bench.out.with_name("user.txt").read_text("utf-8") == "keep me"
    assert (bench.out / "ndai_2023.tif").read_bytes() == b"changed by the user"


@pytest.mark.parametrize("assets", [{"..": {}}, {".": {}}, {"": {}}, ["..", "."], {"..": None}, 3, None])
def test_records_of_any_shape_delete_nothing(bench: Bench, assets: object) -> None:
    bench.out.mkdir()
    (bench.out / "notes.txt").write_text("keep me", encoding="utf-8")
    (bench.out.parent / "beside.txt").write_text("keep me", encoding="utf-8")
    record = {"type": "Collection", "id": "insar-mining-demo", "assets": assets}
    (bench.out / "collection.json").write_text(json.dumps(record), encoding="utf-8")
    bench.run(start="2022-01-01", end="2022-12-31")
    assert (bench.out / "notes.txt").exists()
    assert (bench.out.parent / "beside.txt").exists()
    assert (bench.out / "report.html").exists()


def test_every_file_of_a_result_has_a_known_name(bench: Bench) -> None:
    """A file that `FILES` does not list would be left behind by a later run that no longer has it."""
    bench.run()
    own = {path.name for path in bench.out.iterdir()} - {"coherence", ".insar-mining.lock"}
    assert {name for name in own if not FILES.fullmatch(name)} == set()
    assert {path.name for path in (bench.out / "coherence").iterdir() if not MAP_FILES.fullmatch(path.name)} <= {
        ".dates"
    }


HIDDEN_FILES = (".env.old", ".venv.old/bin/python", ".thesis.part2.docx", ".stable.part.tif", ".a.0123abcd.old/x")


def test_hidden_files_of_the_user_stay(bench: Bench) -> None:
    for folder in (bench.out, bench.out / "coherence", bench.out / "coherence" / ".dates"):
        for name in HIDDEN_FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("keep me", encoding="utf-8")
    bench.run()
    jobs.analyse(bench.out / "coherence", bench.mine, out=bench.out, options=None)
    for folder in (bench.out, bench.out / "coherence", bench.out / "coherence" / ".dates"):
        assert all((folder / name).read_text("utf-8") == "keep me" for name in HIDDEN_FILES)


def test_fewer_than_three_years_give_everything_but_colours(bench: Bench) -> None:
    result = bench.run(start="2022-01-01", end="2023-12-31")
    assert result.rgb == {}
    assert result.classes == {}
    assert list(result.activity["year"]) == [2022, 2023]
    share = result.activity["area_m2"] / mine_from_geometry(AREA).area_m2()
    assert share.tolist() == pytest.approx([0.5, 0.0], abs=0.02)
    assert result.report.exists()


def test_the_published_method_knows_no_area_of_fewer_than_three_years(bench: Bench) -> None:
    published = bench.options.replace(activity=bench.options.activity.replace(method="published"))
    result = bench.run(start="2022-01-01", end="2023-12-31", options=published)
    assert result.classes == {}
    assert result.activity["area_m2"].isna().all()
    assert not list(bench.out.glob("active_*")) + list(bench.out.glob("duty_*"))


def test_a_year_of_the_published_method_is_read_from_the_window_that_it_ends(bench: Bench) -> None:
    bench.scenes = scene_table(years=4)
    published = bench.options.replace(activity=bench.options.activity.replace(method="published"))
    result = bench.run(end="2024-12-31", options=published)
    assert sorted(result.classes) == [(2021, 2022, 2023), (2022, 2023, 2024)]
    first = bench.run(options=published).activity
    assert result.activity.iloc[:3].equals(first.iloc[:3])
    assert list(result.activity["year"]) == [2021, 2022, 2023, 2024]


def test_the_collection_lists_items_and_assets_that_exist(bench: Bench) -> None:
    bench.run()
    collection = json.loads((bench.out / "collection.json").read_text("utf-8"))
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert len(items) == PAIRS
    for href in (*items, *(asset["href"] for asset in collection["assets"].values())):
        assert (bench.out / href).exists()
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    assert box(west, south, east, north).buffer(1e-6).contains(AREA)
    assert collection["extent"]["temporal"]["interval"][0][0] == "2021-01-20T00:00:00Z"


# -- wrong from the start --------------------------------------------------------------


def test_without_dates_the_options_are_named(bench: Bench) -> None:
    for scenes in (None, "scenes"):
        with pytest.raises(OptionError, match="needs start and end"):
            bench.run(options=RunOptions(scenes=scenes, dem="dem.tif"))
        with pytest.raises(OptionError, match=r"needs start\."):
            jobs.plan(bench.mine, out=bench.out, options=RunOptions(end="2021-12-31", scenes=scenes))
    assert not bench.out.exists()


def test_a_plan_of_local_scenes_fetches_no_elevation(bench: Bench) -> None:
    with pytest.raises(OptionError, match=r"a plan fetches none: give one \(--dem\)"):
        jobs.plan(bench.mine, out=bench.out, options=RunOptions(start="2021-01-01", end="2021-12-31", scenes="scenes"))


def test_a_polygon_far_from_the_scenes_says_where_both_are(bench: Bench) -> None:
    far = mine_from_geometry((31.79, -8.79, 31.81, -8.77), id="swapped")
    with pytest.raises(CoverageError, match=r"31\.790\.\.31\.810 E.*-9\.500\.\.-7\.000 E.*exchanged"):
        bench.run(mine=far)
    assert not bench.out.exists()


def test_a_period_without_scenes_says_which_dates_there_are(bench: Bench) -> None:
    with pytest.raises(ArchiveError, match=r"2019-01-01 to 2019-12-31; they are of 2021-01-20 to"):
        bench.run(start="2019-01-01", end="2019-12-31")


def test_an_empty_folder_is_named(bench: Bench) -> None:
    bench.scenes = bench.scenes.iloc[:0]
    with pytest.raises(ArchiveError, match="no Sentinel-1 SLC product"):
        bench.run()


def test_a_polarisation_that_no_scene_has_is_named(bench: Bench) -> None:
    with pytest.raises(PairError, match="no scene has polarisation HH; there is VH, VV"):
        bench.run(pairs=PairOptions(polarisation="HH"))


def test_dates_that_give_no_pair_say_what_was_asked(bench: Bench) -> None:
    bench.scenes = scene_table(years=1, of_each=5, every=36)
    with pytest.raises(PairError, match=r"5 dates .* give no pair of 12 or 24 days within 250 m"):
        bench.run()


def test_the_track_with_most_pairs_is_taken_unless_one_is_named(bench: Bench) -> None:
    few = scene_table(years=3, of_each=3, track=7)
    few["scene"] += "B"
    bench.scenes = gpd.GeoDataFrame(pd.concat([few, bench.scenes], ignore_index=True), crs=4326)
    assert len(bench.run().scenes) == PAIRS
    with pytest.warns(FewObservationsWarning, match="2 pairs carry it"):
        named = bench.run(out=bench.folder / "other", pairs=PairOptions(relative_orbit=7))
    assert len(named.scenes) == 6
    with pytest.raises(PairError, match="no scene is of track 8; there are 7, 52"):
        bench.run(out=bench.folder / "none", pairs=PairOptions(relative_orbit=8))


def test_several_mines_need_a_name(bench: Bench) -> None:
    file = bench.folder / "mines.geojson"
    table = gpd.GeoDataFrame({"id": ["north", "south"]}, geometry=[AREA, AREA.buffer(0.001)], crs=4326)
    table.to_file(file)
    with pytest.raises(MineError, match=r"holds 2 mines.*north, south"):
        bench.run(mine=file)
    with pytest.raises(MineError, match="holds no mine 'west'"):
        bench.run(mine=file, mine_id="west")
    assert bench.run(mine=file, mine_id="north").mine.id == "north"


def test_an_output_folder_that_cannot_be_written_is_named(bench: Bench) -> None:
    blocked = bench.folder / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    with pytest.raises(OutputError, match="--out"):
        bench.run(out=blocked / "out")
    with pytest.raises(OutputError, match="--out"):
        bench.run(out=blocked)


HOLD = """
import sys, time
from pathlib import Path
from insar_mining.pipeline.lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_two_runs_in_one_folder_are_told_apart_and_a_killed_one_frees_it(bench: Bench) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(bench.out)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=rf"another run works in this folder \(process {other.pid} on"):
            bench.run()
        other.send_signal(signal.SIGKILL)
    assert len(bench.run().scenes) == PAIRS


def test_progress_is_told_in_order(bench: Bench) -> None:
    told: list[tuple[str, int, int]] = []
    bench.run(progress=lambda *step: told.append(step))
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["coherence", "analysis"]
    for stage in stages:
        done = [step[1] for step in told if step[0] == stage]
        assert done == sorted(done)
        assert done[-1] == next(step[2] for step in reversed(told) if step[0] == stage)


def test_a_result_says_nothing_of_the_machine_but_the_inputs(bench: Bench) -> None:
    """Paths in the shared files are those the user gave, none of temporary files."""
    bench.run()
    for name in ("collection.json", "activity.csv", "scenes.csv"):
        assert not re.search(str(bench.folder), (bench.out / name).read_text("utf-8")), name
    assert Path(bench.out / "run.yaml").read_text("utf-8").count(".part") == 0


@pytest.mark.parametrize(("given", "margin_m"), [({}, 3000), ({"margin_m": 300}, 300), ({"margin_m": 0}, 0)])
def test_a_run_maps_the_ground_around_the_mine_as_its_control(
    bench: Bench, given: dict[str, float], margin_m: int
) -> None:
    activity = {**given, "interval_draws": 0}
    result = bench.run(options=bench.options.replace(activity=activity))
    bare = MapGrid.around(AREA)
    (first, *_) = sorted((bench.out / "coherence").glob("*.tif"))
    cells = margin_m // 20
    with rasterio.open(first) as source:
        # so many cells of 20 m on every side, and a part of one more
        assert 2 * cells <= source.width - bare.width <= 2 * (cells + 1)
        assert 2 * cells <= source.height - bare.height <= 2 * (cells + 1)
    outside = result.stable["cover"].values == 0
    assert (result.stable.values & outside).sum() == (result.stable.values.sum() if margin_m else 0)
    inside = (result.stable["cover"].values >= 0.5).sum()
    assert list(result.activity["n_pixels"]) == [inside] * 3
    shares = result.activity["area_m2"] / mine_from_geometry(AREA).area_m2()
    np.testing.assert_allclose(shares, [1 / 6, 1 / 2, 0], atol=0.02)
    assert all(("NO_CONTROL" in flags) == (margin_m == 0) for flags in result.activity["flags"])
    # the same again makes no map again
    bench.run(options=bench.options.replace(activity=activity))
    assert bench.mapped == []


def test_the_archive_is_asked_for_the_ground_around_the_mine_too(tmp_path: Path) -> None:
    """Bursts and elevation of all that is mapped: here 1 km on every side."""

    class AskedError(Exception):
        """Enough is known."""

    asked: list[tuple[float, ...]] = []

    def search(mine: Mine, *_: object, **__: object) -> None:
        asked.append(mine.geometry.bounds)
        raise AskedError

    def fetch_dem(bounds: tuple[float, ...], *_: object, **__: object) -> None:
        asked.append(bounds)
        raise AskedError

    network = acquisition.Network(search=search, elevation=fetch_dem)
    mine = mine_from_geometry(AREA)
    for margin in (0, 1000):
        options = RunOptions(start="2021-01-01", end="2021-12-31", activity={"margin_m": margin})
        for ask in (
            lambda options=options: acquisition.find_images(mine, options, network),
            lambda options=options: acquisition.elevation(mine, options, tmp_path, network),
        ):
            with pytest.raises(AskedError):
                ask()
    bare, around = np.array(asked[:2]), np.array(asked[2:])
    np.testing.assert_allclose(bare, np.tile(AREA.bounds, (2, 1)))
    grown = (around - bare) * [-1, -1, 1, 1]
    # a kilometre is 0.00902 degrees of latitude, and 0.0106 of longitude at 31.8 degrees north
    np.testing.assert_allclose(grown, np.tile([0.0106, 0.00902], (2, 2)), rtol=0.02)


def test_a_result_that_has_no_folder_is_said_before_any_work(bench: Bench) -> None:
    bench.out.write_text("a file", encoding="utf-8")
    for out in (bench.out, bench.out / "below"):
        with pytest.raises(OutputError, match="is a file"):
            bench.run(out=out)
        with pytest.raises(OutputError, match="is a file"):
            jobs.plan(bench.mine, out=out, options=bench.options)
    assert bench.mapped == []
    assert bench.out.read_text("utf-8") == "a file"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("coherence.orbits", OrbitError),
        ("dem", DemError),
        ("activity.masks", OptionError),
        ("activity.ndvi", OptionError),
    ],
)
def test_a_wrong_name_of_a_file_is_said_at_once(bench: Bench, name: str, error: type[Exception]) -> None:
    section, _, key = name.rpartition(".")
    path = bench.folder / "typo.file"
    if section:
        changed = getattr(bench.options, section).replace(**{key: (path,)})
        options = bench.options.replace(dem=bench.mine, **{section: changed})
    else:
        options = bench.options.replace(dem=path)
    with pytest.raises(error, match=r"typo\.file: no such file"):
        check_paths(options)
    check_paths(options.replace(dem=bench.mine) if name == "dem" else bench.options.replace(dem=bench.mine))


def test_a_plan_none_of_whose_pairs_can_be_mapped_ends_with_the_first_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise ProductError("the measurement is missing")

    monkeypatch.setattr(maps, "make_plan", damaged)
    with pytest.raises(ProductError, match="none of the 18 pairs"):
        jobs.plan(bench.mine, out=bench.out, options=bench.options)


def test_the_quality_of_dates_is_in_the_table_of_pairs(bench: Bench) -> None:
    bench.bad_pairs = {"20210120_20210201"}
    result = bench.run()
    table = pd.read_csv(result.out / "scenes.csv").set_index("pair")
    assert list(table.columns)[:5] == ["kept", "reason", "stable_mean", "stable_sd", "n_stable"]
    assert list(table.columns)[5:] == list(COLUMNS)
    failed = table.loc["20210120_20210201"]
    assert failed[list(COLUMNS)].isna().all()
    mapped = table.drop(index="20210120_20210201")
    assert (mapped["common_band"] == 0.97).all()
    assert mapped["reference_lost_lines"].tolist() == [int(pair[6:8]) for pair in mapped.index]
    assert mapped["secondary_rfi_percent"].isna().all()
    (remark,) = [note for note in result.analysis.notes if "lack lines" in note]
    first = mapped.index[0]
    assert f"{first[:4]}-{first[4:6]}-{first[6:8]} ({int(first[6:8])})" in remark


def test_dates_that_lack_lines_or_are_disturbed_are_remarked_upon() -> None:
    pairs = pd.DataFrame({"pair": ["20210105_20210117", "20210117_20210129", "20210129_20210210"]})
    found = {
        "20210105_20210117": {"secondary_lost_lines": 5, "reference_rfi_percent": 9.5},
        "20210117_20210129": {"reference_lost_lines": 5, "secondary_rfi_percent": 62.5},
    }
    lost, disturbed = remarks_on_dates(with_quality(pairs, found))
    assert "2021-01-17 (5)." in lost
    assert "2021-01-29 (62.5 %)." in disturbed
    assert "2021-01-05" not in lost + disturbed
    assert remarks_on_dates(with_quality(pairs, {})) == []


def test_two_satellites_give_two_series_of_twelve_days_or_one_of_six(bench: Bench) -> None:
    """Sentinel-1C and 1D six days apart: by default no pair mixes them, and both choices see the same ground."""
    table = scene_table(years=1, of_each=14, every=6)
    letters = np.where(np.arange(len(table)) % 2, "D", "C")
    bench.scenes = table.assign(
        platform=[f"S1{letter}" for letter in letters],
        scene=[name.replace("S1A", f"S1{letter}") for name, letter in zip(table["scene"], letters, strict=True)],
    )
    bench.scenes.attrs["skipped"] = []
    alone = bench.run(out=bench.folder / "alone")
    mixed = bench.run(
        out=bench.folder / "mixed",
        pairs=PairOptions(temporal_baseline_days=(6, 12), allow_mixed_platforms=True),
    )
    days = [
        {(pd.Timestamp(pair[9:]) - pd.Timestamp(pair[:8])).days for pair in found.scenes["pair"]}
        for found in (alone, mixed)
    ]
    assert days == [{12}, {6}]
    assert (len(alone.scenes), len(mixed.scenes)) == (12, 13)
    areas = [float(found.activity["area_m2"].iloc[0]) for found in (alone, mixed)]
    assert areas[0] > 0
    assert areas[0] == pytest.approx(areas[1], rel=0.02)
