"""Searching ASF's archive for Sentinel-1 scenes and bursts, through asf_search.

Only this module knows asf_search.  Its search is used for the query and the paging;
the records themselves are read by :mod:`insar_mining.scenes.records`, because
asf_search cuts times to whole seconds.
"""

from __future__ import annotations

import datetime as dt
import logging
import warnings
from typing import Any, Literal, TypedDict, Unpack

import geopandas as gpd
import numpy as np
import pandas as pd
import requests
from shapely.geometry.base import BaseGeometry

from insar_mining.download.session import catalogue_session, why
from insar_mining.errors import ArchiveError, OptionError
from insar_mining.geo.mines import Mine
from insar_mining.geo.polygons import within_180
from insar_mining.scenes.passes import with_one_track
from insar_mining.scenes.records import records_table, without_doubles
from insar_mining.sentinel1.track import neighbours

logger = logging.getLogger(__name__)

Kind = Literal["scene", "burst"]
_PROCESSING_LEVEL = {"scene": "SLC", "burst": "BURST"}
FIRST_IMAGE = dt.date(2014, 4, 3)
"""Launch of Sentinel-1A: no scene is older."""

NEAR_NODE_DEG = 5.0
"""Latitudes at which slices of a track may have either of two relative orbits; a scene is 1.5 degrees long."""


class Conditions(TypedDict, total=False):
    """Describe which images are searched for.

    Attributes
    ----------
    direction : {"ascending", "descending"}, optional
    relative_orbit : int, optional
        Track, 1 to 175.
    polarisation : str, optional
        Images without it are left out; by default VV, None keeps all.
    platform : str, optional
        ``"S1A"`` ... ; by default all.
    """

    direction: str | None
    relative_orbit: int | None
    polarisation: str | None
    platform: str | None


def search(
    mine: Mine | BaseGeometry,
    start: dt.date | str,
    end: dt.date | str,
    *,
    kind: Kind = "burst",
    session: requests.Session | None = None,
    **conditions: Unpack[Conditions],
) -> gpd.GeoDataFrame:
    """Search the archive for images over a mine.

    Parameters
    ----------
    mine : Mine or shapely geometry
        A geometry is in longitude and latitude, EPSG:4326.
    start, end : date
        Days in UTC, both inclusive.
    kind : {"burst", "scene"}
        Bursts over the mine (some per cent of the bytes), or whole scenes.
    session : requests.Session, optional
        What talks to the catalogue; a search needs no login.
    **conditions
        See :class:`Conditions`.

    Returns
    -------
    GeoDataFrame
        As :func:`insar_mining.scenes.records.records_table` gives it: only images that
        touch the mine, one record of each acquisition.  ``attrs["query"]`` is what was
        asked for, ``attrs["doubles"]`` what was left out as processed twice.

    Raises
    ------
    OptionError
        A value that cannot be.
    ArchiveError
        The catalogue cannot be reached, refuses, or its answer is incomplete.

    Examples
    --------
    >>> mine = insar_mining.mine_from_geometry((-73.84, 41.24, -73.81, 41.26))  # doctest: +SKIP
    >>> found = search(mine, "2023-01-01", "2023-12-31", kind="scene")  # doctest: +SKIP
    >>> found.groupby("relative_orbit").size()  # doctest: +SKIP
    """
    area = within_180(mine.geometry if isinstance(mine, Mine) else mine)
    first, last = _day(start, "start"), _day(end, "end")
    if last < first:
        raise OptionError(f"the end {last} lies before the start {first}. Exchange them.")
    if last < FIRST_IMAGE:
        raise OptionError(f"the end {last} lies before Sentinel-1's launch ({FIRST_IMAGE}). Take later dates.")
    if conditions.keys() - Conditions.__annotations__.keys():
        raise TypeError(f"search has no argument {', '.join(conditions.keys() - Conditions.__annotations__.keys())}")
    relative_orbit, polarisation = conditions.get("relative_orbit"), conditions.get("polarisation", "VV")
    query = _query(kind, conditions.get("direction"), relative_orbit, conditions.get("platform"))
    if relative_orbit is not None and min(abs(area.bounds[1]), abs(area.bounds[3])) < NEAR_NODE_DEG:
        query["relativeOrbit"] = sorted(neighbours(relative_orbit))  # beyond the node the number is the next one
    query.update(start=f"{first}T00:00:00Z", end=f"{last}T23:59:59Z")
    items: dict[str, Any] = {}
    for part in _parts(area):
        items.update(_asked({**query, "intersectsWith": part.convex_hull.wkt}, session))
    found = records_table(items.values())
    if relative_orbit is not None:
        found = _of_track(found, relative_orbit)
    table = without_doubles(_wanted(found, area, first, last, polarisation))
    table.attrs["query"] = {**{k: str(v) for k, v in query.items()}, "kind": kind, "polarisation": polarisation}
    return table


