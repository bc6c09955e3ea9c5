"""SNAP's map as the plan wants it: on the common grid, and NaN where geometry says that there are no data."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from insar_mining.arrays import Float32Array
from insar_mining.coherence.snap.dimap import Band, Dimap
from insar_mining.errors import PartialCoverageWarning, SnapOutputError
from insar_mining.geo.grid import MapGrid

ON_GRID_M = 1e-3
MANY_ZEROS, MOSTLY_ZEROS = 0.01, 0.5


def on_grid(product: Dimap, band: Band, grid: MapGrid) -> tuple[Float32Array, npt.NDArray[np.bool_]]:
    """Return the part of a mapped band that a grid asks for, and which cells the product reaches.

    Raises
    ------
    SnapOutputError
        The product does not lie on the grid's cells.
    """
    t = product.transform
    if t is None or product.crs_wkt is None:
        raise SnapOutputError(f"{product.path}: is not on a map; SNAP's terrain correction did not run")
    _check_crs(product, grid)
    column, row = (t.c - grid.west_m) / grid.spacing_m, (grid.north_m - t.f) / grid.spacing_m
    first_column, first_row = round(column), round(row)
    off = max(abs(column - first_column), abs(row - first_row), abs(t.a / grid.spacing_m - 1) * product.width,
              abs(t.e / grid.spacing_m + 1) * product.height, abs(t.b), abs(t.d)) * grid.spacing_m  # fmt: skip
    if not off < ON_GRID_M:
        raise SnapOutputError(
            f"{product.path}: its cells ({t.a:g} x {t.e:g} m from {t.c}, {t.f}) are not those of the common grid "
            f"({grid.spacing_m:g} m, edges on multiples of it): off by {off:g} m; the template terrain-correction "
            "must align to the standard grid with its origin half a cell off"
        )
    values = np.zeros(grid.shape, dtype=np.float32)
    reached = np.zeros(grid.shape, dtype=np.bool_)
    rows = slice(max(first_row, 0), min(first_row + band.height, grid.height))
    columns = slice(max(first_column, 0), min(first_column + band.width, grid.width))
    if rows.start < rows.stop and columns.start < columns.stop:
        pixels = band.pixels()
        values[rows, columns] = pixels[
            rows.start - first_row : rows.stop - first_row, columns.start - first_column : columns.stop - first_column
        ]
        reached[rows, columns] = True
    return values, reached


def _check_crs(product: Dimap, grid: MapGrid) -> None:
    """Compare two coordinate systems by what they do: names and codes differ between libraries."""
    try:
        to_lonlat = Transformer.from_crs(CRS.from_wkt(product.crs_wkt or ""), 4326, always_xy=True)
    except CRSError as error:
        raise SnapOutputError(f"{product.path}: its coordinate system cannot be read ({error})") from error
    west, south, east, north = grid.bounds
    back = Transformer.from_crs(4326, grid.epsg, always_xy=True)
    for x, y in ((west, south), (east, north)):
        again = back.transform(*to_lonlat.transform(x, y))
        if not max(abs(again[0] - x), abs(again[1] - y)) < ON_GRID_M:
            raise SnapOutputError(
                f"{product.path}: its coordinate system is not {grid.crs}, which it was to be mapped to"
            )


def masked(
    values: Float32Array, reached: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_], path: Path
) -> Float32Array:
    """Set NaN where geometry says that there are no data; what SNAP says elsewhere counts, also a 0.

    Raises
    ------
    SnapOutputError
        SNAP left out cells that both dates see, most values are 0, or some are no coherence.
    """
    missing = seen & ~reached
    if missing.any():
        raise SnapOutputError(
            f"{path}: does not reach {np.count_nonzero(missing)} of {np.count_nonzero(seen)} cells that both dates "
            "see; run SNAP again, and use --engine builtin if it stays so"
        )
    inside = values[seen]
    if inside.size and not (np.isfinite(inside).all() and inside.min() >= 0 and inside.max() <= 1 + 1e-3):
        raise SnapOutputError(f"{path}: values from {inside.min()} to {inside.max()} are no coherence (0..1)")
    zeros = float(np.mean(inside == 0)) if inside.size else 0.0
    if zeros > MOSTLY_ZEROS:
        raise SnapOutputError(
            f"{path}: {zeros:.0%} of the cells that both dates see are exactly 0; SNAP coregistered no data there. "
            "Check orbits and elevation model, or use --engine builtin"
        )
    if zeros > MANY_ZEROS:
        warnings.warn(
            f"{zeros:.1%} of the cells that both dates see are exactly 0 in SNAP's map; they are kept as 0",
            PartialCoverageWarning,
            stacklevel=4,
        )
    return np.where(seen, np.minimum(values, np.float32(1)), np.float32(np.nan)).astype(np.float32)
