"""Pairs mapped by dask's threads and processes: the maps of a serial run, no more threads than allowed, no deadlock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from shapely.geometry import Polygon, box

from insar_mining.geometry.threads import allowance, threads
from insar_mining.machine import processors
from insar_mining.simulate.stack import SimulatedStack
from tests.end_to_end.under_dask import WORKERS

ROOT = Path(__file__).parents[2]
PAIRS = [(1, 2), (0, 1), (1, 3)]


@pytest.mark.parametrize(("layer", "apart"), [("workqueue", 0), ("default", 2)])
def test_maps_under_dask(stack: tuple[SimulatedStack, Polygon], tmp_path: Path, layer: str, apart: int) -> None:
    """Three pairs in threads, and two in processes, are bit for bit those of one after another.

    Planned where they are mapped, with the layer of numba that ends a process in which two threads start kernels
    at once, and with the one that is the default here.
    """
    made, area = stack
    x, y = area.centroid.x, area.centroid.y
    np.savez(
        tmp_path / "in.npz",
        area=box(x - 0.004, y - 0.004, x + 0.004, y + 0.004).wkt,
        dem=str(made.dem),
        reference=str(made.products[0]),
        apart=apart,
        pairs=[(str(made.products[first]), str(made.products[second])) for first, second in PAIRS],
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS",)}
    environment |= {"NUMBA_NUM_THREADS": "2"} | ({"NUMBA_THREADING_LAYER": layer} if layer != "default" else {})
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.under_dask", tmp_path / "in.npz", tmp_path / "out.npz"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        out = dict(found)
    assert layer in (str(out["layer"]), "default")
    assert np.isfinite(out["serial"]).mean() > 0.98
    assert not np.array_equal(out["serial"][0], out["serial"][1])
    np.testing.assert_array_equal(out["threaded"], out["serial"])
    if apart:
        np.testing.assert_array_equal(out["apart"], out["serial"][:apart])
        assert out["processes"] >= 1  # beside a busy machine the first may take both pairs before the second has begun
        assert (out["allowed"] == 1).all()
    before, most = out["threads"]
    helpers = 0 if str(out["layer"]) == "workqueue" else WORKERS  # others keep a sleeping thread for each that asks
    assert most <= before + WORKERS + 1 + helpers


def test_one_at_a_time() -> None:
    """However many threads ask, kernels of one run; a thread that already has the right to does not wait for itself."""
    inside, most = [0], [0]
    counting = threading.Lock()

    def work(_: int) -> int:
        with threads(1) as outer, threads() as inner:
            with counting:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.005)
            with counting:
                inside[0] -= 1
            assert inner <= max(outer, allowance())
            return outer

    before = numba.get_num_threads()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(16))) == [1] * 16
    assert most[0] == 1
    assert numba.get_num_threads() == before


@pytest.mark.parametrize(("said", "expected"), [("1", 1), ("1,4", 1), ("9999", None), ("", None), ("many", None)])
def test_allowance(monkeypatch: pytest.MonkeyPatch, said: str, expected: int | None) -> None:
    """``OMP_NUM_THREADS`` bounds what the machine allows; what is no number is not heeded."""
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert allowance() == (expected or processors())
