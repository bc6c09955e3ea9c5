"""Simulate a small open-pit mine over three years, of known activity, under the orbit of a real scene."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from shapely.geometry import LineString, Point, Polygon, mapping
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import FloatArray
from insar_mining.files import appears_whole, delete, write_text
from insar_mining.geo.grid import MapGrid
from insar_mining.sentinel1.safe_manifest import SAFE_FILES
from insar_mining.simulate.ground import MapFunction, ZoneMap
from insar_mining.simulate.scene import Acquisition, Settings
from insar_mining.simulate.stack import SCENES, Progress, simulate_stack
from insar_mining.simulate.templates import morocco_template
from insar_mining.simulate.terrain import open_pit

EPSG = 32629
CENTRE_M = (557_830.0, 3_481_100.0)  # on the seam of the second and the third burst of IW1
YEARS = (2021, 2022, 2023)
TEMPLATE_DATE = dt.date(2023, 9, 4)
FIRST_DAYS = {2021: -972, 2022: -600, 2023: -240}  # first January pass of the year, from the template's date
SLOTS = 13  # of 12 days, of which one stays without an image
MISSING_SLOT = {2021: 8, 2022: 6, 2023: 9}
SNOW_SLOTS = {2021: (2,), 2022: (1, 2), 2023: (3,)}
FAR_SLOT = (2022, 10)  # the date that lies too far from all others
FAR_BASELINE_M = 360.0
USUAL_BASELINE_M = 80.0
SNOW_COHERENCE = 0.15

ROCK, IDLE, VEGETATION = 0.96, 0.92, 0.5  # temporal coherence of 12 days
DISTURBED = (0.02, 0.25)  # of ground that was worked between two dates
SCATTERERS_PER_CELL = 4.0
PAUSE = 0.1  # share of the steps in which work rests
DEMO_VERSION = 1
RECORD = "demo.json"
_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True)
class DemoScene:
    """Hold what :func:`write_demo` wrote.

    Attributes
    ----------
    scenes : Path
        Folder of 36 SAFE products.
    dem, mine, truth : Path
        GeoTIFF (orthometric heights), GeoJSON (one polygon), GeoTIFF with one uint8 band
        ``active_<year>`` per year: 1 where the ground was disturbed in at least one step of
        the year, 0 elsewhere in the mine, 255 outside.
    dates : tuple of date
    snow_dates, far_dates : tuple of date
        Dates under snow; dates whose orbit lies more than 250 m from the others.
    active_area_m2 : mapping of int to float
        True active area per year, square metres (UTM), from the zones' outlines.
    """

    scenes: Path
    dem: Path
    mine: Path
    truth: Path
    dates: tuple[dt.date, ...]
    snow_dates: tuple[dt.date, ...]
    far_dates: tuple[dt.date, ...]
    active_area_m2: Mapping[int, float]


@dataclass(frozen=True)
class Zone:
    """Describe a part of the mine in map coordinates, and the years in which it is worked."""

    name: str
    outline: BaseGeometry
    years: tuple[int, ...]


def demo_zones() -> list[Zone]:
    """Return the zones of the mine that are worked; they do not overlap."""
    x, y = CENTRE_M
    pit = _ellipse(x, y, 860.0, 610.0)
    dump = Point(x + 750.0, y - 850.0)
    cut_west, cut_east = x - 265.0, x + 285.0
    sector = {
        "west": shapely.box(x - 2000, y - 2000, cut_west, y + 2000),
        "east": shapely.box(cut_east, y - 2000, x + 2000, y + 2000),
        "north": shapely.box(cut_west, y + 45.0, cut_east, y + 2000),
    }
    road = LineString([(x + 420, y - 560), (x + 950, y - 450), (x + 1180, y + 250), (x + 900, y + 900)]).buffer(35.0)
    found = [
        Zone("push-back west", pit & sector["west"], (2021,)),
        Zone("push-back north", pit & sector["north"], (2022,)),
        Zone("push-back east", pit & sector["east"], (2022, 2023)),
        Zone("dump south", dump.buffer(330.0), (2021, 2022)),
        Zone("dump west", Point(x - 850.0, y - 800.0).buffer(300.0), (2023,)),
        Zone("crusher and stockpile", Point(x + 900.0, y + 1000.0).buffer(190.0), (2021, 2022, 2023)),
        Zone("haul road", road, (2021, 2022, 2023)),
    ]
    taken: BaseGeometry = Polygon()
    apart = []
    for zone in found:
        apart.append(Zone(zone.name, zone.outline - taken, zone.years))
        taken = taken | zone.outline
    return apart


def mine_outline() -> Polygon:
    """Return the outline of the mine, about 3 x 3 km, in map coordinates."""
    x, y = CENTRE_M
    corners = [(-1450, -1250), (-900, -1500), (900, -1480), (1420, -1100), (1500, 600), (1300, 1400), (300, 1500),
               (-1100, 1380), (-1480, 700)]  # fmt: skip
    return Polygon([(x + u, y + v) for u, v in corners])


def demo_dates() -> list[tuple[int, int, Acquisition]]:
    """Return year, slot and acquisition of every date, without baselines."""
    template = morocco_template()
    found = []
    for year in YEARS:
        for slot in range(SLOTS):
            if slot == MISSING_SLOT[year]:
                continue
            snow = SNOW_COHERENCE if slot in SNOW_SLOTS[year] else None
            found.append((year, slot, Acquisition(template, FIRST_DAYS[year] + 12 * slot, snow_coherence=snow)))
    return found


def write_demo(out: Path | str, *, seed: int = 20230904, progress: Progress | None = None) -> DemoScene:
    """Simulate the demonstration mine: 36 dates of IW1 VV from January to June of three years.

    The scenes repeat the track of Sentinel-1A, relative orbit 52, of 2023-09-04 on its real
    12-day grid; the mine lies across the seam of two bursts.  Every year one date is missing,
    one or two lie under snow, and one date of 2022 has a baseline of 360 m.  Faces, dumps,
    a crusher and a haul road are worked in the years of their zone, nine steps in ten, at a
    temporal coherence of 0.02 to 0.25; the rest of the mine keeps 0.92 to 0.96 over 12 days.
    A field of low coherence lies outside of the outline.

    Parameters
    ----------
    out : Path
        Folder; gets ``scenes/``, ``dem.tif``, ``mine.geojson``, ``truth.tif``, ``demo.json``.  A
        complete demonstration of the same seed that is already there is kept.
    seed : int
    progress : callable, optional
        Called with (dates done, dates in all).

    Returns
    -------
    DemoScene
    """
    out = Path(out)
    there = _read(out, seed)
    if there is not None:
        return there
    if _record(out) is not None:
        delete(out / RECORD, RECORD)  # until the new one is complete
    rng = np.random.default_rng(seed)
    planned = demo_dates()
    acquisitions = _with_geometry(planned, rng)
    steps = _steps(planned, rng)
    outline = _to_lonlat(mine_outline())
    grid = MapGrid.around(outline, 20.0, epsg=EPSG)
    stack = simulate_stack(
        out, acquisitions, area=outline, terrain=open_pit(EPSG, CENTRE_M), coherence=lambda index: steps[index],
        rng=rng, grid=grid, truth_pairs=(), progress=progress,
        settings=Settings(scatterers_per_cell=SCATTERERS_PER_CELL, snr_db=20.0, margin_m=250.0),
    )  # fmt: skip
    mine = write_text(out / "mine.geojson", _geojson(outline))
    truth = _write_truth(out / "truth.tif", grid)
    dates = stack.dates
    record = {
        "version": DEMO_VERSION,
        "seed": seed,
        "products": {p.name: _size(p) for p in stack.products},
        "dates": [d.isoformat() for d in dates],
        "snow_dates": [d.isoformat() for d, (_, _, a) in zip(dates, planned, strict=True) if a.snow_coherence],
        "far_dates": [d.isoformat() for d, (y, s, _) in zip(dates, planned, strict=True) if (y, s) == FAR_SLOT],
        "active_area_m2": {str(year): area for year, area in _areas().items()},
        "files": {p.name: p.stat().st_size for p in (stack.dem, mine, truth)},
    }
    write_text(out / RECORD, json.dumps(record, indent=1))
    return _scene(out, record)


def delete_scenes(scene: DemoScene) -> int:
    """Delete the simulated products of a demonstration; the elevation model, outline and truth stay.

    Parameters
    ----------
    scene : DemoScene
        A product that is not as it was written, and any file that the simulation did not write, stays.

    Returns
    -------
    int
        Bytes that were deleted.
    """
    record = _record(scene.mine.parent)
    deleted = 0
    for name, size in () if record is None else record["products"].items():
        product = scene.scenes / name
        if _size(product) == size and delete(product, name, SAFE_FILES):
            deleted += size
    delete(scene.scenes, SCENES, _NOTHING)  # if it is empty now
    return deleted


def _with_geometry(planned: list[tuple[int, int, Acquisition]], rng: np.random.Generator) -> list[Acquisition]:
    """Give every date a baseline and a start of its bursts, as real repeat passes have."""
    found = []
    for year, slot, acquisition in planned:
        baseline = float(np.clip(rng.normal(0.0, USUAL_BASELINE_M / 2), -USUAL_BASELINE_M, USUAL_BASELINE_M))
        if (year, slot) == FAR_SLOT:
            baseline = FAR_BASELINE_M
        offset = round(float(rng.normal(0.0, 0.002)), 6)
        found.append(
            Acquisition(
                acquisition.template,
                acquisition.days,
                start_offset_s=offset,
                perpendicular_m=baseline,
                parallel_m=float(rng.normal(0.0, 20.0)),
                snow_coherence=acquisition.snow_coherence,
            )
        )
    return found


def _steps(planned: list[tuple[int, int, Acquisition]], rng: np.random.Generator) -> list[MapFunction]:
    """Return the temporal coherence of every step between dates, as map functions."""
    worked = demo_zones()
    regions = {"rock": _rock(), "field": _field(), **{zone.name: zone.outline for zone in worked}}
    ground = ZoneMap({name: _to_lonlat(shape) for name, shape in regions.items()}, EPSG)
    found = []
    for (year, _, before), (next_year, _, after) in itertools.pairwise(planned):
        spans = (after.days - before.days) / 12
        idle = IDLE**spans
        values = {"field": VEGETATION**spans, "rock": ROCK**spans}
        for zone in worked:
            drawn, rests = float(rng.uniform(*DISTURBED)), bool(rng.random() < PAUSE)
            if year == next_year and year in zone.years and not rests:
                values[zone.name] = drawn
        found.append(ground.values(values, background=idle))
    return found


def _field() -> BaseGeometry:
    x, y = CENTRE_M
    return shapely.box(x + 1560, y - 400, x + 2300, y + 600)


def _rock() -> BaseGeometry:
    """Return the ground outside of the pit's rim and of the dumps: untouched rock."""
    x, y = CENTRE_M
    touched = _ellipse(x, y, 900.0, 650.0) | Point(x + 750.0, y - 850.0).buffer(420.0)
    return shapely.box(x - 3000, y - 3000, x + 3000, y + 3000) - touched - _field()


