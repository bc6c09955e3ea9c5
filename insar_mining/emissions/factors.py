"""Factors: tables of versions with sources, read, checked, compared, and looked up from the nearest level."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, Field

from insar_mining.emissions.countries import country_fault, country_table, nearest_code
from insar_mining.emissions.findings import Finding, rows_of
from insar_mining.emissions.gwp import GASES, GWP_SETS
from insar_mining.emissions.tabular import Table, read_table, shipped
from insar_mining.emissions.units import scale
from insar_mining.errors import EmissionsError

LEVELS = ("asset", "organisation", "country", "region", "world")
LEVEL_CONFIDENCE = {
    "asset": "high",
    "organisation": "medium",
    "country": "low",
    "region": "very low",
    "world": "very low",
}
# at one level the user's own rows come first, then what reports give, then the package's
ORIGINS = ("user", "reported", "shipped")
WORLD = ("", "world", "global")
OF_ORE = "t/t"
GAS_ORE = "ORE"  # of factors that turn a product into ore

DAY = r"^(\d{4}(\.0|-\d{2}-\d{2})?)?$"
_STATE = re.compile(r"[A-Z]{3}-[A-Z0-9]{2,4}")


class FactorRow(BaseModel):
    """Hold columns of a table of factors."""

    factor_id: str = ""
    activity: str = Field(min_length=1)
    gas: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    value: float = Field(ge=0)
    sd: float | None = Field(None, ge=0)
    region: str = ""
    organisation: str = ""
    asset: str = ""
    valid_from: str = Field("", pattern=DAY, description="a year (2025) or a date (2025-07-01)")
    valid_to: str = Field("", pattern=DAY, description="a year (2025) or a date (2025-07-01)")
    edition: str = ""
    source: str = ""
    licence: str = ""
    gwp: str = ""


KEY = ["activity", "gas", "region", "organisation", "asset"]
# of every factor that can be looked up
COLUMNS = [*FactorRow.model_fields, "level", "key", "origin", "carried", "n", "first", "last"]


def read_factors(path: Path | str) -> Table:
    """Read a user's table of factors and check it.

    Parameters
    ----------
    path : path
        Columns activity, gas, unit, value, and where known sd, region, organisation, asset, valid_from, valid_to
        (years or dates), edition, source, licence, gwp (of CO2e), factor_id. ``region`` holds an ISO 3166 code, one
        with a state (AUS-QLD), a region's name, or world.

    Returns
    -------
    Table
        With level, key, origin and dates of validity beside the columns; every fault is a finding.
    """
    table = read_table(path, FactorRow)
    file = Path(table.path).name
    frame = table.frame
    unnamed = frame["factor_id"] == ""
    frame["factor_id"] = frame["factor_id"].where(~unnamed, [f"{Path(file).stem}:{row}" for row in frame["file_row"]])
    frame = prepared(frame, "user")
    findings = [*table.findings, *_row_findings(frame, file), *_tie_findings(frame, file), *_unit_jumps(frame, file)]
    return replace(table, frame=frame, findings=findings)


def shipped_factors() -> pd.DataFrame:
    """Return the factors of this package, each with its source and licence."""
    return prepared(shipped("factors"), "shipped")


def prepared(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Return factors with their level and key, their origin and the first and last day they are valid (yyyymmdd)."""
    frame = frame.copy()
    frame["activity"] = frame["activity"].map(activity_key)
    frame["gas"] = frame["gas"].str.upper().str.replace("₂", "2")
    region = frame["region"].str.strip()
    is_country = region.isin(country_table().index) | region.str.fullmatch(_STATE)
    levels = [frame["asset"] != "", frame["organisation"] != "", is_country, ~region.str.lower().isin(WORLD)]
    frame["level"] = np.select(levels, LEVELS[:4], "world")
    keys = [frame["asset"], frame["organisation"].str.casefold(), region, region.str.casefold()]
    frame["key"] = np.select(levels, keys, "")
    frame["origin"] = origin
    frame["carried"] = frame.get("carried", False)
    frame["n"] = frame.get("n", np.nan)
    frame["first"] = _day(frame["valid_from"], "0101", 0)
    frame["last"] = _day(frame["valid_to"], "1231", 99_999_999)
    return frame


