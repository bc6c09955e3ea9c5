"""The default method on mines of known truth, sampled as images are; its parts against what shares no code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import ndimage, special
from scipy.stats import false_discovery_control

from insar_mining.activity.published.composite import CLASS_NAMES, classes_of_years
from insar_mining.activity.significant.intervals import area_intervals
from insar_mining.activity.significant.local_scores import local_means, look_tables, own_ratio
from insar_mining.activity.significant.significance import NO_DECISION, Significance, duty_cycle, significant_activity
from insar_mining.activity.significant.year_reference import critical_score, estimate_looks, null_of, quiet_points
from insar_mining.activity.timeline import activity_timeline
from insar_mining.coherence.estimators.statistics import unbias
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError
from insar_mining.simulate.mine_stack import MineStack, WorkedZone, simulate_mine_stack, varied_mine

CELL_M2 = 400.0
Cubes = Callable[..., xr.DataArray]


def found_m2(found: Significance, year: int) -> float:
    return float((found.active.sel(year=year).values == 1).sum() * CELL_M2)


def half_km2(seed: int, duty: float, strips: int = 1, **how: object) -> MineStack:
    """A zone of half a square kilometre beside vegetation and a slope, with snow, gaps and baselines to 250 m."""
    zone = WorkedZone((650.0, 600.0), 400.0, (2021,), duty, strips)
    return simulate_mine_stack(np.random.default_rng(seed), [zone], **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("duty", "strips", "snow"), [(1.0, 1, 0.1), (0.6, 1, 0.1), (0.0, 1, 0.1), (0.6, 6, 0.1), (0.6, 1, 0.6)]
)
def test_half_a_square_kilometre_is_found_within_a_twentieth(duty: float, strips: int, snow: float) -> None:
    """Worked always, often, in one pair of thirty, by a face that moves on, and in a winter mostly under snow."""
    for seed in (1, 2):
        stack = half_km2(seed, duty, strips, snow=snow)
        # were its one working pair under snow, nothing would be compared
        assert stack.active_m2[2021] > 5e5
        found = significant_activity(stack.coh)
        if snow > 0.5:
            assert (~found.scenes["kept"]).sum() >= 5
        assert found_m2(found, 2021) == pytest.approx(stack.active_m2[2021], rel=0.05), (seed, duty, strips)
        # the area that activity.csv tells is another: half of the bias of the decision is taken off
        (reported,) = area_intervals(stack.coh, found, draws=6, power=False)["area_m2"]
        assert reported == pytest.approx(stack.active_m2[2021], rel=0.05), (seed, duty, strips)
        # and it lies where it was: more than two cells off the truth there is nothing
        near = ndimage.binary_dilation(stack.active[2021] > 0, iterations=2)
        assert not (found.active.values[0][~near] == 1).any()


def test_a_closed_mine_has_no_active_ground() -> None:
    for seed in range(3):
        stack = simulate_mine_stack(np.random.default_rng(100 + seed), [], stale_slopes=0.3, vegetation=0.3)
        found = significant_activity(stack.coh)
        assert found_m2(found, 2021) < 0.01 * 60 * 60 * CELL_M2


def test_a_year_is_the_same_whichever_others_are_there() -> None:
    zones = [WorkedZone((420.0, 400.0), 200.0, (2020, 2021), 0.5), WorkedZone((420.0, 400.0), 120.0, (2022,), 1.0)]
    stack = simulate_mine_stack(
        np.random.default_rng(4), zones, cells=(40, 40), years=(2020, 2021, 2022), pairs_per_year=10
    )
    every = significant_activity(stack.coh)
    reported = area_intervals(stack.coh, every, draws=4)
    assert (reported["area_low_m2"] < reported["area_high_m2"]).all()
    for years in ((2021,), (2020, 2021), (2021, 2022)):
        part = significant_activity(stack.coh[np.isin(stack.coh["year"].values, years)])
        assert part.years == list(years)
        for name in ("active", "disturbed", "n_pairs"):
            ours, all_ = getattr(part, name).sel(year=2021), getattr(every, name).sel(year=2021)
            np.testing.assert_array_equal(ours.values, all_.values)
        # and the areas with their intervals, what looser and stricter borders give, the least that can be seen
        areas = area_intervals(stack.coh[np.isin(stack.coh["year"].values, years)], part, draws=4)
        shown = reported[reported["year"].isin(years)].reset_index(drop=True)
        pd.testing.assert_frame_equal(areas, shown, check_exact=True)


def shares_far_off(stacks: int, pairs: int, rates: tuple[float, ...]) -> list[tuple[float, float, int]]:
    """For each rate: share of found cells more than two cells off the truth, without vegetation too, and all found."""
    counts = np.zeros((len(rates), 3), np.int64)
    for number in range(stacks):
        stack = varied_mine(np.random.default_rng([number, 78]), pairs_per_year=pairs)
        near = ndimage.binary_dilation(stack.active[2021] > 0, iterations=2)
        for place, rate in enumerate(rates):
            found = significant_activity(stack.coh, false_discovery_rate=rate).active.values[0] == 1
            off = found & ~near
            # the strip of vegetation at the western edge: 15 % of the map
            bare = off[:, int(np.ceil(0.15 * off.shape[1])) :]
            counts[place] += int(off.sum()), int(bare.sum()), int(found.sum())
    return [(off / every, bare / every, int(every)) for off, bare, every in counts]


def test_false_discoveries_are_as_rare_as_was_asked_for(campaign: Callable[[int], int]) -> None:
    """With the pairs of a whole year; in short stacks vegetation, whose level is hardly known, is found more often."""
    stacks = campaign(80)
    rates = 0.01, 0.2
    strict, loose = shares_far_off(stacks, 30, rates)
    for rate, (share, bare, every) in zip(rates, (strict, loose), strict=True):
        assert every > 100 * stacks
        assert share <= rate
        assert bare <= 0.001
    # the rate is what rules it
    assert loose[0] > strict[0]
    ((_, bare, every),) = shares_far_off(campaign(40), 12, (0.01,))
    assert every > 100 * campaign(40)
    assert bare <= 0.001


def test_results_do_not_depend_on_blocks() -> None:
    stack = half_km2(5, 0.5, 3, cells=(45, 50), pairs_per_year=8)
    whole = significant_activity(stack.coh)
    timeline = activity_timeline(stack.coh, whole)
    for pixels in (31, 400):
        part = significant_activity(stack.coh, block_bytes=4 * 8 * pixels)
        xr.testing.assert_identical(part.active, whole.active)
        xr.testing.assert_identical(part.disturbed, whole.disturbed)
        again = activity_timeline(stack.coh, part, block_bytes=4 * 8 * pixels)
        assert again.monthly.equals(timeline.monthly)
        xr.testing.assert_identical(again.stop, timeline.stop)


def test_missing_cells_have_no_decision_and_change_nothing_far_off() -> None:
    stack = half_km2(6, 0.8, cells=(45, 50), pairs_per_year=8)
    holed = stack.coh.copy(deep=True)
    holed[:, :6, :6] = np.nan
    holed[2, 20:24, 20:24] = np.nan
    found, whole = significant_activity(holed), significant_activity(stack.coh)
    assert (found.active.values[0, :6, :6] == NO_DECISION).all()
    assert (found.n_pairs.values[0, 20:24, 20:24] == found.n_pairs.values[0, 30, 30] - 1).all()
    assert np.isnan(duty_cycle(found).values[0, 0, 0])
    assert (found.active.values != whole.active.values)[0, 6:].mean() < 0.01


def test_local_means_against_scipy() -> None:
    values = np.random.default_rng(0).random((2, 9, 11), dtype=np.float32)
    values[0, 4, 5] = values[1, 0, 0] = np.nan
    for layer, ours in zip(values, local_means(values), strict=True):
        known = np.isfinite(layer)
        kernel = np.ones((3, 3))
        total = ndimage.convolve(np.where(known, layer, 0.0), kernel, mode="constant")
        expected = np.where(known, total / ndimage.convolve(known.astype(float), kernel, mode="constant"), np.nan)
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_own_ratio_is_that_of_undisturbed_pairs() -> None:
    """Vegetation of 0.6 beside stable ground of 0.9, disturbed in three of ten pairs."""
    tables = look_tables(7.0)
    true = np.full((10, 1, 1), 0.6)
    true[[1, 5, 8]] = 0.1
    mean = np.interp(true, np.linspace(0, 1, tables.expected.size), tables.expected).astype(np.float32)
    ratio = own_ratio(mean, np.full(10, 0.9), np.ones(10), tables.expected, tables.true)
    assert float(ratio[0, 0]) == pytest.approx(0.6 / 0.9, abs=0.01)


def test_the_limit_is_that_of_benjamini_and_hochberg() -> None:
    generator = np.random.default_rng(8)
    z = generator.standard_normal((20, 5000))
    z[0, :300] -= 5
    least = z.min(axis=0)
    chance = -np.expm1(20 * np.log1p(-special.ndtr(least)))
    called = false_discovery_control(chance, method="bh") <= 0.05
    counts = np.bincount(((least + 8.4) / 0.005).astype(int).clip(0, 2479), minlength=2480)
    limit = critical_score(counts, 20, 0.0, 1.0, 0.05)
    assert abs(int((least < limit).sum()) - int(called.sum())) <= 3
    assert critical_score(np.bincount([2400], minlength=2480), 20, 0.0, 1.0, 0.05) == -np.inf


def test_the_null_is_read_from_the_lower_half() -> None:
    scores = np.random.default_rng(9).normal(0.1, 0.6, 200_000)
    counts = np.bincount(((scores + 8.4) / 0.005).astype(int).clip(0, 2479), minlength=2480)
    centre, scale = null_of(counts)
    assert centre == pytest.approx(0.1, abs=0.01)
    assert scale == pytest.approx(0.6, rel=0.03)


@pytest.mark.parametrize("looks", [4, 7, 14])
def test_looks_are_found_in_the_data(looks: int, sampled: Callable[..., np.ndarray]) -> None:  # type: ignore[type-arg]
    # cells differ, and pairs do
    true = np.linspace(0.8, 0.9, 1500) * np.linspace(0.97, 1.0, 12)[:, None]
    values = sampled(true, looks, np.random.default_rng(looks))
    assert estimate_looks(values) == pytest.approx(looks, rel=0.08)
    assert estimate_looks(values[:, :10]) == 7.0


def test_bias_is_taken_off_means_and_not_off_single_values() -> None:
    """The stable reference is the inverse at the mean over its points, whatever the single values are."""
    stack = half_km2(3, 0.5, cells=(40, 45), pairs_per_year=8)
    found = significant_activity(stack.coh).references[2021]
    values = stack.coh.values[found.pairs][:, found.stable.values].astype(np.float64)
    np.testing.assert_allclose(found.stable_true, unbias(values.mean(axis=1), found.looks).true, atol=1e-6)


def test_ground_disturbed_once_is_no_reference(cube_of: Cubes) -> None:
    values = np.full((20, 30, 30), 0.9)
    values[7, :, 12:] = 0.3
    cube = cube_of(values)
    stable = xr.DataArray(np.ones((30, 30), bool), dims=("y", "x"), attrs={"n_stable": 900})
    # by its mean (0.87) and its deviation (0.13) all of it is stable; more than half fell in one pair
    assert quiet_points(cube, stable).values.all()  # the pair's median has fallen as well: it may be snow
    values[7, :, 12:] = 0.9
    values[7, :, 20:] = 0.3
    kept = quiet_points(cube_of(values), stable).values
    assert kept[:, :16].all()
    assert not kept[:, 18:].any()


def test_a_year_without_a_reference_is_left_out_and_named() -> None:
    stack = simulate_mine_stack(
        np.random.default_rng(2), [], cells=(24, 24), years=(2021, 2022), pairs_per_year=6, snow=0, gaps=0
    )
    cube = stack.coh.copy(deep=True)
    cube[cube["year"].values == 2022] = 0.3
    with pytest.warns(FewObservationsWarning, match="2022 is left out"):
        assert significant_activity(cube).years == [2021]
    with pytest.warns(FewObservationsWarning), pytest.raises(ActivityError):
        significant_activity(cube[cube["year"].values == 2022])
    with pytest.raises(OptionError, match="false_discovery_rate=0"):
        significant_activity(cube, false_discovery_rate=0)


def test_one_pair_only_is_decided_against_the_stable_ground() -> None:
    stack = half_km2(7, 1.0, cells=(60, 60), pairs_per_year=30, snow=0.0)
    with pytest.warns(FewObservationsWarning, match="2021: one pair carries it"):
        found = significant_activity(stack.coh[3:4])
    assert (found.n_pairs.values == 1).all()
    assert (found.active.values[0, 26:34, 26:36] == 1).mean() > 0.95


def classes_like(layers: list[list[int]]) -> xr.DataArray:
    values = np.array(layers, np.uint8)[:, None, :]
    coords = {"year": np.arange(2019, 2019 + len(layers))}
    return xr.DataArray(values, dims=("year", "y", "x"), coords=coords, attrs={"method": "significant"})


def test_three_years_have_the_published_colours() -> None:
    bits = [[value >> bit & 1 for value in range(8)] + [255 if bit == 1 else 1] for bit in range(3)]
    classes = classes_of_years(classes_like(bits))
    assert classes.values.tolist() == [[*range(8), 255]]
    assert classes.attrs["flag_meanings"].split() == list(CLASS_NAMES)
    assert classes.dtype == np.uint8


@pytest.mark.parametrize(("years", "kind"), [(1, "uint8"), (5, "uint8"), (9, "uint16"), (20, "uint32")])
def test_classes_of_any_number_of_years(years: int, kind: str) -> None:
    layers = [[int(bit == 0), 1, 0, 255 if bit == years - 1 else 0] for bit in range(years)]
    classes = classes_of_years(classes_like(layers))
    every = 2**years - 1
    assert classes.dtype == kind
    assert classes.values.tolist() == [[1, every, 0, np.iinfo(kind).max]]
    names = dict(zip(classes.attrs["flag_values"], classes.attrs["flag_meanings"].split(), strict=True))
    assert names[0] == "none"
    assert names[every] == "+".join(str(2019 + bit) for bit in range(years))
    with pytest.raises(ActivityError, match="different years"):
        classes_of_years(classes_like(layers), [1999])
