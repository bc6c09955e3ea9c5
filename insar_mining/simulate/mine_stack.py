"""Simulate mines of known truth at the level of coherence, sampled from images as real stacks are.

Every date is one image of circular Gaussian samples with the spectrum of an IW product; consecutive pairs share
images; coherence is taken by the engine's own window at full resolution and brought to a 20 m map
by bilinear interpolation. So neighbouring cells and consecutive pairs are correlated as in a real stack, a window on
the edge of a zone mixes worked and untouched ground, and no formula for the law of coherence enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from insar_mining.arrays import Complex64Array, FloatArray
from insar_mining.coherence.estimators.estimate import coherence
from insar_mining.jit import njit
from insar_mining.simulate.spectrum import Response

# IW1: lines 14.1 m apart; samples of 2.33 m in slant range at an incidence of 34 degrees
LINE_M, SAMPLE_M = 14.1, 4.17
AZIMUTH, RANGE = Response(0.672, 0.70), Response(0.878, 0.75)
WINDOW = (2, 7)
_TAPS = 3

# of a slope of 37 degrees that the elevation model does not know, at 250 m: loss grows with the square
STALE_LOSS_250M = 0.16

# temporal coherence over 12 days
ROCK, IDLE, VEGETATION = 0.96, 0.92, 0.65
SIGNAL_TO_NOISE = 50.0
CELL_M = 20.0


@dataclass(frozen=True)
class WorkedZone:
    """Describe ground that is worked.

    Attributes
    ----------
    centre_m : (float, float)
        East and south of the map's corner.
    radius_m : float
        Of a circle of the same area; the outline is rounded and irregular.
    years : tuple of int
    duty : float
        Share of the year's pairs in which it is worked (at least one pair).
    strips : int
        1: all of it is worked whenever it is worked. More: a face that moves on, in each working pair the next
        of so many strips, every one at least once in a year where the pairs suffice.
    """

    centre_m: tuple[float, float]
    radius_m: float
    years: tuple[int, ...]
    duty: float = 0.6
    strips: int = 1


@dataclass(frozen=True, eq=False)
class MineStack:
    """Hold a stack and its truth.

    Attributes
    ----------
    coh : DataArray (pair, y, x), float32
        As `open_stack` returns it.
    active_m2 : dict of int to float
        Ground disturbed in at least one pair of the year, within the map. Work under snow, which no pair can show,
        does not count.
    active : dict of int to ndarray (y, x)
        The share of each cell that was disturbed in at least one pair of the year.
    worked : ndarray of bool, shape (pair, zone)
    """

    coh: xr.DataArray
    active_m2: dict[int, float]
    active: dict[int, FloatArray]
    worked: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SiteConditions:
    """Hold ground around the worked zones, weather, and what work leaves of coherence.

    Attributes
    ----------
    vegetation, stale_slopes : float
        Shares of the map (a strip at its western, a band at its southern edge): vegetation whose coherence falls
        from 12 to 24 days, ground that the elevation model does not know.
    snow, gaps : float
        Chance of a winter date under snow; chance of a date that is missing (a pair of 24 days).
    disturbed : (float, float)
        Range of the temporal coherence that a worked zone keeps over one pair.
    """

    vegetation: float = 0.15
    stale_slopes: float = 0.1
    snow: float = 0.1
    gaps: float = 0.1
    disturbed: tuple[float, float] = (0.02, 0.3)


def simulate_mine_stack(
    rng: np.random.Generator,
    zones: Sequence[WorkedZone],
    *,
    cells: tuple[int, int] = (60, 60),
    years: Sequence[int] = (2021,),
    pairs_per_year: int = 30,
    **conditions: Any,
) -> MineStack:
    """Sample the coherence stack of a mine.

    Parameters
    ----------
    rng : numpy Generator
    zones : sequence of WorkedZone
        None of them: a closed mine.
    cells : (int, int)
        Rows and columns of 20 m.
    years : sequence of int
    pairs_per_year : int, at most 30
    **conditions
        See :class:`SiteConditions`.
    """
    given = SiteConditions(**conditions)
    height, width = cells
    shape = int(np.ceil((height * CELL_M + 80) / LINE_M)), int(np.ceil((width * CELL_M + 80) / SAMPLE_M))
    south, east = np.meshgrid(
        np.arange(shape[0]) * LINE_M - 40, np.arange(shape[1]) * SAMPLE_M - 40, indexing="ij", sparse=True
    )
    labels, owner = _ground(rng, zones, east, south, cells, given.vegetation, given.stale_slopes)
    dates = [
        np.datetime64(f"{year}-01-02", "D") + np.timedelta64(12 * i, "D")
        for year in years
        for i in range(pairs_per_year + 1)
        if i in (0, pairs_per_year) or rng.random() >= given.gaps
    ]
    near = np.array([int(str(day)[:4]) for day in dates])
    snowy = np.array([int(str(day)[5:7]) in (12, 1, 2) and rng.random() < given.snow for day in dates])
    position_m = np.clip(rng.normal(0, 70, len(dates)), -125, 125)
    steps = _steps(rng, zones, owner, dates, given.disturbed)
    inside = (east >= 0) & (east < width * CELL_M) & (south >= 0) & (south < height * CELL_M)
    worked_samples = {year: np.zeros(shape, np.bool_) for year in years}
    pool = _image(rng, (shape[0] * 2, shape[1] * 2))
    layers, kept, worked = [], [], []
    noise = np.float32(SIGNAL_TO_NOISE**-0.5)
    last = _image(rng, shape)
    seen = np.asarray(last + noise * _image(rng, shape), np.complex64)
    for i in range(len(dates) - 1):
        span = int((dates[i + 1] - dates[i]).astype(int))
        temporal, was_worked = steps[i]
        rho = np.where(snowy[i] or snowy[i + 1], np.minimum(temporal, 0.3), temporal).astype(np.float32)[labels]
        scene = _image(rng, shape)
        last = np.asarray(rho * last + np.sqrt(1 - rho**2) * scene, np.complex64)
        before, seen = seen, np.asarray(last + noise * _image(rng, shape), np.complex64)
        if span > 24 or near[i] != near[i + 1]:
            continue
        stale = 1 - STALE_LOSS_250M * ((position_m[i + 1] - position_m[i]) / 250) ** 2
        second = _decorrelated(rng, seen, pool, stale, (labels == 2)) if given.stale_slopes else seen
        sample = coherence(before, second.astype(np.complex64), *WINDOW)
        layers.append(_mapped(sample, cells))
        kept.append((dates[i], dates[i + 1], position_m[i + 1] - position_m[i]))
        worked.append([was_worked[owner == z].any() for z in range(len(zones))])
        if not (snowy[i] or snowy[i + 1]):
            worked_samples[int(near[i])] |= was_worked[labels]
    active = {year: _shares(mask & inside, cells) for year, mask in worked_samples.items()}
    areas = {year: float((mask & inside).sum() * LINE_M * SAMPLE_M) for year, mask in worked_samples.items()}
    return MineStack(_cube(np.stack(layers), kept), areas, active, np.array(worked, np.bool_))


def _ground(
    rng: np.random.Generator,
    zones: Sequence[WorkedZone],
    east: FloatArray,
    south: FloatArray,
    cells: tuple[int, int],
    vegetation: float,
    stale_slopes: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Label every sample: 0 rock, 1 vegetation, 2 stale slope, 3 idle, then the strips; and the zone of each label."""
    labels = np.zeros(np.broadcast_shapes(east.shape, south.shape), np.int64)
    labels[np.broadcast_to(south > cells[0] * CELL_M * (1 - stale_slopes), labels.shape)] = 2
    labels[np.broadcast_to(east < cells[1] * CELL_M * vegetation, labels.shape)] = 1
    owner = [-1, -1, -1, -1]
    for number, zone in enumerate(zones):
        u, v = east - zone.centre_m[0], south - zone.centre_m[1]
        angle, distance = np.arctan2(v, u), np.hypot(u, v)
        phase = rng.uniform(0, 2 * np.pi, 3)
        outline = 1 + sum(a * np.cos(k * angle + phase[k - 2]) for k, a in ((2, 0.2), (3, 0.1), (4, 0.05)))
        inside = distance < zone.radius_m * outline / np.sqrt(1 + (0.2**2 + 0.1**2 + 0.05**2) / 2)
        labels[(distance < zone.radius_m * outline * 1.15 + 40) & ~inside & (labels < 4)] = 3
        heading = rng.uniform(0, 2 * np.pi)
        along = (u * np.cos(heading) + v * np.sin(heading)) / zone.radius_m
        low, high = along[inside].min(initial=0.0), along[inside].max(initial=1.0) + 1e-9
        strip = ((along - low) / (high - low) * zone.strips).astype(np.int64).clip(0, zone.strips - 1)
        labels = np.where(inside, len(owner) + strip, labels)
        owner += [number] * zone.strips
    return labels, np.array(owner)


