"""Collect what a report shows, checked to fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.analysis import Analysis, Comparison
from insar_mining.activity.published.area import ACTIVITY_COLUMNS
from insar_mining.activity.published.scenes import SCENE_COLUMNS
from insar_mining.activity.timeline import seasonality
from insar_mining.errors import ReportError
from insar_mining.geo.mines import Mine
from insar_mining.options.models import ActivityOptions
from insar_mining.report.plots_series import require_columns

# a report is of one mine, and takes its name from the outline
REPORT_COLUMNS = tuple(name for name in ACTIVITY_COLUMNS if name != "mine_id")


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Hold what a report shows: an analysis, and how it came about. Nothing in it is changed.

    Attributes
    ----------
    mine : Mine
    period : (date, date)
        First and last day looked at; anything that ``numpy.datetime64`` takes.
    analysis : Analysis
        Its cube may be lazily backed by files: it is read one pair and one block of rows at a time. Its table of
        activity has rows of this mine only.
    options : ActivityOptions
        The method of the headline's areas, thresholds of the scene test, the upper end of the NDAI scale.
    run : mapping or str
        As ``run.yaml`` (or its text): options, versions, inputs, engine; shown whole.
    max_perp_baseline_m : float, optional
        Limit that selected the pairs.
    rejected_pairs : sequence of mappings
        ``pair`` and ``reason`` of those that were never formed.
    skipped : sequence of mappings
        ``what`` and ``reason`` of inputs that were left out.
    comparison : Comparison, optional
        The truth of simulated pixels beside what was found; that they are simulated is said prominently.
    """

    mine: Mine
    period: tuple[object, object]
    analysis: Analysis
    options: ActivityOptions
    run: Mapping[str, object] | str
    max_perp_baseline_m: float | None = None
    rejected_pairs: Sequence[Mapping[str, object]] = ()
    skipped: Sequence[Mapping[str, object]] = ()
    comparison: Comparison | None = None
    headline: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        """Check that the parts fit together, and pick the headline's rows.

        Raises
        ------
        ReportError
            A table lacks a column, rasters lie on different grids, or nothing was found for the method.
        """
        activity = self.analysis.activity
        require_columns(activity, REPORT_COLUMNS, "activity")
        require_columns(self.scenes, SCENE_COLUMNS, "scenes")
        if self.comparison is not None:
            require_columns(self.comparison.table, ("year", "truth_area_m2", "found_area_m2"), "truth")
        for raster, name in self._rasters():
            self._check_grid(raster, name)
        rows = activity[activity["method"].astype(str) == self.options.method].sort_values("year")
        if rows.empty or rows["year"].duplicated().any():
            known = sorted(set(activity["method"].astype(str)))
            raise ReportError(
                f"activity must have one row for each year of method {self.options.method!r}; it has {len(rows)} such "
                f"rows and the methods {known}: give the rows of one mine"
            )
        object.__setattr__(self, "headline", rows.reset_index(drop=True))

    @property
    def scenes(self) -> pd.DataFrame:
        """Pairs as ``scenes.csv`` has them, with what stands out in each where that is known."""
        return self.analysis.scenes if self.analysis.explained is None else self.analysis.explained

    @property
    def rgb(self) -> xr.DataArray | None:
        """The composite that is shown: of the last three years; None with fewer."""
        return self.analysis.rgb.get(self.analysis.last_window) if self.analysis.last_window else None

    @property
    def classes(self) -> xr.DataArray | None:
        """The classes that are shown: of the last three years; None with fewer."""
        return self.analysis.classes.get(self.analysis.last_window) if self.analysis.last_window else None

    @property
    def class_areas(self) -> pd.DataFrame | None:
        """Areas of the classes that are shown."""
        window, areas = self.analysis.last_window, self.analysis.class_areas
        if areas is None or window is None:
            return None
        return areas[areas["years"] == "_".join(map(str, window))].reset_index(drop=True)

    @property
    def seasons(self) -> Mapping[str, float] | None:
        """Amplitude, peak month and p-value of a yearly wave; None where months are not known."""
        return None if self.analysis.timeline is None else seasonality(self.analysis.timeline.monthly)

    @property
    def notes(self) -> list[str]:
        """Caveats of this analysis, in full sentences."""
        notes = [*self.analysis.notes]
        if self.analysis.significance is None and len(self.analysis.classes) > 1:
            notes.append(
                "The area of a year is read from the window of three years that it ends (the first two years from the "
                "first window); the composite and the classes shown are those of the last window."
            )
        return notes

    @property
    def years(self) -> list[int]:
        """The years of the annual maps."""
        return self.analysis.years

    @property
    def cell_area_m2(self) -> npt.NDArray[np.float64] | None:
        """Area of the cells of each row, shape (y,), from the stack's attribute or coordinate; None if unknown."""
        area = self.analysis.coh.coords.get("cell_area_m2", self.analysis.coh.attrs.get("cell_area_m2"))
        if area is None:
            return None
        return np.broadcast_to(np.asarray(area, dtype=float), (self.analysis.coh.sizes["y"],))

    @property
    def pair_table(self) -> pd.DataFrame:
        """One row per pair: pair, days, perpendicular_baseline_m, dates; NaN where it is not known."""
        columns = ("pair", "reference_date", "secondary_date", "days", "perpendicular_baseline_m")
        coh = self.analysis.coh
        known = pd.DataFrame({name: coh[name].values for name in columns if name in coh.coords})
        return known.reindex(columns=[*columns])

    def _rasters(self) -> list[tuple[xr.DataArray, str]]:
        timeline, comparison = self.analysis.timeline, self.comparison
        given = {
            "stable": self.analysis.stable,
            "annual": self.analysis.annual,
            "duty": None if timeline is None else timeline.duty,
            "first_active": None if timeline is None else timeline.first_active,
            "last_active": None if timeline is None else timeline.last_active,
            "rgb": self.rgb,
            "classes": self.classes,
            "found": None if comparison is None else comparison.found,
            "truth": None if comparison is None else comparison.truth,
        }
        return [(raster, name) for name, raster in given.items() if raster is not None]

    def _check_grid(self, raster: xr.DataArray, name: str) -> None:
        for axis in ("y", "x"):
            ours, theirs = self.analysis.coh[axis].values, raster[axis].values
            # a thousandth of a cell: coordinates may have been through a file
            slack = 1e-3 * abs(ours[1] - ours[0]) if ours.size > 1 else 1e-6
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0.0, atol=slack):
                raise ReportError(
                    f"{name} does not lie on the grid of the coherence along {axis!r} "
                    f"({theirs.size} cells, {ours.size} expected): bring all rasters to one grid"
                )
