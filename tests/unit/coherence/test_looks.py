"""Independent looks against simulation of their definition, and against real pixels."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from insar_mining.coherence.builtin.extras.common_band import common_band
from insar_mining.coherence.estimators.looks import (
    looks_of_decorrelated,
    looks_of_image,
    looks_of_mean,
    mean_without_coherence,
    spectral_looks,
    window_looks,
    window_looks_of_noise,
)
from insar_mining.coherence.estimators.spectrum import Spectrum, azimuth_spectrum, noise_spectrum, range_spectrum
from insar_mining.errors import CoverageError, OptionError
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.simulate.spectrum import Response

from .speckle import separate_windows, speckle, white

AZORES = Path(__file__).parents[2] / "data" / "azores"


@pytest.mark.parametrize(("swath", "expected"), [("IW1", 7.9), ("IW2", 7.0), ("IW3", 6.4)])
def test_default_window_has_the_known_looks(morocco_sub_swath, swath, expected):
    """2 x 7 pixels are 7.9 / 7.0 / 6.4 looks with the spectra of the real annotation."""
    assert window_looks(morocco_sub_swath("20230904", swath), 2, 7) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("window", [(2, 7), (1, 5), (4, 14)])
def test_mean_of_simulated_decorrelated_ground(rng, morocco_sub_swath, window):
    """Speckle with the real spectra and no coherence reads the mean of the computed looks."""
    swath = morocco_sub_swath("20230904", "IW3")
    shape = (700, 1400)
    first, second = (speckle(rng, swath, shape) for _ in range(2))
    values = separate_windows(first, second, *window)
    error = values.std() / np.sqrt(values.size)
    mean = float(mean_without_coherence(window_looks(swath, *window)))
    assert mean == pytest.approx(values.mean(), abs=4 * error + 5e-4)


def test_independent_pixels_are_whole_looks():
    """Without correlation every pixel is a look."""
    white = Spectrum(1.0, 1.0)
    assert spectral_looks(white, white, 2, 7) == pytest.approx(14, abs=1e-6)
    assert spectral_looks(white, white, 40, 60) == pytest.approx(2400, rel=1e-6)


def test_autocorrelation_is_the_transform_of_the_squared_window():
    """The closed form equals numerical integration of the simulator's window."""
    spectrum, other = Spectrum(0.665, 0.75), Response(0.665, 0.75)
    f = np.linspace(-0.665 / 2, 0.665 / 2, 200001)
    power = other.spectrum(f) ** 2
    lag = np.array([0, 0.3, 1, 2, 5, 20.5])
    expected = [np.trapezoid(power * np.cos(2 * np.pi * f * n), f) / np.trapezoid(power, f) for n in lag]
    np.testing.assert_allclose(spectrum.autocorrelation(lag), expected, atol=1e-8)


