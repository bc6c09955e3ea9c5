"""Mines of known truth amid other ground: kinds of ground, rain, seasons and surroundings, at the level of coherence.

Images, window and map are those of :mod:`insar_mining.simulate.mine_stack`: every date is one image of a chain whose
step from date to date keeps the share of the signal that the ground keeps. Nothing here knows how activity is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.spatial import cKDTree

from insar_mining.arrays import BoolArray, Float32Array, FloatArray, IntArray
from insar_mining.coherence.estimators.estimate import coherence
from insar_mining.simulate.mine_stack import LINE_M, SAMPLE_M, _image

# ground around the map from which windows at its rim take samples
RIM_M = 400.0
PATCH_CELLS = 7.0
# spread of the patches of one kind: of their coherence, and (logarithm) of their reaction to rain
PATCH_SPREAD, REACTION_SPREAD = 0.015, 0.35


class Kind(NamedTuple):
    """Hold a kind of ground: coherence over 12 days, reaction to rain, amplitude of its season."""

    base: float
    reaction: float = 0.0
    season: float = 0.0


KINDS: Mapping[str, Kind] = {
    "rock": Kind(0.93, 0.03),
    "soil": Kind(0.85, 1.0),
    "grass": Kind(0.62, 0.3, 0.13),
    "vegetation": Kind(0.6, 0.2),
    "forest": Kind(0.12),
}


@dataclass(frozen=True, eq=False)
class WorkedGround:
    """Hold ground that is worked.

    Attributes
    ----------
    zones : ndarray of int (rows, columns)
        Number of the zone of each map cell of 5 m, from the mine's corner; -1: none.
    pairs : ndarray of bool (pairs, zones)
        When each is worked.
    level : float
        Temporal coherence that it keeps over a pair in which it is worked.
    """

    zones: IntArray
    pairs: BoolArray
    level: float = 0.05


@dataclass(frozen=True, eq=False)
class KnownStack:
    """Hold a stack and its truth: `coh` as `open_stack` returns it with a mine; area and share of the cells worked."""

    coh: xr.DataArray
    worked_m2: float
    worked: FloatArray


@dataclass(frozen=True, eq=False)
class Weather:
    """Hold rain by number of the pair, and how its strength varies over the map (0: nowhere; logarithm)."""

    rain: Mapping[int, float] = field(default_factory=dict)
    variation: float = 0.0
    snow: Sequence[int] = ()


FINE_M = 5.0


def simulate_world(
    rng: np.random.Generator,
    *,
    shares: Mapping[str, float] | None = None,
    work: WorkedGround | None = None,
    weather: Weather | None = None,
    pairs: int = 29,
    cells: tuple[int, int] = (60, 60),
    margin: int = 40,
    cell_m: float = 20.0,
) -> KnownStack:
    """Sample the coherence stack of one year of a square mine and its surroundings.

    Parameters
    ----------
    rng : numpy Generator
    shares : mapping of str to float
        Of the mine's ground of each of `KINDS`; the rest is rock. Around the mine the same field of kinds goes on.
    work : WorkedGround, optional
        None: a closed mine.
    weather : Weather, optional
    pairs : int
        Of 12 days.
    cells : (int, int)
        Rows and columns of the mine.
    margin : int
        Cells around it.
    cell_m : float
        20, or 80 (a window of 6 x 20 samples).
    """
    weather = weather or Weather()
    height, width = cells[0] + 2 * margin, cells[1] + 2 * margin
    south = np.arange(-RIM_M, height * cell_m + RIM_M, LINE_M)[:, None]
    east = np.arange(-RIM_M, width * cell_m + RIM_M, SAMPLE_M)[None, :]
    corner = margin * cell_m
    base, reaction, season = _ground(rng, shares or {}, south - corner, east - corner, np.multiply(cells, cell_m))
    zone = _zones(work, south - corner, east - corner)
    inside = ((south >= corner) & (south < corner + cells[0] * cell_m)) & (
        (east >= corner) & (east < corner + cells[1] * cell_m)
    )
    window = (2, 7) if cell_m < 40 else (6, 20)
    image, layers = _image(rng, base.shape), []
    ever = np.zeros(base.shape, np.bool_)
    for pair in range(pairs):
        rho = base + season * np.cos(2 * np.pi * pair / max(pairs, 1))
        strength = weather.rain.get(pair, 0.0)
        if strength:
            rho = rho * np.exp(-strength * reaction * _storm(rng, base.shape, weather.variation))
        if pair in weather.snow:
            rho = np.minimum(rho, 0.25)
        if work is not None:
            now = (zone >= 0) & work.pairs[pair][zone]
            rho = np.where(now, np.minimum(work.level, rho), rho)
            ever |= now & inside
        rho = rho.astype(np.float32)
        after = np.asarray(rho * image + np.sqrt(1 - rho**2) * _image(rng, base.shape), np.complex64)
        layers.append(_mapped(coherence(image, after, *window), window, (height, width), cell_m))
        image = after
    worked = _cell_shares(ever, south, east, (height, width), cell_m)
    cover = np.zeros((height, width), np.float32)
    cover[margin : margin + cells[0], margin : margin + cells[1]] = 1
    return KnownStack(_cube(np.stack(layers), cover, cell_m, margin), float(ever.sum() * LINE_M * SAMPLE_M), worked)


def _ground(
    rng: np.random.Generator, shares: Mapping[str, float], south: FloatArray, east: FloatArray, size: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw coherence, reaction to rain and season of every sample: patches of kinds that follow a smooth field."""
    step = PATCH_CELLS * 20.0
    y, x = np.meshgrid(
        np.arange(south.min(), south.max() + step, step), np.arange(east.min(), east.max() + step, step), indexing="ij"
    )
    points = np.stack([y.ravel(), x.ravel()], axis=1) + rng.uniform(-step / 2, step / 2, (y.size, 2))
    waves = rng.normal(size=(8, 2)) * 2 * np.pi / 1100
    relief = np.cos(points @ waves.T + rng.uniform(0, 2 * np.pi, 8)).sum(axis=1)
    own = ((points >= 0) & (points < size)).all(axis=1)
    names = [name for name in shares if name != "rock"]
    limits = np.quantile(relief[own], np.cumsum([shares[name] for name in names])) if names else np.zeros(0)
    kinds = [KINDS[name] for name in names] + [KINDS["rock"]]
    kind = np.array(kinds)[np.searchsorted(limits, relief)]
    base = kind[:, 0] * (1 + PATCH_SPREAD * rng.normal(size=len(points)))
    reaction = kind[:, 1] * np.exp(REACTION_SPREAD * rng.normal(size=len(points)))
    places = np.stack(np.broadcast_arrays(south, east), axis=-1).reshape(-1, 2)
    nearest = cKDTree(points).query(places)[1].reshape(south.size, east.size)
    return np.clip(base, 0.02, 0.985)[nearest], reaction[nearest], kind[:, 2][nearest]


