"""Keep a result up to date: add new dates, and tell what changed since the last time.

What was told last is kept in ``changes/``: it is replaced only when the new changes are written, so that an update
that was killed tells them the next time.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from insar_mining.arrays import BoolArray
from insar_mining.doors import GEOTIFF, check_unpacked_size, guarded, open_raster, opened_zip, parse_json, parse_yaml
from insar_mining.errors import OptionError, OutputError
from insar_mining.files import appears_whole, write_text
from insar_mining.geo.mines import Mine
from insar_mining.options.models import PROVENANCE_KEY, RunOptions, read_options
from insar_mining.pipeline import run
from insar_mining.pipeline.acquisition import Network
from insar_mining.pipeline.lock import folder_lock
from insar_mining.pipeline.maps import ProgressCallback
from insar_mining.pipeline.result import RECORD

FOLDER, STATE, LATEST, ACTIVE = "changes", "state.json", "latest", "active.npz"
WHOLE_MINE = "mine"
PAIR = re.compile(r"\d{8}_\d{8}", re.ASCII)
REMEDY = "Restore the file, or run the mine again."
NEW_GROUND_M = 100.0  # from all ground that was active before
LEAST_CELLS = 9  # the least patch that the significant method decides

NOTHING_NEW, NEW_DATA, CHANGED = 0, 10, 11
"""Exit codes of ``insar-mining update``."""


@dataclass(frozen=True, eq=False)
class Update:
    """Hold the result of an update.

    Attributes
    ----------
    code : int
        0 nothing new, 10 new dates without a change, 11 a change.
    new_pairs : tuple of str
    changes : tuple of mappings
        ``kind`` (started, stopped, new ground), ``zone``, ``between`` (the two dates of the pair in which it
        happened), ``share`` or ``area_m2``, and ``text``.
    files : tuple of Path
        JSON and HTML; none if nothing is new.
    """

    code: int
    new_pairs: tuple[str, ...]
    changes: tuple[Mapping[str, Any], ...]
    files: tuple[Path, ...] = ()


def update(
    result: Path | str,
    *,
    end: dt.date | str | None = None,
    network: Network | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
) -> Update:
    """Add what the archive (or the folder of scenes) has of later dates to a result, and tell what changed.

    The maps of dates that were there stay as they are.

    Parameters
    ----------
    result : path
        Folder of a result of :func:`insar_mining.run`.
    end : date, optional
        Last day to add; by default today, and never before the result's own last day.
    network : Network, optional

    Raises
    ------
    OutputError
        The folder holds no result of a run, or another update works in it.
    InsarMiningError
        As of :func:`insar_mining.run`.
    """
    folder = Path(result)
    mine, options = _recorded(folder)
    assert options.end is not None
    last = dt.date.today() if end is None else dt.date.fromisoformat(str(end))
    with folder_lock(folder / FOLDER):  # two updates at once would report a change twice
        known = _state(folder)
        if known is None:  # the first time everything that is there counts as told
            known = _snapshot(folder)
            _keep(folder, known)
        run(mine, out=folder, options=options.replace(end=max(last, options.end)), network=network, progress=progress)
        now = _snapshot(folder)
        new = tuple(sorted(set(now.pairs) - set(known.pairs)))
        if not new:
            return Update(NOTHING_NEW, (), ())
        changes = (*_starts_and_stops(folder, new), *_new_ground(known, now))
        found = Update(CHANGED if changes else NEW_DATA, new, tuple(changes), _written(folder, mine, new, changes))
        _keep(folder, now)
    return found


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """Hold the state of a result: pairs with a map, and ground that was active in any year."""

    pairs: tuple[str, ...]
    active: BoolArray
    cell_m: float


def _recorded(folder: Path) -> tuple[Mine, RunOptions]:
    """Return the mine and the options that a result was made with."""
    path = folder / RECORD
    with guarded(OutputError, path, "Run the mine there first: the folder holds no result of a run."):
        made_by = parse_yaml(path.read_text(encoding="utf-8"))[PROVENANCE_KEY]
        said = made_by["mine"]
        geometry = shapely.from_wkt(said["geometry"])
        if geometry.geom_type not in ("Polygon", "MultiPolygon") or not geometry.is_valid or not geometry.area > 0:
            raise ValueError("the mine's geometry is no polygon")
        mine = Mine(str(said["id"]), str(said["name"]), geometry)
    options = read_options(path, RunOptions)
    if options.end is None:
        raise OptionError(f"{path}: names no period. Only the result of a run can be updated")
    # the track of the maps that are there; another would begin a second series
    track = options.pairs.relative_orbit or made_by.get("relative_orbit")
    return mine, options.replace(mine=None, mine_id=None, pairs=options.pairs.replace(relative_orbit=track))


def _snapshot(folder: Path) -> _Snapshot:
    with guarded(OutputError, folder / "scenes.csv", REMEDY):
        scenes = pd.read_csv(folder / "scenes.csv", dtype={"pair": str})
        mapped = scenes[~scenes["reason"].astype(str).str.startswith("not mapped")]
        pairs = _checked_pairs(mapped["pair"])
    active, cell_m = np.zeros((0, 0), np.bool_), 0.0
    for path in sorted(folder.glob("active_[0-9][0-9][0-9][0-9].tif")):
        with guarded(OutputError, path, REMEDY), open_raster(path, GEOTIFF) as source:
            layer = source.read(1) == 1
            cell_m = float(source.res[0])
            active = layer if not active.size else active | layer
    return _Snapshot(pairs, active, cell_m)


def _checked_pairs(names: Iterable[object]) -> tuple[str, ...]:
    """Return names of pairs, each a text such as 20210105_20210117.

    Raises
    ------
    ValueError
        One is none.
    """
    for name in names:
        if not (isinstance(name, str) and PAIR.fullmatch(name)):
            raise ValueError(f"{name!r:.60} is no pair")
        for day in name.split("_"):
            dt.date.fromisoformat(day)
    return tuple(str(name) for name in names)


def _state(folder: Path) -> _Snapshot | None:
    """Return what was told last; None if nothing was."""
    path = folder / FOLDER / STATE
    if not path.exists():
        return None
    # what cannot be read must not count as told
    with guarded(OutputError, path.parent, "Move the folder away: the next update then begins anew."):
        said = parse_json(path.read_bytes())
        size = (folder / FOLDER / ACTIVE).stat().st_size
        with opened_zip(folder / FOLDER / ACTIVE) as archive:
            check_unpacked_size(archive, archive.namelist(), size)
        with np.load(folder / FOLDER / ACTIVE) as held:
            active, cell_m = held["active"], float(held["cell_m"])
        if active.dtype != np.bool_ or active.ndim != 2 or not cell_m >= 0:
            raise ValueError(f"active ground of {active.dtype}, {active.shape}")
        return _Snapshot(_checked_pairs(said["pairs"]), active, cell_m)


def _keep(folder: Path, snapshot: _Snapshot) -> None:
    """Record what is told from now on; the list of pairs, which says that all is told, comes last."""
    with appears_whole(folder / FOLDER / ACTIVE) as partial:
        np.savez_compressed(partial, active=snapshot.active, cell_m=snapshot.cell_m)
    write_text(folder / FOLDER / STATE, json.dumps({"pairs": list(snapshot.pairs)}) + "\n")


def _starts_and_stops(folder: Path, new: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the changes of the stretches of work that lie within the new pairs."""
    path = folder / "zones.csv"
    if not path.exists():  # the published method knows years only
        return []
    with guarded(OutputError, path, REMEDY):
        zones = pd.read_csv(path)
        for name in ("start", "stop"):
            zones[name] = pd.to_datetime(zones[name].astype(str), format="ISO8601")
        zones = zones.astype({"zone": str, "worked": bool, "share": float})
    first_new = min(pd.Timestamp(pair[:8]) for pair in new)
    found = []
    for zone, rows in zones.groupby("zone", sort=False):
        ordered = rows.sort_values("start", kind="stable").to_dict("records")
        for before, after in itertools.pairwise(ordered):
            if bool(before["worked"]) == bool(after["worked"]) or after["start"] < first_new:
                continue
            kind = "started" if after["worked"] else "stopped"
            pair = min(name for name in new if pd.Timestamp(name[:8]) >= after["start"])
            between = [str(pd.Timestamp(part).date()) for part in pair.split("_")]
            share = round(float(after["share"]), 4)
            text = (
                f"work {kind} in zone {zone} between {between[0]} and {between[1]} ({share:.1%} of it disturbed since)"
            )
            found.append({"kind": kind, "zone": str(zone), "between": between, "share": share, "text": text})
    return found


