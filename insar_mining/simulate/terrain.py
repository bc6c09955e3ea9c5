"""Model ground of known height: analytic surfaces, and the elevation model a user would have of them.

Heights are orthometric, as in SRTM or the Copernicus DEM, and the file says nothing
else: whoever uses it has to add the geoid.  The scatterers get the exact ellipsoidal
height instead, with the geoid interpolated by SciPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from pyproj import Transformer
from scipy.interpolate import RectBivariateSpline, RegularGridInterpolator

from insar_mining.arrays import FloatArray
from insar_mining.doors import GEOTIFF, guarded, open_raster
from insar_mining.errors import DemError
from insar_mining.files import appears_whole
from insar_mining.geo.elevation_window import Bounds

ARC_SECOND_DEG = 1 / 3600


@dataclass(frozen=True)
class Terrain:
    """Describe a surface over the map plane of one projected CRS.

    Attributes
    ----------
    epsg : int
        Projected CRS of the coordinates, metres.
    height : callable
        ``height(easting, northing)`` -> orthometric height, metres; arrays of one shape.
    bounds_deg : (west, south, east, north), optional
        Degrees within which the heights are known; by default everywhere.
    """

    epsg: int
    height: Callable[[FloatArray, FloatArray], FloatArray]
    bounds_deg: Bounds | None = None

    def orthometric_m(self, easting_m: npt.ArrayLike, northing_m: npt.ArrayLike) -> FloatArray:
        """Compute the height above the geoid, metres."""
        x, y = np.broadcast_arrays(np.asarray(easting_m, dtype=np.float64), np.asarray(northing_m, dtype=np.float64))
        return np.asarray(self.height(x, y), dtype=np.float64) + np.zeros(x.shape)

    def ellipsoidal_m(self, easting_m: npt.ArrayLike, northing_m: npt.ArrayLike) -> FloatArray:
        """Compute the height above the WGS 84 ellipsoid, metres: orthometric height plus EGM96 undulation."""
        longitude, latitude = Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(easting_m, northing_m)
        return self.orthometric_m(easting_m, northing_m) + undulation_m(longitude, latitude)


def flat(epsg: int, height_m: float = 300.0) -> Terrain:
    """Return a horizontal plain."""
    return Terrain(epsg, lambda x, y: np.full(x.shape, float(height_m)))


def ramp(
    epsg: int, centre: tuple[float, float], *, slope_deg: float, towards_deg: float, height_m: float = 300.0
) -> Terrain:
    """Return a plane that rises by `slope_deg` towards the azimuth `towards_deg` (clockwise from grid north)."""
    rise = math.tan(math.radians(slope_deg))
    east, north = rise * math.sin(math.radians(towards_deg)), rise * math.cos(math.radians(towards_deg))
    return Terrain(epsg, lambda x, y: height_m + east * (x - centre[0]) + north * (y - centre[1]))


def hills(
    epsg: int,
    centre: tuple[float, float],
    *,
    relief_m: float = 900.0,
    wavelength_m: float = 6000.0,
    base_m: float = 300.0,
) -> Terrain:
    """Return rolling hills: two crossing waves, `relief_m` between lowest and highest ground.

    The steepest slope is about ``relief_m * pi / wavelength_m * 0.75`` (19 degrees by default).
    """
    k = 2 * np.pi / wavelength_m

    def height(x: FloatArray, y: FloatArray) -> FloatArray:
        u, v = x - centre[0], y - centre[1]
        waves = np.sin(k * (0.8 * u + 0.3 * v)) + 0.5 * np.sin(k * (-0.4 * u + 0.9 * v) + 1.0)
        return np.asarray(base_m + relief_m * (waves + 1.5) / 3.0)

    return Terrain(epsg, height)


@dataclass(frozen=True)
class Dump:
    """Describe a waste heap: its centre from the pit's (east, north), radius and height, metres."""

    centre_m: tuple[float, float] = (750.0, -850.0)
    radius_m: float = 420.0
    height_m: float = 40.0


def open_pit(
    epsg: int,
    centre: tuple[float, float],
    *,
    radii_m: tuple[float, float] = (900.0, 650.0),
    depth_m: float = 120.0,
    benches: int = 6,
    dump: Dump | None = None,
    base_m: float = 620.0,
) -> Terrain:
    """Return an elliptic open pit with benches, a waste dump beside it, gentle ground around.

    The wall between rim and floor goes down in `benches` smoothed steps; with the default
    values no slope exceeds 25 degrees, so that nothing lies in layover or in shadow.

    Parameters
    ----------
    centre : (easting, northing) of the pit, metres
    radii_m : semi-axes of the rim, east and north
    dump : by default one south-east of the pit
    """
    beside = dump or Dump()

    def height(x: FloatArray, y: FloatArray) -> FloatArray:
        u, v = x - centre[0], y - centre[1]
        ground = base_m + 12.0 * np.sin(u / 1100.0 + 0.4) + 9.0 * np.cos(v / 900.0)
        inward = np.clip((1.0 - np.hypot(u / radii_m[0], v / radii_m[1])) / 0.62, 0.0, 1.0)
        stair = inward - 0.5 * np.sin(2 * np.pi * benches * inward) / (2 * np.pi * benches)
        from_dump = np.hypot(u - beside.centre_m[0], v - beside.centre_m[1]) / beside.radius_m
        heap = 1.0 / (1.0 + np.exp(np.minimum((from_dump - 0.8) * 14.0, 700.0)))  # beyond it exp overflows
        return np.asarray(ground - depth_m * stair + beside.height_m * heap)

    return Terrain(epsg, height)


