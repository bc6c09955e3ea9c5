"""The annotation reader against an independent XML library and against physics."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyproj
import pytest
from lxml import etree

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import RangePolynomial, SubSwath, parse_annotation, parse_utc

C = 299_792_458.0
SWATHS = [(date, swath) for date in ("20230904", "20230916") for swath in ("IW1", "IW2", "IW3")]


def every(root: etree._Element, path: str) -> np.ndarray:
    return np.array([float(text) for text in root.xpath(f"{path}/text()")])


def one(root: etree._Element, path: str) -> float:
    (value,) = every(root, path)
    return float(value)


def times(root: etree._Element, path: str, epoch: np.datetime64) -> np.ndarray:
    texts = np.array(root.xpath(f"{path}/text()"), dtype="datetime64[ns]")
    return (texts - epoch) / np.timedelta64(1, "s")


@pytest.mark.parametrize(("date", "swath"), SWATHS)
def test_every_number_equals_that_of_another_xml_library(
    date: str, swath: str, morocco_annotation: Callable[..., bytes], morocco_sub_swath: Callable[..., SubSwath]
) -> None:
    root = etree.fromstring(morocco_annotation(date, swath))
    found = morocco_sub_swath(date, swath)
    information = "generalAnnotation/productInformation"
    image = "imageAnnotation/imageInformation"
    processing = "imageAnnotation/processingInformation/swathProcParamsList/swathProcParams"
    numbers = {
        "absolute_orbit": "adsHeader/absoluteOrbitNumber",
        "radar_frequency_hz": f"{information}/radarFrequency",
        "range_sampling_rate_hz": f"{information}/rangeSamplingRate",
        "slant_range_time_s": f"{image}/slantRangeTime",
        "azimuth_time_interval_s": f"{image}/azimuthTimeInterval",
        "azimuth_frequency_hz": f"{image}/azimuthFrequency",
        "lines_per_burst": "swathTiming/linesPerBurst",
        "samples_per_burst": "swathTiming/samplesPerBurst",
    }
    assert {name: getattr(found, name) for name in numbers} == {n: one(root, path) for n, path in numbers.items()}
    assert found.azimuth_steering_rate_rad_s == pytest.approx(
        one(root, f"{information}/azimuthSteeringRate") * np.pi / 180, rel=1e-15
    )
    for ours, theirs in ((found.range_bandwidth, "rangeProcessing"), (found.azimuth_bandwidth, "azimuthProcessing")):
        assert ours.processed_hz == one(root, f"{processing}/{theirs}/processingBandwidth")
        assert ours.total_hz == one(root, f"{processing}/{theirs}/totalBandwidth")
        assert ours.hamming == one(root, f"{processing}/{theirs}/windowCoefficient")
    assert (found.platform, found.swath, found.polarisation, found.product_type) == ("S1A", swath, "VV", "SLC")
    assert (found.orbit_direction, found.ipf_version) == ("descending", "003.61")
    assert found.epoch == np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00", "ns")


@pytest.mark.parametrize(("date", "swath"), SWATHS)
def test_every_list_equals_that_of_another_xml_library(
    date: str, swath: str, morocco_annotation: Callable[..., bytes], morocco_sub_swath: Callable[..., SubSwath]
) -> None:
    root = etree.fromstring(morocco_annotation(date, swath))
    found = morocco_sub_swath(date, swath)
    burst = "swathTiming/burstList/burst"
    np.testing.assert_allclose(
        [b.azimuth_time_s for b in found.bursts], times(root, f"{burst}/azimuthTime", found.epoch), atol=1e-9
    )
    np.testing.assert_allclose(
        [b.sensing_time_s for b in found.bursts], times(root, f"{burst}/sensingTime", found.epoch), atol=1e-9
    )
    assert [b.burst_id for b in found.bursts] == every(root, f"{burst}/burstId").tolist()
    assert [b.index for b in found.bursts] == list(range(9))
    for ours, name in (("first_valid_sample", "firstValidSample"), ("last_valid_sample", "lastValidSample")):
        theirs = [np.fromstring(text, sep=" ") for text in root.xpath(f"{burst}/{name}/text()")]
        np.testing.assert_array_equal([getattr(b, ours) for b in found.bursts], theirs)

    orbit = "generalAnnotation/orbitList/orbit"
    np.testing.assert_allclose(found.orbit.time_s, times(root, f"{orbit}/time", found.epoch), atol=1e-9)
    for ours, name in (("position_m", "position"), ("velocity_m_s", "velocity")):
        theirs = np.stack([every(root, f"{orbit}/{name}/{axis}") for axis in "xyz"], axis=1)
        np.testing.assert_array_equal(getattr(found.orbit, ours), theirs)

    lists = (
        (found.fm_rates, "generalAnnotation/azimuthFmRateList/azimuthFmRate", "azimuthFmRatePolynomial"),
        (found.doppler_centroids, "dopplerCentroid/dcEstimateList/dcEstimate", "dataDcPolynomial"),
    )
    for ours, path, name in lists:
        assert [p.t0_s for p in ours] == every(root, f"{path}/t0").tolist()
        texts = root.xpath(f"{path}/{name}/text()")
        assert [p.coefficients for p in ours] == [tuple(map(float, text.split())) for text in texts]
        np.testing.assert_allclose(
            [p.azimuth_time_s for p in ours], times(root, f"{path}/azimuthTime", found.epoch), atol=1e-9
        )

    point = "geolocationGrid/geolocationGridPointList/geolocationGridPoint"
    names = {
        "slant_range_time_s": "slantRangeTime",
        "line": "line",
        "sample": "pixel",
        "longitude_deg": "longitude",
        "latitude_deg": "latitude",
        "height_m": "height",
        "incidence_deg": "incidenceAngle",
    }
    for ours, name in names.items():
        np.testing.assert_array_equal(getattr(found.geolocation, ours).ravel(), every(root, f"{point}/{name}"))
    np.testing.assert_allclose(
        found.geolocation.azimuth_time_s.ravel(), times(root, f"{point}/azimuthTime", found.epoch), atol=1e-9
    )
    assert (np.diff(found.geolocation.line, axis=1) == 0).all()
    assert (np.diff(found.geolocation.sample, axis=1) > 0).all()


@pytest.mark.parametrize(("date", "swath"), [*SWATHS, ("azores", "IW3")])
def test_tie_points_are_seen_at_their_time_and_range(
    date: str, swath: str, morocco_sub_swath: Callable[..., SubSwath], azores_sub_swath: SubSwath
) -> None:
    """The processor's own tie points fulfil the range-Doppler equations with the orbit read here."""
    found = azores_sub_swath if date == "azores" else morocco_sub_swath(date, swath)
    grid = found.geolocation
    to_earth_fixed = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    point = np.stack(to_earth_fixed.transform(grid.longitude_deg, grid.latitude_deg, grid.height_m), axis=-1)
    arc = found.orbit.arc(grid.azimuth_time_s.min(), grid.azimuth_time_s.max())
    position, velocity = arc.position_m(grid.azimuth_time_s), arc.velocity_m_s(grid.azimuth_time_s)
    sight = point - position
    distance = np.linalg.norm(sight, axis=-1)
    along = (sight * velocity).sum(axis=-1) / np.linalg.norm(velocity, axis=-1)
    np.testing.assert_allclose(distance, C * grid.slant_range_time_s / 2, atol=1e-3, rtol=0)
    assert np.abs(along).max() < 0.02  # times are written to the microsecond: 7 mm of flight


