"""Cluster polygons into mines: single linkage at a distance in metres on the ellipsoid.

Candidates come from a spatial index on conformal maps: Mercator up to a latitude of 66 degrees, polar stereographic
from 60 on.  The map only has to tell which pairs are surely nearer or surely farther than the limit; the few between
are decided by geodesics (Karney 2013, doi:10.1007/s00190-012-0578-z).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Geod
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from insar_mining.arrays import FloatArray, IntArray
from insar_mining.errors import OptionError

Geometries = npt.NDArray[np.object_]

DEFAULT_DISTANCE_M = 5_000.0
MOST_DISTANCE_M = 20_000.0
MAX_WIDTH_M = 30_000.0

EARTH_RADIUS_M = 6_371_000.0
MERCATOR_TO_DEG, POLAR_FROM_DEG = 66.0, 60.0
LEAST_TOLERANCE = 1e-4  # for edges, which are straight on either map
MOST_TOLERANCE = 0.02  # by how much a length found on a map may be too long
STEPS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
ROUGH = 0.05  # by which a width on the sphere may be off for clusters of some hundred kilometres
AS_LONG_M = 1.0  # added to links for the spanning tree, in which a length of 0 would be no link

_GEOD = Geod(ellps="WGS84")
_E = float(np.sqrt(_GEOD.es))
_RADIUS_AT_POLE = 2 * _GEOD.a / np.sqrt((1 + _E) ** (1 + _E) * (1 - _E) ** (1 - _E))


def cluster(
    polygons: Geometries,
    *,
    distance_m: float = DEFAULT_DISTANCE_M,
    max_width_m: float = MAX_WIDTH_M,
    order: Sequence[str] | None = None,
) -> IntArray:
    """Label polygons by mine: two polygons at most `distance_m` apart belong to one mine.

    This is single linkage, cut at `distance_m`.  A cluster wider than `max_width_m` is cut at the longest links of
    its minimum spanning tree, until every part is narrow enough or a single polygon.

    Parameters
    ----------
    polygons : ndarray of shapely polygons, shape (n,)
        Longitude and latitude in degrees, EPSG:4326.
    distance_m : float
        Largest geodesic distance between neighbours, metres, 0 to 20,000.
    max_width_m : float
        Largest extent of a mine, metres; see :func:`widths_m`.
    order : sequence of str, optional
        A key of each polygon; of links of equal length those of the last keys are cut first, so that the result
        does not depend on the order of the file.

    Returns
    -------
    ndarray of int, shape (n,)
        Labels from 0, in the order in which clusters first occur.

    Raises
    ------
    OptionError
        `distance_m` out of its limits.
    """
    if not 0 <= distance_m <= MOST_DISTANCE_M:
        raise OptionError(f"distance_m: out of limits ({distance_m}, limits 0 and {MOST_DISTANCE_M:g}). Choose 5000")
    # in the order of the keys nothing depends on the order of the file
    by_key = np.arange(len(polygons)) if order is None else np.argsort(np.array(order, dtype=str), kind="stable")
    first, second, length = spanning_links(polygons[by_key], distance_m)
    labels = np.empty(len(polygons), np.int64)
    labels[by_key] = _components(len(polygons), first, second)
    first, second = by_key[first], by_key[second]
    fresh = int(labels.max(initial=-1)) + 1
    if fresh:
        # computed once for all clusters: only wide ones are looked at further
        owner = labels[first]
        for label in np.flatnonzero((widths_m(polygons, labels) > max_width_m) & (np.bincount(labels) > 1)):
            own = np.flatnonzero(owner == label)
            tree = sorted(zip(length[own].tolist(), first[own].tolist(), second[own].tolist(), strict=True))
            for part in _narrow_parts(polygons, np.flatnonzero(labels == label), tree, max_width_m)[1:]:
                labels[part] = fresh
                fresh += 1
    _, start, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(start))[inverse].astype(np.int64)


def spanning_links(polygons: Geometries, distance_m: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Find the shortest links, none longer than `distance_m`, that join all that such links can join.

    This is the minimum spanning forest of the graph of all pairs within the distance (Kruskal's): its trees are the
    clusters of single linkage, its lengths those of the dendrogram.  Pairs are looked at in steps of growing distance,
    and only those that no shorter link has joined, so that thousands of polygons in one place cost little.

    Returns
    -------
    first, second : ndarray of int
        Positions of the polygons of each link.
    length : ndarray of float
        Geodesic length, metres.
    """
    maps = list(_maps(polygons, distance_m))
    labels = np.arange(len(polygons))
    chosen: list[tuple[IntArray, FloatArray]] = [(np.empty((2, 0), np.int64), np.empty(0))]
    for share in STEPS:
        found = [_short_links(drawn, share * distance_m, labels) for drawn in maps]
        if not found:
            break
        pairs, length = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
        doubtful = (length > share * distance_m) & (length <= share * distance_m * (1 + MOST_TOLERANCE))
        length[doubtful] = distances_m(polygons, *pairs[:, doubtful])
        near = length <= share * distance_m
        kept = _forest(labels[pairs[:, near]], length[near])
        chosen.append((pairs[:, near][:, kept], length[near][kept]))
        joined = np.concatenate([pair for pair, _ in chosen], axis=1)
        labels = _components(len(polygons), joined[0], joined[1])
    pairs, length = (np.concatenate(parts, axis=-1) for parts in zip(*chosen, strict=True))
    return pairs[0], pairs[1], length


