"""From how a SNAP process ended, and what it said, to an error that names the remedy."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from insar_mining.coherence.snap.settings import IDLE, MEMORY, WALL, SnapSettings
from insar_mining.errors import (
    SnapCrashError,
    SnapDiskError,
    SnapError,
    SnapGraphError,
    SnapHangError,
    SnapMemoryError,
    SnapOrbitError,
    SnapOutputError,
    SnapOverlapError,
)

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
OTHER_VERSION = "the graph is for another version of SNAP; `insar-mining graph check` names the line"
NO_TOOLBOX = "install the Sentinel-1 (microwave) toolbox; `insar-mining doctor` lists what is missing"
NO_OVERLAP = "the area and the bursts do not meet; check the mine's polygon and the scene"


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or why it was ended (``idle`` or ``wall``)."""

    code: int
    killed_for: str | None = None


SAID = (
    # what SNAP says, the error it becomes, and the remedy
    ("No space left on device", SnapDiskError, "free space there, or set INSAR_MINING_SNAP_SCRATCH to a larger disk"),
    ("File too large", SnapDiskError, "raise the limit of file sizes (ulimit -f), or use a smaller area"),
    ("Disk quota exceeded", SnapDiskError, "free space there, or set INSAR_MINING_SNAP_SCRATCH to another disk"),
    ("Java heap space", SnapMemoryError, f"raise {MEMORY}"),
    ("GC overhead limit", SnapMemoryError, f"raise {MEMORY}"),
    ("OutOfMemoryError", SnapMemoryError, f"raise {MEMORY}"),
    ("unable to create new native thread", SnapMemoryError, "raise the limit of processes, or lower the parallelism"),
    ("Unknown element", SnapGraphError, OTHER_VERSION),
    ("Unknown parameter", SnapGraphError, OTHER_VERSION),
    ("Unknown operator", SnapGraphError, NO_TOOLBOX),
    ("No intersection", SnapOverlapError, NO_OVERLAP),
    ("does not overlap any burst", SnapOverlapError, NO_OVERLAP),
    ("No valid orbit file found", SnapOrbitError, "give the orbit file of that day (--orbit)"),
    ("no valid output was produced", SnapOutputError, "check that the elevation model covers the area"),
)  # fmt: skip


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
            f"{where}: took longer than {settings.wall_s:g} s and was ended; raise {WALL}, or use a smaller area"
        )
    text = "\n".join(tail)
    for said, kind, remedy in SAID:
        if said in text and (ended.code != 0 or kind in (SnapOverlapError, SnapOutputError)):
            raise kind(f"{where}: {_line_with(said, tail)}; {remedy} ({_memory(settings)})")
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


def _line_with(said: str, tail: Sequence[str]) -> str:
    line = next(line for line in reversed(tail) if said in line)
    return " ".join(line.split())[:300]


def _last_words(tail: Sequence[str]) -> str:
    """Return what SNAP gave as its error, else its last line."""
    lines = [" ".join(line.split()) for line in tail if line.strip()]
    errors = [line for line in lines if line.startswith("Error:") or "[NodeId:" in line or "SEVERE" in line]
    chosen = errors[-1:] or lines[-1:]
    return chosen[0][:300] if chosen else "it said nothing"


def is_telling(line: str) -> bool:
    """Tell whether a line names a fault that is known, so that it is kept however much follows."""
    return any(said in line for said, _, _ in SAID)
