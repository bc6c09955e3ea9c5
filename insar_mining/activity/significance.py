"""Where the ground was disturbed: an absolute decision per pixel and year against the stable ground.

Each year is decided from its own pairs alone, so that its area cannot depend on the years beside it.
docs/activity.md tells the method and its measured errors; the loops are in :mod:`insar_mining.activity.decision`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import ndimage, optimize, special

from insar_mining.activity.blocks import Block, held, layers_of, map_blocks
from insar_mining.activity.cells import on_cells_of
from insar_mining.activity.decision import (
    HALO,
    LookTables,
    decide,
    departed,
    disturbed_in,
    least_scores,
    local_means,
    local_scores,
    look_tables,
    own_ratio,
    value_counts,
)
from insar_mining.activity.kernels import has_data
from insar_mining.activity.scenes import SCENE_COLUMNS, filter_scenes, stable_means
from insar_mining.activity.stable import iterate_stable, stable_points
from insar_mining.coherence.statistics import coherence_sd, expected_coherence, unbias
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
FloatBlock = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

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

# prepared blocks of a year up to this size are kept between the two passes
KEEP_BYTES = 128 * 2**20


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
    false_discovery_rate, min_loss : float
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
    false_discovery_rate: float
    min_loss: float

    @property
    def tables(self) -> LookTables:
        """Tables of the law of coherence for the year's looks."""
        return _tables(max(LOOKS_STEP * round(self.looks / LOOKS_STEP), 1.5))


@dataclass(frozen=True, eq=False)
class Significance:
    """Where, how often and when the ground was significantly disturbed.

    Attributes
    ----------
    active : DataArray (year, y, x) of uint8
        1 disturbed in at least one pair of the year, 0 not, 255 no data.
    disturbed, n_pairs : DataArray (year, y, x) of int16
        Pairs in which the cell was disturbed; pairs in which it has data.
    references : mapping of int to YearReference
    scenes : DataFrame
        As of `scene_table`, every pair against the stable ground of its own year.
    """

    active: xr.DataArray
    disturbed: xr.DataArray
    n_pairs: xr.DataArray
    references: Mapping[int, YearReference]
    scenes: pd.DataFrame

    @property
    def years(self) -> list[int]:
        """Years that were decided."""
        return list(self.references)


class DisturbedBlock(NamedTuple):
    """Decisions of one block in every kept pair, in the order of the cube.

    Attributes
    ----------
    block : Block
    pairs : ndarray of int (n,)
        Positions in the cube.
    disturbed, finite : ndarray of bool (n, rows, columns)
    active : dict of int to ndarray of bool (rows, columns)
    """

    block: Block
    pairs: IntArray
    disturbed: BoolArray
    finite: BoolArray
    active: dict[int, BoolArray]


def significant_activity(
    coh: xr.DataArray,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    min_loss: float = MIN_LOSS,
    stable_mean_min: float = 0.8,
    stable_std_max: float = 0.2,
    scene_mean_min: float = 0.8,
    scene_std_max: float = 0.2,
    stable_method: str = "iterated",
    min_pairs: int = 1,
    block_bytes: int | None = None,
) -> Significance:
    """Decide for every pixel and year whether its ground was disturbed.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Of `open_stack`; the year of a pair is that of its middle date.
    false_discovery_rate : float, 0..1
        Expected share of undisturbed ones among the pixels that are called significant in a year, by
        Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    min_loss : float, 0..1
        Share of the way from undisturbed to disturbed ground at which the border of a disturbed patch is drawn.
    stable_mean_min, stable_std_max, scene_mean_min, scene_std_max, stable_method
        Of the stable points and of the scene test, within each year.
    min_pairs : int
        Least number of pairs of a pixel in a year; with fewer it has no data.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    Significance

    Raises
    ------
    ActivityError
        No year has stable ground and a scene that is kept; the message is that of the last year.

    Warns
    -----
    FewObservationsWarning
        A year has none, and is left out; or too few stable points to estimate looks.
    """
    coh = held(coh)
    layers: dict[int, _Layers] = {}
    tables: list[pd.DataFrame] = []
    references: dict[int, YearReference] = {}
    found = _by_year(
        coh, false_discovery_rate, min_loss,
        (stable_mean_min, stable_std_max, scene_mean_min, scene_std_max, stable_method), block_bytes,
    )  # fmt: skip
    for reference, scenes, ready in found:
        tables.append(scenes)
        references[reference.year] = reference
        # decided at once, so that what was prepared of a year can go before the next
        layers[reference.year] = _decided_year(coh, reference, min_pairs, block_bytes, ready)
    return _significance(coh, references, layers, pd.concat(tables, ignore_index=True))


