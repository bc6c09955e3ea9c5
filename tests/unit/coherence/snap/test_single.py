"""Graphs that the engine does not need, run one at a time with the stand-in: wires, bands and parameters."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from shapely.affinity import translate
from shapely.geometry import box
from typer.testing import CliRunner

from insar_mining.cli import app
from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.coherence.snap import engine
from insar_mining.coherence.snap.dimap import Dimap, read_dimap
from insar_mining.coherence.snap.engine import run_graph
from insar_mining.coherence.snap.graphs import read_template
from insar_mining.coherence.snap.mapped import on_grid
from insar_mining.coherence.snap.provision import DEM_NODATA
from insar_mining.errors import (
    EngineError,
    OptionError,
    PartialCoverageWarning,
    SnapGraphError,
    SnapOrbitError,
    SnapOutputError,
    SnapOverlapError,
)
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Acquisition, Settings, flat, load_template, simulate_stack
from tests.unit.coherence.snap.conftest import narrowed

MakePlan = Callable[..., CoherencePlan]
DAYS = "04Sep2023_16Sep2023"


def pixels(product: Dimap, name: str) -> np.ndarray:
    return np.asarray(product.band(name).pixels(), dtype=np.float64)


def phase(product: Dimap, stem: str) -> np.ndarray:
    return pixels(product, f"i_ifg_{stem}") + 1j * pixels(product, f"q_ifg_{stem}")


@pytest.fixture(scope="module")
def elevation(recorded) -> dict[str, object]:
    """The simulator's own model, above the geoid as SNAP wants it; what is moved for SNAP is a copy."""
    return {"dem": recorded.plan.elevation.path, "dem_nodata": DEM_NODATA}


@pytest.fixture
def flattened(recorded, elevation, snap_home: Path, tmp_path: Path) -> Dimap:
    """The interferogram of IW2 with its topographic phase."""
    return run_graph("interferogram", {
        "stack": recorded.products / "coregister-IW2.dim", "remove_flat_earth": True, "remove_topography": False,
        "window_azimuth": 2, "window_range": 7, "polarisation": "VV", "target": tmp_path / "flat only.dim", **elevation,
    })  # fmt: skip


def test_topographic_phase_comes_off_later_as_it_would_have_before(
    recorded, flattened: Dimap, elevation: dict[str, object], tmp_path: Path
) -> None:
    """Interferogram without it, then TopoPhaseRemoval, against the interferogram of the chain, which removed both."""
    late = run_graph("topographic-phase", {"interferogram": flattened.path, "target": tmp_path / "t.dim", **elevation})
    both = read_dimap(recorded.products / "interferogram-IW2.dim")
    names = {band.name for band in late.bands if not band.virtual}
    assert names == {f"i_ifg_VV_{DAYS}", f"q_ifg_VV_{DAYS}", f"coh_IW2_VV_{DAYS}"}
    np.testing.assert_array_equal(pixels(late, f"coh_IW2_VV_{DAYS}"), pixels(flattened, f"coh_IW2_VV_{DAYS}"))
    want = phase(both, f"IW2_VV_{DAYS}")
    seen = np.abs(want) > 0
    left, before = (np.angle(v[seen] * want[seen].conj()) for v in
                    (phase(late, f"VV_{DAYS}"), phase(flattened, f"IW2_VV_{DAYS}")))  # fmt: skip
    assert np.sqrt(np.mean(left**2)) < 0.05
    assert np.sqrt(np.mean(before**2)) > 0.5  # there was something to take away


def test_goldstein_smooths_phase_and_passes_coherence_on(recorded, snap_home: Path, tmp_path: Path) -> None:
    source = recorded.products / "interferogram-IW2.dim"
    filtered, raw = (
        run_graph("goldstein", {"interferogram": source, "target": tmp_path / "g.dim"}),
        read_dimap(source),
    )
    stem = f"IW2_VV_{DAYS}"
    np.testing.assert_array_equal(pixels(filtered, f"coh_{stem}"), pixels(raw, f"coh_{stem}"))

    coherent = pixels(raw, f"coh_{stem}")[:, 1:] > 0.85  # the rest of the burst is noise

    def roughness(product: Dimap) -> float:
        values = phase(product, stem)
        return float(np.abs(np.angle(values[:, 1:] * values[:, :-1].conj()))[coherent].mean())

    assert coherent.sum() > 1000
    assert roughness(filtered) < 0.6 * roughness(raw)


CHAIN = {
    "first_burst": 1,
    "last_burst": 2,
    "secondary_first_burst": 1,
    "secondary_last_burst": 2,
    "polarisation": "VV",
    "swath": "IW1",
}


