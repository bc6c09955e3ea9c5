"""Files of a product, wherever they lie: in a folder, or inside a zip that is not unpacked.

Names are relative to the product's root and use ``/``.  Members of a zip that are
stored are read straight from the archive.  Deflated members (the usual case for a
Sentinel-1 zip) can only be inflated from a known state: while a member is inflated for
the first time, copies of the decompressor are kept every 8 MiB, and later reads start
at the nearest one instead of at the member's beginning.
"""

from __future__ import annotations

import bisect
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from insar_mining.doors import MEMBER_BYTES, opened_zip, read_member
from insar_mining.errors import ProductError

CHECKPOINT_BYTES = 8 << 20
_INPUT_CHUNK = 256 << 10
_OUTPUT_CHUNK = 1 << 20
_LOCAL_HEADER_BYTES = 30
_FLAG_ENCRYPTED = 0x1


class ByteReader(Protocol):
    """Give random access to the bytes of one file; belongs to one thread."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes from `offset` on."""

    def announce(self, offset: int, length: int) -> None:
        """Announce that some bytes will be read soon: the disk fetches them meanwhile, where the system can."""


class Container(Protocol):
    """Describe a folder or an archive that holds a product."""

    @property
    def path(self) -> Path:
        """The folder or the archive itself."""

    @property
    def root_name(self) -> str:
        """Name of the folder that holds the product's files."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Size in bytes (uncompressed) of every file, by its name."""

    def read(self, name: str) -> bytes:
        """Return the whole content of a (small) file."""

    def reader(self, name: str) -> Any:  # a context manager of ByteReader
        """Open a file for random access, as a context manager."""

    def where(self, name: str) -> str:
        """Return the full name of a file, for messages."""

    def gdal_name(self, name: str) -> str:
        """Return the name under which GDAL opens a file."""


def open_container(path: Path) -> Container:
    """Open a folder or a zip.

    Raises
    ------
    ProductError
        Nothing is there, or it is neither a folder nor a complete zip.
    """
    if path.is_dir():
        return FolderContainer(path)
    if not path.exists():
        raise ProductError(f"{path}: no such file or folder. Give a SAFE folder, its zip, or a burst folder.")
    return ZipContainer(path)


class FolderContainer:
    """Read the files below a folder, or `only` one of them; symbolic links are followed."""

    def __init__(self, path: Path, only: str | None = None) -> None:
        self.path = path
        # a link, or ".", has another name than the folder it stands for
        self.root_name = path.name if path.suffix.upper() == ".SAFE" else path.resolve().name
        self._stamps = dict(_folder_stamps(path)) if only is None else {only: _stamp((path / only).stat())}
        self.sizes: Mapping[str, int] = {name: size for name, (size, _) in self._stamps.items()}

    def read(self, name: str) -> bytes:
        """Return the whole content of a file."""
        if self.sizes.get(name, 0) > MEMBER_BYTES:
            raise ProductError(
                f"{self.where(name)}: {self.sizes[name]:,} bytes (limit {MEMBER_BYTES:,}). Fetch it again"
            )
        with _opened(self.path / name, self._stamps.get(name), self.where(name)) as handle:
            try:
                return bytes(handle.read())
            except OSError as error:
                raise ProductError(f"{self.where(name)}: cannot be read ({error.strerror}). Fetch it again.") from error

    @contextmanager
    def reader(self, name: str) -> Iterator[ByteReader]:
        """Open a file for random access."""
        with _opened(self.path / name, self._stamps.get(name), self.where(name)) as handle:
            yield _PlainReader(handle, 0, self.where(name))

    def where(self, name: str) -> str:
        """Return the full name of a file."""
        return str(self.path / name)

    def gdal_name(self, name: str) -> str:
        """Return the name under which GDAL opens a file."""
        return str(self.path / name)


Stamp = tuple[int, int]


def _stamp(state: os.stat_result) -> Stamp:
    """Return the size and the time of the last change of a file, ns."""
    return state.st_size, state.st_mtime_ns


@contextmanager
def _opened(path: Path, stamp: Stamp | None, where: str) -> Iterator[Any]:
    """Open a file of a product, and refuse one that was changed since the product was opened, or that changes now."""
    try:
        handle = path.open("rb", buffering=0)
    except OSError as error:
        raise ProductError(f"{where}: cannot be read ({error.strerror}). Check its rights.") from error
    with handle:
        _check_unchanged(handle, stamp, where)
        yield handle
        _check_unchanged(handle, stamp, where)


