"""Solve the image position of ground points by a slow, independent path.

Shares nothing with the engine under test: the orbit is a Hermite interpolation of
the state vectors (positions and velocities; no least squares), the ellipsoid is
PROJ's, and the zero-Doppler time is found by Newton's iteration in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numba import prange
from pyproj import Transformer
from scipy.interpolate import KroghInterpolator

from insar_mining.arrays import FloatArray
from insar_mining.errors import OrbitError
from insar_mining.jit import njit
from insar_mining.sentinel1.orbit import Orbit

HERMITE_VECTORS = 8
LOCAL_DEGREE = 10
TIME_TOLERANCE_S = 1e-10
MAX_ITERATIONS = 12


def to_ecef(longitude_deg: npt.ArrayLike, latitude_deg: npt.ArrayLike, height_m: npt.ArrayLike) -> FloatArray:
    """Convert WGS 84 geodetic to Earth-fixed coordinates by PROJ; shape (..., 3), metres."""
    longitude, latitude, height = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (longitude_deg, latitude_deg, height_m))
    )
    x, y, z = Transformer.from_crs(4979, 4978, always_xy=True).transform(longitude, latitude, height)
    return np.stack([np.asarray(x), np.asarray(y), np.asarray(z)], axis=-1)


def to_geodetic(ecef_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Convert Earth-fixed coordinates of shape (..., 3) to longitude, latitude (degrees) and height (m)."""
    transformer = Transformer.from_crs(4978, 4979, always_xy=True)
    longitude, latitude, height = transformer.transform(ecef_m[..., 0], ecef_m[..., 1], ecef_m[..., 2])
    return np.asarray(longitude), np.asarray(latitude), np.asarray(height)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Describe the satellite's path over a few seconds: positions and their derivatives.

    Eight state vectors around the span are interpolated by one Hermite polynomial;
    a Chebyshev polynomial of degree 10 then carries it over the short span (its
    misfit, far below a micrometre, is checked when it is made).
    """

    start_s: float
    stop_s: float
    position: tuple[np.polynomial.Chebyshev, ...]
    velocity: tuple[np.polynomial.Chebyshev, ...]
    acceleration: tuple[np.polynomial.Chebyshev, ...]

    @cached_property
    def powers(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return powers of the time scaled to -1..1 for position, velocity, acceleration; (degree + 1, 3) each."""
        return _powers(self.position), _powers(self.velocity), _powers(self.acceleration)

    def position_m(self, time_s: npt.ArrayLike) -> FloatArray:
        """Compute positions, shape (..., 3), metres."""
        return _evaluate(self.position, time_s)

    def velocity_m_s(self, time_s: npt.ArrayLike) -> FloatArray:
        """Compute velocities, shape (..., 3), metres per second."""
        return _evaluate(self.velocity, time_s)


def _powers(axes: tuple[np.polynomial.Chebyshev, ...]) -> FloatArray:
    columns = [np.polynomial.chebyshev.cheb2poly(axis.coef) for axis in axes]
    return np.asarray(np.stack(columns, axis=1), dtype=np.float64)


def _evaluate(axes: tuple[np.polynomial.Chebyshev, ...], time_s: npt.ArrayLike) -> FloatArray:
    time = np.asarray(time_s, dtype=np.float64)
    return np.stack([np.asarray(axis(time)) for axis in axes], axis=-1)


