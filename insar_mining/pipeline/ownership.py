"""Whose the files in a folder are: nothing that somebody else put there is written over."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insar_mining.doors import GEOTIFF, open_raster, parse_json
from insar_mining.errors import ChangedFileWarning, OutputError
from insar_mining.files import delete, sha256, write_text
from insar_mining.pipeline.maps import MAP_FILES, STACK_RECORD
from insar_mining.pipeline.outputs import FILES
from insar_mining.pipeline.stac import COLLECTION, is_own_collection, recorded_files

# there while the files of a result are written: those that a killed run left are then known to be its own
WRITING = ".insar-mining.writing"
# tags of every map that this package writes
MAP_TAGS = ({"PLAN_SHA256"}, {"SOURCE", "ORIGIN"})
MOST_NAMED = 5


def check_no_foreign_files(folder: Path, maps: Path | None) -> None:
    """Check that a result would not write over files of somebody else.

    A folder that holds a result of this package, or what a killed run left of one, is written again; files of a
    result that were changed since are renamed then (`changed_files_kept`).

    Parameters
    ----------
    folder : Path
        Of the result; it need not be there.
    maps : Path or None
        Folder in which maps of pairs will be written.

    Raises
    ------
    OutputError
        Files have names of a result's files, and no record tells that this package wrote them.
    """
    foreign = [] if _has_result(folder) else _of_names(folder)
    if maps is not None and not maps.is_symlink() and maps.is_dir():
        foreign += [path for path in sorted(maps.iterdir()) if MAP_FILES.fullmatch(path.name) and not _is_map(path)]
    if foreign:
        names = ", ".join(path.relative_to(folder).as_posix() for path in foreign[:MOST_NAMED])
        more = f" and {len(foreign) - MOST_NAMED} more" if len(foreign) > MOST_NAMED else ""
        raise OutputError(
            f"{folder}: holds {names}{more}, which this package did not write, and a result would be written over. "
            "Choose another folder (--out), or move the files away"
        )


@contextmanager
def changed_files_kept(folder: Path) -> Iterator[None]:
    """Keep, under another name, files of an earlier result that were changed since and are written again inside.

    Warns
    -----
    ChangedFileWarning
        Names such a file and its new name, ``NAME.<8 hexadecimal digits>.changed``.
    """
    aside: dict[Path, Path] = {}
    try:
        if not (folder / WRITING).exists():
            _set_aside(folder, aside)
        write_text(folder / WRITING, "The files of a result are being written.\n")
        yield
    finally:
        for path, kept in aside.items():
            if not path.exists():  # it was not written again
                kept.rename(path)
                continue
            warnings.warn(
                f"{path}: was changed since it was written; it is kept as {kept.name} and written again",
                ChangedFileWarning,
                stacklevel=4,
            )
    delete(folder / WRITING, WRITING)


def _has_result(folder: Path) -> bool:
    return (folder / WRITING).is_file() or is_own_collection(folder)


def _of_names(folder: Path) -> list[Path]:
    """Return what has the name of a result's file."""
    return sorted(path for path in folder.iterdir() if FILES.fullmatch(path.name)) if folder.is_dir() else []


def _set_aside(folder: Path, aside: dict[Path, Path]) -> None:
    """Rename files that are not those of the record, and note their new names."""
    recorded = recorded_files(folder)
    for path in _of_names(folder):
        if path.name == COLLECTION or path.suffix == ".zarr":  # a store that holds other files is refused later
            continue
        if path.is_dir() or path.is_symlink() or sha256(path) != recorded.get(path.name):
            aside[path] = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.changed")
            path.rename(aside[path])


def _is_map(path: Path) -> bool:
    """Check whether a map, or the item beside it, is of this package."""
    if path.name == STACK_RECORD:
        return _keys(path) == {"scene", "identity"}
    if any(key.startswith("insar_mining:") for key in _keys(path.with_suffix(".json"), "properties")):
        return True
    from rasterio.errors import RasterioError

    try:
        with open_raster(path.with_suffix(".tif"), GEOTIFF) as source:
            return any(tags <= set(source.tags()) for tags in MAP_TAGS)
    except RasterioError:
        return False


def _keys(path: Path, inner: str | None = None) -> set[str]:
    """Return the keys of a JSON object, or of one in it; none if there is no such object."""
    try:
        content = parse_json(path.read_bytes())
        found = content if inner is None else content[inner]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {str(key) for key in found} if isinstance(found, dict) else set()
