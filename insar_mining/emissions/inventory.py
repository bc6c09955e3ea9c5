"""Tables of countries, minerals and the world, beside national figures; totals know which errors assets share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from insar_mining.emissions.confidence import interval, total_error
from insar_mining.emissions.findings import Finding, rows_of
from insar_mining.errors import EmissionsError


def totals(assets: pd.DataFrame, by: Sequence[str], *, min_count: int = 1) -> pd.DataFrame:
    """Sum assets over groups.

    Parameters
    ----------
    assets : DataFrame
        Of `estimate`, or its assets.csv.
    by : sequence of str
        Columns such as iso3 and year.
    min_count : int
        Assets that a sum needs; with fewer it is missing.

    Returns
    -------
    DataFrame
        By group: n_assets, n_modelled, n_missing, coverage_count (share modelled), activity_t, factor_t_t (mean: the
        CO2 over the activity of assets with both), co2_t, n_without_sd (emitting assets whose error is not known),
        co2_sd_t, co2_low_t, co2_high_t (90 %; missing where the error of any asset is), co2e_100_t, co2e_20_t.
    """
    terms = _terms(assets)
    grouped = terms.groupby(list(by), sort=True, observed=True)
    table = grouped.agg(
        n_assets=("co2_t", "size"),
        n_modelled=("co2_t", "count"),
        activity_t=("activity_t", lambda column: column.sum(min_count=min_count)),
        co2_t=("co2_t", lambda column: column.sum(min_count=min_count)),
        of_both_co2_t=("both_co2_t", "sum"),
        of_both_activity_t=("both_activity_t", "sum"),
        n_without_sd=("no_sd", "sum"),
        co2e_100_t=("co2e_100_t", lambda column: column.sum(min_count=min_count)),
        co2e_20_t=("co2e_20_t", lambda column: column.sum(min_count=min_count)),
    )
    columns = ["co2_t", "own_error", "activity_error", "factor_error", "activity_group", "factor_group"]
    of_error = terms[columns].fillna(0)
    errors = [_error(of_error.iloc[rows]) for rows in grouped.indices.values()]
    sd = (
        pd.Series(errors, index=pd.Index(grouped.indices.keys()), dtype=float).reindex(table.index).to_numpy(np.float64)
    )
    co2 = table["co2_t"].to_numpy(np.float64)
    # where the error of any asset is not known, that of the sum is not
    sd = np.where(np.isfinite(co2) & (table["n_without_sd"] == 0), sd, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = interval(co2, np.where(co2 > 0, sd / co2, 0.0))
    table = table.assign(
        n_missing=table["n_assets"] - table["n_modelled"],
        coverage_count=table["n_modelled"] / table["n_assets"],
        factor_t_t=table["of_both_co2_t"] / table["of_both_activity_t"].where(table["of_both_activity_t"] > 0),
        co2_sd_t=sd,
        co2_low_t=low,
        co2_high_t=high,
    )
    columns = ["n_assets", "n_modelled", "n_missing", "coverage_count", "activity_t", "factor_t_t", "co2_t", "co2_sd_t"]
    columns += ["co2_low_t", "co2_high_t", "n_without_sd", "co2e_100_t", "co2e_20_t"]
    return table[columns].reset_index()


def _terms(assets: pd.DataFrame) -> pd.DataFrame:
    """Return what sums need."""
    known = assets["co2_t"].notna()
    both = known & assets["activity_t"].notna()
    emitting = known & (assets["co2_t"] > 0)
    return assets.assign(
        no_sd=emitting & assets["co2_sd_t"].isna(),
        both_co2_t=assets["co2_t"].where(both, 0.0),
        both_activity_t=assets["activity_t"].where(both, 0.0),
        activity_group=_groups(assets["activity_id"]),
        factor_group=_groups(assets["factor_id"]),
    )


def _groups(ids: pd.Series[str]) -> npt.NDArray[np.intp]:
    """Return a number for each id; rows without one get a number each."""
    codes = pd.factorize(ids.fillna("").astype(str))[0]
    empty = (ids.fillna("") == "").to_numpy()
    return np.where(empty, codes.max(initial=0) + 1 + np.arange(codes.size), codes)


def _error(rows: pd.DataFrame) -> float:
    """Return the standard deviation of the sum of rows."""
    value, own, activity, factor = (
        rows[name].to_numpy(np.float64) for name in ("co2_t", "own_error", "activity_error", "factor_error")
    )
    activity_group, factor_group = (pd.factorize(rows[name])[0] for name in ("activity_group", "factor_group"))
    return total_error(value, own, [(activity_group, activity), (factor_group, factor)])


def inventory_tables(assets: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of countries, minerals (with their countries' sum), and the world, by year."""
    return {
        "countries": totals(assets, ["iso3", "year"]),
        "minerals": totals(assets, ["mineral", "year"]),
        "world": totals(assets, ["year"]),
    }


