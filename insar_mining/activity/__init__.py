"""From coherence rasters to the active area of a mine, year by year.

`open_stack` -> `stable_points` or `iterate_stable` -> `filter_scenes` -> `ndai` -> `annual_ndai`
-> `rgb_composite` and `classify` -> `activity_table`; each is a plain function on xarray arrays.
"""

from insar_mining.activity.area import (
    active_in,
    activity_table,
    class_counts,
    nominal_area_m2,
    year_counts,
)
from insar_mining.activity.cells import cell_area_m2, cover_fraction, ground_area_m2
from insar_mining.activity.composite import black_limit, classify, composite_years, rgb_composite
from insar_mining.activity.corrections import (
    BaselineFit,
    DecayFit,
    baseline_by_class,
    decay_by_class,
    fit_baseline,
    fit_decay,
    to_span,
    without_baseline_loss,
)
from insar_mining.activity.explain import explain_scenes, read_covariates, what_tells_rejected
from insar_mining.activity.layers import read_layer, read_mask, read_ndvi
from insar_mining.activity.ndai import annual_ndai, ndai
from insar_mining.activity.reference import (
    Drift,
    Spread,
    drift_test,
    spread_evenly,
    spread_of,
    stable_ground,
)
from insar_mining.activity.sample import adjusted_activity, error_adjusted_areas, read_sample
from insar_mining.activity.scenes import filter_scenes, scene_table
from insar_mining.activity.stable import StableIteration, iterate_stable, pixel_statistics, stable_points
from insar_mining.activity.stack import open_stack
from insar_mining.activity.store import from_zarr, to_zarr
from insar_mining.activity.strata import activity_by_stratum, classes_by, mask_out, read_surfaces, slope_deg

__all__ = [
    "BaselineFit",
    "DecayFit",
    "Drift",
    "Spread",
    "StableIteration",
    "active_in",
    "activity_by_stratum",
    "activity_table",
    "adjusted_activity",
    "annual_ndai",
    "baseline_by_class",
    "black_limit",
    "cell_area_m2",
    "class_counts",
    "classes_by",
    "classify",
    "composite_years",
    "cover_fraction",
    "decay_by_class",
    "drift_test",
    "error_adjusted_areas",
    "explain_scenes",
    "filter_scenes",
    "fit_baseline",
    "fit_decay",
    "from_zarr",
    "ground_area_m2",
    "iterate_stable",
    "mask_out",
    "ndai",
    "nominal_area_m2",
    "open_stack",
    "pixel_statistics",
    "read_covariates",
    "read_layer",
    "read_mask",
    "read_ndvi",
    "read_sample",
    "read_surfaces",
    "rgb_composite",
    "scene_table",
    "slope_deg",
    "spread_evenly",
    "spread_of",
    "stable_ground",
    "stable_points",
    "to_span",
    "to_zarr",
    "what_tells_rejected",
    "without_baseline_loss",
    "year_counts",
]
