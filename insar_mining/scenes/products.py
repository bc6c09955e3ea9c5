"""A folder of Sentinel-1 products as a table of scenes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from insar_mining.errors import ProductError, SkippedInputWarning
from insar_mining.sentinel1.product import Product, open_product

SCENE_COLUMNS = (
    "scene",
    "path",
    "platform",
    "relative_orbit",
    "absolute_orbit",
    "direction",
    "start",
    "stop",
    "polarisations",
    "swaths",
    "ipf_version",
    "geometry",
)
"""Columns of a scene table; :func:`insar_mining.select_pairs` needs no others."""

_SAME_START = np.timedelta64(2, "s")


def scan_products(
    folder: Path | str | Sequence[Path | str], *, check_polarisation: str | None = None
) -> gpd.GeoDataFrame:
    """List the Sentinel-1 IW SLC products in a folder, or in several.

    SAFE folders, zips and folders of single bursts are found in the folder itself and
    one level below it; anything else is passed over.  What looks like a product and
    cannot be read is left out with a warning.  If a scene is there twice (unpacked and
    zipped, or processed twice) one is kept: the one of the latest processor version, a
    SAFE product rather than the bursts that it was made of, unpacked rather than zipped.

    Parameters
    ----------
    folder : path or sequence of path
        A folder with products, or one product; or several.
    check_polarisation : str, optional
        Also check that the measurements of this polarisation are there, whole and the
        right ones (some 30 ms per sub-swath); a product that fails is left out.

    Returns
    -------
    GeoDataFrame
        One row per product in the order of time, EPSG:4326 footprints, and the columns
        scene (name), path, platform, relative_orbit (Int64, missing where the product
        does not say it), absolute_orbit, direction, start and stop (datetime64[ns],
        UTC), polarisations and swaths (joined, as ``"VH+VV"``), ipf_version.
        ``attrs["skipped"]`` lists what was left out: dictionaries of path and reason.

    Raises
    ------
    ProductError
        A folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> found = scan_products(tempfile.mkdtemp())  # a folder without any product
    >>> len(found), found.attrs["skipped"]
    (0, [])
    """
    folders = [Path(folder)] if isinstance(folder, str | Path) else [Path(one) for one in folder]
    for one in folders:
        if not one.exists():
            raise ProductError(f"{one}: no such folder. Give the folder that holds the Sentinel-1 products.")
    products: list[Product] = []
    skipped: list[dict[str, str]] = []
    for path in (path for one in folders for path in _candidates(one)):
        try:
            product = open_product(path)
            for swath, polarisation in product.images:
                if check_polarisation and polarisation == check_polarisation.upper():
                    product.check_measurement(swath, polarisation)
            products.append(product)
        except ProductError as error:
            skipped.append({"path": str(path), "reason": str(error)})
    products, doubles = _without_doubles(products)
    skipped += doubles
    for entry in skipped:
        warnings.warn(f"left out: {entry['reason']}", SkippedInputWarning, stacklevel=2)
    return _table(products, skipped)


def _candidates(folder: Path) -> Iterator[Path]:
    if not folder.is_dir() or _looks_like_product(folder):
        yield folder
        return
    for child in _children(folder):
        if _is_candidate(child):
            yield child
        elif child.is_dir():
            yield from (grandchild for grandchild in _children(child) if _is_candidate(grandchild))


def _is_candidate(path: Path) -> bool:
    if path.is_dir():
        return _looks_like_product(path)
    return path.suffix.lower() == ".zip" and path.is_file() and not path.name.upper().endswith(".EOF.ZIP")


def _looks_like_product(folder: Path) -> bool:
    if folder.suffix.upper() == ".SAFE" or (folder / "manifest.safe").is_file():
        return True
    return any("-BURST.TIF" in child.name.upper() for child in _children(folder))


def _children(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted; nothing if the folder may not be listed."""
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError as error:
        warnings.warn(f"left out: {folder} cannot be listed ({error.strerror})", SkippedInputWarning, stacklevel=4)
        return []


def _without_doubles(products: list[Product]) -> tuple[list[Product], list[dict[str, str]]]:
    """Keep one product of every acquisition, whatever the order they came in."""
    kept: list[Product] = []
    doubles: list[dict[str, str]] = []
    # sorts are stable: latest version first, then whole products, then folders, then by name
    best_first = sorted(products, key=lambda p: str(p.path))
    best_first.sort(key=lambda p: (_version(p), _is_whole(p.path), p.path.is_dir()), reverse=True)
    for product in best_first:
        same = next((k for k in kept if _same_scene(k, product)), None)
        if same is None:
            kept.append(product)
        else:
            reason = f"{product.path}: the same scene as {same.path}, which is used"
            doubles.append({"path": str(product.path), "reason": reason})
    return kept, doubles


def _is_whole(path: Path) -> bool:
    """Return whether a product is a SAFE product, not a folder of bursts."""
    return not path.is_dir() or (path / "manifest.safe").is_file()


def _version(product: Product) -> tuple[int, ...]:
    """Turn ``003.61`` into (3, 61); the empty tuple where the version is unknown."""
    parts = (product.ipf_version or "").split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _same_scene(one: Product, other: Product) -> bool:
    if one.name == other.name:
        return True
    if (one.platform, one.absolute_orbit) != (other.platform, other.absolute_orbit):
        return False
    near = abs(one.start - other.start) < _SAME_START and abs(one.stop - other.stop) < _SAME_START
    return bool(near) and (one.swaths, one.polarisations) == (other.swaths, other.polarisations)


def _table(products: list[Product], skipped: list[dict[str, str]]) -> gpd.GeoDataFrame:
    rows = [_row(p) for p in sorted(products, key=lambda p: (p.start, p.name))]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in SCENE_COLUMNS}
    columns["relative_orbit"] = pd.array(columns["relative_orbit"], dtype="Int64")
    for name in ("start", "stop"):
        columns[name] = np.array(columns[name], dtype="datetime64[ns]")
    table = gpd.GeoDataFrame(columns, geometry="geometry", crs="EPSG:4326")
    table.attrs["skipped"] = skipped
    return table


def _row(product: Product) -> dict[str, Any]:
    return {
        "scene": product.name,
        "path": str(product.path),
        "platform": product.platform,
        "relative_orbit": product.relative_orbit,
        "absolute_orbit": product.absolute_orbit,
        "direction": product.direction,
        "start": product.start,
        "stop": product.stop,
        "polarisations": "+".join(product.polarisations),
        "swaths": "+".join(product.swaths),
        "ipf_version": product.ipf_version,
        "geometry": product.footprint,
    }
