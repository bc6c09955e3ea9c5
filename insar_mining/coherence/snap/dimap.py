"""BEAM-DIMAP products, as SNAP leaves them between its stages: ``name.dim`` and ``name.data``.

The header is XML, each band a raw file (big-endian unless its ENVI header says
otherwise).  SNAP 13 tags the dates of a stack ``_mst_`` and ``_slv1_``, SNAP 14 ``_ref_``
and ``_sec1_``; both are read.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from affine import Affine

from insar_mining.arrays import FloatArray
from insar_mining.errors import SnapCrashError, SnapOrbitError, SnapOutputError
from insar_mining.files import write_text

TYPES = {
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
POLARISATION = re.compile(r"_(VV|VH|HH|HV)(?:_|$)")
DATE = re.compile(r"(\d{2})([A-Z][a-z]{2})(\d{4})")
COHERENCE = re.compile(
    r"coh_(?:(?P<swath>IW\d)_)?(?:(?P<pol>VV|VH|HH|HV)_)?(?P<first>\d{2}\w{3}\d{4})_(?P<second>\d{2}\w{3}\d{4})"
)
SECONDARIES = ("Secondary_Metadata", "Slave_Metadata")
ABSTRACTED = "Abstracted_Metadata"
SAMPLED_ROWS = 64
SPACING_S = (0.5, 1.5)  # Apply-Orbit-File makes vectors 1 s apart, the annotation's are 10 s apart
NO_FILE = ("", "-", "N/A")  # what stands for the annotation's vectors


@dataclass(frozen=True)
class Band:
    """Hold one band of a product.

    Attributes
    ----------
    image : Path
        Its raw file.
    dtype : numpy.dtype
        With the byte order of the file.
    virtual : bool
        An expression without a file.
    """

    name: str
    width: int
    height: int
    dtype: np.dtype[np.generic]
    image: Path
    nodata: float | None
    virtual: bool

    @property
    def size(self) -> int:
        """Bytes that the file must have."""
        return self.width * self.height * self.dtype.itemsize

    def pixels(self) -> npt.NDArray[np.generic]:
        """Map the file's pixels, shape (height, width), in the file's byte order; nothing is read yet.

        Raises
        ------
        SnapCrashError
            The file is missing or has another size.
        """
        have = self.image.stat().st_size if self.image.is_file() else None
        if have != self.size:
            found = "is missing" if have is None else f"has {have} bytes"
            raise SnapCrashError(f"{self.image}: {found}, {self.size} are expected; SNAP did not finish writing it")
        return np.memmap(self.image, dtype=self.dtype, mode="r", shape=(self.height, self.width))


@dataclass(frozen=True)
class OrbitRecord:
    """Hold the state vectors of one date in a product.

    Attributes
    ----------
    element : str
        Where it says so.
    file : str
        Name of the orbit file, empty for the annotation's vectors.
    spacing_s : float
        Time from one vector to the next, NaN if there are fewer than two.
    """

    element: str
    file: str
    spacing_s: float


@dataclass(frozen=True, eq=False)
class Dimap:
    """Hold the header of a product; made by :func:`read_dimap`."""

    path: Path
    width: int
    height: int
    bands: tuple[Band, ...]
    crs_wkt: str | None
    transform: Affine | None
    _root: ElementTree.Element

    def band(self, name: str) -> Band:
        """Return a band.

        Raises
        ------
        SnapOutputError
            There is none of this name.
        """
        for band in self.bands:
            if band.name == name:
                return band
        known = ", ".join(band.name for band in self.bands) or "none"
        raise SnapOutputError(f"{self.path}: has no band {name}; it has {known}")

    def attribute(self, name: str) -> str | None:
        """Return an entry of the abstracted metadata."""
        element = _abstracted(self._root)
        return None if element is None else _attribute(element, name)

    def orbits(self) -> list[OrbitRecord]:
        """Return the orbit records of the reference and then of every secondary."""
        found = []
        first = _abstracted(self._root)
        if first is not None:
            found.append(_orbit(ABSTRACTED, first))
        for group in SECONDARIES:
            for element in _metadata(self._root).findall(f"./MDElem[@name='{group}']/MDElem"):
                # each of them holds the metadata of one date; SNAP adds lists of bands of the same kind beside it
                if element.find("MDATTR[@name='first_line_time']") is not None:
                    found.append(_orbit(element.get("name", group), element))
        return found


def read_dimap(path: Path) -> Dimap:
    """Read the header of a product.

    Raises
    ------
    SnapCrashError
        There is no header, or only half of one.
    """
    if not path.is_file():
        raise SnapCrashError(f"{path}: SNAP left no product")
    try:
        root = ElementTree.parse(path).getroot()
        return _product(path, root)
    except (ElementTree.ParseError, ValueError, _MissingError) as error:
        raise SnapCrashError(f"{path}: is damaged ({error}); SNAP did not finish writing it") from error


class _MissingError(Exception):
    """An element of the header is not there."""


def _product(path: Path, root: ElementTree.Element) -> Dimap:
    files = {
        entry.findtext("BAND_INDEX", ""): entry.find("DATA_FILE_PATH")
        for entry in root.findall("Data_Access/Data_File")
    }
    columns, rows = (int(_text(root, f"Raster_Dimensions/{name}")) for name in ("NCOLS", "NROWS"))
    bands = tuple(
        _band(path, entry, files, columns, rows) for entry in root.findall("Image_Interpretation/Spectral_Band_Info")
    )
    matrix = root.findtext(".//IMAGE_TO_MODEL_TRANSFORM")
    return Dimap(
        path=path,
        width=columns,
        height=rows,
        bands=bands,
        crs_wkt=root.findtext("Coordinate_Reference_System/WKT"),
        transform=None if matrix is None else _affine(matrix),
        _root=root,
    )


def _band(
    path: Path, entry: ElementTree.Element, files: dict[str, ElementTree.Element | None], columns: int, rows: int
) -> Band:
    index = _text(entry, "BAND_INDEX")
    virtual = entry.findtext("VIRTUAL_BAND", "false").strip() == "true"
    reference = files.get(index)
    if reference is None and not virtual:
        raise _MissingError(f"band {index} has no file")
    header = path.parent / (reference.get("href", "") if reference is not None else "")
    nodata = entry.findtext("NO_DATA_VALUE") if entry.findtext("NO_DATA_VALUE_USED", "").strip() == "true" else None
    kind = _text(entry, "DATA_TYPE")
    if kind not in TYPES:
        raise _MissingError(f"data type {kind} of band {index} is not known")
    return Band(
        name=_text(entry, "BAND_NAME"),
        width=int(entry.findtext("BAND_RASTER_WIDTH") or columns),
        height=int(entry.findtext("BAND_RASTER_HEIGHT") or rows),
        dtype=np.dtype(_byte_order(header) + TYPES[kind]),
        image=header.with_suffix(".img"),
        nodata=None if nodata is None else float(nodata),
        virtual=virtual,
    )


def _byte_order(header: Path) -> str:
    """Return numpy's sign for the byte order that an ENVI header names; DIMAP's own is big-endian."""
    if header.suffix == ".hdr" and header.is_file():
        match = re.search(r"^\s*byte order\s*=\s*(\d)", header.read_text("utf-8", "replace"), re.MULTILINE)
        if match and match[1] == "0":
            return "<"
    return ">"


def _affine(text: str) -> Affine:
    """Read Java's order (m00, m10, m01, m11, m02, m12)."""
    a, d, b, e, c, f = (float(part) for part in text.split(","))
    return Affine(a, b, c, d, e, f)


