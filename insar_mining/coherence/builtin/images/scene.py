"""The stack reference as seen from the map: what all pairs of a stack share."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from insar_mining.arrays import BoolArray
from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.plan.bursts import BurstCut, cut_of_each
from insar_mining.coherence.plan.matching import BurstPair
from insar_mining.geometry.coregister import Region
from insar_mining.geometry.geocode import Look
from insar_mining.geometry.range_doppler import DemArrays
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product


@dataclass(frozen=True, eq=False)
class Shown:
    """Hold the cells of the map that a burst shows.

    Attributes
    ----------
    rows, columns : slice
        The part of the map that holds them all.
    chosen : ndarray of bool
        Which cells of that part they are.
    time_s, slant_range_m : (float, float)
        The least and the greatest of the cells.
    """

    rows: slice
    columns: slice
    chosen: BoolArray
    time_s: tuple[float, float]
    slant_range_m: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """Hold what all pairs of a stack share: the stack reference on the map."""

    key: tuple[object, ...]
    product: Product
    polarisation: str
    swaths: dict[str, SubSwath]
    cuts: list[BurstCut]
    dem: DemArrays
    look: Look

    @functools.cached_property
    def _shown(self) -> dict[tuple[str, int], Shown]:
        """What every burst shows of the map; bursts that show none of it are left out."""
        cut = cut_of_each(self.cuts, self.look.time_s, self.look.slant_range_m)
        parts: dict[tuple[str, int], list[int]] = defaultdict(list)
        boxes = {n: (box[0], box[1]) for n, box in enumerate(find_objects(cut + np.int16(1))) if box is not None}  # type: ignore[redundant-expr]
        for number in boxes:
            parts[self.cuts[number].swath, self.cuts[number].burst_index].append(number)
        return {burst: self._part(cut, numbers, [boxes[n] for n in numbers]) for burst, numbers in parts.items()}

    def _part(self, cut: npt.NDArray[np.int16], numbers: list[int], boxes: list[tuple[slice, slice]]) -> Shown:
        """Gather what the cuts of a burst show: mostly there is one."""
        rows, columns = (
            slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in (0, 1)
        )
        chosen = np.isin(cut[rows, columns], numbers) if len(numbers) > 1 else cut[rows, columns] == numbers[0]
        time, slant_range = (values[rows, columns][chosen] for values in (self.look.time_s, self.look.slant_range_m))
        return Shown(rows, columns, chosen, (time.min(), time.max()), (slant_range.min(), slant_range.max()))

    def shown_by(self, pair: BurstPair) -> Shown | None:
        """Return the cells of the map that a burst shows, None if there are none."""
        return self._shown.get((pair.swath, pair.stack_index))

    def side(self, pair: BurstPair) -> Side:
        """Return the stack reference's part in a burst pair."""
        return Side(self.product, self.swaths[pair.swath], pair.stack_index)

    def region(self, pair: BurstPair, offsets: Iterable[tuple[float, float]] = ((0.0, 0.0),)) -> Region | None:
        """Return the pixels of a burst that show the map, None if it shows no cell.

        Parameters
        ----------
        offsets : iterable of (float, float)
            Lines and samples by which the values that the map wants lie beyond their pixels.
        """
        shown = self.shown_by(pair)
        if shown is None:
            return None
        frame = self.side(pair).frame
        down, right = zip(*offsets, strict=True)
        lines, samples = frame.line_of(np.array(shown.time_s)), frame.sample_of(np.array(shown.slant_range_m))
        return Region.around(np.subtract.outer(lines, down), np.subtract.outer(samples, right), frame)
