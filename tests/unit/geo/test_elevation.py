"""Elevation models: exact posts, the right datum, voids, tiles, any CRS, and what cannot be used."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from scipy.interpolate import RegularGridInterpolator

from insar_mining.errors import DemError, OptionError, PartialDemWarning
from insar_mining.geo import elevation
from insar_mining.geo.elevation import Dem, geoid_undulation_m, read_dem
from insar_mining.geo.geoid import bilinear

DATA = Path(__file__).parents[2] / "data"
MOROCCO = DATA / "morocco" / "dem_morocco_iw1.tif"
LA_GEOID = DATA / "dem-la" / "los_angeles_dem_geoid_crop.tif"
LA_ELLIPSOID = DATA / "dem-la" / "los_angeles_dem_ellipsoid_crop.tif"

STEP = 1 / 1200  # 3"


def plane(lon: npt.ArrayLike, lat: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Heights that bilinear interpolation reproduces exactly, and that half a cell changes by 0.5 to 1 m."""
    return np.asarray(500 + 1200 * (np.asarray(lon) + 8) + 2400 * (np.asarray(lat) - 31), dtype=np.float64)


def lattice(west: float, north: float, rows: int, columns: int, step: float = STEP) -> npt.NDArray[np.float32]:
    lon, lat = west + np.arange(columns) * step, north - np.arange(rows) * step
    return plane(lon, lat[:, np.newaxis]).astype(np.float32)


def write_tif(
    path: Path, height: npt.NDArray[np.generic], transform: Affine, crs: str | None = "EPSG:4326", **options: object
) -> Path:
    tags = options.pop("tags", {})
    profile = {"driver": "GTiff", "count": 1, "dtype": height.dtype, "crs": crs, "transform": transform, **options}
    with rasterio.open(path, "w", height=height.shape[0], width=height.shape[1], **profile) as file:
        file.write(height, 1)
        file.update_tags(**tags)  # type: ignore[arg-type]
    return path


def write_posts(path: Path, west: float, north: float, height: npt.NDArray[np.generic], **options: object) -> Path:
    """Write heights whose first post (cell centre) is at west, north."""
    step = float(options.pop("step", STEP))  # type: ignore[arg-type]
    return write_tif(path, height, Affine(step, 0, west - step / 2, 0, -step, north + step / 2), **options)


# -- the geoid ---------------------------------------------------------------------------


def egm96_nodes() -> npt.NDArray[np.float32]:
    path = Path(sys.modules["insar_mining.geo.geoid"].__file__ or "").parents[1] / "data" / "egm96_15.tif"
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize(
    ("lat", "lon", "undulation_m"),
    [
        (38.6281550, 269.7791550, -31.628),
        (-14.6212170, 305.0211140, -2.969),
        (46.8743190, 102.4487290, -43.575),
        (-23.6174460, 133.8747120, 15.871),
        (38.6254730, 359.9995000, 50.066),
        (-0.4667440, 0.0023000, 17.329),
    ],
)
def test_geoid_agrees_with_the_check_points_of_nga(lat: float, lon: float, undulation_m: float) -> None:
    """Points of NGA's F477 test (spherical harmonics of degree 360); the 15' grid is off by 0.06 m at most there."""
    assert geoid_undulation_m(lon, lat) == pytest.approx(undulation_m, abs=0.07)


def test_geoid_interpolation_agrees_with_scipy() -> None:
    nodes = egm96_nodes().astype(np.float64)
    closed = np.hstack([nodes, nodes[:, :1]])[::-1]
    reference = RegularGridInterpolator((np.linspace(-90, 90, 721), np.linspace(-180, 180, 1441)), closed)
    generator = np.random.default_rng(1)
    lon, lat = generator.uniform(-180, 180, 5000), generator.uniform(-90, 90, 5000)
    np.testing.assert_allclose(geoid_undulation_m(lon, lat), reference(np.column_stack([lat, lon])), atol=1e-6)


def test_geoid_at_nodes_is_the_node() -> None:
    nodes = egm96_nodes()
    rows, columns = np.meshgrid([0, 1, 300, 719, 720], [0, 1, 720, 1439], indexing="ij")
    np.testing.assert_array_equal(geoid_undulation_m(-180 + columns / 4, 90 - rows / 4), nodes[rows, columns])


def test_geoid_is_one_value_at_a_pole_and_has_no_seam() -> None:
    lon = np.linspace(-180, 180, 37)
    assert np.ptp(geoid_undulation_m(lon, 90.0)) == 0
    assert np.ptp(geoid_undulation_m(lon, -90.0)) == 0
    lat = np.linspace(-89, 89, 50)
    np.testing.assert_allclose(geoid_undulation_m(180 - 1e-7, lat), geoid_undulation_m(-180 + 1e-7, lat), atol=1e-4)
    np.testing.assert_allclose(geoid_undulation_m(lon + 360, 12.3), geoid_undulation_m(lon, 12.3), atol=1e-9)
    between = (geoid_undulation_m(179.75, lat) + geoid_undulation_m(-180.0, lat)) / 2
    np.testing.assert_allclose(geoid_undulation_m(179.875, lat), between, atol=1e-9)


