"""Files that appear complete or not at all, and the one place of the package that deletes any."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insar_mining.errors import OutputError

logger = logging.getLogger(__name__)

# .NAME.0123abcd.part, .STEM.0123abcd.part.SUFFIX and .NAME.0123abcd.old, with what drivers add behind
TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{8}\.(?:old|part(?P<suffix>\.\w+)?(?:\.[\w.]+)?)", re.ASCII)
# the folder of what SNAP makes for one pair
SCRATCH_FOLDER = re.compile(r"\.snap-(?:run|failed)-.+-[0-9a-f]{8}")
ANYTHING = re.compile(r".*", re.DOTALL)


@contextmanager
def appears_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` if all went well.

    The temporary file keeps the suffix of `path` (drivers choose by it) and is
    deleted when the block raises, so that a killed or failed run never leaves half
    a file under a final name.

    Raises
    ------
    OutputError
        The folder cannot be created or written, or the disk is full.
    """
    path = Path(path)
    partial = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error}. Choose another output folder, or free space and rights there"
        ) from error
    finally:
        delete(partial, TEMPORARY)


def write_text(path: Path | str, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all, and return the path."""
    with appears_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_of_folder(folder: Path | str) -> str:
    """Return the SHA-256 of the paths and the checksums of all files below a folder, as 64 hexadecimal digits."""
    folder = Path(folder)
    lines = (f"{path.relative_to(folder).as_posix()} {sha256(path)}\n" for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def temporary_name(path: Path, *, folder: bool = False) -> Path:
    """Return a new hidden name beside `path` for what is not complete yet.

    Parameters
    ----------
    path : Path
        The final name.
    folder : bool
        Of a folder: the name ends in ``.part``; else it keeps the suffix of `path`.
    """
    stem, suffix = (path.name, "") if folder else (path.stem, path.suffix)
    return path.with_name(f".{stem}.{uuid.uuid4().hex[:8]}.part{suffix}")


def delete(
    path: Path, names: str | re.Pattern[str], contents: re.Pattern[str] | None = None, *, checksum: str | None = None
) -> bool:
    """Delete a file, or a folder, that this package wrote; nothing else in the package deletes anything.

    Parameters
    ----------
    path : Path
        Its last part must be a plain name: a link, a device, ``.`` and ``..`` are left alone.
    names : str or Pattern
        That name, or what the whole of it must match.
    contents : Pattern, optional
        `path` is a folder, and of the files in it those are deleted whose path from there matches (with ``/``), then
        the folders that this leaves empty. Without it `path` must be a regular file.
    checksum : str, optional
        SHA-256 that a file was recorded with: one that was changed since is not deleted.

    Returns
    -------
    bool
        Whether `path` is gone. What cannot be deleted stays, and is logged.

    Raises
    ------
    ValueError
        `contents` matches anything, but neither the folder nor the one that holds it has a temporary name.
    """
    if path.name != names if isinstance(names, str) else not names.fullmatch(path.name):
        return False
    if contents is ANYTHING and not any(_is_temporary(name) for name in (path.name, path.parent.name)):
        raise ValueError(f"{path}: a folder is deleted with all in it only under a temporary name")
    try:
        kind = path.lstat().st_mode
        if contents is not None:
            return stat.S_ISDIR(kind) and _delete_contents(path, contents)
        if not stat.S_ISREG(kind) or (checksum is not None and sha256(path) != checksum):
            return False
        path.unlink()
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        logger.info("%s stays: %s", path, error)
        return False


def delete_leftovers(folder: Path, names: re.Pattern[str]) -> None:
    """Delete what a killed process left in a folder under temporary names.

    Parameters
    ----------
    folder : Path
        Nobody else writes there; a link is left alone.
    names : Pattern
        Final names of the files and folders that this package writes there.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        found = TEMPORARY.fullmatch(path.name)
        if found is None or not names.fullmatch(found["stem"] + (found["suffix"] or "")):
            continue
        delete(path, TEMPORARY, ANYTHING if path.is_dir() else None)


def check_replaceable(path: Path, contents: re.Pattern[str]) -> None:
    """Check that a folder may be replaced: that nothing is there, or a folder of this package's files only.

    Raises
    ------
    OutputError
        Something else is there; it is named.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"{path}: is there and is no folder that this package wrote. Choose another name")
    for parent, folders, files in os.walk(path):
        for name in (*files, *(name for name in folders if (Path(parent) / name).is_symlink())):
            inner = Path(parent) / name
            if inner.is_symlink() or not contents.fullmatch(inner.relative_to(path).as_posix()):
                raise OutputError(
                    f"{path}: holds {inner.relative_to(path)}, which this package did not write; it is not "
                    "overwritten. Move it away, or choose another folder"
                )


def replace_folder(partial: Path, path: Path, contents: re.Pattern[str]) -> None:
    """Put a complete folder in the place of an older one, which is deleted only then.

    Parameters
    ----------
    partial : Path
        The new folder, beside `path`.
    contents : Pattern
        Paths of all files that the older one may hold.

    Raises
    ------
    OutputError
        The older one holds something else.
    OSError
        It cannot be renamed.
    """
    check_replaceable(path, contents)
    if not path.exists():
        partial.rename(path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.rename(old)
    try:
        partial.rename(path)
    except OSError:
        old.rename(path)
        raise
    delete(old, TEMPORARY, contents)


def _is_temporary(name: str) -> bool:
    return bool(TEMPORARY.fullmatch(name) or SCRATCH_FOLDER.fullmatch(name))


def _delete_contents(folder: Path, contents: re.Pattern[str]) -> bool:
    """Delete matching files of a folder, and the folders that become empty; links are not followed."""
    everything = True
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = Path(parent) / name
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                everything = _delete_if_empty(path) and everything
            elif contents is ANYTHING or (
                stat.S_ISREG(kind) and contents.fullmatch(path.relative_to(folder).as_posix())
            ):
                path.unlink()
            else:
                everything = False
    return _delete_if_empty(folder) and everything


def _delete_if_empty(folder: Path) -> bool:
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True
