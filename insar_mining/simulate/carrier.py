"""Compute the TOPS azimuth carrier from the acquisition, not from the reader's ramp.

The antenna sweeps its beam forward during a burst, so the Doppler frequency at the beam
centre grows with raw time t as ``f = k_s t``, ``k_s = 2 v omega / lambda``.  A target
seen with frequency f at raw time t is focused to its zero-Doppler time
``eta = t - f / k_a`` (k_a < 0 is the target's own FM rate).  Eliminating t gives the
frequency of the focused image, ``f = k_t eta`` with ``1 / k_t = 1 / k_s - 1 / k_a``.
A Doppler centroid f_dc (squint) tilts the raw beam, and moves the focused time at which the
beam centre has the frequency f_dc to ``-f_dc / k_a`` after the burst's middle, counted
from mid-swath: ESA, COPE-GSEG-EOPG-TN-14-0025, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.sentinel1.annotation import RangePolynomial, SubSwath
from insar_mining.simulate.geometry import trajectory

SPEED_OF_LIGHT_M_S = 299_792_458.0


ANTENNA_M = 12.3  # length along azimuth


@dataclass(frozen=True, eq=False)
class Carrier:
    """Hold carrier parameters at given ranges of one burst; arrays of one shape.

    ``phase(eta) = pi * rate * (eta - origin)**2 + 2 pi * centroid * (eta - origin)``, with
    `eta` in seconds from the product's epoch.
    """

    rate_hz_s: FloatArray
    origin_s: FloatArray
    centroid_hz: FloatArray

    def phase_rad(self, time_s: npt.ArrayLike) -> FloatArray:
        """Compute the phase at times that broadcast against the parameters, radians."""
        x = np.asarray(time_s, dtype=np.float64) - self.origin_s
        return np.asarray(2 * np.pi * x * (self.centroid_hz + 0.5 * self.rate_hz_s * x))

    def frequency_hz(self, time_s: npt.ArrayLike) -> FloatArray:
        """Compute the centre of the azimuth spectrum at times that broadcast against the parameters."""
        return np.asarray(self.centroid_hz + self.rate_hz_s * (np.asarray(time_s, float) - self.origin_s))


def burst_carrier(swath: SubSwath, burst_index: int, range_time_s: npt.ArrayLike) -> Carrier:
    """Compute the carrier of a burst at two-way slant-range times (seconds), any shape."""
    middle = swath.bursts[burst_index].azimuth_time_s + 0.5 * swath.lines_per_burst * swath.azimuth_time_interval_s
    path = trajectory(swath.orbit, middle - 1.0, middle + 1.0)
    speed = float(np.sqrt(np.sum(path.velocity_m_s(middle) ** 2)))
    wavelength = SPEED_OF_LIGHT_M_S / swath.radar_frequency_hz
    sweep = 2 * speed * swath.azimuth_steering_rate_rad_s / wavelength
    target_rate = _closest(swath.fm_rates, middle)
    centroid = _closest(swath.doppler_centroids, middle)

    tau = np.asarray(range_time_s, dtype=np.float64)
    mid_swath = swath.slant_range_time_s + 0.5 * swath.samples_per_burst / swath.range_sampling_rate_hz
    own_rate, own_centroid = _value(target_rate, tau), _value(centroid, tau)
    rate = 1.0 / (1.0 / sweep - 1.0 / own_rate)
    at_mid_swath = _value(centroid, np.asarray(mid_swath)) / _value(target_rate, np.asarray(mid_swath))
    return Carrier(rate, middle - own_centroid / own_rate + at_mid_swath, own_centroid)


def antenna_pattern(swath: SubSwath, burst_index: int, doppler_hz: FloatArray) -> FloatArray:
    """Compute the two-way amplitude of the beam at Doppler frequencies from the local centroid, 1 in its middle.

    A target at the angle theta from the axis of an aperture of length L is seen with ``sinc(L theta / lambda)**2``
    and with the Doppler frequency ``2 v theta / lambda``.  The beam sweeps along: the burst's spectrum at one place
    runs through angles faster than through frequencies, by the ratio of the rates of sweep and target.
    """
    middle = swath.bursts[burst_index].azimuth_time_s + 0.5 * swath.lines_per_burst * swath.azimuth_time_interval_s
    path = trajectory(swath.orbit, middle - 1.0, middle + 1.0)
    speed = float(np.sqrt(np.sum(path.velocity_m_s(middle) ** 2)))
    wavelength = SPEED_OF_LIGHT_M_S / swath.radar_frequency_hz
    sweep = 2 * speed * swath.azimuth_steering_rate_rad_s / wavelength
    mid_swath = swath.slant_range_time_s + 0.5 * swath.samples_per_burst / swath.range_sampling_rate_hz
    own_rate = float(_value(_closest(swath.fm_rates, middle), np.asarray(mid_swath)))
    angle = wavelength * doppler_hz * (1.0 - sweep / own_rate) / (2 * speed)
    return np.asarray(np.sinc(ANTENNA_M * angle / wavelength) ** 2)


def _closest(polynomials: tuple[RangePolynomial, ...], time_s: float) -> RangePolynomial:
    distance = [abs(p.azimuth_time_s - time_s) for p in polynomials]
    return polynomials[int(np.argmin(distance))]


def _value(polynomial: RangePolynomial, tau: FloatArray) -> FloatArray:
    """Evaluate by Horner's rule in tau - t0, each polynomial with its own t0."""
    x = tau - polynomial.t0_s
    total = np.zeros_like(x)
    for coefficient in reversed(polynomial.coefficients):
        total = total * x + coefficient
    return total