def _text(root: ElementTree.Element, path: str) -> str:
    text = root.findtext(path)
    if text is None:
        raise _MissingError(f"{path} is not there")
    return text.strip()


def _metadata(root: ElementTree.Element) -> ElementTree.Element:
    found = root.find("./Dataset_Sources/MDElem[@name='metadata']")
    return ElementTree.Element("MDElem") if found is None else found


def _abstracted(root: ElementTree.Element) -> ElementTree.Element | None:
    return _metadata(root).find(f"./MDElem[@name='{ABSTRACTED}']")


def _attribute(element: ElementTree.Element, name: str) -> str | None:
    found = element.find(f"MDATTR[@name='{name}']")
    return None if found is None else (found.text or "").strip()


def _orbit(name: str, element: ElementTree.Element) -> OrbitRecord:
    times = [
        parse_utc(vector.findtext("MDATTR[@name='time']", ""))
        for vector in element.findall("./MDElem[@name='Orbit_State_Vectors']/MDElem")
    ]
    steps = [(b - a).total_seconds() for a, b in pairwise(times)]
    file = _attribute(element, "orbit_state_vector_file") or ""
    return OrbitRecord(name, "" if file in NO_FILE else file, float(np.median(steps)) if steps else float("nan"))


def parse_utc(text: str) -> dt.datetime:
    """Read SNAP's time, whatever the locale.

    Examples
    --------
    >>> parse_utc("04-SEP-2023 06:37:31.072288")
    datetime.datetime(2023, 9, 4, 6, 37, 31, 72288)
    """
    day, clock = text.strip().split(" ")
    number, month, year = day.split("-")
    time = dt.time.fromisoformat(clock)
    return dt.datetime.combine(dt.date(int(year), MONTHS.index(month.upper()) + 1, int(number)), time)


