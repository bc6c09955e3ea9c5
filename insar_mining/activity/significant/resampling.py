"""Loops that draw a stack of coherence again: ndarray in, ndarray out."""

from __future__ import annotations

import numba
import numpy as np

from insar_mining.activity.significant.local_scores import stable_at, undisturbed
from insar_mining.arrays import Float32Array, FloatArray
from insar_mining.coherence.estimators.statistics import SCORE_TRUE_MAX

# scores of the table of quantiles
SCORE_SPAN = 5.0
SCORE_NODES = 201


def quantile_table(score: Float32Array) -> Float32Array:
    """Sample coherence for a true coherence (rows, as of `score_table`) and a normal score (-5 to 5, columns)."""
    samples = np.linspace(0.0, 1.0, score.shape[1])
    wanted = np.linspace(-SCORE_SPAN, SCORE_SPAN, SCORE_NODES)
    return np.stack([np.interp(wanted, row, samples) for row in score]).astype(np.float32)


def moving_weights(neighbours: float) -> FloatArray:
    """Weights ``(a, b, a)`` of a moving mean whose neighbours correlate so (0 to 0.66).

    The same weights say which share of a cell's window lies on its neighbours: windows correlate by what they share.

    Examples
    --------
    >>> moving_weights(0.5).round(3)
    array([0.185, 0.631, 0.185])
    """
    rho = min(max(neighbours, 0.0), 0.66)
    # 2 q / (1 + 2 q^2) = rho, q = a / b
    q = 0.0 if rho < 1e-6 else (1 - np.sqrt(max(1 - 2 * rho**2, 0.0))) / (2 * rho)
    return np.array([q, 1.0, q]) / (1 + 2 * q)


@numba.njit(cache=True, nogil=True)
def moved_weights(weights, shift, out):  # type: ignore[no-untyped-def]
    """Weights of five cells for a window of three that lies `shift` (-0.5 to 0.5) cells beside its own."""
    for k in range(5):
        out[k] = 0.0
    step = 1 if shift >= 0 else -1
    part = abs(shift)
    for k in range(3):
        out[k + 1] += weights[k] * (1 - part)
        out[k + 1 + step] += weights[k] * part


@numba.njit(cache=True, nogil=True)
def drawn_again(  # type: ignore[no-untyped-def]
    values, white, stable, spans, ratio, disturbed, level, quantile, down, across, noise_down, noise_across
):
    """Draw the coherence of a block again.

    Parameters
    ----------
    values : ndarray of float32 (pairs, rows, columns)
        As measured: only where there is data matters.
    white : ndarray of float32 (pairs, rows + 2, columns + 2)
        Standard normal.
    stable, spans : ndarray (pairs,)
        True coherence of stable ground, as drawn again; spans over the shortest.
    ratio : ndarray (rows, columns)
        Of undisturbed cells to the stable ground.
    disturbed : ndarray of bool (pairs, rows, columns)
    level : ndarray (pairs,)
        True coherence of disturbed ground.
    quantile : ndarray
        Of `quantile_table`.
    down, across : ndarray (5,)
        Shares of a window on the cells around.
    noise_down, noise_across : ndarray (3,)
        Weights that give neighbours their correlation.
    """
    pairs, rows, cols = values.shape
    out = np.empty(values.shape, np.float32)
    share = np.empty((rows, cols))
    part = np.empty((rows + 4, cols + 4))
    smooth = np.empty((rows + 2, cols))
    size = np.sqrt((noise_down**2).sum() * (noise_across**2).sum())
    to_row = (quantile.shape[0] - 1) / SCORE_TRUE_MAX
    to_col = (quantile.shape[1] - 1) / (2 * SCORE_SPAN)
    for p in range(pairs):
        some = False
        for y in range(rows):
            for x in range(cols):
                share[y, x] = 1.0 if disturbed[p, y, x] else 0.0
                some = some or disturbed[p, y, x]
        if some:
            for y in range(rows):
                for x in range(cols):
                    s = 0.0
                    for k in range(5):
                        s += across[k] * share[y, min(max(x + k - 2, 0), cols - 1)]
                    part[y, x] = s
            for y in range(rows):
                for x in range(cols):
                    s = 0.0
                    for k in range(5):
                        s += down[k] * part[min(max(y + k - 2, 0), rows - 1), x]
                    share[y, x] = s
        for y in range(rows + 2):
            for x in range(cols):
                smooth[y, x] = (
                    noise_across[0] * white[p, y, x]
                    + noise_across[1] * white[p, y, x + 1]
                    + noise_across[2] * white[p, y, x + 2]
                )
        for y in range(rows):
            for x in range(cols):
                v = values[p, y, x]
                if v != v:
                    out[p, y, x] = np.nan
                    continue
                z = noise_down[0] * smooth[y, x] + noise_down[1] * smooth[y + 1, x] + noise_down[2] * smooth[y + 2, x]
                rests = undisturbed(stable_at(stable, p, y, x), ratio[y, x], spans[p])
                true = rests + share[y, x] * (level[p] - rests)
                a = min(max(true, 0.0), SCORE_TRUE_MAX) * to_row
                i = min(int(a), quantile.shape[0] - 2)
                a -= i
                b = (min(max(z / size, -SCORE_SPAN), SCORE_SPAN) + SCORE_SPAN) * to_col
                j = min(int(b), quantile.shape[1] - 2)
                b -= j
                low = quantile[i, j] + b * (quantile[i, j + 1] - quantile[i, j])
                high = quantile[i + 1, j] + b * (quantile[i + 1, j + 1] - quantile[i + 1, j])
                out[p, y, x] = low + a * (high - low)
    return out
