"""Two maps beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.coherence.compare import compare_maps
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
