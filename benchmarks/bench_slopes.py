"""What a baseline of 250 m takes from slopes of -30 to 30 degrees: the plot of docs/accuracy.md, and its numbers.

python benchmarks/bench_slopes.py
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import lzma
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
from bench_known_truth import MOROCCO, TESTS, unpack

from insar_mining.sentinel1.annotation import parse_annotation

HERE = Path(__file__).parent
DATE = "20230904"
LENGTH_M = 3500.0


def load_measures() -> ModuleType:
    """Import the end-to-end test's measures by path: tests are no package."""
    spec = importlib.util.spec_from_file_location("slopes", TESTS / "end_to_end" / "test_slopes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["slopes"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Simulate, map, draw and write."""
    measures = load_measures()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        template = unpack(Path(folder), DATE)
        for name, slopes in measures.SLOPES_DEG.items():
            (packed,) = MOROCCO.glob(f"s1a-{name.lower()}-slc-vv-{DATE}t*.xml.xz")
            swath = parse_annotation(lzma.decompress(packed.read_bytes()), source=packed.name)
            found[name] = measures.facets(Path(folder) / name, template, swath, slopes, LENGTH_M)
    figure, every = plt.subplots(1, len(found), figsize=(11, 4.2), layout="constrained", sharey=True)
    for axes, (name, facets) in zip(every, found.items(), strict=True):
        slopes = [facet.slope_deg for facet in facets]
        axes.plot(slopes, [f.expected for f in facets], "-", color="0.2", label="theory, phase removed")
        axes.plot(slopes, [f.removed for f in facets], "o", color="0.2", label="measured, phase removed")
        axes.plot(slopes, [f.theory for f in facets], "--", color="tab:orange", label="theory, phase left in")
        axes.plot(slopes, [f.left_in for f in facets], "s", color="tab:orange", mfc="none", label="measured, left in")
        axes.set(xlim=(-33, 33), ylim=(0.55, 0.95), title=name)
    every[0].set_ylabel("mean coherence")
    every[0].legend(loc="lower left")
    figure.supxlabel("slope along range, degrees (positive: facing the satellite)")
    figure.suptitle(f"Baseline {measures.BASELINE_M:.0f} m, temporal coherence {measures.TEMPORAL}, 2 x 7")
    figure.savefig(HERE.parent / "docs" / "slopes.png", dpi=110)
    rows = [
        f"| {name} | {f.slope_deg} | {f.local_incidence_deg:.0f} | {f.removed:.3f} | {f.expected:.3f} "
        f"| {f.left_in:.3f} | {f.theory:.3f} | {f.cells} |"
        for name, facets in found.items()
        for f in facets
    ]
    table = f"""# Slopes at a baseline of 250 m

{dt.date.today()}; simulated facets of {measures.FACET_M:.0f} x {LENGTH_M:.0f} m. Left out is what lies within 10
degrees of layover: 30 degrees in IW1 and IW2.

| swath | slope, degrees | local incidence | topographic phase removed | expected | left in | expected | cells |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}
"""
    print(table)
    (HERE / "results" / "slopes.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