def _steps(
    rng: np.random.Generator,
    zones: Sequence[WorkedZone],
    owner: npt.NDArray[np.int64],
    dates: Sequence[np.datetime64],
    disturbed: tuple[float, float],
) -> list[tuple[FloatArray, npt.NDArray[np.bool_]]]:
    """Return the temporal coherence of every label, and whether it was worked, between consecutive dates."""
    found = []
    year = [int(str(day)[:4]) for day in dates]
    must = {(z, y): _first_of(rng, year, y) for z, zone in enumerate(zones) for y in zone.years}
    turn = dict.fromkeys(range(len(zones)), 0)
    for i in range(len(dates) - 1):
        spans = float((dates[i + 1] - dates[i]).astype(int)) / 12
        season = 1 + 0.08 * np.cos(2 * np.pi * i / 30)
        common = rng.uniform(0.97, 1.0)
        rho = np.full(owner.size, IDLE**spans)
        rho[:4] = np.array([ROCK, VEGETATION * season, ROCK, IDLE]) ** spans
        worked = np.zeros(owner.size, np.bool_)
        for z, zone in enumerate(zones):
            if year[i] == year[i + 1] and year[i] in zone.years and (rng.random() < zone.duty or must[z, year[i]] == i):
                labels = np.flatnonzero(owner == z)
                worked[labels[turn[z] % zone.strips] if zone.strips > 1 else labels] = True
                turn[z] += 1
        rho[worked] = rng.uniform(*disturbed)
        found.append((rho * common, worked))
    return found


