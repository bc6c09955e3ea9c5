"""Measure azimuth misregistration by enhanced spectral diversity in burst overlaps.

Both bursts see the overlap, but with Doppler frequencies some 4.5 kHz apart.  A shift of `d` lines turns the
phase of an interferogram by ``2 pi f dt d``; in the difference of the two interferograms all that does not
depend on the Doppler frequency is gone, and ``2 pi (f1 - f2) dt d`` is left, about ten turns a line
(Prats-Iraola et al. 2012, doi:10.1109/TGRS.2011.2178247; Fattahi et al. 2017, doi:10.1109/TGRS.2016.2616011).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.estimators.spectrum import Spectrum

Interferogram = tuple[Complex64Array, Complex64Array]
"""Reference and date."""

CELL_LINES, CELL_SAMPLES = 8, 32
LEAST_POWER = 9.0  # of the cross product of a cell over that of noise: exp(-9) = 0.01 % of cells without coherence pass
LEAST_CELLS = 16
MOST_COHERENCE2 = 0.98
STEPS = 20


@dataclass(frozen=True, eq=False)
class Cells:
    """Hold coherent cells of burst overlaps; all arrays of shape (cells,).

    Attributes
    ----------
    phase_rad : ndarray
        Of the first burst's interferogram minus that of the second.
    phase_sd_rad : ndarray
        What the two coherences let expect.
    coherence : ndarray
        Geometric mean of the two, free of bias.
    turns_per_line : ndarray
        Doppler frequency of the first burst minus that of the second, times the line interval.
    """

    phase_rad: FloatArray
    phase_sd_rad: FloatArray
    coherence: FloatArray
    turns_per_line: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """Concatenate the cells of several blocks."""
        names = ("phase_rad", "phase_sd_rad", "coherence", "turns_per_line")
        return cls(*(np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)]) for name in names))


def overlap_cells(
    first: Interferogram, second: Interferogram, turns_per_line: FloatArray, azimuth: Spectrum, range_: Spectrum
) -> Cells:
    """Compute double differences of the cells of an overlap that are coherent in both bursts.

    Parameters
    ----------
    first, second : (ndarray, ndarray) of complex64, shape (lines, samples)
        Reference and date as the first and as the second burst see them, all four on one grid; whole cells
        of 8 x 32 are taken.  NaN where there is no data.
    turns_per_line : ndarray, shape (lines, samples)
        See :class:`Cells`.
    """
    looks = CELL_LINES * CELL_SAMPLES / (_correlated(azimuth) * _correlated(range_))
    known = np.isfinite(np.sum([*first, *second], axis=0))
    share = _means(known.astype(np.float64))
    products, powers, variances, squares = [], [], [], []
    for reference, date in (first, second):
        a, b = (np.where(known, image, 0) for image in (reference, date))
        product = _means(a * b.conj())
        first_power, second_power = np.abs(a) ** 2, np.abs(b) ** 2
        energy = _means(first_power) * _means(second_power)
        with np.errstate(divide="ignore", invalid="ignore"):  # cells without data are dropped below
            raw = np.abs(product) ** 2 / energy
            # where few pixels are bright, the sum scatters as much as that of few pixels
            noise = _means(first_power * second_power) / looks
            count = np.minimum((1 + raw) * energy / noise, looks)
            square = np.clip(raw - (1 - raw) / count, 0, MOST_COHERENCE2)
            variances.append((1 - square) / (2 * square * count))
            powers.append(np.abs(product) ** 2 / noise)
        products.append(product)
        squares.append(square)
    with np.errstate(invalid="ignore"):
        kept = (share == 1) & (np.minimum(*powers) > LEAST_POWER)
    double = (products[0] * products[1].conj())[kept]
    return Cells(
        np.angle(double).astype(np.float64),
        np.sqrt(variances[0] + variances[1])[kept],
        (squares[0] * squares[1])[kept] ** 0.25,
        _means(turns_per_line)[kept],
    )


def _means(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Average each whole cell."""
    rows, columns = values.shape[0] // CELL_LINES, values.shape[1] // CELL_SAMPLES
    cut = values[: rows * CELL_LINES, : columns * CELL_SAMPLES]
    cells: npt.NDArray[Any] = cut.reshape(rows, CELL_LINES, columns, CELL_SAMPLES).mean(axis=(1, 3))
    return cells


def _correlated(spectrum: Spectrum) -> float:
    """Compute the pixels in one direction per independent sample: the sum of the squared autocorrelation."""
    return float(np.sum(spectrum.autocorrelation(np.arange(-64, 65)) ** 2))


def shift_of(cells: Cells) -> tuple[float, float]:
    """Compute the azimuth shift of the date in lines, within half a cycle, and its standard deviation.

    It maximises ``sum w cos(phase - 2 pi s d)`` with ``w = 1 / sd^2``, so that no cell weighs more than its
    coherence warrants and one that is wrong cannot pull far.

    Parameters
    ----------
    cells : Cells
        At least one.
    """
    weight = 1 / cells.phase_sd_rad**2
    slope = 2 * np.pi * cells.turns_per_line
    typical = float(np.sum(weight * slope) / np.sum(weight))
    shift = float(np.angle(np.sum(weight * np.exp(1j * cells.phase_rad)))) / typical
    for _ in range(STEPS):
        left = cells.phase_rad - slope * shift
        step = float(np.sum(weight * slope * np.sin(left)) / np.sum(weight * slope**2))
        shift += step
        if abs(step) < 1e-9:
            break
    left = cells.phase_rad - slope * shift
    promised = 1 / math.sqrt(float(np.sum(weight * slope**2)))
    bend = float(np.sum(weight * slope**2 * np.cos(left)))
    if bend <= 0:  # phases all around the circle
        return shift, math.inf
    return shift, max(math.sqrt(float(np.sum((weight * slope * np.sin(left)) ** 2))) / bend, promised)


def ambiguity_lines(cells: Cells) -> float:
    """Compute the period of the double difference in lines, about 0.1."""
    return 1 / abs(float(np.mean(cells.turns_per_line)))
