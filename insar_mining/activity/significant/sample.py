"""Cells of control and of the mine from which a year's classes are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from insar_mining.activity.cube.blocks import Block, in_order, may_hold_data
from insar_mining.activity.significant.kernels import local_means
from insar_mining.arrays import BoolArray, Float32Array, IntArray
from insar_mining.geo.cells import inside

# cells around a block that local means look at
AROUND = 1
# least number of cells around the mine that make a reference, and the most that are used of any ground
LEAST_CONTROL, MOST_CELLS = 500, 50_000
# blocks are cut so that coherence of one year takes this much
BLOCK_BYTES = 12 * 2**20
# blocks begin on multiples of this, which the blocks of local weather (8 cells) divide
ALIGNED = 16


@dataclass(frozen=True, eq=False)
class Sample:
    """Hold coherence of some cells: single values, and local means of them and of their atanh, (pairs, cells)."""

    single: Float32Array
    mean: Float32Array
    scaled: Float32Array


@dataclass(frozen=True, eq=False)
class Grounds:
    """Hold the cells of the map that are decided on, and those that are control; bool (y, x)."""

    mine: BoolArray
    control: BoolArray
    has_control: bool


def blocks_of(coh: xr.DataArray, pairs: int, block_bytes: int | None = None) -> list[Block]:
    """Divide the map into blocks that begin on multiples of 16 cells; those known to hold no data are left out."""
    height, width = coh.sizes["y"], coh.sizes["x"]
    cells = max((block_bytes or BLOCK_BYTES) // (4 * max(pairs, 8)), ALIGNED**2)
    cols = min(width, max(int(cells**0.5) * 4 // ALIGNED * ALIGNED, ALIGNED))
    rows = min(height, max(cells // cols // ALIGNED * ALIGNED, ALIGNED))
    every = [
        Block(slice(top, min(top + rows, height)), slice(left, min(left + cols, width)))
        for top in range(0, height, rows)
        for left in range(0, width, cols)
    ]
    return [block for block in every if may_hold_data(coh, block.rows, block.cols)]


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
    values = coh.variable[{"pair": pairs, "y": block.rows, "x": block.cols}].values
    return np.ascontiguousarray(values, dtype=np.float32)


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
    enough = np.zeros(whole.shape, np.bool_)

    def counted(block: Block) -> tuple[Block, BoolArray]:
        finite = np.isfinite(read(coh, pairs, block)).sum(axis=0)
        return block, np.asarray(2 * finite >= max(pairs.size, 1))

    for block, known in in_order(counted, blocks):
        enough[block.rows, block.cols] = known
    around = enough & ~whole
    if control is not None:
        around &= control
    has_control = int(around.sum()) >= LEAST_CONTROL
    return Grounds(enough & whole, around if has_control else np.zeros_like(around), has_control)


def chosen_of(mask: BoolArray) -> BoolArray:
    """Choose at most 50,000 cells of a mask, evenly in the order of the map."""
    cells = np.flatnonzero(mask)
    chosen = np.zeros(mask.shape, np.bool_)
    chosen.flat[cells[:: max(-(-cells.size // MOST_CELLS), 1)]] = True
    return chosen


def samples_of(coh: xr.DataArray, pairs: IntArray, masks: list[BoolArray], blocks: list[Block]) -> list[Sample]:
    """Read the cells of some masks, each in the order of the map."""
    shape = masks[0].shape

    def sampled(block: Block) -> list[tuple[IntArray, Sample]] | None:
        found = [np.nonzero(mask[block.rows, block.cols]) for mask in masks]
        if not any(rows.size for rows, _ in found):
            return None
        wide, inner = widened(block, AROUND, shape)
        values = read(coh, pairs, wide)
        mean, scaled = local_means(values, True)
        parts = []
        for rows, cols in found:
            number = (rows + block.rows.start) * shape[1] + cols + block.cols.start
            y, x = rows + inner[0].start, cols + inner[1].start
            parts.append((number, Sample(values[:, y, x], mean[:, y, x], scaled[:, y, x])))
        return parts

    parts = [part for part in in_order(sampled, blocks) if part is not None]
    return [_together([part[number] for part in parts], pairs.size) for number in range(len(masks))]


def _together(parts: list[tuple[IntArray, Sample]], pairs: int) -> Sample:
    """Put parts of a sample in the order of the map, whatever blocks they came from."""
    if not parts:
        nothing = np.zeros((pairs, 0), np.float32)
        return Sample(nothing, nothing, nothing)
    order = np.argsort(np.concatenate([number for number, _ in parts]), kind="stable")
    fields = ("single", "mean", "scaled")
    return Sample(*(np.concatenate([getattr(s, name) for _, s in parts], axis=1)[:, order] for name in fields))


def mine_of(coh: xr.DataArray) -> BoolArray:
    """Return the cells that are the mine's, (y, x); all of them where no mine was given."""
    if "cover" not in coh.coords:
        return np.ones((coh.sizes["y"], coh.sizes["x"]), np.bool_)
    return inside(coh["cover"].values, float(coh.attrs["min_cover"]))
