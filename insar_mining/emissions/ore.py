"""Ore of every asset and year from the first source there is; the others are kept beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from insar_mining.arrays import FloatArray
from insar_mining.emissions.confidence import ACTIVITY_CONFIDENCE, product_error
from insar_mining.emissions.derived import derived_factors
from insar_mining.emissions.factors import GAS_ORE, LEVELS, factors_of, in_unit, look_up
from insar_mining.emissions.mixed import OreModel, area_variance, fit_ore_model
from insar_mining.errors import EmissionsError

OBJECT = object

PRODUCTS = ("concentrate", "metal")
MIN_CHANGES = 5  # yearly changes of reported ore that their spread is estimated from


@dataclass(frozen=True)
class Ore:
    """Hold the ore of a grid of assets and years.

    Attributes
    ----------
    chosen : DataFrame
        activity_t, activity_source, activity_confidence, activity_id (of the conversion, rate or model), activity_sd
        (relative, of the row alone), activity_shared_sd (relative, common to the rows of one id).
    alternatives : DataFrame
        Ore by every other way, tonnes.
    model : OreModel, optional
    reason : str
        Why there is no model, if there is none.
    """

    chosen: pd.DataFrame
    alternatives: pd.DataFrame
    model: OreModel | None
    reason: str


def ore_of(grid: pd.DataFrame, conversions: pd.DataFrame, edition: str, method: str = "auto") -> Ore:
    """Estimate the ore of every row of a grid.

    Parameters
    ----------
    grid : DataFrame
        One row per asset and year, sorted by both: asset_id, organisation, iso3, region, mineral, operation_type, year,
        day; ore, concentrate, metal (reported t, NaN if not) with ``<name>_sd``; area_m2, area_low_m2, area_high_m2.
    conversions : DataFrame
        The user's factors (gas ORE) from products to ore.
    edition : str
        Recorded with factors derived from the grid.
    method : {"auto", "rate", "model"}
        Of measured areas: the mixed-effects model where it can be fitted, else rates; rates; or the model.

    Returns
    -------
    Ore
    """
    model, reason = _model(grid, method)
    product, product_error_, product_id = _from_products(grid, conversions, edition)
    rate, rate_own, rate_shared, rate_id = _from_rates(grid, edition)
    area, own, shared, ids = rate.copy(), rate_own, rate_shared, rate_id.copy()
    alternatives = {"ore_reported_t": grid["ore"], "ore_from_product_t": product, "ore_from_rate_t": rate}
    alternatives["rate_id"] = rate_id
    if model is not None:
        predicted = model.predict(grid)
        ore = predicted["ore_t"].to_numpy(np.float64)
        by_model = np.isfinite(ore)
        variance, common = predicted["sd_log"].to_numpy() ** 2, predicted["sd_shared"].to_numpy() ** 2
        area = np.where(by_model, ore, rate)
        own = np.where(by_model, np.sqrt(np.expm1(variance - common)), rate_own)
        shared = np.where(by_model, np.sqrt(np.expm1(common)), rate_shared)
        ids = np.where(by_model, np.where(predicted["known"], "model:known mine", "model:unseen mine"), rate_id)
        alternatives |= {"ore_from_model_t": ore}
    earlier_ore, gap_ore = _earlier(grid["ore"].where(grid["ore"] > 0), grid)
    earlier_product, gap_product = _earlier(pd.Series(product, grid.index), grid)
    drift = _yearly_change(grid)
    zero = np.zeros(len(grid))
    reported_error = np.nan_to_num(
        grid["ore_sd"].to_numpy(np.float64) / grid["ore"].where(grid["ore"] > 0).to_numpy(np.float64)
    )
    none = np.full(len(grid), "", dtype=OBJECT)
    ways = [
        ("reported ore", grid["ore"].where(grid["ore"] > 0).to_numpy(np.float64), reported_error, zero, none),
        ("reported zero", grid["ore"].where(grid["ore"] == 0).to_numpy(np.float64), zero, zero, none),
        ("reported product", product, product_error_[0], product_error_[1], product_id),
        ("active area", area, own, shared, ids),
        ("earlier ore", earlier_ore, drift * np.sqrt(gap_ore), zero, none),
        (
            "earlier product",
            earlier_product,
            product_error(np.nan_to_num(product_error_[0]), drift * np.sqrt(gap_product)),
            zero,
            none,
        ),
    ]
    alternatives |= {"earlier_ore_t": earlier_ore, "earlier_product_t": earlier_product}
    return Ore(_first(ways, grid.index), pd.DataFrame(alternatives, index=grid.index), model, reason)


def _model(grid: pd.DataFrame, method: str) -> tuple[OreModel | None, str]:
    if method == "rate":
        return None, "rates per area were asked for"
    if not (grid["area_m2"] > 0).any():
        return None, "no measured area"
    try:
        return fit_ore_model(grid.rename(columns={"ore": "ore_t"})), ""
    except EmissionsError as error:
        if method == "model":
            raise
        return None, str(error)


def _from_products(
    grid: pd.DataFrame, conversions: pd.DataFrame, edition: str
) -> tuple[FloatArray, tuple[FloatArray, FloatArray], npt.NDArray[np.object_]]:
    """Return ore from the concentrate or metal of the year, its relative errors (own, shared), and the conversion."""
    ore = np.full(len(grid), np.nan)
    own, shared = np.full(len(grid), np.nan), np.full(len(grid), np.nan)
    ids = np.full(len(grid), "", dtype=OBJECT)
    for name in PRODUCTS:
        amount = grid[name].to_numpy(np.float64)
        rows = np.isfinite(amount) & ~np.isfinite(ore)
        if not rows.any():
            continue
        pairs = grid.assign(top=grid["ore"], bottom=grid[name])
        of_reports = derived_factors(pairs, name, GAS_ORE, "t/t", LEVELS, yearly=False, edition=edition)
        factors = factors_of([conversions, of_reports])
        found = _looked_up(grid[rows], factors, [grid["mineral"][rows] + f" {name}"], GAS_ORE)
        values, sd = in_unit(factors, "t/t") if len(factors) else (np.empty(0), np.empty(0))
        known = found >= 0
        index = np.flatnonzero(rows)[known]
        ore[index] = amount[index] * values[found[known]]
        amount_sd = np.nan_to_num(grid[f"{name}_sd"].to_numpy(np.float64)[index])
        own[index] = np.divide(amount_sd, amount[index], out=np.zeros(index.size), where=amount[index] > 0)
        shared[index] = sd[found[known]] / values[found[known]]
        ids[index] = factors["factor_id"].to_numpy()[found[known]]
    return ore, (own, shared), ids


def _looked_up(
    rows: pd.DataFrame, factors: pd.DataFrame, activities: list[pd.Series[str]], gas: str
) -> npt.NDArray[np.int64]:
    keys = keys_of(rows)
    return look_up(keys, factors, activities, gas)["chosen"].to_numpy(np.int64)


def keys_of(grid: pd.DataFrame) -> pd.DataFrame:
    """Return what factors are looked up by."""
    return grid.rename(columns={"asset_id": "asset", "iso3": "country"})[
        ["asset", "organisation", "country", "region", "day"]
    ]


def _from_rates(grid: pd.DataFrame, edition: str) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.object_]]:
    """Return ore from tonnes per area: the mine's own, else the mean of its mineral and region, its mineral, or all."""
    area = grid["area_m2"].to_numpy(np.float64)
    rows = np.isfinite(area)
    rate, sd, n = (np.full(len(grid), np.nan) for _ in range(3))
    ids, levels = np.full(len(grid), "", dtype=OBJECT), np.full(len(grid), "", dtype=OBJECT)
    pairs = grid.assign(top=grid["ore"].where(grid["ore"] > 0), bottom=grid["area_m2"])
    by_mineral = derived_factors(
        pairs, "active area", GAS_ORE, "t/m2", ("asset", "region", "world"), yearly=False, edition=edition
    )
    generic = derived_factors(
        pairs.assign(mineral="any"), "active area", GAS_ORE, "t/m2", ("world",), yearly=False, edition=edition
    )
    factors = factors_of([by_mineral, generic])
    if len(factors) and rows.any():
        mineral = grid["mineral"][rows] + " active area"
        found = _looked_up(grid[rows], factors, [mineral, pd.Series("any active area", mineral.index)], GAS_ORE)
        known = found >= 0
        index, number = np.flatnonzero(rows)[known], found[known]
        rate[index] = factors["value"].to_numpy(np.float64)[number]
        sd[index] = factors["sd"].to_numpy(np.float64)[number]
        n[index] = factors["n"].to_numpy(np.float64)[number]
        ids[index] = factors["factor_id"].to_numpy()[number]
        levels[index] = factors["level"].to_numpy()[number]
    spread = sd / rate
    measured = np.sqrt(np.expm1(np.nan_to_num(area_variance(grid))))
    # the mean itself is uncertain too: of an own rate that is the mine's alone, of a pool all its mines share it
    is_own = levels == "asset"
    own = product_error(np.asarray(np.where(is_own, spread * np.sqrt(1 + 1 / n), spread), np.float64), measured)
    return area * rate, own, np.where(is_own, 0.0, spread / np.sqrt(n)), ids


