"""The noise annotation of a real product, and what older and damaged ones look like."""

from __future__ import annotations

import lzma
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from insar_mining.errors import ProductError
from insar_mining.sentinel1.noise import parse_noise, read_noise
from insar_mining.sentinel1.product import open_product

DATA = Path(__file__).parents[2] / "data" / "morocco"
(NOISE,) = DATA.glob("noise-s1a-iw1-slc-vv-20230904*.xml.xz")


@pytest.fixture(scope="module")
def xml():
    return lzma.decompress(NOISE.read_bytes())


def test_real_noise_at_its_own_entries(xml):
    """At an entry of the annotation: the value for range times the one for azimuth, read independently."""
    field = parse_noise(xml, source="noise")
    root = ElementTree.fromstring(xml)
    vector = root.findall(".//noiseRangeVector")[3]
    line = int(vector.findtext("line"))
    pixel = np.fromstring(vector.findtext("pixel"), sep=" ")
    values = np.fromstring(vector.findtext("noiseRangeLut"), sep=" ")
    azimuth_line = np.fromstring(root.findtext(".//noiseAzimuthVector/line"), sep=" ")
    azimuth = np.fromstring(root.findtext(".//noiseAzimuthLut"), sep=" ")
    factor = np.interp(line, azimuth_line, azimuth)
    np.testing.assert_allclose(field.power(line, pixel[[0, 100, -1]])[0], values[[0, 100, -1]] * factor, rtol=1e-12)
    # halfway between two profiles, and between two samples
    following = np.fromstring(root.findall(".//noiseRangeVector")[4].findtext("noiseRangeLut"), sep=" ")
    middle = line + 753.5
    expected = np.mean([values[20:22], following[20:22]]) * np.interp(middle, azimuth_line, azimuth)
    assert field.power(middle, (pixel[20] + pixel[21]) / 2)[0, 0] == pytest.approx(expected, rel=1e-9)


def test_real_noise_is_that_of_sentinel_1(xml):
    """300 to 800 squared DN everywhere, brighter at the ends of bursts: -24 dB with the calibration of about 320."""
    field = parse_noise(xml, source="noise")
    power = field.power(np.arange(0, 13563, 50), np.arange(0, 23055, 100))
    assert power.shape == (272, 231)
    assert 300 < power.min() < power.max() < 950
    assert 10 * np.log10(power.mean() / 320**2) == pytest.approx(-23.7, abs=1.0)


def test_vectors_before_ipf_2_90():
    old = b"""<noise><noiseVectorList>
      <noiseVector><line>100</line><pixel>0 10</pixel><noiseLut>6 8</noiseLut></noiseVector>
      <noiseVector><line>0</line><pixel>0 10</pixel><noiseLut>2 4</noiseLut></noiseVector>
    </noiseVectorList></noise>"""
    field = parse_noise(old, source="old")
    np.testing.assert_allclose(field.power([0, 50, 500], [5, 20]), [[3, 4], [5, 6], [7, 8]])


@pytest.mark.parametrize(
    "damaged",
    [
        b"<noise>",
        b"<noise/>",
        b"<noise><noiseVectorList><noiseVector><line>0</line><pixel>0 1</pixel><noiseLut>2</noiseLut></noiseVector>"
        b"</noiseVectorList></noise>",
        b"<noise><noiseVectorList><noiseVector><line>0</line><pixel>0 x</pixel><noiseLut>2 3</noiseLut></noiseVector>"
        b"</noiseVectorList></noise>",
    ],
)
def test_damage_is_named(damaged):
    with pytest.raises(ProductError, match="noise-x: not a usable noise annotation"):
        parse_noise(damaged, source="noise-x")


def test_noise_of_a_product(tmp_path, morocco_safe, xml):
    """Found where the product brings it, None where it does not."""
    assert read_noise(open_product(morocco_safe("20230904")), "IW1", "VV") is None
    copy = tmp_path / morocco_safe("20230904").name
    for file in morocco_safe("20230904").rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(morocco_safe("20230904"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (copy / "annotation" / "calibration").mkdir()
    (copy / "annotation" / "calibration" / NOISE.stem).write_bytes(xml)
    product = open_product(copy)
    found = read_noise(product, "iw1", "vv")
    assert found is not None
    np.testing.assert_array_equal(found.power(0, 0), parse_noise(xml, source="x").power(0, 0))
    assert read_noise(product, "IW2", "VV") is None
