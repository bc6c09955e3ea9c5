"""What was simulated, set beside what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import ndimage

from insar_mining.activity.analysis import Analysis, Comparison
from insar_mining.doors import GEOTIFF, open_raster
from insar_mining.errors import OptionError
from insar_mining.pipeline.analysis import active_map

# cells of the map within which an edge is blurred by the coherence window and the interpolation
EDGE_CELLS = 2


@dataclass(frozen=True, eq=False)
class Truth:
    """Hold where and how much ground was worked, as it was simulated.

    Attributes
    ----------
    active : DataArray (year, y, x) of bool
        On any grid that holds the result's cells.
    area_m2 : mapping of int to float
        True area per year, square metres.
    """

    active: xr.DataArray
    area_m2: Mapping[int, float]

    @classmethod
    def read(cls, path: Path, area_m2: Mapping[int, float]) -> Truth:
        """Read a GeoTIFF with one band ``active_<year>`` per year, 1 where the ground was worked."""
        with open_raster(path, GEOTIFF) as source:
            bands, transform = source.read(), source.transform
            years = [int(str(name).removeprefix("active_")) for name in source.descriptions]
        rows, columns = bands.shape[1:]
        active = xr.DataArray(
            bands == 1,
            dims=("year", "y", "x"),
            coords={
                "year": years,
                "y": transform.f + transform.e * (np.arange(rows) + 0.5),
                "x": transform.c + transform.a * (np.arange(columns) + 0.5),
            },
        )
        return cls(active, area_m2)


def _with_decision(analysis: Analysis) -> npt.NDArray[np.bool_]:
    """Return the cells that were decided in every year."""
    if analysis.significance is not None:
        active = analysis.significance.active
        return np.asarray((active.values != active.attrs["nodata"]).all(axis=0))
    classes = analysis.classes[max(analysis.classes)]
    return np.asarray(classes.values != classes.attrs["nodata"])


def compare(analysis: Analysis, truth: Truth) -> Comparison:
    """Set an analysis beside the truth.

    Raises
    ------
    OptionError
        The truth names none of the years whose active ground is known.
    """
    maps = {year: active_map(analysis, year) for year in analysis.years if year in truth.area_m2}
    found = {year: raster for year, raster in maps.items() if raster is not None}
    if not found:
        raise OptionError("the truth names none of the years whose active ground is known. Give other years.")
    y, x = analysis.coh["y"].values, analysis.coh["x"].values
    on_cells = truth.active.sel(year=list(found)).sel(y=y, x=x, method="nearest").assign_coords(y=y, x=x)
    area = analysis.activity.set_index("year")["area_m2"]
    cell_m2 = np.broadcast_to(np.asarray(analysis.coh["cell_area_m2"].values, dtype=float), y.shape)[:, np.newaxis]
    inside = _with_decision(analysis)
    rows = []
    for year, raster in found.items():
        worked = on_cells.sel(year=year).values & inside
        seen = raster.values & inside
        wrong = worked ^ seen
        edge = ndimage.binary_dilation(worked, iterations=EDGE_CELLS) & ~ndimage.binary_erosion(
            worked, iterations=EDGE_CELLS
        )
        rows.append(
            {
                "year": year,
                "truth_area_m2": float(truth.area_m2[year]),
                "found_area_m2": float(area[year]),
                "missed_m2": float(((worked & ~seen) * cell_m2).sum()),
                "false_m2": float(((seen & ~worked) * cell_m2).sum()),
                "edge_share": float((wrong & edge).sum() / max(1, wrong.sum())),
            }
        )
    years = xr.DataArray(list(found), dims="year", name="year")
    stacked = xr.concat([raster.reset_coords(drop=True) for raster in found.values()], dim=years)
    return Comparison(pd.DataFrame(rows), stacked, on_cells)
