"""The built-in engine: the whole way of one pair, over the area of interest only.

For each burst that the plan names: find the pixels that the map needs, and for blocks
of their lines bring the secondary onto the reference and estimate coherence; then fill
the cells that this burst shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from insar_mining.archive.dem import read_dem
from insar_mining.coherence.builtin import estimate
from insar_mining.coherence.builtin.coregister import (
    BurstFrame,
    Nodes,
    Region,
    field_at_posts,
    ground_nodes,
    offset_nodes,
    surface_heights,
)
from insar_mining.coherence.builtin.geocode import bilinear, lonlat_of_cells
from insar_mining.coherence.builtin.geometry import DemArrays, arc_arrays, radar_coordinates
from insar_mining.coherence.builtin.resample import (
    ComplexImage,
    RampArrays,
    deramp,
    interpolation_weights,
    ramp_arrays,
    resample_azimuth,
    resample_range,
)
from insar_mining.coherence.bursts import BurstCut, burst_cuts
from insar_mining.coherence.plan import DEM_MARGIN_DEG, CoherencePlan, Progress, dem_arrays, with_orbit
from insar_mining.grid import MapGrid
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product, open_product
from insar_mining.sentinel1.tops import tops_ramp

FloatArray = npt.NDArray[np.float64]

BLOCK_LINES = 128
LOOK_ROWS = 256


@dataclass(frozen=True, eq=False)
class Look:
    """Where each cell of the map lies in the reference: time and slant range, NaN if nowhere."""

    time_s: FloatArray
    slant_range_m: FloatArray


@dataclass(frozen=True, eq=False)
class Side:
    """One date's part in a burst pair: product, annotation, and which burst."""

    product: Product
    swath: SubSwath
    burst_index: int

    @property
    def frame(self) -> BurstFrame:
        """Sampling of the burst."""
        return BurstFrame.of(self.swath, self.burst_index)


class BuiltinEngine:
    """Carries out plans with numpy and numba."""

    name = "builtin"
    version: str | None = None

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> npt.NDArray[np.float32]:
        """Compute coherence on the plan's grid: float32, shape (height, width), NaN outside."""
        reference = _open(plan.reference, plan.reference_orbit)
        secondary = _open(plan.secondary, plan.secondary_orbit)
        dem = dem_arrays(
            read_dem(plan.dem, plan.grid.bounds_lonlat(), margin_deg=DEM_MARGIN_DEG, heights=plan.dem_heights)
        )
        names = sorted({pair.swath for pair in plan.bursts})
        swaths = {name: reference.sub_swath(name, plan.polarisation) for name in names}
        cuts = {(cut.swath, cut.burst_index): cut for cut in burst_cuts(list(swaths.values()))}
        look = look_up(swaths[names[0]], plan.grid, dem)

        out = np.full(plan.grid.shape, np.nan, dtype=np.float32)
        for done, pair in enumerate(plan.bursts):
            first = Side(reference, swaths[pair.swath], pair.reference_index)
            second = Side(secondary, secondary.sub_swath(pair.swath, plan.polarisation), pair.secondary_index)
            cut = cuts[pair.swath, pair.reference_index]
            fill_from_burst(out, look, cut, first, second, dem, plan, _part(progress, done, len(plan.bursts)))
        return out


def _open(path: Path, orbit: Path | None) -> Product:
    return with_orbit(open_product(path, require_manifest=False), [] if orbit is None else [orbit])[0]


def _part(progress: Progress, done: int, parts: int) -> Progress:
    """Report the progress of one part of several as progress of the whole."""
    return lambda share: progress((done + share) / parts)


def look_up(swath: SubSwath, grid: MapGrid, dem: DemArrays) -> Look:
    """Find every cell of the grid in the reference's zero-Doppler time and slant range."""
    arc = swath.arc()
    look = Look(np.empty(grid.shape), np.empty(grid.shape))
    for start in range(0, grid.height, LOOK_ROWS):
        rows = slice(start, start + LOOK_ROWS)
        lon, lat = lonlat_of_cells(grid, rows)
        look.time_s[rows], look.slant_range_m[rows], _ = radar_coordinates(arc_arrays(arc), dem, lon, lat, arc.centre_s)
    return look


def fill_from_burst(
    out: npt.NDArray[np.float32],
    look: Look,
    cut: BurstCut,
    first: Side,
    second: Side,
    dem: DemArrays,
    plan: CoherencePlan,
    progress: Progress,
) -> None:
    """Fill the cells of the map that one burst shows."""
    chosen = cut.holds(look.time_s, look.slant_range_m)
    if not chosen.any():
        return
    down, right = _anchor(plan)
    line = first.frame.line_of(look.time_s) - down
    sample = first.frame.sample_of(look.slant_range_m) - right
    region = Region.around(line[chosen], sample[chosen], first.frame)
    image = burst_coherence(region, first, second, dem, plan, progress)
    bilinear(image, line - region.line_start, sample - region.sample_start, chosen, out)


def _anchor(plan: CoherencePlan) -> tuple[float, float]:
    """Lines and samples by which a window's middle lies beyond its pixel."""
    if plan.window_anchor == "snap":
        return 0.0, 0.0
    # the window of pixel y takes the lines y - (n - 1) // 2 and the next n - 1: an even one is centred on y + 0.5
    return 0.5 * (plan.window.azimuth % 2 == 0), 0.5 * (plan.window.range % 2 == 0)


