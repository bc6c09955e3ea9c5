"""Ore from measured area: a mixed-effects regression of log ore on log area, with a random effect of each mine.

log ore = b0 + b1 log area + mineral + method (+ log duty + log grade) + u(mine) + e,
u ~ N(0, tau2), e ~ N(0, sigma2).

statsmodels fits the variances (its `predict` leaves the mine's effect out and gives no interval); prediction is the
best linear unbiased one (Henderson 1975, doi:10.2307/2529430), formed here from these variances.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from insar_mining.arrays import FloatArray
from insar_mining.errors import EmissionsError

LEVEL = 0.90
AREA_LEVEL = 0.95  # of the intervals of measured areas
MIN_MINES = 12
MIN_YEARS = 24
# the likelihood takes time in proportion to the mines; more of them make the variances no better than the data need
VARIANCE_MINES = 300


@dataclass(frozen=True)
class OreModel:
    """Hold a fitted model of ore on area.

    Attributes
    ----------
    names : tuple of str
        Terms of the design.
    beta : (p,) array
        Fixed effects, of log t.
    cov : (p, p) array
        Their covariance.
    tau2, sigma2 : float
        Variances of the mines' effects and of the residual, log2 units.
    area_var : float
        Mean error variance of log area in the fitted data, part of `sigma2`.
    mines : DataFrame
        By mine: n, residual mean, and the means of the design's columns.
    rows_space : (p, r) array
        Orthonormal basis of the designs that the data can tell apart.
    levels : dict
        Known values of the categories.
    """

    names: tuple[str, ...]
    beta: FloatArray
    cov: FloatArray
    tau2: float
    sigma2: float
    area_var: float
    mines: pd.DataFrame
    row_space: FloatArray
    levels: dict[str, tuple[str, ...]]
    centre: float
    n: int

    def predict(self, data: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
        """Predict ore, with the effect of a mine that is known.

        Parameters
        ----------
        data : DataFrame
            Columns asset_id, area_m2, mineral, operation_type; duty and grade if they were fitted; area_low_m2 and
            area_high_m2 if known.
        level : float
            Of the interval.

        Returns
        -------
        DataFrame
            Same index: ore_t (expected value), ore_low_t, ore_high_t, sd_log (of the prediction), sd_shared (part of
            it that all predictions share: the fixed effects), known (the mine has reported years). NaN where a
            category was never seen or the area is not above 0.

        Notes
        -----
        With k = n tau2 / (n tau2 + sigma2), the prediction is x'b + k r, its variance
        sigma2 + tau2 (1 - k) + (x - k m)' C (x - k m), where r and m are the mine's means of residuals and design.
        The residual variance holds the areas' mean error; a better or worse measured area changes it by
        b1^2 (s^2 - mean s^2).
        """
        design, usable = _design(data, self.names, self.levels, self.centre)
        off = design - design @ self.row_space @ self.row_space.T
        usable &= np.abs(off).max(axis=1) < 1e-8
        mines = self.mines.reindex(data["asset_id"])
        n = mines["n"].fillna(0).to_numpy(np.float64)
        k = n * self.tau2 / (n * self.tau2 + self.sigma2)
        means = mines[list(self.names)].fillna(0).to_numpy(np.float64)
        contrast = design - k[:, None] * means
        shared = np.einsum("ij,jk,ik->i", contrast, self.cov, contrast)
        slope2 = self.beta[self.names.index("log area")] ** 2
        area = area_variance(data)
        own = self.sigma2 + slope2 * (np.where(np.isfinite(area), area, self.area_var) - self.area_var)
        own = np.maximum(own, np.maximum(slope2 * np.nan_to_num(area), 0.1 * self.sigma2))
        variance = own + self.tau2 * (1 - k) + shared
        middle = design @ self.beta + k * mines["residual"].fillna(0).to_numpy(np.float64)
        half = ndtri((1 + level) / 2) * np.sqrt(variance)
        with np.errstate(over="ignore"):
            table = pd.DataFrame(
                {
                    "ore_t": np.exp(middle + variance / 2),
                    "ore_low_t": np.exp(middle - half),
                    "ore_high_t": np.exp(middle + half),
                    "sd_log": np.sqrt(variance),
                    "sd_shared": np.sqrt(shared),
                },
                index=data.index,
            )
        table[~usable] = np.nan
        return table.assign(known=n > 0)


def area_variance(data: pd.DataFrame) -> FloatArray:
    """Return the variance of log area from its 95 % interval, NaN where there is none."""
    if "area_low_m2" not in data or "area_high_m2" not in data:
        return np.full(len(data), np.nan)
    width = data["area_high_m2"].to_numpy(np.float64) - data["area_low_m2"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = width / (2 * ndtri((1 + AREA_LEVEL) / 2)) / data["area_m2"].to_numpy(np.float64)
    return np.where(np.isfinite(relative), np.log1p(relative**2), np.nan)


def fit_ore_model(data: pd.DataFrame) -> OreModel:
    """Fit the model to years with reported ore and a measured area.

    Parameters
    ----------
    data : DataFrame
        Columns asset_id, ore_t, area_m2, mineral, operation_type; optionally duty, grade (used if known in every row),
        area_low_m2, area_high_m2. Rows without ore or area above 0 are left out.

    Returns
    -------
    OreModel

    Raises
    ------
    EmissionsError
        Fewer than 12 mines or 24 years, or the fit does not converge.
    """
    data = data[(data["ore_t"] > 0) & (data["area_m2"] > 0)]
    mines = data["asset_id"].nunique()
    if mines < MIN_MINES or len(data) < MIN_YEARS:
        raise EmissionsError(
            f"ore model: {mines} mines and {len(data)} years with ore and area (limit {MIN_MINES} and {MIN_YEARS}). "
            "Report more, or use rates per area"
        )
    levels = {name: tuple(sorted(data[name].astype(str).unique())) for name in ("mineral", "operation_type")}
    names = _terms(data, levels)
    centre = float(np.log(data["area_m2"]).mean())
    design, _ = _design(data, names, levels, centre)
    space = _row_space(design)
    log_ore = np.log(data["ore_t"].to_numpy(np.float64))
    codes, ids = pd.factorize(data["asset_id"])
    tau2, sigma2 = _variances(log_ore, design @ space, codes)
    sums = _Sums.of(log_ore, design @ space, codes, tau2 / sigma2)
    cov = np.linalg.inv(sums.normal.sum(axis=0)) * sigma2
    beta = cov @ sums.right.sum(axis=0) / sigma2
    beta, cov = space @ beta, space @ cov @ space.T
    n = np.bincount(codes)
    means = np.stack([np.bincount(codes, column) for column in design.T], axis=1) / n[:, None]
    table = pd.DataFrame(means, columns=list(names), index=pd.Index(ids))
    table["n"] = n
    table["residual"] = np.bincount(codes, log_ore - design @ beta) / n
    area = area_variance(data)
    area_var = float(np.nanmean(area)) if np.isfinite(area).any() else 0.0
    return OreModel(tuple(names), beta, cov, tau2, sigma2, area_var, table, space, levels, centre, len(data))


def _terms(data: pd.DataFrame, levels: dict[str, tuple[str, ...]]) -> list[str]:
    numbers = [name for name in ("duty", "grade") if name in data and (data[name].fillna(0) > 0).all()]
    categories = [f"{name}={value}" for name, values in levels.items() for value in values[1:]]
    return ["1", "log area", *categories, *(f"log {name}" for name in numbers)]


def _design(
    data: pd.DataFrame, names: tuple[str, ...] | list[str], levels: dict[str, tuple[str, ...]], centre: float
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the design of rows, and which of them have every value that it needs."""
    usable = (data["area_m2"] > 0).to_numpy().copy()
    texts = {name: data[name].astype(str) for name in levels}
    for name, values in levels.items():
        usable &= texts[name].isin(values).to_numpy()
    columns: list[FloatArray] = []
    for term in names:
        if "=" in term:
            name, value = term.split("=", 1)
            columns.append(np.asarray(texts[name] == value, np.float64))
        elif term.startswith("log "):
            name = "area_m2" if term == "log area" else term.removeprefix("log ")
            number = data[name].to_numpy(np.float64) if name in data else np.full(len(data), np.nan)
            usable &= number > 0
            columns.append(np.log(np.where(number > 0, number, 1.0)) - (centre if term == "log area" else 0.0))
        else:
            columns.append(np.ones(len(data)))
    return np.stack(columns, axis=1), usable


