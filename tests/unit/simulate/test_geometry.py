"""The slow geometry, against SciPy's root finder, ESA's tie points and left-out state vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from insar_mining.errors import OrbitError
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.orbit import Orbit
from insar_mining.simulate.geometry import locate, look_frame, shifted_orbit, to_ecef, trajectory, zero_doppler
from insar_mining.simulate.pixels import sample_of
from insar_mining.simulate.truth import path_of

Swaths = Callable[[str, str], SubSwath]


@pytest.mark.parametrize("swath", ["IW1", "IW2", "IW3"])
@pytest.mark.parametrize("date", ["20230904", "20230916"])
def test_esas_tie_points_fall_on_their_lines_and_samples(morocco_sub_swath: Swaths, date: str, swath: str) -> None:
    """The geolocation grid was made by the processor; it is given to about a centimetre."""
    annotation = morocco_sub_swath(date, swath)
    grid = annotation.geolocation
    time, slant = zero_doppler(path_of(annotation), to_ecef(grid.longitude_deg, grid.latitude_deg, grid.height_m))
    assert np.abs(sample_of(annotation, slant) - grid.sample).max() < 0.005
    assert np.abs(time - grid.azimuth_time_s).max() / annotation.azimuth_time_interval_s < 0.005


def test_a_left_out_state_vector_is_predicted_to_millimetres(morocco_sub_swath: Swaths) -> None:
    orbit = morocco_sub_swath("20230904", "IW1").orbit
    middle = orbit.time_s.size // 2
    keep = np.arange(orbit.time_s.size) != middle
    thinned = Orbit(orbit.time_s[keep], orbit.position_m[keep], orbit.velocity_m_s[keep], "thinned")
    time = orbit.time_s[middle]
    path = trajectory(thinned, time - 5, time + 5)
    # times are rounded to microseconds, 7 mm along the track; across it they do not matter
    miss = path.position_m(time) - orbit.position_m[middle]
    forward = orbit.velocity_m_s[middle] / np.linalg.norm(orbit.velocity_m_s[middle])
    assert abs(miss @ forward) < 0.02
    assert np.linalg.norm(miss - (miss @ forward) * forward) < 0.002
    np.testing.assert_allclose(path.velocity_m_s(time), orbit.velocity_m_s[middle], atol=2e-3)


def test_zero_doppler_time_is_the_root_that_scipy_finds(narrow_swath: SubSwath) -> None:
    path = path_of(narrow_swath)
    grid = narrow_swath.geolocation
    points = to_ecef(grid.longitude_deg, grid.latitude_deg, grid.height_m + 150.0)[:, ::7]
    time, slant = zero_doppler(path, points)
    for where in np.ndindex(time.shape):
        point = points[where]
        root = brentq(
            lambda t, p=point: float((p - path.position_m(t)) @ path.velocity_m_s(t)),
            path.start_s,
            path.stop_s,
            xtol=1e-13,
        )
        assert time[where] == pytest.approx(root, abs=1e-9)
        assert slant[where] == pytest.approx(float(np.linalg.norm(point - path.position_m(root))), abs=1e-6)


def test_locate_undoes_zero_doppler(narrow_swath: SubSwath) -> None:
    path = path_of(narrow_swath)
    grid = narrow_swath.geolocation
    time, slant = zero_doppler(path, to_ecef(grid.longitude_deg, grid.latitude_deg, grid.height_m))
    longitude, latitude = locate(path, time, slant, grid.height_m)
    np.testing.assert_allclose(longitude, grid.longitude_deg, atol=1e-9)
    np.testing.assert_allclose(latitude, grid.latitude_deg, atol=1e-9)


def test_a_point_that_the_bursts_pass_by_is_refused(narrow_swath: SubSwath) -> None:
    with pytest.raises(OrbitError, match="inside"):
        zero_doppler(path_of(narrow_swath), to_ecef(-8.5, 35.0, 0.0)[None, :])


def test_state_vectors_that_end_too_early_are_refused(narrow_swath: SubSwath) -> None:
    orbit = narrow_swath.orbit
    short = Orbit(orbit.time_s[:5], orbit.position_m[:5], orbit.velocity_m_s[:5], "short")
    with pytest.raises(OrbitError, match="do not cover"):
        path_of(replace(narrow_swath, orbit=short))


@pytest.mark.parametrize(("perpendicular", "parallel"), [(150.0, 0.0), (-80.0, 30.0)])
def test_a_shifted_orbit_has_the_baseline_everywhere_in_the_scene(
    morocco_sub_swath: Swaths, perpendicular: float, parallel: float
) -> None:
    swath = morocco_sub_swath("20230904", "IW1")
    grid = swath.geolocation
    row = grid.line.shape[0] // 2
    target = to_ecef(grid.longitude_deg[row, 10], grid.latitude_deg[row, 10], grid.height_m[row, 10])
    moved = replace(swath, orbit=shifted_orbit(swath.orbit, target, perpendicular, parallel))
    paths = path_of(swath), path_of(moved)
    for i in (0, row, grid.line.shape[0] - 1):
        point = to_ecef(grid.longitude_deg[i, 10], grid.latitude_deg[i, 10], grid.height_m[i, 10])
        times = [float(zero_doppler(path, point[None])[0][0]) for path in paths]
        baseline = paths[1].position_m(times[1]) - paths[0].position_m(times[0])
        sight, normal, forward = look_frame(paths[0], times[0], point)
        # away from the target the look angle differs by up to 0.4 degrees and turns the two into each other
        accuracy = 0.01 if i == row else 0.6
        assert baseline @ normal == pytest.approx(perpendicular, abs=accuracy)
        assert baseline @ sight == pytest.approx(parallel, abs=2 * accuracy)
        assert np.linalg.norm(baseline) == pytest.approx(np.hypot(perpendicular, parallel), abs=0.1)
        assert abs(baseline @ forward) < 0.3
        assert normal @ point > 0, "a positive baseline points up"


def test_a_shifted_orbit_has_velocities_that_fit_its_positions(morocco_sub_swath: Swaths) -> None:
    swath = morocco_sub_swath("20230904", "IW1")
    target = to_ecef(-8.78, 31.8, 300.0)
    moved = shifted_orbit(swath.orbit, target, 400.0)
    step = moved.time_s[8] - moved.time_s[7]
    # fourth-order central difference of the shift alone; the orbit itself is the real one
    shift = moved.position_m - swath.orbit.position_m
    slope = (8 * (shift[8] - shift[6]) - (shift[9] - shift[5])) / (12 * step)
    np.testing.assert_allclose(moved.velocity_m_s[7] - swath.orbit.velocity_m_s[7], slope, atol=2e-4)


def test_the_real_pair_has_its_known_baseline(morocco_sub_swath: Swaths) -> None:
    """29.5 m at 31.80 N 8.777 W, known from the data's provenance."""
    point = to_ecef(-8.777, 31.80, 0.0)
    paths = [path_of(morocco_sub_swath(date, "IW1")) for date in ("20230904", "20230916")]
    times = [float(zero_doppler(path, point[None])[0][0]) for path in paths]
    _, normal, _ = look_frame(paths[0], times[0], point)
    baseline = paths[1].position_m(times[1]) - paths[0].position_m(times[0])
    assert abs(baseline @ normal) == pytest.approx(29.5, abs=0.5)
