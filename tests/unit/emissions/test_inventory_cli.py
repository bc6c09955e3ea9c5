"""The commands ``inventory`` and ``factors``: their files, exit codes, JSON, and one self-contained report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.pipeline.inventory import compare_countries

from .conftest import asset, factor, report
from .published import COUNTRIES, COUNTRIES_CO2_T, COUNTRIES_ORE_T
from .simulated import portfolio

Tables = Callable[..., Path]


def call(*arguments: str | Path, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an inventory of 30 mines and three years, of which some report."""
    folder = tmp_path_factory.mktemp("a folder [1]")
    data = portfolio(np.random.default_rng(6), mines=30, years=3)
    first = data.drop_duplicates("asset_id")
    rows = [
        asset(r.asset_id, "CHL", r.mineral, operation_type=r.operation_type, name=f"=mine {r.asset_id}")
        for r in first.itertuples()
    ]
    pd.DataFrame(rows).to_csv(folder / "assets.csv", index=False)
    reported = [
        report(r.asset_id, r.year, "ore", r.ore_t / 1e6, "Mt")
        for r in data.itertuples()
        if int(r.asset_id[1:]) % 5 and not (r.year == 2020 and int(r.asset_id[1:]) % 2)
    ]
    pd.DataFrame(reported).to_csv(folder / "reported.csv", index=False)
    data.drop(columns="ore_t").rename(columns={"asset_id": "mine_id"}).to_csv(folder / "activity.csv", index=False)
    pd.DataFrame([factor(0.01, activity="ore", region="world", sd=0.002)]).to_csv(folder / "own.csv", index=False)
    inputs = (
        "--reported",
        folder / "reported.csv",
        "--activity",
        folder / "activity.csv",
        "--factors",
        folder / "own.csv",
    )
    call("inventory", "estimate", folder / "assets.csv", *inputs, "--gwp", "AR5", "-o", folder / "out")
    return folder / "out"


def test_estimate_writes_its_tables(inventory: Path) -> None:
    assets = pd.read_csv(inventory / "assets.csv", keep_default_na=False)
    needed = ["activity_t", "activity_source", "activity_confidence", "factor_t_t", "factor_level", "factor_id"]
    assert {*needed, "co2_t", "co2_low_t", "co2_high_t", "confidence"} <= set(assets.columns)
    assert len(assets) == 90
    assert set(assets["activity_source"]) == {"reported ore", "active area"}
    assert assets["name"].str.startswith("'=").all()
    numbers = assets[["activity_t", "factor_t_t", "co2_t"]].astype(float)
    np.testing.assert_allclose(numbers["activity_t"] * numbers["factor_t_t"], numbers["co2_t"])
    world = pd.read_csv(inventory / "world.csv")
    np.testing.assert_allclose(world["co2_t"], numbers["co2_t"].groupby(assets["year"]).sum())
    assert ((world["co2_low_t"] < world["co2_t"]) & (world["co2_t"] < world["co2_high_t"])).all()
    for name in ("countries", "minerals"):
        assert pd.read_csv(inventory / f"{name}.csv")["co2_t"].sum() == pytest.approx(world["co2_t"].sum())
    said = yaml.safe_load((inventory / "inventory.yaml").read_text())
    assert said["gwp"] == "AR5"
    assert said["ore_model"]["fitted"] is True
    assert all(len(part["sha256"]) == 64 for part in said["inputs"])
    assert said["activity_sources"]["2020"]["active area"] > said["activity_sources"]["2019"]["active area"]


