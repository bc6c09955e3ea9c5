"""A year of the default method: prepared from its own pairs, then decided block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import ndimage

from insar_mining.activity.cube.blocks import Block, in_order
from insar_mining.activity.significant.baseline import give_back
from insar_mining.activity.significant.decide import (
    HALO,
    border_cells,
    depths,
    disturbed_in,
    draw_border,
    find_cores,
)
from insar_mining.activity.significant.expectation import Expectation, nearest_class
from insar_mining.activity.significant.kernels import (
    WEATHER_CELLS,
    block_medians,
    class_scores,
    count_scores,
    least_scores,
    local_means,
    lowest_third,
    take_weather,
    weather_around,
    wide_scores,
)
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
from insar_mining.activity.significant.power import pairs_that_see
from insar_mining.activity.significant.sample import (
    ALIGNED,
    blocks_of,
    mine_of,
    read,
    widened,
)
from insar_mining.activity.significant.settled import Cover
from insar_mining.activity.significant.states import State
from insar_mining.activity.significant.year import DecidedBlock, YearReference
from insar_mining.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from insar_mining.geo.cells import on_cells_of

logger = logging.getLogger(__name__)

# of a year's blocks up to this size what was prepared is kept between the passes
KEEP_BYTES = 256 * 2**20
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


class YearMethod:
    """Prepare a year in a few passes over its blocks, and decide it."""

    def __init__(
        self, coh: xr.DataArray, expected: Expectation, blocks: list[Block], cover: ByteArray | None = None
    ) -> None:
        self.coh, self.expected, self.blocks = coh, expected, blocks
        self.shape = coh.sizes["y"], coh.sizes["x"]
        self.low = np.zeros(self.shape, np.bool_)
        self.natural = np.zeros(self.shape, np.bool_)
        self.cover = np.zeros(self.shape, np.uint8) if cover is None else cover
        self.weather: Float32Array | None = None
        size = 8 * expected.pairs.size * sum(block.shape[0] * block.shape[1] for block in blocks)
        self._kept: dict[tuple[int, int], Prepared] | None = {} if size <= KEEP_BYTES else None

    def prepare(self, block: Block) -> tuple[Prepared, tuple[slice, slice]]:
        """Prepare a block with the cells around it that its decisions look at; and where the block lies in it."""
        wide, inner = widened(block, 2 * HALO, self.shape)
        key = block.rows.start, block.cols.start
        if self._kept is not None and key in self._kept:
            return self._kept[key], inner
        expected = self.expected
        values = read(self.coh, expected.pairs, wide)
        mean, scaled = local_means(values, expected.tables.averaged)
        if expected.squares is not None:
            give_back(mean, scaled, expected.upper, expected.squares, expected.tables.floor, UP)
        levels = levels_of(mean, expected.upper, expected.short, expected.tables.floor, weak_known=expected.weak_known)
        if expected.dark_is_work:
            levels[dark_cells(values, expected.upper, expected.short, expected.tables)] = np.nan
        known = np.isfinite(levels)
        low = ~known & (2 * np.isfinite(mean).sum(axis=0) >= len(mean))
        if self.weather is None:
            place = expected.classes.place(levels)
        else:
            natural = self.natural[wide.rows, wide.cols]
            place = expected.classes.place(np.where(low & ~natural, np.float32(expected.assumed), levels))
        scores = class_scores(scaled, place, expected.classes.usual, expected.classes.spread)
        if self.weather is not None:
            take_weather(scores, self.weather, wide.rows.start, wide.cols.start)
        ready = Prepared(mean, scores, np.where(low, -np.inf, levels).astype(np.float32), place)
        if self._kept is not None and self.weather is not None:
            self._kept[key] = ready
        return ready, inner

    def find_weather(self) -> None:
        """Find the local weather of every pair, and the ground that is never coherent."""
        blocks = [-(-size // WEATHER_CELLS) for size in self.shape]
        medians = np.full((self.expected.pairs.size, *blocks), np.nan, np.float32)
        floor = self.expected.tables.floor
        limit = floor + GONE * (self.expected.upper - floor)

        def one(block: Block) -> tuple[Block, Float32Array, BoolArray]:
            ready, inner = self.prepare(block)
            size = [-(-count // WEATHER_CELLS) for count in block.shape]
            found = np.empty((self.expected.pairs.size, *size), np.float32)
            everywhere = (slice(None), *inner)
            block_medians(
                np.ascontiguousarray(ready.scores[everywhere]),
                np.ascontiguousarray(ready.mean[everywhere]),
                limit,
                found,
            )
            return block, found, ready.levels[inner] == -np.inf

        for block, found, low in in_order(one, self.blocks):
            top, left = block.rows.start // WEATHER_CELLS, block.cols.start // WEATHER_CELLS
            medians[:, top : top + found.shape[1], left : left + found.shape[2]] = found
            self.low[block.rows, block.cols] = low
        self.weather = weather_around(medians, WEATHER_REACH, WEATHER_LIMIT)
        grounds = self.expected.grounds
        outside = natural_ground(self.low, grounds.control, grounds.mine, _cell_m(self.coh))
        known = self.low & (self.cover == Cover.NATURAL)
        self.natural = (outside & (self.cover != Cover.BARE)) | known

    def count(self) -> tuple[IntArray, IntArray, IntArray]:
        """Count the scores, the mean scores and the means of the lowest third on undisturbed ground, in even steps."""
        pairs = self.expected.pairs.size
        grounds = self.expected.grounds
        reference = grounds.control if grounds.has_control else grounds.mine

        def one(block: Block) -> tuple[IntArray, IntArray, IntArray]:
            ready, inner = self.prepare(block)
            where = np.zeros(ready.place.shape, np.bool_)
            where[inner] = reference[block.rows, block.cols]
            where &= np.isfinite(ready.levels)
            parts = tuple(np.zeros((rows, SCORE_STEPS), np.int64) for rows in (pairs, pairs, 1))
            # ground that is its own control may be worked: its highest scores stand for the lowest of quiet ground
            lowest = _lowest(ready.scores if grounds.has_control else -ready.scores)
            for values, counts in zip((ready.scores, wide_scores(ready.scores), lowest[None]), parts, strict=True):
                count_scores(values, where, SCORE_LOW, SCORE_STEP, counts)
            return parts[0], parts[1], parts[2]

        total = [np.zeros((rows, SCORE_STEPS), np.int64) for rows in (pairs, pairs, 1)]
        for parts in in_order(one, self.blocks):
            for counts, part in zip(total, parts, strict=True):
                counts += part
        return total[0], total[1], total[2]

    def count_least(self, scatter: Scatter) -> IntArray:
        """Count the least score of every cell of the mine that is decided."""
        mine = self.expected.grounds.mine

        def one(block: Block) -> IntArray:
            ready, inner = self.prepare(block)
            wide = wide_scores(ready.scores)
            everywhere = (slice(None), *inner)
            least = least_scores(
                np.ascontiguousarray(ready.scores[everywhere] / np.float32(scatter.widening)),
                np.ascontiguousarray(wide[everywhere] / np.float32(scatter.wide_widening)),
                scatter.centre / scatter.wide_widening,
                scatter.scale,
            )
            return count_least(least[mine[block.rows, block.cols]])

        total = np.zeros(LEAST_STEPS, np.int64)
        for counts in in_order(one, self.blocks):
            total += counts
        return total

    def reference(self, rate: float, min_loss: float) -> YearReference:
        """Prepare the year: local weather, scatter and limits."""
        self.find_weather()
        expected = self.expected
        scores, wide, lowest = self.count()
        scatter = scatter_of(scores, wide, expected.grounds.has_control)
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
        if lowest.sum() > 0:
            partial = float(quantile_of(lowest, PARTIAL_SHARE)[0]) - PARTIAL_STEP
        control = expected.grounds.control
        logger.info(
            "%d: %d pairs, %d control cells, %.1f looks, %d classes, significant below %.2f",
            expected.year, expected.pairs.size, int(control.sum()), expected.tables.looks,
            expected.classes.centres.size - 2, critical,
        )  # fmt: skip
        return YearReference(
            expected, self._weather(), self.low, self.natural, self.cover,
            float(self.low[control].mean()) if expected.grounds.has_control else np.nan,
            scatter, critical, alone, limits, partial,
            pairs_that_see(expected.classes, expected.tables, scatter, max(critical, alone)),
            self.stable(limits), rate, min_loss,
        )  # fmt: skip

    def stable(self, limits: FloatArray) -> xr.DataArray:
        """Return the most coherent cells of the reference set that no pair shows disturbed, (y, x) of bool."""
        grounds = self.expected.grounds
        reference = grounds.control if grounds.has_control else grounds.mine
        levels = np.full(self.shape, -np.inf, np.float32)
        for block in self.blocks:
            ready, inner = self.prepare(block)
            level = np.where(np.isnan(ready.levels[inner]), -np.inf, ready.levels[inner])
            lost = (ready.scores[(slice(None), *inner)] < limits[:, :1, None]).any(axis=0)
            levels[block.rows, block.cols] = np.where(lost, -np.inf, level)
        known = reference & np.isfinite(levels)
        least = float(np.quantile(levels[known], STABLE_QUANTILE)) - STABLE_WIDTH if known.any() else np.nan
        chosen = known & (levels >= least) if known.any() else reference
        limits_of = {"mean_min": least, "std_max": np.nan, "n_stable": int(chosen.sum())}
        attrs = {"long_name": "the most coherent control ground", **limits_of}
        return on_cells_of(self.coh, ("y", "x"), chosen, "stable", attrs)

    def _weather(self) -> Float32Array:
        assert self.weather is not None
        return self.weather

    @classmethod
    def of(cls, coh: xr.DataArray, reference: YearReference, blocks: list[Block]) -> YearMethod:
        """Take a year up again that was prepared before."""
        method = cls(coh, reference.expectation, blocks, reference.cover)
        method.low, method.natural, method.weather = reference.low, reference.natural, reference.weather
        method._kept = None
        return method

    def decide(self, reference: YearReference) -> Iterator[DecidedBlock]:
        """Decide the year block by block."""
        return in_order(lambda block: self.decide_block(reference, block), self.blocks)

    def decide_block(self, reference: YearReference, block: Block) -> DecidedBlock:
        """Decide one block of the year."""
        ready, inner = self.prepare(block)
        expected = self.expected
        classes, tables = expected.classes, expected.tables
        wide = wide_scores(ready.scores)
        codes, inmost = find_cores(
            ready.mean, ready.scores, wide, ready.place, classes.mean, tables.floor, reference.limits
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
        disturbed |= always & (ready.mean < limit[:, None, None])
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
        states[known & ~near & (_lowest(ready.scores) < reference.partial)] = State.PARTIAL
        states[known & (reference.seen_of_class[kind] == 0)] = State.BLIND
        # what shows only in pairs in which all ground like it fell, and control has none of it; or in which a part of
        # control ground like it fell
        fallen = ((classes.fell | reference.weather_pairs[:, None]) & classes.own) | classes.unsettled
        weather = fallen[:, kind] & (kind >= 0)
        only = active & ~(disturbed & ~weather).any(axis=0)
        limit = self.expected.tables.floor + GONE * (self.expected.upper - self.expected.tables.floor)
        gone = classes.gone[:, kind] & (kind >= 0) & (ready.mean < limit[:, None, None])
        states[known & gone.any(axis=0)] = State.WEATHER_ONLY
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


def _lowest(scores: Float32Array) -> Float32Array:
    """Return the mean over 3 x 3 cells of the mean of the lowest third of each cell's scores."""
    return np.asarray(wide_scores(lowest_third(scores)[None])[0])


def _patches(mask: BoolArray) -> BoolArray:
    """Return the cells of a mask with at least four of the nine around them in it."""
    count = ndimage.uniform_filter(mask.astype(np.float32), 3, mode="constant") * 9
    return np.asarray(mask & (count > LEAST_PATCH - 0.5))


def _grown(mask: BoolArray, cells: int) -> BoolArray:
    """Return a mask grown by some cells in all eight directions."""
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), np.bool_), iterations=cells))


def _cell_m(coh: xr.DataArray) -> float:
    return float(np.sqrt(np.mean(coh["cell_area_m2"].values))) if "cell_area_m2" in coh.coords else 20.0
