"""Wrong input as a new user would try it, on simulated products, with the real engine and the real commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.windows import from_bounds
from shapely.geometry import box, mapping
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.simulate import Acquisition, Settings, flat, morocco_template, simulate_stack, zones

EPSG = 32629
CENTRE = (-8.39, 31.45)
HALF_DEG = 0.008
AREA = box(CENTRE[0] - HALF_DEG, CENTRE[1] - HALF_DEG, CENTRE[0] + HALF_DEG, CENTRE[1] + HALF_DEG)
STEPS = 4


@dataclass(frozen=True)
class Stack:
    """Five dates, 12 days apart, over one small mine; the eastern third is worked."""

    folder: Path

    @property
    def scenes(self) -> Path:
        return self.folder / "scenes"

    @property
    def products(self) -> list[Path]:
        return sorted(self.scenes.iterdir(), key=lambda path: path.name[17:32])

    @property
    def dem(self) -> Path:
        return self.folder / "dem.tif"

    @property
    def mine(self) -> Path:
        return self.folder / "mine.geojson"

    def copy(self, to: Path) -> Stack:
        shutil.copytree(self.folder, to)
        return Stack(to)

    def run_arguments(self, out: Path, *more: str) -> list[str]:
        period = ["--start", "2023-09-01", "--end", "2023-12-31"]
        elevation = () if "--dem" in more else ("--dem", str(self.dem))
        return ["run", str(self.mine), *period, "--scenes", str(self.scenes), *elevation, "--out", str(out), *more]

    def pair_arguments(self, out: Path, *more: str) -> list[str]:
        first, second = self.products[:2]
        elevation = () if "--dem" in more else ("--dem", str(self.dem))  # several would all be used
        return ["coherence", str(first), str(second), *elevation, "-o", str(out), *more]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("stack") / "a mine's (é) [scenes]"
    west, south, east, north = AREA.bounds
    worked = box(east - (east - west) / 3, south, east, north)
    template = morocco_template()
    step = zones({"worked": worked}, {"worked": 0.1}, background=0.95, epsg=EPSG)
    simulate_stack(
        folder,
        [Acquisition(template, 12 * n, perpendicular_m=20.0 * n) for n in range(STEPS + 1)],
        area=AREA,
        terrain=flat(EPSG, 620.0),
        coherence=lambda _: step,
        rng=np.random.default_rng(7),
        settings=Settings(scatterers_per_cell=4.0),
        truth_pairs=(),
    )
    (folder / "mine.geojson").write_text(json.dumps(mapping(AREA)), encoding="utf-8")
    return Stack(folder)


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def error_of(result: Any) -> str:
    """The one line that tells why a command failed; there must be one, and no traceback."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.exit_code == 1, result.stderr
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    return lines[0]


def test_the_right_input_works(stack: Stack, tmp_path: Path) -> None:
    """Without this, the refusals below would show nothing."""
    result = call(*stack.run_arguments(tmp_path / "out", "--json"))
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["year"] for row in rows] == [2023]
    assert rows[0]["n_pairs"] == STEPS
    with rasterio.open(tmp_path / "out" / "ndai_2023.tif") as source:
        ndai = source.read(1)
    third = ndai.shape[1] // 3
    assert np.nanmedian(ndai[:, :third]) < 0.05
    assert np.nanmedian(ndai[:, -third + 3 :]) > 0.3


