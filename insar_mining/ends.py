"""How the process ends: by a signal, with a reader that is gone, on a disk that is full, with files that are closed.

Nothing is imported here but the standard library: an interrupt while the others are imported ends as orderly.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as shells have it
SENTENCES = {
    INTERRUPTED: "interrupted; what is finished is kept, a rerun of the same command continues",
    TERMINATED: "terminated; what is finished is kept, a rerun of the same command continues",
}
NO_MEMORY = "not enough memory; give more, map a smaller area, or use fewer threads"
# threads of a library that fails to start them need so much, and it then interrupts its own process
ROOM_BYTES = 64 * 2**20

_received: list[int] = []


class StreamError(OSError):
    """Standard output or standard error cannot be written."""


class _Text(io.TextIOWrapper):
    """Wrap a standard file so that its faults are known from those of other files."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise StreamError(error.errno, error.strerror) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise StreamError(error.errno, error.strerror) from error


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything that cleans up after Ctrl-C cleans up after it as well."""


def main_of(run: Callable[[], object]) -> int:
    """Run a command line and return the exit code; signals, closed files and full disks end in one line.

    Parameters
    ----------
    run : callable
        Imports and runs the frame of the command line; what it returns, if it is a whole number, is the exit code.
    """
    open_standard_files()
    catch_signals()
    sys.unraisablehook, sys.excepthook = _unraisable, _uncaught
    try:
        code = _run(run)
        return flushed() or code
    finally:
        # the work is done: a signal to what the interpreter still tidies would only print a traceback
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _run(run: Callable[[], object]) -> int:
    try:
        code = run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except StreamError as error:
        return unwritable(error)
    except BaseException as error:
        ending = ending_of(error)
        if ending is None:
            raise
        say(f"error: {ending[1]}")
        return ending[0]
    return code if isinstance(code, int) else 0


def ending_of(error: BaseException) -> tuple[int, str] | None:
    """Return the exit code and the sentence of an interrupt or of a lack of memory, None of any other error.

    An interrupt inside compiled code comes out as another error (SystemError) that has it as its cause; a library
    that cannot start its threads for lack of memory interrupts its own process.
    """
    chain = list(_chain(error))
    if any(isinstance(one, MemoryError) for one in chain):
        return 1, NO_MEMORY
    caught = next((one for one in chain if isinstance(one, KeyboardInterrupt)), None)
    if caught is None and not (_received and isinstance(error, SystemError)):
        return None
    if not _has_room():
        return 1, NO_MEMORY
    number = signal.SIGTERM if isinstance(caught, Terminated) or signal.SIGTERM in _received else signal.SIGINT
    return 128 + number, SENTENCES[128 + number]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and so on."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _has_room() -> bool:
    try:
        mmap.mmap(-1, ROOM_BYTES).close()
    except (OSError, MemoryError):
        return False
    return True


def _unraisable(error: Any) -> None:
    """Print an error that Python cannot raise, unless rasterio failed to log a message that quotes bytes of a file."""
    if "rasterio._env.log_error" not in (error.object, error.err_msg):
        sys.__unraisablehook__(error)


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print an error that nobody caught, unless it is that of rasterio's log, which comes without a traceback."""
    if not (trace is None and isinstance(error, UnicodeDecodeError)):
        sys.__excepthook__(kind, error, trace)


def catch_signals() -> None:
    """Make SIGINT and SIGTERM exceptions, unless whoever started the process had them ignored."""

    def note(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, note)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, note)


def open_standard_files() -> None:
    """Open the null device in the place of standard files that are closed.

    Any file that is opened later would else take their numbers, and be written to or closed in their place.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def _stream(number: int, before: Any) -> io.TextIOWrapper:
    """Return a text stream as the interpreter opens it, which raises `StreamError`."""
    encoding, errors = getattr(before, "encoding", "utf-8"), getattr(before, "errors", "backslashreplace")
    raw = io.FileIO(number, "w", closefd=False)
    return _Text(
        io.BufferedWriter(raw), encoding, errors, line_buffering=number == 2 or raw.isatty(), write_through=number == 2
    )


def flushed() -> int:
    """Write out what is still buffered; return the exit code of a failure, 0 if all went well or nobody reads."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = max(code, unwritable(error))
    return code


def unwritable(error: OSError) -> int:
    """End writing to standard output and return the exit code: 0 if its reader is gone (``| head``), else 1."""
    silence(1)
    if error.errno == errno.EPIPE:
        return 0
    say(f"error: standard output cannot be written: {error.strerror}; free space there, or choose another place")
    return 1


def silence(number: int) -> None:
    """Send a standard file to the null device, so that no later flush of it fails."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), number)


def say(text: str) -> None:
    """Write a line to standard error, if it can be written."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        silence(2)
