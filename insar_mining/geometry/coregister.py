"""Locate each pixel of a reference burst on the ground and in the secondary.

Terrain makes these fields rough, but only through the height: at a fixed height they
are as smooth as the orbits.  So they are solved exactly at coarse nodes of the burst
(every 32 lines and 64 samples) for four fixed heights, kept as a cubic in height with
bilinear interpolation between nodes, and evaluated with the height of each pixel.
The nodes belong to the burst, not to the area of interest, so a pixel's value does
not depend on how much of the burst is worked on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from insar_mining.arrays import FloatArray
from insar_mining.geometry.range_doppler import (
    ArcArrays,
    ground_point,
    height_between_posts,
    to_cartesian,
    zero_doppler,
)
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import SubSwath

NODE_LINES = 32
NODE_SAMPLES = 64
POST_SAMPLES = 4  # heights and offsets are solved at every 4th sample (about 16 m on the ground)
LOWEST_M, HIGHEST_M = -500.0, 9000.0  # from the Dead Sea to Everest
KILOMETRE = 1000.0

SECANT_STEPS = 24
HEIGHT_TOLERANCE_M = 1e-2  # the secant step after it leaves an error far below a millimetre
EXACT_M = 1e-6
SCAN_STEP_M = 25.0


@dataclass(frozen=True)
class BurstFrame:
    """Convert between (line, sample) and (time, slant range) of one burst.

    Attributes
    ----------
    first_time_s : float
        Zero-Doppler time of line 0.
    line_interval_s : float
    first_range_m : float
        One-way slant range of sample 0.
    range_spacing_m : float
    lines, samples : int
    """

    first_time_s: float
    line_interval_s: float
    first_range_m: float
    range_spacing_m: float
    lines: int
    samples: int

    @classmethod
    def of(cls, swath: SubSwath, burst_index: int) -> BurstFrame:
        """Return the frame of a burst of a sub-swath."""
        return cls(
            first_time_s=swath.bursts[burst_index].azimuth_time_s,
            line_interval_s=swath.azimuth_time_interval_s,
            first_range_m=swath.slant_range_m,
            range_spacing_m=swath.range_spacing_m,
            lines=swath.lines_per_burst,
            samples=swath.samples_per_burst,
        )

    def line_of(self, time_s: FloatArray) -> FloatArray:
        """Return the fractional line of zero-Doppler times."""
        return (time_s - self.first_time_s) / self.line_interval_s

    def sample_of(self, slant_range_m: FloatArray) -> FloatArray:
        """Return the fractional sample of one-way slant ranges."""
        return (slant_range_m - self.first_range_m) / self.range_spacing_m


@dataclass(frozen=True)
class Region:
    """Describe a rectangle of lines and samples of a burst (start inclusive, stop exclusive)."""

    line_start: int
    line_stop: int
    sample_start: int
    sample_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """(lines, samples)."""
        return self.line_stop - self.line_start, self.sample_stop - self.sample_start

    @property
    def posts(self) -> int:
        """Number of height posts that enclose the samples."""
        return -(-(self.sample_stop - self.sample_start) // POST_SAMPLES) + 1

    def aligned(self) -> Region:
        """Return the region widened in range to whole node cells."""
        start = self.sample_start // NODE_SAMPLES * NODE_SAMPLES
        stop = -(-self.sample_stop // NODE_SAMPLES) * NODE_SAMPLES
        return Region(self.line_start, self.line_stop, start, stop)

    @classmethod
    def around(cls, line: FloatArray, sample: FloatArray, frame: BurstFrame) -> Region:
        """Return the pixels of a burst that bilinear interpolation at some positions needs."""
        return cls(
            max(math.floor(line.min()), 0),
            min(math.floor(line.max()) + 2, frame.lines),
            max(math.floor(sample.min()), 0),
            min(math.floor(sample.max()) + 2, frame.samples),
        )

    def padded(self, lines: int, samples: int) -> Region:
        """Return the region with some lines and samples more on either side."""
        return Region(
            self.line_start - lines, self.line_stop + lines, self.sample_start - samples, self.sample_stop + samples
        )

    def within(self, lines: slice, samples: slice) -> Region | None:
        """Return the part of the region inside a rectangle, None if there is none."""
        part = Region(
            max(self.line_start, lines.start),
            min(self.line_stop, lines.stop),
            max(self.sample_start, samples.start),
            min(self.sample_stop, samples.stop),
        )
        return part if part.line_stop > part.line_start and part.sample_stop > part.sample_start else None

    def lines_between(self, start: int, stop: int) -> Region:
        """Return the same samples for other lines."""
        return Region(start, stop, self.sample_start, self.sample_stop)


class Nodes(NamedTuple):
    """Hold fields at the nodes of a burst, each a cubic in height (kilometres).

    `coefficients` has the shape (fields, node lines, node samples, 4); node (i, j) is
    the pixel ``((first_line_node + i) * 32, (first_sample_node + j) * 64)``.
    """

    coefficients: FloatArray
    first_line_node: int
    first_sample_node: int


def node_heights_m() -> FloatArray:
    """Return the heights at which nodes are solved: four Chebyshev points of -500..9000 m."""
    unit = np.cos(np.pi * (np.arange(4) + 0.5) / 4)
    return np.asarray((LOWEST_M + HIGHEST_M) / 2 + (HIGHEST_M - LOWEST_M) / 2 * unit)


def ground_nodes(arc: ArcArrays, frame: BurstFrame, region: Region, near_deg: float = 0.0) -> Nodes:
    """Solve the ground position of the nodes around a region; fields are (longitude, latitude), degrees.

    Longitudes lie within 180 degrees of `near_deg`, so that they do not jump at the antimeridian.
    """
    lines = np.arange(region.line_start // NODE_LINES, -(-region.line_stop // NODE_LINES) + 1)
    samples = np.arange(region.sample_start // NODE_SAMPLES, -(-region.sample_stop // NODE_SAMPLES) + 1)
    time = frame.first_time_s + lines * (NODE_LINES * frame.line_interval_s)
    slant_range = frame.first_range_m + samples * (NODE_SAMPLES * frame.range_spacing_m)
    values = _solve_ground(arc, time, slant_range, node_heights_m())
    values[0] += 360.0 * np.round((near_deg - values[0]) / 360.0)
    return Nodes(cubics_in_height(values), int(lines[0]), int(samples[0]))


def offset_nodes(ground: Nodes, frame: BurstFrame, secondary_arc: ArcArrays, secondary_frame: BurstFrame) -> Nodes:
    """Solve the offsets of a secondary burst, secondary minus reference.

    Fields are (lines, samples, slant range in metres) at the nodes of `ground`.
    """
    heights = node_heights_m()
    lonlat = ground.coefficients @ _powers(heights).T
    middle = secondary_frame.first_time_s + secondary_frame.lines / 2 * secondary_frame.line_interval_s
    time, slant_range = _solve_secondary(secondary_arc, lonlat[0], lonlat[1], heights, middle)
    rows, columns = lonlat.shape[1:3]
    line = (ground.first_line_node + np.arange(rows))[:, None, None] * float(NODE_LINES)
    sample = (ground.first_sample_node + np.arange(columns))[None, :, None] * float(NODE_SAMPLES)
    reference_range = frame.first_range_m + sample * frame.range_spacing_m
    values = np.stack(
        [
            secondary_frame.line_of(time) - line,
            secondary_frame.sample_of(slant_range) - sample,
            slant_range - reference_range,
        ]
    )
    return ground._replace(coefficients=cubics_in_height(values))


def _powers(height_m: FloatArray) -> FloatArray:
    return np.vander(height_m / KILOMETRE, 4, increasing=True)


def cubics_in_height(values: FloatArray) -> FloatArray:
    """Convert values at the node heights (last axis) to coefficients of powers of height."""
    return np.ascontiguousarray(values @ np.linalg.inv(_powers(node_heights_m())).T)


@njit(parallel=True)
def _solve_ground(arc, time_s, slant_range_m, height_m):  # type: ignore[no-untyped-def]
    values = np.empty((2, time_s.size, slant_range_m.size, height_m.size))
    for i in numba.prange(time_s.size):
        for j in range(slant_range_m.size):
            for k in range(height_m.size):
                lon, lat = ground_point(arc, time_s[i], slant_range_m[j], height_m[k])
                values[0, i, j, k] = lon
                values[1, i, j, k] = lat
    return values


@njit(parallel=True)
def _solve_secondary(arc, lon_deg, lat_deg, height_m, guess_s):  # type: ignore[no-untyped-def]
    time = np.empty_like(lon_deg)
    slant_range = np.empty_like(lon_deg)
    for i in numba.prange(lon_deg.shape[0]):
        for j in range(lon_deg.shape[1]):
            for k in range(lon_deg.shape[2]):
                x, y, z = to_cartesian(lon_deg[i, j, k], lat_deg[i, j, k], height_m[k])
                time[i, j, k], slant_range[i, j, k] = zero_doppler(arc, x, y, z, guess_s)
    return time, slant_range


@njit(inline="always")
def _along_line(nodes, field, line):  # type: ignore[no-untyped-def]
    """Interpolate cubics in height at the nodes of one line; shape (node samples, 4)."""
    coefficients, first_line, _ = nodes
    v = line / NODE_LINES - first_line
    i = min(int(v), coefficients.shape[1] - 2)
    v -= i
    return (1 - v) * coefficients[field, i] + v * coefficients[field, i + 1]


@njit(inline="always")
def cubic_at(cubics, place):  # type: ignore[no-untyped-def]
    """Interpolate the cubic in height at a fractional place in a row of nodes."""
    j = min(int(place), cubics.shape[0] - 2)
    u = place - j
    return (
        (1 - u) * cubics[j, 0] + u * cubics[j + 1, 0],
        (1 - u) * cubics[j, 1] + u * cubics[j + 1, 1],
        (1 - u) * cubics[j, 2] + u * cubics[j + 1, 2],
        (1 - u) * cubics[j, 3] + u * cubics[j + 1, 3],
    )


@njit(inline="always")
def cubic_value(cubic, height_m):  # type: ignore[no-untyped-def]
    """Evaluate a cubic in height (kilometres) at a height in metres."""
    h = height_m / KILOMETRE
    return cubic[0] + h * (cubic[1] + h * (cubic[2] + h * cubic[3]))


@njit()
def _level_near_terrain(column, row, terrain):  # type: ignore[no-untyped-def]
    """Find the level of 0, 1000 ... 9000 m at which the line of a pixel is nearest to the terrain.

    The levels are the same for every scene, so that the start, and with it the crossing found
    in layover, does not depend on how much terrain was read.  NaN where there is none.
    """
    best = np.nan
    least = np.inf
    for k in range(10):
        level = k * KILOMETRE
        distance = abs(height_between_posts(terrain, cubic_value(column, level), cubic_value(row, level)) - level)
        if distance < least:
            best = level
            least = distance
    return best


@njit()
def _surface_height(column, row, terrain, guess_m, top_m):  # type: ignore[no-untyped-def]
    """Solve the height at which the line of constant time and range of a pixel intersects the terrain.

    `column` and `row` of the elevation model are cubics in height.  The secant method starts from `guess_m`; where
    it fails (layover: several surfaces at one range; the rim of the elevation model) the
    line is walked down from `top_m` and the first crossing is bisected.
    """
    h0 = guess_m
    f0 = height_between_posts(terrain, cubic_value(column, h0), cubic_value(row, h0)) - h0
    h = h0 + f0
    for _ in range(SECANT_STEPS):
        f = height_between_posts(terrain, cubic_value(column, h), cubic_value(row, h)) - h
        if abs(f) < EXACT_M:
            return h
        slope = (f - f0) / (h - h0)
        if not slope < -0.2:  # too flat a crossing for a safe step, the wrong way, or no terrain
            break
        h0 = h
        f0 = f
        h -= f / slope
        if abs(f) < HEIGHT_TOLERANCE_M:
            return h
    return _first_crossing(column, row, terrain, top_m)


@njit()
def _first_crossing(column, row, terrain, top_m):  # type: ignore[no-untyped-def]
    """Search down from the top in steps of 25 m to the first level below the terrain, then bisect."""
    # levels are multiples of the step, so that the result does not depend on where the walk starts
    high = (math.ceil(top_m / SCAN_STEP_M) + 1) * SCAN_STEP_M
    known = False
    while high > LOWEST_M:
        low = high - SCAN_STEP_M
        f = height_between_posts(terrain, cubic_value(column, low), cubic_value(row, low)) - low
        if f > 0:
            break
        known = not math.isnan(f)  # the line was above terrain here, and not beside it
        high = low
    else:
        return np.nan
    if not known:
        return np.nan
    while high - low > EXACT_M:
        middle = (low + high) / 2
        f = height_between_posts(terrain, cubic_value(column, middle), cubic_value(row, middle)) - middle
        if math.isnan(f):
            return np.nan
        if f < 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2


@njit(parallel=True)
def surface_heights(ground, dem, line_start, line_stop, sample_start, posts, top_m):  # type: ignore[no-untyped-def]
    """Compute ellipsoidal heights of the terrain at each line and every 4th sample.

    Parameters
    ----------
    ground : Nodes
        Fields (longitude, latitude).
    sample_start : int
        A multiple of the node spacing; post `p` is the sample ``sample_start + 4 * p``.
    top_m : float
        No terrain is higher.

    Returns
    -------
    ndarray, shape (lines, posts)
        NaN beyond the elevation model.
    """
    height = np.empty((line_stop - line_start, posts))
    posts_per_node = NODE_SAMPLES // POST_SAMPLES
    terrain, west, north, step_lon, step_lat = dem
    first = sample_start // NODE_SAMPLES - ground.first_sample_node
    for i in numba.prange(line_stop - line_start):
        # from degrees to posts of the elevation model here, once, and not at every trial of a height
        columns = _along_line(ground, 0, line_start + i) / step_lon
        columns[:, 0] -= west / step_lon
        rows = _along_line(ground, 1, line_start + i) / -step_lat
        rows[:, 0] += north / step_lat
        guess = np.nan
        for p in range(posts):
            column = cubic_at(columns, first + p / posts_per_node)
            row = cubic_at(rows, first + p / posts_per_node)
            # start anew at each node, so that a pixel's height does not depend on where the region starts
            if p % posts_per_node == 0 or math.isnan(guess):
                guess = _level_near_terrain(column, row, terrain)
            guess = _surface_height(column, row, terrain, guess, top_m)
            height[i, p] = guess
    return height


@njit(parallel=True)
def field_at_posts(nodes, field, height_m, line_start, sample_start):  # type: ignore[no-untyped-def]
    """Evaluate a field of `nodes` at the height posts; same shape as `height_m`."""
    out = np.empty_like(height_m)
    posts_per_node = NODE_SAMPLES // POST_SAMPLES
    first = sample_start // NODE_SAMPLES - nodes.first_sample_node
    for i in numba.prange(height_m.shape[0]):
        cubics = _along_line(nodes, field, line_start + i)
        for p in range(height_m.shape[1]):
            out[i, p] = cubic_value(cubic_at(cubics, first + p / posts_per_node), height_m[i, p])
    return out
