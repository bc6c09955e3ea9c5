"""What several commands make of their arguments."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from insar_mining.errors import OptionError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from insar_mining.pipeline.acquisition import Network


def area_of(
    mine: Path | None, mine_id: str | None, bbox: tuple[float, float, float, float] | None
) -> BaseGeometry | None:
    """Return the area that ``--mine`` or ``--bbox`` names, None without either.

    Raises
    ------
    OptionError
        Both are given.
    """
    from insar_mining.geo.mines import mine_from_geometry
    from insar_mining.pipeline.inputs import mine_of

    if mine is not None and bbox is not None:
        raise OptionError("both --mine and --bbox are given; choose one of them")
    if mine is not None:
        return mine_of(mine, mine_id).geometry
    return None if bbox is None else mine_from_geometry(bbox, id="box").geometry


def open_network() -> Network:
    """Return the real network; an account is asked for only in a terminal, and only when products are fetched."""
    from insar_mining.download.products import open_session
    from insar_mining.pipeline.acquisition import Network

    return Network(login=functools.partial(open_session, prompt=sys.stdin.isatty()))
