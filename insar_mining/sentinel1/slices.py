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
import numpy.typing as npt

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc
from insar_mining.sentinel1.elements import element_at, number_of, set_text, text_of

Element = ElementTree.Element

# what two slices must have in common, as text and as numbers (with how much they may differ)
_SAME = (
    "adsHeader/missionId",
    "adsHeader/swath",
    "adsHeader/polarisation",
    "adsHeader/missionDataTakeId",  # not the absolute orbit, which changes at the ascending node
    "swathTiming/linesPerBurst",
    "swathTiming/samplesPerBurst",
)
_NEAR = (
    ("imageAnnotation/imageInformation/slantRangeTime", 1e-11),  # a thousandth of a sample
    ("imageAnnotation/imageInformation/azimuthTimeInterval", 1e-12),
)

# lists that belong to moments of the data take, and the element that names the moment
_LISTS = (
    ("qualityInformation/qualityDataList", "azimuthTime"),
    ("generalAnnotation/orbitList", "time"),
    ("generalAnnotation/attitudeList", "time"),
    ("generalAnnotation/noiseList", "azimuthTime"),
    ("generalAnnotation/terrainHeightList", "azimuthTime"),
    ("generalAnnotation/azimuthFmRateList", "azimuthTime"),
    ("dopplerCentroid/dcEstimateList", "azimuthTime"),
    ("antennaPattern/antennaPatternList", "azimuthTime"),
)
_IMAGE = "imageAnnotation/imageInformation"
_WHOLE_SAMPLE = 1e-3  # how far from a whole number of samples the first ranges of two slices may lie apart
_VECTOR_LISTS = ("calibrationVectorList", "noiseVectorList", "noiseRangeVectorList")
_AZIMUTH_NOISE = "noiseAzimuthVectorList"
_LINES = ("line", "firstAzimuthLine", "lastAzimuthLine")
_SAMPLES = ("pixel", "firstRangeSample", "lastRangeSample")

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
    ordered = sorted(parts, key=lambda part: burst_starts(part)[0])
    for part in ordered[1:]:
        _check_same(ordered[0], part, source)
    root = copy.deepcopy(ordered[0])
    for part in ordered[1:]:
        _append_bursts(root, part, source)
        for path, moment in _LISTS:
            _merge_list(root, part, path, moment)
    last = ordered[-1]
    lines = len(burst_starts(root)) * _lines_per_burst(root)
    set_text(root, "adsHeader/stopTime", text_of(last, "adsHeader/stopTime"))
    information = "imageAnnotation/imageInformation"
    set_text(root, f"{information}/productLastLineUtcTime", text_of(last, f"{information}/productLastLineUtcTime"))
    set_text(root, f"{information}/numberOfLines", str(lines))
    return root


def align_samples(roots: Sequence[Element], *, source: str) -> list[int]:
    """Give the images of slices one first range and one number of samples; `roots` are changed.

    The echo window may move by whole samples inside a data take.  The image begins at the nearest
    range of all and ends at the farthest; what a slice does not have is not valid there.

    Returns
    -------
    list of int
        The sample of the joined image at which each slice begins.

    Raises
    ------
    ProductError
        The first ranges do not lie a whole number of samples apart.
    """
    starts = [number_of(root, f"{_IMAGE}/slantRangeTime") for root in roots]
    rates = [number_of(root, "generalAnnotation/productInformation/rangeSamplingRate") for root in roots]
    widths = [int(number_of(root, "swathTiming/samplesPerBurst")) for root in roots]
    begin = min(starts)
    exact = [(start - begin) * rates[0] for start in starts]
    first = [round(samples) for samples in exact]
    if max(rates) - min(rates) > 1e-3 or max(abs(e - f) for e, f in zip(exact, first, strict=True)) > _WHOLE_SAMPLE:
        apart = ", ".join(f"{samples:.4f}" for samples in exact)
        raise ProductError(
            f"{source}: the slices are sampled differently (their first ranges lie {apart} samples apart; whole "
            "numbers can be joined), so they are no slices of one image. Use each by itself."
        )
    width = max(f + w for f, w in zip(first, widths, strict=True))
    for root, shift, own in zip(roots, first, widths, strict=True):
        if (shift, own) != (0, width):
            _widen(root, begin, shift, width)
    return first


