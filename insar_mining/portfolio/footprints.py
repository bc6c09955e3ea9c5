"""Read a global file of mining polygons as it is, and make mines of it."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Geod
from shapely.geometry import MultiPolygon, Polygon

from insar_mining.errors import AssumedCrsWarning, MineError, RepairedGeometryWarning, SkippedInputWarning
from insar_mining.files import sha256
from insar_mining.geo.mines import Mine
from insar_mining.geo.polygons import WGS84, check_polygons
from insar_mining.geo.vectors import VectorLayer, read_vector
from insar_mining.portfolio.clusters import DEFAULT_DISTANCE_M, MAX_WIDTH_M, cluster

ID_DIGITS = 12  # of a mine's hash: among 20,000 mines two are alike with a chance of 1e-6
COUNTRY_FIELDS = ("iso3_code", "iso_a3", "iso3", "gid_0", "country_code", "country_name", "country", "adm0_name")
NAME_FIELDS = ("name", "mine_name", "asset_name", "site_name", "property_name", "facility_name")
CLASS_FIELDS = ("class_name", "class", "type", "landuse")

_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True, eq=False)
class Footprints:
    """Hold polygons of a file, checked.

    Attributes
    ----------
    source : Path
    sha256 : str
        Of the file.
    rows : ndarray of int, shape (n,)
        Number of each polygon's feature in the file, from 0.
    polygons : ndarray of shapely polygons or multipolygons, shape (n,)
        EPSG:4326, valid.
    keys : list of str
        Hash of each geometry, whatever its first vertex.
    columns : mapping of str to list
        Attributes of the polygons.
    """

    source: Path
    sha256: str
    rows: npt.NDArray[np.int64]
    polygons: npt.NDArray[np.object_]
    keys: list[str]
    columns: Mapping[str, list[Any]]

    def column(self, usual: Sequence[str]) -> list[str] | None:
        """Return the first of some usual attributes that the file has, as text; None without any."""
        by_lower = {name.casefold(): name for name in reversed(list(self.columns))}
        name = next((by_lower[one] for one in usual if one in by_lower), None)
        return None if name is None else ["" if v is None else str(v).strip() for v in self.columns[name]]


@dataclass(frozen=True, eq=False)
class PortfolioMine:
    """Hold a mine: polygons that lie together.

    Attributes
    ----------
    id : str
        Hash of the members' geometries: an edition of the file that leaves them as they are leaves the id.
    name : str
        The commonest name of the members, else the id.
    members : ndarray of int
        Positions in the footprints, in the order of the file.
    geometry : shapely polygon or multipolygon
        Union of the members, EPSG:4326.
    area_m2 : float
        Geodesic area of the union, square metres.
    country : str
        That of most of the area, empty where the file does not name any.
    country_share : float
        Share of the area that lies in it, 0..1.
    classes : mapping of str to float
        Area of each class of the file, square metres; empty without classes.
    """

    id: str
    name: str
    members: npt.NDArray[np.int64]
    geometry: Polygon | MultiPolygon
    area_m2: float
    country: str
    country_share: float
    classes: Mapping[str, float]

    def as_mine(self) -> Mine:
        """Return it as the steps of a run take it."""
        return Mine(self.id, self.name, self.geometry, {"country": self.country})


def read_footprints(path: Path | str, *, layer: str | None = None) -> Footprints:
    """Read the polygons of a file, whatever its layout (Maus, Tang and Werner, Cheng, or any vector file).

    Features that are no polygons, are empty or have swapped axes are left out.

    Raises
    ------
    MineError
        The file cannot be read, or has no usable polygon.

    Warns
    -----
    SkippedInputWarning, RepairedGeometryWarning, AssumedCrsWarning
    """
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], dict[str, list[Any]]]] = []
    skipped, mended, total = [], 0, 0
    for each in read_vector(path, layer):
        checked = check_polygons(each.geometry, _crs(each), each.mended, each.source)
        good = np.array([problem is None for problem in checked.problem], dtype=bool)
        skipped += [f"feature {total + i + 1}: {p}" for i, p in enumerate(checked.problem) if p is not None]
        mended += sum(one is not None for one, is_good in zip(checked.mended, good, strict=True) if is_good)
        rows = np.flatnonzero(good)
        columns = {name: [values[i] for i in rows] for name, values in each.columns.items()}
        found.append((rows + total, checked.geometry[good], columns))
        total += len(good)
    if not sum(len(rows) for rows, _, _ in found):
        raise MineError(f"{path}: none of its {total} features is usable ({'; '.join(skipped[:3])}). Give polygons")
    if skipped:
        text = f"{path}: {len(skipped)} of {total} features left out: {'; '.join(skipped[:3])}"
        warnings.warn(text, SkippedInputWarning, stacklevel=2)
    if mended:
        warnings.warn(f"{path}: {mended} of {total} polygons repaired", RepairedGeometryWarning, stacklevel=2)
    polygons = np.concatenate([part for _, part, _ in found])
    names = dict.fromkeys(name for _, _, columns in found for name in columns)
    return Footprints(
        Path(path),
        sha256(_file_of(path)),
        np.concatenate([rows for rows, _, _ in found]),
        polygons,
        geometry_keys(polygons),
        {name: [v for rows, _, c in found for v in c.get(name, [None] * len(rows))] for name in names},
    )


def geometry_keys(polygons: npt.NDArray[np.object_]) -> list[str]:
    """Hash geometries: the same for any first vertex, order of rings and orientation; to 1e-9 degrees."""
    plain = shapely.normalize(shapely.set_precision(polygons, 1e-9, mode="pointwise"))
    return [hashlib.sha256(text).hexdigest() for text in shapely.to_wkb(plain, byte_order=1)]


def mines_of(
    footprints: Footprints, *, distance_m: float = DEFAULT_DISTANCE_M, max_width_m: float = MAX_WIDTH_M
) -> list[PortfolioMine]:
    """Cluster polygons into mines, ordered by id; see :func:`insar_mining.portfolio.clusters.cluster`."""
    labels = cluster(footprints.polygons, distance_m=distance_m, max_width_m=max_width_m, order=footprints.keys)
    areas = areas_m2(footprints.polygons)
    countries, names, classes = (footprints.column(f) for f in (COUNTRY_FIELDS, NAME_FIELDS, CLASS_FIELDS))
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    mines = []
    for members in groups:
        keys = {footprints.keys[i] for i in members}
        identity = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:ID_DIGITS]
        geometry = footprints.polygons[members[0]] if len(keys) == 1 else _union(footprints.polygons[members])
        by_country = _summed(countries, areas, members)
        country = max(sorted(by_country), key=lambda name: by_country[name], default="")
        share = by_country[country] / sum(by_country.values()) if country else 0.0
        mines.append(
            PortfolioMine(
                identity,
                _commonest(names, members) or identity,
                members,
                geometry,
                float(areas[members[0]] if len(keys) == 1 else areas_m2(np.array([geometry]))[0]),
                country,
                share,
                _summed(classes, areas, members),
            )
        )
    return sorted(mines, key=lambda mine: mine.id)


def areas_m2(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Compute areas on the WGS 84 ellipsoid, square metres, on the cylindrical equal-area map (Snyder 1987, eq. 3-12).

    Edges are straight on that map; those of polygons of a few kilometres differ from geodesics by millimetres.
    """
    e = np.sqrt(_GEOD.es)
    lonlat = np.deg2rad(shapely.get_coordinates(polygons))
    sine = np.sin(lonlat[:, 1])
    q = (1 - _GEOD.es) * (sine / (1 - _GEOD.es * sine**2) + np.arctanh(e * sine) / e)
    flat = shapely.set_coordinates(polygons.copy(), _GEOD.a * np.column_stack([lonlat[:, 0], q / 2]))
    return np.asarray(shapely.area(flat))


