"""Pack the maps of a report so that its page can show, compare and query them without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import colormaps

from insar_mining.arrays import ByteArray, FloatArray
from insar_mining.report.content import ReportContent
from insar_mining.report.frame import MapFrame
from insar_mining.report.plots_activity import CALENDAR_COLOURS, DUTY_COLOURS
from insar_mining.report.plots_maps import COHERENCE_COLOURS, NDAI_COLOURS
from insar_mining.tables import csv_text

# bounds of what the page carries: bytes of one layer and of all series, before base64
LAYER_CELLS = 90_000
SERIES_BYTES = 1_500_000

NO_DATA = 255
STEPS = 254
"""Values are stored as 0 to 254 between the limits of their layer; 255 is no data."""


@dataclass(frozen=True, eq=False)
class ExploredLayer:
    """Describe one layer of the explorer: a map with its scale.

    Attributes
    ----------
    label : str
    values : ndarray (row, column) of float
        The first row in the north, NaN without data.
    low, high : float
        Limits of the scale; values beyond are drawn as the limit.
    colours : str
        Name of a Matplotlib colour map.
    kind : str
        ``number``, or ``day`` for days since 1970-01-01.
    """

    label: str
    values: FloatArray
    low: float
    high: float
    colours: str
    kind: str = "number"


def explorer(content: ReportContent, mean: xr.DataArray) -> dict[str, object]:
    """Return the explorer's data (JSON), its script, the hash that lets the page run this script only, and tables.

    Parameters
    ----------
    content : ReportContent
    mean : DataArray (y, x)
        Mean coherence of the kept pairs.
    """
    frame = MapFrame.of(content.analysis.coh).around(content.mine.geometry, 0.25)
    script = resources.files("insar_mining.report").joinpath("templates", "explore.js").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    tables = [
        {"name": name, "uri": f"data:text/csv;base64,{base64.b64encode(csv_text(table).encode()).decode()}"}
        for name, table in (("activity.csv", content.analysis.activity), ("scenes.csv", content.scenes))
    ]
    return {
        "data": _json(_data(content, frame, mean)),
        "script": script,
        "hash": f"sha256-{digest}",
        "tables": tables,
    }


def _json(data: object) -> str:
    """Write JSON that cannot end the element it stands in."""
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def _data(content: ReportContent, frame: MapFrame, mean: xr.DataArray) -> dict[str, object]:
    layers = list(explored_layers(content, frame, mean))
    factor = _factor(frame.height * frame.width, LAYER_CELLS)
    width_km, height_km = frame.size_km
    rings = [
        [[round(x, 4), round(height_km - y, 4)] for x, y in ring] for ring in frame.rings_km(content.mine.geometry)
    ]
    return {
        "size_km": [width_km, height_km],
        "outline": rings,
        "layers": [_packed(layer, factor) for layer in layers],
        "series": _series(content.analysis.coh, frame),
    }


def explored_layers(content: ReportContent, frame: MapFrame, mean: xr.DataArray) -> Iterator[ExploredLayer]:
    """Yield the layers that a report has, in the order in which they are offered."""
    yield ExploredLayer("Mean coherence", _north(frame, mean), 0.0, 1.0, COHERENCE_COLOURS)
    for year in content.years:
        values = _north(frame, content.analysis.annual.sel(year=year))
        yield ExploredLayer(f"NDAI {year}", values, 0.0, content.options.ceiling, NDAI_COLOURS)
    timeline = content.analysis.timeline
    if timeline is None:
        return
    for year in (int(year) for year in timeline.duty["year"].values):
        values = _north(frame, timeline.duty.sel(year=year))
        yield ExploredLayer(f"Share of pairs disturbed {year}", values, 0.0, 1.0, DUTY_COLOURS)
    for label, days in (("First active day", timeline.first_active), ("Last active day", timeline.last_active)):
        values = _days(frame, days)
        if np.isfinite(values).any():
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            yield ExploredLayer(label, values, low, max(high, low + 1), CALENDAR_COLOURS, "day")


def _north(frame: MapFrame, raster: xr.DataArray) -> FloatArray:
    return frame.north_up(raster).astype(np.float64)


def _days(frame: MapFrame, raster: xr.DataArray) -> FloatArray:
    days = frame.north_up(raster).astype("datetime64[D]")
    return np.where(np.isnat(days), np.nan, days.astype(np.int64).astype(np.float64))


def _factor(cells: int, most: int) -> int:
    """Return the number of cells along each side that are averaged so that at most `most` cells are left."""
    return max(1, math.ceil(math.sqrt(cells / most)))


def averaged(values: FloatArray, factor: int) -> FloatArray:
    """Average blocks of cells, NaN left aside; incomplete blocks at the edges are averaged over what they have.

    Parameters
    ----------
    values : ndarray (..., row, column)

    Returns
    -------
    ndarray (..., ceil(row / factor), ceil(column / factor))
    """
    if factor == 1:
        return values
    rows, columns = values.shape[-2:]
    edges = [(0, 0)] * (values.ndim - 2) + [(0, -rows % factor), (0, -columns % factor)]
    full = np.pad(values, edges, constant_values=np.nan)
    blocks = full.reshape(*full.shape[:-2], full.shape[-2] // factor, factor, full.shape[-1] // factor, factor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks without data stay NaN
        return np.asarray(np.nanmean(blocks, axis=(-3, -1)))


def quantised(values: npt.NDArray[np.floating], low: float, high: float) -> ByteArray:
    """Return values as 0 (low) to 254 (high), and 255 for NaN."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.where(np.isfinite(values), np.round(np.nan_to_num(share) * STEPS), NO_DATA).astype(np.uint8)


def _packed(layer: ExploredLayer, factor: int) -> dict[str, object]:
    bytes_ = quantised(averaged(layer.values, factor), layer.low, layer.high)
    palette = (np.asarray(colormaps[layer.colours](np.linspace(0, 1, STEPS + 1)))[:, :3] * 255).round().astype(np.uint8)
    return {
        "label": layer.label,
        "kind": layer.kind,
        "low": layer.low,
        "high": layer.high,
        "rows": bytes_.shape[0],
        "columns": bytes_.shape[1],
        "values": _base64(bytes_),
        "palette": _base64(palette),
    }


def _series(coh: xr.DataArray, frame: MapFrame) -> dict[str, object]:
    """Pack the coherence of every pair, read pair by pair, averaged so far that all pairs fit."""
    factor = _factor(coh.sizes["pair"] * frame.height * frame.width, SERIES_BYTES)
    planes = [
        quantised(averaged(_north(frame, coh.isel(pair=index)), factor), 0.0, 1.0) for index in range(coh.sizes["pair"])
    ]
    return {
        "pairs": [str(name) for name in coh["pair"].values],
        "middle": _middle_days(coh),
        "rows": planes[0].shape[0],
        "columns": planes[0].shape[1],
        "cells": factor,
        "values": _base64(np.stack(planes)),
    }


def _middle_days(coh: xr.DataArray) -> list[float]:
    """Return the middle of each pair in days since 1970, or its number where its dates are not known."""
    if "reference_date" not in coh.coords or "secondary_date" not in coh.coords:
        return [float(index) for index in range(coh.sizes["pair"])]
    first, second = (
        coh[name].values.astype("datetime64[D]").astype(np.int64) for name in ("reference_date", "secondary_date")
    )
    return [float(day) for day in (first + second) / 2]


def _base64(values: ByteArray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
