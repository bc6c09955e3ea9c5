"""Areas corrected by a reference sample: what the map says, and what people saw where they looked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from pyproj import Transformer

from insar_mining.arrays import FloatArray
from insar_mining.doors import check_columns_of
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError, RasterError, SkippedInputWarning
from insar_mining.geo.cells import ground_area_m2, inside
from insar_mining.geo.grid import RasterGrid

SAMPLE_COLUMNS = ("longitude", "latitude", "reference")
ADJUSTED_COLUMNS = (
    *("class", "map_area_m2", "area_m2", "area_se_m2", "area_low_m2", "area_high_m2"),
    *("n_sample", "users_accuracy", "users_se", "producers_accuracy", "producers_se"),
)

# words of a reference sample for worked ground, and for other ground
ACTIVE_WORDS = ("active", "1", "1.0", "true", "yes")
INACTIVE_WORDS = ("inactive", "not active", "stable", "0", "0.0", "false", "no")

# with fewer points in a map class its standard error is unreliable (Cochran 1977, section 5.8)
FEW_IN_STRATUM = 20


def error_adjusted_areas(
    counts: npt.ArrayLike,
    map_area_m2: Sequence[float] | FloatArray,
    names: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the area of every class corrected by a sample of reference points, with its standard error.

    Parameters
    ----------
    counts : array-like of int, shape (classes, classes)
        The error matrix: sample points by class of the map (rows) and of the reference (columns).
    map_area_m2 : sequence of float, shape (classes,)
        Area of every class on the map; any unit, the results have the same.
    names : sequence of str, optional
        Names of the classes; default their numbers.
    confidence : float, in (0, 1)
        Of the interval, normal in the standard error.

    Returns
    -------
    DataFrame
        One row per class: class, map_area_m2, area_m2 (corrected), area_se_m2, area_low_m2 (not below 0), area_high_m2,
        n_sample, users_accuracy and users_se, producers_accuracy and producers_se (NaN where the class is not in
        the reference). ``attrs``: overall_accuracy, overall_se, confidence.

    Raises
    ------
    ActivityError
        A class of the map that has an area has fewer than two points, or the counts do not fit the classes.

    Notes
    -----
    The stratified estimator of Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015: area proportions by their
    equation 9, standard errors by 10 and 11, overall, user's and producer's accuracies by 1 to 3 and their variances
    by 5 to 7. It holds for a random sample drawn within each class of this map, and (as a poststratified
    estimator) for a simple random one; not for points that were chosen by hand.
    """
    n = np.asarray(counts, dtype=np.float64)
    area = np.asarray(map_area_m2, dtype=np.float64)
    labels = [str(number) for number in range(area.size)] if names is None else [str(name) for name in names]
    if not 0 < confidence < 1:
        raise OptionError(f"confidence={confidence}: must lie between 0 and 1")
    _check_matrix(n, area, labels)
    sampled = n.sum(axis=1)
    weight = area / area.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.where(sampled[:, None] > 0, n / sampled[:, None], 0.0)
        share = weight[:, None] * within
        total = share.sum(axis=0)
        spread = np.where(sampled > 1, 1 / (sampled - 1), 0.0)[:, None] * weight[:, None] ** 2 * within * (1 - within)
        se = np.sqrt(spread.sum(axis=0))
        users = np.where(sampled > 0, np.diag(within), np.nan)
        users_se = np.sqrt(users * (1 - users) / (sampled - 1))
        producers = np.where(total > 0, np.diag(share) / total, np.nan)
    overall = float(np.trace(share))
    reach = NormalDist().inv_cdf(0.5 + confidence / 2)
    table = pd.DataFrame(
        {
            "class": labels,
            "map_area_m2": area,
            "area_m2": total * area.sum(),
            "area_se_m2": se * area.sum(),
            "area_low_m2": np.maximum(0.0, (total - reach * se) * area.sum()),
            "area_high_m2": (total + reach * se) * area.sum(),
            "n_sample": sampled.astype(np.int64),
            "users_accuracy": users,
            "users_se": users_se,
            "producers_accuracy": producers,
            "producers_se": _producers_se(n, area, users, producers),
        },
        columns=list(ADJUSTED_COLUMNS),
    )
    table.attrs = {
        "overall_accuracy": overall,
        "overall_se": float(np.sqrt(np.nansum(weight**2 * users_se**2))),
        "confidence": float(confidence),
    }
    return table


