"""Areas corrected by a reference sample: the published example, the definition, and how often the interval is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr
from pyproj import Transformer

from insar_mining.activity import adjusted_activity, error_adjusted_areas, read_sample
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError, SkippedInputWarning

Cubes = Callable[..., xr.DataArray]

# Olofsson et al. 2014, section 5, table 8: map in rows; areas of the map in pixels of 0.09 ha
PUBLISHED = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
PUBLISHED_PIXELS = (200_000, 150_000, 3_200_000, 6_450_000)
NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")


def test_the_published_example_comes_out_as_printed() -> None:
    table = error_adjusted_areas(PUBLISHED, [900.0 * n for n in PUBLISHED_PIXELS], NAMES)
    hectares = table[["area_m2", "area_se_m2", "area_low_m2", "area_high_m2"]] / 1e4
    np.testing.assert_allclose(hectares["area_m2"], [21_158, 11_686, 285_770, 581_386], atol=0.6)
    # printed as 95 % margins, from standard errors rounded before
    np.testing.assert_allclose(1.96 * hectares["area_se_m2"], [6_158, 3_756, 15_510, 16_282], atol=1.5)
    np.testing.assert_allclose((hectares["area_high_m2"] - hectares["area_low_m2"]) / 2, [6_158, 3_756, 15_510, 16_282],
                               atol=1.5)  # fmt: skip
    np.testing.assert_allclose(table["users_accuracy"], [0.88, 0.73, 0.93, 0.96], atol=0.005)
    np.testing.assert_allclose(1.96 * table["users_se"], [0.07, 0.10, 0.04, 0.02], atol=0.005)
    np.testing.assert_allclose(table["producers_accuracy"], [0.75, 0.85, 0.93, 0.96], atol=0.005)
    # the paper prints 0.23 and 0.01 for the second and the last; its own equation gives 0.25 and 0.02, as the next test
    # finds too by drawing the sample again and again
    np.testing.assert_allclose(1.96 * table["producers_se"], [0.21, 0.25, 0.03, 0.02], atol=0.005)
    assert table.attrs["overall_accuracy"] == pytest.approx(0.95, abs=0.005)
    assert 1.96 * table.attrs["overall_se"] == pytest.approx(0.02, abs=0.005)
    assert table["area_m2"].sum() == pytest.approx(900.0 * sum(PUBLISHED_PIXELS))


def test_standard_errors_are_the_scatter_of_samples_drawn_again() -> None:
    """Without any formula: multinomial draws within the map's classes, every figure computed from its definition."""
    counts, pixels = np.array(PUBLISHED), np.array(PUBLISHED_PIXELS, float)
    rng = np.random.default_rng(5)
    drawn = np.stack([rng.multinomial(row.sum(), row / row.sum(), 20_000) for row in counts], axis=1)
    share = drawn / counts.sum(axis=1)[None, :, None] * pixels[None, :, None]
    producers = np.diagonal(share, axis1=1, axis2=2) / share.sum(axis=1)
    table = error_adjusted_areas(counts, pixels, NAMES)
    np.testing.assert_allclose(table["area_se_m2"], share.sum(axis=1).std(axis=0), rtol=0.02)
    np.testing.assert_allclose(table["producers_se"], producers.std(axis=0), rtol=0.1)


def test_the_estimate_is_unbiased_and_its_interval_covers(campaign: Callable[[int], int]) -> None:
    """A map of known errors, sampled again and again within its classes: mean, scatter and coverage."""
    rng = np.random.default_rng(11)
    areas = np.array([3.0e6, 27.0e6])
    really_active = np.array([0.85, 0.06])
    truth = float(areas @ really_active)
    rounds = campaign(4000)
    drawn = rng.binomial(60, really_active, (rounds, 2))
    tables = [error_adjusted_areas([[a, 60 - a], [b, 60 - b]], areas, ("active", "inactive")).iloc[0] for a, b in drawn]
    found = np.array([[row["area_m2"], row["area_se_m2"]] for row in tables])
    scatter = found[:, 0].std()
    assert found[:, 0].mean() == pytest.approx(truth, abs=4 * scatter / np.sqrt(rounds))
    assert np.sqrt((found[:, 1] ** 2).mean()) == pytest.approx(scatter, rel=4 / np.sqrt(2 * rounds) + 0.02)
    covered = np.mean([row["area_low_m2"] <= truth <= row["area_high_m2"] for row in tables])
    # a binomial of 60 at 0.06 is skew, so that a normal interval covers a little less than it says
    assert 0.88 <= covered <= 0.98


def test_a_perfect_sample_leaves_the_map_as_it_is() -> None:
    table = error_adjusted_areas([[50, 0], [0, 50]], [4e6, 6e6], ("active", "inactive"))
    assert table["area_m2"].tolist() == pytest.approx([4e6, 6e6])
    assert table["area_se_m2"].tolist() == [0.0, 0.0]
    assert table["producers_se"].tolist() == [0.0, 0.0]


def test_a_class_that_the_map_lacks_needs_no_points_and_gets_an_area_all_the_same() -> None:
    table = error_adjusted_areas([[0, 0], [5, 45]], [0.0, 1e6], ("active", "inactive"))
    assert table["area_m2"].tolist() == pytest.approx([1e5, 9e5])
    assert np.isnan(table["users_accuracy"][0])
    assert table["producers_accuracy"][0] == 0


