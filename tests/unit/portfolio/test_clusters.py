"""Clusters against a full matrix of geodesic distances, and the parts of wide ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from pyproj import Geod
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from insar_mining.errors import OptionError
from insar_mining.portfolio.clusters import cluster, distances_m, spanning_links, widths_m

GEOD = Geod(ellps="WGS84")


def triangles(lon: np.ndarray, lat: np.ndarray, side_m: float, rng: np.random.Generator) -> np.ndarray:
    """Small triangles around places, drawn with geodesics; longitudes within -180..180."""
    shapes = []
    for x, y in zip(lon, lat, strict=True):
        azimuth = rng.uniform(0, 360) + np.array([0.0, 110.0, 250.0])
        corners = GEOD.fwd(np.full(3, x), np.full(3, y), azimuth, np.full(3, side_m))
        around = np.where(
            corners[0] - x > 180, corners[0] - 360, np.where(corners[0] - x < -180, corners[0] + 360, corners[0])
        )
        around = around - 360 if around.max() > 180 else around + 360 if around.min() < -180 else around
        shapes.append(shapely.Polygon(np.column_stack([around, corners[1]])) if np.abs(around).max() <= 180 else None)
    return np.array([shape for shape in shapes if shape is not None], dtype=object)


def dense(shape: shapely.Polygon) -> np.ndarray:
    """Points along an outline, some metres apart."""
    ring = shapely.get_coordinates(shape)
    parts = [np.linspace(a, b, 16, endpoint=False) for a, b in itertools.pairwise(ring)]
    return np.concatenate(parts)


def full_matrix(shapes: np.ndarray) -> np.ndarray:
    """Distances between outlines, from points along them: too long by less than 4 m."""
    points = [dense(shape) for shape in shapes]
    count = len(shapes)
    matrix = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            a, b = points[i], points[j]
            one, other = np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))
            matrix[i, j] = matrix[j, i] = GEOD.inv(*one.T, *other.T)[2].min()
    return matrix


PLACES = {
    "equator": (10.0, 0.0, 0.15),
    "middle latitudes": (-70.0, -45.0, 0.2),
    "where the maps meet": (100.0, 66.0, 0.25),
    "antimeridian": (180.0, 52.0, 0.25),
    "near the north pole": (30.0, 89.9, 20.0),
    "near the south pole": (-120.0, -89.8, 15.0),
}


@pytest.mark.parametrize("place", PLACES)
def test_single_linkage_of_a_full_matrix(place: str) -> None:
    lon, lat, spread = PLACES[place]
    rng = np.random.default_rng(len(place))
    x = (lon + rng.uniform(-spread, spread, 16) + 180) % 360 - 180
    y = np.clip(lat + rng.uniform(-0.12, 0.12, 16), -89.99, 89.99)
    shapes = triangles(x, y, 60.0, rng)
    assert len(shapes) > 10
    matrix = full_matrix(shapes)
    tree = linkage(squareform(matrix), "single")
    for limit in (500.0, 2_000.0, 5_000.0):
        if np.abs(tree[:, 2] - limit).min() < 4.0:  # nearer than the points along the outlines can tell
            limit += 10.0
        expected = fcluster(tree, limit, "distance")
        found = cluster(shapes, distance_m=limit, max_width_m=1e9)
        assert len(np.unique(found)) == len(np.unique(expected))
        assert len({*zip(found.tolist(), expected.tolist(), strict=True)}) == len(np.unique(expected))


def test_lengths_of_links_and_the_limit_itself() -> None:
    """Two squares at a known distance: joined from that distance on, to a millimetre."""
    for lat in (0.0, 50.0, 70.0, -85.0):
        east = GEOD.fwd(20.0, lat, 90.0, 4_000.0)[0]
        shapes = np.array([shapely.box(19.9, lat, 20.0, lat + 1e-4), shapely.box(east, lat, east + 0.1, lat + 1e-4)])
        ends = np.array([20.0, 20.0, 20.0]), np.array([lat, lat, lat + 1e-4]), np.array([east, east, east])
        exact = GEOD.inv(ends[0], ends[1], ends[2], np.array([lat, lat + 1e-4, lat + 1e-4]))[2].min()
        measured = distances_m(shapes, np.array([0]), np.array([1]))[0]
        assert measured == pytest.approx(exact, abs=1e-3)
        assert cluster(shapes, distance_m=exact - 0.01).tolist() == [0, 1]
        assert cluster(shapes, distance_m=exact + 0.01).tolist() == [0, 0]
    first, second, length = spanning_links(
        np.array([shapely.box(0, 0, 1e-3, 1e-3), shapely.box(5e-4, 0, 2e-3, 1e-3)]), 100.0
    )
    assert (first.tolist(), second.tolist(), length.tolist()) == ([0], [1], [0.0])


def test_a_wide_chain_is_cut_at_its_longest_link() -> None:
    """Twelve places in a row, 4 km apart, one gap of 4.9 km: two parts, whatever the order of the file."""
    steps = np.full(11, 4_000.0)
    steps[4] = 4_900.0
    east = np.concatenate([[0], np.cumsum(steps)]) / 111_319.5
    shapes = shapely.box(east, 0.0, east + 1e-4, 1e-4)
    keys = [f"{number:02d}" for number in range(12)]
    labels = cluster(shapes, distance_m=5_000.0, order=keys)
    assert labels.tolist() == [0] * 5 + [1] * 7
    assert (widths_m(shapes, labels) < 30_000).all()
    turned = np.random.default_rng(3).permutation(12)
    again = cluster(shapes[turned], distance_m=5_000.0, order=[keys[i] for i in turned])
    assert {frozenset(turned[again == label]) for label in (0, 1)} == {frozenset(range(5)), frozenset(range(5, 12))}
    assert cluster(shapes, distance_m=5_000.0, max_width_m=1e6).tolist() == [0] * 12


def test_limits() -> None:
    with pytest.raises(OptionError):
        cluster(np.array([shapely.box(0, 0, 1, 1)]), distance_m=-1)
    assert cluster(np.array([], dtype=object)).tolist() == []
