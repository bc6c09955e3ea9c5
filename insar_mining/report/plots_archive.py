"""Plot what the archive has: the network of pairs, a calendar of images, footprints over the mine.

They take tables of catalogue records and tables of local products alike.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import matplotlib.dates as mdates
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from shapely import union_all
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.errors import OutputError, ReportError
from insar_mining.files import appears_whole
from insar_mining.report.frame import legend_below
from insar_mining.report.plots_series import (
    KEPT,
    REJECTED,
    WIDE_IN,
    pair_dates,
    require_columns,
    series_axes,
)
from insar_mining.scenes.orbits import orbit_positions
from insar_mining.scenes.tracks import REPEAT_DAYS, gaps

SCENE_COLUMNS = ("scene", "platform", "relative_orbit", "direction", "start", "geometry")
PLATFORMS = {"S1A": ("#0072b2", "o"), "S1B": ("#009e73", "s"), "S1C": ("#cc79a7", "^"), "S1D": ("#e69f00", "D")}
GROUPS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES: tuple[Literal["solid", "dashed", "dotted"], ...] = ("solid", "dashed", "dotted")
MINE_COLOUR = "#111111"
GAP_COLOUR = "#f0e0c8"
Moment = pd.Timestamp | np.datetime64
SUFFIXES = (".png", ".svg", ".pdf")
MOST_GROUPS = 8
CLOSE_UP = 6.0  # the close-up is so many times as wide as the mine


def plot_network(
    scenes: gpd.GeoDataFrame, pairs: gpd.GeoDataFrame, ax: Axes | None = None, *, at: tuple[float, float] | None = None
) -> Axes:
    """Draw the network of pairs: images at date and perpendicular position, pairs as lines.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.search` or :func:`insar_mining.scan_products` give it, of the pairs' track.
    pairs : GeoDataFrame
        As :func:`insar_mining.select_pairs` gives it; candidates in ``attrs["rejected"]`` are drawn dotted.
    ax : Axes, optional
        Drawn into; by default into a new figure.
    at : (longitude, latitude), optional
        Where baselines are taken; by default in the middle of the pairs' overlap.

    Returns
    -------
    Axes
        The zero is the first image.  An image whose orbit is unknown is not drawn, and counted below.
    """
    require_columns(scenes, SCENE_COLUMNS, "scenes")
    require_columns(pairs, ("pair", "reference_date", "secondary_date", "relative_orbit"), "pairs")
    ax = series_axes(ax, 4.0)
    of_track = scenes[scenes["relative_orbit"].isin(pairs["relative_orbit"].unique())] if len(pairs) else scenes
    lon, lat = at if at is not None else _middle(pairs if len(pairs) else of_track)
    found = orbit_positions(of_track, lon, lat)
    place = dict(zip(found["date"].to_numpy().astype("datetime64[D]").tolist(), found["position_m"], strict=True))
    names = [str(one["pair"]) for one in pairs.attrs.get("rejected", ()) if one["pair"]]
    formed = _edges(*pair_dates(pairs["pair"]), place)
    refused = _edges(*pair_dates(names), place)
    handles: list[Artist] = []
    for edges, style, label in ((refused, REJECTED, "candidate rejected"), (formed, KEPT, "pair")):
        for dates, positions in edges:
            ax.plot(dates, positions, color=style.colour, linestyle=style.line, linewidth=1.4, zorder=2)
        if edges:
            handles.append(Line2D([], [], color=style.colour, linestyle=style.line, label=f"{label} ({len(edges)})"))
    handles += _draw_images(ax, found, {day for dates, _ in formed for day in dates})
    unknown = int(found["position_m"].isna().sum())
    if unknown:
        handles.append(Line2D([], [], linestyle="none", label=f"{unknown} images of unknown orbit are not drawn"))
    _date_axis(ax)
    ax.set_ylabel("perpendicular baseline\nfrom the first image (m)", fontsize=9)
    ax.margins(y=0.12)
    legend_below(ax, handles[::-1], inches=0.35, columns=3)
    return ax


def _edges(
    first: npt.NDArray[np.datetime64], second: npt.NDArray[np.datetime64], place: dict[object, float]
) -> list[tuple[list[Any], list[float]]]:
    """Return the pairs with known positions of both images: dates and positions."""
    found = []
    for dates in zip(first.tolist(), second.tolist(), strict=True):
        positions = [place.get(date, math.nan) for date in dates]
        if all(math.isfinite(p) for p in positions):
            found.append((list(dates), positions))
    return found


def _draw_images(ax: Axes, found: pd.DataFrame, used: set[object]) -> list[Artist]:
    handles: list[Artist] = []
    known = found[found["position_m"].notna()]
    in_pair = np.array([day in used for day in known["date"].to_numpy().astype("datetime64[D]").tolist()], dtype=bool)
    for platform, chosen in known.groupby("platform", sort=True):
        colour, marker = PLATFORMS.get(str(platform), ("#555555", "o"))
        inside = in_pair[known["platform"].to_numpy() == platform]
        for use, face, label in ((inside, colour, "in a pair"), (~inside, "white", "in no pair")):
            if use.any():
                handles += ax.plot(
                    chosen["date"][use], chosen["position_m"][use], linestyle="none", marker=marker, markersize=6,
                    markerfacecolor=face, markeredgecolor=colour, zorder=3,
                    label=f"{platform} image {label} ({int(use.sum())})",
                )  # fmt: skip
    return handles


def plot_calendar(
    scenes: gpd.GeoDataFrame,
    pairs: gpd.GeoDataFrame | None = None,
    ax: Axes | None = None,
    *,
    repeat_days: int = REPEAT_DAYS,
) -> Axes:
    """Draw a calendar of the images: a row per year, a marker per image, a bar per pair, gaps shaded.

    Parameters
    ----------
    scenes : GeoDataFrame
        Of one track, as for :func:`plot_network`.
    pairs : GeoDataFrame, optional
    ax : Axes, optional
    repeat_days : int
        A longer time without an image is a gap.

    Returns
    -------
    Axes
    """
    require_columns(scenes, SCENE_COLUMNS, "scenes")
    if scenes.empty:
        raise ReportError("no image to draw: the table of scenes is empty")
    day = scenes["start"].to_numpy().astype("datetime64[D]")
    years = np.arange(_year(day.min()), _year(day.max()) + 1)
    ax = series_axes(ax, 1.0 + 0.42 * len(years))
    handles: list[Artist] = []
    holes = gaps(scenes, repeat_days=repeat_days)
    for after, before in zip(holes["after"], holes["before"], strict=True):
        _draw_span(ax, after, before, dict(facecolor=GAP_COLOUR, height=0.7, zorder=0))
    if pairs is not None and len(pairs):
        first, second = pair_dates(pairs["pair"])
        for one, other in zip(first, second, strict=True):
            _draw_span(ax, one, other, dict(facecolor=KEPT.colour, height=0.16, alpha=0.45, zorder=1))
    for platform in sorted(set(scenes["platform"])):
        colour, marker = PLATFORMS.get(str(platform), ("#555555", "o"))
        dates = np.unique(day[(scenes["platform"] == platform).to_numpy()])
        handles += ax.plot(
            [_day_of_year(d) for d in dates], [_year(d) for d in dates], linestyle="none", marker=marker, markersize=6,
            color=colour, zorder=3, label=f"{platform}, dates: {len(dates)}",
        )  # fmt: skip
    if pairs is not None and len(pairs):
        handles.append(Patch(facecolor=KEPT.colour, alpha=0.45, label=f"pair ({len(pairs)})"))
    if len(holes):
        label = f"more than {repeat_days} days without an image ({int(holes['missing'].sum())} missing)"
        handles.append(Patch(facecolor=GAP_COLOUR, label=label))
    months = [np.datetime64(f"2001-{month:02d}-01", "D") for month in range(1, 13)]
    ax.set_xticks([_day_of_year(d) for d in months], [d.astype(object).strftime("%b") for d in months])
    ax.set_xlim(-4, 370)
    ax.set_yticks(years, [str(year) for year in years])
    ax.set_ylim(years.max() + 0.6, years.min() - 0.6)
    legend_below(ax, handles, inches=0.35, columns=3)
    return ax


def _draw_span(ax: Axes, start: Moment, stop: Moment, style: dict[str, object]) -> None:
    """Draw a bar from day to day, cut where a year ends."""
    first, last = (pd.Timestamp(t).to_datetime64().astype("datetime64[D]") for t in (start, stop))
    for year in range(_year(first), _year(last) + 1):
        begin, end = np.datetime64(f"{year}-01-01", "D"), np.datetime64(f"{year + 1}-01-01", "D")
        left, right = max(first, begin), min(last, end)
        if right > left:
            ax.barh(year, int((right - left).astype(int)), left=int((left - begin).astype(int)), **style)  # type: ignore[arg-type]


def plot_footprints(
    scenes: gpd.GeoDataFrame, area: BaseGeometry, axes: tuple[Axes, Axes] | None = None, *, name: str = "mine"
) -> tuple[Axes, Axes]:
    """Draw the images' footprints over the mine: whole on the left, close up on the right.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.search` or :func:`insar_mining.scan_products` give it.  Bursts of one number,
        else images of one track, are drawn in one colour.
    area : shapely geometry
        The mine, longitude and latitude.
    axes : (Axes, Axes), optional
        By default in a new figure.
    name : str
        Of the mine.

    Returns
    -------
    (Axes, Axes)
    """
    require_columns(scenes, SCENE_COLUMNS, "scenes")
    if scenes.empty:
        raise ReportError("no footprint to draw: the table of scenes is empty")
    if axes is None:
        made = Figure(figsize=(WIDE_IN, 5.4), layout="constrained").subplots(1, 2)
        axes = (made[0], made[1])
    groups = _groups(scenes)
    handles: list[Artist] = []
    for number, (label, shapes) in enumerate(groups):
        colour = GROUPS[number % len(GROUPS)]
        line = LINES[number // len(GROUPS) % len(LINES)]
        # many dates lie on each other: the more there are, the thinner each
        alpha = max(0.08, min(1.0, 4.0 / len(shapes)))
        for ax in axes:
            for shape in shapes:
                _outline(ax, shape, color=colour, linewidth=1.1, alpha=alpha, linestyle=line)
        handles.append(Line2D([], [], color=colour, linestyle=line, label=f"{label} ({len(shapes)} images)"))
    for ax in axes:
        gpd.GeoSeries([area]).plot(ax=ax, facecolor=MINE_COLOUR, edgecolor=MINE_COLOUR, alpha=0.75, aspect=None)
    handles.append(Patch(facecolor=MINE_COLOUR, alpha=0.75, label=name))
    _show(axes[0], box(*scenes.total_bounds).union(area), 1.12, "Whole footprints")
    point = area.representative_point()
    axes[0].plot(point.x, point.y, marker="o", markersize=13, markerfacecolor="none", markeredgecolor=MINE_COLOUR)
    _show(axes[1], area, CLOSE_UP, f"Around the {name}" if name == "mine" else f"Around {name}")
    whole, dates = _dates_that_show(scenes, area)
    axes[1].annotate(
        f"all of it is seen on {whole} of {dates} dates", (0.03, 0.96), xycoords="axes fraction", va="top", fontsize=8.5
    )
    legend_below(axes[0], handles, inches=0.55, columns=2)
    return axes


def _dates_that_show(scenes: gpd.GeoDataFrame, area: BaseGeometry) -> tuple[int, int]:
    """Count the days on which a track's images together cover an area, and all days."""
    day = scenes["start"].dt.date
    passes = scenes.groupby([scenes["relative_orbit"].astype(str), day])
    whole = sum(union_all(list(group.geometry)).buffer(1e-9).covers(area) for _, group in passes)
    return whole, len(passes)


