"""Fetching many files over bad networks: parallel, limited, resumed, checked.

A file appears under its own name only when it is whole.  Until then its bytes are in
``.NAME.part``, and ``.NAME.part.json`` says which file of which server they are of.  A
process that is killed leaves both, and the next one goes on at the very byte: nothing
is fetched twice, except where the server takes no ranges or its file has changed.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import requests

from insar_mining.doors import parse_json
from insar_mining.download.integrity import Expected, fault_of, is_noted, put_text, write_note
from insar_mining.download.session import LoginError, place
from insar_mining.download.transfer import Limits, Throttle, Transfer, Unavailable
from insar_mining.errors import ArchiveError, OptionError, OutputError
from insar_mining.files import delete

logger = logging.getLogger(__name__)

ProgressCallback = Callable[[str, int, int], None]
SPARE_BYTES = 1 << 30
"""What is left free on the disk."""

_MOST_RESTARTS = 2
_POLL_S = 0.2  # between looks at a file that another process fetches


@dataclass(frozen=True)
class Item:
    """Describe one file that is wanted.

    Attributes
    ----------
    url : str
    name : str
        Its name in the folder; may hold ``/``.
    expected : Expected
    about_bytes : int
        Size to plan with where the exact one is not known.
    """

    url: str
    name: str
    expected: Expected = field(default_factory=Expected)
    about_bytes: int = 0

    @property
    def planned_bytes(self) -> int:
        """Bytes to plan with."""
        return self.about_bytes if self.expected.size is None else self.expected.size


@dataclass(frozen=True)
class Outcome:
    """Describe what became of one file.

    Attributes
    ----------
    path : Path or None
        None if it could not be had.
    state : str
        ``"there"`` (nothing was fetched), ``"fetched"`` or ``"failed"``.
    reason : str
        Why it failed.
    fetched_bytes : int
    refused : bool
        It failed because the archive refuses the account: others would fail as well.
    """

    item: Item
    path: Path | None
    state: str
    reason: str = ""
    fetched_bytes: int = 0
    refused: bool = False


def fetch_files(
    items: Iterable[Item],
    folder: Path | str,
    session: requests.Session,
    *,
    limits: Limits | None = None,
    progress: ProgressCallback | None = None,
    sleep: Callable[[float], object] = time.sleep,
    jitter: random.Random | None = None,
) -> list[Outcome]:
    """Fetch files into a folder; one that cannot be had does not keep the others from coming.

    Parameters
    ----------
    items : iterable of Item
    folder : path
        Made if it is not there.
    session : requests.Session
        See :class:`insar_mining.download.session.EarthdataSession`.
    limits : Limits, optional
        Connections, bandwidth, timeouts, patience.
    progress : callable (stage, done bytes, all bytes), optional
    sleep, jitter : optional
        Waiting, and the randomness of waiting times.

    Returns
    -------
    list of Outcome
        In the order of the items.

    Raises
    ------
    OptionError
        Two items of one name, or a name that leads out of the folder.
    OutputError
        The disk is too small, or the folder cannot be written.
    """
    wanted, folder = list(items), Path(folder)
    _check_names(wanted)
    limits = limits or Limits()
    check_space(wanted, folder)
    work = _Work(folder, session, limits, _Progress(progress, wanted), sleep, jitter or random.Random())
    with ThreadPoolExecutor(max_workers=limits.connections, thread_name_prefix="fetch") as pool:
        futures = {pool.submit(work.fetch, item): index for index, item in enumerate(wanted)}
        outcomes: dict[int, Outcome] = {}
        try:
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
        except BaseException:
            work.stop.set()  # the others end at their next block; their parts stay
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [outcomes[index] for index in range(len(wanted))]


def missing_bytes(items: Iterable[Item], folder: Path | str) -> int:
    """Return how many bytes are still to be fetched, as far as sizes are known."""
    folder, missing = Path(folder), 0
    for item in items:
        final = folder / item.name
        if not final.is_file():
            part = part_path(final)
            there = part.stat().st_size if part.is_file() else 0
            missing += max(item.planned_bytes - there, 0)
    return missing


def check_space(items: Sequence[Item], folder: Path | str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises
    ------
    OutputError
        Less than a GiB would be left.
    """
    folder = Path(folder)
    needed = missing_bytes(items, folder)
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if needed and needed + SPARE_BYTES > free:
        raise OutputError(
            f"{folder}: {needed / 1e9:,.1f} GB are to be fetched and {free / 1e9:,.1f} GB are free (1 GiB is kept). "
            "Free space, take another folder, fewer dates, or bursts rather than scenes."
        )


def part_path(final: Path) -> Path:
    """Return where the bytes of a file are until it is whole."""
    return final.with_name(f".{final.name}.part")


def _check_names(items: Sequence[Item]) -> None:
    names = [item.name for item in items]
    doubles = {name for name in names if names.count(name) > 1}
    if doubles:
        raise OptionError(f"two files of one name: {', '.join(sorted(doubles))}; each file needs its own")
    for name in names:
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise OptionError(f"{name!r}: the name of a file must stay inside the folder")


class _Progress:
    """Sum bytes over threads and report them."""

    def __init__(self, callback: ProgressCallback | None, items: Sequence[Item]) -> None:
        self._callback, self._lock = callback, threading.Lock()
        self._done, self._total = 0, sum(item.planned_bytes for item in items)

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._callback is not None:
                self._callback("fetching", self._done, max(self._total, self._done))


