"""Area errors and coverage of intervals on simulated mines of known truth: both methods side by side.

``python benchmarks/bench_significance.py [seeds] [runs]``: seeds of each zone of the table (3), stacks of the
campaign of intervals (200).  Results are kept in benchmarks/results/significance.md.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from insar_mining.activity import annual_ndai, classify, iterate_stable, significant_activity
from insar_mining.activity.published import ndai
from insar_mining.activity.published.area import active_in
from insar_mining.activity.significant.intervals import area_intervals
from insar_mining.errors import ActivityError, InsarMiningWarning
from insar_mining.simulate.mine_stack import MineStack, WorkedZone, simulate_mine_stack, varied_mine

YEARS = (2020, 2021, 2022)
KM2 = 1e6
CELL_M2 = 400.0
KINDS = {"always": (1.0, 1), "six pairs in ten": (0.6, 1), "one pair in 30": (0.0, 1), "moving face": (0.6, 6)}
SIZES_KM2 = (0.05, 0.1, 0.25, 0.5, 1.0)


def published_m2(stack: MineStack, year: int) -> float:
    """Area by the published method, from the three years together; NaN where it finds no stable ground."""
    try:
        found = iterate_stable(stack.coh)
        classes = classify(annual_ndai(ndai(found.kept, found.stable)))
    except ActivityError:
        return float("nan")
    return float(active_in(classes, year).values.sum() * CELL_M2)


def errors(size_km2: float, kind: tuple[float, int], seed: int) -> tuple[float, float] | None:
    """Relative error of both methods in the year of work; None where all of it lies under snow."""
    side = int(np.ceil(np.sqrt(size_km2 * KM2 / CELL_M2 / 0.35)))
    cells = max(side, 45)
    middle = cells * 10.0
    zone = WorkedZone((middle + 40, middle - 20), np.sqrt(size_km2 * KM2 / np.pi), (2021,), *kind)
    stack = simulate_mine_stack(np.random.default_rng([5, seed]), [zone], cells=(cells, cells), years=YEARS)
    truth = stack.active_m2[2021]
    if truth == 0:
        return None
    found = significant_activity(stack.coh)
    ours = float((found.active.sel(year=2021).values == 1).sum() * CELL_M2)
    return ours / truth - 1, published_m2(stack, 2021) / truth - 1


def table(seeds: int) -> None:
    """Print mean and worst error against the size of the zone."""
    print("| zone, km2 | worked | significant, mean (worst) % | published, mean (worst) % |\n|---|---|---|---|")
    for size in SIZES_KM2:
        for name, kind in KINDS.items():
            found = [pair for seed in range(seeds) if (pair := errors(size, kind, seed)) is not None]
            shown = []
            for column in zip(*found, strict=True):
                values = 100 * np.array(column)
                worst = values[np.nanargmax(np.abs(values))] if np.isfinite(values).any() else np.nan
                shown.append(f"{np.nanmean(values):+.1f} ({worst:+.1f})")
            print(f"| {size:g} | {name} | {' | '.join(shown)} |", flush=True)


def closed(seeds: int) -> None:
    """Print the false area of a mine in which nobody works."""
    false = []
    for seed in range(seeds):
        stack = simulate_mine_stack(np.random.default_rng([6, seed]), [], stale_slopes=0.3, vegetation=0.3)
        false.append(float((significant_activity(stack.coh).active.values == 1).mean()))
    print(f"\nClosed mine, {seeds} seeds: false area {100 * np.mean(false):.3f} %, at most {100 * max(false):.3f} %")


def coverage(runs: int) -> None:
    """Print how often the interval of 95 % holds the truth."""
    held, seconds = 0, time.perf_counter()
    for seed in range(runs):
        stack = varied_mine(np.random.default_rng([77, seed]))
        (row,) = area_intervals(stack.coh, significant_activity(stack.coh), power=False).itertuples()
        held += row.area_low_m2 <= stack.active_m2[2021] <= row.area_high_m2
    seconds = (time.perf_counter() - seconds) / runs
    print(f"\n95 % interval, {runs} stacks: holds the truth in {100 * held / runs:.1f} % ({seconds:.2f} s a stack)")


if __name__ == "__main__":
    warnings.simplefilter("ignore", InsarMiningWarning)
    numbers = [int(text) for text in sys.argv[1:]]
    table(numbers[0] if numbers else 3)
    closed(10)
    coverage(numbers[1] if len(numbers) > 1 else 200)
