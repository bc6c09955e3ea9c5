"""What of the machine this process may use: memory and processors, as affinity and containers (cgroups) leave it."""

from __future__ import annotations

import os
from pathlib import Path


def memory_bytes(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the memory that this process may use: the machine's, or less where a container limits it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_amount(path) for path in _files(cgroup, own, "memory", "memory.max", "memory.limit_in_bytes")]
    return min([physical, *(limit for limit in limits if limit)])


def processors(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of processors that this process may use, at least 1."""
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
    """Return the bytes that a limit file names, 0 for none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _quota(path: Path) -> tuple[float, float]:
    """Return the processor time and the period it is for, 0 for no limit."""
    try:
        parts = path.read_text(encoding="utf-8").split()
        if path.name == "cpu.max":
            return (0.0 if parts[0] == "max" else float(parts[0])), float(parts[1])
        return float(parts[0]), float(path.with_name("cpu.cfs_period_us").read_text(encoding="utf-8"))
    except (OSError, ValueError, IndexError):
        return 0.0, 0.0