def _zones(work: WorkedGround | None, south: FloatArray, east: FloatArray) -> IntArray:
    """Return the number of the zone of every sample."""
    shape = south.size, east.size
    if work is None:
        return np.full(shape, -1)
    row, col = np.floor(south / FINE_M).astype(int), np.floor(east / FINE_M).astype(int)
    height, width = work.zones.shape
    known = ((row >= 0) & (row < height)) & ((col >= 0) & (col < width))
    return np.where(known, work.zones[row.clip(0, height - 1), col.clip(0, width - 1)], -1)


def _storm(rng: np.random.Generator, shape: tuple[int, int], variation: float) -> FloatArray:
    """Return the strength of rain over the map, 1 in the mean; cells of a storm some 600 m wide."""
    if not variation:
        return np.ones(shape)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), (600 / LINE_M / 2, 600 / SAMPLE_M / 2), mode="wrap")
    return np.asarray(np.exp(variation * noise / noise.std() - variation**2 / 2))


def _mapped(sample: Float32Array, window: tuple[int, int], cells: tuple[int, int], cell_m: float) -> Float32Array:
    """Interpolate at the middles of the cells; the value of an even window lies half a sample before its own."""
    row = (RIM_M + (np.arange(cells[0]) + 0.5) * cell_m) / LINE_M - 0.5 * ((window[0] + 1) % 2)
    col = (RIM_M + (np.arange(cells[1]) + 0.5) * cell_m) / SAMPLE_M - 0.5 * ((window[1] + 1) % 2)
    y, x = row.astype(np.int64), col.astype(np.int64)
    v, u = (row - y)[:, None], (col - x)[None, :]
    top = sample[np.ix_(y, x)] * (1 - u) + sample[np.ix_(y, x + 1)] * u
    low = sample[np.ix_(y + 1, x)] * (1 - u) + sample[np.ix_(y + 1, x + 1)] * u
    return np.asarray(top * (1 - v) + low * v, np.float32)


def _cell_shares(
    mask: BoolArray, south: FloatArray, east: FloatArray, cells: tuple[int, int], cell_m: float
) -> FloatArray:
    """Share of every cell that is True, by the samples whose middle lies in it."""
    row, col = np.floor(south[:, 0] / cell_m).astype(int), np.floor(east[0] / cell_m).astype(int)
    rows, cols = (row >= 0) & (row < cells[0]), (col >= 0) & (col < cells[1])
    index = (row[rows, None] * cells[1] + col[None, cols]).ravel()
    found = np.bincount(index, mask[np.ix_(rows, cols)].ravel(), cells[0] * cells[1])
    count = np.bincount(index, minlength=cells[0] * cells[1])
    return np.asarray((found / np.maximum(count, 1)).reshape(cells))


def _cube(values: Float32Array, cover: Float32Array, cell_m: float, margin: int) -> xr.DataArray:
    """Return a cube with the coordinates of `open_stack`, in UTM."""
    first = np.datetime64("2021-01-05") + 12 * np.arange(len(values)).astype("timedelta64[D]")
    second = first + np.timedelta64(12, "D")
    coords = {
        "pair": [f"{a}_{b}".replace("-", "") for a, b in zip(first, second, strict=True)],
        "reference_date": ("pair", first.astype("datetime64[ns]")),
        "secondary_date": ("pair", second.astype("datetime64[ns]")),
        "days": ("pair", np.full(len(values), 12)),
        "year": ("pair", np.full(len(values), 2021)),
        "perpendicular_baseline_m": ("pair", np.zeros(len(values))),
        "y": 3_500_000 - (np.arange(values.shape[1]) + 0.5) * cell_m,
        "x": 600_000 + (np.arange(values.shape[2]) + 0.5) * cell_m,
        "cell_area_m2": cell_m**2,
        "cover": (("y", "x"), cover),
    }
    attrs = {
        "crs": "EPSG:32629",
        "transform": (cell_m, 0.0, 600_000.0, 0.0, -cell_m, 3_500_000.0),
        "cell_area_m2": cell_m**2,
        "min_cover": 0.5,
        "margin_m": margin * cell_m,
        "simulated": True,
    }
    return xr.DataArray(values, dims=("pair", "y", "x"), coords=coords, attrs=attrs, name="coherence")
