"""What a map loses where its elevation model ends."""

from __future__ import annotations

import numpy as np
import pytest

from insar_mining.geo.elevation import Dem
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.terrain import lost_at_rim

STEP = 1 / 3600


def dem_around(grid: MapGrid, margin_deg: float) -> Dem:
    west, south, east, north = grid.bounds_lonlat()
    columns = round((east - west + 2 * margin_deg) / STEP) + 1
    rows = round((north - south + 2 * margin_deg) / STEP) + 1
    return Dem(np.zeros((rows, columns), np.float32), west - margin_deg, north + margin_deg, STEP, STEP, "a model")


@pytest.mark.parametrize(("lon", "lat"), [(-8.77, 31.8), (179.999, -17.6), (23.0, 67.5)])
def test_cells_without_a_value_near_the_end_are_counted(lon: float, lat: float) -> None:
    from shapely.geometry import box

    grid = MapGrid.around(box(lon - 0.02, lat - 0.01, lon + 0.02, lat + 0.01), 20.0)
    values = np.ones(grid.shape, dtype=np.float32)
    middle = grid.height // 2, grid.width // 2
    values[middle] = np.nan  # missing for another reason
    tight = dem_around(grid, 0.0005)
    assert lost_at_rim(values, grid, tight) is None
    values[:5], values[:, -3:] = np.nan, np.nan
    rim = lost_at_rim(values, grid, tight)
    assert rim is not None
    lost = int(np.isnan(values).sum()) - 1
    assert rim.share == pytest.approx(lost / values.size)
    # a step of 31 m at most: the model's posts are whole steps
    assert rim.margin_m == pytest.approx(0.0005 * 111_320 * np.cos(np.radians(lat)), abs=16)
    assert lost_at_rim(values, grid, dem_around(grid, 0.01)) is None
    assert lost_at_rim(values, grid, dem_around(grid, -0.001)).margin_m < 0  # type: ignore[union-attr]
