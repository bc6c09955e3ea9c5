"""Which images of a track are compared with which.

An image is compared with the next one that can be used: the image exactly 12 days
later; if that is missing, excluded, unreadable or too far away, the one exactly 24 days
later (in general: the shortest of the spans asked for that gives a pair).  So every
image is the reference of one pair at most, no pair appears twice, and a new image only
ever replaces the pair that used to bridge its absence.  Two other networks are made of
all pairs within the limits: every one of them, or the shortest few of each image.
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, get_args

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import Point

from insar_mining.errors import InsarMiningError, OptionError, PairError, SkippedInputWarning
from insar_mining.scenes.orbits import SceneBaselines
from insar_mining.scenes.passes import with_one_track
from insar_mining.sentinel1.baselines import (
    MeasuredBaseline,
    parallel_baseline_m,
    perpendicular_baseline_m,
)

__all__ = [
    "PAIR_COLUMNS",
    "parallel_baseline_m",
    "perpendicular_baseline_m",
    "rejected_candidates",
    "select_pairs",
]

PAIR_COLUMNS = (
    "pair",
    "reference",
    "secondary",
    "reference_path",
    "secondary_path",
    "reference_date",
    "secondary_date",
    "days",
    "perpendicular_baseline_m",
    "parallel_baseline_m",
    "baseline_sd_m",
    "baseline_source",
    "relative_orbit",
    "direction",
    "platforms",
    "polarisation",
    "geometry",
)

BaselineOf = Callable[[pd.Series, pd.Series, float, float], float | MeasuredBaseline]
"""Baseline of two rows of a scene table at a longitude and latitude; a number is the perpendicular one, metres."""

Network = Literal["consecutive", "all", "small-baseline"]

_TEXTS = ("pair", "reference", "secondary", "baseline_source", "direction", "platforms", "polarisation")
_NEEDED = ("scene", "platform", "relative_orbit", "direction", "start", "polarisations", "geometry")
_DAY = np.timedelta64(1, "D")
# a repeat comes at the same time of day to a second; slices of one pass begin a minute apart at most
_SAME_TIME_OF_DAY = np.timedelta64(10, "m")


class Shape(TypedDict, total=False):
    """Describe which pairs of a track are formed.

    Attributes
    ----------
    allow_mixed_platforms : bool
        Also pair images of different satellites (at 6 days, say); by default not.
    network : {"consecutive", "all", "small-baseline"}
        ``"consecutive"``, the default, pairs an image with the next that can be used, at one of the
        spans.  ``"all"`` makes every pair up to the longest span; ``"small-baseline"``
        keeps of these the shortest `connections` of each image to later ones.  A pair's
        length is that of its days and its perpendicular baseline, each as a share of its
        limit (Berardino et al. 2002, doi:10.1109/TGRS.2002.803792).
    connections : int
        See ``"small-baseline"``; by default 3.
    max_pairs : int, optional
        Cap on the number of pairs; the shortest stay.
    """

    allow_mixed_platforms: bool
    network: Network
    connections: int
    max_pairs: int | None


def select_pairs(
    scenes: gpd.GeoDataFrame,
    max_perp_baseline_m: float = 250,
    temporal_baseline_days: int | Sequence[int] = (12, 24),
    *,
    exclude: Any = (),
    polarisation: str = "VV",
    at: tuple[float, float] | None = None,
    baseline_of: BaselineOf | None = None,
    **shape: Unpack[Shape],
) -> gpd.GeoDataFrame:
    """Select the pairs of every track: of consecutive images, unless another network is asked for.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`scan_products` or :func:`insar_mining.search` return it; the order of its
        rows does not matter.
    max_perp_baseline_m : float
        Pairs whose perpendicular baseline exceeds this, in either direction, are
        rejected, and so are those whose baseline cannot be computed.
    temporal_baseline_days : int or sequence of int
        Spans, tried from the shortest to the longest, in days between repeats.
    exclude : date or sequence of dates
        Days (UTC) not to be used; ``"2020-01-05"``, ``"20200105"``, a date, a datetime
        or a numpy.datetime64.  They are bridged like missing ones.
    polarisation : str
        Scenes without it are left out.
    at : (longitude, latitude), optional
        Place of interest: where baselines are computed, and which of several slices of
        one pass is used (the one in which the place lies deepest).  By default the
        slices of two dates that overlap most are joined, and the baseline is that of
        the middle of their overlap; give a place where a pass comes in several slices.
    baseline_of : callable, optional
        Computes the baseline from two rows of `scenes` and a place; by default from the
        state vectors of the product at a row's `path`, else from those of its record
        (`state_vectors`).  Where a row has neither the baseline is unknown, and the pair
        is rejected.
    **shape
        See :class:`Shape`.

    Returns
    -------
    GeoDataFrame
        One row per pair, by date and track: pair (``20200105_20200117``), reference and
        secondary (scene names), reference_path and secondary_path, reference_date and
        secondary_date (datetime64[ns], midnight), days, perpendicular_baseline_m,
        parallel_baseline_m, baseline_sd_m (standard deviation of either; NaN where
        `baseline_of` does not tell), baseline_source, relative_orbit, direction,
        platforms, polarisation, and the overlap of the footprints.
        ``attrs["rejected"]`` lists what was not used and why: dictionaries of pair (None
        where a single scene is meant), scene (None where a pair is meant) and reason.

    Raises
    ------
    OptionError
        An option has an impossible value.
    PairError
        A column is missing in `scenes`.

    Notes
    -----
    Two passes of one relative orbit, direction and satellite are n days apart when their
    times differ by n days to within ten minutes; slices of one pass count as one image.
    Days are counted between passes, so that a track that crosses midnight keeps its 12 days.
    Scenes of one track on either side of the ascending node have other relative orbits and
    count as one track (:func:`insar_mining.scenes.passes.with_one_track`).  Images of two
    tracks on the same days give pairs of the same name: keep one track where names must be
    unique.

    Examples
    --------
    >>> pairs = select_pairs(insar_mining.scan_products("SCENES"), max_perp_baseline_m=150)  # doctest: +SKIP
    >>> pairs[["pair", "days", "perpendicular_baseline_m"]]  # doctest: +SKIP
    """
    spans = _spans(temporal_baseline_days)
    is_mixed, network = shape.get("allow_mixed_platforms", False), shape.get("network", "consecutive")
    connections, max_pairs = shape.get("connections", 3), shape.get("max_pairs")
    if shape.keys() - Shape.__annotations__.keys():
        raise TypeError(f"select_pairs has no argument {', '.join(shape.keys() - Shape.__annotations__.keys())}")
    if not max_perp_baseline_m >= 0:
        raise OptionError(f"max_perp_baseline_m is {max_perp_baseline_m}; it must be 0 or more metres")
    if network not in get_args(Network):
        raise OptionError(f"network is {network!r}; it must be one of {', '.join(get_args(Network))}")
    if connections < 1 or (max_pairs is not None and max_pairs < 1):
        raise OptionError(f"connections is {connections} and max_pairs {max_pairs}; both must be 1 or more")
    missing = [name for name in _NEEDED if name not in scenes.columns]
    if missing:
        raise PairError(f"the scene table has no column {', '.join(missing)}. Make it with scan_products or search.")
    baseline_of = baseline_of or SceneBaselines(polarisation)
    rejected: list[dict[str, Any]] = []
    place = None if at is None else _place(at)
    passes = _passes(with_one_track(scenes), _days(exclude), polarisation.upper(), place, rejected)
    tracks: dict[tuple[Any, ...], list[_Pass]] = {}
    for one in passes:
        platform = "" if is_mixed else one.platform
        tracks.setdefault((one.relative_orbit, one.direction, platform), []).append(one)
    rows: list[dict[str, Any]] = []
    for track in tracks.values():
        for reference in track:
            if network == "consecutive":
                row = _first_pair(reference, track, spans, max_perp_baseline_m, place, baseline_of, rejected)
                found = [] if row is None else [row]
            else:
                found = _all_pairs(reference, track, spans[-1], max_perp_baseline_m, place, baseline_of, rejected)
            if network == "small-baseline":
                reason = f"its reference has {connections} shorter pairs"
                found = _shortest(found, connections, spans[-1], max_perp_baseline_m, reason, rejected)
            rows += [{**row, "polarisation": polarisation.upper()} for row in found]
    if not is_mixed:
        rejected += _mixed(passes, spans)
    if max_pairs is not None:
        reason = f"it is beyond the cap of {max_pairs} pairs, which are shorter"
        rows = _shortest(rows, max_pairs, spans[-1], max_perp_baseline_m, reason, rejected)
    return _table(rows, rejected)


def rejected_candidates(pairs: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return what :func:`select_pairs` did not use, and why.

    Returns
    -------
    DataFrame
        One row per candidate, by name: pair (empty where a single image is meant), scene
        (empty where a pair is meant), reason.
    """
    columns = ("pair", "scene", "reason")
    rows = [tuple(one[name] or "" for name in columns) for one in pairs.attrs.get("rejected", ())]
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


