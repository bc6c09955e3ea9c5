"""Speckle and windows that the tests of estimators share; nothing here comes from the estimators."""

from __future__ import annotations

import numpy as np

from insar_mining.simulate.spectrum import Response


def white(rng, shape):
    """Independent circular Gaussian samples of unit power."""
    return rng.normal(scale=np.sqrt(0.5), size=(*shape, 2)).view(complex)[..., 0]


def speckle(rng, swath, shape):
    """Speckle of unit power with the spectra of an annotation: white noise filtered in the Fourier domain."""
    responses = (
        Response.of(swath.azimuth_bandwidth, swath.azimuth_frequency_hz),
        Response.of(swath.range_bandwidth, swath.range_sampling_rate_hz),
    )
    down, across = (r.spectrum(np.fft.fftfreq(n)) for r, n in zip(responses, shape, strict=True))
    image = np.fft.ifft2(np.fft.fft2(white(rng, shape)) * down[:, None] * across)
    return image / np.sqrt(np.mean(down**2) * np.mean(across**2))


def pair(rng, swath, shape, coherence):
    """Two images of a true coherence (a number, or one per pixel)."""
    first, fresh = speckle(rng, swath, shape), speckle(rng, swath, shape)
    return first, coherence * first + np.sqrt(1 - np.square(coherence)) * fresh


def separate_windows(first, second, lines, samples):
    """Sample coherence of windows side by side, from the definition."""
    rows, columns = first.shape[0] // lines, first.shape[1] // samples
    a, b = (
        v[: rows * lines, : columns * samples].reshape(rows, lines, columns, samples).swapaxes(1, 2)
        for v in (first, second)
    )
    cross = np.abs(np.einsum("ijkl,ijkl->ij", a, b.conj()))
    return cross / np.sqrt(np.sum(np.abs(a) ** 2, axis=(2, 3)) * np.sum(np.abs(b) ** 2, axis=(2, 3)))
