"""Cubes larger than memory: blocks of the map with every pair in them, and arrays that are made when read.

A function of this folder never holds a whole cube.  It walks over blocks in y and x that
keep the pairs together, so that what it does to a pixel cannot depend on the blocks; what it
sums over pixels it sums in whole numbers, which have no order of summation.
"""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from insar_mining.activity.cube.kernels import has_data
from insar_mining.activity.cube.scratch import TILE_BYTES, Scratch
from insar_mining.arrays import Float32Array
from insar_mining.machine import processors

Item = TypeVar("Item")
Result = TypeVar("Result")
Key = tuple[Any, ...]

# bytes of float32 coherence in one block: 92 pairs of a tile of 512 x 512; less where it was decoded before, and
# least where it is in memory, for every thread works on a block of its own
BLOCK_BYTES = 100 * 2**20
SCRATCH_BLOCK_BYTES = 32 * 2**20
HELD_BLOCK_BYTES = 3 * 2**20

# rows that blocks have rather than be cut in their width as well
SCRATCH_ROWS, HELD_ROWS = 128, 16

# threads that work on blocks side by side, at most: each takes memory, and memory is what they wait for
MOST_WORKERS = 4

# what is worked out for each cell takes as much as so many layers, however few the cube has
LEAST_LAYERS = 24

# cubes up to this size are held in memory: three years of a mine of 12 x 12 km in cells of 20 m
HOLD_BYTES = 128 * 2**20

# maps from this size on are given memory page by page
EMPTY_BYTES = 4 * 2**20

# side of the tiles in which cloud-optimised GeoTIFFs are read
TILE = 512


def empty_map(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return zeros that take memory only where something else is written, page by page.

    Notes
    -----
    `numpy.zeros` of many megabytes asks for pages of 2 MB, which a few values in each fill.
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size < EMPTY_BYTES or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(shape, kind)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, kind).reshape(shape)


@dataclass(frozen=True)
class Block:
    """Hold a rectangle of the map."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def map_blocks(cube: xr.DataArray, block_bytes: int | None = None, layers: int | None = None) -> list[Block]:
    """Divide the map of a cube into blocks that hold at most `block_bytes` over all pairs.

    Blocks are rows of full width where the map is narrow or its files are striped, and near
    squares where it is wide and its files are tiled, so that little is read twice.

    Parameters
    ----------
    cube : DataArray, dims (..., y, x)
    block_bytes : int, optional
        Default 100 MB; 3 MB for a cube in memory or made from one, 32 MB for one in a scratch file.  No result depends
        on it.
    layers : int, optional
        How many are read of each block; default all.
    """
    height, width = cube.sizes["y"], cube.sizes["x"]
    if layers is None:
        layers = math.prod(size for name, size in cube.sizes.items() if name not in ("y", "x"))
    layers = max(LEAST_LAYERS, layers)
    usual = usual_bytes(cube)
    cells = max(1, (usual if block_bytes is None else block_bytes) // (4 * layers))
    chunks = cube.encoding.get("preferred_chunks", {})
    tile_rows, tile_cols = (int(chunks.get(name, TILE)) for name in ("y", "x"))
    # what is not decoded may be cut after any row
    tile_rows = min(tile_rows, {SCRATCH_BLOCK_BYTES: SCRATCH_ROWS, HELD_BLOCK_BYTES: HELD_ROWS}.get(usual, tile_rows))
    cols = width
    if tile_cols < width and cells < width * tile_rows:
        cols = min(width, _whole_tiles(max(1, cells // tile_rows), tile_cols))
    cols = min(cols, cells)
    rows = min(height, _whole_tiles(max(1, cells // cols), tile_rows))
    return [
        Block(slice(top, min(top + rows, height)), slice(left, min(left + cols, width)))
        for top in range(0, height, rows)
        for left in range(0, width, cols)
    ]


def _whole_tiles(cells: int, tile: int) -> int:
    """Cut a number of cells down to whole tiles where there is at least one."""
    return cells // tile * tile if cells >= tile else cells


def read_block(cube: xr.DataArray, block: Block) -> Float32Array:
    """Read one block of a cube as float32 (layer, row, column), in C order."""
    values = cube.variable[{"y": block.rows, "x": block.cols}].values
    return np.ascontiguousarray(values, dtype=np.float32)


def walk(cube: xr.DataArray, block_bytes: int | None = None) -> Iterator[tuple[Block, Float32Array]]:
    """Yield every block of a cube with its values."""
    for block in map_blocks(cube, block_bytes):
        yield block, read_block(cube, block)


def workers() -> int:
    """Return the number of threads that work on blocks side by side, 4 at most; no result depends on it."""
    return min(processors(), MOST_WORKERS)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield what `work` makes of each item, in their order, several at a time.

    `work` runs in threads: it is mostly compiled loops and reading, which leave Python's lock. What is made waits
    until all before it were taken, so that sums over the results have one order.
    """
    count = workers()
    if count == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="blocks")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def over_data(
    cube: xr.DataArray, work: Callable[[Block, Float32Array], Result], block_bytes: int | None = None
) -> Iterator[tuple[Block, Result]]:
    """Yield, in order, every block of a cube that holds any data, and what `work` makes of its values in a thread.

    Most of a large map may lie outside the mines: blocks without data are passed over.
    """

    def one(block: Block) -> tuple[Block, Result] | None:
        if not may_hold_data(cube, block.rows, block.cols):
            return None
        values = read_block(cube, block)
        return (block, work(block, values)) if has_data(values) else None

    for found in in_order(one, map_blocks(cube, block_bytes)):
        if found is not None:
            yield found


