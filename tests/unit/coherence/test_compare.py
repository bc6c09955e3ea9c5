"""Two maps beside each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.coherence.compare import compare_by_slope, compare_maps
from insar_mining.errors import RasterError
from insar_mining.geo.raster import write_cog

T = Affine(20, 0, 500_000, 0, -20, 3_400_000)


def save(path: Path, values: np.ndarray, transform: Affine = T) -> Path:
    return write_cog(path, values.astype(np.float32), crs="EPSG:32629", transform=transform, names=["coherence"])


@pytest.fixture
def values() -> np.ndarray:
    made = np.random.default_rng(3).random((60, 80)).astype(np.float32)
    made[:, :3] = np.nan
    return made


def test_statistics_are_numpys(tmp_path: Path, values: np.ndarray) -> None:
    noise = np.random.default_rng(4).normal(0, 0.002, values.shape).astype(np.float32)
    a, b = save(tmp_path / "a.tif", values), save(tmp_path / "b.tif", values + noise)
    found = compare_maps(a, b, tmp_path / "d.tif")
    d = ((values + noise) - values)[:, 3:].astype(float)
    assert found.cells == d.size
    assert found.median_absolute == pytest.approx(np.median(abs(d)), abs=1e-7)
    assert found.percentile_95_absolute == pytest.approx(np.percentile(abs(d), 95), abs=1e-7)
    assert found.mean == pytest.approx(d.mean(), abs=1e-7)
    assert found.rms == pytest.approx(np.sqrt((d**2).mean()), abs=1e-7)
    assert found.mask_agreement == 1
    assert found.failures() == []
    with rasterio.open(tmp_path / "d.tif") as source:
        np.testing.assert_allclose(source.read(1)[:, 3:], d, atol=1e-6)
        assert np.isnan(source.read(1)[:, :3]).all()


def test_each_tolerance_is_named(tmp_path: Path, values: np.ndarray) -> None:
    a = save(tmp_path / "a.tif", values)
    other = np.random.default_rng(5).random(values.shape)
    other[:30, :] = np.nan
    found = compare_maps(a, save(tmp_path / "b.tif", other))
    text = "; ".join(found.failures())
    for name in ("median", "95th percentile", "correlation", "masks"):
        assert name in text
    assert "mean difference" in "; ".join(compare_maps(a, save(tmp_path / "c.tif", values + 0.006)).failures())


def test_a_different_rim_is_not_a_different_mask(tmp_path: Path, values: np.ndarray) -> None:
    narrower = values.copy()
    narrower[:, 3] = np.nan
    assert compare_maps(save(tmp_path / "a.tif", values), save(tmp_path / "b.tif", narrower)).mask_agreement == 1


def test_zeros_are_no_data_of_snaps_and_are_counted(tmp_path: Path, values: np.ndarray) -> None:
    """A sample of the secondary with i = q = 0 is 0 in SNAP's map and a value in the other: neither counts."""
    zeroed = values.copy()
    zeroed[20:24, 30:40] = 0
    found = compare_maps(save(tmp_path / "a.tif", values), save(tmp_path / "b.tif", zeroed), tmp_path / "d.tif")
    assert found.zeros == 40
    assert found.cells == values[:, 3:].size - 40
    assert (found.largest_absolute, found.mask_agreement) == (0, 1)
    with rasterio.open(tmp_path / "d.tif") as source:
        assert np.isnan(source.read(1)[20:24, 30:40]).all()


def test_zones_of_slope_get_verdicts_of_their_own(tmp_path: Path, values: np.ndarray) -> None:
    """Flat ground in the west, a plane of 20 degrees in the east, where one map is off by 0.02."""
    columns = np.mgrid[-10:70, -10:90][1] * 20.0
    height = 100 + np.maximum(columns - 800, 0) * np.tan(np.radians(20.0))
    dem = write_cog(tmp_path / "dem.tif", height.astype(np.float32), crs="EPSG:32629", names=["height"],
                    transform=Affine(20, 0, 499_800, 0, -20, 3_400_200))  # fmt: skip
    other = values.copy()
    other[:, 40:] += 0.02
    a, b = save(tmp_path / "a.tif", values), save(tmp_path / "b.tif", other)
    flat, steep = (next(zone for zone in compare_by_slope(a, b, dem) if zone.slope_from_deg == low) for low in (0, 15))
    assert flat.slope_to_deg == 5
    assert flat.comparison.failures() == []
    assert flat.comparison.cells == pytest.approx(60 * 37, abs=130)
    assert steep.comparison.mean == pytest.approx(0.02, abs=1e-6)
    assert any("mean" in text for text in steep.comparison.failures())
    said = CliRunner().invoke(app, ["compare", str(a), str(b), "--dem", str(dem)])
    lines = {line.split(":")[0]: line for line in said.stdout.splitlines() if line.startswith("slope")}
    assert lines["slope 0 to 5 degrees"].endswith("within tolerance")
    assert "mean difference is 0.02" in lines["slope 15 to 25 degrees"]
    zones = json.loads(CliRunner().invoke(app, ["compare", str(a), str(b), "--dem", str(dem), "--json"]).stdout)[
        "zones"
    ]
    assert {zone["slope_from_deg"]: zone["within_tolerance"] for zone in zones}[15] is False


def test_other_grids_and_nothing_in_common_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    a = save(tmp_path / "a.tif", values)
    with pytest.raises(RasterError, match="different grids"):
        compare_maps(a, save(tmp_path / "b.tif", values, Affine(20, 0, 500_010, 0, -20, 3_400_000)))
    with pytest.raises(RasterError, match="no cell in common"):
        compare_maps(a, save(tmp_path / "c.tif", np.full(values.shape, np.nan)))
    with pytest.raises(RasterError, match="cannot be read"):
        compare_maps(a, tmp_path / "none.tif")


def test_the_command_says_it_and_its_exit_code_too(tmp_path: Path, values: np.ndarray) -> None:
    a, b = save(tmp_path / "a.tif", values), save(tmp_path / "b.tif", values + 0.02)
    good = CliRunner().invoke(app, ["compare", str(a), str(a), "--json"])
    assert good.exit_code == 0
    assert '"within_tolerance": true' in good.stdout
    bad = CliRunner().invoke(app, ["compare", str(a), str(b), "-o", str(tmp_path / "d.tif")])
    assert bad.exit_code == 1
    assert "mean difference is 0.0200, it should be within 0.005" in bad.stderr
    assert (tmp_path / "d.tif").is_file()
