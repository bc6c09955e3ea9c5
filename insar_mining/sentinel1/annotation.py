"""What the annotation of one sub-swath and polarisation says.

The XML is defined in ESA's "Sentinel-1 Product Specification"
(S1-RS-MDA-52-7441).  All zero-Doppler times are seconds from `SubSwath.epoch`,
which is the same for every sub-swath of a product; slant-range times are two-way.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.errors import ProductError
from insar_mining.sentinel1.orbit import Orbit, OrbitArc

SPEED_OF_LIGHT_M_S = 299_792_458.0


@dataclass(frozen=True)
class RangePolynomial:
    """A polynomial in two-way slant-range time that holds around one azimuth time.

    ``value(tau) = sum(c[k] * (tau - t0_s) ** k)``; `t0_s` is the polynomial's own
    origin and differs from the first slant-range time of the image.
    """

    azimuth_time_s: float
    t0_s: float
    coefficients: tuple[float, ...]

    def __call__(self, slant_range_time_s: npt.ArrayLike) -> FloatArray:
        """Evaluate at two-way slant-range times in seconds, any shape."""
        x = np.asarray(slant_range_time_s, dtype=np.float64) - self.t0_s
        return np.asarray(np.polynomial.polynomial.polyval(x, self.coefficients), dtype=np.float64)


@dataclass(frozen=True)
class Burst:
    """One burst: where it lies in the image and which of its samples are valid.

    `first_valid_sample` and `last_valid_sample` have one entry per line, -1 where
    the line has no valid sample; `last_valid_sample` is inclusive, as in the XML.
    """

    index: int
    burst_id: int | None
    azimuth_time_s: float
    sensing_time_s: float
    first_valid_sample: npt.NDArray[np.int32]
    last_valid_sample: npt.NDArray[np.int32]

    @property
    def valid_lines(self) -> slice:
        """Lines of the burst that hold valid samples (start inclusive, stop exclusive)."""
        lines = np.flatnonzero(self.first_valid_sample >= 0)
        if lines.size == 0:
            return slice(0, 0)
        return slice(int(lines[0]), int(lines[-1]) + 1)

    @property
    def valid_samples(self) -> slice:
        """Samples that are valid in every valid line (start inclusive, stop exclusive)."""
        lines = self.first_valid_sample >= 0
        if not lines.any():
            return slice(0, 0)
        return slice(int(self.first_valid_sample[lines].max()), int(self.last_valid_sample[lines].min()) + 1)


@dataclass(frozen=True)
class GeolocationGrid:
    """Tie points of the annotation; every array has the shape (azimuth, range)."""

    azimuth_time_s: FloatArray
    slant_range_time_s: FloatArray
    line: FloatArray
    sample: FloatArray
    longitude_deg: FloatArray
    latitude_deg: FloatArray
    height_m: FloatArray
    incidence_deg: FloatArray


@dataclass(frozen=True)
class Bandwidth:
    """Processed bandwidth of one direction and the Hamming coefficient of its window."""

    processed_hz: float
    total_hz: float
    hamming: float


@dataclass(frozen=True)
class SubSwath:
    """The annotation of one sub-swath in one polarisation.

    Attributes
    ----------
    epoch : numpy.datetime64
        Origin of all times of the product (nanosecond resolution, UTC).
    azimuth_steering_rate_rad_s : float
        Electronic steering of the antenna, radians per second.
    azimuth_time_interval_s : float
        Spacing of lines inside a burst.
    slant_range_time_s : float
        Two-way time of the first sample of every line.
    """

    platform: str
    swath: str
    polarisation: str
    product_type: str
    orbit_direction: str
    absolute_orbit: int
    ipf_version: str | None
    epoch: np.datetime64
    radar_frequency_hz: float
    range_sampling_rate_hz: float
    slant_range_time_s: float
    azimuth_time_interval_s: float
    azimuth_frequency_hz: float
    azimuth_steering_rate_rad_s: float
    lines_per_burst: int
    samples_per_burst: int
    range_bandwidth: Bandwidth
    azimuth_bandwidth: Bandwidth
    bursts: tuple[Burst, ...]
    orbit: Orbit
    fm_rates: tuple[RangePolynomial, ...]
    doppler_centroids: tuple[RangePolynomial, ...]
    geolocation: GeolocationGrid

    @property
    def wavelength_m(self) -> float:
        """Radar wavelength, metres."""
        return SPEED_OF_LIGHT_M_S / self.radar_frequency_hz

    @property
    def range_spacing_m(self) -> float:
        """Slant-range spacing of samples, metres."""
        return SPEED_OF_LIGHT_M_S / (2 * self.range_sampling_rate_hz)

    @property
    def slant_range_m(self) -> float:
        """One-way slant range of the first sample, metres."""
        return SPEED_OF_LIGHT_M_S * self.slant_range_time_s / 2

    def arc(self) -> OrbitArc:
        """Orbit over all bursts, from the first line to the last; fitted once."""
        return self._arc

    @functools.cached_property
    def _arc(self) -> OrbitArc:
        length = self.lines_per_burst * self.azimuth_time_interval_s
        return self.orbit.arc(self.bursts[0].azimuth_time_s, self.bursts[-1].azimuth_time_s + length)

    def slant_range_time_of(self, sample: npt.ArrayLike) -> FloatArray:
        """Two-way slant-range time of (fractional) samples, seconds."""
        return np.asarray(self.slant_range_time_s + np.asarray(sample, dtype=np.float64) / self.range_sampling_rate_hz)

    def utc(self, time_s: float) -> np.datetime64:
        """UTC (nanoseconds) of a time in seconds from the product's epoch."""
        return self.epoch + np.timedelta64(round(time_s * 1e9), "ns")


