"""The default method on mines of known truth, sampled as images are; its parts against what shares no code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import ndimage

from insar_mining.activity.published.composite import CLASS_NAMES, classes_of_years
from insar_mining.activity.significant.intervals import area_intervals
from insar_mining.activity.significant.significance import NO_DECISION, Significance, duty_cycle, significant_activity
from insar_mining.activity.timeline import activity_timeline
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


@pytest.mark.parametrize(("duty", "strips", "snow"), [(1.0, 1, 0.1), (0.6, 1, 0.1), (0.6, 6, 0.1)])
def test_half_a_square_kilometre_is_found_within_a_twentieth(duty: float, strips: int, snow: float) -> None:
    """Worked always, often, and by a face that moves on; without surroundings."""
    for seed in (1, 2):
        stack = half_km2(seed, duty, strips, snow=snow)
        assert stack.active_m2[2021] > 5e5
        found = significant_activity(stack.coh)
        assert found_m2(found, 2021) == pytest.approx(stack.active_m2[2021], rel=0.05), (seed, duty, strips)
        # and it lies where it was: more than two cells off the truth there is next to nothing
        near = ndimage.binary_dilation(stack.active[2021] > 0, iterations=2)
        assert (found.active.values[0][~near] == 1).mean() < 0.02


def test_ground_that_falls_as_a_whole_in_one_pair_is_in_the_upper_bound_only() -> None:
    """The zone is the only ground of its level, and is worked once: it may be rain as well."""
    for seed in (1, 2):
        stack = half_km2(seed, 0.0, snow=0.1)
        (row,) = area_intervals(stack.coh, significant_activity(stack.coh)).itertuples()
        assert row.area_low_m2 <= stack.active_m2[2021] <= row.area_high_m2
        if row.area_m2 < 0.95 * stack.active_m2[2021]:
            assert "WEATHER_ONLY" in row.flags


def test_under_snow_and_without_surroundings_the_interval_holds_the_truth() -> None:
    """Ground that is worked as a whole falls as a whole, and so does ground under snow."""
    for seed in (1, 2):
        stack = half_km2(seed, 0.6, snow=0.6)
        (row,) = area_intervals(stack.coh, significant_activity(stack.coh)).itertuples()
        assert row.area_low_m2 <= stack.active_m2[2021] <= row.area_high_m2


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
    reported = area_intervals(stack.coh, every)
    assert (reported["area_low_m2"] < reported["area_high_m2"]).all()
    for years in ((2021,), (2020, 2021), (2021, 2022)):
        part = significant_activity(stack.coh[np.isin(stack.coh["year"].values, years)])
        assert part.years == list(years)
        for name in ("active", "disturbed", "n_pairs"):
            ours, all_ = getattr(part, name).sel(year=2021), getattr(every, name).sel(year=2021)
            np.testing.assert_array_equal(ours.values, all_.values)
        # and the areas with their intervals, what looser and stricter borders give, the least that can be seen
        areas = area_intervals(stack.coh[np.isin(stack.coh["year"].values, years)], part)
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
        # vegetation that is its own control is known less well than rock
        assert share <= max(rate, 0.035)
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
    assert (found.active.values != whole.active.values)[0, 8:].mean() < 0.03


def test_a_year_without_data_is_left_out_and_named() -> None:
    stack = simulate_mine_stack(
        np.random.default_rng(2), [], cells=(24, 24), years=(2021, 2022), pairs_per_year=6, snow=0, gaps=0
    )
    cube = stack.coh.copy(deep=True)
    cube[cube["year"].values == 2022] = np.nan
    with pytest.warns(FewObservationsWarning, match="2022"):
        assert significant_activity(cube).years == [2021]
    with pytest.warns(FewObservationsWarning), pytest.raises(ActivityError):
        significant_activity(cube[cube["year"].values == 2022])
    with pytest.raises(OptionError):
        significant_activity(cube, false_discovery_rate=0)


def test_one_pair_alone_shows_nothing_and_its_interval_is_the_whole_mine() -> None:
    """What a cell reads undisturbed is not known from the pair that is to be decided."""
    stack = half_km2(7, 1.0, cells=(60, 60), pairs_per_year=30, snow=0.0)
    with pytest.warns(FewObservationsWarning, match="2021"):
        found = significant_activity(stack.coh[3:4])
    (row,) = area_intervals(stack.coh[3:4], found).itertuples()
    assert (found.n_pairs.values == 1).all()
    assert row.area_low_m2 == 0
    assert row.area_high_m2 >= stack.active_m2[2021]


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
