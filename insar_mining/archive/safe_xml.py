"""Cutting the metadata of a scene to some of its bursts: annotation, calibration, noise, manifest.

Everything follows ESA's "Sentinel-1 Product Specification" (S1-RS-MDA-52-7441) and the
manifest of a real product.  Lists that hold for the whole data take (orbit, attitude,
Doppler, FM rates) stay as they are; what counts lines is counted anew from the first
burst that is kept.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc

Element = ElementTree.Element

_INTERPOLATED = ("latitude", "longitude", "height", "incidenceAngle", "elevationAngle", "slantRangeTime")
_XFDU = "{urn:ccsds:schema:xfdu:1}"
_SAFE = "http://www.esa.int/safe/sentinel-1.0"
_NAMESPACES = {
    "xfdu": "urn:ccsds:schema:xfdu:1",
    "gml": "http://www.opengis.net/gml",
    "safe": _SAFE,
    "s1": f"{_SAFE}/sentinel-1",
    "s1sar": f"{_SAFE}/sentinel-1/sar",
    "s1sarl1": f"{_SAFE}/sentinel-1/sar/level-1",
    "s1sarl2": f"{_SAFE}/sentinel-1/sar/level-2",
}
_SCHEMAS = {
    "product": "s1Level1ProductSchema",
    "noise": "s1Level1NoiseSchema",
    "calibration": "s1Level1CalibrationSchema",
    "measurement": "s1Level1MeasurementSchema",
}


@dataclass(frozen=True)
class Cut:
    """Which bursts of a sub-swath are kept, and when they begin and end."""

    first: int
    count: int
    lines_per_burst: int
    start: np.datetime64
    stop: np.datetime64

    @property
    def lines(self) -> int:
        """Lines of the image that is made of them."""
        return self.count * self.lines_per_burst

    @property
    def skipped(self) -> int:
        """Lines of the scene before the first of them."""
        return self.first * self.lines_per_burst


def utc_text(time: np.datetime64) -> str:
    """Return a time as annotations write it, with microseconds."""
    return str(time.astype("datetime64[us]"))


def cut_annotation(annotation: Element, cut: Cut, byte_offsets: Sequence[int]) -> Element:
    """Cut an annotation (``product``) to some bursts.

    Parameters
    ----------
    byte_offsets : sequence of int
        Where each burst begins in the measurement that is written.
    """
    root = copy.deepcopy(annotation)
    _set_period(root, cut)
    _set(root, "imageAnnotation/imageInformation/productFirstLineUtcTime", utc_text(cut.start))
    _set(root, "imageAnnotation/imageInformation/productLastLineUtcTime", utc_text(cut.stop))
    _set(root, "imageAnnotation/imageInformation/numberOfLines", str(cut.lines))
    bursts = _find(root, "swathTiming/burstList")
    for index, burst in enumerate(list(bursts)):
        if not cut.first <= index < cut.first + cut.count:
            bursts.remove(burst)
    bursts.set("count", str(cut.count))
    for burst, offset in zip(bursts, byte_offsets, strict=True):
        _set(burst, "byteOffset", str(offset))
    _cut_grid(_find(root, "geolocationGrid/geolocationGridPointList"), cut)
    return root


def shift_vectors(content: Element, cut: Cut) -> Element:
    """Count the lines of calibration or noise vectors from the first burst that is kept; all stay."""
    root = copy.deepcopy(content)
    _set_period(root, cut)
    for name in ("line", "firstAzimuthLine", "lastAzimuthLine"):
        for element in root.iter(name):
            numbers = [str(int(text) - cut.skipped) for text in (element.text or "").split()]
            element.text = " ".join(numbers)
    return root


def _set_period(root: Element, cut: Cut) -> None:
    _set(root, "adsHeader/startTime", utc_text(cut.start))
    _set(root, "adsHeader/stopTime", utc_text(cut.stop))


def _cut_grid(points: Element, cut: Cut) -> None:
    """Keep the rows of tie points of the bursts; the last row is moved to the last line that is kept.

    A row stands at the first line of every burst and at the last line of the image.  The
    row behind the last burst that is kept is the next burst's first line, which was seen
    before this burst's last line: places are interpolated to that moment, between the
    rows on either side of it.
    """
    rows: dict[int, list[Element]] = {}
    for point in points:
        rows.setdefault(int(point.findtext("line", "0")), []).append(point)
    ordered = [rows[line] for line in sorted(rows)]
    end = cut.first + cut.count
    if len(ordered) <= end:
        raise ProductError(f"the annotation's grid has {len(ordered)} rows of tie points, burst {end} needs more")
    last = ordered[end]
    if end + 1 < len(ordered):
        times = [parse_utc(row[0].findtext("azimuthTime", "")) for row in ordered]
        before = min(int(np.searchsorted(np.array(times), cut.stop, side="right")) - 1, len(ordered) - 2)
        last = [_between(a, b, cut.stop) for a, b in zip(ordered[before], ordered[before + 1], strict=True)]
    kept = [*ordered[cut.first : end], last]
    for point in list(points):
        points.remove(point)
    for number, row in enumerate(kept):
        for point in row:
            _set(point, "line", str(min(number * cut.lines_per_burst, cut.lines - 1)))
            points.append(point)
    points.set("count", str(len(points)))


def _between(one: Element, other: Element, time: np.datetime64) -> Element:
    """Return a tie point at a moment near those of two others of one column."""
    first, second = (parse_utc(p.findtext("azimuthTime", "")) for p in (one, other))
    share = (time - first) / (second - first)
    found = copy.deepcopy(one)
    for name in _INTERPOLATED:
        a, b = (float(p.findtext(name, "nan")) for p in (one, other))
        _set(found, name, f"{a + share * (b - a):.15e}")
    _set(found, "azimuthTime", utc_text(time))
    return found


def _find(root: Element, path: str) -> Element:
    found = root.find(path)
    if found is None:
        raise ProductError(f"element {path} is missing in the <{root.tag}> of the bursts' metadata; fetch it again")
    return found


def _set(root: Element, path: str, text: str) -> None:
    _find(root, path).text = text


# Manifest --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SafeFile:
    """One file of a product: its kind (``product``, ``noise``, ``calibration``, ``measurement``) and its place."""

    kind: str
    path: Path

    @property
    def identity(self) -> str:
        """Its ID in the manifest: the name without hyphens, with the kind in front of an annotation."""
        stem = self.path.stem.replace("-", "")
        return f"product{stem}" if self.kind == "product" else stem


def cut_manifest(
    manifest: Element,
    files: Sequence[SafeFile],
    folder: Path,
    *,
    period: tuple[np.datetime64, np.datetime64],
    swaths: Iterable[str],
    polarisations: Iterable[str],
    footprint: Sequence[tuple[float, float]],
) -> bytes:
    """Make the manifest of a product that holds some bursts, from that of their scene.

    Parameters
    ----------
    footprint : sequence of (longitude, latitude)
        Corners, in the order of the real manifest.
    """
    root = copy.deepcopy(manifest)
    _rewrite_objects(root, files, folder)
    start, stop = period
    ascending = root.findtext(".//{*}ascendingNodeTime")
    for name, time in (("startTime", start), ("stopTime", stop)):
        for element in root.iterfind(f".//{{*}}acquisitionPeriod/{{*}}{name}"):
            element.text = utc_text(time)
        for element in root.iterfind(f".//{{*}}timeANX/{{*}}{name}ANX"):
            if ascending:
                element.text = f"{(time - parse_utc(ascending)) / np.timedelta64(1, 'ms'):.6e}"
    _keep(root, "instrumentMode", "swath", set(swaths))
    _keep(root, "standAloneProductInformation", "transmitterReceiverPolarisation", set(polarisations))
    for element in root.iterfind(".//{*}footPrint/{*}coordinates"):
        element.text = " ".join(f"{lat:.6f},{lon:.6f}" for lon, lat in footprint)
    return to_bytes(root)


def to_bytes(root: Element) -> bytes:
    """Write an element as an XML file, with the prefixes of ESA's own manifests (some readers go by prefix)."""
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    return bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _rewrite_objects(root: Element, files: Sequence[SafeFile], folder: Path) -> None:
    package = root.find(f"informationPackageMap/{_XFDU}contentUnit")
    metadata, section = root.find("metadataSection"), root.find("dataObjectSection")
    if package is None or metadata is None or section is None:
        raise ProductError("the manifest in the bursts' metadata has no contentUnit, metadataSection or object section")
    for parent in (package, section):
        for child in list(parent):
            parent.remove(child)
    schemas = {_SCHEMAS[file.kind] for file in files} | {"s1ObjectTypesSchema"}
    for child in list(metadata):
        identity = child.get("ID", "")
        if identity.endswith("Annotation") or (identity.endswith("Schema") and identity not in schemas):
            metadata.remove(child)
    described = {file.path.stem: file.identity for file in files if file.kind == "product"}
    for position, file in enumerate(_annotations(files)):
        note = ElementTree.Element(
            "metadataObject", ID=f"{file.identity}Annotation", classification="DESCRIPTION", category="DMD"
        )
        ElementTree.SubElement(note, "dataObjectPointer", dataObjectID=file.identity)
        metadata.insert(position, note)
    for file in files:
        measurement = file.kind == "measurement"
        unit = ElementTree.SubElement(
            package,
            f"{_XFDU}contentUnit",
            unitType="Measurement Data Unit" if measurement else "Metadata Unit",
            repID=_SCHEMAS[file.kind],
        )
        if measurement:
            unit.set("dmdID", f"{described[file.path.stem]}Annotation")
        ElementTree.SubElement(unit, "dataObjectPointer", dataObjectID=file.identity)
        _list_object(section, file, folder)


def _annotations(files: Sequence[SafeFile]) -> Iterator[SafeFile]:
    return (file for file in files if file.kind != "measurement")


def _list_object(section: Element, file: SafeFile, folder: Path) -> None:
    element = ElementTree.SubElement(section, "dataObject", ID=file.identity, repID=_SCHEMAS[file.kind])
    mime = "application/octet-stream" if file.kind == "measurement" else "text/xml"
    stream = ElementTree.SubElement(element, "byteStream", mimeType=mime, size=str(file.path.stat().st_size))
    href = f"./{file.path.relative_to(folder).as_posix()}"
    ElementTree.SubElement(stream, "fileLocation", locatorType="URL", href=href)
    checksum = ElementTree.SubElement(stream, "checksum", checksumName="MD5")
    with file.path.open("rb") as handle:
        checksum.text = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _keep(root: Element, parent: str, name: str, wanted: set[str]) -> None:
    for element in root.iterfind(f".//{{*}}{parent}"):
        for child in list(element):
            if child.tag.endswith(f"}}{name}") and (child.text or "").strip() not in wanted:
                element.remove(child)
