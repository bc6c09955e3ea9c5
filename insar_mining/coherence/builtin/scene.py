"""The stack reference as seen from the map: what all pairs of a stack share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.coherence.builtin.burst import Side
from insar_mining.coherence.builtin.coregister import Region
from insar_mining.coherence.builtin.geocode import Look
from insar_mining.coherence.builtin.geometry import DemArrays
from insar_mining.coherence.bursts import BurstCut, shown_by
from insar_mining.coherence.matching import BurstPair
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scene:
    """What all pairs of a stack share: the stack reference seen from the map."""

    key: tuple[object, ...]
    product: Product
    polarisation: str
    swaths: dict[str, SubSwath]
    cuts: list[BurstCut]
    dem: DemArrays
    look: Look

    def shown_by(self, pair: BurstPair) -> BoolArray:
        """Tell which cells of the map a burst shows."""
        return shown_by(self.cuts, pair.swath, pair.stack_index, self.look.time_s, self.look.slant_range_m)

    def side(self, pair: BurstPair) -> Side:
        """Return the stack reference's part in a burst pair."""
        return Side(self.product, self.swaths[pair.swath], pair.stack_index)

    def region(self, pair: BurstPair) -> Region | None:
        """Return the pixels of a burst that show the map, None if it shows no cell."""
        shown = self.shown_by(pair)
        if not shown.any():
            return None
        frame = self.side(pair).frame
        line, sample = frame.line_of(self.look.time_s[shown]), frame.sample_of(self.look.slant_range_m[shown])
        return Region.around(line, sample, frame)
