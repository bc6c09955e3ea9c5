"""What a portfolio costs beside its mines: reading, clustering, planning, and handing out tasks.

    python benchmarks/bench_portfolio.py [--quick]

Polygons are synthetic clumps over the whole Earth (20 corners each, the largest clump of several thousand); records
are those of one burst stack for each 2 x 2 degrees.  Tasks are empty or compute for a known time, so that what is left
is the executor's.  The table is printed and kept in ``benchmarks/results/portfolio.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from insar_mining.machine import processors
from insar_mining.options.models import RunOptions
from insar_mining.portfolio.costs import world_cost
from insar_mining.portfolio.executors import dask_pool, execute, local_pool
from insar_mining.portfolio.footprints import mines_of, read_footprints
from insar_mining.portfolio.ledger import FOLDER, Ledger, Task
from insar_mining.portfolio.plan import plan_portfolio
from insar_mining.portfolio.work import Finished, Steps
from insar_mining.scenes.records import RECORD_COLUMNS, write_records

HERE = Path(__file__).parent
WORK_S = 0.25


def clumps(count: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Polygons in clumps of very different sizes."""
    places = max(count // 8, 1)
    lat = np.rad2deg(np.arcsin(rng.uniform(-0.9, 0.9, places)))
    centre = np.column_stack([rng.uniform(-179, 179, places), lat])
    weight = rng.pareto(1.2, places) + 0.3
    chosen = centre[rng.choice(places, count, p=weight / weight.sum())] + rng.normal(0, 0.05, (count, 2))
    angle = np.linspace(0, 2 * np.pi, 21)[:-1]
    radius = rng.lognormal(-6.5, 0.7, count)[:, None]
    return shapely.polygons(
        np.stack([chosen[:, :1] + radius * np.cos(angle), chosen[:, 1:] + radius * np.sin(angle)], axis=-1)
    )


def written(path: Path, shapes: Any) -> Path:
    columns = {"ISO3_CODE": "MAR", "COUNTRY_NAME": "Morocco", "AREA": 1.0}
    gpd.GeoDataFrame(columns, index=range(len(shapes)), geometry=shapes, crs=4326).to_file(path)
    return path


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    done = work()
    return done, time.perf_counter() - begin


def computed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Do it and return its processor seconds, which other processes of the machine hardly change."""
    begin = time.process_time()
    done = work()
    return done, time.process_time() - begin


def records(count: int) -> gpd.GeoDataFrame:
    """Thirty dates of bursts that lie in a row along the equator, 2 degrees each."""
    rows = []
    for place in range(count):
        outline = shapely.box(-180 + 2 * place, -2, -178 + 2 * place, 2)
        for day in range(0, 360, 12):
            start = np.datetime64("2022-01-01T06:00:00", "ns") + np.timedelta64(day, "D")
            row: dict[str, Any] = dict.fromkeys(RECORD_COLUMNS)
            row |= {
                "scene": f"S1_{place:03d}_{day:03d}-BURST", "kind": "burst", "platform": "S1A",
                "relative_orbit": 1 + place % 175, "burst_id": f"{place:03d}_IW1", "direction": "descending",
                "start": start,
                "polarisations": "VV", "bytes": 137_000_000, "url": "https://x/1.tiff", "geometry": outline,
            }  # fmt: skip
            rows.append(row)
    return gpd.GeoDataFrame(rows, geometry="geometry", crs=4326)


def job(task: Task, folder: Path, steps: Steps) -> Finished:
    """Compute for the time that the task says."""
    until = time.process_time() + float(task.inputs["seconds"])
    while time.process_time() < until:
        pass
    out = folder / "mines" / task.id
    out.mkdir(parents=True, exist_ok=True)
    (out / "done.txt").write_text(task.id)
    return Finished(out)


def executed(pool: Any, count: int, seconds: float) -> tuple[float, int]:
    """Seconds of all tasks, and the largest memory of a worker."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / FOLDER).mkdir()
        tasks = [Task(f"mine-{number:05d}", {"seconds": seconds, "n": number}) for number in range(count)]
        _, taken = timed(lambda: execute(tasks, folder, job, pool, lambda *_: None))
        ledger = Ledger(folder)
        peaks = [record.measured["peak_bytes"] for task in tasks if (record := ledger.record(task.id)) is not None]
        return taken, max(peaks)


def planning(folder: Path, rng: np.random.Generator, polygons: int) -> list[str]:
    lines = []
    path = written(folder / "world.gpkg", clumps(polygons, rng))
    footprints, reading = computed(lambda: read_footprints(path))
    mines, clustering = computed(lambda: mines_of(footprints))
    lines.append(
        f"| {polygons:,} polygons to {len(mines):,} mines at 5 km | reading {reading:.1f} s, clustering and outlines "
        f"{clustering:.1f} s, together {reading + clustering:.1f} s of one processor |"
    )
    cost, counting = computed(lambda: world_cost(mines, years=9.0))
    lines.append(
        f"| these mines for nine years, by the model | {cost.burst_files:,} burst files, "
        f"{cost.download_bytes / 1e12:,.0f} TB, {cost.core_hours:,.0f} core-hours, a burst for {cost.shared_by:.2f} "
        f"mines ({counting:.1f} s) |"
    )
    write_records(records(100), folder / "records.geojson")
    tiny = [
        shapely.box(x, y, x + 0.005, y + 0.005) for x in np.linspace(-179.5, 19.0, 250) for y in (-1.5, -0.5, 0.5, 1.5)
    ]
    source = written(folder / "tiny.gpkg", tiny)
    options = RunOptions(start="2022-01-01", end="2022-12-31")
    made, taken = computed(
        lambda: plan_portfolio(source, folder / "portfolio", options, catalogue=folder / "records.geojson")
    )
    lines.append(f"| plan of {len(made.mines):,} tiny mines against 3,000 records | {taken:.1f} s of one processor |")
    return lines


def executing(rounds: int) -> list[str]:
    lines = []
    alone, _ = executed(None, rounds, 0.0)
    lines.append(f"| an empty task in this process (claim, record, checksum) | {alone / rounds * 1e3:.1f} ms |")
    busy = {}
    for workers in (1, 2, 4):
        with local_pool(workers) as pool:
            executed(pool, workers, 0.0)  # the processes start
            empty, peak = executed(pool, rounds, 0.0)
            busy[workers], _ = executed(pool, 24, WORK_S)
        lines.append(
            f"| {workers} processes | {empty / rounds * 1e3:.1f} ms a task; 24 tasks of {WORK_S:g} s of computing in "
            f"{busy[workers]:.2f} s ({busy[1] / busy[workers]:.2f} x one process); at most {peak / 1e6:.0f} MB each |"
        )
    begin = time.perf_counter()
    with dask_pool(None, 2) as pool:
        started = time.perf_counter() - begin
        empty, peak = executed(pool, rounds, 0.0)
        with_work, _ = executed(pool, 24, WORK_S)
    lines.append(
        f"| 2 dask workers | {started:.1f} s to start, {empty / rounds * 1e3:.1f} ms a task; the same 24 tasks in "
        f"{with_work:.2f} s ({busy[1] / with_work:.2f} x one process); at most {peak / 1e6:.0f} MB each |"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the polygons and tasks")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    share = 10 if given.quick else 1
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        lines = planning(Path(name), rng, 75_000 // share)
    lines += executing(200 // share)
    head = [
        "# A portfolio beside its mines", "",
        f"{dt.date.today()}, {processors()} processors ({platform.processor() or platform.machine()}), Python "
        f"{platform.python_version()}. `python benchmarks/bench_portfolio.py`; other processes kept the machine at a "
        f"load of {os.getloadavg()[0]:.0f} meanwhile", "", "| what | cost |", "|---|---|",
    ]  # fmt: skip
    text = "\n".join([*head, *lines]) + "\n"
    sys.stdout.write(text)
    if not given.quick:
        (HERE / "results" / "portfolio.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
