"""The adaptive window against a slow one that tries every cut with masks, and against known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from insar_mining.coherence.builtin.extras.adaptive import adaptive_coherence
from insar_mining.coherence.estimators import estimate
from insar_mining.errors import OptionError

from .speckle import pair


def _bands(lines, columns):
    """Masks of every band of lines, columns and diagonals that holds the middle cell."""
    i, j = np.mgrid[:lines, :columns] - np.array([lines // 2, columns // 2])[:, None, None]
    for along in (i, j, i + j, i - j):
        for low in range(along.min(), 1):
            for high in range(along.max() + 1):
                mask = (along >= low) & (along <= high)
                if not mask.all():
                    yield mask


def _log_likelihood(power, looks):
    """Of cells with one mean, up to what does not depend on the mean; no date without power."""
    return -sum(p.size * looks * np.log(p.sum() / p.size) for p in power)


def _slow(reference, secondary, lines, samples, significance=0.05, least=15, looks_per_sample=0.5):
    """Pixel by pixel: all cuts, best first, until none is significant."""
    columns = samples // 3
    bands = list(_bands(lines, columns))
    threshold = chi2.isf(significance / len(bands), 2)
    height, width = reference.shape
    value, count = np.full((height, width), np.nan), np.zeros((height, width), int)
    for y in range(lines // 2, height - lines // 2):
        for x in range(samples // 2, width - samples // 2):
            rows, cols = slice(y - lines // 2, y + lines // 2 + 1), slice(x - samples // 2, x + samples // 2 + 1)
            r, s = (v[rows, cols].astype(complex).reshape(lines, columns, 3) for v in (reference, secondary))
            power = [np.sum(np.abs(v) ** 2, axis=2) for v in (r, s)]
            kept = np.isfinite(power[0] * power[1])
            if not kept[lines // 2, columns // 2] or kept.sum() * 3 < least:
                continue
            while True:
                whole = _log_likelihood([p[kept] for p in power], 3 * looks_per_sample)
                found = []
                for band in bands:
                    inner, outer = kept & band, kept & ~band
                    if inner.sum() * 3 >= least and outer.any():
                        parts = sum(
                            _log_likelihood([p[m] for p in power], 3 * looks_per_sample) for m in (inner, outer)
                        )
                        found.append((2 * (parts - whole), inner))
                best = max(found, key=lambda f: f[0], default=(0, None))
                if best[0] <= threshold:
                    break
                kept = best[1]
            a, b = r[kept], s[kept]
            value[y, x] = abs(np.vdot(b, a)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real)
            count[y, x] = a.size
    return value, count


def _scene(rng, swath, shape, ground):
    """A pair of coherence and brightness (dB) by kind of ground: `ground` holds indices into both."""
    truth = np.array([0.05, 0.8])[ground]
    bright = 10 ** (np.array([0.0, -6.0])[ground] / 20)
    first, second = pair(rng, swath, shape, truth)
    return (first * bright).astype(np.complex64), (second * bright).astype(np.complex64), truth


@pytest.mark.parametrize("window", [(5, 15), (3, 21), (7, 9)])
def test_equals_a_slow_search_of_all_cuts(rng, morocco_sub_swath, window):
    """Same cuts and same coherence as masks in numpy, over edges, a strip and missing pixels."""
    swath = morocco_sub_swath("20230904", "IW2")
    y, x = np.mgrid[:15, :36]
    first, second, _ = _scene(rng, swath, y.shape, ((x + 2 * y > 34) | (abs(y - 7) < 2)).astype(int))
    first[10, 18] = np.nan
    second[7:9, 28:] = np.nan
    value, count = adaptive_coherence(first, second, *window)
    expected, expected_count = _slow(first, second, *window)
    np.testing.assert_array_equal(count, expected_count)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    assert (count[count > 0] < window[0] * window[1] - 30).any()
    assert (count == window[0] * window[1]).any()


def test_brightness_does_not_matter(rng, morocco_sub_swath):
    """Single precision holds numbers of any size: 1e-7 or 1e7 times as bright, and a target of 50 dB, cut alike."""
    swath = morocco_sub_swath("20230904", "IW2")
    y, x = np.mgrid[:24, :300]
    first, second, _ = _scene(rng, swath, y.shape, (x % 60 < 25).astype(int))
    first[12, 150:156] *= 300
    second[12, 150:156] *= 300
    value, count = adaptive_coherence(first, second)
    piece = np.s_[7:17, 130:180]  # around the target; its rim is worked out by neither
    expected, expected_count = _slow(first[piece], second[piece], 5, 15)
    np.testing.assert_array_equal(count[piece][2:-2, 7:-7], expected_count[2:-2, 7:-7])
    np.testing.assert_allclose(value[piece][2:-2, 7:-7], expected[2:-2, 7:-7], atol=1e-5)
    for scale in (2.0**-23, 2.0**23):
        scaled, scaled_count = adaptive_coherence(first * np.float32(scale), second * np.float32(scale))
        np.testing.assert_array_equal(scaled_count, count)
        np.testing.assert_array_equal(scaled, value)


def test_blocks_do_not_matter(rng, morocco_sub_swath):
    """Any part, given with its rim, has the values of the whole."""
    swath = morocco_sub_swath("20230904", "IW1")
    y, _ = np.mgrid[:60, :120]
    first, second, _ = _scene(rng, swath, y.shape, (y % 20 < 8).astype(int))
    whole = adaptive_coherence(first, second)
    part = adaptive_coherence(first[11:37, 40:91].copy(), second[11:37, 40:91].copy())
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[13:35, 47:84], b[2:-2, 7:-7])
    assert np.isnan(part[0][:2]).all()
    assert np.isnan(part[0][:, :7]).all()


@pytest.mark.parametrize("true", [0.0, 0.5, 0.9])
def test_uniform_ground_is_not_biased_more_than_by_a_boxcar(rng, morocco_sub_swath, true):
    """Cutting where there is nothing to cut neither raises nor lowers coherence."""
    swath = morocco_sub_swath("20230904", "IW2")
    first, second = (v.astype(np.complex64) for v in pair(rng, swath, (200, 500), true))
    cut, count = adaptive_coherence(first, second)
    small, large = estimate.coherence(first, second, 2, 7), estimate.coherence(first, second, 5, 15)
    seen = np.isfinite(cut)
    assert abs(cut[seen].mean() - true) < abs(np.nanmean(small) - true) + 0.003
    assert cut[seen].mean() == pytest.approx(large[seen].mean(), abs=0.004)
    assert (count[seen] < 75).mean() < 0.12


@pytest.mark.parametrize(
    ("name", "worst", "gain"), [("edge", 0.14, 0.10), ("wall of 4 lines", 0.17, 0.15), ("road of 2 lines", 0.18, 0.15)]
)
def test_keeps_edges_walls_and_roads(rng, morocco_sub_swath, name, worst, gain):
    """Coherent (0.8) dark (-6 dB) ground in decorrelated (0.05): nearer to the truth than any boxcar."""
    swath = morocco_sub_swath("20230904", "IW2")
    y, x = np.mgrid[:240, :500]
    ground = {"edge": x % 200 < 100, "wall of 4 lines": y % 40 < 4, "road of 2 lines": y % 40 < 2}[name].astype(int)
    first, second, truth = _scene(rng, swath, y.shape, ground)
    cut, _ = adaptive_coherence(first, second)
    seen = np.isfinite(cut)

    def error(values):
        return float(np.sqrt(np.mean((values - truth)[seen] ** 2)))

    boxcars = {window: estimate.coherence(first, second, *window) for window in ((2, 7), (3, 9), (5, 15))}
    assert error(cut) < worst
    assert error(cut) < error(boxcars[2, 7]) - gain + 0.02
    assert error(cut) < min(error(v) for v in boxcars.values())
    on_it = seen & (ground == 1)
    assert cut[on_it].mean() > boxcars[5, 15][on_it].mean() + (0.01 if name == "edge" else 0.25)


def test_refuses_windows_without_a_middle():
    block = np.ones((20, 40), np.complex64)
    for wrong in ({"lines": 4}, {"samples": 14}, {"samples": 12}, {"significance": 0.0}, {"least_samples": 76}):
        with pytest.raises(OptionError, match=str(next(iter(wrong.values())))):
            adaptive_coherence(block, block, **wrong)
    with pytest.raises(OptionError, match="looks per sample"):
        adaptive_coherence(block, block, looks_per_sample=1.5)
