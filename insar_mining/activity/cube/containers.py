"""Maps inside files: bands, variables of netCDF and HDF5, products of SNAP, and what they are called."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.enums import ColorInterp

from insar_mining.activity.cube.dates import DatePair, dates_in_name, moment_of, pair_of_moments
from insar_mining.doors import parse_xml
from insar_mining.errors import RasterError, SnapCrashError
from insar_mining.geo.raster_input import DRIVERS, open_raster

Kind = Literal["coherence", "other", "unknown"]

ARRAY_SUFFIXES = (".nc", ".nc4", ".cdf", ".grd", ".h5", ".he5", ".hdf5")
SUFFIXES = (*DRIVERS, ".dim")

# words of names, in lower case; the last known one in a name decides
COHERENCE_WORDS = {
    *("coh", "coherence", "cohs", "corr", "cor", "cc", "correlation", "coherencemagnitude", "cohmag", "gamma"),
}
OTHER_WORDS = {
    *("unw", "unwrapped", "unwrappedphase", "wrapped", "phase", "pha", "phs", "phi", "phasefilt", "phasesigma", "ifg"),
    *("amp", "amplitude", "intensity", "mli", "slc", "rslc", "sigma", "db", "rgb", "browse", "diff", "conncomp"),
    *("connectedcomponents", "mask", "maskfilt", "water", "shadow", "layover", "dem", "hgt", "height", "elevation"),
    *("inc", "incidence", "incidenceangle", "azimuth", "lv", "los", "theta", "lat", "lon", "latitude", "longitude"),
    *("disp", "displacement", "vel", "velocity", "hillshade", "slope", "std", "stdev", "error", "err", "baseline"),
    *("ndai", "rgb", "classes", "stable", "iono", "ionosphere", "tropo", "offset", "offsets", "unwrap"),
}
POLARISATION = re.compile(r"(?<![A-Za-z0-9])(VV|VH|HH|HV)(?=[^A-Za-z0-9]|[PRF]\d{3}|$)", re.IGNORECASE)

# descriptions that formats make up
GENERIC = re.compile(r"(band|layer|channel)?[ _]*\d*", re.IGNORECASE)

# TIFF tag in which SNAP writes the header of its product
SNAP_TAG = 65000

FIRST_NAMES = ("reference", "master", "primary", "ref", "first", "early", "start", "date1")
SECOND_NAMES = ("secondary", "slave", "sec", "second", "late", "end", "date2")


@dataclass(frozen=True)
class Layer:
    """Hold a map in a file: where it is, what it is called, and what its container knows of it.

    Attributes
    ----------
    path : Path
    dataset : Path or str
        What is opened.
    band : int
    label : str
        Description of the band, or name of the variable; empty where it has none.
    pair : DatePair or None
        Dates that belong to this map alone.
    drivers : sequence of str, optional
    crs, transform, nodata : optional
        Where the container knows them and GDAL does not.
    """

    path: Path
    dataset: Path | str
    band: int
    label: str = ""
    pair: DatePair | None = None
    drivers: tuple[str, ...] | None = None
    crs: CRS | None = None
    transform: Affine | None = None
    nodata: float | None = None


def kind_of(name: str) -> Kind:
    """Find the kind of map from its name; the last word that is known decides.

    Examples
    --------
    >>> kind_of("S1AA_20210105T171234_20210117T171235_VVP012_INT80_G_ueF_0000_corr")
    'coherence'
    >>> kind_of("S1AA_20210105T171234_20210117T171235_VVP012_INT80_G_ueF_0000_unw_phase")
    'other'
    >>> kind_of("20210105_20210117")
    'unknown'
    """
    for word in reversed(re.findall(r"[A-Za-z]+", name)):
        if word.lower() in COHERENCE_WORDS:
            return "coherence"
        if word.lower() in OTHER_WORDS:
            return "other"
    return "unknown"


def polarisation_of(*names: str) -> str | None:
    """Return the polarisation in the first of some names that holds exactly one."""
    for name in names:
        found = {match.upper() for match in POLARISATION.findall(name)}
        if len(found) == 1:
            return str(next(iter(found)))
    return None


def layers_of(path: Path) -> list[Layer]:
    """Return every map of a file.

    Raises
    ------
    rasterio.errors.RasterioError
        It cannot be opened.
    RasterError
        It is damaged, or its maps have no place.
    """
    suffix = path.suffix.lower()
    if suffix == ".dim":
        return _layers_of_dimap(path)
    if suffix in ARRAY_SUFFIXES:
        return _layers_of_arrays(path)
    return _layers_of_bands(path)


def _layers_of_bands(path: Path) -> list[Layer]:
    """Return the bands of a file, by their descriptions or the names that SNAP gave them."""
    with open_raster(path) as source:
        names = ["" if GENERIC.fullmatch(name or "") else str(name) for name in source.descriptions]
        colours = source.colorinterp
        driver = source.driver
    if not any(names) and driver == "GTiff":
        names = _snap_names(path, len(names))
    if not any(names) and len(names) == 2 and (driver in ("ISCE", "ROI_PAC") or ".cor" in path.suffixes):
        # amplitude and correlation, as ROI_PAC's rmg files have them
        names = ["amplitude", "coherence"]
    return [
        Layer(path, path, number, name, dates_in_name(name))
        for number, (name, colour) in enumerate(zip(names, colours, strict=True), start=1)
        if colour != ColorInterp.alpha
    ]


def _layers_of_dimap(path: Path) -> list[Layer]:
    """Return the bands of a BEAM-DIMAP product of SNAP."""
    from insar_mining.coherence.snap.dimap import read_dimap

    try:
        product = read_dimap(path)
    except SnapCrashError as error:
        raise RasterError(str(error)) from error
    if product.crs_wkt is None or product.transform is None:
        raise RasterError(f"{path}: lies on no map (no CRS in its header). Terrain-correct it in SNAP first.")
    crs = CRS.from_wkt(product.crs_wkt)
    return [
        Layer(
            path,
            band.image,
            1,
            band.name,
            dates_in_name(band.name),
            ("ENVI",),
            crs,
            product.transform,
            band.nodata,
        )
        for band in product.bands
        if not band.virtual
    ]


def _snap_names(path: Path, count: int) -> list[str]:
    """Return the names that SNAP wrote into a GeoTIFF's own tag, which GDAL does not read."""
    text = _tiff_text(path, SNAP_TAG)
    names: list[str] = []
    if text:
        try:
            root = parse_xml(text)
        except ElementTree.ParseError:
            root = ElementTree.Element("none")
        names = [name.text or "" for name in root.iterfind(".//Spectral_Band_Info/BAND_NAME")]
    return names if len(names) == count else [""] * count


