"""What is deleted, what never is, and files that appear whole."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from insar_mining import files
from insar_mining.errors import OutputError
from insar_mining.files import ANYTHING, TEMPORARY, appears_whole, delete, delete_leftovers, replace_folder, sha256

MAPS = re.compile(r"ndai_\d{4}\.tif")
NAMES = re.compile(r"stable\.tif|coherence\.zarr|\d{8}_\d{8}\.(?:tif|json)")
STORE = re.compile(r"(?:[^/]+/)?(?:\.zgroup|\d+)")

Tree = dict[str, bytes | str]


def tree(folder: Path) -> Tree:
    """Every file of a folder with its bytes, every link with its target."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """A result's folder inside of a user's folder."""
    folder = tmp_path / "user" / "result"
    folder.mkdir(parents=True)
    (tmp_path / "user" / "thesis.docx").write_bytes(b"years of work")
    (folder / "notes.txt").write_text("keep me")
    return folder


def test_a_file_of_a_known_name_is_deleted(guarded: Path) -> None:
    path = guarded / "ndai_2021.tif"
    path.write_bytes(b"map")
    assert delete(path, MAPS, checksum=sha256(path))
    assert not path.exists()
    assert not delete(path, MAPS)  # already gone


@pytest.mark.parametrize(
    "name", ["..", ".", "", "notes.txt", "../thesis.docx", "/etc/passwd", "ndai_2021.tif/..", "ndai_2021.tif\n", "x/y"]
)
def test_no_other_name_is(guarded: Path, name: str) -> None:
    before = tree(guarded.parent)
    assert not delete(guarded / name, MAPS)
    assert not delete(guarded / name, MAPS, STORE)
    assert tree(guarded.parent) == before


def test_a_file_that_was_changed_stays(guarded: Path) -> None:
    path = guarded / "ndai_2021.tif"
    path.write_bytes(b"map")
    recorded = sha256(path)
    path.write_bytes(b"map with my own band")
    assert not delete(path, MAPS, checksum=recorded)
    assert path.read_bytes() == b"map with my own band"


def test_nothing_is_deleted_through_a_link(guarded: Path) -> None:
    elsewhere = guarded.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "0").write_bytes(b"data")
    (guarded / "ndai_2021.tif").symlink_to(guarded.parent / "thesis.docx")
    (guarded / "coherence.zarr").symlink_to(elsewhere)
    inner = guarded / ".x.0123abcd.part"
    inner.mkdir()
    (inner / "link").symlink_to(elsewhere)
    assert not delete(guarded / "ndai_2021.tif", MAPS)
    assert not delete(guarded / "coherence.zarr", NAMES, STORE)
    assert delete(inner, TEMPORARY, ANYTHING)  # the link goes, what it leads to stays
    assert (elsewhere / "0").read_bytes() == b"data"
    assert (guarded.parent / "thesis.docx").exists()


def test_a_folder_is_no_file_and_a_file_no_folder(guarded: Path) -> None:
    (guarded / "ndai_2021.tif").mkdir()
    (guarded / "coherence.zarr").write_bytes(b"file")
    assert not delete(guarded / "ndai_2021.tif", MAPS)
    assert not delete(guarded / "coherence.zarr", NAMES, STORE)
    assert (guarded / "ndai_2021.tif").is_dir()
    assert (guarded / "coherence.zarr").is_file()


def test_no_tree_is_deleted_by_a_name_that_is_not_temporary(guarded: Path) -> None:
    (guarded / "coherence.zarr").mkdir()
    (guarded / "coherence.zarr" / "mine.txt").write_text("keep me")
    with pytest.raises(ValueError, match="temporary"):
        delete(guarded / "coherence.zarr", NAMES, ANYTHING)
    assert (guarded / "coherence.zarr" / "mine.txt").exists()


def test_of_a_folder_only_known_files_are_deleted(guarded: Path) -> None:
    store = guarded / "coherence.zarr"
    for name in (".zgroup", "coherence/0", "coherence/1", "coherence/notes.txt", "x/0"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(name)
    assert not delete(store, NAMES, STORE)
    assert tree(store) == {"coherence/notes.txt": b"coherence/notes.txt"}
    assert not (store / "x").exists()
    (store / "coherence" / "notes.txt").unlink()
    assert delete(store, NAMES, STORE)
    assert not store.exists()


OWN_LEFTOVERS = (
    ".stable.0123abcd.part.tif",
    ".stable.0123abcd.part.tif.ovr.tmp",
    ".20210120_20210201.00000000.part.json",
    ".coherence.zarr.0123abcd.part/0",
    ".coherence.zarr.0123abcd.old/.zgroup",
)
USERS = (
    ".env.old",
    ".venv.old/bin/python",
    ".thesis.part2.docx",
    ".thesis.0123abcd.part.docx",
    ".stable.part.tif",
    ".stable.tif.old",
    ".stable.0123ABCD.part.tif",
    ".stable.0123abcde.part.tif",
    ".mine.zarr.0123abcd.old/x",
    "stable.0123abcd.part.tif",
    ".0123abcd.part",
)


def test_leftovers_of_this_package_are_deleted_and_nobody_elses(guarded: Path) -> None:
    for name in (*OWN_LEFTOVERS, *USERS):
        (guarded / name).parent.mkdir(parents=True, exist_ok=True)
        (guarded / name).write_text(name)
    delete_leftovers(guarded, NAMES)
    assert set(tree(guarded)) == {*USERS, "notes.txt"}


def test_leftovers_behind_a_link_stay(guarded: Path) -> None:
    maps = guarded.parent / "maps"
    maps.mkdir()
    (maps / ".stable.0123abcd.part.tif").write_text("x")
    (guarded / "coherence").symlink_to(maps)
    (guarded / ".stable.0123abcd.part.tif").symlink_to(guarded / "notes.txt")
    delete_leftovers(guarded / "coherence", NAMES)
    delete_leftovers(guarded, NAMES)
    assert (maps / ".stable.0123abcd.part.tif").exists()
    assert (guarded / "notes.txt").read_text() == "keep me"


def test_a_folder_is_replaced_if_all_in_it_is_ours(guarded: Path) -> None:
    old, new = guarded / "coherence.zarr", guarded / ".coherence.zarr.0123abcd.part"
    for folder, content in ((old, "old"), (new, "new")):
        (folder / "coherence").mkdir(parents=True)
        (folder / "coherence" / "0").write_text(content)
    replace_folder(new, old, STORE)
    assert tree(guarded) == {"coherence.zarr/coherence/0": b"new", "notes.txt": b"keep me"}


@pytest.mark.parametrize("foreign", ["notes.txt", "coherence/my.tif", "coherence/link"])
def test_a_folder_with_a_file_of_the_user_is_not_replaced(guarded: Path, foreign: str) -> None:
    old, new = guarded / "coherence.zarr", guarded / ".coherence.zarr.0123abcd.part"
    for folder in (old / "coherence", new):
        folder.mkdir(parents=True)
    if foreign.endswith("link"):
        (old / foreign).symlink_to(guarded.parent)
    else:
        (old / foreign).write_text("keep me")
    before = tree(guarded.parent)
    with pytest.raises(OutputError, match=re.escape(foreign)):
        replace_folder(new, old, STORE)
    assert tree(guarded.parent) == before


def test_what_cannot_be_deleted_stays_and_no_error_hides_the_first(
    guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (guarded / "ndai_2021.tif").write_bytes(b"map")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(files.Path, "unlink", refuse)
    assert not delete(guarded / "ndai_2021.tif", MAPS)
    assert (guarded / "ndai_2021.tif").exists()


def test_a_file_appears_whole_or_not_at_all(guarded: Path) -> None:
    path = guarded / "stable.tif"

    def write(content: bytes, fail: bool) -> None:
        with appears_whole(path) as partial:
            assert TEMPORARY.fullmatch(partial.name)
            assert partial.suffix == ".tif"
            partial.write_bytes(content)
            if fail:
                raise KeyboardInterrupt

    write(b"first", False)
    with pytest.raises(KeyboardInterrupt):
        write(b"half", True)
    assert tree(guarded) == {"notes.txt": b"keep me", "stable.tif": b"first"}
