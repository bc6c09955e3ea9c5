"""Cutting the metadata of a scene to some of its bursts: annotation, calibration, noise.

Everything follows ESA's "Sentinel-1 Product Specification" (S1-RS-MDA-52-7441).  Lists
that hold for the whole data take (orbit, attitude, Doppler, FM rates) stay as they are;
what counts lines is counted anew from the first burst that is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc
from insar_mining.sentinel1.elements import element_at, set_text
from insar_mining.sentinel1.safe_manifest import utc_text

Element = ElementTree.Element

_INTERPOLATED = ("latitude", "longitude", "height", "incidenceAngle", "elevationAngle", "slantRangeTime")


@dataclass(frozen=True)
class LineCut:
    """Describe which bursts of a sub-swath are kept, and when they begin and end."""

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


def cut_annotation(annotation: Element, cut: LineCut, byte_offsets: Sequence[int]) -> Element:
    """Cut an annotation (``product``) to some bursts.

    Parameters
    ----------
    byte_offsets : sequence of int
        Where each burst begins in the measurement that is written.
    """
    root = copy.deepcopy(annotation)
    _set_period(root, cut)
    set_text(root, "imageAnnotation/imageInformation/productFirstLineUtcTime", utc_text(cut.start))
    set_text(root, "imageAnnotation/imageInformation/productLastLineUtcTime", utc_text(cut.stop))
    set_text(root, "imageAnnotation/imageInformation/numberOfLines", str(cut.lines))
    bursts = element_at(root, "swathTiming/burstList")
    for index, burst in enumerate(list(bursts)):
        if not cut.first <= index < cut.first + cut.count:
            bursts.remove(burst)
    bursts.set("count", str(cut.count))
    for burst, offset in zip(bursts, byte_offsets, strict=True):
        set_text(burst, "byteOffset", str(offset))
    _cut_grid(element_at(root, "geolocationGrid/geolocationGridPointList"), cut)
    return root


def shift_vectors(content: Element, cut: LineCut) -> Element:
    """Count the lines of calibration or noise vectors from the first burst that is kept; all stay."""
    root = copy.deepcopy(content)
    _set_period(root, cut)
    for name in ("line", "firstAzimuthLine", "lastAzimuthLine"):
        for element in root.iter(name):
            numbers = [str(int(text) - cut.skipped) for text in (element.text or "").split()]
            element.text = " ".join(numbers)
    return root


def _set_period(root: Element, cut: LineCut) -> None:
    set_text(root, "adsHeader/startTime", utc_text(cut.start))
    set_text(root, "adsHeader/stopTime", utc_text(cut.stop))


def _cut_grid(points: Element, cut: LineCut) -> None:
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
            set_text(point, "line", str(min(number * cut.lines_per_burst, cut.lines - 1)))
            points.append(point)
    points.set("count", str(len(points)))


def _between(one: Element, other: Element, time: np.datetime64) -> Element:
    """Return a tie point at a moment near those of two others of one column."""
    first, second = (parse_utc(p.findtext("azimuthTime", "")) for p in (one, other))
    share = (time - first) / (second - first)
    found = copy.deepcopy(one)
    for name in _INTERPOLATED:
        a, b = (float(p.findtext(name, "nan")) for p in (one, other))
        set_text(found, name, f"{a + share * (b - a):.15e}")
    set_text(found, "azimuthTime", utc_text(time))
    return found
