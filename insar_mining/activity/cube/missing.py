"""Whether coherence maps lack data just where coherence is low, so that work would be invisible."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Float32Array
from insar_mining.errors import MissingDataWarning, RasterError

# side of the square of a cube on disk that is looked at
LOOKED_AT = 256

# share of the values of cells with data in some pairs that others lack, from which on it matters
LEAST_MISSING = 0.005
# least number of values beside missing ones to judge by
LEAST_BESIDE = 50

# beside missing data coherence is this much below what the same cells usually have, in most of them
DIP, DIP_SHARE = 0.08, 0.7

# no value below this, and many just above it, while others lack: a threshold
LEAST_THRESHOLD, ABOVE_THRESHOLD = 0.15, 0.05

REMEDY = (
    "the ground that was worked is what is missing. Make the maps again without a mask of coherence; if it was set "
    "to 0, --zero value reads it as such"
)


def check_missing(values: Float32Array) -> None:
    """Refuse maps that lack data where coherence is low.

    Parameters
    ----------
    values : ndarray of float32, shape (pair, y, x)
        NaN where there is none.

    Raises
    ------
    RasterError
        All values are 0 or 1; or values below a threshold lack; or data lack where those beside them are low.

    Warns
    -----
    MissingDataWarning
        Data lack beside values that are somewhat low.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return
    _check_rounded(values[finite])
    missing = ~finite & finite.any(axis=0)
    share = float(missing.sum() / (missing.sum() + finite.sum()))
    if values.shape[0] < 2 or share < LEAST_MISSING:
        return
    lowest = float(values[finite].min())
    if lowest >= LEAST_THRESHOLD and _is_cut(values[finite], lowest, int(missing.sum())):
        raise RasterError(
            f"the maps hold no coherence below {lowest:.3g}, and {100 * share:.1f} % of the values of cells that have "
            f"some in other pairs lack: {REMEDY}"
        )
    dip, lower, count = _beside(values, finite, missing)
    if count < LEAST_BESIDE or dip < DIP / 2 or lower < DIP_SHARE:
        return
    said = (
        f"{100 * share:.1f} % of the values of cells that have some in other pairs lack, and beside them coherence is "
        f"{dip:.2f} lower than usual there: {REMEDY}"
    )
    if dip >= DIP:
        raise RasterError(said)
    warnings.warn(said, MissingDataWarning, stacklevel=3)


def _check_rounded(values: Float32Array) -> None:
    """Refuse values that are only 0 and 1."""
    if values.size > LEAST_BESIDE and not np.any((values > 0) & (values < 1)):
        raise RasterError(
            f"all {values.size} values are 0 or 1: the maps were rounded to whole numbers. Write them as "
            "floating-point numbers, or as scaled integers (--scale)."
        )


def _is_cut(values: Float32Array, lowest: float, missing: int) -> bool:
    """Check whether a distribution ends in an edge, as many values just above it as below could lack."""
    first = np.count_nonzero(values < lowest + ABOVE_THRESHOLD)
    second = np.count_nonzero((values >= lowest + ABOVE_THRESHOLD) & (values < lowest + 2 * ABOVE_THRESHOLD))
    return bool(first >= LEAST_BESIDE and first >= 0.05 * missing and first >= 0.6 * second)


def _beside(
    values: Float32Array, finite: npt.NDArray[np.bool_], missing: npt.NDArray[np.bool_]
) -> tuple[float, float, int]:
    """Return how far values beside missing ones lie below the usual of their cells, the share that does, their number.

    Cells at the edge of ground that never has data are left aside: their neighbours lack in every pair.
    """
    beside = np.zeros_like(missing)
    beside[:, 1:] |= missing[:, :-1]
    beside[:, :-1] |= missing[:, 1:]
    beside[:, :, 1:] |= missing[:, :, :-1]
    beside[:, :, :-1] |= missing[:, :, 1:]
    beside &= finite
    far = finite & ~beside
    known = beside.any(axis=0) & (far.sum(axis=0) >= max(2, values.shape[0] // 4))
    if not known.any():
        return 0.0, 0.0, 0
    usual = np.full(values.shape[1:], np.nan, np.float32)
    usual[known] = np.nanmedian(np.where(far[:, known], values[:, known], np.nan), axis=0)
    drops = (usual[None] - values)[beside & known[None]]
    return float(np.median(drops)), float(np.mean(drops > 0)), int(drops.size)
