"""Compile the kernels once per machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insar_mining.coherence.builtin.images import resample
from insar_mining.coherence.estimators import estimate
from insar_mining.geometry import coregister, geocode

# the kernels that take longest to compile; numba keeps them in __pycache__, or in NUMBA_CACHE_DIR
KERNELS = (
    coregister.surface_heights,
    coregister.field_at_posts,
    resample.deramp,
    resample.resample_range,
    resample.resample_azimuth,
    estimate.coherence,
    geocode.bilinear,
)


def are_compiled() -> bool:
    """Check whether compiled kernels of an earlier process are cached (without them the first map takes a minute)."""
    return all(_has_files(kernel) for kernel in KERNELS)


def _has_files(kernel: Any) -> bool:
    folder, function = kernel.stats.cache_path, kernel.py_func
    return folder is not None and any(
        Path(folder).glob(f"*{function.__name__}-{function.__code__.co_firstlineno}*.nbi")
    )
