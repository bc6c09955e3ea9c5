"""Where the ground was disturbed: every year decided by itself against control ground.

docs/activity.md describes the method and its measured errors; its steps are in :mod:`.method` and the modules it uses.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from insar_mining.activity.cube.blocks import Block, held, in_order, layers_of
from insar_mining.activity.published.scenes import SCENE_COLUMNS, scene_table
from insar_mining.activity.significant.baseline import squares_of
from insar_mining.activity.significant.expectation import expectation_of
from insar_mining.activity.significant.method import (
    YearMethod,
    mine_of_block,
    year_blocks,
)
from insar_mining.activity.significant.settled import cover_in
from insar_mining.activity.significant.states import State
from insar_mining.activity.significant.year import DecidedBlock, YearReference
from insar_mining.arrays import BoolArray, IntArray
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError
from insar_mining.geo.cells import on_cells_of

FALSE_DISCOVERY_RATE = 0.01
MIN_LOSS = 0.5
# value of the maps where there is no decision
NO_DECISION = 255
# a year of fewer pairs hardly shows what a cell reads when nobody works on it
OWN_LEVEL_PAIRS = 4


@dataclass(frozen=True, eq=False)
class Significance:
    """Hold where, how often and when the ground was disturbed.

    Attributes
    ----------
    active : DataArray (year, y, x) of uint8
        1 disturbed in at least one pair of the year, 0 not, 255 no data.
    disturbed, n_pairs : DataArray (year, y, x) of int16
        Pairs in which the cell was disturbed; pairs in which it has data.
    states : DataArray (year, y, x) of uint8
        Of `State`; 255 no data.
    seen : DataArray (year, y, x) of uint8
        Percent of the pairs that would show a full loss; 255 where the own level of the cell is not known.
    contrast : DataArray (year, y, x) of uint8
        Percent of the way from decorrelated to the most coherent ground at which the cell's own ground stands; 255
        where that is not known.
    placebo : DataArray (year, kind)
        Share of the control ground that is called active, ``deep`` and ``shallow``; NaN without control.
    references : mapping of int to YearReference
    scenes : DataFrame
        As of `scene_table`, every pair with the most coherent ground of its own year. No pair is rejected.
    """

    active: xr.DataArray
    disturbed: xr.DataArray
    n_pairs: xr.DataArray
    states: xr.DataArray
    seen: xr.DataArray
    contrast: xr.DataArray
    placebo: xr.DataArray
    references: Mapping[int, YearReference]
    scenes: pd.DataFrame

    @property
    def years(self) -> list[int]:
        """Years that were decided."""
        return list(self.references)


class DisturbedBlock(NamedTuple):
    """Hold decisions of one block in every pair, in the order of the cube.

    Attributes
    ----------
    block : Block
    pairs : ndarray of int (n,)
        Positions in the cube.
    disturbed, finite : ndarray of bool (n, rows, columns)
    active : dict of int to ndarray of bool (rows, columns)
    states : dict of int to ndarray of uint8 (rows, columns)
    """

    block: Block
    pairs: IntArray
    disturbed: BoolArray
    finite: BoolArray
    active: dict[int, BoolArray]
    states: dict[int, np.ndarray]


def significant_activity(
    coh: xr.DataArray,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    min_loss: float = MIN_LOSS,
    where: xr.DataArray | None = None,
    cover: xr.DataArray | None = None,
    baseline_loss: bool = False,
    min_pairs: int = 1,
    block_bytes: int | None = None,
) -> Significance:
    """Decide for every pixel and year whether its ground was disturbed, against ground of the same own level.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Of `open_stack` with a mine and ``margin_m``; the year of a pair is that of its middle date.
    false_discovery_rate : float, 0..1
        Expected share of undisturbed ones among the pixels that are called significant in a year, by
        Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    min_loss : float, 0..1
        Share of the way from undisturbed to disturbed ground at which the border of a disturbed patch is drawn.
    where : DataArray (y, x) of bool, optional
        Cells around the mine that may be control; default all of them.
    cover : DataArray (year, y, x) of uint8, optional
        Of `cover_from`: what is known of ground that is never coherent.
    baseline_loss : bool
        Whether every cell is given back what its own pairs say that the square of the perpendicular baseline takes:
        faces that the elevation model does not know are then not taken for worked ground.
    min_pairs : int
        Least number of pairs of a pixel in a year; with fewer it has no data.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.

    Returns
    -------
    Significance

    Raises
    ------
    ActivityError
        No pair of the cube has data; or, with `baseline_loss`, a pair's baseline is not known.
    OptionError
        A rate or share outside 0..1.

    Warns
    -----
    FewObservationsWarning
        A year has fewer than four pairs with data, or none and is left out.
    """
    coh = held(coh)
    layers, scenes, references, placebo = [], [], {}, []
    for reference, method in _years(coh, false_discovery_rate, min_loss, where, cover, baseline_loss, block_bytes):
        references[reference.year] = reference
        scenes.append(_scenes_of(coh, reference, block_bytes))
        # decided at once, so that what was prepared of a year can go before the next
        layers.append(_decided_year(coh, reference, method, min_pairs))
        placebo.append(layers[-1].pop("placebo"))
    table = pd.concat(scenes, ignore_index=True)
    return _significance(coh, references, layers, placebo, table[list(SCENE_COLUMNS)])


def find_references(
    coh: xr.DataArray,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    min_loss: float = MIN_LOSS,
    where: xr.DataArray | None = None,
    cover: xr.DataArray | None = None,
    baseline_loss: bool = False,
    block_bytes: int | None = None,
) -> tuple[dict[int, YearReference], pd.DataFrame]:
    """Find what every year is decided by, without deciding.

    Parameters, errors and warnings are those of `significant_activity`; `walk_disturbed` takes the references.

    Returns
    -------
    references : dict of int to YearReference
    scenes : DataFrame
        As of `scene_table`.
    """
    coh = held(coh)
    years = _years(coh, false_discovery_rate, min_loss, where, cover, baseline_loss, block_bytes)
    references = {reference.year: reference for reference, _ in years}
    scenes = [_scenes_of(coh, reference, block_bytes) for reference in references.values()]
    return references, pd.concat(scenes, ignore_index=True)[list(SCENE_COLUMNS)]


def _years(
    coh: xr.DataArray,
    rate: float,
    min_loss: float,
    where: xr.DataArray | None,
    cover: xr.DataArray | None,
    baseline_loss: bool,
    block_bytes: int | None,
) -> Iterator[tuple[YearReference, YearMethod]]:
    """Yield every year of the cube that has a pair with data, prepared."""
    if not 0 < rate < 1 or not 0 < min_loss < 1:
        raise OptionError(f"false_discovery_rate={rate}, min_loss={min_loss}: both must lie between 0 and 1")
    numbers = coh["year"].values
    control = None if where is None else np.asarray(where.values, np.bool_)
    some = False
    for year in sorted({int(number) for number in numbers}):
        pairs = np.flatnonzero(numbers == year)
        blocks = year_blocks(coh, pairs.size, block_bytes)
        pairs = pairs[_with_data(coh, pairs, blocks)]
        if not pairs.size:
            warnings.warn(f"{year} is left out: none of its pairs has data", FewObservationsWarning, stacklevel=3)
            continue
        if pairs.size < OWN_LEVEL_PAIRS:
            warnings.warn(few_pairs(year, pairs.size), FewObservationsWarning, stacklevel=3)
        some = True
        squares = squares_of(coh, pairs) if baseline_loss else None
        known = None if cover is None else cover_in(cover, year)
        expected = expectation_of(coh, year, pairs, control, blocks, squares)
        method = YearMethod(coh, expected, expected.grounds.blocks, known)
        yield method.reference(rate, min_loss), method
    if not some:
        raise ActivityError(
            "coherence maps: no pair has data within the mine (0 pairs, limit 1). Check the maps' extent."
        )


def _with_data(coh: xr.DataArray, pairs: IntArray, blocks: list[Block]) -> BoolArray:
    """Return which pairs have any data within the mine."""
    found = np.zeros(pairs.size, np.bool_)
    for block in blocks:
        if found.all():
            break
        left = np.flatnonzero(~found)
        values = coh.variable[{"pair": pairs[left], "y": block.rows, "x": block.cols}].values
        found[left] = (np.isfinite(values) & mine_of_block(coh, block)).any(axis=(1, 2))
    return found


def few_pairs(year: int, count: int) -> str:
    """Return what it means for a year that it has fewer than four pairs."""
    carried = "one pair carries it" if count == 1 else f"{count} pairs carry it"
    means = (
        "what a cell reads undisturbed is not known, and nothing can be seen"
        if count == 1
        else "what a cell reads undisturbed is hardly known"
    )
    return f"{year}: {carried} (limit {OWN_LEVEL_PAIRS}). With so few {means}; add pairs"


def _scenes_of(coh: xr.DataArray, reference: YearReference, block_bytes: int | None) -> pd.DataFrame:
    """Return the table of scenes of a year's pairs; one without data is the only one not kept."""
    pairs = np.flatnonzero(coh["year"].values == reference.year)
    table = scene_table(layers_of(coh, pairs), reference.stable, 0.0, 1.0, block_bytes=block_bytes)
    with_data = np.isin(pairs, reference.pairs)
    table["kept"] = with_data
    table["reason"] = np.where(with_data, "", "no data within the mine")
    return table


