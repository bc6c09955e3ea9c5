"""The chain of stages when SNAP misbehaves: no wrong map, no freeze, a second try where it makes sense."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan import CoherencePlan
from insar_mining.coherence.snap import engine, workspace
from insar_mining.coherence.snap.engine import SnapEngine
from insar_mining.coherence.snap.provision import geoid_zip
from insar_mining.coherence.snap.settings import settings
from insar_mining.errors import (
    EngineError,
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
from insar_mining.sentinel1.product import open_product

MakePlan = Callable[..., CoherencePlan]


@pytest.fixture
def mischief(monkeypatch: pytest.MonkeyPatch, snap_home: Path) -> Callable[[str], None]:
    monkeypatch.setenv("INSAR_MINING_SNAP_IDLE_S", "3")
    monkeypatch.setenv("INSAR_MINING_SNAP_WALL_S", "60")
    return lambda kind: monkeypatch.setenv("STANDIN_MISCHIEF", kind)


def scratch_of(plan: CoherencePlan) -> list[Path]:
    return sorted(plan.out.parent.glob(".snap-*"))


@pytest.mark.parametrize(
    ("kind", "error", "message", "again"),
    [
        ("hang", SnapHangError, "twice: .*said nothing", True),
        ("killed", SnapMemoryError, "twice: .*killed", True),
        ("heap", SnapMemoryError, "twice: .*Java heap space; raise INSAR_MINING_SNAP_MEMORY", True),
        ("crash", SnapCrashError, "twice: .*died of signal 11", True),
        ("half", SnapCrashError, "twice: .*bytes, .* are expected", True),
        ("halfheader", SnapCrashError, "twice: .*is damaged", True),
        ("nothing", SnapCrashError, "twice: .*left no product", True),
        ("unknown", SnapGraphError, "Unknown element 'cohWinAzimuth'", False),
        ("empty", SnapOutputError, "holds no value although SNAP reported success", False),
        ("full", SnapDiskError, "No space left on device; free space", False),
    ],
)
@pytest.mark.filterwarnings("ignore::insar_mining.errors.EngineWarning")
def test_each_misbehaviour_ends_in_its_error(
    plan: MakePlan, mischief: Callable[[str], None], kind: str, error: type[SnapError], message: str, again: bool
) -> None:
    mischief(f"{kind}@split-reference")
    made = plan()
    with pytest.raises(error, match=f"(?s){message}") as caught:
        coherence(made, "snap")
    assert type(caught.value) is error
    assert not made.out.exists()
    (kept,) = scratch_of(made)
    assert str(kept) in str(caught.value)
    log = (kept / "gpt.log").read_text("utf-8")
    assert [int(n) for n in re.findall(r"== split-reference-IW1: .* -q (\d+)", log)] == ([4, 2] if again else [4])
    assert (kept / "split-reference-IW1.xml").is_file()


def test_a_second_try_is_said(plan: MakePlan, mischief: Callable[[str], None]) -> None:
    mischief("killed@split-reference")
    with pytest.warns(EngineWarning, match="Trying once more with 2 threads"), pytest.raises(SnapMemoryError):
        coherence(plan(), "snap")


def test_a_second_try_that_goes_well_is_enough(
    plan: MakePlan, mischief: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The reference's split fails once; the secondary's, which comes later, says that the chain went on."""
    monkeypatch.setenv("STANDIN_ONCE", str(tmp_path / "once"))
    mischief("half@split-reference")
    made = plan()

    class Enough(Exception):
        pass

    def stop(path: Path) -> object:
        raise Enough if "secondary" in path.name else AssertionError(path)

    reads = engine.read_dimap

    def read(path: Path) -> object:
        return stop(path) if "secondary" in path.name else reads(path)

    monkeypatch.setattr(engine, "read_dimap", read)
    with pytest.warns(EngineWarning, match="Trying once more"), pytest.raises(Enough):
        coherence(made, "snap")
    assert scratch_of(made) == []  # an unexpected end leaves nothing


def test_on_a_full_disk_only_text_is_kept(plan: MakePlan, mischief: Callable[[str], None]) -> None:
    mischief("full@split-reference")
    made = plan()
    with pytest.raises(SnapDiskError):
        coherence(made, "snap")
    (kept,) = scratch_of(made)
    assert {path.suffix for path in kept.rglob("*") if path.is_file() and not path.is_symlink()} <= {".xml", ".log"}


def test_a_limit_on_file_sizes_is_a_full_disk(plan: MakePlan, snap_home: Path) -> None:
    gpt = snap_home / "bin" / "gpt"
    gpt.write_text(gpt.read_text().replace("#!/bin/sh\n", "#!/bin/sh\nulimit -f 200\n"))
    with pytest.raises(SnapDiskError, match="File too large; raise the limit"):
        coherence(plan(), "snap")


