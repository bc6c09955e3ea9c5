"""Stable ground is found, also under snow; scenes are rejected for the reason that is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from insar_mining.activity import (
    filter_scenes,
    iterate_stable,
    open_stack,
    pixel_statistics,
    scene_table,
    stable_points,
)
from insar_mining.activity.cube.blocks import is_lazy
from insar_mining.activity.cube.kernels import mean_and_sd, pair_sums
from insar_mining.errors import (
    ActivityError,
    FewObservationsWarning,
    OptionError,
    SkippedInputWarning,
    UnsettledWarning,
)

Cubes = Callable[..., xr.DataArray]
Sampler = Callable[..., npt.NDArray[np.float32]]

quiet = pytest.mark.filterwarnings("ignore::insar_mining.errors.FewObservationsWarning")


@pytest.fixture(scope="module")
def mexico_cube(mexico: Path) -> xr.DataArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        return open_stack(mexico, hold_bytes=0)


def literal(values: npt.NDArray[np.float64], mean_min: float = 0.8, std_max: float = 0.2) -> npt.NDArray[np.bool_]:
    """The published rule as one line of numpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return (np.nanmean(values, axis=0) >= mean_min) & (np.nanstd(values, axis=0) <= std_max)


def test_the_published_pass_on_mexico_city_is_numpys(
    mexico_cube: xr.DataArray, mexico_values: npt.NDArray[np.float64]
) -> None:
    stable = stable_points(mexico_cube, method="published")
    np.testing.assert_array_equal(stable.values, literal(mexico_values))
    assert stable.attrs["n_stable"] == 52
    assert stable.dims == ("y", "x")
    assert stable.dtype == bool


def test_the_scene_table_on_mexico_city_is_numpys(
    mexico_cube: xr.DataArray, mexico_values: npt.NDArray[np.float64]
) -> None:
    stable = stable_points(mexico_cube, method="published")
    table = scene_table(mexico_cube, stable)
    points = mexico_values[:, stable.values]
    np.testing.assert_allclose(table["stable_mean"], np.nanmean(points, axis=1), atol=1e-9)
    np.testing.assert_allclose(table["stable_sd"], np.nanstd(points, axis=1), atol=1e-8)
    np.testing.assert_array_equal(table["n_stable"], np.isfinite(points).sum(axis=1))
    np.testing.assert_array_equal(table["kept"], np.nanmean(points, axis=1) >= 0.8)
    assert list(table.columns) == ["pair", "kept", "reason", "stable_mean", "stable_sd", "n_stable"]
    assert table.set_index("pair").loc["20180106_20180412", "reason"] == "stable mean 0.756 < 0.8"
    assert (table.loc[table["kept"], "reason"] == "").all()
    kept = filter_scenes(mexico_cube, stable)
    assert is_lazy(kept)
    assert kept.sizes["pair"] == 23
    assert kept["pair"].values.tolist() == table.loc[table["kept"], "pair"].tolist()
    assert kept.attrs["scenes"].equals(table)


def test_the_iteration_on_mexico_city_settles_on_its_own_rule(
    mexico_cube: xr.DataArray, mexico_values: npt.NDArray[np.float64]
) -> None:
    """What it ends with is what it says: the rule over the kept pairs gives the points, the points give the pairs."""
    stable, kept, table, history = iterate_stable(mexico_cube)
    use = table["kept"].to_numpy()
    assert history["pairs_changed"].tolist()[-1] == 0
    assert len(history) <= 5
    enough = np.isfinite(mexico_values[use]).sum(axis=0) * 2 >= use.sum()
    np.testing.assert_array_equal(stable.values, literal(mexico_values[use]) & enough)
    np.testing.assert_array_equal(use, np.nanmean(mexico_values[:, stable.values], axis=1) >= 0.8)
    assert (kept.sizes["pair"], stable.attrs["n_stable"]) == (20, 87)
    xr.testing.assert_identical(stable_points(mexico_cube), stable)


