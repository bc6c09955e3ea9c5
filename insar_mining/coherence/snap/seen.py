"""Which cells of the map have data, from geometry alone.

In SNAP's products 0 stands for "no data" and for "no coherence", and windows that
reach over the edge of the data hold too small a value instead of none.  So which cells
count is not read from SNAP's numbers: a cell counts where the windows around it lie
inside the valid samples of both dates.
"""

from __future__ import annotations

import numpy as np

from insar_mining.arrays import BoolArray
from insar_mining.coherence.plan.bursts import burst_cuts, cut_of_each
from insar_mining.coherence.plan.model import CoherencePlan, Window
from insar_mining.geometry.geocode import Look, look_up
from insar_mining.geometry.terrain import dem_arrays, heights_for
from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S, SubSwath
from insar_mining.sentinel1.product import open_product, with_orbit


def seen_cells(plan: CoherencePlan) -> BoolArray:
    """Tell for each cell of the plan's grid whether both dates have data there; shape (height, width)."""
    sides = [
        with_orbit(open_product(path, require_manifest=False), [] if orbit is None else [orbit])[0]
        for path, orbit in ((plan.reference, plan.reference_orbit), (plan.secondary, plan.secondary_orbit))
    ]
    dem = dem_arrays(heights_for(plan.grid, plan.dem, plan.dem_heights).dem)
    names = sorted({pair.swath for pair in plan.bursts})
    first, second = ({name: side.sub_swath(name, plan.polarisation) for name in names} for side in sides)
    here, there = (look_up(swaths[names[0]], plan.grid, dem) for swaths in (first, second))
    cuts = burst_cuts(list(first.values()))
    cut = cut_of_each(cuts, here.time_s, here.slant_range_m)
    shift = plan.window_offset

    seen = np.zeros(plan.grid.shape, dtype=np.bool_)
    for pair in plan.bursts:
        burst = pair.swath, pair.reference_index
        chosen = np.isin(cut, [number for number, c in enumerate(cuts) if (c.swath, c.burst_index) == burst])
        chosen &= _inside(here, first[pair.swath], pair.reference_index, plan.window, shift)
        chosen &= _inside(there, second[pair.swath], pair.secondary_index, plan.window, shift)
        seen |= chosen
    return seen


def _inside(look: Look, swath: SubSwath, burst_index: int, window: Window, shift: tuple[float, float]) -> BoolArray:
    """Tell where the windows of the four pixels around a position lie inside the valid part of a burst."""
    burst = swath.bursts[burst_index]
    line = (look.time_s - burst.azimuth_time_s) / swath.azimuth_time_interval_s - shift[0]
    slant_time = look.slant_range_m * 2 / SPEED_OF_LIGHT_M_S
    sample = (slant_time - swath.slant_range_time_s) * swath.range_sampling_rate_hz - shift[1]
    inside = np.ones(line.shape, dtype=np.bool_)
    for position, size, valid in (
        (line, window.azimuth, burst.valid_lines),
        (sample, window.range, burst.valid_samples),
    ):
        before = (size - 1) // 2
        with np.errstate(invalid="ignore"):
            inside &= np.floor(position) - before >= valid.start
            inside &= np.ceil(position) + (size - 1 - before) <= valid.stop - 1
    return inside
