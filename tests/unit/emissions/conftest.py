"""Small inputs of inventories as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

Rows = Sequence[Mapping[str, object]]


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """``table("reported", rows)``: write rows as a CSV of that name."""

    def write(name: str, rows: Rows, **how: object) -> Path:
        path = tmp_path / f"{name}.csv"
        pd.DataFrame(rows).to_csv(path, index=False, **how)  # type: ignore[call-overload]
        return path

    return write


def asset(asset_id: str, iso3: str = "ZAF", mineral: str = "iron", **more: object) -> dict[str, object]:
    return {"asset_id": asset_id, "name": asset_id.title(), "iso3": iso3, "mineral": mineral, **more}


def report(
    asset_id: str, year: int, quantity: str, value: object, unit: str = "t", **more: object
) -> dict[str, object]:
    return {
        "asset_id": asset_id,
        "year": year,
        "quantity": quantity,
        "value": value,
        "unit": unit,
        "source": "annual report",
        **more,
    }


def factor(
    value: object, *, activity: str = "iron ore", gas: str = "CO2", unit: str = "t/t", **more: object
) -> dict[str, object]:
    named = {"region": "", "organisation": "", "asset": "", "edition": "2024", "source": "test", "licence": "CC0"}
    return {"activity": activity, "gas": gas, "unit": unit, "value": value, **named, **more}
