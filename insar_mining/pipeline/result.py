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

from insar_mining.activity.analysis import Analysis, Comparison, ThreeYears
from insar_mining.display import table_html
from insar_mining.files import delete, write_text
from insar_mining.geo.mines import Mine
from insar_mining.options.models import AnalyseOptions, RunOptions, to_yaml
from insar_mining.pipeline.maps import ProgressCallback
from insar_mining.pipeline.outputs import FILES, write_analysis, write_table
from insar_mining.pipeline.ownership import changed_files_kept
from insar_mining.pipeline.stac import recorded_files, write_collection
from insar_mining.pipeline.truth import Truth, compare
from insar_mining.report import ReportContent, write_report

REPORT = "report.html"
SCENES = "scenes.csv"
RECORD = "run.yaml"


@dataclass(frozen=True, eq=False)
class Result:
    """Hold a result: its folder and its analysis.

    Attributes
    ----------
    out : Path
    mine : Mine
    analysis : Analysis
        Everything that was computed; the report and the files show the same.
    scenes : DataFrame
        As ``scenes.csv``: the pairs analysed and those that have no map.
    skipped : tuple of mappings
        ``what`` was left out and the ``reason``.
    report : Path
    kept_maps : int
        Coherence maps of an earlier run that were used again.
    truth : DataFrame or None
        For simulated scenes, one row per year; see :class:`insar_mining.pipeline.truth.Comparison`.

    Examples
    --------
    >>> result = insar_mining.analyse("MAPS", "mine.geojson", out="result")  # doctest: +SKIP
    >>> result.report  # doctest: +SKIP
    PosixPath('result/report.html')
    """

    out: Path
    mine: Mine
    analysis: Analysis
    scenes: pd.DataFrame
    skipped: tuple[Mapping[str, str], ...]
    report: Path
    kept_maps: int = 0
    truth: pd.DataFrame | None = None

    @property
    def activity(self) -> pd.DataFrame:
        """One row per year, as ``activity.csv``."""
        return self.analysis.activity

    @property
    def stable(self) -> xr.DataArray:
        """Stable points, (y, x) of bool."""
        return self.analysis.stable

    @property
    def annual(self) -> xr.DataArray:
        """Annual NDAI, (year, y, x)."""
        return self.analysis.annual

    @property
    def rgb(self) -> Mapping[ThreeYears, xr.DataArray]:
        """Composite of every three consecutive years."""
        return self.analysis.rgb

    @property
    def classes(self) -> Mapping[ThreeYears, xr.DataArray]:
        """Classes of every three consecutive years."""
        return self.analysis.classes

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
    """Hold how an analysis was made: what report and record show beside its numbers.

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
    kept_maps: int = 0
    truth: Truth | None = None


def write_result(folder: Path, analysis: Analysis, story: Story, progress: ProgressCallback) -> Result:
    """Write every file of a result, the collection last: it says that the result is complete.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    earlier = recorded_files(folder)
    with changed_files_kept(folder):
        files, comparison = _write_files(folder, analysis, story, progress)
    for name, checksum in earlier.items():
        if folder / name not in files:  # another year's map, say
            delete(folder / name, FILES, checksum=checksum)
    progress("analysis", 2, 2)
    return Result(
        out=folder,
        mine=story.mine,
        analysis=analysis,
        scenes=story.scenes,
        skipped=tuple(story.skipped),
        report=folder / REPORT,
        kept_maps=story.kept_maps,
        truth=None if comparison is None else comparison.table,
    )


def _write_files(
    folder: Path, analysis: Analysis, story: Story, progress: ProgressCallback
) -> tuple[list[Path], Comparison | None]:
    """Write the files of a result, and return them with the comparison with the truth."""
    options = story.options
    files = write_analysis(folder, analysis, options.activity.method)
    files.append(write_table(folder / SCENES, story.scenes))
    text = to_yaml(options, story.record)
    files.append(write_text(folder / RECORD, text))
    progress("analysis", 1, 2)
    comparison = None if story.truth is None else compare(analysis, story.truth)
    content = ReportContent(
        mine=story.mine,
        period=story.period,
        analysis=analysis,
        options=options.activity,
        run=yaml.safe_load(text),
        max_perp_baseline_m=options.pairs.max_perp_baseline_m if isinstance(options, RunOptions) else None,
        rejected_pairs=story.rejected,
        skipped=story.skipped,
        comparison=comparison,
    )
    files.append(write_report(folder / REPORT, content))
    items = [path.with_suffix(".json") for path in story.maps]
    files.append(write_collection(folder, story.mine, analysis.coh, files, items))
    return files, comparison
