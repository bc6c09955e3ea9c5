"""Orbits, geoid and elevation where SNAP looks for them, and the machine's limits as they are."""

from __future__ import annotations

import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from insar_mining.archive.dem import read_dem
from insar_mining.archive.geoid import geoid_undulation_m
from insar_mining.coherence.snap import install as places
from insar_mining.coherence.snap.graphs import known_version
from insar_mining.coherence.snap.install import find_gpt, find_snap, parse_version
from insar_mining.coherence.snap.provision import geoid_zip, lay_orbit, write_external_dem
from insar_mining.coherence.snap.settings import memory_bytes, processors, settings
from insar_mining.errors import EngineError, OptionError, OrbitError

EOF = "S1A_OPER_AUX_RESORB_OPOD_20220918T093241_V20220918T053155_20220918T084925"
MIB = 1024**2
DATA = Path(__file__).parents[3] / "data"


def test_a_renamed_orbit_file_gets_its_name_back(tmp_path: Path) -> None:
    given = tmp_path / "my orbit (1).xml"
    given.write_bytes(lzma.decompress((DATA / "azores" / f"{EOF}.EOF.xz").read_bytes()))
    orbit_type, name = lay_orbit(given, tmp_path / "user", "S1A", "2022-09-18")
    laid = tmp_path / "user/auxdata/Orbits/Sentinel-1/RESORB/S1A/2022/09" / name
    assert orbit_type == "Sentinel Restituted (Auto Download)"
    assert name == f"{EOF}.EOF"
    assert laid.read_bytes() == given.read_bytes()


def test_what_is_no_orbit_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.EOF").write_text("<Earth_Explorer_File/>")
    with pytest.raises(OrbitError, match="SNAP would not find"):
        lay_orbit(tmp_path / "a.EOF", tmp_path, "S1A", "2022-09-18")
    (tmp_path / "b.EOF").write_text("no xml")
    with pytest.raises(OrbitError, match="fetch it again"):
        lay_orbit(tmp_path / "b.EOF", tmp_path, "S1A", "2022-09-18")


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
        with rasterio.open(write_external_dem(made, tmp_path / "dem.tif")) as source:
            assert source.crs.to_epsg() == 4326
            assert source.nodata == -32768
            values, t = source.read(1), source.transform
        ellipsoidal = read_dem(made.dem, made.grid.bounds_lonlat(), margin_deg=0.2, heights=heights)
        lon, lat = np.meshgrid(
            t.c + (np.arange(values.shape[1]) + 0.5) * t.a, t.f + (np.arange(values.shape[0]) + 0.5) * t.e
        )
        inside = values != -32768
        want = ellipsoidal.sample(lon, lat) - geoid_undulation_m(lon, lat)
        np.testing.assert_allclose(values[inside], want[inside], atol=1e-3)


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


def test_settings_are_read_and_bounded() -> None:
    made = settings(
        {"INSAR_MINING_SNAP_MEMORY": "8G", "INSAR_MINING_SNAP_PARALLELISM": "6", "INSAR_MINING_SNAP_ESD": "1"}
    )
    assert (made.heap_mib, made.cache_mib, made.parallelism, made.spectral_diversity) == (8192, 4096, 6, True)
    assert (made.gentler().parallelism, made.gentler().cache_mib) == (3, 2048)
    assert settings({}).heap_mib >= 1024
    wrong = {"MEMORY": "many", "PARALLELISM": "0", "IDLE_S": "x", "ESD": "perhaps", "SCRATCH": "/none/at/all"}
    for name, value in [*wrong.items(), ("MEMORY", "10M")]:
        with pytest.raises(OptionError, match=name):
            settings({f"INSAR_MINING_SNAP_{name}": value})
