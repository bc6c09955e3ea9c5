"""Tables of others: encodings, separators, decimal commas; and cells that no spreadsheet runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field

from insar_mining.emissions.tabular import read_back, read_table, write_table
from insar_mining.errors import EmissionsError
from insar_mining.tables import harmless, unescaped


class Row(BaseModel):
    """A table of two numbers."""

    name: str = Field(min_length=1)
    a: float | None = Field(None, ge=0)
    b: float | None = None


def read(tmp_path: Path, data: str | bytes) -> tuple[pd.DataFrame, list[tuple[str, str, int | None, str]]]:
    path = tmp_path / "table.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    table = read_table(path, Row)
    return table.frame, [(f.severity, f.code, f.row, f.value) for f in table.findings]


def test_plain_numbers_and_missing_ones(tmp_path: Path) -> None:
    frame, findings = read(tmp_path, "# made by hand\nname,a,b\nx,1.5,-2e3\ny,NULL,0\n\nz,,n/a\n")
    assert findings == []
    np.testing.assert_array_equal(frame["a"], [1.5, np.nan, np.nan])
    np.testing.assert_array_equal(frame["b"], [-2000, 0, np.nan])
    assert frame["file_row"].tolist() == [3, 4, 6]


@pytest.mark.parametrize(
    ("text", "expected", "code"),
    [
        ("name;a;b\nx;1,5;2\n", (1.5, 2.0), "decimal-comma"),
        ("name;a;b\nx;1.234,5;2\n", (1234.5, 2.0), "decimal-comma"),
        ("name;a;b\nx;0,5;1,234\n", (0.5, 1.234), "decimal-comma"),
        ("name;a;b\nx;0,5;1.234\n", (0.5, 1234.0), "decimal-comma"),
        ('name,a,b\nx,"1,234,567",2\n', (1234567.0, 2.0), "number-format"),
        ('name,a,b\nx,"1,234.5","2,345"\n', (1234.5, np.nan), "number-format"),
        ("name,a,b\nx,1 234 567,2\n", (1234567.0, 2.0), "number-format"),
        # one group of three: nobody can know
        ('name,a,b\nx,"1,234",2\n', (np.nan, 2.0), "decimal-comma"),
        ("name,a,b\nx,12 Mt,2\n", (np.nan, 2.0), "not-a-number"),
        ("name,a,b\nx,inf,2\n", (np.nan, 2.0), "not-a-number"),
        ("name,a,b\nx,-5,2\n", (np.nan, 2.0), "out-of-range"),
    ],
)
def test_numbers_that_are_not_plain(tmp_path: Path, text: str, expected: tuple[float, float], code: str) -> None:
    frame, findings = read(tmp_path, text)
    np.testing.assert_array_equal(frame[["a", "b"]].iloc[0].to_numpy(float), expected)
    assert code in [finding[1] for finding in findings]
    assert {finding[2] for finding in findings} == {2}
    lost = [finding for finding in findings if finding[0] == "error"]
    assert len(lost) == np.isnan(expected).sum()


def test_an_unquoted_decimal_comma_makes_a_row_too_long(tmp_path: Path) -> None:
    frame, findings = read(tmp_path, "name,a,b\nx,1,2\ny,1,5,2\n")
    assert frame["name"].tolist() == ["x"]
    assert findings == [("error", "columns", 3, "y,1,5,2")]


@pytest.mark.parametrize("name", ["Cobre Panamá", "Mineração Rio do Norte", "驱龙铜矿", "Михайловский ГОК"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "own"])
def test_names_in_any_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    own = {"Cobre Panamá": "cp1252", "Mineração Rio do Norte": "cp1252", "驱龙铜矿": "gb18030"}
    data = f"name,a,b\nplain,1,2\n{name},3,4\n".encode(own.get(name, "cp1251") if encoding == "own" else encoding)
    frame, findings = read(tmp_path, data)
    assert frame["name"].tolist() == ["plain", name]
    assert frame["a"].tolist() == [1, 3]
    expected = [] if encoding.startswith("utf-8") else [("warning", "encoding", 3, f"{name},3,4")]
    assert findings == expected


@pytest.mark.parametrize(
    "data", ["", "# only words\n", "name,name\nx,1\n", 'name,a,b\n"x,1,2\n', "name,a\n" + "x" + ",1" * 30]
)
def test_what_is_no_table_is_refused(tmp_path: Path, data: str) -> None:
    with pytest.raises(EmissionsError):
        read(tmp_path, data)
    with pytest.raises(EmissionsError):
        read_table(tmp_path / "absent.csv", Row)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    _, findings = read(tmp_path, "a,b\n1,2\n")
    assert ("error", "missing-column", 1, "") in findings


FORMULAS = ["=1+2", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", '=HYPERLINK("http://x")', "'=1", "''@x", "-"]


def test_no_cell_is_taken_for_a_formula_and_none_is_changed_by_a_round_trip(tmp_path: Path) -> None:
    texts = [*FORMULAS, "-5", "Kevitsa", "'quoted'", "a=b", ""]
    table = pd.DataFrame({"name": texts, "a": np.linspace(-5, 5, len(texts)), "=b": pd.Categorical(texts)})
    path = write_table(tmp_path / "t.csv", table)
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    for text in [*cells["name"], *cells.iloc[:, 2], *cells.columns]:
        assert text[:1] not in ("=", "+", "-", "@", "\t", "\r") or text == "-5"
    assert cells["a"].iloc[0] == "-5.0"
    back = read_back(path)
    assert back["name"].tolist() == texts
    np.testing.assert_array_equal(back["a"], table["a"])
    for text in texts:
        assert unescaped(str(harmless(text))) == text


def test_a_file_of_both_decimal_signs_is_not_guessed(tmp_path: Path) -> None:
    """A comma in one cell does not make 0.015 fifteen, and leaves 1.234 and 1,234 open."""
    text = "name;a\na;12,5\nb;0.015\nc;1.234\nd;1,234\ne;1234.5\nf;7\n"
    frame, found = read(tmp_path, text)
    np.testing.assert_equal(frame["a"].to_numpy(), [12.5, 0.015, np.nan, np.nan, 1234.5, 7])
    assert [(severity, row) for severity, code, row, _ in found if code == "decimal-comma"] == [
        ("warning", 2),
        ("error", 4),
        ("error", 5),
    ]


def test_a_table_without_rows_is_named(tmp_path: Path) -> None:
    assert [code for _, code, *_ in read(tmp_path, "name,a\n")[1]] == ["empty"]
