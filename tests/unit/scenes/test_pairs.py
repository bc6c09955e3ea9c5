"""The rules of pair selection: on real products, case by case, and on any set of scenes."""

from __future__ import annotations

import datetime as dt
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box

from insar_mining.errors import OptionError, PairError, SkippedInputWarning
from insar_mining.scenes.pairs import PAIR_COLUMNS, select_pairs
from insar_mining.scenes.products import scan_products

LON, LAT = -8.777, 31.80

# Selection: real products ----------------------------------------------------------------------


@pytest.fixture
def morocco_folder(tmp_path: Path, morocco_safe: Callable[[str], Path]) -> Path:
    for date in ("20230904", "20230916"):
        source = morocco_safe(date)
        shutil.copytree(source, tmp_path / source.name)
    return tmp_path


def test_the_real_pair_is_selected(morocco_folder: Path) -> None:
    scenes = scan_products(morocco_folder)
    pairs = select_pairs(scenes, at=(LON, LAT))
    assert tuple(pairs.columns) == PAIR_COLUMNS
    assert pairs.crs.to_epsg() == 4326
    (row,) = pairs.itertuples()
    assert (row.pair, row.days, row.relative_orbit, row.direction) == ("20230904_20230916", 12, 52, "descending")
    assert (row.reference, row.secondary) == tuple(scenes["scene"])
    assert (row.reference_path, row.secondary_path) == tuple(scenes["path"])
    assert (row.reference_date, row.secondary_date) == (pd.Timestamp("2023-09-04"), pd.Timestamp("2023-09-16"))
    assert row.perpendicular_baseline_m == pytest.approx(29.464, abs=0.01)
    assert row.geometry.area == pytest.approx(scenes.geometry[0].intersection(scenes.geometry[1]).area)
    assert pairs.attrs["rejected"] == []
    # without a place: in the middle of the overlap, where the baseline is another by some per cent
    assert select_pairs(scenes)["perpendicular_baseline_m"][0] == pytest.approx(29.5, abs=2)


def test_a_pair_beyond_the_limit_is_rejected_with_its_number(morocco_folder: Path) -> None:
    pairs = select_pairs(scan_products(morocco_folder), 29.4, at=(LON, LAT))
    assert len(pairs) == 0
    assert tuple(pairs.columns) == PAIR_COLUMNS
    (entry,) = pairs.attrs["rejected"]
    assert entry["pair"] == "20230904_20230916"
    assert entry["reason"] == "its perpendicular baseline is 29.5 m, beyond the limit of 29.4 m"


def test_an_unreadable_product_is_never_taken_for_zero(morocco_folder: Path) -> None:
    scenes = scan_products(morocco_folder)
    for annotation in morocco_folder.glob("*20230916*/annotation/*.xml"):
        annotation.write_text("<product>")
    with pytest.warns(SkippedInputWarning, match=r"pair 20230904_20230916 left out: .*not well-formed"):
        pairs = select_pairs(scenes, at=(LON, LAT))
    assert len(pairs) == 0
    assert "its perpendicular baseline is unknown: " in pairs.attrs["rejected"][0]["reason"]
    no_paths = scenes.assign(path=None)
    with pytest.warns(SkippedInputWarning, match="no product at hand, so its baseline is unknown"):
        assert len(select_pairs(no_paths)) == 0


# Selection: rules ------------------------------------------------------------------------------

Scene = dict[str, Any]
START = np.datetime64("2021-01-05T06:37:30", "ns")
HERE = box(20.0, -30.0, 22.0, -28.0)


def scene(day: int, position_m: float = 0.0, **changes: Any) -> Scene:
    start = START + np.timedelta64(day, "D") + np.timedelta64(day * 37 % 900, "ms")
    found = {
        "platform": "S1A",
        "relative_orbit": 29,
        "direction": "descending",
        "start": start,
        "polarisations": "VH+VV",
        "geometry": HERE,
        "position_m": position_m,
        **changes,
    }
    name = f"{found['platform']}_{found['relative_orbit']}_{np.datetime64(found['start'], 's')}"
    return {"scene": name, "path": f"/{name}", **found}


