"""Sum over the window: the coherence estimator, and the interferogram."""

from __future__ import annotations

import math

import numba
import numpy as np

from insar_mining.jit import njit


@njit(parallel=True)
def coherence(reference, secondary, azimuth, range_):  # type: ignore[no-untyped-def]
    """Estimate sample coherence in a boxcar of `azimuth` lines and `range_` samples.

    ``|sum(r conj(s))| / sqrt(sum(|r|^2) sum(|s|^2))`` (Touzi et al. 1999, Eq. 3,
    doi:10.1109/36.739146), over the samples that SNAP's Interferogram operator takes:
    lines ``y - (azimuth - 1) // 2`` and the next ``azimuth - 1``, samples likewise.

    Parameters
    ----------
    reference, secondary : ndarray of complex64, shape (lines, samples)
        On the same pixels; NaN is not data.

    Returns
    -------
    ndarray of float32, shape (lines, samples)
        0..1; NaN where the window leaves the image, holds a pixel without data, or
        holds no power at all.
    """
    lines, samples = reference.shape
    above = (azimuth - 1) // 2
    left = (range_ - 1) // 2
    out = np.full((lines, samples), np.nan, np.float32)
    for y in numba.prange(above, lines - (azimuth - 1 - above)):
        # sums over the lines of the window, for every sample; double precision keeps the
        # running sums below independent of where they started
        cross_re = np.zeros(samples)
        cross_im = np.zeros(samples)
        power_r = np.zeros(samples)
        power_s = np.zeros(samples)
        missing = np.zeros(samples, np.int64)
        for k in range(y - above, y - above + azimuth):
            for x in range(samples):
                r = reference[k, x]
                s = secondary[k, x]
                ar, ai, br, bi = float(r.real), float(r.imag), float(s.real), float(s.imag)
                if math.isnan(ar + ai + br + bi):
                    missing[x] += 1
                    continue
                cross_re[x] += ar * br + ai * bi
                cross_im[x] += ai * br - ar * bi
                power_r[x] += ar * ar + ai * ai
                power_s[x] += br * br + bi * bi
        re = im = pr = ps = 0.0
        bad = 0
        for x in range(samples):
            re += cross_re[x]
            im += cross_im[x]
            pr += power_r[x]
            ps += power_s[x]
            bad += missing[x]
            if x >= range_:
                re -= cross_re[x - range_]
                im -= cross_im[x - range_]
                pr -= power_r[x - range_]
                ps -= power_s[x - range_]
                bad -= missing[x - range_]
            if x >= range_ - 1 and bad == 0 and pr * ps > 0:
                value = math.sqrt((re * re + im * im) / (pr * ps))
                out[y, x - (range_ - 1) + left] = min(value, 1.0)
    return out


@njit(parallel=True)
def window_mean(image, azimuth, range_):  # type: ignore[no-untyped-def]
    """Average a complex image over the window of :func:`coherence`.

    Parameters
    ----------
    image : ndarray of complex64, shape (lines, samples)
        An interferogram; NaN is not data.

    Returns
    -------
    ndarray of complex64, shape (lines, samples)
        NaN where the window leaves the image or holds a pixel without data.
    """
    lines, samples = image.shape
    above = (azimuth - 1) // 2
    left = (range_ - 1) // 2
    out = np.full((lines, samples), np.nan, np.complex64)
    for y in numba.prange(above, lines - (azimuth - 1 - above)):
        for x in range(left, samples - (range_ - 1 - left)):
            total = complex(0)
            for k in range(y - above, y - above + azimuth):
                for j in range(x - left, x - left + range_):
                    total += image[k, j]
            out[y, x] = np.complex64(total / (azimuth * range_))
    return out