def test_geoid_of_no_place_is_nan() -> None:
    assert np.isnan(geoid_undulation_m([0, np.nan, 0, 0], [np.nan, 0, 90.01, -91])).all()


# -- interpolation -----------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 9), columns=st.integers(2, 9))
def test_bilinear_agrees_with_scipy(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(500, 100, (rows, columns))
    row, column = generator.uniform(-1, rows, 40), generator.uniform(-1, columns, 40)
    reference = RegularGridInterpolator(
        (np.arange(rows), np.arange(columns)), values, bounds_error=False, fill_value=np.nan
    )
    np.testing.assert_allclose(bilinear(values, row, column), reference(np.column_stack([row, column])), rtol=1e-12)


def test_a_post_beside_a_void_keeps_its_height() -> None:
    values = np.array([[1.0, np.nan], [3.0, 4.0]])
    np.testing.assert_array_equal(bilinear(values, [0, 1, 1, 0.5, 0.5], [0, 0, 0.5, 0, 0.5]), [1, 3, 3.5, 2, np.nan])


def test_sample_is_exact_on_a_plane_nan_outside_and_knows_other_turns() -> None:
    dem = Dem(lattice(-8, 31, 60, 80), -8, 31, STEP, STEP, "plane")
    west, south, east, north = dem.bounds
    generator = np.random.default_rng(2)
    lon, lat = generator.uniform(west, east, 500), generator.uniform(south, north, 500)
    np.testing.assert_allclose(dem.sample(lon, lat), plane(lon, lat), atol=1e-3)
    np.testing.assert_allclose(dem.sample(lon + 360, lat), plane(lon, lat), atol=1e-3)
    np.testing.assert_allclose(dem.sample([west, east], [north, south]), dem.height_m[[0, -1], [0, -1]])
    outside = dem.sample([west - 1e-5, east + 1e-5, west, west], [north, north, north + 1e-5, south - 1e-5])
    assert np.isnan(outside).all()
    assert np.isnan(dem.sample(np.nan, north))


# -- posts: never half a cell off ----------------------------------------------------------


def write_raw_geotiff(path: Path, west: float, north: float, height: npt.NDArray[np.float32], *, point: bool) -> None:
    """Write a GeoTIFF tag by tag (OGC 19-008), without GDAL.

    `west`, `north` is what the tie point says: the centre of the first cell in a
    PixelIsPoint file, its outer corner in a PixelIsArea file.
    """
    keys = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 2 if point else 1, 2048, 0, 1, 4326)
    tags = [
        (33550, "d", 3, (STEP, STEP, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, west, north, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]
    tifffile.imwrite(path, height, extratags=tags)


@pytest.mark.parametrize("ignore", ["NO", "YES"])
@pytest.mark.parametrize("point", [True, False])
def test_cells_by_centre_and_by_corner_are_the_same_posts(tmp_path: Path, point: bool, ignore: str) -> None:
    """A file that counts cells by centres and one that counts them by corners; also against a user's GDAL setting."""
    height = lattice(-8, 31, 50, 60)
    corner = 0.0 if point else STEP / 2
    write_raw_geotiff(tmp_path / "raw.tif", -8 - corner, 31 + corner, height, point=point)
    with rasterio.Env(GTIFF_POINT_GEO_IGNORE=ignore):
        dem = read_dem(tmp_path / "raw.tif", (-7.99, 30.98, -7.97, 30.99), margin_deg=0.002, heights="ellipsoid")
    lon, lat = np.meshgrid(dem.longitude_deg, dem.latitude_deg)
    np.testing.assert_allclose(dem.height_m, plane(lon, lat), atol=1e-3)
    assert dem.sample(-7.98, 30.985) == pytest.approx(plane(-7.98, 30.985), abs=1e-3)


@pytest.mark.parametrize("tag", ["Area", "Point"])
def test_gdal_writes_either_tag_and_the_posts_stay(tmp_path: Path, tag: str) -> None:
    path = write_posts(tmp_path / "a.tif", -8, 31, lattice(-8, 31, 50, 60), tags={"AREA_OR_POINT": tag})
    dem = read_dem(path, (-7.99, 30.98, -7.97, 30.99), heights="ellipsoid")
    assert dem.sample(-7.98, 30.985) == pytest.approx(plane(-7.98, 30.985), abs=1e-3)


def test_srtm_tile_has_its_corner_post_on_the_whole_degree(tmp_path: Path) -> None:
    """An .hgt file is 1201 x 1201 big-endian int16, from the north-west corner post on (SRTM user guide)."""
    lon, lat = -8 + np.arange(1201) / 1200, 31 - np.arange(1201) / 1200
    height = np.round(plane(lon, lat[:, np.newaxis]) / 5)  # 5 m of the plane in 1 m of the file
    height[600, 600] = -32768
    (tmp_path / "N30W008.hgt").write_bytes(height.astype(">i2").tobytes())
    with pytest.warns(PartialDemWarning, match="has heights for 99.9 %"):
        dem = read_dem(tmp_path / "N30W008.hgt", (-7.55, 30.45, -7.45, 30.55), margin_deg=0, heights="ellipsoid")
    row, column = round((31 - dem.north_deg) * 1200), round((dem.west_deg + 8) * 1200)
    assert dem.north_deg == pytest.approx(31 - row / 1200, abs=1e-9)
    expected = height[row : row + dem.shape[0], column : column + dem.shape[1]]
    np.testing.assert_array_equal(dem.height_m, np.where(expected == -32768, np.nan, expected))
    assert np.isnan(dem.sample(-7.5, 30.5))
    assert dem.sample(-7.5 + 1 / 1200, 30.5) == height[600, 601]


def test_corner_posts_of_a_whole_tile_can_be_sampled(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.tif", -8, 31, lattice(-8, 31, 61, 61))
    dem = read_dem(path, (-8, 30.95, -7.95, 31), heights="ellipsoid")  # exactly covered: no warning
    assert dem.shape == (61, 61)
    assert dem.sample(-7.95, 30.95) == pytest.approx(plane(-7.95, 30.95), abs=1e-3)


# -- what is read ---------------------------------------------------------------------------


def test_real_int16_model_keeps_its_posts_and_gains_the_undulation() -> None:
    dem = read_dem(MOROCCO, (-8.80, 31.75, -8.70, 31.85), margin_deg=0)
    with rasterio.open(MOROCCO) as file:
        raw = file.read(1).astype(np.float64)
        west, step = file.bounds.left + file.res[0] / 2, file.res
        north = file.bounds.top - file.res[1] / 2
    row, column = round((north - dem.north_deg) / step[1]), round((dem.west_deg - west) / step[0])
    assert (north - dem.north_deg) / step[1] == pytest.approx(row, abs=1e-6)
    assert (dem.west_deg - west) / step[0] == pytest.approx(column, abs=1e-6)
    undulation = geoid_undulation_m(dem.longitude_deg, dem.latitude_deg[:, np.newaxis])
    expected = raw[row : row + dem.shape[0], column : column + dem.shape[1]] + undulation
    np.testing.assert_allclose(dem.height_m, expected, atol=1e-4)
    assert 40 < undulation.min() < undulation.max() < 55
    assert dem.height_m.dtype == np.float32
    assert dem.source == "dem_morocco_iw1.tif"
    # nothing but the window: the area and two or three posts around it
    assert dem.shape[0] < 0.1 / step[1] + 7
    assert dem.shape[1] < 0.1 / step[0] + 7


def test_only_the_window_of_a_huge_file_is_read(tmp_path: Path) -> None:
    """2.6 GB of heights, sparse on disk, for an area of 40 x 40 posts."""
    path = tmp_path / "huge.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "sparse_ok": True, "tiled": True}
    size = 25_600
    with rasterio.open(path, "w", width=size, height=size, transform=Affine(STEP, 0, -8, 0, -STEP, 31), **profile):
        pass
    tracemalloc.start()
    dem = read_dem(path, (0, 20, 0.03, 20.03), margin_deg=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dem.height_m.size < 50 * 50
    assert peak < 20e6


def test_zero_is_ground_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    height = np.zeros((40, 40), dtype=np.int16)
    area = (-7.99, 30.98, -7.98, 30.99)
    dem = read_dem(write_posts(tmp_path / "a.tif", -8, 31, height), area, heights="ellipsoid")
    assert (dem.height_m == 0).all()
    with pytest.raises(DemError, match=r"b\.tif: has no height in the area .* only void"):
        read_dem(write_posts(tmp_path / "b.tif", -8, 31, height, nodata=0), area)


@pytest.mark.parametrize(
    ("void", "nodata"),
    [
        (-9999.0, -9999.0),
        (-32768.0, None),
        (-32767.0, None),
        (-500.1, None),
        (9000.1, None),
        (np.nan, None),
        (np.inf, None),
        (3.4e38, None),
    ],
)
def test_voids_are_nan_whoever_wrote_them(tmp_path: Path, void: float, nodata: float | None) -> None:
    height = lattice(-8, 31, 40, 40)
    height[10:20, 5:15] = void
    path = write_posts(tmp_path / "a.tif", -8, 31, height, nodata=nodata)
    with pytest.warns(PartialDemWarning):
        dem = read_dem(path, (-8, 31 - 39 * STEP, -8 + 39 * STEP, 31), heights="ellipsoid")
    np.testing.assert_array_equal(
        np.isnan(dem.height_m), height == np.float32(void) if void == void else np.isnan(height)
    )


def test_lowest_and_highest_ground_are_no_voids(tmp_path: Path) -> None:
    height = np.full((40, 40), -500.0, dtype=np.float32)
    height[20:] = 9000
    dem = read_dem(write_posts(tmp_path / "a.tif", -8, 31, height), (-8, 30.98, -7.98, 31), heights="ellipsoid")
    np.testing.assert_array_equal(dem.height_m, height[: dem.shape[0], : dem.shape[1]])


def test_feet_scale_and_offset_are_applied(tmp_path: Path) -> None:
    height = np.full((40, 40), 1000, dtype=np.int16)
    path = write_posts(tmp_path / "a.tif", -8, 31, height)
    with rasterio.open(path, "r+") as file:
        file.units, file.scales, file.offsets = ["ft"], [0.5], [100.0]
    dem = read_dem(path, (-7.99, 30.98, -7.98, 30.99), heights="ellipsoid")
    np.testing.assert_allclose(dem.height_m, 600 * 0.3048, rtol=1e-6)
    with rasterio.open(path, "r+") as file:
        file.units = ["fathoms"]
    with pytest.raises(DemError, match="'fathoms'; only metres and feet"):
        read_dem(path, (-7.99, 30.98, -7.98, 30.99))


def test_south_up_file_is_turned(tmp_path: Path) -> None:
    height = lattice(-8, 31, 50, 60)
    south = 31 - 49 * STEP
    path = write_tif(tmp_path / "a.tif", height[::-1].copy(), Affine(STEP, 0, -8 - STEP / 2, 0, STEP, south - STEP / 2))
    dem = read_dem(path, (-7.99, 30.97, -7.97, 30.99), margin_deg=0, heights="ellipsoid")
    lon, lat = np.meshgrid(dem.longitude_deg, dem.latitude_deg)
    np.testing.assert_allclose(dem.height_m, plane(lon, lat), atol=1e-3)


# -- any CRS ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsg", "step_m"), [(32629, 30.0), (32629, 90.0), (3857, 40.0), (2154, 25.0), (4258, None)])
def test_models_of_any_crs_agree_with_the_ground_they_sampled(tmp_path: Path, epsg: int, step_m: float | None) -> None:
    """A smooth analytic hill, sampled in the CRS, read back at posts in degrees: no shift, no loss of spacing."""
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True)
    centre = (-8.0, 31.0) if epsg != 2154 else (2.3, 46.0)
    x0, y0 = Transformer.from_crs(4326, epsg, always_xy=True).transform(*centre)
    step = step_m or 1 / 3600

    def hill(lon: npt.ArrayLike, lat: npt.ArrayLike) -> npt.NDArray[np.float64]:
        u, v = (np.asarray(lon) - centre[0]) / 0.01, (np.asarray(lat) - centre[1]) / 0.01
        return np.asarray(400 + 200 * np.sin(u) * np.cos(v) + 50 * u)

    size = 160
    x = x0 + (np.arange(size) - size / 2 + 0.5) * step
    y = y0 - (np.arange(size) - size / 2 + 0.5) * step
    lon, lat = to_lonlat.transform(*np.meshgrid(x, y))
    transform = Affine(step, 0, x0 - size / 2 * step, 0, -step, y0 + size / 2 * step)
    path = write_tif(tmp_path / "a.tif", hill(lon, lat).astype(np.float32), transform, f"EPSG:{epsg}")
    inner = (lon.mean() - 0.01, lat.mean() - 0.01, lon.mean() + 0.01, lat.mean() + 0.01)
    dem = read_dem(path, inner, margin_deg=0.001, heights="ellipsoid")
    ground_m = step_m or 1 / 3600 * 111e3
    if epsg == 3857:
        ground_m *= np.cos(np.deg2rad(31))
    assert dem.step_lat_deg * 110.9e3 == pytest.approx(ground_m, rel=0.02 if step_m else 0.2)
    lon, lat = np.meshgrid(np.linspace(inner[0], inner[2], 40), np.linspace(inner[1], inner[3], 40))
    error = dem.sample(lon, lat) - hill(lon, lat)
    # interpolated twice: 2 * (2 * curvature * step**2 / 8), curvature 200 / (0.01 deg)**2
    bound = 2 * 2 * 200 / (0.01 * 96e3) ** 2 * ground_m**2 / 8 + 0.01
    assert np.abs(error).max() < bound
    # a shift of a tenth of a cell would show: the mean error along the mean slope of 50 m per 0.01 degrees
    assert abs(error.mean()) < 0.1 * 50 * ground_m / 960 + 0.02


def test_posts_close_to_an_untagged_void_are_not_poisoned(tmp_path: Path) -> None:
    """-32768 must not leak into its neighbours when a projected model is interpolated."""
    x0, y0 = 500_000.0, 3_430_000.0
    height = np.full((200, 200), 300, dtype=np.int16)
    height[90:110, 90:110] = -32768
    path = write_tif(tmp_path / "a.tif", height, Affine(30, 0, x0, 0, -30, y0), "EPSG:32629")
    lon, lat = Transformer.from_crs(32629, 4326, always_xy=True).transform(x0 + 3000, y0 - 3000)
    with pytest.warns(PartialDemWarning):
        dem = read_dem(path, (lon - 0.02, lat - 0.02, lon + 0.02, lat + 0.02), heights="ellipsoid")
    finite = dem.height_m[np.isfinite(dem.height_m)]
    np.testing.assert_allclose(finite, 300)


def test_longitudes_0_to_360_and_the_antimeridian(tmp_path: Path) -> None:
    east = lattice(-8, 31, 60, 120)
    path = write_posts(tmp_path / "a.tif", 352, 31, east)
    dem = read_dem(path, (-7.99, 30.96, -7.92, 30.99), margin_deg=0, heights="ellipsoid")
    assert dem.sample(-7.95, 30.97) == pytest.approx(plane(-7.95, 30.97), abs=1e-3)
    left = write_posts(tmp_path / "l.tif", 179.9, 31, np.full((60, 120), 10, np.int16))
    right = write_posts(tmp_path / "r.tif", -180.0, 31, np.full((60, 120), 20, np.int16))
    dem = read_dem([left, right], (179.95, 30.96, 179.999, 30.99), margin_deg=0.02, heights="ellipsoid")
    assert dem.sample(179.99, 30.97) == 10
    assert dem.sample(-179.99, 30.97) == 20


# -- vertical datum ------------------------------------------------------------------------------


def test_lifted_heights_agree_with_ellipsoidal_heights_of_the_same_posts() -> None:
    """Real GLO-30 (EGM2008) lifted by EGM96: the geoids differ by 0.61 to 0.75 m over the original crop."""
    area = (-118.05, 34.0225, -118.0169, 34.05)
    lifted = read_dem(LA_GEOID, area)
    theirs = read_dem(LA_ELLIPSOID, area, heights="ellipsoid")
    assert lifted.shape == theirs.shape
    difference = lifted.height_m - theirs.height_m
    assert np.abs(difference).max() < 0.8
    assert difference.std() < 0.03
    untouched = read_dem(LA_GEOID, area, heights="ellipsoid")
    np.testing.assert_allclose(untouched.height_m - theirs.height_m, 34.8, atol=0.2)


@pytest.mark.parametrize(
    ("crs", "tags", "is_ellipsoidal"),
    [
        ("EPSG:4326", {}, False),
        ("EPSG:4979", {}, True),
        ("EPSG:9707", {}, False),  # WGS 84 + EGM96 height
        ("EPSG:9518", {}, False),  # WGS 84 + EGM2008 height
        ("EPSG:4326", {"VERTICAL_DATUM": "WGS84 Ellipsoid"}, True),
        ("EPSG:4326", {"note": "height above the ellipsoid, converted from EGM2008"}, False),
    ],
)
@pytest.mark.parametrize("heights", ["auto", "orthometric", "ellipsoid"])
def test_datum_is_what_the_file_or_the_caller_says(
    tmp_path: Path, crs: str, tags: dict[str, str], is_ellipsoidal: bool, heights: str
) -> None:
    height = np.full((40, 40), 300, dtype=np.float32)
    path = write_posts(tmp_path / "a.tif", -8, 31, height, crs=crs, tags=tags)
    dem = read_dem(path, (-7.99, 30.98, -7.98, 30.99), heights=heights)  # type: ignore[arg-type]
    expected = 300.0 if heights == "ellipsoid" or (heights == "auto" and is_ellipsoidal) else 300 + 50.0
    assert dem.sample(-7.985, 30.985) == pytest.approx(expected, abs=5)


def test_vertical_crs_in_feet_is_brought_to_metres(tmp_path: Path) -> None:
    height = np.full((40, 40), 1000, dtype=np.float32)
    path = write_posts(tmp_path / "a.tif", -100, 40, height, crs="EPSG:4326+6360")  # NAVD88 height (ftUS)
    dem = read_dem(path, (-99.99, 39.98, -99.98, 39.99))
    expected = 1000 * 1200 / 3937 + geoid_undulation_m(-99.985, 39.985)
    assert dem.sample(-99.985, 39.985) == pytest.approx(expected, abs=0.01)


# -- tiles -----------------------------------------------------------------------------------------


def test_tiles_that_share_a_row_of_posts_become_one_model(tmp_path: Path) -> None:
    """SRTM's way: neighbours repeat the edge posts; order does not matter."""
    tiles = [
        write_posts(
            tmp_path / f"{i}{j}.tif",
            -8 + 60 * j * STEP,
            31 - 60 * i * STEP,
            lattice(-8 + 60 * j * STEP, 31 - 60 * i * STEP, 61, 61),
        )
        for i in range(2)
        for j in range(2)
    ]
    area = (-8 + 10 * STEP, 31 - 110 * STEP, -8 + 110 * STEP, 31 - 10 * STEP)
    dem = read_dem(tiles, area, margin_deg=0, heights="ellipsoid")
    lon, lat = np.meshgrid(dem.longitude_deg, dem.latitude_deg)
    np.testing.assert_allclose(dem.height_m, plane(lon, lat), atol=1e-3)
    assert dem.source == "00.tif and 3 more"
    assert read_dem(tiles[::-1], area, margin_deg=0, heights="ellipsoid").identity() == dem.identity()


def test_a_void_of_one_tile_is_filled_by_the_next(tmp_path: Path) -> None:
    first = np.full((60, 60), 100, dtype=np.int16)
    first[20:30] = -32768
    paths = [
        write_posts(tmp_path / "a.tif", -8, 31, first),
        write_posts(tmp_path / "b.tif", -8, 31, np.full_like(first, 200)),
    ]
    dem = read_dem(paths, (-7.99, 30.96, -7.96, 30.99), heights="ellipsoid")
    np.testing.assert_array_equal(np.unique(dem.height_m), [100, 200])


def test_tiles_of_different_spacing_meet_without_a_gap(tmp_path: Path) -> None:
    """GLO-30's way: cells widen towards the poles, so rows meet and columns do not."""

    def tile(name: str, west: float, north: float, step_lon: float) -> Path:
        lon, lat = west + np.arange(round(0.05 / step_lon)) * step_lon, north - np.arange(60) * STEP
        height = plane(lon, lat[:, np.newaxis]).astype(np.float32)
        transform = Affine(step_lon, 0, west - step_lon / 2, 0, -STEP, north + STEP / 2)
        return write_tif(tmp_path / name, height, transform)

    tiles = [
        tile("se.tif", -7.95, 31 - 60 * STEP, STEP),
        tile("sw.tif", -8, 31 - 60 * STEP, STEP),
        tile("nw.tif", -8, 31, 1.5 * STEP),
        tile("ne.tif", -7.95, 31, 1.5 * STEP),
    ]
    dem = read_dem(tiles, (-7.99, 30.91, -7.91, 30.99), margin_deg=0, heights="ellipsoid")
    assert dem.step_lon_deg == pytest.approx(STEP)
    lon, lat = np.meshgrid(np.linspace(-7.99, -7.91, 101), np.linspace(30.91, 30.99, 103))
    np.testing.assert_allclose(dem.sample(lon, lat), plane(lon, lat), atol=2e-3)


def test_tiles_of_different_datum_and_crs_meet(tmp_path: Path) -> None:
    x0, y0 = Transformer.from_crs(4326, 32629, always_xy=True).transform(-8.0, 31.0)
    height = np.full((200, 200), 300, dtype=np.float32)
    projected = write_tif(tmp_path / "utm.tif", height, Affine(30, 0, x0 - 3000, 0, -30, y0 + 3000), "EPSG:32629")
    undulation = float(geoid_undulation_m(-7.95, 31.0))
    above_ellipsoid = np.full((60, 60), 300 + undulation, dtype=np.float32)
    degrees = write_posts(tmp_path / "deg.tif", -7.98, 31.025, above_ellipsoid, crs="EPSG:4979")
    dem = read_dem([projected, degrees], (-8.01, 30.99, -7.94, 31.01), margin_deg=0)
    np.testing.assert_allclose(dem.sample(np.linspace(-8.01, -7.94, 50), 31.0), 300 + undulation, atol=0.4)


def test_a_vrt_is_a_single_file(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.tif", -8, 31, lattice(-8, 31, 50, 60))
    vrt = f"""<VRTDataset rasterXSize="60" rasterYSize="50"><SRS>EPSG:4326</SRS>
    <GeoTransform>{-8 - STEP / 2!r}, {STEP!r}, 0, {31 + STEP / 2!r}, 0, {-STEP!r}</GeoTransform>
    <VRTRasterBand dataType="Float32" band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>
    <SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
    (tmp_path / "a.vrt").write_text(vrt)
    area = (-7.99, 30.98, -7.97, 30.99)
    assert read_dem(tmp_path / "a.vrt", area).identity() == read_dem(tmp_path / "a.tif", area).identity()


# -- coverage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("east", "share"), [(0.04, "51.0"), (0.08, "25.7")])
def test_partial_coverage_is_warned_with_its_share(tmp_path: Path, east: float, share: str) -> None:
    """25 columns of posts 3" apart in areas of 49 and 97 columns."""
    path = write_posts(tmp_path / "a.tif", -8, 31, np.full((60, 25), 300, np.int16))
    with pytest.warns(PartialDemWarning, match=rf"a\.tif: has heights for {re.escape(share)} % of the area"):
        dem = read_dem(path, (-8.0, 30.96, -8 + east, 30.99))
    assert np.isnan(dem.sample(-8 + east, 30.97))
    assert np.isfinite(dem.sample(-8 + 0.02, 30.97))


def test_a_margin_that_is_not_there_is_no_warning(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.tif", -8, 31, np.full((60, 60), 300, np.int16))
    read_dem(path, (-7.999, 30.96, -7.96, 30.999), margin_deg=0.5)


def test_no_overlap_says_both_extents() -> None:
    with pytest.raises(
        DemError, match=r"dem_morocco_iw1\.tif: does not cover.*-8\.8990 to -7\.8582.*22\.9000 to 23\.1000"
    ):
        read_dem(MOROCCO, (22.9, -27.8, 23.1, -27.7))


@pytest.mark.parametrize("epsg", [32629, 32734, 3031])
def test_no_overlap_of_a_projected_model(tmp_path: Path, epsg: int) -> None:
    height = np.full((40, 40), 300, dtype=np.int16)
    path = write_tif(tmp_path / "a.tif", height, Affine(30, 0, 500_000, 0, -30, 3_430_000), f"EPSG:{epsg}")
    with pytest.raises(DemError, match="does not cover the area"):
        read_dem(path, (120.0, -28.0, 120.1, -27.9))


# -- what cannot be used ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.tif", lambda p: None, "no such elevation model"),
        ("a.tif", lambda p: p.write_text("heights of the mine\n" * 100), "cannot be read as a raster"),
        ("a.tif", lambda p: p.write_bytes(b""), r"empty \(0 bytes\)"),
        ("folder", lambda p: p.mkdir(), "is a folder; it holds no raster"),
        ("a.tif", lambda p: write_posts(p, -8, 31, np.ones((40, 40), np.int16), crs=None), "no coordinate system"),
        ("a.tif", lambda p: write_posts(p, -8, 31, np.ones((40, 40), np.complex64)), "complex numbers .complex64."),
        ("a.tif", lambda p: write_posts(p, -8, 31, np.full((40, 40), -32768, np.int16)), "only void"),
    ],
)
def test_unusable_files_are_named_with_their_remedy(
    tmp_path: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(DemError, match=message) as caught:
        read_dem(tmp_path / name, (-8.0, 31 - 39 * STEP, -8 + 39 * STEP, 31.0))
    assert name in str(caught.value)


def test_half_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.tif").write_bytes(MOROCCO.read_bytes()[:200_000])
    with pytest.raises(DemError, match=r"half\.tif: cannot be read as a raster"):
        read_dem(tmp_path / "half.tif", (-8.8, 31.6, -7.9, 31.85))


def test_a_raster_without_geotransform_is_named(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tif(tmp_path / "a.tif", np.ones((40, 40), np.int16), Affine.identity())
    with pytest.raises(DemError, match="has no geotransform"):
        read_dem(tmp_path / "a.tif", (0, 0, 1, 1))


def test_a_folder_and_a_joined_path_stand_for_their_tiles(tmp_path: Path) -> None:
    height = lattice(-8, 31, 40, 80)
    left = write_posts(tmp_path / "left.tif", -8, 31, height[:, :40])
    right = write_posts(tmp_path / "right.tif", -8 + 40 * STEP, 31, height[:, 40:])
    (tmp_path / "notes.txt").write_text("no raster")
    area = (-7.99, 30.97, -7.99 + 60 * STEP, 30.99)
    expected = read_dem([left, right], area, heights="ellipsoid")
    for path in (tmp_path, f"{left}{os.pathsep}{right}", Path(f"{right}{os.pathsep}{left}")):
        assert read_dem(path, area, heights="ellipsoid").identity() == expected.identity()
    with pytest.raises(DemError, match=r"gone\.tif"):
        read_dem(f"{left}{os.pathsep}{tmp_path / 'gone.tif'}", area)


@pytest.mark.parametrize(
    ("name", "heights", "reference", "is_logged"),
    [
        ("plain.tif", "auto", "orthometric (assumed)", True),
        ("plain.tif", "orthometric", "orthometric (asked)", False),
        ("plain.tif", "ellipsoid", "ellipsoid (asked)", False),
        ("elevation.dem.wgs84.tif", "auto", "ellipsoid (name)", False),
        ("dem_WGS84_utm.tif", "auto", "orthometric (assumed)", True),
        ("glo30_ellipsoidal.tif", "auto", "ellipsoid (name)", False),
    ],
)
def test_what_heights_were_taken_for_is_recorded(
    name: str, heights: Any, reference: str, is_logged: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An untagged ellipsoidal model in disguise lies 35 m off in California: it has to be said what was assumed."""
    elevation._log_assumption.cache_clear()
    path = write_posts(tmp_path / name, -8, 31, lattice(-8, 31, 40, 40))
    dem = read_dem(path, (-7.99, 30.98, -7.98, 30.99), heights=heights)
    assert dem.reference == reference
    read_dem(path, (-7.99, 30.98, -7.98, 30.99), heights=heights)
    assert len([r for r in caplog.records if name in r.getMessage()]) == is_logged
    plain = read_dem(path, (-7.99, 30.98, -7.98, 30.99), heights="ellipsoid")
    lifted = float(np.nanmean(dem.height_m - plain.height_m))
    undulation = float(np.mean(geoid_undulation_m(-7.985, 30.985)))
    assert lifted == pytest.approx(undulation if reference.startswith("orthometric") else 0.0, abs=0.2)


def test_an_area_of_too_many_posts_is_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "int16", "crs": "EPSG:4326", "sparse_ok": True, "tiled": True}
    with rasterio.open(path, "w", width=60_000, height=60_000, transform=Affine(STEP, 0, -20, 0, -STEP, 40), **profile):
        pass
    with pytest.raises(DemError, match=r"3,600,000,000 posts, the limit is 30,000,000"):
        read_dem(path, (-20, -10, 30, 40))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounds": (1, 0, 0, 1)}, "west must be below east"),
        ({"bounds": (0, 1, 1, 0)}, "south below north"),
        ({"bounds": (0, 0, 1, 91)}, "latitudes -90 to 90"),
        ({"bounds": (0, 0, np.nan, 1)}, "west must be below east"),
        ({"margin_deg": -1}, "margin_deg=-1"),
        ({"heights": "geoid"}, "heights='geoid': must be one of auto, orthometric, ellipsoid"),
    ],
)
def test_impossible_options_are_named(options: dict[str, object], message: str) -> None:
    arguments = {"bounds": (-8.8, 31.7, -8.7, 31.8), **options}
    with pytest.raises(OptionError, match=message):
        read_dem(MOROCCO, **arguments)  # type: ignore[arg-type]


def test_an_empty_list_is_named() -> None:
    with pytest.raises(DemError, match="list of elevation models is empty"):
        read_dem([], (0, 0, 1, 1))


# -- identity ----------------------------------------------------------------------------------------------


def test_identity_is_of_the_numbers_only(tmp_path: Path) -> None:
    height = lattice(-8, 31, 5, 7)
    dem = Dem(height, -8, 31, STEP, STEP, "a")
    assert dem.identity() == Dem(height.copy(), -8, 31, STEP, STEP, "b").identity()
    assert dem.identity() == Dem(np.asfortranarray(height), -8, 31, STEP, STEP, "b").identity()
    assert len(dem.identity()) == len(hashlib.sha256().hexdigest())
    higher = height.copy()
    higher[2, 3] = np.nextafter(higher[2, 3], np.float32(9e3))
    others = [
        Dem(higher, -8, 31, STEP, STEP, "a"),
        Dem(height, -8 + 1e-12, 31, STEP, STEP, "a"),
        Dem(height, -8, 31, STEP, STEP * 1.0001, "a"),
        Dem(height.reshape(7, 5), -8, 31, STEP, STEP, "a"),
    ]
    assert dem.identity() not in {other.identity() for other in others}


def test_identity_knows_one_void_and_one_zero() -> None:
    quiet, other = np.float32(np.nan), np.array(0xFFC00001, dtype=np.uint32).view(np.float32)
    a = Dem(np.array([[quiet, 0.0]], dtype=np.float32), 0, 0, 1, 1, "a")
    b = Dem(np.array([[other, -0.0]], dtype=np.float32), 0, 0, 1, 1, "b")
    assert a.height_m.tobytes() != b.height_m.tobytes()
    assert a.identity() == b.identity()


def test_identity_is_the_same_in_another_process() -> None:
    code = (
        "import sys; from insar_mining.geo.elevation import read_dem; "
        "print(read_dem(sys.argv[1], (-118.04, 34.03, -118.02, 34.04)).identity())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(LA_GEOID)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert other.stdout.strip() == read_dem(LA_GEOID, (-118.04, 34.03, -118.02, 34.04)).identity()


def test_heights_that_were_read_cannot_be_changed() -> None:
    dem = read_dem(LA_GEOID, (-118.04, 34.03, -118.02, 34.04))
    with pytest.raises(ValueError, match="read-only"):
        dem.height_m[0, 0] = 0


# -- properties ----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    west=st.floats(-8.0, -7.97),
    south=st.floats(30.95, 30.97),
    width=st.floats(0.0005, 0.02),
    height=st.floats(0.0005, 0.02),
    margin=st.floats(0, 0.01),
)
def test_any_window_samples_the_same_ground(
    west: float, south: float, width: float, height: float, margin: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever part is read, heights inside the area are those of the whole model."""
    path = tmp_path_factory.getbasetemp() / "plane.tif"
    if not path.exists():
        write_posts(path, -8, 31, lattice(-8, 31, 61, 61))
    area = (west, south, west + width, south + height)
    dem = read_dem(path, area, margin_deg=margin, heights="ellipsoid")
    lon, lat = np.meshgrid(np.linspace(area[0], area[2], 7), np.linspace(area[1], area[3], 7))
    np.testing.assert_allclose(dem.sample(lon, lat), plane(lon, lat), atol=1e-3)
