"""From a table of records to local products: what to fetch, what it costs, and fetching it.

Whole scenes become zips; bursts become one folder per passage over the mine, with a TIFF
each and the metadata of the one or two scenes that they are of: both are opened by
:func:`insar_mining.sentinel1.product.open_product`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import requests

from insar_mining.download.credentials import REMEDY, find_credentials
from insar_mining.download.files import Item, Outcome, ProgressCallback, fetch_files, missing_bytes
from insar_mining.download.integrity import Expected
from insar_mining.download.session import EarthdataSession
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError

TYPICAL_SCENE_BYTES = 4_400_000_000
"""Median of 88 dual-polarised IW SLC zips of 2020 to 2025 in ASF's catalogue."""

TYPICAL_METADATA_BYTES = 5_000_000
SHARE_OF_BANDWIDTH = 0.8
"""How much of a line's bandwidth arrives as content."""

_SAME_PASS = pd.Timedelta(60, "s")  # bursts of one passage over a mine begin seconds apart
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, eq=False)
class FetchPlan:
    """Describe what is to be fetched, before anything is.

    Attributes
    ----------
    items : tuple of Item
    dates : int
        Days with at least one image.
    images : int
        Rows of the table that are used.
    unobtainable : tuple of (str, str)
        Images without an address, and why.
    whole_scenes_bytes : int
        What the same dates would cost as whole scenes.
    products : mapping of str to (date, str)
        By the name of a product's folder or zip: its day (UTC), and the scene that it is
        of (of two slices the first).
    """

    items: tuple[Item, ...]
    dates: int
    images: int
    unobtainable: tuple[tuple[str, str], ...]
    whole_scenes_bytes: int
    products: Mapping[str, tuple[dt.date, str]]

    @property
    def all_bytes(self) -> int:
        """Bytes of all files, as far as they are known."""
        return sum(item.planned_bytes for item in self.items)

    def estimate(self, folder: Path | str, bytes_per_s: float) -> dict[str, Any]:
        """Estimate bytes and time of fetching into a folder.

        Parameters
        ----------
        bytes_per_s : float
            Bandwidth of the line.

        Returns
        -------
        dict
            dates, images, files, gigabytes, gigabytes_missing, gigabytes_as_whole_scenes,
            share_of_whole_scenes, hours, unobtainable.
        """
        missing = missing_bytes(self.items, folder)
        whole = self.whole_scenes_bytes
        return {
            "dates": self.dates,
            "images": self.images,
            "files": len(self.items),
            "gigabytes": round(self.all_bytes / 1e9, 3),
            "gigabytes_missing": round(missing / 1e9, 3),
            "gigabytes_as_whole_scenes": round(whole / 1e9, 3),
            "share_of_whole_scenes": round(self.all_bytes / whole, 4) if whole else None,
            "hours": round(missing / (SHARE_OF_BANDWIDTH * bytes_per_s) / 3600, 2),
            "unobtainable": len(self.unobtainable),
        }


def plan_fetch(records: gpd.GeoDataFrame, *, only: Collection[str] | None = None) -> FetchPlan:
    """Plan the fetching of scenes or bursts.

    Parameters
    ----------
    records : GeoDataFrame
        As :func:`insar_mining.search` gives it.
    only : collection of str, optional
        Names of images (of the pairs, say).  Of bursts, all those of the same passage
        are fetched: a mine may lie in several.

    Raises
    ------
    ArchiveError
        A wanted image is not in the table, or nothing is left to fetch.
    """
    wanted = _wanted(records, only)
    items: dict[str, Item] = {}
    unobtainable: list[tuple[str, str]] = []
    products: dict[str, tuple[dt.date, str]] = {}
    for row, first in zip(wanted.to_dict("records"), _first_scenes(wanted), strict=True):
        found = _items(row, first)
        if not found:
            unobtainable.append((str(row["scene"]), "its record has no address to fetch it from"))
        items.update((item.name, item) for item in found)
        products.update((item.name.partition("/")[0], (row["start"].date(), first)) for item in found)
    if not items:
        raise ArchiveError(f"none of the {len(wanted)} images can be fetched: no address in their records")
    scenes = wanted.drop_duplicates("source_scene")
    sizes = scenes["bytes"].where(scenes["kind"] == "scene", TYPICAL_SCENE_BYTES).fillna(TYPICAL_SCENE_BYTES)
    return FetchPlan(
        tuple(items.values()),
        dates=wanted["start"].dt.date.nunique(),
        images=len(wanted),
        unobtainable=tuple(unobtainable),
        whole_scenes_bytes=int(sizes.sum()),
        products=products,
    )


