"""Plan a portfolio: its mines, their tracks, the bursts they share, and what all of it costs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from insar_mining.doors import parse_json
from insar_mining.errors import OptionError, OutputError
from insar_mining.files import write_text
from insar_mining.options.models import RunOptions, to_yaml
from insar_mining.pipeline.surroundings import margin_of
from insar_mining.portfolio import catalogue as catalogues
from insar_mining.portfolio.assets import join_assets, read_assets
from insar_mining.portfolio.clusters import DEFAULT_DISTANCE_M
from insar_mining.portfolio.cost_model import CostModel, Size, calibrated
from insar_mining.portfolio.footprints import Footprints, PortfolioMine, mines_of, read_footprints
from insar_mining.portfolio.ledger import FOLDER as LEDGER
from insar_mining.portfolio.ledger import FORMAT, Ledger, Task, newer_format
from insar_mining.tables import csv_text

PLAN, MINES, POLYGONS, LINKS, OPTIONS = "portfolio.json", "mines.geojson", "polygons.csv", "links.csv", "options.yaml"
FILES = (PLAN, MINES, POLYGONS, LINKS, OPTIONS)
CATALOGUE = "catalogue"

# options that decide how a result is made, and not what it is
NOT_DECISIVE = {
    "archive": ("folder", "connections", "bandwidth_mb_s", "line_mb_s"),
    "coherence": ("cache_gb", "threads"),
    "snap": ("memory", "parallelism", "idle_s", "wall_s", "scratch", "keep_failed"),
}


@dataclass(frozen=True, eq=False)
class Portfolio:
    """Hold a planned portfolio.

    Attributes
    ----------
    folder : Path
    mines : list of dict
        id, name, country, area_m2, lon, lat, polygons, track, bursts, dates, pairs, bytes, seconds, problem (why it
        is not run, empty if it is).
    tasks : list of Task
        One for each mine that is run.
    made_from : mapping
        The file of polygons, its sha256, the distance of clustering, the period.
    totals : mapping
        mines, tasks, tracks, burst_stacks, burst_files, shared_by, download_bytes, disk_bytes (in the end, with what
        was fetched), disk_bytes_keep_none (in the end, with ``--keep none``), core_hours (of processors).
    """

    folder: Path
    mines: list[dict[str, Any]]
    tasks: list[Task]
    made_from: Mapping[str, Any]
    totals: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        """The portfolio's ledger."""
        return Ledger(self.folder)


def plan_portfolio(
    source: Path | str,
    out: Path | str,
    options: RunOptions,
    *,
    distance_m: float = DEFAULT_DISTANCE_M,
    assets: Path | str | None = None,
    catalogue: Path | str | None = None,
    layer: str | None = None,
    session: Any = None,
) -> Portfolio:
    """Plan a portfolio and write the plan into a folder; nothing is fetched but the catalogue's records.

    Parameters
    ----------
    source : path
        Polygons of mines: see :func:`insar_mining.portfolio.footprints.read_footprints`.
    out : path
        The portfolio's folder.
    options : RunOptions
        Of every mine: the period, local `scenes` and `dem` or what is fetched, the steps.
    distance_m : float
        Polygons nearer than this are one mine.
    assets : path, optional
        Points with names to link to the mines (``links.csv``).
    catalogue : path, optional
        Records that `insar-mining search` wrote; without them, and without local scenes, the archive is searched.

    Raises
    ------
    OptionError
        No period.
    MineError, ArchiveError, OutputError
    """
    if options.start is None or options.end is None:
        raise OptionError("portfolio: has no period. Give the first and the last day (--start, --end)")
    _check_not_newer(Path(out) / PLAN)
    _check_own(Path(out), Path(source))
    footprints = read_footprints(source, layer=layer)
    mines = mines_of(footprints, distance_m=distance_m)
    seen = catalogues.seen_by(mines, options, catalogue=catalogue, session=session)
    folder = Path(out)
    try:
        (folder / LEDGER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}). Choose another folder (--out)") from error
    _write_mines(folder, footprints, mines)
    if assets is not None:
        links = join_assets(read_assets(assets), mines)
        write_text(folder / LINKS, csv_text(links))
    record_files = catalogues.write(seen, folder / CATALOGUE)
    model = calibrated(folder)
    rows, tasks = _rows_and_tasks(mines, seen, options, record_files, model)
    made_from = {
        "source": str(footprints.source.absolute()), "sha256": footprints.sha256, "distance_m": distance_m,
        "polygons": len(footprints.polygons), "start": str(options.start), "end": str(options.end),
        "scenes": None if options.scenes is None else str(options.scenes),
    }  # fmt: skip
    made = Portfolio(folder, rows, tasks, made_from, _totals(rows, seen, options, model))
    write_text(folder / OPTIONS, to_yaml(options))
    text = json.dumps(
        {"format": FORMAT, "made_from": made_from, "totals": made.totals, "mines": rows,
         "tasks": [vars(task) for task in tasks]}, indent=0, default=str,
    )  # fmt: skip
    write_text(folder / PLAN, text + "\n")
    return made


