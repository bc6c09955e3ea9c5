"""Opening rasters that were made elsewhere: one door, with the formats that each kind of file may have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
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

# filters of warnings belong to the process, and rasters are opened in threads
_OPENING = threading.Lock()

# formats that one thread reads at a time: HDF5 has one lock for the process, which rasterio takes and asks for
# Python's in both orders (it closes with Python's lock held, and an error inside GDAL waits for it): two threads wait
# for one another for ever, https://github.com/rasterio/rasterio/issues/3611
HDF5_WITHIN = frozenset(("netCDF", "HDF5", "HDF5Image", "KEA", "VRT"))
_HDF5 = threading.RLock()


@contextmanager
def open_raster(name: Path | str, drivers: Sequence[str] | None = None) -> Iterator[Any]:
    """Open a raster for reading until the end of the context, in the formats that its ending promises.

    Parameters
    ----------
    name : path or str
        A file, or GDAL's name of a part of one (``NETCDF:"file.nc":coherence``).
    drivers : sequence of str, optional
        GDAL drivers that may open it; by default those of the file's ending, else GeoTIFF.

    Yields
    ------
    rasterio.DatasetReader
        Of netCDF, HDF5 and virtual rasters one at a time in the process; other threads wait.

    Raises
    ------
    rasterio.errors.RasterioIOError
        It cannot be opened by these drivers, or is a virtual raster of more than files of this machine.
    """
    is_part = isinstance(name, str)
    suffix = "" if isinstance(name, str) else name.suffix.lower()
    formats = drivers or DRIVERS.get(suffix, ("GTiff",))
    with _HDF5 if HDF5_WITHIN.intersection(formats) else nullcontext():
        with _OPENING:
            source = doors.open_raster(name, formats, inside=is_part)
        with source:
            yield source
