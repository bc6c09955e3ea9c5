"""Counts of classes, and the areas they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.published.composite import CLASS_NAMES, NO_CLASS
from insar_mining.errors import ActivityError
from insar_mining.geo.cells import ground_area_m2
from insar_mining.geo.georeferenced import georeferenced

# the area that the published work gives a pixel: 5 m x 20 m, whatever the spacing of the map
NOMINAL_M2 = 100.0

ACTIVITY_COLUMNS = (
    "mine_id",
    "year",
    "method",
    "n_pairs",
    "n_pixels",
    "active_pixels",
    "area_m2",
    "area_low_m2",
    "area_high_m2",
    "area_nominal_m2",
)


CLASS_COLUMNS = ("years", "class", "pixels", "area_m2", "area_nominal_m2")

# areas of `area_intervals` that are summed over mapped cells
MAPPED_COLUMNS = ("area_map_m2", "area_loose_m2", "area_strict_m2")


def class_counts(classes: xr.DataArray | npt.NDArray[np.uint8]) -> dict[str, int]:
    """Count the pixels of each class; those without a class are left out.

    Parameters
    ----------
    classes : DataArray or ndarray of uint8
        From `classify`.

    Returns
    -------
    dict
        Black, Red, Green, Yellow, Blue, Magenta, Cyan, White -> pixels.

    Raises
    ------
    ActivityError
        There is a value that is no class.
    """
    values, counts = np.unique(np.asarray(classes), return_counts=True)
    found = {int(value): int(count) for value, count in zip(values, counts, strict=True) if value != NO_CLASS}
    unknown = sorted(value for value in found if not 0 <= value < len(CLASS_NAMES))
    if unknown:
        raise ActivityError(f"class {unknown[0]} is none of 0..{len(CLASS_NAMES) - 1} or {NO_CLASS} (no data)")
    return {name: found.get(value, 0) for value, name in enumerate(CLASS_NAMES)}


def class_table(classes: xr.DataArray) -> pd.DataFrame:
    """Return the pixels and the area of every class of a map.

    Parameters
    ----------
    classes : DataArray (y, x)
        Of `classify` or `classes_of_years`, for any number of years.

    Returns
    -------
    DataFrame
        One row per class in the order of its code, of three years also those without a pixel: years, class,
        pixels, area_m2 (ground area, cut by the polygon; over all classes that of the cells with a class), and
        area_nominal_m2 (100 m2 a pixel, for parity with the published work only).

    Raises
    ------
    ActivityError
        There is a value that is no class, or the map says not what it holds.
    """
    needed = {"flag_values", "flag_meanings", "years", "nodata"}
    if classes.dims != ("y", "x") or not needed <= set(classes.attrs) or "cell_area_m2" not in classes.coords:
        raise ActivityError("map: has no names of classes. Take it from classify or classes_of_years.")
    names = dict(zip(classes.attrs["flag_values"], str(classes.attrs["flag_meanings"]).split(), strict=True))
    values, counts = np.unique(classes.values, return_counts=True)
    found = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    unknown = sorted(set(found) - set(names) - {int(classes.attrs["nodata"])})
    if unknown:
        raise ActivityError(f"class {unknown[0]} is none of the map's own ({', '.join(names.values())}) or no data")
    rows = []
    for value, name in names.items():
        pixels = found.get(int(value), 0)
        area = ground_area_m2(classes.copy(data=classes.values == value)) if pixels else 0.0
        rows.append(("_".join(map(str, classes.attrs["years"])), name, pixels, area, nominal_area_m2(pixels)))
    return pd.DataFrame(rows, columns=list(CLASS_COLUMNS))


def year_counts(counts: Mapping[str, int]) -> tuple[int, int, int]:
    """Return the pixels active in each of three years from the counts of the classes.

    ``n(1) = R + M + Y + W``, ``n(2) = G + C + Y + W``, ``n(3) = B + C + M + W``: a class counts in every
    year it stands for, White in all three (Climate TRACE 2024, Table 1).

    Parameters
    ----------
    counts : mapping
        Of `class_counts`; a class that is not named has no pixels.

    Raises
    ------
    ActivityError
        A name is no class, or a count is negative.

    Examples
    --------
    Sishen, 2021 to 2023, as published:

    >>> year_counts({"Red": 51710, "Green": 43786, "Blue": 31823, "Cyan": 30505,
    ...              "Magenta": 15827, "Yellow": 72926, "White": 44968})
    (185431, 192185, 123123)
    """
    unknown = sorted(set(counts) - set(CLASS_NAMES))
    if unknown or any(count < 0 for count in counts.values()):
        raise ActivityError(f"counts {dict(counts)}: give numbers >= 0 of {', '.join(CLASS_NAMES)}")
    first, second, third = (
        sum(counts.get(name, 0) for value, name in enumerate(CLASS_NAMES) if value >> bit & 1) for bit in range(3)
    )
    return first, second, third


def nominal_area_m2(pixels: int) -> float:
    """Return the area by the published convention of 100 m2 per pixel, at any spacing: for parity only."""
    return pixels * NOMINAL_M2


def activity_table(
    source: xr.DataArray,
    *,
    mine_id: str | None = None,
    method: str = "published",
    n_pairs: Sequence[int] | None = None,
    intervals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the active area of every year.

    Parameters
    ----------
    source : DataArray
        Classes (y, x) of `classify`: one row per year of theirs. Or annual NDAI (year, y, x), where there
        are fewer than three years and so no hue: one row per year, in which what is active is not known. Or the
        decisions (year, y, x) of `significant_activity` (``active``, with the attribute ``method``).
    mine_id : str, optional
        Default: the attribute ``mine_id``, else empty.
    method : str
    n_pairs : sequence of int, optional
        Pairs of each year; default from the attributes.
    intervals : DataFrame, optional
        Table of :func:`insar_mining.activity.area_intervals`: its areas and bounds replace those of the map, its
        other columns come last.

    Returns
    -------
    DataFrame
        The columns of ``activity.csv``: mine_id, year, method, n_pairs, n_pixels (pixels with a value),
        active_pixels (<NA> where not known), area_m2 (ground area of the active cells, cut by the polygon; see
        `insar_mining.geo.cells.ground_area_m2`), area_low_m2 and area_high_m2 (NaN: the published
        method has no error bar), area_nominal_m2 (100 m2 per active pixel, for parity with the published
        work only).

    Raises
    ------
    ActivityError
        The array is neither, or carries no years or cell areas.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from insar_mining import classify
    >>> annual = xr.DataArray(
    ...     np.array([[[0.4, 0.0, 0.4]], [[0.0, 0.0, 0.4]], [[0.0, 0.0, 0.0]]]),
    ...     dims=("year", "y", "x"), coords={"year": [2021, 2022, 2023]})
    >>> activity_table(classify(annual).assign_coords(cell_area_m2=400.0))[["year", "active_pixels", "area_m2"]]
       year  active_pixels  area_m2
    0  2021              2    800.0
    1  2022              1    400.0
    2  2023              0      0.0
    """
    source = georeferenced(source)
    if "cell_area_m2" not in source.coords:
        raise ActivityError(
            "the array has no cell areas (coordinate 'cell_area_m2') and no CRS to work them out from. Take it from "
            "classify or annual_ndai, or write its CRS (rioxarray: array.rio.write_crs)."
        )
    if mine_id is None:
        mine_id = str(source.attrs.get("mine_id", ""))
    if source.dims == ("year", "y", "x") and source.attrs.get("method") == "significant":
        rows = _rows_of_decisions(source)
    elif source.dims == ("year", "y", "x"):
        rows = _rows_without_classes(source)
    elif source.dims == ("y", "x") and "years" in source.attrs:
        rows = _rows_of_classes(source)
    else:
        raise ActivityError(f"an activity table needs classes (y, x) with years, or annual NDAI, not {source.dims}")
    if n_pairs is not None:
        if len(n_pairs) != len(rows):
            raise ActivityError(f"n_pairs names {len(n_pairs)} years, the classes have {len(rows)}")
        rows = [{**row, "n_pairs": int(number)} for row, number in zip(rows, n_pairs, strict=True)]
    table = pd.DataFrame(
        [{"mine_id": mine_id, "method": method, **row} for row in rows], columns=list(ACTIVITY_COLUMNS)
    )
    whole = {"year": "int64", "n_pairs": "Int64", "n_pixels": "int64", "active_pixels": "Int64"}
    areas = {name: "float64" for name in ACTIVITY_COLUMNS if name.startswith("area_")}
    table = table.astype({**whole, **areas})
    return table if intervals is None else _with_intervals(table, intervals)


