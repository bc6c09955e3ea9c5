"""Why a scene was rejected: its span, its baseline, how much stable ground it lost, and the weather of its dates."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.corrections import DecayFit
from insar_mining.activity.cube.blocks import walk
from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.activity.cube.kernels import lost_counts, pixel_moments
from insar_mining.activity.published.scenes import SCENE_COLUMNS
from insar_mining.arrays import FloatArray
from insar_mining.doors import check_columns_of
from insar_mining.errors import ActivityError, SkippedInputWarning

# a stable point is lost in a scene where it lies so many of its own standard deviations below its own mean
LOST_SIGMA = 3.0
# what lies outside this range of the kept scenes stands out; of few scenes, what lies outside all of them
STANDS_OUT = (0.05, 0.95)
ENOUGH_KEPT = 20
# a date is the cause if so large a share of its pairs is rejected, and two at least
BAD_DATE_SHARE = 0.75
# loss by the span alone that is worth a word
NOTABLE_LOSS = 0.01
NOTHING = "nothing that was given stands out"


def read_covariates(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read temperature, snow, precipitation and the like by date.

    Parameters
    ----------
    path : path
        CSV with a column ``date`` and any columns of numbers; their names are taken as they are
        (``temperature_c``, ``snow_cm``, ``precipitation_mm``). Empty fields are unknown.

    Returns
    -------
    DataFrame
        Indexed by date (datetime64), in order.

    Raises
    ------
    ActivityError
        It cannot be read, has no dates, a date twice, or a column without a number.
    """
    path = Path(path)
    try:
        check_columns_of(path)
        table = pd.read_csv(path, skipinitialspace=True, compression=None)
    except (OSError, ValueError) as error:
        raise ActivityError(f"{path}: the covariates cannot be read ({error}). Give a CSV.") from error
    table.columns = [str(name).strip() for name in table.columns]
    named = {name.lower(): name for name in table.columns}
    if "date" not in named or len(table.columns) < 2:
        raise ActivityError(f"{path}: needs a column date and one of numbers; it has {', '.join(table.columns)}")
    dates = pd.to_datetime(table.pop(named["date"]).astype(str).str.strip(), errors="coerce", format="ISO8601")
    if dates.isna().any():
        row = int(np.flatnonzero(dates.isna())[0])
        raise ActivityError(f"{path}: row {row + 2} has no date that can be read. Write 2021-01-05.")
    days = dates.dt.normalize()
    if days.duplicated().any():
        raise ActivityError(f"{path}: {days[days.duplicated()].iloc[0]:%Y-%m-%d} is there twice. Keep one row per day.")
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = numbers.isna() & table[name].notna()
        if wrong.any() or numbers.isna().all():
            found = f"{table[name][wrong].iloc[0]!r}" if wrong.any() else "nothing"
            raise ActivityError(f"{path}: column {name!r} holds {found}, not numbers. Leave unknown fields empty.")
        table[name] = numbers.astype(float)
    table.index = pd.DatetimeIndex(days, name="date")
    return table.sort_index()


