"""What disks, folders, clocks and other versions do to a portfolio: it is named, nothing is lost, a rerun goes on.

The command is the real one; the job of a mine writes two small files.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from typer.testing import CliRunner, Result

from insar_mining.cli import app
from insar_mining.files import TEMPORARY, appears_whole, write_text
from insar_mining.portfolio import runs
from insar_mining.portfolio.executors import execute
from insar_mining.portfolio.ledger import Task
from insar_mining.portfolio.plan import open_portfolio
from insar_mining.portfolio.store import Store
from insar_mining.portfolio.work import Finished, Steps
from insar_mining.scenes.records import write_records
from tests.unit.portfolio import tiny
from tests.unit.portfolio.test_plan import records, square

ROOT = Path(__file__).parents[3]
COUNT, MAP_BYTES = 4, 60_000

Hook = Callable[[Path], None]


def job(task: Task, folder: Path, steps: Steps, *, hook: Hook = lambda folder: None, **_: Any) -> Finished:
    """Write the files of a mine; between them a hook is called for the second mine of the order of work."""
    out = folder / "mines" / task.id.removeprefix("mine-")
    write_text(out / "map.txt", task.id * (MAP_BYTES // len(task.id)))
    steps("working", 0, 1)
    if task.id == second(folder):
        hook(folder)
    steps("writing", 1, 1)
    write_text(out / "activity.csv", f"{task.id}\n")
    return Finished(out)


def second(folder: Path) -> str:
    """Name the task that is begun second, also of a folder that was moved."""
    path = next(path for path in (folder, folder.with_name("elsewhere")) if (path / "portfolio.json").exists())
    return sorted(open_portfolio(path).tasks, key=lambda task: (-task.seconds, task.id))[1].id


def plan(folder: Path) -> Result:
    """Plan four mines seen by one burst; its files lie beside the portfolio's folder."""
    beside = folder.parent
    beside.mkdir(parents=True, exist_ok=True)
    shapes = [square(x, 0) for x in (0.0, 0.1, 0.2, 0.3)]
    gpd.GeoDataFrame(geometry=shapes, crs=4326).to_file(beside / "mines.gpkg")
    outline = shapely.box(-1, -1, 1, 1)
    write_records(records([("052_1_IW1", 52, day, outline) for day in (0, 12, 24)]), beside / "records.geojson")
    return command("plan", beside / "mines.gpkg", "--start", "2022-01-01", "--end", "2022-03-01", "--out", folder,
                   "--catalogue", beside / "records.geojson")  # fmt: skip


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["portfolio", *map(str, arguments)], env={"COLUMNS": "300"})


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook = lambda folder: None) -> Result:
    with monkeypatch.context() as patched:
        patched.setattr(runs, "run_mine", functools.partial(job, hook=hook))
        return command("run", folder, "--workers", "0")


def states(folder: Path) -> list[str]:
    """States of the mines in the order of work."""
    made = open_portfolio(folder)
    return [made.ledger.state(task)[0] for task in sorted(made.tasks, key=lambda task: (-task.seconds, task.id))]


def assert_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    """Run again: what was done stays as it is, the rest is done, no unfinished file is left."""
    made = open_portfolio(folder)
    before = {path: path.stat().st_mtime_ns for task in made.tasks if not made.ledger.why_again(task)
              for path in (folder / "mines" / task.id.removeprefix("mine-")).iterdir()}  # fmt: skip
    assert len(before) == 2 * done
    again = run(folder, monkeypatch)
    assert again.exit_code == 0, again.output
    assert states(folder) == ["done"] * COUNT
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert plan(tmp_path / "portfolio").exit_code == 0
    return tmp_path / "portfolio"


def full(folder: Path) -> None:
    """Write to a full device, as the package writes a file."""
    with appears_whole(folder / "mines" / "more.txt"), Path("/dev/full").open("w") as device:
        device.write("more")


def read_only(folder: Path) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder / "store"))


