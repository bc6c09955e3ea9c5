"""Factors: the nearest level, ties, editions, faults, and sets of warming potentials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from insar_mining.emissions.factors import diff_factors, factors_of, find_factor, read_factors, shipped_factors
from insar_mining.emissions.gwp import co2e, gwp
from insar_mining.errors import EmissionsError

from .conftest import factor
from .published import CO2_T, COUNTRIES, ORE_T, WORLD_CO2_T, WORLD_FACTORS, YEARS

# 100 and 20 years; of methane of fossil origin behind it
POTENTIALS = {
    "AR4": {"CH4": (25, 72), "N2O": (298, 289)},
    "AR5": {"CH4": (28, 84), "CH4 fossil": (30, 85), "N2O": (265, 264)},
    "AR6": {"CH4": (27.0, 79.7), "CH4 fossil": (29.8, 82.5), "N2O": (273, 273)},
}


def test_warming_potentials_are_those_of_the_reports() -> None:
    for name, gases in POTENTIALS.items():
        for gas, values in gases.items():
            assert (gwp(gas, name, 100), gwp(gas, name, 20)) == values
        assert gwp("CO2", name, 20) == 1
    assert gwp("CH4 fossil", "AR4") == 25
    assert co2e({"CO2": 10.0, "CH4": 1.0, "N2O": 1.0}, "AR4", 20) == 10 + 72 + 289
    for wrong in ({"gas": "SF6"}, {"gas": "CH4", "gwp_set": "AR3"}, {"gas": "CH4", "horizon": 500}):
        with pytest.raises(EmissionsError):
            gwp(**wrong)  # type: ignore[arg-type]


def test_shipped_factors_are_the_published_quotients_unrounded() -> None:
    shipped = factors_of([shipped_factors()])
    for mineral in CO2_T:
        for year, co2, ore in zip(YEARS, CO2_T[mineral], ORE_T[mineral], strict=True):
            value = find_factor(shipped, f"{mineral} ore", "CO2", date=str(year))["value"].iloc[0]
            assert value * ore == pytest.approx(co2, abs=1e-3)
    for iso3, (ore, rounded, co2) in COUNTRIES.items():
        found = find_factor(shipped, "Iron ore extracted", "CO2", country=iso3, date="2023").iloc[0]
        assert (found["level"], round(found["value"], 4)) == ("country", rounded)
        assert found["value"] * ore == pytest.approx(co2, abs=1e-3)
    assert shipped["source"].ne("").all()
    assert shipped["licence"].ne("").all()


def test_the_worlds_mean_factors() -> None:
    """As printed; the totals are those of table 3, never the supplement's."""
    for number, printed in enumerate(WORLD_FACTORS):
        co2 = sum(CO2_T[mineral][number] for mineral in CO2_T)
        # 2020's printed total is the sum of its rows to the tonne, as are the others
        assert co2 == WORLD_CO2_T[number]
        assert co2 / sum(ORE_T[mineral][number] for mineral in ORE_T) == pytest.approx(printed, abs=0.000005)


def test_the_nearest_level_is_taken_and_the_others_shown(table: Callable[..., Path]) -> None:
    rows = [
        factor(5, region="world"),
        factor(4, region="Southern Africa"),
        factor(3, region="ZAF"),
        factor(2, organisation="Kumba"),
        factor(1, asset="sishen"),
    ]
    known = factors_of([read_factors(table("mine", rows)).frame, shipped_factors()])
    where = {"asset": "sishen", "organisation": "kumba", "country": "ZAF", "region": "southern africa"}
    levels = ["asset", "organisation", "country", "region", "world"]
    for number, level in enumerate(levels):
        found = find_factor(known, "iron ore", "CO2", **where)
        assert found["level"].tolist() == levels[number:]
        assert found["value"].iloc[0] == number + 1
        where.pop(level, None)
    with pytest.raises(EmissionsError):
        find_factor(known, "gold", "CO2")


def test_two_factors_equally_near_are_refused_and_named(table: Callable[..., Path]) -> None:
    rows = [factor(0.01, region="ZAF", factor_id="one"), factor(0.02, region="ZAF", factor_id="two", valid_from=2023)]
    read = read_factors(table("ties", rows))
    assert [f.code for f in read.findings if f.severity == "error"] == ["tie"]
    known = factors_of([read.frame])
    assert find_factor(known, "iron ore", "CO2", country="ZAF", date="2022")["factor_id"].tolist() == ["one"]
    with pytest.raises(EmissionsError) as error:
        find_factor(known, "iron ore", "CO2", country="ZAF", date="2023")
    assert "one" in str(error.value)
    assert "two" in str(error.value)