def explain_scenes(
    coh: xr.DataArray,
    stable: xr.DataArray,
    scenes: pd.DataFrame,
    *,
    decay: DecayFit | None = None,
    covariates: pd.DataFrame | None = None,
    block_bytes: int | None = None,
) -> pd.DataFrame:
    """Put beside every scene what may have made it as it is, and say what stands out in those rejected.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        All pairs, those rejected too.
    stable : DataArray (y, x) of bool
    scenes : DataFrame
        Of `scene_table` for the same pairs.
    decay : DecayFit, optional
        Of stable ground (`decay_by_class`): says what the span alone would take.
    covariates : DataFrame, optional
        Of `read_covariates`.

    Returns
    -------
    DataFrame
        The columns of `scenes`, then days and perpendicular_baseline_m (NaN: not known), expected_mean (of the stable
        points at that span; NaN without `decay`), n_lost and lost_share (stable points with data that lie more than
        three of their own standard deviations, over the kept scenes, below their own mean), for every
        covariate its value on both dates (``<name>_reference``, ``<name>_secondary``), and explanation (empty for
        kept scenes): what lies beyond 95 % of the kept scenes (all of
        them where there are fewer than 20), and dates nearly all of whose pairs are rejected.

    Raises
    ------
    ActivityError
        The table is of other pairs.

    Warns
    -----
    SkippedInputWarning
        Dates of the stack are not among the covariates.
    """
    check_cube(coh)
    check_same_cells(coh, stable, "stable points")
    names = [str(name) for name in coh["pair"].values] if "pair" in coh.coords else []
    if list(scenes["pair"].astype(str)) != names:
        raise ActivityError("the table of scenes is of other pairs than the cube. Give that of scene_table.")
    kept = scenes["kept"].to_numpy(dtype=np.bool_)
    count, lost = _lost(coh, stable, kept, block_bytes)
    table = scenes[list(SCENE_COLUMNS)].reset_index(drop=True)
    for name in ("days", "perpendicular_baseline_m"):
        table[name] = coh[name].values.astype(float) if name in coh.coords else np.nan
    table["expected_mean"] = np.nan if decay is None else decay.expected(table["days"])
    table["n_lost"] = lost
    table["lost_share"] = np.divide(lost, count, out=np.full(len(lost), np.nan), where=count > 0)
    weather: list[str] = []
    if covariates is not None:
        weather = [str(name) for name in covariates.columns]
        table = pd.concat([table, _of_dates(coh, covariates)], axis=1)
    table["explanation"] = [
        "" if kept[number] else _explanation(table, number, kept, weather, coh) for number in range(len(table))
    ]
    return table


def rejection_factors(explained: pd.DataFrame) -> pd.DataFrame:
    """Compare rejected with kept scenes in everything that was given.

    Parameters
    ----------
    explained : DataFrame
        Of `explain_scenes`.

    Returns
    -------
    DataFrame
        One row per quantity with values in both groups: quantity, median_kept, median_rejected, separation (share of
        all pairs of a kept and a rejected scene in which the rejected one is the larger: 0.5 tells nothing, 0 and 1
        tell all) and p_value (Mann and Whitney), the most telling first. Of a covariate both the larger
        and the smaller value of the two dates are compared.
    """
    from scipy.stats import mannwhitneyu  # 60 MB that only this needs

    kept = explained["kept"].to_numpy(dtype=np.bool_)
    quantities: dict[str, FloatArray] = {
        "days": explained["days"].to_numpy(dtype=float),
        "baseline_m": np.abs(explained["perpendicular_baseline_m"].to_numpy(dtype=float)),
    }
    for name in _covariates_of(explained):
        both = explained[[f"{name}_reference", f"{name}_secondary"]].to_numpy(dtype=float)
        quantities[f"{name}, larger"] = np.fmax(both[:, 0], both[:, 1])
        quantities[f"{name}, smaller"] = np.fmin(both[:, 0], both[:, 1])
    rows = []
    for name, values in quantities.items():
        good, bad = (values[chosen & np.isfinite(values)] for chosen in (kept, ~kept))
        if good.size and bad.size:
            test = mannwhitneyu(bad, good)
            separation = float(test.statistic) / (good.size * bad.size)
            rows.append((name, float(np.median(good)), float(np.median(bad)), separation, float(test.pvalue)))
    columns = ["quantity", "median_kept", "median_rejected", "separation", "p_value"]
    return pd.DataFrame(rows, columns=columns).sort_values("p_value", kind="stable", ignore_index=True)


