"""The point-spread function of the processor, and what its spectrum implies.

The processor weights the processed band B of each direction with a Hamming window,
``W(f) = a + (1 - a) cos(2 pi f / B)`` for ``|f| <= B / 2`` (windowCoefficient a of the
annotation; 1 would be no weighting).  The response to a point is its Fourier
transform, three neighbouring sinc functions (Cumming and Wong, Digital Processing of
SAR Data, 2005, section 2.4).  A sum over scatterers needs a response of finite length,
so the tails are tapered by a Kaiser window.  The taper depends on the continuous
distance only: the simulated image stays exactly shift invariant, its spectrum is the
Hamming spectrum with edges softened by a few percent of the band, and no truncation
noise arises.  Everything that the truth needs (energy, spectral overlap) is taken from
the tapered response itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import i0

from insar_mining.sentinel1.annotation import Bandwidth

FloatArray = npt.NDArray[np.float64]

KAISER_BETA = 4.0
TABLE_STEPS = 512  # table entries per sample; read with linear interpolation
OVERLAP_STEPS = 64


def hamming_response(x: npt.ArrayLike, band: float, hamming: float) -> FloatArray:
    """Response of an ideal Hamming-weighted band at distances `x` in samples, 1 at its peak.

    Parameters
    ----------
    x : array_like
        Distances in samples.
    band : float
        Processed bandwidth over sampling rate, 0..1.
    hamming : float
        Window coefficient, 0.5..1.
    """
    u = band * np.asarray(x, dtype=np.float64)
    side = (1 - hamming) / 2
    return np.asarray((hamming * np.sinc(u) + side * (np.sinc(u - 1) + np.sinc(u + 1))) / hamming)


@dataclass(frozen=True)
class Response:
    """Tapered point response of one direction, on a continuous distance in samples.

    Attributes
    ----------
    band : float
        Processed bandwidth over sampling rate.
    hamming : float
        Window coefficient of the annotation.
    half_width : int
        Samples on either side; the response is zero from there on.
    """

    band: float
    hamming: float
    half_width: int

    def __call__(self, x: npt.ArrayLike) -> FloatArray:
        """Evaluate at distances in samples, any shape; 1 at the peak."""
        x = np.asarray(x, dtype=np.float64)
        inside = np.abs(x) < self.half_width
        edge = np.sqrt(np.where(inside, 1 - (x / self.half_width) ** 2, 0.0))
        taper = np.where(inside, i0(KAISER_BETA * edge) / i0(KAISER_BETA), 0.0)
        return np.asarray(hamming_response(x, self.band, self.hamming) * taper)

    @cached_property
    def table(self) -> FloatArray:
        """Values at ``k / TABLE_STEPS`` samples, k = 0 .. half_width * TABLE_STEPS + 1."""
        return self(np.arange(self.half_width * TABLE_STEPS + 2) / TABLE_STEPS)

    @cached_property
    def energy(self) -> float:
        """Integral of the squared response, in samples."""
        return float(self.overlap(0.0) * self._raw_energy)

    @cached_property
    def _raw_energy(self) -> float:
        _, square = self._squared
        return float(square.sum() / OVERLAP_STEPS)

    @cached_property
    def _squared(self) -> tuple[FloatArray, FloatArray]:
        count = self.half_width * OVERLAP_STEPS
        x = np.arange(-count, count + 1) / OVERLAP_STEPS
        return x, self(x) ** 2

    def overlap(self, shift: npt.ArrayLike) -> FloatArray:
        """Coherence that is left when two spectra lie `shift` cycles per sample apart.

        The normalised autocorrelation of the spectrum, which is the transform of the
        squared response (real, because the response is even).

        Parameters
        ----------
        shift : array_like
            Spectral shift in cycles per sample, any shape.
        """
        shift = np.asarray(shift, dtype=np.float64)
        x, square = self._squared
        largest = float(np.abs(shift).max(initial=0.0))
        if shift.size <= 4096:
            return np.asarray(np.cos(2 * np.pi * shift[..., None] * x) @ square / square.sum())
        knots = np.linspace(0.0, max(largest, 1e-6), 4096)
        return np.asarray(np.interp(np.abs(shift), knots, self.overlap(knots)))


RANGE_HALF_WIDTH = 12
AZIMUTH_HALF_WIDTH = 9


def range_response(bandwidth: Bandwidth, sampling_hz: float) -> Response:
    """Response in range; 12 samples either side (see the module's test for the error)."""
    return Response(bandwidth.processed_hz / sampling_hz, bandwidth.hamming, RANGE_HALF_WIDTH)


def azimuth_response(bandwidth: Bandwidth, line_hz: float) -> Response:
    """Response in azimuth; 9 lines either side, enough because lines oversample the band by half."""
    return Response(bandwidth.processed_hz / line_hz, bandwidth.hamming, AZIMUTH_HALF_WIDTH)
