"""A result as a STAC collection: its maps as items, its other files as assets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS, Transformer
from shapely.geometry import box, mapping

from insar_mining import __version__
from insar_mining.coherence.plan.product import FILE, SHA256_MULTIHASH
from insar_mining.files import sha256, write_text
from insar_mining.geo.cells import RasterGrid
from insar_mining.geo.mines import Mine

STAC_VERSION = "1.0.0"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
COLLECTION = "collection.json"

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
        "id": f"insar-mining-{mine.id}",
        "title": f"Mining activity of {mine.name}",
        "description": (
            f"Coherence of {coh.sizes['pair']} Sentinel-1 pairs over {mine.name}, and the mining activity derived "
            f"from it with insar_mining {__version__}. Contains modified Copernicus Sentinel data."
        ),
        "keywords": ["Sentinel-1", "InSAR", "coherence", "mining"],
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [bbox_of(coh)]},
            "temporal": {
                "interval": [[_utc(coh["reference_date"].values.min()), _utc(coh["secondary_date"].values.max())]]
            },
        },
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            *({"rel": "item", "href": _href(item, folder), "type": "application/geo+json"} for item in items),
        ],
        "assets": {file.name: _asset(file, folder) for file in files},
    }
    return write_text(folder / COLLECTION, json.dumps(collection, indent=2, ensure_ascii=False) + "\n")


def recorded_files(folder: Path) -> dict[str, str]:
    """Read which files the collection of an earlier result lists.

    Returns
    -------
    dict of str to str
        SHA-256 (64 hexadecimal digits) by name; without the stores, which have none, and empty if there is no
        collection of this package.  Names are as the file has them: anybody may have written it.
    """
    try:
        collection = json.loads((folder / COLLECTION).read_text(encoding="utf-8"))
        if not str(collection["id"]).startswith("insar-mining-"):
            return {}
        listed = {str(name): str(asset.get("file:checksum")) for name, asset in collection["assets"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        name: checksum.removeprefix(SHA256_MULTIHASH)
        for name, checksum in listed.items()
        if checksum.startswith(SHA256_MULTIHASH)
    }


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
        "stac_extensions": [PROJECTION],
        "id": str(coh["pair"].values),
        "geometry": mapping(box(*bounds)),
        "bbox": bounds,
        "properties": properties,
        "links": [],
        "assets": {"coherence": {"href": f"./{raster.name}", "type": MEDIA_TYPES[".tif"], "roles": ["data"]}},
    }
    return write_text(path, json.dumps(item, indent=2, ensure_ascii=False) + "\n")


def bbox_of(raster: xr.DataArray) -> list[float]:
    """(west, south, east, north) of a raster's cells, degrees."""
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
    if file.is_file():
        asset |= {"file:size": file.stat().st_size, "file:checksum": SHA256_MULTIHASH + sha256(file)}
    return asset
