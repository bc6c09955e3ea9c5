"""The law of sample coherence against a sum that shares no code with it, and against sampled windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from insar_mining.coherence.estimators.estimate import coherence
from insar_mining.coherence.estimators.statistics import (
    coherence_sd,
    expected_coherence,
    likelihood_interval,
    sample_cdf,
    sample_pdf,
    unbias,
)
from insar_mining.errors import OptionError

# mean +- sd of the sample coherence for six true coherences
TRUE = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
TOUZI = {
    4.5: ((0.430, 0.489, 0.591, 0.732, 0.814, 0.904), (0.194, 0.202, 0.198, 0.162, 0.126, 0.074)),
    7: ((0.341, 0.423, 0.552, 0.717, 0.808, 0.902), (0.163, 0.179, 0.175, 0.135, 0.101, 0.056)),
    14: ((0.239, 0.359, 0.523, 0.707, 0.803, 0.901), (0.120, 0.145, 0.135, 0.097, 0.070, 0.038)),
    30: ((0.162, 0.325, 0.510, 0.703, 0.801, 0.900), (0.083, 0.109, 0.095, 0.066, 0.047, 0.025)),
}


def mixture_cdf(sample: float, true: float, looks: float, terms: int = 6000) -> float:
    """The square of a sample is Beta(k + 1, L - 1) with k negative binomial: term by term the hypergeometric series."""
    k = np.arange(terms)
    return float((stats.nbinom.pmf(k, looks, 1 - true**2) * special.betainc(k + 1, looks - 1, sample**2)).sum())


def mixture_moment(power: int, true: float, looks: float, terms: int = 6000) -> float:
    k = np.arange(terms)
    of_beta = np.exp(special.betaln(k + 1 + power / 2, looks - 1) - special.betaln(k + 1, looks - 1))
    return float((stats.nbinom.pmf(k, looks, 1 - true**2) * of_beta).sum())


@pytest.mark.parametrize("looks", TOUZI)
def test_table_of_touzi(looks: float) -> None:
    mean, sd = TOUZI[looks]
    np.testing.assert_allclose(expected_coherence(TRUE, looks), mean, atol=6e-4)
    np.testing.assert_allclose(coherence_sd(TRUE, looks), sd, atol=6e-4)


@pytest.mark.parametrize("looks", [7, 14, 30])
def test_table_of_touzi_by_windows_of_the_estimator(looks: int) -> None:
    """Complex samples through the engine's own window: 1 x L samples, every L-th window without common samples."""
    generator = np.random.default_rng(looks)
    rows, windows = 24, 250
    shape = rows, windows * looks
    mean, sd = TOUZI[looks]
    for place, true in enumerate(TRUE):
        first, other = (
            (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)
            for _ in range(2)
        )
        second = (true * first + np.sqrt(1 - true**2) * other).astype(np.complex64)
        found = coherence(first, second, 1, looks)[:, (looks - 1) // 2 :: looks]
        found = found[np.isfinite(found)]
        assert found.size > 0.9 * rows * windows
        assert found.mean() == pytest.approx(mean[place], abs=4.5 * sd[place] / np.sqrt(found.size) + 6e-4)
        assert found.std() == pytest.approx(sd[place], rel=0.06)


@pytest.mark.parametrize("looks", [1.5, 2.0, 4.5, 7.3, 14, 30, 100])
@pytest.mark.parametrize("true", [0.0, 1e-3, 0.2, 0.6, 0.9, 0.98])
def test_probability_and_moments_follow_the_series(looks: float, true: float) -> None:
    for sample in (0.01, 0.3, 0.7, true, 0.95, 0.999):
        assert float(sample_cdf(sample, true, looks)) == pytest.approx(mixture_cdf(sample, true, looks), abs=1e-9)
    first, second = (mixture_moment(power, true, looks) for power in (1, 2))
    assert float(expected_coherence(true, looks)) == pytest.approx(first, abs=1e-9)
    assert float(coherence_sd(true, looks)) == pytest.approx(np.sqrt(second - first**2), abs=1e-7)


@pytest.mark.parametrize("looks", [2.0, 7.0, 30.0])
def test_density_is_the_slope_of_the_probability(looks: float) -> None:
    for true in (0.0, 0.5, 0.9):
        for low, high in ((0.05, 0.4), (0.4, 0.8), (0.8, 0.97)):
            area, _ = integrate.quad(lambda d, true=true: float(sample_pdf(d, true, looks)), low, high)
            slope = mixture_cdf(high, true, looks) - mixture_cdf(low, true, looks)
            assert area == pytest.approx(slope, abs=1e-8)
    assert sample_pdf([-0.1, 1.1], 0.5, looks).tolist() == [0.0, 0.0]


def test_expectation_of_decorrelated_ground_is_a_ratio_of_gammas() -> None:
    looks = np.array([1.5, 2.7, 7.0, 30.0, 400.0])
    gammas = np.exp(special.gammaln(looks) + special.gammaln(1.5) - special.gammaln(looks + 0.5))
    np.testing.assert_allclose(expected_coherence(0.0, looks), gammas, rtol=1e-9)


@pytest.mark.parametrize("looks", [1.5, 4.5, 7.0, 30.0])
def test_unbias_inverts_the_series(looks: float) -> None:
    true = np.array([0.0, 0.01, 0.04, 0.06, 0.2, 0.5, 0.8, 0.97])
    mean = np.array([mixture_moment(1, D, looks) for D in true])
    found = unbias(mean + 1e-12, looks)
    np.testing.assert_allclose(found.true, true, atol=1e-4)
    assert not found.below_floor[1:].any()


def test_unbias_is_one_sided_below_the_floor_and_keeps_nan() -> None:
    found = unbias([0.2, 0.3407, 0.35, 1.0, np.nan], 7)
    assert found.below_floor.tolist() == [True, True, False, False, False]
    assert found.true[:2].tolist() == [0.0, 0.0]
    assert found.true[3] == pytest.approx(1.0)
    assert np.isnan(found.true[4])


def test_inverse_of_a_mean_is_unbiased_where_the_mean_of_inverses_is_not() -> None:
    """Forty windows of ground of coherence 0.2: the mean first, then its inverse."""
    generator = np.random.default_rng(3)
    squared = stats.beta.rvs(1 + stats.nbinom.rvs(7, 1 - 0.04, size=(500, 400), random_state=generator), 6,
                             random_state=generator)  # fmt: skip
    sample = np.sqrt(squared)
    after = float(unbias(sample.mean(), 7).true)
    before = float(unbias(sample, 7).true.mean())
    assert after == pytest.approx(0.2, abs=0.01)
    assert abs(before - 0.2) > 0.02


@pytest.mark.parametrize("looks", [4.5, 7.0, 14.0, 30.0])
def test_likelihood_interval_holds_the_truth(looks: float) -> None:
    edges = np.linspace(0.0, 1.0, 251)
    middle = (edges[1:] + edges[:-1]) / 2
    low, high = likelihood_interval(middle, looks, 0.95)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) >= 0).all()
    assert (low[middle < expected_coherence(0.0, looks)] == 0).all()
    for true in (0.0, 0.2, 0.5, 0.7, 0.9):
        chance = np.diff([mixture_cdf(edge, true, looks, 400) for edge in edges])
        held = chance[(low <= true) & (true <= high)].sum()
        assert 0.93 <= held <= 0.98


