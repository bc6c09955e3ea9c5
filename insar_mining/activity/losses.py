"""What each cell loses with the baseline, told from the year's own pairs: ndarray in, ndarray out.

A face that the elevation model does not know loses coherence with the square of the perpendicular baseline, and no
slope of that model tells where it lies.  The stack does: where nobody works, a cell's coherence beside the
stable ground follows its span and the square of the baseline, and nothing else.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.activity.decision import Levels, LookTables, _at, stable_at
from insar_mining.activity.scenes import check_same_cells, class_means
from insar_mining.coherence.statistics import unbias
from insar_mining.errors import ActivityError, FewObservationsWarning

FloatArray = npt.NDArray[np.float64]
FloatBlock = npt.NDArray[np.float32]

# pairs from which a cell's own loss is told, and by how many of its standard errors it must exceed none
LEAST_PAIRS = 6
CERTAIN = 3.0
# stable points of a class, in every pair, from which its level can be told
ENOUGH_IN_CLASS = 30


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


def cell_levels(
    kept: xr.DataArray,
    stable: xr.DataArray,
    looks: float,
    classes: xr.DataArray | None,
    *,
    baseline_loss: bool,
    block_bytes: int | None = None,
) -> CellLevels | None:
    """Find why stable ground would not be the same in all cells of a year; None where nobody asks.

    Parameters
    ----------
    kept : DataArray (pair, y, x)
        The kept pairs of the year.
    stable : DataArray (y, x) of bool
    looks : float
    classes : DataArray (y, x) of integers, optional
    baseline_loss : bool
    block_bytes : int, optional

    Raises
    ------
    ActivityError
        With `baseline_loss`, the baseline of a pair is not known: that is not the same as none.

    Warns
    -----
    FewObservationsWarning
        A class has too few stable points; there are too few pairs to tell the loss of a cell.
    """
    if classes is None and not baseline_loss:
        return None
    squares = _squares(kept) if baseline_loss else None
    if classes is None:
        return CellLevels(squares)
    class_true, class_of = _class_levels(kept, stable, looks, classes, block_bytes)
    return CellLevels(squares, class_true, class_of)


def _squares(kept: xr.DataArray) -> FloatArray:
    """Squares of the baselines of the pairs, over that of 250 m."""
    name = "perpendicular_baseline_m"
    baseline = kept[name].values.astype(np.float64) if name in kept.coords else np.full(kept.sizes["pair"], np.nan)
    unknown = int((~np.isfinite(baseline)).sum())
    if unknown:
        raise ActivityError(
            f"{unknown} of {baseline.size} pairs have no perpendicular baseline, and what it takes cannot be told; give "
            "maps that record PERPENDICULAR_BASELINE_M, or leave baseline_correction out"
        )
    if baseline.size < LEAST_PAIRS:
        warnings.warn(
            f"{baseline.size} pairs in a year do not tell what the baseline takes from a cell ({LEAST_PAIRS} are "
            "needed): nothing is taken for it there",
            FewObservationsWarning,
            stacklevel=2,
        )
    return np.asarray((baseline / 250.0) ** 2)


def _class_levels(
    kept: xr.DataArray, stable: xr.DataArray, looks: float, classes: xr.DataArray, block_bytes: int | None
) -> tuple[FloatArray, npt.NDArray[np.int16]]:
    """True coherence of the stable points of each class that has enough of them, and the class of every cell."""
    check_same_cells(kept, classes, "classes")
    of_cell = np.asarray(classes.values).astype(np.int64)
    points = np.where(stable.values, of_cell, -1)
    names = dict(
        zip(classes.attrs.get("flag_values", ()), str(classes.attrs.get("flag_meanings", "")).split(), strict=False)
    )
    class_of = np.full(of_cell.shape, -1, np.int16)
    if not (points >= 0).any():
        raise ActivityError("no stable point belongs to a class; check the raster that the classes are made from")
    labels, mean, count = class_means(kept, classes.copy(data=points), block_bytes=block_bytes)
    rows: list[FloatArray] = []
    for label, values, number in zip(labels, mean, count, strict=True):
        if number.min() >= ENOUGH_IN_CLASS:
            class_of[of_cell == label] = len(rows)
            rows.append(unbias(values, looks).true)
    few = [
        str(names.get(label, label))
        for label in np.unique(of_cell[of_cell >= 0]).tolist()
        if not (class_of[of_cell == label] >= 0).any()
    ]
    if few:
        warnings.warn(
            f"classes {', '.join(few)} have fewer than {ENOUGH_IN_CLASS} stable points in a pair of the year and are "
            "compared with all of them",
            FewObservationsWarning,
            stacklevel=2,
        )
    return np.array(rows).reshape(len(rows), kept.sizes["pair"]), class_of


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
    if levels.class_true is not None and levels.class_of is not None and len(levels.class_true):
        here = levels.class_of[where]
        each = np.where(here >= 0, levels.class_true.T[:, np.maximum(here, 0)].astype(np.float32), each)
    if levels.squares is not None:
        loss = baseline_losses(mean, each, spans, levels.squares, tables.expected, tables.true)
        each *= np.exp(-loss[None] * levels.squares[:, None, None]).astype(np.float32)
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
                rests = stable_at(stable, p, y, x)
                if m != m or m < (_at(expected, rests) + expected[0]) / 2:
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
