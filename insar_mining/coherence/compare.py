"""Two maps of coherence beside each other: how far they differ, and whether that is within tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError
from scipy.ndimage import binary_erosion

from insar_mining.arrays import BoolArray, Float32Array, FloatArray
from insar_mining.doors import GEOTIFF, open_raster
from insar_mining.errors import PartialDemWarning, RasterError
from insar_mining.geo.elevation import read_dem
from insar_mining.geo.raster import write_cog

MEDIAN, PERCENTILE_95, MEAN, CORRELATION, MASK = 0.01, 0.05, 0.005, 0.99, 0.99
RIM_CELLS = 2  # windows at the edge of the data are treated differently by different programs
SLOPES_DEG = (0.0, 5.0, 15.0, 25.0, 90.0)
GRID_SHARE = 1e-6  # of a cell


@dataclass(frozen=True)
class MapComparison:
    """Hold statistics of ``b - a`` over the cells that both maps have.

    Attributes
    ----------
    cells : int
        Cells with a value in both.
    zeros : int
        Cells that are exactly 0 in either map, and left out of both: SNAP writes 0 where a sample of the
        secondary is i = q = 0, which it takes for no data.
    median_absolute, percentile_95_absolute, mean, rms, largest_absolute : float
        Of the difference.
    correlation : float
        Pearson's; NaN where a map has a single value.
    mask_agreement : float
        Cells with a value in both, as a share of those with a value in either, without a
        rim of two cells.
    """

    cells: int
    zeros: int
    median_absolute: float
    percentile_95_absolute: float
    mean: float
    rms: float
    largest_absolute: float
    correlation: float
    mask_agreement: float

    def failures(self) -> list[str]:
        """Return what lies outside the tolerances for one plan on two engines; empty if nothing does."""
        checks = (
            ("median of |difference|", self.median_absolute, self.median_absolute < MEDIAN, f"< {MEDIAN}"),
            (
                "95th percentile of |difference|",
                self.percentile_95_absolute,
                self.percentile_95_absolute < PERCENTILE_95,
                f"< {PERCENTILE_95}",
            ),
            ("mean difference", self.mean, abs(self.mean) < MEAN, f"within {MEAN}"),
            ("correlation", self.correlation, self.correlation > CORRELATION, f"> {CORRELATION}"),
            ("agreement of masks", self.mask_agreement, self.mask_agreement > MASK, f"> {MASK}"),
        )
        return [f"{name} is {value:.4f}, it should be {limit}" for name, value, good, limit in checks if not good]

    def as_dict(self) -> dict[str, float]:
        """Return the statistics as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class SlopeZone:
    """Hold statistics of the cells whose ground slopes by `slope_from_deg` up to `slope_to_deg`."""

    slope_from_deg: float
    slope_to_deg: float
    comparison: MapComparison


def compare_maps(first: Path | str, second: Path | str, difference: Path | str | None = None) -> MapComparison:
    """Compare two rasters that lie on one grid.

    Parameters
    ----------
    first, second : path
        Single-band rasters; NaN and the nodata value are no data.  The tolerances hold for
        maps with one window anchor (``--window-anchor snap`` in both).
    difference : path, optional
        GeoTIFF to write, ``second - first``.

    Raises
    ------
    RasterError
        A raster cannot be read, the grids differ, or no cell has a value in both.
    OutputError
    """
    a, b, grid = _read_both(Path(first), Path(second))
    if difference is not None:
        write_cog(
            difference,
            np.where(_valid(a) & _valid(b), b - a, np.float32(np.nan)).astype(np.float32),
            crs=str(grid["crs"]),
            transform=grid["transform"],
            names=["difference"],
            tags={"FIRST": Path(first).name, "SECOND": Path(second).name},
        )
    return _statistics(a, b, _mask_agreement(a, b))


def compare_by_slope(first: Path | str, second: Path | str, dem: Path | str) -> list[SlopeZone]:
    """Compare two rasters zone by zone of the slope of the ground; zones without a common cell are left out.

    Parameters
    ----------
    first, second : path
        As :func:`compare_maps` takes them, in a projected CRS with metres.
    dem : path
        Elevation model that covers them.

    Raises
    ------
    DemError, RasterError
    """
    a, b, grid = _read_both(Path(first), Path(second))
    slope = _slope_deg(Path(dem), a.shape, grid)
    agreement = _agreeing(a, b)
    zones = []
    for low, high in pairwise(SLOPES_DEG):
        inside = (slope >= low) & (slope < high)
        if (inside & _valid(a) & _valid(b)).any():
            masks = float(agreement[0][inside & agreement[1]].mean()) if (inside & agreement[1]).any() else 1.0
            zones.append(SlopeZone(low, high, _statistics(a[inside], b[inside], masks)))
    return zones


