"""Rasters beside the coherence, on its cells: masks, incidence, heights, vegetation."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import xarray as xr
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from insar_mining.doors import LAYER_FORMATS, open_raster
from insar_mining.errors import CoverageError, OptionError, PartialCoverageWarning, RasterError
from insar_mining.geo.cells import on_cells_of
from insar_mining.geo.grid import RasterGrid

PathLike = str | os.PathLike[str]

# of Sentinel-2 products since processing baseline 04.00 (25 January 2022): reflectance = (DN + offset) / 10000
S2_OFFSET = -1000.0
S2_OFFSET_SINCE = 400
_S2_BASELINE = re.compile(r"MSIL2A_\d{8}T\d{6}_N(\d{4})_")

# largest share of the mine without a value in a layer that gives no warning
MISSING_SHARE = 0.01


def read_layer(path: PathLike, coh: xr.DataArray, *, band: int = 1, categories: bool = False) -> xr.DataArray:
    """Read a raster in any CRS onto the cells of a cube.

    Parameters
    ----------
    path : path
    coh : DataArray
        A cube of `open_stack`, or any map of it.
    band : int
    categories : bool
        The values are labels: the nearest one is taken. Else the mean of what falls into a cell, or a bilinear
        interpolation where the raster is the coarser one.

    Returns
    -------
    DataArray (y, x), float32
        NaN where the raster has no data or does not reach.

    Raises
    ------
    RasterError
        The raster cannot be read or has no place on a map.
    CoverageError
        It lies elsewhere.

    Warns
    -----
    PartialCoverageWarning
        It leaves more than 1 % of the mine without a value.
    """
    values = _warped(Path(path), RasterGrid.of(coh), band, categories)
    return _checked(on_cells_of(coh, ("y", "x"), values, Path(path).stem, {"source": Path(path).name}), path)


def read_mask(path: PathLike, coh: xr.DataArray, *, values: Sequence[int] | None = None, band: int = 1) -> xr.DataArray:
    """Read where ground cannot be judged: water, layover, shadow.

    Parameters
    ----------
    path : path
        Raster in any CRS.
    coh : DataArray
        A cube of `open_stack`, or any map of it.
    values : sequence of int, optional
        Values that mask a cell; default every value but 0. (Of SNAP's layover and shadow mask: 1 layover, 2
        shadow, 3 both.) No data masks nothing.
    band : int

    Returns
    -------
    DataArray (y, x) of bool
        True where the ground is to be left out.

    Raises
    ------
    RasterError, CoverageError
        As of `read_layer`.
    """
    with warnings.catch_warnings():
        # a mask that is cut out around the water is complete
        warnings.simplefilter("ignore", PartialCoverageWarning)
        layer = read_layer(path, coh, band=band, categories=True)
    found = layer.values
    with np.errstate(invalid="ignore"):
        chosen = np.isfinite(found) & (found != 0) if values is None else np.isin(found, list(values))
    return layer.copy(data=chosen)


def read_ndvi(red: PathLike, nir: PathLike, coh: xr.DataArray, *, offset: float | None = None) -> xr.DataArray:
    """Compute the vegetation index from a red and a near-infrared raster, Sentinel-2's B04 and B08 say.

    Parameters
    ----------
    red, nir : path
        Reflectances, scaled in any way that both share.
    coh : DataArray
        A cube of `open_stack`, or any map of it.
    offset : float, optional
        Added to the stored numbers of both. Default: what the files declare (GDAL's scale and offset); for files inside
        a Sentinel-2 product -1000 from processing baseline 04.00 on and 0 before; 0 for floating-point numbers.

    Returns
    -------
    DataArray (y, x), float32
        ``(nir - red) / (nir + red)``, -1..1, of the reflectances averaged over each cell; NaN without data.

    Raises
    ------
    OptionError
        Whole numbers that say nothing of their offset.
    RasterError, CoverageError
        As of `read_layer`.

    Notes
    -----
    Normalised difference vegetation index, Rouse et al. 1974 (NASA SP-351). With the offset forgotten bare
    ground of 0.15 and 0.20 reads 0.10 instead of 0.14, and shadow far worse.
    """
    bands = []
    for path in (Path(red), Path(nir)):
        add = _offset_of(path) if offset is None else offset
        stored = _warped(path, RasterGrid.of(coh), 1, categories=False, zero_is_nodata=add != 0)
        bands.append(stored.astype(np.float64) + add)
    r, n = bands
    with np.errstate(invalid="ignore", divide="ignore"):
        # reflectance below 0 is noise of the atmospheric correction; a sum of 0 has no index
        index = np.where((r + n) > 0, (n - r) / (n + r), np.nan)
    attrs = {"long_name": "normalised difference vegetation index", "units": "1"}
    return _checked(on_cells_of(coh, ("y", "x"), np.clip(index, -1, 1).astype(np.float32), "ndvi", attrs), red)


def _offset_of(path: Path) -> float:
    """Return what makes the stored numbers of a band proportional to reflectance when added to them."""
    try:
        with open_raster(path, LAYER_FORMATS) as source:
            scale, declared, kind = source.scales[0], source.offsets[0], np.dtype(source.dtypes[0]).kind
    except RasterioError as error:
        raise RasterError(f"{path}: not a raster that can be opened ({' '.join(str(error).split())})") from error
    if (scale, declared) != (1.0, 0.0):
        return float(declared / scale)
    found = _S2_BASELINE.search(str(path.resolve()))
    if found:
        return S2_OFFSET if int(found[1]) >= S2_OFFSET_SINCE else 0.0
    if kind == "f":
        return 0.0
    raise OptionError(
        f"{path}: holds whole numbers without their offset. Give offset=-1000 for Sentinel-2 products of "
        "processing baseline 04.00 and later (since January 2022), offset=0 for earlier ones"
    )


def _warped(
    path: Path, grid: RasterGrid, band: int, categories: bool, zero_is_nodata: bool = False
) -> npt.NDArray[np.float32]:
    """Read a band on the cells of a grid, NaN without data, stored numbers as they are."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = open_raster(path, LAYER_FORMATS)
        with source:
            if not source.crs:
                raise RasterError(f"{path}: has no coordinate reference system. Set it (gdal_edit -a_srs).")
            if not 1 <= band <= source.count:
                raise RasterError(f"{path}: has {source.count} band(s), not a band {band}. Choose another (band=).")
            how = Resampling.nearest if categories else _resampling(source, grid)
            nodata = source.nodata if source.nodata is not None else (0 if zero_is_nodata else None)
            with WarpedVRT(
                source,
                crs=grid.crs.to_wkt(),
                transform=grid.transform,
                width=grid.width,
                height=grid.height,
                resampling=how,
                src_nodata=nodata,
                nodata=np.nan,
                dtype="float32",
            ) as warped:
                return np.asarray(warped.read(band, window=Window(0, 0, grid.width, grid.height)), np.float32)
    except RasterioError as error:
        raise RasterError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error


def _resampling(source: rasterio.DatasetReader, grid: RasterGrid) -> Resampling:
    """Choose the resampling of a raster: average if it is finer than the grid, interpolation if coarser."""
    west, south, east, north = transform_bounds(grid.crs.to_wkt(), source.crs, *grid.bounds)
    cell = max((east - west) / grid.width, (north - south) / grid.height)
    return Resampling.average if abs(source.transform.a) < cell else Resampling.bilinear


def _checked(layer: xr.DataArray, path: PathLike) -> xr.DataArray:
    """Refuse a layer that lies elsewhere; say how much of the mine one leaves without a value."""
    missing = np.isnan(layer.values)
    if missing.all():
        raise CoverageError(f"{path}: has no value on any cell of the map; does it lie elsewhere, or hold no data?")
    weight = layer["cover"].values.astype(np.float64) if "cover" in layer.coords else np.ones(layer.shape)
    share = float((weight * missing).sum() / weight.sum())
    if share > MISSING_SHARE:
        warnings.warn(
            f"{path}: leaves {100 * share:.1f} % of the area without a value",
            PartialCoverageWarning,
            stacklevel=3,
        )
    return layer
