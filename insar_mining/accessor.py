"""The steps of the method as methods of an array: ``coh.insar.stable_points()``.

Each method is the function of the same name with the array as its first argument; none has logic of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr


@xr.register_dataarray_accessor("insar")  # type: ignore[no-untyped-call]
class InsarAccessor:
    """Offer the steps of the method on a cube of coherence, or on an array that an earlier step returned.

    Registered when ``insar_mining`` is imported after xarray, or when its first name is used; ``import
    insar_mining.accessor`` registers it in any case.

    Examples
    --------
    >>> import insar_mining as im
    >>> coh = im.open_stack("result/coherence", mine)  # doctest: +SKIP
    >>> stable = coh.insar.stable_points()  # doctest: +SKIP
    >>> annual = coh.insar.filter_scenes(stable).insar.ndai(stable).insar.annual_ndai()  # doctest: +SKIP
    """

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    def stable_points(self, **options: Any) -> xr.DataArray:
        """Find the stable points of a cube; see :func:`insar_mining.stable_points`."""
        from insar_mining.activity import stable_points

        return stable_points(self._array, **options)

    def filter_scenes(self, stable: xr.DataArray, **options: Any) -> xr.DataArray:
        """Keep the pairs of a cube in which stable points look stable; see :func:`insar_mining.filter_scenes`."""
        from insar_mining.activity import filter_scenes

        return filter_scenes(self._array, stable, **options)

    def ndai(self, stable: xr.DataArray, **options: Any) -> xr.DataArray:
        """Compute the index of every pair of a cube; see :func:`insar_mining.ndai`."""
        from insar_mining.activity import ndai

        return ndai(self._array, stable, **options)

    def annual_ndai(self, **options: Any) -> xr.DataArray:
        """Average an index over the pairs of each year; see :func:`insar_mining.annual_ndai`."""
        from insar_mining.activity import annual_ndai

        return annual_ndai(self._array, **options)

    def rgb_composite(self, years: Sequence[int] | None = None, **options: Any) -> xr.DataArray:
        """Show three years of an annual index as red, green and blue; see :func:`insar_mining.rgb_composite`."""
        from insar_mining.activity import rgb_composite

        return rgb_composite(self._array, years, **options)

    def classify(self, years: Sequence[int] | None = None, **options: Any) -> xr.DataArray:
        """Classify a composite or three years of an annual index; see :func:`insar_mining.classify`."""
        from insar_mining.activity import classify

        return classify(self._array, years, **options)

    def activity_table(self, **options: Any) -> pd.DataFrame:
        """Tabulate the active area of each year; see :func:`insar_mining.activity_table`."""
        from insar_mining.activity import activity_table

        return activity_table(self._array, **options)
