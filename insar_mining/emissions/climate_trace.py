"""Files of Climate TRACE: the long schema of version 5 and the wide one of 2024, written, read back and held to rules.

An empty number is not modelled, 0 is truly none. No uncertainty is published with these files; a companion of the same
keys carries ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from insar_mining.emissions.confidence import lower_of
from insar_mining.emissions.tabular import TEXTS, read_back, shipped, write_table
from insar_mining.errors import EmissionsError
from insar_mining.tables import write_in_parts

SCHEMAS = ("v5", "2024")
ROWS_AT_ONCE = 5_000  # assets and years that are in memory as rows of a file
SECTOR = "mineral-extraction"
OTHER = "other-mining-quarrying"
CAPACITY = "Metal resource contained in the mine"
WORKING = "Operating"
WIDE_WORKING = "Production"  # of 2024, for what version 5 calls operating

KEYS = ["source_id", "source_name", "iso3_country", "sector", "subsector", "start_time", "end_time", "gas"]
OTHERS = [name for i in range(1, 11) for name in (f"other{i}", f"other{i}_def")]
V5_COLUMNS = [
    *("source_id", "source_name", "source_type", "iso3_country", "sector", "subsector", "start_time", "end_time"),
    *("lat", "lon", "geometry_ref", "gas", "emissions_quantity", "temporal_granularity", "activity", "activity_units"),
    *("emissions_factor", "emissions_factor_units", "capacity", "capacity_units", "capacity_factor"),
    *("capacity_factor_units", *OTHERS, "created_date", "modified_date"),
]
CONFIDENCE_COLUMNS = [
    *KEYS,
    *("source_type", "capacity", "capacity_factor", "activity", "emissions_factor", "emissions_quantity"),
]
COUNTRY_COLUMNS = [
    *("iso3_country", "start_time", "end_time", "sector", "subsector", "gas", "emissions_quantity"),
    *("emissions_quantity_units", "temporal_granularity"),
]
# column of an inventory: column of the wide schema
WIDE = {
    "asset_id": "asset_identifier",
    "name": "asset_name",
    "iso3": "iso3_country",
    "mineral": "mineral_type",
    "capacity_t": "capacity",
    "capacity_factor": "capacity_factor",
    "activity_t": "activity",
    "factor_t_t": "CO2_emissions_factor",
    "co2_t": "CO2_emissions",
    "co2e_100_t": "total_CO2e_100yrGWP",
    "co2e_20_t": "total_CO2e_20yrGWP",
    "operation_type": "operation_type",
    "status": "status",
    "organisation": "owner",
}
WIDE_CONFIDENCE = ["capacity", "capacity_factor", "activity", "CO2_emissions_factor", "CO2_emissions"]
GASES = {"co2": "co2_t", "co2e_100yr": "co2e_100_t", "co2e_20yr": "co2e_20_t"}


def export(assets: pd.DataFrame, folder: Path | str, schema: str, *, gwp_set: str, date: str) -> list[Path]:
    """Write an inventory in a schema of Climate TRACE.

    Parameters
    ----------
    assets : DataFrame
        Of an inventory.
    folder : path
    schema : {"v5", "2024"}
    gwp_set : str
        Recorded in the files.
    date : str
        Of creation, ISO 8601.

    Returns
    -------
    list of Path
        v5: by subsector, sources, their confidence and uncertainty, and countries; 2024: assets with their confidence
        and uncertainty.

    Raises
    ------
    EmissionsError
        The schema is unknown.
    """
    if schema not in SCHEMAS:
        raise EmissionsError(f"schema: {schema!r} is unknown. Take {' or '.join(SCHEMAS)}")
    folder = Path(folder)
    subsectors = shipped("subsectors").set_index("mineral")
    subsector = assets["mineral"].map(subsectors["subsector"]).fillna(OTHER)
    if schema == "2024":
        rows = _sorted(assets.assign(subsector=subsector))
        named = ({f"{SECTOR}_{name}": table for name, table in _wide(part, gwp_set).items()} for part in _parts(rows))
        return write_in_parts(folder, named, digits=None)
    written = []
    for kind in sorted(subsector.unique()):
        rows = _in_categories(_sorted(assets[subsector == kind].assign(subsector=kind)), subsectors)
        named = (
            {f"{kind}_{name}": table for name, table in _long(part, gwp_set, date).items()} for part in _parts(rows)
        )
        written += write_in_parts(folder, named, digits=None)
        written.append(write_table(folder / f"{kind}_country_emissions.csv", _countries(rows)))
    return written


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["asset_id", "year"], kind="stable", ignore_index=True)


def _parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Cut a sorted table of assets and years, so that no file is in memory as a whole."""
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        yield rows.iloc[start : start + ROWS_AT_ONCE]


