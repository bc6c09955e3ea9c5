"""Places of cells against PROJ and the exact solution, values against scipy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.coregister import BurstFrame, Region
from insar_mining.geometry.geocode import Place, bilinear, look_up, nearest
from insar_mining.geometry.range_doppler import DemArrays, arc_arrays, radar_coordinates

SCENES = [(32629, 540_000.0, 3_440_000.0), (32629, 500_500.0, 3_478_000.0)]  # inside the Morocco scene


def _terrain(grid):
    west, south, east, north = grid.bounds_lonlat()
    x, y = np.arange(west - 0.02, east + 0.02, 1 / 3600), np.arange(north + 0.02, south - 0.02, -1 / 3600)
    height = 900 + 700 * np.sin(60 * x) * np.cos(50 * y[:, None])
    return DemArrays(height.astype(np.float32), float(x[0]), float(y[0]), 1 / 3600, 1 / 3600)


@pytest.mark.parametrize("spacing_m", [20.0, 5.0, 90.0])
@pytest.mark.parametrize(("epsg", "west", "north"), SCENES)
def test_cells_are_where_the_exact_solution_puts_them(morocco_sub_swath, epsg, west, north, spacing_m):
    """With PROJ and Newton's method for each cell: time to 5e-8 s, range to 1.3 cm, over 1400 m of relief."""
    swath = morocco_sub_swath("20230904", "IW2")
    grid = MapGrid(epsg, west, north, spacing_m, 333, 207)
    dem = _terrain(grid)
    look = look_up(swath, grid, dem)
    arc = swath.arc()
    lon, lat = grid.lonlat()
    time, slant_range, _ = radar_coordinates(arc_arrays(arc), dem, lon, lat, arc.centre_s)
    assert np.isfinite(time).all()
    assert np.abs(look.time_s - time).max() < 5e-8
    assert np.abs(look.slant_range_m - slant_range).max() < 0.013


def test_a_cell_has_one_place_whatever_the_grid(morocco_sub_swath):
    """A part of a grid, cut anywhere, gives the places of the whole to a nanometre."""
    swath = morocco_sub_swath("20230904", "IW2")
    grid = MapGrid(32629, 537820.0, 3438780.0, 20.0, 101, 77)
    part = dataclasses.replace(grid, west_m=grid.west_m + 7 * 20, north_m=grid.north_m - 13 * 20, width=50, height=41)
    dem = _terrain(grid)
    whole, some = look_up(swath, grid, dem), look_up(swath, part, dem)
    np.testing.assert_allclose(some.time_s, whole.time_s[13:54, 7:57], rtol=0, atol=1e-12)
    np.testing.assert_allclose(some.slant_range_m, whole.slant_range_m[13:54, 7:57], rtol=0, atol=1e-8)


def test_cells_without_height_or_out_of_sight_are_nowhere(morocco_sub_swath):
    """Beyond the elevation model, and on the other side of the track, time and range are NaN."""
    swath = morocco_sub_swath("20230904", "IW2")
    grid = MapGrid(*SCENES[0][:1], *SCENES[0][1:], 20.0, 60, 50)
    dem = _terrain(grid)
    half = dem._replace(height_m=dem.height_m[:, : dem.height_m.shape[1] // 2].copy())
    look = look_up(swath, grid, half)
    known = np.isfinite(look.time_s)
    assert 0.3 < known.mean() < 0.7
    np.testing.assert_allclose(look.time_s[known], look_up(swath, grid, dem).time_s[known], rtol=0, atol=1e-12)
    left = MapGrid(32631, 700_000.0, 3_440_000.0, 20.0, 40, 40)  # east of a descending track
    assert np.isnan(look_up(swath, left, _terrain(left)).time_s).all()


FRAME = BurstFrame(
    first_time_s=100.0, line_interval_s=0.5, first_range_m=8e5, range_spacing_m=4.0, lines=99, samples=99
)
PIECE = Region(3, 33, 5, 45)


def _look(line, sample):
    """Times and ranges of fractional positions in the piece, for windows whose middles lie (0.5, 0.25) further."""
    return 100.0 + 0.5 * (line + 3 + 0.5), 8e5 + 4 * (sample + 5 + 0.25)


def test_bilinear_agrees_with_scipy(rng):
    """Inside the image values equal scipy's; cells not chosen keep theirs; outside and beside NaN is NaN."""
    image = rng.uniform(size=(30, 40)).astype(np.float32)
    line, sample = rng.uniform(-2, 31, (50, 60)), rng.uniform(-2, 41, (50, 60))
    part = np.zeros((50, 60), np.bool_)
    part[4:48, 7:59] = rng.uniform(size=(44, 52)) < 0.8
    out = np.full((50, 60), -1, np.float32)
    place = Place.on(PIECE, FRAME, (0.5, 0.25))
    where = *_look(line, sample), place, part[4:48, 7:59].copy(), 4, 7, out
    bilinear(image, *where)
    assert (out[~part] == -1).all()
    inside = part & (line >= 0) & (line <= 29) & (sample >= 0) & (sample <= 39)
    np.testing.assert_allclose(out[inside], map_coordinates(image, [line[inside], sample[inside]], order=1), atol=1e-6)
    assert np.isnan(out[part & ~inside]).all()
    image[10, 20] = np.nan
    bilinear(image, *where)
    beside = part & (np.abs(line - 10) < 1) & (np.abs(sample - 20) < 1)
    assert np.isnan(out[beside]).all()
    assert np.isfinite(out[inside & ~beside]).all()
    nearest(image, *where)
    np.testing.assert_array_equal(
        out[inside], image[np.rint(line[inside]).astype(int), np.rint(sample[inside]).astype(int)]
    )
    assert (out[~part] == -1).all()


def test_exact_positions_ignore_neighbours_without_weight():
    """A cell exactly on a pixel takes that pixel even if the next one is NaN."""
    image = np.array([[1.0, np.nan], [2.0, np.nan]], np.float32)
    out = np.zeros((1, 1), np.float32)
    time, slant_range = _look(np.array([[0.25]]), np.array([[0.0]]))
    bilinear(image, time, slant_range, Place.on(PIECE, FRAME, (0.5, 0.25)), np.array([[True]]), 0, 0, out)
    assert out[0, 0] == pytest.approx(1.25)
