"""The folder of one run of SNAP, and in it all that SNAP would fetch, laid where it looks: it needs no network.

SNAP looks for orbits and the geoid in ``auxdata`` of its user folder, and takes an
elevation model from a file if it is told to.
"""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import re
import shutil
import tempfile
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.snap.settings import SCRATCH, SnapSettings
from insar_mining.doors import parse_xml_file
from insar_mining.errors import (
    DemError,
    InsarMiningError,
    OrbitError,
    OutputError,
    PartialDemWarning,
    SnapDiskError,
    sentence,
)
from insar_mining.files import ANYTHING, SCRATCH_FOLDER, delete
from insar_mining.geo.elevation import Dem, read_dem, tile_reach_deg
from insar_mining.geo.elevation_window import Bounds
from insar_mining.geo.geoid import NODE_SPACING_DEG, geoid_undulation_m

logger = logging.getLogger(__name__)

PLAIN = re.compile(r"[A-Za-z0-9._/+=@-]*")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GIB = 1024**3
RUNNING, FAILED = ".snap-run-", ".snap-failed-"
HELD = ".held"
YOUNG_S = 60.0
KEPT_WHEN_FULL = (".xml", ".log", ".dim")
HEADER = re.compile(r".+\.dim")
DATA = re.compile(r".+\.data")
# what SNAP writes into the .data folder of a product: bands, tie points, vectors
DATA_FILES = re.compile(r"(?:[^/]+/)*[^/]+\.(?:img|hdr|csv|xml|properties)")

EXTERNAL_FILE = re.compile(r"<externalDEMFile>\s*([^<]*?)\s*</externalDEMFile>")
DEM_NODATA = -32768.0
"""No height: not 0, which is ground at the height of the sea."""

DEM_MARGIN_DEG = 0.2  # what is handed over at least, if the model has it
AS_SNAP_READS = (0.5, 0.5)
"""Cells by which the origin of an external model is moved (east, south) before SNAP 13 and 14 read it.

SNAP takes a file's column and row, which count from the corner of the first cell, for those of the first
post.  Measured on 13.0.4 and 14.0.0: every height comes from (0.5003, 0.49995) cells beyond its place, in
Back-Geocoding, Interferogram and Terrain-Correction alike.
"""

ORBIT_TYPES = {
    "AUX_POEORB": ("POEORB", "Sentinel Precise (Auto Download)"),
    "AUX_RESORB": ("RESORB", "Sentinel Restituted (Auto Download)"),
}
ORBIT_NAME = re.compile(
    r"(?P<platform>S1[A-Z])_OPER_(?P<kind>AUX_(?:POE|RES)ORB)_OPOD_\d{8}T\d{6}"
    r"_V(?P<start>\d{6})\d{2}T\d{6}_(?P<stop>\d{6})\d{2}T\d{6}"
)


@dataclass(frozen=True)
class LaidOrbit:
    """Hold an orbit file where SNAP looks for it: value of Apply-Orbit-File's ``orbitType``, and its name there."""

    orbit_type: str
    name: str


def lay_orbit(orbit: Path, userdir: Path) -> LaidOrbit:
    """Copy an orbit file to where SNAP looks for it.

    SNAP takes the platform and the validity of a file from its name, so the copy has the name
    that the file's header states, whatever it is called here.  It goes into the folder of
    the month of the acquisition, which SNAP looks into first: of all months that it covers.

    Raises
    ------
    OrbitError
        The header names neither a precise nor a restituted orbit.
    """
    name = _orbit_name(orbit)
    match = ORBIT_NAME.fullmatch(name)
    if match is None:
        raise OrbitError(
            f"{orbit.name}: its header calls it {name!r}, which SNAP would not find. Give a POEORB or RESORB file as "
            "ESA distributes it."
        )
    folder, orbit_type = ORBIT_TYPES[match["kind"]]
    for month in dict.fromkeys((match["start"], match["stop"])):
        place = userdir / "auxdata" / "Orbits" / "Sentinel-1" / folder / match["platform"] / month[:4] / month[4:]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(orbit, place / f"{name}.EOF")
    return LaidOrbit(orbit_type, f"{name}.EOF")


def _orbit_name(orbit: Path) -> str:
    try:
        root = parse_xml_file(orbit)
    except (OSError, ElementTree.ParseError) as error:
        raise OrbitError(f"{orbit.name}: cannot be read as an EOF orbit file ({error}). Fetch it again.") from error
    name = root.findtext("Earth_Explorer_Header/Fixed_Header/File_Name", "").strip()
    return (name or orbit.stem).removesuffix(".EOF")


