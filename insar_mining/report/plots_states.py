"""Plot what is known of every cell of a year."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from insar_mining.activity.significant.states import State
from insar_mining.geo.mines import Mine
from insar_mining.report.frame import (
    MapFrame,
    draw_outline,
    finish_map,
    frame_of,
    legend_below,
    no_data_patch,
    thin_majority,
)
from insar_mining.report.plots_maps import map_axes

# colours that people with any colour vision tell apart (Okabe and Ito 2008, https://jfly.uni-koeln.de/color/)
STATE_COLOURS = {
    State.QUIET: "#f0f0f0",
    State.ACTIVE: "#d55e00",
    State.DOUBT: "#cc79a7",
    State.PARTIAL: "#f0e442",
    State.WEATHER_ONLY: "#56b4e9",
    State.BLIND: "#666666",
    State.NATURAL: "#009e73",
    State.SETTLED: "#0072b2",
}
STATE_WORDS = {
    State.QUIET: "quiet",
    State.ACTIVE: "worked",
    State.DOUBT: "in doubt: never coherent",
    State.PARTIAL: "partly disturbed",
    State.WEATHER_ONLY: "low only when all like ground was",
    State.BLIND: "no pair could show work",
    State.NATURAL: "as low outside: natural, or worked as well",
    State.SETTLED: "natural by a mask",
}


def plot_states(
    states: xr.DataArray, mine: Mine, ax: Axes | None = None, *, title: str | None = None, frame: MapFrame | None = None
) -> Axes:
    """Draw the state of every cell of a mine in one year.

    Parameters
    ----------
    states : DataArray (y, x) of uint8
        Of :class:`insar_mining.activity.significant.states.State`.
    mine : Mine
    ax : Axes, optional
    title : str, optional
    frame : MapFrame, optional

    Returns
    -------
    Axes
    """
    frame = frame_of(states, frame)
    values = frame.north_up(states)
    there = [state for state in STATE_COLOURS if (values == state).any()]
    ax = map_axes(frame, ax, legend_rows=len(there) + 1)
    places = np.full(values.shape, -1, np.int16)
    for place, state in enumerate(STATE_COLOURS):
        places[values == state] = place
    ax.imshow(
        np.ma.masked_less(thin_majority(places), 0),
        cmap=ListedColormap(list(STATE_COLOURS.values())).with_extremes(bad=(0.0, 0.0, 0.0, 0.0)),
        vmin=-0.5,
        vmax=len(STATE_COLOURS) - 0.5,
        extent=frame.extent_km,
        interpolation="nearest",
        origin="upper",
    )
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame, title=title)
    handles = [
        Patch(facecolor=STATE_COLOURS[state], edgecolor="black", linewidth=0.5, label=STATE_WORDS[state])
        for state in there
    ]
    legend_below(ax, [*handles, no_data_patch()], inches=0.45)
    return ax
