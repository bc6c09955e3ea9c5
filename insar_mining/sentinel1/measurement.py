"""Pixels of a measurement TIFF: a window of lines and samples, as complex64.

The processor writes plain strips of CInt16, one line each.  Such a file needs no
library: the lines wanted are read and converted, and nothing else is touched.  Other
TIFFs that hold complex samples (tiled, compressed) go through GDAL.
"""

from __future__ import annotations

import struct
import threading
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array
from insar_mining.doors import GEOTIFF, open_raster
from insar_mining.errors import ProductError
from insar_mining.sentinel1.container import ByteReader, Container

_BLOCK_BYTES = 1 << 20
_GDAL_LOCK = threading.Lock()

_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_STRIP_OFFSETS, _SAMPLES_PER_PIXEL, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 277, 278, 279
_TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 324, 325, 339
_TAGS = {
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _STRIP_OFFSETS, _SAMPLES_PER_PIXEL, _ROWS_PER_STRIP, _STRIP_BYTES,
    _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT,
}  # fmt: skip
_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_COMPLEX_INTEGER, _COMPLEX_FLOAT = 5, 6


@dataclass(frozen=True, eq=False)
class TiffLayout:
    """Describe where the samples of a TIFF lie.

    Attributes
    ----------
    width, height : int
        Samples per line, lines.
    component : numpy.dtype
        Type of the real and of the imaginary part in the file.
    line_offset : ndarray of int64, shape (height,), or None
        Byte where each line begins; None if only GDAL can read the file.
    """

    width: int
    height: int
    component: np.dtype[np.generic]
    line_offset: npt.NDArray[np.int64] | None


def read_layout(container: Container, name: str) -> TiffLayout:
    """Read the header of a TIFF and check that the file is long enough for its samples.

    Raises
    ------
    ProductError
        The file is missing, empty, no TIFF, truncated, or its samples are not complex.
    """
    where = container.where(name)
    size = container.sizes.get(name)
    if size is None:
        raise ProductError(f"{where}: the measurement is missing. Fetch the product again.")
    if size == 0:
        raise ProductError(f"{where}: the measurement has a length of 0 bytes. Fetch the product again.")
    with container.reader(name) as reader:
        byte_order, tags = _read_tags(reader, size, where)
    try:
        return _layout(byte_order, tags, size, where)
    except (KeyError, IndexError) as error:
        raise ProductError(f"{where}: tag {error} is missing in the TIFF. Fetch the product again.") from error


def read_window(container: Container, name: str, layout: TiffLayout, lines: slice, samples: slice) -> Complex64Array:
    """Read a window; `lines` and `samples` have a start and a stop inside the image.

    Returns
    -------
    ndarray of complex64, shape (lines, samples)
    """
    if layout.line_offset is None:
        return _read_with_gdal(container, name, lines, samples)
    count, width = lines.stop - lines.start, samples.stop - samples.start
    out = np.empty((count, width), dtype=np.complex64)
    if out.size == 0:
        return out
    item = 2 * layout.component.itemsize
    row = layout.width * item
    offsets = layout.line_offset[lines]
    # most of the width is quicker in one piece than line by line
    whole = 2 * width >= layout.width
    first, last = (0, layout.width) if whole else (samples.start, samples.stop)
    block = max(1, _BLOCK_BYTES // ((last - first) * item))
    buffer = bytearray(min(block, count) * (last - first) * item)
    raw = np.frombuffer(buffer, dtype=layout.component).reshape(-1, (last - first) * 2)
    view, line = memoryview(buffer), (last - first) * item
    parts = out.view(np.float32)
    keep = slice(2 * (samples.start - first), 2 * (samples.stop - first))
    with container.reader(name) as reader:
        for top in range(0, count, block):
            some = offsets[top : top + block]
            rows = raw[: some.size]
            if whole and (np.diff(some) == row).all():
                reader.read_into(int(some[0]), view[: some.size * line])
            else:
                for i, offset in enumerate(some):
                    reader.read_into(int(offset) + first * item, view[i * line : (i + 1) * line])
            parts[top : top + some.size] = rows[:, keep]
    return out


def announce_window(container: Container, name: str, layout: TiffLayout, lines: slice, samples: slice) -> None:
    """Announce that a window will be read soon, so that the disk works while something else is computed."""
    if layout.line_offset is None:
        return
    item = 2 * layout.component.itemsize
    width = (samples.stop - samples.start) * item
    with container.reader(name) as reader:
        for offset in layout.line_offset[lines]:
            reader.announce(int(offset) + samples.start * item, width)


def _read_tags(reader: ByteReader, size: int, where: str) -> tuple[str, dict[int, npt.NDArray[np.int64]]]:
    """Read the tags of the first image of a classic or a big TIFF."""

    def take(offset: int, count: int) -> bytes:
        if offset + count > size:
            raise ProductError(
                f"{where}: truncated, {size} bytes where its header needs {offset + count}. Fetch the product again."
            )
        buffer = bytearray(count)
        reader.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    head = take(0, min(16, size))
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    magic = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) >= 8 else None
    if order is None or magic not in (42, 43) or len(head) < 16:
        raise ProductError(f"{where}: not a TIFF (it begins with {head[:8]!r}). Fetch the product again.")
    big = magic == 43
    directory = struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]
    entries = struct.unpack(f"{order}Q" if big else f"{order}H", take(directory, 8 if big else 2))[0]
    entry_bytes, inline, word = (20, 8, "Q") if big else (12, 4, "I")
    table = take(directory + (8 if big else 2), entries * entry_bytes)
    tags: dict[int, npt.NDArray[np.int64]] = {}
    for i in range(entries):
        entry = table[i * entry_bytes : (i + 1) * entry_bytes]
        tag, kind = struct.unpack(f"{order}HH", entry[:4])
        if tag not in _TAGS or kind not in _TYPES:
            continue
        (count,) = struct.unpack(f"{order}{word}", entry[4 : 4 + inline])
        dtype = np.dtype(order + _TYPES[kind])
        data = entry[4 + inline :][: count * dtype.itemsize]
        if count * dtype.itemsize > inline:
            data = take(struct.unpack(f"{order}{word}", entry[4 + inline :])[0], count * dtype.itemsize)
        tags[tag] = np.frombuffer(data, dtype=dtype).astype(np.int64)
    return order, tags


