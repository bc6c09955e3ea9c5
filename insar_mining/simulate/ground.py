"""Distribute scatterers on the ground: their brightness, and how they change between dates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import BoolArray, ComplexArray, FloatArray
from insar_mining.doors import GEOTIFF, guarded, open_raster
from insar_mining.errors import OptionError, RasterError
from insar_mining.geo.grid import MapGrid
from insar_mining.simulate.geometry import to_ecef
from insar_mining.simulate.terrain import Terrain

MapFunction = Callable[[FloatArray, FloatArray], FloatArray]
"""A quantity as a function of eastings and northings (arrays of one shape)."""

# Scatterers at independent random places give each pixel a mean power of its own (variance 0.11 of the
# squared mean at 4 per resolution cell), which no homogeneous ground has and which costs a window a tenth of
# its looks.  One scatterer at a random place in every cell of a lattice shaped like the resolution cell: 0.012
# at 4 per cell, 0.0055 at 6.
SCATTERERS_PER_CELL = 6.0


@dataclass(frozen=True, eq=False)
class Scatterers:
    """Hold point scatterers on the ground.

    Attributes
    ----------
    easting_m, northing_m : ndarray, shape (n,)
    ecef_m : ndarray, shape (n, 3)
    inside : ndarray of bool, shape (n,)
        Whether the scatterer lies in the area itself, not only in the margin.
    """

    easting_m: FloatArray
    northing_m: FloatArray
    ecef_m: FloatArray
    inside: BoolArray

    def __len__(self) -> int:
        return int(self.easting_m.size)


def scatter(
    area: BaseGeometry, terrain: Terrain, lattice_m: FloatArray, rng: np.random.Generator, *, margin_m: float = 300.0
) -> Scatterers:
    """Distribute scatterers over the map box of an area plus a margin.

    Every cell of a lattice gets one scatterer at a uniformly random place.

    Parameters
    ----------
    area : shapely geometry in longitude and latitude
    lattice_m : ndarray, shape (2, 2)
        Columns: the two edges of a cell as (easting, northing), metres.
    margin_m : float
        Ground around the area that is simulated too, so that filters at its edge see signal.
    """
    grid = MapGrid.around(area, spacing_m=1.0, epsg=terrain.epsg)
    west, south, east, north = np.add(grid.bounds, [-margin_m, -margin_m, margin_m, margin_m])
    corners = np.array([[west, west, east, east], [south, north, south, north]])
    origin = corners.mean(axis=1, keepdims=True)
    # the corners in units of the lattice give the cells that touch the box
    reach = np.abs(np.linalg.solve(lattice_m, corners - origin)).max(axis=1)
    first, second = (np.arange(-np.ceil(r) - 1, np.ceil(r) + 1) for r in reach)
    u = first[:, None] + rng.random((first.size, second.size))
    v = second[None, :] + rng.random((first.size, second.size))
    x = (origin[0] + lattice_m[0, 0] * u + lattice_m[0, 1] * v).ravel()
    y = (origin[1] + lattice_m[1, 0] * u + lattice_m[1, 1] * v).ravel()
    within = (x >= west) & (x < east) & (y >= south) & (y < north)
    x, y = x[within], y[within]
    longitude, latitude = Transformer.from_crs(terrain.epsg, 4326, always_xy=True).transform(x, y)
    ecef = to_ecef(longitude, latitude, terrain.ellipsoidal_m(x, y))
    shapely.prepare(area)
    return Scatterers(x, y, ecef, np.asarray(shapely.contains_xy(area, longitude, latitude)))


def uniform(value: float) -> MapFunction:
    """Return a map function that has one value everywhere."""
    return lambda x, y: np.full(np.shape(x), float(value))


class ZoneMap:
    """Hold regions of a map, later ones over earlier ones, to which values can be given repeatedly.

    Which point lies where is found once per array of points.

    Parameters
    ----------
    regions : mapping of names to shapely geometries in longitude and latitude
    epsg : int
        CRS of the points, metres.
    """

    def __init__(self, regions: Mapping[str, BaseGeometry], epsg: int) -> None:
        to_map = Transformer.from_crs(4326, epsg, always_xy=True)

        def project(points: FloatArray) -> FloatArray:
            return np.column_stack(to_map.transform(points[:, 0], points[:, 1]))

        self._shapes = {n: shapely.transform(shapely.segmentize(r, 1e-3), project) for n, r in regions.items()}
        for shape in self._shapes.values():
            shapely.prepare(shape)
        self._known: list[tuple[FloatArray, FloatArray, npt.NDArray[np.int16]]] = []

    def values(self, given: Mapping[str, float], *, background: float) -> MapFunction:
        """Return a map function: the value of the last region at a point, `background` elsewhere.

        A region without a value counts as background.
        """
        table = np.array([background, *(given.get(name, background) for name in self._shapes)], dtype=np.float64)
        return lambda x, y: np.asarray(table[self._labels(x, y)])

    def _labels(self, x: FloatArray, y: FloatArray) -> npt.NDArray[np.int16]:
        for known_x, known_y, labels in self._known:
            if known_x is x and known_y is y:
                return labels
        labels = np.zeros(np.shape(x), dtype=np.int16)
        for index, shape in enumerate(self._shapes.values(), start=1):
            labels[shapely.contains_xy(shape, x, y)] = index
        self._known = [*self._known[-3:], (x, y, labels)]
        return labels


def zones(
    regions: Mapping[str, BaseGeometry], values: Mapping[str, float], *, background: float, epsg: int
) -> MapFunction:
    """Return a map function with one value per region; later regions cover earlier ones.

    Parameters
    ----------
    regions : mapping of names to shapely geometries in longitude and latitude
    values : mapping of names to values
    background : float
        Value elsewhere, and of regions that have none.
    epsg : int
        CRS of the function's arguments.
    """
    return ZoneMap(regions, epsg).values(values, background=background)


def raster(path: Path, epsg: int, *, background: float) -> MapFunction:
    """Return a map function that reads a raster's first band, nearest cell; `background` outside and at nodata."""
    remedy = "Give a number, or a GeoTIFF with a CRS"
    with guarded(RasterError, path, remedy), open_raster(path, GEOTIFF) as source:
        values = source.read(1, masked=True).astype(np.float64).filled(np.nan)
        inverse, crs = ~source.transform, CRS.from_user_input(source.crs)
    to_raster = Transformer.from_crs(CRS.from_epsg(epsg), crs, always_xy=True)

    def value(x: FloatArray, y: FloatArray) -> FloatArray:
        u, v = (np.asarray(w) for w in to_raster.transform(x, y))
        column, row = inverse.a * u + inverse.b * v + inverse.c, inverse.d * u + inverse.e * v + inverse.f
        i, j = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
        within = (i >= 0) & (i < values.shape[0]) & (j >= 0) & (j < values.shape[1])
        found = np.full(np.shape(x), float(background))
        found[within] = values[i[within], j[within]]
        return np.where(np.isfinite(found), found, background)

    return value


