"""Single bursts in the layout of ASF's extractor; no real one was at hand."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from insar_mining.errors import CoverageError, ProductError
from insar_mining.sentinel1.product import open_product
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff

LINES, SAMPLES = 40, 300
NAME = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"


@pytest.fixture
def burst_folder(small_safe: Path, small_xml: bytes, tmp_path: Path) -> Path:
    """Bursts 2 and 5 in the layout of ASF's extractor: a TIFF each, one XML of all metadata of the scene."""
    folder = tmp_path / "bursts [é]"
    folder.mkdir()
    for burst, start in ((2, "20230904T063736"), (5, "20230904T063744")):
        values = pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(SAMPLES))
        write_plain_tiff(folder / f"S1_{110433 + burst}_IW1_{start}_VV_DAA1-BURST.tiff", values)
    root = ElementTree.Element("burst")
    metadata = ElementTree.SubElement(root, "metadata")
    for kind in ("noise", "product"):
        wrapper = ElementTree.SubElement(metadata, kind)
        ElementTree.SubElement(wrapper, "swath").text = "IW1"
        ElementTree.SubElement(wrapper, "polarisation").text = "VV"
        content = ElementTree.SubElement(wrapper, "content")
        if kind == "product":
            content.extend(ElementTree.fromstring(small_xml))
    manifest = ElementTree.SubElement(root, "manifest")
    manifest.append(ElementTree.parse(small_safe / "manifest.safe").getroot())
    ElementTree.ElementTree(root).write(folder / f"{NAME}_VV.xml")
    return folder


def test_single_bursts_are_counted_by_time_not_by_number(
    burst_folder: Path, morocco_sub_swath: Callable[..., object]
) -> None:
    product = open_product(burst_folder)
    assert (product.platform, product.relative_orbit, product.swaths) == ("S1A", 52, ("IW1",))
    swath = product.sub_swath("IW1", "VV")
    whole = morocco_sub_swath("20230904", "IW1")
    assert [b.index for b in swath.bursts] == [0, 1]
    assert [b.azimuth_time_s for b in swath.bursts] == [whole.bursts[i].azimuth_time_s for i in (2, 5)]  # type: ignore[attr-defined]
    for index, burst in ((0, 2), (1, 5)):
        expected = pattern(np.arange(burst * LINES, (burst + 1) * LINES), np.arange(SAMPLES))
        np.testing.assert_array_equal(product.read_burst("IW1", "VV", index), expected)
        np.testing.assert_array_equal(
            product.read_burst("IW1", "VV", index, slice(3, 9), slice(5, 8)), expected[3:9, 5:8]
        )
    with pytest.raises(CoverageError, match="bursts 0 to 1"):
        product.read_burst("IW1", "VV", 2)
    # the footprint is that of the bursts, inside that of the scene they were cut from
    scene = product._layout.manifest.footprint  # type: ignore[union-attr]
    assert 0.05 < product.footprint.area / scene.area < 0.3
    assert scene.buffer(0.1).contains(product.footprint)
    assert pickle.loads(pickle.dumps(product)).read_burst("IW1", "VV", 1).shape == (LINES, SAMPLES)


def test_one_burst_names_the_product(burst_folder: Path, tmp_path: Path) -> None:
    for path in burst_folder.glob("*063744*"):
        path.unlink()
    product = open_product(burst_folder)
    assert product.name == "S1_110435_IW1_20230904T063736_VV_DAA1-BURST"
    archive = tmp_path / "b.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in burst_folder.iterdir():
            target.write(file, file.name)
    np.testing.assert_array_equal(open_product(archive).read_burst("IW1", "VV", 0), product.read_burst("IW1", "VV", 0))


def rename_burst(folder: Path, before: str, after: str) -> Path:
    (path,) = folder.glob(f"*{before}*.tiff")
    return path.rename(path.with_name(path.name.replace(before, after)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: next(f.glob("*.xml")).unlink(), r"BURST\.tiff: no metadata XML .* describes IW1 VV"),
        (lambda f: rename_burst(f, "_VV_", "_VH_"), r"VH_DAA1-BURST\.tiff: no metadata XML .* describes IW1 VH"),
        (lambda f: rename_burst(f, "063744", "063745"), r"063745.*: 0 bursts of .*_VV\.xml begin at 20230904T063745"),
        (
            lambda f: shutil.copy(next(f.glob("*063744*")), f / "S1_9_IW1_20230904T063744_VV_0000-BURST.tiff"),
            r"holds the same burst as",
        ),
        (lambda f: next(f.glob("*.xml")).write_text("<burst>"), r"_VV\.xml: not well-formed XML"),
        (lambda f: os.truncate(next(f.glob("*063744*")), 20_000), r"BURST\.tiff: truncated, 20000 bytes"),
    ],
)
def test_spoiled_bursts_are_named(spoil: Callable[[Path], object], said: str, burst_folder: Path) -> None:
    if "VH" in said:
        rename_burst(burst_folder, "063736_VV", "063736_HH").unlink()
    spoil(burst_folder)
    with pytest.raises(ProductError, match=said):
        open_product(burst_folder).read_burst("IW1", "VV", 1)
