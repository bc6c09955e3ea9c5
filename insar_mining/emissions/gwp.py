"""Global warming potentials: one small table of sets, gases and horizons."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from insar_mining.emissions.findings import rows_of
from insar_mining.emissions.tabular import shipped
from insar_mining.errors import EmissionsError

GWP_SETS = ("AR4", "AR5", "AR6")
HORIZONS = (100, 20)
GASES = ("CO2", "CH4", "CH4 FOSSIL", "N2O")


@functools.cache
def _table() -> Mapping[tuple[str, str, int], float]:
    return {(row.set, row.gas.upper(), int(row.horizon)): float(row.value) for row in rows_of(shipped("gwp"))}


def gwp(gas: str, gwp_set: str = "AR6", horizon: int = 100) -> float:
    """Return the warming potential of a gas, t CO2e per t.

    Parameters
    ----------
    gas : {"CO2", "CH4", "CH4 fossil", "N2O"}
        AR4 does not part fossil methane.
    gwp_set : {"AR4", "AR5", "AR6"}
    horizon : {100, 20}
        Years.

    Raises
    ------
    EmissionsError
        No such set, gas or horizon.

    Examples
    --------
    >>> gwp("CH4", "AR4"), gwp("CH4 fossil", "AR6", 20), gwp("N2O", "AR5")
    (25.0, 82.5, 265.0)
    """
    if gwp_set not in GWP_SETS or horizon not in HORIZONS:
        raise EmissionsError(f"gwp: {gwp_set} over {horizon} years is unknown. Take AR4, AR5 or AR6, 100 or 20 years")
    name = "CH4" if gwp_set == "AR4" and gas.upper() == "CH4 FOSSIL" else gas.upper()
    if (gwp_set, name, horizon) not in _table():
        raise EmissionsError(f"gwp: gas {gas!r} is unknown. Take {', '.join(GASES)}")
    return _table()[gwp_set, name, horizon]


def co2e(amounts_t: Mapping[str, float], gwp_set: str = "AR6", horizon: int = 100) -> float:
    """Return the sum of several gases, t CO2e; one that is missing (NaN) makes the sum missing.

    Examples
    --------
    >>> co2e({"CO2": 100.0, "CH4": 2.0, "N2O": 1.0}, "AR5")
    421.0
    """
    return float(sum(amount * gwp(gas, gwp_set, horizon) for gas, amount in amounts_t.items()))
