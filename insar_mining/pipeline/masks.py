"""Masks of water for a run: the band ``mask`` of a few pairs a year, beside the maps of coherence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from insar_mining.arrays import IntArray
from insar_mining.coherence.engine import coherence
from insar_mining.errors import SkippedInputWarning
from insar_mining.files import delete
from insar_mining.pipeline.flagged import has_flags
from insar_mining.pipeline.maps import FAULTS_OF_A_PAIR, MAP_FILES, Maps, Planner

MASKS = ".masks"  # beside the maps
PAIRS_A_YEAR = 3  # wind roughens water on some dates: the majority decides


def make_masks(maps: Maps, planner: Planner) -> None:
    """Map the band ``mask`` of a few pairs of every year, which tells calm water from worked ground.

    Only with the built-in engine and the default method, and where the maps have no such band themselves. Costs
    some tenths of a second per pair, since the dates are there; a mask that is there is kept.

    Parameters
    ----------
    maps : Maps
        Maps of the run.
    planner : Planner
        Whose stack and options they are.

    Warns
    -----
    SkippedInputWarning
        A pair has no mask, and why; the year's others serve.
    """
    chosen = planner.options.coherence
    is_wanted = chosen.engine == "builtin" and planner.options.activity.method == "significant"
    pairs = maps.pairs.to_dict("records")
    years = [int(str(pair["reference_date"])[:4]) for pair in pairs]
    numbers = spread(years) if is_wanted and "mask" not in chosen.bands else []
    _delete_others(planner.folder / MASKS, {str(pairs[number]["pair"]) for number in numbers})
    if not numbers:
        return
    engine = planner.engine()
    masks = planner.beside(planner.folder / MASKS, planner.options.replace(coherence=chosen.replace(bands=("mask",))))
    for number in numbers:
        try:
            coherence(masks.plan(pairs[number]), engine)
        except FAULTS_OF_A_PAIR as error:
            warnings.warn(f"mask of {pairs[number]['pair']} left out: {error}", SkippedInputWarning, stacklevel=2)


def _delete_others(folder: Path, pairs: set[str]) -> None:
    """Delete masks of pairs that are not chosen any more: a result must not depend on what was run before."""
    for path in sorted(folder.glob("*")) if folder.is_dir() and not folder.is_symlink() else ():
        if path.stem not in pairs:
            delete(path, MAP_FILES)


def masks_of(files: Sequence[Path]) -> dict[int, Path]:
    """Return the rasters with a band ``mask`` of maps: their own, or those that a run made beside some of them.

    Parameters
    ----------
    files : sequence of Path
        Maps of coherence.

    Returns
    -------
    dict of int to Path
        By the number of the map; empty without any.
    """
    if files and all(has_flags(path) for path in files):
        return dict(enumerate(files))
    beside = {number: path.parent / MASKS / path.name for number, path in enumerate(files)}
    return {number: path for number, path in beside.items() if path.is_file() and has_flags(path)}


def spread(years: Sequence[int]) -> list[int]:
    """Choose a few entries of every year, spread over it.

    Examples
    --------
    >>> spread([2021] * 7 + [2022])
    [0, 3, 6, 7]
    """
    chosen: list[int] = []
    for year in dict.fromkeys(years):
        places: IntArray = np.flatnonzero(np.asarray(years) == year)
        picks = np.linspace(0, places.size - 1, min(PAIRS_A_YEAR, places.size)).round().astype(int)
        chosen.extend(int(place) for place in places[picks])
    return chosen
