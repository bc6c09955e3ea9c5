"""The three input tables of an inventory (assets, reported amounts, measured areas), checked as a whole."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from insar_mining.emissions.countries import country_fault, nearest_code
from insar_mining.emissions.findings import Finding, Severity, rows_of
from insar_mining.emissions.tabular import Table, checked, read_table, read_text_table
from insar_mining.emissions.units import scale
from insar_mining.errors import EmissionsError

QUANTITIES = ("ore", "concentrate", "metal", "emissions")
SAME_PLACE_KM = 5.0
MAX_ORE_T = 1e10  # all the copper ore of the world is 5e9 t a year, so that sums of countries may pass
MAX_AREA_M2 = 1e9
CELL_M2 = 400.0

OPERATIONS = ("open pit", "underground", "both", "")
STATUSES = ("production", "operating", "suspended", "closed", "proposed", "")


class AssetRow(BaseModel):
    """Hold columns of the table of assets."""

    asset_id: str = Field(min_length=1)
    name: str = ""
    iso3: str = Field(min_length=1)
    mineral: str = Field(min_length=1)
    operation_type: str = ""
    status: str = ""
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)
    organisation: str = ""
    region: str = ""
    capacity_t: float | None = Field(None, gt=0)
    grade: float | None = Field(None, gt=0)
    strip_ratio: float | None = Field(None, ge=0)


class ReportedRow(BaseModel):
    """Hold columns of the table of reported amounts."""

    asset_id: str = Field(min_length=1)
    year: float = Field(ge=1900, le=2100, multiple_of=1)
    quantity: str = Field(
        pattern=r"(?i)^(ore|concentrate|metal|emissions)$", description="ore, concentrate, metal or emissions"
    )
    value: float | None = Field(ge=0)
    unit: str = Field(min_length=1)
    source: str = ""
    sd: float | None = Field(None, ge=0)
    mining_share: float | None = Field(None, gt=0, le=1)


class ActivityRow(BaseModel):
    """Hold columns of the table of measured areas."""

    asset_id: str = Field(min_length=1)
    year: float = Field(ge=1900, le=2100, multiple_of=1)
    area_m2: float | None = Field(ge=0)
    area_low_m2: float | None = Field(None, ge=0)
    area_high_m2: float | None = Field(None, ge=0)
    duty: float | None = Field(None, ge=0, le=1)


@dataclass(frozen=True)
class Inputs:
    """Hold checked inputs of an inventory.

    Attributes
    ----------
    assets, reported, activity : Table
        Of `reported`, values are tonnes; of `activity`, square metres.
    """

    assets: Table
    reported: Table
    activity: Table

    @property
    def findings(self) -> list[Finding]:
        """All findings of the three tables, and those between them."""
        tables = (self.assets, self.reported, self.activity)
        return [*(f for table in tables for f in table.findings), *_between(*tables)]


def read_inputs(assets: Path | str, reported: Path | str | None = None, activity: Path | str | None = None) -> Inputs:
    """Read and check the inputs of an inventory; see `Inputs`."""
    return Inputs(
        read_assets(assets),
        read_reported(reported) if reported is not None else _nothing(ReportedRow, "value_t", "sd_t"),
        read_activity(activity) if activity is not None else _nothing(ActivityRow),
    )


def _nothing(model: type[BaseModel], *further: str) -> Table:
    columns = {
        name: pd.Series(dtype=float if "float" in str(f.annotation) else str) for name, f in model.model_fields.items()
    }
    columns |= {name: pd.Series(dtype=float) for name in further}
    return Table(pd.DataFrame(columns).assign(file_row=pd.Series(dtype=int)))


def read_assets(path: Path | str) -> Table:
    """Read the table of assets; minerals in lower case, as the columns of `AssetRow` say."""
    table = read_table(path, AssetRow)
    file = Path(table.path).name
    frame = table.frame
    frame["mineral"] = frame["mineral"].str.lower().str.strip().str.removesuffix(" ore")
    working = frame["status"].str.lower().str.strip() == "production"
    frame["status"] = frame["status"].where(~working, "Operating")  # one word of two editions
    findings = [*table.findings, *unknown_countries(frame, file)]
    for column, known in (("operation_type", OPERATIONS), ("status", STATUSES)):
        odd = frame[~frame[column].str.lower().str.strip().isin(known)]
        remedy = f"Write one of {', '.join(name for name in known if name)}, or leave it empty"
        findings += _each(odd, column, file, "warning", "unknown-word", "the word is not known", remedy)
    findings += _each(
        frame[frame["asset_id"].duplicated() & (frame["asset_id"] != "")],
        *("asset_id", file, "error", "duplicate", "the id stands twice", "Give every asset an id of its own"),
    )
    findings += same_assets(frame, file)
    usable = (frame["asset_id"] != "") & ~frame["asset_id"].duplicated()
    return replace(table, frame=frame[usable].reset_index(drop=True), findings=findings)


def unknown_countries(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Name the rows of a table whose code, in the column iso3, is of no country."""
    findings: list[Finding] = []
    for code in frame["iso3"].unique():
        if code and (fault := country_fault(code)):
            rows = frame[frame["iso3"] == code]
            findings += _each(rows, "iso3", file, "error", "unknown-country", fault, nearest_code(code))
    return findings