def test_no_room_is_said_before_anything_starts(
    plan: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan()
    monkeypatch.setattr(workspace.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(SnapDiskError, match=r"has 0.0 GiB free, SNAP needs about .* INSAR_MINING_SNAP_SCRATCH"):
        coherence(made, "snap")
    assert scratch_of(made) == []


def test_a_disk_that_fills_up_under_our_own_files_is_said(
    plan: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(userdir: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine, "lay_geoid", full)
    with pytest.raises(SnapDiskError, match="is full; free space there"):
        coherence(plan(), "snap")


def test_an_interrupted_run_leaves_no_scratch(plan: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.Gpt, "run", interrupt)
    made = plan()
    with pytest.raises(KeyboardInterrupt):
        coherence(made, "snap")
    assert scratch_of(made) == []


def orbit_file(product: Path, folder: Path) -> Path:
    """An EOF file with the state vectors of a product's annotation, as if it were the precise orbit."""
    opened = open_product(product)
    orbit = opened.sub_swath(opened.swaths[0], opened.polarisations[0]).orbit
    times = opened.epoch + (orbit.time_s * 1e9).astype("timedelta64[ns]")
    day = str(opened.epoch)[:10].replace("-", "")
    name = f"{opened.platform}_OPER_AUX_POEORB_OPOD_{day}T000000_V{day}T000000_{day}T235959"
    vectors = "".join(
        f"<OSV><UTC>UTC={str(t)[:26]}</UTC>"
        + "".join(
            f"<{k}>{v!r}</{k}>" for k, v in zip(("X", "Y", "Z", "VX", "VY", "VZ"), map(float, state), strict=True)
        )
        + "</OSV>"
        for t, state in zip(times, np.hstack([orbit.position_m, orbit.velocity_m_s]), strict=True)
    )
    path = folder / f"orbit of {day}.EOF"
    path.write_text(
        f"<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><File_Name>{name}</File_Name>"
        f"<Mission>Sentinel-{opened.platform[1:]}</Mission></Fixed_Header></Earth_Explorer_Header>"
        f"<Data_Block><List_of_OSVs>{vectors}</List_of_OSVs></Data_Block></Earth_Explorer_File>"
    )
    return path


def test_the_orbit_trap_is_found(plan: MakePlan, simulated, mischief: Callable[[str], None], tmp_path: Path) -> None:
    orbits = [orbit_file(path, tmp_path) for path in (simulated.reference, simulated.secondary)]
    mischief("trap@split-reference")
    with pytest.raises(SnapOrbitError, match=r"metadata says N/A, vectors 10 s apart.*separate processes"):
        coherence(plan(orbits=orbits), "snap")


def test_an_orbit_file_that_snap_does_not_find_is_said(
    plan: MakePlan, simulated, snap_home: Path, tmp_path, monkeypatch
) -> None:
    orbits = [orbit_file(path, tmp_path) for path in (simulated.reference, simulated.secondary)]
    monkeypatch.setattr(engine, "lay_orbit", lambda *_: ("Sentinel Precise (Auto Download)", "X.EOF"))
    with pytest.raises(SnapOrbitError, match=r"No valid orbit file found.*--orbit"):
        coherence(plan(orbits=orbits), "snap")


def test_single_bursts_are_refused(plan: MakePlan, snap_home: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--engine builtin for single bursts"):
        engine._refuse_bursts(tmp_path)


def test_without_snap_the_error_says_how_to_get_it(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAP_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("insar_mining.coherence.snap.install.USUAL_PLACES", ())
    with pytest.raises(EngineError, match="SNAP was not found"):
        coherence(plan(), "snap")


def test_another_version_runs_with_a_warning(plan: MakePlan, snap_home: Path, mischief, monkeypatch) -> None:
    (snap_home / "VERSION.txt").write_text("9.0.0\n")
    mischief("unknown@split")
    with (
        pytest.warns(EngineWarning, match="SNAP 9.0.0: the graphs are checked against 13 and 14 only"),
        pytest.raises(SnapGraphError),
    ):
        coherence(plan(), "snap")


def test_one_engine_does_not_pass_off_the_map_of_another(plan: MakePlan, mischief: Callable[[str], None]) -> None:
    made = plan()
    coherence(made, "builtin")
    with rasterio.open(made.out) as source:
        assert source.tags()["ENGINE"] == "builtin"
    mischief("unknown@split")
    with pytest.raises(SnapGraphError):
        coherence(made, "snap")


def test_a_path_that_needs_no_quoting_is_all_that_snap_sees(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(out=tmp_path / "é [1] 'x' $HOME" / "a.tif")
    with workspace.workspace(made, settings({}), 0) as work:
        assert workspace.PLAIN.fullmatch(str(work.path))
        (work.path / "file").write_text("x")
        assert (work.real / "file").read_text() == "x"
        assert work.real.parent == made.out.parent.resolve()
        door = work.path.parent
    assert not work.real.exists()
    assert not door.exists()


def test_making_the_geoid_costs_once(snap_home: Path) -> None:
    assert geoid_zip() is geoid_zip()


def test_the_engine_says_which_snap_it_ran(plan: MakePlan, mischief: Callable[[str], None]) -> None:
    mischief("unknown@split")
    chosen = SnapEngine()
    with pytest.raises(SnapGraphError):
        chosen.map_coherence(plan(), lambda share: None)
    assert chosen.version == "SNAP 13.0.4"
