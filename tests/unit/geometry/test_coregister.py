"""Coarse nodes against the direct solution of every pixel, and terrain against bisection."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.optimize import brentq

from insar_mining.geometry.coregister import (
    POST_SAMPLES,
    BurstFrame,
    Region,
    field_at_posts,
    ground_nodes,
    offset_nodes,
    surface_heights,
)
from insar_mining.geometry.range_doppler import DemArrays, arc_arrays, ground_point, to_cartesian, zero_doppler

BURST = 4
REGION = Region(600, 740, 6400, 8000)


@pytest.fixture(scope="module")
def reference(morocco_sub_swath):
    return morocco_sub_swath("20230904", "IW2")


@pytest.fixture(scope="module")
def secondary(morocco_sub_swath):
    return morocco_sub_swath("20230916", "IW2")


@pytest.fixture(scope="module")
def ground(reference):
    return ground_nodes(arc_arrays(reference.arc()), BurstFrame.of(reference, BURST), REGION)


def _terrain(ground, relief_m, wavelength_deg):
    lon, lat = ground.coefficients[..., 0]
    west, north, step = lon.min() - 0.15, lat.max() + 0.1, 1 / 3600
    x = west + step * np.arange(int((lon.max() + 0.15 - west) / step))
    y = north - step * np.arange(int((north - lat.min() + 0.1) / step))
    waves = np.sin(2 * np.pi * x / wavelength_deg) * np.cos(2 * np.pi * y[:, None] / wavelength_deg)
    return DemArrays((900 + relief_m / 2 * waves).astype(np.float32), west, north, step, step)


def test_offsets_agree_with_the_direct_solution(reference, secondary, ground, rng):
    """Between nodes and heights, offsets are within 1e-5 line and sample and 0.02 mm of range."""
    frame, other = BurstFrame.of(reference, BURST), BurstFrame.of(secondary, BURST)
    arc, arc2 = arc_arrays(reference.arc()), arc_arrays(secondary.arc())
    nodes = offset_nodes(ground, frame, arc2, other)
    height = rng.uniform(-400, 8000, (REGION.shape[0], REGION.posts))
    got = [field_at_posts(nodes, k, height, REGION.line_start, REGION.sample_start) for k in range(3)]
    for i, p in rng.integers(0, height.shape, (300, 2)):
        line, sample = REGION.line_start + i, REGION.sample_start + p * POST_SAMPLES
        t = frame.first_time_s + line * frame.line_interval_s
        slant_range = frame.first_range_m + sample * frame.range_spacing_m
        lon, lat = ground_point(arc, t, slant_range, height[i, p])
        t2, range2 = zero_doppler(arc2, *to_cartesian(lon, lat, height[i, p]), t)
        assert got[0][i, p] == pytest.approx(other.line_of(t2) - line, abs=1e-5)
        assert got[1][i, p] == pytest.approx(other.sample_of(range2) - sample, abs=1e-5)
        assert got[2][i, p] == pytest.approx(range2 - slant_range, abs=2e-5)


def test_heights_lie_on_the_terrain(reference, ground, rng):
    """On hills of 900 m the height found satisfies DEM(lon(h), lat(h)) = h to 5 cm of an exact solution."""
    dem = _terrain(ground, 900, 0.06)
    height = surface_heights(ground, dem, 600, 740, REGION.sample_start, REGION.posts, 1400.0)
    assert np.isfinite(height).all()
    assert np.ptp(height) > 700
    frame, arc = BurstFrame.of(reference, BURST), arc_arrays(reference.arc())
    lat = dem.north_deg - dem.step_lat_deg * np.arange(dem.height_m.shape[0])
    lon = dem.west_deg + dem.step_lon_deg * np.arange(dem.height_m.shape[1])
    surface = RegularGridInterpolator((lat[::-1], lon), dem.height_m[::-1].astype(float))
    for i, p in rng.integers(0, height.shape, (60, 2)):
        t = frame.first_time_s + (600 + i) * frame.line_interval_s
        slant_range = frame.first_range_m + (REGION.sample_start + p * POST_SAMPLES) * frame.range_spacing_m

        def above(h, t=t, slant_range=slant_range):
            x, y = ground_point(arc, t, slant_range, h)
            return float(surface((y, x))) - h

        # gentle hills have one crossing only
        assert height[i, p] == pytest.approx(brentq(above, 300, 1500, xtol=1e-6), abs=0.05)


def test_steep_terrain_is_solved_everywhere(ground):
    """Slopes beyond the incidence angle (layover) leave no pixel without a height, and none off the terrain."""
    dem = _terrain(ground, 1600, 0.02)
    height = surface_heights(ground, dem, 600, 740, REGION.sample_start, REGION.posts, 1800.0)
    assert np.isfinite(height).all()
    assert 99 <= height.min() < height.max() <= 1701


@pytest.mark.parametrize("relief", [900, 1600])
def test_a_part_of_a_region_has_the_same_heights(reference, ground, relief):
    """The height of a pixel does not depend on the region around it, even in layover."""
    dem = _terrain(ground, relief, 0.02)
    whole = surface_heights(ground, dem, 600, 740, REGION.sample_start, REGION.posts, 1900.0)
    part = Region(650, 700, 6720, 7360)
    small = ground_nodes(arc_arrays(reference.arc()), BurstFrame.of(reference, BURST), part)
    got = surface_heights(small, dem, 650, 700, part.sample_start, part.posts, 1750.0)
    first = (part.sample_start - REGION.sample_start) // POST_SAMPLES
    np.testing.assert_allclose(got, whole[50:100, first : first + part.posts], rtol=0, atol=1e-9)


def test_no_height_outside_the_elevation_model(ground):
    """Pixels whose ground lies beyond the posts are NaN, the others are not touched by it."""
    dem = _terrain(ground, 300, 0.06)
    half = dem._replace(height_m=dem.height_m[:, : dem.height_m.shape[1] // 2].copy())
    got = surface_heights(ground, half, 600, 640, REGION.sample_start, REGION.posts, 1400.0)
    whole = surface_heights(ground, dem, 600, 640, REGION.sample_start, REGION.posts, 1400.0)
    seen = np.isfinite(got)
    assert 0.1 < seen.mean() < 0.9
    np.testing.assert_allclose(got[seen], whole[seen], atol=1e-3)


def test_a_high_plateau_needs_no_wide_elevation_model(reference, ground):
    """At 4500 m the ground lies 6 km from where it would at sea level; 1 km of posts around it are enough."""
    lon, lat = ground.coefficients @ np.array([1, 4.5, 4.5**2, 4.5**3])  # cubics at 4.5 km
    margin, step = 0.012, 1 / 3600
    west, north = lon.min() - margin, lat.max() + margin
    shape = int((north - lat.min() + margin) / step), int((lon.max() + margin - west) / step)
    dem = DemArrays(np.full(shape, 4500, np.float32), west, north, step, step)
    height = surface_heights(ground, dem, 600, 740, REGION.sample_start, REGION.posts, 4500.0)
    np.testing.assert_allclose(height, 4500, atol=1e-3)


def test_cliffs_at_the_highest_point_are_found(ground):
    """Terrain that is highest where the walk down starts is met at its top, not lost."""
    dem = _terrain(ground, 1600, 0.02)
    top = float(np.nanmax(dem.height_m))
    height = surface_heights(ground, dem, 600, 740, REGION.sample_start, REGION.posts, top)
    assert np.isfinite(height).all()
    assert top - 30 < height.max() <= top + 1e-3