def _lost(
    coh: xr.DataArray, stable: xr.DataArray, kept: npt.NDArray[np.bool_], block_bytes: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the stable points with data, and those lost, of every pair."""
    pairs = coh.sizes["pair"]
    points = np.asarray(stable.values, np.bool_)
    count, lost = np.zeros(pairs, np.int64), np.zeros(pairs, np.int64)
    for block, values in walk(coh, block_bytes):
        mask = points[block.rows, block.cols].ravel()
        if mask.any():
            chosen = np.ascontiguousarray(values.reshape(pairs, -1)[:, mask])
            _, mean, sd = pixel_moments(chosen, kept)
            n, far = lost_counts(chosen, np.ones(chosen.shape[1], np.bool_), mean, sd, LOST_SIGMA)
            count += n
            lost += far
    return count, lost


def _of_dates(coh: xr.DataArray, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return the values of the covariates on both dates of every pair."""
    parts, absent = {}, set()
    for role in ("reference", "secondary"):
        days = pd.DatetimeIndex(coh[f"{role}_date"].values).normalize()
        absent |= set(days[~days.isin(covariates.index)])
        there = covariates.reindex(days)
        for name in covariates.columns:
            parts[f"{name}_{role}"] = there[name].to_numpy(dtype=float)
    if absent:
        warnings.warn(
            f"{len(absent)} date(s) of the stack are not among the covariates, {min(absent):%Y-%m-%d} for one; "
            "nothing is said of their weather",
            SkippedInputWarning,
            stacklevel=3,
        )
    return pd.DataFrame(parts)


def _covariates_of(explained: pd.DataFrame) -> list[str]:
    ends = [str(name).removesuffix("_reference") for name in explained.columns if str(name).endswith("_reference")]
    return [name for name in ends if f"{name}_secondary" in explained.columns]


def _explanation(
    table: pd.DataFrame, number: int, kept: npt.NDArray[np.bool_], weather: list[str], coh: xr.DataArray
) -> str:
    """Describe in words what is unusual in one scene."""
    row = table.iloc[number]
    said = []
    if np.isfinite(row["lost_share"]):
        said.append(f"{100 * row['lost_share']:.0f} % of the stable set lost")
    causes = []
    usual = table["expected_mean"].to_numpy(dtype=float)[kept]
    if np.isfinite(row["expected_mean"]) and np.median(usual) - row["expected_mean"] > NOTABLE_LOSS:
        less = np.median(usual) - row["expected_mean"]
        causes.append(f"its {row['days']:.0f} days alone are expected to take {less:.2f}")
    baseline = np.abs(table["perpendicular_baseline_m"].to_numpy(dtype=float))
    high = _limit(baseline[kept], STANDS_OUT[1])
    if baseline[number] > high:
        causes.append(f"baseline {baseline[number]:.0f} m ({_of_kept(kept)} up to {high:.0f})")
    causes += _bad_dates(number, kept, coh)
    for name in weather:
        causes += _weather(table, number, kept, name, coh)
    return "; ".join([*said, *(causes or [NOTHING])])


def _bad_dates(number: int, kept: npt.NDArray[np.bool_], coh: xr.DataArray) -> list[str]:
    """Name the dates of a scene nearly all of whose pairs are rejected: the image is the cause, not the pair."""
    if not {"reference_date", "secondary_date"} <= set(coh.coords):
        return []
    first, second = (coh[f"{role}_date"].values.astype("datetime64[D]") for role in ("reference", "secondary"))
    said = []
    for day in (first[number], second[number]):
        of_day = (first == day) | (second == day)
        pairs, bad = int(of_day.sum()), int((of_day & ~kept).sum())
        if bad >= 2 and bad >= BAD_DATE_SHARE * pairs:
            said.append(f"{'all' if bad == pairs else f'{bad} of'} {pairs} pairs with {day} are rejected")
    return said


def _weather(table: pd.DataFrame, number: int, kept: npt.NDArray[np.bool_], name: str, coh: xr.DataArray) -> list[str]:
    both = table[[f"{name}_reference", f"{name}_secondary"]].to_numpy(dtype=float)
    larger, smaller = np.fmax(both[:, 0], both[:, 1]), np.fmin(both[:, 0], both[:, 1])
    high, low = _limit(larger[kept], STANDS_OUT[1]), _limit(smaller[kept], STANDS_OUT[0])
    dates = [coh[f"{role}_date"].values[number].astype("datetime64[D]") for role in ("reference", "secondary")]
    if larger[number] > high:
        day = dates[int(both[number, 1] == larger[number])]
        return [f"{name} {larger[number]:.3g} on {day} ({_of_kept(kept)} up to {high:.3g})"]
    if smaller[number] < low:
        day = dates[int(both[number, 1] == smaller[number])]
        return [f"{name} {smaller[number]:.3g} on {day} ({_of_kept(kept)} from {low:.3g})"]
    return []


def _limit(values: FloatArray, share: float) -> float:
    """Return a quantile of the finite values, the extreme of few; NaN, which nothing exceeds, of none."""
    finite = values[np.isfinite(values)]
    share = share if finite.size >= ENOUGH_KEPT else round(share)
    return float(np.quantile(finite, share)) if finite.size else float("nan")


def _of_kept(kept: npt.NDArray[np.bool_]) -> str:
    return "95 % of the kept" if kept.sum() >= ENOUGH_KEPT else "all kept"