@pytest.mark.parametrize(
    ("hook", "named", "remedy"),
    [(full, "No space left", "Free space"), (read_only, "Read-only file system", "Make the folder writable")],
)
def test_a_disk_that_no_mine_can_write_on_ends_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook, named: str, remedy: str
) -> None:
    ended = run(folder, monkeypatch, hook)
    assert ended.exit_code == 1
    assert named in ended.stderr
    assert remedy in ended.stderr
    assert states(folder) == ["done", "failed", "waiting", "waiting"]
    told = json.loads(command("status", folder, "--json").stdout)
    assert [named in row["why"] for row in told].count(True) == 1
    assert_goes_on(folder, monkeypatch, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    there = tmp_path / "small"
    there.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", there], capture_output=True).returncode:
        pytest.skip("file systems can be mounted by root only")
    yield there
    subprocess.run(["umount", there], check=True)


def test_a_disk_that_fills_up(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills within the second mine, the ledger with it; with more room the run goes on."""
    folder = small_disk / "portfolio"
    assert plan(folder).exit_code == 0

    def fill(folder: Path) -> None:
        with contextlib.suppress(OSError), (folder.parent / "filling").open("wb", buffering=0) as file:
            while file.write(b"0" * 4096):
                pass

    for hook in (fill, lambda folder: None):  # and nothing is lost by trying again on a full disk
        ended = run(folder, monkeypatch, hook)
        assert ended.exit_code == 1
        assert "No space left" in ended.stderr
        assert "ree space" in ended.stderr
        assert states(folder)[0] == "done"
        assert "done" not in states(folder)[1:]
    (small_disk / "filling").unlink()
    assert_goes_on(folder, monkeypatch, 1)


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """The system's limit of file sizes stops every record; without it the tasks are done as if nothing had been."""
    folder = tiny.planned(tmp_path / "portfolio")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.portfolio.tiny", str(folder), "3", "0"], cwd=ROOT, capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)), text=True,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "OutputError" in ended.stderr
    assert "File too large" in ended.stderr
    assert list((folder / "ledger").glob("*.json")) == []
    assert set(execute(tiny.tasks(3), folder, tiny.job, None, lambda *_: None).values()) == {"done"}
    assert [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)] == []


def test_the_folder_vanishes_during_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(there: Path) -> None:
        there.rename(there.with_name("elsewhere"))

    ended = run(folder, monkeypatch, vanish)
    assert ended.exit_code == 1
    assert "is gone" in ended.stderr
    assert "Put the portfolio's folder back" in ended.stderr
    assert not folder.exists(), "no further step is begun in a folder that is gone"
    folder.with_name("elsewhere").rename(folder)
    assert states(folder) == ["done", "waiting", "waiting", "waiting"]
    assert_goes_on(folder, monkeypatch, 1)


def test_a_mine_makes_the_folder_again_that_vanished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the message says that this remainder lies in the place of the folder."""

    def vanish(there: Path) -> None:
        there.rename(there.with_name("elsewhere"))
        write_text(there / "mines" / "x" / "late.txt", "late")

    ended = run(folder, monkeypatch, vanish)
    assert ended.exit_code == 1
    assert f"{folder} was made again" in " ".join(ended.stderr.split())
    folder.rename(folder.with_name("remainder"))
    folder.with_name("elsewhere").rename(folder)
    assert_goes_on(folder, monkeypatch, 1)


def test_a_clock_that_is_set_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records and files of a time to come are told, and stay what they are."""
    assert run(folder, monkeypatch).exit_code == 0
    changed = sorted((folder / "ledger").glob("*.json"))[0]
    changed.write_text(json.dumps(json.loads(changed.read_text()) | {"finished": "2199-01-01T00:00:00+00:00"}))
    for path in folder.rglob("*"):
        os.utime(path, (7e9, 7e9))
    told = [row["why"] for row in json.loads(command("status", folder, "--json").stdout)]
    assert sorted("clock" in why for why in told) == [False, False, False, True]
    assert_goes_on(folder, monkeypatch, COUNT)


def test_a_store_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file lies where the store of shared products should be (rights do not stop root)."""

    def lock(there: Path) -> None:
        with Store(there / "store", "one").locked("product"):
            pass

    (folder / "store").write_text("not a folder")
    ended = run(folder, monkeypatch, lock)
    assert ended.exit_code == 1
    assert states(folder) == ["done", "failed", "done", "done"]
    (row,) = (row for row in json.loads(command("status", folder, "--json").stdout) if row["state"] == "failed")
    assert "store" in row["why"]
    assert "Move away" in row["why"]
    assert (folder / "store").read_text() == "not a folder"
    (folder / "store").unlink()
    assert_goes_on(folder, monkeypatch, 3)


def rewritten(path: Path, **changes: object) -> bytes:
    """Change fields of a JSON file; None takes one away."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return path.read_bytes()


@pytest.mark.parametrize("changes", [{"format": 0}, {"format": None}, {"identity": None}, {"outputs": None}])
def test_an_older_ledger(folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]) -> None:
    """A mine whose record is of an older version, or says too little, is done again."""
    assert run(folder, monkeypatch).exit_code == 0
    rewritten(sorted((folder / "ledger").glob("*.json"))[1], **changes)
    again = [row["why"] for row in json.loads(command("explain", folder, "--json").stdout)]
    assert len(again) == 1
    assert "older version" in again[0]
    assert "kept" in again[0]
    assert_goes_on(folder, monkeypatch, COUNT - 1)


def test_a_newer_ledger_is_not_overwritten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(folder, monkeypatch).exit_code == 0
    record = sorted((folder / "ledger").glob("*.json"))[0]
    before = record.read_bytes()
    newer = rewritten(record, format=99)
    ended = run(folder, monkeypatch)
    assert ended.exit_code == 1
    assert "newer version" in ended.stderr
    assert "Update insar-mining" in ended.stderr
    assert record.read_bytes() == newer
    record.write_bytes(before)
    assert_goes_on(folder, monkeypatch, COUNT)


def test_plans_of_other_versions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older plan is made again in its folder, and results stay; a newer one is neither read nor overwritten."""
    assert run(folder, monkeypatch).exit_code == 0
    for changes in ({"format": 0}, {"totals": None}):
        rewritten(folder / "portfolio.json", **changes)
        ended = command("status", folder)
        assert ended.exit_code == 1
        assert "Plan the portfolio again" in ended.stderr
        assert plan(folder).exit_code == 0
        assert states(folder) == ["done"] * COUNT
    newer = rewritten(folder / "portfolio.json", format=99)
    for ended in (command("status", folder), plan(folder)):
        assert ended.exit_code == 1
        assert "Update insar-mining" in ended.stderr
    assert (folder / "portfolio.json").read_bytes() == newer
