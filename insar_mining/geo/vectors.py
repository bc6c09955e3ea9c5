"""Vector files as they are: geometries, attributes and the CRS, nothing judged yet.

GDAL reads everything but CSV, whose WKT or WKB column is found by looking at its
values.  What the geometries are worth is decided in :mod:`insar_mining.geo.mines`.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pyogrio.raw
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from insar_mining.doors import (
    FEATURE_MB,
    check_columns_of,
    check_unpacked_size,
    check_vector,
    guarded,
    one_line,
    opened_zip,
)
from insar_mining.errors import MineError

logger = logging.getLogger(__name__)

ObjectArray = npt.NDArray[np.object_]

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".geoparquet")
SUFFIXES = (
    *(".gpkg", ".shp", ".geojson", ".json", ".kml", ".kmz", ".zip", ".fgb", ".gml", ".csv", ".tsv"),
    *PARQUET_SUFFIXES,
)
REMEDY = "give a shapefile, zipped shapefile, GeoPackage, GeoJSON, KML, or a CSV with a WKT or WKB column"

# QGIS writes a layer of a file like this; it lets a layer be named where only a path fits
LAYER_IN_PATH = re.compile(r"^(?P<path>.*?)\|layername=(?P<layer>[^|]+)$")
LAYERS_ARE_FOLDERS = (".kml", ".kmz")

WKT = re.compile(
    r"^\s*(SRID\s*=\s*(?P<srid>\d+)\s*;)?\s*(?P<wkt>(MULTI)?(POINT|LINESTRING|POLYGON)|GEOMETRYCOLLECTION)", re.I
)
WKB_HEX = re.compile(r"^\s*(\\x|0x)?(?P<hex>0[01][0-9a-f]{16,})\s*$", re.I)
GEOMETRY_NAMES = ("wkt", "wkb", "geometry", "geom", "the_geom", "wkb_geometry", "polygon")


@dataclass(frozen=True, eq=False)
class VectorLayer:
    """Hold features of one layer, in the order of the file.

    Attributes
    ----------
    source : str
        The file (and layer) for messages.
    stem : str
        The file's name without folder and suffix.
    geometry : ndarray of shapely geometries, shape (n,)
        None where a feature has no geometry or one that cannot be decoded.
    columns : dict of str to list
        Attributes as plain Python values, None where missing.
    crs : pyproj.CRS or None
        None when the file does not say.
    mended : dict of int to str
        Features (0-based) whose rings had to be closed while decoding, and why.
    """

    source: str
    stem: str
    geometry: ObjectArray
    columns: dict[str, list[Any]]
    crs: CRS | None
    mended: dict[int, str]


def read_vector(path: Path | str, layer: str | None = None) -> list[VectorLayer]:
    """Read every layer of a vector file that can hold polygons.

    Parameters
    ----------
    path : path-like
        Also ``file.gpkg|layername=name``, as QGIS writes it.
    layer : str, optional
        The layer's name; for a zip of several files, the file's name without suffix.

    Raises
    ------
    MineError
        Missing, empty, a folder, not a vector file, without features, or with several
        layers to choose from.
    """
    in_path = LAYER_IN_PATH.match(str(path))
    if in_path and not Path(path).exists():
        path, layer = in_path["path"], layer or in_path["layer"]
    path = Path(path)
    _check_file(path)
    layers = _read_any(path, str(path), path.stem, layer)
    if not any(len(found.geometry) for found in layers):
        raise MineError(f"{path}: holds no feature. Draw at least one polygon in it, or choose another file.")
    return layers


def _check_file(path: Path) -> None:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        advice = f"give one of its files: {_listed(inside)}" if inside else f"it holds no vector file; {REMEDY}"
        raise MineError(f"{path}: is a folder; {advice}")
    if not path.exists():
        raise MineError(f"{path}: there is no such file. Check the spelling and the folder.")
    if path.stat().st_size == 0:
        raise MineError(f"{path}: the file is empty (0 bytes). Export or download it again.")


def _read_any(path: Path, source: str, stem: str, layer: str | None) -> list[VectorLayer]:
    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES:
        return [_read_csv(path, source, stem)]
    if suffix in PARQUET_SUFFIXES:
        return [_read_parquet(path, source, stem)]
    if suffix in (".zip", ".kmz"):
        with _unpacked(path, source, layer) as (inside, inner_layer):
            return _read_gdal(inside, source, stem, inner_layer)
    if "!" in str(path.resolve()):  # pyogrio takes it for the separator of an archive and its member
        with tempfile.TemporaryDirectory() as folder:
            for part in path.parent.glob(f"{_escaped(path.stem)}.*"):
                (Path(folder) / f"layer{part.suffix}").symlink_to(part.resolve())
            return _read_gdal(Path(folder) / f"layer{path.suffix}", source, stem, layer)
    return _read_gdal(path, source, stem, layer)


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# -- archives -----------------------------------------------------------------------


@contextmanager
def _unpacked(path: Path, source: str, layer: str | None) -> Iterator[tuple[Path, str | None]]:
    """Unpack the one vector file of a zip under a plain name; yield it and the layer to read inside.

    Member names of zips come in several encodings, which GDAL and Python guess
    differently: a plain name avoids that.
    """
    try:
        with opened_zip(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = [
                n for n in archive.namelist() if not n.startswith("__MACOSX/") and not Path(n).name.startswith(".")
            ]
            vectors = [n for n in names if Path(n).suffix.lower() in SUFFIXES and Path(n).suffix.lower() != ".zip"]
            member, inner = _chosen_member(vectors, source, layer)
            stem = str(Path(member).with_suffix("")).casefold()
            parts = [name for name in names if str(Path(name).with_suffix("")).casefold() == stem]
            check_unpacked_size(archive, parts, path.stat().st_size)
            for name in parts:
                with archive.open(name) as packed, _plain(folder, name).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
            yield _plain(folder, member), inner
    except (zipfile.BadZipFile, OSError) as error:
        again = "zip it again without a password" if "encrypted" in str(error) else "download or export it again"
        raise MineError(f"{source}: is not a whole zip archive ({one_line(error)}); {again}") from error


def _plain(folder: str, member: str) -> Path:
    """Return where a member is unpacked: a name that needs no encoding, with its suffix."""
    return Path(folder) / f"layer{re.sub(r'[^.a-z0-9]', '', Path(member).suffix.lower())}"


def _chosen_member(vectors: list[str], source: str, layer: str | None) -> tuple[str, str | None]:
    if not vectors:
        raise MineError(f"{source}: the archive holds no vector file; {REMEDY}")
    if len(vectors) == 1:
        is_shapefile = Path(vectors[0]).suffix.lower() == ".shp"
        return vectors[0], None if is_shapefile else layer
    named = [n for n in vectors if Path(n).stem == layer]
    if len(named) != 1:
        stems = [Path(n).stem for n in vectors]
        raise MineError(
            f"{source}: the archive holds {len(vectors)} files. Name one of them as layer: {_listed(stems)}."
        )
    return named[0], None


# -- GDAL ---------------------------------------------------------------------------


def _read_gdal(path: Path, source: str, stem: str, layer: str | None) -> list[VectorLayer]:
    if path.suffix.lower() in CSV_SUFFIXES:  # out of a zip
        return [_read_csv(path, source, stem)]
    try:
        check_vector(path)
    except ValueError as error:
        raise MineError(f"{source}: cannot be read as a vector file; {REMEDY} ({error})") from error
    path = path.absolute()  # a relative name could be taken for that of a service
    with _bounded_gdal(), guarded(MineError, source, "Export the file again."), _remarks_logged(source):
        try:
            names = _chosen_layers(path, source, layer)
            return [_read_layer(path, name, f"{source}, layer {name}" if layer else source, stem) for name in names]
        except pyogrio.errors.DataSourceError as error:
            missing = ".shx" in str(error).lower()
            advice = "put the .shx and .dbf that belong to the .shp beside it" if missing else REMEDY
            raise MineError(f"{source}: cannot be read as a vector file; {advice} (GDAL: {one_line(error)})") from error


def _chosen_layers(path: Path, source: str, layer: str | None) -> list[str]:
    """Return the names of the layers to read: the one asked for, the only one, or all folders of a KML."""
    available: dict[str, str | None] = {str(name): kind for name, kind in pyogrio.list_layers(path)}
    if layer is not None:
        if layer not in available:
            raise MineError(f"{source}: has no layer {layer!r}; it has {_listed(list(available))}")
        return [layer]
    spatial = [name for name, kind in available.items() if kind is not None]
    if not spatial:
        raise MineError(f"{source}: has no geometry, only tables; {REMEDY}")
    if len(spatial) == 1 or path.suffix.lower() in LAYERS_ARE_FOLDERS:
        return spatial
    polygonal = [name for name in spatial if "Point" not in str(available[name]) and "Line" not in str(available[name])]
    if len(polygonal) == 1:
        return polygonal
    raise MineError(
        f"{source}: has {len(spatial)} layers and only one can be meant. Choose with layer= (or append "
        f"'|layername=...' to the path): {_listed(spatial)}."
    )


def _read_layer(path: Path, name: str, source: str, stem: str) -> VectorLayer:
    try:
        meta, _, wkb, fields = pyogrio.raw.read(path, layer=name, force_2d=True)
    except (pyogrio.errors.FeatureError, pyogrio.errors.GeometryError, UnicodeDecodeError) as error:
        raise MineError(f"{source}: a feature cannot be read ({one_line(error)}). Export the file again.") from error
    if wkb is None:
        raise MineError(f"{source}: has no geometry, only a table; {REMEDY}")
    geometry, mended = _decoded(list(wkb))
    columns = {str(n): _plain_values(f) for n, f in zip(meta["fields"], fields, strict=True)}
    return VectorLayer(source, stem, geometry, columns, _crs(meta["crs"], source), mended)


def _crs(text: str | None, source: str) -> CRS | None:
    if not text:
        return None
    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise MineError(
            f"{source}: its CRS is not understood ({one_line(error)}). Set a CRS with an EPSG code."
        ) from error
    return None if crs.name.lower().startswith(("undefined", "unknown engineering")) else crs


def _decoded(wkb: list[Any]) -> tuple[ObjectArray, dict[int, str]]:
    """Decode WKB (bytes or hex); rings that are not closed are closed and reported."""
    with np.errstate(invalid="ignore"):  # a NaN among the coordinates is named later, with its feature
        geometry = np.array(shapely.from_wkb(np.array(wkb, dtype=object), on_invalid="ignore"), dtype=object, ndmin=1)
    damaged = [i for i, g in enumerate(geometry) if g is None and wkb[i] is not None]
    mended = {}
    for i in damaged:
        with np.errstate(invalid="ignore"):
            geometry[i] = shapely.from_wkb(wkb[i], on_invalid="fix")
        if geometry[i] is not None:
            mended[i] = "a ring was not closed"
    return geometry, mended


def _plain_values(values: npt.NDArray[Any]) -> list[Any]:
    """Turn a column into Python values, with None for NaN and NaT."""
    plain = [v.tolist() if isinstance(v, np.ndarray) else v for v in values.tolist()]
    return [None if v is None or (isinstance(v, float) and v != v) or v is pd.NaT else v for v in plain]


@contextmanager
def _remarks_logged(source: str) -> Iterator[None]:
    """Log GDAL's remarks on files and features; what matters of them is judged again, with the feature named."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for remark in caught:
        logger.info("%s: %s", source, one_line(remark.message))


