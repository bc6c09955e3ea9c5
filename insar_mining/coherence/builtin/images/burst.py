"""One burst of one date: its sampling and its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insar_mining.arrays import Complex64Array
from insar_mining.errors import ProductError
from insar_mining.geometry.coregister import BurstFrame, Region
from insar_mining.sentinel1.annotation import Burst, SubSwath
from insar_mining.sentinel1.product import Product

LEAST_SAMPLES = 64
MOST_EMPTY_LINES = 8  # the processor fills lines that the satellite lost with zeros


@dataclass(frozen=True, eq=False)
class Side:
    """One date's part in a burst pair: product, annotation, and which burst."""

    product: Product
    swath: SubSwath
    burst_index: int

    @property
    def burst(self) -> Burst:
        """The burst's own annotation."""
        return self.swath.bursts[self.burst_index]

    @property
    def frame(self) -> BurstFrame:
        """Sampling of the burst."""
        return BurstFrame.of(self.swath, self.burst_index)

    def read(self, region: Region) -> Complex64Array:
        """Read the pixels of a region that lies in the valid part of the burst, as they are in the file.

        Raises
        ------
        ProductError
            They cannot be read, or whole lines of them are empty: what a download that was not completed leaves.
        """
        pixels = self.product.read_burst(
            self.swath.swath,
            self.swath.polarisation,
            self.burst_index,
            slice(region.line_start, region.line_stop),
            slice(region.sample_start, region.sample_stop),
        )
        self._refuse_empty(pixels, region)
        return pixels

    def _refuse_empty(self, pixels: Complex64Array, region: Region) -> None:
        """Refuse pixels of which more than a few lines hold zeros only, which no ground and no noise gives."""
        if pixels.shape[1] < LEAST_SAMPLES:
            return
        empty = np.flatnonzero(~pixels[:, :: LEAST_SAMPLES // 4].any(axis=1))
        if empty.size > MOST_EMPTY_LINES:  # a few samples of each line told nearly everything
            empty = empty[~pixels[empty].any(axis=1)]
        if empty.size > MOST_EMPTY_LINES:
            where = self.product.measurement(self.swath.swath, self.swath.polarisation, self.burst_index)
            raise ProductError(
                f"{where}: {empty.size} of {pixels.shape[0]} lines of burst {self.burst_index + 1} (from line "
                f"{region.line_start + empty[0]}) hold zeros only; it is damaged or was not fetched to its end: "
                "fetch it again"
            )

    def announce(self, region: Region) -> None:
        """Say that the valid pixels of a region will be read soon."""
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
