"""Distance between the two orbits of a pair, at a point on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyproj

from insar_mining.arrays import FloatArray
from insar_mining.errors import CoverageError, OptionError
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.orbit import DOWNLINK_SD_M, State, state_abeam
from insar_mining.sentinel1.record_orbits import StateVectors

_TO_EARTH_FIXED = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)

# Standard deviation of an orbit, metres.  Of the orbit files the accuracy required by ESA (POEORB 5 cm, RESORB
# 10 cm).  What an annotation or a record carries may be a predicted orbit, of which nothing is promised;
# the real annotation of the tests lies 0.02 m from the restituted orbit of its day; fifty times that is allowed here.
# What the satellite determined itself (Downlink) is taken as good to DOWNLINK_SD_M.
ORBIT_SD_M = {"POEORB": 0.05, "RESORB": 0.10, "downlink": DOWNLINK_SD_M}
OTHER_ORBIT_SD_M = 1.0


@dataclass(frozen=True)
class Baseline:
    """Hold the baseline vector, secondary minus reference, each at its zero-Doppler time of a point.

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


@dataclass(frozen=True)
class MeasuredBaseline(Baseline):
    """Hold a baseline and how well it is known.

    Attributes
    ----------
    sd_m : float
        Standard deviation of either component: the two orbits' errors, added as
        independent ones.
    source : str
        Where the two orbits came from: ``"POEORB"``, ``"RESORB"``, ``"annotation"``,
        ``"downlink"`` (of the annotation, determined on board) or ``"record"``, joined by ``+`` where they differ.
    """

    sd_m: float
    source: str


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
    return Baseline(*_components(point, position, velocity, other))


def measured_baseline(
    reference: SubSwath | StateVectors,
    secondary: SubSwath | StateVectors,
    lon: float,
    lat: float,
    height_m: float = 0.0,
) -> MeasuredBaseline:
    """Return the baseline of a pair at a point, and how well it is known.

    Either date may be given by its annotation or by the state vectors of its record in
    the catalogue; see :func:`baseline` for the other parameters and errors.
    """
    point = _earth_fixed(lon, lat, height_m)
    name = f"({lon:.4f}, {lat:.4f})"
    position, velocity = _abeam_of(reference, point, name)
    other, _ = _abeam_of(secondary, point, name)
    sources = [_source(orbit) for orbit in (reference, secondary)]
    sd = math.hypot(*(ORBIT_SD_M.get(source, OTHER_ORBIT_SD_M) for source in sources))
    joined = "+".join(dict.fromkeys(sources))
    return MeasuredBaseline(*_components(point, position, velocity, other), sd, joined)


def incidence_deg(orbit: SubSwath | StateVectors, lon: float, lat: float) -> float:
    """Return the angle between the line of sight and the ellipsoid's normal at a point, degrees.

    Raises
    ------
    OptionError, CoverageError, OrbitError
        As :func:`baseline`.
    """
    point = _earth_fixed(lon, lat, 0.0)
    up = _earth_fixed(lon, lat, 1000.0) - point
    position, _ = _abeam_of(orbit, point, f"({lon:.4f}, {lat:.4f})")
    return float(np.degrees(np.arccos(_unit(position - point) @ _unit(up))))


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


def _components(
    point: FloatArray, position: FloatArray, velocity: FloatArray, other: FloatArray
) -> tuple[float, float]:
    """Return baseline across and along the line of sight of the reference."""
    sight = _unit(point - position)
    normal = _unit(np.cross(sight, velocity))
    return float(normal @ (other - position)), float(sight @ (other - position))


def _source(orbit: SubSwath | StateVectors) -> str:
    if isinstance(orbit, StateVectors):
        return next((kind for kind in ORBIT_SD_M if kind in orbit.source.upper()), "record")
    if orbit.orbit.is_downlink:
        return "downlink"
    if orbit.orbit.source.startswith("annotation"):  # whatever the folder of its file is called
        return "annotation"
    return next((kind for kind in ORBIT_SD_M if kind in orbit.orbit.source.upper()), "annotation")


def _abeam_of(orbit: SubSwath | StateVectors, point: FloatArray, name: str) -> State:
    if isinstance(orbit, StateVectors):
        return orbit.abeam(point)
    return _abeam(orbit, point, name)


def _abeam(swath: SubSwath, point: FloatArray, name: str) -> State:
    """Return the state of the annotated orbit at the zero-Doppler time of a point."""
    start = swath.bursts[0].azimuth_time_s
    stop = swath.bursts[-1].azimuth_time_s + swath.lines_per_burst * swath.azimuth_time_interval_s
    state = state_abeam(swath.orbit.arc(start, stop).state, point, (start + stop) / 2)
    if state is None:
        raise CoverageError(
            f"{swath.platform} {swath.swath} of {swath.utc(start)}: the point {name} (longitude, latitude) is more "
            "than a minute of flight away from the acquisition. Take another point or another product."
        )
    return state


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector))
