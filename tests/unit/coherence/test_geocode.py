"""Places of cells against PROJ, values against scipy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from insar_mining.coherence.builtin.geocode import bilinear, lonlat_of_cells
from insar_mining.grid import MapGrid


@pytest.mark.parametrize(
    ("epsg", "west", "north"),
    [(32629, 537820.0, 3438780.0), (32734, 700000.0, 6931000.0), (32633, 320000.0, 9200000.0)],
)
def test_cells_are_where_proj_puts_them(epsg, west, north):
    """At any latitude and on either side of the central meridian, places agree with PROJ to 20 mm."""
    grid = MapGrid(epsg, west, north, 20.0, 333, 207)
    lon, lat = lonlat_of_cells(grid, slice(None))
    exact_lon, exact_lat = grid.lonlat()
    metres = 111_000.0
    assert np.abs(lat - exact_lat).max() * metres < 0.02
    assert np.abs((lon - exact_lon) * np.cos(np.deg2rad(exact_lat))).max() * metres < 0.02


def test_a_cell_has_one_place_whatever_the_grid():
    """A part of a grid, cut anywhere, gives bit for bit the places of the whole."""
    grid = MapGrid(32629, 537820.0, 3438780.0, 20.0, 101, 77)
    part = dataclasses.replace(grid, west_m=grid.west_m + 7 * 20, north_m=grid.north_m - 13 * 20, width=50, height=41)
    whole = lonlat_of_cells(grid, slice(None))
    for one, other in zip(lonlat_of_cells(part, slice(None)), whole, strict=True):
        np.testing.assert_allclose(one, other[13:54, 7:57], rtol=0, atol=1e-12)
    rows = lonlat_of_cells(grid, slice(20, 40))
    np.testing.assert_allclose(rows[0], whole[0][20:40], rtol=0, atol=1e-12)


def test_bilinear_agrees_with_scipy(rng):
    """Inside the image values equal scipy's; cells not chosen keep theirs; outside and beside NaN is NaN."""
    image = rng.uniform(size=(30, 40)).astype(np.float32)
    line, sample = rng.uniform(-2, 31, (50, 60)), rng.uniform(-2, 41, (50, 60))
    chosen = rng.uniform(size=(50, 60)) < 0.8
    out = np.full((50, 60), -1, np.float32)
    bilinear(image, line, sample, chosen, out)
    assert (out[~chosen] == -1).all()
    inside = chosen & (line >= 0) & (line <= 29) & (sample >= 0) & (sample <= 39)
    np.testing.assert_allclose(out[inside], map_coordinates(image, [line[inside], sample[inside]], order=1), atol=1e-6)
    assert np.isnan(out[chosen & ~inside]).all()
    image[10, 20] = np.nan
    bilinear(image, line, sample, chosen, out)
    beside = chosen & (np.abs(line - 10) < 1) & (np.abs(sample - 20) < 1)
    assert np.isnan(out[beside]).all()
    assert np.isfinite(out[inside & ~beside]).all()


def test_exact_positions_ignore_neighbours_without_weight():
    """A cell exactly on a pixel takes that pixel even if the next one is NaN."""
    image = np.array([[1.0, np.nan], [2.0, np.nan]], np.float32)
    out = np.zeros((1, 1), np.float32)
    bilinear(image, np.array([[0.25]]), np.array([[0.0]]), np.array([[True]]), out)
    assert out[0, 0] == pytest.approx(1.25)
