"""Steps of the default method against what shares no code with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage, special
from scipy.stats import false_discovery_control

from insar_mining.activity import estimate_looks
from insar_mining.activity.significant.anchor import own_tables
from insar_mining.activity.significant.baseline import baseline_losses
from insar_mining.activity.significant.classes import edges_of
from insar_mining.activity.significant.level import tables_of
from insar_mining.activity.significant.limits import LEAST_LOW, LEAST_STEP, LEAST_STEPS, critical_score
from insar_mining.activity.significant.low_ground import natural_ground
from insar_mining.activity.significant.means import local_means, means_into
from insar_mining.activity.significant.quantiles import row_quantiles
from insar_mining.activity.significant.ranks import (
    block_medians,
    lowest_third,
    own_levels,
    sort_columns,
    upper_halves,
    weather_around,
)
from insar_mining.activity.significant.scores import count_scores, least_scores, take_weather


def holed(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    values = np.random.default_rng(seed).random(shape).astype(np.float32) * 0.9
    values[..., 4, 5] = values[0, 0, 0] = np.nan
    return values


def means_by_scipy(layer: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    known = np.isfinite(layer)
    kernel = np.ones((3, 3))
    total = ndimage.convolve(np.where(known, layer, 0.0).astype(float), kernel, mode="constant")
    count = ndimage.convolve(known.astype(float), kernel, mode="constant")
    return np.where(known, total / np.maximum(count, 1), np.nan)


def test_local_means_against_scipy() -> None:
    values = holed((3, 9, 11))
    mean, scaled = local_means(values, False), local_means(values, True)
    for layer, m, y in zip(values, mean, scaled, strict=True):
        np.testing.assert_allclose(m, means_by_scipy(layer), rtol=1e-5)
        np.testing.assert_allclose(y, means_by_scipy(np.arctanh(layer)), rtol=1e-5)
    np.testing.assert_array_equal(local_means(values, False, False), values)
    np.testing.assert_allclose(local_means(values, True, False), np.arctanh(values), rtol=1e-5, atol=1e-6)
    even = np.append(np.linspace(0, 1, 20001), np.nan).astype(np.float32)[None, None]
    exact = np.arctanh(np.minimum(even.astype(np.float64), np.float32(0.995)))
    np.testing.assert_allclose(local_means(even, True, False), exact, rtol=0, atol=2e-7)
    for averaged, expected in ((True, scaled), (False, local_means(values, True, False))):
        place = values.copy()
        means_into(place, True, averaged, place)
        np.testing.assert_array_equal(place, expected)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 25, 64, 92, 121])
def test_columns_are_sorted(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, 40)).round(1).astype(np.float32)
    values[count // 2 :, ::3] = np.inf
    ranked = values.copy()
    sort_columns(ranked, 33)
    np.testing.assert_array_equal(ranked[:, :33], np.sort(values[:, :33], axis=0))
    np.testing.assert_array_equal(ranked[:, 33:], values[:, 33:])


def test_means_of_the_ends_of_a_cell_over_its_pairs() -> None:
    """More columns than are ranked together, cells with gaps, and one without data."""
    values = np.random.default_rng(6).normal(size=(11, 3, 150)).astype(np.float32)
    values[np.random.default_rng(7).random(values.shape) < 0.2] = np.nan
    values[:, 1, 149] = np.nan
    use = np.arange(11) != 4
    offset = np.linspace(0, 1, 11)
    high, low = upper_halves(values, use, offset), lowest_third(values)
    negative = lowest_third(values, -1.0)
    for y, x in np.ndindex(3, 150):
        cell = values[:, y, x]
        some = np.sort(cell[np.isfinite(cell)])
        less = np.sort((cell - offset)[use & np.isfinite(cell)])
        if not some.size:
            assert np.isnan([high[y, x], low[y, x], negative[y, x]]).all()
            continue
        third = max(some.size // 3, 1)
        assert high[y, x] == pytest.approx(less[less.size // 2 :].mean(), abs=1e-5)
        assert low[y, x] == pytest.approx(some[:third].mean(), abs=1e-5)
        assert negative[y, x] == pytest.approx(-some[-third:].mean(), abs=1e-5)


def test_scores_are_counted_with_their_means_and_the_least_of_each_cell() -> None:
    scores = np.random.default_rng(9).normal(size=(4, 12, 15)).astype(np.float32)
    scores[:, 5, 6], scores[2, 3, 3] = np.nan, np.nan
    where = np.random.default_rng(10).random((12, 15)) < 0.7
    wide = np.stack([means_by_scipy(layer) for layer in scores])
    counts, wide_counts = np.zeros((4, 60), np.int64), np.zeros((4, 60), np.int64)
    least = count_scores(scores, where, -3.0, 0.1, counts, wide_counts)
    for p in range(4):
        for values, found in ((scores[p], counts[p]), (wide[p], wide_counts[p])):
            chosen = values[where & np.isfinite(values)]
            expected = np.histogram(chosen.clip(-3, 2.999), np.linspace(-3, 3, 61))[0]
            assert found.sum() == chosen.size
            assert abs(found - expected).sum() <= 2  # edges of steps are not exact
    np.testing.assert_array_equal(least, np.where(np.isnan(scores), np.inf, scores).min(axis=0))
    centre, scale = np.array([0.1, 0.0, -0.1, 0.2]), np.array([0.5, 0.6, 0.4, 0.5])
    both = np.concatenate([scores / 1.2, (wide / 1.1 - centre[:, None, None]) / scale[:, None, None]])
    expected = np.where(np.isnan(both), np.inf, both).min(axis=0)
    np.testing.assert_allclose(least_scores(scores, centre, scale, 1.2, 1.1), expected, rtol=1e-5)


def test_own_level_is_the_upper_half_of_the_pairs_in_which_a_cell_is_up() -> None:
    """By hand: seven pairs at 0.6, three at the floor, beside ground of 0.9."""
    mean = np.full((10, 1, 2), 0.6, np.float32)
    mean[[1, 5, 8], 0, 0] = 0.35
    mean[:9, 0, 1] = 0.35
    level = own_levels(mean, np.full(10, 0.9), np.ones(10, np.bool_), 0.34, 0.35, 2, 0.15)
    assert float(level[0, 0]) == pytest.approx(-0.3)
    assert np.isnan(level[0, 1])  # up in one pair only


@pytest.mark.parametrize("looks", [4, 7, 14])
def test_looks_are_found_in_the_data(looks: int, sampled: Callable[..., np.ndarray]) -> None:  # type: ignore[type-arg]
    true = np.linspace(0.8, 0.9, 1500) * np.linspace(0.97, 1.0, 12)[:, None]
    values = sampled(true, looks, np.random.default_rng(looks))
    assert estimate_looks(values) == pytest.approx(looks, rel=0.12)
    assert estimate_looks(values[:, :10]) == 7.0


def test_the_floor_is_that_of_samples(sampled: Callable[..., np.ndarray]) -> None:  # type: ignore[type-arg]
    values = sampled(np.zeros((40, 2000)), 7, np.random.default_rng(1))
    tables = tables_of(7.0)
    assert tables.floor == pytest.approx(values.mean(), abs=0.003)
    assert tables.floor_atanh == pytest.approx(np.arctanh(values).mean(), abs=0.003)


def test_the_limit_is_that_of_benjamini_and_hochberg() -> None:
    z = np.random.default_rng(8).standard_normal((20, 5000))
    z[0, :300] -= 5
    least = z.min(axis=0)
    chance = -np.expm1(20 * np.log1p(-special.ndtr(least)))
    called = false_discovery_control(chance, method="bh") <= 0.05
    places = ((least - LEAST_LOW) / LEAST_STEP).astype(int).clip(0, LEAST_STEPS - 1)
    limit = critical_score(np.bincount(places, minlength=LEAST_STEPS), 20, 0.05)
    assert abs(int((least < limit).sum()) - int(called.sum())) <= 3
    nothing = np.zeros(LEAST_STEPS, np.int64)
    nothing[2400] = 1
    assert critical_score(nothing, 20, 0.05) == -np.inf


def test_quantiles_of_rows_with_holes() -> None:
    values = np.random.default_rng(2).normal(size=(4, 101)).astype(np.float32)
    values[1, ::3] = np.nan
    values[3] = np.nan
    found = row_quantiles(values, (0.1, 0.5, 0.85))
    expected = np.nanquantile(values[:3].astype(float), (0.1, 0.5, 0.85), axis=1)
    np.testing.assert_allclose(found[:, :3], expected, rtol=1e-6)
    assert np.isnan(found[:, 3]).all()


def test_every_class_is_wide_and_holds_enough_cells() -> None:
    levels = np.random.default_rng(3).normal(0.8, 0.1, 5000)
    groups = edges_of(levels)
    assert sorted(np.concatenate(groups)) == list(range(5000))
    for group in groups[:-1]:
        assert group.size >= 200
        assert np.ptp(levels[group]) >= 0.024


@pytest.mark.parametrize(("part", "falls"), [(0.3, False), (0.6, False), (1.0, True)])
def test_a_class_of_which_a_part_is_worked_keeps_its_level(part: float, falls: bool) -> None:
    """Ground without control: its median is drowned by work in one pair, its upper decile is not."""
    rng = np.random.default_rng(4)
    scaled = rng.normal(1.5, 0.15, (20, 2000)).astype(np.float32)
    scaled[7, : int(part * 2000)] -= 1.0
    mean = np.tanh(scaled)
    level, usual, spread, fell = own_tables(mean, scaled, [np.arange(2000)], np.full(20, 12.0))
    assert fell[7, 0] == falls
    assert not np.delete(fell[:, 0], 7).any()
    if not falls:
        assert usual[7, 0] == pytest.approx(1.5, abs=0.12)
        assert spread[7, 0] < 0.25
        assert level[7, 0] == pytest.approx(np.tanh(1.5), abs=0.03)


def test_local_weather_is_taken_off_and_work_is_not() -> None:
    scores = np.zeros((2, 80, 80), np.float32)
    mean = np.full_like(scores, 0.8)
    scores[0, :, :40] = -2.0  # a storm
    scores[1, 20:30, 20:30], mean[1, 20:30, 20:30] = -6.0, 0.3  # a worked patch
    medians = np.empty((2, 10, 10), np.float32)
    block_medians(scores, mean, np.full(2, 0.5), medians)
    weather = np.zeros_like(medians)
    weather_around(np.nan_to_num(medians), 2, -0.5, weather)
    left = scores.copy()
    take_weather(left, weather, 0, 0)
    assert abs(left[0, :, :25]).max() < 0.1
    np.testing.assert_array_equal(left[1], scores[1])
    # the same in parts
    part = scores[:, 16:48, 24:].copy()
    take_weather(part, weather, 16, 24)
    np.testing.assert_array_equal(part, left[:, 16:48, 24:])


def test_always_low_ground_is_natural_where_it_goes_on_outside() -> None:
    mine = np.ones((60, 60), np.bool_)
    mine[:, :20] = False
    control = ~mine
    low = np.zeros_like(control)
    low[20:40, 6:26] = True  # a wood across the edge
    low[45:55, 45:55] = True  # a pit
    natural = natural_ground(low, control, mine, 20.0)
    assert natural[25:35, 20:26].all()
    assert not natural[45:55, 45:55].any()
    # 60 m beside the mine tell nothing: a square of 21 cells counts what lies beyond
    beyond = control.copy()
    beyond[:, 17:] = False
    gone = ndimage.uniform_filter((low & beyond).astype(float), 21, mode="constant")
    there = ndimage.uniform_filter(beyond.astype(float), 21, mode="constant")
    np.testing.assert_array_equal(natural, low & (there > 0.05) & (gone >= 0.15 * there - 1e-12))


def test_work_that_spills_over_the_outline_does_not_make_a_pit_natural() -> None:
    mine = np.zeros((100, 100), np.bool_)
    mine[20:80, 20:80] = True
    low = np.zeros_like(mine)
    low[18:50, 18:82] = True  # worked up to two cells beyond a tight outline
    assert not natural_ground(low, ~mine, mine, 20.0).any()


def test_the_lowest_third_by_hand() -> None:
    scores = np.array([3, 1, 2, -1, 0, 5, np.nan, 4], np.float32)[:, None, None]
    assert float(lowest_third(scores)[0, 0]) == pytest.approx(-0.5)


def test_the_loss_with_the_baseline_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(5)
    squares = rng.uniform(0, 1, 25)
    true = np.zeros((20, 20))
    true[:10] = 0.4
    mean = 0.34 + 0.55 * np.exp(-squares[:, None, None] * true)
    mean = (mean + rng.normal(0, 0.01, mean.shape)).astype(np.float32)
    found = baseline_losses(mean, np.full(25, 0.9), squares, 0.34, 0.35)
    assert found[:10].mean() == pytest.approx(0.4, abs=0.03)
    assert (found[10:] > 0).mean() < 0.02
