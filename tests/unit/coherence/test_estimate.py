"""The estimator against a slow one that loops over windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

from insar_mining.coherence.estimators import estimate


def _noise(rng, shape):
    return ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)).astype(np.complex64)


def _slow(reference, secondary, azimuth, range_):
    """The published estimator, window by window, with SNAP's choice of samples written out."""
    lines, samples = reference.shape
    out = np.full((lines, samples), np.nan)
    for y in range(lines):
        for x in range(samples):
            top, left = y - (azimuth - 1) // 2, x - (range_ - 1) // 2
            if top < 0 or left < 0 or top + azimuth > lines or left + range_ > samples:
                continue
            r = reference[top : top + azimuth, left : left + range_].astype(complex)
            s = secondary[top : top + azimuth, left : left + range_].astype(complex)
            out[y, x] = abs(np.vdot(s, r)) / np.sqrt(np.vdot(r, r).real * np.vdot(s, s).real)
    return out


@pytest.mark.parametrize("window", [(2, 7), (1, 5), (3, 3), (4, 10), (5, 1), (2, 2)])
def test_equals_the_published_formula(rng, window):
    """Every window size gives the textbook value, NaN exactly where the window leaves the image."""
    reference = _noise(rng, (23, 41))
    secondary = (0.7 * reference + 0.5 * _noise(rng, (23, 41))).astype(np.complex64)
    np.testing.assert_allclose(
        estimate.coherence(reference, secondary, *window), _slow(reference, secondary, *window), atol=2e-6
    )


def test_window_takes_the_rows_and_columns_of_snap(rng):
    """A 2 x 7 window at (y, x) holds rows y..y+1 and columns x-3..x+3, and nothing else."""
    reference, secondary = _noise(rng, (9, 21)), _noise(rng, (9, 21))
    before = estimate.coherence(reference, secondary, 2, 7)
    changed = secondary.copy()
    changed[4, 10] *= -3
    moved = np.argwhere(estimate.coherence(reference, changed, 2, 7) != before)
    moved = moved[~np.isnan(before[tuple(moved.T)])]
    assert {tuple(p) for p in moved} == {(y, x) for y in (3, 4) for x in range(7, 14)}


def test_nan_and_powerless_windows_have_no_coherence(rng):
    """A window that holds a pixel without data, or only zeros, is NaN; its neighbours are not."""
    reference, secondary = _noise(rng, (12, 40)), _noise(rng, (12, 40))
    reference[5, 10] = np.nan
    secondary[:, 25:] = 0
    got = estimate.coherence(reference, secondary, 2, 7)
    assert np.isnan(got[4:6, 7:14]).all()
    assert np.isfinite(got[6, 7:14]).all()
    assert np.isfinite(got[3:7, 14:22]).all()
    assert np.isnan(got[2:8, 28:]).all()


def test_bright_neighbours_do_not_spoil_dark_ground(rng):
    """Running sums forget a target a million times brighter once it has left the window."""
    reference, secondary = _noise(rng, (2, 300)), _noise(rng, (2, 300))
    alone = estimate.coherence(reference, secondary, 2, 7)
    reference[:, 20:30] *= 1e6
    secondary[:, 20:30] *= 1e6
    np.testing.assert_allclose(estimate.coherence(reference, secondary, 2, 7)[0, 40:-3], alone[0, 40:-3], atol=1e-3)


def test_scale_and_constant_phase_do_not_matter(rng):
    """Coherence keeps its value under any gain and phase of either image."""
    reference = _noise(rng, (16, 32))
    secondary = (reference + _noise(rng, (16, 32))).astype(np.complex64)
    turned = (secondary * np.complex64(37 * np.exp(2.1j))).astype(np.complex64)
    np.testing.assert_allclose(
        estimate.coherence(reference, turned, 2, 7), estimate.coherence(reference, secondary, 2, 7), atol=2e-6
    )


def test_mean_over_pure_noise_is_touzis(rng):
    """Independent samples give E[d | D = 0] = Gamma(L) Gamma(3/2) / Gamma(L + 1/2) with L = 14."""
    got = estimate.coherence(_noise(rng, (400, 700)), _noise(rng, (400, 700)), 2, 7)[::2, 3::7]
    expected = np.exp(gammaln(14) + gammaln(1.5) - gammaln(14.5))
    assert np.nanmean(got) == pytest.approx(expected, abs=4 * np.nanstd(got) / np.sqrt(got.size))
