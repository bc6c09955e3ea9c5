"""From a file of polygons and records of a catalogue to mines, tracks and costs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.errors import InsarMiningError, MineError, OptionError, OutputError, SkippedInputWarning
from insar_mining.options.models import RunOptions
from insar_mining.portfolio import catalogue
from insar_mining.portfolio.assets import join_assets, read_assets
from insar_mining.portfolio.catalogue import pairs_expected, seen_by
from insar_mining.portfolio.cost_model import METADATA_BYTES, CostModel
from insar_mining.portfolio.costs import BURST_BYTES, world_cost
from insar_mining.portfolio.footprints import areas_m2, mines_of, read_footprints
from insar_mining.portfolio.plan import open_portfolio, plan_portfolio
from insar_mining.portfolio.report import country_sums, trend, write_portfolio_report
from insar_mining.scenes.records import RECORD_COLUMNS, write_records

GEOD = Geod(ellps="WGS84")
STEP = 0.01
OPTIONS = RunOptions(start="2022-01-01", end="2022-03-01")


def square(x: float, y: float, side: float = STEP) -> shapely.Polygon:
    return shapely.box(x, y, x + side, y + side)


def maus(path: Path, shapes: list[shapely.Polygon], country: str = "MAR") -> Path:
    """A file in the layout of Maus v2."""
    columns = {"ISO3_CODE": country, "COUNTRY_NAME": "x", "AREA": 1.0}
    gpd.GeoDataFrame(columns, index=range(len(shapes)), geometry=shapes, crs=4326).to_file(path)
    return path


def records(rows: list[tuple[str, int, int, shapely.Polygon]]) -> gpd.GeoDataFrame:
    """Burst records: (burst id, track, day of 2022, outline)."""
    table: list[dict[str, Any]] = []
    for burst, track, day, outline in rows:
        start = np.datetime64("2022-01-01T06:00:00", "ns") + np.timedelta64(day, "D")
        row: dict[str, Any] = dict.fromkeys(RECORD_COLUMNS)
        row |= {
            "scene": f"S1_{burst}_{day:03d}-BURST", "kind": "burst", "platform": "S1A", "relative_orbit": track,
            "absolute_orbit": 40_000 + day, "burst_id": burst, "direction": "descending", "start": start,
            "stop": start + np.timedelta64(3, "s"), "processed": start, "polarisations": "VV", "swaths": "IW1",
            "bytes": BURST_BYTES, "url": "https://x/1.tiff", "metadata_url": "https://x/1.xml",
            "source_scene": f"S{day}", "geometry": outline,
        }  # fmt: skip
        table.append(row)
    return gpd.GeoDataFrame(table, geometry="geometry", crs=4326)


def test_layouts_are_read_as_they_are(tmp_path: Path) -> None:
    shapes = [square(0, 0), square(0.02, 0), square(1, 1), shapely.Point(5, 5)]
    with pytest.warns(SkippedInputWarning):
        found = read_footprints(maus(tmp_path / "maus.gpkg", shapes))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.column(("iso3_code",)) == ["MAR"] * 3
    cheng = {"class_name": ["Open pit", "Waste dumping site"], "area_m2": [1.0, 2.0], "year": [2019, 2019]}
    path = tmp_path / "cheng.gpkg"
    gpd.GeoDataFrame(cheng, geometry=[square(0, 0), square(0.01, 0, 0.02)], crs=4326).to_crs(32631).to_file(path)
    (mine,) = mines_of(read_footprints(path))
    assert set(mine.classes) == {"Open pit", "Waste dumping site"}
    assert mine.classes["Waste dumping site"] == pytest.approx(4 * mine.classes["Open pit"], rel=1e-3)
    with pytest.raises(MineError):
        read_footprints(maus(tmp_path / "points.gpkg", [shapely.Point(1, 1)]))


def test_ids_follow_geometries_and_not_the_file(tmp_path: Path) -> None:
    """Another order, another first vertex and a further mine leave the other ids; a moved polygon does not."""
    shapes = [square(0, 0), square(0.02, 0), square(1, 1), square(2, 2)]
    first = mines_of(read_footprints(maus(tmp_path / "1.gpkg", shapes)))
    turned = [shapely.Polygon(np.roll(shapely.get_coordinates(s)[:-1], 2, axis=0)) for s in reversed(shapes)]
    again = mines_of(read_footprints(maus(tmp_path / "2.gpkg", [*turned, square(9, 9)])))
    assert len(first) == 3
    assert {mine.id for mine in first} < {mine.id for mine in again}
    assert len(again) == 4
    moved = mines_of(read_footprints(maus(tmp_path / "3.gpkg", [square(0, 0), square(0.0201, 0), *shapes[2:]])))
    assert len({mine.id for mine in first} & {mine.id for mine in moved}) == 2


def test_areas_are_geodesic() -> None:
    rng = np.random.default_rng(4)
    shapes = np.array(
        [square(x, y, 0.05) for x, y in zip(rng.uniform(-170, 170, 9), np.linspace(-85, 85, 9), strict=True)]
    )
    expected = [abs(GEOD.geometry_area_perimeter(shapely.segmentize(shape, 1e-3))[0]) for shape in shapes]
    assert areas_m2(shapes) == pytest.approx(expected, rel=1e-6)


def test_country_by_share_of_area(tmp_path: Path) -> None:
    shapes = [square(0, 0), square(0.02, 0, 0.02)]
    frame = gpd.GeoDataFrame({"ISO3_CODE": ["AAA", "BBB"], "NAME": ["b", ""]}, geometry=shapes, crs=4326)
    frame.to_file(tmp_path / "two.gpkg")
    (mine,) = mines_of(read_footprints(tmp_path / "two.gpkg"))
    assert (mine.country, mine.name) == ("BBB", "b")
    assert mine.country_share == pytest.approx(0.8, abs=1e-3)


def test_assets_inside_near_named_and_open(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"name": ["Alpha pit", "Beta quarry", "Gamma"]},
        geometry=[square(0, 0), square(0.06, 0), square(1, 1)],
        crs=4326,
    )
    frame.to_file(tmp_path / "mines.gpkg")
    mines = mines_of(read_footprints(tmp_path / "mines.gpkg"), distance_m=1000.0)
    names = {mine.id: mine.name for mine in mines}
    table = pd.DataFrame(
        [("in", "?", 0.005, 0.005), ("near", "", 1.03, 1.005), ("named", "BETA Quarry Ltd", 0.035, 0.005),
         ("open", "Delta", 0.035, 0.005), ("far", "", 1.07, 1.005), ("nowhere", "", 40.0, 40.0)],
        columns=["asset_id", "name", "longitude", "latitude"],
    )  # fmt: skip
    table.to_csv(tmp_path / "assets.csv", index=False)
    links = join_assets(read_assets(tmp_path / "assets.csv"), mines).set_index("asset")
    linked = {asset: names.get(mine, "") for asset, mine in links["mine"].items()}
    assert linked == {
        "in": "Alpha pit",
        "near": "Gamma",
        "named": "Beta quarry",
        "open": "",
        "far": "Gamma",
        "nowhere": "",
    }
    assert links["confidence"].to_dict() == {
        "in": "high",
        "near": "medium",
        "named": "medium",
        "open": "",
        "far": "low",
        "nowhere": "",
    }
    expected = GEOD.inv(1.03, 1.005, 1.01, 1.005)[2]
    assert links.loc["near", "distance_m"] == pytest.approx(expected, rel=1e-3)
    assert len(links.loc["open", "candidates"].split()) == 2
    table.assign(latitude=95.0).to_csv(tmp_path / "wrong.csv")
    with pytest.raises(MineError):
        read_assets(tmp_path / "wrong.csv")


WIDE, LEFT, RIGHT = shapely.box(-1, -1, 3, 1), shapely.box(-1, -1, 1, 1), shapely.box(1, -1, 3, 1)


def test_tracks_are_chosen_for_the_portfolio(tmp_path: Path) -> None:
    """Two mines have each a track of their own with most dates; one burst of a third track serves both."""
    days = range(0, 60, 12)
    table = records(
        [("left", 10, day, LEFT) for day in days] + [("right", 20, day + 1, RIGHT) for day in days]
        + [("both", 30, day + 2, WIDE) for day in days] + [("few", 40, day + 3, WIDE) for day in (0, 12)]
    )  # fmt: skip
    write_records(table, tmp_path / "records.geojson")
    mines = mines_of(read_footprints(maus(tmp_path / "m.gpkg", [square(0, 0), square(2, 0), square(50, 50)])))
    seen = seen_by(mines, OPTIONS, catalogue=tmp_path / "records.geojson")
    by_track = [view.track for view in seen.views]
    assert sorted(by_track, key=str) == [30, 30, None]
    assert {view.bursts for view in seen.views if view.track} == {("both",)}
    assert {(view.dates, view.pairs) for view in seen.views if view.track} == {(5, 4)}
    alone = seen_by(
        mines, OPTIONS.replace(pairs=OPTIONS.pairs.replace(relative_orbit=10)), catalogue=tmp_path / "records.geojson"
    )
    assert sum(view.track == 10 for view in alone.views) == 1


def test_pairs_expected() -> None:
    assert pairs_expected([0, 12, 36, 100], (12, 24)) == 2
    assert pairs_expected([0, 6], (12,)) == 0


def test_a_plan_and_its_totals(tmp_path: Path) -> None:
    table = records([("both", 30, day, WIDE) for day in range(0, 60, 12)])
    write_records(table, tmp_path / "records.geojson")
    source = maus(tmp_path / "m.gpkg", [square(0, 0), square(2, 0), square(50, 50)])
    made = plan_portfolio(source, tmp_path / "out", OPTIONS, catalogue=tmp_path / "records.geojson")
    totals = made.totals
    assert (totals["mines"], totals["to_run"], totals["burst_stacks"], totals["shared_by"]) == (3, 2, 1, 2.0)
    # both mines need the same five files and orbits, and an elevation model of its own each
    model = CostModel()
    beside = 5 * model.orbit_bytes + 2 * model.elevation_bytes
    assert totals["download_bytes"] == 5 * (BURST_BYTES + METADATA_BYTES) + beside
    again = open_portfolio(tmp_path / "out")
    assert [task.identity for task in again.tasks] == [task.identity for task in made.tasks]
    listed = pd.read_csv(tmp_path / "out" / "polygons.csv")
    assert listed["row"].tolist() == [0, 1, 2]
    # what does not decide a result does not change its identity; what does, does
    faster = OPTIONS.replace(archive=OPTIONS.archive.replace(connections=9))
    other = OPTIONS.replace(coherence=OPTIONS.coherence.replace(window="3x9"))
    for options, same in ((faster, True), (other, False)):
        planned = plan_portfolio(source, tmp_path / "out", options, catalogue=tmp_path / "records.geojson")
        assert ([t.identity for t in planned.tasks] == [t.identity for t in made.tasks]) is same
    path = tmp_path / "out" / "portfolio.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 0}))
    with pytest.raises(OutputError, match="older version"):
        open_portfolio(tmp_path / "out")
    with pytest.raises(OutputError):
        open_portfolio(tmp_path)
    with pytest.raises(OptionError):
        plan_portfolio(source, tmp_path / "no", RunOptions())
    with pytest.raises(InsarMiningError):
        plan_portfolio(source, tmp_path / "m.gpkg" / "x", OPTIONS, catalogue=tmp_path / "records.geojson")


@pytest.mark.parametrize("name", ["portfolio.json", "mines.geojson", "options.yaml"])
def test_a_file_of_the_user_is_not_written_over_by_a_plan(tmp_path: Path, name: str) -> None:
    write_records(records([("both", 30, 0, WIDE)]), tmp_path / "records.geojson")
    source = maus(tmp_path / "m.gpkg", [square(0, 0)])
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("the user's own")
    with pytest.raises(OutputError, match=name):
        plan_portfolio(source, out, OPTIONS, catalogue=tmp_path / "records.geojson")
    assert {path.name: path.read_text() for path in out.iterdir()} == {name: "the user's own"}


def test_a_plan_does_not_write_over_what_it_is_made_of(tmp_path: Path) -> None:
    write_records(records([("both", 30, 0, WIDE)]), tmp_path / "records.geojson")
    source = maus(tmp_path / "m.gpkg", [square(0, 0)])
    out = plan_portfolio(source, tmp_path / "out", OPTIONS, catalogue=tmp_path / "records.geojson").folder
    content = (out / "mines.geojson").read_bytes()
    with pytest.raises(OutputError, match=r"mines\.geojson"):
        plan_portfolio(out / "mines.geojson", out, OPTIONS, catalogue=tmp_path / "records.geojson")
    assert (out / "mines.geojson").read_bytes() == content


def test_mines_that_share_a_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Mines of one cell are searched for once."""
    boxes = []

    def search(area: shapely.Polygon, *_: Any, **__: Any) -> gpd.GeoDataFrame:
        boxes.append(area.bounds)
        return records([("both", 30, 0, WIDE), ("both", 30, 12, WIDE)])

    monkeypatch.setattr(catalogue, "search", search)
    mines = mines_of(read_footprints(maus(tmp_path / "m.gpkg", [square(0.1, 0.1), square(1, 0.5), square(50, 50)])))
    seen = seen_by(mines, OPTIONS)
    assert len(boxes) == 2
    assert sum(view.pairs for view in seen.views) == 2
    assert len(seen.records) == 2


