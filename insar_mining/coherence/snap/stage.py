"""One stage: a graph run, what it left checked, and a second try where that makes sense."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from insar_mining.coherence.plan.model import Progress
from insar_mining.coherence.snap.dimap import Dimap
from insar_mining.coherence.snap.gpt import Runner
from insar_mining.coherence.snap.provision import LaidOrbit
from insar_mining.coherence.snap.settings import SnapSettings
from insar_mining.errors import EngineWarning, SnapCrashError, SnapHangError, SnapMemoryError, SnapOrbitError

SECOND_TRY = (SnapHangError, SnapMemoryError, SnapCrashError)
SPACING_S = (0.5, 1.5)  # Apply-Orbit-File makes vectors 1 s apart, the annotation's are 10 s apart


def run_checked(
    runner: Runner,
    graph: Path,
    stage: str,
    settings: SnapSettings,
    check: Callable[[], Dimap],
    *,
    progress: Progress,
    again: Callable[[], None],
) -> Dimap:
    """Run a graph and check its product; after a freeze, a crash or a lack of memory try once more, more gently.

    Parameters
    ----------
    check : callable
        Reads the product, or raises what is wrong with it.
    again : callable
        Called before the second try, to take away what the first one left.

    Raises
    ------
    SnapError
        As one of its named kinds; of the second try where there was one.
    """
    try:
        runner.run(graph, stage, settings, progress)
        return check()
    except SECOND_TRY as error:
        gentler = settings.gentler()
        warnings.warn(f"{error}. Trying once more with {gentler.parallelism} threads", EngineWarning, stacklevel=2)
    again()
    try:
        runner.run(graph, stage, gentler, progress)
        return check()
    except SECOND_TRY as error:
        raise type(error)(f"twice: {error}") from error


def refuse_other_orbits(product: Dimap, wanted: Sequence[tuple[str, LaidOrbit | None]]) -> None:
    """Make sure that a product was made with the orbit files it was given.

    Parameters
    ----------
    wanted : sequence of (name of the date, orbit)
        In the order of the product's dates; None where the annotation's orbit was asked for.

    Raises
    ------
    SnapOrbitError
        Its metadata names another file, or its vectors are not the ones that
        Apply-Orbit-File makes, 1 s apart.
    """
    records = product.orbits() if any(orbit is not None for _, orbit in wanted) else []
    for number, (side, orbit) in enumerate(wanted):
        if orbit is None:
            continue
        record = records[number] if len(wanted) > 1 and number < len(records) else records[0] if records else None
        said = "nothing" if record is None else f"{record.file or 'no file'}, vectors {record.spacing_s:g} s apart"
        stem = orbit.name.removesuffix(".EOF")
        if record is None or stem not in record.file or not SPACING_S[0] < record.spacing_s < SPACING_S[1]:
            raise SnapOrbitError(
                f"{product.path.name}: the {side} should have the orbit {orbit.name} in vectors 1 s apart, its "
                f"metadata says {said}. The geometry is that of the annotation. SNAP 14 does so when Apply-Orbit-File "
                "and its successors are in one graph: run them in separate processes, as the package's own graphs do"
            )
