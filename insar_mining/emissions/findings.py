"""What is wrong, doubtful or worth knowing in an input: where, which value, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

Severity = Literal["error", "warning", "note"]

COLUMNS = ("severity", "code", "file", "row", "column", "value", "message", "remedy")


@dataclass(frozen=True)
class Finding:
    """Hold one fault of an input.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        An error makes a number wrong or impossible, a warning may, a note is to be known.
    code : str
        Kind of the fault, one word for each kind.
    message : str
        What is wrong.
    remedy : str
        What to do.
    value : str
        The value that is meant, as it was read.
    row : int, optional
        Line of the file, the header being line 1.
    column, file : str
    """

    severity: Severity
    code: str
    message: str
    remedy: str
    value: str = ""
    row: int | None = None
    column: str = ""
    file: str = ""

    def __str__(self) -> str:
        """Return the finding as one line."""
        place = f"{self.file}:{self.row}" if self.row else self.file
        value = f" ({self.value})" if self.value else ""
        return ": ".join(filter(None, (place, self.column, f"{self.message}{value}. {self.remedy}")))


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return findings as a table, errors first.

    Returns
    -------
    DataFrame
        severity, code, file, row (missing where a finding is about the whole), column, value, message, remedy.
    """
    table = pd.DataFrame([vars(finding) for finding in findings], columns=list(COLUMNS))
    table["row"] = table["row"].astype("Int64")
    order = {"error": 0, "warning": 1, "note": 2}
    return table.sort_values("severity", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def has_error(findings: Iterable[Finding]) -> bool:
    """Return whether any finding is an error."""
    return any(finding.severity == "error" for finding in findings)


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a table as named tuples."""
    return iter(frame.itertuples())
