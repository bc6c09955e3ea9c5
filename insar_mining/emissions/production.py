"""From active area to ore, and from ore to emissions: three small functions.

The factors of a year turn what was measured from space into tonnes: in years with reported
production, tonnes of ore per square metre of active ground; in the others, that rate times the active
ground (Jolleys et al., Climate TRACE 2024, sections 3-5). Numbers, arrays and pandas Series
are taken alike; the result is of the same kind.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from insar_mining.errors import EmissionsError

Amount = TypeVar("Amount", float, npt.NDArray[np.float64], "pd.Series[float]")


def production_rate(production_t: Amount, area_m2: Amount) -> Amount:
    """Return the ore produced per square metre of active ground, t/m2.

    Parameters
    ----------
    production_t : float, array or Series
        Ore of a year, tonnes, >= 0.
    area_m2 : float, array or Series
        Active ground of that year, square metres, > 0.

    Raises
    ------
    EmissionsError
        A value is missing, not finite or negative, an area is 0, or two Series have other indexes.

    Examples
    --------
    Sishen 2021, with the published area:

    >>> round(production_rate(37.9e6, 18.5431e6), 2)
    2.04
    """
    _check("production_t", production_t)
    _check("area_m2", area_m2, zero="without active ground there is no rate; leave the year out")
    _check_index(production_t, area_m2)
    return production_t / area_m2


def production_from_area(area_m2: Amount, rate_t_m2: Amount | float) -> Amount:
    """Return the ore that an active area stands for, tonnes.

    Parameters
    ----------
    area_m2 : float, array or Series
        Active ground, square metres, >= 0.
    rate_t_m2 : float, array or Series
        Tonnes per square metre, of years with reported production (`production_rate`) or a generic one, >= 0.
        It must rest on areas of the same convention (ground area, or the nominal 100 m2 per pixel).

    Raises
    ------
    EmissionsError
        A value is missing, not finite or negative, or two Series have other indexes.

    Examples
    --------
    >>> production_from_area(12_312_300.0, 2.04) / 1e6
    25.117
    """
    _check("area_m2", area_m2)
    _check("rate_t_m2", rate_t_m2)
    _check_index(area_m2, rate_t_m2)
    return area_m2 * rate_t_m2


def emissions(production_t: Amount, factor_t_t: Amount | float) -> Amount:
    """Return the emissions of a production, t CO2e.

    Parameters
    ----------
    production_t : float, array or Series
        Ore, tonnes, >= 0. A true zero gives zero.
    factor_t_t : float, array or Series
        Emission factor, t CO2e per t of ore, >= 0.

    Raises
    ------
    EmissionsError
        A value is missing, not finite or negative, or two Series have other indexes.

    Examples
    --------
    Sishen 2021 (402,000 t as published, from an unrounded factor):

    >>> round(emissions(37.9e6, 0.0106))
    401740
    """
    _check("production_t", production_t)
    _check("factor_t_t", factor_t_t)
    _check_index(production_t, factor_t_t)
    return production_t * factor_t_t


def _check(name: str, value: Any, zero: str | None = None) -> None:
    """Refuse what cannot be an amount."""
    numbers = np.atleast_1d(_numbers(name, value))
    if not np.isfinite(numbers).all():
        number = int(np.count_nonzero(~np.isfinite(numbers)))
        raise EmissionsError(
            f"{name}: {number} of {numbers.size} value(s) missing or not finite. Leave those out first."
        )
    if (numbers < 0).any():
        raise EmissionsError(f"{name} is {numbers.min():g}; it must be 0 or more")
    if zero and (numbers == 0).any():
        raise EmissionsError(f"{name} is 0: {zero}")


def _numbers(name: str, value: Any) -> npt.NDArray[np.float64]:
    try:
        if isinstance(value, pd.Series):
            return value.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EmissionsError(f"{name} is {value!r}; a number is needed") from error


def _check_index(first: Any, second: Any) -> None:
    """Refuse two Series that pandas would silently match up by their labels."""
    if isinstance(first, pd.Series) and isinstance(second, pd.Series) and not first.index.equals(second.index):
        raise EmissionsError(
            f"the two Series have different indexes ({list(first.index[:3])}... and {list(second.index[:3])}...). "
            "Align them first."
        )
