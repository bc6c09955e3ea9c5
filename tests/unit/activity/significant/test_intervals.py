"""Intervals hold the truth as often as they say; what could not be seen is said."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from insar_mining.activity.significant.intervals import area_intervals, detection_power, smallest_square
from insar_mining.activity.significant.local_scores import look_tables
from insar_mining.activity.significant.resampling import drawn_again, moving_weights, quantile_table
from insar_mining.activity.significant.significance import significant_activity
from insar_mining.errors import FewObservationsWarning, OptionError
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack, varied_mine


@pytest.mark.slow
def test_the_interval_holds_the_truth(campaign: Callable[[int], int]) -> None:
    """Mines worked often, once or twice, and by a moving face; 2,000 stacks in full, 200 otherwise."""
    runs = campaign(2000)
    held, done = 0, 0
    for seed in range(runs):
        stack = varied_mine(np.random.default_rng([77, seed]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewObservationsWarning)
            found = significant_activity(stack.coh)
        (row,) = area_intervals(stack.coh, found, power=False).itertuples()
        held += row.area_low_m2 <= stack.active_m2[2021] <= row.area_high_m2
        done += 1
    low, high = (0.93, 0.97) if runs >= 2000 else (0.91, 0.98)
    assert low <= held / done <= high


@pytest.fixture(scope="module")
def small() -> tuple:  # type: ignore[type-arg]
    zone = WorkedZone((430.0, 380.0), 180.0, (2021,), 0.5)
    stack = simulate_mine_stack(np.random.default_rng(3), [zone], cells=(40, 42), pairs_per_year=12)
    return stack, significant_activity(stack.coh)


def test_bounds_enclose_the_area_and_thresholds_order_it(small: tuple) -> None:  # type: ignore[type-arg]
    stack, found = small
    (row,) = area_intervals(stack.coh, found, draws=20).itertuples()
    assert row.area_low_m2 < row.area_m2 < row.area_high_m2
    assert row.area_strict_m2 < row.area_map_m2 < row.area_loose_m2
    assert row.area_map_m2 == (found.active.values == 1).sum() * 400
    assert row.smallest_duty == pytest.approx(1 / found.references[2021].pairs.size)
    (wide,) = area_intervals(stack.coh, found, draws=20, level=0.99, power=False).itertuples()
    assert wide.area_high_m2 - wide.area_low_m2 > row.area_high_m2 - row.area_low_m2
    again = area_intervals(stack.coh, found, draws=20)
    assert again.iloc[0].equals(area_intervals(stack.coh, found, draws=20).iloc[0])


def test_without_draws_there_is_no_interval_and_no_area_without_activity(small: tuple) -> None:  # type: ignore[type-arg]
    stack, found = small
    (row,) = area_intervals(stack.coh, found, draws=0, power=False).itertuples()
    assert row.area_m2 == row.area_map_m2
    assert np.isnan([row.area_low_m2, row.area_high_m2]).all()
    closed = simulate_mine_stack(np.random.default_rng(5), [], cells=(30, 30), pairs_per_year=8)
    (row,) = area_intervals(closed.coh, significant_activity(closed.coh), draws=10, power=False).itertuples()
    assert (row.area_m2, row.area_low_m2, row.area_high_m2) == (0, 0, 0)
    with pytest.raises(OptionError, match="draws=1"):
        area_intervals(stack.coh, found, draws=1)


def test_power_grows_with_the_square(small: tuple) -> None:  # type: ignore[type-arg]
    _, found = small
    chances = list(detection_power(found.references[2021], tries=20).values())
    assert chances[0] < 0.3
    assert chances[-1] == 1.0
    assert all(later >= earlier - 0.25 for earlier, later in itertools.pairwise(chances))


def test_the_smallest_square_is_found_as_often_as_it_says() -> None:
    """Also of a year in which nothing was: real squares, disturbed in one pair of simulated stacks."""
    closed = simulate_mine_stack(np.random.default_rng(8), [], cells=(36, 36), pairs_per_year=12)
    found = significant_activity(closed.coh)
    assert not (found.active.values == 1).any()
    reference = found.references[2021]
    assert reference.critical < reference.alone
    side = smallest_square(closed.coh, reference)
    assert side is not None
    seen = 0
    tries = 16
    for seed in range(tries):
        rng = np.random.default_rng([8, seed])
        coh = simulate_mine_stack(rng, [], cells=(36, 36), pairs_per_year=12).coh.copy()
        pair = int(rng.integers(coh.sizes["pair"]))
        # coherence of 0.1 at 7 looks reads 0.36 with a spread of 0.16, alike over neighbours
        low = rng.normal(0.36, 0.16, (side // 2 + 1, side // 2 + 1)).repeat(2, 0).repeat(2, 1)[:side, :side]
        coh[pair, 12 : 12 + side, 12 : 12 + side] = low.clip(0.02, 0.9)
        seen += bool((significant_activity(coh).active.values == 1)[:, 10:26, 10:26].any())
    assert seen >= 0.6 * tries


def test_nothing_that_could_be_seen_is_no_number(small: tuple) -> None:  # type: ignore[type-arg]
    stack, found = small
    blind = dataclasses.replace(found.references[2021], critical=-np.inf, alone=-np.inf)
    assert smallest_square(stack.coh, blind) is None
    unseeing = dataclasses.replace(found, references={2021: blind})
    assert np.isnan(area_intervals(stack.coh, unseeing, draws=0).loc[0, "smallest_area_m2"])


def test_what_is_drawn_again_follows_the_law_and_correlates_as_asked() -> None:
    tables = look_tables(7.0)
    quantile = quantile_table(tables.score)
    weights = moving_weights(0.5), moving_weights(0.3)
    size, pairs = 60, 12
    white = np.random.default_rng(1).standard_normal((pairs, size + 2, size + 2), dtype=np.float32)
    none = np.zeros((pairs, size, size), np.bool_)
    middle = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    values = drawn_again(
        np.zeros((pairs, size, size), np.float32), white, np.full(pairs, 0.5), np.ones(pairs), np.ones((size, size)),
        none, np.zeros(pairs), quantile, middle, middle, *weights,
    )  # fmt: skip
    assert values.mean() == pytest.approx(0.552, abs=0.006)  # Touzi's table, 7 looks
    assert values.std() == pytest.approx(0.175, abs=0.004)
    rest = values - values.mean()
    assert (rest[:, 1:] * rest[:, :-1]).mean() / rest.var() == pytest.approx(0.5, abs=0.03)
    assert (rest[:, :, 1:] * rest[:, :, :-1]).mean() / rest.var() == pytest.approx(0.3, abs=0.03)
    own = stats.beta(1, 6)  # of the square of decorrelated samples
    none[:] = True
    dead = drawn_again(
        np.zeros((pairs, size, size), np.float32), white, np.full(pairs, 0.5), np.ones(pairs), np.ones((size, size)),
        none, np.zeros(pairs), quantile, middle, middle, *weights,
    )  # fmt: skip
    for q in (0.1, 0.5, 0.9):
        assert np.quantile(dead, q) ** 2 == pytest.approx(own.ppf(q), abs=0.01)