@dataclass
class _Work:
    """Hold what all threads of one call share."""

    folder: Path
    session: requests.Session
    limits: Limits
    progress: _Progress
    sleep: Callable[[float], object]
    jitter: random.Random
    stop: threading.Event = field(default_factory=threading.Event)
    refused: str = ""

    def __post_init__(self) -> None:
        self.throttle = Throttle(self.limits.bytes_per_s)

    def fetch(self, item: Item) -> Outcome:
        if self.refused:
            return Outcome(item, None, "failed", f"not tried: {self.refused}", refused=True)
        try:
            return self._fetch(item)
        except LoginError as error:
            self.refused = str(error)  # the others would hear the same
            return Outcome(item, None, "failed", str(error), refused=True)
        except (ArchiveError, OutputError) as error:
            return Outcome(item, None, "failed", str(error))
        except OSError as error:
            return Outcome(item, None, "failed", f"{self.folder / item.name}: cannot be written ({error.strerror})")

    def _fetch(self, item: Item) -> Outcome:
        final = self.folder / item.name
        if is_whole(final, item.expected, item.url):
            self.progress.add(final.stat().st_size)
            if not part_path(final).exists():
                _forget(part_path(final))  # of a process that was killed between its last two steps
            return Outcome(item, final, "there")
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in self._turns(final):
            with _claimed(part_path(final)) as handle:
                if is_noted(final, item.expected):  # another process has finished it meanwhile
                    self.progress.add(final.stat().st_size)
                    return Outcome(item, final, "there")
                if handle is not None:
                    fetched = self._until_whole(item, final, handle)
                    return Outcome(item, final, "fetched", fetched_bytes=fetched)
        raise ArchiveError(f"{final}: another process holds this file and nothing comes. Wait for it, or end it.")

    def _turns(self, final: Path) -> Iterator[None]:
        """Wait between attempts to get a file that another process fetches, until nothing comes for `prepare_s`."""
        size, quiet_s = -1, 0.0
        while quiet_s <= self.limits.prepare_s and not self.stop.is_set():
            yield
            before, size = size, _size_of(part_path(final))
            quiet_s = quiet_s + _POLL_S if size == before else 0.0
            self.sleep(_POLL_S)

    def _until_whole(self, item: Item, final: Path, handle: IO[bytes]) -> int:
        part, fetched, fault = part_path(final), 0, None
        transfer = Transfer(
            item.url, item.expected, self.session, self.limits, self.throttle, self.sleep, self.jitter, self.stop
        )
        for _ in range(1 + _MOST_RESTARTS):
            known = _Known.read(part, item.url)
            if known is None:
                handle.truncate(0)
            handle.seek(0, os.SEEK_END)
            try:
                fetched += transfer.fill(
                    handle, known.as_dict() if known else {}, _noter(part, item), self.progress.add
                )
            except Unavailable as error:
                raise ArchiveError(f"{place(item.url)}: {error}") from None
            fault = fault_of(part, item.expected)
            if fault is None:
                os.fsync(handle.fileno())
                write_note(final, item.expected, place(item.url), content=part)
                part.replace(final)
                _sync_folder(final.parent)
                _forget(part)
                return fetched
            logger.warning("%s: %s; fetched again from its beginning", item.name, fault)
            self.progress.add(-part.stat().st_size)
            handle.truncate(0)
            _forget(part)
        raise ArchiveError(
            f"{place(item.url)}: what came is not the file, {_MOST_RESTARTS + 1} times: {fault}. Try again later, and "
            "tell the archive if it stays so."
        )


def is_whole(path: Path, expected: Expected, url: str) -> bool:
    """Return whether a file is there and whole; a file of unknown origin is checked once, and noted."""
    if is_noted(path, expected):
        return True
    if not path.is_file() or fault_of(path, expected) is not None:
        return False
    if expected.md5 is None and expected.kind == "any":
        return False  # nothing about it can be told
    write_note(path, expected, place(url), fetched=False)
    return True


@dataclass(frozen=True)
class _Known:
    """Hold what is known of the file whose first bytes are in a part."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None

    @classmethod
    def read(cls, part: Path, url: str) -> _Known | None:
        """Return what was noted, None if nothing was or the part is of another file."""
        try:
            said = parse_json(_state_path(part).read_bytes())
            found = cls(said["url"], said["etag"], said["modified"], said["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.url == place(url) else None

    def as_dict(self) -> dict[str, Any]:
        return {"etag": self.etag, "modified": self.modified, "total": self.total}


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    """Drop what was noted of a part."""
    state = _state_path(part)
    for path in (state, state.with_name(f"{state.name}.new")):
        delete(path, path.name)


def _noter(part: Path, item: Item) -> Callable[[dict[str, Any]], None]:
    """Return what notes the identity of the server's file, before the first of its bytes is written."""

    def note(identity: dict[str, Any]) -> None:
        put_text(_state_path(part), json.dumps({"url": place(item.url), **identity}))

    return note


@contextmanager
def _claimed(part: Path) -> Iterator[IO[bytes] | None]:
    """Open a part for this process alone; None if another process has it, or has just moved it away.

    The lock belongs to the open file and ends with the process, however it ends.
    """
    with part.open("a+b", buffering=0) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        if not _is_same(part, handle):
            yield None
            return
        try:
            yield handle
        finally:
            if _is_same(part, handle) and os.fstat(handle.fileno()).st_size == 0:
                delete(part, part.name)
                _forget(part)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_same(path: Path, handle: IO[bytes]) -> bool:
    """Return whether a name still leads to the file that is open."""
    try:
        return path.stat().st_ino == os.fstat(handle.fileno()).st_ino
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
