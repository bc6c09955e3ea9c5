"""Flags of a year: what its reader must know before its area."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from insar_mining.activity.significant.settled import Cover
from insar_mining.arrays import BoolArray, FloatArray

if TYPE_CHECKING:
    from insar_mining.activity.significant.year import YearReference

# shares from which a flag is raised
OWN_SHARE, SEEN_SHARE = 0.05, 0.95
PLACEBO_SHARE, CONTAMINATED_SHARE = 0.005, 0.05
FEW_PAIRS = 4


def flags_of(
    reference: YearReference, row: Mapping[str, object], deep: float, weights: FloatArray, active: BoolArray
) -> list[str]:
    """Return the flags of a year, the gravest first.

    Parameters
    ----------
    reference : YearReference
    row : mapping
        Areas and shares of the year, as of `area_intervals`.
    deep : float
        Share of the control ground that lost nearly all of its coherence; NaN without control.
    weights : ndarray (y, x)
        Ground of every cell within the mine, m2.
    active : ndarray of bool (y, x)
    """
    expected = reference.expectation
    flags = []
    if expected.pairs.size < FEW_PAIRS:
        flags.append(f"FEW_PAIRS {expected.pairs.size}")
    if not reference.has_control:
        flags.append("NO_CONTROL")
    elif expected.own_share > OWN_SHARE:
        flags.append(f"NO_CLASS {100 * expected.own_share:.0f} %")
    if deep >= CONTAMINATED_SHARE:
        flags.append(f"CONTAMINATED {100 * deep:.1f} %")
    elif deep >= PLACEBO_SHARE:
        flags.append(f"PLACEBO {100 * deep:.1f} %")
    if _number(row["doubt_m2"]) > 0:
        flags.append(f"DOUBT {_number(row['doubt_m2']):.0f} m2")
    always = 0.0 if reference.doubts_low else float(weights[active & reference.low & ~reference.natural].sum())
    if always > 0:
        flags.append(f"ALWAYS {always:.0f} m2")
    settled = [float(weights[reference.low & (reference.cover == kind)].sum()) for kind in (Cover.NATURAL, Cover.BARE)]
    if any(settled):
        flags.append(f"MASK {settled[0]:.0f} m2 natural, {settled[1]:.0f} m2 bare")
    if _number(row["weather_only_m2"]) > 0:
        flags.append(f"WEATHER_ONLY {_number(row['weather_only_m2']):.0f} m2")
    if reference.weather_pairs.any():
        flags.append(f"WEATHER {int(reference.weather_pairs.sum())} of {expected.pairs.size} pairs")
    seen = _number(row["seen"])
    if not seen >= SEEN_SHARE:
        flags.append(f"SEEN {0 if np.isnan(seen) else 100 * seen:.0f} %")
    return flags


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]
