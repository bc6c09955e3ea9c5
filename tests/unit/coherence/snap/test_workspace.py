"""Scratch: named so that SNAP does not trip over it, gone after success, kept for a while after failure."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from insar_mining.coherence.snap import provision as module
from insar_mining.coherence.snap.provision import workspace
from insar_mining.coherence.snap.settings import SnapSettings
from insar_mining.errors import OutputError, SnapCrashError, SnapDiskError

LIMITS = SnapSettings(heap_mib=2048, cache_mib=512, parallelism=4)
ODD = ("with space", "br[ack]et(s) {x}", "quo'te\"s `x`", "é ü 中文", "$HOME & co; a|b", "-dash %41 #1", "back\\slash")


def work_and_fail(parent: Path, pair: str, settings: SnapSettings, content: str, error: BaseException) -> None:
    with workspace(parent, pair, settings, 0) as work:
        (work.path / "gpt.log").write_text(content)
        (work.path / "a.img").write_bytes(bytes(1000))
        (work.path / "userdir").mkdir()
        raise error


def fail(parent: Path, pair: str, settings: SnapSettings = LIMITS, content: str = "x") -> str:
    with pytest.raises(SnapCrashError) as caught:
        work_and_fail(parent, pair, settings, content, SnapCrashError("it died"))
    return str(caught.value)


@pytest.mark.parametrize("name", ODD)
def test_snap_sees_a_path_that_needs_no_quoting(tmp_path: Path, name: str) -> None:
    parent = tmp_path / name
    with workspace(parent, "20230904_20230916", LIMITS, 0) as work:
        assert module.PLAIN.fullmatch(str(work.path))
        (work.path / "file").write_text("x")
        assert (work.real / "file").read_text() == "x"
        assert work.real.parent == parent
        (parent / "scene").write_text("pixels")
        assert work.link(parent / "scene", "S1A.zip").read_text() == "pixels"
        door = work.path.parent
    assert list(parent.iterdir()) == [parent / "scene"]
    assert not door.exists() or door == parent


def test_failures_are_kept_up_to_a_number_the_newest(tmp_path: Path) -> None:
    limits = SnapSettings(2048, 512, 4, keep_failed=2)
    for number in range(5):
        said = fail(tmp_path, f"pair{number}", limits, str(number))
        os.utime(next(tmp_path.glob(f".snap-failed-pair{number}-*")), (number, number))
    kept = sorted(tmp_path.iterdir())
    assert [(folder / "gpt.log").read_text() for folder in kept] == ["3", "4"]
    assert "it died. What SNAP left is kept in " in said
    assert str(kept[1]) in said
    assert "of the newest 2 failures there; --snap keep_failed=N changes it" in said
    assert not (kept[1] / "userdir").exists()


def test_a_folder_of_the_user_is_no_failure(tmp_path: Path) -> None:
    own = tmp_path / ".snap-failed-old-analysis"
    own.mkdir()
    (own / "notes.txt").write_text("keep me")
    os.utime(own, (1, 1))
    for number in range(3):
        fail(tmp_path, f"pair{number}", SnapSettings(2048, 512, 4, keep_failed=1))
    assert (own / "notes.txt").read_text() == "keep me"
    assert len(list(tmp_path.iterdir())) == 2


def test_failures_are_not_kept_if_none_is_asked_for(tmp_path: Path) -> None:
    said = fail(tmp_path, "pair", SnapSettings(2048, 512, 4, keep_failed=0))
    assert said == "it died. What SNAP left was deleted (--snap keep_failed=1 keeps it)."
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_works_is_not(tmp_path: Path) -> None:
    names = (*(f".snap-run-{pair}-0123abcd" for pair in "abc"), "x", ".snap-run-my-notes")
    dead, busy, young, foreign, notes = (tmp_path / name for name in names)
    for folder in (dead, busy, young, foreign, notes):
        folder.mkdir()
        (folder / ".held").touch()
    for folder in (dead, busy, notes):
        os.utime(folder / ".held", (1, 1))
    with (busy / ".held").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with workspace(tmp_path, "pair", LIMITS, 0) as work:
            assert not dead.exists()
            assert busy.exists()
            assert young.exists()
            os.utime(work.real / ".held", (1, 1))
            module.sweep(tmp_path)  # as another process would
            assert work.real.exists()
    assert foreign.exists()
    assert notes.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_keeps_text_only(tmp_path: Path, number: int) -> None:
    with pytest.raises(SnapDiskError, match=r"is full.*INSAR_MINING_SNAP_SCRATCH"):
        work_and_fail(tmp_path, "pair", LIMITS, "x", OSError(number, "no room"))
    (kept,) = tmp_path.iterdir()
    assert [path.name for path in kept.iterdir()] == ["gpt.log"]


def test_any_other_fault_of_a_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot work in .*Input/output"):
        work_and_fail(tmp_path, "pair", LIMITS, "x", OSError(errno.EIO, "Input/output error"))


def test_no_room_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with (
        pytest.raises(SnapDiskError, match=r"has 0.0 GiB free, SNAP needs about 2.0 GiB for pair.*SNAP_SCRATCH"),
        workspace(tmp_path, "pair", LIMITS, 2 * 1024**3),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_an_interrupted_run_leaves_no_scratch(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        work_and_fail(tmp_path, "pair", LIMITS, "x", error())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="INSAR_MINING_SNAP_SCRATCH"),
        workspace(tmp_path / "file", "pair", LIMITS, 0),
    ):
        pass
