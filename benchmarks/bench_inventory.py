"""Inventories: the ore model against the published line, coverage of intervals, errors of totals, time and memory.

``python benchmarks/bench_inventory.py [portfolios]`` (200). Results are kept in benchmarks/results/inventory.md.
"""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from insar_mining.emissions.climate_trace import export
from insar_mining.emissions.confidence import total_error
from insar_mining.emissions.mixed import fit_ore_model, leave_one_mine_out
from insar_mining.emissions.regression import fit_line
from insar_mining.pipeline.inventory import make_inventory

ROOT = Path(__file__).parents[1]


def simulator() -> object:
    """The portfolios of the tests: the same truth."""
    spec = importlib.util.spec_from_file_location("simulated", ROOT / "tests" / "unit" / "emissions" / "simulated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PORTFOLIO = simulator().portfolio  # type: ignore[attr-defined]


def scores(found: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """R2 of tonnes and of their logarithms, and the median relative error."""
    logs = np.log(np.maximum(found, 1.0)), np.log(truth)
    r2 = [1 - ((a - b) ** 2).sum() / ((b - b.mean()) ** 2).sum() for a, b in ((found, truth), logs)]
    return float(r2[0]), float(r2[1]), float(np.median(np.abs(found / truth - 1)))


def models(portfolios: int) -> list[str]:
    """Held-out year and unseen mines of every portfolio."""
    model, line, known, unseen, left_out = [], [], [], [], []
    for seed in range(portfolios):
        data = PORTFOLIO(np.random.default_rng(seed))
        number = data["asset_id"].str[1:].astype(int)
        train = data[(data["year"] < 2021) & (number % 10 > 0)]
        fitted = fit_ore_model(train)
        found = fitted.predict(data)
        inside = (data["ore_t"] >= found["ore_low_t"]) & (data["ore_t"] <= found["ore_high_t"])
        held = (data["year"] == 2021) & (number % 10 > 0)
        known.append(inside[held].mean())
        unseen.append(inside[number % 10 == 0].mean())
        truth = data.loc[held, "ore_t"].to_numpy()
        model.append(scores(found.loc[held, "ore_t"].to_numpy(), truth))
        pooled = np.full(held.sum(), np.nan)
        for mineral, rows in train.groupby("mineral"):
            chosen = (data.loc[held, "mineral"] == mineral).to_numpy()
            straight = fit_line(rows["area_m2"].to_numpy(), rows["ore_t"].to_numpy())
            pooled[chosen] = straight.at(data.loc[held, "area_m2"].to_numpy()[chosen])[0]
        line.append(scores(pooled, truth))
        left_out.append(np.median(np.abs(leave_one_mine_out(train, fitted)["ratio"] - 1)))
    rows = ["| | R2 of tonnes | R2 of log tonnes | median error, % |", "|---|---|---|---|"]
    for name, values in (("mixed-effects model", model), ("published line, fitted anew by mineral", line)):
        r2, log_r2, error = np.mean(values, axis=0)
        rows.append(f"| {name} | {r2:.3f} | {log_r2:.3f} | {100 * error:.0f} |")
    rows += [
        "",
        f"90 % intervals cover {np.mean(known):.3f} (known mines) and {np.mean(unseen):.3f} (unseen mines)",
        f"over {portfolios} portfolios; leave-one-mine-out median error {100 * np.mean(left_out):.0f} %.",
    ]
    return rows


def errors() -> list[str]:
    """Standard deviation of totals by formula and by 20,000 draws."""
    rows = [
        "| assets | own error | shared factors | by formula, % | by draws, % | ratio |",
        "|---|---|---|---|---|---|",
    ]
    rng = np.random.default_rng(0)
    for n, groups, own, shared in (
        (2, 1, 0.2, 0.4),
        (2, 2, 0.2, 0.4),
        (50, 5, 0.3, 0.3),
        (500, 20, 0.5, 0.5),
        (500, 1, 0.6, 0.1),
    ):
        value, group = rng.lognormal(0, 1, n), np.arange(n) % groups
        formula = total_error(value, np.full(n, own), [(np.arange(n), np.zeros(n)), (group, np.full(n, shared))])
        draws = np.empty(20_000)
        for start in range(0, draws.size, 1000):
            a, f = (np.sqrt(np.log1p(e**2)) for e in (own, shared))
            each = rng.lognormal(-(a**2) / 2, a, (1000, n)) * rng.lognormal(-(f**2) / 2, f, (1000, groups))[:, group]
            draws[start : start + 1000] = each @ value
        total = value.sum() / 100
        cells = (n, own, f"{groups} of {shared}", f"{formula / total:.2f}", f"{draws.std() / total:.2f}")
        rows.append(f"| {' | '.join(map(str, cells))} | {formula / draws.std():.3f} |")
    return rows


def write_inputs(folder: Path, mines: int, years: int) -> None:
    """Three files: 30 % of the years report ore, 9 % emissions."""
    rng = np.random.default_rng(1)
    data = PORTFOLIO(rng, mines, years)
    first = data.drop_duplicates("asset_id")
    assets = first[["asset_id", "mineral", "operation_type"]].assign(
        name=[f"Mine {i}" for i in range(mines)],
        iso3=rng.choice(["CHL", "PER", "AUS", "USA", "CHN", "ZAF", "KAZ", "BRA"], mines),
        status="Operating",
        lon=rng.uniform(-180, 180, mines),
        lat=rng.uniform(-60, 60, mines),
        organisation=[f"company {i % 200}" for i in range(mines)],
        region="",
    )
    assets.to_csv(folder / "assets.csv", index=False)
    ore = data[rng.random(len(data)) < 0.3]
    emitted = ore.sample(frac=0.3, random_state=1)
    parts = [
        ore[["asset_id", "year"]].assign(quantity="ore", value=ore["ore_t"] / 1e6, unit="Mt"),
        emitted[["asset_id", "year"]].assign(quantity="emissions", value=emitted["ore_t"] * 0.015, unit="t CO2"),
    ]
    pd.concat(parts).assign(source="report").to_csv(folder / "reported.csv", index=False)
    data.drop(columns=["ore_t", "mineral", "operation_type"]).to_csv(folder / "activity.csv", index=False)


def measure(folder: Path) -> None:
    """Estimate, aggregate and export what lies in a folder; print wall and processor seconds, and GB."""
    wall, processor = time.perf_counter(), time.process_time()
    made = make_inventory(folder / "assets.csv", folder / "reported.csv", folder / "activity.csv")
    export(made.tables["assets"], folder / "v5", "v5", gwp_set="AR6", date="2026-11-30")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.perf_counter() - wall:.1f} | {time.process_time() - processor:.1f} | {memory:.2f}")


def speed() -> list[str]:
    """Each size in a process of its own, the libraries' import of it included."""
    rows = ["| mines x years | seconds | processor seconds | GB |", "|---|---|---|---|"]
    for mines, years in ((1661, 9), (75_000, 1), (75_000, 9)):
        with tempfile.TemporaryDirectory() as folder:
            write_inputs(Path(folder), mines, years)
            command = [sys.executable, __file__, "--measure", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(f"| {mines:,} x {years} | {done.stdout.strip()} |")
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        sys.exit()
    portfolios = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for title, part in (
        ("Ore from area", models(portfolios)),
        ("Errors of totals", errors()),
        ("Time and memory", speed()),
    ):
        print(f"## {title}\n", *part, "", sep="\n")
