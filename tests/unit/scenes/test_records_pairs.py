"""Pairs, baselines, gaps and tracks of recorded catalogue answers, each against a second computation."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import json
import lzma
import math
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import KroghInterpolator
from scipy.optimize import brentq
from shapely.geometry import box

from insar_mining.errors import CoverageError, OptionError, OrbitError, SkippedInputWarning
from insar_mining.scenes.orbits import SceneBaselines
from insar_mining.scenes.pairs import select_pairs
from insar_mining.scenes.passes import with_one_track
from insar_mining.scenes.records import records_table, without_doubles
from insar_mining.scenes.tracks import choose_track, gaps, suggest_spacing
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.baselines import baseline, incidence_deg, measured_baseline
from insar_mining.sentinel1.record_orbits import StateVectors, from_text, state_vectors

Load = Callable[[str], list[dict[str, Any]]]
PLACE = {"slc_176": (-120.82, 54.84), "slc_88": (-73.825, 41.25), "burst_166": (-135.91, 57.04)}
TO_XYZ = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)


# State vectors ---------------------------------------------------------------------------------


def two_of(swath: SubSwath) -> StateVectors:
    """What a record carries of an annotation: the vectors on either side of the scene's middle, to microns."""
    orbit = swath.orbit
    middle = (swath.bursts[0].azimuth_time_s + swath.bursts[-1].azimuth_time_s) / 2
    after = int(np.searchsorted(orbit.time_s, middle))
    rows = [
        [str(swath.utc(orbit.time_s[i])), *np.round(orbit.position_m[i], 6), *np.round(orbit.velocity_m_s[i], 6)]
        for i in (after - 1, after)
    ]
    return state_vectors(rows, source="annotation")


@pytest.mark.parametrize("date", ["20230904", "20230916"])
def test_two_vectors_give_the_orbit_of_the_annotation(morocco_sub_swath: Callable[..., SubSwath], date: str) -> None:
    swath = morocco_sub_swath(date, "IW2")
    vectors, arc = two_of(swath), swath.arc()
    begin = swath.bursts[0].azimuth_time_s
    first = (vectors.time[0] - swath.epoch) / np.timedelta64(1, "s")
    for time in np.linspace(begin, begin + 27, 10):
        position, velocity = vectors.state(time - first)
        assert np.linalg.norm(position - arc.position_m(time)) < 0.03
        assert np.linalg.norm(velocity - arc.velocity_m_s(time)) < 0.003
    assert vectors.misfit_m() < 0.02


def test_the_motion_agrees_with_an_integration_in_an_inertial_frame() -> None:
    """The rotating frame's terms against Newton's law in a frame that does not turn, by another integrator."""
    vectors = from_text(TEXT, source="x")
    omega = np.array([0.0, 0.0, 7.2921151467e-5])
    radius, j2, gm = 6378137.0, 1.0826267e-3, 3.986004418e14

    def force(_: float, state: np.ndarray) -> np.ndarray:
        x, y, z = state[:3]
        r = math.sqrt(x * x + y * y + z * z)
        potential = 1.5 * j2 * (radius / r) ** 2
        factor = (
            -gm
            / r**3
            * np.array([1 + potential * (1 - 5 * z * z / r**2)] * 2 + [1 + potential * (3 - 5 * z * z / r**2)])
        )
        return np.concatenate([state[3:], factor * state[:3]])

    start = np.concatenate([vectors.position_m[0], vectors.velocity_m_s[0] + np.cross(omega, vectors.position_m[0])])
    end = solve_ivp(force, (0, 50), start, method="DOP853", rtol=1e-13, atol=1e-8).y[:, -1]
    angle = omega[2] * 50
    turn = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    only = StateVectors(vectors.time[:1].repeat(2), vectors.position_m[[0, 0]], vectors.velocity_m_s[[0, 0]])
    position, _ = StateVectors(only.time + np.array([0, 1], "m8[ns]"), only.position_m, only.velocity_m_s).state(50.0)
    assert np.linalg.norm(position - turn @ end[:3]) < 1e-3


