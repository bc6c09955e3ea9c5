"""What is known of the ground beside coherence: what to leave out, its kinds, why pairs failed, what people saw."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer
from shapely import box, unary_union

from insar_mining.activity import (
    activity_by_stratum,
    adjusted_activity,
    baseline_by_class,
    classes_by,
    cover_fraction,
    decay_by_class,
    explain_scenes,
    mask_out,
    read_covariates,
    read_layer,
    read_mask,
    read_ndvi,
    read_sample,
    read_surfaces,
    slope_deg,
    to_span,
    without_baseline_loss,
)
from insar_mining.activity.corrections import BaselineFit, DecayFit
from insar_mining.activity.cube.blocks import layers_of
from insar_mining.activity.significant.settled import Evidence
from insar_mining.activity.strata import INCIDENCE_EDGES_DEG, NDVI_EDGES, NDVI_NAMES, NO_STRATUM, SLOPE_EDGES_DEG
from insar_mining.errors import ActivityError, PartialCoverageWarning
from insar_mining.geo.grid import RasterGrid
from insar_mining.geo.mines import Mine, read_mines
from insar_mining.options.activity import ActivityOptions
from insar_mining.pipeline.cover import evidence_of
from insar_mining.pipeline.flagged import flagged

# what rasters are called; every other file that is to mask ground holds polygons
RASTER_ENDS = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".nc", ".dim")

# stable points of a class of slope whose loss is fitted by itself; the others lose what all stable ground does
ENOUGH_ON_SLOPE = 30
ALL_SLOPES = 1000


@dataclass(frozen=True, eq=False)
class Ground:
    """Hold the stack to analyse, and the kinds of its ground.

    Attributes
    ----------
    coh : DataArray (pair, y, x)
        NaN where ground is left out.
    kinds : mapping of str to DataArray (y, x)
        ``surfaces`` and ``vegetation``, as far as they were given.
    evidence : mapping of str to Evidence
        What each source says of the cover (significant).
    notes : sequence of str
        What was done, for the report.
    """

    coh: xr.DataArray
    kinds: Mapping[str, xr.DataArray] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def known_ground(coh: xr.DataArray, files: Sequence[Path], options: ActivityOptions) -> Ground:
    """Leave out the ground that the options mask, and read the kinds of what is left.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    files : sequence of Path
        The maps it was read from, for their band ``mask``.
    options : ActivityOptions

    Raises
    ------
    RasterError, CoverageError, MineError, ActivityError
        As of `read_mask`, `read_ndvi`, `read_surfaces` and `mask_out`.
    """
    masks = [_mask_of(path, coh) for path in options.masks]
    if options.mask_flags:
        masks.append(flagged(coh, dict(enumerate(files)), options.mask_flags))
    kinds: dict[str, xr.DataArray] = {}
    index = None
    if options.surfaces is not None:
        kinds["surfaces"] = read_surfaces(options.surfaces, coh, field=options.surface_field)
    if options.ndvi:
        first, *further = options.ndvi
        index = read_ndvi(first, further[0], coh) if further else read_layer(first, coh)
        kinds["vegetation"] = classes_by(index, NDVI_EDGES, NDVI_NAMES)
        if options.ndvi_max is not None:
            masks.append(index > options.ndvi_max)
    evidence = evidence_of(coh, files, options, index) if options.method == "significant" else {}
    if not masks:
        return Ground(coh, kinds, evidence)
    masked = mask_out(coh, *masks)
    cells = int(masked.attrs["masked_cells"])
    note = f"{cells:,} cells of the mine were left out by masks and count in no number."
    return Ground(masked, kinds, evidence, (note,))


def _mask_of(path: Path, coh: xr.DataArray) -> xr.DataArray:
    """Return the cells that a raster marks, or that lie by half within polygons."""
    if path.suffix.lower() in RASTER_ENDS:
        return read_mask(path, coh)
    cover = cover_fraction(coh, unary_union([one.geometry for one in read_mines(path)]))
    return cover.copy(data=cover.values >= 0.5)


def without_losses(
    coh: xr.DataArray, kept: xr.DataArray, stable: xr.DataArray, options: ActivityOptions
) -> tuple[xr.DataArray, tuple[str, ...]]:
    """Give every pair back what its span and its baseline took, as fitted on stable ground.

    Parameters
    ----------
    coh, kept : DataArray (pair, y, x)
        All pairs, and those to fit on.
    stable : DataArray (y, x) of bool

    Returns
    -------
    coh : DataArray (pair, y, x)
        Made when it is read; the same one where no correction was asked for.
    notes : tuple of str

    Raises
    ------
    ActivityError
        The pairs cannot tell a loss: too few, all of one span or of one baseline, or a baseline is not known.
    """
    if not (options.span_correction or options.baseline_correction):
        return coh, ()
    floor, notes, result = options.coherence_floor, [], coh
    several = np.unique(kept["days"].values).size > 1
    decay = decay_by_class(kept, stable, floor=floor) if options.span_correction or several else None
    if options.span_correction and decay is not None:
        days = int(coh["days"].values.min())
        result = to_span(result, decay, days=days)
        longest = int(coh["days"].values.max())
        left = float(decay[1].share(longest) / decay[1].share(days))
        notes.append(
            f"Pairs were brought to a span of {days} days: stable ground keeps {100 * left:.1f} % of its coherence "
            f"above {floor:g} from there to {longest} days."
        )
    if options.baseline_correction:
        loss, classes = _baseline_losses(kept, stable, decay, options)
        result = without_baseline_loss(result, loss, classes)
        most = float(np.abs(coh["perpendicular_baseline_m"].values).max())
        taken = {name: f"{100 * (1 - float(fit.factor(most))):.1f} %" for name, fit in loss.items()}
        of_slope = dict(zip(classes.attrs["flag_values"], str(classes.attrs["flag_meanings"]).split(), strict=True))
        said = "; ".join(
            (f"on other ground {part}" if of_slope else part)
            if name == ALL_SLOPES
            else f"slope {of_slope[name].replace('_', ' ')}: {part}"
            for name, part in sorted(taken.items())
        )
        notes.append(f"Baseline decorrelation was corrected; at {most:.0f} m, above {floor:g}: {said}.")
    return result, tuple(notes)


def _baseline_losses(
    kept: xr.DataArray, stable: xr.DataArray, decay: Mapping[int, DecayFit] | None, options: ActivityOptions
) -> tuple[dict[int, BaselineFit], xr.DataArray]:
    """Fit the loss of the stable points of each class of slope, and say of which class every cell is."""
    floor = options.coherence_floor
    loss = {ALL_SLOPES: baseline_by_class(kept, stable, decay, floor=floor)[1]}
    every = stable.copy(data=np.full(stable.shape, ALL_SLOPES, np.int16))
    every.attrs = {"flag_values": [], "flag_meanings": ""}
    if options.elevation is None:
        return loss, every
    slopes = classes_by(slope_deg(read_layer(options.elevation, kept)), SLOPE_EDGES_DEG)
    enough = [
        label for label in slopes.attrs["flag_values"]
        if int((stable.values & (slopes.values == label)).sum()) >= ENOUGH_ON_SLOPE
    ]  # fmt: skip
    own = np.isin(slopes.values, enough)
    if enough:
        of_points = slopes.copy(data=np.where(own & stable.values, slopes.values, NO_STRATUM))
        shares = None if decay is None else dict.fromkeys(map(int, enough), decay[1])
        loss |= baseline_by_class(kept, of_points, shares, floor=floor)
    return loss, slopes.copy(data=np.where(own, slopes.values, ALL_SLOPES).astype(np.int16))


def incidence_classes(path: Path, coh: xr.DataArray) -> xr.DataArray:
    """Read a raster of incidence angles, and divide it into classes of 5 degrees.

    Raises
    ------
    RasterError, CoverageError
        As of `read_layer`.
    """
    return classes_by(read_layer(path, coh), INCIDENCE_EDGES_DEG)


def strata_table(active: xr.DataArray, known: xr.DataArray, kinds: Mapping[str, xr.DataArray]) -> pd.DataFrame | None:
    """Return ``strata.csv``: one row per year and kind of ground, for each way to divide it; None without any.

    Parameters
    ----------
    active, known : DataArray (year, y, x) of bool
    kinds : mapping of str to DataArray (y, x)
        Of `Ground`; its name is the column ``by``.
    """
    tables = []
    for name, strata in kinds.items():
        table = activity_by_stratum(active, strata, known=known)
        table.insert(2, "by", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else None


def sample_table(active: xr.DataArray, known: xr.DataArray, options: ActivityOptions) -> pd.DataFrame | None:
    """Return ``adjusted.csv``: areas corrected by the reference sample, of the years it speaks of; None without one.

    Raises
    ------
    ActivityError
        As of `read_sample` and `adjusted_activity`; also where the sample speaks of no year that was analysed.
    """
    if options.sample is None:
        return None
    sample = read_sample(options.sample)
    if "year" in sample.columns:
        there = np.isin(active["year"].values, sample["year"].unique())
        if not there.any():
            years = ", ".join(str(year) for year in sorted(sample["year"].unique()))
            known_of = ", ".join(str(year) for year in active["year"].values)
            raise ActivityError(f"{options.sample}: speaks of {years}; active ground is known of {known_of}")
        active, known = active.isel(year=there), known.isel(year=there)
    return adjusted_activity(active, sample, known=known, confidence=options.interval_level)


def explained_scenes(
    coh: xr.DataArray, stable: xr.DataArray, scenes: pd.DataFrame, options: ActivityOptions
) -> pd.DataFrame:
    """Describe what is unusual in every scene, with the weather of its dates if it is given.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    stable : DataArray (y, x) of bool
    scenes : DataFrame
        Some or all pairs of the cube, in any order.
    """
    places = {str(name): place for place, name in enumerate(coh["pair"].values)}
    chosen = np.array([places[str(name)] for name in scenes["pair"]], np.intp)
    weather = None if options.covariates is None else read_covariates(options.covariates)
    return explain_scenes(layers_of(coh, chosen), stable, scenes, covariates=weather)


def control_ground(coh: xr.DataArray, options: ActivityOptions, others: Sequence[Mine]) -> xr.DataArray | None:
    """Return the cells around the mine that may be control, (y, x) of bool; None where the cube holds only the mine.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    options : ActivityOptions
    others : sequence of Mine
        Other mines, which may be worked and are left out.
    """
    if "cover" not in coh.coords or not coh.attrs.get("margin_m"):
        return None
    # a cell of the rim is neither wholly the mine's nor untouched by it
    cells = coh["cover"].values == 0
    if options.stable_ground == "inside":
        cells = np.zeros_like(cells)
    bounds = box(*_lonlat_box(coh))
    for other in others:
        if other.geometry.intersects(bounds):
            with warnings.catch_warnings():
                # the maps need not reach over all of another mine
                warnings.simplefilter("ignore", PartialCoverageWarning)
                cells &= cover_fraction(coh, other).values == 0
    return coh["cover"].copy(data=cells)


def _lonlat_box(coh: xr.DataArray) -> tuple[float, float, float, float]:
    """Return the box of a cube in longitude and latitude: west, south, east, north."""
    grid = RasterGrid.of(coh)
    west, south, east, north = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform_bounds(*grid.bounds)
    return west, south, east, north
