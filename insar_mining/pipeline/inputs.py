"""What a run starts from, normalised at the door."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from shapely.geometry import Point

from insar_mining.errors import DemError, MineError, OptionError, OrbitError, OutputError
from insar_mining.geo.mines import Mine, dissolved, read_mines
from insar_mining.options.base import Options, fields_of

MOST_NAMED = 8

# asks for all polygons of a file as one mine
ALL = "all"

PLACE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*")

# options whose files have an error of their own kind; those that may be made, or are looked at first by their readers
KINDS = {"dem": DemError, "coherence.orbits": OrbitError}
OTHERS = ("archive.folder", "snap.", "mine", "folder", "scenes")


def mine_of(mine: Mine | Path | str, mine_id: str | None = None) -> Mine:
    """Return the one mine that is meant: a mine itself, or a file with one mine or a named one of several.

    Parameters
    ----------
    mine : Mine or path
    mine_id : str, optional
        An id; else a name, an attribute (``type=pit``) or a place within the polygon (``-8.77,31.80``, longitude
        first), if these are of one mine; or ``all``: every polygon of the file as one mine.

    Raises
    ------
    MineError
        The file holds no usable polygon, several without one being named, or not that one.
    """
    if isinstance(mine, Mine):
        return mine
    mines = read_mines(mine)
    if mine_id is None and len(mines) == 1:
        return mines[0]
    found = [] if mine_id is None else _meant(mines, mine_id)
    if mine_id == ALL and not found:
        return dissolved(mines, id=_stem(mine))
    if len(found) == 1:
        return found[0]
    known = _named(mines)
    if found:
        raise MineError(f"{mine}: {len(found)} mines are {mine_id!r}. Name one by its id (--mine-id): {_named(found)}.")
    problem = f"holds {len(mines)} mines" if mine_id is None else f"holds no mine {mine_id!r}"
    raise MineError(
        f"{mine}: {problem}. Name one of them (--mine-id, mine_id=), or all as one (--mine-id all): {known}."
    )


def _meant(mines: Sequence[Mine], wanted: str) -> list[Mine]:
    """Return the mines of an id, else of a name, an attribute, or a place."""
    by_id = [one for one in mines if one.id == wanted]
    by_name = [one for one in mines if one.name.casefold() == wanted.strip().casefold()]
    if by_id or by_name:
        return by_id or by_name
    field, equals, value = wanted.partition("=")
    if equals:
        texts = [(one, {str(k).casefold(): str(v) for k, v in one.properties.items()}) for one in mines]
        return [one for one, known in texts if known.get(field.strip().casefold(), "").strip() == value.strip()]
    place = PLACE.fullmatch(wanted)
    if place is None:
        return []
    point = Point(float(place[1]), float(place[2]))
    return [one for one in mines if one.geometry.intersects(point)]


def _stem(mine: Path | str) -> str:
    """Return the name of a file of mines, without its folder, its ending and a layer."""
    return Path(str(mine).partition("|layername=")[0]).stem


def _named(mines: Sequence[Mine]) -> str:
    """Return ids, with names where these say more."""
    shown = [one.id if one.name == one.id else f"{one.id} ({one.name})" for one in mines[:MOST_NAMED]]
    return ", ".join(shown) + (f" and {len(mines) - MOST_NAMED} more" if len(mines) > MOST_NAMED else "")


def check_folder(out: Path) -> None:
    """Check that a result can have its folder.

    Raises
    ------
    OutputError
        `out`, or a folder above it, is a file, or it cannot be looked up (a name that is too long, say).
    """
    try:
        there = next(path for path in (out, *out.absolute().parents) if path.exists())
    except OSError as error:
        raise OutputError(f"{out}: cannot be looked up ({error.strerror}). Choose another name (--out)") from error
    if not there.is_dir():
        raise OutputError(f"{there}: is a file, and the result needs a folder. Choose another name (--out)")


def check_paths(options: Options) -> None:
    """Check that every file that the options name is there.

    A wrong name then shows at once, and not after the work that comes before the file is read.

    Raises
    ------
    DemError, OrbitError, OptionError
        A file is not there.
    """
    for name, _ in fields_of(type(options)):
        value: object = options
        for part in name.split("."):
            value = getattr(value, part)
        paths = value if isinstance(value, tuple) else (value,)
        for path in paths:
            if isinstance(path, Path) and not name.startswith(OTHERS) and not _is_there(path):
                kind = KINDS.get(name, OptionError)
                raise kind(f"{path}: no such file (option {name}). Check the spelling and the folder")


def _is_there(path: Path) -> bool:
    """Check whether a file exists; a layer of one may be named behind a bar."""
    try:
        return path.exists() or Path(str(path).partition("|")[0]).exists()
    except OSError:  # the name is too long, or leads nowhere
        return False
