"""State vectors of the satellite: from the annotation or an EOF file, as a smooth arc.

Vectors come every 10 s.  Over the two minutes around a scene the orbit is so smooth
that one polynomial of degree 9 represents it far below a millimetre, and the misfit
to the vectors tells a damaged or foreign list at once.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.errors import OrbitError

ARC_DEGREE = 9
ARC_MARGIN_S = 60.0
MAX_MISFIT_M = 0.5

_SPAN_IN_NAME = re.compile(r"_V(\d{8}T\d{6})_(\d{8}T\d{6})\.EOF$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class OrbitArc:
    """A polynomial arc of the orbit, Earth-fixed, valid from `start_s` to `stop_s`.

    ``position(t) = sum(coefficients_m[k] * u**k)`` with ``u = (t - centre_s) / half_s``.

    Attributes
    ----------
    coefficients_m : ndarray, shape (degree + 1, 3), metres
    misfit_m : float
        Largest distance between the arc and the vectors it was fitted to.
    """

    start_s: float
    stop_s: float
    centre_s: float
    half_s: float
    coefficients_m: FloatArray
    misfit_m: float

    def position_m(self, time_s: npt.ArrayLike) -> FloatArray:
        """Positions at times of any shape; returns shape (..., 3), metres."""
        return self._evaluate(self.coefficients_m, time_s)

    def velocity_m_s(self, time_s: npt.ArrayLike) -> FloatArray:
        """Velocities at times of any shape; returns shape (..., 3), metres per second."""
        slopes = np.asarray(np.polynomial.polynomial.polyder(self.coefficients_m) / self.half_s, dtype=np.float64)
        return self._evaluate(slopes, time_s)

    def _evaluate(self, coefficients: FloatArray, time_s: npt.ArrayLike) -> FloatArray:
        u = (np.asarray(time_s, dtype=np.float64) - self.centre_s) / self.half_s
        values = np.asarray(np.polynomial.polynomial.polyval(u, coefficients), dtype=np.float64)
        return np.moveaxis(values, 0, -1)


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors in the Earth-fixed frame; times in seconds from a product's epoch.

    Attributes
    ----------
    time_s : ndarray, shape (n,), increasing
    position_m, velocity_m_s : ndarray, shape (n, 3)
    source : str
        ``"annotation"`` and the name of its file, or the name of the EOF file.
    """

    time_s: FloatArray
    position_m: FloatArray
    velocity_m_s: FloatArray
    source: str

    def arc(self, start_s: float, stop_s: float) -> OrbitArc:
        """Fit the arc that covers ``start_s..stop_s``.

        Positions and velocities within 60 s of the span are fitted together by least
        squares in a Chebyshev basis of degree 9 (lower if there are few vectors).

        Raises
        ------
        OrbitError
            The vectors do not cover the span, are not finite or not in order, or are
            not an orbit: some vector lies more than 0.5 m from the arc.
        """
        near = (self.time_s >= start_s - ARC_MARGIN_S) & (self.time_s <= stop_s + ARC_MARGIN_S)
        time, position, velocity = self.time_s[near], self.position_m[near], self.velocity_m_s[near]
        if time.size < 4 or time[0] > start_s or time[-1] < stop_s:
            raise OrbitError(
                f"orbit from {self.source}: {time.size} state vectors near the scene do not cover "
                f"{start_s:.3f}..{stop_s:.3f} s of its day; use an orbit file that covers the acquisition"
            )
        if (np.diff(time) <= 0).any():
            raise OrbitError(
                f"orbit from {self.source}: its state vectors are not in the order of time; use another file"
            )
        if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            raise OrbitError(f"orbit from {self.source}: a state vector is not a finite number; use another orbit file")
        centre, half = (time[0] + time[-1]) / 2, (time[-1] - time[0]) / 2
        u = (time - centre) / half
        degree = min(ARC_DEGREE, 2 * time.size - 3)
        basis = np.polynomial.chebyshev.chebvander(u, degree)
        slope = _chebyshev_slopes(u, degree)
        # a velocity times the half span is a distance of the same size as a position error
        fitted, *_ = np.linalg.lstsq(np.vstack([basis, slope]), np.vstack([position, velocity * half]), rcond=None)
        misfit = float(np.linalg.norm(basis @ fitted - position, axis=1).max())
        if misfit > MAX_MISFIT_M:
            raise OrbitError(
                f"orbit from {self.source}: a state vector lies {misfit:.3g} m from a smooth orbit "
                f"(limit {MAX_MISFIT_M} m); the file is damaged, use another orbit file"
            )
        power = np.stack([np.polynomial.chebyshev.cheb2poly(fitted[:, axis]) for axis in range(3)], axis=1)
        return OrbitArc(float(time[0]), float(time[-1]), float(centre), float(half), power, misfit)


