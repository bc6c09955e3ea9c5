"""The default method on the scenes of :mod:`insar_mining.simulate.control_rows`, with surroundings and without.

``python benchmarks/bench_control.py [seeds] [worlds] [name ...]``: seeds of each row (20) and of the random worlds
(200), rows whose names hold a word. Results are kept in benchmarks/results/control.md.
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
    row = area_intervals(coh, significant_activity(coh)).iloc[0]
    return float(row["area_m2"]), float(row["area_low_m2"]), float(row["area_high_m2"])


def lines(row: Row, seeds: int, *, alone: bool) -> list[str]:
    """Lines of the table: with surroundings, and without."""
    truth, found, without = [], [], []
    for seed in range(seeds):
        world = row.make(np.random.default_rng([2026, seed]))
        truth.append(world.worked_m2)
        found.append(measured(world.coh))
        if alone:
            without.append(measured(without_surroundings(world.coh)))
    out = [_line(row.name, "with", np.array(truth), np.array(found))]
    return [*out, _line(row.name, "without", np.array(truth), np.array(without))] if alone else out


def _line(name: str, where: str, true: np.ndarray, found: np.ndarray) -> str:
    area, low, high = found.T
    held = int(((low <= true) & (true <= high)).sum())
    if not true.any():
        clean = int(((area <= 5000) & (low == 0)).sum())
        cells = f"0 | at most {area.max():,.0f} m2, low 0 in {int((low == 0).sum())}, both in {clean} of {true.size}"
        return f"| {name} | {where} | {cells} | {held} of {true.size} | |"
    error = 100 * (area / true - 1)
    cells = f"{true.mean():,.0f} m2 | {error.mean():+.1f} +- {error.std():.1f} % ({error[np.abs(error).argmax()]:+.1f})"
    width = 100 * np.median((high - low) / 2 / true)
    return f"| {name} | {where} | {cells} | {held} of {true.size} | {width:.1f} % |"


def main(seeds: int, worlds: int, words: list[str]) -> None:
    """Print the table."""
    print("| scene | surroundings | truth | error: mean +- sd (worst), or false area | interval holds | half-width |")
    print("|---|---|---|---|---|---|")
    for row in every_row():
        if words and not any(word in row.name for word in words):
            continue
        random = row.name.startswith("random worlds")
        print("\n".join(lines(row, worlds if random else seeds, alone=not random)), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", InsarMiningWarning)
    seeds, worlds = (int(sys.argv[place]) if len(sys.argv) > place else usual for place, usual in ((1, 20), (2, 200)))
    main(seeds, worlds, sys.argv[3:])
