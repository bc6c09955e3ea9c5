"""Tables as CSV: what comes from outside never becomes a formula, and what is written is read again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from insar_mining.tables import csv_text, harmless, write_in_parts, write_table

FORMULAS = ("=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "=", "-", "--1", "-1+1", "+", "=cmd|' /C calc'!A0")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_or_column_begins_like_a_formula(text: str) -> None:
    table = pd.DataFrame({text: [text, "pit"], "kind": pd.Categorical([text, "x"]), "n": [-1.5, 2.0]})
    again = pd.read_csv(io.StringIO(csv_text(table)), dtype=str)
    cells = [*again.columns, *again[again.columns[0]], *again["kind"]]
    assert not any(cell[0] in "=+-@\t\r" for cell in cells)
    assert again["n"].tolist() == ["-1.5", "2"]


def test_everything_else_is_written_as_it_is(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "mine_id": ["a, b", 'say "x"', "-12.5", "é\nnew", None],
            "value": [1e-12, -3.123456789012, np.nan, 1e300, 0.1],
            "count": [1, -2, 3, 4, 5],
            "kept": [True, False, True, False, True],
            "when": pd.to_datetime(["2021-01-05"] * 5),
        }
    )
    before = table.copy(deep=True)
    again = pd.read_csv(write_table(tmp_path / "a.csv", table), parse_dates=["when"])
    pd.testing.assert_frame_equal(table, before)
    assert again["mine_id"].tolist()[:4] == table["mine_id"].tolist()[:4]
    np.testing.assert_allclose(again["value"], table["value"], rtol=1e-9)
    pd.testing.assert_frame_equal(again[["count", "kept"]], table[["count", "kept"]])
    assert again["when"].dt.year.tolist() == [2021] * 5


def test_two_columns_of_one_name_are_kept() -> None:
    table = pd.DataFrame([["=a", "b"]], columns=["x", "x"])
    assert csv_text(table) == "x,x\n'=a,b\n"


def as_pandas_writes(table: pd.DataFrame, digits: int | None) -> str:
    safe = table.copy()
    for name in table:
        if table[name].dtype.kind not in "biufcmM":
            safe[name] = [harmless(value) for value in table[name]]
    return str(safe.to_csv(index=False, float_format=None if digits is None else f"%.{digits}g", lineterminator="\n"))


@pytest.mark.parametrize("digits", [None, 10, 3])
def test_tables_are_those_of_pandas_to_the_byte(digits: int | None, tmp_path: Path) -> None:
    """Also where a table is written some rows at a time."""
    rng = np.random.default_rng(2)
    floats = rng.normal(size=300) * 10.0 ** rng.integers(-20, 20, 300)
    floats[:8] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e16, 1e-5, 123456.0]
    texts = rng.choice(["a", 'b "quoted"', "c, d", "two\nlines", "=1+1", "", "'", "\u00e9", " lead"], 300)
    mixed = [None, 1, 2.5, True, "x", np.float64(0.1), np.nan, "=x", 10**20, 1.0] * 30
    table = pd.DataFrame(
        {
            "float": floats, "single": floats.astype(np.float32), "whole": rng.integers(-9, 9, 300),
            "yes, or no": floats > 0, "text": pd.Series(texts, dtype="str").where(floats > -1e3),
            "object": pd.Series([*texts[:-1], None], dtype=object), "mixed": pd.Series(mixed, dtype=object), "": 1,
        }
    )  # fmt: skip
    for frame in (table, table[:0], table[["text"]], table[["object"]], table[["float"]]):
        assert csv_text(frame, digits=digits) == as_pandas_writes(frame, digits)
    one = table.assign(
        first="50 %", kind=pd.Categorical(texts), only=pd.Categorical(["a, b"] * 300), none=None, end="x"
    )
    one = one[["first", "kind", "only", "float", "none", "single", "end"]].astype({"none": "str"})
    for frame in (one, one[:0], one[["kind"]], one[["none"]]):
        assert csv_text(frame, digits=digits) == as_pandas_writes(
            frame.astype({"kind": object} if "kind" in frame else {}), digits
        )
    dated = table[["float"]].assign(day=pd.Timestamp("2020-01-02"), kind=pd.Categorical(texts))
    assert csv_text(dated, digits=digits) == as_pandas_writes(dated.astype({"kind": object}), digits)
    parts = ({"one": table[i : i + 70], "two": table[["text"]][i : i + 70]} for i in range(0, 300, 70))
    paths = write_in_parts(tmp_path, parts, digits=digits)
    assert [path.read_bytes().decode() for path in paths] == [
        csv_text(frame, digits=digits) for frame in (table, table[["text"]])
    ]
    write_table(tmp_path / "whole.csv", table, digits=digits)
    assert (tmp_path / "whole.csv").read_bytes() == paths[0].read_bytes()


def test_a_part_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def parts() -> Iterator[dict[str, pd.DataFrame]]:
        yield {"one": pd.DataFrame({"a": [1]})}
        raise KeyError("second")

    with pytest.raises(KeyError):
        write_in_parts(tmp_path, parts())
    assert list(tmp_path.iterdir()) == []
