"""Elevation models: any raster in, ellipsoidal heights on a regular longitude-latitude lattice out.

The lattice is of *posts*: `west_deg` and `north_deg` are the centre of the first cell,
whether the file counts cells by their corners or by their centres.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
from pyproj import Geod, Transformer

from insar_mining.arrays import FloatArray
from insar_mining.doors import guarded
from insar_mining.errors import DemError, OptionError, PartialDemWarning
from insar_mining.geo.elevation_window import (
    RASTER_SUFFIXES,
    WGS84,
    Bounds,
    HeightPiece,
    Heights,
    apply,
    check_size,
    is_wgs84,
    read_window,
    starting_at,
)
from insar_mining.geo.geoid import bilinear, geoid_undulation_m

logger = logging.getLogger(__name__)

__all__ = ["Dem", "geoid_undulation_m", "margin_for_any_engine_deg", "read_dem", "tile_reach_deg"]


DEFAULT_MARGIN_DEG = 0.01
BLOCK_POSTS = 1_000_000
SAME_LATTICE_POSTS = 0.01

LEAST_REACH_DEG = 0.1
LEAST_MARGIN_DEG, MOST_MARGIN_DEG = 0.15, 2.0
HIGHEST_MINE_M = 5000.0
DEGREE_M = 111_320.0
TILE_EAST_M, TILE_NORTH_M = 4600.0, 8000.0
"""Ground of a tile of 512 lines and 512 samples of an IW image, along east and north (its sides are turned)."""

_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True, eq=False)
class Dem:
    """Hold ellipsoidal heights at regular posts in longitude and latitude.

    Attributes
    ----------
    height_m : ndarray of float32, shape (rows, columns)
        Above the WGS 84 ellipsoid; NaN where there is no height.  Rows go south.
    west_deg, north_deg : float
        Centre of the first cell.
    step_lon_deg, step_lat_deg : float
        Spacing of posts, both positive.
    source : str
        The file (and how many more), for the record.
    reference : str
        What the heights of the file were taken for, and why: ``"orthometric (assumed)"``.
    """

    height_m: npt.NDArray[np.float32]
    west_deg: float
    north_deg: float
    step_lon_deg: float
    step_lat_deg: float
    source: str
    reference: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.height_m.shape
        return rows, columns

    @property
    def longitude_deg(self) -> FloatArray:
        """Longitudes of the posts, shape (columns,), increasing."""
        return self.west_deg + np.arange(self.shape[1], dtype=np.float64) * self.step_lon_deg

    @property
    def latitude_deg(self) -> FloatArray:
        """Latitudes of the posts, shape (rows,), decreasing."""
        return self.north_deg - np.arange(self.shape[0], dtype=np.float64) * self.step_lat_deg

    @property
    def bounds(self) -> Bounds:
        """(west, south, east, north) of the outermost posts, degrees: where `sample` has heights."""
        rows, columns = self.shape
        south = self.north_deg - (rows - 1) * self.step_lat_deg
        return self.west_deg, south, self.west_deg + (columns - 1) * self.step_lon_deg, self.north_deg

    def sample(self, longitude_deg: npt.ArrayLike, latitude_deg: npt.ArrayLike) -> FloatArray:
        """Return the ellipsoidal heights at points, bilinear between posts, metres.

        Parameters
        ----------
        longitude_deg, latitude_deg : array_like
            Broadcast against each other; longitudes may differ from the model's by 360.

        Returns
        -------
        ndarray
            NaN outside of :attr:`bounds` and beside voids.
        """
        west, _, east, _ = self.bounds
        longitude = np.asarray(longitude_deg, dtype=np.float64)
        longitude = longitude - 360 * np.round((longitude - (west + east) / 2) / 360)
        row = (self.north_deg - np.asarray(latitude_deg, dtype=np.float64)) / self.step_lat_deg
        return bilinear(self.height_m, row, (longitude - self.west_deg) / self.step_lon_deg)

    def identity(self) -> str:
        """Return SHA-256 of lattice and heights: the same numbers give the same text on every machine."""
        digest = hashlib.sha256(repr(self.shape).encode())
        lattice = [self.west_deg, self.north_deg, self.step_lon_deg, self.step_lat_deg]
        digest.update(np.array(lattice, dtype="<f8").tobytes())
        for row in self.height_m:  # by rows: no second copy of a large model
            heights = np.where(np.isnan(row), np.float32(np.nan), row + np.float32(0))  # one NaN, no -0
            digest.update(np.ascontiguousarray(heights, dtype="<f4").tobytes())
        return digest.hexdigest()


def read_dem(
    path: Path | str | Sequence[Path | str],
    bounds: Bounds,
    *,
    margin_deg: float = DEFAULT_MARGIN_DEG,
    heights: Heights = "auto",
) -> Dem:
    """Read the part of an elevation model around an area, as ellipsoidal heights.

    Only the window is read (band 1).  Files in EPSG:4326 keep their posts and values;
    files in any other CRS are interpolated bilinearly to posts of their own ground spacing.
    Void is what the file masks (nodata, mask band), NaN, and heights below -500 m or above
    9000 m (an untagged -32768, say); 0 m is ground unless the file declares 0 as nodata.
    Scale, offset and feet are applied.

    Parameters
    ----------
    path : path-like or list of them
        One raster (also a VRT), or tiles to be merged; where tiles overlap the first with
        a height counts.  A folder stands for the rasters in it; one text may name several paths
        with ``:`` between (``;`` on Windows).
    bounds : (west, south, east, north)
        The area, degrees.
    margin_deg : float
        Read this much more around the area.
    heights : {"auto", "orthometric", "ellipsoid"}
        What the file holds.  ``"auto"``: ellipsoidal if its CRS is three-dimensional
        geographic (EPSG:4979), if its vertical CRS, a tag or its name (``.wgs84``) says
        ellipsoid; else orthometric, which is logged if nothing says it.
        To orthometric heights the EGM96 undulation is added; for a model on EGM2008 (Copernicus
        GLO-30) that is wrong by the difference of the two geoids, below 1 m over most land.

    Returns
    -------
    Dem
        Posts within bounds and margin, as far as the model reaches.

    Raises
    ------
    DemError
        The file is missing, no raster, without CRS, elsewhere, all void in the area, or
        the area has more than 30 million posts, and more than its files can hold (ten for
        each byte, at most 400 million).
    OptionError
        `bounds`, `margin_deg` or `heights` is not possible.

    Warns
    -----
    PartialDemWarning
        Some of the area has no height; the message says how much has.
    """
    area = _checked_bounds(bounds, margin_deg, heights)
    wanted = (area[0] - margin_deg, area[1] - margin_deg, area[2] + margin_deg, area[3] + margin_deg)
    paths = model_files(path)
    source = paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")

    windows, extents = [], []
    used: dict[Path, bool] = {}
    for one in paths:
        window, extent = read_window(one, wanted, heights)
        extents.append(extent)
        if window is not None:
            windows.append(window)
            used[one] = window.reference.known_by == "assumed"
        check_size(sum(w.height_m.size for w in windows), source)
    if not windows:
        raise DemError(
            f"{source}: does not cover the area. It spans {_span(_union(extents))}, the area {_span(area)}. "
            "Use an elevation model of that place (and check that longitude and latitude are not swapped)."
        )
    with guarded(DemError, source, "Download or export it again."):
        dem = _on_one_lattice(_mosaics(windows), wanted, source)
    dem = replace(dem, reference=", ".join(dict.fromkeys(str(window.reference) for window in windows)))
    assumed = sorted({one.name for one, is_assumed in used.items() if is_assumed})
    if assumed:
        _log_assumption(", ".join(assumed))
    share = _share_with_heights(dem, area)
    if share == 0:
        raise DemError(f"{source}: has no height in the area {_span(area)}, only void. Use another elevation model.")
    if share < 1:
        percent = math.floor(share * 1000) / 10
        warnings.warn(
            f"{source}: has heights for {percent:.1f} % of the area {_span(area)}; the rest is NaN. Use a model that "
            "covers the area, or add tiles",
            PartialDemWarning,
            stacklevel=2,
        )
    return dem


def tile_reach_deg(latitude_deg: float, highest_m: float) -> tuple[float, float]:
    """Compute how far a model must reach beyond an area for programs that work on tiles of the radar image (SNAP).

    A tile that shows the edge of the area may lie beyond it as a whole, and ground of height h appears
    h / tan(incidence), at most 1.75 h in IW, nearer to the satellite than ground at the ellipsoid does.  The least is
    0.1 degree: measured with SNAP 13 and 14, 0.02 degrees leave topographic phase in strips along the tiles,
    0.05 are enough for 1 km of height.

    Parameters
    ----------
    latitude_deg : float
        Of the area's edge that is nearest to a pole.
    highest_m : float
        Greatest height of the ground around, above or below the ellipsoid.

    Returns
    -------
    (east, north) : tuple of float
        Degrees of longitude and of latitude.
    """
    height = abs(highest_m)
    east = (TILE_EAST_M + 1.75 * height) / (DEGREE_M * max(math.cos(math.radians(latitude_deg)), 0.01))
    north = (TILE_NORTH_M + 0.5 * height) / DEGREE_M
    return max(LEAST_REACH_DEG, east), max(LEAST_REACH_DEG, north)


def margin_for_any_engine_deg(bounds: Bounds) -> float:
    """Compute how far around an area to fetch heights that are not known yet, so that every engine has enough.

    For ground of up to 5 km (:func:`tile_reach_deg`), and a map that is somewhat larger than the area.
    """
    _, south, _, north = bounds
    reach = max(tile_reach_deg(max(abs(south), abs(north)), HIGHEST_MINE_M))
    return min(max(LEAST_MARGIN_DEG, reach + 0.01 + 0.05 * (north - south)), MOST_MARGIN_DEG)


def model_files(path: Path | str | Sequence[Path | str]) -> list[Path]:
    """Return the rasters that an elevation model is made of.

    Parameters
    ----------
    path : path-like or list of them
        Files, folders of rasters, or texts with several paths and ``:`` between (``;`` on Windows).

    Raises
    ------
    DemError
        There are none.
    """
    given = [path] if isinstance(path, (str, Path)) else list(path)
    files: list[Path] = []
    for one in given:
        several = [one] if Path(one).exists() else str(one).split(os.pathsep)
        for part in map(Path, several):
            inside = [part]
            if part.is_dir():
                inside = sorted(p for p in part.iterdir() if p.suffix.lower() in RASTER_SUFFIXES)
                if not inside:
                    raise DemError(f"{part}: is a folder; it holds no raster. Give a GeoTIFF.")
            files += inside
    if not files:
        raise DemError("the list of elevation models is empty. Give at least one file.")
    return files


@functools.cache
def _log_assumption(names: str) -> None:
    """Log once per set of files that nothing says what heights are counted from."""
    logger.warning(
        "%s: heights are taken as orthometric (above the geoid), because nothing in the file names what they are "
        "counted from; if they are ellipsoidal the map lies up to 100 m off (--dem-heights ellipsoid)",
        names,
    )


def _checked_bounds(bounds: Sequence[float], margin_deg: float, heights: str) -> Bounds:
    if heights not in get_args(Heights):
        raise OptionError(f"heights={heights!r}: must be one of {', '.join(get_args(Heights))}")
    if not 0 <= margin_deg <= 10:
        raise OptionError(f"margin_deg={margin_deg}: must be 0 to 10 degrees")
    west, south, east, north = (float(b) for b in bounds)
    if not (west < east and -90 <= south < north <= 90 and east - west <= 180):
        raise OptionError(
            f"bounds west={west:g} south={south:g} east={east:g} north={north:g}: west must be below east (at most 180 "
            "degrees), south below north, latitudes -90 to 90"
        )
    return west, south, east, north


def _span(bounds: Bounds) -> str:
    west, south, east, north = bounds
    return f"longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f}"


def _union(bounds: Sequence[Bounds]) -> Bounds:
    west, south, east, north = zip(*bounds, strict=True)
    return min(west), min(south), max(east), max(north)


# -- several files, one lattice -------------------------------------------------------


def _mosaics(pieces: Sequence[HeightPiece]) -> list[HeightPiece]:
    """Join pieces whose cells fall on one lattice, in the order given."""
    groups: list[list[HeightPiece]] = []
    for piece in pieces:
        for group in groups:
            if _same_lattice(group[0], piece):
                group.append(piece)
                break
        else:
            groups.append([piece])
    return [_joined(group) for group in groups]


def _same_lattice(a: HeightPiece, b: HeightPiece) -> bool:
    if a.ellipsoidal != b.ellipsoidal or not a.crs.equals(b.crs):
        return False
    linear = np.array([a.transform[:2] + a.transform[3:5], b.transform[:2] + b.transform[3:5]])
    if not np.allclose(linear[0], linear[1], rtol=1e-7, atol=1e-12):
        return False
    offsets = _offset(a, b)
    return all(abs(v - round(v)) < SAME_LATTICE_POSTS for v in offsets)


def _offset(a: HeightPiece, b: HeightPiece) -> tuple[float, float]:
    """Return where the first cell of `b` lies, in columns and rows of `a`."""
    column, row = apply(~a.transform, b.transform.c, b.transform.f)
    return column, row


def _joined(pieces: Sequence[HeightPiece]) -> HeightPiece:
    first = pieces[0]
    if len(pieces) == 1:
        return first
    corners = [(round(column), round(row)) for column, row in (_offset(first, p) for p in pieces)]
    left, top = min(c for c, _ in corners), min(r for _, r in corners)
    right = max(c + p.height_m.shape[1] for (c, _), p in zip(corners, pieces, strict=True))
    bottom = max(r + p.height_m.shape[0] for (_, r), p in zip(corners, pieces, strict=True))
    height = np.full((bottom - top, right - left), np.nan, dtype=np.float32)
    for (column, row), piece in zip(corners, pieces, strict=True):
        rows, columns = piece.height_m.shape
        part = height[row - top : row - top + rows, column - left : column - left + columns]
        np.copyto(part, piece.height_m, where=np.isnan(part))
    return HeightPiece(height, starting_at(first.transform, left, top), first.crs, first.reference)


def _on_one_lattice(pieces: Sequence[HeightPiece], wanted: Bounds, source: str) -> Dem:
    """Bring pieces to the finest lattice among them and lift them to the ellipsoid."""
    lattices = [p for p in pieces if p.is_lonlat]
    if len(pieces) == 1 and lattices:
        t = pieces[0].transform
        dem = Dem(pieces[0].height_m, t.c + t.a / 2, t.f + t.e / 2, t.a, -t.e, source)
        return _lifted([dem], [pieces[0].ellipsoidal])
    if lattices:
        t = min((p.transform for p in lattices), key=lambda t: -t.a * t.e)
        west, north, step_lon, step_lat = t.c + t.a / 2, t.f + t.e / 2, t.a, -t.e
    else:
        step_lon, step_lat = min((_ground_steps(p) for p in pieces), key=lambda s: s[0] * s[1])
        west, north = wanted[0], wanted[3]
    extent = _union([p.lonlat_bounds() for p in pieces])
    first_column = math.floor((max(wanted[0], extent[0]) - west) / step_lon)
    last_column = math.ceil((min(wanted[2], extent[2]) - west) / step_lon)
    first_row = math.floor((north - min(wanted[3], extent[3])) / step_lat)
    last_row = math.ceil((north - max(wanted[1], extent[1])) / step_lat)
    rows, columns = last_row - first_row + 1, last_column - first_column + 1
    check_size(rows * columns, source, 2 * sum(piece.height_m.size for piece in pieces))
    west, north = west + first_column * step_lon, north - first_row * step_lat
    empty = Dem(np.empty((rows, columns), dtype=np.float32), west, north, step_lon, step_lat, source)
    return _lifted([_resampled(p, empty) for p in pieces], [p.ellipsoidal for p in pieces])


def _ground_steps(piece: HeightPiece) -> tuple[float, float]:
    """Return steps in degrees as long as the shorter side of a cell in the middle of a piece."""
    rows, columns = piece.height_m.shape
    cells = [(columns / 2, rows / 2), (columns / 2 + 1, rows / 2), (columns / 2, rows / 2 + 1)]
    x, y = zip(*(apply(piece.transform, *cell) for cell in cells), strict=True)
    longitude, latitude = Transformer.from_crs(piece.crs, WGS84, always_xy=True).transform(x, y)
    _, _, sides = _GEOD.inv([longitude[0]] * 2, [latitude[0]] * 2, longitude[1:], latitude[1:])
    _, _, degree = _GEOD.inv(
        [longitude[0]] * 2, [latitude[0]] * 2, [longitude[0] + 1e-3, longitude[0]], [latitude[0], latitude[0] + 1e-3]
    )
    step_m = min(sides)
    return step_m / degree[0] * 1e-3, step_m / degree[1] * 1e-3


def _resampled(piece: HeightPiece, lattice: Dem) -> Dem:
    """Return heights of a piece at the posts of a lattice, bilinear, exact coordinates at every post."""
    to_piece = Transformer.from_crs(WGS84, piece.crs, always_xy=True)
    inverse = ~piece.transform
    height = np.empty(lattice.shape, dtype=np.float32)
    longitude, latitude = lattice.longitude_deg, lattice.latitude_deg
    block = max(1, BLOCK_POSTS // longitude.size)
    for start in range(0, latitude.size, block):
        rows = slice(start, start + block)
        x, y = np.meshgrid(longitude, latitude[rows])
        if not is_wgs84(piece.crs):  # PROJ would fold longitudes that were moved by 360 degrees
            x, y = to_piece.transform(x, y)
        column, row = apply(inverse, x, y)
        height[rows] = bilinear(piece.height_m, row - 0.5, column - 0.5)
    return Dem(height, lattice.west_deg, lattice.north_deg, lattice.step_lon_deg, lattice.step_lat_deg, lattice.source)


def _lifted(models: Sequence[Dem], ellipsoidal: Sequence[bool]) -> Dem:
    """Add the undulation to orthometric models and lay them over each other, the first on top."""
    first = models[0]
    height = np.full(first.shape, np.nan, dtype=np.float32)
    longitude, latitude = first.longitude_deg, first.latitude_deg
    block = max(1, BLOCK_POSTS // longitude.size)
    for start in range(0, latitude.size, block):
        rows = slice(start, start + block)
        undulation = (
            geoid_undulation_m(longitude, latitude[rows, np.newaxis]) if not all(ellipsoidal) else np.float64(0)
        )
        for model, is_ellipsoidal in zip(models, ellipsoidal, strict=True):
            lifted = model.height_m[rows] + (0.0 if is_ellipsoidal else undulation)
            np.copyto(height[rows], lifted, where=np.isnan(height[rows]), casting="same_kind")
    height.flags.writeable = False
    return Dem(height, first.west_deg, first.north_deg, first.step_lon_deg, first.step_lat_deg, first.source)


def _share_with_heights(dem: Dem, area: Bounds) -> float:
    """Share of the lattice's posts inside the area that have a height (the nearest one in a tiny area)."""
    first_column, last_column = _inside(
        (area[0] - dem.west_deg) / dem.step_lon_deg, (area[2] - dem.west_deg) / dem.step_lon_deg
    )
    first_row, last_row = _inside(
        (dem.north_deg - area[3]) / dem.step_lat_deg, (dem.north_deg - area[1]) / dem.step_lat_deg
    )
    expected = (last_row - first_row + 1) * (last_column - first_column + 1)
    rows, columns = slice(max(first_row, 0), max(last_row + 1, 0)), slice(max(first_column, 0), max(last_column + 1, 0))
    return int(np.isfinite(dem.height_m[rows, columns]).sum()) / expected


def _inside(first: float, last: float) -> tuple[int, int]:
    low, high = math.ceil(first - 1e-6), math.floor(last + 1e-6)
    if low > high:
        low = high = round((first + last) / 2)
    return low, high
