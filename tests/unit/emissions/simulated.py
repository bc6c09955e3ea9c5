"""Portfolios of mines whose ore is known: log-normal areas with error, effects of mineral, method and mine."""

from __future__ import annotations

import numpy as np
import pandas as pd

MINERAL_EFFECT = {"copper": 0.3, "iron": 0.6, "bauxite": -0.5}
AREA_SD = 0.05
MINE_SD = 0.6
YEAR_SD = 0.15
ELASTICITY = 0.8


def portfolio(rng: np.random.Generator, mines: int = 260, years: int = 4) -> pd.DataFrame:
    """One row per mine and year: ore_t (true), area_m2 (measured, with its 95 % interval), mineral, operation_type."""
    mineral = rng.choice(list(MINERAL_EFFECT), mines)
    method = rng.choice(["Open Pit", "Underground"], mines, p=[0.8, 0.2])
    middle = rng.normal(np.log(4e6), 0.8, mines)
    level = np.log(8e6) + rng.normal(0, MINE_SD, mines) - 0.4 * (method == "Underground")
    level += np.array([MINERAL_EFFECT[name] for name in mineral])
    parts = []
    for year in range(2018, 2018 + years):
        area = middle + rng.normal(0, 0.25, mines)
        ore = np.exp(level + ELASTICITY * (area - np.log(4e6)) + rng.normal(0, YEAR_SD, mines))
        measured = np.exp(area + rng.normal(0, AREA_SD, mines))
        part = pd.DataFrame({"asset_id": [f"m{i}" for i in range(mines)], "year": year, "mineral": mineral})
        part = part.assign(operation_type=method, area_m2=measured, ore_t=ore)
        half = 1.96 * AREA_SD * measured
        parts.append(part.assign(area_low_m2=measured - half, area_high_m2=measured + half))
    return pd.concat(parts, ignore_index=True)
