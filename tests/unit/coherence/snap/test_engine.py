"""The SNAP engine over two sub-swaths, with spectral diversity; and what it refuses before it starts."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from shapely.geometry import box, mapping
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.coherence.compare import compare_maps
from insar_mining.coherence.current import is_current
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.snap import engine
from insar_mining.coherence.snap.provision import PLAIN
from insar_mining.coherence.snap.settings import SnapSettings, settings
from insar_mining.errors import DemError, EngineError, EngineWarning, SnapError, SnapGraphError, SnapOrbitError
from insar_mining.geometry.terrain import heights_for
from insar_mining.options.models import RunOptions, SnapOptions, read_options, to_yaml
from insar_mining.pipeline import jobs, maps
from insar_mining.sentinel1.product import open_product

from .conftest import AREA

MakePlan = Callable[..., CoherencePlan]
LATE_LINES = 6e-5 / 0.002055556  # how late the secondary's orbit is, see conftest.py
ODD = "é [1] 'x' (2) & co $HOME \"q\""


def test_two_sub_swaths_agree_with_the_built_in_engine(recorded, plan: MakePlan, orbits: list[Path]) -> None:
    """Median |d| < 0.01, 95th percentile < 0.05, |mean d| < 0.005, correlation > 0.99, masks alike but for rims.

    SNAP's side was given an orbit that is 60 microseconds late, and spectral diversity to find it out.
    """
    assert {pair.swath for pair in recorded.plan.bursts} == {"IW1", "IW2"}
    assert (recorded.products / "merge.dim").is_file()
    made = plan(orbits=orbits)
    found = compare_maps(coherence(made, "builtin"), recorded.plan.out)
    assert found.failures() == []
    assert found.cells > 1000
    assert found.median_absolute < 0.002
    assert np.nanmedian(recorded.values) > 0.75  # and they do not agree on noise


def test_spectral_diversity_finds_the_shift_where_bursts_overlap(recorded) -> None:
    swath, shift = recorded.notes.split()
    assert swath == "IW1"  # the other shows the area in one burst
    assert abs(abs(float(shift)) - LATE_LINES) < 0.001
    (text,) = [text for text in recorded.warned if "spectral diversity" in text]
    assert text.startswith("IW2")


def test_a_map_made_in_another_way_is_not_taken_for_a_finished_one(recorded, tmp_path: Path) -> None:
    version = "SNAP 13.0.4 with enhanced spectral diversity (geometry alone in IW2)"
    assert recorded.tags["ENGINE_VERSION"] == version
    assert recorded.tags["SPECTRAL_DIVERSITY"] == "IW1: estimated; IW2: geometry alone"
    made = recorded.plan
    assert not is_current(made, "snap")
    asked = SnapOptions(spectral_diversity=True)
    assert is_current(made, "snap", asked)
    assert not is_current(made, "snappy", asked)
    assert not is_current(made, "snap", asked.replace(graphs=tmp_path))
    # and what changes nothing does not matter
    assert is_current(made, "snap", asked.replace(memory="3G", scratch=tmp_path))


def test_each_stage_is_deleted_when_it_is_no_longer_needed(replayed: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no time do more products lie on disk than the next stage reads, and those of the other sub-swath."""
    most = []
    runs = engine.Gpt.run

    def run(self: engine.Gpt, graph: Path, *rest: object) -> None:
        most.append(sorted(path.stem for path in self.folder.glob("*.dim")))
        runs(self, graph, *rest)

    monkeypatch.setattr(engine.Gpt, "run", run)
    shares: list[float] = []
    coherence(replayed(), "snap", progress=shares.append)
    assert most[-3:] == [["interferogram-IW1", "interferogram-IW2"], ["merge"], ["subset"]]
    assert max(len(products) for products in most) <= 3
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def linked(path: Path, folder: Path) -> Path:
    """Return a link of the same name in another folder."""
    (folder / path.name).symlink_to(path)
    return folder / path.name


