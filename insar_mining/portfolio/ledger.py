"""The ledger of a portfolio: one small file per task, written when its result is complete.

There is no other state: what is done is what has a record of the task's present identity and its files; what runs is
what some process holds the lock of.  The operating system frees a lock when its process ends, however it ends.
Nothing depends on a clock: times are recorded, and compared only to tell of a clock that is wrong.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import functools
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from insar_mining.doors import parse_json
from insar_mining.errors import OutputError
from insar_mining.files import sha256, write_text

FORMAT = 1
FOLDER = "ledger"
CLOCKS_DIFFER = dt.timedelta(hours=1)  # of two machines, without any being wrong

State = Literal["done", "partial", "failed", "running", "waiting"]


@dataclass(frozen=True)
class Task:
    """Hold one piece of work.

    Attributes
    ----------
    id : str
        Name, usable as that of a file.
    inputs : mapping
        Plain values that decide the result.
    seconds : float
        Planned time, to begin with the longest and to tell the time left.
    how : mapping
        Further plain values that do not decide the result: connections, threads, places of caches.
    """

    id: str
    inputs: Mapping[str, Any]
    seconds: float = 0.0
    how: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Hash of the inputs, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.inputs, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """Hold the outcome of a task.

    Attributes
    ----------
    state : str
        ``"done"``; ``"partial"``: done without some dates; ``"failed"``.
    inputs : mapping
        Those that the result was made from.
    outputs : mapping of str to (size, sha256)
        Files of the result, by their path in the portfolio's folder.
    error : mapping
        ``type`` and ``message`` of a failure.
    lost : sequence of mappings
        ``what`` was left out and the ``reason``.
    measured : mapping
        seconds, processor_seconds (of the whole process), peak_bytes, steps (seconds of each) and size (images, pairs,
        cells); of mines fetched_bytes and kept_bytes (dates on the geometry of their stack) too.
    """

    task: str
    identity: str
    state: State
    inputs: Mapping[str, Any]
    outputs: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    error: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[Mapping[str, str], ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    made_by: Mapping[str, str] = field(default_factory=dict)
    finished: str = ""
    format: int = FORMAT


@functools.cache
def _reader() -> TypeAdapter[Record]:
    """Return what reads a record from plain values, each of its type."""
    return TypeAdapter(Record)


class Ledger:
    """Hold the records and locks of a portfolio's folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / FOLDER

    def record(self, task_id: str) -> Record | None:
        """Return the last record of a task; None without one, or of another format."""
        try:
            values = parse_json((self.folder / f"{task_id}.json").read_bytes())
            if not isinstance(values, dict) or values.get("format") != FORMAT or "outputs" not in values:
                return None  # without its files a result cannot be held against them
            record: Record = _reader().validate_python(values)
        except (OSError, ValueError):  # what does not validate is a ValueError
            return None
        told = {"type", "message"} <= set(record.error) if record.state == "failed" else True
        return record if told and all({"what", "reason"} <= set(one) for one in record.lost) else None

    def write(self, record: Record) -> None:
        """Write a record, whole or not at all.

        Raises
        ------
        OutputError
            The folder is gone or full.
        """
        self.check_there()
        text = json.dumps(asdict(record), indent=1, sort_keys=True, ensure_ascii=False, default=str)
        write_text(self.folder / f"{record.task}.json", text + "\n")

    def state(self, task: Task) -> tuple[State, str]:
        """Return the state of a task, and why it is not done."""
        reason = self.why_again(task)
        record = self.record(task.id)
        if not reason and record is not None:
            notes = [f"{one['what']}: {one['reason']}" for one in record.lost]
            return record.state, "; ".join(notes + ahead_of_clock(record))
        if self.holder(task.id) is not None:
            return "running", self.holder(task.id) or ""
        if record is not None and record.state == "failed" and record.identity == task.identity:
            return "failed", f"{record.error['type']}: {record.error['message']}"
        return "waiting", reason

    def why_again(self, task: Task) -> str:
        """Explain why a task will be done (again); empty if its result is current."""
        path = self.folder / f"{task.id}.json"
        record = self.record(task.id)
        if record is None:
            if not path.exists():
                return "it was never finished"
            return self._newer(task.id) or "its record is of an older version, or damaged; its maps are kept"
        if record.identity != task.identity:
            return f"its inputs changed: {'; '.join(differences(record.inputs, task.inputs)) or 'in their form'}"
        if record.state == "failed":
            return f"it failed ({record.error['type']}: {record.error['message']})"
        for name, (size, _) in record.outputs.items():
            try:
                found = (self.root / name).stat().st_size
            except OSError:
                return f"{name} is gone"
            if found != size:
                return f"{name} has {found} bytes instead of {size}"
        return ""

    def check_not_newer(self, task_id: str) -> None:
        """Check that the record of a task is not one of a later version of the package, which would be overwritten.

        Raises
        ------
        OutputError
            It is.
        """
        newer = self._newer(task_id)
        if newer:
            raise OutputError(f"{self.folder / task_id}.json: {newer}")

    def _newer(self, task_id: str) -> str:
        """Report that a record is of a later version; empty if it is not."""
        try:
            values = parse_json((self.folder / f"{task_id}.json").read_bytes())
        except (OSError, ValueError):
            return ""
        return newer_format(values)

    def holder(self, task_id: str) -> str | None:
        """Return the process that works at a task now; None if none does."""
        try:
            with (self.folder / f"{task_id}.lock").open("r+", encoding="utf-8") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                        return handle.read().strip() or "just started"
                    raise
        except OSError:
            return None
        return None

    @contextmanager
    def claimed(self, task_id: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a task for this process; yields False if another holds it and `wait` is not set.

        Raises
        ------
        OutputError
            The ledger's folder cannot be written, or is gone.
        """
        self.check_there()
        path = self.folder / f"{task_id}.lock"
        try:
            handle = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}. {remedy_of(error)}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    yield False
                    return
                raise OutputError(
                    f"{path}: cannot be locked ({error.strerror}). Use a file system with locks"
                ) from error
            try:  # unbuffered: what cannot be written must not be tried again when the file is closed
                os.ftruncate(handle.fileno(), 0)
                os.write(handle.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            except OSError as error:
                raise OutputError(f"{path}: {error.strerror}. {remedy_of(error)}") from error
            yield True

    def check_there(self) -> None:
        """Check that the ledger's folder is there.

        Raises
        ------
        OutputError
            It is gone; a folder of the portfolio's name that a writing mine made again is named.
        """
        if self.folder.is_dir():
            return
        again = f" {self.root} was made again by a mine that was writing: move that away first." * self.root.exists()
        raise OutputError(f"{self.folder}: is gone. Put the portfolio's folder back, then run it again.{again}")


def newer_format(values: Any) -> str:
    """Report that a plan or a record is of a later version of the package, with the remedy; empty if it is not."""
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(found, int) or found <= FORMAT:
        return ""
    return (
        f"was written by a newer version (format {found}, this one reads {FORMAT}). Update insar-mining, or plan the "
        "polygons into another folder"
    )


def ahead_of_clock(record: Record) -> list[str]:
    """Report a record that is dated after this machine's present time: nothing depends on it."""
    try:
        finished = dt.datetime.fromisoformat(record.finished)
    except ValueError:
        return []
    if finished.tzinfo is None or finished <= dt.datetime.now(dt.UTC) + CLOCKS_DIFFER:
        return []
    return [
        f"dated {record.finished}, after this machine's clock: one of the clocks is wrong. The result is not affected"
    ]


REMEDIES = {
    errno.ENOSPC: "Free space there",
    errno.EDQUOT: "Free space there, or raise the quota",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f)",
    errno.EROFS: "Make the folder writable",
    errno.EACCES: "Make the folder writable",
    errno.EPERM: "Make the folder writable",
    errno.ENOENT: "Put the folder back",
    errno.ENOTDIR: "Move away what is in the folder's place",
    errno.EEXIST: "Move away what is in the folder's place",
}


