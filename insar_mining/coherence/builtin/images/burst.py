"""One burst of one date: its sampling and its pixels."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array
from insar_mining.errors import PartialCoverageWarning, ProductError
from insar_mining.geometry.coregister import BurstFrame, Region
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import Burst, SubSwath
from insar_mining.sentinel1.product import Product

LEAST_SAMPLES = 64
MOST_EMPTY_LINES = 8  # the processor fills lines that the satellite lost with zeros

LONGEST_CHANCE = 16
"""Zeros in a row that are data.

Numbers of calm water are small, and some round to zero; as many in a row are no echo and no noise: where
each is zero with a probability of 0.16 (a standard deviation of 1), sixteen are so with 2e-13.
"""


@dataclass(frozen=True, eq=False)
class Side:
    """Hold one date's part in a burst pair: product, annotation, and which burst."""

    product: Product
    swath: SubSwath
    burst_index: int
    _warned: set[int] = field(default_factory=set, init=False, repr=False)

    @property
    def burst(self) -> Burst:
        """The burst's own annotation."""
        return self.swath.bursts[self.burst_index]

    @property
    def frame(self) -> BurstFrame:
        """Sampling of the burst."""
        return BurstFrame.of(self.swath, self.burst_index)

    def read(self, region: Region) -> Complex64Array:
        """Read the pixels of a region that lies in the valid part of the burst.

        NaN where the annotation says that a line or sample is not valid, and where more than 15 zeros follow
        one another along range: neither ground nor noise gives them.

        Raises
        ------
        ProductError
            They cannot be read, or whole lines of them are empty: what a download that was not completed leaves.

        Warns
        -----
        PartialCoverageWarning
            Lines are missing; once for each of them.
        """
        pixels = self._pixels(region)
        if not (pixels[:, 0] == 0).any() and not (pixels[:, -1] == 0).any():
            self._mark(pixels, region)
            return pixels
        # zeros at an end may go on beyond it: their run is as long for every region that holds a part of it
        wide = region.padded(0, LONGEST_CHANCE).within(self.burst.valid_lines, self.burst.valid_samples)
        assert wide is not None  # it holds the region
        pixels = self._pixels(wide)
        self._mark(pixels, wide)
        first = region.sample_start - wide.sample_start
        return np.ascontiguousarray(pixels[:, first : first + region.shape[1]])

    def lost_lines(self, region: Region) -> int:
        """Count the lines of a region in which pixels are missing, by the annotation or as zeros; see :meth:`read`.

        Raises
        ------
        ProductError
            The pixels cannot be read.
        """
        inside = region.within(self.burst.valid_lines, self.burst.valid_samples)
        return 0 if inside is None else int(self._counts(self._pixels(inside), inside).any(axis=1).sum())

    def _pixels(self, region: Region) -> Complex64Array:
        """Read the pixels of a region as they are in the file."""
        lines, samples = slice(region.line_start, region.line_stop), slice(region.sample_start, region.sample_stop)
        return self.product.read_burst(self.swath.swath, self.swath.polarisation, self.burst_index, lines, samples)

    def _mark(self, pixels: Complex64Array, region: Region) -> None:
        """Set what is missing to NaN, and tell of it."""
        counts = self._counts(pixels, region)
        if counts.any():
            self._tell(counts, region)

    def _counts(self, pixels: Complex64Array, region: Region) -> npt.NDArray[np.int64]:
        """Set what is missing to NaN; count it per line, by the annotation and as zeros, shape (lines, 2)."""
        lines = slice(region.line_start, region.line_stop)
        valid = self.burst.first_valid_sample[lines], self.burst.last_valid_sample[lines]
        counts = np.zeros((pixels.shape[0], 2), dtype=np.int64)
        _mark_missing(pixels, *valid, region.sample_start, counts)
        return counts

    def _tell(self, counts: npt.NDArray[np.int64], region: Region) -> None:
        """Refuse pixels of which more than a few lines hold zeros only; warn of what else is missing."""
        where = self.product.measurement(self.swath.swath, self.swath.polarisation, self.burst_index)
        name = f"{where}: burst {self.burst_index + 1}"
        is_empty = (counts.sum(axis=1) == region.shape[1]) & (counts[:, 1] > 0)
        empty = np.flatnonzero(is_empty) + region.line_start
        if region.shape[1] >= LEAST_SAMPLES and empty.size > MOST_EMPTY_LINES:
            raise ProductError(
                f"{name}: {empty.size} of {region.shape[0]} lines (from line {empty[0]}) hold zeros only "
                f"(limit {MOST_EMPTY_LINES}); it is damaged or was not fetched to its end. Fetch it again."
            )
        for column, what in enumerate(("not valid by the annotation", "zeros in the measurement")):
            lines = np.flatnonzero(counts[:, column]) + region.line_start
            new = sorted({*lines.tolist()} - self._warned)
            if new:
                self._warned.update(new)
                warnings.warn(
                    f"{name}: {len(new)} lines or parts of lines are {what} ({in_words(new)}); the map is NaN there",
                    PartialCoverageWarning,
                    stacklevel=3,
                )

    def announce(self, region: Region) -> None:
        """Announce that the valid pixels of a region will be read soon."""
        inside = region.within(self.burst.valid_lines, self.burst.valid_samples)
        if inside is not None:
            self.product.announce_burst(
                self.swath.swath,
                self.swath.polarisation,
                self.burst_index,
                slice(inside.line_start, inside.line_stop),
                slice(inside.sample_start, inside.sample_stop),
            )


