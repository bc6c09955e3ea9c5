"""Slices of one data take become one: their annotations, calibration and noise are joined.

A data take is cut into slices of some 25 s, which are delivered as scenes of their own.
What lies on the seam is seen by bursts of two scenes: joined they are one image again, as
if the take had been cut elsewhere.  The structure is that of ESA's "Sentinel-1 Product
Specification" (S1-RS-MDA-52-7441).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc

Element = ElementTree.Element

# what two slices must have in common, as text and as numbers (with how much they may differ)
_SAME = (
    "adsHeader/missionId",
    "adsHeader/swath",
    "adsHeader/polarisation",
    "adsHeader/absoluteOrbitNumber",
    "adsHeader/missionDataTakeId",
    "swathTiming/linesPerBurst",
    "swathTiming/samplesPerBurst",
)
_NEAR = (
    ("imageAnnotation/imageInformation/slantRangeTime", 1e-11),  # a thousandth of a sample
    ("imageAnnotation/imageInformation/azimuthTimeInterval", 1e-12),
)

# lists that belong to moments of the data take, and the element that names the moment
_LISTS = (
    ("generalAnnotation/orbitList", "time"),
    ("generalAnnotation/attitudeList", "time"),
    ("generalAnnotation/noiseList", "azimuthTime"),
    ("generalAnnotation/terrainHeightList", "azimuthTime"),
    ("generalAnnotation/azimuthFmRateList", "azimuthTime"),
    ("dopplerCentroid/dcEstimateList", "azimuthTime"),
    ("antennaPattern/antennaPatternList", "azimuthTime"),
)
_VECTOR_LISTS = ("calibrationVectorList", "noiseVectorList", "noiseRangeVectorList")
_AZIMUTH_NOISE = "noiseAzimuthVectorList"
_LINES = ("line", "firstAzimuthLine", "lastAzimuthLine")

_SAME_BURST = np.timedelta64(100, "ms")
_NEXT_BURST = np.timedelta64(4, "s")  # bursts of a sub-swath begin 2.76 s apart


def join_annotations(parts: Sequence[Element], *, source: str) -> Element:
    """Join the annotations (``product``) of one sub-swath and polarisation in neighbouring slices.

    Parameters
    ----------
    parts : sequence of Element
        In any order; none is changed.  Bursts that two slices both list are kept once.
    source : str
        For messages.

    Raises
    ------
    ProductError
        They are not of one data take, do not follow one another, or their images do not
        begin at one slant range.
    """
    ordered = sorted(parts, key=lambda part: _burst_times(part)[0])
    for part in ordered[1:]:
        _check_same(ordered[0], part, source)
    root = copy.deepcopy(ordered[0])
    for part in ordered[1:]:
        _append_bursts(root, part, source)
        for path, moment in _LISTS:
            _merge_list(root, part, path, moment)
    last = ordered[-1]
    lines = len(_burst_times(root)) * _lines_per_burst(root)
    _set(root, "adsHeader/stopTime", _text(last, "adsHeader/stopTime"))
    information = "imageAnnotation/imageInformation"
    _set(root, f"{information}/productLastLineUtcTime", _text(last, f"{information}/productLastLineUtcTime"))
    _set(root, f"{information}/numberOfLines", str(lines))
    return root


def join_vectors(parts: Sequence[Element], annotations: Sequence[Element]) -> Element:
    """Join the calibration or the noise of slices; lines are counted from the first line of the joined image.

    Parameters
    ----------
    parts, annotations : sequence of Element
        One of each per slice, in the same order.
    """
    order = sorted(range(len(parts)), key=lambda i: _burst_times(annotations[i])[0])
    times = np.unique(np.concatenate([_burst_times(annotations[i]) for i in order]))
    joined_at = times[np.append(True, np.diff(times) > _SAME_BURST)]
    root = copy.deepcopy(parts[order[0]])
    for i in order[1:]:
        part = copy.deepcopy(parts[i])
        burst = int(np.abs(joined_at - _burst_times(annotations[i])[0]).argmin())
        for name in _LINES:
            for element in part.iter(name):
                shift = burst * _lines_per_burst(annotations[i])
                element.text = " ".join(str(int(text) + shift) for text in (element.text or "").split())
        for name in (*_VECTOR_LISTS, _AZIMUTH_NOISE):
            _append_vectors(root.find(name), part.find(name), by_line=name != _AZIMUTH_NOISE)
    _set(root, "adsHeader/stopTime", _text(parts[order[-1]], "adsHeader/stopTime"))
    return root


def _append_vectors(target: Element | None, added: Element | None, *, by_line: bool) -> None:
    """Append vectors; where those of two slices overlap, the earlier slice's are kept."""
    if target is None or added is None:
        return
    ends = [int(_text(v, "line")) for v in target] if by_line else []
    for vector in added:
        if not ends or int(_text(vector, "line")) > max(ends):
            target.append(vector)
    target.set("count", str(len(target)))


