"""The orbits behind the rows of a scene table: of products at hand, else of catalogue records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import Point

from insar_mining.errors import InsarMiningError, OrbitError, PairError
from insar_mining.sentinel1.annotation import SubSwath, midnight_before
from insar_mining.sentinel1.baselines import MeasuredBaseline, measured_baseline
from insar_mining.sentinel1.orbit import orbit_files, read_orbit_file
from insar_mining.sentinel1.product import open_product, with_orbit
from insar_mining.sentinel1.readable import any_sub_swath
from insar_mining.sentinel1.record_orbits import StateVectors, from_text

SCENE_S = 30.0
"""Length of a scene at most, seconds; of a burst's record the orbit is read for as long."""

SAME_PASS = np.timedelta64(10, "m")
"""Slices of one pass begin a minute apart at most, passes of one track many hours."""


@dataclass
class SceneBaselines:
    """Compute baselines of pairs of rows of a scene table; every annotation and record is read once.

    Attributes
    ----------
    polarisation : str
        Whose annotation is read, where there is a choice (every one has the same orbit).
    orbits : sequence of path
        Orbit files, or folders of them, that count instead of a product's or a record's own vectors.
    """

    polarisation: str
    orbits: Sequence[Path | str] = ()
    _orbits: dict[str, SubSwath | StateVectors] = field(default_factory=dict)

    def __call__(self, reference: pd.Series, secondary: pd.Series, lon: float, lat: float) -> MeasuredBaseline:
        """Return the baseline of two rows at a place.

        Raises
        ------
        PairError
            A row has neither a product nor state vectors: its baseline is unknown.
        InsarMiningError
            The product or the record is damaged, or the place is not seen.
        """
        return measured_baseline(self.orbit(reference), self.orbit(secondary), lon, lat)

    def orbit(self, row: pd.Series) -> SubSwath | StateVectors:
        """Return what carries the orbit of a row; see :meth:`__call__` for errors."""
        path, scene = row.get("path"), str(row["scene"])
        at_hand = isinstance(path, str) and bool(path)
        key = str(path) if at_hand else scene
        if key not in self._orbits:
            self._orbits[key] = self._of_product(key) if at_hand else self._of_record(row, scene)
        return self._orbits[key]

    def _of_product(self, path: str) -> SubSwath:
        product, _ = with_orbit(open_product(path), orbit_files(self.orbits))
        return any_sub_swath(product, self.polarisation)

    def _of_record(self, row: pd.Series, scene: str) -> StateVectors:
        if not self.orbits:
            return _of_record(row, scene)
        start = pd.Timestamp(row["start"]).to_datetime64().astype("datetime64[ns]")
        epoch, reasons = midnight_before(start), []
        begin = float((start - epoch) / np.timedelta64(1, "s"))
        for path in orbit_files(self.orbits):
            try:
                orbit = read_orbit_file(
                    path, epoch=epoch, start_s=begin, stop_s=begin + SCENE_S, platform=str(row["platform"])
                )
            except OrbitError as error:
                reasons.append(str(error))
            else:
                return StateVectors.of(orbit, epoch)
        raise OrbitError(f"no orbit file fits {scene}: " + "; ".join(reasons))


def _of_record(row: pd.Series, scene: str) -> StateVectors:
    text = row.get("state_vectors")
    if not isinstance(text, str) or not text:
        raise PairError(
            f"{scene}: no product at hand, so its baseline is unknown (there are no state vectors of a record either). "
            "Fetch it first."
        )
    return from_text(text, source=scene)


def orbit_positions(scenes: gpd.GeoDataFrame, lon: float, lat: float, *, polarisation: str = "VV") -> pd.DataFrame:
    """Return where every image of one track flew, seen from a place, across the line of sight.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.search` or :func:`insar_mining.scan_products` give it.
    lon, lat : float
        Degrees.

    Returns
    -------
    DataFrame
        One row per pass in the order of time: date (datetime64[ns], midnight), platform, scene
        (a slice that sees the place, else the first), and position_m: the perpendicular
        baseline from the first image whose orbit is known, NaN where an orbit is unknown.
    """
    baseline_of = SceneBaselines(polarisation)
    place = Point(lon, lat)
    ordered = scenes.sort_values(["start", "scene"], kind="stable")
    new_pass = (ordered["start"].diff() > SAME_PASS).cumsum()
    rows, first = [], None
    for _, slices in ordered.groupby(new_pass.to_numpy(), sort=True):
        seeing = slices[slices.covers(place)]
        row = (slices if seeing.empty else seeing).iloc[0]
        try:
            baseline_of.orbit(row)
            first = row if first is None else first
            position = baseline_of(first, row, lon, lat).perpendicular_m
        except InsarMiningError:
            position = math.nan  # unknown is not 0
        rows.append((row["start"].normalize(), row["platform"], row["scene"], position))
    return pd.DataFrame(rows, columns=["date", "platform", "scene", "position_m"])