def lay_geoid(userdir: Path) -> Path:
    """Write the EGM96 grid that every use of an elevation model in SNAP starts by reading."""
    target = userdir / "auxdata" / "dem" / "egm96" / "ww15mgh_b.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(geoid_zip())
    return target


@lru_cache(maxsize=1)
def geoid_zip() -> bytes:
    """Return NGA's WW15MGH.GRD, zipped, made of the package's own grid.

    SNAP counts characters and lines instead of reading numbers: a header line of 73
    characters and an empty one, then for each parallel from 90 N to 90 S nine blocks of
    20 lines with 8 numbers, each block followed by an empty line, and the value at 360 E
    on a line of its own followed by another.
    """
    rows, columns = round(180 / NODE_SPACING_DEG) + 1, round(360 / NODE_SPACING_DEG)
    longitude = np.arange(columns + 1) * NODE_SPACING_DEG
    lines = ["%9.3f" * 8 + " "] * 20
    form = "\n".join(("\n".join(lines) + "\n",) * 9) + "\n%9.3f \n"
    header = f"{'%12.6f' * 6}" % (-90, 90, 0, 360, NODE_SPACING_DEG, NODE_SPACING_DEG)
    text = [f"{header:<73}\n\n"]
    for row in range(rows):
        values = geoid_undulation_m(longitude, 90 - row * NODE_SPACING_DEG)
        text.append(form % tuple(values.tolist()) + "\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("ww15mgh_b.grd", "".join(text))
    return packed.getvalue()


def read_external_dem(plan: CoherencePlan) -> Dem:
    """Read the plan's elevation model as far around the grid as SNAP needs it.

    Raises
    ------
    DemError
        The model ends too early on some side.

    Warns
    -----
    PartialDemWarning
        Some heights within reach are void: SNAP takes the geoid there.
    """
    area = plan.grid.bounds_lonlat()

    def read(margin_deg: float) -> Dem:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PartialDemWarning)  # of the area, which the plan warned of
            return read_dem(plan.elevation.path, area, margin_deg=margin_deg, heights=plan.elevation.heights)

    dem = read(DEM_MARGIN_DEG)
    needed = max(_reach_for(dem, area))
    if needed > DEM_MARGIN_DEG:  # near the poles
        dem = read(min(needed + dem.step_lon_deg, 10.0))
    refuse_short_reach(dem, area)
    return dem


def write_external_dem(dem: Dem, path: Path) -> Path:
    """Write an elevation model as SNAP 13 and 14 take it.

    EPSG:4326, metres above EGM96, no zeros for voids, origin moved by half a cell (:data:`AS_SNAP_READS`).
    Back-Geocoding adds EGM96 to an external model and cannot be told not to, so the heights
    must be above the geoid even where the file was above the ellipsoid.
    """
    longitude, latitude = np.meshgrid(dem.longitude_deg, dem.latitude_deg)
    height = dem.height_m - geoid_undulation_m(longitude, latitude)
    written = np.where(np.isfinite(height), height, DEM_NODATA).astype(np.float32)
    east, south = AS_SNAP_READS
    step_x, step_y = dem.step_lon_deg, dem.step_lat_deg
    # the corner of the first cell lies half a cell north-west of the first post
    west, north = dem.west_deg + (east - 0.5) * step_x, dem.north_deg - (south - 0.5) * step_y
    try:
        _write_heights(path, written, Affine(step_x, 0, west, 0, -step_y, north))
    except RasterioError as error:  # in a folder that was made a moment ago: there is no room
        raise OSError(errno.ENOSPC, f"{path} cannot be written whole ({error})") from error
    return path


def _reach_for(dem: Dem, area: Bounds) -> tuple[float, float]:
    """Compute how far the model must reach east and north of the area, degrees."""
    return tile_reach_deg(max(abs(area[1]), abs(area[3])), float(np.nanmax(np.abs(dem.height_m))))