def valid_pixels(side: Side, region: Region) -> Complex64Array:
    """Read the pixels of any region; NaN where the annotation says there are none."""
    out = np.full(region.shape, np.nan, dtype=np.complex64)
    inside = region.within(side.burst.valid_lines, side.burst.valid_samples)
    if inside is not None:
        out[
            inside.line_start - region.line_start : inside.line_stop - region.line_start,
            inside.sample_start - region.sample_start : inside.sample_stop - region.sample_start,
        ] = side.read(inside)
    return out


def in_words(numbers: list[int]) -> str:
    """Return sorted whole numbers as text, those that follow one another as a span: ``630-634, 700``."""
    cuts = [k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1]
    spans = zip([0, *cuts], [*cuts, len(numbers)], strict=True)
    return ", ".join(str(numbers[a]) if b == a + 1 else f"{numbers[a]}-{numbers[b - 1]}" for a, b in spans if numbers)


@njit(parallel=True)
def _mark_missing(pixels, first_valid, last_valid, first_sample, counts):  # type: ignore[no-untyped-def]
    """Set what is missing to NaN; count per line the pixels that are not valid, and the zeros in long runs."""
    missing = np.complex64(complex(math.nan, math.nan))
    columns = pixels.shape[1]
    for i in numba.prange(pixels.shape[0]):
        start = columns if first_valid[i] < 0 else max(first_valid[i] - first_sample, 0)
        stop = columns if first_valid[i] < 0 else min(last_valid[i] + 1 - first_sample, columns)
        start = min(start, columns)
        for j in range(start):
            pixels[i, j] = missing
        for j in range(max(stop, start), columns):
            pixels[i, j] = missing
        counts[i, 0] = start + columns - max(stop, start)
        # every run of at least `LONGEST_CHANCE` zeros holds a sample whose number is a multiple of it
        j = start
        while j < stop:
            if pixels[i, j] != 0:
                j += LONGEST_CHANCE
                continue
            begin, end = j, j + 1
            while begin > start and pixels[i, begin - 1] == 0:
                begin -= 1
            while end < stop and pixels[i, end] == 0:
                end += 1
            if end - begin >= LONGEST_CHANCE:
                for k in range(begin, end):
                    pixels[i, k] = missing
                counts[i, 1] += end - begin
            j = max(end, j + LONGEST_CHANCE)
