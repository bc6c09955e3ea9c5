"""Ore and emissions per year, held against the published figures of Sishen (Climate TRACE 2024)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.errors import EmissionsError
from insar_mining.pipeline.tonnes import emissions_table, read_table

PIXELS = {2021: 185431, 2022: 192185, 2023: 123123}
ORE_T = {2021: 37.9e6, 2022: 39.4e6, 2023: 39.1e6}
FACTOR = {2021: 0.0106, 2022: 0.0108, 2023: 0.0108}
PUBLISHED_T = {2021: 402_000, 2022: 427_000, 2023: 424_000}


@pytest.fixture
def activity() -> pd.DataFrame:
    pixels = np.array(list(PIXELS.values()))
    return pd.DataFrame(
        {
            "mine_id": "sishen",
            "year": list(PIXELS),
            "method": "published",
            "area_m2": pixels * 400.0,
            "area_nominal_m2": pixels * 100.0,
        }
    )


def reported(*years: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"year": years, "production_t": [ORE_T[y] for y in years], "factor_t_t": [FACTOR[y] for y in years]}
    )


def test_reported_years_give_the_published_rates_and_emissions(activity: pd.DataFrame) -> None:
    table = emissions_table(activity, reported(2021, 2022, 2023), area="nominal").set_index("year")
    assert table["rate_t_m2"].round(2).tolist() == [2.04, 2.05, 3.18]
    for year, published in PUBLISHED_T.items():
        # the printed factor is rounded to 0.0001, and so are the emissions uncertain
        assert table.loc[year, "emissions_t"] == pytest.approx(published, abs=0.00005 * ORE_T[year] + 500)
    assert set(table["production_source"]) == {"reported"}


def test_a_year_without_report_gets_the_others_rate(activity: pd.DataFrame) -> None:
    table = emissions_table(activity, reported(2021, 2022), factor_t_t=0.01, area="nominal").set_index("year")
    rate = (37.9e6 + 39.4e6) / (18.5431e6 + 19.2185e6)
    assert table.loc[2023, "production_source"] == "from area"
    assert table.loc[2023, "production_t"] == pytest.approx(rate * 12.3123e6)
    assert table.loc[2023, "emissions_t"] == pytest.approx(rate * 12.3123e6 * 0.01)
    # in proportion, the convention of the area plays no part
    ground = emissions_table(activity, reported(2021, 2022), factor_t_t=0.01).set_index("year")
    assert ground.loc[2023, "production_t"] == pytest.approx(table.loc[2023, "production_t"])


def test_a_rate_given_wins_and_no_factor_means_not_known(activity: pd.DataFrame) -> None:
    table = emissions_table(activity, reported(2021), rate_t_m2=2.0, area="nominal").set_index("year")
    assert table.loc[2022, "production_t"] == pytest.approx(2 * 19.2185e6)
    assert np.isnan(table.loc[2022, "emissions_t"])


def test_an_unknown_area_gives_unknown_ore(activity: pd.DataFrame) -> None:
    activity.loc[2, "area_m2"] = np.nan
    table = emissions_table(activity, reported(2021), factor_t_t=0.01).set_index("year")
    assert np.isnan(table.loc[2023, "production_t"])
    assert table.loc[2022, "production_t"] > 0


def test_what_cannot_be_is_named(activity: pd.DataFrame) -> None:
    with pytest.raises(EmissionsError, match="--rate"):
        emissions_table(activity, reported())
    with pytest.raises(EmissionsError, match="year and production_t"):
        emissions_table(activity, pd.DataFrame({"jahr": [2021]}))
    with pytest.raises(EmissionsError, match="year and production_t"):
        emissions_table(activity, pd.concat([reported(2021), reported(2021)]))
    twice = pd.concat([activity, activity.assign(mine_id="b")])
    with pytest.raises(EmissionsError, match="2 mines"):
        emissions_table(twice, reported(2021))


def test_the_command_reads_and_writes_tables(activity: pd.DataFrame, tmp_path: Path) -> None:
    activity.to_csv(tmp_path / "activity.csv", index=False)
    reported(2021, 2022).to_csv(tmp_path / "ore.csv", index=False)
    arguments = ["emissions", str(tmp_path / "activity.csv"), "--production", str(tmp_path / "ore.csv")]
    result = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.stderr
    assert [row["year"] for row in json.loads(result.stdout)] == [2021, 2022, 2023]
    assert len(pd.read_csv(tmp_path / "out" / "emissions.csv")) == 3
    wrong = CliRunner().invoke(app, [*arguments, "--area", "moon"])
    assert wrong.exit_code == 1
    assert "must be ground or nominal" in wrong.stderr


def test_a_table_of_another_kind_is_named(activity: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(EmissionsError, match="mine_id"):
        emissions_table(activity.drop(columns="mine_id"), reported())
    with pytest.raises(EmissionsError, match="area_m2"):
        emissions_table(activity.drop(columns="area_m2"), reported())
    with pytest.raises(EmissionsError, match="holds text"):
        emissions_table(activity.assign(area_m2="much"), reported())
    (tmp_path / "a.zip").write_text("year\n2021\n")  # whatever its name, it is not unpacked
    assert read_table(tmp_path / "a.zip")["year"].tolist() == [2021]
    with pytest.raises(EmissionsError, match=r"b\.csv"):
        read_table(tmp_path / "b.csv")
