"""Tables as CSV: written in one place, so that no cell from outside becomes a formula of a spreadsheet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insar_mining.files import write_text

if TYPE_CHECKING:
    import pandas as pd

# what a spreadsheet takes for a formula (OWASP, CSV injection); a number may begin with a sign
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; text that a spreadsheet would take for a formula gets an apostrophe before it.

    Parameters
    ----------
    table : DataFrame
        Names of columns and text in cells may come from outside. Numbers keep ten digits.
    """
    safe = table.copy(deep=False)
    for number, kind in enumerate(table.dtypes):
        if kind.kind not in "biufcmM":
            safe.isetitem(number, list(table.iloc[:, number].map(harmless)))
    safe.columns = [harmless(name) for name in table.columns]
    return str(safe.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV, whole or not at all, and return the path."""
    return write_text(path, csv_text(table))


def harmless(value: Any) -> Any:
    """Return a value of a cell; text that begins like a formula and is no number gets an apostrophe before it.

    Examples
    --------
    >>> harmless("=HYPERLINK(1)"), harmless("-12.5"), harmless("pit"), harmless(-3)
    ("'=HYPERLINK(1)", '-12.5', 'pit', -3)
    """
    if not isinstance(value, str):
        return value
    # some readers end a row at a carriage return, quoted or not
    text = value.replace("\r\n", "\n").replace("\r", " ")
    return f"'{text}" if FORMULA.match(value) and not NUMBER.fullmatch(value) else text
