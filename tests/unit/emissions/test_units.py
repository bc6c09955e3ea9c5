"""Amounts with units: the trade's own, and what can be read in two ways."""

from __future__ import annotations

import pytest

from insar_mining.emissions.units import amount, scale
from insar_mining.errors import EmissionsError


@pytest.mark.parametrize(
    ("unit", "target", "expected"),
    [
        ("kt", "t", 1e3),  # not a knot
        ("Mt", "t", 1e6),
        ("kg", "t", 1e-3),
        ("t CO2e", "t", 1.0),
        ("kg CO2-e/kWh", "t/MWh", 1.0),
        ("kL", "L", 1e3),
        ("ML", "m3", 1e3),
        ("PJ", "MJ", 1e9),
        ("GWh", "kWh", 1e6),
        ("TJ", "GWh", 1 / 3.6),
        ("hm2", "ha", 1.0),
        ("km2", "m2", 1e6),
        ("L/(t km)", "L/(t km)", 1.0),
        ("kWh/m3", "MJ/m3", 3.6),
        ("t/hm2/a", "kg/m2/a", 0.1),
        ("%", "", 0.01),
    ],
)
def test_units_of_the_trade(unit: str, target: str, expected: float) -> None:
    assert scale(unit, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("unit", ["mt", "MT", "ton", "tons", "T", "ml", "knot", "furlong", ""])
def test_doubtful_and_unknown_units_are_refused(unit: str) -> None:
    with pytest.raises(EmissionsError):
        scale(unit, "t")


@pytest.mark.parametrize("text", ["12", "ML", "12 km2", "1,5 ML", "nan L", "inf L", ""])
def test_amounts_without_number_or_unit_are_refused(text: str) -> None:
    with pytest.raises(EmissionsError):
        amount(text, "L")


def test_one_per_cent_of_a_large_mines_diesel() -> None:
    """Guide to Australian factors: 1 % of 2.556 kg/L on 50 to 100 ML is 1,278 to 2,556 t."""
    factor = amount("2.556 kg/L", "t/L")
    assert [round(0.01 * factor * amount(litres, "L")) for litres in ("50 ML", "100 ML")] == [1278, 2556]
