"""Model the spectrum of ESA's processor along one direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.sentinel1.annotation import Bandwidth, SubSwath


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


def azimuth_spectrum(swath: SubSwath) -> Spectrum:
    """Return the spectrum along the lines of a burst, around the carrier."""
    return Spectrum.of(swath.azimuth_bandwidth, swath.azimuth_frequency_hz)


def range_spectrum(swath: SubSwath) -> Spectrum:
    """Return the spectrum along the samples of a line."""
    return Spectrum.of(swath.range_bandwidth, swath.range_sampling_rate_hz)
