"""Simulated products as the archive would serve them: catalogue records, bursts of two slices, orbits, elevation."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import lzma
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from shapely.geometry.base import BaseGeometry

from insar_mining.download.elevation import GLO30
from insar_mining.download.orbits import BucketSource
from insar_mining.download.session import EarthdataSession
from insar_mining.download.transfer import Limits
from insar_mining.pipeline.acquisition import Network
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.orbit import Orbit
from insar_mining.sentinel1.product import Product, open_product
from insar_mining.simulate import (
    Acquisition,
    Settings,
    SimulatedStack,
    Template,
    ZoneMap,
    flat,
    morocco_template,
    simulate_stack,
)
from insar_mining.simulate.annotation_xml import Cut, cut_annotation
from tests.unit.conftest import DATA, Server, ToLoopback
from tests.unit.sentinel1.conftest import write_plain_tiff, zipped

HOST = "https://sentinel1-burst.asf.alaska.edu"
HEIGHT_M = 300.0
EPSG = 32629
IDLE, WORKED = 0.97, 0.1


def simulated(
    out: Path,
    days: list[int],
    worked: BaseGeometry,
    worked_steps: set[int],
    area: BaseGeometry,
    template: Template | None = None,
) -> SimulatedStack:
    """Products of the seam of two bursts; in some steps between dates a piece of the ground is worked."""
    ground = ZoneMap({"worked": worked}, EPSG)
    quiet, busy = ({"worked": IDLE}, {"worked": WORKED})
    rng = np.random.default_rng(5)
    return simulate_stack(
        out,
        [Acquisition(template or morocco_template(), day, perpendicular_m=float(rng.uniform(-60, 60))) for day in days],
        area=area,
        terrain=flat(EPSG, HEIGHT_M),
        coherence=lambda step: ground.values(busy if step in worked_steps else quiet, background=IDLE),
        rng=rng,
        truth_pairs=(),
        settings=Settings(scatterers_per_cell=4.0, snr_db=20.0, margin_m=150.0),
    )  # fmt: skip


@dataclasses.dataclass
class Mirror:
    """What the archive holds: files by their path, records, and by date (``20230904``) the paths of its files."""

    files: dict[str, tuple[bytes, str]] = dataclasses.field(default_factory=dict)
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    pixels: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    metadata: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    orbits: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, path: str, content: bytes, content_type: str = "application/octet-stream") -> str:
        self.files[path] = (content, content_type)
        return path

    def serve(self, server: Server) -> None:
        """Put everything on a server."""
        server.records = list(self.records)
        for path, (content, content_type) in self.files.items():
            server.add(path, content, content_type=content_type)


def mirrored(products: list[Path], scratch: Path) -> Mirror:
    """Hold products burst by burst, every burst as of a slice of its own."""
    template = json.loads(lzma.decompress((DATA / "asf" / "burst_166.json.xz").read_bytes()))["items"][0]
    mirror = Mirror()
    keys = []
    for path in products:
        product = open_product(path)
        swath = product.sub_swath("IW1", "VV")
        date = _compact(swath.utc(swath.bursts[0].azimuth_time_s))[:8]
        for burst in range(len(swath.bursts)):
            record, tiff, xml = _burst(mirror, product, swath, burst, template, scratch)
            mirror.records.append(record)
            mirror.pixels.setdefault(date, []).append(tiff)
            mirror.metadata.setdefault(date, []).append(xml)
        name, content = _orbit_file(swath)
        mirror.orbits[date] = mirror.add(f"/bucket/AUX_POEORB/{name}", content)
        keys.append(f"<Contents><Key>AUX_POEORB/{name}</Key></Contents>")
    listing = f'<L xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{"".join(keys)}<IsTruncated>false</IsTruncated></L>'
    mirror.add("/bucket/", listing.encode())
    _hold_elevation(mirror)
    return mirror


def mirrored_scenes(products: list[Path], scratch: Path) -> Mirror:
    """Hold products as whole scenes, zipped."""
    template = json.loads(lzma.decompress((DATA / "asf" / "pair_scene_reference.json.xz").read_bytes()))["items"][0]
    mirror = Mirror()
    for path in products:
        product = open_product(path)
        swath = product.sub_swath("IW1", "VV")
        content = zipped(path, scratch / "scene.zip").read_bytes()
        place = mirror.add(f"/SLC/SA/{product.name}.zip", content, "application/zip")
        mirror.pixels.setdefault(_compact(product.start)[:8], []).append(place)
        record = copy.deepcopy(template)
        umm = record["umm"]
        umm["GranuleUR"] = record["meta"]["native-id"] = f"{product.name}-SLC"
        umm["OrbitCalculatedSpatialDomains"] = [{"OrbitNumber": product.absolute_orbit}]
        begin, end = (f"{str(time)[:26]}Z" for time in (product.start, product.stop))
        umm["TemporalExtent"]["RangeDateTime"] = {"BeginningDateTime": begin, "EndingDateTime": end}
        umm["RelatedUrls"] = [{"URL": f"https://datapool.asf.alaska.edu{place}", "Type": "GET DATA"}]
        said = {
            "ASCENDING_DESCENDING": product.direction.upper(), "PATH_NUMBER": "52", "POLARIZATION": "VV",
            "BYTES": str(len(content)), "MD5SUM": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            **_state_vectors(swath, (swath.bursts[0].azimuth_time_s + swath.bursts[-1].azimuth_time_s) / 2),
        }  # fmt: skip
        for attribute in umm["AdditionalAttributes"]:
            attribute["Values"] = [said.get(attribute["Name"], attribute["Values"][0])]
        points = [{"Longitude": lon, "Latitude": lat} for lon, lat in product.footprint.exterior.coords]
        umm["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"][0]["Boundary"]["Points"] = points
        mirror.records.append(record)
    _hold_elevation(mirror)
    return mirror


def network(server: Server) -> Network:
    """The server as every host that a run talks to."""

    def session() -> EarthdataSession:
        made = EarthdataSession()
        made.mount("https://", ToLoopback(server.url))
        return made

    dem = dataclasses.replace(
        GLO30, list_url=f"{server.url}/list.txt", tile_url=f"{server.url}/{{tile}}/{{tile}}.tif", least_tiles=1
    )
    return Network(
        login=lambda connections: session(),
        public=session,
        catalogue=session(),
        orbit_sources=(BucketSource(f"{server.url}/bucket"),),
        dem_sources={"glo30": dem},
        limits=Limits(attempts=3, first_wait_s=0.001, longest_wait_s=0.01, read_s=5.0),
    )


def _burst(
    mirror: Mirror, product: Product, swath: SubSwath, index: int, template: dict[str, Any], scratch: Path
) -> tuple[dict[str, Any], str, str]:
    """Hold one burst as of a slice of its own; return its record, and where its pixels and metadata are."""
    (annotation,) = (product.path / "annotation").glob("*.xml")
    own = cut_annotation(annotation.read_bytes(), Cut(index, index + 1, 0, swath.samples_per_burst))
    start = swath.bursts[index].azimuth_time_s
    stop = start + (swath.lines_per_burst - 1) * swath.azimuth_time_interval_s
    first, last = (_compact(swath.utc(time)) for time in (start, stop))
    scene = re.sub(r"\d{8}T\d{6}_\d{8}T\d{6}(.*)_....$", rf"{first}_{last}\1_000{index}", product.name)
    name = f"S1_{110435 + index}_IW1_{first}_VV_000{index}-BURST"
    write_plain_tiff(scratch / "burst.tiff", product.read_burst("IW1", "VV", index))
    tiff, xml = (f"/{scene}/IW1/VV/{index}.{suffix}" for suffix in ("tiff", "xml"))
    mirror.add(tiff, (scratch / "burst.tiff").read_bytes(), "image/tiff")
    mirror.add(xml, _metadata(own, (product.path / "manifest.safe").read_bytes()), "text/xml")
    record = copy.deepcopy(template)
    umm = record["umm"]
    begin, end = (f"{swath.utc(time)}"[:26] for time in (start, stop))
    umm["TemporalExtent"]["RangeDateTime"] = {"BeginningDateTime": f"{begin}Z", "EndingDateTime": f"{end}Z"}
    umm["OrbitCalculatedSpatialDomains"] = [{"OrbitNumber": swath.absolute_orbit}]
    umm["GranuleUR"] = record["meta"]["native-id"] = name
    umm["InputGranules"] = [f"{scene}-SLC"]
    for related, path in zip(umm["RelatedUrls"], (tiff, xml), strict=False):
        related["URL"] = HOST + path
    size = swath.lines_per_burst * swath.samples_per_burst * 4
    said = {
        "ASCENDING_DESCENDING": swath.orbit_direction.upper(), "AZIMUTH_TIME": begin,
        "PATH_NUMBER": str(product.relative_orbit),
        "BURST_ID_FULL": f"{product.relative_orbit:03d}_{110435 + index}_IW1",
        "SUBSWATH_NAME": "IW1", "BYTE_LENGTH": str(size),
        **_state_vectors(swath, (start + stop) / 2),
    }  # fmt: skip
    for attribute in umm["AdditionalAttributes"]:
        attribute["Values"] = [said.get(attribute["Name"], attribute["Values"][0])]
    grid = parse_annotation(own, source=name).geolocation
    corners = [(0, 0), (0, -1), (-1, -1), (-1, 0), (0, 0)]
    points = [{"Longitude": float(grid.longitude_deg[c]), "Latitude": float(grid.latitude_deg[c])} for c in corners]
    umm["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"][0]["Boundary"]["Points"] = points
    return record, tiff, xml


def _compact(time: np.datetime64) -> str:
    return re.sub(r"[-:]", "", str(time.astype("datetime64[s]")))


def _metadata(annotation: bytes, manifest: bytes) -> bytes:
    root = ElementTree.Element("burst")
    wrapper = ElementTree.SubElement(ElementTree.SubElement(root, "metadata"), "product")
    ElementTree.SubElement(wrapper, "swath").text = "IW1"
    ElementTree.SubElement(wrapper, "polarisation").text = "VV"
    ElementTree.SubElement(wrapper, "content").extend(ElementTree.fromstring(annotation))
    ElementTree.SubElement(root, "manifest").append(ElementTree.fromstring(manifest))
    return ElementTree.tostring(root)


def _state_vectors(swath: SubSwath, middle_s: float) -> dict[str, str]:
    after = int(np.searchsorted(swath.orbit.time_s, middle_s))
    said = {}
    for which, i in (("PRE", after - 1), ("POST", after)):
        time = str(swath.utc(swath.orbit.time_s[i]))[:26]
        for what, values in (("POSITION", swath.orbit.position_m[i]), ("VELOCITY", swath.orbit.velocity_m_s[i])):
            said[f"SV_{what}_{which}"] = ",".join([*(f"{v:.6f}" for v in values), time])
    return said


def _orbit_file(swath: SubSwath) -> tuple[str, bytes]:
    """The annotation's own vectors, and one more before and behind where its arc still holds."""
    orbit: Orbit = swath.orbit
    vectors = "".join(
        f"<OSV><UTC>UTC={str(swath.utc(t))[:26]}</UTC>"
        + "".join(f"<{axis}>{value!r}</{axis}>" for axis, value in zip(("X", "Y", "Z"), map(float, p), strict=True))
        + "".join(f"<V{axis}>{value!r}</V{axis}>" for axis, value in zip("XYZ", map(float, v), strict=True))
        + "</OSV>"
        for t, p, v in zip(orbit.time_s, orbit.position_m, orbit.velocity_m_s, strict=True)
    )
    first, last = (_compact(swath.utc(t)) for t in (orbit.time_s[0], orbit.time_s[-1]))
    name = f"S1A_OPER_AUX_POEORB_OPOD_{last}_V{first}_{last}.EOF"
    header = (
        "<Earth_Explorer_Header><Fixed_Header><Mission>Sentinel-1A</Mission></Fixed_Header></Earth_Explorer_Header>"
    )
    body = f"<Data_Block><List_of_OSVs>{vectors}</List_of_OSVs></Data_Block>"
    return name, f"<Earth_Explorer_File>{header}{body}</Earth_Explorer_File>".encode()


def _hold_elevation(mirror: Mirror) -> None:
    """One tile of a plain, with posts a minute of arc apart."""
    name = GLO30.tile(-9, 31)
    transform = rasterio.transform.from_origin(-9 - 1 / 120, 32 + 1 / 120, 1 / 60, 1 / 60)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=60, height=60, count=1, dtype="float32", crs="EPSG:4326", transform=transform
        ) as file:
            file.write(np.full((60, 60), HEIGHT_M, np.float32), 1)
        mirror.add(f"/{name}/{name}.tif", bytes(memory.read()))
    mirror.add("/list.txt", f"{name}\n".encode(), "text/plain")
