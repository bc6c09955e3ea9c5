"""Where the ground was disturbed: an absolute decision per pixel and year against the stable ground.

Each year is decided from its own pairs alone, so that its area cannot depend on the years beside it.
See docs/activity.md for the method and its measured errors; the loops are in
:mod:`insar_mining.activity.significant.decision`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.cube.blocks import Block, held, in_order, layers_of, map_blocks, may_hold_data
from insar_mining.activity.published.scenes import SCENE_COLUMNS
from insar_mining.activity.significant.decision import decide, disturbed_in
from insar_mining.activity.significant.local_scores import OWN_LEVEL_PAIRS
from insar_mining.activity.significant.year_reference import (
    FALSE_DISCOVERY_RATE,
    KEEP_BYTES,
    MIN_LOSS,
    Kept,
    YearReference,
    blocks_of_year,
    mine_in,
    prepare_block,
    stable_of_year,
    year_reference,
)
from insar_mining.arrays import BoolArray, IntArray
from insar_mining.errors import ActivityError, FewObservationsWarning, OptionError
from insar_mining.geo.cells import on_cells_of

# value of the maps where there is no decision
NO_DECISION = 255


@dataclass(frozen=True, eq=False)
class Significance:
    """Where, how often and when the ground was significantly disturbed.

    Attributes
    ----------
    active : DataArray (year, y, x) of uint8
        1 disturbed in at least one pair of the year, 0 not, 255 no data.
    disturbed, n_pairs : DataArray (year, y, x) of int16
        Pairs in which the cell was disturbed; pairs in which it has data.
    references : mapping of int to YearReference
    scenes : DataFrame
        As of `scene_table`, every pair against the stable ground of its own year.
    """

    active: xr.DataArray
    disturbed: xr.DataArray
    n_pairs: xr.DataArray
    references: Mapping[int, YearReference]
    scenes: pd.DataFrame

    @property
    def years(self) -> list[int]:
        """Years that were decided."""
        return list(self.references)


class DisturbedBlock(NamedTuple):
    """Decisions of one block in every kept pair, in the order of the cube.

    Attributes
    ----------
    block : Block
    pairs : ndarray of int (n,)
        Positions in the cube.
    disturbed, finite : ndarray of bool (n, rows, columns)
    active : dict of int to ndarray of bool (rows, columns)
    """

    block: Block
    pairs: IntArray
    disturbed: BoolArray
    finite: BoolArray
    active: dict[int, BoolArray]


def significant_activity(
    coh: xr.DataArray,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    min_loss: float = MIN_LOSS,
    stable_mean_min: float = 0.8,
    stable_std_max: float = 0.2,
    scene_mean_min: float = 0.8,
    scene_std_max: float = 0.2,
    stable_method: str = "iterated",
    where: xr.DataArray | None = None,
    baseline_loss: bool = False,
    min_pairs: int = 1,
    block_bytes: int | None = None,
) -> Significance:
    """Decide for every pixel and year whether its ground was disturbed.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Of `open_stack`; the year of a pair is that of its middle date.
    false_discovery_rate : float, 0..1
        Expected share of undisturbed ones among the pixels that are called significant in a year, by
        Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    min_loss : float, 0..1
        Share of the way from undisturbed to disturbed ground at which the border of a disturbed patch is drawn.
    stable_mean_min, stable_std_max, scene_mean_min, scene_std_max, stable_method
        Of the stable points and of the scene test, within each year.
    where : DataArray (y, x) of bool, optional
        Cells that may be stable points (`stable_ground`); default all with data. Ground around the mine is never
        decided on.
    baseline_loss : bool
        Whether every cell is expected to lose coherence with the square of the perpendicular baseline, by as much as
        the year's own pairs tell of it (`baseline_losses`): faces that the elevation model does not know are
        then not taken for worked ground in pairs of a long baseline.
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
        No year has stable ground and a scene that is kept; the message is that of the last year. Or, with
        `baseline_loss`, a pair's baseline is not known.

    Warns
    -----
    FewObservationsWarning
        A year has none, and is left out; a year has fewer than four pairs that are kept, or too few to tell the loss
        with the baseline.
    """
    coh = held(coh)
    layers: dict[int, _Layers] = {}
    tables: list[pd.DataFrame] = []
    references: dict[int, YearReference] = {}
    found = _by_year(
        coh, false_discovery_rate, min_loss,
        (stable_mean_min, stable_std_max, scene_mean_min, scene_std_max, stable_method), block_bytes,
        where=where, baseline_loss=baseline_loss,
    )  # fmt: skip
    for reference, scenes, ready in found:
        tables.append(scenes)
        references[reference.year] = reference
        # decided at once, so that what was prepared of a year can go before the next
        layers[reference.year] = _decided_year(coh, reference, min_pairs, block_bytes, ready)
    return _significance(coh, references, layers, pd.concat(tables, ignore_index=True))


def find_references(
    coh: xr.DataArray,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    min_loss: float = MIN_LOSS,
    stable_mean_min: float = 0.8,
    stable_std_max: float = 0.2,
    scene_mean_min: float = 0.8,
    scene_std_max: float = 0.2,
    stable_method: str = "iterated",
    where: xr.DataArray | None = None,
    baseline_loss: bool = False,
    block_bytes: int | None = None,
) -> tuple[dict[int, YearReference], pd.DataFrame]:
    """Find what every year is decided against, without deciding.

    Parameters, errors and warnings are those of `significant_activity`; `walk_disturbed` takes the references.

    Returns
    -------
    references : dict of int to YearReference
    scenes : DataFrame
        As of `scene_table`, every pair against the stable ground of its own year.
    """
    coh = held(coh)
    limits = stable_mean_min, stable_std_max, scene_mean_min, scene_std_max, stable_method
    found = list(
        _by_year(
            coh, false_discovery_rate, min_loss, limits, block_bytes, 0,
            where=where, baseline_loss=baseline_loss,
        )
    )  # fmt: skip
    scenes = pd.concat([table for _, table, _ in found], ignore_index=True)
    return {reference.year: reference for reference, _, _ in found}, scenes


def _by_year(
    coh: xr.DataArray,
    false_discovery_rate: float,
    min_loss: float,
    limits: tuple[float, float, float, float, str],
    block_bytes: int | None,
    keep_bytes: int | None = None,
    *,
    where: xr.DataArray | None,
    baseline_loss: bool,
) -> Iterator[tuple[YearReference, pd.DataFrame, list[Kept | None] | None]]:
    """Yield the reference of every year that has one, its table of scenes, and its prepared blocks if small."""
    if not 0 < false_discovery_rate < 1 or not 0 < min_loss < 1:
        raise OptionError(
            f"false_discovery_rate={false_discovery_rate}, min_loss={min_loss}: both must lie between 0 and 1"
        )
    failed: ActivityError | None = None
    some = False
    keep_bytes = KEEP_BYTES if keep_bytes is None else keep_bytes
    numbers = coh["year"].values
    for year in sorted({int(number) for number in numbers}):
        of_year = layers_of(coh, np.flatnonzero(numbers == year))
        try:
            stable, kept, scenes = stable_of_year(of_year, *limits, where=where, block_bytes=block_bytes)
        except ActivityError as error:
            warnings.warn(f"{year} is left out: {error}", FewObservationsWarning, stacklevel=3)
            failed = error
            continue
        places = np.flatnonzero(numbers == year)[scenes["kept"].to_numpy()]
        if places.size < OWN_LEVEL_PAIRS:
            warnings.warn(few_pairs(year, places.size), FewObservationsWarning, stacklevel=3)
        found, ready = year_reference(
            coh, kept, year, places, stable, false_discovery_rate, min_loss, block_bytes, keep_bytes,
            baseline_loss=baseline_loss,
        )  # fmt: skip
        some = True
        yield found, scenes, ready
    if not some:
        raise failed or ActivityError("the cube has no pair")


def few_pairs(year: int, count: int) -> str:
    """Say what it means for a year that it has fewer kept pairs than a cell's own level takes (four)."""
    carried = "one pair carries it" if count == 1 else f"{count} pairs carry it"
    return (
        f"{year}: {carried}. With fewer than {OWN_LEVEL_PAIRS} kept pairs the own level of a cell is unknown, and all "
        "ground counts as coherent as the stable points: vegetation may read as active, and no pair speaks for another"
    )


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
    """Decide block by block in every kept pair, without holding more than a block for each thread.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        The cube the references are of.
    references : mapping of int to YearReference
    skip_empty : bool
        Leave out blocks that are known to hold no data (`held`).
    """
    places = np.concatenate([reference.pairs for reference in references.values()])
    coh = held(coh)

    def decided(block: Block) -> DisturbedBlock | None:
        if skip_empty and not may_hold_data(coh, block.rows, block.cols):
            return None
        disturbed, finite, active = [], [], {}
        for year, reference in references.items():
            active[year], found, there = _decide_block(coh, reference, block, None)
            disturbed.append(found)
            finite.append(there)
        return DisturbedBlock(block, places, np.concatenate(disturbed), np.concatenate(finite), active)

    for found in in_order(decided, map_blocks(coh, block_bytes)):
        if found is not None:
            yield found


