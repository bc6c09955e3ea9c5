"""One pit: the published account, every mistake of the Australian guide, land, measures, targets, and the database."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from insar_mining.emissions.history import history, record
from insar_mining.emissions.land import UptakeWarning, land_carbon, read_zones, reclamation, silent_ground
from insar_mining.emissions.mistakes import account_findings
from insar_mining.emissions.pit import read_mine, template
from insar_mining.emissions.process import account, intensities, summary, total
from insar_mining.emissions.scenario import cut_off_grade, pathway, progress, read_scenario
from insar_mining.errors import EmissionsError

Write = Callable[[Any], Path]

# Julong copper mine, table 5, t CO2e; the belt is an avoided row
JULONG = [
    ("drilling", 1_211.30, "diesel"),
    ("blasting", 3_686.85, ""),
    ("shovelling", 7_762.29, "electricity"),
    ("truck transport", 48_279.29, "diesel"),
    ("belt transport", -2_926.08, "electricity"),
    ("crushing", 672.15, "electricity"),
    ("processing", 99_824.35, "electricity"),
    ("auxiliary", 1_429.70, "electricity"),
    ("land carbon", 16_355.82, ""),
]
# table 4: hm2, kg/m2, t CO2 as printed
ZONES = [
    (503.57, 12.2, 61_435.54),
    (47.53, 12.2, 5_798.66),
    (74.52, 14.6, 10_879.92),
    (643.89, 15.2, 97_871.28),
    (793.39, 12.2, 96_793.58),
    (41.91, 12.2, 5_113.02),
    (273.35, 20.7, 56_583.45),
    (33.83, 20.7, 7_002.81),
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(content)``: a YAML file of it."""

    def to_file(content: Any) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def example() -> dict[str, Any]:
    return dict(yaml.safe_load(template()))


def julong() -> dict[str, Any]:
    work = [
        {"process": name, "name": name, "emissions": f"{value} t", "carrier": carrier, "avoided": value < 0}
        for name, value, carrier in JULONG
    ]
    return {"name": "Julong", "country": "CHN", "start": "2023-01-01", "end": "2023-12-31", "work": work}


def test_the_account_of_julong(write: Write) -> None:
    """176,295.67 t with the avoided row of the belt, 179,221.75 t without.

    The printed shares do not follow from these rows: they follow from the 45,520.68 t of transport in the figure (total
    176,463.13 t), and its 56.36 % of processing is a misprint of 56.57.
    """
    rows = account(read_mine(write(julong())))
    assert total(rows, avoided=True) == pytest.approx(176_295.67, abs=0.005)
    assert total(rows, avoided=False) == pytest.approx(179_221.75, abs=0.005)
    shares = summary(rows).set_index("process")
    assert shares.loc["belt transport", ["co2e_t", "avoided_t"]].tolist() == [0, -2926.08]
    assert shares["share"].sum() == pytest.approx(1)
    # printed 25.73 and 56.62 %; of the rows, avoided one included, it is
    assert pytest.approx(25.73, abs=0.005) == 100 * (48_279.29 - 2_926.08) / 176_295.67
    assert pytest.approx(56.62, abs=0.005) == 100 * 99_824.35 / 176_295.67
    figure = [1_211.30, 3_686.85, 7_762.29, 45_520.68, 672.15, 99_824.35, 1_429.70, 16_355.82]
    assert sum(figure) == pytest.approx(176_463.13, abs=0.02)
    printed = [0.69, 2.09, 4.40, 25.80, 0.38, 56.57, 0.81, 9.27]
    np.testing.assert_allclose(100 * np.array(figure) / sum(figure), printed, atol=0.0051)


