"""The same graphs through esa_snappy: imported only in a child, refused by name when it is not configured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.snap import gpt
from insar_mining.coherence.snap.settings import SnapSettings
from insar_mining.coherence.snap.snappy import Snappy
from insar_mining.errors import EngineError, EngineWarning, SnapGraphError, SnapMemoryError

STANDIN = Path(__file__).parents[3] / "standin_gpt" / "gpt.py"
MakePlan = Callable[..., CoherencePlan]

# the part of the bridge that is used, with SNAP's stand-in where Java would be
BRIDGE = f"""
import configparser, os, runpy, sys, types
from pathlib import Path

ini = configparser.ConfigParser()
ini.read([Path(__file__).parent / "esa_snappy.ini", "esa_snappy.ini"])
MIB = {{memory}} if {{memory}} else int(ini["DEFAULT"]["java_max_mem"].removesuffix("M"))
OPTIONS = dict(o[2:].split("=", 1) for o in ini["DEFAULT"]["java_options"].split("|"))


class FileReader:
    def __init__(self, path):
        self.path = path

    def close(self):
        pass


class GraphIO:
    @staticmethod
    def read(reader):
        return reader.path


class GraphProcessor:
    def executeGraph(self, graph, monitor):
        with Path(OPTIONS["java.io.tmpdir"], "..", "processes").open("a") as said:
            said.write("%d %s\\n" % (os.getpid(), Path(graph).stem))
        sys.argv = ["gpt", graph, "-J-Dsnap.userdir=" + OPTIONS["snap.userdir"]]
        try:
            runpy.run_path({str(STANDIN)!r}, run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise RuntimeError("java.lang.RuntimeException: see above") from None


class Runtime:
    @staticmethod
    def getRuntime():
        return types.SimpleNamespace(maxMemory=lambda: MIB * 1024**2)


TYPES = {{{{
    "java.io.FileReader": FileReader,
    "java.lang.Runtime": Runtime,
    "java.lang.System": types.SimpleNamespace(gc=lambda: None),
    "com.bc.ceres.core.ProgressMonitor": types.SimpleNamespace(NULL=None),
    "org.esa.snap.core.gpf.graph.GraphIO": GraphIO,
    "org.esa.snap.core.gpf.graph.GraphProcessor": GraphProcessor,
}}}}
jpy = types.SimpleNamespace(get_type=TYPES.__getitem__)
"""


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snap_home: Path) -> Callable[[str], None]:
    """Put a module called esa_snappy on the path, here and in children."""

    def put(code: str) -> None:
        folder = tmp_path / "site" / "esa_snappy"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(code, encoding="utf-8")
        (folder / "esa_snappy.ini").write_text("[DEFAULT]\njava_max_mem = 512M\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder.parent))
        monkeypatch.setenv("PYTHONPATH", str(folder.parent))

    return put


def test_without_the_package_the_error_says_how_to_get_it(plan: Callable[..., CoherencePlan]) -> None:
    with pytest.raises(EngineError, match=r"esa_snappy is not installed; install it .*--snappy .*doctor"):
        coherence(plan(), "snappy")
    assert "esa_snappy" not in sys.modules


def test_a_package_that_does_not_import_is_not_configured(plan, bridge: Callable[[str], None]) -> None:
    bridge("raise RuntimeError('jpyconfig.py not found')")
    with pytest.raises(EngineError, match=r"cannot be imported \(RuntimeError: jpyconfig.py not found\); install it"):
        coherence(plan(), "snappy")
    assert "esa_snappy" not in sys.modules


def test_a_small_heap_is_refused(plan, bridge: Callable[[str], None]) -> None:
    bridge(BRIDGE.format(memory=512))
    with pytest.raises(EngineError, match=r"has 512 MiB, SNAP needs 900 or more.*java_max_mem"):
        coherence(plan(), "snappy")


def test_it_gets_the_heap_and_the_user_folder_of_the_run(
    bridge: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Snappy(tmp_path / "user", tmp_path, "13.0.4")
    text = runner.configuration(SnapSettings(4096, 1024, 3))
    assert "java_max_mem = 4096M" in text
    assert f"-Dsnap.userdir={tmp_path / 'user'}|-Dsnap.parallelism=3|-Dsnap.jai.tileCacheSize=1024" in text


@pytest.mark.filterwarnings("ignore::insar_mining.errors.EngineWarning")
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [("unknown", SnapGraphError, "Unknown element"), ("killed", SnapMemoryError, "twice: .*killed")],
)
def test_its_failures_have_the_names_of_gpts(
    plan, bridge, monkeypatch: pytest.MonkeyPatch, kind: str, error: type[Exception], message: str
) -> None:
    bridge(BRIDGE.format(memory=0))
    monkeypatch.setenv("STANDIN_MISCHIEF", f"{kind}@split")
    with pytest.raises(error, match=f"(?s)esa_snappy .SNAP 13.0.4.*{message}|{message}"):
        coherence(plan(), "snappy")


def processes_of(plan: CoherencePlan) -> list[tuple[int, str]]:
    """Process and stage of every graph that was carried out."""
    lines = (plan.out.parent / "processes").read_text().splitlines()
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def test_it_makes_the_map_in_one_process_that_ends_with_the_pair(
    replayed: MakePlan, recorded, bridge: Callable[[str], None]
) -> None:
    bridge(BRIDGE.format(memory=0))
    made = replayed()
    with rasterio.open(coherence(made, "snappy")) as source:
        np.testing.assert_array_equal(source.read(1), recorded.values)
        assert source.tags()["ENGINE"] == "snappy"
    ran = processes_of(made)
    assert [stage for _, stage in ran][-3:] == ["merge", "subset", "terrain-correction"]
    (first,) = {process for process, _ in ran}
    assert not psutil.pid_exists(first)
    coherence(made, "snappy", again=True)
    both = {process for process, _ in processes_of(made)}
    assert len(both) == 2  # the next pair has another
    assert not any(psutil.pid_exists(process) for process in both)


@pytest.mark.parametrize("kind", ["killed", "hang"])
def test_a_second_try_has_a_process_of_its_own(
    replayed: MakePlan, recorded, bridge: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    kind: str,
) -> None:  # fmt: skip
    bridge(BRIDGE.format(memory=0))
    monkeypatch.setenv("INSAR_MINING_SNAP_IDLE_S", "3" if kind == "hang" else "60")
    monkeypatch.setattr(gpt, "GRACE_S", 0.2)
    monkeypatch.setenv("STANDIN_MISCHIEF", f"{kind}@interferogram-IW1")
    monkeypatch.setenv("STANDIN_ONCE", str(tmp_path / "once"))
    made = replayed()
    with pytest.warns(EngineWarning, match="interferogram-IW1.*Trying once more with 2 threads"):
        path = coherence(made, "snappy")
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(1), recorded.values)
    ran = processes_of(made)
    tries = [process for process, stage in ran if stage == "interferogram-IW1"]
    assert len(set(tries)) == 2
    assert ran[0][0] == tries[0]
    assert not any(psutil.pid_exists(process) for process, _ in ran)


def test_a_stopped_run_leaves_no_process(tmp_path: Path) -> None:
    """The process ends by itself when nobody is left to give it graphs."""
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, 'site')\n"
        "from insar_mining.coherence.snap.snappy import Child\n"
        "from insar_mining.coherence.snap.gpt import Listener\n"
        "from insar_mining.coherence.snap.settings import SnapSettings\n"
        "child = Child.start(Path('.'), SnapSettings(2048, 512, 2), Listener(Path('log'), lambda share: None))\n"
        "print(child.watched.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    site = tmp_path / "site" / "esa_snappy"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text(BRIDGE.format(memory=2048), encoding="utf-8")
    (tmp_path / "esa_snappy.ini").write_text("[DEFAULT]\njava_max_mem = 2048M\njava_options = -Dsnap.userdir=/x\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.parent), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -9
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(done.stdout))
