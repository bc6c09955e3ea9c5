"""A pair from files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from shapely.geometry import mapping

from insar_mining.errors import OptionError
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Settings, hills, simulate_from_templates, write_dem

BOX = (-8.338, 31.711, -8.334, 31.714)
FEW = Settings(scatterers_per_cell=1.0, margin_m=50.0)


def write_zones(path: Path, coherence: object) -> Path:
    west, south, east, north = BOX
    middle = (west + east) / 2
    shapes = [(shapely.box(west, south, middle, north), 0.8), (shapely.box(middle, south, east, north), coherence)]
    features = [
        {"type": "Feature", "properties": {"id": f"z{i}", "coherence": value}, "geometry": mapping(shape)}
        for i, (shape, value) in enumerate(shapes)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def test_zones_dem_and_real_annotations_make_a_pair(tmp_path: Path, morocco_safe: Callable[[str], Path]) -> None:
    dem = write_dem(hills(32629, (562_930.0, 3_508_780.0)), (-8.40, 31.65, -8.28, 31.77), tmp_path / "model.tif")
    made = simulate_from_templates(
        tmp_path / "out", morocco_safe("20230904"), morocco_safe("20230916"),
        zones=write_zones(tmp_path / "zones.geojson", 0.2), dem=dem, settings=FEW,
    )  # fmt: skip
    assert open_product(made.secondary).start.astype("datetime64[D]") == np.datetime64("2023-09-16")
    with rasterio.open(made.truth) as source:
        temporal = source.read(1 + source.descriptions.index("temporal"))
    assert sorted(np.unique(temporal[np.isfinite(temporal)]).round(3)) == pytest.approx([0.2, 0.8, 0.9])
    with rasterio.open(made.dem) as source:
        assert np.ptp(source.read(1)) > 100, "the relief of the model is carried on"


def test_one_coherence_over_a_box_needs_no_files(tmp_path: Path) -> None:
    made = simulate_from_templates(tmp_path, zones=0.6, area=BOX, baseline_m=60.0, settings=FEW)
    with rasterio.open(made.truth) as source:
        assert float(np.nanmedian(source.read(2))) == pytest.approx(0.6, abs=1e-6)
        assert source.tags()["SECONDARY_DATE"] == "2023-09-16"


def test_wrong_zones_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="give an area"):
        simulate_from_templates(tmp_path, zones=0.5)
    for wrong in (None, 1.5, "high"):
        with pytest.raises(OptionError, match="zone z1"):
            simulate_from_templates(tmp_path, zones=write_zones(tmp_path / "zones.geojson", wrong), settings=FEW)
    assert not (tmp_path / "scenes").exists()
