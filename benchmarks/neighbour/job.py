"""The other program's side of ``bench_neighbour.py``, run by the Python of its own environment.

    python job.py INPUT OUT DY DX FIGURES

INPUT holds ``bursts/`` (burst folders and orbit files) and ``dem.nc``; OUT gets the aligned, geocoded
bursts that insardev_pygmtsar makes of them, FIGURES (JSON) what it took.  All that the job needs is
imported before the clock starts.  Nothing of insar_mining is imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

import cv2
import insardev_pygmtsar
import numpy as np
import psutil
import rasterio
import zarr

for lazy in (
    "joblib.externals.loky",
    "netCDF4",
    "rioxarray",
    "scipy.interpolate",
    "scipy.ndimage",
    "tifffile",
    "xarray",
):
    importlib.import_module(lazy)  # what the program imports where it is first needed

REFERENCE = "2023-09-04"
EPSG = 32629
WINDOW = (2, 7)  # rows, columns of the map


def bursts(source: Path, out: Path, resolution: tuple[float, float]) -> None:
    """From burst folders to aligned complex bursts of both dates on the map."""
    stack = insardev_pygmtsar.S1(str(source / "bursts"), DEM=str(source / "dem.nc"))
    stack.transform(str(out), ref=REFERENCE, epsg=EPSG, resolution=resolution, remove_tidal_phase=False)


def coherence(out: Path) -> np.ndarray:
    """Coherence of the two bursts in a box of the map; nan where one of them has no value."""
    first, second = (read(path) for path in sorted(out.glob("*/S1_*-BURST")))
    both = (first != 0) & (second != 0)
    product = first * second.conj()
    real, imaginary = (box(np.ascontiguousarray(part)) for part in (product.real, product.imag))
    power = box(np.abs(first) ** 2) * box(np.abs(second) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(both, np.hypot(real, imaginary) / np.sqrt(power), np.float32(np.nan))


def read(path: Path) -> np.ndarray:
    """Read one burst as complex numbers, 0 where there is no value."""
    group = zarr.open_group(path, mode="r")
    real, imaginary = (np.asarray(group[name]) for name in ("re", "im"))
    values = real.astype(np.complex64)
    values.imag = imaginary
    values[real == np.iinfo(np.int16).max] = 0
    return values


def box(values: np.ndarray) -> np.ndarray:
    """Mean over the window."""
    return cv2.blur(values, WINDOW[::-1], borderType=cv2.BORDER_CONSTANT)


def write(values: np.ndarray, path: Path) -> None:
    """Write a compressed GeoTIFF (without its place on the map: it costs nothing)."""
    height, width = values.shape
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, compress="deflate", tiled=True, num_threads="all_cpus") as target:
        target.write(values, 1)


def processor_seconds() -> float:
    """Processor time of this process, of its workers and of those that have ended."""
    me = psutil.Process()
    mine = me.cpu_times()
    total = mine.user + mine.system + mine.children_user + mine.children_system
    for worker in me.children(recursive=True):
        times = worker.cpu_times()
        total += times.user + times.system
    return total


def peak_mib(pid: int) -> float:
    """Most memory that a process has held."""
    (line,) = (x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Do the job once and note what it took."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    start, processor = time.perf_counter(), processor_seconds()
    bursts(source, out, (float(sys.argv[3]), float(sys.argv[4])))
    done, processor_done = time.perf_counter(), processor_seconds()
    values = coherence(out)
    write(values, out / "coherence.tif")
    figures = {
        "bursts": done - start,
        "bursts_processor": processor_done - processor,
        "seconds": time.perf_counter() - start,
        "processor": processor_seconds() - processor,
        "peak_mib": peak_mib(os.getpid()),
        "workers_mib": sum(peak_mib(worker.pid) for worker in psutil.Process().children(recursive=True)),
        "shape": values.shape,
        "filled": int(np.isfinite(values).sum()),
        "mean": float(np.nanmean(values)),
        "version": insardev_pygmtsar.__version__,
        "python": sys.version.split()[0],
    }
    Path(sys.argv[5]).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
