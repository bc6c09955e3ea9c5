"""The default method on real bare desert soil beside simulated rock: closed mines, and mines worked in three zones.

``python benchmarks/bench_desert.py FOLDER``: a folder of INSAR4SM's point series (``*_sm_point_ts.npz``; `slc` of
dates x samples in 16 lines, `dates`), which may not be redistributed. Real samples, with their real rain, are laid side
by side on 40 % of the ground. Work replaces the scatterers of its zone: later dates there continue another part of the
samples. Kept in benchmarks/results/control.md.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

from insar_mining.activity import area_intervals, significant_activity
from insar_mining.coherence.estimators.estimate import coherence
from insar_mining.errors import InsarMiningWarning
from insar_mining.simulate import worlds
from insar_mining.simulate.control_rows import CELLS, three_zones
from insar_mining.simulate.mine_stack import LINE_M, SAMPLE_M, _image

LINES, SCENES, MARGIN = 16, 3, 40
SOIL_SHARE, ROCK = 0.4, 0.93
WINDOW = (2, 7)


def tiles(rng: np.random.Generator, series: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Lay a series of samples (dates, lines, samples) side by side, turned over and moved at random."""
    across = -(-shape[1] // series.shape[2])
    rows = []
    for _ in range(-(-shape[0] // LINES)):
        parts = []
        for _ in range(across):
            part = series[:, :, :: rng.choice([-1, 1])][:, :: rng.choice([-1, 1])]
            parts.append(part * np.exp(2j * np.pi * rng.random()))
        rows.append(np.roll(np.concatenate(parts, axis=2), int(rng.integers(series.shape[2])), axis=2))
    return np.concatenate(rows, axis=1)[:, : shape[0], : shape[1]].astype(np.complex64)


def scene(rng: np.random.Generator, series: np.ndarray, worked: bool) -> worlds.KnownStack:
    """Make the maps of a mine on soil and rock."""
    side = CELLS + 2 * MARGIN
    south = np.arange(-worlds.RIM_M, side * 20 + worlds.RIM_M, LINE_M)[:, None]
    east = np.arange(-worlds.RIM_M, side * 20 + worlds.RIM_M, SAMPLE_M)[None, :]
    corner = MARGIN * 20.0
    size = np.multiply((CELLS, CELLS), 20.0)
    base, _, _ = worlds._ground(rng, {"soil": SOIL_SHARE}, south - corner, east - corner, size)
    soil = base < (worlds.KINDS["soil"].base + ROCK) / 2
    pairs = len(series) - 1
    work = three_zones(pairs) if worked else None
    zone = worlds._zones(work, south - corner, east - corner)
    real = tiles(rng, series, base.shape)
    image, layers = np.where(soil, real[0], _image(rng, base.shape)), []
    ever = np.zeros(base.shape, np.bool_)
    for pair in range(pairs):
        now = (zone >= 0) & work.pairs[pair][zone] if work is not None else np.zeros_like(ever)
        if now.any():
            real = np.where(now, tiles(rng, series, base.shape), real)
        kept = np.where(now, 0.05, base).astype(np.float32)
        rock = kept * image + np.sqrt(1 - kept**2) * _image(rng, base.shape)
        after = np.where(soil, real[pair + 1], rock).astype(np.complex64)
        layers.append(worlds._mapped(coherence(image.astype(np.complex64), after, *WINDOW), WINDOW, (side, side), 20.0))
        image, ever = after, ever | now
    cover = np.zeros((side, side), np.float32)
    cover[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
    cube = worlds._cube(np.stack(layers), cover, 20.0, MARGIN)
    shares = worlds._cell_shares(ever, south, east, (side, side), 20.0)
    return worlds.KnownStack(cube, float(ever.sum() * LINE_M * SAMPLE_M), shares)


def main(folder: Path) -> None:
    """Print the table."""
    print("| track | scene | mine | truth, m2 | area, m2 | interval, m2 | error | flags |")
    print("|---|---|---|---|---|---|---|---|")
    for number, path in enumerate(sorted(folder.glob("*_sm_point_ts.npz"))):
        with np.load(path) as data:
            series = data["slc"].reshape(len(data["slc"]), LINES, -1)
        series = series / np.sqrt((np.abs(series) ** 2).mean(axis=(1, 2), keepdims=True))
        for worked in (False, True):
            for seed in range(SCENES):
                world = scene(np.random.default_rng([2026, number, seed]), series, worked)
                row = area_intervals(world.coh, significant_activity(world.coh)).iloc[0]
                error = f"{100 * (row['area_m2'] / world.worked_m2 - 1):+.1f} %" if worked else ""
                kind = "worked" if worked else "closed"
                bounds = f"{row['area_low_m2']:,.0f} to {row['area_high_m2']:,.0f}"
                print(
                    f"| {path.stem.split('_')[2]} | {seed} | {kind} | {world.worked_m2:,.0f} "
                    f"| {row['area_m2']:,.0f} | {bounds} | {error} | {row['flags']} |",
                    flush=True,
                )


if __name__ == "__main__":
    warnings.simplefilter("ignore", InsarMiningWarning)
    main(Path(sys.argv[1]))
