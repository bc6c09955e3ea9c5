"""Terrains: the model that is written, the geoid, and the shapes themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from insar_mining.errors import DemError
from insar_mining.geo.elevation import read_dem
from insar_mining.simulate import flat, hills, open_pit, ramp, terrain_from_dem, write_dem
from insar_mining.simulate.terrain import undulation_m

EPSG = 32629
CENTRE = (563_000.0, 3_509_000.0)
BOX = (-8.36, 31.69, -8.31, 31.74)


def test_the_written_model_has_its_posts_at_cell_centres(tmp_path: Path) -> None:
    terrain = hills(EPSG, CENTRE)
    with rasterio.open(write_dem(terrain, BOX, tmp_path / "dem.tif")) as source:
        assert source.crs.to_epsg() == 4326
        assert source.bounds.left <= BOX[0]
        assert source.bounds.top >= BOX[3]
        heights = source.read(1)
        for row, column in ((0, 0), (20, 77), (heights.shape[0] - 1, heights.shape[1] - 1)):
            longitude, latitude = source.xy(row, column)
            x, y = Transformer.from_crs(4326, EPSG, always_xy=True).transform(longitude, latitude)
            assert heights[row, column] == pytest.approx(float(terrain.orthometric_m(x, y)), abs=1e-3)
            # whole arc-seconds, as SRTM's posts
            assert longitude * 3600 == pytest.approx(round(longitude * 3600), abs=1e-6)


def test_the_project_reads_the_same_ellipsoidal_heights(tmp_path: Path) -> None:
    """The reader adds its own geoid to the file; the scatterers got SciPy's."""
    terrain = hills(EPSG, CENTRE)
    dem = read_dem(write_dem(terrain, BOX, tmp_path / "dem.tif"), bounds=BOX)
    rows, columns = np.meshgrid(np.arange(10, 150, 20), np.arange(10, 150, 20), indexing="ij")
    longitude = dem.west_deg + columns * dem.step_lon_deg
    latitude = dem.north_deg - rows * dem.step_lat_deg
    x, y = Transformer.from_crs(4326, EPSG, always_xy=True).transform(longitude, latitude)
    np.testing.assert_allclose(dem.height_m[rows, columns], terrain.ellipsoidal_m(x, y), atol=5e-3)


@pytest.mark.parametrize(
    ("longitude", "latitude", "expected"),
    [
        (0.0, 0.0, 17.16),
        (78.75, 4.75, -106.6),
    ],
)
def test_the_geoid_has_its_known_undulations(longitude: float, latitude: float, expected: float) -> None:
    """EGM96 where the equator meets the null meridian, and in the hole of the Indian Ocean."""
    assert float(undulation_m(longitude, latitude)) == pytest.approx(expected, abs=1.0)


def test_the_geoid_is_continuous_around_the_globe() -> None:
    for edge in (-180.125, 179.875, 180.0, 0.0, 360.0):
        assert float(undulation_m(edge - 1e-6, 12.3)) == pytest.approx(float(undulation_m(edge + 1e-6, 12.3)), abs=1e-3)


def slopes(terrain, size: float = 4000.0):  # type: ignore[no-untyped-def]
    x, y = np.meshgrid(CENTRE[0] + np.arange(-size, size, 10.0), CENTRE[1] + np.arange(-size, size, 10.0))
    height = terrain.orthometric_m(x, y)
    north, east = np.gradient(height, 10.0)
    return height, np.rad2deg(np.arctan(np.hypot(east, north)))


def test_the_shapes_are_what_they_say() -> None:
    height, slope = slopes(flat(EPSG, 123.0))
    assert (height == 123.0).all()
    height, slope = slopes(ramp(EPSG, CENTRE, slope_deg=10.0, towards_deg=90.0))
    np.testing.assert_allclose(slope, 10.0, atol=1e-6)
    assert (np.diff(height, axis=1) > 0).all(), "it rises to the east"
    height, slope = slopes(hills(EPSG, CENTRE), 9000.0)
    assert np.ptp(height) == pytest.approx(900.0, rel=0.03)
    assert 15 < slope.max() < 25
    height, slope = slopes(open_pit(EPSG, CENTRE))
    assert height.max() - height.min() > 120
    assert slope.max() < 25


def test_a_model_as_terrain_returns_its_posts_and_is_smooth_between(tmp_path: Path) -> None:
    source = hills(EPSG, CENTRE)
    path = write_dem(source, BOX, tmp_path / "dem.tif")
    terrain = terrain_from_dem(path, EPSG, bounds_deg=(-8.35, 31.70, -8.32, 31.73))
    x, y = np.meshgrid(CENTRE[0] + np.arange(-500, 500, 37.0), CENTRE[1] + np.arange(-500, 500, 37.0))
    np.testing.assert_allclose(terrain.orthometric_m(x, y), source.orthometric_m(x, y), atol=0.02)


def test_a_model_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = write_dem(flat(EPSG), BOX, tmp_path / "dem.tif")
    with pytest.raises(DemError, match="larger DEM"):
        terrain_from_dem(path, EPSG, bounds_deg=(-9.0, 31.70, -8.32, 31.73))
    with rasterio.open(path, "r+") as target:
        heights = target.read(1)
        heights[50, 50] = -32768.0
        target.write(heights, 1)
    with pytest.raises(DemError, match="no height"):
        terrain_from_dem(path, EPSG)
    with rasterio.open(path, "r+") as target:
        target.crs = "EPSG:32629"
    with pytest.raises(DemError, match="EPSG:4326"):
        terrain_from_dem(path, EPSG)
