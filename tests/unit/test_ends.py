"""How a process ends: signals at any moment, readers that are gone, full disks, closed files, too little memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from insar_mining import ends
from insar_mining.ends import INTERRUPTED, TERMINATED, Terminated, ending_of

LINUX = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def child(body: str, **how: object) -> subprocess.Popen[str]:
    """Start a process whose command line is a piece of code that defines `job`."""
    code = f"import sys, time\nfrom insar_mining.ends import main_of\n{body}\nsys.exit(main_of(job))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
    return subprocess.Popen([sys.executable, "-c", code], **pipes)  # type: ignore[call-overload, no-any-return]


def command(*args: str, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "insar_mining", *args], text=True, timeout=120, **how)  # type: ignore[call-overload, no-any-return]


SLEEPING = "def job():\n    print('ready', flush=True)\n    time.sleep(60)"
CLEANING = """
def job():
    try:
        print('ready', flush=True)
        time.sleep(60)
    finally:
        print('cleaned up', flush=True)
"""
HIDDEN = """
def job():
    try:
        print('ready', flush=True)
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise SystemError('returned a result with an exception set') from error
"""
COMPILED = """
import numba
@numba.njit
def kernel(n):
    total = 0.0
    for i in range(n):
        total += i ** 0.5
    return total
def job():
    kernel(10)
    print('ready', flush=True)
    while True:
        kernel(200_000)
"""


@pytest.mark.parametrize("body", [SLEEPING, CLEANING, HIDDEN, COMPILED], ids=["sleep", "clean", "hidden", "compiled"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_its_code_and_the_sentence(body: str, number: int) -> None:
    process = child(body, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == f"error: {ends.SENTENCES[128 + number]}\n"
    assert out == ("cleaned up\n" if body == CLEANING else "")


def test_a_signal_that_is_ignored_stays_so() -> None:
    body = "def job():\n    print('ready', flush=True)\n    time.sleep(0.5)\n    print('done')"
    process = child(body, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said) == (0, "done\n", "")


@pytest.mark.parametrize("delay_s", [0.05, 0.1, 0.2, 0.4, 0.8])
def test_an_interrupt_while_libraries_are_imported_leaves_no_traceback(delay_s: float) -> None:
    """Only of the interpreter's own start nobody can catch one; then the signal itself ends the process."""
    body = f"""
import threading, os, signal
def job():
    threading.Timer({delay_s}, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    from insar_mining.cli import command_line
    import geopandas, rasterio, matplotlib.pyplot, numba, xarray
    time.sleep(60)
"""
    process = child(body, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    _, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert said == f"error: {ends.SENTENCES[INTERRUPTED]}\n"


def test_what_an_error_was_raised_from_decides() -> None:
    wrapped = SystemError("a result with an exception set")
    wrapped.__cause__ = KeyboardInterrupt()
    asked = Terminated()
    memory = RuntimeError("cannot")
    memory.__cause__ = MemoryError()
    interrupted, terminated, full = (ending_of(error) for error in (wrapped, asked, memory))
    assert interrupted is not None
    assert terminated is not None
    assert full is not None
    assert (interrupted[0], terminated[0], full[0]) == (INTERRUPTED, TERMINATED, 1)
    assert ending_of(ValueError("x")) is None
    assert ending_of(SystemError("a fault of its own")) is None


def test_a_library_that_cannot_start_its_threads_was_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "_has_room", lambda: False)
    ending = ending_of(KeyboardInterrupt())
    assert ending is not None
    assert ending == (1, ends.NO_MEMORY)


@LINUX
@pytest.mark.parametrize("args", [["--version"], ["pairs", "--help"], ["graph", "show"]])
def test_a_full_disk_behind_standard_output_is_an_error(args: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = command(*args, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "No space left" in ended.stderr


def test_a_reader_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "insar_mining", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), said) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_files_do_no_harm(tmp_path: Path, closed: str) -> None:
    """A file that the command opens must not take the number of one that is closed."""
    script = f'"{sys.executable}" -m insar_mining graph show {closed}'
    ended = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, timeout=120, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_names_the_nearest() -> None:
    ended = command("analyze", capture_output=True)
    assert ended.returncode == 2
    assert "'analyse'" in ended.stderr


def test_bytes_of_a_file_that_libraries_cannot_log_are_not_printed(tmp_path: Path) -> None:
    """GDAL's message quotes them; rasterio fails to decode it, and the interpreter would print that failure."""
    text = '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="By\xff" band="1"/></VRTDataset>'
    (tmp_path / "dem.vrt").write_bytes(text.encode("latin-1"))
    body = f"""
def job():
    from insar_mining.errors import DemError
    from insar_mining.geo.elevation import read_dem
    try:
        read_dem({str(tmp_path / "dem.vrt")!r}, (0, 0, 1, 1))
    except DemError as error:
        print(error)
"""
    out, said = child(body).communicate(timeout=120)
    assert "dem.vrt" in out
    assert said == ""
