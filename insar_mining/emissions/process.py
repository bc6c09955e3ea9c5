"""The process account of one pit: rows by process, scope and energy carrier, and their shares."""

from __future__ import annotations

from typing import Any

import pandas as pd

from insar_mining.emissions.gwp import gwp
from insar_mining.emissions.pit import PROCESSES, Factor, MineAccount, Work
from insar_mining.emissions.tabular import shipped
from insar_mining.emissions.units import amount, scale
from insar_mining.errors import EmissionsError

COLUMNS = ["process", "name", "scope", "category", "carrier", "amount", "unit", "co2e_t", "avoided", "source"]
SCOPE = {"diesel": 1, "electricity": 2}


def account(mine: MineAccount) -> pd.DataFrame:
    """Return the rows of a mine's account.

    Parameters
    ----------
    mine : MineAccount

    Returns
    -------
    DataFrame
        process, name, scope, category (of Scope 3), carrier, amount and unit of the energy or material, co2e_t,
        avoided, source. Diesel and electricity of machines are parts of the fuels' and the meters' amounts: what these
        hold beyond the machines stands as a row of its own (negative where machines use more than was burnt), so that
        nothing is counted twice.

    Raises
    ------
    EmissionsError
        A unit or an equipment is unknown, or energy has no factor.
    """
    machines = [_machine(work, mine) for work in mine.work]
    rows = [*machines, *_fuels(mine, machines), *_electricity(mine, machines), *_explosives(mine), *_further(mine)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {name: number for number, name in enumerate(PROCESSES)}
    table["category"] = table["category"].astype("Int64")
    return table.sort_values(
        ["scope", "process"], key=lambda c: c.map(order) if c.name == "process" else c, kind="stable", ignore_index=True
    )


def _row(process: str, name: str, scope: int, co2e_t: float, **more: Any) -> dict[str, Any]:
    empty = {"category": None, "carrier": "", "amount": float("nan"), "unit": "", "avoided": False, "source": ""}
    return {**empty, **more, "process": process, "name": name, "scope": scope, "co2e_t": co2e_t}


def _machine(work: Work, mine: MineAccount) -> dict[str, Any]:
    """Return the row of a machine: work x energy per work x altitude x factor, or its emissions as given."""
    if work.emissions is not None:
        scope = SCOPE.get(work.carrier, 1)
        return _row(
            work.process,
            work.name,
            scope,
            work.emissions,
            carrier=work.carrier,
            avoided=work.avoided,
            source=work.source,
        )
    use, carrier, source = work.use, work.carrier, work.source
    if work.equipment:
        table = shipped("equipment").set_index("equipment")
        if work.equipment not in table.index:
            names = ", ".join(table.index)
            raise EmissionsError(f"{work.name}: equipment {work.equipment!r} is unknown. Take {names}, or give use")
        known: Any = table.loc[work.equipment]
        use, carrier, source = use or f"{known.value} {known.unit}", carrier or known.carrier, source or known.source
    if not (use and work.work and carrier):
        raise EmissionsError(f"{work.name}: without work, use or carrier. Give them, an equipment, or emissions")
    unit = "L" if carrier == "diesel" else "kWh"
    basis = _unit_of(use).partition("/")[2].strip("() ")
    energy = amount(use, f"{unit}/({basis})") * amount(work.work, basis)
    energy *= work.altitude_factor * mine.altitude_factors.get(work.process, 1.0)
    if carrier not in mine.factors:
        raise EmissionsError(f"{work.name}: no factor of {carrier}. Give it under factors")
    tonnes = energy * _per(mine.factors[carrier], unit)
    sign = -1.0 if work.avoided else 1.0
    return _row(
        work.process, work.name, SCOPE[carrier], sign * tonnes,
        carrier=carrier, amount=energy, unit=unit, avoided=work.avoided, source=source or mine.factors[carrier].source,
    )  # fmt: skip


def _unit_of(text: str) -> str:
    return text.strip().partition(" ")[2].strip()


def _per(factor: Factor, unit: str) -> float:
    """Return a factor in t CO2e per unit."""
    return amount(factor.value, f"t/({unit})")


def _unallocated(machines: list[dict[str, Any]], carrier: str, total: float) -> float:
    """Return what of an amount the machines do not account for."""
    used = sum(
        float(row["amount"])
        for row in machines
        if row["carrier"] == carrier and not row["avoided"] and row["amount"] == row["amount"]
    )
    return total - used


def _fuels(mine: MineAccount, machines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of fuels; mobile diesel less what the machines above burnt of it."""
    rows = []
    mobile = [fuel for fuel in mine.fuels if fuel.fuel == "diesel" and fuel.use == "mobile"]
    for fuel in mine.fuels:
        litres = fuel.litres
        direct = litres
        name = f"{fuel.fuel}, {fuel.use}" + (f", {fuel.type}" if fuel.type else "")
        if mobile and fuel is mobile[0]:
            direct = _unallocated(machines, "diesel", litres)
            name += ", beyond the machines" if direct != litres else ""
        factor = _per(fuel.factor, "L")
        common = {"carrier": fuel.fuel, "unit": "L", "source": fuel.factor.source}
        rows.append(_row(fuel.process, name, 1, direct * factor, amount=direct, **common))
        if fuel.upstream is not None:
            rows.append(
                _row(
                    fuel.process,
                    f"{fuel.fuel}, upstream",
                    3,
                    litres * factor * fuel.upstream,
                    category=3,
                    amount=litres,
                    **common,
                )
            )
    return rows


def _electricity(mine: MineAccount, machines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of electricity by state; the first one less what the machines above used of it."""
    rows = []
    for number, entry in enumerate(mine.electricity):
        used = _unallocated(machines, "electricity", entry.amount) if number == 0 else entry.amount
        name = f"electricity, {entry.region}" + (", beyond the machines" if used != entry.amount else "")
        common = {"carrier": "electricity", "unit": "kWh"}
        rows.append(
            _row(
                entry.process,
                name,
                2,
                used * _per(entry.factor, "kWh"),
                amount=used,
                source=entry.factor.source,
                **common,
            )
        )
        if entry.losses is not None:
            lost = entry.amount * _per(entry.losses, "kWh")
            rows.append(
                _row(
                    entry.process,
                    f"{entry.region}, losses",
                    3,
                    lost,
                    category=3,
                    amount=entry.amount,
                    source=entry.losses.source,
                    **common,
                )
            )
    return rows


def _explosives(mine: MineAccount) -> list[dict[str, Any]]:
    rows = []
    for entry in mine.explosives:
        common = {"carrier": "explosives", "amount": entry.amount, "unit": "t"}
        if entry.factor is not None:
            rows.append(
                _row(
                    "blasting",
                    f"{entry.type}, detonation",
                    1,
                    entry.amount * _per(entry.factor, "t"),
                    source=entry.factor.source,
                    **common,
                )
            )
        if entry.manufacture is not None:
            made = entry.amount * _per(entry.manufacture, "t")
            rows.append(
                _row(
                    "blasting",
                    f"{entry.type}, manufacture",
                    3,
                    made,
                    category=1,
                    source=entry.manufacture.source,
                    **common,
                )
            )
    return rows


def _further(mine: MineAccount) -> list[dict[str, Any]]:
    """Return rows of methane (net, its gross beside it), land and Scope 3."""
    rows = []
    if mine.methane is not None:
        gas, net = mine.methane, mine.methane.gross - mine.methane.captured
        name = f"methane, net of {gas.captured:g} t captured of {gas.gross:g} t"
        potential = gwp("CH4 fossil", mine.gwp)
        rows.append(
            _row(gas.process, name, 1, net * potential, carrier="methane", amount=net, unit="t", source=gas.source)
        )
    if mine.land is not None:
        rows.append(
            _row(
                "land carbon",
                "loss of soil and vegetation",
                1,
                mine.land.emissions,
                carrier="land",
                source=mine.land.source,
            )
        )
    for entry in mine.scope3:
        unit = _unit_of(entry.amount)
        scale(unit, unit)
        value = amount(entry.amount, unit) * _per(entry.factor, unit)
        rows.append(
            _row(
                "auxiliary",
                entry.name,
                3,
                value,
                category=entry.category,
                amount=amount(entry.amount, unit),
                unit=unit,
                source=entry.factor.source,
            )
        )
    return rows


def summary(rows: pd.DataFrame, by: str = "process", scopes: tuple[int, ...] = (1, 2)) -> pd.DataFrame:
    """Sum an account by process, scope or carrier, with shares of what is emitted.

    Returns
    -------
    DataFrame
        `by`, co2e_t (without avoided rows), avoided_t, share.
    """
    chosen = rows[rows["scope"].isin(scopes)]
    parts = {
        "co2e_t": chosen[~chosen["avoided"]].groupby(by, sort=False)["co2e_t"].sum(),
        "avoided_t": chosen[chosen["avoided"]].groupby(by, sort=False)["co2e_t"].sum(),
    }
    table = pd.DataFrame(parts).fillna(0.0)
    return table.assign(share=table["co2e_t"] / table["co2e_t"].sum()).reset_index()


def total(rows: pd.DataFrame, *, avoided: bool, scopes: tuple[int, ...] = (1, 2)) -> float:
    """Return the sum of an account, t CO2e, with the avoided rows or without."""
    chosen = rows["scope"].isin(scopes) & (~rows["avoided"] | avoided)
    return float(rows.loc[chosen, "co2e_t"].sum())


def intensities(mine: MineAccount, rows: pd.DataFrame) -> dict[str, float]:
    """Return Scope 1 and 2 emissions per t of ore, per t of metal and per value, of those that are known."""
    value = total(rows, avoided=False)
    bases = {"t_per_t_ore": mine.ore, "t_per_t_metal": mine.metal, "t_per_value": mine.revenue}
    return {name: value / base for name, base in bases.items() if base}
