"""Distance between the two orbits of a pair, at a point on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj

from insar_mining.errors import CoverageError, OptionError
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.orbit import OrbitArc

FloatArray = npt.NDArray[np.float64]

_TOLERANCE_S = 1e-9  # 10 micrometres along the track
_MAX_ITERATIONS = 20
_TO_EARTH_FIXED = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)


@dataclass(frozen=True)
class Baseline:
    """The baseline vector, secondary minus reference, each at its zero-Doppler time of a point.

    Attributes
    ----------
    perpendicular_m : float
        Along line of sight x velocity of the reference: positive where the secondary
        flew higher (the sign of ASF's catalogue).
    parallel_m : float
        Along the line of sight, positive where the secondary was nearer to the ground.
    """

    perpendicular_m: float
    parallel_m: float


def baseline(reference: SubSwath, secondary: SubSwath, lon: float, lat: float, height_m: float = 0.0) -> Baseline:
    """Return the baseline of a pair at a point.

    Parameters
    ----------
    reference, secondary : SubSwath
        Any sub-swath and polarisation of either date; only their orbits are used.
    lon, lat : float
        Degrees, WGS84.
    height_m : float
        Above the WGS84 ellipsoid.  A kilometre changes a baseline by less than a
        thousandth.

    Raises
    ------
    OptionError
        The point is not on the Earth.
    CoverageError
        The point is not abeam of one of the orbits within a minute of its acquisition.
    OrbitError
        The state vectors of a date are damaged.
    """
    point = _earth_fixed(lon, lat, height_m)
    position, velocity = _abeam(reference, point, f"({lon:.4f}, {lat:.4f})")
    other, _ = _abeam(secondary, point, f"({lon:.4f}, {lat:.4f})")
    sight = _unit(point - position)
    normal = _unit(np.cross(sight, velocity))
    return Baseline(float(normal @ (other - position)), float(sight @ (other - position)))


def perpendicular_baseline_m(
    reference: SubSwath, secondary: SubSwath, lon: float, lat: float, height_m: float = 0.0
) -> float:
    """Return the perpendicular baseline of a pair at a point, metres.

    Positive along line of sight x velocity of the reference, that is upward; see
    :func:`baseline` for parameters and errors.
    """
    return baseline(reference, secondary, lon, lat, height_m).perpendicular_m


def parallel_baseline_m(
    reference: SubSwath, secondary: SubSwath, lon: float, lat: float, height_m: float = 0.0
) -> float:
    """Return the baseline along the reference's line of sight at a point, metres.

    Positive where the secondary was nearer to the ground; see :func:`baseline` for
    parameters and errors.
    """
    return baseline(reference, secondary, lon, lat, height_m).parallel_m


def _earth_fixed(lon: float, lat: float, height_m: float) -> FloatArray:
    if not (np.isfinite([lon, lat, height_m]).all() and -360 <= lon <= 360 and -90 <= lat <= 90):
        raise OptionError(f"the point (lon {lon}, lat {lat}, height {height_m} m) is not on the Earth; longitude first")
    return np.array(_TO_EARTH_FIXED.transform(lon, lat, height_m))


def _abeam(swath: SubSwath, point: FloatArray, name: str) -> tuple[FloatArray, FloatArray]:
    """Position and velocity at the zero-Doppler time of a point: velocity . (point - position) = 0."""
    start = swath.bursts[0].azimuth_time_s
    stop = swath.bursts[-1].azimuth_time_s + swath.lines_per_burst * swath.azimuth_time_interval_s
    arc = swath.orbit.arc(start, stop)
    time = _zero_doppler_time_s(arc, point, (start + stop) / 2)
    if time is None:
        raise CoverageError(
            f"{swath.platform} {swath.swath} of {swath.utc(start)}: the point {name} (longitude, latitude) is more "
            "than a minute of flight away from the acquisition; take another point or another product"
        )
    return arc.position_m(time), arc.velocity_m_s(time)


def _zero_doppler_time_s(arc: OrbitArc, point: FloatArray, guess_s: float) -> float | None:
    """Return the time by Newton steps, or None if it lies outside the arc."""
    time = guess_s
    for _ in range(_MAX_ITERATIONS):
        velocity = arc.velocity_m_s(time)
        # the acceleration's share of the slope is a few parts in a thousand: it costs a step more, not accuracy
        step = float(velocity @ (point - arc.position_m(time))) / float(velocity @ velocity)
        time += step
        if not arc.start_s <= time <= arc.stop_s:
            return None
        if abs(step) < _TOLERANCE_S:
            return time
    return None


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector))
