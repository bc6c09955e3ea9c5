"""Misregistration measured on simulated products whose timing is wrong by a known amount."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import box

from insar_mining.coherence.builtin.extras import strips
from insar_mining.coherence.builtin.extras.misregistration import Shift, estimate_shift
from insar_mining.coherence.builtin.images import dates
from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.geo.elevation import read_dem
from insar_mining.geometry.coregister import Region
from insar_mining.geometry.range_doppler import DemArrays, arc_arrays, radar_coordinates, to_cartesian, zero_doppler
from insar_mining.geometry.terrain import dem_arrays
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.product import Product, open_product
from insar_mining.simulate import hills, load_template, simulate_pair
from insar_mining.simulate.geometry import to_ecef
from insar_mining.simulate.geometry import zero_doppler as simulated_zero_doppler
from insar_mining.simulate.truth import path_of

EPSG = 32629


@dataclass
class Simulated:
    """Two dates on the seam of two bursts, and the area that they show."""

    products: tuple[Product, Product]
    dem: DemArrays
    area: tuple[float, float, float, float]

    @property
    def swaths(self) -> tuple[SubSwath, SubSwath]:
        """The annotations of the two dates."""
        return tuple(product.sub_swath("IW2", "VV") for product in self.products)

    def shift(self, lines: float, samples: float, bursts=(True, True), held=(True, True), **how) -> Shift:
        """Estimate the shift of a date whose annotated times are wrong by some lines and samples.

        `bursts`: which show the area; `held`: which the date has.
        """
        stack, date = self.swaths
        date = late(date, lines, samples)
        return estimate_shift(
            [Side(self.products[0], stack, k) for k in (0, 1)],
            [Side(self.products[1], date, k) if held[k] else None for k in (0, 1)],
            [self.region(k) if bursts[k] else None for k in (0, 1)],
            self.dem,
            **how,
        )

    def region(self, index: int) -> Region:
        """What a burst shows of the area."""
        west, south, east, north = self.area
        lon, lat = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
        swath = self.swaths[0]
        arc = swath.arc()
        time, slant_range, _ = radar_coordinates(arc_arrays(arc), self.dem, lon, lat, arc.centre_s)
        frame = Side(self.products[0], swath, index).frame
        return Region.around(frame.line_of(time), frame.sample_of(slant_range), frame)

    @property
    def pixels(self) -> int:
        """How many pixels both bursts show of the area."""
        return sum(lines * samples for lines, samples in (self.region(k).shape for k in (0, 1)))

    def difference(self) -> tuple[float, float]:
        """Lines and samples by which the geometry of the engine differs from that of the simulator."""
        west, south, east, north = self.area
        lon, lat = (west + east) / 2, (south + north) / 2
        out = []
        for swath in self.swaths:
            arc = swath.arc()
            time, slant_range = zero_doppler(arc_arrays(arc), *to_cartesian(lon, lat, 150.0), arc.centre_s)
            truth_time, truth_range = simulated_zero_doppler(path_of(swath), to_ecef(lon, lat, 150.0)[None])
            lines = (truth_time[0] - time) / swath.azimuth_time_interval_s
            out.append((lines, (truth_range[0] - slant_range) / swath.range_spacing_m))
        return tuple(date - stack for stack, date in zip(*out, strict=True))


def late(swath: SubSwath, lines: float, samples: float) -> SubSwath:
    """The annotation with times too late by some lines and samples: pixels then lie that much further on."""
    return replace(
        swath,
        bursts=tuple(
            replace(b, azimuth_time_s=b.azimuth_time_s + lines * swath.azimuth_time_interval_s) for b in swath.bursts
        ),
        slant_range_time_s=swath.slant_range_time_s + samples / swath.range_sampling_rate_hz,
    )


def simulated(folder, templates, name, coherence, half_box_deg) -> Simulated:
    """A pair around the middle of the overlap of bursts 5 and 6, 20 dB, its tracks 30 m apart."""
    swath = parse_annotation(templates[0].annotation(name, "VV"), source=name)
    grid, column = swath.geolocation, swath.geolocation.line.shape[1] // 2
    time = (swath.bursts[4].azimuth_time_s + 3.095 + swath.bursts[5].azimuth_time_s) / 2
    lon, lat = (
        float(np.interp(time, grid.azimuth_time_s[:, column], values[:, column]))
        for values in (grid.longitude_deg, grid.latitude_deg)
    )
    area = lon - half_box_deg, lat - half_box_deg, lon + half_box_deg, lat + half_box_deg
    centre = Transformer.from_crs(4326, EPSG, always_xy=True).transform(lon, lat)
    made = simulate_pair(
        folder,
        reference=templates[0],
        secondary=templates[1],
        swaths=name,
        area=box(*area),
        terrain=hills(EPSG, centre, relief_m=300.0),
        coherence=coherence,
        rng=np.random.default_rng(7),
    )
    dem = dem_arrays(read_dem(made.dem, area, margin_deg=0.02))
    return Simulated((open_product(made.reference), open_product(made.secondary)), dem, area)


@pytest.fixture(scope="module")
def templates(morocco_safe):
    """Both dates."""
    return [load_template(morocco_safe(date)) for date in ("20230904", "20230916")]


@pytest.fixture(scope="module")
def coherent(templates, tmp_path_factory, campaign):
    """Half a million pixels of coherence 0.9; in full, 3.4 million of 0.8, which is 0.71 after noise."""
    coherence, half_deg = (0.8, 0.05) if campaign(10) == 10 else (0.9, 0.016)
    return simulated(tmp_path_factory.mktemp("coherent"), templates, "IW2", coherence, half_deg)


@pytest.fixture(scope="module")
def as_annotated(coherent):
    """What is found where nothing was injected."""
    return coherent.shift(0.0, 0.0)


def test_what_is_left_of_right_timing_is_the_geometry(coherent, as_annotated):
    """Spectral diversity sees the 0.5 microseconds by which two independent geometries differ."""
    lines, samples = coherent.difference()
    assert as_annotated.method == "spectral diversity"
    assert as_annotated.lines == pytest.approx(lines, abs=2e-4)
    assert as_annotated.samples == pytest.approx(samples, abs=3 * as_annotated.samples_sd)
    assert as_annotated.lines_sd < 1e-4
    assert as_annotated.samples_sd < (5e-4 if coherent.pixels > 3e6 else 1e-3)
    assert 0.7 < as_annotated.coherence < 0.9


@pytest.mark.parametrize("injected", [(0.001, -0.001), (0.1, -0.1), (-1.3, 2.4)])
def test_injected_shifts_are_found(coherent, as_annotated, injected):
    """Within 0.001 line of the truth, and 0.001 sample where 3 million pixels show it (two deviations where fewer do).

    Both are within 0.0003 of what is found without the injection.
    """
    found = coherent.shift(*injected)
    assert found.method == "spectral diversity"
    assert found.lines == pytest.approx(injected[0], abs=1e-3)
    assert found.samples == pytest.approx(injected[1], abs=max(1e-3, 2 * found.samples_sd))
    assert found.lines - as_annotated.lines == pytest.approx(injected[0], abs=3e-4)
    assert found.samples - as_annotated.samples == pytest.approx(injected[1], abs=3e-4)


def test_correlation_alone_agrees(coherent, as_annotated):
    """Without diversity azimuth is known less well, and within its deviation the same."""
    found = coherent.shift(0.02, 0.0, method="correlation")
    assert found.method == "correlation"
    assert as_annotated.lines_sd < found.lines_sd < 1.5e-3
    assert found.lines - 0.02 == pytest.approx(as_annotated.lines, abs=3 * found.lines_sd)


@pytest.mark.parametrize("platform", ["S1D", "S1C"])
def test_phases_of_bursts_are_no_shift(coherent, as_annotated, monkeypatch, platform):
    """Constant phases of the bursts of a date, as pairs of Sentinel-1C and 1D have: the most they were seen to differ.

    Of one satellite they are not known, and spectral diversity takes their difference for a shift.
    """
    stack, date = coherent.products
    other = replace(date, platform=platform)
    monkeypatch.setattr(coherent, "products", (replace(stack, platform="S1C"), other))
    read = Product.read_burst

    def turned(product, swath, polarisation, index, *window):
        pixels = read(product, swath, polarisation, index, *window)
        return pixels * np.complex64(np.exp(1j * (1.40, 1.65)[index])) if product is other else pixels

    monkeypatch.setattr(Product, "read_burst", turned)
    found = coherent.shift(0.0, 0.0)
    if platform == "S1C":
        assert found.lines - as_annotated.lines == pytest.approx(0.25 / (2 * np.pi * 8.3), abs=1e-3)
        return
    assert found.method == "correlation"
    assert "two satellites" in found.reason
    assert abs(found.lines - as_annotated.lines) < 2e-3
    assert found.samples == pytest.approx(as_annotated.samples, abs=1e-6)


def test_a_neighbour_may_be_there_for_its_overlap_only(coherent):
    """An area that one burst shows is settled by the overlap with the next."""
    found = coherent.shift(0.03, 0.0, bursts=(True, False))
    assert found.method == "spectral diversity"
    assert found.lines == pytest.approx(0.03, abs=1e-3)


def test_a_burst_that_the_date_lacks_is_no_overlap(coherent):
    """What is left is correlation over the other burst."""
    found = coherent.shift(0.03, 0.0, held=(True, False))
    assert found.method == "correlation"
    assert found.reason == "no burst overlap near the area"
    assert found.lines == pytest.approx(0.03, abs=4 * found.lines_sd)


def test_blocks_change_nothing(coherent, as_annotated, monkeypatch):
    """Blocks of 37 lines elsewhere, and overlaps read in blocks of 8 lines, give the same shift."""
    monkeypatch.setattr(dates, "BLOCK_LINES", 37)
    monkeypatch.setattr(strips, "OVERLAP_LINES", 8)
    found = coherent.shift(0.0, 0.0)
    assert found.both == pytest.approx(as_annotated.both, abs=1e-7)
    assert found.used == as_annotated.used


def test_without_heights_nothing_is_measured(coherent):
    """An elevation model that lies elsewhere leaves no pixel: no shift, and no error."""
    elsewhere = replace(coherent, dem=coherent.dem._replace(west_deg=coherent.dem.west_deg + 3))
    stack, date = coherent.swaths
    found = estimate_shift(
        [Side(coherent.products[0], stack, 0)],
        [Side(coherent.products[1], date, 0)],
        [coherent.region(0)],
        elsewhere.dem,
    )
    assert (found.both, found.method) == ((0.0, 0.0), "none")
    assert "elevation model" in found.reason


def test_decorrelated_ground_gives_none(templates, tmp_path):
    """A mine without coherence: the shift is zero, its deviation unknown, and the reason said."""
    mine = simulated(tmp_path, templates, "IW2", 0.0, 0.008)
    found = mine.shift(0.02, 0.02)
    assert (found.both, found.method, found.used) == ((0.0, 0.0), "none", 0)
    assert np.isnan([found.lines_sd, found.samples_sd]).all()
    assert found.coherence < 0.05
    assert "not coherent enough" in found.reason
