"""A real template under another part of its orbit: ascending, near the pole, across the antimeridian.

The state vectors of the annotation are carried on by celestial mechanics (the Earth's attraction with its
flattening, J2), and turned about the Earth's axis.  Times, bursts and processing stay those of the real
product; only where the satellite is does not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S, SubSwath, parse_annotation
from insar_mining.sentinel1.orbit import Orbit
from insar_mining.simulate import Template
from insar_mining.simulate import annotation_xml as edit
from insar_mining.simulate.geometry import locate, trajectory

FloatArray = npt.NDArray[np.float64]

GM, J2, RADIUS_M = 3.986004418e14, 1.08262668e-3, 6378137.0
SPIN = np.array([0.0, 0.0, 7.2921151467e-5])
BURST = 4


def _force(_: float, state: FloatArray) -> FloatArray:
    position = state[:3]
    r = np.linalg.norm(position)
    flattening = 1.5 * J2 * (RADIUS_M / r) ** 2
    z = 5 * (position[2] / r) ** 2
    pull = -GM / r**3 * position * (1 + flattening * np.array([1 - z, 1 - z, 3 - z]))
    return np.concatenate([state[3:], pull])


def _turned(vectors: FloatArray, angle: npt.ArrayLike) -> FloatArray:
    """Turn vectors, shape (n, 3), about the Earth's axis."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = vectors.T
    return np.stack([c * x - s * y, s * x + c * y, z], axis=1)


def _carried_on(orbit: Orbit) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """Return Earth-fixed positions and velocities at any times of the two hours from the middle of an orbit on."""
    middle = orbit.time_s.size // 2
    start = float(orbit.time_s[middle])
    inertial = orbit.velocity_m_s[middle] + np.cross(SPIN, orbit.position_m[middle])
    forward, backward = (
        solve_ivp(
            _force,
            (0.0, stop),
            np.concatenate([orbit.position_m[middle], inertial]),
            method="DOP853",
            rtol=1e-12,
            atol=1e-6,
            dense_output=True,
        ).sol
        for stop in (7200.0, -300.0)
    )

    def at(time_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        since = np.asarray(time_s) - start
        states = np.where(since >= 0, forward(np.maximum(since, 0)), backward(np.minimum(since, 0))).T
        position = _turned(states[:, :3], -SPIN[2] * since)
        velocity = _turned(states[:, 3:], -SPIN[2] * since) - np.cross(SPIN, position)
        return position, velocity

    return at


def moved(
    template: Template, swath: str, *, latitude_deg: float, longitude_deg: float, ascending: bool
) -> tuple[Template, tuple[float, float]]:
    """Carry a template on along its orbit; return it, and the ground in the middle of its fifth burst.

    The satellite is at `latitude_deg` then, and the ground at `longitude_deg`.
    """
    xml = template.annotation(swath, "VV")
    before = parse_annotation(xml, source=swath)
    seen = before.bursts[BURST].azimuth_time_s + before.lines_per_burst * before.azimuth_time_interval_s / 2
    at = _carried_on(before.orbit)

    def height_above(later: float) -> float:
        position = at(np.array([seen + later]))[0][0]
        return float(np.rad2deg(np.arcsin(position[2] / np.linalg.norm(position)))) - latitude_deg

    steps = np.arange(0.0, 6300.0, 60.0)
    values = np.array([height_above(step) for step in steps])
    rising = np.flatnonzero(
        (values[:-1] < 0) & (values[1:] >= 0) if ascending else (values[:-1] > 0) & (values[1:] <= 0)
    )
    later = brentq(height_above, steps[rising[0]], steps[rising[0] + 1])
    position, velocity = at(before.orbit.time_s + later)
    orbit = Orbit(before.orbit.time_s, position, velocity, "carried on")
    lon, _ = _ground(before, orbit, seen)
    angle = np.deg2rad(longitude_deg - lon)
    orbit = Orbit(orbit.time_s, _turned(position, angle), _turned(velocity, angle), "carried on")
    named = b"Ascending" if ascending else b"Descending"
    xml = edit.with_orbit(xml, orbit).replace(b"<pass>Descending</pass>", b"<pass>" + named + b"</pass>")
    manifest = template.manifest.replace(b">DESCENDING<", b">" + named.upper() + b"<")
    return Template(f"{template.name}, moved", {(swath, "VV"): xml}, manifest), _ground(before, orbit, seen)


def _ground(swath: SubSwath, orbit: Orbit, time_s: float) -> tuple[float, float]:
    """Longitude and latitude of sea level at mid-swath."""
    tau = float(swath.slant_range_time_of(swath.samples_per_burst / 2))
    lon, lat = locate(trajectory(orbit, time_s - 3, time_s + 3), time_s, SPEED_OF_LIGHT_M_S * tau / 2, 0.0)
    return float(lon), float(lat)
