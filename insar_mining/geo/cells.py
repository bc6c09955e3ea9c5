"""The cells of a raster: where they lie, how much ground each holds, how much of it is the mine's."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
import xarray as xr
from exactextract import exact_extract
from exactextract.feature import JSONFeatureSource
from exactextract.raster import NumPyRasterSource
from pyproj import CRS, Geod, Transformer
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import FloatArray
from insar_mining.errors import CoverageError, MineError, PartialCoverageWarning, RasterError
from insar_mining.geo.grid import RasterGrid, utm_epsg

if TYPE_CHECKING:
    from insar_mining.geo.mines import Mine


logger = logging.getLogger(__name__)

# exactextract works in float32: a cell that is covered by half may read 0.49999997
COVER_TOLERANCE = 1e-6

# a projection whose cells differ from the ground by less than this counts as true to area (UTM: 0.0008)
AREA_TOLERANCE = 0.005

# cells whose cover is computed at a time, and the largest degrees between points of an outline
STRIP_CELLS = 4_000_000
OUTLINE_STEP_DEG = 1e-3
HALF_THE_WORLD_M = 2e7

# a polygon may extend beyond the rasters by this share without a warning
OUTSIDE_SHARE = 1e-3


def horizontal_crs(crs: CRS) -> CRS:
    """Return the part of a CRS that places things on the map: without heights, without a shift of datum beside it."""
    while crs.is_bound and crs.source_crs is not None:
        crs = crs.source_crs
    if crs.is_compound:
        return horizontal_crs(crs.sub_crs_list[0])
    return crs.to_2d()


def same_crs(one: CRS, other: CRS) -> bool:
    """Check whether two horizontal CRS are one, whoever wrote them."""
    if one == other or one.equals(other, ignore_axis_order=True):
        return True
    codes = one.to_epsg(min_confidence=70), other.to_epsg(min_confidence=70)
    return codes[0] is not None and codes[0] == codes[1]


def cell_area_m2(grid: RasterGrid) -> float | FloatArray:
    """Return the ground area of the cells of a grid.

    On a projected grid that is true to area within 0.5 % (UTM within its zone: 0.08 % at its
    middle, 0.2 % at its edges) it is the area of the map cell, not corrected for the map's scale. On a
    grid in degrees, and on one that distorts areas by row (Web Mercator), it is the geodesic area of
    each row's cells on the ellipsoid.

    Returns
    -------
    float or ndarray, shape (height,)
        Square metres.

    Raises
    ------
    RasterError
        The projection distorts areas, and not by row alone.

    Notes
    -----
    Geodesic areas after Karney 2013, doi:10.1007/s00190-012-0578-z (pyproj's `Geod`).
    """
    if grid.crs.is_geographic:
        return _row_areas_m2(grid, grid.width // 2)
    unit = grid.crs.axis_info[0].unit_conversion_factor if grid.crs.axis_info else 1.0
    on_map = abs(grid.transform.a * grid.transform.e) * unit**2
    columns = sorted({0, grid.width // 2, grid.width - 1})
    rows = sorted({0, grid.height // 2, grid.height - 1})
    on_ground = np.stack([_row_areas_m2(grid, column, rows) for column in columns])
    if np.all(np.abs(on_ground / on_map - 1) < AREA_TOLERANCE):
        return float(on_map)
    if np.all(np.abs(on_ground / on_ground[0] - 1) < AREA_TOLERANCE):
        return _row_areas_m2(grid, grid.width // 2)
    worst = float(np.max(np.abs(on_ground / on_map - 1)))
    raise RasterError(
        f"cells of {grid.crs.name} differ from the ground by up to {100 * worst:.1f} % in area. "
        "Warp the rasters to UTM (gdalwarp -t_srs EPSG:326zz) before the analysis."
    )


def _row_areas_m2(grid: RasterGrid, column: int, rows: list[int] | None = None) -> FloatArray:
    """Return the geodesic area of the cells of one column, all rows or some."""
    ellipsoid = grid.crs.get_geod() or Geod(ellps="WGS84")
    to_lonlat = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs or 4326, always_xy=True)
    areas = []
    t = grid.transform
    for row in range(grid.height) if rows is None else rows:
        x = [t.c + (column + i) * t.a for i in (0, 0, 1, 1)]
        y = [t.f + (row + j) * t.e for j in (0, 1, 1, 0)]
        lon, lat = to_lonlat.transform(x, y)
        areas.append(abs(ellipsoid.polygon_area_perimeter(lon, lat)[0]))
    return np.array(areas)


def outline_on(grid: RasterGrid, mine: Mine | BaseGeometry) -> BaseGeometry:
    """Return a mine's polygon in the CRS of a grid; in degrees, by whole turns where the grid has its longitudes.

    Raises
    ------
    MineError
        It is not a polygon with an area.
    CoverageError
        The CRS of the grid ends inside it, at the antimeridian.
    """
    geometry = mine if isinstance(mine, BaseGeometry) else mine.geometry
    if geometry.geom_type not in ("Polygon", "MultiPolygon") or geometry.is_empty or geometry.area == 0:
        raise MineError(f"the mine's outline is an empty or flat {geometry.geom_type}; a polygon is needed")
    if grid.crs.equals(CRS.from_epsg(4326), ignore_axis_order=True):
        return _turned_to(geometry, grid)
    to_map = Transformer.from_crs(4326, grid.crs, always_xy=True)
    # edges that are straight in longitude and latitude bend on the map
    dense = shapely.segmentize(geometry, OUTLINE_STEP_DEG)
    outline = shapely.transform(dense, lambda xy: np.column_stack(to_map.transform(xy[:, 0], xy[:, 1])))
    if grid.crs.is_geographic:
        start = geometry.bounds[0]
        whole = shapely.transform(
            outline, lambda xy: np.column_stack([xy[:, 0] + 360 * np.ceil((start - 180 - xy[:, 0]) / 360), xy[:, 1]])
        )
        return _turned_to(whole, grid)
    if outline.bounds[2] - outline.bounds[0] > HALF_THE_WORLD_M:
        raise CoverageError(
            f"the mine ({', '.join(f'{value:.6g}' for value in geometry.bounds)}): the CRS of the rasters "
            f"({grid.crs.name}) ends inside it, at the antimeridian. Warp them to UTM or to longitude and latitude."
        )
    return outline


def _turned_to(geometry: BaseGeometry, grid: RasterGrid) -> BaseGeometry:
    """Return a geometry in degrees, moved by the whole turn by which it lies best on a grid."""
    turns = [translate(geometry, 360.0 * turn) for turn in (0, -1, 1)]
    box = shapely.box(*grid.bounds)
    return max(turns, key=lambda turned: float(shapely.intersection(turned, box).area))


def mine_window(grid: RasterGrid, mine: Mine | BaseGeometry) -> tuple[slice, slice]:
    """Return the rows and columns of a grid that hold a mine.

    Raises
    ------
    CoverageError
        The mine lies outside the grid.

    Warns
    -----
    PartialCoverageWarning
        A part of the mine lies outside the grid.
    """
    outline = outline_on(grid, mine)
    left, bottom, right, top = outline.bounds
    t = grid.transform
    first_col, last_col = math.floor((left - t.c) / t.a), math.ceil((right - t.c) / t.a)
    first_row, last_row = math.floor((top - t.f) / t.e), math.ceil((bottom - t.f) / t.e)
    rows = slice(max(first_row, 0), min(last_row, grid.height))
    cols = slice(max(first_col, 0), min(last_col, grid.width))
    box = shapely.box(*grid.bounds)
    outside = 1 - shapely.intersection(outline, box).area / outline.area
    if rows.start >= rows.stop or cols.start >= cols.stop or outside >= 1:
        where = ", ".join(f"{value:.6g}" for value in outline.bounds)
        have = ", ".join(f"{value:.6g}" for value in grid.bounds)
        raise CoverageError(
            f"the mine ({where}) lies outside the rasters ({have}; both {grid.crs.name}). "
            "Check the polygon, its CRS and the folder."
        )
    if outside > OUTSIDE_SHARE:
        warnings.warn(
            f"{100 * outside:.1f} % of the mine lies outside the rasters and is left out of every number",
            PartialCoverageWarning,
            stacklevel=3,
        )
    return rows, cols


def with_margin(mine: Mine | BaseGeometry, margin_m: float) -> BaseGeometry:
    """Return a mine's polygon grown by a margin, in longitude and latitude.

    The holes of the polygon are filled: ground in a hole lies around the mine too.
    """
    geometry = mine if isinstance(mine, BaseGeometry) else mine.geometry
    centre = geometry.centroid
    to_map = Transformer.from_crs(4326, utm_epsg(centre.x, centre.y), always_xy=True)

    def turned(shape: BaseGeometry, *, back: bool) -> BaseGeometry:
        direction = "INVERSE" if back else "FORWARD"
        return shapely.transform(
            shape, lambda xy: np.column_stack(to_map.transform(xy[:, 0], xy[:, 1], direction=direction))
        )

    on_map = turned(shapely.segmentize(geometry, OUTLINE_STEP_DEG), back=False)
    filled = shapely.union_all([shapely.Polygon(part.exterior) for part in getattr(on_map, "geoms", [on_map])])
    grown = turned(filled.buffer(margin_m), back=True)
    # the map's longitudes end at 180: bring those beyond it to where the outline goes on
    return shapely.transform(
        grown, lambda xy: np.column_stack([xy[:, 0] + 360 * np.round((centre.x - xy[:, 0]) / 360), xy[:, 1]])
    )


def cover_fraction(coh: xr.DataArray | RasterGrid, mine: Mine | BaseGeometry) -> xr.DataArray:
    """Return the share of each cell that lies within a mine, exactly.

    Parameters
    ----------
    coh : DataArray or RasterGrid
        A cube of `open_stack`, or a grid; in any CRS.
    mine : Mine or shapely polygon in EPSG:4326

    Returns
    -------
    DataArray, dims (y, x), float32
        0 to 1; holes of the polygon are outside.
    """
    grid = RasterGrid.of(coh) if isinstance(coh, xr.DataArray) else coh
    outline = outline_on(grid, mine)
    shapely.prepare(outline)
    cover = np.zeros((grid.height, grid.width), np.float32)
    rows = max(1, STRIP_CELLS // grid.width)
    for top in range(0, grid.height, rows):
        strip = grid.crop(slice(top, min(top + rows, grid.height)), slice(0, grid.width))
        if shapely.intersects(outline, shapely.box(*strip.bounds)):
            cover[top : top + strip.height] = _strip_cover(strip, outline)
    return xr.DataArray(
        cover,
        dims=("y", "x"),
        coords={"y": grid.y, "x": grid.x},
        name="cover",
        attrs={**grid.attributes(), "units": "1", "long_name": "share of the cell within the mine"},
    )


def _strip_cover(grid: RasterGrid, outline: BaseGeometry) -> FloatArray:
    """Return the exact cover of one strip, (row, column)."""
    # the cells' values play no part; one byte each is the least that the extractor takes
    west, south, east, north = grid.bounds
    cells = NumPyRasterSource(np.ones((grid.height, grid.width), np.uint8), west, south, east, north)
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(outline)}
    found = exact_extract(cells, JSONFeatureSource(feature), ["cell_id", "coverage"])[0]["properties"]
    cover = np.zeros(grid.height * grid.width)
    cover[np.asarray(found["cell_id"], dtype=np.int64)] = found["coverage"]
    return cover.reshape(grid.height, grid.width).clip(0.0, 1.0)


def inside(cover: npt.NDArray[np.floating[Any]], min_cover: float) -> npt.NDArray[np.bool_]:
    """Return the cells that count as the mine's: covered by at least `min_cover`."""
    return np.asarray((cover >= min_cover - COVER_TOLERANCE) & (cover > 0))


def mine_cells(array: xr.DataArray) -> npt.NDArray[np.bool_]:
    """Return the cells of an array that are the mine's, (y, x); all of them where no mine was given."""
    if "cover" not in array.coords:
        return np.ones((array.sizes["y"], array.sizes["x"]), np.bool_)
    return inside(array["cover"].values, float(array.attrs["min_cover"]))


def cell_coordinates(grid: RasterGrid, cover: xr.DataArray | None) -> tuple[dict[str, Any], Mapping[str, float]]:
    """Return the coordinates ``y``, ``x``, ``cell_area_m2`` and ``cover`` of a cube, and scalar attributes."""
    area = cell_area_m2(grid)
    scalar = isinstance(area, float)
    unit = {"units": "m2", "long_name": "ground area of a cell"}
    coords: dict[str, Any] = {
        "y": grid.y,
        "x": grid.x,
        "cell_area_m2": ((), area, unit) if scalar else ("y", area, unit),
    }
    if cover is not None:
        coords["cover"] = (("y", "x"), cover.values, cover.attrs)
    return coords, {"cell_area_m2": area} if isinstance(area, float) else {}


# attributes of the place of an array's cells and of their mine
MAP_COORDINATES = ("y", "x", "cell_area_m2", "cover")
CELL_ATTRIBUTES = ("crs", "transform", "cell_area_m2", "min_cover", "mine_id", "mine_name")


def on_cells_of(
    cube: xr.DataArray,
    dims: tuple[str, ...],
    values: object,
    name: str,
    attrs: Mapping[str, Any],
    coords: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Return an array on the cells of another one: its map coordinates and cell attributes, nothing else of it."""
    shared = {key: cube.coords[key].variable for key in MAP_COORDINATES if key in cube.coords}
    cells = {key: cube.attrs[key] for key in CELL_ATTRIBUTES if key in cube.attrs}
    return xr.DataArray(values, dims=dims, coords={**shared, **(coords or {})}, name=name, attrs={**cells, **attrs})


def ground_area_m2(active: xr.DataArray) -> float:
    """Return the ground area of the cells that are True.

    A cell counts with the part of it that lies within the mine. The slivers of the polygon in cells
    that count as outside (covered by less than ``min_cover``) go with the inside cell next to them
    that is covered most, so that a mine which is active everywhere has exactly the area of its polygon.
    Without a mine every cell counts whole.

    Parameters
    ----------
    active : DataArray, dims (y, x), bool
        With the coordinates ``cell_area_m2`` and, for a mine, ``cover`` and the attribute ``min_cover``.

    Returns
    -------
    float
        Square metres.
    """
    rows_m2 = np.broadcast_to(np.asarray(active["cell_area_m2"].values, dtype=np.float64), active.sizes["y"])
    chosen = active.values
    if "cover" not in active.coords:
        return float(np.count_nonzero(chosen, axis=1) @ rows_m2)
    cover = active["cover"].values
    min_cover = float(active.attrs["min_cover"])
    within = np.array([cover[row][chosen[row]].sum(dtype=np.float64) for row in range(chosen.shape[0])])
    owner_row, owner_col, sliver_row, share = _slivers(cover, min_cover)
    owned = chosen[owner_row, owner_col]
    return float(within @ rows_m2 + (share * rows_m2[sliver_row])[owned].sum())


def _slivers(
    cover: npt.NDArray[np.float32], min_cover: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Give every sliver to a neighbour: rows and columns of the owners, rows and shares of the slivers."""
    rows, cols = np.nonzero((cover > 0) & ~inside(cover, min_cover))
    best = np.zeros(rows.size, np.float32)
    owner_row, owner_col = rows.copy(), cols.copy()
    # neighbours across an edge first: they win a tie against those across a corner
    for step_row, step_col in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        row, col = rows + step_row, cols + step_col
        on_map = (row >= 0) & (row < cover.shape[0]) & (col >= 0) & (col < cover.shape[1])
        value = np.where(on_map, cover[row.clip(0, cover.shape[0] - 1), col.clip(0, cover.shape[1] - 1)], 0)
        better = inside(value, min_cover) & (value > best)
        best[better] = value[better]
        owner_row[better], owner_col[better] = row[better], col[better]
    found = best > 0
    lost = float(cover[rows[~found], cols[~found]].sum())
    if lost:
        logger.info("%.1f cells' worth of the mine lies in slivers beside no inside cell and is left out", lost)
    share = cover[rows[found], cols[found]].astype(np.float64)
    return owner_row[found], owner_col[found], rows[found], share
