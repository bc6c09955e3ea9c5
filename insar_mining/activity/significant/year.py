"""What a year is decided by, and what is decided of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from insar_mining.activity.cube.blocks import Block
from insar_mining.activity.significant.expectation import Expectation
from insar_mining.activity.significant.limits import Scatter
from insar_mining.activity.significant.low_ground import DOUBT_SHARE
from insar_mining.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray

# a pair is one of weather where classes fell that hold so much of the mine's ground
WEATHER_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class YearReference:
    """Hold the reference by which a year is decided, from its own pairs.

    Attributes
    ----------
    expectation : Expectation
    weather : ndarray of float32 (pairs, blocks down, blocks across)
        Local weather, score.
    levels : ndarray of float32 (y, x)
        Own level of every cell; minus infinity: never coherent; 0: not known.
    low, natural : ndarray of bool (y, x)
        Ground that is never coherent; the part of it that goes on outside the mine, or is natural by a mask.
    partly : ndarray of bool (y, x)
        Cells whose mean score of the lowest third of their pairs lies below `partial`.
    cover : ndarray of uint8 (y, x)
        What is known of the cover, of `Cover`.
    low_outside : float
        Share of the control ground that is never coherent; NaN without control.
    scatter : Scatter
    critical, alone : float
        Score of a normal law below which a loss is significant, minus infinity where nothing is; and below which it
        would be if it were the only one.
    limits : ndarray (pairs, 2)
        The same for scores and mean scores of each pair.
    partial : float
        Mean score of the lowest third of a cell's pairs below which it was partly disturbed.
    sees : ndarray of bool (pairs, classes)
        Which pair would show a full loss.
    stable : DataArray (y, x) of bool
        The most coherent ground of the reference set.
    false_discovery_rate, min_loss : float
    """

    expectation: Expectation
    weather: Float32Array
    levels: Float32Array
    low: BoolArray
    natural: BoolArray
    partly: BoolArray
    cover: ByteArray
    low_outside: float
    scatter: Scatter
    critical: float
    alone: float
    limits: FloatArray
    partial: float
    sees: BoolArray
    stable: xr.DataArray
    false_discovery_rate: float
    min_loss: float

    @property
    def year(self) -> int:
        """The year."""
        return self.expectation.year

    @property
    def pairs(self) -> IntArray:
        """Positions of its pairs in the cube."""
        return self.expectation.pairs

    @property
    def looks(self) -> float:
        """Independent looks behind the coherence."""
        return self.expectation.tables.looks

    @property
    def has_control(self) -> bool:
        """Whether ground around the mine is its control."""
        return self.expectation.grounds.has_control

    @property
    def doubts_low(self) -> bool:
        """Whether ground that is never coherent may be natural as well as worked."""
        return not self.has_control or self.low_outside > DOUBT_SHARE

    @property
    def weather_pairs(self) -> BoolArray:
        """Pairs in which ground like a part of the mine's fell as a whole, (pairs,)."""
        share = (self.expectation.classes.fell * self.expectation.class_shares).sum(axis=1)
        return np.asarray(share >= WEATHER_SHARE)

    @property
    def seen_of_class(self) -> FloatArray:
        """Share of the pairs that would show a full loss, (classes,)."""
        return np.asarray(self.sees.mean(axis=0))


class DecidedBlock(NamedTuple):
    """Hold decisions of one block of a year.

    Attributes
    ----------
    block : Block
    active : ndarray of bool (rows, columns)
        Worked in at least one pair; control ground as well.
    disturbed, finite : ndarray of bool (pairs, rows, columns)
    states : ndarray of uint8 (rows, columns)
        Of `State`.
    seen : ndarray of uint8 (rows, columns)
        Percent of the pairs that would show a full loss; 255 where the own level is not known.
    contrast : ndarray of uint8 (rows, columns)
        Percent of the way from the floor to the most coherent ground at which the cell's own ground stands; 255
        where that is not known.
    deep : ndarray of bool (rows, columns)
        Active, and lost nearly all of its coherence.
    """

    block: Block
    active: BoolArray
    disturbed: BoolArray
    finite: BoolArray
    states: ByteArray
    seen: ByteArray
    contrast: ByteArray
    deep: BoolArray
