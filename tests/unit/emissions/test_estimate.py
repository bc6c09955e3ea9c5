"""The two pathways for assets and years, and their tables: every leaf, and the published numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from insar_mining.emissions.confidence import interval, lowered, product_error, total_error
from insar_mining.emissions.estimate import Estimate, estimate
from insar_mining.emissions.explain import explain
from insar_mining.emissions.factors import read_factors
from insar_mining.emissions.inputs import read_inputs
from insar_mining.emissions.inventory import beside_national, inventory_tables, top_emitters, totals
from insar_mining.errors import EmissionsError

from . import published
from .conftest import Rows, asset, factor, report
from .simulated import portfolio

Tables = Callable[..., Path]


def made(
    table: Tables, assets: Rows, reported: Rows = (), activity: Rows = (), factors: Rows = (), **how: str
) -> Estimate:
    """Estimate from rows."""
    paths = {
        name: table(name, rows) if rows else None for name, rows in (("reported", reported), ("activity", activity))
    }
    inputs = read_inputs(table("assets", assets), paths["reported"], paths["activity"])
    tables = [read_factors(table("factors", factors)).frame] if factors else []
    return estimate(inputs, tables, **how)  # type: ignore[arg-type]


def row_of(found: Estimate, asset_id: str, year: int) -> pd.Series:
    rows = found.assets[(found.assets["asset_id"] == asset_id) & (found.assets["year"] == year)]
    return rows.iloc[0]


def sishen(table: Tables, reported_years: tuple[int, ...] = (2021, 2022, 2023)) -> Estimate:
    areas = [
        {"mine_id": "sishen", "year": year, "area_m2": 100.0 * pixels}
        for year, pixels in zip((2021, 2022, 2023), published.SISHEN_PIXELS, strict=True)
    ]
    ore = dict(zip((2021, 2022, 2023), published.SISHEN_ORE_T, strict=True))
    co2 = dict(zip((2021, 2022, 2023), published.SISHEN_CO2_T, strict=True))
    rows = [report("sishen", year, "ore", ore[year] / 1e6, "Mt") for year in reported_years]
    rows += [report("sishen", year, "emissions", co2[year] / 1e3, "kt CO2e") for year in reported_years]
    return made(table, [asset("sishen")], rows, areas)


def test_sishens_counts_rates_and_factors(table: Tables) -> None:
    """Table 2: R + M + Y + W, G + C + Y + W, B + C + M + W, black 78,241 pixels; and 2.0439, 2.0501, 3.1757 t/m2."""
    n = published.SISHEN_CLASSES
    counts = (n["R"] + n["M"] + n["Y"] + n["W"], n["G"] + n["C"] + n["Y"] + n["W"], n["B"] + n["C"] + n["M"] + n["W"])
    assert counts == published.SISHEN_PIXELS
    assert 369_786 - sum(n.values()) == published.SISHEN_BLACK
    found = sishen(table)
    for year, rate, value, ore, co2 in zip(
        (2021, 2022, 2023),
        published.SISHEN_RATES,
        published.SISHEN_FACTORS,
        published.SISHEN_ORE_T,
        published.SISHEN_CO2_T,
        strict=True,
    ):
        row = row_of(found, "sishen", year)
        assert round(row["activity_t"] / row["area_m2"], 4) == rate
        assert round(row["factor_t_t"], 6) == value
        assert row["co2_t"] == pytest.approx(co2, rel=1e-12)
        # the printed factor, rounded to 0.0001, times the ore
        assert abs(round(value, 4) * ore - co2) <= ore * 0.00005
        assert (row["activity_confidence"], row["factor_level"], row["confidence"]) == ("very high", "asset", "high")


def test_sishens_rate_serves_the_year_without_a_report(table: Tables) -> None:
    row = row_of(sishen(table, (2021, 2022)), "sishen", 2023)
    ore, pixels = published.SISHEN_ORE_T, published.SISHEN_PIXELS
    expected = pixels[2] * (ore[0] + ore[1]) / (pixels[0] + pixels[1])
    assert row["activity_t"] == pytest.approx(expected, rel=1e-12)
    assert (row["activity_source"], row["activity_confidence"]) == ("active area", "medium")
    # the factor is that of its own other years, with lower confidence
    assert (row["factor_level"], row["factor_confidence"], row["factor_n"]) == ("asset", "low", 2)
    assert row["factor_t_t"] == pytest.approx(sum(published.SISHEN_CO2_T[:2]) / sum(ore[:2]), rel=1e-12)


def test_activity_times_factor_of_the_ten_highest_emitters(table: Tables) -> None:
    """Table 4 within the rounding of its factors, 0.00005 times the activity; its sum is 19.97 % of 2023."""
    assets = [asset(name, iso3, mineral) for name, mineral, iso3, *_ in published.TOP_TEN]
    reported = [report(name, 2023, "ore", ore) for name, _, _, ore, _, _ in published.TOP_TEN]
    given = [
        factor(co2 / ore, activity=f"{mineral} ore", asset=name) for name, mineral, _, ore, _, co2 in published.TOP_TEN
    ]
    found = made(table, assets, reported, factors=given)
    for name, _, _, ore, printed, co2 in published.TOP_TEN:
        row = row_of(found, name, 2023)
        assert row["co2_t"] == pytest.approx(co2, rel=1e-9)
        assert abs(ore * printed - co2) <= ore * 0.00005
    top = top_emitters(found.assets, 2023)
    assert top["asset_id"].tolist() == [name for name, *_ in published.TOP_TEN]
    assert top["co2_t"].sum() == pytest.approx(published.TOP_TEN_T, abs=1)
    assert round(100 * top["co2_t"].sum() / published.WORLD_CO2_T[-1], 2) == 19.97
    # two of one owner, and two of one region, share a factor
    np.testing.assert_allclose(top.loc[top["iso3"] == "RUS", "factor_t_t"], 0.0429656, atol=1e-7)
    assert {round(value, 4) for value in top.loc[top["iso3"].isin(["IRN", "MMR"]), "factor_t_t"]} == {0.0391}


def test_a_companys_emissions_are_rescaled_to_mining_and_shared(table: Tables) -> None:
    ore = {"mikhailovsky": 49_115_455, "lebedinsky": 33_408_742}
    assets = [asset(name, "RUS", organisation="One owner") for name in ore]
    reported = [report(name, 2023, "ore", value) for name, value in ore.items()]
    whole = report("One owner", 2023, "emissions", 7_091_412, mining_share=0.5)
    found = made(table, assets, [*reported, whole])
    assert found.assets["factor_level"].unique().tolist() == ["organisation"]
    assert found.assets["factor_t_t"].iloc[0] == pytest.approx(0.0429656, abs=1e-7)
    assert found.assets["co2_t"].sum() == pytest.approx(7_091_412 / 2, rel=1e-12)
    # one asset without ore: the company's factor would be too high, so there is none
    part = made(table, assets, [reported[0], whole])
    assert "organisation" not in set(part.assets["factor_level"])


def test_minerals_and_world_are_table_3(table: Tables) -> None:
    assets = [asset(mineral, "CHL", mineral) for mineral in published.CO2_T]
    reported = [
        report(mineral, year, quantity, values[mineral][number])
        for mineral in published.CO2_T
        for number, year in enumerate(published.YEARS)
        for quantity, values in (("ore", published.ORE_T), ("emissions", published.CO2_T))
    ]
    tables = inventory_tables(made(table, assets, reported).assets)
    assert tables["world"]["co2_t"].tolist() == list(published.WORLD_CO2_T)
    assert [round(value, 5) for value in tables["world"]["factor_t_t"]] == list(published.WORLD_FACTORS)
    minerals = tables["minerals"].groupby("mineral")["co2_t"].apply(tuple)
    assert minerals.to_dict() == published.CO2_T
    # the supplement's total of 2023 holds 46,066,111 t that are broken down nowhere
    assert published.WORLD_CO2_T[-1] + 46_066_111 == 165_565_781


def test_countries_and_their_national_figures(table: Tables) -> None:
    """Tables 5 and 6; the factors printed with four places would be up to 0.65 % off: none is rounded."""
    assets = [asset(f"all of {iso3}", iso3, "copper") for iso3 in published.COUNTRIES]
    reported = [report(f"all of {iso3}", 2023, "ore", ore) for iso3, (ore, *_) in published.COUNTRIES.items()]
    countries = totals(made(table, assets, reported).assets, ["iso3", "year"])
    for row in countries.itertuples():
        _, printed, co2 = published.COUNTRIES[row.iso3]
        assert row.co2_t == pytest.approx(co2, abs=0.01)
        assert round(row.factor_t_t, 4) == printed
    assert countries["activity_t"].sum() == published.COUNTRIES_ORE_T
    assert countries["co2_t"].sum() == pytest.approx(published.COUNTRIES_CO2_T, abs=0.01)
    # Peru: with the printed factor, rounded to 0.0067, the figure is 0.65 % off
    peru = countries.set_index("iso3").loc["PER"]
    assert abs(0.0067 * peru["activity_t"] / peru["co2_t"] - 1) == pytest.approx(0.0065, abs=0.0001)


def test_coverage_above_one_is_named_and_not_capped() -> None:
    """Assets over national ore: CAN 317, RUS 188, PER 123, BRA 112, AUS 94, CHL 82, IND 41, CHN 34 %."""
    printed = {"CAN": 317, "RUS": 188, "PER": 123, "BRA": 112, "AUS": 94, "CHL": 82, "IND": 41, "CHN": 34}
    countries = pd.DataFrame(
        {
            "iso3": list(printed),
            "year": 2023,
            "activity_t": [float(v) for v in printed.values()],
            "n_modelled": 202,
            "n_assets": 306,
        }
    ).assign(**dict.fromkeys(("factor_t_t", "co2_t", "co2_low_t", "co2_high_t"), 1.0))
    national = pd.DataFrame({"iso3": list(printed), "year": 2023, "activity_t": 100.0, "co2_t": 5.0})
    national = national.assign(factor_t_t=np.nan, n_assets=np.nan)
    found, findings = beside_national(countries, national)
    assert (100 * found.set_index("iso3")["coverage_tonnes"]).round().to_dict() == printed
    assert sorted(finding.value for finding in findings) == ["BRA", "CAN", "PER", "RUS"]
    assert set(found["gap_t"]) == {4.0}
    # India is printed 52 % for 202 of 306
    assert set(round(100 * found["coverage_count"], 1)) == {66.0}


LEAVES: dict[str, tuple[Rows, Rows, float, str]] = {
    "reported ore": (
        [report("m", 2020, "ore", 9), report("m", 2021, "ore", 5)],
        [{"asset_id": "m", "year": 2021, "area_m2": 4000}],
        5,
        "very high",
    ),
    "reported zero": ([report("m", 2020, "ore", 9), report("m", 2021, "ore", 0)], [], 0, "high"),
    "reported product": (
        [report("m", 2020, "ore", 9), report("m", 2020, "concentrate", 3), report("m", 2021, "concentrate", 2)],
        [{"asset_id": "m", "year": 2021, "area_m2": 4000}],
        6,
        "medium",
    ),
    "active area": (
        [report("m", 2020, "ore", 9)],
        [{"asset_id": "m", "year": 2020, "area_m2": 3000}, {"asset_id": "m", "year": 2021, "area_m2": 5000}],
        15,
        "medium",
    ),
    "earlier ore": ([report("m", 2020, "ore", 9)], [{"asset_id": "n", "year": 2021, "area_m2": 3000}], 9, "low"),
    "earlier product": (
        [report("m", 2020, "metal", 2), report("n", 2019, "ore", 8), report("n", 2019, "metal", 2)],
        [{"asset_id": "n", "year": 2021, "area_m2": 3000}],
        8,
        "very low",
    ),
}


@pytest.mark.parametrize("source", list(LEAVES))
def test_every_way_to_an_activity(table: Tables, source: str) -> None:
    reported, activity, expected, confidence = LEAVES[source]
    found = made(table, [asset("m"), asset("n")], reported, activity)
    row = row_of(found, "m", 2021)
    assert (row["activity_source"], row["activity_t"], row["activity_confidence"]) == (source, expected, confidence)


@pytest.mark.parametrize(
    ("level", "confidence"),
    [("asset", "high"), ("organisation", "medium"), ("country", "low"), ("region", "very low"), ("world", "very low")],
)
def test_emissions_take_the_lower_confidence(table: Tables, level: str, confidence: str) -> None:
    where: dict[str, dict[str, object]] = {
        "asset": {"asset": "m"},
        "organisation": {"organisation": "Owner"},
        "country": {"region": "ZAF"},
        "region": {"region": "Sub-Saharan Africa"},
        "world": {"region": "world"},
    }
    order = ["very low", "low", "medium", "high", "very high"]
    for source in ("reported ore", "earlier ore"):
        reported, activity, expected, of_activity = LEAVES[source]
        found = made(
            table, [asset("m", organisation="Owner"), asset("n")], reported, activity, [factor(0.5, **where[level])]
        )
        row = row_of(found, "m", 2021)
        assert row["factor_level"] == level
        assert row["co2_t"] == 0.5 * expected
        assert row["confidence"] == min(of_activity, confidence, key=order.index), source


def test_months_are_one_class_less_sure() -> None:
    classes = pd.Series(["very high", "high", "medium", "low", "very low", ""])
    assert lowered(classes).tolist() == ["high", "medium", "low", "very low", "very low", ""]


def test_missing_is_not_zero(table: Tables) -> None:
    assets = [asset("works"), asset("closed"), asset("unknown", "CHL", "copper")]
    reported = [report("works", 2015, "ore", 10), report("closed", 2015, "ore", 0)]
    found = made(table, assets, reported, factors=[factor(0.5, region="world")])
    assert row_of(found, "closed", 2015)["co2_t"] == 0
    unknown = row_of(found, "unknown", 2015)
    assert np.isnan([unknown["activity_t"], unknown["co2_t"], unknown["co2e_100_t"]]).all()
    assert unknown["confidence"] == ""
    countries = totals(found.assets, ["iso3", "year"]).set_index("iso3")
    assert np.isnan(countries.loc["CHL", "co2_t"])
    assert countries.loc["ZAF", ["n_assets", "n_modelled", "n_missing", "co2_t"]].tolist() == [2, 2, 0, 5]
    world = totals(found.assets, ["year"]).iloc[0]
    assert (world["co2_t"], world["n_missing"], round(world["coverage_count"], 3)) == (5, 1, 0.667)
    assert np.isnan(totals(found.assets, ["year"], min_count=3)["co2_t"].iloc[0])


def test_other_gases_and_sets_of_potentials(table: Tables) -> None:
    given = [
        factor(0.01, region="world"),
        factor(1e-5, gas="CH4", region="world"),
        factor(2e-6, gas="N2O", region="ZAF"),
    ]
    found = made(table, [asset("m")], [report("m", 2021, "ore", 1e6)], factors=given, gwp_set="AR5")
    row = row_of(found, "m", 2021)
    assert row["co2_t"] == pytest.approx(1e4)
    assert row["co2e_100_t"] == pytest.approx(1e4 + 10 * 28 + 2 * 265)
    assert row["co2e_20_t"] == pytest.approx(1e4 + 10 * 84 + 2 * 264)
    assert row["gases"] == "CO2+CH4+N2O"
    with pytest.raises(EmissionsError):  # two sets in one sum
        made(
            table,
            [asset("m")],
            [report("m", 2019, "ore", 1)],
            factors=[factor(1, gas="CO2e", gwp="AR4")],
            gwp_set="AR6",
        )


def test_a_factor_tie_stops_the_inventory_and_names_both(table: Tables) -> None:
    given = [factor(1, region="ZAF", factor_id="first"), factor(2, region="ZAF", factor_id="second")]
    with pytest.raises(EmissionsError, match=r"first.*second"):
        made(table, [asset("m")], [report("m", 2021, "ore", 1)], factors=given)
    nearer = made(table, [asset("m")], [report("m", 2021, "ore", 1)], factors=[*given, factor(3, asset="m")])
    assert row_of(nearer, "m", 2021)["co2_t"] == 3


def test_the_error_of_two_mines_with_one_factor_or_two() -> None:
    """0.849 and 0.632 Mt are printed to first order; with the products of the errors they are 0.856 and 0.642."""
    a, f, each, none = 0.2, 0.4, np.arange(2), np.zeros(2)
    assert np.hypot(f * 2, a * np.sqrt(2)) == pytest.approx(0.849, abs=0.0005)
    assert np.sqrt(2) * np.hypot(a, f) == pytest.approx(0.632, abs=0.0005)
    for group, first_order in ((np.zeros(2, int), 0.849), (each, 0.632)):
        found = total_error(np.ones(2), np.full(2, a), [(each, none), (group, np.full(2, f))])
        assert found == pytest.approx(first_order, rel=0.02)
    assert product_error(0.2, 0.4) == pytest.approx(np.sqrt(0.04 + 0.16 + 0.0064))


def test_totals_agree_with_draws() -> None:
    """20,000 draws of activities, rates and factors, log-normal, shared as the ids say: within 2 %."""
    rng = np.random.default_rng(11)
    n = 40
    assets = pd.DataFrame(
        {
            "year": 2023,
            "activity_t": 1.0,
            "co2_t": rng.lognormal(12, 1, n),
            "own_error": rng.uniform(0, 0.3, n),
            "activity_id": rng.choice(["", "pool a", "pool b"], n),
            "factor_id": rng.choice(["asset", "country", "world"], n),
        }
    ).assign(co2_sd_t=1.0, co2e_100_t=1.0, co2e_20_t=1.0)
    assets["activity_error"] = assets["activity_id"].map({"": 0.0, "pool a": 0.15, "pool b": 0.25})
    assets["factor_error"] = assets["factor_id"].map({"asset": 0.05, "country": 0.2, "world": 0.4})
    formula = totals(assets, ["year"])["co2_sd_t"].iloc[0]

    def drawn(error: float, size: tuple[int, ...]) -> np.ndarray:
        log_sd = np.sqrt(np.log1p(error**2))
        return rng.lognormal(-(log_sd**2) / 2, log_sd, size)

    draws = 20_000
    total = np.zeros(draws)
    shared = {
        name: drawn(error, (draws,))
        for name, error in {
            "": 0.0,
            "pool a": 0.15,
            "pool b": 0.25,
            "asset": 0.05,
            "country": 0.2,
            "world": 0.4,
        }.items()
    }
    for row in assets.itertuples():
        total += row.co2_t * drawn(row.own_error, (draws,)) * shared[row.activity_id] * shared[row.factor_id]
    assert formula == pytest.approx(total.std(), rel=0.02)
    low, high = interval(np.array([100.0]), np.array([0.5]))
    sample = 100 * drawn(0.5, (400_000,))
    assert np.mean((sample >= low) & (sample <= high)) == pytest.approx(0.9, abs=0.003)


def test_a_mine_without_reports_gets_the_models_ore(table: Tables) -> None:
    data = portfolio(np.random.default_rng(1), mines=40, years=3)
    first = data.drop_duplicates("asset_id")
    assets = [asset(r.asset_id, "CHL", r.mineral, operation_type=r.operation_type) for r in first.itertuples()]
    reported = [report(r.asset_id, r.year, "ore", r.ore_t) for r in data.itertuples() if r.asset_id not in ("m0", "m1")]
    activity = data[["asset_id", "year", "area_m2", "area_low_m2", "area_high_m2"]].to_dict("records")
    found = made(table, assets, reported, activity)  # type: ignore[arg-type]
    assert found.model is not None
    row = row_of(found, "m0", 2019)
    truth = data.query("asset_id == 'm0' and year == 2019")["ore_t"].iloc[0]
    assert row["activity_source"] == "active area"
    assert row["activity_id"] == "model:unseen mine"
    assert 0.2 < row["activity_t"] / truth < 5
    assert row["activity_sd_t"] / row["activity_t"] == pytest.approx(0.65, abs=0.15)
    beside = found.alternatives.query("asset_id == 'm0' and year == 2019").iloc[0]
    assert beside["ore_from_model_t"] == row["activity_t"]
    assert beside["ore_from_rate_t"] > 0
    rates = made(table, assets, reported, activity, ore="rate")  # type: ignore[arg-type]
    assert row_of(rates, "m0", 2019)["activity_t"] == beside["ore_from_rate_t"]


def test_claims_that_the_measured_area_contradicts(table: Tables) -> None:
    areas = [{"asset_id": "silent", "year": 2021, "area_m2": 0}, {"asset_id": "busy", "year": 2021, "area_m2": 50_000}]
    reported = [report("silent", 2021, "ore", 5), report("busy", 2021, "ore", 0)]
    found = made(table, [asset("silent"), asset("busy")], reported, areas)
    claims = {finding.code: finding.value for finding in found.findings}
    assert claims["silent-mine"] == "silent"
    assert claims["active-mine"] == "busy"


def test_every_number_can_be_explained(table: Tables) -> None:
    found = sishen(table, (2021, 2022))
    lines = explain(found.assets, found.alternatives, found.factors, "sishen", 2023)
    steps = lines.set_index("step")
    row = row_of(found, "sishen", 2023)
    assert steps.loc["activity", "value"] * steps.loc["factor", "value"] == pytest.approx(
        steps.loc["emissions", "value"]
    )
    assert steps.loc["check", "value"] == pytest.approx(0, abs=1e-6)
    assert steps.loc["factor", "id"] == row["factor_id"]
    ways = lines[lines["step"] == "alternative activity"].set_index("from")["value"]
    assert ways["ore of an earlier year"] == published.SISHEN_ORE_T[1]
    assert {"asset", "country", "world"} <= set(lines.loc[lines["step"] == "alternative factor", "from"])
    world = explain(found.assets, found.alternatives, found.factors, "world", 2023)
    assert world["value"].iloc[0] == row["co2_t"]
    for wrong in (("nowhere", 2023), ("sishen", 1999)):
        with pytest.raises(EmissionsError):
            explain(found.assets, found.alternatives, found.factors, *wrong)


@pytest.mark.parametrize("code", ["XKX", "ZNC", "HKG", "MAC"])
def test_adapted_codes_are_kept(table: Tables, code: str) -> None:
    assert not read_inputs(table("assets", [asset("m", code)])).findings


@pytest.mark.parametrize("code", ["XCA", "XAD", "XCL", "XPI", "XSP", "UK", "chl", "Chile", ""])
def test_other_codes_are_refused(table: Tables, code: str) -> None:
    (finding,) = read_inputs(table("assets", [asset("m", code)])).findings
    assert (finding.severity, finding.column, finding.row) == ("error", "iso3", 2)
    assert "CHL" in finding.remedy or code.lower() not in ("chl", "chile")


def test_a_factor_that_is_no_longer_valid_is_named(table: Tables) -> None:
    own = factor(0.01, region="ZAF", valid_from="2010", valid_to="2012", factor_id="old")
    found = made(table, [asset("m")], [report("m", 2030, "ore", 1.0, "Mt")], factors=[own])
    assert row_of(found, "m", 2030)[["co2_t", "factor_t_t"]].isna().all()
    (finding,) = [finding for finding in found.findings if finding.code == "no-factor"]
    assert "old (2010 to 2012)" in finding.remedy
    steps = explain(found.assets, found.alternatives, found.factors, "m", 2030).set_index("step")
    assert steps["note"][["factor", "emissions"]].tolist() == ["no factor is valid in this year", "not modelled"]


def test_a_unit_that_cannot_be_read_is_not_called_converted(table: Tables) -> None:
    rows = [report("m", year, "ore", 1.0, unit) for year, unit in ((2020, "Mt"), (2021, "mt"), (2022, "bushel"))]
    found = read_inputs(table("assets", [asset("m")]), table("reported", rows)).findings
    assert [(f.severity, f.code, f.row) for f in found if f.column == "unit"] == [
        ("error", "unit", 3),
        ("error", "unit", 4),
    ]


def test_remedies_and_limits_in_words(table: Tables) -> None:
    rows = [factor(0.01, region="XCA"), factor(0.01, region="CHL", valid_from="21")]
    found = {f.code: f for f in read_factors(table("factors", rows)).findings if f.severity == "error"}
    assert "XCA" not in found["unknown-country"].remedy
    assert "^" not in found["out-of-range"].message
