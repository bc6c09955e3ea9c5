"""The demonstration mine: its plan in full, its files at reduced size."""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from insar_mining.geo.mines import read_mines
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import demo, write_demo


def test_dates_lie_on_the_real_repeat_of_the_track() -> None:
    dates = [demo.TEMPLATE_DATE + dt.timedelta(days=a.days) for _, _, a in demo.demo_dates()]
    assert len(dates) == 36
    for year in demo.YEARS:
        of_year = [d for d in dates if d.year == year]
        assert len(of_year) == 12
        gaps = sorted((b - a).days for a, b in itertools.pairwise(of_year))
        assert gaps == [12] * 10 + [24], "one date is missing, so that one pair spans 24 days"
        assert of_year[0].month == 1


def test_zones_do_not_overlap_and_lie_in_the_mine() -> None:
    worked = demo.demo_zones()
    for a, b in itertools.combinations(worked, 2):
        assert a.outline.intersection(b.outline).area < 1.0, (a.name, b.name)
    outline = demo.mine_outline()
    for zone in worked:
        assert outline.contains(zone.outline), zone.name
        assert zone.outline.area > 50_000
    assert 7e6 < outline.area < 10e6


def test_every_pattern_of_years_but_one_occurs() -> None:
    assert {zone.years for zone in demo.demo_zones()} == {
        (2021,), (2022,), (2023,), (2021, 2022), (2022, 2023), (2021, 2022, 2023),
    }  # fmt: skip


def reduce(patch: pytest.MonkeyPatch) -> None:
    two = demo.demo_dates()[1:3]
    patch.setattr(demo, "demo_dates", lambda: two)
    patch.setattr(demo, "SCATTERERS_PER_CELL", 1.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, demo.DemoScene]:
    """Two dates of the demonstration, the second under snow, with few scatterers."""
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        reduce(patch)
        return out, write_demo(out, seed=5)


def test_the_files_of_the_demonstration(small: tuple[Path, demo.DemoScene]) -> None:
    _, scene = small
    assert scene.dates == (dt.date(2021, 1, 17), dt.date(2021, 1, 29))
    assert scene.snow_dates == (dt.date(2021, 1, 29),)
    products = sorted(scene.scenes.iterdir())
    assert len(products) == 2
    (mine,) = read_mines(scene.mine)
    size = sum(p.stat().st_size for p in scene.scenes.rglob("*"))
    assert size / 2 * 36 < 700e6, "all 36 dates stay below 700 MB"
    for path in products:
        product = open_product(path)
        swath = product.sub_swath("IW1", "VV")
        assert len(swath.bursts) == 2, "the mine lies across a seam"
        assert product.footprint.contains(mine.geometry)
        for burst in range(2):
            assert np.abs(product.read_burst("IW1", "VV", burst)).max() > 200, "both bursts see it"


def test_the_true_areas_are_those_of_the_true_map(small: tuple[Path, demo.DemoScene]) -> None:
    _, scene = small
    assert set(scene.active_area_m2) == set(demo.YEARS)
    with rasterio.open(scene.truth) as source:
        assert source.nodata == 255
        for band, year in enumerate(demo.YEARS, start=1):
            assert source.descriptions[band - 1] == f"active_{year}"
            cells = np.count_nonzero(source.read(band) == 1) * 400.0
            assert cells == pytest.approx(scene.active_area_m2[year], rel=0.01)
            share = cells / demo.mine_outline().area
            assert 0.1 < share < 0.2


def test_steps_disturb_only_what_is_worked_in_the_year() -> None:
    planned = demo.demo_dates()
    steps = demo._steps(planned, np.random.default_rng(0))
    points = {zone.name: zone.outline.representative_point() for zone in demo.demo_zones()}
    found = {name: [float(step(np.array([p.x]), np.array([p.y]))[0]) for step in steps] for name, p in points.items()}
    for zone in demo.demo_zones():
        for (year, _, a), (later, _, b), gamma in zip(planned[:-1], planned[1:], found[zone.name], strict=True):
            spans = (b.days - a.days) / 12
            if year != later or year not in zone.years:
                assert gamma == pytest.approx(demo.IDLE**spans)
        for year in zone.years:
            of_year = [
                g
                for (y, _, _), (n, _, _), g in zip(planned[:-1], planned[1:], found[zone.name], strict=True)
                if y == n == year
            ]
            assert np.mean(np.array(of_year) <= demo.DISTURBED[1]) >= 0.6, "worked ground is worked most of the time"


def test_untouched_rock_stays_coherent_and_the_field_does_not() -> None:
    planned = demo.demo_dates()[:2]
    (step,) = demo._steps(planned, np.random.default_rng(0))
    x, y = demo.CENTRE_M
    values = step(np.array([x - 1300.0, x, x + 1800.0]), np.array([y + 900.0, y - 100.0, y]))
    np.testing.assert_allclose(values, [demo.ROCK, demo.IDLE, demo.VEGETATION])
    assert not demo._field().intersects(demo.mine_outline()), "the field lies outside of the outline"


def test_a_complete_demonstration_is_kept_and_a_spoiled_one_made_again(
    small: tuple[Path, demo.DemoScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, scene = small
    reduce(monkeypatch)
    tiffs = {p: p.stat().st_mtime_ns for p in scene.scenes.rglob("*.tiff")}
    assert write_demo(out, seed=5) == scene
    assert {p: p.stat().st_mtime_ns for p in scene.scenes.rglob("*.tiff")} == tiffs, "nothing was simulated again"
    spoiled = next(iter(tiffs))
    content = spoiled.read_bytes()
    spoiled.write_bytes(content[:1000])
    calls: list[int] = []
    assert write_demo(out, seed=5, progress=lambda done, total: calls.append(done)) == scene
    assert calls == [1, 2]
    assert spoiled.read_bytes() == content, "the same seed makes the same bytes"


def test_only_scenes_that_were_simulated_are_deleted(small: tuple[Path, demo.DemoScene], tmp_path: Path) -> None:
    source, _ = small
    out = tmp_path / "a demo (é) [1]"
    shutil.copytree(source, out)
    scene = demo._read(out, seed=5)
    assert scene is not None
    first, second = sorted(scene.scenes.iterdir())
    (second / "notes of mine.txt").write_text("not the simulator's")
    stranger = scene.scenes / "S1A_IW_SLC__of_mine.SAFE"
    stranger.mkdir()
    (stranger / "manifest.safe").write_text("not the simulator's either")
    size = sum(p.stat().st_size for p in first.rglob("*") if p.is_file())
    assert demo.delete_scenes(scene) == size
    assert sorted(scene.scenes.iterdir()) == sorted([second, stranger])
    assert len(list(second.rglob("*.tiff"))) > 0
    for kept in (scene.dem, scene.mine, scene.truth, out / demo.RECORD):
        assert kept.is_file()
    # the product of the right bytes goes too, and the folder that is empty then
    (second / "notes of mine.txt").unlink()
    shutil.rmtree(stranger)
    assert demo.delete_scenes(scene) > 0
    assert not scene.scenes.exists()
    assert demo.delete_scenes(scene) == 0


def test_outlines_are_written_in_longitude_and_latitude(small: tuple[Path, demo.DemoScene]) -> None:
    _, scene = small
    (mine,) = read_mines(scene.mine)
    assert shapely.box(-8.5, 31.3, -8.3, 31.6).contains(mine.geometry)
    assert mine.id == "demo"
