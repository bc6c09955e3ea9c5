"""What comes from outside is opened here: only the formats that are meant, within bounds, every fault named.

Whoever reads an archive, XML, JSON or YAML handles the errors of that library; these functions raise nothing else
(a fault of another kind, a value out of bounds and a bomb included), so that one handler names the file.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

from insar_mining.errors import InsarMiningError

if TYPE_CHECKING:
    import rasterio

MIB = 2**20

# GDAL keeps blocks of rasters in a twentieth of the machine's memory unless it is told otherwise
os.environ.setdefault("GDAL_CACHEMAX", "256")

# a joined metadata file of an extracted burst is the largest XML, about 20 MB with 0.7 million tags
DOCTYPE = re.compile(rb"<\0?!\0?D\0?O\0?C\0?T\0?Y\0?P\0?E")  # also of two bytes a letter
XML_BYTES, XML_TAGS, XML_ATTRIBUTES = 64 * MIB, 1_500_000, 1_500_000
MEMBER_BYTES = XML_BYTES
# of an archive of vectors: small files may be unpacked in full, larger ones as far as such files are compressed;
# text takes some thirty times as much memory as it has bytes, binary files little more than they have
TEXT_BYTES, TEXT_RATIO = 16 * MIB, 10
BINARY_BYTES, BINARY_RATIO = 128 * MIB, 50
BINARY_SUFFIXES = (".shp", ".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".gpkg", ".fgb", ".sqlite", ".xml")
# of tables that a user writes
TABLE_BYTES, COLUMNS, COLUMN_ROWS = 256 * MIB, 2_000, 50
QUOTED = re.compile(r'"[^"]*"')
# of one block of a raster, which GDAL holds in memory as a whole
BLOCK_BYTES = 256 * MIB
SIDECAR_BYTES = 16 * MIB

GEOTIFF = ("GTiff",)
HEIGHT_FORMATS = ("GTiff", "SRTMHGT", "HFA", "DTED", "AAIGrid", "ENVI", "EHdr", "USGSDEM", "VRT")
LAYER_FORMATS = ("GTiff", "JP2OpenJPEG", "HFA", "AAIGrid", "ENVI")

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# texts by which drivers take a file of any name for a description of other sources
DESCRIPTIONS = re.compile(rb"<(?:OGR\w*(?:DataSource|Layer)|VRT\w*|GDAL_WMS|WMS_\w+|WCS_\w+|wfs|WFS\w*)\b")
HEAD_BYTES = 64 * 1024


@contextmanager
def guarded(error: type[InsarMiningError], source: object, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads a file into a named error.

    Parameters
    ----------
    error : type
        What to raise.
    source : object
        The file, as the message names it.
    remedy : str
        What the reader of the message can do, a sentence.
    """
    try:
        yield
    except (InsarMiningError, MemoryError):
        raise
    except Exception as fault:
        if isinstance(fault.__cause__, KeyboardInterrupt):  # an interrupt that compiled code took for its own fault
            raise
        raise error(f"{source}: cannot be read ({one_line(fault) or type(fault).__name__}). {remedy}") from fault


def one_line(error: object) -> str:
    """Return a message of a library in one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


# -- XML, JSON, archives ----------------------------------------------------------------


def parse_xml(data: bytes | str) -> ElementTree.Element:
    """Parse an XML document without a document type, within bounds of size.

    Raises
    ------
    xml.etree.ElementTree.ParseError
        Not well-formed, too large, or with a document type, which could define entities.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > XML_BYTES:
        raise ElementTree.ParseError(f"{len(data):,} bytes (limit {XML_BYTES:,})")
    tags, attributes = data.count(b"<"), data.count(b"=")
    if tags > XML_TAGS or attributes > XML_ATTRIBUTES:
        raise ElementTree.ParseError(f"{tags:,} tags and {attributes:,} attributes (limit {XML_TAGS:,} each)")
    if DOCTYPE.search(data):
        raise ElementTree.ParseError("it has a document type, which no file of this kind has")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError:
        raise
    except (ValueError, LookupError, RecursionError, OverflowError) as error:
        raise ElementTree.ParseError(one_line(error)) from error


