"""The whole jobs: `run` from products, `analyse` from coherence maps."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from insar_mining.activity.analysis import Analysis
from insar_mining.coherence.builtin.images.cache import NAMES as ARRAYS
from insar_mining.errors import SkippedInputWarning
from insar_mining.files import delete_leftovers
from insar_mining.geo.mines import Mine
from insar_mining.options.models import AnalyseOptions, RunOptions
from insar_mining.pipeline.acquisition import Network
from insar_mining.pipeline.analysis import analyse_maps
from insar_mining.pipeline.inputs import check_folder, mine_of
from insar_mining.pipeline.lock import folder_lock
from insar_mining.pipeline.maps import DATES, MAP_FILES, Maps, ProgressCallback, make_maps
from insar_mining.pipeline.masks import MASKS, make_masks
from insar_mining.pipeline.outputs import FILES, software_versions, write_pair_maps
from insar_mining.pipeline.ownership import check_no_foreign_files
from insar_mining.pipeline.preparation import MAPS, RunPlan, Start, check_period, plan_only, prepare
from insar_mining.pipeline.quality import remarks_on_dates, with_quality
from insar_mining.pipeline.result import Result, Story, write_result
from insar_mining.pipeline.surroundings import other_mines
from insar_mining.pipeline.truth import Truth

Date = str | dt.date | np.datetime64
Job = TypeVar("Job", RunOptions, AnalyseOptions)


def _silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


def plan(
    mine: Mine | Path | str,
    start: Date | None = None,
    end: Date | None = None,
    *,
    out: Path | str,
    options: RunOptions | None = None,
    progress: ProgressCallback = _silent,
    network: Network | None = None,
    **changes: Any,
) -> RunPlan:
    """Plan a run without writing anything; parameters and errors are those of :func:`run`.

    Without `scenes` the catalogue is searched, and what would be fetched is told; with them
    the plan needs `dem`.
    """
    chosen = _run_options(options, start, end, changes)
    check_no_foreign_files(Path(out), Path(out) / MAPS)
    return plan_only(mine, chosen, Path(out), network or Network(), progress)


def run(
    mine: Mine | Path | str,
    start: Date | None = None,
    end: Date | None = None,
    *,
    out: Path | str,
    options: RunOptions | None = None,
    progress: ProgressCallback = _silent,
    truth: Truth | None = None,
    network: Network | None = None,
    **changes: Any,
) -> Result:
    """Do the whole job for one mine: images, pairs, coherence maps, activity, report.

    What is not given is searched for and fetched: products (the bursts over the mine, unless
    ``archive.product`` says scene), orbit files, elevation.  A rerun fetches nothing twice and
    keeps every coherence map that is complete and whose recorded plan is the same.  A date
    that cannot be fetched, and a pair that cannot be mapped, is left out and reported; a date
    none of whose pairs can be mapped is bridged by a longer pair.

    Parameters
    ----------
    mine : Mine or path
        A vector file with one mine, or with several and `mine_id` given.
    start, end : date
        Period of the scenes, both inclusive; ``"2021-01-31"``.
    out : path
        Folder of the result; see the README for what is in it.
    options : RunOptions, optional
        Everything else; what is given beside it wins.
    progress : callable, optional
        Called with (stage, done, total).
    truth : Truth, optional
        For simulated scenes: set beside the result in the report.
    network : Network, optional
        Where everything is fetched from; see :class:`insar_mining.pipeline.acquisition.Network`.
    **changes
        Fields of :class:`insar_mining.options.models.RunOptions`: ``scenes``, a folder of Sentinel-1 SLC products
        (without it they are fetched into ``archive.folder``); ``dem``, an elevation model that covers the mine
        (without it one is fetched); ``mine_id``, ``archive``, ``pairs``, ``coherence``, ``activity``. And ``engine``
        and ``method``, short for ``coherence.engine`` and ``activity.method``.

    Returns
    -------
    Result

    Raises
    ------
    ArchiveError
        No scene in the period, or what is missing cannot be fetched.
    CoverageError
        No scene sees the mine.
    PairError
        The scenes give no pair.
    OutputError
        `out` cannot be written, or another run works in it.
    InsarMiningError
        Whatever else stops a step, by name.

    Examples
    --------
    >>> result = run("mine.geojson", "2021-01-01", "2023-12-31", out="result")  # doctest: +SKIP
    >>> result.activity[["year", "area_m2", "area_low_m2", "area_high_m2"]]  # doctest: +SKIP
    """
    chosen = _run_options(options, start, end, changes)
    folder = Path(out)
    check_period(chosen)
    check_folder(folder)
    check_no_foreign_files(folder, folder / MAPS)
    mine_of(mine, chosen.mine_id)  # neither this nor a mine that cannot be read leaves a folder behind
    begin = None if chosen.scenes is None else prepare(mine, chosen, folder, network or Network(), progress)
    with folder_lock(folder):
        _delete_leftovers(folder)
        begin = begin or prepare(mine, chosen, folder, network or Network(), progress)
        maps = make_maps(begin.scenes, begin.planner, progress)
        make_masks(maps, begin.planner)
        progress("analysis", 0, 2)
        analysis = analyse_maps(maps.paths, begin.mine, chosen.activity, others=other_mines(mine, begin.mine))
        scenes = with_quality(_with_failures(analysis.scenes, maps.failures), maps.quality)
        analysis = replace(analysis, notes=(*analysis.notes, *remarks_on_dates(scenes)))
        skipped = _skipped(begin, maps)
        story = Story(
            mine=begin.mine,
            options=_named(chosen, mine),
            record=_run_record(begin, maps, analysis, skipped),
            period=begin.period,
            maps=maps.paths,
            scenes=scenes,
            skipped=skipped,
            rejected=_rejected(begin, maps),
            kept_maps=maps.kept,
            truth=truth,
        )
        return write_result(folder, analysis, story, progress)


def analyse(
    folder: Path | str,
    mine: Mine | Path | str,
    *,
    out: Path | str,
    years: Sequence[int] = (),
    method: str | None = None,
    options: AnalyseOptions | None = None,
    progress: ProgressCallback = _silent,
    **changes: Any,
) -> Result:
    """Analyse a folder of coherence maps of any origin.

    Parameters
    ----------
    folder : path
        Rasters on the same cells whose two dates are in a name, in tags or in a STAC item (docs/inputs.md).
    mine : Mine or path
    out : path
        Folder of the result.
    years : sequence of int
        Years to use; by default all.
    method : str, optional
        Shorthand of ``activity.method``.
    options : AnalyseOptions, optional
    progress : callable, optional
        Called with (stage, done, total).
    **changes
        Other fields of :class:`insar_mining.options.models.AnalyseOptions`.

    Returns
    -------
    Result

    Raises
    ------
    RasterError
        No raster with two dates, or rasters that do not belong together.
    CoverageError
        The mine lies outside the rasters.
    ActivityError
        No stable point, no scene left, or no map of a year.
    OutputError
        `out` cannot be written, or another run works in it.

    Examples
    --------
    >>> result = analyse("MAPS", "mine.geojson", out="result")  # doctest: +SKIP
    >>> result.activity[["year", "area_m2", "area_low_m2", "area_high_m2"]]  # doctest: +SKIP
    """
    base = options or AnalyseOptions()
    chosen = _with_shorthands(base.replace(folder=folder, years=tuple(years) or None, **changes), None, method)
    target = Path(out)
    check_folder(target)
    own = target / MAPS
    is_own = own.is_dir() and Path(folder).is_dir() and own.samefile(folder)
    check_no_foreign_files(target, None if is_own else own)
    found = mine_of(mine, chosen.mine_id)
    with folder_lock(target):
        _delete_leftovers(target)
        progress("analysis", 0, 2)
        with _noting_skipped() as skipped:
            others = other_mines(mine, found)
            analysis = analyse_maps(Path(folder), found, chosen.activity, chosen.years, chosen.maps, others)
        maps = [] if is_own else write_pair_maps(own, analysis.coh if analysis.original is None else analysis.original)
        first, last = analysis.coh["reference_date"].values.min(), analysis.coh["secondary_date"].values.max()
        story = Story(
            mine=found,
            options=_named(chosen, mine),
            record=_analysis_record(found, analysis),
            period=(dt.date.fromisoformat(str(first)[:10]), dt.date.fromisoformat(str(last)[:10])),
            maps=maps,
            scenes=analysis.scenes,
            skipped=skipped,
        )
        return write_result(target, analysis, story, progress)


def _delete_leftovers(folder: Path) -> None:
    """Delete what a killed run left in the folder of a result; nobody else writes in a locked folder."""
    delete_leftovers(folder, FILES)
    if not (folder / MAPS).is_symlink():
        delete_leftovers(folder / MAPS, MAP_FILES)
        delete_leftovers(folder / MAPS / DATES, ARRAYS)
        delete_leftovers(folder / MAPS / MASKS, MAP_FILES)


def _run_options(options: RunOptions | None, start: Any, end: Any, changes: Mapping[str, Any]) -> RunOptions:
    fields = {name: value for name, value in changes.items() if name not in ("engine", "method")}
    chosen = (options or RunOptions()).replace(start=start, end=end, **fields)
    return _with_shorthands(chosen, changes.get("engine"), changes.get("method"))


def _with_shorthands(options: Job, engine: str | None, method: str | None) -> Job:
    """Return options with the engine and the method of their sections changed."""
    if engine is not None and isinstance(options, RunOptions):
        options = options.replace(coherence=options.coherence.replace(engine=engine))
    if method is not None:
        options = options.replace(activity=options.activity.replace(method=method))
    return options


def _named(options: Job, mine: Mine | Path | str) -> Job:
    """Return the options with the mine's file, if it came from one, for the record."""
    return options if isinstance(mine, Mine) else options.replace(mine=Path(mine))


