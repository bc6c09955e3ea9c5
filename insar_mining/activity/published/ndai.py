"""The normalised difference activity index, per pair and per year."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.activity.cube.blocks import (
    Block,
    Key,
    in_order,
    lazy_variable,
    map_blocks,
    read_block,
    usual_bytes,
)
from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.activity.cube.dates import year_of
from insar_mining.activity.cube.kernels import difference_index, group_means
from insar_mining.activity.published.scenes import class_means, stable_means
from insar_mining.arrays import FloatArray
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError
from insar_mining.geo.cells import mine_cells, on_cells_of
from insar_mining.geo.georeferenced import georeferenced

logger = logging.getLogger(__name__)

# stable points of a class that give its reference
ENOUGH_IN_CLASS = 10


def ndai(
    coh: xr.DataArray,
    stable: xr.DataArray,
    *,
    classes: xr.DataArray | None = None,
    block_bytes: int | None = None,
) -> xr.DataArray:
    """Return the normalised difference activity index of every pair.

    ``NDAI = (rho_stable - rho) / (rho_stable + rho)``, with ``rho_stable`` the spatial mean of the
    coherence over the stable points, for each pair by itself: near 0 where the ground is as coherent as
    stable ground, towards 1 where it has changed.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Coherence, 0..1; only the pairs to use (`filter_scenes`). Of `open_stack`, or any array with a CRS as rioxarray
        or the CF conventions have it.
    stable : DataArray (y, x) of bool
        Stable points (`stable_points`).
    classes : DataArray (y, x) of integers, optional
        Classes of incidence, say (`classes_by`): cells of each are compared with the stable points of their own class,
        where there are at least 10 of them, else (and where the class is negative) with all.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    DataArray (pair, y, x), float32
        -1..1, made when it is read. Negative values (more coherent than the stable mean) are kept.
        NaN where the coherence is NaN, and all over a pair in which no stable point has data. Coordinates as
        `coh`, and ``rho_stable`` (pair) and ``stable`` (y, x).

    Raises
    ------
    ActivityError
        No stable point, or other cells than the cube's.

    Warns
    -----
    FewObservationsWarning
        A pair has no data on any stable point, or a class has too few of them.

    Notes
    -----
    Equation 1 of Jolleys et al., Climate TRACE (2024), after Moon & Lee 2021, doi:10.3390/rs13091861. Sampled
    with about 7 independent looks, fully decorrelated ground reads a coherence of 0.34, so that
    NDAI ends at about 0.45 and not at 1.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> coh = xr.DataArray(np.array([[[0.9, 0.3]]]), dims=("pair", "y", "x"))
    >>> stable = xr.DataArray(np.array([[True, False]]), dims=("y", "x"))
    >>> ndai(coh, stable).values.round(3)
    array([[[0. , 0.5]]], dtype=float32)
    """
    coh, stable = georeferenced(coh), georeferenced(stable)
    check_cube(coh)
    rho = stable_means(coh, stable, block_bytes=block_bytes)
    group, of_class = _references(coh, stable, classes, rho, block_bytes)
    empty = np.flatnonzero(np.isnan(rho))
    if empty.size:
        names = [str(coh["pair"].values[number]) if "pair" in coh.coords else str(number) for number in empty[:5]]
        warnings.warn(
            f"{empty.size} pair(s) have no data on any stable point and give no NDAI: {', '.join(names)}",
            FewObservationsWarning,
            stacklevel=2,
        )
    attrs = {
        "units": "1",
        "long_name": "normalised difference activity index",
        "n_stable": int(stable.values.sum()),
    }
    on_pairs = {str(name): coord.variable for name, coord in coh.coords.items() if coord.dims == ("pair",)}
    on_pairs["rho_stable"] = xr.Variable("pair", rho, {"units": "1", "long_name": "mean coherence of stable points"})
    on_pairs["stable"] = xr.Variable(("y", "x"), np.asarray(stable.values, np.bool_))
    made = _IndexReader(coh.variable, of_class, group)
    values = lazy_variable(("pair", "y", "x"), coh.shape, made, usual_bytes(coh))
    index = on_cells_of(coh, ("pair", "y", "x"), values, "ndai", attrs, on_pairs)
    index.encoding.update({key: coh.encoding[key] for key in ("preferred_chunks",) if key in coh.encoding})
    return index


def annual_ndai(index: xr.DataArray, min_pairs: int = 1, *, block_bytes: int | None = None) -> xr.DataArray:
    """Return the mean NDAI of every pixel and calendar year.

    Parameters
    ----------
    index : DataArray (pair, y, x)
        From `ndai`. The year of a pair is that of its middle date (coordinate ``year``, or from
        ``reference_date`` and ``secondary_date``).
    min_pairs : int
        Least number of pairs of a pixel in a year; with fewer it is NaN.
    block_bytes : int, optional
        NDAI held at a time; no result depends on it.

    Returns
    -------
    DataArray (year, y, x), float32
        The mean over the finite pairs of each pixel: the mean of NDAI, not NDAI of the mean coherence.
        Coordinates: ``n_pairs`` (year, y, x), finite pairs of the pixel; ``pairs_in_year`` (year), pairs of the year.
        Attributes: ``stable_ndai_mean``, ``stable_ndai_sd`` (ddof 0) and ``stable_ndai_count``, over all annual
        values of the stable points, and ``stable_ndai_by_year``: number, sum and sum of squares in each year.

    Raises
    ------
    ActivityError
        The pairs have no dates.

    Warns
    -----
    FewObservationsWarning
        In a year no pixel has `min_pairs` pairs.

    Notes
    -----
    Years without a pair are not there; they are not filled.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> dates = np.array(["2022-06-01", "2022-06-13", "2023-06-01"], dtype="datetime64[ns]")
    >>> index = xr.DataArray(
    ...     np.array([[[0.1]], [[0.3]], [[0.0]]]), dims=("pair", "y", "x"),
    ...     coords={"reference_date": ("pair", dates), "secondary_date": ("pair", dates + np.timedelta64(12, "D"))})
    >>> annual = annual_ndai(index)
    >>> annual["year"].values, annual.values.ravel().round(2)
    (array([2022, 2023]), array([0.2, 0. ], dtype=float32))
    """
    index = georeferenced(index)
    if index.dims != ("pair", "y", "x"):
        raise ActivityError(
            f"NDAI has the dimensions ('pair', 'y', 'x'), this array {index.dims}. Take it from ndai()."
        )
    if min_pairs < 1:
        raise OptionError(f"min_pairs={min_pairs}: must be 1 or more")
    years, pairs_in_year = years_of_pairs(index)
    shape = years.size, index.sizes["y"], index.sizes["x"]
    mean = np.empty(shape, np.float32)
    count = np.empty(shape, np.int16)
    for block, m, n in annual_blocks(index, min_pairs, block_bytes):
        mean[:, block.rows, block.cols], count[:, block.rows, block.cols] = m, n
    of_stable = _stable_statistics(index, mean)
    # ground around the mine has served its purpose (open_stack's margin_m)
    outside = ~mine_cells(index)
    mean[:, outside], count[:, outside] = np.nan, 0
    for year, layer in zip(years, mean, strict=True):
        if np.isnan(layer).all():
            warnings.warn(
                f"{year}: no pixel has {min_pairs} pair(s) or more; the year is all NaN",
                FewObservationsWarning,
                stacklevel=2,
            )
    coords = {
        "year": ("year", years),
        "n_pairs": (("year", "y", "x"), count, {"long_name": "finite pairs of the pixel in the year"}),
        "pairs_in_year": ("year", pairs_in_year),
    }
    attrs = {
        "units": "1",
        "long_name": "annual mean of the normalised difference activity index",
        "min_pairs": min_pairs,
        **of_stable,
    }
    return on_cells_of(index, ("year", "y", "x"), mean, "annual_ndai", attrs, coords)


def annual_blocks(
    index: xr.DataArray, min_pairs: int = 1, block_bytes: int | None = None
) -> Iterator[tuple[Block, npt.NDArray[np.float32], npt.NDArray[np.int16]]]:
    """Yield block by block the annual mean (year, row, column) of `annual_ndai` and the finite pairs behind it."""
    years, group = np.unique(_years(index), return_inverse=True)

    def one(block: Block) -> tuple[Block, npt.NDArray[np.float32], npt.NDArray[np.int16]]:
        shape = years.size, *block.shape
        values = read_block(index, block)
        mean, count = group_means(values.reshape(values.shape[0], -1), group.astype(np.int64), years.size)
        mean[count < min_pairs] = np.nan
        return block, mean.astype(np.float32).reshape(shape), count.astype(np.int16).reshape(shape)

    yield from in_order(one, map_blocks(index, block_bytes))


def years_of_pairs(index: xr.DataArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the years of some pairs, in order, and how many pairs each has."""
    return np.unique(_years(index), return_counts=True)


