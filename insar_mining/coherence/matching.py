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

from insar_mining.archive.dem import Dem
from insar_mining.coherence.bursts import BurstCut, matching_burst
from insar_mining.coherence.ground import probe
from insar_mining.errors import PairError, PartialCoverageWarning
from insar_mining.grid import MapGrid
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
    if not time.size:
        return []
    start, stop, near, far = time.min(), time.max(), slant_range.min(), slant_range.max()
    seen = [
        (cut, cut.holds(time, slant_range))
        for cut in cuts
        if cut.start_s <= stop and cut.stop_s > start and cut.near_m <= far and cut.far_m > near
    ]
    if not any(held.any() for _, held in seen):
        return []
    return sorted(seen, key=lambda one: -int(one[1].sum()))


def match_bursts(
    cuts: Sequence[BurstCut], products: tuple[Product, Product, Product], polarisation: str, grid: MapGrid, heights: Dem
) -> tuple[BurstPair, ...]:
    """Match each burst of the stack reference with one of the reference and one of the secondary."""
    first, second, stack = products
    pairs: list[BurstPair] = []
    missing: dict[str, list[str]] = {}
    for cut in sorted(cuts, key=lambda cut: (cut.swath, cut.burst_index)):
        found = [
            cut.burst_index if product is stack else _match(product, stack, cut, polarisation, grid, heights)
            for product in (first, second)
        ]
        for product, index in zip((first, second), found, strict=True):
            if index is None:
                missing.setdefault(product.name, []).append(f"{cut.swath} burst {cut.burst_index + 1}")
        if found[0] is not None and found[1] is not None:
            pairs.append(BurstPair(cut.swath, found[0], found[1], cut.burst_index))
    lacking = "; ".join(f"{name} does not hold {', '.join(bursts)}" for name, bursts in missing.items())
    if not pairs:
        raise PairError(f"the pair holds none of the bursts that show the area: {lacking} (counted in {stack.name})")
    if missing:
        warnings.warn(f"{lacking}; the map is NaN there", PartialCoverageWarning, stacklevel=3)
    return tuple(pairs)


def _match(
    product: Product, stack: Product, cut: BurstCut, polarisation: str, grid: MapGrid, heights: Dem
) -> int | None:
    """Return which burst of a product sees what a burst of the stack reference shows of the grid."""
    if (cut.swath, polarisation) not in product.images:
        return None
    own, other = stack.sub_swath(cut.swath, polarisation), product.sub_swath(cut.swath, polarisation)
    time = probe(own, grid, heights)[0]
    shift = float(np.nanmedian(probe(other, grid, heights)[0] - time))
    middle = (max(cut.start_s, time.min()) + min(cut.stop_s, time.max())) / 2
    return matching_burst(other, middle + shift)
