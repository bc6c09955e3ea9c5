"""Hue tells the years apart: against matplotlib's HSV, and against the rule it amounts to."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from matplotlib.colors import rgb_to_hsv

from insar_mining.activity import annual_ndai, black_limit, classify, composite_years, rgb_composite
from insar_mining.activity.published.area import class_counts
from insar_mining.activity.published.composite import CLASS_NAMES, hue_classes
from insar_mining.activity.published.ndai import ndai
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError

BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE = range(8)

# the six colours at 0, 60, ... 300 degrees of hue
AROUND = np.array([RED, YELLOW, GREEN, CYAN, BLUE, MAGENTA])


def annual_of(values: npt.ArrayLike, years: tuple[int, ...] = (2021, 2022, 2023), **attrs: object) -> xr.DataArray:
    """Annual NDAI from an array (year, pixels), as a map of one row."""
    data = np.asarray(values, np.float32)[:, None, :]
    coords = {
        "year": list(years),
        "y": [0.0],
        "x": np.arange(data.shape[2], dtype=float),
        "cell_area_m2": 400.0,
        "pairs_in_year": ("year", 28 + np.arange(len(years))),
    }
    grid = {"crs": "EPSG:32629", "transform": (20.0, 0.0, 0.0, 0.0, -20.0, 0.0)}
    return xr.DataArray(data, dims=("year", "y", "x"), coords=coords, attrs={**grid, **attrs})


def test_hue_classes_are_those_of_matplotlib() -> None:
    """200,000 random triples: sector of rgb_to_hsv's hue, white by its saturation, black by its value."""
    triples = np.random.default_rng(0).random((200_000, 3))
    hsv = rgb_to_hsv(triples)
    expected = AROUND[np.floor(hsv[:, 0] * 6 + 0.5).astype(int) % 6]
    expected = np.where(hsv[:, 1] < 0.25, WHITE, expected)
    expected = np.where(hsv[:, 2] < 0.1, BLACK, expected)
    found = hue_classes(triples.T, 0.1, 0.25)
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(found)) == set(range(8))


