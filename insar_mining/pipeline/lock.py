"""One run at a time in one folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insar_mining.errors import OutputError

LOCK_NAME = ".insar-mining.lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; the operating system frees it when the process ends, however it ends.

    Raises
    ------
    OutputError
        The folder cannot be made or written, or another run works in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write in {folder}: {error.strerror or error}. Choose another output folder (--out), or mend "
            "its rights"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise OutputError(f"cannot lock {folder}: {error.strerror}. Choose a folder on a local disk") from error
            handle.seek(0)
            raise OutputError(
                f"{folder}: another run works in this folder ({handle.read().strip() or 'just started'}). "
                "Wait for it to end, or choose another folder (--out)."
            ) from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield
