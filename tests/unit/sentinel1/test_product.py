"""Products as folders, zips and single bursts: pixels come back exactly, and damage is named."""

from __future__ import annotations

import datetime as dt
import functools
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_mining.errors import CoverageError, OrbitError, ProductError
from insar_mining.sentinel1 import container as container_module
from insar_mining.sentinel1.product import Product, open_product
from tests.unit.sentinel1.conftest import as_int16, pattern, zipped

LINES, SAMPLES, BURSTS = 40, 300, 9
NAME = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"
STEM = "s1a-iw1-slc-vv-20230904t063731-20230904t063756-050174-0609e3-004"


@pytest.fixture(scope="module")
def forms(small_safe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same product in all its forms, in a folder whose name is a nuisance."""
    folder = tmp_path_factory.mktemp("zips") / "Scène [1] (a) {b} 中"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(small_safe, target_is_directory=True)
    return {
        "folder": small_safe,
        "copied": Path(shutil.copytree(small_safe, folder / small_safe.name)),
        "renamed": Path(shutil.copytree(small_safe, folder / "my scene")),
        "link": link,
        "stored": zipped(small_safe, folder / f"{NAME}.zip", zipfile.ZIP_STORED),
        "deflated": zipped(small_safe, folder / "my zip [2].ZIP", zipfile.ZIP_DEFLATED),
    }


FORMS = ["folder", "copied", "renamed", "link", "stored", "deflated"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_and_holds_the_same(form: str, forms: dict[str, Path]) -> None:
    product = open_product(forms[form])
    assert (product.platform, product.relative_orbit, product.absolute_orbit) == ("S1A", 52, 50174)
    assert (product.direction, product.ipf_version) == ("descending", "003.61")
    assert (product.swaths, product.polarisations, product.images) == (("IW1",), ("VV",), (("IW1", "VV"),))
    assert product.start == np.datetime64("2023-09-04T06:37:30.213065", "ns")
    assert product.stop == np.datetime64("2023-09-04T06:37:57.196353", "ns")
    assert product.epoch == np.datetime64("2023-09-04", "ns")
    if form != "renamed":
        assert product.name == NAME
        assert product.identity() == open_product(forms["folder"]).identity()
    np.testing.assert_array_equal(
        product.footprint.exterior.coords[:-1],
        [(-8.211940, 30.156912), (-10.860316, 30.571131), (-10.540982, 32.194736), (-7.844702, 31.782942)],
    )
    product.check_measurement("iw1", "vv")
    for burst in range(BURSTS):
        pixels = product.read_burst("IW1", "VV", burst)
        assert pixels.dtype == np.complex64
        np.testing.assert_array_equal(
            pixels, pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(SAMPLES))
        )


def test_a_zip_with_backslashes_is_read(small_safe: Path, tmp_path: Path) -> None:
    """As some writers on Windows make them, with an entry for the folder itself."""
    target = tmp_path / f"{NAME}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.SAFE\\", b"")
        for path in sorted(p for p in small_safe.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo("x")
            info.filename = f"{NAME}.SAFE\\" + str(path.relative_to(small_safe)).replace("/", "\\")
            archive.writestr(info, path.read_bytes())
    product, folder = open_product(target), open_product(small_safe)
    assert (product.name, product.identity()) == (NAME, folder.identity())
    np.testing.assert_array_equal(product.read_burst("IW1", "VV", 3), folder.read_burst("IW1", "VV", 3))


def test_a_sub_swath_without_bursts_is_not_held(safe_copy: Path, small_xml: bytes) -> None:
    """Products cut to a few bursts may list the annotations of all sub-swaths."""
    for k, empty in enumerate((b'<burstList count="0"/>', b'<burstList count="0">\n</burstList>'), start=2):
        head, _, rest = small_xml.partition(b"<burstList")
        _, _, tail = rest.partition(b"</burstList>")
        name = STEM.replace("iw1", f"iw{k}").replace("-004", f"-00{3 + k}")
        text = (head + empty + tail).replace(b"<swath>IW1<", f"<swath>IW{k}<".encode())
        (safe_copy / "annotation" / f"{name}.xml").write_bytes(text)
    product = open_product(safe_copy)
    assert (product.swaths, product.images) == (("IW1",), (("IW1", "VV"),))
    with pytest.raises(ProductError):
        product.sub_swath("IW2", "VV")
    (safe_copy / "manifest.safe").unlink()  # then start, stop and footprint come from the annotations
    assert open_product(safe_copy, require_manifest=False).swaths == ("IW1",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("S1A_EW_SLC__1SDH_20230904T063730_20230904T063757_050174_0609E3_DAA1.SAFE", "EW SLC"),
        ("S1A_WV_SLC__1SSV_20230904T063730_20230904T063757_050174_0609E3_DAA1.SAFE", "WV SLC"),
        ("S1A_IW_GRDH_1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1.SAFE", "IW GRD"),
        ("S2A_MSIL2A_20230904T110621_N0509_R137_T29RPQ_20230904T170602.SAFE", "Sentinel-2A"),
    ],
)
def test_products_of_other_kinds_are_named_as_such(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name / "annotation").mkdir(parents=True)
    (tmp_path / name / "manifest.safe").write_text("<x/>")
    with pytest.raises(ProductError, match=said):
        open_product(tmp_path / name)


def test_the_manifest_may_be_named_itself(forms: dict[str, Path]) -> None:
    assert open_product(forms["folder"] / "manifest.safe").name == NAME


opened = functools.cache(open_product)


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, slice, slice]:
    def part(size: int) -> slice:
        start = draw(st.integers(0, size))
        stop = draw(st.integers(start, size))
        return slice(draw(st.sampled_from([start, None])) if start == 0 else start, None if stop == size else stop)

    return draw(st.integers(0, BURSTS - 1)), part(LINES), part(SAMPLES)


@pytest.mark.parametrize("form", ["folder", "stored", "deflated"])
@settings(deadline=None, max_examples=60)
@given(window=windows())
def test_a_window_is_that_part_of_the_burst(
    form: str, forms: dict[str, Path], window: tuple[int, slice, slice]
) -> None:
    burst, lines, samples = window
    product = opened(forms[form])
    expected = pattern(burst * LINES + np.arange(LINES)[lines], np.arange(SAMPLES)[samples])
    np.testing.assert_array_equal(product.read_burst("IW1", "VV", burst, lines, samples), expected)


def test_only_the_bytes_of_the_window_are_read(small_safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    product = open_product(small_safe)
    product.check_measurement("IW1", "VV")
    asked: list[int] = []
    original = container_module._PlainReader.read_into

    def counting(self: container_module._PlainReader, offset: int, buffer: memoryview) -> None:
        asked.append(len(buffer))
        original(self, offset, buffer)

    monkeypatch.setattr(container_module._PlainReader, "read_into", counting)
    product.read_burst("IW1", "VV", 4, slice(3, 13), slice(100, 120))
    assert sum(asked) == 10 * 20 * 4
    asked.clear()
    product.read_burst("IW1", "VV", 4, slice(3, 13))
    assert asked == [10 * SAMPLES * 4]


def test_a_large_deflated_member_is_read_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwards and backwards, over many checkpoints, against the bytes themselves; each is inflated once."""
    monkeypatch.setattr(container_module, "CHECKPOINT_BYTES", 50_000)
    monkeypatch.setattr(container_module, "_OUTPUT_CHUNK", 7_000)
    monkeypatch.setattr(container_module, "_INPUT_CHUNK", 1_000)
    data = np.random.default_rng(5).integers(0, 30, 2_000_000, dtype=np.uint8).tobytes()
    (tmp_path / "x.SAFE").mkdir()
    (tmp_path / "x.SAFE" / "data.bin").write_bytes(data)
    archive = container_module.open_container(zipped(tmp_path / "x.SAFE", tmp_path / "x.zip"))
    rng = np.random.default_rng(6)
    for _ in range(60):
        with archive.reader("data.bin") as reader:
            for _ in range(3):
                offset = int(rng.integers(0, len(data)))
                buffer = bytearray(int(rng.integers(1, min(30_000, len(data) - offset) + 1)))
                reader.read_into(offset, memoryview(buffer))
                assert bytes(buffer) == data[offset : offset + len(buffer)]
    with archive.reader("data.bin") as reader, pytest.raises(ProductError, match=r"ends at byte 2000000"):
        reader.read_into(len(data) - 5, memoryview(bytearray(6)))


@pytest.mark.parametrize("form", ["folder", "deflated"])
def test_threads_and_pickles_read_the_same(form: str, forms: dict[str, Path]) -> None:
    product = open_product(forms[form])
    product.read_burst("IW1", "VV", 0)
    again: Product = pickle.loads(pickle.dumps(product))
    assert (again.name, again.start, again.identity()) == (product.name, product.start, product.identity())

    def right(job: int) -> bool:
        reader, burst = (product, again)[job % 2], job % BURSTS
        expected = pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(SAMPLES))
        return bool(np.array_equal(reader.read_burst("IW1", "VV", burst), expected))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, range(72)))


