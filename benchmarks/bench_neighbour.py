"""The same burst pair here and in insardev_pygmtsar (PyPI, BSD-3), in turn, on the same cores.

    python benchmarks/bench_neighbour.py --install                  # makes the other program's environment first
    python benchmarks/bench_neighbour.py --python ENV/bin/python    # uses one that is there

Without either flag nothing is run: that environment takes minutes and a gigabyte to install.  Both programs
get the same pixels, annotations, state vectors and heights, each in the layout that it reads: SAFE here,
folders of single bursts with EOF orbit files there.  Every job is a process of its own, and the first job in
it; imports are not counted, kernels of ours were compiled by a process before.  As it may run beside other
work, processor seconds are kept as well.  The table is printed and kept in ``benchmarks/results/neighbour.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from noise import DATES, EPSG, machine, outline, write_burst

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import make_plan
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import hills, write_dem

HERE = Path(__file__).parent
PACKAGE, VERSION = "insardev_pygmtsar", "2026.3.21"
COARSE, FINE = (20.0, 20.0), (16.0, 4.0)  # cells of the map, metres north and east; FINE is the program's default
AIM = 10

Figures = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help=f"Python of an environment with {PACKAGE}")
    parser.add_argument("--install", action="store_true", help="make that environment (PyPI, about 1.5 GB)")
    parser.add_argument("--folder", type=Path, help="where to keep inputs and environment (default: temporary)")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--ours", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        _write_json(our_job(options.ours[0]), options.ours[1])
        return
    if not (options.python or options.install):
        print(f"not run: give --install to install {PACKAGE} in an environment of its own, or --python to name one")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        python = options.python or install(folder / "environment")
        if not (folder / "dem.nc").exists():
            write_inputs(folder)
        table = report(*compare(folder, python, options.runs))
    print(table)
    (HERE / "results" / "neighbour.md").write_text(table, encoding="utf-8")


def install(environment: Path) -> Path:
    """Make an environment with the other program; return its Python."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{PACKAGE}=={VERSION}", "psutil"], check=True)
    return python


# inputs ----------------------------------------------------------------------------------------


def write_inputs(folder: Path) -> None:
    """Write the pair as SAFE folders and as burst folders, orbit files, and the heights in both formats."""
    rng = np.random.default_rng(0)
    for date in DATES:
        as_burst_folder(write_burst(folder, date, rng), folder / "bursts")
    around = outline(next(folder.glob("*.SAFE"))).buffer(0.1).bounds
    dem = write_dem(hills(EPSG, (540_000.0, 3_440_000.0), relief_m=900.0), around, folder / "dem.tif")
    with rasterio.open(dem) as source:
        heights, transform = source.read(1)[::-1], source.transform
    longitude = transform.c + (np.arange(heights.shape[1]) + 0.5) * transform.a
    latitude = (transform.f + (np.arange(heights.shape[0]) + 0.5) * transform.e)[::-1]
    grid = xr.DataArray(heights, {"lat": latitude, "lon": longitude}, ("lat", "lon"), name="dem")
    grid.to_netcdf(folder / "dem.nc", engine="scipy")


def as_burst_folder(safe: Path, folder: Path) -> None:
    """Lay the burst of a SAFE out as `PACKAGE` stores what it downloads from ASF, its orbit file beside it."""
    swath = open_product(safe).sub_swath("IW1", "VV")
    burst = folder / "052_110437_IW1"
    start = str(swath.utc(swath.bursts[0].azimuth_time_s))[:19].replace("-", "").replace(":", "")
    name = f"S1_110437_IW1_{start}_VV_{safe.stem[-4:]}-BURST"
    for kind, suffix in (("annotation", "xml"), ("measurement", "tiff")):
        (burst / kind).mkdir(parents=True, exist_ok=True)
        (source,) = (safe / kind).glob(f"*.{suffix}")
        os.link(source, burst / kind / f"{name}.{suffix}")
    day = swath.epoch.astype("datetime64[D]")
    before, after = (str(day + n).replace("-", "") for n in (-1, 1))
    span = f"V{before}T225942_{after}T005942"
    (folder / f"S1A_OPER_AUX_POEORB_OPOD_{after}T120000_{span}.EOF").write_text(orbit_xml(swath), encoding="ascii")


