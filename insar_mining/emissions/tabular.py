"""Read tables of others, and write tables that no spreadsheet takes for a formula.

What is unambiguous is mended and named (encoding, separator, decimal comma); what is not is left empty and an error.
A missing number is NaN and is never 0.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pydantic

from insar_mining import tables
from insar_mining.doors import check_columns
from insar_mining.emissions.findings import Finding
from insar_mining.errors import EmissionsError
from insar_mining.files import sha256

ENCODINGS = ("cp1252", "gb18030", "cp1251", "utf_16_le", "utf_16_be", "shift_jis", "mac_roman")
NULLS = ("", "na", "n/a", "nan", "null", "none", "-", "--", "\N{EN DASH}", "\N{EM DASH}")
# columns whose values may look like numbers and are not
TEXTS = (
    *("asset_id", "name", "organisation", "operation_type", "status", "factor_id", "activity_id", "edition", "zone"),
    *("source_id", "source_name", "asset_identifier", "asset_name", "owner", "mine", "reason", "source", "previous"),
    *("region", "factor_edition", "asset", "key", "activity_source", "activity_confidence", "factor_level"),
    *("factor_confidence", "confidence", "gas", "gases", "mineral", "iso3"),
)
EXTRA = 6  # columns kept beyond the header's, to notice rows that are too long

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)?")
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_COMMA_DECIMAL = re.compile(r"[-+]?(\d+,(\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,})")
_COMMA_NUMBER = re.compile(r"[-+]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?")
_DOT_THOUSANDS = r"[-+]?[1-9]\d{0,2}\.\d{3}"
_POINT_DECIMAL = r"[-+]?(0?\.\d+|\d{4,}\.\d+|\d{1,3}\.(\d{1,2}|\d{4,}))([eE][-+]?\d+)?"
_COMMA_THOUSANDS = re.compile(r"[-+]?(\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,})")
_AMBIGUOUS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_SPACED = re.compile(r"[-+]?\d{1,3}([ \u00a0\u2009\u202f']\d{3})+([.,]\d+)?")


@dataclass(frozen=True)
class Table:
    """Hold a table as it was read, with its findings.

    Attributes
    ----------
    frame : DataFrame
        Checked columns with their types, further ones as text; ``file_row`` is the line of the file.
    findings : list of Finding
    path : str
    sha256 : str
        Of the file's bytes; empty for a table that was in memory.
    """

    frame: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)
    path: str = ""
    sha256: str = ""


def read_table(path: Path | str, model: type[pydantic.BaseModel]) -> Table:
    """Read a table and check every column that a model describes.

    Parameters
    ----------
    path : path
        Text separated by commas, semicolons or tabs, in any common encoding.
    model : pydantic model
        One field per column: its type, limits, and whether it is required.

    Returns
    -------
    Table
        Faulty cells are NaN, or empty, and have a finding.

    Raises
    ------
    EmissionsError
        The file cannot be read as a table at all.
    """
    raw = read_text_table(path)
    return checked(raw, model)


def read_text_table(path: Path | str) -> Table:
    """Read a table with all its cells as text; see `read_table`."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EmissionsError(f"{path}: cannot be read ({error.strerror}). Check the name") from error
    text, findings = _decoded(data, path.name)
    lines = (match[0] for match in _LINE.finditer(text))
    skipped, header = next(((i, line) for i, line in enumerate(lines) if line.strip() and line[0] != "#"), (0, ""))
    if not header:
        raise EmissionsError(f"{path}: no header. Give a CSV table with a line of column names")
    separator = max(",;\t", key=header.count)
    names = [name.strip().strip('"').strip() for name in header.split(separator)]
    twice = {name for name, count in Counter(names).items() if count > 1}
    if twice:
        raise EmissionsError(f"{path}: column {min(twice)!r} stands twice in the header. Rename one")
    try:
        check_columns(text)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = _text_frame(text, separator, names, skipped)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise EmissionsError(f"{path}: not a table ({' '.join(str(error).split())}). Check its quotes") from error
    frame = frame.dropna(axis="columns", how="all") if frame.shape[0] else frame[names]
    frame = frame.reindex(columns=[*names, *(name for name in frame.columns if name.startswith(" "))])
    frame["file_row"] = np.arange(len(frame)) + skipped + 2
    frame, long = _whole_rows(frame, names, path.name)
    if frame.empty:
        message = "the table has no rows"
        findings.append(
            Finding(
                "warning", "empty", message, "Check that it is the right file", header[:120].strip(), 1, "", path.name
            )
        )
    return Table(frame, findings + long, str(path), sha256(path))


