"""An inventory from files to a folder of tables, and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, Field

from insar_mining import __version__
from insar_mining.doors import guarded, parse_yaml
from insar_mining.emissions.climate_trace import export
from insar_mining.emissions.estimate import Estimate, estimate
from insar_mining.emissions.factors import read_factors
from insar_mining.emissions.findings import Finding, findings_table, has_error
from insar_mining.emissions.history import record
from insar_mining.emissions.inputs import Inputs, read_inputs, unknown_countries
from insar_mining.emissions.inventory import beside_national, inventory_tables, totals
from insar_mining.emissions.regression import project
from insar_mining.emissions.tabular import file_record, read_back, read_table, write_table
from insar_mining.errors import EmissionsError
from insar_mining.files import sha256, write_text
from insar_mining.report.inventory import write_inventory_report
from insar_mining.report.words import plain

FILES = ("assets", "alternatives", "factors", "countries", "minerals", "world", "findings")


@dataclass(frozen=True)
class Inventory:
    """Hold an inventory and its inputs.

    Attributes
    ----------
    inputs : Inputs
    estimate : Estimate, optional
        None where the inputs hold an error.
    tables : dict of DataFrame
        By name, see `FILES`.
    findings : list of Finding
    record : dict
        What ``inventory.yaml`` says.
    """

    inputs: Inputs
    estimate: Estimate | None
    tables: dict[str, pd.DataFrame]
    findings: list[Finding]
    record: dict[str, Any]


def make_inventory(
    assets: Path | str,
    reported: Path | str | None = None,
    activity: Path | str | None = None,
    factors: Sequence[Path | str] = (),
    *,
    gwp_set: str = "AR6",
    ore: str = "auto",
) -> Inventory:
    """Estimate an inventory from its files.

    Parameters
    ----------
    assets, reported, activity : path
        See `read_assets`, `read_reported`, `read_activity`.
    factors : sequence of path
        Tables of factors, see `read_factors`.
    gwp_set : {"AR4", "AR5", "AR6"}
    ore : {"auto", "rate", "model"}
        Ore from measured area, see `ore_of`.

    Returns
    -------
    Inventory
        Without an estimate where a finding of the inputs is an error.

    Raises
    ------
    EmissionsError
        A file cannot be read, there is nothing to estimate, or two factors are equally near.
    """
    inputs = read_inputs(assets, reported, activity)
    tables = [read_factors(path) for path in factors]
    findings = [*inputs.findings, *(finding for table in tables for finding in table.findings)]
    files = file_record([inputs.assets, inputs.reported, inputs.activity, *tables])
    record: dict[str, Any] = {"insar_mining": __version__, "gwp": gwp_set, "ore": ore, "inputs": files}
    if has_error(findings):
        return Inventory(inputs, None, {"findings": findings_table(findings)}, findings, record)
    edition = _edition(reported)
    made = estimate(inputs, [table.frame for table in tables], gwp_set=gwp_set, ore=ore, edition=edition)
    findings += made.findings
    result = {"assets": made.assets, "alternatives": made.alternatives, "factors": _shown(made.factors)}
    result |= inventory_tables(made.assets) | {"findings": findings_table(findings)}
    return Inventory(inputs, made, result, findings, record | _record(made, findings))


def _edition(reported: Path | str | None) -> str:
    return f"reports {sha256(reported)[:8]}" if reported is not None else ""


def _shown(factors: pd.DataFrame) -> pd.DataFrame:
    return factors.drop(columns=["first", "last"]).reset_index(drop=True)


def _record(made: Estimate, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what an inventory rests on: years, methods by year, model, editions, counts of findings."""
    assets = made.assets
    sources: dict[int, dict[str, int]] = {}
    counts: Any = assets.groupby(["year", "activity_source"]).size()
    for (year, source), count in counts.items():
        sources.setdefault(int(year), {})[source or "not modelled"] = int(count)
    model: dict[str, Any] = {"fitted": made.model is not None}
    if made.model is None:
        model["reason"] = made.no_model
    else:
        effects = dict(zip(made.model.names, made.model.beta.tolist(), strict=True))
        model |= {"effects": effects, "tau2": made.model.tau2, "sigma2": made.model.sigma2, "years": made.model.n}
    severities = [finding.severity for finding in findings]
    return {
        "years": [int(assets["year"].min()), int(assets["year"].max())],
        "assets": int(assets["asset_id"].nunique()),
        "ore_model": model,
        "activity_sources": sources,
        "factor_editions": sorted(set(made.factors["edition"].astype(str)) - {""}),
        "findings": {name: severities.count(name) for name in ("error", "warning", "note")},
    }


def write_inventory(inventory: Inventory, folder: Path | str) -> list[Path]:
    """Write the tables of an inventory, its record and its report into a folder, and return their paths.

    Of faulty inputs only ``findings.csv`` and ``inventory.yaml`` are written.
    """
    folder = Path(folder)
    written = [write_table(folder / f"{name}.csv", table) for name, table in inventory.tables.items()]
    record = inventory.record | {"tables": {path.name: sha256(path) for path in written}}
    written.append(write_text(folder / "inventory.yaml", yaml.safe_dump(plain(record), sort_keys=False)))
    if inventory.estimate is not None:
        written.append(write_inventory_report(folder / "report.html", inventory.tables, inventory.estimate.model))
    return written