@cache
def _geoid() -> RegularGridInterpolator:
    with as_file(files("insar_mining") / "data" / "egm96_15.tif") as path:
        try:
            with rasterio.open(path) as source:
                values, transform = source.read(1).astype(np.float64), source.transform
        except rasterio.RasterioIOError as error:
            raise DemError(f"the geoid grid {path} is missing. Install the package again.") from error
    longitude = transform.c + transform.a * (np.arange(values.shape[1]) + 0.5)
    latitude = transform.f + transform.e * (np.arange(values.shape[0]) + 0.5)
    # one more column closes the circle of longitudes
    longitude = np.append(longitude, longitude[0] + 360.0)
    values = np.concatenate([values, values[:, :1]], axis=1)
    return RegularGridInterpolator((latitude[::-1], longitude), values[::-1], method="linear")


def undulation_m(longitude_deg: npt.ArrayLike, latitude_deg: npt.ArrayLike) -> FloatArray:
    """Compute the EGM96 geoid height above the ellipsoid, metres, by SciPy's bilinear interpolation."""
    grid = _geoid()
    latitudes, longitudes = grid.grid
    longitude = longitudes[0] + np.mod(np.asarray(longitude_deg, dtype=np.float64) - longitudes[0], 360.0)
    latitude = np.clip(np.asarray(latitude_deg, dtype=np.float64), latitudes[0], latitudes[-1])
    latitude, longitude = np.broadcast_arrays(latitude, longitude)
    return np.asarray(grid(np.stack([latitude, longitude], axis=-1))).reshape(latitude.shape)


def write_dem(terrain: Terrain, bounds_deg: Bounds, path: Path, *, step_deg: float = ARC_SECOND_DEG) -> Path:
    """Sample a terrain to a GeoTIFF in EPSG:4326, orthometric float32 heights, posts at cell centres.

    Parameters
    ----------
    bounds_deg : (west, south, east, north), degrees; widened to whole multiples of the step
    step_deg : float
        Spacing of the posts; 1 arc-second by default.
    """
    west, south, east, north = bounds_deg
    first_column, last_column = math.floor(west / step_deg), math.ceil(east / step_deg)
    first_row, last_row = math.ceil(north / step_deg), math.floor(south / step_deg)
    longitude = np.arange(first_column, last_column + 1) * step_deg
    latitude = np.arange(first_row, last_row - 1, -1) * step_deg
    x, y = Transformer.from_crs(4326, terrain.epsg, always_xy=True).transform(*np.meshgrid(longitude, latitude))
    heights = terrain.orthometric_m(x, y).astype(np.float32)
    transform = Affine(step_deg, 0, longitude[0] - step_deg / 2, 0, -step_deg, latitude[0] + step_deg / 2)
    with (
        appears_whole(path) as partial,
        rasterio.open(
            partial, "w", driver="GTiff", dtype="float32", count=1, height=latitude.size, width=longitude.size,
            crs="EPSG:4326", transform=transform, nodata=-32768.0, compress="deflate", predictor=3,
        ) as target,
    ):  # fmt: skip
        target.write(heights, 1)
        target.set_band_description(1, "orthometric height (EGM96), m")
    return Path(path)


def terrain_from_dem(path: Path, epsg: int, *, bounds_deg: Bounds | None = None) -> Terrain:
    """Make a terrain from an orthometric DEM, with a bicubic spline between its posts.

    Parameters
    ----------
    path : Path
        GeoTIFF in EPSG:4326.
    bounds_deg : (west, south, east, north), optional
        Window to read, degrees; the whole file by default.

    Raises
    ------
    DemError
        Another CRS, voids in the window, or the window is not covered.
    """
    with guarded(DemError, path, "Give a GeoTIFF in EPSG:4326"), open_raster(path, GEOTIFF) as source:
        if source.crs is None or source.crs.to_epsg() != 4326:
            raise DemError(
                f"{path}: the simulator takes DEMs in EPSG:4326, this one is in {source.crs}. Warp it first."
            )
        heights, transform = source.read(1, masked=True), source.transform
    longitude = transform.c + transform.a * (np.arange(heights.shape[1]) + 0.5)
    latitude = transform.f + transform.e * (np.arange(heights.shape[0]) + 0.5)
    values = np.ma.filled(heights.astype(np.float64), np.nan)
    if bounds_deg is not None:
        west, south, east, north = bounds_deg
        if west < longitude[0] or east > longitude[-1] or south < latitude[-1] or north > latitude[0]:
            raise DemError(
                f"{path}: covers {longitude[0]:.4f}..{longitude[-1]:.4f} E, {latitude[-1]:.4f}..{latitude[0]:.4f} N, "
                f"the scene needs {west:.4f}..{east:.4f} E, {south:.4f}..{north:.4f} N. Use a larger DEM."
            )
        columns, rows = _within(longitude, west, east), _within(-latitude, -north, -south)
        values, longitude, latitude = values[rows, columns], longitude[columns], latitude[rows]
    if not np.isfinite(values).all():
        raise DemError(
            f"{path}: {np.count_nonzero(~np.isfinite(values))} posts of the scene have no height. Fill them."
        )
    spline = RectBivariateSpline(latitude[::-1], longitude, values[::-1])
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True)

    def height(x: FloatArray, y: FloatArray) -> FloatArray:
        lon, lat = to_lonlat.transform(x, y)
        return np.asarray(spline.ev(lat, lon))

    return Terrain(epsg, height, (longitude[0], latitude[-1], longitude[-1], latitude[0]))


def _within(posts: FloatArray, first: float, last: float) -> slice:
    """Return the posts from first to last, and six more on either side for the spline."""
    begin, end = np.clip(np.add(np.searchsorted(posts, [first, last]), [-6, 6]), 0, posts.size)
    return slice(int(begin), int(end))
