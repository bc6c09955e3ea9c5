"""Ground around a mine: how much of it is mapped and read, and what of it belongs to other mines."""

from __future__ import annotations

from pathlib import Path

from pyproj import Geod

from insar_mining.geo.mines import Mine, read_mines
from insar_mining.options.activity import ActivityOptions

# ground around a mine that is its control, and around a wide one
MARGIN_M, WIDE_MARGIN_M = 1000.0, 3000.0
WIDE_MINE_M = 2000.0
# a mine made of several polygons of a file holds each of them within this, degrees
ROUNDING_DEG = 1e-7


def other_mines(mine: Mine | Path | str, chosen: Mine) -> list[Mine]:
    """Return the other mines of the file that a mine came from; none where a mine itself was given."""
    if isinstance(mine, Mine):
        return []
    own = chosen.geometry.buffer(ROUNDING_DEG)
    return [found for found in read_mines(mine) if not found.geometry.within(own)]


def margin_of(mine: Mine, options: ActivityOptions) -> float:
    """Return the ground around a mine that is mapped and read, metres.

    The option's, or by default 1 km, and 3 km around a mine wider than 2 km (significant); none (published).
    """
    if options.margin_m is not None:
        return options.margin_m
    if options.method == "published":
        return 0.0
    return WIDE_MARGIN_M if width_m(mine) > WIDE_MINE_M else MARGIN_M


def width_m(mine: Mine) -> float:
    """Return the longer side of the box around a mine, metres on the ellipsoid."""
    west, south, east, north = mine.bounds
    geod = Geod(ellps="WGS84")
    middle = (south + north) / 2
    return float(max(geod.inv(west, middle, east, middle)[2], geod.inv(west, south, west, north)[2]))
