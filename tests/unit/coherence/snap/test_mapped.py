"""SNAP's map on the plan's grid: exactly on its cells, NaN from geometry and where SNAP lost a sample."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from insar_mining.coherence.snap.dimap import read_dimap
from insar_mining.coherence.snap.mapped import masked, on_grid
from insar_mining.errors import PartialCoverageWarning, SnapOutputError
from insar_mining.geo.grid import MapGrid

sys.path.insert(0, str(Path(__file__).parents[3] / "standin_gpt"))
from dimap_files import Product, write

GRID = MapGrid(32629, 500_000.0, 3_400_000.0, 20.0, 6, 5)


def dimap(tmp_path: Path, west: float, north: float, shape: tuple[int, int], size: float = 20.0, epsg: int = 32629):
    values = np.arange(1, shape[0] * shape[1] + 1, dtype=np.float32).reshape(shape)
    geo = (CRS.from_epsg(epsg).to_wkt("WKT1_GDAL"), (size, 0.0, 0.0, -size, west, north))
    write(Product({"coh": values}, [], geo, {}), tmp_path / "p.dim")
    return read_dimap(tmp_path / "p.dim"), values


def test_the_grid_is_cut_out_of_a_larger_map(tmp_path: Path) -> None:
    product, values = dimap(tmp_path, 499_960.0, 3_400_060.0, (12, 14))
    out, reached = on_grid(product, product.band("coh"), GRID)
    np.testing.assert_array_equal(out, values[3:8, 2:8])
    assert reached.all()


def test_what_the_map_does_not_reach_is_said(tmp_path: Path) -> None:
    product, values = dimap(tmp_path, 500_040.0, 3_399_960.0, (2, 20))
    out, reached = on_grid(product, product.band("coh"), GRID)
    assert reached.sum() == 2 * 4
    np.testing.assert_array_equal(out[2:4, 2:], values[:, :4])
    product, _ = dimap(tmp_path, 600_000.0, 3_400_000.0, (2, 2))
    assert not on_grid(product, product.band("coh"), GRID)[1].any()


@pytest.mark.parametrize(
    ("west", "north", "size"),
    [(500_010.0, 3_400_000.0, 20.0), (500_000.0, 3_400_000.01, 20.0), (500_000, 3_400_000, 20.1)],
)
def test_other_cells_are_an_error(tmp_path: Path, west: float, north: float, size: float) -> None:
    product, _ = dimap(tmp_path, west, north, (12, 14), size)
    with pytest.raises(SnapOutputError, match="not those of the common grid"):
        on_grid(product, product.band("coh"), GRID)


def test_another_projection_is_an_error_and_another_spelling_is_not(tmp_path: Path) -> None:
    product, _ = dimap(tmp_path, 500_000.0, 3_400_000.0, (5, 6), epsg=32630)
    with pytest.raises(SnapOutputError, match="is not EPSG:32629"):
        on_grid(product, product.band("coh"), GRID)
    # as GeoTools writes it: other names, no code, other parameters spelt out
    text = (
        'PROJCS["WGS 84 / UTM zone 29N", GEOGCS["WGS 84", DATUM["World Geodetic System 1984", SPHEROID["WGS 84", '
        '6378137.0, 298.257223563]], PRIMEM["Greenwich", 0.0], UNIT["degree", 0.017453292519943295], '
        'AXIS["Geodetic longitude", EAST], AXIS["Geodetic latitude", NORTH]], '
        'PROJECTION["Transverse_Mercator"], '
        'PARAMETER["central_meridian", -9.0], PARAMETER["latitude_of_origin", 0.0], PARAMETER["scale_factor", 0.9996], '
        'PARAMETER["false_easting", 500000.0], PARAMETER["false_northing", 0.0], '
        'UNIT["m", 1.0], AXIS["Easting", EAST], '
        'AXIS["Northing", NORTH]]'
    )
    write(Product({"coh": np.ones((5, 6), np.float32)}, [], (text, (20.0, 0, 0, -20.0, 500_000.0, 3_400_000.0)), {}),
          tmp_path / "p.dim")  # fmt: skip
    product = read_dimap(tmp_path / "p.dim")
    assert on_grid(product, product.band("coh"), GRID)[1].all()


def test_nan_comes_from_geometry_and_from_cells_that_snap_lost(tmp_path: Path) -> None:
    values = np.full((20, 20), 0.5, np.float32)
    values[3, 4] = 0.0  # inside: a sample with i = q = 0
    values[:, 0] = 0.3  # outside: a window that hangs over the edge of the data
    seen = np.ones(values.shape, bool)
    seen[:, 0] = False
    out = masked(values, np.ones_like(seen), seen, tmp_path)
    assert np.isnan(out[3, 4])
    assert np.isnan(out[:, 0]).all()
    assert np.isfinite(out[:, 1:]).sum() == out[:, 1:].size - 1
    assert out.dtype == np.float32


def test_many_zeros_warn_and_most_are_an_error(tmp_path: Path) -> None:
    values = np.full((10, 10), 0.5, np.float32)
    seen = np.ones(values.shape, bool)
    values[:1] = 0
    with pytest.warns(PartialCoverageWarning, match=r"10.0% of the cells"):
        masked(values, seen, seen, tmp_path)
    values[:6] = 0
    with pytest.raises(SnapOutputError, match="60% of the cells"):
        masked(values, seen, seen, tmp_path)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.01])
def test_what_is_no_coherence_is_an_error(tmp_path: Path, wrong: float) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[2, 2] = wrong
    seen = np.ones(values.shape, bool)
    with pytest.raises(SnapOutputError, match="are no coherence"):
        masked(values, seen, seen, tmp_path)


def test_cells_that_snap_left_out_are_an_error(tmp_path: Path) -> None:
    seen = np.ones((4, 4), bool)
    reached = seen.copy()
    reached[0] = False
    with pytest.raises(SnapOutputError, match="does not reach 4 of 16 cells"):
        masked(np.ones((4, 4), np.float32), reached, seen, tmp_path)
