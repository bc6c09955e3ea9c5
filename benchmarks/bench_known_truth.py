"""Measured errors of the built-in engine on simulated pairs of known coherence.

    python benchmarks/bench_known_truth.py

Runs the twelve scenes (three sub-swaths, inside a burst and across a seam, flat and
900 m of relief) that the end-to-end tests take six of, and keeps the errors as a table in
``benchmarks/results/known_truth.md``.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import itertools
import lzma
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from insar_mining.sentinel1.annotation import parse_annotation
from insar_mining.simulate import Template, load_template

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
MOROCCO = TESTS / "data" / "morocco"
DATES = ("20230904", "20230916")


def load_measures() -> ModuleType:
    """Import the end-to-end test's measures by path: tests are no package."""
    spec = importlib.util.spec_from_file_location("known_truth", TESTS / "end_to_end" / "test_known_truth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["known_truth"] = module
    spec.loader.exec_module(module)
    return module


def unpack(folder: Path, date: str) -> Template:
    """Lay out the real annotations of a date as a SAFE folder without pixels."""
    (manifest,) = MOROCCO.glob(f"*SDV_{date}T*.manifest.safe.xz")
    safe = folder / manifest.name.replace(".manifest.safe.xz", ".SAFE")
    (safe / "annotation").mkdir(parents=True)
    (safe / "manifest.safe").write_bytes(lzma.decompress(manifest.read_bytes()))
    for packed in MOROCCO.glob(f"s1a-*-vv-{date}t*.xml.xz"):
        (safe / "annotation" / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
    return load_template(safe)


def row(measures: ModuleType, folder: Path, templates: list[Template], scene: tuple[str, str, str]) -> str:
    """Simulate and map one scene and put its errors in a row of the table."""
    annotation = templates[0].annotations[scene[0], "VV"]
    swath = parse_annotation(annotation, source=scene[0])
    got = measures.simulate_and_map(folder / "-".join(scene), templates, swath, *scene[1:])
    errors = " | ".join(f"{error:+.4f}" for error in measures.zone_errors(got))
    east, north = measures.map_shift_m(got)
    phases = measures.stable_phases(got)
    return (
        f"| {' '.join(scene)} | {errors} | {east:+.1f} | {north:+.1f} | {measures.edge(got)[0]:+.1f} "
        f"| {phases.mean():+.3f} | {np.abs(phases).max():.3f} |"
    )


def main() -> None:
    """Run all scenes and keep the table."""
    measures = load_measures()
    scenes = itertools.product(("IW1", "IW2", "IW3"), ("inside", "seam"), ("flat", "hills"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        templates = [unpack(folder, date) for date in DATES]
        rows = [row(measures, folder, templates, scene) for scene in scenes]
    table = f"""# The built-in engine against known truth

{dt.date.today()}. Simulated pixels under the real annotations and orbits of 2023-09-04 and 2023-09-16 (12 days,
perpendicular baseline 27 to 30 m), signal-to-noise ratio 20 dB, window 2 x 7, cells of 20 m, blocks of 600 m with five
levels of temporal coherence over 3.4 x 4.0 km. Errors of a zone: mean of the map minus the mean that the estimator has
for that truth (temporal x geometric x thermal coherence), by plain numpy on speckle of the processor's spectrum.
A window across an edge averages coherence before its magnitude is taken, so edges lie some 3 m inside the more
coherent side by nature.

| scene | 0.9 | 0.6 | 0.35 | 0.2 | 0 | map shift east, m | north, m | edge, m | mean phase, rad | largest |
|---|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}
"""
    print(table)
    (HERE / "results" / "known_truth.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
