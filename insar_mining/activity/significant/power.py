"""What a pair can show: full loss of a patch against the scatter of undisturbed ground."""

from __future__ import annotations

import numpy as np
from scipy import special

from insar_mining.activity.significant.classes import Classes
from insar_mining.activity.significant.level import Looks
from insar_mining.activity.significant.limits import Scatter
from insar_mining.arrays import BoolArray

POWER = 0.8
# coherence that ground must stand above the floor for its loss to be seen
LEAST_CONTRAST = 0.12
SIDES = range(3, 13)


def pairs_that_see(classes: Classes, looks: Looks, scatter: Scatter, limit: float) -> BoolArray:
    """Return which pair would show a full loss of 5 x 5 cells of each class, bool (pairs, classes).

    Parameters
    ----------
    classes : Classes
    looks : Looks
    scatter : Scatter
    limit : float
        Score, of a normal law, below which a loss is significant.
    """
    if len(classes.mean) < 2:
        # the level of a cell is that of its only pair
        return np.zeros(classes.mean.shape, np.bool_)
    lost = (looks.floor_atanh - classes.usual) / classes.spread
    standard = (lost - scatter.centre[:, None]) / scatter.scale[:, None]
    passes = standard <= limit * scatter.wide_widening - float(special.ndtri(POWER))
    return np.asarray(passes & (classes.mean - looks.floor > LEAST_CONTRAST))


def smallest_side(classes: Classes, looks: Looks, scatter: Scatter, limit: float, usual: float) -> int | None:
    """Return the side, in cells, of the smallest square that is found when it is fully lost in a median pair.

    Parameters
    ----------
    classes, looks, scatter, limit
        As of `pairs_that_see`.
    usual : float
        Own level of the ground.

    Returns
    -------
    int or None
        None where a square of 12 cells is not found.
    """
    place = float(classes.place(np.array([usual]))[0])
    k = min(round(place), classes.centres.size - 1)
    lost = float(np.median((looks.floor_atanh - classes.usual[:, k]) / classes.spread[:, k]))
    scale = float(np.median(scatter.scale))
    margin = float(special.ndtri(POWER))
    for side in SIDES:
        square = np.zeros((side + 8, side + 8))
        square[4:-4, 4:-4] = 1.0
        mean = _means(square) if looks.averaged else square
        wide = _means(mean)
        narrow = mean * lost <= limit * scatter.widening - margin
        seeds = (narrow | (wide * lost / scale <= limit * scatter.wide_widening - margin)) & (mean >= 0.5)
        if (_means(seeds.astype(float)) * 9 >= 7 - 1e-9)[seeds].any():
            return side
    return None


def _means(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 1)
    rows, cols = values.shape
    return np.asarray(sum(padded[y : y + rows, x : x + cols] for y in range(3) for x in range(3)) / 9)
