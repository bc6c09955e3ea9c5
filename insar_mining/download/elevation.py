"""Fetching an elevation model: Copernicus GLO-30, or SRTM 1" as the published method used.

Tiles of one degree are fetched once and kept with their checksum.  A tile that is in the
archive's own list and cannot be fetched is an error.  One that is not in the list is sea, at 0 m
above the geoid, only if that is proven: by the map of land cells that comes with the package
(:mod:`insar_mining.geo.land`), or, near coasts, by the list of GLO-90, which names all land.  Land
that the list lacks (GLO-30 is not public everywhere) gets the heights of GLO-90, with a warning.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import requests
from affine import Affine
from rasterio.fill import fillnodata

from insar_mining.doors import opened_zip, read_member
from insar_mining.download.files import Item, fetch_files
from insar_mining.download.integrity import Expected, checksum, drop_fetched, is_noted, read_note, write_note
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError, DemError, OptionError, PartialDemWarning
from insar_mining.files import appears_whole
from insar_mining.geo import land
from insar_mining.geo.elevation import Dem, read_dem
from insar_mining.geo.land import land_in

logger = logging.getLogger(__name__)

Bounds = tuple[float, float, float, float]

VOID, MEASURED, SEA, FILLED, COARSER = 0, 1, 2, 3, 4
"""Values of the second band: where each height comes from."""

MOST_TILES = 100
FILL_DISTANCE = 30
"""Voids are filled from heights at most so many posts away."""

_ARC_SECOND = 1 / 3600


@dataclass(frozen=True)
class DemSource:
    """Hold an archive of tiles of one degree.

    Attributes
    ----------
    name : str
    list_url, tile_url : str
        ``{tile}`` stands for the tile's name.
    tile_name : str
        With ``{ns}``, ``{lat}``, ``{ew}``, ``{lon}`` of the south-west corner.
    south_deg, north_deg : int
        Latitudes beyond which there is nothing.
    least_tiles : int
        A list with fewer names than this is not whole: taken for whole, it would turn
        land into sea.
    geoid : str
        What the heights refer to.
    fallback : DemSource, optional
        A coarser archive that names all land: what it does not name either is sea.
    """

    name: str
    list_url: str
    tile_url: str
    tile_name: str
    south_deg: int
    north_deg: int
    least_tiles: int
    geoid: str
    fallback: DemSource | None = None

    def tile(self, lon: int, lat: int) -> str:
        """Return the name of the tile whose south-west corner is given."""
        return self.tile_name.format(
            ns="N" if lat >= 0 else "S", lat=f"{abs(lat):02d}", ew="E" if lon >= 0 else "W", lon=f"{abs(lon):03d}"
        )

    @property
    def pattern(self) -> re.Pattern[str]:
        """What tile names look like."""
        return re.compile(self.tile_name.format(ns="[NS]", lat=r"\d\d", ew="[EW]", lon=r"\d{3}"))


GLO90 = DemSource(
    name="glo90",
    list_url="https://copernicus-dem-90m.s3.amazonaws.com/tileList.txt",
    tile_url="https://copernicus-dem-90m.s3.amazonaws.com/{tile}/{tile}.tif",
    tile_name="Copernicus_DSM_COG_30_{ns}{lat}_00_{ew}{lon}_00_DEM",
    south_deg=-90,
    north_deg=90,
    least_tiles=26_000,
    geoid="EGM2008",
)
GLO30 = DemSource(
    name="glo30",
    list_url="https://copernicus-dem-30m.s3.amazonaws.com/tileList.txt",
    tile_url="https://copernicus-dem-30m.s3.amazonaws.com/{tile}/{tile}.tif",
    tile_name="Copernicus_DSM_COG_10_{ns}{lat}_00_{ew}{lon}_00_DEM",
    south_deg=-90,
    north_deg=90,
    least_tiles=26_000,
    geoid="EGM2008",
    fallback=GLO90,
)
SRTM = DemSource(
    name="srtm1",
    list_url="https://step.esa.int/auxdata/dem/SRTMGL1/",
    tile_url="https://step.esa.int/auxdata/dem/SRTMGL1/{tile}.SRTMGL1.hgt.zip",
    tile_name="{ns}{lat}{ew}{lon}",
    south_deg=-56,
    north_deg=60,
    least_tiles=14_000,
    geoid="EGM96",
    fallback=GLO90,
)
SOURCES = {source.name: source for source in (GLO30, SRTM)}


def fetch_dem(
    bounds: Bounds,
    cache: Path | str,
    session: requests.Session,
    *,
    source: DemSource | str = "glo30",
    margin_deg: float = 0.1,
    limits: Limits | None = None,
) -> Path:
    """Fetch the elevation model of an area.

    Parameters
    ----------
    bounds : (west, south, east, north)
        Degrees; east may be above 180.
    cache : path
        Folder for tiles and results; what is there and whole is used again.
    session : requests.Session
        Neither source needs a login.
    source : {"glo30", "srtm1"} or DemSource
    margin_deg : float
        Fetched around the area.

    Returns
    -------
    Path
        A GeoTIFF in EPSG:4326.  Band 1: heights in metres above the geoid, NaN where
        void; :func:`insar_mining.geo.elevation.read_dem` makes ellipsoidal heights of them
        with the EGM96 that comes with the package.  Band 2: where each height is from (0
        void, 1 measured, 2 sea, 3 filled, 4 of the coarser archive).

    Raises
    ------
    DemError
        The area lies beyond the source's latitudes, has no height at all, or holds land of which
        neither the source nor its coarser one has a tile.
    ArchiveError
        The list of tiles is not whole, a tile that it names cannot be fetched, or sea cannot be
        proven because the coarser archive's list cannot be had.

    Warns
    -----
    PartialDemWarning
        Voids were filled, or are too wide to be filled; land has heights of the coarser archive.
    """
    source = _source(source)
    wanted = _wanted(bounds, margin_deg, source)
    cache = Path(cache)
    corners = _corners(wanted)
    names = {corner: source.tile((corner[0] + 180) % 360 - 180, corner[1]) for corner in corners}
    listed = _listed(source, cache, session, limits)
    there = {corner: name for corner, name in names.items() if name in listed}
    coarse = _of_fallback([c for c in corners if c not in there], source, cache, session, limits)
    sea = [corner for corner in corners if corner not in there and corner not in coarse]
    if sea:
        logger.info("%d of %d tiles are not in the list of %s: sea level", len(sea), len(corners), source.name)
    tiles = _tiles(source, sorted(set(there.values())), cache, session, limits)
    if source.fallback is not None and coarse:
        tiles += _tiles(source.fallback, sorted(set(coarse.values())), cache, session, limits)
    target = cache / f"dem_{source.name}_{_key(source, wanted, tiles)}.tif"
    if is_noted(target, Expected(kind="raster")):
        return target
    height, flags, lattice = _merged(tiles, wanted, sea, list(coarse))
    if coarse:
        _say_what_is_coarser(coarse, source)
    _say_what_is_void(flags, source)
    _write(target, height, flags, lattice, source)
    write_note(target, Expected(kind="raster"), source.list_url)
    return target


def _of_fallback(
    absent: Sequence[tuple[int, int]],
    source: DemSource,
    cache: Path,
    session: requests.Session,
    limits: Limits | None,
) -> dict[tuple[int, int], str]:
    """Return the tiles of the coarser archive for cells that may hold land; of all others sea is proven.

    Raises
    ------
    DemError
        A cell holds land, and neither archive has it.
    ArchiveError
        The list of the coarser archive is needed and cannot be had.
    """
    in_doubt = {corner: land_in(*corner) for corner in absent if land_in(*corner) != land.SEA}
    if not in_doubt:
        return {}
    names = {corner: _cell_name(corner) for corner in in_doubt}
    remedy = "give an elevation model of your own (--dem)"
    listed: set[str] = set()
    if source.fallback is not None:
        try:
            listed = _listed(source.fallback, cache, session, limits)
        except ArchiveError as error:
            raise ArchiveError(
                f"{source.name}: has no tile of {', '.join(names.values())}, which may be land, and "
                f"{source.fallback.name} cannot be asked ({error}). Try again later, or {remedy}."
            ) from None
    found = {}
    for corner in in_doubt:
        tile = "" if source.fallback is None else source.fallback.tile((corner[0] + 180) % 360 - 180, corner[1])
        if tile in listed:
            found[corner] = tile
    lost = [names[corner] for corner, what in in_doubt.items() if what == land.LAND and corner not in found]
    if lost:
        raise DemError(f"{source.name}: has no tile of {', '.join(lost)}, which hold land. {remedy.capitalize()}.")
    return found


def _cell_name(corner: tuple[int, int]) -> str:
    """Return the name of a cell as people write it: ``N39E046``."""
    lon, lat = (corner[0] + 180) % 360 - 180, corner[1]
    return f"{'N' if lat >= 0 else 'S'}{abs(lat):02d}{'E' if lon >= 0 else 'W'}{abs(lon):03d}"


def _say_what_is_coarser(coarse: Mapping[tuple[int, int], str], source: DemSource) -> None:
    fallback = "" if source.fallback is None else source.fallback.name
    warnings.warn(
        f"{source.name}: has no tile of {', '.join(map(_cell_name, coarse))}, which hold land; heights there are of "
        f"{fallback}, whose posts are three times as far apart (band 2 of the file is {COARSER} there)",
        PartialDemWarning,
        stacklevel=3,
    )


def _source(source: DemSource | str) -> DemSource:
    if isinstance(source, DemSource):
        return source
    if source not in SOURCES:
        raise OptionError(f"the elevation model {source!r} is unknown; there are {', '.join(SOURCES)}, or any raster")
    return SOURCES[source]


def _wanted(bounds: Bounds, margin_deg: float, source: DemSource) -> Bounds:
    west, south, east, north = bounds
    if not (np.isfinite(bounds).all() and west <= east <= west + 360 and -90 <= south <= north <= 90):
        raise OptionError(f"bounds are {bounds}. Give (west, south, east, north) in degrees.")
    if not 0 <= margin_deg <= 5:
        raise OptionError(f"margin_deg is {margin_deg}; it must be 0 to 5 degrees")
    if south < source.south_deg or north > source.north_deg:
        raise DemError(
            f"{source.name} reaches from {source.south_deg} to {source.north_deg} degrees of latitude, the area from "
            f"{south:.2f} to {north:.2f}. Take glo30, or give an elevation model of your own."
        )
    south, north = max(south - margin_deg, source.south_deg), min(north + margin_deg, source.north_deg)
    return west - margin_deg, south, east + margin_deg, north


def _corners(wanted: Bounds) -> list[tuple[int, int]]:
    """Return south-west corners of the tiles that hold a post of the area."""
    west, south, east, north = wanted
    columns = range(math.floor(west), max(math.ceil(east), math.floor(west) + 1))
    rows = range(math.floor(south), math.ceil(north))
    corners = [(lon, lat) for lat in rows for lon in columns] or [(math.floor(west), math.floor(south))]
    if len(corners) > MOST_TILES:
        raise DemError(f"the area needs {len(corners)} tiles (limit {MOST_TILES}). Take a smaller one.")
    return corners


def _listed(source: DemSource, cache: Path, session: requests.Session, limits: Limits | None) -> set[str]:
    name = f"tiles_{source.name}.txt"
    (outcome,) = fetch_files([Item(source.list_url, name, Expected())], cache, session, limits=limits)
    path = cache / name
    kept = path if path.is_file() else None
    if outcome.path is None and kept is None:
        raise ArchiveError(f"the list of tiles of {source.name} cannot be had: {outcome.reason}")
    names = set(source.pattern.findall(path.read_text(encoding="utf-8", errors="replace")))
    if len(names) < source.least_tiles:
        drop_fetched(path)
        raise ArchiveError(
            f"{source.list_url}: names {len(names):,} tiles, at least {source.least_tiles:,} are known to exist; the "
            "list is not whole, try again later"
        )
    return names


def _tiles(
    source: DemSource, names: Sequence[str], cache: Path, session: requests.Session, limits: Limits | None
) -> list[Path]:
    zipped = source.tile_url.endswith(".zip")
    suffix, kind = (".zip", Expected(kind="zip")) if zipped else (".tif", Expected(kind="raster"))
    items = [Item(source.tile_url.format(tile=name), f"{source.name}/{name}{suffix}", kind) for name in names]
    outcomes = fetch_files(items, cache, session, limits=limits)
    failed = [outcome for outcome in outcomes if outcome.path is None]
    if failed:
        raise ArchiveError(
            f"{len(failed)} of {len(items)} tiles of {source.name} are in its list and cannot be fetched (so they are "
            f"not sea): {failed[0].reason}"
        )
    found = [outcome.path for outcome in outcomes if outcome.path is not None]
    return [_unpacked(path) for path in found] if zipped else found


def _unpacked(path: Path) -> Path:
    target = path.with_suffix(".hgt")
    if is_noted(target, Expected(kind="raster")):
        return target
    try:
        with opened_zip(path) as archive:
            (member,) = [n for n in archive.namelist() if n.lower().endswith(".hgt")]
            content = read_member(archive, member)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ArchiveError(f"{path}: holds no elevation tile ({error}). Delete it, and fetch it again.") from error
    with appears_whole(target) as partial:
        partial.write_bytes(content)
    write_note(target, Expected(kind="raster"), path.name)
    return target


def _key(source: DemSource, wanted: Bounds, tiles: Sequence[Path]) -> str:
    """Return the identity of the result: its area, and the content of the tiles."""
    said = [
        source.name,
        [round(b, 9) for b in wanted],
        [[t.name, (read_note(t) or {}).get("sha256") or checksum(t, "sha256")] for t in tiles],
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Lattice:
    west_deg: float
    north_deg: float
    step_lon_deg: float
    step_lat_deg: float


def _merged(
    tiles: Sequence[Path], wanted: Bounds, sea: Sequence[tuple[int, int]], coarse: Sequence[tuple[int, int]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], _Lattice]:
    """Put tiles on one lattice over all of the area, with sea level where there is no tile; fill small voids."""
    model = _model(tiles, wanted)
    lattice, shape, offset = _whole_lattice(model, wanted)
    height = np.full(shape, np.nan, dtype=np.float32)
    if model is not None:
        rows, columns = model.shape
        height[offset[0] : offset[0] + rows, offset[1] : offset[1] + columns] = model.height_m
    flags = np.where(np.isfinite(height), MEASURED, VOID).astype(np.uint8)
    lon = lattice.west_deg + np.arange(shape[1]) * lattice.step_lon_deg
    lat = lattice.north_deg - np.arange(shape[0]) * lattice.step_lat_deg
    tile_of = np.floor(lat + 1e-9)[:, np.newaxis], np.floor(lon + 1e-9)[np.newaxis]
    for west, south in coarse:
        flags[(tile_of[0] == south) & (tile_of[1] == west) & (flags == MEASURED)] = COARSER
    for west, south in sea:
        inside = (tile_of[0] == south) & (tile_of[1] == west) & (flags == VOID)
        height[inside], flags[inside] = 0.0, SEA
    void = flags == VOID
    if void.any() and not void.all():
        filled = fillnodata(height.copy(), mask=(~void).astype(np.uint8), max_search_distance=FILL_DISTANCE)
        reached = void & _near(~void, FILL_DISTANCE)
        height[reached], flags[reached] = filled[reached], FILLED
    return height, flags, lattice


def _near(known: npt.NDArray[np.bool_], distance: int) -> npt.NDArray[np.bool_]:
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~known) <= distance)


def _model(tiles: Sequence[Path], wanted: Bounds) -> Dem | None:
    """Merge tiles; heights stay above the geoid."""
    if not tiles:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialDemWarning)  # said below, of sea and voids apart
        return read_dem(list(tiles), wanted, margin_deg=0.0, heights="ellipsoid")  # "as they are": no geoid is added


def _whole_lattice(model: Dem | None, wanted: Bounds) -> tuple[_Lattice, tuple[int, int], tuple[int, int]]:
    """Extend a model's lattice over all of the area; return also where its first post lies."""
    west, south, east, north = wanted
    if model is None:
        step = _ARC_SECOND
        start = _Lattice(math.floor(west / step) * step, math.ceil(north / step) * step, step, step)
    else:
        start = _Lattice(model.west_deg, model.north_deg, model.step_lon_deg, model.step_lat_deg)
    left = max(math.ceil((start.west_deg - west) / start.step_lon_deg - 1e-6), 0)
    top = max(math.ceil((north - start.north_deg) / start.step_lat_deg - 1e-6), 0)
    lattice = _Lattice(
        start.west_deg - left * start.step_lon_deg,
        start.north_deg + top * start.step_lat_deg,
        start.step_lon_deg,
        start.step_lat_deg,
    )
    columns = math.ceil((east - lattice.west_deg) / lattice.step_lon_deg - 1e-6) + 1
    rows = math.ceil((lattice.north_deg - south) / lattice.step_lat_deg - 1e-6) + 1
    if model is not None:
        rows, columns = max(rows, top + model.shape[0]), max(columns, left + model.shape[1])
    return lattice, (rows, columns), (top, left)