@contextmanager
def _bounded_gdal() -> Iterator[None]:
    """Keep GDAL from fetching schemas and from features that memory cannot hold."""
    wanted = {"GML_DOWNLOAD_WFS_SCHEMA": "NO", "OGR_GEOJSON_MAX_OBJ_SIZE": str(FEATURE_MB)}
    before = {name: pyogrio.get_gdal_config_option(name) for name in wanted}
    pyogrio.set_gdal_config_options(wanted)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


# -- GeoParquet ---------------------------------------------------------------------


def _read_parquet(path: Path, source: str, stem: str) -> VectorLayer:
    """Read a GeoParquet file; GDAL's own driver is not in the wheels."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MineError(
            f"{source}: GeoParquet needs pyarrow. "
            f"Install it (pip install 'insar-mining[parquet]'), or give a GeoPackage."
        )
    import geopandas

    try:
        table = geopandas.read_parquet(path)
    except (ValueError, KeyError, OSError) as error:
        raise MineError(f"{source}: cannot be read as GeoParquet ({one_line(error)}). Export it again.") from error
    name = table.geometry.name
    columns = {
        str(column): _plain_values(np.asarray(table[column], dtype=object))
        for column in table.columns
        if column != name
    }
    crs = None if table.crs is None else CRS.from_user_input(table.crs)
    return VectorLayer(source, stem, np.asarray(table.geometry.to_numpy(), dtype=object), columns, crs, {})


# -- CSV ----------------------------------------------------------------------------


def _read_csv(path: Path, source: str, stem: str) -> VectorLayer:
    table = _table(path, source)
    column, is_wkt = _geometry_column(table, source)
    values = table[column].tolist()
    geometry, mended, srids = _from_wkt(values) if is_wkt else _from_hex(values)
    if len(srids) > 1:
        raise MineError(f"{source}: mixes the SRIDs {sorted(srids)}. Write all geometries in one CRS.")
    # a CSV without SRID is longitude and latitude by convention, as GeoJSON is by RFC 7946
    try:
        crs = CRS.from_epsg(srids.pop() if srids else 4326)
    except CRSError as error:
        raise MineError(f"{source}: its SRID is not an EPSG code ({one_line(error)}). Write EPSG:4326.") from error
    columns: dict[str, list[Any]] = {
        str(name): [v if v != "" else None for v in table[name].tolist()] for name in table.columns if name != column
    }
    return VectorLayer(source, stem, geometry, columns, crs, mended)


def _table(path: Path, source: str) -> pd.DataFrame:
    """Read a delimited text as strings; the separator is the one that occurs most in the header."""
    try:
        check_columns_of(path)
        with path.open(encoding="utf-8-sig") as handle:
            header = handle.readline()
        separator = max(",;\t|", key=header.count)
        with warnings.catch_warnings():
            # a row with more values than the header has would lose the end of an unquoted polygon
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except UnicodeDecodeError as error:
        raise MineError(f"{source}: is not UTF-8 text ({error.reason}). Save it as 'CSV UTF-8'.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        raise MineError(
            f"{source}: cannot be read as a table ({one_line(error)}). Quote geometries that hold the separator."
        ) from error
    return table.fillna("")


def _geometry_column(table: pd.DataFrame, source: str) -> tuple[str, bool]:
    """Return the column whose first value looks like WKT or hex WKB, and whether it is WKT."""
    names = sorted(table.columns, key=lambda name: str(name).casefold() not in GEOMETRY_NAMES)
    for name in names:
        filled = [v for v in table[name].tolist() if v.strip()]
        if filled and WKT.match(filled[0]):
            return name, True
        if filled and WKB_HEX.match(filled[0]):
            return name, False
    if table.empty:
        raise MineError(f"{source}: holds no feature, only the columns {_listed([str(c) for c in table.columns])}")
    raise MineError(
        f"{source}: no column holds polygons as WKT ('POLYGON ((...))') or hexadecimal WKB; "
        f"its columns are {_listed([str(c) for c in table.columns])}"
    )


def _from_wkt(values: list[str]) -> tuple[ObjectArray, dict[int, str], set[int]]:
    geometry = np.full(len(values), None, dtype=object)
    mended, srids = {}, set()
    for i, value in enumerate(values):
        match = WKT.match(value)
        if match is None:
            continue
        if match["srid"]:
            srids.add(int(match["srid"]))
        text = value[match.start("wkt") :]
        with np.errstate(invalid="ignore", over="ignore"):
            geometry[i] = shapely.from_wkt(text, on_invalid="ignore")
        if geometry[i] is None:
            geometry[i] = shapely.from_wkt(text, on_invalid="fix")
            if geometry[i] is not None:
                mended[i] = "a ring was not closed"
    return geometry, mended, srids


def _from_hex(values: list[str]) -> tuple[ObjectArray, dict[int, str], set[int]]:
    matches = [WKB_HEX.match(v) for v in values]
    geometry, mended = _decoded([m["hex"] if m else None for m in matches])
    srids = {int(s) for s in shapely.get_srid(geometry) if s > 0}
    return geometry, mended, srids