def test_a_dry_run_writes_nothing(stack: Stack, tmp_path: Path) -> None:
    result = call(*stack.run_arguments(tmp_path / "out", "--dry-run", "--json"))
    assert result.exit_code == 0, result.stderr
    planned = json.loads(result.stdout)
    assert planned["maps_to_make"] == planned["pairs"] == len(planned["list"]) == STEPS
    assert 0 < planned["bytes_to_read"] < 2 * STEPS * sum(f.stat().st_size for f in stack.products[0].rglob("*.tiff"))
    assert planned["bytes_on_disk"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_polygon_far_from_the_scene(stack: Stack, tmp_path: Path) -> None:
    far = tmp_path / "far.geojson"
    far.write_text(json.dumps(mapping(box(22.9, -27.8, 23.0, -27.7))), encoding="utf-8")
    said = error_of(call(*stack.run_arguments(tmp_path / "out"), "--mine-id", "x"))
    assert "holds no mine 'x'" in said
    arguments = stack.run_arguments(tmp_path / "out")
    arguments[1] = str(far)
    said = error_of(call(*arguments))
    assert "none of the 5 scenes sees the area: it is 22.900..23.000 E" in said
    said = error_of(call(*stack.pair_arguments(tmp_path / "c.tif", "--mine", str(far))))
    assert "does not see the area: the area is 22.8" in said
    there = move(stack.dem, tmp_path / "there.tif", 22.85, -27.65)
    said = error_of(call(*stack.pair_arguments(tmp_path / "c.tif", "--mine", str(far), "--dem", str(there))))
    assert "does not see the area" in said
    assert not (tmp_path / "c.tif").exists()


def test_two_scenes_of_different_tracks(stack: Stack, tmp_path: Path) -> None:
    other = stack.copy(tmp_path / "copy")
    manifest = other.products[1] / "manifest.safe"
    text = manifest.read_text("utf-8")
    assert ">52</" in text
    manifest.write_text(text.replace(">52</", ">60</"), encoding="utf-8")
    said = error_of(call(*other.pair_arguments(tmp_path / "c.tif", "--mine", str(stack.mine))))
    assert re.search(r"different tracks \(relative orbit 52\D+60", said)
    result = call("pairs", str(other.scenes), "--json")
    assert [row["pair"] for row in json.loads(result.stdout)] == [
        "20230904_20230928",  # the date of the other track is bridged
        "20230928_20231010",
        "20231010_20231022",
    ]


def test_the_same_scene_twice(stack: Stack, tmp_path: Path) -> None:
    first = str(stack.products[0])
    said = error_of(call("coherence", first, first, "--dem", str(stack.dem), "-o", str(tmp_path / "c.tif")))
    assert "are the same scene; a pair needs two dates" in said


def test_the_reference_after_the_secondary(stack: Stack, tmp_path: Path) -> None:
    first, second = map(str, stack.products[:2])
    said = error_of(call("coherence", second, first, "--dem", str(stack.dem), "-o", str(tmp_path / "c.tif")))
    assert "is later than the secondary" in said
    assert "later than the secondary" in said


def move(source: Path, target: Path, west: float, north: float) -> Path:
    """Write the same cells at another place."""
    with rasterio.open(source) as whole:
        profile = whole.profile | {"transform": rasterio.transform.from_origin(west, north, 0.002, 0.002)}
        with rasterio.open(target, "w", **profile) as moved:
            moved.write(whole.read())
    return target


def crop(source: Path, target: Path, bounds: tuple[float, float, float, float]) -> Path:
    """Write the part of a raster within bounds."""
    with rasterio.open(source) as whole:
        window = from_bounds(*bounds, transform=whole.transform).round_offsets().round_lengths()
        profile = whole.profile | {
            "height": window.height,
            "width": window.width,
            "transform": whole.window_transform(window),
        }
        with rasterio.open(target, "w", **profile) as part:
            part.write(whole.read(window=window))
    return target


def test_a_dem_without_overlap(stack: Stack, tmp_path: Path) -> None:
    elsewhere = move(stack.dem, tmp_path / "elsewhere.tif", 20, 50)
    said = error_of(call(*stack.run_arguments(tmp_path / "out", "--dem", str(elsewhere))))
    assert "elsewhere.tif" in said
    assert "none of the" not in said, "a fault of the elevation model must not be blamed on pairs"


def test_a_dem_with_partial_overlap(stack: Stack, tmp_path: Path) -> None:
    west, south, _, north = AREA.bounds
    half = crop(stack.dem, tmp_path / "half.tif", (west - 0.02, south - 0.02, CENTRE[0], north + 0.02))
    result = call(*stack.pair_arguments(tmp_path / "c.tif", "--mine", str(stack.mine), "--dem", str(half)))
    assert result.exit_code == 0, result.stderr
    share = re.search(r"warning: half.tif: has heights for ([\d.]+) % of the area", result.stderr)
    assert share is not None, result.stderr
    assert 40 < float(share[1]) < 75
    with rasterio.open(tmp_path / "c.tif") as source:
        finite = np.isfinite(source.read(1))
    columns = finite.mean(axis=0)
    assert columns[: len(columns) // 2 - 4].min() > 0.9
    assert columns[len(columns) // 2 + 4 :].max() == 0


def test_a_dem_that_is_no_raster(stack: Stack, tmp_path: Path) -> None:
    text = tmp_path / "dem.tif"
    text.write_text("these are not heights", encoding="utf-8")
    assert "dem.tif" in error_of(call(*stack.run_arguments(tmp_path / "out", "--dem", str(text))))
    assert "none.tif" in error_of(call(*stack.run_arguments(tmp_path / "out", "--dem", str(tmp_path / "none.tif"))))


def write_map(path: Path, value: float) -> Path:
    """A coherence raster as somebody else would write it: no tags, no nodata."""
    rng = np.random.default_rng(int(value * 100))
    values = rng.normal(value, 0.02, (60, 60)).clip(0.01, 1).astype(np.float32)
    transform = rasterio.transform.from_origin(AREA.bounds[0] - 0.002, AREA.bounds[3] + 0.002, 0.0004, 0.0004)
    with rasterio.open(path, "w", driver="GTiff", height=60, width=60, count=1, dtype="float32", crs=4326,
                       transform=transform) as target:  # fmt: skip
        target.write(values, 1)
    return path


@pytest.fixture
def foreign_maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps [of others]"
    folder.mkdir()
    for month in range(1, 7):
        write_map(folder / f"coh_2021{month:02d}05-2021{month:02d}17_VV.tif", 0.9)
    write_map(folder / "20Dec2020_01Jan2021.tif", 0.9)
    return folder


def test_a_text_file_named_tif_and_a_dem_are_left_out_and_named(
    stack: Stack, foreign_maps: Path, tmp_path: Path
) -> None:
    (foreign_maps / "20210601_20210613.tif").write_text("not a raster", encoding="utf-8")
    write_map(foreign_maps / "dem.tif", 0.5)
    result = call("analyse", str(foreign_maps), "--mine", str(stack.mine), "-o", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    for name in ("20210601_20210613.tif", "dem.tif"):
        assert re.search(f"warning: left out: .*{name}", result.stderr), result.stderr
    assert len(pd.read_csv(tmp_path / "out" / "scenes.csv")) == 7
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "20210601_20210613.tif" in report


def test_a_folder_without_dates(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    write_map(tmp_path / "maps" / "coherence.tif", 0.9)
    said = error_of(call("analyse", str(tmp_path / "maps"), "--mine", str(stack.mine), "-o", str(tmp_path / "out")))
    assert "no coherence raster with two dates among 1 file(s)" in said
    (tmp_path / "empty").mkdir()
    said = error_of(call("analyse", str(tmp_path / "empty"), "--mine", str(stack.mine), "-o", str(tmp_path / "out")))
    assert "holds no raster" in said


def test_years_that_the_maps_do_not_hold(stack: Stack, foreign_maps: Path, tmp_path: Path) -> None:
    arguments = ["analyse", str(foreign_maps), "--mine", str(stack.mine), "-o", str(tmp_path / "out")]
    said = error_of(call(*arguments, "--years", "2019"))
    assert "no coherence map of 2019; there are maps of 2020, 2021" in said
    assert call(*arguments, "--years", "2021").exit_code == 0


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that the user may not write; root may write anywhere but in the kernel's own folders."""
    if os.geteuid() == 0:
        return Path("/sys/kernel")
    folder = tmp_path / "read only"
    folder.mkdir()
    folder.chmod(0o555)
    return folder


def test_a_read_only_output_folder(stack: Stack, foreign_maps: Path, read_only: Path) -> None:
    before = sorted(read_only.iterdir())
    said = error_of(call("analyse", str(foreign_maps), "--mine", str(stack.mine), "-o", str(read_only)))
    assert f"cannot write in {read_only}: " in said
    said = error_of(call(*stack.run_arguments(read_only / "below")))
    assert f"cannot write in {read_only}/below: " in said
    assert "--out" in said
    said = error_of(call(*stack.pair_arguments(read_only / "c.tif", "--mine", str(stack.mine))))
    assert "Choose another output folder" in said
    assert sorted(read_only.iterdir()) == before


def test_a_damaged_date_is_bridged(stack: Stack, tmp_path: Path) -> None:
    damaged = stack.copy(tmp_path / "copy")
    (measurement,) = damaged.products[2].rglob("*.tiff")
    with measurement.open("r+b") as file:
        file.truncate(measurement.stat().st_size // 2)
    result = call(*damaged.run_arguments(tmp_path / "out", "--json"))
    assert result.exit_code == 0, result.stderr
    scenes = pd.read_csv(tmp_path / "out" / "scenes.csv").set_index("pair")
    assert set(scenes.index[scenes["kept"]]) == {"20230904_20230916", "20230916_20231010", "20231010_20231022"}
    assert measurement.name in scenes.loc["20230916_20230928", "reason"]
    assert "warning: pair 20230916_20230928 left out" in result.stderr


def test_an_excluded_date_is_bridged(stack: Stack) -> None:
    result = call("pairs", str(stack.scenes), "--exclude", "2023-09-16", "--json")
    assert json.loads(result.stdout)[0]["pair"] == "20230904_20230928"


def test_half_a_zip_is_left_out_and_named(stack: Stack, tmp_path: Path) -> None:
    copy = stack.copy(tmp_path / "copy")
    whole = shutil.make_archive(str(tmp_path / copy.products[4].stem), "zip", copy.scenes, copy.products[4].name)
    shutil.rmtree(copy.products[4])
    half = copy.scenes / Path(whole).name
    half.write_bytes(Path(whole).read_bytes()[:100_000])
    result = call("pairs", str(copy.scenes), "--json")
    assert re.search(f"warning: .*{half.name}", result.stderr), result.stderr
    assert len(json.loads(result.stdout)) == STEPS - 1


def test_an_options_file_with_a_wrong_key(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("pairs:\n  max_perp_baseline: 100\n", encoding="utf-8")
    said = error_of(call(*stack.run_arguments(tmp_path / "out", "--config", str(file))))
    assert "did you mean 'pairs.max_perp_baseline_m'?" in said


def test_an_engine_that_is_not_there(stack: Stack, tmp_path: Path) -> None:
    said = error_of(call(*stack.run_arguments(tmp_path / "out", "--engine", "spam")))
    assert "'builtin', 'snap' or 'snappy'" in said


def test_ctrl_c_in_the_middle_and_a_second_run(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "insar_mining", *stack.run_arguments(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not list((out / "coherence").glob("2*.json")) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert said.rstrip().endswith("a rerun of the same command continues")
    assert "Traceback" not in said
    assert not (out / "collection.json").exists()
    first = {path: path.stat().st_mtime_ns for path in (out / "coherence").glob("*.tif")}
    assert first
    result = call(*stack.run_arguments(out))
    assert result.exit_code == 0, result.stderr
    assert f"{len(first)} coherence maps of an earlier run were used again" in result.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in first.items())
    assert not list(out.rglob(".*.part*"))
