"""SNAP going wrong in every way at every stage: no wrong map, no freeze, no orphan, a remedy in every message.

Stages are copies of what the stand-in computed once, so that a pair takes a second.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.snap import engine, gpt
from insar_mining.coherence.snap.mapped import seen_cells
from insar_mining.errors import (
    EngineWarning,
    SnapCrashError,
    SnapDiskError,
    SnapError,
    SnapGraphError,
    SnapHangError,
    SnapMemoryError,
    SnapOrbitError,
    SnapOutputError,
)

MakePlan = Callable[..., CoherencePlan]

# one of each kind of stage, from each sub-swath
STAGES = (
    "split-reference-IW1", "split-secondary-IW2", "coregister-IW1", "interferogram-IW2", "merge", "subset",
    "terrain-correction",
)  # fmt: skip
ALL = (*STAGES, "split-reference-IW2", "split-secondary-IW1", "coregister-IW2", "interferogram-IW1")
# what is tried again, and what is said of it
AGAIN = {
    "hang": (SnapHangError, r"said nothing and computed nothing for 3 s and was ended.*INSAR_MINING_SNAP_IDLE_S"),
    "killed": (SnapMemoryError, r"was killed \(signal 9\).*Lower INSAR_MINING_SNAP_MEMORY"),
    "heap": (SnapMemoryError, "Java heap space; raise INSAR_MINING_SNAP_MEMORY"),
    "crash": (SnapCrashError, "died of signal 11.*Run the same command again"),
    "half": (SnapCrashError, "bytes, .* are expected; SNAP did not finish writing it"),
    "halfheader": (SnapCrashError, "is damaged .*SNAP did not finish writing it"),
    "nothing": (SnapCrashError, "left no product"),
}
# what a second try would not mend
FINAL = {
    "unknown": (SnapGraphError, "Unknown element 'cohWinAzimuth'; the graph is for another version.*graph check"),
    "empty": (SnapOutputError, "holds no value although SNAP reported success"),
    "missing": (SnapOutputError, "holds no value although SNAP reported success"),
    "full": (SnapDiskError, "No space left on device; free space there, or set INSAR_MINING_SNAP_SCRATCH"),
    "limit": (SnapDiskError, r"File too large; raise the limit of file sizes \(ulimit -f\)"),
    "trap": (SnapOrbitError, r"metadata says no file, vectors 10 s apart.*separate processes"),
    "otherdate": (SnapOutputError, "no band is of 2023-09-16 .*belongs to another pair"),
}
# of stages that hang, and of all others: a busy machine may leave a process without a turn for seconds
IDLE_S, PATIENT_S = 3.0, 60.0


@pytest.fixture
def mischief(monkeypatch: pytest.MonkeyPatch, replayed: MakePlan, tmp_path: Path) -> Callable[..., None]:
    """``mischief("kind@stage", ..., once=file)``: SNAP is to go wrong so, each time or once."""
    monkeypatch.setenv("INSAR_MINING_SNAP_WALL_S", "120")
    monkeypatch.setenv("STANDIN_PIDS", str(tmp_path / "pids"))
    monkeypatch.setattr(gpt, "GRACE_S", 0.2)  # the stand-in does not listen to SIGTERM when it hangs
    geometry = seen_cells(replayed())
    monkeypatch.setattr(engine, "seen_cells", lambda plan: geometry)  # of every plan here, and found once

    def ask(*wishes: str, once: str = "") -> None:
        hangs = any(wish.startswith("hang") for wish in wishes)
        monkeypatch.setenv("INSAR_MINING_SNAP_IDLE_S", str(IDLE_S if hangs else PATIENT_S))
        monkeypatch.setenv("STANDIN_MISCHIEF", ",".join(wishes))
        monkeypatch.setenv("STANDIN_ONCE", once)

    return ask


def map_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


def scratch_of(plan: CoherencePlan) -> list[Path]:
    return sorted(plan.out.parent.glob(".snap-*"))


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and psutil.pid_exists(pid):
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return not psutil.pid_exists(pid)


def nobody_is_left(tmp_path: Path) -> bool:
    """Tell whether no process works for this test any more: none of ours, and none that hung."""
    pids = tmp_path / "pids"
    named = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
    ours = [child.pid for child in psutil.Process().children(recursive=True) if not is_pythons_own(child)]
    return all(is_gone(pid) for pid in [*named, *ours])


def is_pythons_own(process: psutil.Process) -> bool:
    """Tell whether a process serves Python's multiprocessing, which keeps it until the interpreter ends."""
    try:
        return any("multiprocessing" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(3))
def test_a_second_try_at_every_stage(
    replayed: MakePlan, recorded, mischief: Callable[..., None], tmp_path: Path, turn: int
) -> None:
    """In one pair all seven kinds of stages go wrong once, each in another way."""
    second_tries(replayed(), recorded, mischief, tmp_path, turn)


