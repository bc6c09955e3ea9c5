"""Sum of band-limited point responses, and noise of the same band: the inner loops.

Both kernels are parallel over blocks of lines.  Inside a pixel the scatterers are
always added in the order of the list, whatever the blocks, so that the image does
not depend on the number of threads, bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from insar_mining.simulate.spectrum import TABLE_STEPS, Response

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Image = npt.NDArray[np.float32]

BLOCK_LINES = 32


def splat(
    image: Image,
    line: FloatArray,
    sample: FloatArray,
    amplitude: ComplexArray,
    frequency: FloatArray,
    chirp: FloatArray,
    azimuth: Response,
    range_: Response,
) -> None:
    """Add the responses of scatterers to an image.

    At line l and sample s the scatterer adds ``amplitude * azimuth(l - line) *
    range_(s - sample) * exp(2j pi (frequency * x + chirp * x**2 / 2))``, ``x = l - line``.

    Parameters
    ----------
    image : ndarray of float32, shape (lines, 2, samples)
        Real and imaginary rows side by side; changed in place.
    line : ndarray, shape (n,), increasing
    sample, frequency, chirp : ndarray, shape (n,)
        Samples; cycles per line; cycles per line squared.
    amplitude : ndarray of complex128, shape (n,)
    """
    lines = image.shape[0]
    starts = np.arange(0, lines, BLOCK_LINES)
    first = np.searchsorted(line, starts - azimuth.half_width, side="left")
    last = np.searchsorted(line, np.minimum(starts + BLOCK_LINES, lines) - 1 + azimuth.half_width, side="right")
    _splat(
        image, first, last, line, sample, amplitude, frequency, chirp,
        azimuth.table.astype(np.float32), azimuth.half_width, range_.table.astype(np.float32), range_.half_width,
    )  # fmt: skip


@njit(parallel=True, cache=True, fastmath={"contract", "arcp", "nsz"})  # type: ignore[untyped-decorator]
def _splat(
    image, first, last, line, sample, amplitude, frequency, chirp, table_a, half_a, table_r, half_r
):  # type: ignore[no-untyped-def]
    lines, _, samples = image.shape
    for block in prange(first.size):
        low = block * BLOCK_LINES
        high = min(low + BLOCK_LINES, lines)
        weight = np.empty(2 * half_r + 1, dtype=np.float32)
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
                part = np.float32(position - k)
                weight[s - s0] = table_r[k] + part * (table_r[k + 1] - table_r[k])
            x = l0 - line[i]
            carrier = np.exp(2j * np.pi * (frequency[i] * x + 0.5 * chirp[i] * x * x)) * amplitude[i]
            step = np.exp(2j * np.pi * (frequency[i] + chirp[i] * (x + 0.5)))
            bend = np.exp(2j * np.pi * chirp[i])
            count = s1 - s0
            for l in range(l0, l1):
                position = abs(l - line[i]) * TABLE_STEPS
                k = int(position)
                part = np.float32(position - k)
                height = table_a[k] + part * (table_a[k + 1] - table_a[k])
                real = np.float32(carrier.real * height)
                imag = np.float32(carrier.imag * height)
                row_re = image[l, 0, s0:s1]
                row_im = image[l, 1, s0:s1]
                for j in range(count):
                    row_re[j] += weight[j] * real
                    row_im[j] += weight[j] * imag
                carrier *= step
                step *= bend


def band_limited_noise(
    shape: tuple[int, int], azimuth: Response, range_: Response, rng: np.random.Generator
) -> npt.NDArray[np.complex64]:
    """Circular Gaussian noise of unit power with the spectrum of the processor, at baseband.

    White noise on the grid, filtered by the same responses as the scatterers: receiver
    noise passes the same matched filter and the same windows as the echo.

    Returns
    -------
    ndarray of complex64, shape `shape`
    """
    lines, samples = shape
    ha, hr = azimuth.half_width, range_.half_width
    fa = azimuth(np.arange(-ha, ha + 1))
    fr = range_(np.arange(-hr, hr + 1))
    fa, fr = fa / np.linalg.norm(fa), fr / np.linalg.norm(fr) * np.sqrt(0.5)
    white = rng.standard_normal((lines + 2 * ha, 2 * (samples + 2 * hr)), dtype=np.float32)
    return np.asarray(
        _filter(white.view(np.complex64), fa.astype(np.float32), fr.astype(np.float32), lines, samples)
    )


@njit(parallel=True, cache=True, fastmath={"contract", "arcp", "nsz"})  # type: ignore[untyped-decorator]
def _filter(white, fa, fr, lines, samples):  # type: ignore[no-untyped-def]
    narrow = np.empty((white.shape[0], samples), dtype=np.complex64)
    for l in prange(white.shape[0]):
        row = narrow[l]
        row[:] = 0
        for k in range(fr.size):
            weight = fr[k]
            for s in range(samples):
                row[s] += weight * white[l, s + k]
    result = np.empty((lines, samples), dtype=np.complex64)
    for l in prange(lines):
        row = result[l]
        row[:] = 0
        for k in range(fa.size):
            weight = fa[k]
            for s in range(samples):
                row[s] += weight * narrow[l + k, s]
    return result
