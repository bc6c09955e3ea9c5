"""Draw the pictures of the pages on concepts and activity from simulated mines, when the site is built."""

from __future__ import annotations

import io

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from insar_mining.activity import significant_activity
from insar_mining.coherence.estimators.statistics import expected_coherence
from insar_mining.report.plots_states import STATE_COLOURS, STATE_WORDS
from insar_mining.simulate.control_rows import closed_mine, tight_polygon
from insar_mining.simulate.mine_stack import CELL_M, MineStack, WorkedZone, simulate_mine_stack

ZONES = (WorkedZone((420.0, 500.0), 220.0, (2021,), duty=0.6), WorkedZone((840.0, 700.0), 130.0, (2021,), duty=0.15))


def draw_all() -> dict[str, bytes]:
    """Draw every picture; file names and SVG."""
    mine = simulate_mine_stack(np.random.default_rng(7), ZONES, snow=0.0, gaps=0.0, stale_slopes=0.0)
    return {
        "one-pair.svg": _svg(one_pair(mine)),
        "series.svg": _svg(series(mine)),
        "looks.svg": _svg(looks()),
        "rain-pair.svg": _svg(decided(closed_mine("soil, hard rain").make(np.random.default_rng(1)).coh)),
        "season.svg": _svg(decided(closed_mine("grass").make(np.random.default_rng(2)).coh)),
        "tight-pit.svg": _svg(decided(tight_polygon(0.15).make(np.random.default_rng(3)).coh)),
    }


def one_pair(mine: MineStack) -> Figure:
    """Draw the coherence of one pair beside the ground that was worked."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    pair = int(np.argmax(mine.worked.all(axis=1)))
    image = _map(left, mine.coh.isel(pair=pair), "coherence of one pair", "gray")
    figure.colorbar(image, ax=left, shrink=0.8)
    image = _map(
        right, xr.zeros_like(mine.coh.isel(pair=0)) + mine.active[2021], "share of each cell worked", "viridis"
    )
    figure.colorbar(image, ax=right, shrink=0.8)
    return figure


def series(mine: MineStack) -> Figure:
    """Draw the coherence of a worked and of an untouched place over a year."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    ax = figure.subplots()
    middle = mine.coh["reference_date"] + (mine.coh["secondary_date"] - mine.coh["reference_date"]) / 2
    for label, (east, south), colour in (
        ("worked in most pairs", ZONES[0].centre_m, "tab:red"),
        ("worked now and then", ZONES[1].centre_m, "tab:orange"),
        ("rock", (1000.0, 150.0), "tab:blue"),
    ):
        row, column = round(south / CELL_M), round(east / CELL_M)
        place = mine.coh.isel(y=slice(row - 1, row + 2), x=slice(column - 1, column + 2)).mean(("y", "x"))
        ax.plot(middle.values, place.values, marker="o", markersize=3, label=label, color=colour)
    ax.set(ylabel="coherence", ylim=(0, 1))
    ax.legend(loc="lower right", ncols=3, frameon=False)
    return figure


def looks() -> Figure:
    """Draw what a window of few looks reads on average."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    ax = figure.subplots()
    true = np.linspace(0, 0.99, 60)
    for count in (4.5, 7.0, 14.0, 30.0):
        ax.plot(true, expected_coherence(true, count), label=f"{count:g} looks")
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=0.8)
    ax.set(xlabel="true coherence", ylabel="mean estimate", xlim=(0, 1), ylim=(0, 1))
    ax.legend(frameon=False)
    return figure


def decided(coh: xr.DataArray) -> Figure:
    """Draw a year's most and least coherent pair, the outline of the mine, and what is decided of its cells."""
    states = significant_activity(coh).states.values[0]
    inside = coh["cover"].values > 0
    mean = coh.where(inside).mean(("y", "x")).values
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    best, worst, result = figure.subplots(1, 3)
    _map(best, coh.isel(pair=int(mean.argmax())), "most coherent pair", "gray")
    image = _map(worst, coh.isel(pair=int(mean.argmin())), "least coherent pair", "gray")
    figure.colorbar(image, ax=[best, worst], shrink=0.7, label="coherence")
    for ax in (best, worst, result):
        ax.contour(inside, [0.5], colors="tab:red", linewidths=1.0, origin="upper", extent=best.images[0].get_extent())
    _states(result, states)
    return figure


def _states(ax: Axes, states: np.ndarray) -> None:
    """Draw the states of a mine's cells, and a legend of those that occur."""
    codes = list(STATE_WORDS)
    index = np.full(states.shape, np.nan)
    for place, code in enumerate(codes):
        index[states == code] = place
    colours = [STATE_COLOURS[code] for code in codes]
    kilometres = (0, states.shape[1] * CELL_M / 1000, 0, states.shape[0] * CELL_M / 1000)
    ax.imshow(index, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(codes) - 0.5, extent=kilometres)
    for place in np.unique(index[np.isfinite(index)]).astype(int):
        ax.plot([], [], "s", color=colours[place], markeredgecolor="0.4", label=STATE_WORDS[codes[place]])
    ax.set(title="decided", xlabel="km", ylabel="km")
    ax.legend(loc="upper right", fontsize=7)


def _map(ax: Axes, layer: xr.DataArray, title: str, colours: str) -> AxesImage:
    kilometres = (0, layer.sizes["x"] * CELL_M / 1000, 0, layer.sizes["y"] * CELL_M / 1000)
    image = ax.imshow(layer.values, vmin=0, vmax=1, cmap=colours, extent=kilometres)
    ax.set(title=title, xlabel="km", ylabel="km")
    return image


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()
