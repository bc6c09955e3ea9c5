"""Check that arrays are cubes of coherence and that layers lie on their cells."""

from __future__ import annotations

import numpy as np
import xarray as xr

from insar_mining.activity.cube.blocks import is_lazy
from insar_mining.errors import ActivityError


def check_cube(coh: xr.DataArray) -> None:
    """Refuse an array that is not a cube of coherence.

    Raises
    ------
    ActivityError
        Other dimensions, no pair, or values outside 0..1 (of a lazy cube these are found when they are read).
    """
    if coh.dims != ("pair", "y", "x"):
        raise ActivityError(
            f"a cube has the dimensions ('pair', 'y', 'x'), this one {coh.dims}. Open it with open_stack."
        )
    if coh.size == 0:
        raise ActivityError(f"the cube is empty ({dict(coh.sizes)}); it needs at least one pair and one pixel")
    if not is_lazy(coh):
        # fmin and fmax leave NaN aside
        low, high = np.fmin.reduce(coh.values, axis=None), np.fmax.reduce(coh.values, axis=None)
        if low < -1e-3 or high > 1 + 1e-3:
            raise ActivityError(f"values from {low:.6g} to {high:.6g}; coherence lies between 0 and 1")


def check_same_cells(coh: xr.DataArray, layer: xr.DataArray, what: str) -> None:
    """Refuse a map (y, x) that does not lie on the cells of a cube.

    Raises
    ------
    ActivityError
    """
    if layer.dims != ("y", "x") or layer.shape != coh.shape[1:]:
        raise ActivityError(
            f"the {what} have the shape {dict(layer.sizes)}, the cube {dict(coh.sizes)}. Take both from one stack."
        )
    for name in ("y", "x"):
        if name in layer.coords and name in coh.coords and not np.array_equal(layer[name], coh[name]):
            raise ActivityError(f"the {what} lie on other cells than the cube ({name} differs)")