def _forest(ends: IntArray, length: FloatArray) -> IntArray:
    """Choose the links of a minimum spanning forest: positions."""
    if not len(length):
        return np.empty(0, np.int64)
    low, high = ends.min(axis=0), ends.max(axis=0)
    order = np.lexsort((length, high, low))  # the shortest of the links between the same two first
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    best = order[is_first]
    names, place = np.unique(np.stack([low[best], high[best]]), return_inverse=True)
    place = place.reshape(2, -1).astype(np.int32)  # the only kind that the tree takes before SciPy 1.15
    weights = coo_array((np.arange(len(best)) + 1.0, (place[0], place[1])), shape=(len(names), len(names))).tocsr()
    weights.data = length[best][weights.data.astype(np.int64) - 1] + AS_LONG_M
    number = coo_array((np.arange(len(best)), (place[0], place[1])), shape=(len(names), len(names))).tocsr()
    tree = minimum_spanning_tree(weights).tocoo()
    return best[np.asarray(number[tree.row, tree.col]).ravel().astype(np.int64)]


def distances_m(polygons: Geometries, first: IntArray, second: IntArray) -> FloatArray:
    """Compute the geodesic distances between pairs of polygons, metres; meant for pairs within some 50 km.

    The nearest points are found on an azimuthal equidistant map around the middle between the two, whose error in a
    distance is of the order of (distance / radius)**2; the length between them is that of the geodesic.
    """
    if not len(first):
        return np.empty(0)
    centre = _centres(np.concatenate([polygons[first], polygons[second]]), np.tile(np.arange(len(first)), 2))
    length = np.empty(len(first))
    for _ in range(2):  # the second time around the middle of the first answer
        one, other = (_equidistant(polygons[which], centre) for which in (first, second))
        length, start, azimuth = _between(one, other, centre)
        lon, lat, _ = _GEOD.fwd(start[:, 0], start[:, 1], azimuth, length / 2)
        centre = np.column_stack([lon, lat])
    return length


def widths_m(polygons: Geometries, labels: IntArray) -> FloatArray:
    """Compute the width of every cluster, metres: the longer side of its box on an equidistant map around it.

    The box is that of the polygons' own boxes in longitude and latitude, so that it is never too small.
    """
    count = int(labels.max(initial=-1)) + 1
    west, south, east, north = shapely.bounds(polygons).T
    lon, lat = np.concatenate([west, west, east, east]), np.concatenate([south, north, south, north])
    owner = np.tile(labels, 4)
    centre = _centres(polygons, labels)[owner]
    x, y = _polar(lon, lat, centre)
    sides = []
    for along in (x, y):
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, owner, along)
        np.maximum.at(high, owner, along)
        sides.append(high - low)
    return np.asarray(np.maximum(*sides))


