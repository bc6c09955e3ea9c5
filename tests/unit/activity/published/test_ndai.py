"""NDAI per pair and year: the formula, its years, its gaps, and that blocks do not matter."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1

from insar_mining.activity import annual_ndai, from_zarr, iterate_stable, open_stack, stable_points, to_zarr
from insar_mining.activity.cube.blocks import is_lazy, map_blocks
from insar_mining.activity.published.ndai import ndai
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError, SkippedInputWarning

Cubes = Callable[..., xr.DataArray]


@pytest.fixture(scope="module")
def mexico_cube(mexico: Path) -> xr.DataArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        return open_stack(mexico, hold_bytes=0)


def stable_like(cube: xr.DataArray, mask: npt.ArrayLike) -> xr.DataArray:
    return xr.DataArray(np.asarray(mask, bool), dims=("y", "x"), coords={"y": cube.y, "x": cube.x})


def test_mexico_city_is_the_formula_in_numpy(mexico_cube: xr.DataArray, mexico_values: npt.NDArray[np.float64]) -> None:
    stable = stable_points(mexico_cube, method="published")
    index = ndai(mexico_cube, stable)
    rho = np.nanmean(mexico_values[:, stable.values], axis=1)[:, None, None]
    expected = (rho - mexico_values) / (rho + mexico_values)
    assert is_lazy(index)
    assert index.dtype == np.float32
    np.testing.assert_allclose(index.values, expected, atol=2e-7)
    np.testing.assert_allclose(index["rho_stable"], rho.ravel(), atol=1e-9)
    annual = annual_ndai(index)
    assert annual["year"].values.tolist() == [2018]
    assert annual["pairs_in_year"].values.tolist() == [30]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_allclose(annual.values[0], np.nanmean(expected, axis=0), atol=2e-7)
    np.testing.assert_array_equal(annual["n_pairs"].values[0], np.isfinite(expected).sum(axis=0))
    inside = annual.values[0][stable.values].astype(float)
    assert annual.attrs["stable_ndai_mean"] == pytest.approx(inside.mean())
    assert annual.attrs["stable_ndai_sd"] == pytest.approx(inside.std())
    assert annual.attrs["stable_ndai_count"] == 52


def test_negative_values_are_kept(cube_of: Cubes) -> None:
    cube = cube_of([[[0.8, 1.0, 0.2]]])
    index = ndai(cube, stable_like(cube, [[True, False, False]]))
    np.testing.assert_allclose(index.values, [[[0, -0.2 / 1.8, 0.6]]], atol=1e-7)


def test_nan_goes_no_further_than_it_must(cube_of: Cubes) -> None:
    """A gap is a gap of that pixel and pair; the annual mean is over what there is, and says how much."""
    values = np.full((3, 1, 4), 0.9)
    values[:, 0, 1] = 0.3
    values[0, 0, 1] = np.nan  # one gap in active ground
    values[1, 0, 3] = np.nan  # a gap in one of two stable points
    values[:, 0, 2] = np.nan  # nothing at all
    cube = cube_of(values)
    index = ndai(cube, stable_like(cube, [[True, False, False, True]]))
    np.testing.assert_array_equal(np.isnan(index.values), np.isnan(cube.values))
    annual = annual_ndai(index)
    np.testing.assert_allclose(annual.values[0, 0], [0, 0.5, np.nan, 0], atol=1e-7)
    assert annual["n_pairs"].values[0, 0].tolist() == [3, 2, 0, 2]
    few = annual_ndai(index, min_pairs=3)
    np.testing.assert_array_equal(np.isnan(few.values[0, 0]), [False, True, True, True])


def test_a_pair_without_stable_data_is_said_and_left_out(cube_of: Cubes) -> None:
    values = np.full((3, 1, 3), 0.9)
    values[:, 0, 1] = 0.3
    values[1, 0, 0] = np.nan
    cube = cube_of(values)
    with pytest.warns(FewObservationsWarning, match="1 pair.* 20210116_20210128"):
        index = ndai(cube, stable_like(cube, [[True, False, False]]))
    assert np.isnan(index.values[1]).all()
    assert annual_ndai(index)["n_pairs"].values[0, 0].tolist() == [2, 2, 2]


def test_both_coherences_zero_have_no_index(cube_of: Cubes) -> None:
    cube = cube_of([[[0.0, 0.0]]])
    assert np.isnan(ndai(cube, stable_like(cube, [[True, False]])).values).all()


def test_years_are_those_of_middle_dates(cube_of: Cubes) -> None:
    """Pairs of 12 days from 2020-12-13 on: the second is in the middle on 31 December, the third in January."""
    cube = cube_of(np.full((4, 1, 2), 0.9), start="2020-12-13")
    assert cube["pair"].values[1] == "20201225_20210106"
    annual = annual_ndai(ndai(cube, stable_like(cube, [[True, True]])))
    assert annual["year"].values.tolist() == [2020, 2021]
    assert annual["pairs_in_year"].values.tolist() == [2, 2]
    # and the same when only the dates are known
    bare = annual_ndai(ndai(cube.drop_vars("year"), stable_like(cube, [[True, True]])))
    xr.testing.assert_identical(bare, annual)
    with pytest.raises(ActivityError, match="no dates"):
        annual_ndai(ndai(cube.drop_vars(["year", "reference_date"]), stable_like(cube, [[True, True]])))


def test_a_year_without_a_pair_is_not_made_up(cube_of: Cubes) -> None:
    cube = cube_of(np.full((61, 1, 2), 0.9), start="2020-01-10")
    gap = cube.isel(pair=np.flatnonzero(cube["year"].values != 2021))
    annual = annual_ndai(ndai(gap, stable_like(cube, [[True, True]])))
    assert annual["year"].values.tolist() == [2020, 2022]


def test_a_year_with_too_few_pairs_is_said(cube_of: Cubes) -> None:
    cube = cube_of(np.full((4, 1, 2), 0.9), start="2020-12-20")
    index = ndai(cube, stable_like(cube, [[True, True]]))
    with pytest.warns(FewObservationsWarning, match=r"2020: no pixel has 2 pair\(s\) or more"):
        annual = annual_ndai(index, min_pairs=2)
    assert np.isnan(annual.sel(year=2020)).all()
    assert np.isfinite(annual.sel(year=2021)).all()


def test_annual_is_the_mean_of_ndai_and_not_ndai_of_the_mean(
    cube_of: Cubes, sampled: Callable[..., npt.NDArray[np.float32]]
) -> None:
    """Fully decorrelated ground beside 0.9 with 7 looks: 0.476 by integration, where NDAI of the mean is 0.451."""
    looks = 7

    def density(d: float) -> float:  # Touzi et al. 1999, eq. 13, at D = 0
        return float(2 * (looks - 1) * d * (1 - d * d) ** (looks - 2) * hyp2f1(looks, looks, 1, 0))

    mean = np.exp(gammaln(looks) + gammaln(1.5) - gammaln(looks + 0.5))
    expected = quad(lambda d: (0.9 - d) / (0.9 + d) * density(d), 0, 1)[0]
    of_mean = (0.9 - mean) / (0.9 + mean)
    assert expected == pytest.approx(0.476, abs=0.001)
    assert of_mean == pytest.approx(0.451, abs=0.001)
    values = sampled(np.zeros((26, 40, 40)), looks, np.random.default_rng(11))
    values[:, 0] = 0.9
    cube = cube_of(values)
    annual = annual_ndai(ndai(cube, stable_like(cube, np.arange(40)[:, None] * np.ones(40) == 0)))
    found = float(annual.sel(year=2021)[1:].mean())
    assert found == pytest.approx(expected, abs=0.004)
    assert abs(found - of_mean) > 0.02


@pytest.mark.parametrize(
    ("destroyed", "expected"), [(1, 0.016), (3, 0.048), (6, 0.095), (10, 0.159), (15, 0.238), (30, 0.475)]
)
def test_k_destroyed_pairs_of_thirty_are_an_annual_mean_of(
    cube_of: Cubes, sampled: Callable[..., npt.NDArray[np.float32]], destroyed: int, expected: float
) -> None:
    generator = np.random.default_rng(destroyed)
    true = np.full((30, 60, 60), 0.9)
    true[:destroyed, 20:] = 0
    cube = cube_of(sampled(true, 7, generator), step_days=11)
    annual = annual_ndai(ndai(cube, stable_like(cube, np.arange(60)[:, None] * np.ones(60) < 20)))
    assert float(annual[0, 20:].mean() - annual[0, :20].mean()) == pytest.approx(expected, abs=0.005)


def test_results_are_the_same_to_the_bit_for_any_blocks(mexico_cube: xr.DataArray, tmp_path: Path) -> None:
    """Lazy, in memory, from Zarr; in blocks of one pixel or of everything."""
    part = mexico_cube[:, 20:40, 30:70]
    loaded = part.compute()
    stable = stable_points(loaded, 0.75, method="published")
    expected = annual_ndai(ndai(loaded, stable))
    for cube, pixels in ((loaded, 1), (loaded, 77), (part, 301), (from_zarr(to_zarr(part, tmp_path / "c.zarr")), 63)):
        index = ndai(cube, stable, block_bytes=4 * 30 * pixels)
        np.testing.assert_array_equal(index.values, ndai(loaded, stable).values)
        xr.testing.assert_identical(annual_ndai(index, block_bytes=4 * 30 * pixels), expected)


def test_blocks_cover_the_map_once(mexico_cube: xr.DataArray) -> None:
    for block_bytes in (1, 4 * 30, 4 * 30 * 7, 4 * 30 * 250, 10**9):
        for width in (512, 3):  # tiled and striped files
            cube = mexico_cube[:, :23, :31]
            cube.encoding["preferred_chunks"] = {"x": width}
            seen = np.zeros(cube.shape[1:], int)
            for block in map_blocks(cube, block_bytes):
                seen[block.rows, block.cols] += 1
                assert block.shape[0] * block.shape[1] * 30 * 4 <= max(block_bytes, 4 * 30)
            assert (seen == 1).all()


def test_a_lazy_index_gives_any_part(mexico_cube: xr.DataArray) -> None:
    result = iterate_stable(mexico_cube)
    index = ndai(result.kept, result.stable)
    whole = index.values
    np.testing.assert_array_equal(index[3, 10:12, ::-1].values, whole[3, 10:12, ::-1])
    np.testing.assert_array_equal(index.isel(pair=[4, 1], y=[7]).values, whole[[4, 1]][:, [7]])
    assert index[:0].values.shape == (0, 60, 100)


def test_wrong_input_is_named(cube_of: Cubes) -> None:
    cube = cube_of(np.full((2, 1, 2), 0.9))
    index = ndai(cube, stable_like(cube, [[True, True]]))
    with pytest.raises(OptionError, match="min_pairs=0"):
        annual_ndai(index, min_pairs=0)
    with pytest.raises(ActivityError, match="dimensions"):
        annual_ndai(index[0])
    with pytest.raises(ActivityError, match="dimensions"):
        ndai(cube[0], stable_like(cube, [[True, True]]))
