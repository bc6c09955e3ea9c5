"""Layover and shadow against ray tracing of analytic terrain, amplitude masks against known power."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.coherence.builtin.extras.masks import (
    MaskBit,
    amplitude_mask,
    combine,
    geometry_mask,
    layover_shadow,
    low_signal,
    mean_power,
    water_like,
)
from insar_mining.errors import OptionError
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.range_doppler import DemArrays
from insar_mining.geometry.view import SightLines

from .speckle import pair

LAYOVER = MaskBit.LAYOVER | MaskBit.PASSIVE_LAYOVER
SHADOW = MaskBit.SHADOW | MaskBit.PASSIVE_SHADOW
SPACING = 20.0


def _sight(shape, incidence_deg, azimuth_deg):
    """Parallel lines of sight to a satellite at an azimuth (clockwise from north)."""
    theta, azimuth = np.radians(incidence_deg), np.radians(azimuth_deg)
    return SightLines(
        *(
            np.full(shape, v, np.float32)
            for v in (np.sin(theta) * np.sin(azimuth), np.sin(theta) * np.cos(azimuth), np.cos(theta))
        )
    )


def _cells(shape):
    """Eastings and northings of cell centres around the middle."""
    row, column = np.mgrid[: shape[0], : shape[1]]
    return (column - shape[1] / 2 + 0.5) * SPACING, -(row - shape[0] / 2 + 0.5) * SPACING


def _traced(surface, x, y, incidence_deg, azimuth_deg, reach=1500.0, step=2.0):
    """Follow the profile through each point on the formula of the surface, two metres at a time.

    Slant range and angle of elevation of the whole profile, and what the point shares with it.
    """
    theta, azimuth = np.radians(incidence_deg), np.radians(azimuth_deg)
    distance = np.arange(-reach, reach + step / 2, step)  # positive away from the satellite
    middle = distance.size // 2
    layover, shadow = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    for place in np.ndindex(x.shape):
        height = surface(x[place] - distance * np.sin(azimuth), y[place] - distance * np.cos(azimuth))
        slant = distance * np.sin(theta) - height * np.cos(theta)
        above = height * np.sin(theta) + distance * np.cos(theta)  # distance from the ray through the origin
        layover[place] = (slant[:middle].max() >= slant[middle]) or (slant[middle + 1 :].min() <= slant[middle])
        shadow[place] = above[:middle].max() > above[middle]
    return layover, shadow


def _disagreement(got, expected):
    """Share of cells that differ from their tracing and from that of every neighbour."""
    near = np.zeros((*expected.shape, 9), bool)
    padded = np.pad(expected, 1, mode="edge")
    for k, (i, j) in enumerate(np.ndindex(3, 3)):
        near[..., k] = padded[i : i + expected.shape[0], j : j + expected.shape[1]]
    return float(((got != expected) & (got[..., None] != near).all(axis=-1)).mean()), float((got != expected).mean())


def _cone(x, y):
    return np.maximum(300 - 0.9 * np.hypot(x, y), 0.0)


def _ridge(x, y):
    return np.maximum(250 - 1.3 * np.abs(x + 0.3 * y), 0.0)


def _pit(x, y):
    return -np.clip(1.2 * (400 - np.hypot(x, y)), 0.0, 200.0)


@pytest.mark.parametrize("azimuth", [100.0, 217.0])
@pytest.mark.parametrize(("surface", "incidence"), [(_cone, 36.0), (_ridge, 31.0), (_ridge, 45.0), (_pit, 40.0)])
def test_hills_and_pits_are_ray_traced(surface, incidence, azimuth):
    """A cone, a ridge and a pit, seen from two sides: as traced on their formulas, but for cells on the line."""
    shape, inside = (132, 132), np.s_[26:-26, 26:-26]  # what reaches in from beyond the map is not known to it
    x, y = _cells(shape)
    got = layover_shadow(surface(x, y), SPACING, _sight(shape, incidence, azimuth))[inside]
    x, y = x[inside], y[inside]
    layover, shadow = _traced(surface, x, y, incidence, azimuth)
    assert layover.mean() > 0.02
    for bits, expected in ((LAYOVER, layover), (SHADOW, shadow)):
        off, on_the_line = _disagreement((got & bits) > 0, expected)
        assert off < 0.001
        assert on_the_line < 0.02
    flat_in_it = (np.hypot(*np.gradient(surface(x, y))) == 0) & ((got & LAYOVER) > 0)
    assert (got[flat_in_it] & MaskBit.PASSIVE_LAYOVER).all()


def test_wall_has_the_extents_of_geometry():
    """A wall of 200 m across the view: layover of h / tan(theta) before and on it, shadow of h tan(theta) behind."""
    shape, theta = (5, 200), 35.0
    x, _ = _cells(shape)
    height = np.where((x > 0) & (x < 400), 200.0, 0.0)  # the satellite stands in the west
    got = layover_shadow(height, SPACING, _sight(shape, theta, 270.0))[2]
    cot, tan = 1 / np.tan(np.radians(theta)), np.tan(np.radians(theta))
    before = np.count_nonzero((got & LAYOVER > 0) & (x[2] < 0)) * SPACING
    on_it = np.count_nonzero((got & LAYOVER > 0) & (x[2] > 0)) * SPACING
    behind = np.count_nonzero((got & SHADOW > 0) & (x[2] > 400)) * SPACING
    assert before == pytest.approx(200 * cot, abs=SPACING)
    assert on_it == pytest.approx(200 * cot, abs=SPACING)
    assert behind == pytest.approx(200 * tan, abs=SPACING)
    assert not got[(x[2] < -320) | (x[2] > 580)].any()


@pytest.mark.parametrize(
    ("slope", "expected"),
    [(0, 0), (34, 0), (36, MaskBit.LAYOVER), (60, MaskBit.LAYOVER), (-54, 0), (-56, MaskBit.SHADOW)],
)
def test_planes(slope, expected):
    """A plane is in active layover from the incidence angle on, in active shadow from 90 degrees less it on."""
    shape = (40, 40)
    x, _ = _cells(shape)
    got = layover_shadow(x * np.tan(np.radians(slope)), SPACING, _sight(shape, 35.0, 270.0))
    assert (got[10:-10, 10:-10] == expected).all()


def test_gaps_cast_nothing():
    """No height is marked and neither hides nor stretches anything."""
    shape = (30, 60)
    height = np.zeros(shape)
    height[10, 20] = np.nan
    got = layover_shadow(height, SPACING, _sight(shape, 35.0, 270.0))
    assert got[10, 20] == MaskBit.NO_HEIGHT
    assert np.count_nonzero(got) == 1
    assert (layover_shadow(np.full(shape, np.nan), SPACING, _sight(shape, 35.0, 270.0)) == MaskBit.NO_HEIGHT).all()


def test_mask_of_a_grid_knows_the_hills_around_it(morocco_sub_swath):
    """A part of a map has the mask of the whole: hills outside throw their shadow into it."""
    swath = morocco_sub_swath("20230904", "IW1")
    post = np.arange(150) * 0.0005
    lon, lat = np.meshgrid(-8.81 + post, 31.84 - post)
    peak = np.hypot((lon + 8.7725) * 94500, (lat - 31.8025) * 110900)
    dem = DemArrays(np.maximum(900 - 1.5 * peak, 100).astype(np.float32), -8.81, 31.84, 0.0005, 0.0005)
    west, north = 522000.0 - 600, 3518800.0 + 600
    whole = geometry_mask(swath, MapGrid(32629, west, north, SPACING, 60, 60), dem)
    part = geometry_mask(swath, MapGrid(32629, west + 200, north - 400, SPACING, 17, 23), dem)
    assert (whole & LAYOVER > 0).mean() > 0.1
    assert 0.05 < (part > 0).mean() < 0.999
    np.testing.assert_array_equal(part, whole[20:43, 10:27])


def test_low_signal_of_speckle_over_noise(rng, morocco_sub_swath):
    """Echo 6 dB above noise is kept, echo at the noise is not, by the power that the image itself has."""
    first, noise = pair(rng, morocco_sub_swath("20230904", "IW2"), (120, 400), 0.0)
    image = 10 * (np.where(np.arange(400) < 200, 2.0, 1.0) * first + noise)
    image[50:60, 50:90] = np.nan
    power = mean_power(image.astype(np.complex64))
    dark = low_signal(power, 100.0)
    assert dark[:, :180].mean() < 0.01
    assert dark[:, 220:].mean() > 0.9
    assert np.isnan(power).sum() == 6 * 20
    assert power[:, :180][np.isfinite(power[:, :180])].mean() == pytest.approx(500, rel=0.03)
    assert not low_signal(np.float32(np.nan), 1.0)


def test_water_is_dark_on_both_dates_and_level(rng):
    """A lake is found; a dark slope, a lake dark on one date, and lone dark cells are not."""
    shape = (60, 120)
    first, second = np.zeros(shape, bool), np.zeros(shape, bool)
    height = np.zeros(shape)
    for columns in (slice(10, 30), slice(50, 70), slice(90, 110)):
        first[20:40, columns] = second[20:40, columns] = True
    second[:, 50:70] = False
    height[:, 90:] = 20 * 0.2 * np.arange(30)
    first[5, 5] = second[5, 5] = True
    found = water_like(first, second, height, SPACING)
    assert found[21:39, 11:29].all()
    assert found.sum() <= 400
    assert not found[:, 35:].any()
    assert not found[5, 5]


def test_amplitude_bits_of_both_dates():
    """Weak on one date: low signal; weak on both and level: like water too."""
    noise = np.full((20, 60), 100.0)
    first, second = np.full((20, 60), 1000.0), np.full((20, 60), 1000.0)
    first[:, :40] = 150.0
    second[:, :20] = 150.0
    got = amplitude_mask((first, second), (noise, noise), np.zeros((20, 60)), SPACING)
    assert (got[:, :18] == MaskBit.LOW_SIGNAL | MaskBit.WATER_LIKE).all()
    assert (got[:, 20:40] == MaskBit.LOW_SIGNAL).all()
    assert not got[:, 40:].any()


def test_bits_are_joined(rng):
    geometry = np.array([[1, 0, 128]], np.uint8)
    low = np.array([[True, True, False]])
    got = combine(geometry, low, ~low)
    assert got.dtype == np.uint8
    assert got.tolist() == [[17, 16, 160]]
    assert geometry.tolist() == [[1, 0, 128]]


def test_refuses_what_is_no_view():
    with pytest.raises(OptionError, match="differ"):
        layover_shadow(np.zeros((3, 3)), SPACING, _sight((4, 4), 35.0, 90.0))
    with pytest.raises(OptionError, match="horizon"):
        layover_shadow(np.zeros((4, 4)), SPACING, _sight((4, 4), 95.0, 90.0))
