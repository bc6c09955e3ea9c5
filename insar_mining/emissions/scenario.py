"""Measures that change a pit's account, their wedges to a target year, and whether targets are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from insar_mining.emissions.pit import MineAccount, Model, Process, Share, Tonnes, parsed
from insar_mining.emissions.process import account, total
from insar_mining.emissions.units import amount
from insar_mining.errors import EmissionsError

ORE_PROCESSES = ("crushing", "processing", "tailings")


class Measure(Model):
    """Apply from the first year on, in full from the last (base of measures)."""

    name: str
    first: int
    last: int


class Electrify(Measure):
    """Replace a process's diesel by electricity."""

    kind: Literal["electrify"]
    process: Process
    share: Share
    kwh_per_litre: float = Field(gt=0)


class Belt(Measure):
    """Move material by belt instead of trucks; the belt needs its own length of the trucks' way."""

    kind: Literal["belt"]
    share: Share
    use: str = "0.13 kWh/(t km)"
    way: Annotated[float, Field(gt=0)] = 1.0


class InPitCrushing(Measure):
    """Crush in the pit: trucks go a shorter way, the crusher uses more electricity."""

    kind: Literal["in-pit crushing"]
    share: Share
    added: str = "0 kWh"


class Renewables(Measure):
    """Replace a share of all electricity."""

    kind: Literal["renewables"]
    share: Share
    factor: str = "0 kg/kWh"


class Replace(Measure):
    """Lower a process by a share (backfill, geothermal heat, ...), and add what its substitute emits."""

    kind: Literal["replace"]
    process: Process
    share: Share
    added: Tonnes = 0.0


class CutOff(Measure):
    """Process only ore above the cut-off grade that a carbon price gives, on a grade-tonnage curve."""

    kind: Literal["cut-off"]
    grades: tuple[Share, ...]
    tonnes: tuple[Tonnes, ...]
    price: float = Field(gt=0)
    recovery: Share
    cost: float = Field(ge=0)
    carbon_price: float = Field(ge=0)
    factor: str


class Carbonation(Measure):
    """Bind CO2 in tailings."""

    kind: Literal["carbonation"]
    tailings: Tonnes
    capacity: str
    conversion: Share


AnyMeasure = Annotated[
    Electrify | Belt | InPitCrushing | Renewables | Replace | CutOff | Carbonation, Field(discriminator="kind")
]


class Target(Model):
    """Hold a cut against a base year, to be reached in a year."""

    name: str
    base_year: int
    base: float = Field(gt=0)
    target_year: int
    cut: Share
    year: int | None = None
    value: float | None = Field(None, ge=0)


class Scenario(Model):
    """Hold measures in the order in which they are applied, and targets."""

    first: int
    last: int
    growth: float = 0.0
    measures: tuple[AnyMeasure, ...] = ()
    targets: tuple[Target, ...] = ()


def read_scenario(path: Path | str) -> Scenario:
    """Read measures and targets from a YAML file."""
    return parsed(path, Scenario)


def cut_off_grade(
    cost: float, price: float, recovery: float, carbon_price: float = 0.0, factor_t_t: float = 0.0
) -> float:
    """Return the grade at which a tonne of ore pays its processing and its carbon.

    (cost + carbon price x emissions per t of ore) / (price of the metal x recovery), Lane 1988's break-even.

    Examples
    --------
    >>> round(cut_off_grade(10, 8000, 0.85), 6), round(cut_off_grade(10, 8000, 0.85, 100, 0.02), 6)
    (0.001471, 0.001765)
    """
    return (cost + carbon_price * factor_t_t) / (price * recovery)


def pathway(mine: MineAccount, scenario: Scenario) -> pd.DataFrame:
    """Return the emissions of every year with the wedge of each measure.

    Parameters
    ----------
    mine : MineAccount
    scenario : Scenario
        Measures act one after another on what the earlier ones left, so that wedges sum to the whole cut.

    Returns
    -------
    DataFrame
        year, baseline_t (Scope 1 and 2), one column per measure (the cut, t), emissions_t.
    """
    names = [measure.name for measure in scenario.measures]
    if len(set(names)) < len(names) or scenario.last < scenario.first:
        raise EmissionsError("scenario: two measures of one name, or last before first. Correct the file")
    rows = account(mine)
    lines = []
    for year in range(scenario.first, scenario.last + 1):
        size = (1 + scenario.growth) ** (year - scenario.first)
        now = rows.assign(co2e_t=rows["co2e_t"] * size, amount=rows["amount"] * size)
        line: dict[str, float] = {"year": year, "baseline_t": total(now, avoided=True)}
        for measure in scenario.measures:
            before = total(now, avoided=True)
            now = apply(measure, now, mine, ramp(measure, year), size)
            line[measure.name] = before - total(now, avoided=True)
        lines.append({**line, "emissions_t": total(now, avoided=True)})
    return pd.DataFrame(lines)


def ramp(measure: Measure, year: int) -> float:
    """Return how far a measure is in force: 0 before its first year, 1 from its last, linear between."""
    if year < measure.first:
        return 0.0
    if year >= measure.last:
        return 1.0
    return (year - measure.first + 1) / (measure.last - measure.first + 1)


