"""How SNAP is run on this machine: memory, processors, patience, places.

None of it changes a result, so none of it is part of a plan; it comes from the
environment, and what is not set there is sized from the machine (or its container).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from insar_mining.errors import OptionError

MEMORY = "INSAR_MINING_SNAP_MEMORY"
PARALLELISM = "INSAR_MINING_SNAP_PARALLELISM"
IDLE = "INSAR_MINING_SNAP_IDLE_S"
WALL = "INSAR_MINING_SNAP_WALL_S"
SCRATCH = "INSAR_MINING_SNAP_SCRATCH"
ESD = "INSAR_MINING_SNAP_ESD"

MIB = 1024**2
HEAP_SHARE = 0.6  # the rest is for SNAP's native parts, for Python and for the file cache
CACHE_SHARE = 0.5  # of the heap, for SNAP's tiles
LEAST_HEAP_MIB = 1024
MOST_PARALLEL = 16  # beyond it SNAP's readers wait for one another
IDLE_S = 900.0
WALL_S = 6 * 3600.0


@dataclass(frozen=True)
class SnapSettings:
    """Limits of one SNAP process.

    Attributes
    ----------
    heap_mib, cache_mib : int
        Java heap (``-Xmx``) and SNAP's tile cache inside it (``-c``).
    parallelism : int
        Threads (``-q``).
    idle_s : float
        A process that says nothing and computes nothing for so long is killed.
    wall_s : float
        Longest time for one stage.
    scratch : Path or None
        Folder for intermediate products; by default beside the result.
    spectral_diversity : bool
        Run enhanced spectral diversity after Back-Geocoding.
    """

    heap_mib: int
    cache_mib: int
    parallelism: int
    idle_s: float = IDLE_S
    wall_s: float = WALL_S
    scratch: Path | None = None
    spectral_diversity: bool = False

    def gentler(self) -> SnapSettings:
        """Return settings for a second try: half the threads, half the tiles in memory."""
        return replace(self, parallelism=max(self.parallelism // 2, 1), cache_mib=max(self.cache_mib // 2, 128))


def settings(environment: Mapping[str, str] | None = None) -> SnapSettings:
    """Return the settings of this machine.

    Raises
    ------
    OptionError
        A variable holds what it cannot hold.
    """
    env = os.environ if environment is None else environment
    heap = parse_memory_mib(env[MEMORY]) if env.get(MEMORY) else int(memory_bytes() / MIB * HEAP_SHARE)
    if heap < LEAST_HEAP_MIB and env.get(MEMORY):
        raise OptionError(
            f"{MEMORY} is {env[MEMORY]!r}; SNAP needs {LEAST_HEAP_MIB} MiB or more, write 8G for instance"
        )
    heap = max(heap, LEAST_HEAP_MIB)
    scratch = Path(env[SCRATCH]) if env.get(SCRATCH) else None
    if scratch is not None and not scratch.is_dir():
        raise OptionError(f"{SCRATCH} is {str(scratch)!r}, which is no folder; make it, or name another")
    return SnapSettings(
        heap_mib=heap,
        cache_mib=int(heap * CACHE_SHARE),
        parallelism=int(_number(env, PARALLELISM, min(processors(), MOST_PARALLEL), least=1)),
        idle_s=_number(env, IDLE, IDLE_S, least=0.1),
        wall_s=_number(env, WALL, WALL_S, least=0.1),
        scratch=scratch,
        spectral_diversity=_flag(env, ESD),
    )


def parse_memory_mib(text: str) -> int:
    """Read an amount of memory.

    Examples
    --------
    >>> parse_memory_mib("8G"), parse_memory_mib("6000M")
    (8192, 6000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT])i?B?\s*", text, re.IGNORECASE)
    if match is None:
        raise OptionError(f"{MEMORY} is {text!r}; write a number and a unit, such as 8G or 6000M")
    return int(float(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2].upper()])


def _number(env: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    try:
        value = float(env[name]) if env.get(name) else float(default)
    except ValueError:
        value = float("nan")
    if not value >= least:
        raise OptionError(f"{name} is {env.get(name)!r}; it must be a number of at least {least:g}")
    return value


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip().lower()
    if text not in ("", "0", "1", "true", "false", "yes", "no"):
        raise OptionError(f"{name} is {env[name]!r}; write 1 or 0")
    return text in ("1", "true", "yes")


def memory_bytes(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Memory that this process may use: the machine's, or less where a container limits it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_amount(path) for path in _files(cgroup, own, "memory", "memory.max", "memory.limit_in_bytes")]
    return min([physical, *(limit for limit in limits if limit)])


def processors(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Processors that this process may use, at least 1."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for path in _files(cgroup, own, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        quota, period = _quota(path)
        if quota > 0 and period > 0:
            count = min(count, quota / period)
    return max(int(count + 0.5), 1)


def _files(cgroup: Path, own: Path, controller: str, unified: str, legacy: str) -> list[Path]:
    """Limit files of this process's groups and of those that hold them, in either version of cgroups."""
    folders = [cgroup, cgroup / controller]
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "" or controller in controllers.split(","):
            base = cgroup if controllers == "" else cgroup / controller
            group = base / path.lstrip("/")
            folders += [group, *(parent for parent in group.parents if base in parent.parents)]
    candidates = [folder / name for folder in dict.fromkeys(folders) for name in (unified, legacy)]
    return [path for path in candidates if path.is_file()]


def _amount(path: Path) -> int:
    """Bytes that a limit file names, 0 for none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _quota(path: Path) -> tuple[float, float]:
    """Processor time and the period it is for, 0 for no limit."""
    try:
        parts = path.read_text(encoding="utf-8").split()
        if path.name == "cpu.max":
            return (0.0 if parts[0] == "max" else float(parts[0])), float(parts[1])
        return float(parts[0]), float(path.with_name("cpu.cfs_period_us").read_text(encoding="utf-8"))
    except (OSError, ValueError, IndexError):
        return 0.0, 0.0