def parse_xml_file(path: Path) -> ElementTree.Element:
    """Parse an XML file; errors as of `parse_xml`, and OSError."""
    if path.stat().st_size > XML_BYTES:
        raise ElementTree.ParseError(f"{path.stat().st_size:,} bytes (limit {XML_BYTES:,})")
    return parse_xml(path.read_bytes())


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; whatever is wrong is a ValueError, deep nesting and bytes that are no text included."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; whatever the library raises while it is open is a BadZipFile or an OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, InsarMiningError, zipfile.BadZipFile, MemoryError):
        raise
    except Exception as error:  # struct.error, zlib.error, EOFError, NotImplementedError, RuntimeError, ...
        raise zipfile.BadZipFile(one_line(error) or type(error).__name__) from error


def read_member(archive: zipfile.ZipFile, name: str, limit: int = MEMBER_BYTES) -> bytes:
    """Return the content of a member of a zip.

    Raises
    ------
    zipfile.BadZipFile
        It is larger than `limit` bytes, damaged or encrypted.
    """
    size = archive.getinfo(name).file_size
    if size > limit:
        raise zipfile.BadZipFile(f"{name} has {size:,} bytes unpacked (limit {limit:,})")
    with archive.open(name) as member:
        return member.read(limit)


def check_unpacked_size(archive: zipfile.ZipFile, names: Sequence[str], packed_bytes: int) -> None:
    """Refuse an archive whose members are out of proportion to it.

    Raises
    ------
    zipfile.BadZipFile
    """
    size = sum(archive.getinfo(name).file_size for name in names)
    binary = all(name.lower().endswith(BINARY_SUFFIXES) for name in names)
    least, ratio = (BINARY_BYTES, BINARY_RATIO) if binary else (TEXT_BYTES, TEXT_RATIO)
    limit = max(least, ratio * packed_bytes)
    if size > limit:
        raise zipfile.BadZipFile(
            f"{size:,} bytes unpacked, limit {limit:,} for an archive of {packed_bytes:,}: unpack it, and give the file"
        )


def check_columns(text: str) -> None:
    """Refuse a table with far more columns than any: each takes memory of its own, even if it is empty.

    Raises
    ------
    ValueError
        The header, or one of the first rows outside of quotes, has more than 2,000 columns.
    """
    for line in itertools.islice(re.finditer(r".*\n?", text), COLUMN_ROWS):
        bare = QUOTED.sub("", line[0])
        count = 1 + max(bare.count(separator) for separator in ",;\t|")
        if count > COLUMNS:
            raise ValueError(f"a row has {count:,} columns (limit {COLUMNS:,})")


def check_columns_of(path: Path) -> None:
    """Refuse a table as of `check_columns`, and one that is longer than any of a user's; errors also OSError."""
    size = path.stat().st_size
    if size > TABLE_BYTES:
        raise ValueError(f"{size:,} bytes (limit {TABLE_BYTES:,})")
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        check_columns("".join(itertools.islice(handle, COLUMN_ROWS)))


# -- YAML -------------------------------------------------------------------------------