def find_references(
    coh: xr.DataArray,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    min_loss: float = MIN_LOSS,
    stable_mean_min: float = 0.8,
    stable_std_max: float = 0.2,
    scene_mean_min: float = 0.8,
    scene_std_max: float = 0.2,
    stable_method: str = "iterated",
    block_bytes: int | None = None,
) -> tuple[dict[int, YearReference], pd.DataFrame]:
    """Find what every year is decided against, without deciding.

    Parameters, errors and warnings are those of `significant_activity`; `walk_disturbed` takes the references.

    Returns
    -------
    references : dict of int to YearReference
    scenes : DataFrame
        As of `scene_table`, every pair against the stable ground of its own year.
    """
    limits = stable_mean_min, stable_std_max, scene_mean_min, scene_std_max, stable_method
    found = list(_by_year(coh, false_discovery_rate, min_loss, limits, block_bytes, keep_bytes=0))
    scenes = pd.concat([table for _, table, _ in found], ignore_index=True)
    return {reference.year: reference for reference, _, _ in found}, scenes


def _by_year(
    coh: xr.DataArray,
    false_discovery_rate: float,
    min_loss: float,
    limits: tuple[float, float, float, float, str],
    block_bytes: int | None,
    keep_bytes: int | None = None,
) -> Iterator[tuple[YearReference, pd.DataFrame, list[_Prepared | None] | None]]:
    """Yield the reference of every year that has one, its table of scenes, and its prepared blocks if small."""
    if not 0 < false_discovery_rate < 1 or not 0 < min_loss < 1:
        raise OptionError(
            f"false_discovery_rate={false_discovery_rate}, min_loss={min_loss}: both must lie between 0 and 1"
        )
    failed: ActivityError | None = None
    some = False
    keep_bytes = KEEP_BYTES if keep_bytes is None else keep_bytes
    numbers = coh["year"].values
    for year in sorted({int(number) for number in numbers}):
        of_year = layers_of(coh, np.flatnonzero(numbers == year))
        try:
            stable, kept, scenes = stable_of_year(of_year, *limits, block_bytes=block_bytes)
        except ActivityError as error:
            warnings.warn(f"{year} is left out: {error}", FewObservationsWarning, stacklevel=3)
            failed = error
            continue
        places = np.flatnonzero(numbers == year)[scenes["kept"].to_numpy()]
        found, ready = _reference(
            coh, kept, year, places, stable, false_discovery_rate, min_loss, block_bytes, keep_bytes
        )
        some = True
        yield found, scenes, ready
    if not some:
        raise failed or ActivityError("the cube has no pair")


def stable_of_year(
    coh: xr.DataArray,
    mean_min: float,
    std_max: float,
    scene_mean_min: float,
    scene_std_max: float,
    method: str,
    *,
    block_bytes: int | None = None,
) -> tuple[xr.DataArray, xr.DataArray, pd.DataFrame]:
    """Return stable points, kept pairs and the table of scenes of some pairs."""
    if method == "iterated":
        stable = iterate_stable(
            coh, mean_min, std_max, scene_mean_min=scene_mean_min, scene_std_max=scene_std_max, block_bytes=block_bytes
        ).stable
    else:
        stable = stable_points(coh, mean_min, std_max, method="published", block_bytes=block_bytes)
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
    for block in blocks:
        counts += value_counts(_read(coh, every, block.rows, block.cols), mask[block.rows, block.cols], _VALUE_STEPS)
    half = np.cumsum(counts, axis=1) * 2 >= np.maximum(counts.sum(axis=1, keepdims=True), 1)
    usual = (half.argmax(axis=1) + 0.5) / _VALUE_STEPS
    usual[usual < SNOW_BELOW] = np.nan
    gone = np.zeros(mask.shape, np.bool_)
    for block in blocks:
        rows, cols, inner = _with_margin(block, coh)
        found = departed(local_means(_read(coh, every, rows, cols)), usual, float(expected_coherence(0.0, USUAL_LOOKS)))
        gone[block.rows, block.cols] = ndimage.binary_dilation(found, _SQUARE, iterations=2)[inner]
    left = mask & ~gone
    if left.sum() < max(ENOUGH_POINTS, mask.sum() / 10):
        return stable
    quiet = stable.copy(data=left)
    quiet.attrs["n_stable"] = int(left.sum())
    return quiet


