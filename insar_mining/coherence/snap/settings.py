"""How SNAP is run on this machine (memory, processors, time limits, folders), and where it is installed.

What the options (:class:`insar_mining.options.models.SnapOptions`) do not give comes from
the environment, and what is not set there is sized from the machine (or its container).
Only spectral diversity and templates of one's own change a result; :func:`variant` names
them, and it is recorded in every map.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from insar_mining.errors import EngineError, EngineWarning, OptionError
from insar_mining.machine import memory_bytes, processors
from insar_mining.options.models import SnapOptions

VERSIONS = (13, 14)
"""Versions of SNAP whose operators are known, oldest first."""

PREFIX = "INSAR_MINING_SNAP_"
MEMORY = "INSAR_MINING_SNAP_MEMORY"
IDLE = "INSAR_MINING_SNAP_IDLE_S"
WALL = "INSAR_MINING_SNAP_WALL_S"
SCRATCH = "INSAR_MINING_SNAP_SCRATCH"
GRAPHS = "INSAR_MINING_SNAP_GRAPHS"

MIB = 1024**2
HEAP_SHARE = 0.6  # the rest is for SNAP's native parts, for Python and for the file cache
CACHE_SHARE = 0.5  # of the heap, for SNAP's tiles
LEAST_HEAP_MIB = 1024
MOST_PARALLEL = 16  # beyond it SNAP's readers wait for one another
IDLE_S = 900.0
WALL_S = 6 * 3600.0
KEEP_FAILED = 3

HOME_VARIABLE = "SNAP_HOME"
USUAL_PLACES = (
    "~/esa-snap", "~/snap", "/usr/local/esa-snap", "/usr/local/snap", "/opt/esa-snap", "/opt/snap",
    "/Applications/esa-snap", "/Applications/snap",
)  # fmt: skip
DIAGNOSIS_S = 180.0
# a line that begins with SNAP's name: another one may be of Java
VERSION = re.compile(r"^\s*(?:ESA\s+)?SNAP(?:\s+[A-Za-z]+)*\s+v?(\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)
BARE_VERSION = re.compile(r"\s*(\d+)\.(\d+)(?:\.(\d+))?\S*\s*")


@dataclass(frozen=True)
class SnapSettings:
    """Hold the limits of one SNAP process.

    Attributes
    ----------
    heap_mib, cache_mib : int
        Java heap (``-Xmx``) and SNAP's tile cache inside it (``-c``).
    parallelism : int
        Threads (``-q``).
    idle_s : float
        A process that writes nothing and computes nothing for so long is killed.
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


def settings(options: SnapOptions | None = None, environment: Mapping[str, str] | None = None) -> SnapSettings:
    """Return the settings of this machine: options, else the environment, else what suits its size.

    Raises
    ------
    OptionError
        A variable holds what it cannot hold, there is too little memory, or a folder is none.
    """
    options = completed(options, environment)
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
                f"SNAP's {name} ({variable} or --snap {name}=...) is {str(folder)!r}, which is no folder. Make it, or "
                "name another."
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


def completed(options: SnapOptions | None, environment: Mapping[str, str] | None = None) -> SnapOptions:
    """Complete options from the environment (by default the process's own).

    Raises
    ------
    OptionError
        A variable holds what it cannot hold.
    """
    env = os.environ if environment is None else environment
    given = options or SnapOptions()
    values: dict[str, object] = {}
    for name in SnapOptions.model_fields:
        variable = f"{PREFIX}{name.upper()}"
        text = env.get(variable, "").strip()
        if text and getattr(given, name) is None:
            try:
                SnapOptions(**{name: text})
            except OptionError as error:
                raise OptionError(f"{variable}: {error}") from None
            values[name] = text
    return given.replace(**values)


def variant(options: SnapOptions | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Name what makes SNAP's result another one than the package's graphs give; empty if nothing does.

    A map that was made in another variant is not taken for a finished one.
    """
    options = completed(options, environment)
    parts = ["enhanced spectral diversity"] if options.spectral_diversity else []
    if options.graphs is not None:
        digest = hashlib.sha256()
        for path in sorted(options.graphs.glob("*.xml")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        parts.append(f"own graphs {digest.hexdigest()[:12]}")
    return " and ".join(parts)


def parse_memory_mib(text: str) -> int:
    """Read an amount of memory.

    Examples
    --------
    >>> parse_memory_mib("8G"), parse_memory_mib("6000M")
    (8192, 6000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT])i?B?\s*", text, re.IGNORECASE)
    if match is None:
        raise OptionError(f"SNAP's memory is {text!r}. Write a number and a unit, such as 8G or 6000M.")
    return int(float(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2].upper()])