def test_julongs_equipment(write: Write) -> None:
    """0.75 kWh/m3; 0.17 and 0.24 L/m3; 0.11 and 0.19 L/(t km); 0.13 kWh/(t km)."""
    printed = {
        "WK-35": (0.75, "1e6 m3"),
        "Hitachi 890": (0.17, "1e6 m3"),
        "Volvo 950": (0.24, "1e6 m3"),
        "NTE260": (0.11, "1e6 t km"),
        "NTE240": (0.11, "1e6 t km"),
        "TR100": (0.19, "1e6 t km"),
        "electric truck": (0.13, "1e6 t km"),
        "belt": (0.13, "1e6 t km"),
    }
    mine = julong() | {
        "factors": {
            "diesel": {"value": "2.7 kg/L", "source": "s"},
            "electricity": {"value": "0.6 t/MWh", "source": "s"},
        },
        "work": [
            {"process": "shovelling", "name": name, "equipment": name, "work": work}
            for name, (_, work) in printed.items()
        ],
    }
    rows = account(read_mine(write(mine))).set_index("name")
    for name, (use, _) in printed.items():
        assert rows.loc[name, "amount"] == pytest.approx(use * 1e6)
        assert rows.loc[name, "co2e_t"] == pytest.approx(
            use * 1e6 * (2.7e-3 if rows.loc[name, "unit"] == "L" else 0.6e-3)
        )
    # the penalty of altitude is a factor of the energy
    high = account(read_mine(write(mine | {"altitude_factors": {"shovelling": 1.2}}))).set_index("name")
    np.testing.assert_allclose(high["co2e_t"], 1.2 * rows.loc[high.index, "co2e_t"])


def test_the_soil_of_julong_by_both_readings(table: Callable[..., Path]) -> None:
    """Soil: area x density x 10, without 44/12; vegetation, 0.8267 t CO2/hm2, has it: the source mixes the two.

    343,472.25 t over 21 years are 16,355.82 t a year, with 44/12 on the soil too 59,718.14 t, and the mine's 176,295.67
    become 219,657.99 t.
    """
    rows = [
        {"zone": f"z{i}", "area_hm2": area, "soil_density_kg_m2": density, "vegetation_t_co2_hm2": 0.8267}
        for i, (area, density, _) in enumerate(ZONES)
    ]
    zones = read_zones(table("zones", rows)).frame
    printed, other = land_carbon(zones, 21), land_carbon(zones, 21, "44/12")
    np.testing.assert_allclose(printed["soil_t"][:-1], [soil for *_, soil in ZONES], atol=0.01)
    whole = printed.iloc[-1]
    assert whole["zone"] == "total"
    assert whole["co2_t"] == pytest.approx(343_472.25, abs=0.05)
    assert whole["co2_t_a"] == pytest.approx(16_355.82, abs=0.005)
    assert whole["other_co2_t_a"] == pytest.approx(59_718.14, abs=0.01)
    assert other["co2_t_a"].iloc[-1] == whole["other_co2_t_a"]
    assert 176_295.67 - 16_355.82 + whole["other_co2_t_a"] == pytest.approx(219_657.99, abs=0.01)
    assert pytest.approx(0.8267, abs=0.0002) == 0.2255 * 44 / 12
    for wrong in ({"years": 0}, {"years": 21, "reading": "C"}):
        with pytest.raises(EmissionsError):
            land_carbon(zones, **wrong)  # type: ignore[arg-type]


def test_reclaimed_ground() -> None:
    """144 t/(hm2 a); Baiyunebo's 4,608 t is printed 4.7e3, inside its area's rounding; x 50 yuan = 27.66 M."""
    areas = (3.2e5, 2.4e6, 7.6e6, 3.1e6, 1.5e7, 1.0e7)
    with pytest.warns(UptakeWarning):
        found = [reclamation(area, price=50) for area in areas]
    assert [round(one["co2_t_a"]) for one in found] == [4608, 34_560, 109_440, 44_640, 216_000, 144_000]
    assert sum(one["value"] for one in found) == pytest.approx(27.66e6, abs=5e3)
    assert reclamation(1e4, rate_t_hm2=8, years=5)["co2_t"] == 40  # no warning
    with pytest.raises(EmissionsError):
        reclamation(-1)


def test_ground_that_fell_silent_and_is_declared() -> None:
    active = {year: np.zeros((2, 3), bool) for year in range(2019, 2024)}
    active[2019][0] = True
    active[2023][0, 2] = True  # worked again
    declared = np.array([[True, False, True], [True, True, True]])
    assert silent_ground(active, np.array(400.0), declared) == 400
    with pytest.raises(EmissionsError):
        silent_ground({2019: declared, 2020: declared}, np.array(400.0), declared)