def _row_space(design: FloatArray) -> FloatArray:
    """Return an orthonormal basis of the directions that the data determine: all, unless categories coincide."""
    _, values, vectors = np.linalg.svd(design, full_matrices=False)
    return np.asarray(vectors[values > 1e-9 * values[0]].T)


def _variances(log_ore: FloatArray, design: FloatArray, codes: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Return the variances of mines and residual by restricted maximum likelihood."""
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    count = int(codes.max()) + 1
    chosen = codes >= 0
    if count > VARIANCE_MINES:
        step = np.unique(np.linspace(0, count - 1, VARIANCE_MINES).astype(int))
        chosen = np.isin(codes, step)
    space = _row_space(design[chosen])
    # thousands of solutions of a few unknowns each: more threads wait for each other longer than they compute
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            fit = MixedLM(log_ore[chosen], design[chosen] @ space, codes[chosen]).fit(
                reml=True, method=["bfgs", "lbfgs", "powell"]
            )
        except np.linalg.LinAlgError as error:
            raise EmissionsError(f"ore model: the fit fails ({error}). Use rates per area") from error
    tau2, sigma2 = float(fit.cov_re[0, 0]), float(fit.scale)
    if not (fit.converged and np.isfinite(tau2) and sigma2 > 0):
        raise EmissionsError("ore model: the fit does not converge. Use rates per area")
    return max(tau2, 0.0), sigma2


@dataclass(frozen=True)
class _Sums:
    """Hold the normal equations of every mine (times sigma2): X'WX and X'Wy with W = I - k/n J."""

    normal: FloatArray
    right: FloatArray

    @classmethod
    def of(cls, y: FloatArray, x: FloatArray, codes: npt.NDArray[np.intp], ratio: float) -> _Sums:
        n = np.bincount(codes).astype(np.float64)
        k = n * ratio / (n * ratio + 1)
        x_sum = np.stack([np.bincount(codes, column) for column in x.T], axis=1)
        y_sum = np.bincount(codes, y)
        p = x.shape[1]
        normal = np.stack([np.bincount(codes, x[:, i] * x[:, j]) for i in range(p) for j in range(p)], axis=1)
        products = normal.reshape(-1, p, p) - (k / n)[:, None, None] * x_sum[:, :, None] * x_sum[:, None, :]
        right = np.stack([np.bincount(codes, column * y) for column in x.T], axis=1)
        return cls(np.asarray(products, np.float64), right - (k / n * y_sum)[:, None] * x_sum)


def leave_one_mine_out(data: pd.DataFrame, model: OreModel) -> pd.DataFrame:
    """Predict every mine from the others, with the variances of the whole fit.

    Returns
    -------
    DataFrame
        Same index as the rows of `data` with ore and area: ore_t as reported, predicted_t (median), ratio.
    """
    data = data[(data["ore_t"] > 0) & (data["area_m2"] > 0)]
    design, _ = _design(data, model.names, model.levels, model.centre)
    log_ore = np.log(data["ore_t"].to_numpy(np.float64))
    codes, _ = pd.factorize(data["asset_id"])
    reduced = design @ model.row_space
    sums = _Sums.of(log_ore, reduced, codes, model.tau2 / model.sigma2)
    normal = sums.normal.sum(axis=0) - sums.normal
    right = sums.right.sum(axis=0) - sums.right
    beta = np.stack([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(normal, right, strict=True)])
    predicted = np.exp(np.einsum("ij,ij->i", reduced, beta[codes]))
    ore = data["ore_t"].to_numpy(np.float64)
    return pd.DataFrame({"ore_t": ore, "predicted_t": predicted, "ratio": predicted / ore}, index=data.index)