def _components(count: int, first: IntArray, second: IntArray) -> IntArray:
    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


# -- conformal maps -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Map:
    """Hold some polygons on a conformal map.

    `high` is the largest scale of each, `tolerance` the share by which it changes within the distance asked for,
    `back` leads to longitude and latitude.
    """

    index: IntArray
    shapes: Geometries
    high: FloatArray
    tolerance: FloatArray
    back: Callable[[FloatArray], FloatArray]


def _maps(polygons: Geometries, distance_m: float) -> Iterator[_Map]:
    """Draw polygons on every map that they belong to; near the antimeridian on both sides of Mercator's."""
    _, south, east, north = shapely.bounds(polygons).T
    farthest = np.maximum(np.abs(south), np.abs(north))
    step = distance_m / EARTH_RADIUS_M
    chosen = np.flatnonzero(farthest <= MERCATOR_TO_DEG)
    again = chosen[(east >= 180 - 4 * np.rad2deg(step))[chosen]]  # the reach at 66 degrees is 2.5 times as wide
    index = np.concatenate([chosen, again])
    if len(index):
        turn = np.repeat([0.0, -360.0], [len(chosen), len(again)])
        steep = np.tan(np.deg2rad(farthest[index]) + step)
        tolerance = LEAST_TOLERANCE + 1.5 * step * steep
        shapes = _drawn(polygons[index], _mercator, turn)
        yield _Map(index, shapes, _mercator_scale(farthest[index]), tolerance, _back_from_mercator)
    for sign, far, near in ((1.0, north, south), (-1.0, -south, -north)):  # latitudes of that hemisphere
        index = np.flatnonzero(far >= POLAR_FROM_DEG)
        if len(index):
            shapes = _drawn(polygons[index], _stereographic_of(sign), np.zeros(len(index)))
            tolerance = np.full(len(index), LEAST_TOLERANCE + 1.5 * step)
            yield _Map(index, shapes, _stereographic_scale(near[index]), tolerance, _back_from_stereographic_of(sign))


def _short_links(drawn: _Map, distance_m: float, labels: IntArray) -> tuple[IntArray, FloatArray]:
    """Return pairs with different labels that may be within the distance, and their lengths, hardly too long."""
    west, south, east, north = shapely.bounds(drawn.shapes).T
    reach = distance_m * drawn.high * (1 + drawn.tolerance)
    boxes = shapely.box(west - reach, south - reach, east + reach, north + reach)
    may = shapely.STRtree(drawn.shapes).query(boxes)
    own = labels[drawn.index]
    may = may[:, (may[0] < may[1]) & (own[may[0]] != own[may[1]])]
    ends = shapely.get_coordinates(shapely.shortest_line(drawn.shapes[may[0]], drawn.shapes[may[1]])).reshape(-1, 2, 2)
    gap = np.hypot(*(ends[:, 0] - ends[:, 1]).T)
    near = gap <= reach[may].max(axis=0)
    start, stop = (drawn.back(ends[near, which]) for which in (0, 1))
    _, _, length = _GEOD.inv(*start.T, *stop.T)
    return drawn.index[may[:, near]], np.where(gap[near] == 0, 0.0, length)


def _drawn(polygons: Geometries, project: Callable[[FloatArray], FloatArray], turn: FloatArray) -> Geometries:
    """Return polygons with projected coordinates, each turned by some degrees of longitude before."""
    lonlat, owner = shapely.get_coordinates(polygons, return_index=True)
    lonlat[:, 0] += turn[owner]
    return np.asarray(shapely.set_coordinates(polygons.copy(), project(lonlat)))