def refuse_short_reach(dem: Dem, area: Bounds) -> None:
    """Refuse an elevation model that ends so near to the area that SNAP leaves topographic phase in."""
    known = np.isfinite(dem.height_m)
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    lon, lat = dem.longitude_deg[columns[[0, -1]]], dem.latitude_deg[rows[[-1, 0]]]
    far_lon, far_lat = _reach_for(dem, area)
    sides = {
        "west": (area[0] - lon[0], far_lon, dem.step_lon_deg),
        "south": (area[1] - lat[0], far_lat, dem.step_lat_deg),
        "east": (lon[1] - area[2], far_lon, dem.step_lon_deg),
        "north": (lat[1] - area[3], far_lat, dem.step_lat_deg),
    }
    short = [
        f"{side} {reach:.3f} degrees (limit {need:.3f})"
        for side, (reach, need, step) in sides.items()
        if reach < need - 1.5 * step  # posts of a model cut at the limit lie inside of it
    ]
    if short:
        raise DemError(
            f"{dem.source}: ends too near to the area for SNAP, which would leave topographic phase in: "
            f"{', '.join(short)}. Give a model that reaches {max(far_lon, far_lat):.2f} degrees beyond the area on all "
            "sides, or use --engine builtin, which needs the area alone"
        )
    inside = (abs(dem.latitude_deg - (area[1] + area[3]) / 2) <= (area[3] - area[1]) / 2 + far_lat)[:, np.newaxis] & (
        abs(dem.longitude_deg - (area[0] + area[2]) / 2) <= (area[2] - area[0]) / 2 + far_lon
    )
    void = 1 - float(known[inside].mean())
    if void:
        warnings.warn(
            f"{dem.source}: {void:.2%} of the ground within reach of the area has no height; SNAP takes the geoid for "
            "it. Fill the voids",
            PartialDemWarning,
            stacklevel=3,
        )


def with_moved_dems(graph: str, work: Workspace) -> str:
    """Return a graph whose external elevation models are copies that SNAP reads in their places."""
    copies: dict[str, Path] = {}
    for file in dict.fromkeys(EXTERNAL_FILE.findall(graph)):
        copies[file] = work.path / f"dem-{len(copies)}.tif"
        move_dem(Path(unescape(file)), copies[file])
    return EXTERNAL_FILE.sub(lambda match: match[0].replace(match[1], str(copies[match[1]])), graph)


def move_dem(path: Path, target: Path) -> None:
    """Copy an elevation model with its origin moved as SNAP 13 and 14 need it; heights stay as they are.

    Raises
    ------
    DemError
        It cannot be read.
    """
    try:
        copy_raster(path, target, driver="GTiff")
        with rasterio.open(target, "r+") as source:
            t = source.transform
            east, south = AS_SNAP_READS
            source.update_tags(AREA_OR_POINT="Area")
            source.transform = Affine(
                t.a, t.b, t.c + east * t.a + south * t.b, t.d, t.e, t.f + east * t.d + south * t.e
            )
    except RasterioError as error:
        raise DemError(f"{path}: cannot be copied for SNAP ({error}). Give a readable GeoTIFF") from error


def _write_heights(path: Path, heights: npt.NDArray[np.float32], transform: Affine) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=heights.shape[0],
        width=heights.shape[1],
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=transform,
        nodata=DEM_NODATA,
    ) as target:
        target.write(heights, 1)
    # GDAL writes the last of it when it closes the file, and says nothing if it cannot
    with rasterio.open(path) as source:
        if not np.array_equal(source.read(1), heights):
            raise RasterioError("it is not what was written")


@dataclass(frozen=True)
class Workspace:
    """Hold the scratch folder of one pair, or of one graph.

    Attributes
    ----------
    real : Path
        Where the files lie, and what a message names.
    path : Path
        The same folder by a name without a character that SNAP, its launcher or its
        graphs might not take (spaces, ``$``, letters beyond ASCII).
    """

    real: Path
    path: Path

    def link(self, target: Path, name: str) -> Path:
        """Make something reachable inside the workspace under a plain name."""
        (self.real / name).symlink_to(target.resolve())
        return self.path / name

    def discard(self, product: Path) -> None:
        """Delete an intermediate product that is no longer needed."""
        discard(product)


def discard(product: Path) -> None:
    """Delete a BEAM-DIMAP product, or what there is of it."""
    delete(product, HEADER)
    delete(product.with_suffix(".data"), DATA, DATA_FILES)


