"""How often and when: counted by hand, and change points to within a pair."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from insar_mining.activity.changes import segments, worked_spans, zone_changes
from insar_mining.activity.frequency import activity_timeline, seasonality, zone_shares
from insar_mining.activity.significance import significant_activity
from insar_mining.errors import ActivityError
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack


def test_duty_dates_and_months_are_those_simulated() -> None:
    zone = WorkedZone((480.0, 420.0), 220.0, (2021,), 0.5)
    stack = simulate_mine_stack(
        np.random.default_rng(12), [zone], cells=(44, 46), years=(2021, 2022), pairs_per_year=14, snow=0.0
    )
    found = significant_activity(stack.coh)
    timeline = activity_timeline(stack.coh, found)
    inside = stack.active[2021] >= 1
    inside[: inside.shape[0] // 4] = False
    in_2021 = stack.coh["year"].values == 2021
    worked = np.flatnonzero(stack.worked[:, 0])
    assert float(np.median(timeline.duty.sel(year=2021).values[inside])) == pytest.approx(worked.size / in_2021.sum())
    assert np.nanmax(timeline.duty.sel(year=2022).values) <= 0.2
    first = stack.coh["reference_date"].values[worked[0]]
    last = stack.coh["secondary_date"].values[worked[-1]]
    assert (timeline.first_active.values[inside] == first).mean() > 0.95
    assert (timeline.last_active.values[inside] == last).mean() > 0.95
    assert (timeline.stop.values[inside] == last).mean() > 0.9
    assert np.isnat(timeline.first_active.values[:4, -4:]).all()
    disturbed = timeline.pairs["area_m2"].to_numpy() > 0.5 * stack.active_m2[2021]
    assert disturbed.tolist() == stack.worked[:, 0].tolist()
    of_2021 = timeline.monthly[timeline.monthly["year"] == 2021]
    assert of_2021["n_pairs"].sum() == in_2021.sum()
    assert of_2021["area_m2"].max() == pytest.approx(stack.active_m2[2021], rel=0.06)
    shares = zone_shares(stack.coh, found, {"pit": inside, "idle": ~(stack.active[2021] > 0)})
    changes = zone_changes(shares)
    assert (shares.loc[worked, "pit"] > 0.9).all()
    assert not changes.loc[changes["zone"] == "idle", "worked"].any()
    with pytest.raises(ActivityError, match="its cells"):
        zone_shares(stack.coh, found, {"pit": inside[1:]})


def test_start_and_stop_of_a_zone_lie_within_a_pair() -> None:
    generator = np.random.default_rng(4)
    dates = np.datetime64("2021-01-04", "ns") + np.arange(61) * np.timedelta64(12, "D")
    for start, stop in ((10, 40), (5, 9), (30, 60)):
        share = np.clip(generator.normal(0.0, 0.004, 60), 0, 1)
        share[start:stop] = generator.uniform(0.3, 0.6, stop - start)
        table = pd.DataFrame({"reference_date": dates[:-1], "secondary_date": dates[1:], "pit": share})
        worked = zone_changes(table).query("worked")
        step = pd.Timedelta(12, "D")
        assert abs(worked["start"].iloc[0] - pd.Timestamp(dates[start])) <= step
        assert abs(worked["stop"].iloc[-1] - pd.Timestamp(dates[stop])) <= step
    with pytest.raises(ActivityError, match="reference_date"):
        zone_changes(pd.DataFrame({"pit": [0.1]}))


def test_segments_against_every_possible_cut() -> None:
    """Exhaustive search over all cuts of a short series, at the same cost."""
    generator = np.random.default_rng(2)
    for _ in range(5):
        series = np.concatenate([generator.normal(level, 0.05, 3) for level in generator.uniform(0, 1, 3)])
        noise = max(np.median(np.abs(np.diff(series))) / 0.954, 0.02)
        cost = 3.0 * np.log(series.size) * noise**2

        def total(cuts: tuple[int, ...], series: np.ndarray = series, cost: float = cost) -> float:  # type: ignore[type-arg]
            edges = [0, *cuts, series.size]
            parts = [series[a:b] for a, b in itertools.pairwise(edges)]
            return sum(float(((part - part.mean()) ** 2).sum()) + cost for part in parts)

        every = [cuts for n in range(series.size) for cuts in itertools.combinations(range(1, series.size), n)]
        best = min(every, key=total)
        assert [first for first, _ in segments(series)] == [0, *best]
    assert segments([]) == []


def test_a_lone_disturbance_does_not_stretch_the_span_of_work() -> None:
    disturbed = np.zeros((90, 1, 3), np.bool_)
    disturbed[2, 0, 0] = True
    disturbed[40:50, 0, 0] = True
    disturbed[[20, 25, 31], 0, 1] = True
    start, stop = worked_spans(disturbed, np.ones_like(disturbed))
    assert start.tolist() == [[40, 20, -1]]
    assert stop.tolist() == [[49, 31, -1]]
    finite = np.ones_like(disturbed)
    finite[6:36, 0, 0] = False  # not seen is not idle
    assert worked_spans(disturbed, finite)[0][0, 0] == 2


def test_seasonality_finds_the_wave_and_only_where_there_is_one() -> None:
    month = np.tile(np.arange(1, 13), 3)
    wave = 100 * (1 + 0.5 * np.cos(2 * np.pi * (month - 7) / 12))
    found = seasonality(pd.DataFrame({"month": month, "area_m2": wave}))
    assert found["amplitude"] == pytest.approx(0.5)
    assert found["peak_month"] == pytest.approx(7)
    assert found["p_value"] < 1e-6
    noise = np.random.default_rng(1).uniform(90, 110, 36)
    assert seasonality(pd.DataFrame({"month": month, "area_m2": noise}))["p_value"] > 0.01
    assert np.isnan(seasonality(pd.DataFrame({"month": [1], "area_m2": [1.0]}))["amplitude"])
