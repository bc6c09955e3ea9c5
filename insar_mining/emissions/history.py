"""A database of emissions over the years: rows are added, never changed; a restatement is a new revision."""

from __future__ import annotations

import csv
import datetime as dt
import fcntl
import hashlib
import io
import os
from pathlib import Path

import pandas as pd

from insar_mining.emissions.tabular import read_back
from insar_mining.errors import EmissionsError, OutputError
from insar_mining.tables import harmless

COLUMNS = ["mine", "year", "quantity", "value", "unit", "revision", "reason", "source", "recorded", "previous"]
KEY = ["mine", "year", "quantity"]


def record(
    path: Path | str, rows: pd.DataFrame, *, source: str, reason: str = "", when: str | None = None
) -> pd.DataFrame:
    """Add rows to a database.

    Parameters
    ----------
    path : path
        A CSV file; it is made where there is none.
    rows : DataFrame
        mine, year, quantity, value, unit.
    source : str
        Of these values, such as an edition or a checksum.
    reason : str
        Of a restatement; required where a value differs from the newest of its mine, year and quantity.
    when : str, optional
        Date of the record, ISO 8601; by default today.

    Returns
    -------
    DataFrame
        The rows that were added; one that is as recorded already is not.

    Raises
    ------
    EmissionsError
        A restatement without a reason, or rows of the file were changed by hand.
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # two writers would both follow the same last row
            handle.seek(0)
            before = handle.read()
            known = _checked(path, before)
            new = _revisions(known, rows, source, reason, when or dt.date.today().isoformat())
            handle.write(_lines(new, before))
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}). Check the folder and your rights") from error
    return new


def history(path: Path | str, mine: str | None = None, *, revisions: bool = True) -> pd.DataFrame:
    """Return the rows of a database, by mine, year, quantity and revision.

    Parameters
    ----------
    path : path
    mine : str, optional
    revisions : bool
        All of them, or only the newest.

    Raises
    ------
    EmissionsError
        The file is absent, or its rows were changed.
    """
    path = Path(path)
    if not path.exists():
        raise EmissionsError(f"{path}: there is no such database. Record an inventory first")
    table = _checked(path, path.read_bytes())
    table = table if mine is None else table[table["mine"].astype(str) == mine]
    table = table.sort_values([*KEY, "revision"], kind="stable", ignore_index=True).drop(columns="previous")
    return table if revisions else table.drop_duplicates(KEY, keep="last", ignore_index=True)


def _checked(path: Path, content: bytes) -> pd.DataFrame:
    """Read the rows, and make sure that each still follows the one before it."""
    if not content:
        return pd.DataFrame(columns=COLUMNS)
    if not content.endswith(b"\n"):
        raise EmissionsError(f"{path}: its last row is cut off. Remove that row")
    lines = content.splitlines(keepends=True)
    table = read_back(path)
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise EmissionsError(f"{path}: it is no database of inventories ({', '.join(absent)} missing). Check its name")
    table = table.astype({"previous": str, "mine": str})
    for number, line in enumerate(lines[1:], 2):
        if not line.rstrip(b"\n").endswith(_digest(lines[number - 2]).encode()):
            raise EmissionsError(
                f"{path}: row {number} does not follow the one before it: rows were changed. Restore it"
            )
    return table


def _digest(line: bytes) -> str:
    return "h" + hashlib.sha256(line).hexdigest()[:16]


def _revisions(known: pd.DataFrame, rows: pd.DataFrame, source: str, reason: str, when: str) -> pd.DataFrame:
    newest = {tuple(row[:3]): (row[3], row[4]) for row in known[[*KEY, "value", "revision"]].itertuples(index=False)}
    lines = []
    for row in rows[[*KEY, "value", "unit"]].dropna(subset=["value"]).itertuples(index=False):
        key = (str(row.mine), int(row.year), str(row.quantity))  # type: ignore[arg-type]
        value, revision = newest.get(key, (None, 0))
        if value == row.value:
            continue
        if value is not None and not reason:
            raise EmissionsError(
                f"{key[0]} {key[1]}: {key[2]} is {value:g} and would become {row.value:g}. Give a reason"
            )
        newest[key] = (row.value, revision + 1)
        lines.append((*key, row.value, row.unit, revision + 1, reason if value is not None else "", source, when))
    return pd.DataFrame(lines, columns=COLUMNS[:-1])


def _lines(new: pd.DataFrame, before: bytes) -> bytes:
    """Return the rows as bytes, each with the checksum of the line before it."""
    last = before.splitlines(keepends=True)[-1] if before else (",".join(COLUMNS) + "\n").encode()
    text = b"" if before else last
    for row in new.itertuples(index=False, name=None):
        buffer = io.StringIO()
        cells = [repr(cell) if isinstance(cell, float) else harmless(str(cell)) for cell in row]
        flat = [str(cell).replace("\n", " ").replace("\r", " ") for cell in cells]
        csv.writer(buffer, lineterminator="\n").writerow([*flat, _digest(last)])
        last = buffer.getvalue().encode()
        text += last
    return text