TEXT = (
    '[["2022-02-15T22:51:30.000000000", 989804.686375, -5330899.764523, 4537736.798845, -2624.722192, 4337.335624, '
    '5652.396877], ["2022-02-15T22:51:40.000000000", 963534.266491, -5287209.313373, 4594003.518434, -2629.297226, '
    "4400.67383, 5600.841341]]"
)


def test_vectors_come_back_from_text() -> None:
    vectors = from_text(TEXT, source="x")
    again = from_text(vectors.to_text(), source="x")
    assert np.array_equal(again.time, vectors.time)
    assert np.array_equal(again.position_m, vectors.position_m)
    assert np.array_equal(again.velocity_m_s, vectors.velocity_m_s)


@pytest.mark.parametrize("text", [None, "", math.nan, "x", "{}", "[]", TEXT[:-200], "[[1], [2]]", 0])
def test_what_is_no_vectors_is_unknown(text: object) -> None:
    with pytest.raises(OrbitError):
        from_text(text, source="a scene")


def test_places_far_along_the_track_are_refused() -> None:
    vectors = from_text(TEXT, source="x")
    with pytest.raises(CoverageError, match="limit 60 s"):
        vectors.abeam(np.array(TO_XYZ.transform(-73.8, 60.0, 0)))


def test_vectors_in_any_order_and_more_than_once_are_the_same() -> None:
    first, second = json.loads(TEXT)
    for rows in ([second, first], [first, second, first], [second, first, second]):
        again = from_text(json.dumps(rows), source="x")
        assert again.to_text() == from_text(TEXT, source="x").to_text()
    with pytest.raises(OrbitError):
        from_text(json.dumps([first, first]), source="x")


@pytest.mark.parametrize("spoil", ["AZIMUTH_TIME", "PGEVersionClass", "SpatialExtent", "Platforms", "umm"])
def test_a_record_that_lacks_a_field_is_listed_and_stops_no_other(records: Load, spoil: str) -> None:
    three = copy.deepcopy(records("burst_166")[:3])
    umm = three[1]["umm"]
    if spoil == "AZIMUTH_TIME":
        umm["AdditionalAttributes"] = [a for a in umm["AdditionalAttributes"] if a["Name"] != spoil]
    elif spoil == "umm":
        three[1]["umm"] = None
    else:
        umm[spoil] = None
    with pytest.warns(SkippedInputWarning):
        table = without_doubles(records_table(three))
    assert len(table) == 2
    assert len(table.attrs["skipped"]) == 1


def test_an_orbit_file_counts_instead_of_a_record(records: Load, tmp_path: Path) -> None:
    """Two dates with one and the same orbit: a baseline of centimetres, whatever the records say."""
    (row,) = records_table(records("pair_scene_reference")).to_dict("records")
    start = np.datetime64("2022-09-18T07:49:21", "ns")
    rows = [pd.Series({**row, "scene": name, "platform": "S1A", "start": start}) for name in ("one", "other")]
    (packed,) = (Path(__file__).parents[2] / "data" / "azores").glob("*.EOF.xz")
    azores_orbit_file = tmp_path / packed.stem
    azores_orbit_file.write_bytes(lzma.decompress(packed.read_bytes()))
    (tmp_path / "orbits").mkdir()
    shutil.copy(azores_orbit_file, tmp_path / "orbits")
    for orbits in ([azores_orbit_file], [tmp_path / "orbits"]):
        found = SceneBaselines("VV", orbits)(rows[0], rows[1], -27.2, 38.7)
        assert abs(found.perpendicular_m) < 0.01
        assert (found.source, found.sd_m) == ("RESORB", pytest.approx(0.1 * math.sqrt(2)))
    rows[1]["start"] = start + np.timedelta64(12, "D")
    with pytest.raises(OrbitError):
        SceneBaselines("VV", [azores_orbit_file])(rows[0], rows[1], -27.2, 38.7)


