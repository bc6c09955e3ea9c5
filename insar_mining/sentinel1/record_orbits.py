"""The orbit of a scene from the two state vectors that a catalogue record carries.

A record gives position and velocity on either side of the scene's centre, 10 s apart.
Ten seconds are short enough for the equation of motion to lead from the one to the
other and beyond to millimetres: central gravity and the Earth's flattening (J2) in the
rotating frame, integrated by Runge and Kutta's fourth-order rule.  How far the vector
before misses the vector after is then a test of the record and a measure of its error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.doors import parse_json
from insar_mining.errors import CoverageError, OrbitError
from insar_mining.sentinel1.orbit import Orbit, State, state_abeam, without_leap_second

# WGS 84 (NGA.STND.0036), J2 of EGM96 (NASA/TP-1998-206861)
GRAVITY_M3_S2 = 3.986004418e14
EARTH_RATE_RAD_S = 7.2921151467e-5
EQUATOR_M = 6378137.0
J2 = 1.0826267e-3

MAX_MISFIT_M = 1.0
"""Largest distance by which the vector before may miss the vector after."""

MAX_REACH_S = 60.0
"""Farthest time from the nearer vector at which the orbit is still given."""

LOWEST_M, HIGHEST_M = 6.9e6, 7.2e6
"""Distances from the Earth's centre between which Sentinel-1 flies (7.07e6 m)."""

_STEP_S = 2.0


@dataclass(frozen=True, eq=False)
class StateVectors:
    """Hold two or more state vectors in the Earth-fixed frame, in the order of time.

    Attributes
    ----------
    time : ndarray of datetime64[ns], shape (n,)
    position_m, velocity_m_s : ndarray, shape (n, 3)
    source : str
        ``"record"``, or the name of an orbit file.
    """

    time: npt.NDArray[np.datetime64]
    position_m: FloatArray
    velocity_m_s: FloatArray
    source: str = "record"

    @classmethod
    def of(cls, orbit: Orbit, epoch: np.datetime64) -> StateVectors:
        """Return the state vectors of an orbit, whose times are seconds from `epoch`."""
        time = epoch + np.round(orbit.time_s * 1e9).astype("timedelta64[ns]")
        return cls(time, orbit.position_m, orbit.velocity_m_s, orbit.source)

    def state(self, time_s: float) -> State:
        """Return position and velocity at a time, seconds from the first vector.

        The two nearest vectors are both brought to the time and weighted by their
        nearness, so that the orbit passes through each of them.

        Raises
        ------
        CoverageError
            The time is farther than a minute from every vector.
        """
        own = self._seconds()
        after = int(np.clip(np.searchsorted(own, time_s), 1, own.size - 1))
        pair = (after - 1, after)
        reach = [abs(time_s - own[i]) for i in pair]
        if min(reach) > MAX_REACH_S:
            raise CoverageError(
                f"the state vectors end {min(reach):.0f} s from the time that is wanted (limit {MAX_REACH_S:.0f} s). "
                "Take a place inside the scene, or the scene's own orbit."
            )
        states = [_flown(self.position_m[i], self.velocity_m_s[i], time_s - own[i]) for i in pair]
        total = sum(reach)
        weight = 0.5 if total == 0 else reach[1] / total
        (p, v), (q, w) = states
        return weight * p + (1 - weight) * q, weight * v + (1 - weight) * w

    def abeam(self, point: FloatArray) -> State:
        """Return position and velocity where an Earth-fixed point is abeam.

        Raises
        ------
        CoverageError
            That is farther than a minute from every vector.
        """
        state = state_abeam(self.state, point, float(self._seconds().mean()))
        if state is None:
            raise CoverageError(f"{self.source}: no time at which the satellite is abeam of a point. Check the point.")
        return state

    def misfit_m(self) -> float:
        """Return the largest distance by which a vector, flown to the next one's time, misses it."""
        own = self._seconds()
        flown = [
            _flown(p, v, dt)[0] for p, v, dt in zip(self.position_m, self.velocity_m_s, np.diff(own), strict=False)
        ]
        return float(np.linalg.norm(np.array(flown) - self.position_m[1:], axis=1).max())

    def to_text(self) -> str:
        """Return JSON text: a list of ``[time, x, y, z, vx, vy, vz]``, metres and metres per second."""
        rows = [
            [str(t), *p.tolist(), *v.tolist()]
            for t, p, v in zip(self.time, self.position_m, self.velocity_m_s, strict=True)
        ]
        return json.dumps(rows)

    def _seconds(self) -> FloatArray:
        return np.asarray((self.time - self.time[0]) / np.timedelta64(1, "s"), dtype=np.float64)


