"""What can be wrong with a polygon, found and mended: one check after the other, each on all features at once.

The checks see arrays of geometries, so that a footprint of tens of thousands of mines
takes about a second.  A feature with a problem is hidden from the later checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from insar_mining.errors import MineError
from insar_mining.geo.vectors import ObjectArray

MIN_AREA_M2 = 1.0
MAX_WIDTH_DEG = 180.0
MOST_ACROSS_DEG = 10.0  # width of what is taken for one place across the antimeridian
METRES_PER_DEGREE = 111_320.0

POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7  # shapely.get_type_id
SWAPPED = "longitude and latitude are swapped; write longitude first"

WGS84 = CRS.from_epsg(4326)
_WORLD = shapely.box(-180, -90, 180, 90)


class CheckedPolygons:
    """Hold geometries on their way through the checks, with what is wrong with or was done to each."""

    def __init__(self, geometry: ObjectArray, mended: Mapping[int, str]) -> None:
        self.geometry: ObjectArray = shapely.force_2d(geometry)
        self.problem: list[str | None] = [None] * len(geometry)
        self.mended: list[str | None] = [mended.get(i) for i in range(len(geometry))]

    def refuse(self, where: npt.NDArray[np.bool_], why: Callable[[int], str]) -> None:
        """Give the features of a mask a problem, and hide them from the later checks."""
        for i in np.flatnonzero(where):
            if self.problem[i] is None:
                self.problem[i] = why(int(i))
                self.geometry[i] = None

    def mend(self, i: int | np.integer[Any], shape: BaseGeometry, how: str) -> None:
        """Replace one geometry and note what was done."""
        self.geometry[i] = shape
        before = self.mended[i]
        self.mended[i] = how if before is None else f"{before}; {how}"


def check_polygons(geometry: ObjectArray, crs: CRS, mended: Mapping[int, str], source: str) -> CheckedPolygons:
    """Bring geometries to EPSG:4326 and to valid, two-dimensional polygons.

    Parameters
    ----------
    geometry : ndarray of shapely geometries or None, shape (n,)
        Not changed.
    crs : pyproj.CRS
        The geometries' CRS; x comes first whatever its axis order.
    mended : mapping of int to str
        What was done to features before.
    source : str
        For messages.

    Raises
    ------
    MineError
        The CRS as a whole cannot be brought to EPSG:4326.
    """
    with np.errstate(invalid="ignore"):  # coordinates may be NaN until _refuse_empty has seen them
        checked = CheckedPolygons(geometry, mended)
        _refuse_empty(checked)
    _keep_polygons(checked)
    is_lonlat = crs.to_2d().equals(WGS84, ignore_axis_order=True)
    if not is_lonlat:
        _to_lonlat(checked, crs, source)
    _check_degrees(checked)
    _repair(checked)
    _refuse_zero_area(checked)
    checked.geometry = shapely.orient_polygons(checked.geometry)
    return checked


def _refuse_empty(checked: CheckedPolygons) -> None:
    empty = shapely.is_missing(checked.geometry) | shapely.is_empty(checked.geometry)
    checked.refuse(empty, lambda i: "has an empty geometry, or one that cannot be decoded; draw a polygon")
    coordinates, owner = shapely.get_coordinates(checked.geometry, return_index=True)
    infinite = np.zeros(len(checked.geometry), dtype=bool)
    infinite[owner[~np.isfinite(coordinates).all(axis=1)]] = True
    checked.refuse(infinite, lambda i: "a coordinate is not a finite number; draw the polygon again")


def _keep_polygons(checked: CheckedPolygons) -> None:
    """Take the polygons out of collections (KML's MultiGeometry); refuse points and lines."""
    kinds = shapely.get_type_id(checked.geometry)
    for i in np.flatnonzero(kinds == COLLECTION):
        parts = split_parts(checked.geometry[i])
        polygons = [p for p in parts if isinstance(p, Polygon)]
        if polygons:
            dropped = len(parts) - len(polygons)
            checked.mend(i, MultiPolygon(polygons), f"{dropped} of {len(parts)} parts are no polygons and were dropped")
            kinds[i] = MULTIPOLYGON
    checked.refuse(
        (kinds >= 0) & (kinds != POLYGON) & (kinds != MULTIPOLYGON),
        lambda i: f"is a {checked.geometry[i].geom_type}, not a polygon; draw the outline of the mine as a polygon",
    )


def split_parts(shape: BaseGeometry) -> list[BaseGeometry]:
    """Split collections, however deep, into single non-empty geometries."""
    pieces = [shape]
    while any(hasattr(p, "geoms") for p in pieces):
        pieces = [part for p in pieces for part in getattr(p, "geoms", [p])]
    return [p for p in pieces if not p.is_empty]


def _to_lonlat(checked: CheckedPolygons, crs: CRS, source: str) -> None:
    try:
        to_lonlat = Transformer.from_crs(crs.to_2d(), WGS84, always_xy=True)
    except (ProjError, CRSError) as error:
        raise MineError(
            f"{source}: {crs.name!r} cannot be brought to EPSG:4326 ({error}). Reproject it first."
        ) from error
    projected = checked.geometry
    checked.geometry = shapely.transform(
        projected, lambda xy: np.column_stack(to_lonlat.transform(xy[:, 0], xy[:, 1], errcheck=False))
    )
    coordinates, owner = shapely.get_coordinates(checked.geometry, return_index=True)
    lost = np.zeros(len(projected), dtype=bool)
    lost[owner[~np.isfinite(coordinates).all(axis=1)]] = True
    checked.refuse(
        lost,
        lambda i: f"coordinates such as {projected[i].bounds[:2]} lie outside of {crs.name!r}; correct its CRS",
    )


def _check_degrees(checked: CheckedPolygons) -> None:
    """Refuse swapped axes, coordinates that are no degrees, and what crosses the antimeridian."""
    west, south, east, north = shapely.bounds(checked.geometry).T
    highest = np.maximum(np.abs(south), np.abs(north))
    farthest = np.maximum(np.abs(west), np.abs(east))
    swapped = (highest > 90) & (highest <= 360) & (farthest <= 90)
    checked.refuse(swapped, lambda i: f"a latitude of {_farther(south[i], north[i]):g} degrees (limit 90): {SWAPPED}")
    checked.refuse(
        (highest > 90) | (farthest > 360),
        lambda i: f"coordinates such as ({east[i]:.6g}, {north[i]:.6g}) are not degrees; state the true CRS",
    )
    turns = np.where((west >= 180) & (east > 180), -360.0, np.where((east <= -180) & (west < -180), 360.0, 0.0))
    for i in np.flatnonzero(turns):
        if checked.geometry[i] is not None:
            moved = shapely.transform(checked.geometry[i], lambda xy, turn=turns[i]: np.add(xy, (turn, 0.0)))
            checked.mend(i, moved, f"longitude {west[i]:g}..{east[i]:g} brought to -180..180")
            west[i], east[i] = west[i] + turns[i], east[i] + turns[i]
    for i in np.flatnonzero((west < -180) | ((east - west > MAX_WIDTH_DEG) & (east <= 180))):
        if checked.geometry[i] is not None:
            joined = _across_antimeridian(checked.geometry[i])
            west[i], _, east[i], _ = joined.bounds
            checked.geometry[i] = joined
    checked.refuse(
        east - west > MAX_WIDTH_DEG,
        lambda i: (
            f"spans the longitudes {west[i]:g} to {east[i]:g}: it crosses the antimeridian in one ring or unites "
            f"distant places (limit {MAX_WIDTH_DEG:g} degrees wide). Cut it at the antimeridian, or into features."
        ),
    )


def _across_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """Return a polygon that lies on both sides of the antimeridian in one piece, with longitudes above 180.

    RFC 7946 (section 3.1.9) cuts such a polygon in two, at 180 and at -180; others write longitudes below -180.
    A ring that is itself wide may go round the Earth as well as across the antimeridian: it stays as it is.
    """
    east = shapely.transform(geometry, lambda xy: np.column_stack([xy[:, 0] % 360.0, xy[:, 1]]))
    parts = list(getattr(geometry, "geoms", [geometry]))
    widths = [part.bounds[2] - part.bounds[0] for part in (*parts, east)]
    if max(widths) > MOST_ACROSS_DEG:
        return geometry
    moved = list(getattr(east, "geoms", [east]))
    return shapely.union_all(moved) if all(map(shapely.is_valid, moved)) else east


def within_180(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry with longitudes of -180..180, cut at the antimeridian where it crosses it."""
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    turns = [translate(geometry, 360.0 * turn) for turn in (-1, 0, 1)]
    return shapely.union_all([shapely.intersection(one, _WORLD) for one in turns])


def _farther(a: float, b: float) -> float:
    return a if abs(a) > abs(b) else b


def _repair(checked: CheckedPolygons) -> None:
    """Make invalid polygons valid: overlapping parts are united, crossings resolved, spikes dropped."""
    invalid = ~shapely.is_valid(checked.geometry) & ~shapely.is_missing(checked.geometry)
    for i in np.flatnonzero(invalid):
        before = checked.geometry[i]
        repaired = shapely.make_valid(before, method="structure", keep_collapsed=False)
        polygons = [p for p in split_parts(repaired) if isinstance(p, Polygon)]
        shape = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
        checked.mend(i, shape, shapely.is_valid_reason(before))


def _refuse_zero_area(checked: CheckedPolygons) -> None:
    """Refuse less than a square metre (a resolution cell of Sentinel-1 has about 60)."""
    _, south, _, north = shapely.bounds(checked.geometry).T
    area_m2 = shapely.area(checked.geometry) * METRES_PER_DEGREE**2 * np.cos(np.deg2rad((south + north) / 2))
    nothing = ~shapely.is_missing(checked.geometry) & ~(area_m2 >= MIN_AREA_M2)
    checked.refuse(
        nothing,
        lambda i: (
            f"has zero area ({np.nan_to_num(area_m2[i]):.2g} m2, limit {MIN_AREA_M2:g} m2): all its points lie "
            "on a line or in one place; draw it again"
        ),
    )