@dataclass(frozen=True, eq=False)
class _Pass:
    """Hold the slices of one satellite's passage along one track."""

    relative_orbit: int
    direction: str
    platform: str
    start: np.datetime64
    slices: tuple[pd.Series, ...]

    @property
    def date(self) -> np.datetime64:
        date: np.datetime64 = self.start.astype("datetime64[D]")
        return date


def _passes(
    scenes: gpd.GeoDataFrame,
    excluded: set[np.datetime64],
    polarisation: str,
    place: Point | None,
    rejected: list[dict[str, Any]],
) -> list[_Pass]:
    """Group the usable scenes into passes, in the order of time."""
    groups: dict[tuple[Any, ...], list[pd.Series]] = {}
    seen: set[str] = set()
    for _, row in scenes.sort_values(["start", "scene"], kind="stable").iterrows():
        reason = _why_not(row, seen, excluded, polarisation)
        seen.add(row["scene"])
        if reason:
            rejected.append({"pair": None, "scene": row["scene"], "reason": reason})
            continue
        key = (int(row["relative_orbit"]), str(row["direction"]).lower(), str(row["platform"]))
        groups.setdefault(key, []).append(row)
    passes = [p for key, rows in groups.items() for p in _split_by_time(key, rows)]
    if place is not None:
        passes = [p for p in (_seeing(one, place, rejected) for one in passes) if p is not None]
    return sorted(passes, key=lambda p: (p.start, p.relative_orbit, p.platform))


