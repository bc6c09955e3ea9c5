"""Zero-Doppler times and ranges against sarsen's backward geocoding, over real orbits (tests/data/sarsen)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from insar_mining.geometry.range_doppler import arc_arrays, to_cartesian, zero_doppler
from insar_mining.sentinel1.annotation import SubSwath

TABLE = Path(__file__).parents[2] / "data" / "sarsen" / "backward_geocode.csv"


def test_times_and_ranges_are_those_of_sarsen(morocco_sub_swath: Callable[[str, str], SubSwath]) -> None:
    """240 places in three sub-swaths of two dates, heights up to 4 km: 5e-6 s and 1 cm at most (seen: 8.5e-7, 2e-4).

    sarsen fits a polynomial to all state vectors and iterates on its own; no code is shared.
    """
    with TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["date"], row["swath"]) for row in rows}) == 6
    late, far = [], []
    for row in rows:
        swath = morocco_sub_swath(row["date"], row["swath"])
        place = to_cartesian(*(float(row[name]) for name in ("longitude_deg", "latitude_deg", "height_m")))
        time, slant_range = zero_doppler(arc_arrays(swath.arc()), *place, swath.arc().centre_s)
        late.append(time - (np.datetime64(row["utc"]) - swath.epoch) / np.timedelta64(1, "s"))
        far.append(slant_range - float(row["slant_range_m"]))
    assert len(late) == 240
    assert np.abs(late).max() < 5e-6
    assert np.abs(far).max() < 0.01
