"""States of cells, areas of each, and the flags of a year."""

from __future__ import annotations

from enum import IntEnum

METHOD_VERSION = "control-1"


class State(IntEnum):
    """State of a cell in a year."""

    QUIET = 0
    ACTIVE = 1
    DOUBT = 2
    PARTIAL = 3
    WEATHER_ONLY = 4
    BLIND = 5
    NATURAL = 6
    SETTLED = 7
    OUTSIDE = 255