def _groups(scenes: gpd.GeoDataFrame) -> list[tuple[str, list[BaseGeometry]]]:
    """Group footprints by burst number if there are few, else by track."""
    if "burst_id" in scenes and scenes["burst_id"].notna().all() and scenes["burst_id"].nunique() <= MOST_GROUPS:
        keys = "burst " + scenes["burst_id"].astype(str)
    else:
        keys = "track " + scenes["relative_orbit"].astype(str) + " " + scenes["direction"].astype(str)
    return [(str(key), list(group.geometry)) for key, group in scenes.groupby(keys.to_numpy(), sort=True)]


def _outline(ax: Axes, shape: BaseGeometry, **style: object) -> None:
    for part in getattr(shape.boundary, "geoms", [shape.boundary]):
        lon, lat = np.asarray(part.coords).T[:2]
        ax.plot(lon, lat, **style)  # type: ignore[arg-type]


def _show(ax: Axes, shape: BaseGeometry, factor: float, title: str) -> None:
    """Draw a shape and its surroundings at true proportions, with a scale in kilometres."""
    west, south, east, north = shape.bounds
    stretch = 1 / max(math.cos(math.radians((south + north) / 2)), 0.05)
    half = factor / 2 * max((east - west) / stretch, north - south, 0.002)
    x, y = (west + east) / 2, (south + north) / 2
    ax.set_xlim(x - half * stretch, x + half * stretch)
    ax.set_ylim(y - half, y + half)
    ax.set_aspect(stretch)
    ax.set_title(title, fontsize=9.5, loc="left", fontweight="bold", parse_math=False)
    ax.set_xlabel("longitude (degrees)", fontsize=8)
    ax.set_ylabel("latitude (degrees)", fontsize=8)
    ax.tick_params(labelsize=8, length=3)
    ax.locator_params(nbins=5)
    ax.ticklabel_format(useOffset=False)
    ax.grid(True, color="#dddddd", linewidth=0.5)
    ax.set_axisbelow(True)
    length_km = _round_length_km(0.3 * 2 * half * 111.32)
    length = length_km / 111.32 * stretch
    left, bottom = x - 0.93 * half * stretch, y - 0.9 * half
    ax.plot([left, left + length], [bottom, bottom], color="black", linewidth=2.5, solid_capstyle="butt")
    text = f"{length_km:g} km" if length_km >= 1 else f"{1000 * length_km:g} m"
    ax.annotate(text, (left + length / 2, bottom), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)


