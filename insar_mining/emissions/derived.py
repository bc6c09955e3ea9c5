"""Factors from what mines report: t/m2, ore per product, emissions per ore, at every level."""

from __future__ import annotations

import numpy as np
import pandas as pd

from insar_mining.emissions.factors import COLUMNS

MIN_DEGREES = 5  # degrees of freedom that a pooled spread needs
KEYS = {"asset": "asset_id", "organisation": "organisation", "country": "iso3", "region": "region", "world": None}


def derived_factors(
    pairs: pd.DataFrame, activity: str, gas: str, unit: str, levels: tuple[str, ...], *, yearly: bool, edition: str
) -> pd.DataFrame:
    """Return factors from pairs of reported amounts.

    Parameters
    ----------
    pairs : DataFrame
        Columns asset_id, organisation, iso3, region, mineral, year, top, bottom; the factor is top / bottom.
    activity : str
        Follows the mineral in the factor's activity: "ore", "concentrate", "active area".
    gas, unit : str
    levels : tuple of str
    yearly : bool
        Also one factor per year, which comes before that of all years.
    edition : str

    Returns
    -------
    DataFrame
        As of `prepared`: of an asset the sum of tops over the sum of bottoms with the standard deviation of its
        years; of the other levels the mean of the assets' factors with theirs. n counts years, or assets.
    """
    pairs = pairs[(pairs["bottom"] > 0) & pairs["top"].notna()]
    if pairs.empty:
        return pd.DataFrame(columns=COLUMNS)
    pairs = pairs.assign(ratio=pairs["top"] / pairs["bottom"], activity=pairs["mineral"] + " " + activity)
    by_asset = pairs.groupby("asset_id", sort=False)
    of_assets = by_asset[["organisation", "iso3", "region", "activity"]].first()
    of_assets["ratio"] = by_asset["top"].sum() / by_asset["bottom"].sum()
    of_assets["sd"], of_assets["n"] = by_asset["ratio"].std(), by_asset.size()
    of_assets["sd"] = _with_pooled_spread(of_assets)
    of_assets = of_assets.reset_index()
    parts = []
    for level in levels:
        key = KEYS[level]
        if level == "asset":
            parts.append(of_assets.assign(level=level, key=of_assets["asset_id"], year=-1))
            if yearly:
                parts.append(pairs.assign(level=level, key=pairs["asset_id"], sd=0.0, n=1))
            continue
        parts.append(_means(of_assets.assign(year=-1), level, key))
        if yearly:
            parts.append(_means(pairs, level, key))
    return _as_factors(pd.concat(parts, ignore_index=True), gas, unit, edition, yearly)


def _with_pooled_spread(table: pd.DataFrame) -> pd.Series[float]:
    """Return the standard deviations; of a single observation the relative one that the others have in common."""
    degrees = (table["n"] - 1).where(table["sd"].notna() & (table["ratio"] > 0), 0)
    if degrees.sum() < MIN_DEGREES:
        return table["sd"]
    pooled = float(np.sqrt((degrees * (table["sd"] / table["ratio"]).fillna(0.0) ** 2).sum() / degrees.sum()))
    return table["sd"].fillna(pooled * table["ratio"])


def _means(rows: pd.DataFrame, level: str, key: str | None) -> pd.DataFrame:
    rows = rows.assign(key="" if key is None else rows[key].astype(str))
    rows = rows if key is None else rows[rows["key"] != ""]
    groups = rows.groupby(["key", "activity", "year"], sort=False)["ratio"]
    table = pd.DataFrame({"ratio": groups.mean(), "sd": groups.std(), "n": groups.size()}).reset_index()
    table["sd"] = _with_pooled_spread(table)
    return table.assign(
        level=level, key=table["key"].str.casefold() if level in ("organisation", "region") else table["key"]
    )


def _as_factors(rows: pd.DataFrame, gas: str, unit: str, edition: str, yearly: bool) -> pd.DataFrame:
    every = rows["year"] < 0
    year = rows["year"].where(~every, 0).astype(int)
    text = year.astype(str).where(~every, "all")
    ids = (
        "reported:"
        + gas
        + ":"
        + rows["activity"].str.replace(" ", "-")
        + ":"
        + rows["level"]
        + ":"
        + rows["key"]
        + ":"
        + text
    )
    return pd.DataFrame(
        {
            "factor_id": ids,
            "activity": rows["activity"],
            "gas": gas,
            "unit": unit,
            "value": rows["ratio"].astype(np.float64),
            "sd": rows["sd"].astype(np.float64),
            "region": rows["key"].where(rows["level"].isin(["country", "region"]), ""),
            "organisation": rows["key"].where(rows["level"] == "organisation", ""),
            "asset": rows["key"].where(rows["level"] == "asset", ""),
            "valid_from": text.where(~every, ""),
            "valid_to": text.where(~every, ""),
            "edition": edition,
            "source": "reported amounts of this inventory",
            "licence": "",
            "gwp": "",
            "level": rows["level"],
            "key": rows["key"],
            "origin": "reported",
            "carried": every & yearly,
            "n": rows["n"].astype(np.float64),
            "first": year * 10_000,
            "last": np.where(every, 99_999_999, year * 10_000 + 9_999),
        }
    )


def organisation_factors(reported: pd.DataFrame, assets: pd.DataFrame, edition: str) -> pd.DataFrame:
    """Return factors of companies: their emissions as a whole, rescaled to mining, over the ore of their assets.

    Parameters
    ----------
    reported : DataFrame
        Of `read_reported`; rows of emissions whose asset_id is an organisation, with mining_share.
    assets : DataFrame
        Of `read_assets`.

    Returns
    -------
    DataFrame
        A factor per organisation and year in which every asset of it reports ore; companies without a share of
        mining have none.
    """
    whole = reported[(reported["quantity"] == "emissions") & reported["asset_id"].isin(set(assets["organisation"]))]
    whole = whole[~whole["asset_id"].isin(set(assets["asset_id"])) & whole["mining_share"].notna()]
    if whole.empty:
        return pd.DataFrame(columns=COLUMNS)
    count = assets.groupby("organisation")["asset_id"].size()
    ore = reported[reported["quantity"] == "ore"].merge(assets[["asset_id", "organisation"]], on="asset_id")
    ore = ore.groupby(["organisation", "year"])["value_t"].agg(["sum", "size"]).reset_index()
    both = whole.merge(ore, left_on=["asset_id", "year"], right_on=["organisation", "year"])
    both = both[(both["size"] == both["organisation"].map(count)) & (both["sum"] > 0)]
    rows = pd.DataFrame(
        {
            "level": "organisation",
            "key": both["organisation"].str.casefold(),
            "activity": "ore",
            "year": both["year"],
            "ratio": both["value_t"] * both["mining_share"] / both["sum"],
            "sd": both["sd_t"] * both["mining_share"] / both["sum"],
            "n": both["size"],
        }
    ).reset_index(drop=True)
    return _as_factors(rows, "CO2", "t/t", edition, True)