def whole_chain(plan: CoherencePlan, elevation: dict[str, object], target: Path) -> dict[str, object]:
    grid = plan.grid
    west, south, east, north = grid.bounds_lonlat()
    west, south, east, north = west - 0.1, south - 0.1, east + 0.1, north + 0.1
    region = f"POLYGON (({west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}))"
    return {
        **CHAIN, "reference": plan.scenes.reference.path / "manifest.safe",
        "secondary": plan.scenes.secondary.path / "manifest.safe", "orbit_type": "Sentinel Precise (Auto Download)",
        "remove_flat_earth": True, "remove_topography": True, "window_azimuth": 2, "window_range": 7,
        "region": region, "band": f"coh_IW1_VV_{DAYS}", "spacing_m": 20.0, "spacing_deg": 0.00018, "crs": grid.crs,
        "grid_origin_m": 10.0, "target": target, **elevation,
    }  # fmt: skip


@pytest.mark.slow
def test_the_whole_chain_in_one_graph_makes_the_map(
    plan: MakePlan, elevation: dict[str, object], orbits: list[Path], snap_home: Path, tmp_path: Path
) -> None:
    """One graph from two products to the map, with SNAP 13, against the built-in engine on the same sub-swath."""
    with pytest.warns(PartialCoverageWarning):
        made = plan(orbits=orbits, swaths=["IW1"], out=tmp_path / "builtin.tif")
    wanted = whole_chain(made, elevation, tmp_path / "é whole.dim")
    arguments = [text for key, value in wanted.items() for text in ("--set", f"{key}={_text(value)}")]
    result = CliRunner().invoke(app, [
        "graph", "run", "whole-chain", *arguments, "--orbit", str(orbits[0]), "--orbit", str(orbits[1]), "--json",
    ])  # fmt: skip
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["bands"] == [f"coh_IW1_VV_{DAYS}"]
    product = read_dimap(Path(said["path"]))
    values, _ = on_grid(product, product.band(said["bands"][0]), made.grid)
    with rasterio.open(coherence(made, "builtin")) as source:
        expected = source.read(1)
    both = np.isfinite(expected) & (values > 0)
    assert both.sum() > 500
    difference = values[both] - expected[both]
    assert np.median(np.abs(difference)) < 0.01
    assert np.percentile(np.abs(difference), 95) < 0.05
    assert not list(tmp_path.glob(".snap-*"))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_one_graph_takes_the_orbit_trap_with_snap_14_and_two_do_not(
    recorded, orbits: list[Path], install_snap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in of SNAP 14 applies orbits as late as SNAP 14 does: what follows in the graph does not see them."""
    values = {name: value for name, value in CHAIN.items() if not name.startswith("secondary")} | {
        "product": recorded.plan.scenes.reference.path / "manifest.safe", "product_format": "SENTINEL-1",
        "orbit_type": "Sentinel Precise (Auto Download)", "target": tmp_path / "one.dim",
    }  # fmt: skip
    after = (
        '  <node id="TOPSAR-Deburst">\n    <operator>TOPSAR-Deburst</operator>\n    <sources>\n'
        '      <sourceProduct refid="Apply-Orbit-File"/>\n    </sources>\n    <parameters>\n'
        '      <selectedPolarisations>VV</selectedPolarisations>\n    </parameters>\n  </node>\n  <node id="Write">'
    )
    text = read_template("split-orbit").replace('refid="Apply-Orbit-File"', 'refid="TOPSAR-Deburst"')
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / "longer.xml").write_text(text.replace('  <node id="Write">', after))
    for version, late in (("13.0.4", False), ("14.0.0", True)):
        monkeypatch.setenv("SNAP_HOME", str(install_snap(tmp_path / version, version)))
        monkeypatch.setenv("INSAR_MINING_SNAP_MEMORY", "2G")
        run_graph("split-orbit", values, orbits=orbits[:1])  # the package's own
        if late:
            with pytest.raises(SnapOrbitError, match=r"metadata says no file, vectors 10 s apart.*SNAP 14 does so"):
                run_graph("longer", values, orbits=orbits[:1], folder=tmp_path / "graphs")
        else:
            run_graph("longer", values, orbits=orbits[:1], folder=tmp_path / "graphs")


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory, morocco_safe: Callable[[str], Path]) -> list[Path]:
    """Two consecutive slices of one pass: a burst each of IW1 and IW2, those of the second over ground to the south."""
    folder = tmp_path_factory.mktemp("slices")
    template = narrowed(load_template(morocco_safe("20230904")))
    first = translate(box(-8.9000, 31.2000, -8.8960, 31.2030), -0.0175, -0.083)  # in the middle of a burst of IW1
    areas = (first, translate(first, -0.035, -0.166))  # along the track, about 2.76 s later
    made = [
        simulate_stack(
            folder / str(number), [Acquisition(template)], swaths=("IW1", "IW2"), area=area,
            terrain=flat(32629, 1000.0), coherence=lambda step: lambda x, y: np.ones_like(x),
            rng=np.random.default_rng(number), settings=Settings(margin_m=30.0),
        )
        for number, area in enumerate(areas)
    ]  # fmt: skip
    return [stack.products[0] for stack in made]


@pytest.mark.slow
def test_two_slices_become_one_product_that_the_split_can_read(
    slices: list[Path], snap_home: Path, tmp_path: Path
) -> None:
    """Bursts are counted through both slices; the second burst of the assembled product is the later slice's."""
    opened = [open_product(path) for path in slices]
    whole = run_graph("slice-assembly", assembly(*slices, tmp_path / "whole.dim"))
    sizes = {}
    for swath in ("IW1", "IW2"):
        parts = [product.sub_swath(swath, "VV") for product in opened]
        assert [len(part.bursts) for part in parts] == [1, 1]
        sizes[swath] = (2 * parts[0].lines_per_burst, min(part.samples_per_burst for part in parts))
        for band in (whole.band(f"i_{swath}_VV"), whole.band(f"q_{swath}_VV")):
            assert (band.height, band.width) == sizes[swath]
    assert sizes["IW1"] != sizes["IW2"]  # which is no damage
    for number, product in enumerate(opened):
        part = run_graph("split", {
            "product": whole.path, "product_format": "BEAM-DIMAP", "swath": "IW1", "polarisation": "VV",
            "first_burst": number + 1, "last_burst": number + 1, "target": tmp_path / f"{number}.dim",
        })  # fmt: skip
        burst = product.read_burst("IW1", "VV", 0)[:, : sizes["IW1"][1]]  # each is cut to its own area
        np.testing.assert_array_equal(pixels(part, "i_IW1_VV"), burst.real)
        np.testing.assert_array_equal(pixels(part, "q_IW1_VV"), burst.imag)
    with pytest.raises(Exception, match="The reader of SENTINEL-1 cannot read"):
        run_graph("split", {
            "product": whole.path, "product_format": "SENTINEL-1", "swath": "IW1", "polarisation": "VV",
            "first_burst": 1, "last_burst": 1, "target": tmp_path / "x.dim",
        })  # fmt: skip


def assembly(first: Path, second: Path, target: Path) -> dict[str, object]:
    slices = {"slice_1": first / "manifest.safe", "slice_2": second / "manifest.safe"}
    return {**slices, "polarisation": "VV", "target": target}


def test_slices_that_snap_would_drop_or_fail_on_are_refused(
    slices: list[Path], snap_home: Path, tmp_path: Path
) -> None:
    """SNAP keys slices by their number; and it fails on a product of one sub-swath, which the stand-in does as well."""
    numbers = [int(re.search(rb"sliceNumber>(\d+)<", (path / "manifest.safe").read_bytes())[1]) for path in slices]
    assert numbers[1] == numbers[0] + 1
    same = tmp_path / slices[1].name
    shutil.copytree(slices[1], same)
    manifest = (same / "manifest.safe").read_text("utf-8")
    (same / "manifest.safe").write_text(manifest.replace(f"Number>{numbers[1]}<", f"Number>{numbers[0]}<"))
    with pytest.raises(EngineError, match=f"both are slice {numbers[0]}"):
        run_graph("slice-assembly", assembly(slices[0], same, tmp_path / "x.dim"))
    one = tmp_path / "one" / slices[0].name
    shutil.copytree(slices[0], one, ignore=shutil.ignore_patterns("*iw2*"))
    root = ElementTree.parse(one / "manifest.safe")
    for parent in list(root.iter()):
        for child in [c for c in parent if any("iw2" in value for c2 in c.iter() for value in c2.attrib.values())]:
            parent.remove(child)
    root.write(one / "manifest.safe")
    with pytest.raises(EngineError, match=r"one sub-swath \(IW1\).*SliceAssembly"):
        run_graph("slice-assembly", assembly(one, slices[1], tmp_path / "x.dim"))
    assert not list(tmp_path.glob("*.dim"))


SPLIT = {"product_format": "SENTINEL-1", "swath": "IW1", "polarisation": "VV", "first_burst": 1, "last_burst": 1}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"swath": "IW3"}, SnapGraphError, r"Index -1 out of bounds.*sub-swath"),
        ({"polarisation": "VH"}, SnapOutputError, r"has bands of VV, VH was asked for"),
    ],
)
def test_a_sub_swath_or_polarisation_that_is_not_there_is_named(
    simulated, snap_home: Path, tmp_path: Path, changes: dict[str, object], kind: type[Exception], words: str
) -> None:
    """Of the first SNAP names an index; of the second it says nothing, and takes all that there are."""
    values = {**SPLIT, "product": simulated.reference / "manifest.safe", "target": tmp_path / "t.dim"}
    with pytest.raises(kind, match=words):
        run_graph("split", {**values, **changes})
    assert not (tmp_path / "t.dim").exists()
    assert not (tmp_path / "t.data").exists()


