"""The default method on the scenes of :mod:`insar_mining.simulate.control_rows`, with surroundings and without.

``python benchmarks/bench_control.py [seeds] [name ...]``: seeds of each row (20), rows whose names hold a word.
Results are kept in benchmarks/results/control.md.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import xarray as xr

from insar_mining.activity import area_intervals, significant_activity
from insar_mining.errors import InsarMiningWarning
from insar_mining.simulate.control_rows import Row, every_row, without_surroundings


def measured(coh: xr.DataArray) -> tuple[float, float, float]:
    """Area and its bounds, m2."""
    (row,) = area_intervals(coh, significant_activity(coh)).itertuples()
    return row.area_m2, row.area_low_m2, row.area_high_m2


def line(row: Row, seeds: int, *, surroundings: bool) -> str:
    """One line of the table."""
    truth, found = [], []
    for seed in range(seeds):
        world = row.make(np.random.default_rng([2026, seed]))
        truth.append(world.worked_m2)
        found.append(measured(world.coh if surroundings else without_surroundings(world.coh)))
    true, (area, low, high) = np.array(truth), np.array(found).T
    held = int(((low <= true) & (true <= high)).sum())
    where = "with" if surroundings else "without"
    if not true.any():
        clean = int(((area <= 5000) & (low == 0)).sum())
        cells = f"0 | at most {area.max():,.0f} m2, low 0 in {int((low == 0).sum())}, both in {clean} of {seeds}"
    else:
        error = 100 * (area / true - 1)
        cells = (
            f"{true.mean():,.0f} m2 | {error.mean():+.1f} +- {error.std():.1f} % ({error[np.abs(error).argmax()]:+.1f})"
        )
    half = np.median((high - low) / 2 / np.maximum(true, 1)) if true.any() else np.nan
    width = "" if np.isnan(half) else f"{100 * half:.1f} %"
    return f"| {row.name} | {where} | {cells} | {held} of {seeds} | {width} |"


def main(seeds: int, words: list[str]) -> None:
    """Print the table."""
    print("| scene | surroundings | truth | error: mean +- sd (worst), or false area | interval holds | half-width |")
    print("|---|---|---|---|---|---|")
    for row in every_row():
        if words and not any(word in row.name for word in words):
            continue
        for surroundings in (True, False):
            print(line(row, seeds, surroundings=surroundings), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", InsarMiningWarning)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2:])
