"""Ground that is never coherent: natural where it goes on outside the mine, else worked or in doubt."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from insar_mining.activity.cube.blocks import empty_map
from insar_mining.arrays import BoolArray, FloatArray

# ground goes on outside where so much of what lies there within so far is always low too
NATURAL_SHARE, NATURAL_REACH_M = 0.15, 200.0
# ground so near the mine may be worked as well, for outlines are drawn tightly: it tells nothing of what is natural
BESIDE_M = 60.0
# and so little ground outside, as a share of the square looked at, tells nothing either
LEAST_OUTSIDE = 0.05
# with more than this share of the control ground always low, such ground of the mine is in doubt
DOUBT_SHARE = 0.01
# rows of the map that are looked at together
STRIP = 256


def natural_ground(low: BoolArray, control: BoolArray, mine: BoolArray, cell_m: float) -> BoolArray:
    """Return the always-low cells around which control ground is often low as well.

    Parameters
    ----------
    low, control, mine : ndarray of bool (y, x)
        Cells with data that are never coherent; cells of control ground; cells of the mine.
    cell_m : float
        Side of a cell.
    """
    out = empty_map(low.shape, np.bool_)
    reach = max(round(NATURAL_REACH_M / cell_m), 1)
    beside = round(BESIDE_M / cell_m)
    least = LEAST_OUTSIDE * (2 * reach + 1) ** 2
    # strips, since a map of a country is large and mostly empty
    for top in range(0, len(low), STRIP):
        part = slice(top, min(top + STRIP, len(low)))
        wide = slice(max(part.start - reach, 0), min(part.stop + reach, len(low)))
        if not low[part].any() or not (low[wide] & control[wide]).any():
            continue
        around = control[wide] & ~_near(mine, wide, beside)
        there = _box_sums(around, reach, part.start - wide.start, part.stop - part.start)
        gone = _box_sums(around & low[wide], reach, part.start - wide.start, part.stop - part.start)
        out[part] = low[part] & (there >= least) & (gone >= NATURAL_SHARE * there)
    return out


def _near(mask: BoolArray, rows: slice, cells: int) -> BoolArray:
    """Return the cells of some rows within so many cells of those of a mask."""
    if not cells:
        return np.zeros_like(mask[rows])
    wide = slice(max(rows.start - cells, 0), min(rows.stop + cells, len(mask)))
    grown = ndimage.binary_dilation(mask[wide], np.ones((3, 3), np.bool_), iterations=cells)
    return np.asarray(grown[rows.start - wide.start : rows.stop - wide.start])


def _box_sums(mask: BoolArray, reach: int, first: int, rows: int) -> FloatArray:
    """Count the cells of a mask in the square around every cell of some rows."""
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.int32), axis=1, out=total[1:, 1:])
    y, x = np.arange(first, first + rows), np.arange(mask.shape[1])
    top, bottom = np.maximum(y - reach, 0), np.minimum(y + reach + 1, mask.shape[0])
    left, right = np.maximum(x - reach, 0), np.minimum(x + reach + 1, mask.shape[1])
    high = total[bottom][:, right] - total[bottom][:, left]
    return np.asarray(high - (total[top][:, right] - total[top][:, left]), np.float64)
