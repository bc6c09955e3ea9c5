"""A portfolio of tiny mines on bursts that they share: the same bytes whoever works, and whatever is killed.

In full (``--stress``) these are twenty mines, else six of them; see tests/end_to_end/many.py.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from insar_mining.files import TEMPORARY, write_text
from insar_mining.options.models import RunOptions
from insar_mining.pipeline import result, run
from insar_mining.portfolio.executors import dask_pool, execute, shard_of
from insar_mining.portfolio.plan import Portfolio, plan_portfolio
from tests.end_to_end import many, mirror

ROOT = Path(__file__).parents[2]
PLACES = ("mines", "store")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # dask's at its end, and those of short series


@dataclass
class World:
    """What the archive holds, and the names of the mines."""

    held: mirror.Mirror
    names: tuple[str, ...]
    in_full: bool

    def plan(self, folder: Path, archive: many.Archive) -> Portfolio:
        options = RunOptions(start=many.PERIOD[0], end=many.PERIOD[1], activity={"method": "published"})
        folder.parent.mkdir(exist_ok=True)
        source = many.write_polygons(folder.with_suffix(".geojson"), self.names)
        catalogue = many.network(archive.server.url).catalogue
        return plan_portfolio(source, folder, options, distance_m=10, session=catalogue)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, campaign: Callable[[int], int]) -> World:
    products = many.simulated(tmp_path_factory.mktemp("simulated"))
    in_full = campaign(10) == 10
    names = tuple(many.mines()) if in_full else many.SOME
    return World(mirror.mirrored(list(products), tmp_path_factory.mktemp("mirror")), names, in_full)


@pytest.fixture
def archive(world: World) -> Iterator[many.Archive]:
    with many.served(world.held) as archive:
        archive.misbehave()
        yield archive


@dataclass
class Serial:
    """The portfolio, run in one process."""

    made: Portfolio
    files: dict[str, str]
    asked: Counter[str]


@pytest.fixture(scope="module")
def serial(world: World, tmp_path_factory: pytest.TempPathFactory) -> Serial:
    with many.served(world.held) as archive:
        archive.misbehave()
        made = world.plan(tmp_path_factory.mktemp("serial") / "portfolio", archive)
        execute(made.tasks, made.folder, job(archive), None, lambda *_: None)
        return Serial(made, many.files_of(made.folder), archive.asked)


def job(archive: many.Archive) -> functools.partial:  # type: ignore[type-arg]
    return functools.partial(many.job, url=archive.server.url, attempt="one")


def test_every_date_once(world: World, serial: Serial) -> None:
    """Each file is fetched once and each date resampled once for a mine; three dates are left out and told."""
    made = serial.made
    states = {mine["name"]: made.ledger.state(task) for mine, task in tasks_by_mine(made)}
    assert {name: state for name, (state, _) in states.items()} == {
        name: "partial" if name[0] == "a" else "done" for name in world.names if name[0] in "ab" and name[1:].isdigit()
    }
    for name, (state, told) in states.items():
        wanted = (many.LOST_PIXELS, many.LOST_METADATA, many.DAMAGED) if state == "partial" else ()
        assert all(date in told for date in wanted), name
    assert {mine["name"] for mine in made.mines if mine["problem"]} == {"empty", "outside"}
    assert {mine["track"] for mine in made.mines if not mine["problem"]} == {52, many.OTHER_TRACK}
    fetched = len(serial.asked)
    damaged = world.held.pixels[many.DAMAGED][0]
    assert {path for path, count in serial.asked.items() if count > 1} == {damaged}  # three attempts
    # 14 burst files with their metadata on two bursts and 7 on one; orbits of dates that are whole; elevation
    lost = {world.held.pixels[many.LOST_PIXELS][1], world.held.metadata[many.LOST_METADATA][0], damaged}
    assert lost < set(serial.asked)
    assert fetched == made.totals["burst_files"] * 2 + 4 + 7 + 1
    resampled = many.noted(made.folder / "resampled")
    assert set(resampled.values()) == {1}
    assert len({line.split()[0] for line in resampled}) == 3 + 6  # dates but the stack reference of either track


def tasks_by_mine(made: Portfolio) -> list[tuple[dict, object]]:  # type: ignore[type-arg]
    tasks = {task.id: task for task in made.tasks}
    return [(mine, tasks[f"mine-{mine['id']}"]) for mine in made.mines if f"mine-{mine['id']}" in tasks]


def test_a_mine_alone(
    world: World, serial: Serial, archive: many.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "write_report", lambda path, content: write_text(path, "a page"))
    task = next(task for mine, task in tasks_by_mine(serial.made) if mine["name"] == "a01")
    mine = task.inputs["mine"]["id"]  # type: ignore[attr-defined]
    alone = many.write_polygons(tmp_path / "alone.geojson", ("a01",))
    options = RunOptions(**task.how["options"])  # type: ignore[attr-defined]
    out = run(alone, out=tmp_path / "mines" / mine, options=options, network=many.network(archive.server.url)).out
    maps = {name: digest for name, digest in many.files_of(tmp_path).items() if "/coherence" in name}
    assert len(list(out.glob("coherence/*.tif"))) == 3
    assert maps == {name: serial.files[name] for name in maps}


def test_dask_and_shards(world: World, serial: Serial, archive: many.Archive, tmp_path: Path) -> None:
    """Workers of dask fetch and resample everything once, and write the bytes of one process; so do four shards."""
    for workers in (2, 4) if world.in_full else (2,):
        archive.server.note_none()
        made = world.plan(tmp_path / f"dask-{workers}", archive)
        with dask_pool(None, workers) as pool:
            states = execute(made.tasks, made.folder, job(archive), pool, lambda *_: None)
        assert set(states.values()) == {"done", "partial"}
        assert many.files_of(made.folder) == serial.files
        assert archive.asked == serial.asked
        assert many.noted(made.folder / "resampled") == many.noted(serial.made.folder / "resampled")
    if world.in_full:
        archive.server.note_none()
        made = world.plan(tmp_path / "shards", archive)
        for number in (1, 2, 3, 4):
            execute(shard_of(made.tasks, f"{number}/4"), made.folder, job(archive), None, lambda *_: None)
        assert many.files_of(made.folder) == serial.files
        assert archive.asked == serial.asked


def test_planned_costs(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some mines a plan tells what all of them take: bytes, disk and processor time within 20 %."""
    monkeypatch.setattr(result, "write_report", lambda path, content: write_text(path, "a page"))
    with many.served(world.held) as archive:
        made = world.plan(tmp_path / "portfolio", archive)
        some = len(made.tasks) // 2 + 1
        execute(made.tasks[:some], made.folder, job(archive), None, lambda *_: None)
        made = world.plan(tmp_path / "portfolio", archive)
        execute(made.tasks, made.folder, job(archive), None, lambda *_: None)
    assert made.totals["costs_from"].startswith(f"{some} finished mines")
    measured = [record.measured for task in made.tasks if (record := made.ledger.record(task.id))]
    # of the first mine kernels may be compiled; a few mines on a busy machine differ more than many
    taken = sum(one["processor_seconds"] for one in measured[1:])
    planned = sum(task.seconds for task in made.tasks[1:])
    assert planned == pytest.approx(taken, rel=0.2 if world.in_full else 0.4)
    assert made.totals["download_bytes"] == pytest.approx(sum(one["fetched_bytes"] for one in measured), rel=0.2)
    # notes beside files, and locks, are nothing beside real files, and a tenth of these tiny ones
    files = [path for path in made.folder.rglob("*") if path.is_file() and path.parts[len(made.folder.parts)] in PLACES
             and "archive" not in path.parts and not path.name.startswith(".")]  # fmt: skip
    assert made.totals["disk_bytes"] == pytest.approx(sum(path.stat().st_size for path in files), rel=0.2)
    stays = [path.stat().st_size for path in files if not {"products", ".dates"} & set(path.parts)]
    assert made.totals["disk_bytes_keep_none"] == pytest.approx(sum(stays), rel=0.2)


