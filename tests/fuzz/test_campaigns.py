"""Damaged inputs of every kind: a named error, a flagged result or the same numbers, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.arena import NAMED, Arena, Kind, no_network
from tests.fuzz.kinds import KINDS


# rasterio cannot pass on a message of GDAL that repeats bytes of the file, and says so on standard error
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged_inputs_are_refused_or_read_as_their_contract_says(
    kind: Kind, tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    with no_network() as (address, requests):
        arena = Arena(tmp_path, address, requests)
        arena.run(kind, campaign(kind.rounds))
        assert requests == []
    assert arena.faults == [], f"{len(arena.faults)} faults, {dict(arena.outcomes)}"
    assert arena.outcomes[NAMED] > 0
