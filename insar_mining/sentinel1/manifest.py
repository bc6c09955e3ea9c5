"""What the manifest of a SAFE product says about the whole product."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.ops import unary_union

from insar_mining.doors import guarded, parse_xml
from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc

# relative orbits of the repeat cycle
TRACKS = 175


@dataclass(frozen=True, eq=False)
class Manifest:
    """Hold facts of ``manifest.safe``; None (or empty) if it does not state them."""

    platform: str | None = None
    mode: str | None = None
    product_type: str | None = None
    start: np.datetime64 | None = None
    stop: np.datetime64 | None = None
    absolute_orbit: int | None = None
    relative_orbit: int | None = None
    direction: str | None = None
    ipf_version: str | None = None
    footprint: Polygon | MultiPolygon | None = None
    files: tuple[str, ...] = ()


def parse_manifest(xml: bytes | ElementTree.Element, *, source: str) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    xml : bytes or Element
        The file's content, or the ``XFDU`` element itself.
    source : str
        The file's name, for messages.

    Raises
    ------
    ProductError
        Not well-formed XML, not a Sentinel-1 manifest, or a value cannot be read.
    """
    root = xml
    if isinstance(root, bytes):
        try:
            root = parse_xml(root)
        except ElementTree.ParseError as error:
            raise ProductError(f"{source}: not well-formed XML ({error}). Fetch the product again.") from error
    if not root.tag.endswith("XFDU"):
        raise ProductError(f"{source}: the root element is <{root.tag}>, expected the XFDU of a SAFE manifest")
    with guarded(ProductError, source, "Fetch the product again."):
        return _manifest(root)


def _manifest(root: ElementTree.Element) -> Manifest:
    def text(path: str) -> str | None:
        found = root.findtext(f".//{path}")
        return found.strip() if found and found.strip() else None

    def whole(path: str) -> int | None:
        found = text(path)
        return None if found is None else int(found)

    family, number = text("{*}platform/{*}familyName"), text("{*}platform/{*}number")
    start, stop = text("{*}acquisitionPeriod/{*}startTime"), text("{*}acquisitionPeriod/{*}stopTime")
    direction = text("{*}orbitProperties/{*}pass")
    coordinates = text("{*}footPrint/{*}coordinates")
    versions = [
        s.get("version", "") for s in root.iterfind(".//{*}software") if s.get("name", "").startswith("Sentinel-1 IPF")
    ]
    found = Manifest(
        platform=f"S1{number}" if number and family and family.upper().startswith("SENTINEL-1") else None,
        mode=text("{*}instrumentMode/{*}mode"),
        product_type=text("{*}productType"),
        start=None if start is None else parse_utc(start),
        stop=None if stop is None else parse_utc(stop),
        absolute_orbit=whole("{*}orbitReference/{*}orbitNumber"),
        relative_orbit=whole("{*}orbitReference/{*}relativeOrbitNumber"),
        direction=None if direction is None else direction.lower(),
        ipf_version=versions[0] if versions else None,
        footprint=None if coordinates is None else footprint_polygon(_lon_lat(coordinates)),
        files=tuple(
            location.get("href", "").removeprefix("./")
            for location in root.iterfind("dataObjectSection/dataObject/byteStream/fileLocation")
        ),
    )
    _check_possible(found)
    return found


def _check_possible(manifest: Manifest) -> None:
    """Refuse values that no product has.

    Raises
    ------
    ValueError
    """
    if manifest.direction not in (None, "ascending", "descending"):
        raise ValueError(f"its pass is {manifest.direction!r}")
    if manifest.relative_orbit is not None and not 1 <= manifest.relative_orbit <= TRACKS:
        raise ValueError(f"its relative orbit is {manifest.relative_orbit} (limits 1 and {TRACKS})")
    if manifest.absolute_orbit is not None and manifest.absolute_orbit < 1:
        raise ValueError(f"its absolute orbit is {manifest.absolute_orbit}")
    if manifest.footprint is not None and not (manifest.footprint.is_valid and manifest.footprint.area > 0):
        raise ValueError("its footprint crosses itself, or has no area")
    if manifest.start is not None and manifest.stop is not None and not manifest.start < manifest.stop:
        raise ValueError(f"it stops at {manifest.stop}, before its start at {manifest.start}")


def _lon_lat(coordinates: str) -> list[tuple[float, float]]:
    """Turn ``lat,lon lat,lon ...`` into (lon, lat) pairs."""
    pairs = [pair.split(",") for pair in coordinates.split()]
    return [(float(lon), float(lat)) for lat, lon in pairs]


def footprint_polygon(corners: list[tuple[float, float]]) -> Polygon | MultiPolygon:
    """Return the polygon of (lon, lat) corners, cut in two where it crosses the antimeridian."""
    longitudes = [lon for lon, _ in corners]
    if not all(abs(lon) <= 360 and abs(lat) <= 90 for lon, lat in corners):
        raise ValueError(f"a corner of its footprint is no place on Earth ({corners[0]} ...)")
    if max(longitudes) - min(longitudes) <= 180:
        return Polygon(corners)
    east = Polygon([(lon % 360, lat) for lon, lat in corners])
    west = Polygon([(lon % 360 - 360, lat) for lon, lat in corners])
    world = box(-180, -90, 180, 90)
    return unary_union([east.intersection(world), west.intersection(world)])
