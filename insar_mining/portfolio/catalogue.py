"""Which images see the mines of a portfolio, and the tracks that serve them with the fewest bursts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from insar_mining.errors import ArchiveError
from insar_mining.options.models import RunOptions
from insar_mining.pipeline.acquisition import mapped_ground
from insar_mining.portfolio.costs import BURST_BYTES
from insar_mining.portfolio.footprints import PortfolioMine
from insar_mining.scenes.network import NEAR_DEG
from insar_mining.scenes.records import read_records, write_records
from insar_mining.scenes.search import search

CELL_DEG = 2.0  # mines of one cell are searched for together
FULL_COVER = 0.999
MOST_FEWER_DATES = 0.9  # a track that serves more mines may have a little fewer dates
NO_DATA = "no image of the period sees it. Widen the dates, or leave it out"


@dataclass(frozen=True)
class View:
    """Describe how a mine is seen: the track chosen for it, and the images of it.

    Attributes
    ----------
    track : int or None
    direction : str
    bursts : tuple of str
        Burst ids (of local scenes their track).
    scenes : tuple of str
        Names of the images.
    dates, pairs : int
    bytes : int
        Of the images, if this mine were alone.
    problem : str
        Why it cannot be run; empty if it can.
    """

    track: int | None = None
    direction: str = ""
    bursts: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    dates: int = 0
    pairs: int = 0
    bytes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Files:
    """Count files of the archive: images with their bytes, metadata and orbits."""

    images: int = 0
    bytes: int = 0
    metadata: int = 0
    orbits: int = 0


@dataclass(frozen=True, eq=False)
class Seen:
    """Hold views of all mines, and the records behind them."""

    views: list[View]
    records: gpd.GeoDataFrame
    local: bool = False
    _sizes: dict[str, int] = field(default_factory=dict)

    def files_of(self, rows: Sequence[Mapping[str, Any]]) -> Files:
        """Count the files that some mines need, each once; none of local scenes."""
        if self.local:
            return Files()
        used = {
            scene
            for row, view in zip(rows, [v for v in self.views if not v.problem], strict=True)
            for scene in view.scenes
        }
        chosen = self.records[self.records["scene"].isin(used)]
        size = int(chosen["bytes"].astype("Float64").fillna(BURST_BYTES).sum())
        burst = chosen[chosen["kind"] == "burst"]  # whole scenes hold their metadata
        days = chosen["start"].to_numpy().astype("datetime64[D]").astype(str)
        return Files(
            images=len(chosen),
            bytes=size,
            metadata=len(set(zip(burst["source_scene"], burst["polarisations"], strict=True))),
            orbits=len(set(zip(chosen["platform"], days, strict=True))),
        )


@dataclass(frozen=True)
class _Candidate:
    """Hold one track over one mine: rows of records, burst ids, the share it shows, days."""

    track: int
    direction: str
    rows: tuple[int, ...]
    bursts: frozenset[str]
    cover: float
    days: tuple[int, ...]


def seen_by(
    mines: Sequence[PortfolioMine], options: RunOptions, *, catalogue: Path | str | None = None, session: Any = None
) -> Seen:
    """Find the images of mines and choose their tracks.

    The track of a mine is one of those that show all of it with nearly the most dates.  Among these the tracks are
    chosen for the portfolio by a greedy cover: first the burst that serves most mines not yet served.

    Raises
    ------
    ArchiveError
        The catalogue cannot be searched or read.
    """
    records, local = _records(mines, options, catalogue, session)
    candidates = _candidates(mines, records, options, local)
    chosen = _greedy(candidates)
    spans = options.pairs.temporal_baseline_days
    names = records["scene"].astype(str).to_numpy()
    sizes = np.zeros(len(names)) if local else records["bytes"].astype("Float64").fillna(BURST_BYTES).to_numpy(float)
    views = [_view(names, sizes, chosen.get(number), spans) for number in range(len(mines))]
    return Seen(views, records, local)


def write(seen: Seen, folder: Path) -> dict[str, str]:
    """Write the records of every burst into a file of its own; return their paths below the portfolio's folder."""
    if seen.local:
        return {}
    used = {burst for view in seen.views for burst in view.bursts}
    files = {}
    for burst, rows in seen.records.groupby("_burst", sort=True):
        if burst in used:
            name = re.sub(r"[^A-Za-z0-9_-]", "_", str(burst))
            write_records(rows.drop(columns="_burst"), folder / f"{name}.geojson")
            files[str(burst)] = f"{folder.name}/{name}.geojson"
    return files


