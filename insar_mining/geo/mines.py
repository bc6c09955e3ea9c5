"""Mines: validated polygons in longitude and latitude, from any vector file.

Everything that can be wrong with a polygon is found here, at the door, and named
with the file, the feature and the remedy.  Behind it a mine is exactly one thing:
valid, two-dimensional, non-empty, in EPSG:4326 (longitude first), exterior rings
anticlockwise; one across the antimeridian is in one piece, with longitudes above 180.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Geod
from pyproj.exceptions import CRSError
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from insar_mining.display import table_html
from insar_mining.doors import guarded
from insar_mining.errors import AssumedCrsWarning, MineError, RepairedGeometryWarning, SkippedInputWarning
from insar_mining.geo.grid import utm_epsg
from insar_mining.geo.polygons import METRES_PER_DEGREE, SWAPPED, WGS84, CheckedPolygons, check_polygons
from insar_mining.geo.vectors import VectorLayer, read_vector

UTM_LATITUDES_DEG = (-80.0, 84.0)

ID_FIELDS = ("mine_id", "id", "@id", "osm_id", "full_id", "asset_id", "tile_id", "uid", "id_mine", "fid_mine")
# of footprints of all mines (Maus et al. 2022, doi:10.1038/s41597-022-01547-4; Tang & Werner 2023,
# doi:10.1038/s43247-023-00805-6), which have no id: country, and a hash of the polygon
COUNTRY_FIELDS = ("iso3_code", "iso3", "iso_a3", "country_code", "country_name", "country")
HASH_DIGITS, HASH_DECIMALS = 8, 5
NAME_FIELDS = ("name", "mine_name", "asset_name", "site_name")
LATITUDE_FIELDS = ("latitude", "lat")
LONGITUDE_FIELDS = ("longitude", "lon", "long", "lng")

# the widest mining districts have some 1,000 km2, a small country ten times that
MOST_AREA_M2 = 2e10

_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True)
class Mine:
    """Describe one mine, or one area of interest.

    Attributes
    ----------
    id : str
        Unique within the file it came from.
    name : str
    geometry : shapely.Polygon or shapely.MultiPolygon
        EPSG:4326, longitude before latitude, valid, two-dimensional.  Across the antimeridian
        longitudes go on beyond 180.
    properties : mapping
        The attributes of the feature as plain Python values, None where missing.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> mine = Mine("pit", "Pit", box(-8.80, 31.78, -8.75, 31.82))
    >>> mine.bounds
    (-8.8, 31.78, -8.75, 31.82)
    """

    id: str
    name: str
    geometry: Polygon | MultiPolygon
    properties: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north), degrees."""
        west, south, east, north = self.geometry.bounds
        return west, south, east, north

    @property
    def utm_epsg(self) -> int:
        """EPSG code of the WGS 84 / UTM zone of the centroid (326xx north, 327xx south).

        Raises
        ------
        MineError
            The centroid lies north of 84 or south of -80 degrees, where UTM ends.
        """
        centre = self.geometry.centroid
        south, north = UTM_LATITUDES_DEG
        if not south <= centre.y <= north:
            raise MineError(
                f"mine {self.id!r}: its centre is at latitude {centre.y:.3f}, UTM goes from {south:g} to {north:g}. "
                "Name a projected CRS of that region for the map grid."
            )
        return utm_epsg(centre.x, centre.y)

    def area_m2(self) -> float:
        """Return the area on the WGS 84 ellipsoid, square metres, with geodesic edges and without holes.

        After Karney 2013, doi:10.1007/s00190-012-0578-z (pyproj.Geod).
        """
        area, _ = _GEOD.geometry_area_perimeter(self.geometry)
        return abs(float(area))

    def _repr_html_(self) -> str:
        west, south, east, north = self.bounds
        rows = {
            "id": self.id,
            "area": f"{self.area_m2() / 1e6:.3f} km2",
            "longitude": f"{west:.4f} to {east:.4f}",
            "latitude": f"{south:.4f} to {north:.4f}",
        }
        return table_html(self.name, rows)


