"""Write the report's section on the quality of the stable points: spread, drift, losses."""

from __future__ import annotations

import calendar
import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from insar_mining.report import words
from insar_mining.report.content import ReportContent
from insar_mining.report.frame import figure_of
from insar_mining.report.images import Picture, as_svg
from insar_mining.report.plots_decay import plot_baseline_loss, plot_decay
from insar_mining.report.plots_series import kept_mask, require_columns

# a p-value below which a trend or a season is spoken of as one
CERTAIN = 0.05
# a change of the mean coherence over the whole period that moves no border
SMALL_DRIFT = 0.02
NAME = "stable points"
FACTOR_COLUMNS = ("quantity", "median_kept", "median_rejected", "separation", "p_value")


def reference_parts(content: ReportContent) -> dict[str, object]:
    """Return sentences and plots of the stable points, as far as the stack allows."""
    return {
        "sentences": [text for text in (_spread(content), _drift(content)) if text],
        "decay": _decay(content),
        "baseline": _baseline(content),
    }


def _spread(content: ReportContent) -> str | None:
    spread = content.analysis.stable_quality.spread
    if spread is None:
        return None
    return (
        f"They lie in {spread.tiles_with} of the {spread.tiles} parts that the ground was divided into; the fullest "
        f"holds {100 * spread.largest_share:.0f} % of them."
    )


def _drift(content: ReportContent) -> str | None:
    drift = content.analysis.stable_quality.drift
    if drift is None:
        return None
    compared = "the same months of different years were compared" if drift.seasonal else "all pairs were compared"
    change = words.signed(drift.slope_per_year, 3)
    if drift.p_value >= CERTAIN:
        verdict = "Chance alone would do as much: no drift is seen."
    elif abs(drift.slope_per_year) * drift.years < SMALL_DRIFT:
        verdict = "Chance alone would hardly do it, but it is too little to matter."
    else:
        verdict = "They drift: compare the areas of different years with care."
    return (
        f"Their mean coherence changes by {change} a year over {drift.years:.1f} years ({compared}; "
        f"p = {drift.p_value:.2g}). {verdict}"
    )