@pytest.mark.parametrize(("date", "swath"), [*SWATHS, ("azores", "IW3")])
def test_bursts_lie_as_the_instrument_takes_them(
    date: str, swath: str, morocco_sub_swath: Callable[..., SubSwath], azores_sub_swath: SubSwath
) -> None:
    found = azores_sub_swath if date == "azores" else morocco_sub_swath(date, swath)
    starts = np.array([b.azimuth_time_s for b in found.bursts])
    np.testing.assert_allclose(np.diff(starts), 2.758, atol=0.012)
    steps = np.diff(starts) / found.azimuth_time_interval_s  # one grid of lines runs through all bursts
    np.testing.assert_allclose(steps, np.round(steps), atol=0.01)
    assert np.diff([b.burst_id for b in found.bursts]).tolist() == [1] * 8
    for burst in found.bursts:
        lines, samples = burst.valid_lines, burst.valid_samples
        first, last = burst.first_valid_sample, burst.last_valid_sample
        assert (first[lines] >= 0).all()
        assert (first[: lines.start] == -1).all()
        assert (first[lines.stop :] == -1).all()
        assert (first[lines] <= samples.start).all()
        assert (last[lines] >= samples.stop - 1).all()
        # neighbours overlap: no ground is lost between them
        assert (lines.stop - lines.start) * found.azimuth_time_interval_s > 2.77
    np.testing.assert_allclose(
        found.slant_range_time_of(found.geolocation.sample), found.geolocation.slant_range_time_s, atol=1e-10, rtol=0
    )
    assert found.range_spacing_m == pytest.approx(2.3296, abs=1e-4)
    assert found.wavelength_m == pytest.approx(0.0554658, abs=1e-7)
    assert found.slant_range_m == pytest.approx(C / 2 * found.slant_range_time_s, rel=1e-15)