def read_mines(
    path: Path | str, *, id_field: str | None = None, name_field: str | None = None, layer: str | None = None
) -> list[Mine]:
    """Read the mines of a vector file.

    Shapefile (also zipped), GeoPackage, GeoJSON, KML or KMZ, and a CSV (UTF-8; comma,
    semicolon, tab or bar) with a column of WKT or hexadecimal WKB; other formats as far
    as GDAL reads them.  Any CRS is brought to EPSG:4326 vertex by vertex.  GeoJSON, KML
    and CSV are WGS 84 by definition (an EWKT or EWKB SRID is honoured); another file
    without a CRS is taken as WGS 84, with a warning, if all its coordinates can be
    degrees.  Z and M are dropped, invalid rings repaired.

    Swapped axes are recognised by a latitude beyond 90 degrees; by attributes called
    latitude and longitude that agree with the polygon only when swapped; and, for a whole
    file, when at least two features and a quarter of all are beyond 90 and no other shows
    the contrary: that file came from one writer, so its other polygons are not believed.
    A swapped polygon that is none of these (Morocco in the Gulf of Guinea, say) cannot be
    told from a true one.

    Parameters
    ----------
    path : path-like
        Also ``mines.gpkg|layername=pits``, as QGIS writes it.
    id_field, name_field : str, optional
        Attributes to take id and name from.  By default a usual name (mine_id, id,
        asset_id, tile_id, uid; name, mine_name, ...) if there is one, in any case of
        letters; of several polygons with a country and no id it is the country and a hash of the polygon, which does
        not change with the order of the file; otherwise the file's name and the feature's number. The name is the id by
        default.  An id that occurs again gets ``-2``, ``-3``, ... in the
        order of the file.
    layer : str, optional
        Which layer of several.

    Returns
    -------
    list of Mine
        In the order of the file, at least one.

    Raises
    ------
    MineError
        The file is missing, empty, a folder, not a vector file, has no CRS and is not in
        degrees, or none of its features is usable (no polygon, empty, zero area, swapped
        axes, across the antimeridian, the size of a country, ...).

    Warns
    -----
    RepairedGeometryWarning
        Rings were closed or repaired, or parts that are no polygons dropped.
    SkippedInputWarning
        Some features of several cannot be used; the others are returned.
    AssumedCrsWarning
        The file has no CRS and was taken as WGS 84.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/mine.geojson"
    >>> with open(path, "w") as file:
    ...     _ = file.write('''{"type": "Feature", "properties": {"name": "Pit"}, "geometry": {"type": "Polygon",
    ...         "coordinates": [[[-8.80, 31.78], [-8.75, 31.78], [-8.75, 31.82], [-8.80, 31.82], [-8.80, 31.78]]]}}''')
    >>> (mine,) = read_mines(path)
    >>> mine.name, round(mine.area_m2() / 1e6, 2)
    ('Pit', 21.0)
    """
    mines: list[Mine] = []
    skipped: list[str] = []
    mended: list[str] = []
    taken: set[str] = set()
    total = 0
    with np.errstate(invalid="ignore", over="ignore"):  # such coordinates are named below, with their feature
        layers = read_vector(path, layer)
    several = sum(len(found.geometry) for found in layers) > 1
    for found in layers:
        # coordinates that are no numbers, or too large, are named with their feature
        with (
            np.errstate(invalid="ignore", over="ignore"),
            guarded(MineError, found.source, "Repair its polygons, or export the file again."),
        ):
            checked = check_polygons(found.geometry, _crs_of(found), found.mended, found.source)
        _check_swapped_attributes(checked, found.columns)
        _check_swapped_file(checked, found.source)
        _refuse_countries(checked)
        ids, names = _ids_and_names(found, checked, id_field, name_field, several, total, taken)
        rows = list(zip(*found.columns.values(), strict=True)) or [()] * len(ids)
        for i, problem in enumerate(checked.problem):
            label = f"feature {total + i + 1}" + (f" (id {ids[i]!r})" if several else "")
            if problem is not None:
                skipped.append(f"{label}: {problem}")
                continue
            if checked.mended[i] is not None:
                mended.append(f"{label}: {checked.mended[i]}")
            mines.append(Mine(ids[i], names[i], checked.geometry[i], dict(zip(found.columns, rows[i], strict=True))))
        total += len(ids)
    if not mines:
        raise MineError(f"{path}: {'none of its features is usable: ' if several else ''}{_some(skipped)}")
    if skipped:
        message = f"{path}: {len(skipped)} of {total} features left out: {_some(skipped)}"
        warnings.warn(message, SkippedInputWarning, stacklevel=2)
    if mended:
        message = f"{path}: {len(mended)} of {total} polygons repaired, look at them: {_some(mended)}"
        warnings.warn(message, RepairedGeometryWarning, stacklevel=2)
    return mines


def dissolved(mines: Sequence[Mine], *, id: str, name: str | None = None) -> Mine:
    """Unite mines to one: the pit, dump and ponds of a file.

    Parameters
    ----------
    mines : sequence of Mine
        At least one. Overlaps count once.
    id, name : str
        The name is the id by default.

    Raises
    ------
    MineError
        There is none.
    """
    if not mines:
        raise MineError(f"mine {id!r}: there is no polygon to unite. Give at least one.")
    union = shapely.union_all([mine.geometry for mine in mines])
    return mine_from_geometry(union, id=id, name=name, properties={"parts": [mine.id for mine in mines]})


