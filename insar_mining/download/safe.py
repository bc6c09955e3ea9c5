"""Single bursts become a SAFE product, which SNAP and every other reader of SAFE opens.

The bursts come as ASF's extractor delivers them: a TIFF each, and an XML that joins the
metadata of the scene they were cut from.  No real extract could be had: the assembly is
checked against bursts cut from products whose bursts are known, not against ASF's own.
"""

from __future__ import annotations

import binascii
import copy
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.errors import RasterioError

from insar_mining.doors import parse_json, parse_xml
from insar_mining.download.integrity import put_text
from insar_mining.errors import OutputError, ProductError
from insar_mining.files import ANYTHING, TEMPORARY, delete, replace_folder, temporary_name
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.container import FolderContainer
from insar_mining.sentinel1.edit import LineCut, cut_annotation, shift_vectors
from insar_mining.sentinel1.interference import REPORTS
from insar_mining.sentinel1.layouts import SwathKey, burst_metadata_of
from insar_mining.sentinel1.measurement import read_layout
from insar_mining.sentinel1.product import Product, open_product
from insar_mining.sentinel1.safe_manifest import SAFE_FILES, SafeFile, manifest_of, to_bytes
from insar_mining.sentinel1.slices import align_samples, join_annotations, join_reports, join_vectors

_BLOCK_LINES = 256


@dataclass(frozen=True, eq=False)
class _Metadata:
    """Hold what the extractor's XML files contain, by kind and by sub-swath and polarisation."""

    content: dict[tuple[str, SwathKey], ElementTree.Element]
    manifest: ElementTree.Element


def assemble_safe(bursts: Path | str, folder: Path | str) -> Path:
    """Make a SAFE product of a folder of single bursts of one pass.

    Parameters
    ----------
    bursts : path
        Folder with the bursts' TIFFs and the metadata XML, as ``fetch`` leaves it; of
        one scene, or of neighbouring slices of one data take.  The bursts of each
        sub-swath must follow one another without a hole.
    folder : path
        Where the product is put.

    Returns
    -------
    Path
        ``S1A_IW_SLC__1SSV_....SAFE``; named by its own first and last line and the
        checksum of its manifest, as the product specification has it.

    Raises
    ------
    ProductError
        The bursts or their metadata are damaged, incomplete or of several scenes, or
        there is a hole between bursts.
    OutputError
        The folder cannot be written.
    """
    source, folder = Path(bursts), Path(folder)
    product = open_product(source)
    metadata = _read_metadata(source)
    partial = temporary_name(folder / source.name, folder=True)
    try:
        (partial / "annotation" / "calibration").mkdir(parents=True)
        (partial / "measurement").mkdir()
        images = [_write_image(product, key, metadata, partial) for key in product.images]
        name = _write_manifest(product, images, metadata, partial)
        final = folder / f"{name}.SAFE"
        _check(partial, product)
        replace_folder(partial, final, SAFE_FILES)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error}. Choose another folder, or free space there.") from error
    finally:
        delete(partial, TEMPORARY, ANYTHING)
    return final


def assembled(bursts: Path | str, folder: Path | str) -> Path:
    """Return the SAFE product of a folder of bursts: the one made before if the bursts are the same, else a new one.

    Parameters and errors are those of :func:`assemble_safe`.
    """
    source, folder = Path(bursts), Path(folder)
    identity = open_product(source).identity()
    note = folder / f".{source.name}.safe.json"
    try:
        said = parse_json(note.read_bytes())
        made = folder / str(said["product"])
        if said["bursts"] == identity and said["identity"] == open_product(made).identity():
            return made
    except (OSError, ValueError, KeyError, TypeError, ProductError):
        pass  # not made yet, or damaged since: made anew
    made = assemble_safe(source, folder)
    put_text(note, json.dumps({"product": made.name, "bursts": identity, "identity": open_product(made).identity()}))
    return made


@dataclass(frozen=True, eq=False)
class _Image:
    """Describe one sub-swath and polarisation as written."""

    swath: SubSwath
    cut: LineCut
    annotation: ElementTree.Element
    files: tuple[SafeFile, ...]


