"""Tables as CSV: written in one place, so that no cell from outside becomes a formula of a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from insar_mining.files import appears_whole

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

# what a spreadsheet takes for a formula (OWASP, CSV injection); a number may begin with a sign
# (apostrophes before it count, so that `unescaped` gives every text back)
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
QUOTED = re.compile(r'[,"\r\n]')
ROWS_AT_ONCE = 10_000
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
    return "".join(_csv_parts(table, digits))


def write_table(path: Path, table: pd.DataFrame, *, digits: int | None = 10) -> Path:
    """Write a table as CSV, whole or not at all, and return the path; see `csv_text`."""
    with _opened(path) as handle:
        handle.writelines(_csv_parts(table, digits))
    return path


def write_in_parts(folder: Path, parts: Iterable[Mapping[str, pd.DataFrame]], *, digits: int | None = 10) -> list[Path]:
    """Write tables that come part by part, each whole or not at all, and return their paths.

    Parameters
    ----------
    folder : Path
    parts : iterable of mappings
        Rows of every table by its name; the first part has the columns of all.
    digits : int, optional
        See `csv_text`.
    """
    handles: dict[str, TextIO] = {}
    with ExitStack() as stack:
        for part in parts:
            for name, table in part.items():
                is_first = name not in handles
                if is_first:
                    handles[name] = stack.enter_context(_opened(folder / f"{name}.csv"))
                handles[name].writelines(_csv_parts(table, digits, header=is_first))
    return [folder / f"{name}.csv" for name in handles]


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with appears_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as handle:
        yield handle


def _csv_parts(table: pd.DataFrame, digits: int | None, *, header: bool = True) -> Iterator[str]:
    """Yield a table as CSV, some rows at a time: what pandas writes, without its copies of the whole table."""
    if any(kind.kind not in "biufOU" or not _is_plain(kind) for kind in table.dtypes):
        safe = table.copy(deep=False)
        for number, kind in enumerate(table.dtypes):
            if kind.kind not in "biufcmM":
                safe.isetitem(number, list(table.iloc[:, number].map(harmless)))
        safe.columns = [harmless(name) for name in table.columns]
        float_format = None if digits is None else f"%.{digits}g"
        yield str(safe.to_csv(index=False, header=header, float_format=float_format, lineterminator="\n"))
        return
    if header:
        yield ",".join(_quoted(str(harmless(name))) for name in table.columns) + "\n"
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = table.iloc[start : start + ROWS_AT_ONCE]
        cells = [_cells(part.iloc[:, number], digits) for number in range(part.shape[1])]
        columns = [texts if codes is None else list(map(texts.__getitem__, codes)) for texts, codes in _folded(cells)]
        if part.shape[1] == 1:  # an empty line would be no row
            columns = [[cell or '""' for cell in columns[0]]]
        yield "\n".join(map(",".join, zip(*columns, strict=True))) + "\n"


def _is_plain(kind: Any) -> bool:
    """Check whether a column's type is one of numpy's, text, or categories of text, and no other of pandas' own."""
    import numpy as np
    import pandas as pd

    if isinstance(kind, pd.CategoricalDtype):
        return isinstance(kind.categories.dtype, pd.StringDtype)
    return isinstance(kind, (np.dtype, pd.StringDtype)) and kind != np.dtype("float16")


Cells = tuple[list[str], list[int] | None]


def _folded(columns: Iterable[Cells]) -> Iterator[Cells]:
    """Append a column of one text to the texts of the column before it: fewer cells are joined in every row."""
    last: Cells | None = None
    for texts, codes in columns:
        if last is not None and codes is not None and len(texts) == 1:
            last = [f"{text},{texts[0]}" for text in last[0]], last[1]
            continue
        if last is not None:
            yield last
        last = texts, codes
    if last is not None:
        yield last


def _cells(column: pd.Series[Any], digits: int | None) -> Cells:
    """Return the texts of a column as CSV has them, and which of them each row has (None: they are the rows')."""
    import pandas as pd

    kind = column.dtype.kind
    if kind in "biu":
        return list(map(str, column.tolist())), None
    if kind == "f":
        return _number_cells(column.to_numpy(), digits)
    is_text = isinstance(column.dtype, (pd.CategoricalDtype, pd.StringDtype))
    if is_text or pd.api.types.infer_dtype(column, skipna=True) == "string":
        # most columns of text hold few texts, often
        codes, different = pd.factorize(column)
    else:
        return ["" if pd.isna(value) else _quoted(str(harmless(value))) for value in column.tolist()], None
    texts = [_quoted(harmless(text)) for text in different]
    if not texts or (codes < 0).any():
        texts.append("")  # number -1: missing
    return texts, codes.tolist()


def _number_cells(values: npt.NDArray[np.floating[Any]], digits: int | None) -> Cells:
    """Return the cells of a column of numbers; equal ones that follow each other are formatted once."""
    import numpy as np

    bits = np.ascontiguousarray(values).view(f"u{values.itemsize}")
    starts = np.append(True, bits[1:] != bits[:-1])[: values.size]
    firsts = values[starts]
    if digits is not None:
        texts = [f"%.{digits}g" % value for value in firsts.tolist()]
    elif values.itemsize == 8:
        texts = list(map(repr, firsts.tolist()))
    else:
        texts = firsts.astype(str).tolist()
    for index in np.flatnonzero(np.isnan(firsts)).tolist():
        texts[index] = ""
    return texts, None if starts.all() else (np.cumsum(starts) - 1).tolist()


def _quoted(text: str) -> str:
    """Return a cell as CSV has it: in quotes if it holds a comma, a quote or an end of a line."""
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text


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