def may_hold_data(cube: xr.DataArray, rows: slice, cols: slice) -> bool:
    """Check whether a rectangle may hold data: False where a scratch file (`held`) knows that it does not."""
    scratch = _scratch_of(cube.variable)
    return scratch is None or scratch.any_data(rows, cols)


def is_lazy(cube: xr.DataArray) -> bool:
    """Check whether the values of a cube are still to be read or made."""
    return not isinstance(cube.variable._data, np.ndarray)


def usual_bytes(cube: xr.DataArray) -> int:
    """Return the bytes of a block of a cube, by what it takes to read it."""
    data = cube.variable._data
    made = getattr(data, "array", None)
    if isinstance(made, _MadeWhenRead):
        return made.block_bytes
    return HELD_BLOCK_BYTES if isinstance(data, np.ndarray) else BLOCK_BYTES


def reads_files(cube: xr.DataArray) -> bool:
    """Check whether the values of a cube come from files (or anywhere else that is slow) when they are read."""
    return usual_bytes(cube) == BLOCK_BYTES


def _scratch_of(variable: xr.Variable) -> Scratch | None:
    """Return the scratch file that a variable is read from, all rows and columns of it; None if there is none."""
    data = variable._data
    made = getattr(data, "array", None)
    if not isinstance(made, _MadeWhenRead) or not isinstance(made._read, Scratch):
        return None
    keys = zip(getattr(data, "key").tuple[-2:], made.shape[-2:], strict=True)  # noqa: B009 - of a lazily indexed array
    whole = all(isinstance(key, slice) and key.indices(size) == (0, size, 1) for key, size in keys)
    return made._read if whole else None


