"""How much ground a cell holds, and how much of it is the mine's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod

from insar_mining.errors import CoverageError, MineError, RasterError
from insar_mining.geo.cells import (
    cell_area_m2,
    cell_coordinates,
    cover_fraction,
    ground_area_m2,
    inside,
    mine_window,
)
from insar_mining.geo.grid import RasterGrid

WGS84 = CRS.from_epsg(4326)
A_M, F = 6378137.0, 1 / 298.257223563


def quadrilateral_m2(south: float, north: float, width_deg: float) -> float:
    """Area between two parallels and two meridians on the ellipsoid, in closed form (authalic latitude)."""
    e2 = F * (2 - F)
    e = np.sqrt(e2)

    def q(latitude: float) -> float:
        s = np.sin(np.radians(latitude))
        return float(s / (1 - e2 * s * s) + np.arctanh(e * s) / e)

    return float(np.radians(width_deg) * A_M**2 * (1 - e2) / 2 * (q(north) - q(south)))


@pytest.mark.parametrize("north", [0.5, 19.45, -27.7, 67.9])
def test_cells_in_degrees_have_the_area_of_the_ellipsoid(north: float) -> None:
    step = 0.0014
    grid = RasterGrid(WGS84, Affine(step, 0, -99.2, 0, -step, north), 7, 500)
    area = cell_area_m2(grid)
    assert isinstance(area, np.ndarray)
    for row in (0, 250, 499):
        expected = quadrilateral_m2(north - (row + 1) * step, north - row * step, step)
        assert area[row] == pytest.approx(expected, rel=2e-6)


def test_utm_cells_have_the_area_of_the_map() -> None:
    grid = RasterGrid(CRS.from_epsg(32734), Affine(20, 0, 600_000, 0, -20, 6_930_000), 300, 300)
    assert cell_area_m2(grid) == 400.0


def test_web_mercator_is_put_right_row_by_row() -> None:
    """At 31.8 degrees a Mercator cell of 20 m holds cos2(31.8) of its 400 m2."""
    grid = RasterGrid(CRS.from_epsg(3857), Affine(20, 0, -977_000, 0, -20, 3_740_000), 50, 50)
    area = cell_area_m2(grid)
    assert isinstance(area, np.ndarray)
    latitude = np.degrees(2 * np.arctan(np.exp(3_740_000 / A_M)) - np.pi / 2)
    assert area[0] == pytest.approx(400 * np.cos(np.radians(latitude)) ** 2, rel=5e-3)


def test_feet_become_metres_and_other_distortion_is_refused() -> None:
    feet = RasterGrid(CRS.from_epsg(2229), Affine(100, 0, 6_500_000, 0, -100, 1_850_000), 10, 10)
    assert cell_area_m2(feet) == pytest.approx((100 * 1200 / 3937) ** 2, rel=1e-9)
    polar = RasterGrid(CRS.from_epsg(3413), Affine(20_000, 0, 0, 0, -20_000, -2_500_000), 60, 2)
    with pytest.raises(RasterError, match="in area"):
        cell_area_m2(polar)


def random_polygon(seed: int) -> shapely.Polygon:
    """A star-shaped polygon near (0.01, 0.01) with a hole."""
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 12))
    radius = generator.uniform(0.002, 0.008, 12)
    outer = shapely.Polygon(np.column_stack([radius * np.cos(angles), radius * np.sin(angles)]) + 0.01).buffer(0)
    return shapely.difference(outer, shapely.Point(0.0105, 0.0095).buffer(0.001))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_cover_is_that_of_shapely_cell_by_cell(seed: int) -> None:
    polygon = random_polygon(seed)
    if polygon.area == 0:
        return
    grid = RasterGrid(WGS84, Affine(0.0007, 0, 0.0003, 0, -0.0006, 0.0201), 29, 34)
    x, y = np.meshgrid(grid.x, grid.y)
    cells = shapely.box(x - 0.00035, y - 0.0003, x + 0.00035, y + 0.0003)
    expected = shapely.area(shapely.intersection(cells, polygon)) / (0.0007 * 0.0006)
    np.testing.assert_allclose(cover_fraction(grid, polygon).values, expected, atol=1e-5)


def test_cover_does_not_depend_on_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = RasterGrid(WGS84, Affine(0.0007, 0, 0.0003, 0, -0.0006, 0.0201), 29, 34)
    whole = cover_fraction(grid, random_polygon(3)).values
    monkeypatch.setattr("insar_mining.geo.cells.STRIP_CELLS", 60)
    np.testing.assert_allclose(cover_fraction(grid, random_polygon(3)).values, whole, atol=1e-6)


def test_cover_on_a_utm_grid_has_the_area_of_the_polygon() -> None:
    """Sum of cover x 400 m2 = the geodesic area times the square of UTM's scale, within a millionth of it."""
    polygon = shapely.Point(-8.777, 31.80).buffer(0.01, quad_segs=64)
    grid = RasterGrid(CRS.from_epsg(32629), Affine(20, 0, 520_000, 0, -20, 3_521_000), 200, 200)
    rows, cols = mine_window(grid, polygon)
    part = grid.crop(rows, cols)
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(polygon, 1e-3))[0])
    factors = 0.9996 * (1 + ((521_116 - 500_000) / 6.37e6) ** 2 / 2)
    assert cover_fraction(part, polygon).values.sum() * 400 == pytest.approx(geodesic * factors**2, rel=1e-5)


