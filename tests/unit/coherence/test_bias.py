"""Corrected coherence, its error and its interval, against simulated speckle of known coherence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

import insar_mining
from insar_mining.coherence.builtin.extras.bias import correct_map, corrected_mean, single_value_bias
from insar_mining.coherence.estimators.looks import window_looks
from insar_mining.coherence.estimators.statistics import expected_coherence
from insar_mining.errors import OptionError

from .speckle import pair, separate_windows, white

LIMIT = {0.0: 0.07, 0.3: 0.02, 0.5: 0.02, 0.9: 0.02}


def _windows(rng, swath, true, shape=(640, 1400)):
    return separate_windows(*pair(rng, swath, shape, true), 2, 7)


@pytest.mark.parametrize("true", LIMIT)
@pytest.mark.parametrize("name", ["IW1", "IW3"])
def test_mean_first_then_inversion(rng, morocco_sub_swath, name, true):
    """2 x 7 windows over speckle of the real spectra: the corrected mean is the truth."""
    swath = morocco_sub_swath("20230904", name)
    found = corrected_mean(_windows(rng, swath, true), window_looks(swath, 2, 7))
    assert found.windows == 64000
    assert found.coherence == pytest.approx(true, abs=LIMIT[true])
    assert found.low <= found.coherence <= found.high


@pytest.mark.parametrize("true", LIMIT)
@pytest.mark.parametrize("name", ["IW1", "IW3"])
def test_means_of_a_hundred_windows_scatter_around_the_truth(rng, morocco_sub_swath, name, true):
    """Hundred windows at a time, 640 times: the mean of the results, and intervals that hold the truth.

    At truth 0 results cannot scatter below it, and their mean is what the noise of a hundred windows leaves.
    """
    swath = morocco_sub_swath("20230904", name)
    looks = window_looks(swath, 2, 7)
    groups = _windows(rng, swath, true).ravel().reshape(640, 100)
    found = [corrected_mean(group, looks) for group in groups]
    assert {f.windows for f in found} == {100}
    results = np.array([f.coherence for f in found])
    assert results.mean() == pytest.approx(true, abs=LIMIT[true])
    assert results.std() < {0.0: 0.07, 0.3: 0.045, 0.5: 0.03, 0.9: 0.008}[true]  # of one result
    assert np.mean([f.low <= true <= f.high for f in found]) > 0.9


def test_mean_of_corrected_cells_is_wrong(rng, morocco_sub_swath):
    """What must not be done: correcting cells and averaging them leaves more than twice the error allowed."""
    swath = morocco_sub_swath("20230904", "IW1")
    cells = correct_map(_windows(rng, swath, 0.0).astype(np.float32), window_looks(swath, 2, 7))
    assert cells.coherence.mean() > 0.14


@pytest.mark.parametrize("true", [0.0, 0.2, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("name", ["IW1", "IW3"])
def test_interval_covers_the_truth(rng, morocco_sub_swath, name, true):
    """At least 93 % of single 2 x 7 windows over speckle of the real spectra."""
    swath = morocco_sub_swath("20230904", name)
    found = correct_map(_windows(rng, swath, true, (240, 1400)).astype(np.float32), window_looks(swath, 2, 7))
    assert np.mean((found.low <= true) & (true <= found.high)) >= 0.93
    if true == 0:
        assert (found.low == 0).mean() > 0.93


@pytest.mark.parametrize("true", [0.0, 0.3, 0.6, 0.9])
def test_error_of_single_windows(rng, true):
    """Bias and standard error of the tables against windows of 9 independent samples."""
    first, fresh = white(rng, (1, 9 * 40000)), white(rng, (1, 9 * 40000))
    values = separate_windows(first, true * first + np.sqrt(1 - true**2) * fresh, 1, 9).ravel()
    found = correct_map(values.astype(np.float32), 9.0)
    raw, corrected = single_value_bias(true, 9.0)
    spread = 4 / np.sqrt(values.size)
    assert values.mean() - true == pytest.approx(float(raw), abs=spread * values.std())
    assert found.coherence.mean() - true == pytest.approx(float(corrected), abs=spread * found.coherence.std() + 1e-3)
    error = np.sqrt(np.mean((found.coherence - true) ** 2))
    at_truth = correct_map(np.array([expected_coherence(true, 9.0) + 1e-7], np.float32), 9.0)
    assert at_truth.standard_error[0] == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize("looks", [4.5, 7.85, 30.0])
def test_cells_are_the_inverse_of_the_expectation(looks):
    """Table against root finding, also close to the floor where the inverse rises like a root."""
    floor = float(expected_coherence(0.0, looks))
    sample = np.concatenate([[floor + 1e-5, floor + 3e-4], np.linspace(floor + 0.003, 0.99, 9)]).astype(np.float32)
    true = [brentq(lambda t, d=d: float(expected_coherence(t, looks)) - d, 0, 1) for d in sample.astype(float)]
    found = correct_map(sample, looks)
    np.testing.assert_allclose(found.coherence, true, atol=2e-4)
    assert (found.low <= found.coherence).all()
    assert (found.coherence <= found.high + 2e-3).all()


def test_floor_nodata_and_shape():
    """Below the floor 0, NaN where there is no data, and the input is left alone."""
    values = np.array([[0.0, 0.2, np.nan], [0.5, 0.9, 1.0]], np.float32)
    before = values.copy()
    found = correct_map(values, 7.0)
    np.testing.assert_array_equal(values, before)
    for band in found:
        assert band.shape == (2, 3)
        assert band.dtype == np.float32
        assert np.isnan(band[0, 2])
    assert found.coherence[0, :2].tolist() == [0.0, 0.0]
    assert found.low[0, :2].tolist() == [0.0, 0.0]
    assert found.coherence[1, 2] == 1.0
    assert 0.85 < found.coherence[1, 1] < 0.9
    assert found.low[1, 1] > 0.6


def test_the_mean_is_found_where_a_user_looks():
    assert insar_mining.corrected_mean is corrected_mean


def test_refuses_what_is_no_coherence():
    with pytest.raises(OptionError, match="coherence outside 0"):
        correct_map(np.array([0.5, 1.5], np.float32), 7.0)
    with pytest.raises(OptionError, match="looks"):
        correct_map(np.array([0.5], np.float32), 1.0)
    with pytest.raises(OptionError, match="level"):
        corrected_mean([0.5, 0.6], 7.0, level=95)
    with pytest.raises(OptionError, match="at least 2"):
        corrected_mean([0.5, np.nan], 7.0)
