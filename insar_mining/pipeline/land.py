"""Disturbed and silent ground of a result's own maps, as zones of land carbon."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyproj import CRS

from insar_mining.doors import GEOTIFF, guarded, open_raster
from insar_mining.emissions.land import HM2_M2, silent_ground
from insar_mining.errors import EmissionsError
from insar_mining.geo.cells import cell_area_m2, cover_fraction
from insar_mining.geo.grid import RasterGrid
from insar_mining.geo.mines import read_mines

MIN_COVER = 0.5


def read_active(folder: Path | str) -> tuple[dict[int, npt.NDArray[np.bool_]], RasterGrid]:
    """Read the maps ``active_<year>.tif`` of a result, True where the ground was active.

    Raises
    ------
    EmissionsError
        There is none, or they are of different grids.
    """
    active: dict[int, npt.NDArray[np.bool_]] = {}
    grids = []
    for path in sorted(Path(folder).glob("active_*.tif")):
        if match := re.fullmatch(r"active_(\d{4})", path.stem):
            with guarded(EmissionsError, path, "Make the result again."), open_raster(path, GEOTIFF) as source:
                active[int(match[1])] = source.read(1) == 1
                crs = CRS.from_user_input(source.crs)
                grids.append(RasterGrid(crs, source.transform, source.width, source.height))
    if not active:
        raise EmissionsError(f"{folder}: no active_<year>.tif. Give the folder of a result of the significant method")
    if any(grid != grids[0] for grid in grids):
        raise EmissionsError(f"{folder}: maps of different grids. Give the maps of one result")
    return active, grids[0]


def disturbed_zones(folder: Path | str, density_kg_m2: float, surfaces: Path | str | None = None) -> pd.DataFrame:
    """Return the ground of a result that was disturbed in any year, by kind and by the first year.

    Parameters
    ----------
    folder : path
        Of a result.
    density_kg_m2 : float
        Soil carbon density of the ground.
    surfaces : path, optional
        Polygons with a name; ground of none of them is ``rest``. A cell counts by the share that each covers.

    Returns
    -------
    DataFrame
        Zones as of `read_zones`, with the column first_year: every cell counts once.
    """
    active, grid = read_active(folder)
    area = np.broadcast_to(cell_area_m2(grid), (grid.height, grid.width))
    shares = {"disturbed": np.ones(area.shape)}
    if surfaces is not None:
        shares = {
            mine.name: cover_fraction(grid, mine).values.astype(np.float64) for mine in read_mines(Path(surfaces))
        }
        shares["rest"] = np.clip(1.0 - np.sum(list(shares.values()), axis=0), 0.0, 1.0)
    lines = []
    seen = np.zeros(area.shape, bool)
    for year in sorted(active):
        new = active[year] & ~seen
        seen |= new
        for name, share in shares.items():
            lines.append((f"{name} {year}", float((area * share)[new].sum()) / HM2_M2, year))
    table = pd.DataFrame(lines, columns=["zone", "area_hm2", "first_year"])
    return table[table["area_hm2"] > 0].assign(soil_density_kg_m2=density_kg_m2, vegetation_t_co2_hm2=0.0)


def reclaimed_m2(folder: Path | str, declared: Path | str, quiet: int = 2) -> float:
    """Return the ground inside declared polygons that was active and is not in the last years, square metres."""
    active, grid = read_active(folder)
    inside = np.zeros((grid.height, grid.width), bool)
    for mine in read_mines(Path(declared)):
        inside |= cover_fraction(grid, mine).values >= MIN_COVER
    return silent_ground(active, np.asarray(cell_area_m2(grid)), inside, quiet)
