"""Rasters opened in threads: formats of one lock for the process are read by one thread at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from insar_mining.geo.raster_input import open_raster


def netcdf(path: Path) -> Path:
    values = xr.DataArray(np.full((4, 5), 0.5, np.float32), dims=("y", "x"), name="coherence")
    values.to_netcdf(path, engine="h5netcdf")
    return path


def geotiff(path: Path) -> Path:
    profile = {"width": 5, "height": 4, "count": 1, "dtype": "float32", "transform": from_origin(0, 4, 1, 1)}
    with rasterio.open(path, "w", driver="GTiff", **profile) as target:
        target.write(np.full((1, 4, 5), 0.5, np.float32))
    return path


@pytest.mark.parametrize(("make", "ending", "alone"), [(netcdf, ".nc", True), (geotiff, ".tif", False)])
def test_a_second_thread_waits_for_hdf5_alone(tmp_path: Path, make: object, ending: str, alone: bool) -> None:
    assert callable(make)
    first, second = make(tmp_path / f"a{ending}"), make(tmp_path / f"b{ending}")
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with open_raster(second) as source:
            assert source.shape == (4, 5)
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other, daemon=True)
    with open_raster(first) as source:
        thread.start()
        if alone:
            assert not entered.wait(0.3)
        else:
            assert entered.wait(30)
        assert source.read(1).max() == 0.5
    assert entered.wait(30)
    leave.set()
    thread.join(30)
    assert not thread.is_alive()