def table(scenes: list[Scene]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(scenes, columns=list(scene(0)), geometry="geometry", crs=4326)


def from_positions(reference: pd.Series, secondary: pd.Series, lon: float, lat: float) -> float:
    return float(secondary["position_m"] - reference["position_m"])


def select(scenes: list[Scene], *args: Any, **options: Any) -> gpd.GeoDataFrame:
    return select_pairs(table(scenes), *args, baseline_of=from_positions, **options)


def days_of(pairs: gpd.GeoDataFrame) -> list[tuple[int, int]]:
    """Days of reference and secondary since the first day of the series."""
    origin = START.astype("datetime64[D]")
    return [
        tuple(int((d.to_numpy().astype("datetime64[D]") - origin).astype(int)) for d in row)
        for row in pairs[["reference_date", "secondary_date"]].itertuples(index=False)
    ]


def reasons(pairs: gpd.GeoDataFrame) -> str:
    return "\n".join(f"{r['pair']} {r['scene']}: {r['reason']}" for r in pairs.attrs["rejected"])


def test_consecutive_images_are_paired() -> None:
    assert days_of(select([scene(d) for d in (0, 12, 24, 36)])) == [(0, 12), (12, 24), (24, 36)]


def test_a_missing_image_is_bridged() -> None:
    assert days_of(select([scene(d) for d in (0, 24, 36)])) == [(0, 24), (24, 36)]
    pairs = select([scene(d) for d in (0, 36, 48)])  # two are missing: nothing bridges 36 days
    assert days_of(pairs) == [(36, 48)]
    assert "no image of its track 12 or 24 days after it" in reasons(pairs)


@pytest.mark.parametrize(
    "written",
    [
        "2021-01-17",
        "20210117",
        dt.date(2021, 1, 17),
        dt.datetime(2021, 1, 17, 23, 59),
        np.datetime64("2021-01-17"),
        pd.Timestamp("2021-01-17T06:37"),
    ],
)
def test_an_excluded_date_is_bridged_however_it_is_written(written: Any) -> None:
    scenes = [scene(d) for d in (0, 12, 24)]
    for exclude in (written, [written], (w for w in (written, "19990101"))):
        pairs = select(scenes, exclude=exclude)
        assert days_of(pairs) == [(0, 24)]
        assert "2021-01-17 is excluded" in reasons(pairs)


def test_an_image_that_flew_too_far_away_is_bridged() -> None:
    pairs = select([scene(0), scene(12, 300.0), scene(24, 20.0), scene(36, -20.0)])
    assert days_of(pairs) == [(0, 24), (24, 36)]
    assert pairs["perpendicular_baseline_m"].tolist() == [20.0, -40.0]
    assert "20210105_20210117 None: its perpendicular baseline is 300.0 m, beyond the limit of 250 m" in reasons(pairs)
    assert "20210117_20210129 None: its perpendicular baseline is -280.0 m" in reasons(pairs)


def test_the_limit_itself_is_allowed() -> None:
    assert len(select([scene(0), scene(12, -250.0)])) == 1
    assert len(select([scene(0), scene(12, 250.001)])) == 0
    assert len(select([scene(0), scene(12, 10_000.0)], np.inf)) == 1


def test_a_baseline_that_is_not_a_number_is_unknown() -> None:
    pairs = select([scene(0), scene(12, np.nan), scene(24)])
    assert days_of(pairs) == [(0, 24)]
    assert "20210105_20210117 None: its perpendicular baseline is unknown" in reasons(pairs)


def test_other_spans() -> None:
    scenes = [scene(d) for d in (0, 6, 12, 24, 48)]
    assert days_of(select(scenes, temporal_baseline_days=(24, 6, 12))) == [(0, 6), (6, 12), (12, 24), (24, 48)]
    assert days_of(select(scenes, temporal_baseline_days=[48])) == [(0, 48)]
    assert days_of(select(scenes, temporal_baseline_days=12)) == [(0, 12), (12, 24)]


def test_tracks_directions_and_platforms_do_not_mix() -> None:
    scenes = [
        scene(0),
        scene(12, relative_orbit=131),
        scene(12, direction="ascending", relative_orbit=131),
        scene(12, platform="S1B"),
        scene(24),
        scene(24, platform="S1B"),
    ]
    pairs = select(scenes)
    assert days_of(pairs) == [(0, 24), (12, 24)]
    assert pairs["platforms"].tolist() == ["S1A", "S1B"]
    assert "its images are of S1A and S1B (allow_mixed_platforms is off)" in reasons(pairs)


@pytest.mark.parametrize(("before", "after"), [(29, 30), (175, 1)])
@given(across=st.lists(st.booleans(), min_size=6, max_size=6))
@settings(max_examples=20, deadline=None)
def test_dates_on_both_sides_of_the_ascending_node_are_of_one_track(
    before: int, after: int, across: list[bool]
) -> None:
    """The slice of some dates begins after the node: the same pairs, whichever they are."""
    tracks = [after if beyond else before for beyond in across]
    scenes = [scene(12 * k, direction="ascending", relative_orbit=track) for k, track in enumerate(tracks)]
    assert days_of(select(scenes)) == [(12 * k, 12 * k + 12) for k in range(5)]
    two = [
        scene(6 * k, platform=platform, direction="ascending", relative_orbit=track)
        for k, (platform, track) in enumerate(zip(["S1A", "S1C"] * 3, tracks, strict=True))
    ]
    mixed = select(two, temporal_baseline_days=(6, 12), allow_mixed_platforms=True)
    assert days_of(mixed) == [(6 * k, 6 * k + 6) for k in range(5)]


def test_the_next_relative_orbit_elsewhere_is_another_track() -> None:
    """It passes 98.7 minutes later, 25 degrees further west."""
    later = START + np.timedelta64(round(98.7 * 60), "s")
    there = box(-5.0, -30.0, -3.0, -28.0)
    scenes = [
        scene(0),
        scene(12),
        scene(1, relative_orbit=30, start=later, geometry=there),
        scene(13, relative_orbit=30, start=later + np.timedelta64(12, "D"), geometry=there),
        scene(6, platform="S1B", relative_orbit=30, geometry=there),
    ]
    pairs = select(scenes)
    assert sorted(pairs["relative_orbit"]) == [29, 30]


def test_slices_on_both_sides_of_the_node_are_one_pass() -> None:
    scenes = [
        scene(day, direction="ascending", relative_orbit=track, start=START + np.timedelta64(day * 86400 + late, "s"))
        for day in (0, 12)
        for track, late in ((29, 0), (30, 25))
    ]
    assert days_of(select(scenes)) == [(0, 12)]


def test_platforms_mix_when_asked() -> None:
    scenes = [scene(0), scene(6, platform="S1B"), scene(12), scene(24, platform="S1C"), scene(24)]
    pairs = select(scenes, temporal_baseline_days=(6, 12), allow_mixed_platforms=True)
    # the same satellite comes first where two images are equally far in time
    assert days_of(pairs) == [(0, 6), (6, 12), (12, 24)]
    assert pairs["platforms"].tolist() == ["S1A+S1B", "S1A+S1B", "S1A"]


def test_scenes_without_track_polarisation_or_footprint_are_named() -> None:
    scenes = [
        scene(0, relative_orbit=pd.NA),
        scene(12, polarisations="HH+HV"),
        scene(24, polarisations=("VH", "VV")),
        scene(36, geometry=Polygon()),
        scene(48),
    ]
    pairs = select(scenes)
    assert days_of(pairs) == [(24, 48)]
    assert "its relative orbit is unknown (no manifest)" in reasons(pairs)
    assert "it has no VV (it has HH+HV)" in reasons(pairs)
    assert "it has no start time or no footprint" in reasons(pairs)
    assert days_of(select(scenes, polarisation="vh")) == [(24, 48)]


def test_the_slice_that_holds_the_place_is_used() -> None:
    """Three slices a pass, 25 s apart; the place lies deep in the second and at the edge of the third."""
    scenes = [
        scene(
            day,
            start=START + np.timedelta64(day, "D") + np.timedelta64(25 * i, "s"),
            geometry=box(20, -30 - i, 22, -28.4 - i),
        )
        for day in (0, 12)
        for i in range(3)
    ]
    pairs = select(scenes, at=(21.0, -30.42))
    assert pairs["reference"].tolist() == ["S1A_29_2021-01-05T06:37:55"]
    assert pairs["secondary"].tolist() == ["S1A_29_2021-01-17T06:37:55"]
    # without a place, the two that overlap most; of equals the first
    assert select(scenes)["reference"].tolist() == ["S1A_29_2021-01-05T06:37:30"]
    nowhere = select(scenes, at=(0.0, 0.0))
    assert len(nowhere) == 0
    assert reasons(nowhere).count("does not cover the place 0.0000, 0.0000") == 6


def test_slices_cut_differently_on_two_dates_are_matched_by_overlap() -> None:
    cuts = {0: ((-30, -28), (-32, -30)), 12: ((-31.8, -29.8), (-29.8, -27.8))}
    scenes = [
        scene(
            day,
            start=START + np.timedelta64(day, "D") + np.timedelta64(25 * i, "s"),
            geometry=box(20, south, 22, north),
        )
        for day, parts in cuts.items()
        for i, (south, north) in enumerate(parts)
    ]
    (row,) = select(scenes).itertuples()
    assert row.geometry.area == pytest.approx(2 * 1.8)


def test_footprints_that_do_not_meet_are_no_pair() -> None:
    pairs = select([scene(0), scene(12, geometry=box(50, 10, 52, 12)), scene(24)])
    assert days_of(pairs) == [(0, 24)]
    assert "its footprints do not overlap" in reasons(pairs)


def test_twelve_days_stay_twelve_across_midnight() -> None:
    """The second pass begins two seconds before midnight, the first one after it."""
    first = np.datetime64("2021-01-05T00:00:01", "ns")
    scenes = [scene(0, start=first), scene(0, start=first + np.timedelta64(12, "D") - np.timedelta64(2, "s"))]
    (row,) = select(scenes).itertuples()
    assert (row.pair, row.days) == ("20210105_20210116", 12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_perp_baseline_m": -1}, "max_perp_baseline_m is -1"),
        ({"max_perp_baseline_m": float("nan")}, "max_perp_baseline_m is nan"),
        ({"temporal_baseline_days": ()}, "temporal_baseline_days"),
        ({"temporal_baseline_days": (12, -24)}, "temporal_baseline_days"),
        ({"temporal_baseline_days": (12.5,)}, "temporal_baseline_days"),
        ({"exclude": "yesterday"}, "'yesterday' is not a date"),
        ({"exclude": [None]}, "NaT"),
        ({"at": (-28.0, 121.0)}, "longitude first"),
    ],
)
def test_impossible_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        select_pairs(table([scene(0), scene(12)]), **{"baseline_of": from_positions, **options})


