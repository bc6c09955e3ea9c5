"""Two maps of coherence beside each other: how far they differ, and whether that is within tolerance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from scipy.ndimage import binary_erosion

from insar_mining.arrays import Float32Array
from insar_mining.errors import RasterError
from insar_mining.geo.raster import write_cog

MEDIAN, PERCENTILE_95, MEAN, CORRELATION, MASK = 0.01, 0.05, 0.005, 0.99, 0.99
RIM_CELLS = 2  # windows at the edge of the data are treated differently by different programs
GRID_SHARE = 1e-6  # of a cell


@dataclass(frozen=True)
class Comparison:
    """Statistics of ``b - a`` over the cells that both maps have.

    Attributes
    ----------
    cells : int
        Cells with a value in both.
    median_absolute, percentile_95_absolute, mean, rms, largest_absolute : float
        Of the difference.
    correlation : float
        Pearson's; NaN where a map has a single value.
    mask_agreement : float
        Cells with a value in both, as a share of those with a value in either, without a
        rim of two cells.
    """

    cells: int
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


def compare_maps(first: Path | str, second: Path | str, difference: Path | str | None = None) -> Comparison:
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
    (a, grid), (b, other) = _read(Path(first)), _read(Path(second))
    if grid["crs"] != other["crs"] or a.shape != b.shape or not _same(grid["transform"], other["transform"]):
        raise RasterError(
            f"{first} ({_describe(a, grid)}) and {second} ({_describe(b, other)}) lie on different grids; compare maps "
            "of one area, spacing and CRS"
        )
    common = np.isfinite(a) & np.isfinite(b)
    if not common.any():
        raise RasterError(f"{first} and {second} have no cell in common that holds a value")
    delta = np.where(common, b - a, np.float32(np.nan)).astype(np.float32)
    if difference is not None:
        write_cog(
            difference,
            delta,
            crs=str(grid["crs"]),
            transform=grid["transform"],
            names=["difference"],
            tags={"FIRST": Path(first).name, "SECOND": Path(second).name},
        )
    values = delta[common].astype(np.float64)
    return Comparison(
        cells=int(common.sum()),
        median_absolute=float(np.median(np.abs(values))),
        percentile_95_absolute=float(np.percentile(np.abs(values), 95)),
        mean=float(values.mean()),
        rms=float(np.sqrt(np.mean(values**2))),
        largest_absolute=float(np.abs(values).max()),
        correlation=_correlation(a[common], b[common]),
        mask_agreement=_mask_agreement(np.isfinite(a), np.isfinite(b)),
    )


def _read(path: Path) -> tuple[Float32Array, dict[str, Any]]:
    try:
        with rasterio.open(path) as source:
            values = source.read(1, masked=True).astype(np.float32).filled(np.nan)
            return np.asarray(values), {"crs": source.crs, "transform": source.transform}
    except RasterioError as error:
        raise RasterError(f"{path}: cannot be read as a raster ({error}); give a GeoTIFF of coherence") from error


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


def _mask_agreement(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Intersection over union without the rim of the union, 1 where nothing is left of it."""
    inner = binary_erosion(a | b, iterations=RIM_CELLS, border_value=1)
    return float((a & b)[inner].mean()) if inner.any() else 1.0
