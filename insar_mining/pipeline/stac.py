"""A result as a STAC collection: its maps as items, its other files as assets."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS, Transformer
from shapely.geometry import box, mapping

from insar_mining import __version__
from insar_mining.coherence.plan.product import FILE, SHA256_MULTIHASH
from insar_mining.doors import MIB, parse_json
from insar_mining.files import sha256, sha256_of_folder, write_text
from insar_mining.geo.grid import RasterGrid
from insar_mining.geo.mines import Mine

STAC_VERSION = "1.0.0"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
COLLECTION = "collection.json"
ID_PREFIX = "insar-mining-"
# a collection of ten thousand maps has some 4 MB
RECORD_BYTES = 64 * MIB
STORE_CHECKSUM = "insar_mining:sha256"

MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".csv": "text/csv",
    ".html": "text/html",
    ".yaml": "application/yaml",
    ".zarr": "application/vnd+zarr",
    ".qml": "application/xml",
}
DATA_SUFFIXES = (".tif", ".csv", ".zarr")


def write_collection(folder: Path, mine: Mine, coh: xr.DataArray, files: Sequence[Path], items: Sequence[Path]) -> Path:
    """Write the STAC 1.0 collection (https://stacspec.org) of a result.

    Parameters
    ----------
    folder : Path
        The result's folder.
    coh : DataArray
        The cube that was analysed.
    files : sequence of Path
        Files of the result in the folder: they become assets.
    items : sequence of Path
        STAC items below the folder.
    """
    collection = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [FILE],
        "id": f"{ID_PREFIX}{mine.id}",
        "title": f"Mining activity of {mine.name}",
        "description": (
            f"Coherence of {coh.sizes['pair']} Sentinel-1 pairs over {mine.name}, and the mining activity derived "
            f"from it with insar_mining {__version__}. Contains modified Copernicus Sentinel data."
        ),
        "keywords": ["Sentinel-1", "InSAR", "coherence", "mining"],
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [bbox_of(coh)]},
            "temporal": {"interval": [_period(coh, items)]},
        },
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            *(
                {"rel": "item", "href": _href(item, folder), "type": "application/geo+json", **_size_and_checksum(item)}
                for item in items
            ),
        ],
        "assets": {file.name: _asset(file, folder) for file in files},
    }
    return write_text(folder / COLLECTION, json.dumps(collection, indent=2, ensure_ascii=False) + "\n")


def _period(coh: xr.DataArray, items: Sequence[Path]) -> list[str]:
    """Return the first and the last time of acquisition that items state; the days of the cube, where none does."""
    found = [parse_json(item.read_bytes()).get("properties", {}) for item in items]
    starts = [str(one["start_datetime"]) for one in found if "start_datetime" in one]
    stops = [str(one["end_datetime"]) for one in found if "end_datetime" in one]
    return [
        min(starts or [_utc(coh["reference_date"].values.min())], key=_moment),
        max(stops or [_utc(coh["secondary_date"].values.max())], key=_moment),
    ]


def _moment(text: str) -> np.datetime64:
    """Return the time that an item writes."""
    return np.datetime64(text.removesuffix("Z"), "us")


def recorded_files(folder: Path) -> dict[str, str]:
    """Read which files the collection of an earlier result lists.

    Returns
    -------
    dict of str to str
        SHA-256 (64 hexadecimal digits) by name; without the stores, which have none, and empty if there is no
        collection of this package.  Names are as the file has them: anybody may have written it.
    """
    try:
        if not is_own_collection(folder):
            return {}
        collection = parse_json((folder / COLLECTION).read_bytes())
        listed = {str(name): str(asset.get("file:checksum")) for name, asset in collection["assets"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        name: checksum.removeprefix(SHA256_MULTIHASH)
        for name, checksum in listed.items()
        if checksum.startswith(SHA256_MULTIHASH)
    }


def is_own_collection(folder: Path) -> bool:
    """Check whether a folder holds the collection of a result of this package."""
    try:
        return str(parse_json((folder / COLLECTION).read_bytes())["id"]).startswith(ID_PREFIX)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def recorded_checksums(folder: Path) -> dict[Path, str]:
    """Read the checksums that results below a folder, and the items of their maps, record.

    Returns
    -------
    dict of Path to str
        SHA-256 (64 hexadecimal digits) of files and stores, by their path; also of those that are gone. Only what
        lies in the folder of the record counts.
    """
    found: dict[Path, str] = {}
    for record in sorted(folder.rglob("*.json")):
        try:
            if record.stat().st_size > RECORD_BYTES:
                continue
            content = parse_json(record.read_bytes())
            if content["stac_version"] != STAC_VERSION:
                continue
            described = [*content["assets"].values(), *content["links"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        for one in described:
            path, checksum = _recorded(record.parent, one)
            if checksum is not None:
                found[path] = checksum
    return found


def _recorded(folder: Path, asset: object) -> tuple[Path, str | None]:
    """Return the path and the checksum that an asset or a link records; None without one, or outside the folder."""
    if not isinstance(asset, dict):
        return folder, None
    href, checksum = str(asset.get("href")), str(asset.get("file:checksum", ""))
    inside = href.startswith("./") and ".." not in Path(href).parts
    if checksum.startswith(SHA256_MULTIHASH):
        checksum = checksum.removeprefix(SHA256_MULTIHASH)
    else:
        checksum = str(asset.get(STORE_CHECKSUM, ""))
    return folder / href, checksum if inside and re.fullmatch(r"[0-9a-f]{64}", checksum) else None


def write_item(path: Path, coh: xr.DataArray, raster: Path) -> Path:
    """Describe the coherence map of one pair as a STAC item.

    Parameters
    ----------
    coh : DataArray (y, x)
        One pair of a cube.
    raster : Path
        Its GeoTIFF, beside `path`.
    """
    bounds = bbox_of(coh)
    baseline = float(coh["perpendicular_baseline_m"])
    properties: dict[str, Any] = {
        "datetime": None,
        "start_datetime": _utc(coh["reference_date"].values),
        "end_datetime": _utc(coh["secondary_date"].values),
        "insar_mining:reference_date": str(coh["reference_date"].values.astype("datetime64[D]")),
        "insar_mining:secondary_date": str(coh["secondary_date"].values.astype("datetime64[D]")),
        "insar_mining:source": str(coh["source"].values),
        **({"insar_mining:perpendicular_baseline_m": baseline} if np.isfinite(baseline) else {}),
        **_projection(coh),
    }
    item = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROJECTION, FILE],
        "id": str(coh["pair"].values),
        "geometry": mapping(box(*bounds)),
        "bbox": bounds,
        "properties": properties,
        "links": [],
        "assets": {"coherence": _asset(raster, raster.parent)},
    }
    return write_text(path, json.dumps(item, indent=2, ensure_ascii=False) + "\n")


def bbox_of(raster: xr.DataArray) -> list[float]:
    """Return (west, south, east, north) of a raster's cells, degrees."""
    a, _, c, _, e, f = (float(v) for v in raster.attrs["transform"][:6])
    left, right = sorted([c, c + a * raster.sizes["x"]])
    bottom, top = sorted([f, f + e * raster.sizes["y"]])
    to_lonlat = Transformer.from_crs(CRS.from_user_input(raster.attrs["crs"]), 4326, always_xy=True)
    return [round(float(b), 7) for b in to_lonlat.transform_bounds(left, bottom, right, top, densify_pts=21)]


def _projection(raster: xr.DataArray) -> dict[str, object]:
    """Return CRS, shape and transform of a raster as STAC's projection extension names them."""
    grid = RasterGrid.of(raster)
    code = grid.crs.to_authority()
    return {
        **({"proj:code": ":".join(code)} if code else {"proj:code": None, "proj:wkt2": grid.crs.to_wkt()}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [float(number) for number in grid.transform[:6]],
    }


def _utc(moment: Any) -> str:
    return f"{np.datetime64(moment, 's')}Z"


def _href(path: Path, folder: Path) -> str:
    return f"./{path.relative_to(folder).as_posix()}"


def _asset(file: Path, folder: Path) -> dict[str, object]:
    roles = ["data"] if file.suffix in DATA_SUFFIXES else ["metadata"]
    asset: dict[str, object] = {"href": _href(file, folder), "type": MEDIA_TYPES[file.suffix], "roles": roles}
    return asset | _size_and_checksum(file)


def _size_and_checksum(path: Path) -> dict[str, object]:
    """Return the size and SHA-256 of a file as STAC's file extension names them; of a folder, which it cannot name."""
    if path.is_dir():
        return {STORE_CHECKSUM: sha256_of_folder(path)}
    if not path.exists():
        return {}
    return {"file:size": path.stat().st_size, "file:checksum": SHA256_MULTIHASH + sha256(path)}
