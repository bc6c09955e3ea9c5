"""Plots of inventories and accounts: ore and area, emissions by year, processes, countries, wedges, claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from insar_mining.report.plots_series import series_axes

SOURCE_COLOURS = {
    "reported ore": "#0072b2",
    "reported zero": "#56b4e9",
    "reported product": "#009e73",
    "active area": "#e69f00",
    "earlier ore": "#cc79a7",
    "earlier product": "#d55e00",
    "not modelled": "#bbbbbb",
}
SQUARE_KM = 1e6
MEGA = 1e6
MOST_POINTS = 3000


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return as many rows as a plot can show."""
    return rows if len(rows) <= MOST_POINTS else rows.sample(MOST_POINTS, random_state=0)


def plot_ore_area(assets: pd.DataFrame, band: pd.DataFrame | None = None, ax: Axes | None = None) -> Axes:
    """Draw reported ore against measured area, with the model's band for a mine that was never seen.

    Parameters
    ----------
    assets : DataFrame
        Of an inventory.
    band : DataFrame, optional
        area_m2, ore_t, ore_low_t, ore_high_t.
    """
    ax = series_axes(ax, 3.6)
    rows = _thinned(assets[(assets["activity_source"] == "reported ore") & (assets["area_m2"] > 0)])
    for number, (mineral, part) in enumerate(rows.groupby("mineral")):
        colour = list(SOURCE_COLOURS.values())[number % 6]
        ax.plot(
            part["area_m2"] / SQUARE_KM, part["activity_t"] / MEGA, ".", color=colour, label=str(mineral), alpha=0.7
        )
    if band is not None:
        x = band["area_m2"] / SQUARE_KM
        ax.fill_between(
            x,
            band["ore_low_t"] / MEGA,
            band["ore_high_t"] / MEGA,
            color="#999999",
            alpha=0.25,
            label="90 % of unseen mines",
        )
        ax.plot(x, band["ore_t"] / MEGA, color="black", linewidth=1.2, label="model")
    ax.set(xscale="log", yscale="log", xlabel="active area (km²)", ylabel="ore (Mt a year)")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, frameon=False)
    return ax


def plot_emissions(assets: pd.DataFrame, world: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw emissions by year, parted by the source of the activity; a line where the mix of sources breaks.

    A break is a year in which the share of any source differs from the year before by more than 20 % of all emissions.
    """
    ax = series_axes(ax, 3.6)
    parts: Any = assets.groupby(["year", "activity_source"])["co2_t"].sum().unstack(fill_value=0) / MEGA
    below = np.zeros(len(parts))
    for source in SOURCE_COLOURS:
        if source in parts:
            values = parts[source].to_numpy(float)
            ax.bar(parts.index, values, bottom=below, color=SOURCE_COLOURS[source], label=source, width=0.7)
            below += values
    centre = world["co2_t"].to_numpy(float) / MEGA
    low, high = (world[name].to_numpy(float) / MEGA for name in ("co2_low_t", "co2_high_t"))
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(centre)
    if known.any():
        reach = np.stack([centre - low, high - centre])[:, known].clip(min=0)
        ax.errorbar(
            world["year"][known], centre[known], yerr=reach, fmt="none", ecolor="black", capsize=4, elinewidth=1.2
        )
    for year in method_breaks(assets):
        ax.axvline(year - 0.5, color="black", linestyle="--", linewidth=1, gid="method-break")
        ax.annotate(
            "method changes",
            (year - 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            rotation=90,
            fontsize=7,
            va="top",
            ha="right",
        )
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.set_xticks(parts.index[:: max(1, len(parts) // 12)])
    ax.set(ylabel="Mt CO2")
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def method_breaks(assets: pd.DataFrame, share: float = 0.2) -> list[int]:
    """Return the years in which the mix of activity sources changes by more than a share of all emissions."""
    sums: Any = assets.groupby(["year", "activity_source"])["co2_t"].sum().unstack(fill_value=0)
    shares = sums.div(sums.sum(axis=1).where(sums.sum(axis=1) > 0), axis=0).fillna(0.0)
    moved = shares.diff().abs().sum(axis=1) / 2
    return [int(year) for year in moved.index[moved > share]]


def plot_countries(countries: pd.DataFrame, year: int, ax: Axes | None = None, most: int = 12) -> Axes:
    """Draw the countries that emit most in a year, with the share of their assets that is modelled."""
    ax = series_axes(ax, 3.6)
    rows = countries[(countries["year"] == year) & countries["co2_t"].notna()].nlargest(most, "co2_t").iloc[::-1]
    ax.barh(rows["iso3"], rows["co2_t"] / MEGA, color="#0072b2")
    for place, row in enumerate(rows.to_dict("records")):
        ax.annotate(
            f" {100 * row['coverage_count']:.0f} % of {row['n_assets']:.0f} assets",
            (row["co2_t"] / MEGA, place),
            fontsize=8,
            va="center",
        )
    ax.margins(x=0.25)
    ax.set(xlabel=f"Mt CO2 in {year}")
    return ax


def plot_claims(assets: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw claimed against measured activity: ore that is reported and measured area, of every asset and year."""
    ax = series_axes(ax, 3.4)
    rows = assets[assets["area_m2"].notna() & assets["activity_source"].isin(["reported ore", "reported zero"])]
    rows = _thinned(rows)
    ore, area = rows["activity_t"] / MEGA, rows["area_m2"] / SQUARE_KM
    odd = (ore > 0) != (area > 0)
    ax.plot(area[~odd], ore[~odd], "o", color="#0072b2", markersize=4, label="in agreement")
    ax.plot(area[odd], ore[odd], "X", color="#d55e00", markersize=8, label="silent and reporting, or active and not")
    ax.set(xlabel="measured active area (km²)", ylabel="claimed ore (Mt)")
    ax.legend(fontsize=8, frameon=False)
    return ax


def plot_waterfall(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the processes of an account one upon the other up to the sum; avoided rows go down."""
    ax = series_axes(ax, 3.8)
    level, names = 0.0, []
    for row in summary.to_dict("records"):
        for value, avoided in ((row["co2e_t"], False), (row["avoided_t"], True)):
            if value == 0:
                continue
            names.append(f"{row['process']}{', avoided' if avoided else ''}")
            ax.bar(len(names) - 1, value / 1000, bottom=level / 1000, color="#009e73" if value < 0 else "#0072b2")
            level += value
    names.append("sum")
    ax.bar(len(names) - 1, level / 1000, color="#444444")
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)
    ax.set(ylabel="kt CO2e")
    return ax


def plot_wedges(pathway: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw emissions of every year with a wedge for each measure."""
    ax = series_axes(ax, 3.6)
    measures = [name for name in pathway.columns if name not in ("year", "baseline_t", "emissions_t")]
    years, level = pathway["year"].to_numpy(float), pathway["emissions_t"].to_numpy(float) / 1000
    ax.fill_between(years, 0, level, color="#dddddd", label="emissions")
    for number, name in enumerate(reversed(measures)):
        above = level + pathway[name].to_numpy(float) / 1000
        ax.fill_between(years, level, above, color=list(SOURCE_COLOURS.values())[number % 6], alpha=0.8, label=name)
        level = above
    ax.plot(years, pathway["baseline_t"] / 1000, color="black", linewidth=1.2, label="without measures")
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.set(ylabel="kt CO2e")
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