def test_the_template_is_sound_and_counts_nothing_twice(write: Write, example: dict[str, Any]) -> None:
    mine = read_mine(write(template()))
    rows = account(mine)
    assert [finding.severity for finding in account_findings(mine, rows)].count("error") == 0
    diesel = rows[(rows["carrier"] == "diesel") & (rows["scope"] == 1)]
    assert diesel["amount"].sum() == pytest.approx(10.05e6 + 0.5e6)  # opening + purchases - closing, and metered
    power = rows[(rows["carrier"] == "electricity") & (rows["scope"] == 2)]
    assert power["amount"].sum() == pytest.approx(120e6)
    assert rows[rows["scope"] == 3].groupby("category")["co2e_t"].sum().to_dict() == pytest.approx(
        {1: 12_000, 3: 120e6 * 0.09e-3 + 0.18 * 10.55e6 * 2.7e-3, 4: 7200}
    )
    assert intensities(mine, rows)["t_per_t_ore"] == pytest.approx(total(rows, avoided=False) / 12e6)


def changed(example: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value replaced, or removed where it is None."""
    result: Any = copy.deepcopy(example)
    *way, last = path.split("/")
    place = result
    for part in way:
        place = place[int(part) if part.isdigit() else part]
    key = int(last) if last.isdigit() else last
    if value is None:
        del place[key]
    else:
        place[key] = value
    return dict(result)


NATIONAL = {"value": "0.7 kg/kWh", "source": "s", "edition": "2025", "region": "AUS"}
COAL = {
    "fuel": "coal",
    "use": "stationary",
    "metered": "1 ML",
    "upstream": "18 %",
    "factor": {"value": "2 kg/L", "source": "s"},
}
MISTAKES: list[tuple[str, Any, str, str]] = [
    ("explosives", None, "no-explosives", "error"),
    ("explosives/0/type", None, "explosive-type", "error"),
    ("explosives/0/factor", None, "explosive-factor", "error"),
    ("explosives/0/manufacture", None, "explosive-manufacture", "warning"),
    ("electricity/0/factor", NATIONAL, "national-electricity", "error"),
    ("electricity/0/region", "AUS", "national-electricity", "error"),
    ("electricity/0/region", "AUS-NSW", "electricity-region", "error"),
    ("electricity/0/amount", "1.9 GWh", "generator-twice", "error"),
    ("fuels/1/generator_output", "19 GWh", "generator-use", "warning"),
    ("fuels/0/purchases", None, "no-amount", "error"),
    ("fuels/0/closing", "20 ML", "stock-balance", "error"),
    ("fuels/0/metered", "9 ML", "stock-balance", "warning"),
    ("fuels/0/upstream", None, "upstream", "warning"),
    ("fuels/0/upstream", "30 %", "upstream", "warning"),
    ("fuels/0/purchases", "5 ML", "machines", "error"),
    ("fuels/1", COAL, "coal-type", "error"),
    ("commodity", "coal", "methane", "error"),
    ("methane", {"gross": "10 t", "captured": "20 t"}, "methane", "error"),
    ("scope3", None, "scope3", "note"),
    ("factors/diesel/valid_to", "2025-12-31", "edition", "error"),
    ("start", "2024-07-01", "edition", "error"),
    ("fuels/1/factor/edition", "2024", "edition", "error"),
    ("factors/diesel/source", "", "no-source", "error"),
    ("country", "AU", "unknown-country", "error"),
    ("end", "2024-06-30", "period", "error"),
    ("fuels/0/use", "stationary", "not-metered", "note"),
]


@pytest.mark.parametrize(("path", "value", "code", "severity"), MISTAKES)
def test_every_mistake_of_the_guide_is_found(
    write: Write, example: dict[str, Any], path: str, value: Any, code: str, severity: str
) -> None:
    mine = read_mine(write(changed(example, path, value)))
    found = [finding for finding in account_findings(mine, account(mine)) if finding.code == code]
    assert found
    assert found[0].severity == severity
    assert found[0].remedy
    assert found[0].column


def test_the_grid_factor_of_a_generator_is_wrong_either_way(write: Write, example: dict[str, Any]) -> None:
    """The guide says it undercounts; at 0.25 to 0.30 L/kWh it gives 0.64 to 0.77 kg/kWh, below Queensland's."""
    for region, value, sign in (("AUS-QLD", "0.81 kg/kWh", "more"), ("AUS-TAS", "0.17 kg/kWh", "less")):
        entry = {"region": region, "amount": "1.9 GWh", "factor": {"value": value, "source": "s", "region": region}}
        mine = read_mine(write(changed(example, "electricity", [entry])))
        (found,) = [f for f in account_findings(mine, account(mine)) if f.code == "generator-twice"]
        assert f"{sign} than its own" in found.message
    assert [round(litres * 2.556, 2) for litres in (0.25, 0.30)] == [0.64, 0.77]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ore", "12"),
        ("ore", "12 mt"),
        ("ore", 12),
        ("fuels/0/use", "both"),
        ("wrong", 1),
        ("start", "soon"),
        ("work/0/equipment", "WK-99"),
    ],
)
def test_faulty_files_are_refused(write: Write, example: dict[str, Any], path: str, value: Any) -> None:
    with pytest.raises(EmissionsError):
        account(read_mine(write(changed(example, path, value))))


