"""Whole slices of one data take as one product: as if the take had never been cut.

A data take is cut into slices of some 25 s, which are delivered as products of their own; what
lies on the seam is seen by both.  Joined they have the interface of one product, so that nothing
downstream knows of slices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from insar_mining.doors import parse_xml
from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.container import Container
from insar_mining.sentinel1.layouts import Layout, Pixels, SwathKey
from insar_mining.sentinel1.manifest import Manifest
from insar_mining.sentinel1.slices import align_samples, join_annotations

SEPARATOR = os.pathsep
"""Between the paths of slices where several stand for one product, as in the variable PATH."""

_SAME_BURST_S = 0.1


class JoinedContainer:
    """Read the files of several products; names begin with the product's number (``0/manifest.safe``)."""

    def __init__(self, parts: Sequence[Container]) -> None:
        self.parts = tuple(parts)
        self.path = Path(SEPARATOR.join(str(part.path) for part in parts))
        self.root_name = "+".join(part.root_name for part in parts)
        self.sizes: Mapping[str, int] = {
            f"{number}/{name}": size for number, part in enumerate(parts) for name, size in part.sizes.items()
        }

    def _find(self, name: str) -> tuple[Container, str]:
        number, _, rest = name.partition("/")
        return self.parts[int(number)], rest

    def read(self, name: str) -> bytes:
        """Return the whole content of a file."""
        part, rest = self._find(name)
        return part.read(rest)

    def reader(self, name: str) -> Any:
        """Open a file for random access."""
        part, rest = self._find(name)
        return part.reader(rest)

    def where(self, name: str) -> str:
        """Return the full name of a file."""
        part, rest = self._find(name)
        return part.where(rest)

    def gdal_name(self, name: str) -> str:
        """Return the name under which GDAL opens a file."""
        part, rest = self._find(name)
        return part.gdal_name(rest)


@dataclass(frozen=True, eq=False)
class _Joined:
    """Describe one joined image: its XML, and each slice's number, times of bursts and first sample."""

    xml: bytes
    source: str
    parts: tuple[tuple[int, SubSwath, int], ...]


@dataclass(frozen=True, eq=False)
class JoinedLayout:
    """Join several layouts to one; `layouts` are in the order of time."""

    container: JoinedContainer
    name: str
    manifest: Manifest | None
    layouts: tuple[Layout, ...]
    _images: dict[SwathKey, _Joined] = field(default_factory=dict, repr=False)

    @property
    def keys(self) -> tuple[SwathKey, ...]:
        """Sub-swaths and polarisations that any of the slices holds."""
        return tuple(sorted({key for layout in self.layouts for key in layout.keys}))

    def annotation(self, key: SwathKey) -> tuple[bytes, str]:
        """Return the joined annotation's XML and its name for messages."""
        image = self._image(key)
        return image.xml, image.source

    def select(self, key: SwathKey, swath: SubSwath) -> SubSwath:
        """Keep the bursts that any of the slices has pixels of, counted anew from 0."""
        held = np.array([b.azimuth_time_s for _, own, _ in self._image(key).parts for b in _on(own, swath).bursts])
        kept = [b for b in swath.bursts if (np.abs(held - b.azimuth_time_s) < _SAME_BURST_S).any()]
        return replace(swath, bursts=tuple(replace(burst, index=n) for n, burst in enumerate(kept)))

    def pixels(self, key: SwathKey, swath: SubSwath, burst_index: int) -> Pixels:
        """Return where the pixels of a burst lie: in the first slice that holds it."""
        time = swath.bursts[burst_index].azimuth_time_s
        for number, own, first_sample in self._image(key).parts:
            there = _on(own, swath)
            for burst in there.bursts:
                if abs(burst.azimuth_time_s - time) < _SAME_BURST_S:
                    found = self.layouts[number].pixels(key, own, burst.index)
                    return Pixels(
                        f"{number}/{found.file}", found.first_line, found.height, own.samples_per_burst, first_sample
                    )
        raise ProductError(f"{self.container.path}: no slice holds burst {burst_index} of {' '.join(key)}")

    def why_absent(self, key: SwathKey) -> str:
        """Explain why a sub-swath and polarisation cannot be had."""
        return "; ".join(layout.why_absent(key) for layout in self.layouts)

    def _image(self, key: SwathKey) -> _Joined:
        if key not in self._images:
            self._images[key] = self._join(key)
        return self._images[key]

    def _join(self, key: SwathKey) -> _Joined:
        roots, swaths, sources, numbers = [], [], [], []
        for number, layout in enumerate(self.layouts):
            if key not in layout.keys:
                continue
            xml, source = layout.annotation(key)
            swaths.append(layout.select(key, parse_annotation(xml, source=source)))
            roots.append(parse_xml(xml))
            sources.append(source)
            numbers.append(number)
        source = " + ".join(sources)
        first_samples = align_samples(roots, source=source) if len(roots) > 1 else [0]
        root = join_annotations(roots, source=source)
        parts = tuple(zip(numbers, swaths, first_samples, strict=True))
        return _Joined(ElementTree.tostring(root), source, parts)


def _on(own: SubSwath, joined: SubSwath) -> SubSwath:
    """Return a slice's sub-swath with the times of its bursts counted from the epoch of the joined one."""
    if own.epoch == joined.epoch:
        return own
    shift = float((own.epoch - joined.epoch) / np.timedelta64(1, "s"))
    return replace(own, bursts=tuple(replace(b, azimuth_time_s=b.azimuth_time_s + shift) for b in own.bursts))


def joined_manifest(layouts: Sequence[Layout]) -> Manifest | None:
    """Return what the manifests say of the joined product: the files of all, times and footprint left open."""
    manifests = [layout.manifest for layout in layouts if layout.manifest is not None]
    if len(manifests) < len(layouts):
        return None
    files = tuple(file for manifest in manifests for file in manifest.files)
    return replace(manifests[0], start=None, stop=None, footprint=None, files=files)
