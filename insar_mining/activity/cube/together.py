"""Whether rasters make one stack: one grid, one track, possible spans, every pair once, one way of making."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from insar_mining.activity.cube.dates import DAY_S
from insar_mining.activity.cube.rasters import CoherenceRaster
from insar_mining.activity.cube.selection import leave_out, some
from insar_mining.errors import RasterError
from insar_mining.geo.cells import same_crs
from insar_mining.geo.grid import RasterGrid
from insar_mining.options.maps import MapOptions

logger = logging.getLogger(__name__)

# cells of two files may lie apart by this part of a cell: different writers round differently
GRID_TOLERANCE = 0.05

# passes of one track are never this far apart in their time of day, those of two tracks never so near
SAME_PASS_S = 1200

# a pair is far longer than the others above so many times the median, and above so many days; and with a year
LONG_FACTOR, LONG_DAYS, YEAR_DAYS = 10, 100, 366

# a larger share of pairs with an impossible span than this means that the dates are misread
MISREAD_SHARE = 0.25


def one_stack(rasters: Sequence[CoherenceRaster], reading: MapOptions) -> list[CoherenceRaster]:
    """Return the rasters that make one stack, in order of dates; what is left out is named in warnings.

    Raises
    ------
    RasterError
        Two tracks are mixed, spans are impossible, a pair is there twice, or rasters were made differently.
    """
    # of a pair that is left out for its span the track is nobody's concern
    chosen = _of_possible_span(rasters, reading.repeat_days)
    chosen = _not_too_long(chosen, reading.max_span_days)
    chosen = _of_one_track(chosen, reading)
    check_pairs_once(chosen)
    _check_settings(chosen)
    return sorted(chosen, key=lambda raster: raster.pair)


# -- tracks -----------------------------------------------------------------------------


def _of_one_track(rasters: Sequence[CoherenceRaster], reading: MapOptions) -> list[CoherenceRaster]:
    """Keep the pairs of one track.

    Raises
    ------
    RasterError
        There are several, and none or an unknown one is chosen.
    """
    groups = _joined_in_time(_tracks(rasters, reading.repeat_days))
    if len(groups) == 1 and reading.track is None:
        return list(rasters)
    described = "; ".join(_described_track(group) for group in groups)
    if reading.track is None:
        raise RasterError(
            f"the maps are of {len(groups)} tracks, which see the ground differently: {described}. Choose one by any "
            "of its dates (--track DATE), or by its files (--pattern)"
        )
    day = np.datetime64(reading.track)
    chosen = [group for group in groups if any(day in (r.pair.reference, r.pair.secondary) for r in group)]
    if len(chosen) != 1:
        problem = "no pair has this date" if not chosen else f"{len(chosen)} tracks have this date"
        raise RasterError(f"--track {_iso(reading.track)}: {problem}; the maps are of {described}")
    return chosen[0]


def _tracks(rasters: Sequence[CoherenceRaster], repeat_days: int) -> list[list[CoherenceRaster]]:
    """Group rasters by what tells tracks apart: frame, time of day, and the day within the repeat."""
    foreign = [raster for raster in rasters if not raster.own]
    if not foreign:
        # of maps made here the track is recorded, and compared with the other settings
        return [list(rasters)]
    timed = sorted({_phase(raster, repeat_days) for raster in rasters if raster.pair.time_s is not None})
    phases = _clusters(timed, repeat_days * DAY_S)
    groups: dict[tuple[object, ...], list[CoherenceRaster]] = {}
    frames = {raster.frame for raster in foreign} - {None}
    lone_frame = next(iter(frames)) if len(frames) == 1 else None
    for raster in rasters:
        day = int(raster.pair.reference.astype("datetime64[D]").astype(int)) % repeat_days
        if raster.pair.time_s is None:
            near = {number for number, days in enumerate(_days_of(phases, repeat_days)) if day in days}
            key: object = next(iter(near)) if len(near) == 1 else ("day", day)
        else:
            phase = _phase(raster, repeat_days)
            key = next(number for number, cluster in enumerate(phases) if phase in cluster)
        groups.setdefault((key, raster.frame or lone_frame), []).append(raster)
    return sorted(groups.values(), key=lambda group: min(raster.pair for raster in group))


def _joined_in_time(groups: list[list[CoherenceRaster]]) -> list[list[CoherenceRaster]]:
    """Join groups whose pairs never overlap in time, of which nothing but the days tells that they are two tracks."""
    joined: list[list[CoherenceRaster]] = []
    for group in groups:
        home = next((other for other in joined if not _set_apart(group, other)), None)
        if home is None:
            joined.append(list(group))
            continue
        logger.warning(
            "the days of %s are no whole repeats from those of %s; are they of one track?",
            min(group, key=lambda raster: raster.pair).pair.name,
            min(home, key=lambda raster: raster.pair).pair.name,
        )
        home.extend(group)
    return joined


def _set_apart(group: Sequence[CoherenceRaster], other: Sequence[CoherenceRaster]) -> bool:
    """Check whether frames, times of day, or pairs that overlap in time show that two groups are two tracks."""
    if {raster.frame for raster in group} != {raster.frame for raster in other}:
        return True
    if all(any(raster.pair.time_s is not None for raster in one) for one in (group, other)):
        return True
    starts, ends = (np.array([getattr(r.pair, name) for r in other]) for name in ("reference", "secondary"))
    return any(bool(np.any((starts < r.pair.secondary) & (r.pair.reference < ends))) for r in group)


def _phase(raster: CoherenceRaster, repeat_days: int) -> int:
    """Return the seconds of the reference within the repeat of the orbit."""
    days = int(raster.pair.reference.astype("datetime64[D]").astype(int))
    return (days * DAY_S + (raster.pair.time_s or 0)) % (repeat_days * DAY_S)


def _clusters(phases: list[int], period_s: int) -> list[list[int]]:
    """Put phases that follow one another closely together, the last and the first too."""
    clusters: list[list[int]] = []
    for phase in phases:
        if clusters and phase - clusters[-1][-1] <= SAME_PASS_S:
            clusters[-1].append(phase)
        else:
            clusters.append([phase])
    if len(clusters) > 1 and clusters[0][0] + period_s - clusters[-1][-1] <= SAME_PASS_S:
        clusters[0] = clusters.pop() + clusters[0]
    return clusters


def _days_of(phases: list[list[int]], repeat_days: int) -> list[set[int]]:
    """Return the days within the repeat on which every cluster of phases lies."""
    return [{phase // DAY_S % repeat_days for phase in cluster} for cluster in phases]


def _described_track(group: Sequence[CoherenceRaster]) -> str:
    """Describe a track: number of pairs, first and last date, frame or time where known."""
    first = min(group, key=lambda raster: raster.pair)
    last = max(raster.pair.secondary for raster in group)
    seconds = first.pair.time_s
    clock = "" if seconds is None else f" at {seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
    frame = "" if first.frame is None else f", frame {first.frame}"
    return f"{len(group)} pairs from {first.pair.reference}{clock} to {last}{frame} ({first.path.name})"


def _iso(day: dt.date) -> str:
    return day.isoformat()


# -- spans ------------------------------------------------------------------------------


def _of_possible_span(rasters: Sequence[CoherenceRaster], repeat_days: int) -> list[CoherenceRaster]:
    """Leave out pairs whose span no repeat pass has; of maps made here the dates are not guessed.

    Raises
    ------
    RasterError
        These are many: the dates are misread, or are another satellite's.
    """
    odd = [raster for raster in rasters if not raster.own and raster.pair.days % repeat_days]
    if not odd:
        return list(rasters)
    remedy = f"spans are multiples of {repeat_days} days (--repeat-days; 1 takes any)"
    if len(odd) > MISREAD_SHARE * len(rasters):
        named = some([f"{raster.pair.days} days in {raster.path.name}" for raster in odd], "; ")
        raise RasterError(
            f"{len(odd)} of {len(rasters)} pairs have a span that no repeat pass of Sentinel-1 has ({named}): "
            f"{remedy}. Are these the two dates of a pair?"
        )
    for raster in odd:
        leave_out(raster.path, f"its span of {raster.pair.days} days is none of a repeat pass: {remedy}")
    return [raster for raster in rasters if raster not in odd]


def _not_too_long(rasters: Sequence[CoherenceRaster], max_span_days: int | None) -> list[CoherenceRaster]:
    """Leave out pairs that are far longer than the others, whose work may be that of another year.

    Raises
    ------
    RasterError
        All of them are.
    """
    limit = max_span_days
    if limit is None:
        median = float(np.median([raster.pair.days for raster in rasters]))
        limit = min(max(math.floor(LONG_FACTOR * median), LONG_DAYS), YEAR_DAYS - 1)
    kept = [raster for raster in rasters if raster.pair.days <= limit]
    if not kept:
        shortest = min(raster.pair.days for raster in rasters)
        raise RasterError(
            f"all {len(rasters)} pairs are longer than {limit} days (the shortest has {shortest}): which year their "
            "work belongs to cannot be told. --max-span takes them nevertheless"
        )
    for raster in rasters:
        if raster.pair.days > limit:
            leave_out(
                raster.path,
                f"its span of {raster.pair.days} days is far longer than the others' (limit {limit}): its work may be "
                "that of another year; --max-span takes it nevertheless",
            )
    return kept


# -- grids ------------------------------------------------------------------------------


def on_one_grid(rasters: Sequence[CoherenceRaster]) -> tuple[list[CoherenceRaster], RasterGrid, RasterGrid | None]:
    """Place rasters of any extent on the cells that they share.

    Returns
    -------
    placed : list of CoherenceRaster
        With their origins on `every`.
    every : RasterGrid
        All cells that any of them holds.
    common : RasterGrid or None
        The cells that all of them hold; None where there is none.

    Raises
    ------
    RasterError
        They lie on other cells, or in another CRS.
    """
    lattice = Counter(_rounded(raster.grid) for raster in rasters).most_common(1)[0][0]
    base = next(raster.grid for raster in rasters if _rounded(raster.grid) == lattice)
    odd = [(raster, why) for raster in rasters if (why := _difference(raster.grid, base)) is not None]
    if odd:
        named = some([f"{raster.path.name} ({why})" for raster, why in odd], "; ")
        raise RasterError(
            f"{len(odd)} of {len(rasters)} rasters lie on other cells than {described(base)}: {named}. Warp them to "
            "one grid (gdalwarp -t_srs -te -tr) or move them away."
        )
    t = base.transform
    origins = [
        (round((raster.grid.transform.f - t.f) / t.e), round((raster.grid.transform.c - t.c) / t.a))
        for raster in rasters
    ]
    edges = np.array(
        [(row, row + r.grid.height, col, col + r.grid.width) for r, (row, col) in zip(rasters, origins, strict=True)]
    )
    top, left = int(edges[:, 0].min()), int(edges[:, 2].min())
    every = base.crop(slice(top, int(edges[:, 1].max())), slice(left, int(edges[:, 3].max())))
    placed = [
        replace(raster, origin=(row - top, col - left)) for raster, (row, col) in zip(rasters, origins, strict=True)
    ]
    rows = slice(int(edges[:, 0].max()), int(edges[:, 1].min()))
    cols = slice(int(edges[:, 2].max()), int(edges[:, 3].min()))
    common = base.crop(rows, cols) if rows.start < rows.stop and cols.start < cols.stop else None
    return placed, every, common


def _rounded(grid: RasterGrid) -> tuple[object, ...]:
    """Return what rasters of one lattice share, whatever their extent."""
    t = grid.transform
    return grid.crs, round(t.a, 9), round(t.e, 9), round(t.c / t.a % 1, 1) % 1, round(t.f / t.e % 1, 1) % 1


def _difference(grid: RasterGrid, base: RasterGrid) -> str | None:
    """Describe how the cells of a grid differ from those of another; None where they are the same."""
    if grid.crs is not base.crs and not same_crs(grid.crs, base.crs):
        return f"in {grid.crs_text[:40]}"
    a, b = grid.transform, base.transform
    drift = max(
        abs(a.a - b.a) * max(grid.width, base.width) / b.a, abs(a.e - b.e) * max(grid.height, base.height) / -b.e
    )
    if drift > GRID_TOLERANCE:
        return f"cells of {a.a:.8g} x {-a.e:.8g} instead of {b.a:.8g} x {-b.e:.8g}"
    across, down = (a.c - b.c) / b.a, (a.f - b.f) / b.e
    off = across - round(across), down - round(down)
    if max(abs(off[0]), abs(off[1])) > GRID_TOLERANCE:
        return f"{off[0]:.3g} of a cell east and {off[1]:.3g} south of these, from ({a.c:.8g}, {a.f:.8g})"
    return None


def described(grid: RasterGrid) -> str:
    """Return cell size, origin and CRS of a grid in words."""
    t = grid.transform
    return f"{grid.width} x {grid.height} cells of {t.a:.8g} from ({t.c:.8g}, {t.f:.8g}), {grid.crs_text[:40]}"


# -- pairs and settings -----------------------------------------------------------------


def check_pairs_once(rasters: Sequence[CoherenceRaster]) -> None:
    """Refuse pairs that are there more than once.

    Raises
    ------
    RasterError
    """
    by_pair: dict[str, list[str]] = {}
    for raster in rasters:
        by_pair.setdefault(raster.pair.name, []).append(f"{raster.path.name} {raster.label}".strip())
    twice = [f"{name} in {' and '.join(files)}" for name, files in by_pair.items() if len(files) > 1]
    if twice:
        raise RasterError(
            f"the same pair more than once: {some(twice, '; ')}. Keep one of each, or choose files by --pattern."
        )


def _check_settings(rasters: Sequence[CoherenceRaster]) -> None:
    """Refuse a mixture of products that were made with different settings; the engine may differ."""
    own = [raster.path.name for raster in rasters if raster.own]
    foreign = [raster.path.name for raster in rasters if not raster.own]
    if own and foreign:
        raise RasterError(
            f"products of this package ({some(own)}) are mixed with rasters made elsewhere ({some(foreign)}), whose "
            "estimator and window are not known. Analyse them apart."
        )
    for name in sorted({name for raster in rasters for name in raster.settings}):
        values: dict[str, list[str]] = {}
        for raster in rasters:
            values.setdefault(raster.settings.get(name, "not recorded"), []).append(raster.path.name)
        if len(values) > 1:
            said = "; ".join(f"{value} in {some(files)}" for value, files in values.items())
            raise RasterError(f"the rasters were made with different settings ({name}: {said}). Make them alike.")
