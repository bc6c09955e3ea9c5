"""A run whose engine is a double: it writes small maps of known coherence at once."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import box, mapping

from insar_mining.coherence.engine import Engine
from insar_mining.errors import ProductError
from insar_mining.files import write_text
from insar_mining.geo.grid import MapGrid
from insar_mining.geo.raster import write_cog
from insar_mining.options.models import RunOptions
from insar_mining.pipeline import jobs, maps, masks, preparation, result
from insar_mining.scenes import network

AREA = box(-8.79, 31.79, -8.77, 31.81)
FIRST = dt.date(2021, 1, 20)


@dataclass(frozen=True)
class DoublePlan:
    """What the pipeline uses of a plan."""

    pair: str
    out: Path
    grid: MapGrid
    sha256: str

    def describe(self) -> dict[str, object]:
        return {"pair": self.pair, "sha256": self.sha256}


class DoubleQualities:
    """What is told of dates without a product."""

    def of_pair(self, plan: DoublePlan) -> dict[str, object]:
        return {"common_band": 0.97, "reference_lost_lines": int(plan.pair[6:8]), "secondary_ipf": "003.61"}


@dataclass
class Bench:
    """A mine, scenes every 12 days, and an engine that fails where it is told to."""

    folder: Path
    scenes: gpd.GeoDataFrame
    bad_scenes: set[str] = field(default_factory=set)
    bad_pairs: set[str] = field(default_factory=set)
    snowy_pairs: set[str] = field(default_factory=set)
    interrupt_at: str | None = None
    mapped: list[str] = field(default_factory=list)

    @property
    def mine(self) -> Path:
        path = self.folder / "mine é [1].geojson"
        path.write_text(json.dumps(mapping(AREA)), encoding="utf-8")
        return path

    @property
    def options(self) -> RunOptions:
        start, end = dt.date(2021, 1, 1), dt.date(2023, 12, 31)
        return RunOptions(start=start, end=end, scenes=self.folder / "scenes", dem=self.folder / "dem.tif")

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, **how: Any) -> jobs.Result:
        self.mapped.clear()
        how.setdefault("options", self.options)
        return jobs.run(how.pop("mine", self.mine), out=how.pop("out", self.out), **how)


def scene_table(years: int = 3, of_each: int = 7, every: int = 12, track: int = 52) -> gpd.GeoDataFrame:
    """Scenes of one satellite at one time of day: some of each year, from January on."""
    starts = [(dt.date(FIRST.year + year, 1, 20) - FIRST).days // 12 * 12 for year in range(years)]
    days = [FIRST + dt.timedelta(days=start + every * number) for start in starts for number in range(of_each)]
    count = len(days)
    start = np.array([f"{day}T06:37:31" for day in days], dtype="datetime64[ns]")
    names = [f"S1A_IW_SLC__1SDV_{day:%Y%m%d}T063731" for day in days]
    table = gpd.GeoDataFrame(
        {
            "scene": names,
            "path": [f"/scenes/{name}.SAFE" for name in names],
            "platform": "S1A",
            "relative_orbit": track,
            "absolute_orbit": range(count),
            "direction": "descending",
            "start": start,
            "stop": start + np.timedelta64(27, "s"),
            "polarisations": "VH+VV",
            "swaths": "IW1+IW2+IW3",
            "geometry": [box(-9.5, 31, -7, 33)] * count,
        },
        crs=4326,
    )
    table.attrs["skipped"] = [{"path": "/scenes/half.zip", "reason": "half a zip"}]
    return table


def coherence_of(plan_: DoublePlan) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Stable 0.9; the east of the mine is worked in its third (north) in 2021, all in 2022, nowhere in 2023."""
    rng = np.random.default_rng(int(plan_.pair[:8]))
    values = rng.normal(0.9, 0.02, plan_.grid.shape)
    mine = values[cells_of_mine(plan_.grid.transform)]
    height, width = mine.shape
    worked = {2021: height // 3, 2022: height}.get(int(plan_.pair[:4]), 0)
    mine[:worked, width // 2 :] = 0.3
    return values.clip(0, 1).astype(np.float32)


def cells_of_mine(transform: Affine) -> tuple[slice, slice]:
    """Rows and columns of the mine's own box on cells that may reach beyond it."""
    bare = MapGrid.around(AREA)
    top = max(round((transform.f - bare.transform.f) / -transform.e), 0)
    left = max(round((bare.transform.c - transform.c) / transform.a), 0)
    return slice(top, top + bare.height), slice(left, left + bare.width)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bench:
    """Seven scenes in each of three years; the report is written as one line unless a test is marked real_report."""
    state = Bench(tmp_path, scene_table())

    def make_plan(reference: str, secondary: str, *, out: Path, grid: MapGrid, **how: Any) -> DoublePlan:
        text = json.dumps([reference, secondary, *map(str, how.values())])
        return DoublePlan(out.stem, out, grid, hashlib.sha256(text.encode()).hexdigest())

    def coherence(plan_: DoublePlan, chosen: Engine) -> Path:
        engine = chosen.name
        if is_current(plan_, engine):
            return plan_.out
        if plan_.pair == state.interrupt_at:
            raise KeyboardInterrupt
        for scene in state.bad_scenes:
            if scene in plan_.pair:
                raise ProductError(f"/scenes/S1A_IW_SLC__1SDV_{scene}T063731.SAFE/measurement/x.tiff: truncated")
        if plan_.pair in state.bad_pairs:
            raise ProductError("something that names no scene")
        state.mapped.append(plan_.pair)
        tags = {"REFERENCE_DATE": plan_.pair[:8], "SECONDARY_DATE": plan_.pair[9:], "PLAN_SHA256": plan_.sha256}
        tags |= {"ENGINE": engine, "PERPENDICULAR_BASELINE_M": "12.5"}
        for name in ("REFERENCE_DATE", "SECONDARY_DATE"):
            tags[name] = str(dt.date.fromisoformat(tags[name]))
        values = coherence_of(plan_)
        if plan_.pair in state.snowy_pairs:  # all but the southern quarter
            values[: values.shape[0] * 3 // 4] -= 0.25
        write_cog(
            plan_.out,
            values,
            crs=plan_.grid.crs,
            transform=plan_.grid.transform,
            names=["coherence"],
            tags=tags,
        )
        item = {"type": "Feature", "stac_version": "1.0.0", "id": plan_.pair, "links": [], "assets": {}}
        plan_.out.with_suffix(".json").write_text(json.dumps(item), encoding="utf-8")
        return plan_.out

    def is_current(plan_: DoublePlan, engine: str, snap: object = None) -> bool:
        if not plan_.out.exists():
            return False
        with rasterio.open(plan_.out) as source:
            return bool(source.tags()["PLAN_SHA256"] == plan_.sha256)

    fixed_baseline: Callable[..., float] = lambda *_: 12.5  # noqa: E731
    monkeypatch.setattr(network, "SceneBaselines", lambda *_: fixed_baseline)
    monkeypatch.setattr(maps, "make_plan", make_plan)
    monkeypatch.setattr(maps, "coherence", coherence)
    monkeypatch.setattr(masks, "coherence", lambda plan_, chosen: plan_.out)
    monkeypatch.setattr(maps, "is_current", is_current)
    monkeypatch.setattr(maps, "open_product", str)
    monkeypatch.setattr(maps, "choose_stack_reference", lambda *which, **how: None)
    monkeypatch.setattr(maps, "Qualities", DoubleQualities)
    monkeypatch.setattr(preparation, "is_current", is_current)
    if request.node.get_closest_marker("real_report") is None:
        monkeypatch.setattr(result, "write_report", lambda path, content: write_text(path, f"{content.skipped}"))
    monkeypatch.setattr(preparation, "scan_products", lambda folder: state.scenes)
    return state
