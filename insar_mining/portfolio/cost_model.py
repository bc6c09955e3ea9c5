"""What a mine takes, from its images, pairs and cells: constants of the package, or what finished mines took.

The processor time, the bytes of a result and the bytes that are kept for further dates are each a sum of a few terms,
``constant + image * images + pair * pairs + cell_pair * cells * pairs``.  A ledger of finished mines replaces the
coefficients: those of the package are scaled to what was measured, and each is then fitted as far as the measurements
decide it (non-negative least squares of relative errors, with the scaled coefficients as prior values).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from insar_mining.arrays import FloatArray
from insar_mining.pipeline.costs import ORBIT_BYTES
from insar_mining.portfolio.ledger import Ledger, Record

LEAST_MEASURED = 3  # finished mines, or files of the store, from which measurements are taken
MOST_READ = 300  # records of a ledger; ids are hashes, so that the first of them are a sample
OUTLIER = 3.0  # times the median of measured over planned: a first mine that compiled the kernels, say
PRIOR_WEIGHT = 0.01  # of a coefficient's relative change, beside relative errors of mines (0.15 beside 1.5, squared)

METADATA_BYTES = 5_000_000
Terms = tuple[float, float, float, float]
"""Of a mine at all, of an image, of a pair, of a cell in a pair."""


@dataclass(frozen=True)
class Size:
    """Describe what decides the cost of a mine.

    Attributes
    ----------
    images : int
        Bursts times dates (of local scenes the dates).
    pairs : int
    cells : float
        Of the map.
    """

    images: int
    pairs: int
    cells: float

    @property
    def terms(self) -> FloatArray:
        """Values that the four coefficients are multiplied with."""
        return np.array([1.0, self.images, self.pairs, self.cells * self.pairs])

    def plain(self) -> dict[str, float]:
        """Return the size as plain values."""
        return {"images": self.images, "pairs": self.pairs, "cells": round(self.cells, 1)}


@dataclass(frozen=True)
class CostModel:
    """Compute the costs of a mine; the constants were measured by benchmarks/bench_portfolio.py on simulated mines.

    Attributes
    ----------
    processor_seconds, result_bytes, kept_bytes : tuple of 4 floats
        Coefficients of the sum; `kept_bytes` are those of dates brought to the geometry, which ``--keep none`` deletes.
    metadata_bytes, orbit_bytes, elevation_bytes : float
        Of one file: the annotation of a scene, an orbit of a day, the elevation model of a mine.
    measured_on : int
        Finished mines that the coefficients are fitted to.
    """

    processor_seconds: Terms = (1.5, 0.35, 0.10, 0.9e-6)
    result_bytes: Terms = (330e3, 0.0, 7e3, 9.4)
    kept_bytes: Terms = (0.0, 6e3, 0.0, 124.0)
    metadata_bytes: float = METADATA_BYTES
    orbit_bytes: float = ORBIT_BYTES
    elevation_bytes: float = 4e5
    measured_on: int = 0

    def seconds(self, size: Size) -> float:
        """Return the processor seconds of a mine."""
        return float(size.terms @ self.processor_seconds)

    def bytes_of_result(self, size: Size) -> float:
        """Return the bytes of a result's maps, tables and report."""
        return float(size.terms @ self.result_bytes)

    def bytes_kept(self, size: Size) -> float:
        """Return the bytes of a mine's dates on the geometry of their stack."""
        return float(size.terms @ self.kept_bytes)


def calibrated(folder: Path, model: CostModel | None = None) -> CostModel:
    """Return a model fitted to what the finished mines of a portfolio took, and to the sizes of the files it fetched.

    Parameters
    ----------
    folder : Path
        Of the portfolio.
    model : CostModel, optional
        Its coefficients stay where fewer than three mines are finished, and files are fetched.
    """
    model = _with_sizes_of_files(folder / "store", model or CostModel())
    finished = [record for record in _records(Ledger(folder)) if _is_whole(record)]
    if len(finished) < LEAST_MEASURED:
        return model
    sizes = [Size(**record.measured["size"]) for record in finished]
    measured = {
        "processor_seconds": [float(record.measured["processor_seconds"]) for record in finished],
        "result_bytes": [float(sum(size for size, _ in record.outputs.values())) for record in finished],
    }
    # of results from which the dates were deleted nothing is learned of their bytes
    kept = [(size, float(record.measured.get("kept_bytes", 0))) for size, record in zip(sizes, finished, strict=True)]
    kept = [(size, value) for size, value in kept if value > 0]
    changes: dict[str, Any] = {
        name: fitted(getattr(model, name), sizes, values) for name, values in measured.items() if min(values) > 0
    }
    if len(kept) >= LEAST_MEASURED:
        changes["kept_bytes"] = fitted(model.kept_bytes, [size for size, _ in kept], [value for _, value in kept])
    return replace(model, **changes, measured_on=len(finished))


def fitted(prior: Terms, sizes: Sequence[Size], measured: Sequence[float]) -> Terms:
    """Fit coefficients to measurements; outliers are left out.

    Parameters
    ----------
    prior : tuple of 4 floats
        Coefficients whose proportions hold as far as the measurements do not decide them; zeros stay zero.
    sizes : sequence of Size
    measured : sequence of float
        Positive.

    Returns
    -------
    tuple of 4 floats
        Their sum over the mines that were used is what was measured.

    Notes
    -----
    Non-negative least squares: C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, chapter 23 (1974),
    doi:10.1137/1.9781611971217.
    """
    from scipy.optimize import nnls

    terms, values = np.array([size.terms for size in sizes]) * prior, np.asarray(measured, dtype=float)
    ratios = values / terms.sum(axis=1)
    usual = np.abs(np.log(ratios / np.median(ratios))) <= np.log(OUTLIER)
    terms, values = terms[usual], values[usual]
    common = values.sum() / terms.sum()
    terms *= common
    weight = np.sqrt(PRIOR_WEIGHT)
    left = np.vstack([terms / values[:, None], weight * np.eye(4)])
    factors, _ = nnls(left, np.concatenate([np.ones(len(values)), np.full(4, weight)]))
    scale = values.sum() / (terms @ factors).sum()
    found = np.asarray(prior) * common * factors * scale
    return (float(found[0]), float(found[1]), float(found[2]), float(found[3]))


def _records(ledger: Ledger) -> list[Record]:
    names = sorted(path.stem for path in ledger.folder.glob("*.json"))[:MOST_READ]
    return [record for name in names if (record := ledger.record(name)) is not None]


def _is_whole(record: Record) -> bool:
    """Check that all of a mine was done in one piece, and that its size is known."""
    measured: Mapping[str, Any] = record.measured
    size = measured.get("size")
    is_size = isinstance(size, dict) and set(size) == {"images", "pairs", "cells"}
    return (
        record.state == "done"
        and is_size
        and not measured.get("maps_kept")
        and isinstance(measured.get("processor_seconds"), float | int)
    )


def _with_sizes_of_files(store: Path, model: CostModel) -> CostModel:
    """Take mean sizes of the files that were fetched."""
    found = {
        "metadata_bytes": [path.stat().st_size for path in (store / "products").glob("[!.]*.xml")],
        "orbit_bytes": [path.stat().st_size for path in (store / "orbits").glob("[!.]*.EOF")],
        "elevation_bytes": [path.stat().st_size for path in (store / "dem").glob("[!.]*.tif")],
    }
    means: dict[str, Any] = {
        name: sum(sizes) / len(sizes) for name, sizes in found.items() if len(sizes) >= LEAST_MEASURED
    }
    return replace(model, **means)
