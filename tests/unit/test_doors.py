"""What comes from outside: formats that are meant, bounds, and one kind of error for each library."""

from __future__ import annotations

import http.server
import struct
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.errors import RasterioIOError

from insar_mining import doors
from insar_mining.doors import (
    GEOTIFF,
    HEIGHT_FORMATS,
    check_unpacked_size,
    check_vector,
    guarded,
    open_raster,
    opened_zip,
    parse_json,
    parse_xml,
    parse_yaml,
    read_member,
)
from insar_mining.errors import DemError, MineError, OptionError, ProductError
from insar_mining.geo.elevation import read_dem
from insar_mining.geo.mines import read_mines
from insar_mining.options.models import PairOptions, RunOptions, read_options, to_yaml
from insar_mining.sentinel1.manifest import parse_manifest

POLYGON = '{"type":"Polygon","coordinates":[[[-8.8,31.7],[-8.7,31.7],[-8.7,31.8],[-8.8,31.7]]]}'


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine that notes every request: its address, and the requests."""
    seen: list[str] = []

    class Noting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Noting)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()


# -- YAML ------------------------------------------------------------------------------


def test_yaml_takes_no_text_for_a_number() -> None:
    text = "a: 12:30\nb: yes\nc: 2021-02-30\nd: 010\ne: 1_000\nf: 0x1F\ng: off\nh: 190:20:30"
    assert all(isinstance(value, str) for value in parse_yaml(text).values())
    assert parse_yaml("[1, -2, 1.5, .5, 1., 1e3, true, null, ~, 'x', -.5e-1]") == [
        *(1, -2, 1.5, 0.5, 1.0, 1000.0, True, None, None, "x", -0.05),
    ]


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "&a [*a]",
        "a: &x\n  b: *x",
        "[" * 40 + "]" * 40,
        "[" * 100_000,
        "a: 1\na: 2",
        "{[1]: 2}",
        "!!python/object/apply:os.system ['true']",
        "!!timestamp x",
        "!!int x",
        "a: !!float yes",
        "a: *b",
        "x" * (doors.YAML_BYTES + 1),
        "\0",
        "a: \x07",
    ],
)
def test_yaml_beyond_its_bounds_is_an_error_of_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


@pytest.mark.parametrize("value", ["true", "yes", "1:30", "[1]", "{a: 1}", "2021-02-30", ".nan", "1e999"])
def test_an_option_that_is_a_number_takes_nothing_else(tmp_path: Path, value: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"max_perp_baseline_m: {value}\n", encoding="utf-8")
    with pytest.raises(OptionError, match="max_perp_baseline_m"):
        read_options(path, PairOptions)


def test_options_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    options = RunOptions(
        start="2021-01-31", end="2023-12-31", mine="a: b #1.geojson", pairs={"exclude": ["2021-02-12"]}
    )
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(options, {"versions": {"python": "3.11"}}), encoding="utf-8")
    assert read_options(path, RunOptions) == options


# -- XML, JSON, zip --------------------------------------------------------------------

ENTITIES = b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><a>&y;</a>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1\2",
        b"<a>",
        ENTITIES,
        ENTITIES.decode().encode("utf-16"),
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x"><a/>',
        b"<?xml version='1.0' encoding='no-such'?><a/>",
        b"<?xml version='1.0' encoding='utf-7'?><a/>",
        b"<a>" + b"<b/>" * doors.XML_TAGS + b"</a>",
        b"<a " + b"".join(b'a%d="" ' % i for i in range(100)) * 20_000 + b"/>",
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_xml_beyond_its_bounds_is_an_error_of_xml(data: bytes) -> None:
    with pytest.raises(ElementTree.ParseError):
        parse_xml(data)


def test_xml_within_its_bounds_is_parsed() -> None:
    assert parse_xml("<?xml version='1.0' encoding='utf-8'?><a b='é'/>".encode()).get("b") == "é"
    assert parse_xml("<a b='é'/>".encode("utf-16")).get("b") == "é"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, b"\xff\xfe", b"\xff", "{'a': 1}"])
def test_json_that_is_none_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_json(text)


def zipped(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def test_a_member_larger_than_its_limit_is_not_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "a", b"\0" * 1000)
    with opened_zip(path) as archive:
        assert read_member(archive, "a", 1000) == b"\0" * 1000
        with pytest.raises(zipfile.BadZipFile, match="999"):
            read_member(archive, "a", 999)


def test_an_archive_out_of_proportion_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "a.geojson", b" " * (doors.TEXT_BYTES + 1))
    with opened_zip(path) as archive, pytest.raises(zipfile.BadZipFile, match="unpacked"):
        check_unpacked_size(archive, ["a.geojson"], path.stat().st_size)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_zip_is_an_error_of_zips(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(zipped(tmp_path / "a.zip", "a", rng.bytes(300) + b"x" * 300).read_bytes())
    for position in rng.integers(0, len(data), 1 + seed % 4):
        data[position] = int(rng.integers(256))
    (tmp_path / "b.zip").write_bytes(data)
    try:
        with opened_zip(tmp_path / "b.zip") as archive:
            contents = [read_member(archive, name) for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        return
    assert all(len(content) <= 600 for content in contents)


# -- rasters ---------------------------------------------------------------------------


def raster(path: Path, **profile: object) -> Path:
    how = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "float32", "crs": "EPSG:32629"} | profile
    with rasterio.open(path, "w", transform=rasterio.Affine(20, 0, 5e5, 0, -20, 3.5e6), **how) as target:
        target.write(np.ones((1, int(how["height"]), int(how["width"])), str(how["dtype"])))  # type: ignore[call-overload]
    return path


def virtual(path: Path, source: str, relative: int = 0) -> Path:
    path.write_text(
        '<VRTDataset rasterXSize="16" rasterYSize="16"><SRS>EPSG:32629</SRS>'
        "<GeoTransform>554000,20,0,3484000,0,-20</GeoTransform>"
        '<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def test_a_description_of_another_source_is_no_raster(tmp_path: Path, trap: tuple[str, list[str]]) -> None:
    url, seen = trap
    for name in ("a.tif", "a.vrt"):
        path = virtual(tmp_path / name, f"/vsicurl/{url}/c.tif")
        for formats in (GEOTIFF, HEIGHT_FORMATS):
            with pytest.raises(RasterioIOError):
                open_raster(path, formats)
    secret = virtual(tmp_path / "secret.tif", f"/vsicurl/{url}/c.tif")
    with pytest.raises(RasterioIOError):
        open_raster(virtual(tmp_path / "b.vrt", str(secret)), HEIGHT_FORMATS)
    assert seen == []


def test_a_mosaic_of_plain_files_is_a_raster_where_one_is_meant(tmp_path: Path) -> None:
    raster(tmp_path / "tile.tif")
    path = virtual(tmp_path / "dem.vrt", "tile.tif", relative=1)
    with open_raster(path, HEIGHT_FORMATS) as source:
        assert source.read(1).sum() == 256
    with pytest.raises(RasterioIOError):
        open_raster(path, GEOTIFF)


def test_files_beside_a_raster_lead_nowhere(tmp_path: Path, trap: tuple[str, list[str]]) -> None:
    url, seen = trap
    path = raster(tmp_path / "a.tif")
    virtual(tmp_path / "a.tif.ovr", f"/vsicurl/{url}/c.tif")
    with pytest.raises(RasterioIOError, match="ovr"):
        open_raster(path, GEOTIFF)
    (tmp_path / "a.tif.ovr").unlink()
    (tmp_path / "a.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
        f"/vsicurl/{url}/o.tif</MDI></Metadata></PAMDataset>"
    )
    with pytest.raises(RasterioIOError, match="aux"):
        open_raster(path, GEOTIFF)
    assert seen == []


def test_a_block_that_memory_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", width=4096, height=16, compress="deflate")
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHII", 278, 3, 1, 16)[:8])  # rows of a strip
    (height,) = (data.index(struct.pack("<HHI", 257, 3, 1)),)
    data[height + 8 : height + 12] = struct.pack("<I", 65_000)
    data[at + 8 : at + 12] = struct.pack("<I", 65_000)
    path.write_bytes(data)
    with pytest.raises(RasterioIOError):
        open_raster(path, GEOTIFF).read(1)


def test_what_is_no_file_is_no_raster(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none.tif", Path("/vsicurl/http://127.0.0.1:9/a.tif")):
        with pytest.raises(RasterioIOError):
            open_raster(name, GEOTIFF)


# -- vectors ---------------------------------------------------------------------------


def test_a_vector_that_describes_other_sources_is_refused(tmp_path: Path, trap: tuple[str, list[str]]) -> None:
    url, seen = trap
    (tmp_path / "secret.geojson").write_text(POLYGON)
    source = (
        "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    service = f"<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>"
    places = (f"/vsicurl/{url}/a.geojson", str(tmp_path / "secret.geojson"))
    contents = [*(source.format(place) for place in places), service]
    contents += [f"<!-- x --><kml>{content}</kml>" for content in contents]
    contents += [f'{{"type": "FeatureCollection", "x": "{content}", "features": []}}' for content in contents[:3]]
    for content in contents:
        for suffix in (".geojson", ".json", ".kml", ".gml", ".gpkg", ".shp", ".fgb", ".tab", ".odd", ""):
            path = tmp_path / f"mine{suffix}"
            path.write_text(content)
            with pytest.raises(MineError):
                read_mines(path)
    assert seen == []


def test_a_name_of_a_service_is_a_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WFS:http:mine.geojson", "mine é [1].geojson"):
        (tmp_path / name).write_text(POLYGON)
        (mine,) = read_mines(name)
        assert mine.area_m2() > 0


@pytest.mark.parametrize("start", ["\ufeff", "\n \t", ""])
def test_text_before_a_geojson_does_no_harm(tmp_path: Path, start: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(start + POLYGON, encoding="utf-8")
    check_vector(path)


def test_attributes_that_are_lists_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(f'{{"type": "Feature", "properties": {{"id": [1, 2]}}, "geometry": {POLYGON}}}')
    (mine,) = read_mines(path)
    assert mine.id == "[1, 2]"
    assert mine.properties["id"] == [1, 2]


def test_a_guard_names_the_file_and_hides_no_interrupt() -> None:
    def fail(fault: BaseException) -> None:
        with guarded(MineError, "a.shp", "Export it again."):
            raise fault

    with pytest.raises(MineError, match=r"a\.shp: cannot be read \(no such thing\)"):
        fail(LookupError("no such thing"))
    with pytest.raises(OptionError):
        fail(OptionError("as it is"))
    with pytest.raises(MemoryError):
        fail(MemoryError())
    interrupt = SystemError("returned a result with an exception set")
    interrupt.__cause__ = KeyboardInterrupt()
    with pytest.raises(SystemError):
        fail(interrupt)


def test_a_footprint_that_is_no_number_is_a_fault_of_the_product() -> None:
    corners = "31.7,-8.8 31.7,nan 31.8,inf 31.8,-8.8"
    xml = (
        "<XFDU><platform><familyName>SENTINEL-1</familyName><number>A</number></platform><acquisitionPeriod>"
        "<startTime>2023-09-04T06:37:30</startTime><stopTime>2023-09-04T06:37:57</stopTime></acquisitionPeriod>"
        f"<footPrint><coordinates>{corners}</coordinates></footPrint></XFDU>"
    )
    with pytest.raises(ProductError, match=r"manifest\.safe"):
        parse_manifest(xml.encode(), source="manifest.safe")


def test_a_geotransform_that_is_no_number_is_a_fault_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "dem.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=1, dtype="float32", crs="EPSG:32629",
        transform=rasterio.Affine(20, 0, float("nan"), 0, -20, 3.5e6),
    ) as target:  # fmt: skip
        target.write(np.ones((1, 4, 4), np.float32))
    with pytest.raises(DemError):
        read_dem(path, (-8.8, 31.7, -8.7, 31.8))
