"""Coherence without local ramps: against a slow one, and on ramps and noise of known coherence."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.coherence.builtin.extras.fringes import coherence_without_fringes, local_frequency
from insar_mining.coherence.estimators import estimate
from insar_mining.errors import OptionError

from .speckle import pair, white


def _ramp(shape, down, across):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.exp(2j * np.pi * (down * y + across * x))


def _slow(reference, secondary, azimuth, range_, lines, samples):
    """Window by window in numpy: angle of the mean product of neighbours, then the sum without that ramp."""
    z = reference.astype(complex) * secondary.astype(complex).conj()
    with np.errstate(invalid="ignore"):
        unit = np.nan_to_num(z / np.abs(z))
    value = np.full(z.shape, np.nan)
    for y in range(lines // 2, z.shape[0] - lines // 2):
        for x in range(samples // 2, z.shape[1] - samples // 2):
            u = unit[y - lines // 2 : y + lines // 2 + 1, x - samples // 2 : x + samples // 2 + 1]
            if not u.any():
                continue
            turn_down = np.angle(np.vdot(u[:-1], u[1:]))
            turn_across = np.angle(np.vdot(u[:, :-1], u[:, 1:]))
            top, left = y - (azimuth - 1) // 2, x - (range_ - 1) // 2
            window = np.s_[top : top + azimuth, left : left + range_]
            dy, dx = np.mgrid[:azimuth, :range_]
            total = np.sum(z[window] * np.exp(-1j * (turn_down * dy + turn_across * dx)))
            power = [np.sum(np.abs(v[window].astype(complex)) ** 2) for v in (reference, secondary)]
            value[y, x] = abs(total) / np.sqrt(power[0] * power[1])
    return value


@pytest.mark.parametrize(("window", "frequency"), [((2, 7), (5, 15)), ((3, 3), (3, 9)), ((4, 4), (7, 7))])
def test_equals_a_slow_implementation(rng, morocco_sub_swath, window, frequency):
    first, second = pair(rng, morocco_sub_swath("20230904", "IW1"), (24, 48), 0.7)
    second = second * _ramp(first.shape, 0.13, -0.04)
    first[10, 20] = np.nan
    first, second = first.astype(np.complex64), second.astype(np.complex64)
    value = coherence_without_fringes(
        first, second, *window, frequency_lines=frequency[0], frequency_samples=frequency[1]
    )
    np.testing.assert_allclose(value, _slow(first, second, *window, *frequency), atol=1e-5)
    assert np.isnan(value[10, 20])


def test_ramp_is_found_with_its_sign(rng):
    """A noiseless ramp is measured exactly, in turns per line and per sample."""
    first = white(rng, (40, 80))
    down, across = local_frequency(
        first.astype(np.complex64), (first * _ramp(first.shape, 0.11, -0.05).conj()).astype(np.complex64)
    )
    inside = np.isfinite(down)
    assert inside.sum() == (40 - 12) * (80 - 40)
    np.testing.assert_allclose(down[inside], 0.11, atol=1e-6)
    np.testing.assert_allclose(across[inside], -0.05, atol=1e-6)


@pytest.mark.parametrize("true", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("ramp", [(0.1, 0.03), (0.25, -0.08)])
def test_ramps_no_longer_cost_coherence(rng, morocco_sub_swath, true, ramp):
    """With a ramp the plain window loses much; without the local fringe nearly nothing is lost."""
    first, second = pair(rng, morocco_sub_swath("20230904", "IW2"), (120, 400), true)
    turned = (second * _ramp(first.shape, *ramp)).astype(np.complex64)
    first, second = first.astype(np.complex64), second.astype(np.complex64)
    level = np.nanmean(estimate.coherence(first, second, 2, 7)[20:-20, 30:-30])
    spoilt = np.nanmean(estimate.coherence(first, turned, 2, 7)[20:-20, 30:-30])
    mended = np.nanmean(coherence_without_fringes(first, turned)[20:-20, 30:-30])
    assert spoilt < level - 0.04
    assert mended == pytest.approx(level, abs=0.012)


@pytest.mark.parametrize("swath", ["IW1", "IW3"])
def test_decorrelated_ground_is_hardly_raised(rng, morocco_sub_swath, swath):
    """Fitting a ramp to noise adds less than 0.004 to its coherence; a window as small as the boxcar's adds more."""
    first, second = (v.astype(np.complex64) for v in pair(rng, morocco_sub_swath("20230904", swath), (300, 800), 0.0))
    inside = np.s_[20:-20, 30:-30]
    plain = np.nanmean(estimate.coherence(first, second, 2, 7)[inside])
    assert np.nanmean(coherence_without_fringes(first, second)[inside]) - plain < 0.004
    tight = coherence_without_fringes(first, second, frequency_lines=3, frequency_samples=9)
    assert np.nanmean(tight[inside]) - plain > 0.02


def test_blocks_do_not_matter(rng):
    """Any part, given with its rim, has the values of the whole."""
    first, second = white(rng, (60, 140)).astype(np.complex64), white(rng, (60, 140)).astype(np.complex64)
    whole = coherence_without_fringes(first, second)
    part = coherence_without_fringes(first[9:45, 30:110].copy(), second[9:45, 30:110].copy())
    np.testing.assert_allclose(part[6:-6, 20:-20], whole[15:39, 50:90], atol=1e-6)


def test_refuses_even_or_tiny_frequency_windows():
    block = np.ones((20, 60), np.complex64)
    for wrong in ((4, 31), (9, 30), (1, 9)):
        with pytest.raises(OptionError, match="odd numbers"):
            local_frequency(block, block, *wrong)
    with pytest.raises(OptionError, match="at least 2 pixels"):
        coherence_without_fringes(block, block, 1, 1)
