"""The window of one elevation file, as it is: heights in metres with NaN for void, on the file's own lattice.

GDAL gives the outer corner of the first cell whatever the file's convention is (it moves
files tagged AREA_OR_POINT=Point by half a cell).  Transforms here lead from corners too;
half a cell is added in one place only, where a lattice of posts is made of them.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from insar_mining.doors import HEIGHT_FORMATS, guarded, open_raster
from insar_mining.errors import DemError

Bounds = tuple[float, float, float, float]
Heights = Literal["auto", "orthometric", "ellipsoid"]

# from below the Dead Sea's shore (-430 m) to above Everest: outside of it a number is a code for "no height"
LOWEST_M, HIGHEST_M = -500.0, 9000.0
# some 15 bytes are needed for each post; real heights of packed files take more than a tenth of a byte each
MAX_POSTS, FREE_POSTS, POSTS_PER_BYTE = 400_000_000, 30_000_000, 10
RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".hgt", ".img", ".dt1", ".dt2", ".asc")
UNITS_M = {
    **dict.fromkeys(("", "m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
    **dict.fromkeys(("us survey foot", "us-ft", "ftus"), 1200 / 3937),
}

WGS84 = CRS.from_epsg(4326)


def apply(transform: Affine, column: Any, row: Any) -> tuple[Any, Any]:
    """Return the image of points, numbers or arrays, under an affine transform."""
    t = transform
    return t.a * column + t.b * row + t.c, t.d * column + t.e * row + t.f


def starting_at(transform: Affine, column: int, row: int) -> Affine:
    """Transform of the part of a grid that starts at a column and a row."""
    t = transform
    x, y = apply(t, column, row)
    return Affine(t.a, t.b, x, t.d, t.e, y)


@dataclass(frozen=True)
class HeightReference:
    """Hold what heights are counted from, and how it is known: ``asked``, ``stated``, ``name`` or ``assumed``."""

    is_ellipsoid: bool
    known_by: str

    def __str__(self) -> str:
        return f"{'ellipsoid' if self.is_ellipsoid else 'orthometric'} ({self.known_by})"


@dataclass(frozen=True, eq=False)
class HeightPiece:
    """Hold heights as read, metres with NaN for void, on the file's own lattice.

    `transform` leads from (column, row) of cell corners to coordinates of `crs`.
    """

    height_m: npt.NDArray[np.float32]
    transform: Affine
    crs: CRS
    reference: HeightReference

    @property
    def ellipsoidal(self) -> bool:
        """Whether heights are above the ellipsoid, not the geoid."""
        return self.reference.is_ellipsoid

    @property
    def is_lonlat(self) -> bool:
        """Whether rows and columns already are parallels and meridians of WGS 84."""
        t = self.transform
        return is_wgs84(self.crs) and t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0

    def lonlat_bounds(self) -> Bounds:
        """Return (west, south, east, north) of the cells' outer edges, degrees."""
        rows, columns = self.height_m.shape
        return _lonlat_bounds(self.transform, columns, rows, self.crs)


def is_wgs84(crs: CRS) -> bool:
    """Return whether a horizontal CRS is EPSG:4326 (whatever its axis order: rasters are x, y)."""
    return bool(crs.equals(WGS84, ignore_axis_order=True))


