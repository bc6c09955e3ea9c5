"""Kernels of the engine, one by one, by pytest-benchmark: for comparing one version with another.

    python -m pytest -o addopts= benchmarks/test_kernels.py --benchmark-json benchmarks/results/kernels.json
    python -m pytest -o addopts= benchmarks/test_kernels.py --benchmark-compare FILE

A block of 128 lines of a full-width burst (23040 samples); threads as the machine allows.  Not part of the tests.
"""

from __future__ import annotations

import lzma
from typing import Any

import numpy as np
import pytest
from noise import BURST, DATES, MOROCCO

from insar_mining.coherence.builtin.images import resample
from insar_mining.coherence.estimators import estimate
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry import coregister, geocode
from insar_mining.geometry.coregister import POST_SAMPLES, BurstFrame, Region
from insar_mining.geometry.range_doppler import DemArrays, arc_arrays
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.tops import tops_ramp

LINES, SAMPLES = 128, 23040
POSTS = SAMPLES // POST_SAMPLES + 1


@pytest.fixture(scope="module")
def swath() -> SubSwath:
    """Real annotation of IW1."""
    (packed,) = MOROCCO.glob(f"s1a-iw1-slc-vv-{DATES[0]}t*.xml.xz")
    return parse_annotation(lzma.decompress(packed.read_bytes()), source=packed.name)


@pytest.fixture(scope="module")
def image() -> Any:
    """Noise with the lines that interpolation needs beyond the block."""
    rng = np.random.default_rng(0)
    shape = LINES + 16, SAMPLES
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.fixture(scope="module")
def ramp(swath: SubSwath) -> resample.RampArrays:
    """Carrier of the burst."""
    return resample.ramp_arrays(tops_ramp(swath, BURST, np.arange(swath.samples_per_burst)), 0)


@pytest.fixture(scope="module")
def hills() -> DemArrays:
    """One second posts over the burst, 900 m of relief."""
    lon, lat = np.arange(-9.4, -7.7, 1 / 3600), np.arange(31.5, 30.6, -1 / 3600)
    height = 500 + 450 * np.sin(100 * lon) * np.cos(100 * lat[:, None])
    return DemArrays(height.astype(np.float32), float(lon[0]), float(lat[0]), 1 / 3600, 1 / 3600)


def test_deramp(benchmark: Any, image: Any, ramp: Any) -> None:
    """Remove the carrier."""
    benchmark(resample.deramp, image, ramp, 600, 0)


def test_resample_range(benchmark: Any, swath: SubSwath, image: Any) -> None:
    """Interpolate along range."""
    weights = resample.interpolation_weights(swath.range_bandwidth, swath.range_sampling_rate_hz)
    offset = np.full((LINES, POSTS), 0.3)
    rows = np.clip(np.arange(LINES + 16) - 8, 0, LINES - 1)
    benchmark(resample.resample_range, image, 0, weights, offset, rows, SAMPLES, 0)


def test_resample_azimuth(benchmark: Any, swath: SubSwath, image: Any, ramp: Any) -> None:
    """Interpolate along azimuth, put the carrier back, remove the phase."""
    weights = resample.interpolation_weights(swath.azimuth_bandwidth, swath.azimuth_frequency_hz)
    offset = np.full((LINES, POSTS), 0.3)
    benchmark(resample.resample_azimuth, image, 592, weights, ramp, offset, offset, 226.0, offset, 600, 0)


def test_coherence(benchmark: Any, image: Any) -> None:
    """Sum the window."""
    benchmark(estimate.coherence, image, image, 2, 7)


def test_surface_heights(benchmark: Any, swath: SubSwath, hills: DemArrays) -> None:
    """Meet the terrain at every line and fourth sample."""
    region = Region(600, 600 + LINES, 0, SAMPLES)
    ground = coregister.ground_nodes(arc_arrays(swath.arc()), BurstFrame.of(swath, BURST), region)
    benchmark(coregister.surface_heights, ground, hills, 600, 600 + LINES, 0, POSTS, 950.0)


def test_look_up(benchmark: Any, swath: SubSwath, hills: DemArrays) -> None:
    """Find a million cells of 20 m in time and range."""
    benchmark(geocode.look_up, swath, MapGrid(32629, 532_000.0, 3_446_000.0, 20.0, 1000, 1000), hills)
