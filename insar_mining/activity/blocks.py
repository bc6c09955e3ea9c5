"""Cubes larger than memory: blocks of the map with every pair in them, and arrays that are made when read.

A function of this folder never holds a whole cube.  It walks over blocks in y and x that
keep the pairs together, so that what it does to a pixel cannot depend on the blocks; what it
sums over pixels it sums in whole numbers, which have no order of summation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from insar_mining.activity.kernels import has_data

FloatBlock = npt.NDArray[np.float32]
Key = tuple[Any, ...]

# bytes of float32 coherence in one block: 92 pairs of a tile of 512 x 512; less where nothing is read
BLOCK_BYTES = 100 * 2**20
HELD_BLOCK_BYTES = 16 * 2**20

# what is worked out for each cell takes as much as so many layers, however few the cube has
LEAST_LAYERS = 24

# cubes up to this size are held in memory: three years of a mine of 12 x 12 km in cells of 20 m
HOLD_BYTES = 128 * 2**20

# side of the tiles in which cloud-optimised GeoTIFFs are read
TILE = 512


@dataclass(frozen=True)
class Block:
    """A rectangle of the map."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def map_blocks(cube: xr.DataArray, block_bytes: int | None = None) -> list[Block]:
    """Divide the map of a cube into blocks that hold at most `block_bytes` over all pairs.

    Blocks are rows of full width where the map is narrow or its files are striped, and near
    squares where it is wide and its files are tiled, so that little is read twice.

    Parameters
    ----------
    cube : DataArray, dims (..., y, x)
    block_bytes : int, optional
        Default 100 MB, 16 MB for a cube in memory or made from one.  No result depends on it.
    """
    height, width = cube.sizes["y"], cube.sizes["x"]
    layers = max(LEAST_LAYERS, math.prod(size for name, size in cube.sizes.items() if name not in ("y", "x")))
    if block_bytes is None:
        block_bytes = BLOCK_BYTES if reads_files(cube) else HELD_BLOCK_BYTES
    cells = max(1, block_bytes // (4 * layers))
    chunks = cube.encoding.get("preferred_chunks", {})
    tile_rows, tile_cols = (int(chunks.get(name, TILE)) for name in ("y", "x"))
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


def read_block(cube: xr.DataArray, block: Block) -> FloatBlock:
    """Read one block of a cube as float32 (layer, row, column), in C order."""
    values = cube.variable[{"y": block.rows, "x": block.cols}].values
    return np.ascontiguousarray(values, dtype=np.float32)


def walk(cube: xr.DataArray, block_bytes: int | None = None) -> Iterator[tuple[Block, FloatBlock]]:
    """Yield every block of a cube with its values."""
    for block in map_blocks(cube, block_bytes):
        yield block, read_block(cube, block)


def walk_data(cube: xr.DataArray, block_bytes: int | None = None) -> Iterator[tuple[Block, FloatBlock]]:
    """Yield every block of a cube that holds any data: most of a large map may lie outside the mines."""
    for block, values in walk(cube, block_bytes):
        if has_data(values):
            yield block, values


def is_lazy(cube: xr.DataArray) -> bool:
    """Whether the values of a cube are still to be read or made."""
    return not isinstance(cube.variable._data, np.ndarray)


def reads_files(cube: xr.DataArray) -> bool:
    """Whether the values of a cube come from files (or anywhere else that is slow) when they are read."""
    return _slow(cube.variable)


def _slow(variable: xr.Variable) -> bool:
    data = variable._data
    if isinstance(data, np.ndarray):
        return False
    made = getattr(data, "array", None)
    return made.slow if isinstance(made, _MadeWhenRead) else True


def held(cube: xr.DataArray, hold_bytes: int | None = None) -> xr.DataArray:
    """Return a cube that is cheap to read several times: in memory if it is small enough, else as it is.

    The caller's cube is not loaded by this.
    """
    limit = HOLD_BYTES if hold_bytes is None else hold_bytes
    # what is made from a cube in memory is cheap as it is, and need not be held twice
    if reads_files(cube) and cube.size * cube.dtype.itemsize <= limit:
        return cube.compute()
    return cube


def made_from(cube: xr.DataArray, make: Callable[[FloatBlock, Key], FloatBlock]) -> xr.DataArray:
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
        lazy_variable(tuple(map(str, cube.dims)), cube.shape, reader, slow=reads_files(cube)),
        coords=cube.coords,
        name=cube.name,
        attrs=dict(cube.attrs),
    )
    made.encoding.update({key: cube.encoding[key] for key in ("preferred_chunks",) if key in cube.encoding})
    return made


class _Derived:
    """Reads a part of one variable and makes the same part of another."""

    def __init__(self, source: xr.Variable, make: Callable[[FloatBlock, Key], FloatBlock]) -> None:
        self._source, self._make = source, make

    def __call__(self, key: Key) -> FloatBlock:
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

    def read(key: Key) -> FloatBlock:
        values = variable[{"pair": chosen[key[0]], "y": key[1], "x": key[2]}].values
        return np.asarray(values, np.float32)

    shape = (len(chosen), *cube.shape[1:])
    coords = {name: coord.variable for name, coord in cube.coords.items() if "pair" not in coord.dims}
    coords |= {name: coord.variable[{"pair": chosen}] for name, coord in cube.coords.items() if coord.dims == ("pair",)}
    some = lazy_variable(("pair", "y", "x"), shape, read, slow=False)
    return xr.DataArray(some, coords=coords, name=cube.name, attrs=dict(cube.attrs))


def only_where(cube: xr.DataArray, keep: npt.NDArray[np.bool_]) -> xr.DataArray:
    """Return a cube that is NaN outside some cells, made when it is read.

    Parameters
    ----------
    cube : DataArray (layer, y, x)
    keep : ndarray of bool, shape (y, x)
    """

    def make(values: FloatBlock, key: Key) -> FloatBlock:
        values[:, ~keep[key[1]][:, key[2]]] = np.nan
        return values

    return made_from(cube, make)


def lazy_variable(
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    read: Callable[[Key], npt.NDArray[Any]],
    *,
    slow: bool = True,
) -> xr.Variable:
    """Return a float32 variable whose values `read` makes for each index when they are asked for.

    Parameters
    ----------
    dims, shape : tuple
    read : callable
        Takes one slice or one array of positions per dimension (each dimension by itself),
        returns the values.
    slow : bool
        Whether that reads files, so that large blocks are better.
    """
    return xr.Variable(dims, indexing.LazilyIndexedArray(_MadeWhenRead(shape, read, slow)))


class _MadeWhenRead(BackendArray):
    """An array of float32 that a function makes piece by piece."""

    def __init__(self, shape: tuple[int, ...], read: Callable[[Key], npt.NDArray[Any]], slow: bool = True) -> None:
        self.shape = shape
        self.slow = slow
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


def span(key: slice | npt.NDArray[np.integer[Any]], size: int) -> tuple[int, int, slice | npt.NDArray[Any]]:
    """Return the smallest run of positions that holds an index, and the index within that run.

    Examples
    --------
    >>> span(slice(2, 9, 3), 10)
    (2, 9, slice(0, 7, 3))
    >>> span(slice(None, None, -1), 4)
    (0, 4, array([3, 2, 1, 0]))
    """
    if isinstance(key, slice):
        start, stop, step = key.indices(size)
        if step > 0:
            stop = max(start, stop)
            return start, stop, slice(0, stop - start, step)
        key = np.arange(start, stop, step)
    positions = np.asarray(key)
    if positions.size == 0:
        return 0, 0, slice(0, 0)
    first = int(positions.min())
    return first, int(positions.max()) + 1, positions - first
