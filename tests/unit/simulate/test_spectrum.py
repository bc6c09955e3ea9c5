"""The processor's response and its spectrum, against quadrature and against the textbook triangle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from insar_mining.simulate.spectrum import Response
from insar_mining.simulate.splat import Kernel

IW1 = [Response(327 / 486.486, 0.7), Response(56.5 / 64.345, 0.75)]


@pytest.mark.parametrize("response", IW1)
def test_the_response_is_the_transform_of_the_window(response: Response) -> None:
    total = quad(response.spectrum, -response.band / 2, response.band / 2)[0]
    for x in (0.0, 0.37, 1.0, 2.6, 11.3):
        wave = quad(
            lambda f, x=x: float(response.spectrum(f)) * np.cos(2 * np.pi * f * x),
            -response.band / 2,
            response.band / 2,
        )[0]
        assert float(response(x)) == pytest.approx(wave / total, abs=1e-9)


@pytest.mark.parametrize("response", IW1)
def test_the_energy_is_the_integral_of_the_squared_response(response: Response) -> None:
    x = np.arange(-20_000, 20_001) * 0.25  # four times finer than the band needs: the sum is the integral
    assert response.energy == pytest.approx(float(np.sum(response(x) ** 2)) * 0.25, rel=1e-4)


@pytest.mark.parametrize("response", IW1)
def test_the_overlap_is_the_autocorrelation_of_the_window(response: Response) -> None:
    full = quad(lambda f: float(response.spectrum(f)) ** 2, -0.5, 0.5, points=[-response.band / 2, response.band / 2])[
        0
    ]
    for shift in np.array([0.0, 0.01, 0.13, 0.5, 0.93]) * response.band:
        low, high = -response.band / 2, response.band / 2 - shift
        common = quad(lambda f, s=shift: float(response.spectrum(f) * response.spectrum(f + s)), low, high)[0]
        assert float(response.overlap(shift)) == pytest.approx(common / full, abs=1e-9)
        assert float(response.overlap(-shift)) == pytest.approx(common / full, abs=1e-9)
    assert float(response.overlap(1.2 * response.band)) == 0.0


def test_without_weighting_the_overlap_is_the_triangle_of_the_critical_baseline() -> None:
    plain = Response(0.8, 1.0)
    np.testing.assert_allclose(plain.overlap(np.array([0.0, 0.2, 0.4, 0.8])), [1.0, 0.75, 0.5, 0.0], atol=1e-12)


@pytest.mark.parametrize("response", IW1)
def test_the_gridding_kernel_has_the_stated_spectrum_and_leaks_little(response: Response) -> None:
    kernel = Kernel.of(response)
    x = np.arange(-kernel.half * 1024, kernel.half * 1024 + 1) / 1024
    values = np.concatenate([kernel.table[kernel.half * 1024 : 0 : -1], kernel.table[: kernel.half * 1024 + 1]])

    def transform(f: float) -> float:
        return float(np.sum(values * np.cos(2 * np.pi * f * x)) / 1024)

    edge = response.band / 2
    for f in (0.0, 0.5 * edge, edge):
        assert transform(f) == pytest.approx(float(kernel.spectrum(f)), rel=1e-4)
    # the first image of the band lies around one cycle per sample
    leak = max(abs(transform(1 - f)) / transform(f) for f in np.linspace(0, edge, 9))
    assert leak < 5e-4
