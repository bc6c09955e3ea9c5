"""A cube on disk as Zarr, written in blocks and whole or not at all."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
import zarr.errors

from insar_mining import __version__
from insar_mining.activity.cube.blocks import Key, lazy_variable
from insar_mining.activity.cube.checks import check_cube
from insar_mining.doors import guarded
from insar_mining.errors import OutputError, RasterError
from insar_mining.files import ANYTHING, TEMPORARY, check_replaceable, delete, replace_folder, temporary_name
from insar_mining.geo.grid import RasterGrid

# side of a chunk; every chunk holds all pairs, so that a pixel's series is read at once
CHUNK = 256
NAME = "coherence"
# variable that holds the CRS, as the CF conventions and rioxarray have it
GRID_MAPPING = "spatial_ref"
AXIS_ATTRIBUTES = ("standard_name", "long_name", "units", "axis")
# paths of the files of a store: metadata and chunks
STORE_FILES = re.compile(r"(?:[^/]+/)?(?:\.z(?:group|array|attrs|metadata)|zarr\.json|(?:c/)?\d+(?:[./]\d+)*|c)")
# zstd, as GDAL's wheels before 3.10 read no blosc; coordinates are small and are not compressed
CODEC: dict[str, Any] = {"id": "zstd", "level": 1}
MARK = "software"  # attribute of every store that this package writes


def to_zarr(coh: xr.DataArray, path: str | os.PathLike[str], *, chunk: int = CHUNK) -> Path:
    """Write a cube to a Zarr store, in blocks, whole or not at all.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Lazy or in memory. Attributes that are tables (``scenes``) are left out: they have files of their own.
    path : path
        The folder to write, ``coherence.zarr`` say; one that is there is replaced once the new one is complete.
    chunk : int
        Rows and columns of a chunk.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        The folder cannot be written, or is there and is no Zarr store.
    """
    check_cube(coh)
    with written_store(path) as partial:
        _write(coh, partial, chunk)
    return Path(path)


@contextmanager
def written_store(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the name of a folder to write a Zarr store into, which takes the place of `path` if all goes well.

    Raises
    ------
    OutputError
        The folder cannot be written, or something is at `path` that is no Zarr store.
    """
    path = Path(path)
    if path.exists() and not _is_own(path):
        raise OutputError(f"{path}: is there and is no Zarr store of this package. Choose another name.")
    check_replaceable(path, STORE_FILES)
    partial = temporary_name(path, folder=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        zarr.open_group(partial, mode="r+", zarr_format=2).attrs[MARK] = f"insar_mining {__version__}"
        consolidate(partial)
        replace_folder(partial, path, STORE_FILES)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error}. Choose another output folder, or free space and rights there"
        ) from error
    finally:
        delete(partial, TEMPORARY, ANYTHING)


def _is_own(path: Path) -> bool:
    """Check whether a folder is a store that this package wrote."""
    try:
        group = zarr.open_group(path, mode="r")
        # stores of the first version carry no mark, but every array of theirs its cells
        return MARK in group.attrs or any("transform" in array.attrs for _, array in group.arrays())
    except (OSError, ValueError, KeyError, TypeError, zarr.errors.BaseZarrError):
        return False


def open_maps(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open maps (year, y, x) of a Zarr store, read when used.

    Raises
    ------
    RasterError
        There is no such store.
    """
    # as stored: whole numbers with a value for no data would else become floating-point numbers
    data = _without_axes(_opened(Path(path), mask_and_scale=False))
    maps = data.set_coords([str(name) for name, values in data.data_vars.items() if values.dims != ("year", "y", "x")])
    for values in maps.data_vars.values():
        values.attrs.pop("_FillValue", None)
    return maps


def from_zarr(path: str | os.PathLike[str]) -> xr.DataArray:
    """Open a cube that `to_zarr` wrote, as lazily as `open_stack` opens rasters.

    Raises
    ------
    RasterError
        There is no such store, or no coherence in it.
    """
    path = Path(path)
    data = _opened(path)
    if NAME not in data:
        raise RasterError(f"{path}: holds no {NAME!r}; is it another package's store?")
    data = _without_axes(data)
    cube: xr.DataArray = data.set_coords([str(name) for name in data.data_vars if name != NAME])[NAME]
    with guarded(RasterError, path, "Make the store again (to_zarr)."):
        _check_stored(cube)
    return _checked_when_read(cube, path)


def _without_axes(data: xr.Dataset) -> xr.Dataset:
    """Return what is stored without what was added for other programs: the package keeps a CRS as an attribute."""
    data = data.drop_vars(GRID_MAPPING, errors="ignore")
    for values in data.data_vars.values():
        for name in ("grid_mapping", "_CRS"):
            values.attrs.pop(name, None)
        values.encoding.pop("coordinates", None)
        if "transform" in values.attrs:
            values.attrs["transform"] = tuple(values.attrs["transform"])
    for axis in ("y", "x"):
        for name in AXIS_ATTRIBUTES:
            data[axis].attrs.pop(name, None)
    return data


def _check_stored(cube: xr.DataArray) -> None:
    """Refuse a cube whose axes are not those that `to_zarr` writes.

    Raises
    ------
    ValueError
    """
    if cube.dims != ("pair", "y", "x"):
        raise ValueError(f"its dimensions are {cube.dims}")
    places = [cube[axis].values for axis in ("y", "x")] + [np.array(cube.attrs["transform"][:6], np.float64)]
    if not all(np.isfinite(values).all() for values in places):
        raise ValueError("a coordinate is no number")
    if not (cube["reference_date"].values < cube["secondary_date"].values).all():
        raise ValueError("the dates of a pair are not in order")
    area = np.asarray(cube["cell_area_m2"].values)
    if not (np.isfinite(area) & (area > 0)).all():
        raise ValueError("a cell has no area")


def _checked_when_read(cube: xr.DataArray, path: Path) -> xr.DataArray:
    """Return the same cube whose damaged parts are an error with the store's name when they are read."""
    stored = cube.variable

    def read(key: Key) -> npt.NDArray[np.float32]:
        with guarded(RasterError, path, "Make the store again (to_zarr)."):
            values = np.asarray(stored[key].values, np.float32)
        if not values.size:
            return values
        low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
        if low < 0 or high > 1:
            raise RasterError(f"{path}: values from {low:g} to {high:g}; coherence lies between 0 and 1. Make it again")
        return values

    variable = lazy_variable(("pair", "y", "x"), cube.shape, read)
    checked = xr.DataArray(variable, coords=cube.coords, name=cube.name, attrs=cube.attrs)
    checked.encoding = cube.encoding
    return checked


def _opened(path: Path, *, mask_and_scale: bool = True) -> xr.Dataset:
    with guarded(RasterError, path, "Give the folder of a Zarr store, or make it again."):
        data: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=True, mask_and_scale=mask_and_scale)
    return data