def test_the_world_of_far_and_near_mines(tmp_path: Path) -> None:
    """Mines far apart share no burst; of many in one place nearly all share it; bytes follow from the stacks."""
    far = mines_of(
        read_footprints(maus(tmp_path / "far.gpkg", [square(x, y) for x in range(-60, 60, 20) for y in (0, 40)]))
    )
    one = world_cost(far, years=1.0)
    assert one.shared_by == pytest.approx(1.0)
    assert one.bursts_per_mine == pytest.approx((1 + 4 / 20) * (1 + 4 / 85), rel=0.2)
    assert one.burst_files == pytest.approx(one.burst_stacks * 30, abs=30)
    near = mines_of(
        read_footprints(maus(tmp_path / "near.gpkg", [square(0.02 * i, 0, 1e-3) for i in range(20)])), distance_m=0
    )
    assert world_cost(near, years=1.0).shared_by > 5


def test_the_report_of_a_thousand_mines(tmp_path: Path) -> None:
    shapes = [square(-170 + 0.34 * i, 60 * np.sin(i)) for i in range(1000)]
    table = records([("b", 30, day, shapely.box(-180, -70, 180, 70)) for day in (0, 12)])
    write_records(table, tmp_path / "records.geojson")
    made = plan_portfolio(
        maus(tmp_path / "m.gpkg", shapes, "<b>&"), tmp_path / "out", OPTIONS, catalogue=tmp_path / "records.geojson"
    )
    assert len(made.tasks) == 1000
    page = write_portfolio_report(made).read_text()
    assert len(re.findall(r'<tr id="m-', page)) == page.count("<circle ") == 1000
    assert "<b>&" not in page
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_trends_and_country_sums() -> None:
    area = {"area": 10.0, "low": 8.0, "high": 12.0}
    assert trend({2021: area, 2022: {"area": 20.0, "low": 13.0, "high": 30.0}}) == "up"
    assert trend({2021: area, 2022: {"area": 11.0, "low": 9.0, "high": 30.0}}) == "level"
    assert trend({2021: area, 2022: {"area": 1.0, "low": 0.0, "high": 2.0}}) == "down"
    assert trend({2021: area}) == ""
    assert trend({2021: area, 2022: {"area": 1.0, "low": np.nan, "high": 2.0}}) == ""
    rows = [{"country": "MAR", "areas": {2021: area}}, {"country": "MAR", "areas": {}}]
    sums = country_sums(rows, [2021]).to_dict("records")
    assert sums == [{"country": "MAR", "year": 2021, "area_m2": 10.0, "mines": 1, "mines_missing": 1}]


def test_the_command_that_estimates_the_world(tmp_path: Path) -> None:
    source = maus(tmp_path / "m.gpkg", [square(0, 0), square(20, 0)])
    done = CliRunner().invoke(app, ["portfolio", "plan", "--world", str(source), "--years", "2", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["mines"], said["years"]) == (2, 2.0)
    assert said["burst_files"] >= 2 * 60
    assert said["download_bytes"] == said["burst_files"] * (BURST_BYTES + METADATA_BYTES)
    assert CliRunner().invoke(app, ["portfolio", "plan"]).exit_code == 1
    assert CliRunner().invoke(app, ["portfolio", "status", str(tmp_path)]).exit_code == 1
