"""Measured errors and costs of misregistration on simulated pairs whose timing is wrong by a known amount.

    python benchmarks/bench_misregistration.py

Simulates one area on the seam of two bursts of IW2 at several coherences, injects shifts into the annotated
times of the second date, and keeps the errors as a table in ``benchmarks/results/misregistration.md``.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np
from bench_known_truth import DATES, TESTS, unpack

HALF_BOX_DEG = 0.024
CASES = [(0.9, HALF_BOX_DEG), (0.8, 0.05), (0.7, HALF_BOX_DEG), (0.3, HALF_BOX_DEG), (0.0, HALF_BOX_DEG)]
INJECTED = ((0.001, 0.001), (0.1, -0.1), (2.3, -3.7))


def load_measures() -> ModuleType:
    """Import the end-to-end test's measures by path: tests are no package."""
    spec = importlib.util.spec_from_file_location("shifts", TESTS / "end_to_end" / "test_misregistration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shifts"] = module
    spec.loader.exec_module(module)
    return module


def rows(measures: ModuleType, folder: Path, templates: list, coherence: float, half_deg: float) -> list[str]:
    """Simulate one coherence and put the largest errors of all injections in rows of the table."""
    pair = measures.simulated(folder / f"{coherence}", templates, "IW2", coherence, half_deg)
    left = pair.difference()
    pixels = f"{pair.pixels / 1e6:.1f}"
    out = []
    for method in ("correlation", "auto"):
        found, took = [], []
        for injected in INJECTED:
            begun = time.process_time()
            found.append(pair.shift(*injected, method=method))
            took.append(time.process_time() - begun)
        errors = np.array(
            [
                (shift.lines - lines - left[0], shift.samples - samples - left[1])
                for shift, (lines, samples) in zip(found, INJECTED, strict=True)
            ]
        )
        last = found[-1]
        if last.method == "none":
            out.append(
                f"| {coherence} | {pixels} | none: {last.reason} | | | | | {last.coherence:.3f} | | {min(took):.2f} |"
            )
            continue
        largest = np.abs(errors).max(axis=0)
        out.append(
            f"| {coherence} | {pixels} | {last.method} | {largest[0]:.5f} | {last.lines_sd:.5f} | {largest[1]:.5f} "
            f"| {last.samples_sd:.5f} | {last.coherence:.3f} | {last.used} | {min(took):.2f} |"
        )
    return out


def main() -> None:
    """Run all coherences and keep the table."""
    measures = load_measures()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        templates = [unpack(folder, date) for date in DATES]
        lines = [line for case in CASES for line in rows(measures, folder, templates, *case)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    injected = ", ".join(f"({lines:+g}, {samples:+g})" for lines, samples in INJECTED)
    side, large = (f"{2 * half:g}" for half in (HALF_BOX_DEG, max(half for _, half in CASES)))
    table = f"""# Misregistration against known truth

{dt.date.today()}, {platform.machine()}, {os.cpu_count()} processors, one used. Simulated pixels under the real
annotations and orbits of 2023-09-04 and 2023-09-16, 300 m of relief, signal-to-noise ratio 20 dB, {side} x {side}
degrees ({large} x {large} where there are more pixels) on the seam of two bursts of IW2. Injected into the times of
the second date, (lines, samples): {injected}.
The errors are the largest of all injections, against the simulator's own geometry; "sd" is the standard deviation
that the estimate itself gives. Coherence as estimated: times noise, geometry and what the timing of bursts costs.
Seconds are processor time of one estimate. Peak memory of the whole run, the simulation included: {peak:.0f} MB.

| true coherence | million pixels | method | error, lines | sd | error, samples | sd | coherence | used | seconds |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""
    print(table)
    (Path(__file__).parent / "results" / "misregistration.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
