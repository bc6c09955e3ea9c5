"""The built-in engine against maps that the operators of SNAP 14.0.0 and 13.0.4 made of the same pair.

See tests/data/snap/README.md for what ran and what did not.
"""

from __future__ import annotations

import functools
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import shape

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import make_plan

DATA = Path(__file__).parents[1] / "data" / "snap"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The two products, in order of their dates."""
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(DATA / "scenes.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return sorted(folder.rglob("*.SAFE"), key=lambda path: path.name.split("_")[5])


@pytest.fixture(scope="module")
def builtin(scenes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., np.ndarray]:
    """``builtin(anchor, dem)``: the built-in engine's map of the pair."""

    @functools.cache
    def make(anchor: str, dem: Path = DATA / "dem.tif") -> np.ndarray:
        area = shape(json.loads((DATA / "area.geojson").read_text("utf-8")))
        plan = make_plan(
            *scenes, area=area, dem=dem, orbits=sorted((DATA / "orbits").glob("*.EOF")), window_anchor=anchor,
            out=tmp_path_factory.mktemp(anchor) / "map.tif",
        )  # fmt: skip
        with rasterio.open(coherence(plan, "builtin")) as source:
            return source.read(1)

    return make


def snap_map(version: int, anchor: str) -> np.ndarray:
    with rasterio.open(DATA / f"snap{version}_{anchor}.tif") as source:
        return source.read(1)


@pytest.mark.parametrize("anchor", ["centre", "snap"])
@pytest.mark.parametrize("version", [14, 13])
def test_the_built_in_engine_agrees_with_snap(builtin: Callable[..., np.ndarray], version: int, anchor: str) -> None:
    ours, theirs = builtin(anchor), snap_map(version, anchor)
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    valid = np.isfinite(ours)
    difference = np.abs(ours - theirs)[valid]
    assert valid.sum() == 7055
    assert np.median(difference) <= 0.0005
    assert np.percentile(difference, 95) <= 0.002
    assert abs((ours - theirs)[valid].mean()) <= 0.0005
    assert np.corrcoef(ours[valid], theirs[valid])[0, 1] >= 0.9998


def test_the_comparison_sees_half_a_line_and_half_a_cell_of_the_elevation_model(
    builtin: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    """Neither the other window anchor nor a model half a cell off, as SNAP would read it unmoved, passes."""
    with rasterio.open(DATA / "dem.tif") as source:
        heights, profile, t = source.read(), source.profile, source.transform
    moved = tmp_path / "moved.tif"
    profile["transform"] = Affine(t.a, 0, t.c - t.a / 2, 0, t.e, t.f - t.e / 2)
    with rasterio.open(moved, "w", **profile) as target:
        target.write(heights)
    theirs = snap_map(14, "centre")
    for ours in (builtin("snap"), builtin("centre", moved)):
        assert np.nanmedian(np.abs(ours - theirs)) > 0.01
