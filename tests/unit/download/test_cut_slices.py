"""Bursts of two slices of one data take are one image: held against the same bursts of the slice before it was cut."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from insar_mining.download.safe import assemble_safe
from insar_mining.errors import ProductError
from insar_mining.sentinel1.product import Product, open_product
from tests.unit.download.test_burst_safe import LINES, SAMPLES, small, write_metadata  # noqa: F401  (a fixture)
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff

TIMES = ("31", "33", "36", "39", "42", "44", "47", "50", "53")  # seconds in which the nine bursts begin
NAMES = ("S1A_IW_SLC__1SDV_20230904T063731_first", "S1A_IW_SLC__1SDV_20230904T063744_second")
LISTS = {
    "generalAnnotation/orbitList": "time",
    "generalAnnotation/attitudeList": "time",
    "generalAnnotation/azimuthFmRateList": "azimuthTime",
    "dopplerCentroid/dcEstimateList": "azimuthTime",
}


def sliced(whole: bytes, first: int, stop: int) -> bytes:
    """What the processor would have written of the bursts ``first..stop - 1``: written apart from the package's cut."""
    root = ElementTree.fromstring(whole)
    bursts = root.find("swathTiming/burstList")
    assert bursts is not None
    times = [b.findtext("azimuthTime", "") for b in bursts]
    for index, burst in enumerate(list(bursts)):
        if not first <= index < stop:
            bursts.remove(burst)
    bursts.set("count", str(stop - first))
    grid = root.find("geolocationGrid/geolocationGridPointList")
    assert grid is not None
    end = (stop - first) * LINES - 1
    for point in list(grid):
        row = round(int(point.findtext("line", "0")) / LINES)  # the last row has the number of bursts
        if not first <= row <= stop:
            grid.remove(point)
        point.find("line").text = str(end if row == stop else (row - first) * LINES)  # type: ignore[union-attr]
    early = np.datetime64(times[first]) - np.timedelta64(12, "s")
    late = np.datetime64(times[stop - 1]) + np.timedelta64(12, "s")
    for path, moment in LISTS.items():
        parent = root.find(path)
        assert parent is not None
        for entry in list(parent):
            time = np.datetime64(entry.findtext(moment, ""))
            if (first > 0 and time < early) or (stop < len(times) and time > late):
                parent.remove(entry)
    root.find("imageAnnotation/imageInformation/numberOfLines").text = str((stop - first) * LINES)  # type: ignore[union-attr]
    root.find("adsHeader/startTime").text = times[first]  # type: ignore[union-attr]
    return ElementTree.tostring(root)


def narrowed(xml: bytes, shift: int) -> bytes:
    """The same image with an echo window that opens some samples later."""
    root = ElementTree.fromstring(xml)
    rate = float(root.findtext("generalAnnotation/productInformation/rangeSamplingRate", "nan"))
    start = root.find("imageAnnotation/imageInformation/slantRangeTime")
    assert start is not None
    start.text = f"{float(start.text or 0) + shift / rate:.18e}"
    for path in ("imageAnnotation/imageInformation/numberOfSamples", "swathTiming/samplesPerBurst"):
        root.find(path).text = str(SAMPLES - shift)  # type: ignore[union-attr]
    for name in ("firstValidSample", "lastValidSample", "pixel"):
        for element in root.iter(name):
            numbers = [int(text) for text in (element.text or "").split()]
            moved = [number - shift if number >= 0 or name == "pixel" else number for number in numbers]
            element.text = " ".join(map(str, moved))
    return ElementTree.tostring(root)


def noise_of(first: int, stop: int, start: str) -> bytes:
    """Vectors every 40 lines, and one block in azimuth; lines count from the slice's own first."""
    vectors = "".join(
        f"<noiseRangeVector><line>{(burst - first) * LINES}</line><v>{burst}</v></noiseRangeVector>"
        for burst in range(first, stop)
    )
    return (
        f"<noise><adsHeader><startTime>{start}</startTime><stopTime/></adsHeader><noiseRangeVectorList count='0'>"
        f"{vectors}</noiseRangeVectorList><noiseAzimuthVectorList><noiseAzimuthVector><firstAzimuthLine>0"
        f"</firstAzimuthLine><lastAzimuthLine>{(stop - first) * LINES - 1}</lastAzimuthLine></noiseAzimuthVector>"
        "</noiseAzimuthVectorList></noise>"
    ).encode()