def parse_utc(text: str) -> np.datetime64:
    """Turn the annotation's ``2023-09-04T06:37:31.072288`` into nanosecond UTC."""
    return np.datetime64(text.strip().removesuffix("Z").removeprefix("UTC="), "ns")


def midnight_before(time: np.datetime64) -> np.datetime64:
    """UTC midnight at or before `time`: the epoch of a product that starts then."""
    midnight: np.datetime64 = time.astype("datetime64[D]").astype("datetime64[ns]")
    return midnight


def parse_annotation(
    xml: bytes, *, source: str, epoch: np.datetime64 | None = None, ipf_version: str | None = None
) -> SubSwath:
    """Read the annotation of one sub-swath and polarisation.

    Parameters
    ----------
    xml : bytes
        The annotation file's content.
    source : str
        The file's name, for messages.
    epoch : numpy.datetime64, optional
        Origin of the times; by default the midnight before the first line.  Pass the
        product's one epoch when several sub-swaths are used together.
    ipf_version : str, optional
        The processor's version as the manifest gives it; carried along.

    Raises
    ------
    ProductError
        The bytes are not a Sentinel-1 IW SLC annotation, or a field is missing.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ProductError(f"{source}: not well-formed XML ({error}); fetch the product again") from error
    try:
        return _sub_swath(root, epoch, ipf_version, source)
    except (_Missing, ValueError, IndexError) as error:
        raise ProductError(f"{source}: not a usable Sentinel-1 SLC annotation: {error}") from error


class _Missing(Exception):
    """An element that the product specification requires is not there."""


def _element(root: ElementTree.Element, path: str) -> ElementTree.Element:
    found = root.find(path)
    if found is None:
        raise _Missing(f"element {path} is missing in <{root.tag}>")
    return found


def _text(root: ElementTree.Element, path: str) -> str:
    return (_element(root, path).text or "").strip()


def _number(root: ElementTree.Element, path: str) -> float:
    return float(_text(root, path))


def _sub_swath(
    root: ElementTree.Element, epoch: np.datetime64 | None, ipf_version: str | None, source: str
) -> SubSwath:
    if root.tag != "product" or root.find("swathTiming") is None:
        raise _Missing(f"the root element is <{root.tag}>, expected <product> with a <swathTiming>")
    header = _element(root, "adsHeader")
    if epoch is None:
        epoch = midnight_before(parse_utc(_text(header, "startTime")))
    seconds = _seconds_from(epoch)
    information = _element(root, "generalAnnotation/productInformation")
    image = _element(root, "imageAnnotation/imageInformation")
    processing = _element(root, "imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    timing = _element(root, "swathTiming")
    lines_per_burst = int(_text(timing, "linesPerBurst"))
    bursts = tuple(
        _burst(i, b, seconds, lines_per_burst) for i, b in enumerate(_element(timing, "burstList").findall("burst"))
    )
    if not bursts:
        raise _Missing("the burst list is empty: only IW (TOPS) products can be used")
    return SubSwath(
        platform=_text(header, "missionId"),
        swath=_text(header, "swath").upper(),
        polarisation=_text(header, "polarisation").upper(),
        product_type=_text(header, "productType"),
        orbit_direction=_text(information, "pass").lower(),
        absolute_orbit=int(_text(header, "absoluteOrbitNumber")),
        ipf_version=ipf_version,
        epoch=epoch,
        radar_frequency_hz=_number(information, "radarFrequency"),
        range_sampling_rate_hz=_number(information, "rangeSamplingRate"),
        slant_range_time_s=_number(image, "slantRangeTime"),
        azimuth_time_interval_s=_number(image, "azimuthTimeInterval"),
        azimuth_frequency_hz=_number(image, "azimuthFrequency"),
        azimuth_steering_rate_rad_s=float(np.deg2rad(_number(information, "azimuthSteeringRate"))),
        lines_per_burst=lines_per_burst,
        samples_per_burst=int(_text(timing, "samplesPerBurst")),
        range_bandwidth=_bandwidth(_element(processing, "rangeProcessing")),
        azimuth_bandwidth=_bandwidth(_element(processing, "azimuthProcessing")),
        bursts=bursts,
        orbit=_orbit(_element(root, "generalAnnotation/orbitList"), seconds, source),
        fm_rates=_fm_rates(_element(root, "generalAnnotation/azimuthFmRateList"), seconds),
        doppler_centroids=_doppler_centroids(_element(root, "dopplerCentroid/dcEstimateList"), seconds),
        geolocation=_geolocation(_element(root, "geolocationGrid/geolocationGridPointList"), seconds),
    )


def _seconds_from(epoch: np.datetime64) -> Callable[[str], float]:
    """Return a reader of UTC texts into seconds from `epoch`.

    The standard library parses the 26-character form much faster than numpy does, and
    an annotation holds hundreds of times.  Microseconds are all that the XML carries.
    """
    origin = dt.datetime.fromisoformat(str(epoch.astype("datetime64[us]")))

    def seconds(text: str) -> float:
        difference = dt.datetime.fromisoformat(text.strip()) - origin
        return difference.days * 86400 + difference.seconds + difference.microseconds * 1e-6

    return seconds


def _burst(index: int, element: ElementTree.Element, seconds: Callable[[str], float], lines: int) -> Burst:
    # int() on each piece is several times faster than numpy's parsing of strings
    first = np.array([int(n) for n in _text(element, "firstValidSample").split()], dtype=np.int32)
    last = np.array([int(n) for n in _text(element, "lastValidSample").split()], dtype=np.int32)
    if first.size != lines or last.size != lines:
        raise _Missing(f"burst {index + 1} lists valid samples for {first.size} lines of {lines}")
    burst_id = element.find("burstId")  # since IPF 3.40
    return Burst(
        index=index,
        burst_id=None if burst_id is None or not burst_id.text else int(burst_id.text),
        azimuth_time_s=seconds(_text(element, "azimuthTime")),
        sensing_time_s=seconds(_text(element, "sensingTime")),
        first_valid_sample=first,
        last_valid_sample=last,
    )


def _bandwidth(element: ElementTree.Element) -> Bandwidth:
    return Bandwidth(
        processed_hz=_number(element, "processingBandwidth"),
        total_hz=_number(element, "totalBandwidth"),
        hamming=_number(element, "windowCoefficient"),
    )


def _orbit(element: ElementTree.Element, seconds: Callable[[str], float], source: str) -> Orbit:
    vectors = element.findall("orbit")
    return Orbit(
        time_s=np.array([seconds(_text(v, "time")) for v in vectors]),
        position_m=np.array([[_number(v, f"position/{axis}") for axis in "xyz"] for v in vectors]),
        velocity_m_s=np.array([[_number(v, f"velocity/{axis}") for axis in "xyz"] for v in vectors]),
        source=f"annotation {source}",
    )


def _polynomial(element: ElementTree.Element, text: str, seconds: Callable[[str], float]) -> RangePolynomial:
    coefficients = tuple(float(c) for c in text.split())
    return RangePolynomial(seconds(_text(element, "azimuthTime")), _number(element, "t0"), coefficients)


def _fm_rates(element: ElementTree.Element, seconds: Callable[[str], float]) -> tuple[RangePolynomial, ...]:
    rates = []
    for rate in element.findall("azimuthFmRate"):
        polynomial = rate.find("azimuthFmRatePolynomial")
        if polynomial is not None and polynomial.text:
            text = polynomial.text
        else:  # IPF before 2.43 writes three elements instead of one list
            text = " ".join(_text(rate, name) for name in ("c0", "c1", "c2"))
        rates.append(_polynomial(rate, text, seconds))
    if not rates:
        raise _Missing("the list of azimuth FM rates is empty")
    return tuple(rates)


def _doppler_centroids(element: ElementTree.Element, seconds: Callable[[str], float]) -> tuple[RangePolynomial, ...]:
    estimates = [_polynomial(e, _text(e, "dataDcPolynomial"), seconds) for e in element.findall("dcEstimate")]
    if not estimates:
        raise _Missing("the list of Doppler centroid estimates is empty")
    return tuple(estimates)


def _geolocation(element: ElementTree.Element, seconds: Callable[[str], float]) -> GeolocationGrid:
    points = element.findall("geolocationGridPoint")
    lines = np.array([_number(p, "line") for p in points])
    columns = int(np.count_nonzero(lines == lines[0])) if points else 0
    if columns == 0 or len(points) % columns:
        raise _Missing(f"the geolocation grid has {len(points)} points, not a full grid")

    def grid(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64).reshape(-1, columns)

    def field(name: str) -> FloatArray:
        return grid([_number(p, name) for p in points])

    return GeolocationGrid(
        azimuth_time_s=grid([seconds(_text(p, "azimuthTime")) for p in points]),
        slant_range_time_s=field("slantRangeTime"),
        line=lines.reshape(-1, columns),
        sample=field("pixel"),
        longitude_deg=field("longitude"),
        latitude_deg=field("latitude"),
        height_m=field("height"),
        incidence_deg=field("incidenceAngle"),
    )