def _check_unchanged(handle: Any, stamp: Stamp | None, where: str) -> None:
    found = _stamp(os.fstat(handle.fileno()))
    if stamp is not None and found != stamp:
        raise ProductError(
            f"{where}: was changed while it was in use ({found[0]:,} bytes, {stamp[0]:,} before). "
            "Leave products alone during a run, and run the same command again"
        )


def _folder_stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """Yield names, sizes and times of a product's files: three levels deep (annotation/calibration/) are enough."""
    pending = [(folder, "")]
    while pending:
        parent, prefix = pending.pop()
        try:
            entries = sorted(parent.iterdir())
        except OSError as error:
            raise ProductError(f"{parent}: the folder cannot be listed ({error.strerror})") from error
        for entry in entries:
            if entry.is_dir():
                if prefix.count("/") < 2:
                    pending.append((entry, f"{prefix}{entry.name}/"))
            elif entry.is_file():  # a dangling link is neither
                yield prefix + entry.name, _stamp(entry.stat())


@dataclass(frozen=True)
class _Member:
    full_name: str
    header_offset: int
    deflated: bool
    compressed_size: int
    size: int


class ZipContainer:
    """Read the files of a zip in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stamp = _stamp(path.stat())
            with opened_zip(path) as archive:
                infos = {_slashed(i.filename): i for i in archive.infolist()}
        except (OSError, zipfile.BadZipFile) as error:
            raise ProductError(_why_no_zip(path, error)) from error
        infos = {name: i for name, i in infos.items() if not name.endswith("/") and not name.startswith("__MACOSX/")}
        prefix = _product_prefix(path, list(infos))
        self.root_name = prefix.rstrip("/").rpartition("/")[2] or path.name
        self._members = {name[len(prefix) :]: _member(path, i) for name, i in infos.items() if name.startswith(prefix)}
        self.sizes: Mapping[str, int] = {name: member.size for name, member in self._members.items()}
        self._inflated: dict[str, _Checkpoints] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_inflated", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _inflated={}, _lock=threading.Lock())

    def read(self, name: str) -> bytes:
        """Return the whole content of a member; its checksum is verified."""
        try:
            with _opened(self.path, self._stamp, self.where(name)), opened_zip(self.path) as archive:
                return read_member(archive, self._members[name].full_name)
        except (OSError, zipfile.BadZipFile) as error:
            raise ProductError(f"{self.where(name)}: damaged in the archive ({error}). Fetch the zip again.") from error

    @contextmanager
    def reader(self, name: str) -> Iterator[ByteReader]:
        """Open a member for random access."""
        member = self._members[name]
        where = self.where(name)
        with _opened(self.path, self._stamp, where) as handle:
            start = _data_offset(handle, member, where)
            if member.deflated:
                with self._lock:
                    checkpoints = self._inflated.setdefault(name, _Checkpoints(start))
                yield _InflatingReader(handle, checkpoints, start + member.compressed_size, where)
            else:
                yield _PlainReader(handle, start, where)

    def where(self, name: str) -> str:
        """Return the archive and the member inside it."""
        return f"{self.path}!{name}"

    def gdal_name(self, name: str) -> str:
        """Return the name under which GDAL opens a member."""
        # braces keep GDAL from guessing where the archive's name ends
        return f"/vsizip/{{{self.path.resolve()}}}/{self._members[name].full_name}"


def _slashed(name: str) -> str:
    """Return a member's name with the separator that the ZIP format prescribes; some writers on Windows use another."""
    return name.replace("\\", "/")


def _why_no_zip(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and not path.is_file():
        return f"{path}: cannot be read ({error})"
    size = path.stat().st_size
    if size == 0:
        return f"{path}: the file is empty (0 bytes); fetch it again"
    with path.open("rb") as handle:
        begins_as_zip = handle.read(2) == b"PK"
    if begins_as_zip:
        return f"{path}: an incomplete zip ({size} bytes, its directory at the end is missing); fetch it again"
    return f"{path}: not a zip archive, whatever its name says; give a SAFE folder, its zip, or a burst folder"


def _member(path: Path, info: zipfile.ZipInfo) -> _Member:
    if info.flag_bits & _FLAG_ENCRYPTED:
        raise ProductError(f"{path}!{info.filename}: the archive is encrypted. Unpack it first.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ProductError(
            f"{path}!{info.filename}: compression method {info.compress_type} cannot be read in place. Unpack the zip."
        )
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return _Member(info.filename, info.header_offset, deflated, info.compress_size, info.file_size)


def _product_prefix(path: Path, names: list[str]) -> str:
    """Return the folder inside the archive that holds the product, with its slash, or nothing."""
    roots = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2].lower() == "manifest.safe"}
    if not roots:
        folders = {name.partition("/")[0] for name in names if "/" in name}
        roots = {f for f in folders if f.upper().endswith(".SAFE")}
        if not roots and len(folders) == 1 and all("/" in name for name in names):
            roots = folders
    if len(roots) > 1:
        raise ProductError(f"{path}: holds {len(roots)} products ({', '.join(sorted(roots))}); one zip, one product")
    root = next(iter(roots), "")
    return f"{root}/" if root else ""


