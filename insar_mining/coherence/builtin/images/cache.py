"""Arrays that a stack computes once, kept on disk: addressed by what they are made of, checked, bounded in size."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from insar_mining.errors import OutputError
from insar_mining.files import appears_whole, delete

logger = logging.getLogger(__name__)

SUFFIX = ".npy"
NAMES = re.compile(r"[0-9a-f]{64}\.npy")
CHECKSUM_BYTES = 4  # CRC-32 of the data, after them
TRIES = 3

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ArrayCache:
    """Hold a folder of arrays, each named by the hash of everything that decides it.

    Attributes
    ----------
    folder : Path
        Made when first needed; it may be deleted at any time, and is then filled anew.
    limit_bytes : int
        The least recently used arrays are deleted until a new one fits.
    """

    folder: Path
    limit_bytes: int
    # files whose checksum this process has seen to be right
    _sound: set[tuple[str, int]] = field(default_factory=set, init=False, repr=False, compare=False)

    def holds(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> bool:
        """Check whether an array of this size can be kept at all."""
        return _bytes(shape, dtype) <= self.limit_bytes

    def get(
        self,
        key: Mapping[str, object],
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        blocks: Callable[[], Iterable[Array]],
    ) -> Array:
        """Return an array from disk; the first time it is made from `blocks` and put there.

        Parameters
        ----------
        key : mapping
            Plain values that decide the array; whatever changes the numbers must be in it.
        shape, dtype
            Of the array.
        blocks : callable
            Gives the array piece by piece along its first axis.  What it raises leaves no trace.

        Returns
        -------
        ndarray
            Read-only, mapped from the file.

        Raises
        ------
        OutputError
            The folder cannot be written, or the disk is full.
        """
        path = self.folder / (hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest() + SUFFIX)
        for _ in range(TRIES):
            kept = self._kept(path, shape, dtype)
            if kept is not None:
                return kept
            self._make_room(_bytes(shape, dtype))
            _write(path, shape, dtype, blocks())
        raise OutputError(
            f"{path} vanished {TRIES} times before it could be read; other processes need more room in "
            f"{self.folder} than its limit of {self.limit_bytes / 1e9:.3g} GB: raise cache_gb, or give each its own"
        )

    def _kept(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array | None:
        """Map a file if it holds what its name promises; its checksum is looked at once per process."""
        try:
            with path.open("rb") as file:  # one file, even if another process puts a new one in its place meanwhile
                array = _mapped(file, shape, dtype)
                one = path.name, os.fstat(file.fileno()).st_ino
                if array is None or (one not in self._sound and not _is_sound(file, array)):
                    return None
            os.utime(path)  # the clock of "least recently used"
        except FileNotFoundError:  # not there, or removed by another process: what is mapped stays readable
            return None
        self._sound.add(one)
        return array

    def _make_room(self, size: int) -> None:
        """Delete what was used longest ago until `size` bytes more keep within the limit."""
        entries = sorted(self._entries(), key=lambda entry: entry[0].st_mtime)
        held = sum(state.st_size for state, _ in entries)
        for state, path in entries:
            if held + size <= self.limit_bytes:
                break
            delete(path, NAMES)  # whoever has it mapped still reads it
            held -= state.st_size
            logger.info("removed an array of %.0f MB from %s to keep its limit", state.st_size / 1e6, self.folder)

    def _entries(self) -> Iterator[tuple[os.stat_result, Path]]:
        for path in self.folder.glob(f"[!.]*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # another process makes room too
                if NAMES.fullmatch(path.name):
                    yield path.lstat(), path


def _bytes(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def _write(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, blocks: Iterable[Array]) -> None:
    """Write an array and its checksum.

    Written, not mapped: a full disk is then an error, and not the end of the process (SIGBUS).
    """
    with appears_whole(path) as partial, partial.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        checksum = 0
        for block in blocks:
            data = np.ascontiguousarray(block, dtype=dtype).data.cast("B")
            checksum = zlib.crc32(data, checksum)
            file.write(data)
        file.write(checksum.to_bytes(CHECKSUM_BYTES, "little"))


def _mapped(file: BinaryIO, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array | None:
    """Map a file if it has the array's shape and the length that belongs to it."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            return None
        found = np.lib.format.read_array_header_1_0(file)
    except ValueError:
        return None
    start = file.tell()
    if found != (shape, False, np.dtype(dtype)):
        return None
    if os.fstat(file.fileno()).st_size != start + _bytes(shape, dtype) + CHECKSUM_BYTES:
        return None
    return np.memmap(file, dtype, "r", start, shape).view(np.ndarray)  # as any other array to those who use it


def _is_sound(file: BinaryIO, array: Array) -> bool:
    """Compare the data with their checksum."""
    file.seek(-CHECKSUM_BYTES, os.SEEK_END)
    return zlib.crc32(array.reshape(-1).view(np.uint8).data) == int.from_bytes(file.read(), "little")
