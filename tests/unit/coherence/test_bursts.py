"""Every piece of ground is shown by exactly one burst."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from insar_mining.coherence.plan.bursts import burst_cuts, cut_of_each, matching_burst, middle_of_burst_s
from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S


@pytest.fixture
def swaths(morocco_sub_swath):
    return [morocco_sub_swath("20230904", name) for name in ("IW1", "IW2", "IW3")]


def test_seam_is_snaps(swaths):
    """Neighbouring bursts are cut at the mean of the last line time and the next first line time."""
    cuts = burst_cuts(swaths[:1])
    swath = swaths[0]
    for one, other in pairwise(cuts):
        last = swath.bursts[one.burst_index].azimuth_time_s + 1506 * swath.azimuth_time_interval_s
        first = swath.bursts[other.burst_index].azimuth_time_s
        assert one.stop_s == other.start_s == (last + first) / 2


def test_seams_lie_well_inside_valid_lines(swaths):
    """A seam is at least 10 lines from the last valid line of either burst, so windows never touch an edge."""
    for swath in swaths:
        for cut in burst_cuts([swath])[1:]:
            burst = swath.bursts[cut.burst_index]
            line = (cut.start_s - burst.azimuth_time_s) / swath.azimuth_time_interval_s
            assert line - burst.valid_lines.start > 10


def test_no_ground_twice_and_none_lost(swaths, rng):
    """Random points inside the outline of three sub-swaths are held by exactly one cut."""
    cuts = burst_cuts(swaths)
    start = max(min(c.start_s for c in cuts if c.swath == s.swath) for s in swaths)
    stop = min(max(c.stop_s for c in cuts if c.swath == s.swath) for s in swaths)
    near, far = max(c.near_m for c in cuts if c.swath == "IW1"), min(c.far_m for c in cuts if c.swath == "IW3")
    time, slant_range = rng.uniform(start, stop, 20_000), rng.uniform(near, far, 20_000)
    held = np.sum([cut.holds(time, slant_range) for cut in cuts], axis=0)
    assert (held == 1).all()


def test_all_cuts_at_once_are_each_cut_alone(swaths, rng):
    """Inside and around three sub-swaths each point has the cut that holds it, or none; so has NaN."""
    cuts = burst_cuts(swaths)
    start, stop = min(c.start_s for c in cuts) - 1, max(c.stop_s for c in cuts) + 1
    near, far = min(c.near_m for c in cuts) - 5000, max(c.far_m for c in cuts) + 5000
    time, slant_range = rng.uniform(start, stop, (200, 100)), rng.uniform(near, far, (200, 100))
    time[3], slant_range[:, 4] = np.nan, np.nan
    found = cut_of_each(cuts, time, slant_range)
    for number, cut in enumerate(cuts):
        np.testing.assert_array_equal(found == number, cut.holds(time, slant_range))
    assert (found[3] == -1).all()
    assert 0.02 < (found == -1).mean() < 0.5
    assert (cut_of_each([], time, slant_range) == -1).all()


def test_sub_swath_seam_is_in_the_middle_of_the_overlap(swaths):
    """IW1 and IW2 meet halfway between the first sample of IW2 and the last of IW1."""
    cuts = burst_cuts(swaths[:2])
    alone = {s.swath: burst_cuts([s]) for s in swaths[:2]}
    middle = (min(c.far_m for c in alone["IW1"]) + max(c.near_m for c in alone["IW2"])) / 2
    start = max(alone[name][0].start_s for name in alone)
    stop = min(alone[name][-1].stop_s for name in alone)
    both = [c for c in cuts if start <= c.start_s and c.stop_s <= stop]
    assert {c.far_m for c in both if c.swath == "IW1"} == {middle}
    assert {c.near_m for c in both if c.swath == "IW2"} == {middle}
    # at the two ends only one of them sees anything, and shows it all
    assert max(c.far_m for c in cuts) == max(c.far_m for c in alone["IW2"])
    assert {c.far_m for c in cuts if c.swath == "IW1" and c.stop_s <= start} == {alone["IW1"][0].far_m}


def test_a_sub_swath_without_a_burst_leaves_its_ground_to_the_neighbour(swaths):
    """Where IW2 has no burst, IW1 shows all that it sees; where it has one, they meet at the seam."""
    iw2 = replace(swaths[1], bursts=tuple(b for b in swaths[1].bursts if b.index != 4))
    cuts = burst_cuts([swaths[0], iw2])
    alone = {s.swath: burst_cuts([s]) for s in swaths[:2]}
    overlap = np.linspace(alone["IW2"][4].near_m + 50, alone["IW1"][4].far_m - 50, 101)
    lost = alone["IW2"][4]
    time = np.linspace(lost.start_s + 0.3, lost.stop_s - 0.3, 101)[:, None]
    for swath, share in (("IW1", 1.0), ("IW2", 0.0)):
        held = sum(cut.holds(time, overlap).astype(int) for cut in cuts if cut.swath == swath)
        assert held.mean() == share
    held = sum(cut.holds(time - 2.5, overlap).astype(int) for cut in cuts)
    assert (held == 1).all()


def test_bursts_are_matched_by_time(swaths, morocco_sub_swath):
    """The nine bursts of the pair match one to one, whatever their ids say; a lost burst has no match."""
    first, secondary = swaths[0], morocco_sub_swath("20230916", "IW1")
    shift = secondary.bursts[0].azimuth_time_s - first.bursts[0].azimuth_time_s
    middles = [middle_of_burst_s(first, index) + shift for index in range(9)]
    assert [matching_burst(secondary, t, t - 1.0, t + 1.0) for t in middles] == list(range(9))
    fewer = replace(secondary, bursts=tuple(replace(b, burst_id=1) for b in secondary.bursts if b.index != 3))
    assert matching_burst(fewer, middles[3], middles[3] - 1.0, middles[3] + 1.0) is None


def test_a_neighbour_is_no_match(swaths):
    """At the seam two bursts see a strip: that of the burst is taken, 2 ms off or not, and none if it is missing."""
    swath = swaths[0]
    cuts = burst_cuts([swath])
    for index in range(1, 8):
        middle = middle_of_burst_s(swath, index)
        without = replace(swath, bursts=tuple(b for b in swath.bursts if b.index != index))
        for start, stop in (
            (cuts[index].start_s, cuts[index].start_s + 0.004),
            (cuts[index].stop_s - 0.004, cuts[index].stop_s),
        ):
            for late in (-0.004, 0.0, 0.004):
                assert matching_burst(swath, middle + late, start + late, stop + late) == index
                assert matching_burst(without, middle + late, start + late, stop + late) is None


def test_cut_covers_the_valid_samples(swaths):
    """Outer edges are half a sample outside the first and last valid sample of the annotation."""
    swath = swaths[0]
    cut = burst_cuts([swath])[2]
    valid = swath.bursts[2].valid_samples
    for edge, sample in ((cut.near_m, valid.start - 0.5), (cut.far_m, valid.stop - 0.5)):
        expected = (swath.slant_range_time_s + sample / swath.range_sampling_rate_hz) * SPEED_OF_LIGHT_M_S / 2
        assert edge == pytest.approx(expected, abs=1e-6)
