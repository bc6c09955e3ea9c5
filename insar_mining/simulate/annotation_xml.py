"""Edit a real annotation so that it describes a simulated product: times, orbit, bursts, samples.

Everything that is not touched stays as the processor wrote it.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from insar_mining.arrays import FloatArray
from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.elements import element_at, set_text, text_of
from insar_mining.sentinel1.orbit import Orbit
from insar_mining.simulate.geometry import locate, trajectory

REPEAT_DAYS = 12
ORBITS_PER_CYCLE = 175
BURSTS_PER_CYCLE = 375_887  # 12 days over the burst cycle time of 2.758273 s
DATA_TAKES_PER_CYCLE = 1514  # as between the two real products of 2023-09-04 and 2023-09-16
SPEED_OF_LIGHT_M_S = 299_792_458.0
GEOLOCATION_COLUMNS = 21

_DATE = re.compile(rb"(\d{4})-(\d{2})-(\d{2})(?=T\d{2}:\d{2}:\d{2})")
_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+$")


@dataclass(frozen=True)
class Cut:
    """Describe the part of a sub-swath that a product keeps: bursts and samples, as half-open ranges."""

    first_burst: int
    stop_burst: int
    first_sample: int
    stop_sample: int


def shift_days(xml: bytes, days: int) -> bytes:
    """Shift every date-time in a text by whole days."""
    if days == 0:
        return xml

    def moved(match: re.Match[bytes]) -> bytes:
        date = dt.date(int(match[1]), int(match[2]), int(match[3])) + dt.timedelta(days=days)
        return date.isoformat().encode()

    return _DATE.sub(moved, xml)


def later_product(xml: bytes, *, days: int, start_offset_s: float = 0.0) -> bytes:
    """Write the annotation of the same ground track `days` later, with a small delay of the image.

    Parameters
    ----------
    days : int
        A multiple of the repeat cycle of 12 days, or 0; may be negative.
    start_offset_s : float
        Added to all times of the image but not to those of the orbit and the attitude:
        the bursts start earlier or later along the track (whole microseconds).

    Raises
    ------
    ProductError
        `days` is not a multiple of the repeat cycle.
    """
    if days % REPEAT_DAYS:
        raise ProductError(f"a shift of {days} days is no repeat of the orbit. Use multiples of {REPEAT_DAYS}.")
    cycles = days // REPEAT_DAYS
    root = ElementTree.fromstring(shift_days(xml, days))
    _add(root, "adsHeader/absoluteOrbitNumber", cycles * ORBITS_PER_CYCLE)
    _add(root, "adsHeader/missionDataTakeId", cycles * DATA_TAKES_PER_CYCLE)
    for burst in root.iterfind("swathTiming/burstList/burst/burstId"):
        if "absolute" in burst.attrib:
            burst.set("absolute", str(int(burst.get("absolute", "0")) + cycles * BURSTS_PER_CYCLE))
    offset = dt.timedelta(microseconds=round(start_offset_s * 1e6))
    if offset:
        fixed = {
            id(e)
            for name in ("orbitList", "attitudeList")
            for parent in root.iterfind(f"generalAnnotation/{name}")
            for e in parent.iter()
        }
        for element in root.iter():
            if id(element) not in fixed and element.text and _TIME.match(element.text):
                element.text = _utc(dt.datetime.fromisoformat(element.text) + offset)
        for anx in root.iterfind("swathTiming/burstList/burst/azimuthAnxTime"):
            anx.text = f"{float(anx.text or 0) + offset.total_seconds():.15e}"
    return _bytes(root)


def with_orbit(xml: bytes, orbit: Orbit) -> bytes:
    """Replace the state vectors by those of `orbit` (same times)."""
    root = ElementTree.fromstring(xml)
    for element, position, velocity in zip(
        root.iterfind("generalAnnotation/orbitList/orbit"), orbit.position_m, orbit.velocity_m_s, strict=True
    ):
        for k, axis in enumerate("xyz"):
            set_text(element, f"position/{axis}", f"{position[k]:.15e}")
            set_text(element, f"velocity/{axis}", f"{velocity[k]:.15e}")
    return _bytes(root)


def cut_annotation(xml: bytes, cut: Cut, *, image_number: int | None = None) -> bytes:
    """Cut an annotation to some bursts and samples, with times, sizes, valid samples and tie points.

    Byte offsets and pixel statistics are set by :func:`with_pixels` once they are known.
    """
    swath = parse_annotation(xml, source="template")
    root = ElementTree.fromstring(xml)
    samples = cut.stop_sample - cut.first_sample
    bursts = swath.bursts[cut.first_burst : cut.stop_burst]
    lines = len(bursts) * swath.lines_per_burst
    start = bursts[0].azimuth_time_s
    stop = bursts[-1].azimuth_time_s + (swath.lines_per_burst - 1) * swath.azimuth_time_interval_s
    slant = float(swath.slant_range_time_of(cut.first_sample))

    set_text(root, "adsHeader/startTime", _stamp(swath, start))
    set_text(root, "adsHeader/stopTime", _stamp(swath, stop))
    if image_number is not None:
        set_text(root, "adsHeader/imageNumber", f"{image_number:03d}")
    information = "imageAnnotation/imageInformation"
    set_text(root, f"{information}/productFirstLineUtcTime", _stamp(swath, start))
    set_text(root, f"{information}/productLastLineUtcTime", _stamp(swath, stop))
    set_text(root, f"{information}/slantRangeTime", f"{slant:.15e}")
    set_text(root, f"{information}/numberOfSamples", str(samples))
    set_text(root, f"{information}/numberOfLines", str(lines))
    set_text(root, "swathTiming/samplesPerBurst", str(samples))
    _cut_bursts(root, cut)
    _thin(root, "antennaPattern/antennaPatternList", start, stop, swath)
    _thin(root, "generalAnnotation/noiseList", start, stop, swath)
    _cut_geolocation(root, swath, cut, slant)
    return _bytes(root)


def slim(xml: bytes, start_s: float, stop_s: float) -> bytes:
    """Shorten the long lists (antenna pattern, noise) to those near a span of the image.

    Makes every later edit of the same template faster.
    """
    swath = parse_annotation(xml, source="template")
    root = ElementTree.fromstring(xml)
    for path in ("antennaPattern/antennaPatternList", "generalAnnotation/noiseList"):
        _thin(root, path, start_s, stop_s, swath)
    return _bytes(root)


def data_take(xml: bytes) -> int:
    """Return the mission data take of an annotation."""
    return int(_first(xml, b"missionDataTakeId"))


def image_number(xml: bytes) -> str:
    """Return the image number of an annotation, three digits."""
    return _first(xml, b"imageNumber").decode("ascii")


def _first(xml: bytes, tag: bytes) -> bytes:
    match = re.search(rb"<" + tag + rb">\s*(\d+)\s*<", xml)
    if match is None:
        raise ProductError(f"the template's annotation has no {tag.decode()}. Use the annotation of a real product.")
    return match[1]


def with_pixels(xml: bytes, *, first_byte: int, mean: complex, deviation: tuple[float, float]) -> bytes:
    """Write the byte offsets of the bursts and the statistics of the pixels into an annotation."""
    root = ElementTree.fromstring(xml)
    lines, samples = (int(text_of(root, f"swathTiming/{n}")) for n in ("linesPerBurst", "samplesPerBurst"))
    for index, burst in enumerate(root.iterfind("swathTiming/burstList/burst")):
        set_text(burst, "byteOffset", str(first_byte + index * lines * samples * 4))
    for statistics in root.iter("imageStatistics"):
        set_text(statistics, "outputDataMean/re", f"{mean.real:.6e}")
        set_text(statistics, "outputDataMean/im", f"{mean.imag:.6e}")
        set_text(statistics, "outputDataStdDev/re", f"{deviation[0]:.6e}")
        set_text(statistics, "outputDataStdDev/im", f"{deviation[1]:.6e}")
    return _bytes(root)


def _cut_bursts(root: ElementTree.Element, cut: Cut) -> None:
    parent = element_at(root, "swathTiming/burstList")
    for index, burst in enumerate(list(parent)):
        if not cut.first_burst <= index < cut.stop_burst:
            parent.remove(burst)
            continue
        first = np.array(text_of(burst, "firstValidSample").split(), dtype=np.int64)
        last = np.array(text_of(burst, "lastValidSample").split(), dtype=np.int64)
        empty = (first < 0) | (first >= cut.stop_sample) | (last < cut.first_sample)
        first = np.where(empty, -1, np.maximum(first - cut.first_sample, 0))
        last = np.where(empty, -1, np.minimum(last, cut.stop_sample - 1) - cut.first_sample)
        set_text(burst, "firstValidSample", " ".join(map(str, first)))
        set_text(burst, "lastValidSample", " ".join(map(str, last)))
    parent.set("count", str(len(parent)))


def _thin(root: ElementTree.Element, path: str, start: float, stop: float, swath: SubSwath) -> None:
    """Drop entries of a long list that lie more than three seconds from the image, but not all of them."""
    parent = root.find(path)
    if parent is None or len(parent) < 2:
        return
    origin = dt.datetime.fromisoformat(str(swath.epoch.astype("datetime64[us]")))

    def away(element: ElementTree.Element) -> float:
        time = (dt.datetime.fromisoformat(text_of(element, "azimuthTime")) - origin).total_seconds()
        return max(start - time, time - stop, 0.0)

    nearest = min(parent, key=away)
    for element in list(parent):
        if element is not nearest and away(element) > 3.0:
            parent.remove(element)
    parent.set("count", str(len(parent)))


def _cut_geolocation(root: ElementTree.Element, swath: SubSwath, cut: Cut, slant_time_s: float) -> None:
    """Write a new grid of tie points: exact for the orbit, at the template's terrain heights."""
    old = swath.geolocation
    axes = (old.azimuth_time_s[:, 0], old.slant_range_time_s[0])
    bursts = swath.bursts[cut.first_burst : cut.stop_burst]
    per_burst = swath.lines_per_burst
    line = np.append(np.arange(len(bursts)) * per_burst, len(bursts) * per_burst - 1)
    time = np.array([b.azimuth_time_s for b in bursts])
    time = np.append(time, time[-1] + (per_burst - 1) * swath.azimuth_time_interval_s)
    samples = cut.stop_sample - cut.first_sample
    pixel = np.unique(np.round(np.linspace(0, samples - 1, min(GEOLOCATION_COLUMNS, samples))).astype(int))
    tau = slant_time_s + pixel / swath.range_sampling_rate_hz
    times, taus = np.meshgrid(time, tau, indexing="ij")
    inside = np.stack([np.clip(times, axes[0][0], axes[0][-1]), np.clip(taus, axes[1][0], axes[1][-1])], axis=-1)

    def old_values(values: FloatArray) -> FloatArray:
        return np.asarray(RegularGridInterpolator(axes, values)(inside))

    height, incidence = old_values(old.height_m), old_values(old.incidence_deg)
    points = element_at(root, "geolocationGrid/geolocationGridPointList")
    elevation_of = np.array([float(text_of(p, "elevationAngle")) for p in points]).reshape(old.line.shape)
    elevation = old_values(elevation_of)
    path = trajectory(swath.orbit, float(time[0]) - 1, float(time[-1]) + 1)
    longitude, latitude = locate(path, times, SPEED_OF_LIGHT_M_S * taus / 2, height)
    pattern = points[0]
    for element in list(points):
        points.remove(element)
    for i, j in np.ndindex(times.shape):
        point = copy.deepcopy(pattern)
        set_text(point, "azimuthTime", _stamp(swath, float(times[i, j])))
        set_text(point, "slantRangeTime", f"{taus[i, j]:.15e}")
        set_text(point, "line", str(line[i]))
        set_text(point, "pixel", str(pixel[j]))
        for name, values in (
            ("latitude", latitude), ("longitude", longitude), ("height", height),
            ("incidenceAngle", incidence), ("elevationAngle", elevation),
        ):  # fmt: skip
            set_text(point, name, f"{values[i, j]:.15e}")
        points.append(point)
    points.set("count", str(len(points)))
    set_text(root, "imageAnnotation/imageInformation/incidenceAngleMidSwath", f"{np.median(incidence):.15e}")


def _add(root: ElementTree.Element, path: str, amount: int) -> None:
    set_text(root, path, str(int(text_of(root, path)) + amount))


def _stamp(swath: SubSwath, time_s: float) -> str:
    origin = dt.datetime.fromisoformat(str(swath.epoch.astype("datetime64[us]")))
    return _utc(origin + dt.timedelta(microseconds=round(time_s * 1e6)))


def _utc(time: dt.datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _bytes(root: ElementTree.Element) -> bytes:
    return bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))