def _earlier(values: pd.Series[float], grid: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return the newest value of an earlier year, and how many years ago that was."""
    groups = grid["asset_id"]
    filled = values.groupby(groups).ffill().groupby(groups).shift()
    since = grid["year"].where(values.notna()).groupby(groups).ffill().groupby(groups).shift()
    return np.asarray(filled, np.float64), np.asarray(grid["year"] - since, np.float64)


def _yearly_change(grid: pd.DataFrame) -> float:
    """Return the standard deviation of the yearly change of log ore over all reports, NaN of fewer than five."""
    with np.errstate(divide="ignore"):
        change = np.log(grid["ore"].where(grid["ore"] > 0)).groupby(grid["asset_id"]).diff().dropna()
    return float(np.sqrt(np.expm1(change.std() ** 2))) if len(change) >= MIN_CHANGES else float("nan")


def _first(
    ways: list[tuple[str, FloatArray, FloatArray, FloatArray, npt.NDArray[np.object_]]], index: pd.Index
) -> pd.DataFrame:
    """Take the first way that gives an amount."""
    size = len(index)
    table = {name: np.full(size, np.nan) for name in ("activity_t", "activity_sd", "activity_shared_sd")}
    source, ids = np.full(size, "", dtype=OBJECT), np.full(size, "", dtype=OBJECT)
    for name, amount, own, shared, way_ids in ways:
        rows = np.isfinite(amount) & (source == "")
        table["activity_t"][rows] = amount[rows]
        table["activity_sd"][rows] = own[rows]
        table["activity_shared_sd"][rows] = shared[rows]
        source[rows], ids[rows] = name, way_ids[rows]
    confidence = pd.Series(source, index).map({"": "", **ACTIVITY_CONFIDENCE})
    return pd.DataFrame(table, index=index).assign(
        activity_source=source, activity_confidence=confidence.to_numpy(), activity_id=ids
    )
