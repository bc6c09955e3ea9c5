"""Ore from area: the mixed-effects model against known truth, the published line, and statsmodels' own numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from insar_mining.emissions.mixed import fit_ore_model, leave_one_mine_out
from insar_mining.emissions.regression import fit_line, project, published_line
from insar_mining.errors import EmissionsError

from .published import SISHEN_ORE_T, SISHEN_PIXELS
from .simulated import portfolio


def r2(found: np.ndarray, truth: np.ndarray) -> float:
    return float(1 - ((found - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def pooled(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Ore by the published kind of model: a straight line of ore on area for each mineral."""
    ore = np.full(len(test), np.nan)
    for mineral, rows in train.groupby("mineral"):
        line = fit_line(rows["area_m2"].to_numpy(), rows["ore_t"].to_numpy())
        chosen = (test["mineral"] == mineral).to_numpy()
        ore[chosen] = line.at(test["area_m2"].to_numpy()[chosen])[0]
    return ore


@pytest.mark.slow
def test_intervals_cover_and_the_model_beats_the_published_line(campaign: Callable[[int], int]) -> None:
    """200 portfolios of 260 mines by four years: the last year held out, and every tenth mine never seen."""
    known, unseen, scores = [], [], []
    for seed in range(campaign(200)):
        data = portfolio(np.random.default_rng(seed))
        number = data["asset_id"].str[1:].astype(int)
        train = data[(data["year"] < 2021) & (number % 10 > 0)]
        model = fit_ore_model(train)
        found = model.predict(data)
        inside = (data["ore_t"] >= found["ore_low_t"]) & (data["ore_t"] <= found["ore_high_t"])
        held = (data["year"] == 2021) & (number % 10 > 0)
        known.append(inside[held].mean())
        unseen.append(inside[number % 10 == 0].mean())
        test, truth = data[held], data.loc[held, "ore_t"].to_numpy()
        for ore in (found.loc[held, "ore_t"].to_numpy(), pooled(train, test)):
            scores.append((r2(ore, truth), float(np.median(np.abs(ore / truth - 1)))))
    model_r2, line_r2 = (np.mean([score[0] for score in scores[first::2]]) for first in (0, 1))
    model_error, line_error = (np.mean([score[1] for score in scores[first::2]]) for first in (0, 1))
    assert model_r2 >= 0.93 > line_r2
    assert model_error <= 0.16 < line_error
    assert 0.88 <= np.mean(known) <= 0.92
    assert 0.88 <= np.mean(unseen) <= 0.92


def test_prediction_is_the_solution_of_hendersons_equations() -> None:
    """Against the mixed-model equations, solved whole; they share no code with the closed form."""
    data = portfolio(np.random.default_rng(5), mines=30)
    model = fit_ore_model(data)
    x = np.column_stack(
        [np.ones(len(data)), np.log(data["area_m2"]) - model.centre]
        + [(data[n] == v) * 1.0 for n, levels in model.levels.items() for v in levels[1:]]
    )
    codes, ids = pd.factorize(data["asset_id"])
    z = np.eye(ids.size)[codes]
    penalty = np.eye(ids.size) * model.sigma2 / model.tau2
    left = np.block([[x.T @ x, x.T @ z], [z.T @ x, z.T @ z + penalty]])
    y = np.log(data["ore_t"].to_numpy())
    solution = np.linalg.solve(left, np.concatenate([x.T @ y, z.T @ y]))
    inverse = np.linalg.inv(left) * model.sigma2
    both = np.hstack([x, z])
    found = model.predict(data)
    variance = np.einsum("ij,jk,ik->i", both, inverse, both) + model.sigma2
    np.testing.assert_allclose(found["sd_log"] ** 2, variance, rtol=1e-3)
    np.testing.assert_allclose(np.log(found["ore_t"]) - found["sd_log"] ** 2 / 2, both @ solution, rtol=1e-9)


def test_variances_are_found_again() -> None:
    model = fit_ore_model(portfolio(np.random.default_rng(3), mines=1200, years=3))
    assert model.tau2 == pytest.approx(0.36, rel=0.2)
    # the scatter of years, and that of the measured areas times the slope
    assert model.sigma2 == pytest.approx(0.15**2 + (0.8 * 0.05) ** 2, rel=0.1)
    assert model.beta[1] == pytest.approx(0.8, abs=0.05)