def orbit_xml(swath: SubSwath) -> str:
    """Write the annotation's state vectors, which are 10 s apart as in an orbit file, in the form of one."""
    orbit = swath.orbit
    states = np.hstack([orbit.position_m, orbit.velocity_m_s])
    vectors = "".join(
        f"<OSV><UTC>UTC={str(swath.utc(time_s))[:26]}</UTC>"
        + "".join(f"<{k}>{v!r}</{k}>" for k, v in zip(("X", "Y", "Z", "VX", "VY", "VZ"), map(float, s), strict=True))
        + "</OSV>"
        for time_s, s in zip(orbit.time_s, states, strict=True)
    )
    body = f"<Data_Block><List_of_OSVs>{vectors}</List_of_OSVs></Data_Block>"
    return f"<Earth_Explorer_File>{body}</Earth_Explorer_File>"


# jobs ------------------------------------------------------------------------------------------


def our_job(folder: Path) -> Figures:
    """Make the coherence map, in this process."""
    first, second = sorted(folder.glob("*.SAFE"))
    out = folder / "ours" / "coherence.tif"
    start, processor = time.perf_counter(), time.process_time()
    plan = make_plan(first, second, area=outline(first), dem=folder / "dem.tif", out=out)
    coherence(plan, again=True)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    with rasterio.open(out) as source:
        values = source.read(1)
    return {
        "seconds": seconds, "processor": processor, "peak_mib": int(line.split()[1]) / 1024, "workers_mib": 0.0,
        "shape": values.shape, "filled": int(np.isfinite(values).sum()), "mean": float(np.nanmean(values)),
    }  # fmt: skip


def compare(folder: Path, python: Path, runs: int) -> tuple[list[Figures], list[Figures], list[Figures]]:
    """Run both programs in turn; the fine map once, after the first turn."""
    ours_command = [sys.executable, __file__, "--ours", folder]
    _figures_of(ours_command, folder)  # compiles kernels that are not compiled yet
    ours, coarse, fine = [], [], []
    for run in range(runs):
        ours.append(_figures_of(ours_command, folder))
        coarse.append(_their_job(folder, python, COARSE))
        if run == 0:
            fine.append(_their_job(folder, python, FINE))
    return ours, coarse, fine


def _their_job(folder: Path, python: Path, resolution_m: tuple[float, float]) -> Figures:
    out = folder / "theirs"
    shutil.rmtree(out, ignore_errors=True)
    return _figures_of([python, HERE / "neighbour" / "job.py", folder, out, *resolution_m], folder)


def _figures_of(command: list[Any], folder: Path) -> Figures:
    """Run a job in a process of its own, with all the threads that it likes."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    path = folder / "figures.json"
    path.unlink(missing_ok=True)
    done = subprocess.run([*map(str, command), str(path)], env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    figures: Figures = json.loads(path.read_text())
    figures["load"] = os.getloadavg()[0]
    print(json.dumps(figures), file=sys.stderr, flush=True)  # a long run that is broken off leaves what it had
    return figures


def _write_json(figures: Figures, path: Path) -> None:
    path.write_text(json.dumps(figures))


# table -----------------------------------------------------------------------------------------


def report(ours: list[Figures], coarse: list[Figures], fine: list[Figures]) -> str:
    """Write the table."""
    loads = [run["load"] for run in ours + coarse + fine]
    mine, theirs = ours[0], coarse[0]
    rows = [
        _row("here: SAFE to geocoded coherence (COG, STAC item), 20 m", ours, ours),
        _row("there: bursts to aligned complex bursts on the map, cells of 20 x 20 m", coarse, ours, "bursts"),
        _row("there: the same, and coherence of a 2 x 7 box of cells", coarse, ours),
        _row("there: aligned complex bursts, cells of 16 x 4 m (its default)", fine, ours, "bursts"),
        _row("there: the same, and coherence of a 2 x 7 box of cells", fine, ours),
    ]
    return f"""# The same burst pair in another program