def open_portfolio(folder: Path | str) -> Portfolio:
    """Open a planned portfolio.

    Raises
    ------
    OutputError
        The folder holds no plan, or one of another version.
    """
    folder = Path(folder)
    path = folder / PLAN
    try:
        said = parse_json(path.read_bytes())
        if newer_format(said):
            raise OutputError(f"{path}: {newer_format(said)}")
        if said["format"] != FORMAT:
            raise OutputError(
                f"{path}: was written by an older version (format {said['format']}, this one reads {FORMAT}). Plan the "
                "portfolio again into the same folder: finished maps are kept"
            )
        tasks = TypeAdapter(list[Task]).validate_python(said["tasks"])
        _check_rows(said["mines"])
        return Portfolio(folder, said["mines"], tasks, said["made_from"], said["totals"])
    except OSError as error:
        raise OutputError(f"{folder}: holds no portfolio ({error.strerror}). Plan one there first") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{path}: cannot be read ({error}). Plan the portfolio again into the same folder") from error


def _check_not_newer(path: Path) -> None:
    """Check that a plan, if there is one, is not of a later version, which would be overwritten."""
    try:
        newer = newer_format(parse_json(path.read_bytes()))
    except (OSError, ValueError):
        return
    if newer:
        raise OutputError(f"{path}: {newer}")


def _check_own(folder: Path, source: Path) -> None:
    """Check that nothing but an earlier plan is written over, and not the file that is to be planned."""
    is_planned = (folder / LEDGER).is_dir()  # made first; the plan itself may be damaged
    found = [path for path in (folder / name for name in FILES) if path.exists()]
    names = [path.name for path in found if not is_planned or (source.exists() and path.samefile(source))]
    if names:
        raise OutputError(
            f"{folder}: holds {', '.join(names)}, which no plan wrote, and a plan would write over. Choose another "
            "folder (--out), or move the files away"
        )


def _check_rows(rows: Any) -> None:
    """Check that the rows of a plan are what the report and the commands take.

    Raises
    ------
    ValueError, KeyError, TypeError
    """
    if not isinstance(rows, list) or not rows:
        raise ValueError("it lists no mine")
    for row in rows:
        if not all(isinstance(row[name], str) for name in ("id", "name", "country", "problem")):
            raise TypeError("the id, name, country or problem of a mine is no text")
        if not (abs(float(row["lon"])) <= 360 and abs(float(row["lat"])) <= 90 and float(row["area_m2"]) > 0):
            raise ValueError("a mine has no place, or no area")


def _rows_and_tasks(
    mines: Sequence[PortfolioMine],
    seen: catalogues.Seen,
    options: RunOptions,
    record_files: Mapping[str, str],
    model: CostModel,
) -> tuple[list[dict[str, Any]], list[Task]]:
    """Describe every mine, and make the tasks of those that can be run."""
    rows, tasks = [], []
    for number, mine in enumerate(mines):
        view = seen.views[number]
        centre = mine.geometry.representative_point()
        size = Size(len(view.scenes), view.pairs, _cells(mine, options))
        seconds, result, kept = model.seconds(size), model.bytes_of_result(size), model.bytes_kept(size)
        if view.problem:
            seconds = result = kept = 0.0
        row: dict[str, Any] = {
            "id": mine.id, "name": mine.name, "country": mine.country, "country_share": round(mine.country_share, 4),
            "area_m2": round(mine.area_m2, 1), "lon": round(centre.x, 6), "lat": round(centre.y, 6),
            "polygons": len(mine.members), "classes": {name: round(area) for name, area in mine.classes.items()},
            "track": view.track, "direction": view.direction, "bursts": list(view.bursts), "dates": view.dates,
            "pairs": view.pairs, "bytes": view.bytes, "problem": view.problem,
            "seconds": round(seconds, 2), "result_bytes": round(result), "kept_bytes": round(kept),
        }  # fmt: skip
        rows.append(row)
        if not view.problem:
            records = [record_files[burst] for burst in view.bursts if burst in record_files]
            tasks.append(_task(mine, view, options, row["seconds"], {"records": records, "size": size.plain()}))
    return rows, tasks


