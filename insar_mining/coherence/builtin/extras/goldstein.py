"""Filter interferometric phase adaptively (Goldstein and Werner).

Patches of the interferogram are transformed, each spectrum is multiplied by its own smoothed
magnitude to the power alpha, and the filtered patches are added with triangular
weights (Goldstein & Werner 1998, doi:10.1029/1998GL900033, Eq. 3).  Parameters have the names and the
meaning of SNAP's GoldsteinPhaseFiltering: step of a quarter of a patch, magnitude smoothed
by a boxcar.  The filter makes phase; coherence is estimated before it and is not changed by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import uniform_filter

from insar_mining.arrays import Complex64Array, Float32Array
from insar_mining.errors import OptionError

FFT_SIZES = (32, 64, 128, 256)
WINDOW_SIZES = (3, 5, 7)
STEPS_PER_PATCH = 4


@dataclass(frozen=True)
class PhaseFilter:
    """Hold parameters of the Goldstein filter.

    Attributes
    ----------
    alpha : float, 0..1
        Exponent; 0 leaves the interferogram as it is.
    fft_size : int
        Side of a patch: 32, 64, 128 or 256 pixels.
    window_size : int
        Side of the boxcar that smooths the magnitude of a spectrum: 3, 5 or 7.
    use_adaptive_alpha : bool
        Replace `alpha`, patch by patch, by ``1 - mean coherence`` between `alpha_min` and `alpha_max`
        (Baran et al. 2003, doi:10.1109/TGRS.2003.817212).
    use_coherence_mask : bool
        Leave pixels of a coherence below `coherence_threshold` (or without one) unfiltered.

    Raises
    ------
    OptionError
        A parameter is out of range.
    """

    alpha: float = 1.0
    fft_size: int = 64
    window_size: int = 3
    use_adaptive_alpha: bool = False
    alpha_min: float = 0.2
    alpha_max: float = 1.0
    use_coherence_mask: bool = False
    coherence_threshold: float = 0.2

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        if not 0 <= self.alpha <= 1:
            raise OptionError(f"alpha {self.alpha}: from 0 (no filter) to 1 (default 1)")
        if self.fft_size not in FFT_SIZES:
            raise OptionError(f"FFT size {self.fft_size}: one of 32, 64, 128, 256 (default 64)")
        if self.window_size not in WINDOW_SIZES:
            raise OptionError(f"window size {self.window_size}: one of 3, 5, 7 (default 3)")
        if not 0 <= self.alpha_min <= self.alpha_max <= 1:
            raise OptionError(f"alpha from {self.alpha_min} to {self.alpha_max}: 0 <= minimum <= maximum <= 1")
        if not 0 <= self.coherence_threshold <= 1:
            raise OptionError(f"coherence threshold {self.coherence_threshold}: from 0 to 1 (default 0.2)")


def goldstein(
    interferogram: Complex64Array,
    coherence: Float32Array | None = None,
    phase_filter: PhaseFilter | None = None,
    *,
    first_line: int = 0,
    first_sample: int = 0,
) -> Complex64Array:
    """Filter the phase of an interferogram.

    Parameters
    ----------
    interferogram : ndarray of complex64, shape (lines, samples)
        NaN is not data: it enters as 0 and stays NaN.
    coherence : ndarray of float32, same shape, optional
        Needed by the mask and by the adaptive exponent only; read, never changed.
    phase_filter : PhaseFilter, optional
        By default one of its default parameters.
    first_line, first_sample : int
        Place of the block in the burst.  Patches start at multiples of a quarter of their side
        of the burst, whatever the block.

    Returns
    -------
    ndarray of complex64, shape (lines, samples)
        The filtered interferogram.  Its magnitude is that of the filter, up to a factor that
        changes from patch to patch; its phase is what it is made for.

    Raises
    ------
    OptionError
        The coherence is missing or of another shape.

    Notes
    -----
    A pixel's value depends on ``fft_size - 1`` lines and samples on every side.  Patches reach over
    the image's edge, where they hold zeros.
    """
    chosen = phase_filter or PhaseFilter()
    if (chosen.use_coherence_mask or chosen.use_adaptive_alpha) and coherence is None:
        raise OptionError("a coherence mask or an adaptive exponent needs the coherence. Pass it, or switch both off.")
    if coherence is not None and coherence.shape != interferogram.shape:
        raise OptionError(f"coherence of shape {coherence.shape} for an interferogram of shape {interferogram.shape}")
    missing = ~np.isfinite(interferogram)
    known = np.where(missing, np.complex64(0), interferogram)
    total = np.zeros(interferogram.shape, np.complex128)
    weight = np.zeros(interferogram.shape, np.float64)
    taper = _triangle(chosen.fft_size)
    for place, inside in _patches(interferogram.shape, chosen.fft_size, first_line, first_sample):
        patch = np.zeros((chosen.fft_size, chosen.fft_size), np.complex128)
        patch[inside] = known[place]
        if chosen.use_adaptive_alpha and coherence is not None:
            exponent = _adaptive_alpha(coherence[place], chosen.alpha_min, chosen.alpha_max)
        else:
            exponent = chosen.alpha
        total[place] += (_filtered(patch, exponent, chosen.window_size) * taper)[inside]
        weight[place] += taper[inside]
    out: Complex64Array = (total / weight).astype(np.complex64)
    if chosen.use_coherence_mask and coherence is not None:
        kept = ~(coherence >= chosen.coherence_threshold)
        out[kept] = interferogram[kept]
    out[missing] = np.nan
    return out


def _triangle(size: int) -> npt.NDArray[np.float64]:
    """Compute the weights of a patch, a pyramid that is nowhere 0."""
    side = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (size / 2)
    return np.outer(side, side)


Patch = tuple[slice, slice]


def _patches(shape: tuple[int, ...], size: int, first_line: int, first_sample: int) -> Iterator[tuple[Patch, Patch]]:
    """List the position of each patch in the block, and the part of the patch inside it."""
    step = size // STEPS_PER_PATCH
    axes = []
    for count, first in ((shape[0], first_line), (shape[1], first_sample)):
        # the patches that touch the block start at multiples of the step of the burst
        starts = range((first - size) // step * step + step, first + count, step)
        parts = []
        for start in starts:
            low, high = max(start, first), min(start + size, first + count)
            parts.append((slice(low - first, high - first), slice(low - start, high - start)))
        axes.append(parts)
    for lines, inner_lines in axes[0]:
        for samples, inner_samples in axes[1]:
            yield (lines, samples), (inner_lines, inner_samples)


def _filtered(patch: npt.NDArray[np.complex128], alpha: float, window_size: int) -> npt.NDArray[np.complex128]:
    """Weight the spectrum of a patch by its smoothed magnitude; a spectrum is periodic."""
    spectrum = fft.fft2(patch)
    magnitude = uniform_filter(np.abs(spectrum), window_size, mode="wrap")
    largest = magnitude.max()
    if largest > 0:
        spectrum *= (magnitude / largest) ** alpha
    return np.asarray(fft.ifft2(spectrum))


def _adaptive_alpha(coherence: Float32Array, alpha_min: float, alpha_max: float) -> float:
    values = coherence[np.isfinite(coherence)]
    mean = float(values.mean()) if values.size else 0.0
    return min(max(1 - mean, alpha_min), alpha_max)
