"""How SNAP is run on this machine: memory, processors, patience, places.

What is not given in the options (:class:`insar_mining.options.models.SnapOptions`) comes from
the environment, and what is not set there is sized from the machine (or its container).
Only spectral diversity and templates of one's own change a result; :func:`variant` names
them, and it is recorded in every map.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from insar_mining.errors import OptionError
from insar_mining.machine import memory_bytes, processors
from insar_mining.options.models import SnapOptions

PREFIX = "INSAR_MINING_SNAP_"
MEMORY = "INSAR_MINING_SNAP_MEMORY"
PARALLELISM = "INSAR_MINING_SNAP_PARALLELISM"
IDLE = "INSAR_MINING_SNAP_IDLE_S"
WALL = "INSAR_MINING_SNAP_WALL_S"
SCRATCH = "INSAR_MINING_SNAP_SCRATCH"
KEEP = "INSAR_MINING_SNAP_KEEP_FAILED"
GRAPHS = "INSAR_MINING_SNAP_GRAPHS"
ESD = "INSAR_MINING_SNAP_SPECTRAL_DIVERSITY"

MIB = 1024**2
HEAP_SHARE = 0.6  # the rest is for SNAP's native parts, for Python and for the file cache
CACHE_SHARE = 0.5  # of the heap, for SNAP's tiles
LEAST_HEAP_MIB = 1024
MOST_PARALLEL = 16  # beyond it SNAP's readers wait for one another
IDLE_S = 900.0
WALL_S = 6 * 3600.0
KEEP_FAILED = 3

_given: ContextVar[SnapOptions | None] = ContextVar("snap_options", default=None)


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
    keep_failed : int
        How many failed pairs leave theirs behind, the newest.
    graphs : Path or None
        Folder of templates; by default the package's own.
    spectral_diversity : bool
        Run enhanced spectral diversity after Back-Geocoding.
    """

    heap_mib: int
    cache_mib: int
    parallelism: int
    idle_s: float = IDLE_S
    wall_s: float = WALL_S
    scratch: Path | None = None
    keep_failed: int = KEEP_FAILED
    graphs: Path | None = None
    spectral_diversity: bool = False

    def gentler(self) -> SnapSettings:
        """Return settings for a second try: half the threads, half the tiles in memory."""
        return replace(self, parallelism=max(self.parallelism // 2, 1), cache_mib=max(self.cache_mib // 2, 128))


@contextmanager
def snap_options(options: SnapOptions | None) -> Iterator[None]:
    """Let :func:`settings` use these options inside the block, in this thread and what it starts in its context.

    An engine is asked for by name and carries out a plan, which holds what decides the
    result; how SNAP is run on this machine is no part of it, so it comes from around.
    """
    token = _given.set(options)
    try:
        yield
    finally:
        _given.reset(token)


def settings(environment: Mapping[str, str] | None = None) -> SnapSettings:
    """Return the settings of this machine.

    Raises
    ------
    OptionError
        A variable holds what it cannot hold, there is too little memory, or a folder is none.
    """
    env = os.environ if environment is None else environment
    options = options_from(env)
    heap = int(memory_bytes() / MIB * HEAP_SHARE) if options.memory is None else parse_memory_mib(options.memory)
    if options.memory is not None and heap < LEAST_HEAP_MIB:
        raise OptionError(
            f"SNAP's memory is {options.memory!r}; it needs {LEAST_HEAP_MIB} MiB or more, give --snap memory=8G or set "
            f"{MEMORY}"
        )
    heap = max(heap, LEAST_HEAP_MIB)
    for name, variable, folder in (("scratch", SCRATCH, options.scratch), ("graphs", GRAPHS, options.graphs)):
        if folder is not None and not folder.is_dir():
            raise OptionError(
                f"SNAP's {name} ({variable} or --snap {name}=...) is {str(folder)!r}, which is no folder; make it, or "
                "name another"
            )
    return SnapSettings(
        heap_mib=heap,
        cache_mib=int(heap * CACHE_SHARE),
        parallelism=options.parallelism or min(processors(), MOST_PARALLEL),
        idle_s=options.idle_s or IDLE_S,
        wall_s=options.wall_s or WALL_S,
        scratch=options.scratch,
        keep_failed=KEEP_FAILED if options.keep_failed is None else options.keep_failed,
        graphs=options.graphs,
        spectral_diversity=bool(options.spectral_diversity),
    )


def options_from(environment: Mapping[str, str]) -> SnapOptions:
    """Return the options that were given, completed from the environment.

    Raises
    ------
    OptionError
        A variable holds what it cannot hold.
    """
    given = _given.get() or SnapOptions()
    values: dict[str, object] = {}
    for name in SnapOptions.model_fields:
        variable = f"{PREFIX}{name.upper()}"
        said = environment.get(variable, "").strip()
        if said and getattr(given, name) is None:
            try:
                SnapOptions(**{name: said})
            except OptionError as error:
                raise OptionError(f"{variable}: {error}") from None
            values[name] = said
    return given.replace(**values)


def variant(environment: Mapping[str, str] | None = None) -> str:
    """Name what makes SNAP's result another one than the package's graphs give; empty if nothing does.

    A map that was made in another variant is not taken for a finished one.
    """
    options = options_from(os.environ if environment is None else environment)
    parts = ["enhanced spectral diversity"] if options.spectral_diversity else []
    if options.graphs is not None:
        digest = hashlib.sha256()
        for path in sorted(options.graphs.glob("*.xml")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        parts.append(f"own graphs {digest.hexdigest()[:12]}")
    return " and ".join(parts)


def with_variant(version: str) -> str:
    """Return a version with the variant that is to run, as it is recorded in maps."""
    said = variant()
    return f"{version} with {said}" if said else version


def parse_memory_mib(text: str) -> int:
    """Read an amount of memory.

    Examples
    --------
    >>> parse_memory_mib("8G"), parse_memory_mib("6000M")
    (8192, 6000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT])i?B?\s*", text, re.IGNORECASE)
    if match is None:
        raise OptionError(f"SNAP's memory is {text!r}; write a number and a unit, such as 8G or 6000M")
    return int(float(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2].upper()])