def _records(
    mines: Sequence[PortfolioMine], options: RunOptions, catalogue: Path | str | None, session: Any
) -> tuple[gpd.GeoDataFrame, bool]:
    """Return all images that may see a mine, and whether they are local."""
    if options.scenes is not None:
        from insar_mining.scenes.products import scan_products

        table = scan_products(options.scenes)
        return _of_period(table.assign(_burst=table["relative_orbit"].astype(str)), options), True
    if catalogue is not None:
        table = read_records(catalogue)
    else:
        assert options.start is not None
        assert options.end is not None
        asked: dict[str, Any] = {
            "kind": options.archive.product,
            "relative_orbit": options.pairs.relative_orbit,
            "polarisation": options.pairs.polarisation,
        }
        parts = [
            search(shapely.box(*box), options.start, options.end, session=session, **asked) for box in _cells(mines)
        ]
        full = [part for part in parts if len(part)]
        if not full:
            raise ArchiveError("the archive has no image of any mine in the period. Widen the dates")
        table = gpd.GeoDataFrame(pd.concat(full, ignore_index=True), crs=4326).drop_duplicates("scene")
    table = table.sort_values(["start", "scene"], kind="stable", ignore_index=True)
    burst = table["burst_id"].where(table["kind"] == "burst", "track " + table["relative_orbit"].astype(str))
    return _of_period(table.assign(_burst=burst), options), False


def _of_period(table: gpd.GeoDataFrame, options: RunOptions) -> gpd.GeoDataFrame:
    """Keep the images of the period with the polarisation, of the track that was asked for."""
    day = table["start"].to_numpy().astype("datetime64[D]")
    keep = (day >= np.datetime64(options.start)) & (day <= np.datetime64(options.end))
    keep &= (
        table["polarisations"].map(lambda names: options.pairs.polarisation in names.split("+")).to_numpy(dtype=bool)
    )
    if options.pairs.relative_orbit is not None:
        keep &= (table["relative_orbit"] == options.pairs.relative_orbit).fillna(False).to_numpy(dtype=bool)
    return table[keep & table["relative_orbit"].notna().to_numpy()].reset_index(drop=True)


def _cells(mines: Sequence[PortfolioMine]) -> list[tuple[float, float, float, float]]:
    """Return boxes around the mines of every cell of 2 degrees."""
    bounds = shapely.bounds(np.concatenate([shapely.get_parts(mine.geometry) for mine in mines]))
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    keys = np.floor(middle / CELL_DEG).astype(int)
    table = pd.DataFrame(bounds, columns=["w", "s", "e", "n"]).groupby([keys[:, 0], keys[:, 1]])
    boxes = table.agg({"w": "min", "s": "min", "e": "max", "n": "max"})
    return [(float(w), float(s), float(e), float(n)) for w, s, e, n in boxes.to_numpy()]


