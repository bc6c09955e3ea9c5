"""Which burst shows which part of the ground.

Bursts overlap in azimuth and sub-swaths overlap in range.  Each piece of ground is
shown by one burst only: neighbouring bursts are cut at the mean of the last line time
of one and the first line time of the next (the rule of SNAP's TOPSAR-Deburst),
neighbouring sub-swaths in the middle of what both see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S, SubSwath

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BurstCut:
    """The rectangle of zero-Doppler time and slant range that one burst shows.

    Times are seconds from the product's epoch, ranges one-way metres; starts are
    inclusive, stops exclusive.
    """

    swath: str
    burst_index: int
    start_s: float
    stop_s: float
    near_m: float
    far_m: float

    def holds(self, time_s: FloatArray, slant_range_m: FloatArray) -> npt.NDArray[np.bool_]:
        """Tell which points the burst shows; NaN is held by none."""
        return np.asarray(
            (time_s >= self.start_s)
            & (time_s < self.stop_s)
            & (slant_range_m >= self.near_m)
            & (slant_range_m < self.far_m)
        )


def burst_cuts(swaths: Sequence[SubSwath]) -> list[BurstCut]:
    """Cut the bursts of one or several neighbouring sub-swaths so that none overlap.

    Bursts without a valid sample are left out.
    """
    ordered = sorted(swaths, key=lambda swath: swath.slant_range_time_s)
    cuts = [_cuts_of_one(swath) for swath in ordered]
    for near, far in pairwise(cuts):
        seam = (min(c.far_m for c in near) + max(c.near_m for c in far)) / 2
        near[:] = [replace(c, far_m=min(c.far_m, seam)) for c in near]
        far[:] = [replace(c, near_m=max(c.near_m, seam)) for c in far]
    return [cut for group in cuts for cut in group]


def _cuts_of_one(swath: SubSwath) -> list[BurstCut]:
    bursts = [b for b in swath.bursts if b.valid_lines.stop > b.valid_lines.start]
    interval = swath.azimuth_time_interval_s
    first = [b.azimuth_time_s for b in bursts]
    last = [b.azimuth_time_s + (swath.lines_per_burst - 1) * interval for b in bursts]
    cuts = []
    for k, burst in enumerate(bursts):
        # half a line more than the valid lines' centres: a line shows ground on both of its sides
        start = burst.azimuth_time_s + (burst.valid_lines.start - 0.5) * interval
        stop = burst.azimuth_time_s + (burst.valid_lines.stop - 0.5) * interval
        if k > 0:
            start = max(start, (last[k - 1] + first[k]) / 2)
        if k + 1 < len(bursts):
            stop = min(stop, (last[k] + first[k + 1]) / 2)
        samples = burst.valid_samples
        near, far = (
            SPEED_OF_LIGHT_M_S / 2 * float(swath.slant_range_time_of(edge))
            for edge in (samples.start - 0.5, samples.stop - 0.5)
        )
        cuts.append(BurstCut(swath.swath, burst.index, start, stop, near, far))
    return cuts


def choose_swaths(
    swaths: Sequence[SubSwath], time_s: FloatArray, slant_range_m: FloatArray
) -> tuple[list[SubSwath], float]:
    """Choose the fewest neighbouring sub-swaths that see the most of some points.

    Parameters
    ----------
    time_s, slant_range_m : ndarray
        Zero-Doppler times and one-way slant ranges of the points, any one shape.

    Returns
    -------
    swaths : list of SubSwath
        Empty when no point is seen.
    share : float
        Share of the points that they see, 0..1.
    """
    ordered = sorted(swaths, key=lambda swath: swath.slant_range_time_s)
    best: list[SubSwath] = []
    most = 0
    for length in range(1, len(ordered) + 1):
        for start in range(len(ordered) - length + 1):
            group = ordered[start : start + length]
            seen = np.zeros(time_s.shape, dtype=bool)
            for cut in burst_cuts(group):
                seen |= cut.holds(time_s, slant_range_m)
            count = int(np.count_nonzero(seen))
            if count > most:
                best, most = group, count
    return best, most / max(time_s.size, 1)


def matching_burst(secondary: SubSwath, time_s: float) -> int | None:
    """Return the index of the burst that sees a zero-Doppler time best, None if none does.

    Bursts are matched by time, not by id: ids are missing before IPF 3.40 and have been
    off by one (opera-adt/s1-reader issue 117).  Of two bursts that see the time, the one
    whose middle is nearer is taken.
    """
    middle = secondary.lines_per_burst / 2 * secondary.azimuth_time_interval_s
    seeing = [
        b.index
        for b in secondary.bursts
        if b.valid_lines.start
        <= (time_s - b.azimuth_time_s) / secondary.azimuth_time_interval_s
        <= b.valid_lines.stop - 1
    ]
    if not seeing:
        return None
    return min(seeing, key=lambda k: abs(secondary.bursts[k].azimuth_time_s + middle - time_s))