def format_utc(time: dt.datetime) -> str:
    """Write SNAP's time, with microseconds."""
    return f"{time.day:02d}-{MONTHS[time.month - 1]}-{time.year} {time:%H:%M:%S.%f}"


def band_date(date: str) -> str:
    """Write a date as it stands in names of bands.

    Examples
    --------
    >>> band_date("2023-09-04")
    '04Sep2023'
    """
    day = dt.date.fromisoformat(date)
    return f"{day.day:02d}{MONTHS[day.month - 1].title()}{day.year}"


def coherence_band(product: Dimap, reference_date: str, secondary_date: str, polarisation: str) -> Band:
    """Return the band with the coherence of two dates.

    Parameters
    ----------
    reference_date, secondary_date : str
        ``2023-09-04``.

    Raises
    ------
    SnapOutputError
        There is none, or several.
    """
    wanted = (band_date(reference_date), band_date(secondary_date))
    found = []
    for band in product.bands:
        match = COHERENCE.fullmatch(band.name)
        if match and (match["first"], match["second"]) == wanted and match["pol"] in (None, polarisation):
            found.append(band)
    if len(found) != 1:
        known = ", ".join(band.name for band in product.bands) or "none"
        raise SnapOutputError(
            f"{product.path}: {len(found)} bands hold the {polarisation} coherence of {' and '.join(wanted)}; "
            f"its bands are {known}"
        )
    return found[0]


def dates_of(product: Dimap) -> set[str]:
    """Return the dates in the names of the bands, as ``04Sep2023``."""
    return {"".join(match) for band in product.bands for match in DATE.findall(band.name)}