def _isometric(lat_deg: FloatArray) -> FloatArray:
    """Return the isometric latitude on the ellipsoid (Snyder 1987, eq. 7-7)."""
    sine = np.sin(np.deg2rad(lat_deg))
    return np.asarray(np.arctanh(sine) - _E * np.arctanh(_E * sine))


def _radius_of_parallel(lat_deg: FloatArray) -> FloatArray:
    sine = np.sin(np.deg2rad(lat_deg))
    return np.asarray(_GEOD.a * np.cos(np.deg2rad(lat_deg)) / np.sqrt(1 - _GEOD.es * sine**2))


def _mercator(lonlat: FloatArray) -> FloatArray:
    return _GEOD.a * np.column_stack([np.deg2rad(lonlat[:, 0]), _isometric(lonlat[:, 1])])


def _latitude(isometric: FloatArray) -> FloatArray:
    """Return the latitude of an isometric latitude, degrees (Snyder 1987, eq. 7-9; five steps give 1e-12)."""
    sine = np.tanh(isometric)
    for _ in range(5):
        sine = np.tanh(isometric + _E * np.arctanh(_E * sine))
    return np.asarray(np.rad2deg(np.arcsin(sine)))


def _back_from_mercator(xy: FloatArray) -> FloatArray:
    return np.column_stack([np.rad2deg(xy[:, 0] / _GEOD.a), _latitude(xy[:, 1] / _GEOD.a)])


def _mercator_scale(lat_deg: FloatArray) -> FloatArray:
    return _GEOD.a / _radius_of_parallel(lat_deg)


def _stereographic_of(sign: float) -> Callable[[FloatArray], FloatArray]:
    """Return the polar stereographic projection around the pole of a hemisphere."""

    def project(lonlat: FloatArray) -> FloatArray:
        radius = _stereographic_radius(sign * lonlat[:, 1])
        angle = np.deg2rad(lonlat[:, 0])
        return np.column_stack([radius * np.sin(angle), -sign * radius * np.cos(angle)])

    return project


def _back_from_stereographic_of(sign: float) -> Callable[[FloatArray], FloatArray]:
    """Return the inverse of the polar stereographic projection."""

    def project(xy: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            isometric = -np.log(np.hypot(*xy.T) / _RADIUS_AT_POLE)
        lon = np.rad2deg(np.arctan2(xy[:, 0], -sign * xy[:, 1]))
        return np.column_stack([lon, sign * _latitude(isometric)])

    return project


def _stereographic_radius(lat_deg: FloatArray) -> FloatArray:
    """Return the distance from the pole on the map (Snyder 1987, eq. 21-33, with scale 1 at the pole)."""
    with np.errstate(divide="ignore"):
        t = np.exp(-_isometric(np.minimum(lat_deg, 90.0)))
    return np.asarray(_RADIUS_AT_POLE * t)


def _stereographic_scale(lat_deg: FloatArray) -> FloatArray:
    near_pole = lat_deg > 89.99  # where both radii go to 0
    parallel = _radius_of_parallel(np.where(near_pole, 80.0, lat_deg))
    return np.where(near_pole, 1.0, _stereographic_radius(np.where(near_pole, 80.0, lat_deg)) / parallel)


# -- equidistant maps ---------------------------------------------------------------------


def _centres(polygons: Geometries, labels: IntArray) -> FloatArray:
    """Return longitude and latitude of the middle of every group of polygons, shape (groups, 2)."""
    west, south, east, north = np.deg2rad(shapely.bounds(polygons)).T
    lon, lat = (west + east) / 2, (south + north) / 2
    parts = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    x, y, z = (np.bincount(labels, weights=part) for part in parts)
    return np.column_stack([np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))])


