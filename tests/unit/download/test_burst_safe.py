"""Bursts cut out of a product with real annotations become a product again."""

from __future__ import annotations

import hashlib
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import xmlschema

from insar_mining.download.safe import assemble_safe
from insar_mining.download.verify import verify_folder
from insar_mining.errors import OutputError, ProductError
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.interference import read_interference
from insar_mining.sentinel1.product import open_product
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff

DATA = Path(__file__).parents[2] / "data" / "morocco"
LINES, SAMPLES = 40, 300
TIMES = {2: "20230904T063736", 3: "20230904T063739", 4: "20230904T063742", 8: "20230904T063753"}


@pytest.fixture(scope="module")
def small(morocco_annotation: Callable[[str, str], bytes]) -> bytes:
    """The real IW1 annotation, its image shrunk to 40 lines and 300 samples a burst; everything else as it is."""
    root = ElementTree.fromstring(morocco_annotation("20230904", "IW1"))
    for path, value in (
        ("swathTiming/linesPerBurst", LINES),
        ("swathTiming/samplesPerBurst", SAMPLES),
        ("imageAnnotation/imageInformation/numberOfLines", 9 * LINES),
        ("imageAnnotation/imageInformation/numberOfSamples", SAMPLES),
    ):
        root.find(path).text = str(value)  # type: ignore[union-attr]
    for name, value in (("firstValidSample", 5), ("lastValidSample", 289)):
        for element in root.iter(name):
            element.text, element.attrib["count"] = f"-1 {' '.join([str(value)] * (LINES - 2))} -1", str(LINES)
    for point in root.iter("geolocationGridPoint"):
        line = point.find("line")
        assert line is not None
        line.text = str(min(round(int(line.text or 0) / 1507) * LINES, 9 * LINES - 1))
    return ElementTree.tostring(root)


def extract(folder: Path, annotation: bytes, bursts: tuple[int, ...]) -> Path:
    """Bursts in the layout of ASF's extractor."""
    folder.mkdir(parents=True)
    for burst in bursts:
        values = pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(SAMPLES))
        write_plain_tiff(folder / f"S1_{110433 + burst}_IW1_{TIMES[burst]}_VV_DAA1-BURST.tiff", values)
    noise = (
        "<noise><adsHeader><startTime/><stopTime/></adsHeader><noiseRangeVectorList count='1'><noiseRangeVector>"
        "<line>-40</line></noiseRangeVector></noiseRangeVectorList><noiseAzimuthVectorList><noiseAzimuthVector>"
        "<firstAzimuthLine>0</firstAzimuthLine><lastAzimuthLine>359</lastAzimuthLine><line count='3'>0 100 359</line>"
        "</noiseAzimuthVector></noiseAzimuthVectorList></noise>"
    )
    write_metadata(folder / "S1A_scene_VV.xml", annotation, noise.encode())
    return folder


def write_metadata(path: Path, annotation: bytes, noise: bytes) -> None:
    """Write the XML that comes with the bursts of a scene."""
    root = ElementTree.Element("burst")
    metadata = ElementTree.SubElement(root, "metadata")
    for kind, xml in (("product", annotation), ("noise", noise)):
        wrapper = ElementTree.SubElement(metadata, kind)
        ElementTree.SubElement(wrapper, "swath").text = "IW1"
        ElementTree.SubElement(wrapper, "polarisation").text = "VV"
        ElementTree.SubElement(wrapper, "content").extend(ElementTree.fromstring(xml))
    (manifest,) = DATA.glob("*20230904*.manifest.safe.xz")
    ElementTree.SubElement(root, "manifest").append(ElementTree.fromstring(lzma.decompress(manifest.read_bytes())))
    ElementTree.ElementTree(root).write(path)


