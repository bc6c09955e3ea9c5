"""What each cell loses with the baseline, from the year's own pairs: ndarray in, ndarray out.

A face that the elevation model does not know loses coherence with the square of the perpendicular baseline, and no
control ground does. Where nobody works, a cell beside the most coherent ground follows the square of the baseline.
"""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray
from insar_mining.errors import ActivityError, FewObservationsWarning
from insar_mining.jit import njit

# pairs from which a cell's own loss is fitted, and by how many of its standard errors it must exceed none
LEAST_PAIRS = 6
CERTAIN = 3.0
# baselines are taken over this
UNIT_M = 250.0


def squares_of(coh: xr.DataArray, pairs: IntArray) -> FloatArray:
    """Return the squares of the baselines of some pairs, over that of 250 m, shape (pairs,).

    Raises
    ------
    ActivityError
        The baseline of a pair is not known: that is not the same as none.

    Warns
    -----
    FewObservationsWarning
        There are too few pairs to fit the loss of a cell.
    """
    name = "perpendicular_baseline_m"
    baseline = coh[name].values[pairs].astype(float) if name in coh.coords else np.full(pairs.size, np.nan)
    unknown = int((~np.isfinite(baseline)).sum())
    if unknown:
        raise ActivityError(
            f"baseline_correction: pairs without a perpendicular baseline ({unknown} of {baseline.size}, limit 0). "
            "Give maps that record PERPENDICULAR_BASELINE_M, or leave baseline_correction out."
        )
    if baseline.size < LEAST_PAIRS:
        warnings.warn(
            f"{baseline.size} pairs in a year are too few to fit what the baseline takes from a cell (limit "
            f"{LEAST_PAIRS}): nothing is given back there",
            FewObservationsWarning,
            stacklevel=2,
        )
    return np.asarray((baseline / UNIT_M) ** 2)


@njit(nogil=True, error_model="numpy")
def baseline_losses(  # type: ignore[no-untyped-def]
    mean: Float32Array, upper: FloatArray, squares: FloatArray, floor: float, share: float
):
    """Fit the loss of each cell with the square of the baseline, beside the most coherent ground.

    Parameters
    ----------
    mean : ndarray of float32 (pairs, rows, columns)
        Local means.
    upper, squares : ndarray (pairs,)
        What the most coherent ground reads; square of the baseline, in any unit.
    floor : float
        What decorrelated ground reads.
    share : float
        Part of the way from floor to upper from which a pair is used.

    Returns
    -------
    ndarray (rows, columns)
        Loss per unit of `squares`, the k of ``exp(-k B**2)``; 0 where none is certain.

    Notes
    -----
    Least squares of ``ln((m - floor) / (upper - floor)) = a - k B**2``; a loss counts where it exceeds three of its
    standard errors.
    """
    pairs, rows, cols = mean.shape
    loss = np.zeros((rows, cols))
    for y in range(rows):
        for x in range(cols):
            n = 0
            sq = qq = sv = qv = vv = 0.0
            for p in range(pairs):
                m = np.float64(mean[p, y, x])
                if m != m or not m >= floor + share * (upper[p] - floor):
                    continue
                v = np.log((m - floor) / (upper[p] - floor))
                n += 1
                sq += squares[p]
                qq += squares[p] * squares[p]
                sv += v
                qv += squares[p] * v
                vv += v * v
            free = qq - sq * sq / n if n > 0 else 0.0
            if n < LEAST_PAIRS or free <= 1e-9 * qq:
                continue
            slope = (qv - sq * sv / n) / free
            rest = vv - sv * sv / n - slope * slope * free
            if -slope > CERTAIN * np.sqrt(max(rest, 0.0) / (n - 2) / free):
                loss[y, x] = -slope
    return loss


def give_back(
    mean: Float32Array, scaled: Float32Array, upper: FloatArray, squares: FloatArray, floor: float, share: float
) -> BoolArray:
    """Give local means, in their place, what the baseline took from them; return the cells that got something."""
    loss = baseline_losses(mean, upper, squares, floor, share)
    found = loss > 0
    if found.any():
        part = mean[:, found].astype(np.float64)
        whole = np.minimum(floor + (part - floor) * np.exp(np.outer(squares, loss[found])), 0.995)
        scaled[:, found] += np.arctanh(whole) - np.arctanh(np.clip(part, 0, 0.995))
        mean[:, found] = whole
    return np.asarray(found)
