"""Search against recorded answers of the catalogue, served over the loopback interface."""

from __future__ import annotations

import copy
import datetime as dt
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from pandas.testing import assert_frame_equal
from shapely.geometry import MultiPolygon, box

from insar_mining.errors import ArchiveError, OptionError, OrbitError, OutputError, SkippedInputWarning
from insar_mining.scenes.records import RECORD_COLUMNS, read_records, records_table, without_doubles, write_records
from insar_mining.scenes.search import search
from insar_mining.sentinel1.record_orbits import from_text

Load = Callable[[str], list[dict[str, Any]]]

AREA = {
    "slc_176": box(-120.83, 54.83, -120.81, 54.85),
    "slc_88": box(-73.84, 41.24, -73.81, 41.26),
    "burst_166": box(-135.92, 57.03, -135.90, 57.05),
}


def attributes(item: dict[str, Any]) -> dict[str, str]:
    return {a["Name"]: a["Values"][0] for a in item["umm"]["AdditionalAttributes"]}


def found(server: Any, catalogue: requests.Session, records: Load, name: str, **options: Any) -> Any:
    server.records = records(name)
    kind = "burst" if name.startswith("burst") else "scene"
    return search(AREA[name], "2014-04-03", "2025-12-31", kind=kind, session=catalogue, **options)


