"""Dates on the geometry of a stack: each is brought there once, whatever pairs it belongs to.

A burst of the stack reference fixes the pixels.  For these the terrain is met once (`Relief`), and
every date is deramped, interpolated, reramped and freed of the phase that its orbit and the terrain
explain (`Resampler`).  The stack reference itself is read as it is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.builtin.images.burst import Side, valid_pixels
from insar_mining.coherence.builtin.images.resample import (
    RampArrays,
    deramp,
    interpolation_weights,
    ramp_arrays,
    resample_azimuth,
    resample_range,
)
from insar_mining.geometry.coregister import (
    BurstFrame,
    Nodes,
    Region,
    field_at_posts,
    ground_nodes,
    offset_nodes,
    surface_heights,
)
from insar_mining.geometry.range_doppler import (
    ArcArrays,
    DemArrays,
    arc_arrays,
    ground_point,
    to_cartesian,
    zero_doppler,
)
from insar_mining.sentinel1.tops import tops_ramp

Number = TypeVar("Number", bound=np.generic)

BLOCK_LINES = 128
NEARBY_SAMPLES = 32  # by which dates of one track lie apart in range, and the taps
HALO_LINES = 12  # beyond a block whose heights its interpolation along azimuth takes: half of the taps and a margin


class DateLines(Protocol):
    """Hold one date on the pixels of a burst of the stack reference."""

    def lines(self, block: Region) -> Complex64Array:
        """Return the pixels of a block, NaN where the date has no data."""
        ...

    def range_offset(self, block: Region) -> FloatArray:
        """Return the slant range of the date less that of the stack reference at the posts of a block, metres."""
        ...

    def announce(self, block: Region) -> None:
        """Let the disk fetch a block that will be asked for next."""
        ...


def _frozen(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return a read-only view: as arrays from disk are, so that kernels are compiled for one kind only."""
    view = array.view()
    view.setflags(write=False)
    return view


def blocks_of(region: Region) -> Iterator[Region]:
    """Cut a region into blocks of at most 128 lines, in order."""
    for start in range(region.line_start, region.line_stop, BLOCK_LINES):
        yield region.lines_between(start, min(start + BLOCK_LINES, region.line_stop))


class Relief:
    """Hold the terrain that the pixels of a region of a burst see.

    Attributes
    ----------
    region, reach : Region
        What is worked on, aligned to the nodes; and the same with the lines beyond that interpolation takes.
    ground : Nodes
        Where the pixels lie at any height.
    """

    def __init__(self, region: Region, side: Side, dem: DemArrays) -> None:
        self.region = region
        self.frame = side.frame
        self.reach = region.lines_between(region.line_start - HALO_LINES, region.line_stop + HALO_LINES)
        self.ground = ground_nodes(arc_arrays(side.swath.arc()), side.frame, self.reach, dem.west_deg)
        self._dem = dem
        self._top_m = float(np.nanmax(dem.height_m))
        self._first_line = self.reach.line_start
        self._heights: FloatArray = np.empty((0, region.posts))

    def knowing(self, heights: FloatArray) -> Relief:
        """Return the same relief with the heights of all its lines known."""
        known = copy.copy(self)
        known._first_line, known._heights = self.reach.line_start, heights
        return known

    def heights(self, line_start: int, line_stop: int) -> FloatArray:
        """Return ellipsoidal heights at the posts of some lines, shape (lines, posts); remember the last ones."""
        known_stop = self._first_line + self._heights.shape[0]
        if not self._first_line <= line_start <= known_stop:
            self._first_line, self._heights, known_stop = line_start, self._heights[:0], line_start
        if line_stop > known_stop:
            new = surface_heights(
                self.ground, self._dem, known_stop, line_stop, self.region.sample_start, self.region.posts, self._top_m
            )
            self._heights = np.concatenate([self._heights[line_start - self._first_line :], new])
            self._first_line = line_start
        return _frozen(self._heights[line_start - self._first_line : line_stop - self._first_line])


@dataclass(frozen=True, eq=False)
class OwnPixels:
    """Hold the stack reference itself."""

    side: Side

    def lines(self, block: Region) -> Complex64Array:
        """Return the pixels of a block as they were taken."""
        return _frozen(valid_pixels(self.side, block))

    def range_offset(self, block: Region) -> FloatArray:
        """Return zeros."""
        return np.zeros((block.shape[0], block.posts))

    def announce(self, block: Region) -> None:
        """Let the disk fetch the block."""
        self.side.announce(block)


@dataclass(frozen=True, eq=False)
class Kept:
    """Hold a date that was brought to the geometry before, and how that was done."""

    region: Region
    image: Complex64Array
    resampler: Callable[[], Resampler]

    def lines(self, block: Region) -> Complex64Array:
        """Return the pixels of a block."""
        first = block.line_start - self.region.line_start
        return self.image[first : first + block.shape[0]]

    def range_offset(self, block: Region) -> FloatArray:
        """Return the slant range of the date less that of the stack reference."""
        return self.resampler().range_offset(block)

    def announce(self, block: Region) -> None:
        """Do nothing: the file is mapped, and read in its order."""


@dataclass(frozen=True)
class Phases:
    """Hold the parts of the interferometric phase that the resampling removes."""

    flat_earth: bool = True
    topography: bool = True


