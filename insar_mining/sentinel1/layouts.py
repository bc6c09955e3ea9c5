"""The two ways in which a product's files are laid out: SAFE, and ASF's single bursts.

A layout knows which annotation describes a sub-swath and which file holds the pixels
of a burst; it knows nothing of their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Protocol
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.doors import parse_xml
from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import SubSwath, parse_utc
from insar_mining.sentinel1.container import Container
from insar_mining.sentinel1.manifest import Manifest, parse_manifest
from insar_mining.sentinel1.slices import align_samples, burst_starts, join_annotations

SwathKey = tuple[str, str]
"""Sub-swath and polarisation: ``("IW1", "VV")``."""

NAME = re.compile(
    r"(?P<platform>S1[A-Z])_(?P<mode>[A-Z0-9]{2})_(?P<type>[A-Z]{3})(?P<resolution>[A-Z_])_(?P<level>[0-9])"
    r"(?P<class>[A-Z])(?P<polarisation>[A-Z]{2})_(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})_(?P<orbit>\d{6})"
    r"_(?P<take>[0-9A-F]{6})_(?P<crc>[0-9A-F]{4})"
)
"""Names of Sentinel-1 products (S1-RS-MDA-52-7441, section 3.3)."""

_OTHER_MISSION = re.compile(r"S([2-6][A-Z]?)_")

_FILE = re.compile(
    r"(?P<platform>s1[a-z])-(?P<swath>[a-z0-9]{2,3})-(?P<type>[a-z]{3})-(?P<polarisation>[hv]{2})"
    r"-(?P<start>\d{8}t\d{6})-(?P<stop>\d{8}t\d{6})-(?P<orbit>\d{6})-(?P<take>[0-9a-f]{6})-(?P<number>\d{3})",
    re.IGNORECASE,
)
_BURST_FILE = re.compile(
    r"S1_(?P<id>\d+)_(?P<swath>IW\d)_(?P<start>\d{8}T\d{6})_(?P<polarisation>[HV]{2})_(?P<crc>[0-9A-F]{4})-BURST",
    re.IGNORECASE,
)
_NO_BURST = re.compile(rb"<burstList\b[^>]*?(/>|>\s*</burstList>)")
_BURST_SUFFIXES = (".tiff", ".tif")
_SAME_BURST = np.timedelta64(100, "ms")


@dataclass(frozen=True)
class Pixels:
    """Describe where the pixels of one burst lie: a file, its first line there, the file's expected lines.

    The file's lines begin at `first_sample` of the burst and have `width` samples; None if that is the burst's own.
    """

    file: str
    first_line: int
    height: int
    width: int | None = None
    first_sample: int = 0


class Layout(Protocol):
    """Describe what differs between a SAFE product and single bursts."""

    @property
    def container(self) -> Container:
        """Folder or archive with the files."""

    @property
    def name(self) -> str:
        """Name of the product."""

    @property
    def manifest(self) -> Manifest | None:
        """What the manifest says, if there is one."""

    @property
    def keys(self) -> tuple[SwathKey, ...]:
        """Sub-swaths and polarisations that are present."""

    def annotation(self, key: SwathKey) -> tuple[bytes, str]:
        """Return the annotation's XML and its name for messages."""

    def select(self, key: SwathKey, swath: SubSwath) -> SubSwath:
        """Keep the bursts whose pixels belong to the product."""

    def pixels(self, key: SwathKey, swath: SubSwath, burst_index: int) -> Pixels:
        """Return where the pixels of a burst lie."""

    def why_absent(self, key: SwathKey) -> str:
        """Explain why a sub-swath and polarisation cannot be had."""


def find_layout(container: Container, *, require_manifest: bool) -> Layout:
    """Find the layout of the files of a container.

    Raises
    ------
    ProductError
        No Sentinel-1 IW SLC product is there, or its files do not belong together.
    """
    names = container.sizes
    bursts = [n for n in names if _burst_match(n)]
    is_safe = any(n.lower() == "manifest.safe" or n.startswith(("annotation/", "measurement/")) for n in names)
    if is_safe:
        return safe_layout(container, require_manifest=require_manifest)
    if bursts:
        return burst_layout(container, bursts)
    refuse_other_products(container.root_name, str(container.path))
    raise ProductError(
        f"{container.path}: no Sentinel-1 product; looked for manifest.safe and annotation/ (SAFE) and for "
        "S1_*-BURST.tiff with its metadata XML (single burst)"
    )


def _key_of(match: re.Match[str]) -> SwathKey:
    return match["swath"].upper(), match["polarisation"].upper()


def _not_among(key: SwathKey, layout: Layout) -> str:
    have = ", ".join(" ".join(k) for k in layout.keys)
    return f"{layout.container.path}: has no {' '.join(key)}; it has {have}"


