"""A folder for the intermediate products of one pair: gone after success, kept and named after failure."""

from __future__ import annotations

import errno
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from insar_mining.coherence.plan import CoherencePlan
from insar_mining.coherence.snap.settings import SCRATCH, SnapSettings
from insar_mining.errors import InsarMiningError, OutputError, SnapDiskError

logger = logging.getLogger(__name__)

PLAIN = re.compile(r"[A-Za-z0-9._/+=@-]*")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GIB = 1024**3
KEPT_WHEN_FULL = (".xml", ".log", ".dim")


@dataclass(frozen=True)
class Workspace:
    """Scratch of one pair.

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
        product.unlink(missing_ok=True)
        shutil.rmtree(product.with_suffix(".data"), ignore_errors=True)


@contextmanager
def workspace(plan: CoherencePlan, settings: SnapSettings, needed_bytes: int) -> Iterator[Workspace]:
    """Yield a new folder; delete it afterwards unless something failed.

    Raises
    ------
    SnapDiskError
        There is no room, before or during the work.
    OutputError
        The folder cannot be made.
    """
    parent = settings.scratch or plan.out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(parent).free
        if free < needed_bytes:
            raise SnapDiskError(
                f"{parent} has {free / GIB:.1f} GiB free, SNAP needs about {needed_bytes / GIB:.1f} GiB for pair "
                f"{plan.pair}; free space there, or set {SCRATCH} to a folder on a larger disk"
            )
        real = Path(tempfile.mkdtemp(prefix=f".snap-{plan.pair}-", dir=parent)).resolve()
        door = None if PLAIN.fullmatch(str(real)) else _plain_folder()
    except OSError as error:
        raise OutputError(
            f"cannot make a folder for SNAP in {parent}: {error}; set {SCRATCH} to another folder"
        ) from error
    path = real
    if door is not None:
        path = door / "work"
        path.symlink_to(real)
    try:
        yield Workspace(real, path)
    except InsarMiningError as error:
        _keep(real, full=isinstance(error, SnapDiskError))
        raise type(error)(f"{error}. What SNAP left is kept in {real}") from error
    except OSError as error:
        _keep(real, full=error.errno in FULL)
        if error.errno in FULL:
            raise SnapDiskError(
                f"{error}: the disk of {real} is full; free space there, or set {SCRATCH} to a folder on a larger disk"
            ) from error
        raise OutputError(f"cannot work in {real}: {error}") from error
    except BaseException:
        shutil.rmtree(real, ignore_errors=True)  # interrupted: nobody will look at it
        raise
    else:
        shutil.rmtree(real, ignore_errors=True)
    finally:
        if door is not None:
            shutil.rmtree(door, ignore_errors=True)


def _plain_folder() -> Path:
    """Make a folder whose name needs no quoting: where the system has its temporary files, else in /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="insar-mining-"))
    if PLAIN.fullmatch(str(folder)):
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="insar-mining-", dir="/tmp"))


def _keep(real: Path, *, full: bool) -> None:
    """Leave what helps to understand a failure; on a full disk that is text only."""
    shutil.rmtree(real / "userdir", ignore_errors=True)  # SNAP's caches and our copies of orbits and geoid
    if full:
        for path in real.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix not in KEPT_WHEN_FULL:
                path.unlink(missing_ok=True)
    logger.warning("what SNAP left is kept in %s", real)