@pytest.mark.parametrize("bursts", [(2,), (2, 3, 4), (8,)])
def test_the_product_holds_the_bursts_and_their_geometry(
    small: bytes, morocco_sub_swath: Callable[..., SubSwath], tmp_path: Path, bursts: tuple[int, ...]
) -> None:
    source = extract(tmp_path / "bursts [é]", small, bursts)
    safe = assemble_safe(source, tmp_path / "products")
    assert [p.name for p in (tmp_path / "products").iterdir()] == [safe.name]
    made, whole = open_product(safe), morocco_sub_swath("20230904", "IW1")
    assert (made.name, made.relative_orbit, made.direction) == (safe.stem, 52, "descending")
    swath = made.sub_swath("IW1", "VV")
    expected = [whole.bursts[i].azimuth_time_s for i in bursts]
    assert [b.azimuth_time_s for b in swath.bursts] == expected
    for index, burst in enumerate(bursts):
        pixels = pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(SAMPLES))
        np.testing.assert_array_equal(made.read_burst("IW1", "VV", index), pixels)
    # the grid: the same places at the same moments
    grid, full = swath.geolocation, whole.geolocation
    assert grid.line[:, 0].tolist() == [*(LINES * i for i in range(len(bursts))), LINES * len(bursts) - 1]
    first = bursts[0]
    np.testing.assert_array_equal(grid.longitude_deg[:-1], full.longitude_deg[first : first + len(bursts)])
    for column in range(grid.line.shape[1]):
        at = np.interp(grid.azimuth_time_s[-1, column], full.azimuth_time_s[:, column], full.latitude_deg[:, column])
        assert grid.latitude_deg[-1, column] == pytest.approx(at, abs=1e-4)
    last = swath.bursts[-1].azimuth_time_s + (LINES - 1) * swath.azimuth_time_interval_s
    assert abs(made.stop - swath.utc(last)) <= np.timedelta64(1, "us")  # annotations write microseconds
    assert made.footprint.area < 0.6 * open_area(whole)
    assert verify_folder(tmp_path / "products")["state"].tolist() == ["whole"]


def open_area(swath: SubSwath) -> float:
    grid = swath.geolocation
    width = grid.longitude_deg.max() - grid.longitude_deg.min()
    return float(width * (grid.latitude_deg.max() - grid.latitude_deg.min()))


def test_the_manifest_lists_what_is_there_with_its_checksums(small: bytes, tmp_path: Path) -> None:
    safe = assemble_safe(extract(tmp_path / "b", small, (3, 4)), tmp_path)
    root = ElementTree.parse(safe / "manifest.safe").getroot()
    listed = {}
    for item in root.iterfind("dataObjectSection/dataObject"):
        location, checksum = item.find("byteStream/fileLocation"), item.findtext("byteStream/checksum")
        assert location is not None
        path = safe / location.get("href", "")
        assert hashlib.md5(path.read_bytes()).hexdigest() == checksum
        assert str(path.stat().st_size) == item.find("byteStream").get("size")  # type: ignore[union-attr]
        listed[item.get("ID")] = path
    there = {p for p in safe.rglob("*") if p.is_file() and p.name != "manifest.safe"}
    assert set(listed.values()) == there
    assert len(there) == 3
    known = {e.get("ID") for e in root.iter("metadataObject")}
    for unit in root.iter("{urn:ccsds:schema:xfdu:1}contentUnit"):
        pointer = unit.find("dataObjectPointer")
        if pointer is not None:
            assert pointer.get("dataObjectID") in listed
            assert unit.get("repID") in known
            assert unit.get("dmdID") is None or unit.get("dmdID") in known
    assert {e.text for e in root.iter() if e.tag.endswith("}swath")} == {"IW1"}
    assert {e.text for e in root.iter() if e.tag.endswith("}transmitterReceiverPolarisation")} == {"VV"}
    text = (safe / "manifest.safe").read_text()
    assert "safe:" in text
    assert "s1:" in text or "s1sarl1:" in text