@pytest.mark.parametrize(("form", "announced"), [("folder", True), ("stored", True), ("deflated", False)])
def test_announced_bytes_are_those_that_are_read(
    form: str, announced: bool, forms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is announced to the disk is what the window then reads; of deflated members nothing can be."""
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(
        container_module.os, "posix_fadvise", lambda file, offset, length, advice: said.append((offset, length))
    )
    read: list[tuple[int, int]] = []
    original = container_module._PlainReader.read_into

    def noting(self: Any, offset: int, buffer: memoryview) -> None:
        read.append((self._start + offset, len(buffer)))
        original(self, offset, buffer)

    product = open_product(forms[form])
    window = slice(5, 9), slice(40, 60)
    product.read_burst("IW1", "VV", 2)  # opens the TIFF
    monkeypatch.setattr(container_module._PlainReader, "read_into", noting)
    product.announce_burst("IW1", "VV", 2, *window)
    product.read_burst("IW1", "VV", 2, *window)
    assert said == (read if announced else [])
    assert len(said) == (4 if announced else 0)


@pytest.mark.parametrize("layout", ["many rows a strip", "deflate", "tiles", "big", "big endian", "float"])
@pytest.mark.parametrize("in_zip", [False, True])
def test_other_tiffs_of_complex_samples_are_read(layout: str, in_zip: bool, safe_copy: Path, tmp_path: Path) -> None:
    """Written by another library; simulators and burst extracts are not all written as ESA's are."""
    values = pattern(np.arange(360), np.arange(SAMPLES))
    options: dict[str, object] = {
        "many rows a strip": {"rowsperstrip": 17},
        "deflate": {"compression": "deflate", "rowsperstrip": 8},
        "tiles": {"tile": (64, 64)},
        "big": {"bigtiff": True, "rowsperstrip": 1},
        "big endian": {"byteorder": ">", "rowsperstrip": 5},
        "float": {"rowsperstrip": 1},
    }[layout]
    target = safe_copy / "measurement" / f"{STEM}.tiff"
    if layout == "float":
        tifffile.imwrite(target, values, **options)
    else:
        # a complex integer is written as a plain one of the same bits under sample format 5
        bits = as_int16(values).view("<i4").reshape(values.shape)
        if layout == "big endian":
            bits = as_int16(values).astype(">i2").view(">i4").reshape(values.shape)
        tifffile.imwrite(target, bits, **options)
        set_sample_format(target, 5)
    product = open_product(zipped(safe_copy, tmp_path / "z [1].zip") if in_zip else safe_copy)
    for burst, lines, samples in ((0, None, None), (3, slice(5, 30), slice(7, 290)), (8, slice(39, 40), slice(0, 3))):
        expected = values[burst * LINES : (burst + 1) * LINES][lines or slice(None), samples or slice(None)]
        np.testing.assert_array_equal(product.read_burst("IW1", "VV", burst, lines, samples), expected)


def set_sample_format(path: Path, value: int) -> None:
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["SampleFormat"]
        order = "little" if tiff.byteorder == "<" else "big"
        offset = tag.valueoffset
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = value.to_bytes(2, order)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("burst", "lines", "samples"),
    [
        (9, None, None),
        (-1, None, None),
        (0, slice(0, 41), None),
        (0, slice(-5, None), None),
        (0, None, slice(10, 301)),
        (0, None, slice(20, 10)),
        (0, slice(0, 40, 2), None),
    ],
)
def test_what_is_not_in_the_burst_is_refused(
    burst: int, lines: slice | None, samples: slice | None, small_safe: Path
) -> None:
    with pytest.raises(CoverageError, match=r"0 to (8|39|299)"):
        open_product(small_safe).read_burst("IW1", "VV", burst, lines, samples)


