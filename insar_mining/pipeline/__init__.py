"""The steps composed into whole jobs; each step can be called alone.

Names load on first use: a command that only needs the mine does not wait for tables and plots.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insar_mining.pipeline.inputs import mine_of
    from insar_mining.pipeline.jobs import analyse, plan, run
    from insar_mining.pipeline.preparation import RunPlan
    from insar_mining.pipeline.result import Result
    from insar_mining.pipeline.truth import Truth

__all__ = ["Result", "RunPlan", "Truth", "analyse", "mine_of", "plan", "run"]

_HOMES = {
    "Result": "result",
    "RunPlan": "preparation",
    "Truth": "truth",
    "analyse": "jobs",
    "mine_of": "inputs",
    "plan": "jobs",
    "run": "jobs",
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
