"""Blocks in threads and cubes in scratch files: the same numbers for any number of threads, every tile decoded once."""

from __future__ import annotations

import os
import pickle
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xarray as xr

from insar_mining.activity import (
    activity_timeline,
    annual_ndai,
    class_intervals,
    find_references,
    iterate_stable,
    ndai,
    significant_activity,
)
from insar_mining.activity.cube import blocks as blocks_module
from insar_mining.activity.cube.blocks import (
    BLOCK_BYTES,
    HELD_BLOCK_BYTES,
    SCRATCH_BLOCK_BYTES,
    held,
    in_order,
    lazy_variable,
    map_blocks,
    may_hold_data,
    usual_bytes,
)
from insar_mining.activity.cube.scratch import Scratch
from insar_mining.activity.significant.intervals import area_intervals
from insar_mining.simulate.mine_stack import WorkedZone, simulate_mine_stack

PAIRS, HEIGHT, WIDTH = 5, 70, 90


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.fixture(scope="module")
def mine() -> xr.DataArray:
    """Two years of a small mine, with cells that have no data and pairs that lack some."""
    zone = WorkedZone((480.0, 420.0), 200.0, (2021, 2022))
    cube = simulate_mine_stack(
        np.random.default_rng(31), [zone], cells=(44, 48), years=(2021, 2022), pairs_per_year=12, snow=0.3, gaps=0.2
    ).coh.copy(deep=True)
    cube.values[:, :9, :7] = np.nan
    cube.values[np.random.default_rng(1).random(cube.shape) < 0.01] = np.nan
    return cube


def everything(cube: xr.DataArray, block_bytes: int) -> list[Any]:
    """What both methods say of a cube, as arrays and texts."""
    found = significant_activity(cube, block_bytes=block_bytes)
    assert (found.active.values == 1).sum() > 100
    timeline = activity_timeline(cube, found, block_bytes=block_bytes)
    stable, kept, table, history = iterate_stable(cube, block_bytes=block_bytes)
    annual = annual_ndai(ndai(kept, stable, block_bytes=block_bytes), block_bytes=block_bytes)
    numbers: list[Any] = [found.active.values, found.disturbed.values, found.n_pairs.values, stable.values]
    numbers += [timeline.first_active.values, timeline.stop.values, annual.values, annual["n_pairs"].values]
    for reference in (*found.references.values(), *find_references(cube, block_bytes=block_bytes)[0].values()):
        expected = reference.expectation
        numbers += [reference.stable.values, reference.weather, reference.looks, reference.critical]
        numbers += [expected.classes.centres, expected.classes.mean, expected.classes.spread, reference.low]
    areas = area_intervals(cube, found)
    assert (areas["area_low_m2"] < areas["area_high_m2"]).all()
    classes = class_intervals(found, areas, found.years)
    assert (classes["area_high_m2"] > classes["area_low_m2"]).sum() >= 2
    tables: tuple[pd.DataFrame, ...] = found.scenes, timeline.pairs, timeline.monthly, table, history, areas, classes
    return [*numbers, *(frame.to_csv(float_format="%.17g") for frame in tables)]


@pytest.mark.parametrize("threads", [2, 4])
def test_no_result_depends_on_the_number_of_threads(
    mine: xr.DataArray, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    block_bytes = 4 * 24 * 300  # seven blocks
    monkeypatch.setattr(blocks_module, "processors", lambda: 1)
    alone = everything(mine, block_bytes)
    used = set()

    def one(number: int) -> None:
        used.add(threading.get_ident())
        barrier.wait(timeout=20)

    monkeypatch.setattr(blocks_module, "processors", lambda: threads)
    barrier = threading.Barrier(threads)
    list(in_order(one, range(threads)))
    assert len(used) == threads
    before = mine.copy(deep=True)
    for first, other in zip(alone, everything(mine, block_bytes), strict=True):
        np.testing.assert_array_equal(first, other)
    xr.testing.assert_identical(mine, before)


def test_results_come_in_order_whatever_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "processors", lambda: 3)
    second = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second.wait(timeout=20)
        elif number == 1:
            second.set()
        elif number == 50:
            raise ArithmeticError("fifty")
        return number

    taken: list[int] = []
    with pytest.raises(ArithmeticError, match="fifty"):
        taken.extend(in_order(work, range(100)))
    assert taken == list(range(50))