def test_text_that_is_no_yaml_is_refused(write: Write, tmp_path: Path) -> None:
    for path in (write("a: [1"), tmp_path / "absent.yaml"):
        with pytest.raises(EmissionsError):
            read_mine(path)


def test_methane_is_net_with_the_gross_shown(write: Write, example: dict[str, Any]) -> None:
    rows = account(read_mine(write(example | {"methane": {"gross": "100 t", "captured": "30 t"}, "gwp": "AR6"})))
    (row,) = rows[rows["carrier"] == "methane"].to_dict("records")
    assert row["co2e_t"] == pytest.approx(70 * 29.8)
    assert "100 t" in row["name"]


MEASURES: dict[str, Any] = {
    "first": 2026,
    "last": 2030,
    "measures": [
        {
            "name": "trucks",
            "kind": "electrify",
            "process": "truck transport",
            "share": "50 %",
            "kwh_per_litre": 4,
            "first": 2027,
            "last": 2028,
        },
        {"name": "belt", "kind": "belt", "share": "20 %", "first": 2028, "last": 2028},
        {"name": "crusher", "kind": "in-pit crushing", "share": "10 %", "added": "1 GWh", "first": 2028, "last": 2028},
        {"name": "sun", "kind": "renewables", "share": "80 %", "factor": "0.05 kg/kWh", "first": 2029, "last": 2030},
        {"name": "backfill", "kind": "replace", "process": "drilling", "share": "25 %", "first": 2030, "last": 2030},
        {
            "name": "stone",
            "kind": "carbonation",
            "tailings": "10 Mt",
            "capacity": "0.02 t/t",
            "conversion": "10 %",
            "first": 2030,
            "last": 2030,
        },
    ],
}


def test_measures_by_hand(write: Write) -> None:
    mine, scenario = read_mine(write(template())), read_scenario(write(MEASURES))
    table = pathway(mine, scenario).set_index("year")
    names = [measure["name"] for measure in MEASURES["measures"]]
    # wedges sum to the cut, in every year
    np.testing.assert_allclose(table["baseline_t"] - table[names].sum(axis=1), table["emissions_t"], rtol=1e-12)
    assert table.loc[2026, names].abs().sum() == 0
    trucks = 6.6e6  # L, 0.11 L/(t km) of 6e7 t km
    half = 0.5 * trucks * (2.7e-3 - 4 * 0.81e-3)
    assert table.loc[2028, "trucks"] == pytest.approx(half)
    assert table.loc[2027, "trucks"] == pytest.approx(half / 2)
    left = trucks * 2.7e-3 / 2
    assert table.loc[2028, "belt"] == pytest.approx(0.2 * left - 0.2 * 6e7 * 0.13 * 0.81e-3)
    assert table.loc[2028, "crusher"] == pytest.approx(0.1 * 0.8 * left - 1e6 * 0.81e-3)
    # also the electricity that the electric trucks and the belt brought
    kwh = 120e6 + 0.5 * trucks * 4 + 0.2 * 6e7 * 0.13
    assert table.loc[2030, "sun"] == pytest.approx(0.8 * kwh * (0.81e-3 - 0.05e-3))
    assert table.loc[2030, "backfill"] == pytest.approx(0.25 * 1080)
    assert table.loc[2030, "stone"] == pytest.approx(10e6 * 0.02 * 0.1)