def test_polynomials_count_from_their_own_origin() -> None:
    polynomial = RangePolynomial(azimuth_time_s=0.0, t0_s=5e-3, coefficients=(-2000.0, 3e5, -4e7))
    tau = np.array([[5.0e-3, 5.1e-3], [5.5e-3, 6e-3]])
    expected = [[-2000 + 3e5 * x - 4e7 * x**2 for x in row] for row in (tau - 5e-3).tolist()]
    np.testing.assert_allclose(polynomial(tau), expected, rtol=1e-14)


def test_times_of_another_epoch_are_shifted_only(morocco_annotation: Callable[..., bytes]) -> None:
    xml = morocco_annotation("20230904", "IW1")
    one_day = parse_annotation(xml, source="x", epoch=np.datetime64("2023-09-03", "ns"))
    same_day = parse_annotation(xml, source="x")
    assert one_day.utc(one_day.bursts[3].azimuth_time_s) == same_day.utc(same_day.bursts[3].azimuth_time_s)
    assert one_day.bursts[3].azimuth_time_s - same_day.bursts[3].azimuth_time_s == pytest.approx(86400, abs=1e-9)
    np.testing.assert_allclose(one_day.orbit.time_s - same_day.orbit.time_s, 86400, atol=1e-9)


def test_utc_is_exact() -> None:
    assert parse_utc(" 2023-09-04T06:37:31.072288 ") == np.datetime64(1693809451072288000, "ns")
    assert parse_utc("UTC=2022-09-18T05:31:55.470319Z") == np.datetime64("2022-09-18T05:31:55.470319", "ns")


def test_fm_rates_of_old_processors_are_read(morocco_annotation: Callable[..., bytes]) -> None:
    """Before IPF 2.43 the polynomial was three elements; the same numbers give the same rates."""
    text = morocco_annotation("20230904", "IW2").decode()

    def old(match: re.Match[str]) -> str:
        return "".join(f"<c{i}>{value}</c{i}>" for i, value in enumerate(match[1].split()))

    old_text, count = re.subn(r"<azimuthFmRatePolynomial[^>]*>([^<]*)</azimuthFmRatePolynomial>", old, text)
    assert count == 11
    new, before = (parse_annotation(t.encode(), source="x") for t in (text, old_text))
    assert new.fm_rates == before.fm_rates