def _query(kind: str, direction: str | None, relative_orbit: int | None, platform: str | None) -> dict[str, Any]:
    if kind not in _PROCESSING_LEVEL:
        raise OptionError(f"kind is {kind!r}; it must be one of {', '.join(_PROCESSING_LEVEL)}")
    query: dict[str, Any] = {"platform": ["SENTINEL-1"], "processingLevel": [_PROCESSING_LEVEL[kind]]}
    query["beamMode"] = ["IW"]
    if direction is not None:
        if direction.lower() not in ("ascending", "descending"):
            raise OptionError(f"direction is {direction!r}; it must be ascending or descending")
        query["flightDirection"] = direction.upper()
    if relative_orbit is not None:
        if not 1 <= relative_orbit <= 175:
            raise OptionError(f"relative_orbit is {relative_orbit}; Sentinel-1 has the tracks 1 to 175")
        query["relativeOrbit"] = [relative_orbit]
    if platform is not None:
        if len(platform) != 3 or not platform.upper().startswith("S1"):
            raise OptionError(f"platform is {platform!r}. Write it as S1A.")
        query["platform"] = [f"SENTINEL-1{platform[2].upper()}"]
    return query


def _day(value: dt.date | str, name: str) -> dt.date:
    try:
        return dt.date.fromisoformat(str(pd.Timestamp(value).date()))
    except (ValueError, TypeError, NotImplementedError) as error:  # years before 1, for the last
        raise OptionError(f"{name} is {value!r}. Write it as 2023-01-31.") from error


def _parts(area: BaseGeometry) -> list[BaseGeometry]:
    """Return what is asked for at once: all, unless it lies on both sides of the antimeridian."""
    if area.is_empty:
        raise OptionError("the area is empty. Give a mine's polygon.")
    west, _, east, _ = area.bounds
    return list(area.geoms) if east - west > 180 and hasattr(area, "geoms") else [area]


def _asked(query: dict[str, Any], session: requests.Session | None) -> dict[str, Any]:
    """Ask the catalogue once, page by page; records by their name."""
    theirs = logging.getLogger("asf_search")
    level = theirs.level
    theirs.setLevel(logging.ERROR)  # it warns of every polygon whose corners it turns round or thins out by 40 m
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # asf_search's own use of other libraries
            return _asked_quietly(query, session)
    finally:
        theirs.setLevel(level)


def _asked_quietly(query: dict[str, Any], session: requests.Session | None) -> dict[str, Any]:
    import asf_search  # costs a second to import, and only a search needs it

    asf_search.REPORT_ERRORS = False  # it would send errors, with the search, to ASF
    if session is None:
        session = catalogue_session()
    options = asf_search.ASFSearchOptions(**query, session=session)
    found: dict[str, Any] = {}
    complete, pages = True, 0
    try:
        for page in asf_search.search_generator(opts=options):
            pages += 1
            complete = bool(page.searchComplete)
            found.update((p.umm["GranuleUR"], {"meta": p.meta, "umm": p.umm}) for p in page)
    except (asf_search.exceptions.ASFError, requests.RequestException, ValueError, KeyError) as error:
        raise ArchiveError(f"the catalogue of ASF cannot be searched: {why(error)}. Try again later.") from None
    if not complete:
        raise ArchiveError(
            f"the catalogue's answer is incomplete: it ended after {len(found)} records ({pages} pages) although it "
            "announced more. Try again later."
        )
    logger.info("%d records in %d pages", len(found), pages)
    return found


def _of_track(table: gpd.GeoDataFrame, relative_orbit: int) -> gpd.GeoDataFrame:
    """Keep what lies on a track: scenes with its number, and those of the same track across an ascending node."""
    ours = pd.Series(with_one_track(table)["relative_orbit"])
    said = pd.Series(table["relative_orbit"])
    tracks = set(ours[said == relative_orbit].dropna()) | {relative_orbit}
    chosen = table[ours.isin(tracks).to_numpy()].reset_index(drop=True)
    chosen.attrs = dict(table.attrs)
    return chosen


def _wanted(
    table: gpd.GeoDataFrame, area: BaseGeometry, first: dt.date, last: dt.date, polarisation: str | None
) -> gpd.GeoDataFrame:
    day = table["start"].to_numpy().astype("datetime64[D]")
    keep = (day >= np.datetime64(first)) & (day <= np.datetime64(last)) & table.intersects(area).to_numpy()
    if polarisation is not None:
        wanted = polarisation.upper()
        keep &= table["polarisations"].map(lambda names: wanted in names.split("+")).to_numpy(dtype=bool)
    chosen = table[keep].reset_index(drop=True)
    chosen.attrs = dict(table.attrs)
    return chosen