def state_vectors(rows: Sequence[Sequence[object]], *, source: str) -> StateVectors:
    """Make state vectors of rows ``[time, x, y, z, vx, vy, vz]``, and test them.

    Raises
    ------
    OrbitError
        Fewer than two vectors, not finite, two of one moment, or not on one orbit: a vector
        flown to the next one's time misses it by more than a metre.
    """
    try:
        time = np.array([without_leap_second(str(row[0])) for row in rows], dtype="datetime64[ns]")
        state = np.array([[float(str(value)) for value in row[1:]] for row in rows], dtype=np.float64)
    except (ValueError, IndexError, TypeError) as error:
        raise OrbitError(f"{source}: a state vector cannot be read ({error}); its baseline is unknown") from error
    if state.ndim != 2 or state.shape[0] < 2 or state.shape[1] != 6:
        raise OrbitError(f"{source}: {len(rows)} state vectors of 7 numbers, at least 2 are needed")
    if np.isnat(time).any() or not np.isfinite(state).all():
        raise OrbitError(f"{source}: its state vectors are not finite; its baseline is unknown")
    time, state = _in_order(time, state)
    if time.size < 2 or (np.diff(time) <= np.timedelta64(0, "ns")).any():
        raise OrbitError(f"{source}: its state vectors are of one moment or contradict each other")
    distance = np.linalg.norm(state[:, :3], axis=1)
    if not ((distance > LOWEST_M) & (distance < HIGHEST_M)).all():
        raise OrbitError(
            f"{source}: a state vector lies {distance.min() / 1e3:,.0f} to {distance.max() / 1e3:,.0f} km from the "
            f"Earth's centre, Sentinel-1 flies at 7,070 km; its baseline is unknown"
        )
    found = StateVectors(time, state[:, :3], state[:, 3:])
    if np.diff(time).max() > np.timedelta64(60, "s"):
        raise OrbitError(f"{source}: its state vectors are more than a minute apart; its baseline is unknown")
    misfit = found.misfit_m()
    if not misfit <= MAX_MISFIT_M:
        raise OrbitError(
            f"{source}: a state vector misses the next by {misfit:.3g} m (limit {MAX_MISFIT_M:g} m), so they are not "
            "of one orbit; its baseline is unknown until the product or an orbit file is there"
        )
    return found


def _in_order(time: npt.NDArray[np.datetime64], state: FloatArray) -> tuple[npt.NDArray[np.datetime64], FloatArray]:
    """Return vectors in the order of time, equal ones once."""
    order = np.argsort(time, kind="stable")
    time, state = time[order], state[order]
    is_new = np.ones(time.size, dtype=bool)
    is_new[1:] = (np.diff(time) > np.timedelta64(0, "ns")) | (np.diff(state, axis=0) != 0).any(axis=1)
    return time[is_new], state[is_new]


def from_text(text: object, *, source: str) -> StateVectors:
    """Read what :meth:`StateVectors.to_text` wrote.

    Raises
    ------
    OrbitError
        There are none, or they are damaged.
    """
    if not isinstance(text, str) or not text:
        raise OrbitError(f"{source}: its record has no state vectors, so its baseline is unknown")
    try:
        rows = parse_json(text)
    except ValueError as error:
        raise OrbitError(f"{source}: its state vectors cannot be read ({error}). Search again.") from error
    if not isinstance(rows, list):
        raise OrbitError(f"{source}: its state vectors are no list. Search again.")
    return state_vectors(rows, source=source)


def _flown(position: FloatArray, velocity: FloatArray, duration_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the position of a satellite some seconds later (or earlier)."""
    state = np.concatenate([position, velocity])
    steps = max(1, int(np.ceil(abs(duration_s) / _STEP_S)))
    h = duration_s / steps
    for _ in range(steps):
        k1 = _slope(state)
        k2 = _slope(state + h / 2 * k1)
        k3 = _slope(state + h / 2 * k2)
        k4 = _slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state[:3], state[3:]


def _slope(state: FloatArray) -> FloatArray:
    """Return velocity and acceleration in the rotating frame (Montenbruck and Gill 2000, sections 3.2 and 5.4)."""
    x, y, z, vx, vy, vz = state.tolist()
    r2 = x * x + y * y + z * z
    central = -GRAVITY_M3_S2 / r2**1.5
    flat = 1.5 * J2 * EQUATOR_M**2 / r2
    polar = 5 * z * z / r2
    w = EARTH_RATE_RAD_S
    ax = central * x * (1 + flat * (1 - polar)) + w * w * x + 2 * w * vy
    ay = central * y * (1 + flat * (1 - polar)) + w * w * y - 2 * w * vx
    az = central * z * (1 + flat * (3 - polar))
    return np.array([vx, vy, vz, ax, ay, az])
