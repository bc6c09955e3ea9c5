"""Engines that carry out a plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from insar_mining.coherence.plan import CoherencePlan, Progress
from insar_mining.coherence.product import is_current, write_product
from insar_mining.errors import EngineError


class Engine(Protocol):
    """What carries out a plan: it returns the map as an array on the plan's grid.

    An engine that runs another program says which in `version`, once it is known.
    """

    name: str

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> npt.NDArray[np.float32]:
        """Compute coherence on the plan's grid: float32, shape (height, width), NaN outside."""
        ...


def _builtin() -> Engine:
    from insar_mining.coherence.builtin.engine import BuiltinEngine

    return BuiltinEngine()


def _snap() -> Engine:
    from insar_mining.coherence.snap.engine import SnapEngine

    return SnapEngine()


def _snappy() -> Engine:
    from insar_mining.coherence.snap.snappy import SnappyEngine

    return SnappyEngine()


ENGINES: dict[str, Callable[[], Engine]] = {"builtin": _builtin, "snap": _snap, "snappy": _snappy}


def open_engine(name: str) -> Engine:
    """Return an engine by its name.

    Raises
    ------
    EngineError
        No such engine.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine is called {name!r}; there is {', '.join(sorted(ENGINES))}")
    return ENGINES[name]()


def coherence(
    plan: CoherencePlan, engine: str | Engine = "builtin", *, progress: Progress | None = None, again: bool = False
) -> Path:
    """Carry out a plan, or keep its result where a complete one exists already.

    Parameters
    ----------
    plan : CoherencePlan
    engine : str or Engine
        ``"builtin"``, ``"snap"`` or ``"snappy"``; nothing chooses one by what happens to be installed.
        An engine that is kept for several plans of a stack reuses what they share
        (:class:`insar_mining.coherence.builtin.engine.BuiltinEngine`).
    progress : callable, optional
        Called with the share of the work done, 0..1.
    again : bool
        Compute even if a result of this very plan is there.

    Returns
    -------
    Path
        The GeoTIFF, ``plan.out``; its STAC item lies beside it.

    Raises
    ------
    EngineError
        No such engine.
    InsarMiningError
        Whatever stops the engine, by name.
    """
    chosen = open_engine(engine) if isinstance(engine, str) else engine
    if not again and is_current(plan, chosen.name):
        return plan.out
    values = chosen.map_coherence(plan, progress or (lambda share: None))
    return write_product(plan, values, chosen.name, getattr(chosen, "version", None))
