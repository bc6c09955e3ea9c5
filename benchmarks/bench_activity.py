"""Time and memory of the activity analysis, against reading the rasters that it is made from.

    python benchmarks/bench_activity.py [--large] [--runs 3] [--folder DIR]

Four sizes of map, 92 pairs each, from cloud-optimised GeoTIFFs as the engines write them: three quarters of the ground
stable, a pit that is worked in part of the pairs, a scene in ten under snow. Every size runs in a process of its own,
whose peak memory is the one told; the first run loads the compiled kernels, the others are warm. With
``--large`` also 92 pairs of 10,000 x 10,000 cells, of which one chunk in a hundred holds data, from and to Zarr. The
tables are printed and kept in ``benchmarks/results/activity.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PAIRS = 92
SIZES = (125, 250, 500, 1000)
LARGE = 10_000
CHUNK = 256
FILLED = 100


def dates() -> list[tuple[np.datetime64, np.datetime64]]:
    """Return consecutive pairs of 12 days over three years."""
    start = np.datetime64("2021-01-04", "D")
    return [(start + 12 * number, start + 12 * (number + 1)) for number in range(PAIRS)]


def layer(number: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return the coherence of one pair: noise about 0.9, 0.35 in the pit while it is worked, snow now and then."""
    level = np.full((height, width), 0.9, np.float32)
    pit = slice(height // 3, height // 2), slice(width // 4, width // 2 + width // 4)
    if number % 3:
        level[pit] = 0.35
    if number % 10 == 4:
        level[:] = 0.35
    spread = np.where(level > 0.5, 0.055, 0.16).astype(np.float32)
    noise = rng.standard_normal((height, width), dtype=np.float32)
    return np.clip(level + spread * noise, 0.0, 1.0)


def write_rasters(folder: Path, size: int) -> None:
    """Write the pairs as the engines do."""
    from affine import Affine

    from insar_mining.raster import write_cog

    rng = np.random.default_rng(size)
    for number, (first, second) in enumerate(dates()):
        write_cog(
            folder / f"{first}_{second}.tif".replace("-", ""),
            layer(number, size, size, rng),
            crs="EPSG:32629",
            transform=Affine(20, 0, 600_000, 0, -20, 3_500_000),
            names=["coherence"],
            tags={"REFERENCE_DATE": str(first), "SECONDARY_DATE": str(second), "ENGINE": "builtin"},
        )


def peak_mb() -> float:
    """Peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall and processor seconds of an action, and what it gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def significant(folder: Path) -> Any:
    """Do the default analysis of a folder of rasters, without intervals."""
    from insar_mining.activity import open_stack, significant_activity

    return significant_activity(open_stack(folder))


def published(folder: Path) -> Any:
    """Do the published analysis of a folder of rasters."""
    from insar_mining.activity import activity_table, annual_ndai, classify, iterate_stable, ndai, open_stack

    found = iterate_stable(open_stack(folder))
    return activity_table(classify(annual_ndai(ndai(found.kept, found.stable))))


def reading(folder: Path) -> Any:
    """Read the same rasters as numbers: the least that any analysis must do."""
    from insar_mining.activity import open_stack

    return open_stack(folder, hold_bytes=10**12).values


ACTIONS: dict[str, Callable[[Path], Any]] = {"reading": reading, "published": published, "significant": significant}


def measure(name: str, folder: Path, runs: int) -> dict[str, Any]:
    """Run one action cold and warm, in this process."""
    warnings.simplefilter("ignore")
    import insar_mining.activity.stack  # noqa: F401 - what it takes is told by itself

    loaded = peak_mb()
    cold = timed(lambda: ACTIONS[name](folder))[0]
    warm = [timed(lambda: ACTIONS[name](folder))[:2] for _ in range(runs)]
    return {
        "cold": cold,
        "wall": statistics.median(wall for wall, _ in warm),
        "cpu": statistics.median(cpu for _, cpu in warm),
        "peak_mb": peak_mb(),
        "loaded_mb": loaded,
    }


def large(folder: Path) -> dict[str, Any]:
    """Write a sparse cube to Zarr, analyse it from there and write the maps, in bounded memory."""
    from insar_mining.activity import from_zarr, significant_to_zarr, to_zarr

    cube_path, out = folder / "cube.zarr", folder / "activity.zarr"
    write = timed(lambda: to_zarr(sparse_cube(), cube_path, chunk=CHUNK))[0]
    written_mb = peak_mb()
    warnings.simplefilter("ignore")
    wall, cpu, result = timed(lambda: significant_to_zarr(from_zarr(cube_path), out))
    areas = {int(row.year): float(row.area_m2) for row in result.table.itertuples()}
    return {"write": write, "written_mb": written_mb, "wall": wall, "cpu": cpu, "peak_mb": peak_mb(), "areas": areas}


def sparse_cube() -> Any:
    """Return a cube of 10,000 x 10,000 cells of which one chunk in a hundred holds data, made when it is read."""
    import xarray as xr

    from insar_mining.activity.blocks import lazy_variable

    def read(key: tuple[Any, ...]) -> np.ndarray:
        rows, cols = (np.arange(LARGE)[part] for part in key[1:])
        values = np.full((PAIRS, rows.size, cols.size), np.nan, np.float32)
        for top in np.unique(rows // CHUNK):
            for left in np.unique(cols // CHUNK):
                if (top * 41 + left) % FILLED == 0:
                    inside = np.ix_(np.flatnonzero(rows // CHUNK == top), np.flatnonzero(cols // CHUNK == left))
                    rng = np.random.default_rng([int(top), int(left)])
                    for number in range(PAIRS):
                        tile = layer(number, CHUNK, CHUNK, rng)
                        values[number][inside] = tile[: inside[0].size, : inside[1].size]
        return values

    first, second = (np.array(side, "datetime64[ns]") for side in zip(*dates(), strict=True))
    middle = first + (second - first) // 2
    coords = {
        "pair": ("pair", np.array([f"{a}_{b}".replace("-", "") for a, b in dates()])),
        "reference_date": ("pair", first),
        "secondary_date": ("pair", second),
        "days": ("pair", np.full(PAIRS, 12)),
        "year": ("pair", middle.astype("datetime64[Y]").astype(int) + 1970),
        "perpendicular_baseline_m": ("pair", np.full(PAIRS, np.nan)),
        "y": 3_500_000 - 20 * (np.arange(LARGE) + 0.5),
        "x": 600_000 + 20 * (np.arange(LARGE) + 0.5),
        "cell_area_m2": ((), 400.0),
    }
    attrs = {"crs": "EPSG:32629", "transform": (20.0, 0.0, 600_000.0, 0.0, -20.0, 3_500_000.0)}
    variable = lazy_variable(("pair", "y", "x"), (PAIRS, LARGE, LARGE), read)
    return xr.DataArray(variable, coords=coords, attrs=attrs, name="coherence")


def in_its_own_process(*arguments: str) -> dict[str, Any]:
    """Run this script again for one measurement, on one thread per library."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, __file__, "--one", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | one,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def sizes_table(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """Return the table of some sizes."""
    rows = [
        "| cells | what | cold, s | warm, s | processor, s | ns per pixel-pair (processor) | peak, MB (imports) |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        rasters = folder / str(size)
        if not rasters.exists():
            rasters.mkdir(parents=True)
            write_rasters(rasters, size)
        for name in ACTIONS:
            found = in_its_own_process(name, str(rasters), str(runs))
            each = 1e9 * found["cpu"] / (PAIRS * size**2)
            rows.append(
                f"| {size} x {size} | {name} | {found['cold']:.2f} | {found['wall']:.2f} | {found['cpu']:.2f} "
                f"| {each:.0f} | {found['peak_mb']:.0f} ({found['loaded_mb']:.0f}) |"
            )
            print(rows[-1], flush=True)
    return "\n".join(rows)


def large_text(found: dict[str, Any]) -> str:
    """Return what the large cube took."""
    areas = ", ".join(f"{year}: {area / 1e6:.2f} km2" for year, area in found["areas"].items())
    return f"""## 92 x 10,000 x 10,000 cells

Sparse: one chunk of {CHUNK} x {CHUNK} in {FILLED} holds data. Written to Zarr from a cube that is made
when it is read in {found["write"]:.0f} s (peak {found["written_mb"]:.0f} MB); analysed from Zarr, and the maps of every
year written to Zarr, in {found["wall"]:.0f} s ({found["cpu"]:.0f} s of processor time).
**Peak memory of the process: {found["peak_mb"]:.0f} MB.** Active: {areas}.
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to keep the rasters (default: a temporary folder)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--large", action="store_true", help="also 92 x 10,000 x 10,000 cells: a quarter of an hour")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, folder, *runs = options.one
        found = large(Path(folder)) if name == "large" else measure(name, Path(folder), int(runs[0]))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        load = os.getloadavg()[0]
        text = f"""# The activity analysis: time and memory

{dt.date.today()}; {platform.machine()}, {os.cpu_count()} cores (load {load:.1f} before the start), Python
{platform.python_version()}. {PAIRS} pairs, single-threaded libraries, {options.runs} warm runs, medians; each line is
a process of its own. `reading` opens the same cloud-optimised GeoTIFFs and holds them as numbers. `published` is stable
points, scene filter, NDAI, annual NDAI, composite classes and areas; `significant` is the default method without
intervals. Both contain the reading. Wall time suffers from whatever else runs; processor time does less.

{sizes_table(folder, options.sizes, options.runs)}
"""
        target = HERE / "results" / "activity.md"
        if options.large:
            text += "\n" + large_text(in_its_own_process("large", str(folder)))
        elif target.exists() and "## 92 x" in target.read_text("utf-8"):
            text += "\n## 92 x" + target.read_text("utf-8").split("## 92 x", 1)[1]
    print(text)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
