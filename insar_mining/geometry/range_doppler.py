"""Solve range-Doppler geometry: orbit arc, WGS 84 ellipsoid, terrain.

An orbit arc enters a kernel as the three values of :class:`ArcArrays`.  Positions are
Earth-fixed Cartesian, metres; angles at the edges are degrees, inside radians.

Zero-Doppler geometry (Curlander & McDonough 1991, Synthetic Aperture Radar, ch. 8): a
point ``p`` is imaged at the time ``t`` at which ``v(t) . (p - s(t)) = 0`` and at the
slant range ``|p - s(t)|``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.jit import njit
from insar_mining.sentinel1.orbit import OrbitArc

WGS84_A_M = 6_378_137.0
WGS84_F = 1 / 298.257223563
WGS84_B_M = WGS84_A_M * (1 - WGS84_F)
WGS84_E2 = WGS84_F * (2 - WGS84_F)
WGS84_EP2 = WGS84_E2 / (1 - WGS84_E2)

NEWTON_STEPS = 12
# Newton converges quadratically: a last step below 1e-6 s leaves an error below 1e-12 s
TIME_TOLERANCE_S = 1e-6
HEIGHT_TOLERANCE_M = 1e-3
ANGLE_STEPS = 12


class ArcArrays(NamedTuple):
    """Hold an :class:`OrbitArc` as arrays for kernels."""

    coefficients_m: FloatArray
    centre_s: float
    half_s: float


def arc_arrays(arc: OrbitArc) -> ArcArrays:
    """Return the values of an arc that kernels need."""
    return ArcArrays(np.ascontiguousarray(arc.coefficients_m), arc.centre_s, arc.half_s)


@njit(inline="always")
def orbit_state(arc, t):  # type: ignore[no-untyped-def]
    """Compute position, velocity and acceleration at time `t`: nine numbers."""
    coefficients, centre, half = arc
    u = (t - centre) / half
    degree = coefficients.shape[0] - 1
    px = coefficients[degree, 0]
    py = coefficients[degree, 1]
    pz = coefficients[degree, 2]
    vx = vy = vz = ax = ay = az = 0.0
    for k in range(degree - 1, -1, -1):  # Horner's scheme for the value and two derivatives
        ax = ax * u + vx
        ay = ay * u + vy
        az = az * u + vz
        vx = vx * u + px
        vy = vy * u + py
        vz = vz * u + pz
        px = px * u + coefficients[k, 0]
        py = py * u + coefficients[k, 1]
        pz = pz * u + coefficients[k, 2]
    second = 2 / half**2
    return px, py, pz, vx / half, vy / half, vz / half, ax * second, ay * second, az * second


@njit(inline="always")
def to_cartesian(lon_deg, lat_deg, height_m):  # type: ignore[no-untyped-def]
    """Convert geodetic to Earth-fixed Cartesian coordinates on WGS 84."""
    lon = math.radians(lon_deg)
    lat = math.radians(lat_deg)
    sin_lat = math.sin(lat)
    cos_lat = math.cos(lat)
    n = WGS84_A_M / math.sqrt(1 - WGS84_E2 * sin_lat * sin_lat)
    return (
        (n + height_m) * cos_lat * math.cos(lon),
        (n + height_m) * cos_lat * math.sin(lon),
        (n * (1 - WGS84_E2) + height_m) * sin_lat,
    )


@njit(inline="always")
def to_geodetic(x, y, z):  # type: ignore[no-untyped-def]
    """Convert Earth-fixed Cartesian coordinates to longitude, latitude (radians) and height (metres).

    Bowring (1976), Survey Review 23(181); one application is exact to a micrometre
    below 10 km of height.
    """
    p = math.sqrt(x * x + y * y)
    theta = math.atan2(z * WGS84_A_M, p * WGS84_B_M)
    sin_theta = math.sin(theta)
    cos_theta = math.cos(theta)
    lat = math.atan2(
        z + WGS84_EP2 * WGS84_B_M * sin_theta**3,
        p - WGS84_E2 * WGS84_A_M * cos_theta**3,
    )
    sin_lat = math.sin(lat)
    cos_lat = math.cos(lat)
    n = WGS84_A_M / math.sqrt(1 - WGS84_E2 * sin_lat * sin_lat)
    height = p * cos_lat + z * sin_lat - WGS84_A_M * WGS84_A_M / n
    return math.atan2(y, x), lat, height


@njit()
def zero_doppler(arc, x, y, z, guess_s):  # type: ignore[no-untyped-def]
    """Solve zero-Doppler time and slant range of a point; NaN where Newton does not converge."""
    t = guess_s
    for _ in range(NEWTON_STEPS):
        px, py, pz, vx, vy, vz, ax, ay, az = orbit_state(arc, t)
        dx = x - px
        dy = y - py
        dz = z - pz
        along = vx * dx + vy * dy + vz * dz
        slope = ax * dx + ay * dy + az * dz - (vx * vx + vy * vy + vz * vz)
        step = along / slope
        t -= step
        if abs(step) < TIME_TOLERANCE_S:
            px, py, pz, _, _, _, _, _, _ = orbit_state(arc, t)
            return t, math.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2)
    return np.nan, np.nan


@njit()
def right_of_track(arc, t, x, y, z):  # type: ignore[no-untyped-def]
    """Check whether a point is on the side of the track that the antenna looks to."""
    px, py, pz, vx, vy, vz, _, _, _ = orbit_state(arc, t)
    # the position is (nearly) up: velocity x up points to the right of the track
    rx, ry, rz = vy * pz - vz * py, vz * px - vx * pz, vx * py - vy * px
    return rx * (x - px) + ry * (y - py) + rz * (z - pz) > 0


@njit()
def ground_point(arc, t, slant_range_m, height_m):  # type: ignore[no-untyped-def]
    """Solve longitude, latitude (degrees) of the point right of the track at a range and height.

    The point lies in the zero-Doppler plane at the angle `alpha` from the plane's
    downward direction; `alpha` is found by Newton's method on the ellipsoidal height.
    Returns NaN where the range does not reach the height.
    """
    px, py, pz, vx, vy, vz, _, _, _ = orbit_state(arc, t)
    speed = math.sqrt(vx * vx + vy * vy + vz * vz)
    wx, wy, wz = vx / speed, vy / speed, vz / speed
    along = px * wx + py * wy + pz * wz
    ux, uy, uz = along * wx - px, along * wy - py, along * wz - pz  # down, perpendicular to the track
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / length, uy / length, uz / length
    rx, ry, rz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx  # right of the track

    radius = WGS84_A_M - 7000.0 + height_m  # a sphere near enough to start from
    cosine = (slant_range_m**2 + length**2 - radius**2) / (2 * slant_range_m * length)
    alpha = math.acos(min(max(cosine, -1.0), 1.0))
    for _ in range(ANGLE_STEPS):
        c = math.cos(alpha)
        s = math.sin(alpha)
        x = px + slant_range_m * (c * ux + s * rx)
        y = py + slant_range_m * (c * uy + s * ry)
        z = pz + slant_range_m * (c * uz + s * rz)
        lon, lat, h = to_geodetic(x, y, z)
        cos_lat = math.cos(lat)
        nx, ny, nz = cos_lat * math.cos(lon), cos_lat * math.sin(lon), math.sin(lat)
        slope = slant_range_m * (nx * (c * rx - s * ux) + ny * (c * ry - s * uy) + nz * (c * rz - s * uz))
        alpha -= (h - height_m) / slope
        if abs(h - height_m) < HEIGHT_TOLERANCE_M:
            return math.degrees(lon), math.degrees(lat)
    return np.nan, np.nan


class DemArrays(NamedTuple):
    """Hold ellipsoidal heights on regular posts as arrays for kernels (rows go south)."""

    height_m: npt.NDArray[np.float32]
    west_deg: float
    north_deg: float
    step_lon_deg: float
    step_lat_deg: float


@njit(inline="always")
def terrain_height(dem, lon_deg, lat_deg):  # type: ignore[no-untyped-def]
    """Interpolate height bilinearly at a point, NaN outside the posts or beside a void."""
    height, west, north, step_lon, step_lat = dem
    return height_between_posts(height, (lon_deg - west) / step_lon, (north - lat_deg) / step_lat)


@njit(inline="always")
def height_between_posts(height, column, row):  # type: ignore[no-untyped-def]
    """Interpolate height bilinearly at a fractional column and row; NaN outside or beside a void."""
    rows, columns = height.shape
    if not (column >= 0 and row >= 0 and column <= columns - 1 and row <= rows - 1):
        return np.nan
    j = min(int(column), columns - 2)
    i = min(int(row), rows - 2)
    fx = column - j
    fy = row - i
    top = height[i, j] * (1 - fx) + height[i, j + 1] * fx
    bottom = height[i + 1, j] * (1 - fx) + height[i + 1, j + 1] * fx
    return top * (1 - fy) + bottom * fy


@njit(parallel=True)
def radar_coordinates(arc, dem, lon_deg, lat_deg, guess_s):  # type: ignore[no-untyped-def]
    """Compute zero-Doppler time and slant range of ground points given by longitude and latitude.

    Parameters
    ----------
    lon_deg, lat_deg : ndarray, shape (rows, columns)
    guess_s : float
        Any time of the acquisition.

    Returns
    -------
    time_s, slant_range_m, height_m : ndarray, shape (rows, columns)
        NaN where the terrain has no height; time and range are NaN also where a point
        lies left of the track or more than an arc's length before or behind it.
    """
    rows, columns = lon_deg.shape
    time = np.full((rows, columns), np.nan)
    slant_range = np.full((rows, columns), np.nan)
    height = np.full((rows, columns), np.nan)
    for i in numba.prange(rows):
        guess = guess_s
        for j in range(columns):
            h = terrain_height(dem, lon_deg[i, j], lat_deg[i, j])
            if math.isnan(h):
                continue
            x, y, z = to_cartesian(lon_deg[i, j], lat_deg[i, j], h)
            height[i, j] = h
            t, distance = zero_doppler(arc, x, y, z, guess)
            if abs(t - arc.centre_s) < 2 * arc.half_s and right_of_track(arc, t, x, y, z):
                time[i, j] = t
                slant_range[i, j] = distance
                guess = t
    return time, slant_range, height
