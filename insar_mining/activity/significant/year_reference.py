"""What a year is decided against: its stable ground, the looks behind its coherence, and the limit of significance."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import ndimage, optimize, special

from insar_mining.activity.cube.blocks import Block, in_order, is_lazy, map_blocks, may_hold_data
from insar_mining.activity.cube.kernels import has_data
from insar_mining.activity.published.scenes import filter_scenes, stable_means
from insar_mining.activity.published.stable import iterate_stable, stable_points
from insar_mining.activity.significant.decision import HALO
from insar_mining.activity.significant.local_scores import (
    Levels,
    LookTables,
    departed,
    local_means,
    local_scores,
    look_tables,
    own_ratio,
    score_counts,
    value_counts,
)
from insar_mining.activity.significant.losses import squares_of, stable_in_cells
from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray
from insar_mining.coherence.estimators.statistics import coherence_sd, expected_coherence, unbias
from insar_mining.geo.cells import inside

logger = logging.getLogger(__name__)

FALSE_DISCOVERY_RATE = 0.01
MIN_LOSS = 0.5

# local scores are counted in steps of this, from the lowest that a double knows
_SCORE_LOW, _SCORE_HIGH, _SCORE_STEP = -8.4, 4.0, 0.005

# looks of a 2 x 7 window in IW, where the stable ground is too small to tell
USUAL_LOOKS = 7.0
ENOUGH_CELLS, ENOUGH_PAIRS, MOST_CELLS = 30, 3, 4000
# tables are made for looks rounded to this
LOOKS_STEP = 0.25

# stable points fewer than these are no reference; pairs whose stable median is lower are under snow
ENOUGH_POINTS = 10
SNOW_BELOW = 0.6
_VALUE_STEPS = 1024
_SQUARE = np.ones((3, 3), np.bool_)

# of local scores of a year up to this size (31 pairs of 1450 x 1450 cells) the low ones are kept between the two
# passes; should one that is not so low be significant after all, scores are made again
KEEP_BYTES = 256 * 2**20
KEPT_BELOW = -1.0


@dataclass(frozen=True, eq=False)
class YearReference:
    """What a year is decided against, from its own pairs.

    Attributes
    ----------
    year : int
    pairs : ndarray of int
        Positions of the kept pairs in the cube.
    stable : DataArray (y, x) of bool
    stable_true : ndarray (pairs,)
        True coherence of the stable ground in each pair: the inverse of the expectation at the mean over its points.
    spans : ndarray (pairs,)
        Days of each pair over those of the shortest.
    looks : float
        Independent looks, from the scatter of the stable points.
    centre, scale : float
        Of the local scores on stable ground.
    critical : float
        Local score below which a loss is significant; minus infinity where nothing is.
    alone : float
        Local score below which a loss would be significant if it were the only one of its year.
    false_discovery_rate, min_loss : float
    squares : ndarray (pairs,), optional
        Squares of the baselines over that of 250 m, where every cell is expected to lose with them as much as its own
        pairs tell (`baseline_losses`); None: no cell is.
    """

    year: int
    pairs: IntArray
    stable: xr.DataArray
    stable_true: FloatArray
    spans: FloatArray
    looks: float
    centre: float
    scale: float
    critical: float
    alone: float
    false_discovery_rate: float
    min_loss: float
    squares: FloatArray | None = None

    @property
    def tables(self) -> LookTables:
        """Tables of the law of coherence for the year's looks."""
        return _tables(max(LOOKS_STEP * round(self.looks / LOOKS_STEP), 1.5))


