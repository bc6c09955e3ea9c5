"""Elevation tiles from a server: land, sea, missing, voids, and the heights that come of them."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from insar_mining.download.elevation import (
    COARSER,
    FILLED,
    GLO30,
    GLO90,
    MEASURED,
    SEA,
    SRTM,
    VOID,
    DemSource,
    fetch_dem,
)
from insar_mining.download.session import EarthdataSession
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError, DemError, OptionError, PartialDemWarning
from insar_mining.geo import land as land_map
from insar_mining.geo.elevation import read_dem
from insar_mining.geo.geoid import geoid_undulation_m
from insar_mining.geo.land import land_in

STEP = 1 / 60  # tiles of 60 x 60 posts: the rules are the same, the test is quick
QUICK = Limits(attempts=2, first_wait_s=0.001)


def plane(lon: Any, lat: Any) -> Any:
    """Heights that bilinear interpolation gives back exactly."""
    return 3000 + 2 * lon - 50 * lat


def tile(lon: int, lat: int, *, step_lon: float = STEP, void: tuple[slice, slice] | None = None) -> bytes:
    """A tile as GLO-30's: posts from the north-west corner on, without the eastern and southern edge."""
    columns, rows = round(1 / step_lon), round(1 / STEP)
    x, y = lon + np.arange(columns) * step_lon, lat + 1 - np.arange(rows) * STEP
    height = plane(x[np.newaxis], y[:, np.newaxis]).astype(np.float32)
    if void is not None:
        height[void] = -32767.0
    transform = rasterio.transform.from_origin(lon - step_lon / 2, lat + 1 + STEP / 2, step_lon, STEP)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=columns, height=rows, count=1, dtype="float32", crs="EPSG:4326",
            transform=transform, nodata=-32767.0,
        ) as file:  # fmt: skip
            file.write(height, 1)
        return bytes(memory.read())


def glo30(server: Any, tiles: dict[tuple[int, int], bytes], *, listed: set[tuple[int, int]] | None = None) -> DemSource:
    source = dataclasses.replace(
        GLO30, list_url=f"{server.url}/list.txt", tile_url=f"{server.url}/{{tile}}/{{tile}}.tif", least_tiles=1
    )
    names = [source.tile(*corner) for corner in (listed if listed is not None else tiles)]
    server.add("/list.txt", ("\n".join(names) + "\n").encode(), content_type="text/plain")
    for corner, content in tiles.items():
        name = source.tile(*corner)
        server.add(f"/{name}/{name}.tif", content)
    return source


def glo90(server: Any, tiles: dict[tuple[int, int], bytes], *, is_there: bool = True) -> DemSource:
    """The coarser archive that names all land."""
    source = dataclasses.replace(
        GLO90, list_url=f"{server.url}/list90.txt", tile_url=f"{server.url}/{{tile}}/{{tile}}.tif", least_tiles=0
    )
    if is_there:
        names = [source.tile(*corner) for corner in tiles]
        server.add("/list90.txt", ("\n".join(names) + "\n").encode(), content_type="text/plain")
    for corner, content in tiles.items():
        server.add(f"/{source.tile(*corner)}/{source.tile(*corner)}.tif", content)
    return source


def bands(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    with rasterio.open(path) as file:
        height, flags = file.read()
        rows, columns = height.shape
        lon, _ = file.xy(np.zeros(columns, int), np.arange(columns))
        _, lat = file.xy(np.arange(rows), np.zeros(rows, int))
    return height, flags, np.array(lon), np.array(lat)


def test_tiles_have_the_names_of_their_archives() -> None:
    assert GLO30.tile(-9, 31) == "Copernicus_DSM_COG_10_N31_00_W009_00_DEM"
    assert GLO30.tile(121, -28) == "Copernicus_DSM_COG_10_S28_00_E121_00_DEM"
    assert SRTM.tile(-9, 31) == "N31W009"
    assert SRTM.tile_url.format(tile=SRTM.tile(0, 0)).endswith("/N00E000.SRTMGL1.hgt.zip")


def test_four_tiles_become_one_model(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(lon, lat): tile(lon, lat) for lon in (-9, -8) for lat in (31, 32)})
    bounds = (-8.3, 31.8, -7.9, 32.2)
    path = fetch_dem(bounds, tmp_path, EarthdataSession(), source=source)
    height, flags, lon, lat = bands(path)
    np.testing.assert_allclose(height, plane(lon[np.newaxis], lat[:, np.newaxis]), atol=1e-3)
    assert (flags == MEASURED).all()
    assert lon.min() <= -8.4 + 1e-9
    assert lon.max() >= -7.8 - 1e-9
    assert lat.min() <= 31.7 + 1e-9
    assert lat.max() >= 32.3 - 1e-9


