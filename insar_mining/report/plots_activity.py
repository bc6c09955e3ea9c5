"""Plot how often and when the ground was disturbed, and the hues behind the classes of a composite."""

from __future__ import annotations

import calendar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.patches import Rectangle

from insar_mining.errors import ReportError
from insar_mining.geo.mines import Mine
from insar_mining.report.frame import MapFrame, draw_outline, figure_of, finish_map, frame_of
from insar_mining.report.plots_areas import SQUARE_KM
from insar_mining.report.plots_classes import YEARS_OF_COLOUR, class_colours, years_of
from insar_mining.report.plots_maps import colour_bar, draw_values, map_axes, plane_of
from insar_mining.report.plots_series import (
    GRID_COLOUR,
    LIMIT_COLOUR,
    date_axis,
    require_columns,
    series_axes,
)

DUTY_COLOURS = "viridis"
CALENDAR_COLOURS = "YlGnBu"
LEAST_LABELLED = 0.05  # of the axis: a bar that holds its label
HATCH = "////"
# ends and two days between, on the scale of a map of dates
DATE_TICKS = 4
HUE_BIN_DEG = 5.0
# where each colour's sector of 60 degrees lies
HUES = {"red": 0, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "magenta": 300}


def plot_duty_cycle(
    duty: xr.DataArray,
    mine: Mine,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw the share of the pairs in which each cell was disturbed.

    Parameters
    ----------
    duty : DataArray (y, x)
        0 to 1, NaN without data.
    mine : Mine
    ax : Axes, optional
        Drawn into; by default into a new figure.
    title : str, optional
    frame : MapFrame, optional
        The raster's place, for rasters that have lost their attribute ``crs``.

    Returns
    -------
    Axes
        On the fixed scale 0 to 1, dark is never.
    """
    frame = frame_of(duty, frame)
    ax = map_axes(frame, ax)
    values = frame.north_up(plane_of(duty)).astype(np.float32)
    image = draw_values(ax, frame, values, DUTY_COLOURS, 0.0, 1.0)
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame, title=title)
    colour_bar(ax, image, "share of pairs in which the ground was disturbed", "neither")
    return ax


def _day_number(day: object) -> float:
    """Convert days to days since 1970, as Matplotlib counts them."""
    return float(np.datetime64(str(day)[:10], "D").astype(np.int64))


def plot_active_date(
    date: xr.DataArray,
    mine: Mine,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    period: tuple[object, object] | None = None,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw the day on which the disturbance of each cell begins or ends.

    Parameters
    ----------
    date : DataArray (y, x) of datetime64
        NaT, drawn white, where there was none.
    mine : Mine
    ax : Axes, optional
    title : str, optional
    period : (date, date), optional
        Ends of the scale; by default the first and the last day of the map.
    frame : MapFrame, optional

    Returns
    -------
    Axes
        Dark is early.

    Raises
    ------
    ReportError
        No cell has a date, and no period is given.
    """
    frame = frame_of(date, frame)
    ax = map_axes(frame, ax)
    days = frame.north_up(plane_of(date)).astype("datetime64[D]")
    known = ~np.isnat(days)
    if period is None and not known.any():
        raise ReportError("no cell has a date, and no period is given: nothing was disturbed, so leave the map out")
    ends = days[known] if period is None else np.array([np.datetime64(str(day)[:10], "D") for day in period])
    low, high = _day_number(ends.min()), _day_number(ends.max())
    values = np.where(known, days.astype(np.int64).astype(np.float32), np.nan)
    image = draw_values(ax, frame, values, DUTY_COLOURS, low, max(high, low + 1))
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame, title=title)
    # white is a value here: there was no disturbance
    ax.patch.set_hatch("")
    colour_bar(ax, image, "day (white: never disturbed)", "neither")
    bar = figure_of(ax).axes[-1].xaxis
    ticks = np.linspace(low, max(high, low + 1), DATE_TICKS).round()
    bar.set_ticks(ticks, [f"{pd.Timestamp(tick, unit='D'):%-d %b\n%Y}" for tick in ticks])
    return ax