def _first_of(rng: np.random.Generator, year: Sequence[int], wanted: int) -> int:
    """Choose one step of a year in which a zone works in any case."""
    steps = [i for i in range(len(year) - 1) if year[i] == year[i + 1] == wanted]
    return int(rng.choice(steps)) if steps else -1


def _image(rng: np.random.Generator, shape: tuple[int, int]) -> Complex64Array:
    """Draw white Gaussian samples through the weighted band of both directions, unit power."""
    padded = shape[0] + 2 * _TAPS, shape[1] + 2 * _TAPS
    white = rng.standard_normal((*padded, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return np.asarray(_band_limited(white, _taps(AZIMUTH), _taps(RANGE)))


def _taps(response: Response) -> npt.NDArray[np.float32]:
    taps = response(np.arange(-_TAPS, _TAPS + 1))
    # both directions together bring the power of 2 of a complex sample down to 1
    return np.asarray(taps / np.sqrt((taps**2).sum()) * 2**-0.25, np.float32)


@njit(nogil=True, fastmath=True)
def _band_limited(white, down, across):  # type: ignore[no-untyped-def]
    lines, samples = white.shape[0] - down.size + 1, white.shape[1] - across.size + 1
    middle = np.zeros((lines, white.shape[1]), np.complex64)
    for y in range(lines):
        for k in range(down.size):
            weight = down[k]
            for x in range(white.shape[1]):
                middle[y, x] += weight * white[y + k, x]
    out = np.zeros((lines, samples), np.complex64)
    for y in range(lines):
        for k in range(across.size):
            weight = across[k]
            for x in range(samples):
                out[y, x] += weight * middle[y, x + k]
    return out


def _decorrelated(
    rng: np.random.Generator, image: Complex64Array, pool: Complex64Array, kept: float, where: npt.NDArray[np.bool_]
) -> Complex64Array:
    """Mix other samples into a part of an image, so that its coherence falls by a factor."""
    y, x = rng.integers(0, image.shape[0]), rng.integers(0, image.shape[1])
    other = pool[y : y + image.shape[0], x : x + image.shape[1]]
    return np.where(where, kept * image + np.sqrt(1 - kept**2) * other, image).astype(np.complex64)


def _mapped(sample: npt.NDArray[np.float32], cells: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Interpolate at the middles of the cells; a window of two lines lies half a line below its first."""
    row = (40 + (np.arange(cells[0]) + 0.5) * CELL_M) / LINE_M - 0.5 * ((WINDOW[0] + 1) % 2)
    col = (40 + (np.arange(cells[1]) + 0.5) * CELL_M) / SAMPLE_M
    y, x = row.astype(np.int64), col.astype(np.int64)
    v, u = (row - y)[:, None].astype(np.float32), (col - x)[None, :].astype(np.float32)
    corner = [[sample[np.ix_(y + b, x + a)] for a in (0, 1)] for b in (0, 1)]
    top = corner[0][0] * (1 - u) + corner[0][1] * u
    return np.asarray(top * (1 - v) + (corner[1][0] * (1 - u) + corner[1][1] * u) * v, np.float32)


def _shares(mask: npt.NDArray[np.bool_], cells: tuple[int, int]) -> FloatArray:
    """Share of every cell that is True, by the samples whose middle lies in it."""
    row = np.floor((np.arange(mask.shape[0]) * LINE_M - 40) / CELL_M).astype(int)
    col = np.floor((np.arange(mask.shape[1]) * SAMPLE_M - 40) / CELL_M).astype(int)
    rows, cols = (row >= 0) & (row < cells[0]), (col >= 0) & (col < cells[1])
    index = (row[rows, None] * cells[1] + col[None, cols]).ravel()
    found = np.bincount(index, mask[np.ix_(rows, cols)].ravel(), cells[0] * cells[1])
    count = np.bincount(index, minlength=cells[0] * cells[1])
    return np.asarray((found / np.maximum(count, 1)).reshape(cells))


def _cube(values: npt.NDArray[np.float32], pairs: Sequence[tuple[np.datetime64, np.datetime64, float]]) -> xr.DataArray:
    """Return a cube with the coordinates of `open_stack`, in UTM."""
    first = np.array([a for a, _, _ in pairs], "datetime64[D]")
    second = np.array([b for _, b, _ in pairs], "datetime64[D]")
    height, width = values.shape[1:]
    coords = {
        "pair": [f"{a}_{b}".replace("-", "") for a, b in zip(first, second, strict=True)],
        "reference_date": ("pair", first.astype("datetime64[ns]")),
        "secondary_date": ("pair", second.astype("datetime64[ns]")),
        "days": ("pair", (second - first).astype(np.int64)),
        "year": ("pair", (first + (second - first) // 2).astype("datetime64[Y]").astype(int) + 1970),
        "perpendicular_baseline_m": ("pair", np.array([b for _, _, b in pairs])),
        "y": 3_500_000 - (np.arange(height) + 0.5) * CELL_M,
        "x": 600_000 + (np.arange(width) + 0.5) * CELL_M,
        "cell_area_m2": CELL_M**2,
    }
    attrs = {
        "crs": "EPSG:32629",
        "transform": (CELL_M, 0.0, 600_000.0, 0.0, -CELL_M, 3_500_000.0),
        "cell_area_m2": CELL_M**2,
        "simulated": True,
    }
    return xr.DataArray(values, dims=("pair", "y", "x"), coords=coords, attrs=attrs, name="coherence")


def varied_mine(rng: np.random.Generator, *, cells: int = 36, pairs_per_year: int = 12) -> MineStack:
    """Sample a small mine of a random kind, for campaigns of thousands: one zone of 5 to 15 hectares in one year.

    A third each is worked in six pairs of ten, worked in one or two pairs of the year, and worked by a face of half the
    zone that moves on. Vegetation, a stale slope, snow and gaps as of `simulate_mine_stack`.
    """
    duty, strips = ((0.6, 1), (0.1, 1), (0.6, 2))[int(rng.integers(3))]
    middle = cells * CELL_M / 2
    zone = WorkedZone(
        (middle + rng.uniform(20, 60), middle - rng.uniform(0, 40)), rng.uniform(130, 220), (2021,), duty, strips
    )
    return simulate_mine_stack(rng, [zone], cells=(cells, cells), pairs_per_year=pairs_per_year)