def read_inventory(folder: Path | str) -> dict[str, pd.DataFrame]:
    """Read the tables of an inventory.

    Raises
    ------
    EmissionsError
        The folder holds none.
    """
    folder = Path(folder)
    if not (folder / "assets.csv").exists():
        raise EmissionsError(f"{folder}: no assets.csv. Give the folder of an inventory (inventory estimate -o)")
    return {name: read_back(folder / f"{name}.csv") for name in FILES if (folder / f"{name}.csv").exists()}


def _yaml_of(folder: Path) -> dict[str, Any]:
    path = folder / "inventory.yaml"
    if not path.exists():
        return {}
    with guarded(EmissionsError, path, "Make the inventory again."):
        return dict(parse_yaml(path.read_text(encoding="utf-8")))


def export_inventory(folder: Path | str, schema: str, out: Path | str) -> list[Path]:
    """Write an inventory as files of Climate TRACE; see `export`."""
    folder = Path(folder)
    gwp_set = str(_yaml_of(folder).get("gwp", ""))
    return export(read_inventory(folder)["assets"], out, schema, gwp_set=gwp_set, date=dt.date.today().isoformat())


def record_inventory(database: Path | str, folder: Path | str, reason: str = "") -> pd.DataFrame:
    """Add ore and emissions of an inventory's assets to a database; see `record`."""
    folder = Path(folder)
    assets = read_inventory(folder)["assets"]
    parts = [
        assets[["asset_id", "year", column]]
        .rename(columns={"asset_id": "mine", column: "value"})
        .assign(quantity=name, unit="t")
        for name, column in (("ore", "activity_t"), ("co2", "co2_t"))
    ]
    return record(database, pd.concat(parts), source=f"inventory {sha256(folder / 'assets.csv')[:12]}", reason=reason)


class NationalRow(BaseModel):
    """Hold columns of a table of national figures."""

    iso3: str = Field(min_length=1)
    year: float = Field(ge=1900, le=2100, multiple_of=1)
    activity_t: float | None = Field(ge=0)
    co2_t: float | None = Field(None, ge=0)
    factor_t_t: float | None = Field(None, ge=0)
    n_assets: float | None = Field(None, ge=0)


def compare_countries(
    assets: Path | str, national: Path | str, year: int | None = None
) -> tuple[pd.DataFrame, list[Finding]]:
    """Put the sums of an inventory's assets beside national figures; see `beside_national`.

    Parameters
    ----------
    assets : path
        An inventory's assets.csv.
    national : path
        iso3, year, activity_t and, if known, co2_t, factor_t_t, n_assets.
    year : int, optional
        Carry the national series on to this year, from 2010 by linear regression with its 90 % interval.

    Returns
    -------
    table : DataFrame
    findings : list of Finding
    """
    own = read_back(assets)
    missing = {"asset_id", "iso3", "year", "activity_t", "co2_t"} - set(own.columns)
    if missing:
        raise EmissionsError(f"{assets}: without {', '.join(sorted(missing))}. Give assets.csv of an inventory")
    needed = ["factor_id", "activity_id", "own_error", "activity_error", "factor_error", "co2_sd_t"]
    own = own.reindex(columns=[*own.columns, *(n for n in (*needed, "co2e_100_t", "co2e_20_t") if n not in own)])
    figures = read_table(national, NationalRow)
    frame = figures.frame.dropna(subset=["year"]).astype({"year": "int64"})
    frame = frame[list(NationalRow.model_fields)]
    if year is not None:
        frame = projected(frame, year)
    table, findings = beside_national(totals(own, ["iso3", "year"]), frame, Path(national).name)
    if year is not None:
        bounds = frame[["iso3", "year", "activity_low_t", "activity_high_t"]].add_prefix("national_")
        bounds = bounds.rename(columns={"national_iso3": "iso3", "national_year": "year"})
        table = table.merge(bounds, how="left", on=["iso3", "year"])
    return table, [*figures.findings, *unknown_countries(figures.frame, Path(national).name), *findings]


def projected(national: pd.DataFrame, year: int) -> pd.DataFrame:
    """Add the national activity of a year, where it is not given, with its bounds; a country of few years has none."""
    lines = []
    for iso3, rows in national.groupby("iso3"):
        if (rows["year"] == year).any() or rows.loc[rows["year"] >= 2010, "activity_t"].notna().sum() < 3:
            continue
        value, low, high = project(rows["year"].to_numpy(float), rows["activity_t"].to_numpy(float), year)
        lines.append({"iso3": iso3, "year": year, "activity_t": value, "activity_low_t": low, "activity_high_t": high})
    empty = national.assign(activity_low_t=float("nan"), activity_high_t=float("nan"))
    return pd.concat([empty, pd.DataFrame(lines)], ignore_index=True) if lines else empty