def burst_coherence(
    region: Region, first: Side, second: Side, dem: DemArrays, plan: CoherencePlan, progress: Progress
) -> npt.NDArray[np.float32]:
    """Coherence of the pixels of a region of the reference burst, NaN where either date has no data."""
    above = (plan.window.azimuth - 1) // 2
    below = plan.window.azimuth - 1 - above
    wide = region.padded(plan.window.azimuth, plan.window.range).aligned()
    resampler = Resampler.of(wide, first, second, dem, plan)
    image = np.empty(region.shape, dtype=np.float32)
    columns = slice(region.sample_start - wide.sample_start, region.sample_stop - wide.sample_start)
    for start in range(region.line_start, region.line_stop, BLOCK_LINES):
        stop = min(start + BLOCK_LINES, region.line_stop)
        block = wide.lines_between(start - above, stop + below)
        values = estimate.coherence(
            valid_pixels(first, block), resampler.lines(block), plan.window.azimuth, plan.window.range
        )
        image[start - region.line_start : stop - region.line_start] = values[above : above + stop - start, columns]
        progress((stop - region.line_start) / region.shape[0])
    return image


def valid_pixels(side: Side, region: Region) -> ComplexImage:
    """Read the pixels of a region of a burst; NaN where the annotation says there are none."""
    burst = side.swath.bursts[side.burst_index]
    out = np.full(region.shape, np.nan, dtype=np.complex64)
    inside = region.within(burst.valid_lines, burst.valid_samples)
    if inside is not None:
        out[
            inside.line_start - region.line_start : inside.line_stop - region.line_start,
            inside.sample_start - region.sample_start : inside.sample_stop - region.sample_start,
        ] = _read(side, inside)
    return out


def _read(side: Side, region: Region) -> ComplexImage:
    return side.product.read_burst(
        side.swath.swath,
        side.swath.polarisation,
        side.burst_index,
        slice(region.line_start, region.line_stop),
        slice(region.sample_start, region.sample_stop),
    )


@dataclass(frozen=True, eq=False)
class Resampler:
    """Brings lines of a secondary burst onto the pixels of the reference burst.

    Everything that does not change from block to block is kept here.
    """

    first: Side
    second: Side
    dem: DemArrays
    top_m: float
    ground: Nodes
    offsets: Nodes
    ramp: RampArrays
    range_weights: npt.NDArray[np.float32]
    azimuth_weights: npt.NDArray[np.float32]
    phase_per_m: float
    topography: bool

    @classmethod
    def of(cls, region: Region, first: Side, second: Side, dem: DemArrays, plan: CoherencePlan) -> Resampler:
        """Prepare for a region (aligned to the nodes) of the reference burst."""
        swath = second.swath
        ground = ground_nodes(arc_arrays(first.swath.arc()), first.frame, region)
        samples = np.arange(swath.samples_per_burst)
        return cls(
            first=first,
            second=second,
            dem=dem,
            top_m=float(np.nanmax(dem.height_m)),
            ground=ground,
            offsets=offset_nodes(ground, first.frame, arc_arrays(swath.arc()), second.frame),
            ramp=ramp_arrays(tops_ramp(swath, second.burst_index, samples), 0),
            range_weights=interpolation_weights(swath.range_bandwidth, swath.range_sampling_rate_hz),
            azimuth_weights=interpolation_weights(swath.azimuth_bandwidth, swath.azimuth_frequency_hz),
            phase_per_m=4 * math.pi / swath.wavelength_m if plan.remove_flat_earth else 0.0,
            topography=plan.remove_topography,
        )

    def lines(self, block: Region) -> ComplexImage:
        """Return the secondary on the pixels of a block, flattened; NaN where it has no data."""
        height = surface_heights(
            self.ground, self.dem, block.line_start, block.line_stop, block.sample_start, block.posts, self.top_m
        )
        line_offset, sample_offset = (
            field_at_posts(self.offsets, field, height, block.line_start, block.sample_start) for field in (0, 1)
        )
        # flat-earth phase is that of the ellipsoid: the same field at height 0
        level = height if self.topography else np.zeros_like(height)
        range_offset = field_at_posts(self.offsets, 2, level, block.line_start, block.sample_start)

        source = self._source(block, line_offset, sample_offset)
        if source is None:
            return np.full(block.shape, np.nan, dtype=np.complex64)
        image = deramp(_read(self.second, source), self.ramp, source.line_start, source.sample_start)
        # each line of the secondary is interpolated along range with the offsets of the line it lands on
        row = np.arange(source.line_start, source.line_stop) - round(float(np.nanmedian(line_offset)))
        row = np.clip(row - block.line_start, 0, block.shape[0] - 1)
        image = resample_range(
            image, source.sample_start, self.range_weights, sample_offset, row, block.shape[1], block.sample_start
        )
        on_reference: ComplexImage = resample_azimuth(
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
        return on_reference

    def _source(self, block: Region, line_offset: FloatArray, sample_offset: FloatArray) -> Region | None:
        """Return the valid part of the secondary burst that the block's pixels come from."""
        if not np.isfinite(line_offset).any():
            return None
        burst = self.second.swath.bursts[self.second.burst_index]
        reach = max(self.range_weights.shape[1], self.azimuth_weights.shape[1])
        wanted = Region(
            block.line_start + math.floor(np.nanmin(line_offset)) - reach,
            block.line_stop + math.ceil(np.nanmax(line_offset)) + reach,
            block.sample_start + math.floor(np.nanmin(sample_offset)) - reach,
            block.sample_stop + math.ceil(np.nanmax(sample_offset)) + reach,
        )
        return wanted.within(burst.valid_lines, burst.valid_samples)