class Slow:
    """A source of values that counts how often each part is asked for."""

    def __init__(self, values: npt.NDArray[np.float32]) -> None:
        self.values, self.asked = values, Counter[str]()

    def __call__(self, key: tuple[Any, ...]) -> npt.NDArray[np.float32]:
        self.asked[str(key[1:])] += 1
        return self.values[key[0]][:, key[1]][:, :, key[2]]


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> npt.NDArray[np.float32]:
    """A cube with gaps; tiles have no room for more than one chunk of `stored`."""
    monkeypatch.setattr(blocks_module, "TILE_BYTES", 4 * PAIRS * 64 * 32)
    found = np.random.default_rng(3).random((PAIRS, HEIGHT, WIDTH), dtype=np.float32)
    found[:, :32, 64:] = np.nan  # a whole tile, and the one beside it at the map's edge
    found[2, 40, 50] = np.nan
    return found


def stored(source: Callable[..., npt.NDArray[np.float32]]) -> xr.DataArray:
    """A slow cube in tiles of 32 x 32, too large to be held."""
    variable = lazy_variable(("pair", "y", "x"), (PAIRS, HEIGHT, WIDTH), source)
    cube = xr.DataArray(variable, coords={"x": np.arange(WIDTH)}, name="coherence", attrs={"crs": "EPSG:32629"})
    cube.encoding["preferred_chunks"] = {"pair": PAIRS, "y": 64, "x": 32}
    return cube


def same_everywhere(cube: xr.DataArray, values: npt.NDArray[np.float32]) -> None:
    """Compare parts of all kinds with the same parts of an array."""
    rng = np.random.default_rng(4)
    for _ in range(60):
        top, left = int(rng.integers(0, HEIGHT)), int(rng.integers(0, WIDTH))
        rows = slice(top, int(rng.integers(top, HEIGHT + 1)))
        cols = slice(left, int(rng.integers(left, WIDTH + 1)))
        pairs = rng.permutation(PAIRS)[: int(rng.integers(1, PAIRS + 1))]
        read = cube.isel(pair=pairs, y=rows, x=cols)
        np.testing.assert_array_equal(read.values, values[pairs][:, rows, cols])
    np.testing.assert_array_equal(
        cube.isel(y=slice(None, None, -3), x=[70, 2, 2]).values, values[:, ::-3][:, :, [70, 2, 2]]
    )
    np.testing.assert_array_equal(cube.isel(pair=1, y=66).values, values[1, 66])
    np.testing.assert_array_equal(cube.values, values)


