"""How often and when the ground was disturbed: duty cycle, dates, months and seasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import stats

from insar_mining.activity.changes import WORKED_SHARE, worked_spans
from insar_mining.activity.significant.significance import Significance, duty_cycle, walk_disturbed
from insar_mining.arrays import BoolArray, IntArray
from insar_mining.errors import ActivityError
from insar_mining.geo.cells import on_cells_of

# cells that are seen together: disturbances, false ones too, are found in the means of so many
SUPPORT_CELLS = 9

# areas are summed in whole square millimetres, which have no order of summation
_UNITS_PER_M2 = 1e6


@dataclass(frozen=True, eq=False)
class Timeline:
    """Hold how often and when the ground was disturbed.

    Attributes
    ----------
    duty : DataArray (year, y, x), float32
        Share of its pairs in which each pixel was disturbed; NaN without data.
    first_active, last_active : DataArray (y, x), datetime64
        Earlier date of the first pair, later date of the last pair in which the pixel was disturbed; NaT where never.
    start, stop : DataArray (y, x), datetime64
        The same of the stretch in which it was most likely worked (`worked_spans`): a single disturbance
        far from the others is left out.
    pairs : DataFrame
        One row per kept pair: pair, reference_date, secondary_date, area_m2 disturbed in it, share of the
        ground with data.
    monthly : DataFrame
        year, month, area_m2 disturbed in any pair whose middle lies in the month, share, n_pairs.
    """

    duty: xr.DataArray
    first_active: xr.DataArray
    last_active: xr.DataArray
    start: xr.DataArray
    stop: xr.DataArray
    pairs: pd.DataFrame
    monthly: pd.DataFrame


def activity_timeline(coh: xr.DataArray, found: Significance, *, block_bytes: int | None = None) -> Timeline:
    """Describe how often and when each pixel, and the mine, was disturbed.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        The cube that was decided on, with the coordinates reference_date and secondary_date.
    found : Significance
        Of `significant_activity`.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    Timeline
    """
    first_date, last_date = _dates(coh)
    order = np.concatenate([reference.pairs for reference in found.references.values()])
    middle = first_date[order] + (last_date[order] - first_date[order]) // 2
    month = middle.astype("datetime64[M]")
    months, of_month = np.unique(month, return_inverse=True)
    units = _weights(found.active)
    shape = units.shape
    spans = {name: np.full(shape, -1, np.int64) for name in ("first", "last", "start", "stop")}
    pair_units, pair_whole = np.zeros(order.size, np.int64), np.zeros(order.size, np.int64)
    month_units, month_whole = np.zeros(months.size, np.int64), np.zeros(months.size, np.int64)
    for part in walk_disturbed(coh, found.references, block_bytes=block_bytes):
        where = part.block.rows, part.block.cols
        here = units[where]
        any_ = part.disturbed.any(axis=0)
        spans["first"][where] = np.where(any_, part.disturbed.argmax(axis=0), -1)
        spans["last"][where] = np.where(any_, order.size - 1 - part.disturbed[::-1].argmax(axis=0), -1)
        spans["start"][where], spans["stop"][where] = worked_spans(part.disturbed, part.finite)
        for number in range(order.size):
            pair_units[number] += here[part.disturbed[number]].sum()
            pair_whole[number] += here[part.finite[number]].sum()
        for number in range(months.size):
            month_units[number] += here[part.disturbed[of_month == number].any(axis=0)].sum()
            month_whole[number] += here[part.finite[of_month == number].any(axis=0)].sum()

    def dates(name: str, of: npt.NDArray[np.datetime64], said: str) -> xr.DataArray:
        chosen = np.where(spans[name] >= 0, of[order][spans[name]].astype("datetime64[ns]"), np.datetime64("NaT"))
        return on_cells_of(coh, ("y", "x"), chosen, f"{name}_active", {"long_name": said})

    monthly = pd.DataFrame(
        {
            "year": months.astype("datetime64[Y]").astype(int) + 1970,
            "month": months.astype(int) % 12 + 1,
            "area_m2": month_units / _UNITS_PER_M2,
            "share": month_units / np.maximum(month_whole, 1),
            "n_pairs": np.bincount(of_month, minlength=months.size),
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": [str(name) for name in coh["pair"].values[order]],
            "reference_date": first_date[order].astype("datetime64[ns]"),
            "secondary_date": last_date[order].astype("datetime64[ns]"),
            "area_m2": pair_units / _UNITS_PER_M2,
            "share": pair_units / np.maximum(pair_whole, 1),
        }
    )
    return Timeline(
        duty_cycle(found),
        dates("first", first_date, "earlier date of the first pair in which the ground was disturbed"),
        dates("last", last_date, "later date of the last pair in which the ground was disturbed"),
        dates("start", first_date, "start of the stretch in which the ground was worked"),
        dates("stop", last_date, "end of the stretch in which the ground was worked"),
        pairs,
        monthly,
    )


def zone_shares(
    coh: xr.DataArray, found: Significance, zones: Mapping[str, BoolArray], *, block_bytes: int | None = None
) -> pd.DataFrame:
    """Return the share of each zone that was disturbed in each kept pair.

    Parameters
    ----------
    coh, found
        As of `activity_timeline`.
    zones : mapping of str to ndarray of bool (y, x)
        Which cells belong to each zone.
    block_bytes : int, optional

    Returns
    -------
    DataFrame
        One row per kept pair: pair, reference_date, secondary_date, and one column per zone (NaN without data).
        Its attribute ``worked_from`` is that of `worked_from`.

    Raises
    ------
    ActivityError
        A zone lies on other cells.
    """
    for name, mask in zones.items():
        if mask.shape != coh.shape[1:]:
            raise ActivityError(f"zone {name!r} has the shape {mask.shape}, the cube {coh.shape[1:]}. Use its cells.")
    first_date, last_date = _dates(coh)
    order = np.concatenate([reference.pairs for reference in found.references.values()])
    units = _weights(found.active)
    total = {name: np.zeros(order.size, np.int64) for name in zones}
    whole = {name: np.zeros(order.size, np.int64) for name in zones}
    for part in walk_disturbed(coh, found.references, block_bytes=block_bytes):
        for name, mask in zones.items():
            here = np.where(mask[part.block.rows, part.block.cols], units[part.block.rows, part.block.cols], 0)
            total[name] += np.where(part.disturbed, here, 0).sum(axis=(1, 2))
            whole[name] += np.where(part.finite, here, 0).sum(axis=(1, 2))
    columns = {
        "pair": [str(name) for name in coh["pair"].values[order]],
        "reference_date": first_date[order].astype("datetime64[ns]"),
        "secondary_date": last_date[order].astype("datetime64[ns]"),
    }
    shares = {name: np.where(whole[name] > 0, total[name] / np.maximum(whole[name], 1), np.nan) for name in zones}
    table = pd.DataFrame({**columns, **shares})
    table.attrs["worked_from"] = worked_from(found, zones)
    return table


def worked_from(found: Significance, zones: Mapping[str, BoolArray]) -> dict[str, float]:
    """Return the share of each zone, disturbed in a pair, that chance does not give.

    Parameters
    ----------
    found : Significance
    zones : mapping of str to ndarray of bool (y, x)

    Returns
    -------
    dict
        One share per zone, at most 0.05.

    Notes
    -----
    At a false-discovery rate q, at most q of a year's n active cells are expected to be false, each in one of its
    m pairs.  Cells are decided by means of 3 x 3, so false ones come in patches of nine: of these a pair
    holds a Poisson number of mean q n / (9 m), all taken to lie within the zone.  The limit is one patch more than the
    1 - q quantile of that number, in the year that has the largest: nine cells, the least that is seen at
    all, where there is little activity.
    """
    patches = 0.0
    for year, reference in found.references.items():
        rate = reference.false_discovery_rate
        active = int(np.count_nonzero(found.active.sel(year=year).values == 1))
        mean = rate * active / (SUPPORT_CELLS * max(reference.pairs.size, 1))
        patches = max(patches, 1 + float(stats.poisson.ppf(1 - rate, mean)))
    limits = {}
    for name, mask in zones.items():
        cells = np.count_nonzero(mask)
        limits[name] = min(WORKED_SHARE, float(SUPPORT_CELLS * patches / cells)) if cells else WORKED_SHARE
    return limits


def seasonality(monthly: pd.DataFrame) -> dict[str, float]:
    """Measure how activity follows the seasons.

    Parameters
    ----------
    monthly : DataFrame
        Of `activity_timeline`: month, area_m2.

    Returns
    -------
    dict
        ``amplitude``: of the yearly wave, as a share of the mean area; ``peak_month`` (1 to 12.99) at which it is
        highest; ``p_value`` of an F test against no wave. NaN with fewer than six months.

    Notes
    -----
    Least squares of a constant and one wave a year; months count alike.
    """
    area = monthly["area_m2"].to_numpy(float)
    if area.size < 6 or area.mean() <= 0:
        return {"amplitude": float("nan"), "peak_month": float("nan"), "p_value": float("nan")}
    angle = 2 * np.pi * (monthly["month"].to_numpy(float) - 1) / 12
    design = np.column_stack([np.ones(area.size), np.cos(angle), np.sin(angle)])
    fit = np.linalg.lstsq(design, area, rcond=None)[0]
    rest, plain = ((area - design @ fit) ** 2).sum(), ((area - area.mean()) ** 2).sum()
    free = area.size - 3
    ratio = (plain - rest) / 2 / max(rest / free, 1e-300)
    return {
        "amplitude": float(np.hypot(fit[1], fit[2]) / area.mean()),
        "peak_month": float(np.arctan2(fit[2], fit[1]) % (2 * np.pi) * 12 / (2 * np.pi) + 1),
        "p_value": float(stats.f.sf(ratio, 2, free)),
    }


def _dates(coh: xr.DataArray) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.datetime64]]:
    if not {"reference_date", "secondary_date"} <= set(coh.coords):
        raise ActivityError("the pairs have no dates. Give the cube the coordinates reference_date and secondary_date.")
    return tuple(coh[name].values.astype("datetime64[D]") for name in ("reference_date", "secondary_date"))  # type: ignore[return-value]


def _weights(cells: xr.DataArray) -> IntArray:
    """Return the ground area of every cell within the mine, whole square millimetres, (y, x)."""
    shape = cells.sizes["y"], cells.sizes["x"]
    rows = np.broadcast_to(np.asarray(cells["cell_area_m2"].values, np.float64), shape[0])[:, None]
    cover = cells["cover"].values.astype(np.float64) if "cover" in cells.coords else 1.0
    return np.asarray(np.broadcast_to(np.rint(rows * cover * _UNITS_PER_M2), shape), np.int64)