def check_content(product: Dimap, dates: Sequence[str] = (), polarisation: str = "") -> None:
    """Check that a product is whole and holds what was asked for: exit code 0 proves neither.

    Bands may differ in size, as those of assembled slices do.

    Parameters
    ----------
    dates : sequence of str
        ``2023-09-04``; each must stand in the name of a band.
    polarisation : str
        ``VV``; the only one that names of bands may hold. Any if empty.

    Raises
    ------
    SnapCrashError
        A file is missing or cut off.
    SnapOutputError
        No band, no pixel, only zeros, only missing values, or another date or polarisation.
    """
    bands = [band for band in product.bands if not band.virtual]
    if not bands or any(band.size == 0 for band in bands):
        raise SnapOutputError(
            f"{product.path}: is empty ({product.width} x {product.height} pixels, {len(bands)} bands) although SNAP "
            "reported success. Check that the area lies inside the bursts, and SNAP's log."
        )
    have = dates_of(product)
    absent = [date for date in dates if band_date(date) not in have]
    if absent:
        raise SnapOutputError(
            f"{product.path}: no band is of {', '.join(absent)} (dates are {', '.join(sorted(have)) or 'none'}); "
            "the product belongs to another pair"
        )
    others = {found[1] for band in bands if (found := POLARISATION.search(band.name))} - {polarisation}
    if polarisation and others:
        raise SnapOutputError(
            f"{product.path}: has bands of {', '.join(sorted(others))}, {polarisation} was asked for; SNAP takes all "
            "polarisations if the product does not have the one that is named. Choose one that it has"
        )
    for band in bands:
        sample = np.concatenate(list(_rows(band)))
        finite = np.isfinite(sample)
        if not finite.any() or not sample[finite].any():
            raise SnapOutputError(
                f"{product.path}: band {band.name} holds no value although SNAP reported success. Check that the two "
                "dates see the same ground and that the elevation model covers it."
            )


def _rows(band: Band) -> Iterator[FloatArray]:
    """Yield rows spread over the whole image."""
    pixels = band.pixels()
    for row in np.unique(np.linspace(0, band.height - 1, SAMPLED_ROWS).round().astype(int)):
        yield np.asarray(pixels[row], dtype=np.float64)


def refuse_other_orbits(product: Dimap, wanted: Sequence[tuple[str, str | None]]) -> None:
    """Make sure that a product was made with the orbit files it was given.

    Parameters
    ----------
    wanted : sequence of (name of the date, name of the orbit file)
        In the order of the product's dates; None where the annotation's orbit was asked for.

    Raises
    ------
    SnapOrbitError
        Its metadata names another file, or its vectors are not the ones that
        Apply-Orbit-File makes, 1 s apart.
    """
    records = product.orbits() if any(orbit is not None for _, orbit in wanted) else []
    for number, (side, orbit) in enumerate(wanted):
        if orbit is None:
            continue
        record = records[number] if len(wanted) > 1 and number < len(records) else records[0] if records else None
        found = "nothing" if record is None else f"{record.file or 'no file'}, vectors {record.spacing_s:g} s apart"
        stem = orbit.removesuffix(".EOF")
        if record is None or stem not in record.file or not SPACING_S[0] < record.spacing_s < SPACING_S[1]:
            raise SnapOrbitError(
                f"{product.path.name}: the {side} should have the orbit {orbit} in vectors 1 s apart, its "
                f"metadata says {found}. The geometry is that of the annotation. SNAP 14 does so when Apply-Orbit-File "
                "and its successors are in one graph: run them in separate processes, as the package's own graphs do"
            )


def move_origin(path: Path, lines: float, samples: float) -> None:
    """Move the origin in the header by so many lines and samples.

    Terrain-Correction places pixels by the time of the first and the last line and by
    the slant range of the first sample; the pixels stay as they are.

    Raises
    ------
    SnapOutputError
        The header does not state these times.
    """
    root = ElementTree.parse(path).getroot()
    element = _abstracted(root)

    def entry(name: str) -> ElementTree.Element:
        found = None if element is None else element.find(f"MDATTR[@name='{name}']")
        if found is None or not (found.text or "").strip():
            raise SnapOutputError(f"{path}: its metadata has no {name}, so its windows cannot be put where they belong")
        return found

    later = dt.timedelta(seconds=lines * float(entry("line_time_interval").text or 0))
    for name in ("first_line_time", "last_line_time"):
        time = entry(name)
        time.text = format_utc(parse_utc(time.text or "") + later)
    if samples:
        near = entry("slant_range_to_first_pixel")
        near.text = repr(float(near.text or 0) + samples * float(entry("range_spacing").text or 0))
    write_text(path, ElementTree.tostring(root, encoding="unicode"))