def _text_frame(text: str, separator: str, names: Sequence[str], skipped: int) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(text.encode()),  # of text, a copy of four bytes per character would be made
        sep=separator,
        header=None,
        names=[*names, *(f" {i}" for i in range(EXTRA))],
        index_col=False,
        dtype=str,
        keep_default_na=False,
        na_values=[],
        skiprows=skipped + 1,
        skip_blank_lines=False,
        skipinitialspace=True,
    )


def _decoded(data: bytes, name: str) -> tuple[str, list[Finding]]:
    """Decode a file; anything but UTF-8 is guessed, and the first line that depends on the guess is named."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            return text, []
        encoding = _guessed(data, name)
    else:
        encoding = "utf_16"
    text = data.decode(encoding, errors="replace")
    lines = text.splitlines()
    row, line = next(((i, line) for i, line in enumerate(lines, 1) if not line.isascii()), (1, lines[0]))
    return text, [
        Finding(
            "warning",
            "encoding",
            f"the file is not UTF-8; it was read as {encoding}",
            "Check this line's names, and save the file as UTF-8",
            line[:120],
            row,
            file=name,
        )
    ]


def _guessed(data: bytes, name: str) -> str:
    import charset_normalizer

    lines = data.splitlines(keepends=True)
    telling = [line for line in lines[1:] if any(byte > 127 for byte in line) or b"\0" in line][:200]
    sample = data[:20_000] if b"\0" in data[:200] else b"".join([lines[0], *telling])
    best = charset_normalizer.from_bytes(sample, cp_isolation=list(ENCODINGS)).best()
    if best is None:
        raise EmissionsError(f"{name}: its encoding is not recognised. Save it as UTF-8")
    return str(best.encoding)


def _whole_rows(frame: pd.DataFrame, names: Sequence[str], file: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Leave empty rows out, and rows with more cells than the header, which are errors."""
    extra = [name for name in frame.columns if name.startswith(" ")]
    empty = (frame[list(names)].isna() | (frame[list(names)] == "")).all(axis=1)
    long = (
        (frame[extra].notna() & (frame[extra] != "")).any(axis=1)
        if extra
        else pd.Series(False, frame.index, dtype=bool)
    )
    findings = [
        Finding(
            "error",
            "columns",
            f"the row has more cells than the header has names ({len(names)})",
            "Write numbers with a decimal point, or put texts with commas in quotes; the row was left out",
            ",".join(map(str, frame.loc[index, [*names, *extra]])).rstrip(","),
            int(frame.loc[index, "file_row"]),
            file=file,
        )
        for index in frame.index[long]
    ]
    kept = frame.loc[~empty & ~long, [*names, "file_row"]].reset_index(drop=True)
    return kept.fillna({name: "" for name in names}), findings