def apply(
    measure: Measure, rows: pd.DataFrame, mine: MineAccount, part: float = 1.0, size: float = 1.0
) -> pd.DataFrame:
    """Return an account with a measure in force to a part.

    Parameters
    ----------
    measure : Measure
    rows : DataFrame
        Of `account`.
    mine : MineAccount
    part : float
        0 to 1.
    size : float
        Growth of the mine since the account.
    """
    diesel, electric = rows["carrier"] == "diesel", rows["carrier"] == "electricity"
    emitting = rows["scope"].isin((1, 2)) & ~rows["avoided"]
    grid = amount(mine.factors["electricity"].value, "t/kWh") if "electricity" in mine.factors else float("nan")
    match measure:
        case Electrify():
            chosen = emitting & diesel & (rows["process"] == measure.process)
            kwh = rows.loc[chosen, "amount"].sum() * measure.share * part * measure.kwh_per_litre
            return _changed(rows, chosen, measure.share * part, measure, kwh * grid, kwh)
        case Belt():
            chosen = emitting & (rows["process"] == "truck transport")
            kwh = _haulage(mine) * size * measure.share * part * measure.way * amount(measure.use, "kWh/(t km)")
            return _changed(rows, chosen, measure.share * part, measure, kwh * grid, kwh)
        case InPitCrushing():
            chosen = emitting & (rows["process"] == "truck transport")
            added = amount(measure.added, "kWh") * grid if amount(measure.added, "kWh") else 0.0
            return _changed(rows, chosen, measure.share * part, measure, added * part * size)
        case Renewables():
            chosen = emitting & electric
            kwh = rows.loc[chosen, "amount"].sum() * measure.share * part
            return _changed(rows, chosen, measure.share * part, measure, kwh * amount(measure.factor, "t/kWh"), kwh)
        case Replace():
            chosen = emitting & (rows["process"] == measure.process)
            return _changed(rows, chosen, measure.share * part, measure, measure.added * part * size)
        case CutOff():
            share = dropped_share(measure)
            return _changed(rows, emitting & rows["process"].isin(ORE_PROCESSES), share * part, measure, 0.0)
        case Carbonation():
            bound = measure.tailings * amount(measure.capacity, "t/t") * measure.conversion
            return _changed(rows, emitting & False, 0.0, measure, -bound * part * size)
    raise EmissionsError(f"measure {measure.name!r}: its kind is unknown. See the documentation")


def _changed(
    rows: pd.DataFrame, chosen: pd.Series[bool], share: float, measure: Measure, added_t: float, kwh: float = 0.0
) -> pd.DataFrame:
    """Lower rows by a share, and add what the measure itself emits; its electricity is open to later measures."""
    if np.isnan(added_t):
        raise EmissionsError(
            f"measure {measure.name!r}: needs the factor of electricity. Give it under factors of the mine"
        )
    lower = pd.Series(1.0, rows.index).where(~chosen, 1.0 - share)
    result = rows.assign(co2e_t=rows["co2e_t"] * lower, amount=rows["amount"] * lower)
    if added_t == 0.0:
        return result
    new = {"process": "auxiliary", "name": measure.name, "scope": 1, "co2e_t": added_t, "avoided": False, "carrier": ""}
    if kwh:
        new |= {"scope": 2, "carrier": "electricity", "amount": kwh, "unit": "kWh"}
    return pd.concat([result, pd.DataFrame([{**new, "source": "measure"}])], ignore_index=True)


def _haulage(mine: MineAccount) -> float:
    """Return the trucks' work, t km."""
    works = [work.work for work in mine.work if work.process == "truck transport" and not work.avoided and work.work]
    if not works:
        raise EmissionsError("belt: the trucks' work is not in the account. Give it in t km")
    return sum(amount(work, "t km") for work in works)


def dropped_share(measure: CutOff) -> float:
    """Return the share of ore that a carbon price puts below the cut-off grade.

    ``tonnes`` is the ore at or above each grade, falling; between grades it is interpolated.
    """
    grades, tonnes = np.array(measure.grades), np.array(measure.tonnes)
    if grades.size < 2 or grades.size != tonnes.size or (np.diff(grades) <= 0).any() or (np.diff(tonnes) > 0).any():
        raise EmissionsError(
            f"measure {measure.name!r}: grades rise and tonnes fall, two or more of each. Correct them"
        )
    factor = amount(measure.factor, "t/t")
    before = cut_off_grade(measure.cost, measure.price, measure.recovery)
    after = cut_off_grade(measure.cost, measure.price, measure.recovery, measure.carbon_price, factor)
    kept: npt.NDArray[np.float64] = np.interp([before, after], grades, tonnes)
    return float(1 - kept[1] / kept[0])


def progress(targets: Sequence[Target], values: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Hold values against targets, on a straight line from the base to the target.

    Parameters
    ----------
    targets : sequence of Target
    values : mapping, optional
        Value by name, of a target that has none of its own.

    Returns
    -------
    DataFrame
        name, year, so_far (relative change), needed (on the line by then), target, on_track.
    """
    lines = []
    for target in targets:
        value = target.value if target.value is not None else (values or {}).get(target.name, float("nan"))
        year = target.year if target.year is not None else target.target_year
        share = (year - target.base_year) / (target.target_year - target.base_year)
        needed = -target.cut * min(max(share, 0.0), 1.0)
        so_far = value / target.base - 1
        lines.append((target.name, year, so_far, needed, -target.cut, target.target_year, bool(so_far <= needed)))
    return pd.DataFrame(lines, columns=["name", "year", "so_far", "needed", "target", "target_year", "on_track"])
