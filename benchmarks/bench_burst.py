"""One burst pair at full width, SAFE to map, against reading and copying the same arrays.

    python benchmarks/bench_burst.py [--folder DIR] [--runs 3]

The pixels are noise under the real annotations of IW1, burst 5, of the Morocco pair
(1507 lines x 23055 samples, VV, both dates) over rolling hills of 900 m relief: speed
does not depend on what the pixels say.  Everything runs in one fresh process; the first
run compiles or loads the compiled kernels, the others are warm.  The table is printed
and kept in ``benchmarks/results/burst.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from noise import DATES, EPSG, machine, outline, write_burst
from shapely.geometry import Polygon

from insar_mining.coherence import engine as carrying
from insar_mining.coherence.builtin import engine, layers
from insar_mining.coherence.builtin.images import dates
from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import make_plan
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import hills, write_dem

HERE = Path(__file__).parent


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


# stages of the job, in the order of the data: name, and the functions whose time it is
STAGES: dict[str, list[tuple[Any, str]]] = {
    "plan: annotations, orbits, elevation model, bursts": [(sys.modules[__name__], "make_plan")],
    "cells of the map in time and range": [(engine, "look_up")],
    "read pixels": [(Side, "read")],
    "terrain seen by each post": [(dates, "surface_heights")],
    "offsets at the posts": [(dates, "field_at_posts")],
    "deramp": [(dates, "deramp")],
    "resample along range": [(dates, "resample_range")],
    "resample along azimuth, reramp, flatten": [(dates, "resample_azimuth")],
    "coherence window": [(layers, "coherence")],
    "fill the map": [(engine, "bilinear")],
    "write COG and STAC item": [(carrying, "write_product")],
}


@contextmanager
def timed_stages() -> Iterator[dict[str, float]]:
    """Add up the seconds that each stage takes while the block runs."""
    seconds = dict.fromkeys(STAGES, 0.0)
    with ExitStack() as stack:
        for stage, functions in STAGES.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, _timing(getattr(owner, name), seconds, stage)))
        yield seconds


def _timing(function: Callable[..., Any], seconds: dict[str, float], stage: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[stage] += time.perf_counter() - start

    return call


def read_and_copy(safes: list[Path]) -> None:
    """Do the least that any program must: read both bursts as complex numbers and copy them once."""
    for safe in safes:
        open_product(safe).read_burst("IW1", "VV", 0).copy()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to keep the products (default: a temporary folder)")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        rng = np.random.default_rng(0)
        safes = sorted(folder.glob("*.SAFE")) or [write_burst(folder, date, rng) for date in DATES]
        area = outline(safes[0])
        dem = folder / "dem.tif"
        if not dem.exists():
            centre = (540_000.0, 3_440_000.0)
            write_dem(hills(EPSG, centre, relief_m=900.0), area.buffer(0.1).bounds, dem)
        measure(folder, safes, area, dem, options.runs)


def measure(folder: Path, safes: list[Path], area: Polygon, dem: Path, runs: int) -> None:
    """Time the job and its bound in turn, and write the table."""
    out = folder / "coherence.tif"
    plan = make_plan(safes[0], safes[1], area=area, dem=dem, out=out)
    cold = timed(lambda: coherence(plan, again=True))
    whole, bound = [], []
    for _ in range(runs):
        bound.append(timed(lambda: read_and_copy(safes)))
        whole.append(timed(lambda: coherence(make_plan(safes[0], safes[1], area=area, dem=dem, out=out), again=True)))
    with timed_stages() as seconds:
        start = time.perf_counter()
        coherence(make_plan(safes[0], safes[1], area=area, dem=dem, out=out), again=True)
        total = time.perf_counter() - start
    seconds["everything else"] = total - sum(seconds.values())
    stages = "\n".join(f"| {stage} | {value:.2f} |" for stage, value in seconds.items())
    ratio = statistics.median(w / b for w, b in zip(whole, bound, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # with that of making the products, if they are
    table = f"""# One burst pair, full width

{dt.date.today()}; {machine()}.
IW1, 1507 x 23055 pixels, both dates, VV, window 2 x 7, hills of 900 m relief; map of
{plan.grid.width} x {plan.grid.height} cells of {plan.grid.spacing_m:g} m. {runs} warm runs in one process.

| what | seconds (median; least - most) |
|---|---|
| SAFE to geocoded COG and STAC item, first run in the process | {cold:.1f} |
| the same, warm | {_figures(whole)} |
| read both bursts as complex numbers and copy them once | {_figures(bound)} |
| ratio, run by run | {ratio:.1f} |

Peak memory of the process: {peak:.2f} GiB.

Stages of one more warm run ({total:.2f} s):

| stage | seconds |
|---|---|
{stages}
"""
    print(table)
    (HERE / "results" / "burst.md").write_text(table, encoding="utf-8")


def _figures(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f}; {min(seconds):.2f} - {max(seconds):.2f}"


if __name__ == "__main__":
    main()
