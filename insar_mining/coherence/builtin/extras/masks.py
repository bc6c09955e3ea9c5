"""Mask ground where coherence is not defined by its surface: layover, shadow, low signal, water.

Layover and shadow follow from heights and lines of sight (Kropatsch & Strobl 1990, doi:10.1109/36.45752).
The plane of a cell's ranges holds its line of sight and the vertical; in it, with the height h
along the ground distance x away from the satellite and the incidence angle theta,

- slant range grows by ``sin(theta) dx - cos(theta) dh``: a cell lies in layover if some cell farther
  away has no longer range, or some cell nearer no shorter one;
- a cell lies in shadow if some nearer cell rises above its line of sight, ``dh > dx / tan(theta)``.

*Active* are slopes that cause it (steeper than theta towards the satellite, steeper than
90 degrees - theta away from it), *passive* the cells that share their fate.  Lines of sight are taken as parallel
over the two kilometres or so that a hill reaches; they turn by 0.1 degree over that distance.

Low signal and water are told from amplitude; see :func:`low_signal` and :func:`water_like` for how little
that is.
"""

from __future__ import annotations

import math
from enum import IntFlag

import numba
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from insar_mining.arrays import BoolArray, ByteArray, Complex64Array, Float32Array, FloatArray
from insar_mining.errors import OptionError
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.range_doppler import DemArrays
from insar_mining.geometry.view import SightLines, cell_heights, padded, sight_lines, slopes
from insar_mining.jit import njit
from insar_mining.sentinel1.annotation import SubSwath

__all__ = [
    "MaskBit",
    "amplitude_mask",
    "cell_heights",
    "combine",
    "geometry_mask",
    "layover_shadow",
    "low_signal",
    "mean_power",
    "water_like",
]


STEPS_PER_CELL = 2
FARTHEST_M = 10_000.0
NEIGHBOURS = 5  # side of the square in which most cells must be dark to be called water
MOST = 0.6


class MaskBit(IntFlag):
    """Name the bits of the mask band; 0 is a cell without any of them."""

    LAYOVER = 1
    PASSIVE_LAYOVER = 2
    SHADOW = 4
    PASSIVE_SHADOW = 8
    LOW_SIGNAL = 16
    WATER_LIKE = 32
    NO_HEIGHT = 128


# as kernels take them
LAYOVER, PASSIVE_LAYOVER = int(MaskBit.LAYOVER), int(MaskBit.PASSIVE_LAYOVER)
SHADOW, PASSIVE_SHADOW = int(MaskBit.SHADOW), int(MaskBit.PASSIVE_SHADOW)
NO_HEIGHT = int(MaskBit.NO_HEIGHT)


def geometry_mask(swath: SubSwath, grid: MapGrid, dem: DemArrays) -> ByteArray:
    """Compute layover and shadow on the cells of a grid, from the terrain around it too.

    Parameters
    ----------
    swath : SubSwath
    grid : MapGrid
    dem : DemArrays
        It should reach beyond the grid by its relief (times 1 to 2); what is not covered
        casts nothing.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        Sums of `MaskBit`: layover, shadow, no height.
    """
    relief = float(np.nanmax(dem.height_m) - np.nanmin(dem.height_m))
    # nothing reaches farther than the relief times the larger of tan and cot of the incidence (29..47 degrees)
    margin = math.ceil(min(2 * relief, FARTHEST_M) / grid.spacing_m) + 1
    wide = padded(grid, margin)
    heights = cell_heights(wide, dem)
    sight = sight_lines(swath, wide, heights)
    inside = slice(margin, margin + grid.height), slice(margin, margin + grid.width)
    return layover_shadow(heights, grid.spacing_m, sight)[inside]


