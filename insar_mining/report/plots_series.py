"""Plot series over time: acquisitions, baselines, the scene test, the areas."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from typing import Literal, NamedTuple

import matplotlib.dates as mdates
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from insar_mining.errors import ReportError
from insar_mining.report.frame import legend_below


class PairStyle(NamedTuple):
    """Describe how a pair is drawn: its colour, shape and line each suffice to identify it."""

    colour: str
    marker: str
    line: Literal["solid", "dotted"]


KEPT = PairStyle("#0072b2", "o", "solid")
REJECTED = PairStyle("#d55e00", "X", "dotted")
LIMIT_COLOUR = "#555555"
GRID_COLOUR = "#dddddd"
WIDE_IN = 10.6
"""The width of the page."""

Dates = npt.NDArray[np.datetime64]


def series_axes(ax: Axes | None, height_in: float) -> Axes:
    """Return the given axes, else new ones as wide as the page, styled for a series."""
    if ax is None:
        ax = Figure(figsize=(WIDE_IN, height_in), layout="constrained").add_subplot()
    _dress(ax)
    return ax


def _dress(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color=GRID_COLOUR, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9, length=3)


def date_axis(ax: Axes) -> None:
    """Label an axis of dates briefly."""
    locator = mdates.AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def require_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise a `ReportError` that names the columns a table lacks."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ReportError(
            f"the table of {what} lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
        )


def pair_dates(pairs: Iterable[str]) -> tuple[Dates, Dates]:
    """Return the first and second dates of pairs named like ``20200105_20200117``.

    Raises
    ------
    ReportError
        A name is not two dates.

    Examples
    --------
    >>> first, second = pair_dates(["20200105_20200117"])
    >>> first, second
    (array(['2020-01-05'], dtype='datetime64[D]'), array(['2020-01-17'], dtype='datetime64[D]'))
    """
    first, second = [], []
    for pair in pairs:
        head, _, tail = str(pair).partition("_")
        try:
            dates = [
                np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}", "D")
                for text in (head, tail)
                if len(text) == 8 and text.isdigit()
            ]
        except ValueError:
            dates = []
        if len(dates) != 2:
            raise ReportError(f"pair {pair!r} is not named by its two dates, like 20200105_20200117")
        first.append(dates[0])
        second.append(dates[1])
    return np.array(first, dtype="datetime64[D]"), np.array(second, dtype="datetime64[D]")


def middle_dates(first: Dates, second: Dates) -> Dates:
    """Return the middle dates of pairs."""
    return np.asarray(first + (second - first) // 2)


def kept_mask(scenes: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return the column ``kept`` as booleans, also when it was read from text.

    Raises
    ------
    ReportError
        A value is neither true nor false.
    """
    words = scenes["kept"].astype(str).str.lower()
    if not words.isin(["true", "false"]).all():
        raise ReportError(f"column 'kept' must be true or false, it has {sorted(set(words) - {'true', 'false'})}")
    return np.asarray(words == "true")


