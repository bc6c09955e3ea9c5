"""Orbits, geoid and elevation where SNAP looks for them, and the machine's limits as they are."""

from __future__ import annotations

import dataclasses
import errno
import io
import lzma
import resource
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.snap import provision
from insar_mining.coherence.snap import settings as places
from insar_mining.coherence.snap.graphs import known_version
from insar_mining.coherence.snap.provision import (
    DEM_NODATA,
    geoid_zip,
    lay_geoid,
    lay_orbit,
    read_external_dem,
    write_external_dem,
)
from insar_mining.coherence.snap.settings import (
    completed,
    find_gpt,
    find_snap,
    parse_version,
    settings,
    variant,
)
from insar_mining.errors import DemError, EngineError, OptionError, OrbitError, PartialDemWarning
from insar_mining.geo.elevation import margin_for_any_engine_deg, read_dem, tile_reach_deg
from insar_mining.geo.geoid import geoid_undulation_m
from insar_mining.machine import memory_bytes, processors
from insar_mining.options.models import SnapOptions

sys.path.insert(0, str(Path(__file__).parents[3] / "standin_gpt"))
from geometry import Elevation

EOF = "S1A_OPER_AUX_RESORB_OPOD_20220918T093241_V20220918T053155_20220918T084925"
MIB = 1024**2
DATA = Path(__file__).parents[3] / "data"


def test_a_renamed_orbit_file_gets_its_name_back(tmp_path: Path) -> None:
    given = tmp_path / "my orbit (1).xml"
    given.write_bytes(lzma.decompress((DATA / "azores" / f"{EOF}.EOF.xz").read_bytes()))
    laid = lay_orbit(given, tmp_path / "user")
    assert laid.orbit_type == "Sentinel Restituted (Auto Download)"
    assert laid.name == f"{EOF}.EOF"
    copy = tmp_path / "user/auxdata/Orbits/Sentinel-1/RESORB/S1A/2022/09" / laid.name
    assert copy.read_bytes() == given.read_bytes()


def test_an_orbit_of_two_months_is_laid_into_both(tmp_path: Path) -> None:
    """A precise orbit reaches an hour into the days around it; SNAP looks into the month of the acquisition."""
    name = "S1C_OPER_AUX_POEORB_OPOD_20260620T070000_V20260531T225942_20260602T005942"
    given = tmp_path / "x.EOF"
    header = (
        f"<Earth_Explorer_Header><Fixed_Header><File_Name>{name}</File_Name></Fixed_Header></Earth_Explorer_Header>"
    )
    given.write_text(f"<Earth_Explorer_File>{header}</Earth_Explorer_File>")
    assert lay_orbit(given, tmp_path / "user").orbit_type == "Sentinel Precise (Auto Download)"
    found = sorted(p.relative_to(tmp_path / "user").as_posix() for p in (tmp_path / "user").rglob("*.EOF"))
    place = "auxdata/Orbits/Sentinel-1/POEORB/S1C/2026"
    assert found == [f"{place}/05/{name}.EOF", f"{place}/06/{name}.EOF"]


def test_what_is_no_orbit_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.EOF").write_text("<Earth_Explorer_File/>")
    with pytest.raises(OrbitError, match="SNAP would not find"):
        lay_orbit(tmp_path / "a.EOF", tmp_path)
    (tmp_path / "b.EOF").write_text("no xml")
    with pytest.raises(OrbitError, match="cannot be read as an EOF orbit file"):
        lay_orbit(tmp_path / "b.EOF", tmp_path)


def test_the_geoid_is_laid_out_as_snap_counts_it() -> None:
    """SNAP skips 75 characters, and then takes 191 lines for each of 721 parallels."""
    with zipfile.ZipFile(io.BytesIO(geoid_zip())) as archive:
        (name,) = archive.namelist()
        text = archive.read(name).decode("ascii")
    assert name == "ww15mgh_b.grd"
    assert text[:73].split() == ["-90.000000", "90.000000", "0.000000", "360.000000", "0.250000", "0.250000"]
    assert text[73:75] == "\n\n"
    lines = text[75:].split("\n")
    for row, latitude in ((0, 90.0), (236, 31.0), (720, -90.0)):
        block = lines[row * 191 : (row + 1) * 191]
        assert [len(line) for line in block[:20]] == [73] * 20
        assert block[20] == block[190] == ""
        values = np.array(" ".join(block).split(), dtype=float)
        np.testing.assert_allclose(values, geoid_undulation_m(np.arange(1441) / 4, latitude), atol=6e-4)