def test_a_failure_leaves_what_was_at_the_target_before(
    simulated, snap_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SNAP leaves a header and an empty folder behind; they do not reach the place of the result."""
    values = {**SPLIT, "product": simulated.reference / "manifest.safe", "target": tmp_path / "t.dim"}
    good = run_graph("split", values)
    before = pixels(good, "i_IW1_VV")
    with pytest.raises(SnapGraphError):
        run_graph("split", {**values, "swath": "IW3"})
    np.testing.assert_array_equal(pixels(read_dimap(tmp_path / "t.dim"), "i_IW1_VV"), before)
    monkeypatch.setenv("INSAR_MINING_SNAP_KEEP_FAILED", "0")
    with pytest.raises(SnapGraphError):
        run_graph("split", {**values, "swath": "IW3"})
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("t.")) == ["t.data", "t.dim"]


def test_an_area_outside_of_the_image_is_no_product(recorded, snap_home: Path, tmp_path: Path) -> None:
    """Exit code 0, a warning, and nothing on disk."""
    source = recorded.products / "interferogram-IW1.dim"
    region = "POLYGON ((1 1, 2 1, 2 2, 1 2, 1 1))"
    with pytest.raises(SnapOverlapError, match="No intersection"):
        run_graph("subset", {"source": source, "region": region, "target": tmp_path / "t.dim"})


def test_a_model_that_a_graph_names_is_handed_over_moved(
    recorded, snap_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy lies half a cell to the south-east, whatever the file's name needs escaped; the file is not touched."""
    odd = tmp_path / "a & b.tif"
    shutil.copy(recorded.plan.elevation.path, odd)
    before, seen = odd.read_bytes(), []
    arguments = engine.Gpt.arguments

    def look(self: engine.Gpt, graph: Path, *rest: object) -> list[str]:
        (file,) = set(re.findall("<externalDEMFile>(.*?)</externalDEMFile>", graph.read_text("utf-8")))
        with rasterio.open(file) as source, rasterio.open(odd) as original:
            t, o = source.transform, original.transform
            seen.append(((t.c - o.c) / o.a, (t.f - o.f) / o.e))
            np.testing.assert_array_equal(source.read(1), original.read(1))
        return arguments(self, graph, *rest)

    monkeypatch.setattr(engine.Gpt, "arguments", look)
    values = {"interferogram": recorded.products / "interferogram-IW2.dim", "dem": odd, "dem_nodata": DEM_NODATA}
    run_graph("topographic-phase", {**values, "target": tmp_path / "t.dim"})
    assert seen[0] == pytest.approx((0.5, 0.5), abs=1e-6)
    assert odd.read_bytes() == before


def test_what_cannot_be_run_is_refused_before_snap_is_started(
    snap_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"interferogram": tmp_path / "i.dim", "target": tmp_path / "t.tif"}
    with pytest.raises(OptionError, match=r"must end in \.dim"):
        run_graph("goldstein", values)
    with pytest.raises(OptionError, match="needs interferogram"):
        run_graph("goldstein", {"target": tmp_path / "t.dim"})
    split = {name: value for name, value in CHAIN.items() if not name.startswith("secondary")} | {
        "product": "p", "product_format": "SENTINEL-1", "target": tmp_path / "t.dim",
        "orbit_type": "Sentinel Precise (Auto Download)",
    }  # fmt: skip
    with pytest.raises(SnapOrbitError, match=r"SNAP would fetch orbit files by itself.*--orbit"):
        run_graph("split-orbit", split)
    with pytest.raises(SnapGraphError, match="allowed are"):
        run_graph("split-orbit", {**split, "orbit_type": "Precise"}, orbits=[tmp_path])
    assert not list(tmp_path.glob(".snap-*"))
