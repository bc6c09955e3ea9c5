"""Masks, vegetation and kinds of ground lie where they lie, and their areas add up to the whole."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from pyproj import Transformer
from rasterio.features import rasterize
from shapely import transform as transform_geometry
from shapely.geometry import Polygon, box, mapping

from insar_mining.activity import (
    activity_by_stratum,
    annual_ndai,
    classes_by,
    ground_area_m2,
    mask_out,
    ndai,
    open_stack,
    read_layer,
    read_mask,
    read_ndvi,
    read_surfaces,
    slope_deg,
    stable_points,
)
from insar_mining.errors import (
    ActivityError,
    CoverageError,
    MineError,
    OptionError,
    PartialCoverageWarning,
    RasterError,
    SkippedInputWarning,
)

Cubes = Callable[..., xr.DataArray]
Raster = Callable[..., Path]

# the cells of the cubes of make_cube: 20 m from (600000, 3500000) in UTM 29
WEST, NORTH, CELL = 600_000.0, 3_500_000.0, 20.0


def degrees(shape: Polygon) -> Polygon:
    """A polygon of map coordinates in longitude and latitude."""
    lonlat = Transformer.from_crs(32629, 4326, always_xy=True)
    return transform_geometry(shape, lambda xy: np.column_stack(lonlat.transform(xy[:, 0], xy[:, 1])))


def rows_and_columns(west: int, north: int, east: int, south: int) -> Polygon:
    """The rectangle of cells from column `west` to `east` and row `north` to `south`."""
    return box(WEST + CELL * west, NORTH - CELL * south, WEST + CELL * east, NORTH - CELL * north)


def features(path: Path, kinds: dict[str, list[Polygon]], field: str = "class") -> Path:
    found = [
        {"type": "Feature", "properties": {field: name}, "geometry": mapping(degrees(shape))}
        for name, shapes in kinds.items()
        for shape in shapes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": found}), "utf-8")
    return path


@pytest.fixture
def cube(cube_of: Cubes) -> xr.DataArray:
    values = np.random.default_rng(1).uniform(0.2, 0.9, (6, 30, 40))
    return cube_of(values)


def test_a_mask_on_its_own_grid_lies_on_the_right_cells(cube: xr.DataArray, raster: Raster, tmp_path: Path) -> None:
    """Water in rows 5 to 9 and columns 10 to 19, written at 10 m, and in longitude and latitude."""
    fine = np.zeros((60, 80), np.uint8)
    fine[10:20, 20:40] = 2
    path = raster(tmp_path / "water.tif", fine, transform=Affine(10, 0, WEST, 0, -10, NORTH))
    expected = np.zeros((30, 40), bool)
    expected[5:10, 10:20] = True
    np.testing.assert_array_equal(read_mask(path, cube).values, expected)
    np.testing.assert_array_equal(read_mask(path, cube, values=[2]).values, expected)
    assert not read_mask(path, cube, values=[1, 3]).values.any()
    outline = degrees(rows_and_columns(10, 5, 20, 10))
    west, south, east, north = degrees(rows_and_columns(-3, -3, 43, 33)).bounds
    transform = Affine((east - west) / 900, 0, west, 0, -(north - south) / 700, north)
    lonlat = rasterize([outline], (700, 900), transform=transform).astype(np.uint8)
    path = raster(tmp_path / "degrees.tif", lonlat, crs="EPSG:4326", transform=transform)
    np.testing.assert_array_equal(read_mask(path, cube).values, expected)


def test_masked_ground_is_in_no_number(cube: xr.DataArray) -> None:
    """Not among the stable points, not in NDAI, not in an area; and the rest is as if it were not there."""
    cube[:, :10] = 0.95
    water = cube[0].drop_vars("pair").copy(data=np.zeros((30, 40), bool))
    water[:, :15] = True
    shadow = water.copy(data=np.zeros((30, 40), bool))
    shadow[25:] = True
    before = cube.values.copy()
    masked = mask_out(cube, water, shadow)
    assert masked.attrs["masked_cells"] == 15 * 30 + 5 * 25
    stable = stable_points(masked, method="published")
    assert stable.values[:10, 15:].all()
    assert stable.values.sum() == 250
    by_hand = cube.where(~(water | shadow))
    xr.testing.assert_equal(annual_ndai(ndai(masked, stable)), annual_ndai(ndai(by_hand, stable)))
    np.testing.assert_array_equal(cube.values, before)
    with pytest.raises(ActivityError, match="leave none of the mine's 1200 cells"):
        mask_out(cube, water, ~water)
    years = np.unique(cube["year"].values)
    yearly = xr.concat([water if n == 0 else shadow for n in range(years.size)], pd.Index(years, name="year"))
    each = mask_out(cube, yearly)
    for number, pair in enumerate(each.values):
        out = water if cube["year"].values[number] == years[0] else shadow
        np.testing.assert_array_equal(np.isnan(pair), out.values)
    np.testing.assert_array_equal(each[1:, 3:20, 10:].values, each.values[1:, 3:20, 10:])
    with pytest.raises(ActivityError, match=r"\[1999\]"):
        mask_out(cube, yearly.isel(year=[0]).assign_coords(year=[1999]))
    with pytest.raises(ActivityError, match="mask's cells have the shape"):
        mask_out(cube, water[:4])


def test_vegetation_is_the_index_of_mean_reflectance(cube: xr.DataArray, raster: Raster, tmp_path: Path) -> None:
    """10 m bands with the offset of Sentinel-2, against the definition on means of 2 x 2 by numpy."""
    rng = np.random.default_rng(3)
    red, nir = rng.integers(1050, 3000, (60, 80)), rng.integers(1100, 6000, (60, 80))
    folder = tmp_path / "S2B_MSIL2A_20220619T105629_N0400_R094_T29RNQ_20220619T135301.SAFE" / "R10m"
    grid = {"transform": Affine(10, 0, WEST, 0, -10, NORTH)}
    paths = [
        raster(folder / f"T29RNQ_20220619T105629_{name}_10m.tif", band.astype(np.uint16), **grid)
        for name, band in (("B04", red), ("B08", nir))
    ]
    mean = [(band - 1000).reshape(30, 2, 40, 2).mean(axis=(1, 3)) for band in (red, nir)]
    expected = (mean[1] - mean[0]) / (mean[1] + mean[0])
    found = read_ndvi(*paths, cube)
    np.testing.assert_allclose(found.values, expected, atol=2e-6)
    np.testing.assert_allclose(read_ndvi(*paths, cube, offset=-1000).values, expected, atol=2e-6)
    # the same as reflectance in floating point, and with the scale declared in the file
    floats = [raster(tmp_path / f"{k}.tif", ((b - 1000) / 1e4).astype(np.float32), **grid)
              for k, b in (("r", red), ("n", nir))]  # fmt: skip
    np.testing.assert_allclose(read_ndvi(*floats, cube).values, expected, atol=2e-6)
    bare = [raster(tmp_path / f"{k}16.tif", b.astype(np.uint16), **grid) for k, b in (("r", red), ("n", nir))]
    with pytest.raises(OptionError, match="offset=-1000"):
        read_ndvi(*bare, cube)
    for path in bare:
        with rasterio.open(path, "r+") as target:
            target.scales, target.offsets = (1e-4,), (-0.1,)
    np.testing.assert_allclose(read_ndvi(*bare, cube).values, expected, atol=2e-6)


def test_zeros_of_a_product_with_an_offset_are_no_data(cube: xr.DataArray, raster: Raster, tmp_path: Path) -> None:
    red, nir = np.full((30, 40), 1500, np.uint16), np.full((30, 40), 3500, np.uint16)
    red[:3], nir[:3] = 0, 0
    paths = [raster(tmp_path / "red.tif", red), raster(tmp_path / "nir.tif", nir)]
    with pytest.warns(PartialCoverageWarning, match=r"leaves 10.0 % of the area"):
        found = read_ndvi(*paths, cube, offset=-1000).values
    assert np.isnan(found[:3]).all()
    np.testing.assert_allclose(found[3:], 2000 / 3000, atol=1e-6)


def test_heights_and_slopes_of_a_plane_are_exact(cube: xr.DataArray, mexico: Path) -> None:
    x, y = np.meshgrid(cube["x"].values, cube["y"].values)
    for rise_east, rise_north in ((0.0, 0.0), (0.3, -0.4), (np.tan(np.radians(37)), 0.0)):
        plane = cube[0].drop_vars("pair").copy(data=rise_east * (x - WEST) + rise_north * (y - NORTH))
        expected = np.degrees(np.arctan(np.hypot(rise_east, rise_north)))
        np.testing.assert_allclose(slope_deg(plane).values, expected, atol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        city = open_stack(mexico)
    (dem,) = mexico.glob("*dem.tif")
    heights = read_layer(dem, city)
    with rasterio.open(dem) as source:
        np.testing.assert_allclose(heights.values, source.read(1), atol=0.5)
    # a plane of one metre per cell each way, on cells of 0.00139 degrees: 145.8 m x 153.7 m there
    steps = np.add.outer(np.arange(city.sizes["y"]), np.arange(city.sizes["x"])).astype(float)
    found = slope_deg(heights.copy(data=steps)).values
    tall, wide = 0.0013888889 * 110_660, 0.0013888889 * 111_320 * np.cos(np.radians(19.41))
    np.testing.assert_allclose(found, np.degrees(np.arctan(np.hypot(1 / tall, 1 / wide))), rtol=2e-3)
    with pytest.raises(ActivityError, match="1 x 40"):
        slope_deg(cube[0, :1])


def test_classes_by_value(cube: xr.DataArray) -> None:
    slope = cube[0].drop_vars("pair").copy(data=np.tile([0.0, 5.0, 20.0, np.nan], (30, 10)))
    classes = classes_by(slope, (5, 15))
    assert classes.values[0, :4].tolist() == [0, 1, 2, -1]
    assert classes.attrs["flag_meanings"] == "below_5 5_to_15 from_15"
    assert classes_by(slope, (5,), ("flat", "steep")).attrs["flag_meanings"] == "flat steep"
    with pytest.raises(OptionError, match="rising"):
        classes_by(slope, (5, 5))
    with pytest.raises(OptionError, match="1 names for 2 classes"):
        classes_by(slope, (5,), ("flat",))


def test_areas_of_all_kinds_of_ground_add_up_to_the_area(cube_of: Cubes, tmp_path: Path) -> None:
    """A mine whose outline cuts cells, three kinds of ground in it, two of them in several parts, one between cells."""
    outline = Polygon([(WEST + a, NORTH - b) for a, b in ((31, 33), (748, 52), (701, 571), (55, 540))])
    empty = cube_of(np.full((1, 30, 40), 0.5))[0].drop_vars(["pair", "year"])
    inside = rasterize([(outline, 1)], (1200, 1600), transform=Affine(0.5, 0, WEST, 0, -0.5, NORTH))
    cover = inside.reshape(30, 40, 40, 40).mean(axis=(1, 3))
    active = empty.assign_coords(cover=(("y", "x"), cover.astype(np.float32))).expand_dims(year=[2021, 2022])
    active.attrs |= {"min_cover": 0.5, "mine_id": "Nº 7"}
    active = active.copy(data=(np.random.default_rng(4).random((2, 30, 40)) < 0.5) & (cover >= 0.5))
    shapes = {
        "Pit": [rows_and_columns(5, 5, 15, 15), rows_and_columns(20, 3, 24, 6)],
        "haul road": [box(WEST + 305, NORTH - 400, WEST + 480, NORTH - 100)],
        "dump": [rows_and_columns(18, 20, 30, 26)],
    }
    strata = read_surfaces(features(tmp_path / "kinds.geojson", shapes), active)
    assert strata.attrs["flag_meanings"] == "dump haul_road pit rest"
    assert (strata.values == 2).sum() == 100 + 12
    table = activity_by_stratum(active, strata).set_index(["year", "stratum"])
    assert set(table["mine_id"]) == {"Nº 7"}
    for year in (2021, 2022):
        layer = active.sel(year=year)
        assert table.loc[year, "area_m2"].sum() == pytest.approx(ground_area_m2(layer), rel=1e-9)
        assert table.loc[year, "stratum_area_m2"].sum() == pytest.approx(outline.area, rel=2e-3)
        assert table.loc[(year, "pit"), "active_pixels"] == (layer.values & (strata.values == 2)).sum()
        assert table.loc[(year, "dump"), "stratum_area_m2"] == pytest.approx(72 * 400.0)
    np.testing.assert_allclose(table["active_share"], table["area_m2"] / table["stratum_area_m2"])
    known = active.sel(year=2021, drop=True).copy(data=np.ones((30, 40), bool))
    known[:, 18:30] = False
    again = activity_by_stratum(active, strata, known=known).set_index(["year", "stratum"])
    assert again.loc[(2021, "dump"), "n_pixels"] == 0
    assert np.isnan(again.loc[(2021, "dump"), "active_share"])


def test_overlapping_kinds_go_to_the_one_that_covers_most(cube: xr.DataArray, tmp_path: Path) -> None:
    """A road of 12 m through a pit of whole cells: the cells stay the pit's; a road of 20 m on the cells' edge too."""
    shapes = {
        "pit": [rows_and_columns(0, 0, 20, 20)],
        "road": [box(WEST + 400, NORTH - 600, WEST + 412, NORTH)],
    }
    strata = read_surfaces(features(tmp_path / "kinds.geojson", shapes, field="type"), cube)
    assert (strata.values == 0).sum() == 400
    assert np.unique(strata.values[:, 20]).tolist() == [1]
    assert (strata.values == 2).sum() == 30 * 40 - 400 - 30


def test_layers_that_cannot_be_used_say_why(cube: xr.DataArray, raster: Raster, tmp_path: Path) -> None:
    far = raster(tmp_path / "far.tif", np.ones((5, 5), np.uint8), transform=Affine(20, 0, 300_000, 0, -20, NORTH))
    with pytest.raises(CoverageError, match="has no value on any cell"):
        read_mask(far, cube)
    with pytest.raises(RasterError, match="not a band 3"):
        read_layer(far, cube, band=3)
    with pytest.raises(RasterError, match="no coordinate reference system"):
        read_layer(raster(tmp_path / "nowhere.tif", np.ones((5, 5), np.uint8), crs=None), cube)
    text = tmp_path / "text.tif"
    text.write_text("no raster", "utf-8")
    for read in (lambda: read_layer(text, cube), lambda: read_ndvi(text, text, cube)):
        with pytest.raises(RasterError, match=r"text\.tif"):
            read()
    unnamed = features(tmp_path / "unnamed.geojson", {"pit": [rows_and_columns(0, 0, 9, 9)]}, field="colour")
    with pytest.raises(MineError, match="colour"):
        read_surfaces(unnamed, cube)
    assert "pit" in read_surfaces(unnamed, cube, field="colour").attrs["flag_meanings"]
    elsewhere = features(tmp_path / "elsewhere.geojson", {"pit": [rows_and_columns(900, 0, 909, 9)]})
    with pytest.raises(CoverageError, match=r"\(pit\) cover no cell"):
        read_surfaces(elsewhere, cube)
    strata = read_surfaces(unnamed, cube, field="colour")
    with pytest.raises(ActivityError, match="strata"):
        activity_by_stratum(cube[0].drop_vars(["pair", "year"]) > 0.5, strata.drop_attrs())
