"""What each cell loses with the baseline, told from the year's own pairs: ndarray in, ndarray out.

A face that the elevation model does not know loses coherence with the square of the perpendicular baseline, and no
slope of that model tells where it lies.  The stack does: where nobody works, a cell's coherence beside the
stable ground follows its span and the square of the baseline, and nothing else.
"""

from __future__ import annotations

import warnings

import numba
import numpy as np
import xarray as xr

from insar_mining.activity.significant.local_scores import Levels, LookTables, at
from insar_mining.arrays import Float32Array, FloatArray
from insar_mining.errors import ActivityError, FewObservationsWarning

# pairs from which a cell's own loss is told, and by how many of its standard errors it must exceed none
LEAST_PAIRS = 6
CERTAIN = 3.0
# baselines are taken over this
UNIT_M = 250.0


def squares_of(kept: xr.DataArray) -> FloatArray:
    """Return the squares of the baselines of a year's pairs, over that of 250 m, shape (pairs,).

    Raises
    ------
    ActivityError
        The baseline of a pair is not known: that is not the same as none.

    Warns
    -----
    FewObservationsWarning
        There are too few pairs to tell the loss of a cell.
    """
    name = "perpendicular_baseline_m"
    baseline = kept[name].values.astype(np.float64) if name in kept.coords else np.full(kept.sizes["pair"], np.nan)
    unknown = int((~np.isfinite(baseline)).sum())
    if unknown:
        raise ActivityError(
            f"{unknown} of {baseline.size} pairs have no perpendicular baseline, and what it takes cannot be told; "
            "give maps that record PERPENDICULAR_BASELINE_M, or leave baseline_correction out"
        )
    if baseline.size < LEAST_PAIRS:
        warnings.warn(
            f"{baseline.size} pairs in a year do not tell what the baseline takes from a cell ({LEAST_PAIRS} are "
            "needed): nothing is taken for it there",
            FewObservationsWarning,
            stacklevel=2,
        )
    return np.asarray((baseline / UNIT_M) ** 2)


def stable_in_cells(
    mean: Float32Array, stable: FloatArray, spans: FloatArray, tables: LookTables, squares: FloatArray | None
) -> Levels:
    """Return the true coherence that stable ground would have in every cell of a block and pair.

    Parameters
    ----------
    mean : ndarray of float32 (pairs, rows, columns)
        Local means of the block.
    stable, spans : ndarray (pairs,)
    tables : LookTables
    squares : ndarray (pairs,), optional
        None: `stable` itself, the same for all cells.

    Returns
    -------
    ndarray (pairs,) or, float32, (pairs, rows, columns)
    """
    if squares is None:
        return stable
    loss = baseline_losses(mean, stable, spans, squares, tables.expected, tables.true)
    return np.asarray(stable[:, None, None] * np.exp(-squares[:, None, None] * loss), np.float32)


@numba.njit(cache=True, nogil=True)
def baseline_losses(  # type: ignore[no-untyped-def]
    mean: Float32Array,
    stable: FloatArray,
    spans: FloatArray,
    squares: FloatArray,
    expected: FloatArray,
    true: FloatArray,
):
    """Fit the loss of each cell with the square of the baseline, beside the stable ground.

    Parameters
    ----------
    mean : ndarray of float32 (pairs, rows, columns)
        Local means of coherence.
    stable : ndarray (pairs,)
        True coherence of the stable ground.
    spans, squares : ndarray (pairs,)
        Span over the shortest; square of the baseline, in any unit.
    expected, true : ndarray
        Tables of the expectation for true coherence 0..1, and of its inverse.

    Returns
    -------
    ndarray (rows, columns)
        Loss per unit of `squares`, the k of ``exp(-k B**2)``; 0 where none is certain.

    Notes
    -----
    Least squares of ``ln(D / D_stable) = span ln(r) - k B**2`` over the pairs in which the local mean lies above the
    middle of stable and decorrelated ground, as for a cell's own ratio r; ground that is worked is not
    up there. A loss counts where it exceeds three of its standard errors.
    """
    pairs, rows, cols = mean.shape
    loss = np.zeros((rows, cols))
    for y in range(rows):
        for x in range(cols):
            n = 0
            ss = sq = qq = sv = qv = vv = 0.0
            for p in range(pairs):
                m = np.float64(mean[p, y, x])
                rests = stable[p]
                if m != m or m < (at(expected, rests) + expected[0]) / 2:
                    continue
                v = np.log(max(at(true, m), 1e-3) / rests)
                n += 1
                ss += spans[p] * spans[p]
                sq += spans[p] * squares[p]
                qq += squares[p] * squares[p]
                sv += spans[p] * v
                qv += squares[p] * v
                vv += v * v
            free = ss * qq - sq * sq
            if n < LEAST_PAIRS or free <= 1e-9 * ss * qq:
                continue
            slope = (ss * qv - sq * sv) / free
            level = (qq * sv - sq * qv) / free
            scatter = max(vv - level * sv - slope * qv, 0.0) / (n - 2)
            if -slope > CERTAIN * np.sqrt(scatter * ss / free):
                loss[y, x] = -slope
    return loss
