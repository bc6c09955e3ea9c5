"""A year of the default method: prepared from its own pairs, then decided block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import ndimage

from insar_mining.activity.cube.blocks import Block, empty_map, in_order
from insar_mining.activity.significant.baseline import give_back
from insar_mining.activity.significant.decide import (
    HALO,
    border_cells,
    depths,
    disturbed_beside,
    disturbed_in,
    draw_border,
    find_cores,
    low_with_class,
)
from insar_mining.activity.significant.expectation import Expectation, nearest_class
from insar_mining.activity.significant.level import (
    UP,
    dark_cells,
    levels_of,
)
from insar_mining.activity.significant.limits import (
    LEAST_STEPS,
    SCORE_LOW,
    SCORE_STEP,
    SCORE_STEPS,
    Scatter,
    count_least,
    critical_score,
    quantile_of,
    scatter_of,
    score_alone,
)
from insar_mining.activity.significant.low_ground import natural_ground
from insar_mining.activity.significant.means import local_means, means_into
from insar_mining.activity.significant.power import pairs_that_see
from insar_mining.activity.significant.ranks import WEATHER_CELLS, block_medians, lowest_third, weather_around
from insar_mining.activity.significant.sample import (
    ALIGNED,
    blocks_of,
    mine_of,
    read,
    widened,
)
from insar_mining.activity.significant.scores import (
    class_scores,
    count_plane,
    count_scores,
    least_scores,
    take_weather,
)
from insar_mining.activity.significant.settled import Cover
from insar_mining.activity.significant.states import State
from insar_mining.activity.significant.year import DecidedBlock, YearReference
from insar_mining.arrays import BoolArray, ByteArray, Float32Array, IntArray
from insar_mining.geo.cells import on_cells_of

logger = logging.getLogger(__name__)

# cells around a block that its own levels look at (the opening of weak ground, and means), and means of mean scores
LEVEL_HALO, SCORE_HALO = 5, 2
# local weather is the median over 5 x 5 blocks of 8 x 8 cells, where it lies below this score
WEATHER_REACH, WEATHER_LIMIT = 2, -0.5
# always-low cells of a 3 x 3 that make a patch
LEAST_PATCH = 4
# part of the way to the most coherent ground below which a cell reads like decorrelated ground
GONE = 0.35
# ground was partly disturbed where the lowest third of its scores lies so far below the lowest of control
PARTIAL_SHARE, PARTIAL_STEP = 0.001, 0.3
# share of the way to the floor from which a loss is that of work rather than of leftover weather
DEEP = 0.75
# cells around ground that may be natural as well as worked that are in doubt with it
DOUBT_REACH = 2
# level of the most coherent control ground, and how far below it ground is as coherent, of which annual NDAI is taken
STABLE_QUANTILE, STABLE_WIDTH = 0.85, 0.05


class Prepared(NamedTuple):
    """Hold a block with its surroundings: local means, scores, own levels (-inf: always low) and their place."""

    mean: Float32Array
    scores: Float32Array
    levels: Float32Array
    place: Float32Array


class ScoreCounts(NamedTuple):
    """Hold counts of scores, mean scores and lowest thirds; least score and lowest third of the cells of each block."""

    scores: IntArray
    wide: IntArray
    thirds: IntArray
    least: list[Float32Array]
    lowest: list[Float32Array]


class YearMethod:
    """Prepare a year in a few passes over its blocks, and decide it."""

    def __init__(
        self, coh: xr.DataArray, expected: Expectation, blocks: list[Block], cover: ByteArray | None = None
    ) -> None:
        self.coh, self.expected, self.blocks = coh, expected, blocks
        self.shape = coh.sizes["y"], coh.sizes["x"]
        self.levels = empty_map(self.shape, np.float32)
        self.low, self.natural = (empty_map(self.shape, np.bool_) for _ in range(2))
        self.cover = empty_map(self.shape, np.uint8) if cover is None else cover
        self.weather = np.zeros((expected.pairs.size, 0, 0), np.float32)

    def find_weather(self) -> None:
        """Find the own levels, the local weather of every pair, and the ground that is never coherent."""
        blocks = [-(-size // WEATHER_CELLS) for size in self.shape]
        medians, self.weather = (empty_map((self.expected.pairs.size, *blocks), np.float32) for _ in range(2))
        for block, found, levels in in_order(self._block_weather, self.blocks):
            top, left = block.rows.start // WEATHER_CELLS, block.cols.start // WEATHER_CELLS
            medians[:, top : top + found.shape[1], left : left + found.shape[2]] = found
            self.levels[block.rows, block.cols] = levels
            self.low[block.rows, block.cols] = levels == -np.inf

        def around(part: slice) -> None:
            weather_around(medians[part], WEATHER_REACH, WEATHER_LIMIT, self.weather[part])

        list(in_order(around, [slice(first, first + 8) for first in range(0, len(medians), 8)]))
        grounds = self.expected.grounds
        outside = natural_ground(self.low, grounds.control, grounds.mine, _cell_m(self.coh))
        for block in self.blocks:
            where = block.rows, block.cols
            if not self.low[where].any():
                continue
            known = self.low[where] & (self.cover[where] == Cover.NATURAL)
            self.natural[where] = (outside[where] & (self.cover[where] != Cover.BARE)) | known

    def _block_weather(self, block: Block) -> tuple[Block, Float32Array, Float32Array]:
        """Return the median score of the squares of a block, and its own levels (-inf: always low; 0: not known)."""
        expected = self.expected
        wide, inner = widened(block, LEVEL_HALO, self.shape)
        values = read(self.coh, expected.pairs, wide)
        dark = None
        if expected.dark_is_work:
            dark = dark_cells(values, expected.upper, expected.short, expected.tables)
        mean, scaled = self._means(values)
        del values
        levels = levels_of(mean, expected.upper, expected.short, expected.tables.floor, weak_known=expected.weak_known)
        if dark is not None:
            levels[dark] = np.nan
        everywhere = (slice(None), *inner)
        mean, scores = np.ascontiguousarray(mean[everywhere]), np.ascontiguousarray(scaled[everywhere])
        del scaled
        levels = levels[inner]
        class_scores(scores, expected.classes.place(levels), expected.classes.usual, expected.classes.spread)
        found = np.empty((len(mean), *(-(-count // WEATHER_CELLS) for count in block.shape)), np.float32)
        floor = expected.tables.floor
        block_medians(scores, mean, floor + GONE * (expected.upper - floor), found)
        found[found == 0] = np.finfo(np.float32).tiny
        found[np.isnan(found)] = 0  # of squares without a median
        enough = 2 * np.isfinite(mean).sum(axis=0) >= len(mean)
        return block, found, np.where(np.isfinite(levels), levels, np.where(enough, np.float32(-np.inf), 0))

    def _means(self, values: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return local means of coherence, and, in the place of its values, of its atanh; see `give_back`."""
        expected = self.expected
        mean, scaled = local_means(values, False, expected.tables.averaged), values
        means_into(values, True, expected.tables.averaged, scaled)
        if expected.squares is not None:
            give_back(mean, scaled, expected.upper, expected.squares, expected.tables.floor, UP)
        return mean, scaled

    def _levels(self, wide: Block) -> tuple[Float32Array, Float32Array]:
        """Return the own levels of a block (NaN: not known, -inf: always low), and their place among the classes."""
        levels = self.levels[wide.rows, wide.cols]
        levels = np.where(levels == 0, np.float32(np.nan), levels)
        worked = (levels == -np.inf) & ~self.natural[wide.rows, wide.cols]
        return levels, self.expected.classes.place(np.where(worked, np.float32(self.expected.assumed), levels))

    def _scores(self, scaled: Float32Array, place: Float32Array, wide: Block) -> None:
        """Make scores of local means of atanh, in their place."""
        classes = self.expected.classes
        class_scores(scaled, place, classes.usual, classes.spread)
        take_weather(scaled, self.weather, wide.rows.start, wide.cols.start)

    def prepare(self, block: Block) -> tuple[Prepared, tuple[slice, slice]]:
        """Prepare a block with the cells around it that its decisions look at; and where the block lies in it."""
        wide, inner = widened(block, 2 * HALO, self.shape)
        mean, scores = self._means(read(self.coh, self.expected.pairs, wide))
        levels, place = self._levels(wide)
        self._scores(scores, place, wide)
        return Prepared(mean, scores, levels, place), inner

    def _scores_of(self, block: Block) -> tuple[Float32Array, Block, tuple[slice, slice]]:
        """Return the scores of a block and the cells around it that means of means look at; and where it lies."""
        wide, inner = widened(block, SCORE_HALO, self.shape)
        scores = read(self.coh, self.expected.pairs, wide)
        if self.expected.squares is None:
            means_into(scores, True, self.expected.tables.averaged, scores)
        else:
            self._means(scores)
        self._scores(scores, self._levels(wide)[1], wide)
        return scores, wide, inner

    def count(self) -> ScoreCounts:
        """Count the scores, the mean scores and the means of the lowest third on undisturbed ground, in even steps."""
        pairs = self.expected.pairs.size
        scores, wide, thirds = (np.zeros((rows, SCORE_STEPS), np.int64) for rows in (pairs, pairs, 1))
        total = ScoreCounts(scores, wide, thirds, [], [])
        for part in in_order(self._count_block, self.blocks):
            for counts, some in zip(total[:3], part[:3], strict=True):
                counts += some
            total.least.extend(part.least)
            total.lowest.extend(part.lowest)
        return total

    def _count_block(self, block: Block) -> ScoreCounts:
        """Count the scores of a block."""
        scores, wide, inner = self._scores_of(block)
        grounds = self.expected.grounds
        where = np.zeros(scores.shape[1:], np.bool_)
        where[inner] = (grounds.control if grounds.has_control else grounds.mine)[block.rows, block.cols]
        levels = self.levels[wide.rows, wide.cols]
        where &= np.isfinite(levels) & (levels != 0)
        narrow, wider = (np.zeros((len(scores), SCORE_STEPS), np.int64) for _ in range(2))
        least = count_scores(scores, where, SCORE_LOW, SCORE_STEP, narrow, wider)
        lowest = local_means(lowest_third(scores)[None], False)[0]
        # ground that is its own control may be worked: its highest scores stand for the lowest of quiet ground
        quiet = lowest if grounds.has_control else local_means(lowest_third(scores, -1.0)[None], False)[0]
        counts = np.zeros((1, SCORE_STEPS), np.int64)
        count_plane(quiet, where, SCORE_LOW, SCORE_STEP, counts[0])
        return ScoreCounts(narrow, wider, counts, [least[inner].copy()], [lowest[inner].copy()])

    def count_least(self, scatter: Scatter) -> IntArray:
        """Count the least score of every cell of the mine that is decided."""
        mine = self.expected.grounds.mine
        centre = scatter.centre / scatter.wide_widening

        def one(block: Block) -> IntArray:
            here = mine[block.rows, block.cols]
            if not here.any():
                return np.zeros(LEAST_STEPS, np.int64)
            scores, _, inner = self._scores_of(block)
            least = least_scores(scores, centre, scatter.scale, scatter.widening, scatter.wide_widening)
            return count_least(least[inner][here])

        total = np.zeros(LEAST_STEPS, np.int64)
        for counts in in_order(one, self.blocks):
            total += counts
        return total

    def reference(self, rate: float, min_loss: float) -> YearReference:
        """Prepare the year: local weather, scatter and limits."""
        self.find_weather()
        expected = self.expected
        counted = self.count()
        scatter = scatter_of(counted.scores, counted.wide, expected.grounds.has_control)
        least = self.count_least(scatter)
        tests = 2 * expected.pairs.size
        critical = critical_score(least, tests, rate)
        alone = score_alone(int(least.sum()), tests, rate)
        limits = np.stack(
            [
                np.full(expected.pairs.size, critical * scatter.widening),
                scatter.centre + critical * scatter.wide_widening * scatter.scale,
            ],
            axis=1,
        )
        partial = -np.inf
        if counted.thirds.sum() > 0:
            partial = float(quantile_of(counted.thirds, PARTIAL_SHARE)[0]) - PARTIAL_STEP
        partly = empty_map(self.shape, np.bool_)
        for block, lowest in zip(self.blocks, counted.lowest, strict=True):
            partly[block.rows, block.cols] = lowest < partial
        control = expected.grounds.control
        logger.info(
            "%d: %d pairs, %d control cells, %.1f looks, %d classes, significant below %.2f",
            expected.year, expected.pairs.size, int(control.sum()), expected.tables.looks,
            expected.classes.centres.size - 2, critical,
        )  # fmt: skip
        return YearReference(
            expected, self.weather, self.levels, self.low, self.natural, partly, self.cover,
            float(self.low[control].mean()) if expected.grounds.has_control else np.nan,
            scatter, critical, alone, limits, partial,
            pairs_that_see(expected.classes, expected.tables, scatter, max(critical, alone)),
            self.stable(counted.least, float(limits[0, 0])), rate, min_loss,
        )  # fmt: skip

    def stable(self, least_scores: list[Float32Array], limit: float) -> xr.DataArray:
        """Return the most coherent cells of the reference set that no pair shows disturbed, (y, x) of bool."""
        grounds = self.expected.grounds
        reference = grounds.control if grounds.has_control else grounds.mine
        known = empty_map(self.shape, np.bool_)
        for block, least_score in zip(self.blocks, least_scores, strict=True):
            where = block.rows, block.cols
            levels = self.levels[where]
            lost = least_score.astype(np.float64) < limit
            known[where] = reference[where] & np.isfinite(levels) & (levels != 0) & ~lost
        chosen, least = reference, np.nan
        if known.any():
            least = float(np.quantile(self.levels[known], STABLE_QUANTILE)) - STABLE_WIDTH
            chosen = known
            for block in self.blocks:
                chosen[block.rows, block.cols] &= self.levels[block.rows, block.cols] >= least
        limits_of = {"mean_min": least, "std_max": np.nan, "n_stable": int(chosen.sum())}
        attrs = {"long_name": "the most coherent control ground", **limits_of}
        return on_cells_of(self.coh, ("y", "x"), chosen, "stable", attrs)

    @classmethod
    def of(cls, coh: xr.DataArray, reference: YearReference, blocks: list[Block]) -> YearMethod:
        """Take a year up again that was prepared before."""
        method = cls(coh, reference.expectation, blocks, reference.cover)
        method.levels, method.low, method.natural = reference.levels, reference.low, reference.natural
        method.weather = reference.weather
        return method

    def decide(self, reference: YearReference) -> Iterator[DecidedBlock]:
        """Decide the year block by block."""
        return in_order(lambda block: self.decide_block(reference, block), self.blocks)

    def decide_block(self, reference: YearReference, block: Block) -> DecidedBlock:
        """Decide one block of the year."""
        ready, inner = self.prepare(block)
        expected = self.expected
        classes, tables = expected.classes, expected.tables
        codes, inmost = find_cores(
            ready.mean, ready.scores, ready.place, classes.mean, tables.floor, reference.limits
        )  # fmt: skip
        border_cells(codes)
        active, _ = draw_border(
            ready.mean, codes, inmost, ready.place, ready.levels, classes.mean, classes.spread, tables.expected,
            tables.true, reference.min_loss,
        )  # fmt: skip
        disturbed = disturbed_in(codes, active)
        # a patch of a few cells that is never coherent is too small to be a core of means over 3 x 3
        always = _patches(ready.levels == -np.inf) & np.isfinite(ready.place) & expected.dark_is_work
        limit = tables.floor + GONE * (expected.upper - tables.floor)
        if always.any():
            disturbed[:, always] |= ready.mean[:, always] < limit[:, None]
            active |= always & disturbed.any(axis=0)
        depth = depths(ready.mean, disturbed, ready.place, classes.mean, tables.floor)
        states = self._states(reference, block, ready, active, disturbed, _grown(depth >= DEEP, 2))
        where = block.rows, block.cols
        grounds = expected.grounds
        here = (grounds.mine | grounds.control)[where]
        everywhere = (slice(None), *inner)
        kind = nearest_class(ready.place[inner], classes)
        seen = np.where(kind >= 0, np.rint(100 * reference.seen_of_class)[kind], 255).astype(np.uint8)
        seen[~np.isfinite(ready.levels[inner])] = 255
        standing = np.nanmedian(classes.mean, axis=0) - tables.floor
        ratio = np.rint(100 * standing / max(float(np.nanmedian(expected.upper)) - tables.floor, 1e-3)).clip(0, 100)
        contrast = np.where(seen == 255, 255, ratio[kind]).astype(np.uint8)
        return DecidedBlock(
            block,
            active[inner] & here & (states[inner] != State.WEATHER_ONLY),
            disturbed[everywhere] & here,
            np.isfinite(ready.mean[everywhere]) & mine_of_block(self.coh, block),
            np.where(grounds.mine[where], states[inner], np.uint8(State.OUTSIDE)),
            seen,
            contrast,
            (active & (depth >= DEEP) & (states != State.WEATHER_ONLY))[inner] & here,
        )

    def _states(
        self,
        reference: YearReference,
        block: Block,
        ready: Prepared,
        active: BoolArray,
        disturbed: BoolArray,
        near: BoolArray,
    ) -> ByteArray:
        """Return the state of every cell of a block with its surroundings; borders near lost ground are not partial."""
        classes = self.expected.classes
        wide, _ = widened(block, 2 * HALO, self.shape)
        low = ready.levels == -np.inf
        kind = nearest_class(ready.place, classes)
        known = np.isfinite(ready.levels)
        states = np.full(active.shape, State.QUIET, np.uint8)
        states[known & ~near & reference.partly[wide.rows, wide.cols]] = State.PARTIAL
        states[known & (reference.seen_of_class[kind] == 0)] = State.BLIND
        # what shows only in pairs in which all ground like it fell, and control has none of it; or in which a part of
        # control ground like it fell
        fallen = ((classes.fell | reference.weather_pairs[:, None]) & classes.own) | classes.unsettled
        only = active & ~disturbed_beside(disturbed, fallen, kind)
        limit = self.expected.tables.floor + GONE * (self.expected.upper - self.expected.tables.floor)
        states[known & low_with_class(ready.mean, classes.gone, kind, limit)] = State.WEATHER_ONLY
        natural = self.natural[wide.rows, wide.cols] & low
        states[active] = State.ACTIVE
        # means over 3 x 3 cells carry what is not known of such ground to the cells beside it
        cover = self.cover[wide.rows, wide.cols]
        unknown = (low if reference.doubts_low else natural) & (cover != Cover.BARE)
        states[active & _grown(unknown, DOUBT_REACH)] = State.DOUBT
        states[only] = State.WEATHER_ONLY
        states[low & ~active] = State.DOUBT
        states[natural] = State.NATURAL
        states[natural & (cover == Cover.NATURAL)] = State.SETTLED
        return states


def mine_of_block(coh: xr.DataArray, block: Block) -> BoolArray:
    """Return the cells of a block that are the mine's."""
    if "cover" not in coh.coords:
        return np.ones(block.shape, np.bool_)
    return mine_of(coh.isel(y=block.rows, x=block.cols, pair=slice(0, 0)))


def year_blocks(coh: xr.DataArray, pairs: int, block_bytes: int | None = None) -> list[Block]:
    """Return the blocks in which a year is prepared and decided."""
    assert ALIGNED % WEATHER_CELLS == 0
    return blocks_of(coh, pairs, block_bytes)


def _patches(mask: BoolArray) -> BoolArray:
    """Return the cells of a mask with at least four of the nine around them in it."""
    count = ndimage.uniform_filter(mask.astype(np.float32), 3, mode="constant") * 9
    return np.asarray(mask & (count > LEAST_PATCH - 0.5))


def _grown(mask: BoolArray, cells: int) -> BoolArray:
    """Return a mask grown by some cells in all eight directions."""
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), np.bool_), iterations=cells))


def _cell_m(coh: xr.DataArray) -> float:
    return float(np.sqrt(np.mean(coh["cell_area_m2"].values))) if "cell_area_m2" in coh.coords else 20.0
