"""The mistakes that the guide to Australian mining factors lists, and others of their kind, in a pit's account."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from insar_mining.emissions.countries import country_fault, nearest_code
from insar_mining.emissions.findings import Finding, Severity
from insar_mining.emissions.pit import Factor, MineAccount
from insar_mining.emissions.process import total
from insar_mining.emissions.units import amount

EXPECTED_SCOPE3 = {
    1: "goods bought (explosives' manufacture)",
    3: "upstream of fuels and electricity",
    4: "transport to customers",
    11: "use of what is sold",
    12: "its end of life",
}
UPSTREAM = (0.15, 0.20)
DIESEL_SHARE = (0.60, 0.80)
LITRES_PER_KWH = (0.2, 0.45)
AGREEMENT = 0.05
ANFO_SHARE = 0.04


def account_findings(mine: MineAccount, rows: pd.DataFrame, file: str = "") -> list[Finding]:
    """Find the mistakes of an account.

    Parameters
    ----------
    mine : MineAccount
    rows : DataFrame
        Of `account`.
    file : str

    Returns
    -------
    list of Finding
        ``column`` is the place in the file.
    """
    checks = (_places, _factors, _explosives, _electricity, _generators, _stocks, _coal, _scope3, _shares)
    return [
        Finding(severity, code, message, remedy, value, None, place, file)
        for check in checks
        for severity, code, place, value, message, remedy in check(mine, rows)
    ]


Fault = tuple[Severity, str, str, str, str, str]


def _places(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    if fault := country_fault(mine.country):
        yield "error", "unknown-country", "country", mine.country, fault, nearest_code(mine.country)
    if mine.end < mine.start:
        yield "error", "period", "end", str(mine.end), "the reporting year ends before it starts", "Swap start and end"


def _all_factors(mine: MineAccount) -> Iterator[tuple[str, Factor]]:
    yield from ((f"factors.{name}", factor) for name, factor in mine.factors.items())
    yield from ((f"fuels.{i}.factor", fuel.factor) for i, fuel in enumerate(mine.fuels))
    for i, explosive in enumerate(mine.explosives):
        for name, factor in (("factor", explosive.factor), ("manufacture", explosive.manufacture)):
            if factor is not None:
                yield f"explosives.{i}.{name}", factor
    for i, entry in enumerate(mine.electricity):
        yield f"electricity.{i}.factor", entry.factor
        if entry.losses is not None:
            yield f"electricity.{i}.losses", entry.losses
    yield from ((f"scope3.{i}.factor", entry.factor) for i, entry in enumerate(mine.scope3))


def _factors(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    """Find factors without a source, and editions of another year."""
    editions: dict[str, str] = {}
    for place, factor in _all_factors(mine):
        if not factor.source:
            yield "error", "no-source", place, factor.value, "the factor has no source", "Name where it comes from"
        if not factor.edition:
            yield "warning", "no-edition", place, factor.value, "the factor has no edition", "Name it, such as 2025"
        late = factor.valid_from is not None and factor.valid_from > mine.start
        early = factor.valid_to is not None and factor.valid_to < mine.end
        if late or early:
            valid = f"{factor.valid_from or '...'} to {factor.valid_to or '...'}"
            message = (
                f"edition {factor.edition or '?'} is valid {valid}, the reporting year is {mine.start} to {mine.end}"
            )
            yield "error", "edition", place, factor.value, message, "Take the factors of that year"
        elif factor.edition:
            other = editions.setdefault(factor.source, factor.edition)
            if other != factor.edition:
                message = f"editions {other} and {factor.edition} of one source are mixed"
                yield "error", "edition", place, factor.value, message, "Take one edition for the whole account"


def _explosives(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    if mine.type != "underground" and mine.blasting and not mine.explosives:
        message = f"an open pit that blasts has no explosives: some {100 * ANFO_SHARE:.0f} % of Scope 1 are missing"
        yield "error", "no-explosives", "explosives", "", message, "Give amounts by type, or blasting: false"
    for i, entry in enumerate(mine.explosives):
        place = f"explosives.{i}"
        if not entry.type:
            message = "the type of the explosive is missing"
            yield "error", "explosive-type", place, f"{entry.amount:g} t", message, "Name it: ANFO, emulsion, ..."
        if entry.factor is None:
            message = "detonation has no factor: Scope 1 is incomplete"
            yield "error", "explosive-factor", place, entry.type, message, "Give your own factor with its source"
        if entry.manufacture is None:
            message = "manufacture has no factor: Scope 3 category 1 is incomplete"
            yield "warning", "explosive-manufacture", place, entry.type, message, "Give your supplier's factor"


def _electricity(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    """Find electricity without the factor of its own state or grid."""
    for i, entry in enumerate(mine.electricity):
        place = f"electricity.{i}"
        if entry.region == "AUS" or entry.factor.region == "AUS" or entry.region in ("", "national"):
            message = "a national electricity factor is not used for Australia"
            remedy = "Give amount and factor per state or grid, such as AUS-QLD"
            yield "error", "national-electricity", place, entry.factor.value, message, remedy
        elif entry.factor.region and entry.factor.region != entry.region:
            message = f"the factor is of {entry.factor.region}, the electricity of {entry.region}"
            yield "error", "electricity-region", place, entry.factor.value, message, "Take that state's factor"


def _generators(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    """Find generators counted as fuel and as electricity."""
    for fuel in mine.fuels:
        if fuel.generator_output is None:
            continue
        ratio = fuel.litres / fuel.generator_output
        own = ratio * amount(fuel.factor.value, "kg/L")
        if not LITRES_PER_KWH[0] <= ratio <= LITRES_PER_KWH[1]:
            message = f"a generator burns {ratio:.2f} L/kWh (limits {LITRES_PER_KWH[0]} and {LITRES_PER_KWH[1]})"
            yield "warning", "generator-use", "fuels", f"{fuel.generator_output:g} kWh", message, "Check both amounts"
        for i, entry in enumerate(mine.electricity):
            grid = amount(entry.factor.value, "kg/kWh")
            if abs(entry.amount - fuel.generator_output) <= 0.01 * fuel.generator_output:
                sign = "more" if grid > own else "less"
                message = (
                    f"the generator's {fuel.generator_output:g} kWh are counted as fuel and as electricity; the grid's "
                    f"{grid:.2f} kg/kWh is {sign} than its own {own:.2f}"
                )
                remedy = "Remove the electricity: off the grid only the fuel counts"
                yield "error", "generator-twice", f"electricity.{i}", f"{entry.amount:g} kWh", message, remedy


def _stocks(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    for i, fuel in enumerate(mine.fuels):
        place = f"fuels.{i}"
        balance = None if fuel.purchases is None else fuel.opening + fuel.purchases - fuel.closing
        if fuel.metered is None and balance is None:
            yield "error", "no-amount", place, fuel.fuel, "neither purchases nor metered", "Give one of them"
        elif fuel.metered is None:
            message = "consumption by stock balance"
            yield "note", "not-metered", place, f"{balance:g} L", message, "Meter it: better than purchases"
        if balance is not None and balance < 0:
            message = "opening + purchases - closing is negative"
            yield "error", "stock-balance", place, f"{balance:g} L", message, "Check the stocks and their units"
        if fuel.metered is not None and balance and abs(balance - fuel.metered) > AGREEMENT * fuel.metered:
            message = f"metered {fuel.metered:g} L differ from the stock balance by more than 5 %"
            yield "warning", "stock-balance", place, f"{balance:g} L", message, "Find the difference; metered was used"
        if fuel.upstream is None:
            message = "no share for production and transport of the fuel (Scope 3 category 3)"
            yield "warning", "upstream", place, fuel.fuel, message, "Give upstream, usually 15 to 20 %"
        elif not UPSTREAM[0] <= fuel.upstream <= UPSTREAM[1]:
            message = "the upstream share is unusual (limits 15 and 20 %)"
            yield "warning", "upstream", place, f"{100 * fuel.upstream:g} %", message, "Check it"
    for carrier in ("diesel", "electricity"):
        over = rows[(rows["carrier"] == carrier) & (rows["amount"] < 0)]
        if len(over):
            message = "machines use more than was burnt or bought"
            yield "error", "machines", "work", f"{-over['amount'].iloc[0]:g}", message, "Check work, use, and the fuels"


def _coal(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    for i, fuel in enumerate(mine.fuels):
        if fuel.fuel.lower() == "coal" and not fuel.type:
            message = "coal without its type"
            yield "error", "coal-type", f"fuels.{i}", fuel.fuel, message, "Name it: black, brown, coking, anthracite"
    if mine.methane is not None and mine.methane.captured > mine.methane.gross:
        message = "more methane is captured than released"
        yield "error", "methane", "methane", f"{mine.methane.captured:g} t", message, "Check both amounts"
    if mine.commodity.lower() == "coal" and mine.methane is None:
        message = "a coal mine without methane"
        yield "error", "methane", "methane", "", message, "Give gross and captured amounts"


def _scope3(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    known = set(rows.loc[rows["scope"] == 3, "category"].dropna().astype(int))
    for category, meaning in EXPECTED_SCOPE3.items():
        if category not in known:
            message = f"Scope 3 category {category} is missing: {meaning}"
            yield "note", "scope3", "scope3", str(category), message, "Add it, or say why it does not apply"


def _shares(mine: MineAccount, rows: pd.DataFrame) -> Iterator[Fault]:
    scope1 = total(rows, avoided=False, scopes=(1,))
    diesel = rows[(rows["scope"] == 1) & (rows["carrier"] == "diesel") & ~rows["avoided"]]["co2e_t"].sum()
    if len(mine.fuels) and scope1 > 0 and not DIESEL_SHARE[0] <= diesel / scope1 <= DIESEL_SHARE[1]:
        message = "diesel's share of Scope 1 is unusual (limits 60 and 80 %)"
        yield (
            "note",
            "diesel-share",
            "fuels",
            f"{100 * diesel / scope1:.0f} %",
            message,
            "Check what else is in Scope 1",
        )