@contextmanager
def _noting_skipped() -> Iterator[list[Mapping[str, str]]]:
    """Collect what the block warns of leaving out, and pass every warning on."""
    skipped: list[Mapping[str, str]] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield skipped
    finally:
        for one in caught:
            if issubclass(one.category, SkippedInputWarning):
                what, _, reason = str(one.message).removeprefix("left out: ").partition(": ")
                skipped.append({"what": Path(what).name, "reason": reason})
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _with_failures(scenes: pd.DataFrame, failures: Mapping[str, str]) -> pd.DataFrame:
    """Add the pairs that have no map, in the order of their dates."""
    if not failures:
        return scenes
    rows = pd.DataFrame(
        {
            "pair": list(failures),
            "kept": False,
            "reason": [f"not mapped: {reason}" for reason in failures.values()],
            "stable_mean": np.nan,
            "stable_sd": np.nan,
            "n_stable": 0,
        }
    )
    for name in scenes.columns.difference(rows.columns):
        # nothing is known of the rest: no number, no word, no lost point
        rows[name] = {"f": np.nan, "i": 0}.get(scenes[name].dtype.kind, "")
    table = pd.concat([scenes, rows[scenes.columns].astype(scenes.dtypes.to_dict())], ignore_index=True)
    return table.sort_values("pair", ignore_index=True)