def plot_baselines(
    pairs: pd.DataFrame,
    ax: Axes | None = None,
    *,
    rejected: Iterable[str] = (),
    limit_m: float | None = 250.0,
) -> Axes:
    """Draw the perpendicular baseline of every pair against time.

    Each pair is a horizontal bar from its first to its second date, at its baseline, with a
    marker in the middle. A pair whose baseline is not known is not drawn: unknown is not 0.

    Parameters
    ----------
    pairs : DataFrame
        Columns reference_date, secondary_date, perpendicular_baseline_m (metres, signed), pair.
    ax : Axes, optional
        Drawn into; by default into a new figure.
    rejected : iterable of str
        Names of pairs that the scene test rejected, drawn as crosses.
    limit_m : float, optional
        The limit that selected the pairs, drawn at both signs.

    Returns
    -------
    Axes
    """
    require_columns(pairs, ("pair", "reference_date", "secondary_date", "perpendicular_baseline_m"), "pairs")
    ax = series_axes(ax, 3.4)
    baseline = pairs["perpendicular_baseline_m"].to_numpy(dtype=float, na_value=np.nan)
    first = pairs["reference_date"].to_numpy(dtype="datetime64[D]")
    second = pairs["secondary_date"].to_numpy(dtype="datetime64[D]")
    known = np.isfinite(baseline)
    dropped = np.isin(pairs["pair"].to_numpy(dtype=str), np.array(list(rejected), dtype=str))
    for chosen, style, label in ((~dropped, KEPT, "pair used"), (dropped, REJECTED, "pair rejected")):
        use = known & chosen
        if not use.any():
            continue
        ax.hlines(
            baseline[use],
            first[use],
            second[use],
            colors=style.colour,
            linestyles=style.line,
            linewidth=1.6,
        )
        ax.plot(
            middle_dates(first[use], second[use]),
            baseline[use],
            linestyle="none",
            marker=style.marker,
            markersize=6,
            color=style.colour,
            label=label,
        )
    ax.axhline(0.0, color="#999999", linewidth=0.8)
    _draw_baseline_limits(ax, baseline[known], limit_m)
    date_axis(ax)
    ax.set_ylabel("perpendicular baseline (m)", fontsize=9)
    legend_below(ax, ax.get_legend_handles_labels()[0], inches=0.35, columns=3)
    return ax


def _draw_baseline_limits(ax: Axes, baseline: npt.NDArray[np.float64], limit_m: float | None) -> None:
    largest = float(np.abs(baseline).max()) if baseline.size else 1.0
    if limit_m is None:
        ax.set_ylim(-1.15 * largest, 1.15 * largest)
        return
    for sign in (-1.0, 1.0):
        ax.axhline(
            sign * limit_m,
            color=LIMIT_COLOUR,
            linewidth=1.2,
            linestyle="--",
            label=f"limit, {limit_m:g} m either way" if sign > 0 else "_lower limit",
        )
    ax.set_ylim(-1.15 * max(largest, limit_m), 1.15 * max(largest, limit_m))


