"""A simulated pair, and SNAP's stand-in installed where the engine looks for SNAP."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box

from insar_mining.coherence.plan import CoherencePlan, make_plan
from insar_mining.simulate import Settings, SimulatedPair, hills, morocco_template, simulate_pair

STANDIN = Path(__file__).parents[3] / "standin_gpt" / "gpt.py"
# in the middle of burst 5 of IW1; some seventy cells of 20 m on each side
AREA = (-8.592, 31.058, -8.582, 31.066)


def install(folder: Path, script: Path = STANDIN, version: str = "13.0.4") -> Path:
    """Make a folder that looks like an installed SNAP; its gpt is a launcher that starts another process."""
    (folder / "bin").mkdir(parents=True)
    (folder / "VERSION.txt").write_text(f"{version}\n", encoding="utf-8")
    gpt = folder / "bin" / "gpt"
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}"
    gpt.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
    gpt.chmod(0o755)
    return folder


@pytest.fixture
def snap_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in as SNAP 13, in a folder whose name has a space."""
    home = install(tmp_path / "esa snap")
    monkeypatch.setenv("SNAP_HOME", str(home))
    monkeypatch.setenv("INSAR_MINING_SNAP_MEMORY", "2G")
    monkeypatch.setenv("INSAR_MINING_SNAP_PARALLELISM", "4")
    return home


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """Two products over hills, 60 m of baseline, checks of coherence 0.9 and 0.3."""
    return simulate_pair(
        tmp_path_factory.mktemp("snap pair"),
        reference=morocco_template(),
        area=AREA,
        terrain=hills(32629, (730_400.0, 3_438_900.0), relief_m=300.0, base_m=2700.0),
        coherence=lambda x, y: np.where((x // 300 + y // 300) % 2 == 0, 0.9, 0.3),
        rng=np.random.default_rng(20230904),
        baseline_m=60.0,
        start_offset_s=0.003,
        settings=Settings(snr_db=20.0, margin_m=100.0),
    )


@pytest.fixture
def plan(simulated: SimulatedPair, tmp_path: Path) -> Callable[..., CoherencePlan]:
    """Make a plan of the simulated pair; keyword arguments go to make_plan."""

    def make(**how: object) -> CoherencePlan:
        how.setdefault("out", tmp_path / "out" / "20230904_20230916.tif")
        return make_plan(simulated.reference, simulated.secondary, area=box(*AREA), dem=simulated.dem, **how)

    return make
