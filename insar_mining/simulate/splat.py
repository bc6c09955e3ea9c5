"""Grid scatterers with short kernels, summed by numba.

A sum of long band-limited responses is made in two steps, as in a nonuniform FFT
(Beatty et al. 2005, doi:10.1109/TMI.2005.848376): scatterers are spread with a short
Kaiser-Bessel kernel, and the spectrum of the whole image is then multiplied by the
processor's window over the kernel's spectrum.  The grid oversamples the band (the
sampling of Sentinel-1), so that images of the kernel's spectrum fall where the window
is zero.  What leaks is largest at the band's edge, ``2 r exp(-r)`` of the amplitude with
``r = pi width sqrt(1 - band)``, and is kept below 5e-4 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numba import prange
from scipy.special import i0

from insar_mining.arrays import ComplexArray, Float32Array, FloatArray
from insar_mining.jit import njit
from insar_mining.simulate.spectrum import Response

BLOCK_LINES = 32
TABLE_STEPS = 1024  # table entries per sample; read with linear interpolation
MAX_LEAKAGE = 5e-4


@dataclass(frozen=True)
class Kernel:
    """Hold a Kaiser-Bessel gridding kernel for a band.

    Attributes
    ----------
    width : int
        Full width in samples (even).
    beta : float
    """

    width: int
    beta: float

    @classmethod
    def of(cls, response: Response) -> Kernel:
        """Return the shortest kernel of even width that leaks less than 5e-4 (amplitude) into the band."""
        width = 4
        while _leakage(width, response.band) > MAX_LEAKAGE:
            width += 2
        return cls(width, float(np.pi * width * (1 - response.band / 2)))

    @property
    def half(self) -> int:
        """Half of the width, samples."""
        return self.width // 2

    @cached_property
    def table(self) -> npt.NDArray[np.float32]:
        """Values at k / TABLE_STEPS samples from the middle, with one zero beyond the end."""
        x = np.arange(self.half * TABLE_STEPS + 2) / TABLE_STEPS / self.half
        inside = np.where(x <= 1, 1 - x**2, 0.0)
        values = np.where(x <= 1, i0(self.beta * np.sqrt(inside)) / i0(self.beta), 0.0)
        return np.asarray(values, dtype=np.float32)

    def spectrum(self, frequency: npt.ArrayLike) -> FloatArray:
        """Compute the Fourier transform at frequencies in cycles per sample (inside the band, where it is positive)."""
        f = np.asarray(frequency, dtype=np.float64)
        root = np.sqrt(np.maximum(self.beta**2 - (np.pi * self.width * f) ** 2, 1e-12))
        return np.asarray(self.width * np.sinh(root) / (root * i0(self.beta)))


def _leakage(width: int, band: float) -> float:
    root = np.pi * width * np.sqrt(1 - band)
    return float(2 * root * np.exp(-root))


def splat(
    planes: Float32Array,
    line: FloatArray,
    sample: FloatArray,
    amplitude: ComplexArray,
    frequency: FloatArray,
    chirp: FloatArray,
    azimuth: Kernel,
    range_: Kernel,
) -> None:
    """Add scatterers to an image.

    At line l and sample s a scatterer adds ``amplitude * azimuth(l - line) *
    range_(s - sample) * exp(2j pi (frequency * x + chirp * x**2 / 2))``, ``x = l - line``.
    Blocks of lines run in parallel; inside a pixel the scatterers are always added in the
    order of the list, so that the image does not depend on the number of threads.

    Parameters
    ----------
    planes : ndarray of float32, shape (lines, 2, samples)
        Real and imaginary rows side by side; changed in place.
    line : ndarray, shape (n,), increasing
    sample, frequency, chirp : ndarray, shape (n,)
        Samples; cycles per line; cycles per line squared.
    amplitude : ndarray of complex128, shape (n,)
    """
    lines = planes.shape[0]
    starts = np.arange(0, lines, BLOCK_LINES)
    first = np.searchsorted(line, starts - azimuth.half, side="left")
    last = np.searchsorted(line, np.minimum(starts + BLOCK_LINES, lines) - 1 + azimuth.half, side="right")
    _splat(
        planes, first, last, line, sample, amplitude, frequency, chirp,
        azimuth.table, azimuth.half, range_.table, range_.half,
    )  # fmt: skip


@njit(parallel=True)
def _splat(planes, first, last, line, sample, amplitude, frequency, chirp, table_a, half_a, table_r, half_r):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    lines, _, samples = planes.shape
    for block in prange(first.size):
        low = block * BLOCK_LINES
        high = min(low + BLOCK_LINES, lines)
        weight = np.empty(2 * half_r, dtype=np.float32)
        for i in range(first[block], last[block]):
            s0 = max(int(np.floor(sample[i])) - half_r + 1, 0)
            s1 = min(int(np.floor(sample[i])) + half_r + 1, samples)
            l0 = max(int(np.floor(line[i])) - half_a + 1, low)
            l1 = min(int(np.floor(line[i])) + half_a + 1, high)
            if s1 <= s0 or l1 <= l0:
                continue
            for s in range(s0, s1):
                position = abs(s - sample[i]) * TABLE_STEPS
                k = int(position)
                weight[s - s0] = table_r[k] + np.float32(position - k) * (table_r[k + 1] - table_r[k])
            x = l0 - line[i]
            carrier = np.exp(2j * np.pi * (frequency[i] * x + 0.5 * chirp[i] * x * x)) * amplitude[i]
            step = np.exp(2j * np.pi * (frequency[i] + chirp[i] * (x + 0.5)))
            bend = np.exp(2j * np.pi * chirp[i])
            for row in range(l0, l1):
                position = abs(row - line[i]) * TABLE_STEPS
                k = int(position)
                height = table_a[k] + np.float32(position - k) * (table_a[k + 1] - table_a[k])
                real = np.float32(carrier.real) * height
                imag = np.float32(carrier.imag) * height
                for j in range(s1 - s0):
                    planes[row, 0, s0 + j] += weight[j] * real
                    planes[row, 1, s0 + j] += weight[j] * imag
                carrier *= step
                step *= bend
