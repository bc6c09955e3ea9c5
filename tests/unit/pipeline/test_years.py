"""Years that lose all their pairs are named; the limit of black is that of the years shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from pyproj import Transformer
from shapely import transform
from shapely.geometry import box

from insar_mining.activity import annual_ndai, classify, ndai, rgb_composite
from insar_mining.errors import FewObservationsWarning
from insar_mining.geo.mines import mine_from_geometry
from insar_mining.options.models import ActivityOptions
from insar_mining.pipeline.analysis import analyse_maps

SIDE = 20


def test_a_year_that_loses_all_its_pairs_is_named(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    place = Affine(20, 0, 600_000, 0, -20, 3_500_000)
    for year, level in ((2021, 0.9), (2022, 0.4)):
        for first, second in (("0105", "0117"), ("0117", "0129"), ("0129", "0210"), ("0210", "0222")):
            values = (level + generator.uniform(-0.02, 0.02, (SIDE, SIDE))).astype(np.float32)
            profile = {"driver": "GTiff", "count": 1, "height": SIDE, "width": SIDE, "dtype": "float32"}
            path = tmp_path / f"{year}{first}_{year}{second}.tif"
            with rasterio.open(path, "w", crs="EPSG:32629", transform=place, **profile) as target:
                target.write(values, 1)
    to_lonlat = Transformer.from_crs(32629, 4326, always_xy=True)
    area = box(600_020, 3_499_640, 600_380, 3_499_980).segmentize(20)
    mine = mine_from_geometry(transform(area, lambda xy: np.column_stack(to_lonlat.transform(xy[:, 0], xy[:, 1]))))
    with pytest.warns(FewObservationsWarning, match=r"2022: all 4 pair\(s\) were rejected"):
        analysis = analyse_maps(tmp_path, mine, ActivityOptions(method="published"))
    assert analysis.years == [2021]
    assert any("2022" in note for note in analysis.notes)


def test_the_limit_of_black_comes_from_the_years_shown() -> None:
    """A fourth year in which stable ground scatters widely does not move the limit of the first three."""
    generator = np.random.default_rng(6)
    years = (2018, 2019, 2020, 2021)
    values = 0.9 + generator.normal(0, [0.01, 0.01, 0.01, 0.1], (10, 12, 4)).transpose(2, 0, 1)
    reference = np.array([f"{year}-03-05" for year in years], "datetime64[ns]")
    coh = xr.DataArray(
        values.clip(0, 1).astype(np.float32),
        dims=("pair", "y", "x"),
        coords={
            "reference_date": ("pair", reference),
            "secondary_date": ("pair", reference + np.timedelta64(12, "D")),
            "y": 3_500_000 - 20 * np.arange(10.0),
            "x": 600_000 + 20 * np.arange(12.0),
        },
        attrs={"crs": "EPSG:32629"},
    )
    stable = xr.ones_like(coh.isel(pair=0, drop=True), dtype=bool)
    annual = annual_ndai(ndai(coh, stable))
    shown = annual.values[:3].astype(np.float64)
    expected = shown.mean() + 3 * shown.std()
    assert expected < 0.6 * (annual.values.mean() + 3 * annual.values.std())
    assert classify(annual, years[:3]).attrs["black_below"] == pytest.approx(expected, rel=1e-6)
    assert classify(rgb_composite(annual, years[:3])).attrs["black_below"] == pytest.approx(expected, rel=1e-6)