def trajectory(orbit: Orbit, start_s: float, stop_s: float) -> Trajectory:
    """Interpolate the state vectors over ``start_s..stop_s``.

    Raises
    ------
    OrbitError
        The vectors do not cover the span, or it is too long for one polynomial.
    """
    middle = (start_s + stop_s) / 2
    nearest = np.sort(np.argsort(np.abs(orbit.time_s - middle), kind="stable")[:HERMITE_VECTORS])
    time = orbit.time_s[nearest]
    if nearest.size < 4 or time[0] > start_s or time[-1] < stop_s:
        raise OrbitError(
            f"the state vectors of {orbit.source} around {middle:.1f} s do not cover {start_s:.1f}..{stop_s:.1f} s. "
            "Simulate a shorter piece, or use a template with more state vectors."
        )
    scale = 10.0  # times of about unit size keep the divided differences well conditioned
    nodes = np.repeat((time - middle) / scale, 2)
    values = np.empty((2 * time.size, 3))
    values[0::2] = orbit.position_m[nearest]
    values[1::2] = orbit.velocity_m_s[nearest] * scale
    hermite = KroghInterpolator(nodes, values)
    fine = np.linspace(start_s, stop_s, 8 * LOCAL_DEGREE)
    exact = np.asarray(hermite((fine - middle) / scale))
    position = tuple(
        np.polynomial.Chebyshev.fit(fine, exact[:, axis], LOCAL_DEGREE, domain=[start_s, stop_s]) for axis in range(3)
    )
    misfit = float(np.abs(_evaluate(position, fine) - exact).max())
    if misfit > 1e-5:
        raise OrbitError(
            f"{orbit.source}: one polynomial over {start_s:.1f}..{stop_s:.1f} s misses the orbit by {misfit:.2g} m "
            "(limit 1e-5 m). Simulate a shorter piece."
        )
    velocity = tuple(p.deriv() for p in position)
    return Trajectory(start_s, stop_s, position, velocity, tuple(v.deriv() for v in velocity))


