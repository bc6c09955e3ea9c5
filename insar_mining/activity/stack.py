"""From a folder of coherence rasters, whoever made them, to one cube."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr
from shapely.geometry.base import BaseGeometry

from insar_mining.activity.blocks import Key, lazy_variable, span
from insar_mining.activity.cells import RasterGrid, cell_coordinates, cover_fraction, inside, mine_window
from insar_mining.activity.rasters import CoherenceRaster, NotCoherenceError, Zero, look, read_header, read_window
from insar_mining.errors import CoverageError, OptionError, RasterError, SkippedInputWarning

if TYPE_CHECKING:
    from insar_mining.mines import Mine

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)

SUFFIXES = (".tif", ".tiff")

# transforms may differ by this part of a cell: different writers round them differently
GRID_TOLERANCE = 1e-4

# files named in a message, at most
NAMED = 5


def open_stack(
    paths: PathLike | Iterable[PathLike],
    mine: Mine | BaseGeometry | None = None,
    *,
    zero: Zero = "nodata",
    band: int = 1,
    min_cover: float = 0.5,
) -> xr.DataArray:
    """Open coherence rasters of many pairs as one cube, read from disk only when and where it is used.

    Parameters
    ----------
    paths : path or paths
        A folder of GeoTIFFs, one file, or several. The two dates of each come from its tags
        (``REFERENCE_DATE``, ``SECONDARY_DATE``), a STAC item beside it or its name
        (``20210105_20210117``, ``20210105-20210117``, ``20Dec2019_01Jan2020``).
    mine : Mine or shapely polygon in EPSG:4326, optional
        Crop to its window and mask by it: a cell belongs to the mine when at least `min_cover` of it
        is covered, and is NaN otherwise. The exact cover is kept as the coordinate ``cover``.
    zero : {"nodata", "value"}
        What an exact 0 means in rasters that this package did not write (SNAP marks nodata so and
        writes no tag). ``"value"`` keeps zeros, also in files that declare 0 to be nodata.
    band : int
    min_cover : float, in (0, 1]

    Returns
    -------
    DataArray, dims (pair, y, x), float32
        Coherence in 0..1, NaN where there is none, sorted by dates. Coordinates on ``pair``: its name,
        ``reference_date``, ``secondary_date``, ``days``, ``year`` (of the middle date),
        ``perpendicular_baseline_m`` (NaN: not known) and ``source`` (file name); ``y`` and ``x`` are cell
        centres; ``cell_area_m2`` is one number, or one per row (grids in degrees); with a mine
        ``cover`` (y, x). Attributes: ``crs``, ``transform``, ``zero_count`` and how it was opened.

        Nothing is kept of what is read: `stable_points`, `annual_ndai` and the other functions of this
        package walk over it in blocks of 64 MB. Arithmetic of your own on the whole cube loads it.

    Raises
    ------
    RasterError
        No such folder, no raster with two dates, grids or settings that differ, a pair that is there
        twice, or values that are not coherence. A sample of 512 x 512 pixels of each raster is checked
        here (all of it when it is smaller), every pixel when it is read.
    CoverageError
        The mine lies outside, or covers no cell.

    Warns
    -----
    SkippedInputWarning
        A file that is no raster, or has no two dates, is left out.
    PartialCoverageWarning
        A part of the mine lies outside.
    """
    if zero not in get_args(Zero):
        raise OptionError(f"zero={zero!r}: choose one of {', '.join(get_args(Zero))}")
    if not 0 < min_cover <= 1:
        raise OptionError(f"min_cover={min_cover}: must be > 0 and <= 1")
    rasters = _headers(_files(paths), band, zero)
    _check_together(rasters)
    rasters = sorted(rasters, key=lambda raster: raster.pair)
    grid = rasters[0].grid
    rows, cols = slice(0, grid.height), slice(0, grid.width)
    cover = None
    if mine is not None:
        rows, cols = mine_window(grid, mine)
        cover = cover_fraction(grid.crop(rows, cols), mine)
        _check_cover(cover, min_cover)
    zeros = _look_at_all(rasters, rows, cols)
    grid = grid.crop(rows, cols)
    coords, area = cell_coordinates(grid, cover)
    attrs: dict[str, Any] = {
        "units": "1",
        "long_name": "interferometric coherence",
        **grid.attributes(),
        **area,
        "zero": zero,
        "zero_count": zeros,
        **_recorded(rasters),
    }
    if mine is not None:
        attrs |= {"min_cover": float(min_cover)}
        attrs |= {} if isinstance(mine, BaseGeometry) else {"mine_id": mine.id, "mine_name": mine.name}
    reader = _StackReader(rasters, rows.start, cols.start, None if cover is None else inside(cover.values, min_cover))
    block_rows, block_cols = rasters[0].block
    variable = lazy_variable(
        ("pair", "y", "x"),
        (len(rasters), grid.height, grid.width),
        reader,
    )
    cube = xr.DataArray(variable, coords={**_pair_coordinates(rasters), **coords}, name="coherence", attrs=attrs)
    cube.encoding["preferred_chunks"] = {"pair": len(rasters), "y": block_rows, "x": block_cols}
    return cube


class _StackReader:
    """Reads any part of a stack; holds file names and the mask, no pixels."""

    def __init__(
        self, rasters: Sequence[CoherenceRaster], top: int, left: int, mask: npt.NDArray[np.bool_] | None
    ) -> None:
        self._rasters = list(rasters)
        self._top, self._left, self._mask = top, left, mask
        grid = rasters[0].grid
        self._height, self._width = (grid.height - top, grid.width - left) if mask is None else mask.shape

    def __call__(self, key: Key) -> npt.NDArray[np.float32]:
        pairs, rows, cols = key
        first_row, last_row, within_rows = span(rows, self._height)
        first_col, last_col, within_cols = span(cols, self._width)
        chosen = np.arange(len(self._rasters))[pairs]
        if first_row == last_row or first_col == last_col:
            height = len(np.arange(last_row - first_row)[within_rows])
            return np.empty((chosen.size, height, len(np.arange(last_col - first_col)[within_cols])), np.float32)
        mask = None if self._mask is None else self._mask[first_row:last_row, first_col:last_col]
        layers = []
        for number in chosen:
            values = read_window(
                self._rasters[number],
                slice(self._top + first_row, self._top + last_row),
                slice(self._left + first_col, self._left + last_col),
            )
            if mask is not None:
                values[~mask] = np.nan
            layers.append(values[within_rows][:, within_cols])
        if not layers:
            return np.empty((0, *np.empty((last_row, last_col))[within_rows][:, within_cols].shape), np.float32)
        return np.stack(layers)


def _files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return the files that were meant, in order of name."""
    if not isinstance(paths, str | os.PathLike):
        files = sorted(Path(path) for path in paths)
        if not files:
            raise RasterError("no coherence raster was given; name a folder of GeoTIFFs or several files")
        missing = [str(path) for path in files if not path.is_file()]
        if missing:
            raise RasterError(f"no such file: {_some(missing)}")
        return files
    path = Path(paths)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise RasterError(f"{path}: no such folder; name the one that holds the coherence GeoTIFFs")
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )
    if not files:
        below = sorted({str(f.parent) for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file()})
        hint = f"; there are some in {_some(below)}" if below else ""
        raise RasterError(f"{path}: holds no GeoTIFF ({' or '.join(SUFFIXES)}){hint}")
    return files