def refuse_other_products(name: str, where: str) -> None:
    """Raise ProductError if a name says that the product is no Sentinel-1 IW SLC."""
    other = _OTHER_MISSION.match(name)
    if other:
        raise ProductError(
            f"{where}: a product of Sentinel-{other[1]}; coherence needs Sentinel-1 IW SLC (S1x_IW_SLC__...)"
        )
    match = NAME.search(name)
    if match and (match["mode"], match["type"]) != ("IW", "SLC"):
        raise ProductError(
            f"{where}: a {match['mode']} {match['type']} product; coherence needs IW SLC (S1x_IW_SLC__...)"
        )


# SAFE ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SafeLayout:
    """Hold a complete SAFE product; `annotations` and `measurements` are by sub-swath and polarisation."""

    container: Container
    name: str
    manifest: Manifest | None
    annotations: dict[SwathKey, str]
    measurements: dict[SwathKey, str]

    @property
    def keys(self) -> tuple[SwathKey, ...]:
        """Sub-swaths and polarisations that are present."""
        return tuple(sorted(self.annotations))

    def annotation(self, key: SwathKey) -> tuple[bytes, str]:
        """Return the annotation's XML and its name for messages."""
        name = self.annotations[key]
        return self.container.read(name), self.container.where(name)

    def select(self, key: SwathKey, swath: SubSwath) -> SubSwath:
        """Keep all bursts."""
        return swath

    def pixels(self, key: SwathKey, swath: SubSwath, burst_index: int) -> Pixels:
        """Return where the pixels of a burst lie."""
        lines = swath.lines_per_burst
        return Pixels(self.measurements[key], burst_index * lines, len(swath.bursts) * lines)

    def why_absent(self, key: SwathKey) -> str:
        """Explain why a sub-swath and polarisation cannot be had."""
        for file in self.manifest.files if self.manifest else ():
            path = PurePosixPath(file)
            match = _FILE.fullmatch(path.stem)
            if match and path.parent == PurePosixPath("annotation") and _key_of(match) == key:
                where = self.container.where(file)
                return f"{where}: the manifest lists this annotation, and it is missing; fetch the product again"
        return _not_among(key, self)


def safe_layout(container: Container, *, require_manifest: bool) -> SafeLayout:
    """Sort the files of a SAFE product."""
    name = _product_name(container)
    refuse_other_products(name, str(container.path))
    manifest = _safe_manifest(container, require_manifest)
    _check_manifest(manifest, name, container)
    annotations: dict[SwathKey, str] = {}
    measurements: dict[SwathKey, str] = {}
    for file in sorted(container.sizes):
        path = PurePosixPath(file)
        match = _FILE.fullmatch(path.stem)
        if match is None or len(path.parts) != 2:
            continue
        key = _key_of(match)
        if path.parts[0] == "annotation" and path.suffix.lower() == ".xml":
            target = annotations
        elif path.parts[0] == "measurement" and path.suffix.lower() in _BURST_SUFFIXES:
            target = measurements
        else:
            continue
        _check_file(match, file, name, manifest, container)
        if key in target:
            raise ProductError(
                f"{container.where(file)}: a second file of {' '.join(key)} beside {target[key]}. Remove the wrong one."
            )
        target[key] = file
    if not annotations:
        raise ProductError(
            f"{container.where('annotation')}: no annotation (s1?-iw?-slc-*.xml) in the product. Fetch it again."
        )
    _drop_empty(annotations, measurements, container)
    for key, annotation in annotations.items():
        # the name under which a missing measurement will be reported
        measurements.setdefault(key, f"measurement/{PurePosixPath(annotation).stem}.tiff")
        if PurePosixPath(measurements[key]).stem.lower() != PurePosixPath(annotation).stem.lower():
            raise ProductError(
                f"{container.where(measurements[key])}: does not belong to {annotation}. Remove the foreign file."
            )
    return SafeLayout(container, name, manifest, annotations, measurements)


def _drop_empty(annotations: dict[SwathKey, str], measurements: dict[SwathKey, str], container: Container) -> None:
    """Drop sub-swaths without a burst: products cut to a few bursts may be made with all annotations.

    They have no measurement, so that of a whole product no annotation is read here.
    """
    without = [key for key in annotations if key not in measurements]
    empty = [key for key in without if _NO_BURST.search(container.read(annotations[key]))]
    if len(empty) < len(annotations):  # a product without any burst is reported by its annotation
        for key in empty:
            del annotations[key]


def _product_name(container: Container) -> str:
    for name in (container.root_name, container.path.name, container.path.resolve().name):
        match = NAME.search(name)
        if match:
            return match[0]
    return re.sub(r"\.(safe|zip)$", "", container.root_name, flags=re.IGNORECASE)


