"""Maps the pairs of a stack one after another, by dask's threads and by dask's processes; run by test_dask.py.

    python -m tests.end_to_end.under_dask INPUT.npz OUTPUT.npz

A process of its own, so that its threads can be counted and numba's threading layer be chosen.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import dask
import numba
import numpy as np
from shapely import from_wkt

from insar_mining.coherence.builtin.engine import BuiltinEngine
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.geometry.threads import threads

WORKERS = 4


def planned(first: str, second: str, given: dict[str, str]) -> CoherencePlan:
    return make_plan(
        first, second, area=from_wkt(given["area"]), dem=given["dem"], stack_reference=given["reference"], out="unused"
    )


def mapped(plan: CoherencePlan) -> np.ndarray:
    return BuiltinEngine().map_layers(plan, lambda share: None)["coherence"]


def planned_and_mapped(first: str, second: str, given: dict[str, str]) -> np.ndarray:
    return mapped(planned(first, second, given))


def in_a_process(plan: CoherencePlan) -> tuple[np.ndarray, int, int]:
    """Map a plan that came from another process; add the process's id and how many threads its kernels may take."""
    with threads() as allowed:
        return mapped(plan), os.getpid(), allowed


def running_threads() -> int:
    """Threads of this process."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def most_threads(stop: threading.Event, seen: list[int]) -> None:
    """Keep the largest number of threads."""
    while not stop.wait(0.002):
        seen[0] = max(seen[0], running_threads())


def main(source: Path, target: Path) -> None:
    with np.load(source) as stored:
        given = {name: str(stored[name]) for name in ("area", "dem", "reference")}
        pairs = [tuple(map(str, pair)) for pair in stored["pairs"]]
        apart_pairs = int(stored["apart"])
    serial = [planned_and_mapped(*pair, given) for pair in pairs]
    before = running_threads()
    most, stop = [before], threading.Event()
    watch = threading.Thread(target=most_threads, args=(stop, most), daemon=True)
    watch.start()
    delayed = dask.delayed(planned_and_mapped)
    threaded = dask.compute(*[delayed(*pair, given) for pair in pairs], scheduler="threads", num_workers=WORKERS)
    stop.set()
    watch.join()
    os.environ["OMP_NUM_THREADS"] = "1"  # as dask.distributed has it for its workers
    delayed = dask.delayed(in_a_process)
    apart = dask.compute(
        *[delayed(planned(*pair, given)) for pair in pairs[:apart_pairs]],
        scheduler="processes",
        num_workers=2,
        chunksize=1,
    )
    np.savez(
        target,
        serial=serial,
        threaded=threaded,
        apart=[values for values, _, _ in apart],
        processes=len({number for _, number, _ in apart} - {os.getpid()}),
        allowed=[allowed for _, _, allowed in apart],
        threads=[before, most[0]],
        layer=numba.threading_layer(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
