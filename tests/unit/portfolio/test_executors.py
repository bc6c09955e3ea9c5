"""Executors and the ledger: the same files whoever makes them, nothing twice, whatever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from insar_mining.errors import OptionError, OutputError
from insar_mining.files import TEMPORARY
from insar_mining.portfolio.executors import dask_pool, execute, local_pool, shard_of
from insar_mining.portfolio.ledger import Ledger, Task
from insar_mining.portfolio.work import do_task
from tests.unit.portfolio import tiny

ROOT = Path(__file__).parents[3]
COUNT = 12


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tiny.planned(tmp_path_factory.mktemp("serial"))
    execute(tiny.tasks(COUNT), folder, tiny.job, None, lambda *_: None)
    return tiny.result(folder)


def made(folder: Path) -> Counter[str]:
    return Counter((folder / "made").read_text().split())


def test_states_of_a_portfolio(tmp_path: Path) -> None:
    folder, tasks = tiny.planned(tmp_path), tiny.tasks(COUNT)
    told: list[str] = []
    states = execute(tasks, folder, tiny.job, None, lambda task, state, seconds: told.append(state))
    assert Counter(states.values()) == {"done": 10, "partial": 1, "failed": 1} == Counter(told)
    ledger = Ledger(folder)
    assert ledger.state(tasks[3]) == ("partial", "2021-01-05: 404")
    state, reason = ledger.state(tasks[7])
    assert state == "failed"
    assert "damaged" in reason
    assert "ProductError" in reason
    again = execute(tasks, folder, tiny.job, None, lambda *_: None)
    assert Counter(again.values()) == {"there": 11, "failed": 1}
    assert set(made(folder).values()) == {1}
    retried = execute(tasks, folder, tiny.job, None, lambda *_: None, again=True)
    assert retried["mine-003"] == "partial"
    assert made(folder)["mine-003"] == 2
    measured = ledger.record("mine-000").measured  # type: ignore[union-attr]
    assert measured["steps"]["working"] > 0.005
    assert measured["peak_bytes"] > 1e7


def test_why_a_task_is_done_again(tmp_path: Path) -> None:
    folder, task = tiny.planned(tmp_path), Task("mine-001", {"number": 1, "scenes": ["a", "b"], "o": {"p": 1}})
    ledger = Ledger(folder)
    assert "never" in ledger.why_again(task)
    do_task(task, folder, tiny.job)
    assert ledger.why_again(task) == ""
    changed = Task("mine-001", {"number": 1, "scenes": ["a", "c"], "o": {"p": 2}})
    why = ledger.why_again(changed)
    assert "o.p: 1 became 2" in why
    assert "scenes: 1 added (c), 1 gone (b)" in why
    path = folder / "mines" / "mine-001" / "second.txt"
    path.write_text("xx")
    assert "2 bytes instead of 1" in ledger.why_again(task)
    path.unlink()
    assert "gone" in ledger.why_again(task)
    do_task(task, folder, tiny.job)
    record = folder / "ledger" / "mine-001.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"format": 0}))
    assert "older version" in ledger.why_again(task)
    assert do_task(task, folder, tiny.job) == "done"
    record.write_text("{")
    assert do_task(task, folder, tiny.job) == "done"
    os.utime(record, (0, 0))  # a clock that was set back changes nothing
    assert do_task(task, folder, tiny.job) == "there"


def test_a_task_has_one_worker(tmp_path: Path) -> None:
    folder, task = tiny.planned(tmp_path), tiny.tasks(1)[0]
    ledger = Ledger(folder)
    with ledger.claimed(task.id):
        assert do_task(task, folder, tiny.job, wait=False) == "running"
        state, holder = ledger.state(task)
        assert (state, str(os.getpid()) in holder) == ("running", True)
    assert ledger.holder(task.id) is None
    assert do_task(task, folder, tiny.job, wait=False) == "done"


def test_what_the_disk_may_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, tasks = tiny.planned(tmp_path / "portfolio"), tiny.tasks(3)
    do_task(tasks[0], folder, tiny.job)

    def full(task: Task, where: Path, steps: object) -> None:
        raise OSError(28, "No space left on device", str(where / "mines" / "map.tif"))

    with pytest.raises(OutputError, match="Free space"):  # every further mine would fail
        do_task(tasks[1], folder, full)  # type: ignore[arg-type]
    assert Ledger(folder).state(tasks[1])[0] == "failed"
    assert "No space left" in Ledger(folder).state(tasks[1])[1]
    assert do_task(tasks[1], folder, tiny.job) == "done"
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="gone"):
        do_task(tasks[2], folder, tiny.job)
    assert not folder.exists()
    (tmp_path / "elsewhere").rename(folder)
    assert do_task(tasks[0], folder, tiny.job) == "there"


def test_shards_share_the_work(tmp_path: Path, serial: dict[str, bytes]) -> None:
    folder, tasks = tiny.planned(tmp_path), tiny.tasks(COUNT)
    parts = [shard_of(tasks, f"{number}/4") for number in (1, 2, 3, 4)]
    assert sorted(task.id for part in parts for task in part) == [task.id for task in tasks]
    for part in parts:
        execute(part, folder, tiny.job, None, lambda *_: None)
    assert tiny.result(folder) == serial
    for wrong in ("0/4", "5/4", "1", "a/b", "1/0"):
        with pytest.raises(OptionError):
            shard_of(tasks, wrong)


@pytest.mark.slow
def test_processes_and_two_schedulers_at_once(tmp_path: Path, serial: dict[str, bytes]) -> None:
    folder = tiny.planned(tmp_path)
    other = start(folder, workers=0)
    with local_pool(2) as pool:
        execute(tiny.tasks(COUNT), folder, tiny.job, pool, lambda *_: None)
    assert other.wait(60) == 0
    assert tiny.result(folder) == serial
    assert set(made(folder).values()) == {1}


@pytest.mark.slow
def test_a_task_whose_process_dies(tmp_path: Path) -> None:
    folder = tiny.planned(tmp_path)
    tasks = tiny.tasks(5)
    with local_pool(1) as pool:
        states = execute(tasks, folder, tiny.dies, pool, lambda *_: None)
    assert states == {
        f"mine-{number:03d}": "failed" if number == 2 else "partial" if number == 3 else "done" for number in range(5)
    }
    assert "died 3 times" in Ledger(folder).state(tasks[2])[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # dask's own, at its end
def test_dask(tmp_path: Path, serial: dict[str, bytes]) -> None:
    folder = tiny.planned(tmp_path)
    with dask_pool(None, 2) as pool:
        states = execute(tiny.tasks(COUNT), folder, tiny.job, pool, lambda *_: None)
    assert Counter(states.values()) == {"done": 10, "partial": 1, "failed": 1}
    assert tiny.result(folder) == serial
    assert set(made(folder).values()) == {1}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dask_workers_that_die_and_what_they_announce(tmp_path: Path) -> None:
    """Of a worker with eight threads that announces two downloads, two mines are done at a time."""
    from distributed import Client, LocalCluster

    folder = tiny.planned(tmp_path / "dies")
    with dask_pool(None, 1) as pool:
        states = execute(tiny.tasks(5), folder, tiny.dies, pool, lambda *_: None)
    assert {state for task, state in states.items() if task != "mine-002"} <= {"done", "partial", "there"}
    ledger = Ledger(folder)
    assert [ledger.state(task)[0] for task in tiny.tasks(5)] == ["done", "done", "failed", "partial", "done"]
    assert "died 3 times" in ledger.state(tiny.tasks(5)[2])[1]
    assert set(made(folder).values()) == {1}
    for announced, most in (({"memory": 64e9, "download": 2}, 2), ({"memory": 6e9, "download": 9}, 3), ({}, 8)):
        folder = tiny.planned(tmp_path / f"at-most-{most}")
        with (
            LocalCluster(
                1, threads_per_worker=8, processes=False, resources=announced, dashboard_address=None
            ) as cluster,  # type: ignore[no-untyped-call]
            Client(cluster),  # type: ignore[no-untyped-call]
            dask_pool(cluster.scheduler_address, 0) as pool,
        ):
            execute(tiny.tasks(7), folder, tiny.counted, pool, lambda *_: None)
        at_once = [int(line) for line in (folder / "at_once").read_text().split()]
        assert most >= max(at_once) > most // 2


def start(folder: Path, *, workers: int | str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.unit.portfolio.tiny", str(folder), str(COUNT), str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
def test_killed_at_any_time(tmp_path: Path, serial: dict[str, bytes], campaign: Callable[[int], int]) -> None:
    """The command, or any of its processes, is killed; begun again it ends with the same files and no others."""
    rng = random.Random(7)
    folder = tiny.planned(tmp_path / "portfolio")
    kills, rounds = 0, campaign(300)
    while kills < rounds:
        command = start(folder, workers=rng.choice((0, 0, 0, 0, 2)) if rounds < 300 else rng.choice((0, 2)))
        family = [psutil.Process(command.pid)]
        time.sleep(rng.uniform(0.05, 1.0))
        try:
            family += family[0].children(recursive=True)
            victim = rng.choice(family)
            victim.send_signal(signal.SIGKILL)
            kills += 1
        except psutil.NoSuchProcess:
            pass
        if family[0].is_running() and (kills % 2 or victim.pid == command.pid):
            command.kill()
        command.wait(60)
        _, left = psutil.wait_procs(family, timeout=20)
        assert not left, "processes outlived the command"
        if rng.random() < 0.2:  # begin anew now and then, that there is something to kill
            folder.rename(tmp_path / f"done-{kills}")
            finish_and_compare(tmp_path / f"done-{kills}", serial)
            folder = tiny.planned(tmp_path / "portfolio")
    finish_and_compare(folder, serial)


@pytest.mark.slow
def test_a_cluster_killed_at_any_time(tmp_path: Path, serial: dict[str, bytes], campaign: Callable[[int], int]) -> None:
    """The scheduler, a worker, a worker's nanny or the command is killed; a second command ends with the same files."""
    rng = random.Random(11)
    for number in range(campaign(20)):
        folder = tiny.planned(tmp_path / f"round-{number}")
        address = f"tcp://127.0.0.1:{free_port()}"
        workers = ("worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--death-timeout", "10",
                   "--local-directory", str(tmp_path / "scratch"))  # fmt: skip
        started = [dask("scheduler", "--port", address.rpartition(":")[2], "--no-dashboard"), dask(*workers)]
        command = start(folder, workers=address)
        wait_for(folder / "made")
        time.sleep(rng.uniform(0.0, 0.5))
        family = [psutil.Process(one.pid) for one in (*started, command)]
        family += [child for one in family for child in one.children(recursive=True)]
        victim = family[0] if number == 0 else rng.choice(family)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
        if victim.pid == started[1].pid:  # the command waits for workers
            started.append(dask(*workers))
        command.wait(60)
        finish_and_compare(folder, serial)
        for one in started:
            one.terminate()
            one.wait(30)
        _, left = psutil.wait_procs(family, timeout=20)
        assert not left, f"{[one.cmdline() for one in left]} outlived the cluster"


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)


def dask(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a scheduler or workers as ``dask scheduler`` and ``dask worker`` do."""
    command = [sys.executable, "-m", "dask", *arguments]
    environment = os.environ | {"TINY_S": "0.1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def finish_and_compare(folder: Path, serial: dict[str, bytes]) -> None:
    execute(tiny.tasks(COUNT), folder, tiny.job, None, lambda *_: None)
    assert tiny.result(folder) == serial
    assert {path.name for path in (folder / "ledger").iterdir() if TEMPORARY.fullmatch(path.name)} == set()
    assert max(made(folder).values()) <= 2  # once more only if it was killed between its files and its record