def test_a_table_without_a_column_is_named() -> None:
    with pytest.raises(PairError, match="no column relative_orbit, start"):
        select_pairs(table([scene(0)]).drop(columns=["relative_orbit", "start"]))


# Selection: any set of scenes ------------------------------------------------------------------

SPANS = (6, 12, 24)


@st.composite
def series(draw: st.DrawFn) -> list[Scene]:
    """Up to thirty images on a grid of six days, of two tracks and two satellites, some flown far away."""
    keys = draw(
        st.lists(
            st.tuples(st.integers(0, 15), st.sampled_from([29, 131]), st.sampled_from(["S1A", "S1B"])),
            max_size=30,
            unique=True,
        )
    )
    return [
        scene(6 * step, draw(st.floats(-400, 400, width=16)), relative_orbit=track, platform=platform)
        for step, track, platform in keys
    ]


options = st.fixed_dictionaries(
    {
        "max_perp_baseline_m": st.floats(0, 500),
        "temporal_baseline_days": st.lists(st.sampled_from([6, 12, 18, 24, 36]), min_size=1, max_size=3),
        "allow_mixed_platforms": st.booleans(),
        "exclude": st.lists(st.integers(0, 15).map(lambda n: START + np.timedelta64(6 * n, "D")), max_size=4),
    }
)


