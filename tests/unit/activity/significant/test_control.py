"""The default method on simulated mines amid other ground: weather, seasons, tight polygons, partial work."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import ndimage

from insar_mining.activity import area_intervals, significant_activity
from insar_mining.errors import InsarMiningWarning
from insar_mining.simulate.control_rows import (
    Row,
    closed_mine,
    ellipses,
    moving_face,
    partly_worked,
    random_world,
    small_mine,
    tight_polygon,
    without_surroundings,
    worked_mine,
)
from insar_mining.simulate.worlds import KnownStack

Measured = tuple[KnownStack, pd.Series]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore", InsarMiningWarning)


def measured(row: Row, seed: int, *, surroundings: bool = True) -> Measured:
    """A world, and the row of its only year."""
    world = row.make(np.random.default_rng([17, seed]))
    coh = world.coh if surroundings else without_surroundings(world.coh)
    return world, area_intervals(coh, significant_activity(coh)).iloc[0]


@pytest.mark.parametrize("ground", ["rock", "grass", "soil, hard rain", "all"])
def test_a_closed_mine_is_idle_whatever_the_weather(ground: str, campaign: Callable[[int], int]) -> None:
    clean = 0
    for seed in range(campaign(20)):
        _, row = measured(closed_mine(ground), seed)
        clean += row["area_m2"] <= 5000 and row["area_low_m2"] == 0
        assert row["area_high_m2"] > 0
    assert clean >= 0.95 * campaign(20)


@pytest.mark.parametrize("ground", ["grass", "soil, hard rain"])
def test_without_surroundings_a_closed_mine_is_never_certainly_worked(
    ground: str, campaign: Callable[[int], int]
) -> None:
    for seed in range(campaign(20)):
        _, row = measured(closed_mine(ground), seed, surroundings=False)
        assert row["area_m2"] <= 40_000
        assert row["area_low_m2"] == 0
        assert "NO_CONTROL" in row["flags"]


@pytest.mark.parametrize("ground", ["rock", "grass", "soil, hard rain", "all"])
def test_three_zones_are_found_within_the_interval(ground: str, campaign: Callable[[int], int]) -> None:
    seeds = campaign(20)
    errors, held = [], 0
    for seed in range(seeds):
        world, row = measured(worked_mine(ground), seed)
        errors.append(row["area_m2"] / world.worked_m2 - 1)
        held += row["area_low_m2"] <= world.worked_m2 <= row["area_high_m2"]
    assert abs(np.mean(errors)) < 0.02
    assert held >= 0.9 * seeds


def test_the_map_is_right_to_a_cell(campaign: Callable[[int], int]) -> None:
    """False discoveries and missed cells at most 1 %, and no active cell two cells off the work."""
    false, missed = [], []
    for seed in range(campaign(20)):
        world = worked_mine("rock").make(np.random.default_rng([17, seed]))
        active = significant_activity(world.coh).active.values[0] == 1
        false.append((active & (world.worked == 0)).sum() / active.sum())
        whole = world.worked > 0.99
        missed.append((whole & ~active).sum() / whole.sum())
        assert not (active & ~ndimage.binary_dilation(world.worked > 0, np.ones((3, 3)))).any()
    assert np.mean(false) <= 0.01
    assert np.mean(missed) <= 0.01


@pytest.mark.parametrize("surroundings", [True, False])
@pytest.mark.parametrize(("duty", "error"), [(0.07, 0.04), (0.3, 0.025)])
def test_a_pit_worked_everywhere_is_found(duty: float, error: float, surroundings: bool) -> None:
    """Nothing within the polygon is undisturbed throughout; the median of all pairs shows what ground is."""
    world, row = measured(tight_polygon(duty), 0, surroundings=surroundings)
    assert row["area_m2"] == pytest.approx(world.worked_m2, rel=error)
    assert row["area_low_m2"] <= world.worked_m2 <= row["area_high_m2"]


def test_a_pit_that_goes_on_beyond_the_outline_is_never_certainly_idle() -> None:
    """Ground that is never coherent on both sides of the outline may be natural or worked: both are in the bounds."""
    world = worked_mine("rock").make(np.random.default_rng([17, 0]))
    cover = world.coh["cover"].values.copy()
    cover[:, :55] = 0  # through the middle of the zone that is always worked
    coh = world.coh.assign_coords(cover=(("y", "x"), cover))
    truth = float((world.worked * (cover > 0)).sum() * 400)
    row = area_intervals(coh, significant_activity(coh)).iloc[0]
    assert row["doubt_m2"] > 30_000
    assert row["area_low_m2"] < truth - 30_000
    assert row["area_high_m2"] >= truth
    assert "DOUBT" in row["flags"]


@pytest.mark.parametrize("level", [0.45, 0.55])
def test_partial_work_is_found(level: float, campaign: Callable[[int], int]) -> None:
    errors = []
    for seed in range(campaign(20)):
        world, row = measured(partly_worked(level), seed)
        errors.append(row["area_m2"] / world.worked_m2 - 1)
        assert row["area_high_m2"] >= world.worked_m2
    assert abs(np.mean(errors)) < 0.05


def test_slight_work_is_in_the_upper_bound_at_least(campaign: Callable[[int], int]) -> None:
    for seed in range(campaign(20)):
        world, row = measured(partly_worked(0.75), seed)
        assert row["partial_m2"] > 0
        assert row["area_high_m2"] >= world.worked_m2
    # of patches that are found in part, without control
    for seed in (0, 2, 5)[: campaign(30)]:
        world, row = measured(partly_worked(0.75), seed, surroundings=False)
        assert row["area_low_m2"] <= world.worked_m2 <= row["area_high_m2"]


def test_few_pairs_without_control_are_certain_of_nothing(campaign: Callable[[int], int]) -> None:
    for seed in (6, *range(campaign(20))):
        _, row = measured(closed_mine("vegetation", pairs=4), seed, surroundings=False)
        assert row["area_low_m2"] == 0


def test_a_face_that_moves_on_is_found_as_a_whole() -> None:
    world, row = measured(moving_face(), 0)
    assert row["area_m2"] == pytest.approx(world.worked_m2, rel=0.026)


def test_ellipses_are_measured_without_bias(campaign: Callable[[int], int]) -> None:
    seeds = campaign(30)
    errors, held, half = [], 0, []
    for seed in range(seeds):
        world, row = measured(ellipses(), seed)
        errors.append(row["area_m2"] / world.worked_m2 - 1)
        held += row["area_low_m2"] <= world.worked_m2 <= row["area_high_m2"]
        half.append((row["area_high_m2"] - row["area_low_m2"]) / 2 / world.worked_m2)
    assert held >= 0.95 * seeds
    if seeds == 30:
        assert abs(np.mean(errors)) < 0.006
        assert np.std(errors) <= 0.018
        assert np.median(half) <= 0.05
    else:  # of a few stacks these scatter
        assert np.abs(errors).max() < 3 * 0.018
        assert np.median(half) <= 0.06


def test_work_in_a_small_mine_is_found(campaign: Callable[[int], int]) -> None:
    seeds = max(campaign(20), 4)
    areas, held = [], 0
    for seed in range(seeds):
        world, row = measured(small_mine(), seed)
        areas.append(row["area_m2"])
        held += row["area_low_m2"] <= world.worked_m2 <= row["area_high_m2"]
        assert row["area_high_m2"] > 0
    assert np.mean(areas) == pytest.approx(4800, abs=500)
    assert held >= 0.9 * seeds - 1


def test_nothing_found_in_a_small_mine_is_no_certain_zero() -> None:
    world, row = measured(small_mine(), 1, surroundings=False)
    assert row["area_high_m2"] >= world.worked_m2 - 500


@pytest.mark.parametrize(
    ("row", "share"),
    [
        (random_world(), 0.92),
        (random_world(forest=True), 0.85),
        (random_world(worked=False), 0.95),
    ],
    ids=["worked", "forest inside", "closed"],
)
def test_intervals_hold_the_truth_of_random_worlds(row: Row, share: float, campaign: Callable[[int], int]) -> None:
    worlds = campaign(200) if campaign(200) == 200 else 4
    held = 0
    for seed in range(worlds):
        world, found = measured(row, seed)
        held += found["area_low_m2"] <= world.worked_m2 <= found["area_high_m2"]
    # of the few of a short campaign all but one
    assert held >= (share * worlds if worlds > 10 else worlds - 1)


def test_control_ground_may_be_chosen_and_is_never_decided() -> None:
    world = worked_mine("rock", pairs=8).make(np.random.default_rng(3))
    mine = world.coh["cover"].values > 0
    found = significant_activity(world.coh)
    assert found.references[2021].has_control
    assert (found.active.values[0][~mine] == 255).all()
    none = xr.zeros_like(world.coh["cover"], dtype=bool)
    assert not significant_activity(world.coh, where=none).references[2021].has_control


def test_results_do_not_depend_on_blocks_with_surroundings() -> None:
    world = worked_mine("all", pairs=8).make(np.random.default_rng(4))
    whole = significant_activity(world.coh)
    for cells in (500, 4000):
        part = significant_activity(world.coh, block_bytes=4 * 8 * cells)
        for name in ("active", "disturbed", "n_pairs", "states", "seen"):
            xr.testing.assert_identical(getattr(part, name), getattr(whole, name))
        pd.testing.assert_frame_equal(
            area_intervals(world.coh, part), area_intervals(world.coh, whole), check_exact=True
        )