def test_the_external_dem_is_above_the_geoid_and_has_no_zero_for_a_void(plan, tmp_path: Path) -> None:
    for heights in ("orthometric", "ellipsoid"):
        made = plan(dem_heights=heights)
        with rasterio.open(write_external_dem(read_external_dem(made), tmp_path / "dem.tif")) as source:
            assert source.crs.to_epsg() == 4326
            assert source.nodata == -32768
            values, t = source.read(1), source.transform
        ellipsoidal = read_dem(made.elevation.path, made.grid.bounds_lonlat(), margin_deg=0.2, heights=heights)
        # half a cell to the south-east: SNAP takes the corner of the first cell for its post
        lon, lat = np.meshgrid(t.c + np.arange(values.shape[1]) * t.a, t.f + np.arange(values.shape[0]) * t.e)
        inside = values != -32768
        want = ellipsoidal.sample(lon, lat) - geoid_undulation_m(lon, lat)
        np.testing.assert_allclose(values[inside], want[inside], atol=1e-3)


def test_snap_reads_the_right_heights_and_would_not_without_the_half_cell(plan, tmp_path: Path, monkeypatch) -> None:
    """The stand-in reads an external model as SNAP 13 and 14 were seen to do."""
    made = plan()
    west, south, east, north = made.grid.bounds_lonlat()
    lon, lat = np.random.default_rng(3).uniform((west, south), (east, north), (2000, 2)).T
    truth = read_dem(made.elevation.path, made.grid.bounds_lonlat()).sample(lon, lat)
    lay_geoid(tmp_path)

    def error() -> float:
        file = write_external_dem(read_external_dem(made), tmp_path / "dem.tif")
        return float(np.abs(Elevation(file, DEM_NODATA, tmp_path).at(lon, lat) - truth).max())

    assert error() < 0.02
    monkeypatch.setattr(provision, "AS_SNAP_READS", (0.0, 0.0))
    assert error() > 0.3


def _cropped(plan: CoherencePlan, path: Path, sides: tuple[float, float, float, float]) -> CoherencePlan:
    """The plan with its elevation model cut to so many degrees beyond the grid (west, south, east, north)."""
    west, south, east, north = plan.grid.bounds_lonlat()
    bounds = west - sides[0], south - sides[1], east + sides[2], north + sides[3]
    with rasterio.open(plan.elevation.path) as source:
        window = source.window(*bounds).round_offsets().round_lengths()
        profile = {**source.profile, "width": int(window.width), "height": int(window.height),
                   "transform": source.window_transform(window)}  # fmt: skip
        with rasterio.open(path, "w", **profile) as target:
            target.write(source.read(window=window))
    return _over(plan, path)


def _over(plan: CoherencePlan, dem: Path) -> CoherencePlan:
    """Return the plan with another elevation model."""
    return dataclasses.replace(plan, elevation=dataclasses.replace(plan.elevation, path=dem))


@pytest.mark.parametrize("side", range(4))
def test_an_elevation_model_that_ends_near_the_area_is_refused(plan, tmp_path: Path, side: int) -> None:
    read_external_dem(_cropped(plan(), tmp_path / "enough.tif", (0.1,) * 4))
    sides = tuple(0.02 if k == side else 0.12 for k in range(4))
    name = ("west", "south", "east", "north")[side]
    with pytest.raises(DemError, match=rf"SNAP.*: {name} 0\.0[12]\d degrees \(limit 0\.100\).*--engine builtin"):
        read_external_dem(_cropped(plan(), tmp_path / "short.tif", sides))


