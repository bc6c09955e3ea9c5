"""From a search over pairs to products on disk, on the command line, against the loopback archive."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import requests
from shapely.geometry import box
from typer.testing import CliRunner, Result

from insar_mining.cli import app, inputs
from insar_mining.download.orbits import BucketSource
from insar_mining.download.products import TYPICAL_SCENE_BYTES, plan_fetch
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError
from insar_mining.pipeline.acquisition import Network
from insar_mining.scenes import search as search_module
from insar_mining.scenes.records import read_records, records_table, write_records
from tests.unit.download.test_elevation_fetch import glo30
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff

Load = Callable[[str], list[dict[str, Any]]]
MINES = {"burst_166": box(-135.92, 57.03, -135.90, 57.05), "slc_88": box(-73.84, 41.24, -73.81, 41.26)}


@pytest.fixture
def loopback(server: Any, catalogue: requests.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line talks to the server, as to every host of the archive."""
    monkeypatch.setattr(search_module, "catalogue_session", lambda: catalogue)
    network = Network(
        login=lambda connections: catalogue,
        public=lambda: catalogue,
        orbit_sources=(BucketSource(f"{server.url}/bucket"),),
        dem_sources={"glo30": glo30(server, {})},
        limits=Limits(attempts=2, first_wait_s=0.001),
    )
    monkeypatch.setattr(inputs, "open_network", lambda: network)
    return server


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def mine_file(folder: Path, name: str) -> Path:
    path = folder / "mine.geojson"
    gpd.GeoDataFrame({"id": ["pit"]}, geometry=[MINES[name]], crs=4326).to_file(path)
    return path


def days_of(items: list[dict[str, Any]], year: int) -> list[dt.date]:
    found = {re.search(r"_(\d{8})T", i["umm"]["GranuleUR"])[1] for i in items}  # type: ignore[index]
    days = [dt.datetime.strptime(d, "%Y%m%d").date() for d in found]
    return sorted(d for d in days if d.year == year)


