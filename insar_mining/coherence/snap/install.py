"""Where SNAP is installed, and which version it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from insar_mining.errors import EngineError

HOME_VARIABLE = "SNAP_HOME"
USUAL_PLACES = (
    "~/esa-snap", "~/snap", "/usr/local/esa-snap", "/usr/local/snap", "/opt/esa-snap", "/opt/snap",
    "/Applications/esa-snap", "/Applications/snap",
)  # fmt: skip
DIAGNOSIS_S = 180.0
VERSION = re.compile(r"(?:version|SNAP)\D{0,20}(\d+)\.(\d+)(?:\.(\d+))?", re.IGNORECASE)
BARE_VERSION = re.compile(r"^\s*(\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)


@dataclass(frozen=True)
class SnapInstall:
    """An installed SNAP.

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
        raise EngineError(f"{HOME_VARIABLE} is {home!r}, which holds no bin/gpt; set it to SNAP's folder, or unset it")
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
    said = gpt.parent.parent / "VERSION.txt"
    if said.is_file():
        version = parse_version(said.read_text(encoding="utf-8", errors="replace"))
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
    match = BARE_VERSION.search(text) or VERSION.search(text)
    return tuple(int(part) for part in match.groups() if part is not None) if match else ()


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
