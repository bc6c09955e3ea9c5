"""Confidence classes of Climate TRACE, and relative errors of products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from insar_mining.arrays import FloatArray

CLASSES = ("very low", "low", "medium", "high", "very high")
LEVEL = 0.90

# Jolleys et al. 2024, table S3
ACTIVITY_CONFIDENCE = {
    "reported ore": "very high",
    "reported zero": "high",
    "reported product": "medium",
    "active area": "medium",
    "earlier ore": "low",
    "earlier product": "very low",
}


def lower_of(*columns: pd.Series[str]) -> pd.Series[str]:
    """Return the lowest class of each row, "" where any is unknown.

    Examples
    --------
    >>> lower_of(pd.Series(["very high", "low"]), pd.Series(["low", ""])).tolist()
    ['low', '']
    """
    ranks = [_rank(column) for column in columns]
    lowest = np.min(ranks, axis=0)
    names = np.array(["", *CLASSES], dtype=object)
    return pd.Series(names[lowest + 1], index=columns[0].index)


def lowered(column: pd.Series[str], by: int = 1) -> pd.Series[str]:
    """Return every class lowered, as for a split of years into months; the lowest stays."""
    rank = _rank(column)
    names = np.array(["", *CLASSES], dtype=object)
    return pd.Series(names[np.where(rank < 0, -1, np.maximum(rank - by, 0)) + 1], index=column.index)


def _rank(column: pd.Series[str]) -> npt.NDArray[np.int64]:
    """Return the place of every class in `CLASSES`, -1 where it is unknown."""
    return pd.Index(CLASSES).get_indexer(pd.Index(column.astype(object)))


def product_error(*relative: FloatArray | float) -> FloatArray:
    """Return the relative standard deviation of a product of independent factors: sqrt(prod(1 + r2) - 1).

    Of two it is sqrt(a2 + f2 + a2 f2) (Goodman 1960, doi:10.2307/2281592).
    """
    product = np.prod([1 + np.asarray(part, np.float64) ** 2 for part in relative], axis=0)
    return np.asarray(np.sqrt(product - 1))


def interval(mean: FloatArray, relative: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of a log-normal of this mean and relative standard deviation; NaN where that is unknown."""
    log_var = np.log1p(np.asarray(relative, np.float64) ** 2)
    half = ndtri((1 + level) / 2) * np.sqrt(log_var)
    return mean * np.exp(-log_var / 2 - half), mean * np.exp(-log_var / 2 + half)


def total_error(
    value: FloatArray,
    own: FloatArray,
    shared: Sequence[tuple[npt.NDArray[np.intp], FloatArray]],
) -> float:
    """Return the standard deviation of a sum of products whose factors are shared.

    The i-th term is value_i (1 + own_i e_i) (1 + r_i e'_g) (1 + f_i e''_h), where g and h number the activity's and
    the factor's error that terms have in common. Its second moment is summed exactly over pairs of terms, by groups.

    Parameters
    ----------
    value : (n,) array
    own : (n,) array
        Relative standard deviation of what no other term shares.
    shared : two pairs of (group of each term, relative standard deviation of each term)

    Returns
    -------
    float

    Examples
    --------
    Two mines of 1 Mt with 20 % each and a factor of 40 %, one for both or one each:

    >>> each, ones, exact = np.arange(2), np.ones(2), np.zeros(2)
    >>> one = total_error(ones, 0.2 * ones, [(each, exact), (np.zeros(2, int), 0.4 * ones)])
    >>> two = total_error(ones, 0.2 * ones, [(each, exact), (each, 0.4 * ones)])
    >>> round(one, 3), round(two, 3)
    (0.856, 0.642)
    """
    (g, r), (h, f) = shared
    both = np.unique(np.stack([g, h]), axis=1, return_inverse=True)[1].ravel()
    variance = (np.bincount(g, value * r) ** 2).sum() + (np.bincount(h, value * f) ** 2).sum()
    variance += (np.bincount(both, value * r * f) ** 2).sum()
    variance += (value**2 * own**2 * (1 + r**2) * (1 + f**2)).sum()
    return float(np.sqrt(variance))