def _in_categories(rows: pd.DataFrame, subsectors: pd.DataFrame) -> pd.DataFrame:
    """Return sources with their texts as categories: each is held and quoted once, not by row and gas."""
    units = rows["mineral"].map(subsectors["activity_units"]).fillna("t of " + rows["mineral"] + " ore")
    rows = rows.assign(activity_units=units, time=rows["year"].astype(int).astype(str))
    return rows.astype({name: "category" for name in rows if not pd.api.types.is_numeric_dtype(rows[name])})


def _long(rows: pd.DataFrame, gwp_set: str, date: str) -> Mapping[str, pd.DataFrame]:
    """Return the files of one subsector: a row per source, year and gas."""
    quantity = rows[list(GASES.values())].to_numpy(np.float64).ravel()
    count = len(rows)
    rows = rows.iloc[np.repeat(np.arange(count), len(GASES))].reset_index(drop=True)
    gas = pd.Series(pd.Categorical(list(GASES) * count, list(GASES)), rows.index)
    is_co2 = gas == "co2"
    others: list[tuple[Any, str]] = [
        (rows["operation_type"], "operation type"),
        (rows["status"], "status"),
        ("", "other minerals"),
        (rows["organisation"], "owner"),
        (rows["activity_source"], "source of the activity"),
        (rows["factor_id"], "id of the factor"),
        (rows["factor_edition"], "edition of the factor"),
        (gwp_set, "set of global warming potentials"),
        (rows["gas"], "gas of the factor"),
        (rows["region"], "region"),
    ]
    keys = {
        "source_id": rows["asset_id"],
        "source_name": rows["name"],
        "iso3_country": rows["iso3"],
        "sector": SECTOR,
        "subsector": rows["subsector"],
        "start_time": _renamed(rows["time"], "{}-01-01 00:00:00"),
        "end_time": _renamed(rows["time"], "{}-12-31 00:00:00"),
        "gas": gas,
    }
    sources = {
        **keys,
        "source_type": rows["mineral"],
        "lat": rows["lat"],
        "lon": rows["lon"],
        "geometry_ref": "",
        "emissions_quantity": quantity,
        "temporal_granularity": "annual",
        "activity": rows["activity_t"],
        "activity_units": rows["activity_units"],
        "emissions_factor": rows["factor_t_t"].where(
            is_co2, quantity / rows["activity_t"].where(rows["activity_t"] > 0)
        ),
        "emissions_factor_units": _renamed(gas, "t of {} per t of ore"),
        "capacity": rows["capacity_t"],
        "capacity_units": CAPACITY + ", t",
        "capacity_factor": rows["capacity_factor"],
        "capacity_factor_units": "t of ore per t",
        **{f"other{number}": values for number, (values, _) in enumerate(others, 1)},
        **{f"other{number}_def": meaning for number, (_, meaning) in enumerate(others, 1)},
        "created_date": date,
        "modified_date": date,
    }
    errors = {
        "activity_sd": rows["activity_sd_t"],
        "emissions_factor_sd": rows["factor_sd_t_t"].where(is_co2),
        "emissions_quantity_sd": rows["co2_sd_t"].where(is_co2),
        "emissions_quantity_low": rows["co2_low_t"].where(is_co2),
        "emissions_quantity_high": rows["co2_high_t"].where(is_co2),
        "own_error": rows["own_error"],
        "activity_error": rows["activity_error"],
        "factor_error": rows["factor_error"],
    }
    return {
        "emissions_sources": pd.DataFrame(sources, index=rows.index)[V5_COLUMNS],
        "emissions_sources_confidence": pd.DataFrame(keys | _confidence(rows), index=rows.index)[CONFIDENCE_COLUMNS],
        "emissions_sources_uncertainty": pd.DataFrame(keys | errors, index=rows.index),
    }