@contextmanager
def workspace(parent: Path, name: str, settings: SnapSettings, needed_bytes: int) -> Iterator[Workspace]:
    """Yield a new folder; delete it afterwards unless something failed.

    What failed pairs leave behind is kept for the newest `keep_failed` of them; what a
    process that was killed has left is deleted when the next pair begins.

    Parameters
    ----------
    parent : Path
        Where to make it.
    name : str
        What it is for: the pair, or the graph.
    needed_bytes : int
        Room that must be free there.

    Raises
    ------
    SnapDiskError
        There is no room, before or during the work.
    OutputError
        The folder cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        free = shutil.disk_usage(parent).free
        if free < needed_bytes:
            raise SnapDiskError(
                f"{parent} has {free / GIB:.1f} GiB free, SNAP needs about {needed_bytes / GIB:.1f} GiB for "
                f"{name}. Free space there, or set {SCRATCH} to a folder on a larger disk."
            )
        real = parent.resolve() / f"{RUNNING}{name}-{uuid.uuid4().hex[:8]}"
        real.mkdir(mode=0o700)
    except OSError as error:
        raise OutputError(
            f"cannot make a folder for SNAP in {parent}: {error}. Set {SCRATCH} to another folder."
        ) from error
    with _held(real), _door(real) as path:
        try:
            yield Workspace(real, path)
        except InsarMiningError as error:
            kept = _keep(real, settings.keep_failed, full=isinstance(error, SnapDiskError))
            raise type(error)(f"{sentence(error)} {kept}.") from error
        except OSError as error:
            full = error.errno in FULL
            kept = _keep(real, settings.keep_failed, full=full)
            if full:
                raise SnapDiskError(
                    f"{error}: the disk of {real.parent} is full. Free space there, or set {SCRATCH} to a folder on a "
                    f"larger disk. {kept}."
                ) from error
            raise OutputError(f"cannot work in {real.parent}: {error}. {kept}.") from error
        finally:
            # it is of no use after success, nor after an interruption
            delete(real, SCRATCH_FOLDER, ANYTHING)


@contextmanager
def _held(real: Path) -> Iterator[None]:
    """Hold a folder for this process, so that others can tell it from one that was abandoned."""
    with ExitStack() as stack:
        with suppress(OSError):  # no room for it, or a file system without locks: then it is never swept
            handle = stack.enter_context((real / HELD).open("w", encoding="utf-8"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def _door(real: Path) -> Iterator[Path]:
    """Give a folder a name that needs no quoting: its own, else a link where the system has its temporary files."""
    if PLAIN.fullmatch(str(real)):
        yield real
        return
    place = tempfile.gettempdir() if PLAIN.fullmatch(tempfile.gettempdir()) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="insar-mining-", dir=place, ignore_cleanup_errors=True) as folder:
        link = Path(folder) / "work"
        link.symlink_to(real)
        yield link


def sweep(parent: Path) -> None:
    """Delete the folders of pairs whose process has ended without a word (kill -9, a power cut)."""
    for folder in _scratch_folders(parent, RUNNING):
        with suppress(OSError), (folder / HELD).open("r+", encoding="utf-8") as handle:
            if time.time() - os.fstat(handle.fileno()).st_mtime < YOUNG_S:
                continue  # it may be on its way to being held
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            logger.info("%s was left by a process that is no more; it is deleted", folder)
            delete(folder, SCRATCH_FOLDER, ANYTHING)


def _scratch_folders(parent: Path, kind: str) -> list[Path]:
    """Return folders of SNAP's intermediate products: running, or kept of failures."""
    return [
        folder
        for folder in parent.glob(f"{kind}*")
        if SCRATCH_FOLDER.fullmatch(folder.name) and not folder.is_symlink()
    ]


def _keep(real: Path, number: int, *, full: bool) -> str:
    """Leave what helps to understand a failure under a name of its own (on a full disk text only), and say where."""
    if number == 0:
        return "What SNAP left was deleted (--snap keep_failed=1 keeps it)"
    delete(real / "userdir", ANYTHING, ANYTHING)  # SNAP's caches and our copies of orbits and geoid
    delete(real / HELD, ANYTHING)
    for copy in real.glob("imageio*.tmp"):  # of measurements, by SNAP's reader
        delete(copy, ANYTHING)
    if full:
        for path in real.rglob("*"):
            if path.suffix not in KEPT_WHEN_FULL:
                delete(path, ANYTHING)
    kept = real.with_name(FAILED + real.name.removeprefix(RUNNING))
    real.rename(kept)
    _forget_older(real.parent, number)
    logger.warning("what SNAP left is kept in %s", kept)
    return f"What SNAP left is kept in {kept} (of the newest {number} failures there; --snap keep_failed=N changes it)"


def _forget_older(parent: Path, number: int) -> None:
    """Delete all but the newest of the failures that lie in a folder."""
    ages = {}
    for folder in _scratch_folders(parent, FAILED):
        with suppress(OSError):  # another process may be at it too
            ages[folder] = folder.stat().st_mtime_ns
    for folder in sorted(ages, key=lambda f: ages[f], reverse=True)[number:]:
        delete(folder, SCRATCH_FOLDER, ANYTHING)