@pytest.mark.slow
def test_a_second_try_at_every_stage_after_everything(
    replayed: MakePlan, recorded, mischief: Callable[..., None], tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    """With --stress the other turns of the square as well: every kind at every stage."""
    for turn in range(3, 3 + max(campaign(len(AGAIN)) - 3, 1)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        second_tries(replayed(out=folder / "map.tif"), recorded, mischief, folder, turn)


def second_tries(made: CoherencePlan, recorded, mischief: Callable[..., None], folder: Path, turn: int) -> None:
    """Let each stage fail once, in the way whose turn it is, and expect the map as if nothing had been."""
    kinds = list(AGAIN)
    wrong = {stage: kinds[(number + turn) % len(kinds)] for number, stage in enumerate(STAGES)}
    mischief(*(f"{kind}@{stage}" for stage, kind in wrong.items()), once=str(folder / "once"))
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = coherence(made, "snap")
    assert time.monotonic() - started < 60
    said = [str(w.message) for w in caught if issubclass(w.category, EngineWarning)]
    for stage, kind in wrong.items():
        (one,) = [text for text in said if stage in text]
        assert re.search(f"(?s){AGAIN[kind][1]}.*Trying once more with 2 threads", one), one
    assert len(said) == len(wrong)
    np.testing.assert_array_equal(map_of(path), recorded.values)
    assert scratch_of(made) == []
    assert nobody_is_left(folder)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(STAGES)), ids=STAGES)
@pytest.mark.filterwarnings("ignore::insar_mining.errors.EngineWarning")
def test_what_fails_twice_is_an_error_at_every_stage(
    replayed: MakePlan, mischief: Callable[..., None], tmp_path: Path, campaign: Callable[[int], int], place: int
) -> None:
    """Every kind and every stage once, all combinations with --stress."""
    for turn in range(campaign(len(AGAIN))):
        kind = list(AGAIN)[(place + turn) % len(AGAIN)]
        mischief(f"{kind}@{STAGES[place]}")
        error, message = AGAIN[kind]
        made = replayed(out=tmp_path / kind / "map.tif")
        refuses(made, error, f"twice: .*{message}", STAGES[place], tries=[4, 2])
        assert nobody_is_left(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(STAGES)), ids=STAGES)
def test_what_a_second_try_would_not_mend_is_an_error_at_once(
    replayed: MakePlan, mischief: Callable[..., None], tmp_path: Path, campaign: Callable[[int], int], place: int
) -> None:
    """Every kind and every stage once, all combinations with --stress."""
    for turn in range(campaign(len(FINAL))):
        kind, stage = list(FINAL)[(place + 3 * turn) % len(FINAL)], STAGES[place]
        if kind in ("otherdate", "missing") and stage.startswith("split"):
            stage = "coregister-IW2"  # a split's bands have no date in their names, and whole numbers are never NaN
        mischief(f"{kind}@{stage}")
        refuses(replayed(out=tmp_path / kind / "map.tif"), *FINAL[kind], stage, tries=[4])


def refuses(plan: CoherencePlan, error: type[SnapError], message: str, stage: str, tries: list[int]) -> None:
    """Make sure that a pair ends in an error that says all: no map, log and graph kept, nothing run after it."""
    with pytest.raises(error, match=f"(?s){message}") as caught:
        coherence(plan, "snap")
    assert type(caught.value) is error
    assert stage in str(caught.value)
    assert not plan.out.exists()
    assert not plan.out.with_suffix(".json").exists()
    (kept,) = scratch_of(plan)
    assert str(kept) in str(caught.value)
    runs = re.findall(r"== (\S+): .* -q (\d+)", (kept / "gpt.log").read_text("utf-8"))
    assert [int(threads) for name, threads in runs if name == stage] == tries
    assert runs[-1][0] == stage
    assert (kept / f"{stage}.xml").is_file()
    assert not (kept / "userdir").exists()
    if error is SnapDiskError:
        assert {p.suffix for p in kept.rglob("*") if p.is_file() and not p.is_symlink()} <= {".xml", ".log", ".dim"}


def test_megabytes_of_log_at_every_stage_change_nothing(
    replayed: MakePlan, recorded, mischief: Callable[..., None], recwarn: pytest.WarningsRecorder
) -> None:
    mischief(*(f"flood@{stage}" for stage in ALL))
    np.testing.assert_array_equal(map_of(coherence(replayed(), "snap")), recorded.values)
    assert not list(recwarn)


def test_spectral_diversity_that_fails_leaves_geometry(
    replayed: MakePlan, recorded, mischief: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSAR_MINING_SNAP_SPECTRAL_DIVERSITY", "1")
    mischief("incoherent@coregister-IW1")
    with pytest.warns(EngineWarning) as caught:
        path = coherence(replayed(), "snap")
    first, second = (str(w.message) for w in caught)
    assert "Estimation of the azimuth shift failed" in first
    assert "IW1 is coregistered by geometry alone" in first
    assert "IW2: shows the area in one burst" in second
    np.testing.assert_array_equal(map_of(path), recorded.values)


def test_spectral_diversity_does_not_hide_other_faults(
    replayed: MakePlan, mischief: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSAR_MINING_SNAP_SPECTRAL_DIVERSITY", "1")
    mischief("full@coregister-IW1")
    with pytest.raises(SnapDiskError):
        coherence(replayed(), "snap")
