"""Quality of the two dates of every pair, as their products annotate it and their pixels show it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.plan.model import CoherencePlan, PlannedScene
from insar_mining.errors import InsarMiningError, SkippedInputWarning
from insar_mining.geometry.coregister import BurstFrame, Region
from insar_mining.geometry.terrain import GridHeights, probe
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.interference import Interference, read_interference
from insar_mining.sentinel1.product import Product

Bursts = frozenset[tuple[str, int]]
"""Sub-swaths and indices of bursts."""

DATE_COLUMNS = ("ipf", "missing_lines", "lost_lines", "rfi_percent", "rfi_detections", "rfi_mitigation")
COLUMNS = ("common_band", *(f"{side}_{name}" for side in ("reference", "secondary") for name in DATE_COLUMNS))
"""Columns of ``scenes.csv`` that are of the dates of a pair."""

_TEXT = tuple(name for name in COLUMNS if name.endswith(("_ipf", "_rfi_mitigation")))
_BLOCK_LINES = 256

MUCH_INTERFERENCE_PERCENT = 10.0
"""Share of a burst from which on interference is remarked upon."""


@dataclass(eq=False)
class Qualities:
    """Read the quality of dates; each date once, whatever pairs it belongs to."""

    _dates: dict[tuple[str, Bursts], dict[str, object]] = field(default_factory=dict, repr=False)

    def of_pair(self, plan: CoherencePlan) -> dict[str, object]:
        """Return the columns of a pair; what a damaged file does not tell is missing, with a warning.

        Parameters
        ----------
        plan : CoherencePlan

        Returns
        -------
        dict
            ``common_band``, the share of the azimuth spectrum that the bursts of both dates have in common
            (0..1), and of reference and secondary each: ``ipf``, the version of the processor;
            ``missing_lines``, raw lines that were lost before processing, in the sub-swaths used;
            ``lost_lines``, lines over the map in which pixels are not valid or zeros; ``rfi_percent``, the largest
            share of a burst that interference affects, 0..100; ``rfi_detections``, noise measurements beside
            the bursts with interference; ``rfi_mitigation``, what is said of its removal.
        """
        first, second, _ = plan.scenes.all
        return {
            "common_band": plan.geometry.common_band,
            **self._side("reference", first, frozenset((b.swath, b.reference_index) for b in plan.bursts), plan),
            **self._side("secondary", second, frozenset((b.swath, b.secondary_index) for b in plan.bursts), plan),
        }

    def _side(self, side: str, date: PlannedScene, bursts: Bursts, plan: CoherencePlan) -> dict[str, object]:
        key = (str(date.path), bursts)
        if key not in self._dates:
            try:
                self._dates[key] = _quality_of(date.open(), bursts, plan)
            except InsarMiningError as error:  # a remark on a date: no reason to lose it
                warnings.warn(f"left out: quality of {date.path.name}: {error}", SkippedInputWarning, stacklevel=2)
                self._dates[key] = {}
        return {f"{side}_{name}": value for name, value in self._dates[key].items()}


def with_quality(scenes: pd.DataFrame, found: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """Add the columns of :data:`COLUMNS` to a table of pairs; missing for pairs of which nothing was found."""
    rows = [found.get(str(pair), {}) for pair in scenes["pair"]]
    added = pd.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], columns=[*COLUMNS])
    numbers = {name: pd.to_numeric(added[name]) for name in COLUMNS if name not in _TEXT}
    added = added.assign(**numbers, **{name: added[name].fillna("") for name in _TEXT})
    return scenes.reset_index(drop=True).join(added)


def remarks_on_dates(scenes: pd.DataFrame) -> list[str]:
    """List in sentences the dates that lack lines or have interference, from a table with quality columns.

    Parameters
    ----------
    scenes : DataFrame
        As :func:`with_quality` returns it; pairs are named by their days (``20230904_20230916``).
    """
    lost: dict[str, int] = {}
    disturbed: dict[str, float] = {}
    for row in scenes.to_dict("records"):
        for day, side in zip(str(row["pair"]).split("_"), ("reference", "secondary"), strict=True):
            if row[f"{side}_lost_lines"] > 0:
                lost[day] = int(row[f"{side}_lost_lines"])
            if row[f"{side}_rfi_percent"] >= MUCH_INTERFERENCE_PERCENT:
                disturbed[day] = float(row[f"{side}_rfi_percent"])
    remarks = []
    if lost:
        days = ", ".join(f"{_iso(day)} ({count})" for day, count in sorted(lost.items()))
        remarks.append(f"Dates that lack lines over the map, which are without data in their pairs: {days}.")
    if disturbed:
        days = ", ".join(f"{_iso(day)} ({share:g} %)" for day, share in sorted(disturbed.items()))
        remarks.append(
            f"Dates with interference in a burst over the map (share of its lines or blocks): {days}. Coherence of "
            "their pairs may be lower."
        )
    return remarks


def _iso(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def _quality_of(product: Product, bursts: Bursts, plan: CoherencePlan) -> dict[str, object]:
    """Read the quality of one date in the bursts that show a map."""
    heights = plan.heights()
    swaths = {name: product.sub_swath(name, plan.polarisation) for name in sorted({swath for swath, _ in bursts})}
    lost, found = 0, []
    for name, swath in swaths.items():
        own = sorted(index for swath_name, index in bursts if swath_name == name)
        lost += _lost_lines(product, swath, own, heights)
        times = [swath.utc(swath.bursts[index].azimuth_time_s) for index in own]
        found.append(read_interference(product, name, plan.polarisation, times))
    missing = [swath.missing_lines for swath in swaths.values() if swath.missing_lines is not None]
    return {
        "ipf": product.ipf_version or "",
        "missing_lines": sum(missing) if missing else None,
        "lost_lines": lost,
        **_interference([one for one in found if one is not None]),
    }


def _interference(found: list[Interference]) -> dict[str, object]:
    """Put together what is annotated of interference in several sub-swaths."""
    if not found:
        return {}
    return {
        "rfi_percent": max((one.percent for one in found if one.percent is not None), default=None),
        "rfi_detections": sum(one.detections for one in found),
        "rfi_mitigation": ", ".join(sorted({one.mitigation for one in found if one.mitigation})),
    }


def _lost_lines(product: Product, swath: SubSwath, bursts: list[int], heights: GridHeights) -> int:
    """Count the lines of bursts over a map in which pixels are missing."""
    time, slant_range = probe(swath, heights)
    if time.size == 0 or not np.isfinite(time).any():
        return 0
    ends = np.array([np.nanmin(time), np.nanmax(time)]), np.array([np.nanmin(slant_range), np.nanmax(slant_range)])
    lost = 0
    for index in bursts:
        frame, side = BurstFrame.of(swath, index), Side(product, swath, index)
        over = Region.around(frame.line_of(ends[0]), frame.sample_of(ends[1]), frame)
        for start in range(over.line_start, over.line_stop, _BLOCK_LINES):
            lost += side.lost_lines(over.lines_between(start, min(start + _BLOCK_LINES, over.line_stop)))
    return lost
