"""Tables as CSV: written in one place, so that no cell from outside becomes a formula of a spreadsheet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insar_mining.files import write_text

if TYPE_CHECKING:
    import pandas as pd

# what a spreadsheet takes for a formula (OWASP, CSV injection); a number may begin with a sign
# (apostrophes before it count, so that `unescaped` gives every text back)
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def csv_text(table: pd.DataFrame, *, digits: int | None = 10) -> str:
    """Return a table as CSV; text that a spreadsheet would take for a formula gets an apostrophe before it.

    Parameters
    ----------
    table : DataFrame
        Names of columns and text in cells may come from outside.
    digits : int, optional
        Significant digits of floating-point numbers; None writes every number so that it reads back the same.
    """
    safe = table.copy(deep=False)
    for number, kind in enumerate(table.dtypes):
        if kind.kind not in "biufcmM":
            safe.isetitem(number, list(table.iloc[:, number].map(harmless)))
    safe.columns = [harmless(name) for name in table.columns]
    float_format = None if digits is None else f"%.{digits}g"
    return str(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def write_table(path: Path, table: pd.DataFrame, *, digits: int | None = 10) -> Path:
    """Write a table as CSV, whole or not at all, and return the path; see `csv_text`."""
    return write_text(path, csv_text(table, digits=digits))


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


def unescaped(text: str) -> str:
    """Return a text of a cell as it was before `harmless`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
