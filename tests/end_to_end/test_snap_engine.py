"""The SNAP engine from products to maps, with a stand-in for gpt that computes coherence by other code.

The stand-in (tests/standin_gpt) shares no numerical code with the built-in engine, so their
agreement says that both are right, and that the SNAP engine asks for the right things
and reads the answer correctly.  It does not say what SNAP itself would answer.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy.ndimage import binary_erosion
from shapely.geometry import box, mapping

from insar_mining.coherence.engine import coherence
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.errors import EngineWarning
from insar_mining.sentinel1.product import open_product
from insar_mining.simulate import Acquisition, Settings, SimulatedStack, hills, morocco_template, simulate_stack

# in the middle of burst 5 of IW1; some sixty cells of 20 m on each side
AREA = (-8.592, 31.058, -8.582, 31.066)
ODD = "é [1] 'x' (2) & co"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> SimulatedStack:
    """Four dates over hills, with baselines; coherence 0.92 on most ground, 0.3 in checks."""
    template = morocco_template()
    baselines = (0.0, 60.0, -40.0, 20.0)
    return simulate_stack(
        tmp_path_factory.mktemp("snap") / ODD,
        [Acquisition(template, 12 * k, 0.003 * k, b) for k, b in enumerate(baselines)],
        area=AREA,
        # about as high as the real ground, so that footprints and pixels agree
        terrain=hills(32629, (730_400.0, 3_438_900.0), relief_m=300.0, base_m=2700.0),
        coherence=lambda step: lambda x, y: np.where((x // 300 + y // 300) % 4 == step % 2, 0.3, 0.92),
        rng=np.random.default_rng(20230904),
        settings=Settings(snr_db=25.0, margin_m=100.0),
    )


@dataclass(frozen=True)
class Both:
    """One plan on two engines."""

    plan: CoherencePlan
    maps: dict[str, np.ndarray]
    tags: dict[str, dict[str, str]]
    items: dict[str, dict]


CASES = {
    # SNAP's version, window_anchor, with orbit files, and what goes wrong on the way
    "13, centre, orbits, megabytes of log": ("13.0.4", "centre", True, {"STANDIN_MISCHIEF": "flood@interferogram"}),
    "14, snap, annotation, killed once": ("14.0.0", "snap", False, {"STANDIN_MISCHIEF": "killed@terrain"}),
}


@pytest.fixture(scope="session")
def both(
    stack: SimulatedStack,
    tmp_path_factory: pytest.TempPathFactory,
    install_snap: Callable[..., Path],
    orbit_file: Callable[..., Path],
) -> Callable[[str], Both]:
    """A function that carries out a case, once per session."""

    @functools.cache
    def make(case: str) -> Both:
        version, anchor, with_orbits, environment = CASES[case]
        folder = tmp_path_factory.mktemp("both") / ODD
        orbits = [orbit_file(path, stack.dem.parent) for path in stack.products[:2]] if with_orbits else []
        maps, tags, items = {}, {}, {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SNAP_HOME", str(install_snap(folder / "esa snap", version)))
            patch.setenv("INSAR_MINING_SNAP_MEMORY", "2G")
            patch.setenv("STANDIN_ONCE", str(folder / "once"))
            for name, value in environment.items():
                patch.setenv(name, value)
            for engine in ("builtin", "snap"):
                plan = make_plan(
                    *stack.products[:2], area=box(*AREA), dem=stack.dem, window_anchor=anchor, orbits=orbits,
                    out=folder / engine / "map.tif",
                )  # fmt: skip
                if engine == "snap" and "killed" in case:
                    with pytest.warns(EngineWarning, match="was killed.*Trying once more"):
                        path = coherence(plan, engine)
                else:
                    path = coherence(plan, engine)
                with rasterio.open(path) as source:
                    maps[engine], tags[engine] = source.read(1), source.tags()
                    assert source.transform == plan.grid.transform
                    assert source.crs == plan.grid.crs
                    assert np.isnan(source.nodata)
                    assert source.descriptions == ("coherence",)
                items[engine] = json.loads(path.with_suffix(".json").read_text("utf-8"))
                assert sorted(p.name for p in path.parent.iterdir()) == ["map.json", "map.tif"]  # no scratch is left
        return Both(plan, maps, tags, items)

    return make


@pytest.mark.parametrize("case", CASES)
def test_the_engines_agree_within_the_tolerances(both: Callable[[str], Both], case: str) -> None:
    """Median |d| < 0.01, 95th percentile < 0.05, |mean d| < 0.005, correlation > 0.99, masks alike but for rims."""
    got = both(case)
    first, second = got.maps["builtin"], got.maps["snap"]
    common = np.isfinite(first) & np.isfinite(second)
    difference = (second - first)[common]
    assert common.mean() > 0.95
    assert np.median(np.abs(difference)) < 0.01
    assert np.percentile(np.abs(difference), 95) < 0.05
    assert abs(difference.mean()) < 0.005
    assert np.corrcoef(first[common], second[common])[0, 1] > 0.99
    inner = binary_erosion(np.isfinite(first) | np.isfinite(second), iterations=2)
    assert common[inner].mean() > 0.99
    # and they do not agree on noise: most ground keeps 0.92 of its echo
    assert np.median(second[common]) > 0.75


@pytest.mark.parametrize("case", CASES)
def test_the_products_are_alike(both: Callable[[str], Both], case: str) -> None:
    got = both(case)
    version, anchor, with_orbits, _ = CASES[case]
    tags = got.tags["snap"]
    # how many looks a window has is measured by the built-in engine only
    own = {name: value for name, value in got.tags["builtin"].items() if not name.startswith("LOOKS")}
    assert {**tags, "ENGINE": "builtin"} == {**own, "ENGINE_VERSION": f"SNAP {version}"}
    assert tags["ENGINE"] == "snap"
    assert tags["WINDOW_ANCHOR"] == anchor
    assert tags["REFERENCE_ORBIT"] == ("orbit of 20230904.EOF" if with_orbits else "annotation")
    one, other = got.items["builtin"], got.items["snap"]
    assert one.keys() == other.keys()
    assert other["properties"].keys() - one["properties"].keys() == {"insar_mining:engine_version"}
    for name in ("geometry", "bbox", "id", "stac_extensions"):
        assert one[name] == other[name]


def test_the_anchor_moves_the_map(both: Callable[[str], Both]) -> None:
    """Half a line lies between the two conventions, in both engines: each agrees better with its own kind."""
    centre, snap = (both(case).maps for case in CASES)

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.nanmedian(np.abs(one - other)))

    assert apart(centre["snap"], centre["builtin"]) < 0.2 * apart(centre["snap"], snap["builtin"])
    assert apart(snap["snap"], snap["builtin"]) < 0.2 * apart(snap["snap"], centre["builtin"])


@pytest.fixture(scope="session")
def runs(
    stack: SimulatedStack, tmp_path_factory: pytest.TempPathFactory, install_snap: Callable[..., Path]
) -> dict[str, tuple[Path, str]]:
    """`insar-mining run` on both engines; SNAP never manages to split the third date."""
    folder = tmp_path_factory.mktemp("runs") / ODD
    home = install_snap(folder / "esa snap", "13.0.4")
    mine = folder / "mine.geojson"
    mine.write_text(json.dumps(mapping(box(*AREA).buffer(-0.001))), encoding="utf-8")
    third = open_product(stack.products[2]).name
    done = {}
    for engine in ("snap", "builtin"):
        out = folder / engine
        # SNAP brings the secondary to the pair's reference: so shall the other here
        own = folder / "own geometry.yaml"
        own.write_text("coherence:\n  common_geometry: false\n", encoding="utf-8")
        exclude = ["--exclude", "2023-09-28", "--config", str(own)] if engine == "builtin" else []
        command = [
            sys.executable, "-m", "insar_mining", "run", str(mine), "--start", "2023-09-01", "--end", "2023-10-31",
            "--scenes", str(stack.products[0].parent), "--dem", str(stack.dem), "--engine", engine, "--out", str(out),
            *exclude,
        ]  # fmt: skip
        environment = {
            "SNAP_HOME": str(home), "INSAR_MINING_SNAP_MEMORY": "2G", "STANDIN_MISCHIEF": "killed@split",
            "STANDIN_ONLY": third, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder),
        }  # fmt: skip
        environment["PYTHONPATH"] = ":".join(filter(None, sys.path))
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        done[engine] = (out, ran.stderr)
    return done


def test_a_run_goes_on_past_a_date_that_kills_snap(runs: dict[str, tuple[Path, str]]) -> None:
    out, said = runs["snap"]
    assert {p.stem for p in (out / "coherence").glob("*.tif")} == {"20230904_20230916", "20230916_20231010"}
    assert "twice:" in said
    assert "Lower INSAR_MINING_SNAP_MEMORY" in said


def test_a_run_leaves_the_same_files_on_the_same_grid(runs: dict[str, tuple[Path, str]]) -> None:
    (snap, _), (builtin, _) = runs["snap"], runs["builtin"]

    def files(out: Path) -> set[str]:
        return {p.relative_to(out).as_posix() for p in out.rglob("*")
                if p.is_file() and not any(part.startswith(".") for part in p.relative_to(out).parts)}  # fmt: skip

    assert files(snap) == files(builtin)
    for path in sorted((snap / "coherence").glob("*.tif")):
        with rasterio.open(path) as one, rasterio.open(builtin / "coherence" / path.name) as other:
            assert {**one.profile, "nodata": 0} == {**other.profile, "nodata": 0}
            assert np.isnan([one.nodata, other.nodata]).all()
            difference = one.read(1) - other.read(1)
            assert one.tags()["STACK_REFERENCE"] == other.tags()["STACK_REFERENCE"] == one.tags()["REFERENCE_SCENE"]
            assert one.tags()["PLAN_SHA256"] == other.tags()["PLAN_SHA256"]
            assert np.nanmedian(np.abs(difference)) < 0.01
            assert abs(np.nanmean(difference)) < 0.005
