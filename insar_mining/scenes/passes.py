"""One relative orbit for the scenes of one track, wherever its ascending node lies."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from insar_mining.sentinel1.track import in_one_cycle, is_repeat, next_track, sees_same_ground


def with_one_track(scenes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Give scenes of one track that lie on both sides of the ascending node one relative orbit.

    A scene whose track is that of a scene with the relative orbit before its own takes that
    number: the same satellite a whole number of repeats away, or another satellite that sees the
    same ground in the same direction (see :mod:`insar_mining.sentinel1.track`).

    Parameters
    ----------
    scenes : GeoDataFrame
        With the columns relative_orbit, direction, start, geometry, and platform if there is more than one.

    Returns
    -------
    GeoDataFrame
        The table itself if nothing changes, else a copy.
    """
    known = scenes["relative_orbit"].notna() & scenes["direction"].notna() & scenes["start"].notna()
    labels = {int(track) for track in scenes.loc[known, "relative_orbit"]}
    both = [track for track in sorted(labels) if next_track(track) in labels]
    if not both:
        return scenes
    said = scenes["relative_orbit"].where(known).astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    tracks = list(scenes["relative_orbit"])
    for track in both:
        before = scenes.iloc[np.flatnonzero(said == track)]
        for row in np.flatnonzero(said == next_track(track)):
            if _lies_on(scenes.iloc[row], before):
                tracks[row] = track
    out = scenes.copy()
    out["relative_orbit"] = pd.array(tracks, dtype="Int64")
    out.attrs = dict(scenes.attrs)
    return out


def _lies_on(one: pd.Series, others: gpd.GeoDataFrame) -> bool:
    """Check whether a scene repeats one of others."""
    others = others[others["direction"].str.lower() == str(one["direction"]).lower()]
    if "platform" in others:
        same: npt.NDArray[np.bool_] = (others["platform"] == one["platform"]).to_numpy()
    else:
        same = np.ones(len(others), dtype=bool)
    same = same & in_one_cycle(str(one.get("platform")), one["start"].to_datetime64(), others["start"].to_numpy())
    seconds = ((others["start"] - one["start"]) / pd.Timedelta("1s")).to_numpy()
    if (is_repeat(seconds) & same).any():
        return True
    return any(sees_same_ground(one["geometry"], other) for other in others.geometry[~same])