def held(cube: xr.DataArray, hold_bytes: int | None = None) -> xr.DataArray:
    """Return a cube that is cheap to read several times: in memory if it is small enough, else decoded once.

    A larger one is decoded tile by tile when it is first read, and kept in a scratch file (`Scratch`) that goes with
    the last array that reads it. The caller's cube is not loaded by this.
    """
    limit = HOLD_BYTES if hold_bytes is None else hold_bytes
    # what is made from a cube in memory, or in a scratch file, is cheap as it is, and need not be held twice
    if not reads_files(cube) or cube.ndim != 3 or cube.size == 0:
        return cube
    if cube.size * cube.dtype.itemsize <= limit:
        return cube.compute()
    chunks = cube.encoding.get("preferred_chunks", {})
    rows, cols = (int(chunks.get(name, TILE)) for name in ("y", "x"))
    if isinstance(getattr(cube.variable._data, "array", None), _MadeWhenRead):
        # of rasters every file is opened for every tile: the fewer the better
        cols = max(cols, _whole_tiles(TILE_BYTES // (4 * cube.shape[0] * rows), cols))
    scratch = Scratch(cube.variable, (rows, cols))
    kept = xr.DataArray(
        lazy_variable(tuple(map(str, cube.dims)), cube.shape, scratch, SCRATCH_BLOCK_BYTES),
        coords=cube.coords,
        name=cube.name,
        attrs=dict(cube.attrs),
    )
    kept.encoding.update({key: cube.encoding[key] for key in ("preferred_chunks",) if key in cube.encoding})
    return kept


def made_from(cube: xr.DataArray, make: Callable[[Float32Array, Key], Float32Array]) -> xr.DataArray:
    """Return a cube whose values `make` derives from another one's when they are read.

    Parameters
    ----------
    cube : DataArray, dims (layer, y, x)
        Lazy or in memory; not changed.
    make : callable
        Takes values (layers, rows, columns) in C order, which it may change, and their place in the cube (one slice or
        array of positions per dimension); returns values of that shape.

    Returns
    -------
    DataArray
        Float32, with the coordinates and attributes of `cube`; nothing is kept of what is read.
    """
    reader = _Derived(cube.variable, make)
    made = xr.DataArray(
        lazy_variable(tuple(map(str, cube.dims)), cube.shape, reader, usual_bytes(cube)),
        coords=cube.coords,
        name=cube.name,
        attrs=dict(cube.attrs),
    )
    made.encoding.update({key: cube.encoding[key] for key in ("preferred_chunks",) if key in cube.encoding})
    return made


class _Derived:
    """Read a part of one variable and make the same part of another."""

    def __init__(self, source: xr.Variable, make: Callable[[Float32Array, Key], Float32Array]) -> None:
        self._source, self._make = source, make

    def __call__(self, key: Key) -> Float32Array:
        part = self._source[dict(zip(self._source.dims, key, strict=True))]
        # a copy, for what is in memory already is the caller's
        return self._make(np.array(part.values, dtype=np.float32, order="C"), key)


def layers_of(cube: xr.DataArray, chosen: npt.NDArray[np.integer[Any]]) -> xr.DataArray:
    """Return some layers of a cube, taken when they are read: no copy is held.

    Parameters
    ----------
    cube : DataArray (pair, y, x)
    chosen : ndarray of int
    """
    if is_lazy(cube):
        return cube.isel(pair=chosen)
    if len(chosen) == cube.sizes["pair"]:
        return cube.copy(deep=False)
    variable = cube.variable

    def read(key: Key) -> Float32Array:
        values = variable[{"pair": chosen[key[0]], "y": key[1], "x": key[2]}].values
        return np.asarray(values, np.float32)

    shape = (len(chosen), *cube.shape[1:])
    coords = {name: coord.variable for name, coord in cube.coords.items() if "pair" not in coord.dims}
    coords |= {name: coord.variable[{"pair": chosen}] for name, coord in cube.coords.items() if coord.dims == ("pair",)}
    some = lazy_variable(("pair", "y", "x"), shape, read, HELD_BLOCK_BYTES)
    return xr.DataArray(some, coords=coords, name=cube.name, attrs=dict(cube.attrs))


def only_where(
    cube: xr.DataArray, keep: npt.NDArray[np.bool_], which: npt.NDArray[np.intp] | None = None
) -> xr.DataArray:
    """Return a cube that is NaN outside some cells, made when it is read.

    Parameters
    ----------
    cube : DataArray (layer, y, x)
    keep : ndarray of bool, shape (y, x), or with `which` (masks, y, x)
    which : ndarray of int, shape (layers,), optional
        The mask of each layer; by default all have one.
    """
    masks = keep if which is not None else keep[np.newaxis]
    of_layer = which if which is not None else np.zeros(cube.shape[0], np.intp)

    def make(values: Float32Array, key: Key) -> Float32Array:
        gone = ~masks[:, key[1]][:, :, key[2]]
        for layer, mask in zip(values, of_layer[key[0]], strict=True):
            layer[gone[mask]] = np.nan
        return values

    return made_from(cube, make)


def lazy_variable(
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    read: Callable[[Key], npt.NDArray[Any]],
    block_bytes: int = BLOCK_BYTES,
) -> xr.Variable:
    """Return a float32 variable whose values `read` makes for each index when they are asked for.

    Parameters
    ----------
    dims, shape : tuple
    read : callable
        Takes one slice or one array of positions per dimension (each dimension by itself),
        returns the values.
    block_bytes : int
        Of the blocks in which it is best read: large where it reads files (`usual_bytes`).
    """
    return xr.Variable(dims, indexing.LazilyIndexedArray(_MadeWhenRead(shape, read, block_bytes)))


class _MadeWhenRead(BackendArray):
    """Hold an array of float32 that a function makes piece by piece."""

    def __init__(self, shape: tuple[int, ...], read: Callable[[Key], npt.NDArray[Any]], block_bytes: int) -> None:
        self.shape = shape
        self.block_bytes = block_bytes
        self.dtype = np.dtype(np.float32)
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        return indexing.explicit_indexing_adapter(  # type: ignore[no-any-return]
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: Key) -> npt.NDArray[Any]:
        # whole numbers drop their dimension; they are read as slices of one and dropped here
        kept = tuple(slice(int(k), int(k) + 1) if isinstance(k, (int, np.integer)) else k for k in key)
        values = self._read(kept)
        drop = tuple(axis for axis, k in enumerate(key) if isinstance(k, (int, np.integer)))
        return values.squeeze(axis=drop) if drop else values
