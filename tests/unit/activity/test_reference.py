"""The stable reference: where it lies, how it is spread, whether it drifts; and why scenes are rejected."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import kendalltau, theilslopes
from shapely.geometry import Polygon, box

from insar_mining.activity import (
    annual_ndai,
    classes_by,
    drift_test,
    explain_scenes,
    fit_decay,
    iterate_stable,
    ndai,
    open_stack,
    pixel_statistics,
    read_covariates,
    rejection_factors,
    spread_evenly,
    spread_of,
    stable_ground,
    stable_points,
)
from insar_mining.activity.reference import trend
from insar_mining.errors import (
    ActivityError,
    DriftWarning,
    FewObservationsWarning,
    OptionError,
    SkippedInputWarning,
)

Cubes = Callable[..., xr.DataArray]
Sampler = Callable[..., npt.NDArray[np.float32]]

quiet = pytest.mark.filterwarnings("ignore::insar_mining.errors.FewObservationsWarning")

BOX = box(-99.15, 19.39, -99.09, 19.43)


def opened(mexico: Path, mine: Polygon = BOX, **options: float) -> xr.DataArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        return open_stack(mexico, mine, **options)


def layer(cube: xr.DataArray, values: npt.ArrayLike) -> xr.DataArray:
    return cube[0].drop_vars("pair").copy(data=np.asarray(values))


@quiet
def test_a_margin_brings_ground_around_the_mine_that_counts_nowhere(mexico: Path) -> None:
    """Wider cube, the same mine: its cells, its annual maps and its areas are to the bit those without a margin."""
    plain, wide = opened(mexico), opened(mexico, margin_m=1500.0)
    part = wide.sel(y=plain["y"], x=plain["x"], method="nearest", tolerance=1e-9)
    mine = plain["cover"].values >= 0.5
    np.testing.assert_array_equal(part["cover"].values, plain["cover"].values)
    np.testing.assert_array_equal(part.values[:, mine], plain.values[:, mine])
    assert wide["cover"].values.sum() == pytest.approx(plain["cover"].values.sum())
    # 1.5 km are ten cells of 146 to 154 m
    assert wide.sizes["y"] - plain.sizes["y"] == pytest.approx(2 * 1500 / 153.7, abs=2)
    assert wide.sizes["x"] - plain.sizes["x"] == pytest.approx(2 * 1500 / 145.9, abs=2)
    ring = np.isfinite(wide.values).any(axis=0) & (wide["cover"].values == 0)
    reach = np.hypot(*np.meshgrid((wide["x"] + 99.12) * 105_020, (wide["y"] - 19.41) * 110_660))
    assert reach[ring].max() < math.hypot(3_150 + 1_500, 2_215 + 1_500)
    stable = iterate_stable(plain).stable
    on_wide = layer(wide, np.zeros(wide.shape[1:], bool))
    on_wide.loc[{"y": part["y"], "x": part["x"]}] = stable.values
    ours = annual_ndai(ndai(wide, on_wide))
    theirs = annual_ndai(ndai(plain, stable))
    inner = ours.sel(y=part["y"], x=part["x"])
    np.testing.assert_array_equal(inner.values, theirs.values)
    assert np.isfinite(ours.values).sum() == np.isfinite(theirs.values).sum()
    assert ours.attrs["stable_ndai_mean"] == theirs.attrs["stable_ndai_mean"]
    with pytest.raises(OptionError, match="margin_m=-1"):
        opened(mexico, margin_m=-1)


@quiet
def test_stable_points_are_looked_for_inside_around_or_both(mexico: Path) -> None:
    wide = opened(mexico, margin_m=1500.0)
    found = {ground: stable_points(wide, where=stable_ground(wide, ground)) for ground in ("inside", "around", "both")}
    outside = wide["cover"].values == 0
    assert found["around"].values.any()
    assert not (found["inside"].values & outside).any()
    assert not (found["around"].values & ~outside).any()
    assert found["both"].values[outside].any()
    assert found["both"].values[~outside].any()
    with pytest.raises(ActivityError, match=r"no ground around the mine.*margin_m=1000"):
        stable_ground(opened(mexico), "around")
    with pytest.raises(OptionError, match="'nearby'"):
        stable_ground(wide, "nearby")


def test_a_hole_of_the_mine_is_ground_around_it(mexico: Path) -> None:
    ring = Polygon(BOX.exterior.coords, [box(-99.13, 19.40, -99.11, 19.42).exterior.coords])
    wide = opened(mexico, ring, margin_m=300.0)
    around = stable_ground(wide, "around")
    assert around.sel(x=-99.12, y=19.41, method="nearest")
    assert np.isfinite(wide.sel(x=-99.12, y=19.41, method="nearest")).all()
    assert not stable_ground(wide, "inside").sel(x=-99.12, y=19.41, method="nearest")


def test_where_is_as_if_the_rest_had_no_data(cube_of: Cubes, sampled: Sampler) -> None:
    cube = cube_of(sampled(np.full((30, 20, 20), 0.9), 7, np.random.default_rng(0)))
    where = layer(cube, np.arange(400).reshape(20, 20) % 3 == 0)
    for method in ("iterated", "published"):
        found = stable_points(cube, method=method, where=where)
        np.testing.assert_array_equal(found, stable_points(cube.where(where), method=method))
    with pytest.raises(ActivityError, match=r"cells of where= have the shape"):
        stable_points(cube, where=where[:3])


def test_spread_tells_one_corner_from_the_whole(cube_of: Cubes) -> None:
    cube = cube_of(np.full((1, 40, 40), 0.9))
    everywhere = layer(cube, np.ones((40, 40), bool))
    found = spread_of(everywhere)
    assert (found.n_stable, found.tiles_with, found.tiles, found.largest_share) == (1600, 16, 16, 1 / 16)
    corner = layer(cube, np.add.outer(np.arange(40), np.arange(40)) < 8)
    with pytest.warns(FewObservationsWarning, match="36 stable points lie in 1 of 16 parts"):
        assert spread_of(corner).largest_share == 1.0
    # on a diagonal strip of ground the tiles are counted that hold ground
    strip = layer(cube, np.abs(np.subtract.outer(np.arange(40), np.arange(40))) < 2)
    assert spread_of(strip, strip).tiles < 16
    with pytest.raises(ActivityError, match="no stable point"):
        spread_of(everywhere & False)


def test_no_square_keeps_more_than_its_share_and_the_best_stay(cube_of: Cubes) -> None:
    rng = np.random.default_rng(8)
    cube = cube_of(rng.uniform(0.5, 1, (6, 23, 31)))
    stable, quality = layer(cube, rng.random((23, 31)) < 0.6), pixel_statistics(cube)["mean"]
    kept = spread_evenly(stable, quality, side=5, most=3)
    for top in range(0, 23, 5):
        for left in range(0, 31, 5):
            part = (slice(top, top + 5), slice(left, left + 5))
            values = np.sort(quality.values[part][stable.values[part]])[::-1]
            np.testing.assert_array_equal(np.sort(quality.values[part][kept.values[part]])[::-1], values[:3])
    assert not (kept.values & ~stable.values).any()
    assert kept.attrs["n_stable"] == kept.values.sum()
    with pytest.raises(OptionError, match="side=0"):
        spread_evenly(stable, quality, side=0, most=1)


def dates_of(years: float, step: int = 12) -> npt.NDArray[np.datetime64]:
    return np.datetime64("2021-01-10") + np.arange(0, round(365 * years), step)


def test_a_short_series_is_tested_by_kendall_and_sen() -> None:
    rng = np.random.default_rng(3)
    dates = dates_of(0.9)
    values = rng.normal(0.9, 0.01, dates.size)
    found = trend(dates, values)
    time = dates.astype(int) / 365.25
    assert not found.seasonal
    assert found.p_value == pytest.approx(kendalltau(time, values).pvalue)
    assert found.slope_per_year == pytest.approx(theilslopes(values, time)[0])


def test_the_seasonal_score_is_that_of_all_comparisons_by_hand() -> None:
    """Three years of one value a month: signs and variance from their definitions (no ties: n (n-1) (2n+5) / 18)."""
    rng = np.random.default_rng(4)
    dates = np.array([f"{y}-{m:02d}-15" for y in (2021, 2022, 2023) for m in range(1, 13)], "datetime64[D]")
    values = rng.normal(0.9, 0.02, 36) - 0.004 * np.repeat([0, 1, 2], 12)
    table = values.reshape(3, 12)
    score = sum(np.sign(table[b] - table[a]).sum() for a, b in ((0, 1), (0, 2), (1, 2)))
    z = (abs(score) - 1) / math.sqrt(12 * 3 * 2 * 11 / 18)
    found = trend(dates, values)
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)))
    slopes = [table[1] - table[0], table[2] - table[1], (table[2] - table[0]) / 2]
    assert found.slope_per_year == pytest.approx(np.median(np.concatenate(slopes)))
    assert (found.seasonal, found.n_compared) == (True, 36)


def test_seasons_are_no_drift_and_a_drift_is_found(campaign: Callable[[int], int]) -> None:
    """Three years of pairs under winters of 0.1 less: one in twenty is warned of, and 0.02 a year nearly always."""
    rng = np.random.default_rng(6)
    dates = dates_of(3)
    winter = 0.1 * np.cos(2 * np.pi * dates.astype(int) / 365.25)
    rounds = campaign(2000)
    level = [trend(dates, 0.85 - winter + rng.normal(0, 0.015, dates.size)).p_value for _ in range(rounds)]
    assert np.mean(np.array(level) < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    fall = 0.02 * (dates.astype(int) - dates.astype(int)[0]) / 365.25
    found = [trend(dates, 0.85 - winter - fall + rng.normal(0, 0.015, dates.size)) for _ in range(rounds // 4)]
    assert np.mean([drift.p_value < 0.05 for drift in found]) > 0.9
    assert np.mean([drift.slope_per_year for drift in found]) == pytest.approx(-0.02, abs=0.002)


def test_drifting_stable_points_are_warned_of(cube_of: Cubes, sampled: Sampler) -> None:
    rng = np.random.default_rng(9)
    pairs = 80
    true = np.full((pairs, 10, 10), 0.93)
    still = cube_of(sampled(true, 7, rng))
    stable = stable_points(still)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drift_test(still, stable).seasonal
    true -= 0.06 * np.arange(pairs)[:, None, None] / pairs
    falling = cube_of(sampled(true, 7, rng))
    with pytest.warns(DriftWarning, match=r"changes by -0\.0\d\d a year"):
        drift = drift_test(falling, stable)
    assert drift.slope_per_year == pytest.approx(-0.06 / (pairs * 12 / 365.25), rel=0.3)
    with pytest.raises(ActivityError, match="8 pairs with stable points; there are 3"):
        drift_test(still[:3], stable)
    with pytest.raises(ActivityError, match="no dates"):
        drift_test(still.drop_vars("reference_date"), stable)


def test_each_class_is_compared_with_its_own_stable_points(cube_of: Cubes) -> None:
    """Three classes of incidence of different coherence, by plain numpy; the third has too few points of its own."""
    rng = np.random.default_rng(12)
    values = rng.uniform(0.7, 0.9, (5, 12, 30)) * np.repeat([1.0, 0.8, 0.6], 10)
    cube = cube_of(values)
    incidence = layer(cube, np.repeat([28.0, 33.0, 38.0], 10) * np.ones((12, 1)))
    classes = classes_by(incidence, (30, 35))
    stable = layer(cube, np.arange(12)[:, None] * np.ones(30) < 3)
    stable[:, 25:] = False
    stable[1:, 20:] = False
    with pytest.warns(FewObservationsWarning, match=r"class\(es\) 2 have fewer than 10"):
        index = ndai(cube, stable, classes=classes)
    stored = cube.values.astype(float)
    for columns in (slice(0, 10), slice(10, 20), slice(0, 30)):
        rho = stored[:, :, columns][:, stable.values[:, columns]].mean(axis=1)[:, None, None]
        shown = slice(20, 30) if columns == slice(0, 30) else columns
        expected = (rho - stored[:, :, shown]) / (rho + stored[:, :, shown])
        np.testing.assert_allclose(index.values[:, :, shown], expected, atol=1e-6)
    with pytest.warns(FewObservationsWarning):
        lazy = ndai(cube.chunk({"y": 5, "x": 7}), stable, classes=classes)
    np.testing.assert_array_equal(lazy.values, index.values)
    np.testing.assert_array_equal(lazy[1:4:2, 3:9, ::-2].values, index.values[1:4:2, 3:9, ::-2])


WEATHER = """Date,temperature_c,snow_cm,precipitation_mm
2021-01-04,-3,0,0
2021-01-16,-6,12,0
2021-01-28,-5,0,
2021-02-09,-6,0,2
2021-02-21,4,0,0
2021-03-05,6,0,31
2021-03-17,9,0,31
2021-03-29,11,0,1
2021-04-10,9,0,0
2021-04-22,9,0,0
"""


@pytest.fixture
def weather(tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / "météo.csv"
    path.write_text(WEATHER, "utf-8")
    return read_covariates(path)


def test_rejections_are_explained_by_what_stands_out(cube_of: Cubes, weather: pd.DataFrame) -> None:
    """Nine pairs: two of a date with snow, one of a long baseline, one of a long span, one for no reason given."""
    rng = np.random.default_rng(1)
    values = rng.normal(0.9, 0.01, (9, 10, 10)).clip(0, 1)
    values[:2] = 0.4
    values[3].flat[:95] = 0.3
    values[3].flat[95:] = values[2].flat[95:]
    values[6] -= 0.3
    values[8] -= 0.3
    cube = cube_of(values).assign_coords(
        perpendicular_baseline_m=("pair", [20.0, -15.0, 25.0, -240.0, 10.0, 15.0, 5.0, -40.0, 12.0]),
        days=("pair", [12, 12, 12, 12, 12, 12, 24, 12, 12]),
    )
    stable, _, scenes, _ = iterate_stable(cube)
    assert np.flatnonzero(~scenes["kept"]).tolist() == [0, 1, 3, 6, 8]
    decay = fit_decay([12, 12, 24, 24], [0.9, 0.9, 0.85, 0.85])
    table = explain_scenes(cube, stable, scenes, decay=decay, covariates=weather)
    said = table["explanation"]
    assert (said[table["kept"]] == "").all()
    for number in (0, 1):
        assert said[number] == (
            "100 % of the stable set lost; all 2 pairs with 2021-01-16 are rejected; "
            "snow_cm 12 on 2021-01-16 (all kept up to 0)"
        )
    assert said[3] == "95 % of the stable set lost; baseline 240 m (all kept up to 40)"
    assert said[6] == "100 % of the stable set lost; its 24 days alone are expected to take 0.05"
    assert said[8] == "100 % of the stable set lost; nothing that was given stands out"
    np.testing.assert_array_equal(table["n_lost"], [100, 100, 0, 95, 0, 0, 100, 0, 100])
    assert table["snow_cm_secondary"].tolist() == [12, *[0] * 8]
    assert table["expected_mean"][6] == pytest.approx(0.85, abs=1e-3)


def test_rejection_factors_scenes_apart_comes_first(cube_of: Cubes) -> None:
    """Snow on the ground makes the loss; temperature only goes with it, and rain not at all."""
    rng = np.random.default_rng(2)
    snow = np.where(rng.random(61) < 0.3, rng.uniform(3, 30, 61), 0.0)
    bad = np.maximum(snow[:-1], snow[1:]) > 0
    true = np.where(bad, 0.4, 0.92)[:, None, None] + rng.normal(0, 0.01, (60, 12, 12))
    cube = cube_of(true.clip(0, 1))
    days = pd.DatetimeIndex([*cube["reference_date"].values, cube["secondary_date"].values[-1]])
    covariates = pd.DataFrame(
        {"snow_cm": snow, "temperature_c": rng.normal(5, 5, 61) - 4 * (snow > 0), "rain_mm": rng.random(61)}, index=days
    )
    stable, _, scenes, _ = iterate_stable(cube)
    table = explain_scenes(cube, stable, scenes, covariates=covariates)
    np.testing.assert_array_equal(~table["kept"], bad)
    assert all("snow_cm" in text for text in table["explanation"][bad])
    told = rejection_factors(table)
    assert told["quantity"][0] == "snow_cm, larger"
    assert (told["separation"][0], told["median_kept"][0]) == (1.0, 0.0)
    assert told.set_index("quantity").loc["rain_mm, larger", "p_value"] > 0.01
    # a covariate of fewer dates says so, and speaks where it can
    with pytest.warns(SkippedInputWarning, match=r"31 date\(s\) of the stack are not among the covariates"):
        less = explain_scenes(cube, stable, scenes, covariates=covariates.iloc[:30])
    assert less["snow_cm_reference"].isna().sum() == 30


@quiet
def test_explanations_are_the_same_for_any_blocks(mexico: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        cube = open_stack(mexico, hold_bytes=0)
    stable, _, scenes, _ = iterate_stable(cube)
    whole = explain_scenes(cube, stable, scenes)
    assert (whole.loc[~whole["kept"], "explanation"] != "").all()
    # one real image is to blame for half of what is rejected
    blamed = whole["explanation"].str.contains("all 5 pairs with 2018-04-12 are rejected")
    np.testing.assert_array_equal(blamed, whole["pair"].str.contains("20180412"))
    for block in (10_000, 100_000):
        pd.testing.assert_frame_equal(explain_scenes(cube, stable, scenes, block_bytes=block), whole)
    with pytest.raises(ActivityError, match="of other pairs"):
        explain_scenes(cube, stable, scenes.iloc[::-1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("day,snow\n2021-01-01,1\n", "needs a column date"),
        ("date\n2021-01-01\n", "needs a column date"),
        ("date,snow\nsoon,1\n", "row 2 has no date"),
        ("date,snow\n2021-01-01,1\n2021-01-01,2\n", "2021-01-01 is there twice"),
        ("date,snow\n2021-01-01,deep\n", "'deep', not numbers"),
        ("date,snow\n2021-01-01,\n", "nothing, not numbers"),
        ("", "cannot be read"),
    ],
)
def test_covariates_that_cannot_be_used_say_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "weather.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(ActivityError, match=said):
        read_covariates(path)
