"""Check the quality of the stable points, and tabulate zones and classes beyond areas."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from insar_mining.activity import (
    drift_test,
    fit_baseline,
    fit_decay,
    rejection_factors,
    spread_of,
    zone_changes,
    zone_shares,
)
from insar_mining.activity.analysis import StableQuality
from insar_mining.activity.cube.blocks import layers_of
from insar_mining.activity.significant.significance import OWN_LEVEL_PAIRS, Significance, few_pairs
from insar_mining.errors import ActivityError, DriftWarning, FewObservationsWarning
from insar_mining.geo.cells import mine_cells

logger = logging.getLogger(__name__)

WHOLE_MINE = "mine"
Found = TypeVar("Found")


def quality_of_stable(
    coh: xr.DataArray,
    stable: xr.DataArray,
    explained: pd.DataFrame,
    *,
    where: xr.DataArray | None,
    floor: float,
) -> StableQuality:
    """Look at the stable points of an analysis: their spread and drift, what span and baseline take, what fails.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    stable : DataArray (y, x) of bool
    explained : DataFrame
        Of `explained_scenes`, for all pairs of the cube.
    where : DataArray (y, x) of bool, optional
        Ground on which stable points were looked for.
    floor : float
        What the estimator reads without any coherence.
    """
    notes: list[str] = []
    kept = explained["kept"].to_numpy(dtype=np.bool_)
    used = explained[kept]
    days = used["days"].to_numpy(dtype=float)
    mean = used["stable_mean"].to_numpy(dtype=float)
    places = {str(name): place for place, name in enumerate(coh["pair"].values)}
    chosen = np.array([places[str(name)] for name in used["pair"]], np.intp)
    # notes on these are beside their plots
    decay = _told(lambda: fit_decay(days, mean, floor=floor), [])
    left = 1.0 if decay is None else decay.share(days)
    baseline = used["perpendicular_baseline_m"].to_numpy(dtype=float)
    return StableQuality(
        spread=_told(lambda: spread_of(stable, where), notes),
        # a significant drift is not always one that matters; the report shows both
        drift=_told(lambda: drift_test(layers_of(coh, chosen), stable), []),
        decay=decay,
        baseline_loss=_told(lambda: fit_baseline(baseline, mean, left=left, floor=floor), []),
        rejection_factors=_rejection_factors(explained, kept),
        notes=tuple(notes),
    )


def of_few_pairs(activity: pd.DataFrame, method: str) -> tuple[str, ...]:
    """List in sentences the years with fewer pairs than a cell's own level needs.

    Parameters
    ----------
    activity : DataFrame
        With year and n_pairs, the pairs that were kept.
    method : str

    Warns
    -----
    FewObservationsWarning
        With the published method; :func:`insar_mining.significant_activity` warns by itself.
    """
    notes = []
    for year, count in zip(activity["year"], activity["n_pairs"], strict=True):
        if count >= OWN_LEVEL_PAIRS:
            continue
        if method == "significant":
            notes.append(f"{few_pairs(year, count)}.")
            continue
        carried = "one pair carries it" if count == 1 else f"{count} pairs carry it"
        text = f"{year}: {carried}. The annual NDAI is hardly a mean, and the scatter of its pairs passes for activity"
        warnings.warn(text, FewObservationsWarning, stacklevel=2)
        notes.append(f"{text}.")
    return tuple(notes)


def _told(find: Callable[[], Found], notes: list[str]) -> Found | None:
    """Return what is found, with its warnings as notes; None where the stack does not tell."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = find()
        except ActivityError as error:
            logger.info("%s", error)
            return None
    for one in caught:
        if issubclass(one.category, (DriftWarning, FewObservationsWarning)):
            text = str(one.message)
            notes.append(f"{text[:1].upper()}{text[1:]}.")
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return found


def _rejection_factors(explained: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame | None:
    table = rejection_factors(explained) if kept.any() and not kept.all() else None
    return None if table is None or table.empty else table


def zone_tables(
    coh: xr.DataArray, found: Significance, surfaces: xr.DataArray | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the share of every zone that was disturbed in each pair, and when work in it starts and stops.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
    found : Significance
    surfaces : DataArray (y, x) of integers, optional
        Kinds of ground; each is a zone, beside the whole mine.

    Returns
    -------
    shares, changes : DataFrame
        As of `zone_shares` and `zone_changes`.
    """
    mine = mine_cells(found.active)
    zones: dict[str, np.ndarray] = {WHOLE_MINE: mine}
    if surfaces is not None:
        zones |= {name: mask for name, mask in _kinds(surfaces, mine).items() if mask.any() and name != WHOLE_MINE}
    shares = zone_shares(coh, found, zones)
    return shares, zone_changes(shares)


def _kinds(surfaces: xr.DataArray, mine: np.ndarray) -> Mapping[str, np.ndarray]:
    names: Sequence[str] = str(surfaces.attrs["flag_meanings"]).split()
    values = surfaces.attrs["flag_values"]
    return {name: mine & (surfaces.values == value) for value, name in zip(values, names, strict=True)}
