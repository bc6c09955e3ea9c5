"""Whether a file that came from outside is whole: size, checksum, and its own structure."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from insar_mining.doors import HEIGHT_FORMATS, open_raster, opened_zip, parse_json, parse_xml_file
from insar_mining.errors import ArchiveError, InsarMiningError
from insar_mining.files import delete

Kind = Literal["zip", "tiff", "xml", "raster", "any"]

MAGIC: dict[str, tuple[bytes, ...]] = {
    "zip": (b"PK\x03\x04",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "xml": (b"<", b"\xef\xbb\xbf<"),
}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Expected:
    """Hold what is known of a file before it comes; None where nothing is.

    Attributes
    ----------
    size : int or None
        Bytes.
    md5 : str or None
        32 hexadecimal digits.
    kind : {"zip", "tiff", "xml", "raster", "any"}
        What its structure is held against; a tiff is a measurement of Sentinel-1, a
        raster anything that GDAL reads.
    """

    size: int | None = None
    md5: str | None = None
    kind: Kind = "any"


def fault_of(path: Path, expected: Expected) -> str | None:
    """Describe what is wrong with a file, None if it is whole.

    The size is compared first, then the checksum if one is known, then the structure:
    the directory of a zip (and, without a checksum, the CRC of every member), the lines
    of a TIFF, the well-formedness of an XML, the reading of a raster.
    """
    size = path.stat().st_size
    if expected.size is not None and size != expected.size:
        return f"{size:,} bytes long, expected {expected.size:,}"
    if size == 0:
        return "empty"
    if expected.md5 is not None:
        found = checksum(path, "md5")
        if found != expected.md5:
            return f"its MD5 is {found}, expected {expected.md5}"
    return structure_fault(path, expected.kind, thorough=expected.md5 is None)


def checksum(path: Path, name: str) -> str:
    """Return the checksum of a file as hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


def structure_fault(path: Path, kind: Kind, *, thorough: bool) -> str | None:
    """Describe what is wrong with the structure of a file, None if nothing is."""
    check = {"zip": _zip_fault, "tiff": _tiff_fault, "xml": _xml_fault, "raster": _raster_fault}.get(kind)
    return None if check is None else check(path, thorough)


def _zip_fault(path: Path, thorough: bool) -> str | None:
    try:
        with opened_zip(path) as archive:
            if not archive.namelist():
                return "a zip without a file in it"
            damaged = archive.testzip() if thorough else None
    except (OSError, zipfile.BadZipFile) as error:
        return f"no whole zip ({error})"
    return f"{damaged} is damaged inside the zip" if damaged else None


def _tiff_fault(path: Path, thorough: bool) -> str | None:
    from insar_mining.sentinel1.container import FolderContainer
    from insar_mining.sentinel1.measurement import read_layout

    try:
        read_layout(FolderContainer(path.parent, only=path.name), path.name)
    except InsarMiningError as error:
        return str(error)
    return None


def _xml_fault(path: Path, thorough: bool) -> str | None:
    try:
        parse_xml_file(path)
    except ElementTree.ParseError as error:
        return f"not well-formed XML ({error})"
    return None


def _raster_fault(path: Path, thorough: bool) -> str | None:
    from rasterio.errors import RasterioError

    try:
        with open_raster(path, HEIGHT_FORMATS) as file:
            for _, window in file.block_windows(1):
                file.read(1, window=window)
    except RasterioError as error:
        return f"cannot be read as a raster ({error})"
    return None


# Records of files that were found whole --------------------------------------------------------


def note_path(path: Path) -> Path:
    """Name of the hidden note beside a file: what it was when it was found whole."""
    return path.with_name(f".{path.name}.whole.json")


def write_note(path: Path, expected: Expected, url: str, *, content: Path | None = None, fetched: bool = True) -> None:
    """Note that a file is whole; `content` is where it lies until it is moved to `path`.

    `fetched` is False of a file that somebody else put there: it is never deleted.
    """
    content = path if content is None else content
    stat = content.stat()
    note = {
        "file": path.name,
        "size": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "sha256": checksum(content, "sha256"),
        "md5": expected.md5,
        "kind": expected.kind,
        "source": url,
        "fetched": fetched,
    }
    put_text(note_path(path), json.dumps(note, indent=1) + "\n")


def put_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all, by way of one fixed name beside it.

    A process that is killed may leave that name behind; the next one writes over it.
    """
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    with contextlib.suppress(FileNotFoundError):  # another process has just put the same text there
        new.replace(path)


def read_note(path: Path) -> dict[str, Any] | None:
    """Return what was noted of a file, None if nothing (or nothing readable) was."""
    try:
        note = parse_json(note_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    kinds = {"size": int, "modified_ns": int, "sha256": str}
    is_note = isinstance(note, dict) and all(isinstance(note.get(name), kind) for name, kind in kinds.items())
    return note if is_note else None


def drop_fetched(path: Path) -> None:
    """Delete a fetched file that turned out to be wrong, with its note; one that has changed since is set aside."""
    note = read_note(path)
    if note is None or not note.get("fetched", True) or not path.is_file():
        return
    if not delete(path, path.name, checksum=str(note["sha256"])):
        path.rename(path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.changed"))
    delete(note_path(path), note_path(path).name)


def is_noted(path: Path, expected: Expected) -> bool:
    """Return whether a file is the one that was found whole (by size and time of change), and the one expected."""
    note = read_note(path)
    if note is None or not path.is_file():
        return False
    stat = path.stat()
    same = (note["size"], note["modified_ns"]) == (stat.st_size, stat.st_mtime_ns)
    fits = expected.size in (None, stat.st_size) and (expected.md5 is None or expected.md5 == note["md5"])
    return same and fits


def fault_by_note(path: Path) -> str | None:
    """Describe how a file differs from what was noted of it; every byte is read.

    Raises
    ------
    ArchiveError
        Nothing was noted.
    """
    note = read_note(path)
    if note is None:
        raise ArchiveError(f"{path}: nothing is noted of this file")
    size = path.stat().st_size
    if size != note["size"]:
        return f"{size:,} bytes long, {note['size']:,} when it was fetched"
    if checksum(path, "sha256") != note["sha256"]:
        return "its bytes are not those that were fetched"
    return None
