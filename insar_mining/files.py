"""Files that appear complete or not at all."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insar_mining.errors import OutputError


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
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
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
        partial.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all, and return the path."""
    with appears_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
