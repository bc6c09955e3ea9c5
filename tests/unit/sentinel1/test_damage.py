"""Incomplete, damaged and foreign products: the very file is named, and what to do about it."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from insar_mining.errors import ProductError
from insar_mining.sentinel1 import container as container_module
from insar_mining.sentinel1.measurement import read_layout, read_window
from insar_mining.sentinel1.product import open_product
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff, zipped

LINES, SAMPLES, BURSTS = 40, 300, 9
NAME = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"
STEM = "s1a-iw1-slc-vv-20230904t063731-20230904t063756-050174-0609e3-004"


Spoil = Callable[[Path], object]


def tiff(folder: Path) -> Path:
    return folder / "measurement" / f"{STEM}.tiff"


def annotation(folder: Path) -> Path:
    return folder / "annotation" / f"{STEM}.xml"


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def other_size(folder: Path) -> None:
    write_plain_tiff(tiff(folder), pattern(np.arange(320), np.arange(SAMPLES)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: tiff(f).unlink(), r"004\.tiff: the measurement is missing"),
        (lambda f: shutil.rmtree(f / "measurement"), r"004\.tiff: the measurement is missing"),
        (lambda f: cut(tiff(f), 0), r"004\.tiff: the measurement has a length of 0 bytes"),
        (lambda f: cut(tiff(f), 5), r"004\.tiff: not a TIFF"),
        (lambda f: cut(tiff(f), 700), r"004\.tiff: truncated, 700 bytes where its header needs"),
        (lambda f: cut(tiff(f), 300_000), r"004\.tiff: truncated, 300000 bytes where its samples need 434990"),
        (lambda f: cut(tiff(f), 434_989), r"004\.tiff: truncated, 434989 bytes where its samples need 434990"),
        (lambda f: tiff(f).write_text("a text file, and no image at all"), r"004\.tiff: not a TIFF \(it begins with"),
        (other_size, r"004\.tiff: 320 lines of 300 samples, the annotation says 360 of 300"),
        (lambda f: tifffile.imwrite(tiff(f), np.zeros((360, 300), "u2")), r"004\.tiff: holds 1 band\(s\) of 16 bits"),
    ],
)
@pytest.mark.parametrize("in_zip", [False, True])
def test_a_spoiled_measurement_is_named(spoil: Spoil, said: str, in_zip: bool, safe_copy: Path, tmp_path: Path) -> None:
    spoil(safe_copy)
    product = open_product(zipped(safe_copy, tmp_path / "z.zip", zipfile.ZIP_STORED) if in_zip else safe_copy)
    for use in (product.check_measurement, lambda s, p: product.read_burst(s, p, 0)):
        with pytest.raises(ProductError, match=said):
            use("IW1", "VV")


def flipped(path: Path) -> None:
    """Change one byte in place, as another program would."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))  # clocks of file systems have steps


