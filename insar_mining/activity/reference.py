"""How good the stable reference is: where it may lie, how it is spread, and whether it drifts."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.activity.published.scenes import stable_means
from insar_mining.arrays import FloatArray
from insar_mining.errors import ActivityError, DriftWarning, FewObservationsWarning, OptionError
from insar_mining.geo.cells import mine_cells

StableGround = Literal["inside", "around", "both"]

# the map is divided into so many tiles each way to see how the stable points are spread
TILES = 4
# with all points in so few of the tiles that hold ground they do not represent the rest
FEW_TILES_SHARE = 0.25

# seasonal comparisons that separate a drift from the seasons
ENOUGH_SEASONAL = 12
ENOUGH_PAIRS = 8
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Spread:
    """Describe how stable points are spread over the ground they were looked for on.

    Attributes
    ----------
    n_stable : int
    tiles_with : int
        Of the tiles that hold ground, those that hold stable points.
    tiles : int
        Tiles that hold ground, of a division of the map into 4 x 4.
    largest_share : float
        Share of the points that lie in the fullest tile.
    """

    n_stable: int
    tiles_with: int
    tiles: int
    largest_share: float


@dataclass(frozen=True)
class Drift:
    """Hold whether the stable ground changed during the years of the stack.

    Attributes
    ----------
    slope_per_year : float
        Change of its mean coherence, median of the slopes between pairs of the same month (Sen).
    p_value : float
        Of no change, two-sided.
    seasonal : bool
        Only the same months of different years were compared; else all pairs, and a season may look like a drift.
    n_compared : int
        Comparisons made.
    years : float
        From the first to the last middle date.
    """

    slope_per_year: float
    p_value: float
    seasonal: bool
    n_compared: int
    years: float


def stable_ground(coh: xr.DataArray, ground: StableGround = "both") -> xr.DataArray:
    """Return the cells in which stable points may lie, (y, x) bool, for ``where=`` of `iterate_stable`.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Of `open_stack` with a mine and, for ground around it, ``margin_m``.
    ground : {"inside", "around", "both"}
        Of the polygon. Firm ground around a mine is untouched by it; inside there may be none at all.

    Raises
    ------
    ActivityError
        There is no ground around the mine in the cube.
    """
    if ground not in get_args(StableGround):
        raise OptionError(f"ground={ground!r}: choose one of {', '.join(get_args(StableGround))}")
    mine = mine_cells(coh)
    # a cell of the rim is neither wholly the mine's nor untouched by it
    outside = ~mine & (coh["cover"].values == 0) if "cover" in coh.coords else np.zeros_like(mine)
    if ground == "around" and not (outside.any() and coh.attrs.get("margin_m", 0) > 0):
        raise ActivityError("the cube holds no ground around the mine. Open it with open_stack(..., margin_m=1000).")
    chosen = {"inside": mine, "around": outside, "both": mine | outside}[ground]
    layer = coh.isel(pair=0, drop=True)
    return xr.DataArray(
        chosen,
        dims=("y", "x"),
        coords={key: value for key, value in layer.coords.items() if set(value.dims) <= {"y", "x"} and value.dims},
        name="stable_ground",
        attrs={**{k: v for k, v in coh.attrs.items() if k in ("crs", "transform", "min_cover")}, "ground": ground},
    )


def spread_of(stable: xr.DataArray, where: xr.DataArray | None = None) -> Spread:
    """Describe how stable points are spread.

    Parameters
    ----------
    stable : DataArray (y, x) of bool
    where : DataArray (y, x) of bool, optional
        Ground they were looked for on; default the cells of the mine.

    Warns
    -----
    FewObservationsWarning
        They lie in a quarter or less of the tiles that hold ground.
    """
    points = np.asarray(stable.values, np.bool_)
    if not points.any():
        raise ActivityError("there is no stable point. Loosen mean_min or std_max, or choose a larger polygon.")
    ground = (mine_cells(stable) if where is None else np.asarray(where.values, np.bool_)) | points
    rows, cols = np.nonzero(ground)
    # tiles of the ground's own extent, so that empty margins of the map play no part
    edges = [np.linspace(at.min(), at.max() + 1, TILES + 1).astype(int) for at in (rows, cols)]
    counts = []
    for (top, bottom), (left, right) in itertools.product(itertools.pairwise(edges[0]), itertools.pairwise(edges[1])):
        if ground[top:bottom, left:right].any():
            counts.append(int(points[top:bottom, left:right].sum()))
    holding = sum(count > 0 for count in counts)
    spread = Spread(int(points.sum()), holding, len(counts), max(counts) / int(points.sum()))
    if holding <= FEW_TILES_SHARE * len(counts):
        warnings.warn(
            f"the {spread.n_stable} stable points lie in {holding} of {len(counts)} parts of the ground: snow or a wet "
            "spell elsewhere would not be seen on them. Take ground around the mine too (margin_m) or a larger mine.",
            FewObservationsWarning,
            stacklevel=2,
        )
    return spread


def spread_evenly(stable: xr.DataArray, quality: xr.DataArray, *, side: int, most: int) -> xr.DataArray:
    """Keep at most so many stable points of every square, the best, so that no roof or hall outweighs the rest.

    Parameters
    ----------
    stable : DataArray (y, x) of bool
    quality : DataArray (y, x)
        Mean coherence over time (`pixel_statistics`); the higher the better.
    side : int
        Cells along the side of a square; squares are counted from the map's corner.
    most : int

    Returns
    -------
    DataArray (y, x) of bool
        With the attributes of `stable` and ``n_stable`` counted again.
    """
    if side < 1 or most < 1:
        raise OptionError(f"side={side}, most={most}: both must be 1 or more")
    check_same_cells(stable.expand_dims("pair"), quality, "values of quality")
    rows, cols = np.nonzero(np.asarray(stable.values, np.bool_))
    square = rows // side * math.ceil(stable.sizes["x"] / side) + cols // side
    best = np.lexsort((cols, rows, -quality.values[rows, cols], square))
    square = square[best]
    first = np.searchsorted(square, square, side="left")
    chosen = best[np.arange(square.size) - first < most]
    kept = np.zeros(stable.shape, np.bool_)
    kept[rows[chosen], cols[chosen]] = True
    thinned = stable.copy(data=kept)
    thinned.attrs["n_stable"] = int(kept.sum())
    return thinned


def drift_test(
    coh: xr.DataArray, stable: xr.DataArray, *, significance: float = 0.05, block_bytes: int | None = None
) -> Drift:
    """Test whether the coherence of the stable points has a trend.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        With the coordinates ``reference_date`` and ``secondary_date``; only the pairs kept.
    stable : DataArray (y, x) of bool
    significance : float
        The p-value below which a drift is warned of.

    Returns
    -------
    Drift

    Raises
    ------
    ActivityError
        Fewer than 8 pairs, or none with dates.

    Warns
    -----
    DriftWarning
        The stable ground changes: activity that grows or shrinks from year to year may be the reference's.

    Notes
    -----
    Mann and Kendall's test between the same months of different years (Hirsch, Slack & Smith 1982,
    doi:10.1029/WR018i001p00107), on monthly medians, so that snow and rain which come every year, and images that
    neighbouring pairs share, do not look like a drift. Stacks with fewer than 12 such comparisons are tested pair by
    pair (Kendall's tau). The slope is Sen's 1968, doi:10.1080/01621459.1968.10480934.
    """
    check_cube(coh)
    if not {"reference_date", "secondary_date"} <= set(coh.coords):
        raise ActivityError("the pairs have no dates. Give the cube the coordinates reference_date and secondary_date.")
    mean = stable_means(coh, stable, block_bytes=block_bytes)
    first, second = (coh[name].values.astype("datetime64[h]") for name in ("reference_date", "secondary_date"))
    middle = first + (second - first) // 2
    use = np.isfinite(mean)
    if use.sum() < ENOUGH_PAIRS:
        raise ActivityError(f"a drift needs {ENOUGH_PAIRS} pairs with stable points; there are {int(use.sum())}")
    drift = trend(middle[use].astype("datetime64[D]"), mean[use])
    if drift.p_value < significance:
        warnings.warn(
            f"the stable ground drifts: its mean coherence changes by {drift.slope_per_year:+.3f} a year "
            f"(p = {drift.p_value:.2g}). Look for others elsewhere (where=, margin_m), and mind it between years.",
            DriftWarning,
            stacklevel=2,
        )
    return drift


def trend(dates: npt.NDArray[np.datetime64], values: FloatArray) -> Drift:
    """Test a series for a trend; see `drift_test`."""
    days = dates.astype("datetime64[D]").astype(np.int64)
    years = float(np.ptp(days) / DAYS_PER_YEAR)
    seasonal = _seasonal(dates, values)
    if seasonal is not None:
        slope, p_value, compared = seasonal
        return Drift(slope, p_value, True, compared, years)
    from scipy.stats import kendalltau, theilslopes  # 60 MB that only this needs

    time = days / DAYS_PER_YEAR
    p = float(kendalltau(time, values).pvalue)
    return Drift(
        slope_per_year=float(theilslopes(values, time)[0]),
        p_value=1.0 if math.isnan(p) else p,
        seasonal=False,
        n_compared=values.size * (values.size - 1) // 2,
        years=years,
    )


def _seasonal(dates: npt.NDArray[np.datetime64], values: FloatArray) -> tuple[float, float, int] | None:
    """Return slope per year, p-value and number of comparisons between the same months; None of too few."""
    months = dates.astype("datetime64[M]").astype(np.int64)
    medians = {int(month): float(np.median(values[months == month])) for month in np.unique(months)}
    slopes: list[float] = []
    score, variance = 0.0, 0.0
    for season in range(12):
        series = [(month // 12, value) for month, value in medians.items() if month % 12 == season]
        for (a, early), (b, late) in itertools.combinations(series, 2):
            slopes.append((late - early) / (b - a))
            score += np.sign(late - early)
        n = len(series)
        ties = np.unique([value for _, value in series], return_counts=True)[1]
        variance += (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if len(slopes) < ENOUGH_SEASONAL:
        return None
    # continuity: the score moves in steps of two
    z = (abs(score) - 1) / math.sqrt(variance) if variance > 0 and score else 0.0
    return float(np.median(slopes)), math.erfc(max(z, 0.0) / math.sqrt(2)), len(slopes)