@dataclass(frozen=True)
class SnapInstall:
    """Hold an installed SNAP.

    Attributes
    ----------
    gpt : Path
        Its graph processing tool.
    found_by : str
        ``SNAP_HOME``, ``PATH`` or the place.
    version : tuple of int
        Empty if it could not be told.
    """

    gpt: Path
    found_by: str
    version: tuple[int, ...]

    @property
    def home(self) -> Path:
        """Folder of the installation."""
        return self.gpt.parent.parent

    @property
    def version_text(self) -> str:
        """The version as ``13.0.4``, or ``unknown``."""
        return ".".join(map(str, self.version)) or "unknown"


def find_gpt(environment: Mapping[str, str] | None = None) -> tuple[Path, str] | None:
    """Return gpt and how it was found: in SNAP_HOME, on the PATH, or in a usual place.

    Raises
    ------
    EngineError
        SNAP_HOME is set and holds no gpt; nothing else is tried then.
    """
    env = os.environ if environment is None else environment
    home = env.get(HOME_VARIABLE)
    if home:
        for candidate in (Path(home) / "bin" / "gpt", Path(home) / "gpt"):
            if _is_program(candidate):
                return candidate, HOME_VARIABLE
        raise EngineError(f"{HOME_VARIABLE} is {home!r}, which holds no bin/gpt. Set it to SNAP's folder, or unset it.")
    on_path = shutil.which("gpt", path=env.get("PATH"))
    if on_path:
        # the name on the PATH is often a link into the installation
        return Path(on_path).resolve(), "PATH"
    for place in USUAL_PLACES:
        candidate = Path(place).expanduser() / "bin" / "gpt"
        if _is_program(candidate):
            return candidate, place
    return None


def find_snap(environment: Mapping[str, str] | None = None) -> SnapInstall:
    """Return the installed SNAP.

    Raises
    ------
    EngineError
        There is none.
    """
    found = find_gpt(environment)
    if found is None:
        raise EngineError(
            f"ESA SNAP was not found: {HOME_VARIABLE} is not set, gpt is not on the PATH, and none of "
            f"{', '.join(USUAL_PLACES)} holds it. Install SNAP 13 or 14 (https://step.esa.int), set {HOME_VARIABLE} to "
            "its folder, use the project's SNAP image, or choose --engine builtin"
        )
    gpt, found_by = found
    return SnapInstall(gpt, found_by, version_of(gpt))


def version_of(gpt: Path) -> tuple[int, ...]:
    """Return the version of the SNAP that a gpt belongs to, empty if it cannot be told."""
    file = gpt.parent.parent / "VERSION.txt"
    if file.is_file():
        version = parse_version(file.read_text(encoding="utf-8", errors="replace"))
        if version:
            return version
    return parse_version(ask(gpt, "--diag"))


def ask(gpt: Path, *arguments: str, timeout_s: float = DIAGNOSIS_S) -> str:
    """Return what gpt says to a question, empty if it does not answer."""
    try:
        done = subprocess.run(
            [str(gpt), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors="replace")


def parse_version(text: str) -> tuple[int, ...]:
    r"""Find a version in the text of ``gpt --diag`` or VERSION.txt.

    Examples
    --------
    >>> parse_version("SNAP Release version 13.0.4\nSNAP home: /opt/snap")
    (13, 0, 4)
    >>> parse_version("14.0.0")
    (14, 0, 0)
    """
    match = BARE_VERSION.fullmatch(text) or VERSION.search(text)
    return tuple(int(part) for part in match.groups() if part is not None) if match else ()


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def warn_of_version(version: tuple[int, ...], text: str) -> None:
    """Warn if the graphs were written for other versions of SNAP than this one."""
    if not version or version[0] not in VERSIONS:
        warnings.warn(
            f"SNAP {text}: the graphs are checked against {' and '.join(map(str, VERSIONS))} only, and the elevation "
            "model is moved by half a cell as these two read it; the result may differ, or the graphs may not run. "
            "Install one of the two",
            EngineWarning,
            stacklevel=4,
        )
