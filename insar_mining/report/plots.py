"""Offer every plot of the report, usable alone: data (and optionally an Axes) in, Axes or Figure out.

No plot touches pyplot or any other global state, so they work in threads and without a
display. To show one in a notebook, put the figure last in a cell: ``plot_areas(table).figure``.
"""

from __future__ import annotations

from insar_mining.report.plots_activity import (
    plot_active_date,
    plot_activity_calendar,
    plot_class_areas,
    plot_duty_cycle,
    plot_hue_histogram,
    plot_zone_activity,
)
from insar_mining.report.plots_archive import plot_calendar, plot_footprints, plot_network
from insar_mining.report.plots_areas import plot_areas
from insar_mining.report.plots_classes import (
    plot_class_band,
    plot_class_bands,
    plot_classes,
    plot_found_and_truth,
    plot_rgb,
    plot_rgb_legend,
)
from insar_mining.report.plots_decay import plot_baseline_loss, plot_decay, plot_rejections
from insar_mining.report.plots_maps import (
    mean_coherence,
    plot_annual_ndai,
    plot_mine,
    plot_ndai_year,
    plot_stable_points,
)
from insar_mining.report.plots_series import (
    plot_acquisitions,
    plot_baselines,
    plot_scene_quality,
)

__all__ = [
    "mean_coherence",
    "plot_acquisitions",
    "plot_active_date",
    "plot_activity_calendar",
    "plot_annual_ndai",
    "plot_areas",
    "plot_baseline_loss",
    "plot_baselines",
    "plot_calendar",
    "plot_class_areas",
    "plot_class_band",
    "plot_class_bands",
    "plot_classes",
    "plot_decay",
    "plot_duty_cycle",
    "plot_footprints",
    "plot_found_and_truth",
    "plot_hue_histogram",
    "plot_mine",
    "plot_ndai_year",
    "plot_network",
    "plot_rejections",
    "plot_rgb",
    "plot_rgb_legend",
    "plot_scene_quality",
    "plot_stable_points",
    "plot_zone_activity",
]
