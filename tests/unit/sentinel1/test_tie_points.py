"""Tie points of 93 real annotations, as their processor placed them, against the arc through their state vectors."""

from __future__ import annotations

import json
import lzma
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest

from insar_mining.errors import OrbitWarning, ProductError
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.orbit import Orbit
from insar_mining.sentinel1.plausible import check_plausible

FIGURES = Path(__file__).parents[2] / "data" / "tie_points.json.xz"
TO_XYZ = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)
C = 299_792_458.0
# up to version 3.10 the processor placed the points of a sub-swath on one height and listed that of the terrain
OLD_PROCESSOR = {"S1A 25287", "S1A 25462", "S1B 11575", "S1B 17000"}


def misfit(one: dict[str, Any]) -> tuple[float, float]:
    """Most lines and most metres of slant range by which the arc misses the tie points."""
    vectors, points = np.array(one["vectors"]), np.array(one["points"])
    orbit = Orbit(vectors[:, 0], vectors[:, 1:4], vectors[:, 4:7], one["name"], one["downlink"])
    time = points[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrbitWarning)
        arc = orbit.arc(time.min(), time.max())
    position, velocity = arc.position_m(time), arc.velocity_m_s(time)
    sight = np.stack(TO_XYZ.transform(*points[:, 2:5].T), axis=-1) - position
    speed2 = (velocity**2).sum(axis=-1)
    lines = (sight * velocity).sum(axis=-1) / speed2 / one["line_s"]
    return float(np.abs(lines).max()), float(np.abs(np.linalg.norm(sight, axis=-1) - C * points[:, 1] / 2).max())


def test_arcs_see_the_tie_points_where_the_processor_saw_them() -> None:
    figures = json.loads(lzma.decompress(FIGURES.read_bytes()))
    found = {one["name"]: (one["downlink"], *misfit(one)) for one in figures}
    assert len(found) == len(figures) == 93
    old = {name: one for name, one in found.items() if name[:9] in OLD_PROCESSOR}
    downlink = [one for name, one in found.items() if one[0]]
    precise = [one for name, one in found.items() if not one[0] and name not in old]
    assert (len(old), len(downlink), len(precise)) == (8, 69, 16)
    # times are written to the microsecond, half a thousandth of a line
    assert max(lines for _, lines, _ in precise) < 1.5e-3
    assert max(metres for _, _, metres in precise) < 1e-3
    assert max(lines for _, lines, _ in downlink) < 0.06
    assert max(metres for _, _, metres in downlink) < 0.2
    assert 100 < min(metres for _, _, metres in old.values()) < max(metres for _, _, metres in old.values()) < 900


def test_tie_points_on_one_height_are_no_damage(morocco_sub_swath: Callable[[str, str], SubSwath]) -> None:
    """As old processors have them, over relief of 3 km: the listed heights are the terrain's, the places are not."""
    swath = morocco_sub_swath("20230904", "IW2")
    grid = swath.geolocation
    relief = np.broadcast_to(np.linspace(0.0, 3000.0, grid.height_m.shape[0])[:, np.newaxis], grid.height_m.shape)
    check_plausible(replace(swath, geolocation=replace(grid, height_m=relief)), "old")
    for moved in (
        replace(grid, longitude_deg=grid.longitude_deg + 0.1),
        replace(grid, height_m=relief, longitude_deg=grid.longitude_deg + 0.1),
    ):
        with pytest.raises(ProductError):
            check_plausible(replace(swath, geolocation=moved), "moved")
