"""One process: watched, drained, ended with all its children, and its end put into words.

The program under watch is a few lines of shell or Python, so that each case takes a moment.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from insar_mining.coherence.snap.gpt import Gpt, processor_seconds
from insar_mining.coherence.snap.settings import SnapSettings
from insar_mining.errors import (
    EngineError,
    SnapCrashError,
    SnapDiskError,
    SnapError,
    SnapGraphError,
    SnapHangError,
    SnapMemoryError,
    SnapOrbitError,
    SnapOutputError,
    SnapOverlapError,
)

QUICK = SnapSettings(
    heap_mib=2048, cache_mib=512, parallelism=4, idle_s=30.0, wall_s=60.0
)  # a busy machine may leave a process without a turn
AWAKE = "import sys, time, os, signal, subprocess\n"


def gpt(tmp_path: Path, code: str) -> Gpt:
    program = tmp_path / "program.py"
    program.write_text(AWAKE + code, encoding="utf-8")
    return Gpt([sys.executable, str(program)], tmp_path / "user dir", tmp_path, "13.0.4")


def run(tmp_path: Path, code: str, settings: SnapSettings = QUICK) -> list[float]:
    shares: list[float] = []
    gpt(tmp_path, code).run(tmp_path / "graph.xml", "coregister", settings, shares.append)
    return shares


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that was killed a moment ago may still be on its way out."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not _has_ended(pid):
        time.sleep(0.05)
    return _has_ended(pid)


def _has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_arguments_are_a_list_with_limits_and_a_user_folder_of_its_own(tmp_path: Path) -> None:
    run(tmp_path, "open('said', 'w', encoding='utf-8').write(repr(sys.argv[1:]))")
    said = ast.literal_eval((tmp_path / "said").read_text("utf-8"))
    assert said[0] == str(tmp_path / "graph.xml")
    assert said[1:5] == ["-c", "512M", "-q", "4"]
    assert "-J-Xmx2048M" in said
    assert f"-J-Dsnap.userdir={tmp_path / 'user dir'}" in said


def test_progress_is_read_from_stdout_and_all_is_logged(tmp_path: Path) -> None:
    code = (
        "for k in (10, 50, 100):\n print(f'....{k}%', end='', flush=True); time.sleep(0.1)\n"
        "print('WARNING: w', file=sys.stderr)"
    )
    assert run(tmp_path, code) == [0.1, 0.5, 1.0]
    log = (tmp_path / "gpt.log").read_text("utf-8")
    assert "coregister" in log
    assert "WARNING: w" in log


def test_megabytes_on_both_streams_do_not_freeze_it(tmp_path: Path) -> None:
    code = "for k in range(300):\n sys.stderr.write('e' * 65536 + '\\n'); sys.stdout.write('o' * 65536 + '\\n')"
    run(tmp_path, code)
    assert (tmp_path / "gpt.log").stat().st_size > 2 * 300 * 65536


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insar_mining.coherence.snap.gpt.LOG_BYTES", 100_000)
    run(tmp_path, "sys.stderr.write('x' * 1_000_000)")
    assert (tmp_path / "gpt.log").stat().st_size <= 100_000


def test_a_fault_is_remembered_however_much_follows(tmp_path: Path) -> None:
    code = "print('Error: Java heap space', file=sys.stderr)\nfor k in range(5000): print('noise', k)\nsys.exit(1)"
    with pytest.raises(SnapMemoryError, match="INSAR_MINING_SNAP_MEMORY"):
        run(tmp_path, code)


def test_a_silent_process_is_ended_with_its_children(tmp_path: Path) -> None:
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)"
    )
    started = time.monotonic()
    with pytest.raises(SnapHangError, match=r"1 s and was ended.*INSAR_MINING_SNAP_IDLE_S"):
        run(tmp_path, code, replace(QUICK, idle_s=1.0))
    assert time.monotonic() - started < 30
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_a_process_that_computes_in_silence_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, "end = time.monotonic() + 5\nwhile time.monotonic() < end: pass", replace(QUICK, idle_s=2.5))


def test_a_process_that_never_ends_meets_the_wall(tmp_path: Path) -> None:
    with pytest.raises(SnapHangError, match=r"took longer than 1.5 s.*INSAR_MINING_SNAP_WALL_S"):
        run(tmp_path, "while True: print('busy', flush=True); time.sleep(0.05)", replace(QUICK, wall_s=1.5))


def test_a_child_that_outlives_its_parent_is_ended(tmp_path: Path) -> None:
    code = "child = subprocess.Popen(['sleep', '600'])\nopen('pid', 'w').write(str(child.pid))"
    started = time.monotonic()
    run(tmp_path, code)
    assert time.monotonic() - started < 10  # the child holds the pipes open
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("os.kill(os.getpid(), 9)", SnapMemoryError, "killed .*heap 2048 MiB.*Lower INSAR_MINING_SNAP_MEMORY"),
        ("sys.exit(137)", SnapMemoryError, "killed"),
        ("os.kill(os.getpid(), 11)", SnapCrashError, "died of signal 11"),
        ("sys.exit(134)", SnapCrashError, "died of signal 6"),
        ("print('Error: GC overhead limit exceeded', file=sys.stderr); sys.exit(1)", SnapMemoryError, "raise INSAR"),
        ("print(\"Error: [NodeId: X] Unknown element 'foo'\", file=sys.stderr); sys.exit(1)", SnapGraphError,
         "Unknown element 'foo'; .*another version.*graph check"),
        ("print('Error: No space left on device', file=sys.stderr); sys.exit(1)", SnapDiskError, "SNAP_SCRATCH"),
        ("print('Error: File too large', file=sys.stderr); sys.exit(1)", SnapDiskError, "ulimit"),
        ("print('Error: No valid orbit file found for 04-SEP-2023', file=sys.stderr); sys.exit(1)", SnapOrbitError,
         "--orbit"),
        ("print('WARNING: No intersection with source product boundary', file=sys.stderr)", SnapOverlapError,
         "check the mine's polygon"),
        ("print('WARNING: no valid output was produced. Please verify the DEM', file=sys.stderr)", SnapOutputError,
         "elevation model"),
        ("print('Error: wktAOI is odd', file=sys.stderr); sys.exit(1)", SnapError, "exit code 1: .*wktAOI is odd"),
        ("sys.exit(3)", SnapError, "exit code 3: it said nothing"),
    ],
)  # fmt: skip
def test_every_end_has_its_name_and_remedy(tmp_path: Path, code: str, kind: type[SnapError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        run(tmp_path, code)
    assert type(caught.value) is kind
    assert "stage 'coregister'" in str(caught.value)
    assert "SNAP 13.0.4" in str(caught.value)


def test_a_program_that_cannot_be_started_is_an_engine_error(tmp_path: Path) -> None:
    runner = Gpt([str(tmp_path / "none")], tmp_path, tmp_path, "13")
    with pytest.raises(EngineError, match=r"cannot be started.*SNAP_HOME"):
        runner.run(tmp_path / "g.xml", "split", QUICK, lambda share: None)


def test_a_full_disk_does_not_stop_the_reading(tmp_path: Path) -> None:
    (tmp_path / "gpt.log").mkdir()  # nothing can be written under this name
    run(tmp_path, "sys.stderr.write('x' * 1_000_000)")


def test_it_runs_in_a_thread_too(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            run(tmp_path, "print('....100%')")
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert not faults


def test_a_stopped_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """`docker stop` and `kill` send SIGTERM to the command; its SNAP must go too."""
    program = tmp_path / "program.py"
    program.write_text(AWAKE + "open('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)", encoding="utf-8")
    script = (
        "import sys; from pathlib import Path\n"
        "from insar_mining.coherence.snap.gpt import Gpt\n"
        "from insar_mining.coherence.snap.settings import SnapSettings\n"
        f"here = Path({str(tmp_path)!r})\n"
        f"gpt = Gpt([sys.executable, {str(program)!r}], here, here, '13')\n"
        "gpt.run(here / 'g.xml', 'split', SnapSettings(2048, 512, 2), lambda share: None)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert is_gone(int(pid.read_text()))


def test_processor_time_is_that_of_the_group(tmp_path: Path) -> None:
    used = sum(os.times()[:2])
    assert processor_seconds(os.getpgrp()) == pytest.approx(processor_seconds(os.getpgrp()), abs=5)
    assert processor_seconds(os.getpgrp()) >= used - 0.5
    assert processor_seconds(999_999_999) == 0
