"""Model the spectrum of ESA's processor along one direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.sentinel1.annotation import Bandwidth, SubSwath
from insar_mining.sentinel1.tops import nearest_in_time


@dataclass(frozen=True)
class Spectrum:
    """Describe a Hamming-weighted band, frequencies in cycles per sample (or per line).

    The amplitude is ``W(f) = a + (1 - a) cos(2 pi f / B)`` for ``|f| <= B / 2`` and 0 beyond
    (ESA, Sentinel-1 Level 1 Detailed Algorithm Definition, S1-TN-MDA-52-7445, sections on
    range and azimuth windowing).

    Attributes
    ----------
    band : float
        Processed bandwidth B over the sampling rate, 0..1.
    hamming : float
        Window coefficient a of the annotation, 0.5..1; 1 is no weighting.
    """

    band: float
    hamming: float

    @classmethod
    def of(cls, bandwidth: Bandwidth, sampling_hz: float) -> Spectrum:
        """Take the values of an annotation."""
        return cls(bandwidth.processed_hz / sampling_hz, bandwidth.hamming)

    def amplitude(self, frequency: npt.ArrayLike) -> FloatArray:
        """Compute the weight at frequencies in cycles per sample; 1 in the middle."""
        f = np.asarray(frequency, dtype=np.float64)
        weight = self.hamming + (1 - self.hamming) * np.cos(2 * np.pi * f / self.band)
        return np.where(np.abs(f) <= self.band / 2, weight, 0.0)

    def autocorrelation(self, lag: npt.ArrayLike) -> FloatArray:
        """Compute the correlation of speckle (and of noise) at distances in samples; real, 1 at 0.

        The Fourier transform of ``W**2``, which is three cosines over the band: five sinc functions.
        """
        x = self.band * np.asarray(lag, dtype=np.float64)
        a, b = self.hamming, 1 - self.hamming
        total = (a**2 + b**2 / 2) * np.sinc(x)
        total = total + a * b * (np.sinc(x - 1) + np.sinc(x + 1))
        total = total + b**2 / 4 * (np.sinc(x - 2) + np.sinc(x + 2))
        return np.asarray(total / (a**2 + b**2 / 2))


@dataclass(frozen=True)
class NoiseSpectrum:
    """Hold the spectrum of thermal noise along azimuth, which is wider than that of echoes.

    The processor divides by the antenna pattern of the moving beam, which shaped the echo and not the noise.  The
    power of noise is therefore ``W(f)**2 / sinc(x f)**4`` with ``x = L (ka - ks) / (ka 2 v)``: f in Hz around the
    local Doppler centroid, ka the Doppler rate of a target, ks that of the beam's sweep, v the speed and L the
    length of the antenna (two-way pattern of an aperture; sweep after Miranda, COPE-GSEG-EOPG-TN-14-0025, Eq. 2).

    Attributes
    ----------
    echo : Spectrum
        The processor's window W.
    antenna : float
        x times the line frequency: argument of the sinc per cycle per line.
    """

    echo: Spectrum
    antenna: float

    def power(self, frequency: npt.ArrayLike) -> FloatArray:
        """Return the power at frequencies in cycles per line; 1 in the middle."""
        f = np.asarray(frequency, dtype=np.float64)
        inside = np.abs(f) <= self.echo.band / 2
        pattern = np.sinc(self.antenna * np.where(inside, f, 0.0)) ** 4
        return np.asarray(self.echo.amplitude(f) ** 2 / pattern)

    def autocorrelation(self, lag: npt.ArrayLike) -> FloatArray:
        """Return the correlation of noise at distances in lines; real, 1 at 0."""
        node, weight = np.polynomial.legendre.leggauss(96)
        frequency = node * self.echo.band / 2
        power = self.power(frequency) * weight
        turns = np.multiply.outer(np.asarray(lag, dtype=np.float64), frequency)
        return np.asarray(np.cos(2 * np.pi * turns) @ power / power.sum())


ANTENNA_M = 12.3
"""Length of Sentinel-1's antenna along azimuth."""


def noise_spectrum(swath: SubSwath) -> NoiseSpectrum:
    """Return the spectrum of thermal noise along azimuth in the middle of the sub-swath, around the carrier."""
    burst = swath.bursts[len(swath.bursts) // 2]
    middle = burst.azimuth_time_s + swath.lines_per_burst / 2 * swath.azimuth_time_interval_s
    speed = float(np.linalg.norm(swath.arc().velocity_m_s(middle)))
    sweep = 2 * speed * swath.azimuth_steering_rate_rad_s / swath.wavelength_m
    fm_rate = nearest_in_time(swath.fm_rates, middle)
    target = float(fm_rate(swath.slant_range_time_of(swath.samples_per_burst / 2)))
    factor = ANTENNA_M * (target - sweep) / (target * 2 * speed)
    return NoiseSpectrum(azimuth_spectrum(swath), factor * swath.azimuth_frequency_hz)


def azimuth_spectrum(swath: SubSwath) -> Spectrum:
    """Return the spectrum along the lines of a burst, around the carrier."""
    return Spectrum.of(swath.azimuth_bandwidth, swath.azimuth_frequency_hz)


def range_spectrum(swath: SubSwath) -> Spectrum:
    """Return the spectrum along the samples of a line."""
    return Spectrum.of(swath.range_bandwidth, swath.range_sampling_rate_hz)
