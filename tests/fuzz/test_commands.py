"""Every command with odd arguments, and odd files behind good ones: documented ends, and nothing else happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.arena import no_network
from tests.fuzz.commands import PEAK_MB, Walk, judged, leaves

EVERY = 40  # of 12,600 command lines; all of them with --stress


# rasterio cannot pass on a message of GDAL that repeats bytes of the file, and says so on standard error
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_odd_arguments_end_as_documented(
    tmp_path: Path, campaign: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between attempts to reach an archive that is not there
    with no_network() as (address, requests):
        walk = Walk(tmp_path, address, requests)
        walk.walk(EVERY if campaign(10) == 1 else 1)
    assert [str(fault) for fault in walk.faults] == []
    assert walk.ran > 200
    assert {0, 1, 2} <= walk.codes.keys()
    assert walk.peak_mb < PEAK_MB


def test_every_command_is_walked() -> None:
    names = [name for name, _ in leaves()]
    assert {"run", "analyse", "update", "portfolio plan", "inventory estimate", "graph render"} <= set(names)
    assert len(names) > 30


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("run", 0, "Traceback (most recent call last):"),
        ("run", 70, "error: unexpected"),
        ("run", 3, "error: a finding of another command"),
        ("run", 1, ""),
    ],
)
def test_a_fault_is_seen(name: str, code: int, said: str) -> None:
    assert judged(name, code, said)
    assert not judged("inventory process", 3, "error: a finding")


def test_a_changed_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(tmp_path, "http://127.0.0.1:1", [])

    def harm(args: list[str]) -> tuple[int, str, str]:
        (walk.user / "thesis.docx").write_bytes(b"gone")
        return 0, "", ""

    monkeypatch.setattr("tests.fuzz.commands.in_process", harm)
    walk.one("run", ["run"])
    assert "thesis.docx" in walk.faults[0].what
    assert (walk.user / "thesis.docx").read_bytes() == b"years of work"  # the next command line finds it as it was
