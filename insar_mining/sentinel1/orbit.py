"""State vectors of the satellite: from the annotation or an EOF file, as a smooth arc.

Vectors come every 10 s.  Over the two minutes around a scene the orbit is so smooth
that one polynomial of degree 9 represents it far below a millimetre, and the misfit
to the vectors shows a damaged list, or one of another orbit.  Vectors that the satellite itself
determined (``orbitSource`` Downlink) have positions on one smooth arc and velocities that
are off by some 2 cm/s; they are used, with a warning.
"""

from __future__ import annotations

import datetime as dt
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.doors import parse_xml_file
from insar_mining.errors import OrbitError, OrbitWarning

ARC_DEGREE = 9
ARC_MARGIN_S = 60.0
MAX_MISFIT_M = 0.5
NOTABLE_MISFIT_M = 0.05
MAX_DOWNLINK_MISFIT_M = 3.0
"""Of real annotations those with orbitSource Auxiliary miss the arc by at most 0.016 m, Downlink by 0.2 to 1.05 m."""

MAX_VELOCITY_MISFIT_M_S = 0.1
"""Largest velocity beside the slope of the positions; real Downlink vectors are off by 0.007 to 0.022 m/s."""

DOWNLINK_SD_M = 3.0
"""Standard deviation of an orbit determined on board, taken as the largest misfit that is accepted."""

_POSITION_DEGREE = 6  # of positions alone; over three minutes it represents an orbit to 0.1 mm

_NEWTON_STEPS = 20
_TIME_TOLERANCE_S = 1e-9  # 10 micrometres along the track

MOST_RADIUS_M, MOST_SPEED_M_S = 1e8, 1e5
_UTC = re.compile(r"(?:19[7-9]|20\d|21\d)\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,12})?", re.ASCII)
_SPAN_IN_NAME = re.compile(r"_V(\d{8}T\d{6})_(\d{8}T\d{6})\.EOF$", re.IGNORECASE)


State = tuple[FloatArray, FloatArray]
"""Earth-fixed position (metres) and velocity (metres per second) of the satellite, each of shape (3,)."""


def state_abeam(state_at: Callable[[float], State | None], point: FloatArray, guess_s: float) -> State | None:
    """Return the state of the satellite at the zero-Doppler time of one point: velocity . (point - position) = 0.

    Newton steps in time (Curlander & McDonough 1991, Synthetic Aperture Radar, ch. 8).  For the many cells of a
    map see :func:`insar_mining.geometry.range_doppler.zero_doppler`, which is compiled.

    Parameters
    ----------
    state_at : callable
        State at a time in seconds; None where the orbit is not known.
    point : ndarray, shape (3,)
        Earth-fixed, metres.
    guess_s : float
        Any time of the acquisition.

    Returns
    -------
    position, velocity, or None where the orbit is not known at that time
    """
    time_s = guess_s
    for _ in range(_NEWTON_STEPS):
        state = state_at(time_s)
        if state is None:
            return None
        position, velocity = state
        # the acceleration's share of the slope is a few parts in a thousand: it costs a step more, not accuracy
        step = float(velocity @ (point - position)) / float(velocity @ velocity)
        time_s += step
        if abs(step) < _TIME_TOLERANCE_S:
            return state_at(time_s)
    return None