@pytest.mark.parametrize("name", MINES)
def test_a_year_of_a_mine_planned_without_fetching(loopback: Any, records: Load, tmp_path: Path, name: str) -> None:
    loopback.records = records(name)
    year, product = (2020, "burst") if name == "burst_166" else (2022, "scene")
    days = days_of(records(name), year)
    mine, scenes, pairs = mine_file(tmp_path, name), tmp_path / "scenes.geojson", tmp_path / "pairs.geojson"
    period = ("--start", f"{year}-01-01", "--end", f"{year}-12-31")
    searched = command("search", mine, *period, "--product", product, "-o", scenes, "--json")
    assert searched.exit_code == 0, searched.output
    said = json.loads(searched.stdout)
    assert said["track"] == {"burst_166": 174, "slc_88": 33}[name]
    wide = [(b - a).days for a, b in itertools.pairwise(days) if (b - a).days > 12]
    assert [gap["days"] for gap in said["gaps"]] == [str(days) for days in wide]
    assert said["pair_options"].startswith("--temporal-baseline")
    paired = command("pairs", scenes, "--mine", mine, "-o", pairs, "--json")
    assert paired.exit_code == 0, paired.output
    found = json.loads(paired.stdout)
    used = {p[which] for p in found for which in ("reference", "secondary")}
    # the table of rejected candidates names every image and pair that is not used, each with a reason
    few = ("--network", "small-baseline", "--connections", "1", "--max-pairs", "5", "--max-perp-baseline", "60")
    capped = command("pairs", scenes, "--mine", mine, *few, "--rejected", tmp_path / "rejected.csv", "--json")
    assert len(json.loads(capped.stdout)) == 5
    unused = pd.read_csv(tmp_path / "rejected.csv", keep_default_na=False)
    assert list(unused) == ["pair", "scene", "reason"]
    assert unused["reason"].str.len().min() > 10
    assert unused["reason"].str.contains("beyond the limit of 60 m").any()
    assert unused["reason"].str.contains("cap of 5 pairs").any()
    assert ((unused["pair"] == "") != (unused["scene"] == "")).all()
    assert f"{len(unused)} candidates are not used" in capped.stderr
    planned = command("fetch", pairs, "--to", tmp_path / "new", "--dry-run", "--line", "5", "--json")
    assert planned.exit_code == 0, planned.output
    estimate = json.loads(planned.stdout)
    sizes = {row.scene: row.bytes for row in read_records(scenes).itertuples() if row.scene in used}
    expected = sum(sizes.values()) + (len(used) * 5_000_000 if product == "burst" else 0)
    assert estimate["dates"] == len(used)
    assert estimate["files"] == len(used) * (2 if product == "burst" else 1)
    assert estimate["gigabytes"] == pytest.approx(expected / 1e9, abs=1e-3)
    assert estimate["hours"] == pytest.approx(expected / 4e6 / 3600, abs=0.01)
    whole = len(used) * TYPICAL_SCENE_BYTES if product == "burst" else expected
    assert estimate["gigabytes_as_whole_scenes"] == pytest.approx(whole / 1e9, abs=1e-3)
    if product == "burst":
        assert estimate["share_of_whole_scenes"] < 0.04  # a few per cent
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", MINES)
def test_a_year_of_a_mine_planned_by_a_dry_run(loopback: Any, records: Load, tmp_path: Path, name: str) -> None:
    """Scenes against bursts, bytes, disk, hours, pairs and what is missing, held against the records' own text."""
    loopback.records = records(name)
    year, product = (2020, "burst") if name == "burst_166" else (2022, "scene")
    days = days_of(records(name), year)
    mine = mine_file(tmp_path, name)
    done = command(
        "run", mine, "--start", f"{year}-01-01", "--end", f"{year}-12-31", "--product", product, "--dry-run",
        "--line", "5", "--bandwidth", "2", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    archive = said["archive"]
    dates = {dt.datetime.strptime(d, "%Y%m%d").date() for row in said["list"] for d in row["pair"].split("_")}
    assert dates <= set(days)
    assert len(dates) == archive["dates"]
    sizes = 0
    for item in records(name):
        day = re.search(r"_(\d{8})T", item["umm"]["GranuleUR"])
        attributes = {a["Name"]: a["Values"][0] for a in item["umm"]["AdditionalAttributes"]}
        if day is not None and dt.datetime.strptime(day[1], "%Y%m%d").date() in dates:
            sizes += int(attributes["BYTE_LENGTH"]) + 5_000_000 if product == "burst" else int(attributes["BYTES"])
    assert archive["bytes"] == archive["bytes_missing"] == sizes
    beside = len(dates) * 4_600_000 + 90_000_000  # orbits, elevation
    assert archive["disk_bytes"] == sizes + beside
    assert archive["hours"] == pytest.approx((sizes + beside) / (0.8 * 2e6) / 3600, abs=0.01)
    if product == "burst":
        assert archive["bytes_as_whole_scenes"] == len(dates) * TYPICAL_SCENE_BYTES
        assert sizes < 0.04 * archive["bytes_as_whole_scenes"]
    else:
        assert archive["bytes_as_whole_scenes"] == sizes
    wide = [str((b - a).days) for a, b in itertools.pairwise(days) if (b - a).days > 12]
    assert [gap["days"] for gap in archive["gaps"]] == wide
    assert said["seconds"] > 0
    assert not (tmp_path / "out").exists()
    assert {urlsplit(a.path).path for a in loopback.asked} == {"/search/granules.umm_json"}
    people = command(
        "run", mine, "--start", f"{year}-01-01", "--end", f"{year}-12-31", "--product", product, "--dry-run"
    )
    assert f"{len(dates)} dates in {archive['files']} files" in people.stdout
    assert ("of the" in people.stdout) == (product == "burst")


def test_plots_are_written_beside_the_tables(loopback: Any, records: Load, tmp_path: Path) -> None:
    loopback.records = records("burst_166")
    mine, scenes = mine_file(tmp_path, "burst_166"), tmp_path / "scenes.geojson"
    period = ("--start", "2020-01-01", "--end", "2020-06-30")
    searched = command("search", mine, *period, "-o", scenes, "--plot", tmp_path / "search é.png")
    assert searched.exit_code == 0, searched.output
    paired = command("pairs", scenes, "--mine", mine, "--plot", tmp_path / "pairs.svg")
    assert paired.exit_code == 0, paired.output
    assert (tmp_path / "search é.png").read_bytes().startswith(b"\x89PNG")
    drawing = (tmp_path / "pairs.svg").read_text()
    for words in ("Network of pairs, track 174 descending", "Calendar of images, track 174 descending", "Around pit"):
        assert f"<!-- {words} -->" in drawing
    wrong = command("pairs", scenes, "--plot", tmp_path / "pairs.doc")
    assert wrong.exit_code == 1
    assert "plots are written as .png, .svg, .pdf, not as .doc" in wrong.stderr


def test_bursts_are_fetched_into_products(loopback: Any, records: Load, tmp_path: Path) -> None:
    table = records_table(records("burst_166")[:3])
    write_plain_tiff(tmp_path / "b.tiff", pattern(np.arange(20), np.arange(30)))
    contents = {}
    for row in table.itertuples():
        contents[f"{row.source_scene}_BURSTS/{row.scene}.tiff"] = (tmp_path / "b.tiff").read_bytes()
        contents[f"{row.source_scene}_BURSTS/{row.source_scene}_VV.xml"] = b"<burst/>"
        loopback.add(urlsplit(row.url).path, (tmp_path / "b.tiff").read_bytes(), ways=["status:202:0", "cut:0.37"])
        loopback.add(urlsplit(row.metadata_url).path, b"<burst/>", content_type="text/xml")
    scenes = write_records(table, tmp_path / "scenes.parquet")
    to = tmp_path / "products"
    done = command("fetch", scenes, "--to", to, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["fetched"] == 6
    for name, content in contents.items():
        assert (to / name).read_bytes() == content
    seen = len(loopback.asked)
    again = command("fetch", scenes, "--to", to, "--json")
    assert json.loads(again.stdout)["there"] == 6
    assert len(loopback.asked) == seen
    verified = command("verify", to, "--json")
    assert verified.exit_code == 0, verified.output
    assert {row["state"] for row in json.loads(verified.stdout)} == {"whole"}
    next(to.rglob("*.tiff")).write_bytes(b"II*\0damaged")
    verified = command("verify", to)
    assert verified.exit_code == 1
    assert "1 of 6 are damaged" in verified.stderr


def test_a_file_that_cannot_be_had_is_named_and_the_exit_code_says_so(
    loopback: Any, records: Load, tmp_path: Path
) -> None:
    scenes = write_records(records_table(records("pair_scene_reference")), tmp_path / "scenes.geojson")
    done = command("fetch", scenes, "--to", tmp_path / "p")
    assert done.exit_code == 1
    assert "no such file (404)" in done.stderr
    assert "1 of 1 files could not be fetched" in done.stderr


def test_without_an_account_the_remedy_is_said(records: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    scenes = write_records(records_table(records("pair_scene_reference")), tmp_path / "scenes.geojson")
    done = command("fetch", scenes, "--to", tmp_path / "p")
    assert done.exit_code == 1
    assert "needs an Earthdata account: set EARTHDATA_TOKEN" in done.stderr


def test_nothing_found_is_said(loopback: Any, tmp_path: Path) -> None:
    mine = mine_file(tmp_path, "slc_88")
    done = command("search", mine, "--start", "2020-01-01", "--end", "2020-12-31")
    assert done.exit_code == 1
    assert "no image of pit from 2020-01-01 to 2020-12-31" in done.stderr


def test_a_search_speaks_to_people(loopback: Any, records: Load, tmp_path: Path) -> None:
    loopback.records = records("slc_88")
    mine = mine_file(tmp_path, "slc_88")
    done = command("search", mine, "--start", "2020-01-01", "--end", "2025-12-31", "--product", "scene")
    assert done.exit_code == 0, done.output
    assert "track 33 (ascending) shows the whole mine on 8" in done.stderr
    assert "Sentinel-1C began regular service" in done.stderr


def test_of_bursts_the_whole_passage_is_fetched(records: Load) -> None:
    table = records_table(records("burst_166")[:2])
    other = table.iloc[[0]].assign(scene="S1_372327_IW3_20141017T151620_VV_3B42-BURST", burst_id="174_372327_IW3")
    both = gpd.GeoDataFrame(gpd.pd.concat([table, other], ignore_index=True), crs=4326)
    plan = plan_fetch(both, only=[table["scene"].iloc[0]])
    assert plan.images == 2
    assert sorted(item.name.rpartition(".")[2] for item in plan.items) == ["tiff", "tiff", "xml"]


def test_bursts_of_two_slices_of_a_pass_come_into_one_folder(records: Load) -> None:
    """A later slice of the same pass, the same slice on another date, and another orbit's scene."""
    table = records_table(records("burst_166")[:2])
    row, other_date = table.iloc[[0]], table.iloc[[1]]
    seam = row.assign(
        scene="S1_372327_IW3_20141017T151620_VV_3B42-BURST", burst_id="174_372327_IW3", source_scene="S1A_second_slice",
        start=row["start"] + np.timedelta64(2758, "ms"),
    )  # fmt: skip
    both = gpd.GeoDataFrame(gpd.pd.concat([seam, other_date, row], ignore_index=True), crs=4326)
    plan = plan_fetch(both)
    first, other = row["source_scene"].item(), other_date["source_scene"].item()
    folders = {item.name.partition("/")[0] for item in plan.items}
    assert folders == {f"{first}_BURSTS", f"{other}_BURSTS"} == set(plan.products)
    assert plan.products[f"{first}_BURSTS"] == (row["start"].item().date(), first)
    of_pass = sorted(item.name for item in plan.items if item.name.startswith(first))
    assert [name.rpartition("/")[2] for name in of_pass] == sorted(
        [f"{first}_VV.xml", "S1A_second_slice_VV.xml", f"{seam['scene'].item()}.tiff", f"{row['scene'].item()}.tiff"]
    )
    apart = both.assign(start=both["start"].where(both.index > 0, both["start"] + np.timedelta64(90, "s")))
    assert "S1A_second_slice_BURSTS" in plan_fetch(apart).products


def test_records_that_would_leave_the_folder_are_refused(records: Load) -> None:
    table = records_table(records("pair_scene_reference"))
    for name in ("../x", "a/b", ".hidden", "", None):
        with pytest.raises(ArchiveError, match="no name of a Sentinel-1 image"):
            plan_fetch(table.assign(scene=[name]))


def test_images_that_are_not_in_the_table_are_named(records: Load) -> None:
    with pytest.raises(ArchiveError, match=r"1 of the images wanted .*nowhere"):
        plan_fetch(records_table(records("pair_scene_reference")), only=["nowhere"])


def test_images_without_an_address_are_named(records: Load) -> None:
    table = records_table(records("pair_scene_reference") + records("pair_scene_secondary"))
    plan = plan_fetch(table.assign(url=[None, table["url"].iloc[1]]))
    assert [scene for scene, _ in plan.unobtainable] == [table["scene"].iloc[0]]
    with pytest.raises(ArchiveError, match="no address"):
        plan_fetch(table.assign(url=None))