def test_a_sub_swath_is_read_once_and_has_the_epoch_of_the_product(morocco_safe: Callable[[str], Path]) -> None:
    product = open_product(morocco_safe("20230904"))
    swaths = [product.sub_swath(swath, "VV") for swath in product.swaths]
    assert [s.swath for s in swaths] == ["IW1", "IW2", "IW3"]
    assert {s.epoch for s in swaths} == {product.epoch}
    assert product.sub_swath("iw2", "vv") is swaths[1]
    assert {s.ipf_version for s in swaths} == {"003.61"}


def earlier(time: re.Match[str]) -> str:
    """The same moment, 6 hours, 37 minutes and 30 seconds earlier."""
    moment = dt.datetime.fromisoformat(time[0]) - dt.timedelta(hours=6, minutes=37, seconds=30)
    return moment.isoformat(timespec="microseconds")


def test_a_product_across_midnight_has_one_epoch(safe_copy: Path, small_xml: bytes) -> None:
    """The first line lies before midnight, the sub-swath's first burst after it."""
    manifest = safe_copy / "manifest.safe"
    text = manifest.read_text().replace("2023-09-04T06:37:30.213065", "2023-09-03T23:59:59.500000")
    manifest.write_text(text)
    moved = re.sub(r"2023-09-04T\d\d:\d\d:\d\d\.\d+", earlier, small_xml.decode())
    (safe_copy / "annotation" / f"{STEM}.xml").write_text(moved)
    product = open_product(safe_copy)
    assert product.epoch == np.datetime64("2023-09-03", "ns")
    assert product.sub_swath("IW1", "VV").bursts[0].azimuth_time_s == pytest.approx(86401.072288, abs=1e-6)