def _renamed(column: pd.Series[Any], pattern: str) -> pd.Series[Any]:
    """Return a column of categories, each written by a pattern."""
    return column.cat.rename_categories(pattern.format)


def _confidence(rows: pd.DataFrame) -> dict[str, pd.Series[str]]:
    """Return the classes of the confidence file; of what is not given there is none."""
    capacity = pd.Series("medium", rows.index).where(rows["capacity_t"].notna(), "")
    return {
        "source_type": pd.Series("very high", rows.index),
        "capacity": capacity,
        "capacity_factor": lower_of(capacity, rows["activity_confidence"]),
        "activity": rows["activity_confidence"],
        "emissions_factor": rows["factor_confidence"],
        "emissions_quantity": rows["confidence"],
    }


def _countries(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum the sources of a subsector by country, year and gas."""
    keys = ["iso3", "year", "subsector"]
    sums = rows.astype({"iso3": str, "subsector": str}).groupby(keys)[list(GASES.values())].sum(min_count=1)
    sums = sums.reset_index()
    by_gas = sums.rename(columns={column: gas for gas, column in GASES.items()})
    table = by_gas.melt(id_vars=keys, var_name="gas", value_name="emissions_quantity")
    year = table["year"].astype(int).astype(str)
    table = table.rename(columns={"iso3": "iso3_country"}).assign(
        sector=SECTOR, start_time=year + "-01-01 00:00:00", end_time=year + "-12-31 00:00:00",
        emissions_quantity_units="tonnes", temporal_granularity="annual",
    )  # fmt: skip
    return table.sort_values(["iso3_country", "start_time", "gas"], ignore_index=True)[COUNTRY_COLUMNS]


def _wide(rows: pd.DataFrame, gwp_set: str) -> dict[str, pd.DataFrame]:
    """Return the three files of 2024: a row per asset and year."""
    year = rows["year"].astype(int).astype(str)
    table = pd.DataFrame(
        {"sector": SECTOR, "sub-sector": rows["subsector"], "start_date": year + "-01-01", "end_date": year + "-12-31"}
    )
    for own, name in WIDE.items():
        table[name] = rows[own]
    table["status"] = rows["status"].where(rows["status"] != WORKING, WIDE_WORKING)
    place = "POINT (" + rows["lon"].map(repr) + " " + rows["lat"].map(repr) + ")"
    table["location"] = place.where(rows["lon"].notna() & rows["lat"].notna(), "")
    table["other_minerals"] = ""
    table["gwp_set"] = gwp_set
    keys = table[["asset_identifier", "start_date", "end_date"]]
    classes = _confidence(rows)
    confidence = keys.assign(**dict(zip(WIDE_CONFIDENCE, list(classes.values())[1:], strict=True)))
    uncertainty = keys.assign(
        activity=rows["activity_sd_t"], CO2_emissions_factor=rows["factor_sd_t_t"], CO2_emissions=rows["co2_sd_t"]
    )
    return {"assets": table, "assets_confidence": confidence, "assets_uncertainty": uncertainty}


def import_files(folder: Path | str) -> pd.DataFrame:
    """Read the files of `export`, of either schema, as a table of assets.

    Returns
    -------
    DataFrame
        Columns of an inventory as far as the schema holds them, a row per asset and year.

    Raises
    ------
    EmissionsError
        The folder holds no file of either schema.
    """
    folder = Path(folder)
    wide = sorted(folder.glob(f"{SECTOR}_assets.csv"))
    long = sorted(folder.glob("*_emissions_sources.csv"))
    if wide:
        table = _from_wide(read_back(wide[0]), _beside(wide[0], "confidence"), _beside(wide[0], "uncertainty"))
    elif long:
        parts = [_from_long(read_back(p), _beside(p, "confidence"), _beside(p, "uncertainty")) for p in long]
        table = pd.concat(parts, ignore_index=True)
    else:
        raise EmissionsError(f"{folder}: no file of Climate TRACE. Give a folder of inventory export")
    texts = {name: "" for name in TEXTS if name in table}  # of a file in which the whole column is empty
    return table.fillna(texts).sort_values(["asset_id", "year"], kind="stable", ignore_index=True)


def _beside(path: Path, name: str) -> pd.DataFrame:
    companion = path.with_name(f"{path.stem}_{name}.csv")
    return read_back(companion) if companion.exists() else pd.DataFrame()


def _from_long(sources: pd.DataFrame, confidence: pd.DataFrame, uncertainty: pd.DataFrame) -> pd.DataFrame:
    by_gas = {gas: rows.reset_index(drop=True) for gas, rows in sources.groupby("gas")}
    co2 = by_gas["co2"]
    table = pd.DataFrame(
        {
            "asset_id": co2["source_id"],
            "name": co2["source_name"],
            "iso3": co2["iso3_country"],
            "mineral": co2["source_type"],
            "operation_type": co2["other1"],
            "status": co2["other2"],
            "lon": co2["lon"],
            "lat": co2["lat"],
            "organisation": co2["other4"],
            "region": co2["other10"],
            "year": co2["start_time"].str[:4].astype(int),
            "activity_t": co2["activity"],
            "activity_source": co2["other5"],
            "capacity_t": co2["capacity"],
            "capacity_factor": co2["capacity_factor"],
            "factor_t_t": co2["emissions_factor"],
            "factor_id": co2["other6"],
            "factor_edition": co2["other7"],
            "gas": co2["other9"],
        }
    )
    for gas, column in GASES.items():
        table[column] = by_gas[gas]["emissions_quantity"]
    if len(confidence):
        classes = confidence[confidence["gas"] == "co2"].reset_index(drop=True)
        names = {
            "activity_confidence": "activity",
            "factor_confidence": "emissions_factor",
            "confidence": "emissions_quantity",
        }
        table = table.assign(**{own: classes[name] for own, name in names.items()})
    if len(uncertainty):
        errors = uncertainty[uncertainty["gas"] == "co2"].reset_index(drop=True)
        names = {
            "activity_sd_t": "activity_sd",
            "factor_sd_t_t": "emissions_factor_sd",
            "co2_sd_t": "emissions_quantity_sd",
        }
        names |= {"co2_low_t": "emissions_quantity_low", "co2_high_t": "emissions_quantity_high"}
        names |= {name: name for name in ("own_error", "activity_error", "factor_error")}
        table = table.assign(**{own: errors[name] for own, name in names.items()})
    return table


def _from_wide(assets: pd.DataFrame, confidence: pd.DataFrame, uncertainty: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({own: assets[name] for own, name in WIDE.items()})
    table["status"] = table["status"].where(table["status"] != WIDE_WORKING, WORKING)
    place = assets["location"].str.extract(r"POINT \((\S+) (\S+)\)").astype(np.float64)
    table = table.assign(lon=place[0], lat=place[1], year=assets["start_date"].str[:4].astype(int))
    if len(confidence):
        names = {
            "activity_confidence": "activity",
            "factor_confidence": "CO2_emissions_factor",
            "confidence": "CO2_emissions",
        }
        table = table.assign(**{own: confidence[name] for own, name in names.items()})
    if len(uncertainty):
        names = {"activity_sd_t": "activity", "factor_sd_t_t": "CO2_emissions_factor", "co2_sd_t": "CO2_emissions"}
        table = table.assign(**{own: uncertainty[name] for own, name in names.items()})
    return table