def _why_not(row: pd.Series, seen: set[str], excluded: set[np.datetime64], polarisation: str) -> str | None:
    """Explain why a scene cannot be used at all."""
    if row["scene"] in seen:
        return "listed twice; the first of them is used"
    if pd.isna(row["relative_orbit"]) or not row["direction"]:
        return "its relative orbit is unknown (no manifest), so no other scene is known to lie on its track"
    if pd.isna(row["start"]) or row["geometry"] is None or row["geometry"].is_empty:
        return "it has no start time or no footprint"
    if _start(row).astype("datetime64[D]") in excluded:
        return f"{_start(row).astype('datetime64[D]')} is excluded"
    if polarisation not in row["polarisations"]:
        return f"it has no {polarisation} (it has {row['polarisations']})"
    return None


def _split_by_time(key: tuple[int, str, str], rows: list[pd.Series]) -> list[_Pass]:
    """Split the rows of one track, in the order of time, into passes at gaps."""
    passes: list[list[pd.Series]] = []
    for row in rows:
        if passes and _start(row) - _start(passes[-1][-1]) < _SAME_TIME_OF_DAY:
            passes[-1].append(row)
        else:
            passes.append([row])
    return [_Pass(*key, _start(group[0]), tuple(group)) for group in passes]


def _seeing(one: _Pass, place: Point, rejected: list[dict[str, Any]]) -> _Pass | None:
    """Keep the slice in which the place lies deepest; None if no slice sees it."""
    depth = [(row["geometry"].boundary.distance(place), row) for row in one.slices if row["geometry"].covers(place)]
    if not depth:
        for row in one.slices:
            reason = f"its footprint does not cover the place {place.x:.4f}, {place.y:.4f} (longitude, latitude)"
            rejected.append({"pair": None, "scene": row["scene"], "reason": reason})
        return None
    deepest = max(range(len(depth)), key=lambda i: depth[i][0])
    return _Pass(one.relative_orbit, one.direction, one.platform, one.start, (depth[deepest][1],))


