"""The two pathways: activity from reports or from measured area, times the nearest factor, for every asset and year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from insar_mining.emissions.confidence import interval, lower_of, product_error
from insar_mining.emissions.countries import country_table
from insar_mining.emissions.derived import derived_factors, organisation_factors
from insar_mining.emissions.factors import (
    GAS_ORE,
    LEVEL_CONFIDENCE,
    LEVELS,
    factors_of,
    in_unit,
    look_up,
    shipped_factors,
)
from insar_mining.emissions.findings import Finding, rows_of
from insar_mining.emissions.gwp import gwp
from insar_mining.emissions.inputs import QUANTITIES, Inputs
from insar_mining.emissions.mixed import OreModel
from insar_mining.emissions.ore import keys_of, ore_of
from insar_mining.errors import EmissionsError

OTHER_GASES = ("CH4", "CH4 FOSSIL", "N2O")
# activity by which a factor is looked up if there is none of the mineral
ANY_ORE = "ore"
# of measured ground
AREAS = ("area_m2", "area_low_m2", "area_high_m2", "duty")

ASSET_COLUMNS = (
    "asset_id",
    "name",
    "iso3",
    "mineral",
    "operation_type",
    "status",
    "lon",
    "lat",
    "organisation",
    "region",
)
OUTPUT_COLUMNS = (
    *ASSET_COLUMNS,
    *("year", "activity_t", "activity_sd_t", "activity_source", "activity_confidence", "activity_id"),
    *("capacity_t", "capacity_factor", "rock_moved_t", "area_m2"),
    *("factor_t_t", "factor_sd_t_t", "factor_n", "factor_level", "factor_id", "factor_edition", "factor_confidence"),
    *("gas", "co2_t", "co2_sd_t", "co2_low_t", "co2_high_t", "confidence", "co2e_100_t", "co2e_20_t", "gases"),
    # relative errors of co2_t: of the row alone, shared by rows of one activity_id, and by rows of one factor_id
    *("own_error", "activity_error", "factor_error"),
)


@dataclass(frozen=True)
class Estimate:
    """Hold an inventory of assets.

    Attributes
    ----------
    assets : DataFrame
        One row per asset and year with `OUTPUT_COLUMNS`; NaN is not modelled, 0 is truly none.
    alternatives : DataFrame
        Same rows: what every other source would have given.
    factors : DataFrame
        The factors that were used.
    model : OreModel, optional
    no_model : str
        Why there is no model of ore on area.
    gwp_set : str
    findings : list of Finding
        Of this step.
    """

    assets: pd.DataFrame
    alternatives: pd.DataFrame
    factors: pd.DataFrame
    model: OreModel | None
    no_model: str
    gwp_set: str
    findings: list[Finding]


def estimate(
    inputs: Inputs,
    factors: Sequence[pd.DataFrame] = (),
    *,
    gwp_set: str = "AR6",
    ore: str = "auto",
    edition: str = "",
) -> Estimate:
    """Estimate ore and emissions of every asset and year.

    Parameters
    ----------
    inputs : Inputs
    factors : sequence of DataFrame
        The user's, of `read_factors`; at one level they come before those that reports give, and those before the
        package's.
    gwp_set : {"AR4", "AR5", "AR6"}
    ore : {"auto", "rate", "model"}
        Ore from measured area, see `ore_of`.
    edition : str
        Recorded with factors derived from the reports, such as a checksum of these.

    Returns
    -------
    Estimate

    Raises
    ------
    EmissionsError
        No asset or no year, or two factors are equally near.
    """
    gwp("CO2", gwp_set)
    grid = _grid(inputs)
    user = factors_of(factors)
    is_conversion = user["gas"] == GAS_ORE
    found = ore_of(grid, user[is_conversion].reset_index(drop=True), edition, ore)
    grid = pd.concat([grid, found.chosen], axis=1)
    pairs = grid.assign(top=grid["emissions"], bottom=grid["ore"].where(grid["ore"] > 0))
    of_reports = derived_factors(pairs, "ore", "CO2", "t/t", LEVELS, yearly=True, edition=edition)
    of_companies = organisation_factors(inputs.reported.frame, inputs.assets.frame, edition)
    table = factors_of([user[~is_conversion], of_reports, of_companies, shipped_factors()])
    grid, alternatives, numbers = _with_factors(grid, table, gwp_set)
    grid = _with_co2(grid)
    grid = _with_other_gases(grid, table, gwp_set)
    alternatives = pd.concat([grid[["asset_id", "year"]], found.alternatives, alternatives], axis=1)
    result = grid.reindex(columns=list(OUTPUT_COLUMNS))
    return Estimate(
        result, alternatives, table.iloc[numbers], found.model, found.reason, gwp_set, _findings(grid, table, inputs)
    )


def _grid(inputs: Inputs) -> pd.DataFrame:
    """Lay assets by years, with everything that is known of each."""
    assets, reported, activity = (table.frame for table in (inputs.assets, inputs.reported, inputs.activity))
    if assets.empty:
        raise EmissionsError("assets: the table is empty. Give at least one asset")
    # columns of the user's own, under names that the grid has for what the other tables know
    known = {*AREAS, *(f"{name}{suffix}" for name in QUANTITIES for suffix in ("", "_sd"))}
    assets = assets.drop(columns=[name for name in assets.columns if name in known])
    own = reported[reported["asset_id"].isin(assets["asset_id"])]
    measured = activity[activity["asset_id"].isin(assets["asset_id"])]
    years = pd.concat([own["year"], measured["year"]])
    if years.empty:
        raise EmissionsError(
            "inventory: no reported amount and no measured area of any asset. Give --reported or --activity"
        )
    span = np.arange(int(years.min()), int(years.max()) + 1)
    grid = assets.loc[np.repeat(np.arange(len(assets)), span.size)].assign(year=np.tile(span, len(assets)))
    region = grid["iso3"].map(country_table()["region"]).fillna("")
    grid["region"] = grid["region"].where(grid["region"] != "", region)
    grid["day"] = grid["year"] * 10_000 + 701  # a factor serves a year if it is valid in its middle
    for column, suffix in (("value_t", ""), ("sd_t", "_sd")):
        wide = own.pivot(index=["asset_id", "year"], columns="quantity", values=column).reindex(
            columns=list(QUANTITIES)
        )
        grid = grid.merge(wide.add_suffix(suffix), how="left", left_on=["asset_id", "year"], right_index=True)
    grid = grid.merge(measured[["asset_id", "year", *AREAS]], how="left", on=["asset_id", "year"])
    return grid.sort_values(["asset_id", "year"], kind="stable", ignore_index=True)


def _with_factors(
    grid: pd.DataFrame, table: pd.DataFrame, gwp_set: str
) -> tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.int64]]:
    """Look up the factor of every row, first of CO2, then of CO2e; keep that of each level beside it."""
    exact = grid["mineral"] + " ore"
    activities = [exact, pd.Series(ANY_ORE, exact.index)]
    keys = keys_of(grid)
    found = look_up(keys, table, activities, "CO2")
    gas = np.full(len(grid), "CO2", dtype=object)
    if (table["gas"] == "CO2E").any():
        of_sum = look_up(keys, table, activities, "CO2E")
        rows = (found["chosen"] < 0) & (of_sum["chosen"] >= 0)
        other = table.loc[of_sum.loc[rows, "chosen"].unique()]
        wrong = other[other["gwp"] != gwp_set]
        if len(wrong):
            one = wrong.iloc[0]
            raise EmissionsError(
                f"factor {one.factor_id}: in CO2e by {one.gwp or 'an unknown set'}, the inventory is by {gwp_set}. "
                f"Take --gwp {one.gwp or 'of its source'}, or factors per gas"
            )
        found[rows] = of_sum[rows]
        gas[rows] = "CO2e"
    numbers = found["chosen"].to_numpy(np.int64)
    values, sds = (np.append(part, np.nan) for part in _values(table, np.unique(found.to_numpy())))
    chosen = table[["n", "level", "factor_id", "edition", "carried"]].iloc[np.where(numbers < 0, 0, numbers)]
    known = numbers >= 0
    grid = grid.assign(
        gas=gas,
        factor_t_t=values[numbers],
        factor_sd_t_t=sds[numbers],
        factor_n=np.where(known, chosen["n"].to_numpy(np.float64), np.nan),
        **{
            name: pd.Series(chosen[column].to_numpy(object), grid.index).where(known, "")
            for name, column in (("factor_level", "level"), ("factor_id", "factor_id"), ("factor_edition", "edition"))
        },
    )
    carried = chosen["carried"].to_numpy(bool)
    confidence = grid["factor_level"].map({"": "", **LEVEL_CONFIDENCE})
    grid["factor_confidence"] = confidence.where(
        ~(carried & (grid["factor_level"].isin(("asset", "organisation")))), "low"
    )
    beside = pd.DataFrame(
        {f"factor_{level}_t_t": values[found[level].to_numpy()] for level in LEVELS}, index=grid.index
    )
    ids = pd.CategoricalDtype([*table["factor_id"], ""])
    last = len(table)  # the empty text, where there is none
    for level in LEVELS:
        codes = found[level].where(found[level] >= 0, last)
        beside[f"factor_{level}_id"] = pd.Categorical.from_codes(codes, dtype=ids)
    used = np.unique(found.to_numpy())
    return grid, beside, used[used >= 0]


def _values(
    table: pd.DataFrame, used: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return values and deviations in t/t of the factors in use, NaN of the others (which may have other units)."""
    rows = used[used >= 0]
    values, sds = np.full(len(table), np.nan), np.full(len(table), np.nan)
    values[rows], sds[rows] = in_unit(table.iloc[rows], "t/t")
    return values, sds


