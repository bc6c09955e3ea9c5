"""Styles that QGIS reads beside a map, and items that say where a map lies."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from shapely.geometry import box

from insar_mining.geo.mines import mine_from_geometry
from insar_mining.pipeline.stac import write_collection, write_item
from insar_mining.pipeline.styles import class_colour, write_composite, write_palette, write_ramp


def test_a_palette_names_every_class(tmp_path: Path) -> None:
    names = ("Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White")
    path = write_palette(tmp_path / "classes.tif", {n: (name, class_colour(n, 8)) for n, name in enumerate(names)})
    root = ElementTree.parse(path).getroot()
    assert path.name == "classes.qml"
    assert root.tag == "qgis"
    entries = {entry.get("label"): entry.get("color") for entry in root.iter("paletteEntry")}
    assert entries["Yellow"] == "#ffff00"
    assert entries["Cyan"] == "#00ffff"
    assert len(entries) == 8
    assert len({class_colour(value, 16) for value in range(16)}) == 16


def test_a_ramp_goes_from_low_to_high(tmp_path: Path) -> None:
    root = ElementTree.parse(write_ramp(tmp_path / "ndai.tif", 0.0, 0.45)).getroot()
    assert [float(str(item.get("value"))) for item in root.iter("item")] == pytest.approx([0, 0.225, 0.45])
    root = ElementTree.parse(write_ramp(tmp_path / "active_dates.tif", 20210105, 20231227)).getroot()
    assert [float(str(item.get("value"))) for item in root.iter("item")][::2] == [20210105, 20231227]


def test_a_composite_shows_its_three_bands(tmp_path: Path) -> None:
    root = ElementTree.parse(write_composite(tmp_path / "rgb.tif", 0.0, 1.0)).getroot()
    (renderer,) = root.iter("rasterrenderer")
    assert [renderer.get(f"{colour}Band") for colour in ("red", "green", "blue")] == ["1", "2", "3"]
    assert [float(str(one.text)) for one in root.iter("maxValue")] == [1.0, 1.0, 1.0]


def test_the_times_of_a_collection_are_those_of_its_items(tmp_path: Path) -> None:
    coh = xr.DataArray(
        np.zeros((2, 3, 4), np.float32),
        dims=("pair", "y", "x"),
        coords={
            "reference_date": ("pair", np.array(["2021-01-05", "2021-01-17"], "datetime64[ns]")),
            "secondary_date": ("pair", np.array(["2021-01-17", "2021-01-29"], "datetime64[ns]")),
        },
        attrs={"crs": "EPSG:32629", "transform": (20.0, 0.0, 600_000.0, 0.0, -20.0, 3_500_000.0)},
    )
    mine = mine_from_geometry(box(-8, 31, -7.9, 31.1), id="pit")
    times = ("2021-01-05T06:37:30.5Z", "2021-01-17T06:37:31Z"), ("2021-01-17T06:37:31Z", "2021-01-29T06:37:31.25Z")
    items = []
    for number, (start, stop) in enumerate(times):
        items.append(tmp_path / f"{number}.json")
        items[-1].write_text(json.dumps({"properties": {"start_datetime": start, "end_datetime": stop}}))
    for known, expected in (
        (items, [times[0][0], times[1][1]]),
        ([], ["2021-01-05T00:00:00Z", "2021-01-29T00:00:00Z"]),
    ):
        collection = json.loads(write_collection(tmp_path, mine, coh, [], known).read_text("utf-8"))
        assert collection["extent"]["temporal"]["interval"] == [expected]


def test_items_have_code_shape_and_transform(tmp_path: Path) -> None:
    layer = xr.DataArray(
        np.zeros((3, 4), np.float32),
        dims=("y", "x"),
        coords={
            "pair": "20210105_20210117",
            "reference_date": np.datetime64("2021-01-05", "ns"),
            "secondary_date": np.datetime64("2021-01-17", "ns"),
            "perpendicular_baseline_m": np.nan,
            "source": "a.tif",
        },
        attrs={"crs": "EPSG:32629", "transform": (20.0, 0.0, 600_000.0, 0.0, -20.0, 3_500_000.0)},
    )
    item = json.loads(write_item(tmp_path / "a.json", layer, tmp_path / "a.tif").read_text("utf-8"))
    assert item["properties"]["proj:code"] == "EPSG:32629"
    assert item["properties"]["proj:shape"] == [3, 4]
    assert item["properties"]["proj:transform"] == [20, 0, 600_000, 0, -20, 3_500_000]
    assert any("projection/v2" in extension for extension in item["stac_extensions"])
