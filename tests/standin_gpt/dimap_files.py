"""Products in memory, and BEAM-DIMAP on disk as SNAP writes it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass
class Date:
    """Metadata of one date: attributes, and state vectors as (time, x, y, z, vx, vy, vz)."""

    name: str
    attributes: dict[str, str]
    vectors: list[tuple[dt.datetime, np.ndarray]]


@dataclass
class Product:
    """Bands and metadata; `dates` holds the reference and then the secondaries."""

    bands: dict[str, np.ndarray]
    dates: list[Date]
    geo: tuple[str, tuple[float, ...]] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        return next(iter(self.bands.values())).shape if self.bands else (0, 0)


def utc(time: dt.datetime) -> str:
    return f"{time.day:02d}-{MONTHS[time.month - 1]}-{time.year} {time:%H:%M:%S.%f}"


def from_utc(text: str) -> dt.datetime:
    day, month, year, rest = re.fullmatch(r"(\d+)-(\w+)-(\d+) (.*)", text).groups()
    clock = dt.time.fromisoformat(rest)
    return dt.datetime.combine(dt.date(int(year), MONTHS.index(month) + 1, int(day)), clock)


def tag(time: dt.datetime) -> str:
    """A date as in names of bands."""
    return f"{time.day:02d}{MONTHS[time.month - 1].title()}{time.year}"


def write(product: Product, path: Path) -> None:
    height, width = product.shape
    data = path.with_suffix(".data")
    data.mkdir(exist_ok=True)
    root = ET.Element("Dimap_Document", name=path.name)
    ident = ET.SubElement(root, "Metadata_Id")
    ET.SubElement(ident, "METADATA_FORMAT", version="2.13.0").text = "DIMAP"
    if product.geo:
        ET.SubElement(ET.SubElement(root, "Coordinate_Reference_System"), "WKT").text = product.geo[0]
        place = ET.SubElement(root, "Geoposition")
        ET.SubElement(place, "IMAGE_TO_MODEL_TRANSFORM").text = ",".join(map(repr, product.geo[1]))
    size = ET.SubElement(root, "Raster_Dimensions")
    for name, value in (("NCOLS", width), ("NROWS", height), ("NBANDS", len(product.bands))):
        ET.SubElement(size, name).text = str(value)
    access = ET.SubElement(root, "Data_Access")
    bands = ET.SubElement(root, "Image_Interpretation")
    for index, (name, values) in enumerate(product.bands.items()):
        rows, columns = values.shape
        entry = ET.SubElement(access, "Data_File")
        ET.SubElement(entry, "DATA_FILE_PATH", href=f"{data.name}/{name}.hdr")
        ET.SubElement(entry, "BAND_INDEX").text = str(index)
        kind = "int16" if values.dtype.kind == "i" else "float32"
        info = ET.SubElement(bands, "Spectral_Band_Info")
        for key, value in (
            ("BAND_INDEX", index), ("BAND_DESCRIPTION", ""), ("BAND_NAME", name), ("BAND_RASTER_WIDTH", columns),
            ("BAND_RASTER_HEIGHT", rows), ("DATA_TYPE", kind), ("SCALING_FACTOR", 1.0), ("SCALING_OFFSET", 0.0),
            ("NO_DATA_VALUE_USED", "true"), ("NO_DATA_VALUE", 0.0),
        ):  # fmt: skip
            ET.SubElement(info, key).text = str(value)
        code = 2 if kind == "int16" else 4
        (data / f"{name}.hdr").write_text(
            f"ENVI\nsamples = {columns}\nlines = {rows}\nbands = 1\nheader offset = 0\nfile type = ENVI Standard\n"
            f"data type = {code}\ninterleave = bsq\nbyte order = 1\n"
        )
        (data / f"{name}.img").write_bytes(values.astype(">i2" if kind == "int16" else ">f4").tobytes())
    _virtual(bands, product, width, height)
    sources = ET.SubElement(ET.SubElement(root, "Dataset_Sources"), "MDElem", name="metadata")
    if product.dates:
        _date(sources, "Abstracted_Metadata", product.dates[0])
    if len(product.dates) > 1:
        group = ET.SubElement(sources, "MDElem", name=product.notes.get("secondaries", "Secondary_Metadata"))
        for date in product.dates[1:]:
            _date(group, date.name, date)
    notes = ET.SubElement(sources, "MDElem", name="Standin")
    for key, value in product.notes.items():
        ET.SubElement(notes, "MDATTR", name=key, type="ascii").text = value
    ET.ElementTree(root).write(path, encoding="ISO-8859-1", xml_declaration=True)


def _virtual(bands: ET.Element, product: Product, width: int, height: int) -> None:
    """SNAP keeps intensities as expressions, without a file."""
    for name in [n for n in product.bands if n.startswith("i_")]:
        virtual = f"Intensity_{name[2:]}{product.notes.get('virtual', '')}"
        info = ET.SubElement(bands, "Spectral_Band_Info")
        for key, value in (
            ("BAND_INDEX", len(bands) - 1), ("BAND_NAME", virtual), ("BAND_RASTER_WIDTH", width),
            ("BAND_RASTER_HEIGHT", height), ("DATA_TYPE", "float32"), ("VIRTUAL_BAND", "true"),
            ("EXPRESSION", f"{name} * {name}"),
        ):  # fmt: skip
            ET.SubElement(info, key).text = str(value)


def _date(parent: ET.Element, name: str, date: Date) -> None:
    element = ET.SubElement(parent, "MDElem", name=name)
    for key, value in date.attributes.items():
        ET.SubElement(element, "MDATTR", name=key, type="ascii").text = value
    vectors = ET.SubElement(element, "MDElem", name="Orbit_State_Vectors")
    for number, (time, state) in enumerate(date.vectors, start=1):
        vector = ET.SubElement(vectors, "MDElem", name=f"orbit_vector{number}")
        ET.SubElement(vector, "MDATTR", name="time", type="utc").text = utc(time)
        for key, value in zip(("x_pos", "y_pos", "z_pos", "x_vel", "y_vel", "z_vel"), state, strict=True):
            ET.SubElement(vector, "MDATTR", name=key, type="float64").text = repr(float(value))


def read(path: Path) -> Product:
    root = ET.parse(path).getroot()
    bands = {}
    for info in root.findall("Image_Interpretation/Spectral_Band_Info"):
        if info.findtext("VIRTUAL_BAND") == "true":
            continue
        name, kind = info.findtext("BAND_NAME"), info.findtext("DATA_TYPE")
        raw = np.fromfile(path.with_suffix(".data") / f"{name}.img", dtype=">i2" if kind == "int16" else ">f4")
        rows, columns = (int(info.findtext(f"BAND_RASTER_{k}")) for k in ("HEIGHT", "WIDTH"))
        bands[name] = raw.reshape(rows, columns).astype(np.int16 if kind == "int16" else np.float32)
    sources = root.find("Dataset_Sources/MDElem[@name='metadata']")
    notes = {a.get("name"): a.text or "" for a in sources.findall("MDElem[@name='Standin']/MDATTR")}
    dates = []
    for element in sources:
        if element.get("name") == "Abstracted_Metadata":
            dates.append(_read_date(element))
        elif element.get("name") in ("Secondary_Metadata", "Slave_Metadata"):
            dates += [_read_date(child) for child in element]
    return Product(bands, dates, None, notes)


def _read_date(element: ET.Element) -> Date:
    attributes = {a.get("name"): a.text or "" for a in element.findall("MDATTR")}
    vectors = []
    for vector in element.findall("MDElem[@name='Orbit_State_Vectors']/MDElem"):
        values = {a.get("name"): a.text for a in vector.findall("MDATTR")}
        state = np.array([float(values[k]) for k in ("x_pos", "y_pos", "z_pos", "x_vel", "y_vel", "z_vel")])
        vectors.append((from_utc(values["time"]), state))
    return Date(element.get("name"), attributes, vectors)