@pytest.mark.parametrize("letter", "ABCD")
def test_any_platform_letter(letter: str, safe_copy: Path, small_xml: bytes) -> None:
    product_folder = safe_copy.with_name(safe_copy.name.replace("S1A", f"S1{letter}"))
    safe_copy.rename(product_folder)
    manifest = product_folder / "manifest.safe"
    text = manifest.read_text()
    manifest.write_text(
        text.replace("<safe:number>A<", f"<safe:number>{letter}<").replace("/s1a-", f"/s1{letter.lower()}-")
    )
    for file in (product_folder / "annotation" / f"{STEM}.xml", product_folder / "measurement" / f"{STEM}.tiff"):
        file.rename(file.with_name(file.name.replace("s1a", f"s1{letter.lower()}")))
    (annotation,) = (product_folder / "annotation").iterdir()
    annotation.write_bytes(small_xml.replace(b"<missionId>S1A<", f"<missionId>S1{letter}<".encode()))
    product = open_product(product_folder)
    assert product.platform == product.sub_swath("IW1", "VV").platform == f"S1{letter}"
    assert product.read_burst("IW1", "VV", 8).shape == (LINES, SAMPLES)


# Orbit files -----------------------------------------------------------------------------------


def test_an_orbit_file_replaces_the_vectors(
    azores_xml: bytes, azores_orbit_file: Path, tmp_path: Path, small_safe: Path
) -> None:
    folder = tmp_path / "S1A_IW_SLC__1SDV_20220918T074919_20220918T074946_045056_056232_0000.SAFE"
    (folder / "annotation").mkdir(parents=True)
    name = "s1a-iw3-slc-vv-20220918t074921-20220918t074946-045056-056232-006.xml"
    (folder / "annotation" / name).write_bytes(azores_xml)
    plain = open_product(folder, require_manifest=False)
    assert (plain.relative_orbit, plain.platform, plain.absolute_orbit) == (9, "S1A", 45056)
    assert plain.start == np.datetime64("2022-09-18T07:49:21.513562", "ns")
    better = plain.with_orbit_file(azores_orbit_file)
    assert plain.sub_swath("IW3", "VV").orbit.source == f"annotation {folder / 'annotation' / name}"
    assert better.sub_swath("IW3", "VV").orbit.source == azores_orbit_file.name
    assert pickle.loads(pickle.dumps(better)).sub_swath("IW3", "VV").orbit.source == azores_orbit_file.name
    assert (
        better.sub_swath("IW3", "VV").bursts[0].azimuth_time_s == plain.sub_swath("IW3", "VV").bursts[0].azimuth_time_s
    )
    with pytest.raises(OrbitError, match="covers 2022-09-18"):
        open_product(small_safe).with_orbit_file(azores_orbit_file)


# Footprints ------------------------------------------------------------------------------------


def test_a_footprint_across_the_antimeridian_has_two_parts(safe_copy: Path) -> None:
    manifest = safe_copy / "manifest.safe"
    corners = "10.0,179.0 10.0,-178.0 12.0,-178.5 12.0,178.5"
    manifest.write_text(re.sub(r"(<gml:coordinates>)[^<]*", rf"\g<1>{corners}", manifest.read_text()))
    footprint = open_product(safe_copy).footprint
    assert footprint.geom_type == "MultiPolygon"
    assert footprint.area == pytest.approx((3 + 3) / 2 * 2, rel=1e-9)
    assert sorted(round(part.bounds[0], 3) for part in footprint.geoms) == [-180, 178.5]


def test_details_that_the_manifest_lacks_come_from_the_annotation(
    morocco_safe: Callable[[str], Path], tmp_path: Path
) -> None:
    real = open_product(morocco_safe("20230904"))
    folder = shutil.copytree(real.path, tmp_path / real.path.name)
    manifest = folder / "manifest.safe"
    text = manifest.read_text()
    for name in ("acquisitionPeriod", "footPrint", "platform", "orbitReference"):
        text = re.sub(rf"<safe:{name}[ >].*?</safe:{name}>", "", text, flags=re.DOTALL)
    manifest.write_text(text)
    product = open_product(folder)
    assert (product.platform, product.absolute_orbit, product.direction) == ("S1A", 50174, "descending")
    assert product.relative_orbit == real.relative_orbit == 52
    assert abs(product.start - real.start) < np.timedelta64(10, "ms")
    assert abs(product.stop - real.stop) < np.timedelta64(10, "ms")
    # the manifest's four corners enclose the sub-swaths, which begin and end up to two seconds apart
    inside = product.footprint.intersection(real.footprint).area
    assert inside / product.footprint.area > 0.995
    assert inside / real.footprint.area > 0.9