def remedy_of(error: OSError) -> str:
    """Return what to do about an error of the disk, as a sentence."""
    return f"{REMEDIES.get(error.errno or 0, 'Mend the disk')}, then run again: finished mines are kept"


def outputs_of(folder: Path, root: Path, without: Sequence[str] = ()) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of the files of a result, by their path in the portfolio's folder.

    Hidden files and folders and those of the names `without` are left out.
    """
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in without)
        files += [Path(parent) / name for name in sorted(names) if not name.startswith(".")]
    return {path.relative_to(root).as_posix(): (path.stat().st_size, sha256(path)) for path in files}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name the values in which two mappings differ, with both values."""
    found: list[str] = []
    for key in sorted({*old, *new}):
        one, other = (json.loads(json.dumps(side.get(key), default=str)) for side in (old, new))
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{prefix}{key}.")
        elif isinstance(one, list) and isinstance(other, list):
            more, less = ([v for v in a if v not in b] for a, b in ((other, one), (one, other)))
            found.append(f"{prefix}{key}: {len(more)} added ({_few(more)}), {len(less)} gone ({_few(less)})")
        else:
            found.append(f"{prefix}{key}: {_few([one])} became {_few([other])}")
    return found


def _few(values: list[Any]) -> str:
    shown = ", ".join(str(value)[:60] for value in values[:3])
    return shown + (", ..." if len(values) > 3 else "") or "none"
