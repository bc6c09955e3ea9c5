"""Slices of one data take, joined, are the product that they were cut from."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from insar_mining.errors import CoverageError, OrbitError, ProductError
from insar_mining.sentinel1.product import Product, join, open_product
from tests.slicing import cut_product
from tests.unit.sentinel1.conftest import pattern, zipped

KEY = ("IW1", "VV")


@pytest.fixture(scope="module")
def cuts(small_safe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, Path]:
    """Bursts 1-5, 6-9, 5-9 and 7-9 of nine, each a product of its own in its own folder."""
    parts = (slice(0, 5), slice(5, 9), slice(4, 9), slice(6, 9))
    folders = [tmp_path_factory.mktemp(f"slice{number}") for number in range(len(parts))]
    return tuple(cut_product(small_safe, folder, part) for folder, part in zip(folders, parts, strict=True))  # type: ignore[return-value]


def assert_same(joined: Product, whole: Product) -> None:
    """Everything but the tie points, which the simulator computes anew for each cut, is the same; so are all pixels."""
    one, other = joined.sub_swath(*KEY), whole.sub_swath(*KEY)
    for name in ("bursts", "fm_rates", "doppler_centroids", "slant_range_time_s", "samples_per_burst", "epoch"):
        assert repr(getattr(one, name)) == repr(getattr(other, name)), name
    np.testing.assert_array_equal(one.orbit.position_m, other.orbit.position_m)
    assert one.geolocation.line[:, 0].tolist() == [*range(0, 360, 40), 359]
    times = (swath.geolocation.azimuth_time_s[:-1] for swath in (one, other))  # the small bursts end too soon
    np.testing.assert_allclose(*times, rtol=0, atol=1e-3)
    for index in range(len(other.bursts)):
        np.testing.assert_array_equal(joined.read_burst(*KEY, index), whole.read_burst(*KEY, index))
    window = slice(3, 17), slice(120, 131)
    np.testing.assert_array_equal(joined.read_burst(*KEY, 6, *window), whole.read_burst(*KEY, 6, *window))


@pytest.mark.parametrize("second", [1, 2], ids=["side by side", "one burst in both"])
def test_joined_slices_are_the_whole(small_safe: Path, cuts: tuple[Path, ...], second: int) -> None:
    parts = [open_product(cuts[0]), open_product(cuts[second])]
    whole = open_product(small_safe)
    for order in (parts, parts[::-1]):
        joined = join(order)
        assert_same(joined, whole)
        assert (joined.platform, joined.relative_orbit, joined.direction) == ("S1A", 52, "descending")
        assert joined.images == whole.images
        assert joined.name == f"{parts[0].name}+{parts[1].name}"
        assert (joined.start, joined.stop) == (parts[0].start, parts[1].stop)
        assert joined.footprint.area == pytest.approx(parts[0].footprint.union(parts[1].footprint).area)
        joined.check_measurement(*KEY)
    assert join(parts).identity() == join(parts[::-1]).identity() != parts[0].identity()
    assert join(parts[:1]) is parts[0]


def test_a_folder_and_a_list_of_paths_stand_for_the_joined(
    small_safe: Path, cuts: tuple[Path, ...], tmp_path: Path
) -> None:
    whole = open_product(small_safe)
    folder = tmp_path / "one date (é)"
    shutil.copytree(cuts[0], folder / cuts[0].name)
    zipped(cuts[1], folder / f"{cuts[1].stem}.zip")
    by_folder = open_product(folder)
    by_list = open_product(f"{cuts[1]}{os.pathsep}{cuts[0]}")
    for product in (by_folder, by_list, open_product(by_list.path), pickle.loads(pickle.dumps(by_list))):
        assert_same(product, whole)
        assert product.identity() == by_list.identity()


def test_an_orbit_file_is_given_to_the_joined(cuts: tuple[Path, ...], azores_orbit_file: Path) -> None:
    joined = join([open_product(path) for path in cuts[:2]])
    with pytest.raises(OrbitError, match=re.escape(azores_orbit_file.name)):  # of another year: looked at, and refused
        joined.with_orbit_file(azores_orbit_file)


def test_slices_whose_window_moved_are_padded(small_safe: Path, cuts: tuple[Path, ...], tmp_path: Path) -> None:
    """Slices of samples 0-259 and 40-299: the image spans both, and is zero and not valid where a slice has none."""
    first = cut_product(small_safe, tmp_path / "1", slice(0, 5), samples=slice(0, 260))
    second = cut_product(small_safe, tmp_path / "2", slice(5, 9), samples=slice(40, 300))
    joined, whole = join([open_product(first), open_product(second)]), open_product(small_safe)
    swath, uncut = joined.sub_swath(*KEY), whole.sub_swath(*KEY)
    assert swath.samples_per_burst == 300
    assert swath.slant_range_time_s == pytest.approx(uncut.slant_range_time_s, abs=1e-15)
    assert [swath.bursts[k].valid_samples for k in (0, 5)] == [slice(5, 260), slice(40, 290)]
    everything = pattern(np.arange(360), np.arange(300))
    for index, held in ((4, slice(0, 260)), (5, slice(40, 300))):
        expected = np.zeros((40, 300), dtype=np.complex64)
        expected[:, held] = everything[index * 40 : (index + 1) * 40, held]
        np.testing.assert_array_equal(joined.read_burst(*KEY, index), expected)
        for samples in (slice(20, 60), slice(250, 280), slice(0, 30), slice(270, 300), slice(50, 50)):
            got = joined.read_burst(*KEY, index, slice(7, 9), samples)
            np.testing.assert_array_equal(got, expected[7:9, samples])
    with pytest.raises(CoverageError):
        joined.read_burst(*KEY, 5, slice(0, 2), slice(0, 301))
    joined.check_measurement(*KEY)


def test_half_a_sample_cannot_be_joined(cuts: tuple[Path, ...], tmp_path: Path) -> None:
    """The images would have to be interpolated: they are refused, with the distance."""
    tau = open_product(cuts[1]).sub_swath(*KEY).slant_range_time_s
    copy = Path(shutil.copytree(cuts[1], tmp_path / cuts[1].name))
    (path,) = (copy / "annotation").iterdir()
    head, tail = path.read_text("utf-8").split("<imageInformation>")
    tail = re.sub(r"(<slantRangeTime>)[^<]*", rf"\g<1>{tau + 0.5 / 64.345238e6!r}", tail, count=1)
    path.write_text(f"{head}<imageInformation>{tail}", encoding="utf-8")
    joined = join([open_product(cuts[0]), open_product(copy)])
    with pytest.raises(ProductError, match=r"0\.0000, 0\.5000 samples apart"):
        joined.sub_swath(*KEY)


def test_a_missing_slice_is_named(cuts: tuple[Path, ...]) -> None:
    joined = join([open_product(cuts[0]), open_product(cuts[3])])  # burst 6 is in neither
    with pytest.raises(ProductError, match=r"do not follow one another .* 5\.5 s between their bursts"):
        joined.sub_swath(*KEY)


def test_slices_on_both_sides_of_the_ascending_node_are_joined(
    small_safe: Path, cuts: tuple[Path, ...], tmp_path: Path
) -> None:
    """The absolute and the relative orbit change inside the data take."""
    folder = Path(shutil.copytree(cuts[1], tmp_path / cuts[1].name.replace("_050174_", "_050175_")))
    manifest = folder / "manifest.safe"
    text = manifest.read_text("utf-8").replace("50174", "50175")
    manifest.write_text(re.sub(r"(relativeOrbitNumber[^>]*>)52<", r"\g<1>53<", text), encoding="utf-8")
    for path in list(folder.rglob("s1a-*")):
        path.rename(path.with_name(path.name.replace("-050174-", "-050175-")))
    for path in (folder / "annotation").glob("*.xml"):
        path.write_text(path.read_text("utf-8").replace("Number>50174<", "Number>50175<"), encoding="utf-8")
    second = open_product(folder)
    assert (second.relative_orbit, second.absolute_orbit) == (53, 50175)
    for order in ([open_product(cuts[0]), second], [second, open_product(cuts[0])]):
        joined = join(order)
        assert_same(joined, open_product(small_safe))
        assert (joined.relative_orbit, joined.absolute_orbit) == (52, 50174)


def test_two_dates_are_no_slices(cuts: tuple[Path, ...], small_safe: Path, tmp_path: Path) -> None:
    """Also where a folder of several dates is given for one product."""
    other = tmp_path / "both" / cuts[1].name.replace("_050174_", "_050349_")
    shutil.copytree(cuts[1], other)
    manifest = other / "manifest.safe"
    manifest.write_text(manifest.read_text("utf-8").replace("50174", "50349"), encoding="utf-8")
    for path in list(other.rglob("s1a-*")):
        path.rename(path.with_name(path.name.replace("-050174-", "-050349-")))
    shutil.copytree(cuts[0], tmp_path / "both" / cuts[0].name)
    with pytest.raises(ProductError, match=r"their absolute orbit is 50174 and 50349\); .* give each date its own"):
        open_product(tmp_path / "both")
    with pytest.raises(ProductError, match="no product to join"):
        join([])
