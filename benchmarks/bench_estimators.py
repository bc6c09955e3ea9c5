"""Measured errors and times of the estimators beside the boxcar, on speckle of known coherence.

    python benchmarks/bench_estimators.py
    python benchmarks/bench_estimators.py --against COMMIT --only "Times against an earlier version"

Speckle has the spectra of real annotations (tests/data/morocco) and nothing in common with the
estimators.  The tables are kept in ``benchmarks/results/estimators.md``.
"""

from __future__ import annotations

import argparse
import importlib.util
import lzma
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from insar_mining.coherence.builtin.extras.adaptive import adaptive_coherence
from insar_mining.coherence.builtin.extras.bias import correct_map, corrected_mean, single_value_bias
from insar_mining.coherence.builtin.extras.common_band import common_band
from insar_mining.coherence.builtin.extras.fringes import coherence_without_fringes
from insar_mining.coherence.builtin.extras.goldstein import goldstein
from insar_mining.coherence.estimators import estimate
from insar_mining.coherence.estimators.looks import looks_of_mean, window_looks
from insar_mining.coherence.estimators.spectrum import range_spectrum
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.simulate.spectrum import Response

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
RESULT = HERE / "results" / "estimators.md"
TRUTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
SEED = 20230904


def load_speckle() -> ModuleType:
    """Import the tests' speckle by path: tests are no package."""
    return imported(TESTS / "unit" / "coherence" / "speckle.py")