def plot_acquisitions(scenes: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a calendar: one row per year, one marker per radar image, one bar per pair.

    Parameters
    ----------
    scenes : DataFrame
        Columns pair (named by its two dates) and kept.
    ax : Axes, optional

    Returns
    -------
    Axes
        Image dates are filled where a pair that was kept uses them, crosses where none does.
    """
    require_columns(scenes, ("pair", "kept"), "scenes")
    if scenes.empty:
        raise ReportError("no pair to draw: the table of scenes is empty")
    first, second = pair_dates(scenes["pair"])
    kept = kept_mask(scenes)
    used = np.unique(np.concatenate([first[kept], second[kept]]))
    unused = np.setdiff1d(np.concatenate([first, second]), used)
    years = np.arange(_year(first).min(), _year(second).max() + 1)
    ax = series_axes(ax, 0.8 + 0.4 * len(years))
    for use, style in ((kept, KEPT), (~kept, REJECTED)):
        segments = _calendar_bars(first[use], second[use])
        if segments.size:
            ax.hlines(
                segments[:, 0],
                segments[:, 1],
                segments[:, 2],
                colors=style.colour,
                linestyles=style.line,
                linewidth=2.2,
                alpha=0.65,
            )
    handles: list[Artist] = [
        Line2D([], [], color=style.colour, linewidth=2.2, linestyle=style.line, label=label)
        for use, style, label in ((kept, KEPT, "pair used"), (~kept, REJECTED, "pair rejected"))
        if use.any()
    ]
    for dates, style, label in ((used, KEPT, "image used"), (unused, REJECTED, "image only in rejected pairs")):
        if dates.size:
            handles += ax.plot(
                _day_of_year(dates),
                _year(dates),
                linestyle="none",
                marker=style.marker,
                color=style.colour,
                markersize=6,
                label=label,
            )
    _calendar_axes(ax, years)
    legend_below(ax, handles, inches=0.35, columns=4)
    return ax


def _year(dates: Dates) -> npt.NDArray[np.int64]:
    return np.asarray(dates.astype("datetime64[Y]").astype(np.int64) + 1970)


def _day_of_year(dates: Dates) -> npt.NDArray[np.int64]:
    return np.asarray((dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64))


def _calendar_bars(first: Dates, second: Dates) -> npt.NDArray[np.float64]:
    """Return rows (year, first day, last day), a pair across New Year being cut into two."""
    bars = []
    for a, b in zip(first, second, strict=True):
        for year in range(int(_year(a)), int(_year(b)) + 1):
            start = np.datetime64(f"{year}-01-01", "D")
            end = np.datetime64(f"{year + 1}-01-01", "D")
            left, right = max(a, start), min(b, end)
            bars.append((year, (left - start).astype(int), (right - start).astype(int)))
    return np.array(bars, dtype=float).reshape(-1, 3)


def _calendar_axes(ax: Axes, years: npt.NDArray[np.int64]) -> None:
    starts = np.array([np.datetime64(f"2001-{month:02d}-01", "D") for month in range(1, 13)])
    ax.set_xticks(_day_of_year(starts), [calendar.month_abbr[month] for month in range(1, 13)])
    ax.set_xlim(-4, 370)
    ax.set_yticks(years, [str(year) for year in years])
    ax.set_ylim(years.max() + 0.6, years.min() - 0.6)


def plot_scene_quality(
    scenes: pd.DataFrame,
    axes: tuple[Axes, Axes] | None = None,
    *,
    mean_min: float | None = 0.8,
    sd_max: float | None = 0.2,
) -> tuple[Axes, Axes]:
    """Draw the scene test: mean and standard deviation of coherence over the stable points.

    Parameters
    ----------
    scenes : DataFrame
        Columns pair, kept, stable_mean, stable_sd (as in ``scenes.csv``).
    axes : (Axes, Axes), optional
        For the mean and for the standard deviation; by default in a new figure, one above the other.
    mean_min, sd_max : float or None
        The thresholds of the test, drawn as lines; None where there is no test.

    Returns
    -------
    (Axes, Axes)
        Scenes without a value (NaN) are left out of the plot.
    """
    require_columns(scenes, ("pair", "kept", "stable_mean", "stable_sd"), "scenes")
    if axes is None:
        made = Figure(figsize=(WIDE_IN, 4.8), layout="constrained").subplots(2, 1, sharex=True)
        axes = (made[0], made[1])
    first, second = pair_dates(scenes["pair"])
    middle = middle_dates(first, second)
    kept = kept_mask(scenes)
    panels = (
        ("stable_mean", mean_min, "threshold: at least", "mean coherence"),
        ("stable_sd", sd_max, "threshold: at most", "standard deviation"),
    )
    for ax, (column, limit, limit_label, label) in zip(axes, panels, strict=True):
        _dress(ax)
        values = scenes[column].to_numpy(dtype=float, na_value=np.nan)
        for use, style, name in ((kept, KEPT, "kept"), (~kept, REJECTED, "rejected")):
            shown = use & np.isfinite(values)
            if shown.any():
                span = (values[shown], first[shown], second[shown])
                ax.hlines(*span, colors=style.colour, linestyles=style.line, linewidth=1.2)
                ax.plot(
                    middle[shown],
                    values[shown],
                    linestyle="none",
                    marker=style.marker,
                    color=style.colour,
                    markersize=6,
                    label=name,
                )
        ax.set_ylabel(label, fontsize=9)
        ax.margins(y=0.12)
        if limit is not None:
            _draw_limit(ax, limit, f"{limit_label} {limit:g}")
    date_axis(axes[1])
    handles, _ = axes[1].get_legend_handles_labels()
    legend_below(axes[1], handles, inches=0.35, columns=3)
    return axes


def _draw_limit(ax: Axes, limit: float, said: str) -> None:
    """Draw a threshold, named at the right."""
    ax.axhline(limit, color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, label="threshold")
    ax.annotate(
        said,
        (1.0, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=LIMIT_COLOUR,
    )
