"""Straight lines: ore on pixels or area as published, and national series carried on, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from insar_mining.arrays import FloatArray
from insar_mining.emissions.tabular import shipped
from insar_mining.errors import EmissionsError

LEVEL = 0.90


@dataclass(frozen=True)
class Line:
    """Hold a least-squares line y = slope x + intercept.

    Attributes
    ----------
    slope, intercept : float
    r2 : float
        Share of the variance explained.
    sd : float
        Of the residuals, n - 2 degrees of freedom; NaN of a published line.
    n : int
    x_mean, x_ss : float
        Mean of x and its sum of squares about it.
    """

    slope: float
    intercept: float
    r2: float
    sd: float = float("nan")
    n: int = 0
    x_mean: float = float("nan")
    x_ss: float = float("nan")

    def at(self, x: FloatArray | float, level: float = LEVEL) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the line and the bounds of a new observation's prediction interval at `x`.

        y +- t s sqrt(1 + 1/n + (x - mean)^2 / SS) (Draper & Smith 1998, chapter 1); NaN bounds where the scatter is
        not known.
        """
        x = np.asarray(x, np.float64)
        y = self.slope * x + self.intercept
        if self.n < 3:
            return y, np.full_like(y, np.nan), np.full_like(y, np.nan)
        spread = self.sd * np.sqrt(1 + 1 / self.n + (x - self.x_mean) ** 2 / self.x_ss)
        half = stdtrit(self.n - 2, (1 + level) / 2) * spread
        return y, y - half, y + half


def fit_line(x: FloatArray, y: FloatArray) -> Line:
    """Fit a line through the pairs of which both values are finite.

    Raises
    ------
    EmissionsError
        Fewer than three pairs, or all of one x.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size < 3 or np.ptp(x) == 0:
        raise EmissionsError(f"line: {x.size} pair(s) of different x (limit 3). Give more years or mines")
    mean = float(x.mean())
    ss = float(((x - mean) ** 2).sum())
    slope = float(((x - mean) * (y - y.mean())).sum() / ss)
    intercept = float(y.mean() - slope * mean)
    rest = y - (slope * x + intercept)
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float((rest**2).sum()) / total if total > 0 else 1.0
    return Line(slope, intercept, r2, float(np.sqrt((rest**2).sum() / (x.size - 2))), int(x.size), mean, ss)


def published_line(mineral: str) -> Line:
    """Return the published regression of a mineral's ore (t) on its count of active pixels.

    Jolleys et al. 2024, figure 8: copper 415 n + 1.2e7 t (R2 0.271), iron 433 n + 8.8e6 t (R2 0.465). Held
    against mines that report, it is off by a factor of up to 2.4; it is here for comparison only.

    Raises
    ------
    EmissionsError
        None is published for the mineral.
    """
    lines = shipped("lines").set_index("mineral")
    if mineral.lower() not in lines.index:
        raise EmissionsError(f"line: none is published for {mineral!r}. There are {' and '.join(lines.index)}")
    row: Any = lines.loc[mineral.lower()]
    return Line(float(row["slope_t_px"]), float(row["intercept_t"]), float(row["r2"]))


def project(years: FloatArray, values: FloatArray, year: float, first: int = 2010) -> tuple[float, float, float]:
    """Carry an annual series on by linear regression from `first`; return the value and its 90 % bounds.

    Examples
    --------
    >>> project([2010, 2011, 2012, 2013], [10.0, 12.0, 14.0, 16.0], 2015)
    (20.0, 20.0, 20.0)
    """
    years, values = np.asarray(years, np.float64), np.asarray(values, np.float64)
    line = fit_line(years[years >= first], values[years >= first])
    value, low, high = line.at(float(year))
    return float(value), float(low), float(high)
