"""Check any table that this part reads or writes: which it is, its columns, and the rules between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from insar_mining.emissions.countries import country_fault, nearest_code
from insar_mining.emissions.factors import read_factors
from insar_mining.emissions.findings import Finding, rows_of
from insar_mining.emissions.gwp import GWP_SETS, gwp
from insar_mining.emissions.inputs import jumps, read_activity, read_assets, read_reported, same_assets
from insar_mining.emissions.tabular import Table, checked, read_text_table
from insar_mining.errors import EmissionsError

TOLERANCE = 0.05


class LongRow(BaseModel):
    """Hold columns of the long schema that rules need."""

    source_id: str = Field(min_length=1)
    source_name: str = ""
    source_type: str = ""
    iso3_country: str = Field(min_length=1)
    subsector: str = ""
    start_time: str = Field(min_length=4)
    gas: str = Field(min_length=1)
    emissions_quantity: float | None = Field(ge=0)
    activity: float | None = Field(None, ge=0)
    emissions_factor: float | None = Field(None, ge=0)
    capacity: float | None = Field(None, ge=0)
    capacity_factor: float | None = Field(None, ge=0)
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)


class WideRow(BaseModel):
    """Hold columns of the wide schema that rules need."""

    asset_identifier: str = Field(min_length=1)
    asset_name: str = ""
    mineral_type: str = ""
    iso3_country: str = Field(min_length=1)
    start_date: str = Field(min_length=4)
    CO2_emissions: float | None = Field(ge=0)
    activity: float | None = Field(None, ge=0)
    CO2_emissions_factor: float | None = Field(None, ge=0)
    capacity: float | None = Field(None, ge=0)
    capacity_factor: float | None = Field(None, ge=0)
    total_CO2e_100yrGWP: float | None = Field(None, ge=0)
    total_CO2e_20yrGWP: float | None = Field(None, ge=0)


class EstimatedRow(BaseModel):
    """Hold columns of an inventory's assets that rules need."""

    asset_id: str = Field(min_length=1)
    name: str = ""
    mineral: str = ""
    iso3: str = Field(min_length=1)
    year: float = Field(ge=1900, le=2100, multiple_of=1)
    co2_t: float | None = Field(ge=0)
    activity_t: float | None = Field(None, ge=0)
    factor_t_t: float | None = Field(None, ge=0)
    capacity_t: float | None = Field(None, ge=0)
    capacity_factor: float | None = Field(None, ge=0)
    co2e_100_t: float | None = Field(None, ge=0)
    co2e_20_t: float | None = Field(None, ge=0)
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)


# what a rule calls a column: what the three schemas call it
NAMES: dict[str, tuple[str, str, str]] = {
    "id": ("source_id", "asset_identifier", "asset_id"),
    "name": ("source_name", "asset_name", "name"),
    "mineral": ("source_type", "mineral_type", "mineral"),
    "iso3": ("iso3_country", "iso3_country", "iso3"),
    "emissions": ("emissions_quantity", "CO2_emissions", "co2_t"),
    "activity": ("activity", "activity", "activity_t"),
    "factor": ("emissions_factor", "CO2_emissions_factor", "factor_t_t"),
    "capacity": ("capacity", "capacity", "capacity_t"),
    "capacity_factor": ("capacity_factor", "capacity_factor", "capacity_factor"),
    "co2e_100": ("", "total_CO2e_100yrGWP", "co2e_100_t"),
    "co2e_20": ("", "total_CO2e_20yrGWP", "co2e_20_t"),
}
MODELS: tuple[type[BaseModel], ...] = (LongRow, WideRow, EstimatedRow)


def validate_file(path: Path | str) -> list[Finding]:
    """Check one table of any kind, told by its columns.

    Parameters
    ----------
    path : path
        Assets, reported amounts, measured areas, factors, an inventory's assets.csv, or a file of Climate TRACE.

    Returns
    -------
    list of Finding

    Raises
    ------
    EmissionsError
        The file is no table, or of no kind that is known.
    """
    raw = read_text_table(path)
    columns = {str(name).lower() for name in raw.frame.columns}
    if {"emissions_quantity_sd"} & columns or Path(path).stem.endswith(("_confidence", "_uncertainty")):
        raise EmissionsError(f"{path}: a companion of a file of sources or assets. Validate that file")
    for needed, number in (({"source_id", "gas"}, 0), ({"asset_identifier"}, 1), ({"asset_id", "co2_t"}, 2)):
        if needed <= columns:
            return _of_schema(raw, number)
    for needed, read in (
        ({"quantity", "asset_id"}, read_reported),
        ({"area_m2"}, read_activity),
        ({"gas", "activity"}, read_factors),
        ({"asset_id"}, read_assets),
    ):
        if needed <= columns:
            return read(path).findings
    raise EmissionsError(f"{path}: its columns are those of no known table ({', '.join(sorted(columns)[:6])}, ...)")