def _with_co2(grid: pd.DataFrame) -> pd.DataFrame:
    """Multiply; emissions reported for the year stay as they are, and give the asset's own factor."""
    reported = grid["emissions"]
    is_own = reported.notna()
    own_factor = reported / grid["activity_t"].where(grid["activity_t"] > 0)
    own_id = "reported:CO2:" + grid["mineral"] + "-ore:asset:" + grid["asset_id"] + ":" + grid["year"].astype(str)
    grid["factor_t_t"] = grid["factor_t_t"].where(~is_own, own_factor)
    grid["factor_sd_t_t"] = grid["factor_sd_t_t"].where(~is_own, grid["emissions_sd"].fillna(0) / grid["activity_t"])
    grid["factor_id"] = grid["factor_id"].where(~is_own, own_id)
    for name, value in (("factor_level", "asset"), ("factor_confidence", "high"), ("gas", "CO2")):
        grid[name] = grid[name].where(~is_own, value)
    grid["factor_n"] = grid["factor_n"].where(~is_own, 1.0)
    # without ore there is nothing to emit for, whatever the factor
    product = (grid["activity_t"] * grid["factor_t_t"]).where(grid["activity_t"] != 0, 0.0)
    grid["co2_t"] = reported.where(is_own, product)
    # the errors of emissions that are reported are their own, whatever the activity
    of_report = grid["emissions_sd"].fillna(0) / reported.where(reported > 0)
    of_factor = grid["factor_sd_t_t"] / grid["factor_t_t"].where(grid["factor_t_t"] > 0)
    grid["own_error"] = grid["activity_sd"].where(~is_own, of_report)
    grid["activity_error"] = grid["activity_shared_sd"].where(~is_own, 0.0)
    grid["factor_error"] = of_factor.where(~is_own, 0.0)
    errors = ["own_error", "activity_error", "factor_error"]
    grid.loc[grid["co2_t"] == 0, errors] = 0.0
    relative = product_error(*(grid[name].to_numpy(np.float64) for name in errors))
    co2 = grid["co2_t"].to_numpy(np.float64)
    low, high = interval(co2, relative)
    confidence = lower_of(grid["activity_confidence"], grid["factor_confidence"])
    no_factor = (grid["activity_t"] == 0) & (grid["factor_level"] == "")
    confidence = confidence.where(~no_factor, grid["activity_confidence"])
    confidence = confidence.where(~(is_own & grid["activity_t"].isna()), "high")
    confidence = confidence.where(grid["co2_t"].notna(), "")
    return grid.assign(
        co2_sd_t=co2 * relative,
        co2_low_t=low,
        co2_high_t=high,
        confidence=confidence,
        activity_sd_t=grid["activity_t"]
        * product_error(grid["activity_sd"].to_numpy(), grid["activity_shared_sd"].to_numpy()),
        rock_moved_t=grid["activity_t"] * (1 + grid["strip_ratio"]),
        capacity_factor=grid["activity_t"] / grid["capacity_t"],
    )