def _areas() -> dict[int, float]:
    outline = mine_outline()
    return {
        year: float(shapely.union_all([z.outline for z in demo_zones() if year in z.years]).intersection(outline).area)
        for year in YEARS
    }


def _write_truth(path: Path, grid: MapGrid) -> Path:
    x, y = np.meshgrid(grid.x, grid.y)
    inside = shapely.contains_xy(mine_outline(), x, y)
    with (
        appears_whole(path) as partial,
        rasterio.open(
            partial, "w", driver="GTiff", dtype="uint8", count=len(YEARS), height=grid.height, width=grid.width,
            crs=grid.crs, transform=grid.transform, nodata=255, compress="deflate",
        ) as target,
    ):  # fmt: skip
        for band, year in enumerate(YEARS, start=1):
            active = np.zeros(grid.shape, dtype=bool)
            for zone in demo_zones():
                if year in zone.years:
                    active |= shapely.contains_xy(zone.outline, x, y)
            target.write(np.where(inside, active, 255).astype(np.uint8), band)
            target.set_band_description(band, f"active_{year}")
        target.update_tags(SIMULATED="YES")
    return path


def _read(out: Path, seed: int) -> DemoScene | None:
    """Return a complete demonstration of this seed that is already there."""
    record = _record(out)
    if record is None or record["version"] != DEMO_VERSION or record["seed"] != seed:
        return None
    if any(_size(out / SCENES / name) != size for name, size in record["products"].items()):
        return None
    if any(_size(out / name) != size for name, size in record["files"].items()):
        return None
    return _scene(out, record)


