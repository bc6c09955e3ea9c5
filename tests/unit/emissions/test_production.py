"""From area to ore to emissions: Sishen's published numbers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from insar_mining.emissions import emissions, production_from_area, production_rate
from insar_mining.errors import EmissionsError

# Jolleys et al. 2024, Sishen 2021, 2022, 2023: ore in Mt, active area in km2, t CO2e per t, t CO2e
YEARS = [2021, 2022, 2023]
ORE_T = np.array([37.9e6, 39.4e6, 39.1e6])
AREA_M2 = np.array([18.5431e6, 19.2185e6, 12.3123e6])
FACTOR = np.array([0.0106, 0.0108, 0.0108])
EMITTED_T = np.array([402_000, 427_000, 424_000])


def test_sishens_rates() -> None:
    """2.04, 2.05 and 3.18 t/m2; the published text says 2.04 for the first two."""
    assert production_rate(ORE_T, AREA_M2).round(2).tolist() == [2.04, 2.05, 3.18]


def test_sishens_emissions_lie_within_the_rounding_of_the_factors() -> None:
    """Factors are printed to 0.0001, ore to 0.1 Mt, emissions to 1000 t."""
    low = emissions(ORE_T - 0.05e6, FACTOR - 0.00005)
    high = emissions(ORE_T + 0.05e6, FACTOR + 0.00005)
    assert (low <= EMITTED_T + 500).all()
    assert (high >= EMITTED_T - 500).all()
    np.testing.assert_allclose(emissions(ORE_T, FACTOR), EMITTED_T, rtol=0.00005 / 0.0106 + 500 / 402_000)


def test_sishens_production_changes() -> None:
    assert np.round(100 * (ORE_T[1:] / ORE_T[:-1] - 1), 1).tolist() == [4.0, -0.8]


@pytest.mark.parametrize(
    ("activity_t", "factor", "emitted"),
    [
        (52_359_415, 0.0879, 4_602_393),
        (85_840_000, 0.0391, 3_356_344),
        (49_900_895, 0.0554, 2_766_427),
        (72_886_000, 0.0331, 2_412_130),
        (49_115_455, 0.0430, 2_110_278),
        (75_751_000, 0.0271, 2_055_000),
        (51_542_624, 0.0391, 2_015_317),
        (26_030_000, 0.0618, 1_609_335),
        (42_814_500, 0.0352, 1_507_070),
        (33_408_742, 0.0430, 1_435_428),
    ],
)
def test_the_ten_highest_emitters_of_2023(activity_t: float, factor: float, emitted: float) -> None:
    assert emissions(activity_t, factor) == pytest.approx(emitted, rel=0.00005 / factor)


def test_area_and_rate_give_the_production_back() -> None:
    np.testing.assert_allclose(production_from_area(AREA_M2, production_rate(ORE_T, AREA_M2)), ORE_T, rtol=1e-15)


def test_the_kind_of_the_input_is_the_kind_of_the_result() -> None:
    assert isinstance(production_rate(1e6, 5e5), float)
    assert production_rate(ORE_T, AREA_M2).shape == (3,)
    series = production_rate(pd.Series(ORE_T, YEARS), pd.Series(AREA_M2, YEARS))
    assert isinstance(series, pd.Series)
    assert series.index.tolist() == YEARS
    assert emissions(pd.Series(ORE_T, YEARS), 0.01).index.tolist() == YEARS
    assert production_from_area(0.0, 2.04) == 0.0
    assert emissions(0.0, 0.01) == 0.0


def test_nothing_of_the_callers_is_changed() -> None:
    ore, area = ORE_T.copy(), AREA_M2.copy()
    production_rate(ore, area)
    np.testing.assert_array_equal(ore, ORE_T)
    np.testing.assert_array_equal(area, AREA_M2)


@pytest.mark.parametrize(
    ("call", "first", "second", "said"),
    [
        (production_rate, -1.0, 1.0, "production_t is -1"),
        (production_rate, 1.0, -2.0, "area_m2 is -2"),
        (production_rate, 1.0, 0.0, "area_m2 is 0: without active ground"),
        (production_rate, float("nan"), 1.0, "production_t: 1 of 1 value"),
        (production_rate, ORE_T, np.array([1.0, np.nan, np.inf]), "area_m2: 2 of 3 value"),
        (production_rate, pd.Series([1.0, None]), pd.Series([1.0, 1.0]), "production_t: 1 of 2"),
        (production_rate, pd.Series([1, pd.NA], dtype="Int64"), pd.Series([1.0, 1.0]), "production_t: 1 of 2"),
        (production_rate, "many", 1.0, "production_t is 'many'; a number is needed"),
        (production_rate, None, 1.0, "production_t is None|production_t: 1 of 1"),
        (production_from_area, 1.0, -2.0, "rate_t_m2 is -2"),
        (production_from_area, -1.0, 2.0, "area_m2 is -1"),
        (production_from_area, float("inf"), 2.0, "area_m2: 1 of 1"),
        (emissions, 1.0, -0.1, "factor_t_t is -0.1"),
        (emissions, 1.0, float("nan"), "factor_t_t: 1 of 1"),
        (emissions, pd.Series([1.0], [2021]), pd.Series([1.0], [2022]), "different indexes"),
    ],
)
def test_what_cannot_be_is_named(call: Callable[..., Any], first: Any, second: Any, said: str) -> None:
    with pytest.raises(EmissionsError, match=said):
        call(first, second)