def _read_both(first: Path, second: Path) -> tuple[Float32Array, Float32Array, dict[str, Any]]:
    (a, grid), (b, other) = _read(first), _read(second)
    if grid["crs"] != other["crs"] or a.shape != b.shape or not _same(grid["transform"], other["transform"]):
        raise RasterError(
            f"{first} ({_describe(a, grid)}) and {second} ({_describe(b, other)}) lie on different grids. Compare maps "
            "of one area, spacing and CRS."
        )
    if not (_valid(a) & _valid(b)).any():
        raise RasterError(f"{first} and {second} have no cell in common that holds a value")
    return a, b, grid


def _valid(values: Float32Array) -> BoolArray:
    """Find the cells that hold a coherence; exactly 0 is no data of SNAP."""
    return np.asarray(np.isfinite(values) & (values != 0))


def _statistics(a: Float32Array, b: Float32Array, mask_agreement: float) -> MapComparison:
    common = _valid(a) & _valid(b)
    values = (b[common] - a[common]).astype(np.float64)
    return MapComparison(
        cells=int(common.sum()),
        zeros=int(np.count_nonzero((a == 0) | (b == 0))),
        median_absolute=float(np.median(np.abs(values))),
        percentile_95_absolute=float(np.percentile(np.abs(values), 95)),
        mean=float(values.mean()),
        rms=float(np.sqrt(np.mean(values**2))),
        largest_absolute=float(np.abs(values).max()),
        correlation=_correlation(a[common], b[common]),
        mask_agreement=mask_agreement,
    )


def _slope_deg(dem: Path, shape: tuple[int, ...], grid: Mapping[str, Any]) -> FloatArray:
    """Compute the slope of the ground under every cell from heights at the cells' middles, degrees."""
    if not CRS.from_user_input(grid["crs"]).is_projected:
        raise RasterError(f"maps in {grid['crs']}: slopes need a projected CRS with metres. Compare maps in UTM.")
    t = grid["transform"]
    to_lonlat = Transformer.from_crs(grid["crs"], 4326, always_xy=True)
    column, row = np.meshgrid(np.arange(-0.5, shape[1] + 1), np.arange(-0.5, shape[0] + 1))
    lon, lat = to_lonlat.transform(t.c + t.a * column, t.f + t.e * row)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialDemWarning)  # cells without a height are in no zone
        model = read_dem(dem, (lon.min(), lat.min(), lon.max(), lat.max()))
    height = model.sample(lon, lat)
    east, north = height[1:-1, 2:] - height[1:-1, :-2], height[2:, 1:-1] - height[:-2, 1:-1]
    return np.asarray(np.degrees(np.arctan(np.hypot(east / (2 * t.a), north / (2 * t.e)))), dtype=np.float64)


def _read(path: Path) -> tuple[Float32Array, dict[str, Any]]:
    try:
        with open_raster(path, GEOTIFF) as source:
            values = source.read(1, masked=True).astype(np.float32).filled(np.nan)
            return np.asarray(values), {"crs": source.crs, "transform": source.transform}
    except RasterioError as error:
        raise RasterError(f"{path}: cannot be read as a raster ({error}). Give a GeoTIFF of coherence.") from error


def _same(one: object, other: object) -> bool:
    a, b = np.array(one, dtype=float)[:6], np.array(other, dtype=float)[:6]
    return bool(np.abs(a - b).max() <= GRID_SHARE * max(abs(a[0]), 1e-12))


def _describe(values: Float32Array, grid: dict[str, Any]) -> str:
    transform = np.array(grid["transform"], dtype=float)
    return f"{values.shape[0]} x {values.shape[1]} cells of {transform[0]:g} from {transform[2]:g}, {transform[5]:g}"


def _correlation(a: Float32Array, b: Float32Array) -> float:
    if a.std() == 0 or b.std() == 0:
        return 1.0 if np.array_equal(a, b) else float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _mask_agreement(a: Float32Array, b: Float32Array) -> float:
    """Return the intersection over union without the rim of the union, 1 where nothing is left of it."""
    both, inner = _agreeing(a, b)
    return float(both[inner].mean()) if inner.any() else 1.0


def _agreeing(a: Float32Array, b: Float32Array) -> tuple[BoolArray, BoolArray]:
    """Return which cells both maps have, and where to ask it: the union without its rim and without zeros."""
    either = np.isfinite(a) | np.isfinite(b)
    inner = binary_erosion(either, iterations=RIM_CELLS, border_value=1) & (a != 0) & (b != 0)
    return np.isfinite(a) & np.isfinite(b), np.asarray(inner)
