"""A stack on one geometry: every pair is what it would be alone, whatever else is done around it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

from insar_mining.coherence.builtin import layers
from insar_mining.coherence.builtin.engine import BuiltinEngine
from insar_mining.coherence.builtin.images import dates
from insar_mining.coherence.builtin.images.cache import ArrayCache
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import Window, make_plan
from insar_mining.errors import StackReferenceWarning
from insar_mining.geo.grid import MapGrid
from insar_mining.options.models import RunOptions
from insar_mining.pipeline.maps import Planner, make_maps
from insar_mining.scenes.network import scenes_for
from insar_mining.scenes.products import scan_products


def _plan(stack, first, second, reference=0, **how):
    made, area = stack
    products = made.products
    how.setdefault("area", area)
    how.setdefault("out", Path("unused.tif"))
    return make_plan(products[first], products[second], dem=made.dem, stack_reference=products[reference], **how)


def _map(plan, engine=None):
    return (engine or BuiltinEngine()).map_layers(plan, lambda share: None)["coherence"]


PAIRS = list(itertools.combinations(range(4), 2))


@pytest.fixture(scope="module")
def alone(stack):
    """Every pair mapped by itself, nothing kept, with the first date as stack reference."""
    return {pair: _map(_plan(stack, *pair)) for pair in PAIRS}


def test_a_pair_of_a_stack_is_the_pair_alone(stack, alone, tmp_path):
    """With dates kept on disk, in any order of pairs, every map is bit for bit that of the pair alone."""
    engine = BuiltinEngine(ArrayCache(tmp_path / "dates", 10**9))
    for pair in np.random.default_rng(5).permutation(PAIRS).tolist():
        np.testing.assert_array_equal(_map(_plan(stack, *pair), engine), alone[tuple(pair)])


def test_each_date_is_resampled_once(stack, tmp_path, monkeypatch):
    """Six pairs of four dates resample three: the reference is read as it is; a fifth run resamples none."""
    resampled = []
    original = dates.Resampler.of.__func__
    monkeypatch.setattr(
        dates.Resampler, "of", classmethod(lambda cls, relief, side, *rest: (
            resampled.append((side.product.name, side.burst_index)), original(cls, relief, side, *rest))[1]
        ),
    )  # fmt: skip
    for expected in (3 * 2, 0):  # two bursts show the area
        resampled.clear()
        engine = BuiltinEngine(ArrayCache(tmp_path / "dates", 10**9))
        for pair in PAIRS:
            _map(_plan(stack, *pair), engine)
        assert len(resampled) == len(set(resampled)) == expected


def _run(stack, numbers, folder):
    """Map the consecutive pairs of some dates as `run` does, the products linked into a folder."""
    made, area = stack
    scenes = folder / "scenes"
    for number in range(len(made.products)):
        there = scenes / made.products[number].name
        if number in numbers and not there.exists():
            shutil.copytree(made.products[number], there, copy_function=os.link)
        elif number not in numbers and there.exists():
            shutil.rmtree(there)
    table = scenes_for(scan_products(scenes), area=area)
    return make_maps(table, Planner(area, made.dem, folder / "maps", RunOptions(dem=made.dem)), lambda *_: None)


def _record(folder):
    return json.loads((folder / "maps" / "stack_reference.json").read_text("utf-8"))["scene"]


def _written(maps):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in maps.paths}


def test_an_earlier_date_changes_no_map(stack, tmp_path):
    """Dates 2 to 4, then date 1 as well: it is brought to date 2, and what was there is not touched."""
    before = _written(_run(stack, (1, 2, 3), tmp_path))
    assert _record(tmp_path) == stack[0].products[1].stem
    with warnings.catch_warnings():
        warnings.simplefilter("error", StackReferenceWarning)
        maps = _run(stack, (0, 1, 2, 3), tmp_path)
    after = _written(maps)
    assert len(after) == 3
    assert maps.kept == len(before) == 2
    assert {name: after[name] for name in before} == before
    assert _record(tmp_path) == stack[0].products[1].stem
    with rasterio.open(maps.paths[0]) as source:
        assert source.tags()["STACK_REFERENCE"] == stack[0].products[1].stem
        np.testing.assert_array_equal(source.read(1), _map(_plan(stack, 0, 1, reference=1)))


def test_a_stack_reference_that_is_gone_is_told(stack, tmp_path):
    """Without the date that gave the geometry the next takes its place: all maps are made again, and this is told."""
    before = _written(_run(stack, (0, 1, 2), tmp_path))
    first, second = (stack[0].products[n].stem for n in (0, 1))
    with pytest.warns(StackReferenceWarning, match=f"{first}.*{second} takes its place, and all maps are made again"):
        maps = _run(stack, (1, 2, 3), tmp_path)
    assert (maps.kept, len(maps.paths)) == (0, 2)
    name = maps.paths[0].name  # the pair that was there before
    assert _written(maps)[name][0] != before[name][0]
    assert _record(tmp_path) == second


def test_the_identity_of_a_pair_names_its_stack_reference(stack):
    """Another reference is another plan; the pair's own is the default."""
    assert _plan(stack, 1, 2).sha256 != _plan(stack, 1, 2, reference=1).sha256
    own = make_plan(stack[0].products[1], stack[0].products[2], dem=stack[0].dem, area=stack[1], out="unused.tif")
    assert own.sha256 == _plan(stack, 1, 2, reference=1).sha256


