"""From coherence rasters to the active area of a mine, year by year.

`open_stack` -> `stable_points` or `iterate_stable` -> `filter_scenes` -> `ndai` -> `annual_ndai`
-> `rgb_composite` and `classify` -> `activity_table`; each is a plain function on xarray arrays.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insar_mining.activity.changes import segments as segments
    from insar_mining.activity.changes import worked_spans as worked_spans
    from insar_mining.activity.changes import zone_changes as zone_changes
    from insar_mining.activity.corrections import BaselineFit as BaselineFit
    from insar_mining.activity.corrections import DecayFit as DecayFit
    from insar_mining.activity.corrections import baseline_by_class as baseline_by_class
    from insar_mining.activity.corrections import decay_by_class as decay_by_class
    from insar_mining.activity.corrections import fit_baseline as fit_baseline
    from insar_mining.activity.corrections import fit_decay as fit_decay
    from insar_mining.activity.corrections import to_span as to_span
    from insar_mining.activity.corrections import without_baseline_loss as without_baseline_loss
    from insar_mining.activity.cube.layers import read_layer as read_layer
    from insar_mining.activity.cube.layers import read_mask as read_mask
    from insar_mining.activity.cube.layers import read_ndvi as read_ndvi
    from insar_mining.activity.cube.stack import open_stack as open_stack
    from insar_mining.activity.cube.store import from_zarr as from_zarr
    from insar_mining.activity.cube.store import open_maps as open_maps
    from insar_mining.activity.cube.store import to_zarr as to_zarr
    from insar_mining.activity.explain import explain_scenes as explain_scenes
    from insar_mining.activity.explain import read_covariates as read_covariates
    from insar_mining.activity.explain import rejection_factors as rejection_factors
    from insar_mining.activity.large import LargeActivity as LargeActivity
    from insar_mining.activity.large import annual_to_zarr as annual_to_zarr
    from insar_mining.activity.large import significant_to_zarr as significant_to_zarr
    from insar_mining.activity.published.area import active_in as active_in
    from insar_mining.activity.published.area import activity_table as activity_table
    from insar_mining.activity.published.area import class_counts as class_counts
    from insar_mining.activity.published.area import class_table as class_table
    from insar_mining.activity.published.area import nominal_area_m2 as nominal_area_m2
    from insar_mining.activity.published.area import year_counts as year_counts
    from insar_mining.activity.published.composite import black_limit as black_limit
    from insar_mining.activity.published.composite import classes_of_years as classes_of_years
    from insar_mining.activity.published.composite import classify as classify
    from insar_mining.activity.published.composite import composite_years as composite_years
    from insar_mining.activity.published.composite import rgb_composite as rgb_composite
    from insar_mining.activity.published.ndai import annual_ndai as annual_ndai
    from insar_mining.activity.published.ndai import ndai as ndai
    from insar_mining.activity.published.scenes import filter_scenes as filter_scenes
    from insar_mining.activity.published.scenes import scene_table as scene_table
    from insar_mining.activity.published.stable import StableIteration as StableIteration
    from insar_mining.activity.published.stable import iterate_stable as iterate_stable
    from insar_mining.activity.published.stable import pixel_statistics as pixel_statistics
    from insar_mining.activity.published.stable import stable_points as stable_points
    from insar_mining.activity.reference import Drift as Drift
    from insar_mining.activity.reference import Spread as Spread
    from insar_mining.activity.reference import drift_test as drift_test
    from insar_mining.activity.reference import spread_evenly as spread_evenly
    from insar_mining.activity.reference import spread_of as spread_of
    from insar_mining.activity.reference import stable_ground as stable_ground
    from insar_mining.activity.sample import adjusted_activity as adjusted_activity
    from insar_mining.activity.sample import error_adjusted_areas as error_adjusted_areas
    from insar_mining.activity.sample import read_sample as read_sample
    from insar_mining.activity.significant.class_areas import class_intervals as class_intervals
    from insar_mining.activity.significant.intervals import area_intervals as area_intervals
    from insar_mining.activity.significant.level import estimate_looks as estimate_looks
    from insar_mining.activity.significant.settled import Cover as Cover
    from insar_mining.activity.significant.settled import Evidence as Evidence
    from insar_mining.activity.significant.settled import cover_from as cover_from
    from insar_mining.activity.significant.significance import Significance as Significance
    from insar_mining.activity.significant.significance import duty_cycle as duty_cycle
    from insar_mining.activity.significant.significance import find_references as find_references
    from insar_mining.activity.significant.significance import significant_activity as significant_activity
    from insar_mining.activity.significant.significance import walk_disturbed as walk_disturbed
    from insar_mining.activity.significant.states import State as State
    from insar_mining.activity.significant.year import YearReference as YearReference
    from insar_mining.activity.strata import activity_by_stratum as activity_by_stratum
    from insar_mining.activity.strata import classes_by as classes_by
    from insar_mining.activity.strata import mask_out as mask_out
    from insar_mining.activity.strata import read_surfaces as read_surfaces
    from insar_mining.activity.strata import slope_deg as slope_deg
    from insar_mining.activity.timeline import Timeline as Timeline
    from insar_mining.activity.timeline import activity_timeline as activity_timeline
    from insar_mining.activity.timeline import seasonality as seasonality
    from insar_mining.activity.timeline import zone_shares as zone_shares
    from insar_mining.geo.cells import cell_area_m2 as cell_area_m2
    from insar_mining.geo.cells import cover_fraction as cover_fraction
    from insar_mining.geo.cells import ground_area_m2 as ground_area_m2

# the other names load on first use: an analysis needs some of them, and scipy, zarr and geopandas take 20 to 50 MB each
_HOMES = {
    "activity.published.area": (
        "active_in",
        "activity_table",
        "class_counts",
        "class_table",
        "nominal_area_m2",
        "year_counts",
    ),
    "geo.cells": ("cell_area_m2", "cover_fraction", "ground_area_m2"),
    "activity.changes": ("segments", "worked_spans", "zone_changes"),
    "activity.significant.class_areas": ("class_intervals",),
    "activity.published.composite": ("black_limit", "classes_of_years", "classify", "composite_years", "rgb_composite"),
    "activity.corrections": (
        "BaselineFit",
        "DecayFit",
        "baseline_by_class",
        "decay_by_class",
        "fit_baseline",
        "fit_decay",
        "to_span",
        "without_baseline_loss",
    ),
    "activity.explain": ("explain_scenes", "read_covariates", "rejection_factors"),
    "activity.timeline": ("Timeline", "activity_timeline", "seasonality", "zone_shares"),
    "activity.significant.intervals": ("area_intervals",),
    "activity.significant.level": ("estimate_looks",),
    "activity.significant.year": ("YearReference",),
    "activity.significant.states": ("State",),
    "activity.large": ("LargeActivity", "annual_to_zarr", "significant_to_zarr"),
    "activity.cube.layers": ("read_layer", "read_mask", "read_ndvi"),
    "activity.reference": ("Drift", "Spread", "drift_test", "spread_evenly", "spread_of", "stable_ground"),
    "activity.sample": ("adjusted_activity", "error_adjusted_areas", "read_sample"),
    "activity.published.ndai": ("annual_ndai", "ndai"),
    "activity.published.scenes": ("filter_scenes", "scene_table"),
    "activity.significant.settled": ("Cover", "Evidence", "cover_from"),
    "activity.significant.significance": (
        "Significance",
        "duty_cycle",
        "find_references",
        "significant_activity",
        "walk_disturbed",
    ),
    "activity.published.stable": ("StableIteration", "iterate_stable", "pixel_statistics", "stable_points"),
    "activity.cube.stack": ("open_stack",),
    "activity.cube.store": ("from_zarr", "open_maps", "to_zarr"),
    "activity.strata": ("activity_by_stratum", "classes_by", "mask_out", "read_surfaces", "slope_deg"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name when it is used for the first time (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'insar_mining.activity' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"insar_mining.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