def _record(out: Path) -> dict[str, Any] | None:
    """Return what an earlier demonstration wrote down in a folder, None if none did."""
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = {"version", "seed", "products", "files", "dates"}
    return record if isinstance(record, dict) and known <= record.keys() else None


def _scene(out: Path, record: Mapping[str, Any]) -> DemoScene:
    """Take the scene from its record."""

    def dates(key: str) -> tuple[dt.date, ...]:
        return tuple(dt.date.fromisoformat(text) for text in record[key])

    return DemoScene(
        out / SCENES,
        out / "dem.tif",
        out / "mine.geojson",
        out / "truth.tif",
        dates("dates"),
        dates("snow_dates"),
        dates("far_dates"),
        {int(year): float(area) for year, area in record["active_area_m2"].items()},
    )


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a product; -1 if there is nothing."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else -1


def _geojson(outline: BaseGeometry) -> str:
    feature = {
        "type": "Feature",
        "properties": {"id": "demo", "name": "Demonstration mine (simulated)"},
        "geometry": mapping(outline),
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}, indent=1)


def _to_lonlat(shape: BaseGeometry) -> BaseGeometry:
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)

    def project(points: FloatArray) -> FloatArray:
        return np.column_stack(to_lonlat.transform(points[:, 0], points[:, 1]))

    return shapely.transform(shapely.segmentize(shape, 200.0), project)


def _ellipse(x: float, y: float, east: float, north: float) -> Polygon:
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    return Polygon(np.column_stack([x + east * np.cos(angle), y + north * np.sin(angle)]))
