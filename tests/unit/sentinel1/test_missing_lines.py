"""What a burst lacks is NaN: lines and samples that the annotation calls invalid, and zeros in the measurement."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from insar_mining.coherence.builtin.images.burst import Side, in_words, valid_pixels
from insar_mining.errors import PartialCoverageWarning, ProductError
from insar_mining.geometry.coregister import Region
from insar_mining.sentinel1.product import open_product
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff

BURST, LINES, SAMPLES = 3, 40, 300


def spoiled(
    safe: Path,
    folder: Path,
    *,
    valid: dict[int, tuple[int, int]] | None = None,
    zeros: dict[int, slice] | None = None,
) -> Side:
    """The small product with other valid samples in some lines of a burst, and zeros in others."""
    copy = Path(shutil.copytree(safe, folder / safe.name))
    (annotation,) = (copy / "annotation").iterdir()
    text = annotation.read_text("utf-8")
    for name, which in (("firstValidSample", 0), ("lastValidSample", 1)):
        found = list(re.finditer(rf"<{name}[^>]*>([^<]*)<", text))[BURST]
        numbers = found[1].split()
        for line, samples in (valid or {}).items():
            numbers[line] = str(samples[which])
        text = text[: found.start(1)] + " ".join(numbers) + text[found.end(1) :]
    annotation.write_text(text, encoding="utf-8")
    image = pattern(np.arange(360), np.arange(SAMPLES))
    image[image == 0] = 1
    for line, samples in (zeros or {}).items():
        image[BURST * LINES + line, samples] = 0
    (measurement,) = (copy / "measurement").iterdir()
    write_plain_tiff(measurement, image)
    return Side(open_product(copy), open_product(copy).sub_swath("IW1", "VV"), BURST)


def nan_of(side: Side, region: Region) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialCoverageWarning)
        return np.isnan(valid_pixels(side, region))


@pytest.fixture
def whole(small_safe: Path, tmp_path: Path) -> Side:
    return spoiled(small_safe, tmp_path / "whole")


def test_lines_that_the_annotation_calls_invalid_are_missing(
    small_safe: Path,
    whole: Side,
    tmp_path: Path,
) -> None:
    """One line short on the right, one on the left, two not valid at all; every other pixel stays."""
    usual = whole.burst.valid_samples
    odd = {12: (usual.start, 99), 13: (150, usual.stop - 1), 20: (-1, -1), 21: (-1, -1)}
    side = spoiled(small_safe, tmp_path / "odd", valid=odd)
    assert side.burst.valid_samples == usual
    assert side.burst.odd_lines.tolist() == [12, 13, 20, 21]
    assert whole.burst.odd_lines.size == 0
    region = Region(0, LINES, 0, SAMPLES)
    expected = nan_of(whole, region)
    expected[12, 100:], expected[13, :150], expected[20:22] = True, True, True
    kept = ~expected
    with pytest.warns(PartialCoverageWarning, match=r"12-13, 20-21"):
        pixels = valid_pixels(side, region)
    np.testing.assert_array_equal(np.isnan(pixels), expected)
    np.testing.assert_array_equal(pixels[kept], valid_pixels(whole, region)[kept])


@pytest.mark.parametrize("run", [slice(60, 76), slice(61, 93), slice(250, 290), slice(5, 21), slice(0, SAMPLES)])
def test_zeros_where_pixels_should_be_are_missing(run: slice, small_safe: Path, tmp_path: Path) -> None:
    """As many in a row as neither ground nor noise gives, wherever they begin."""
    side = spoiled(small_safe, tmp_path / "zeros", zeros={9: run, 10: slice(100, 115)})
    region = Region(0, LINES, 0, SAMPLES)
    valid = side.burst.valid_samples
    missing = nan_of(side, region)
    assert not missing[10, valid].any(), "fifteen zeros may be chance"
    expected = np.zeros(SAMPLES, dtype=bool)
    expected[run] = True
    np.testing.assert_array_equal(missing[9, valid], expected[valid])


def test_what_is_missing_does_not_depend_on_the_region(small_safe: Path, tmp_path: Path) -> None:
    side = spoiled(small_safe, tmp_path / "zeros", zeros={9: slice(100, 130), 10: slice(200, 216)})
    all_of_it = nan_of(side, Region(0, LINES, 0, SAMPLES))
    for start, stop in ((90, 110), (110, 140), (125, 160), (205, 207), (215, 217), (0, 101)):
        part = nan_of(side, Region(5, 15, start, stop))
        np.testing.assert_array_equal(part, all_of_it[5:15, start:stop])


def test_many_empty_lines_are_a_damaged_file_unless_the_annotation_says_so(
    small_safe: Path,
    tmp_path: Path,
) -> None:
    lines = range(15, 25)
    empty = {line: slice(0, SAMPLES) for line in lines}
    region = Region(5, 35, 20, 280)
    with pytest.raises(ProductError):
        spoiled(small_safe, tmp_path / "damaged", zeros=empty).read(region)
    said = spoiled(small_safe, tmp_path / "said", zeros=empty, valid=dict.fromkeys(lines, (-1, -1)))
    assert nan_of(said, region).all(axis=1).nonzero()[0].tolist() == [line - 5 for line in lines]


def test_lines_are_warned_of_once(small_safe: Path, tmp_path: Path) -> None:
    side = spoiled(small_safe, tmp_path / "zeros", zeros={9: slice(0, SAMPLES)})
    with pytest.warns(PartialCoverageWarning):
        side.read(Region(5, 15, 20, 280))
    side.read(Region(5, 20, 20, 280))


def test_numbers_in_words() -> None:
    assert in_words([3]) == "3"
    assert in_words([3, 4, 5, 9, 11, 12]) == "3-5, 9, 11-12"
