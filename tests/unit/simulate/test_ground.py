"""Scatterers, their chain from date to date, and the maps that steer them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from insar_mining.errors import OptionError
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import (
    Acquisition,
    Settings,
    ZoneMap,
    flat,
    morocco_template,
    raster,
    simulate_stack,
    uniform,
    zones,
)
from insar_mining.simulate.ground import checked_coherence, first_reflectivity, next_reflectivity, scatter
from insar_mining.simulate.terrain import undulation_m

EPSG = 32629
NOISELESS = Settings(snr_db=np.inf, margin_m=20.0, scatterers_per_cell=4.0)
AREA = shapely.box(-8.341, 31.708, -8.331, 31.717)


def test_the_chain_has_the_coherence_asked_for_and_unit_power() -> None:
    rng = np.random.default_rng(1)
    count = 200_000
    asked = np.where(np.arange(count) < count // 2, 0.8, 0.3)
    first = first_reflectivity(count, rng)
    second = next_reflectivity(first, asked, rng)
    third = next_reflectivity(second, asked, rng)
    for half, gamma in ((slice(0, count // 2), 0.8), (slice(count // 2, None), 0.3)):
        for chained, expected in ((second, gamma), (third, gamma**2)):
            correlation = np.mean(chained[half] * first[half].conj())
            assert correlation == pytest.approx(expected, abs=0.01)
            assert np.mean(np.abs(chained[half]) ** 2) == pytest.approx(1.0, abs=0.015)
    assert abs(np.mean(first**2)) < 0.01, "circular"


def test_coherence_outside_of_0_to_1_is_refused() -> None:
    for wrong in (1.01, -0.1, np.nan):
        with pytest.raises(OptionError, match=r"0\.\.1"):
            checked_coherence(np.array([0.5, wrong]))


def test_scatterers_fill_the_box_evenly_at_the_density_of_the_lattice() -> None:
    lattice = np.array([[6.0, 1.0], [-1.0, 3.0]])  # 19 square metres
    points = scatter(AREA, flat(EPSG, 250.0), lattice, np.random.default_rng(2), margin_m=100.0)
    x, y = points.easting_m, points.northing_m
    area = np.ptp(x) * np.ptp(y)
    assert len(points) == pytest.approx(area / 19.0, rel=0.01)
    counts, _, _ = np.histogram2d(x, y, bins=8)
    assert counts.std() / counts.mean() < 0.02, "far more even than independent places (0.04 here)"
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    longitude, latitude = to_lonlat.transform(x, y)
    np.testing.assert_array_equal(points.inside, shapely.contains_xy(AREA, longitude, latitude))
    back = Transformer.from_crs(4978, 4979, always_xy=True).transform(*points.ecef_m.T)
    np.testing.assert_allclose(back[2], 250.0 + undulation_m(longitude, latitude), atol=1e-6)


def test_later_zones_cover_earlier_ones() -> None:
    to_map = Transformer.from_crs(4326, EPSG, always_xy=True)
    x, y = to_map.transform([-8.339, -8.336, -8.333, -8.30], [31.712] * 4)
    regions = {"whole": AREA, "middle": shapely.box(-8.338, 31.70, -8.334, 31.72), "silent": AREA}
    value = zones(regions, {"whole": 0.9, "middle": 0.2}, background=0.5, epsg=EPSG)
    np.testing.assert_array_equal(value(np.array(x), np.array(y)), [0.5] * 4)
    value = zones(
        {k: regions[k] for k in ("whole", "middle")}, {"whole": 0.9, "middle": 0.2}, background=0.5, epsg=EPSG
    )
    np.testing.assert_array_equal(value(np.array(x), np.array(y)), [0.9, 0.2, 0.9, 0.5])


def test_a_zone_map_answers_for_other_points_too() -> None:
    zone_map = ZoneMap({"a": AREA}, EPSG)
    to_map = Transformer.from_crs(4326, EPSG, always_xy=True)
    inside = [np.array([v]) for v in to_map.transform(-8.336, 31.712)]
    outside = [np.array([v]) for v in to_map.transform(-8.0, 31.712)]
    value, other = (zone_map.values({"a": v}, background=0.0) for v in (0.7, 0.8))
    assert [value(*inside)[0], value(*outside)[0], other(*inside)[0], value(*inside)[0]] == [0.7, 0.0, 0.8, 0.7]


def test_a_raster_gives_its_cells_and_the_background_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "gamma.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=1, height=2, width=2, crs="EPSG:4326", nodata=-1.0,
        transform=Affine(0.01, 0, -8.34, 0, -0.01, 31.72),
    ) as target:  # fmt: skip
        target.write(np.array([[0.1, 0.2], [0.3, -1.0]], dtype=np.float32), 1)
    to_map = Transformer.from_crs(4326, EPSG, always_xy=True)
    x, y = to_map.transform([-8.3399, -8.3201, -8.335, -8.325, -8.345], [31.7199, 31.7101, 31.705, 31.705, 31.705])
    found = raster(path, EPSG, background=0.9)(np.array(x), np.array(y))
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.9, 0.9], atol=1e-6)


def test_snow_hides_the_ground_for_one_date_only(tmp_path: Path) -> None:
    template = morocco_template()
    dates = [Acquisition(template, 12 * k, snow_coherence=0.1 if k == 1 else None) for k in range(3)]
    stack = simulate_stack(
        tmp_path, dates, area=AREA, terrain=flat(EPSG), coherence=lambda index: uniform(0.9),
        rng=np.random.default_rng(3), settings=NOISELESS, truth_pairs=[(0, 1), (0, 2)],
    )  # fmt: skip
    images = []
    for path in stack.products:
        product = open_product(path)
        middle = product.sub_swath("IW1", "VV").samples_per_burst // 2
        images.append(product.read_burst("IW1", "VV", 0, None, slice(middle - 60, middle + 60)).astype(np.complex128))
    # no baseline and no shift: one grid; only lines with signal count
    bright = np.convolve(np.mean(np.abs(images[0]) ** 2, axis=1), np.ones(9) / 9, "same") > 0.5 * 2 * 75**2
    assert np.count_nonzero(bright) > 60

    def coherence(i: int, j: int) -> float:
        a, b = images[i][bright], images[j][bright]
        return float(np.abs(np.vdot(b, a)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real))

    assert coherence(0, 2) == pytest.approx(0.81, abs=0.02)
    assert coherence(0, 1) == pytest.approx(0.09, abs=0.04)
    assert coherence(1, 2) == pytest.approx(0.09, abs=0.04)
    for pair, expected in (((0, 1), 0.09), ((0, 2), 0.81)):
        with rasterio.open(stack.truth[pair]) as source:
            assert float(np.nanmedian(source.read(1))) == pytest.approx(expected, abs=1e-3)


def test_dark_ground_has_less_thermal_coherence(tmp_path: Path) -> None:
    """-10 dB of backscatter at 10 dB of SNR: an SNR of 0 dB, a coherence of one half."""
    half = zones({"dark": shapely.box(-8.336, 31.70, -8.33, 31.72)}, {"dark": -10.0}, background=0.0, epsg=EPSG)
    stack = simulate_stack(
        tmp_path, [Acquisition(morocco_template(), d) for d in (0, 12)], area=AREA, terrain=flat(EPSG),
        coherence=lambda index: uniform(1.0), rng=np.random.default_rng(3), backscatter_db=half,
        settings=Settings(snr_db=10.0, scatterers_per_cell=1.0, margin_m=20.0),
    )  # fmt: skip
    with rasterio.open(stack.truth[0, 1]) as source:
        thermal = source.read(1 + source.descriptions.index("thermal"))
    assert thermal[10, 3] == pytest.approx(1 / 1.1, abs=0.003)
    assert thermal[10, -3] == pytest.approx(0.5, abs=0.005)