def _of_schema(raw: Table, schema: int) -> list[Finding]:
    table = checked(raw, MODELS[schema])
    file = Path(table.path).name
    names = {columns[schema]: name for name, columns in NAMES.items() if columns[schema]}
    frame = table.frame.rename(columns=names)
    shown = {name: columns[schema] for name, columns in NAMES.items()}
    when = frame["start_time"] if schema == 0 else frame["start_date"] if schema == 1 else frame["year"].astype(str)
    frame["when"] = when.str[:4]
    frame["period"] = frame["when"] if schema == 2 else when
    frame["gas"] = frame["gas"].str.lower() if schema == 0 else "co2"
    frame["file_id"] = frame["id"]
    for name in ("co2e_100", "co2e_20", "lon", "lat"):
        if name not in frame:
            frame[name] = np.nan
    findings = [*table.findings, *_rules(frame, shown, file), *_series(frame, shown, file)]
    findings += _potentials(_by_gas(frame) if schema == 0 else frame, shown, file, schema)
    assets = frame.drop_duplicates("id").assign(asset_id=lambda rows: rows["id"])
    return findings + same_assets(assets, file)


def _rules(frame: pd.DataFrame, shown: dict[str, str], file: str) -> list[Finding]:
    """Check every row: E = factor x activity, activity = capacity factor x capacity, 0 against missing, country."""
    of_co2 = frame["gas"] == "co2"
    emissions, activity, factor = frame["emissions"], frame["activity"], frame["factor"]
    product, ore = factor * activity, frame["capacity_factor"] * frame["capacity"]
    known = emissions.notna() & activity.notna() & factor.notna()
    rules: list[tuple[pd.Series[bool], str, str, str, Any, str]] = [
        (
            known & ((product - emissions).abs() > TOLERANCE * emissions) & ~((emissions == 0) & (activity > 0)),
            *("product", "emissions", "emissions differ from factor x activity by more than 5 %", product),
            "Correct one of the three, or its unit",
        ),
        (
            ore.notna() & activity.notna() & ((ore - activity).abs() > TOLERANCE * activity),
            *("capacity", "activity", "activity differs from capacity factor x capacity by more than 5 %", ore),
            "Correct one of the three, or its unit",
        ),
        (
            frame["capacity_factor"] > 1,
            *("capacity-factor", "capacity_factor", "the capacity factor is above 1", None),
            "Correct the activity or the capacity",
        ),
        (
            of_co2 & (emissions == 0) & (activity > 0),
            *("zero-emissions", "emissions", "emissions are 0 beside activity", activity),
            "Leave the cell empty if they are not modelled: 0 means truly none",
        ),
        (
            of_co2 & (emissions == 0) & activity.isna(),
            *("null-as-zero", "emissions", "emissions are 0 where the activity is missing", None),
            "Leave the cell empty: 0 means truly none, empty means not modelled",
        ),
    ]
    findings = []
    for rows, code, column, message, beside, remedy in rules:
        for row in rows_of(frame[rows]):
            more = "" if beside is None else f" ({beside[row.Index]:.6g})"
            value = str(getattr(row, column))
            findings.append(
                Finding("error", code, message + more, remedy, value, int(row.file_row), shown[column], file)
            )
    for code in frame["iso3"].unique():
        if code and (fault := country_fault(code)):
            for row in rows_of(frame[frame["iso3"] == code].drop_duplicates("id")):
                findings.append(
                    Finding(
                        "error",
                        "unknown-country",
                        fault,
                        nearest_code(code),
                        code,
                        int(row.file_row),
                        shown["iso3"],
                        file,
                    )
                )
    return findings