def stable_of_year(
    coh: xr.DataArray,
    mean_min: float,
    std_max: float,
    scene_mean_min: float,
    scene_std_max: float,
    method: str,
    *,
    where: xr.DataArray | None = None,
    block_bytes: int | None = None,
) -> tuple[xr.DataArray, xr.DataArray, pd.DataFrame]:
    """Return stable points, kept pairs and the table of scenes of some pairs."""
    if method == "iterated":
        stable = iterate_stable(
            coh,
            mean_min,
            std_max,
            scene_mean_min=scene_mean_min,
            scene_std_max=scene_std_max,
            where=where,
            block_bytes=block_bytes,
        ).stable
    else:
        stable = stable_points(coh, mean_min, std_max, method="published", where=where, block_bytes=block_bytes)
    stable = quiet_points(coh, stable, block_bytes=block_bytes)
    kept = filter_scenes(coh, stable, scene_mean_min, scene_std_max, block_bytes=block_bytes)
    return stable, kept, kept.attrs["scenes"]


def quiet_points(coh: xr.DataArray, stable: xr.DataArray, *, block_bytes: int | None = None) -> xr.DataArray:
    """Leave out stable points that were disturbed in single pairs.

    Ground that is destroyed in one pair of thirty is stable by mean and standard deviation over time. If much of it
    is, its pair looks as bad as one under snow, and would be rejected for what it should tell.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    stable : DataArray (y, x) of bool
    block_bytes : int, optional

    Returns
    -------
    DataArray (y, x) of bool
        Without the points that lie within two cells of one whose local mean fell, in any pair, below the middle of
        decorrelated ground and the pair's median over `stable`. Pairs with a median below 0.6 (snow) say nothing.
        `stable` itself where fewer than ten points, or a tenth of them, would be left.
    """
    mask = stable.values
    blocks = [block for block in map_blocks(coh, block_bytes) if mask[block.rows, block.cols].any()]
    every = np.arange(coh.sizes["pair"])
    counts = np.zeros((every.size, _VALUE_STEPS), np.int64)

    def counted(block: Block) -> IntArray:
        here = np.ascontiguousarray(mask[block.rows, block.cols])
        return np.asarray(value_counts(_read(coh, every, block.rows, block.cols), here, _VALUE_STEPS))

    for found in in_order(counted, blocks):
        counts += found
    half = np.cumsum(counts, axis=1) * 2 >= np.maximum(counts.sum(axis=1, keepdims=True), 1)
    usual = (half.argmax(axis=1) + 0.5) / _VALUE_STEPS
    usual[usual < SNOW_BELOW] = np.nan
    gone = np.zeros(mask.shape, np.bool_)
    floor = float(expected_coherence(0.0, USUAL_LOOKS))

    def disturbed(block: Block) -> tuple[Block, BoolArray]:
        rows, cols, inner = with_margin(block, coh)
        found = departed(local_means(_read(coh, every, rows, cols)), usual, floor)
        return block, ndimage.binary_dilation(found, _SQUARE, iterations=2)[inner]

    for block, there in in_order(disturbed, blocks):
        gone[block.rows, block.cols] = there
    left = mask & ~gone
    if left.sum() < max(ENOUGH_POINTS, mask.sum() / 10):
        return stable
    quiet = stable.copy(data=left)
    quiet.attrs["n_stable"] = int(left.sum())
    return quiet


