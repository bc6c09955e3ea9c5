"""Where maps lie: kilometres against independent geodesy, orientation, aggregation."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from pyproj import Geod, Transformer
from shapely.geometry import Point

from insar_mining.errors import ReportError
from insar_mining.report.frame import MapFrame, scale_bar_km, thin_factor, thin_majority, thin_mean


def raster(values, x, y, **attrs):
    return xr.DataArray(np.asarray(values), dims=("y", "x"), coords={"y": y, "x": x}, attrs=attrs, name="r")


def test_utm_kilometres_are_grid_kilometres_divided_by_the_scale_factor():
    # near the central meridian of zone 29 (500 km easting) the UTM scale factor is 0.9996
    x, y = 500_010.0 + 20.0 * np.arange(500), 3_520_000.0 - 20.0 * np.arange(300)
    frame = MapFrame.of(raster(np.zeros((300, 500)), x, y, crs="EPSG:32629"))
    assert frame.size_km[0] == pytest.approx(10.0 / 0.9996, rel=2e-5)
    assert frame.size_km[1] == pytest.approx(6.0 / 0.9996, rel=2e-5)


def test_geographic_and_mercator_rasters_get_the_kilometres_of_the_ground():
    west, north, step = -8.8, 60.1, 0.001
    lon, lat = west + step * (np.arange(100) + 0.5), north - step * (np.arange(200) + 0.5)
    frame = MapFrame.of(raster(np.zeros((200, 100)), lon, lat, crs="EPSG:4326"))
    # WGS 84 radii of curvature at the middle latitude, from their closed forms
    a, e2, middle = 6_378_137.0, 6.69437999014e-3, np.deg2rad(60.0)
    bend = 1 - e2 * np.sin(middle) ** 2
    parallel = a / np.sqrt(bend) * np.cos(middle) * np.deg2rad(0.1) / 1000
    meridian = a * (1 - e2) / bend**1.5 * np.deg2rad(0.2) / 1000
    assert frame.size_km == (pytest.approx(parallel, rel=1e-5), pytest.approx(meridian, rel=1e-5))
    to_mercator = Transformer.from_crs(4326, 3857, always_xy=True)
    x0, y0 = to_mercator.transform(west, north)
    x1, y1 = to_mercator.transform(west + 0.1, north - 0.2)
    mercator = MapFrame.of(
        raster(
            np.zeros((50, 50)),
            x0 + (x1 - x0) * (np.arange(50) + 0.5) / 50,
            y0 + (y1 - y0) * (np.arange(50) + 0.5) / 50,
            crs="EPSG:3857",
        )
    )
    assert mercator.size_km == (pytest.approx(parallel, rel=1e-3), pytest.approx(meridian, rel=1e-3))


def test_a_point_of_the_outline_lies_at_its_geodesic_distance_from_the_corner():
    x, y = 700_010.0 + 20.0 * np.arange(100), 3_520_000.0 - 10 - 20.0 * np.arange(100)
    frame = MapFrame.of(raster(np.zeros((100, 100)), x, y, crs="EPSG:32629"))
    to_lonlat = Transformer.from_crs(32629, 4326, always_xy=True)
    corner, target = to_lonlat.transform(700_000.0, 3_518_000.0), to_lonlat.transform(701_200.0, 3_518_900.0)
    (ring,) = frame.rings_km(Point(target).buffer(1e-7))
    _, _, metres = Geod(ellps="WGS84").inv(*corner, *target)
    assert np.hypot(*ring.mean(axis=0)) == pytest.approx(metres / 1000, rel=1e-4)
    assert ring.mean(axis=0) == pytest.approx([1.2, 0.9], rel=1e-3)


@pytest.mark.parametrize(("flip_y", "flip_x"), [(False, False), (True, False), (False, True), (True, True)])
def test_north_is_up_and_west_is_left_however_the_raster_is_stored(flip_y, flip_x):
    values = np.arange(6.0).reshape(2, 3)
    stored = raster(values, [1.0, 3.0, 5.0], [52.0, 50.0], crs="EPSG:32629").isel(
        y=slice(None, None, -1 if flip_y else 1), x=slice(None, None, -1 if flip_x else 1)
    )
    frame = MapFrame.of(stored)
    np.testing.assert_array_equal(frame.north_up(stored), values)
    assert (frame.west, frame.north) == (0.0, 53.0)


def test_one_cell_takes_its_size_from_the_transform_or_says_what_is_missing():
    one = raster([[1.0]], [500_010.0], [3_520_010.0], crs="EPSG:32629")
    with pytest.raises(ReportError, match="transform"):
        MapFrame.of(one)
    frame = MapFrame.of(one.assign_attrs(transform=(20.0, 0.0, 500_000.0, 0.0, -20.0, 3_520_020.0)))
    assert (frame.west, frame.north, frame.step_x, frame.step_y) == (500_000.0, 3_520_020.0, 20.0, 20.0)


def test_rasters_without_a_place_are_named():
    good = raster(np.zeros((3, 3)), [0.0, 1.0, 2.0], [2.0, 1.0, 0.0], crs="EPSG:32629")
    with pytest.raises(ReportError, match="'crs'"):
        MapFrame.of(good.drop_attrs())
    with pytest.raises(ReportError, match="coordinate 'x'"):
        MapFrame.of(good.drop_vars("x"))
    with pytest.raises(ReportError, match="uneven"):
        MapFrame.of(good.assign_coords(x=[0.0, 1.0, 4.0]))
    with pytest.raises(ReportError, match="2 x 3 cells"):
        MapFrame.of(good).north_up(good.isel(y=slice(2)))


def test_large_maps_are_averaged_not_sampled():
    values = np.zeros((2401, 1300), dtype=np.float32)
    values[2400, 1299] = 9.0
    values[0, 0], values[:3, 3:6] = np.nan, np.nan
    assert thin_factor(*values.shape) == 3
    thin = thin_mean(values)
    assert thin.shape == (801, 434)
    assert thin[800, 433] == 9.0, "the last block has one cell only: padding must not dilute it"
    assert thin[0, 0] == 0.0
    assert np.isnan(thin[0, 1])
    assert thin_mean(values[:1200, :1200]) is not None
    np.testing.assert_array_equal(thin_mean(values[:1200, :1200]), values[:1200, :1200])


def test_large_maps_of_labels_take_the_majority_of_each_block():
    rng = np.random.default_rng(5)
    labels = rng.integers(-1, 8, (1500, 1203)).astype(np.int16)
    thin = thin_majority(labels)
    assert thin.shape == (750, 602)
    for row, column in [(0, 0), (3, 7), (749, 601), (200, 600)]:
        block = labels[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        names, counts = np.unique(block, return_counts=True)
        assert counts[list(names).index(thin[row, column])] == counts.max()


@pytest.mark.parametrize("width", [0.013, 0.4, 1.0, 3.3, 7.0, 52.0, 1234.0])
def test_the_scale_bar_is_round_and_fits(width):
    length = scale_bar_km(width)
    digits = f"{length:.0e}"[0]
    assert digits in "125"
    assert 0.1 * width < length <= 0.3 * width * (1 + 1e-9)