def mine_from_geometry(
    geometry: BaseGeometry | Sequence[float],
    *,
    id: str = "mine",
    name: str | None = None,
    crs: object = "EPSG:4326",
    properties: Mapping[str, object] | None = None,
) -> Mine:
    """Make a mine from a shapely geometry or from a box.

    Parameters
    ----------
    geometry : shapely polygon or multipolygon, or (west, south, east, north)
    id, name : str
        The name is the id by default.
    crs : anything pyproj.CRS takes
        CRS of `geometry`; x (longitude, easting) comes first whatever its axis order.
    properties : mapping, optional

    Raises
    ------
    MineError
        As for :func:`read_mines`; also a box whose west is not below its east, or south
        not below north.

    Examples
    --------
    >>> mine = mine_from_geometry((-8.80, 31.78, -8.75, 31.82), id="pit")
    >>> mine.utm_epsg, round(mine.area_m2() / 1e6, 2)
    (32629, 21.0)
    """
    try:
        known_crs = CRS.from_user_input(crs)
    except CRSError as error:
        raise MineError(f"mine {id!r}: crs={crs!r} is not understood ({error}). Give an EPSG code.") from error
    shape = geometry if isinstance(geometry, BaseGeometry) else _box(geometry, id)
    checked = check_polygons(np.array([shape], dtype=object), known_crs, {}, f"mine {id!r}")
    if checked.problem[0] is not None:
        raise MineError(f"mine {id!r}: {checked.problem[0]}")
    if checked.mended[0] is not None:
        warnings.warn(f"mine {id!r}: polygon repaired: {checked.mended[0]}", RepairedGeometryWarning, stacklevel=2)
    return Mine(id, name or id, checked.geometry[0], dict(properties or {}))


def _box(bounds: Sequence[float], id: str) -> Polygon:
    try:
        west, south, east, north = (float(b) for b in bounds)
    except (TypeError, ValueError) as error:
        raise MineError(
            f"mine {id!r}: {bounds!r} is neither a shapely geometry nor (west, south, east, north)"
        ) from error
    if not (west < east and south < north):
        raise MineError(
            f"mine {id!r}: the box west={west:g} south={south:g} east={east:g} north={north:g} is empty: west must be "
            "below east and south below north (across the antimeridian east lies above 180)"
        )
    return shapely.box(west, south, east, north)


# -- the CRS ------------------------------------------------------------------------


def _crs_of(found: VectorLayer) -> CRS:
    """Return the layer's CRS; without one, WGS 84 with a warning if the numbers can be degrees."""
    if found.crs is not None:
        return found.crs
    extent = shapely.total_bounds(found.geometry)
    limits = np.array([180.0, 90.0, 180.0, 90.0])
    if np.isfinite(extent).all() and (np.abs(extent) > limits).any():
        west, south, east, north = (f"{v:.6g}" for v in extent)
        raise MineError(
            f"{found.source}: has no CRS, and coordinates of {west}..{east} by {south}..{north} are not degrees. Put "
            "the .prj beside a shapefile, or set the CRS (QGIS: Layer > Set CRS) and save it."
        )
    warnings.warn(
        f"{found.source}: has no CRS (a shapefile needs its .prj); taken as WGS 84 longitude and latitude",
        AssumedCrsWarning,
        stacklevel=3,
    )
    return WGS84


# -- checks across features -----------------------------------------------------------


def _check_swapped_attributes(checked: CheckedPolygons, columns: Mapping[str, list[Any]]) -> None:
    """Refuse polygons whose own latitude and longitude attributes fit only with axes swapped."""
    latitude, longitude = (_numbers(columns, fields) for fields in (LATITUDE_FIELDS, LONGITUDE_FIELDS))
    if latitude is None or longitude is None:
        return
    centre = shapely.centroid(checked.geometry)
    x, y = shapely.get_x(centre), shapely.get_y(centre)
    as_is = np.maximum(np.abs(x - longitude), np.abs(y - latitude))
    turned = np.maximum(np.abs(x - latitude), np.abs(y - longitude))
    checked.refuse(
        (turned < 0.5) & (as_is > 5),
        lambda i: (
            f"centre at longitude {x[i]:.3f}, latitude {y[i]:.3f}, but its attributes say longitude "
            f"{longitude[i]:.3f}, latitude {latitude[i]:.3f}: {SWAPPED}"
        ),
    )


