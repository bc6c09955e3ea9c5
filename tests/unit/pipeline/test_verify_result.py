"""``verify`` on the folder of a result: every file is held against the checksum that the result recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.download.verify import verify_folder
from insar_mining.pipeline.stac import recorded_checksums

from .conftest import Bench


def damaged(folder: Path) -> dict[str, str]:
    table = verify_folder(folder, recorded=recorded_checksums(folder))
    bad = table[table["state"] != "whole"]
    return dict(zip(bad["file"], bad["checked"], strict=True))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def copied(bench: Bench) -> Path:
    """A result that was copied elsewhere: what `analyse` writes, with the maps of pairs."""
    from insar_mining.pipeline import jobs

    bench.run()
    out = bench.folder / "made"
    jobs.analyse(bench.out / "coherence", bench.mine, out=out)
    return Path(shutil.copytree(out, bench.folder / "copy"))


def test_every_file_of_a_result_has_a_checksum_and_any_change_is_told(copied: Path) -> None:
    assert damaged(copied) == {}
    recorded = recorded_checksums(copied)
    store = copied / "coherence.zarr"
    files = [path for path in copied.rglob("*") if path.is_file() and not path.name.startswith(".")]
    others = [path for path in files if path != copied / "collection.json" and store not in path.parents]
    assert set(recorded) == {*others, store}
    for path in others[:: max(1, len(others) // 12)]:
        flip(path)
        assert damaged(copied) == {path.relative_to(copied).as_posix(): "checksum"}
        flip(path)
    flip(max((path for path in store.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size))
    (copied / "activity.csv").unlink()
    assert damaged(copied) == {"coherence.zarr": "checksum", "activity.csv": "checksum"}
    assert set(damaged(copied.parent)) >= {"copy/coherence.zarr", "copy/activity.csv"}


def test_the_command_ends_with_an_error_for_a_damaged_result(copied: Path) -> None:
    runner = CliRunner()
    whole = runner.invoke(app, ["verify", str(copied), "--json"])
    assert whole.exit_code == 0
    rows = {row["file"]: row for row in json.loads(whole.stdout)}
    assert {rows[name]["checked"] for name in ("stable.tif", "report.html", "coherence.zarr")} == {"checksum"}
    flip(copied / "stable.tif")
    assert runner.invoke(app, ["verify", str(copied)]).exit_code != 0


def test_a_record_of_anybody_reaches_no_file_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("x", encoding="utf-8")
    hrefs = ["../secret.txt", "/etc/passwd", "./../secret.txt", "./a/../../secret.txt", ".", "", 3, None]
    links = [{"href": href, "file:checksum": "1220" + "0" * 64} for href in hrefs]
    record = {"stac_version": "1.0.0", "assets": {}, "links": [*links, 3, None, [], {"href": "./x"}]}
    (tmp_path / "in" / "collection.json").write_text(json.dumps(record), encoding="utf-8")
    assert recorded_checksums(tmp_path / "in") == {}
    for text in ("[]", "{}", "3", "{", '{"stac_version": "1.0.0", "assets": 3, "links": []}', "[" * 100_000):
        (tmp_path / "in" / "collection.json").write_text(text, encoding="utf-8")
        assert recorded_checksums(tmp_path / "in") == {}
