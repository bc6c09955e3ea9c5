"""Whether everything in a folder of fetched or copied files is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from insar_mining.download.integrity import Kind, fault_by_note, read_note, structure_fault
from insar_mining.errors import ArchiveError, InsarMiningError
from insar_mining.files import sha256, sha256_of_folder

ProgressCallback = Callable[[str, int, int], None]

COLUMNS = ("file", "state", "checked", "bytes", "reason")

_KINDS: dict[str, Kind] = {
    ".zip": "zip",
    ".xml": "xml",
    ".eof": "xml",
    ".safe": "any",
    ".hgt": "raster",
    ".tif": "raster",
    ".tiff": "raster",
}


def verify_folder(
    folder: Path | str, *, progress: ProgressCallback | None = None, recorded: Mapping[Path, str] | None = None
) -> pd.DataFrame:
    """Check every file of a folder, and of the folders in it.

    A file whose checksum is recorded is held against it, one that was fetched against
    the SHA-256 that was noted of it then.  A product (SAFE folder, zip, bursts) is
    opened, and every measurement of it held against its annotation.  Of other files the
    structure is checked: each member of a zip, the well-formedness of an XML, the
    reading of a raster.

    Parameters
    ----------
    folder : path
    progress : callable (stage, done, all), optional
    recorded : mapping of Path to str, optional
        SHA-256 of files, and of folders as one thing (`insar_mining.files.sha256_of_folder`), below `folder`; what is
        gone of them is damaged too.

    Returns
    -------
    DataFrame
        One row per file or product: file (relative to the folder), state (``"whole"``,
        ``"damaged"``, ``"unfinished"``: a part that a rerun of `fetch` continues),
        checked (``"checksum"``, ``"product"``, ``"structure"``, ``"size"``), bytes and
        reason.

    Raises
    ------
    ArchiveError
        There is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArchiveError(f"{folder}: no such folder. Give the folder that files were fetched to.")
    recorded = recorded or {}
    things = sorted({*_things(folder, recorded), *recorded})
    rows = []
    for done, path in enumerate(things, start=1):
        state, checked, reason = _recorded_verdict(path, recorded[path]) if path in recorded else _verdict(path)
        files = path.rglob("*") if path.is_dir() else (path,)
        size = sum(file.stat().st_size for file in files if file.is_file())
        rows.append((str(path.relative_to(folder)), state, checked, size, reason))
        if progress is not None:
            progress("verifying", done, len(things))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _things(folder: Path, recorded: Mapping[Path, str]) -> Iterator[Path]:
    """List files, parts, and products and recorded folders as one entry each, in the order of their names."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path in recorded or path.suffix.upper() == ".SAFE" or (path / "manifest.safe").is_file():
                yield path
            elif not path.name.startswith("."):
                yield from _things(path, recorded)
        elif path.name.endswith(".part") or not path.name.startswith("."):
            yield path


def _recorded_verdict(path: Path, expected: str) -> tuple[str, str, str]:
    """Compare a file or a folder with its recorded SHA-256."""
    remedy = "restore it, or run the command that made it again"
    try:
        found = sha256_of_folder(path) if path.is_dir() else sha256(path)
    except FileNotFoundError:
        return "damaged", "checksum", f"is recorded and gone; {remedy}"
    except OSError as error:
        return "damaged", "", f"cannot be read ({error.strerror}); {remedy}"
    return (
        ("whole", "checksum", "")
        if found == expected
        else ("damaged", "checksum", f"its bytes are not those that were recorded; {remedy}")
    )


def _verdict(path: Path) -> tuple[str, str, str]:
    if path.name.endswith(".part"):
        return "unfinished", "", "its rest has not come yet; run fetch again"
    fault, checked = _fault(path)
    return ("whole", checked, "") if fault is None else ("damaged", checked, f"{fault}; fetch it again")


def _fault(path: Path) -> tuple[str | None, str]:
    try:
        if path.is_file() and path.stat().st_size == 0:
            return "empty", "size"
        if path.is_file() and read_note(path) is not None:
            return fault_by_note(path), "checksum"
        if path.is_dir() or (path.suffix.lower() == ".zip" and path.name.startswith("S1")):
            return _product_fault(path), "product"
        kind = _KINDS.get(path.suffix.lower(), "any")
        return structure_fault(path, kind, thorough=True), "size" if kind == "any" else "structure"
    except OSError as error:
        return f"cannot be read ({error.strerror})", ""


def _product_fault(path: Path) -> str | None:
    from insar_mining.sentinel1.product import open_product

    if path.is_file():
        fault = structure_fault(path, "zip", thorough=True)
        if fault is not None:
            return fault
    try:
        product = open_product(path)
        for swath, polarisation in product.images:
            product.check_measurement(swath, polarisation)
    except InsarMiningError as error:
        return str(error)
    return None