def _round_length_km(limit: float) -> float:
    power = 10.0 ** math.floor(math.log10(limit))
    return max(step * power for step in (1, 2, 5) if step * power <= limit)


def figure_of_images(
    scenes: gpd.GeoDataFrame, area: BaseGeometry | None, pairs: gpd.GeoDataFrame | None = None, *, name: str = "mine"
) -> Figure:
    """Draw one page: the network if there are pairs, the calendar, the footprints if there is a mine."""
    day = scenes["start"].to_numpy().astype("datetime64[D]")
    years = int(_year(day.max()) - _year(day.min())) + 1 if len(day) else 1
    heights = [4.0] * (pairs is not None) + [1.3 + 0.42 * years] + [5.6] * (area is not None)
    figure = Figure(figsize=(WIDE_IN, sum(heights)), layout="constrained")
    made: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    parts = list(made[:, 0])
    if pairs is not None:
        at = None if area is None else area.representative_point()
        ax = plot_network(scenes, pairs, parts.pop(0).add_subplot(), at=None if at is None else (at.x, at.y))
        ax.set_title(_title("Network of pairs", scenes), fontsize=9.5, loc="left", fontweight="bold", parse_math=False)
    ax = plot_calendar(scenes, pairs, parts.pop(0).add_subplot())
    ax.set_title(_title("Calendar of images", scenes), fontsize=9.5, loc="left", fontweight="bold", parse_math=False)
    if area is not None:
        left, right = parts.pop(0).subplots(1, 2)
        plot_footprints(scenes, area, (left, right), name=name)
    return figure


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, SVG or PDF, whole or not at all.

    Raises
    ------
    OutputError
        Another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: plots are written as {', '.join(SUFFIXES)}, not as {path.suffix or 'no suffix'}")
    with appears_whole(path) as partial:
        figure.savefig(partial, format=path.suffix[1:].lower(), dpi=130, facecolor="white", bbox_inches="tight")
    return path


def _title(what: str, scenes: gpd.GeoDataFrame) -> str:
    tracks = sorted({f"{t} {d}" for t, d in zip(scenes["relative_orbit"], scenes["direction"], strict=True)})
    return f"{what}, track {', '.join(tracks)}" if len(tracks) <= 3 else f"{what}, {len(tracks)} tracks"


def _middle(table: gpd.GeoDataFrame) -> tuple[float, float]:
    points = [shape.representative_point() for shape in table.geometry]
    return float(np.median([p.x for p in points])), float(np.median([p.y for p in points]))


def _date_axis(ax: Axes) -> None:
    locator = mdates.AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _year(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(np.int64)) + 1970


def _day_of_year(day: np.datetime64) -> int:
    return int((day - day.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64))