def layover_shadow(height_m: FloatArray, spacing_m: float, sight: SightLines) -> ByteArray:
    """Compute layover and shadow of the cells of a map.

    Parameters
    ----------
    height_m : ndarray, shape (height, width)
        Rows go south; NaN is no height.
    spacing_m : float
    sight : SightLines
        Unit vectors to the satellite, same shape.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        Sums of `MaskBit`: layover (active or passive), shadow (active or passive), no height.
        Terrain beyond the map, or beyond a gap in the heights, casts nothing.  A slope in shadow still
        counts as a cause of layover.

    Raises
    ------
    OptionError
        Shapes differ, or a line of sight points below the horizon or straight up.
    """
    if not height_m.shape == sight.east.shape == sight.north.shape == sight.up.shape:
        raise OptionError(f"heights of shape {height_m.shape} and lines of sight of shape {sight.up.shape} differ")
    known = np.isfinite(sight.up)
    if known.any() and not (sight.up[known].min() > 0 and sight.up[known].max() < 1):
        raise OptionError("a line of sight must point above the horizon and not straight up")
    heights = np.ascontiguousarray(height_m, dtype=np.float64)
    if not np.isfinite(heights).any():
        return np.full(heights.shape, MaskBit.NO_HEIGHT, np.uint8)
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    mask = np.zeros(heights.shape, np.uint8)
    _layover_shadow(heights, float(spacing_m), *sight, low, high, mask)
    return mask


def mean_power(image: Complex64Array, lines: int = 5, samples: int = 21) -> Float32Array:
    """Compute the mean intensity around every pixel.

    Parameters
    ----------
    image : ndarray of complex64, shape (lines, samples)
        NaN is not data and left out.
    lines, samples : int
        Window, odd; the default holds about 50 independent looks, which keeps the speckle within 0.6 dB.

    Returns
    -------
    ndarray of float32, shape (lines, samples)
        In the squared units of the image; NaN where the window holds no data.  Pixels within half
        a window of the rim see less of it: give a block that much more.
    """
    power = np.abs(image.astype(np.complex128)) ** 2
    known = np.isfinite(power)
    share = uniform_filter(known.astype(np.float64), (lines, samples), mode="constant")
    total = uniform_filter(np.where(known, power, 0.0), (lines, samples), mode="constant")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > 0.5 / (lines * samples), total / share, np.nan).astype(np.float32)