@pytest.mark.parametrize("min_cover", [0.01, 0.5, 0.9])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_mine_active_everywhere_has_the_area_of_its_polygon(min_cover: float, seed: int) -> None:
    """Whatever counts as inside: slivers go with the cell beside them."""
    polygon = shapely.intersection(shapely.Point(0.01, 0.01).buffer(0.006), random_polygon(seed).buffer(0.002))
    grid = RasterGrid(WGS84, Affine(0.0005, 0, 0.0003, 0, -0.0005, 0.0201), 40, 40)
    cover = cover_fraction(grid, polygon)
    coords, _ = cell_coordinates(grid, cover)
    active = xr.DataArray(
        inside(cover.values, min_cover), dims=("y", "x"), coords=coords, attrs={"min_cover": min_cover}
    )
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(polygon)[0])
    assert ground_area_m2(active) == pytest.approx(geodesic, rel=2e-4)
    assert ground_area_m2(active & False) == 0


def test_a_sliver_goes_with_the_neighbour_that_is_covered_most(cube_of: Callable[..., xr.DataArray]) -> None:
    cover = np.array([[0.0, 0.2, 0.0], [0.7, 0.4, 1.0], [0.0, 0.3, 0.0]])
    active = cube_of(np.zeros((1, 3, 3)), cover=cover)[0]
    only_right = active.copy(data=np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]], bool))
    only_left = active.copy(data=np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]], bool))
    assert ground_area_m2(only_right) == pytest.approx(400 * (1.0 + 0.2 + 0.4 + 0.3))
    assert ground_area_m2(only_left) == pytest.approx(400 * 0.7)


def test_without_a_mine_cells_count_whole(cube_of: Callable[..., xr.DataArray]) -> None:
    active = cube_of(np.zeros((1, 3, 3)))[0]
    assert ground_area_m2(active.copy(data=np.eye(3, dtype=bool))) == 1200.0


@pytest.mark.parametrize("crs", [4326, 4269, 4258], ids=["WGS 84", "NAD83", "ETRS89"])
@pytest.mark.parametrize(
    ("west", "mine_west"), [(179.98, 179.99), (-180.02, 179.99), (179.98, -180.01), (-180.02, -180.01)]
)
def test_a_mine_across_the_antimeridian_lies_on_rasters_of_either_side(crs: int, west: float, mine_west: float) -> None:
    grid = RasterGrid(CRS.from_epsg(crs), Affine(0.0005, 0, west, 0, -0.0005, 66.0125), 80, 50)
    mine = shapely.box(mine_west, 66.0, mine_west + 0.02, 66.01)
    expected = np.zeros((50, 80))
    expected[5:25, 20:60] = 1.0
    np.testing.assert_allclose(cover_fraction(grid, mine).values, expected, rtol=0, atol=2e-3)
    rows, columns = mine_window(grid, mine)
    assert abs(rows.start - 5) + abs(rows.stop - 25) + abs(columns.start - 20) + abs(columns.stop - 60) <= 4


def test_a_map_that_ends_at_the_antimeridian_is_no_place_for_a_mine_across_it() -> None:
    grid = RasterGrid(CRS.from_epsg(3857), Affine(50, 0, 2.0036e7, 0, -50, 9.86e6), 40, 40)
    with pytest.raises(CoverageError):
        cover_fraction(grid, shapely.box(179.99, 66.0, 180.01, 66.01))


@pytest.mark.parametrize("shape", [shapely.Point(0.01, 0.01), shapely.Polygon(), shapely.LineString([(0, 0), (1, 1)])])
def test_what_is_no_polygon_is_named(shape: shapely.Geometry) -> None:
    with pytest.raises(MineError, match=shape.geom_type):
        cover_fraction(RasterGrid(WGS84, Affine(0.001, 0, 0, 0, -0.001, 0.02), 20, 20), shape)


def test_an_array_from_elsewhere_is_named() -> None:
    with pytest.raises(RasterError, match="no crs and no transform"):
        cover_fraction(xr.DataArray(np.zeros((2, 2)), dims=("y", "x")), shapely.box(0, 0, 1, 1))