def put_bursts(folder: Path, bursts: tuple[int, ...], shift: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for burst in bursts:
        values = pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(shift, SAMPLES))
        write_plain_tiff(folder / f"S1_{110433 + burst}_IW1_20230904T0637{TIMES[burst]}_VV_DAA1-BURST.tiff", values)
    return folder


@pytest.fixture(params=[(5, 5), (6, 4)], ids=["side by side", "two bursts in both"])
def folders(request: pytest.FixtureRequest, small: bytes, tmp_path: Path) -> tuple[Path, Path]:  # noqa: F811
    """The same four bursts with the metadata of two slices, and with that of the slice before it was cut."""
    stop, start = request.param
    cut, whole = (put_bursts(tmp_path / name, (3, 4, 5, 6)) for name in ("cut_BURSTS", "whole_BURSTS"))
    parts = ((0, stop), (start, 9))
    for name, (first, last) in zip(NAMES, parts, strict=True):
        write_metadata(cut / f"{name}_VV.xml", sliced(small, first, last), noise_of(first, last, TIMES[first]))
    write_metadata(whole / f"{NAMES[0]}_VV.xml", small, noise_of(0, 9, TIMES[0]))
    return cut, whole


def assert_same_image(cut: Product, whole: Product) -> None:
    one, other = cut.sub_swath("IW1", "VV"), whole.sub_swath("IW1", "VV")
    assert len(one.bursts) == len(other.bursts) == 4
    for name in ("bursts", "fm_rates", "doppler_centroids"):
        assert repr(getattr(one, name)) == repr(getattr(other, name))
    np.testing.assert_array_equal(one.orbit.time_s, other.orbit.time_s)
    np.testing.assert_array_equal(one.orbit.position_m, other.orbit.position_m)
    for name in ("azimuth_time_s", "line", "sample", "longitude_deg", "latitude_deg", "height_m"):
        np.testing.assert_array_equal(getattr(one.geolocation, name), getattr(other.geolocation, name))
    assert (cut.start, cut.stop, cut.footprint) == (whole.start, whole.stop, whole.footprint)
    for burst in range(4):
        np.testing.assert_array_equal(cut.read_burst("IW1", "VV", burst), whole.read_burst("IW1", "VV", burst))


def test_bursts_of_two_slices_are_read_as_those_of_one(folders: tuple[Path, Path]) -> None:
    cut, whole = folders
    assert_same_image(open_product(cut), open_product(whole))