def _with_other_gases(grid: pd.DataFrame, table: pd.DataFrame, gwp_set: str) -> pd.DataFrame:
    """Add CO2e over both horizons, of CO2 and of the gases that have factors; ``gases`` names them."""
    gases = grid["gas"].where(grid["co2_t"].notna(), "")
    sums = {horizon: grid["co2_t"].copy() for horizon in (100, 20)}
    exact = grid["mineral"] + " ore"
    for gas in OTHER_GASES:
        if not (table["gas"] == gas).any():
            continue
        number = look_up(keys_of(grid), table, [exact, pd.Series(ANY_ORE, exact.index)], gas)["chosen"].to_numpy(
            np.int64
        )
        value = np.append(_values(table, number)[0], np.nan)[number]
        amount = np.where(grid["gas"] == "CO2", grid["activity_t"] * value, np.nan)
        known = np.isfinite(amount)
        gases = gases.where(~known | (gases == ""), gases + f"+{gas}")
        for horizon in sums:
            sums[horizon] = sums[horizon] + np.where(known, amount * gwp(gas, gwp_set, horizon), 0.0)
    both = grid["gas"] == "CO2e"
    # a factor in CO2e over 100 years says nothing of 20
    return grid.assign(co2e_100_t=sums[100], co2e_20_t=sums[20].where(~both), gases=gases)


