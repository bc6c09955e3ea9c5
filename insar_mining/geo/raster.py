"""Rasters that the project writes: cloud-optimised GeoTIFFs, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError

from insar_mining.errors import OutputError
from insar_mining.files import appears_whole

BLOCK_PX = 256


def write_cog(
    path: Path | str,
    bands: npt.NDArray[np.generic] | Sequence[npt.NDArray[np.generic]],
    *,
    crs: str,
    transform: Affine,
    names: Sequence[str],
    nodata: float | None = None,
    tags: Mapping[str, str] | None = None,
    overviews: str = "average",
) -> Path:
    """Write bands of one shape and type as a cloud-optimised GeoTIFF.

    Parameters
    ----------
    bands : ndarray, shape (bands, y, x) or (y, x), or a sequence of (y, x)
    names : sequence of str
        One description per band.
    nodata : float, optional
        By default NaN for floating-point bands and none for others.
    tags : mapping, optional
        Free text, written as the file's metadata.
    overviews : str
        How overviews are resampled; ``"nearest"`` or ``"mode"`` for classes.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    cube = np.asarray(bands)
    cube = cube[np.newaxis] if cube.ndim == 2 else cube
    if nodata is None and cube.dtype.kind == "f":
        nodata = float("nan")
    profile = {
        "driver": "COG",
        "count": cube.shape[0],
        "height": cube.shape[1],
        "width": cube.shape[2],
        "dtype": cube.dtype,
        "crs": crs,
        "transform": transform,
        "nodata": nodata,
        "compress": "DEFLATE",
        "predictor": "YES",
        # measured values are noise: trying harder takes twice as long and makes a map 1 % smaller
        "level": 1 if cube.dtype.kind == "f" else 6,
        "blocksize": BLOCK_PX,
        "overview_resampling": overviews,
        "num_threads": "ALL_CPUS",
    }
    with appears_whole(path) as partial:
        try:
            with rasterio.open(partial, "w", **profile) as target:
                target.write(cube)
                target.update_tags(**(tags or {}))
                for number, name in enumerate(names, start=1):
                    target.set_band_description(number, name)
        except (rasterio.errors.RasterioError, CPLE_BaseError) as error:
            # the COG driver lets GDAL's own errors through, which rasterio's class does not cover
            raise OutputError(
                f"cannot write {path}: {error}. Choose another output folder, or free space there"
            ) from error
    return Path(path)
