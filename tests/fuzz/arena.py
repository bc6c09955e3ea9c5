"""Where damaged files are read: beside a user's files, without a network, within a time, every outcome counted.

An outcome is a named error, a flagged result (a warning of this package), the same result as of the undamaged file,
or another one that holds to the contract of its kind: a changed coordinate makes another mine, and no fault.  Anything
else is a fault of the package: another exception or warning, a broken contract, a changed or new file, a request, a
wait of more than `LONGEST_S`.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import socket
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from insar_mining.errors import InsarMiningError, InsarMiningWarning
from tests.fuzz.mutations import TRAP, Rng

LONGEST_S = 20.0
USERS_FILES = {
    "thesis.docx": b"years of work",
    ".env.old": b"SECRET=1",
    ".stable.part2.tif": b"half of a map of the user's own",
    "in/notes.txt": b"keep me",
    "in/.venv.old/bin/python": b"#!",
    "report.html.bak": b"<p>",
}
NAMED, FLAGGED, SAME, OTHER = "named error", "flagged", "same numbers", "another valid input"

Files = dict[str, bytes]


class BrokenContract(Exception):
    """A result that its own documentation excludes."""


class TooLong(BaseException):
    """A file was read for longer than `LONGEST_S`."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise BrokenContract(what)


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes
    ----------
    name : str
    rounds : int
        In full.
    make : callable (folder)
        Writes variants of good files, one folder each; returns the names of the folders.
    damage : callable (name of a file, content, rng)
        Damaged content; None leaves a file as it is.
    use : callable (folder)
        Reads a folder as the package's users do, checks the contract, and returns what identifies the result.
    """

    name: str
    rounds: int
    make: Callable[[Path], None]
    damage: Callable[[str, bytes, Rng], bytes | None]
    use: Callable[[Path], Any]


@dataclass
class Arena:
    """A folder to read in, and what became of every file."""

    home: Path
    address: str
    requests: list[str]
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def run(self, kind: Kind, rounds: int) -> None:
        """Read damaged files of one kind, as many as are asked for."""
        good = self.home / "good"
        good.mkdir(parents=True)
        kind.make(good)
        variants = {folder.name: _read(folder) for folder in sorted(good.iterdir())}
        expected = {name: self._undamaged(kind, files) for name, files in variants.items()}
        names = sorted(variants)
        for number in range(rounds):
            rng = np.random.default_rng([number, *kind.name.encode()])
            name = names[number % len(names)]
            files = self._damaged(kind, variants[name], rng)
            self._one(kind, f"{kind.name} {name} {number}", files, expected[name])

    def _damaged(self, kind: Kind, files: Files, rng: Rng) -> Files:
        """Damage one file of a variant that can be."""
        for _ in range(20):
            which = sorted(files)[int(rng.integers(len(files)))]
            with suppress(ValueError, IndexError, KeyError, SyntaxError, NotImplementedError):
                content = kind.damage(which, files[which], rng)
                if content is not None and content != files[which]:
                    return {**files, which: content.replace(TRAP.encode(), self.address.encode())}
        return files

    def _undamaged(self, kind: Kind, files: Files) -> str:
        folder = self._written(files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsarMiningWarning)
            return identity(kind.use(folder))

    def _written(self, files: Mapping[str, bytes]) -> Path:
        folder = self.home / "user" / "in"
        shutil.rmtree(self.home / "user", ignore_errors=True)
        for name, content in {**{f"in/{name}": data for name, data in files.items()}, **USERS_FILES}.items():
            path = self.home / "user" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    def _one(self, kind: Kind, label: str, files: Files, expected: str) -> None:
        """Read one damaged input and count its outcome."""
        folder = self._written(files)
        before = len(self.requests)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with limited_time() as watch:
                    found = identity(kind.use(folder))
                outcome = SAME if found == expected else OTHER
            except InsarMiningError as error:
                outcome = NAMED if str(error).strip() else f"an error without a message ({type(error).__name__})"
            except BrokenContract as error:
                outcome = f"broken contract: {error}"
            except TooLong:
                outcome = f"longer than {LONGEST_S:g} s"
            except Exception as error:
                outcome = f"raw {type(error).__name__}: {error} {_where(error)}"
        foreign = [w for w in caught if not issubclass(w.category, InsarMiningWarning | ResourceWarning)]
        if foreign:
            outcome = f"warning {foreign[0].category.__name__}: {foreign[0].message} ({foreign[0].filename})"
        elif outcome == OTHER and any(issubclass(w.category, InsarMiningWarning) for w in caught):
            outcome = FLAGGED
        self.slowest_s = max(self.slowest_s, watch.seconds)
        if _read(self.home / "user") != {**{f"in/{name}": data for name, data in files.items()}, **USERS_FILES}:
            outcome = f"files changed: {sorted(set(_read(self.home / 'user')) ^ {f'in/{n}' for n in files})[:5]}"
        if len(self.requests) > before:
            outcome = f"a request: {self.requests[before:]}"
        if outcome not in (NAMED, FLAGGED, SAME, OTHER):
            self.faults.append(f"{label}: {' '.join(outcome.split())[:400]}")
            outcome = "fault"
        self.outcomes[outcome] += 1


def identity(value: Any) -> str:
    """A text that is equal for equal results."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, np.ndarray):
            digest.update(str(part.dtype).encode() + str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        elif isinstance(part, Mapping):
            for key in sorted(part, key=str):
                add(key)
                add(part[key])
        elif isinstance(part, list | tuple):
            for one in part:
                add(one)
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()


@dataclass
class Watch:
    """How long a block took."""

    seconds: float = 0.0


@contextmanager
def limited_time() -> Iterator[Watch]:
    """Raise `TooLong` in a block that takes longer than `LONGEST_S`."""
    watch = Watch()

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield watch
    finally:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        watch.seconds = LONGEST_S - left
        signal.signal(signal.SIGALRM, old)


@contextmanager
def no_network() -> Iterator[tuple[str, list[str]]]:
    """Note every attempt to reach a host: by Python's sockets, or of any library at an address of this machine."""
    seen: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))
    real, resolve = socket.socket.connect, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        seen.append(f"connection to {address}")
        raise OSError("no network in this test")

    def getaddrinfo(host: Any, *how: Any, **more: Any) -> Any:
        seen.append(f"search for {host}")
        raise OSError("no network in this test")

    def listen() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            seen.append(f"request: {client.recv(200)!r}")
            client.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo  # type: ignore[method-assign]
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
    finally:
        socket.socket.connect, socket.getaddrinfo = real, resolve  # type: ignore[method-assign]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def _read(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _where(error: BaseException) -> str:
    """The last place of the package in a traceback."""
    place, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "insar_mining" in name:
            place = f"({name.rpartition('insar_mining/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place