@dataclass(frozen=True, eq=False)
class Resampler:
    """Bring lines of a burst of any date onto the pixels of the burst of the stack reference.

    Everything that does not change from block to block is kept here.

    Attributes
    ----------
    shift : (float, float)
        Lines and samples by which the date lies beyond where its orbit and timing put it (see
        :mod:`insar_mining.coherence.builtin.extras.misregistration`).  It moves where the date is read,
        with its carrier; the phase that is removed stays that of the geometry.
    """

    relief: Relief
    side: Side
    offsets: Nodes
    typical_lines: int
    ramp: RampArrays
    range_weights: npt.NDArray[np.float32]
    azimuth_weights: npt.NDArray[np.float32]
    phase_per_m: float
    topography: bool
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(
        cls, relief: Relief, side: Side, stack: Side, phases: Phases, shift: tuple[float, float] = (0.0, 0.0)
    ) -> Resampler:
        """Prepare a date for the region of a relief, whose burst is `stack`."""
        swath, arc = side.swath, arc_arrays(side.swath.arc())
        samples = np.arange(swath.samples_per_burst)
        return cls(
            relief=relief,
            side=side,
            offsets=offset_nodes(relief.ground, relief.frame, arc, side.frame),
            typical_lines=_typical_lines(arc_arrays(stack.swath.arc()), relief.frame, arc, side.frame),
            ramp=ramp_arrays(tops_ramp(swath, side.burst_index, samples), 0),
            range_weights=interpolation_weights(swath.range_bandwidth, swath.range_sampling_rate_hz),
            azimuth_weights=interpolation_weights(swath.azimuth_bandwidth, swath.azimuth_frequency_hz),
            phase_per_m=4 * math.pi / swath.wavelength_m if phases.flat_earth else 0.0,
            topography=phases.topography,
            shift=shift,
        )

    def lines(self, block: Region) -> Complex64Array:
        """Return the date on the pixels of a block, flattened; NaN where it has no data."""
        first = block.line_start - HALO_LINES
        tall = self.relief.heights(first, block.line_stop + HALO_LINES)
        height = tall[HALO_LINES:-HALO_LINES]
        line_offset = field_at_posts(self.offsets, 0, height, block.line_start, block.sample_start) + self.shift[0]
        tall_offset = field_at_posts(self.offsets, 1, tall, first, block.sample_start) + self.shift[1]
        sample_offset = tall_offset[HALO_LINES:-HALO_LINES]
        # flat-earth phase is that of the ellipsoid: the same field at height 0
        level = height if self.topography else np.zeros_like(height)
        range_offset = field_at_posts(self.offsets, 2, level, block.line_start, block.sample_start)

        source = self._source(block, line_offset, tall_offset)
        if source is None:
            return _frozen(np.full(block.shape, np.nan, dtype=np.complex64))
        image = deramp(self.side.read(source), self.ramp, source.line_start, source.sample_start)
        # each line of the date is interpolated along range with the offsets of the line it lands on
        row = np.arange(source.line_start, source.line_stop) - self.typical_lines - round(self.shift[0])
        row = np.clip(row - first, 0, tall.shape[0] - 1)
        image = resample_range(
            image, source.sample_start, self.range_weights, tall_offset, row, block.shape[1], block.sample_start
        )
        on_reference = resample_azimuth(
            image,
            source.line_start,
            self.azimuth_weights,
            self.ramp,
            line_offset,
            sample_offset,
            self.phase_per_m,
            range_offset,
            block.line_start,
            block.sample_start,
        )
        return _frozen(on_reference)

    def range_offset(self, block: Region) -> FloatArray:
        """Return the slant range of the date less that of the stack reference at the posts of a block, metres."""
        height = self.relief.heights(block.line_start, block.line_stop)
        offset: FloatArray = field_at_posts(self.offsets, 2, height, block.line_start, block.sample_start)
        return offset

    def announce(self, block: Region) -> None:
        """Let the disk fetch about what the block's pixels come from."""
        there = block.padded(HALO_LINES, NEARBY_SAMPLES)
        self.side.announce(
            there.lines_between(there.line_start + self.typical_lines, there.line_stop + self.typical_lines)
        )

    def _source(self, block: Region, line_offset: FloatArray, sample_offset: FloatArray) -> Region | None:
        """Return the valid part of the burst that the block's pixels come from."""
        if not np.isfinite(line_offset).any():
            return None
        burst = self.side.burst
        reach = max(self.range_weights.shape[1], self.azimuth_weights.shape[1])
        wanted = Region(
            block.line_start + math.floor(np.nanmin(line_offset)) - reach,
            block.line_stop + math.ceil(np.nanmax(line_offset)) + reach,
            block.sample_start + math.floor(np.nanmin(sample_offset)) - reach,
            block.sample_stop + math.ceil(np.nanmax(sample_offset)) + reach,
        )
        return wanted.within(burst.valid_lines, burst.valid_samples)


def _typical_lines(arc: ArcArrays, frame: BurstFrame, other_arc: ArcArrays, other: BurstFrame) -> int:
    """Return the whole lines between two bursts: the offset of the middle of the burst at sea level, rounded.

    It belongs to the bursts and not to what is worked on, so that no pixel depends on its block.
    """
    line, sample = frame.lines // 2, frame.samples // 2
    time = frame.first_time_s + line * frame.line_interval_s
    lon, lat = ground_point(arc, time, frame.first_range_m + sample * frame.range_spacing_m, 0.0)
    middle = other.first_time_s + other.lines / 2 * other.line_interval_s
    x, y, z = to_cartesian(lon, lat, 0.0)
    there, _ = zero_doppler(other_arc, x, y, z, middle)
    return round(float(other.line_of(there)) - line)