def _read_metadata(folder: Path) -> _Metadata:
    """Read every XML of a folder; what several slices say of one sub-swath is joined."""
    found: dict[tuple[str, SwathKey], dict[bytes, ElementTree.Element]] = {}
    manifests: list[ElementTree.Element] = []
    for path in sorted(folder.glob("*.xml")):
        try:
            root = parse_xml(path.read_bytes())
        except ElementTree.ParseError as error:
            raise ProductError(f"{path}: not well-formed XML ({error}). Fetch it again.") from error
        for kind in ("product", "noise", "calibration", "rfi"):
            for key, element in burst_metadata_of(root, kind):
                found.setdefault((kind, key), {})[ElementTree.tostring(element)] = element
        manifests += root.findall("manifest/{*}XFDU")
    if not manifests:
        raise ProductError(f"{folder}: no manifest in the bursts' metadata, so no product can be made. Fetch it again.")
    return _Metadata({which: _joined(which, found, folder) for which in found}, manifests[0])


def _joined(
    which: tuple[str, SwathKey], found: dict[tuple[str, SwathKey], dict[bytes, ElementTree.Element]], folder: Path
) -> ElementTree.Element:
    kind, key = which
    parts = list(found[which].values())
    if len(parts) == 1:
        return parts[0]
    annotations = list(found["product", key].values())
    aligned = [copy.deepcopy(annotation) for annotation in annotations]
    first_samples = align_samples(aligned, source=str(folder))
    if kind == "product":
        return join_annotations(aligned, source=str(folder))
    if kind == "rfi":
        return join_reports(parts, REPORTS)
    if len(parts) != len(annotations):
        raise ProductError(
            f"{folder}: {len(parts)} times {kind} of {' '.join(key)} for {len(annotations)} slices. Fetch the metadata "
            "again."
        )
    return join_vectors(parts, annotations, first_samples)


def _write_image(product: Product, key: SwathKey, metadata: _Metadata, partial: Path) -> _Image:
    annotation = metadata.content.get(("product", key))
    if annotation is None:
        raise ProductError(f"{product.path}: no annotation of {' '.join(key)} in the metadata. Fetch the XML again.")
    swath = product.sub_swath(*key)
    whole = parse_annotation(ElementTree.tostring(annotation), source=str(product.path), epoch=product.epoch)
    cut = _cut(product, key, swath, whole)
    stem = _stem(swath, annotation, cut)
    tiff = partial / "measurement" / f"{stem}.tiff"
    shifted = _tie_points(annotation, cut)
    _write_pixels(product, key, swath, shifted, tiff)
    layout = read_layout(FolderContainer(tiff.parent), tiff.name)
    if layout.line_offset is None:
        raise ProductError(f"{tiff}: was not written as plain lines. Please report it.")
    starts = [int(layout.line_offset[i * swath.lines_per_burst]) for i in range(cut.count)]
    edited = cut_annotation(annotation, cut, starts)
    files = [_put(partial / "annotation" / f"{stem}.xml", "product", edited)]
    for kind in ("noise", "calibration"):
        vectors = metadata.content.get((kind, key))
        if vectors is not None:
            target = partial / "annotation" / "calibration" / f"{kind}-{stem}.xml"
            files.append(_put(target, kind, shift_vectors(vectors, cut)))
    reports = metadata.content.get(("rfi", key))
    if reports is not None:
        (partial / "annotation" / "rfi").mkdir(exist_ok=True)
        files.append(_put(partial / "annotation" / "rfi" / f"rfi-{stem}.xml", "rfi", reports))
    return _Image(swath, cut, edited, (*files, SafeFile("measurement", tiff)))


def _put(path: Path, kind: str, content: ElementTree.Element) -> SafeFile:
    path.write_bytes(to_bytes(content))
    return SafeFile(kind, path)


def _cut(product: Product, key: SwathKey, swath: SubSwath, whole: SubSwath) -> LineCut:
    """Find the bursts in their scene by time; their numbers are never trusted."""
    times = np.array([burst.azimuth_time_s for burst in whole.bursts])
    places = [int(np.abs(times - burst.azimuth_time_s).argmin()) for burst in swath.bursts]
    if places != list(range(places[0], places[0] + len(places))):
        missing = sorted(set(range(places[0], places[-1])) - set(places))
        raise ProductError(
            f"{product.path}: {' '.join(key)} has a hole: the bursts {', '.join(str(m + 1) for m in missing)} of the "
            "scene (counted from 1) are missing between others. Fetch them, or make two products."
        )
    last = swath.bursts[-1].azimuth_time_s + (swath.lines_per_burst - 1) * swath.azimuth_time_interval_s
    start, stop = swath.utc(swath.bursts[0].azimuth_time_s), swath.utc(last)
    return LineCut(places[0], len(places), swath.lines_per_burst, start, stop)