def _first_pair(
    reference: _Pass,
    track: list[_Pass],
    spans: tuple[int, ...],
    limit_m: float,
    place: Point | None,
    baseline_of: BaselineOf,
    rejected: list[dict[str, Any]],
) -> dict[str, Any] | None:
    """Return the pair of the shortest span that can be used, or None."""
    partners = [(days, p) for p in track if (days := _days_between(reference, p)) in spans]
    # of two satellites on the same day the reference's own comes first
    partners.sort(key=lambda found: (found[0], found[1].platform != reference.platform, found[1].platform))
    for days, secondary in partners:
        row = _joined(reference, secondary, days)
        reason = _measure(row, place, limit_m, baseline_of)
        if reason is None:
            return row
        rejected.append({"pair": row["pair"], "scene": None, "reason": reason})
    if not partners and reference is not track[-1]:
        wanted = " or ".join(map(str, spans))
        for slice_ in reference.slices:
            reason = f"no image of its track {wanted} days after it"
            rejected.append({"pair": None, "scene": slice_["scene"], "reason": reason})
    return None


def _all_pairs(
    reference: _Pass,
    track: list[_Pass],
    longest: int,
    limit_m: float,
    place: Point | None,
    baseline_of: BaselineOf,
    rejected: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return every pair with a later image that can be used."""
    rows = []
    for secondary in track:
        days = _days_between(reference, secondary)
        if 0 < days <= longest:
            row = _joined(reference, secondary, days)
            reason = _measure(row, place, limit_m, baseline_of)
            if reason is None:
                rows.append(row)
            else:
                rejected.append({"pair": row["pair"], "scene": None, "reason": reason})
    return rows


def _shortest(
    rows: list[dict[str, Any]],
    count: int,
    longest: int,
    limit_m: float,
    reason: str,
    rejected: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Keep the shortest pairs; of equals the first by date and name, whatever order they come in."""

    def length(row: dict[str, Any]) -> tuple[float, int, str, str]:
        share = abs(row["perpendicular_baseline_m"]) / limit_m if limit_m > 0 else 0.0
        return math.hypot(row["days"] / longest, share), row["days"], row["reference"], row["secondary"]

    ordered = sorted(rows, key=length)
    rejected += [{"pair": row["pair"], "scene": None, "reason": reason} for row in ordered[count:]]
    return ordered[:count]


def _joined(one: _Pass, other: _Pass, days: int) -> dict[str, Any]:
    """Join the two slices that overlap most; of equals the first by name."""
    choices = [(a, b, a["geometry"].intersection(b["geometry"])) for a in one.slices for b in other.slices]
    # shares of the same place on two dates differ by far more than this rounding, equal ones by less
    choices.sort(key=lambda c: (-round(c[2].area, 9), c[0]["scene"], c[1]["scene"]))
    reference, secondary, overlap = choices[0]
    dates = [_start(row).astype("datetime64[D]") for row in (reference, secondary)]
    return {
        "pair": "_".join(map(_compact, dates)),
        "reference": reference["scene"],
        "secondary": secondary["scene"],
        "reference_path": reference.get("path"),
        "secondary_path": secondary.get("path"),
        "reference_date": dates[0],
        "secondary_date": dates[1],
        "days": days,
        "relative_orbit": one.relative_orbit,
        "direction": one.direction,
        "platforms": "+".join(sorted({one.platform, other.platform})),
        "geometry": overlap,
        "_rows": (reference, secondary),
    }


def _measure(row: dict[str, Any], place: Point | None, limit_m: float, baseline_of: BaselineOf) -> str | None:
    """Add the baseline to a pair; return why the pair cannot be used, or None."""
    reference, secondary = row.pop("_rows")
    if row["geometry"].area == 0:
        return "its footprints do not overlap"
    where = row["geometry"].representative_point() if place is None else place
    try:
        measured = baseline_of(reference, secondary, where.x, where.y)
    except InsarMiningError as error:
        warnings.warn(f"pair {row['pair']} left out: {error}", SkippedInputWarning, stacklevel=4)
        return f"its perpendicular baseline is unknown: {error}"
    if not isinstance(measured, MeasuredBaseline):
        measured = MeasuredBaseline(float(measured), math.nan, math.nan, "")
    found = measured.perpendicular_m
    row["perpendicular_baseline_m"], row["parallel_baseline_m"] = found, measured.parallel_m
    row["baseline_sd_m"], row["baseline_source"] = measured.sd_m, measured.source
    if not math.isfinite(found):
        return "its perpendicular baseline is unknown"
    if abs(found) > limit_m:
        return f"its perpendicular baseline is {found:.1f} m, beyond the limit of {limit_m:g} m"
    return None


def _mixed(passes: list[_Pass], spans: tuple[int, ...]) -> list[dict[str, Any]]:
    """List the pairs that only their two satellites forbid."""
    found = []
    for one in passes:
        for other in passes:
            same_track = (one.relative_orbit, one.direction) == (other.relative_orbit, other.direction)
            if same_track and one.platform != other.platform and _days_between(one, other) in spans:
                name = f"{_compact(one.date)}_{_compact(other.date)}"
                reason = f"its images are of {one.platform} and {other.platform} (allow_mixed_platforms is off)"
                found.append({"pair": name, "scene": None, "reason": reason})
    return found


def _table(rows: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    rows = sorted(rows, key=lambda r: (r["reference_date"], r["relative_orbit"], r["reference"], r["secondary"]))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in PAIR_COLUMNS}
    for name in _TEXTS:
        columns[name] = pd.Series(columns[name], dtype=str)  # an empty list would be of no type
    for name in ("reference_date", "secondary_date"):
        columns[name] = np.array(columns[name], dtype="datetime64[ns]")
    for name in ("days", "relative_orbit"):
        columns[name] = np.array(columns[name], dtype=np.int64)
    for name in ("perpendicular_baseline_m", "parallel_baseline_m", "baseline_sd_m"):
        columns[name] = np.array(columns[name], dtype=np.float64)
    table = gpd.GeoDataFrame(columns, geometry="geometry", crs="EPSG:4326")
    table.attrs["rejected"] = sorted(rejected, key=lambda r: (r["pair"] or "", r["scene"] or "", r["reason"]))
    return table


def _start(row: pd.Series) -> np.datetime64:
    start: np.datetime64 = pd.Timestamp(row["start"]).to_datetime64().astype("datetime64[ns]")
    return start


def _days_between(one: _Pass, other: _Pass) -> int:
    """Return whole days from one pass to another, or 0 if they come at different times of day."""
    difference = other.start - one.start
    days = round(difference / _DAY)
    return days if abs(difference - days * _DAY) < _SAME_TIME_OF_DAY else 0


def _compact(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]")).replace("-", "")


def _spans(days: int | Sequence[int]) -> tuple[int, ...]:
    found: list[Any] = [days] if isinstance(days, int) else list(days)
    if not found or any(not isinstance(d, (int, np.integer)) or d <= 0 for d in found):
        raise OptionError(f"temporal_baseline_days is {days}. Give whole numbers of days above 0, such as (12, 24).")
    return tuple(sorted({int(d) for d in found}))


def _days(exclude: Any) -> set[np.datetime64]:
    """Normalise one date or several, however they are written."""
    one = isinstance(exclude, (str, dt.date, np.datetime64))
    several: Iterable[Any] = [exclude] if one else exclude
    return {_day(value) for value in several}


def _day(value: Any) -> np.datetime64:
    try:
        if isinstance(value, str) and len(value) == 8 and value.isdigit():
            value = f"{value[:4]}-{value[4:6]}-{value[6:]}"
        day = np.datetime64(value, "D")
    except (ValueError, TypeError) as error:
        raise OptionError(f"exclude: {value!r} is not a date. Write it as 2020-01-05.") from error
    if np.isnat(day):
        raise OptionError("exclude: a date is missing (NaT). Write it as 2020-01-05.")
    return day


def _place(at: tuple[float, float]) -> Point:
    lon, lat = at
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise OptionError(f"at is {at}. Give (longitude, latitude) in degrees, longitude first.")
    return Point(lon, lat)