@settings(deadline=None, max_examples=80)
@given(scenes=series(), wanted=options)
def test_the_limits_always_hold(scenes: list[Scene], wanted: dict[str, Any]) -> None:
    by_name = {s["scene"]: s for s in scenes}
    pairs = select(scenes, **wanted)
    excluded = {str(np.datetime64(e, "D")) for e in wanted["exclude"]}
    for row in pairs.itertuples():
        one, other = by_name[row.reference], by_name[row.secondary]
        assert row.reference_date < row.secondary_date
        assert row.days in wanted["temporal_baseline_days"]
        assert row.days == (row.secondary_date - row.reference_date).days
        assert abs(row.perpendicular_baseline_m) <= wanted["max_perp_baseline_m"]
        assert row.perpendicular_baseline_m == other["position_m"] - one["position_m"]
        assert one["relative_orbit"] == other["relative_orbit"] == row.relative_orbit
        assert wanted["allow_mixed_platforms"] or one["platform"] == other["platform"]
        assert not excluded & {str(row.reference_date.date()), str(row.secondary_date.date())}
    assert not pairs.duplicated(["reference", "secondary"]).any()
    assert pairs["reference"].is_unique  # every image is the reference of one pair at most


@settings(deadline=None, max_examples=60)
@given(scenes=series(), wanted=options)
def test_every_image_takes_the_shortest_span_that_can_be_used(scenes: list[Scene], wanted: dict[str, Any]) -> None:
    """The rule written a second time, image by image."""
    expected = set()
    excluded = {np.datetime64(e, "D") for e in wanted["exclude"]}
    usable = [s for s in scenes if np.datetime64(s["start"], "D") not in excluded]
    for one in usable:
        for days in sorted(wanted["temporal_baseline_days"]):
            after = [
                s
                for s in usable
                if s["relative_orbit"] == one["relative_orbit"]
                and (wanted["allow_mixed_platforms"] or s["platform"] == one["platform"])
                and np.datetime64(s["start"], "D") - np.datetime64(one["start"], "D") == np.timedelta64(days, "D")
                and abs(s["position_m"] - one["position_m"]) <= wanted["max_perp_baseline_m"]
            ]
            if after:
                own = [s for s in after if s["platform"] == one["platform"]]
                expected.add((one["scene"], (own or after)[0]["scene"]))
                break
    found = select(scenes, **wanted)
    assert set(zip(found["reference"], found["secondary"], strict=True)) == expected