def estimate_looks(samples: Float32Array) -> float:
    """Estimate the independent looks behind the coherence of ground that does not change.

    Parameters
    ----------
    samples : ndarray (pairs, cells)
        Coherence of stable cells.

    Returns
    -------
    float
        Looks for which the law of coherence scatters as the cells do between pairs far apart in time, once
        what all cells of a pair have in common is taken off. Real changes of the ground lower it; speckle that
        lasts over the stack raises it (ground of coherence 0.94: by 4 % with 30 pairs, by a
        fifth with 11, by a third with 6). `USUAL_LOOKS` where there are fewer than 30 cells or 3 pairs.
    """
    x = samples[:, np.isfinite(samples).all(axis=0)].astype(np.float64)
    pairs, cells = x.shape
    if cells < ENOUGH_CELLS or pairs < ENOUGH_PAIRS:
        logger.info(
            "looks cannot be estimated from %d stable cells and %d pairs (%d and %d are needed): %g are assumed",
            cells, pairs, ENOUGH_CELLS, ENOUGH_PAIRS, USUAL_LOOKS,
        )  # fmt: skip
        return USUAL_LOOKS
    rest = x - np.median(x - x.mean(axis=0), axis=1, keepdims=True)
    # ground that stays coherent keeps its speckle, and with it a part of the error: far pairs share the least
    lags = range(pairs - max(1, pairs // 3), pairs)
    variance = np.mean([((rest[lag:] - rest[:-lag]) ** 2).mean(axis=0) / 2 for lag in lags], axis=0)

    cell_mean = x.mean(axis=0)
    looks, grid, scatter = _scatter_table()

    def excess(number: float) -> float:
        true = unbias(cell_mean, _bias_looks(number)).true
        sd = np.array([np.interp(number, looks, column) for column in scatter.T])
        # a ratio of means: a cell of low mean has scattered more by the same chance
        return float(variance.mean() / (np.interp(true, grid, sd) ** 2).mean() - 1)

    if excess(looks[0]) > 0:
        return float(looks[0])
    if excess(looks[-1]) < 0:
        return float(looks[-1])
    return float(optimize.brentq(excess, looks[0], looks[-1], xtol=0.01))


def _bias_looks(looks: float) -> float:
    """Round looks for the table of the bias, which is next to nothing where ground is stable."""
    return float(max(round(looks), 2))


@lru_cache(maxsize=1)
def _scatter_table() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nodes of looks and of true coherence, and the scatter at them."""
    looks, true = np.geomspace(1.6, 60.0, 40), np.linspace(0.0, 0.99, 34)
    return looks, true, coherence_sd(true[None, :], looks[:, None])


class Kept(NamedTuple):
    """What is kept of a prepared block: own ratios, places (in C order) and values of the low local scores."""

    ratio: FloatArray
    places: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float32]
    stable: Levels


class Prepared(NamedTuple):
    """What a block of a year, with its margin, is decided on: local means, own ratios, local scores, stable ground."""

    mean: Float32Array
    ratio: FloatArray
    scores: Float32Array
    stable: Levels


def with_margin(block: Block, coh: xr.DataArray) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of a block with its margin, and where the block lies in them."""
    edges = []
    for part, size in ((block.rows, coh.sizes["y"]), (block.cols, coh.sizes["x"])):
        edges.append((max(part.start - HALO, 0), min(part.stop + HALO, size)))
    (top, bottom), (left, right) = edges
    inner = (
        slice(block.rows.start - top, block.rows.stop - top),
        slice(block.cols.start - left, block.cols.stop - left),
    )
    return slice(top, bottom), slice(left, right), inner


def mine_in(coh: xr.DataArray, block: Block) -> BoolArray:
    """Cells of a block that are the mine's; all of them where no mine was given."""
    if "cover" not in coh.coords:
        return np.ones(block.shape, np.bool_)
    return inside(coh["cover"].values[block.rows, block.cols], float(coh.attrs["min_cover"]))


def blocks_of_year(coh: xr.DataArray, pairs: int, block_bytes: int | None) -> list[Block]:
    """Blocks in which a year is decided: larger where only its own pairs are read of a cube in memory."""
    return map_blocks(coh, block_bytes, None if is_lazy(coh) else pairs)


def prepare_block(
    coh: xr.DataArray, block: Block, reference: YearReference, kept: Kept | None = None
) -> tuple[Prepared | None, tuple[slice, slice]]:
    """Prepare a block of a year with its margin, and where the block lies in it; None where it holds no data."""
    rows, cols, inner = with_margin(block, coh)
    if kept is not None:
        return _restored(_read(coh, reference.pairs, rows, cols), kept), inner
    if not may_hold_data(coh, block.rows, block.cols):
        return None, inner
    return prepare(coh, reference.pairs, rows, cols, reference), inner


def _kept_of(ready: Prepared) -> Kept:
    scores = ready.scores.ravel()
    places = np.flatnonzero(scores < KEPT_BELOW).astype(np.uint32)
    return Kept(ready.ratio, places, scores[places], ready.stable)


def _restored(values: Float32Array, kept: Kept) -> Prepared:
    """Prepare a block again from what was kept of it: scores that were not low are infinite."""
    # local means are quickly made
    mean = local_means(values)
    scores = np.full(mean.shape, np.inf, np.float32)
    scores.reshape(-1)[kept.places] = kept.scores
    return Prepared(mean, kept.ratio, scores, kept.stable)


def _read(coh: xr.DataArray, pairs: IntArray, rows: slice, cols: slice) -> Float32Array:
    return np.ascontiguousarray(coh.variable[{"pair": pairs, "y": rows, "x": cols}].values, dtype=np.float32)


def prepare(coh: xr.DataArray, pairs: IntArray, rows: slice, cols: slice, reference: YearReference) -> Prepared | None:
    """Prepare a block of a year; None where it holds no data."""
    if not may_hold_data(coh, rows, cols):
        return None
    values = _read(coh, pairs, rows, cols)
    if not has_data(values):
        return None
    tables, spans = reference.tables, reference.spans
    mean = local_means(values)
    stable = stable_in_cells(mean, reference.stable_true, spans, tables, reference.squares)
    ratio = own_ratio(mean, stable, spans, tables.expected, tables.true)
    return Prepared(mean, ratio, local_scores(values, stable, spans, ratio, tables.score), stable)


def year_reference(
    coh: xr.DataArray,
    kept: xr.DataArray,
    year: int,
    places: IntArray,
    stable: xr.DataArray,
    rate: float,
    min_loss: float,
    block_bytes: int | None,
    keep_bytes: int,
    *,
    baseline_loss: bool = False,
) -> tuple[YearReference, list[Kept | None] | None]:
    """Find what a year is decided against; and its prepared blocks, where they are small."""
    looks = estimate_looks(_stable_samples(coh, places, stable.values, block_bytes))
    means = stable_means(kept, stable, block_bytes=block_bytes)
    squares = squares_of(kept) if baseline_loss else None
    days = kept["days"].values.astype(np.float64) if "days" in kept.coords else np.ones(places.size)
    first = YearReference(
        year, places, stable, unbias(means, looks).true, days / days.min(), looks, 0.0, 1.0, -np.inf, -np.inf,
        rate, min_loss, squares,
    )  # fmt: skip
    steps = round((_SCORE_HIGH - _SCORE_LOW) / _SCORE_STEP)
    on_stable, least = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    keep = 4 * places.size * coh.sizes["y"] * coh.sizes["x"] <= keep_bytes and squares is None
    prepared: list[Kept | None] = []

    def counted(block: Block) -> tuple[Kept | None, tuple[IntArray, IntArray] | None]:
        ready, inner = prepare_block(coh, block, first)
        if ready is None:
            return None, None
        here = np.ascontiguousarray(stable.values[block.rows, block.cols])
        # ground around the mine may be a reference, and is not decided on
        counts = score_counts(
            ready.scores, here, mine_in(coh, block), inner[0].start, inner[1].start, _SCORE_LOW, _SCORE_STEP, steps
        )
        return _kept_of(ready) if keep else None, counts

    for ready, counts in in_order(counted, blocks_of_year(coh, places.size, block_bytes)):
        if keep:
            prepared.append(ready)
        if counts is not None:
            on_stable += counts[0]
            least += counts[1]
    centre, scale = null_of(on_stable)
    critical = critical_score(least, places.size, centre, scale, rate)
    logger.info(
        "%d: %d pairs, %d stable points, %.1f looks, scores %.2f +- %.2f on stable ground, significant below %.2f",
        year, places.size, int(stable.values.sum()), looks, centre, scale, critical,
    )  # fmt: skip
    found = YearReference(
        year, places, stable, first.stable_true, first.spans, looks, centre, scale, critical,
        score_alone(int(least.sum()), places.size, centre, scale, rate), rate, min_loss, squares,
    )  # fmt: skip
    return found, prepared if keep and critical <= KEPT_BELOW else None


def _stable_samples(coh: xr.DataArray, places: IntArray, stable: BoolArray, block_bytes: int | None) -> Float32Array:
    """Coherence of at most 4000 stable cells, evenly chosen in the order of the map, shape (pairs, cells)."""
    cells = np.flatnonzero(stable)
    chosen = np.zeros(stable.shape, np.bool_)
    chosen.flat[cells[:: -(-cells.size // MOST_CELLS)]] = True
    parts, order = [], []

    def sampled(block: Block) -> tuple[Float32Array, IntArray] | None:
        rows, cols = np.nonzero(chosen[block.rows, block.cols])
        if not rows.size:
            return None
        number = (rows + block.rows.start) * stable.shape[1] + cols + block.cols.start
        return _read(coh, places, block.rows, block.cols)[:, rows, cols], number

    for found in in_order(sampled, map_blocks(coh, block_bytes)):
        if found is not None:
            parts.append(found[0])
            order.append(found[1])
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, np.argsort(np.concatenate(order))])


def null_of(counts: IntArray) -> tuple[float, float]:
    """Median and lower spread of the local scores of stable ground from their counts.

    The spread is that of the lower half (the 16th percentile stands one below the median), or, where there are
    enough scores to tell, that which the lowest half per cent asks for, if it is larger: what
    counts is how low stable ground can read.
    """
    total = counts.sum()
    if total == 0:
        return 0.0, 1.0
    edges = _SCORE_LOW + _SCORE_STEP * np.arange(1, counts.size + 1)
    share = np.cumsum(counts) / total

    def quantile(q: float) -> float:
        return float(edges[np.searchsorted(share, q)])

    centre = quantile(0.5)
    scale = centre - quantile(float(special.ndtr(-1)))
    if total >= 2000:
        scale = max(scale, (centre - quantile(0.005)) / -float(special.ndtri(0.005)))
    return centre, max(scale, _SCORE_STEP)


def critical_score(least: IntArray, pairs: int, centre: float, scale: float, rate: float) -> float:
    """Local score below which a pixel is significant in its year, the false-discovery rate controlled.

    Parameters
    ----------
    least : ndarray
        Counts of the smallest local score over the year's pairs, one per pixel.
    pairs : int
        A pixel has the probability ``1 - (1 - Phi(z))**pairs`` of so small a score in any of its pairs.

    Notes
    -----
    Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; it holds as well under
    the positive dependence of neighbouring pixels (Benjamini and Yekutieli 2001, doi:10.1214/aos/1013699998).
    """
    edges = _SCORE_LOW + _SCORE_STEP * np.arange(1, least.size + 1)
    one = special.ndtr((edges - centre) / scale)
    with np.errstate(divide="ignore"):
        chance = -np.expm1(pairs * np.log1p(-one))
    below = np.cumsum(least)
    passed = np.flatnonzero((chance <= rate * below / max(int(below[-1]), 1)) & (below > 0))
    return float(edges[passed[-1]]) if passed.size else -np.inf


def score_alone(cells: int, pairs: int, centre: float, scale: float, rate: float) -> float:
    """Score below which one cell of so many is significant by itself: the strictest that `critical_score` gives."""
    one = -math.expm1(math.log1p(-rate / max(cells, 1)) / pairs)
    return centre + scale * float(special.ndtri(one))


@lru_cache(maxsize=64)
def _tables(looks: float) -> LookTables:
    return look_tables(looks)