def _data_offset(handle: IO[bytes], member: _Member, where: str) -> int:
    """Return the offset of a member's data: its local header may be longer than the directory says."""
    handle.seek(member.header_offset)
    header = handle.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise ProductError(f"{where}: damaged in the archive (no local header). Fetch the zip again.")
    name_length = int.from_bytes(header[26:28], "little")
    extra_length = int.from_bytes(header[28:30], "little")
    return member.header_offset + _LOCAL_HEADER_BYTES + name_length + extra_length


class _PlainReader:
    def __init__(self, handle: Any, start: int, where: str) -> None:
        self._handle, self._start, self._where = handle, start, where

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._handle.seek(self._start + offset)
        done = 0
        while done < len(buffer):
            count = self._handle.readinto(buffer[done:])
            if not count:
                raise ProductError(f"{self._where}: ends at byte {offset + done}. Fetch the product again.")
            done += count

    def announce(self, offset: int, length: int) -> None:
        if hasattr(os, "posix_fadvise"):  # not on Windows and macOS
            os.posix_fadvise(self._handle.fileno(), self._start + offset, length, os.POSIX_FADV_WILLNEED)


class _Checkpoints:
    """Hold states of a decompressor, in the order of the bytes they stand before."""

    def __init__(self, start: int) -> None:
        self._lock = threading.Lock()
        self._offsets = [0]
        self._states: list[tuple[int, Any]] = [(start, zlib.decompressobj(-zlib.MAX_WBITS))]

    def before(self, offset: int) -> tuple[int, int, Any]:
        """Return output offset, input offset and a fresh copy of the last state at or before `offset`."""
        with self._lock:
            i = bisect.bisect_right(self._offsets, offset) - 1
            position, state = self._states[i]
            return self._offsets[i], position, state.copy()

    def offset_before(self, offset: int) -> int:
        with self._lock:
            return self._offsets[bisect.bisect_right(self._offsets, offset) - 1]

    def keep(self, offset: int, position: int, state: Any) -> None:
        with self._lock:
            if offset - self._offsets[-1] >= CHECKPOINT_BYTES:
                self._offsets.append(offset)
                self._states.append((position, state.copy()))


class _InflatingReader:
    def __init__(self, handle: Any, checkpoints: _Checkpoints, stop: int, where: str) -> None:
        self._handle, self._checkpoints, self._stop, self._where = handle, checkpoints, stop, where
        self._offset, self._position, self._state = checkpoints.before(0)

    def announce(self, offset: int, length: int) -> None:
        """Announce that some bytes will be read soon: the disk fetches them meanwhile, where the system can."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if offset < self._offset or self._checkpoints.offset_before(offset) > self._offset:
            self._offset, self._position, self._state = self._checkpoints.before(offset)
        while self._offset < offset:
            self._inflate(min(_OUTPUT_CHUNK, offset - self._offset))
        done = 0
        while done < len(buffer):
            data = self._inflate(min(_OUTPUT_CHUNK, len(buffer) - done))
            buffer[done : done + len(data)] = data
            done += len(data)

    def _inflate(self, limit: int) -> bytes:
        """Return up to `limit` more bytes, at least one."""
        while True:
            self._handle.seek(self._position)
            chunk = self._handle.read(min(_INPUT_CHUNK, self._stop - self._position))
            try:
                data: bytes = self._state.decompress(chunk, limit)
            except zlib.error as error:
                raise ProductError(
                    f"{self._where}: damaged in the archive after byte {self._offset} ({error}). Fetch the zip again."
                ) from error
            self._position += len(chunk) - len(self._state.unconsumed_tail)
            self._offset += len(data)
            if data:
                self._checkpoints.keep(self._offset, self._position, self._state)
                return data
            if not chunk or self._state.eof:
                raise ProductError(f"{self._where}: ends at byte {self._offset}. Fetch the zip again.")
