"""Intervals of class areas: those of the years where a class is a year, and the truth where years meet."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.activity.significant.class_areas import class_intervals
from insar_mining.activity.significant.intervals import DrawnTile, area_intervals
from insar_mining.activity.significant.significance import significant_activity
from insar_mining.errors import OptionError
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack

YEARS = (2020, 2021, 2022)
OUTER = WorkedZone((300.0, 330.0), 160.0, (2020,), 0.7)
INNER = WorkedZone((620.0, 330.0), 150.0, (2021, 2022), 0.7)


def drawn_mine(seed: int, draws: int = 20):  # type: ignore[no-untyped-def]
    stack = simulate_mine_stack(
        np.random.default_rng(seed), [OUTER, INNER], cells=(34, 46), years=YEARS, pairs_per_year=10, snow=0.0
    )
    found = significant_activity(stack.coh)
    drawn: dict[int, list[DrawnTile]] = {}
    years = area_intervals(stack.coh, found, draws=draws, power=False, drawn=drawn).set_index("year")
    return stack, found, years, drawn


def test_classes_share_the_mine_and_a_class_of_one_year_is_that_year() -> None:
    stack, found, years, drawn = drawn_mine(1)
    table = class_intervals(found, drawn, YEARS).set_index("class")
    assert list(table.index) == ["Black", "Red", "Green", "Yellow", "Blue", "Magenta", "Cyan", "White"]
    assert table["area_map_m2"].sum() == pytest.approx(34 * 46 * 400.0)
    # nothing else was active in 2020 than the outer zone: the class and the year have the same draws and borders
    for name in ("area_m2", "area_low_m2", "area_high_m2", "area_map_m2"):
        assert table.loc["Red", name] == pytest.approx(years.loc[2020, name], rel=2e-3), name
    # two years together are less sure than the map, and their class holds the truth
    both = table.loc["Cyan"]
    assert both["area_low_m2"] < stack.active_m2[2021] < both["area_high_m2"]
    assert both["area_high_m2"] - both["area_low_m2"] > 0.02 * both["area_m2"]
    # what one class loses another gains
    assert table["area_m2"].sum() == pytest.approx(table["area_map_m2"].sum(), rel=2e-3)


def test_a_class_whose_years_disagree_by_a_draw_is_told_by_hand() -> None:
    """Two tiles of 2 x 2 cells by hand: in one of two draws a cell leaves Yellow for Red."""
    _, found, _, _ = drawn_mine(1, draws=2)
    ground = np.zeros((34, 46), np.bool_)
    ground[:2, :2] = True
    short = ground.copy()
    short[0, 0] = False
    tile = DrawnTile(0, 0, ground, [np.packbits(ground), np.packbits(ground)])
    less = DrawnTile(0, 0, ground, [np.packbits(ground), np.packbits(short)])
    table = class_intervals(found, {2020: [tile], 2021: [less], 2022: []}, YEARS).set_index("class")
    moved = table["area_m2"] - table["area_map_m2"]
    # a mean of half a cell of 400 m2, and half of that is taken off
    assert moved["Yellow"] == pytest.approx(100.0)
    assert table.loc["Red", "area_m2"] == pytest.approx(max(table.loc["Red", "area_map_m2"] - 100.0, 0.0))
    assert moved["Cyan"] == 0


def test_years_that_were_not_drawn_are_refused() -> None:
    _, found, _, drawn = drawn_mine(1, draws=2)
    with pytest.raises(OptionError, match=r"years \[2022\] were not drawn"):
        class_intervals(found, {year: drawn[year] for year in (2020, 2021)}, YEARS)