def _of_kept(content: ReportContent, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column of the kept pairs, and the mean of the stable points in them."""
    table = content.pair_table.set_index(content.pair_table["pair"].astype(str))
    kept = content.scenes[kept_mask(content.scenes)]
    values = table.reindex(kept["pair"].astype(str))[column].to_numpy(dtype=float, na_value=math.nan)
    return values, kept["stable_mean"].to_numpy(dtype=float, na_value=math.nan)


def _decay(content: ReportContent) -> Picture | None:
    fit = content.analysis.stable_quality.decay
    days, mean = _of_kept(content, "days")
    known = np.isfinite(days) & np.isfinite(mean)
    # pairs of one span show no decay
    if np.unique(days[known]).size < 2:
        return None
    fits = None if fit is None else {NAME: fit}
    said = "no decay could be fitted"
    if fit is not None:
        first, last = fit.expected(fit.spans_days)
        said = f"from {first:.2f} to {last:.2f} over {fit.spans_days[0]} to {fit.spans_days[1]} days"
    ax = plot_decay(days[known], {NAME: mean[known]}, fits)
    return as_svg(figure_of(ax), f"Mean coherence of the stable points against the span of the pairs: {said}.")


def _baseline(content: ReportContent) -> Picture | None:
    quality = content.analysis.stable_quality
    baseline, mean = _of_kept(content, "perpendicular_baseline_m")
    known = np.isfinite(baseline) & np.isfinite(mean)
    if not known.any():
        return None
    decay, loss, name = quality.decay, quality.baseline_loss, NAME
    if loss is not None and decay is not None:
        # the loss is fitted beside that of time; pairs of the shortest span show it as they are
        days = _of_kept(content, "days")[0]
        shortest = np.nanmin(days)
        left = decay.share(days) / float(decay.share(shortest))
        mean = loss.floor + (mean - loss.floor) / left
        loss = dataclasses.replace(loss, level=loss.level * float(decay.share(shortest)))
        name = f"{NAME}, brought to {shortest:.0f} days"
    fits = None if loss is None else {name: loss}
    said = (
        "no loss could be fitted"
        if loss is None
        else (f"{100 * (1 - float(loss.factor(loss.longest_m))):.1f} % lost at {loss.longest_m:.0f} m")
    )
    ax = plot_baseline_loss(baseline[known], {name: mean[known]}, fits)
    return as_svg(figure_of(ax), f"Mean coherence of the stable points against the perpendicular baseline: {said}.")


def rejection_rows(content: ReportContent) -> list[dict[str, str]]:
    """Return the factors that distinguish rejected from kept pairs, strongest first."""
    if content.analysis.stable_quality.rejection_factors is None:
        return []
    require_columns(content.analysis.stable_quality.rejection_factors, FACTOR_COLUMNS, "factors of rejection")
    return [
        {
            "quantity": str(row["quantity"]).replace("_", " "),
            "kept": f"{words.number(row['median_kept']):.3g}",
            "rejected": f"{words.number(row['median_rejected']):.3g}",
            "separation": f"{100 * words.number(row['separation']):.0f} %",
            "p": f"{words.number(row['p_value']):.2g}",
        }
        for row in content.analysis.stable_quality.rejection_factors.to_dict("records")
    ]


def season_sentence(seasons: Mapping[str, float] | None) -> str | None:
    """Describe whether activity follows the seasons."""
    if seasons is None or not math.isfinite(words.number(seasons["p_value"])):
        return None
    p = float(seasons["p_value"])
    if p >= CERTAIN:
        return f"No season stands out: a yearly wave explains no more of the months than chance would (p = {p:.2g})."
    month = calendar.month_name[min(int(seasons["peak_month"]), 12)]
    return (
        f"Activity follows the seasons (p = {p:.2g}): it swings by {100 * float(seasons['amplitude']):.0f} % of "
        f"its mean, highest in {month}."
    )


def power_sentence(content: ReportContent) -> str | None:
    """Describe the least activity that these pairs could have shown."""
    table = content.headline
    if not {"smallest_area_m2", "smallest_duty"} <= set(table.columns):
        return None
    unseen = [
        str(int(row["year"]))
        for row in table.to_dict("records")
        if not math.isfinite(words.number(row["smallest_area_m2"]))
    ]
    parts = [
        f"{row['smallest_area_m2'] / 1e4:.2g} ha in {int(row['year'])} (one pair is {100 * row['smallest_duty']:.0f} % "
        "of that year's)"
        for row in table.to_dict("records")
        if math.isfinite(words.number(row["smallest_area_m2"]))
    ]
    nothing = (
        f"In {', '.join(unseen)} not even a square of 8 x 8 cells would be found in 8 of 10 tries if it were "
        "disturbed in a single pair."
    )
    if not parts:
        return nothing if unseen else None
    return (
        "What could have been missed: the smallest square that is found in 8 of 10 tries when it is disturbed in a "
        f"single pair measures {'; '.join(parts)}.{' ' + nothing if unseen else ''}"
    )


def border_sentence(content: ReportContent) -> str | None:
    """Describe how the areas change with the threshold of the border of worked ground."""
    table = content.headline
    if not {"area_map_m2", "area_loose_m2", "area_strict_m2"} <= set(table.columns):
        return None
    parts = [
        f"{row['area_map_m2'] / 1e6:.3g} km² mapped in {int(row['year'])} would be "
        f"{row['area_loose_m2'] / 1e6:.3g} or {row['area_strict_m2'] / 1e6:.3g} km²"
        for row in table.to_dict("records")
        if math.isfinite(words.number(row["area_loose_m2"])) and row["area_map_m2"] > 0
    ]
    if not parts:
        return None
    return f"With the border of worked ground drawn a tenth further out or further in (min_loss), {'; '.join(parts)}."
