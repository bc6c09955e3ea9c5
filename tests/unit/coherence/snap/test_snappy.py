"""The same graphs through esa_snappy: imported only in a child, refused by name when it is not configured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan import CoherencePlan
from insar_mining.coherence.snap.settings import SnapSettings
from insar_mining.coherence.snap.snappy import Snappy
from insar_mining.errors import EngineError, SnapGraphError, SnapMemoryError

STANDIN = Path(__file__).parents[3] / "standin_gpt" / "gpt.py"

# the part of the bridge that is used, with SNAP's stand-in where Java would be
BRIDGE = f"""
import configparser, runpy, sys, types
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
    with pytest.raises(EngineError, match=r"has 512 MiB, SNAP needs 900 or more; set java_max_mem in esa_snappy.ini"):
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


@pytest.mark.slow
def test_it_makes_the_map(plan, bridge: Callable[[str], None]) -> None:
    import numpy as np
    import rasterio

    bridge(BRIDGE.format(memory=0))
    made = plan()
    with rasterio.open(coherence(made, "snappy")) as source:
        values, tags = source.read(1), source.tags()
    assert tags["ENGINE"] == "snappy"
    assert np.isfinite(values).mean() > 0.9
    assert 0.3 < np.nanmean(values) < 0.9
    assert sorted(p.name for p in made.out.parent.iterdir()) == [made.out.with_suffix(".json").name, made.out.name]
