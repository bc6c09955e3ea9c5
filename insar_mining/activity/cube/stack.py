"""Open a folder of coherence rasters of any origin as one cube."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr
from shapely.geometry.base import BaseGeometry

from insar_mining.activity.cube.blocks import HOLD_BYTES, Key, lazy_variable
from insar_mining.activity.cube.missing import LOOKED_AT, check_missing
from insar_mining.activity.cube.rasters import NOTHING, CoherenceRaster, PixelCounts, Zero, look, read_window
from insar_mining.activity.cube.scratch import span
from insar_mining.activity.cube.selection import files_of, leave_out, rasters_of, some
from insar_mining.activity.cube.together import on_one_grid, one_stack
from insar_mining.errors import (
    ClippedValuesWarning,
    CoverageError,
    OptionError,
    PartialCoverageWarning,
    RasterError,
)
from insar_mining.geo.cells import (
    cell_coordinates,
    cover_fraction,
    inside,
    mine_window,
    outline_on,
    with_margin,
)
from insar_mining.geo.grid import RasterGrid
from insar_mining.options.maps import MapOptions

if TYPE_CHECKING:
    from insar_mining.geo.mines import Mine

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)

# rasters read at the same time; decompression runs outside Python's lock
READERS = min(4, os.cpu_count() or 1)

# ground further off than this has another climate, incidence and geology than the mine
MOST_MARGIN_M = 20_000.0

# a larger share of values above 1 than this is no accident of an estimator
MOST_ABOVE_SHARE = 0.01
# coherence that is scaled by the wrong number stays below this on all ground
LEAST_LARGEST = 0.5


def open_stack(
    paths: PathLike | Iterable[PathLike],
    mine: Mine | BaseGeometry | None = None,
    *,
    zero: Zero = "nodata",
    band: int | str | None = None,
    min_cover: float = 0.5,
    margin_m: float = 0.0,
    hold_bytes: int = HOLD_BYTES,
    reading: MapOptions | None = None,
) -> xr.DataArray:
    """Open coherence rasters of many pairs as one cube; a large one is read only when and where it is used.

    Parameters
    ----------
    paths : path or paths
        A folder of rasters with those below it, one file, or several; docs/inputs.md lists layouts and formats. The two
        dates of each come from its tags (``REFERENCE_DATE``, ``SECONDARY_DATE``), a STAC item beside it, its name
        (``20210105_20210117``, ``20210105-20210117``, ``20Dec2019_01Jan2020``), the name of its band, or its folder's.
    mine : Mine or shapely polygon in EPSG:4326, optional
        Crop to its window and mask by it: a cell belongs to the mine when at least `min_cover` of it
        is covered, and is NaN otherwise. The exact cover is kept as the coordinate ``cover``.
    zero : {"nodata", "value"}
        What an exact 0 means in rasters that this package did not write (SNAP marks nodata so and
        writes no tag). ``"value"`` keeps zeros, also in files that declare 0 to be nodata.
    band : int or str, optional
        Number or name of the band of files that hold several; shorthand of ``reading.band``.
    min_cover : float, in (0, 1]
    margin_m : float
        Keep the ground around the mine too, up to this distance, for stable points outside the polygon. It has a
        ``cover`` of 0 and counts in no area; annual maps do not show it.
    hold_bytes : int
        A cube of up to this size is read at once, default 128 MB; 0 reads nothing that can wait.
    reading : MapOptions, optional
        Which files, bands and pairs are read, and what their numbers mean.

    Returns
    -------
    DataArray, dims (pair, y, x), float32
        Coherence in 0..1, NaN where there is none, sorted by dates. Coordinates on ``pair``: its name,
        ``reference_date``, ``secondary_date``, ``days``, ``year`` (of the middle date),
        ``perpendicular_baseline_m`` (NaN: not known) and ``source`` (file, below the folder); ``y`` and ``x`` are cell
        centres; ``cell_area_m2`` is one number, or one per row (grids in degrees); with a mine
        ``cover`` (y, x). Attributes: ``crs``, ``transform``, ``zero_count``, ``clipped_count`` (values above 1 that
        became 1) and how it was opened. Maps of different extent are cropped to what all hold, but never to less than
        the mine's window.

        A larger cube stays on disk: `iterate_stable`, `annual_ndai` and the other functions of this package walk over
        it in blocks. Those that do so several times decode it once, into a scratch file (in ``TMPDIR``; at most half of
        what is free there). Arithmetic of your own on the whole cube loads it.

    Raises
    ------
    RasterError
        No such folder, no raster with two dates, several bands or tracks that could be meant, cells or settings that
        differ, a pair that is there twice, spans that no repeat pass has, values that are not coherence, or data that
        lack where coherence is low. Of a cube that is not read at once, a sample of
        512 x 512 pixels of each raster is checked here, and every pixel when it is read.
    CoverageError
        The mine lies outside, or covers no cell.

    Warns
    -----
    SkippedInputWarning
        A file that is no raster, has no two dates, another polarisation, a span far longer than the others', or does
        not reach the mine, is left out.
    PartialCoverageWarning
        A part of the mine lies outside, of all or of some rasters.
    ClippedValuesWarning
        A few values just above 1 became 1.

    Examples
    --------
    >>> import tempfile, numpy as np, rasterio
    >>> folder = tempfile.mkdtemp()
    >>> profile = {"driver": "GTiff", "width": 3, "height": 2, "count": 1, "dtype": "float32", "crs": "EPSG:32629"}
    >>> place = rasterio.Affine(20, 0, 500_000, 0, -20, 3_500_000)
    >>> with rasterio.open(f"{folder}/20230904_20230916.tif", "w", transform=place, **profile) as target:
    ...     target.write(np.full((1, 2, 3), 0.8, dtype="float32"))
    >>> coh = open_stack(folder)
    >>> dict(coh.sizes), coh["days"].values, coh.values.ravel()[:2]
    ({'pair': 1, 'y': 2, 'x': 3}, array([12]), array([0.8, 0.8], dtype=float32))
    """
    if zero not in get_args(Zero):
        raise OptionError(f"zero={zero!r}: choose one of {', '.join(get_args(Zero))}")
    if not 0 < min_cover <= 1:
        raise OptionError(f"min_cover={min_cover}: must be > 0 and <= 1")
    if not 0 <= margin_m <= MOST_MARGIN_M:
        raise OptionError(f"margin_m={margin_m}: must be >= 0 and <= {MOST_MARGIN_M:g}")
    chosen = (reading or MapOptions()).replace(band=band)
    files, root = files_of(paths, chosen.pattern)
    rasters = _touching(rasters_of(files, root, zero, chosen), mine)
    rasters, every, common = on_one_grid(one_stack(rasters, chosen))
    rows, cols, cover, mask = _window(every, common, mine, min_cover, margin_m)
    if mine is not None:
        _report_short_rasters(rasters, *mine_window_quietly(every, mine))
    grid = every
    reader = _StackReader(rasters, rows, cols, mask)
    grid = grid.crop(rows, cols)
    shape = len(rasters), grid.height, grid.width
    if 4 * math.prod(shape) <= hold_bytes:
        values, counts = reader.everything()
        variable = xr.Variable(("pair", "y", "x"), values)
        _check_scale(values, rasters, chosen.scale)
        check_missing(values)
    else:
        counts = _look_at_all(rasters, rows, cols)
        check_missing(reader(_middle_of(shape)))
        variable = lazy_variable(("pair", "y", "x"), shape, reader)
    coords, area = cell_coordinates(grid, cover)
    attrs: dict[str, Any] = {
        "units": "1",
        "long_name": "interferometric coherence",
        **grid.attributes(),
        **area,
        "zero": zero,
        "zero_count": counts.zeros,
        "clipped_count": counts.above,
        **_recorded(rasters),
    }
    if mine is not None:
        attrs |= {"min_cover": float(min_cover), "margin_m": float(margin_m)}
        attrs |= {} if isinstance(mine, BaseGeometry) else {"mine_id": mine.id, "mine_name": mine.name}
    block_rows, block_cols = rasters[0].block
    cube = xr.DataArray(variable, coords={**_pair_coordinates(rasters, root), **coords}, name="coherence", attrs=attrs)
    cube.encoding["preferred_chunks"] = {"pair": len(rasters), "y": block_rows, "x": block_cols}
    return cube


class _StackReader:
    """Read any part of a stack; holds file names and the mask, no pixels."""

    def __init__(
        self,
        rasters: Sequence[CoherenceRaster],
        rows: slice,
        cols: slice,
        mask: npt.NDArray[np.bool_] | None,
    ) -> None:
        self._rasters = list(rasters)
        self._rows, self._cols, self._mask = rows, cols, mask

    def __call__(self, key: Key) -> npt.NDArray[np.float32]:
        pairs, rows, cols = key
        first_row, last_row, within_rows = span(rows, self._rows.stop - self._rows.start)
        first_col, last_col, within_cols = span(cols, self._cols.stop - self._cols.start)
        chosen = [self._rasters[number] for number in np.arange(len(self._rasters))[pairs]]
        values, _ = self._read(chosen, slice(first_row, last_row), slice(first_col, last_col))
        return values[:, within_rows][:, :, within_cols]

    def everything(self) -> tuple[npt.NDArray[np.float32], PixelCounts]:
        """Read the whole stack; the values, and how many of them were changed."""
        whole = slice(0, self._rows.stop - self._rows.start), slice(0, self._cols.stop - self._cols.start)
        values, counts = self._read(self._rasters, *whole)
        _report(counts)
        return values, counts

    def _read(
        self, rasters: Sequence[CoherenceRaster], rows: slice, cols: slice
    ) -> tuple[npt.NDArray[np.float32], PixelCounts]:
        """Read a rectangle of some rasters, several at a time, each into its place."""
        values = np.empty((len(rasters), rows.stop - rows.start, cols.stop - cols.start), np.float32)
        if not values.size:
            return values, NOTHING
        of_file = (
            slice(self._rows.start + rows.start, self._rows.start + rows.stop),
            slice(self._cols.start + cols.start, self._cols.start + cols.stop),
        )
        outside = None if self._mask is None else ~self._mask[rows, cols]

        def read(number: int) -> PixelCounts:
            values[number], counts = read_window(rasters[number], *of_file)
            if outside is not None:
                values[number][outside] = np.nan
            return counts

        with ThreadPoolExecutor(READERS) as pool:
            return values, sum(pool.map(read, range(len(rasters))), NOTHING)


def _check_cover(cover: xr.DataArray, min_cover: float) -> None:
    """Refuse a mine that covers no cell by enough."""
    if not inside(cover.values, min_cover).any():
        raise CoverageError(
            f"the mine covers no cell by {min_cover:g} or more (at best {float(cover.max()):.3f}): it is smaller "
            "than the cells. Use a finer map, or a smaller min_cover."
        )


def _touching(rasters: list[CoherenceRaster], mine: Mine | BaseGeometry | None) -> list[CoherenceRaster]:
    """Leave out, with a warning, rasters that lie elsewhere than the mine; all of them stay where none reaches it."""
    if mine is None:
        return rasters
    boxes: dict[str, tuple[float, float, float, float]] = {}
    near = []
    for raster in rasters:
        if raster.grid.crs_text not in boxes:
            boxes[raster.grid.crs_text] = outline_on(raster.grid, mine).bounds
        left, bottom, right, top = boxes[raster.grid.crs_text]
        west, south, east, north = raster.grid.bounds
        near.append(left < east and right > west and bottom < north and top > south)
    if not any(near):
        return rasters
    for raster, reaches in zip(rasters, near, strict=True):
        if not reaches:
            leave_out(raster.path, "does not reach the mine")
    return [raster for raster, reaches in zip(rasters, near, strict=True) if reaches]


def _window(
    every: RasterGrid, common: RasterGrid | None, mine: Mine | BaseGeometry | None, min_cover: float, margin_m: float
) -> tuple[slice, slice, xr.DataArray | None, npt.NDArray[np.bool_] | None]:
    """Return rows and columns to read, the mine's cover of their cells, and which cells count."""
    shared = None if common is None else _part_of(every, common)
    if mine is None:
        if shared is None:
            raise RasterError("the rasters have no cell in common. Give a mine, or rasters of one place.")
        return *shared, None, None
    rows, cols = mine_window(every, mine)
    around = None
    if margin_m:
        around = with_margin(mine, margin_m)
        wide = mine_window_quietly(every, around)
        if shared is not None:
            # of the margin as much is taken as all rasters hold
            wide = _within(wide[0], shared[0]), _within(wide[1], shared[1])
        rows, cols = _hull(rows, wide[0]), _hull(cols, wide[1])
    grid = every.crop(rows, cols)
    cover = cover_fraction(grid, mine)
    _check_cover(cover, min_cover)
    mask = inside(cover.values, min_cover)
    if around is not None:
        mask |= inside(cover_fraction(grid, around).values, min_cover)
    return rows, cols, cover, mask


