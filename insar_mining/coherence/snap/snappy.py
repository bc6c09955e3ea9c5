"""The same graphs through esa_snappy, SNAP's Python bridge.

The bridge starts a Java machine when it is imported, once per process and with a heap
that cannot grow later, and gives memory back only with the process.  So each graph
runs in a child process whose only task it is, started and watched as gpt is; this
module is both the engine that starts it and, run by name, the child.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insar_mining.coherence.plan import CoherencePlan, Progress
from insar_mining.coherence.product import Layers
from insar_mining.coherence.snap.engine import FloatMap, map_with, warn_of_version
from insar_mining.coherence.snap.gpt import Listener, supervise
from insar_mining.coherence.snap.graphs import known_version
from insar_mining.coherence.snap.install import find_gpt, version_of
from insar_mining.coherence.snap.outcome import raise_for
from insar_mining.coherence.snap.settings import MIB, SnapSettings, settings
from insar_mining.coherence.snap.workspace import Workspace
from insar_mining.errors import EngineError

MODULE = "esa_snappy"
NOT_CONFIGURED, SMALL_HEAP = 70, 71
LEAST_HEAP_MIB = 900  # a Java machine reports a little less than it was given
REMEDY = (
    "install it (pip install 'insar-mining[snap]'), connect it to SNAP once (snap --nogui --nosplash --snappy "
    "/path/to/python, or esa_snappy_conf), and see `insar-mining doctor`; or choose --engine snap or builtin"
)


class SnappyEngine:
    """Carries out plans with SNAP inside Python processes."""

    name = "snappy"
    version: str | None = None

    def map_layers(self, plan: CoherencePlan, progress: Progress) -> Layers:
        """Run SNAP on the plan; it gives coherence alone."""
        plan.recipe.refuse_unless_plain(self.name)
        return {"coherence": self.map_coherence(plan, progress)}

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> FloatMap:
        """Compute coherence on the plan's grid: float32, shape (height, width), NaN outside.

        Raises
        ------
        EngineError
            esa_snappy is not installed or not configured.
        SnapError
            SNAP failed, by name.
        """
        if importlib.util.find_spec(MODULE) is None:
            raise EngineError(f"the Python package {MODULE} is not installed; {REMEDY}")
        found = find_gpt()
        version = version_of(found[0]) if found else ()
        text = ".".join(map(str, version)) or "of unknown version"
        warn_of_version(version, text)
        self.version = f"SNAP {text}"

        def runner(work: Workspace) -> Snappy:
            return Snappy(work.path / "userdir", work.path, text)

        return map_with(plan, settings(), known_version(version), runner, progress)


@dataclass(frozen=True)
class Snappy:
    """Runs graphs in Python processes that hold a Java machine."""

    userdir: Path
    folder: Path
    version: str

    def run(self, graph: Path, stage: str, settings: SnapSettings, progress: Progress) -> None:
        """Run a graph; see :meth:`insar_mining.coherence.snap.gpt.Gpt.run`."""
        (self.folder / "esa_snappy.ini").write_text(self.configuration(settings), encoding="utf-8")
        listener = Listener(self.folder / "gpt.log", progress)
        listener.note(f"\n== {stage}: {graph.name}\n")
        ended = supervise([sys.executable, "-m", __name__, str(graph)], self.folder, settings, listener)
        if ended.code in (NOT_CONFIGURED, SMALL_HEAP):
            raise EngineError(f"{MODULE}: {' '.join(listener.tail[-1].split())}")
        raise_for(ended, listener.remembered, stage, settings, f"{MODULE} (SNAP {self.version})")

    def configuration(self, settings: SnapSettings) -> str:
        """Return the ini file of this run; the one in the working folder wins over esa_snappy's own."""
        options = {
            "snap.userdir": self.userdir,
            "snap.parallelism": settings.parallelism,
            "snap.jai.tileCacheSize": settings.cache_mib,
            "java.io.tmpdir": self.folder,
            "java.awt.headless": "true",
        }
        joined = "|".join(f"-D{key}={value}" for key, value in options.items())
        return f"[DEFAULT]\njava_max_mem = {settings.heap_mib}M\njava_options = {joined}\n"


def carry_out(graph: Path) -> None:
    """Run a graph in this process.

    Raises
    ------
    EngineError
        The Java machine has too little memory: esa_snappy's own default is 512 MB.
    """
    jpy: Any = importlib.import_module(MODULE).jpy
    heap = int(jpy.get_type("java.lang.Runtime").getRuntime().maxMemory() / MIB)
    if heap < LEAST_HEAP_MIB:
        raise EngineError(
            f"the Java machine has {heap} MiB, SNAP needs {LEAST_HEAP_MIB} or more; set java_max_mem in esa_snappy.ini"
        )
    graphs = "org.esa.snap.core.gpf.graph"
    reader = jpy.get_type("java.io.FileReader")(str(graph))
    try:
        loaded = jpy.get_type(f"{graphs}.GraphIO").read(reader)
    finally:
        reader.close()
    # the processor makes the products, pulls their pixels through Write, and disposes of them
    monitor = jpy.get_type("com.bc.ceres.core.ProgressMonitor").NULL
    jpy.get_type(f"{graphs}.GraphProcessor")().executeGraph(loaded, monitor)


def main(arguments: Sequence[str]) -> int:
    """Carry out one graph as a process of its own; the exit code says what went wrong."""
    try:
        importlib.import_module(MODULE)
    except Exception as error:  # whatever the bridge raises, it is not usable
        sys.stderr.write(f"cannot be imported ({type(error).__name__}: {error}); {REMEDY}\n")
        return NOT_CONFIGURED
    try:
        carry_out(Path(arguments[0]))
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return SMALL_HEAP
    except Exception as error:  # a Java exception, as gpt reports every one of them
        sys.stderr.write(f"\nError: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
