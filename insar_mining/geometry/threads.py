"""Bound the threads of kernels, and run one job at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba

from insar_mining.machine import processors

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def threads(count: int | None = None) -> Iterator[int]:
    """Run the block's kernels on a number of threads, and no other block's at the same time.

    Numba's threads are shared by the whole process: two maps at once would take each other's time,
    and one of numba's threading layers (workqueue) ends the process when two threads start kernels at
    once.  So maps and plans of one process wait for each other, whether they are asked for from threads
    or by a scheduler such as dask; processes do not.

    Parameters
    ----------
    count : int, optional
        By default what the machine or the container allows (cgroups, affinity), at most what
        ``OMP_NUM_THREADS`` says, as for any other threads: dask's workers are started with 1.  Never more
        than ``NUMBA_NUM_THREADS``.

    Yields
    ------
    int
        The number that it became.
    """
    with _ONE_AT_A_TIME:
        before = numba.get_num_threads()
        numba.set_num_threads(max(1, min(count or allowance(), numba.config.NUMBA_NUM_THREADS)))  # type: ignore[attr-defined]
        try:
            yield numba.get_num_threads()
        finally:
            numba.set_num_threads(before)


def allowance() -> int:
    """Return the default number of threads of a map."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is for nested regions
    return min(processors(), int(first)) if first.isdigit() and int(first) > 0 else processors()