def open_session(connections: int = 8, *, prompt: bool = False) -> requests.Session:
    """Open a session with the Earthdata account that is found.

    Parameters
    ----------
    prompt : bool
        Ask at the terminal where no account is found.

    Raises
    ------
    ArchiveError
        No account is found.
    """
    credentials = find_credentials(prompt=prompt)
    if credentials is None:
        raise ArchiveError(f"fetching from ASF needs an Earthdata account: {REMEDY}")
    return EarthdataSession(credentials, connections=connections)


def fetch_products(
    plan: FetchPlan,
    folder: Path | str,
    session: requests.Session,
    *,
    limits: Limits | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> list[Outcome]:
    """Fetch what was planned; see :func:`insar_mining.download.files.fetch_files`.

    Raises
    ------
    OutputError
        The disk cannot hold it.
    """
    return fetch_files(plan.items, folder, session, limits=limits, progress=progress, **options)


def _wanted(records: gpd.GeoDataFrame, only: Collection[str] | None) -> gpd.GeoDataFrame:
    if only is None:
        return records
    unknown = sorted(set(only) - set(records["scene"]))
    if unknown:
        raise ArchiveError(
            f"{len(unknown)} of the images wanted are not in the table of scenes ({', '.join(unknown[:3])}). Give the "
            "table that the pairs were made of."
        )
    chosen = records[records["scene"].isin(list(only))]
    starts = {platform: of["start"].to_numpy() for platform, of in chosen.groupby("platform")}
    same_pass = [
        row["kind"] == "burst"
        and row["platform"] in starts
        and bool((np.abs(starts[row["platform"]] - row["start"].to_datetime64()) < _SAME_PASS).any())
        for row in records.to_dict("records")
    ]
    return records[np.array(same_pass, dtype=bool) | records["scene"].isin(list(only)).to_numpy()]


def _first_scenes(records: gpd.GeoDataFrame) -> list[str]:
    """Name, for every row, the scene that its product is named by: of the slices of one passage the first.

    Bursts of two slices of a data take, which follow each other in time, belong into one
    product: a mine on the seam is seen by both.
    """
    firsts: dict[object, str] = {}
    last: dict[object, tuple[pd.Timestamp, str]] = {}
    for index, row in records.sort_values(["start", "scene"], kind="stable").iterrows():
        name = str(row["source_scene"] or row["scene"])
        if row["kind"] == "burst":
            before = last.get(row["platform"])  # its orbit's numbers change inside a passage, at the node
            if before is not None and row["start"] - before[0] < _SAME_PASS:
                name = before[1]
            last[row["platform"]] = (row["start"], name)
        firsts[index] = name
    return [firsts[index] for index in records.index]


def _items(row: dict[str, Any], first_scene: str) -> Iterable[Item]:
    if not isinstance(row["url"], str):
        return []
    size = None if pd.isna(row["bytes"]) else int(row["bytes"])
    scene = _safe(row["scene"])
    if row["kind"] == "scene":
        return [Item(row["url"], f"{scene}.zip", Expected(size, row["md5"] or None, "zip"), TYPICAL_SCENE_BYTES)]
    if not isinstance(row["metadata_url"], str) or not isinstance(row["source_scene"], str):
        return []
    folder = f"{_safe(first_scene)}_BURSTS"
    # the catalogue's size of a burst is that of its samples, without the TIFF around them
    pixels = Item(row["url"], f"{folder}/{scene}.tiff", Expected(kind="tiff"), size or 0)
    metadata = Item(
        row["metadata_url"],
        f"{folder}/{_safe(row['source_scene'])}_{_safe(row['polarisations'])}.xml",
        Expected(kind="xml"),
        TYPICAL_METADATA_BYTES,
    )
    return [pixels, metadata]


def _safe(name: object) -> str:
    """Return a name that is one name of a file, whatever a record says."""
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name) or name.startswith("."):
        raise ArchiveError(f"{name!r} in a record is no name of a Sentinel-1 image. Search again.")
    return name
