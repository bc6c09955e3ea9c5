"""What a run starts from, normalised at the door."""

from __future__ import annotations

from pathlib import Path

from insar_mining.errors import MineError
from insar_mining.geo.mines import Mine, read_mines

MOST_NAMED = 8


def mine_of(mine: Mine | Path | str, mine_id: str | None = None) -> Mine:
    """Return the one mine that is meant: a mine itself, or a file with one mine or a named one of several.

    Raises
    ------
    MineError
        The file holds no usable polygon, several without one being named, or not that one.
    """
    if isinstance(mine, Mine):
        return mine
    mines = {found.id: found for found in read_mines(mine)}
    if mine_id is None and len(mines) == 1:
        return next(iter(mines.values()))
    if mine_id in mines:
        return mines[mine_id]
    more = f" and {len(mines) - MOST_NAMED} more" if len(mines) > MOST_NAMED else ""
    known = ", ".join(list(mines)[:MOST_NAMED]) + more
    problem = f"holds {len(mines)} mines" if mine_id is None else f"holds no mine {mine_id!r}"
    raise MineError(f"{mine}: {problem}; name one of them (--mine-id, mine_id=): {known}")
