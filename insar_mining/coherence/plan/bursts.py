"""Assign the ground of a map to bursts.

Bursts overlap in azimuth and sub-swaths overlap in range.  Each piece of ground is
shown by one burst only: neighbouring bursts are cut at the mean of the last line time
of one and the first line time of the next (the rule of SNAP's TOPSAR-Deburst),
neighbouring sub-swaths in the middle of what both see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S, Burst, SubSwath

BURST_CYCLE_S = 2.758273
"""From one burst of a sub-swath to the next (IW; ESA, Sentinel-1 burst id, ESA-EOPG-EOPGM-TN-0024)."""


@dataclass(frozen=True)
class BurstCut:
    """Describe the rectangle of zero-Doppler time and slant range assigned to one burst.

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
        """Select the points inside the cut; NaN is in none."""
        return np.asarray(
            (time_s >= self.start_s)
            & (time_s < self.stop_s)
            & (slant_range_m >= self.near_m)
            & (slant_range_m < self.far_m)
        )


def cut_of_each(cuts: Sequence[BurstCut], time_s: FloatArray, slant_range_m: FloatArray) -> npt.NDArray[np.int16]:
    """Assign each cell of a map to a cut, in one pass.

    Parameters
    ----------
    cuts : sequence of BurstCut
        Of which no two overlap.
    time_s, slant_range_m : ndarray, shape (rows, columns)

    Returns
    -------
    ndarray of int16, shape (rows, columns)
        Index into `cuts`; -1 where none holds the cell.
    """
    edges = np.array([[c.start_s, c.stop_s, c.near_m, c.far_m] for c in cuts], dtype=np.float64).reshape(-1, 4)
    out = np.full(time_s.shape, -1, dtype=np.int16)
    _find_cuts(edges, time_s, slant_range_m, out)
    return out


@njit(parallel=True)
def _find_cuts(edges, time_s, slant_range_m, out):  # type: ignore[no-untyped-def]
    for r in numba.prange(out.shape[0]):
        last = 0  # neighbours are mostly shown by one cut
        for c in range(out.shape[1]):
            t, d = time_s[r, c], slant_range_m[r, c]
            for k in range(edges.shape[0]):
                n = (last + k) % edges.shape[0]
                if edges[n, 0] <= t < edges[n, 1] and edges[n, 2] <= d < edges[n, 3]:
                    out[r, c] = last = n
                    break


def burst_cuts(swaths: Sequence[SubSwath]) -> list[BurstCut]:
    """Cut the bursts of one or several neighbouring sub-swaths so that none overlap.

    Neighbouring sub-swaths meet in the middle of their overlap wherever both have bursts; where
    only one has (the ends of a scene, products cut to a few bursts), it shows all that it sees, and
    a burst then has more than one cut.  Bursts without a valid sample are left out.
    """
    ordered = sorted(swaths, key=lambda swath: swath.slant_range_time_s)
    cuts = [_cuts_of_one(swath) for swath in ordered]
    for i, (near, far) in enumerate(pairwise(list(cuts))):
        if near and far:
            seam = (min(c.far_m for c in near) + max(c.near_m for c in far)) / 2
            cuts[i] = _meeting(cuts[i], far, far_m=seam)
            cuts[i + 1] = _meeting(far, near, near_m=seam)
    return [cut for group in cuts for cut in group]


def _meeting(
    cuts: Sequence[BurstCut], neighbours: Sequence[BurstCut], *, near_m: float = -math.inf, far_m: float = math.inf
) -> list[BurstCut]:
    """Narrow cuts in range for the time covered by bursts of the neighbouring sub-swath."""
    edges = sorted({edge for n in neighbours for edge in (n.start_s, n.stop_s)})
    out: list[BurstCut] = []
    for cut in cuts:
        times = [cut.start_s, *(edge for edge in edges if cut.start_s < edge < cut.stop_s), cut.stop_s]
        for start, stop in pairwise(times):
            part = replace(cut, start_s=start, stop_s=stop)
            if any(n.start_s <= start and stop <= n.stop_s for n in neighbours):
                part = replace(part, near_m=max(part.near_m, near_m), far_m=min(part.far_m, far_m))
            previous = out[-1] if out else None
            if previous is not None and replace(previous, stop_s=stop) == replace(part, start_s=previous.start_s):
                out[-1] = replace(previous, stop_s=stop)  # the neighbour's own seams are not ours
            else:
                out.append(part)
    return out


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


def matching_burst(swath: SubSwath, middle_s: float, start_s: float, stop_s: float) -> int | None:
    """Return the index of the burst that sees the ground of another date's burst, None if none does.

    Bursts are matched by the times of their middles, not by id: ids are missing before IPF 3.40 and
    have been off by one (opera-adt/s1-reader issue 117).  Neighbouring bursts see the ground between
    them from other angles, with spectra that have nothing in common: where the burst itself is
    missing, its neighbour is no substitute, though it may see a strip of the ground.

    Parameters
    ----------
    swath : SubSwath
    middle_s : float
        Zero-Doppler time of `swath` at which the middle of the other date's burst is seen.
    start_s, stop_s : float
        The same for the first and last line of what is wanted of it.
    """
    found = [(abs(_middle_s(swath, burst) - middle_s), burst) for burst in swath.bursts]
    distance, nearest = min(found, key=lambda one: one[0])
    lines = nearest.valid_lines
    first, last = (
        nearest.azimuth_time_s + line * swath.azimuth_time_interval_s for line in (lines.start, lines.stop - 1)
    )
    if distance > BURST_CYCLE_S / 2 or lines.stop <= lines.start or first > stop_s or last < start_s:
        return None
    return nearest.index


def middle_of_burst_s(swath: SubSwath, index: int) -> float:
    """Return the zero-Doppler time of the middle of a burst, seconds from the product's epoch."""
    return _middle_s(swath, swath.bursts[index])


def _middle_s(swath: SubSwath, burst: Burst) -> float:
    return burst.azimuth_time_s + swath.lines_per_burst / 2 * swath.azimuth_time_interval_s