def _check_matrix(n: FloatArray, area: FloatArray, names: Sequence[str]) -> None:
    if n.shape != (area.size, area.size) or len(names) != area.size:
        raise ActivityError(
            f"an error matrix of shape {n.shape} with {area.size} areas and {len(names)} names; "
            "all three hold the same classes, rows are those of the map"
        )
    if (n < 0).any() or (n != np.round(n)).any() or not (np.isfinite(area).all() and (area >= 0).all() and area.sum()):
        raise ActivityError("an error matrix holds whole counts >= 0, and areas are >= 0 and not all 0")
    thin = [f"{name} has {int(k)}" for name, k, a in zip(names, n.sum(axis=1), area, strict=True) if a > 0 and k < 2]
    if thin:
        raise ActivityError(
            f"too few reference points in a class of the map ({', '.join(thin)}; at least 2, better 50): "
            "draw more there"
        )
    few = [name for name, k in zip(names, n.sum(axis=1), strict=True) if 2 <= k < FEW_IN_STRATUM]
    if few:
        warnings.warn(
            f"fewer than {FEW_IN_STRATUM} reference points on the map class(es) {', '.join(few)}: the standard error "
            "is itself uncertain. Draw more there.",
            FewObservationsWarning,
            stacklevel=3,
        )


def _producers_se(n: FloatArray, area: FloatArray, users: FloatArray, producers: FloatArray) -> FloatArray:
    """Compute equation 7 of Olofsson et al. 2014, with areas in the place of counts of pixels."""
    sampled = n.sum(axis=1)
    result = np.full(area.size, np.nan)
    for j in range(area.size):
        if np.isnan(producers[j]):
            continue
        use = sampled > 1
        marginal = float((area[use] / sampled[use] * n[use, j]).sum())
        own = area[j] ** 2 * (1 - producers[j]) ** 2 * users[j] * (1 - users[j]) / (sampled[j] - 1) if use[j] else 0.0
        other = use.copy()
        other[j] = False
        within = n[other, j] / sampled[other]
        omitted = float((area[other] ** 2 * within * (1 - within) / (sampled[other] - 1)).sum())
        result[j] = np.sqrt(own + producers[j] ** 2 * omitted) / marginal
    return result


