"""Every error and warning that the package raises on purpose.

A message names the value, the limit and the remedy, so that one line is enough
to act on.  All errors derive from :class:`InsarMiningError`, all warnings from
:class:`InsarMiningWarning`; anything else that escapes is a bug.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def sentence(error: Exception) -> str:
    """Return what an error says, ended by a full stop, so that another sentence can follow."""
    text = str(error).strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


class InsarMiningError(Exception):
    """Base of all errors that the package raises on purpose.

    Examples
    --------
    >>> from insar_mining import Window
    >>> try:
    ...     Window(azimuth=0, range=7)
    ... except InsarMiningError as error:
    ...     print(type(error).__name__)
    OptionError
    """


class OptionError(InsarMiningError):
    """An option has a value that it cannot have."""


class MineError(InsarMiningError):
    """A mine's polygon cannot be used (empty, not a polygon, swapped axes, ...)."""


class ProductError(InsarMiningError):
    """A Sentinel-1 product, or one of its files, is missing, damaged or foreign."""


class OrbitError(InsarMiningError):
    """An orbit file is damaged, foreign, or does not cover the acquisition."""


class DemError(InsarMiningError):
    """An elevation model cannot be read, has no heights, or lies elsewhere."""


class CoverageError(InsarMiningError):
    """The area of interest is not seen by the product (or by no burst of it)."""


class PairError(InsarMiningError):
    """Two products do not form an interferometric pair."""


class RasterError(InsarMiningError):
    """A raster, or a folder of rasters, cannot be used as a coherence stack."""


class ActivityError(InsarMiningError):
    """The activity analysis has nothing to stand on (no stable point, no scene left, ...)."""


class EmissionsError(InsarMiningError):
    """A production, an area or an emission factor cannot be used."""


class ArchiveError(InsarMiningError):
    """Something outside (the archive, its catalogue) is needed and cannot be had."""


class EngineError(InsarMiningError):
    """The coherence engine asked for is unknown, not installed, or failed."""


class SnapError(EngineError):
    """SNAP ran for one pair and did not give a usable result; other pairs may still succeed."""


class SnapHangError(SnapError):
    """SNAP stopped doing anything, or did not end in time, and was killed."""


class SnapCrashError(SnapError):
    """SNAP died, or left half a product behind."""


class SnapMemoryError(SnapError):
    """SNAP ran out of memory, or was killed for taking too much of it."""


class SnapGraphError(SnapError):
    """A graph is not valid for the version of SNAP that is to run it."""


class SnapOverlapError(SnapError):
    """SNAP found no common ground between a product and the area."""


class SnapOrbitError(SnapError):
    """SNAP found no orbit file, or its result was not made with the one it was given."""


class SnapDiskError(SnapError):
    """There is no room for SNAP's intermediate products."""


class SnapOutputError(SnapError):
    """SNAP reported success and left a product that is missing, damaged, empty or misplaced."""


class OutputError(InsarMiningError):
    """A result cannot be written where it was asked for."""


class ReportError(InsarMiningError):
    """What is to be drawn or reported is incomplete, or its parts do not fit together."""


class InsarMiningWarning(UserWarning):
    """Base of all warnings: a result is degraded, or an input was mended.

    Examples
    --------
    >>> issubclass(RepairedGeometryWarning, InsarMiningWarning)
    True
    """


class RepairedGeometryWarning(InsarMiningWarning):
    """A polygon was invalid and has been repaired."""


class AssumedCrsWarning(InsarMiningWarning):
    """An input does not say its coordinate system; longitude and latitude were assumed."""


class PartialDemWarning(InsarMiningWarning):
    """The elevation model covers only a part of the area; the rest is NaN."""


class PartialCoverageWarning(InsarMiningWarning):
    """The product covers only a part of the area; the rest is NaN."""


class SkippedInputWarning(InsarMiningWarning):
    """One input of several could not be used and was left out."""


class ClippedValuesWarning(InsarMiningWarning):
    """Values beyond what they can be were brought back to the limit."""


class MissingDataWarning(InsarMiningWarning):
    """Data lack in a way that may bias what is computed from the rest."""


class OrbitWarning(InsarMiningWarning):
    """The orbit is less precise than it could be (annotation vectors, RESORB)."""


class EngineWarning(InsarMiningWarning):
    """An engine does something that its results may suffer from (an untested version, a second try)."""


class UnlikeScenesWarning(InsarMiningWarning):
    """Two scenes of a pair differ in a way that may lower their coherence (satellite, start of bursts)."""


class StackReferenceWarning(InsarMiningWarning):
    """The scene that gave a folder's maps their geometry is gone, and all maps are made again with another."""


class DamagedMapWarning(InsarMiningWarning):
    """A finished map is not the file that was written; it is made again."""


class ChangedFileWarning(InsarMiningWarning):
    """A file of an earlier result was changed since; it is kept under another name."""


class SaturationWarning(InsarMiningWarning):
    """Simulated pixels exceed the range of 16 bits and are clipped."""


class FewObservationsWarning(InsarMiningWarning):
    """A statistic rests on fewer observations than it should."""


class UnusedOptionWarning(InsarMiningWarning):
    """An option was given that has no effect on what was asked for."""


class DriftWarning(InsarMiningWarning):
    """Ground that is taken for stable changed while it was watched."""


class UnsettledWarning(InsarMiningWarning):
    """An iteration ended at its limit before its result stopped changing."""


@contextmanager
def strict() -> Iterator[None]:
    """Turn every :class:`InsarMiningWarning` into an error inside the block.

    Examples
    --------
    >>> import warnings
    >>> with strict():
    ...     warnings.warn("half of the area has no heights", PartialDemWarning)
    Traceback (most recent call last):
        ...
    insar_mining.errors.PartialDemWarning: half of the area has no heights
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", InsarMiningWarning)
        yield