def _tiff_text(path: Path, wanted: int) -> str:
    """Read a text tag of the first image of a TIFF or BigTIFF; empty where there is none."""
    with path.open("rb") as handle:
        head = handle.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return ""
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        start = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])[0]
        handle.seek(start)
        entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
        entries = struct.unpack(order + ("Q" if big else "H"), handle.read(8 if big else 2))[0]
        table = handle.read(entry.size * entries)
        for number in range(len(table) // entry.size):
            tag, _, length, offset = entry.unpack_from(table, number * entry.size)
            if tag == wanted:
                handle.seek(offset)
                return handle.read(length).decode("utf-8", "replace").rstrip("\0")
    return ""


# -- netCDF and HDF5 ------------------------------------------------------------------


def _layers_of_arrays(path: Path) -> list[Layer]:
    """Return the maps of a netCDF or HDF5 file: of MintPy, ARIA, GMTSAR, NISAR and others."""
    mintpy = _layers_of_mintpy(path) if path.suffix.lower() not in (".nc", ".grd") else None
    if mintpy is not None:
        return mintpy
    with open_raster(path) as source:
        parts = [str(name) for name in source.subdatasets]
        driver = source.driver
        if not parts and source.count:
            label = str(source.tags(1).get("NETCDF_VARNAME", ""))
            return _layers_of_variable(path, path, label, source)
    chosen = _chosen_variables(path, parts)
    layers: list[Layer] = []
    for part in chosen:
        name = re.split(r"[:/]", part)[-1]
        with open_raster(part, ("netCDF",) if driver == "netCDF" else ("HDF5Image",)) as source:
            layers += _layers_of_variable(path, part, name, source)
    return layers


def _chosen_variables(path: Path, parts: Sequence[str]) -> list[str]:
    """Return the variables that are coherence by name; the only one, if its name says nothing."""
    coherence = [part for part in parts if kind_of(re.split(r"[:/]", part)[-1]) == "coherence"]
    if coherence or len(parts) <= 1:
        return coherence or list(parts)
    # any other band may still be asked for by name
    return list(parts)


def _layers_of_variable(path: Path, dataset: Path | str, label: str, source: Any) -> list[Layer]:
    """Return a variable's maps: one, or one per pair along its first dimension."""
    drivers = (source.driver,)
    pairs = _pairs_of_bands(path, label, source.count)
    return [Layer(path, dataset, number, label, pair, drivers) for number, pair in enumerate(pairs, start=1)]


def _layers_of_mintpy(path: Path) -> list[Layer] | None:
    """Return the maps of a geocoded file of MintPy; None for any other file.

    Raises
    ------
    RasterError
        It is in radar coordinates.
    """
    import h5py

    if not h5py.is_hdf5(path):
        return None
    with h5py.File(path, "r") as content:
        attributes = {str(key): _text(value) for key, value in content.attrs.items()}
        if "coherence" not in content or not {"FILE_TYPE", "LENGTH"} <= attributes.keys():
            return None
        shape = content["coherence"].shape
        dates = [] if "date" not in content else [[_text(day) for day in row] for row in np.atleast_2d(content["date"])]
    if "X_FIRST" not in attributes:
        raise RasterError(f"{path}: lies in radar coordinates. Geocode it first (MintPy: geocode.py).")
    x, y, dx, dy = (float(attributes[name]) for name in ("X_FIRST", "Y_FIRST", "X_STEP", "Y_STEP"))
    transform, crs = Affine(dx, 0.0, x, 0.0, dy, y), _mintpy_crs(path, attributes)
    if len(shape) == 2:
        pairs = [dates_in_name(attributes.get("DATE12", ""))]
    else:
        pairs = [pair_of_moments(*(moment_of(_iso(day)) for day in row)) for row in dates]
    if len(pairs) != (1 if len(shape) == 2 else shape[0]):
        raise RasterError(f"{path}: has {shape[0]} maps and {len(pairs)} pairs of dates. Make it again.")
    return [
        Layer(path, f'HDF5:"{path}"://coherence', number, "coherence", pair, ("HDF5Image",), crs, transform)
        for number, pair in enumerate(pairs, start=1)
    ]


def _mintpy_crs(path: Path, attributes: dict[str, str]) -> CRS:
    """Return the CRS of a file of MintPy: its EPSG code, its UTM zone, or degrees."""
    zone = re.fullmatch(r"(\d{1,2})([NS])", attributes.get("UTM_ZONE", "").strip().upper())
    try:
        if attributes.get("EPSG", "").strip():
            return CRS.from_epsg(int(float(attributes["EPSG"])))
        if zone:
            return CRS.from_epsg((32600 if zone[2] == "N" else 32700) + int(zone[1]))
    except (CRSError, ValueError) as error:
        raise RasterError(f"{path}: its coordinate system is not understood ({error})") from error
    if not attributes.get("X_UNIT", "degrees").lower().startswith("deg"):
        raise RasterError(f"{path}: has metres and neither EPSG nor UTM_ZONE. Add one to its attributes")
    return CRS.from_epsg(4326)


def _pairs_of_bands(path: Path, variable: str, count: int) -> Sequence[DatePair | None]:
    """Return the dates of every map along the first dimension of a variable; none of a map without that dimension.

    Raises
    ------
    RasterError
        Nothing along that dimension gives two dates.
    """
    import xarray as xr

    with path.open("rb") as handle:
        classic = handle.read(3) == b"CDF"
    group = _group_of(path, variable)
    try:
        with xr.open_dataset(path, engine="scipy" if classic else "h5netcdf", group=group) as data:
            if data[variable].ndim < 3:
                return [None] * count
            along = data[variable].dims[0]
            columns = {
                str(name): values.values for name, values in data.variables.items() if values.dims[:1] == (along,)
            }
    except (OSError, ValueError, KeyError) as error:
        if count == 1:
            return [None]
        raise RasterError(f"{path}: its dates cannot be read ({' '.join(str(error).split())})") from error
    for values in columns.values():
        if values.ndim == 1 and values.dtype.kind in "OSU":
            pairs = [dates_in_name(_text(value)) for value in values]
            if len(pairs) == count and all(pair is not None for pair in pairs):
                return pairs
    first, second = (_role(columns, names, count) for names in (FIRST_NAMES, SECOND_NAMES))
    if first is not None and second is not None:
        both = [pair_of_moments(a, b) for a, b in zip(first, second, strict=True)]
        if all(pair is not None for pair in both):
            return both
    if count == 1:
        return [None]
    raise RasterError(
        f"{path}: {variable!r} holds {count} maps, and none of {', '.join(columns) or 'its variables'} gives their two "
        "dates. Write one file per pair, or variables reference_date and secondary_date along that dimension."
    )


def _role(columns: dict[str, Any], names: Sequence[str], count: int) -> Any:
    """Return the days of the column whose name holds one of some words."""
    for name, values in columns.items():
        words = re.findall(r"[a-z]+\d*", name.lower())
        if any(word in names for word in words) and values.shape == (count,):
            try:
                return np.array([_instant(value) for value in values])
            except ValueError:
                continue
    return None


def _instant(value: Any) -> np.datetime64:
    """Turn a stored date (a time, a text, or a number such as 20210105) into an instant."""
    if isinstance(value, np.datetime64):
        return np.datetime64(str(value.astype("datetime64[s]")))
    return moment_of(_iso(_text(value)))


def _iso(text: str) -> str:
    """Write 20210105 as 2021-01-05; leave other texts as they are."""
    digits = text.strip().removesuffix(".0")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if re.fullmatch(r"\d{8}", digits) else text.strip()


def _group_of(path: Path, variable: str) -> str | None:
    """Return the group of an HDF5 file that holds a variable; None for the root."""
    import h5py

    if not h5py.is_hdf5(path):
        return None
    found: list[str] = []
    with h5py.File(path, "r") as content:
        content.visit(lambda name: found.append(name) if name.rsplit("/", 1)[-1] == variable else None)
    return found[0].rpartition("/")[0] or None if found else None


def _text(value: Any) -> str:
    """Return a stored text, which may be bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