def _polar(lon: FloatArray, lat: FloatArray, centre: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the east and north of points on azimuthal equidistant maps, one centre for each, metres."""
    azimuth, _, length = _GEOD.inv(centre[:, 0], centre[:, 1], lon, lat)
    angle = np.deg2rad(azimuth)
    return np.asarray(length * np.sin(angle)), np.asarray(length * np.cos(angle))


def _equidistant(polygons: Geometries, centre: FloatArray) -> Geometries:
    """Return polygons on azimuthal equidistant maps, one centre for each."""
    lonlat, owner = shapely.get_coordinates(polygons, return_index=True)
    x, y = _polar(lonlat[:, 0], lonlat[:, 1], centre[owner])
    return np.asarray(shapely.set_coordinates(polygons.copy(), np.column_stack([x, y])))


def _between(one: Geometries, other: Geometries, centre: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return geodesic lengths between the nearest points on equidistant maps, where they start, and their azimuths."""
    ends = shapely.get_coordinates(shapely.shortest_line(one, other)).reshape(-1, 2, 2)
    lonlat = []
    for which in (0, 1):
        x, y = ends[:, which].T
        lon, lat, _ = _GEOD.fwd(centre[:, 0], centre[:, 1], np.rad2deg(np.arctan2(x, y)), np.hypot(x, y))
        lonlat.append(np.column_stack([lon, lat]))
    azimuth, _, length = _GEOD.inv(*lonlat[0].T, *lonlat[1].T)
    touching = (ends[:, 0] == ends[:, 1]).all(axis=1)
    return np.where(touching, 0.0, length), lonlat[0], np.asarray(azimuth)


# -- wide clusters ------------------------------------------------------------------------

Tree = list[tuple[float, int, int]]
"""Links of a tree by length: length and the two polygons."""


def _narrow_parts(polygons: Geometries, members: IntArray, tree: Tree, max_width_m: float) -> list[IntArray]:
    """Cut a cluster at the longest links of its tree until every part is narrow; members of each."""
    done: list[IntArray] = []
    todo = [(members, tree)]
    corners = _corner_vectors(polygons)
    while todo:
        part, links = todo.pop()
        if not links or _is_narrow(polygons, corners, part, max_width_m):
            done.append(part)
        else:
            todo += _halves(part, links[:-1])
    return done


def _is_narrow(polygons: Geometries, corners: FloatArray, part: IntArray, max_width_m: float) -> bool:
    """Check whether a part is narrow enough: on the sphere if that is clear, else on the ellipsoid."""
    vectors = corners[part].reshape(-1, 3)
    middle = vectors.mean(axis=0)
    east = np.array([-middle[1], middle[0], 0.0])
    if np.hypot(*middle[:2]) > 0.1:  # away from the poles, where east is known well
        east /= np.linalg.norm(east)
        north = np.cross(middle / np.linalg.norm(middle), east)
        rough = EARTH_RADIUS_M * max(float(np.ptp(vectors @ axis)) for axis in (east, north))
        if abs(rough - max_width_m) > ROUGH * max_width_m:
            return rough < max_width_m
    return bool(widths_m(polygons[part], np.zeros(len(part), np.int64))[0] <= max_width_m)


def _corner_vectors(polygons: Geometries) -> FloatArray:
    """Return unit vectors of the corners of the polygons' boxes, shape (n, 4, 3)."""
    west, south, east, north = np.deg2rad(shapely.bounds(polygons)).T
    lon, lat = np.stack([west, west, east, east], axis=1), np.stack([south, north, south, north], axis=1)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _halves(members: IntArray, links: Tree) -> Iterator[tuple[IntArray, Tree]]:
    """Yield the two parts that a tree without its longest link falls into, each with its own links."""
    place = {int(member): number for number, member in enumerate(members)}
    ends = np.array([(place[a], place[b]) for _, a, b in links], np.int64).reshape(-1, 2)
    side = _components(len(members), ends[:, 0], ends[:, 1])
    of_link = side[ends[:, 0]]
    for which in (0, 1):
        yield members[side == which], [link for link, s in zip(links, of_link, strict=True) if s == which]