def test_high_ground_and_high_latitudes_need_a_longer_reach(plan, tmp_path: Path) -> None:
    assert tile_reach_deg(31.0, 1000.0) == (0.1, 0.1)
    # ground of 5 km under the Andes' latitude is displaced by up to 8.75 km, beside a tile of 4.6 km
    assert tile_reach_deg(-23.0, 5000.0)[0] == pytest.approx((4600 + 8750) / (111_320 * np.cos(np.radians(23))))
    assert tile_reach_deg(68.0, 500.0)[0] > 0.1 == tile_reach_deg(68.0, 500.0)[1]
    for latitude in (0.0, 31.0, -54.0, 69.0):  # what is fetched reaches that far over ground of 5 km
        bounds = (10.0, latitude - 0.05, 10.1, latitude + 0.05)
        assert margin_for_any_engine_deg(bounds) >= max(tile_reach_deg(abs(latitude) + 0.05, 5000.0)) + 0.01
    made = plan()
    with rasterio.open(made.elevation.path) as source:
        profile, heights = source.profile, source.read() + 4000
    with rasterio.open(tmp_path / "high.tif", "w", **profile) as target:
        target.write(heights)
    high = _cropped(_over(made, tmp_path / "high.tif"), tmp_path / "cut.tif", (0.1,) * 4)
    with pytest.raises(DemError, match=r"west 0\.10\d degrees \(limit 0\.1[45]\d\)"):
        read_external_dem(high)


