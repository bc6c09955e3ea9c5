"""Products and orbit files, damaged: manifests, annotations (the fields that are read), measurements, EOF files."""

from __future__ import annotations

import lzma
import shutil
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from pyproj import Transformer

from insar_mining.sentinel1.orbit import read_orbit_file
from insar_mining.sentinel1.product import open_product
from insar_mining.sentinel1.tops import tops_ramp
from tests.fuzz import mutations as m
from tests.fuzz.arena import Kind, require
from tests.unit.sentinel1.conftest import pattern, write_plain_tiff

DATA = Path(__file__).parents[1] / "data"
NAME = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"
STEM = "s1a-iw1-slc-vv-20230904t063731-20230904t063756-050174-0609e3-004"
BURSTS, LINES, SAMPLES = 3, 8, 64
# read by nobody
UNREAD = (
    *("qualityInformation", "antennaPattern", "coordinateConversion", "swathMerging", "generalAnnotation/noiseList"),
    *("generalAnnotation/replicaInformationList", "generalAnnotation/downlinkInformationList"),
    "generalAnnotation/attitudeList",
    *("generalAnnotation/terrainHeightList", "imageAnnotation/processingInformation/inputDimensionsList"),
)  # fmt: skip
C_M_S = 299_792_458.0


def small_annotation() -> bytes:
    """The real annotation with the first bursts, small ones, and every third tie point and state vector's time kept."""
    root = ElementTree.fromstring(lzma.decompress((DATA / "morocco" / f"{STEM}.xml.xz").read_bytes()))
    for path in UNREAD:
        above, _, name = path.rpartition("/")
        parent = root.find(above) if above else root
        assert parent is not None
        for element in parent.findall(name):
            parent.remove(element)
    for estimate in root.iter("dcEstimate"):
        for element in estimate.findall("fineDceList"):
            estimate.remove(element)
    bursts = root.find("swathTiming/burstList")
    assert bursts is not None
    for burst in bursts.findall("burst")[BURSTS:]:
        bursts.remove(burst)
    for burst in bursts:
        for name, value in (("firstValidSample", 3), ("lastValidSample", SAMPLES - 4)):
            element = burst.find(name)
            assert element is not None
            element.text = " ".join(["-1", *[str(value)] * (LINES - 2), "-1"])
    for path, number in (
        ("swathTiming/linesPerBurst", LINES),
        ("swathTiming/samplesPerBurst", SAMPLES),
        ("imageAnnotation/imageInformation/numberOfLines", LINES * BURSTS),
        ("imageAnnotation/imageInformation/numberOfSamples", SAMPLES),
    ):
        element = root.find(path)
        assert element is not None
        element.text = str(number)
    points = root.find("geolocationGrid/geolocationGridPointList")
    assert points is not None
    for point in points.findall("geolocationGridPoint"):
        if int(point.findtext("pixel", "")) % 3 or int(point.findtext("line", "")) > 6000:
            points.remove(point)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def make_safe(folder: Path) -> None:
    (folder / "measurement").mkdir(parents=True)
    (folder / "annotation").mkdir()
    manifest = lzma.decompress((DATA / "morocco" / f"{NAME}.manifest.safe.xz").read_bytes())
    (folder / "manifest.safe").write_bytes(manifest)
    (folder / "annotation" / f"{STEM}.xml").write_bytes(small_annotation())
    values = pattern(np.arange(BURSTS * LINES), np.arange(SAMPLES))
    write_plain_tiff(folder / "measurement" / f"{STEM}.tiff", values)


def make_products(folder: Path) -> None:
    make_safe(folder / "safe" / f"{NAME}.SAFE")


def safe_in(folder: Path) -> Any:
    return open_product(folder / f"{NAME}.SAFE")


# -- manifests ---------------------------------------------------------------------------


