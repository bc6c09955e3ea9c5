"""From a table of scenes to the pairs of one track over one mine."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from insar_mining.errors import ArchiveError, CoverageError, PairError
from insar_mining.geo.polygons import within_180
from insar_mining.options.models import PairOptions
from insar_mining.scenes.orbits import SceneBaselines
from insar_mining.scenes.pairs import select_pairs
from insar_mining.scenes.passes import with_one_track
from insar_mining.sentinel1.joined import SEPARATOR

logger = logging.getLogger(__name__)

NEAR_DEG = 0.05  # how far an outline may be from the ground that is seen
NEXT_SLICE = pd.Timedelta("4s")  # bursts begin every 2.8 s: two slices further apart lack one between them


def scenes_for(
    scenes: gpd.GeoDataFrame,
    *,
    area: BaseGeometry | None = None,
    start: dt.date | None = None,
    end: dt.date | None = None,
    polarisation: str = "VV",
) -> gpd.GeoDataFrame:
    """Keep the scenes of a period that see an area in a polarisation.

    Slices of one pass that both see the area become one scene, whose path names them all
    (:func:`insar_mining.sentinel1.product.open_product` takes it).

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.scenes.products.scan_products` gives it.
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
        raise ArchiveError("no Sentinel-1 SLC product could be read in the folder. Put SAFE folders or zips there.")
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
    chosen = with_one_track(scenes[in_period])
    if area is not None:
        area = within_180(area)
        # outlines are drawn with a few corners: between two slices they may leave a mine out
        near = join_slices(chosen[shapely.distance(chosen.geometry.to_numpy(), area) <= NEAR_DEG])
        sees = near.intersects(area).to_numpy(dtype=bool)
        if not sees.any():
            raise CoverageError(_far_away(chosen, area))
        chosen = near[sees]
    has = chosen["polarisations"].map(lambda names: polarisation in names.split("+")).to_numpy(dtype=bool)
    if not has.any():
        known = sorted({name for names in chosen["polarisations"] for name in names.split("+")})
        raise PairError(f"no scene has polarisation {polarisation}; there is {', '.join(known)} (--pol)")
    return chosen[has]


def join_slices(scenes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Make one scene of the slices of a pass that lie on the disk and follow one another.

    Scenes that are still to be fetched stay as they are: an archive knows them one by one.
    """
    groups: list[list[int]] = []
    ordered = scenes.sort_values(["start", "scene"], kind="stable")
    rows = ordered.to_dict("records")
    for number, row in enumerate(rows):
        previous = rows[groups[-1][-1]] if groups else None
        if previous is not None and _follows(row, previous):
            groups[-1].append(number)
        else:
            groups.append([number])
    if len(groups) == len(rows):
        return scenes
    joined = [_as_one([rows[number] for number in group]) for group in groups]
    table = gpd.GeoDataFrame(joined, columns=list(scenes.columns), geometry="geometry", crs=scenes.crs)
    table = table.astype({name: kind for name, kind in scenes.dtypes.items() if name != "geometry"})
    table.attrs.update(scenes.attrs)
    return table


def _follows(row: Mapping[Hashable, Any], previous: Mapping[Hashable, Any]) -> bool:
    # relative orbits are those of the track, absolute ones change at the ascending node
    same = all(
        row[name] == previous[name] for name in ("platform", "relative_orbit", "direction")
        if name in row and not pd.isna(row[name])
    )  # fmt: skip
    on_disk = all(isinstance(one.get("path"), str) and one["path"] for one in (row, previous))
    return bool(same and on_disk and row["start"] - previous["stop"] < NEXT_SLICE)


def _as_one(slices: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    """Describe joined slices as a scene; they have the polarisations and sub-swaths that any of them has."""
    if len(slices) == 1:
        return dict(slices[0])

    def either(name: str) -> str:
        return "+".join(sorted({one for row in slices for one in str(row[name]).split("+")}))

    return dict(slices[0]) | {
        "scene": "+".join(str(row["scene"]) for row in slices),
        "path": SEPARATOR.join(str(row["path"]) for row in slices),
        "stop": max(row["stop"] for row in slices),
        "polarisations": either("polarisations"),
        "swaths": either("swaths"),
        "geometry": _outline([row["geometry"] for row in slices]),
    }


def _outline(parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """Return the outline of consecutive slices without a gap between them."""
    union = unary_union(parts)
    west, _, east, _ = union.bounds
    return union if east - west > 180 else union.convex_hull  # beyond 180 it is cut at the antimeridian


def _far_away(scenes: gpd.GeoDataFrame, area: BaseGeometry) -> str:
    west, south, east, north = area.bounds
    left, bottom, right, top = scenes.total_bounds
    return (
        f"none of the {len(scenes)} scenes sees the area: it is {west:.3f}..{east:.3f} E, {south:.3f}..{north:.3f} N, "
        f"the scenes cover {left:.3f}..{right:.3f} E, {bottom:.3f}..{top:.3f} N; choose scenes over the mine, and "
        "check that its longitudes and latitudes are not exchanged"
    )


def choose_pairs(
    scenes: gpd.GeoDataFrame,
    options: PairOptions,
    *,
    area: BaseGeometry | None = None,
    orbits: Sequence[Path | str] = (),
) -> gpd.GeoDataFrame:
    """Select the pairs of one track.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`scenes_for` or :func:`insar_mining.scenes.products.scan_products` give it.
    options : PairOptions
        Without `relative_orbit` the track with most pairs is taken; among equals the one with
        most scenes, then the lowest number.
    orbits : sequence of path
        Orbit files, or folders of them: baselines are of these, not of the annotations' vectors.

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
    place = None if area is None else within_180(area).representative_point()
    at = None if place is None else (place.x, place.y)
    baseline_of = SceneBaselines(options.polarisation, orbits)
    tracks: dict[int, gpd.GeoDataFrame] = {}
    for track in _tracks(scenes, options.relative_orbit):
        of_track = scenes[scenes["relative_orbit"] == track]
        tracks[track] = select_pairs(
            of_track,
            max_perp_baseline_m=options.max_perp_baseline_m,
            temporal_baseline_days=options.temporal_baseline_days,
            exclude=options.exclude,
            polarisation=options.polarisation,
            allow_mixed_platforms=options.allow_mixed_platforms,
            at=at,
            network=options.network,
            connections=options.connections,
            max_pairs=options.max_pairs,
            baseline_of=baseline_of,
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