def _widen(root: Element, begin_s: float, shift: int, width: int) -> None:
    """Move an image by whole samples into a wider one."""
    element_at(root, f"{_IMAGE}/slantRangeTime").text = repr(begin_s)
    for path in (f"{_IMAGE}/numberOfSamples", "swathTiming/samplesPerBurst"):
        element_at(root, path).text = str(width)
    for burst in root.iterfind("swathTiming/burstList/burst"):
        for name in ("firstValidSample", "lastValidSample"):
            element = element_at(burst, name)
            samples = [int(text) for text in (element.text or "").split()]
            element.text = " ".join(str(sample + shift if sample >= 0 else sample) for sample in samples)
    for pixel in root.iterfind("geolocationGrid/geolocationGridPointList/geolocationGridPoint/pixel"):
        pixel.text = str(int(pixel.text or "0") + shift)


def join_vectors(
    parts: Sequence[Element], annotations: Sequence[Element], first_samples: Sequence[int] | None = None
) -> Element:
    """Join the calibration or the noise of slices; lines and samples are counted from the first of the joined image.

    Parameters
    ----------
    parts, annotations : sequence of Element
        One of each per slice, in the same order.
    first_samples : sequence of int, optional
        The sample of the joined image at which each slice begins, see :func:`align_samples`.
    """
    order = sorted(range(len(parts)), key=lambda i: burst_starts(annotations[i])[0])
    times = np.unique(np.concatenate([burst_starts(annotations[i]) for i in order]))
    joined_at = times[np.append(True, np.diff(times) > _SAME_BURST)]
    moved = [copy.deepcopy(part) for part in parts]
    for part, first in zip(moved, first_samples or [0] * len(parts), strict=True):
        _shift(part, _SAMPLES, first)
    root = moved[order[0]]
    for i in order[1:]:
        part = moved[i]
        burst = int(np.abs(joined_at - burst_starts(annotations[i])[0]).argmin())
        _shift(part, _LINES, burst * _lines_per_burst(annotations[i]))
        for name in (*_VECTOR_LISTS, _AZIMUTH_NOISE):
            _append_vectors(root.find(name), part.find(name), by_line=name != _AZIMUTH_NOISE)
    set_text(root, "adsHeader/stopTime", text_of(parts[order[-1]], "adsHeader/stopTime"))
    return root


def join_reports(parts: Sequence[Element], lists: Sequence[tuple[str, str]]) -> Element:
    """Join annotations that list reports of moments; a report that two slices hold is kept once.

    Parameters
    ----------
    parts : sequence of Element
        In any order; none is changed.
    lists : sequence of (str, str)
        Name of each list, and of the element that tells the time of its reports.
    """
    ordered = sorted(parts, key=lambda part: text_of(part, "adsHeader/startTime"))
    root = copy.deepcopy(ordered[0])
    for part in ordered[1:]:
        for path, moment in lists:
            if root.find(path) is None and (whole := part.find(path)) is not None:
                root.append(copy.deepcopy(whole))
            else:
                _merge_list(root, part, path, moment)
    set_text(root, "adsHeader/stopTime", text_of(ordered[-1], "adsHeader/stopTime"))
    return root


def _shift(part: Element, names: Sequence[str], by: int) -> None:
    """Add a number to every number in some elements."""
    for name in names if by else ():
        for element in part.iter(name):
            element.text = " ".join(str(int(text) + by) for text in (element.text or "").split())


def _append_vectors(target: Element | None, added: Element | None, *, by_line: bool) -> None:
    """Append vectors; where those of two slices overlap, the earlier slice's are kept."""
    if target is None or added is None:
        return
    ends = [int(text_of(v, "line")) for v in target] if by_line else []
    for vector in added:
        if not ends or int(text_of(vector, "line")) > max(ends):
            target.append(vector)
    target.set("count", str(len(target)))


