"""Where things are: orbit, ground, elevation; plain numpy, written again from textbook formulas."""

from __future__ import annotations

import datetime as dt
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.polynomial import Chebyshev
from pyproj import Transformer

A, B = 6378137.0, 6356752.314245179
LIGHT = 299_792_458.0
TO_ECEF = Transformer.from_crs(4979, 4978, always_xy=True)
TO_LONLAT = Transformer.from_crs(4978, 4979, always_xy=True)


class Path3:
    """The satellite's way: a Chebyshev fit of its positions, per axis; times in seconds from `origin`."""

    def __init__(self, vectors: list[tuple[dt.datetime, np.ndarray]], origin: dt.datetime, middle: dt.datetime) -> None:
        near = [(t, s) for t, s in vectors if abs((t - middle).total_seconds()) < 70]
        time = np.array([(t - origin).total_seconds() for t, _ in near])
        state = np.array([s for _, s in near])
        degree = min(9, len(time) - 1)
        self.axes = [Chebyshev.fit(time, state[:, k], degree) for k in range(3)]
        self.speeds = [axis.deriv() for axis in self.axes]
        self.accelerations = [axis.deriv(2) for axis in self.axes]

    def at(self, time: np.ndarray, which: str = "axes") -> np.ndarray:
        return np.stack([axis(time) for axis in getattr(self, which)], axis=-1)

    def zero_doppler(self, point: np.ndarray, start: float) -> tuple[np.ndarray, np.ndarray]:
        """Time at which each point is seen squarely, and its distance then (Newton's method)."""
        time = np.full(point.shape[:-1], start)
        for _ in range(4):
            gap = point - self.at(time)
            speed = self.at(time, "speeds")
            value = np.sum(gap * speed, axis=-1)
            slope = np.sum(gap * self.at(time, "accelerations"), axis=-1) - np.sum(speed * speed, axis=-1)
            time = time - value / slope
        return time, np.linalg.norm(point - self.at(time), axis=-1)

    def ground(self, time: np.ndarray, distance: np.ndarray, height: np.ndarray, guess: np.ndarray) -> np.ndarray:
        """Points at a distance, square to the track, at a height above the ellipsoid (Newton in three dimensions)."""
        satellite, speed = self.at(time), self.at(time, "speeds")
        unit = speed / np.linalg.norm(speed, axis=-1, keepdims=True)
        scale = np.stack([1 / (A + height) ** 2, 1 / (A + height) ** 2, 1 / (B + height) ** 2], axis=-1)
        point = np.broadcast_to(guess, satellite.shape).copy()
        for _ in range(6):
            gap = point - satellite
            values = np.stack(
                [
                    np.sum(gap**2, -1) - distance**2,
                    np.sum(gap * unit, -1),
                    np.sum(point**2 * scale, -1) - 1,
                ],
                axis=-1,
            )
            matrix = np.stack([2 * gap, unit, 2 * point * scale], axis=-2)
            point = point - np.linalg.solve(matrix, values[..., None])[..., 0]
        return point


@lru_cache
def geoid(userdir: Path) -> np.ndarray:
    """EGM96 as SNAP reads it: by counting characters and lines, not by looking for numbers."""
    file = userdir / "auxdata" / "dem" / "egm96" / "ww15mgh_b.zip"
    if not file.is_file():
        raise FileNotFoundError(f"EGM96 file not found: {file}")
    with zipfile.ZipFile(file) as archive:
        text = archive.read("ww15mgh_b.grd").decode("ascii")
    lines = text[75:].split("\n")
    per_row = 9 * (20 + 1) + 2
    rows = []
    for row in range(721):
        values = " ".join(lines[row * per_row : (row + 1) * per_row]).split()
        if len(values) != 1441:
            raise ValueError(f"EGM96: row {row} has {len(values)} values")
        rows.append(values)
    return np.array(rows, dtype=float)


class Elevation:
    """An external elevation model, with EGM96 added; the geoid alone where it has no height.

    As SNAP 13 and 14 do it, places are counted from the corner of the first cell and heights from its post, so that
    every height comes from half a cell further south and east (measured: 0.5003 columns, 0.49995 rows).
    """

    def __init__(self, file: Path, nodata: float, userdir: Path) -> None:
        import rasterio  # takes a while, and not all operators need heights

        with rasterio.open(file) as source:
            heights = source.read(1).astype(float)
            t = source.transform
        self.heights = np.where(heights == nodata, np.nan, heights)
        self.west, self.north = t.c, t.f
        self.step_x, self.step_y = t.a, -t.e
        self.egm = geoid(userdir)

    def at(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        above = bilinear(self.heights, (self.north - lat) / self.step_y, (lon - self.west) / self.step_x)
        below = bilinear(self.egm, (90 - lat) * 4, np.mod(lon, 360) * 4)
        return np.where(np.isnan(above), 0.0, above) + below


def bilinear(values: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    row, column = np.broadcast_arrays(row, column)
    ok = (row >= 0) & (column >= 0) & (row <= values.shape[0] - 1) & (column <= values.shape[1] - 1)
    r = np.clip(np.floor(np.where(ok, row, 0)).astype(int), 0, values.shape[0] - 2)
    c = np.clip(np.floor(np.where(ok, column, 0)).astype(int), 0, values.shape[1] - 2)
    v, u = row - r, column - c
    out = (
        values[r, c] * (1 - v) * (1 - u)
        + values[r, c + 1] * (1 - v) * u
        + values[r + 1, c] * v * (1 - u)
        + values[r + 1, c + 1] * v * u
    )
    return np.where(ok, out, np.nan)
