"""The same graphs through esa_snappy, SNAP's Python bridge.

The bridge starts a Java machine when it is imported, once per process and with a heap
that cannot grow later, and gives memory back only with the process.  So the graphs of
one pair run in a child process of their own, watched as gpt is, which ends with the
pair; this module is both the engine that starts it and, run by name, the child.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insar_mining.arrays import Float32Array
from insar_mining.coherence.plan.model import CoherencePlan, Progress
from insar_mining.coherence.snap.engine import SnapEngine, describe_run, map_with
from insar_mining.coherence.snap.gpt import GRACE_S, Ended, Listener, Watched, raise_for
from insar_mining.coherence.snap.graphs import known_version
from insar_mining.coherence.snap.provision import Workspace
from insar_mining.coherence.snap.settings import (
    MIB,
    SnapSettings,
    find_gpt,
    settings,
    variant,
    version_of,
    warn_of_version,
)
from insar_mining.errors import EngineError

MODULE = "esa_snappy"
NOT_CONFIGURED, SMALL_HEAP = 70, 71
LEAST_HEAP_MIB = 900  # a Java machine reports a little less than it was given
REMEDY = (
    "install it (pip install 'insar-mining[snap]'), connect it to SNAP once (snap --nogui --nosplash --snappy "
    "/path/to/python, or esa_snappy_conf), and see `insar-mining doctor`; or choose --engine snap or builtin"
)


class SnappyEngine(SnapEngine):
    """Carry out plans with SNAP inside Python processes; parameters are those of the engine ``snap``."""

    name = "snappy"

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> Float32Array:
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

        def runner(work: Workspace) -> Snappy:
            return Snappy(work.path / "userdir", work.path, text)

        asked = variant(self.options)
        self.version, self.notes = describe_run(text, asked, {})
        values, esd = map_with(plan, settings(self.options), known_version(version), runner, progress)
        self.version, self.notes = describe_run(text, asked, esd)
        return values


@dataclass(eq=False)
class Snappy:
    """Run the graphs of one pair in one Python process that holds a Java machine.

    A second try, which has other limits, and whatever follows a crash get a new process.
    """

    userdir: Path
    folder: Path
    version: str
    _child: Child | None = field(default=None, init=False)

    def run(self, graph: Path, stage: str, settings: SnapSettings, progress: Progress) -> None:
        """Run a graph; see :meth:`insar_mining.coherence.snap.gpt.Gpt.run`."""
        listener = Listener(self.folder / "gpt.log", progress)
        if self._child is not None and self._child.settings != settings:
            self.close()
        if self._child is None:
            (self.folder / "esa_snappy.ini").write_text(self.configuration(settings), encoding="utf-8")
            self._child = Child.start(self.folder, settings, listener)
        listener.note(f"\n== {stage}: {graph.name} in process {self._child.watched.process.pid}\n")
        try:
            ended = self._child.carry_out(graph, listener)
        except BaseException:
            self.close()
            raise
        if self._child.is_gone:
            self._child = None
        if ended.code in (NOT_CONFIGURED, SMALL_HEAP):
            raise EngineError(f"{MODULE}: {' '.join(listener.tail[-1].split())}")
        raise_for(ended, listener.remembered, stage, settings, f"{MODULE} (SNAP {self.version})")

    def close(self) -> None:
        """End the process, and with it all its memory."""
        if self._child is not None:
            self._child.close()
            self._child = None

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


@dataclass(eq=False)
class Child:
    """Hold the process: it is given paths of graphs on its stdin, and answers each with a code on a pipe of its own."""

    watched: Watched
    settings: SnapSettings
    answers: int
    is_gone: bool = False

    @classmethod
    def start(cls, folder: Path, settings: SnapSettings, listener: Listener) -> Child:
        """Start it; it imports the bridge, and says nothing until it is given a graph."""
        answers, theirs = os.pipe()
        try:
            command = [sys.executable, "-m", __name__, str(theirs)]
            watched = Watched.start(command, folder, listener, stdin=subprocess.PIPE, pass_fds=[theirs])
        except BaseException:
            os.close(answers)
            raise
        finally:
            os.close(theirs)
        return cls(watched, settings, answers)

    def carry_out(self, graph: Path, listener: Listener) -> Ended:
        """Carry a graph out in the child; a child that hangs or ends is gone afterwards."""
        self.watched.listener = listener
        stdin = self.watched.process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; why is found below
            stdin.write(json.dumps(str(graph)).encode() + b"\n")
            stdin.flush()
        reason = self.watched.watch(self.settings, lambda: bool(select.select([self.answers], [], [], 0)[0]))
        answer = b"" if reason is not None else os.read(self.answers, 100)
        if answer.strip() == b"0":
            listener.finish()
            return Ended(0)
        code = self.close()  # of a process that has ended every last word is known
        return Ended(int(answer) if answer else code, reason)

    def close(self) -> int:
        """End the process and return its exit code."""
        self.is_gone = True
        stdin = self.watched.process.stdin
        assert stdin is not None
        with suppress(OSError):
            stdin.close()  # it ends by itself when it has nothing more to read
        self.watched.wait(GRACE_S)
        code = self.watched.end()
        os.close(self.answers)
        return code


def check_heap() -> None:
    """Make sure that the Java machine has memory.

    Raises
    ------
    EngineError
        It has too little: esa_snappy's own default is 512 MB.
    """
    runtime = importlib.import_module(MODULE).jpy.get_type("java.lang.Runtime").getRuntime()
    heap = int(runtime.maxMemory() / MIB)
    if heap < LEAST_HEAP_MIB:
        raise EngineError(
            f"the Java machine has {heap} MiB, SNAP needs {LEAST_HEAP_MIB} or more. Set java_max_mem in esa_snappy.ini."
        )


def carry_out(graph: Path) -> None:
    """Carry a graph out in the child; a child that hangs or ends is gone afterwards."""
    jpy: Any = importlib.import_module(MODULE).jpy
    graphs = "org.esa.snap.core.gpf.graph"
    reader = jpy.get_type("java.io.FileReader")(str(graph))
    try:
        loaded = jpy.get_type(f"{graphs}.GraphIO").read(reader)
    finally:
        reader.close()
    # the processor makes the products, pulls their pixels through Write, and disposes of them
    monitor = jpy.get_type("com.bc.ceres.core.ProgressMonitor").NULL
    jpy.get_type(f"{graphs}.GraphProcessor")().executeGraph(loaded, monitor)
    jpy.get_type("java.lang.System").gc()


def main(arguments: Sequence[str]) -> int:
    """Carry out the graphs that stdin names, as a process of its own; each is answered with 0 or 1."""
    try:
        importlib.import_module(MODULE)
    except Exception as error:  # whatever the bridge raises, it is not usable
        sys.stderr.write(f"cannot be imported ({type(error).__name__}: {error}); {REMEDY}\n")
        return NOT_CONFIGURED
    try:
        check_heap()
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return SMALL_HEAP
    for line in sys.stdin:
        failed = False
        try:
            carry_out(Path(json.loads(line)))
        except Exception as error:  # a Java exception, as gpt reports every one of them
            sys.stderr.write(f"\nError: {error}\n")
            failed = True
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(int(arguments[0]), b"1\n" if failed else b"0\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