def _chebyshev_slopes(u: FloatArray, degree: int) -> FloatArray:
    """Return the derivatives of the Chebyshev polynomials 0..degree at `u`, shape (n, degree + 1)."""
    unit = np.eye(degree + 1)
    columns = [np.polynomial.chebyshev.chebval(u, np.polynomial.chebyshev.chebder(row)) for row in unit]
    return np.stack([np.broadcast_to(c, u.shape) for c in columns], axis=1)


def read_orbit_file(
    path: Path | str, *, epoch: np.datetime64, start_s: float, stop_s: float, platform: str | None = None
) -> Orbit:
    """Read the part of an EOF orbit file (POEORB or RESORB) around an acquisition.

    Parameters
    ----------
    epoch : numpy.datetime64
        Origin of the times that come back (the product's epoch).
    start_s, stop_s : float
        Span to be covered, seconds from `epoch`; vectors within 70 s of it are kept.
    platform : str, optional
        ``"S1A"`` ...; when given, a file of another satellite is refused.

    Raises
    ------
    OrbitError
        Not an EOF file, damaged, of another satellite, or not covering the span.
    """
    path = Path(path)
    _refuse_by_name(path.name, epoch, start_s, stop_s)
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise OrbitError(f"{path.name}: cannot be read as an EOF orbit file ({error}); fetch it again") from error
    mission = root.findtext("Earth_Explorer_Header/Fixed_Header/Mission")
    vectors = root.findall("Data_Block/List_of_OSVs/OSV")
    if mission is None or not vectors:
        raise OrbitError(f"{path.name}: not an EOF orbit file (no <Mission> or no state vectors)")
    if platform is not None and mission.replace("Sentinel-", "S") != platform:
        raise OrbitError(f"{path.name}: holds the orbit of {mission}, the product is of {platform}")
    try:
        utc = np.array([v.findtext("UTC", "none").removeprefix("UTC=") for v in vectors], dtype="datetime64[ns]")
        time = np.asarray((utc - epoch).astype(np.int64) * 1e-9, dtype=np.float64)
        near = np.flatnonzero((time >= start_s - ARC_MARGIN_S - 10) & (time <= stop_s + ARC_MARGIN_S + 10))
        axes = ("X", "Y", "Z", "VX", "VY", "VZ")
        state = np.array([[float(vectors[i].findtext(axis, "nan")) for axis in axes] for i in near])
    except ValueError as error:
        raise OrbitError(f"{path.name}: a state vector cannot be read ({error}); fetch the file again") from error
    if near.size == 0 or time[near[0]] > start_s or time[near[-1]] < stop_s:
        raise OrbitError(
            f"{path.name}: covers {utc[0]} to {utc[-1]} UTC, the acquisition is at "
            f"{epoch + np.timedelta64(round(start_s * 1e9), 'ns')}; use the orbit file of that day"
        )
    return Orbit(time[near], state[:, :3], state[:, 3:], source=path.name)


def _refuse_by_name(name: str, epoch: np.datetime64, start_s: float, stop_s: float) -> None:
    """Refuse a file whose own name says that it covers another time: a stack has one file per date, 5 MB each."""
    match = _SPAN_IN_NAME.search(name)
    if match is None:
        return
    first, last = (np.datetime64(dt.datetime.strptime(text, "%Y%m%dT%H%M%S"), "ns") for text in match.groups())
    start, stop = (epoch + np.timedelta64(round(time * 1e9), "ns") for time in (start_s, stop_s))
    if start < first or stop > last:
        raise OrbitError(
            f"{name}: covers {first} to {last} UTC, the acquisition is at {start}; use the orbit file of that day"
        )
