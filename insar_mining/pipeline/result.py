"""A result: its files, and what a caller gets back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
import yaml

from insar_mining.activity import seasonality
from insar_mining.display import table_html
from insar_mining.files import delete, write_text
from insar_mining.geo.mines import Mine
from insar_mining.options.models import AnalyseOptions, RunOptions, to_yaml
from insar_mining.pipeline.analysis import Analysis, Window
from insar_mining.pipeline.maps import ProgressCallback
from insar_mining.pipeline.outputs import FILES, write_analysis, write_table
from insar_mining.pipeline.stac import recorded_files, write_collection
from insar_mining.pipeline.truth import Truth, compare
from insar_mining.report import ReportContent, write_report

REPORT = "report.html"
SCENES = "scenes.csv"
RECORD = "run.yaml"


@dataclass(frozen=True, eq=False)
class Result:
    """A result: its folder, and what is in it.

    Attributes
    ----------
    out : Path
    mine : Mine
    activity, scenes : DataFrame
        As ``activity.csv`` and ``scenes.csv``.
    stable : DataArray (y, x) of bool
    annual : DataArray (year, y, x)
        Annual NDAI.
    rgb, classes : mapping of (year, year, year) to DataArray
        One per window of three consecutive years.
    skipped : tuple of mappings
        ``what`` was left out and the ``reason``.
    report : Path
    kept_maps : int
        Coherence maps of an earlier run that were used again.
    truth : DataFrame or None
        For simulated scenes, one row per year; see :class:`insar_mining.pipeline.truth.Comparison`.
    """

    out: Path
    mine: Mine
    activity: pd.DataFrame
    scenes: pd.DataFrame
    stable: xr.DataArray
    annual: xr.DataArray
    rgb: Mapping[Window, xr.DataArray]
    classes: Mapping[Window, xr.DataArray]
    skipped: tuple[Mapping[str, str], ...]
    report: Path
    kept_maps: int = 0
    truth: pd.DataFrame | None = None

    def __repr__(self) -> str:
        years = ", ".join(str(year) for year in self.activity["year"])
        return f"Result(mine={self.mine.id!r}, years=[{years}], pairs={len(self.scenes)}, out={str(self.out)!r})"

    def _repr_html_(self) -> str:
        rows = {
            f"{row.year}": f"{row.area_m2:,.0f} m2 ({row.area_low_m2:,.0f} to {row.area_high_m2:,.0f})"
            for row in self.activity.itertuples()
        }
        return table_html(f"{self.mine.name}: active area", {**rows, "report": self.report})


@dataclass(frozen=True, eq=False)
class Story:
    """How an analysis came about: what the report and the record tell beside its numbers.

    Attributes
    ----------
    options : RunOptions or AnalyseOptions
    record : mapping
        Versions, inputs and counts for ``run.yaml``, as plain values.
    maps : sequence of Path
        Coherence maps with a STAC item beside each.
    scenes : DataFrame
        ``scenes.csv``: the pairs analysed and those that have no map.
    skipped : sequence of mappings
        ``what`` was left out and the ``reason``.
    rejected : sequence of mappings
        ``pair`` and ``reason`` of pairs that were never formed.
    """

    mine: Mine
    options: RunOptions | AnalyseOptions
    record: Mapping[str, Any]
    period: tuple[dt.date, dt.date]
    maps: Sequence[Path]
    scenes: pd.DataFrame
    skipped: Sequence[Mapping[str, str]] = ()
    rejected: Sequence[Mapping[str, object]] = ()
    max_perp_baseline_m: float | None = None
    kept_maps: int = 0
    truth: Truth | None = None


def write_result(folder: Path, analysis: Analysis, story: Story, progress: ProgressCallback) -> Result:
    """Write every file of a result, the collection last: it says that the result is complete.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    options = story.options
    earlier = recorded_files(folder)
    files = write_analysis(folder, analysis, options.activity.method)
    files.append(write_table(folder / SCENES, story.scenes))
    text = to_yaml(options, story.record)
    files.append(write_text(folder / RECORD, text))
    progress("analysis", 1, 2)
    comparison = None if story.truth is None else compare(analysis, story.truth)
    window = max(analysis.classes) if analysis.classes else None
    content = ReportContent(
        mine=story.mine,
        period=story.period,
        method=options.activity.method,
        coh=analysis.coh,
        stable=analysis.stable,
        scenes=analysis.scenes if analysis.explained is None else analysis.explained,
        annual=analysis.annual,
        activity=analysis.activity,
        run=yaml.safe_load(text),
        pairs=_pair_table(analysis.coh),
        rejected_pairs=story.rejected,
        rgb=None if window is None else analysis.rgb[window],
        classes=None if window is None else analysis.classes[window],
        notes=_notes(analysis),
        skipped=story.skipped,
        composite_years=window,
        scene_mean_min=options.activity.scene_mean_min,
        scene_sd_max=options.activity.scene_std_max,
        max_perp_baseline_m=story.max_perp_baseline_m,
        ndai_ceiling=options.activity.ceiling,
        duty=None if analysis.timeline is None else analysis.timeline.duty,
        monthly=None if analysis.timeline is None else analysis.timeline.monthly,
        first_active=None if analysis.timeline is None else analysis.timeline.first_active,
        last_active=None if analysis.timeline is None else analysis.timeline.last_active,
        seasons=None if analysis.timeline is None else seasonality(analysis.timeline.monthly),
        zones=analysis.zones,
        class_areas=_shown_classes(analysis, window),
        spread=analysis.yardstick.spread,
        drift=analysis.yardstick.drift,
        decay=analysis.yardstick.decay,
        baseline_loss=analysis.yardstick.baseline_loss,
        tells=analysis.yardstick.tells,
        strata=analysis.strata,
        adjusted=analysis.adjusted,
        simulated=comparison is not None,
        truth=None if comparison is None else comparison.table,
        found_map=None if comparison is None else comparison.found,
        truth_map=None if comparison is None else comparison.truth,
    )
    files.append(write_report(folder / REPORT, content))
    items = [path.with_suffix(".json") for path in story.maps]
    files.append(write_collection(folder, story.mine, analysis.coh, files, items))
    for name, checksum in earlier.items():
        if folder / name not in files:  # another year's map, say
            delete(folder / name, FILES, checksum=checksum)
    progress("analysis", 2, 2)
    return Result(
        out=folder,
        mine=story.mine,
        activity=analysis.activity,
        scenes=story.scenes,
        stable=analysis.stable,
        annual=analysis.annual,
        rgb=analysis.rgb,
        classes=analysis.classes,
        skipped=tuple(story.skipped),
        report=folder / REPORT,
        kept_maps=story.kept_maps,
        truth=None if comparison is None else comparison.table,
    )


def _pair_table(coh: xr.DataArray) -> pd.DataFrame:
    names = ("pair", "reference_date", "secondary_date", "days", "perpendicular_baseline_m")
    return pd.DataFrame({name: coh[name].values for name in names})


def _shown_classes(analysis: Analysis, window: Window | None) -> pd.DataFrame | None:
    """Areas of the classes of the window that the report shows."""
    if analysis.class_areas is None or window is None:
        return None
    return analysis.class_areas[analysis.class_areas["years"] == "_".join(map(str, window))].reset_index(drop=True)


def _notes(analysis: Analysis) -> list[str]:
    notes = list(analysis.notes)
    if analysis.significance is None and len(analysis.classes) > 1:
        notes.append(
            "The area of a year is read from the window of three years that it ends (the first two years from the "
            "first window); the composite and the classes shown are those of the last window."
        )
    return notes
