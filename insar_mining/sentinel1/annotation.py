"""What the annotation of one sub-swath and polarisation says.

The XML is defined in ESA's "Sentinel-1 Product Specification"
(S1-RS-MDA-52-7441).  All zero-Doppler times are seconds from `SubSwath.epoch`,
which is the same for every sub-swath of a product; slant-range times are two-way.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.doors import parse_xml
from insar_mining.errors import ProductError
from insar_mining.sentinel1.elements import MissingElementError, element_at, number_of, text_of
from insar_mining.sentinel1.orbit import Orbit, OrbitArc, without_leap_second

SPEED_OF_LIGHT_M_S = 299_792_458.0

MOST_MISSING_TIE_POINTS = 0.05
"""Share of tie points that are filled from their neighbours; a grid that lacks more is damaged."""

_MISSING_LINES = ("numDownlinkInputMissingLines", "numInstrumentInputMissingLines", "numSsbErrorInputMissingLines")


@dataclass(frozen=True)
class RangePolynomial:
    """Hold a polynomial in two-way slant-range time that holds around one azimuth time.

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
    """Describe one burst: where it lies in the image and which of its samples are valid.

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
        """Samples that are valid in any line (start inclusive, stop exclusive); a line may have fewer, or none."""
        lines = self.first_valid_sample >= 0
        if not lines.any():
            return slice(0, 0)
        return slice(int(self.first_valid_sample[lines].min()), int(self.last_valid_sample[lines].max()) + 1)

    @property
    def odd_lines(self) -> npt.NDArray[np.int64]:
        """Lines between the first and the last valid one that are not valid, or in fewer samples than others."""
        lines, samples = self.valid_lines, self.valid_samples
        is_odd = (self.first_valid_sample != samples.start) | (self.last_valid_sample != samples.stop - 1)
        return np.asarray(np.flatnonzero(is_odd[lines]) + lines.start, dtype=np.int64)


@dataclass(frozen=True)
class GeolocationGrid:
    """Hold tie points of the annotation; every array has the shape (azimuth, range)."""

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
    """Hold processed bandwidth of one direction and the Hamming coefficient of its window."""

    processed_hz: float
    total_hz: float
    hamming: float


@dataclass(frozen=True)
class SubSwath:
    """Hold the annotation of one sub-swath in one polarisation.

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
    missing_lines : int or None
        Raw lines that were lost on the way to the processor (``downlinkQuality``); None if not annotated.
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
    missing_lines: int | None = None

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
        """Return the orbit over all bursts, from the first line to the last; fitted once."""
        return self._arc

    @functools.cached_property
    def _arc(self) -> OrbitArc:
        length = self.lines_per_burst * self.azimuth_time_interval_s
        return self.orbit.arc(self.bursts[0].azimuth_time_s, self.bursts[-1].azimuth_time_s + length)

    def slant_range_time_of(self, sample: npt.ArrayLike) -> FloatArray:
        """Return the two-way slant-range time of (fractional) samples, seconds."""
        return np.asarray(self.slant_range_time_s + np.asarray(sample, dtype=np.float64) / self.range_sampling_rate_hz)

    def utc(self, time_s: float) -> np.datetime64:
        """Return UTC (nanoseconds) of a time in seconds from the product's epoch."""
        return self.epoch + np.timedelta64(round(time_s * 1e9), "ns")


def parse_utc(text: str) -> np.datetime64:
    """Turn the annotation's ``2023-09-04T06:37:31.072288`` into nanosecond UTC."""
    return np.datetime64(without_leap_second(text.removesuffix("Z")), "ns")


def midnight_before(time: np.datetime64) -> np.datetime64:
    """Return UTC midnight at or before `time`: the epoch of a product that starts then."""
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
        root = parse_xml(xml)
    except ElementTree.ParseError as error:
        raise ProductError(f"{source}: not well-formed XML ({error}). Fetch the product again.") from error
    try:
        return _sub_swath(root, epoch, ipf_version, source)
    except (MissingElementError, ValueError, IndexError) as error:
        raise ProductError(f"{source}: not a usable Sentinel-1 SLC annotation: {error}") from error


