"""Cubes that are slow to read, decoded once: tiles go to a scratch file as plain numbers, empty ones nowhere.

An analysis walks over its cube some ten times.  Rasters and chunks are compressed, and decoding them takes most
of the time; a cube that fits into memory is held there, a larger one is kept here.  The memory that this takes is
bounded: the file is read and written, not mapped, so that what the system caches of it is not the process's own.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.activity.cube.kernels import has_data
from insar_mining.arrays import Float32Array

Key = tuple[Any, ...]

logger = logging.getLogger(__name__)

# bytes of float32 coherence in one tile, at most: 92 pairs of 512 x 512 cells
TILE_BYTES = 100 * 2**20
# tiles of files that are stored in lines are grown to so many rows
LEAST_ROWS = 64
# of the space that is free on the disk of temporary files, what a cube may take
DISK_SHARE = 0.5

_UNKNOWN, _EMPTY, _ELSEWHERE = -1, -2, -3


class Scratch:
    """Read any part of a cube, decoding each tile of it once; any number of threads may read.

    Parameters
    ----------
    source : Variable (layer, y, x)
    chunks : (int, int)
        Rows and columns that are stored together.
    """

    def __init__(self, source: xr.Variable, chunks: tuple[int, int]) -> None:
        self._source = source
        layers, height, width = source.shape
        self._cols = max(1, min(chunks[1], width, TILE_BYTES // (4 * layers)))
        most = max(1, TILE_BYTES // (4 * layers * self._cols))
        rows = chunks[0] if chunks[0] >= LEAST_ROWS else most // chunks[0] * chunks[0]
        self._rows = max(1, min(rows, most, height))
        self._places = np.full((-(-height // self._rows), -(-width // self._cols)), _UNKNOWN, np.int64)
        self._lock = threading.Lock()
        self._file = -1
        self._end = self._limit = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the scratch file out: another process makes its own."""
        again = self.__dict__ | {"_lock": None, "_file": -1, "_end": 0, "_limit": 0}
        again["_places"] = np.where(self._places == _EMPTY, _EMPTY, _UNKNOWN)
        return again

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make what cannot be sent."""
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def any_data(self, rows: slice, cols: slice) -> bool:
        """Check whether a rectangle may hold data: False only where none of its tiles has a value."""
        return any(self._place(i, j)[0] != _EMPTY for i, j in self._tiles(rows, cols))

    def __call__(self, key: Key) -> Float32Array:
        """Return the values of a part: one slice or array of positions per dimension."""
        pairs = np.arange(self._source.shape[0])[key[0]]
        top, bottom, within_rows = span(key[1], self._source.shape[1])
        left, right, within_cols = span(key[2], self._source.shape[2])
        values = np.empty((pairs.size, bottom - top, right - left), np.float32)
        for i, j in self._tiles(slice(top, bottom), slice(left, right)):
            of_tile = self._tile(i, j)
            rows = slice(max(top, of_tile[0].start), min(bottom, of_tile[0].stop))
            cols = slice(max(left, of_tile[1].start), min(right, of_tile[1].stop))
            part = values[:, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
            place, fresh = self._place(i, j)
            if place == _EMPTY:
                part[:] = np.nan
            elif fresh is not None:
                part[:] = fresh[pairs][:, *_within(of_tile, rows, cols)]
            elif place == _ELSEWHERE:
                part[:] = self._source[{self._source.dims[0]: pairs, "y": rows, "x": cols}].values
            else:
                self._read(place, of_tile, pairs, rows, cols, part)
        if isinstance(within_rows, slice) and isinstance(within_cols, slice):
            return values[:, within_rows, within_cols]
        return values[:, within_rows][:, :, within_cols]

    def _tiles(self, rows: slice, cols: slice) -> list[tuple[int, int]]:
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return []
        return [
            (i, j)
            for i in range(rows.start // self._rows, (rows.stop - 1) // self._rows + 1)
            for j in range(cols.start // self._cols, (cols.stop - 1) // self._cols + 1)
        ]

    def _tile(self, i: int, j: int) -> tuple[slice, slice]:
        _, height, width = self._source.shape
        return (
            slice(i * self._rows, min((i + 1) * self._rows, height)),
            slice(j * self._cols, min((j + 1) * self._cols, width)),
        )

    def _place(self, i: int, j: int) -> tuple[int, Float32Array | None]:
        """Return the place of a tile in the scratch file, its values if they were decoded just now, or its state."""
        if self._places[i, j] != _UNKNOWN:
            return int(self._places[i, j]), None
        with self._lock:
            if self._places[i, j] != _UNKNOWN:
                return int(self._places[i, j]), None
            rows, cols = self._tile(i, j)
            values = np.ascontiguousarray(self._source[{"y": rows, "x": cols}].values, np.float32)
            self._places[i, j] = self._kept(values) if has_data(values) else _EMPTY
            return int(self._places[i, j]), values

    def _kept(self, values: Float32Array) -> int:
        """Write a tile to the scratch file; `_ELSEWHERE` where the disk has no room for it."""
        if self._limit == 0:
            self._limit = int(DISK_SHARE * shutil.disk_usage(tempfile.gettempdir()).free)
        if self._end + values.nbytes > self._limit:
            if self._limit > 0:
                logger.info(
                    "%s has room for %.1f GB of scratch files, the cube takes %.1f: the rest is decoded whenever it is "
                    "read (TMPDIR names another folder)",
                    tempfile.gettempdir(), self._limit / 1e9, 4e-9 * math.prod(self._source.shape),
                )  # fmt: skip
            self._limit = -1
            return _ELSEWHERE
        try:
            if self._file < 0:
                # it has no name, and goes with this object
                with tempfile.TemporaryFile(prefix="insar_mining_") as file:
                    self._file = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._file)
            rest, at = values.data.cast("B"), self._end
            while rest:
                done = os.pwrite(self._file, rest, at)
                rest, at = rest[done:], at + done
        except OSError as error:
            logger.info("no scratch file (%s): the cube is decoded whenever it is read", error)
            self._limit = -1
            return _ELSEWHERE
        place, self._end = self._end, at
        return place

    def _read(
        self,
        place: int,
        of_tile: tuple[slice, slice],
        pairs: npt.NDArray[np.int64],
        rows: slice,
        cols: slice,
        out: npt.NDArray[np.float32],
    ) -> None:
        """Read a part of a tile, whole lines of each layer at a time."""
        height, width = (part.stop - part.start for part in of_tile)
        lines, across = _within(of_tile, rows, cols)
        buffer = np.empty((lines.stop - lines.start, width), np.float32)
        for number, pair in enumerate(pairs):
            at = place + 4 * width * (int(pair) * height + lines.start)
            whole = out[number].flags.c_contiguous and out.shape[2] == width
            target = out[number] if whole else buffer
            rest = target.data.cast("B")
            while rest:
                done = os.preadv(self._file, [rest], at)
                if not done:
                    raise OSError(f"the scratch file in {tempfile.gettempdir()} was cut short")
                rest, at = rest[done:], at + done
            if not whole:
                out[number] = buffer[:, across]


def _within(of_tile: tuple[slice, slice], rows: slice, cols: slice) -> tuple[slice, slice]:
    """Return the rows and columns of the map as those of a tile."""
    top, left = of_tile[0].start, of_tile[1].start
    return slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)


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
