"""What is done for one task, in whatever process: claimed, run, measured, recorded."""

from __future__ import annotations

import datetime as dt
import errno
import os
import platform
import re
import resource
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insar_mining import __version__
from insar_mining.errors import InsarMiningError, InsarMiningWarning, OutputError
from insar_mining.files import delete_leftovers
from insar_mining.portfolio.ledger import Ledger, Record, Task, outputs_of, remedy_of

RESULTS = "mines"
OF_ALL_MINES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # faults of the disk that every further mine would meet


@dataclass(frozen=True)
class Finished:
    """Hold the outcome of a job: folder of its result, what is missing, time and bytes.

    Attributes
    ----------
    folder : Path
    lost : sequence of mappings
    without : sequence of str
        Folders in it that are no part of the result (products, say).
    measured : mapping
        Beside the times that every task has.
    """

    folder: Path
    lost: Sequence[Mapping[str, str]] = ()
    without: Sequence[str] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)


Job = Callable[[Task, Path, "Steps"], Finished]
"""Called with the task, the portfolio's folder and a clock of its steps; a top-level function, for other processes."""


@dataclass
class Steps:
    """Time the steps of a task; also the progress callback of a run.

    Attributes
    ----------
    seconds : dict of str to float
    check : callable
        Called at every step; what it raises ends the task.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    check: Callable[[], None] = lambda: None
    _name: str = "start"
    _since: float = field(default_factory=time.perf_counter)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Count the time since the last call for the stage that ends or goes on."""
        self.check()
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = stage, now


def do_task(task: Task, folder: Path, job: Job, *, wait: bool = True, again: bool = False) -> str:
    """Execute a task unless its result exists; return its record afterwards.

    Parameters
    ----------
    wait : bool
        Wait for another process that works at it; else return ``"running"``.
    again : bool
        Also do what is done without some dates.

    Returns
    -------
    str
        ``"there"``, ``"running"``, or the state of the new record.

    Raises
    ------
    OutputError
        The ledger cannot be written, the disk is full or read-only (every further mine would fail), or the task's
        record is of a later version.
    """
    ledger = Ledger(folder)
    with ledger.claimed(task.id, wait=wait) as is_mine:
        if not is_mine:
            return "running"
        delete_leftovers(ledger.folder, re.compile(re.escape(f"{task.id}.json")))
        ledger.check_not_newer(task.id)
        record = ledger.record(task.id)
        if not ledger.why_again(task) and not (again and record is not None and record.state == "partial"):
            return "there"
        fresh, fault = _run(task, ledger, job)
        ledger.write(fresh)
        if fault is not None and fault_of_all_mines(fault):
            raise OutputError(f"{task.id}: {fault.filename or folder}: {fault.strerror}. {remedy_of(fault)}") from fault
        return fresh.state


def _run(task: Task, ledger: Ledger, job: Job) -> tuple[Record, OSError | None]:
    """Run a job and describe what came of it; a fault of the disk is returned too."""
    folder = ledger.root
    steps, clock, before = Steps(check=ledger.check_there), time.perf_counter(), os.times()
    error: dict[str, str] = {}
    of_disk: OSError | None = None
    done: Finished | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", InsarMiningWarning)
        try:
            done = job(task, folder, steps)
        except InsarMiningError as fault:
            error = {"type": type(fault).__name__, "message": _plain(fault, folder)}
            of_disk = _fault_of_disk(fault)
        except MemoryError:
            error = {"type": "MemoryError", "message": "not enough memory. Use fewer workers, or a larger machine"}
        except OSError as fault:
            of_disk = fault
            text = f"{fault.filename or 'disk'}: {fault.strerror or fault}. {remedy_of(fault)}"
            trace = "".join(traceback.format_exception(fault))
            error = {"type": type(fault).__name__, "message": _plain(text, folder), "traceback": trace}
        except Exception as fault:
            trace = "".join(traceback.format_exception(fault))
            error = {"type": type(fault).__name__, "message": _plain(fault, folder), "traceback": trace}
        steps.check = lambda: None
        steps("end", 0, 0)
    after = os.times()
    measured: dict[str, Any] = {
        "seconds": round(time.perf_counter() - clock, 3),
        "processor_seconds": round(after.user + after.system - before.user - before.system, 3),
        "peak_bytes": peak_bytes(),
        "steps": {name: round(seconds, 3) for name, seconds in steps.seconds.items()},
        "warnings": sorted(
            {_plain(one.message, folder) for one in caught if issubclass(one.category, InsarMiningWarning)}
        ),
        "process": f"{os.getpid()} on {platform.node()}",
    }
    if "size" in task.how:
        measured["size"] = task.how["size"]
    record = Record(
        task=task.id,
        identity=task.identity,
        state="failed" if done is None else "partial" if done.lost else "done",
        inputs=task.inputs,
        outputs={} if done is None else outputs_of(done.folder, folder, done.without),
        error=error,
        lost=() if done is None else tuple(done.lost),
        measured=measured | dict(done.measured if done else {}),
        made_by={"insar_mining": __version__, "python": platform.python_version()},
        finished=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )
    return record, of_disk


def fault_of_all_mines(error: BaseException) -> bool:
    """Check whether an error is one of the disk that every further mine would meet."""
    fault = _fault_of_disk(error)
    return fault is not None and fault.errno in OF_ALL_MINES


def _fault_of_disk(error: BaseException | None) -> OSError | None:
    """Return the error of the operating system that an error was raised from."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return the most memory that this process has had at once.

    Linux's own counter of a process; that of getrusage begins with what the parent had.
    """
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _plain(fault: object, folder: Path) -> str:
    """Put a message on one line, without what differs from one place and process to another."""
    text = " ".join(str(fault).split()).replace(f"{folder}/", "")
    return re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1", text)
