"""Filter both dates to the part of the range spectrum that they share.

Seen from two places, the ground's reflectivity appears at range frequencies that differ by the
spectral shift (Gatelli et al. 1994, doi:10.1109/36.298013, Eq. 8)

``df = -c B_perp / (wavelength R tan(incidence - slope))``,

the slope being that of ground rising away from the satellite and B_perp positive upward.  Only the
overlap of the two spectra interferes; the rest is noise that lowers coherence.  Filtering both dates to
the overlap, with the processor's weighting taken off and put back around its middle, returns what the
baseline has cost, for a coarser range resolution.

Here the secondary has had its geometric phase removed, which moves its spectrum by just that
shift: reflectivity is aligned, and it is the secondary's *window* that lies off centre.  The shift is then
the slope of the removed phase along range, in cycles per sample: :func:`shift_of_offsets` takes
it from the slant-range differences that the engine has, terrain included; :func:`spectral_shift` is the formula.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, Float32Array, FloatArray
from insar_mining.coherence.estimators.spectrum import Spectrum
from insar_mining.errors import OptionError
from insar_mining.jit import njit

HALF_TAPS = 24
SHIFTS_PER_CYCLE = 1024  # of the table; to take a shift for one half a step away costs 0.0003 of coherence
MOST_OF_BAND = 0.5
NOISE_FLOOR = 1e-4
NODES = 96


def spectral_shift(
    perpendicular_baseline_m: npt.ArrayLike,
    slant_range_m: npt.ArrayLike,
    incidence_deg: npt.ArrayLike,
    slope_deg: npt.ArrayLike,
    *,
    wavelength_m: float,
    range_spacing_m: float,
) -> FloatArray:
    """Compute the shift between the range spectra of a pair, cycles per sample.

    Parameters
    ----------
    perpendicular_baseline_m : array_like
        Positive along line of sight x velocity (upward), as everywhere in this package.
    slant_range_m : array_like
    incidence_deg : array_like
        On the ellipsoid.
    slope_deg : array_like
        Of the ground along range, positive where it rises away from the satellite; towards the
        incidence angle (layover) the shift grows without bound.
    wavelength_m, range_spacing_m : float
        Of the annotation; the spacing is one-way.

    Returns
    -------
    ndarray
        Times the range sampling rate it is the shift in hertz.

    Examples
    --------
    >>> float(spectral_shift(250, 870e3, 38.5, 0, wavelength_m=0.0555, range_spacing_m=2.33)).__round__(4)
    -0.0303
    """
    local = np.radians(np.asarray(incidence_deg, np.float64) - np.asarray(slope_deg, np.float64))
    across = np.asarray(slant_range_m, np.float64) * np.tan(local)
    per_metre = -2 / wavelength_m * np.asarray(perpendicular_baseline_m, np.float64) / across
    return np.asarray(per_metre * range_spacing_m)


def shift_of_offsets(
    range_offset_m: FloatArray, post_samples: int, wavelength_m: float, reach: int = 4
) -> Float32Array:
    """Compute the spectral shift from the slant-range differences of a block, cycles per sample.

    Parameters
    ----------
    range_offset_m : ndarray, shape (lines, posts)
        Slant range of the secondary less that of the reference at every `post_samples`-th sample, with
        the terrain: the field whose phase was removed.
    post_samples : int
    wavelength_m : float
    reach : int
        Posts on either side over which the slope is taken (fewer at the rim); 4 posts of 4 samples are
        the length of the filter.

    Returns
    -------
    ndarray of float32, shape (lines, (posts - 1) * post_samples + 1)
        At every sample from the first post to the last, linear between posts; NaN beside a NaN.
    """
    posts = range_offset_m.shape[1]
    if posts < 2:
        raise OptionError(f"{posts} post of slant range: a slope needs at least 2")
    place = np.arange(posts)
    before, behind = np.maximum(place - reach, 0), np.minimum(place + reach, posts - 1)
    slope = (range_offset_m[:, behind] - range_offset_m[:, before]) / ((behind - before) * post_samples)
    sample = np.arange((posts - 1) * post_samples + 1) / post_samples
    left = np.minimum(sample.astype(np.int64), posts - 2)
    part = sample - left
    per_sample = slope[:, left] * (1 - part) + slope[:, left + 1] * part
    return np.asarray(2 / wavelength_m * per_sample, dtype=np.float32)


def turned(
    reference: Complex64Array,
    secondary: Complex64Array,
    range_offset_m: FloatArray,
    post_samples: int,
    wavelength_m: float,
) -> tuple[Complex64Array, Complex64Array]:
    """Restore the phase that was removed from a reference, and rotate the secondary with it.

    A reference that is not the stack reference has had a geometric phase removed itself: its band lies
    off centre too.  Both are multiplied by ``exp(-4 pi i offset / wavelength)``, which leaves their
    interferogram as it is.

    Parameters
    ----------
    reference, secondary : ndarray of complex64, shape (lines, samples)
    range_offset_m : ndarray, shape (lines, posts)
        Slant range of the reference less that of the stack reference at every `post_samples`-th sample,
        from the first to the last sample or beyond; in between it is linear.
    post_samples : int
    wavelength_m : float

    Returns
    -------
    reference, secondary : ndarray of complex64, same shape
    """
    field = np.ascontiguousarray(range_offset_m)
    one, other = _turned(_read_only(reference), _read_only(secondary), field, post_samples, 4 * math.pi / wavelength_m)
    return one, other


@njit(parallel=True)
def _turned(reference, secondary, field, post_samples, phase_per_m):  # type: ignore[no-untyped-def]
    """Multiply by a phasor that rotates in equal steps from post to post."""
    lines, samples = reference.shape
    one, other = np.empty((lines, samples), np.complex64), np.empty((lines, samples), np.complex64)
    for y in numba.prange(lines):
        for start in range(0, samples, post_samples):
            post = start // post_samples
            phase = phase_per_m * field[y, post]
            step = phase_per_m * (field[y, post + 1] - field[y, post]) / post_samples
            phasor = complex(math.cos(phase), -math.sin(phase))
            turn = complex(math.cos(step), -math.sin(step))
            for x in range(start, min(start + post_samples, samples)):
                one[y, x] = complex(reference[y, x]) * phasor
                other[y, x] = complex(secondary[y, x]) * phasor
                phasor *= turn
    return one, other


def common_band(
    reference: Complex64Array, secondary: Complex64Array, shift: Float32Array, spectrum: Spectrum
) -> tuple[Complex64Array, Complex64Array]:
    """Filter a block of a pair to the range band that both dates share.

    Parameters
    ----------
    reference, secondary : ndarray of complex64, shape (lines, samples)
        On the same pixels, the secondary with its geometric phase removed; NaN is not data.
    shift : ndarray of float32, same shape
        Cycles per sample by which the secondary's window lies beyond the reference's.  Beyond half
        of the band, where hardly anything is shared, half of the band is taken.
    spectrum : Spectrum
        Range spectrum of both (:func:`insar_mining.coherence.estimators.spectrum.range_spectrum`).

    Returns
    -------
    reference, secondary : ndarray of complex64, same shape
        NaN where the filter, 49 samples long, leaves the block or meets NaN; every pixel takes the
        filter of its own shift.  The looks of a window fall by the share of the band that is lost.

    Raises
    ------
    OptionError
        Shapes differ.

    Notes
    -----
    A block needs 24 samples more on either side, and no more lines.
    """
    if not reference.shape == secondary.shape == shift.shape:
        raise OptionError(f"blocks of shapes {reference.shape}, {secondary.shape} and shifts of {shift.shape} differ")
    first, second = _filter_both(
        _read_only(reference), _read_only(secondary), np.ascontiguousarray(shift), *_kernels(spectrum)
    )
    return first, second


def _read_only(image: Complex64Array) -> Complex64Array:
    """Return a read-only view, as arrays from disk are, so that kernels are compiled for one type."""
    view = np.ascontiguousarray(image).view()
    view.setflags(write=False)
    return view


@lru_cache(maxsize=8)
def _filters(spectrum: Spectrum) -> npt.NDArray[np.complex64]:
    """Compute the taps that take a band at 0 to the band shared at each shift, shape (shifts, taps).

    With W the processor's window and W' a Hamming window over the common band, the filter
    wanted is ``H = W' / W`` inside and 0 outside.  The taps give the least square error where the image has
    power: ``min integral |sum h_n exp(-2 pi i f n) - H|^2 W^2 df``, a system of normal equations with
    the autocorrelation as its matrix.
    """
    most = round(MOST_OF_BAND * spectrum.band * SHIFTS_PER_CYCLE)
    taps = np.arange(-HALF_TAPS, HALF_TAPS + 1)
    node, weight = np.polynomial.legendre.leggauss(NODES)
    power = spectrum.band * (spectrum.hamming**2 + (1 - spectrum.hamming) ** 2 / 2)  # integral of W^2
    right = np.empty((2 * most + 1, taps.size), np.complex128)
    for step in range(most + 1):
        shift = step / SHIFTS_PER_CYCLE
        width = spectrum.band - shift
        f = shift / 2 + node * width / 2
        wanted = Spectrum(width, spectrum.hamming).amplitude(node * width / 2)
        # H W^2 = W' W
        values = wanted * spectrum.amplitude(f) * weight * width / 2 / power
        right[most + step] = np.exp(2j * np.pi * np.outer(taps, f)) @ values
        right[most - step] = right[most + step].conj()  # the mirrored spectrum
    system = spectrum.autocorrelation(taps[:, None] - taps) + NOISE_FLOOR * np.eye(taps.size)
    return np.ascontiguousarray(np.linalg.solve(system, right.T).T.astype(np.complex64))


@lru_cache(maxsize=8)
def _kernels(spectrum: Spectrum) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
    """Compute real and imaginary taps for the reference, then for the secondary, shape (shifts, taps).

    In the order of the samples that they meet.  Seen from its own window the secondary has the opposite
    shift: its filter is the mirrored one, moved to where its window is.
    """
    first = _filters(spectrum).astype(np.complex128)
    most = first.shape[0] // 2
    shift, tap = np.arange(-most, most + 1) / SHIFTS_PER_CYCLE, np.arange(-HALF_TAPS, HALF_TAPS + 1)
    second = first[::-1] * np.exp(2j * np.pi * np.outer(shift, tap))
    one, other, *rest = (
        np.ascontiguousarray(part[:, ::-1], dtype=np.float32)
        for part in (first.real, first.imag, second.real, second.imag)
    )
    return one, other, rest[0], rest[1]


# sums over taps may be taken in any order, so that they fill vector registers: the order is the same for every pixel
@njit(parallel=True, fastmath={"reassoc", "contract"})
def _filter_both(reference, secondary, shift, first_re, first_im, second_re, second_im):  # type: ignore[no-untyped-def]
    """Convolve along range, each pixel with the taps of its shift."""
    lines, samples = reference.shape
    most = first_re.shape[0] // 2
    first = np.full((lines, samples), np.complex64(complex(np.nan, np.nan)), np.complex64)
    second = np.full((lines, samples), np.complex64(complex(np.nan, np.nan)), np.complex64)
    for y in numba.prange(lines):
        one_re, one_im = np.empty(samples, np.float32), np.empty(samples, np.float32)
        other_re, other_im = np.empty(samples, np.float32), np.empty(samples, np.float32)
        for x in range(samples):
            one_re[x], one_im[x] = reference[y, x].real, reference[y, x].imag
            other_re[x], other_im[x] = secondary[y, x].real, secondary[y, x].imag
        for x in range(HALF_TAPS, samples - HALF_TAPS):
            if math.isnan(shift[y, x]):
                continue
            k = most + min(max(round(shift[y, x] * SHIFTS_PER_CYCLE), -most), most)
            start = x - HALF_TAPS
            re_taps, im_taps = first_re[k], first_im[k]
            re = im = np.float32(0)
            for n in range(2 * HALF_TAPS + 1):
                re += re_taps[n] * one_re[start + n] - im_taps[n] * one_im[start + n]
                im += re_taps[n] * one_im[start + n] + im_taps[n] * one_re[start + n]
            first[y, x] = complex(re, im)
            re_taps, im_taps = second_re[k], second_im[k]
            re = im = np.float32(0)
            for n in range(2 * HALF_TAPS + 1):
                re += re_taps[n] * other_re[start + n] - im_taps[n] * other_im[start + n]
                im += re_taps[n] * other_im[start + n] + im_taps[n] * other_re[start + n]
            second[y, x] = complex(re, im)
    return first, second