def zero_doppler(path: Trajectory, ecef_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solve zero-Doppler time (s) and slant range (m) of points, shape (..., 3) -> (...), (...).

    Newton's iteration on ``(P - S(t)) . V(t) = 0``, point by point in float64.

    Raises
    ------
    OrbitError
        A point is never broadside within the path (with two seconds of grace).
    """
    points = np.ascontiguousarray(ecef_m.reshape(-1, 3))
    middle, half = (path.start_s + path.stop_s) / 2, (path.stop_s - path.start_s) / 2
    time, slant, steps = _newton(points, *path.powers, middle, half, 1 + 2 / half)
    if points.size and not steps.max() < TIME_TOLERANCE_S:
        raise OrbitError(
            f"no zero-Doppler time within {path.start_s:.1f}..{path.stop_s:.1f} s for "
            f"{np.count_nonzero(~(steps < TIME_TOLERANCE_S))} points: the area lies outside the bursts. "
            "Choose an area inside them."
        )
    return time.reshape(ecef_m.shape[:-1]), slant.reshape(ecef_m.shape[:-1])


@njit(parallel=True)
def _newton(points, position, velocity, acceleration, middle, half, bound):  # type: ignore[no-untyped-def]
    count = points.shape[0]
    time, slant, last_step = np.empty(count), np.empty(count), np.empty(count)
    for i in prange(count):
        u = 0.0
        step = np.inf
        for _ in range(MAX_ITERATIONS):
            value = 0.0
            slope = 0.0
            for axis in range(3):
                away = points[i, axis] - _horner(position, axis, u)
                v = _horner(velocity, axis, u)
                value += away * v
                slope += away * _horner(acceleration, axis, u) - v * v
            step = value / slope / half
            u = min(max(u - step, -bound), bound)
            if abs(step) * half < TIME_TOLERANCE_S:
                break
        square = 0.0
        for axis in range(3):
            square += (points[i, axis] - _horner(position, axis, u)) ** 2
        time[i] = middle + half * u
        slant[i] = np.sqrt(square)
        last_step[i] = abs(step) * half
    return time, slant, last_step


@njit(inline="always")
def _horner(coefficients, axis, u):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(coefficients.shape[0] - 1, -1, -1):
        total = total * u + coefficients[k, axis]
    return total


def locate(
    path: Trajectory, time_s: npt.ArrayLike, slant_range_m: npt.ArrayLike, height_m: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Solve longitude and latitude (degrees) of the ground at zero-Doppler times and ranges.

    The point on the right of the track, at ellipsoidal heights `height_m`, in the
    plane broadside to the satellite: a secant search over the look angle.
    """
    time, slant, height = np.broadcast_arrays(
        np.asarray(time_s, dtype=np.float64), np.asarray(slant_range_m, float), np.asarray(height_m, float)
    )
    position, velocity = path.position_m(time), path.velocity_m_s(time)
    forward = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    down = -position / np.linalg.norm(position, axis=-1, keepdims=True)
    down -= np.einsum("...i,...i->...", down, forward)[..., None] * forward
    down /= np.linalg.norm(down, axis=-1, keepdims=True)
    right = np.cross(down, forward)

    def miss(angle: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        sight = np.cos(angle)[..., None] * down + np.sin(angle)[..., None] * right
        longitude, latitude, found = to_geodetic(position + slant[..., None] * sight)
        return found - height, longitude, latitude

    before, angle = np.full(time.shape, np.deg2rad(30.0)), np.full(time.shape, np.deg2rad(35.0))
    error_before, *_ = miss(before)
    for _ in range(20):
        error, longitude, latitude = miss(angle)
        if np.abs(error).max(initial=0.0) < 1e-5:
            return longitude, latitude
        slope = np.where(angle == before, 1.0, (error - error_before) / np.where(angle == before, 1.0, angle - before))
        before, error_before = angle, error
        angle = np.clip(angle - error / slope, 0.05, 1.4)
    raise OrbitError("no ground point at the given range and height: the slant range does not reach the ground")


def look_frame(path: Trajectory, time_s: float, target_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return unit vectors (line of sight, its upward normal, flight direction) at one time.

    The normal is line of sight x velocity, made exactly perpendicular to both: the
    direction of a positive perpendicular baseline.
    """
    forward = path.velocity_m_s(time_s)
    forward = forward / np.linalg.norm(forward)
    sight = target_m - path.position_m(time_s)
    sight = sight - (sight @ forward) * forward
    sight = sight / np.linalg.norm(sight)
    return sight, np.cross(sight, forward), forward


def shifted_orbit(orbit: Orbit, target_m: FloatArray, perpendicular_m: float, parallel_m: float = 0.0) -> Orbit:
    """Shift an orbit by a baseline that is constant as seen from the satellite.

    The shift has fixed components in the satellite's own frame (flight direction,
    towards the Earth's centre, right), such that at broadside to `target_m` it is
    `perpendicular_m` along line of sight x velocity and `parallel_m` along the line of
    sight.  Velocities get the derivative of the rotating shift, so that the list stays
    consistent.

    Parameters
    ----------
    target_m : ndarray, shape (3,)
        Earth-fixed scene centre.
    """
    ahead_of = np.einsum("ij,ij->i", target_m - orbit.position_m, orbit.velocity_m_s)
    middle = float(orbit.time_s[np.abs(ahead_of).argmin()])
    path = trajectory(orbit, middle - 10.0, middle + 10.0)
    time, _ = zero_doppler(path, target_m[None, :])
    sight, normal, _ = look_frame(path, float(time[0]), target_m)
    wanted = perpendicular_m * normal + parallel_m * sight
    axes = _satellite_axes(path.position_m(time[0]), path.velocity_m_s(time[0]))
    components = axes @ wanted

    def shift(position: FloatArray, velocity: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("...ki,k->...i", _satellite_axes(position, velocity), components))

    step = 1.0
    at = shift(orbit.position_m, orbit.velocity_m_s)
    # one second along the path, to first order, moves the frame by its own rotation
    acceleration = np.gradient(orbit.velocity_m_s, orbit.time_s, axis=0, edge_order=2)
    ahead = shift(orbit.position_m + step * orbit.velocity_m_s, orbit.velocity_m_s + step * acceleration)
    behind = shift(orbit.position_m - step * orbit.velocity_m_s, orbit.velocity_m_s - step * acceleration)
    return Orbit(orbit.time_s, orbit.position_m + at, orbit.velocity_m_s + (ahead - behind) / (2 * step), orbit.source)


def _satellite_axes(position: FloatArray, velocity: FloatArray) -> FloatArray:
    """Return rows: flight direction, down (perpendicular to it), right; shape (..., 3, 3)."""
    forward = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    down = -position / np.linalg.norm(position, axis=-1, keepdims=True)
    down = down - np.einsum("...i,...i->...", down, forward)[..., None] * forward
    down = down / np.linalg.norm(down, axis=-1, keepdims=True)
    return np.stack([forward, down, np.cross(down, forward)], axis=-2)