def _skipped(begin: Start, maps: Maps) -> tuple[Mapping[str, str], ...]:
    """List what was left out before the analysis, and why."""
    used = {*maps.pairs["reference"], *maps.pairs["secondary"]}
    return (
        *begin.lost,
        *({"what": Path(one["path"]).name, "reason": one["reason"]} for one in begin.unreadable),
        *({"what": f"pair {pair}", "reason": reason} for pair, reason in maps.failures.items()),
        *({"what": f"date {date}", "reason": "none of its pairs could be mapped"} for date in maps.bad_dates),
        *(
            {"what": str(one["scene"]), "reason": str(one["reason"])}
            for one in maps.pairs.attrs.get("rejected", ())
            if not one.get("pair") and one["scene"] not in used
        ),
    )


def _rejected(begin: Start, maps: Maps) -> list[Mapping[str, object]]:
    """Return the pairs that were never formed: those the catalogue told of first."""
    told = [one for one in maps.pairs.attrs.get("rejected", ()) if one.get("pair")]
    there = {one["pair"] for one in told}
    return [*(one for one in begin.never_formed if one["pair"] not in there), *told]


def _run_record(begin: Start, maps: Maps, analysis: Analysis, skipped: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return inputs, versions and counts of a run, as plain values."""
    pairs = maps.pairs
    scenes = sorted({*pairs["reference"], *pairs["secondary"]})
    grid = begin.planner.grid
    return {
        **_analysis_record(begin.mine, analysis),
        "relative_orbit": int(pairs["relative_orbit"].iloc[0]),
        "grid": {"crs": grid.crs, "bounds": list(grid.bounds), "spacing_m": grid.spacing_m, "shape": list(grid.shape)},
        "scenes": scenes,
        **({"archive": dict(begin.found)} if begin.found else {}),
        "maps_kept_from_an_earlier_run": maps.kept,
        "skipped": [dict(one) for one in skipped],
    }


def _analysis_record(mine: Mine, analysis: Analysis) -> dict[str, Any]:
    return {
        "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": software_versions(),
        "mine": {"id": mine.id, "name": mine.name, "geometry": mine.geometry.wkt},
        "pairs": len(analysis.scenes),
        "pairs_kept": int(analysis.scenes["kept"].sum()),
        "stable_points": int(analysis.stable.values.sum()),
        "years": analysis.years,
    }
