"""What cannot be analysed of a real stack (Mexico City) ends in one line that names the value and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapely.geometry import Point, box
from shapely.geometry.base import BaseGeometry

import insar_mining as im
from insar_mining.errors import ActivityError, CoverageError, InsarMiningError
from insar_mining.options import ActivityOptions

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


@pytest.mark.parametrize("method", ["published", "significant"])
def test_no_stable_point_at_all(tmp_path: Path, method: str) -> None:
    with pytest.raises(ActivityError, match=r"no stable point over \d+ pairs .*there would be|looser limits"):
        analysed(tmp_path, method=method, stable_mean_min=0.999, stable_std_max=0.001)


@pytest.mark.parametrize("method", ["published", "significant"])
def test_all_scenes_rejected(tmp_path: Path, method: str) -> None:
    with pytest.raises(ActivityError, match=r"all \d+ scenes rejected .*loosen the limits of the scene test"):
        analysed(tmp_path, method=method, scene_mean_min=0.999)


@pytest.mark.parametrize("method", ["published", "significant"])
def test_one_pair_only_gives_a_result(tmp_path: Path, method: str) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    (first,) = MEXICO.glob("*20180106-20180130*_cc.tif")
    (maps / first.name).write_bytes(first.read_bytes())
    result = analysed(tmp_path, maps=maps, method=method)
    assert result.activity["n_pairs"].tolist() == [1]
