"""From coherence maps to yearly activity: the steps of :mod:`insar_mining.activity` in their order."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from insar_mining.activity import (
    active_in,
    activity_table,
    annual_ndai,
    class_intervals,
    classify,
    filter_scenes,
    iterate_stable,
    ndai,
    open_stack,
    rgb_composite,
    stable_ground,
    stable_points,
)
from insar_mining.activity.analysis import Analysis, ThreeYears
from insar_mining.activity.cube.blocks import held
from insar_mining.activity.published.composite import NO_CLASS, classes_of_years
from insar_mining.activity.significant.intervals import area_intervals
from insar_mining.activity.significant.settled import cover_from
from insar_mining.activity.significant.significance import Significance, significant_activity
from insar_mining.activity.timeline import activity_timeline
from insar_mining.errors import ActivityError, FewObservationsWarning, UnusedOptionWarning
from insar_mining.geo.mines import Mine
from insar_mining.options.activity import OF_STABLE_POINTS
from insar_mining.options.models import ActivityOptions, MapOptions
from insar_mining.pipeline.cover import cover_notes
from insar_mining.pipeline.ground import (
    Ground,
    control_ground,
    explained_scenes,
    incidence_classes,
    known_ground,
    sample_table,
    strata_table,
    without_losses,
)
from insar_mining.pipeline.stable_quality import of_few_pairs, quality_of_stable, zone_tables
from insar_mining.pipeline.surroundings import margin_of

logger = logging.getLogger(__name__)

BASELINE_NOTE = (
    "Every cell is expected to lose coherence with the square of the baseline, by as much as its own pairs of the year "
    "tell: a face that the elevation model does not know is not taken for worked ground."
)


def analyse_maps(
    maps: Path | str | Sequence[Path],
    mine: Mine,
    options: ActivityOptions,
    years: Sequence[int] = (),
    reading: MapOptions | None = None,
    others: Sequence[Mine] = (),
) -> Analysis:
    """Analyse coherence maps of one mine.

    Parameters
    ----------
    maps : folder, or sequence of files
        As of :func:`insar_mining.open_stack`.
    years : sequence of int
        Years to use, by default all; a pair belongs to the year of its middle date.
    reading : MapOptions, optional
        Which maps are read, and how.
    others : sequence of Mine
        Other mines, whose ground is no control.

    Raises
    ------
    RasterError, CoverageError, ActivityError
        As of the steps; also when there is no pair of a year.
    """
    margin_m = margin_of(mine, options)
    stack = open_stack(maps, mine, zero=options.zero, min_cover=options.min_cover, margin_m=margin_m, reading=reading)
    coh = _of_years(stack, years)
    ground = known_ground(coh, _files_of(coh, maps), options)
    if options.method == "significant":
        control = control_ground(ground.coh, options, others)
        analysis = _significant(ground, mine, options, control)
    else:
        analysis = _published(ground.coh, mine, options)
    analysis = replace(analysis, notes=(*analysis.notes, *_lost_years(coh, analysis)))
    return _with_ground(replace(analysis, original=coh), ground, options)


def _lost_years(coh: xr.DataArray, analysis: Analysis) -> list[str]:
    """Name, in warnings and notes, the years all pairs of which were rejected: they have no map and no area."""
    pairs = coh["year"].values
    notes = [
        f"{year}: all {int((pairs == year).sum())} pair(s) were rejected, and the year has no map and no area; "
        "scenes.csv says why."
        for year in sorted({int(year) for year in pairs} - set(analysis.years))
    ]
    for note in notes:
        warnings.warn(note, FewObservationsWarning, stacklevel=3)
    return notes


def _files_of(coh: xr.DataArray, maps: Path | str | Sequence[Path]) -> list[Path]:
    """Return the files that the pairs of a cube were read from, in their order."""
    names = [str(name) for name in coh["source"].values]
    if isinstance(maps, (str, Path)):
        folder = Path(maps).parent if Path(maps).is_file() else Path(maps)
        return [folder / name for name in names]
    by_name = {shown: Path(path) for path in maps for shown in (Path(path).name, str(path))}
    return [by_name[name] for name in names]


def _with_ground(analysis: Analysis, ground: Ground, options: ActivityOptions) -> Analysis:
    """Add what is said of kinds of ground, of rejected scenes and of places where people looked."""
    explained = explained_scenes(analysis.coh, analysis.stable, analysis.scenes, options)
    where = _ground_of_stable(analysis.coh, options)
    quality = quality_of_stable(analysis.coh, analysis.stable, explained, where=where, floor=options.coherence_floor)
    strata = adjusted = shares = zones = None
    if analysis.significance is not None:
        shares, zones = zone_tables(analysis.coh, analysis.significance, ground.kinds.get("surfaces"))
    if ground.kinds or options.sample is not None:
        active, known = _active_and_known(analysis)
        strata = strata_table(active, known, ground.kinds)
        adjusted = sample_table(active, known, options)
    return replace(
        analysis,
        # without weather the table stays as it always was; the report shows the rest
        scenes=analysis.scenes if options.covariates is None else explained,
        explained=explained,
        strata=strata,
        adjusted=adjusted,
        zones=zones,
        zone_shares=shares,
        stable_quality=quality,
        notes=(
            *ground.notes,
            *analysis.notes,
            *of_few_pairs(analysis.activity, options.method),
            *quality.notes,
        ),
    )


def _active_and_known(analysis: Analysis) -> tuple[xr.DataArray, xr.DataArray]:
    """Return where every year was active, and where that is known, (year, y, x) of bool."""
    if analysis.significance is not None:
        decided = analysis.significance.active
        return decided.copy(data=decided.values == 1), decided.copy(data=decided.values != NO_CLASS)
    layers = {year: active_map(analysis, year) for year in analysis.years}
    active = {year: layer for year, layer in layers.items() if layer is not None}
    if not active:
        raise ActivityError(
            "surfaces, ndvi and sample describe active ground, and the published method finds none in fewer than three "
            "consecutive years. Leave them out, or use method significant."
        )
    windows = {year: window_of_year(analysis.classes, year) for year in active}
    known = [analysis.classes[window] for window in windows.values() if window is not None]
    years = pd.Index(list(active), name="year")
    both = (
        xr.concat([layer.drop_attrs(deep=False) for layer in layers_], dim=years, coords="minimal", compat="override")
        for layers_ in (list(active.values()), [layer.copy(data=layer.values != NO_CLASS) for layer in known])
    )
    attrs = known[0].attrs
    found, have = (cube.assign_attrs(attrs) for cube in both)
    return found, have


def _published(coh: xr.DataArray, mine: Mine, options: ActivityOptions) -> Analysis:
    stable, kept, scenes = _stable_and_kept(coh, options)
    coh, notes = without_losses(coh, kept, stable, options)
    if notes:
        # found again: a pair that failed by its baseline or span alone need not any more
        stable, kept, scenes = _stable_and_kept(coh, options)
    incidence = None if options.incidence is None else incidence_classes(options.incidence, coh)
    annual = annual_ndai(ndai(kept, stable, classes=incidence), min_pairs=options.min_pairs)
    rgb = {window: rgb_composite(annual, window, ceiling=options.ceiling) for window in windows_of(annual)}
    classes = {
        window: classify(
            composite,
            black_below=options.black_below,
            black_sigma=options.black_sigma,
            white_saturation=options.white_saturation,
        )
        for window, composite in rgb.items()
    }
    activity = _activity(annual, classes, mine.id, options.method)
    return Analysis(coh, stable, scenes, annual, rgb, classes, activity, notes=notes)


def _significant(ground: Ground, mine: Mine, options: ActivityOptions, control: xr.DataArray | None) -> Analysis:
    """Decide every year from its own pairs, so that none depends on the others."""
    coh = held(ground.coh)
    found = significant_activity(
        coh,
        false_discovery_rate=options.false_discovery_rate,
        min_loss=options.min_loss,
        where=control,
        cover=cover_from(coh, ground.evidence),
        baseline_loss=options.baseline_correction,
        min_pairs=options.min_pairs,
    )
    notes = [*_unused(options), *cover_notes(found, ground.evidence)]
    notes += [BASELINE_NOTE] if options.baseline_correction else []
    years = [
        annual_ndai(ndai(coh.isel(pair=reference.pairs), reference.stable), min_pairs=options.min_pairs)
        for reference in found.references.values()
    ]
    annual = xr.concat(years, dim="year", combine_attrs="drop_conflicts", join="exact")
    wanted = options.interval_draws > 0
    intervals = area_intervals(coh, found, level=options.interval_level, intervals=wanted)
    windows = windows_of(annual) if wanted else []
    classes = [class_intervals(found, intervals, window, level=options.interval_level) for window in windows]
    windows = windows_of(annual)
    return Analysis(
        coh,
        _stable_throughout(found),
        found.scenes,
        annual,
        {window: rgb_composite(annual, window, ceiling=options.ceiling) for window in windows},
        {window: classes_of_years(found.active, window) for window in windows},
        activity_table(found.active, mine_id=mine.id, method="significant", intervals=intervals),
        classes_of_years(found.active) if len(found.years) > 1 and tuple(found.years) not in windows else None,
        found,
        activity_timeline(coh, found),
        class_areas=pd.concat(classes, ignore_index=True) if classes else None,
        notes=tuple(notes),
    )


def _unused(options: ActivityOptions) -> list[str]:
    """Name, in a warning and a note, limits of the published method that were given and change nothing."""
    fields = type(options).model_fields
    given = [name for name in OF_STABLE_POINTS if getattr(options, name) != fields[name].default]
    if not given:
        return []
    said = ", ".join(f"{name}={getattr(options, name)}" for name in given)
    note = f"{said}: of the published method only; against control ground no scene is rejected, and no number changed."
    warnings.warn(note, UnusedOptionWarning, stacklevel=4)
    return [note]


def _stable_throughout(found: Significance) -> xr.DataArray:
    """Return the most coherent ground of every year; of any year where there is none of these."""
    masks = [reference.stable.values for reference in found.references.values()]
    every = np.logical_and.reduce(masks)
    values = every if every.any() else np.logical_or.reduce(masks)
    first = next(iter(found.references.values())).stable
    stable = first.copy(data=values)
    stable.attrs = {**first.attrs, "n_stable": int(values.sum())}
    return stable


def _of_years(coh: xr.DataArray, years: Sequence[int]) -> xr.DataArray:
    if not years:
        return coh
    there = sorted({int(year) for year in coh["year"].values})
    missing = sorted(set(years) - set(there))
    if missing:
        raise ActivityError(
            f"no coherence map of {', '.join(map(str, missing))}; there are maps of {', '.join(map(str, there))} "
            "(a pair belongs to the year of its middle date)"
        )
    return coh.isel(pair=np.flatnonzero(np.isin(coh["year"].values, list(years))))


def _stable_and_kept(coh: xr.DataArray, options: ActivityOptions) -> tuple[xr.DataArray, xr.DataArray, pd.DataFrame]:
    limits = options.stable_mean_min, options.stable_std_max
    where = _ground_of_stable(coh, options)
    if options.stable_method == "iterated":
        found = iterate_stable(
            coh, *limits, scene_mean_min=options.scene_mean_min, scene_std_max=options.scene_std_max, where=where
        )
        return found.stable, found.kept, found.table
    stable = stable_points(coh, *limits, method="published", where=where)
    kept = filter_scenes(coh, stable, options.scene_mean_min, options.scene_std_max)
    scenes: pd.DataFrame = kept.attrs["scenes"]
    return stable, kept, scenes


def _ground_of_stable(coh: xr.DataArray, options: ActivityOptions) -> xr.DataArray | None:
    """Return the cells that may be stable points; None where there is only the mine, all of which may be."""
    return stable_ground(coh, options.stable_ground) if coh.attrs.get("margin_m") else None


def windows_of(annual: xr.DataArray) -> list[ThreeYears]:
    """List every window of three consecutive years that annual maps hold, in order."""
    years = {int(year) for year in annual["year"].values}
    return [(year, year + 1, year + 2) for year in sorted(years) if {year + 1, year + 2} <= years]


def _activity(
    annual: xr.DataArray, classes: Mapping[ThreeYears, xr.DataArray], mine_id: str, method: str
) -> pd.DataFrame:
    """Return one row per year, those outside every window without an area."""
    unknown = activity_table(annual, mine_id=mine_id, method=method)
    rows: list[pd.DataFrame] = []
    for year in unknown["year"]:
        window = window_of_year(classes, year)
        source = unknown if window is None else activity_table(classes[window], mine_id=mine_id, method=method)
        rows.append(source[source["year"] == year])
    return pd.concat(rows, ignore_index=True)


def active_map(analysis: Analysis, year: int) -> xr.DataArray | None:
    """Return where the ground was active in a year as `activity.csv` counts it; None where that is not known."""
    if analysis.significance is not None:
        layer = analysis.significance.active.sel(year=year, drop=True)
        return layer.copy(data=layer.values == 1)
    window = window_of_year(analysis.classes, year)
    return None if window is None else active_in(analysis.classes[window], year)


def window_of_year(classes: Mapping[ThreeYears, xr.DataArray], year: int) -> ThreeYears | None:
    """Return the window from which a year's row is taken: the one that it ends, else the first that holds it.

    A class depends on the window in which a year is seen; with this rule a further year never changes
    what was said of the years before it.
    """
    holding = sorted(window for window in classes if year in window)
    ending = [window for window in holding if window[2] == year]
    return next(iter(ending or holding), None)