def mid_range_rule(triples: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The hi year is active, the mid year if mid - lo >= (hi - lo) / 2; no hue anywhere."""
    order = np.argsort(triples, axis=1)
    lo, mid, hi = np.take_along_axis(triples, order, axis=1).T
    also = mid - lo >= (hi - lo) / 2
    return (1 << order[:, 2]) + np.where(also, 1 << order[:, 1], 0)


@pytest.mark.parametrize("low", [0.0, -0.4])
def test_sectors_of_sixty_degrees_are_the_mid_range_rule(low: float) -> None:
    """Also for negative NDAI, which has no HSV."""
    triples = np.random.default_rng(1).uniform(low, 1.0, (200_000, 3))
    np.testing.assert_array_equal(hue_classes(triples.T, -1.0, 0.0), mid_range_rule(triples))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_the_border_of_two_sectors_is_exact_for_single_precision(order: tuple[int, int, int], beside: int) -> None:
    """A middle year on the border, or one step of float32 beside it, negative NDAI included."""
    rng = np.random.default_rng(2)
    lo = rng.normal(0.1, 0.15, 20_000).astype(np.float32)
    hi = lo + rng.uniform(0.1, 0.5, lo.size).astype(np.float32)
    mid = ((lo.astype(float) + hi) / 2).astype(np.float32)
    mid = np.nextafter(mid, np.float32(9 * beside)) if beside else mid
    triples = np.stack([lo, mid, hi])[list(order)].T.astype(np.float64)
    np.testing.assert_array_equal(hue_classes(triples.T, -1.0, 0.0), mid_range_rule(triples))


def test_every_order_and_border_of_the_rule() -> None:
    """Multiples of 1/8 have no rounding: a hue on a border belongs to the colour of two years."""
    steps = np.arange(-2, 9) / 8
    triples = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    ordered = np.sort(triples, axis=1)
    # where the two higher, or all, are equal, the order of sorting is arbitrary and the rule gives both
    clear = ordered[:, 2] > ordered[:, 0]
    found = hue_classes(triples.T, -1.0, 0.0)
    lo, mid, hi = ordered.T
    active = (triples == hi[:, None]) | ((triples == mid[:, None]) & (mid - lo >= (hi - lo) / 2)[:, None])
    expected = active @ np.array([1, 2, 4])
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert (found[~clear] == WHITE).all()


@pytest.mark.parametrize(
    ("triple", "expected"),
    [
        ((0.4, 0.0, 0.0), RED),
        ((0.0, 0.4, 0.0), GREEN),
        ((0.0, 0.0, 0.4), BLUE),
        ((0.0, 0.4, 0.4), CYAN),
        ((0.4, 0.0, 0.4), MAGENTA),
        ((0.4, 0.4, 0.0), YELLOW),
        ((0.4, 0.4, 0.4), WHITE),
        ((0.4, 0.4, 0.31), WHITE),
        ((0.4, 0.4, 0.27), YELLOW),
        ((0.05, 0.0, 0.0), BLACK),
        ((0.0999, 0.0, 0.0), BLACK),
        ((-0.1, -0.2, -0.1), BLACK),
        # science: 0.30 is active beside (0.10, 0.10) and inactive beside (0.50, 0.30)
        ((0.30, 0.10, 0.10), RED),
        ((0.30, 0.50, 0.30), GREEN),
        # above the ceiling, where the colours of a display would be equal
        ((0.9, 0.5, 0.46), RED),
        # negative NDAI counts as it is
        ((0.3, 0.1, -0.2), YELLOW),
        ((0.3, 0.1, 0.0), RED),
        ((np.nan, 0.4, 0.4), 255),
        ((0.05, 0.0, np.nan), 255),
    ],
)
def test_a_triple_has_its_class(triple: tuple[float, float, float], expected: int) -> None:
    annual = annual_of(np.array(triple)[:, None])
    assert classify(annual).item() == expected
    # by way of the composite, which is clipped for display, it is the same
    assert classify(rgb_composite(annual)).item() == expected


def test_the_composite_is_one_stretch_for_all_years() -> None:
    annual = annual_of([[0.0, 0.45, 0.2, -0.3, np.nan], [0.1, 0.9, 0.2, 0.2, 0.2], [0.225, 0.45, 0.2, 0.0, 0.2]])
    rgb = rgb_composite(annual)
    assert rgb.dims == ("band", "y", "x")
    assert rgb["band"].values.tolist() == ["red", "green", "blue"]
    assert rgb["band_year"].values.tolist() == [2021, 2022, 2023]
    expected = [[0, 1, 4 / 9, 0], [2 / 9, 1, 4 / 9, 4 / 9], [0.5, 1, 4 / 9, 0]]
    np.testing.assert_allclose(rgb.values[:, 0, :4], expected, atol=1e-6)
    assert np.isnan(rgb.values[:, 0, 4]).all()
    np.testing.assert_array_equal(rgb["ndai"].values, annual.values)
    np.testing.assert_allclose(rgb_composite(annual, ceiling=0.9).values[1, 0, 1], 1.0)
    np.testing.assert_allclose(rgb_composite(annual, ceiling=0.9).values[0, 0, 1], 0.5)


def test_a_composite_of_others_is_classified_by_what_it_shows(caplog: pytest.LogCaptureFixture) -> None:
    annual = annual_of([[0.3, 0.9], [0.0, 0.5], [0.0, 0.0]])
    bare = rgb_composite(annual).drop_vars("ndai")
    classes = classify(bare)
    assert classes.values.tolist() == [[RED, YELLOW]]
    assert classify(annual).values.tolist() == [[RED, YELLOW]]
    assert "clipped" in caplog.text


def test_classes_say_what_they_mean() -> None:
    classes = classify(annual_of([[0.4], [0.0], [0.0]], mine_id="m7"))
    assert classes.dtype == np.uint8
    assert classes.attrs["flag_values"] == list(range(8))
    assert classes.attrs["flag_meanings"].split() == list(CLASS_NAMES)
    assert classes.attrs["years"] == [2021, 2022, 2023]
    assert classes.attrs["pairs_in_year"] == [28, 29, 30]
    assert classes.attrs["mine_id"] == "m7"
    assert CLASS_NAMES == ("Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White")


def test_black_follows_the_stable_set_where_it_is_known() -> None:
    known = {"stable_ndai_mean": 0.02, "stable_ndai_sd": 0.01, "stable_ndai_count": 300}
    annual = annual_of([[0.06, 0.04], [0.0, 0.0], [0.0, 0.0]], **known)
    assert black_limit(annual) == pytest.approx(0.05)
    assert classify(annual).values.tolist() == [[RED, BLACK]]
    assert classify(annual).attrs["black_below"] == pytest.approx(0.05)
    assert classify(rgb_composite(annual)).values.tolist() == [[RED, BLACK]]
    assert classify(annual, black_below=0.2).values.tolist() == [[BLACK, BLACK]]
    assert classify(annual, black_sigma=1.0).values.tolist() == [[RED, RED]]
    few = annual_of([[0.06], [0.0], [0.0]], **{**known, "stable_ndai_count": 3})
    with pytest.warns(FewObservationsWarning, match="only 3 annual value"):
        assert classify(few).values.tolist() == [[BLACK]]


def test_white_has_its_own_limit() -> None:
    annual = annual_of([[0.4], [0.3], [0.2]])
    assert classify(annual).item() == YELLOW
    assert classify(annual, white_saturation=0.51).item() == WHITE


def test_years_are_chosen_or_the_last_three_in_a_row() -> None:
    annual = annual_of(np.zeros((5, 1)), years=(2018, 2019, 2020, 2021, 2023))
    assert composite_years(annual) == (2019, 2020, 2021)
    assert composite_years(annual, (2018, 2021, 2023)) == (2018, 2021, 2023)
    # red first, as they are named
    assert composite_years(annual, (2021, 2020, 2019)) == (2021, 2020, 2019)
    for years, said in (
        ((2018, 2019, 2022), "not 2018, 2019, 2022"),
        ((2018, 2019), "three"),
        ((2018, 2018, 2019), "different"),
    ):
        with pytest.raises(ActivityError, match=said):
            composite_years(annual, years)
    with pytest.raises(ActivityError, match="three consecutive years, there is 2018"):
        rgb_composite(annual_of(np.zeros((1, 1)), years=(2018,)))


def test_classes_do_not_depend_on_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).uniform(-0.2, 0.8, (3, 37, 11)).astype(np.float32)
    annual = annual_of(np.zeros((3, 11))).isel(y=[0] * 37).copy(data=values)
    whole = classify(annual).values
    monkeypatch.setattr("insar_mining.activity.published.composite.ROW_PIXELS", 25)
    np.testing.assert_array_equal(classify(annual).values, whole)


def test_wrong_options_are_named() -> None:
    annual = annual_of(np.zeros((3, 1)))
    with pytest.raises(OptionError, match="ceiling=0"):
        rgb_composite(annual, ceiling=0)
    with pytest.raises(OptionError, match="white_saturation=2"):
        classify(annual, white_saturation=2)
    with pytest.raises(OptionError, match="black_below=45"):
        classify(annual, black_below=45)
    with pytest.raises(OptionError, match="has its three years already"):
        classify(rgb_composite(annual), (2021, 2022, 2023))
    with pytest.raises(ActivityError, match="not from"):
        classify(annual[0])


def test_a_simulated_mine_gets_its_colours(
    cube_of: Callable[..., xr.DataArray], sampled: Callable[..., npt.NDArray[np.float32]]
) -> None:
    """Seven zones, worked in each combination of three years, and stable ground: 98 % of each in its class."""
    generator = np.random.default_rng(9)
    pairs = 90
    cube = cube_of(np.zeros((pairs, 64, 24)), start="2021-01-02")
    year = cube["year"].values - 2021
    true = np.full((pairs, 64, 24), 0.9)
    for zone in range(1, 8):
        worked = (zone >> year) & 1 == 1
        true[np.ix_(worked, range(8 * zone, 8 * zone + 8), range(24))] = 0.0
    cube = cube.copy(data=sampled(true, 7, generator))
    stable = xr.DataArray(np.arange(64)[:, None] * np.ones(24) < 8, dims=("y", "x"), coords={"y": cube.y, "x": cube.x})
    classes = classify(annual_ndai(ndai(cube, stable)))
    for zone in range(8):
        assert (classes.values[8 * zone : 8 * zone + 8] == zone).mean() >= 0.98
    assert sum(class_counts(classes).values()) == 64 * 24