def _numbers(columns: Mapping[str, list[Any]], fields: Sequence[str]) -> npt.NDArray[np.float64] | None:
    name = _first_field(columns, fields)
    if name is None:
        return None
    values = np.full(len(columns[name]), np.nan)
    for i, value in enumerate(columns[name]):
        try:
            values[i] = float(value)
        except (TypeError, ValueError):
            continue
    return values


def _refuse_countries(checked: CheckedPolygons) -> None:
    """Refuse polygons far larger than any mine."""
    _, south, _, north = shapely.bounds(checked.geometry).T
    areas = shapely.area(checked.geometry) * METRES_PER_DEGREE**2 * np.cos(np.deg2rad((south + north) / 2))
    large = np.nan_to_num(areas) > MOST_AREA_M2
    checked.refuse(
        large,
        lambda i: (
            f"has {areas[i] / 1e6:,.0f} km2 (limit {MOST_AREA_M2 / 1e6:,.0f}): that is a country or district, not a "
            "mine; give the mine's own polygon"
        ),
    )


def _check_swapped_file(checked: CheckedPolygons, source: str) -> None:
    """Refuse a file most of whose evidence says that its writer swapped the axes."""
    evident = sum(problem is not None and problem.endswith(SWAPPED) for problem in checked.problem)
    bounds = shapely.bounds(checked.geometry)
    contrary = np.nanmax(np.abs(bounds[:, [0, 2]]), initial=0.0, where=~np.isnan(bounds[:, [0, 2]])) > 90
    total = len(checked.problem)
    if evident >= 2 and evident >= total / 4 and not contrary:
        raise MineError(f"{source}: in {evident} of {total} features {SWAPPED} in the whole file")


# -- ids and names --------------------------------------------------------------------


def _ids_and_names(
    found: VectorLayer,
    checked: CheckedPolygons,
    id_field: str | None,
    name_field: str | None,
    several: bool,
    offset: int,
    taken: set[str],
) -> tuple[list[str], list[str]]:
    count = len(found.geometry)
    positional = [f"{found.stem}-{offset + i + 1}" if several else found.stem for i in range(count)]
    country = _first_field(found.columns, COUNTRY_FIELDS) if several else None
    if country is not None:
        places = _texts(found, country, positional)
        positional = [
            f"{place}-{polygon_hash(shape)}" if shape is not None else other
            for place, shape, other in zip(places, checked.geometry, positional, strict=True)
        ]
    ids = _unique(_texts(found, _asked_field(found, id_field, ID_FIELDS), positional), taken)
    return ids, _texts(found, _asked_field(found, name_field, NAME_FIELDS), ids)


def polygon_hash(shape: BaseGeometry) -> str:
    """Return eight hexadecimal digits of a polygon: of its vertices to 1e-5 degrees, in any order."""
    vertices = np.unique(np.round(shapely.get_coordinates(shape) * 10**HASH_DECIMALS).astype("<i8"), axis=0)
    return hashlib.sha256(vertices.tobytes()).hexdigest()[:HASH_DIGITS]


def _asked_field(found: VectorLayer, asked: str | None, usual: Sequence[str]) -> str | None:
    if asked is None:
        return _first_field(found.columns, usual)
    if asked not in found.columns:
        raise MineError(f"{found.source}: has no attribute {asked!r}; it has {', '.join(found.columns) or 'none'}")
    return asked


def _first_field(columns: Mapping[str, list[Any]], usual: Sequence[str]) -> str | None:
    by_lower = {name.casefold(): name for name in reversed(list(columns))}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def _texts(found: VectorLayer, name: str | None, otherwise: list[str]) -> list[str]:
    """Return values of an attribute as text; where it is missing or blank, the other list's."""
    if name is None:
        return list(otherwise)
    texts = [_text(value) for value in found.columns[name]]
    return [text or other for text, other in zip(texts, otherwise, strict=True)]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():  # GDAL turns integers with a null among them into floats
        return str(int(value))
    return str(value).strip()


def _unique(ids: list[str], taken: set[str]) -> list[str]:
    """Add -2, -3, ... to ids that occurred before; `taken` collects those given out."""
    reserved = set(ids)
    unique = []
    for wanted in ids:
        candidate, number = wanted, 1
        while candidate in taken or (number > 1 and candidate in reserved):
            number += 1
            candidate = f"{wanted}-{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def _some(notes: list[str], most: int = 5) -> str:
    more = f"; and {len(notes) - most} more" if len(notes) > most else ""
    return "; ".join(notes[:most]) + more
