"""What a run without local scenes would fetch, keep and take, from the catalogue's answer alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from insar_mining.download.files import missing_bytes
from insar_mining.download.products import SHARE_OF_BANDWIDTH, TYPICAL_SCENE_BYTES
from insar_mining.geo.grid import MapGrid
from insar_mining.geo.mines import Mine
from insar_mining.options.models import RunOptions
from insar_mining.pipeline.acquisition import READERS_OF_SAFE, Found
from insar_mining.pipeline.estimate import (
    BYTES_PER_CELL,
    BYTES_PER_SAMPLE,
    COPIES,
    SECONDS_PER_MEGASAMPLE,
    SECONDS_PER_PAIR,
    RunEstimate,
)

ORBIT_BYTES = 4_600_000  # a POEORB file of 26 hours
TILE_BYTES = 45_000_000  # a tile of one degree of GLO-30, or the model that is cut of it
SAMPLE_M2 = 3.7 * 14.0  # ground of one sample in the middle of the swath
SAMPLES_AROUND = 2.0  # the box in radar coordinates around a grid that lies north-south, and the window's margin


@dataclass(frozen=True, eq=False)
class ArchivePlan:
    """Hold what is to be fetched before a run, and what the archive does not have.

    Attributes
    ----------
    product : str
        ``"burst"`` or ``"scene"``.
    track : int
    direction : str
    reasons : tuple of str
        Why this track.
    dates, images, files : int
    all_bytes, missing_bytes : int
        Of all files, and of those that are not there yet.
    whole_scenes_bytes : int
        What the same dates are, or would be, as whole scenes.
    disk_bytes : int
        What lies on the disk in the end beside the maps: products, orbits, elevation, and for
        SNAP the products that bursts are assembled into.
    hours : float
        Of fetching what is missing, at ``archive.line_mb_s`` or the bandwidth allowed.
    gaps : DataFrame
        Where the track has no image for longer than a repeat.
    rejected : sequence of mappings
        ``pair`` or ``scene`` that is not used, and the ``reason``.
    unobtainable : tuple of (str, str)
        Images without an address, and why.
    folder : Path
    """

    product: str
    track: int
    direction: str
    reasons: tuple[str, ...]
    dates: int
    images: int
    files: int
    all_bytes: int
    missing_bytes: int
    whole_scenes_bytes: int
    disk_bytes: int
    hours: float
    gaps: pd.DataFrame
    rejected: Sequence[Mapping[str, Any]]
    unobtainable: tuple[tuple[str, str], ...]
    folder: Path


def plan_archive(mine: Mine, found: Found, options: RunOptions, folder: Path) -> tuple[ArchivePlan, RunEstimate]:
    """Return what is to be fetched, and a guess of the maps' costs."""
    fetch, chosen = found.fetch, options.archive
    missing = missing_bytes(fetch.items, folder)
    rate = min(chosen.line_mb_s, chosen.bandwidth_mb_s or chosen.line_mb_s) * 1e6
    copies = 2 if chosen.product == "burst" and options.coherence.engine in READERS_OF_SAFE else 1
    orbits = ORBIT_BYTES * fetch.dates if chosen.orbit_files and not options.coherence.orbits else 0
    dem = 0 if options.dem else 2 * TILE_BYTES
    plan = ArchivePlan(
        product=chosen.product,
        track=found.choice.relative_orbit,
        direction=found.choice.direction,
        reasons=found.choice.reasons,
        dates=fetch.dates,
        images=fetch.images,
        files=len(fetch.items),
        all_bytes=fetch.all_bytes,
        missing_bytes=missing,
        whole_scenes_bytes=fetch.whole_scenes_bytes or TYPICAL_SCENE_BYTES * fetch.dates,
        disk_bytes=fetch.all_bytes * copies + orbits + dem,
        hours=(missing + orbits + dem) / (SHARE_OF_BANDWIDTH * rate) / 3600,
        gaps=found.gaps,
        rejected=found.pairs.attrs.get("rejected", ()),
        unobtainable=fetch.unobtainable,
        folder=folder,
    )
    return plan, _guess(mine, len(found.pairs), options)


def _guess(mine: Mine, pairs: int, options: RunOptions) -> RunEstimate:
    """Guess the maps' costs from the size of their grid: no product is there to count samples in."""
    assert options.start is not None
    assert options.end is not None
    grid = MapGrid.around(mine.geometry, options.coherence.spacing_m)
    cells = grid.width * grid.height
    samples = 2 * SAMPLES_AROUND * cells * grid.spacing_m**2 / SAMPLE_M2
    maps = pairs * COPIES + 6 * (options.end.year - options.start.year + 1)
    return RunEstimate(
        pairs=pairs,
        pairs_to_map=pairs,
        read_bytes=round(pairs * samples * BYTES_PER_SAMPLE),
        disk_bytes=round(cells * BYTES_PER_CELL * maps),
        seconds=pairs * (SECONDS_PER_PAIR + SECONDS_PER_MEGASAMPLE * samples / 1e6),
    )
