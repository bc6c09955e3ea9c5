"""Relative orbits computed from absolute ones, against real products of all four satellites."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.sentinel1.track import in_one_cycle, relative_orbit_of


@pytest.mark.parametrize(
    ("platform", "absolute", "relative"),
    [
        ("S1A", 50174, 52),  # manifest of 2023-09-04
        ("S1B", 17424, 73),  # a real pair of two satellites on one track
        ("S1A", 28495, 73),
        ("S1C", 1681, 110),
        ("S1C", 8018, 147),  # the last before the satellite was moved
        ("S1C", 8019, 46),
        ("S1D", 2389, 73),
        ("S1D", 4762, 171),
        ("S2A", 1, None),
    ],
)
def test_relative_orbits(platform: str, absolute: int, relative: int | None) -> None:
    assert relative_orbit_of(platform, absolute) == relative


@pytest.mark.parametrize("platform", ["S1A", "S1B", "S1C", "S1D"])
def test_they_come_back_after_a_repeat_and_follow_one_another(platform: str) -> None:
    for absolute in (500, 8100, 60_000):
        one, following, repeat = (relative_orbit_of(platform, absolute + n) for n in (0, 1, 175))
        assert one == repeat
        assert one is not None
        assert following == one % 175 + 1


def test_only_the_moved_satellite_changes_its_cycle() -> None:
    before, after = np.datetime64("2026-05-01", "ns"), np.datetime64("2026-07-01", "ns")
    assert in_one_cycle("S1C", before, [before, after]).tolist() == [True, False]
    assert in_one_cycle("S1C", after, [before, after]).tolist() == [False, True]
    assert in_one_cycle("S1D", before, [before, after]).all()