def _layout(order: str, tags: dict[int, npt.NDArray[np.int64]], size: int, where: str) -> TiffLayout:
    width, height, bits = (int(tags[tag][0]) for tag in (_WIDTH, _HEIGHT, _BITS))
    kind, bands, compression = (
        int(tags[tag][0]) if tag in tags else 1 for tag in (_SAMPLE_FORMAT, _SAMPLES_PER_PIXEL, _COMPRESSION)
    )
    if bands != 1 or (kind, bits) not in ((_COMPLEX_INTEGER, 32), (_COMPLEX_FLOAT, 64)):
        raise ProductError(
            f"{where}: holds {bands} band(s) of {bits} bits (sample format {kind}), expected one band of complex "
            "samples (CInt16 or CFloat32): this is not the measurement of an SLC product"
        )
    component = np.dtype(order + ("i2" if kind == _COMPLEX_INTEGER else "f4"))
    tiled = _TILE_OFFSETS in tags
    offsets, lengths = tags[_TILE_OFFSETS if tiled else _STRIP_OFFSETS], tags[_TILE_BYTES if tiled else _STRIP_BYTES]
    rows = min(int(tags[_ROWS_PER_STRIP][0]), height) if _ROWS_PER_STRIP in tags else height
    strips = -(-height // max(rows, 1))
    if min(width, height, rows) < 1 or offsets.size != lengths.size or (not tiled and offsets.size != strips):
        raise ProductError(
            f"{where}: its header is damaged ({height} lines of {width} samples in {offsets.size} pieces). Fetch the "
            "product again."
        )
    needed = int((offsets + lengths).max())
    if needed > size:
        raise ProductError(
            f"{where}: truncated, {size} bytes where its samples need {needed}. Fetch the product again."
        )
    if tiled or compression != 1:
        return TiffLayout(width, height, component, None)
    row_bytes = width * 2 * component.itemsize
    in_last = height - (strips - 1) * rows
    if int(lengths[-1]) < in_last * row_bytes or (lengths[:-1] < rows * row_bytes).any():
        raise ProductError(f"{where}: its strips are too short for {width} samples a line. Fetch the product again.")
    line = np.arange(height)
    return TiffLayout(width, height, component, offsets[line // rows] + (line % rows) * row_bytes)


def _read_with_gdal(container: Container, name: str, lines: slice, samples: slice) -> Complex64Array:
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.windows import Window

    window = Window(samples.start, lines.start, samples.stop - samples.start, lines.stop - lines.start)
    if window.width == 0 or window.height == 0:
        return np.empty((int(window.height), int(window.width)), dtype=np.complex64)
    try:
        # filters of warnings belong to the process: one thread at a time may change them
        with _GDAL_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = open_raster(container.gdal_name(name), GEOTIFF, inside=True)
        with dataset:
            return np.asarray(dataset.read(1, window=window), dtype=np.complex64)
    except RasterioError as error:
        raise ProductError(f"{container.where(name)}: cannot be read ({error}). Fetch the product again.") from error