def _stem(swath: SubSwath, annotation: ElementTree.Element, cut: LineCut) -> str:
    take = int(annotation.findtext("adsHeader/missionDataTakeId", "0"))
    number = annotation.findtext("adsHeader/imageNumber", "001").strip()
    start, stop = _compact(cut.start), _compact(cut.stop)
    name = f"{swath.platform}-{swath.swath}-slc-{swath.polarisation}-{start}-{stop}-{swath.absolute_orbit:06d}"
    return f"{name}-{take:06x}-{number}".lower()


def _compact(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).replace("-", "").replace(":", "")


def _tie_points(annotation: ElementTree.Element, cut: LineCut) -> list[GroundControlPoint]:
    """Return tie points of the image that is written, as its GeoTIFF carries them."""
    points = cut_annotation(annotation, cut, [0] * cut.count).iterfind(
        "geolocationGrid/geolocationGridPointList/geolocationGridPoint"
    )
    return [
        GroundControlPoint(
            row=float(p.findtext("line", "0")),
            col=float(p.findtext("pixel", "0")),
            x=float(p.findtext("longitude", "0")),
            y=float(p.findtext("latitude", "0")),
            z=float(p.findtext("height", "0")),
        )
        for p in points
    ]


def _write_pixels(
    product: Product, key: SwathKey, swath: SubSwath, points: list[GroundControlPoint], path: Path
) -> None:
    """Put the bursts one below the other: CInt16, a strip per line, uncompressed, as the processor does."""
    lines, samples = swath.lines_per_burst, swath.samples_per_burst
    profile = {
        "driver": "GTiff", "width": samples, "height": lines * len(swath.bursts), "count": 1,
        "dtype": "complex_int16", "blockysize": 1, "gcps": points, "crs": "EPSG:4326",
    }  # fmt: skip
    try:
        with rasterio.open(path, "w", **profile) as file:
            for burst in swath.bursts:
                for top in range(0, lines, _BLOCK_LINES):
                    bottom = min(top + _BLOCK_LINES, lines)
                    values = product.read_burst(*key, burst.index, slice(top, bottom))
                    first = burst.index * lines + top
                    file.write(values, 1, window=((first, first + bottom - top), (0, samples)))
    except RasterioError as error:
        raise OutputError(
            f"{path}: cannot be written ({error}). Choose another folder, or free space there."
        ) from error


def _write_manifest(product: Product, images: list[_Image], metadata: _Metadata, partial: Path) -> str:
    start, stop = min(i.cut.start for i in images), max(i.cut.stop for i in images)
    polarisations = sorted({image.swath.polarisation for image in images})
    root = manifest_of(
        metadata.manifest,
        [file for image in images for file in image.files],
        partial,
        period=(start, stop),
        swaths=[image.swath.swath for image in images],
        polarisations=polarisations,
        footprint=_footprint(images),
    )
    text = to_bytes(root)
    (partial / "manifest.safe").write_bytes(text)
    first = images[0]
    take = int(first.annotation.findtext("adsHeader/missionDataTakeId", "0"))
    which = ("D" if len(polarisations) > 1 else "S") + polarisations[-1][0]
    return (
        f"{product.platform}_IW_SLC__1S{which}_{_compact(start)}_{_compact(stop)}_{product.absolute_orbit:06d}_"
        f"{take:06X}_{binascii.crc_hqx(text, 0xFFFF):04X}"
    )


def _footprint(images: list[_Image]) -> list[tuple[float, float]]:
    """Return corners in the order of the real manifest: last line near and far, first line far and near."""
    nearest = min(images, key=lambda i: i.swath.slant_range_time_s)
    farthest = max(images, key=lambda i: i.swath.slant_range_time_s)
    corners = []
    for image, row, column in ((nearest, -1, 0), (farthest, -1, -1), (farthest, 0, -1), (nearest, 0, 0)):
        grid = parse_annotation(ElementTree.tostring(image.annotation), source="assembled").geolocation
        corners.append((float(grid.longitude_deg[row, column]), float(grid.latitude_deg[row, column])))
    return corners


def _check(partial: Path, product: Product) -> None:
    """Open what was written, and hold every measurement against its annotation."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = open_product(partial)
        if made.images != product.images:
            raise ProductError(f"{partial}: holds {made.images}, expected {product.images}. Please report it.")
        for key in made.images:
            made.check_measurement(*key)