def duty_cycle(found: Significance) -> xr.DataArray:
    """Share of its pairs in which each pixel was disturbed, (year, y, x) float32, NaN without data.

    The Temporal Activity Index of the literature, on significant changes.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = found.disturbed.values.astype(np.float32) / found.n_pairs.values
    share[found.active.values == NO_DECISION] = np.nan
    attrs = {"units": "1", "long_name": "share of the pairs in which the ground was disturbed"}
    coords = {"year": found.active["year"].values}
    return on_cells_of(found.active, ("year", "y", "x"), share, "duty", attrs, coords)


def walk_disturbed(
    coh: xr.DataArray,
    references: Mapping[int, YearReference],
    *,
    block_bytes: int | None = None,
    skip_empty: bool = False,
) -> Iterator[DisturbedBlock]:
    """Decide block by block in every pair, without holding more than a block for each thread.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        The cube the references are of.
    references : mapping of int to YearReference
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.
    skip_empty : bool
        Kept for callers; blocks that are known to hold no data are always left out.
    """
    coh = held(coh)
    places = np.concatenate([reference.pairs for reference in references.values()])
    blocks = year_blocks(coh, max(reference.pairs.size for reference in references.values()), block_bytes)
    methods = {year: YearMethod.of(coh, reference, blocks) for year, reference in references.items()}

    def decided(block: Block) -> DisturbedBlock:
        found = {year: methods[year].decide_block(reference, block) for year, reference in references.items()}
        mine = {year: part.active & (part.states != State.OUTSIDE) for year, part in found.items()}
        return DisturbedBlock(
            block,
            places,
            np.concatenate([part.disturbed & mine[year] for year, part in found.items()]),
            np.concatenate([part.finite for part in found.values()]),
            mine,
            {year: part.states for year, part in found.items()},
        )

    yield from in_order(decided, blocks)


def _decided_year(
    coh: xr.DataArray, reference: YearReference, method: YearMethod, min_pairs: int
) -> dict[str, np.ndarray]:
    """Decide a whole year: maps by name, and the shares of control that are called active."""
    shape = coh.sizes["y"], coh.sizes["x"]
    maps: dict[str, np.ndarray] = {
        "active": np.full(shape, NO_DECISION, np.uint8),
        "disturbed": np.zeros(shape, np.int16),
        "n_pairs": np.zeros(shape, np.int16),
        "states": np.full(shape, State.OUTSIDE, np.uint8),
        "seen": np.full(shape, 255, np.uint8),
        "contrast": np.full(shape, 255, np.uint8),
    }
    control = reference.expectation.grounds.control
    deep = called = 0
    for part in method.decide(reference):
        _enter(maps, part, min_pairs)
        here = control[part.block.rows, part.block.cols]
        deep += int((part.deep & here).sum())
        called += int((part.active & here).sum())
    cells = int(control.sum())
    share = np.array([deep, called - deep]) / cells if cells else np.full(2, np.nan)
    return {**maps, "placebo": share}


def _enter(maps: dict[str, np.ndarray], part: DecidedBlock, min_pairs: int) -> None:
    """Enter the decisions of a block in the maps of its year."""
    where = part.block.rows, part.block.cols
    count = part.finite.sum(axis=0)
    known = (count >= max(min_pairs, 1)) & (part.states != State.OUTSIDE)
    active = part.active & known
    maps["n_pairs"][where] = count
    maps["disturbed"][where] = np.where(active, part.disturbed.sum(axis=0), 0)
    maps["active"][where] = np.where(known, active, NO_DECISION)
    maps["states"][where] = np.where(known, part.states, np.uint8(State.OUTSIDE))
    maps["seen"][where] = part.seen
    maps["contrast"][where] = part.contrast


def _significance(
    coh: xr.DataArray,
    references: Mapping[int, YearReference],
    layers: list[dict[str, np.ndarray]],
    placebo: list[np.ndarray],
    scenes: pd.DataFrame,
) -> Significance:
    years = np.array(list(references))
    coords = {
        "year": ("year", years),
        "pairs_in_year": ("year", np.array([reference.pairs.size for reference in references.values()])),
    }
    active = {"long_name": "disturbed in at least one pair of the year", "nodata": NO_DECISION, "method": "significant"}
    states = {
        "long_name": "state of the ground in the year",
        "nodata": NO_DECISION,
        "flag_values": [int(state) for state in State if state != State.OUTSIDE],
        "flag_meanings": " ".join(state.name.lower() for state in State if state != State.OUTSIDE),
    }

    def of(name: str, attrs: Mapping[str, object]) -> xr.DataArray:
        values = np.stack([maps[name] for maps in layers])
        return on_cells_of(coh, ("year", "y", "x"), values, name, attrs, coords)

    shares = xr.DataArray(
        np.stack(placebo), dims=("year", "kind"), coords={"year": years, "kind": ["deep", "shallow"]}, name="placebo"
    )
    return Significance(
        of("active", active),
        of("disturbed", {"long_name": "pairs in which the ground was disturbed"}),
        of("n_pairs", {"long_name": "pairs with data"}),
        of("states", states),
        of("seen", {"long_name": "percent of the pairs that would show a full loss", "nodata": 255}),
        of("contrast", {"long_name": "percent of the coherence of the most coherent ground", "nodata": 255}),
        shares,
        references,
        scenes,
    )


__all__ = [
    "DisturbedBlock",
    "Significance",
    "duty_cycle",
    "few_pairs",
    "find_references",
    "significant_activity",
    "walk_disturbed",
]
