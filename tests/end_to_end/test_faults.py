"""Faults while a stack runs: each is named, skipped, reported and counted, and costs no other pair."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.mask
from shapely.geometry import box, mapping
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.coherence.engine import coherence
from insar_mining.errors import EngineError, PartialCoverageWarning, SkippedInputWarning
from insar_mining.options.models import CoherenceOptions, RunOptions
from insar_mining.pipeline.maps import Maps, Planner, make_maps
from insar_mining.pipeline.quality import with_quality
from insar_mining.scenes.network import scenes_for
from insar_mining.scenes.products import scan_products
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Acquisition, Settings, flat, morocco_template, simulate_stack

EPSG = 32629
LON, LAT, HALF_DEG = -8.39, 31.45, 0.005
AREA = box(LON - HALF_DEG, LAT - HALF_DEG, LON + HALF_DEG, LAT + HALF_DEG)
DATES = ("20230904", "20230916", "20230928", "20231010", "20231022", "20231103", "20231115")


@dataclass(frozen=True)
class Stack:
    """Seven dates, 12 days apart, over one small mine."""

    products: tuple[Path, ...]
    dem: Path

    def copy(self, to: Path, count: int) -> list[Path]:
        """The first dates again; files are linked, a fault replaces them."""
        return [
            Path(shutil.copytree(path, to / "scenes" / path.name, copy_function=os.link))
            for path in self.products[:count]
        ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    made = simulate_stack(
        tmp_path_factory.mktemp("faults"),
        [Acquisition(morocco_template(), 12 * n, perpendicular_m=20.0 * n) for n in range(len(DATES))],
        area=AREA,
        terrain=flat(EPSG, 620.0),
        coherence=lambda _: lambda x, y: np.full(x.shape, 0.9),
        rng=np.random.default_rng(17),
        settings=Settings(scatterers_per_cell=3.0, margin_m=100.0),
        truth_pairs=(),
    )
    return Stack(made.products, made.dem)


def run_maps(scenes: Path, dem: Path, out: Path) -> Maps:
    """What `run` does of a folder up to the maps."""
    options = RunOptions(dem=dem, coherence=CoherenceOptions(cache_gb=1.0))
    table = scenes_for(scan_products(scenes), area=AREA)
    return make_maps(table, Planner(AREA, dem, out, options), lambda *_: None)


# Faults: each takes a product, damages it, and returns what the message has to name -------------------


def measurement(product: Path) -> Path:
    (path,) = (product / "measurement").iterdir()
    return path


def annotation(product: Path) -> Path:
    (path,) = (product / "annotation").iterdir()
    return path


def write(path: Path, content: bytes) -> None:
    """Replace a file that may be linked elsewhere."""
    path.unlink()
    path.write_bytes(content)


def strip_elsewhere(product: Path) -> str:
    """The strip of a middle line lies beyond the end of the file."""
    path = measurement(product)
    content = bytearray(path.read_bytes())
    swath = open_product(product).sub_swath("IW1", "VV")
    row = 4 * swath.samples_per_burst
    first = len(content) - row * swath.lines_per_burst * len(swath.bursts)
    where = content.index((first + 700 * row).to_bytes(4, "little"))
    content[where : where + 4] = (len(content) + 5).to_bytes(4, "little")
    write(path, bytes(content))
    return path.name


def zeros_in_the_middle(product: Path) -> str:
    """The middle of the measurement was never written, as in a download that was not completed."""
    path = measurement(product)
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : -len(content) // 8] = bytes(len(content) - len(content) // 4 - -(-len(content) // 8))
    write(path, bytes(content))
    return path.name


def compressed_strip(product: Path) -> str:
    """A compressed TIFF whose middle is overwritten: the header is whole, only decoding finds it."""
    path = measurement(product)
    with rasterio.open(path) as source:
        values, profile = source.read(1), source.profile
    path.unlink()
    profile |= {"compress": "deflate", "blockysize": 16, "tiled": False}
    with rasterio.open(path, "w", **{k: v for k, v in profile.items() if k not in ("crs", "transform")}) as target:
        target.write(values, 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : 3 * len(content) // 4] = os.urandom(len(content) // 2)
    path.write_bytes(bytes(content))
    return path.name


def damaged_zip(product: Path) -> str:
    """A deflated zip with a damaged piece in the middle of its measurement; the directory at its end is whole."""
    target = product.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(product.rglob("*")):
            archive.write(path, Path(product.name) / path.relative_to(product))
    shutil.rmtree(product)
    content = bytearray(target.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = b"\xff" * 4096
    target.write_bytes(bytes(content))
    return target.name


def truncated_zip(product: Path) -> str:
    target = Path(damaged_zip(product))
    path = product.parent / target
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.name


def edit_annotation(product: Path, edit: Callable[[ElementTree.Element], None]) -> str:
    path = annotation(product)
    root = ElementTree.fromstring(path.read_bytes())
    edit(root)
    write(path, ElementTree.tostring(root))
    return path.name


def vectors(root: ElementTree.Element) -> list[ElementTree.Element]:
    return root.findall("generalAnnotation/orbitList/orbit/position/x")


def nan_orbit(product: Path) -> str:
    def edit(root: ElementTree.Element) -> None:
        vectors(root)[len(vectors(root)) // 2].text = "NaN"

    return edit_annotation(product, edit)


def wild_orbit(product: Path) -> str:
    """One vector lies 3 km off the others."""

    def edit(root: ElementTree.Element) -> None:
        element = vectors(root)[len(vectors(root)) // 2]
        element.text = str(float(element.text or 0) + 3000.0)

    return edit_annotation(product, edit)


def orbit_elsewhere(product: Path) -> str:
    """All vectors lie 80 km aside: a smooth orbit, of no pass of this track."""

    def edit(root: ElementTree.Element) -> None:
        for element in vectors(root):
            element.text = str(float(element.text or 0) + 80_000.0)

    return edit_annotation(product, edit)  # its tie points contradict the orbit


def no_bursts(product: Path) -> str:
    def edit(root: ElementTree.Element) -> None:
        bursts = root.find("swathTiming/burstList")
        assert bursts is not None
        for burst in list(bursts):
            bursts.remove(burst)

    return edit_annotation(product, edit)


def other_bursts(product: Path) -> str:
    """The annotation holds a burst more than the measurement; the first of them is that of the area."""

    def edit(root: ElementTree.Element) -> None:
        bursts = root.find("swathTiming/burstList")
        assert bursts is not None
        bursts.append(bursts[0])

    return edit_annotation(product, edit)


def burst_too_few(product: Path) -> str:
    """Of three bursts in the measurement the annotation lacks the one in the middle; the last shows the area."""
    path = measurement(product)
    with rasterio.open(path) as source:
        values = source.read(1)
    path.unlink()
    lines, samples = values.shape
    three = np.concatenate([values[: lines // 2], values])
    profile = {"driver": "GTiff", "width": samples, "height": three.shape[0], "count": 1, "dtype": values.dtype}
    with rasterio.open(path, "w", **profile) as target:
        target.write(three, 1)

    def edit(root: ElementTree.Element) -> None:
        bursts = root.findall("swathTiming/burstList/burst")
        assert len(bursts) == 2
        for name in ("azimuthTime", "sensingTime"):
            time = bursts[0].find(name)
            assert time is not None
            # what was the first is in the middle: a burst follows after 2.76 s
            time.text = (dt.datetime.fromisoformat(str(time.text)) - dt.timedelta(seconds=2.76)).isoformat()

    edit_annotation(product, edit)
    return f"{path.name}: {three.shape[0]} lines of {samples} samples, the annotation says {lines} of"


def empty_measurement(product: Path) -> str:
    write(measurement(product), b"")
    return measurement(product).name


def empty_annotation(product: Path) -> str:
    write(annotation(product), b"")
    return annotation(product).name


def foreign_text(product: Path) -> str:
    write(measurement(product), b"<html>404</html>" * 100)
    return measurement(product).name


def foreign_image(product: Path) -> str:
    """An image of another size and kind."""
    path = measurement(product)
    path.unlink()
    with rasterio.open(path, "w", driver="GTiff", width=30, height=40, count=1, dtype="uint8") as target:
        target.write(np.ones((40, 30), dtype=np.uint8), 1)
    return path.name


FAULTS = [
    strip_elsewhere, zeros_in_the_middle, compressed_strip, damaged_zip, truncated_zip, nan_orbit, wild_orbit,
    orbit_elsewhere, no_bursts, other_bursts, burst_too_few, empty_measurement, empty_annotation,
    foreign_text, foreign_image,
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The maps of the undamaged dates 1, 3 and 4."""
    folder = tmp_path_factory.mktemp("whole")
    made = stack.copy(folder, 4)
    shutil.rmtree(made[1])
    maps = run_maps(folder / "scenes", stack.dem, folder / "maps")
    assert maps.pairs["pair"].tolist() == ["20230904_20230928", "20230928_20231010"]
    return {path.stem: read(path) for path in maps.paths}


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return np.asarray(source.read(1))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_fault_costs_its_date_only(
    stack: Stack, whole: dict[str, np.ndarray], tmp_path: Path, fault: Callable[[Path], str]
) -> None:
    """The second of four dates is damaged: it is bridged, its file is named, and nothing of it is left."""
    products = stack.copy(tmp_path, 4)
    named = fault(products[1])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        maps = run_maps(tmp_path / "scenes", stack.dem, tmp_path / "maps")
    assert {path.stem: read(path).tobytes() for path in maps.paths} == {k: v.tobytes() for k, v in whole.items()}
    told = [*map(str, (one.message for one in warned)), *maps.failures.values()]
    told += [str(one["reason"]) for one in maps.pairs.attrs.get("rejected", ())]
    assert any(named in text for text in told), told
    left = sorted(path.name for path in (tmp_path / "maps").iterdir() if not path.name.startswith("."))
    assert left == sorted(
        [f"{pair}{suffix}" for pair in whole for suffix in (".json", ".tif")] + ["stack_reference.json"]
    )
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def lost_lines(product: Path, *, is_annotated: bool) -> slice:
    """Five lines of the burst over the mine are zero, and not valid by the annotation or without a word."""
    burst, lines = 1, slice(170, 175)
    swath = open_product(product).sub_swath("IW1", "VV")
    path = measurement(product)
    with rasterio.open(path) as source:
        image, profile = source.read(), source.profile
    image[:, burst * swath.lines_per_burst + lines.start : burst * swath.lines_per_burst + lines.stop] = 0
    path.unlink()
    with rasterio.open(path, "w", **profile) as target:
        target.write(image)

    def mark(root: ElementTree.Element) -> None:
        element = root.findall("swathTiming/burstList/burst")[burst]
        for name in ("firstValidSample", "lastValidSample"):
            values = (element.findtext(name) or "").split()
            values[lines] = ["-1"] * (lines.stop - lines.start)
            found = element.find(name)
            assert found is not None
            found.text = " ".join(values)

    if is_annotated:
        edit_annotation(product, mark)
    return lines


