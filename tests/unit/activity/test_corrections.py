"""What span and baseline took is found again, on simulated ground of known losses and on the real stack."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from scipy.optimize import curve_fit

from insar_mining.activity import (
    baseline_by_class,
    decay_by_class,
    fit_baseline,
    fit_decay,
    ndai,
    open_stack,
    to_span,
    without_baseline_loss,
)
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError, SkippedInputWarning

Cubes = Callable[..., xr.DataArray]
Sampler = Callable[..., npt.NDArray[np.float32]]


def curve(t: npt.NDArray[np.float64], initial: float, lasting: float, tau: float) -> npt.NDArray[np.float64]:
    return initial * (lasting + (1 - lasting) * np.exp(-t / tau))


@pytest.fixture(scope="module")
def mexico_cube(mexico: Path) -> xr.DataArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        return open_stack(mexico, hold_bytes=0)


def test_an_exact_decay_is_found_exactly() -> None:
    t = np.array([12, 12, 24, 36, 60, 96, 132.0])
    fit = fit_decay(t, 0.3 + curve(t, 0.6, 0.4, 35.0), floor=0.3)
    assert (fit.initial, fit.lasting, fit.tau_days) == pytest.approx((0.9, 0.4, 35.0), rel=1e-4)
    assert fit.residual_sd < 1e-6
    np.testing.assert_allclose(fit.expected(t), 0.3 + curve(t, 0.6, 0.4, 35.0), atol=1e-6)
    assert (fit.n_pairs, fit.spans_days) == (7, (12, 132))


def test_errors_of_the_fit_are_its_scatter(campaign: Callable[[int], int]) -> None:
    rng = np.random.default_rng(7)
    t = np.repeat([6, 12, 24, 36, 48, 72, 96, 132.0], 6)
    fits = [fit_decay(t, curve(t, 0.8, 0.5, 30.0) + rng.normal(0, 0.01, t.size)) for _ in range(campaign(1000))]
    for name, error, truth in (
        ("initial", "initial_sd", 0.8),
        ("lasting", "lasting_sd", 0.5),
        ("tau_days", "tau_sd_days", 30.0),
    ):
        found = np.array([getattr(fit, name) for fit in fits])
        said = np.array([getattr(fit, error) for fit in fits])
        assert np.median(said) == pytest.approx(found.std(), rel=0.3)
        inside = np.mean(np.abs(found - truth) <= 2 * said)
        assert inside >= 0.88, name


def test_two_spans_leave_nothing_for_a_lasting_part() -> None:
    t = np.array([12, 12, 12, 24, 24.0])
    fit = fit_decay(t, 0.34 + curve(t, 0.5, 0.0, 80.0), floor=0.34)
    assert (fit.lasting, fit.tau_days) == pytest.approx((0.0, 80.0), rel=1e-4)
    assert np.isnan(fit.lasting_sd)
    assert fit.share(24) / fit.share(12) == pytest.approx(np.exp(-12 / 80), rel=1e-5)


def test_the_decay_of_mexico_city_is_that_of_another_solver(
    mexico_cube: xr.DataArray, mexico_values: npt.NDArray[np.float64]
) -> None:
    """Thirty real pairs of 12 to 132 days: scipy's curve_fit on numpy's means, from another start."""
    everywhere = mexico_cube[0].drop_vars("pair").copy(data=np.ones(mexico_cube.shape[1:], bool))
    fit = decay_by_class(mexico_cube, everywhere)[1]
    means = np.nanmean(mexico_values, axis=(1, 2))
    days = mexico_cube["days"].values.astype(float)
    theirs, covariance = curve_fit(curve, days, means, p0=(0.7, 0.5, 20.0))
    assert (fit.initial, fit.lasting, fit.tau_days) == pytest.approx(tuple(theirs), rel=1e-3)
    errors = (fit.initial_sd, fit.lasting_sd, fit.tau_sd_days)
    assert errors == pytest.approx(tuple(np.sqrt(np.diag(covariance))), rel=0.02)
    assert fit.spans_days == (12, 132)
    # what shared/data tells of the stack: 0.644 at 12 days, 0.551 at 61 to 132
    assert fit.expected(12) == pytest.approx(0.644, abs=0.02)
    assert fit.expected(days[days > 60]).mean() == pytest.approx(0.551, abs=0.01)
    for block in (40_000, 10**9):
        assert decay_by_class(mexico_cube, everywhere, block_bytes=block)[1] == fit


def two_grounds(cube_of: Cubes, seed: int, looks: int, sampled: Sampler) -> tuple[xr.DataArray, xr.DataArray]:
    """Rock (class 0) and bushes (class 1) in a series of 12-day pairs with 24-day ones between, and a pit (-1)."""
    generator = np.random.default_rng(seed)
    days = np.where(np.arange(40) % 5 == 4, 24, 12)
    true = np.empty((40, 30, 40))
    true[:, :10] = (0.95 * np.exp(-days / 600))[:, None, None]
    true[:, 10:20] = (0.85 * np.exp(-days / 60))[:, None, None]
    true[:, 20:] = 0.0
    cube = cube_of(sampled(true, looks, generator)).assign_coords(days=("pair", days))
    classes = np.repeat([0, 1, -1], 10)[:, None] * np.ones((1, 40), int)
    return cube, cube[0].drop_vars("pair").copy(data=classes)


def test_pairs_of_24_days_come_to_the_level_of_12_class_by_class(cube_of: Cubes, sampled: Sampler) -> None:
    cube, classes = two_grounds(cube_of, 3, 30, sampled)
    long = cube["days"].values == 24
    corrected = to_span(cube, decay_by_class(cube, classes), classes)
    before, after = cube.values, corrected.values
    for number, rows in enumerate((slice(0, 10), slice(10, 20))):
        gap = before[long, rows].mean() - before[~long, rows].mean()
        left = after[long, rows].mean() - after[~long, rows].mean()
        assert gap < (-0.01, -0.1)[number]
        assert abs(left) < 0.004
    # pairs of 12 days, and ground of no class, stay as they are to the bit
    np.testing.assert_array_equal(after[~long], before[~long])
    np.testing.assert_array_equal(after[:, 20:], before[:, 20:])
    assert corrected.attrs["brought_to_days"] == 12
    assert corrected["days"].values.tolist() == cube["days"].values.tolist()
    assert after.max() <= 1


def test_worked_ground_is_not_given_coherence_back(cube_of: Cubes, sampled: Sampler) -> None:
    """With the floor of 7 looks, ground without coherence nearly keeps its level; without a floor it does not."""
    generator = np.random.default_rng(8)
    days = np.tile([12, 24], 20)
    true = np.zeros((40, 20, 40))
    true[:, :10] = (0.9 * np.exp(-days / 60))[:, None, None]
    cube = cube_of(sampled(true, 7, generator)).assign_coords(days=("pair", days))
    ground = cube[0].drop_vars("pair").copy(data=np.arange(20)[:, None] * np.ones(40) < 10)
    fit = decay_by_class(cube, ground, floor=0.341)
    corrected = to_span(cube, fit)
    worked = corrected.values[days == 24, 10:].mean() - cube.values[days == 24, 10:].mean()
    stable = corrected.values[days == 24, :10].mean() - cube.values[days == 24, :10].mean()
    plain = to_span(cube, decay_by_class(cube, ground)).values[days == 24, 10:].mean()
    # only what scatters above the floor is lifted with the rest
    assert 0 < worked < 0.03 < 0.1 < stable
    assert plain - cube.values[days == 24, 10:].mean() > 2 * worked


def test_the_loss_with_the_baseline_is_that_of_a_face_unknown_to_the_elevation_model(
    cube_of: Cubes, sampled: Sampler
) -> None:
    """Per class: 0.974, 0.941, 0.842 of the coherence at 100, 150, 250 m on 37 degrees, nothing on flat ground."""
    generator = np.random.default_rng(4)
    baseline = generator.uniform(-250, 250, 60)
    left = np.interp(np.abs(baseline), [0, 100, 150, 250], [1.0, 0.974, 0.941, 0.842])
    true = np.full((60, 20, 40), 0.9)
    true[:, 10:] *= left[:, None, None]
    cube = cube_of(sampled(true, 14, generator)).assign_coords(perpendicular_baseline_m=("pair", baseline))
    slope = cube[0].drop_vars("pair").copy(data=np.repeat([0, 1], 10)[:, None] * np.ones((1, 40), int))
    loss = baseline_by_class(cube, slope)
    assert loss[0].loss_per_m2 < 1e-7
    np.testing.assert_allclose(loss[1].factor([100, 150, 250]), [0.974, 0.941, 0.842], atol=0.01)
    corrected = without_baseline_loss(cube, loss, slope)
    steep = corrected.values[:, 10:].mean(axis=(1, 2))
    far = np.abs(baseline) > 150
    assert cube.values[far, 10:].mean() - cube.values[~far, 10:].mean() < -0.04
    assert steep[far].mean() == pytest.approx(steep[~far].mean(), abs=0.004)
    # and so the steep face no longer looks worked in pairs of long baselines
    for values, least, most in ((cube, 0.02, 0.1), (corrected, -0.003, 0.003)):
        index = ndai(values, slope == 0).values[:, 10:].mean(axis=(1, 2))
        assert least < index[far].mean() - index[~far].mean() < most


def test_the_error_of_the_loss_is_its_scatter(campaign: Callable[[int], int]) -> None:
    rng = np.random.default_rng(9)
    b = rng.uniform(-200, 200, 90)
    days = np.tile([12, 24, 12], 30)
    share = np.exp(-days / 100)
    fits = [
        fit_baseline(b, 0.3 + 0.5 * share * np.exp(-2.7e-6 * b**2 + rng.normal(0, 0.02, 90)), left=share, floor=0.3)
        for _ in range(campaign(1000))
    ]
    found = np.array([fit.loss_per_m2 for fit in fits])
    assert found.mean() == pytest.approx(2.7e-6, abs=4 * found.std() / np.sqrt(found.size))
    assert np.mean([fit.loss_sd_per_m2 for fit in fits]) == pytest.approx(found.std(), rel=0.25)
    assert np.mean([fit.level for fit in fits]) == pytest.approx(0.5, abs=0.002)


def test_corrected_cubes_are_the_same_in_any_part_and_from_any_blocks(cube_of: Cubes, sampled: Sampler) -> None:
    cube, classes = two_grounds(cube_of, 5, 7, sampled)
    kept = cube.values.copy()
    corrected = to_span(cube, decay_by_class(cube, classes), classes)
    whole = corrected.values
    np.testing.assert_array_equal(corrected[3:30:4, 5:25:3, ::-1].values, whole[3:30:4, 5:25:3, ::-1])
    np.testing.assert_array_equal(corrected[7].values, whole[7])
    chunked = cube.chunk({"y": 7, "x": 11})
    np.testing.assert_array_equal(to_span(chunked, decay_by_class(chunked, classes), classes).values, whole)
    np.testing.assert_array_equal(cube.values, kept)


def test_no_data_stays_no_data(cube_of: Cubes, sampled: Sampler) -> None:
    cube, classes = two_grounds(cube_of, 6, 7, sampled)
    cube[:, 3, 4] = np.nan
    cube[9] = np.nan
    corrected = to_span(cube, decay_by_class(cube, classes), classes).values
    np.testing.assert_array_equal(np.isnan(corrected), np.isnan(cube.values))


def test_what_cannot_be_fitted_says_why(cube_of: Cubes) -> None:
    with pytest.raises(ActivityError, match=r"4 pairs of two spans or more; there are 5 pairs of 12 days"):
        fit_decay([12] * 5, [0.5] * 5)
    with pytest.raises(ActivityError, match="there are 0 pairs of no days"):
        fit_decay([12, 24], [np.nan, np.nan])
    with pytest.raises(ActivityError, match=r"above the floor of 0\.6"):
        fit_decay([12, 12, 24, 24], [0.5] * 4, floor=0.6)
    with pytest.raises(OptionError, match="floor=1"):
        fit_decay([12, 12, 24, 24], [0.5] * 4, floor=1)
    with pytest.warns(FewObservationsWarning, match="no decay is seen between spans of 12 and 36 days"):
        assert fit_decay([12, 24, 36, 36], [0.5, 0.52, 0.55, 0.53]).share(36) == pytest.approx(1, abs=0.02)
    with pytest.raises(ActivityError, match="0 of 4 pairs have a baseline"):
        fit_baseline([np.nan] * 4, [0.5] * 4)
    cube = cube_of(np.full((5, 3, 3), 0.5))
    ones = cube[0].drop_vars("pair").astype(bool)
    with pytest.raises(ActivityError, match="class 1: a decay needs"):
        decay_by_class(cube, ones)
    with pytest.raises(ActivityError, match="'perpendicular_baseline_m'"):
        baseline_by_class(cube, ones)
    with pytest.raises(ActivityError, match="no cell belongs to any class"):
        decay_by_class(cube, ones & False)
    with pytest.raises(ActivityError, match="the classes have the shape"):
        decay_by_class(cube, ones[:2])
    fits = {0: fit_decay([12, 12, 24, 24], [0.5, 0.5, 0.4, 0.4]), 1: fit_decay([12, 12, 24, 24], [0.5, 0.5, 0.4, 0.4])}
    with pytest.raises(OptionError, match="fits of 2 classes"):
        to_span(cube, fits)
    some = cube.assign_coords(perpendicular_baseline_m=("pair", [10.0, np.nan, 20.0, 100.0, 5.0]))
    with pytest.raises(ActivityError, match="1 of 5 pairs have no perpendicular baseline"):
        without_baseline_loss(some, baseline_by_class(some, ones))
