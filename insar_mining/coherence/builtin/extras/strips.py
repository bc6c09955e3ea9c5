"""Cut bursts into the pieces on which misregistration is measured: strips, and blocks of burst overlaps.

Each piece meets the terrain once and is then read as often as wanted, with any shift of the date.  Pieces
and what is cut from them belong to the burst of the stack reference, not to the area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.builtin.extras.correlation import PATCH_LINES, PATCH_SAMPLES
from insar_mining.coherence.builtin.extras.diversity import CELL_LINES, CELL_SAMPLES, Interferogram
from insar_mining.coherence.builtin.images.burst import Side, valid_pixels
from insar_mining.coherence.builtin.images.dates import Phases, Relief, Resampler
from insar_mining.coherence.builtin.images.resample import (
    MOST_TAPS,
    RampArrays,
    deramp,
    interpolation_weights,
    ramp_arrays,
)
from insar_mining.coherence.estimators.spectrum import azimuth_spectrum, range_spectrum
from insar_mining.geometry.coregister import Region
from insar_mining.geometry.range_doppler import DemArrays
from insar_mining.sentinel1.tops import TopsRamp, tops_ramp

STRIP_LINES = 2 * PATCH_LINES
OVERLAP_LINES = 4 * CELL_LINES


@dataclass(frozen=True, eq=False)
class BurstOfDate:
    """Hold a burst of the stack reference, that of the date, and the part of it over the area."""

    stack: Side
    date: Side
    region: Region | None

    def strips(self, dem: DemArrays) -> list[BurstStrip]:
        """Cut the part of a burst over the area, widened to whole patches, into strips of 64 lines."""
        if self.region is None:
            return []
        start, stop = _whole(self.region.sample_start, self.region.sample_stop, PATCH_SAMPLES)
        lines = range(*_whole(self.region.line_start, self.region.line_stop, STRIP_LINES), STRIP_LINES)
        return [BurstStrip(self, Region(line, line + STRIP_LINES, start, stop), dem) for line in lines]


def _whole(start: int, stop: int, size: int) -> tuple[int, int]:
    """Widen an interval to whole multiples of a size."""
    return start // size * size, -(-stop // size) * size


class _Part:
    """Hold a rectangle of a burst of the stack reference, with resamplers onto it that are made once."""

    def __init__(self, stack: Side, region: Region, dem: DemArrays) -> None:
        self.stack = stack
        self.region = region
        self.azimuth, self.range_ = azimuth_spectrum(stack.swath), range_spectrum(stack.swath)
        self._dem = dem
        self._relief: Relief | None = None
        self._resamplers: dict[tuple[int, int], Resampler] = {}

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.region.shape[0] * self.region.shape[1]

    def resampler(self, side: Side) -> Resampler:
        """Return the resampler of a burst, with so many taps that interpolation moves nothing; it is made once."""
        if self._relief is None:
            relief = Relief(self.region, self.stack, self._dem)
            self._relief = relief.knowing(relief.heights(relief.reach.line_start, relief.reach.line_stop))
        key = id(side.product), side.burst_index
        if key not in self._resamplers:
            swath = side.swath
            self._resamplers[key] = replace(
                Resampler.of(self._relief, side, self.stack, Phases()),
                range_weights=interpolation_weights(swath.range_bandwidth, swath.range_sampling_rate_hz, MOST_TAPS),
                azimuth_weights=interpolation_weights(swath.azimuth_bandwidth, swath.azimuth_frequency_hz, MOST_TAPS),
            )
        return self._resamplers[key]

    def brought(self, side: Side, shift: tuple[float, float]) -> Complex64Array:
        """Read a burst that is displaced by `shift` from its geometry."""
        return replace(self.resampler(side), shift=shift).lines(self.region)


class BurstStrip(_Part):
    """Read lines of a burst, see :class:`Strip`."""

    def __init__(self, burst: BurstOfDate, region: Region, dem: DemArrays) -> None:
        super().__init__(burst.stack, region, dem)
        self._date = burst.date
        self._ramp = _ramp(burst.stack)

    def at(self, shift: tuple[float, float]) -> tuple[Complex64Array, Complex64Array]:
        """Return reference and date, both without the carrier of the reference."""
        images = valid_pixels(self.stack, self.region), np.array(self.brought(self._date, shift))
        first, second = (deramp(v, self._ramp, self.region.line_start, self.region.sample_start) for v in images)
        return first, second


def _ramp(side: Side) -> RampArrays:
    return ramp_arrays(tops_ramp(side.swath, side.burst_index, np.arange(side.swath.samples_per_burst)), 0)


def overlap_blocks(first: BurstOfDate, second: BurstOfDate, dem: DemArrays) -> list[BurstOverlap]:
    """Cut the overlap of two bursts, over the range of the area, into blocks of 32 lines."""
    regions = [burst.region for burst in (first, second) if burst.region is not None]
    follows = all(
        one.swath.swath == other.swath.swath and one.burst_index + 1 == other.burst_index
        for one, other in ((first.stack, second.stack), (first.date, second.date))
    )
    if not (regions and follows):
        return []
    start, stop = _whole(min(r.sample_start for r in regions), max(r.sample_stop for r in regions), CELL_SAMPLES * 2)
    frames = first.stack.frame, second.stack.frame
    between = (frames[1].first_time_s - frames[0].first_time_s) / frames[0].line_interval_s
    begin = -(-math.ceil(between + second.stack.burst.valid_lines.start) // CELL_LINES) * CELL_LINES
    end = first.stack.burst.valid_lines.stop // CELL_LINES * CELL_LINES
    return [
        BurstOverlap(first, second, Region(line, min(line + OVERLAP_LINES, end), start, stop), dem)
        for line in range(begin, end, OVERLAP_LINES)
    ]


class BurstOverlap(_Part):
    """Read lines that two bursts share, on the pixels of the first, see :class:`Overlap`."""

    def __init__(self, first: BurstOfDate, second: BurstOfDate, region: Region, dem: DemArrays) -> None:
        super().__init__(first.stack, region, dem)
        self._first, self._second = first, second

    @property
    def turns_per_line(self) -> FloatArray:
        """Doppler frequency of the date's first burst minus that of its second, times the line interval."""
        lines = np.arange(self.region.line_start, self.region.line_stop)[:, None]
        samples = np.arange(self.region.sample_start, self.region.sample_stop)
        first, second = (
            _doppler_hz(tops_ramp(side.swath, side.burst_index, samples), lines + self.resampler(side).typical_lines)
            for side in (self._first.date, self._second.date)
        )
        return (first - second) * self.stack.swath.azimuth_time_interval_s

    def at(self, shift: tuple[float, float]) -> tuple[Interferogram, Interferogram]:
        """Return reference and date as either burst sees them."""
        return (
            (valid_pixels(self.stack, self.region), self.brought(self._first.date, shift)),
            (self.brought(self._second.stack, (0.0, 0.0)), self.brought(self._second.date, shift)),
        )


def _doppler_hz(ramp: TopsRamp, line: npt.NDArray[np.int_]) -> FloatArray:
    """Compute the frequency of a burst's carrier, the derivative of its phase over time."""
    eta = (line - ramp.mid_line) * ramp.line_interval_s - ramp.reference_time_s
    return np.asarray(ramp.doppler_rate_hz_s * eta + ramp.doppler_centroid_hz)
