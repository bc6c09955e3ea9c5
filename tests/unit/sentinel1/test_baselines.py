"""Baselines against a second computation, against plain geometry, and against the catalogue's sign."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from lxml import etree
from scipy.interpolate import BarycentricInterpolator
from scipy.optimize import brentq

from insar_mining.errors import CoverageError, OptionError
from insar_mining.geometry.range_doppler import arc_arrays, ground_point
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.baselines import baseline, parallel_baseline_m, perpendicular_baseline_m
from insar_mining.sentinel1.orbit import Orbit

LON, LAT = -8.777, 31.80


def computed_again(reference: bytes, secondary: bytes, lon: float, lat: float, height_m: float) -> np.ndarray:
    """Perpendicular and parallel baseline from the XML, by polynomial interpolation and root finding."""
    point = np.array(pyproj.Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height_m))

    def abeam(xml: bytes) -> tuple[np.ndarray, np.ndarray]:
        vectors = etree.fromstring(xml).findall("generalAnnotation/orbitList/orbit")
        moments = np.array([v.findtext("time") for v in vectors], dtype="datetime64[us]")
        time = (moments - moments[0]) / np.timedelta64(1, "s")
        near = slice(4, 14)
        position = BarycentricInterpolator(
            time[near], [[float(v.findtext(f"position/{a}")) for a in "xyz"] for v in vectors[near]]
        )
        velocity = BarycentricInterpolator(
            time[near], [[float(v.findtext(f"velocity/{a}")) for a in "xyz"] for v in vectors[near]]
        )
        moment = brentq(lambda t: velocity(t) @ (point - position(t)), time[5], time[12], xtol=1e-12, rtol=1e-14)
        return position(moment), velocity(moment)

    (position, velocity), (other, _) = abeam(reference), abeam(secondary)
    sight = (point - position) / np.linalg.norm(point - position)
    along = velocity / np.linalg.norm(velocity)
    normal = np.cross(sight, along)
    return np.array([normal @ (other - position), sight @ (other - position)]) / [np.linalg.norm(normal), 1]


def test_the_baseline_of_the_morocco_pair(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    for swath in ("IW1", "IW2", "IW3"):
        one, other = (morocco_sub_swath(date, swath) for date in ("20230904", "20230916"))
        assert perpendicular_baseline_m(one, other, LON, LAT) == pytest.approx(29.5, abs=0.5)


@pytest.mark.parametrize(
    ("lon", "lat", "height_m"), [(LON, LAT, 0.0), (-8.2, 31.2, 1200.0), (-10.4, 31.9, -50.0), (-9.5, 30.5, 3000.0)]
)
def test_a_second_computation_agrees(
    lon: float,
    lat: float,
    height_m: float,
    morocco_annotation: Callable[..., bytes],
    morocco_sub_swath: Callable[..., SubSwath],
) -> None:
    one, other = (morocco_sub_swath(date, "IW2") for date in ("20230904", "20230916"))
    found = baseline(one, other, lon, lat, height_m)
    expected = computed_again(*(morocco_annotation(d, "IW2") for d in ("20230904", "20230916")), lon, lat, height_m)
    # the vectors are written to the micrometre, but are not smooth below some millimetres
    np.testing.assert_allclose([found.perpendicular_m, found.parallel_m], expected, atol=0.02, rtol=0)
    assert perpendicular_baseline_m(one, other, lon, lat, height_m) == found.perpendicular_m
    assert parallel_baseline_m(one, other, lon, lat, height_m) == found.parallel_m


def test_the_way_back_is_the_way_there_turned_round(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    one, other = (morocco_sub_swath(date, "IW1") for date in ("20230904", "20230916"))
    there, back = baseline(one, other, LON, LAT), baseline(other, one, LON, LAT)
    # the lines of sight differ by B / R = 4e-5, which turns 32 m by a millimetre
    assert there.perpendicular_m == pytest.approx(-back.perpendicular_m, abs=2e-3)
    assert there.parallel_m == pytest.approx(-back.parallel_m, abs=2e-3)
    assert baseline(one, one, LON, LAT).perpendicular_m == pytest.approx(0, abs=1e-6)


def test_a_satellite_that_flies_higher_has_a_positive_baseline(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    """100 m straight up: 100 sin(look) across the line of sight, and -100 cos(look) along it."""
    one = morocco_sub_swath("20230904", "IW2")
    up = one.orbit.position_m / np.linalg.norm(one.orbit.position_m, axis=1, keepdims=True)
    raised = type(one.orbit)(
        one.orbit.time_s, one.orbit.position_m + 100 * up, one.orbit.velocity_m_s * (1 + 100 / 7.07e6), "raised"
    )
    other = replace(one, orbit=raised)
    found = baseline(one, other, -9.2, 31.2)
    assert np.hypot(found.perpendicular_m, found.parallel_m) == pytest.approx(100, abs=0.1)
    look = np.degrees(np.arctan2(found.perpendicular_m, -found.parallel_m))
    assert 32 < look < 38


# State vectors before and after the middle of two real scenes (ASF's catalogue), and ASF's baseline of the pair.
ASF_VECTORS = {
    "S1A_IW_SLC__1SDV_20220215T225119_20220215T225146_041930_04FE2E_9252": (
        (989804.686375, -5330899.764523, 4537736.798845, -2624.722192, 4337.335624, 5652.396877),
        (963534.266491, -5287209.313373, 4594003.518434, -2629.297226, 4400.673830, 5600.841341),
    ),
    "S1A_IW_SLC__1SDV_20220227T225119_20220227T225146_042105_050431_987E": (
        (989786.841920, -5330892.491413, 4537739.664206, -2624.729224, 4337.350488, 5652.392326),
        (963516.352821, -5287201.891136, 4594006.337532, -2629.304055, 4400.688775, 5600.836626),
    ),
}
ASF_CENTRE, ASF_PERPENDICULAR_M = (-73.8042, 41.1846), -15


def test_the_sign_is_that_of_the_catalogue(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    """Eight vectors of each real orbit, made from its two by Hermite interpolation, at a real place."""
    swaths = []
    for before, after in ASF_VECTORS.values():
        time = np.linspace(-2.0, 12.0, 8)
        u = (time / 10)[:, None]
        p0, v0, p1, v1 = (np.array(x) for x in (before[:3], before[3:], after[:3], after[3:]))
        c2, c3 = 3 * (p1 - p0) - 10 * (2 * v0 + v1), -2 * (p1 - p0) + 10 * (v0 + v1)
        position = p0 + 10 * v0 * u + c2 * u**2 + c3 * u**3
        velocity = v0 + (2 * c2 * u + 3 * c3 * u**2) / 10
        real = morocco_sub_swath("20230904", "IW1")
        burst = replace(real.bursts[0], azimuth_time_s=3.0)
        orbit = type(real.orbit)(time, position, velocity, "catalogue")
        swaths.append(replace(real, bursts=(burst,), orbit=orbit))
    assert perpendicular_baseline_m(*swaths, *ASF_CENTRE) == pytest.approx(ASF_PERPENDICULAR_M, abs=1.0)


def test_a_place_that_is_not_abeam_is_refused(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    one, other = (morocco_sub_swath(date, "IW1") for date in ("20230904", "20230916"))
    with pytest.raises(CoverageError, match=r"S1A IW1 of 2023-09-04T06:37:31.*\(-9\.0000, 41\.0000\)"):
        perpendicular_baseline_m(one, other, -9.0, 41.0)
    for lon, lat in ((31.8, -98.777), (np.nan, 0), (900, 0)):
        with pytest.raises(OptionError, match="longitude first"):
            perpendicular_baseline_m(one, other, lon, lat)


def test_the_baselines_of_a_real_pair_of_two_satellites(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    """S1B and S1A, 6 days apart: another program (eos-sar) gives the same at nine points of the image, to 0.2 mm.

    Its samples are counted from the first valid one.
    """
    figures = json.loads((Path(__file__).parents[2] / "data" / "mixed_pair.json").read_text())

    def annotation(of: dict[str, Any]) -> SubSwath:
        plain = morocco_sub_swath("20230904", "IW3")
        vectors = np.array(of["vectors"])
        first, last = (replace(plain.bursts[0], azimuth_time_s=of[name]) for name in ("first_burst_s", "last_burst_s"))
        return replace(
            plain,
            epoch=np.datetime64(of["date"], "ns"),
            bursts=(first, last),
            lines_per_burst=of["lines"],
            azimuth_time_interval_s=of["interval_s"],
            orbit=Orbit(vectors[:, 0], vectors[:, 1:4], vectors[:, 4:], "annotation"),
        )

    reference, secondary = annotation(figures["reference"]), annotation(figures["secondary"])
    image = figures["reference"]
    arc = arc_arrays(reference.arc())
    for sample, line, expected in figures["points"]:
        time = image["first_burst_s"] + line * image["interval_s"]
        tau = image["slant_range_time_s"] + (sample + image["first_valid_sample"]) / image["sampling_hz"]
        lon, lat = ground_point(arc, time, 299_792_458.0 / 2 * tau, 0.0)
        assert perpendicular_baseline_m(reference, secondary, lon, lat) == pytest.approx(expected, abs=2.5e-4)
