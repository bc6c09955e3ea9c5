"""Arrays that others georeferenced, as this package's functions take them: with cell areas and transform."""

from __future__ import annotations

import numpy as np
import xarray as xr
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from insar_mining.errors import RasterError
from insar_mining.geo.cells import cell_area_m2, horizontal_crs
from insar_mining.geo.grid import RasterGrid

# names of map coordinates in other packages
Y_NAMES = ("lat", "latitude", "northing")
X_NAMES = ("lon", "longitude", "long", "easting")

# coordinates may be spaced unevenly by this part of a cell, as rounded numbers are
SPACING_TOLERANCE = 1e-2

CRS_ATTRIBUTES = ("crs_wkt", "spatial_ref", "crs")


def georeferenced(array: xr.DataArray) -> xr.DataArray:
    """Return an array with the ground area of its cells, worked out from its coordinates and CRS.

    Parameters
    ----------
    array : DataArray
        With dimensions ``y`` and ``x`` (or ``lat`` and ``lon`` and the like) and a CRS: in the attribute ``crs``, or in
        a grid-mapping variable as the CF conventions, rioxarray and odc-geo have it.

    Returns
    -------
    DataArray
        With the coordinate ``cell_area_m2`` and the attributes ``crs`` and ``transform``; as it was where it has cell
        areas already, or no CRS or map coordinates.

    Raises
    ------
    RasterError
        The coordinates are not evenly spaced, or the projection distorts areas.
    """
    renamed = {
        str(name): plain
        for names, plain in ((Y_NAMES, "y"), (X_NAMES, "x"))
        for name in array.dims
        if str(name).lower() in names
    }
    array = array.rename(renamed) if renamed else array
    if "cell_area_m2" in array.coords or not {"y", "x"} <= set(array.dims):
        return array
    crs, transform = _crs_of(array), _transform_of(array)
    if crs is None or transform is None:
        return array
    grid = RasterGrid(crs, transform, array.sizes["x"], array.sizes["y"])
    area = cell_area_m2(grid)
    scalar = isinstance(area, float)
    unit = {"units": "m2", "long_name": "ground area of a cell"}
    areas = xr.Variable((), area, unit) if scalar else xr.Variable("y", area, unit)
    known = array.assign_coords(cell_area_m2=areas)
    known.attrs = {**array.attrs, **grid.attributes(), **({"cell_area_m2": area} if scalar else {})}
    return known


def _crs_of(array: xr.DataArray) -> CRS | None:
    """Return the horizontal CRS that an array names; None where it names none."""
    mapping = array.encoding.get("grid_mapping") or array.attrs.get("grid_mapping")
    sources = [array.coords[name].attrs for name in (mapping, "spatial_ref", "crs") if name in array.coords]
    for attributes in (*sources, array.attrs):
        for name in CRS_ATTRIBUTES:
            if attributes.get(name):
                try:
                    return horizontal_crs(CRS.from_user_input(attributes[name]))
                except CRSError as error:
                    raise RasterError(
                        f"the array's CRS {attributes[name]!r:.60} is not understood ({error})"
                    ) from error
    return None


def _transform_of(array: xr.DataArray) -> Affine | None:
    """Return the transform that the coordinates of an array give, else the one that it names."""
    if {"y", "x"} <= set(array.coords) and min(array.sizes["y"], array.sizes["x"]) > 1:
        x, y = (_origin_and_step(array, name) for name in ("x", "y"))
        return Affine(x[1], 0.0, x[0] - x[1] / 2, 0.0, y[1], y[0] - y[1] / 2)
    if "transform" in array.attrs:
        return Affine(*array.attrs["transform"][:6])
    mapping = array.encoding.get("grid_mapping") or array.attrs.get("grid_mapping", "spatial_ref")
    text = array.coords[mapping].attrs.get("GeoTransform") if mapping in array.coords else None
    return Affine.from_gdal(*(float(part) for part in text.split())) if text else None


def _origin_and_step(array: xr.DataArray, name: str) -> tuple[float, float]:
    """Return the first centre and the spacing of the cells along an axis.

    Raises
    ------
    RasterError
        The spacing is uneven.
    """
    centres = np.asarray(array[name].values, np.float64)
    step = (centres[-1] - centres[0]) / (centres.size - 1)
    if not step or np.abs(np.diff(centres) - step).max() > SPACING_TOLERANCE * abs(step):
        raise RasterError(f"the array's coordinate {name!r} is not evenly spaced. Resample it to a regular grid.")
    return float(centres[0]), float(step)
