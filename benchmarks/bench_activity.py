"""Time and memory of the activity analysis, against reading the rasters that it is made from.

    python benchmarks/bench_activity.py [--runs 3] [--folder DIR]
    python benchmarks/bench_activity.py --large [--folder DIR]

Four sizes of map, 92 pairs each, from cloud-optimised GeoTIFFs as the engines write them: three quarters of the ground
stable, a pit that is worked in part of the pairs, a scene in ten under snow. Every size runs in a process of its own,
whose peak memory is the one told; the first run loads the compiled kernels, the others are warm. The table
is kept in ``benchmarks/results/activity.md``, and takes three minutes. ``--large`` is for 92 pairs of 10,000 x 10,000
cells, of which one chunk in a hundred holds data, from and to Zarr; it is kept in
``benchmarks/results/activity_large.md``, of which the other page ends with a copy.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
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

    from insar_mining.geo.raster import write_cog

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
    """Peak memory of this process so far, MB of 2**20 bytes (VmHWM: none of its parent's)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def load() -> str:
    """Processes that wanted to run over the last minute, this one included."""
    return f"{os.getloadavg()[0]:.1f}"


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
    from insar_mining.activity import activity_table, annual_ndai, classify, iterate_stable, open_stack
    from insar_mining.activity.published import ndai

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
    import insar_mining.activity.cube.stack  # noqa: F401 - what it takes is told by itself

    loaded = peak_mb()
    cold = timed(lambda: ACTIONS[name](folder))[0]
    warm = [timed(lambda: ACTIONS[name](folder))[:2] for _ in range(runs)]
    return {
        "cold": cold,
        "wall": statistics.median(wall for wall, _ in warm),
        "best": min(wall for wall, _ in warm),
        "cpu": statistics.median(cpu for _, cpu in warm),
        "peak_mb": peak_mb(),
        "loaded_mb": loaded,
        "load": load(),
    }


def large(folder: Path) -> dict[str, Any]:
    """Write a sparse cube to Zarr, analyse it from there and write the maps, in bounded memory."""
    from insar_mining.activity import from_zarr, significant_to_zarr, to_zarr

    cube_path, out = folder / "cube.zarr", folder / "activity.zarr"
    write = timed(lambda: to_zarr(sparse_cube(), cube_path, chunk=CHUNK))[0]
    written_mb = peak_mb()
    warnings.simplefilter("ignore")
    before = load()
    wall, cpu, result = timed(lambda: significant_to_zarr(from_zarr(cube_path), out))
    areas = {int(row.year): float(row.area_m2) for row in result.table.itertuples()}
    return {
        "date": str(dt.date.today()),
        "write": write,
        "written_mb": written_mb,
        "wall": wall,
        "cpu": cpu,
        "peak_mb": peak_mb(),
        "areas": areas,
        "load": f"{before} at its start, {load()} at its end",
    }


def sparse_cube() -> Any:
    """Return a cube of 10,000 x 10,000 cells of which one chunk in a hundred holds data, made when it is read."""
    import xarray as xr

    from insar_mining.activity.cube.blocks import lazy_variable

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


def imported(without: str = "") -> dict[str, Any]:
    """Peak memory after the imports of the analysis; with a package left out as if it were not installed."""
    if without:
        sys.modules[without] = None  # type: ignore[assignment]

    return {"peak_mb": peak_mb()}


def in_its_own_process(*arguments: str) -> dict[str, Any]:
    """Run this script again for one measurement, with libraries that do not start threads of their own."""
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


def fixed_and_each(pixel_pairs: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Fit seconds = fixed + each x pixel-pairs, all sizes alike by their relative errors."""
    n, t = np.asarray(pixel_pairs, float), np.asarray(seconds, float)
    design = np.column_stack([np.ones(n.size), n]) / t[:, None]
    fixed, each = np.linalg.lstsq(design, np.ones(n.size), rcond=None)[0]
    return float(fixed), float(each)


def sizes_tables(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """Return the table of some sizes, and that of what a further pixel-pair takes."""
    rows = [
        "| cells | what | cold, s | warm, s (best) | processor, s | peak, MB (imports) | load |",
        "|---|---|---|---|---|---|---|",
    ]
    cpu: dict[str, list[float]] = {name: [] for name in ACTIONS}
    for size in sizes:
        rasters = folder / str(size)
        if not rasters.exists():
            rasters.mkdir(parents=True)
            write_rasters(rasters, size)
        for name in ACTIONS:
            found = in_its_own_process(name, str(rasters), str(runs))
            cpu[name].append(found["cpu"])
            rows.append(
                f"| {size} x {size} | {name} | {found['cold']:.2f} | {found['wall']:.2f} ({found['best']:.2f}) "
                f"| {found['cpu']:.2f} | {found['peak_mb']:.0f} ({found['loaded_mb']:.0f}) | {found['load']} |"
            )
            print(rows[-1], flush=True)
    if len(sizes) < 2:
        return "\n".join(rows)
    rows += [
        "",
        "Processor time as a fixed cost (opening 92 files, tables of the law of coherence) and so much per pixel-pair,",
        "fitted over the sizes; beside it what each size takes beyond the fixed cost.",
        "",
        f"| what | fixed, s | ns per pixel-pair | {' | '.join(f'{n} x {n}, ns' for n in sizes)} | times reading |",
        f"|---|---|---|{'---|' * len(sizes)}---|",
    ]
    pixel_pairs = [PAIRS * size**2 for size in sizes]
    reading_each = fixed_and_each(pixel_pairs, cpu["reading"])[1]
    for name, seconds in cpu.items():
        fixed, each = fixed_and_each(pixel_pairs, seconds)
        beyond = " | ".join(f"{1e9 * (t - fixed) / n:.0f}" for n, t in zip(pixel_pairs, seconds, strict=True))
        rows.append(f"| {name} | {fixed:.2f} | {1e9 * each:.0f} | {beyond} | {each / reading_each:.1f} |")
    return "\n".join(rows)


def large_text(found: dict[str, Any]) -> str:
    """Return what the large cube took."""
    areas = ", ".join(f"{year}: {area / 1e6:.2f} km2" for year, area in found["areas"].items())
    return f"""## 92 x 10,000 x 10,000 cells

{found["date"]}; {machine()}, load {found["load"]}. Sparse: one chunk of {CHUNK} x {CHUNK} in {FILLED} holds data.
Written to Zarr from a cube that is made when it is read in {found["write"]:.0f} s (peak {found["written_mb"]:.0f} MB);
analysed from Zarr, and the maps of every year written to Zarr, in {found["wall"]:.0f} s ({found["cpu"]:.0f} s of
processor time). **Peak memory of the process: {found["peak_mb"]:.0f} MB.** Active: {areas}.

Every chunk is decoded once: those that hold data go to a scratch file as plain numbers, the others are remembered as
empty and passed over by all later passes.
"""


def machine() -> str:
    """Say what this is measured on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def page(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """Return the page of results without the large cube."""
    plain, bare = (in_its_own_process("imports", *more)["peak_mb"] for more in ((), ("pyarrow",)))
    from insar_mining.activity.cube.blocks import workers

    return f"""# The activity analysis: time and memory

{dt.date.today()}; {machine()}. {PAIRS} pairs, {workers()} threads over blocks of the map, {runs} warm runs, medians;
each line is a process of its own, the load that of the minute before its end. `reading` opens the same cloud-optimised
GeoTIFFs and holds them as numbers. `published` is stable points, scene filter, NDAI, annual NDAI, composite classes and
areas; `significant` is the default method without intervals. Both contain the reading. Memory is VmHWM, in MB of 2**20
bytes, of which imports take {plain:.0f} ({bare:.0f} where pyarrow, an extra that pandas loads whenever it is there, is
not installed). A cube of up to 128 MB (500 x 500 cells are 88) is held in memory; a larger one is decoded once, into a
scratch file. `python benchmarks/bench_activity.py` makes this page again.

{sizes_tables(folder, sizes, runs)}
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to keep the rasters (default: a temporary folder)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--large", action="store_true", help="92 x 10,000 x 10,000 cells instead: some minutes")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, *rest = options.one
        if name == "imports":
            found = imported(*rest)
        elif name == "large":
            found = large(Path(rest[0]))
        else:
            found = measure(name, Path(rest[0]), int(rest[1]))
        print(json.dumps(found))
        return
    results = HERE / "results"
    target, of_large = results / "activity.md", results / "activity_large.md"
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.large:
            folder.mkdir(parents=True, exist_ok=True)
            of_large.write_text(large_text(in_its_own_process("large", str(folder))), encoding="utf-8")
            text = target.read_text("utf-8").split("## 92 x", 1)[0].rstrip() + "\n" if target.exists() else ""
        else:
            text = page(folder, options.sizes, options.runs)
    if of_large.exists():
        text += "\n" + of_large.read_text("utf-8")
    print(text)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