class _Layers(NamedTuple):
    """Maps of one year: active (uint8), pairs disturbed and pairs with data (int16)."""

    active: npt.NDArray[np.uint8]
    disturbed: npt.NDArray[np.int16]
    n_pairs: npt.NDArray[np.int16]


def _decide_block(
    coh: xr.DataArray, reference: YearReference, block: Block, kept: Kept | None
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Decide one block of a year: active (rows, columns), disturbed and with data (pairs, rows, columns)."""
    ready, inner = prepare_block(coh, block, reference, kept)
    if ready is None:
        nothing = np.zeros((reference.pairs.size, *block.shape), np.bool_)
        return np.zeros(block.shape, np.bool_), nothing, nothing
    tables = reference.tables
    found, codes, _ = decide(
        ready.mean, ready.scores, ready.stable, reference.spans, ready.ratio, tables.expected,
        tables.true, reference.critical, reference.min_loss,
    )  # fmt: skip
    everywhere = (slice(None), *inner)
    mine = mine_in(coh, block)
    # a local mean is finite where the cell's own value is
    return (
        found[inner] & mine,
        disturbed_in(codes, found)[everywhere] & mine,
        np.isfinite(ready.mean[everywhere]) & mine,
    )


def _decided_year(
    coh: xr.DataArray,
    reference: YearReference,
    min_pairs: int,
    block_bytes: int | None,
    prepared: list[Kept | None] | None,
) -> _Layers:
    """Decide a whole year."""
    shape = coh.sizes["y"], coh.sizes["x"]
    layers = _Layers(np.full(shape, NO_DECISION, np.uint8), np.zeros(shape, np.int16), np.zeros(shape, np.int16))
    blocks = blocks_of_year(coh, reference.pairs.size, block_bytes)

    def decided(number: int) -> None:
        block = blocks[number]
        where = block.rows, block.cols
        if prepared is not None and prepared[number] is None:
            return  # without data
        active, disturbed, finite = _decide_block(coh, reference, block, prepared[number] if prepared else None)
        layers.n_pairs[where] = finite.sum(axis=0)
        layers.disturbed[where] = disturbed.sum(axis=0)
        layers.active[where] = np.where(layers.n_pairs[where] >= max(min_pairs, 1), active, NO_DECISION)

    for _ in in_order(decided, range(len(blocks))):
        pass
    if prepared is not None:
        prepared.clear()
    return layers


def _significance(
    coh: xr.DataArray, references: Mapping[int, YearReference], layers: Mapping[int, _Layers], scenes: pd.DataFrame
) -> Significance:
    years = np.array(list(references))
    coords = {
        "year": ("year", years),
        "pairs_in_year": ("year", np.array([reference.pairs.size for reference in references.values()])),
    }
    attrs = {"long_name": "disturbed in at least one pair of the year", "nodata": NO_DECISION, "method": "significant"}

    def of(field: str, said: Mapping[str, object]) -> xr.DataArray:
        values = np.stack([getattr(layers[int(year)], field) for year in years])
        return on_cells_of(coh, ("year", "y", "x"), values, field, said, coords)

    return Significance(
        of("active", attrs),
        of("disturbed", {"long_name": "pairs in which the ground was disturbed"}),
        of("n_pairs", {"long_name": "pairs with data"}),
        references,
        scenes[list(SCENE_COLUMNS)],
    )
