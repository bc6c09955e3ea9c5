"""Cells of control and of the mine from which a year's classes are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from insar_mining.activity.cube.blocks import Block, empty_map, in_order, may_hold_data
from insar_mining.activity.significant.means import local_means
from insar_mining.arrays import BoolArray, Float32Array, IntArray
from insar_mining.geo.cells import inside
from insar_mining.jit import njit

# cells around a block that local means look at
AROUND = 1
# least number of cells around the mine that make a reference, and the most that are used of any ground
LEAST_CONTROL, MOST_CELLS = 500, 50_000
# blocks are cut so that coherence of one year takes this much
BLOCK_BYTES = 6 * 2**20
# blocks begin on multiples of this, which the blocks of local weather (8 cells) divide
ALIGNED = 16


@dataclass(frozen=True, eq=False)
class Sample:
    """Hold coherence of some cells: local means of it and of its atanh, and single values, (pairs, cells)."""

    mean: Float32Array
    scaled: Float32Array
    single: Float32Array | None

    @classmethod
    def empty(cls, pairs: int, cells: int, single: bool) -> Sample:
        """Make a sample that is filled later."""
        mean, scaled = (np.empty((pairs, cells), np.float32) for _ in range(2))
        return cls(mean, scaled, np.empty((pairs, cells), np.float32) if single else None)


@dataclass(frozen=True, eq=False)
class Grounds:
    """Hold the cells of the map that are decided on, and those that are control, bool (y, x); and blocks with data."""

    mine: BoolArray
    control: BoolArray
    has_control: bool
    blocks: list[Block]


def blocks_of(coh: xr.DataArray, pairs: int, block_bytes: int | None = None) -> list[Block]:
    """Divide the map into blocks that begin on multiples of 16 cells; those known to hold no data are left out."""
    height, width = coh.sizes["y"], coh.sizes["x"]
    cells = max((block_bytes or BLOCK_BYTES) // (4 * max(pairs, 8)), ALIGNED**2)
    # squares have the least around them
    rows, cols = (_cut(size, max(int(cells**0.5), ALIGNED)) for size in (height, width))
    every = [
        Block(slice(top, min(top + rows, height)), slice(left, min(left + cols, width)))
        for top in range(0, height, rows)
        for left in range(0, width, cols)
    ]
    return [block for block in every if may_hold_data(coh, block.rows, block.cols)]


def _cut(size: int, most: int) -> int:
    """Return the length of about equal parts of a side, a multiple of 16."""
    parts = max(-(-size // most), 1)
    return -(-size // (parts * ALIGNED)) * ALIGNED


def widened(block: Block, cells: int, shape: tuple[int, ...]) -> tuple[Block, tuple[slice, slice]]:
    """Return a block with so many cells more on every side of the map, and where it lies in that."""
    rows = slice(max(block.rows.start - cells, 0), min(block.rows.stop + cells, shape[0]))
    cols = slice(max(block.cols.start - cells, 0), min(block.cols.stop + cells, shape[1]))
    inner = (
        slice(block.rows.start - rows.start, block.rows.stop - rows.start),
        slice(block.cols.start - cols.start, block.cols.stop - cols.start),
    )
    return Block(rows, cols), inner


def read(coh: xr.DataArray, pairs: IntArray, block: Block) -> Float32Array:
    """Read some pairs of a block as float32 (pairs, rows, columns), in C order."""
    together = pairs.size > 0 and pairs[-1] - pairs[0] + 1 == pairs.size
    layers = slice(int(pairs[0]), int(pairs[-1]) + 1) if together else pairs
    values = coh.variable[{"pair": layers, "y": block.rows, "x": block.cols}].values
    # a copy, for it is changed in its place
    return np.array(values, dtype=np.float32, order="C")


def grounds_of(
    coh: xr.DataArray, pairs: IntArray, control: BoolArray | None, blocks: list[Block], whole: BoolArray
) -> Grounds:
    """Divide the cells with data in half of the pairs into those of the mine and those of control.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    pairs : ndarray of int
        Of the year.
    control : ndarray of bool (y, x), optional
        Cells that may be control; default all outside the mine.
    blocks : list of Block
    whole : ndarray of bool (y, x)
        Cells of the mine, with data or not.
    """
    mine, around = (empty_map(whole.shape, np.bool_) for _ in range(2))

    def counted(block: Block) -> tuple[Block, IntArray]:
        return block, np.isfinite(read(coh, pairs, block)).sum(axis=0)

    with_data = []
    for block, finite in in_order(counted, blocks):
        if not finite.any():
            continue
        with_data.append(block)
        known = 2 * finite >= max(pairs.size, 1)
        where = block.rows, block.cols
        mine[where] = known & whole[where]
        around[where] = known & ~whole[where] & (True if control is None else control[where])
    has_control = int(np.count_nonzero(around)) >= LEAST_CONTROL
    return Grounds(mine, around if has_control else empty_map(whole.shape, np.bool_), has_control, with_data)


def chosen_of(mask: BoolArray) -> BoolArray:
    """Choose at most 50,000 cells of a mask, evenly in the order of the map."""
    cells = np.flatnonzero(mask)
    chosen = empty_map(mask.shape, np.bool_)
    chosen.flat[cells[:: max(-(-cells.size // MOST_CELLS), 1)]] = True
    return chosen


def samples_of(
    coh: xr.DataArray, pairs: IntArray, masks: list[BoolArray], blocks: list[Block], *, averaged: bool = True
) -> list[Sample]:
    """Read the cells of some masks, each in the order of the map; single values of the first one alone.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    pairs : ndarray of int
    masks : list of ndarray of bool (y, x)
    blocks : list of Block
    averaged : bool
        Whether means are those of 3 x 3 cells.
    """
    shape = masks[0].shape
    cells = [np.flatnonzero(mask) for mask in masks]
    samples = [Sample.empty(pairs.size, some.size, number == 0) for number, some in enumerate(cells)]

    def sampled(block: Block) -> None:
        chosen = [np.nonzero(mask[block.rows, block.cols]) for mask in masks]
        if not any(rows.size for rows, _ in chosen):
            return
        wide, inner = widened(block, AROUND, shape)
        values = read(coh, pairs, wide)
        means = [local_means(values, of_atanh, averaged) for of_atanh in (False, True)]
        for (rows, cols), some, sample in zip(chosen, cells, samples, strict=True):
            # blocks write to places of their own
            places = np.searchsorted(some, (rows + block.rows.start) * shape[1] + cols + block.cols.start)
            y, x = rows + inner[0].start, cols + inner[1].start
            for out, source in zip((sample.mean, sample.scaled, sample.single), (*means, values), strict=True):
                if out is not None:
                    enter_cells(source, y, x, places, out)

    for _ in in_order(sampled, blocks):
        pass
    return samples


@njit(nogil=True)
def enter_cells(values: Float32Array, y: IntArray, x: IntArray, places: IntArray, out: Float32Array) -> None:
    """Enter the values of some cells of a block, in every pair, at places of a sample (pairs, cells)."""
    for p in range(values.shape[0]):
        for n in range(places.size):
            out[p, places[n]] = values[p, y[n], x[n]]


def mine_of(coh: xr.DataArray) -> BoolArray:
    """Return the cells that are the mine's, (y, x); all of them where no mine was given."""
    if "cover" not in coh.coords:
        return np.broadcast_to(np.True_, (coh.sizes["y"], coh.sizes["x"]))
    return inside(coh["cover"].values, float(coh.attrs["min_cover"]))