def read_sample(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a reference sample.

    Parameters
    ----------
    path : path
        CSV with the columns longitude, latitude (WGS 84, degrees), reference (active or inactive; also 1 or 0, true or
        false, yes or no, stable) and, where points speak of single years, year.

    Returns
    -------
    DataFrame
        longitude, latitude, reference (bool) and, if it was there, year.

    Raises
    ------
    ActivityError
        The file cannot be read, lacks a column, or holds something else.
    """
    path = Path(path)
    try:
        check_columns_of(path)
        table = pd.read_csv(path, compression=None)
    except (OSError, ValueError) as error:
        raise ActivityError(f"{path}: the reference sample cannot be read ({error}). Give a CSV.") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    missing = [name for name in SAMPLE_COLUMNS if name not in table.columns]
    if missing:
        raise ActivityError(f"{path}: lacks the column(s) {', '.join(missing)}; it has {', '.join(table.columns)}")
    words = table["reference"].astype(object).fillna("").astype(str).str.strip().str.lower()
    strange = sorted(set(words) - set(ACTIVE_WORDS) - set(INACTIVE_WORDS))
    if strange:
        raise ActivityError(f"{path}: reference is {', '.join(map(repr, strange[:5]))}. Write 'active' or 'inactive'.")
    places = table[["longitude", "latitude"]].apply(pd.to_numeric, errors="coerce")
    bad = places.isna().any(axis=1) | (places["longitude"].abs() > 180) | (places["latitude"].abs() > 90)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ActivityError(
            f"{path}: {int(bad.sum())} point(s) without longitude and latitude in degrees (the first in row {row + 2})"
        )
    parts: dict[str, object] = {**places, "reference": words.isin(ACTIVE_WORDS)}
    if "year" in table.columns:
        years = pd.to_numeric(table["year"], errors="coerce")
        if not years.between(0, 9999).all():
            raise ActivityError(f"{path}: column 'year' holds something else than a year")
        parts["year"] = years.astype(np.int64)
    return pd.DataFrame(parts)


def adjusted_activity(
    active: xr.DataArray, sample: pd.DataFrame, *, known: xr.DataArray | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the active area of every year corrected by a reference sample.

    Parameters
    ----------
    active : DataArray (year, y, x) or (y, x) of bool
        Where the map says that the ground was active, with the attributes and coordinates of this package's maps.
    sample : DataFrame
        As of `read_sample`: longitude, latitude, reference (bool), and year for points that speak of one year; without
        that column every point speaks of every year.
    known : DataArray of bool, shape of `active` or (y, x), optional
        Cells that have a value; default all cells of the mine.
    confidence : float, in (0, 1)

    Returns
    -------
    DataFrame
        One row per year and class (``active``, ``inactive``): year and the columns of `error_adjusted_areas`.

    Raises
    ------
    ActivityError
        No point lies on the map in a year, or a class of the map has fewer than two.

    Warns
    -----
    SkippedInputWarning
        Points lie outside the mine or on cells without a value.
    """
    layers = active.expand_dims("year") if active.dims == ("y", "x") else active
    if layers.dims != ("year", "y", "x"):
        raise ActivityError(f"active ground has the dimensions (year, y, x) or (y, x), this {active.dims}")
    cells = _cells_of(layers, known)
    rows, cols, on_map = _places(layers, sample)
    years = [int(year) for year in np.atleast_1d(layers["year"].values)] if "year" in layers.coords else [0]
    tables = []
    for number, year in enumerate(years):
        layer = layers.isel(year=number)
        of_year = np.ones(len(sample), np.bool_) if "year" not in sample else (sample["year"] == year).to_numpy()
        use = of_year & on_map
        use[use] = cells[number][rows[use], cols[use]]
        _say_left_out(int(of_year.sum()), int(use.sum()), year)
        mapped = np.asarray(layer.values, np.bool_)[rows[use], cols[use]]
        seen = sample["reference"].to_numpy(dtype=np.bool_)[use]
        counts = [[int(np.count_nonzero((mapped == a) & (seen == b))) for b in (True, False)] for a in (True, False)]
        chosen = layer.astype(np.bool_)
        areas = [
            ground_area_m2(chosen.copy(data=chosen.values & cells[number])),
            ground_area_m2(chosen.copy(data=~chosen.values & cells[number])),
        ]
        table = error_adjusted_areas(counts, areas, ("active", "inactive"), confidence=confidence)
        table.insert(0, "year", year)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _cells_of(layers: xr.DataArray, known: xr.DataArray | None) -> npt.NDArray[np.bool_]:
    """Return the cells that a point describes, (year, y, x)."""
    shape = layers.shape
    mine = np.ones(shape[1:], np.bool_)
    if "cover" in layers.coords:
        mine = inside(layers["cover"].values, float(layers.attrs["min_cover"]))
    values = np.True_ if known is None else np.asarray(known.values, np.bool_)
    return np.asarray(np.broadcast_to(mine & values, shape))


def _places(
    layers: xr.DataArray, sample: pd.DataFrame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the row and column of every point, and whether it lies on the map at all."""
    try:
        grid = RasterGrid.of(layers)
    except RasterError as error:
        raise ActivityError(f"the map has no place: {error}") from error
    to_map = Transformer.from_crs(4326, grid.crs, always_xy=True)
    x, y = to_map.transform(sample["longitude"].to_numpy(dtype=float), sample["latitude"].to_numpy(dtype=float))
    t = grid.transform
    col, row = np.floor((np.asarray(x) - t.c) / t.a), np.floor((np.asarray(y) - t.f) / t.e)
    on_map = (row >= 0) & (row < grid.height) & (col >= 0) & (col < grid.width)
    return np.where(on_map, row, 0).astype(np.int64), np.where(on_map, col, 0).astype(np.int64), on_map


def _say_left_out(points: int, used: int, year: int) -> None:
    of_year = f" of {year}" if year else ""
    if not used:
        raise ActivityError(
            f"none of {points} reference point(s){of_year} lies on a cell of the mine that has a value. Check the "
            "longitudes and latitudes and the years of the sample."
        )
    if used < points:
        warnings.warn(
            f"{points - used} of {points} reference points{of_year} lie outside the mine or on no data; left out",
            SkippedInputWarning,
            stacklevel=3,
        )
