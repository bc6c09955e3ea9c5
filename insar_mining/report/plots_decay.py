"""Plot coherence against span and baseline, and the reasons of rejected pairs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from insar_mining.activity.corrections import BaselineFit, DecayFit
from insar_mining.errors import ReportError
from insar_mining.report.frame import legend_below
from insar_mining.report.plots_series import (
    KEPT,
    LIMIT_COLOUR,
    REJECTED,
    date_axis,
    kept_mask,
    middle_dates,
    pair_dates,
    require_columns,
    series_axes,
)

# kinds of ground, told apart by colour, marker and line
STYLES = (
    ("#0072b2", "o", "solid"),
    ("#d55e00", "s", "dashed"),
    ("#009e73", "^", "dashdot"),
    ("#cc79a7", "D", "dotted"),
)

# rejected scenes whose reasons are written below the plot, and letters in a line of them
SPELT_OUT = 14
LETTERS = 140

Series = Mapping[str, npt.ArrayLike]


def plot_decay(
    days: npt.ArrayLike,
    coherence: Series,
    fits: Mapping[str, DecayFit] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean coherence of every pair against its span, with the fitted decay.

    Parameters
    ----------
    days : array-like, shape (pairs,)
    coherence : mapping of name to array-like, shape (pairs,)
        Mean coherence of each kind of ground; at most four.
    fits : mapping of name to DecayFit, optional
        Drawn from the shortest to the longest span that they rest on, with the band of the pairs' scatter.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    span, series = np.asarray(days, float), _series(days, coherence)
    ax = series_axes(ax, 3.6)
    handles: list[Artist] = []
    # pairs of one span lie on each other: those of the second kind are moved aside a little
    step = 0.012 * (np.ptp(span) or 1.0)
    for place, (name, values) in enumerate(series.items()):
        colour, marker, line = STYLES[place]
        aside = (place - (len(series) - 1) / 2) * step
        handles += ax.plot(
            span + aside, values, linestyle="none", marker=marker, markersize=6, color=colour, alpha=0.75,
            markeredgecolor="white", markeredgewidth=0.5, label=f"{name}, {np.isfinite(values).sum()} pairs", zorder=3,
        )  # fmt: skip
        if fits is not None and name in fits:
            handles.append(_draw_decay(ax, fits[name], name, colour, line))
    ax.set_xticks(_few_ticks(np.unique(span[np.isfinite(span)])))
    ax.set_xlim(left=0)
    _unit_axis(ax, list(series.values()))
    ax.set_xlabel("days between the two images", fontsize=9)
    ax.set_ylabel("mean coherence", fontsize=9)
    legend_below(ax, handles, inches=0.45)
    return ax


def _draw_decay(ax: Axes, fit: DecayFit, name: str, colour: str, line: str) -> Artist:
    at = np.linspace(*fit.spans_days, 200)
    expected = fit.expected(at)
    ax.fill_between(at, expected - fit.residual_sd, expected + fit.residual_sd, color=colour, alpha=0.14, linewidth=0)
    known = np.isfinite(fit.tau_sd_days) and fit.tau_sd_days < fit.tau_days
    said = f"time constant {fit.tau_days:.0f} ± {fit.tau_sd_days:.0f} days" if known else "time constant not known"
    first, last = fit.expected(fit.spans_days)
    spans = f"{fit.spans_days[0]} to {fit.spans_days[1]} days"
    label = f"{name}: {first:.2f} to {last:.2f} over {spans}; {said}"
    (drawn,) = ax.plot(at, expected, color=colour, linestyle=line, linewidth=1.8, label=label, zorder=4)
    return drawn


def _few_ticks(spans: npt.NDArray[np.float64], most: int = 14) -> npt.NDArray[np.float64]:
    """Select spans that are far enough apart to be written side by side."""
    least = np.ptp(spans) / most if spans.size > 1 else 0.0
    chosen: list[float] = []
    for span in spans:
        if not chosen or span - chosen[-1] >= least:
            chosen.append(float(span))
    return np.array(chosen)


def plot_baseline_loss(
    baseline_m: npt.ArrayLike,
    coherence: Series,
    fits: Mapping[str, BaselineFit] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean coherence of every pair against its perpendicular baseline, with the fitted loss.

    Parameters
    ----------
    baseline_m : array-like, shape (pairs,)
        With or without sign; drawn without. Unknown ones (NaN) are not drawn: unknown is not 0.
    coherence : mapping of name to array-like, shape (pairs,)
        Mean coherence of each kind of ground (of each class of slope); at most four.
    fits : mapping of name to BaselineFit, optional
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    baseline, series = np.abs(np.asarray(baseline_m, float)), _series(baseline_m, coherence)
    if not np.isfinite(baseline).any():
        raise ReportError("no baseline is known: the maps do not record PERPENDICULAR_BASELINE_M")
    ax = series_axes(ax, 3.6)
    handles: list[Artist] = []
    for place, (name, values) in enumerate(series.items()):
        colour, marker, line = STYLES[place]
        handles += ax.plot(
            baseline, values, linestyle="none", marker=marker, markersize=6, color=colour, alpha=0.75,
            markeredgecolor="white", markeredgewidth=0.5, label=f"{name}", zorder=3,
        )  # fmt: skip
        if fits is not None and name in fits:
            fit = fits[name]
            at = np.linspace(0.0, fit.longest_m, 200)
            loss = 100 * (1 - float(fit.factor(fit.longest_m)))
            label = f"{name}: {loss:.1f} % lost at {fit.longest_m:.0f} m"
            handles += ax.plot(
                at, fit.floor + fit.level * fit.factor(at), color=colour, linestyle=line, linewidth=1.8, label=label
            )
    ax.set_xlim(left=0)
    _unit_axis(ax, list(series.values()))
    ax.set_xlabel("perpendicular baseline, m (without its sign)", fontsize=9)
    ax.set_ylabel("mean coherence", fontsize=9)
    legend_below(ax, handles, inches=0.45)
    return ax


def plot_rejections(scenes: pd.DataFrame, ax: Axes | None = None, *, mean_min: float = 0.8) -> Axes:
    """Draw the coherence of the stable points over time, rejected scenes with a number and their reasons below.

    Parameters
    ----------
    scenes : DataFrame
        Columns pair, kept, stable_mean, reason (as in ``scenes.csv``), and explanation where there is one.
    ax : Axes, optional
    mean_min : float
        Threshold of the test, drawn as a line.

    Returns
    -------
    Axes
        Up to 14 reasons are written out. Scenes without a value stand on the lower edge.
    """
    require_columns(scenes, ("pair", "kept", "stable_mean", "reason"), "scenes")
    if scenes.empty:
        raise ReportError("no scene to draw: the table of scenes is empty")
    kept = kept_mask(scenes)
    notes = [
        f"{number}   {row['pair']}: {_reason(row)}"
        for number, row in enumerate(scenes[~kept].to_dict("records"), start=1)
    ]
    spelt = [line for note in notes[:SPELT_OUT] for line in textwrap.wrap(note, LETTERS, subsequent_indent="      ")]
    if len(notes) > SPELT_OUT:
        spelt.append(f"and {len(notes) - SPELT_OUT} more, in scenes.csv")
    ax = series_axes(ax, 3.4 + 0.17 * len(spelt))
    first, second = pair_dates(scenes["pair"])
    values = scenes["stable_mean"].to_numpy(dtype=float, na_value=np.nan)
    lowest = np.nanmin([*values[np.isfinite(values)], mean_min])
    shown = np.where(np.isfinite(values), values, lowest)
    middle = middle_dates(first, second)
    handles: list[Artist] = []
    for use, style, name in ((kept, KEPT, "kept"), (~kept, REJECTED, "rejected, for the reason of its number")):
        if use.any():
            ax.hlines(shown[use], first[use], second[use], colors=style.colour, linestyles=style.line, linewidth=1.2)
            handles += ax.plot(
                middle[use], shown[use], linestyle="none", marker=style.marker, color=style.colour, markersize=6,
                label=name,
            )  # fmt: skip
    for number, place in enumerate(np.flatnonzero(~kept)[:SPELT_OUT], start=1):
        ax.annotate(
            str(number), (middle[place], shown[place]), xytext=(0, -7), textcoords="offset points",
            ha="center", va="top", fontsize=8.5, fontweight="bold",
        )  # fmt: skip
    ax.axhline(mean_min, color=LIMIT_COLOUR, linestyle="--", linewidth=1.2)
    handles.append(Line2D([], [], color=LIMIT_COLOUR, linestyle="--", label=f"threshold {mean_min:g}"))
    ax.margins(y=0.16)
    ax.set_ylabel("mean coherence of\nthe stable points", fontsize=9)
    date_axis(ax)
    legend_below(ax, handles, inches=0.35, columns=3)
    if spelt:
        ax.annotate(
            "\n".join(spelt), (0.0, 0.0), xycoords="axes fraction", xytext=(0, -0.62 * 72), textcoords="offset points",
            ha="left", va="top", fontsize=8, linespacing=1.35, parse_math=False,
        )  # fmt: skip
    return ax


def _reason(row: Mapping[object, object]) -> str:
    said = [str(row.get(name) or "") for name in ("reason", "explanation")]
    return "; ".join(part for part in said if part and part != "nan") or "no reason given"


def _series(x: npt.ArrayLike, coherence: Series) -> dict[str, npt.NDArray[np.float64]]:
    """Check that every series has a value for each pair."""
    size = np.asarray(x).size
    series = {name: np.asarray(values, float) for name, values in coherence.items()}
    if not 1 <= len(series) <= len(STYLES):
        raise ReportError(f"{len(series)} kinds of ground: 1 to {len(STYLES)} can be told apart")
    odd = [name for name, values in series.items() if values.shape != (size,)]
    if odd or not size:
        raise ReportError(f"{size} pairs, but {', '.join(odd) or 'nothing'} has another number of values")
    return series


def _unit_axis(ax: Axes, values: list[npt.NDArray[np.float64]]) -> None:
    """Give an axis of coherence room, but none beyond 0 and 1."""
    finite = np.concatenate([part[np.isfinite(part)] for part in values])
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        room = max(0.12 * (high - low), 0.02)
        ax.set_ylim(max(0.0, low - room), min(1.0, high + room))