def _union(polygons: npt.NDArray[np.object_]) -> Polygon | MultiPolygon:
    """Unite polygons; those of one mine rarely overlap, and a collection of them is then the union."""
    united = shapely.union_all(polygons)
    return united if isinstance(united, Polygon | MultiPolygon) else MultiPolygon(
        [part for part in united.geoms if isinstance(part, Polygon)]
    )  # fmt: skip


def _summed(
    values: list[str] | None, areas: npt.NDArray[np.float64], members: npt.NDArray[np.int64]
) -> dict[str, float]:
    sums: dict[str, float] = {}
    for i in members if values is not None else ():
        assert values is not None
        if values[i]:
            sums[values[i]] = sums.get(values[i], 0.0) + float(areas[i])
    return sums


def _commonest(values: list[str] | None, members: npt.NDArray[np.int64]) -> str:
    counts = Counter(values[i] for i in members if values[i]) if values is not None else Counter()
    return min(counts, key=lambda name: (-counts[name], name), default="")


def _crs(layer: VectorLayer) -> CRS:
    """Return a layer's CRS; without one WGS 84, if the coordinates can be degrees."""
    if layer.crs is not None:
        return layer.crs
    extent = shapely.total_bounds(layer.geometry)
    if np.isfinite(extent).all() and (np.abs(extent) > np.array([180.0, 90.0, 180.0, 90.0])).any():
        raise MineError(f"{layer.source}: has no CRS, and its coordinates are not degrees ({extent}). Set its CRS")
    warnings.warn(f"{layer.source}: has no CRS; taken as WGS 84", AssumedCrsWarning, stacklevel=3)
    return WGS84


def _file_of(path: Path | str) -> Path:
    """Return the file of a path that may name a layer as QGIS writes it."""
    return Path(path) if Path(path).exists() else Path(str(path).partition("|layername=")[0])