def _headers(files: Sequence[Path], band: int, zero: Zero) -> list[CoherenceRaster]:
    """Read every header; leave out, with a warning, what is no coherence raster of a pair."""
    rasters: list[CoherenceRaster] = []
    skipped: list[str] = []
    for path in files:
        try:
            rasters.append(read_header(path, band, zero))
        except NotCoherenceError as error:
            skipped.append(str(error))
    if not rasters:
        raise RasterError(f"no coherence raster with two dates among {len(files)} file(s): {_some(skipped, '; ')}")
    for reason in skipped:
        warnings.warn(f"left out: {reason}", SkippedInputWarning, stacklevel=3)
    return rasters


def _check_together(rasters: Sequence[CoherenceRaster]) -> None:
    """Refuse rasters that do not make one stack."""
    _check_grids(rasters)
    by_pair: dict[str, list[str]] = {}
    for raster in rasters:
        by_pair.setdefault(raster.pair.name, []).append(raster.path.name)
    twice = [f"{name} in {' and '.join(files)}" for name, files in by_pair.items() if len(files) > 1]
    if twice:
        raise RasterError(f"the same pair more than once: {_some(twice, '; ')}; keep one of each")
    _check_settings(rasters)


def _check_grids(rasters: Sequence[CoherenceRaster]) -> None:
    """Name the rasters that do not lie on the grid that most of them share."""
    common = Counter(raster.grid for raster in rasters).most_common(1)[0][0]
    odd = [f"{raster.path.name} ({_described(raster.grid)})" for raster in rasters if not _same(raster.grid, common)]
    if odd:
        raise RasterError(
            f"{len(odd)} of {len(rasters)} rasters lie on another grid than {_described(common)}: {_some(odd, '; ')}; "
            "warp them to one grid (gdalwarp -t_srs -te -tr) or move them away"
        )