def test_editions_follow_their_validity(table: Callable[..., Path]) -> None:
    rows = [
        factor(
            0.81,
            activity="electricity",
            unit="kg/kWh",
            gas="CO2e",
            gwp="AR5",
            region="AUS-QLD",
            edition=edition,
            valid_from=a,
            valid_to=b,
        )
        for edition, a, b in (("2024", "2024-07-01", "2025-06-30"), ("2025", "2025-07-01", "2026-06-30"))
    ]
    known = factors_of([read_factors(table("nga", rows)).frame])
    where = {"country": "AUS-QLD"}
    assert find_factor(known, "electricity", "CO2e", date="2025-06-30", **where)["edition"].tolist() == ["2024"]
    assert find_factor(known, "electricity", "CO2e", date="2025-07-01", **where)["edition"].tolist() == ["2025"]
    with pytest.raises(EmissionsError):
        find_factor(known, "electricity", "CO2e", date="2026-07-01", **where)


def test_the_australian_guide_is_shipped_as_that_guide() -> None:
    """Approximate, the guide says of itself: never the workbook."""
    shipped = factors_of([shipped_factors()])
    printed = {"QLD": 0.81, "NSW": 0.79, "VIC": 0.90, "SA": 0.27, "TAS": 0.17, "SWIS": 0.63}
    for state, value in printed.items():
        found = find_factor(shipped, "electricity", "CO2e", country=f"AUS-{state}", date="2025-12-31").iloc[0]
        assert (found["value"], found["unit"], found["edition"]) == (value, "kg/kWh", "guide 2025")
    with pytest.raises(EmissionsError):
        find_factor(shipped, "electricity", "CO2e", country="AUS", date="2025-12-31")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"source": ""}, "no-source"),
        ({"edition": ""}, "no-edition"),
        ({"region": "UK"}, "unknown-country"),
        ({"region": "XCA"}, "unknown-country"),
        ({"activity": "electricity", "region": "AUS"}, "national-electricity"),
        ({"gas": "CO2e"}, "gwp"),
        ({"gas": "CO2e", "gwp": "SAR"}, "gwp"),
        ({"gas": "SF6"}, "gas"),
        ({"unit": "mt/t"}, "unit"),
        ({"value": -1}, "out-of-range"),
        ({"value": ""}, "missing"),
        ({"sd": 3}, "spread"),
        ({"valid_from": 2024, "valid_to": 2023}, "validity"),
        ({"valid_from": "July 2024"}, "out-of-range"),
    ],
)
def test_faults_of_a_table_are_found(table: Callable[..., Path], change: dict[str, object], code: str) -> None:
    found = [f for f in read_factors(table("faulty", [factor(0.01, region="CHL") | change])).findings if f.code == code]
    assert len(found) == 1
    assert found[0].row == 2
    assert found[0].remedy
    assert not [f for f in read_factors(table("sound", [factor(0.01, region="CHL")])).findings]


def test_grams_taken_for_tonnes_stand_out(table: Callable[..., Path]) -> None:
    rows = [factor(value, region=iso3) for value, iso3 in ((0.01, "CHL"), (0.012, "PER"), (0.02, "ZAF"), (12.0, "AUS"))]
    (found,) = read_factors(table("mixed", rows)).findings
    assert (found.code, found.row, found.value) == ("unit-mix", 5, "12.0")


def test_two_editions_are_compared(table: Callable[..., Path]) -> None:
    before = [factor(0.5, region="CHL"), factor(10, region="PER"), factor(1, region="ZAF")]
    after = [factor(500, unit="kg/t", region="CHL"), factor(12, region="PER"), factor(1, region="AUS")]
    diff = diff_factors(read_factors(table("a", before)).frame, read_factors(table("b", after)).frame).set_index(
        "region"
    )
    assert diff["change"].to_dict() == {"AUS": "new", "ZAF": "gone", "CHL": "changed", "PER": "changed"}
    assert diff.loc["CHL", "per_cent"] == pytest.approx(0)
    assert diff.loc["PER", "per_cent"] == pytest.approx(20)
