"""The track of a pass: the relative orbit is a hint, the time and the ground tell.

The relative orbit is counted from the ascending node: slices of one pass on either side of the
node have other numbers, and so have scenes of the same ground on two dates whose slices begin a
few seconds apart.  One satellite returns to its track after 12 days to a second or so, while
neighbouring numbers pass 98.7 minutes apart.  Sentinel-1C was moved along its orbit in June 2026:
before and after, it came to a track at other moments.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

TRACKS = 175
"""Relative orbits of a repeat cycle, 1 to 175."""

REPEAT_S = 12 * 86_400.0
SAME_TIME_S = 600.0
"""By how much passes of one track may miss the repeat: slices of one pass begin minutes apart."""

_OFFSETS = {"S1A": 73, "S1B": 27, "S1C": 99, "S1D": 42}
_LAST_BEFORE_MOVE = 8018  # absolute orbit of Sentinel-1C; its offset was 172 until then
_OFFSET_BEFORE_MOVE = 172
_MOVE = np.datetime64("2026-06-16", "ns")  # in the middle of the manoeuvre, 8 to 24 June 2026, without images

SAME_GROUND = 0.5
"""Share of a footprint that scenes of two satellites on one track have in common, at least."""


class TrackPass(Protocol):
    """Describe the track of a scene."""

    @property
    def platform(self) -> str:
        """Satellite, such as S1A."""

    @property
    def relative_orbit(self) -> int | None:
        """Number of the track as the product states it."""

    @property
    def direction(self) -> str:
        """Ascending or descending."""

    @property
    def start(self) -> np.datetime64:
        """First line, UTC."""

    @property
    def footprint(self) -> BaseGeometry:
        """Outline in longitude and latitude."""


def relative_orbit_of(platform: str | None, absolute_orbit: int | None) -> int | None:
    """Compute the relative orbit from the absolute one, for products that do not state it.

    Parameters
    ----------
    platform : str or None
        ``"S1A"`` ... ``"S1D"``.
    absolute_orbit : int or None

    Returns
    -------
    int or None
        1 to 175; None for another satellite, or where the orbit is not known.

    Notes
    -----
    ``(absolute - offset) mod 175 + 1`` (ESA, Sentinel-1 Product Naming Convention).  The offset of Sentinel-1C was 172
    up to absolute orbit 8018 and is 99 since it was moved in June 2026 (isce2 pull request 28130).
    """
    offset = _OFFSETS.get(platform or "")
    if offset is None or absolute_orbit is None:
        return None
    if platform == "S1C" and absolute_orbit <= _LAST_BEFORE_MOVE:
        offset = _OFFSET_BEFORE_MOVE
    return (absolute_orbit - offset) % TRACKS + 1


def in_one_cycle(platform: str, start: np.datetime64, others: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Find the moments at which a satellite repeats its tracks in the same cycle: not before and after a move."""
    moments = np.asarray(others, dtype="datetime64[ns]")
    if platform != "S1C":
        return np.ones(moments.shape, dtype=bool)
    return np.asarray((moments < _MOVE) == (start < _MOVE))


def next_track(track: int) -> int:
    """Return the relative orbit that begins at the next ascending node."""
    return track % TRACKS + 1


def neighbours(track: int) -> tuple[int, int, int]:
    """Return the relative orbits that scenes of a track may have: before its node, its own, after its last node."""
    return (track - 2) % TRACKS + 1, track, next_track(track)


def is_repeat(seconds: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Find the spans of time that are whole repeat cycles of one satellite, 0 included."""
    off = (np.asarray(seconds, dtype=np.float64) + REPEAT_S / 2) % REPEAT_S - REPEAT_S / 2
    return np.asarray(np.abs(off) < SAME_TIME_S)


def sees_same_ground(one: BaseGeometry | None, other: BaseGeometry | None) -> bool:
    """Check whether two footprints have at least half of the smaller one in common."""
    if one is None or other is None or min(one.area, other.area) == 0:
        return False
    return bool(one.intersection(other).area >= SAME_GROUND * min(one.area, other.area))


def on_one_track(one: TrackPass, other: TrackPass) -> bool:
    """Check whether two scenes lie on one track, which an unknown relative orbit does not deny."""
    if one.direction != other.direction:
        return False
    if one.relative_orbit is None or other.relative_orbit is None or one.relative_orbit == other.relative_orbit:
        return True
    if other.relative_orbit not in neighbours(one.relative_orbit):
        return False
    if one.platform == other.platform and in_one_cycle(one.platform, one.start, other.start):
        return bool(is_repeat((other.start - one.start) / np.timedelta64(1, "s")))
    return sees_same_ground(one.footprint, other.footprint)