def as_function(value: float | Path | str | MapFunction, epsg: int, *, background: float) -> MapFunction:
    """Convert a number, a raster or a function to a map function."""
    if isinstance(value, (str, Path)):
        return raster(Path(value), epsg, background=background)
    if isinstance(value, (int, float)):
        return uniform(float(value))
    return value


def checked_coherence(values: FloatArray) -> FloatArray:
    """Check that all values are in 0..1 and return them.

    Raises
    ------
    OptionError
        Some value is outside, or not a number.
    """
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise OptionError(
            f"temporal coherence runs from {values.min()} to {values.max()}; it must lie in 0..1 everywhere"
        )
    return values


def first_reflectivity(count: int, rng: np.random.Generator) -> ComplexArray:
    """Draw circular Gaussian reflectivities of unit mean power."""
    return np.asarray(rng.standard_normal((count, 2)).view(np.complex128)[:, 0] * np.sqrt(0.5))


def next_reflectivity(before: ComplexArray, coherence: FloatArray, rng: np.random.Generator) -> ComplexArray:
    """Draw one step of the AR(1) chain whose correlation with `before` is `coherence` per scatterer."""
    fresh = first_reflectivity(before.size, rng)
    return np.asarray(coherence * before + np.sqrt(1 - coherence**2) * fresh)
