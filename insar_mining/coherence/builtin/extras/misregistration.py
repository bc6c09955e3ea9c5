"""Estimate residual misregistration: one constant shift in azimuth and one in range.

Orbits and timing are good to some centimetres, a few thousandths of a line.  In TOPS images that is
still a phase of some tenths of a radian that grows along a burst, and older or restituted orbits
are worse.  Correlation of patches (:mod:`insar_mining.coherence.builtin.extras.correlation`) brings both
directions within thousandths; the overlap of bursts, where there is one that is coherent, then
settles azimuth (:mod:`insar_mining.coherence.builtin.extras.diversity`).  Ground without coherence, as mines
often are, has no shift that could be measured: the result then is none, and says why.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol, TypeVar

import numpy as np

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.builtin.extras.correlation import (
    LEAST_EXCESS,
    PatchShifts,
    amplitude_surface,
    patch_shifts,
    robust_mean,
    surface_peak,
)
from insar_mining.coherence.builtin.extras.diversity import (
    LEAST_CELLS,
    Cells,
    Interferogram,
    ambiguity_lines,
    overlap_cells,
    shift_of,
)
from insar_mining.coherence.builtin.extras.strips import BurstOfDate, overlap_blocks
from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.builtin.images.resample import FRACTIONS
from insar_mining.coherence.estimators.spectrum import Spectrum
from insar_mining.geometry.coregister import Region
from insar_mining.geometry.range_doppler import DemArrays

logger = logging.getLogger(__name__)

Method = Literal["auto", "correlation"]

MOST_PIXELS = 6_000_000  # that patches take; at coherence 0.7 they give 0.0004 line and 0.0003 sample
FEW_PIXELS = 500_000  # that bring the shift near
LEAST_ROUNDS = 8  # strips, each read a little aside, over which the steps of the table of weights average out
MOST_PASSES = 6
SETTLED = 0.005  # line or sample: the next pass would change a thirtieth of it
MOST_SD = 0.02  # line or sample: a measure worse than this is worse than the geometry
SURE = 4.0  # standard deviations
TRUSTED = 0.02  # line; correlation and spectral diversity agree at least so well, whatever their deviations promise


@dataclass(frozen=True)
class Shift:
    """Hold the misregistration of a date beyond its orbit and timing.

    Attributes
    ----------
    lines, samples : float
        To add to the positions at which the date is read (`shift` of :class:`Resampler`).
    lines_sd, samples_sd : float
        Standard deviations; NaN where nothing was measured.
    coherence : float
        Root mean square over the patches, free of bias: that of the ground, where it was measured.
    method : str
        ``"spectral diversity"`` (range by correlation), ``"correlation"`` or ``"none"``.
    used : int
        Patches, or cells of burst overlaps, that the azimuth shift rests on.
    reason : str
        Why not more than this was done; empty if nothing is missing.
    """

    lines: float
    samples: float
    lines_sd: float
    samples_sd: float
    coherence: float
    method: str
    used: int
    reason: str = ""

    @property
    def both(self) -> tuple[float, float]:
        """(lines, samples), in the order of the resampling."""
        return self.lines, self.samples

    @classmethod
    def none(cls, reason: str, coherence: float = math.nan) -> Shift:
        """Return a shift of zero with the reason why nothing was measured."""
        return cls(0.0, 0.0, math.nan, math.nan, coherence, "none", 0, reason)


class Strip(Protocol):
    """Provide some lines of the reference, and the same ground on the date."""

    azimuth: Spectrum
    range_: Spectrum

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        ...

    def at(self, shift: tuple[float, float]) -> tuple[Complex64Array, Complex64Array]:
        """Return reference and date without carrier, the date read `shift` beyond its geometry."""
        ...


class Overlap(Protocol):
    """Provide some lines of a burst overlap."""

    azimuth: Spectrum
    range_: Spectrum

    @property
    def turns_per_line(self) -> FloatArray:
        """Doppler frequency of the first burst minus that of the second, times the line interval, per pixel."""
        ...

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        ...

    def at(self, shift: tuple[float, float]) -> tuple[Interferogram, Interferogram]:
        """Return reference and date as the first and as the second burst see them, on one grid."""
        ...


def estimate_shift(
    stack_sides: Sequence[Side],
    date_sides: Sequence[Side | None],
    regions: Sequence[Region | None],
    dem: DemArrays,
    *,
    method: Method = "auto",
    most_pixels: int = MOST_PIXELS,
) -> Shift:
    """Measure the shift of a date against the stack reference.

    Parameters
    ----------
    stack_sides : sequence of Side
        Bursts of the stack reference over the area and, for spectral diversity, their neighbours.
    date_sides : sequence of Side or None
        The bursts of the date that see the same ground; None where it has none.
    regions : sequence of Region or None
        What of each burst shows the area; None for one that is there for its overlap only.
    dem : DemArrays
        Ellipsoidal heights; what they do not cover is not used.
    method : {"auto", "correlation"}
        ``"auto"`` adds spectral diversity wherever an overlap is coherent and both dates are of one satellite.
    most_pixels : int
        Of the patches; larger areas are sampled by strips spread over them.

    Returns
    -------
    Shift
        Ground that is not coherent gives method ``"none"``, never an error.

    Raises
    ------
    ProductError
        Pixels cannot be read.
    """
    bursts = [
        BurstOfDate(stack, date, region)
        for stack, date, region in zip(stack_sides, date_sides, regions, strict=True)
        if date is not None
    ]
    strips = [strip for burst in bursts for strip in burst.strips(dem)]
    shift = correlate(strips, most_pixels)
    if method == "auto" and shift.method != "none" and _of_two_satellites(stack_sides, date_sides):
        # pairs of Sentinel-1C and 1D have a constant phase in each burst, 1.4 to 1.65 rad: the difference of two
        # such constants, up to 0.25 rad, would be read as a shift of 0.005 line
        shift = replace(shift, reason="two satellites: a constant phase of each burst looks like an azimuth shift")
    elif method == "auto" and shift.method != "none":
        shift = diversify(
            shift, [part for pair in pairwise(bursts) for part in overlap_blocks(*pair, dem)], most_pixels
        )
    logger.debug("misregistration: %s", shift)
    return _trusted(shift)


def _of_two_satellites(stack_sides: Sequence[Side], date_sides: Sequence[Side | None]) -> bool:
    """Check whether a date was taken by another satellite than the stack reference."""
    sides = (side for side in (*stack_sides, *date_sides) if side is not None)
    return len({side.product.platform for side in sides}) > 1


def correlate(strips: Sequence[Strip], most_pixels: int = MOST_PIXELS) -> Shift:
    """Measure a shift by correlation: whole pixels from amplitudes, the fraction from complex patches.

    Each pass reads the date where the last one found it, so that the patches end up on the same ground and
    nothing is left that a finite patch could bias.

    Parameters
    ----------
    strips : sequence of Strip
        Of any number of bursts.
    most_pixels : int
        Strips are left out, evenly, until the others hold no more.
    """
    chosen = _spread(strips, most_pixels)
    few = _spread(chosen, min(most_pixels, FEW_PIXELS))
    shift = _whole_pixels(few)
    found = _settled(few, shift, most_pixels)
    if len(few) < len(chosen):
        # what a few strips cannot tell, all of them may
        found = _settled(chosen, shift if found.method == "none" else found.both, most_pixels)
    return found


def _settled(strips: Sequence[Strip], shift: tuple[float, float], most_pixels: int) -> Shift:
    """Correlate complex patches until the shift converges."""
    coherence = math.nan
    for _ in range(MOST_PASSES):
        patches, rounds = _measured(strips, shift, most_pixels)
        if patches.power.size == 0:
            return Shift.none("no pixels that both dates and the elevation model cover")
        coherence = math.sqrt(max(float(patches.coherence2.mean()), 0.0))
        if not (patches.excess(rounds) > LEAST_EXCESS and patches.coherent.any()):
            return Shift.none(f"the ground is not coherent enough: {coherence:.2f} over the area", coherence)
        used = patches.coherent
        lines, lines_sd = robust_mean(patches.lines[used], patches.lines_sd[used])
        samples, samples_sd = robust_mean(patches.samples[used], patches.samples_sd[used])
        shift = shift[0] + lines, shift[1] + samples
        if max(abs(lines), abs(samples)) < SETTLED:
            # the same pixels read again, a little aside, are no new witnesses
            again = math.sqrt(rounds)
            count = int(used.sum()) // rounds
            return Shift(*shift, lines_sd * again, samples_sd * again, coherence, "correlation", count)
    return Shift.none(f"{MOST_PASSES} passes of correlation did not agree on a shift", coherence)


def diversify(shift: Shift, overlaps: Sequence[Overlap], most_pixels: int = MOST_PIXELS) -> Shift:
    """Replace an azimuth shift by that of spectral diversity if that is possible and unambiguous.

    Parameters
    ----------
    shift : Shift
        By correlation.
    overlaps : sequence of Overlap
    """
    if not overlaps:
        return replace(shift, reason="no burst overlap near the area")
    parts = [
        overlap_cells(*part.at(shift.both), part.turns_per_line, part.azimuth, part.range_)
        for part in _spread(overlaps, most_pixels)
    ]
    cells = Cells.joined(parts)
    count = cells.phase_rad.size
    if count < LEAST_CELLS:
        return replace(shift, reason=f"only {count} of {LEAST_CELLS} coherent cells in burst overlaps")
    step, step_sd = shift_of(cells)
    if not step_sd < shift.lines_sd:
        return replace(shift, reason=f"spectral diversity knows less: {step_sd:.4f} line")
    if abs(step) > max(SURE * shift.lines_sd, TRUSTED) or ambiguity_lines(cells) - abs(step) < SURE * shift.lines_sd:
        return replace(shift, reason=f"spectral diversity is ambiguous or disagrees by {step:+.4f} line")
    return replace(
        shift, lines=shift.lines + step, lines_sd=step_sd, method="spectral diversity", used=count, reason=""
    )


def _trusted(shift: Shift) -> Shift:
    """Set a shift to zero if it is less certain than geometry, unless it is significant."""
    lines, samples = (
        sd <= MOST_SD or abs(value) > SURE * sd
        for value, sd in ((shift.lines, shift.lines_sd), (shift.samples, shift.samples_sd))
    )
    if shift.method == "none" or (lines and samples):
        return shift
    known = ", ".join(f"{sd:.3f} {what}" for sd, what in ((shift.lines_sd, "line"), (shift.samples_sd, "sample")))
    reason = f"measured to {known}; geometry is better than {MOST_SD}"
    if not (lines or samples):
        return Shift.none(reason, shift.coherence)
    if not lines:
        return replace(shift, lines=0.0, lines_sd=math.nan, reason=reason)
    return replace(shift, samples=0.0, samples_sd=math.nan, reason=reason)


def _whole_pixels(strips: Sequence[Strip]) -> tuple[float, float]:
    """Find the whole-pixel shift at which amplitudes agree best; zero if there is none."""
    surfaces = [amplitude_surface(*strip.at((0.0, 0.0))) for strip in strips]
    if not any(count for _, count in surfaces):
        return 0.0, 0.0
    peak = surface_peak(np.sum([surface for surface, _ in surfaces], axis=0))
    return (0.0, 0.0) if peak is None else (float(peak[0]), float(peak[1]))


def _measured(strips: Sequence[Strip], shift: tuple[float, float], most_pixels: int) -> tuple[PatchShifts, int]:
    """Return patches of all strips, their shifts relative to `shift`, and how often each strip was read.

    The resampling rounds positions to 1/512 of a pixel.  Each strip is read that much aside, by another part
    of a step, so that the mean does not feel it; few strips are read more than once for that.
    """
    pixels = sum(strip.pixels for strip in strips)
    rounds = max(min(-(-LEAST_ROUNDS // max(len(strips), 1)), most_pixels // max(pixels, 1)), 1)
    parts = []
    for number, strip in enumerate(list(strips) * rounds):
        # two sequences that fill 0..1 evenly (Roberts' R2)
        aside = [((number + 0.5) * step % 1 - 0.5) / FRACTIONS for step in (0.7548776662466927, 0.5698402909980532)]
        first, second = strip.at((shift[0] + aside[0], shift[1] + aside[1]))
        found = patch_shifts(first, second, strip.azimuth, strip.range_)
        parts.append(replace(found, lines=found.lines + aside[0], samples=found.samples + aside[1]))
    return PatchShifts.joined(parts), rounds


class _Sized(Protocol):
    @property
    def pixels(self) -> int: ...


Part = TypeVar("Part", bound=_Sized)


def _spread(parts: Sequence[Part], most_pixels: int) -> list[Part]:
    """Select evenly spread items of a sequence with at most some pixels in all (but at least one item)."""
    pixels = sum(part.pixels for part in parts)
    if pixels <= most_pixels:
        return list(parts)
    count = max(int(len(parts) * most_pixels / pixels), 1)
    return [parts[int((k + 0.5) * len(parts) / count)] for k in range(count)]
