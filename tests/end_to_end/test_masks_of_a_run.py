"""A pond inside a mine is told from worked ground by its dark echo, without an option."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer
from shapely.geometry import Polygon, box, mapping

from insar_mining.coherence.builtin import mapbands
from insar_mining.geo.mines import read_mines
from insar_mining.pipeline import analyse, run
from insar_mining.pipeline.masks import MASKS
from insar_mining.simulate import Acquisition, Settings, flat, morocco_template, simulate_stack

EPSG, LON, LAT = 32629, -8.771, 31.797
HALF_M, POND_M, SURROUNDINGS_M = 300.0, 100.0, 200.0
SIGMA_DN, SNR_DB, POND_DB = 75.0, 20.0, -30.0
CENTRE = Transformer.from_crs(4326, EPSG, always_xy=True).transform(LON, LAT)


@dataclass(frozen=True)
class NoiseOfTheSimulation:
    """The power of the simulated noise, the same everywhere."""

    power_dn2: float = 2 * SIGMA_DN**2 * 10 ** (-SNR_DB / 10)

    def power(self, line: np.ndarray, sample: np.ndarray) -> np.ndarray:
        return np.full(np.broadcast(line, sample).shape, self.power_dn2)


def square(half_m: float) -> Polygon:
    east, north = CENTRE
    outline = gpd.GeoSeries([box(east - half_m, north - half_m, east + half_m, north + half_m)], crs=EPSG)
    return outline.to_crs(4326).iloc[0]


def pond(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(np.maximum(np.abs(x - CENTRE[0]), np.abs(y - CENTRE[1])) < POND_M, POND_DB, 0.0)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six dates of a closed mine of rock with a pond of 200 m, and the outline of the mine."""
    folder = tmp_path_factory.mktemp("pond")
    simulate_stack(
        folder,
        [Acquisition(morocco_template(), 12 * n, perpendicular_m=20.0 * n) for n in range(6)],
        area=square(HALF_M + SURROUNDINGS_M),
        terrain=flat(EPSG, 620.0),
        coherence=lambda _: lambda x, y: np.full(x.shape, 0.9),
        rng=np.random.default_rng(23),
        settings=Settings(snr_db=SNR_DB, sigma_dn=SIGMA_DN, scatterers_per_cell=3.0, margin_m=100.0),
        backscatter_db=pond,
        truth_pairs=(),
    )
    (folder / "mine.geojson").write_text(json.dumps(mapping(square(HALF_M))), encoding="utf-8")
    return folder


def of_run(scenes: Path, out: Path) -> pd.Series:
    (mine,) = read_mines(scenes / "mine.geojson")
    options = {"margin_m": SURROUNDINGS_M}
    result = run(mine, "2023-01-01", "2023-12-31", scenes=scenes / "scenes", dem=scenes / "dem.tif", out=out,
                 activity=options)  # fmt: skip
    return result.activity.iloc[0]


def test_a_pond_is_no_work(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing like it lies outside: unless its echo is known to be as weak as noise, it counts as worked throughout."""
    pond_m2 = (2 * POND_M) ** 2
    unknown = of_run(scenes, tmp_path / "unknown")
    # within a window of its shore the bright rock beside it decides
    assert 0.4 * pond_m2 < unknown.area_m2 < pond_m2
    assert unknown.area_low_m2 > 0
    assert "ALWAYS" in unknown["flags"]
    monkeypatch.setattr(mapbands, "read_noise", lambda product, swath, polarisation: NoiseOfTheSimulation())
    known = of_run(scenes, tmp_path / "known")
    assert known.area_low_m2 == 0
    assert known.area_m2 < 0.2 * pond_m2
    assert "MASK" in known["flags"]
    masks = sorted((tmp_path / "known" / "coherence" / MASKS).glob("*.tif"))
    assert len(masks) == 3
    # the maps say the same to `analyse`
    again = analyse(tmp_path / "known" / "coherence", scenes / "mine.geojson", out=tmp_path / "again",
                    activity={"margin_m": SURROUNDINGS_M})  # fmt: skip
    columns = ["area_m2", "area_low_m2", "area_high_m2", "flags"]
    assert again.activity.iloc[0][columns].to_dict() == known[columns].to_dict()