def _append_bursts(root: Element, part: Element, source: str) -> None:
    """Append the bursts that come after the last one that is there, and their rows of tie points."""
    there, more = burst_starts(root), burst_starts(part)
    new = np.flatnonzero(more > there[-1] + _SAME_BURST)
    if new.size == 0:
        return
    if more[new[0]] - there[-1] > _NEXT_BURST:
        gap = (more[new[0]] - there[-1]) / np.timedelta64(1, "s")
        raise ProductError(
            f"{source}: two slices do not follow one another ({_what(root)}: {gap:.1f} s between their bursts, "
            "2.8 s is one burst). Fetch the scene between them, or give each its own folder."
        )
    bursts, grid = element_at(root, "swathTiming/burstList"), _grid(root)
    rows, added = _rows(root), _rows(part)
    for point in rows[-1]:  # the last line of the earlier slice is none of the joined image
        grid.remove(point)
    per_burst = _lines_per_burst(root)
    for index in new:
        bursts.append(copy.deepcopy(element_at(part, "swathTiming/burstList")[index]))
        _append_row(grid, added[index], (len(bursts) - 1) * per_burst)
    _append_row(grid, added[-1], len(bursts) * per_burst - 1)
    bursts.set("count", str(len(bursts)))
    grid.set("count", str(len(grid)))


def _append_row(grid: Element, row: Sequence[Element], line: int) -> None:
    for point in row:
        moved = copy.deepcopy(point)
        set_text(moved, "line", str(line))
        grid.append(moved)


def _rows(root: Element) -> list[list[Element]]:
    """Return tie points by rows: one at the first line of every burst, one at the last line of the image."""
    rows: dict[int, list[Element]] = {}
    for point in _grid(root):
        rows.setdefault(int(text_of(point, "line")), []).append(point)
    found = [rows[line] for line in sorted(rows)]
    count = len(burst_starts(root))
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
    end = max((parse_utc(text_of(e, moment)) for e in target), default=None)
    for element in added:
        if end is None or parse_utc(text_of(element, moment)) > end:
            target.append(copy.deepcopy(element))
    target.set("count", str(len(target)))


def _check_same(one: Element, other: Element, source: str) -> None:
    for path in _SAME:
        if text_of(one, path) != text_of(other, path):
            raise ProductError(
                f"{source}: {_what(one)} and {_what(other)} are no slices of one image (their {path.split('/')[-1]} is "
                f"{text_of(one, path)} and {text_of(other, path)}). Give each its own folder."
            )
    for path, tolerance in _NEAR:
        a, b = float(text_of(one, path)), float(text_of(other, path))
        if not abs(a - b) <= tolerance:
            raise ProductError(
                f"{source}: {_what(one)} and {_what(other)} are sampled differently (their {path.split('/')[-1]} is "
                f"{a!r} and {b!r} s), so they cannot be joined. Give each its own folder."
            )


def burst_starts(root: Element) -> npt.NDArray[np.datetime64]:
    """Return when the bursts of an annotation begin (UTC)."""
    times = [parse_utc(text_of(b, "azimuthTime")) for b in root.iterfind("swathTiming/burstList/burst")]
    if not times:
        raise ProductError(f"{_what(root)}: its list of bursts is empty. Fetch it again.")
    return np.array(times, dtype="datetime64[ns]")


def _what(root: Element) -> str:
    """Name an annotation by what it says of itself."""
    names = ("missionId", "swath", "polarisation", "startTime")
    return " ".join(root.findtext(f"adsHeader/{name}", "?") for name in names)


def _lines_per_burst(root: Element) -> int:
    return int(text_of(root, "swathTiming/linesPerBurst"))


def _grid(root: Element) -> Element:
    return element_at(root, "geolocationGrid/geolocationGridPointList")
