"""Amounts with units: text such as ``12.5 ML`` or ``0.81 kg/kWh`` becomes a number in the unit that is wanted."""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

from insar_mining.errors import EmissionsError

if TYPE_CHECKING:
    import pint

# the trade's units and no others: in pint's own registry kt is a knot, t a tonne, T a tesla and a an are
DEFINITIONS = """
t = [mass]
kg = 0.001 * t
g = 0.000001 * t
kt = 1000 * t
Mt = 1000000 * t
Gt = 1000000000 * t
m = [length]
km = 1000 * m
m2 = m ** 2
ha = 10000 * m2
hm2 = 10000 * m2
km2 = 1000000 * m2
m3 = m ** 3
L = 0.001 * m3
kL = m3
ML = 1000 * m3
MJ = [energy]
GJ = 1000 * MJ
TJ = 1000000 * MJ
PJ = 1000000000 * MJ
kWh = 3.6 * MJ
MWh = 3600 * MJ
GWh = 3600000 * MJ
a = [time]
pct = 0.01
"""

# what is written for a unit, besides its own name, without a doubt
SYNONYMS = {
    **dict.fromkeys(("tonne", "tonnes", "metric ton", "metric tons"), "t"),
    **dict.fromkeys(("kilotonne", "kilotonnes"), "kt"),
    **dict.fromkeys(("megatonne", "megatonnes", "million tonnes", "million t"), "Mt"),
    **dict.fromkeys(("l", "litre", "litres", "liter", "liters"), "L"),
    **dict.fromkeys(("m²", "m^2"), "m2"),
    **dict.fromkeys(("km²", "km^2"), "km2"),
    **dict.fromkeys(("m³", "m^3"), "m3"),
    **dict.fromkeys(("hectare", "hectares"), "ha"),
    **dict.fromkeys(("tkm", "t.km", "t·km", "t-km"), "t km"),
    **dict.fromkeys(("year", "years", "yr"), "a"),
    **dict.fromkeys(("%", "percent", "per cent"), "pct"),
}

# what can be read in two ways, with both
AMBIGUOUS = {
    **dict.fromkeys(("mt", "MT"), "a metric tonne (t) or a million tonnes (Mt)"),
    **dict.fromkeys(("ton", "tons"), "a metric tonne (t), a short ton (0.9072 t) or a long ton (1.0160 t)"),
    **dict.fromkeys(("T",), "a tonne (t) or a tesla"),
    **dict.fromkeys(("kT", "KT"), "a kilotonne (kt) or a knot"),
    **dict.fromkeys(("ml", "Ml"), "a millilitre or a million litres (ML)"),
    **dict.fromkeys(("mwh", "mWh"), "a milliwatt hour or a megawatt hour (MWh)"),
}

_GAS = re.compile(r"[\s_]*\(?(?:CO2|CO₂|CH4|N2O)(?:[\s_-]*eq?\.?)?\)?(?=$|\s*[/)])", re.IGNORECASE)
_WORK = re.compile(r"\(?\bt\s*(?:[·.*-]|\s)?\s*km\b\)?")
_AMOUNT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(None)
    registry.load_definitions([line for line in DEFINITIONS.splitlines() if line])
    return registry


@functools.lru_cache(maxsize=4096)
def scale(unit: str, target: str) -> float:
    """Return the number of `target` units in one `unit`.

    Parameters
    ----------
    unit : str
        Such as ``kt``, ``t CO2e``, ``kg/kWh``, ``L/(t km)``; the name of a gas behind a mass is left out.
    target : str
        The unit that is wanted, of the same kind.

    Returns
    -------
    float

    Raises
    ------
    EmissionsError
        The unit is missing, unknown, ambiguous (mt, ton), or of another kind than the target.

    Examples
    --------
    >>> scale("Mt", "t"), scale("kg CO2e/kWh", "t/MWh"), scale("hm2", "m2"), scale("%", "")
    (1000000.0, 1.0, 10000.0, 0.01)
    """
    import pint

    try:
        one = _registry().Quantity(1.0, _normal(unit))
        return float(one.to(_normal(target)).magnitude)
    except pint.DimensionalityError:
        raise EmissionsError(f"unit: {unit!r} is of another kind than {target!r}. Give a unit of that kind") from None


def _normal(text: str) -> str:
    """Write a unit as the registry knows it: each part of a quotient by itself."""
    if text == "":
        return ""
    upper, *lower = (_part(part) for part in _GAS.sub("", text.strip()).split("/"))
    return "/".join([upper, *(f"({part})" for part in lower)])


def _part(text: str) -> str:
    name = text.strip()
    if not name:
        raise EmissionsError("unit: missing. Give one, such as t, kt or Mt")
    if name == "1":
        return name
    name = SYNONYMS.get(name, SYNONYMS.get(name.lower(), name))
    if name in AMBIGUOUS:
        raise EmissionsError(f"unit: {name!r} is ambiguous ({AMBIGUOUS[name]}). Write the one that is meant")
    if name == "t km" or _WORK.fullmatch(name):
        return "t*km"
    if name.startswith("(") and name.endswith(")"):
        return _part(name[1:-1])
    if name not in _names():
        raise EmissionsError(f"unit: {text.strip()!r} is unknown. Known are {', '.join(_names())} and t km")
    return name


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(line.split(" = ")[0] for line in DEFINITIONS.splitlines() if line)


def amount(value: object, target: str) -> float:
    """Return an amount given as text with its unit, in the unit that is wanted.

    Parameters
    ----------
    value : str
        A number and a unit, such as ``"12.5 ML"`` or ``"0.81 kg/kWh"``.
    target : str
        The unit of the result.

    Returns
    -------
    float

    Raises
    ------
    EmissionsError
        No number, no unit, an unknown or ambiguous unit, or one of another kind.

    Examples
    --------
    >>> amount("50 ML", "L"), amount("0.75 kWh/m3", "kWh/m3"), amount("1.2e6 t km", "t km")
    (50000000.0, 0.75, 1200000.0)
    """
    match = _AMOUNT.fullmatch(str(value))
    if match is None:
        raise EmissionsError(f"amount: {value!r} is not a number with a unit. Write it like 12.5 {target or '%'}")
    number, unit = float(match[1]), match[2]
    if unit.startswith(","):
        raise EmissionsError(f"amount: {value!r} has a comma in its number. Write decimals with a point, no thousands")
    if not unit and target:
        raise EmissionsError(f"amount: {value!r} has no unit. Write it like {match[1]} {target}")
    if not math.isfinite(number):
        raise EmissionsError(f"amount: {value!r} is not finite. Give a number")
    return number * (scale(unit, target) if unit else 1.0)
