"""What an analysis found: one value that files, report and notebooks read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import xarray as xr

from insar_mining.activity.corrections import BaselineFit, DecayFit
from insar_mining.activity.reference import Drift, Spread
from insar_mining.activity.significant.significance import Significance
from insar_mining.activity.timeline import Timeline

ThreeYears = tuple[int, int, int]
"""Three consecutive years, shown as red, green and blue."""


@dataclass(frozen=True, eq=False)
class StableQuality:
    """Hold the quality of the stable points; None where the stack does not give it.

    Attributes
    ----------
    spread : Spread, optional
        How they lie over the ground.
    drift : Drift, optional
        Whether their coherence has a trend.
    decay : DecayFit, optional
        Of their mean with the span; None also for pairs of one span.
    baseline_loss : BaselineFit, optional
        Of their mean with the baseline.
    rejection_factors : DataFrame, optional
        Quantities in which rejected and kept pairs differ, the largest difference first.
    notes : tuple of str
        What of it the reader of an area should know, in full sentences.
    """

    spread: Spread | None = None
    drift: Drift | None = None
    decay: DecayFit | None = None
    baseline_loss: BaselineFit | None = None
    rejection_factors: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Analysis:
    """Hold the results of the analysis of a stack of coherence maps.

    Attributes
    ----------
    coh : DataArray (pair, y, x)
        All pairs, read when used.
    stable : DataArray (y, x) of bool
    scenes : DataFrame
        One row per pair: pair, kept, reason, stable_mean, stable_sd, n_stable.
    annual : DataArray (year, y, x)
        Annual NDAI.
    rgb, classes : mapping of (year, year, year) to DataArray
        One per window of three consecutive years; empty with fewer years.
    all_years : DataArray (y, x), optional
        Classes of all years at once, one bit each, where they are two or more but not one window (significant).
    activity : DataFrame
        One row per year.
    significance : Significance, optional
        Decisions of ``method="significant"``.
    timeline : Timeline, optional
        How often and when, by the same method.
    explained : DataFrame, optional
        `scenes` with what stands out in each, as of :func:`insar_mining.activity.explain_scenes`.
    strata : DataFrame, optional
        One row per year and kind of ground, where kinds were given.
    adjusted : DataFrame, optional
        Areas corrected by a reference sample, where one was given.
    class_areas : DataFrame, optional
        Areas of the classes of every window, with intervals where there were draws (significant).
    zones, zone_shares : DataFrame, optional
        When work in each zone starts and stops, and its share that was disturbed in each pair (significant).
    stable_quality : StableQuality
        How good the stable points are.
    notes : tuple of str
        What was done to the stack before, in full sentences.
    original : DataArray (pair, y, x), optional
        The maps as they were read; None where `coh` is just that.
    """

    coh: xr.DataArray
    stable: xr.DataArray
    scenes: pd.DataFrame
    annual: xr.DataArray
    rgb: Mapping[ThreeYears, xr.DataArray]
    classes: Mapping[ThreeYears, xr.DataArray]
    activity: pd.DataFrame
    all_years: xr.DataArray | None = None
    significance: Significance | None = None
    timeline: Timeline | None = None
    explained: pd.DataFrame | None = None
    strata: pd.DataFrame | None = None
    adjusted: pd.DataFrame | None = None
    class_areas: pd.DataFrame | None = None
    zones: pd.DataFrame | None = None
    zone_shares: pd.DataFrame | None = None
    stable_quality: StableQuality = field(default_factory=StableQuality)
    notes: tuple[str, ...] = ()
    original: xr.DataArray | None = None

    @property
    def last_window(self) -> ThreeYears | None:
        """The last three consecutive years that have a composite and classes; None with fewer years."""
        return max(self.classes) if self.classes else None

    @property
    def years(self) -> list[int]:
        """Years that have a map."""
        return [int(year) for year in self.annual["year"].values]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold found and true activity on the same cells.

    Attributes
    ----------
    table : DataFrame
        One row per year: year, truth_area_m2, found_area_m2, and of the cells inside the mine
        missed_m2 (worked and not found), false_m2 (found and not worked) and edge_share, the share of
        these wrong cells that lie within two cells of the edge of a worked zone.
    found, truth : DataArray (year, y, x) of bool
    """

    table: pd.DataFrame
    found: xr.DataArray
    truth: xr.DataArray