def top_emitters(assets: pd.DataFrame, year: int, count: int = 10) -> pd.DataFrame:
    """Return the assets that emit most in a year, with their share of all and the share of all above them."""
    rows = assets[assets["year"] == year].sort_values("co2_t", ascending=False, kind="stable")
    total = rows["co2_t"].sum(min_count=1)
    rows = rows[rows["co2_t"].notna()].head(count)
    columns = ["asset_id", "name", "iso3", "mineral", "activity_t", "factor_t_t", "factor_level", "co2_t", "confidence"]
    table = rows[columns].assign(share=rows["co2_t"] / total)
    return table.assign(share_so_far=table["share"].cumsum()).reset_index(drop=True)


def beside_national(
    countries: pd.DataFrame, national: pd.DataFrame, file: str = ""
) -> tuple[pd.DataFrame, list[Finding]]:
    """Put the sums of assets beside national figures; the two are never added.

    Parameters
    ----------
    countries : DataFrame
        Of `totals` by iso3 and year.
    national : DataFrame
        iso3, year, activity_t; optionally co2_t, factor_t_t, n_assets (known in the country).

    Returns
    -------
    table : DataFrame
        By country and year: both activities and emissions, coverage_tonnes (assets over national), coverage_count,
        gap_t (national less assets, of emissions), gap_activity_t.
    findings : list of Finding
        Coverage above 1: other definitions of ore; it is never capped.
    """
    if national.duplicated(["iso3", "year"]).any():
        row = national[national.duplicated(["iso3", "year"])].iloc[0]
        raise EmissionsError(f"national figures: {row.iso3} {row.year} stands twice. Keep one")
    table = countries.merge(
        national.add_prefix("national_"),
        how="outer",
        left_on=["iso3", "year"],
        right_on=["national_iso3", "national_year"],
    )
    table["iso3"] = table["iso3"].fillna(table["national_iso3"])
    table["year"] = table["year"].fillna(table["national_year"]).astype(int)
    product = table["national_activity_t"] * table["national_factor_t_t"]
    table["national_co2_t"] = table["national_co2_t"].fillna(product)
    table["coverage_tonnes"] = table["activity_t"] / table["national_activity_t"].where(
        table["national_activity_t"] > 0
    )
    known = table["national_n_assets"].fillna(table["n_assets"])
    table["coverage_count"] = table["n_modelled"] / known
    table["gap_t"] = table["national_co2_t"] - table["co2_t"]
    table["gap_activity_t"] = table["national_activity_t"] - table["activity_t"]
    findings = [
        Finding(
            "warning",
            "coverage",
            f"assets give {100 * row.coverage_tonnes:.0f} % of the national ore of {row.year} (limit 100 %)",
            "Check that both count the same ore (run of mine, or sold); nothing was capped",
            f"{row.iso3}",
            None,
            "activity_t",
            file,
        )
        for row in rows_of(table[table["coverage_tonnes"] > 1])
    ]
    shown = [
        "iso3",
        "year",
        "n_assets",
        "n_modelled",
        "coverage_count",
        "activity_t",
        "national_activity_t",
        "coverage_tonnes",
    ]
    shown += ["gap_activity_t", "factor_t_t", "co2_t", "co2_low_t", "co2_high_t", "national_co2_t", "gap_t"]
    return table[shown].sort_values(["iso3", "year"], ignore_index=True), findings