def _same(grid: RasterGrid, other: RasterGrid) -> bool:
    cell = abs(other.transform.a)
    near = all(
        abs(a - b) <= GRID_TOLERANCE * cell / size
        for a, b, size in zip(
            grid.transform[:6], other.transform[:6], (other.width, 1, 1, 1, other.height, 1), strict=True
        )
    )
    return near and (grid.width, grid.height) == (other.width, other.height) and grid.crs == other.crs


def _described(grid: RasterGrid) -> str:
    t = grid.transform
    return f"{grid.width} x {grid.height} cells of {t.a:.8g} from ({t.c:.8g}, {t.f:.8g}), {grid.crs_text[:40]}"


def _check_settings(rasters: Sequence[CoherenceRaster]) -> None:
    """Refuse a mixture of products that were made with different settings; the engine may differ."""
    own = [raster.path.name for raster in rasters if raster.own]
    foreign = [raster.path.name for raster in rasters if not raster.own]
    if own and foreign:
        raise RasterError(
            f"products of this package ({_some(own)}) are mixed with rasters made elsewhere ({_some(foreign)}), whose "
            "estimator and window are not known; analyse them apart"
        )
    for name in sorted({name for raster in rasters for name in raster.settings}):
        values: dict[str, list[str]] = {}
        for raster in rasters:
            values.setdefault(raster.settings.get(name, "not recorded"), []).append(raster.path.name)
        if len(values) > 1:
            said = "; ".join(f"{value} in {_some(files)}" for value, files in values.items())
            raise RasterError(f"the rasters were made with different settings ({name}: {said}); make them alike")


def _check_cover(cover: xr.DataArray, min_cover: float) -> None:
    """Refuse a mine that covers no cell by enough."""
    if not inside(cover.values, min_cover).any():
        raise CoverageError(
            f"the mine covers no cell by {min_cover:g} or more (at best {float(cover.max()):.3f}): it is smaller "
            "than the cells; use a finer map, or a smaller min_cover"
        )


def _look_at_all(rasters: Sequence[CoherenceRaster], rows: slice, cols: slice) -> int:
    """Check a sample of every raster; report and return the zeros that were taken for nodata."""
    samples = [look(raster, rows, cols) for raster in rasters]
    zeros, pixels = sum(s.zeros for s in samples), sum(s.pixels for s in samples)
    if zeros:
        logger.info(
            "%s%d exact zeros (%.2f %% of the pixels) in rasters made elsewhere are taken for nodata; "
            "zero='value' keeps them",
            "" if all(s.whole for s in samples) else "in a sample, ",
            zeros,
            100 * zeros / pixels,
        )
    return zeros


def _recorded(rasters: Sequence[CoherenceRaster]) -> dict[str, str]:
    """Return what all rasters record of how they were made, in lower case, and where they come from."""
    return {
        **{name.lower(): value for name, value in rasters[0].settings.items()},
        "origin": "this package" if rasters[0].own else "elsewhere",
    }


def _pair_coordinates(rasters: Sequence[CoherenceRaster]) -> dict[str, Any]:
    pairs = [raster.pair for raster in rasters]
    baseline = np.array([raster.perpendicular_baseline_m for raster in rasters], np.float64)
    return {
        "pair": ("pair", np.array([pair.name for pair in pairs])),
        "reference_date": ("pair", np.array([pair.reference for pair in pairs], "datetime64[ns]")),
        "secondary_date": ("pair", np.array([pair.secondary for pair in pairs], "datetime64[ns]")),
        "days": ("pair", np.array([pair.days for pair in pairs], np.int64)),
        "year": ("pair", np.array([pair.year for pair in pairs], np.int64), {"long_name": "year of the middle date"}),
        "perpendicular_baseline_m": ("pair", baseline, {"units": "m", "long_name": "NaN where not recorded"}),
        "source": ("pair", np.array([raster.path.name for raster in rasters])),
    }


def _some(names: Sequence[str], separator: str = ", ") -> str:
    """Join some names, and say how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more