def _task(
    mine: PortfolioMine, view: catalogues.View, options: RunOptions, seconds: float, how: Mapping[str, Any]
) -> Task:
    """Describe the run of one mine; the size in `how` is what its costs are learned by."""
    of_mine = options.replace(pairs=options.pairs.replace(relative_orbit=view.track))
    plain = of_mine.model_dump(mode="json", exclude={"mine", "mine_id"})
    decisive = {k: _without(v, NOT_DECISIVE.get(k, ())) if isinstance(v, dict) else v for k, v in plain.items()}
    inputs = {
        "mine": {"id": mine.id, "name": mine.name, "country": mine.country, "geometry": mine.geometry.wkt},
        "options": decisive,
        "scenes": sorted(view.scenes),
    }
    return Task(f"mine-{mine.id}", inputs, seconds, {"options": plain, **how})


def _without(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in set(names)}


def _cells(mine: PortfolioMine, options: RunOptions) -> float:
    """Return the cells of a mine's map, from its box."""
    west, south, east, north = mine.geometry.bounds
    margin_m = margin_of(mine.as_mine(), options.activity)
    width = (east - west) * 111_320 * float(np.cos(np.deg2rad((south + north) / 2))) + 2 * margin_m
    height = (north - south) * 111_320 + 2 * margin_m
    spacing = options.coherence.spacing_m
    return float(max(width, spacing) * max(height, spacing) / spacing**2)


def _totals(
    rows: Sequence[Mapping[str, Any]], seen: catalogues.Seen, options: RunOptions, model: CostModel
) -> dict[str, Any]:
    """Sum what all mines need, bursts that they share once."""
    run = [row for row in rows if not row["problem"]]
    stacks = {(row["track"], burst) for row in run for burst in row["bursts"]}
    files = seen.files_of(run)
    orbits = files.orbits * model.orbit_bytes if options.archive.orbit_files and not options.coherence.orbits else 0.0
    beside = orbits + (len(run) * model.elevation_bytes if options.dem is None else 0.0)
    download = files.bytes + files.metadata * model.metadata_bytes + beside
    results, kept = (sum(int(row[name]) for row in run) for name in ("result_bytes", "kept_bytes"))
    return {
        "mines": len(rows),
        "to_run": len(run),
        "not_run": len(rows) - len(run),
        "tracks": len({(row["track"], row["direction"]) for row in run}),
        "burst_stacks": len(stacks),
        "shared_by": round(sum(len(row["bursts"]) for row in run) / max(len(stacks), 1), 3),
        "burst_files": files.images,
        "download_bytes": round(download),
        "disk_bytes": round(download + results + kept),
        "disk_bytes_keep_none": round(beside + results),
        "core_hours": round(sum(float(row["seconds"]) for row in run) / 3600, 4),
        "costs_from": f"{model.measured_on} finished mines of this ledger"
        if model.measured_on
        else "the constants of the package",
    }


def _write_mines(folder: Path, footprints: Footprints, mines: Sequence[PortfolioMine]) -> None:
    """Write the mines, and which polygon of the file belongs to which."""
    table = gpd.GeoDataFrame(
        {
            "mine_id": [mine.id for mine in mines],
            "name": [mine.name for mine in mines],
            "country": [mine.country for mine in mines],
            "country_share": [round(mine.country_share, 4) for mine in mines],
            "area_m2": [round(mine.area_m2, 1) for mine in mines],
            "polygons": [len(mine.members) for mine in mines],
        },
        geometry=[mine.geometry for mine in mines],
        crs=4326,
    )
    write_text(folder / MINES, table.to_json(drop_id=True) + "\n")
    owner = {int(member): mine.id for mine in mines for member in mine.members}
    rows = [(int(footprints.rows[i]), footprints.keys[i], owner[i]) for i in range(len(footprints.polygons))]
    listed = pd.DataFrame(rows, columns=["row", "geometry_sha256", "mine"])
    write_text(folder / POLYGONS, csv_text(listed))