def test_the_product_assembled_of_two_slices_is_that_of_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Every byte of annotation and pixels; the noise up to its azimuth blocks, of which there is one per slice."""
    cut, whole = (assemble_safe(f, tmp_path / f"{f.name} safe") for f in folders)
    names = sorted(p.relative_to(whole).as_posix() for p in whole.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(cut).as_posix() for p in cut.rglob("*") if p.is_file())
    for name in names:
        if name.startswith(("annotation/s1", "measurement/")):
            assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    (noise,) = [n for n in names if "noise-" in n]
    one, other = (ElementTree.parse(f / noise).getroot() for f in (cut, whole))
    vectors = [[(v.findtext("line"), v.findtext("v")) for v in r.iter("noiseRangeVector")] for r in (one, other)]
    assert vectors[0] == vectors[1]
    assert one.find("noiseRangeVectorList").get("count") == "9"  # type: ignore[union-attr]
    blocks = [int(e.text or 0) for e in one.iter("firstAzimuthLine")]
    assert blocks[0] == -3 * LINES
    assert int([e.text or 0 for e in one.iter("lastAzimuthLine")][-1]) == 6 * LINES - 1
    assert_same_image(open_product(cut), open_product(whole))


def test_slices_whose_echo_windows_open_at_different_ranges_are_joined(small: bytes, tmp_path: Path) -> None:  # noqa: F811
    """What the later slice does not have is zero and not valid; everything else lies where it lay."""
    shift = 3
    whole = put_bursts(tmp_path / "whole", (4, 5))
    write_metadata(whole / f"{NAMES[0]}_VV.xml", small, noise_of(0, 9, "x"))
    expected = open_product(whole)
    cut = put_bursts(put_bursts(tmp_path / "cut_BURSTS", (4,)), (5,), shift)
    write_metadata(cut / f"{NAMES[0]}_VV.xml", sliced(small, 0, 5), noise_of(0, 5, "a"))
    late = noise_of(5, 9, "b").replace(b"<v>", b"<pixel count='2'>0 40</pixel><v>")
    write_metadata(cut / f"{NAMES[1]}_VV.xml", narrowed(sliced(small, 5, 9), shift), late)
    safe = assemble_safe(cut, tmp_path)
    (noise,) = (safe / "annotation" / "calibration").glob("noise-*")
    pixels = {element.text for element in ElementTree.parse(noise).getroot().iter("pixel")}
    assert pixels == {f"{shift} {40 + shift}"}
    for product in (open_product(cut), open_product(safe)):
        one, other = (p.sub_swath("IW1", "VV") for p in (product, expected))
        assert one.slant_range_time_s == pytest.approx(other.slant_range_time_s, abs=1e-15)
        assert one.samples_per_burst == SAMPLES
        assert repr(one.bursts) == repr(other.bursts)
        assert (one.geolocation.sample == other.geolocation.sample[0]).all()
        for burst, gone in ((0, 0), (1, shift)):
            found, real = (p.read_burst("IW1", "VV", burst) for p in (product, expected))
            np.testing.assert_array_equal(found[:, gone:], real[:, gone:])
            assert not found[:, :gone].any()


def refused(folder: Path, small: bytes, change: Callable[[ElementTree.Element], None], start: int = 5) -> str:  # noqa: F811
    put_bursts(folder, (4, 5))
    other = ElementTree.fromstring(sliced(small, start, 9))
    change(other)
    for name, xml in zip(NAMES, (sliced(small, 0, 5), ElementTree.tostring(other)), strict=True):
        write_metadata(folder / f"{name}_VV.xml", xml, noise_of(0, 5, name))
    with pytest.raises(ProductError) as caught:
        open_product(folder)
    return str(caught.value)


def test_what_does_not_belong_together_is_not_joined(small: bytes, tmp_path: Path) -> None:  # noqa: F811
    def later(root: ElementTree.Element) -> None:
        element = root.find("imageAnnotation/imageInformation/slantRangeTime")
        assert element is not None
        element.text = f"{float(element.text or 0) + 0.5e-8:.15e}"  # a third of a sample

    def another_take(root: ElementTree.Element) -> None:
        root.find("adsHeader/missionDataTakeId").text = "7"  # type: ignore[union-attr]

    assert "sampled differently (their first ranges lie 0.0000, 0.3217 samples apart" in refused(
        tmp_path / "a", small, later
    )
    assert "no slices of one image (their missionDataTakeId" in refused(tmp_path / "b", small, another_take)
    assert "do not follow one another" in refused(tmp_path / "c", small, lambda root: None, start=7)


def test_one_slice_whose_metadata_came_twice_is_one(small: bytes, tmp_path: Path) -> None:  # noqa: F811
    folder = put_bursts(tmp_path / "twice", (3, 4))
    for name in NAMES:
        write_metadata(folder / f"{name}_VV.xml", small, noise_of(0, 9, "x"))
    assert len(open_product(folder).sub_swath("IW1", "VV").bursts) == 2
    assert open_product(assemble_safe(folder, tmp_path)).swaths == ("IW1",)


def test_the_parts_are_left_as_they_were(small: bytes) -> None:  # noqa: F811
    from insar_mining.sentinel1.slices import join_annotations

    parts = [ElementTree.fromstring(sliced(small, *span)) for span in ((5, 9), (0, 5))]
    before = [ElementTree.tostring(copy.deepcopy(part)) for part in parts]
    joined = join_annotations(parts, source="test")
    assert [ElementTree.tostring(part) for part in parts] == before
    assert len(joined.findall("swathTiming/burstList/burst")) == 9
