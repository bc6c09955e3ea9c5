"""Loss with the baseline and classes of incidence: what they do to the default method, and to the test of scenes.

``python benchmarks/bench_ground.py [seeds]``: seeds of every kind of mine (5). Results are kept in
benchmarks/results/ground.md.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.activity import iterate_stable, open_stack, scene_table, significant_activity
from insar_mining.errors import InsarMiningWarning
from insar_mining.simulate import mine_stack
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack

FloatArray = npt.NDArray[np.float64]

MEXICO = Path(__file__).parents[1] / "tests" / "data" / "mexico_city"
CELL_M2 = 400.0
KINDS = {"none": None, "six pairs in ten": (0.6, 1), "one pair": (0.0, 1), "moving face": (0.6, 6)}
LOSSES = (0.0, 0.16, 0.27, 0.4, 0.55, 0.7)
SWINGS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)


def stale_faces(seeds: int) -> list[str]:
    """Area errors with a stale slope over 0.4 of the map, without and with the loss of every cell."""
    rows = [
        "| lost at 250 m | worked | without, mean (worst) % | with `baseline_loss`, mean (worst) % |",
        "|---|---|---|---|",
    ]
    for loss in LOSSES:
        mine_stack.STALE_LOSS_250M = loss
        for name, kind in KINDS.items():
            zones = [] if kind is None else [WorkedZone((600.0, 700.0), 400.0, (2021,), *kind)]
            found: list[list[float]] = [[], []]
            for seed in range(seeds):
                stack = simulate_mine_stack(np.random.default_rng(seed), zones, cells=(64, 60), stale_slopes=0.4)
                truth = stack.active_m2[2021]
                if zones and truth == 0:
                    continue
                for number, corrected in enumerate((False, True)):
                    active = significant_activity(stack.coh, baseline_loss=corrected).active.values[0] == 1
                    whole = truth or active.size * CELL_M2
                    found[number].append(100 * (float(active.sum() * CELL_M2) - truth) / whole)
            said = [f"{np.mean(part):+.1f} ({max(part, key=abs):+.1f})" for part in found]
            rows.append(f"| {loss:g} | {name} | {said[0]} | {said[1]} |")
    return rows


def incidence_swings(seeds: int) -> list[str]:
    """Area errors where coherence falls across the swath, by another amount in every pair; one reference for all."""
    rows = ["| largest fall in a pair | area error, mean (worst) % | false cells of 2,960, worst |", "|---|---|---|"]
    for swing in SWINGS:
        errors, false = [], []
        for seed in range(seeds):
            coh, truth = _swath(np.random.default_rng(seed), swing)
            active = significant_activity(coh).active.values[0] == 1
            errors.append(100 * (active.sum() / truth.sum() - 1))
            false.append(int((active & ~truth).sum()))
        rows.append(f"| {swing:g} | {np.mean(errors):+.1f} ({max(errors, key=abs):+.1f}) | {max(false)} |")
    return rows


def _swath(rng: np.random.Generator, swing: float) -> tuple[xr.DataArray, npt.NDArray[np.bool_]]:
    """60 x 60 cells of 7 looks: ground of 0.92 that falls to the east, two squares worked in half of 29 pairs."""
    side, pairs = 60, 29
    first = np.datetime64("2021-01-02")
    dates = [
        (first + np.timedelta64(12 * i, "D"), first + np.timedelta64(12 * i + 12, "D"), 50.0) for i in range(pairs)
    ]
    across = np.linspace(0, 1, side)[None, None, :]
    falls = rng.uniform(0, swing, pairs)[:, None, None]
    true = np.broadcast_to(0.92 * (1 - rng.uniform(0, 0.1) * across) * (1 - falls * across), (pairs, side, side)).copy()
    truth = np.zeros((side, side), np.bool_)
    for left in (8, 40):
        truth[20:40, left : left + 16] = True
        true[np.ix_(rng.permutation(pairs)[:15], range(20, 40), range(left, left + 16))] = 0.1
    return mine_stack._cube(_sampled(true, 7, rng), dates), truth


def _sampled(true: FloatArray, looks: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    white = rng.standard_normal((4, looks, *true.shape))
    one, other = white[0] + 1j * white[1], white[2] + 1j * white[3]
    two = true * one + np.sqrt(1 - true**2) * other
    cross = np.abs((one * two.conj()).sum(axis=0))
    power = (np.abs(one) ** 2).sum(axis=0) * (np.abs(two) ** 2).sum(axis=0)
    return np.asarray(cross / np.sqrt(power), np.float32)


def real_classes(mean_min: float = 0.8) -> list[str]:
    """The scene test on the real stack, over all stable points and over each of four strips across the swath."""
    coh = open_stack(MEXICO).load()
    found = iterate_stable(coh, mean_min, 0.2)
    tables = [scene_table(coh, found.stable, mean_min, 0.2)]
    columns = np.nonzero(found.stable.values)[1]
    edges = np.quantile(columns, np.linspace(0, 1, 5)).astype(int)
    for left, right in itertools.pairwise(edges):
        strip = found.stable.copy(deep=True)
        strip.values[:, : max(left, 0)] = False
        strip.values[:, right:] = False
        tables.append(scene_table(coh, strip, mean_min, 0.2))
    kept = [table["kept"].to_numpy() for table in tables]
    means = np.stack([table["stable_mean"].to_numpy() for table in tables[1:]])
    rest = means - means.mean(axis=1, keepdims=True)
    apart = (rest - rest.mean(axis=0))[:, kept[0]]
    same = [int((strip == kept[0]).sum()) for strip in kept[1:]]
    return [
        f"{len(kept[0])} pairs, {int(kept[0].sum())} kept, {int(found.stable.values.sum())} stable points; the same "
        f"verdict by each strip alone in {', '.join(map(str, same))} of {len(kept[0])}.",
        f"In kept pairs a strip's mean, its own level taken off, departs from that of all strips by {apart.std():.3f} "
        f"(standard deviation; largest {np.abs(apart).max():.3f}).",
    ]


def main() -> None:
    """Print the tables."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    warnings.simplefilter("ignore", InsarMiningWarning)
    for title, rows in (
        ("Stale faces", stale_faces(seeds)),
        ("Incidence", incidence_swings(seeds)),
        ("Scene test by class, Mexico City", real_classes()),
    ):
        sys.stdout.write(f"## {title}\n\n" + "\n".join(rows) + "\n\n")


if __name__ == "__main__":
    main()