def checked(table: Table, model: type[pydantic.BaseModel]) -> Table:
    """Return a text table with the columns of a model checked and converted.

    Parameters
    ----------
    table : Table
        Of `read_text_table`.
    model : pydantic model

    Returns
    -------
    Table
        Every column of the model is there, those that the file lacks empty.
    """
    frame = table.frame.rename(columns={c: c.lower() for c in table.frame.columns if c.lower() in model.model_fields})
    findings = list(table.findings)
    file = Path(table.path).name
    present = [name for name in model.model_fields if name in frame.columns]
    comma = _decimal_comma(frame, [name for name in present if _is_number(model, name)])
    columns: dict[str, Any] = {}
    lines = frame["file_row"].to_numpy(np.int64)
    for name, info in model.model_fields.items():
        if name not in present:
            if info.is_required():
                findings.append(
                    Finding("error", "missing-column", "the column is missing", "Add it", "", 1, name, file)
                )
            # a list without values would make a column of numbers of a table without rows
            absent, kind = (np.nan, float) if _is_number(model, name) else ("", str)
            columns[name] = pd.Series(absent, index=frame.index, dtype=kind)
            continue
        if _is_number(model, name):
            columns[name], faults = _numbers(frame[name], comma)
        else:
            columns[name], faults = _unescaped(frame[name].str.strip()), []
        faults += _limits(columns[name], frame[name], model, name, {index for index, *_ in faults})
        for index, severity, code, message, remedy in faults:
            value, row = str(frame[name].iat[index]), int(lines[index])
            findings.append(Finding(severity, code, message, remedy, value, row, name, file))
    further = {name: _unescaped(frame[name]) for name in frame.columns if name not in columns and name != "file_row"}
    result = pd.DataFrame(columns | further, index=frame.index).assign(file_row=frame["file_row"])
    return replace(table, frame=result, findings=findings)


def _unescaped(column: pd.Series[str]) -> pd.Series[str]:
    escaped = column.str.startswith("'")
    return column.where(~escaped, column[escaped].map(tables.unescaped)) if escaped.any() else column


Comma = Literal["no", "yes", "both"]
Fault = tuple[int, Any, str, str, str]


def _is_number(model: type[pydantic.BaseModel], name: str) -> bool:
    return "float" in str(model.model_fields[name].annotation)


def _decimal_comma(frame: pd.DataFrame, names: Sequence[str]) -> Comma:
    """Return whether the numbers of a file prove that its decimal sign is a comma, or that both signs are used."""
    odd = [text.strip() for name in names for text in frame[name][frame[name].str.contains(r",|\..*\.")].unique()]
    is_comma = any(_COMMA_DECIMAL.fullmatch(text) for text in odd)
    if not is_comma or any(_COMMA_THOUSANDS.fullmatch(text) for text in odd):
        return "no"
    dotted = (frame[name].str.strip().str.fullmatch(_POINT_DECIMAL).any() for name in names)
    return "both" if any(dotted) else "yes"


def _exact_numbers(texts: pd.Series[str]) -> npt.NDArray[np.float64]:
    """Convert plain numbers to the last digit, which pandas before 3.1 may lose; NaN for all else."""
    values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, copy=True)
    is_number = np.isfinite(values)
    values[is_number] = texts[is_number].to_numpy(object).astype(np.float64)
    return values


def _numbers(column: pd.Series[str], comma: Comma) -> tuple[npt.NDArray[np.float64], list[Fault]]:
    """Read a column of numbers; NaN where there is none or none can be read."""
    texts = column.str.strip()
    values = _exact_numbers(texts)
    faults: list[Fault] = []
    doubtful = ~np.isfinite(values)
    values[doubtful] = np.nan
    doubtful[doubtful] = ~texts[doubtful].str.lower().isin(NULLS).to_numpy()
    if comma != "no":  # a dot then may part thousands
        doubtful |= texts.str.fullmatch(_DOT_THOUSANDS).to_numpy()
    for index in np.flatnonzero(doubtful).tolist():
        values[index], fault = _number(str(texts.iat[index]), comma)
        if fault:
            faults.append((index, *fault))
    return values, faults


