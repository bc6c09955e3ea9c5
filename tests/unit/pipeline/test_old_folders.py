"""Runs in folders of earlier runs: clocks that jump, other options, inputs that are gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from insar_mining.download.verify import verify_folder
from insar_mining.pipeline.stac import recorded_checksums, recorded_files

from .conftest import Bench


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


@pytest.mark.parametrize("seconds", [0, 4_102_444_800], ids=["1970", "2100"])
def test_a_clock_that_jumped_changes_no_result_and_makes_no_map_again(bench: Bench, seconds: int) -> None:
    bench.run()
    before = tables(bench.out)
    for path in bench.out.rglob("*"):
        os.utime(path, (seconds, seconds))
    result = bench.run()
    assert bench.mapped == []
    assert result.kept_maps > 0
    assert tables(bench.out) == before


def test_another_method_in_an_old_folder_leaves_a_result_of_that_method_only(bench: Bench) -> None:
    """The folder is as if there had never been another run in it."""
    bench.run(method="significant")
    bench.run(method="published")
    bench.run(method="published", out=bench.folder / "fresh")
    used, fresh = ({path.name for path in out.iterdir()} for out in (bench.out, bench.folder / "fresh"))
    assert used == fresh
    assert set(recorded_files(bench.out)) == set(recorded_files(bench.folder / "fresh"))
    table = verify_folder(bench.out, recorded=recorded_checksums(bench.out))
    assert set(table["state"]) == {"whole"}


def test_a_run_that_fails_leaves_the_earlier_result_whole(bench: Bench) -> None:
    bench.run()
    before = {path: path.read_bytes() for path in bench.out.rglob("*") if path.is_file()}
    with pytest.raises(Exception, match=r".+"):
        bench.run(start="1999-01-01", end="1999-12-31")
    changed = [path for path, content in before.items() if path.suffix != ".lock" and path.read_bytes() != content]
    assert changed == []
