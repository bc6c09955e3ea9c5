"""Range-Doppler geometry against ESA's own tie points, pyproj and scipy."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from scipy.interpolate import RegularGridInterpolator

from insar_mining.geometry.range_doppler import (
    DemArrays,
    arc_arrays,
    ground_point,
    orbit_state,
    radar_coordinates,
    terrain_height,
    to_cartesian,
    to_geodetic,
    zero_doppler,
)
from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S

TO_CARTESIAN = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)


def test_ellipsoid_agrees_with_proj(rng):
    """Both conversions agree with PROJ from pole to pole and from -500 m to 9 km."""
    for lon, lat, height in zip(
        rng.uniform(-180, 180, 200), rng.uniform(-90, 90, 200), rng.uniform(-500, 9000, 200), strict=True
    ):
        x, y, z = TO_CARTESIAN.transform(lon, lat, height)
        assert to_cartesian(lon, lat, height) == pytest.approx((x, y, z), abs=1e-6)
        got = to_geodetic(x, y, z)
        assert np.rad2deg(got[0]) == pytest.approx(lon, abs=1e-11)
        assert np.rad2deg(got[1]) == pytest.approx(lat, abs=1e-11)
        assert got[2] == pytest.approx(height, abs=1e-5)


def test_orbit_state_is_the_arc_and_its_derivatives(morocco_sub_swath):
    """Kernel and arc agree; velocity and acceleration are the derivatives of position."""
    arc = morocco_sub_swath("20230904", "IW1").arc()
    t, step = arc.centre_s + 7.7, 1e-3
    state = np.array(orbit_state(arc_arrays(arc), t))
    np.testing.assert_allclose(state[:3], arc.position_m(t), rtol=1e-14)
    np.testing.assert_allclose(state[3:6], arc.velocity_m_s(t), rtol=1e-12)
    slope = (arc.velocity_m_s(t + step) - arc.velocity_m_s(t - step)) / (2 * step)
    np.testing.assert_allclose(state[6:], slope, atol=1e-7)


@pytest.mark.parametrize("swath", ["IW1", "IW2", "IW3"])
def test_tie_points_of_the_annotation(morocco_sub_swath, swath):
    """ESA's tie points (position with height -> time and range) are met to 3 us and 1 mm, and back."""
    annotation = morocco_sub_swath("20230904", swath)
    arc, grid = arc_arrays(annotation.arc()), annotation.geolocation
    for point in np.ndindex(*grid.line.shape):
        lon, lat, height = grid.longitude_deg[point], grid.latitude_deg[point], grid.height_m[point]
        t, slant_range = zero_doppler(arc, *to_cartesian(lon, lat, height), annotation.arc().centre_s)
        assert t == pytest.approx(grid.azimuth_time_s[point], abs=3e-6)
        assert slant_range == pytest.approx(grid.slant_range_time_s[point] * SPEED_OF_LIGHT_M_S / 2, abs=1e-3)
        back = ground_point(arc, t, slant_range, height)
        assert back == pytest.approx((lon, lat), abs=1e-8)  # a millimetre


def test_left_of_the_track_is_not_seen(morocco_sub_swath):
    """A point mirrored to the other side has the same range and time, yet it is not in the image."""
    annotation = morocco_sub_swath("20230904", "IW2")
    arc = annotation.arc()
    grid = annotation.geolocation
    lon, lat = grid.longitude_deg[5, 10], grid.latitude_deg[5, 10]
    nadir = pyproj.Transformer.from_crs(4978, 4979, always_xy=True).transform(
        *arc.position_m(grid.azimuth_time_s[5, 10])
    )
    dem = DemArrays(np.zeros((400, 4000), np.float32), -30.0, 34.0, 0.01, 0.01)
    points = np.array([[lon, 2 * nadir[0] - lon]]), np.array([[lat, 2 * nadir[1] - lat]])
    time, slant_range, _ = radar_coordinates(arc_arrays(arc), dem, *points, arc.centre_s)
    assert np.isfinite(time[0, 0])
    assert np.isnan(time[0, 1])
    assert np.isnan(slant_range[0, 1])


def test_terrain_is_bilinear_between_post_centres(rng):
    """Heights agree with scipy between posts, are exact on posts and NaN outside or beside a void."""
    height = rng.uniform(0, 1000, (20, 30)).astype(np.float32)
    dem = DemArrays(height, -9.0, 32.0, 0.002, 0.001)
    lon, lat = -9.0 + 0.002 * np.arange(30), 32.0 - 0.001 * np.arange(20)
    oracle = RegularGridInterpolator((lat[::-1], lon), height[::-1].astype(float))
    for x, y in zip(rng.uniform(lon[0], lon[-1], 200), rng.uniform(lat[-1], lat[0], 200), strict=True):
        assert terrain_height(dem, x, y) == pytest.approx(float(oracle((y, x))), abs=1e-3)
    assert terrain_height(dem, lon[-1] - 1e-12, lat[-1] + 1e-12) == pytest.approx(height[-1, -1], abs=1e-3)
    for x, y in ((-9.001, 31.99), (-8.9, 31.99), (-8.99, 32.001), (-8.99, 31.9)):
        assert np.isnan(terrain_height(dem, x, y))
    height[5, 5] = np.nan
    assert np.isnan(terrain_height(dem, lon[5] + 0.0005, lat[5]))
