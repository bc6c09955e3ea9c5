"""How often and when: counted by hand, and change points to within a pair."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from insar_mining.activity.changes import segments, worked_spans, zone_changes
from insar_mining.activity.significant.significance import significant_activity
from insar_mining.activity.timeline import activity_timeline, seasonality, worked_from, zone_shares
from insar_mining.errors import ActivityError
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack


def test_duty_dates_and_months_are_those_simulated() -> None:
    zone = WorkedZone((480.0, 420.0), 220.0, (2021,), 0.5)
    stack = simulate_mine_stack(
        np.random.default_rng(12), [zone], cells=(44, 46), years=(2021, 2022), pairs_per_year=14, snow=0.0
    )
    # the mine is the middle, the ground around it is control
    cover = np.zeros(stack.coh.shape[1:], np.float32)
    cover[9:38, 7:36] = 1
    coh = stack.coh.assign_coords(cover=(("y", "x"), cover)).assign_attrs(min_cover=0.5)
    found = significant_activity(coh)
    timeline = activity_timeline(coh, found)
    inside = (stack.active[2021] >= 1) & (cover > 0)
    inside[: inside.shape[0] // 4] = False
    in_2021 = coh["year"].values == 2021
    worked = np.flatnonzero(stack.worked[:, 0])
    assert float(np.median(timeline.duty.sel(year=2021).values[inside])) == pytest.approx(worked.size / in_2021.sum())
    assert np.nanmax(timeline.duty.sel(year=2022).values) <= 0.2
    first = coh["reference_date"].values[worked[0]]
    last = coh["secondary_date"].values[worked[-1]]
    assert (timeline.first_active.values[inside] == first).mean() > 0.95
    assert (timeline.last_active.values[inside] == last).mean() > 0.95
    assert (timeline.stop.values[inside] == last).mean() > 0.9
    assert np.isnat(timeline.first_active.values[:4, -4:]).all()
    disturbed = timeline.pairs["area_m2"].to_numpy() > 0.5 * stack.active_m2[2021]
    assert disturbed.tolist() == stack.worked[:, 0].tolist()
    of_2021 = timeline.monthly[timeline.monthly["year"] == 2021]
    assert of_2021["n_pairs"].sum() == in_2021.sum()
    assert of_2021["area_m2"].max() == pytest.approx(stack.active_m2[2021], rel=0.06)
    shares = zone_shares(coh, found, {"pit": inside, "idle": ~(stack.active[2021] > 0)})
    changes = zone_changes(shares)
    assert (shares.loc[worked, "pit"] > 0.9).all()
    assert not changes.loc[changes["zone"] == "idle", "worked"].any()
    with pytest.raises(ActivityError, match="its cells"):
        zone_shares(coh, found, {"pit": inside[1:]})


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


def likeliest_stretch(seen: list[bool]) -> tuple[int, int]:
    """Best path through two states with a cost for every stretch of work (Viterbi), and its likeliest stretch."""
    ratio = [np.log(0.3 / 0.01) if hit else np.log(0.7 / 0.99) for hit in seen]
    cost = np.log(30) - 1e-9  # so that a single disturbance is a stretch
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, []), 1: (-np.inf, [])}
    for one in ratio:
        idle = max(best.values(), key=lambda path: path[0])
        work = max((best[1][0], best[1][1]), (best[0][0] - cost, best[0][1]), key=lambda path: path[0])
        best = {0: (idle[0], [*idle[1], 0]), 1: (work[0] + one, [*work[1], 1])}
    states = max(best.values(), key=lambda path: path[0])[1]
    edges = np.flatnonzero(np.diff([0, *states, 0]))
    parts = [(sum(ratio[a:b]), -a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return (-max(parts)[1], max(parts)[2] - 1) if parts else (-1, -1)


def test_the_span_of_work_is_the_stretch_of_the_best_path() -> None:
    generator = np.random.default_rng(8)
    chance = np.where(generator.uniform(size=(60, 12, 25)) < 0.5, 0.02, 0.35)
    chance[20:35, :, ::2] = 0.005
    disturbed = generator.uniform(size=chance.shape) < chance
    disturbed[:, 0, 0] = False
    start, stop = worked_spans(disturbed, np.ones_like(disturbed))
    for row, col in np.ndindex(start.shape):
        found = int(start[row, col]), int(stop[row, col])
        assert found == likeliest_stretch(disturbed[:, row, col].tolist()), (row, col)
    assert start[0, 0] == -1


def test_an_idle_year_ends_the_span_of_work_however_much_lies_before_and_after() -> None:
    disturbed = np.zeros((120, 1, 4), np.bool_)
    disturbed[0:20, 0, 0] = disturbed[50:80, 0, 0] = True  # twice, the second time for longer
    disturbed[0:30, 0, 1] = disturbed[60:80, 0, 1] = True  # the first time
    disturbed[10:20, 0, 2] = disturbed[29:39, 0, 2] = True  # nine idle pairs between
    disturbed[10:20, 0, 3] = disturbed[30:40, 0, 3] = True  # ten
    start, stop = worked_spans(disturbed, np.ones_like(disturbed))
    assert start.tolist() == [[50, 0, 10, 10]]
    assert stop.tolist() == [[79, 29, 38, 19]]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_work_on_a_twentieth_of_a_polygon_starts_and_stops_within_a_pair(seed: int) -> None:
    """13 ha of 256, just below a share of 5 %."""
    how = {"cells": (80, 80), "years": (2021, 2022), "pairs_per_year": 24, "gaps": 0.0, "snow": 0.0}
    pit = WorkedZone((900.0, 700.0), 202.0, (2021, 2022), 1.0)
    busy = simulate_mine_stack(np.random.default_rng(seed), [pit], **how)  # type: ignore[arg-type]
    calm = simulate_mine_stack(np.random.default_rng(seed + 100), [], **how)  # type: ignore[arg-type]
    first, last = 14, 30
    in_work = np.arange(48)
    in_work = (in_work >= first) & (in_work <= last)
    coh = busy.coh.copy(data=np.where(in_work[:, None, None], busy.coh.values, calm.coh.values))
    found = significant_activity(coh)
    whole = np.ones(coh.shape[1:], np.bool_)
    changes = zone_changes(zone_shares(coh, found, {"mine": whole}))
    assert changes["worked"].tolist() == [False, True, False]
    worked = changes.iloc[1]
    assert worked["share"] == pytest.approx(0.05, abs=0.002)
    for date, pair in ((worked["start"], first), (worked["stop"], last)):
        name = "reference_date" if pair == first else "secondary_date"
        assert abs(date - pd.Timestamp(coh[name].values[pair])) <= pd.Timedelta(12, "D")


@pytest.mark.parametrize("seed", [50, 51, 52])
def test_a_closed_mine_is_idle_throughout(seed: int) -> None:
    stack = simulate_mine_stack(
        np.random.default_rng(seed), [], cells=(60, 60), years=(2021, 2022), pairs_per_year=20,
        vegetation=0.3, stale_slopes=0.2, snow=0.3,
    )  # fmt: skip
    found = significant_activity(stack.coh)
    whole = np.ones(stack.coh.shape[1:], np.bool_)
    shares = zone_shares(stack.coh, found, {"mine": whole})
    assert worked_from(found, {"mine": whole})["mine"] <= 18 / whole.size
    assert not zone_changes(shares)["worked"].any()


def test_what_chance_gives_follows_from_the_rate_of_false_discoveries() -> None:
    """By hand: 30,000 active cells at a rate of 0.01 are 300 false ones: 30 a pair of ten, 3.3 patches of nine."""

    class Reference:
        false_discovery_rate, pairs = 0.01, np.arange(10)

    class Found:
        active = xr.DataArray(np.zeros((1, 400, 400), np.uint8), dims=("year", "y", "x"), coords={"year": [2021]})
        references: ClassVar = {2021: Reference}

    Found.active[0, :75] = 1
    zones = {"wide": np.ones((400, 400), np.bool_), "small": np.zeros((400, 400), np.bool_)}
    zones["small"][:10, :10] = True
    limits = worked_from(Found, zones)  # type: ignore[arg-type]
    chances = [np.exp(-10 / 3) * (10 / 3) ** k / math.factorial(k) for k in range(20)]
    patches = int(np.argmax(np.cumsum(chances) >= 0.99))
    assert patches == 8
    assert limits == pytest.approx({"wide": 9 * 9 / 160_000, "small": 0.05})
    Found.active[:] = 0
    assert worked_from(Found, zones)["wide"] == 9 / 160_000  # type: ignore[arg-type]


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
