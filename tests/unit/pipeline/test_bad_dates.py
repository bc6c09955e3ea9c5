"""Which date is at fault when pairs fail."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insar_mining.errors import InsarMiningError, ProductError
from insar_mining.pipeline.maps import bad_date

FIRST = dt.date(2021, 1, 1)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=12 * number)


def chain(numbers: list[int], spans: tuple[int, ...] = (1, 2)) -> pd.DataFrame:
    """Pairs of consecutive numbers, as the selection makes them."""
    there = set(numbers)
    rows = []
    for first in sorted(there):
        second = next((first + span for span in spans if first + span in there), None)
        if second is not None:
            row = {"pair": f"{first}_{second}", "reference": f"scene{first}.", "secondary": f"scene{second}."}
            rows.append(row | {"reference_date": day(first), "secondary_date": day(second)})
    return pd.DataFrame(rows)


def attempt(pairs: pd.DataFrame, bad: set[int], named: bool) -> tuple[dict[str, Path], dict[str, InsarMiningError]]:
    done: dict[str, Path] = {}
    failed: dict[str, InsarMiningError] = {}
    for pair in pairs["pair"]:
        culprits = [number for number in map(int, pair.split("_")) if number in bad]
        if culprits:
            failed[pair] = ProductError(f"scene{culprits[0]}. is truncated" if named else "no name")
        else:
            done[pair] = Path(pair)
    return done, failed


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("bad", [0, 1, 3, 6])
def test_a_single_bad_date_is_found(bad: int, named: bool) -> None:
    pairs = chain(list(range(7)))
    assert bad_date(pairs, *attempt(pairs, {bad}, named)) == day(bad)


def test_no_date_is_blamed_when_all_pairs_work_or_only_one_pair_fails() -> None:
    pairs = chain(list(range(5)))
    assert bad_date(pairs, *attempt(pairs, set(), True)) is None
    done, _ = attempt(pairs, set(), True)
    failed = {"1_2": ProductError("no common burst")}
    assert bad_date(pairs, {k: v for k, v in done.items() if k != "1_2"}, failed) is None


@given(st.sets(st.integers(0, 19), max_size=12))
def test_a_good_date_is_never_left_out_when_failures_name_their_scene(bad: set[int]) -> None:
    """Leaving out date after date ends, blames bad dates only, and maps every pair of good neighbours."""
    left = list(range(20))
    blamed: set[dt.date] = set()
    while True:
        pairs = chain(left)
        done, failed = attempt(pairs, bad, named=True) if len(pairs) else ({}, {})
        culprit = bad_date(pairs, done, failed)
        if culprit is None:
            break
        blamed.add(culprit)
        left = [number for number in left if day(number) != culprit]
    assert blamed <= {day(number) for number in bad}
    assert set(done) == set(chain([n for n in range(20) if n not in bad]).get("pair", []))