def mine_window_quietly(grid: RasterGrid, area: Mine | BaseGeometry) -> tuple[slice, slice]:
    """Return the rows and columns that hold an area, as far as the grid reaches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialCoverageWarning)
        return mine_window(grid, area)


def _part_of(every: RasterGrid, part: RasterGrid) -> tuple[slice, slice]:
    """Return the rows and columns of a grid that a part of it makes."""
    row = round((part.transform.f - every.transform.f) / every.transform.e)
    col = round((part.transform.c - every.transform.c) / every.transform.a)
    return slice(row, row + part.height), slice(col, col + part.width)


def _within(part: slice, limits: slice) -> slice:
    return slice(max(part.start, limits.start), max(min(part.stop, limits.stop), max(part.start, limits.start)))


def _hull(one: slice, other: slice) -> slice:
    """Return the least range that holds two; an empty one holds nothing."""
    if other.start >= other.stop:
        return one
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def _report_short_rasters(rasters: Sequence[CoherenceRaster], rows: slice, cols: slice) -> None:
    """Warn of rasters that hold only a part of the mine's window."""
    short = [
        raster.path.name
        for raster in rasters
        if raster.origin[0] > rows.start
        or raster.origin[1] > cols.start
        or raster.origin[0] + raster.grid.height < rows.stop
        or raster.origin[1] + raster.grid.width < cols.stop
    ]
    if short:
        warnings.warn(
            f"{len(short)} of {len(rasters)} rasters hold only a part of the mine, the rest of it is without data in "
            f"them: {some(short)}",
            PartialCoverageWarning,
            stacklevel=3,
        )