def test_heights_become_ellipsoidal_with_the_shipped_geoid(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(-9, 31): tile(-9, 31)})
    path = fetch_dem((-8.6, 31.4, -8.4, 31.6), tmp_path, EarthdataSession(), source=source)
    model = read_dem(path, (-8.55, 31.45, -8.45, 31.55))
    found = model.sample(-8.512, 31.487)
    assert found == pytest.approx(plane(-8.512, 31.487) + geoid_undulation_m(-8.512, 31.487), abs=0.02)


def test_a_tile_that_is_not_in_the_list_is_sea(server: Any, tmp_path: Path) -> None:
    """The cell west of it is open sea, by the map of land and without asking anyone; its own land is made up."""
    source = glo30(server, {(-28, 31): tile(-28, 31)})
    path = fetch_dem((-28.2, 31.4, -27.8, 31.6), tmp_path, EarthdataSession(), source=source)
    height, flags, lon, lat = bands(path)
    land = lon >= -28 - 1e-9
    np.testing.assert_allclose(height[:, land], plane(lon[np.newaxis], lat[:, np.newaxis])[:, land], atol=1e-3)
    assert (height[:, ~land] == 0).all()
    assert (flags[:, ~land] == SEA).all()
    assert (flags[:, land] == MEASURED).all()
    assert all("W029" not in asked.path and "list90" not in asked.path for asked in server.asked)


def test_land_that_the_list_lacks_has_the_heights_of_the_coarser_archive(server: Any, tmp_path: Path) -> None:
    """N39E046 in Armenia, which the list of GLO-30 lacked for years, beside a cell that is listed."""
    coarser = glo90(server, {(46, 39): tile(46, 39, step_lon=STEP * 2), (45, 39): b"not asked for"})
    source = dataclasses.replace(glo30(server, {(45, 39): tile(45, 39)}), fallback=coarser)
    with pytest.warns(PartialDemWarning, match="N39E046"):
        path = fetch_dem((45.8, 39.4, 46.2, 39.6), tmp_path, EarthdataSession(), source=source)
    height, flags, lon, lat = bands(path)
    np.testing.assert_allclose(height, plane(lon[np.newaxis], lat[:, np.newaxis]), atol=2.0)
    assert not (flags == SEA).any()
    assert (flags[:, lon < 46 - STEP] == MEASURED).all()
    assert (flags[:, lon > 46 + STEP] == COARSER).all()


@pytest.mark.parametrize(("lon", "lat"), [(46, 39), (-4, 40), (133, -26), (-64, -33), (19, -27), (-1, 7)])
def test_land_of_which_there_is_no_tile_is_an_error(lon: int, lat: int, server: Any, tmp_path: Path) -> None:
    """Whether the coarser archive lacks it too, cannot be asked, or is not known."""
    for number, (fallback, error) in enumerate(
        [(glo90(server, {}, is_there=False), ArchiveError), (glo90(server, {(0, 0): b""}), DemError), (None, DemError)]
    ):
        if number == 0:
            server.files.pop("/list90.txt")
        else:
            server.add("/list90.txt", b"\n", content_type="text/plain")
        source = dataclasses.replace(glo30(server, {(20, -20): tile(20, -20)}), fallback=fallback)
        bounds = (lon + 0.4, lat + 0.4, lon + 0.6, lat + 0.6)
        name = f"{'N' if lat >= 0 else 'S'}{abs(lat):02d}{'E' if lon >= 0 else 'W'}{abs(lon):03d}"
        with pytest.raises(error, match=name):
            fetch_dem(bounds, tmp_path / str(number), EarthdataSession(), source=source, limits=QUICK)


def test_near_a_coast_the_coarser_archive_proves_sea(server: Any, tmp_path: Path) -> None:
    """N38W030 off the Azores: land lies within a few kilometres."""
    assert land_in(-29, 39) == land_map.UNCERTAIN
    source = dataclasses.replace(glo30(server, {(20, -20): b""}), fallback=glo90(server, {(20, -20): b""}))
    path = fetch_dem((-28.7, 39.4, -28.6, 39.5), tmp_path, EarthdataSession(), source=source)
    height, flags, *_ = bands(path)
    assert (height == 0).all()
    assert (flags == SEA).all()


