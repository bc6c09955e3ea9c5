"""Compile kernels once per machine; a cache of them that is full, damaged, outdated or absent costs time, never a run.

numba keeps compiled code in ``__pycache__`` beside the source, in ``NUMBA_CACHE_DIR`` or in the user's cache folder. It
raises where that cannot be written or read, and it looks neither at a checksum nor at the files of other kernels that
a kernel calls: after an update of one of them, or a full disk, the old code would run.
"""

# numba has no types of its own
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

logger = logging.getLogger(__name__)


class OutdatedError(ValueError):
    """Compiled code was made from other sources."""


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as ``numba.njit`` does, and cache it.

    Parameters
    ----------
    **options
        Options of ``numba.njit`` other than ``cache``.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(**options)(function)
        if hasattr(kernel, "enable_caching"):  # else NUMBA_DISABLE_JIT left the function as it is
            try:
                kernel._cache = _KernelCache(function)
            except RuntimeError as error:  # no folder can be written
                _warn_once(str(error))
        return kernel

    return compiled


class _CheckedCode(CompileResultCacheImpl):
    """Compiled code with its checksum and the digest of what it was made from."""

    def __init__(self, function: FunctionType) -> None:
        super().__init__(function)
        self._function = function

    def reduce(self, compiled: Any) -> tuple[bytes, bytes, bytes]:
        code = dumps(super().reduce(compiled))
        return sources_digest(self._function), hashlib.sha256(code).digest(), code

    def rebuild(self, context: Any, reduced: tuple[bytes, bytes, bytes]) -> Any:
        sources, checksum, code = reduced
        if checksum != hashlib.sha256(code).digest():
            raise ValueError("the checksum differs")
        if sources != sources_digest(self._function):
            raise OutdatedError
        return super().rebuild(context, pickle.loads(code))


class _KernelCache(FunctionCache):
    """Cache of one kernel: what cannot be read is compiled again, what cannot be written is not kept."""

    _impl_class = _CheckedCode

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except OutdatedError:
            self._forget()
        except Exception as error:  # damaged pickles raise errors of any class
            logger.warning("%s: compiled code is damaged (%r); it is compiled again", self.cache_path, error)
            self._forget()
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        try:
            super().save_overload(signature, compiled)
        except OSError as error:
            _warn_once(f"{self.cache_path}: {error.strerror}")

    def _forget(self) -> None:
        """Empty the index, so that the code that is compiled next can be saved."""
        try:
            self.flush()
        except OSError as error:
            _warn_once(f"{self.cache_path}: {error.strerror}")


@functools.cache
def _warn_once(reason: str) -> None:
    logger.warning(
        "compiled kernels cannot be kept: every process compiles them again (%s). Free space there, or name another "
        "folder: NUMBA_CACHE_DIR",
        reason,
    )


def sources_digest(function: FunctionType) -> bytes:
    """Compute the SHA-256 of the source files and constants that a kernel and those that it calls are made from."""
    digest = hashlib.sha256()
    for part in sorted(_parts(function, set())):
        digest.update(part)
    return digest.digest()


def _parts(function: FunctionType, seen: set[str]) -> Iterator[bytes]:
    """Yield the digest of a kernel's file, its constants, and the same of the kernels that it calls."""
    name = f"{function.__module__}.{function.__qualname__}"
    if name in seen:
        return
    seen.add(name)
    source = Path(function.__code__.co_filename)
    yield _file_digest(source, source.stat().st_mtime_ns)
    names = set(_names(function.__code__))
    values = [(one, function.__globals__[one]) for one in names if one in function.__globals__]
    for _, module in [pair for pair in values if isinstance(pair[1], ModuleType)]:
        if module.__name__.partition(".")[0] == __name__.partition(".")[0]:
            values += [(f"{module.__name__}.{one}", vars(module)[one]) for one in names if one in vars(module)]
    for one, value in values:
        if hasattr(value, "py_func"):
            yield from _parts(value.py_func, seen)
        elif isinstance(value, np.ndarray):
            yield f"{one} {value.dtype} {value.shape} ".encode() + value.tobytes()
        elif isinstance(value, bool | int | float | complex | str | tuple):
            yield f"{one} {value!r}".encode()


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function and the functions inside it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@functools.cache
def _file_digest(source: Path, modified: int) -> bytes:
    return hashlib.sha256(source.read_bytes()).digest()
