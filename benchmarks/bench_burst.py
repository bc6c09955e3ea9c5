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
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from noise import DATES, EPSG, outline, write_burst
from shapely.geometry import Polygon

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan import make_plan
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import hills, write_dem

HERE = Path(__file__).parent


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


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
    ratio = statistics.median(w / b for w, b in zip(whole, bound, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    table = f"""# One burst pair, full width

{dt.date.today()}; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.
IW1, 1507 x 23055 pixels, both dates, VV, window 2 x 7, hills of 900 m relief; map of
{plan.grid.width} x {plan.grid.height} cells of {plan.grid.spacing_m:g} m. {runs} warm runs in one process.

| what | seconds (median; least - most) |
|---|---|
| SAFE to geocoded COG and STAC item, first run in the process | {cold:.1f} |
| the same, warm | {_figures(whole)} |
| read both bursts as complex numbers and copy them once | {_figures(bound)} |
| ratio, run by run | {ratio:.1f} |

Peak memory of the process: {peak:.2f} GiB.
"""
    print(table)
    (HERE / "results" / "burst.md").write_text(table, encoding="utf-8")


def _figures(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f}; {min(seconds):.2f} - {max(seconds):.2f}"


if __name__ == "__main__":
    main()
