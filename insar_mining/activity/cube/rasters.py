"""Coherence rasters as files: what each says of itself, and the pixels of a window."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from insar_mining.activity.cube.containers import Kind, Layer, kind_of, polarisation_of
from insar_mining.activity.cube.dates import DatePair, dates_of_raster, product_dates_in_name
from insar_mining.doors import one_line
from insar_mining.errors import RasterError
from insar_mining.geo.cells import horizontal_crs
from insar_mining.geo.grid import RasterGrid
from insar_mining.geo.raster_input import open_raster

Zero = Literal["nodata", "value"]

# tags of rasters of this package
OWN_TAGS = ("PLAN_SHA256", "ENGINE")

# settings that must not differ within a stack, as far as the rasters record them; the engine may
SETTINGS = (
    "WINDOW",
    "WINDOW_AZIMUTH",
    "WINDOW_RANGE",
    "WINDOW_ANCHOR",
    "REMOVE_TOPOGRAPHY",
    "PHASES_REMOVED",
    "POLARISATION",
    "RELATIVE_ORBIT",
    "INSAR_PROCESSOR",
)

# coherence may leave 0..1 by rounding, by no more than this; it is then put back to the limit
RANGE_TOLERANCE = 1e-4
# a few values may lie further above 1, by the estimator or a resampling; these are put back and counted
MOST_ABOVE = 1.01

# side of the sample of each raster that is looked at when a stack is opened
SAMPLE = 512

# LiCSAR writes coherence as bytes, 255 of which are 1, without a note in the file
LICSAR = re.compile(r"\.geo\.cc$", re.IGNORECASE)
# formats that may have no CRS although their maps are in degrees
SILENT_DRIVERS = ("ISCE", "ROI_PAC", "VRT", "netCDF")
# name of a LiCSAR frame: relative orbit, direction, place
FRAME = re.compile(r"(?<![A-Za-z0-9])(\d{3}[AD])_\d{5}_\d{6}(?!\d)")


@dataclass(frozen=True)
class CoherenceRaster:
    """Hold one map of a stack, as its file describes it.

    Attributes
    ----------
    path : Path
    dataset : Path or str
        What is opened: the file, or a part of it.
    drivers : sequence of str, optional
    pair : DatePair
    grid : RasterGrid
        North-up, also of a file that is not.
    band : int
    label : str
        Description of the band, or name of the variable.
    kind : {"coherence", "other", "unknown"}
        What its names call it.
    polarisation, frame : str or None
        As far as names and tags tell.
    own : bool
        Written by this package.
    nodata : float or None
        The value that the file declares to be nodata.
    zero_is_nodata : bool
        Whether an exact 0 becomes NaN.
    scale, offset : float
        Of the stored numbers.
    settings : mapping
        What the file records of how it was made.
    perpendicular_baseline_m : float
        NaN when not recorded.
    block : (int, int)
        Rows and columns of the file's blocks.
    south_up : bool
        The file's first row is its southernmost.
    origin : (int, int)
        Row and column of its first cell on the grid of its stack.
    crs_assumed : bool
        The file says no CRS, and its coordinates can only be degrees.
    """

    path: Path
    dataset: Path | str
    drivers: tuple[str, ...] | None
    pair: DatePair
    grid: RasterGrid
    band: int
    label: str
    kind: Kind
    polarisation: str | None
    frame: str | None
    own: bool
    nodata: float | None
    zero_is_nodata: bool
    scale: float
    offset: float
    settings: Mapping[str, str]
    perpendicular_baseline_m: float
    block: tuple[int, int]
    south_up: bool = False
    origin: tuple[int, int] = (0, 0)
    crs_assumed: bool = False


@dataclass(frozen=True)
class PixelCounts:
    """Hold counts of pixels that were read.

    Attributes
    ----------
    pixels : int
    zeros : int
        Exact zeros that became NaN.
    above : int
        Values above 1 that became 1, beyond rounding.
    whole : bool
        All pixels were read, not a sample of them.
    """

    pixels: int
    zeros: int
    above: int
    whole: bool = True

    def __add__(self, other: PixelCounts) -> PixelCounts:
        """Add two counts."""
        return PixelCounts(
            self.pixels + other.pixels, self.zeros + other.zeros, self.above + other.above, self.whole and other.whole
        )


NOTHING = PixelCounts(0, 0, 0)


class NotCoherenceError(RasterError):
    """A file that is not a coherence raster of a pair, and can be left out of a stack."""


class UnmappedError(RasterError):
    """A raster of a pair that lies on no map; it matters only if nothing else is there of the pair."""

    def __init__(self, message: str, pair: DatePair) -> None:
        super().__init__(message)
        self.pair = pair


def read_header(layer: Layer, zero: Zero, scale: float | None = None, root: Path | None = None) -> CoherenceRaster:
    """Read what a map says of itself.

    Parameters
    ----------
    layer : Layer
    zero : {"nodata", "value"}
    scale : float, optional
        Stored number that stands for a coherence of 1, where the file does not say.
    root : Path, optional
        Names of folders below it may give dates and polarisation.

    Raises
    ------
    NotCoherenceError
        It cannot be opened, or has no two dates.
    UnmappedError
        It has dates but no place on a map.
    RasterError
        It is complex, rotated, or its dates disagree.
    """
    path = layer.path
    with ExitStack() as opened:
        try:
            source = opened.enter_context(open_raster(layer.dataset, layer.drivers))
        except RasterioError as error:
            raise NotCoherenceError(f"{path}: not a raster that can be opened ({one_line(error)})") from error
        tags = source.tags()
        pair = layer.pair or dates_of_raster(path, tags, root)
        if pair is None:
            raise NotCoherenceError(_undated(path))
        index = layer.band - 1
        if source.dtypes[index].startswith("complex"):
            raise RasterError(f"{path}: band {layer.band} is complex. Give its coherence (magnitude, 0 to 1).")
        grid, south_up = _grid_of(layer, source, pair)
        own = any(tag in tags for tag in OWN_TAGS)
        factor, offset = _scaling(layer, source, scale)
        folders = [folder.name for folder in path.parents if root is not None and root in folder.parents]
        named = kind_of(layer.label)
        settings = {name: tags[name] for name in SETTINGS if name in tags}
        frame = next((found[0] for name in (path.stem, *folders) if (found := FRAME.search(name))), None)
        return CoherenceRaster(
            path=path,
            dataset=layer.dataset,
            drivers=layer.drivers,
            pair=pair,
            grid=grid,
            band=layer.band,
            label=layer.label,
            kind=kind_of(path.stem) if named == "unknown" else named,
            polarisation=settings.get("POLARISATION") or polarisation_of(layer.label, path.stem, *folders),
            frame=frame,
            own=own,
            nodata=source.nodatavals[index] if layer.nodata is None else layer.nodata,
            zero_is_nodata=zero == "nodata" and not own,
            scale=factor,
            offset=offset,
            settings=settings,
            perpendicular_baseline_m=_number(tags.get("PERPENDICULAR_BASELINE_M", "nan")),
            block=source.block_shapes[index],
            south_up=south_up,
            crs_assumed=layer.crs is None and not source.crs,
        )


def read_window(
    raster: CoherenceRaster, rows: slice, cols: slice, out_shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[np.float32], PixelCounts]:
    """Read the coherence of a window, NaN where there is none.

    Parameters
    ----------
    raster : CoherenceRaster
    rows, cols : slice
        Of the grid of the stack; beyond the file there is none.
    out_shape : (int, int), optional
        Read every n-th pixel only, to this shape.

    Returns
    -------
    values : ndarray of float32, shape (rows, cols)
    counts : PixelCounts

    Raises
    ------
    RasterError
        The file cannot be read, or has values that are not coherence.
    """
    top, left = (max(0, -origin + part.start) for origin, part in zip(raster.origin, (rows, cols), strict=True))
    bottom = min(raster.grid.height, rows.stop - raster.origin[0])
    right = min(raster.grid.width, cols.stop - raster.origin[1])
    shape = out_shape or (rows.stop - rows.start, cols.stop - cols.start)
    if top >= bottom or left >= right:
        return np.full(shape, np.nan, np.float32), replace(NOTHING, pixels=math.prod(shape))
    values, counts = _read(raster, slice(top, bottom), slice(left, right), out_shape)
    if values.shape != shape:
        whole = np.full(shape, np.nan, np.float32)
        row, col = top + raster.origin[0] - rows.start, left + raster.origin[1] - cols.start
        whole[row : row + values.shape[0], col : col + values.shape[1]] = values
        values = whole
    return values, counts


def _read(
    raster: CoherenceRaster, rows: slice, cols: slice, out_shape: tuple[int, int] | None
) -> tuple[npt.NDArray[np.float32], PixelCounts]:
    """Read a window of a file, north-up."""
    if raster.south_up:
        rows = slice(raster.grid.height - rows.stop, raster.grid.height - rows.start)
    window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    try:
        with open_raster(raster.dataset, raster.drivers) as source:
            stored = source.read(raster.band, window=window, out_shape=out_shape)
            flags = set(source.mask_flag_enums[raster.band - 1])
            # the mask of a nodata value follows from the values; reading it would read them again
            valid = None
            if not flags <= {MaskFlags.all_valid, MaskFlags.nodata}:
                valid = source.read_masks(raster.band, window=window, out_shape=out_shape) > 0
    except RasterioError as error:
        raise RasterError(f"{raster.path}: cannot be read ({one_line(error)}). Copy or make it again.") from error
    absent = np.zeros(stored.shape, np.bool_) if valid is None else ~valid
    # a declared nodata of 0 adds nothing to the exact zero that the caller may have asked to keep
    if raster.nodata is not None and raster.nodata != 0 and not np.isnan(raster.nodata):
        absent |= stored == np.asarray(raster.nodata).astype(stored.dtype)
    zeros = 0
    if raster.zero_is_nodata:
        zero = stored == 0
        zeros = int(np.count_nonzero(zero))
        absent |= zero
    values = stored.astype(np.float32)
    if raster.scale != 1 or raster.offset != 0:
        values = values * np.float32(raster.scale) + np.float32(raster.offset)
    values[absent] = np.nan
    values, above = _checked(raster, values, stored)
    return values[::-1] if raster.south_up else values, PixelCounts(values.size, zeros, above)


def look(raster: CoherenceRaster, rows: slice, cols: slice) -> PixelCounts:
    """Check the range of a sample of a window (all of it if it is small) and count what was changed.

    Raises
    ------
    RasterError
        As in `read_window`.
    """
    rows = slice(max(rows.start, raster.origin[0]), min(rows.stop, raster.origin[0] + raster.grid.height))
    cols = slice(max(cols.start, raster.origin[1]), min(cols.stop, raster.origin[1] + raster.grid.width))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return NOTHING
    height, width = rows.stop - rows.start, cols.stop - cols.start
    shape = min(height, SAMPLE), min(width, SAMPLE)
    _, counts = read_window(raster, rows, cols, shape if shape != (height, width) else None)
    return replace(counts, whole=shape == (height, width))


def _checked(
    raster: CoherenceRaster, values: npt.NDArray[np.float32], stored: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float32], int]:
    """Refuse what is not coherence; put values just outside back to the limits, and count those above."""
    # fmin and fmax leave NaN aside, and are NaN where there is nothing else
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if low < -RANGE_TOLERANCE or high > MOST_ABOVE:
        raise RasterError(
            f"{raster.path}: values from {low:.6g} to {high:.6g}; coherence lies between 0 and 1. "
            f"{_remedy(stored.dtype.kind, low, high)}"
        )
    if low >= 0 and high <= 1:
        return values, 0
    above = int(np.count_nonzero(values > 1 + RANGE_TOLERANCE)) if high > 1 + RANGE_TOLERANCE else 0
    return values.clip(0.0, 1.0), above


def _remedy(kind: str, low: float, high: float) -> str:
    """Describe what numbers outside 0..1 may be, and the remedy."""
    if low < 0:
        return (
            "A phase or an elevation does not belong here (--pattern chooses files); if the lowest number marks "
            "missing data, declare it (gdal_edit -a_nodata)"
        )
    scales = [f"{number:g}" for number in (100, 255, 10_000, 65_535) if high <= number]
    if kind in "iu" and scales:
        return f"If its numbers are scaled coherence, name the number of 1: --scale {' or '.join(scales)}"
    if high <= 2:
        return "Its estimator, or a cubic resampling, overshoots: make it again with values up to 1"
    return "A phase, an elevation or a scaled raster does not belong here (--pattern chooses files, --scale a scale)"


def _undated(path: Path) -> str:
    """Explain why a raster has no two dates."""
    if product_dates_in_name(path.stem):
        return f"{path}: its name holds start and stop of one product, not the two dates of a pair (20210105_20210117)"
    return (
        f"{path}: no two dates in its name or its folder's (20210105_20210117), its tags "
        "(REFERENCE_DATE, SECONDARY_DATE) or a STAC item beside it"
    )


def _grid_of(layer: Layer, source: Any, pair: DatePair) -> tuple[RasterGrid, bool]:
    """Return a file's grid, north-up, and whether the file is south-up."""
    path = layer.path
    crs = layer.crs or (horizontal_crs(_crs_of(source.crs.to_wkt())) if source.crs else None)
    transform = layer.transform or source.transform
    if crs is None and source.driver in SILENT_DRIVERS and _may_be_degrees(transform, source.shape):
        crs = CRS.from_epsg(4326)
    if crs is None:
        raise UnmappedError(
            f"{path}: has no coordinate reference system. Terrain-correct it, or set it (gdal_edit -a_srs).", pair
        )
    if layer.transform is None and (transform.a, transform.c, transform.f, abs(transform.e)) == (1, 0, 0, 1):
        raise UnmappedError(f"{path}: has no place on a map (no transform). Terrain-correct or geocode it first.", pair)
    if not all(math.isfinite(number) for number in transform):
        raise UnmappedError(f"{path}: its transform is not finite ({tuple(transform)[:6]}). Export it again.", pair)
    if transform.b or transform.d or transform.a <= 0 or transform.e == 0:
        raise UnmappedError(f"{path}: its grid is rotated or mirrored. Warp it with gdalwarp first.", pair)
    south_up = transform.e > 0
    if south_up:
        north = transform.f + source.height * transform.e
        transform = Affine(transform.a, 0.0, transform.c, 0.0, -transform.e, north)
    if crs.is_geographic and transform.c >= 180:
        # longitudes from 0 to 360
        transform = Affine(transform.a, 0.0, transform.c - 360, 0.0, transform.e, transform.f)
    return RasterGrid(crs, transform, source.width, source.height), south_up