def test_burst_ids_of_old_processors_are_unknown(morocco_annotation: Callable[..., bytes]) -> None:
    text = re.sub(r"<burstId[^>]*>[^<]*</burstId>", "", morocco_annotation("20230904", "IW2").decode())
    assert {b.burst_id for b in parse_annotation(text.encode(), source="x").bursts} == {None}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("</product>", "", "not well-formed"),
        ("<swathTiming>", "<other>", "not well-formed"),
        ("<radarFrequency>", "<radarFrequency>x", "could not convert"),
        ("<linesPerBurst>1507<", "<linesPerBurst>1508<", "valid samples for 1507 lines of 1508"),
        ("<slantRangeTime>5.3", "<slantRangeTime>five", "five"),
        ("<pass>Descending</pass>", "", "pass is missing"),
        ("<missionId>S1A</missionId>", "", "missionId is missing"),
        ("<time>2023-09-04T06:36", "<time>yesterday", "yesterday"),
    ],
)
def test_a_damaged_annotation_is_named(
    before: str, after: str, said: str, morocco_annotation: Callable[..., bytes]
) -> None:
    text = morocco_annotation("20230904", "IW1").decode()
    assert before in text
    with pytest.raises(ProductError, match=r"the_file\.xml") as caught:
        parse_annotation(text.replace(before, after).encode(), source="the_file.xml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (".//burst", "burst list is empty"),
        (".//azimuthFmRate", "FM rates is empty"),
        (".//dcEstimate", "Doppler centroid estimates is empty"),
        (".//geolocationGridPoint", "0 points"),
    ],
)
def test_an_empty_list_is_named(path: str, said: str, morocco_annotation: Callable[..., bytes]) -> None:
    root = etree.fromstring(morocco_annotation("20230904", "IW1"))
    for element in root.findall(path):
        element.getparent().remove(element)
    with pytest.raises(ProductError, match=said):
        parse_annotation(etree.tostring(root), source="x")


@pytest.mark.parametrize("xml", [b"", b"hello", b"<html></html>", b"<product></product>", b"\x00\x01"])
def test_something_else_is_no_annotation(xml: bytes) -> None:
    with pytest.raises(ProductError, match=r"x\.xml"):
        parse_annotation(xml, source="x.xml")


def test_half_an_annotation_is_named_wherever_it_ends(morocco_annotation: Callable[..., bytes]) -> None:
    xml = morocco_annotation("20230904", "IW1")
    for length in np.linspace(0, len(xml) - 20, 12).astype(int):
        with pytest.raises(ProductError, match="not well-formed XML"):
            parse_annotation(xml[:length], source="x")


def without_tie_points(xml: bytes, gone: Callable[[int], bool]) -> bytes:
    root = etree.fromstring(xml)
    grid = root.find("geolocationGrid/geolocationGridPointList")
    for number, point in enumerate(list(grid)):
        if gone(number):
            grid.remove(point)
    for point in list(grid):
        grid.insert(0, point)
    return bytes(etree.tostring(root))


def test_missing_tie_points_are_taken_from_their_row(morocco_annotation: Callable[..., bytes]) -> None:
    """Two of 210, one at a rim, and the others in reverse: the grid is whole, and wrong by metres at most."""
    xml = morocco_annotation("20230904", "IW1")
    whole = parse_annotation(xml, source="x").geolocation
    found = parse_annotation(without_tie_points(xml, lambda k: k in (50, 62)), source="x").geolocation
    for name in ("line", "sample", "azimuth_time_s"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-4)
    for name, tolerance in (("latitude_deg", 2e-3), ("longitude_deg", 2e-3), ("incidence_deg", 0.05)):
        difference = np.abs(getattr(found, name) - getattr(whole, name))
        assert 0 < difference.max() < tolerance
        assert np.count_nonzero(difference) == 2


def test_a_grid_that_lacks_a_tenth_of_its_points_is_refused(morocco_annotation: Callable[..., bytes]) -> None:
    with pytest.raises(ProductError):
        parse_annotation(without_tie_points(morocco_annotation("20230904", "IW1"), lambda k: k % 10 == 1), source="x")


def test_where_the_vectors_are_from_is_read(morocco_annotation: Callable[..., bytes]) -> None:
    xml = morocco_annotation("20230904", "IW1")
    assert not parse_annotation(xml, source="x").orbit.is_downlink
    said = xml.replace(b"<orbitSource>Auxiliary<", b"<orbitSource>Downlink<")
    assert said != xml
    assert parse_annotation(said, source="x").orbit.is_downlink