def snowy(
    sampled: Sampler, share: float, seed: int, pairs: int = 90, stable_d: float = 0.9
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A mine of 32 x 32: a quarter stable, half often dug over, a quarter bushes; and snow in a share of the pairs."""
    generator = np.random.default_rng(seed)
    truth = np.zeros((32, 32), bool)
    truth[:8] = True
    true = np.empty((pairs, 32, 32))
    true[:, :8] = stable_d
    true[:, 8:24] = np.where(generator.random((pairs, 16, 32)) < 0.6, 0.0, 0.8)
    true[:, 24:] = 0.5
    snow = np.zeros(pairs, bool)
    snow[generator.permutation(pairs)[: round(share * pairs)]] = True
    true[snow] = generator.uniform(0.1, 0.4, (int(snow.sum()), 1, 1))
    return sampled(true, 7, generator), truth, snow


@pytest.mark.parametrize("stable_d", [0.9, 0.85])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_stable_ground_is_found_whatever_the_snow(
    cube_of: Cubes, sampled: Sampler, share: float, stable_d: float
) -> None:
    """At least 99 % of the stable ground, nothing else, and exactly the snow scenes rejected."""
    values, truth, snow = snowy(sampled, share, seed=round(100 * share), stable_d=stable_d)
    stable, kept, table, history = iterate_stable(cube_of(values))
    assert (stable.values & truth).sum() >= 0.99 * truth.sum()
    assert not (stable.values & ~truth).any()
    np.testing.assert_array_equal(table["kept"], ~snow)
    assert kept.sizes["pair"] == (~snow).sum()
    assert history["pairs_changed"].iloc[-1] == 0
    if share == 0:
        np.testing.assert_array_equal(stable.values, literal(values.astype(np.float64)))
    if share >= 0.3:
        with pytest.raises(ActivityError, match="no stable point over 90 pairs"):
            stable_points(cube_of(values), method="published")


def test_snow_that_lies_in_one_season_of_one_year_is_found_too(cube_of: Cubes, sampled: Sampler) -> None:
    """Not a random share: the first 30 pairs, in which the mine also stood still."""
    values, truth, _ = snowy(sampled, 0.0, seed=4)
    generator = np.random.default_rng(5)
    still = np.where(truth, 0.9, np.where(np.arange(32)[:, None] < 24, 0.8, 0.5)) * np.ones((45, 1, 1))
    still[:30] = 0.25
    values[:45] = sampled(still, 7, generator)
    stable, _, table, _ = iterate_stable(cube_of(values))
    np.testing.assert_array_equal(table["kept"], np.arange(90) >= 30)
    assert (stable.values & truth).sum() >= 0.99 * truth.sum()
    assert not (stable.values & ~truth).any()


def test_ground_without_stability_gives_none_and_says_what_would(cube_of: Cubes, sampled: Sampler) -> None:
    """Bushes everywhere: chance must not be taken for stable ground, however the pairs are chosen."""
    values = sampled(np.full((60, 24, 24), 0.5), 7, np.random.default_rng(1))
    for method in ("iterated", "published"):
        with pytest.raises(ActivityError, match="no stable point over 60 pairs") as caught:
            stable_points(cube_of(values), method=method)
    best = values.mean(axis=0).argmax()
    assert f"a mean of {values.mean(axis=0).flat[best]:.3f} and an sd of {values.std(axis=0).flat[best]:.3f}" in str(
        caught.value
    )
    expected = int(((values.mean(axis=0) >= 0.6) & (values.std(axis=0) <= 0.2)).sum())
    assert f"there would be {expected} with mean_min=0.6, std_max=0.2" in str(caught.value)


@quiet
def test_bounds_are_inclusive_and_the_sd_is_of_the_population(cube_of: Cubes) -> None:
    """0.5, 0.75, 1 has the mean 0.75 and the population sd sqrt(1/24) = 0.2041 (0.25 with ddof 1)."""
    cube = cube_of(np.array([0.5, 0.75, 1.0]).reshape(3, 1, 1))
    exact = float(np.sqrt(1 / 24))
    assert stable_points(cube, 0.75, exact, method="published").values.all()
    for mean_min, std_max in ((0.7501, exact), (0.75, exact - 1e-4)):
        with pytest.raises(ActivityError):
            stable_points(cube, mean_min, std_max, method="published")
    # 0.7 and 0.9 are a little less in float32; their mean was meant to be 0.8
    assert stable_points(cube_of(np.array([0.7, 0.9]).reshape(2, 1, 1)), method="published").values.all()


@quiet
def test_only_finite_pairs_count_and_enough_of_them_are_needed(cube_of: Cubes) -> None:
    values = np.full((4, 1, 3), np.nan, np.float32)
    values[:, 0, 0] = 0.9
    values[:1, 0, 1] = 0.95
    cube = cube_of(values)
    assert stable_points(cube, method="published").values.tolist() == [[True, True, False]]
    assert stable_points(cube, method="published", min_pairs=2).values.tolist() == [[True, False, False]]
    assert iterate_stable(cube).stable.values.tolist() == [[True, False, False]]
    assert iterate_stable(cube, min_pairs=1).stable.values.tolist() == [[True, True, False]]
    with pytest.raises(ActivityError, match="no pixel has data in 5 of 4 pairs"):
        stable_points(cube, method="published", min_pairs=5)


@quiet
def test_one_pair_only_works(cube_of: Cubes) -> None:
    result = iterate_stable(cube_of([[[0.9, 0.85, 0.3]]]))
    assert result.stable.values.tolist() == [[True, True, False]]
    assert result.kept.sizes["pair"] == 1


def test_reasons_name_the_number_and_the_limit(cube_of: Cubes) -> None:
    values = np.full((4, 1, 12), 0.9, np.float32)
    values[1] = 0.5
    values[2, 0, :6], values[2, 0, 6:] = 1.0, 0.5
    values[3] = np.nan
    stable = cube_of(values)[0].drop_vars("pair").astype(bool).copy(data=np.ones((1, 12), bool))
    table = scene_table(cube_of(values), stable, 0.8, 0.2)
    assert table["reason"].tolist() == [
        "",
        "stable mean 0.500 < 0.8",
        "stable mean 0.750 < 0.8; stable sd 0.250 > 0.2",
        "no stable point has data",
    ]
    assert table["n_stable"].tolist() == [12, 12, 12, 0]


def test_all_scenes_rejected_is_an_error_with_the_best(cube_of: Cubes) -> None:
    cube = cube_of(np.stack([np.full((3, 4), 0.7), np.full((3, 4), 0.6)]))
    stable = cube[0].drop_vars("pair").copy(data=np.ones((3, 4), bool))
    with pytest.raises(ActivityError, match=r"all 2 scenes rejected .*20210104_20210116, has a mean of 0\.700"):
        filter_scenes(cube, stable)
    with pytest.raises(ActivityError, match="no stable point has data in any of them"):
        filter_scenes(cube * np.nan, stable)
    with pytest.raises(ActivityError, match="all 2 scenes rejected"):
        iterate_stable(cube, mean_min=0.5, scene_mean_min=0.8)


def test_scene_limits_may_differ_from_those_of_points(mexico_cube: xr.DataArray) -> None:
    assert iterate_stable(mexico_cube, scene_mean_min=0.7).table["kept"].all()


def test_an_iteration_that_is_cut_short_says_so(mexico_cube: xr.DataArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insar_mining.activity.published.stable.MAX_ITERATIONS", 1)
    with pytest.warns(UnsettledWarning, match="did not settle in 1 iteration"):
        result = iterate_stable(mexico_cube)
    assert result.stable.attrs["settled"] == 0
    assert len(result.history) == 1


def test_few_points_and_few_scenes_are_said(cube_of: Cubes, sampled: Sampler) -> None:
    values = np.full((8, 3, 10), 0.3, np.float32)
    values[:, 0, 0] = 0.95
    with pytest.warns(FewObservationsWarning, match=r"only 1 stable point\(s\)"):
        iterate_stable(cube_of(values))
    values[:, 0] = 0.95
    values[1:, 0] = 0.75
    with pytest.warns(FewObservationsWarning, match="only 1 of 8 scenes"):
        iterate_stable(cube_of(values), 0.7, scene_mean_min=0.9)


def test_results_are_the_same_to_the_bit_for_any_blocks(mexico_cube: xr.DataArray) -> None:
    """Blocks of one pixel, of odd rectangles, of everything; lazy or in memory."""
    part = mexico_cube[:, 20:40, 30:70]
    loaded = part.compute()
    expected = iterate_stable(loaded)
    statistics = pixel_statistics(loaded)
    for cube, pixels in ((loaded, 1), (loaded, 77), (part, 301)):
        found = iterate_stable(cube, block_bytes=4 * 30 * pixels)
        xr.testing.assert_identical(found.stable, expected.stable)
        assert found.table.equals(expected.table)
        assert found.history.equals(expected.history)
        xr.testing.assert_identical(pixel_statistics(cube, block_bytes=4 * 30 * pixels), statistics)


def test_pixel_statistics_are_numpys(mexico_cube: xr.DataArray, mexico_values: npt.NDArray[np.float64]) -> None:
    found = pixel_statistics(mexico_cube)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_allclose(found["mean"], np.nanmean(mexico_values, axis=0), rtol=1e-12)
        np.testing.assert_allclose(found["sd"], np.nanstd(mexico_values, axis=0), rtol=1e-10)
    np.testing.assert_array_equal(found["n_pairs"], np.isfinite(mexico_values).sum(axis=0))


@given(
    arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 200)), elements=st.floats(0, 1, width=32)),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_whole_number_sums_have_the_mean_and_sd_of_numpy(values: npt.NDArray[np.float32], seed: int) -> None:
    """Also of values that hardly differ, where a sum of squares in floating point loses all digits."""
    generator = np.random.default_rng(seed)
    mask = generator.random(values.shape[1]) < 0.7
    mask[0] = True
    close = (0.9 + 1e-6 * values).astype(np.float32)
    for data in (values, close):
        mean, sd = mean_and_sd(pair_sums(data, mask))
        chosen = data[:, mask].astype(np.float64)
        np.testing.assert_allclose(mean, chosen.mean(axis=1), atol=1e-9)
        # the part below 2**-7 is rounded to 2**-31, so that an sd below some 1e-9 is not told from 0
        np.testing.assert_allclose(sd, chosen.std(axis=1), rtol=1e-6, atol=1e-9)


def test_the_callers_cube_is_not_changed(cube_of: Cubes, sampled: Sampler, mexico_cube: xr.DataArray) -> None:
    values, _, _ = snowy(sampled, 0.2, seed=2)
    cube = cube_of(values.copy())
    filter_scenes(cube, stable_points(cube))
    np.testing.assert_array_equal(cube.values, values)
    assert "scenes" not in cube.attrs
    iterate_stable(mexico_cube)
    assert is_lazy(mexico_cube)


def test_wrong_input_is_named(cube_of: Cubes) -> None:
    cube = cube_of(np.full((2, 3, 4), 0.9))
    with pytest.raises(ActivityError, match="dimensions"):
        stable_points(cube.transpose("y", "x", "pair"))
    with pytest.raises(ActivityError, match="empty"):
        stable_points(cube[:0])
    with pytest.raises(ActivityError, match="values from 90 to 90"):
        stable_points(cube * 100)
    with pytest.raises(OptionError, match=r"mean_min=80"):
        stable_points(cube, 80)
    with pytest.raises(OptionError, match="method='literal'"):
        stable_points(cube, method="literal")  # type: ignore[arg-type]
    stable = stable_points(cube)
    with pytest.raises(ActivityError, match="the stable points have the shape"):
        filter_scenes(cube[:, :2], stable)
    with pytest.raises(ActivityError, match="other cells"):
        filter_scenes(cube.assign_coords(x=cube.x + 1), stable)
    with pytest.raises(ActivityError, match="set of stable points is empty"):
        filter_scenes(cube, stable & False)
    with pytest.raises(ActivityError, match="no pixel has any coherence"):
        stable_points(cube * np.nan)
