"""Tables as CSV: what comes from outside never becomes a formula, and what is written is read again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from insar_mining.tables import csv_text, write_table

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
