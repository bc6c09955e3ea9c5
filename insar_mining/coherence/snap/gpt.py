"""One SNAP process: started, read, watched, and ended with all its children.

SNAP freezes now and then, it is killed for memory, and it ends with success when it has
written nothing.  So both of its streams are read all the time, a process that neither
speaks nor computes is ended together with its children, and how it ended becomes an
error that says what to do.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, TypeVar

from insar_mining.coherence.plan.model import Progress
from insar_mining.coherence.snap.settings import IDLE, MEMORY, WALL, SnapSettings
from insar_mining.errors import (
    EngineError,
    EngineWarning,
    SnapCrashError,
    SnapDiskError,
    SnapError,
    SnapGraphError,
    SnapHangError,
    SnapMemoryError,
    SnapOrbitError,
    SnapOutputError,
    SnapOverlapError,
    sentence,
)

POLL_S = 0.1
POLL_SHARE = 0.05  # a stage that took a second is looked at every twentieth of one: short ones are not kept waiting
LOOK_S = 5.0  # how often processor time is looked at
BUSY = 0.1  # of one processor: less is the housekeeping of an idle JVM
GRACE_S = 3.0
DRAIN_S = 5.0
TAIL_LINES = 400
TAIL_LINE_CHARS = 2000
LOG_BYTES = 64 * 1024**2
BEFORE_TEXT = re.compile(r"^(?:Executing processing graph)?(?:[. ]*\d{1,3}%)*\.*\s*")
PERCENT = re.compile(rb"(\d{1,3})%")

SECOND_TRY = (SnapHangError, SnapMemoryError, SnapCrashError)
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
OTHER_VERSION = "the graph is for another version of SNAP; `insar-mining graph check` names the line"
NO_TOOLBOX = "install the Sentinel-1 (microwave) toolbox; `insar-mining doctor` lists what is missing"
NO_SWATH = "most likely the product has no such sub-swath; name one that it has"
NO_TIE_POINTS = "SliceAssembly needs products of two sub-swaths or more"
NARROW = "spectral diversity needs bursts that do not fit into one tile of 512 samples"
NO_FORTRAN = "SNAP's native library needs libgfortran.so.5: install the package libgfortran5"
NO_OVERLAP = "the area and the bursts do not meet; check the mine's polygon and the scene"

FAULTS = (
    # text in SNAP's output, the error it becomes, and the remedy
    ("No space left on device", SnapDiskError, "free space there, or set INSAR_MINING_SNAP_SCRATCH to a larger disk"),
    ("File too large", SnapDiskError, "raise the limit of file sizes (ulimit -f), or use a smaller area"),
    ("Disk quota exceeded", SnapDiskError, "free space there, or set INSAR_MINING_SNAP_SCRATCH to another disk"),
    ("Java heap space", SnapMemoryError, f"raise {MEMORY}"),
    ("Cannot construct DataBuffer", SnapMemoryError, f"raise {MEMORY}"),  # what stderr says of it
    ("GC overhead limit", SnapMemoryError, f"raise {MEMORY}"),
    ("OutOfMemoryError", SnapMemoryError, f"raise {MEMORY}"),
    ("unable to create new native thread", SnapMemoryError, "raise the limit of processes, or lower the parallelism"),
    ("Unknown element", SnapGraphError, OTHER_VERSION),
    ("Unknown parameter", SnapGraphError, OTHER_VERSION),
    ("SPI not found for operator", SnapGraphError, NO_TOOLBOX),
    ("Index -1 out of bounds for length", SnapGraphError, NO_SWATH),
    ('Cannot invoke "org.esa.snap.core.datamodel.TiePointGrid', SnapGraphError, NO_TIE_POINTS),
    ("'void org.jblas.NativeBlas", EngineError, NO_FORTRAN),
    ("libgfortran.so", EngineError, NO_FORTRAN),
    ("Arrays must have the same length", SnapError, NARROW),
    ("No intersection", SnapOverlapError, NO_OVERLAP),
    ("does not overlap any burst", SnapOverlapError, NO_OVERLAP),
    ("No valid orbit file found", SnapOrbitError, "give the orbit file of that day (--orbit)"),
    ("no valid output was produced", SnapOutputError, "check that the elevation model covers the area"),
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """Describe how a process ended: its exit code, or why it was ended (``idle`` or ``wall``)."""

    code: int
    killed_for: str | None = None


Made = TypeVar("Made")


class Runner(Protocol):
    """Carry out the graphs of one pair: gpt, or SNAP inside a Python process."""

    def run(self, graph: Path, stage: str, settings: SnapSettings, progress: Progress) -> None:
        """Run a graph to its end, or raise a :class:`SnapError`."""
        ...

    def close(self) -> None:
        """End whatever is kept from one graph to the next."""
        ...


@dataclass(frozen=True)
class Gpt:
    """Run graphs in processes of SNAP's graph processing tool.

    Attributes
    ----------
    launcher : sequence of str
        The program and what comes before the graph.
    userdir : Path
        SNAP's user folder for this run alone.
    folder : Path
        Where the log goes and the process works.
    version : str
        SNAP's version, for messages.
    """

    launcher: Sequence[str]
    userdir: Path
    folder: Path
    version: str
    name: str = "gpt"

    @property
    def log(self) -> Path:
        """Log of all output of this run."""
        return self.folder / "gpt.log"

    def arguments(self, graph: Path, settings: SnapSettings) -> list[str]:
        """Return the whole command as a list; no shell ever sees it."""
        return [
            *self.launcher,
            str(graph),
            "-c", f"{settings.cache_mib}M",
            "-q", str(settings.parallelism),
            f"-J-Xmx{settings.heap_mib}M",
            # at the start of the JVM: SNAP reads it before it reads -D options
            f"-J-Dsnap.userdir={self.userdir}",
            f"-J-Djava.io.tmpdir={self.folder}",
            "-J-Djava.awt.headless=true",
            "-J-Dfile.encoding=UTF-8",
            "-J-Dsun.jnu.encoding=UTF-8",
        ]  # fmt: skip

    def run(self, graph: Path, stage: str, settings: SnapSettings, progress: Progress) -> None:
        """Run a graph.

        Raises
        ------
        SnapError
            As one of its named kinds.
        EngineError
            The program cannot be started.
        """
        listener = Listener(self.log, progress)
        command = self.arguments(graph, settings)
        listener.note(f"\n== {stage}: {shlex.join(command)}\n")
        ended = supervise(command, self.folder, settings, listener)
        raise_for(ended, listener.remembered, stage, settings, f"{self.name} (SNAP {self.version})")

    def close(self) -> None:
        """Do nothing: every graph has had a process of its own."""


@dataclass(eq=False)
class Listener:
    """Write the output of a process to the log, to a tail for messages, and to the progress."""

    log: Path
    progress: Progress
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    telling: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    last_heard: float = field(default_factory=time.monotonic)
    _written: int = 0
    _rest: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def remembered(self) -> list[str]:
        """Lines that name a known fault, however long ago, and then the last lines of all."""
        return [*self.telling, *self.tail]

    def note(self, text: str) -> None:
        """Write a line of our own into the log."""
        self._write(text.encode())

    def hear(self, stream: str, data: bytes) -> None:
        """Take some bytes of a stream."""
        with self._lock:
            self.last_heard = time.monotonic()
            self._write(data)
            shares = PERCENT.findall(data) if stream == "stdout" else []
            lines = (self._rest.get(stream, b"") + data).split(b"\n")
            self._rest[stream] = lines[-1][-TAIL_LINE_CHARS:]
            self._keep(lines[:-1])
        if shares:
            self.progress(min(int(shares[-1]), 100) / 100)

    def finish(self) -> None:
        """Take the last lines, which have no end of line."""
        with self._lock:
            self._keep([rest for rest in self._rest.values() if rest])
            self._rest.clear()

    def _keep(self, lines: Sequence[bytes]) -> None:
        texts = [line[:TAIL_LINE_CHARS].decode("utf-8", errors="replace") for line in lines]
        self.tail.extend(texts)
        self.telling.extend(text for text in texts if is_telling(text))

    def _write(self, data: bytes) -> None:
        # a full disk must not stop the reading: SNAP would freeze on a full pipe
        with suppress(OSError):
            room = LOG_BYTES - self._written
            if room > 0:
                with self.log.open("ab") as target:
                    target.write(data[:room])
                self._written += len(data)


def supervise(command: Sequence[str], folder: Path, settings: SnapSettings, listener: Listener) -> Ended:
    """Run a command in a process group of its own until it ends, hangs, or takes too long."""
    watched = Watched.start(command, folder, listener)
    try:
        reason = watched.watch(settings)
    finally:
        code = watched.end()
    return Ended(code, reason)


@dataclass(eq=False)
class Watched:
    """Hold a process in a group of its own whose streams are read all the time.

    Attributes
    ----------
    listener : Listener
        Takes what the process says; may be exchanged.
    """

    process: subprocess.Popen[bytes]
    listener: Listener
    _drains: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        folder: Path,
        listener: Listener,
        *,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> Watched:
        """Start a command in a folder.

        Raises
        ------
        EngineError
            It cannot be started.
        """
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError as error:
            raise EngineError(
                f"{command[0]} cannot be started: {error}. Check SNAP_HOME and the rights of the file."
            ) from error
        watched = cls(process, listener)
        assert process.stdout is not None
        assert process.stderr is not None
        watched._drains = [
            threading.Thread(target=_drain, args=(name, stream, watched._hear), daemon=True)
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        for drain in watched._drains:
            drain.start()
        return watched

    def _hear(self, stream: str, data: bytes) -> None:
        self.listener.hear(stream, data)

    def watch(self, settings: SnapSettings, done: Callable[[], bool] = lambda: False) -> str | None:
        """Wait until the process ends, says that it is done, or has to be ended; return why it has to be."""
        with ends_when_we_end():
            return _watch(self.process, settings, self.listener, done)

    def wait(self, longest_s: float) -> None:
        """Give the process some time to end by itself."""
        deadline = time.monotonic() + longest_s
        while time.monotonic() < deadline and not _has_ended(self.process):
            time.sleep(POLL_S / 20)

    def end(self) -> int:
        """End the process and all that it has started, read the rest of its output, and return its exit code."""
        _end_group(self.process)
        deadline = time.monotonic() + DRAIN_S
        for drain in self._drains:
            drain.join(max(deadline - time.monotonic(), 0.1))
        self.listener.finish()
        return self.process.returncode


def _drain(name: str, stream: IO[bytes], hear: Callable[[str, bytes], None]) -> None:
    with stream, suppress(OSError, ValueError):
        while data := os.read(stream.fileno(), 65536):
            hear(name, data)


def _watch(
    process: subprocess.Popen[bytes], settings: SnapSettings, listener: Listener, done: Callable[[], bool]
) -> str | None:
    """Wait for the end; return why to end the process early, None if it ended by itself or is done."""
    started = now = time.monotonic()
    looked, spent, busy = started, 0.0, started
    while not (done() or _has_ended(process)):
        time.sleep(min(POLL_S, settings.idle_s / 4, max(POLL_SHARE * (now - started), POLL_S / 20)))
        now = time.monotonic()
        if now - started > settings.wall_s:
            return "wall"
        if now - looked >= min(LOOK_S, settings.idle_s / 3):
            total = processor_seconds(process.pid)
            if total - spent > BUSY * (now - looked):
                busy = now
            looked, spent = now, total
        if now - max(listener.last_heard, busy) > settings.idle_s:
            return "idle"
    return None


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Check whether a process has ended, without freeing its number where the system can do that."""
    if hasattr(os, "waitid"):
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True
    return process.poll() is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started: asked first, then not asked."""
    if not _has_ended(process):
        _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and not _has_ended(process):
            time.sleep(POLL_S / 2)
    # the leader is not waited for yet, so the group's number cannot belong to anybody else
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], which: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, which)


@contextmanager
def ends_when_we_end() -> Iterator[None]:
    """Make SIGTERM an exception, so that a stopped run (``docker stop``) ends its SNAP as well."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def processor_seconds(group: int, proc: Path = Path("/proc")) -> float:
    """Return the processor time of the live processes of a group; 0 where the system does not give it."""
    ticks = 0
    for stat in proc.glob("[0-9]*/stat"):
        try:
            # the name in parentheses may hold anything, so count from its end
            fields = stat.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > 13 and int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / float(os.sysconf("SC_CLK_TCK"))


