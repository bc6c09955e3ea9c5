"""Which track to use over a mine, where its series has gaps, and how far apart its pairs should be."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from insar_mining.errors import CoverageError, InsarMiningError
from insar_mining.geo.polygons import within_180
from insar_mining.scenes.orbits import SAME_PASS, SceneBaselines
from insar_mining.scenes.passes import with_one_track
from insar_mining.sentinel1.baselines import incidence_deg

REPEAT_DAYS = 12
"""Days after which one satellite comes back to the same place of its track."""

FULL_COVER = 0.999
BEST_INCIDENCE_DEG = 39.0
"""Middle of the swath: neither the layover of steep nor the shadow of flat looks into a pit."""

_DAY = np.timedelta64(1, "D")

EVENTS = (
    ("2021-12-23", "Sentinel-1B failed; until 2025 only Sentinel-1A flew, every 12 days"),
    ("2025-03-26", "Sentinel-1C began regular service: every 6 days again, with two satellites"),
    ("2026-06-15", "Sentinel-1A's routine imaging ended (June 2026); Sentinel-1C and 1D give 6 days"),
    (
        "2026-06-16",
        "Sentinel-1C was moved along its orbit, 8 to 24 June 2026: its images before and after form no pairs",
    ),
)
"""What a gap or a change of spacing may come from."""


@dataclass(frozen=True, eq=False)
class TrackChoice:
    """Hold the track that was chosen, and why.

    Attributes
    ----------
    relative_orbit : int
    direction : str
    reasons : tuple of str
        Sentences, in the order of their weight.
    table : DataFrame
        One row per track, the best first: relative_orbit, direction, cover (median share
        of the mine that a date shows), dates (that show all of what the track can show),
        missing (repeats without a date), longest_gap_days, incidence_deg (NaN where
        unknown).
    """

    relative_orbit: int
    direction: str
    reasons: tuple[str, ...]
    table: pd.DataFrame


def choose_track(scenes: gpd.GeoDataFrame, area: BaseGeometry) -> TrackChoice:
    """Choose the track that shows a mine best.

    In this order: it covers the whole mine, it has most dates, fewest repeats are
    missing, its incidence is nearest to the middle of the swath.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.search` or :func:`insar_mining.scan_products` give it.
    area : shapely geometry
        Longitude and latitude.

    Raises
    ------
    CoverageError
        No scene of a known track sees the area.
    """
    scenes, area = with_one_track(scenes), within_180(area)
    known = scenes[scenes["relative_orbit"].notna() & scenes["direction"].notna()]
    seeing = known[known.intersects(area)]
    if seeing.empty:
        raise CoverageError(f"none of the {len(scenes)} scenes of a known track sees the mine. Widen the dates.")
    rows = [_judged(of_track, area) for _, of_track in seeing.groupby(["relative_orbit", "direction"], sort=True)]
    rows.sort(key=_rank)
    table = pd.DataFrame(rows)
    best = rows[0]
    return TrackChoice(int(best["relative_orbit"]), str(best["direction"]), tuple(_reasons(rows)), table)


def _judged(scenes: gpd.GeoDataFrame, area: BaseGeometry) -> dict[str, Any]:
    passes = _passes(scenes)
    covers = [_share(unary_union(list(p.geometry)), area) for p in passes]
    most = max(covers)
    starts = [p["start"].min() for p, cover in zip(passes, covers, strict=True) if cover >= min(most, FULL_COVER)]
    gaps = _gaps_of(starts, REPEAT_DAYS)
    return {
        "relative_orbit": int(scenes["relative_orbit"].iloc[0]),
        "direction": str(scenes["direction"].iloc[0]),
        "cover": float(np.median(covers)),
        "dates": len(starts),
        "missing": sum(gap["missing"] for gap in gaps),
        "longest_gap_days": max((gap["days"] for gap in gaps), default=0),
        "incidence_deg": _incidence(scenes, area),
    }


def _rank(row: dict[str, Any]) -> tuple[float, ...]:
    full = row["cover"] >= FULL_COVER
    away = abs(row["incidence_deg"] - BEST_INCIDENCE_DEG) if math.isfinite(row["incidence_deg"]) else 90.0
    return (not full, 0.0 if full else -row["cover"], -row["dates"], row["missing"], away, row["relative_orbit"])


def _reasons(rows: list[dict[str, Any]]) -> list[str]:
    best, others = rows[0], rows[1:]
    name = f"track {best['relative_orbit']} ({best['direction']})"
    cover = "the whole mine" if best["cover"] >= FULL_COVER else f"{best['cover']:.0%} of the mine"
    gaps = f"{best['missing']} repeats missing (longest gap {best['longest_gap_days']} days)"
    look = f"{best['incidence_deg']:.1f} degrees" if math.isfinite(best["incidence_deg"]) else "unknown"
    sentences = [f"{name} shows {cover} on {best['dates']} dates, {gaps}; incidence at the mine: {look}"]
    for row in others:
        other = f"track {row['relative_orbit']} ({row['direction']})"
        if row["cover"] < FULL_COVER and row["cover"] < best["cover"]:
            sentences.append(f"{other} shows only {row['cover']:.0%} of the mine")
        elif row["dates"] < best["dates"]:
            sentences.append(f"{other} has fewer dates ({row['dates']})")
        elif row["missing"] > best["missing"]:
            sentences.append(f"{other} misses more repeats ({row['missing']})")
        else:
            sentences.append(f"{other} looks under {row['incidence_deg']:.1f} degrees")
    return sentences


def _passes(scenes: gpd.GeoDataFrame) -> list[gpd.GeoDataFrame]:
    """Group slices and bursts by passage, in the order of time."""
    ordered = scenes.sort_values("start", kind="stable")
    new = (ordered["start"].diff() > SAME_PASS).cumsum()
    return [group for _, group in ordered.groupby(new.to_numpy(), sort=True)]


def _share(footprint: BaseGeometry, area: BaseGeometry) -> float:
    if area.area == 0:  # a point or a line
        return float(footprint.covers(area))
    return float(footprint.intersection(area).area / area.area)


def _incidence(scenes: gpd.GeoDataFrame, area: BaseGeometry) -> float:
    """Return the median incidence over the scenes whose orbit is known; NaN if none is."""
    place, orbits, found = area.representative_point(), SceneBaselines("VV"), []
    for _, row in scenes.iterrows():
        try:
            found.append(incidence_deg(orbits.orbit(row), place.x, place.y))
        except InsarMiningError:
            continue  # unknown; the others decide
    return float(np.median(found)) if found else math.nan


def gaps(scenes: gpd.GeoDataFrame, *, repeat_days: int = REPEAT_DAYS) -> pd.DataFrame:
    """List where the series of every track has no image for longer than a repeat.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`choose_track` takes it.
    repeat_days : int
        What is expected between images: 12 with one satellite, 6 with two.

    Returns
    -------
    DataFrame
        relative_orbit, direction, after and before (the images beside the gap), days,
        missing (images), and note: an event of the mission that lies in it.
    """
    rows: list[dict[str, Any]] = []
    known = scenes[scenes["relative_orbit"].notna()]
    for (track, direction), of_track in known.groupby(["relative_orbit", "direction"], sort=True):
        starts = [p["start"].min() for p in _passes(of_track)]
        rows += [{"relative_orbit": int(track), "direction": direction, **gap} for gap in _gaps_of(starts, repeat_days)]
    return pd.DataFrame(rows, columns=["relative_orbit", "direction", "after", "before", "days", "missing", "note"])


def _gaps_of(starts: list[pd.Timestamp], repeat_days: int) -> list[dict[str, Any]]:
    found = []
    for one, other in itertools.pairwise(starts):
        days = round((other - one) / _DAY)
        if days > repeat_days:
            missing = math.ceil(days / repeat_days) - 1
            notes = [text for day, text in EVENTS if one <= pd.Timestamp(day) <= other]
            found.append({"after": one, "before": other, "days": days, "missing": missing, "note": "; ".join(notes)})
    return found


@dataclass(frozen=True)
class Series:
    """Describe one way to make pairs of the images of a track that several satellites take.

    Attributes
    ----------
    platforms : tuple of str
        Whose images it uses.
    days : int
        Span of its pairs.
    allow_mixed_platforms : bool
        Whether pairs are of two satellites.
    pairs : int
        How many pairs of that span the images give.
    reason : str
        What speaks for it and against it.
    """

    platforms: tuple[str, ...]
    days: int
    allow_mixed_platforms: bool
    pairs: int
    reason: str

    @property
    def options(self) -> str:
        """What `pairs` and `run` take for it on the command line."""
        spans = f"--temporal-baseline {self.days} --temporal-baseline {2 * self.days}"
        return f"{spans} --mixed-platforms" if self.allow_mixed_platforms else spans

    def __str__(self) -> str:
        return (
            f"{self.pairs} pairs of {self.days} days of {' and '.join(self.platforms)} ({self.options}): {self.reason}"
        )


@dataclass(frozen=True)
class Spacing:
    """Describe which spans between images a series offers.

    Attributes
    ----------
    temporal_baseline_days : tuple of int
        To be given to :func:`insar_mining.select_pairs`: the usual span of one
        satellite, and its double to bridge what is missing.
    reasons : tuple of str
    counts : dict of int to int
        How often neighbouring images are so many days apart.
    series : tuple of Series
        The choices where several satellites fly on the track, the suggested one first; empty with one satellite.
    """

    temporal_baseline_days: tuple[int, int]
    reasons: tuple[str, ...]
    counts: dict[int, int]
    series: tuple[Series, ...] = ()


def suggest_spacing(scenes: gpd.GeoDataFrame) -> Spacing:
    """Suggest the spans of pairs for the scenes of one track.

    Twelve days is what one satellite gives over the whole mission, so that years can be
    compared.  Two satellites on a track give two such series, which interleave: they are
    suggested, and a series of 6 days, whose pairs mix satellites, is the other choice.  Six days
    are suggested where satellites are not told apart and they are the rule in every year: a series of 6 days
    in some years and 12 in others would show a change of coherence that is none of the ground.
    24 days are the first span where 12 days are the exception (as in the first years of the mission).

    Raises
    ------
    CoverageError
        Fewer than two dates.
    """
    scenes = scenes[scenes["relative_orbit"].notna()]
    starts = [p["start"].min() for p in _passes(scenes)]
    if len(starts) < 2:
        raise CoverageError(f"{len(starts)} date is no series. Search a longer period.")
    spans = [round((b - a) / _DAY) for a, b in itertools.pairwise(starts)]
    counts = dict(sorted(Counter(spans).items()))
    years = sorted({start.year for start in starts[1:]})
    of_year = {year: [d for d, start in zip(spans, starts[1:], strict=True) if start.year == year] for year in years}
    six = [year for year, found in of_year.items() if np.median(found) <= 6]
    series = _series_of(scenes, is_six_everywhere=len(six) == len(years))
    reasons = []
    if len(six) == len(years):
        usual = series[0].days if series else 6
        reasons.append("images come every 6 days in every year")
    else:
        twelve = sum(count for days, count in counts.items() if days <= REPEAT_DAYS)
        usual = 12 if 2 * twelve >= len(spans) else 24
        reasons.append(f"{twelve} of {len(spans)} neighbouring images are 12 days apart or less")
        if six:
            known = ", ".join(map(str, six))
            reasons.append(f"6 days are the rule in {known} only; one span for all years keeps them comparable")
    reasons += [str(one) for one in series]
    reasons += [f"{day}: {text}" for day, text in EVENTS if starts[0] < pd.Timestamp(day) < starts[-1]]
    return Spacing((usual, 2 * usual), tuple(reasons), counts, series)


def _series_of(scenes: gpd.GeoDataFrame, *, is_six_everywhere: bool) -> tuple[Series, ...]:
    """Return the series that several satellites on a track give; none with one satellite."""
    if "platform" not in scenes or scenes["platform"].nunique() < 2:
        return ()
    dates = {
        str(platform): [p["start"].min() for p in _passes(of_one)] for platform, of_one in scenes.groupby("platform")
    }
    platforms = tuple(sorted(dates))
    own = {platform: _pairs_of(starts, starts, REPEAT_DAYS) for platform, starts in dates.items()}
    each = ", ".join(f"{platform} {count}" for platform, count in sorted(own.items()))
    mixed = sum(
        _pairs_of(dates[one], dates[other], 6) for one, other in itertools.permutations(platforms, 2) if one != other
    )
    when = "" if is_six_everywhere else ", but not in every year"
    return (
        Series(
            platforms, REPEAT_DAYS, False, sum(own.values()),
            f"series of one satellite each, which interleave ({each}); comparable with years of one satellite",
        ),
        Series(
            platforms, 6, True, mixed,
            f"half the span, so that less decorrelates and dates are known better{when}; each pair mixes satellites",
        ),
    )  # fmt: skip


def _pairs_of(starts: list[pd.Timestamp], others: list[pd.Timestamp], days: int) -> int:
    """Count the images that another follows so many days later, to within ten minutes."""
    return sum(any(abs(other - start - days * _DAY) < SAME_PASS for other in others) for start in starts)
