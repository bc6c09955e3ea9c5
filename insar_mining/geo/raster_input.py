"""Opening rasters that were made elsewhere: one door, with the formats that each kind of file may have."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from insar_mining import doors

# the format that a file's ending promises; what GDAL would find in the bytes is not asked, so that a VRT in the
# clothes of a GeoTIFF is none
DRIVERS: dict[str, tuple[str, ...]] = {
    ".tif": ("GTiff",),
    ".tiff": ("GTiff",),
    ".nc": ("netCDF",),
    ".nc4": ("netCDF",),
    ".cdf": ("netCDF",),
    ".grd": ("netCDF", "GSBG", "GS7BG", "GSAG"),
    ".h5": ("netCDF", "HDF5", "HDF5Image"),
    ".he5": ("netCDF", "HDF5", "HDF5Image"),
    ".hdf5": ("netCDF", "HDF5", "HDF5Image"),
    ".img": ("ENVI", "HFA"),
    ".vrt": ("VRT", "GTiff", "HFA", "ENVI"),
    ".cor": ("ISCE", "ROI_PAC", "ENVI"),
    ".coh": ("ISCE", "ROI_PAC", "ENVI"),
    ".cc": ("ISCE", "ROI_PAC", "ENVI"),
    ".geo": ("ISCE", "ENVI"),
    ".bil": ("EHdr", "ENVI"),
    ".bsq": ("ENVI",),
    ".bip": ("ENVI",),
    ".dat": ("ENVI",),
    ".jp2": ("JP2OpenJPEG",),
    ".kea": ("KEA",),
}

_OPENING = threading.Lock()


def open_raster(name: Path | str, drivers: Sequence[str] | None = None) -> Any:
    """Open a raster for reading, in the formats that its ending promises.

    Parameters
    ----------
    name : path or str
        A file, or GDAL's name of a part of one (``NETCDF:"file.nc":coherence``).
    drivers : sequence of str, optional
        GDAL drivers that may open it; by default those of the file's ending, else GeoTIFF.

    Returns
    -------
    rasterio.DatasetReader

    Raises
    ------
    rasterio.errors.RasterioIOError
        It cannot be opened by these drivers, or is a virtual raster of more than files of this machine.
    """
    is_part = isinstance(name, str)
    suffix = "" if isinstance(name, str) else name.suffix.lower()
    formats = drivers or DRIVERS.get(suffix, ("GTiff",))
    # filters of warnings belong to the process, and rasters are opened in threads
    with _OPENING:
        return doors.open_raster(name, formats, inside=is_part)
