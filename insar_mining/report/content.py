"""Collect what a report shows, checked to fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.corrections import BaselineFit, DecayFit
from insar_mining.activity.published.area import ACTIVITY_COLUMNS
from insar_mining.activity.published.scenes import SCENE_COLUMNS
from insar_mining.activity.reference import Drift, Spread
from insar_mining.errors import ReportError
from insar_mining.geo.mines import Mine
from insar_mining.report.plots_classes import years_of
from insar_mining.report.plots_maps import NDAI_CEILING
from insar_mining.report.plots_series import require_columns

# a report is of one mine, and takes its name from the outline
REPORT_COLUMNS = tuple(name for name in ACTIVITY_COLUMNS if name != "mine_id")


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Hold everything that a report shows. Nothing in it is changed.

    Attributes
    ----------
    mine : Mine
    period : (date, date)
        First and last day looked at; anything that ``numpy.datetime64`` takes.
    method : str
        The method of the headline's areas: ``published`` or ``significant``.
    coh : DataArray (pair, y, x)
        Coherence, 0 to 1, NaN without data, attribute ``crs``. May be lazily backed by files:
        it is read one pair and one block of rows at a time.
    stable : DataArray (y, x) of bool
    scenes : DataFrame
        As ``scenes.csv``: pair, kept, reason, stable_mean, stable_sd, n_stable.
    annual : DataArray (year, y, x)
        Annual NDAI, unclipped.
    activity : DataFrame
        As ``activity.csv``: year, method, n_pairs, n_pixels, active_pixels, area_m2,
        area_low_m2, area_high_m2, area_nominal_m2; of this mine only.
    run : mapping or str
        As ``run.yaml`` (or its text): options, versions, inputs, engine; shown whole.
    pairs : DataFrame or GeoDataFrame, optional
        Columns pair, reference_date, secondary_date, days, perpendicular_baseline_m (NaN: not
        known). By default from the coordinates of `coh`, as far as they are there.
    rejected_pairs : sequence of mappings
        ``pair`` and ``reason`` of those that were never formed.
    rgb : DataArray (band, y, x), optional
        0 to 1. None with fewer than three years.
    classes : DataArray (y, x) of integers, optional
        With ``flag_values`` and ``flag_meanings``. None with fewer than three years.
    notes : sequence of str
        Caveats of this run, in full sentences.
    skipped : sequence of mappings
        ``what`` and ``reason`` of inputs that were left out.
    simulated : bool
        The pixels are simulated: said prominently.
    truth : DataFrame, optional
        Columns year, truth_area_m2, found_area_m2 (a column ``difference`` is recomputed).
    found_map, truth_map : DataArray (year, y, x), optional
        Active (true or 1) or not, as found and as simulated; both or none.
    composite_years : tuple of 3 int, optional
        Red, green, blue; by default those recorded in `rgb` or `classes`, else the years of
        `annual` if there are exactly three.
    scene_mean_min, scene_sd_max : float
        Thresholds of the scene test.
    max_perp_baseline_m : float, optional
        Limit that selected the pairs.
    ndai_ceiling : float
        Upper end of the NDAI scale.
    duty : DataArray (year, y, x), optional
        Share of the pairs in which each cell was disturbed; None where the method does not count pairs.
    monthly : DataFrame, optional
        year, month, area_m2, n_pairs.
    first_active, last_active : DataArray (y, x) of datetime64, optional
        Days on which disturbance of each cell begins and ends; NaT where there was none.
    seasons : mapping, optional
        amplitude, peak_month and p_value of a yearly wave.
    zones : DataFrame, optional
        As ``zones.csv``: zone, start, stop, pairs, share, worked, worked_from.
    class_areas : DataFrame, optional
        Of the classes shown: class, area_m2, area_low_m2, area_high_m2.
    spread : Spread, optional
        How the stable points lie over the ground.
    drift : Drift, optional
        Whether their coherence has a trend.
    decay : DecayFit, optional
        Of their mean coherence with the span.
    baseline_loss : BaselineFit, optional
        Of their mean coherence with the baseline.
    tells : DataFrame, optional
        What tells rejected from kept pairs: quantity, median_kept, median_rejected, separation, p_value.
    strata : DataFrame, optional
        As ``strata.csv``: year, by, stratum, n_pixels, active_pixels, area_m2, stratum_area_m2, active_share.
    adjusted : DataFrame, optional
        As ``adjusted.csv``: areas corrected by a reference sample.
    """

    mine: Mine
    period: tuple[object, object]
    method: str
    coh: xr.DataArray
    stable: xr.DataArray
    scenes: pd.DataFrame
    annual: xr.DataArray
    activity: pd.DataFrame
    run: Mapping[str, object] | str
    pairs: pd.DataFrame | None = None
    rejected_pairs: Sequence[Mapping[str, object]] = ()
    rgb: xr.DataArray | None = None
    classes: xr.DataArray | None = None
    notes: Sequence[str] = ()
    skipped: Sequence[Mapping[str, object]] = ()
    simulated: bool = False
    truth: pd.DataFrame | None = None
    found_map: xr.DataArray | None = None
    truth_map: xr.DataArray | None = None
    composite_years: tuple[int, int, int] | None = None
    scene_mean_min: float = 0.8
    scene_sd_max: float = 0.2
    max_perp_baseline_m: float | None = 250.0
    ndai_ceiling: float = NDAI_CEILING
    duty: xr.DataArray | None = None
    monthly: pd.DataFrame | None = None
    first_active: xr.DataArray | None = None
    last_active: xr.DataArray | None = None
    seasons: Mapping[str, float] | None = None
    zones: pd.DataFrame | None = None
    class_areas: pd.DataFrame | None = None
    spread: Spread | None = None
    drift: Drift | None = None
    decay: DecayFit | None = None
    baseline_loss: BaselineFit | None = None
    tells: pd.DataFrame | None = None
    strata: pd.DataFrame | None = None
    adjusted: pd.DataFrame | None = None
    headline: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        """Check that the parts fit together, and pick the headline's rows.

        Raises
        ------
        ReportError
            A table lacks a column, rasters lie on different grids, or nothing was found for `method`.
        """
        require_columns(self.activity, REPORT_COLUMNS, "activity")
        require_columns(self.scenes, SCENE_COLUMNS, "scenes")
        if self.truth is not None:
            require_columns(self.truth, ("year", "truth_area_m2", "found_area_m2"), "truth")
        if (self.found_map is None) != (self.truth_map is None):
            raise ReportError("found_map and truth_map belong together: give both or none")
        for raster, name in self._rasters():
            self._check_grid(raster, name)
        rows = self.activity[self.activity["method"].astype(str) == self.method].sort_values("year")
        if rows.empty or rows["year"].duplicated().any():
            known = sorted(set(self.activity["method"].astype(str)))
            raise ReportError(
                f"activity must have one row for each year of method {self.method!r}; it has {len(rows)} such rows "
                f"and the methods {known}: give the rows of one mine"
            )
        object.__setattr__(self, "headline", rows.reset_index(drop=True))

    @property
    def years(self) -> list[int]:
        """The years of the annual maps."""
        return [int(year) for year in np.atleast_1d(self.annual["year"].values)]

    @property
    def rgb_years(self) -> tuple[int, int, int] | None:
        """The years shown as red, green and blue, if there is a composite and they are known."""
        if self.composite_years is not None:
            return self.composite_years
        for raster in (self.rgb, self.classes):
            found = None if raster is None else years_of(raster)
            if found is not None:
                return found
        if len(self.years) == 3:
            first, second, third = self.years
            return first, second, third
        return None

    @property
    def cell_area_m2(self) -> npt.NDArray[np.float64] | None:
        """Area of the cells of each row, shape (y,), from the stack's attribute or coordinate; None if unknown."""
        area = self.coh.coords.get("cell_area_m2", self.coh.attrs.get("cell_area_m2"))
        if area is None:
            return None
        return np.broadcast_to(np.asarray(area, dtype=float), (self.coh.sizes["y"],))

    @property
    def pair_table(self) -> pd.DataFrame:
        """One row per pair: pair, days, perpendicular_baseline_m, dates; NaN where it is not known.

        From `pairs` where it is given, else from the coordinates of the stack.
        """
        columns = ("reference_date", "secondary_date", "days", "perpendicular_baseline_m")
        if self.pairs is not None:
            known = pd.DataFrame({name: self.pairs[name] for name in ("pair", *columns) if name in self.pairs.columns})
        else:
            names = [name for name in ("pair", *columns) if name in self.coh.coords]
            known = pd.DataFrame({name: self.coh[name].values for name in names})
        return known.reindex(columns=["pair", *columns])

    def _rasters(self) -> list[tuple[xr.DataArray, str]]:
        given = {
            "stable": self.stable,
            "annual": self.annual,
            "duty": self.duty,
            "first_active": self.first_active,
            "last_active": self.last_active,
            "rgb": self.rgb,
            "classes": self.classes,
            "found_map": self.found_map,
            "truth_map": self.truth_map,
        }
        return [(raster, name) for name, raster in given.items() if raster is not None]

    def _check_grid(self, raster: xr.DataArray, name: str) -> None:
        for axis in ("y", "x"):
            ours, theirs = self.coh[axis].values, raster[axis].values
            # a thousandth of a cell: coordinates may have been through a file
            slack = 1e-3 * abs(ours[1] - ours[0]) if ours.size > 1 else 1e-6
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0.0, atol=slack):
                raise ReportError(
                    f"{name} does not lie on the grid of the coherence along {axis!r} "
                    f"({theirs.size} cells, {ours.size} expected): bring all rasters to one grid"
                )
