"""Stable ground: by the published rule, once or until it settles."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.cube.blocks import Block, held, only_where, over_data, walk
from insar_mining.activity.cube.checks import check_cube, check_same_cells
from insar_mining.activity.cube.kernels import pair_counts, pair_sums, pixel_moments, points_of_best
from insar_mining.activity.published.scenes import (
    ROUNDING,
    check_limits,
    kept_pairs,
    none_kept,
    table_of,
)
from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError, UnsettledWarning
from insar_mining.geo.cells import on_cells_of

StableMethod = Literal["iterated", "published"]

logger = logging.getLogger(__name__)

# the iteration starts from no smaller share of the pairs, and warns when it ends with fewer
MAX_ITERATIONS = 5  # of stable points and scenes; they settle in two or three
START_SHARE = 0.25

# a stable set of fewer points is no measure of a scene
FEW_POINTS = 10

# how much the limits are loosened to report what would have been found
LOOSER_MEAN = (0.0, 0.05, 0.1, 0.2)
LOOSER_SD = (0.0, 0.05, 0.1)


class StableIteration(NamedTuple):
    """Hold the result of `iterate_stable`.

    Attributes
    ----------
    stable : DataArray (y, x) of bool
    kept : DataArray (pair, y, x)
        The pairs that passed the scene test over `stable`.
    table : DataFrame
        As of `scene_table`.
    history : DataFrame
        One row per iteration: iteration, pairs_used, stable_points, pairs_kept, pairs_changed.
    """

    stable: xr.DataArray
    kept: xr.DataArray
    table: pd.DataFrame
    history: pd.DataFrame


@dataclass
class _Found:
    """Hold stable points of one pass, the sums of every pair over them, and what looser limits would have found."""

    mask: BoolArray
    sums: npt.NDArray[np.int64]
    looser: dict[tuple[float, float], int] = field(default_factory=dict)
    best: tuple[float, float] = (float("nan"), float("nan"))
    pixels: int = 0


def pixel_statistics(coh: xr.DataArray, *, block_bytes: int | None = None) -> xr.Dataset:
    """Return mean, standard deviation (ddof 0) and number of finite pairs of every pixel.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    Dataset
        ``mean`` and ``sd`` (y, x) float64, NaN where no pair is finite; ``n_pairs`` (y, x) int64.
    """
    check_cube(coh)
    shape = coh.sizes["y"], coh.sizes["x"]
    mean, sd, count = np.empty(shape), np.empty(shape), np.empty(shape, np.int64)
    use = np.ones(coh.sizes["pair"], np.bool_)
    for block, values in walk(coh, block_bytes):
        where = block.rows, block.cols
        n, m, s = pixel_moments(values.reshape(len(use), -1), use)
        count[where], mean[where], sd[where] = (part.reshape(block.shape) for part in (n, m, s))
    parts = {"mean": (mean, "1"), "sd": (sd, "1"), "n_pairs": (count, "1")}
    return xr.Dataset(
        {key: on_cells_of(coh, ("y", "x"), values, key, {"units": unit}) for key, (values, unit) in parts.items()}
    )


def stable_points(
    coh: xr.DataArray,
    mean_min: float = 0.8,
    std_max: float = 0.2,
    *,
    min_pairs: int | None = None,
    method: StableMethod = "iterated",
    where: xr.DataArray | None = None,
    block_bytes: int | None = None,
) -> xr.DataArray:
    """Find the pixels that stay coherent.

    A pixel is stable when the mean of its coherence over time is at least `mean_min` and its standard
    deviation (ddof 0) at most `std_max`, over its finite pairs, bounds inclusive.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Coherence, 0..1, NaN nodata.
    mean_min, std_max : float
    min_pairs : int, optional
        Least number of finite pairs of a stable pixel. Default: half of the pairs in use, or 1 for
        ``method="published"``.
    method : {"iterated", "published"}
        ``"published"`` takes the rule literally, once over all pairs (Climate TRACE 2024, sections 3-5).
        With 0.8 / 0.2 it finds nothing once more than a tenth of the pairs lie under snow.
        ``"iterated"`` applies it to the pairs that pass the scene test, as `iterate_stable` does.
    where : DataArray (y, x) of bool, optional
        Cells that may be stable points (`stable_ground`, or a kind of ground); default all with data.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    DataArray (y, x) of bool
        Attributes: ``method``, ``mean_min``, ``std_max``, ``min_pairs``, ``n_stable``.

    Raises
    ------
    ActivityError
        No pixel is stable; the message says what looser limits would find. Or, iterated, no scene is left.

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
    >>> int(stable_points(coh).sum())
    24
    """
    if method not in get_args(StableMethod):
        raise OptionError(f"method={method!r}: choose one of {', '.join(get_args(StableMethod))}")
    if method == "iterated":
        return iterate_stable(coh, mean_min, std_max, min_pairs=min_pairs, where=where, block_bytes=block_bytes).stable
    check_cube(coh)
    check_limits(mean_min, std_max)
    use = np.ones(coh.sizes["pair"], np.bool_)
    found = _stable_pass(_candidates(coh, where), use, mean_min, std_max, min_pairs or 1, block_bytes)
    if not found.mask.any():
        raise ActivityError(_none_stable(found, mean_min, std_max, int(use.sum()), min_pairs or 1))
    return _stable_map(coh, found.mask, "published", mean_min, std_max, min_pairs or 1)


def iterate_stable(
    coh: xr.DataArray,
    mean_min: float = 0.8,
    std_max: float = 0.2,
    *,
    scene_mean_min: float | None = None,
    scene_std_max: float | None = None,
    min_pairs: int | None = None,
    where: xr.DataArray | None = None,
    block_bytes: int | None = None,
) -> StableIteration:
    """Find stable points and good scenes together, each on the ground of the other.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    mean_min, std_max : float
        Of a stable point, over time.
    scene_mean_min, scene_std_max : float, optional
        Of a scene, over the stable points; default `mean_min` and `std_max`.
    min_pairs : int, optional
        Least number of finite pairs of a stable pixel; default half of the pairs in use.
    where : DataArray (y, x) of bool, optional
        Cells that may be stable points (`stable_ground`, or a kind of ground); default all with data.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    StableIteration
        ``(stable, kept, table, history)``.

    Raises
    ------
    ActivityError
        No pixel is stable, or every scene is rejected.

    Warns
    -----
    UnsettledWarning
        The scenes kept still changed in the last iteration.

    Notes
    -----
    Each iteration takes the published rule over the pairs kept so far (all of them weigh alike), then tests
    **every** pair over the stable points found, so that a pair which was dropped can come back. It ends
    when the kept pairs no longer change.

    It cannot always start from all pairs: with a share f of snow scenes of coherence 0.35 beside stable ground of
    0.9, a stable pixel has the standard deviation 0.55 sqrt(f (1 - f)), which exceeds 0.2 at f = 0.16 (earlier with
    noise). So the pairs are ranked by the share of their pixels that reach `mean_min`, in which snow over
    everything comes last, and the start is the largest number of best pairs over which the published rule
    finds 10 points (or as many as it ever finds), but at least a quarter of the pairs, to avoid
    chance detections. Where the published single pass finds points, the start is that pass. The ranking decides
    nothing else: every pair is tested in every iteration.

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
    >>> stable, kept, scenes, history = iterate_stable(coh)
    >>> int(stable.sum()), kept.sizes["pair"], scenes.query("not kept")["pair"].tolist()
    (24, 7, ['20230206_20230218'])
    """
    check_cube(coh)
    check_limits(mean_min, std_max)
    scene_limits = (
        mean_min if scene_mean_min is None else scene_mean_min,
        std_max if scene_std_max is None else scene_std_max,
    )
    check_limits(*scene_limits)
    coh = held(coh)
    cube = _candidates(coh, where)
    kept = _start(cube, mean_min, std_max, min_pairs, block_bytes)
    rows: list[tuple[int, int, int, int, int]] = []
    settled = False
    while not settled and len(rows) < MAX_ITERATIONS:
        least = _least_pairs(kept, min_pairs)
        found = _stable_pass(cube, kept, mean_min, std_max, least, block_bytes)
        if not found.mask.any():
            raise ActivityError(_none_stable(found, mean_min, std_max, int(kept.sum()), least))
        table = table_of(coh, found.sums, *scene_limits)
        passed = table["kept"].to_numpy(dtype=np.bool_)
        if not passed.any():
            raise ActivityError(none_kept(table, *scene_limits))
        changed = int(np.count_nonzero(passed != kept))
        rows.append((len(rows) + 1, int(kept.sum()), int(found.mask.sum()), int(passed.sum()), changed))
        settled, kept = changed == 0, passed
    history = pd.DataFrame(rows, columns=["iteration", "pairs_used", "stable_points", "pairs_kept", "pairs_changed"])
    if not settled:
        warnings.warn(
            f"stable points and scenes did not settle in {MAX_ITERATIONS} iterations ({changed} pairs changed in the "
            "last one); the last result is used. Look at the history",
            UnsettledWarning,
            stacklevel=2,
        )
    if kept.sum() < START_SHARE * kept.size:
        warnings.warn(
            f"only {int(kept.sum())} of {kept.size} scenes pass the scene test: the stable points may be so by "
            "chance. Look at the scene table, loosen the limits or choose a larger polygon.",
            FewObservationsWarning,
            stacklevel=2,
        )
    stable = _stable_map(coh, found.mask, "iterated", mean_min, std_max, least)
    stable.attrs |= {"iterations": len(rows), "settled": int(settled)}
    return StableIteration(stable, kept_pairs(coh, table), table, history)


def _candidates(coh: xr.DataArray, where: xr.DataArray | None) -> xr.DataArray:
    """Return the cube without the cells that cannot be stable points."""
    if where is None:
        return coh
    check_same_cells(coh, where, "cells of where=")
    return only_where(coh, np.asarray(where.values, np.bool_))


def _least_pairs(use: BoolArray, min_pairs: int | None) -> int:
    """Return the least number of finite pairs of a stable pixel: half of those in use, rounded up, unless given."""
    return max(1, (int(use.sum()) + 1) // 2) if min_pairs is None else min_pairs


def _start(
    cube: xr.DataArray, mean_min: float, std_max: float, min_pairs: int | None, block_bytes: int | None
) -> BoolArray:
    """Return the pairs to begin with: as many of the best as the rule allows; see the notes of `iterate_stable`."""
    pairs = cube.sizes["pair"]
    count, above = np.zeros(pairs, np.int64), np.zeros(pairs, np.int64)

    def counted(_: Block, values: Float32Array) -> tuple[IntArray, IntArray]:
        n, high = pair_counts(values.reshape(pairs, -1), mean_min - ROUNDING)
        return n, high

    for _, (n, high) in over_data(cube, counted, block_bytes):
        count += n
        above += high
    order = np.argsort(-above / np.maximum(count, 1), kind="stable")
    numbers = np.arange(1, pairs + 1)
    least = np.full(pairs, min_pairs) if min_pairs is not None else (numbers + 1) // 2
    points = np.zeros(pairs, np.int64)

    def stable_of_best(_: Block, values: Float32Array) -> IntArray:
        flat = values.reshape(pairs, -1)
        return np.asarray(points_of_best(flat, order, least, mean_min - ROUNDING, std_max + ROUNDING))

    for _, found in over_data(cube, stable_of_best, block_bytes):
        points += found
    points[numbers < START_SHARE * pairs] = 0
    enough = (points > 0) & (points >= min(FEW_POINTS, int(points.max())))
    best = int(numbers[enough].max()) if enough.any() else pairs
    logger.debug("the iteration starts with the best %d of %d pairs, %d points", best, pairs, points[best - 1])
    use = np.zeros(pairs, np.bool_)
    use[order[:best]] = True
    return use


def _stable_pass(
    cube: xr.DataArray, use: BoolArray, mean_min: float, std_max: float, least: int, block_bytes: int | None
) -> _Found:
    """Read the cube once: stable points over the pairs in use, sums of every pair over them."""
    pairs = cube.sizes["pair"]
    found = _Found(np.zeros((cube.sizes["y"], cube.sizes["x"]), np.bool_), np.zeros((pairs, 4), np.int64))

    def summed(_: Block, values: Float32Array) -> tuple[BoolArray, IntArray]:
        flat = values.reshape(pairs, -1)
        count, mean, sd = pixel_moments(flat, use)
        mask = (count >= least) & (mean >= mean_min - ROUNDING) & (sd <= std_max + ROUNDING)
        return mask, pair_sums(flat, mask)

    for block, (mask, sums) in over_data(cube, summed, block_bytes):
        found.mask[block.rows, block.cols] = mask.reshape(block.shape)
        found.sums += sums
    if not found.mask.any():
        _look_further(found, cube, use, mean_min, std_max, least, block_bytes)
    return found


def _look_further(
    found: _Found,
    cube: xr.DataArray,
    use: BoolArray,
    mean_min: float,
    std_max: float,
    least: int,
    block_bytes: int | None,
) -> None:
    """Find, if nothing is stable, what looser limits would have given, and the best pixel."""
    limits = [(round(mean_min - m, 6), round(std_max + s, 6)) for m in LOOSER_MEAN for s in LOOSER_SD]
    found.looser = dict.fromkeys(limits, 0)

    def moments(_: Block, values: Float32Array) -> tuple[IntArray, FloatArray, FloatArray]:
        count, mean, sd = pixel_moments(values.reshape(use.size, -1), use)
        return count, mean, sd

    for _, (count, mean, sd) in over_data(cube, moments, block_bytes):
        enough = count >= least
        found.pixels += int(np.count_nonzero(count))
        for m, s in limits:
            found.looser[m, s] += int(np.count_nonzero(enough & (mean >= m - ROUNDING) & (sd <= s + ROUNDING)))
        if enough.any():
            best = int(np.argmax(np.where(enough, mean, -1.0)))
            if not mean[best] <= found.best[0]:
                found.best = float(mean[best]), float(sd[best])


def _stable_map(
    coh: xr.DataArray, mask: BoolArray, method: str, mean_min: float, std_max: float, least: int
) -> xr.DataArray:
    points = int(mask.sum())
    if points < FEW_POINTS:
        warnings.warn(
            f"only {points} stable point(s) (mean >= {mean_min:g}, sd <= {std_max:g}): what is said of the scenes "
            "rests on little. Choose a larger polygon or looser limits.",
            FewObservationsWarning,
            stacklevel=3,
        )
    attrs = {
        "long_name": "stable points",
        "method": method,
        "mean_min": float(mean_min),
        "std_max": float(std_max),
        "min_pairs": int(least),
        "n_stable": points,
    }
    return on_cells_of(coh, ("y", "x"), mask, "stable", attrs)


def _none_stable(found: _Found, mean_min: float, std_max: float, pairs: int, least: int) -> str:
    """Explain why nothing is stable, and what would be."""
    if not found.pixels:
        return "no pixel has any coherence: the mine lies where the rasters hold no data; check the polygon"
    if np.isnan(found.best[0]):
        return f"no pixel has data in {least} of {pairs} pairs or more (min_pairs); lower it, or look for gaps"
    would = [f"{n} with mean_min={m:g}, std_max={s:g}" for (m, s), n in found.looser.items() if n]
    best = f"the best of {found.pixels} pixels has a mean of {found.best[0]:.3f} and an sd of {found.best[1]:.3f}"
    options = f"there would be {'; '.join(would[:3])}" if would else "looser limits by 0.2 / 0.1 find none either"
    return (
        f"no stable point over {pairs} pairs (mean >= {mean_min:g}, sd <= {std_max:g}): {best}; {options}. "
        "A larger polygon with firm ground around the mine helps, and so does leaving out snow"
    )
