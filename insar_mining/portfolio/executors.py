"""Who does the tasks: this process, processes of this machine, or dask's workers anywhere.

An executor only carries tasks to processes; what is done, and whether it is done, the ledger says.  So a process that
dies loses its task and nothing else, two executors may work at one portfolio, and a task is begun again as often as it
was lost, at most three times.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from insar_mining.doors import one_line
from insar_mining.errors import EngineError, OptionError
from insar_mining.machine import memory_bytes, processors
from insar_mining.portfolio.ledger import Ledger, Record, Task
from insar_mining.portfolio.work import Job, do_task

WORKER_BYTES = 2_000_000_000
SHARE_OF_MEMORY = 0.8
MOST_LOSSES = 3
WAIT_S = 60.0  # for the first worker of a scheduler
LOOK_AGAIN_S = 5.0  # for workers that came or went
RETRIES = 2  # of a call that fails outside its job: a ledger on a shared disk that is away for a moment
NEEDS = {"memory": float(WORKER_BYTES), "download": 1.0}  # of a mine, of workers that announce such resources

Event = Callable[[Task, str, float], None]
"""Called with a task, what became of it and the seconds since it was handed out."""


class LostWorkerError(Exception):
    """A process died with a task."""


class Pool(Protocol):
    """Hold processes that take calls."""

    @property
    def slots(self) -> int:
        """Tasks that the processes do at a time."""
        ...

    def submit(self, call: Callable[..., str], task: Task) -> Any:
        """Hand a task to a process; return a future."""
        ...

    def first_done(self, futures: Sequence[Any]) -> Any:
        """Wait until one of some futures is done, and return it."""
        ...

    def result(self, future: Any) -> str:
        """Return what a task's call returned.

        Raises
        ------
        LostWorkerError
            The process died.
        """
        ...


def execute(
    tasks: Sequence[Task], folder: Path, job: Job, pool: Pool | None, event: Event, *, again: bool = False
) -> dict[str, str]:
    """Execute tasks, the longest first; return the outcome of each.

    Parameters
    ----------
    pool : Pool, optional
        Without one the tasks are done here, one after the other.
    again : bool
        Also do what is done without some dates.

    Raises
    ------
    OutputError
        The ledger cannot be written: no task could be recorded any more.
    """
    order = sorted(tasks, key=lambda task: (-task.seconds, task.id))
    states: dict[str, str] = {}
    call = functools.partial(_call, folder=folder, job=job, again=again)
    if pool is None:
        for task in order:
            begun = time.monotonic()
            states[task.id] = do_task(task, folder, job, again=again)
            event(task, states[task.id], time.monotonic() - begun)
        return states
    losses: dict[str, int] = {}
    running: dict[Any, tuple[Task, float]] = {}
    queue = list(reversed(order))
    while queue or running:
        while queue and len(running) < pool.slots:
            task = queue.pop()
            running[pool.submit(call, task)] = task, time.monotonic()
        future = pool.first_done(list(running))
        task, begun = running.pop(future)
        try:
            state = pool.result(future)
        except LostWorkerError:
            losses[task.id] = losses.get(task.id, 0) + 1
            if losses[task.id] < MOST_LOSSES:
                queue.append(task)
                continue
            state = _give_up(task, folder)
        states[task.id] = state
        event(task, state, time.monotonic() - begun)
    return states


def _call(task: Task, *, folder: Path, job: Job, again: bool) -> str:
    return do_task(task, folder, job, again=again)


def _give_up(task: Task, folder: Path) -> str:
    """Record a task whose process died again and again."""
    text = f"its process died {MOST_LOSSES} times (killed for its memory, perhaps). Use fewer workers, or more memory"
    error = {"type": "LostWorkerError", "message": text}
    Ledger(folder).write(Record(task.id, task.identity, "failed", task.inputs, error=error))
    return "failed"


def shard_of(tasks: Sequence[Task], shard: str) -> list[Task]:
    """Return the tasks of one shard of several: ``"2/4"`` is the second of four.

    A task's shard follows from its id alone, so that no shard needs to know of another.

    Raises
    ------
    OptionError
        Not of the form i/n with 1 <= i <= n.
    """
    number, _, count = shard.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise OptionError(f"shard: not a part of several ({shard!r}). Write 1/4 for the first of four")
    return [t for t in tasks if int(hashlib.sha256(t.id.encode()).hexdigest()[:8], 16) % int(count) == int(number) - 1]


def workers_here(asked: int | None) -> int:
    """Return how many processes this machine carries: at most its processors, 2 GB of its memory for each."""
    room = max(int(memory_bytes() * SHARE_OF_MEMORY // WORKER_BYTES), 1)
    return min(asked or processors(), room)


# -- processes of this machine --------------------------------------------------------------


class Processes:
    """Hold processes of this machine that end with this one."""

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._threads = max(processors() // workers, 1)
        self._pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.slots, context, initializer=_start_worker, initargs=(self._threads,))

    def submit(self, call: Callable[..., str], task: Task) -> Future[str]:
        """Hand a task to a process; processes that died are replaced."""
        try:
            return self._pool.submit(call, task)
        except BrokenProcessPool:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = self._open()
            return self._pool.submit(call, task)

    def first_done(self, futures: Sequence[Future[str]]) -> Future[str]:
        """Wait until one of some futures is done, and return it."""
        return next(iter(wait(futures, return_when=FIRST_COMPLETED).done))

    def result(self, future: Future[str]) -> str:
        """Return what a task's call returned."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise LostWorkerError(str(error)) from None

    def close(self) -> None:
        """End the processes; tasks that have not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(threads: int) -> None:
    """Bound the threads of a worker, and end it when its parent has ended."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def local_pool(workers: int) -> Iterator[Processes]:
    """Open processes of this machine."""
    pool = Processes(workers)
    try:
        yield pool
    finally:
        pool.close()


