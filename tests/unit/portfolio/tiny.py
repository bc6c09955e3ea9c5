"""Tiny jobs for executors: a file of known bytes, and a note of every time that one is made."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import time
from pathlib import Path

from insar_mining.errors import ProductError
from insar_mining.files import delete_leftovers, write_text
from insar_mining.portfolio.ledger import FOLDER, Task
from insar_mining.portfolio.work import Finished, Steps


def tasks(count: int) -> list[Task]:
    return [Task(f"mine-{number:03d}", {"number": number}, seconds=float(count - number)) for number in range(count)]


def planned(folder: Path) -> Path:
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    return folder


def job(task: Task, folder: Path, steps: Steps) -> Finished:
    """Write two files; a number that is 7 modulo 10 fails, 3 modulo 10 lacks a date."""
    number = int(task.inputs["number"])
    steps("working", 0, 1)
    time.sleep(float(os.environ.get("TINY_S", "0.004")))
    if number % 10 == 7:
        raise ProductError(f"scene {number}: damaged (0 bytes, limit 1). Fetch it again")
    out = folder / "mines" / task.id
    delete_leftovers(out, re.compile(r"(first|second)\.txt"))  # as a run does in its locked folder
    write_text(out / "first.txt", hashlib.sha256(str(number).encode()).hexdigest())
    time.sleep(0.004)
    write_text(out / "second.txt", "x" * number)
    with (folder / "made").open("a") as made:
        made.write(f"{task.id}\n")
    return Finished(out, [{"what": "2021-01-05", "reason": "404"}] if number % 10 == 3 else [])


def counted(task: Task, folder: Path, steps: Steps) -> Finished:
    """Note how many tasks are done at the same time, this one among them."""
    busy = folder / "busy"
    busy.mkdir(exist_ok=True)
    (busy / task.id).touch()
    time.sleep(0.1)
    with (folder / "at_once").open("a") as at_once:
        at_once.write(f"{len(list(busy.iterdir()))}\n")
    (busy / task.id).unlink()
    return job(task, folder, steps)


def dies(task: Task, folder: Path, steps: Steps) -> Finished:
    """End the process in the middle of one task, every time; of another the first time only."""
    if task.id == "mine-002" or (task.id == "mine-004" and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job(task, folder, steps)


def result(folder: Path) -> dict[str, bytes]:
    """All files of the results by name."""
    mines = folder / "mines"
    return {path.relative_to(mines).as_posix(): path.read_bytes() for path in mines.rglob("*") if path.is_file()}


def main() -> None:
    """Run tasks as a command does: ``python -m tests.unit.portfolio.tiny FOLDER COUNT WORKERS``, or a scheduler."""
    from insar_mining.portfolio.executors import dask_pool, execute, local_pool

    folder, count, workers = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if workers == "0":
        execute(tasks(count), folder, job, None, lambda *_: None)
        return
    with dask_pool(workers, 0) if workers.startswith("tcp:") else local_pool(int(workers)) as pool:
        execute(tasks(count), folder, job, pool, lambda *_: None)


if __name__ == "__main__":
    main()
