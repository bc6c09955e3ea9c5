"""Join points of assets (name, mineral, owner) to mines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from insar_mining.doors import check_columns_of, check_vector, guarded
from insar_mining.errors import MineError
from insar_mining.portfolio.clusters import distances_m
from insar_mining.portfolio.footprints import PortfolioMine

NEAR_M, FAR_M = 5_000.0, 10_000.0
ALIKE = 85.0  # rapidfuzz's score from which two names are taken for one
AHEAD = 10.0  # by how much the best name must be better than the next

LATITUDE_FIELDS = ("latitude", "lat", "y")
LONGITUDE_FIELDS = ("longitude", "lon", "long", "lng", "x")
NAME_FIELDS = ("name", "asset_name", "mine_name", "property_name", "site_name", "facility_name")
ID_FIELDS = ("asset_id", "id", "uid", "property_id", "snl_id")

LINK_COLUMNS = ("asset", "asset_name", "mine", "distance_m", "score", "rule", "confidence", "candidates")


@dataclass(frozen=True, eq=False)
class Assets:
    """Hold points with their attributes from a table.

    Attributes
    ----------
    ids, names : list of str
    lon, lat : ndarray of float, shape (n,)
    table : DataFrame
        All columns as they are.
    """

    ids: list[str]
    names: list[str]
    lon: np.ndarray[Any, np.dtype[np.float64]]
    lat: np.ndarray[Any, np.dtype[np.float64]]
    table: pd.DataFrame


def read_assets(path: Path | str) -> Assets:
    """Read a table of assets: a CSV with longitude and latitude, or a vector file of points.

    Raises
    ------
    MineError
        It cannot be read, or a place is missing or out of range.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        with guarded(MineError, path, "Save it as a CSV table, UTF-8"):
            check_columns_of(path)
            table = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False, compression=None)
        x, y = (_field(table, fields) for fields in (LONGITUDE_FIELDS, LATITUDE_FIELDS))
        if x is None or y is None:
            raise MineError(
                f"{path}: has no columns longitude and latitude ({', '.join(map(str, table))}). Name them so"
            )
        lon, lat = (pd.to_numeric(table[name], errors="coerce").to_numpy(float) for name in (x, y))
    else:
        import geopandas as gpd

        with guarded(MineError, path, "Give a CSV, or a vector file of points with a CRS."):
            check_vector(path)
            frame = gpd.read_file(path.absolute()).to_crs(4326)
        at = shapely.point_on_surface(frame.geometry.to_numpy())
        lon, lat = shapely.get_x(at), shapely.get_y(at)
        table = pd.DataFrame(frame.drop(columns=frame.geometry.name)).astype(str)
    bad = np.flatnonzero(~((np.abs(lon) <= 180) & (np.abs(lat) <= 90)))
    if len(bad):
        raise MineError(
            f"{path}: row {bad[0] + 1}: no place ({lon[bad[0]]}, {lat[bad[0]]}, limits 180 and 90). Mend it"
        )
    numbered = [str(number + 1) for number in range(len(table))]
    id_field, name_field = (_field(table, fields) for fields in (ID_FIELDS, NAME_FIELDS))
    ids = numbered if id_field is None else [v or n for v, n in zip(table[id_field], numbered, strict=True)]
    return Assets(ids, [""] * len(table) if name_field is None else table[name_field].tolist(), lon, lat, table)


def join_assets(assets: Assets, mines: Sequence[PortfolioMine]) -> pd.DataFrame:
    """Link every asset to at most one mine.

    In this order: the mine that it lies inside; the only mine within 5 km; of several the one whose name is alike; the
    only mine within 10 km (low confidence).  An asset that could belong to several stays open: `mine` is empty and
    `candidates` names them.

    Returns
    -------
    DataFrame
        asset, asset_name, mine, distance_m, score (0..100 of the names, NaN without), rule, confidence, candidates.
    """
    points = shapely.points(assets.lon, assets.lat)
    shapes = np.array([mine.geometry for mine in mines], dtype=object)
    near = _neighbours(points, shapes)
    rows = [_link(assets, number, near.get(number, []), mines) for number in range(len(points))]
    return pd.DataFrame(rows, columns=list(LINK_COLUMNS))


def _neighbours(points: Any, shapes: Any) -> Mapping[int, list[tuple[float, int]]]:
    """Return the mines within 10 km of each point, the nearest first: (metres, mine)."""
    lat = shapely.get_y(points)
    reach = 1.1 * np.rad2deg(FAR_M / 6_356_000.0)
    wide = np.minimum(reach / np.maximum(np.cos(np.deg2rad(np.minimum(np.abs(lat) + reach, 90.0))), 1e-6), 180.0)
    tree = shapely.STRtree(shapes)
    pairs: set[tuple[int, int]] = set()
    for turn in (-360.0, 0.0, 360.0):
        lon = shapely.get_x(points) + turn
        boxes = shapely.box(lon - wide, lat - reach, lon + wide, lat + reach)
        pairs |= set(map(tuple, tree.query(boxes).T.tolist()))
    if not pairs:
        return {}
    point, mine = np.array(sorted(pairs)).T
    length = distances_m(np.concatenate([points, shapes]), point, len(points) + mine)
    found: dict[int, list[tuple[float, int]]] = {}
    for p, m, metres in zip(point.tolist(), mine.tolist(), length.tolist(), strict=True):
        if metres <= FAR_M:
            found.setdefault(p, []).append((metres, m))
    return {p: sorted(those) for p, those in found.items()}


def _link(
    assets: Assets, number: int, near: list[tuple[float, int]], mines: Sequence[PortfolioMine]
) -> tuple[object, ...]:
    """Decide for one asset."""
    own = assets.ids[number], assets.names[number]
    inside = [one for one in near if one[0] == 0]
    within = inside or [one for one in near if one[0] <= NEAR_M]
    chosen = within or near
    where = "inside" if inside else "nearest" if within else "nearest, beyond 5 km"
    sure = "high" if inside else "medium" if within else "low"
    if not chosen:
        return *own, "", np.nan, np.nan, "no mine within 10 km", "", ""
    scores = {m: _score(own[1], mines[m].name) for _, m in chosen}
    metres, mine = chosen[0]
    if len(chosen) > 1:
        ranked = sorted(chosen, key=lambda one: (-np.nan_to_num(scores[one[1]], nan=-1.0), one))
        best, next_ = (np.nan_to_num(scores[m], nan=-1.0) for _, m in ranked[:2])
        if best < ALIKE or best - next_ < AHEAD:
            names = " ".join(mines[m].id for _, m in chosen)
            return *own, "", np.nan, np.nan, "open: several mines", "", names
        (metres, mine), where = ranked[0], f"{where}, name"
    return *own, mines[mine].id, metres, scores[mine], where, sure, " ".join(mines[m].id for _, m in chosen)


def _score(name: str, other: str) -> float:
    from rapidfuzz import fuzz, utils

    return float(fuzz.token_set_ratio(name, other, processor=utils.default_process)) if name and other else np.nan


def _field(table: pd.DataFrame, usual: Sequence[str]) -> str | None:
    by_lower = {str(name).casefold(): str(name) for name in reversed(list(table.columns))}
    return next((by_lower[name] for name in usual if name in by_lower), None)
