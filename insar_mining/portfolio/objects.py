"""Copy results to object storage: any URL that fsspec knows (file, s3, gs)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insar_mining.errors import EngineError, OptionError, OutputError
from insar_mining.portfolio.plan import LINKS, MINES, OPTIONS, PLAN, POLYGONS, Portfolio
from insar_mining.portfolio.report import COUNTRIES, REPORT

OF_PORTFOLIO = (PLAN, MINES, POLYGONS, LINKS, OPTIONS, REPORT, COUNTRIES)


def publish(portfolio: Portfolio, url: str, **storage: Any) -> int:
    """Copy every finished result and the portfolio's own files below a URL; return how many files were copied.

    A file that is there with the recorded size is not copied again.  GeoTIFFs and Zarr stores are then read in place
    (``/vsis3/``, ``storage_options``).

    Parameters
    ----------
    url : str
        ``s3://bucket/folder``, ``gs://...``, ``file:///...``.
    **storage
        Options of the file system (endpoint, credentials), as fsspec takes them.

    Raises
    ------
    EngineError
        The library of that kind of storage is not installed.
    OptionError
        It is no URL of a storage.
    OutputError
        It cannot be written.
    """
    files, root = storage_of(url, **storage)
    names = [name for name in OF_PORTFOLIO if (portfolio.folder / name).is_file()]
    for task in portfolio.tasks:
        record = portfolio.ledger.record(task.id)
        if record is not None and not portfolio.ledger.why_again(task):
            names += list(record.outputs)
    copied = 0
    try:
        for name in names:
            local = portfolio.folder / name
            target = f"{root.rstrip('/')}/{name}"
            if name not in OF_PORTFOLIO and files.exists(target) and files.size(target) == local.stat().st_size:
                continue
            _copy(files, local, target)
            copied += 1
    except Exception as error:  # every kind of storage has errors of its own
        raise OutputError(
            f"{url}: cannot be written ({type(error).__name__}: {error}). Check the URL and rights"
        ) from error
    return copied


def storage_of(url: str, **storage: Any) -> Any:
    """Return the file system of a URL, and the path in it; see `publish`."""
    try:
        import fsspec  # type: ignore[import-untyped]

        return fsspec.core.url_to_fs(url, **storage)
    except ImportError as error:
        raise EngineError(f"{url}: its storage needs a library ({error}). Install fsspec and s3fs or gcsfs") from error
    except ValueError as error:
        raise OptionError(
            f"{url}: no URL of a storage ({error}). Write s3://bucket/folder, gs:// or file://"
        ) from error


def _copy(files: Any, local: Path, target: str) -> None:
    if "file" in (files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)):
        files.makedirs(target.rpartition("/")[0], exist_ok=True)
    files.put_file(str(local), target)
