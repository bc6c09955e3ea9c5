"""What this package wrote itself, and tables that a user writes, damaged."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import lzma
import shutil
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from rasterio.transform import from_origin
from shapely.geometry import Point, box

from insar_mining.activity.explain import read_covariates
from insar_mining.activity.sample import read_sample
from insar_mining.coherence.plan.product import SHA256_MULTIHASH
from insar_mining.download.integrity import Expected, fault_by_note, is_noted, read_note, write_note
from insar_mining.download.verify import verify_folder
from insar_mining.emissions.factors import read_factors
from insar_mining.emissions.pit import parsed, template
from insar_mining.errors import InsarMiningError, InsarMiningWarning
from insar_mining.files import sha256
from insar_mining.options.models import RunOptions, to_yaml
from insar_mining.pipeline.maps import Planner
from insar_mining.pipeline.ownership import check_no_foreign_files
from insar_mining.pipeline.stac import is_own_collection, recorded_checksums, recorded_files
from insar_mining.pipeline.tonnes import read_table
from insar_mining.portfolio import monitor
from insar_mining.portfolio.assets import read_assets
from insar_mining.portfolio.ledger import Record
from insar_mining.portfolio.plan import open_portfolio, plan_portfolio
from insar_mining.portfolio.report import write_portfolio_report
from insar_mining.scenes.pairs import select_pairs
from insar_mining.scenes.records import pairs_in, read_records, records_table, write_pairs, write_records
from insar_mining.sentinel1.record_orbits import from_text
from tests.fuzz import mutations as m
from tests.fuzz.arena import Kind, require

DATA = Path(__file__).parents[1] / "data"
MINE = box(-8.79, 31.79, -8.77, 31.81)


def aside(folder: Path) -> Path:
    """A copy of a folder that what is tested writes into."""
    copy = folder.parent.parent / "aside"
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(folder, copy))


def by_suffix(name: str, data: bytes, rng: m.Rng) -> bytes:
    damages = {
        ".json": m.either(m.damaged_json, m.damaged_json, m.damaged_text, m.damaged_bytes),
        ".geojson": m.either(m.damaged_json, m.damaged_json, m.damaged_text, m.damaged_bytes),
        ".yaml": m.either(m.damaged_text, m.damaged_text, m.damaged_bytes),
        ".csv": m.either(m.damaged_text, m.damaged_text, m.damaged_bytes),
        ".tif": m.damaged_tiff,
    }
    return damages.get(Path(name).suffix, m.damaged_bytes)(data, rng)


# -- a result, and what `update` keeps of it -----------------------------------------------


def make_results(folder: Path) -> None:
    out = folder / "result"
    (out / "coherence").mkdir(parents=True)
    options = RunOptions(start="2021-01-01", end="2023-12-31", scenes="scenes", dem="dem.tif")
    made_by = {"mine": {"id": "a", "name": "pit", "geometry": MINE.wkt}, "relative_orbit": 52}
    (out / "run.yaml").write_text(to_yaml(options, made_by), encoding="utf-8")
    pairs = [f"2021{month:02d}05_2021{month:02d}17" for month in range(1, 7)]
    pd.DataFrame({"pair": pairs, "kept": True, "reason": ""}).to_csv(out / "scenes.csv", index=False)
    zones = {"zone": "a", "start": ["2021-01-05", "2021-03-05"], "stop": ["2021-03-05", "2021-06-17"]}
    pd.DataFrame({**zones, "worked": [False, True], "share": [0.0, 0.4]}).to_csv(out / "zones.csv", index=False)
    with rasterio.open(
        out / "active_2021.tif", "w", driver="GTiff", width=12, height=10, count=1, dtype="uint8", crs="EPSG:32629",
        transform=from_origin(520_000, 3_520_000, 20, 20), nodata=255,
    ) as target:  # fmt: skip
        target.write(np.eye(10, 12, dtype=np.uint8), 1)
    (out / "coherence" / "stack_reference.json").write_text(json.dumps({"scene": "S1A_x", "identity": "0" * 64}))
    monitor._keep(out, monitor._Snapshot(tuple(pairs[:4]), np.zeros((10, 12), bool), 20.0))
    (out / "notes.bin").write_bytes(b"fetched")
    write_note(out / "notes.bin", Expected(), "https://x/notes.bin")
    names = ("run.yaml", "scenes.csv", "zones.csv", "active_2021.tif")
    assets = {name: {"href": f"./{name}", "file:checksum": SHA256_MULTIHASH + sha256(out / name)} for name in names}
    collection = {"stac_version": "1.0.0", "id": "insar-mining-a", "assets": assets, "links": []}
    (out / "collection.json").write_text(json.dumps(collection), encoding="utf-8")


def use_result(folder: Path) -> Any:
    out = aside(folder)
    listed = recorded_files(out)
    require(all(isinstance(name, str) and isinstance(value, str) for name, value in listed.items()), "record")
    inside = recorded_checksums(out)
    require(all(path.resolve().is_relative_to(out.resolve()) for path in inside), "a record leads outside")
    note = read_note(out / "notes.bin")
    noted = None if note is None else (is_noted(out / "notes.bin", Expected()), fault_by_note(out / "notes.bin"))
    planner = Planner(MINE, Path("dem.tif"), out / "coherence", RunOptions())
    recorded = planner._recorded()
    require(recorded is None or set(recorded) == {"scene", "identity"}, f"stack reference {recorded}")
    states = verify_folder(out, recorded=inside)[["file", "state"]].to_dict("list")
    foreign = ""
    try:
        check_no_foreign_files(out, out / "coherence")
    except InsarMiningError as error:
        foreign = type(error).__name__
    real = monitor.run
    monitor.run = lambda *_, **__: None  # type: ignore[assignment]
    try:
        found = monitor.update(out)
    finally:
        monitor.run = real
    require(found.code in (0, 10, 11), f"code {found.code}")
    return listed, noted, recorded, states, foreign, is_own_collection(out), found.code, found.new_pairs, found.changes


# -- portfolios ----------------------------------------------------------------------------


def make_portfolios(folder: Path) -> None:
    catalogue, footprints = folder.parent / "records.geojson", folder.parent / "polygons.geojson"
    table = write_scenes(catalogue)
    centre = table.geometry.iloc[0].centroid
    shapes = [Point(centre.x + 0.02 * number, centre.y).buffer(0.004) for number in range(2)]
    gpd.GeoDataFrame({"COUNTRY_NAME": ["Mexico", "Mexico"]}, geometry=shapes, crs=4326).to_file(footprints)
    out = folder / "portfolio"
    days = [dt.date.fromisoformat(str(day)[:10]) for day in (table["start"].min(), table["start"].max())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsarMiningWarning)
        made = plan_portfolio(footprints, out, RunOptions(start=days[0], end=days[1]), catalogue=catalogue)
    for task in made.tasks:
        result = out / "mines" / task.id.removeprefix("mine-")
        result.mkdir(parents=True, exist_ok=True)
        activity = {"year": [2021], "area_m2": [5e4], "area_low_m2": [4e4], "area_high_m2": [6e4]}
        pd.DataFrame(activity).to_csv(result / "activity.csv", index=False)
        name = (result / "activity.csv").relative_to(out).as_posix()
        outputs = {name: ((out / name).stat().st_size, sha256(out / name))}
        made.ledger.write(Record(task.id, task.identity, "done", task.inputs, outputs, measured={"seconds": 3.0}))
    shutil.rmtree(out / "catalogue", ignore_errors=True)


def use_portfolio(folder: Path) -> Any:
    made = open_portfolio(aside(folder))
    found = []
    for task in made.tasks:
        record = made.ledger.record(task.id)
        found.append((task.id, made.ledger.state(task), made.ledger.why_again(task), record and record.state))
    page = write_portfolio_report(made).read_text("utf-8")
    require("</html>" in page, "half a report")
    return found


# -- scenes and pairs ----------------------------------------------------------------------


def write_scenes(path: Path) -> gpd.GeoDataFrame:
    items = json.loads(lzma.decompress((DATA / "asf" / "burst_166.json.xz").read_bytes()))["items"][:8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsarMiningWarning)
        table = records_table(items)
    write_records(table, path)
    return table


def make_scenes(folder: Path) -> None:
    for name in ("scenes", "pairs"):
        (folder / name).mkdir()
    table = write_scenes(folder / "scenes" / "m.geojson")
    days = sorted(table["start"])
    spans = sorted({round((b - a).total_seconds() / 86400) for a, b in itertools.pairwise(days)} - {0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsarMiningWarning)
        pairs = select_pairs(table, max_perp_baseline_m=1000, temporal_baseline_days=tuple(spans[:3]))
    write_pairs(pairs, table, folder / "pairs" / "m.geojson")


def use_scenes(folder: Path) -> Any:
    path = folder / "m.geojson"
    named, table = pairs_in(path), read_records(path)
    require(table.crs == 4326 and all(shape is not None for shape in table.geometry), "geometry")
    states = []
    for row in table.to_dict("records"):
        try:
            found = from_text(row["state_vectors"], source=str(row["scene"]))
            states.append(found.to_text())
        except InsarMiningError as error:
            states.append(type(error).__name__)
    return (
        named and sorted(map(str, named)),
        [str(name) for name in table["scene"]],
        table.geometry.to_wkb().tolist(),
        states,
    )


# -- tables ----------------------------------------------------------------------------------

TABLES = {
    "production.csv": "year,production_t,factor_t_t\n2021,1000,0.1\n2022,1200.5,0.11\n2023,900,0.1\n",
    "sample.csv": "longitude,latitude,reference,year\n-8.78,31.8,active,2021\n-8.77,31.8,inactive,2022\n",
    "covariates.csv": "date,rain_mm\n2021-01-05,0\n2021-01-17,12.5\n2021-01-29,3\n",
    "assets.csv": "asset_id,name,longitude,latitude\n1,pit,-8.78,31.8\n2,=dump,-8.6,31.7\n",
}


def make_tables(folder: Path) -> None:
    for name, text in {**TABLES, "pit.yaml": template()}.items():
        (folder / name.replace(".", "-")).mkdir()
        (folder / name.replace(".", "-") / name).write_text(text, encoding="utf-8")
    shipped = Path(read_factors.__code__.co_filename).parent / "tables" / "factors.csv"
    if shipped.is_file():
        (folder / "factors-csv").mkdir()
        (folder / "factors-csv" / "factors.csv").write_text(
            "\n".join(shipped.read_text("utf-8").splitlines()[:12]) + "\n"
        )


def use_table(folder: Path) -> Any:
    from insar_mining.emissions.pit import MineAccount as Account

    (path,) = (p for p in folder.iterdir() if p.is_file() and p.name != "notes.txt")
    readers: dict[str, Any] = {
        "production.csv": read_table, "sample.csv": read_sample, "covariates.csv": read_covariates,
        "factors.csv": lambda p: read_factors(p).frame,
        "assets.csv": lambda p: read_assets(p).table, "pit.yaml": lambda p: parsed(p, Account),
    }  # fmt: skip
    table = readers[path.name](path)
    return table.to_csv() if isinstance(table, pd.DataFrame) else repr(table)


RESULTS = Kind("records of results", 800, make_results, by_suffix, use_result)
PORTFOLIOS = Kind("portfolios", 600, make_portfolios, by_suffix, use_portfolio)
SCENES = Kind("scenes and pairs", 600, make_scenes, by_suffix, use_scenes)
ALL_TABLES = Kind("tables", 1000, make_tables, by_suffix, use_table)
