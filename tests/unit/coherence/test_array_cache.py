"""One folder of cached arrays under several processes: every array is what its key says, and no half file is left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from insar_mining.coherence.builtin.images.cache import NAMES, ArrayCache

SHAPE, KEYS, ROUNDS = (40, 500), 6, 60
SIZE = 4 * SHAPE[0] * SHAPE[1]


def pieces(key: int) -> Iterator[np.ndarray]:
    """What a key stands for, in pieces."""
    for row in range(0, SHAPE[0], 8):
        yield np.full((8, SHAPE[1]), key * 1000 + row, np.float32)


def use(folder: Path, seed: int) -> int:
    """Take arrays in random order; return how many were wrong."""
    rng, cache, wrong = np.random.default_rng(seed), ArrayCache(folder, 3 * SIZE), 0
    for key in rng.integers(0, KEYS, ROUNDS):
        found = cache.get({"key": int(key)}, SHAPE, np.float32, lambda key=key: pieces(int(key)))
        wrong += not np.array_equal(found, np.concatenate(list(pieces(int(key)))))
    return wrong


@pytest.mark.slow
def test_processes_share_a_cache(tmp_path: Path) -> None:
    """Three of six arrays have room, so that the processes also delete each other's."""
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.starmap(use, [(tmp_path, seed) for seed in range(3)]) == [0, 0, 0]
    left = list(tmp_path.iterdir())
    assert left
    assert all(NAMES.fullmatch(path.name) and path.stat().st_size > SIZE for path in left)
