"""The whole analysis of a cube that is larger than memory, from blocks to blocks: maps go to Zarr as they are made."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from insar_mining.activity.cube.blocks import held
from insar_mining.activity.cube.store import CHUNK, CODEC, begin_store, mapping_attributes, open_maps, written_store
from insar_mining.activity.published.area import ACTIVITY_COLUMNS, nominal_area_m2
from insar_mining.activity.published.ndai import annual_blocks, ndai, years_of_pairs
from insar_mining.activity.significant.significance import (
    NO_DECISION,
    find_references,
    walk_disturbed,
)
from insar_mining.activity.significant.year import YearReference
from insar_mining.geo.cells import CELL_ATTRIBUTES, MAP_COORDINATES, ground_area_m2, on_cells_of

# rows of a map that are summed together
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class LargeActivity:
    """Hold the files and tables of `significant_to_zarr`.

    Attributes
    ----------
    path : Path
        The Zarr store.
    maps : Dataset (year, y, x)
        ``active`` (uint8: 1, 0, 255 no data), ``states`` (uint8, of `State`), ``disturbed`` and
        ``n_pairs`` (int16), read when used.
    references : dict of int to YearReference
    scenes, table : DataFrame
        As of ``scenes.csv`` and ``activity.csv`` (without intervals).
    """

    path: Path
    maps: xr.Dataset
    references: dict[int, YearReference]
    scenes: pd.DataFrame
    table: pd.DataFrame


def significant_to_zarr(
    coh: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    min_pairs: int = 1,
    chunk: int = CHUNK,
    block_bytes: int | None = None,
    **options: Any,
) -> LargeActivity:
    """Decide where the ground was disturbed, as `significant_activity` does, in bounded memory.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Lazy: of `from_zarr`, `open_stack` or dask.
    path : path
        The Zarr store to write; one that is there is replaced once the new one is complete.
    min_pairs : int
        Least number of pairs of a pixel in a year.
    chunk : int
        Rows and columns of a chunk of the maps.
    block_bytes : int, optional
        Coherence held at a time; no result depends on it.
    **options
        Of `find_references`.

    Returns
    -------
    LargeActivity

    Raises
    ------
    OutputError
        The store cannot be written, or something else lies there.
    ActivityError
        As of `significant_activity`.

    Notes
    -----
    Held are a block of all pairs with what is prepared of it, and for each year one map of bool (its stable
    points); benchmarks/results/activity.md tells what 10,000 x 10,000 cells take.
    """
    coh = held(coh)
    references, scenes = find_references(coh, block_bytes=block_bytes, **options)
    years = list(references)
    layers = {"active": ("uint8", NO_DECISION), "disturbed": ("int16", 0), "n_pairs": ("int16", 0)}
    layers["states"] = ("uint8", NO_DECISION)
    with written_store(path) as partial:
        arrays = _maps(coh, partial, years, layers, chunk)
        year_of = np.concatenate([np.full(found.pairs.size, year) for year, found in references.items()])
        for part in walk_disturbed(coh, references, block_bytes=block_bytes, skip_empty=True):
            if not part.finite.any():
                continue  # what the store holds already
            for number, year in enumerate(years):
                where = number, part.block.rows, part.block.cols
                count = part.finite[year_of == year].sum(axis=0).astype(np.int16)
                known = (count >= max(min_pairs, 1)) & (part.states[year] != NO_DECISION)
                arrays["active"][where] = np.where(known, part.active[year], NO_DECISION).astype(np.uint8)
                arrays["states"][where] = np.where(known, part.states[year], NO_DECISION).astype(np.uint8)
                arrays["disturbed"][where] = part.disturbed[year_of == year].sum(axis=0).astype(np.int16)
                arrays["n_pairs"][where] = count
    maps = open_maps(path)
    table = _table(coh, maps["active"], references)
    return LargeActivity(Path(path), maps, references, scenes, table)


def annual_to_zarr(
    coh: xr.DataArray,
    stable: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    min_pairs: int = 1,
    chunk: int = CHUNK,
    block_bytes: int | None = None,
) -> xr.Dataset:
    """Write the annual mean NDAI of a cube, as `annual_ndai` makes it, in bounded memory.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        Only the pairs to use (`filter_scenes`).
    stable : DataArray (y, x) of bool
    path, min_pairs, chunk, block_bytes
        As of `significant_to_zarr`.

    Returns
    -------
    Dataset (year, y, x)
        ``annual_ndai`` (float32) and ``n_pairs`` (int16), read when used.

    Raises
    ------
    OutputError, ActivityError
    """
    index = ndai(coh, stable, block_bytes=block_bytes)
    years, _ = years_of_pairs(index)
    layers = {"annual_ndai": ("float32", np.nan), "n_pairs": ("int16", 0)}
    with written_store(path) as partial:
        arrays = _maps(coh, partial, years.tolist(), layers, chunk)
        for block, mean, count in annual_blocks(index, min_pairs, block_bytes):
            if count.any():
                arrays["annual_ndai"][:, block.rows, block.cols] = mean
                arrays["n_pairs"][:, block.rows, block.cols] = count
    return open_maps(path)


def _maps(
    coh: xr.DataArray, path: Path, years: list[int], layers: Mapping[str, tuple[str, float]], chunk: int
) -> dict[str, Any]:
    """Make a store of empty maps (year, y, x) on the cells of a cube."""
    of_map = {name: coord for name, coord in coh.coords.items() if "pair" not in coord.dims and name in MAP_COORDINATES}
    coords = xr.Dataset(coords={**of_map, "year": ("year", np.array(years, np.int64))}).reset_coords()
    group = begin_store(coords, coh, path)
    cells = {key: coh.attrs[key] for key in CELL_ATTRIBUTES if key in coh.attrs}
    cells = {key: list(value) if isinstance(value, tuple) else value for key, value in cells.items()}
    size = len(years), coh.sizes["y"], coh.sizes["x"]
    arrays: dict[str, Any] = {}
    for name, (kind, empty) in layers.items():
        arrays[name] = group.create_array(
            name,
            shape=size,
            chunks=(1, min(chunk, size[1]), min(chunk, size[2])),
            dtype=kind,
            fill_value=empty,
            compressors=CODEC,
            attributes={"_ARRAY_DIMENSIONS": ["year", "y", "x"], **cells, **mapping_attributes(coh, of_map)},
        )
    return arrays


def _sums(coh: xr.DataArray, active: xr.DataArray) -> tuple[int, int, float]:
    """Count the active and the known pixels of a map, and sum the ground of the active ones, m2, by rows."""
    pixels, known, areas = 0, 0, []
    for top in range(0, active.sizes["y"], ROWS_AT_ONCE):
        rows = {"y": slice(top, top + ROWS_AT_ONCE)}
        values: npt.NDArray[np.uint8] = active.variable[rows].values
        pixels += int(np.count_nonzero(values == 1))
        known += int(np.count_nonzero(values != NO_DECISION))
        areas.append(ground_area_m2(on_cells_of(coh.isel(rows), ("y", "x"), values == 1, "active", {})))
    return pixels, known, math.fsum(areas)


def _table(coh: xr.DataArray, active: xr.DataArray, references: dict[int, YearReference]) -> pd.DataFrame:
    """Return the areas of the maps, a year at a time."""
    rows = []
    for number, (year, reference) in enumerate(references.items()):
        pixels, known, area = _sums(coh, active.isel(year=number))
        mine = str(coh.attrs.get("mine_id", ""))
        rows.append(
            (mine, year, "significant", reference.pairs.size, known, pixels, area, np.nan, np.nan,
             nominal_area_m2(pixels))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(ACTIVITY_COLUMNS))