def test_likelihood_interval_against_a_search_of_the_likelihood() -> None:
    sample, looks = 0.62, 7.0
    grid = np.linspace(0.0, 0.999, 9991)
    log = np.log(sample_pdf(sample, grid, looks))
    held = grid[2 * (log.max() - log) <= stats.chi2.ppf(0.9, 1)]
    low, high = likelihood_interval([sample], looks, 0.9)
    assert (float(low[0]), float(high[0])) == (pytest.approx(held[0], abs=2e-3), pytest.approx(held[-1], abs=2e-3))


@pytest.mark.parametrize(("true", "looks"), [(1.2, 7), (-0.1, 7), (0.5, 1.0), (0.5, 500)])
def test_what_no_window_has_is_refused(true: float, looks: float) -> None:
    with pytest.raises(OptionError):
        expected_coherence(true, looks)


def test_series_of_destroyed_pairs() -> None:
    """Annual NDAI with k of 30 pairs destroyed, 7 looks; the mean over samples, integrated over their density."""
    edges = np.linspace(0.0, 1.0, 501)
    middle = (edges[1:] + edges[:-1]) / 2
    chance = np.diff([mixture_cdf(edge, 0.0, 7, 2) for edge in edges])
    of_mean = float(((0.9 - middle) / (0.9 + middle) * chance).sum())
    for destroyed, published in ((1, 0.016), (3, 0.048), (6, 0.095), (10, 0.159), (15, 0.238), (30, 0.475)):
        assert destroyed / 30 * of_mean == pytest.approx(published, abs=6e-4)
