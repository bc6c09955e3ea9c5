"""From two Sentinel-1 products to one map of coherence: the plan and its engines.

``insar_mining.coherence`` is both this folder and the function that carries out a plan:
importing a folder always binds its name in the package, so the folder itself can be called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insar_mining.coherence.plan.model import CoherencePlan


class _CallableFolder(ModuleType):
    """Let the folder be called as a function."""

    def __call__(self, plan: CoherencePlan, engine: str = "builtin", **how: Any) -> Path:
        """Carry out a plan; see :func:`insar_mining.coherence.engine.coherence`."""
        from insar_mining.coherence.engine import coherence

        return coherence(plan, engine, **how)


sys.modules[__name__].__class__ = _CallableFolder