def imported(path: Path) -> ModuleType:
    """Import a module by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def swath_of(name: str) -> SubSwath:
    (path,) = (TESTS / "data" / "morocco").glob(f"s1a-{name.lower()}-slc-vv-20230904*.xml.xz")
    return parse_annotation(lzma.decompress(path.read_bytes()), source=path.name)


def single(images: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return images[0].astype(np.complex64), images[1].astype(np.complex64)


def looks_table(speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    yield "| sub-swath | window | looks of the spectra | looks that simulated decorrelated ground shows | windows |"
    yield "|---|---|---|---|---|"
    for name in ("IW1", "IW2", "IW3"):
        swath = swath_of(name)
        for lines, samples in ((2, 7), (1, 5), (4, 14), (5, 15)):
            values = np.concatenate(
                [
                    speckle.separate_windows(*speckle.pair(rng, swath, (1200, 2100), 0.0), lines, samples).ravel()
                    for _ in range(4)
                ]
            )
            computed, shown = window_looks(swath, lines, samples), looks_of_mean(float(values.mean()))
            yield f"| {name} | {lines} x {samples} | {computed:.2f} | {shown:.2f} | {values.size} |"


def single_bias_table() -> Iterator[str]:
    yield "| truth | " + " | ".join(f"{t:g}" for t in TRUTHS) + " |"
    yield "|---|" + "---|" * len(TRUTHS)
    for name in ("IW1", "IW2", "IW3"):
        looks = window_looks(swath_of(name), 2, 7)
        for kind, values in zip(("as estimated", "corrected"), single_value_bias(TRUTHS, looks), strict=True):
            yield f"| {name} ({looks:.2f} looks), {kind} | " + " | ".join(f"{v:+.3f}" for v in values) + " |"


def mean_table(speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    yield (
        "| sub-swath | truth | windows in the mean | means | mean error | sd of a mean's result "
        "| intervals of means that hold the truth | intervals of single windows that do |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name in ("IW1", "IW3"):
        swath = swath_of(name)
        looks = window_looks(swath, 2, 7)
        for true in (0.0, 0.3, 0.5, 0.9):
            values = np.concatenate(
                [
                    speckle.separate_windows(*speckle.pair(rng, swath, (1200, 2100), true), 2, 7).ravel()
                    for _ in range(3)
                ]
            )
            cells = correct_map(values.astype(np.float32), looks)
            single_cover = np.mean((cells.low <= true) & (true <= cells.high))
            for size in (100, 1000, 100000):
                groups = values[: values.size // size * size].reshape(-1, size)[:1000]
                found = [corrected_mean(group, looks) for group in groups]
                result = np.array([f.coherence for f in found])
                cover = np.mean([f.low <= true <= f.high for f in found])
                spread = f"{result.std():.3f}" if len(found) > 10 else "-"
                share = f"{cover:.1%}" if len(found) > 10 else "-"
                yield (
                    f"| {name} | {true:g} | {size} | {len(found)} | {result.mean() - true:+.3f} | {spread} | {share} "
                    f"| {single_cover:.1%} |"
                )


def adaptive_table(speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    yield (
        "| ground of coherence 0.8 in ground of 0.05 | brightness | adaptive 5 x 15: on it / beside it / rms error "
        "| boxcar 2 x 7 | boxcar 3 x 9 | boxcar 5 x 15 |"
    )
    yield "|---|---|---|---|---|---|"
    swath = swath_of("IW2")
    y, x = np.mgrid[:300, :900]
    grounds = {
        "half-plane, edge along azimuth": x % 200 < 100,
        "wall, 4 lines (56 m)": y % 40 < 4,
        "road, 2 lines (28 m)": y % 40 < 2,
        "road, 6 samples (23 m)": x % 60 < 6,
        "road, diagonal, 9 samples": (3 * y + x) % 120 < 9,
    }
    for name, ground in grounds.items():
        for level in (-10, -6, -3, 0, 6):
            truth, bright = np.where(ground, 0.8, 0.05), np.where(ground, 10 ** (level / 20), 1.0)
            first, second = single(tuple(v * bright for v in speckle.pair(rng, swath, y.shape, truth)))
            maps = [adaptive_coherence(first, second)[0]]
            maps += [estimate.coherence(first, second, *w) for w in ((2, 7), (3, 9), (5, 15))]
            seen = np.isfinite(maps[0])
            cells = []
            for values in maps:
                error = np.sqrt(np.mean((values - truth)[seen] ** 2))
                cells.append(f"{values[seen & ground].mean():.2f} / {values[seen & ~ground].mean():.2f} / {error:.3f}")
            yield f"| {name} | {level:+d} dB | " + " | ".join(cells) + " |"
    for true in (0.0, 0.3, 0.6, 0.9):
        first, second = single(speckle.pair(rng, swath, y.shape, true))
        maps = [adaptive_coherence(first, second)[0]]
        maps += [estimate.coherence(first, second, *w) for w in ((2, 7), (3, 9), (5, 15))]
        yield f"| uniform ground of {true:g}: mean | | " + " | ".join(f"{np.nanmean(v):.3f}" for v in maps) + " |"


def fringe_table(speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    windows = ((5, 15), (9, 31), (13, 41), (17, 61))
    yield (
        "| truth | ramp, turns per line, per sample | loss of the boxcar | "
        + " | ".join(f"change with {a} x {b}" for a, b in windows)
        + " |"
    )
    yield "|---|---|---|" + "---|" * len(windows)
    swath = swath_of("IW2")
    y, x = np.mgrid[:400, :1200]
    for true in (0.0, 0.3, 0.6, 0.9):
        first, second = speckle.pair(rng, swath, y.shape, true)
        level = np.nanmean(estimate.coherence(*single((first, second)), 2, 7)[10:-10, 40:-40])
        for down, across in ((0.0, 0.0), (0.1, 0.03), (0.25, 0.08)):
            pair = single((first, second * np.exp(2j * np.pi * (down * y + across * x))))
            plain = np.nanmean(estimate.coherence(*pair, 2, 7)[10:-10, 40:-40]) - level
            changes = [
                np.nanmean(coherence_without_fringes(*pair, frequency_lines=a, frequency_samples=b)[10:-10, 40:-40])
                - level
                for a, b in windows
            ]
            cells = " | ".join(f"{v:+.4f}" for v in (plain, *changes))
            yield f"| {true:g} | {down:g}, {across:g} | {cells} |"


def band_table(speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    yield "| sub-swath | shift, cycles per sample | truth x overlap (theory) | before | after |"
    yield "|---|---|---|---|---|"

    def total(first: np.ndarray, second: np.ndarray) -> float:
        return float(abs(np.vdot(second, first)) / np.sqrt(np.vdot(first, first).real * np.vdot(second, second).real))

    f = np.fft.fftfreq(2048)
    for name in ("IW1", "IW2", "IW3"):
        swath = swath_of(name)
        response = Response.of(swath.range_bandwidth, swath.range_sampling_rate_hz)
        for shift in (0.01, 0.03, 0.05, 0.1):
            ground = speckle.white(rng, (300, 2048))
            windows = (response.spectrum(f), response.spectrum((f - shift + 0.5) % 1 - 0.5))
            first, second = single(tuple(np.fft.ifft(ground * w) for w in windows))
            after = common_band(first, second, np.full(first.shape, shift, np.float32), range_spectrum(swath))
            inside = np.s_[:, 30:-30]
            yield (
                f"| {name} | {shift:g} | {float(response.overlap(shift)):.4f} | {total(first, second):.4f} "
                f"| {total(after[0][inside], after[1][inside]):.4f} |"
            )


def seconds(work: Callable[[], object]) -> float:
    work()
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def time_table(speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    yield "| work | size | CPU seconds of all threads, best of three |"
    yield "|---|---|---|"
    values = rng.random((3000, 3000)).astype(np.float32)
    elapsed = seconds(lambda: correct_map(values, 7.84))
    yield f"| correction, error and interval of a map (tables kept) | 9.0 M cells | {elapsed:.2f} |"
    first, second = single(speckle.pair(rng, swath_of("IW2"), (500, 2000), 0.5))
    shift = np.full(first.shape, 0.03, np.float32)
    spectrum = range_spectrum(swath_of("IW2"))
    for name, work in {
        "boxcar 2 x 7": lambda: estimate.coherence(first, second, 2, 7),
        "adaptive 5 x 15": lambda: adaptive_coherence(first, second),
        "local fringes 13 x 41": lambda: coherence_without_fringes(first, second),
        "common band, both dates": lambda: common_band(first, second, shift, spectrum),
        "Goldstein, 64 x 64": lambda: goldstein(first * second.conj()),
    }.items():
        yield f"| {name} | 1.0 M pixels | {seconds(work):.2f} |"


def module_of(revision: str, name: str, folder: Path) -> ModuleType:
    """Import a module of the engine as another commit has it."""
    path = f"insar_mining/coherence/builtin/{name}.py"
    source = subprocess.run(
        ["git", "show", f"{revision}:{path}"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout
    target = folder / f"{name}_of_{revision}.py"
    target.write_text(source)
    return imported(target)


def against_table(revision: str, speckle: ModuleType, rng: np.random.Generator) -> Iterator[str]:
    yield f"| work on 1.0 M pixels | before ({revision}), CPU s | now, CPU s | times as fast | largest difference |"
    yield "|---|---|---|---|---|"
    swath = swath_of("IW2")
    first, second = single(speckle.pair(rng, swath, (500, 2000), 0.5))
    dark = np.where(np.arange(500) % 20 < 4, 0.5, 1.0).astype(np.float32)[:, None]  # 6 dB, in every window
    smooth = np.broadcast_to(np.float32(0.03), first.shape).copy()
    rough = (0.05 * np.sin(np.arange(2000) / 15)).astype(np.float32) + np.zeros(first.shape, np.float32)
    spectrum = range_spectrum(swath)
    with tempfile.TemporaryDirectory() as folder:
        old = {name: module_of(revision, name, Path(folder)) for name in ("adaptive", "common_band")}
        for name, before, now in (
            ("adaptive 5 x 15, uniform ground", old["adaptive"].adaptive_coherence, adaptive_coherence),
            ("adaptive 5 x 15, dark strips of 4 lines in 20", old["adaptive"].adaptive_coherence, adaptive_coherence),
        ):
            images = (first * dark, second * dark) if "strips" in name else (first, second)
            yield compared(name, lambda f, images=images: f(*images), before, now)
        for name, shift in (("uniform slope", smooth), ("another shift every pixel", rough)):
            yield compared(
                f"common band, both dates, {name}",
                lambda f, shift=shift: f(first, second, shift, spectrum),
                old["common_band"].common_band,
                common_band,
            )


def compared(name: str, work: Callable, before: Callable, now: Callable) -> str:
    values = [np.asarray(work(function)[0]) for function in (before, now)]
    apart = np.abs(values[0] - values[1])
    same = float(np.mean(apart[np.isfinite(apart)] > 1e-5))
    # in turns, so that whatever else the machine does meets both
    times = np.min([[seconds(lambda f=f: work(f)) for f in (before, now)] for _ in range(3)], axis=0)
    difference = f"{np.nanmax(apart):.1e}" if same == 0 else f"{same:.1e} of pixels differ by more than 1e-5"
    return f"| {name} | {times[0]:.2f} | {times[1]:.3f} | {times[0] / times[1]:.1f} | {difference} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT", help="time another commit's estimators in the same run")
    parser.add_argument("--only", metavar="TITLE", action="append", help="write these sections anew, keep the others")
    chosen = parser.parse_args()
    speckle, rng = load_speckle(), np.random.default_rng(SEED)
    sections = {
        "Independent looks": looks_table(speckle, rng),
        "Mean error of single 2 x 7 windows": single_bias_table(),
        "Mean first, then inversion": mean_table(speckle, rng),
        "Adaptive window": adaptive_table(speckle, rng),
        "Local fringes": fringe_table(speckle, rng),
        "Common band": band_table(speckle, rng),
        "Times": time_table(speckle, rng),
    }
    if chosen.against:
        sections["Times against an earlier version"] = against_table(chosen.against, speckle, rng)
    threads = os.environ.get("NUMBA_NUM_THREADS", "all")
    kept = RESULT.read_text().split("\n## ")[1:] if chosen.only else []
    written = dict(part.rstrip().split("\n\n", 1) for part in kept)
    for title, rows in sections.items():
        if not chosen.only or title in chosen.only:
            print(title, flush=True)
            written[title] = "\n".join(rows)
    text = [
        "# Estimators on speckle of known coherence",
        "",
        f"Written by `python benchmarks/bench_estimators.py` (generator started at {SEED}).",
        f"Machine: {platform.machine()}, {os.cpu_count()} processors, {threads} thread(s), "
        f"Python {platform.python_version()}.",
        "",
    ]
    RESULT.write_text("\n".join(text) + "\n".join(f"\n## {title}\n\n{rows}\n" for title, rows in written.items()))
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