def activity_key(text: str) -> str:
    """Return an activity as factors are looked up by.

    Examples
    --------
    >>> activity_key("Copper ore extracted"), activity_key(" Iron  Ore ")
    ('copper ore', 'iron ore')
    """
    return " ".join(text.lower().removesuffix("extracted").split())


def _day(texts: pd.Series[str], of_year: str, unknown: int) -> npt.NDArray[np.int64]:
    digits = texts.astype(str).str.removesuffix(".0").str.replace("-", "", regex=False)
    whole = digits.where(digits.str.len() != 4, digits + of_year)
    number = pd.to_numeric(whole, errors="coerce")
    return number.where(number.abs() < 1e9).fillna(unknown).to_numpy(np.int64)


def _row_findings(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Check the rows of a table of factors one by one."""
    findings: list[Finding] = []
    for row in rows_of(frame):
        faults = [
            ("error", "no-source", "source", row.source, "the factor has no source", "Name where it comes from")
            if not row.source
            else None,
            ("warning", "no-edition", "edition", "", "the factor has no edition", "Name the edition, such as 2025")
            if not row.edition
            else None,
            ("error", "validity", "valid_to", row.valid_to, "valid_to is before valid_from", "Swap them")
            if row.first > row.last
            else None,
            ("warning", "spread", "sd", row.sd, "the standard deviation exceeds the value", "Check both units")
            if row.sd > row.value
            else None,
            ("error", "gas", "gas", row.gas, "unknown gas", f"Write one of {', '.join(GASES)}, or ore")
            if row.gas not in (*GASES, "CO2E", GAS_ORE)
            else None,
            _gwp_fault(row.gas, row.gwp),
            _region_fault(str(row.region), str(row.activity)),
            _unit_fault(str(row.unit)),
        ]
        findings += [
            Finding(severity, code, message, remedy, str(value), int(row.file_row), column, file)  # type: ignore[arg-type]
            for severity, code, column, value, message, remedy in filter(None, faults)
        ]
    return findings


Fault = tuple[str, str, str, object, str, str]


def _gwp_fault(gas: str, gwp: str) -> Fault | None:
    known = ", ".join(GWP_SETS)
    if gas == "CO2E" and gwp not in GWP_SETS:
        return (
            "error",
            "gwp",
            "gwp",
            gwp,
            "a factor in CO2e does not say its set of warming potentials",
            f"Write {known}",
        )
    if gas != "CO2E" and gwp:
        return "warning", "gwp", "gwp", gwp, "a factor of one gas needs no set of warming potentials", "Leave it empty"
    return None


def _region_fault(region: str, activity: str) -> Fault | None:
    if activity == "electricity" and region == "AUS":
        message = "a national electricity factor is not used for Australia"
        return "error", "national-electricity", "region", region, message, "Give one per state or grid, such as AUS-QLD"
    if re.fullmatch(r"[A-Z]{2,3}(-.*)?", region) and (fault := country_fault(region[:3].rstrip("-"))):
        return "error", "unknown-country", "region", region, fault, nearest_code(region)
    return None


def _unit_fault(unit: str) -> Fault | None:
    try:
        for side in unit.replace("(", "").replace(")", "").split("/"):
            scale(side, side)
    except EmissionsError as error:
        message, _, remedy = str(error).removeprefix("unit: ").partition(". ")
        return "error", "unit", "unit", unit, message, remedy
    return None


def _tie_findings(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Name factors that a look-up could not choose between: of one key, with overlapping validity."""
    findings = []
    ordered = frame.sort_values([*KEY, "first"], kind="stable")
    for _, rows in ordered.groupby(KEY, sort=False):
        last = rows["last"].cummax().shift().to_numpy()
        for index in np.flatnonzero(rows["first"].to_numpy()[1:] <= last[1:]) + 1:
            one, other = rows.iloc[index - 1], rows.iloc[index]
            same = one[["value", "unit", "edition"]].equals(other[["value", "unit", "edition"]])
            findings.append(
                Finding(
                    "error",
                    "duplicate" if same else "tie",
                    f"factors {one.factor_id} and {other.factor_id} are valid at the same time for the same thing",
                    "Remove one" if same else "Limit their validity, or keep one edition in a file",
                    f"{one.value} and {other.value}",
                    int(other.file_row),
                    "activity",
                    file,
                )
            )
    return findings


def _unit_jumps(frame: pd.DataFrame, file: str) -> list[Finding]:
    """Name factors a hundred times or more apart from the others of their kind: kg taken for t, most often."""
    findings = []
    for _, rows in frame.groupby(["activity", "gas", "unit"], sort=False):
        if rows["value"].isna().all():
            continue  # named by themselves
        middle = rows["value"].median()
        odd = (rows["value"] > 100 * middle) | (rows["value"] < middle / 100)
        for row in rows_of(rows[odd] if len(rows) >= 3 else rows[:0]):
            message = f"the value is {row.value / middle:.3g} times the median of its kind"
            findings.append(
                Finding(
                    "warning", "unit-mix", message, "Check its unit", str(row.value), int(row.file_row), "value", file
                )
            )
    return findings


def factors_of(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of prepared factors to one that can be looked up."""
    kept = [table.reindex(columns=COLUMNS) for table in tables if len(table)]
    frame = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=COLUMNS)
    twice = frame["factor_id"][frame["factor_id"].duplicated()]
    if len(twice):
        raise EmissionsError(f"factors: id {twice.iloc[0]!r} stands twice. Give every factor an id of its own")
    return frame


def look_up(keys: pd.DataFrame, factors: pd.DataFrame, activities: Sequence[pd.Series[str]], gas: str) -> pd.DataFrame:
    """Find the nearest factor of every row: by asset, organisation, country, region, world.

    Parameters
    ----------
    keys : DataFrame
        Columns asset, organisation, country, region and day (yyyymmdd on which the factor is to be valid).
    factors : DataFrame
        Of `factors_of`.
    activities : sequence of Series of str
        The activity of every row, from the most to the least specific (copper ore, ore).
    gas : str

    Returns
    -------
    DataFrame
        Same index; for every level the number of the row of `factors` (-1: none), and ``chosen`` of the nearest.

    Raises
    ------
    EmissionsError
        Two factors are equally near; both are named.
    """
    index = _by_key(factors[factors["gas"] == gas.upper()])
    words = [pd.factorize(column) for column in activities]
    day = asked = keys["day"].to_numpy(np.int64)
    for codes, different in words:
        asked = asked * len(different) + codes
    asked = pd.factorize(asked)[0]
    found: dict[str, npt.NDArray[np.int64]] = {}
    ties: list[dict[int, int]] = []
    for level in LEVELS:
        of_level = index.get(level, {})
        names = _folded(keys[level], level) if level != "world" else pd.Series("", keys.index)
        codes, different = pd.factorize(names)
        rows = np.flatnonzero(np.array([name in of_level for name in different], bool)[codes])
        # many rows ask for the same
        both = codes[rows] * np.int64(len(keys)) + asked[rows]
        _, first, same = np.unique(both, return_index=True, return_inverse=True)
        nearest = [
            _nearest(of_level[different[codes[row]]], [texts[numbers[row]] for numbers, texts in words], int(day[row]))
            for row in rows[first].tolist()
        ]
        numbers, others = np.full(len(keys), -1), np.full(len(keys), -1)
        numbers[rows], others[rows] = np.array(nearest, np.int64).reshape(-1, 2)[same].T
        found[level] = numbers
        ties.append({int(row): int(others[row]) for row in np.flatnonzero(others >= 0)})
    table = pd.DataFrame(found, index=keys.index).assign(chosen=-1)
    for level in reversed(LEVELS):
        table["chosen"] = table["chosen"].where(table[level] < 0, table[level])
    _refuse_ties(table, ties, keys, factors)
    return table


Candidates = dict[str, list[tuple[tuple[bool, int], int, int, int]]]


def _by_key(factors: pd.DataFrame) -> dict[str, dict[str, Candidates]]:
    """Return by level, key and activity: rank (the nearest is lowest), first and last day, number of the row."""
    index: dict[str, dict[str, Candidates]] = {}
    columns = ["level", "key", "activity", "carried", "origin", "first", "last"]
    for number, row in zip(factors.index, factors[columns].itertuples(index=False, name=None), strict=True):
        level, key, activity, carried, origin, first, last = row
        candidate = ((bool(carried), ORIGINS.index(origin)), first, last, number)
        index.setdefault(level, {}).setdefault(key, {}).setdefault(activity, []).append(candidate)
    return index


def _folded(column: pd.Series[str], level: str) -> pd.Series[str]:
    return column if level in ("asset", "country") else column.str.casefold()


def _nearest(candidates: Candidates, activities: Sequence[str], day: int) -> tuple[int, int]:
    """Return the numbers of the nearest factor and of another one as near, -1 where there is none."""
    valid = [
        ((*rank, order), number)
        for order, activity in enumerate(activities)
        for rank, first, last, number in candidates.get(activity, ())
        if first <= day <= last
    ]
    if not valid:
        return -1, -1
    best, chosen = min(valid)
    other = [number for rank, number in valid if rank == best and number != chosen]
    return chosen, other[0] if other else -1


def _refuse_ties(found: pd.DataFrame, ties: list[dict[int, int]], keys: pd.DataFrame, factors: pd.DataFrame) -> None:
    """Refuse a tie that is not decided by a nearer level."""
    chosen = found["chosen"].tolist()
    names = factors["factor_id"]
    for level, tied in zip(LEVELS, ties, strict=True):
        numbers = found[level].tolist()
        for row, other in tied.items():
            if numbers[row] == chosen[row]:
                asked: Any = keys.iloc[row]
                raise EmissionsError(
                    f"factors: {names[chosen[row]]} and {names[other]} are equally near for "
                    f"{asked.asset or 'the query'} on {asked.day}. Limit their validity, or remove one"
                )


def find_factor(
    factors: pd.DataFrame,
    activity: str,
    gas: str,
    *,
    asset: str = "",
    organisation: str = "",
    country: str = "",
    region: str = "",
    date: str = "",
) -> pd.DataFrame:
    """Return the nearest factor of one activity and those of the farther levels, nearest first.

    Raises
    ------
    EmissionsError
        There is none, or two are equally near.
    """
    day = int(_day(pd.Series([date]), "0701", 0)[0]) if date else 99_999_998
    keys = pd.DataFrame(
        {"asset": [asset], "organisation": [organisation], "country": [country], "region": [region], "day": [day]}
    )
    key = activity_key(activity)
    activities = [pd.Series([key]), *([pd.Series(["ore"])] if key.endswith(" ore") else [])]
    found = look_up(keys, factors, activities, gas).iloc[0]
    numbers = [int(found[level]) for level in LEVELS if found[level] >= 0]
    if not numbers:
        raise EmissionsError(
            f"factors: none for {activity!r} and {gas} in {country or region or 'the world'}"
            f"{f' on {date}' if date else ''}. Give a table with one (--factors)"
        )
    shown = ["factor_id", "level", "value", "unit", "sd", "n", "edition", "valid_from", "valid_to", "source", "licence"]
    return factors.loc[numbers, shown].reset_index(drop=True)


def in_unit(frame: pd.DataFrame, unit: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the values and standard deviations of factors in one unit, unrounded."""
    scales = frame["unit"].map({name: scale(name, unit) for name in frame["unit"].unique()}).to_numpy(np.float64)
    return frame["value"].to_numpy(np.float64) * scales, frame["sd"].to_numpy(np.float64) * scales


def diff_factors(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Compare two tables of factors.

    Returns
    -------
    DataFrame
        One row per factor that is new, gone or changed: its key and validity, change, both values, units and
        editions, and the relative change in per cent where the units are of one kind.
    """
    key = [*KEY, "valid_from", "valid_to"]
    columns = [*key, "value", "unit", "edition"]
    both = before[columns].merge(after[columns], on=key, how="outer", suffixes=("_a", "_b"), indicator=True)
    both["change"] = both["_merge"].astype(str).map({"left_only": "gone", "right_only": "new", "both": "changed"})
    both["per_cent"] = [_per_cent(row) for row in rows_of(both)]
    same = (both["value_a"] == both["value_b"]) & (both["unit_a"] == both["unit_b"])
    same &= both["edition_a"] == both["edition_b"]
    shown = [*key, "change", "value_a", "unit_a", "value_b", "unit_b", "per_cent", "edition_a", "edition_b"]
    return both.loc[~same, shown].reset_index(drop=True)


def _per_cent(row: Any) -> float:
    try:
        factor = scale(str(row.unit_b), str(row.unit_a))
        return float(100 * (row.value_b * factor / row.value_a - 1))
    except (EmissionsError, ZeroDivisionError):
        return float("nan")