@pytest.mark.parametrize("how", ["out", "scratch", "inputs"])
def test_odd_paths_change_nothing(
    replayed: MakePlan, recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Products, elevation, orbits, results and scratch in a folder whose name holds everything that shells care for."""
    odd = tmp_path / ODD
    odd.mkdir()
    made = replayed(out=(odd if how == "out" else tmp_path) / "a.tif")
    if how == "scratch":
        monkeypatch.setenv("INSAR_MINING_SNAP_SCRATCH", str(odd))
    if how == "inputs":
        first, second = (
            replace(date, path=linked(date.path, odd), orbit=linked(date.orbit, odd))
            for date in (made.scenes.reference, made.scenes.secondary)
        )
        elevation = replace(made.elevation, path=linked(made.elevation.path, odd))
        made = replace(made, scenes=replace(made.scenes, reference=first, secondary=second), elevation=elevation)
    seen: list[str] = []
    arguments = engine.Gpt.arguments

    def note(self: engine.Gpt, *rest: object) -> list[str]:
        seen.extend(arguments(self, *rest))
        return arguments(self, *rest)

    monkeypatch.setattr(engine.Gpt, "arguments", note)
    with rasterio.open(coherence(made, "snap")) as source:
        np.testing.assert_array_equal(source.read(1), recorded.values)
    work = [text.partition("=")[2] or text for text in seen if str(tmp_path) in text or "insar-mining-" in text]
    assert work
    assert all(PLAIN.fullmatch(path) for path in work if "esa snap" not in path)
    assert not list(odd.glob(".snap-*"))


def test_two_at_once_in_one_folder(recorded, snap_home: Path, orbits: list[Path], tmp_path: Path) -> None:
    """Two commands for one map in one folder do not disturb one another; both leave the whole map."""
    made = recorded.plan
    west, south, east, north = -8.9050, 31.1987, -8.8940, 31.2037
    command = [
        sys.executable, "-m", "insar_mining", "coherence", str(made.scenes.reference.path),
        str(made.scenes.secondary.path), "--dem", str(made.elevation.path), "--bbox",
        *map(str, (west, south, east, north)), "--engine", "snap", "--snap", "memory=2G",
        "--window-anchor", "snap", "--orbit", str(orbits[0]), "--orbit", str(orbits[1]), "-o",
        str(tmp_path / "out" / "map.tif"), "--json",
    ]  # fmt: skip
    environment = {
        "SNAP_HOME": str(snap_home), "STANDIN_REPLAY": str(recorded.products), "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(path for path in sys.path if path),
    }  # fmt: skip
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert json.loads(said[0][0]) == json.loads(said[1][0])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["map.json", "map.tif"]
    with rasterio.open(tmp_path / "out" / "map.tif") as source:
        np.testing.assert_array_equal(source.read(1), recorded.values)


def test_options_reach_snap_from_file_command_and_environment(
    simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line goes before the options file, the file before the environment."""

    class Enough(Exception):
        pass

    seen: list[SnapSettings] = []

    def stop(scenes: object, planner: maps.Planner, progress: object) -> None:
        chosen = planner.engine()
        assert isinstance(chosen, engine.SnapEngine)
        seen.append(settings(chosen.options))
        raise Enough

    monkeypatch.setattr(jobs, "make_maps", stop)
    monkeypatch.setenv("INSAR_MINING_SNAP_WALL_S", "77")
    monkeypatch.setenv("INSAR_MINING_SNAP_MEMORY", "9G")
    mine = tmp_path / "mine.geojson"
    mine.write_text(json.dumps(mapping(box(-8.902, 31.200, -8.898, 31.203))), encoding="utf-8")
    config = tmp_path / "options.yaml"
    own = SnapOptions(memory="3G", parallelism=2, scratch=tmp_path)
    config.write_text(to_yaml(RunOptions(snap=own)), encoding="utf-8")
    assert read_options(config, RunOptions).snap == own
    command = ["run", str(mine), "--start", "2023-09-01", "--end", "2023-09-30", "--dem", str(simulated.dem), "--out",
               str(tmp_path / "out"), "--scenes", str(simulated.reference.parent), "--config", str(config)]  # fmt: skip
    result = CliRunner().invoke(app, [*command, "--engine", "snap", "--snap", "memory=4G", "--snap", "keep_failed=0"])
    assert "Enough" in result.stderr
    (found,) = seen
    assert (found.heap_mib, found.parallelism, found.wall_s, found.keep_failed) == (4096, 2, 77, 0)
    assert found.scratch == tmp_path
    assert settings().heap_mib == 9 * 1024  # and afterwards nothing of it is left


@pytest.mark.parametrize(
    ("text", "said"),
    [("memory", "write NAME=VALUE"), ("memry=4G", "did you mean 'memory'"), ("memory=much", "memory"),
     ("parallelism=0", "greater than or equal to 1"), ("idle_s=soon", "idle_s")],
)  # fmt: skip
def test_an_option_that_snap_cannot_have_is_refused(text: str, said: str) -> None:
    result = CliRunner().invoke(app, ["graph", "run", "goldstein", "--snap", text])
    assert result.exit_code == 1
    assert said in result.stderr


def test_an_orbit_file_that_snap_does_not_find_is_said(
    plan: MakePlan, orbits: list[Path], snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "lay_orbit", lambda *_: engine.LaidOrbit("Sentinel Precise (Auto Download)", "X.EOF"))
    with pytest.raises(SnapOrbitError, match=r"No valid orbit file found.*--orbit"):
        coherence(plan(orbits=orbits), "snap")


def test_single_bursts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--engine builtin for single bursts"):
        engine._refuse_bursts(tmp_path)


def test_without_snap_the_error_says_how_to_get_it(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAP_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("insar_mining.coherence.snap.settings.USUAL_PLACES", ())
    with pytest.raises(EngineError, match="SNAP was not found"):
        coherence(plan(), "snap")


def test_another_version_runs_with_a_warning(
    replayed: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snap_home / "VERSION.txt").write_text("9.0.0\n")
    monkeypatch.setenv("STANDIN_MISCHIEF", "unknown@split")
    with (
        pytest.warns(EngineWarning, match="SNAP 9.0.0: the graphs are checked against 13 and 14 only"),
        pytest.raises(SnapGraphError),
    ):
        coherence(replayed(), "snap")


def test_one_engine_does_not_pass_off_the_map_of_another(replayed: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    made = replayed()
    coherence(made, "builtin")
    with rasterio.open(made.out) as source:
        assert source.tags()["ENGINE"] == "builtin"
    monkeypatch.setenv("STANDIN_MISCHIEF", "unknown@split")
    with pytest.raises(SnapGraphError):
        coherence(made, "snap")


def test_the_engine_says_which_snap_it_ran(replayed: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_MISCHIEF", "unknown@split")
    chosen = engine.SnapEngine()
    with pytest.raises(SnapGraphError):
        chosen.map_coherence(replayed(), lambda share: None)
    assert chosen.version == "SNAP 13.0.4"


def test_a_map_whose_spectral_diversity_failed_says_so(
    replayed: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SNAP ends with "Arrays must have the same length." on narrow crops; geometry stands, and the map is tagged so."""
    monkeypatch.setenv("STANDIN_MISCHIEF", "narrow@coregister-IW1")
    asked = SnapOptions(spectral_diversity=True)
    made = replayed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = coherence(made, engine.SnapEngine(asked))
    first, second = [str(w.message) for w in caught if w.category is EngineWarning]
    assert "Arrays must have the same length" in first
    assert second.startswith("IW2")
    with rasterio.open(path) as source:
        tags = source.tags()
    assert tags["ENGINE_VERSION"].endswith("with enhanced spectral diversity (geometry alone in IW1, IW2)")
    assert tags["SPECTRAL_DIVERSITY"] == "IW1: geometry alone; IW2: geometry alone"
    assert is_current(made, "snap", asked)  # it is not tried again on every run
    assert not is_current(made, "snap")


def test_a_missing_fortran_library_stops_all_pairs_by_name(
    replayed: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coregistration only warns of it; the interferogram fails, and so would every other pair."""
    monkeypatch.setenv("STANDIN_MISCHIEF", "fortran@")
    with pytest.raises(EngineError, match="libgfortran5") as caught:
        coherence(replayed(), "snap")
    assert not isinstance(caught.value, SnapError)
    assert "interferogram-IW1" in str(caught.value)


def test_copies_of_the_reader_count_as_disk_space(replayed: MakePlan) -> None:
    """Below 8 GiB of heap SNAP's reader copies a measurement, all bursts of a sub-swath, before it reads it."""
    made = replayed()
    little, much = (engine.disk_bytes(made, SnapSettings(heap, 512, 4)) for heap in (4096, 8192))
    swaths = [open_product(made.scenes.reference.path).sub_swath(name, "VV") for name in ("IW1", "IW2")]
    assert little - much == max(len(s.bursts) * s.lines_per_burst * s.samples_per_burst * 4 for s in swaths)


def test_a_folder_of_orbit_files_is_taken_by_both_engines(
    replayed: MakePlan, orbits: list[Path], snap_home: Path, tmp_path: Path
) -> None:
    """`coherence --orbit FOLDER` as its help has it; each date gets the file that covers it."""
    made = replayed()
    (tmp_path / "area.geojson").write_text(json.dumps(mapping(box(*AREA))))
    for name in ("builtin", "snap"):
        out = tmp_path / name / "20230904_20230916.tif"
        ran = CliRunner().invoke(app, [
            "coherence", str(made.scenes.reference.path), str(made.scenes.secondary.path), "--dem",
            str(made.elevation.path), "--mine",
            str(tmp_path / "area.geojson"), "--orbit", str(orbits[0].parent), "--window-anchor", "snap",
            "--engine", name, "-o", str(out),
        ])  # fmt: skip
        assert ran.exit_code == 0, ran.stderr
        with rasterio.open(out) as source:
            tags = source.tags()
        assert (tags["REFERENCE_ORBIT"], tags["SECONDARY_ORBIT"]) == tuple(orbit.name for orbit in orbits)


def test_a_short_elevation_model_is_refused_before_snap_is_started(
    replayed: MakePlan, snap_home: Path, tmp_path: Path
) -> None:
    """A fault of the run, not of a pair; nothing is left behind, and the built-in engine takes the model."""
    made = replayed(orbits=[])
    west, south, east, north = made.grid.bounds_lonlat()
    with rasterio.open(made.elevation.path) as source:
        window = source.window(west - 0.02, south - 0.02, east + 0.02, north + 0.02).round_offsets().round_lengths()
        profile = {**source.profile, "width": int(window.width), "height": int(window.height),
                   "transform": source.window_transform(window)}  # fmt: skip
        with rasterio.open(tmp_path / "short.tif", "w", **profile) as target:
            target.write(source.read(window=window))
    identity = heights_for(made.grid, tmp_path / "short.tif", made.elevation.heights).identity
    short = replace(made, elevation=replace(made.elevation, path=tmp_path / "short.tif", identity=identity))
    with pytest.raises(DemError, match=r"short\.tif.*limit 0\.100.*--engine builtin"):
        coherence(short, "snap")
    assert not made.out.parent.exists() or not list(made.out.parent.iterdir())
    assert coherence(short, "builtin").is_file()
