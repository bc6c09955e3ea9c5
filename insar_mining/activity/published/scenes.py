"""Scenes: whether the stable ground looks stable in each of them."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.cube.blocks import Block, layers_of, over_data
from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.activity.cube.kernels import mean_and_sd, pair_sums
from insar_mining.arrays import BoolArray, Float32Array, FloatArray
from insar_mining.errors import ActivityError, OptionError

logger = logging.getLogger(__name__)

# bounds are inclusive; a coherence stored as float32 may lie this far below what was meant
ROUNDING = 1e-7

SCENE_COLUMNS = ("pair", "kept", "reason", "stable_mean", "stable_sd", "n_stable")


def scene_table(
    coh: xr.DataArray,
    stable: xr.DataArray,
    mean_min: float = 0.8,
    std_max: float = 0.2,
    *,
    block_bytes: int | None = None,
) -> pd.DataFrame:
    """Test every scene by the coherence of its stable points.

    A scene (the coherence image of one pair) is kept when the mean over the stable points is at least
    `mean_min` and their standard deviation (ddof 0) at most `std_max`, bounds inclusive.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    stable : DataArray (y, x) of bool
    mean_min, std_max : float
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    DataFrame
        One row per pair: pair, kept, reason (empty for a kept one), stable_mean, stable_sd,
        n_stable (stable points with data in that pair).
    """
    check_cube(coh)
    check_limits(mean_min, std_max)
    mask = _mask_of(coh, stable)
    return table_of(coh, _sums_over(coh, mask, block_bytes), mean_min, std_max)


def filter_scenes(
    coh: xr.DataArray,
    stable: xr.DataArray,
    mean_min: float = 0.8,
    std_max: float = 0.2,
    *,
    block_bytes: int | None = None,
) -> xr.DataArray:
    """Drop the scenes in which the stable points do not look stable.

    Parameters
    ----------
    coh, stable, mean_min, std_max, block_bytes
        As of `scene_table`.

    Returns
    -------
    DataArray (pair, y, x)
        The kept pairs; ``attrs["scenes"]`` is the whole `scene_table`, the rejected pairs and the reasons included.

    Raises
    ------
    ActivityError
        Every scene is rejected.

    Examples
    --------
    >>> import numpy as np, pandas as pd, xarray as xr
    >>> dates = pd.date_range("2023-01-01", periods=9, freq="12D")
    >>> values = np.full((8, 5, 5), 0.9)
    >>> values[:, 0, 0] = 0.3  # worked ground
    >>> values[3] = 0.2  # snow over everything
    >>> coh = xr.DataArray(values, dims=("pair", "y", "x"))
    >>> coh = coh.assign_coords(
    ...     pair=[f"{a:%Y%m%d}_{b:%Y%m%d}" for a, b in zip(dates, dates[1:])],
    ...     reference_date=("pair", dates[:-1]), secondary_date=("pair", dates[1:]))
    >>> kept = filter_scenes(coh, coh.isel(pair=0) > 0.8)
    >>> kept.sizes["pair"], kept.attrs["scenes"].query("not kept")["pair"].tolist()
    (7, ['20230206_20230218'])
    """
    table = scene_table(coh, stable, mean_min, std_max, block_bytes=block_bytes)
    if not table["kept"].any():
        raise ActivityError(none_kept(table, mean_min, std_max))
    return kept_pairs(coh, table)


def stable_means(coh: xr.DataArray, stable: xr.DataArray, *, block_bytes: int | None = None) -> npt.NDArray[np.float64]:
    """Return the spatial mean of every pair over the stable points, shape (pair,); NaN where none of them has data."""
    check_cube(coh)
    return mean_and_sd(_sums_over(coh, _mask_of(coh, stable), block_bytes))[0]


def class_means(
    coh: xr.DataArray, classes: xr.DataArray, *, block_bytes: int | None = None
) -> tuple[list[int], FloatArray, npt.NDArray[np.int64]]:
    """Return the spatial mean of every pair over the cells of each class.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    classes : DataArray (y, x) of bool or integers
        True, or a number >= 0, for the cells to use; any other value belongs to no class.

    Returns
    -------
    labels : list of int
        In order; 1 alone for an array of bool.
    mean : ndarray, shape (classes, pairs)
        NaN where no cell has data.
    count : ndarray of int64, shape (classes, pairs)

    Raises
    ------
    ActivityError
        No cell belongs to a class, or other cells than the cube's.
    """
    check_cube(coh)
    check_same_cells(coh, classes, "classes")
    values = np.asarray(classes.values)
    values = np.where(values, 1, -1) if values.dtype == np.bool_ else values
    labels = [int(label) for label in np.unique(values) if label >= 0]
    if not labels:
        raise ActivityError("no cell belongs to any class. Check the raster or the polygons that they come from.")
    pairs = coh.sizes["pair"]
    sums = np.zeros((len(labels), pairs, 4), np.int64)

    def summed(block: Block, part: Float32Array) -> npt.NDArray[np.int64]:
        here, found = values[block.rows, block.cols].ravel(), np.zeros_like(sums)
        for number, label in enumerate(labels):
            chosen = here == label
            if chosen.any():
                found[number] = pair_sums(part.reshape(pairs, -1), chosen)
        return found

    for _, found in over_data(coh, summed, block_bytes):
        sums += found
    return labels, np.stack([mean_and_sd(of_class)[0] for of_class in sums]), sums[:, :, 0]


def check_limits(mean_min: float, std_max: float) -> None:
    """Refuse limits that no coherence can meet or fail."""
    if not 0 <= mean_min <= 1 or not 0 <= std_max <= 1:
        raise OptionError(f"mean_min={mean_min}, std_max={std_max}: both must lie in 0..1")


def table_of(coh: xr.DataArray, sums: npt.NDArray[np.int64], mean_min: float, std_max: float) -> pd.DataFrame:
    """Test every scene by its sums over the stable points (`kernels.pair_sums`); see `scene_table`."""
    mean, sd = mean_and_sd(sums)
    reasons = []
    for m, s in zip(mean, sd, strict=True):
        parts = []
        if np.isnan(m):
            parts.append("no stable point has data")
        elif m < mean_min - ROUNDING:
            parts.append(f"stable mean {m:.3f} < {mean_min:g}")
        if s > std_max + ROUNDING:
            parts.append(f"stable sd {s:.3f} > {std_max:g}")
        reasons.append("; ".join(parts))
    columns = (_names(coh), _passes(mean, sd, mean_min, std_max), reasons, mean, sd, sums[:, 0])
    return pd.DataFrame(dict(zip(SCENE_COLUMNS, columns, strict=True)))


def kept_pairs(coh: xr.DataArray, table: pd.DataFrame) -> xr.DataArray:
    """Return the pairs that a scene table keeps, with the table."""
    kept = layers_of(coh, np.flatnonzero(table["kept"].to_numpy()))
    kept.attrs = {**coh.attrs, "scenes": table}
    rejected = table.loc[~table["kept"], "pair"]
    if len(rejected):
        logger.info("%d of %d scenes rejected: %s", len(rejected), len(table), ", ".join(rejected))
    return kept


def none_kept(table: pd.DataFrame, mean_min: float, std_max: float) -> str:
    """Describe by how much every scene failed."""
    if not table["stable_mean"].notna().any():
        return f"all {len(table)} scenes rejected: no stable point has data in any of them"
    best = table.iloc[int(np.nanargmax(table["stable_mean"]))]
    return (
        f"all {len(table)} scenes rejected (stable mean >= {mean_min:g}, sd <= {std_max:g}): the best, {best['pair']}, "
        f"has a mean of {best['stable_mean']:.3f} and an sd of {best['stable_sd']:.3f} over {best['n_stable']} points; "
        "loosen the limits of the scene test"
    )


def _sums_over(cube: xr.DataArray, mask: BoolArray, block_bytes: int | None) -> npt.NDArray[np.int64]:
    """Sum every pair over the pixels of a mask."""
    pairs = cube.sizes["pair"]
    sums = np.zeros((pairs, 4), np.int64)

    def summed(block: Block, values: Float32Array) -> npt.NDArray[np.int64]:
        return np.asarray(pair_sums(values.reshape(pairs, -1), mask[block.rows, block.cols].ravel()))

    for _, found in over_data(cube, summed, block_bytes):
        sums += found
    return sums


def _mask_of(coh: xr.DataArray, stable: xr.DataArray) -> BoolArray:
    """Return the stable points as an array of bool on the cube's cells."""
    check_same_cells(coh, stable, "stable points")
    mask = np.asarray(stable.values, dtype=np.bool_)
    if not mask.any():
        raise ActivityError(
            "the set of stable points is empty. Loosen mean_min or std_max, or choose a larger polygon."
        )
    return mask


def _passes(mean: npt.NDArray[np.float64], sd: npt.NDArray[np.float64], mean_min: float, std_max: float) -> BoolArray:
    """Test every scene; a pair without data fails."""
    return np.asarray((mean >= mean_min - ROUNDING) & (sd <= std_max + ROUNDING))


def _names(coh: xr.DataArray) -> list[str]:
    """Return the names of the pairs; their numbers where they have none."""
    return [str(name) for name in (coh["pair"].values if "pair" in coh.coords else range(coh.sizes["pair"]))]
