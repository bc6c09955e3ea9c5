"""Plot the active area of every year as bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from insar_mining.report.frame import legend_below
from insar_mining.report.plots_series import require_columns, series_axes

AREA_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
SQUARE_KM = 1e6


def plot_areas(activity: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the active area of every year with its interval, and the published method's convention beside its own.

    Parameters
    ----------
    activity : DataFrame
        Columns year, method, area_m2, area_low_m2, area_high_m2, area_nominal_m2 (as in
        ``activity.csv``), of one mine. NaN in the interval: no error bar.
    ax : Axes, optional

    Returns
    -------
    Axes
        Square kilometres; one bar per year and method.
    """
    columns = ("year", "method", "area_m2", "area_low_m2", "area_high_m2", "area_nominal_m2")
    require_columns(activity, columns, "activity")
    ax = series_axes(ax, 3.4)
    ax.grid(False, axis="x")
    methods = list(dict.fromkeys(activity["method"].astype(str)))
    width = 0.5 / max(len(methods), 1)
    handles: list[Artist] = []
    for place, method in enumerate(methods):
        rows = activity[activity["method"].astype(str) == method]
        offset = (place - (len(methods) - 1) / 2) * width
        of_method = f", {method} method" if len(methods) > 1 else ""
        handles += _draw_method(ax, rows, offset, width, AREA_COLOURS[place % len(AREA_COLOURS)], of_method)
    published = activity[activity["method"].astype(str) == "published"]
    nominal = published["area_nominal_m2"].to_numpy(dtype=float, na_value=np.nan) / SQUARE_KM
    if np.isfinite(nominal).any():
        handles += ax.plot(
            published["year"].to_numpy(dtype=float),
            nominal,
            linestyle="none",
            marker="D",
            markersize=7,
            markerfacecolor="white",
            markeredgecolor="black",
            label="at 100 m² per cell (published convention, for parity only)",
        )
    years = activity["year"].to_numpy(dtype=float)
    if years.size:
        # room for at least four bars, so that one year does not fill the page
        margin = max(0.6, (4.0 - (years.max() - years.min())) / 2)
        ax.set_xlim(years.min() - margin, years.max() + margin)
        ticks = np.unique(years)
        ax.set_xticks(ticks[:: max(1, ticks.size // 12)])
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("active area (km²)", fontsize=9)
    legend_below(ax, handles, inches=0.35, columns=3)
    return ax


def _draw_method(
    ax: Axes, rows: pd.DataFrame, offset: float, width: float, colour: str, of_method: str
) -> list[Artist]:
    years = rows["year"].to_numpy(dtype=float) + offset
    area, low, high = (
        rows[column].to_numpy(dtype=float, na_value=np.nan) / SQUARE_KM
        for column in ("area_m2", "area_low_m2", "area_high_m2")
    )
    bars = ax.bar(years, area, width=0.92 * width, color=colour, label=f"active area{of_method}", zorder=2)
    handles: list[Artist] = [Patch(color=colour, label=bars.get_label())]
    bounded = np.isfinite(low) & np.isfinite(high)
    if bounded.any():
        # about its own middle: an interval need not hold the estimate
        reach = ax.errorbar(
            years[bounded],
            (low + high)[bounded] / 2,
            yerr=(high - low)[bounded] / 2,
            fmt="none",
            ecolor="black",
            elinewidth=1.4,
            capsize=5,
            label=f"its interval{of_method}",
            zorder=3,
        )
        handles.append(reach)  # type: ignore[arg-type]  # a container stands in a legend like an artist
    top = np.fmax(area, np.where(bounded, high, -np.inf))
    for x, y, value in zip(years, top, area, strict=True):
        if np.isfinite(value):
            ax.annotate(
                f"{value:.3g}", (x, y), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=9, zorder=4
            )
    return handles