def test_the_annotation_is_valid_against_esa_s_schema(small: bytes, tmp_path: Path) -> None:
    safe = assemble_safe(extract(tmp_path / "b", small, (2, 3)), tmp_path)
    support = tmp_path / "support"
    support.mkdir()
    for path in (DATA / "support").glob("*.xsd.xz"):
        (support / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    (annotation,) = (safe / "annotation").glob("*.xml")
    xmlschema.XMLSchema(support / "s1-level-1-product.xsd").validate(annotation)
    root = ElementTree.parse(annotation).getroot()
    for parent in root.iter():
        count = parent.get("count")
        if count is not None and len(parent):
            assert int(count) == len(parent), parent.tag
    (tiff,) = (safe / "measurement").glob("*.tiff")
    content = tiff.read_bytes()
    for index, burst in enumerate(root.iterfind("swathTiming/burstList/burst")):
        offset = int(burst.findtext("byteOffset", "0"))
        expected = pattern(np.arange((2 + index) * LINES, (2 + index) * LINES + 1), np.arange(SAMPLES))
        found = np.frombuffer(content[offset : offset + 4 * SAMPLES], "<i2").astype(np.float32).view(np.complex64)
        np.testing.assert_array_equal(found, expected[0])


def test_noise_lines_are_counted_from_the_first_burst(small: bytes, tmp_path: Path) -> None:
    safe = assemble_safe(extract(tmp_path / "b", small, (3,)), tmp_path)
    (noise,) = (safe / "annotation" / "calibration").glob("noise-*.xml")
    root = ElementTree.parse(noise).getroot()
    assert [e.text for e in root.iter("line")] == ["-160", "-120 -20 239"]
    assert root.findtext(".//firstAzimuthLine") == "-120"
    assert root.findtext("adsHeader/startTime", "").startswith("2023-09-04T06:37:39")


def test_interference_reports_come_along(small: bytes, tmp_path: Path) -> None:
    source = extract(tmp_path / "b", small, (3, 4))
    (path,) = source.glob("*.xml")
    root = ElementTree.parse(path)
    wrapper = ElementTree.SubElement(root.find("metadata"), "rfi")  # type: ignore[arg-type]
    ElementTree.SubElement(wrapper, "swath").text = "IW1"
    ElementTree.SubElement(wrapper, "polarisation").text = "VV"
    bursts = open_product(source).sub_swath("IW1", "VV")
    times = [bursts.utc(burst.azimuth_time_s) for burst in bursts.bursts]
    reports = "".join(
        f"<rfiBurstReport><azimuthTime>{time}</azimuthTime><timeDomainRfiReport><percentageAffectedLines>{share}"
        "</percentageAffectedLines></timeDomainRfiReport></rfiBurstReport>"
        for time, share in zip(times, (2.5, 60.0), strict=True)
    )
    content = ElementTree.SubElement(wrapper, "content")
    content.append(ElementTree.fromstring(f"<rfiBurstReportList>{reports}</rfiBurstReportList>"))
    root.write(path)
    safe = assemble_safe(source, tmp_path / "products")
    for product in (open_product(source), open_product(safe)):
        found = [read_interference(product, "IW1", "VV", [time]) for time in times]
        assert [one.percent for one in found if one is not None] == [2.5, 60.0]
    assert verify_folder(tmp_path / "products")["state"].tolist() == ["whole"]


def test_the_measurement_carries_its_tie_points(small: bytes, tmp_path: Path) -> None:
    safe = assemble_safe(extract(tmp_path / "b", small, (2, 3)), tmp_path)
    (tiff,) = (safe / "measurement").glob("*.tiff")
    with rasterio.open(tiff) as file:
        points, crs = file.gcps
        assert (file.height, file.width, file.dtypes) == (2 * LINES, SAMPLES, ("complex_int16",))
        assert crs.to_epsg() == 4326
        assert len(points) == 3 * 21


def test_a_hole_between_bursts_is_named(small: bytes, tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"has a hole: the bursts 4 of the scene"):
        assemble_safe(extract(tmp_path / "b", small, (2, 4)), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_damaged_bursts_make_no_product(small: bytes, tmp_path: Path) -> None:
    source = extract(tmp_path / "b", small, (2, 3))
    tiff = sorted(source.glob("*.tiff"))[1]
    tiff.write_bytes(tiff.read_bytes()[:-100])
    with pytest.raises(ProductError):
        assemble_safe(source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    source = extract(tmp_path / "c", small, (2,))
    (xml,) = source.glob("*.xml")
    xml.write_text(xml.read_text().replace("manifest", "nothing"))
    with pytest.raises(ProductError, match="manifest"):
        assemble_safe(source, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_said(small: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        assemble_safe(extract(tmp_path / "b", small, (2,)), tmp_path / "file" / "x")


def test_making_it_again_gives_the_same_product(small: bytes, tmp_path: Path) -> None:
    source = extract(tmp_path / "b", small, (2, 3))
    first = assemble_safe(source, tmp_path / "out")
    before = {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()}
    assert assemble_safe(source, tmp_path / "out") == first
    assert {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()} == before
    shutil.rmtree(first)