def _findings(grid: pd.DataFrame, table: pd.DataFrame, inputs: Inputs) -> list[Finding]:
    """Name what the estimate shows: assets without a factor, and claims that the measured area contradicts."""
    findings = []
    missing = grid[grid["activity_t"].notna() & grid["co2_t"].isna()]
    for (iso3, mineral), rows in missing.groupby(["iso3", "mineral"]):
        years = f"{rows['year'].min()} to {rows['year'].max()}"
        assets = rows["asset_id"].nunique()
        message = f"no factor of {mineral} ore in {iso3}, {years}: {assets} asset(s) are without emissions"
        known = table[table["activity"].isin((f"{mineral} ore", ANY_ORE)) & (table["gas"] != GAS_ORE)]
        other = known[(known["region"] == iso3) | (known["level"] == "world")].sort_values(
            "level", key=lambda c: c.map(LEVELS.index)
        )
        remedy = "Give a factor (--factors)"
        if len(other):
            spans = [f"{row.factor_id} ({row.valid_from} to {row.valid_to})" for row in rows_of(other.head(3))]
            remedy += f"; not valid then: {', '.join(spans)}"
        findings.append(Finding("warning", "no-factor", message, remedy, str(mineral)))
    file = Path(inputs.reported.path).name
    silent = grid[(grid["ore"] > 0) & (grid["area_m2"] == 0)]
    claims = grid[(grid["ore"] == 0) & (grid["area_m2"] > 0)]
    for rows, code, message in (
        (silent, "silent-mine", "ore is reported, and no active ground was measured"),
        (claims, "active-mine", "no ore is reported, and active ground was measured"),
    ):
        remedy = "Check the report, the outline and the images of the year"
        findings += [
            Finding("warning", code, f"{message} in {row.year}", remedy, str(row.asset_id), None, "ore", file)
            for row in rows_of(rows)
        ]
    return findings