@pytest.mark.parametrize(
    ("counts", "areas", "said"),
    [
        ([[1, 0], [2, 30]], [1.0, 1.0], "active has 1; at least 2"),
        ([[10, 0], [2, 30]], [1.0, 1.0, 1.0], "shape"),
        ([[10, -1], [2, 30]], [1.0, 1.0], "whole counts"),
        ([[10, 1], [2, 30]], [0.0, 0.0], "not all 0"),
    ],
)
def test_matrices_that_say_nothing_are_refused(counts: list[list[int]], areas: list[float], said: str) -> None:
    with pytest.raises(ActivityError, match=said):
        error_adjusted_areas(counts, areas, ("active", "inactive"))


def test_few_points_are_said_and_the_confidence_is_checked() -> None:
    with pytest.warns(FewObservationsWarning, match=r"fewer than 20 reference points .* active"):
        error_adjusted_areas([[10, 1], [2, 30]], [1.0, 1.0], ("active", "inactive"))
    with pytest.raises(OptionError, match="confidence=1"):
        error_adjusted_areas([[30, 1], [2, 30]], [1.0, 1.0], confidence=1)


def grid_sample(active: xr.DataArray, reference: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """One point at the centre of every cell, with what was seen there."""
    to_degrees = Transformer.from_crs(active.attrs["crs"], 4326, always_xy=True)
    x, y = np.meshgrid(active["x"].values, active["y"].values)
    lon, lat = to_degrees.transform(x.ravel(), y.ravel())
    return pd.DataFrame({"longitude": lon, "latitude": lat, "reference": reference.ravel()})


def test_a_census_gives_the_true_area_without_its_place_in_the_file_mattering(cube_of: Cubes) -> None:
    """Every cell looked at: the corrected area is that of the reference, whatever the map said."""
    rng = np.random.default_rng(2)
    one = cube_of(np.zeros((1, 12, 15)))[0].drop_vars(["pair", "reference_date", "secondary_date", "days", "year"])
    active = one.expand_dims(year=[2021, 2022])
    active = active.copy(data=rng.random((2, 12, 15)) < 0.4)
    truth = rng.random((12, 15)) < 0.3
    sample = grid_sample(active, truth).sample(frac=1, random_state=3)
    table = adjusted_activity(active, sample).set_index(["year", "class"])
    for year in (2021, 2022):
        assert table.loc[(year, "active"), "area_m2"] == pytest.approx(400.0 * truth.sum())
        assert table.loc[(year, "active"), "map_area_m2"] == 400.0 * active.sel(year=year).values.sum()
    one_year = sample.assign(year=2022)
    with pytest.raises(ActivityError, match=r"none of 0 reference point\(s\) of 2021"):
        adjusted_activity(active, one_year)
    only = adjusted_activity(active.sel(year=[2022]), one_year)
    pd.testing.assert_frame_equal(only, table.reset_index().query("year == 2022").reset_index(drop=True))


def test_points_outside_the_mine_or_on_no_data_are_left_out_and_said(cube_of: Cubes) -> None:
    cover = np.ones((8, 8))
    cover[:, 0] = 0.0
    active = cube_of(np.zeros((1, 8, 8)), cover=cover)[0].drop_vars("pair")
    active = active.copy(data=np.arange(64).reshape(8, 8) % 2 == 0)
    known = active.copy(data=np.ones((8, 8), bool))
    known.values[:, 7] = False
    sample = pd.concat(
        [grid_sample(active, active.values), pd.DataFrame({"longitude": [0.0], "latitude": [0.0], "reference": [True]})]
    )
    with pytest.warns(SkippedInputWarning, match="17 of 65 reference points"):
        table = adjusted_activity(active, sample, known=known)
    assert table["n_sample"].sum() == 48
    assert table["area_m2"].sum() == pytest.approx(48 * 400.0)


def test_a_sample_is_read_from_the_words_that_people_write(tmp_path: Path) -> None:
    path = tmp_path / "échantillon.csv"
    path.write_text("Longitude, Latitude ,reference,year\n1.5,2.5,Active,2021\n1,2,0,2022\n3,4,stable,2021\n", "utf-8")
    sample = read_sample(path)
    assert sample["reference"].tolist() == [True, False, False]
    assert sample["year"].tolist() == [2021, 2022, 2021]
    assert sample["longitude"].tolist() == [1.5, 1.0, 3.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("longitude,latitude\n1,2\n", "lacks the column"),
        ("longitude,latitude,reference\n1,2,perhaps\n", "'perhaps'"),
        ("longitude,latitude,reference\n181,2,1\n", "row 2"),
        ("longitude,latitude,reference\n1,north,1\n", "row 2"),
        ("longitude,latitude,reference,year\n1,2,1,soon\n", "'year'"),
        ("", "cannot be read"),
    ],
)
def test_samples_that_cannot_be_used_say_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(ActivityError, match=said):
        read_sample(path)
    with pytest.raises(ActivityError, match="cannot be read"):
        read_sample(tmp_path / "none.csv")
