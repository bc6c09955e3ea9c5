"""The engine's map against a real one of the same pair, made by another processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import Resampling, reproject
from shapely.geometry import box

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import make_plan
from insar_mining.simulate import Settings, load_template, simulate_pair, terrain_from_dem

MOROCCO = Path(__file__).parents[1] / "data" / "morocco"
EPSG = 32629
ROWS_IW1_ONLY = 150  # north of the first line of IW2 only IW1 sees the ground


@pytest.mark.slow
def test_valid_area_is_that_of_the_real_map(morocco_safe, tmp_path):
    """Where only IW1 sees the ground, the valid area ends within 2 cells of the real map's, in every row.

    The real map (eo_tools, 17 m cells) merges IW1 and IW2; its edge in the north is the far edge of IW1.
    """
    with rasterio.open(MOROCCO / "coh_vv.tif") as source:
        real = source.read(1)[:ROWS_IW1_ONLY] > 0
        transform, crs = source.transform, source.crs
        west, north = source.bounds.left, source.bounds.top
        cell = source.res
    # from a few hundred metres west of the edge to the crop's eastern end
    edges = real.argmax(axis=1)
    area = box(
        west + (edges.min() - 20) * cell[0], north - ROWS_IW1_ONLY * cell[1], west + (edges.max() + 60) * cell[0], north
    )
    reference, secondary = (load_template(morocco_safe(date)) for date in ("20230904", "20230916"))
    pair = simulate_pair(
        tmp_path / "scenes",
        reference=reference,
        secondary=secondary,
        swaths="IW1",
        area=area,
        terrain=terrain_from_dem(MOROCCO / "dem_morocco_iw1.tif", EPSG, bounds_deg=area.buffer(0.05).bounds),
        coherence=0.9,
        rng=np.random.default_rng(5),
        settings=Settings(scatterers_per_cell=1.0),
    )
    with pytest.warns(match="sees"):
        plan = make_plan(
            pair.reference,
            pair.secondary,
            area=area,
            dem=MOROCCO / "dem_morocco_iw1.tif",
            out=tmp_path / "coherence.tif",
        )
    with rasterio.open(coherence(plan)) as source:
        valid = np.isfinite(source.read(1)).astype(np.uint8)
        ours = np.zeros(real.shape, np.uint8)
        reproject(
            valid,
            ours,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_transform=transform,
            dst_crs=crs,
            resampling=Resampling.nearest,
        )
    rows = slice(3, ROWS_IW1_ONLY - 3)  # the map's own rim
    found = ours[rows].argmax(axis=1)
    assert np.abs(found - edges[rows]).max() <= 2, found - edges[rows]
    inside = slice(edges.max() + 3, edges.max() + 50)
    assert ours[rows, inside].all()
    assert real[rows, inside].all()