def read_window(path: Path, wanted: Bounds, heights: Heights) -> tuple[HeightPiece | None, Bounds]:
    """Read what a file holds of the wanted degrees; also return the file's extent in degrees."""
    _check_file(path)
    # a user's GTIFF_POINT_GEO_IGNORE would bring the half-cell shift back
    with rasterio.Env(GTIFF_POINT_GEO_IGNORE="NO"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # an error below, with the remedy
        with guarded(DemError, path, "Download or export it again."):
            try:
                with open_raster(path, HEIGHT_FORMATS) as file:
                    return _window_of(file, path, wanted, heights)
            except RasterioError as error:
                raise DemError(f"{path}: cannot be read as a raster ({error}). Download or export it again.") from error


def check_size(posts: int, source: str, free: int = MAX_POSTS) -> None:
    """Refuse more posts than fit in the memory of a small machine, or than what they are made from can hold.

    Parameters
    ----------
    posts : int
    free : int
        What the files can hold, at least `FREE_POSTS`.
    """
    limit = min(MAX_POSTS, max(FREE_POSTS, free))
    if posts > limit:
        raise DemError(
            f"{source}: the area has {posts:,} posts, the limit is {limit:,}. Take a smaller area or coarser model."
        )


def _check_file(path: Path) -> None:
    if not path.exists():
        raise DemError(f"{path}: there is no such elevation model. Check the spelling and the folder.")
    if path.stat().st_size == 0:
        raise DemError(f"{path}: the file is empty (0 bytes). Download it again.")


def _window_of(
    file: rasterio.DatasetReader, path: Path, wanted: Bounds, heights: Heights
) -> tuple[HeightPiece | None, Bounds]:
    if not all(math.isfinite(value) for value in file.transform):
        raise DemError(f"{path}: its geotransform is not finite ({tuple(file.transform)[:6]}). Export it again")
    if file.transform.determinant == 0:
        raise DemError(f"{path}: its cells have no area ({tuple(file.transform)[:6]}). Export it again")
    if file.crs is None or file.transform.is_identity:
        missing = "coordinate system" if file.crs is None else "geotransform"
        raise DemError(
            f"{path}: has no {missing}. Add it (gdal_translate -a_srs EPSG:... -a_ullr ...) or use another file."
        )
    if file.dtypes[0].startswith("complex"):
        raise DemError(f"{path}: holds complex numbers ({file.dtypes[0]}), not heights. Give an elevation model.")
    full_crs = CRS.from_wkt(file.crs.to_wkt(version="WKT2_2019"))
    crs, transform = full_crs.to_2d(), file.transform
    extent = _lonlat_bounds(transform, file.width, file.height, crs)
    turns = _turns_between(extent, wanted)
    extent = (extent[0] + turns, extent[1], extent[2] + turns, extent[3])
    if extent[0] > wanted[2] or extent[2] < wanted[0] or extent[1] > wanted[3] or extent[3] < wanted[1]:
        return None, extent
    if is_wgs84(crs):
        transform = Affine(transform.a, transform.b, transform.c + turns, *transform[3:6])
        corners = wanted
    else:
        corners = _reprojected(wanted, WGS84, crs)
    window = _window_around(corners, transform, file.width, file.height)
    if window is None:
        return None, extent
    held = sum(Path(name).stat().st_size for name in file.files if Path(name).is_file())
    check_size(window.width * window.height, str(path), POSTS_PER_BYTE * held)
    height = _metres(file, path, window, full_crs)
    transform = starting_at(transform, window.col_off, window.row_off)
    if is_wgs84(crs) and transform.e > 0 and transform.b == 0 and transform.d == 0:  # south-up
        height = height[::-1]
        transform = Affine(transform.a, 0, transform.c, 0, -transform.e, transform.f + window.height * transform.e)
    return HeightPiece(height, transform, crs, _reference(file, path, full_crs, heights)), extent


def _lonlat_bounds(transform: Affine, width: int, height: int, crs: CRS) -> Bounds:
    x, y = zip(*(apply(transform, c, r) for c in (0, width) for r in (0, height)), strict=True)
    box = (min(x), min(y), max(x), max(y))
    if is_wgs84(crs):
        return box
    west, south, east, north = _reprojected(box, crs, WGS84)
    return west, south, east + 360 if east < west else east, north  # PROJ's way to say: across the antimeridian


def _reprojected(box: Bounds, source: CRS, target: CRS) -> Bounds:
    """Return the smallest box that holds a box of another CRS; infinite if it has no image there."""
    try:
        west, south, east, north = Transformer.from_crs(source, target, always_xy=True).transform_bounds(
            *box, densify_pts=21
        )
    except ProjError:
        return math.inf, math.inf, math.inf, math.inf
    return west, south, east, north


def _turns_between(extent: Bounds, wanted: Bounds) -> float:
    """Return the multiple of 360 degrees that brings a file nearest to the area (0..360, antimeridian)."""
    apart = (wanted[0] + wanted[2] - extent[0] - extent[2]) / 2
    return 360.0 * round(apart / 360) if math.isfinite(apart) else 0.0


def _window_around(box: Bounds, transform: Affine, width: int, height: int) -> Window | None:
    """Return the cells whose centres lie in a box of the file's CRS, and two more on each side."""
    if not all(math.isfinite(b) for b in box):
        return None
    inverse = ~transform
    corners = [apply(inverse, x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    columns, rows = zip(*corners, strict=True)
    if max(columns) <= 0 or max(rows) <= 0 or min(columns) >= width or min(rows) >= height:
        return None
    left, top = max(math.floor(min(columns)) - 2, 0), max(math.floor(min(rows)) - 2, 0)
    right, bottom = min(math.ceil(max(columns)) + 2, width), min(math.ceil(max(rows)) + 2, height)
    return Window(left, top, right - left, bottom - top)


def _metres(file: rasterio.DatasetReader, path: Path, window: Window, crs: CRS) -> npt.NDArray[np.float32]:
    """Read heights in metres, NaN where there is none."""
    raw = file.read(1, window=window, masked=True)
    height = np.asarray(raw.astype(np.float32).filled(np.nan))
    factor = _unit_m(file.units[0], path, crs)
    if (file.scales[0], file.offsets[0], factor) != (1.0, 0.0, 1.0):
        height = ((height * file.scales[0] + file.offsets[0]) * factor).astype(np.float32)
    with np.errstate(invalid="ignore"):
        height[~((height >= LOWEST_M) & (height <= HIGHEST_M))] = np.nan
    return height


def _unit_m(unit: str | None, path: Path, crs: CRS) -> float:
    """Return metres per unit of height: of the band if it states them, else of the vertical CRS, else 1."""
    if unit is None and len(crs.axis_info) == 3:
        return float(crs.axis_info[2].unit_conversion_factor)
    name = (unit or "").strip().lower()
    if name not in UNITS_M:
        raise DemError(f"{path}: heights in {unit!r}; only metres and feet are understood, convert the file to metres")
    return UNITS_M[name]


def _reference(file: rasterio.DatasetReader, path: Path, crs: CRS, heights: Heights) -> HeightReference:
    """Find out what heights are counted from; where nothing says it they are taken as above the geoid."""
    if heights != "auto":
        return HeightReference(heights == "ellipsoid", "asked")
    vertical = crs.sub_crs_list[1:] if crs.is_compound else []
    if vertical:
        return HeightReference("ellipsoid" in vertical[0].name.lower(), "stated")
    if crs.is_geographic and len(crs.axis_info) == 3:
        return HeightReference(True, "stated")
    said = " ".join([*file.tags().values(), *file.tags(1).values(), file.descriptions[0] or ""]).lower()
    if any(word in said for word in ("geoid", "orthometric", "egm", "mean sea")):
        return HeightReference(False, "stated")
    if "ellipsoid" in said:
        return HeightReference(True, "stated")
    # ISCE and dem-stitcher's users name ellipsoidal models so, and say it nowhere else
    if re.search(r"\.wgs84\b|ellipsoid", path.name.lower()):
        return HeightReference(True, "name")
    return HeightReference(False, "assumed")
