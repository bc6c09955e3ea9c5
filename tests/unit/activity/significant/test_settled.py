"""Ground that is never coherent is natural or worked by what a mask says of it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from insar_mining.activity.significant.intervals import area_intervals
from insar_mining.activity.significant.settled import Cover, Evidence, cover_from
from insar_mining.activity.significant.significance import significant_activity
from insar_mining.activity.significant.states import State
from insar_mining.simulate.control_rows import circles
from insar_mining.simulate.worlds import KnownStack, WorkedGround, simulate_world

PAIRS = 12
ZONE_M2 = np.pi * (10 * 20.0) ** 2


@pytest.fixture(scope="module")
def world() -> KnownStack:
    """A zone that is always worked, and woods inside and outside."""
    work = WorkedGround(circles([(30, 30)], 10.0), np.ones((PAIRS, 1), np.bool_), 0.05)
    return simulate_world(np.random.default_rng(8), shares={"forest": 0.15}, work=work, pairs=PAIRS)


def found_with(coh: xr.DataArray, natural: np.ndarray, bare: np.ndarray) -> tuple[np.ndarray, dict[str, object]]:
    cover = cover_from(coh, {"image": Evidence(natural, bare)})
    found = significant_activity(coh, cover=cover)
    (row,) = area_intervals(coh, found).to_dict("records")
    return found.states.values[0], row


def test_a_mask_takes_woods_from_the_upper_bound_and_puts_bare_ground_into_the_lower_one(world: KnownStack) -> None:
    coh = world.coh
    centre = np.hypot(*(np.mgrid[: coh.sizes["y"], : coh.sizes["x"]] - np.array(coh.shape[1:])[:, None, None] / 2))
    zone = centre < 10
    doubtful, before = found_with(coh, np.zeros_like(zone), np.zeros_like(zone))
    assert np.isin(doubtful[zone], [State.DOUBT, State.NATURAL]).mean() > 0.9
    states, row = found_with(coh, centre > 12, zone)
    assert (states[zone] == State.ACTIVE).mean() > 0.95
    assert not (states == State.NATURAL).any()
    assert (states == State.SETTLED).sum() > 50
    assert row["area_m2"] == pytest.approx(ZONE_M2, rel=0.04)
    assert row["area_low_m2"] > 0.85 * ZONE_M2 > before["area_low_m2"]
    assert ZONE_M2 < row["area_high_m2"] < before["area_high_m2"]
    assert "MASK" in row["flags"]


def test_sources_that_contradict_each_other_leave_the_cover_unknown(world: KnownStack) -> None:
    shape = world.coh.shape[1:]
    left, right = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    left[:, :40], right[:, 20:] = True, True
    none = np.zeros(shape, np.bool_)
    cover = cover_from(world.coh, {"one": Evidence(left, none), "two": Evidence(none, right)})
    assert cover is not None
    (values,) = cover.values
    assert (values[:, :20] == Cover.NATURAL).all()
    assert (values[:, 20:40] == Cover.UNKNOWN).all()
    assert (values[:, 40:] == Cover.BARE).all()
    assert cover_from(world.coh, {}) is None
