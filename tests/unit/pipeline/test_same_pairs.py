"""A dry run and the run choose the same pairs: at the same place, whatever ground around the mine is mapped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import Point, Polygon, mapping

from insar_mining.geo.mines import mine_from_geometry
from insar_mining.options.models import ActivityOptions, RunOptions
from insar_mining.pipeline import acquisition, estimate, jobs
from insar_mining.pipeline.acquisition import mapped_ground
from insar_mining.pipeline.maps import make_maps
from insar_mining.pipeline.preparation import prepare
from insar_mining.scenes import network

from .conftest import Bench

# a mine whose representative point moves when ground around it is added
MINE = Polygon([(-8.79, 31.79), (-8.77, 31.79), (-8.77, 31.792), (-8.788, 31.792), (-8.788, 31.81), (-8.79, 31.81)])
MARGIN_M = 600.0


@pytest.mark.parametrize("margin_m", [0.0, MARGIN_M])
def test_a_dry_run_chooses_the_pairs_of_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, margin_m: float
) -> None:
    own = MINE.representative_point()
    around = mapped_ground(mine_from_geometry(MINE), ActivityOptions(margin_m=MARGIN_M)).geometry.representative_point()
    assert own.distance(around) > 1e-4
    near = around if margin_m else own

    def baseline(first: Any, second: Any, lon: float, lat: float) -> float:
        """Within the limit near the middle of what is mapped, beyond it anywhere else."""
        return 12.5 if near.distance(Point(lon, lat)) < 1e-6 else 9999.0

    monkeypatch.setattr(network, "SceneBaselines", lambda *_: baseline)
    monkeypatch.setattr(estimate, "samples_needed", lambda plan: 1)  # it opens the products
    file = tmp_path / "bent.geojson"
    file.write_text(json.dumps(mapping(MINE)), encoding="utf-8")
    options = RunOptions(**{**dict(bench.options), "activity": ActivityOptions(margin_m=margin_m)})
    bench.out.mkdir()
    planned = jobs.plan(file, out=bench.out, options=options)
    start = prepare(file, options, bench.out, acquisition.Network(), lambda *_: None)
    made = make_maps(start.scenes, start.planner, lambda *_: None)
    assert list(planned.pairs["pair"]) == list(made.pairs["pair"]) == bench.mapped
    assert len(planned.pairs) == 18