@pytest.mark.parametrize("name", AREA)
@pytest.mark.parametrize("page_size", [7, 250])
def test_every_record_comes_whatever_the_size_of_pages(
    server: Any, catalogue: requests.Session, records: Load, name: str, page_size: int
) -> None:
    server.page_size = page_size
    table = found(server, catalogue, records, name)
    expected = {i["umm"]["GranuleUR"].removesuffix("-SLC") for i in records(name)}
    assert set(table["scene"]) == expected
    assert len(table) == len(records(name)) == {"slc_176": 176, "slc_88": 88, "burst_166": 166}[name]
    assert len(server.asked) == -(-len(expected) // page_size)


@pytest.mark.parametrize("name", AREA)
def test_the_table_says_what_the_records_say(
    server: Any, catalogue: requests.Session, records: Load, name: str
) -> None:
    table = found(server, catalogue, records, name).set_index("scene")
    assert tuple(table.reset_index().columns) == RECORD_COLUMNS
    for item in records(name):
        said, row = attributes(item), table.loc[item["umm"]["GranuleUR"].removesuffix("-SLC")]
        assert f"SENTINEL-1{row['platform'][-1]}" == item["umm"]["Platforms"][0]["ShortName"]
        assert str(row["relative_orbit"]) == said["PATH_NUMBER"]
        assert row["direction"].upper() == said["ASCENDING_DESCENDING"]
        assert set(row["polarisations"].split("+")) == set(said["POLARIZATION"].split("+"))
        assert row["absolute_orbit"] == item["umm"]["OrbitCalculatedSpatialDomains"][0]["OrbitNumber"]
        assert row["url"] in {u["URL"] for u in item["umm"]["RelatedUrls"]}
        if name == "burst_166":
            assert (row["burst_id"], row["swaths"]) == (said["BURST_ID_FULL"], said["SUBSWATH_NAME"])
            assert row["metadata_url"].endswith(".xml")
            assert row["url"].split("/")[3] == row["source_scene"]
            assert str(row["bytes"]) == said["BYTE_LENGTH"]
            # the burst's name holds its first line's time, cut to seconds
            assert row["start"].strftime("%Y%m%dT%H%M%S") == row.name.split("_")[3]
        else:
            assert (str(row["bytes"]), row["md5"]) == (said["BYTES"], said["MD5SUM"])
            assert row["start"].strftime("%Y%m%dT%H%M%S") == row.name.split("_")[5]
        first = said["SV_POSITION_PRE"].split(",")
        vectors = from_text(row["state_vectors"], source=row.name)
        assert vectors.position_m[0].tolist() == [float(x) for x in first[:3]]
        assert vectors.time[0] == np.datetime64(first[3])
        corner = item["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"][0]["Boundary"]
        longitudes = [p["Longitude"] for p in corner["Points"]]
        assert row["geometry"].bounds[0] == min(longitudes)


def test_the_catalogue_is_asked_for_what_was_wanted(server: Any, catalogue: requests.Session, records: Load) -> None:
    table = found(server, catalogue, records, "slc_88", direction="ascending", relative_orbit=33, platform="S1A")
    (query,) = server.queries
    assert query["temporal"] == ["2014-04-03T00:00:00Z,2025-12-31T23:59:59Z,"]
    text = str(query)
    assert "PATH_NUMBER,33" in text
    assert "ASCENDING" in text
    assert "SLC" in text
    assert query["provider"] == ["ASF"]
    assert table.attrs["query"]["relativeOrbit"] == "[33]"
    (asked,) = server.asked
    assert asked.headers["User-Agent"].startswith("insar-mining/")
    assert "Authorization" not in asked.headers


def test_only_images_of_the_period_the_area_and_the_polarisation_are_kept(
    server: Any, catalogue: requests.Session, records: Load
) -> None:
    server.records = records("slc_176")
    days = [
        dt.date.fromisoformat(i["umm"]["TemporalExtent"]["RangeDateTime"]["BeginningDateTime"][:10])
        for i in server.records
    ]
    first, last = dt.date(2018, 3, 1), dt.date(2018, 3, 25)
    table = search(AREA["slc_176"], first, last, kind="scene", session=catalogue)
    assert len(table) == sum(first <= day <= last for day in days) > 0
    with_vh = search(AREA["slc_176"], "2014-04-03", "2022-01-01", kind="scene", polarisation="VH", session=catalogue)
    assert len(with_vh) == sum(attributes(i)["POLARIZATION"] == "VV+VH" for i in server.records) == 155
    assert search(box(10, 45, 10.1, 45.1), "2014-04-03", "2022-01-01", kind="scene", session=catalogue).empty


def test_an_area_on_both_sides_of_the_antimeridian_is_asked_for_in_parts(
    server: Any, catalogue: requests.Session, records: Load
) -> None:
    server.records = records("slc_88")
    parts = MultiPolygon([box(179.9, 51, 180, 51.1), box(-180, 51, -179.9, 51.1)])
    assert search(parts, "2020-01-01", "2020-02-01", kind="scene", session=catalogue).empty
    assert len(server.queries) == 2


def test_an_answer_that_ends_early_is_an_error(server: Any, catalogue: requests.Session, records: Load) -> None:
    server.records, server.page_size, server.catalogue_ways = records("slc_176"), 50, ["well", "ends"]
    with pytest.raises(ArchiveError, match=r"incomplete: it ended after 100 records"):
        search(AREA["slc_176"], "2014-04-03", "2022-01-01", kind="scene", session=catalogue)


@pytest.mark.parametrize("way", ["html", "status:400"])
def test_a_catalogue_that_fails_is_an_error_in_words(
    server: Any, catalogue: requests.Session, records: Load, way: str
) -> None:
    server.records, server.catalogue_ways = records("slc_88"), [way]
    with pytest.raises(ArchiveError, match="the catalogue of ASF cannot be searched"):
        search(AREA["slc_88"], "2020-01-01", "2022-01-01", kind="scene", session=catalogue)


def test_errors_are_not_reported_to_asf(
    server: Any, catalogue: requests.Session, records: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asf_search  # slow to import: only this test needs it

    monkeypatch.setattr(asf_search, "REPORT_ERRORS", True)
    sent: list[Any] = []
    monkeypatch.setattr(requests, "post", lambda *a, **k: sent.append((a, k)))
    server.records, server.catalogue_ways = records("slc_88"), ["status:400"]
    with pytest.raises(ArchiveError):
        search(AREA["slc_88"], "2020-01-01", "2022-01-01", kind="scene", session=catalogue)
    assert not sent


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "grd"},
        {"direction": "up"},
        {"relative_orbit": 176},
        {"platform": "Sentinel-1A"},
        {"start": "2020-02-30"},
        {"start": "2021-01-01", "end": "2020-01-01"},
        {"start": "2001-01-01", "end": "2002-01-01"},
    ],
)
def test_impossible_questions_are_refused_before_the_network(options: dict[str, Any]) -> None:
    asked = {"start": "2020-01-01", "end": "2021-01-01", **options}
    with pytest.raises(OptionError):
        search(AREA["slc_88"], session=None, **asked)


@pytest.mark.parametrize("suffix", [".geojson", ".parquet"])
@pytest.mark.parametrize("name", AREA)
def test_a_table_comes_back_from_a_file_as_it_was(records: Load, tmp_path: Path, name: str, suffix: str) -> None:
    items = copy.deepcopy(records(name))
    for attribute in ("BYTES", "BYTE_LENGTH", "MD5SUM", "SV_POSITION_PRE", "PATH_NUMBER", "FRAME_NUMBER"):
        said = items[3]["umm"]["AdditionalAttributes"]
        items[3]["umm"]["AdditionalAttributes"] = [a for a in said if a["Name"] != attribute]
    table = records_table(items)
    again = read_records(write_records(table, tmp_path / f"ä b{suffix}"))
    assert_frame_equal(again, table)
    assert again.crs == table.crs
    assert again["bytes"].isna().sum() == 1