@settings(deadline=None, max_examples=60)
@given(scenes=series(), wanted=options, seed=st.randoms())
def test_the_order_of_the_scenes_does_not_matter(scenes: list[Scene], wanted: dict[str, Any], seed: Any) -> None:
    shuffled = scenes.copy()
    seed.shuffle(shuffled)
    one, other = select(scenes, **wanted), select(shuffled, **wanted)
    pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other))
    assert one.attrs["rejected"] == other.attrs["rejected"]


@settings(deadline=None, max_examples=60)
@given(scenes=series(), position_m=st.floats(-400, 400, width=16), step=st.integers(0, 15))
def test_a_new_image_only_replaces_what_bridged_its_absence(scenes: list[Scene], position_m: float, step: int) -> None:
    new = scene(6 * step, position_m)
    assume(new["scene"] not in {s["scene"] for s in scenes})
    before = select(scenes, temporal_baseline_days=SPANS)
    after = select([*scenes, new], temporal_baseline_days=SPANS)
    kept = set(after["pair"] + after["platforms"] + after["relative_orbit"].astype(str))
    for row in before.itertuples():
        if f"{row.pair}{row.platforms}{row.relative_orbit}" in kept:
            continue
        # the lost pair reached beyond the new image, which now takes its place
        assert (row.relative_orbit, row.platforms) == (29, "S1A")
        replaced = after[after["reference"] == row.reference]
        assert replaced["secondary"].tolist() == [new["scene"]]
        assert replaced["days"].iloc[0] < row.days


def test_the_caller_s_table_is_left_alone() -> None:
    scenes = table([scene(12), scene(0)])
    before = scenes.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select_pairs(scenes, baseline_of=from_positions)
    pd.testing.assert_frame_equal(pd.DataFrame(scenes), pd.DataFrame(before))
    assert "rejected" not in scenes.attrs