def _say_what_is_void(flags: npt.NDArray[np.uint8], source: DemSource) -> None:
    filled, void = float((flags == FILLED).mean()), float((flags == VOID).mean())
    if void == 1:
        raise DemError(f"{source.name} has no height in the area. Give an elevation model of your own.")
    if filled or void:
        warnings.warn(
            f"{source.name}: {filled:.2%} of the heights are filled from their neighbours (band 2 of the file is "
            f"{FILLED} there), {void:.2%} are void and too far from any height",
            PartialDemWarning,
            stacklevel=3,
        )


def _write(
    path: Path,
    height: npt.NDArray[np.float32],
    flags: npt.NDArray[np.uint8],
    lattice: _Lattice,
    source: DemSource,
) -> None:
    transform = Affine(
        lattice.step_lon_deg, 0, lattice.west_deg - lattice.step_lon_deg / 2,
        0, -lattice.step_lat_deg, lattice.north_deg + lattice.step_lat_deg / 2,
    )  # fmt: skip
    profile = {
        "driver": "GTiff", "width": height.shape[1], "height": height.shape[0], "count": 2, "dtype": "float32",
        "crs": "EPSG:4326", "transform": transform, "nodata": math.nan, "compress": "deflate", "predictor": 3,
        "tiled": True, "blockxsize": 256, "blockysize": 256,
    }  # fmt: skip
    with appears_whole(path) as partial, rasterio.open(partial, "w", **profile) as file:
        file.write(height, 1)
        file.write(flags.astype(np.float32), 2)
        file.set_band_description(1, f"height above the {source.geoid} geoid, metres")
        file.set_band_description(2, "0 void, 1 measured, 2 sea, 3 filled")
        file.update_tags(SOURCE=source.name, VERTICAL_DATUM=f"{source.geoid} geoid")