def test_a_tile_is_decoded_once_and_read_in_any_part(values: npt.NDArray[np.float32]) -> None:
    source = Slow(values)
    cube = stored(source)
    assert usual_bytes(cube) == BLOCK_BYTES
    kept = held(cube, hold_bytes=1000)
    assert usual_bytes(kept) == SCRATCH_BLOCK_BYTES
    assert held(kept, hold_bytes=1000) is kept
    assert not source.asked
    threads = [threading.Thread(target=lambda: kept.isel(y=slice(10, 60)).values) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same_everywhere(kept, values)
    # 64 + 6 rows, 32 + 32 + 26 columns
    assert len(source.asked) == 2 * 3
    assert set(source.asked.values()) == {1}
    assert kept.attrs == cube.attrs
    np.testing.assert_array_equal(kept["x"], cube["x"])
    assert np.isfinite(values).any()
    # a cube that is held in memory is not kept on disk as well
    assert usual_bytes(held(stored(source), hold_bytes=10**9)) == HELD_BLOCK_BYTES


def test_tiles_without_data_are_known_and_not_read_again(values: npt.NDArray[np.float32]) -> None:
    values[:, :64, :32] = np.nan
    source = Slow(values)
    kept = held(stored(source), hold_bytes=0)
    years = kept.isel(pair=[0, 3])
    assert not may_hold_data(years, slice(0, 64), slice(0, 32))
    assert may_hold_data(years, slice(0, 65), slice(0, 32))
    assert may_hold_data(years, slice(0, 10), slice(20, 40))
    # a cube of other rows does not say where they lie in the file
    assert may_hold_data(kept.isel(y=slice(None, None, -1)), slice(0, 64), slice(0, 32))
    # any cube without a scratch file may hold data anywhere
    assert may_hold_data(stored(source), slice(0, 64), slice(0, 32))
    count = sum(source.asked.values())
    assert np.isnan(kept.isel(y=slice(0, 64), x=slice(0, 32)).values).all()
    assert sum(source.asked.values()) == count
    same_everywhere(kept, values)


@pytest.mark.parametrize("fails", ["no room", "a broken disk"])
def test_without_a_disk_every_part_is_decoded_when_it_is_read(
    values: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    if fails == "no room":
        usage = type("Usage", (), {"free": 3 * values.nbytes // 2})
        monkeypatch.setattr("insar_mining.activity.cube.scratch.shutil.disk_usage", lambda _: usage)
    else:

        def broken(*_: object) -> int:
            raise OSError(28, "no space left on device")

        monkeypatch.setattr(os, "pwrite", broken)
    source = Slow(values)
    with caplog.at_level("INFO", "insar_mining.activity.cube.scratch"):
        same_everywhere(held(stored(source), hold_bytes=0), values)
    assert max(source.asked.values()) > 1
    assert len(caplog.records) == 1
    assert ("has room for" if fails == "no room" else "no space left") in caplog.text


def test_a_scratch_file_is_not_sent_to_another_process_and_leaves_nothing(
    values: npt.NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch(xr.Variable(("pair", "y", "x"), values), (64, 32))
    everywhere = (slice(None),) * 3
    np.testing.assert_array_equal(scratch(everywhere), values)
    again = pickle.loads(pickle.dumps(scratch))
    np.testing.assert_array_equal(again(everywhere), values)
    assert list(tmp_path.iterdir()) == []


def test_tiles_of_rasters_are_as_wide_as_may_be(
    values: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    # for every tile every file is opened
    monkeypatch.setattr(blocks_module, "TILE_BYTES", 4 * PAIRS * 64 * 80)
    source = Slow(values)
    same_everywhere(held(stored(source), hold_bytes=0), values)
    assert len(source.asked) == 2 * 2
    # chunks of a Zarr store or of dask are read by themselves
    scratch = Scratch(xr.Variable(("pair", "y", "x"), values), (64, 32))
    np.testing.assert_array_equal(scratch((slice(1, 3), np.array([66, 3]), slice(5, 80))), values[1:3, [66, 3], 5:80])


def test_files_that_are_stored_in_lines_have_tiles_of_many_lines(values: npt.NDArray[np.float32]) -> None:
    source = Slow(values)
    cube = stored(source)
    cube.encoding["preferred_chunks"] = {"y": 1, "x": WIDTH}
    kept = held(cube, hold_bytes=0)
    same_everywhere(kept, values)
    assert list(source.asked.values()) == [1]


def test_a_cube_in_a_scratch_file_is_analysed_as_one_in_memory(
    mine: xr.DataArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Slow(mine.values)
    lazy = mine.copy(data=lazy_variable(("pair", "y", "x"), mine.shape, source))
    lazy.encoding["preferred_chunks"] = {"y": 64, "x": 16}
    block_bytes = 4 * 24 * 300
    expected = everything(mine, block_bytes)
    monkeypatch.setattr(blocks_module, "HOLD_BYTES", 1000)
    assert usual_bytes(held(lazy)) == SCRATCH_BLOCK_BYTES
    for first, other in zip(expected, everything(held(lazy), block_bytes), strict=True):
        np.testing.assert_array_equal(first, other)
    assert set(source.asked.values()) == {1}
    source.asked.clear()
    # what iterate_stable returns reads its scratch file, not the files again
    stable, kept, _, _ = iterate_stable(lazy)
    annual_ndai(ndai(kept, stable))
    assert set(source.asked.values()) == {1}


def test_blocks_cover_the_map_once_whatever_they_are_read_from() -> None:
    for reading in (BLOCK_BYTES, SCRATCH_BLOCK_BYTES, HELD_BLOCK_BYTES):
        for height, width in ((1000, 1000), (130, 2600), (3000, 40)):
            variable = lazy_variable(
                ("pair", "y", "x"), (92, height, width), Slow(np.zeros((1, 1, 1), np.float32)), reading
            )
            cube = xr.DataArray(variable)
            seen = np.zeros((height, width), np.int64)
            for block in map_blocks(cube):
                seen[block.rows, block.cols] += 1
                assert 4 * 92 * np.prod(block.shape) <= reading
            assert (seen == 1).all()