def duty_cycle(found: Significance) -> xr.DataArray:
    """Share of its pairs in which each pixel was disturbed, (year, y, x) float32, NaN without data.

    The Temporal Activity Index of the literature, on significant changes.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = found.disturbed.values.astype(np.float32) / found.n_pairs.values
    share[found.active.values == NO_DECISION] = np.nan
    attrs = {"units": "1", "long_name": "share of the pairs in which the ground was disturbed"}
    coords = {"year": found.active["year"].values}
    return on_cells_of(found.active, ("year", "y", "x"), share, "duty", attrs, coords)


NO_DECISION = 255


def estimate_looks(samples: FloatBlock) -> float:
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
        warnings.warn(
            f"looks cannot be estimated from {cells} stable cell(s) and {pairs} pair(s) (30 and 3 are needed): "
            f"{USUAL_LOOKS:g} are assumed, as of a 2 x 7 window",
            FewObservationsWarning,
            stacklevel=2,
        )
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
        return float(np.mean(variance / np.interp(true, grid, sd) ** 2) - 1)

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


def walk_disturbed(
    coh: xr.DataArray, references: Mapping[int, YearReference], *, block_bytes: int | None = None
) -> Iterator[DisturbedBlock]:
    """Decide block by block in every kept pair, without holding more than a block.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        The cube the references are of.
    references : mapping of int to YearReference
    """
    places = np.concatenate([reference.pairs for reference in references.values()])
    for block in map_blocks(coh, block_bytes):
        disturbed, finite, active = [], [], {}
        for year, reference in references.items():
            active[year], found, there = _decide_block(coh, reference, block, None)
            disturbed.append(found)
            finite.append(there)
        yield DisturbedBlock(block, places, np.concatenate(disturbed), np.concatenate(finite), active)


class _Prepared(NamedTuple):
    """What a block of a year, with its margin, is decided on: local means, own ratios, local scores."""

    mean: FloatBlock
    ratio: FloatArray
    scores: FloatBlock


class _Layers(NamedTuple):
    """Maps of one year: active (uint8), pairs disturbed and pairs with data (int16)."""

    active: npt.NDArray[np.uint8]
    disturbed: npt.NDArray[np.int16]
    n_pairs: npt.NDArray[np.int16]


def _decide_block(
    coh: xr.DataArray, reference: YearReference, block: Block, ready: _Prepared | None
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Decide one block of a year: active (rows, columns), disturbed and with data (pairs, rows, columns)."""
    rows, cols, inner = _with_margin(block, coh)
    ready = ready or _prepare(coh, reference.pairs, rows, cols, reference)
    if ready is None:
        nothing = np.zeros((reference.pairs.size, *block.shape), np.bool_)
        return np.zeros(block.shape, np.bool_), nothing, nothing
    tables = reference.tables
    found, codes, _ = decide(
        ready.mean, ready.scores, reference.stable_true, reference.spans, ready.ratio, tables.expected,
        tables.true, reference.critical, reference.min_loss,
    )  # fmt: skip
    everywhere = (slice(None), *inner)
    # a local mean is finite where the cell's own value is
    return found[inner], disturbed_in(codes, found)[everywhere], np.isfinite(ready.mean[everywhere])


def _with_margin(block: Block, coh: xr.DataArray) -> tuple[slice, slice, tuple[slice, slice]]:
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


def _read(coh: xr.DataArray, pairs: IntArray, rows: slice, cols: slice) -> FloatBlock:
    return np.ascontiguousarray(coh.variable[{"pair": pairs, "y": rows, "x": cols}].values, dtype=np.float32)


def _prepare(
    coh: xr.DataArray, pairs: IntArray, rows: slice, cols: slice, reference: YearReference
) -> _Prepared | None:
    """Prepare a block of a year; None where it holds no data."""
    values = _read(coh, pairs, rows, cols)
    if not has_data(values):
        return None
    return _prepared_of(values, reference.stable_true, reference.spans, reference.tables)


def _prepared_of(values: FloatBlock, stable: FloatArray, spans: FloatArray, tables: LookTables) -> _Prepared:
    mean = local_means(values)
    ratio = own_ratio(mean, stable, spans, tables.expected, tables.true)
    return _Prepared(mean, ratio, local_scores(values, stable, spans, ratio, tables.score))


