"""Time and memory of the default method against cells and pairs, warm, without intervals.

``python benchmarks/bench_control_speed.py``: every line is a process of its own; results are kept in
benchmarks/results/control.md.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import xarray as xr

SIZES = ((23, 300), (46, 300), (92, 300), (92, 600))
MARGIN = 50


def stack(pairs: int, side: int) -> xr.DataArray:
    """Make a stack of a square mine with 50 cells around it, three patches of it worked."""
    rng = np.random.default_rng(1)
    values = np.empty((pairs, side, side), np.float32)
    for layer in values:
        layer[:] = np.tanh(rng.normal(1.3, 0.15, (side, side)))
    values.clip(0, 1, out=values)
    for number in range(3):
        top = MARGIN + 20 + 60 * number
        shape = values[:: number + 1, top : top + 40, top : top + 40].shape
        values[:: number + 1, top : top + 40, top : top + 40] = np.abs(np.tanh(rng.normal(0.36, 0.15, shape)))
    first = np.datetime64("2021-01-02") + 3 * np.arange(pairs).astype("timedelta64[D]")
    cover = np.zeros((side, side), np.float32)
    cover[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
    coords = {
        "pair": [str(date) for date in first],
        "reference_date": ("pair", first.astype("datetime64[ns]")),
        "secondary_date": ("pair", (first + 12).astype("datetime64[ns]")),
        "days": ("pair", np.full(pairs, 12)),
        "year": ("pair", np.full(pairs, 2021)),
        "y": 3_500_000 - (np.arange(side) + 0.5) * 20,
        "x": 600_000 + (np.arange(side) + 0.5) * 20,
        "cell_area_m2": 400.0,
        "cover": (("y", "x"), cover),
    }
    attrs = {
        "crs": "EPSG:32629",
        "transform": (20.0, 0.0, 600_000.0, 0.0, -20.0, 3_500_000.0),
        "cell_area_m2": 400.0,
        "min_cover": 0.5,
        "margin_m": 1000.0,
    }
    return xr.DataArray(values, dims=("pair", "y", "x"), coords=coords, attrs=attrs, name="coherence")


def measure(pairs: int, side: int) -> None:
    """Print one line of the table."""
    from insar_mining.activity import significant_activity

    significant_activity(stack(8, 160))  # compiled code is loaded once
    coh = stack(pairs, side)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    found = significant_activity(coh)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    active = int((found.active.values == 1).sum())
    print(
        f"| {pairs} | {side} x {side} | {seconds:.1f} s | {cpu:.1f} s | {1e9 * cpu / (pairs * side**2):.0f} ns | "
        f"{after.ru_maxrss / 1024:.0f} MB | {coh.nbytes / 2**20:.0f} MB | {active} |"
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), int(sys.argv[2]))
    else:
        print("| pairs | cells | time | of all cores | per value | memory at most | of it the stack | active cells |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for size in SIZES:
            subprocess.run([sys.executable, __file__, *map(str, size)], check=True)
