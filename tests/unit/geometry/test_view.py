"""Lines of sight, incidence and baselines against pyproj vectors and the scalar baseline of the archive."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from shapely.geometry import box

from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.range_doppler import DemArrays
from insar_mining.geometry.view import (
    SightLines,
    cell_heights,
    local_incidence_deg,
    local_incidence_map,
    perpendicular_baseline_map,
    sight_lines,
)
from insar_mining.sentinel1.baselines import perpendicular_baseline_m
from insar_mining.simulate.geometry import zero_doppler
from insar_mining.simulate.truth import path_of

TO_CARTESIAN = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)
AREA = box(-8.79, 31.79, -8.75, 31.82)


def _cartesian(grid, x, y, height):
    lon, lat = pyproj.Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(x, y)
    return np.array(TO_CARTESIAN.transform(lon, lat, height))


def _surface(x, y, grid):
    """A hilly ground, metres."""
    return 500 + 90 * np.sin((x - grid.west_m) / 300) + 120 * np.cos((y - grid.north_m) / 410)


@pytest.fixture(scope="module")
def scene(morocco_sub_swath):
    grid = MapGrid.around(AREA, 40.0)
    x, y = np.meshgrid(grid.x, grid.y)
    return morocco_sub_swath("20230904", "IW1"), morocco_sub_swath("20230916", "IW1"), grid, x, y


def test_line_of_sight_along_the_axes_of_the_map(scene):
    """Components are the projections on the directions in which eastings, northings and heights grow."""
    swath, _, grid, x, y = scene
    height = _surface(x, y, grid)
    sight = sight_lines(swath, grid, height)
    path = path_of(swath)
    for i, j in ((0, 0), (grid.height // 2, grid.width // 3), (grid.height - 1, grid.width - 1)):
        here = _cartesian(grid, x[i, j], y[i, j], height[i, j])
        time, _ = zero_doppler(path, here[None])
        to_satellite = path.position_m(float(time[0])) - here
        to_satellite = to_satellite / np.linalg.norm(to_satellite)
        axes = [
            _cartesian(grid, x[i, j] + dx, y[i, j] + dy, height[i, j] + dz) - here
            for dx, dy, dz in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        ]
        expected = [to_satellite @ axis / np.linalg.norm(axis) for axis in axes]
        assert [band[i, j] for band in sight] == pytest.approx(expected, abs=2e-6)
    assert sight.east.mean() > 0.5  # descending, looking to the right: the satellite stands in the east
    assert np.degrees(np.arccos(sight.up)).mean() == pytest.approx(34, abs=4)


def test_local_incidence_is_the_angle_to_the_normal(scene):
    """Against the cross product of tangents of the same terrain in Earth-fixed coordinates."""
    swath, _, grid, x, y = scene
    height = _surface(x, y, grid)
    got = local_incidence_deg(height, grid.spacing_m, sight_lines(swath, grid, height))
    path = path_of(swath)
    step = grid.spacing_m
    for i, j in ((5, 5), (20, 31), (40, 60)):
        here = _cartesian(grid, x[i, j], y[i, j], height[i, j])
        time, _ = zero_doppler(path, here[None])
        sight = path.position_m(float(time[0])) - here
        ends = [
            _cartesian(grid, x[i, j] + dx, y[i, j] + dy, _surface(x[i, j] + dx, y[i, j] + dy, grid))
            for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step))
        ]
        normal = np.cross(ends[0] - ends[1], ends[2] - ends[3])
        angle = np.degrees(np.arccos(sight @ normal / np.linalg.norm(sight) / np.linalg.norm(normal)))
        assert got[i, j] == pytest.approx(angle, abs=0.02)


@pytest.mark.parametrize(("slope", "towards"), [(20.0, 1), (20.0, -1), (0.0, 1)])
def test_tilted_plane(slope, towards):
    """A plane that rises towards or away from the satellite adds its slope to the incidence, or takes it."""
    theta = np.radians(35.0)
    flat = np.ones((8, 12), np.float32)
    sight = SightLines(flat * np.float32(np.sin(theta)), 0 * flat, flat * np.float32(np.cos(theta)))
    height = np.broadcast_to(towards * np.tan(np.radians(slope)) * 20.0 * np.arange(12), (8, 12))
    # the satellite stands in the east: ground that rises to the east leans away from it
    np.testing.assert_allclose(local_incidence_deg(height, 20.0, sight), 35 + towards * slope, atol=1e-3)


def test_baseline_of_every_cell(scene):
    """The map equals the archive's baseline, computed point by point, sign and all."""
    first, second, grid, x, y = scene
    height = _surface(x, y, grid)
    height[3, 3] = np.nan
    got = perpendicular_baseline_map(first, second, grid, height)
    assert np.isnan(got[3, 3])
    assert np.isnan(got).sum() == 1
    for i, j in ((0, 0), (30, 12), (grid.height - 1, grid.width - 1)):
        lon, lat = pyproj.Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(x[i, j], y[i, j])
        assert got[i, j] == pytest.approx(perpendicular_baseline_m(first, second, lon, lat, height[i, j]), abs=1e-4)
    assert abs(np.nanmean(got)) == pytest.approx(29.5, abs=0.5)


def test_gaps_stay_gaps_and_one_row_is_enough(scene):
    swath, _, grid, x, y = scene
    height = _surface(x, y, grid)
    height[10:12] = np.nan
    sight = sight_lines(swath, grid, height)
    assert np.isnan(sight.up[10:12]).all()
    assert np.isfinite(sight.up[12:]).all()
    row = MapGrid(grid.epsg, grid.west_m, grid.north_m, grid.spacing_m, 5, 1)
    one = sight_lines(swath, row, height[:1, :5])
    assert np.isfinite(local_incidence_deg(height[:1, :5], 40.0, one)).all()
    np.testing.assert_allclose(one.east, sight.east[:1, :5], atol=1e-6)


def test_cells_at_the_rim_know_their_neighbours(scene, rng):
    """A part of a map has the incidence of the whole, up to its rim."""
    swath, _, grid, _, _ = scene
    dem = DemArrays((500 + 60 * rng.random((90, 90))).astype(np.float32), -8.81, 31.84, 0.001, 0.0008)
    part = MapGrid(grid.epsg, grid.west_m + 400, grid.north_m - 400, grid.spacing_m, 20, 30)
    whole = local_incidence_map(swath, grid, dem)
    assert whole.shape == grid.shape
    np.testing.assert_allclose(local_incidence_map(swath, part, dem), whole[10:40, 10:30], atol=1e-4)
    heights = cell_heights(grid, dem)
    alone = local_incidence_deg(heights, grid.spacing_m, sight_lines(swath, grid, heights))
    np.testing.assert_allclose(alone[1:-1, 1:-1], whole[1:-1, 1:-1], atol=1e-4)
    assert np.abs(alone - whole).max() > 0.1
