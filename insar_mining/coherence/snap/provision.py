"""Everything that SNAP would fetch, laid where it looks, so that it needs no network.

SNAP looks for orbits and the geoid in ``auxdata`` of its user folder, and takes an
elevation model from a file if it is told to.
"""

from __future__ import annotations

import errno
import io
import re
import shutil
import warnings
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.errors import RasterioError

from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.errors import OrbitError, PartialDemWarning
from insar_mining.geo.elevation import read_dem
from insar_mining.geo.geoid import NODE_SPACING_DEG, geoid_undulation_m

DEM_NODATA = -32768.0
"""No height: not 0, which is ground at the height of the sea."""

DEM_MARGIN_DEG = 0.2  # terrain that lies in the same pixels as the area, and SNAP's tiles around it
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
    """An orbit file where SNAP looks for it: value of Apply-Orbit-File's ``orbitType``, and its name there."""

    orbit_type: str
    name: str


def lay_orbit(orbit: Path, userdir: Path) -> LaidOrbit:
    """Copy an orbit file to where SNAP looks for it.

    SNAP tells the platform and the validity of a file by its name, so the copy has the name
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
            f"{orbit.name}: its header calls it {name!r}, which SNAP would not find; give a POEORB or RESORB file as "
            "ESA distributes it"
        )
    folder, orbit_type = ORBIT_TYPES[match["kind"]]
    for month in dict.fromkeys((match["start"], match["stop"])):
        place = userdir / "auxdata" / "Orbits" / "Sentinel-1" / folder / match["platform"] / month[:4] / month[4:]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(orbit, place / f"{name}.EOF")
    return LaidOrbit(orbit_type, f"{name}.EOF")


def _orbit_name(orbit: Path) -> str:
    try:
        root = ElementTree.parse(orbit).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise OrbitError(f"{orbit.name}: cannot be read as an EOF orbit file ({error}); fetch it again") from error
    said = root.findtext("Earth_Explorer_Header/Fixed_Header/File_Name", "").strip()
    return (said or orbit.stem).removesuffix(".EOF")


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


def write_external_dem(plan: CoherencePlan, path: Path) -> Path:
    """Write the plan's elevation model as SNAP takes it: EPSG:4326, metres above EGM96, no zeros for voids.

    Back-Geocoding adds EGM96 to an external model and cannot be told not to, so the heights
    must be above the geoid even where the file was above the ellipsoid.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialDemWarning)  # said already when the plan was made
        dem = read_dem(plan.dem, plan.grid.bounds_lonlat(), margin_deg=DEM_MARGIN_DEG, heights=plan.dem_heights)
    longitude, latitude = np.meshgrid(dem.longitude_deg, dem.latitude_deg)
    height = dem.height_m - geoid_undulation_m(longitude, latitude)
    written = np.where(np.isfinite(height), height, DEM_NODATA).astype(np.float32)
    step_x, step_y = dem.step_lon_deg, dem.step_lat_deg
    try:
        corner = Affine(step_x, 0, dem.west_deg - step_x / 2, 0, -step_y, dem.north_deg + step_y / 2)
        _write_heights(path, written, corner)
    except RasterioError as error:  # in a folder that was made a moment ago: there is no room
        raise OSError(errno.ENOSPC, f"{path} cannot be written whole ({error})") from error
    return path


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
