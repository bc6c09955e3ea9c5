"""A folder for the intermediate products of one pair: gone after success, kept for a while and named after failure."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from insar_mining.coherence.snap.settings import SCRATCH, SnapSettings
from insar_mining.errors import InsarMiningError, OutputError, SnapDiskError
from insar_mining.files import ANYTHING, SCRATCH_FOLDER, delete

logger = logging.getLogger(__name__)

PLAIN = re.compile(r"[A-Za-z0-9._/+=@-]*")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GIB = 1024**3
RUNNING, FAILED = ".snap-run-", ".snap-failed-"
HELD = ".held"
YOUNG_S = 60.0
KEPT_WHEN_FULL = (".xml", ".log", ".dim")
HEADER = re.compile(r".+\.dim")
DATA = re.compile(r".+\.data")
# what SNAP writes into the .data folder of a product: bands, tie points, vectors
DATA_FILES = re.compile(r"(?:[^/]+/)*[^/]+\.(?:img|hdr|csv|xml|properties)")


@dataclass(frozen=True)
class Workspace:
    """Scratch of one pair, or of one graph.

    Attributes
    ----------
    real : Path
        Where the files lie, and what a message names.
    path : Path
        The same folder by a name without a character that SNAP, its launcher or its
        graphs might trip over (spaces, ``$``, letters beyond ASCII).
    """

    real: Path
    path: Path

    def link(self, target: Path, name: str) -> Path:
        """Make something reachable inside the workspace under a plain name."""
        (self.real / name).symlink_to(target.resolve())
        return self.path / name

    def discard(self, product: Path) -> None:
        """Delete an intermediate product that is no longer needed."""
        discard(product)


def discard(product: Path) -> None:
    """Delete a BEAM-DIMAP product, or what there is of it."""
    delete(product, HEADER)
    delete(product.with_suffix(".data"), DATA, DATA_FILES)


@contextmanager
def workspace(parent: Path, name: str, settings: SnapSettings, needed_bytes: int) -> Iterator[Workspace]:
    """Yield a new folder; delete it afterwards unless something failed.

    What failed pairs leave behind is kept for the newest `keep_failed` of them; what a
    process that was killed has left is deleted when the next pair begins.

    Parameters
    ----------
    parent : Path
        Where to make it.
    name : str
        What it is for: the pair, or the graph.
    needed_bytes : int
        Room that must be free there.

    Raises
    ------
    SnapDiskError
        There is no room, before or during the work.
    OutputError
        The folder cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        free = shutil.disk_usage(parent).free
        if free < needed_bytes:
            raise SnapDiskError(
                f"{parent} has {free / GIB:.1f} GiB free, SNAP needs about {needed_bytes / GIB:.1f} GiB for "
                f"{name}; free space there, or set {SCRATCH} to a folder on a larger disk"
            )
        real = parent.resolve() / f"{RUNNING}{name}-{uuid.uuid4().hex[:8]}"
        real.mkdir(mode=0o700)
    except OSError as error:
        raise OutputError(
            f"cannot make a folder for SNAP in {parent}: {error}; set {SCRATCH} to another folder"
        ) from error
    with _held(real), _door(real) as path:
        try:
            yield Workspace(real, path)
        except InsarMiningError as error:
            kept = _keep(real, settings.keep_failed, full=isinstance(error, SnapDiskError))
            raise type(error)(f"{error}. {kept}") from error
        except OSError as error:
            full = error.errno in FULL
            kept = _keep(real, settings.keep_failed, full=full)
            if full:
                raise SnapDiskError(
                    f"{error}: the disk of {real.parent} is full; free space there, or set {SCRATCH} to a folder on a "
                    f"larger disk. {kept}"
                ) from error
            raise OutputError(f"cannot work in {real.parent}: {error}. {kept}") from error
        finally:
            # after success nobody needs it, and after an interruption nobody will look at it
            delete(real, SCRATCH_FOLDER, ANYTHING)


@contextmanager
def _held(real: Path) -> Iterator[None]:
    """Hold a folder for this process, so that others can tell it from one that was abandoned."""
    with ExitStack() as stack:
        with suppress(OSError):  # no room for it, or a file system without locks: then it is never swept
            handle = stack.enter_context((real / HELD).open("w", encoding="utf-8"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def _door(real: Path) -> Iterator[Path]:
    """Give a folder a name that needs no quoting: its own, else a link where the system has its temporary files."""
    if PLAIN.fullmatch(str(real)):
        yield real
        return
    place = tempfile.gettempdir() if PLAIN.fullmatch(tempfile.gettempdir()) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="insar-mining-", dir=place, ignore_cleanup_errors=True) as folder:
        link = Path(folder) / "work"
        link.symlink_to(real)
        yield link


def sweep(parent: Path) -> None:
    """Delete the folders of pairs whose process has ended without a word (kill -9, a power cut)."""
    for folder in _scratch_folders(parent, RUNNING):
        with suppress(OSError), (folder / HELD).open("r+", encoding="utf-8") as handle:
            if time.time() - os.fstat(handle.fileno()).st_mtime < YOUNG_S:
                continue  # it may be on its way to being held
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            logger.info("%s was left by a process that is no more; it is deleted", folder)
            delete(folder, SCRATCH_FOLDER, ANYTHING)


def _scratch_folders(parent: Path, kind: str) -> list[Path]:
    """Return folders of SNAP's intermediate products: running, or kept of failures."""
    return [
        folder
        for folder in parent.glob(f"{kind}*")
        if SCRATCH_FOLDER.fullmatch(folder.name) and not folder.is_symlink()
    ]


def _keep(real: Path, number: int, *, full: bool) -> str:
    """Leave what helps to understand a failure under a name of its own (on a full disk text only), and say where."""
    if number == 0:
        return "What SNAP left was deleted (--snap keep_failed=1 keeps it)"
    delete(real / "userdir", ANYTHING, ANYTHING)  # SNAP's caches and our copies of orbits and geoid
    delete(real / HELD, ANYTHING)
    if full:
        for path in real.rglob("*"):
            if path.suffix not in KEPT_WHEN_FULL:
                delete(path, ANYTHING)
    kept = real.with_name(FAILED + real.name.removeprefix(RUNNING))
    real.rename(kept)
    _forget_older(real.parent, number)
    logger.warning("what SNAP left is kept in %s", kept)
    return f"What SNAP left is kept in {kept} (of the newest {number} failures there; --snap keep_failed=N changes it)"


def _forget_older(parent: Path, number: int) -> None:
    """Delete all but the newest of the failures that lie in a folder."""
    ages = {}
    for folder in _scratch_folders(parent, FAILED):
        with suppress(OSError):  # another process may be at it too
            ages[folder] = folder.stat().st_mtime_ns
    for folder in sorted(ages, key=lambda f: ages[f], reverse=True)[number:]:
        delete(folder, SCRATCH_FOLDER, ANYTHING)
