"""A mine in many dates: from SAFE folders to coherence maps, with every date brought to one geometry once.

    python benchmarks/bench_stack.py [--folder DIR]

The dates are repeats of burst 5 of IW1 of the Morocco scene (1507 lines x 23055 samples, VV) with noise
for pixels, over hills of 900 m relief.  Every row of the table is a process of its own, with kernels
compiled before: planning, reading, resampling, maps and STAC items of all pairs up to a span; then,
in the same process, the pairs of the next longer span, which need no new date.  The bound reads the
mine's samples of every date and copies them.  A cost per date, one per pair and a fixed one are fitted to the rows
of one area.  Kept in ``benchmarks/results/stack.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from noise import DATES, EPSG, machine, outline, write_burst
from shapely.geometry import box

from insar_mining.geo.grid import MapGrid
from insar_mining.geo.mines import mine_from_geometry
from insar_mining.options.models import RunOptions
from insar_mining.pipeline.maps import Planner, make_maps
from insar_mining.scenes.products import scan_products
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import hills, write_dem

HERE = Path(__file__).parent
CENTRE_M = (542_500.0, 3_436_100.0)
MANY = 31
# dates, side of the mine in km, spans of pairs: 1 is the consecutive pairs, 4 those up to 48 days
CASES = [(MANY, 10.0, 1), (16, 10.0, 1), (8, 10.0, 1), (16, 10.0, 4), (16, 10.0, 8), (MANY, 5.0, 1), (MANY, 14.0, 1)]
FITTED_KM = 10.0


def write_stack(folder: Path) -> None:
    """Write 31 dates whose measurements are two files of noise, linked in turn."""
    rng = np.random.default_rng(0)
    pixels: list[Path] = []
    for number in range(MANY):
        known = pixels[number % 2] if number > 1 else None
        safe = write_burst(folder, DATES[0], rng, days=12 * number, pixels=known)
        if number < 2:
            pixels += (safe / "measurement").glob("*.tiff")


def one_case(folder: Path, dates: int, side_km: float, spans: int) -> dict[str, float]:
    """Map all pairs of some dates up to a span over a mine; then further pairs of the same dates."""
    scenes = scan_products(folder / "scenes").sort_values("start").head(dates)
    half = side_km * 500
    grid = MapGrid(EPSG, CENTRE_M[0] - half, CENTRE_M[1] + half, 20.0, 1, 1)
    west, south, east, north = MapGrid(EPSG, grid.west_m, grid.north_m, 2 * half, 1, 1).bounds_lonlat()
    area = mine_from_geometry(box(west, south, east, north), id="mine").geometry
    out = Path(tempfile.mkdtemp(dir=folder))
    options = RunOptions(start="2023-01-01", end="2024-12-31", scenes=folder / "scenes", dem=folder / "dem.tif")
    days = tuple(12 * span for span in range(1, spans + 1))
    options = options.replace(pairs=options.pairs.replace(network="all", temporal_baseline_days=days))
    planner = Planner(area, folder / "dem.tif", out, options)
    figures: dict[str, float] = {"dates": dates, "side_km": side_km, "spans": spans}
    start = time.perf_counter()
    maps = make_maps(scenes, planner, lambda *state: None)
    figures |= {"pairs": len(maps.paths), "seconds": time.perf_counter() - start}
    further = options.replace(pairs=options.pairs.replace(temporal_baseline_days=(days[-1] + 12,)))
    second = Planner(area, folder / "dem.tif", out, further)
    start = time.perf_counter()
    more = make_maps(scenes, second, lambda *state: None)
    figures |= {"further": len(more.paths), "further_seconds": time.perf_counter() - start}
    figures["peak_mib"] = peak_mib()
    kept = [array for array in (out / ".dates").glob("*.npy")]
    figures["cache_mib"] = sum(path.stat().st_size for path in kept) / 1024**2
    date = max(kept, key=lambda path: path.stat().st_size)
    lines, samples = np.load(date, mmap_mode="r").shape
    start = time.perf_counter()
    for path in scenes["path"]:
        open_product(path).read_burst("IW1", "VV", 0, slice(0, min(lines, 1500)), slice(5000, 5000 + samples)).copy()
    figures |= {"bound": time.perf_counter() - start, "megasamples": lines * samples / 1e6}
    shutil.rmtree(out)
    return figures


def peak_mib() -> float:
    """Most memory that this process has held (of getrusage the parent's memory is a part)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to keep the products (default: a temporary folder)")
    parser.add_argument("--case", nargs=3, type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(one_case(options.folder, int(options.case[0]), options.case[1], int(options.case[2]))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "scenes").exists():
            write_stack(folder / "scenes")
        if not (folder / "dem.tif").exists():
            around = outline(next((folder / "scenes").glob("*.SAFE"))).buffer(0.1).bounds
            write_dem(hills(EPSG, CENTRE_M, relief_m=900.0), around, folder / "dem.tif")
        _case(folder, 3, 5.0, 1)  # compiles what is not compiled yet
        table = report([_case(folder, *case) for case in CASES], _cold_command(folder))
    print(table)
    (HERE / "results" / "stack.md").write_text(table, encoding="utf-8")


def _case(folder: Path, dates: int, side_km: float, spans: int) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", __file__, "--folder", folder, "--case", dates, side_km, spans]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _cold_command(folder: Path) -> float:
    """Seconds of ``insar-mining coherence`` over the 10 x 10 km mine, a new process, compiled kernels."""
    first, second = sorted((folder / "scenes").glob("*.SAFE"))[:2]
    grid = MapGrid(EPSG, CENTRE_M[0] - 5000, CENTRE_M[1] + 5000, 10_000.0, 1, 1)
    out = folder / "command.tif"
    command: list[Any] = [sys.executable, "-m", "insar_mining", "coherence", first, second, "--dem", folder / "dem.tif"]
    command += ["--bbox", *grid.bounds_lonlat(), "-o", out]
    start = time.perf_counter()
    subprocess.run([*map(str, command)], capture_output=True, check=True)
    return time.perf_counter() - start


def fitted(rows: list[dict[str, float]]) -> str:
    """Fit seconds = fixed + dates x a + pairs x b to the rows of one area, and say how far they lie from it."""
    same = [row for row in rows if row["side_km"] == FITTED_KM]
    terms = np.array([[1.0, row["dates"], row["pairs"]] for row in same])
    seconds = np.array([row["seconds"] for row in same])
    (fixed, per_date, per_pair), *_ = np.linalg.lstsq(terms, seconds, rcond=None)
    off = np.abs(terms @ (fixed, per_date, per_pair) / seconds - 1).max()
    return (
        f"{FITTED_KM:g} x {FITTED_KM:g} km, by least squares over {len(same)} rows: {fixed:.1f} s, "
        f"{per_date:.2f} s per date and {per_pair:.2f} s per pair; no row lies more than {off:.0%} off."
    )


def report(rows: list[dict[str, float]], cold: float) -> str:
    """Write the table."""
    lines = [
        f"| {r['dates']:.0f} | {r['side_km']:g} x {r['side_km']:g} | {12 * r['spans']:.0f} | {r['megasamples']:.1f} "
        f"| {r['pairs']:.0f} | {r['seconds']:.1f} | {r['seconds'] / r['pairs']:.2f} "
        f"| {r['further_seconds'] / r['further']:.2f} | {r['bound']:.2f} "
        f"| {r['seconds'] / r['bound']:.1f} | {r['peak_mib']:.0f} | {r['cache_mib']:.0f} |"
        for r in rows
    ]
    return f"""# One mine in many dates

{dt.date.today()}; {machine()}.
IW1, VV, window 2 x 7, maps of 20 m, hills of 900 m relief; SAFE folders to COGs and STAC items.

| dates | mine, km | spans up to, days | Msamples per date | pairs | seconds | per pair | per further pair | bound, s \
| ratio | peak MiB | dates on disk, MiB |
|---|---|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

{fitted(rows)}

`insar-mining coherence` over the 10 x 10 km mine, a new process with compiled kernels: {cold:.1f} s.
"""


if __name__ == "__main__":
    main()
