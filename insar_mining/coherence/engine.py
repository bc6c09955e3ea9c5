"""Engines that carry out a plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from insar_mining.coherence.current import is_current
from insar_mining.coherence.plan.model import CoherencePlan, Progress
from insar_mining.coherence.plan.product import Layers, write_product
from insar_mining.errors import EngineError
from insar_mining.options.models import CoherenceOptions, SnapOptions


class Engine(Protocol):
    """Carry out a plan: return the bands as arrays on the plan's grid.

    An engine that runs another program says which in `version`, once it is known; what it finds on
    its way and wants to be recorded it leaves in `notes`.
    """

    name: str

    def map_layers(self, plan: CoherencePlan, progress: Progress) -> Layers:
        """Compute coherence and the bands of the plan's recipe: float32, shape (height, width), NaN outside."""
        ...


def _builtin(options: SnapOptions | None) -> Engine:
    from insar_mining.coherence.builtin.engine import BuiltinEngine

    return BuiltinEngine()


def _snap(options: SnapOptions | None) -> Engine:
    from insar_mining.coherence.snap.engine import SnapEngine

    return SnapEngine(options)


def _snappy(options: SnapOptions | None) -> Engine:
    from insar_mining.coherence.snap.snappy import SnappyEngine

    return SnappyEngine(options)


ENGINES: dict[str, Callable[[SnapOptions | None], Engine]] = {"builtin": _builtin, "snap": _snap, "snappy": _snappy}


def open_engine(name: str, snap: SnapOptions | None = None) -> Engine:
    """Return an engine by its name; `snap` is how SNAP is run, if it is.

    Raises
    ------
    EngineError
        No such engine.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine is called {name!r}; there is {', '.join(sorted(ENGINES))}")
    return ENGINES[name](snap)


def engine_for(options: CoherenceOptions, cache: Path | None = None, snap: SnapOptions | None = None) -> Engine:
    """Return the engine that the options of the step name, set up as they say.

    Parameters
    ----------
    cache : Path, optional
        Folder where the built-in engine may keep dates for further pairs of a stack.
    snap : SnapOptions, optional
        How SNAP is run, by an engine that runs it.
    """
    if options.engine != "builtin":
        return open_engine(options.engine, snap)
    from insar_mining.coherence.builtin.engine import BuiltinEngine
    from insar_mining.coherence.builtin.images.cache import ArrayCache

    limit = round(options.cache_gb * 1e9)
    return BuiltinEngine(ArrayCache(cache, limit) if cache and limit else None, options.threads)


def coherence(
    plan: CoherencePlan, engine: str | Engine = "builtin", *, progress: Progress | None = None, again: bool = False
) -> Path:
    """Carry out a plan, or keep its result where a complete one exists already.

    Parameters
    ----------
    plan : CoherencePlan
    engine : str or Engine
        ``"builtin"``, ``"snap"`` or ``"snappy"``; nothing chooses one by what happens to be installed.
        An engine that runs SNAP is opened with options by :func:`open_engine`.
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
        No such engine, or not enough memory.
    InsarMiningError
        Whatever stops the engine, by name.

    Examples
    --------
    >>> plan = insar_mining.make_plan(  # doctest: +SKIP
    ...     "S1A_20230904.SAFE", "S1A_20230916.SAFE", area=mine.geometry, dem="dem.tif", out="20230904_20230916.tif",
    ...     window=insar_mining.Window(2, 7), spacing_m=20.0)
    >>> coherence(plan)  # doctest: +SKIP
    PosixPath('20230904_20230916.tif')
    """
    chosen = open_engine(engine) if isinstance(engine, str) else engine
    if not again and is_current(plan, chosen.name, getattr(chosen, "options", None)):
        return plan.out
    try:
        layers = chosen.map_layers(plan, progress or (lambda share: None))
    except MemoryError as error:
        raise EngineError(
            f"not enough memory to map {plan.pair} on {plan.grid.height} x {plan.grid.width} cells "
            f"({error}). Give more, map a smaller area, or use fewer threads."
        ) from error
    return write_product(plan, layers, chosen.name, getattr(chosen, "version", None), getattr(chosen, "notes", None))