def test_only_the_cells_of_the_area_are_fetched(server: Any, tmp_path: Path) -> None:
    """The one between -1 and 0 degrees as well, without its neighbour."""
    source = glo30(server, {(-1, 7): tile(-1, 7), (0, 7): tile(0, 7)})
    fetch_dem((-0.6, 7.4, -0.4, 7.6), tmp_path, EarthdataSession(), source=source)
    assert [asked.path for asked in server.asked if "E000" in asked.path] == []


@pytest.mark.parametrize(
    ("lon", "lat", "expected"),
    [(46, 39, 2), (406, 39, 2), (-4, 40, 2), (0, 0, 0), (-30, 10, 0), (179, 0, 0), (-180, -17, 2)],
)
def test_the_map_of_land(lon: int, lat: int, expected: int) -> None:
    assert land_in(lon, lat) == expected


def test_an_area_of_sea_alone(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(-9, 31): tile(-9, 31)})
    height, flags, *_ = bands(
        fetch_dem((-30.501, 10.5, -30.5, 10.501), tmp_path, EarthdataSession(), source=source, margin_deg=0.01)
    )
    assert (height == 0).all()
    assert (flags == SEA).all()


def test_a_tile_that_is_in_the_list_and_missing_is_an_error(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(-9, 31): tile(-9, 31)}, listed={(-9, 31), (-8, 31)})
    with pytest.raises(ArchiveError, match=r"1 of 2 tiles .* in its list and cannot be fetched .so they are not sea"):
        fetch_dem((-8.2, 31.4, -7.8, 31.6), tmp_path, EarthdataSession(), source=source, limits=QUICK)


@pytest.mark.parametrize("content", [b"", b"<html>maintenance</html>", b"Copernicus_DSM_COG_10_N31_00_W009_00_DEM\n"])
def test_a_list_that_is_not_whole_is_no_proof_of_sea(server: Any, tmp_path: Path, content: bytes) -> None:
    source = dataclasses.replace(glo30(server, {(-9, 31): tile(-9, 31)}), least_tiles=26_000)
    server.files["/list.txt"].content = content
    with pytest.raises(ArchiveError, match=r"list"):
        fetch_dem((-9.2, 31.4, -8.8, 31.6), tmp_path, EarthdataSession(), source=source, limits=QUICK)
    assert not list(tmp_path.glob("dem_*"))


def test_tiles_are_fetched_once(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(-9, 31): tile(-9, 31)})
    session = EarthdataSession()
    path = fetch_dem((-8.6, 31.4, -8.4, 31.6), tmp_path, session, source=source)
    content, tiles = path.read_bytes(), [a for a in server.asked if a.path.endswith(".tif")]
    assert fetch_dem((-8.6, 31.4, -8.4, 31.6), tmp_path, session, source=source).read_bytes() == content
    other = fetch_dem((-8.9, 31.2, -8.7, 31.3), tmp_path, session, source=source)
    assert other != path
    assert [a for a in server.asked if a.path.endswith(".tif")] == tiles
    (kept,) = (tmp_path / "glo30").glob("*.tif")
    kept.write_bytes(b"damaged")
    assert fetch_dem((-8.9, 31.2, -8.7, 31.3), tmp_path, session, source=source).is_file()
    assert len([a for a in server.asked if a.path.endswith(".tif")]) == 2


def test_the_model_is_known_by_the_content_of_its_tiles(server: Any, tmp_path: Path) -> None:
    """A tile that is fetched again and is the same gives the same file; another content gives another."""
    source = glo30(server, {(-9, 31): tile(-9, 31)})
    bounds = (-8.6, 31.4, -8.4, 31.6)
    first = fetch_dem(bounds, tmp_path, EarthdataSession(), source=source)
    (path,) = (tmp_path / "glo30").glob("*.tif")
    path.unlink()
    assert fetch_dem(bounds, tmp_path, EarthdataSession(), source=source) == first
    path.unlink()
    server.files[f"/{path.stem}/{path.name}"].content = tile(-9, 31, void=(slice(0, 2), slice(0, 2)))
    assert fetch_dem(bounds, tmp_path, EarthdataSession(), source=source) != first


