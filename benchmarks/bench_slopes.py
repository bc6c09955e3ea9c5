"""What a baseline of 250 m takes from slopes of -30 to 20 degrees: the plot of docs/accuracy.md, and its numbers.

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
    (packed,) = MOROCCO.glob(f"s1a-iw2-slc-vv-{DATE}t*.xml.xz")
    swath = parse_annotation(lzma.decompress(packed.read_bytes()), source=packed.name)
    with tempfile.TemporaryDirectory() as folder:
        facets = measures.facets(Path(folder) / "out", unpack(Path(folder), DATE), swath)
    slopes = [facet.slope_deg for facet in facets]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.plot(slopes, [f.expected for f in facets], "-", color="0.2", label="theory, phase removed")
    axes.plot(slopes, [f.removed for f in facets], "o", color="0.2", label="measured, phase removed")
    axes.plot(slopes, [f.theory for f in facets], "--", color="tab:orange", label="theory, phase left in")
    axes.plot(slopes, [f.left_in for f in facets], "s", color="tab:orange", mfc="none", label="measured, left in")
    axes.set(
        xlabel="slope along range, degrees (positive: facing the satellite)",
        ylabel="mean coherence",
        title=f"Baseline {measures.BASELINE_M:.0f} m, temporal coherence {measures.TEMPORAL}, IW2, 2 x 7",
        ylim=(0.7, 0.95),
    )
    axes.legend(loc="lower left")
    figure.savefig(HERE.parent / "docs" / "slopes.png", dpi=110)
    rows = [
        f"| {f.slope_deg} | {f.removed:.3f} | {f.expected:.3f} | {f.left_in:.3f} | {f.theory:.3f} | {f.cells} |"
        for f in facets
    ]
    table = f"""# Slopes at a baseline of 250 m

{dt.date.today()}; simulated facets of {measures.FACET_M:.0f} x {measures.LENGTH_M:.0f} m, IW2.

| slope, degrees | topographic phase removed | expected | left in | expected | cells |
|---|---|---|---|---|---|
{chr(10).join(rows)}
"""
    print(table)
    (HERE / "results" / "slopes.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
