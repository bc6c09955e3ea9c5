"""The demonstration, run once per session as a user runs it."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Finished:
    """A command that ended well: what it said, and the processor time that it took."""

    stdout: str
    stderr: str
    processor_s: float


def insar_mining(*arguments: str | Path) -> Finished:
    """Run ``insar-mining`` as a process of its own, with its own default engine, in a wide terminal."""
    environment = {name: value for name, value in os.environ.items() if name != "INSAR_MINING_ENGINE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "insar_mining", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"COLUMNS": "160"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Finished(done.stdout, done.stderr, taken)


@dataclass(frozen=True)
class Demo:
    """The demonstration's folder, and what the command said."""

    folder: Path
    said: Finished


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Demo]:
    """``insar-mining demo``, in full; half a gigabyte of scenes is taken away again unless a test failed."""
    folder = tmp_path_factory.mktemp("demo") / "a mine's result (é) [1]"
    yield Demo(folder, insar_mining("demo", "--out", folder))
    if not request.session.testsfailed:
        shutil.rmtree(folder / "simulated" / "scenes")


@pytest.fixture(scope="session")
def demo_folder(demo: Demo) -> Path:
    """The demonstration's folder; read it, do not write into it."""
    return demo.folder