def test_voids_within_reach_are_said(plan, tmp_path: Path) -> None:
    made = plan()
    with rasterio.open(made.elevation.path) as source:
        profile, heights = source.profile, source.read(1)
    heights[:, : heights.shape[1] // 3][heights.shape[0] // 2 :] = profile["nodata"]
    heights[heights.shape[0] // 2, 0] = 1000  # and what is left still reaches as far
    with rasterio.open(tmp_path / "void.tif", "w", **profile) as target:
        target.write(heights, 1)
    with pytest.warns(PartialDemWarning, match=r"void\.tif: \d+\.\d\d% of the ground"):
        read_external_dem(_over(made, tmp_path / "void.tif"))


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\necho 'SNAP Release version 12.0.1'\n")
    path.chmod(0o755)
    return path


def test_snap_is_found_by_its_home_then_the_path_then_usual_places(tmp_path: Path, monkeypatch) -> None:
    home, path, usual = (_program(tmp_path / name / "bin" / "gpt") for name in ("home", "path", "usual"))
    monkeypatch.setattr(places, "USUAL_PLACES", (str(tmp_path / "usual"),))
    env = {"SNAP_HOME": str(tmp_path / "home"), "PATH": str(path.parent)}
    assert find_gpt(env) == (home, "SNAP_HOME")
    assert find_gpt({"PATH": env["PATH"]}) == (path, "PATH")
    assert find_gpt({"PATH": ""}) == (usual, str(tmp_path / "usual"))
    with pytest.raises(EngineError, match="holds no bin/gpt"):
        find_gpt({**env, "SNAP_HOME": str(tmp_path)})
    assert find_snap(env).version == (12, 0, 1)
    (tmp_path / "home" / "VERSION.txt").write_text("14.0.0\n")
    assert find_snap(env).version_text == "14.0.0"
    monkeypatch.setattr(places, "USUAL_PLACES", ())
    with pytest.raises(EngineError, match=r"SNAP was not found.*--engine builtin"):
        find_snap({"PATH": ""})


def test_a_version_that_is_not_known_takes_the_nearest_graphs() -> None:
    assert [known_version(v) for v in ((9, 0, 0), (13, 0, 4), (14, 0, 0), (15,), ())] == [13, 13, 14, 14, 13]
    assert parse_version("nothing") == ()


def test_limits_come_from_the_container(tmp_path: Path) -> None:
    group = tmp_path / "cg" / "a" / "b"
    group.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    (group / "memory.max").write_text("max\n")
    (tmp_path / "cg" / "a" / "memory.max").write_text(f"{3 * 1024 * MIB}\n")
    (group / "cpu.max").write_text("100000 100000\n")
    assert memory_bytes(tmp_path / "cg", own) == 3 * 1024 * MIB
    assert processors(tmp_path / "cg", own) == 1
    legacy = tmp_path / "v1"
    (legacy / "memory").mkdir(parents=True)
    (legacy / "memory" / "memory.limit_in_bytes").write_text(str(2048 * MIB))
    assert memory_bytes(legacy, tmp_path / "none") == 2048 * MIB


def test_an_elevation_model_that_a_full_disk_cuts_off_is_found(plan, tmp_path: Path) -> None:
    """GDAL may close a file without a word that it could not write to the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = plan()
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"dem\.tif cannot be written whole") as caught:
            write_external_dem(read_external_dem(made), tmp_path / "dem.tif")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.ENOSPC  # which the workspace calls a full disk


def test_settings_are_read_and_bounded(tmp_path: Path) -> None:
    environment = {"INSAR_MINING_SNAP_MEMORY": "8G", "INSAR_MINING_SNAP_PARALLELISM": "6",
                   "INSAR_MINING_SNAP_SPECTRAL_DIVERSITY": "1", "INSAR_MINING_SNAP_SCRATCH": str(tmp_path)}  # fmt: skip
    made = settings(None, environment)
    assert (made.heap_mib, made.cache_mib, made.parallelism, made.spectral_diversity) == (8192, 4096, 6, True)
    assert (made.gentler().parallelism, made.gentler().cache_mib) == (3, 2048)
    assert (made.scratch, made.graphs) == (tmp_path, None)
    plain = settings(None, {})
    assert plain.heap_mib >= 1024
    assert (plain.idle_s, plain.wall_s, plain.keep_failed, plain.spectral_diversity) == (900, 21600, 3, False)
    wrong = {"MEMORY": "many", "PARALLELISM": "0", "IDLE_S": "x", "SPECTRAL_DIVERSITY": "perhaps",
             "SCRATCH": "/none/at/all", "GRAPHS": "/none", "KEEP_FAILED": "-1"}  # fmt: skip
    for name, value in [*wrong.items(), ("MEMORY", "10M")]:
        with pytest.raises(OptionError, match=f"INSAR_MINING_SNAP_{name}"):
            settings(None, {f"INSAR_MINING_SNAP_{name}": value})


def test_an_option_that_is_given_goes_before_the_environment(tmp_path: Path) -> None:
    """Option, then environment, then the machine; every option has its variable."""
    environment = {"INSAR_MINING_SNAP_MEMORY": "8G", "INSAR_MINING_SNAP_PARALLELISM": "6"}
    made = settings(SnapOptions(memory="4G", keep_failed=0), environment)
    assert (made.heap_mib, made.parallelism, made.keep_failed) == (4096, 6, 0)
    made = settings(SnapOptions(parallelism=2), environment)
    assert (made.heap_mib, made.parallelism) == (8192, 2)
    values = {"memory": "3G", "parallelism": 3, "idle_s": 5.0, "wall_s": 6.0, "scratch": tmp_path, "keep_failed": 9,
              "graphs": tmp_path, "spectral_diversity": True}  # fmt: skip
    assert values.keys() == SnapOptions.model_fields.keys()
    variables = {f"INSAR_MINING_SNAP_{name.upper()}": str(value) for name, value in values.items()}
    assert completed(None, variables) == SnapOptions(**values)


def test_what_changes_the_result_is_named_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "split.xml").write_text("<graph/>")
    assert variant(None, {"INSAR_MINING_SNAP_MEMORY": "8G", "INSAR_MINING_SNAP_SCRATCH": str(tmp_path)}) == ""
    assert variant(None, {"INSAR_MINING_SNAP_SPECTRAL_DIVERSITY": "true"}) == "enhanced spectral diversity"
    own = variant(None, {"INSAR_MINING_SNAP_GRAPHS": str(tmp_path)})
    assert own.startswith("own graphs ")
    (tmp_path / "split.xml").write_text("<graph></graph>")
    assert variant(None, {"INSAR_MINING_SNAP_GRAPHS": str(tmp_path)}) != own