def _references(
    coh: xr.DataArray,
    stable: xr.DataArray,
    classes: xr.DataArray | None,
    rho: FloatArray,
    block_bytes: int | None,
) -> tuple[npt.NDArray[np.int16], FloatArray]:
    """Return the stable reference of every cell and pair: numbers (y, x) of rows of (references, pair)."""
    if classes is None:
        # one zero that stands for every cell: a map of them would be 200 MB of 10,000 x 10,000 cells
        return np.broadcast_to(np.zeros((), np.int16), coh.shape[1:]), rho[np.newaxis]
    group = np.zeros(coh.shape[1:], np.int16)
    check_same_cells(coh, classes, "classes")
    points = np.where(np.asarray(stable.values, np.bool_), classes.values, -1)
    numbers, counts = np.unique(points[points >= 0], return_counts=True)
    chosen = numbers[counts >= ENOUGH_IN_CLASS]
    few = sorted({int(label) for label in np.unique(classes.values) if label >= 0} - {int(label) for label in chosen})
    if few:
        warnings.warn(
            f"class(es) {', '.join(map(str, few))} have fewer than {ENOUGH_IN_CLASS} stable points of their own; they "
            "are compared with the stable points of all classes",
            FewObservationsWarning,
            stacklevel=3,
        )
    if not chosen.size:
        return group, rho[np.newaxis]
    of_class = class_means(coh, classes.copy(data=np.where(np.isin(points, chosen), points, -1)),
                           block_bytes=block_bytes)[1]  # fmt: skip
    for number, label in enumerate(chosen, start=1):
        group[classes.values == label] = number
    # a class without data in a pair falls back on all classes, so that no pair is lost
    return group, np.concatenate([rho[np.newaxis], np.where(np.isnan(of_class), rho, of_class)])