{dt.date.today()}; {machine()} here and
{theirs["python"]} there; {PACKAGE} {theirs["version"]}. IW1, 1507 x 23055 pixels of noise, VV,
both dates, hills of 900 m relief; the same pixels, annotations, state vectors and heights for both programs.
They ran in turn, each job the first of a process of its own; imports are not counted, threads are as each program
chooses. The machine did other work at the time (load average {min(loads):.0f} to {max(loads):.0f}): seconds say how
long a job took beside that, processor seconds how much work it was. Ratios are taken run by run (median).

| what | runs | seconds | processor seconds | peak GiB | ratio of seconds | ratio of processor seconds |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Cells with a value: {mine["filled"] / 1e6:.2f} million here; there {theirs["filled"] / 1e6:.2f} million of 20 x 20 m,
{fine[0]["filled"] / 1e6:.1f} million of 16 x 4 m. Mean coherence of the noise, which shows how many independent looks
a box holds: {mine["mean"]:.3f} here, {theirs["mean"]:.3f} and {fine[0]["mean"]:.3f} there.

What was aimed at:

{_verdict("all pixels used (last row)", fine, ours)}
{_verdict("cells of 20 x 20 m (third row)", coarse, ours)}

What each does in that time:

- Here: plan, geometry, deramping, resampling of the second date to the first, interferogram without the phase of
  Earth and topography, coherence in 2 x 7 pixels of the image at full resolution, terrain correction to 20 m.
- There (`S1.transform`): geometry of each cell of the map, deramping, each date resampled once to the map, phase of
  Earth and topography removed, complex bursts kept as Zarr. Tides are left out (`remove_tidal_phase=False`), as here;
  no cross-correlation (default). One burst of two dates is no case that it spreads over processes (`n_jobs`), apart
  from a part of its geometry. Coherence is not in the package: that step is a box filter by OpenCV, written for this.
- A map of 20 x 20 m takes one resampled pixel per cell and leaves most pixels of the image unused; its 2 x 7 box is
  40 x 140 m of ground. That is the least that the program can be asked for at the spacing of the map here, not the
  same coherence. 2 x 7 cells of 16 x 4 m are 32 x 28 m, about the window here, and use the image as fully.
- Its heights are given as NetCDF, uncompressed: this version cannot open GeoTIFF where it aligns dates.
- Peak memory there is that of the main process and its workers, each at its own most.
"""


def _row(what: str, runs: list[Figures], ours: list[Figures], part: str = "") -> str:
    seconds, processor = (part, f"{part}_processor") if part else ("seconds", "processor")
    peak = max(run["peak_mib"] + run["workers_mib"] for run in runs) / 1024
    ratios = _ratio(runs, seconds, ours, "seconds"), _ratio(runs, processor, ours, "processor")
    return (
        f"| {what} | {len(runs)} | {_span(run[seconds] for run in runs)} | {_span(run[processor] for run in runs)} "
        f"| {peak:.1f} | {ratios[0]:.1f} | {ratios[1]:.1f} |"
    )


def _verdict(what: str, runs: list[Figures], ours: list[Figures]) -> str:
    seconds, processor = (_ratio(runs, kind, ours, kind) for kind in ("seconds", "processor"))
    said = "reached" if min(seconds, processor) >= AIM else "**not reached**"
    return f"- {AIM} times as fast, {what}: {said}; {seconds:.1f} in seconds, {processor:.1f} in processor seconds."


def _span(values: Any) -> str:
    some = sorted(values)
    return f"{some[0]:.1f}" if len(some) == 1 else f"{some[0]:.1f} - {some[-1]:.1f}"


def _ratio(runs: list[Figures], name: str, ours: list[Figures], our_name: str) -> float:
    return statistics.median(r[name] / o[our_name] for r, o in zip(runs, ours[: len(runs)], strict=True))


if __name__ == "__main__":
    main()
