"""How sure the area of a class is, ground that was active in the same years."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from insar_mining.activity.published.composite import classes_of_years
from insar_mining.activity.significant.intervals import LEVEL, border_error_m2, cell_weights_m2
from insar_mining.activity.significant.significance import Significance
from insar_mining.activity.significant.states import State
from insar_mining.geo.cells import mine_cells

CLASS_AREA_COLUMNS = ("years", "class", "area_m2", "area_low_m2", "area_high_m2", "area_map_m2")


def class_intervals(
    found: Significance, intervals: pd.DataFrame, years: Sequence[int], *, level: float = LEVEL
) -> pd.DataFrame:
    """Return the area of every class of some years with its interval.

    Parameters
    ----------
    found : Significance
    intervals : DataFrame
        Of `area_intervals`, for the errors of each year that do not lie at a border.
    years : sequence of int
        A class is ground that was active in the same of them, as of `classes_of_years`.
    level : float, 0..1
        Confidence of the interval.

    Returns
    -------
    DataFrame
        One row per class, in the order of its code: years, class, area_m2, area_low_m2, area_high_m2, area_map_m2.

    Notes
    -----
    The border of a class errs as that of a year does. What a year leaves open beyond it (its interval less the error
    of its own border) is shared by the classes in proportion to their ground; ground in doubt is in no lower bound.
    """
    classes = classes_of_years(found.active, years)
    flags = dict(zip(classes.attrs["flag_values"], str(classes.attrs["flag_meanings"]).split(), strict=True))
    known = classes.values != classes.attrs["nodata"]
    weights = np.where(mine_cells(found.active) & known, cell_weights_m2(found.active), 0.0)
    states = found.states.sel(year=list(years)).values
    doubt = (states == State.DOUBT).any(axis=0)
    table = intervals.set_index("year").loc[list(years)]
    factor = float(stats.norm.ppf((1 + level) / 2))
    whole = max(float(weights.sum()), 1e-9)
    rows = []
    for code, name in flags.items():
        chosen = classes.values == code
        area = float(weights[chosen].sum())
        half = factor * border_error_m2(chosen & (weights > 0), weights)
        beyond = float((table["area_high_m2"] - table["area_m2"]).max()) * max(area / whole, 0.01)
        low = max(area - half - beyond - float(weights[chosen & doubt].sum()), 0.0)
        high = min(area + half + beyond, whole)
        row = {"years": "_".join(map(str, years)), "class": name, "area_m2": area, "area_low_m2": low}
        rows.append(row | {"area_high_m2": max(high, area), "area_map_m2": area})
    return pd.DataFrame(rows, columns=list(CLASS_AREA_COLUMNS))
