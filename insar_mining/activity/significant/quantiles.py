"""Quantiles along rows that may hold NaN, quickly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray

# a sorted copy of so many values is held
SORTED_AT_ONCE = 2**20


def row_quantiles(values: npt.NDArray[np.floating], shares: Sequence[float], least: int = 1) -> FloatArray:
    """Return quantiles of each row's finite values, linear between order statistics, shape (shares, rows).

    Parameters
    ----------
    values : ndarray (rows, columns)
    shares : sequence of float, 0..1
    least : int
        Finite values that a row needs; NaN with fewer.
    """
    out = np.full((len(shares), len(values)), np.nan)
    step = max(SORTED_AT_ONCE // max(values.shape[1], 1), 1)
    for first in range(0, len(values), step):
        _enter_quantiles(np.sort(values[first : first + step], axis=1), shares, least, out[:, first : first + step])
    return out


def _enter_quantiles(ranked: npt.NDArray[np.floating], shares: Sequence[float], least: int, out: FloatArray) -> None:
    """Enter quantiles of rows that are sorted, NaN last."""
    count = np.isfinite(ranked).sum(axis=1)
    rows = np.arange(len(ranked))
    enough = count >= max(least, 1)
    for k, share in enumerate(shares):
        place = share * np.maximum(count - 1, 0)
        low = np.floor(place).astype(np.intp)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        first, second = ranked[rows, low].astype(np.float64), ranked[rows, high].astype(np.float64)
        out[k] = np.where(enough, first + (place - low) * (second - first), np.nan)