def test_a_worse_area_widens_the_interval() -> None:
    data = portfolio(np.random.default_rng(2), mines=60)
    model = fit_ore_model(data)
    row = data.iloc[[0]]
    worse = row.assign(area_low_m2=row["area_m2"] * 0.4, area_high_m2=row["area_m2"] * 1.6)
    narrow, wide = (model.predict(part)["sd_log"].iloc[0] for part in (row, worse))
    sd = 0.6 / 1.96
    assert wide**2 - narrow**2 == pytest.approx(model.beta[1] ** 2 * (np.log1p(sd**2) - np.log1p(0.05**2)), rel=0.01)


def test_what_was_never_seen_is_not_predicted() -> None:
    data = portfolio(np.random.default_rng(2), mines=60)
    model = fit_ore_model(data)
    strange = data.iloc[[0, 1, 2]].assign(mineral=["gold", *data["mineral"].iloc[1:3]], area_m2=[1e6, 0.0, 1e6])
    assert model.predict(strange)["ore_t"].isna().tolist() == [True, True, False]
    # all iron mines are underground and nothing else is: the two effects cannot be told apart
    confounded = data.assign(operation_type=np.where(data["mineral"] == "iron", "Underground", "Open Pit"))
    both = fit_ore_model(confounded)
    iron = confounded[confounded["mineral"] == "iron"].iloc[[0]]
    assert both.predict(iron)["ore_t"].notna().all()
    assert both.predict(iron.assign(operation_type="Open Pit"))["ore_t"].isna().all()


def test_every_mine_is_predicted_from_the_others() -> None:
    data = portfolio(np.random.default_rng(4), mines=40)
    model = fit_ore_model(data)
    left_out = leave_one_mine_out(data, model)
    without = data[data["asset_id"] != "m7"]
    again = fit_ore_model(without).predict(data[data["asset_id"] == "m7"])
    median = again["ore_t"] * np.exp(-(again["sd_log"] ** 2) / 2)
    np.testing.assert_allclose(left_out.loc[median.index, "predicted_t"], median, rtol=0.01)
    assert 0.3 < np.median(np.abs(left_out["ratio"] - 1)) < 0.6


@pytest.mark.parametrize("mines", [0, 3, 11])
def test_too_few_mines_are_refused(mines: int) -> None:
    with pytest.raises(EmissionsError):
        fit_ore_model(
            portfolio(np.random.default_rng(0), mines=12).query(f"asset_id in {[f'm{i}' for i in range(mines)]}")
        )


def test_the_published_lines() -> None:
    """Copper 415 n + 1.2e7 t (R2 0.271), iron 433 n + 8.8e6 t (R2 0.465).

    On Sishen's pixels the iron line gives 1.6 to 2.4 times the ore that it reports.
    """
    copper, iron = published_line("copper"), published_line("Iron")
    assert (copper.slope, copper.intercept, copper.r2) == (415, 1.2e7, 0.271)
    assert (iron.slope, iron.intercept, iron.r2) == (433, 8.8e6, 0.465)
    ore, low, _ = iron.at(np.array(SISHEN_PIXELS, dtype=float))
    assert np.round(ore / 1e6, 1).tolist() == [89.1, 92.0, 62.1]
    assert np.round(ore / np.array(SISHEN_ORE_T), 1).tolist() == [2.4, 2.3, 1.6]
    assert np.isnan(low).all()
    with pytest.raises(EmissionsError):
        published_line("bauxite")


def test_a_line_is_that_of_numpy_and_its_interval_covers() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        x = rng.uniform(0, 10, 12)
        y = 3 * x + 5 + rng.normal(0, 2, 12)
        line = fit_line(x[:-1], y[:-1])
        np.testing.assert_allclose([line.slope, line.intercept], np.polyfit(x[:-1], y[:-1], 1), rtol=1e-9)
        assert line.r2 == pytest.approx(np.corrcoef(x[:-1], y[:-1])[0, 1] ** 2)
        _, low, high = line.at(x[-1])
        inside.append(low <= y[-1] <= high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)


def test_an_exact_series_is_carried_on_exactly() -> None:
    years = np.arange(2005, 2021)
    values = np.where(years < 2010, 999.0, 50.0 + 3.0 * (years - 2010))
    assert project(years, values, 2023) == pytest.approx((89.0, 89.0, 89.0))
    with pytest.raises(EmissionsError):
        project(years[:6], values[:6], 2023)
