"""The Goldstein filter against an implementation written from the paper, and on fringes of known phase."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.coherence.builtin.extras.goldstein import PhaseFilter, goldstein
from insar_mining.errors import OptionError

from .speckle import pair, white

SMALL = PhaseFilter(fft_size=32)


def _slow(z, coherence, alpha, size, window, adaptive=False, origin=(0, 0)):
    """Every patch whose place is a multiple of size / 4, with sums written out; zeros beyond the edge."""
    wide = np.zeros((z.shape[0] + 2 * size, z.shape[1] + 2 * size), complex)
    wide[size:-size, size:-size] = np.nan_to_num(z)
    known = np.full(wide.shape, np.nan)
    if coherence is not None:
        known[size:-size, size:-size] = coherence
    side = 1 - np.abs(np.arange(size) - (size - 1) / 2) / (size / 2)
    total, weight = np.zeros(wide.shape, complex), np.zeros(wide.shape)
    for top in range(wide.shape[0] - size + 1):
        for left in range(wide.shape[1] - size + 1):
            if (top - size + origin[0]) % (size // 4) or (left - size + origin[1]) % (size // 4):
                continue
            here = np.s_[top : top + size, left : left + size]
            if not wide[here].any():
                continue
            spectrum = np.fft.fft2(wide[here])
            smooth = sum(
                np.roll(np.abs(spectrum), (i, j), (0, 1))
                for i in range(-(window // 2), window // 2 + 1)
                for j in range(-(window // 2), window // 2 + 1)
            )
            power = np.clip(1 - np.nanmean(known[here]), 0.2, 1.0) if adaptive else alpha
            total[here] += np.fft.ifft2(spectrum * (smooth / smooth.max()) ** power) * np.outer(side, side)
            weight[here] += np.outer(side, side)
    return (total / np.maximum(weight, 1e-30))[size:-size, size:-size]


def _fringes(rng, swath, shape, coherence):
    """Interferogram of a hill, and the phase without noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase = 12 * np.exp(-((y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2) / (shape[0] / 3) ** 2)
    first, second = pair(rng, swath, shape, coherence)
    return (first * second.conj() * np.exp(1j * phase)).astype(np.complex64), phase


def _rms_phase(z, phase):
    return float(np.sqrt(np.mean(np.angle(z * np.exp(-1j * phase)) ** 2)))


@pytest.mark.parametrize(("alpha", "window"), [(1.0, 3), (0.5, 5), (0.2, 7)])
def test_equals_the_published_filter(rng, morocco_sub_swath, alpha, window):
    z, _ = _fringes(rng, morocco_sub_swath("20230904", "IW1"), (70, 90), 0.6)
    z[20:24, 30:40] = np.nan
    got = goldstein(z, None, PhaseFilter(alpha=alpha, fft_size=32, window_size=window))
    expected = _slow(z, None, alpha, 32, window)
    known = np.isfinite(z)
    assert np.isnan(got[~known]).all()
    np.testing.assert_allclose(got[known], expected[known], atol=1e-5 * np.abs(expected).max())


def test_adaptive_exponent_is_one_minus_coherence(rng, morocco_sub_swath):
    """Baran's exponent, patch by patch, and the coherence is left as it was."""
    z, _ = _fringes(rng, morocco_sub_swath("20230904", "IW1"), (64, 96), 0.6)
    coherence = rng.random((64, 96)).astype(np.float32)
    coherence[:, 48:] *= 0.1
    before = coherence.copy()
    got = goldstein(z, coherence, PhaseFilter(fft_size=32, use_adaptive_alpha=True))
    np.testing.assert_allclose(got, _slow(z, coherence, None, 32, 3, adaptive=True), atol=1e-5 * np.abs(got).max())
    np.testing.assert_array_equal(coherence, before)


@pytest.mark.parametrize("coherence", [0.4, 0.7])
def test_noise_falls_and_fringes_stay(rng, morocco_sub_swath, coherence):
    """The phase comes nearer to the truth, the more so the larger alpha; alpha 0 changes nothing."""
    z, phase = _fringes(rng, morocco_sub_swath("20230904", "IW2"), (192, 192), coherence)
    noise = [_rms_phase(goldstein(z, None, PhaseFilter(alpha=alpha)), phase) for alpha in (0.0, 0.5, 1.0)]
    assert noise[0] == pytest.approx(_rms_phase(z, phase), rel=1e-4)
    assert noise[0] > 1.15 * noise[1] > 1.3 * noise[2]


def test_blocks_do_not_matter(rng):
    """Any part, given with a patch more on every side and its place, has the phase of the whole."""
    z = white(rng, (160, 170)).astype(np.complex64)
    whole = goldstein(z, None, SMALL, first_line=5, first_sample=1000)
    part = goldstein(z[19:121, 33:140], None, SMALL, first_line=24, first_sample=1033)
    inside = np.s_[31:-31, 31:-31]
    np.testing.assert_allclose(part[inside], whole[50:90, 64:109], atol=2e-6)


def test_mask_leaves_incoherent_pixels(rng, morocco_sub_swath):
    """Below the threshold, and where coherence is unknown, the interferogram stays as it came."""
    z, _ = _fringes(rng, morocco_sub_swath("20230904", "IW1"), (64, 64), 0.6)
    coherence = np.full((64, 64), 0.8, np.float32)
    coherence[:10], coherence[20:22, 20] = 0.1, np.nan
    got = goldstein(z, coherence, PhaseFilter(fft_size=32, use_coherence_mask=True))
    np.testing.assert_array_equal(got[:10], z[:10])
    np.testing.assert_array_equal(got[20:22, 20], z[20:22, 20])
    np.testing.assert_array_equal(got[30:], goldstein(z, None, SMALL)[30:])


def test_refuses_what_snap_does_not_offer(rng):
    z = np.ones((64, 64), np.complex64)
    for wrong in (
        {"alpha": 1.5},
        {"fft_size": 48},
        {"window_size": 4},
        {"coherence_threshold": 2.0},
        {"alpha_min": 1.1},
    ):
        with pytest.raises(OptionError, match=str(next(iter(wrong.values())))):
            PhaseFilter(**wrong)
    for needs in ({"use_coherence_mask": True}, {"use_adaptive_alpha": True}):
        with pytest.raises(OptionError, match="needs the coherence"):
            goldstein(z, None, PhaseFilter(**needs))
    with pytest.raises(OptionError, match="shape"):
        goldstein(z, np.ones((3, 3), np.float32))
