"""From a table of active areas to ore and emissions per year."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from insar_mining.doors import check_columns_of, guarded
from insar_mining.emissions import emissions, production_from_area, production_rate
from insar_mining.errors import EmissionsError

logger = logging.getLogger(__name__)

AREAS = {"ground": "area_m2", "nominal": "area_nominal_m2"}


def emissions_table(
    activity: pd.DataFrame,
    production: pd.DataFrame,
    *,
    factor_t_t: float | None = None,
    rate_t_m2: float | None = None,
    area: str = "ground",
) -> pd.DataFrame:
    """Return ore and emissions of every year of one mine.

    Parameters
    ----------
    activity : DataFrame
        As ``activity.csv``, of one mine.
    production : DataFrame
        Columns year and production_t (reported ore, tonnes), and if wanted factor_t_t (t CO2e per tonne).
    factor_t_t : float, optional
        Factor of the years that `production` gives none for.
    rate_t_m2 : float, optional
        Ore per area of years without report; by default all reported ore over all active area of
        the reported years.
    area : {"ground", "nominal"}
        True cell areas, or the published 100 m2 per pixel (for parity with published rates).

    Returns
    -------
    DataFrame
        One row per year: year, area_m2, production_t, production_source (``reported`` or ``from area``),
        rate_t_m2, factor_t_t and emissions_t; NaN where it cannot be known.

    Raises
    ------
    EmissionsError
        Several mines, a missing column, one without numbers, a year twice, or neither report nor rate.
    """
    _check_numbers(activity, "the activity table", ("year", AREAS[area]))
    if "mine_id" not in activity.columns:
        raise EmissionsError("the activity table has no column mine_id; give activity.csv of a result")
    if activity["mine_id"].nunique() > 1 or activity["year"].duplicated().any():
        raise EmissionsError(
            f"the activity table holds {activity['mine_id'].nunique()} mines or a year twice. Give one."
        )
    _check_numbers(production, "the production table", ("year", "production_t"))
    if production["year"].duplicated().any():
        raise EmissionsError(
            "the production table: it holds a year twice; it needs the columns year and production_t, each year once"
        )
    table = activity[["year", AREAS[area]]].rename(columns={AREAS[area]: "area_m2"})
    if "factor_t_t" not in production.columns:
        production = production.assign(factor_t_t=np.nan)
    table = table.merge(production[["year", "production_t", "factor_t_t"]], on="year", how="left")
    is_reported = table["production_t"].notna()
    has_area = table["area_m2"] > 0
    rate = _rate(table[is_reported & has_area]) if rate_t_m2 is None else rate_t_m2
    table["production_source"] = np.where(is_reported, "reported", "from area")
    table["rate_t_m2"] = rate
    both = is_reported & has_area
    table.loc[both, "rate_t_m2"] = production_rate(table.loc[both, "production_t"], table.loc[both, "area_m2"])
    of_area = ~is_reported & table["area_m2"].notna()
    table.loc[of_area, "production_t"] = production_from_area(table.loc[of_area, "area_m2"], rate)
    table["factor_t_t"] = table["factor_t_t"].fillna(np.nan if factor_t_t is None else factor_t_t)
    known = table["production_t"].notna() & table["factor_t_t"].notna()
    table["emissions_t"] = np.nan
    table.loc[known, "emissions_t"] = emissions(table.loc[known, "production_t"], table.loc[known, "factor_t_t"])
    columns = ["year", "area_m2", "production_t", "production_source", "rate_t_m2", "factor_t_t", "emissions_t"]
    return table[columns]


def _check_numbers(table: pd.DataFrame, where: str, needed: Sequence[str]) -> None:
    """Refuse a table without a column that is needed, or with text in one of numbers."""
    missing = [name for name in needed if name not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns))[:200]
        raise EmissionsError(f"{where} has {has}; it needs the columns {' and '.join(needed)}")
    for name in {*needed, "factor_t_t"} & set(table.columns):
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise EmissionsError(f"{where}: the column {name} holds text; write plain numbers")


def _rate(reported: pd.DataFrame) -> float:
    if reported.empty:
        raise EmissionsError(
            "no year has both reported production and a known active area, so there is no rate. Give the production of "
            "such a year, or a rate (--rate, t per m2)."
        )
    return float(production_rate(float(reported["production_t"].sum()), float(reported["area_m2"].sum())))


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV.

    Raises
    ------
    EmissionsError
        It is none.
    """
    with guarded(EmissionsError, path, "Give a CSV table"):
        check_columns_of(path)
        return pd.read_csv(path, comment="#", skipinitialspace=True, compression=None)