def _series(frame: pd.DataFrame, shown: dict[str, str], file: str) -> list[Finding]:
    """Check the rows of one asset together: twice, a year left out, a thousand times the others."""
    findings = []
    for row in rows_of(frame[frame.duplicated(["id", "period", "gas"])]):
        message = f"the row of this asset, period ({row.period}) and gas stands twice"
        findings.append(
            Finding("error", "duplicate", message, "Keep one", str(row.id), int(row.file_row), shown["id"], file)
        )
    annual = frame[(frame["gas"] == "co2") & frame["when"].str.fullmatch(r"\d{4}")].drop_duplicates(["id", "when"])
    annual = annual.assign(number=annual["when"].astype(int)).sort_values(["id", "number"], kind="stable")
    step = annual.groupby("id")["number"].diff()
    for row, gap in zip(rows_of(annual[step > 1]), step[step > 1], strict=True):
        message = f"{int(gap) - 1} year(s) before {row.when} are missing"
        remedy = "Add them; leave the numbers empty if they are not modelled"
        findings.append(Finding("warning", "year-gap", message, remedy, row.when, int(row.file_row), shown["id"], file))
    of_co2 = frame[frame["gas"] == "co2"]
    for column in ("activity", "emissions"):
        findings += jumps(of_co2, column, ["file_id"], column, file)
    return findings


def _by_gas(frame: pd.DataFrame) -> pd.DataFrame:
    """Lay the gases of a source and period side by side."""
    first = frame.drop_duplicates(["id", "period", "gas"])
    wide = first.pivot(index=["id", "period"], columns="gas", values="emissions")
    rows = first.drop_duplicates(["id", "period"])[["id", "period", "file_row"]].merge(wide, on=["id", "period"])
    columns = {"co2": "emissions", "co2e_100yr": "co2e_100", "co2e_20yr": "co2e_20"}
    return rows.rename(columns=columns).reindex(columns=["id", "file_row", *columns.values(), "ch4", "n2o"])


def _potentials(frame: pd.DataFrame, shown: dict[str, str], file: str, schema: int) -> list[Finding]:
    """Check CO2e against the gases: which set and horizon it follows, and whether that is the column's."""
    findings = []
    labels = ("co2e_100yr", "co2e_20yr") if schema == 0 else (shown["co2e_100"], shown["co2e_20"])
    less = frame["co2e_100"] < frame["emissions"] * (1 - 1e-6)
    swapped = frame["co2e_20"] < frame["co2e_100"] * (1 - 1e-6)
    for row in rows_of(frame[less | swapped]):
        message = "CO2e is below CO2" if row.co2e_100 < row.emissions else "CO2e over 20 years is below that over 100"
        remedy = "Check the columns: methane counts three times as much over 20 years"
        findings.append(Finding("error", "gwp", message, remedy, str(row.co2e_100), int(row.file_row), labels[0], file))
    if "ch4" not in frame and "n2o" not in frame:
        return findings
    lines = frame["file_row"].to_numpy(np.int64)
    gases = frame[["ch4", "n2o"]].fillna(0).to_numpy(np.float64)
    rows = np.flatnonzero((gases.sum(axis=1) > 0) & frame["emissions"].notna().to_numpy())
    fits = {
        (name, horizon, methane): frame["emissions"].to_numpy(np.float64)
        + gases @ np.array([gwp(methane, name, horizon), gwp("N2O", name, horizon)])
        for name in GWP_SETS
        for horizon in (100, 20)
        for methane in ("CH4", "CH4 fossil")
    }
    for column, horizon, label in (("co2e_100", 100, labels[0]), ("co2e_20", 20, labels[1])):
        given = frame[column].to_numpy(np.float64)
        for row in rows[np.isfinite(given[rows])]:
            near = [
                key
                for key, value in fits.items()
                if abs(value[row] - given[row]) <= 1e-3 * (value[row] - frame["emissions"].iat[row])
            ]
            if any(key[1] == horizon for key in near):
                continue
            follows = f"it follows {near[0][0]} over {near[0][1]} years" if near else "it follows no set of potentials"
            findings.append(
                Finding(
                    "error",
                    "gwp",
                    f"CO2e over {horizon} years does not fit its gases: {follows}",
                    "Compute it again with one set, and put each horizon into its column",
                    str(given[row]),
                    int(lines[row]),
                    label,
                    file,
                )
            )
    return findings
