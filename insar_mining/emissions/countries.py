"""ISO 3166 codes of countries, with the adaptations of Climate TRACE."""

from __future__ import annotations

import functools

import pandas as pd

from insar_mining.emissions.tabular import shipped


@functools.cache
def country_table() -> pd.DataFrame:
    """Return iso3 (index), name, region, status (kept or refused) and note of every code."""
    return shipped("countries").set_index("iso3")


def country_fault(code: str) -> str | None:
    """Return why a code cannot be used for a country, None if it can.

    Examples
    --------
    >>> country_fault("CHL"), country_fault("XKX"), country_fault("XCA")
    (None, None, 'XCA (Caspian Sea) has no mines of its own')
    >>> country_fault("UK")
    "'UK' is no ISO 3166 code of three letters"
    """
    table = country_table()
    if code not in table.index:
        return f"{code!r} is no ISO 3166 code of three letters"
    if table.at[code, "status"] == "refused":
        return f"{code} ({table['name'][code]}) has no mines of its own"
    return None


def nearest_code(text: str) -> str:
    """Return a remedy for an unknown code: the code of the country of that name, if there is one."""
    table = country_table()
    if text in table.index:
        return "Write the code of the country in which the mine is"
    same = table.index[table["name"].str.casefold() == text.strip().casefold()]
    if len(same):
        return f"Write {same[0]}"
    alike = table.index[table.index == text.strip().upper()]
    return f"Write {alike[0]}" if len(alike) else "Write the ISO 3166 code of three letters"
