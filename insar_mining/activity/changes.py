"""When work starts and stops: change points of pixels and of zones, to within a pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from insar_mining.arrays import BoolArray, IntArray
from insar_mining.errors import ActivityError
from insar_mining.jit import njit

# chance that a pair shows a disturbed cell while its ground is worked, and while it is not
WORKED_CHANCE, IDLE_CHANCE = 0.3, 0.01

# a zone counts as worked in a stretch of pairs in which on average this share of it is disturbed, if not less can be
# told from chance (`insar_mining.activity.timeline.worked_from`)
WORKED_SHARE = 0.05
# cost of a change point, in log(pairs) times the variance of the noise; the noise is taken to be at least this
PENALTY, LEAST_NOISE = 3.0, 0.02

ZONE_COLUMNS = ("zone", "start", "stop", "pairs", "share", "worked", "worked_from")


@njit(nogil=True)
def worked_spans(disturbed: BoolArray, finite: BoolArray) -> tuple[IntArray, IntArray]:
    """Return the first and last pair of the likeliest stretch of work of each cell.

    Parameters
    ----------
    disturbed, finite : ndarray of bool (pairs, rows, columns)
        In order of time.

    Returns
    -------
    start, stop : ndarray of int64 (rows, columns)
        Positions of pairs; -1 where the cell was never disturbed.

    Notes
    -----
    Two Bernoulli rates, 0.3 while the ground is worked and 0.01 while it is not, and a cost of one disturbance's
    evidence (log 30) for every stretch of work: the likeliest cut of the series, in which a break of ten
    pairs with data ends a stretch and a shorter one does not, whatever lies before and after.  Given is the stretch
    of the largest likelihood ratio, the earlier of two equal ones: ground that is worked twice with an idle year
    between has the dates of the one time of which more was seen.
    """
    pairs, rows, cols = disturbed.shape
    hit = np.log(WORKED_CHANCE / IDLE_CHANCE)
    miss = np.log((1 - WORKED_CHANCE) / (1 - IDLE_CHANCE))
    start = np.full((rows, cols), -1, np.int64)
    stop = np.full((rows, cols), -1, np.int64)
    best = np.zeros((rows, cols))
    running = np.zeros((rows, cols))
    highest = np.zeros((rows, cols))
    begun = np.zeros((rows, cols), np.int64)
    for p in range(pairs):
        for y in range(rows):
            for x in range(cols):
                if not finite[p, y, x]:
                    continue
                # what is lost since the last disturbance never outweighs one within a stretch
                if running[y, x] <= 0.0 or highest[y, x] - running[y, x] >= hit:
                    running[y, x] = highest[y, x] = 0.0
                    begun[y, x] = p
                running[y, x] += hit if disturbed[p, y, x] else miss
                highest[y, x] = max(highest[y, x], running[y, x])
                if running[y, x] > best[y, x]:
                    best[y, x] = running[y, x]
                    start[y, x] = begun[y, x]
                    stop[y, x] = p
    return start, stop


def segments(
    series: npt.ArrayLike, penalty: float = PENALTY, least_noise: float = LEAST_NOISE
) -> list[tuple[int, int]]:
    """Cut a series into stretches of constant mean.

    Parameters
    ----------
    series : array_like (n,)
        NaN is left out of every stretch's mean.
    penalty : float
        Cost of a further stretch, in ``log(n)`` times the variance of the noise.
    least_noise : float
        Least standard deviation of the noise that is believed.

    Returns
    -------
    list of (int, int)
        First and last position of each stretch.

    Notes
    -----
    The cut of least squares plus penalty, exact (Jackson et al. 2005, doi:10.1109/LSP.2001.838216). The noise
    is estimated from differences of neighbours, by their median, which change points hardly touch.

    Examples
    --------
    >>> segments([0, 0, 0, 0.5, 0.6, 0.5, 0.55, 0, 0])
    [(0, 2), (3, 6), (7, 8)]
    """
    values = np.asarray(series, np.float64)
    n = values.size
    if n == 0:
        return []
    known = np.isfinite(values)
    differences = np.abs(np.diff(values[known]))
    noise = float(np.median(differences)) / 0.954 if differences.size else 0.0
    cost = penalty * np.log(max(n, 2)) * max(noise, least_noise) ** 2
    count = np.concatenate([[0], np.cumsum(known)])
    total = np.concatenate([[0], np.cumsum(np.where(known, values, 0))])
    square = np.concatenate([[0], np.cumsum(np.where(known, values**2, 0))])
    best = np.zeros(n + 1)
    cut = np.zeros(n + 1, np.int64)
    for end in range(1, n + 1):
        begin = np.arange(end)
        m = count[end] - count[:end]
        spread = square[end] - square[:end] - (total[end] - total[:end]) ** 2 / np.maximum(m, 1)
        whole = best[:end] + np.maximum(spread, 0) + cost
        cut[end] = begin[int(np.argmin(whole))]
        best[end] = whole[cut[end]]
    found, end = [], n
    while end > 0:
        found.append((int(cut[end]), end - 1))
        end = int(cut[end])
    return found[::-1]


def zone_changes(shares: pd.DataFrame) -> pd.DataFrame:
    """Find when work in each zone starts and stops.

    Parameters
    ----------
    shares : DataFrame
        One row per kept pair in order of time: reference_date, secondary_date, and one column per zone with
        the share of it that was disturbed (of `insar_mining.activity.timeline.zone_shares`).

    Returns
    -------
    DataFrame
        One row per zone and stretch of constant activity: zone, start (earlier date of its first pair), stop
        (later date of its last pair), pairs, share (mean), worked (share of at least `worked_from`), worked_from
        (the least share that chance does not give, as `zone_shares` leaves it in the table's attributes; 0.05
        where the table has none). A change lies within the pair at which a stretch starts.

    Raises
    ------
    ActivityError
        There are no dates.
    """
    if not {"reference_date", "secondary_date"} <= set(shares.columns):
        raise ActivityError("zone_changes needs the columns reference_date and secondary_date. Take zone_shares.")
    limits = shares.attrs.get("worked_from", {})
    rows = []
    for zone in shares.columns.drop(["pair", "reference_date", "secondary_date"], errors="ignore"):
        values = shares[zone].to_numpy(float)
        limit = float(limits.get(zone, WORKED_SHARE))
        # a change that can be told from chance is not noise
        for first, last in segments(values, least_noise=LEAST_NOISE * limit / WORKED_SHARE):
            part = values[first : last + 1]
            mean = float(np.nanmean(part)) if np.isfinite(part).any() else float("nan")
            rows.append(
                {
                    "zone": str(zone),
                    "start": shares["reference_date"].iloc[first],
                    "stop": shares["secondary_date"].iloc[last],
                    "pairs": last - first + 1,
                    "share": mean,
                    "worked": mean >= limit,
                    "worked_from": limit,
                }
            )
    return pd.DataFrame(rows, columns=list(ZONE_COLUMNS))
