"""Counts become areas: the published tables exactly, and true ground beside them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from pyproj import Geod

from insar_mining.activity import (
    active_in,
    activity_table,
    annual_ndai,
    class_counts,
    class_table,
    classes_of_years,
    classify,
    iterate_stable,
    ndai,
    nominal_area_m2,
    open_stack,
    year_counts,
)
from insar_mining.activity.published.composite import CLASS_NAMES, NO_CLASS
from insar_mining.errors import ActivityError, SkippedInputWarning
from insar_mining.geo.mines import Mine

COLUMNS = [
    "mine_id",
    "year",
    "method",
    "n_pairs",
    "n_pixels",
    "active_pixels",
    "area_m2",
    "area_low_m2",
    "area_high_m2",
    "area_nominal_m2",
]

# Jolleys et al. 2024, Sishen: pixels of each class in two windows of three years
SISHEN_2021 = {
    "Red": 51710,
    "Green": 43786,
    "Blue": 31823,
    "Cyan": 30505,
    "Magenta": 15827,
    "Yellow": 72926,
    "White": 44968,
}
SISHEN_2021_PIXELS = 369786
SISHEN_2020 = {
    "Red": 48398,
    "Green": 40088,
    "Blue": 47177,
    "Cyan": 28779,
    "Magenta": 9509,
    "Yellow": 23097,
    "White": 24927,
}


def classes_of(counts: dict[str, int], years: tuple[int, int, int], pixels: int | None = None) -> xr.DataArray:
    """A map of 20 m cells with given counts, in a random order, the rest without a class."""
    values = np.repeat([CLASS_NAMES.index(name) for name in counts], list(counts.values())).astype(np.uint8)
    if pixels is not None:
        values = np.concatenate([values, np.zeros(pixels - values.size, np.uint8)])
    width = 700
    height = -(-values.size // width) + 3
    cells = np.full(height * width, NO_CLASS, np.uint8)
    cells[: values.size] = values
    cells = np.random.default_rng(0).permutation(cells).reshape(height, width)
    return xr.DataArray(
        cells,
        dims=("y", "x"),
        coords={"y": -np.arange(height, dtype=float), "x": np.arange(width, dtype=float), "cell_area_m2": 400.0},
        attrs={"years": list(years), "pairs_in_year": [31, 30, 31], "mine_id": "sishen"},
    )


@pytest.mark.parametrize(
    ("counts", "years", "pixels", "active"),
    [
        (SISHEN_2021, (2021, 2022, 2023), SISHEN_2021_PIXELS, (185431, 192185, 123123)),
        (SISHEN_2020, (2020, 2021, 2022), None, (105931, 116891, 110392)),
    ],
)
def test_both_sishen_tables_exactly(
    counts: dict[str, int], years: tuple[int, int, int], pixels: int | None, active: tuple[int, int, int]
) -> None:
    classes = classes_of(counts, years, pixels)
    found = class_counts(classes)
    assert {name: found[name] for name in counts} == counts
    assert found["Black"] == (0 if pixels is None else pixels - sum(counts.values()))
    assert year_counts(found) == active
    table = activity_table(classes)
    assert table.columns.tolist() == COLUMNS
    assert table["year"].tolist() == list(years)
    assert table["active_pixels"].tolist() == list(active)
    assert table["area_nominal_m2"].tolist() == [100.0 * n for n in active]
    assert table["area_m2"].tolist() == [400.0 * n for n in active]
    assert table["n_pixels"].tolist() == [pixels or sum(counts.values())] * 3
    assert table["n_pairs"].tolist() == [31, 30, 31]
    assert set(table["mine_id"]) == {"sishen"}
    assert set(table["method"]) == {"published"}
    assert table[["area_low_m2", "area_high_m2"]].isna().all(axis=None)


def test_sishens_counts_and_areas_of_every_class() -> None:
    classes = classes_of(SISHEN_2021, (2021, 2022, 2023), SISHEN_2021_PIXELS)
    with pytest.raises(ActivityError, match="classify or classes_of_years"):
        class_table(classes)
    flags = {"flag_values": list(range(8)), "flag_meanings": " ".join(CLASS_NAMES), "nodata": NO_CLASS}
    table = class_table(classes.assign_attrs(flags))
    assert table.columns.tolist() == ["years", "class", "pixels", "area_m2", "area_nominal_m2"]
    assert set(table["years"]) == {"2021_2022_2023"}
    whole = {"Black": SISHEN_2021_PIXELS - sum(SISHEN_2021.values()), **SISHEN_2021}
    assert dict(zip(table["class"], table["pixels"], strict=True)) == whole
    assert table["area_nominal_m2"].tolist() == [100.0 * whole[name] for name in CLASS_NAMES]
    assert table["area_m2"].tolist() == [400.0 * whole[name] for name in CLASS_NAMES]
    with pytest.raises(ActivityError, match="class 9 is none"):
        class_table(classes.assign_attrs(flags).copy(data=np.full(classes.shape, 9, np.uint8)))


def test_classes_of_five_years_are_counted_by_name() -> None:
    active = np.zeros((5, 2, 4), np.uint8)
    active[0, 0], active[4, 0, :3], active[2, 1, 3] = 1, 1, 255
    coords = {"year": range(2019, 2024), "y": [1.0, 0.0], "x": np.arange(4.0), "cell_area_m2": 400.0}
    decided = xr.DataArray(active, dims=("year", "y", "x"), coords=coords, attrs={"method": "significant"})
    table = class_table(classes_of_years(decided)).set_index("class")
    assert table["pixels"].to_dict() == {"none": 3, "2019": 1, "2019+2023": 3}
    assert table["area_m2"].to_dict() == {"none": 1200.0, "2019": 400.0, "2019+2023": 1200.0}


def test_sishens_published_areas_and_changes() -> None:
    areas = [nominal_area_m2(n) / 1e6 for n in year_counts(SISHEN_2021)]
    assert areas == [18.5431, 19.2185, 12.3123]
    changes = [100 * (later / earlier - 1) for earlier, later in itertools.pairwise(areas)]
    assert [round(change, 1) for change in changes] == [3.6, -35.9]


def test_a_year_depends_on_its_companions_in_the_published_method() -> None:
    """2021 is 185,431 pixels in one window and 116,891 in the other: +59 %; 2022 differs by 74 %."""
    first, second = year_counts(SISHEN_2020), year_counts(SISHEN_2021)
    assert round(100 * (second[0] / first[1] - 1)) == 59
    assert round(100 * (second[1] / first[2] - 1)) == 74


def test_the_active_pixels_of_a_year_are_those_of_its_classes() -> None:
    classes = classes_of(SISHEN_2021, (2021, 2022, 2023))
    middle = active_in(classes, 2022)
    assert middle.dtype == bool
    chosen = {CLASS_NAMES[value] for value in np.unique(classes.values[middle.values])}
    assert chosen == {"Green", "Cyan", "Yellow", "White"}
    with pytest.raises(ActivityError, match="2021, 2022, 2023, not of 2024"):
        active_in(classes, 2024)


def test_rows_follow_the_years_and_not_the_colours() -> None:
    table = activity_table(classes_of(SISHEN_2021, (2023, 2021, 2022)))
    assert table["year"].tolist() == [2021, 2022, 2023]
    assert table["active_pixels"].tolist() == [192185, 123123, 185431]


def test_fewer_than_three_years_have_rows_without_activity(cube_of: Callable[..., xr.DataArray]) -> None:
    """Hue is not defined: what is active is not known, and is not 0."""
    cube = cube_of(np.full((40, 3, 4), 0.9), start="2021-01-04")
    result = iterate_stable(cube)
    table = activity_table(annual_ndai(ndai(result.kept, result.stable)), mine_id="one")
    assert table.columns.tolist() == COLUMNS
    assert table["year"].tolist() == [2021, 2022]
    assert table["n_pairs"].tolist() == [30, 10]
    assert table["n_pixels"].tolist() == [12, 12]
    assert table["active_pixels"].isna().all()
    assert table[["area_m2", "area_nominal_m2"]].isna().all(axis=None)
    assert table.to_csv(index=False).splitlines()[1] == "one,2021,published,30,12,,,,,"


def test_wrong_input_is_named() -> None:
    classes = classes_of(SISHEN_2021, (2021, 2022, 2023))
    with pytest.raises(ActivityError, match="class 9 is none"):
        class_counts(np.array([0, 9], np.uint8))
    with pytest.raises(ActivityError, match="counts"):
        year_counts({"Purple": 3})
    with pytest.raises(ActivityError, match="counts"):
        year_counts({"Red": -3})
    with pytest.raises(ActivityError, match="no cell areas"):
        activity_table(classes.drop_vars("cell_area_m2"))
    with pytest.raises(ActivityError, match="classes"):
        activity_table(classes[0])
    with pytest.raises(ActivityError, match="n_pairs names 2 years"):
        activity_table(classes, n_pairs=[1, 2])
    assert activity_table(classes, n_pairs=[7, 8, 9], mine_id="x")["n_pairs"].tolist() == [7, 8, 9]


def test_a_mine_worked_everywhere_has_the_area_of_its_polygon(tmp_path: Path, raster: Callable[..., Path]) -> None:
    """From rasters in degrees to the table: all of the polygon but the firm ground in it."""
    polygon = (
        shapely.Point(-8.777, 31.80).buffer(0.02, quad_segs=64).difference(shapely.box(-8.78, 31.79, -8.775, 31.8))
    )
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(polygon)[0])
    transform = Affine(0.0004, 0, -8.83, 0, -0.0004, 31.85)
    generator = np.random.default_rng(3)
    firm = np.zeros((260, 280), bool)
    firm[100:130, 130:150] = True
    for year in (2021, 2022, 2023):
        for start, end in (("0110", "0122"), ("0310", "0322"), ("0610", "0622")):
            values = np.where(firm, 0.9, 0.2) + generator.uniform(-0.02, 0.02, firm.shape)
            raster(
                tmp_path / f"{year}{start}_{year}{end}.tif",
                values.astype(np.float32),
                crs="EPSG:4326",
                transform=transform,
            )
    coh = open_stack(tmp_path, Mine("all", "All of it", polygon))
    result = iterate_stable(coh)
    classes = classify(annual_ndai(ndai(result.kept, result.stable)))
    table = activity_table(classes)
    still = float(np.count_nonzero(firm_in(coh)) * coh["cell_area_m2"].mean())
    assert set(table["mine_id"]) == {"all"}
    np.testing.assert_allclose(table["area_m2"], geodesic - still, rtol=1e-3)
    assert table["n_pixels"].tolist() == [int((coh["cover"] >= 0.5 - 1e-6).sum())] * 3


def firm_in(coh: xr.DataArray) -> np.ndarray:
    return (coh.values > 0.5).any(axis=0)


def test_any_polygon_in_mexico_city_goes_through(mexico: Path) -> None:
    """All of one year: everything but colours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        coh = open_stack(mexico, shapely.box(-99.16, 19.38, -99.08, 19.44))
    stable, kept, table, _ = iterate_stable(coh, 0.75, scene_mean_min=0.72)
    annual = annual_ndai(ndai(kept, stable))
    assert annual["year"].values.tolist() == [2018]
    rows = activity_table(annual)
    assert rows["n_pairs"].tolist() == [int(table["kept"].sum())]
    assert 0 < rows["n_pixels"].iloc[0] <= int((coh["cover"] >= 0.5).sum())
    with pytest.raises(ActivityError, match="three consecutive years, there is 2018"):
        classify(annual)