def run_checked(
    runner: Runner,
    graph: Path,
    stage: str,
    settings: SnapSettings,
    check: Callable[[], Made],
    *,
    progress: Progress,
    again: Callable[[], None],
) -> Made:
    """Run a graph and check its product; after a freeze, a crash or a lack of memory try once more, more gently.

    Parameters
    ----------
    check : callable
        Reads the product, or raises what is wrong with it.
    again : callable
        Called before the second try, to take away what the first one left.

    Raises
    ------
    SnapError
        As one of its named kinds; of the second try where there was one.
    """
    try:
        runner.run(graph, stage, settings, progress)
        return check()
    except SECOND_TRY as error:
        gentler = settings.gentler()
        warnings.warn(
            f"{sentence(error)} Trying once more with {gentler.parallelism} threads", EngineWarning, stacklevel=2
        )
    again()
    try:
        runner.run(graph, stage, gentler, progress)
        return check()
    except SECOND_TRY as error:
        raise type(error)(f"twice: {error}") from error


def raise_for(ended: Ended, tail: Sequence[str], stage: str, settings: SnapSettings, who: str) -> None:
    """Turn the end of a process into the error that says what to do; do nothing if all is well."""
    where = f"{who}, stage {stage!r}"
    if ended.killed_for == "idle":
        raise SnapHangError(
            f"{where}: said nothing and computed nothing for {settings.idle_s:g} s and was ended. SNAP freezes now "
            f"and then: run the same command again; if this machine is only slow, raise {IDLE}"
        )
    if ended.killed_for == "wall":
        raise SnapHangError(
            f"{where}: took longer than {settings.wall_s:g} s and was ended. Raise {WALL}, or use a smaller area."
        )
    text = "\n".join(tail)
    for pattern, kind, remedy in FAULTS:
        if pattern in text and (ended.code != 0 or kind in (SnapOverlapError, SnapOutputError)):
            raise kind(f"{where}: {_line_with(pattern, tail)}; {remedy} ({_memory(settings)})")
    if ended.code in KILLED:
        raise SnapMemoryError(
            f"{where}: was killed (signal 9), most likely because memory ran out; it was given {_memory(settings)}. "
            f"Lower {MEMORY}, or give the machine or container more"
        )
    if ended.code < 0 or ended.code > 128:
        number = -ended.code if ended.code < 0 else ended.code - 128
        raise SnapCrashError(f"{where}: died of signal {number}; {_last_words(tail)}. Run the same command again")
    if ended.code != 0:
        raise SnapError(f"{where}: failed with exit code {ended.code}: {_last_words(tail)}")


def _memory(settings: SnapSettings) -> str:
    return f"heap {settings.heap_mib} MiB, tile cache {settings.cache_mib} MiB, {settings.parallelism} threads"


def _line_with(pattern: str, tail: Sequence[str]) -> str:
    """Return the last line that holds a text, without the progress that SNAP may write before it."""
    line = next(line for line in reversed(tail) if pattern in line)
    return " ".join(BEFORE_TEXT.sub("", line).split())[:300]


def _last_words(tail: Sequence[str]) -> str:
    """Return what SNAP gave as its error, else its last line."""
    lines = [" ".join(line.split()) for line in tail if line.strip()]
    errors = [line for line in lines if line.startswith("Error:") or "[NodeId:" in line or "SEVERE" in line]
    chosen = errors[-1:] or lines[-1:]
    return chosen[0][:300] if chosen else "it said nothing"


def is_telling(line: str) -> bool:
    """Check whether a line names a fault that is known, so that it is kept however much follows."""
    return any(pattern in line for pattern, _, _ in FAULTS)