def test_a_common_reference_costs_next_to_nothing(stack, alone):
    """Against the pair on its own reference: 95 % of cells differ by less than 0.05, mean |d| is below 0.005."""
    for first, second in ((1, 2), (2, 3), (1, 3)):
        own = _map(_plan(stack, first, second, reference=first))
        difference = alone[first, second] - own
        seen = np.isfinite(difference)
        assert seen.mean() > 0.98
        assert np.percentile(np.abs(difference[seen]), 95) < 0.05
        assert np.abs(difference[seen]).mean() < 0.005


def test_the_map_of_a_large_area_holds_that_of_a_small_one(stack, alone):
    """Cells of a grid cut out of the large one are the same to the bit, in the middle and across the seam of bursts."""
    large = _plan(stack, 1, 2).grid
    for top, left, height, width in ((30, 41, 20, 27), (0, 0, 61, 10), (large.height - 37, large.width - 33, 37, 33)):
        west, north = large.west_m + left * 20, large.north_m - top * 20
        small = MapGrid(large.epsg, west, north, 20.0, width, height)
        got = _map(_plan(stack, 1, 2, grid=small))
        np.testing.assert_array_equal(got, alone[1, 2][top : top + height, left : left + width])


def test_blocks_and_threads_change_nothing(stack, alone, monkeypatch):
    """Blocks of 37 lines, blocks from the last to the first, and one thread instead of two: 1e-6, and to the bit."""
    with monkeypatch.context() as patched:
        patched.setattr(dates, "BLOCK_LINES", 37)
        np.testing.assert_allclose(_map(_plan(stack, 1, 2)), alone[1, 2], rtol=0, atol=1e-6)
    with monkeypatch.context() as patched:
        patched.setattr(dates, "BLOCK_LINES", 37)
        in_order = _map(_plan(stack, 1, 2))
        patched.setattr(layers, "blocks_of", lambda region: reversed([*dates.blocks_of(region)]))
        np.testing.assert_array_equal(_map(_plan(stack, 1, 2)), in_order)
    for threads in (1, 2):
        np.testing.assert_array_equal(_map(_plan(stack, 1, 2), BuiltinEngine(threads=threads)), alone[1, 2])


def test_windows_of_any_size_share_the_dates(stack, tmp_path):
    """Another window is another map with the same engine, and equals the one made without a cache."""
    engine = BuiltinEngine(ArrayCache(tmp_path / "dates", 10**9))
    _map(_plan(stack, 0, 1), engine)
    plan = _plan(stack, 0, 1, window=Window(5, 20))
    np.testing.assert_array_equal(_map(plan, engine), _map(plan))


def test_the_cache_keeps_its_limit_and_mends_itself(stack, alone, tmp_path):
    """With room for two arrays nothing else changes; files cut, foreign or with one wrong bit are made anew."""
    folder = tmp_path / "dates"
    roomy = BuiltinEngine(ArrayCache(folder, 10**9))
    _map(_plan(stack, 1, 2), roomy)
    files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_size)
    largest = files[-1].stat().st_size
    files[-1].write_bytes(files[-1].read_bytes()[: largest // 2])
    files[0].write_bytes(b"not an array")
    np.testing.assert_array_equal(_map(_plan(stack, 1, 2), BuiltinEngine(ArrayCache(folder, 10**9))), alone[1, 2])
    content = bytearray(files[-1].read_bytes())
    content[largest // 2 + 2] ^= 1 << 6
    files[-1].write_bytes(content)
    np.testing.assert_array_equal(_map(_plan(stack, 1, 2), BuiltinEngine(ArrayCache(folder, 10**9))), alone[1, 2])
    limit = int(2.2 * largest)
    tight = BuiltinEngine(ArrayCache(tmp_path / "tight", limit))
    for pair in PAIRS:
        np.testing.assert_array_equal(_map(_plan(stack, *pair), tight), alone[pair])
        assert sum(path.stat().st_size for path in (tmp_path / "tight").iterdir()) <= limit


def test_the_stack_reference_may_be_none_of_the_pair(stack, tmp_path):
    """The plan says which scene gives the geometry, in words and in the product."""
    plan = _plan(stack, 2, 3, out=tmp_path / "map.tif")
    assert plan.scenes.stack_reference.scene == stack[0].products[0].stem
    with rasterio.open(coherence(plan)) as source:
        assert source.tags()["STACK_REFERENCE"] == plan.scenes.stack_reference.scene
        assert source.tags()["REFERENCE_DATE"] == plan.scenes.reference.day