def active_in(classes: xr.DataArray, year: int) -> xr.DataArray:
    """Return where the ground was active in a year, (y, x) bool, on the cells of `classes`.

    Raises
    ------
    ActivityError
        The classes do not speak of that year.
    """
    years = [int(y) for y in classes.attrs["years"]]
    if year not in years:
        raise ActivityError(f"the classes are of {', '.join(map(str, years))}, not of {year}")
    values = classes.values
    active = (values != NO_CLASS) & (values >> years.index(year) & 1).astype(np.bool_)
    return classes.copy(data=active)


def _rows_of_classes(classes: xr.DataArray) -> list[dict[str, object]]:
    years = [int(year) for year in classes.attrs["years"]]
    pairs = classes.attrs.get("pairs_in_year", [pd.NA] * len(years))
    pixels = int(np.count_nonzero(classes.values != NO_CLASS))
    rows = []
    for year, number in zip(years, pairs, strict=True):
        active = active_in(classes, year)
        count = int(np.count_nonzero(active.values))
        rows.append(
            {
                "year": year,
                "n_pairs": number,
                "n_pixels": pixels,
                "active_pixels": count,
                "area_m2": ground_area_m2(active),
                "area_low_m2": np.nan,
                "area_high_m2": np.nan,
                "area_nominal_m2": nominal_area_m2(count),
            }
        )
    return sorted(rows, key=lambda row: int(str(row["year"])))