def damage_manifest(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    if not name.endswith("manifest.safe"):
        return None
    return m.either(m.damaged_xml, m.damaged_xml, m.damaged_text, m.damaged_bytes)(data, rng)


def use_manifest(folder: Path) -> Any:
    product = safe_in(folder)
    west, south, east, north = product.footprint.bounds
    require(-180 <= west <= east <= 180 and -90 <= south <= north <= 90, f"footprint {product.footprint.bounds}")
    require(product.footprint.is_valid and product.footprint.area > 0, "footprint")
    require(product.start < product.stop, f"times {product.start} {product.stop}")
    require(product.stop - product.start < np.timedelta64(600, "s"), f"length {product.stop - product.start}")
    require(product.direction in ("ascending", "descending"), f"direction {product.direction}")
    require(product.platform[:2] == "S1" and product.platform[2:].isalnum(), f"platform {product.platform}")
    require(product.absolute_orbit > 0, f"orbit {product.absolute_orbit}")
    require(product.relative_orbit is None or 1 <= product.relative_orbit <= 175, f"orbit {product.relative_orbit}")
    facts = ("platform", "start", "stop", "absolute_orbit", "relative_orbit", "direction", "ipf_version", "swaths")
    return [getattr(product, name) for name in facts], product.footprint.wkb, len(product.identity())


# -- annotations -------------------------------------------------------------------------


def damage_annotation(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    if not name.endswith(".xml"):
        return None
    return m.either(m.damaged_xml, m.damaged_xml, m.damaged_xml, m.damaged_text, m.damaged_bytes)(data, rng)


def use_annotation(folder: Path) -> Any:
    """Read a sub-swath, and hold what engines use of it against what an independent geometry says."""
    swath = safe_in(folder).sub_swath("IW1", "VV")
    scalars = {
        name: getattr(swath, name)
        for name in (
            *("radar_frequency_hz", "range_sampling_rate_hz", "slant_range_time_s", "azimuth_time_interval_s"),
            *("azimuth_frequency_hz", "azimuth_steering_rate_rad_s", "lines_per_burst", "samples_per_burst"),
        )
    }
    require(all(np.isfinite(value) and value > 0 for value in scalars.values()), f"numbers {scalars}")
    require(abs(swath.wavelength_m - 0.05547) < 1e-4, f"wavelength {swath.wavelength_m}")
    for band in (swath.range_bandwidth, swath.azimuth_bandwidth):
        require(0 < band.processed_hz <= band.total_hz and 0 < band.hamming <= 1, f"bandwidth {band}")
    times = np.array([burst.azimuth_time_s for burst in swath.bursts])
    require(np.isfinite(times).all() and (np.diff(times) > 0).all(), f"burst times {times}")
    ramps = []
    for burst in swath.bursts:
        for part, size in ((burst.valid_lines, swath.lines_per_burst), (burst.valid_samples, swath.samples_per_burst)):
            require(0 <= part.start <= part.stop <= size, f"valid part {part} of {size}")
        ramp = tops_ramp(swath, burst.index, np.array([0.0, SAMPLES - 1.0]))
        phase = ramp.phase_rad(np.array([[0.0], [LINES]]))
        require(np.isfinite(phase).all() and np.abs(phase).max() < 1e6, f"phase of the ramp {phase}")
        ramps.append(phase)
    check_tie_points(swath)
    grid = vars(swath.geolocation)
    return scalars, times, ramps, [(b.first_valid_sample, b.last_valid_sample) for b in swath.bursts], grid


def check_tie_points(swath: Any) -> None:
    """Every tie point is seen from the orbit at its own time and range, within a kilometre."""
    grid = swath.geolocation
    arrays = {name: np.asarray(values) for name, values in vars(grid).items()}
    require(all(np.isfinite(values).all() for values in arrays.values()), "tie points that are no numbers")
    require(np.abs(grid.latitude_deg).max() <= 90 and np.abs(grid.longitude_deg).max() <= 180, "tie points")
    start, stop = swath.bursts[0].azimuth_time_s, swath.bursts[-1].azimuth_time_s
    inside = (grid.azimuth_time_s >= start - 5) & (grid.azimuth_time_s <= stop + 5)
    require(inside.any(), "no tie point at the time of the bursts")
    to_earth = Transformer.from_crs(4979, 4978, always_xy=True)
    place = to_earth.transform(grid.longitude_deg[inside], grid.latitude_deg[inside], grid.height_m[inside])
    position = swath.arc().position_m(grid.azimuth_time_s[inside])
    away = np.linalg.norm(np.stack(place, axis=-1) - position, axis=-1)
    expected = C_M_S / 2 * (swath.slant_range_time_s + grid.sample[inside] / swath.range_sampling_rate_hz)
    worst = float(np.abs(away - expected).max())
    require(worst < 1500, f"tie points {worst:.0f} m from where the orbit sees them")


# -- measurements ------------------------------------------------------------------------


def make_measurements(folder: Path) -> None:
    values = pattern(np.arange(BURSTS * LINES), np.arange(SAMPLES))
    for name in ("plain", "tiled", "big", "packed"):
        safe = folder / name / f"{NAME}.SAFE"
        make_safe(safe)
        if name == "plain":
            continue
        how: dict[str, Any] = {
            "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 16},
            "big": {"BIGTIFF": "YES"},
            "packed": {"compress": "deflate"},
        }[name]
        path = safe / "measurement" / f"{STEM}.tiff"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", driver="GTiff", width=SAMPLES, height=BURSTS * LINES, count=1, dtype="complex_int16", **how
            ) as target:
                target.write(values, 1)
    shutil.make_archive(str(folder / "zip" / NAME), "zip", folder / "plain", f"{NAME}.SAFE")


def damage_measurement(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    if name.endswith(".zip"):
        return m.damaged_bytes(data, rng)
    return m.damaged_tiff(data, rng) if name.endswith(".tiff") else None


def use_measurement(folder: Path) -> Any:
    zipped = folder / f"{NAME}.zip"
    product = open_product(zipped if zipped.is_file() else folder / f"{NAME}.SAFE")
    product.check_measurement("IW1", "VV")
    bursts = [product.read_burst("IW1", "VV", number) for number in range(BURSTS)]
    for values in bursts:
        require(values.shape == (LINES, SAMPLES) and values.dtype == np.complex64, f"pixels {values.shape}")
    part = product.read_burst("IW1", "VV", 1, lines=slice(2, 5), samples=slice(10, 20))
    require(np.array_equal(part, bursts[1][2:5, 10:20], equal_nan=True), "a part differs from the whole")
    return bursts


# -- orbit files -------------------------------------------------------------------------

EPOCH, START_S, STOP_S = np.datetime64("2022-09-18", "ns"), 28_170.0, 28_190.0
EOF = "S1A_OPER_AUX_RESORB_OPOD_20220918T093241_V20220918T053155_20220918T084925.EOF"


def make_orbits(folder: Path) -> None:
    root = ElementTree.fromstring(lzma.decompress((DATA / "azores" / f"{EOF}.xz").read_bytes()))
    vectors = root.find("Data_Block/List_of_OSVs")
    assert vectors is not None
    for vector in vectors.findall("OSV"):
        second = (np.datetime64(vector.findtext("UTC", "")[4:], "ns") - EPOCH) / np.timedelta64(1, "s")
        if not START_S - 120 < second < STOP_S + 120:
            vectors.remove(vector)
    (folder / "eof").mkdir()
    (folder / "eof" / EOF).write_bytes(ElementTree.tostring(root, encoding="utf-8"))


def damage_orbit(name: str, data: bytes, rng: m.Rng) -> bytes | None:
    return m.either(m.damaged_xml, m.damaged_text, m.damaged_bytes)(data, rng) if name.endswith(".EOF") else None


def use_orbit(folder: Path) -> Any:
    orbit = read_orbit_file(folder / EOF, epoch=EPOCH, start_s=START_S, stop_s=STOP_S, platform="S1A")
    arc = orbit.arc(START_S, STOP_S)
    times = np.linspace(START_S, STOP_S, 5)
    position, velocity = arc.position_m(times), arc.velocity_m_s(times)
    radius, speed = np.linalg.norm(position, axis=-1), np.linalg.norm(velocity, axis=-1)
    require(((radius > 7.0e6) & (radius < 7.2e6)).all(), f"radius {radius}")
    require(((speed > 7.4e3) & (speed < 7.8e3)).all(), f"speed {speed}")
    return np.round(position, 2), np.round(velocity, 4)


MANIFESTS = Kind("manifests", 1500, make_products, damage_manifest, use_manifest)
ANNOTATIONS = Kind("annotations", 3000, make_products, damage_annotation, use_annotation)
MEASUREMENTS = Kind("measurements", 2500, make_measurements, damage_measurement, use_measurement)
ORBITS = Kind("orbit files", 1500, make_orbits, damage_orbit, use_orbit)