def _candidates(
    mines: Sequence[PortfolioMine], records: gpd.GeoDataFrame, options: RunOptions, local: bool
) -> list[list[_Candidate]]:
    """Return the tracks that see each mine."""
    shapes = np.array([mapped_ground(mine.as_mine(), options.activity).geometry for mine in mines], dtype=object)
    images = records.geometry.to_numpy()
    found: list[list[_Candidate]] = [[] for _ in mines]
    if not len(images):
        return found
    tree = shapely.STRtree(images)
    if local:  # outlines of whole products are drawn with a few corners
        pairs = tree.query(shapes, predicate="dwithin", distance=NEAR_DEG)
    else:
        pairs = tree.query(shapes, predicate="intersects")
    track, direction = records["relative_orbit"].to_numpy(dtype=int), records["direction"].astype(str).to_numpy()
    day = records["start"].to_numpy().astype("datetime64[D]").astype(int)
    burst = records["_burst"].astype(str).to_numpy()
    covers: dict[tuple[int, tuple[str, ...]], float] = {}
    order = np.lexsort((pairs[1], direction[pairs[1]], track[pairs[1]], pairs[0]))
    mine_of, image_of = pairs[0][order], pairs[1][order]
    same = (
        (np.diff(mine_of) == 0)
        & (np.diff(track[image_of]) == 0)
        & (direction[image_of][1:] == direction[image_of][:-1])
    )
    for group in np.split(np.arange(len(mine_of)), np.flatnonzero(~same) + 1) if len(mine_of) else ():
        number, rows = int(mine_of[group[0]]), image_of[group]
        names, first = np.unique(burst[rows], return_index=True)
        key = number, tuple(names)
        if key not in covers:
            outline = shapely.union_all(images[rows[first]])
            whole = shapes[number].area
            covers[key] = 1.0 if local else float(shapely.intersection(outline, shapes[number]).area / whole)
        found[number].append(
            _Candidate(
                int(track[rows[0]]), str(direction[rows[0]]), tuple(map(int, rows)), frozenset(map(str, names)),
                covers[key], tuple(map(int, np.unique(day[rows]))),
            )
        )  # fmt: skip
    return [_good(those) for those in found]


def _good(candidates: list[_Candidate]) -> list[_Candidate]:
    """Keep the tracks of a mine that are about as good as its best: all of it, nearly as many dates."""
    most = max((one.cover for one in candidates), default=0.0)
    full = [one for one in candidates if one.cover >= min(most, FULL_COVER)]
    dates = max((len(one.days) for one in full), default=0)
    return [one for one in full if len(one.days) >= MOST_FEWER_DATES * dates]


def _greedy(candidates: Sequence[Sequence[_Candidate]]) -> dict[int, _Candidate]:
    """Serve mines in the order of the bursts that serve most of those still without a track."""
    by_burst: dict[tuple[int, str], dict[int, _Candidate]] = {}
    for number, those in enumerate(candidates):
        for one in those:
            for burst in one.bursts:
                by_burst.setdefault((one.track, burst), {})[number] = one
    chosen: dict[int, _Candidate] = {}
    waiting = {key: set(those) for key, those in by_burst.items()}
    while waiting:
        key = max(waiting, key=lambda k: (len(waiting[k]), -k[0], k[1]))
        served = waiting.pop(key)
        if not served:
            break
        chosen |= {number: by_burst[key][number] for number in served}
        for number in served:
            for one in candidates[number]:
                for burst in one.bursts:
                    waiting.get((one.track, burst), set()).discard(number)
    return chosen


def _view(names: Any, sizes: Any, chosen: _Candidate | None, spans: Sequence[int]) -> View:
    """Describe the images of a mine on its track."""
    if chosen is None:
        return View(problem=NO_DATA)
    rows = list(chosen.rows)
    size = int(sizes[rows].sum())
    pairs = pairs_expected(chosen.days, spans)
    problem = (
        ""
        if pairs
        else f"{len(chosen.days)} dates give no pair of {' or '.join(map(str, spans))} days. Widen the dates"
    )
    return View(
        chosen.track, chosen.direction, tuple(sorted(chosen.bursts)), tuple(map(str, names[rows])),
        len(chosen.days), pairs, size, problem,
    )  # fmt: skip


def pairs_expected(days: Sequence[int], spans: Sequence[int]) -> int:
    """Count the dates that have an earlier date one of the spans before, the next if several.

    Examples
    --------
    >>> pairs_expected([0, 12, 24, 48, 100], (12, 24))
    3
    """
    there = set(days)
    return sum(any(day + span in there for span in spans) for day in there)
