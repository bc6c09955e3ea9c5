"""The networks of all pairs and of small baselines, on any set of scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.scenes.test_pairs import Scene, scene, select, series

NETWORKS = ("all", "small-baseline")


@settings(deadline=None, max_examples=50)
@given(scenes=series(), limit_m=st.floats(0, 500), longest=st.sampled_from([12, 24, 48]), connections=st.integers(1, 4))
def test_limits_hold_and_nothing_comes_twice(
    scenes: list[Scene], limit_m: float, longest: int, connections: int
) -> None:
    by_name = {s["scene"]: s for s in scenes}
    found: dict[str, set[tuple[str, str]]] = {}
    for network in NETWORKS:
        pairs = select(scenes, limit_m, temporal_baseline_days=(12, longest), network=network, connections=connections)
        for row in pairs.itertuples():
            one, other = by_name[row.reference], by_name[row.secondary]
            assert 0 < row.days <= longest
            assert abs(row.perpendicular_baseline_m) <= limit_m
            assert (one["platform"], one["relative_orbit"]) == (other["platform"], other["relative_orbit"])
        assert not pairs.duplicated(["reference", "secondary"]).any()
        found[network] = set(zip(pairs["reference"], pairs["secondary"], strict=True))
    every = {
        (one["scene"], other["scene"])
        for one in scenes
        for other in scenes
        if (one["platform"], one["relative_orbit"]) == (other["platform"], other["relative_orbit"])
        and 0 < (np.datetime64(other["start"], "D") - np.datetime64(one["start"], "D")).astype(int) <= longest
        and abs(other["position_m"] - one["position_m"]) <= limit_m
    }
    assert found["all"] == every
    assert found["small-baseline"] <= every
    of_each = pd.Series([one for one, _ in found["small-baseline"]], dtype=object).value_counts()
    possible = pd.Series([one for one, _ in every], dtype=object).value_counts()
    assert of_each.to_dict() == possible.clip(upper=connections).to_dict()


@pytest.mark.parametrize("network", NETWORKS)
@settings(deadline=None, max_examples=30)
@given(scenes=series(), seed=st.randoms())
def test_the_order_of_the_scenes_does_not_matter(network: Any, scenes: list[Scene], seed: Any) -> None:
    shuffled = scenes.copy()
    seed.shuffle(shuffled)
    one, other = (select(s, network=network, connections=2, max_pairs=9) for s in (scenes, shuffled))
    pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other))
    assert one.attrs["rejected"] == other.attrs["rejected"]


@pytest.mark.parametrize("network", NETWORKS)
@settings(deadline=None, max_examples=30)
@given(scenes=series(), position_m=st.floats(-400, 400, width=16), step=st.integers(0, 15))
def test_a_new_image_never_removes_an_unrelated_pair(
    network: Any, scenes: list[Scene], position_m: float, step: int
) -> None:
    new = scene(6 * step, position_m)
    assume(new["scene"] not in {s["scene"] for s in scenes})
    before, after = (
        {(r.reference, r.secondary) for r in select(s, network=network, connections=2).itertuples()}
        for s in (scenes, [*scenes, new])
    )
    # only an image that is now paired with the new one may give up a pair for it
    related = {reference for reference, secondary in after if secondary == new["scene"]}
    assert all(reference in related for reference, _ in before - after)
    assert network != "all" or before <= after
