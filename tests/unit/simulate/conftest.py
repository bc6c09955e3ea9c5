"""One small simulated pair, and a narrow real burst to simulate into, for all tests of the simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.simulate import Settings, SimulatedPair, flat, morocco_template, simulate_pair
from insar_mining.simulate.annotation_xml import Cut, cut_annotation

HEIGHT_M = 300.0
# in the middle of the first burst of IW1, at mid-swath, on the plain north of the Atlas
PATCH = (-8.346, 31.700, -8.326, 31.725)


@pytest.fixture(scope="session")
def narrow_swath() -> SubSwath:
    """Burst 5 of the real IW1 annotation of 2023-09-04, samples 10000 to 10400."""
    xml = morocco_template().annotation("IW1", "VV")
    return parse_annotation(cut_annotation(xml, Cut(4, 5, 10_000, 10_400)), source="narrow")


@pytest.fixture(scope="session")
def flat_pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """Zero baseline, flat ground, temporal coherence 0.7, SNR 10 dB, 12 days apart on one track."""
    return simulate_pair(
        tmp_path_factory.mktemp("pair"),
        reference=morocco_template(),
        area=PATCH,
        terrain=flat(32629, HEIGHT_M),
        coherence=0.7,
        rng=np.random.default_rng(20230904),
        settings=Settings(snr_db=10.0, margin_m=50.0, scatterers_per_cell=4.0),
    )


@pytest.fixture(scope="session")
def annotation_of() -> Callable[[Path], SubSwath]:
    """Annotation of the only sub-swath of a simulated product, parsed without the reader."""

    def read(safe: Path) -> SubSwath:
        (xml,) = (safe / "annotation").glob("*.xml")
        return parse_annotation(xml.read_bytes(), source=xml.name)

    return read