def _each(
    rows: pd.DataFrame, column: str, file: str, severity: Severity, code: str, message: str, remedy: str
) -> list[Finding]:
    """Return the same finding for every row."""
    return [
        Finding(severity, code, message, remedy, str(value), int(row), column, file)
        for value, row in zip(rows[column], rows["file_row"], strict=True)
    ]


def same_assets(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Name assets that are one: of one name and mineral, within 5 km or without a place."""
    plain = {name: _plain_name(name) for name in frame["name"].unique()}
    keys = pd.DataFrame({"name": frame["name"].map(plain), "mineral": frame["mineral"]})
    keys = keys[(keys["name"] != "") & keys.duplicated(keep=False)]
    findings = []
    for index in keys.groupby(["name", "mineral"], sort=False).groups.values():
        rows = frame.loc[index]
        for later in range(1, len(rows)):
            one = rows.iloc[later]
            km = _distances_km(rows.iloc[:later], float(one["lon"]), float(one["lat"]))
            if not np.isfinite(km).all() or (km <= SAME_PLACE_KM).any():
                near = int(np.nanargmin(np.where(np.isfinite(km), km, 0.0)))
                other, apart = rows.iloc[near], km[near]
                where = f"{apart:.1f} km apart" if np.isfinite(apart) else "without a place"
                if other["asset_id"] == one["asset_id"]:
                    continue
                twin = f"{other['asset_id']} in row {other['file_row']}"
                message = f"the asset is also {twin} ({where}, limit {SAME_PLACE_KM:g} km)"
                remedy = "Remove one, or give them different names"
                findings.append(
                    Finding("error", "duplicate", message, remedy, str(one["name"]), int(one["file_row"]), "name", file)
                )
    return findings


def _plain_name(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return re.sub(r"\b(mine|mina|pit|project)\b|[^\w]+", "", letters)


def _distances_km(rows: pd.DataFrame, lon: float, lat: float) -> npt.NDArray[np.float64]:
    """Compute great-circle distances."""
    lon1, lat1 = np.radians(rows["lon"].to_numpy(np.float64)), np.radians(rows["lat"].to_numpy(np.float64))
    lon2, lat2 = np.radians(lon), np.radians(lat)
    half = np.sin((lat1 - lat2) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon1 - lon2) / 2) ** 2
    return np.asarray(2 * 6371.0 * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def read_reported(path: Path | str) -> Table:
    """Read reported amounts; values and standard deviations become tonnes, whatever unit each row has."""
    table = read_table(path, ReportedRow)
    file = Path(table.path).name
    frame = table.frame
    findings = list(table.findings)
    frame["quantity"] = frame["quantity"].str.lower()
    scales = {}
    for unit in frame["unit"].unique():
        try:
            scales[unit] = scale(unit, "t") if unit else np.nan
        except EmissionsError as error:
            scales[unit] = np.nan
            message, _, remedy = str(error).removeprefix("unit: ").partition(". ")
            findings += _each(frame[frame["unit"] == unit], "unit", file, "error", "unit", message, remedy)
    factor = frame["unit"].map(scales).to_numpy(np.float64)
    frame["value_t"] = frame["value"].to_numpy(np.float64) * factor
    frame["sd_t"] = frame["sd"].to_numpy(np.float64) * factor
    findings += _each(
        frame[frame["source"] == ""],
        *("source", file, "warning", "no-source", "the value has no source", "Name the report it comes from"),
    )
    key = ["asset_id", "year", "quantity"]
    twice = frame.duplicated(key) & frame["value"].notna()
    findings += _each(
        frame[twice],
        *("value", file, "error", "duplicate", "the amount of this asset and year stands twice", "Keep one"),
    )
    large = frame[(frame["quantity"] != "emissions") & (frame["value_t"] > MAX_ORE_T)]
    message = f"more than the world's mines produce in a year (limit {MAX_ORE_T:g} t)"
    findings += _each(large, "value", file, "error", "unit-mix", message, "Check the unit: t, kt or Mt")
    findings += jumps(frame, "value_t", ["asset_id", "quantity"], "value", file)
    read = frame[np.isfinite(factor)]
    mixed = read[read["unit"] != read.groupby(["asset_id", "quantity"])["unit"].transform("first")]
    message = "another unit than in the series' first row; each value was converted by its own"
    findings += _each(mixed, "unit", file, "note", "unit-mix", message, "Check that the unit is that of the value")
    findings += _zeros(frame, file) + _gaps(frame[frame["quantity"] == "ore"], file)
    usable = (frame["asset_id"] != "") & frame["year"].notna() & frame["value_t"].notna() & ~twice
    usable &= frame["quantity"].isin(QUANTITIES)
    kept = frame[usable].reset_index(drop=True)
    return replace(table, frame=kept.astype({"year": "int64"}), findings=findings)


def jumps(frame: pd.DataFrame, value: str, key: Sequence[str], column: str, file: str) -> list[Finding]:
    """Name values a hundred times or more apart from the others of their series: one of Mt beside t, most often."""
    positive = frame[frame[value] > 0]
    logs = np.log(positive[value])
    middle = np.exp(logs.groupby([positive[name] for name in key]).transform("median"))
    counts = logs.groupby([positive[name] for name in key]).transform("size")
    ratio = positive[value] / middle
    odd = positive[(counts >= 3) & ((ratio >= 100) | (ratio <= 0.01))]
    pair = positive[(counts == 2) & (ratio**2 >= 100)]
    findings = []
    for index, row in pd.concat([odd, pair]).iterrows():
        times = float(ratio[index]) if index in odd.index else float(ratio[index]) ** 2
        unit = "; a factor of 1,000 or a million is Mt or kt beside t" if times > 300 or times < 1 / 300 else ""
        message = f"{times:.3g} times the other years of {row[key[0]]}{unit}"
        remedy = "Check the unit of this row"
        findings.append(
            Finding("error", "unit-mix", message, remedy, str(row[column]), int(row["file_row"]), column, file)
        )
    return findings


def _zeros(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Name a 0 of ore or emissions in a year in which there is the other."""
    findings = []
    for zero, other, code in (("emissions", "ore", "zero-emissions"), ("ore", "emissions", "null-as-zero")):
        some = frame[(frame["quantity"] == other) & (frame["value_t"] > 0)][["asset_id", "year", "value_t"]]
        none = frame[(frame["quantity"] == zero) & (frame["value_t"] == 0)]
        for row in rows_of(none.merge(some, on=["asset_id", "year"], suffixes=("", "_other"))):
            message = f"{zero} of 0 beside {row.value_t_other:,.0f} t of {other}"
            remedy = "Leave the value empty if it is not known: 0 means truly none"
            findings.append(Finding("error", code, message, remedy, "0", int(row.file_row), "value", file))
    return findings


def _gaps(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Name years that a series leaves out."""
    frame = frame.dropna(subset=["year", "value"]).sort_values(["asset_id", "year"], kind="stable")
    step = frame.groupby("asset_id")["year"].diff()
    findings = []
    for row, gap in zip(rows_of(frame[step > 1]), step[step > 1], strict=True):
        first, last = int(row.year - gap + 1), int(row.year - 1)
        years = str(first) if first == last else f"{first} to {last}"
        findings.append(
            Finding(
                "warning",
                "year-gap",
                f"no ore of {row.asset_id} in {years}",
                "Report the years, or they are estimated from area or an earlier year",
                str(int(row.year)),
                int(row.file_row),
                "year",
                file,
            )
        )
    return findings


def read_activity(path: Path | str) -> Table:
    """Read measured areas; a result's ``activity.csv`` is taken with its mine_id as asset_id."""
    raw = read_text_table(path)
    if "asset_id" not in raw.frame.columns and "mine_id" in raw.frame.columns:
        raw = replace(raw, frame=raw.frame.rename(columns={"mine_id": "asset_id"}))
    table = checked(raw, ActivityRow)
    file = Path(table.path).name
    frame = table.frame
    findings = list(table.findings)
    twice = frame.duplicated(["asset_id", "year"])
    message = "the area of this asset and year stands twice"
    findings += _each(frame[twice], "area_m2", file, "error", "duplicate", message, "Keep one, of one method")
    odd = frame[(frame["area_m2"] > MAX_AREA_M2) | ((frame["area_m2"] > 0) & (frame["area_m2"] < CELL_M2))]
    message = f"no active area of a mine (limits {CELL_M2:g} and {MAX_AREA_M2:g} m2)"
    findings += _each(odd, "area_m2", file, "warning", "unit-mix", message, "Check the unit: square metres")
    swapped = frame[frame["area_low_m2"] > frame["area_high_m2"]]
    message = "the lower bound is above the upper"
    findings += _each(swapped, "area_low_m2", file, "error", "out-of-range", message, "Swap them")
    usable = (frame["asset_id"] != "") & frame["year"].notna() & frame["area_m2"].notna() & ~twice
    kept = frame[usable].reset_index(drop=True)
    return replace(table, frame=kept.astype({"year": "int64"}), findings=findings)


def _between(assets: Table, reported: Table, activity: Table) -> list[Finding]:
    """Find what only several tables together show."""
    known = set(assets.frame["asset_id"])
    organisations = set(assets.frame["organisation"]) - {""}
    findings = []
    for table in (reported, activity):
        frame, file = table.frame, Path(table.path).name
        stray = frame[~frame["asset_id"].isin(known | organisations)].drop_duplicates("asset_id")
        message = "no asset, and no organisation of one, has this id"
        findings += _each(stray, "asset_id", file, "warning", "unknown-asset", message, "Add it to the table of assets")
    return findings + _capacity(assets, reported)


def _capacity(assets: Table, reported: Table) -> list[Finding]:
    """Name ore beyond an asset's capacity."""
    ore = reported.frame[reported.frame["quantity"] == "ore"]
    both = ore.merge(assets.frame[["asset_id", "capacity_t"]], on="asset_id")
    over = both[both["value_t"] > both["capacity_t"]]
    return [
        Finding(
            "error",
            "capacity-factor",
            f"ore is {row.value_t / row.capacity_t:.2f} times the capacity of {row.capacity_t:,.0f} t (limit 1)",
            "Check the unit of the ore and the capacity",
            str(row.value),
            int(row.file_row),
            "value",
            Path(reported.path).name,
        )
        for row in rows_of(over)
    ]
