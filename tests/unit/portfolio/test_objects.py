"""Results on a server of the S3 protocol on this machine, read in place."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from insar_mining.errors import OutputError
from insar_mining.geo.raster import write_cog
from insar_mining.portfolio.ledger import Task
from insar_mining.portfolio.objects import publish
from insar_mining.portfolio.plan import PLAN, Portfolio
from insar_mining.portfolio.work import Finished, do_task
from tests.unit.portfolio import tiny

VALUES = np.arange(64.0 * 64.0, dtype=np.float32).reshape(64, 64)


def one_map(task: Task, folder: Path, steps: object) -> Finished:
    out = folder / "mines" / task.id
    write_cog(out / "map.tif", VALUES, crs="EPSG:32629", transform=Affine(20, 0, 5e5, 0, -20, 3e6), names=["coherence"])
    xr.Dataset({"coherence": (("y", "x"), VALUES)}).to_zarr(out / "coherence.zarr", consolidated=False)
    return Finished(out)


def count(portfolio: Portfolio) -> int:
    """Files of the result, and the plan."""
    return 1 + sum(path.is_file() for path in (portfolio.folder / "mines").rglob("*"))


@pytest.fixture
def portfolio(tmp_path: Path) -> Portfolio:
    folder = tiny.planned(tmp_path / "portfolio")
    tasks = tiny.tasks(2)
    do_task(tasks[0], folder, one_map)
    (folder / PLAN).write_text("{}")
    return Portfolio(folder, [], tasks, {})


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with one bucket."""
    from moto.server import ThreadedMotoServer

    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    import fsspec.asyn
    import s3fs

    url = f"http://{host}:{port}"
    files = s3fs.S3FileSystem(endpoint_url=url, skip_instance_cache=True)
    files.mkdir("mines")
    yield url
    fsspec.asyn.sync(files.loop, files.s3.close)
    gc.collect()  # sessions of other file systems are closed here, not in the middle of another test
    server.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of boto and of the server
def test_s3(portfolio: Portfolio, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = {"endpoint_url": bucket, "skip_instance_cache": True}
    assert publish(portfolio, "s3://mines/all", **storage) == count(portfolio)
    assert publish(portfolio, "s3://mines/all", **storage) == 1  # the plan may have changed at the same size, a map not
    for name, value in {
        "AWS_S3_ENDPOINT": bucket.removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():
        monkeypatch.setenv(name, value)
    with rasterio.Env(), rasterio.open("/vsis3/mines/all/mines/mine-000/map.tif") as source:
        np.testing.assert_array_equal(source.read(1), VALUES)
    store = "s3://mines/all/mines/mine-000/coherence.zarr"
    with xr.open_zarr(store, storage_options=storage, consolidated=False) as cube:
        np.testing.assert_array_equal(cube["coherence"], VALUES)
    with pytest.raises(OutputError):
        publish(portfolio, "s3://nowhere/all", **storage)


def test_a_folder(portfolio: Portfolio, tmp_path: Path) -> None:
    assert publish(portfolio, f"file://{tmp_path}/copy") == count(portfolio)
    source = portfolio.folder / "mines" / "mine-000" / "map.tif"
    assert (tmp_path / "copy" / "mines" / "mine-000" / "map.tif").read_bytes() == source.read_bytes()