def _reference(
    coh: xr.DataArray,
    kept: xr.DataArray,
    year: int,
    places: IntArray,
    stable: xr.DataArray,
    rate: float,
    min_loss: float,
    block_bytes: int | None,
    keep_bytes: int,
) -> tuple[YearReference, list[_Prepared | None] | None]:
    """Find what a year is decided against; and its prepared blocks, where they are small."""
    looks = estimate_looks(_stable_samples(coh, places, stable.values, block_bytes))
    means = stable_means(kept, stable, block_bytes=block_bytes)
    days = kept["days"].values.astype(np.float64) if "days" in kept.coords else np.ones(places.size)
    first = YearReference(
        year, places, stable, unbias(means, looks).true, days / days.min(), looks, 0.0, 1.0, -np.inf, rate, min_loss
    )
    steps = round((_SCORE_HIGH - _SCORE_LOW) / _SCORE_STEP)
    on_stable, least = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    keep = 2 * 4 * places.size * coh.sizes["y"] * coh.sizes["x"] <= keep_bytes
    prepared: list[_Prepared | None] = []
    for block in map_blocks(coh, block_bytes):
        rows, cols, inner = _with_margin(block, coh)
        ready = _prepare(coh, places, rows, cols, first)
        if keep:
            prepared.append(ready)
        if ready is None:
            continue
        scores = ready.scores[(slice(None), *inner)]
        on_stable += _count(scores[:, stable.values[block.rows, block.cols]])
        least += _count(least_scores(np.ascontiguousarray(scores)))
    centre, scale = null_of(on_stable)
    critical = critical_score(least, places.size, centre, scale, rate)
    logger.info(
        "%d: %d pairs, %d stable points, %.1f looks, scores %.2f +- %.2f on stable ground, significant below %.2f",
        year, places.size, int(stable.values.sum()), looks, centre, scale, critical,
    )  # fmt: skip
    found = YearReference(
        year, places, stable, first.stable_true, first.spans, looks, centre, scale, critical, rate, min_loss
    )
    return found, prepared if keep else None


def _stable_samples(coh: xr.DataArray, places: IntArray, stable: BoolArray, block_bytes: int | None) -> FloatBlock:
    """Coherence of at most 4000 stable cells, evenly chosen in the order of the map, shape (pairs, cells)."""
    cells = np.flatnonzero(stable)
    chosen = np.zeros(stable.shape, np.bool_)
    chosen.flat[cells[:: -(-cells.size // MOST_CELLS)]] = True
    parts, order = [], []
    number = np.arange(stable.size).reshape(stable.shape)
    for block in map_blocks(coh, block_bytes):
        here = chosen[block.rows, block.cols]
        if here.any():
            parts.append(_read(coh, places, block.rows, block.cols)[:, here])
            order.append(number[block.rows, block.cols][here])
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, np.argsort(np.concatenate(order))])


def _count(scores: FloatBlock) -> IntArray:
    """Count finite scores in steps; whole numbers, which have no order of summation."""
    values = scores[np.isfinite(scores)].astype(np.float64)
    steps = round((_SCORE_HIGH - _SCORE_LOW) / _SCORE_STEP)
    place = ((values - _SCORE_LOW) / _SCORE_STEP).astype(np.int64).clip(0, steps - 1)
    return np.bincount(place, minlength=steps)


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


@lru_cache(maxsize=64)
def _tables(looks: float) -> LookTables:
    return look_tables(looks)


def _decided_year(
    coh: xr.DataArray,
    reference: YearReference,
    min_pairs: int,
    block_bytes: int | None,
    prepared: list[_Prepared | None] | None,
) -> _Layers:
    """Decide a whole year."""
    shape = coh.sizes["y"], coh.sizes["x"]
    layers = _Layers(np.full(shape, NO_DECISION, np.uint8), np.zeros(shape, np.int16), np.zeros(shape, np.int16))
    for number, block in enumerate(map_blocks(coh, block_bytes)):
        ready = None if prepared is None else prepared[number]
        active, disturbed, finite = _decide_block(coh, reference, block, ready)
        where = block.rows, block.cols
        layers.n_pairs[where] = finite.sum(axis=0)
        layers.disturbed[where] = disturbed.sum(axis=0)
        layers.active[where] = np.where(layers.n_pairs[where] >= max(min_pairs, 1), active, NO_DECISION)
    return layers


def _significance(
    coh: xr.DataArray, references: Mapping[int, YearReference], layers: Mapping[int, _Layers], scenes: pd.DataFrame
) -> Significance:
    years = np.array(list(references))
    coords = {
        "year": ("year", years),
        "pairs_in_year": ("year", np.array([reference.pairs.size for reference in references.values()])),
    }
    attrs = {"long_name": "disturbed in at least one pair of the year", "nodata": NO_DECISION, "method": "significant"}

    def of(field: str, said: Mapping[str, object]) -> xr.DataArray:
        values = np.stack([getattr(layers[int(year)], field) for year in years])
        return on_cells_of(coh, ("year", "y", "x"), values, field, said, coords)

    return Significance(
        of("active", attrs),
        of("disturbed", {"long_name": "pairs in which the ground was disturbed"}),
        of("n_pairs", {"long_name": "pairs with data"}),
        references,
        scenes[list(SCENE_COLUMNS)],
    )
