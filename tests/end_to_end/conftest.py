"""The demonstration, run once per session as a user runs it."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import Polygon, box

from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.simulate import hills, load_template, simulate_stack
from insar_mining.simulate.scene import Acquisition
from insar_mining.simulate.stack import SimulatedStack

EPSG = 32629
HALF_BOX_DEG = 0.012
BASELINES_M = (0.0, 150.0, -90.0, 40.0)


@dataclass(frozen=True)
class Finished:
    """A command that ended well: what it said, and the processor time that it took."""

    stdout: str
    stderr: str
    processor_s: float


def insar_mining(*arguments: str | Path) -> Finished:
    """Run ``insar-mining`` as a process of its own, with its own default engine, in a wide terminal."""
    environment = {name: value for name, value in os.environ.items() if name != "INSAR_MINING_ENGINE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "insar_mining", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"COLUMNS": "160"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Finished(done.stdout, done.stderr, taken)


@dataclass(frozen=True)
class Demo:
    """The demonstration's folder, and what the command said."""

    folder: Path
    said: Finished


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Demo]:
    """``insar-mining demo``, in full; half a gigabyte of scenes is taken away again unless a test failed."""
    folder = tmp_path_factory.mktemp("demo") / "a mine's result (é) [1]"
    yield Demo(folder, insar_mining("demo", "--keep-scenes", "--out", folder))
    if not request.session.testsfailed:
        shutil.rmtree(folder / "simulated" / "scenes")


@pytest.fixture(scope="session")
def demo_folder(demo: Demo) -> Path:
    """The demonstration's folder; read it, do not write into it."""
    return demo.folder


@pytest.fixture(scope="session")
def stack(
    morocco_safe: Callable[[str], Path],
    morocco_sub_swath: Callable[[str, str], SubSwath],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[SimulatedStack, Polygon]:
    """Four dates over hills of 900 m, on the seam of two bursts of IW2: coherence 0.95 a step, 0.4 in the west."""
    swath = morocco_sub_swath("20230904", "IW2")
    grid, column = swath.geolocation, swath.geolocation.line.shape[1] // 2
    time = (swath.bursts[4].azimuth_time_s + 3.095 + swath.bursts[5].azimuth_time_s) / 2
    lon, lat = (
        float(np.interp(time, grid.azimuth_time_s[:, column], values[:, column]))
        for values in (grid.longitude_deg, grid.latitude_deg)
    )
    centre = Transformer.from_crs(4326, EPSG, always_xy=True).transform(lon, lat)
    area = box(lon - HALF_BOX_DEG, lat - HALF_BOX_DEG, lon + HALF_BOX_DEG, lat + HALF_BOX_DEG)
    template = load_template(morocco_safe("20230904"))
    made = simulate_stack(
        tmp_path_factory.mktemp("stack"),
        [Acquisition(template, 12 * i, 0.0, baseline) for i, baseline in enumerate(BASELINES_M)],
        swaths="IW2",
        area=area,
        terrain=hills(EPSG, centre, relief_m=900.0),
        coherence=lambda index: lambda x, y: np.where(x < centre[0], 0.4, 0.95),
        rng=np.random.default_rng(31),
    )
    return made, area