def _append_bursts(root: Element, part: Element, source: str) -> None:
    """Append the bursts that come after the last one that is there, and their rows of tie points."""
    there, more = _burst_times(root), _burst_times(part)
    new = np.flatnonzero(more > there[-1] + _SAME_BURST)
    if new.size == 0:
        return
    if more[new[0]] - there[-1] > _NEXT_BURST:
        gap = (more[new[0]] - there[-1]) / np.timedelta64(1, "s")
        raise ProductError(
            f"{source}: two slices do not follow one another ({_what(root)}: {gap:.1f} s between their bursts, "
            "2.8 s is one burst); fetch the scene between them, or give each its own folder"
        )
    bursts, grid = _find(root, "swathTiming/burstList"), _grid(root)
    rows, added = _rows(root), _rows(part)
    for point in rows[-1]:  # the last line of the earlier slice is none of the joined image
        grid.remove(point)
    per_burst = _lines_per_burst(root)
    for index in new:
        bursts.append(copy.deepcopy(_find(part, "swathTiming/burstList")[index]))
        _append_row(grid, added[index], (len(bursts) - 1) * per_burst)
    _append_row(grid, added[-1], len(bursts) * per_burst - 1)
    bursts.set("count", str(len(bursts)))
    grid.set("count", str(len(grid)))


def _append_row(grid: Element, row: Sequence[Element], line: int) -> None:
    for point in row:
        moved = copy.deepcopy(point)
        _set(moved, "line", str(line))
        grid.append(moved)


def _rows(root: Element) -> list[list[Element]]:
    """Tie points by rows: one at the first line of every burst, one at the last line of the image."""
    rows: dict[int, list[Element]] = {}
    for point in _grid(root):
        rows.setdefault(int(_text(point, "line")), []).append(point)
    found = [rows[line] for line in sorted(rows)]
    count = len(_burst_times(root))
    if len(found) != count + 1:
        raise ProductError(
            f"{_what(root)}: {len(found)} rows of tie points for {count} bursts, expected {count + 1}; slices like "
            "this cannot be joined, give each its own folder"
        )
    return found


def _merge_list(root: Element, part: Element, path: str, moment: str) -> None:
    """Append the entries of a list that lie behind the last one that is there."""
    target, added = root.find(path), part.find(path)
    if target is None or added is None or len(added) == 0:
        return
    end = max((parse_utc(_text(e, moment)) for e in target), default=None)
    for element in added:
        if end is None or parse_utc(_text(element, moment)) > end:
            target.append(copy.deepcopy(element))
    target.set("count", str(len(target)))


def _check_same(one: Element, other: Element, source: str) -> None:
    for path in _SAME:
        if _text(one, path) != _text(other, path):
            raise ProductError(
                f"{source}: {_what(one)} and {_what(other)} are no slices of one image (their {path.split('/')[-1]} is "
                f"{_text(one, path)} and {_text(other, path)}); give each its own folder"
            )
    for path, tolerance in _NEAR:
        a, b = float(_text(one, path)), float(_text(other, path))
        if not abs(a - b) <= tolerance:
            raise ProductError(
                f"{source}: {_what(one)} and {_what(other)} are sampled differently (their {path.split('/')[-1]} is "
                f"{a!r} and {b!r} s), so they cannot be joined; give each its own folder"
            )


def _burst_times(root: Element) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    times = [parse_utc(_text(b, "azimuthTime")) for b in root.iterfind("swathTiming/burstList/burst")]
    if not times:
        raise ProductError(f"{_what(root)}: its list of bursts is empty; fetch it again")
    return np.array(times, dtype="datetime64[ns]")


def _what(root: Element) -> str:
    """Name an annotation by what it says of itself."""
    names = ("missionId", "swath", "polarisation", "startTime")
    return " ".join(root.findtext(f"adsHeader/{name}", "?") for name in names)


def _lines_per_burst(root: Element) -> int:
    return int(_text(root, "swathTiming/linesPerBurst"))


def _grid(root: Element) -> Element:
    return _find(root, "geolocationGrid/geolocationGridPointList")


def _find(root: Element, path: str) -> Element:
    found = root.find(path)
    if found is None:
        raise ProductError(f"element {path} is missing in the <{root.tag}> of {_what(root)}; fetch it again")
    return found


def _text(root: Element, path: str) -> str:
    return (_find(root, path).text or "").strip()


def _set(root: Element, path: str, text: str) -> None:
    _find(root, path).text = text