def test_a_carbon_price_raises_the_cut_off_grade(write: Write) -> None:
    """(cost + carbon price x emissions) / (price x recovery), and the ore below it is not processed."""
    assert cut_off_grade(10, 8000, 0.85, 100, 0.02) == pytest.approx((10 + 100 * 0.02) / (8000 * 0.85))
    cut = {
        "name": "grade",
        "kind": "cut-off",
        "grades": ["0.1 %", "0.2 %"],
        "tonnes": ["20 Mt", "10 Mt"],
        "price": 8000,
    }
    cut |= {"recovery": "85 %", "cost": 8, "carbon_price": 100, "factor": "0.02 t/t", "first": 2026, "last": 2026}
    mine = read_mine(write(template()))
    table = pathway(mine, read_scenario(write({"first": 2026, "last": 2026, "measures": [cut]})))
    grades = [8 / 6800, 10 / 6800]
    ore = [20e6 - (grade - 0.001) / 0.001 * 10e6 for grade in grades]
    assert table["grade"].iloc[0] == pytest.approx(115.5e6 * 0.81e-3 * (1 - ore[1] / ore[0]))
    with pytest.raises(EmissionsError):
        pathway(
            mine, read_scenario(write({"first": 2026, "last": 2026, "measures": [cut | {"tonnes": ["1 Mt", "2 Mt"]}]}))
        )


def test_companies_so_far(write: Write) -> None:
    """Anglo -10.2, Glencore -32.5, Rio -3.4, Vale -27.0 % so far; the line to a target decides who is on track."""
    so_far = {"Anglo": -10.2, "Glencore": -32.5, "Rio": -3.4, "Vale": -27.0}
    targets = [
        {
            "name": name,
            "base_year": 2018,
            "base": 1000,
            "target_year": 2030,
            "cut": "30 %",
            "year": 2024,
            "value": 1000 + 10 * change,
        }
        for name, change in so_far.items()
    ]
    scenario = read_scenario(write({"first": 2026, "last": 2026, "targets": targets}))
    table = progress(scenario.targets).set_index("name")
    assert (100 * table["so_far"]).round(1).to_dict() == so_far
    assert set(table["needed"]) == {-0.15}
    assert table["on_track"].to_dict() == {"Anglo": False, "Glencore": True, "Rio": False, "Vale": True}


def rows_of(value: float, year: int = 2023) -> pd.DataFrame:
    return pd.DataFrame([{"mine": "=mine", "year": year, "quantity": "co2", "value": value, "unit": "t"}])


def test_the_database_only_grows(tmp_path: Path) -> None:
    path = tmp_path / "db.csv"
    record(path, rows_of(100.0), source="edition 1", when="2025-01-01")
    first = path.read_bytes()
    assert record(path, rows_of(100.0), source="edition 1").empty
    assert path.read_bytes() == first
    with pytest.raises(EmissionsError):  # a restatement needs a reason
        record(path, rows_of(90.0), source="edition 2")
    assert path.read_bytes() == first
    record(path, rows_of(90.5), source="edition 2", reason="new factors, by\nAR6", when="2026-01-01")
    assert path.read_bytes().startswith(first)
    table = history(path, "=mine")
    assert table["value"].tolist() == [100.0, 90.5]
    assert table["revision"].tolist() == [1, 2]
    assert history(path, revisions=False)["value"].tolist() == [90.5]
    assert b"\n=mine" not in path.read_bytes()


@pytest.mark.parametrize("change", [(b"100.0", b"101.0"), (b"edition 1", b"edition 9")])
def test_a_changed_row_is_noticed(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    path = tmp_path / "db.csv"
    record(path, pd.concat([rows_of(100.0), rows_of(5.0, 2024)]), source="edition 1")
    path.write_bytes(path.read_bytes().replace(*change, 1))
    with pytest.raises(EmissionsError):
        history(path)
    with pytest.raises(EmissionsError):
        record(path, rows_of(7.0, 2025), source="edition 1")


def _record_one(path: str, number: int) -> None:
    record(path, rows_of(float(number), 2000 + number), source="s")


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "db.csv")
    writers = [multiprocessing.get_context("spawn").Process(target=_record_one, args=(path, n)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(history(path)["value"]) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ore: 12 Mt", "ore: -12 Mt"),
        ("ore: 12 Mt", "ore: 12,5 Mt"),
        ("purchases: 10 ML", "purchases: -10 ML"),
        ("work: 6e6 m3", "work: -6e6 m3"),
        ("amount: 9e8 t km", "amount: -9e8 t km"),
    ],
)
def test_negative_amounts_and_commas_are_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mine.yaml"
    assert old in template()
    path.write_text(template().replace(old, new, 1))
    with pytest.raises(EmissionsError, match=r"negative|greater than|comma"):
        read_mine(path)
