"""The two dates of a raster are found wherever they stand, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insar_mining.activity.cube.dates import DatePair, dates_in_name, dates_of_raster, pair_name, year_of
from insar_mining.errors import RasterError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20210105_20210117", "20210105_20210117"),
        ("20210105-20210117.tif", "20210105_20210117"),
        ("20Dec2019_01Jan2020.tif", "20191220_20200101"),
        ("coh_IW1_VV_05jan2021_17JAN2021_TC", "20210105_20210117"),
        ("cropA_20180106-20180130_VV_8rlks_flat_eqa_cc.tif", "20180106_20180130"),
        ("S1AA_20210105T053012_20210117T053012_VVP012_INT80_G_ueF_7EF5_coh", "20210105_20210117"),
        ("2021-01-05_2021-01-17", "20210105_20210117"),
        ("mine 7 (VV) 20210105_20210117 [final]", "20210105_20210117"),
        # the order in a name carries nothing
        ("20210117_20210105", "20210105_20210117"),
        # the start and stop of one SLC product are no pair
        ("S1A_IW_SLC__1SDV_20210105T053012_20210105T053039_036001_0437B2_1A2B", None),
        ("20210105_20210105", None),
        ("cropA_T005A_dem", None),
        ("dem_20210105", None),
        # not of the calendar, or longer numbers
        ("20211305_20210117", None),
        ("20210230_20210317", None),
        ("120210105_20210117", None),
        ("20210105_202101170", None),
        # two dates that do not stand together
        ("20210105_VV_to_VH_20210117", None),
    ],
)
def test_a_pair_is_found_anywhere_in_a_name(name: str, expected: str | None) -> None:
    found = dates_in_name(name)
    assert (found and found.name) == expected


def test_a_name_of_three_dates_is_refused() -> None:
    with pytest.raises(RasterError, match="20210105_20210117, 20210117_20210129"):
        dates_in_name("20210105_20210117_20210129.tif")


@given(
    st.dates(min_value=np.datetime64("1990-01-01").item(), max_value=np.datetime64("2099-12-31").item()),
    st.integers(1, 400),
    st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%d%b%Y"]),
    st.sampled_from(["_", "-", "__"]),
)
def test_every_written_pair_is_read_back(first: object, days: int, style: str, between: str) -> None:
    import datetime as dt

    assert isinstance(first, dt.date)
    second = first + dt.timedelta(days=days)
    found = dates_in_name(f"coh_{first.strftime(style)}{between}{second.strftime(style)}_VV.tif")
    assert found is not None
    assert (found.reference, found.secondary) == (np.datetime64(first, "D"), np.datetime64(second, "D"))
    assert found.days == days
    assert found.name == f"{first:%Y%m%d}_{second:%Y%m%d}"


@pytest.mark.parametrize(
    ("reference", "secondary", "year"),
    [
        ("2020-12-20", "2021-01-01", 2020),
        ("2020-12-25", "2021-01-06", 2020),  # middle 31 December
        ("2020-12-26", "2021-01-07", 2021),  # middle 1 January
        ("2020-12-20", "2021-01-13", 2021),  # 24 days, middle 1 January
        ("2020-12-30", "2021-01-02", 2020),  # middle 31 December, noon
        ("2020-12-31", "2021-01-01", 2020),  # middle 31 December, noon
    ],
)
def test_a_pair_across_new_year_belongs_to_the_year_of_its_middle(reference: str, secondary: str, year: int) -> None:
    dates = np.datetime64(reference), np.datetime64(secondary)
    assert year_of(*dates) == year
    assert DatePair(*dates).year == year


def test_pairs_are_ordered_and_named_by_day() -> None:
    pair = DatePair.of("2021-01-17T05:30", np.datetime64("2021-01-05", "ns"))
    assert pair.name == "20210105_20210117"
    assert pair_name(np.datetime64("2021-01-05T05:30:12"), np.datetime64("2021-01-17", "ns")) == pair.name


def test_one_day_twice_and_no_date_are_named() -> None:
    with pytest.raises(RasterError, match="both dates are 2021-01-05"):
        DatePair.of("2021-01-05", "2021-01-05")
    with pytest.raises(RasterError, match="'next week' is not a date"):
        DatePair.of("next week", "2021-01-05")
    with pytest.raises(RasterError, match="a date is missing"):
        DatePair.of("NaT", "2021-01-05")


def test_tags_come_before_the_item_and_the_name(tmp_path: Path) -> None:
    tags = {"REFERENCE_DATE": "2021-01-05", "SECONDARY_DATE": "2021-01-17"}
    found = dates_of_raster(tmp_path / "map.tif", tags)
    assert found is not None
    assert found.name == "20210105_20210117"


@pytest.mark.parametrize(
    "properties",
    [
        {"start_datetime": "2021-01-05T00:00:00Z", "end_datetime": "2021-01-17T00:00:00Z", "datetime": None},
        {"insar:reference_datetime": "2021-01-05T05:30:12Z", "insar:secondary_datetime": "2021-01-17T05:30:12Z"},
        {"insar_mining:reference_date": "2021-01-05", "insar_mining:secondary_date": "2021-01-17"},
    ],
)
def test_a_stac_item_beside_the_raster_gives_the_dates(tmp_path: Path, properties: dict[str, str]) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"type": "Feature", "properties": properties}))
    found = dates_of_raster(tmp_path / "map.tif", {})
    assert found is not None
    assert found.name == "20210105_20210117"


@pytest.mark.parametrize("text", ["not json", "[]", '{"properties": []}', '{"properties": {"datetime": "2021-01-05"}}'])
def test_another_json_beside_the_raster_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.json").write_text(text)
    assert dates_of_raster(tmp_path / "map.tif", {}) is None


def test_sources_that_disagree_are_named(tmp_path: Path) -> None:
    tags = {"REFERENCE_DATE": "2021-01-05", "SECONDARY_DATE": "2021-01-17"}
    with pytest.raises(RasterError, match=r"its tags 20210105_20210117, its name 20210117_20210129"):
        dates_of_raster(tmp_path / "20210117_20210129.tif", tags)


def test_a_third_date_in_the_name_does_no_harm_where_tags_speak(tmp_path: Path) -> None:
    tags = {"REFERENCE_DATE": "2021-01-05", "SECONDARY_DATE": "2021-01-17"}
    path = tmp_path / "20210105_20210117_20240601.tif"
    found = dates_of_raster(path, tags)
    assert found is not None
    assert found.name == "20210105_20210117"
    with pytest.raises(RasterError, match="several pairs"):
        dates_of_raster(path, {})
