"""Classes of ground of the same own level, and what each reads in each pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.activity.significant.quantiles import row_quantiles
from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray

# least width of a class, in coherence, and least number of control cells
CLASS_WIDTH, CLASS_CELLS = 0.025, 200
# distance of the deciles from the median of a normal law
DECILE = 1.2816
# a class fell where its upper decile lies so many spreads below its usual
FELL = 1.5
LEAST_SPREAD, UPPER_WEIGHT = 0.85, 0.8
# a part of a class fell where its spread is so many times the usual, and its lower decile so many spreads below the
# usual one
PART_SPREAD, PART_FELL = 1.25, 0.5
# pairs of the same span within this factor are compared
ALIKE_SPANS = 1.5


@dataclass(frozen=True, eq=False)
class Classes:
    """Hold the coherence of ground of each level.

    Attributes
    ----------
    centres : ndarray (classes,)
        Own levels, rising.
    mean, usual, spread : ndarray (pairs, classes)
        Median coherence; median of atanh d and its lower spread.
    fell : ndarray of bool (pairs, classes)
        Pairs in which the whole class reads less than usual.
    unsettled : ndarray of bool (pairs, classes)
        Pairs in which a part of the control ground of a class reads less than usual: rain that takes some of it.
    own : ndarray of bool (classes,)
        Classes of the mine's own ground, because control has none like it.
    gone : ndarray of bool (pairs, classes)
        Pairs in which a class of the mine's own ground reads like decorrelated ground, and the most coherent ground
        does not: all of it was worked, or rain took it.
    """

    centres: FloatArray
    mean: FloatArray
    usual: FloatArray
    spread: FloatArray
    fell: BoolArray
    unsettled: BoolArray
    own: BoolArray
    gone: BoolArray

    def place(self, levels: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the place of levels among the classes, NaN for those that are not known."""
        found = np.interp(levels, self.centres, np.arange(self.centres.size))
        return np.asarray(np.where(np.isfinite(levels), found, np.nan), np.float32)


def edges_of(levels: FloatArray, width: float = CLASS_WIDTH, cells: int = CLASS_CELLS) -> list[IntArray]:
    """Divide cells into classes of their level, each at least so wide and of at least so many cells.

    Parameters
    ----------
    levels : ndarray (cells,)
        Finite.

    Returns
    -------
    list of ndarray of int
        Positions in `levels`, class by class.
    """
    order = np.argsort(levels, kind="stable")
    ranked = levels[order]
    cuts = [0]
    for k in range(1, ranked.size):
        if k - cuts[-1] >= cells and ranked[k] - ranked[cuts[-1]] >= width:
            cuts.append(k)
    # what is left at the upper end is too small for a class of its own
    if len(cuts) > 1 and (ranked.size - cuts[-1] < cells or ranked[-1] - ranked[cuts[-1]] < width / 2):
        cuts.pop()
    return [order[a:b] for a, b in zip(cuts, [*cuts[1:], ranked.size], strict=True)]


def usual_of(values: FloatArray, days: FloatArray, share: float = 0.5) -> FloatArray:
    """Return a quantile of a value over the pairs of about the same span, for each pair.

    Parameters
    ----------
    values : ndarray (pairs, ...)
    days : ndarray (pairs,)
    share : float
        0.5: the median.
    """
    out = np.empty_like(values)
    for p, span in enumerate(days):
        alike = (days <= ALIKE_SPANS * span) & (days >= span / ALIKE_SPANS)
        chosen = values[alike if alike.sum() >= 3 else np.ones_like(alike)]
        out[p] = row_quantiles(chosen.reshape(len(chosen), -1).T, (share,))[0].reshape(values.shape[1:])
    return out


def rising(values: FloatArray) -> FloatArray:
    """Return rows that never fall: half-way between the running maximum and the running minimum from the end."""
    up = np.maximum.accumulate(values, axis=1)
    down = np.minimum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((up + down) / 2)


def quantiles_of(scaled: Float32Array) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the lower decile, median and upper decile of each pair (pairs, cells); NaN without data."""
    low, middle, high = row_quantiles(scaled, (0.1, 0.5, 0.9), 5)
    return low, middle, high


def control_tables(
    mean: Float32Array, scaled: Float32Array, groups: list[IntArray], days: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray, BoolArray]:
    """Return what the classes of control ground read in each pair.

    Parameters
    ----------
    mean, scaled : ndarray (pairs, cells)
        Local means of coherence and of its atanh.
    groups : list of ndarray of int
        Cells of each class.
    days : ndarray (pairs,)

    Returns
    -------
    mean, usual, spread : ndarray (pairs, classes)
    fell, unsettled : ndarray of bool (pairs, classes)
    """
    shape = len(mean), len(groups)
    level, low, middle, high = (np.full(shape, np.nan) for _ in range(4))
    for k, cells in enumerate(groups):
        low[:, k], middle[:, k], high[:, k] = quantiles_of(scaled[:, cells])
        level[:, k] = quantiles_of(mean[:, cells])[1]
    wide = np.fmax((middle - low) / DECILE, UPPER_WEIGHT * (high - middle) / DECILE)
    usual_spread = usual_of(wide, days)
    spread = np.fmax(wide, LEAST_SPREAD * usual_spread)
    fell = high < usual_of(high, days) - FELL * usual_spread
    unsettled = (wide > PART_SPREAD * usual_spread) & (low < usual_of(low, days) - PART_FELL * usual_spread)
    return level, middle, spread, fell, unsettled
