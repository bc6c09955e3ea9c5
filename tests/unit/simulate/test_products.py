"""Simulated products as files: ESA's schema, the reader, GDAL, the manifest, names and sizes."""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import xmlschema
from shapely.geometry import box

from insar_mining.errors import CoverageError, OptionError, OutputError, ProductError, SaturationWarning
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import (
    Acquisition,
    Settings,
    SimulatedPair,
    flat,
    load_template,
    morocco_template,
    simulate_pair,
    simulate_stack,
    uniform,
)
from insar_mining.simulate.annotation_xml import Cut, cut_annotation, later_product
from insar_mining.simulate.geometry import to_ecef, zero_doppler
from insar_mining.simulate.pixels import sample_of
from insar_mining.simulate.truth import path_of

SUPPORT = Path(__file__).parents[2] / "data" / "morocco" / "support"
TINY = (-8.338, 31.711, -8.334, 31.714)
FEW = Settings(scatterers_per_cell=1.0, margin_m=50.0)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> xmlschema.XMLSchema:
    folder = tmp_path_factory.mktemp("schema")
    for packed in SUPPORT.glob("*.xsd.xz"):
        (folder / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
    return xmlschema.XMLSchema(folder / "s1-level-1-product.xsd")


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_annotations_are_valid_against_esas_schema(flat_pair: SimulatedPair, schema: xmlschema.XMLSchema) -> None:
    for safe in (flat_pair.reference, flat_pair.secondary):
        schema.validate(only(safe, "annotation/*.xml"))


def test_an_annotation_with_another_orbit_start_and_cut_is_valid(
    tmp_path: Path, schema: xmlschema.XMLSchema, annotation_of: Callable[[Path], SubSwath]
) -> None:
    acquisition = Acquisition(morocco_template(), days=-36, start_offset_s=0.0031, perpendicular_m=120.0)
    stack = simulate_stack(
        tmp_path, [acquisition], area=TINY, terrain=flat(32629), coherence=lambda i: uniform(1.0),
        rng=np.random.default_rng(1), settings=FEW,
    )  # fmt: skip
    schema.validate(only(stack.products[0], "annotation/*.xml"))
    assert stack.products[0].name.startswith("S1A_IW_SLC__1SSV_20230730T0637")
    swath = annotation_of(stack.products[0])
    assert swath.absolute_orbit == 50174 - 3 * 175
    real = parse_annotation(morocco_template().annotation("IW1", "VV"), source="real")
    (index,) = (i for i, b in enumerate(real.bursts) if b.burst_id == swath.bursts[0].burst_id)
    assert swath.bursts[0].azimuth_time_s - real.bursts[index].azimuth_time_s == pytest.approx(0.0031, abs=1e-9)
    np.testing.assert_array_equal(swath.orbit.time_s, real.orbit.time_s)
    assert 100 < np.linalg.norm(swath.orbit.position_m - real.orbit.position_m, axis=1).min() < 140


def test_the_reader_returns_the_pixels_that_gdal_reads(flat_pair: SimulatedPair) -> None:
    product = open_product(flat_pair.reference)
    assert product.swaths == ("IW1",)
    assert product.polarisations == ("VV",)
    assert product.relative_orbit == 52
    assert product.direction == "descending"
    assert product.ipf_version == "003.61"
    swath = product.sub_swath("IW1", "VV")
    tiff = only(flat_pair.reference, "measurement/*.tiff")
    with rasterio.open(tiff) as source:
        assert source.dtypes == ("complex_int16",)
        assert source.shape == (len(swath.bursts) * 1507, swath.samples_per_burst)
        assert source.gcps[1].to_epsg() == 4326
        pixels = source.read(1)
    for index in range(len(swath.bursts)):
        burst = product.read_burst("IW1", "VV", index)
        np.testing.assert_array_equal(burst, pixels[index * 1507 : (index + 1) * 1507])
    offset = int(ElementTree.parse(only(flat_pair.reference, "annotation/*.xml")).findtext(".//byteOffset", "-1"))
    first = np.frombuffer(tiff.read_bytes(), dtype="<i2", offset=offset, count=2 * swath.samples_per_burst)
    np.testing.assert_array_equal(first[0::2] + 1j * first[1::2], pixels[0])
    assert tiff.stat().st_size == offset + pixels.size * 4, "nothing stands behind the last line"


def test_the_area_lies_inside_the_footprint(flat_pair: SimulatedPair) -> None:
    product = open_product(flat_pair.reference)
    assert product.footprint.contains(box(-8.346, 31.700, -8.326, 31.725))
    # the cut keeps the area with its margin in range, and one burst (about 20 km) along the track
    assert product.footprint.area < 0.07 * 0.2


def test_the_manifest_lists_what_is_there_with_sizes_and_checksums(flat_pair: SimulatedPair) -> None:
    root = ElementTree.parse(flat_pair.reference / "manifest.safe").getroot()
    listed = {}
    for stream in root.iterfind("dataObjectSection/dataObject/byteStream"):
        path = flat_pair.reference / stream.find("fileLocation").get("href")  # type: ignore[union-attr]
        listed[path.resolve()] = (int(stream.get("size", "0")), stream.findtext("checksum"))
    files = {p.resolve() for p in flat_pair.reference.rglob("*") if p.is_file() and p.name != "manifest.safe"}
    assert set(listed) == files
    for path, (size, checksum) in listed.items():
        content = path.read_bytes()
        assert (len(content), hashlib.md5(content).hexdigest()) == (size, checksum)
    pointers = {p.get("dataObjectID") for p in root.iter("dataObjectPointer")}
    assert pointers == {o.get("ID") for o in root.iterfind("dataObjectSection/dataObject")}
    assert "simulated" in (flat_pair.reference / "manifest.safe").read_text(encoding="utf-8").lower()


def test_names_say_date_orbit_and_sub_swath(flat_pair: SimulatedPair) -> None:
    safe = re.compile(r"S1A_IW_SLC__1SSV_20230904T0637\d\d_20230904T0637\d\d_050174_0609E3_[0-9A-F]{4}\.SAFE")
    assert safe.fullmatch(flat_pair.reference.name)
    assert "_20230916T0637" in flat_pair.secondary.name
    assert "_050349_" in flat_pair.secondary.name
    stem = only(flat_pair.secondary, "measurement/*.tiff").stem
    assert re.fullmatch(r"s1a-iw1-slc-vv-20230916t0637\d\d-20230916t0637\d\d-050349-[0-9a-f]{6}-\d{3}", stem)
    assert only(flat_pair.secondary, "annotation/*.xml").stem == stem


def test_a_cut_moves_the_first_range_and_nothing_on_the_ground() -> None:
    xml = morocco_template().annotation("IW1", "VV")
    real = parse_annotation(xml, source="real")
    cut = parse_annotation(cut_annotation(xml, Cut(2, 4, 5000, 7000)), source="cut")
    assert cut.samples_per_burst == 2000
    assert [b.burst_id for b in cut.bursts] == [b.burst_id for b in real.bursts[2:4]]
    np.testing.assert_array_equal(cut.bursts[0].valid_lines.indices(1507), real.bursts[2].valid_lines.indices(1507))
    assert float(cut.slant_range_time_of(0)) == pytest.approx(float(real.slant_range_time_of(5000)), abs=1e-15)
    grid = cut.geolocation
    time, slant = zero_doppler(path_of(real), to_ecef(grid.longitude_deg, grid.latitude_deg, grid.height_m))
    np.testing.assert_allclose(sample_of(real, slant) - 5000, grid.sample, atol=1e-3)
    np.testing.assert_allclose(time, grid.azimuth_time_s, atol=1e-6)


def test_valid_samples_are_clipped_to_the_cut() -> None:
    xml = morocco_template().annotation("IW1", "VV")
    real = parse_annotation(xml, source="real").bursts[2]
    near = parse_annotation(cut_annotation(xml, Cut(2, 3, 0, 1000)), source="near").bursts[0]
    far = parse_annotation(cut_annotation(xml, Cut(2, 3, 20_000, 23_000)), source="far").bursts[0]
    assert near.valid_samples == slice(real.valid_samples.start, 1000)
    assert far.valid_samples == slice(0, real.valid_samples.stop - 20_000)
    beyond = parse_annotation(cut_annotation(xml, Cut(2, 3, 22_500, 23_000)), source="beyond").bursts[0]
    assert beyond.valid_lines == slice(0, 0)


def test_days_that_are_no_repeat_are_refused() -> None:
    with pytest.raises(ProductError, match="multiples of 12"):
        later_product(morocco_template().annotation("IW1", "VV"), days=13)


def pair(out: Path, seed: int, **changes: object) -> SimulatedPair:
    settings = changes.pop("settings", FEW)
    return simulate_pair(
        out, reference=morocco_template(), area=changes.pop("area", TINY), terrain=flat(32629),  # type: ignore[arg-type]
        coherence=changes.pop("coherence", 0.5), rng=np.random.default_rng(seed), settings=settings, **changes,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first, again, other = (pair(tmp_path / str(i), seed) for i, seed in enumerate((4, 4, 5)))
    for a, b in zip(sorted(first.reference.rglob("*")), sorted(again.reference.rglob("*")), strict=True):
        assert a.is_dir() or a.read_bytes() == b.read_bytes()
    assert first.reference.name == again.reference.name
    pixels = [only(p.reference, "measurement/*.tiff").read_bytes() for p in (first, other)]
    assert pixels[0] != pixels[1]


def test_a_zip_holds_the_same_product(tmp_path: Path) -> None:
    folder = pair(tmp_path / "folder", 4)
    zipped = pair(tmp_path / "zip", 4, settings=Settings(scatterers_per_cell=1.0, margin_m=50.0, zipped=True))
    assert zipped.reference.suffix == ".zip"
    products = [open_product(p.reference) for p in (folder, zipped)]
    assert products[0].name == products[1].name
    np.testing.assert_array_equal(*(p.read_burst("IW1", "VV", 0) for p in products))
    names = {p.name for p in (tmp_path / "zip" / "scenes").iterdir()}
    assert names == {zipped.reference.name, zipped.secondary.name}, "no partial file is left"


def test_too_bright_a_scene_saturates_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(SaturationWarning, match="clipped"):
        bright = pair(tmp_path, 1, backscatter_db=60.0)
    pixels = open_product(bright.reference).read_burst("IW1", "VV", 0)
    assert pixels.real.max() == 32767
    assert pixels.real.min() == -32768


def test_a_template_folder_gives_the_secondary_its_own_timing(
    tmp_path: Path, morocco_safe: Callable[[str], Path], annotation_of: Callable[[Path], SubSwath]
) -> None:
    templates = [load_template(morocco_safe(date)) for date in ("20230904", "20230916")]
    both = simulate_pair(
        tmp_path, reference=templates[0], secondary=templates[1], swaths=["IW1", "IW2"],
        area=(-8.7735, 31.7805, -8.7695, 31.783),
        terrain=flat(32629), coherence=0.5, rng=np.random.default_rng(1), settings=FEW,
    )  # fmt: skip
    product = open_product(both.secondary)
    assert product.swaths == ("IW1", "IW2")
    real = parse_annotation(templates[1].annotation("IW2", "VV"), source="real")
    times = [b.azimuth_time_s for b in real.bursts]
    assert any(product.sub_swath("IW2", "VV").bursts[0].azimuth_time_s == pytest.approx(t, abs=2e-6) for t in times)
    for swath in product.swaths:
        assert np.abs(product.read_burst(swath, "VV", 0)).max() > 100, "both sub-swaths see the ground"


def test_wrong_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(CoverageError, match="no burst of IW1"):
        pair(tmp_path, 1, area=(-10.5, 31.5, -10.49, 31.51))
    with pytest.raises(CoverageError, match="does not pass the area"):
        pair(tmp_path, 1, area=(-8.34, 35.71, -8.33, 35.72))
    with pytest.raises(ProductError, match="IW3"):
        pair(tmp_path, 1, swaths="IW3")
    with pytest.raises(OptionError, match=r"0\.\.1"):
        pair(tmp_path, 1, coherence=1.3)
    with pytest.raises(OptionError, match="sigma_dn"):
        pair(tmp_path, 1, settings=Settings(sigma_dn=0.0))
    with pytest.raises(ProductError, match=r"manifest\.safe"):
        load_template(tmp_path)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        pair(tmp_path / "file", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing half-made is left"