def _new_ground(before: _Snapshot, now: _Snapshot) -> list[dict[str, Any]]:
    """Return ground that is active now, far from all that was active before."""
    from scipy.ndimage import distance_transform_edt

    if before.active.shape != now.active.shape or not before.active.any():
        return []
    away = distance_transform_edt(~before.active) * now.cell_m
    fresh = now.active & (away > NEW_GROUND_M)
    cells = int(fresh.sum())
    if cells < LEAST_CELLS:
        return []
    area = cells * now.cell_m**2
    farthest = float(away[fresh].max())
    text = f"{area / 1e4:.2f} ha are worked up to {farthest:,.0f} m from all ground worked before"
    return [{"kind": "new ground", "zone": WHOLE_MINE, "area_m2": area, "farthest_m": round(farthest), "text": text}]


def _written(
    folder: Path, mine: Mine, new: tuple[str, ...], changes: tuple[Mapping[str, Any], ...]
) -> tuple[Path, ...]:
    """Write the changes as JSON and HTML, as the latest and under the name of the last new date."""
    from insar_mining.portfolio.report import environment

    told = {
        "mine": {"id": mine.id, "name": mine.name},
        "new_pairs": list(new),
        "judged": (folder / "zones.csv").is_file(),
        "changes": [dict(change) for change in changes],
    }
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    page = environment().get_template("changes.html.j2").render(told=told)
    last = max(pair[9:] for pair in new)
    files = []
    for name in (last, LATEST):
        files.append(write_text(folder / FOLDER / f"{name}.json", text))
        files.append(write_text(folder / FOLDER / f"{name}.html", page))
    return tuple(files)