def test_small_voids_are_filled_and_flagged_wide_ones_stay(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(-9, 31): tile(-9, 31, void=(slice(20, 24), slice(30, 33)))})
    with pytest.warns(PartialDemWarning, match="filled from their neighbours"):
        path = fetch_dem((-8.9, 31.1, -8.1, 31.9), tmp_path, EarthdataSession(), source=source, margin_deg=0.0)
    height, flags, lon, lat = bands(path)
    assert (flags == FILLED).sum() == 12
    filled = np.abs(height - plane(lon[np.newaxis], lat[:, np.newaxis]))[flags == FILLED]
    assert filled.max() < 5.0  # of a plane that rises 50 m per degree
    source = glo30(server, {(-9, 31): tile(-9, 31, void=(slice(0, 60), slice(0, 50)))})
    with pytest.warns(PartialDemWarning, match="too far from any height"):
        path = fetch_dem((-8.9, 31.1, -8.05, 31.9), tmp_path / "2", EarthdataSession(), source=source, margin_deg=0.0)
    height, flags, *_ = bands(path)
    assert {VOID, MEASURED, FILLED} == set(np.unique(flags))
    assert np.isnan(height[flags == VOID]).all()
    assert np.isfinite(height[flags != VOID]).all()


def test_tiles_of_two_spacings_meet_at_fifty_degrees(server: Any, tmp_path: Path) -> None:
    """GLO-30's tiles north of 50 degrees have posts 1.5 times as far apart in longitude."""
    source = glo30(server, {(10, 49): tile(10, 49), (10, 50): tile(10, 50, step_lon=1 / 40)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = fetch_dem((10.3, 49.8, 10.7, 50.2), tmp_path, EarthdataSession(), source=source)
    height, flags, lon, lat = bands(path)
    np.testing.assert_allclose(height, plane(lon[np.newaxis], lat[:, np.newaxis]), atol=0.01)
    assert (flags == MEASURED).all()


def test_an_area_across_the_antimeridian(server: Any, tmp_path: Path) -> None:
    source = glo30(server, {(179, 51): tile(179, 51), (-180, 51): tile(-180, 51)})
    path = fetch_dem((179.8, 51.4, 180.2, 51.6), tmp_path, EarthdataSession(), source=source)
    _, flags, lon, _ = bands(path)
    assert (flags == MEASURED).all()
    assert lon.min() < 179.75
    assert lon.max() > 180.25


def test_srtm_comes_in_zips(server: Any, tmp_path: Path) -> None:
    """Real SRTM tiles have 3601 x 3601 posts, big-endian, the edges shared with the neighbours."""
    rows = 31 + 1 - np.arange(3601) / 3600
    columns = -9 + np.arange(3601) / 3600
    heights = np.round(plane(columns[np.newaxis], rows[:, np.newaxis])).astype(">i2")
    heights[100:103, 200:202] = -32768
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("N31W009.hgt", heights.tobytes())
    server.add("/srtm/", b'<a href="N31W009.SRTMGL1.hgt.zip">x</a>', content_type="text/html")
    server.add("/srtm/N31W009.SRTMGL1.hgt.zip", buffer.getvalue())
    source = dataclasses.replace(
        SRTM, list_url=f"{server.url}/srtm/", tile_url=f"{server.url}/srtm/{{tile}}.SRTMGL1.hgt.zip", least_tiles=1
    )
    bounds = (-9 + 190 / 3600, 32 - 110 / 3600, -9 + 210 / 3600, 32 - 90 / 3600)
    with pytest.warns(PartialDemWarning, match="filled"):
        path = fetch_dem(bounds, tmp_path, EarthdataSession(), source=source, margin_deg=0.0)
    height, flags, lon, lat = bands(path)
    assert (flags == FILLED).sum() == 6
    assert np.abs(height - plane(lon[np.newaxis], lat[:, np.newaxis])).max() < 1.0


@pytest.mark.parametrize(
    ("bounds", "options", "error", "said"),
    [
        ((10, 61, 11, 62), {"source": "srtm1"}, DemError, "from -56 to 60 degrees"),
        ((10, 45, 11, 46), {"source": "aster"}, OptionError, "unknown; there are glo30, srtm1"),
        ((11, 45, 10, 46), {}, OptionError, "west, south, east, north"),
        ((10, 45, math.nan, 46), {}, OptionError, "west, south, east, north"),
        ((10, 45, 11, 46), {"margin_deg": -1}, OptionError, "margin_deg"),
        ((0, 0, 40, 40), {}, DemError, "tiles .limit 100"),
    ],
)
def test_impossible_areas_are_refused_before_the_network(
    tmp_path: Path, bounds: Any, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        fetch_dem(bounds, tmp_path, EarthdataSession(), **options)