# Baselines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "published_m"), [("scene", -15), ("burst", -75)])
def test_the_published_baselines(records: Load, kind: str, published_m: int) -> None:
    table = records_table(records(f"pair_{kind}_reference") + records(f"pair_{kind}_secondary"))
    pairs = select_pairs(table, at=tuple(table.geometry.iloc[0].centroid.coords[0]))
    (row,) = pairs.itertuples()
    assert row.days == 12
    assert round(row.perpendicular_baseline_m) == published_m
    assert (row.baseline_source, row.baseline_sd_m) == ("record", pytest.approx(math.sqrt(2)))


def test_records_give_the_baseline_of_the_annotations_within_a_metre(
    morocco_sub_swath: Callable[..., SubSwath],
) -> None:
    """At the scene's centre and at its corners; both components."""
    reference, secondary = morocco_sub_swath("20230904", "IW2"), morocco_sub_swath("20230916", "IW2")
    grid = reference.geolocation
    rows, columns = grid.longitude_deg.shape
    for i, j in [(rows // 2, columns // 2), (0, 0), (0, -1), (-1, 0), (-1, -1)]:
        lon, lat = grid.longitude_deg[i, j], grid.latitude_deg[i, j]
        full = baseline(reference, secondary, lon, lat)
        short = measured_baseline(two_of(reference), two_of(secondary), lon, lat)
        mixed = measured_baseline(reference, two_of(secondary), lon, lat)
        for found in (short, mixed):
            assert found.perpendicular_m == pytest.approx(full.perpendicular_m, abs=0.05)
            assert found.parallel_m == pytest.approx(full.parallel_m, abs=0.05)
        assert mixed.source == "annotation+record"


def test_the_incidence_is_that_of_the_annotation(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    swath = morocco_sub_swath("20230904", "IW2")
    grid = swath.geolocation
    for i, j in [(4, 3), (4, 17)]:
        if abs(grid.height_m[i, j]) < 500:
            found = incidence_deg(two_of(swath), grid.longitude_deg[i, j], grid.latitude_deg[i, j])
            assert found == pytest.approx(grid.incidence_deg[i, j], abs=0.1)


def computed_again(one: str, other: str, lon: float, lat: float) -> float:
    """Baseline of two records by Hermite interpolation of positions and velocities and root finding."""
    point = np.array(TO_XYZ.transform(lon, lat, 0.0))

    def state(text: str) -> tuple[np.ndarray, np.ndarray]:
        vectors = from_text(text, source="x")
        times = np.array([0.0, 0.0, 10.0, 10.0])
        values = [vectors.position_m[0], vectors.velocity_m_s[0], vectors.position_m[1], vectors.velocity_m_s[1]]
        curve = KroghInterpolator(times, values)
        time = brentq(lambda t: curve.derivative(t) @ (point - curve(t)), -40, 50)
        return curve(time), curve.derivative(time)

    (position, velocity), (partner, _) = state(one), state(other)
    normal = np.cross(point - position, velocity)
    return float(normal @ (partner - position) / np.linalg.norm(normal))


# Pairs -----------------------------------------------------------------------------------------


def dates_of(items: list[dict[str, Any]]) -> dict[tuple[str, dt.date], str]:
    """(platform, day) of every record, straight from its text."""
    found = {}
    for item in items:
        name = item["umm"]["GranuleUR"]
        day = re.search(r"_(\d{8})T\d{6}_", name)
        assert day is not None
        found[item["umm"]["Platforms"][0]["ShortName"][-1], dt.datetime.strptime(day[1], "%Y%m%d").date()] = name
    return found


@pytest.mark.parametrize("name", PLACE)
@pytest.mark.parametrize("limit_m", [250.0, 73.0])
def test_pairs_of_the_recorded_stacks(records: Load, name: str, limit_m: float) -> None:
    """The rule written a second time, from dates in names and baselines computed another way."""
    table = records_table(records(name))
    lon, lat = PLACE[name]
    pairs = select_pairs(table, limit_m, at=(lon, lat))
    vectors = {row.scene: row.state_vectors for row in table.itertuples()}
    days = dates_of(records(name))
    expected, borderline = {}, set()
    for (platform, day), scene in days.items():
        for span in (12, 24):
            partner = days.get((platform, day + dt.timedelta(span)))
            if partner is None:
                continue
            one, other = scene.removesuffix("-SLC"), partner.removesuffix("-SLC")
            length = computed_again(vectors[one], vectors[other], lon, lat)
            if abs(abs(length) - limit_m) < 0.3:
                borderline.add(one)
            if abs(length) <= limit_m:
                expected[one, other] = length
                break
    found = {(r.reference, r.secondary): r.perpendicular_baseline_m for r in pairs.itertuples()}
    assert not borderline
    assert found.keys() == expected.keys()
    assert len(found) > 20
    assert max(abs(found[k] - expected[k]) for k in found) < 0.3
    assert pairs["baseline_sd_m"].tolist() == pytest.approx([math.sqrt(2)] * len(pairs))


def test_unknown_state_vectors_are_never_zero(records: Load) -> None:
    items = copy.deepcopy(records("slc_88")[:12])
    for item in items:
        said = item["umm"]["AdditionalAttributes"]
        item["umm"]["AdditionalAttributes"] = [a for a in said if not a["Name"].startswith("SV_")]
    table = records_table(items)
    assert table["state_vectors"].isna().all()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pairs = select_pairs(table, np.inf)
    assert pairs.empty
    assert {c.category for c in caught} == {SkippedInputWarning}
    reasons = [r["reason"] for r in pairs.attrs["rejected"] if r["pair"]]
    assert len(reasons) >= 8
    assert all(r.startswith("its perpendicular baseline is unknown") for r in reasons)


def test_one_unknown_image_is_bridged(records: Load) -> None:
    items = copy.deepcopy(records("slc_88"))
    whole = select_pairs(records_table(items), at=PLACE["slc_88"])
    row = whole[whole["days"] == 12].iloc[5]
    for item in items:
        if item["umm"]["GranuleUR"].startswith(row["secondary"]):
            said = item["umm"]["AdditionalAttributes"]
            item["umm"]["AdditionalAttributes"] = [a for a in said if a["Name"] != "SV_VELOCITY_POST"]
    with pytest.warns(SkippedInputWarning, match="unknown"):
        pairs = select_pairs(records_table(items), at=PLACE["slc_88"])
    assert row["secondary"] not in {*pairs["reference"], *pairs["secondary"]}
    assert pairs[pairs["reference"] == row["reference"]]["days"].tolist() == [24]


def test_mixed_satellites_need_to_be_asked_for(records: Load) -> None:
    table = records_table(records("slc_176"))
    alone = select_pairs(table, temporal_baseline_days=(6, 12), at=PLACE["slc_176"])
    assert set(alone["platforms"]) <= {"S1A", "S1B"}
    assert any("allow_mixed_platforms is off" in r["reason"] for r in alone.attrs["rejected"])
    mixed = select_pairs(table, temporal_baseline_days=(6, 12), at=PLACE["slc_176"], allow_mixed_platforms=True)
    assert "S1A+S1B" in set(mixed["platforms"])


@pytest.mark.parametrize("network", ["all", "small-baseline"])
def test_other_networks_of_the_recorded_stacks(records: Load, network: Any) -> None:
    table = records_table(records("slc_88"))
    at, limit, longest = PLACE["slc_88"], 100.0, 48
    pairs = select_pairs(table, limit, (12, longest), at=at, network=network, connections=2)
    days = {v.removesuffix("-SLC"): k for k, v in dates_of(records("slc_88")).items()}
    vectors = {row.scene: row.state_vectors for row in table.itertuples()}
    expected: set[tuple[str, str]] = set()
    for one, (platform, day) in days.items():
        found = []
        for other, (partner, later) in days.items():
            span = (later - day).days
            if partner == platform and 0 < span <= longest:
                length = computed_again(vectors[one], vectors[other], *at)
                if abs(length) <= limit:
                    found.append((math.hypot(span / longest, length / limit), other))
        expected |= {(one, other) for _, other in sorted(found)[: None if network == "all" else 2]}
    assert set(zip(pairs["reference"], pairs["secondary"], strict=True)) == expected
    assert not pairs.duplicated(["reference", "secondary"]).any()


def test_the_cap_keeps_the_shortest(records: Load) -> None:
    table = records_table(records("slc_88"))
    every = select_pairs(table, at=PLACE["slc_88"])
    few = select_pairs(table, at=PLACE["slc_88"], max_pairs=10)
    assert len(few) == 10
    assert set(few["pair"]) <= set(every["pair"])
    assert sum("cap of 10" in r["reason"] for r in few.attrs["rejected"]) == len(every) - 10
    length = np.hypot(every["days"] / 24, every["perpendicular_baseline_m"].abs() / 250).sort_values()
    assert set(few["pair"]) == set(every.loc[length.index[:10], "pair"])


@pytest.mark.parametrize("options", [{"network": "star"}, {"connections": 0}, {"max_pairs": 0}])
def test_impossible_networks_are_named(records: Load, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        select_pairs(records_table(records("pair_scene_reference")), **options)


# Gaps and tracks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACE)
def test_gaps_of_the_recorded_stacks(records: Load, name: str) -> None:
    """Against differences of the dates in the names."""
    days = sorted({day for _, day in dates_of(records(name))})
    expected = [((b - a).days, a, b) for a, b in itertools.pairwise(days) if (b - a).days > 12]
    found = gaps(records_table(records(name)))
    assert found["days"].tolist() == [e[0] for e in expected]
    assert [t.date() for t in found["after"]] == [e[1] for e in expected]
    assert found["missing"].tolist() == [math.ceil(e[0] / 12) - 1 for e in expected]


def test_the_end_of_s1b_is_named() -> None:
    starts = pd.to_datetime(["2021-12-10T06:00:00", "2021-12-16T06:00:00", "2022-01-09T06:00:00"]).astype(
        "datetime64[ns]"
    )
    scenes = gpd.GeoDataFrame(
        {"scene": list("abc"), "relative_orbit": 13, "direction": "descending", "start": starts},
        geometry=[box(0, 0, 1, 1)] * 3, crs=4326,
    )  # fmt: skip
    (gap,) = gaps(scenes).to_dict("records")
    assert (gap["days"], gap["missing"]) == (24, 1)
    assert "Sentinel-1B failed" in gap["note"]


def test_the_spacing_that_the_series_offers(records: Load) -> None:
    twelve = suggest_spacing(records_table(records("slc_88")))
    assert twelve.temporal_baseline_days == (12, 24)
    mixed = suggest_spacing(records_table(records("slc_176")))
    assert mixed.temporal_baseline_days == (12, 24)
    days = sorted({day for _, day in dates_of(records("slc_176"))})
    spans = [(b - a).days for a, b in itertools.pairwise(days)]
    assert mixed.counts == {n: spans.count(n) for n in sorted(set(spans))}
    assert any("Sentinel-1C began" in reason for reason in twelve.reasons)
    recent = records_table(records("slc_88")).head(1)
    with pytest.raises(CoverageError, match="no series"):
        suggest_spacing(recent)


def series(track: int, direction: str, days: list[int], footprint: Any, name: str = "A") -> pd.DataFrame:
    start = np.datetime64("2023-01-01T06:00:00", "ns") + np.array(days) * np.timedelta64(1, "D")
    return pd.DataFrame(
        {"scene": [f"{track}{name}{d}" for d in days], "relative_orbit": track, "direction": direction, "start": start,
         "geometry": [footprint] * len(days)}
    )  # fmt: skip


def table(*parts: pd.DataFrame) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), geometry="geometry", crs=4326)


def test_the_track_that_shows_all_of_the_mine_most_often_is_chosen() -> None:
    mine = box(0, 0, 1, 1)
    half, whole = box(0, 0, 0.5, 1), box(-1, -1, 2, 2)
    often_half = series(1, "ascending", list(range(0, 360, 12)), half)
    few = series(5, "descending", list(range(0, 240, 12)), whole)
    many = series(7, "descending", list(range(0, 300, 12)), whole)
    holes = series(10, "ascending", [*range(0, 120, 12), *range(240, 420, 12)], whole)
    choice = choose_track(table(often_half, few, many, holes), mine)
    assert choice.relative_orbit == 7
    assert choice.table["relative_orbit"].tolist() == [7, 10, 5, 1]
    assert "shows the whole mine on 25 dates, 0 repeats missing" in choice.reasons[0]
    assert any("track 1 (ascending) shows only 50% of the mine" in r for r in choice.reasons)
    assert any("track 5 (descending) has fewer dates (20)" in r for r in choice.reasons)
    assert any("track 10 (ascending) misses more repeats" in r for r in choice.reasons)


def test_slices_of_a_pass_cover_together() -> None:
    mine = box(0, 0, 1, 1)
    upper = series(5, "ascending", [0, 12], box(-1, 0.5, 2, 2), "N")
    lower = series(5, "ascending", [0, 12], box(-1, -1, 2, 0.6), "S").assign(
        start=lambda t: t["start"] + pd.Timedelta("25s")
    )
    (row,) = choose_track(table(upper, lower), mine).table.to_dict("records")
    assert (row["cover"], row["dates"]) == (1.0, 2)
    assert math.isnan(row["incidence_deg"])


def test_the_incidence_decides_between_equals(records: Load) -> None:
    one, other = records_table(records("slc_88")), records_table(records("slc_176"))
    choice = choose_track(one, box(-73.84, 41.24, -73.81, 41.26))
    assert (choice.relative_orbit, choice.direction) == (33, "ascending")
    assert choice.table["incidence_deg"].iloc[0] == pytest.approx(38.9, abs=0.3)
    with pytest.raises(CoverageError, match="sees the mine"):
        choose_track(other, box(-73.84, 41.24, -73.81, 41.26))


def test_two_satellites_are_two_series_of_twelve_days_or_one_of_six() -> None:
    """Six days apart on one track, as Sentinel-1C and 1D fly: what each choice gives, and that it is said."""
    days = np.arange(0, 120, 6)
    start = np.datetime64("2026-07-01T06:00:00", "ns") + days * np.timedelta64(1, "D")
    platform = np.where(np.arange(days.size) % 2, "S1D", "S1C")
    scenes = gpd.GeoDataFrame(
        {"scene": [f"{p}_{d}" for p, d in zip(platform, days, strict=True)], "platform": platform,
         "relative_orbit": 29, "direction": "descending", "start": start, "polarisations": "VH+VV", "path": None},
        geometry=[box(0, 0, 2, 2)] * days.size, crs=4326,
    )  # fmt: skip
    one_each = select_pairs(scenes, baseline_of=lambda *_: 0.0)
    assert set(one_each["days"]) == {12}
    assert one_each["platforms"].value_counts().to_dict() == {"S1C": 9, "S1D": 9}
    together = select_pairs(scenes, 250, (6, 12), allow_mixed_platforms=True, baseline_of=lambda *_: 0.0)
    assert len(together) == 19
    assert set(together["platforms"]) == {"S1C+S1D"}
    spacing = suggest_spacing(scenes)
    assert spacing.temporal_baseline_days == (12, 24)
    alone, mixed = spacing.series
    assert (alone.days, alone.allow_mixed_platforms, alone.pairs) == (12, False, len(one_each))
    assert (mixed.days, mixed.allow_mixed_platforms, mixed.pairs) == (6, True, len(together))
    assert alone.platforms == mixed.platforms == ("S1C", "S1D")
    assert {str(alone), str(mixed)} <= set(spacing.reasons)
    assert alone.options == "--temporal-baseline 12 --temporal-baseline 24"
    assert mixed.options == "--temporal-baseline 6 --temporal-baseline 12 --mixed-platforms"
    of_one = suggest_spacing(scenes[scenes["platform"] == "S1C"])
    assert (of_one.temporal_baseline_days, of_one.series) == ((12, 24), ())


def test_a_satellite_that_was_moved_has_two_cycles() -> None:
    """Sentinel-1C in June 2026: no pair across the move; beyond the node the ground tells the track, not the time."""
    days = np.array([-40, -28, -16, 11, 23, 35])  # from 16 June; 27 days over the move
    start = np.datetime64("2026-06-16T06:00:00", "ns") + days * np.timedelta64(1, "D")
    scenes = gpd.GeoDataFrame(
        {"scene": [f"S1C_{d}" for d in days], "platform": "S1C", "relative_orbit": [29, 29, 30, 29, 30, 30],
         "direction": "descending", "start": start, "polarisations": "VH+VV", "path": None},
        geometry=[box(0, 0, 2, 2)] * days.size, crs=4326,
    )  # fmt: skip
    pairs = select_pairs(scenes, baseline_of=lambda *_: 0.0)
    assert pairs["pair"].tolist() == [
        "20260507_20260519",
        "20260519_20260531",
        "20260627_20260709",
        "20260709_20260721",
    ]
    later = scenes[scenes["scene"].isin(["S1C_-40", "S1C_23"])].assign(geometry=[box(0, 0, 2, 2), box(0.1, 0, 2, 2)])
    assert set(with_one_track(later)["relative_orbit"]) == {29}
    apart = later.assign(geometry=[box(0, 0, 2, 2), box(5, 0, 7, 2)])
    assert set(with_one_track(apart)["relative_orbit"]) == {29, 30}
    (note,) = {gap["note"] for gap in gaps(scenes).to_dict("records") if "moved" in gap["note"]}
    assert "Sentinel-1C" in note


def test_the_track_of_a_record_that_does_not_state_it(records: Load) -> None:
    items = records("slc_88")[:6] + records("burst_166")[:6]
    whole = records_table(items)
    for item in items:
        item["umm"]["AdditionalAttributes"] = [
            one for one in item["umm"]["AdditionalAttributes"] if one["Name"] != "PATH_NUMBER"
        ]
    assert records_table(items)["relative_orbit"].tolist() == whole["relative_orbit"].tolist()


@pytest.mark.parametrize("name", ["slc_176", "burst_166"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_records_in_any_order_and_more_than_once_give_the_same_pairs(records: Load, name: str, seed: int) -> None:
    """As pages of a catalogue overlap, and with records that lack their start or have a null class among them."""
    items = records(name)[:60]
    rng = np.random.default_rng(seed)
    drawn = [items[i] for i in rng.permutation(np.concatenate([np.arange(60), rng.integers(0, 60, 25)]))]
    broken = copy.deepcopy(items[:2])
    for one, key in zip(broken, ("TemporalExtent", "Platforms"), strict=True):
        one["umm"]["GranuleUR"] = f"broken-{key}"
        one["umm"][key] = None
    if name == "burst_166":
        broken[0]["umm"]["AdditionalAttributes"] = [
            one for one in broken[0]["umm"]["AdditionalAttributes"] if one["Name"] != "AZIMUTH_TIME"
        ]
    drawn[7:7] = broken

    def pairs(which: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        table = without_doubles(records_table(which))
        found = select_pairs(table, temporal_baseline_days=(6, 12, 24), allow_mixed_platforms=True)
        return list(found[["pair", "reference", "secondary", "perpendicular_baseline_m"]].itertuples(index=False))

    expected = pairs(items)
    with pytest.warns(SkippedInputWarning, match="broken-"):
        assert pairs(drawn) == expected
    assert len(expected) > 3
