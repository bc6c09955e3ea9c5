"""Carbon of land: what disturbed ground lost, and what reclaimed ground takes up."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from insar_mining.emissions.tabular import Table, read_table
from insar_mining.errors import EmissionsError, InsarMiningWarning

CARBON_TO_CO2 = 44 / 12
READINGS = {"as-printed": 1.0, "44/12": CARBON_TO_CO2}
HM2_M2 = 10_000.0
UPTAKE_T_HM2 = 144.0  # Guo et al., table 2, as printed
# growing forest takes up some 5 to 15 t CO2/(hm2 a); above this the figure is named
MAX_UPTAKE_T_HM2 = 40.0


class UptakeWarning(InsarMiningWarning):
    """A rate of uptake is far above what forest is known to take up."""


class ZoneRow(BaseModel):
    """Hold columns of the table of zones."""

    zone: str = Field(min_length=1)
    area_hm2: float = Field(ge=0)
    soil_density_kg_m2: float = Field(ge=0)
    vegetation_t_co2_hm2: float | None = Field(None, ge=0)


def read_zones(path: Path | str) -> Table:
    """Read zones of disturbed ground: zone, area_hm2, soil_density_kg_m2, vegetation_t_co2_hm2."""
    return read_table(path, ZoneRow)


def land_carbon(zones: pd.DataFrame, years: float, reading: str = "as-printed") -> pd.DataFrame:
    """Return the loss of carbon of disturbed ground, by both readings of the soil's density.

    Parameters
    ----------
    zones : DataFrame
        Of `read_zones`.
    years : float
        Of service, over which the loss is spread, > 0.
    reading : {"as-printed", "44/12"}
        Density taken as CO2, as the source prints it (its vegetation has 44/12 in it, its soil has not), or as carbon.

    Returns
    -------
    DataFrame
        By zone and in total: soil_t, vegetation_t, co2_t, co2_t_a by `reading`, and other_co2_t, other_co2_t_a by the
        other one.

    Notes
    -----
    Soil: area (hm2) x density (kg/m2) x 10, times 44/12 where the density is carbon; vegetation: area x t CO2/hm2.
    """
    if reading not in READINGS or not years > 0:
        raise EmissionsError(
            f"land: reading {reading!r}, {years} years. Take as-printed or 44/12, and more than 0 years"
        )
    other = next(name for name in READINGS if name != reading)
    vegetation = zones["area_hm2"] * zones["vegetation_t_co2_hm2"].fillna(0.0)
    soil = zones["area_hm2"] * zones["soil_density_kg_m2"] * HM2_M2 / 1000
    table = pd.DataFrame(
        {
            "zone": zones["zone"],
            "area_hm2": zones["area_hm2"],
            "soil_t": soil * READINGS[reading],
            "vegetation_t": vegetation,
            "co2_t": soil * READINGS[reading] + vegetation,
            "other_co2_t": soil * READINGS[other] + vegetation,
        }
    )
    whole = table.drop(columns="zone").sum().to_frame().T.assign(zone="total")
    table = pd.concat([table, whole], ignore_index=True)
    return table.assign(co2_t_a=table["co2_t"] / years, other_co2_t_a=table["other_co2_t"] / years)


def reclamation(
    area_m2: float, *, rate_t_hm2: float = UPTAKE_T_HM2, years: float = 1.0, price: float = 0.0
) -> dict[str, float]:
    """Return what reclaimed ground takes up, and its value.

    Parameters
    ----------
    area_m2 : float
        Ground that fell silent and is declared reclaimed.
    rate_t_hm2 : float
        t CO2 per hm2 and year. The default is printed by Guo et al. and is 10 to 30 times what forest usually takes
        up; above 40 it is warned of.
    years, price : float
        Price of a tonne, in any currency.

    Returns
    -------
    dict
        co2_t_a, co2_t, value.

    Examples
    --------
    >>> import warnings; warnings.simplefilter("ignore")
    >>> reclamation(1.5e7, price=50)
    {'co2_t_a': 216000.0, 'co2_t': 216000.0, 'value': 10800000.0}
    """
    if min(area_m2, rate_t_hm2, years, price) < 0:
        raise EmissionsError("reclamation: area, rate, years and price are 0 or more. Correct the negative one")
    if rate_t_hm2 > MAX_UPTAKE_T_HM2:
        warnings.warn(
            f"uptake of {rate_t_hm2:g} t CO2/(hm2 a) is above what forest takes up (limit {MAX_UPTAKE_T_HM2:g}). "
            "Give a measured rate.",
            UptakeWarning,
            stacklevel=2,
        )
    per_year = area_m2 / HM2_M2 * rate_t_hm2
    return {"co2_t_a": per_year, "co2_t": per_year * years, "value": per_year * years * price}


def silent_ground(active: dict[int, np.ndarray], cell_m2: np.ndarray, reclaimed: np.ndarray, quiet: int = 2) -> float:
    """Return the area that was active once, is not in the last years, and is declared reclaimed.

    Parameters
    ----------
    active : dict of (y, x) bool array
        By year.
    cell_m2 : array
        That broadcasts to (y, x).
    reclaimed : (y, x) bool array
        Declared reclaimed.
    quiet : int
        Last years without activity.

    Returns
    -------
    float
        Square metres.
    """
    years = sorted(active)
    if len(years) <= quiet:
        raise EmissionsError(f"silent ground: {len(years)} years (limit {quiet + 1}). Map more years")
    ever = np.any([active[year] for year in years[:-quiet]], axis=0)
    still = np.any([active[year] for year in years[-quiet:]], axis=0)
    return float((np.broadcast_to(cell_m2, ever.shape) * (ever & ~still & reclaimed)).sum())
