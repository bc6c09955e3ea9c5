"""From a table of scenes to the pairs of one track over one mine."""

from __future__ import annotations

import datetime as dt
import logging

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from insar_mining.archive.pairs import select_pairs
from insar_mining.errors import ArchiveError, CoverageError, PairError
from insar_mining.options import PairOptions

logger = logging.getLogger(__name__)


def scenes_for(
    scenes: gpd.GeoDataFrame,
    *,
    area: BaseGeometry | None = None,
    start: dt.date | None = None,
    end: dt.date | None = None,
    polarisation: str = "VV",
) -> gpd.GeoDataFrame:
    """Keep the scenes of a period that see an area in a polarisation.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.archive.products.scan_products` gives it.
    area : shapely geometry, longitude and latitude, optional
    start, end : date, optional
        Both inclusive.

    Raises
    ------
    ArchiveError
        The folder held no product at all, or none of the period.
    CoverageError
        No scene sees the area.
    PairError
        No scene has the polarisation.
    """
    if scenes.empty:
        raise ArchiveError("no Sentinel-1 SLC product could be read in the folder; put SAFE folders or zips there")
    day = scenes["start"].to_numpy().astype("datetime64[D]")
    in_period = np.ones(len(scenes), dtype=bool)
    if start is not None:
        in_period &= day >= np.datetime64(start)
    if end is not None:
        in_period &= day <= np.datetime64(end)
    if not in_period.any():
        raise ArchiveError(
            f"none of the {len(scenes)} scenes lies in {start or '...'} to {end or '...'}; they are of {day.min()} to "
            f"{day.max()}"
        )
    chosen = scenes[in_period]
    if area is not None:
        sees = chosen.intersects(area).to_numpy()
        if not sees.any():
            raise CoverageError(_far_away(chosen, area))
        chosen = chosen[sees]
    has = chosen["polarisations"].map(lambda names: polarisation in names.split("+")).to_numpy(dtype=bool)
    if not has.any():
        known = sorted({name for names in chosen["polarisations"] for name in names.split("+")})
        raise PairError(f"no scene has polarisation {polarisation}; there is {', '.join(known)} (--pol)")
    return chosen[has]


def _far_away(scenes: gpd.GeoDataFrame, area: BaseGeometry) -> str:
    west, south, east, north = area.bounds
    left, bottom, right, top = scenes.total_bounds
    return (
        f"none of the {len(scenes)} scenes sees the area: it is {west:.3f}..{east:.3f} E, {south:.3f}..{north:.3f} N, "
        f"the scenes cover {left:.3f}..{right:.3f} E, {bottom:.3f}..{top:.3f} N; choose scenes over the mine, and "
        "check that its longitudes and latitudes are not exchanged"
    )


def choose_pairs(
    scenes: gpd.GeoDataFrame, options: PairOptions, *, area: BaseGeometry | None = None
) -> gpd.GeoDataFrame:
    """Select the pairs of one track.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`scenes_for` or :func:`insar_mining.archive.products.scan_products` give it.
    options : PairOptions
        Without `relative_orbit` the track with most pairs is taken; among equals the one with
        most scenes, then the lowest number.

    Returns
    -------
    GeoDataFrame
        As :func:`insar_mining.select_pairs` gives it; ``attrs["tracks"]`` counts the pairs of each track.

    Raises
    ------
    PairError
        No two scenes form a pair.
    """
    scenes = scenes_for(scenes, area=area, polarisation=options.polarisation)
    at = None if area is None else (area.representative_point().x, area.representative_point().y)
    tracks: dict[int, gpd.GeoDataFrame] = {}
    for track in _tracks(scenes, options.relative_orbit):
        of_track = scenes[scenes["relative_orbit"] == track]
        tracks[track] = select_pairs(
            of_track,
            max_perp_baseline_m=options.max_perp_baseline_m,
            temporal_baseline_days=options.temporal_baseline_days,
            exclude=options.exclude,
            polarisation=options.polarisation,
            at=at,
        )
    best = max(tracks, key=lambda track: (len(tracks[track]), (scenes["relative_orbit"] == track).sum(), -track))
    if tracks[best].empty:
        raise PairError(_no_pair(scenes, tracks[best], options))
    if len(tracks) > 1:
        counts = ", ".join(f"{track}: {len(pairs)}" for track, pairs in sorted(tracks.items()))
        logger.info("track %s is used; pairs of each track: %s", best, counts)
    tracks[best].attrs["tracks"] = {track: len(pairs) for track, pairs in sorted(tracks.items())}
    return tracks[best]


def _tracks(scenes: gpd.GeoDataFrame, wanted: int | None) -> list[int]:
    known = sorted(int(track) for track in pd.unique(scenes["relative_orbit"].dropna()))
    if not known:
        raise PairError(f"the relative orbit of none of the {len(scenes)} scenes is known; their manifests are missing")
    if wanted is not None and wanted not in known:
        raise PairError(f"no scene is of track {wanted}; there are {', '.join(map(str, known))}")
    return known if wanted is None else [wanted]


def _no_pair(scenes: gpd.GeoDataFrame, pairs: gpd.GeoDataFrame, options: PairOptions) -> str:
    days = np.unique(scenes["start"].to_numpy().astype("datetime64[D]"))
    spans = " or ".join(str(span) for span in options.temporal_baseline_days)
    reasons = "; ".join(f"{r['pair'] or r['scene']}: {r['reason']}" for r in list(pairs.attrs.get("rejected", ()))[:3])
    return (
        f"the {len(days)} dates ({days[0]} to {days[-1]}) give no pair of {spans} days within "
        f"{options.max_perp_baseline_m:g} m{f' ({reasons})' if reasons else ''}; add scenes, or widen "
        "--temporal-baseline or --max-perp-baseline"
    )