def test_files_that_are_no_tables_are_named(tmp_path: Path, records: Load) -> None:
    (tmp_path / "x.geojson").write_text('{"features": [{"properties": {}}]}')
    with pytest.raises(ArchiveError, match=r"x\.geojson: no table of scenes"):
        read_records(tmp_path / "x.geojson")
    with pytest.raises(ArchiveError, match="no table of scenes"):
        read_records(tmp_path / "none.parquet")
    with pytest.raises(OutputError, match=r"\.csv"):
        write_records(records_table(records("pair_scene_reference")), tmp_path / "x.csv")


@pytest.mark.parametrize("missing", ["SV_POSITION_PRE", "SV_POSITION_POST", "SV_VELOCITY_PRE", "SV_VELOCITY_POST"])
@pytest.mark.parametrize("how", ["left out", "NA"])
def test_records_without_state_vectors_say_so(records: Load, missing: str, how: str) -> None:
    item = copy.deepcopy(records("pair_scene_reference")[0])
    said = item["umm"]["AdditionalAttributes"]
    kept = [a for a in said if a["Name"] != missing]
    item["umm"]["AdditionalAttributes"] = kept + ([{"Name": missing, "Values": ["NA"]}] if how == "NA" else [])
    (text,) = records_table([item])["state_vectors"]
    assert text is None
    with pytest.raises(OrbitError, match="unknown"):
        from_text(text, source="a scene")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("0,0,0,2022-02-15T22:51:30.000000", "a state vector lies 0 to 7,0"),
        ("nan,1,2,2022-02-15T22:51:30.000000", "not finite"),
        ("989814.6,-5330899.764523,4537736.798845,2022-02-15T22:51:30.000000", "misses the next by 9.9"),
        ("one,two,three,2022-02-15T22:51:30.000000", "cannot be read"),
    ],
)
def test_damaged_state_vectors_are_unknown_and_warned_of(records: Load, value: str, complaint: str) -> None:
    item = copy.deepcopy(records("pair_scene_reference")[0])
    for attribute in item["umm"]["AdditionalAttributes"]:
        if attribute["Name"] == "SV_POSITION_PRE":
            attribute["Values"] = [value]
    with pytest.warns(SkippedInputWarning, match=complaint):
        table = records_table([item])
    assert table["state_vectors"].tolist() == [None]


def test_records_of_other_products_are_left_out_and_named(records: Load) -> None:
    items = copy.deepcopy(records("slc_88")[:4])
    items[0]["umm"]["Platforms"][0]["ShortName"] = "ALOS"
    del items[1]["umm"]["TemporalExtent"]
    for attribute in items[2]["umm"]["AdditionalAttributes"]:
        if attribute["Name"] == "BEAM_MODE":
            attribute["Values"] = ["EW"]
    with pytest.warns(SkippedInputWarning) as caught:
        table = records_table(items)
    assert len(table) == 1
    assert len(caught) == len(table.attrs["skipped"]) == 3


def test_of_a_scene_processed_twice_the_latest_is_kept(records: Load) -> None:
    old, new = copy.deepcopy(records("slc_88")[:1] * 2)
    new["umm"]["GranuleUR"] = new["umm"]["GranuleUR"].replace("660E-SLC", "FFFF-SLC")
    new["umm"]["PGEVersionClass"]["PGEVersion"] = "999.10"
    period = new["umm"]["TemporalExtent"]["RangeDateTime"]
    period["BeginningDateTime"] = period["BeginningDateTime"].replace(".306Z", ".906Z")
    others = records("slc_88")[1:5]
    for order in ([old, new, *others], [*others, new, old]):
        kept = without_doubles(records_table(order))
        assert len(kept) == 5
        assert kept["scene"].str.endswith("FFFF").sum() == 1
        (double,) = kept.attrs["doubles"]
        assert double["scene"] == old["umm"]["GranuleUR"].removesuffix("-SLC")
    assert Counter(kept["platform"]) == {"S1A": 5}


def test_asf_search_is_imported_only_by_a_search() -> None:
    code = "import insar_mining.scenes.search, sys; sys.exit('asf_search' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
