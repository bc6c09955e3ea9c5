"""From the pixels of a burst to the cells of the map."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, parallel=True)
def bilinear(image, line, sample, chosen, out):  # type: ignore[no-untyped-def]
    """Fill the chosen cells of a map from fractional positions in an image.

    Parameters
    ----------
    image : ndarray of float32, shape (lines, samples)
    line, sample : ndarray, shape (rows, columns)
        Position of each cell's centre in `image`.
    chosen : ndarray of bool, shape (rows, columns)
        Cells to fill.
    out : ndarray of float32, shape (rows, columns)
        Written in place.  A cell becomes NaN where any of the pixels that bear weight is NaN
        or lies outside.
    """
    lines, samples = image.shape
    for r in numba.prange(out.shape[0]):
        for c in range(out.shape[1]):
            if not chosen[r, c]:
                continue
            y = line[r, c]
            x = sample[r, c]
            if not (y >= 0 and x >= 0 and y <= lines - 1 and x <= samples - 1):
                out[r, c] = np.nan
                continue
            i = min(math.floor(y), lines - 2)
            j = min(math.floor(x), samples - 2)
            v = y - i
            u = x - j
            total = 0.0
            if (1 - v) * (1 - u) > 0:
                total += (1 - v) * (1 - u) * image[i, j]
            if (1 - v) * u > 0:
                total += (1 - v) * u * image[i, j + 1]
            if v * (1 - u) > 0:
                total += v * (1 - u) * image[i + 1, j]
            if v * u > 0:
                total += v * u * image[i + 1, j + 1]
            out[r, c] = total