YAML_BYTES, YAML_NODES, YAML_DEPTH = MIB, 50_000, 32
# type, first characters and form of values that are not text (https://yaml.org/spec/1.2.2, core schema)
YAML_CORE = (
    ("null", ["~", "n", "N", ""], r"~|null|Null|NULL|"),
    ("bool", [*"tTfF"], r"true|True|TRUE|false|False|FALSE"),
    ("int", [*"-+0123456789"], r"[-+]?(?:0|[1-9][0-9]*)"),
    ("float", [*"-+.0123456789"], r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"),
    ("float", [*"-+."], r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
)


def parse_yaml(text: str) -> Any:
    """Parse YAML as its version 1.2 has it: no sexagesimal numbers, no ``yes`` for true, dates left as text.

    Raises
    ------
    yaml.YAMLError
        Not valid, a key given twice, or larger than any options file: too long, too deep, or with aliases that
        stand for more than 50,000 values.
    """
    import yaml

    if len(text) > YAML_BYTES:
        raise yaml.YAMLError(f"{len(text):,} characters (limit {YAML_BYTES:,})")
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if number > 2 * YAML_NODES:
            raise yaml.YAMLError(f"more than {YAML_NODES:,} values")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > YAML_DEPTH:
            raise yaml.YAMLError(f"nested more than {YAML_DEPTH} deep")
    loader = _yaml_loader()(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        count = _nodes(node, {}, ())
        if count > YAML_NODES:
            raise yaml.YAMLError(f"{count:,} values with its aliases written out (limit {YAML_NODES:,})")
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except Exception as error:  # a tag on a value that is not of its kind: ValueError, TypeError, AttributeError, ...
        raise yaml.YAMLError(one_line(error)) from error
    finally:
        loader.dispose()


def _nodes(node: Any, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Count the values of a tree, those behind aliases as often as they are named."""
    import yaml

    if id(node) in above:
        raise yaml.YAMLError("an alias that holds itself")
    if id(node) not in known:
        parts: list[Any] = []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        known[id(node)] = 1 + sum(_nodes(part, known, (*above, id(node))) for part in parts)
    return known[id(node)]


@functools.cache
def _yaml_loader() -> Any:
    """Make the loader: numbers and truth values of YAML 1.2's core schema, keys once."""
    import yaml

    class Loader(yaml.SafeLoader):
        def mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
            """Refuse a key given twice instead of keeping the last."""
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
            return self.construct_mapping(node, deep=True)

    Loader.yaml_implicit_resolvers = {}
    for tag, first, pattern in YAML_CORE:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, Loader.mapping)
    return Loader


# -- rasters ----------------------------------------------------------------------------


def open_raster(path: Path | str, formats: Sequence[str], *, inside: bool = False) -> rasterio.io.DatasetReader:
    """Open a raster of one of some formats, and of no other, whatever its name.

    Parameters
    ----------
    path : path
    formats : sequence of str
        Names of GDAL's drivers.  A virtual raster (VRT) must be called so, and name plain files beside it.
    inside : bool
        `path` is a member of an archive, in GDAL's notation.

    Raises
    ------
    rasterio.errors.RasterioIOError
        Missing, of another format, damaged, with blocks that memory cannot hold, or with side files that lead
        elsewhere.
    """
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    if not inside:
        path = Path(path)
        if not path.is_file():
            raise RasterioIOError(f"{path}: no such file")
        if path.suffix.lower() == ".vrt" and "VRT" in formats:
            _check_virtual(path, formats)
        formats = [name for name in formats if name != "VRT" or path.suffix.lower() == ".vrt"]
        _check_side_files(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # whoever needs a place on the map checks for one
        dataset = _first_that_opens(path, formats)
    largest = max((rows * columns for rows, columns in dataset.block_shapes), default=0)
    size = largest * max((_bytes_of(name) for name in dataset.dtypes), default=0)
    if size > BLOCK_BYTES:
        dataset.close()
        raise RasterioIOError(f"a block of {size:,} bytes (limit {BLOCK_BYTES:,}). Write it in tiles.")
    return cast("rasterio.io.DatasetReader", dataset)


def _first_that_opens(path: Path | str, formats: Sequence[str]) -> rasterio.io.DatasetReader:
    """Open a raster by the first driver that takes it; the error is that of the first driver."""
    import rasterio
    from rasterio.errors import RasterioIOError

    first: RasterioIOError | None = None
    for name in formats:
        try:
            return rasterio.open(path, driver=name)
        except RasterioIOError as error:
            first = first or error
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # a CRS, a name or a tag that is none
            first = first or RasterioIOError(one_line(error) or type(error).__name__)
    raise first or RasterioIOError("no format is allowed")


def _bytes_of(dtype: str) -> int:
    import numpy as np

    return {"complex_int16": 4}.get(dtype) or np.dtype(dtype).itemsize


def _check_side_files(path: Path) -> None:
    """Refuse files beside a raster by which GDAL would be led to others."""
    from rasterio.errors import RasterioIOError

    for suffix in (".ovr", ".msk", ".msk.ovr"):
        side = path.with_name(path.name + suffix)
        if side.is_file() and not _head(side).startswith((*TIFF_STARTS, b"EHFA_HEADER_TAG")):
            raise RasterioIOError(f"{side.name} beside it is no raster. Move it away.")
    side = path.with_name(path.name + ".aux.xml")
    if side.is_file() and (side.stat().st_size > SIDECAR_BYTES or b"OVERVIEW_FILE" in side.read_bytes()):
        raise RasterioIOError(f"{side.name} beside it is too large, or leads to another file. Move it away.")


def _check_virtual(path: Path, formats: Sequence[str]) -> None:
    """Refuse a virtual raster that is more than a mosaic of plain files of these formats."""
    from rasterio.errors import RasterioIOError

    try:
        root = parse_xml_file(path)
    except (ElementTree.ParseError, OSError) as error:
        raise RasterioIOError(f"not a virtual raster ({one_line(error)})") from error
    if root.tag != "VRTDataset" or root.get("subClass") or root.findall(".//*[@subClass='VRTRawRasterBand']"):
        raise RasterioIOError("a virtual raster that is no mosaic of files. Write it as a GeoTIFF (gdal_translate).")
    for name in {*root.iterfind(".//SourceFilename"), *root.iterfind(".//SourceDataset")}:
        text = (name.text or "").strip()
        source = path.parent / text if name.get("relativeToVRT") == "1" else Path(text)
        if "://" in text or text.startswith("/vsi") or not source.is_file():
            raise RasterioIOError(f"names {text!r}, which is no file. Write it as a GeoTIFF (gdal_translate).")
        if DESCRIPTIONS.search(_head(source)):
            raise RasterioIOError(f"names {text!r}, which describes other sources. Write it as a GeoTIFF.")
        _first_that_opens(source, [form for form in formats if form != "VRT"]).close()


# -- vectors ----------------------------------------------------------------------------

# what a file of a suffix begins with (after white space, for text)
VECTOR_STARTS: dict[str, tuple[bytes, ...]] = {
    ".geojson": (b"{", b"["),
    ".json": (b"{", b"["),
    ".gpkg": (b"SQLite format 3\0",),
    ".sqlite": (b"SQLite format 3\0",),
    ".shp": (b"\x00\x00\x27\x0a",),
    ".fgb": (b"fgb",),
    ".kml": (b"<",),
    ".gml": (b"<",),
    ".tab": (b"!",),
    ".mif": (b"Version", b"VERSION", b"version"),
}
XML_ROOTS = {".kml": b"kml", ".gml": None}
# the first element after declarations and comments
ROOT = re.compile(rb"(?>\s*<(?:\?[^>]*|!--(?s:.*?)--)>)*+\s*<([\w:.-]+)")
# a feature of more text than this is no outline of a mine: parsed, it takes some fifty times as much
FEATURE_MB = 8
# GDAL holds a GeoJSON that is no collection of features in memory as a whole, some 330 bytes for each bracket
JSON_BRACKETS = 2_000_000
COLLECTION = re.compile(rb'"type"\s*:\s*"FeatureCollection"')


def check_vector(path: Path) -> None:
    """Refuse a vector file that is not of the format that its name says, or that only describes other sources.

    GDAL takes a file for what its content says: a ``.geojson`` may be the description of a service or of other
    files, which would then be read.

    Raises
    ------
    ValueError
        Says what is wrong.
    """
    suffix = path.suffix.lower()
    head = _head(path)
    starts = VECTOR_STARTS.get(suffix)
    if starts is None:
        starts = tuple(start for known in VECTOR_STARTS.values() for start in known if start != b"<")
    if DESCRIPTIONS.search(head):
        raise ValueError("it describes other sources and holds no feature itself")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not (head.startswith(starts) or text.startswith(starts)):
        raise ValueError(f"it begins with {head[:16]!r}, which is no {suffix.removeprefix('.') or 'vector file'}")
    if suffix in (".geojson", ".json") and not COLLECTION.search(head):
        brackets = path.read_bytes().count(b"[") if path.stat().st_size > JSON_BRACKETS else 0
        if brackets > JSON_BRACKETS:
            raise ValueError(f"it is no collection of features, and holds {brackets:,} lists (limit {JSON_BRACKETS:,})")
    if suffix in XML_ROOTS:
        if path.stat().st_size > XML_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes (limit {XML_BYTES:,})")
        root = ROOT.match(text)
        if DOCTYPE.search(head) or root is None or XML_ROOTS[suffix] not in (None, root[1].rpartition(b":")[2]):
            raise ValueError("it has a document type, or another root than files of this kind")


def _head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(HEAD_BYTES)
