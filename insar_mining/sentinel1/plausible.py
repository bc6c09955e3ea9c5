"""Whether an annotation holds numbers of Sentinel-1's IW mode, and agrees with itself.

One digit that is wrong moves a map by kilometres and raises no error.  Two parts of an annotation say the same, and
were computed independently: the tie points, and the orbit with the timing of the image.  On real annotations of three
products they agree within 1 mm; simulated scenes have orbits that were moved by some hundred metres.  In products of
processor versions up to 3.10 they differ by up to the relief, by 0.83 km where the terrain of a sub-swath spans 1.3 km.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from insar_mining.arrays import FloatArray
from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import SPEED_OF_LIGHT_M_S, Bandwidth, RangePolynomial, SubSwath
from insar_mining.sentinel1.orbit import Orbit

# least and greatest values, wide around those of IW (ESA, Sentinel-1 Product Specification, S1-RS-MDA-52-7441)
LIMITS = {
    "radar_frequency_hz": (5.3e9, 5.5e9),
    "range_sampling_rate_hz": (1e7, 1e8),
    "slant_range_time_s": (4e-3, 8e-3),
    "azimuth_time_interval_s": (5e-4, 1e-2),
    "azimuth_frequency_hz": (100.0, 5000.0),
    "azimuth_steering_rate_rad_s": (1e-3, 0.1),
    "lines_per_burst": (1, 10_000),
    "samples_per_burst": (1, 100_000),
}
FM_RATE_HZ_S = (-10_000.0, -500.0)
MOST_CENTROID_HZ = 10_000.0
MOST_HEIGHT_M = 10_000.0
MOST_COEFFICIENTS = 10
# of a polynomial's time from the nearest burst
MOST_AWAY_S = 300.0

# tie points from the image's own range, samples; and from where the orbit sees them, metres
MOST_RANGE_MISFIT_SAMPLES = 2.0
MOST_TIE_POINT_MISFIT_M = 1000.0
# bursts follow one another every 2.7583 s; where some were left out, after a multiple of that.  In real annotations
# single ones come 12 ms early or late.
BURST_CYCLE_S, MOST_BURST_JITTER_S = 2.7583, 0.1

_TO_EARTH_FIXED = Transformer.from_crs(4979, 4978, always_xy=True)


def check_plausible(swath: SubSwath, source: str) -> None:
    """Check the numbers of an annotation against their limits and against one another.

    Parameters
    ----------
    swath : SubSwath
        As its file has it, with its own state vectors.
    source : str
        The file, for the message.

    Raises
    ------
    ProductError
        A number is not finite or out of its limits, or two parts of the annotation contradict each other.
    """
    fault = (
        _fault_of_numbers(swath)
        or _fault_of_bursts(swath)
        or _fault_of_polynomials(swath)
        or _fault_of_tie_points(swath)
    )
    if fault is not None:
        raise ProductError(f"{source}: {fault}. The annotation is damaged. Fetch the product again.")


def _fault_of_numbers(swath: SubSwath) -> str | None:
    for name, (low, high) in LIMITS.items():
        value = getattr(swath, name)
        if not low <= value <= high:
            return f"{name} is {value:g} (limits {low:g} and {high:g})"
    for name, band in (("range", swath.range_bandwidth), ("azimuth", swath.azimuth_bandwidth)):
        if not _is_bandwidth(band):
            return f"the {name} bandwidth is not possible ({band})"
    return None


def _is_bandwidth(band: Bandwidth) -> bool:
    return 0 < band.processed_hz <= 1.01 * band.total_hz < 1e9 and 0 < band.hamming <= 1


def _fault_of_bursts(swath: SubSwath) -> str | None:
    times = np.array([burst.azimuth_time_s for burst in swath.bursts])
    steps = np.diff(times)
    if not np.isfinite(times).all() or (steps <= 0.0).any():
        return f"its bursts do not follow one another (times {times[:3]} ...)"
    if steps.size:
        jitter = np.abs(steps - BURST_CYCLE_S * np.round(steps / BURST_CYCLE_S)).max()
        if jitter > MOST_BURST_JITTER_S:
            return f"the time between its bursts jumps by {jitter:.3g} s (limit {MOST_BURST_JITTER_S:g} s)"
    for burst in swath.bursts:
        first, last = burst.first_valid_sample, burst.last_valid_sample
        is_valid = first >= 0
        if (last[is_valid] < first[is_valid]).any() or max(first.max(), last.max()) >= swath.samples_per_burst:
            return f"burst {burst.index + 1} has valid samples beyond its {swath.samples_per_burst} samples"
    return None


def _fault_of_polynomials(swath: SubSwath) -> str | None:
    start, stop = swath.bursts[0].azimuth_time_s, swath.bursts[-1].azimuth_time_s
    middle = swath.slant_range_time_of(swath.samples_per_burst / 2)

    def fault(name: str, polynomial: RangePolynomial, low: float, high: float) -> str | None:
        short, long = LIMITS["slant_range_time_s"]
        is_near = start - MOST_AWAY_S <= polynomial.azimuth_time_s <= stop + MOST_AWAY_S
        known = 1 <= len(polynomial.coefficients) <= MOST_COEFFICIENTS and short <= polynomial.t0_s <= long
        value = float(polynomial(middle)) if known else np.nan
        return None if is_near and low <= value <= high else f"{name} of {value:g} (limits {low:g} and {high:g})"

    for rate in swath.fm_rates:
        if found := fault("an azimuth FM rate", rate, *FM_RATE_HZ_S):
            return found
    for centroid in swath.doppler_centroids:
        if found := fault("a Doppler centroid", centroid, -MOST_CENTROID_HZ, MOST_CENTROID_HZ):
            return found
    return None


def _fault_of_tie_points(swath: SubSwath) -> str | None:
    grid = swath.geolocation
    if not all(np.isfinite(values).all() for values in vars(grid).values()):
        return "a tie point is not a finite number"
    if np.abs(grid.latitude_deg).max() > 90 or np.abs(grid.longitude_deg).max() > 360:
        return "a tie point is no place on Earth"
    if np.abs(grid.height_m).max() > MOST_HEIGHT_M or not (
        0 < grid.incidence_deg.min() < grid.incidence_deg.max() < 90
    ):
        return "a tie point has a height or an incidence angle that is not possible"
    misfit = np.abs(grid.slant_range_time_s - swath.slant_range_time_of(grid.sample)).max()
    if misfit * swath.range_sampling_rate_hz > MOST_RANGE_MISFIT_SAMPLES:
        return (
            f"tie points lie {misfit * swath.range_sampling_rate_hz:.3g} samples from the image's slant range (limit "
            f"{MOST_RANGE_MISFIT_SAMPLES:g})"
        )
    # processors up to version 3.10 placed all tie points of a sub-swath on one height, and list that of the terrain
    limit = MOST_TIE_POINT_MISFIT_M + float(np.ptp(grid.height_m))
    away = _misfit_of_orbit_m(swath)
    return (
        None if away <= limit else f"tie points lie {away:,.0f} m from where the orbit sees them (limit {limit:,.0f} m)"
    )


def _misfit_of_orbit_m(swath: SubSwath) -> float:
    """Compute how far tie points lie from their slant range as the orbit sees it, at most; 0 without an orbit."""
    grid, orbit = swath.geolocation, swath.orbit
    if orbit.time_s.size < 2 or not (np.isfinite(orbit.position_m).all() and np.isfinite(orbit.velocity_m_s).all()):
        return 0.0  # an orbit file may take its place
    covered = (grid.azimuth_time_s >= orbit.time_s[0]) & (grid.azimuth_time_s <= orbit.time_s[-1])
    if not covered.any():
        return 0.0
    places = _TO_EARTH_FIXED.transform(grid.longitude_deg[covered], grid.latitude_deg[covered], grid.height_m[covered])
    distance = np.linalg.norm(np.stack(places, axis=-1) - _position_m(orbit, grid.azimuth_time_s[covered]), axis=-1)
    return float(np.nanmax(np.abs(distance - SPEED_OF_LIGHT_M_S / 2 * grid.slant_range_time_s[covered]), initial=0.0))


def _position_m(orbit: Orbit, time_s: npt.NDArray[np.float64]) -> FloatArray:
    """Interpolate positions between state vectors by cubic Hermite polynomials."""
    i = np.clip(np.searchsorted(orbit.time_s, time_s) - 1, 0, orbit.time_s.size - 2)
    step = (orbit.time_s[i + 1] - orbit.time_s[i])[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):  # two vectors of one time are refused with the arc
        u = (time_s - orbit.time_s[i])[:, np.newaxis] / step
    place, velocity = orbit.position_m, orbit.velocity_m_s
    return np.asarray(
        (2 * u**3 - 3 * u**2 + 1) * place[i]
        + (u**3 - 2 * u**2 + u) * step * velocity[i]
        + (3 * u**2 - 2 * u**3) * place[i + 1]
        + (u**3 - u**2) * step * velocity[i + 1]
    )
