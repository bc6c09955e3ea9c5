"""Model the point-spread function of the processor, and its spectrum.

The processor weights the processed band B of each direction with a Hamming window,
``W(f) = a + (1 - a) cos(2 pi f / B)`` for ``|f| <= B / 2`` (windowCoefficient a of the
annotation; 1 would be no weighting).  The response to a point is its Fourier
transform, three neighbouring sinc functions (Cumming and Wong, Digital Processing of
SAR Data, 2005, section 2.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import FloatArray
from insar_mining.sentinel1.annotation import Bandwidth


@dataclass(frozen=True)
class Response:
    """Describe the Hamming-weighted band of one direction, in cycles per sample.

    Attributes
    ----------
    band : float
        Processed bandwidth over sampling rate, 0..1.
    hamming : float
        Window coefficient of the annotation, 0.5..1.
    """

    band: float
    hamming: float

    @classmethod
    def of(cls, bandwidth: Bandwidth, sampling_hz: float) -> Response:
        """Take the values of an annotation; `sampling_hz` is the rate of samples, or of lines."""
        return cls(bandwidth.processed_hz / sampling_hz, bandwidth.hamming)

    def spectrum(self, frequency: npt.ArrayLike) -> FloatArray:
        """Compute the amplitude at frequencies in cycles per sample, 1 in the middle, 0 outside of the band."""
        f = np.asarray(frequency, dtype=np.float64)
        inside = np.abs(f) <= self.band / 2
        weight = self.hamming + (1 - self.hamming) * np.cos(2 * np.pi * f / self.band)
        return np.where(inside, weight, 0.0)

    def __call__(self, x: npt.ArrayLike) -> FloatArray:
        """Return the response at distances `x` in samples, 1 at its peak."""
        u = self.band * np.asarray(x, dtype=np.float64)
        side = (1 - self.hamming) / 2
        return np.asarray((self.hamming * np.sinc(u) + side * (np.sinc(u - 1) + np.sinc(u + 1))) / self.hamming)

    @property
    def energy(self) -> float:
        """Compute the integral of the squared response, in samples (Parseval)."""
        a = self.hamming
        return (a**2 + (1 - a) ** 2 / 2) / (a**2 * self.band)

    def overlap(self, shift: npt.ArrayLike) -> FloatArray:
        """Compute the coherence of two such spectra that are `shift` cycles per sample apart, 0..1.

        The normalised autocorrelation of W, integrated in closed form.  Without weighting it
        is the triangle ``1 - s / band`` of the critical baseline; the Hamming window, weak at
        the band's edges, loses less.
        """
        a, b = self.hamming, 1 - self.hamming
        s = np.minimum(np.abs(np.asarray(shift, dtype=np.float64)) / self.band, 1.0)
        # common part u = -1/2 .. 1/2 - s of W(u) W(u + s), u = f / band
        low, high = -0.5, 0.5 - s
        tau = 2 * np.pi

        def sine(x: npt.ArrayLike) -> FloatArray:
            return np.sin(tau * np.asarray(x, dtype=np.float64))

        single = (sine(high) - sine(low)) / tau + (sine(high + s) - sine(low + s)) / tau
        double = 0.5 * (high - low) * np.cos(tau * s) + (sine(2 * high + s) - sine(2 * low + s)) / (4 * tau)
        total = a**2 * (high - low) + a * b * single + b**2 * double
        return np.asarray(total / (a**2 + b**2 / 2))
