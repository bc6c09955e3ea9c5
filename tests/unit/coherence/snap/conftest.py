"""A pair over two sub-swaths, SNAP's stand-in where the engine looks for SNAP, and its products to be had again.

The stand-in computes the whole chain once per session; every other test gets copies of what it left at each stage, so
that a test of how SNAP may fail takes a second.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.simulate import Acquisition, Settings, SimulatedPair, Template, hills, load_template, simulate_pair

# where IW1 and IW2 meet and, in IW1, two bursts: 1.0 x 0.6 km
AREA = (-8.9050, 31.1987, -8.8940, 31.2037)
NARROWER = 430  # samples that IW1 is cut by, so that so small an area needs both
LATE_S = 6e-5  # of the secondary's orbit: 0.03 lines, 0.4 m along the track

MakePlan = Callable[..., CoherencePlan]


@dataclass(frozen=True)
class Recorded:
    """The whole chain, run once.

    Attributes
    ----------
    products : Path
        Folder with the product of every stage, under its name.
    values : ndarray
        The map.
    notes : str
        What spectral diversity found: sub-swath and shift in lines.
    warned : tuple of str
    """

    products: Path
    plan: CoherencePlan
    values: np.ndarray
    tags: dict[str, str]
    notes: str
    warned: tuple[str, ...]


def narrowed(template: Template) -> Template:
    """A template whose IW1 ends before it overlaps IW2 by more than some hundred metres."""
    text = template.annotation("IW1", "VV").decode()
    text = re.sub(
        r"(<lastValidSample[^>]*>)([^<]*)",
        lambda m: m[1] + " ".join(str(int(v) - NARROWER) if int(v) > 0 else v for v in m[2].split()),
        text,
    )
    return Template(template.name, {**template.annotations, ("IW1", "VV"): text.encode()}, template.manifest)


@pytest.fixture
def snap_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_snap: Callable[..., Path]) -> Path:
    """The stand-in as SNAP 13, in a folder whose name has a space."""
    home = install_snap(tmp_path / "esa snap")
    monkeypatch.setenv("SNAP_HOME", str(home))
    monkeypatch.setenv("INSAR_MINING_SNAP_MEMORY", "2G")
    monkeypatch.setenv("INSAR_MINING_SNAP_PARALLELISM", "4")
    return home


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory, morocco_safe: Callable[[str], Path]) -> SimulatedPair:
    """Two products over hills, 60 m of baseline; coherence 0.92 on most ground, 0.3 in some checks."""
    template = narrowed(load_template(morocco_safe("20230904")))
    return simulate_pair(
        tmp_path_factory.mktemp("snap pair"),
        reference=template,
        secondary=Acquisition(template, 12, start_offset_s=0.003, perpendicular_m=60.0),
        swaths=("IW1", "IW2"),
        area=AREA,
        # about as high as the real ground, so that footprints and pixels agree
        terrain=hills(32629, (699_300.0, 3_453_600.0), relief_m=200.0, base_m=1000.0),
        coherence=lambda x, y: np.where((x // 300 + y // 300) % 4 == 0, 0.3, 0.92),
        rng=np.random.default_rng(20230904),
        settings=Settings(snr_db=25.0, margin_m=60.0),
    )


@pytest.fixture(scope="session")
def orbits(
    simulated: SimulatedPair, tmp_path_factory: pytest.TempPathFactory, orbit_file: Callable[..., Path]
) -> list[Path]:
    """Orbit files of both dates, true to the products."""
    folder = tmp_path_factory.mktemp("orbits")
    return [orbit_file(path, folder) for path in (simulated.reference, simulated.secondary)]


@pytest.fixture(scope="session")
def recorded(
    simulated: SimulatedPair,
    orbits: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
    install_snap: Callable[..., Path],
    orbit_file: Callable[..., Path],
) -> Recorded:
    """Both sub-swaths through the whole chain, with spectral diversity and a secondary whose orbit is late."""
    folder = tmp_path_factory.mktemp("recorded")
    late = orbit_file(simulated.secondary, folder, LATE_S)
    plan = make_plan(
        simulated.reference, simulated.secondary, area=box(*AREA), dem=simulated.dem, out=folder / "map.tif",
        orbits=[orbits[0], late], window_anchor="snap",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setenv("SNAP_HOME", str(install_snap(folder / "snap")))
        patch.setenv("INSAR_MINING_SNAP_MEMORY", "2G")
        patch.setenv("INSAR_MINING_SNAP_SPECTRAL_DIVERSITY", "1")
        patch.setenv("STANDIN_REPLAY", str(folder / "products"))
        patch.setenv("STANDIN_NOTES", str(folder / "notes"))
        with rasterio.open(coherence(plan, "snap")) as source:
            values, tags = source.read(1), source.tags()
    return Recorded(
        folder / "products", plan, values, tags, (folder / "notes").read_text(), tuple(str(w.message) for w in caught)
    )


@pytest.fixture
def plan(simulated: SimulatedPair, tmp_path: Path) -> MakePlan:
    """Make a plan of the simulated pair; keyword arguments go to make_plan."""

    def make(**how: object) -> CoherencePlan:
        how.setdefault("out", tmp_path / "out" / "20230904_20230916.tif")
        how.setdefault("window_anchor", "snap")
        return make_plan(simulated.reference, simulated.secondary, area=box(*AREA), dem=simulated.dem, **how)

    return make


@pytest.fixture
def replayed(
    recorded: Recorded, orbits: list[Path], plan: MakePlan, snap_home: Path, monkeypatch: pytest.MonkeyPatch
) -> MakePlan:
    """Make a plan whose stages leave what the recorded ones left."""
    monkeypatch.setenv("STANDIN_REPLAY", str(recorded.products))
    return lambda **how: plan(**{"orbits": list(orbits), **how})