def _look_at_all(rasters: Sequence[CoherenceRaster], rows: slice, cols: slice) -> PixelCounts:
    """Check a sample of every raster; report and return what was changed in it."""
    counts = sum((look(raster, rows, cols) for raster in rasters), NOTHING)
    _report(counts)
    return counts


def _middle_of(shape: tuple[int, int, int]) -> Key:
    """Return the key of a square in the middle of a cube, of all pairs."""
    rows, cols = (slice(max(0, (n - LOOKED_AT) // 2), min(n, (n + LOOKED_AT) // 2)) for n in shape[1:])
    return slice(None), rows, cols


def _check_scale(values: npt.NDArray[np.float32], rasters: Sequence[CoherenceRaster], scale: float | None) -> None:
    """Refuse a scale that leaves all ground without coherence."""
    if scale is None or not any(raster.scale == 1 / scale for raster in rasters):
        return
    largest = float(np.fmax.reduce(values, axis=None))
    if largest < LEAST_LARGEST:
        raise RasterError(
            f"--scale {scale:g}: the largest coherence of all maps would be {largest:.3g} (limit {LEAST_LARGEST:g}): "
            "their numbers stand for more. Give the one that stands for a coherence of 1."
        )


def _report(counts: PixelCounts) -> None:
    """Report exact zeros taken for nodata; warn of values that were clipped, refuse many of them.

    Raises
    ------
    RasterError
        More values than a few are above 1.
    """
    if counts.above > MOST_ABOVE_SHARE * counts.pixels:
        raise RasterError(
            f"{counts.above} of {counts.pixels} values lie above 1 (limit {100 * MOST_ABOVE_SHARE:g} %): their "
            "estimator or a cubic resampling overshoots. Make the maps again with values up to 1."
        )
    where = "" if counts.whole else "in a sample, "
    if counts.above:
        warnings.warn(
            f"{where}{counts.above} of {counts.pixels} values lie just above 1 and are taken for 1",
            ClippedValuesWarning,
            stacklevel=4,
        )
    if counts.zeros:
        logger.info(
            "%s%d exact zeros (%.2f %% of the pixels) in rasters made elsewhere are taken for nodata; "
            "zero='value' keeps them",
            where,
            counts.zeros,
            100 * counts.zeros / counts.pixels,
        )


def _recorded(rasters: Sequence[CoherenceRaster]) -> dict[str, str]:
    """Return what all rasters record of how they were made, in lower case, and where they come from."""
    return {
        **{name.lower(): value for name, value in rasters[0].settings.items()},
        "origin": "this package" if rasters[0].own else "elsewhere",
    }


def _pair_coordinates(rasters: Sequence[CoherenceRaster], root: Path | None) -> dict[str, Any]:
    pairs = [raster.pair for raster in rasters]
    baseline = np.array([raster.perpendicular_baseline_m for raster in rasters], np.float64)
    return {
        "pair": ("pair", np.array([pair.name for pair in pairs])),
        "reference_date": ("pair", np.array([pair.reference for pair in pairs], "datetime64[ns]")),
        "secondary_date": ("pair", np.array([pair.secondary for pair in pairs], "datetime64[ns]")),
        "days": ("pair", np.array([pair.days for pair in pairs], np.int64)),
        "year": ("pair", np.array([pair.year for pair in pairs], np.int64), {"long_name": "year of the middle date"}),
        "perpendicular_baseline_m": ("pair", baseline, {"units": "m", "long_name": "NaN where not recorded"}),
        "source": ("pair", np.array(_sources(rasters, root))),
    }


def _sources(rasters: Sequence[CoherenceRaster], root: Path | None) -> list[str]:
    """Return the files, as seen from their folder; of files that were given one by one the names, if they differ."""
    paths = list(dict.fromkeys(raster.path for raster in rasters))
    alike = len({path.name for path in paths}) < len(paths)
    shown = {
        path: path.relative_to(root).as_posix() if root is not None else str(path) if alike else path.name
        for path in paths
    }
    return [shown[raster.path] for raster in rasters]