@dataclass(frozen=True, eq=False)
class OrbitArc:
    """Hold a polynomial arc of the orbit, Earth-fixed, valid from `start_s` to `stop_s`.

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
        """Return positions at times of any shape; returns shape (..., 3), metres."""
        return self._evaluate(self.coefficients_m, time_s)

    def velocity_m_s(self, time_s: npt.ArrayLike) -> FloatArray:
        """Return velocities at times of any shape; returns shape (..., 3), metres per second."""
        slopes = np.asarray(np.polynomial.polynomial.polyder(self.coefficients_m) / self.half_s, dtype=np.float64)
        return self._evaluate(slopes, time_s)

    def state(self, time_s: float) -> State | None:
        """Return position and velocity at one time, or None outside the arc."""
        return (self.position_m(time_s), self.velocity_m_s(time_s)) if self.start_s <= time_s <= self.stop_s else None

    def _evaluate(self, coefficients: FloatArray, time_s: npt.ArrayLike) -> FloatArray:
        u = (np.asarray(time_s, dtype=np.float64) - self.centre_s) / self.half_s
        values = np.asarray(np.polynomial.polynomial.polyval(u, coefficients), dtype=np.float64)
        return np.moveaxis(values, 0, -1)


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors in the Earth-fixed frame; times in seconds from a product's epoch.

    Vectors may be given in any order and more than once.

    Attributes
    ----------
    time_s : ndarray, shape (n,), increasing
    position_m, velocity_m_s : ndarray, shape (n, 3)
    source : str
        ``"annotation"`` and the name of its file, or the name of the EOF file.
    is_downlink : bool
        Determined on board, to some metres only (``orbitSource`` of the annotation).
    """

    time_s: FloatArray
    position_m: FloatArray
    velocity_m_s: FloatArray
    source: str
    is_downlink: bool = False
    _warned: set[str] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(self.time_s, kind="stable")
        state = np.hstack([self.position_m, self.velocity_m_s])[order]
        time = self.time_s[order]
        is_double = np.zeros(time.size, dtype=bool)
        is_double[1:] = (np.diff(time) == 0) & (np.diff(state, axis=0) == 0).all(axis=1)
        object.__setattr__(self, "time_s", time[~is_double])
        object.__setattr__(self, "position_m", state[~is_double, :3])
        object.__setattr__(self, "velocity_m_s", state[~is_double, 3:])

    def arc(self, start_s: float, stop_s: float) -> OrbitArc:
        """Fit the arc that covers ``start_s..stop_s``.

        Positions and velocities within 60 s of the span are fitted together by least
        squares in a Chebyshev basis of degree 9 (lower if there are few vectors).

        Raises
        ------
        OrbitError
            The vectors do not cover the span, are not finite, contradict one another, or are
            not an orbit: some vector lies more than 0.5 m from the arc (3 m where the satellite
            determined them itself, or where only the velocities of an annotation are off).

        Warns
        -----
        OrbitWarning
            The vectors are accepted, but known to some metres only; once per orbit.
        """
        near = (self.time_s >= start_s - ARC_MARGIN_S) & (self.time_s <= stop_s + ARC_MARGIN_S)
        time, position, velocity = self.time_s[near], self.position_m[near], self.velocity_m_s[near]
        if time.size < 4 or time[0] > start_s or time[-1] < stop_s:
            raise OrbitError(
                f"orbit from {self.source}: {time.size} state vectors near the scene do not cover "
                f"{start_s:.3f}..{stop_s:.3f} s of its day. Use an orbit file that covers the acquisition."
            )
        if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            raise OrbitError(
                f"orbit from {self.source}: a state vector is not a finite number. Use another orbit file."
            )
        if (np.diff(time) <= 0).any():
            raise OrbitError(
                f"orbit from {self.source}: two different state vectors have the same time. Use another orbit file."
            )
        centre, half = (time[0] + time[-1]) / 2, (time[-1] - time[0]) / 2
        u = (time - centre) / half
        degree = min(ARC_DEGREE, 2 * time.size - 3)
        basis = np.polynomial.chebyshev.chebvander(u, degree)
        slope = _chebyshev_slopes(u, degree)
        # a velocity times the half span is a distance of the same size as a position error
        if np.abs(position).max() > MOST_RADIUS_M or np.abs(velocity).max() > MOST_SPEED_M_S:
            self._refuse(f"is no orbit around the Earth (limits {MOST_RADIUS_M:g} m and {MOST_SPEED_M_S:g} m/s)")
        fitted, *_ = np.linalg.lstsq(np.vstack([basis, slope]), np.vstack([position, velocity * half]), rcond=None)
        misfit = float(np.linalg.norm(basis @ fitted - position, axis=1).max())
        self._check_misfit(misfit, u, position, velocity * half, half)
        power = np.stack([np.polynomial.chebyshev.cheb2poly(fitted[:, axis]) for axis in range(3)], axis=1)
        return OrbitArc(float(time[0]), float(time[-1]), float(centre), float(half), power, misfit)

    def _check_misfit(self, misfit: float, u: FloatArray, position: FloatArray, slope: FloatArray, half: float) -> None:
        """Refuse vectors that are no orbit; warn of those that are known to some metres only."""
        tolerant = self.is_downlink or self.source.startswith("annotation")
        limit = MAX_DOWNLINK_MISFIT_M if tolerant else MAX_MISFIT_M
        if not misfit <= limit:
            self._refuse(f"lies {misfit:.3g} m from a smooth orbit (limit {limit:g} m)")
        if misfit > MAX_MISFIT_M:
            jump, speed = _consistency(u, position, slope)
            if not jump <= (limit if self.is_downlink else MAX_MISFIT_M):
                self._refuse(f"lies {jump:.3g} m from the smooth orbit through the others (limit {limit:g} m)")
            if not speed / half <= MAX_VELOCITY_MISFIT_M_S:
                self._refuse(
                    f"has a velocity {speed / half:.3g} m/s from the slope of a smooth orbit "
                    f"(limit {MAX_VELOCITY_MISFIT_M_S:g} m/s)"
                )
        if (misfit > NOTABLE_MISFIT_M or self.is_downlink) and not self._warned:
            self._warned.add(self.source)
            what = "determined on board (orbitSource Downlink)" if self.is_downlink else "not consistent"
            warnings.warn(
                f"orbit from {self.source}: its state vectors are {what} and miss a smooth arc by {misfit:.2f} m; "
                f"positions are good to about {DOWNLINK_SD_M:g} m. Give an orbit file (--orbit) for centimetres.",
                OrbitWarning,
                stacklevel=4,
            )

    def _refuse(self, what: str) -> NoReturn:
        raise OrbitError(f"orbit from {self.source}: a state vector {what}. Use another orbit file.")