class _IndexReader:
    """Make any part of the NDAI of a lazy cube."""

    def __init__(self, coh: xr.Variable, of_class: FloatArray, group: npt.NDArray[np.int16]) -> None:
        self._coh, self._of_class, self._group = coh, of_class, group

    def __call__(self, key: Key) -> npt.NDArray[np.float32]:
        pairs, rows, cols = key
        values = self._coh[{"pair": pairs, "y": rows, "x": cols}].values
        return _index(np.ascontiguousarray(values, np.float32), self._of_class[:, pairs], self._group[rows][:, cols])


def _index(
    values: npt.NDArray[np.float32], of_class: FloatArray, group: npt.NDArray[np.int16]
) -> npt.NDArray[np.float32]:
    flat = values.reshape(values.shape[0], group.size)
    return np.asarray(difference_index(flat, np.ascontiguousarray(of_class), group.ravel()).reshape(values.shape))


def _years(index: xr.DataArray) -> npt.NDArray[np.int64]:
    """Return the year of the middle date of every pair."""
    if "year" in index.coords and index["year"].dims == ("pair",):
        return index["year"].values.astype(np.int64)
    if not {"reference_date", "secondary_date"} <= set(index.coords):
        raise ActivityError(
            "the pairs have no dates. Give the cube the coordinates reference_date and secondary_date on 'pair'."
        )
    dates = zip(index["reference_date"].values, index["secondary_date"].values, strict=True)
    return np.array([year_of(reference, secondary) for reference, secondary in dates], np.int64)


def _stable_statistics(index: xr.DataArray, annual: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Return the mean and sd of the annual NDAI of stable points, from which the limit of black follows."""
    if "stable" not in index.coords:
        return {}
    values = annual[:, index["stable"].values].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return {}
    years = [layer[np.isfinite(layer)] for layer in annual[:, index["stable"].values].astype(np.float64)]
    return {
        "stable_ndai_by_year": [[layer.size, float(layer.sum()), float((layer**2).sum())] for layer in years],
        "stable_ndai_mean": float(values.mean()),
        "stable_ndai_sd": float(values.std()),
        "stable_ndai_count": int(values.size),
    }
