"""What cannot be analysed of a real stack (Mexico City) ends in one line that names the value and the remedy."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from shapely.geometry import Point, box
from shapely.geometry.base import BaseGeometry

import insar_mining as im
from insar_mining.errors import (
    ActivityError,
    CoverageError,
    FewObservationsWarning,
    InsarMiningError,
    UnusedOptionWarning,
)
from insar_mining.options.models import ActivityOptions
from insar_mining.pipeline.analysis import analyse_maps

MEXICO = Path(__file__).parents[2] / "data" / "mexico_city"
AREA = box(-99.18, 19.375, -99.07, 19.445)

pytestmark = pytest.mark.filterwarnings("ignore::insar_mining.errors.InsarMiningWarning")


def analysed(tmp_path: Path, area: BaseGeometry = AREA, maps: Path = MEXICO, **options: object) -> im.Result:
    chosen = {"activity": ActivityOptions(**options)} if options else {}
    return im.analyse(maps, im.mine_from_geometry(area), out=tmp_path / "out", **chosen)


@pytest.mark.parametrize(
    ("area", "kind", "said"),
    [
        (box(10, 10, 10.1, 10.1), CoverageError, "lies outside the rasters"),
        (Point(-99.12, 19.41).buffer(1e-4), CoverageError, "smaller than the cells"),
    ],
)
def test_polygons_elsewhere_or_smaller_than_a_cell(
    tmp_path: Path, area: BaseGeometry, kind: type[InsarMiningError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        analysed(tmp_path, area)
    assert not (tmp_path / "out" / "activity.csv").exists()


def test_no_stable_point_at_all(tmp_path: Path) -> None:
    with pytest.raises(ActivityError, match=r"no stable point over \d+ pairs .*(there would be|looser limits)"):
        analysed(tmp_path, method="published", stable_mean_min=0.999, stable_std_max=0.001)


def test_all_scenes_rejected(tmp_path: Path) -> None:
    with pytest.raises(ActivityError, match=r"all \d+ scenes rejected .*loosen the limits of the scene test"):
        analysed(tmp_path, method="published", scene_mean_min=0.999)


def test_limits_of_the_published_method_change_nothing_of_the_default_one_and_that_is_said() -> None:
    """Against control ground no scene is rejected, and what no limit can reach is no fault."""
    files = sorted(MEXICO.glob("*_cc.tif"))[:5]
    mine = im.mine_from_geometry(AREA)
    plain = analyse_maps(files, mine, ActivityOptions())
    with pytest.warns(UnusedOptionWarning, match="scene_mean_min=0.999"):
        strict = analyse_maps(files, mine, ActivityOptions(scene_mean_min=0.999))
    assert strict.activity.equals(plain.activity)
    assert strict.scenes["kept"].all()
    assert any("scene_mean_min" in note for note in strict.notes)


@pytest.mark.parametrize("method", ["published", "significant"])
def test_one_pair_only_gives_a_result(tmp_path: Path, method: str) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    (first,) = MEXICO.glob("*20180106-20180130*_cc.tif")
    (maps / first.name).write_bytes(first.read_bytes())
    with pytest.warns(FewObservationsWarning, match="2018: one pair carries it"):
        result = analysed(tmp_path, maps=maps, method=method)
    assert result.activity["n_pairs"].tolist() == [1]
    assert "2018: one pair carries it" in (tmp_path / "out" / "report.html").read_text("utf-8")


@pytest.mark.parametrize("method", ["published", "significant"])
def test_three_pairs_carry_a_year_and_four_need_no_word(method: str) -> None:
    spans = "20180307-20180319", "20180319-20180331", "20180331-20180412", "20180506-20180518"
    chosen = [next(MEXICO.glob(f"*{span}*_cc.tif")) for span in spans]
    for count in (3, 4):
        mine = im.mine_from_geometry(AREA)
        every = {"scene_mean_min": 0.5, "scene_std_max": 0.5} if method == "published" else {"interval_draws": 0}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            analysis = analyse_maps(chosen[:count], mine, ActivityOptions(method=method, **every))
        assert analysis.activity["n_pairs"].tolist() == [count]
        said = [str(one.message) for one in caught if one.category is FewObservationsWarning]
        for texts in (said, analysis.notes):
            assert [text[:22] for text in texts if "carr" in text] == ["2018: 3 pairs carry it"] * (count == 3)