def interference(product: Path) -> None:
    """An RFI annotation: pulses in an eighth of the lines of every burst."""
    swath = open_product(product).sub_swath("IW1", "VV")
    reports = "".join(
        f"<rfiBurstReport><swath>IW1</swath><azimuthTime>{swath.utc(burst.azimuth_time_s)}</azimuthTime>"
        "<timeDomainRfiReport><percentageAffectedLines>12.5</percentageAffectedLines></timeDomainRfiReport>"
        "</rfiBurstReport>"
        for burst in swath.bursts
    )
    path = product / "annotation" / "rfi" / f"rfi-{annotation(product).name}"
    path.parent.mkdir()
    path.write_text(f"<rfi><rfiBurstReportList>{reports}</rfiBurstReportList></rfi>", encoding="utf-8")


@pytest.mark.parametrize("is_annotated", [True, False], ids=["annotated", "zeros only"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_lost_lines_are_nan_on_the_maps_of_their_date(
    stack: Stack, whole: dict[str, np.ndarray], tmp_path: Path, is_annotated: bool
) -> None:
    """The third of four dates: cells near the lines are NaN, all others as without the loss."""
    products = stack.copy(tmp_path, 4)
    shutil.rmtree(products[1])
    lost_lines(products[2], is_annotated=is_annotated)
    interference(products[2])
    with pytest.warns(PartialCoverageWarning, match="170-174"):
        maps = run_maps(tmp_path / "scenes", stack.dem, tmp_path / "maps")
    table = with_quality(maps.pairs[["pair"]], maps.quality).set_index("pair")
    assert table["reference_lost_lines"].tolist() == [0, 5]
    assert table["secondary_lost_lines"].tolist() == [5, 0]
    assert table["secondary_rfi_percent"].iloc[0] == table["reference_rfi_percent"].iloc[1] == 12.5
    assert np.isnan(table["reference_rfi_percent"].iloc[0])
    assert table["reference_missing_lines"].tolist() == [0, 0]
    assert table["common_band"].between(0.9, 1.0).all()
    assert table["secondary_ipf"].tolist() == [open_product(products[2]).ipf_version] * 2
    for path in maps.paths:
        found, expected = read(path), whole[path.stem]
        gone = np.isnan(found) & ~np.isnan(expected)
        # five lines of 14 m, the taps of the interpolation and the window: 70 to 350 m of some 1100 m
        assert 0.05 < gone.mean() < 0.35, path
        kept = ~np.isnan(found)
        np.testing.assert_array_equal(found[kept], expected[kept])


@pytest.mark.parametrize("fault", [strip_elsewhere, nan_orbit, no_bursts], ids=lambda fault: fault.__name__)
def test_the_first_date_may_be_the_damaged_one(stack: Stack, tmp_path: Path, fault: Callable[[Path], str]) -> None:
    """It would give the geometry of all others: its orbit serves as long as that is whole, whatever its pixels are."""
    products = stack.copy(tmp_path, 4)
    fault(products[0])
    with pytest.warns(SkippedInputWarning):
        maps = run_maps(tmp_path / "scenes", stack.dem, tmp_path / "maps")
    assert maps.pairs["pair"].tolist() == ["20230916_20230928", "20230928_20231010"]
    assert min(np.nanmean(read(path)) for path in maps.paths) > 0.8
    recorded = json.loads((tmp_path / "maps" / "stack_reference.json").read_text("utf-8"))["scene"]
    assert recorded == stack.products[0 if fault is strip_elsewhere else 1].stem


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_run_reports_and_counts_them(stack: Stack, tmp_path: Path) -> None:
    """Three faults of three kinds among seven dates: `run` ends well, and its files tell of each."""
    products = stack.copy(tmp_path, 7)
    names = {date: fault(products[DATES.index(date)]) for date, fault in (
        ("20230916", truncated_zip), ("20231010", strip_elsewhere), ("20231103", wild_orbit))}  # fmt: skip
    mine = tmp_path / "mine.geojson"
    mine.write_text(json.dumps(mapping(AREA)), encoding="utf-8")
    out = tmp_path / "out"
    period = ["--start", "2023-09-01", "--end", "2023-12-31"]
    places = ["--scenes", str(tmp_path / "scenes"), "--dem", str(stack.dem), "--out", str(out)]
    result = CliRunner().invoke(app, ["run", str(mine), *period, *places, "--json"])
    assert result.exit_code == 0, result.stderr
    for name in names.values():
        assert re.search(rf"warning: .*{re.escape(name)}", result.stderr), (name, result.stderr)
    table = pd.read_csv(out / "scenes.csv").set_index("pair")
    good = ["20230904_20230928", "20230928_20231022", "20231022_20231115"]
    made = sorted(path.stem for path in (out / "coherence").glob("2*.tif"))
    assert made == good
    assert set(good) <= set(table.index)
    assert names["20231010"] in table.loc["20230928_20231010", "reason"]
    report = (out / "report.html").read_text("utf-8")
    for name in names.values():
        assert name in report, name
    assert json.loads(result.stdout)[0]["n_pairs"] == 3


# Memory ------------------------------------------------------------------------------------------

CHILD = """
import resource, sys
limit = int(sys.argv[1])
if limit:
    # private memory that may be written: the heap and every array; mapped files and code do not count
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
from insar_mining.cli import app
try:
    app(sys.argv[2:])
finally:
    # of getrusage the parent's memory is a part
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print("peak", line.split()[1], file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts all private memory in RLIMIT_DATA")
def test_a_mine_is_mapped_within_a_gigabyte(stack: Stack, tmp_path: Path) -> None:
    """As a process of its own whose data may take 1 GB; the resident peak, code and mapped files included, is below."""
    arguments = ["coherence", *map(str, stack.products[:2]), "--dem", str(stack.dem), "-o", str(tmp_path / "c.tif")]
    assert peak_bytes(2**30, *arguments, "--bbox", *map(str, AREA.bounds)) < 2**30
    assert np.isfinite(read(tmp_path / "c.tif")).mean() > 0.99


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts all private memory in RLIMIT_DATA")
def test_a_stack_is_run_within_a_gigabyte(stack: Stack, tmp_path: Path) -> None:
    """Four dates from folders to the report: maps, analysis and plots together stay below."""
    stack.copy(tmp_path, 4)
    mine = tmp_path / "mine.geojson"
    mine.write_text(json.dumps(mapping(AREA)), encoding="utf-8")
    out = tmp_path / "out"
    period = ["--start", "2023-09-01", "--end", "2023-12-31"]
    places = ["--scenes", str(tmp_path / "scenes"), "--dem", str(stack.dem), "--out", str(out)]
    assert peak_bytes(2**30, "run", str(mine), *period, *places) < 2**30
    maps = sorted((out / "coherence").glob("2*.tif"))
    assert len(maps) == 3
    assert min(np.nanmean(within_the_mine(path)) for path in maps) > 0.8
    assert (out / "report.html").exists()


def within_the_mine(path: Path) -> np.ndarray:
    """Read the cells of the mine: the simulated ground ends at its edge, the map goes on."""
    with rasterio.open(path) as source:
        inside = gpd.GeoSeries([AREA], crs=4326).to_crs(source.crs)
        return np.asarray(rasterio.mask.mask(source, inside, nodata=np.nan)[0])


def peak_bytes(limit: int, *arguments: str) -> int:
    """Most memory that a command holds in a process whose data may take so many bytes; it has to end well."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(limit), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    peak = re.search(r"peak (\d+)", done.stderr)
    assert peak is not None
    return int(peak[1]) * 1024


class Greedy:
    """An engine that asks for more than there is."""

    name = "builtin"
    version = None

    def map_layers(self, plan: object, progress: object) -> dict[str, np.ndarray]:
        return {"coherence": np.zeros((2**23, 2**23), dtype=np.float32)}


def test_too_little_memory_is_told(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what was asked for and what helps; no map is left behind."""
    options = RunOptions(dem=stack.dem)
    planner = Planner(AREA, stack.dem, tmp_path / "maps", options)
    first, second = map(str, stack.products[:2])
    plan = planner.plan({"pair": "20230904_20230916", "reference_path": first, "secondary_path": second})
    with pytest.raises(EngineError, match=r"not enough memory to map 20230904_20230916 .* smaller area"):
        coherence(plan, Greedy())
    # and where it runs out before the engine begins, the command ends with one line all the same
    monkeypatch.setattr("insar_mining.coherence.plan.model.make_plan", lambda *_, **__: np.zeros((2**23, 2**23)))
    result = CliRunner().invoke(
        app, ["coherence", first, second, "--dem", str(stack.dem), "-o", str(tmp_path / "c.tif")]
    )
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: not enough memory; give more")
    assert not list(tmp_path.rglob("*.tif"))