def low_signal(power: npt.ArrayLike, noise: npt.ArrayLike, least_snr_db: float = 3.0) -> BoolArray:
    """Select pixels whose echo is so weak that noise alone lowers coherence much.

    Parameters
    ----------
    power : array_like
        Mean intensity, echo and noise (:func:`mean_power`), in squared digital numbers.
    noise : array_like, broadcast
        Noise power in the same units, from the annotation (:mod:`insar_mining.sentinel1.noise`).
        Without it no pixel can be told from noise, and the bit must not be set.
    least_snr_db : float
        Ratio of echo to noise; at 3 dB noise leaves 2/3 of the coherence, ``1 / (1 + 1 / SNR)``
        for equal dates (Zebker & Villasenor 1992, doi:10.1109/36.175330).

    Returns
    -------
    ndarray of bool
        False where either is NaN.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.asarray(power) < np.asarray(noise) * (1 + 10 ** (least_snr_db / 10)))


def water_like(
    dark_reference: BoolArray, dark_secondary: BoolArray, height_m: npt.ArrayLike, spacing_m: float
) -> BoolArray:
    """Select cells that look like calm water: dark on both dates, level, and among their like.

    That is all it says.  Wet tailings, tarmac, dry sand and salt look the same; water roughened by wind
    is bright and is not found.  A map of water is better; this one needs no other data.

    Parameters
    ----------
    dark_reference, dark_secondary : ndarray of bool, shape (height, width)
        Low signal on each date, on the cells of a map.
    height_m : array_like, same shape
        Elevation models hold water level; slopes up to 3 degrees count as level.
    spacing_m : float

    Returns
    -------
    ndarray of bool
        Of the 25 cells around each (fewer at the rim) at least 60 % are dark on both dates and level, and
        so is the cell itself.
    """
    east, north = slopes(height_m, spacing_m)
    flat = np.hypot(east, north) <= math.tan(math.radians(3.0))
    candidate = np.asarray(dark_reference & dark_secondary & flat)
    share = uniform_filter(candidate.astype(np.float64), NEIGHBOURS, mode="constant")
    inside = uniform_filter(np.ones(candidate.shape), NEIGHBOURS, mode="constant")
    return np.asarray(candidate & (share >= MOST * inside - 1e-9))


def amplitude_mask(
    power: tuple[npt.ArrayLike, npt.ArrayLike],
    noise: tuple[npt.ArrayLike, npt.ArrayLike],
    height_m: npt.ArrayLike,
    spacing_m: float,
    least_snr_db: float = 3.0,
) -> ByteArray:
    """Compute low-signal and water-like cells of a map.

    Parameters
    ----------
    power, noise : pair of array_like, shape (height, width)
        Mean intensity and noise power of reference and secondary, squared digital numbers.
    height_m : array_like, same shape
    spacing_m, least_snr_db : float

    Returns
    -------
    ndarray of uint8
        `MaskBit.LOW_SIGNAL` where either date is weak, `MaskBit.WATER_LIKE` where both are and the ground
        is level.
    """
    first, second = (low_signal(p, n, least_snr_db) for p, n in zip(power, noise, strict=True))
    water = water_like(first, second, height_m, spacing_m)
    return combine(np.zeros(first.shape, np.uint8), first | second, water)


def combine(geometry: ByteArray, low: BoolArray | None = None, water: BoolArray | None = None) -> ByteArray:
    """Combine the bits of geometry with those of amplitude, if there are any."""
    mask = geometry.copy()
    for cells, bit in ((low, MaskBit.LOW_SIGNAL), (water, MaskBit.WATER_LIKE)):
        if cells is not None:
            mask[cells] |= np.uint8(bit)
    return mask


@njit()
def _height_at(heights, row, column):  # type: ignore[no-untyped-def]
    """Interpolate height bilinearly between cell centres, NaN outside."""
    rows, columns = heights.shape
    if not (row >= 0 and column >= 0 and row <= rows - 1 and column <= columns - 1):
        return np.nan
    i = min(int(row), max(rows - 2, 0))
    j = min(int(column), max(columns - 2, 0))
    v, u = row - i, column - j
    total = 0.0
    # a cell without weight has no say, even if it is NaN
    if (1 - v) * (1 - u) > 0:
        total += (1 - v) * (1 - u) * heights[i, j]
    if (1 - v) * u > 0:
        total += (1 - v) * u * heights[i, j + 1]
    if v * (1 - u) > 0:
        total += v * (1 - u) * heights[i + 1, j]
    if v * u > 0:
        total += v * u * heights[i + 1, j + 1]
    return total


@njit(parallel=True)
def _layover_shadow(heights, spacing, east, north, up, low, high, mask):  # type: ignore[no-untyped-def]
    """Compute the mask row by row."""
    for i in numba.prange(heights.shape[0]):
        _layover_shadow_of_row(heights, i, spacing, east, north, up, low, high, mask)


@njit()
def _layover_shadow_of_row(heights, i, spacing, east, north, up, low, high, mask):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Search from every cell of a row along its range plane, as far as the relief can matter."""
    step = spacing / STEPS_PER_CELL
    for j in range(heights.shape[1]):
        h = heights[i, j]
        if math.isnan(h + up[i, j]):
            mask[i, j] = NO_HEIGHT
            continue
        across = math.hypot(east[i, j], north[i, j])
        tangent = across / up[i, j]
        # away from the satellite, in cells per step
        right, down = -east[i, j] / across / STEPS_PER_CELL, north[i, j] / across / STEPS_PER_CELL
        layover = shadow = False
        k = 1
        while k * step * tangent <= high - h and k * step <= FARTHEST_M:  # farther cells
            other = _height_at(heights, i + k * down, j + k * right)
            if math.isnan(other):
                break
            if other - h >= k * step * tangent:
                layover = True
                break
            k += 1
        k = 1
        while (k * step * tangent <= h - low or k * step <= (high - h) * tangent) and k * step <= FARTHEST_M:
            other = _height_at(heights, i - k * down, j - k * right)  # nearer cells
            if math.isnan(other):
                break
            if h - other >= k * step * tangent:
                layover = True
            if other - h > k * step / tangent:
                shadow = True
            k += 1
        if not (layover or shadow):
            continue
        ahead = _height_at(heights, i + STEPS_PER_CELL * down, j + STEPS_PER_CELL * right)
        behind = _height_at(heights, i - STEPS_PER_CELL * down, j - STEPS_PER_CELL * right)
        rise = (ahead - behind) / (2 * spacing)
        bits = 0
        if layover:
            bits |= LAYOVER if rise >= tangent else PASSIVE_LAYOVER
        if shadow:
            bits |= SHADOW if rise <= -1 / tangent else PASSIVE_SHADOW
        mask[i, j] = bits
