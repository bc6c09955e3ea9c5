"""Kinds of ground: by a raster (slope, incidence, vegetation) or by polygons (pit, dump, tailings, road)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from shapely import unary_union

from insar_mining.activity.cube.blocks import only_where
from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.errors import ActivityError, CoverageError, MineError, OptionError
from insar_mining.geo.cells import cell_area_m2, cover_fraction, ground_area_m2, inside, on_cells_of
from insar_mining.geo.grid import RasterGrid
from insar_mining.geo.mines import read_mines

NO_STRATUM = -1
REST = "rest"

# incidence changes coherence slowly; 5 degrees divide a sub-swath in two
INCIDENCE_EDGES_DEG = (25.0, 30.0, 35.0, 40.0, 45.0)
SLOPE_EDGES_DEG = (5.0, 15.0, 25.0, 35.0)
NDVI_EDGES = (0.2, 0.4)
NDVI_NAMES = ("bare", "sparse", "dense")

# attributes of a polygon that may name its kind of ground
CLASS_FIELDS = ("class", "stratum", "surface", "type", "name")

STRATUM_COLUMNS = (
    *("mine_id", "year", "stratum", "n_pixels", "active_pixels"),
    *("area_m2", "stratum_area_m2", "active_share"),
)


def mask_out(coh: xr.DataArray, *masks: xr.DataArray) -> xr.DataArray:
    """Leave ground out of a cube: NaN where a mask is True, in every pair or in those of a year.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    *masks : DataArray (y, x) or (year, y, x) of bool
        Of `read_mask`, or a comparison such as ``ndvi > 0.4``; with a coordinate `year`, each for its year's pairs.

    Returns
    -------
    DataArray (pair, y, x), float32
        Made when it is read. The attribute ``masked_cells`` counts the mine's cells that were left out in any year.

    Raises
    ------
    ActivityError
        Nothing is left, a mask lies on other cells, or has not all years of the cube.
    """
    check_cube(coh)
    years = np.unique(coh["year"].values)
    own = any("year" in mask.dims for mask in masks)
    keep = np.ones((years.size if own else 1, *coh.shape[1:]), np.bool_)
    for mask in masks:
        yearly = "year" in mask.dims
        if yearly and not set(years) <= set(mask["year"].values):
            raise ActivityError(f"the mask has the years {mask['year'].values}, the cube {years}. Give one for each.")
        check_same_cells(coh, mask.isel(year=0, drop=True) if yearly else mask, "mask's cells")
        keep &= ~np.asarray((mask.sel(year=years) if yearly else mask).values, np.bool_)
    mine = np.ones(coh.shape[1:], np.bool_)
    if "cover" in coh.coords:
        mine = inside(coh["cover"].values, float(coh.attrs["min_cover"]))
    if not (mine & keep).any():
        raise ActivityError(
            f"the masks leave none of the mine's {int(mine.sum())} cells. Check what their values mean (values=)."
        )
    which = np.searchsorted(years, coh["year"].values) if own else np.zeros(coh.sizes["pair"], np.intp)
    masked = only_where(coh, keep, which)
    masked.attrs["masked_cells"] = int((mine & ~keep.all(axis=0)).sum())
    return masked


def classes_by(raster: xr.DataArray, edges: Sequence[float], names: Sequence[str] | None = None) -> xr.DataArray:
    """Divide a map into classes at given values.

    Parameters
    ----------
    raster : DataArray (y, x)
        Incidence or slope in degrees, NDVI: anything.
    edges : sequence of float
        Rising; a value on an edge belongs to the upper class.
    names : sequence of str, optional
        One more than the edges; default the ranges of values.

    Returns
    -------
    DataArray (y, x), int16
        0, 1, ... from the lowest values; -1 where the map is NaN. Attributes ``flag_values`` and ``flag_meanings``.

    Raises
    ------
    OptionError
        The edges do not rise, or the names are too few or too many.
    """
    limits = [float(edge) for edge in edges]
    if not limits or sorted(set(limits)) != limits:
        raise OptionError(f"edges={limits}: give rising values")
    if names is None:
        names = [f"below_{limits[0]:g}", *(f"{a:g}_to_{b:g}" for a, b in itertools.pairwise(limits))]
        names = [*names, f"from_{limits[-1]:g}"]
    if len(names) != len(limits) + 1:
        raise OptionError(f"{len(names)} names for {len(limits) + 1} classes. Give one each.")
    values = np.asarray(raster.values, np.float64)
    classes = np.where(np.isnan(values), NO_STRATUM, np.digitize(values, limits)).astype(np.int16)
    return _strata(raster, classes, names)


def slope_deg(heights: xr.DataArray) -> xr.DataArray:
    """Return the slope of the ground from heights on the cells of a map.

    Parameters
    ----------
    heights : DataArray (y, x)
        Metres, with the attributes ``crs`` and ``transform`` (`read_layer` of an elevation model).

    Returns
    -------
    DataArray (y, x), float32
        Degrees, 0..90, by central differences (one-sided at the rim); NaN beside no data.

    Raises
    ------
    ActivityError
        The map is one cell wide or high.
    """
    if min(heights.shape) < 2:
        raise ActivityError(f"a slope needs two cells each way, the map has {heights.shape[0]} x {heights.shape[1]}")
    grid = RasterGrid.of(heights)
    area = np.broadcast_to(np.asarray(cell_area_m2(grid), np.float64), grid.height)
    if grid.crs.is_geographic:
        # cells in degrees: as long from south to north as on the ellipsoid, as wide as their area then demands
        tall = _degree_m(grid)
    else:
        tall = abs(grid.transform.e) * (grid.crs.axis_info[0].unit_conversion_factor if grid.crs.axis_info else 1.0)
    values = np.asarray(heights.values, np.float64)
    south, east = np.gradient(values)
    slope = np.degrees(np.arctan(np.hypot(south / tall, east / (area / tall)[:, None])))
    attrs = {"units": "degree", "long_name": "slope of the ground"}
    return on_cells_of(heights, ("y", "x"), slope.astype(np.float32), "slope", attrs)


def _degree_m(grid: RasterGrid) -> float:
    """Return the height of the cells of a grid in degrees, metres."""
    geod = grid.crs.get_geod()
    if geod is None:
        raise ActivityError(f"{grid.crs.name} has no ellipsoid. Warp the heights to UTM first.")
    west, south, east, north = grid.bounds
    middle = (west + east) / 2
    return float(geod.inv(middle, south, middle, north)[2]) / grid.height


def read_surfaces(path: str | os.PathLike[str], coh: xr.DataArray, *, field: str | None = None) -> xr.DataArray:
    """Read polygons of kinds of ground (pit, dump, tailings, road) onto the cells of a cube.

    Parameters
    ----------
    path : path
        Any vector file that `read_mines` reads.
    coh : DataArray
        A cube of `open_stack`, or any map of it.
    field : str, optional
        Attribute that names the kind; default the first of class, stratum, surface, type, name that is there.

    Returns
    -------
    DataArray (y, x), int16
        A cell belongs to the kind that covers most of it, if that is at least half; else to the last one, ``rest``.
        Attributes ``flag_values`` and ``flag_meanings``, kinds in order of their names.

    Raises
    ------
    MineError
        The file cannot be read, or its features do not say what they are.
    CoverageError
        No polygon covers half of any cell of the mine.
    """
    features = read_mines(Path(path))
    field = field or next(
        (name for name in CLASS_FIELDS if any(feature.properties.get(name) for feature in features)), None
    )
    if field is None or not any(feature.properties.get(field) for feature in features):
        known = sorted({name for feature in features for name in feature.properties})
        raise MineError(
            f"{path}: no attribute names the polygons (field={field!r}). Name one of {', '.join(known) or 'none'}."
        )
    names = sorted({_word(feature.properties.get(field)) for feature in features} - {""})
    best = np.zeros(coh.shape[-2:], np.float32)
    strata = np.full(best.shape, len(names), np.int16)
    for number, name in enumerate(names):
        parts = [feature.geometry for feature in features if _word(feature.properties.get(field)) == name]
        cover = cover_fraction(coh, unary_union(parts)).values
        more = (cover > best) & inside(cover, 0.5)
        strata[more], best[more] = number, cover[more]
    found = _strata(coh, strata, [*names, REST])
    mine = inside(coh["cover"].values, float(coh.attrs["min_cover"])) if "cover" in coh.coords else best >= 0
    if not (mine & (strata < len(names))).any():
        raise CoverageError(
            f"{path}: its polygons ({', '.join(names)}) cover no cell of the mine by half. Check their place and CRS."
        )
    return found


def _word(value: object) -> str:
    """Name of a kind of ground as one word."""
    return "_".join(str(value).split()).lower() if value is not None else ""


def _strata(like: xr.DataArray, values: npt.NDArray[np.int16], names: Sequence[str]) -> xr.DataArray:
    attrs = {
        "long_name": "kind of ground",
        "flag_values": list(range(len(names))),
        "flag_meanings": " ".join("_".join(str(name).split()) for name in names),
        "nodata": NO_STRATUM,
    }
    return on_cells_of(like, ("y", "x"), values, "strata", attrs)


def activity_by_stratum(
    active: xr.DataArray, strata: xr.DataArray, *, known: xr.DataArray | None = None, mine_id: str | None = None
) -> pd.DataFrame:
    """Return the active area of every year within each kind of ground.

    Parameters
    ----------
    active : DataArray (year, y, x) or (y, x) of bool
    strata : DataArray (y, x) of integers
        With ``flag_values`` and ``flag_meanings`` (`read_surfaces`, `classes_by`); other values belong to none.
    known : DataArray of bool, shape of `active` or (y, x), optional
        Cells that have a value; default all cells of the mine.
    mine_id : str, optional
        Default: the attribute ``mine_id``, else empty.

    Returns
    -------
    DataFrame
        One row per year and kind: mine_id, year, stratum, n_pixels, active_pixels, area_m2, stratum_area_m2 (of the
        cells with a value), active_share (NaN where the kind has no cell). Areas as of `activity_table`, so that
        those of all kinds add up to it.

    Raises
    ------
    ActivityError
        The strata lie on other cells, or have no names.
    """
    layers = active.expand_dims("year") if active.dims == ("y", "x") else active
    if layers.dims != ("year", "y", "x"):
        raise ActivityError(f"active ground has the dimensions (year, y, x) or (y, x), this {active.dims}")
    check_same_cells(layers.rename(year="pair"), strata, "strata")
    if not {"flag_values", "flag_meanings"} <= set(strata.attrs):
        raise ActivityError("strata: have no names. Take them from read_surfaces or classes_by")
    names = dict(zip(strata.attrs["flag_values"], str(strata.attrs["flag_meanings"]).split(), strict=True))
    years = [int(year) for year in np.atleast_1d(layers["year"].values)] if "year" in layers.coords else [0]
    mine = np.ones(layers.shape[1:], np.bool_)
    if "cover" in layers.coords:
        mine = inside(layers["cover"].values, float(layers.attrs["min_cover"]))
    have = np.broadcast_to(mine if known is None else mine & np.asarray(known.values, np.bool_), layers.shape)
    rows = []
    for number, year in enumerate(years):
        layer = layers.isel(year=number)
        for value, name in names.items():
            cells = have[number] & (strata.values == value)
            worked = cells & np.asarray(layer.values, np.bool_)
            area, whole = (ground_area_m2(layer.copy(data=chosen)) for chosen in (worked, cells))
            share = area / whole if whole > 0 else np.nan
            counts = int(cells.sum()), int(worked.sum())
            rows.append((mine_id or str(layers.attrs.get("mine_id", "")), year, name, *counts, area, whole, share))
    return pd.DataFrame(rows, columns=list(STRATUM_COLUMNS))