def _write(coh: xr.DataArray, path: Path, chunk: int) -> None:
    """Write coordinates by xarray, then the values block by block on whole chunks."""
    sizes = tuple(coh.sizes[name] for name in ("pair", "y", "x"))
    group = begin_store(coh.coords.to_dataset(), coh, path)
    side_y, side_x = min(chunk, sizes[1]), min(chunk, sizes[2])
    array = group.create_array(
        NAME,
        shape=sizes,
        chunks=(sizes[0], side_y, side_x),
        dtype="float32",
        fill_value=float("nan"),
        compressors=CODEC,
        attributes={"_ARRAY_DIMENSIONS": ["pair", "y", "x"], **_plain(coh), **mapping_attributes(coh, coh.coords)},
    )
    for top in range(0, sizes[1], side_y):
        for left in range(0, sizes[2], side_x):
            rows, cols = slice(top, min(top + side_y, sizes[1])), slice(left, min(left + side_x, sizes[2]))
            array[:, rows, cols] = coh.variable[{"y": rows, "x": cols}].values.astype(np.float32)


def begin_store(coords: xr.Dataset, coh: xr.DataArray, path: Path) -> zarr.Group:
    """Write the coordinates of a store on the cells of a cube, and return the group that its arrays go into."""
    placed = _with_axes(coords.reset_coords(), coh)
    plain = {str(name): {"compressors": None} for name in placed.variables}
    placed.to_zarr(path, mode="w", zarr_format=2, consolidated=False, encoding=plain)
    return zarr.open_group(path, mode="r+", zarr_format=2)


def _with_axes(coords: xr.Dataset, coh: xr.DataArray) -> xr.Dataset:
    """Add the CRS and the meaning of the axes, by which other programs place the cells."""
    if "crs" not in coh.attrs:
        return coords
    grid = RasterGrid.of(coh)
    cf = grid.crs.to_cf()
    corner = " ".join(f"{number:.17g}" for number in grid.transform.to_gdal())
    attributes = {**cf, "spatial_ref": cf["crs_wkt"], "GeoTransform": corner}
    plain = {name: value for name, value in attributes.items() if isinstance(value, str | int | float)}
    for axis in grid.crs.cs_to_cf():
        name = {"X": "x", "Y": "y"}.get(axis.get("axis", ""))
        if name in coords:
            coords[name].attrs.update(axis)
    return coords.assign({GRID_MAPPING: ((), 0, plain)})


def mapping_attributes(coh: xr.DataArray, stored: Iterable[Hashable]) -> dict[str, Any]:
    """Return the attributes by which CF readers and GDAL find the CRS of the values."""
    if "crs" not in coh.attrs:
        return {}
    beside = [str(name) for name in stored if name not in ("pair", "year", "y", "x")]
    return {
        "grid_mapping": GRID_MAPPING,
        "coordinates": " ".join([*beside, GRID_MAPPING]),
        "_CRS": {"wkt": RasterGrid.of(coh).crs.to_wkt()},
    }


def consolidate(path: Path) -> None:
    """Gather a store's metadata in one file, so that it opens at once."""
    with warnings.catch_warnings():
        # consolidated metadata is an extension that some readers do not know; ours does, and others ignore it
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(path, zarr_format=2)


def _plain(coh: xr.DataArray) -> dict[str, Any]:
    """Return the attributes that JSON can hold."""
    plain: dict[str, Any] = {}
    for key, value in coh.attrs.items():
        if isinstance(value, str | int | float | bool):
            plain[str(key)] = value
        elif isinstance(value, tuple | list):
            plain[str(key)] = list(value)
    return plain
