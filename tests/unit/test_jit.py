"""The cache of compiled kernels: full, damaged, outdated or absent, the result is the same."""

from __future__ import annotations

import importlib.util
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numba
import pytest

from insar_mining import jit

CALLER = (
    "from insar_mining.jit import njit\nfrom {inner} import inner\n@njit()\ndef outer(x):\n    return inner(x) + 1\n"
)
INNER = "from insar_mining.jit import njit\nSTEP = {step}\n@njit()\ndef inner(x):\n    return x * {factor} + STEP\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """``modules(factor=2, step=0)``: write two modules of kernels and import them as a new process would."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    jit._warn_once.cache_clear()

    def load(factor: int = 2, step: int = 0) -> ModuleType:
        for name, text in (
            ("kernels_inner", INNER.format(factor=factor, step=step)),
            ("kernels_outer", CALLER.format(inner="kernels_inner")),
        ):
            path = tmp_path / f"{name}.py"
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(text, str(path), "exec"), module.__dict__)  # no .pyc whose time is that of the earlier text
        return module

    return load


def cached(module: ModuleType, suffix: str) -> Path:
    (path,) = Path(module.outer.stats.cache_path).glob(f"*outer*.{suffix}")
    return path


def counts(module: ModuleType) -> tuple[int, int]:
    """Loads from the cache, and compilations."""
    stats = module.outer.stats
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def test_a_second_process_compiles_nothing(modules: Callable[..., ModuleType]) -> None:
    first = modules()
    assert (first.outer(3), counts(first)) == (7, (0, 1))
    second = modules()
    assert (second.outer(3), counts(second)) == (7, (1, 0))


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "a folder"])
def test_damaged_code_is_compiled_again_and_kept(
    modules: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture, suffix: str, damage: str
) -> None:
    first = modules()
    first.outer(3)
    path = cached(first, suffix)
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 8
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        damaged = {
            "empty": b"",
            "cut": bytes(content[: len(content) // 2]),
            "flipped": bytes(content),
            "text": b"hello",
        }
        path.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        second = modules()
        assert (second.outer(3), counts(second)) == (7, (0, 1))
    if damage != "a folder":
        third = modules()
        assert (third.outer(3), counts(third)) == (7, (1, 0))


def test_every_flipped_byte_of_code_is_noticed(modules: Callable[..., ModuleType]) -> None:
    first = modules()
    first.outer(3)
    path = cached(first, "nbc")
    whole = path.read_bytes()
    for place in range(0, len(whole), max(len(whole) // 60, 1)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert modules().outer(3) == 7
        path.write_bytes(whole)


def test_code_of_other_sources_is_not_run(modules: Callable[..., ModuleType]) -> None:
    """numba alone looks at the caller's file only, and would run the old kernel inside it."""
    assert modules().outer(3) == 7
    assert modules(factor=5).outer(3) == 16
    assert modules(factor=5, step=100).outer(3) == 116


def test_old_code_under_a_new_index_is_not_run(modules: Callable[..., ModuleType]) -> None:
    """A kill, or a full disk, between numba's writing of the index and of the code leaves the old code there."""
    first = modules()
    first.outer(3)
    old = cached(first, "nbc").read_bytes()
    second = modules(factor=5)
    second.outer(3)
    cached(second, "nbc").write_bytes(old)
    assert modules(factor=5).outer(3) == 16


def test_a_full_disk_costs_the_cache_only(modules: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    module = modules()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with caplog.at_level(logging.WARNING):
            assert module.outer(3) == 7
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert any("NUMBA_CACHE_DIR" in record.getMessage() for record in caplog.records)
    again = modules()
    assert (again.outer(3), counts(again)) == (7, (0, 1))


def test_no_folder_that_can_be_written_costs_the_cache_only(
    modules: Callable[..., ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "__pycache__").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "home"))
    with caplog.at_level(logging.WARNING):
        assert modules().outer(3) == 7
    assert any("NUMBA_CACHE_DIR" in record.getMessage() for record in caplog.records)


@pytest.mark.slow
def test_kills_with_a_cold_cache_leave_one_that_can_be_used(tmp_path: Path) -> None:
    code = (
        "import numpy as np\nfrom insar_mining.activity.cube.kernels import pixel_moments\n"
        "from insar_mining.geometry.range_doppler import to_geodetic\nprint('imported', flush=True)\n"
        "print(pixel_moments.__name__, to_geodetic(6378137.0, 0.0, 0.0), flush=True)"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)

    for _ in range(3):
        process = start()
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    ended = start()
    out, _ = ended.communicate(timeout=120)
    assert (ended.returncode, out.splitlines()[1]) == (0, "pixel_moments (0.0, 0.0, 0.0)")
