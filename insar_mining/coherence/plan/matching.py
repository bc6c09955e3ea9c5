"""Match the bursts of three acquisitions over the same ground.

Bursts are matched by time and geometry, never by their number: acquisitions start at other times, hold
other numbers of bursts, and may lack one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.coherence.plan.bursts import BurstCut, matching_burst, middle_of_burst_s
from insar_mining.errors import PairError, PartialCoverageWarning, UnlikeScenesWarning
from insar_mining.geometry.terrain import GridHeights, probe
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product
from insar_mining.sentinel1.tops import tops_ramp

ENOUGH_COMMON_BAND = 0.9  # bursts are synchronised to a few milliseconds since 2015, which leaves 0.95 and more


@dataclass(frozen=True)
class BurstPair:
    """Hold the bursts of reference, secondary and stack reference over the same ground, by their indices."""

    swath: str
    reference_index: int
    secondary_index: int
    stack_index: int


def bursts_over(
    cuts: Sequence[BurstCut], time: FloatArray, slant_range: FloatArray
) -> list[tuple[BurstCut, npt.NDArray[np.bool_]]]:
    """Return the bursts that may cover a cell of the grid, largest cover first, and the probes in each.

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
) -> tuple[tuple[BurstPair, ...], float]:
    """Match each burst of the stack reference with one of the reference and one of the secondary.

    Returns
    -------
    pairs : tuple of BurstPair
    common_band : float
        Least share of the azimuth spectrum that the bursts of a pair have in common, 0..1.

    Raises
    ------
    PairError
        None of the bursts that show the area is held by all.
    """
    first, second, stack = products
    pairs: list[BurstPair] = []
    missing: dict[str, list[str]] = {}
    common_band = 1.0
    for swath in sorted({cut.swath for cut in cuts}):
        own = stack.sub_swath(swath, polarisation)
        time = probe(own, heights)[0]
        sides = [_shifted(product, stack, own, heights, time) for product in (first, second)]
        for index in sorted({cut.burst_index for cut in cuts if cut.swath == swath}):
            parts = [cut for cut in cuts if (cut.swath, cut.burst_index) == (swath, index)]
            start = max(min(cut.start_s for cut in parts), float(np.nanmin(time)))
            stop = min(max(cut.stop_s for cut in parts), float(np.nanmax(time)))
            found = [side.seeing(middle_of_burst_s(own, index), start, stop) for side in sides]
            for product, its in zip((first, second), found, strict=True):
                if its is None:
                    missing.setdefault(product.name, []).append(f"{swath} burst {index + 1}")
            one, other = found
            if one is not None and other is not None:
                pairs.append(BurstPair(swath, one.index, other.index, index))
                common_band = min(common_band, _common_band(own, index, other.late_s - one.late_s))
    lacking = "; ".join(f"{name} does not hold {', '.join(bursts)}" for name, bursts in missing.items())
    if not pairs:
        raise PairError(f"the pair holds none of the bursts that show the area: {lacking} (counted in {stack.name})")
    if missing:
        warnings.warn(f"{lacking}; the map is NaN there", PartialCoverageWarning, stacklevel=3)
    if common_band < ENOUGH_COMMON_BAND:
        warnings.warn(
            f"{first.name} and {second.name}: their bursts do not begin over the same ground, so their azimuth spectra "
            f"share only {common_band:.0%} and coherence is lower by as much; prefer pairs of synchronised bursts",
            UnlikeScenesWarning,
            stacklevel=3,
        )
    return tuple(pairs), common_band


@dataclass(frozen=True)
class _Match:
    """Hold a burst of a date, and its delay over the same ground to that of the stack reference."""

    index: int
    late_s: float


@dataclass(frozen=True, eq=False)
class _Shifted:
    """Hold a sub-swath of one date (None where the date has none), and its time minus that of the stack reference."""

    swath: SubSwath | None
    shift_s: float

    def seeing(self, middle_s: float, start_s: float, stop_s: float) -> _Match | None:
        """Return the burst that sees what a burst of the stack reference shows between two of its times."""
        if self.swath is None:
            return None
        middle, start, stop = (time + self.shift_s for time in (middle_s, start_s, stop_s))
        index = matching_burst(self.swath, middle, start, stop)
        return None if index is None else _Match(index, middle_of_burst_s(self.swath, index) - middle)


def _shifted(product: Product, stack: Product, swath: SubSwath, heights: GridHeights, time: FloatArray) -> _Shifted:
    """Return a date's sub-swath, and its delay over the ground of the stack reference's `time`."""
    if product is stack:
        return _Shifted(swath, 0.0)
    if (swath.swath, swath.polarisation) not in product.images:
        return _Shifted(None, 0.0)
    own = product.sub_swath(swath.swath, swath.polarisation)
    return _Shifted(own, float(np.nanmedian(probe(own, heights)[0] - time)))


def _common_band(swath: SubSwath, index: int, apart_s: float) -> float:
    """Compute the share of the azimuth spectrum that two dates have in common, 0..1.

    The Doppler frequency of the focused burst grows with time, so that bursts which begin at other
    places see the same ground at other frequencies (De Zan and Monti Guarnieri 2006,
    doi:10.1109/TGRS.2006.873853).
    """
    ramp = tops_ramp(swath, index, np.array([swath.samples_per_burst / 2]))
    shift_hz = abs(float(ramp.doppler_rate_hz_s[0]) * apart_s)
    return max(1.0 - shift_hz / swath.azimuth_bandwidth.processed_hz, 0.0)