def plot_zone_activity(zones: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the starts and stops of work in every zone.

    Parameters
    ----------
    zones : DataFrame
        As ``zones.csv``: zone, start, stop, share, worked.
    ax : Axes, optional

    Returns
    -------
    Axes
        A bar for each stretch of constant activity, the thicker and darker the more of the zone was disturbed,
        with that share in per cent; idle stretches are thin lines.
    """
    require_columns(zones, ("zone", "start", "stop", "share", "worked"), "zones")
    if zones.empty:
        raise ReportError("no zone to draw: the table of zones is empty")
    names = list(dict.fromkeys(zones["zone"].astype(str)))
    ax = series_axes(ax, 0.9 + 0.55 * len(names))
    ax.grid(False, axis="y")
    colours = colormaps[CALENDAR_COLOURS]
    ends = [_day_number(day) for day in (pd.to_datetime(zones["start"]).min(), pd.to_datetime(zones["stop"]).max())]
    for row in zones.to_dict("records"):
        place = names.index(str(row["zone"]))
        first, last = (_day_number(row[name]) for name in ("start", "stop"))
        share = float(row["share"]) if pd.notna(row["share"]) else 0.0
        if not bool(row["worked"]):
            ax.plot([first, last], [place, place], color="#777777", linewidth=1.2, linestyle="dotted")
            continue
        ax.add_patch(
            Rectangle(
                (first, place - 0.12 - 0.25 * share), last - first, 0.24 + 0.5 * share,
                facecolor=colours(0.25 + 0.7 * share), edgecolor="#333333", linewidth=0.7,
            )
        )  # fmt: skip
        ink = "white" if share > 0.45 else "black"
        said = f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"
        if last - first > LEAST_LABELLED * (ends[1] - ends[0]):  # the table tells the others
            ax.text((first + last) / 2, place, said, ha="center", va="center", fontsize=8, color=ink)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.set_xlim(*ends)
    ax.xaxis_date()
    date_axis(ax)
    return ax


def plot_activity_calendar(
    monthly: pd.DataFrame, ax: Axes | None = None, *, value: str = "area_m2", label: str | None = None
) -> Axes:
    """Draw a calendar of the disturbed ground, months across and years down.

    Parameters
    ----------
    monthly : DataFrame
        Columns year, month (1 to 12) and `value`; months that are not there, or NaN, are hatched. A column
        ``n_pairs`` is written small below the value.
    ax : Axes, optional
    value : str
        Column to show; areas in m2 (a name that ends so) are drawn in km2, shares as they are.
    label : str, optional
        What the values are; default for areas.

    Returns
    -------
    Axes
        Every cell says its number, so that no colour has to be told.
    """
    require_columns(monthly, ("year", "month", value), "monthly activity")
    if monthly.empty:
        raise ReportError("no month to draw: the table of monthly activity is empty")
    if monthly.duplicated(["year", "month"]).any() or not monthly["month"].between(1, 12).all():
        raise ReportError("a calendar needs one row for each year and month from 1 to 12. Give the rows of one mine.")
    years = np.arange(int(monthly["year"].min()), int(monthly["year"].max()) + 1)
    shown, pairs = (np.full((years.size, 12), np.nan) for _ in range(2))
    place = monthly["year"].to_numpy(dtype=int) - years[0], monthly["month"].to_numpy(dtype=int) - 1
    as_area = value.endswith("_m2")
    shown[place] = monthly[value].to_numpy(dtype=float, na_value=np.nan) / (SQUARE_KM if as_area else 1.0)
    if "n_pairs" in monthly:
        pairs[place] = monthly["n_pairs"].to_numpy(dtype=float, na_value=np.nan)
    ax = series_axes(ax, 1.1 + 0.52 * years.size)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    top = float(np.nanmax(shown)) if np.isfinite(shown).any() else 1.0
    image = ax.imshow(
        np.ma.masked_invalid(shown),
        cmap=colormaps[CALENDAR_COLOURS].with_extremes(bad=(0.0, 0.0, 0.0, 0.0)),
        vmin=0.0,
        vmax=top or 1.0,
        aspect="auto",
    )
    for row, column in np.ndindex(shown.shape):
        if not np.isfinite(shown[row, column]):
            ax.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor="#b5b5b5", hatch=HATCH, lw=0)
            )
            continue
        # dark cells take white ink: YlGnBu is darker than middle grey above some 0.55 of its range
        ink = "white" if shown[row, column] > 0.55 * (top or 1.0) else "black"
        text = f"{shown[row, column]:.3g}" if shown[row, column] < 100 else f"{shown[row, column]:.0f}"
        ax.text(column, row - 0.08, text, ha="center", va="center", fontsize=9, color=ink)
        if np.isfinite(pairs[row, column]):
            said = f"{pairs[row, column]:.0f} pair{'' if pairs[row, column] == 1 else 's'}"
            ax.text(column, row + 0.3, said, ha="center", va="center", fontsize=7, color=ink)
    ax.set_xticks(range(12), [calendar.month_abbr[month] for month in range(1, 13)])
    ax.set_yticks(range(years.size), [str(year) for year in years])
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(-0.5, 12), minor=True)
    ax.set_yticks(np.arange(-0.5, years.size), minor=True)
    ax.grid(True, which="minor", color="white", linewidth=2.0)
    ax.tick_params(which="minor", length=0)
    colour_bar(ax, image, label or ("disturbed ground, km²; hatched: no pair" if as_area else value), "neither")
    return ax


def plot_hue_histogram(
    index: xr.DataArray,
    classes: xr.DataArray,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of a composite's hues over the six sectors of its classes.

    Parameters
    ----------
    index : DataArray (3, y, x)
        Annual NDAI of the three years in the order of red, green and blue (the coordinate ``ndai`` of `rgb_composite`,
        or the three layers of `annual_ndai`).
    classes : DataArray (y, x)
        Of `classify`, one bit per year: black and white cells have no hue and are counted beside the bars.
    ax : Axes, optional

    Returns
    -------
    Axes
        Bars of 5 degrees in their own hue with a dark edge; the borders of the sectors and the names of their colours.
    """
    if index.ndim != 3 or index.shape[0] != 3 or index.shape[1:] != classes.shape:
        raise ReportError(f"hues need three layers on the cells of the classes, not {index.shape} and {classes.shape}")
    values, labels = np.asarray(index.values, np.float64), classes.values
    coloured = (labels > 0) & (labels < 7) & np.isfinite(values).all(axis=0)
    hues = _hue_deg(values[:, coloured])
    ax = series_axes(ax, 3.4)
    ax.grid(False, axis="x")
    # half a sector to the left of red, so that no sector is torn apart
    edges = np.arange(-30.0, 330.0 + HUE_BIN_DEG, HUE_BIN_DEG)
    counts, _ = np.histogram((hues + 30.0) % 360.0 - 30.0, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    colours = hsv_to_rgb(
        np.column_stack([middles % 360 / 360, np.full_like(middles, 0.85), np.full_like(middles, 0.9)])
    )
    ax.bar(middles, counts, width=HUE_BIN_DEG, color=colours, edgecolor="#333333", linewidth=0.6, zorder=2)
    for border in np.arange(-30.0, 331.0, 60.0):
        ax.axvline(border, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    ax.set_ylim(0, 1.22 * max(int(counts.max()), 1))
    years = years_of(classes)
    labels_of = [f"year {place + 1}" for place in range(3)] if years is None else [str(year) for year in years]
    for name, hue in HUES.items():
        total = int(counts[np.abs(middles - hue) < 30].sum())
        text = f"{name}\n{' and '.join(labels_of[member] for member in YEARS_OF_COLOUR[name])}\n{total:,} cells"
        ax.text(
            hue, 0.985, text, transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize=8, linespacing=1.2
        )
    ax.set_xlim(-30, 330)
    ax.set_xticks(list(HUES.values()), [f"{hue}°" for hue in HUES.values()])
    outside = f"without a hue: {int((labels == 7).sum()):,} cells white, {int((labels == 0).sum()):,} black"
    ax.set_xlabel(f"hue of the three years' NDAI ({outside})", fontsize=9)
    ax.set_ylabel("cells", fontsize=9)
    return ax


def _hue_deg(values: np.ndarray) -> np.ndarray:
    """Compute the hue of three layers (3, n), degrees 0..360."""
    red, green, blue = values
    # the angle of the three amounts, each along its own direction, 120 degrees apart, by HSV's linear pieces
    hi, lo = values.max(axis=0), values.min(axis=0)
    spread = np.where(hi > lo, hi - lo, 1.0)
    hue = np.where(
        hi == red,
        (green - blue) / spread % 6,
        np.where(hi == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    return np.asarray(60.0 * hue)


def plot_class_areas(areas: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the area of every class as bars, with intervals where they are known.

    Parameters
    ----------
    areas : DataFrame
        Columns class (names) and area_m2; area_low_m2 and area_high_m2 for an interval (NaN: none).
    ax : Axes, optional

    Returns
    -------
    Axes
        Square kilometres, in the order of the table; the eight colours of the method where the names are theirs, every
        bar with its name, a dark edge and its number, so that no colour has to be told.
    """
    require_columns(areas, ("class", "area_m2"), "class areas")
    if areas.empty:
        raise ReportError("no class to draw: the table of class areas is empty")
    names = areas["class"].astype(str).tolist()
    colours = list(class_colours(dict(enumerate(names))).values())
    ax = series_axes(ax, 0.9 + 0.34 * len(names))
    ax.grid(False, axis="y")
    area = areas["area_m2"].to_numpy(dtype=float, na_value=np.nan) / SQUARE_KM
    places = np.arange(len(names))
    ax.barh(places, area, height=0.68, color=colours, edgecolor="#333333", linewidth=0.8, zorder=2)
    reach = area.copy()
    if {"area_low_m2", "area_high_m2"} <= set(areas.columns):
        low, high = (areas[name].to_numpy(dtype=float, na_value=np.nan) / SQUARE_KM for name in
                     ("area_low_m2", "area_high_m2"))  # fmt: skip
        known = np.isfinite(low) & np.isfinite(high)
        # a white line below the dark one shows the interval on a black bar too
        for colour, width in (("white", 4.0), ("black", 1.4)):
            ax.errorbar(
                (low + high)[known] / 2, places[known], xerr=(high - low)[known] / 2, fmt="none",
                ecolor=colour, elinewidth=width, capsize=4, capthick=width, zorder=3,
            )  # fmt: skip
        reach[known] = np.fmax(reach, high)[known]
    largest = float(np.nanmax(reach)) if np.isfinite(reach).any() else 1.0
    for place, value, end in zip(places, area, reach, strict=True):
        if np.isfinite(value):
            ax.annotate(
                f"{value:.3g}", (end, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9
            )
    ax.set_yticks(places, [name.replace("_", " ") for name in names], fontsize=9)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1.12 * (largest or 1.0))
    ax.set_xlabel("area (km²)", fontsize=9)
    ax.grid(True, axis="x", color=GRID_COLOUR, linewidth=0.6)
    return ax
