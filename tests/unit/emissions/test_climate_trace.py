"""Files of Climate TRACE: round trips without loss, and every known fault found with row, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from insar_mining.emissions.climate_trace import KEYS, V5_COLUMNS, export, import_files
from insar_mining.emissions.estimate import estimate
from insar_mining.emissions.factors import read_factors
from insar_mining.emissions.inputs import read_inputs
from insar_mining.emissions.validate import validate_file
from insar_mining.errors import EmissionsError

from .conftest import asset, factor, report

Tables = Callable[..., Path]


@pytest.fixture
def assets(table: Tables) -> pd.DataFrame:
    """An inventory with everything: missing and zero, odd names, every mineral, gases, errors."""
    rows = [
        asset("1", "PAN", "copper", name="Cobre Panamá", lon=-80.65, lat=8.85, capacity_t=1e8, status="Production"),
        asset("2", "CHN", "iron", name="=SUM(A1)", lon=0.1, lat=-0.30000000000000004, organisation="+Owner"),
        asset("3", "BRA", "gold", name='A "quoted", name', status="Suspended", operation_type="Underground"),
        asset("4", "AUS", "bauxite", name="白云鄂博"),
    ]
    reported = [report("1", year, "ore", 1e7 / 3 + year, sd=1e5) for year in (2021, 2022, 2023)]
    reported += [report("2", 2021, "ore", 5e6), report("3", 2022, "ore", 0), report("1", 2022, "emissions", 54321.25)]
    given = [factor(0.01 / 3, activity="ore", sd=0.001), factor(1e-6, activity="ore", gas="CH4")]
    paths = table("assets", rows), table("reported", reported)
    return estimate(read_inputs(*paths), [read_factors(table("factors", given)).frame], edition="e").assets


@pytest.mark.parametrize("schema", ["v5", "2024"])
def test_a_round_trip_loses_nothing(assets: pd.DataFrame, tmp_path: Path, schema: str) -> None:
    written = export(assets, tmp_path / "a", schema, gwp_set="AR6", date="2026-11-30")
    back = import_files(tmp_path / "a")
    assert len(back) == len(assets)
    needed = {"activity_t", "co2_t", "factor_t_t", "confidence", "activity_confidence", "co2_sd_t", "status", "lon"}
    assert needed <= set(back.columns)
    for name in back.columns:
        pd.testing.assert_series_equal(back[name], assets[name], check_dtype=False, check_exact=True)
    assert assets["co2_t"].isna().any()
    assert (assets["co2_t"] == 0).any()
    again = export(back.reindex(columns=assets.columns), tmp_path / "b", schema, gwp_set="AR6", date="2026-11-30")
    for one, other in zip(written, again, strict=True):
        if "country" not in one.name:
            assert one.read_bytes() == other.read_bytes()


def test_the_long_schema(assets: pd.DataFrame, tmp_path: Path) -> None:
    export(assets, tmp_path, "v5", gwp_set="AR6", date="2026-11-30")
    names = {path.name for path in tmp_path.iterdir()}
    for subsector in ("copper-mining", "iron-mining", "bauxite-mining", "other-mining-quarrying"):
        for kind in (
            "emissions_sources",
            "emissions_sources_confidence",
            "emissions_sources_uncertainty",
            "country_emissions",
        ):
            assert f"{subsector}_{kind}.csv" in names
    sources = pd.read_csv(tmp_path / "copper-mining_emissions_sources.csv")
    assert list(sources.columns) == V5_COLUMNS
    assert len(sources) == 3 * 3
    assert set(sources["gas"]) == {"co2", "co2e_100yr", "co2e_20yr"}
    assert sources["activity_units"].unique().tolist() == ["t of copper ore"]
    assert sources["other2"].unique().tolist() == ["Operating"]
    confidence = pd.read_csv(tmp_path / "copper-mining_emissions_sources_confidence.csv")
    assert list(confidence.columns[: len(KEYS)]) == KEYS
    assert set(confidence["activity"]) == {"very high"}
    sums = pd.read_csv(tmp_path / "copper-mining_country_emissions.csv")
    np.testing.assert_allclose(sums["emissions_quantity"].sum(), sources["emissions_quantity"].sum())
    with pytest.raises(EmissionsError):
        export(assets, tmp_path, "v4", gwp_set="AR6", date="")
    with pytest.raises(EmissionsError):
        import_files(tmp_path / "nothing")


def test_what_was_exported_is_valid(assets: pd.DataFrame, tmp_path: Path) -> None:
    for schema, name in (("v5", "copper-mining_emissions_sources.csv"), ("2024", "mineral-extraction_assets.csv")):
        export(assets, tmp_path, schema, gwp_set="AR6", date="")
        assert validate_file(tmp_path / name) == []
        with pytest.raises(EmissionsError):
            validate_file(tmp_path / name.replace(".csv", "_confidence.csv"))


def source(number: int, year: int = 2022, gas: str = "co2", **more: object) -> dict[str, object]:
    row = {"source_id": number, "source_name": f"Mine {number}", "source_type": "copper", "iso3_country": "CHL"}
    row |= {"start_time": f"{year}-01-01 00:00:00", "gas": gas, "emissions_quantity": 100.0, "activity": 1e4}
    row |= {"emissions_factor": 0.01, "capacity": 2e4, "capacity_factor": 0.5, "lon": -70.0, "lat": -20.0 - number}
    return row | more


GASES = [source(1), source(1, gas="ch4", emissions_quantity=2.0), source(1, gas="n2o", emissions_quantity=0.5)]
AR6_100, AR6_20, AR4_100 = 100 + 54 + 136.5, 100 + 159.4 + 136.5, 100 + 50 + 149

FAULTS: dict[str, tuple[list[dict[str, object]], str, int, str]] = {
    "zero emissions beside activity": ([source(1), source(2, emissions_quantity=0)], "zero-emissions", 3, "0"),
    "NULL as 0": (
        [source(1), source(2, emissions_quantity=0, activity="", capacity_factor="")],
        "null-as-zero",
        3,
        "0",
    ),
    "capacity factor above 1": ([source(1, capacity_factor=1.5, capacity=1e4 / 1.5)], "capacity-factor", 2, "1.5"),
    "5 % of emissions": ([source(1, emissions_quantity=106)], "product", 2, "106"),
    "5 % of activity": ([source(1), source(2, capacity=2.2e4)], "capacity", 3, "10000.0"),
    "duplicate row": ([source(1), source(1)], "duplicate", 3, "1"),
    "duplicate asset": ([source(1), source(2, source_name="MINE 1", lat=-21.02)], "duplicate", 3, "MINE 1"),
    "20 years in the column of 100": ([*GASES, source(1, gas="co2e_100yr", emissions_quantity=AR6_20)], "gwp", 2, ""),
    "100 years in the column of 20": ([*GASES, source(1, gas="co2e_20yr", emissions_quantity=AR6_100)], "gwp", 2, ""),
    "unknown country": ([source(1), source(2, iso3_country="CL")], "unknown-country", 3, "CL"),
    "year gap": ([source(1, 2019), source(1, 2022)], "year-gap", 3, "2022"),
    "Mt beside t": (
        [
            source(1, year, activity=a, capacity_factor=a / 2e4, emissions_quantity=a / 100)
            for year, a in ((2020, 1e4), (2021, 1.1e4), (2022, 0.012))
        ],
        *("unit-mix", 4, "0.012"),
    ),
    "negative": ([source(1, emissions_quantity=-5)], "out-of-range", 2, "-5"),
    "text for a number": ([source(1, activity="n.d.")], "not-a-number", 2, "n.d."),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_of_a_file_is_found(table: Tables, fault: str) -> None:
    rows, code, row, value = FAULTS[fault]
    found = [finding for finding in validate_file(table("x_emissions_sources", rows)) if finding.code == code]
    assert found, fault
    assert found[0].row == row
    assert found[0].remedy
    assert value in found[0].value


@pytest.mark.parametrize("gwp_100", [AR6_100, AR4_100, 100 + 59.6 + 136.5])
def test_any_one_set_of_potentials_is_accepted(table: Tables, gwp_100: float) -> None:
    rows = [*GASES, source(1, gas="co2e_100yr", emissions_quantity=gwp_100)]
    sound = [row | {"emissions_factor": "", "capacity_factor": ""} for row in rows]
    assert validate_file(table("x_emissions_sources", sound)) == []


@pytest.mark.parametrize(
    ("kind", "rows", "code"),
    [
        ("reported", [report("m", 2021, "ore", 5), report("m", 2021, "emissions", 0)], "zero-emissions"),
        ("reported", [report("m", 2021, "ore", 0), report("m", 2021, "emissions", 3)], "null-as-zero"),
        ("reported", [report("m", 2021, "ore", 5), report("m", 2021, "ore", 5)], "duplicate"),
        ("reported", [report("m", 2019, "ore", 5), report("m", 2022, "ore", 5)], "year-gap"),
        ("reported", [report("m", 2021, "ore", 5, source="")], "no-source"),
        ("reported", [report("m", 2021, "ore", 5, "mt")], "unit"),
        ("reported", [report("m", 2021, "ore", 37_900_000, "Mt")], "unit-mix"),
        ("reported", [report("m", y, "ore", v) for y, v in ((2020, 37.9e6), (2021, 38), (2022, 39e6))], "unit-mix"),
        ("reported", [report("m", y, "ore", v) for y, v in ((2020, 37.9e6), (2021, 38.1))], "unit-mix"),
        ("reported", [report("m", 2020, "ore", 38e6), report("m", 2021, "ore", 38, "Mt")], "unit-mix"),
        ("reported", [report("m", 2021, "tonnes", 5)], "out-of-range"),
        ("assets", [asset("m"), asset("m")], "duplicate"),
        ("assets", [asset("a", name="Mina Él"), asset("b", name="mina el")], "duplicate"),
        ("assets", [asset("m", lon=-20, lat=140)], "out-of-range"),
        ("assets", [asset("m", "XSP")], "unknown-country"),
        ("assets", [asset("m", status="Busy")], "unknown-word"),
        ("activity", [{"asset_id": "m", "year": 2021, "area_m2": 18.5}], "unit-mix"),
        ("activity", [{"mine_id": "m", "year": 2021, "area_m2": 9e5}] * 2, "duplicate"),
    ],
)
def test_every_fault_of_an_input_is_found(table: Tables, kind: str, rows: list[dict[str, object]], code: str) -> None:
    found = [finding for finding in validate_file(table(kind, rows)) if finding.code == code]
    assert found
    assert all(finding.row and finding.remedy and finding.column for finding in found)


def test_decimal_commas_and_encodings_in_any_kind_of_file(tmp_path: Path) -> None:
    texts = {
        "assets": "asset_id;name;iso3;mineral;lon;lat\nm;Peña;CHL;copper;-70,5;-20,25\n",
        "reported": "asset_id;year;quantity;value;unit;source\nm;2021;ore;1.234,5;kt;Peña\n",
        "activity": "mine_id;year;area_m2\nm;2021;900000,5\n",
        "factors": "activity;gas;unit;value;source;edition\ncopper ore;CO2;t/t;0,015;Peña;2024\n",
        "v5": "source_id;source_name;iso3_country;start_time;gas;emissions_quantity\n1;Peña;CHL;2022-01-01;co2;1,5\n",
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}.csv"
        path.write_bytes(text.encode("cp1252"))
        found = {finding.code: finding for finding in validate_file(path)}
        assert found["decimal-comma"].row == 2
        assert "," in found["decimal-comma"].value
        assert name == "activity" or found["encoding"].row == 2


def test_one_asset_is_two_only_where_it_is(table: Tables) -> None:
    """Same name and mineral within 5 km; not with another mineral, nor far away."""
    rows = [asset("a", name="Iron Hill", lon=20.0, lat=0.0), asset("b", name="Iron hill mine", lon=20.04, lat=0.0)]
    assert [f.code for f in validate_file(table("assets", rows))] == ["duplicate"]
    rows[1] |= {"lon": 20.06}
    assert validate_file(table("assets", rows)) == []
    rows[1] |= {"lon": 20.0, "mineral": "copper"}
    assert validate_file(table("assets", rows)) == []


def test_no_known_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EmissionsError):
        validate_file(tmp_path / "x.csv")