def _rows_of_decisions(active: xr.DataArray) -> list[dict[str, object]]:
    pairs = active["pairs_in_year"].values if "pairs_in_year" in active.coords else [pd.NA] * active.sizes["year"]
    rows: list[dict[str, object]] = []
    for year, number, layer in zip(active["year"].values, pairs, active, strict=True):
        count = int(np.count_nonzero(layer.values == 1))
        rows.append(
            {
                "year": int(year),
                "n_pairs": number,
                "n_pixels": int(np.count_nonzero(layer.values != NO_CLASS)),
                "active_pixels": count,
                "area_m2": ground_area_m2(layer.copy(data=layer.values == 1)),
                "area_low_m2": np.nan,
                "area_high_m2": np.nan,
                "area_nominal_m2": nominal_area_m2(count),
            }
        )
    return rows


def _with_intervals(table: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """Take areas and bounds from the intervals; slivers of the polygon, which these leave out, are kept."""
    found = intervals.set_index("year").reindex(table["year"]).reset_index(drop=True)
    slivers = table["area_m2"] - found["area_map_m2"]
    result = table.copy()
    for name in ("area_m2", "area_low_m2", "area_high_m2"):
        result[name] = found[name] + slivers
    result["area_low_m2"] = result["area_low_m2"].clip(lower=0)
    further = [name for name in found.columns if name not in table.columns]
    for name in further:
        result[name] = found[name] + slivers if name in MAPPED_COLUMNS else found[name]
    return result


def _rows_without_classes(annual: xr.DataArray) -> list[dict[str, object]]:
    pairs = annual["pairs_in_year"].values if "pairs_in_year" in annual.coords else [pd.NA] * annual.sizes["year"]
    unknown = dict.fromkeys(("area_m2", "area_low_m2", "area_high_m2", "area_nominal_m2"), np.nan)
    return [
        {
            "year": int(year),
            "n_pairs": number,
            "n_pixels": int(np.count_nonzero(np.isfinite(layer))),
            "active_pixels": pd.NA,
            **unknown,
        }
        for year, number, layer in zip(annual["year"].values, pairs, annual.values, strict=True)
    ]
