"""What the tests of the engine share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed start, one per test."""
    return np.random.default_rng(20230904)