def _number(text: str, comma: Comma) -> tuple[float, tuple[str, str, str, str] | None]:
    """Read one number that is not plain, and say how."""
    tight = re.sub(r"[ \u00a0\u2009\u202f']", "", text) if _SPACED.fullmatch(text) else text
    is_group = comma != "no" and re.fullmatch(_DOT_THOUSANDS, tight) is not None
    if _PLAIN.fullmatch(tight) and not is_group:
        return float(tight), ("note", "number-format", "thousands are parted by spaces", "Write plain digits")
    if (comma == "yes" and _COMMA_NUMBER.fullmatch(tight)) or (comma == "both" and _COMMA_DECIMAL.fullmatch(tight)):
        number = float(tight.replace(".", "").replace(",", "."))
        return number, (
            "warning",
            "decimal-comma",
            f"the file writes decimals with a comma; read as {number:.10g}",
            "Write numbers with a decimal point",
        )
    if _COMMA_THOUSANDS.fullmatch(tight):
        return float(tight.replace(",", "")), (
            "warning",
            "number-format",
            f"thousands are parted by commas; read as {tight.replace(',', '')}",
            "Write plain digits with a decimal point",
        )
    if is_group or _AMBIGUOUS.fullmatch(tight) or _COMMA_DECIMAL.fullmatch(tight):
        return np.nan, (
            "error",
            "decimal-comma",
            f"the {'dot' if is_group else 'comma'} may part decimals or thousands; the cell was left empty",
            "Write numbers with a decimal point and without marks of thousands",
        )
    return np.nan, (
        "error",
        "not-a-number",
        "not a number; the cell was left empty",
        "Give digits only, units in their column",
    )


def _limits(
    values: Any, texts: pd.Series[str], model: type[pydantic.BaseModel], name: str, known: set[int]
) -> list[Fault]:
    """Hold a column against its field of the model; faulty numbers become NaN."""
    info = model.model_fields[name]
    number = _is_number(model, name)
    plain = [None if v != v else v for v in values.tolist()] if number else list(values)
    annotation: Any = info.annotation
    for limit in info.metadata:
        annotation = Annotated[annotation, limit]
    try:
        pydantic.TypeAdapter(list[annotation]).validate_python(plain)
    except pydantic.ValidationError as error:
        faults: list[Fault] = []
        for detail in error.errors():
            index = int(detail["loc"][0])
            if index in known:
                continue
            known.add(index)
            message = f"must be {info.description}" if info.description else str(detail["msg"])
            message = message.replace("Input should be", "must be").removeprefix("Value error, ")
            empty = str(texts.iat[index]).strip().lower() in NULLS
            code = "missing" if empty else "out-of-range"
            faults.append((index, "error", code, "the value is missing" if empty else message, "Correct the value"))
            if number:
                values[index] = np.nan
        return faults
    return []


# columns of tables of this package that hold numbers
SHIPPED_NUMBERS = ("value", "sd", "horizon", "slope_t_px", "intercept_t", "r2")


def shipped(name: str) -> pd.DataFrame:
    """Return a table of this package: gwp, countries, factors, equipment, lines or subsectors.

    Empty cells of text columns are "", those of number columns NaN.
    """
    with (files("insar_mining.emissions") / "tables" / f"{name}.csv").open(encoding="utf-8") as handle:
        frame = pd.read_csv(handle, dtype=str, keep_default_na=False)
    numbers = {name: _exact_numbers(frame[name]) for name in SHIPPED_NUMBERS if name in frame}
    return frame.assign(**numbers)


def write_table(path: Path | str, table: pd.DataFrame) -> Path:
    """Write a table as CSV, whole or not at all: missing numbers empty, floats unrounded, texts harmless.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    return tables.write_table(Path(path), table, digits=None)


def file_record(tables: Iterable[Table]) -> list[Mapping[str, str]]:
    """Return the name and checksum of every file that tables were read from."""
    return [{"file": Path(table.path).name, "sha256": table.sha256} for table in tables if table.path]


def read_back(path: Path | str) -> pd.DataFrame:
    """Read a table that `write_table` wrote: empty numbers NaN, empty texts "".

    Raises
    ------
    EmissionsError
        There is no such file.
    """
    table = read_text_table(path).frame.drop(columns="file_row")
    columns = {}
    for name, column in table.items():
        numbers = pd.Series(_exact_numbers(column), column.index)
        is_number = name not in TEXTS and not str(name).startswith("other") and (numbers.notna() | (column == "")).all()
        columns[name] = numbers if is_number else _unescaped(column)
    return pd.DataFrame(columns)
