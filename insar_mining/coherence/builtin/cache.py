"""Arrays that a stack computes once, kept on disk: addressed by what they are made of, bounded in size."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from insar_mining.errors import OutputError
from insar_mining.files import appears_whole

logger = logging.getLogger(__name__)

SUFFIX = ".npy"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ArrayCache:
    """A folder of arrays, each named by the hash of everything that decides it.

    Attributes
    ----------
    folder : Path
        Made when first needed; it may be deleted at any time, and is then filled anew.
    limit_bytes : int
        The least recently used arrays are deleted until a new one fits.
    """

    folder: Path
    limit_bytes: int

    def holds(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> bool:
        """Tell whether an array of this size can be kept at all."""
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
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest() + SUFFIX
        path = self.folder / name
        kept = _mapped(path, shape, dtype)
        if kept is not None:
            os.utime(path)  # the clock of "least recently used"
            return kept
        self._make_room(_bytes(shape, dtype))
        # written, not mapped: a full disk is then an error, and not the end of the process (SIGBUS)
        with appears_whole(path) as partial, partial.open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks():
                file.write(np.ascontiguousarray(block, dtype=dtype).data)
        made = _mapped(path, shape, dtype)
        if made is None:
            raise OutputError(f"{path} vanished or changed while in use; nothing else may write to {self.folder}")
        return made

    def _make_room(self, size: int) -> None:
        """Delete what was used longest ago until `size` bytes more keep within the limit."""
        entries = sorted(((e.stat(), e) for e in self.folder.glob(f"[!.]*{SUFFIX}")), key=lambda one: one[0].st_mtime)
        held = sum(state.st_size for state, _ in entries)
        for state, path in entries:
            if held + size <= self.limit_bytes:
                break
            path.unlink(missing_ok=True)  # whoever has it mapped still reads it
            held -= state.st_size
            logger.info("removed an array of %.0f MB from %s to keep its limit", state.st_size / 1e6, self.folder)


def _bytes(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def _mapped(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array | None:
    """Map a file if it holds the array that its name promises."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    array = array.view(np.ndarray)  # as any other array to those who use it
    return array if array.shape == shape and array.dtype == np.dtype(dtype) else None
