"""What each cell loses with the baseline, told from the year's own pairs: ndarray in, ndarray out.

A face that the elevation model does not know loses coherence with the square of the perpendicular baseline, and no
slope of that model tells where it lies.  The stack does: where nobody works, a cell's coherence beside the
stable ground follows its span and the square of the baseline, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.activity.decision import Levels, LookTables, _at, stable_at

FloatArray = npt.NDArray[np.float64]
FloatBlock = npt.NDArray[np.float32]

# pairs from which a cell's own loss is told, and by how many of its standard errors it must exceed none
LEAST_PAIRS = 6
CERTAIN = 3.0


@dataclass(frozen=True, eq=False)
class CellLevels:
    """Why stable ground would not be the same in all cells of a pair.

    Attributes
    ----------
    squares : ndarray (pairs,), optional
        Squares of the baselines, over that of 250 m: every cell has a loss of its own with them.
    class_true : ndarray (classes, pairs), optional
        True coherence of the stable ground of each class.
    class_of : ndarray of int (rows, columns), optional
        Number of each cell's class; negative: as all stable ground.
    """

    squares: FloatArray | None = None
    class_true: FloatArray | None = None
    class_of: npt.NDArray[np.int16] | None = None


def stable_in_cells(
    mean: FloatBlock,
    stable: FloatArray,
    spans: FloatArray,
    tables: LookTables,
    levels: CellLevels | None,
    where: tuple[slice, slice],
) -> Levels:
    """Return the true coherence that stable ground would have in every cell of a block and pair.

    Parameters
    ----------
    mean : ndarray of float32 (pairs, rows, columns)
        Local means of the block.
    stable, spans : ndarray (pairs,)
    tables : LookTables
    levels : CellLevels, optional
        None: `stable` itself, the same for all cells.
    where : (slice, slice)
        Rows and columns of the block in the map.

    Returns
    -------
    ndarray (pairs,) or, float32, (pairs, rows, columns)
    """
    if levels is None:
        return stable
    each = np.repeat(stable.astype(np.float32), mean[0].size).reshape(mean.shape)
    if levels.class_true is not None and levels.class_of is not None:
        here = levels.class_of[where]
        each = np.where(here >= 0, levels.class_true.T[:, np.maximum(here, 0)].astype(np.float32), each)
    if levels.squares is not None:
        loss = baseline_losses(mean, each, spans, levels.squares, tables.expected, tables.true)
        # a pair whose baseline is not known stays as it is
        known = np.where(np.isfinite(levels.squares), levels.squares, 0.0)
        each *= np.exp(-loss[None] * known[:, None, None]).astype(np.float32)
    return each


@numba.njit(cache=True, nogil=True)
def baseline_losses(  # type: ignore[no-untyped-def]
    mean: FloatBlock,
    stable: Levels,
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
    stable : ndarray (pairs,), or (pairs, rows, columns)
        True coherence of the stable ground.
    spans, squares : ndarray (pairs,)
        Span over the shortest; square of the baseline in any unit, NaN where it is not known.
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
                rests = stable_at(stable, p, y, x)
                if m != m or not squares[p] >= 0 or m < (_at(expected, rests) + expected[0]) / 2:
                    continue
                v = np.log(max(_at(true, m), 1e-3) / rests)
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