def test_killed_while_it_works(
    world: World, serial: Serial, archive: many.Archive, tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    """The command or one of its processes is killed, again and again; the files are those of an undisturbed run."""
    made = world.plan(tmp_path / "killed", archive)
    rng, kills = random.Random(3), campaign(10)
    while kills:
        command = start(made.folder, archive)
        family = [psutil.Process(command.pid)]
        wait_for_more(made.folder / "run", family[0])
        time.sleep(rng.uniform(0.0, 2.0))
        with contextlib.suppress(psutil.NoSuchProcess):
            family += family[0].children(recursive=True)
            rng.choice(family).send_signal(signal.SIGKILL)
            kills -= 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(0.5)
        command.kill()
        command.wait(60)
        _, left = psutil.wait_procs(family, timeout=20)
        assert not left, "processes outlived the command"
    assert start(made.folder, archive).wait(300) == 0
    assert many.files_of(made.folder) == serial.files
    assert [path for path in made.folder.rglob("*") if TEMPORARY.fullmatch(path.name)] == []


def start(folder: Path, archive: many.Archive) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.end_to_end.many", str(folder), archive.server.url]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)


def wait_for_more(path: Path, process: psutil.Process) -> None:
    """Wait until a file grows, or the process ends."""
    before = path.stat().st_size if path.exists() else 0
    until = time.monotonic() + 60
    while time.monotonic() < until and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if path.exists() and path.stat().st_size > before:
            return
        time.sleep(0.02)


def test_two_runs_with_one_archive(world: World, serial: Serial, archive: many.Archive, tmp_path: Path) -> None:
    """Two commands that begin together fetch every file once, and write what a portfolio of their mines writes."""
    tasks = {mine["name"]: task for mine, task in tasks_by_mine(serial.made)}
    alone = {}
    for name in ("a00", "a01"):
        mine = tasks[name].inputs["mine"]["id"]  # type: ignore[attr-defined]
        source = many.write_polygons(tmp_path / f"{name}.geojson", (name,))
        how = json.dumps(tasks[name].how["options"])  # type: ignore[attr-defined]
        given = [str(source), archive.server.url, how, str(tmp_path / "mines" / mine)]
        call = [sys.executable, "-m", "tests.end_to_end.many", *given]
        alone[name] = subprocess.Popen(call, cwd=ROOT, stderr=subprocess.PIPE)
    said = {name: process.communicate(timeout=300)[1] for name, process in alone.items()}
    assert {name: process.returncode for name, process in alone.items()} == {"a00": 0, "a01": 0}, said
    maps = {name: digest for name, digest in many.files_of(tmp_path).items() if "/coherence" in name}
    assert len([name for name in maps if name.endswith(".tif")]) == 2 * 3
    assert maps == {name: serial.files[name] for name in maps}
    # what cannot be had is asked for by either
    lost = {world.held.pixels[many.LOST_PIXELS][1], world.held.metadata[many.LOST_METADATA][0]}
    lost |= {world.held.pixels[many.DAMAGED][0]}
    assert {path for path, count in archive.asked.items() if count > 1} <= lost
    assert [path for path in tmp_path.rglob("*") if TEMPORARY.fullmatch(path.name)] == []
