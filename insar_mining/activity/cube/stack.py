"""From a folder of coherence rasters, whoever made them, to one cube."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr
from shapely.geometry.base import BaseGeometry

from insar_mining.activity.cube.blocks import HOLD_BYTES, Key, lazy_variable, span
from insar_mining.activity.cube.rasters import CoherenceRaster, NotCoherenceError, Zero, look, read_header, read_window
from insar_mining.errors import (
    CoverageError,
    OptionError,
    PartialCoverageWarning,
    RasterError,
    SkippedInputWarning,
)
from insar_mining.geo.cells import (
    RasterGrid,
    cell_coordinates,
    cover_fraction,
    inside,
    mine_window,
    with_margin,
)

if TYPE_CHECKING:
    from insar_mining.geo.mines import Mine

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)

SUFFIXES = (".tif", ".tiff")

# transforms may differ by this part of a cell: different writers round them differently
GRID_TOLERANCE = 1e-4

# rasters read at the same time; decompression runs outside Python's lock
READERS = min(4, os.cpu_count() or 1)

# ground further off than this has another climate, incidence and geology than the mine
MOST_MARGIN_M = 20_000.0

# files named in a message, at most
NAMED = 5


def open_stack(
    paths: PathLike | Iterable[PathLike],
    mine: Mine | BaseGeometry | None = None,
    *,
    zero: Zero = "nodata",
    band: int = 1,
    min_cover: float = 0.5,
    margin_m: float = 0.0,
    hold_bytes: int = HOLD_BYTES,
) -> xr.DataArray:
    """Open coherence rasters of many pairs as one cube; a large one is read only when and where it is used.

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
    margin_m : float
        Keep the ground around the mine too, up to this distance, for stable points outside the polygon. It has a
        ``cover`` of 0 and counts in no area; annual maps do not show it.
    hold_bytes : int
        A cube of up to this size is read at once, default 128 MB; 0 reads nothing that can wait.

    Returns
    -------
    DataArray, dims (pair, y, x), float32
        Coherence in 0..1, NaN where there is none, sorted by dates. Coordinates on ``pair``: its name,
        ``reference_date``, ``secondary_date``, ``days``, ``year`` (of the middle date),
        ``perpendicular_baseline_m`` (NaN: not known) and ``source`` (file name); ``y`` and ``x`` are cell
        centres; ``cell_area_m2`` is one number, or one per row (grids in degrees); with a mine
        ``cover`` (y, x). Attributes: ``crs``, ``transform``, ``zero_count`` and how it was opened.

        A larger cube stays on disk: `iterate_stable`, `annual_ndai` and the other functions of this package walk over
        it in blocks. Those that do so several times decode it once, into a scratch file (in ``TMPDIR``; at most half of
        what is free there). Arithmetic of your own on the whole cube loads it.

    Raises
    ------
    RasterError
        No such folder, no raster with two dates, grids or settings that differ, a pair that is there
        twice, or values that are not coherence. Of a cube that is not read at once, a sample of
        512 x 512 pixels of each raster is checked here, and every pixel when it is read.
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
    if not 0 <= margin_m <= MOST_MARGIN_M:
        raise OptionError(f"margin_m={margin_m}: must be >= 0 and <= {MOST_MARGIN_M:g}")
    rasters = _headers(_files(paths), band, zero)
    _check_together(rasters)
    rasters = sorted(rasters, key=lambda raster: raster.pair)
    grid = rasters[0].grid
    rows, cols = slice(0, grid.height), slice(0, grid.width)
    cover = mask = None
    if mine is not None:
        rows, cols = mine_window(grid, mine)
        if margin_m:
            around = with_margin(mine, margin_m)
            with warnings.catch_warnings():
                # of the margin as much is taken as there is
                warnings.simplefilter("ignore", PartialCoverageWarning)
                rows, cols = mine_window(grid, around)
        cover = cover_fraction(grid.crop(rows, cols), mine)
        _check_cover(cover, min_cover)
        mask = inside(cover.values, min_cover)
        if margin_m:
            mask |= inside(cover_fraction(grid.crop(rows, cols), around).values, min_cover)
    reader = _StackReader(rasters, rows, cols, mask)
    grid = grid.crop(rows, cols)
    shape = len(rasters), grid.height, grid.width
    if 4 * math.prod(shape) <= hold_bytes:
        values, zeros = reader.everything()
        variable = xr.Variable(("pair", "y", "x"), values)
    else:
        zeros = _look_at_all(rasters, rows, cols)
        variable = lazy_variable(("pair", "y", "x"), shape, reader)
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
        attrs |= {"min_cover": float(min_cover), "margin_m": float(margin_m)}
        attrs |= {} if isinstance(mine, BaseGeometry) else {"mine_id": mine.id, "mine_name": mine.name}
    block_rows, block_cols = rasters[0].block
    cube = xr.DataArray(variable, coords={**_pair_coordinates(rasters), **coords}, name="coherence", attrs=attrs)
    cube.encoding["preferred_chunks"] = {"pair": len(rasters), "y": block_rows, "x": block_cols}
    return cube


class _StackReader:
    """Reads any part of a stack; holds file names and the mask, no pixels."""

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

    def everything(self) -> tuple[npt.NDArray[np.float32], int]:
        """Read the whole stack; the values and the number of zeros that were taken for nodata."""
        whole = slice(0, self._rows.stop - self._rows.start), slice(0, self._cols.stop - self._cols.start)
        values, zeros = self._read(self._rasters, *whole)
        _report_zeros(zeros, values.size, whole=True)
        return values, zeros

    def _read(
        self, rasters: Sequence[CoherenceRaster], rows: slice, cols: slice
    ) -> tuple[npt.NDArray[np.float32], int]:
        """Read a rectangle of some rasters, several at a time, each into its place."""
        values = np.empty((len(rasters), rows.stop - rows.start, cols.stop - cols.start), np.float32)
        if not values.size:
            return values, 0
        of_file = (
            slice(self._rows.start + rows.start, self._rows.start + rows.stop),
            slice(self._cols.start + cols.start, self._cols.start + cols.stop),
        )
        outside = None if self._mask is None else ~self._mask[rows, cols]

        def read(number: int) -> int:
            values[number], zeros = read_window(rasters[number], *of_file)
            if outside is not None:
                values[number][outside] = np.nan
            return zeros

        with ThreadPoolExecutor(READERS) as pool:
            return values, sum(pool.map(read, range(len(rasters))))


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
    zeros = sum(sample.zeros for sample in samples)
    _report_zeros(zeros, sum(sample.pixels for sample in samples), all(sample.whole for sample in samples))
    return zeros


def _report_zeros(zeros: int, pixels: int, whole: bool) -> None:
    """Say how many exact zeros were taken for nodata."""
    if zeros:
        logger.info(
            "%s%d exact zeros (%.2f %% of the pixels) in rasters made elsewhere are taken for nodata; "
            "zero='value' keeps them",
            "" if whole else "in a sample, ",
            zeros,
            100 * zeros / pixels,
        )


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