@pytest.mark.parametrize("in_zip", [False, True])
def test_a_measurement_that_changes_in_use_is_named(in_zip: bool, safe_copy: Path, tmp_path: Path) -> None:
    path = zipped(safe_copy, tmp_path / "z.zip", zipfile.ZIP_STORED) if in_zip else safe_copy
    product = open_product(path)
    product.read_burst("IW1", "VV", 0)
    flipped(path if in_zip else tiff(path))
    with pytest.raises(ProductError, match=r"004\.tiff: was changed while it was in use"):
        product.read_burst("IW1", "VV", 0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "manifest.safe").unlink(), r"manifest\.safe: the manifest is missing.*require_manifest=False"),
        (lambda f: (f / "manifest.safe").write_text(""), r"manifest\.safe: not well-formed XML"),
        (lambda f: cut(f / "manifest.safe", 20_000), r"manifest\.safe: not well-formed XML"),
        (lambda f: (f / "manifest.safe").write_text("<html/>"), r"manifest\.safe: the root element is <html>"),
        (lambda f: annotation(f).unlink(), r"annotation: no annotation"),
        (
            lambda f: annotation(f).rename(f / "annotation" / STEM.replace("050174", "050349")).with_suffix(".xml"),
            r"no annotation",
        ),
        (
            lambda f: shutil.copy(annotation(f), f / "annotation" / f"{STEM.replace('050174', '050349')}.xml"),
            r"050349-0609e3-004\.xml: a file of another product \(S1A, orbit 50349; this one is S1A, orbit 50174\)",
        ),
        (
            lambda f: shutil.copy(tiff(f), f / "measurement" / f"{STEM.replace('s1a', 's1b')}.tiff"),
            r"s1b-iw1.*004\.tiff: a file of another product",
        ),
        (
            lambda f: shutil.copy(annotation(f), f / "annotation" / f"{STEM[:-3]}005.xml"),
            r"005\.xml: a second file of IW1 VV beside annotation/s1a",
        ),
        (
            lambda f: tiff(f).rename(tiff(f).with_stem(f"{STEM[:-3]}009")),
            r"009\.tiff: does not belong to annotation/s1a",
        ),
        (
            lambda f: shutil.copy(annotation(f), f / "annotation" / f"{STEM.replace('iw1', 'ew1')}.xml"),
            r"s1a-ew1.*\.xml: a file of a EW SLC product",
        ),
    ],
)
@pytest.mark.parametrize("in_zip", [False, True])
def test_a_product_of_wrong_files_is_not_opened(
    spoil: Spoil, said: str, in_zip: bool, safe_copy: Path, tmp_path: Path
) -> None:
    spoil(safe_copy)
    with pytest.raises(ProductError, match=said):
        open_product(zipped(safe_copy, tmp_path / "z.zip", zipfile.ZIP_STORED) if in_zip else safe_copy)


def test_a_manifest_of_another_product_is_named(safe_copy: Path, morocco_safe: Callable[[str], Path]) -> None:
    shutil.copy(morocco_safe("20230916") / "manifest.safe", safe_copy)
    with pytest.raises(ProductError, match=r"manifest\.safe: the manifest is of S1A, orbit 50349"):
        open_product(safe_copy)


@pytest.mark.parametrize(
    ("date", "swath"),
    [("20230916", "IW1"), ("20230904", "IW2")],
)
def test_an_annotation_of_another_date_or_swath_under_the_right_name_is_named(
    date: str, swath: str, safe_copy: Path, morocco_annotation: Callable[[str, str], bytes]
) -> None:
    annotation(safe_copy).write_bytes(morocco_annotation(date, swath))
    product = open_product(safe_copy)
    with pytest.raises(ProductError, match=rf"004\.xml: describes {swath} VV S1A .*it belongs to another product"):
        product.sub_swath("IW1", "VV")


def test_what_a_product_lacks_is_said_with_what_it_has(
    small_safe: Path, morocco_safe: Callable[[str], Path], safe_copy: Path
) -> None:
    with pytest.raises(ProductError, match=r"has no IW1 HH; it has IW1 VV, IW2 VV, IW3 VV"):
        open_product(morocco_safe("20230904")).sub_swath("IW1", "HH")
    with pytest.raises(ProductError, match=r"has no IW4 VV; it has IW1 VV"):
        open_product(small_safe).read_burst("IW4", "VV", 0)
    # the manifest speaks of it, so its absence is damage
    with pytest.raises(ProductError, match=r"annotation.s1a-iw2-slc-vv.*lists this annotation, and it is missing"):
        open_product(safe_copy).sub_swath("IW2", "VV")


