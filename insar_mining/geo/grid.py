"""Grids of cells: `MapGrid`, on which the maps of a mine are made, and `RasterGrid`, that of any raster.

A `MapGrid` has square cells in a projected CRS, with edges on multiples of the spacing; its numbers are part of a
plan's identity.  Rasters that were made elsewhere may lie in any CRS, with cells of any size.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer
from shapely import transform as transform_geometry
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import FloatArray
from insar_mining.errors import OptionError, RasterError

if TYPE_CHECKING:
    import xarray as xr

MAX_UTM_LATITUDE_DEG = 84.0


def utm_epsg(longitude_deg: float, latitude_deg: float) -> int:
    """Return the EPSG code of the WGS 84 / UTM zone that holds a point.

    Examples
    --------
    >>> utm_epsg(-8.777, 31.80), utm_epsg(22.99, -27.74)
    (32629, 32734)
    """
    zone = min(int(((longitude_deg + 180) % 360) // 6) + 1, 60)
    return (32600 if latitude_deg >= 0 else 32700) + zone


@dataclass(frozen=True)
class MapGrid:
    """Hold a north-up grid of square cells in a projected CRS.

    Cell edges lie on multiples of the spacing, so that grids of different areas in
    one UTM zone share their cells.

    Attributes
    ----------
    epsg : int
    west_m, north_m : float
        Outer edge of the first cell, metres.
    spacing_m : float
    width, height : int
        Number of cells.
    """

    epsg: int
    west_m: float
    north_m: float
    spacing_m: float
    width: int
    height: int

    @classmethod
    def around(
        cls, area: BaseGeometry, spacing_m: float = 20.0, margin_m: float = 0.0, epsg: int | None = None
    ) -> MapGrid:
        """Return the smallest aligned grid that covers an area given in longitude and latitude.

        Parameters
        ----------
        area : shapely geometry in EPSG:4326
        spacing_m, margin_m : float
        epsg : int, optional
            A projected CRS in metres; by default the UTM zone of the area's centroid.

        Raises
        ------
        OptionError
            Spacing or margin out of range, or the area lies outside the UTM latitudes.
        """
        if not spacing_m > 0 or not margin_m >= 0:
            raise OptionError(f"spacing {spacing_m} m and margin {margin_m} m: the first must be > 0, the second >= 0")
        centre = area.centroid
        if epsg is None:
            if abs(centre.y) > MAX_UTM_LATITUDE_DEG:
                raise OptionError(
                    f"latitude {centre.y:.2f} lies beyond UTM's limit of {MAX_UTM_LATITUDE_DEG} degrees. "
                    "Name a projected CRS (epsg=)."
                )
            epsg = utm_epsg(centre.x, centre.y)
        to_map = Transformer.from_crs(4326, epsg, always_xy=True)
        # edges that are straight on the ellipsoid bend on the map: put a point every 100 m or so
        dense = area.segmentize(1e-3)
        projected = transform_geometry(dense, lambda xy: np.column_stack(to_map.transform(xy[:, 0], xy[:, 1])))
        left, bottom, right, top = projected.bounds
        west = math.floor((left - margin_m) / spacing_m)
        east = math.ceil((right + margin_m) / spacing_m)
        south = math.floor((bottom - margin_m) / spacing_m)
        north = math.ceil((top + margin_m) / spacing_m)
        # 20 and 20.0 are one spacing, and have to be so in a plan's hash
        spacing_m = float(spacing_m)
        return cls(epsg, west * spacing_m, north * spacing_m, spacing_m, east - west, north - south)

    @property
    def crs(self) -> str:
        """The CRS as ``"EPSG:32629"``."""
        return f"EPSG:{self.epsg}"

    @property
    def transform(self) -> Affine:
        """Affine transform from (column, row) of cell corners to (easting, northing)."""
        return Affine(self.spacing_m, 0.0, self.west_m, 0.0, -self.spacing_m, self.north_m)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), in cells."""
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the outer edges, metres."""
        return (
            self.west_m,
            self.north_m - self.height * self.spacing_m,
            self.west_m + self.width * self.spacing_m,
            self.north_m,
        )

    @property
    def x(self) -> FloatArray:
        """Eastings of cell centres, shape (width,), increasing."""
        return np.asarray(self.west_m + (np.arange(self.width) + 0.5) * self.spacing_m, dtype=np.float64)

    @property
    def y(self) -> FloatArray:
        """Northings of cell centres, shape (height,), decreasing."""
        return np.asarray(self.north_m - (np.arange(self.height) + 0.5) * self.spacing_m, dtype=np.float64)

    def lonlat(self, rows: slice | None = None) -> tuple[FloatArray, FloatArray]:
        """Return longitudes and latitudes of the cell centres of some rows, degrees, each (rows, width)."""
        to_lonlat = _to_lonlat(self.epsg)
        x, y = np.meshgrid(self.x, self.y[rows or slice(None)])
        lon, lat = to_lonlat.transform(x, y)
        return np.asarray(lon), np.asarray(lat)

    def bounds_lonlat(self) -> tuple[float, float, float, float]:
        """Return (west, south, east, north) in degrees of the box that holds the whole grid.

        East lies beyond 180 where the grid crosses the antimeridian.
        """
        to_lonlat = _to_lonlat(self.epsg)
        west, south, east, north = to_lonlat.transform_bounds(*self.bounds, densify_pts=21)
        return west, south, east + 360 if east < west else east, north


@dataclass(frozen=True)
class RasterGrid:
    """Hold a north-up raster grid in any CRS.

    Attributes
    ----------
    crs : CRS
    transform : Affine
        From (column, row) of cell corners to map coordinates.
    width, height : int
    """

    crs: CRS
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, array: xr.DataArray) -> RasterGrid:
        """Return the grid of an array of this package, from its attributes.

        Raises
        ------
        RasterError
            The array has no ``crs`` or ``transform``.
        """
        missing = [name for name in ("crs", "transform") if name not in array.attrs]
        if missing:
            raise RasterError(
                f"the array has no {' and no '.join(missing)} in its attributes. Open it with open_stack."
            )
        crs, t = CRS.from_user_input(array.attrs["crs"]), Affine(*array.attrs["transform"][:6])
        if {"y", "x"} <= set(array.coords) and array["y"].size and array["x"].size:
            # a part of an array carries the transform of the whole
            col, row = (float(array["x"][0]) - t.c) / t.a - 0.5, (float(array["y"][0]) - t.f) / t.e - 0.5
            t = t @ Affine.translation(round(col), round(row))
        return cls(crs, t, array.sizes["x"], array.sizes["y"])

    @property
    def x(self) -> FloatArray:
        """Map coordinates of the cell centres, west to east."""
        return np.asarray(self.transform.c + (np.arange(self.width) + 0.5) * self.transform.a)

    @property
    def y(self) -> FloatArray:
        """Map coordinates of the cell centres, north to south."""
        return np.asarray(self.transform.f + (np.arange(self.height) + 0.5) * self.transform.e)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the outer edges, map units."""
        t = self.transform
        return t.c, t.f + self.height * t.e, t.c + self.width * t.a, t.f

    @property
    def crs_text(self) -> str:
        """The CRS as ``"EPSG:..."`` where it has such a code, else as WKT."""
        code = self.crs.to_epsg()
        return f"EPSG:{code}" if code else str(self.crs.to_wkt())

    def crop(self, rows: slice, cols: slice) -> RasterGrid:
        """Return the part of the grid that some rows and columns make."""
        t = self.transform
        moved = Affine(t.a, 0.0, t.c + cols.start * t.a, 0.0, t.e, t.f + rows.start * t.e)
        return replace(self, transform=moved, width=cols.stop - cols.start, height=rows.stop - rows.start)

    def attributes(self) -> dict[str, Any]:
        """Return ``crs`` and ``transform`` as the arrays of this package carry them."""
        return {"crs": self.crs_text, "transform": tuple(float(value) for value in self.transform[:6])}


@functools.lru_cache(maxsize=8)
def _to_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs(CRS.from_epsg(epsg), 4326, always_xy=True)
