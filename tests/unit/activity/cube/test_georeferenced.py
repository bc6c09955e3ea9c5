"""Arrays of one's own have the right areas, and cubes on disk are placed by other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pyproj import CRS, Geod

from insar_mining.activity import activity_table, annual_ndai, classify, from_zarr, ndai, to_zarr
from insar_mining.errors import ActivityError, RasterError
from insar_mining.geo.georeferenced import georeferenced
from insar_mining.geo.grid import RasterGrid

UTM = CRS.from_epsg(32629)


def own_cube(y: np.ndarray, x: np.ndarray, dims: tuple[str, str] = ("y", "x")) -> xr.DataArray:
    """Two pairs in each of three years: stable ground, and a quarter that is always worked."""
    values = np.full((6, y.size, x.size), 0.9, np.float32)
    values[:, : y.size // 2, : x.size // 2] = 0.3
    reference = np.array([f"{year}-0{month}-05" for year in (2020, 2021, 2022) for month in (1, 5)], "datetime64[ns]")
    return xr.DataArray(
        values,
        dims=("pair", *dims),
        coords={
            dims[0]: y,
            dims[1]: x,
            "reference_date": ("pair", reference),
            "secondary_date": ("pair", reference + np.timedelta64(12, "D")),
        },
    )


def areas(cube: xr.DataArray) -> list[float]:
    stable = cube.isel(pair=0, drop=True) > 0.8
    classes = classify(annual_ndai(ndai(cube, stable)), black_below=0.1)
    return [float(area) for area in activity_table(classes)["area_m2"]]


@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("how", ["rioxarray", "cf", "attribute", "odc"])
def test_an_array_with_any_crs_has_its_areas(how: str) -> None:
    cube = own_cube(3_500_000 - 30 * (np.arange(8) + 0.5), 600_000 + 30 * (np.arange(8) + 0.5))
    if how == "rioxarray":
        cube = cube.assign_coords(spatial_ref=((), 0, {"crs_wkt": UTM.to_wkt()}))
    elif how == "cf":
        cube = cube.assign_coords(transverse=((), 0, UTM.to_cf()))
        cube.attrs["grid_mapping"] = "transverse"
    elif how == "attribute":
        cube.attrs["crs"] = "EPSG:32629"
    else:
        box = GeoBox((8, 8), Affine(30, 0, 600_000, 0, -30, 3_500_000), "EPSG:32629")
        cube = cube.assign_coords(xr_coords(box))
    assert areas(cube) == [16 * 900] * 3


@pytest.mark.parametrize("turned", [False, True])
def test_degrees_have_the_area_of_the_ellipsoid(turned: bool) -> None:
    lat, lon = 60.0 - 0.001 * np.arange(6), 10 + 0.001 * np.arange(4)
    cube = own_cube(lat, lon, ("latitude", "longitude"))
    if turned:
        cube = cube.isel(latitude=slice(None, None, -1))
    cube = cube.assign_coords(spatial_ref=((), 0, {"spatial_ref": CRS.from_epsg(4326).to_wkt()}))
    west, east, north, south = 10 - 0.0005, 10.0015, 60.0005, 60.0005 - 0.003
    expected, _ = Geod(ellps="WGS84").polygon_area_perimeter(
        [west, *np.linspace(west, east, 50), *np.linspace(east, west, 50)],
        [north, *np.full(50, south), *np.full(50, north)],
    )
    assert areas(cube) == pytest.approx([abs(expected)] * 3, rel=1e-6)


def test_what_cannot_be_placed_is_named() -> None:
    y, x = 3_500_000 - 30 * np.arange(8.0), 600_000 + 30 * np.arange(8.0)
    with pytest.raises(ActivityError, match="no CRS"):
        areas(own_cube(y, x))
    with pytest.raises(RasterError, match="not evenly spaced"):
        georeferenced(own_cube(y, np.where(x == x[3], x + 9, x)).assign_attrs(crs="EPSG:32629"))
    with pytest.raises(RasterError, match="not understood"):
        georeferenced(own_cube(y, x).assign_attrs(crs="EPSG:nothing"))


def test_a_part_of_a_cube_lies_where_its_coordinates_say(cube_of: Callable[..., xr.DataArray]) -> None:
    part = cube_of(np.full((2, 9, 7), 0.8)).isel(y=slice(3, 9), x=slice(2, 5))
    assert RasterGrid.of(part).bounds == (600_040, 3_499_820, 600_100, 3_499_940)


# odc-geo multiplies transforms in a way that affine 3.1 announces to end
@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
def test_other_programs_place_a_cube_on_disk(tmp_path: Path, cube_of: Callable[..., xr.DataArray]) -> None:
    import odc.geo.xr  # noqa: F401 - registers the accessor

    cube = cube_of(np.random.default_rng(2).uniform(0, 1, (3, 5, 4)))
    path = to_zarr(cube, tmp_path / "coherence.zarr")
    opened = xr.open_zarr(path, chunks=None)["coherence"]
    box = opened.odc.geobox
    assert box.crs.epsg == 32629
    assert box.shape == (5, 4)
    assert tuple(box.transform)[:6] == (20, 0, 600_000, 0, -20, 3_500_000)
    with rasterio.open(f'ZARR:"{path}":/coherence') as source:
        assert source.crs.to_epsg() == 32629
        assert tuple(source.transform)[:6] == (20, 0, 600_000, 0, -20, 3_500_000)
        np.testing.assert_array_equal(source.read(), cube.values)
    xr.testing.assert_identical(from_zarr(path).compute(), cube)
