"""The accessor returns what the functions return; short forms for notebooks escape what comes from outside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from shapely.geometry import box

import insar_mining as im
import insar_mining.accessor
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack


@pytest.fixture(scope="module")
def coh() -> xr.DataArray:
    zones = [WorkedZone((300.0, 300.0), 120.0, (2021, 2022))]
    return simulate_mine_stack(
        np.random.default_rng(3), zones, cells=(30, 30), years=(2021, 2022, 2023), pairs_per_year=6
    ).coh


def test_every_method_is_the_function_of_its_name(coh: xr.DataArray) -> None:
    stable = coh.insar.stable_points()
    xr.testing.assert_identical(stable, im.stable_points(coh))
    kept = coh.insar.filter_scenes(stable)
    index = kept.insar.ndai(stable)
    annual = index.insar.annual_ndai()
    xr.testing.assert_identical(annual, im.annual_ndai(im.ndai(im.filter_scenes(coh, stable), stable)))
    rgb = annual.insar.rgb_composite((2021, 2022, 2023))
    classes = rgb.insar.classify()
    xr.testing.assert_identical(classes, im.classify(im.rgb_composite(annual, (2021, 2022, 2023))))
    pd.testing.assert_frame_equal(classes.insar.activity_table(), im.activity_table(classes))


def test_short_forms_escape_names() -> None:
    mine = im.mine_from_geometry(box(21.0, -27.0, 21.01, -26.99), id="x", name="<script>alert(1)</script>")
    shown = mine._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