@pytest.mark.parametrize(
    "name",
    [
        "S1A_IW_GRDH_1SDV_20230904T063730_20230904T063757_050174_0609E3_1234",
        "S1A_EW_SLC__1SDH_20230904T063730_20230904T063757_050174_0609E3_1234",
        "S1B_S3_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_1234",
        "S1C_WV_OCN__2SSV_20230904T063730_20230904T063757_050174_0609E3_1234",
    ],
)
@pytest.mark.parametrize("form", ["SAFE", "zip", "empty"])
def test_products_of_other_kinds_are_refused(name: str, form: str, small_safe: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"{name}.SAFE"
    if form == "empty":
        folder.mkdir()
    else:
        shutil.copytree(small_safe, folder)
    path = zipped(folder, tmp_path / f"{name}.zip") if form == "zip" else folder
    with pytest.raises(ProductError, match=rf"a {name[4:6]} (GRD|SLC|OCN) product; coherence needs IW SLC"):
        open_product(path)


def test_a_detected_product_under_another_name_is_refused(safe_copy: Path) -> None:
    manifest = safe_copy / "manifest.safe"
    manifest.write_text(manifest.read_text().replace("productType>SLC<", "productType>GRD<"))
    with pytest.raises(ProductError, match=r"manifest\.safe: a IW GRD product"):
        open_product(safe_copy)


def test_broken_zips_are_named(small_safe: Path, tmp_path: Path) -> None:
    whole = zipped(small_safe, tmp_path / "whole.zip").read_bytes()
    half = tmp_path / "half.zip"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProductError, match=r"half\.zip: an incomplete zip"):
        open_product(half)
    text = tmp_path / "text.zip"
    text.write_text("not a zip at all")
    with pytest.raises(ProductError, match=r"text\.zip: not a zip archive, whatever its name says"):
        open_product(text)
    empty = tmp_path / "empty.zip"
    empty.write_bytes(b"")
    with pytest.raises(ProductError, match=r"empty\.zip: the file is empty"):
        open_product(empty)
    with pytest.raises(ProductError, match=r"absent\.zip: no such file or folder"):
        open_product(tmp_path / "absent.zip")
    with pytest.raises(ProductError, match=r"no Sentinel-1 product; looked for"):
        open_product(tmp_path)
    two = tmp_path / "two.zip"
    with zipfile.ZipFile(two, "w") as archive:
        for name in ("A", "B"):
            archive.write(small_safe / "manifest.safe", f"{name}.SAFE/manifest.safe")
    with pytest.raises(ProductError, match=r"two\.zip: holds 2 products \(A\.SAFE, B\.SAFE\)"):
        open_product(two)


def test_damage_inside_a_zip_is_named(small_safe: Path, tmp_path: Path) -> None:
    """Bytes in the middle of the compressed image overwritten: the archive opens, the burst does not read."""
    path = zipped(small_safe, tmp_path / "z.zip")
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith(".tiff"))
    data = bytearray(path.read_bytes())
    middle = info.header_offset + info.compress_size // 2
    data[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(data)
    product = open_product(path)
    with pytest.raises(ProductError, match=r"z\.zip!measurement/.*004\.tiff: (damaged in the archive|ends at byte)"):
        product.read_burst("IW1", "VV", BURSTS - 1)


def test_a_zip_without_an_inner_folder_and_with_extra_files(small_safe: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in small_safe.rglob("*.*"):
            archive.write(file, file.relative_to(small_safe))
        archive.writestr("__MACOSX/._manifest.safe", "x")
        archive.writestr("measurement/s1a.tiff.aux.xml", "x")
    product = open_product(path)
    assert product.name == NAME
    assert product.read_burst("IW1", "VV", 2).shape == (LINES, SAMPLES)


def test_a_header_of_random_bytes_never_fails_otherwise(tmp_path: Path) -> None:
    """Some bytes of a TIFF's header overwritten: it is read, or the file is named; nothing else."""
    values = pattern(np.arange(36), np.arange(30))
    path = tmp_path / "measurement.tiff"
    write_plain_tiff(path, values)
    whole = path.read_bytes()
    rng = np.random.default_rng(20230904)
    read, refused = 0, []
    for _ in range(400):
        spoiled = bytearray(whole)
        for where in rng.integers(0, 400, rng.integers(1, 4)):
            spoiled[where] = rng.choice([0, 1, 2, 3, 4, 5, 255, rng.integers(256)])
        path.write_bytes(spoiled)
        folder = container_module.open_container(tmp_path)
        try:
            layout = read_layout(folder, path.name)
            if layout.height >= 9 and layout.width >= 30 and layout.line_offset is not None:
                assert read_window(folder, path.name, layout, slice(4, 9), slice(0, 30)).shape == (5, 30)
            read += 1
        except ProductError as error:
            refused.append(str(error))
    assert min(read, len(refused)) > 50
    assert all(str(path) in message for message in refused)
