"""What is analysed from blocks to blocks is what is analysed at once, to the bit, whatever the blocks and chunks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
import xarray as xr

from insar_mining.activity import (
    annual_ndai,
    annual_to_zarr,
    from_zarr,
    ground_area_m2,
    iterate_stable,
    ndai,
    open_maps,
    open_stack,
    significant_to_zarr,
    to_zarr,
)
from insar_mining.activity.cube.blocks import is_lazy
from insar_mining.activity.significant.significance import significant_activity
from insar_mining.errors import OutputError, RasterError, SkippedInputWarning

Cubes = Callable[..., xr.DataArray]
Sampler = Callable[..., npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def worked(cube_of: Cubes, sampled: Sampler) -> xr.DataArray:
    """Two years of 45 x 52 cells: a pit worked now and then, two scenes under snow, a corner without data."""
    rng = np.random.default_rng(21)
    true = np.full((60, 45, 52), 0.92)
    pit = np.hypot(*(np.mgrid[:45, :52] - np.array([20, 25])[:, None, None])) < 9
    true[:, pit] = np.where(rng.random((60, 1)) < 0.4, 0.0, 0.9)
    true[[7, 40]] *= 0.4
    values = sampled(true, 7, rng)
    values[:, :6, :8] = np.nan
    cover = np.ones((45, 52), np.float32)
    cover[:, 50:] = 0.0
    cube = cube_of(values, cover=cover)
    return cube.where(cube["cover"] >= 0.5).assign_attrs(mine_id="pit")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.parametrize(("chunk", "cells"), [(16, 700), (256, 10**6), (7, 333)])
def test_decisions_from_zarr_to_zarr_are_those_made_at_once(
    worked: xr.DataArray, tmp_path: Path, chunk: int, cells: int
) -> None:
    cube = from_zarr(to_zarr(worked, tmp_path / "cube.zarr", chunk=chunk))
    assert is_lazy(cube)
    found = significant_to_zarr(cube, tmp_path / "out" / "activity.zarr", chunk=chunk, block_bytes=4 * 60 * cells)
    expected = significant_activity(worked)
    assert expected.active.values.max() == 255
    assert (expected.active.values == 1).sum() > 200
    for name in ("active", "disturbed", "n_pairs"):
        values = getattr(expected, name)
        assert found.maps[name].dtype == values.dtype
        np.testing.assert_array_equal(found.maps[name].values, values.values)
    assert found.maps["year"].values.tolist() == expected.active["year"].values.tolist()
    pd.testing.assert_frame_equal(found.scenes.reset_index(drop=True), expected.scenes.reset_index(drop=True))
    for row, layer in zip(found.table.itertuples(), expected.active, strict=True):
        assert row.area_m2 == pytest.approx(ground_area_m2(layer.copy(data=layer.values == 1)))
        assert (row.mine_id, row.active_pixels) == ("pit", (layer.values == 1).sum())
        assert row.n_pixels == (layer.values != 255).sum()
    again = open_maps(tmp_path / "out" / "activity.zarr")
    xr.testing.assert_identical(again["active"].compute(), found.maps["active"].compute())
    assert again["active"].attrs["crs"] == "EPSG:32629"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["activity.zarr"]
    with rasterio.open(f'ZARR:"{tmp_path / "out" / "activity.zarr"}":/active') as source:
        assert source.crs.to_epsg() == 32629
        assert tuple(source.transform)[:6] == pytest.approx(worked.attrs["transform"][:6])
        np.testing.assert_array_equal(source.read(), expected.active.values)


@pytest.mark.parametrize("chunks", [{"y": 45, "x": 52}, {"y": 8, "x": 11}, {"pair": 10, "y": 45, "x": 3}])
def test_dask_is_welcome_and_changes_nothing(worked: xr.DataArray, tmp_path: Path, chunks: dict[str, int]) -> None:
    pytest.importorskip("dask.array", reason="dask is an extra of the package")
    found = significant_to_zarr(worked.chunk(chunks), tmp_path / "activity.zarr", chunk=20)
    np.testing.assert_array_equal(found.maps["active"].values, significant_activity(worked).active.values)


def test_annual_ndai_is_written_as_it_is_made_at_once(worked: xr.DataArray, tmp_path: Path) -> None:
    stable, kept, _, _ = iterate_stable(worked)
    expected = annual_ndai(ndai(kept, stable), min_pairs=2)
    maps = annual_to_zarr(kept, stable, tmp_path / "annual.zarr", min_pairs=2, chunk=16, block_bytes=100_000)
    np.testing.assert_array_equal(maps["annual_ndai"].values, expected.values)
    np.testing.assert_array_equal(maps["n_pairs"].values, expected["n_pairs"].values)


def test_the_real_stack_gives_the_same_for_any_chunks(mexico: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        cube = open_stack(mexico, hold_bytes=0)
    expected = significant_activity(cube.compute())
    for number, (rows, cols) in enumerate(((60, 100), (7, 100), (31, 47))):
        chunked = cube.compute().chunk({"y": rows, "x": cols})
        found = significant_to_zarr(chunked, tmp_path / f"{number}.zarr", block_bytes=4 * 30 * rows * cols)
        np.testing.assert_array_equal(found.maps["active"].values, expected.active.values)
        np.testing.assert_array_equal(found.maps["disturbed"].values, expected.disturbed.values)


def test_a_store_appears_whole_or_not_at_all(
    worked: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "activity.zarr"
    significant_to_zarr(worked, path)
    before = open_maps(path)["active"].values

    def broken(*_: object, **__: object) -> Iterator[object]:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("insar_mining.activity.large.walk_disturbed", broken)
    with pytest.raises(OutputError, match="no space left"):
        significant_to_zarr(worked, path)
    np.testing.assert_array_equal(open_maps(path)["active"].values, before)
    assert [p.name for p in tmp_path.iterdir()] == ["activity.zarr"]
    (tmp_path / "notes").mkdir()
    with pytest.raises(OutputError, match="is no Zarr store"):
        significant_to_zarr(worked, tmp_path / "notes")
    with pytest.raises(RasterError, match="Zarr store"):
        open_maps(tmp_path / "nowhere")