def test_image_tells_its_own_looks(rng, morocco_sub_swath):
    """Looks measured on pixels with carrier, texture and gaps agree with those of their spectra."""
    swath = morocco_sub_swath("20230904", "IW1")
    image = speckle(rng, swath, (512, 2048))
    line = np.arange(512)[:, None]
    image *= np.exp(1j * np.pi * 0.0076 * (line - 700) ** 2)  # the sweep of TOPS
    image *= np.where(np.arange(2048) // 300 % 2, 1, 6)  # fields of other brightness
    image[100:140, 300:900] = np.nan
    measured = looks_of_image(image.astype(np.complex64), 2, 7)
    assert measured.sd < 0.05
    assert measured.looks == pytest.approx(window_looks(swath, 2, 7), abs=max(4 * measured.sd, 0.08))


def test_the_common_band_has_the_looks_of_its_width(rng, morocco_sub_swath):
    """What the filter leaves of decorrelated speckle reads the mean of a band that is narrower by the shift."""
    swath, shift = morocco_sub_swath("20230904", "IW2"), 0.08
    first, second = (speckle(rng, swath, (700, 1400)).astype(np.complex64) for _ in range(2))
    second *= np.exp(2j * np.pi * shift * np.arange(1400)).astype(np.complex64)
    spectrum = range_spectrum(swath)
    filtered = common_band(first, second, np.full(first.shape, shift, np.float32), spectrum)
    values = separate_windows(*(image[:, 28:-28] for image in filtered), 2, 7)
    looks = spectral_looks(azimuth_spectrum(swath), Spectrum(spectrum.band - shift, spectrum.hamming), 2, 7)
    assert looks < 0.93 * window_looks(swath, 2, 7)
    error = values.std() / np.sqrt(values.size)
    assert float(mean_without_coherence(looks)) == pytest.approx(values.mean(), abs=4 * error + 1e-3)


def test_real_pixels_of_the_azores():
    """Land of a real IW3 image, with its carrier, has the looks that its annotation says."""
    (image,) = AZORES.glob("*.tiff")
    (annotation,) = AZORES.glob("s1a-iw3*.xml.xz")
    swath = parse_annotation(lzma.decompress(annotation.read_bytes()), source=annotation.name)
    pixels = tifffile.imread(image).astype(np.complex64)
    measured = looks_of_image(pixels[:320], 2, 7)  # further down lies the sea, which moves
    assert measured.looks == pytest.approx(window_looks(swath, 2, 7), abs=0.15)


def test_coherence_of_decorrelated_ground_tells_its_looks(rng):
    """The mean over windows of 14 independent pixels gives 14 looks within its own error."""
    shape = (300, 700)
    first, second = (white(rng, shape) for _ in range(2))
    measured = looks_of_decorrelated(separate_windows(first, second, 2, 7))
    assert measured.parts == 15000
    assert measured.sd < 0.2
    assert measured.looks == pytest.approx(14, abs=4 * measured.sd)


@pytest.mark.parametrize("looks", [1.3, 4.5, 7, 14, 300])
def test_mean_and_looks_are_inverse(looks):
    assert looks_of_mean(float(mean_without_coherence(looks))) == pytest.approx(looks, rel=1e-6)


def test_what_cannot_be_measured_is_refused(rng):
    block = np.ones((20, 60), np.complex64)
    with pytest.raises(CoverageError, match="too few"):
        looks_of_decorrelated(rng.random(399))
    with pytest.raises(CoverageError, match="0 tiles"):
        looks_of_image(block, 2, 7)
    with pytest.raises(OptionError, match="annotation's spectra"):
        looks_of_image(block, 40, 7)
    with pytest.raises(OptionError, match="2 pixels"):
        spectral_looks(Spectrum(0.7, 0.7), Spectrum(0.7, 0.7), 1, 1)
    with pytest.raises(OptionError, match="no number of looks"):
        looks_of_mean(1.0)


MEASURED_EXCESS_DB = {61: 1.25, 91: 1.95, 121: 4.9, 152: 9.1}
"""Of noise over the processor's window, on quiet sea (Azores, IW3): Doppler frequency to decibels."""


@pytest.mark.parametrize(("swath", "looks", "floor"), [("IW1", 9.9, 0.285), ("IW2", 7.8, 0.322), ("IW3", 7.8, 0.322)])
def test_noise_has_more_looks_than_speckle(
    swath: str, looks: float, floor: float, morocco_sub_swath: Callable[..., SubSwath]
) -> None:
    annotation = morocco_sub_swath("20230904", swath)
    found = window_looks_of_noise(annotation, 2, 7)
    assert found == pytest.approx(looks, abs=0.05)
    assert float(mean_without_coherence(found)) == pytest.approx(floor, abs=0.0015)
    assert found > window_looks(annotation, 2, 7) + 0.7


def test_the_spectrum_of_noise_is_that_of_a_real_sea(morocco_sub_swath: Callable[..., SubSwath]) -> None:
    annotation = morocco_sub_swath("20230904", "IW3")
    noise = noise_spectrum(annotation)
    frequency = np.array(list(MEASURED_EXCESS_DB)) / annotation.azimuth_frequency_hz
    excess = 10 * np.log10(noise.power(frequency) / noise.echo.amplitude(frequency) ** 2)
    np.testing.assert_allclose(excess, list(MEASURED_EXCESS_DB.values()), atol=1.2)
    # its autocorrelation is the Fourier transform of the power
    lag, f = np.arange(5), np.linspace(-0.5, 0.5, 200_001)
    expected = [np.sum(noise.power(f) * np.cos(2 * np.pi * f * k)) / np.sum(noise.power(f)) for k in lag]
    np.testing.assert_allclose(noise.autocorrelation(lag), expected, atol=1e-4)
