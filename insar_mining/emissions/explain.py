"""What a number of an inventory is made of: amounts, factors, levels, sources, and the alternatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from insar_mining.emissions.factors import LEVELS
from insar_mining.errors import EmissionsError

COLUMNS = ["step", "value", "unit", "from", "id", "note"]
ALTERNATIVES = {
    "ore_reported_t": "reported ore",
    "ore_from_product_t": "ore from the year's product",
    "ore_from_model_t": "ore from area, mixed-effects model",
    "ore_from_rate_t": "ore from area, t/m2",
    "earlier_ore_t": "ore of an earlier year",
    "earlier_product_t": "ore from an earlier year's product",
}
TOP = 10


def explain(
    assets: pd.DataFrame, alternatives: pd.DataFrame, factors: pd.DataFrame, name: str, year: int
) -> pd.DataFrame:
    """Explain the emissions of an asset, a country, a mineral or the world in a year.

    Parameters
    ----------
    assets, alternatives, factors : DataFrame
        Tables of an inventory.
    name : str
        asset_id, ISO 3166 code, mineral, or world.
    year : int

    Returns
    -------
    DataFrame
        step, value, unit, from (source or level), id, note; of an asset the activity, the factor, their product and
        every alternative; of a sum the assets that give most, and how many are missing.

    Raises
    ------
    EmissionsError
        There is no such asset, country, mineral or year.
    """
    of_year = assets[assets["year"] == year]
    if of_year.empty:
        raise EmissionsError(
            f"year: {year} is not in the inventory. It has {assets['year'].min()} to {assets['year'].max()}"
        )
    rows = of_year[of_year["asset_id"].astype(str) == name]
    if len(rows):
        beside = alternatives[(alternatives["asset_id"].astype(str) == name) & (alternatives["year"] == year)]
        return _of_asset(rows.iloc[0], beside.iloc[0], factors)
    for column in ("iso3", "mineral"):
        rows = of_year[of_year[column] == name]
        if len(rows):
            return _of_sum(rows, name)
    if name == "world":
        return _of_sum(of_year, name)
    raise EmissionsError(f"{name!r}: no asset, country or mineral of the inventory. Give one, or world")


def _of_asset(row: Any, beside: Any, factors: pd.DataFrame) -> pd.DataFrame:
    sources: Any = factors.set_index("factor_id")
    own = str(row.factor_id) not in sources.index
    about = "no factor is valid in this year" if row.activity_t != 0 else "none is needed"
    source = "emissions over activity of this year" if own else str(sources.loc[row.factor_id].source)
    edition = row.factor_edition or "of the year"
    if row.factor_id:
        about = f"confidence {row.factor_confidence}; edition {edition}; n {row.factor_n:g}; {source}"
    product = row.activity_t * row.factor_t_t
    bounds = (
        f"90 % {row.co2_low_t:,.0f} to {row.co2_high_t:,.0f} t" if np.isfinite(row.co2_low_t) else "error not known"
    )
    emitted = f"confidence {row.confidence}; {bounds}" if np.isfinite(row.co2_t) else "not modelled"
    lines = [
        (
            "activity",
            row.activity_t,
            "t ore",
            row.activity_source,
            row.activity_id,
            f"confidence {row.activity_confidence}",
        ),
        (
            *("factor", row.factor_t_t, f"t {row.gas}/t", row.factor_level, row.factor_id),
            about,
        ),
        ("emissions", row.co2_t, f"t {row.gas}", "activity x factor", "", emitted),
        ("check", product - row.co2_t, f"t {row.gas}", "activity x factor - emissions", "", ""),
    ]
    for column, label in ALTERNATIVES.items():
        value = beside.get(column, np.nan)
        if np.isfinite(value):
            used = (
                "used"
                if value == row.activity_t
                else f"{value / row.activity_t:.2f} times the activity"
                if row.activity_t
                else ""
            )
            lines.append(("alternative activity", value, "t ore", label, "", used))
    for level in LEVELS:
        value, factor_id = beside.get(f"factor_{level}_t_t", np.nan), str(beside.get(f"factor_{level}_id", ""))
        if np.isfinite(value):
            used = "used" if factor_id == row.factor_id else f"would give {row.activity_t * value:,.0f} t"
            lines.append(("alternative factor", value, f"t {row.gas}/t", level, factor_id, used))
    return pd.DataFrame(lines, columns=COLUMNS)


def _of_sum(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    missing = int(rows["co2_t"].isna().sum())
    total = rows["co2_t"].sum(min_count=1)
    lines = [
        ("emissions", total, "t", f"sum of {len(rows) - missing} assets", name, f"{missing} assets are not modelled"),
        (
            "activity",
            rows["activity_t"].sum(min_count=1),
            "t ore",
            f"sum of {rows['activity_t'].count()} assets",
            name,
            "",
        ),
    ]
    shares: Any = rows["co2_t"].groupby([rows["activity_source"], rows["factor_level"]]).sum(min_count=1).dropna()
    for (source, level), value in shares.sort_values(ascending=False).items():
        share = f"{100 * value / total:.1f} %"
        lines.append(("by method", value, "t", f"{source} x factor of {level or 'none'}", "", share))
    most: Any = rows.dropna(subset=["co2_t"]).sort_values("co2_t", ascending=False).head(TOP)
    for row in most.itertuples():
        lines.append(("asset", row.co2_t, f"t {row.gas}", row.name, row.asset_id, f"{100 * row.co2_t / total:.1f} %"))
    return pd.DataFrame(lines, columns=COLUMNS)