# -- dask -----------------------------------------------------------------------------------


class Dask:
    """Hold workers of a dask.distributed scheduler.

    A mine asks for the resources of `NEEDS` that all workers announce: one download, and 2 GB of memory.  Where a
    worker announces none, it does as many mines at a time as it has threads.  No more mines are handed out than workers
    can do at once: a worker that dies takes those that wait for it for what killed it.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        announced = [worker["resources"] for worker in self._workers()]
        self.resources = {name: need for name, need in NEEDS.items() if all(name in one for one in announced)}
        self._counted = -math.inf, 1

    def _workers(self) -> list[dict[str, Any]]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"].values())

    @property
    def slots(self) -> int:
        """Mines that the workers of now do at a time; looked up again every few seconds."""
        when, slots = self._counted
        if time.monotonic() - when > LOOK_AGAIN_S:
            self._check_there()
            slots = max(sum(_mines_at_once(worker, self.resources) for worker in self._workers()), 1)
            self._counted = time.monotonic(), slots
        return slots

    def submit(self, call: Callable[..., str], task: Task) -> Any:
        """Hand a task to a worker; a worker that dies hands it on to others.

        Raises
        ------
        EngineError
            The scheduler is gone.
        """
        self._check_there()
        return self._client.submit(
            call, task, pure=False, retries=RETRIES, resources=self.resources, key=f"{task.id}-{os.urandom(4).hex()}"
        )

    def _check_there(self) -> None:
        if self._client.status != "running":
            raise EngineError(
                "dask.distributed: the connection to the scheduler is lost. Start a scheduler and begin again: "
                "finished mines are kept"
            )

    def first_done(self, futures: Sequence[Any]) -> Any:
        """Wait until one of some futures is done, and return it."""
        from distributed import as_completed

        finished: Any = as_completed
        return next(iter(finished(futures)))

    def result(self, future: Any) -> str:
        """Return what a task's call returned; the scheduler then forgets it."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            return str(future.result())
        except KilledWorker as error:
            raise LostWorkerError(str(error)) from None
        except CancelledError as error:
            self._check_there()
            raise LostWorkerError(str(error)) from None
        finally:
            future.release()


def _mines_at_once(worker: Mapping[str, Any], needs: Mapping[str, float]) -> int:
    """Count the mines that a worker does at a time: by its threads, and by what it announces."""
    return min([int(worker["nthreads"]), *(int(worker["resources"][name] // need) for name, need in needs.items())])


@contextmanager
def dask_pool(scheduler: str | None, workers: int, *, report: Path | None = None) -> Iterator[Dask]:
    """Connect to a scheduler, or start workers of this machine under one.

    Parameters
    ----------
    scheduler : str, optional
        ``tcp://host:port``; without it a LocalCluster is started and stopped.
    workers : int
        Of the LocalCluster, one thread, one download and 2 GB each.
    report : Path, optional
        HTML file for dask's performance report.

    Raises
    ------
    EngineError
        dask.distributed is not installed, its workers do not start, or the scheduler does not answer or has none.
    """
    try:
        import dask
        from distributed import Client, LocalCluster, performance_report
    except ImportError as error:
        raise EngineError("dask.distributed: is not installed. Do pip install 'insar-mining[scale]'") from error
    untyped: Any = LocalCluster, Client, performance_report
    cluster_of, client_of, report_of = untyped
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            # who is to blame for a death is counted here, mine by mine
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
            local = {"threads_per_worker": 1, "memory_limit": WORKER_BYTES, "dashboard_address": None}
            try:
                cluster = stack.enter_context(cluster_of(workers, resources=NEEDS, **local))
            except RuntimeError as error:
                raise EngineError(
                    f"dask: its workers do not start ({one_line(error)}). Run without --dask, or mend it"
                ) from error
            client = stack.enter_context(client_of(cluster))
        else:
            try:
                client = stack.enter_context(client_of(scheduler, timeout="20s"))
            except (OSError, TimeoutError, ValueError) as error:
                raise EngineError(
                    f"{scheduler}: no scheduler answers there ({error}). Start one, or mend it"
                ) from error
        try:
            client.wait_for_workers(1, timeout=WAIT_S)
        except TimeoutError:
            raise EngineError(
                f"{scheduler}: the scheduler has no worker ({WAIT_S:g} s waited). Start some, then begin again"
            ) from None
        if report is not None:
            stack.enter_context(report_of(filename=str(report)))
        yield Dask(client)
