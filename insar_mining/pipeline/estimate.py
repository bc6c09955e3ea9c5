"""What a run will read, write and take, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.geometry.terrain import probe
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import open_product

BYTES_PER_SAMPLE = 4  # two 16-bit integers
BYTES_PER_CELL = 4  # float32

# per map and cell: the GeoTIFF with its overviews, and the cube
COPIES = 1 + 1 / 3 + 1

# of one pair on two cores: what it takes at all, and per million samples of both dates (benchmarks/)
SECONDS_PER_PAIR = 0.5
SECONDS_PER_MEGASAMPLE = 0.6


@dataclass(frozen=True)
class RunEstimate:
    """Upper bounds of what a run reads and writes, and a guess of its time on two cores."""

    pairs: int
    pairs_to_map: int
    read_bytes: int
    disk_bytes: int
    seconds: float


def estimate(plans: Sequence[CoherencePlan], to_map: Sequence[CoherencePlan], years: int) -> RunEstimate:
    """Estimate a run from its plans.

    Parameters
    ----------
    plans : sequence of CoherencePlan
        All pairs of the run, on one grid.
    to_map : sequence of CoherencePlan
        Those without a current map.
    years : int
        Number of annual maps.
    """
    samples = 2 * samples_needed(to_map[0]) if to_map else 0
    cells = plans[0].grid.width * plans[0].grid.height
    maps = len(plans) * COPIES + years * 6  # annual NDAI, and composite and classes of each three
    return RunEstimate(
        pairs=len(plans),
        pairs_to_map=len(to_map),
        read_bytes=len(to_map) * samples * BYTES_PER_SAMPLE,
        disk_bytes=round(cells * BYTES_PER_CELL * maps),
        seconds=len(to_map) * (SECONDS_PER_PAIR + SECONDS_PER_MEGASAMPLE * samples / 1e6),
    )


def samples_needed(plan: CoherencePlan) -> int:
    """Count the samples of one date that show the grid of a plan: per burst the box around the grid, at most."""
    product = open_product(plan.scenes.reference.path, require_manifest=False)
    heights = plan.heights()
    needed = 0
    for name in sorted({burst.swath for burst in plan.bursts}):
        swath = product.sub_swath(name, plan.polarisation)
        time, slant_range = probe(swath, heights)
        samples = (slant_range - swath.slant_range_m) / swath.range_spacing_m
        width = _inside(samples, swath.samples_per_burst)
        for burst in (b for b in plan.bursts if b.swath == name):
            needed += width * _lines(swath, burst.reference_index, time)
    return needed


def _lines(swath: SubSwath, burst_index: int, time: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> int:
    lines = (time - swath.bursts[burst_index].azimuth_time_s) / swath.azimuth_time_interval_s
    return _inside(lines, swath.lines_per_burst)


def _inside(position: np.ndarray[tuple[int, ...], np.dtype[np.float64]], size: int) -> int:
    """Return the length of the part of 0..size that positions span."""
    first, last = np.clip([np.nanmin(position), np.nanmax(position) + 1], 0, size)
    return round(float(last - first))
