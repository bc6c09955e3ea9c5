"""Coregistration of whole regions against the simulator's geometry, which shares no code with the engine's.

The simulator solves orbits by Hermite interpolation, places by PROJ and terrain as a formula; the engine has
an orbit fit, its own ellipsoid, nodes every 32 x 64 pixels, and a raster of heights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pyproj import Transformer

from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.builtin.images.dates import Phases, Relief, Resampler
from insar_mining.geo.elevation import read_dem
from insar_mining.geometry.coregister import Region, field_at_posts
from insar_mining.geometry.terrain import dem_arrays
from insar_mining.simulate import hills, write_dem
from insar_mining.simulate.geometry import locate, shifted_orbit, to_ecef, to_geodetic, zero_doppler
from insar_mining.simulate.truth import path_of

EPSG = 32629
BURST = 4
REGION = Region(500, 900, 9600, 11520)


@dataclass(frozen=True)
class Offsets:
    """Secondary minus reference at some pixels: lines, samples, slant range."""

    lines: np.ndarray
    samples: np.ndarray
    range_m: np.ndarray


def _independent(reference, secondary, line, sample, terrain):
    """Solve the pixels' ground on the formula of the terrain, and find it again from the other orbit."""
    frame = Side(None, reference, BURST).frame
    time = frame.first_time_s + line * frame.line_interval_s
    slant_range = frame.first_range_m + sample * frame.range_spacing_m
    path = path_of(reference)
    to_map = Transformer.from_crs(4326, EPSG, always_xy=True)
    height = np.full(line.shape, 800.0)
    for _ in range(60):
        lon, lat = locate(path, time, slant_range, height)
        height = height + 0.6 * (terrain.ellipsoidal_m(*to_map.transform(lon, lat)) - height)
    lon, lat = locate(path, time, slant_range, height)
    assert np.abs(terrain.ellipsoidal_m(*to_map.transform(lon, lat)) - height).max() < 1e-4
    time_2, range_2 = zero_doppler(path_of(secondary), to_ecef(lon, lat, height))
    other = Side(None, secondary, BURST).frame
    return Offsets(other.line_of(time_2) - line, other.sample_of(range_2) - sample, range_2 - slant_range)


def _engine(reference, secondary, line, post, dem):
    """Take the same from the engine's posts."""
    stack, side = Side(None, reference, BURST), Side(None, secondary, BURST)
    relief = Relief(REGION, stack, dem)
    resampler = Resampler.of(relief, side, stack, Phases())
    height = relief.heights(REGION.line_start, REGION.line_stop)
    fields = [
        field_at_posts(resampler.offsets, k, height, REGION.line_start, REGION.sample_start)[
            line - REGION.line_start, post
        ]
        for k in range(3)
    ]
    return Offsets(*fields)


@pytest.mark.parametrize("baseline_m", [100.0, 250.0, -250.0])
@pytest.mark.parametrize("swath", ["IW1", "IW3"])
def test_offsets_and_phase_over_hills(morocco_sub_swath, tmp_path, rng, swath, baseline_m):
    """Over 900 m of relief: 0.0005 line and sample rms, phase 0.03 rad rms."""
    reference = morocco_sub_swath("20230904", swath)
    path = path_of(reference)
    frame = Side(None, reference, BURST).frame
    middle_line, middle_sample = 700.0, 10560.0
    lon, lat = locate(
        path,
        np.array(frame.first_time_s + middle_line * frame.line_interval_s),
        np.array(frame.first_range_m + middle_sample * frame.range_spacing_m),
        np.array(800.0),
    )
    centre = Transformer.from_crs(4326, EPSG, always_xy=True).transform(float(lon), float(lat))
    terrain = hills(EPSG, centre, relief_m=900.0)
    bounds = float(lon) - 0.12, float(lat) - 0.12, float(lon) + 0.12, float(lat) + 0.12
    dem = dem_arrays(read_dem(write_dem(terrain, bounds, tmp_path / "dem.tif"), bounds, margin_deg=0.0))
    orbit = shifted_orbit(reference.orbit, to_ecef(float(lon), float(lat), 800.0), baseline_m)
    secondary = replace(reference, orbit=orbit)

    line = rng.integers(REGION.line_start, REGION.line_stop, 3000)
    post = rng.integers(0, REGION.posts - 1, 3000)
    expected = _independent(reference, secondary, line.astype(float), REGION.sample_start + 4.0 * post, terrain)
    got = _engine(reference, secondary, line, post, dem)
    assert np.ptp(expected.samples) > 0.05
    assert _rms(got.lines - expected.lines) < 5e-4
    assert _rms(got.samples - expected.samples) < 5e-4
    phase = 4 * np.pi / reference.wavelength_m * (got.range_m - expected.range_m)
    assert _rms(phase) < 0.03
    assert 4 * np.pi / reference.wavelength_m * np.ptp(expected.range_m) > 20


def _rms(values):
    return float(np.sqrt(np.mean(values**2)))


def test_geodetic_helpers_are_inverse():
    """The oracle's own way to and from Earth-fixed coordinates closes."""
    assert np.allclose(to_geodetic(to_ecef(-8.5, 31.2, 700.0)), (-8.5, 31.2, 700.0), atol=1e-8)
