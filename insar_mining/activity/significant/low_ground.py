"""Ground that is never coherent: natural where it goes on outside the mine, else worked or in doubt."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from insar_mining.arrays import BoolArray, FloatArray

# ground goes on outside where so much of what lies there within so far is always low too
NATURAL_SHARE, NATURAL_REACH_M = 0.15, 200.0
# ground so near the mine may be worked as well, for outlines are drawn tightly: it tells nothing of what is natural
BESIDE_M = 60.0
# and so little ground outside, as a share of the square looked at, tells nothing either
LEAST_OUTSIDE = 0.05
# with more than this share of the control ground always low, such ground of the mine is in doubt
DOUBT_SHARE = 0.01


def natural_ground(low: BoolArray, control: BoolArray, mine: BoolArray, cell_m: float) -> BoolArray:
    """Return the always-low cells around which control ground is often low as well.

    Parameters
    ----------
    low, control, mine : ndarray of bool (y, x)
        Cells with data that are never coherent; cells of control ground; cells of the mine.
    cell_m : float
        Side of a cell.
    """
    out = np.zeros_like(low)
    if not (low & control).any():
        return out
    reach = max(round(NATURAL_REACH_M / cell_m), 1)
    beside = round(BESIDE_M / cell_m)
    if beside:
        control = control & ~ndimage.binary_dilation(mine, np.ones((3, 3), np.bool_), iterations=beside)
    least = LEAST_OUTSIDE * (2 * reach + 1) ** 2
    rows = np.flatnonzero(low.any(axis=1))
    for top in range(int(rows[0]), int(rows[-1]) + 1, 256):
        part = slice(top, min(top + 256, int(rows[-1]) + 1))
        wide = slice(max(part.start - reach, 0), min(part.stop + reach, low.shape[0]))
        there = _box_sums(control[wide], reach, part.start - wide.start, part.stop - part.start)
        gone = _box_sums(control[wide] & low[wide], reach, part.start - wide.start, part.stop - part.start)
        out[part] = low[part] & (there >= least) & (gone >= NATURAL_SHARE * there)
    return out


def _box_sums(mask: BoolArray, reach: int, first: int, rows: int) -> FloatArray:
    """Count the cells of a mask in the square around every cell of some rows."""
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.int32), axis=1, out=total[1:, 1:])
    y, x = np.arange(first, first + rows), np.arange(mask.shape[1])
    top, bottom = np.maximum(y - reach, 0), np.minimum(y + reach + 1, mask.shape[0])
    left, right = np.maximum(x - reach, 0), np.minimum(x + reach + 1, mask.shape[1])
    high = total[bottom][:, right] - total[bottom][:, left]
    return np.asarray(high - (total[top][:, right] - total[top][:, left]), np.float64)
