"""Plots of the archive: what is drawn is what the tables say, counted another way."""

from __future__ import annotations

import json
import lzma
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from shapely.geometry import box

from insar_mining.errors import OutputError, ReportError
from insar_mining.report.plots_archive import (
    figure_of_images,
    plot_calendar,
    plot_footprints,
    plot_network,
    save_figure,
)
from insar_mining.scenes.orbits import orbit_positions
from insar_mining.scenes.pairs import select_pairs
from insar_mining.scenes.products import scan_products
from insar_mining.scenes.records import records_table

DATA = Path(__file__).parents[2] / "data"
AREA = box(-135.92, 57.03, -135.90, 57.05)
AT = (-135.91, 57.04)


@pytest.fixture(scope="module")
def scenes() -> gpd.GeoDataFrame:
    """The bursts of 2020 and 2021 of the recorded stack."""
    items = json.loads(lzma.decompress((DATA / "asf" / "burst_166.json.xz").read_bytes()))["items"]
    table = records_table(items)
    return table[table["start"].dt.year.isin([2020, 2021])].reset_index(drop=True)


@pytest.fixture(scope="module")
def pairs(scenes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return select_pairs(scenes, 100.0, at=AT)


def curves(ax: Any, style: str) -> list[Any]:
    return [line for line in ax.get_lines() if line.get_linestyle() == style and len(line.get_xdata()) == 2]


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_pair_is_a_line_as_high_as_its_baseline(scenes: gpd.GeoDataFrame, pairs: gpd.GeoDataFrame) -> None:
    before = scenes.copy(deep=True)
    ax = plot_network(scenes, pairs, at=AT)
    drawn = {tuple(np.asarray(line.get_xdata(), "datetime64[D]").tolist()): line for line in curves(ax, "-")}
    assert len(drawn) == len(pairs) > 40
    for row in pairs.itertuples():
        line = drawn[row.reference_date.date(), row.secondary_date.date()]
        low, high = line.get_ydata()
        # the lines of sight of two images differ by a hundredth of a degree: 0.2 m of 200 m along it
        assert high - low == pytest.approx(row.perpendicular_baseline_m, abs=0.5)
    refused = [one for one in pairs.attrs["rejected"] if one["pair"]]
    assert len(curves(ax, ":")) == len(refused) > 0
    assert f"candidate rejected ({len(refused)})" in legend(ax)
    used = {d for d, _ in drawn} | {d for _, d in drawn}
    assert f"S1B image in a pair ({len(used)})" in legend(ax)
    assert before.equals(scenes)


def test_an_image_of_unknown_orbit_is_counted_and_not_drawn(scenes: gpd.GeoDataFrame) -> None:
    some = scenes.copy()
    some.loc[[3, 8], "state_vectors"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = select_pairs(some, at=AT)
    ax = plot_network(some, found, at=AT)
    assert "2 images of unknown orbit are not drawn" in legend(ax)
    points = sum(len(line.get_xdata()) for line in ax.get_lines() if line.get_linestyle() == "None")
    assert points == len(some) - 2
    assert math.isnan(orbit_positions(some, *AT)["position_m"][3])


def test_the_calendar_has_a_marker_for_every_day_and_shades_the_gaps(
    scenes: gpd.GeoDataFrame, pairs: gpd.GeoDataFrame
) -> None:
    ax = plot_calendar(scenes, pairs)
    points = {(int(year), int(day)) for line in ax.get_lines() for day, year in zip(*line.get_data(), strict=True)}
    assert points == {(t.year, t.day_of_year - 1) for t in scenes["start"]}
    shaded = [bar for bar in ax.patches if round(bar.get_height(), 6) == 0.7]
    days = np.unique(scenes["start"].to_numpy().astype("datetime64[D]"))
    wide = [i for i in np.flatnonzero(np.diff(days).astype(int) > 12)]
    assert sum(bar.get_width() for bar in shaded) == sum(int(np.diff(days)[i].astype(int)) for i in wide)
    bars = [bar for bar in ax.patches if round(bar.get_height(), 6) == 0.16]
    # a pair across New Year is cut in two, and no day is lost
    assert sum(bar.get_width() for bar in bars) == pairs["days"].sum()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2020", "2021"]


def test_footprints_lie_over_the_mine(scenes: gpd.GeoDataFrame) -> None:
    some = scenes.iloc[:5]
    left, right = plot_footprints(some, AREA, name="Pit é")
    outlines = [line for line in left.get_lines() if len(line.get_xdata()) > 3]
    assert len(outlines) == 5
    drawn = np.array([[outlines[0].get_xdata()[0], outlines[0].get_ydata()[0]]])
    assert (np.abs(np.asarray(some.geometry.iloc[0].exterior.coords) - drawn).sum(axis=1) < 1e-9).any()
    west, east = right.get_xlim()
    south, north = right.get_ylim()
    assert box(west, south, east, north).covers(AREA)
    # a kilometre is as long towards north as towards east
    assert left.get_aspect() == pytest.approx(1 / math.cos(math.radians(sum(left.get_ylim()) / 2)))
    assert right.texts[-1].get_text() == "all of it is seen on 5 of 5 dates"
    half = plot_footprints(some.assign(geometry=box(-137, 56, -135.91, 58)), AREA)[1]
    assert half.texts[-1].get_text() == "all of it is seen on 0 of 5 dates"


def test_two_bursts_that_see_the_mine_together_show_all_of_it(scenes: gpd.GeoDataFrame) -> None:
    one = scenes.iloc[[0]]
    halves = [one.assign(geometry=[shape]) for shape in (box(-137, 56, -135.91, 58), box(-135.91, 56, -134, 58))]
    table = gpd.GeoDataFrame(gpd.pd.concat(halves, ignore_index=True), crs=4326)
    table["burst_id"] = ["174_1_IW3", "174_2_IW3"]
    left, right = plot_footprints(table, AREA)
    assert right.texts[-1].get_text() == "all of it is seen on 1 of 1 dates"
    assert legend(left)[:2] == ["burst 174_1_IW3 (1 images)", "burst 174_2_IW3 (1 images)"]


def test_local_products_are_drawn_as_records_are(morocco_safe: Callable[[str], Path], tmp_path: Path) -> None:
    for date in ("20230904", "20230916"):
        safe = morocco_safe(date)
        (tmp_path / safe.name).symlink_to(safe)
    table = scan_products(tmp_path)
    found = select_pairs(table)
    place = table.geometry.iloc[0].centroid
    ax = plot_network(table, found, at=(place.x, place.y))
    (line,) = curves(ax, "-")
    assert list(date2num(line.get_xdata())) == [date2num(np.datetime64(f"2023-09-{day:02d}")) for day in (4, 16)]
    figure = figure_of_images(table, place.buffer(0.01), found, name="Morocco")
    assert save_figure(figure, tmp_path / "plot é.svg").read_bytes().startswith(b"<?xml")


def test_what_cannot_be_drawn_or_written_is_named(scenes: gpd.GeoDataFrame, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="lacks direction"):
        plot_calendar(scenes.drop(columns="direction"))
    for plot in (plot_calendar, lambda table: plot_footprints(table, AREA)):
        with pytest.raises(ReportError, match="table of scenes is empty"):
            plot(scenes.iloc[:0])
    with pytest.raises(OutputError, match=r"\.png, \.svg, \.pdf, not as \.doc"):
        save_figure(Figure(), tmp_path / "x.doc")
    assert not list(tmp_path.iterdir())
