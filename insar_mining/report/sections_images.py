"""Write the report's section on radar images, pairs, baselines and rejections."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from insar_mining.errors import ReportError
from insar_mining.report import words
from insar_mining.report.content import ReportContent
from insar_mining.report.frame import figure_of
from insar_mining.report.images import as_svg
from insar_mining.report.plots_decay import plot_rejections
from insar_mining.report.plots_series import kept_mask, plot_acquisitions, plot_baselines, plot_scene_quality
from insar_mining.report.sections_reference import rejection_rows


def images_section(content: ReportContent) -> dict[str, object]:
    """Return the variables of the section on radar images and pairs."""
    scenes = content.scenes
    if scenes.empty:
        raise ReportError("the table of scenes is empty: a report needs at least one pair")
    kept = kept_mask(scenes)
    pairs = content.pair_table
    details = {
        str(pair): (words.number(days), words.number(baseline))
        for pair, days, baseline in zip(pairs["pair"], pairs["days"], pairs["perpendicular_baseline_m"], strict=True)
    }
    rows = []
    for row, is_kept in zip(scenes.to_dict("records"), kept, strict=True):
        days, baseline = details.get(str(row["pair"]), (math.nan, math.nan))
        rows.append(
            {
                "pair": str(row["pair"]),
                "kept": bool(is_kept),
                "reason": _text(row["reason"]),
                "explanation": _text(row.get("explanation")),
                "mean": words.fixed(words.number(row["stable_mean"]), 3),
                "sd": words.fixed(words.number(row["stable_sd"]), 3),
                "n_stable": words.whole(words.number(row["n_stable"])),
                "days": words.whole(days),
                "baseline": words.signed(baseline, 1),
            }
        )
    # against control ground no scene is tested
    tested = content.options.method == "published"
    limits = (content.options.scene_mean_min, content.options.scene_std_max) if tested else (None, None)
    quality, _ = plot_scene_quality(scenes, mean_min=limits[0], sd_max=limits[1])
    rejected = int(np.count_nonzero(~kept))
    reasons = None
    if rejected:
        ax = plot_rejections(scenes, mean_min=content.options.scene_mean_min)
        reasons = as_svg(figure_of(ax), f"The {rejected} rejected pairs, numbered in time, each with its reason.")
    return {
        "rows": rows,
        "n_pairs": len(rows),
        "n_rejected": rejected,
        "mean_min": f"{content.options.scene_mean_min:g}",
        "sd_max": f"{content.options.scene_std_max:g}",
        "calendar": as_svg(
            figure_of(plot_acquisitions(scenes)),
            f"Calendar of the radar images: {len(rows)} pairs, {rejected} of them rejected.",
        ),
        "quality": as_svg(
            figure_of(quality),
            "Mean and standard deviation of coherence over the stable points in time"
            + (f"; {rejected} of {len(rows)} pairs fail the thresholds." if tested else "."),
        ),
        "reasons": reasons,
        "rejection_factors": rejection_rows(content),
        "explained": any(row["explanation"] for row in rows),
        "never": [
            {"pair": str(item.get("pair", "")), "reason": str(item.get("reason", ""))}
            for item in content.rejected_pairs
        ],
        **_baselines(content, pairs),
    }


def _text(value: Any) -> str:
    """Return the text of a cell of a table; empty if it has none."""
    return "" if value is None or pd.isna(value) else str(value)


def _baselines(content: ReportContent, pairs: pd.DataFrame) -> dict[str, object]:
    values = pairs["perpendicular_baseline_m"].to_numpy(dtype=float, na_value=math.nan)
    known = values[np.isfinite(values)]
    if not known.size:
        return {"baselines": None, "unknown_baselines": 0}
    rejected = content.scenes["pair"].astype(str)[~kept_mask(content.scenes)]
    ax = plot_baselines(pairs, rejected=rejected, limit_m=content.max_perp_baseline_m)
    alt = f"Perpendicular baseline of {known.size} pairs against time, from {known.min():.0f} m to {known.max():.0f} m."
    return {"baselines": as_svg(figure_of(ax), alt), "unknown_baselines": len(pairs) - known.size}
