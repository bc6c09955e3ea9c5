"""Which bursts of three acquisitions see the same ground of a map.

Bursts are matched by time and geometry, never by their number: acquisitions start at other times, hold
other numbers of bursts, and may lack one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.coherence.bursts import BurstCut, matching_burst
from insar_mining.coherence.ground import GridHeights, probe
from insar_mining.errors import PairError, PartialCoverageWarning
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BurstPair:
    """The bursts of reference, secondary and stack reference that see the same ground, by their indices."""

    swath: str
    reference_index: int
    secondary_index: int
    stack_index: int


def bursts_over(
    cuts: Sequence[BurstCut], time: FloatArray, slant_range: FloatArray
) -> list[tuple[BurstCut, npt.NDArray[np.bool_]]]:
    """Return the bursts that may show a cell of the grid, those that show most first, and which probes they show.

    The probes are coarse: a burst counts as soon as its rectangle meets that of the probes.
    """
    if not np.isfinite(time).any():
        return []
    start, stop, near, far = np.nanmin(time), np.nanmax(time), np.nanmin(slant_range), np.nanmax(slant_range)
    seen = [
        (cut, cut.holds(time, slant_range))
        for cut in cuts
        if cut.start_s <= stop and cut.stop_s > start and cut.near_m <= far and cut.far_m > near
    ]
    if not any(held.any() for _, held in seen):
        return []
    return sorted(seen, key=lambda one: -int(one[1].sum()))


def match_bursts(
    cuts: Sequence[BurstCut], products: tuple[Product, Product, Product], polarisation: str, heights: GridHeights
) -> tuple[BurstPair, ...]:
    """Match each burst of the stack reference with one of the reference and one of the secondary."""
    first, second, stack = products
    pairs: list[BurstPair] = []
    missing: dict[str, list[str]] = {}
    for swath in sorted({cut.swath for cut in cuts}):
        time = probe(stack.sub_swath(swath, polarisation), heights)[0]
        sides = [_shifted(product, stack, swath, polarisation, heights, time) for product in (first, second)]
        for index in sorted({cut.burst_index for cut in cuts if cut.swath == swath}):
            parts = [cut for cut in cuts if (cut.swath, cut.burst_index) == (swath, index)]
            start = max(min(cut.start_s for cut in parts), np.nanmin(time))
            stop = min(max(cut.stop_s for cut in parts), np.nanmax(time))
            found = [index if side is None else side.seeing((start + stop) / 2) for side in sides]
            for product, its in zip((first, second), found, strict=True):
                if its is None:
                    missing.setdefault(product.name, []).append(f"{swath} burst {index + 1}")
            if found[0] is not None and found[1] is not None:
                pairs.append(BurstPair(swath, found[0], found[1], index))
    lacking = "; ".join(f"{name} does not hold {', '.join(bursts)}" for name, bursts in missing.items())
    if not pairs:
        raise PairError(f"the pair holds none of the bursts that show the area: {lacking} (counted in {stack.name})")
    if missing:
        warnings.warn(f"{lacking}; the map is NaN there", PartialCoverageWarning, stacklevel=3)
    return tuple(pairs)


@dataclass(frozen=True, eq=False)
class _Shifted:
    """A sub-swath of one date (None where the date has none), and its time minus that of the stack reference."""

    swath: SubSwath | None
    shift_s: float

    def seeing(self, time_s: float) -> int | None:
        """Return which burst sees a time of the stack reference."""
        return None if self.swath is None else matching_burst(self.swath, time_s + self.shift_s)


def _shifted(
    product: Product, stack: Product, swath: str, polarisation: str, heights: GridHeights, time: FloatArray
) -> _Shifted | None:
    """Return a date's sub-swath; None for the stack reference itself."""
    if product is stack:
        return None
    if (swath, polarisation) not in product.images:
        return _Shifted(None, 0.0)
    own = product.sub_swath(swath, polarisation)
    return _Shifted(own, float(np.nanmedian(probe(own, heights)[0] - time)))