def test_the_report_needs_nothing_else(inventory: Path) -> None:
    page = (inventory / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("data:image/svg+xml") == 4
    for title in ("Emissions by year", "Ore and active area", "Claimed and measured", "Countries in 2020", "Findings"):
        assert title in page
    assert "the method changes in 2020" in page


def test_explain_and_history(inventory: Path, tmp_path: Path) -> None:
    lines = json.loads(call("inventory", "explain", inventory, "m5", "2019", "--json").stdout)
    steps = {line["step"]: line for line in lines}
    assert steps["activity"]["from"] == "active area"
    assert steps["emissions"]["value"] == pytest.approx(steps["activity"]["value"] * steps["factor"]["value"])
    assert any(line["step"] == "alternative activity" and line["note"] == "used" for line in lines)
    assert call("inventory", "explain", inventory, "CHL", "2019").stdout
    call("inventory", "explain", inventory, "nobody", "2019", code=1)
    database = tmp_path / "db.csv"
    call("inventory", "history", database, "--add", inventory)
    rows = json.loads(call("inventory", "history", database, "m5", "--json").stdout)
    assert {(row["year"], row["quantity"]) for row in rows} == {
        (y, q) for y in (2018, 2019, 2020) for q in ("ore", "co2")
    }


@pytest.mark.parametrize(("schema", "files"), [("v5", 12), ("2024", 3)])
def test_export_and_validate(inventory: Path, tmp_path: Path, schema: str, files: int) -> None:
    paths = json.loads(call("inventory", "export", inventory, "--schema", schema, "-o", tmp_path, "--json").stdout)
    assert len(paths) == files
    main = next(p for p in paths if p.endswith(("_emissions_sources.csv", "_assets.csv")))
    assert json.loads(call("inventory", "validate", main, "--json").stdout) == []
    call("inventory", "export", inventory, "--schema", "v9", "-o", tmp_path, code=1)


def test_faulty_inputs_end_with_3_and_write_their_findings(table: Tables, tmp_path: Path) -> None:
    assets = table("assets", [asset("m"), asset("n", "UK")])
    reported = table("reported", [report("m", 2021, "ore", "1,234")])
    out = tmp_path / "out"
    done = call("inventory", "estimate", assets, "--reported", reported, "-o", out, code=3)
    found = pd.read_csv(out / "findings.csv")
    assert set(found.loc[found["severity"] == "error", "code"]) == {"unknown-country", "decimal-comma"}
    assert {"row", "value", "remedy"} <= set(found.columns)
    assert not (out / "assets.csv").exists()
    assert "GBR" in done.output or "ISO 3166" in done.output
    ties = table("factors", [factor(1, factor_id="one"), factor(2, factor_id="two")])
    sound = table("sound", [report("m", 2021, "ore", 1)])
    done = call("inventory", "estimate", table("a", [asset("m")]), "--reported", sound, "--factors", ties, code=3)
    assert "one" in done.output
    assert "two" in done.output


def test_countries_beside_national_figures(table: Tables) -> None:
    assets = table("a", [asset(f"all {iso3}", iso3, "copper") for iso3 in COUNTRIES])
    reported = table("r", [report(f"all {iso3}", 2023, "ore", ore) for iso3, (ore, *_) in COUNTRIES.items()])
    out = assets.parent / "out"
    call("inventory", "estimate", assets, "--reported", reported, "-o", out)
    national = [
        {"iso3": iso3, "year": year, "activity_t": ore / 2 + 1000 * (year - 2020)}
        for iso3, (ore, *_) in COUNTRIES.items()
        for year in (2010, 2011, 2012)
    ]
    path = table("national", national)
    rows = json.loads(
        call("inventory", "country", out / "assets.csv", "--national", path, "--project", "2023", "--json").stdout
    )
    found = pd.DataFrame(rows).query("year == 2023").set_index("iso3")
    assert found["activity_t"].sum() == COUNTRIES_ORE_T
    assert found["co2_t"].sum() == pytest.approx(COUNTRIES_CO2_T, abs=0.1)
    for iso3, (ore, *_) in COUNTRIES.items():
        assert found.loc[iso3, "national_activity_t"] == pytest.approx(ore / 2 + 3000)  # an exact line goes on exactly
        assert found.loc[iso3, "coverage_tonnes"] == pytest.approx(ore / (ore / 2 + 3000))


def test_a_national_figure_of_no_country_is_named(table: Tables) -> None:
    assets = table("a", [asset("one", "GBR", "copper")])
    reported = table("r", [report("one", 2023, "ore", 1000)])
    out = assets.parent / "out"
    call("inventory", "estimate", assets, "--reported", reported, "-o", out)
    path = table("national", [{"iso3": code, "year": 2023, "activity_t": 2000} for code in ("GBR", "UK")])
    _, findings = compare_countries(out / "assets.csv", path)
    (fault,) = [one for one in findings if one.code == "unknown-country"]
    assert (fault.value, fault.severity) == ("UK", "error")
    assert "GBR" in fault.remedy


def test_process_land_scenario_and_template(table: Tables, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(call("inventory", "template").stdout)
    call("inventory", "process", mine, "-o", tmp_path / "p")
    assert pd.read_csv(tmp_path / "p" / "processes.csv")["co2e_t"].notna().all()
    bad = tmp_path / "bad.yaml"
    content = yaml.safe_load(mine.read_text())
    bad.write_text(yaml.safe_dump({name: part for name, part in content.items() if name != "explosives"}))
    call("inventory", "process", bad, "-o", tmp_path / "b", code=3)
    assert "no-explosives" in set(pd.read_csv(tmp_path / "b" / "findings.csv")["code"])
    call("inventory", "validate", bad, code=3)

    zones = table(
        "zones", [{"zone": "pit", "area_hm2": 503.57, "soil_density_kg_m2": 12.2, "vegetation_t_co2_hm2": 0.8267}]
    )
    for reading, soil in (("as-printed", 61_435.54), ("44/12", 61_435.54 * 44 / 12)):
        rows = json.loads(
            call("inventory", "land", zones, "--years", "21", "--carbon-to-co2", reading, "--json").stdout
        )
        assert rows[0]["soil_t"] == pytest.approx(soil, abs=0.02)

    measures = tmp_path / "measures.yaml"
    sun = {"name": "sun", "kind": "renewables", "share": "50 %", "first": 2026, "last": 2028}
    target = {"name": "Example pit", "base_year": 2020, "base": 130_000, "target_year": 2030, "cut": "30 %"}
    measures.write_text(yaml.safe_dump({"first": 2026, "last": 2030, "measures": [sun], "targets": [target]}))
    rows = json.loads(call("inventory", "scenario", mine, measures, "-o", tmp_path / "s", "--json").stdout)
    assert rows[-1]["emissions_t"] == pytest.approx(rows[-1]["baseline_t"] - 0.5 * 120e6 * 0.81e-3)
    assert "Waterfall of processes" in (tmp_path / "s" / "report.html").read_text("utf-8")
    assert pd.read_csv(tmp_path / "s" / "targets.csv")["on_track"].tolist() == [True]


def test_the_land_of_a_results_own_maps(tmp_path: Path) -> None:
    """Cells of 100 m: two in 2021, one more in 2022; the one that fell silent is inside the declared polygon."""
    active = np.zeros((4, 2, 3), np.uint8)
    active[0, 0, :2] = 1
    active[1:, 0, 1] = 1
    active[1, 1, 2] = active[3, 1, 2] = 1
    transform = rasterio.transform.from_origin(500_000, 9_999_000, 100, 100)
    for year, layer in zip(range(2021, 2025), active, strict=True):
        profile = {
            "driver": "GTiff",
            "width": 3,
            "height": 2,
            "count": 1,
            "dtype": "uint8",
            "crs": "EPSG:32734",
            "transform": transform,
            "nodata": 255,
        }
        with rasterio.open(tmp_path / f"active_{year}.tif", "w", **profile) as target:
            target.write(layer, 1)
    west, north = 21.0, -0.009
    ring = [
        [west - 0.001, north - 0.01],
        [west + 0.0009, north - 0.01],
        [west + 0.0009, north + 0.01],
        [west - 0.001, north + 0.01],
    ]
    declared = tmp_path / "declared.geojson"
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    declared.write_text(json.dumps({"type": "Feature", "properties": {"name": "west"}, "geometry": polygon}))
    options = ("--years", "10", "--density", "12", "--reclaimed", declared, "--uptake", "8", "--price", "50")
    done = call("inventory", "land", tmp_path, *options, "--json")
    rows = {row["zone"]: row["area_hm2"] for row in json.loads(done.stdout)}
    assert rows == pytest.approx({"disturbed 2021": 2.0, "disturbed 2022": 1.0, "total": 3.0}, rel=2e-3)
    assert "8.0" in done.stderr  # 1 hm2 at 8 t a year
    parts = json.loads(
        call("inventory", "land", tmp_path, "--years", "10", "--density", "12", "--surfaces", declared, "--json").stdout
    )
    assert {row["zone"] for row in parts} == {"west 2021", "rest 2021", "rest 2022", "total"}
    assert parts[-1]["area_hm2"] == pytest.approx(rows["total"])
    call("inventory", "land", tmp_path, "--years", "10", code=1)


def test_factors_commands(table: Tables) -> None:
    rows = json.loads(call("factors", "find", "copper ore", "--country", "CHL", "--date", "2023", "--json").stdout)
    assert [row["level"] for row in rows] == ["country", "world"]
    assert rows[0]["value"] == 8_527_740 / 1_022_320_084  # unrounded
    call("factors", "find", "unobtainium", code=1)
    ties = table("ties", [factor(1, factor_id="one"), factor(2, factor_id="two")])
    done = call("factors", "find", "iron ore", "--factors", ties, code=1)
    assert "one" in done.output
    assert "two" in done.output
    assert [row["code"] for row in json.loads(call("factors", "check", ties, "--json", code=3).stdout)] == ["tie"]
    sound = table("sound", [factor(1)])
    call("factors", "check", sound)
    (row,) = json.loads(call("factors", "diff", sound, table("new", [factor(1.1)]), "--json").stdout)
    assert row["per_cent"] == pytest.approx(10)


def test_tables_of_another_kind_are_named(tmp_path: Path) -> None:
    """Headers without rows, a database that is none, and a user's column with a name of the inventory's own."""
    bare = tmp_path / "bare.csv"
    bare.write_text("year,area_m2\n")
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("asset_id,name,iso3,mineral,year,area_m2\nm1,Pit,MAR,copper,2021,1e6\n")
    for args in (["estimate", str(bare)], ["history", str(bare)]):
        outcome = CliRunner().invoke(app, ["inventory", *args, "--json"])
        assert outcome.exit_code in (1, 3), outcome.output
        assert "unexpected" not in outcome.output
    outcome = CliRunner().invoke(app, ["factors", "check", str(bare)])
    assert outcome.exit_code == 3
    out = str(tmp_path / "out")
    outcome = CliRunner().invoke(app, ["inventory", "estimate", str(mixed), "--activity", str(mixed), "-o", out])
    assert outcome.exit_code == 0, outcome.output