def _safe_manifest(container: Container, required: bool) -> Manifest | None:
    names = [n for n in container.sizes if n.lower() == "manifest.safe"]
    if not names:
        if required:
            raise ProductError(
                f"{container.where('manifest.safe')}: the manifest is missing, so the product may be incomplete. Fetch "
                "it again, or open it with require_manifest=False"
            )
        return None
    return parse_manifest(container.read(names[0]), source=container.where(names[0]))


def _check_manifest(manifest: Manifest | None, name: str, container: Container) -> None:
    if manifest is None:
        return
    where = container.where("manifest.safe")
    if (manifest.mode, manifest.product_type) not in {(m, t) for m in ("IW", None) for t in ("SLC", None)}:
        raise ProductError(
            f"{where}: a {manifest.mode} {manifest.product_type} product; coherence needs IW SLC (S1x_IW_SLC__...)"
        )
    match = NAME.search(name)
    if match is None:
        return
    said = (manifest.platform, manifest.absolute_orbit)
    if said[0] not in (None, match["platform"]) or said[1] not in (None, int(match["orbit"])):
        raise ProductError(
            f"{where}: the manifest is of {said[0]}, orbit {said[1]}, and the product's name says {match[0]}; "
            "it belongs to another product, fetch this one again"
        )


def _check_file(match: re.Match[str], file: str, name: str, manifest: Manifest | None, container: Container) -> None:
    where = container.where(file)
    if match["type"].lower() != "slc" or not match["swath"].lower().startswith("iw"):
        raise ProductError(
            f"{where}: a file of a {match['swath'][:2].upper()} {match['type'].upper()} product; coherence needs IW SLC"
        )
    product = NAME.search(name)
    platform = product["platform"] if product else manifest.platform if manifest else None
    orbit = int(product["orbit"]) if product else manifest.absolute_orbit if manifest else None
    if platform not in (None, match["platform"].upper()) or orbit not in (None, int(match["orbit"])):
        raise ProductError(
            f"{where}: a file of another product ({match['platform'].upper()}, orbit {int(match['orbit'])}; this one "
            f"is {platform}, orbit {orbit}). Remove it, or fetch the product again."
        )


# Single bursts ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Slice:
    """Describe one slice of a joined image: when its bursts begin, and which samples it has."""

    burst_starts: npt.NDArray[np.datetime64]
    width: int
    first_sample: int


@dataclass(frozen=True)
class BurstLayout:
    """Hold bursts as ASF's burst extractor delivers them.

    One TIFF per burst, and per scene an XML that joins its annotations
    (``metadata/product``, each with swath, polarisation and content) and its manifest.
    Bursts of neighbouring scenes of one data take may lie together: they are one image.
    """

    container: Container
    name: str
    manifest: Manifest | None
    annotations: dict[SwathKey, tuple[bytes, str]]
    files: dict[SwathKey, tuple[str, ...]]
    slices: dict[SwathKey, tuple[Slice, ...]]

    @property
    def keys(self) -> tuple[SwathKey, ...]:
        """Sub-swaths and polarisations that are present."""
        return tuple(sorted(self.files))

    def annotation(self, key: SwathKey) -> tuple[bytes, str]:
        """Return the annotation's XML and its name for messages."""
        return self.annotations[key]

    def select(self, key: SwathKey, swath: SubSwath) -> SubSwath:
        """Keep the bursts that have a TIFF, counted anew from 0."""
        order = self._bursts(key, swath)
        return replace(swath, bursts=tuple(replace(swath.bursts[i], index=n) for n, i in enumerate(sorted(order))))

    def pixels(self, key: SwathKey, swath: SubSwath, burst_index: int) -> Pixels:
        """Return where the pixels of a burst lie."""
        order = self._bursts(key, swath)
        file, start = order[sorted(order)[burst_index]], swath.utc(swath.bursts[burst_index].azimuth_time_s)
        for one in self.slices[key]:
            if np.abs(one.burst_starts - start).min() < _SAME_BURST:
                return Pixels(file, 0, swath.lines_per_burst, one.width, one.first_sample)
        return Pixels(file, 0, swath.lines_per_burst)

    def why_absent(self, key: SwathKey) -> str:
        """Explain why a sub-swath and polarisation cannot be had."""
        return _not_among(key, self)

    def _bursts(self, key: SwathKey, swath: SubSwath) -> dict[int, str]:
        """Return which burst of the sub-swath each TIFF holds, by azimuth time.

        The burst number in the file's name is a hint only: extractors have counted it
        differently.  The time in the name is the burst's first line, cut to seconds.
        """
        found: dict[int, str] = {}
        for file in self.files[key]:
            match = _burst_match(file)
            assert match is not None  # the files were chosen by this pattern
            start = (_compact_utc(match["start"]) - swath.epoch) / np.timedelta64(1, "s")
            near = [b.index for b in swath.bursts if -0.01 <= b.azimuth_time_s - start < 1.01]
            if len(near) != 1:
                raise ProductError(
                    f"{self.container.where(file)}: {len(near)} bursts of {self.annotations[key][1]} begin at "
                    f"{match['start']}; the metadata XML is of another scene, fetch both again"
                )
            if near[0] in found:
                raise ProductError(
                    f"{self.container.where(file)}: holds the same burst as {found[near[0]]}. Remove one of them."
                )
            found[near[0]] = file
        return found