def _consistency(u: FloatArray, position: FloatArray, slope: FloatArray) -> tuple[float, float]:
    """Return how far a position lies from the arc through the others, and a slope from that of all, metres."""
    degree = min(_POSITION_DEGREE, u.size - 2)
    basis = np.polynomial.chebyshev.chebvander(u, degree)
    fitted, *_ = np.linalg.lstsq(basis, position, rcond=None)
    orthogonal, _ = np.linalg.qr(basis)
    # residual of a point that is left out of the fit: that of the fit over 1 - leverage
    left_out = (position - basis @ fitted) / (1 - (orthogonal**2).sum(axis=1))[:, np.newaxis]
    beside = _chebyshev_slopes(u, degree) @ fitted - slope
    return float(np.linalg.norm(left_out, axis=1).max()), float(np.linalg.norm(beside, axis=1).max())


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
        root = parse_xml_file(path)
    except (OSError, ElementTree.ParseError) as error:
        raise OrbitError(f"{path.name}: cannot be read as an EOF orbit file ({error}). Fetch it again.") from error
    mission = root.findtext("Earth_Explorer_Header/Fixed_Header/Mission")
    vectors = root.findall("Data_Block/List_of_OSVs/OSV")
    if mission is None or not vectors:
        raise OrbitError(f"{path.name}: not an EOF orbit file (no <Mission> or no state vectors)")
    if platform is not None and mission.replace("Sentinel-", "S") != platform:
        raise OrbitError(f"{path.name}: holds the orbit of {mission}, the product is of {platform}")
    try:
        utc = np.array([without_leap_second(v.findtext("UTC", "none")) for v in vectors], dtype="datetime64[ns]")
        time = np.asarray((utc - epoch).astype(np.int64) * 1e-9, dtype=np.float64)
        near = np.flatnonzero((time >= start_s - ARC_MARGIN_S - 10) & (time <= stop_s + ARC_MARGIN_S + 10))
        axes = ("X", "Y", "Z", "VX", "VY", "VZ")
        state = np.array([[float(vectors[i].findtext(axis, "nan")) for axis in axes] for i in near])
    except ValueError as error:
        raise OrbitError(f"{path.name}: a state vector cannot be read ({error}). Fetch the file again.") from error
    if near.size == 0 or time[near].min() > start_s or time[near].max() < stop_s:
        raise OrbitError(
            f"{path.name}: covers {utc.min()} to {utc.max()} UTC, the acquisition is at "
            f"{epoch + np.timedelta64(round(start_s * 1e9), 'ns')}. Use the orbit file of that day."
        )
    return Orbit(time[near], state[:, :3], state[:, 3:], source=path.name)


def orbit_files(paths: Iterable[Path | str]) -> list[Path]:
    """Return orbit files, with those of a folder in its place: precise ones first, as their names sort.

    Raises
    ------
    OrbitError
        A folder holds none.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.glob("*.EOF")) if path.is_dir() else [path]
        if not inside:
            raise OrbitError(f"{path}: holds no orbit file (*.EOF). Name another folder, or files.")
        files += inside
    return files


def without_leap_second(text: str) -> str:
    """Return a UTC text without the second 60, which is that of the next minute's beginning.

    Raises
    ------
    ValueError
        It is no time of the years 1970 to 2199.
    """
    text = text.strip().removeprefix("UTC=")
    if not _UTC.fullmatch(text):  # of another text the libraries would make a year, or a time zone
        raise ValueError(f"{text!r:.60} is no UTC time")
    if text[17:19] != "60":
        return text
    minute = dt.datetime.fromisoformat(text[:16]) + dt.timedelta(minutes=1)
    return f"{minute.isoformat(timespec='seconds')}{text[19:]}"


def _refuse_by_name(name: str, epoch: np.datetime64, start_s: float, stop_s: float) -> None:
    """Refuse a file whose own name says that it covers another time: a stack has one file per date, 5 MB each."""
    match = _SPAN_IN_NAME.search(name)
    if match is None:
        return
    first, last = (np.datetime64(dt.datetime.strptime(text, "%Y%m%dT%H%M%S"), "ns") for text in match.groups())
    start, stop = (epoch + np.timedelta64(round(time * 1e9), "ns") for time in (start_s, stop_s))
    if start < first or stop > last:
        raise OrbitError(
            f"{name}: covers {first} to {last} UTC, the acquisition is at {start}. Use the orbit file of that day."
        )
