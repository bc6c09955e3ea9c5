"""Estimate coherence with the local phase ramp removed.

Phase that the geometry does not explain (an outdated elevation model, motion, the
atmosphere) turns inside the coherence window and lowers the sum.  Here the local frequency of the
interferogram is estimated around every pixel, in a window several times larger than that
of coherence, from the phase between neighbours (lag one), and the ramp is taken out
of the window before it is summed.

The products of neighbours, ``z(x + 1) conj z(x)`` with ``z = r conj(s) / |r s|``, have a phase of 2 pi times
the frequency and, speckle being wider than a pixel, a positive mean even where there is no
coherence: there the estimate leans towards frequency 0, and adapts itself to the noise much
less than a search for the brightest frequency would.
What is left of that upward bias is measured in docs/estimators.md; it falls with the size of the
frequency window.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from insar_mining.arrays import Complex64Array, Float32Array
from insar_mining.errors import OptionError
from insar_mining.jit import njit

NOTHING = 1e-6  # of sums of unit phasors; differences of running sums leave less where there is no data


def coherence_without_fringes(
    reference: Complex64Array,
    secondary: Complex64Array,
    azimuth: int = 2,
    range_: int = 7,
    *,
    frequency_lines: int = 13,
    frequency_samples: int = 41,
) -> Float32Array:
    """Estimate sample coherence in a boxcar from which the local phase ramp has been removed.

    ``|sum(r conj(s) exp(-2 pi i (f_a dy + f_r dx)))| / sqrt(sum(|r|^2) sum(|s|^2))`` over the samples of
    :func:`insar_mining.coherence.estimators.estimate.coherence`, with one frequency per window, that of
    :func:`local_frequency` at its pixel.

    Parameters
    ----------
    reference, secondary : ndarray of complex64, shape (lines, samples)
        On the same pixels, geometric phase removed; NaN is not data.
    azimuth, range_ : int
        Lines and samples of the window.
    frequency_lines, frequency_samples : int
        Window of the frequency; odd, at least 3, and several times the other.

    Returns
    -------
    ndarray of float32, shape (lines, samples)
        0..1; NaN where one of the windows leaves the image, or that of coherence holds a pixel
        without data or no power.

    Raises
    ------
    OptionError
        A window is out of range.

    Notes
    -----
    A block needs ``frequency_lines // 2`` lines and ``frequency_samples // 2`` samples more on every side
    (or those of the coherence window, if they are more).
    """
    if not (1 <= azimuth <= 101 and 1 <= range_ <= 501 and azimuth * range_ >= 2):
        raise OptionError(f"window {azimuth}x{range_}: 1..101 lines x 1..501 samples, at least 2 pixels in all")
    frequency = local_frequency(reference, secondary, frequency_lines, frequency_samples)
    return np.asarray(
        _ramped_coherence(np.ascontiguousarray(reference), np.ascontiguousarray(secondary), *frequency, azimuth, range_)
    )


def local_frequency(
    reference: Complex64Array, secondary: Complex64Array, lines: int = 13, samples: int = 41
) -> tuple[Float32Array, Float32Array]:
    """Estimate the frequency of the interferogram around every pixel.

    Parameters
    ----------
    reference, secondary : ndarray of complex64, shape (lines, samples)
    lines, samples : int
        Window of the estimate, odd, at least 3.

    Returns
    -------
    along_lines, along_samples : ndarray of float32
        Turns per line and turns per sample, -0.5..0.5; NaN where the window leaves the image or
        holds no data.  Pixels without data have no say in the others.

    Raises
    ------
    OptionError
        The window is out of range.
    """
    if not (3 <= lines <= 101 and 3 <= samples <= 501 and lines % 2 == samples % 2 == 1):
        raise OptionError(
            f"frequency window of {lines} lines x {samples} samples: odd numbers, 3..101 lines and 3..501 samples "
            "(default 13 x 41)"
        )
    unit = _unit(np.ascontiguousarray(reference), np.ascontiguousarray(secondary))
    down, across = (np.full(reference.shape, np.nan, np.float32) for _ in range(2))
    _frequency(unit, lines, samples, down, across)
    return down, across


def _unit(reference: Complex64Array, secondary: Complex64Array) -> Complex64Array:
    """Normalise the interferogram to a magnitude of 1, and 0 without data."""
    product = reference * secondary.conj()
    size = np.abs(product)
    known = size > 0
    return np.where(known, product / np.where(known, size, 1), 0).astype(np.complex64)


@njit(parallel=True)
def _frequency(unit, lines, samples, down, across):  # type: ignore[no-untyped-def]
    """Compute frequencies, line by line."""
    for y in numba.prange(lines // 2, unit.shape[0] - lines // 2):
        _frequency_of_line(unit, y, lines // 2, samples // 2, down, across)


@njit()
def _frequency_of_line(unit, y, up, left, down, across):  # type: ignore[no-untyped-def]
    """Compute the phase between neighbours, in cycles, summed over a window around each pixel of a line."""
    width = unit.shape[1]
    # sums over the lines of the window and over all samples before one: below (re, im), beside (re, im)
    before = np.zeros((4, width + 1))
    for k in range(y - up, y + up + 1):
        for x in range(width):
            here = complex(unit[k, x]).conjugate()
            if k < y + up:
                below = complex(unit[k + 1, x]) * here
                before[0, x + 1] += below.real
                before[1, x + 1] += below.imag
            if x < width - 1:
                beside = complex(unit[k, x + 1]) * here
                before[2, x + 1] += beside.real
                before[3, x + 1] += beside.imag
    for which in range(4):
        for x in range(width):
            before[which, x + 1] += before[which, x]
    for x in range(left, width - left):
        re = before[0, x + left + 1] - before[0, x - left]
        im = before[1, x + left + 1] - before[1, x - left]
        beside_re = before[2, x + left] - before[2, x - left]
        beside_im = before[3, x + left] - before[3, x - left]
        if math.hypot(re, im) > NOTHING and math.hypot(beside_re, beside_im) > NOTHING:
            down[y, x] = math.atan2(im, re) / (2 * math.pi)
            across[y, x] = math.atan2(beside_im, beside_re) / (2 * math.pi)


@njit(parallel=True)
def _ramped_coherence(reference, secondary, down, across, azimuth, range_):  # type: ignore[no-untyped-def]
    """Compute boxcar coherence with the window's own ramp removed."""
    height, width = reference.shape
    above, left = (azimuth - 1) // 2, (range_ - 1) // 2
    out = np.full((height, width), np.nan, np.float32)
    for y in numba.prange(above, height - (azimuth - 1 - above)):
        for x in range(left, width - (range_ - 1 - left)):
            if math.isnan(down[y, x]):
                continue
            angle = -2 * math.pi * across[y, x]
            step = complex(math.cos(angle), math.sin(angle))
            angle = -2 * math.pi * down[y, x]
            line_step = complex(math.cos(angle), math.sin(angle))
            line = complex(1.0, 0.0)
            total = complex(0.0, 0.0)
            pr = ps = 0.0
            for k in range(y - above, y - above + azimuth):
                phasor = line
                for m in range(x - left, x - left + range_):
                    r = complex(reference[k, m])
                    s = complex(secondary[k, m])
                    total += r * s.conjugate() * phasor
                    pr += r.real * r.real + r.imag * r.imag
                    ps += s.real * s.real + s.imag * s.imag
                    phasor *= step
                line *= line_step
            if pr * ps > 0:  # False where a pixel is NaN
                out[y, x] = min(math.sqrt((total.real**2 + total.imag**2) / (pr * ps)), 1.0)
    return out