def burst_layout(container: Container, files: list[str]) -> BurstLayout:
    """Join the TIFFs of a burst folder with their metadata."""
    by_key: dict[SwathKey, list[str]] = {}
    for file in sorted(files):
        match = _burst_match(file)
        assert match is not None
        by_key.setdefault(_key_of(match), []).append(file)
    described, manifests = _burst_metadata(container, set(by_key))
    for key, of_key in by_key.items():
        if key not in described:
            raise ProductError(
                f"{container.where(of_key[0])}: no metadata XML in {container.path} describes {key[0]} {key[1]}. Fetch "
                "the burst's .xml as well and put it beside the TIFF."
            )
    orbits = {m.absolute_orbit for m in manifests if m.absolute_orbit is not None}
    if orbits and max(orbits) - min(orbits) > 1:  # the number changes inside a data take, at the ascending node
        raise ProductError(f"{container.path}: bursts of several orbits ({orbits}). Give each date its own folder.")
    name = PurePosixPath(files[0]).stem if len(files) == 1 else _product_name(container)
    manifest = manifests[0] if manifests else None
    images = {key: _one_annotation(described[key], container) for key in by_key}
    return BurstLayout(
        container,
        name,
        manifest,
        annotations={key: (text, where) for key, (text, where, _) in images.items()},
        files={key: tuple(of_key) for key, of_key in by_key.items()},
        slices={key: slices for key, (_, _, slices) in images.items()},
    )


def _one_annotation(
    described: dict[str, ElementTree.Element], container: Container
) -> tuple[bytes, str, tuple[Slice, ...]]:
    """Return the annotation of a sub-swath, the name of its file, and the slices that it was joined of (if several)."""
    texts = {where: ElementTree.tostring(element) for where, element in described.items()}
    where, text = next(iter(texts.items()))
    different = {text: described[where] for where, text in texts.items()}  # a slice that came twice counts once
    if len(different) == 1:
        return text, where, ()
    where, roots = f"{container.path} ({len(different)} slices)", list(different.values())
    widths = [int(root.findtext("swathTiming/samplesPerBurst", "0")) for root in roots]
    firsts = align_samples(roots, source=where)
    joined = ElementTree.tostring(join_annotations(roots, source=where))
    slices = [Slice(burst_starts(root), *place) for root, *place in zip(roots, widths, firsts, strict=True)]
    return joined, where, tuple(slices)


def _burst_match(file: str) -> re.Match[str] | None:
    path = PurePosixPath(file)
    return _BURST_FILE.fullmatch(path.stem) if path.suffix.lower() in _BURST_SUFFIXES else None


def _burst_metadata(
    container: Container, wanted: set[SwathKey]
) -> tuple[dict[SwathKey, dict[str, ElementTree.Element]], list[Manifest]]:
    """Return the annotations that are wanted by sub-swath and polarisation, then by file, and the manifests."""
    annotations: dict[SwathKey, dict[str, ElementTree.Element]] = {}
    manifests: list[Manifest] = []
    for file in sorted(n for n in container.sizes if n.lower().endswith(".xml") and not n.lower().endswith(".aux.xml")):
        where = container.where(file)
        try:
            root = parse_xml(container.read(file))
        except ElementTree.ParseError as error:
            raise ProductError(f"{where}: not well-formed XML ({error}). Fetch it again.") from error
        for key, product in burst_metadata_of(root, "product"):
            if key in wanted:
                annotations.setdefault(key, {})[where] = product
        manifests += [parse_manifest(e, source=where) for e in root.iterfind("manifest/{*}XFDU")]
    return annotations, manifests


def burst_metadata_of(root: ElementTree.Element, kind: str) -> Iterable[tuple[SwathKey, ElementTree.Element]]:
    """Yield what a burst extractor's XML holds of a kind (``product``, ``noise``, ``calibration``)."""
    for wrapper in root.iterfind(f"metadata/{kind}"):
        content = wrapper.find("content")
        if content is None or len(content) == 0:
            continue
        element = ElementTree.Element(kind)
        element.extend(list(content))
        yield (wrapper.findtext("swath", "").upper(), wrapper.findtext("polarisation", "").upper()), element


def _compact_utc(text: str) -> np.datetime64:
    """Turn ``20220219T125501`` into nanosecond UTC."""
    date, time = text.upper().split("T")
    return parse_utc(f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}")