def _sub_swath(
    root: ElementTree.Element, epoch: np.datetime64 | None, ipf_version: str | None, source: str
) -> SubSwath:
    if root.tag != "product" or root.find("swathTiming") is None:
        raise ValueError(f"the root element is <{root.tag}>, expected <product> with a <swathTiming>")
    header = element_at(root, "adsHeader")
    if epoch is None:
        epoch = midnight_before(parse_utc(text_of(header, "startTime")))
    seconds = _seconds_from(epoch)
    information = element_at(root, "generalAnnotation/productInformation")
    image = element_at(root, "imageAnnotation/imageInformation")
    processing = element_at(root, "imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    timing = element_at(root, "swathTiming")
    lines_per_burst = int(text_of(timing, "linesPerBurst"))
    bursts = tuple(
        _burst(i, b, seconds, lines_per_burst) for i, b in enumerate(element_at(timing, "burstList").findall("burst"))
    )
    if not bursts:
        raise ValueError("the burst list is empty: only IW (TOPS) products can be used")
    return SubSwath(
        platform=text_of(header, "missionId"),
        swath=text_of(header, "swath").upper(),
        polarisation=text_of(header, "polarisation").upper(),
        product_type=text_of(header, "productType"),
        orbit_direction=text_of(information, "pass").lower(),
        absolute_orbit=int(text_of(header, "absoluteOrbitNumber")),
        ipf_version=ipf_version,
        epoch=epoch,
        radar_frequency_hz=number_of(information, "radarFrequency"),
        range_sampling_rate_hz=number_of(information, "rangeSamplingRate"),
        slant_range_time_s=number_of(image, "slantRangeTime"),
        azimuth_time_interval_s=number_of(image, "azimuthTimeInterval"),
        azimuth_frequency_hz=number_of(image, "azimuthFrequency"),
        azimuth_steering_rate_rad_s=float(np.deg2rad(number_of(information, "azimuthSteeringRate"))),
        lines_per_burst=lines_per_burst,
        samples_per_burst=int(text_of(timing, "samplesPerBurst")),
        range_bandwidth=_bandwidth(element_at(processing, "rangeProcessing")),
        azimuth_bandwidth=_bandwidth(element_at(processing, "azimuthProcessing")),
        bursts=bursts,
        orbit=_orbit(root, seconds, source),
        fm_rates=_fm_rates(element_at(root, "generalAnnotation/azimuthFmRateList"), seconds),
        doppler_centroids=_doppler_centroids(element_at(root, "dopplerCentroid/dcEstimateList"), seconds),
        geolocation=_geolocation(element_at(root, "geolocationGrid/geolocationGridPointList"), seconds),
        missing_lines=_missing_lines(root),
    )


def _seconds_from(epoch: np.datetime64) -> Callable[[str], float]:
    """Return a reader of UTC texts into seconds from `epoch`.

    The standard library parses the 26-character form much faster than numpy does, and
    an annotation holds hundreds of times.  Microseconds are all that the XML carries.
    """
    origin = dt.datetime.fromisoformat(str(epoch.astype("datetime64[us]")))

    def seconds(text: str) -> float:
        difference = dt.datetime.fromisoformat(without_leap_second(text)) - origin
        return difference.days * 86400 + difference.seconds + difference.microseconds * 1e-6

    return seconds


def _burst(index: int, element: ElementTree.Element, seconds: Callable[[str], float], lines: int) -> Burst:
    # int() on each piece is several times faster than numpy's parsing of strings
    first = np.array([int(n) for n in text_of(element, "firstValidSample").split()], dtype=np.int32)
    last = np.array([int(n) for n in text_of(element, "lastValidSample").split()], dtype=np.int32)
    if first.size != lines or last.size != lines:
        raise ValueError(f"burst {index + 1} lists valid samples for {first.size} lines of {lines}")
    burst_id = element.find("burstId")  # since IPF 3.40
    return Burst(
        index=index,
        burst_id=None if burst_id is None or not burst_id.text else int(burst_id.text),
        azimuth_time_s=seconds(text_of(element, "azimuthTime")),
        sensing_time_s=seconds(text_of(element, "sensingTime")),
        first_valid_sample=first,
        last_valid_sample=last,
    )


def _missing_lines(root: ElementTree.Element) -> int | None:
    """Count the raw lines that downlink, instrument or storage lost; None if not annotated."""
    quality = root.findall("qualityInformation/qualityDataList/qualityData/downlinkQuality")
    counts = [element.findtext(name) for element in quality for name in _MISSING_LINES]
    known = [int(text) for text in counts if text]
    return sum(known) if known else None


def _orbit_source(root: ElementTree.Element) -> str:
    """Return where the state vectors are from: ``auxiliary``, ``downlink``; empty if it is not stated."""
    return root.findtext("imageAnnotation/processingInformation/orbitSource", "").strip().lower()


def _bandwidth(element: ElementTree.Element) -> Bandwidth:
    return Bandwidth(
        processed_hz=number_of(element, "processingBandwidth"),
        total_hz=number_of(element, "totalBandwidth"),
        hamming=number_of(element, "windowCoefficient"),
    )


def _orbit(root: ElementTree.Element, seconds: Callable[[str], float], source: str) -> Orbit:
    vectors = element_at(root, "generalAnnotation/orbitList").findall("orbit")
    return Orbit(
        time_s=np.array([seconds(text_of(v, "time")) for v in vectors]),
        position_m=np.array([[number_of(v, f"position/{axis}") for axis in "xyz"] for v in vectors]),
        velocity_m_s=np.array([[number_of(v, f"velocity/{axis}") for axis in "xyz"] for v in vectors]),
        source=f"annotation {source}",
        is_downlink=_orbit_source(root) == "downlink",
    )


def _polynomial(element: ElementTree.Element, text: str, seconds: Callable[[str], float]) -> RangePolynomial:
    coefficients = tuple(float(c) for c in text.split())
    return RangePolynomial(seconds(text_of(element, "azimuthTime")), number_of(element, "t0"), coefficients)


def _fm_rates(element: ElementTree.Element, seconds: Callable[[str], float]) -> tuple[RangePolynomial, ...]:
    rates = []
    for rate in element.findall("azimuthFmRate"):
        polynomial = rate.find("azimuthFmRatePolynomial")
        if polynomial is not None and polynomial.text:
            text = polynomial.text
        else:  # IPF before 2.43 writes three elements instead of one list
            text = " ".join(text_of(rate, name) for name in ("c0", "c1", "c2"))
        rates.append(_polynomial(rate, text, seconds))
    if not rates:
        raise ValueError("the list of azimuth FM rates is empty")
    return tuple(rates)


def _doppler_centroids(element: ElementTree.Element, seconds: Callable[[str], float]) -> tuple[RangePolynomial, ...]:
    estimates = [_polynomial(e, text_of(e, "dataDcPolynomial"), seconds) for e in element.findall("dcEstimate")]
    if not estimates:
        raise ValueError("the list of Doppler centroid estimates is empty")
    return tuple(estimates)


def _geolocation(element: ElementTree.Element, seconds: Callable[[str], float]) -> GeolocationGrid:
    rows = _tie_point_rows(element)
    samples = [_samples_of(row, rows) for row in rows]
    count, columns = sum(len(row) for row in rows), len(samples[0]) if rows else 0
    is_full = columns > 1 and all(len(wanted) == columns for wanted in samples)
    if not is_full or count < (1 - MOST_MISSING_TIE_POINTS) * columns * len(rows):
        raise ValueError(f"the geolocation grid has {count} points, not a full grid of {len(rows)} x {columns}")

    def read(name: str, *, period: float | None = None) -> FloatArray:
        return np.array(
            [
                _along([(s, number_of(p, name)) for s, p in sorted(row.items())], wanted, period)
                for row, wanted in zip(rows, samples, strict=True)
            ]
        )

    times = [[(s, seconds(text_of(p, "azimuthTime"))) for s, p in sorted(row.items())] for row in rows]
    lines = [number_of(next(iter(row.values())), "line") for row in rows]
    return GeolocationGrid(
        azimuth_time_s=np.array([_along(t, s, None) for t, s in zip(times, samples, strict=True)]),
        slant_range_time_s=read("slantRangeTime"),
        line=np.repeat(np.array(lines)[:, np.newaxis], columns, axis=1),
        sample=np.array(samples, dtype=np.float64),
        longitude_deg=read("longitude", period=360.0),
        latitude_deg=read("latitude"),
        height_m=read("height"),
        incidence_deg=read("incidenceAngle"),
    )


def _tie_point_rows(element: ElementTree.Element) -> list[dict[float, ElementTree.Element]]:
    """Return the tie points by line and sample, whatever their order; one that is there twice counts once."""
    rows: dict[float, dict[float, ElementTree.Element]] = {}
    for point in element.findall("geolocationGridPoint"):
        rows.setdefault(number_of(point, "line"), {})[number_of(point, "pixel")] = point
    return [rows[line] for line in sorted(rows)]


def _samples_of(row: Mapping[float, object], rows: Sequence[Mapping[float, object]]) -> list[float]:
    """Return the samples that a row has or should have: those of all rows with at least half of its own.

    Slices that were joined begin at other samples, so that not all rows have the same.
    """
    alike = [other.keys() for other in rows if 2 * len(other.keys() & row.keys()) >= len(row)]
    return sorted(set().union(*alike))


def _along(known: list[tuple[float, float]], wanted: list[float], period: float | None) -> list[float]:
    """Return the values of a row at all its samples; what is missing is put on the line through two neighbours."""
    if len(known) == len(wanted):
        return [value for _, value in known]
    if len(known) < 2:
        raise ValueError("the geolocation grid has a row of fewer than 2 points")
    at, values = np.array(known).T
    values = values if period is None else np.unwrap(values, period=period)
    right = np.clip(np.searchsorted(at, wanted), 1, at.size - 1)
    slope = (values[right] - values[right - 1]) / (at[right] - at[right - 1])
    out = values[right - 1] + slope * (np.array(wanted) - at[right - 1])
    filled = out if period is None else (out + period / 2) % period - period / 2
    return [dict(known).get(sample, value) for sample, value in zip(wanted, filled.tolist(), strict=True)]
