"""Coherence rasters as files: what each says of itself, and the pixels of a window."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from pyproj import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from insar_mining.activity.cube.dates import DatePair, dates_of_raster
from insar_mining.errors import RasterError
from insar_mining.geo.cells import RasterGrid

Zero = Literal["nodata", "value"]

logger = logging.getLogger(__name__)

# a tag of these says that this package wrote the raster
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

# side of the sample of each raster that is looked at when a stack is opened
SAMPLE = 512


@dataclass(frozen=True)
class CoherenceRaster:
    """One raster of a stack, as its header tells it.

    Attributes
    ----------
    path : Path
    pair : DatePair
    grid : RasterGrid
    band : int
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
    """

    path: Path
    pair: DatePair
    grid: RasterGrid
    band: int
    own: bool
    nodata: float | None
    zero_is_nodata: bool
    scale: float
    offset: float
    settings: Mapping[str, str]
    perpendicular_baseline_m: float
    block: tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """What a look at a raster showed: pixels looked at, how many of them were exact zeros, all of them or some."""

    pixels: int
    zeros: int
    whole: bool


class NotCoherenceError(RasterError):
    """A file that is not a coherence raster of a pair, and can be left out of a stack."""


def read_header(path: Path, band: int, zero: Zero) -> CoherenceRaster:
    """Read what a raster says of itself.

    Raises
    ------
    NotCoherenceError
        It cannot be opened, or has no two dates.
    RasterError
        It has dates but no place on a map, or not that band.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(path)
    except RasterioError as error:
        raise NotCoherenceError(f"{path}: not a raster that can be opened ({_one_line(error)})") from error
    with source:
        tags = source.tags()
        pair = dates_of_raster(path, tags)
        if pair is None:
            raise NotCoherenceError(
                f"{path}: no two dates in its name (20210105_20210117), its tags "
                "(REFERENCE_DATE, SECONDARY_DATE) or a STAC item beside it"
            )
        _check_map(path, source.crs, source.transform, source.count, band)
        if source.dtypes[band - 1].startswith("complex"):
            raise RasterError(f"{path}: band {band} is complex; give its coherence (magnitude, 0 to 1)")
        own = any(tag in tags for tag in OWN_TAGS)
        baseline = tags.get("PERPENDICULAR_BASELINE_M", "nan")
        return CoherenceRaster(
            path=path,
            pair=pair,
            grid=RasterGrid(_crs_of(source.crs.to_wkt()), source.transform, source.width, source.height),
            band=band,
            own=own,
            nodata=source.nodatavals[band - 1],
            zero_is_nodata=zero == "nodata" and not own,
            scale=float(source.scales[band - 1]),
            offset=float(source.offsets[band - 1]),
            settings={name: tags[name] for name in SETTINGS if name in tags},
            perpendicular_baseline_m=_number(baseline),
            block=source.block_shapes[band - 1],
        )


def read_window(
    raster: CoherenceRaster, rows: slice, cols: slice, out_shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read the coherence of a window, NaN where there is none.

    Parameters
    ----------
    raster : CoherenceRaster
    rows, cols : slice
        Of the file.
    out_shape : (int, int), optional
        Read every n-th pixel only, to this shape.

    Returns
    -------
    values : ndarray of float32, shape (rows, cols)
    zeros : int
        Exact zeros that became NaN.

    Raises
    ------
    RasterError
        The file cannot be read, or has values that are not coherence.
    """
    window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    try:
        with rasterio.open(raster.path) as source:
            stored = source.read(raster.band, window=window, out_shape=out_shape)
            flags = set(source.mask_flag_enums[raster.band - 1])
            # the mask of a nodata value follows from the values; reading it would read them again
            valid = None
            if not flags <= {MaskFlags.all_valid, MaskFlags.nodata}:
                valid = source.read_masks(raster.band, window=window, out_shape=out_shape) > 0
    except RasterioError as error:
        raise RasterError(f"{raster.path}: cannot be read ({_one_line(error)}); copy or make it again") from error
    absent = np.zeros(stored.shape, np.bool_) if valid is None else ~valid
    # a declared nodata of 0 says no more than the exact zero that the caller may have asked to keep
    if raster.nodata is not None and raster.nodata != 0 and not np.isnan(raster.nodata):
        absent |= stored == stored.dtype.type(raster.nodata)
    zeros = 0
    if raster.zero_is_nodata:
        zero = stored == 0
        zeros = int(np.count_nonzero(zero))
        absent |= zero
    values = stored.astype(np.float32)
    if raster.scale != 1 or raster.offset != 0:
        values = values * np.float32(raster.scale) + np.float32(raster.offset)
    values[absent] = np.nan
    return _checked(raster, values), zeros


def look(raster: CoherenceRaster, rows: slice, cols: slice) -> Sample:
    """Check the range of a sample of a window (all of it where it is small) and count its zeros.

    Raises
    ------
    RasterError
        As of `read_window`.
    """
    height, width = rows.stop - rows.start, cols.stop - cols.start
    shape = min(height, SAMPLE), min(width, SAMPLE)
    values, zeros = read_window(raster, rows, cols, shape if shape != (height, width) else None)
    return Sample(values.size, zeros, shape == (height, width))


def _checked(raster: CoherenceRaster, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Refuse what is not coherence; put rounding errors back to the limits."""
    # fmin and fmax leave NaN aside, and are NaN where there is nothing else
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise RasterError(
            f"{raster.path}: values from {low:.6g} to {high:.6g}; coherence lies between 0 and 1. A phase, an "
            "elevation or a scaled raster does not belong here (nor one resampled by a cubic, which overshoots)"
        )
    return values.clip(0.0, 1.0) if low < 0 or high > 1 else values


def _check_map(path: Path, crs: object, transform: Affine, count: int, band: int) -> None:
    """Refuse a raster that lies on no north-up map, or lacks the band."""
    if not crs:
        raise RasterError(
            f"{path}: has no coordinate reference system; terrain-correct it, or set it (gdal_edit -a_srs)"
        )
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise RasterError(f"{path}: its grid is rotated or not north-up; warp it with gdalwarp first")
    if not 1 <= band <= count:
        raise RasterError(f"{path}: has {count} band(s), not a band {band}; choose another (band=)")


@lru_cache(maxsize=16)
def _crs_of(wkt: str) -> CRS:
    """Read a reference system once: a stack has one, and its rasters are many."""
    return CRS.from_wkt(wkt)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
