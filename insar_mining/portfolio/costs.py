"""What mines cost that are only known by their outlines: bytes, hours and disk of the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from insar_mining.arrays import FloatArray
from insar_mining.portfolio.cost_model import METADATA_BYTES, CostModel, Size
from insar_mining.portfolio.footprints import PortfolioMine

BURST_BYTES = 137_000_000  # mean of VV burst files of 2021 to 2023 (127.9 to 147 MB) in ASF's catalogue
DATES_A_YEAR = 30
BURST_HEIGHT_KM, BURST_WIDTH_KM = 20.0, 85.0
KM_PER_DEGREE = 111.32
MAP_BYTES_PER_CELL = 4.0 * (1 + 1 / 3 + 1)  # the GeoTIFF with its overviews, and the cube


@dataclass(frozen=True)
class World:
    """Hold the costs of mines that are only known by their outlines.

    Attributes
    ----------
    mines, burst_stacks : int
        Stacks are burst footprints with at least one mine.
    bursts_per_mine : float
        Stacks that a mine lies in, mean.
    shared_by : float
        Mines for each stack, mean.
    burst_files : int
    download_bytes, map_bytes : int
    core_hours : float
    hours_at_100_mb_s, hours_at_1_gb_s : float
    """

    mines: int
    burst_stacks: int
    bursts_per_mine: float
    shared_by: float
    burst_files: int
    download_bytes: int
    map_bytes: int
    core_hours: float
    hours_at_100_mb_s: float
    hours_at_1_gb_s: float


def world_cost(
    mines: Sequence[PortfolioMine],
    *,
    years: float,
    dates_a_year: int = DATES_A_YEAR,
    spacing_m: float = 20.0,
    least_km: float = 4.0,
    model: CostModel | None = None,
    rng: np.random.Generator | None = None,
    draws: int = 8,
) -> World:
    """Estimate the cost of mines without a catalogue: bursts are laid over the Earth and those with a mine counted.

    Bursts of one track are tiles of 20 km along and 85 km across the track, here laid along meridians and parallels
    with a random offset in each of some draws; the result is their mean.  A mine is the box around it, at least
    `least_km` wide.

    Parameters
    ----------
    years : float
        Length of the period.
    least_km : float
        Points (or tiny polygons) stand for mines of this size.
    draws : int
        Random offsets of the tiles.
    """
    rng = rng or np.random.default_rng(0)
    bounds = np.array([_box(mine.geometry) for mine in mines]).reshape(-1, 4)
    width, height, lon, lat = _sizes(bounds, least_km)
    counted = [_stacks(lon, lat, width, height, rng) for _ in range(draws)]
    stacks = float(np.mean([one for one, _ in counted]))
    touched = float(np.mean([one for _, one in counted]))
    dates = round(years * dates_a_year)
    pairs = max(dates - 1, 0)
    cells = width * height * 1e6 / spacing_m**2
    use = model or CostModel()
    files = round(stacks * dates)
    download = files * (BURST_BYTES + METADATA_BYTES)
    images = round(dates * touched / max(len(mines), 1))
    seconds = sum(use.seconds(Size(images, pairs, float(cell))) for cell in cells)
    return World(
        mines=len(mines),
        burst_stacks=round(stacks),
        bursts_per_mine=touched / max(len(mines), 1),
        shared_by=touched / max(stacks, 1),
        burst_files=files,
        download_bytes=download,
        map_bytes=round(float(cells.sum()) * MAP_BYTES_PER_CELL * pairs),
        core_hours=seconds / 3600,
        hours_at_100_mb_s=download / 1e8 / 3600,
        hours_at_1_gb_s=download / 1e9 / 3600,
    )


def _box(geometry: shapely.Geometry) -> tuple[float, float, float, float]:
    """Return a box whose east may be above 180, where a mine lies on both sides of the antimeridian."""
    west, south, east, north = geometry.bounds
    if east - west > 180:
        parts = shapely.bounds(shapely.get_parts(geometry))
        west, east = parts[parts[:, 0] > 0, 0].min(), parts[parts[:, 2] < 0, 2].max() + 360.0
    return west, south, east, north


def _sizes(bounds: FloatArray, least_km: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return widths and heights in kilometres, and the middles in degrees."""
    west, south, east, north = bounds.T
    lat = (south + north) / 2
    width = np.maximum((east - west) * KM_PER_DEGREE * np.cos(np.deg2rad(lat)), least_km)
    return width, np.maximum((north - south) * KM_PER_DEGREE, least_km), (west + east) / 2, lat


def _stacks(
    lon: FloatArray, lat: FloatArray, width: FloatArray, height: FloatArray, rng: np.random.Generator
) -> tuple[int, int]:
    """Lay tiles with a random offset; return how many have a mine, and how often mines touch one."""
    shift = rng.uniform(0, 1, 2)
    row = lat * KM_PER_DEGREE / BURST_HEIGHT_KM + shift[0]
    tiles: set[tuple[int, int]] = set()
    touched = 0
    for at, half, x, w in zip(row, height / BURST_HEIGHT_KM / 2, lon, width / BURST_WIDTH_KM / 2, strict=True):
        for line in range(math.floor(at - half), math.floor(at + half) + 1):
            middle = (line + 0.5 - shift[0]) * BURST_HEIGHT_KM / KM_PER_DEGREE
            column = x * KM_PER_DEGREE * max(math.cos(math.radians(min(abs(middle), 89.9))), 1e-3) / BURST_WIDTH_KM
            across = range(math.floor(column + shift[1] - w), math.floor(column + shift[1] + w) + 1)
            tiles.update((line, c) for c in across)
            touched += len(across)
    return len(tiles), touched
