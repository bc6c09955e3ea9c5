"""What several commands make of their arguments."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pydantic
from pydantic import Field

from insar_mining.options.base import Options

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from insar_mining.geo.mines import Mine
    from insar_mining.pipeline.acquisition import Network


class MineOptions(Options):
    """Hold a mine that a command may be given."""

    mine: Path | None = Field(None, description="Vector file with the mine's polygon.")
    mine_id: str | None = Field(None, description="Identifier of the mine, where the file holds several.")

    def read(self) -> Mine | None:
        """Return the mine, None if no file is given."""
        from insar_mining.pipeline.inputs import mine_of

        return None if self.mine is None else mine_of(self.mine, self.mine_id)


class AreaOptions(MineOptions):
    """Hold an area that a command may be given: a mine's, or a box."""

    bbox: tuple[float, float, float, float] | None = Field(
        None, description="The area as a box: west south east north, degrees."
    )

    @pydantic.model_validator(mode="after")
    def _one_area(self) -> Self:
        if self.mine is not None and self.bbox is not None:
            raise ValueError("both --mine and --bbox are given. Choose one of them.")
        return self

    def geometry(self) -> BaseGeometry | None:
        """Return the area in longitude and latitude, None if neither is given."""
        from insar_mining.geo.mines import mine_from_geometry

        if self.bbox is not None:
            return mine_from_geometry(self.bbox, id="box").geometry
        mine = self.read()
        return None if mine is None else mine.geometry


def open_network() -> Network:
    """Return the real network; an account is asked for only in a terminal, and only when products are fetched."""
    from insar_mining.download.products import open_session
    from insar_mining.pipeline.acquisition import Network

    return Network(login=functools.partial(open_session, prompt=sys.stdin.isatty()))
