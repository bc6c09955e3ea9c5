"""Scenes of known truth that a method of activity has to stand: weather, seasons, tight polygons, partial work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from insar_mining.arrays import BoolArray, IntArray
from insar_mining.simulate.worlds import FINE_M, KnownStack, Weather, WorkedGround, simulate_world

CELLS = 60
SIDE = int(CELLS * 20 / FINE_M)
HARD_RAIN, RAIN = 0.64, 0.36
WET_PAIRS = (4, 11, 18, 25)
# shares of the mine's ground, and the strength of rain in each wet pair
GROUNDS: Mapping[str, tuple[Mapping[str, float], float]] = {
    "rock": ({}, 0.0),
    "grass": ({"grass": 0.4}, 0.0),
    "soil, hard rain": ({"soil": 0.4}, HARD_RAIN),
    "soil, rain": ({"soil": 0.4}, RAIN),
    "vegetation": ({"vegetation": 0.3}, 0.0),
    "all": ({"soil": 0.3, "grass": 0.2, "vegetation": 0.1}, HARD_RAIN),
}


# most of a random mine that is not rock
MOST_SHARE = 0.95


class Row(NamedTuple):
    """Hold a kind of scene: its name, and how one is made of a random generator."""

    name: str
    make: Callable[[np.random.Generator], KnownStack]


def _weather(strength: float) -> Weather:
    return Weather(dict.fromkeys(WET_PAIRS, strength) if strength else {})


def circles(centres: list[tuple[float, float]], radius: float) -> IntArray:
    """Return zones that are circles, in cells of the mine."""
    row, col = np.mgrid[:SIDE, :SIDE] * FINE_M / 20
    zones = np.full((SIDE, SIDE), -1)
    for number, (y, x) in enumerate(centres):
        zones[(row - y) ** 2 + (col - x) ** 2 < radius**2] = number
    return zones


def three_zones(pairs: int, level: float = 0.05) -> WorkedGround:
    """Return three zones of 10 ha: worked always, in every third pair, in one pair."""
    when = np.zeros((pairs, 3), np.bool_)
    when[:, 0] = True
    when[::3, 1] = True
    when[pairs // 4, 2] = True
    return WorkedGround(circles([(15, 15), (15, 43), (43, 30)], 8.94), when, level)


def closed_mine(ground: str, pairs: int = 29) -> Row:
    """Return a mine in which nobody works, on some ground of `GROUNDS`."""
    shares, rain = GROUNDS[ground]
    return Row(
        f"closed: {ground}" + ("" if pairs == 29 else f", {pairs} pairs"),
        lambda rng: simulate_world(rng, shares=shares, weather=_weather(rain), pairs=pairs),
    )


def worked_mine(ground: str, pairs: int = 29) -> Row:
    """Return a mine with three worked zones on some ground of `GROUNDS`."""
    shares, rain = GROUNDS[ground]
    return Row(
        f"three zones: {ground}" + ("" if pairs == 29 else f", {pairs} pairs"),
        lambda rng: simulate_world(rng, shares=shares, weather=_weather(rain), pairs=pairs, work=three_zones(pairs)),
    )


def tight_polygon(duty: float) -> Row:
    """Return a mine all of whose blocks of 200 m are worked in a share of the pairs."""
    row, col = np.mgrid[:SIDE, :SIDE] // 40
    zones = row * 6 + col

    def make(rng: np.random.Generator) -> KnownStack:
        return simulate_world(rng, work=WorkedGround(zones, rng.random((29, 36)) < duty))

    return Row(f"tight polygon, {100 * duty:.0f} % of pairs", make)


def partly_worked(level: float) -> Row:
    """Return a zone of 14.4 ha that keeps some coherence when it is worked, in a third of the pairs."""
    when: BoolArray = np.zeros((29, 1), np.bool_)
    when[::3] = True
    zones = circles([(30, 30)], 10.7)
    return Row(f"partly worked to {level:g}", lambda rng: simulate_world(rng, work=WorkedGround(zones, when, level)))


def ellipses(cell_m: float = 20.0, pairs: int = 29) -> Row:
    """Return one to four random ellipses, each worked in a random share of the pairs."""

    def make(rng: np.random.Generator) -> KnownStack:
        scale = cell_m / 20
        side = int(SIDE * scale)
        row, col = np.mgrid[:side, :side] * FINE_M / cell_m
        zones, when = np.full((side, side), -1), []
        for number in range(int(rng.integers(1, 5))):
            y, x = rng.uniform(12, 48, 2)
            a, b, turn = *rng.uniform(5, 11, 2), rng.uniform(0, np.pi)
            u, v = (
                (row - y) * np.cos(turn) + (col - x) * np.sin(turn),
                (col - x) * np.cos(turn) - (row - y) * np.sin(turn),
            )
            zones[((u / a) ** 2 + (v / b) ** 2 < 1) & (zones < 0)] = number
            worked = rng.random(pairs) < rng.choice([0.05, 0.2, 0.6, 1.0])
            worked[int(rng.integers(pairs))] = True
            when.append(worked)
        return simulate_world(rng, work=WorkedGround(zones, np.stack(when, axis=1)), pairs=pairs, cell_m=cell_m)

    return Row(f"random ellipses, cells of {cell_m:g} m", make)


def moving_face() -> Row:
    """Return a face of 60 m that moves over 77 ha, a strip in each pair."""
    zones = np.full((SIDE, SIDE), -1)
    strip = int(60 / FINE_M)
    for number in range(15):
        top = 30 + number * strip
        zones[top : top + strip, 34:206] = number
    when: BoolArray = np.zeros((29, 15), np.bool_)
    when[np.arange(29), np.arange(29) % 15] = True
    return Row("moving face of 60 m", lambda rng: simulate_world(rng, work=WorkedGround(zones, when)))


def small_mine() -> Row:
    """Return a mine of 30 cells, 12 of them always worked."""
    zones = np.full((20, 24), -1)
    zones[4:16, 4:20] = 0
    when: BoolArray = np.ones((29, 1), np.bool_)
    return Row(
        "mine of 30 cells, 12 worked", lambda rng: simulate_world(rng, work=WorkedGround(zones, when), cells=(5, 6))
    )


def random_world(*, worked: bool = True, forest: bool = False) -> Row:
    """Return a random mixture of ground, weather, pairs and work."""

    def make(rng: np.random.Generator) -> KnownStack:
        pairs = int(rng.integers(8, 31))
        names = ["soil", "grass", "vegetation"]
        shares = {name: float(rng.uniform(0.05, 0.35)) for name in names if rng.random() < 0.6}
        if forest:
            shares["forest"] = float(rng.uniform(0.05, 0.25))
        # some rock is left
        shares = {name: share * min(1.0, MOST_SHARE / sum(shares.values())) for name, share in shares.items()}
        rain = {int(p): float(rng.uniform(0.2, 0.8)) for p in rng.choice(pairs, int(rng.integers(0, 5)), False)}
        snow = [int(p) for p in rng.choice(pairs, int(rng.integers(0, 3)), False)]
        weather = Weather(rain, float(rng.uniform(0, 0.5)), snow)
        work = _random_work(rng, pairs) if worked else None
        return simulate_world(rng, shares=shares, work=work, weather=weather, pairs=pairs)

    return Row(f"random worlds, {'worked' if worked else 'closed'}{', forest inside' if forest else ''}", make)


def _random_work(rng: np.random.Generator, pairs: int) -> WorkedGround:
    centres = [(float(y), float(x)) for y, x in rng.uniform(12, 48, (int(rng.integers(1, 4)), 2))]
    zones = circles(centres, float(rng.uniform(5, 10)))
    when = rng.random((pairs, len(centres))) < rng.choice([0.15, 0.4, 1.0], len(centres))
    when[rng.integers(pairs, size=len(centres)), np.arange(len(centres))] = True
    return WorkedGround(zones, when, float(rng.uniform(0.0, 0.3)))


def without_surroundings(coh: xr.DataArray) -> xr.DataArray:
    """Return the part of a cube that is the mine's."""
    rows, cols = (np.flatnonzero((coh["cover"].values > 0).any(axis=axis)) for axis in (1, 0))
    part = coh[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return part.assign_attrs(margin_m=0.0)


def every_row() -> list[Row]:
    """Return all kinds of scenes, closed mines first."""
    return [
        *(closed_mine(name) for name in GROUNDS),
        closed_mine("vegetation", pairs=4),
        *(worked_mine(name) for name in GROUNDS if name != "soil, rain"),
        *(tight_polygon(duty) for duty in (0.07, 0.15, 0.3)),
        *(partly_worked(level) for level in (0.75, 0.55, 0.45)),
        ellipses(),
        ellipses(80.0),
        moving_face(),
        worked_mine("rock", pairs=10),
        worked_mine("rock", pairs=6),
        small_mine(),
        random_world(),
        random_world(forest=True),
        random_world(worked=False),
    ]
