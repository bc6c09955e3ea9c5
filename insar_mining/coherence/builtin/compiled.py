"""Numba's side of the engine: how many threads, one job at a time, and kernels compiled once per machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba

from insar_mining.coherence.builtin import coregister, estimate, geocode, resample
from insar_mining.machine import processors

# the kernels that take longest to compile; numba keeps them in __pycache__, or in NUMBA_CACHE_DIR
KERNELS = (
    coregister.surface_heights,
    coregister.field_at_posts,
    resample.deramp,
    resample.resample_range,
    resample.resample_azimuth,
    estimate.coherence,
    geocode.bilinear,
)

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def threads(count: int | None = None) -> Iterator[int]:
    """Run the block's kernels on a number of threads, and no other block's at the same time.

    Numba's threads are shared by the whole process: two maps at once would take each other's time,
    and not every threading layer survives it.  So maps of one process wait for each other, whether
    they are asked for from threads or by a scheduler such as dask; processes do not.

    Parameters
    ----------
    count : int, optional
        By default what the machine or the container allows (cgroups, affinity), at most what
        ``NUMBA_NUM_THREADS`` says.
    """
    with _ONE_AT_A_TIME:
        before = numba.get_num_threads()
        numba.set_num_threads(max(1, min(count or processors(), numba.config.NUMBA_NUM_THREADS)))  # type: ignore[attr-defined]
        try:
            yield numba.get_num_threads()
        finally:
            numba.set_num_threads(before)


def are_compiled() -> bool:
    """Tell whether an earlier process left compiled kernels: else the first map takes about a minute more."""
    return all(_has_files(kernel) for kernel in KERNELS)


def _has_files(kernel: Any) -> bool:
    folder, function = Path(kernel.stats.cache_path), kernel.py_func
    return any(folder.glob(f"*{function.__name__}-{function.__code__.co_firstlineno}*.nbi"))