def _may_be_degrees(transform: Affine, shape: tuple[int, int]) -> bool:
    """Check whether a map lies where longitudes and latitudes do, and radar coordinates do not."""
    south = transform.f + shape[0] * transform.e
    east = transform.c + shape[1] * transform.a
    return abs(transform.a) < 0.1 and max(abs(transform.f), abs(south)) <= 90 and -180 <= transform.c < east <= 360


def _scaling(layer: Layer, source: Any, scale: float | None) -> tuple[float, float]:
    """Return factor and offset of the stored numbers: the file's own, those of its archive, or the given one."""
    index = layer.band - 1
    declared = float(source.scales[index]), float(source.offsets[index])
    if declared != (1.0, 0.0):
        return declared
    kind = np.dtype(source.dtypes[index]).kind
    unit = (source.units[index] or "").strip().lower()
    if unit in ("%", "percent"):
        return 0.01, 0.0
    if scale is not None and (kind in "iu" or _largest(source, layer.band) > MOST_ABOVE):
        return 1 / scale, 0.0
    if source.dtypes[index] == "uint8" and LICSAR.search(layer.path.stem):
        return 1 / 255, 0.0
    return 1.0, 0.0


def _largest(source: Any, band: int) -> float:
    """Return the largest value of a sample of a band that is not nodata."""
    shape = min(source.height, SAMPLE), min(source.width, SAMPLE)
    values = source.read(band, out_shape=shape, masked=True)
    finite = values.compressed()[np.isfinite(values.compressed())]
    return float(finite.max()) if finite.size else 0.0


@lru_cache(maxsize=16)
def _crs_of(wkt: str) -> CRS:
    """Read a reference system once: a stack has one, and its rasters are many."""
    return CRS.from_wkt(wkt)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
