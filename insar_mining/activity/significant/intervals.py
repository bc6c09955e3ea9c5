"""How sure an active area is: intervals, sensitivity to the thresholds, and the least that could be seen.

Pairs drawn with replacement would lose ground that was disturbed once in 37 of 100 draws: an area that is a
union over pairs cannot be resampled so. What is resampled here is the error: the coherence of every pair
is drawn again from the law of its looks about the decided map, with the correlation between
neighbouring cells that the stable ground shows, with the reference of each pair taken from blocks of the stable set
drawn again, with the level of disturbed ground drawn from those of all pairs, and with the map
moved by a part of a cell; then it is decided on again. What comes out more or less than went in is the bias of the
decision, and how much it varies its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import ndimage, stats

from insar_mining.activity.cube.blocks import Block, map_blocks
from insar_mining.activity.significant.decision import CORE, HALO, LOW, NEAR, decide, decision
from insar_mining.activity.significant.local_scores import Levels, local_means, local_scores, ratio_near
from insar_mining.activity.significant.local_scores import own_ratio as own_ratio_of
from insar_mining.activity.significant.losses import stable_in_cells
from insar_mining.activity.significant.resampling import drawn_again, moved_weights, moving_weights, quantile_table
from insar_mining.activity.significant.significance import Significance
from insar_mining.activity.significant.year_reference import YearReference
from insar_mining.arrays import BoolArray, Float32Array, FloatArray
from insar_mining.coherence.estimators.statistics import unbias
from insar_mining.errors import OptionError
from insar_mining.geo.cells import mine_cells

DRAWS = 40
LEVEL = 0.95
SEED = 20140715

# cells on a side of the tiles in which a map is drawn again, and of the blocks of the stable set
TILE = 48
STABLE_BLOCK = 8

INTERVAL_COLUMNS = (
    "year",
    "area_m2",
    "area_low_m2",
    "area_high_m2",
    "area_map_m2",
    "area_loose_m2",
    "area_strict_m2",
    "smallest_area_m2",
    "smallest_duty",
)

# where the border lies is not known better than to this by any stack (measured on 988 simulated ones)
BORDER_DOUBT_M = 1.4

# how far the border is moved for the sensitivity columns
LOOSER, STRICTER = -0.1, 0.1

# sides of the squares whose detection is tried, cells; a power of so much counts as seen
SIDES = (2, 3, 4, 5, 6, 8)
POWER = 0.8
POWER_TRIES = 40


@dataclass(frozen=True, eq=False)
class _Tile:
    """A part of the map with its margin, ready to be drawn again for one year."""

    row: int
    col: int
    inner: tuple[slice, slice]
    values: Float32Array
    stable: Levels
    ratio: FloatArray
    disturbed: BoolArray
    weights: FloatArray
    area: float
    drawn_area: float


class DrawnTile(NamedTuple):
    """A part of a year's map, and what came out whenever it was drawn again.

    Attributes
    ----------
    row, col : int
        Of its first cell.
    truth : ndarray of bool (rows, columns)
        The map that was drawn about.
    again : list of ndarray of uint8
        Maps of the draws, packed bits.
    """

    row: int
    col: int
    truth: BoolArray
    again: list[npt.NDArray[np.uint8]]


def area_intervals(
    coh: xr.DataArray,
    found: Significance,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = SEED,
    power: bool = True,
    drawn: dict[int, list[DrawnTile]] | None = None,
) -> pd.DataFrame:
    """Return the active area of every year with its interval.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        The cube that was decided on.
    found : Significance
    draws : int
        0: no interval, and areas as mapped.
    level : float, 0..1
        Confidence of the interval.
    seed : int
        Draws are keyed to it, the year and the position on the map: no result depends on blocks or other years.
    power : bool
        Whether to work out the least that could be seen.
    drawn : dict, optional
        Filled with what was drawn in every year, for `class_intervals`.

    Returns
    -------
    DataFrame
        One row per year: year; ``area_m2`` corrected for the bias of the decision; ``area_low_m2``,
        ``area_high_m2``; ``area_map_m2`` of the cells mapped active; ``area_loose_m2`` and ``area_strict_m2``, mapped
        with the border a tenth further out or in (``min_loss`` less or more by 0.1); ``smallest_area_m2``,
        the smallest square that is found with a probability of 0.8 when it is fully disturbed in a single pair (NaN
        where one of 8 x 8 cells is not), and
        ``smallest_duty``, one pair's share of the year.
    """
    if draws < 0 or draws == 1 or not 0 < level < 1:
        raise OptionError(f"draws={draws}, level={level}: give 0 or at least 2 draws, and a level between 0 and 1")
    # ground around the mine has data where it may be a reference, and counts in no area
    weights = np.where(mine_cells(found.active), cell_weights_m2(found.active), 0.0)
    rows = []
    for number, (year, reference) in enumerate(found.references.items()):
        active = found.active.values[number] == 1
        mapped = float(weights[active].sum())
        row: dict[str, float] = {"year": year, "area_m2": mapped, "area_map_m2": mapped}
        tiles = _tiles(coh, active, weights, reference)
        for name, change in (("area_loose_m2", LOOSER), ("area_strict_m2", STRICTER)):
            row[name] = mapped + _with_border(tiles, reference, change)
        if draws:
            kept: list[DrawnTile] = []
            row |= _interval(coh, tiles, reference, mapped, draws, level, seed, kept)
            if drawn is not None:
                drawn[year] = kept
        if power:
            side = smallest_square(coh, reference, seed=seed)
            cell = float(np.mean(found.active["cell_area_m2"].values))
            area = np.nan if side is None else side**2 * cell
            row |= {"smallest_area_m2": area, "smallest_duty": 1 / reference.pairs.size}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS)).astype({"year": "int64"})


def cell_weights_m2(cells: xr.DataArray) -> FloatArray:
    """Ground area of every cell within the mine, (y, x); the whole cell where there is no mine."""
    shape = cells.sizes["y"], cells.sizes["x"]
    rows = np.broadcast_to(np.asarray(cells["cell_area_m2"].values, np.float64), shape[0])[:, None]
    cover = cells["cover"].values.astype(np.float64) if "cover" in cells.coords else 1.0
    return np.asarray(np.broadcast_to(rows * cover, shape))


def _interval(
    coh: xr.DataArray,
    tiles: Sequence[_Tile],
    reference: YearReference,
    mapped: float,
    draws: int,
    level: float,
    seed: int,
    kept: list[DrawnTile],
) -> dict[str, float]:
    """Draw a year again and again, and take the interval from what comes out."""
    if not tiles:
        return {"area_m2": mapped, "area_low_m2": 0.0, "area_high_m2": 0.0}
    scatter = _reference_draws(coh, reference, draws, np.random.default_rng([seed, reference.year]))
    common = np.random.default_rng([seed, reference.year, 1])
    shifts = common.uniform(-0.5, 0.5, (draws, 2))
    levels = _levels(tiles, reference)
    choice = common.integers(0, max(levels.size, 1), (draws, reference.pairs.size))
    down, across = (moving_weights(rho) for rho in _neighbours(tiles, reference))
    quantile = quantile_table(reference.tables.score)
    off = np.zeros(draws)
    for tile in tiles:
        rng = np.random.default_rng([seed, reference.year, 2, tile.row, tile.col])
        pairs, rows, cols = tile.values.shape
        kept.append(DrawnTile(tile.row, tile.col, _in_any_pair(tile)[tile.inner], []))
        for draw in range(draws):
            white = rng.standard_normal((pairs, rows + 2, cols + 2), dtype=np.float32)
            again = _map_again(
                tile, reference, white, scatter[draw], levels[choice[draw]], shifts[draw], quantile, down, across
            )
            kept[-1].again.append(np.packbits(again))
            off[draw] += float(tile.weights[again].sum()) - tile.drawn_area
    variance = sum(_border_variance(tile) for tile in tiles)
    return interval_of(mapped, off, variance, sum(_border_m(tile) for tile in tiles), level)


def interval_of(
    mapped: float, off: FloatArray, border_variance: float, border_m: float, level: float
) -> dict[str, float]:
    """Take an area and its interval from what the draws were off, and from what its border leaves open."""
    # A decided map has lost already what its drawing again will lose once more: the bias lies between none and what
    # comes out. The middle is taken off, and counts as error as well.
    bias, sd = float(off.mean()) / 2, float(off.std(ddof=1))
    doubt = bias**2 + (BORDER_DOUBT_M * border_m) ** 2
    factor = float(stats.t.ppf((1 + level) / 2, off.size - 1))
    half = factor * np.sqrt(sd**2 * (1 + 1 / off.size) + border_variance + doubt)
    area = max(mapped - bias, 0.0)
    return {"area_m2": area, "area_low_m2": max(area - half, 0.0), "area_high_m2": area + half}


def _map_again(
    tile: _Tile,
    reference: YearReference,
    white: Float32Array,
    change: FloatArray,
    level: FloatArray,
    shift: FloatArray,
    quantile: Float32Array,
    down: FloatArray,
    across: FloatArray,
) -> BoolArray:
    """Draw a tile again, and decide on it again; without its margin."""
    shares = np.empty(5), np.empty(5)
    moved_weights(down, shift[0], shares[0])
    moved_weights(across, shift[1], shares[1])
    less = change if tile.stable.ndim == 1 else change[:, None, None]
    truth = np.clip(tile.stable - less, 0.0, 1.0)
    values = drawn_again(
        tile.values, white, truth, reference.spans, tile.ratio, tile.disturbed, level, quantile, *shares, down, across
    )
    active = decision(values, tile.stable, reference.spans, reference.tables, reference.critical, reference.min_loss)[0]
    return np.asarray(active[tile.inner], np.bool_)


def _tiles(coh: xr.DataArray, active: BoolArray, weights: FloatArray, reference: YearReference) -> list[_Tile]:
    """Tiles of the map that hold or border active ground."""
    wide = ndimage.binary_dilation(active, iterations=2) if active.any() else active
    tiles = []
    for block in _tile_blocks(active.shape):
        if not wide[block.rows, block.cols].any():
            continue
        tiles.append(_tile(coh, block, weights, reference))
    return tiles


def _tile_blocks(shape: tuple[int, ...]) -> Iterator[Block]:
    for top in range(0, shape[0], TILE):
        for left in range(0, shape[1], TILE):
            yield Block(slice(top, min(top + TILE, shape[0])), slice(left, min(left + TILE, shape[1])))


def _tile(coh: xr.DataArray, block: Block, weights: FloatArray, reference: YearReference) -> _Tile:
    top, left = max(block.rows.start - HALO, 0), max(block.cols.start - HALO, 0)
    rows = slice(top, min(block.rows.stop + HALO, coh.sizes["y"]))
    cols = slice(left, min(block.cols.stop + HALO, coh.sizes["x"]))
    inner = (
        slice(block.rows.start - top, block.rows.stop - top),
        slice(block.cols.start - left, block.cols.stop - left),
    )
    where = {"pair": reference.pairs, "y": rows, "x": cols}
    values = np.ascontiguousarray(coh.variable[where].values, dtype=np.float32)
    tables = reference.tables
    mean = local_means(values)
    stable = stable_in_cells(mean, reference.stable_true, reference.spans, tables, reference.squares)
    ratio = own_ratio_of(mean, stable, reference.spans, tables.expected, tables.true)
    scores = local_scores(values, stable, reference.spans, ratio, tables.score)
    active, codes, pooled = decide(
        mean, scores, stable, reference.spans, ratio, tables.expected, tables.true,
        reference.critical, reference.min_loss,
    )  # fmt: skip
    inside = (codes & NEAR > 0) & pooled
    disturbed = active & ((codes & CORE > 0) | (codes & LOW > 0) | inside)
    # single cells on the border are noise: drawn as ground of their own they would be lost again
    disturbed = np.stack([ndimage.median_filter(flags, 3) for flags in disturbed.astype(np.uint8)]) > 0
    again = np.asarray(disturbed.any(axis=0))
    # what a cell is when nobody works on it: on the border it mixes both, and the cells beside it tell
    near = np.asarray((codes & NEAR > 0).any(axis=0))
    ratio = np.where(near, ratio_near(ratio), ratio)
    own = weights[block.rows, block.cols]
    return _Tile(
        block.rows.start,
        block.cols.start,
        inner,
        values,
        stable,
        ratio,
        disturbed,
        own,
        float(own[active[inner]].sum()),
        float(own[again[inner]].sum()),
    )


def _with_border(tiles: Sequence[_Tile], reference: YearReference, change: float) -> float:
    """Difference of the mapped area with the border moved."""
    limit = min(max(reference.min_loss + change, 0.05), 0.95)
    total = 0.0
    for tile in tiles:
        active = decision(tile.values, tile.stable, reference.spans, reference.tables, reference.critical, limit)[0]
        total += float(tile.weights[active[tile.inner]].sum()) - tile.area
    return total


def _levels(tiles: Sequence[_Tile], reference: YearReference) -> FloatArray:
    """Return the true coherence of disturbed ground, one for each pair in which there is enough of it."""
    total, count = np.zeros(reference.pairs.size), np.zeros(reference.pairs.size)
    for tile in tiles:
        for p, flags in enumerate(tile.disturbed):
            inmost = ndimage.binary_erosion(flags, np.ones((3, 3), np.bool_)) & np.isfinite(tile.values[p])
            total[p] += tile.values[p][inmost].sum(dtype=np.float64)
            count[p] += inmost.sum()
    enough = count >= 9
    if not enough.any():
        return np.array([0.1])
    return unbias(total[enough] / count[enough], max(reference.looks, 1.5)).true


def _neighbours(tiles: Sequence[_Tile], reference: YearReference) -> tuple[float, float]:
    """Correlation of the errors of cells next to each other, down and across, on ground that is not disturbed."""
    products, power = np.zeros(2), 0.0
    for tile in tiles:
        quiet = ~ndimage.binary_dilation(_in_any_pair(tile), iterations=3)
        # only cells with data in every pair
        quiet &= np.asarray(np.isfinite(tile.values).all(axis=0))
        rest = np.where(quiet, tile.values - tile.values.mean(axis=0), 0)
        if quiet.any():
            rest = np.where(quiet, rest - np.median(rest[:, quiet], axis=1)[:, None, None], 0)
        both = (quiet[1:] & quiet[:-1]).sum(), (quiet[:, 1:] & quiet[:, :-1]).sum()
        if min(both) == 0:
            continue
        share = quiet.sum()
        products += (
            (rest[:, 1:] * rest[:, :-1]).sum(dtype=np.float64) * share / both[0],
            (rest[:, :, 1:] * rest[:, :, :-1]).sum(dtype=np.float64) * share / both[1],
        )
        power += (rest**2).sum(dtype=np.float64)
    if power <= 0:
        return USUAL_NEIGHBOURS
    return float(products[0] / power), float(products[1] / power)


# of a 2 x 7 window on cells of 20 m, where there is no quiet ground to tell
USUAL_NEIGHBOURS = (0.5, 0.3)


def _in_any_pair(tile: _Tile) -> BoolArray:
    return np.asarray(tile.disturbed.any(axis=0))


def _border_m(tile: _Tile) -> float:
    """Length of the border of what was disturbed in the year, metres."""
    active = np.pad(_in_any_pair(tile), 1, mode="edge")
    edges = (active[1:] ^ active[:-1])[:, 1:][: tile.disturbed.shape[1]], (active[:, 1:] ^ active[:, :-1])[1:-1, :-1]
    side = np.sqrt(tile.weights.max(initial=0.0))
    # steps of a slanted line are longer than the line, by 4 / pi over all directions
    return float(sum(edge[tile.inner].sum() for edge in edges) * side * np.pi / 4)


def _border_variance(tile: _Tile) -> float:
    """Variance of an area whose border cells, of which a share between 0 and 1 is active, count as 0 or 1."""
    active = _in_any_pair(tile)
    border = (active & ~ndimage.binary_erosion(active))[tile.inner]
    return float((tile.weights[border] ** 2).sum() / 12)


def _reference_draws(coh: xr.DataArray, reference: YearReference, draws: int, rng: np.random.Generator) -> FloatArray:
    """Change of the true coherence of stable ground when blocks of the stable set are drawn again, (draws, pairs)."""
    totals, counts = _stable_blocks(coh, reference)
    if counts.shape[0] < 2:
        return np.zeros((draws, reference.pairs.size))
    chosen = rng.integers(0, counts.shape[0], (draws, counts.shape[0]))
    count = counts[chosen].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = totals[chosen].sum(axis=1) / count
    again = unbias(means, max(reference.looks, 1.5)).true - reference.stable_true
    return np.asarray(np.where(np.isfinite(again), again, 0.0))


def _stable_blocks(coh: xr.DataArray, reference: YearReference) -> tuple[FloatArray, FloatArray]:
    """Sum and number of the stable coherence of each pair in each block of 8 x 8 cells, (blocks, pairs)."""
    mask = reference.stable.values
    across = -(-mask.shape[1] // STABLE_BLOCK)
    row, col = np.nonzero(mask)
    names = np.unique(row // STABLE_BLOCK * across + col // STABLE_BLOCK)
    totals = np.zeros((names.size, reference.pairs.size), np.int64)
    counts = np.zeros((names.size, reference.pairs.size), np.int64)
    for block in map_blocks(coh):
        here = mask[block.rows, block.cols]
        if not here.any():
            continue
        y, x = np.nonzero(here)
        place = np.searchsorted(
            names, (y + block.rows.start) // STABLE_BLOCK * across + (x + block.cols.start) // STABLE_BLOCK
        )
        where = {"pair": reference.pairs, "y": block.rows, "x": block.cols}
        values = coh.variable[where].values[:, here]
        finite = np.isfinite(values)
        # whole numbers: the sums over blocks of the map are the same for any blocks
        whole = np.rint(np.where(finite, values, 0) * 2.0**30).astype(np.int64)
        for p in range(reference.pairs.size):
            np.add.at(totals[:, p], place, whole[p])
            np.add.at(counts[:, p], place, finite[p])
    return totals / 2.0**30, counts.astype(np.float64)


def smallest_square(coh: xr.DataArray, reference: YearReference, *, seed: int = SEED, level: float = 0.1) -> int | None:
    """Side, in cells, of the smallest square that is found when it is disturbed in one pair only.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    reference : YearReference
    seed : int
    level : float
        True coherence of the disturbed square.

    Returns
    -------
    int or None
        Found, in at least one of its cells, in 0.8 of the tries; None where not even the largest tried is (8 cells).
    """
    chances = detection_power(reference, seed=seed, level=level)
    seen = [side for side, chance in chances.items() if chance >= POWER]
    return min(seen, default=None)


def detection_power(
    reference: YearReference, *, seed: int = SEED, level: float = 0.1, tries: int = POWER_TRIES
) -> Mapping[int, float]:
    """Probability that a square is found which is disturbed in one pair of the year, by its side in cells.

    The square lies anywhere on the cells, in ground as coherent as the stable set in the year's
    median pair; drawn with the looks and the threshold of the year, where nothing was found with that of a single find.
    """
    rng = np.random.default_rng([seed, reference.year, 3])
    tables = reference.tables
    quantile = quantile_table(tables.score)
    weights = moving_weights(USUAL_NEIGHBOURS[0]), moving_weights(USUAL_NEIGHBOURS[1])
    size = SIDES[-1] + 2 * HALO
    pairs = OWN_PAIRS
    stable = np.full(pairs, float(np.median(reference.stable_true)))
    spans, ratio = np.ones(pairs), np.ones((size, size))
    empty = np.zeros((pairs, size, size), np.float32)
    levels = np.full(pairs, level)
    critical = max(reference.critical, reference.alone)
    chances: dict[int, float] = {}
    for side in SIDES:
        disturbed = np.zeros((pairs, size, size), np.bool_)
        disturbed[0, HALO : HALO + side, HALO : HALO + side] = True
        hits = 0
        for _ in range(tries):
            shares = np.empty(5), np.empty(5)
            for weight, share in zip(weights, shares, strict=True):
                moved_weights(weight, rng.uniform(-0.5, 0.5), share)
            white = rng.standard_normal((pairs, size + 2, size + 2), dtype=np.float32)
            values = drawn_again(empty, white, stable, spans, ratio, disturbed, levels, quantile, *shares, *weights)
            hits += bool(decision(values, stable, spans, tables, critical, reference.min_loss)[0].any())
        chances[side] = hits / tries
    return chances


# pairs of the year in which power is tried: enough to know a cell's own level
OWN_PAIRS = 5

__all__ = [
    "INTERVAL_COLUMNS",
    "area_intervals",
    "cell_weights_m2",
    "detection_power",
    "smallest_square",
]
