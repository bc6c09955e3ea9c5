"""How sure the area of a class is, ground that was active in the same years: from the draws that tell of each year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from insar_mining.activity.published.composite import classes_of_years
from insar_mining.activity.significant.intervals import LEVEL, TILE, DrawnTile, cell_weights_m2, interval_of
from insar_mining.activity.significant.significance import Significance
from insar_mining.arrays import BoolArray, FloatArray, IntArray
from insar_mining.errors import OptionError
from insar_mining.geo.cells import mine_cells

CLASS_AREA_COLUMNS = ("years", "class", "area_m2", "area_low_m2", "area_high_m2", "area_map_m2")


def class_intervals(
    found: Significance,
    drawn: Mapping[int, Sequence[DrawnTile]],
    years: Sequence[int],
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Return the area of every class of some years with its interval.

    Parameters
    ----------
    found : Significance
    drawn : mapping of int to sequence of DrawnTile
        Filled by `area_intervals` (``drawn=``): nothing is drawn here.
    years : sequence of int
        A class is ground that was active in the same of them, as of `classes_of_years`.
    level : float, 0..1
        Confidence of the interval.

    Returns
    -------
    DataFrame
        One row per class, in the order of its code: years, class, ``area_m2`` corrected for half of the bias of the
        decisions, ``area_low_m2``, ``area_high_m2``, and ``area_map_m2`` of the cells mapped.

    Raises
    ------
    OptionError
        A year was not drawn, or years were drawn a different number of times.

    Notes
    -----
    Each draw decides on every year again, and the maps of all years are put together as the decided ones
    are: what a class loses another gains, which years' intervals alone do not tell.  Bias, border cells that count as
    0 or 1, and the doubt about where a border lies enter as they do for a year, along the border of the class.
    """
    counts = {len(tile.again) for year in years for tile in drawn.get(year, ())}
    missing = [year for year in years if year not in drawn]
    if missing or len(counts) > 1:
        raise OptionError(
            f"years {missing or list(years)} were {'not drawn' if missing else f'drawn {sorted(counts)} times'}; fill "
            "drawn= of area_intervals with all of them at once"
        )
    draws = counts.pop() if counts else 0
    classes = classes_of_years(found.active, years)
    flags = dict(zip(classes.attrs["flag_values"], str(classes.attrs["flag_meanings"]).split(), strict=True))
    known = classes.values != classes.attrs["nodata"]
    weights = np.where(mine_cells(found.active) & known, cell_weights_m2(found.active), 0.0)
    truth = _truth(drawn, years, classes.shape)
    off = _off(drawn, years, truth, weights, draws)
    rows = []
    for code, name in flags.items():
        mapped = float(weights[classes.values == code].sum())
        row: dict[str, object] = {"years": "_".join(map(str, years)), "class": name, "area_map_m2": mapped}
        rows.append(row | _interval(mapped, off[:, code], truth == code, weights, level))
    return pd.DataFrame(rows, columns=list(CLASS_AREA_COLUMNS))


def _truth(drawn: Mapping[int, Sequence[DrawnTile]], years: Sequence[int], shape: tuple[int, ...]) -> IntArray:
    """Classes of the maps that were drawn about."""
    codes = np.zeros(shape, np.int64)
    for bit, year in enumerate(years):
        for tile in drawn[year]:
            rows, cols = tile.truth.shape
            codes[tile.row : tile.row + rows, tile.col : tile.col + cols] |= tile.truth.astype(np.int64) << bit
    return codes


def _off(
    drawn: Mapping[int, Sequence[DrawnTile]], years: Sequence[int], truth: IntArray, weights: FloatArray, draws: int
) -> FloatArray:
    """Return what every draw adds to the area of every class that it was drawn about, (draws, classes)."""
    places: dict[tuple[int, int], dict[int, DrawnTile]] = {}
    for year in years:
        for tile in drawn[year]:
            places.setdefault((tile.row, tile.col), {})[year] = tile
    size = 2 ** len(years)
    off = np.zeros((draws, size))
    for (row, col), tiles in places.items():
        where = slice(row, row + TILE), slice(col, col + TILE)
        here, own = truth[where], weights[where].ravel()
        before = np.bincount(here.ravel(), own, size)
        for draw in range(draws):
            codes = np.zeros(here.size, np.int64)
            for bit, year in enumerate(years):
                if year in tiles:
                    codes |= np.unpackbits(tiles[year].again[draw], count=here.size).astype(np.int64) << bit
            off[draw] += np.bincount(codes, own, size) - before
    return off


def _interval(
    mapped: float, off: FloatArray, of_class: BoolArray, weights: FloatArray, level: float
) -> dict[str, float]:
    """Interval of one class, by the errors that a year's area has (`area_intervals`)."""
    if off.size < 2:
        return {"area_m2": mapped, "area_low_m2": mapped, "area_high_m2": mapped}
    border = of_class & ~ndimage.binary_erosion(of_class)
    variance = float((weights[border] ** 2).sum() / 12)
    return interval_of(mapped, off, variance, _border_m(of_class, weights), level)


def _border_m(of_class: BoolArray, weights: FloatArray) -> float:
    """Length of the border of a class within the mine, metres; its steps are longer than the line by 4 / pi."""
    inside = weights > 0
    edges = (
        (of_class[1:] ^ of_class[:-1]) & inside[1:] & inside[:-1],
        (of_class[:, 1:] ^ of_class[:, :-1]) & inside[:, 1:] & inside[:, :-1],
    )
    return float(sum(edge.sum() for edge in edges) * np.sqrt(weights.max(initial=0.0)) * np.pi / 4)
