"""Writing the manifest of a SAFE product from a real one: only the files that are there, their times and places.

The structure is that of ESA's "Sentinel-1 Product Specification" (S1-RS-MDA-52-7441) and
of real manifests.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc

Element = ElementTree.Element

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
    "rfi": "s1Level1RfiSchema",
    "measurement": "s1Level1MeasurementSchema",
}
# paths of the files of a product that this package writes
SAFE_FILES = re.compile(r"manifest\.safe|annotation/(?:(?:calibration|rfi)/)?[^/]+\.xml|measurement/[^/]+\.tiff")


def utc_text(time: np.datetime64) -> str:
    """Return a time as annotations write it, with microseconds."""
    return str(time.astype("datetime64[us]"))


@dataclass(frozen=True)
class SafeFile:
    """Describe one file: its kind (``product``, ``noise``, ``calibration``, ``rfi``, ``measurement``) and path."""

    kind: str
    path: Path

    @property
    def identity(self) -> str:
        """Its ID in the manifest: the name without hyphens, with the kind in front of an annotation."""
        stem = self.path.stem.replace("-", "")
        return f"product{stem}" if self.kind == "product" else stem


def manifest_of(
    template: Element,
    files: Sequence[SafeFile],
    folder: Path,
    *,
    period: tuple[np.datetime64, np.datetime64],
    swaths: Iterable[str],
    polarisations: Iterable[str],
    footprint: Sequence[tuple[float, float]],
) -> Element:
    """Make the manifest of a product that holds some images, from that of the product which they are made of.

    Parameters
    ----------
    template : Element
        A real manifest; it is not changed.
    files : sequence of SafeFile
        Listed in this order, with sizes and checksums.
    folder : path
        The product's.
    period : (start, stop)
        First and last line.
    footprint : sequence of (longitude, latitude)
        Corners, in the order of the real manifest.

    Raises
    ------
    ProductError
        The template is no manifest of a SAFE product.
    """
    root = copy.deepcopy(template)
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
    return root


def to_bytes(root: Element) -> bytes:
    """Write an element as an XML file, with the prefixes of ESA's own manifests (some readers go by prefix)."""
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    return bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _rewrite_objects(root: Element, files: Sequence[SafeFile], folder: Path) -> None:
    package = root.find(f"informationPackageMap/{_XFDU}contentUnit")
    metadata, section = root.find("metadataSection"), root.find("dataObjectSection")
    if package is None or metadata is None or section is None:
        raise ProductError(
            "the manifest has no contentUnit, metadataSection or dataObjectSection. Use that of a real product."
        )
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
