"""Plot maps of one quantity: the mine, stable ground, the activity of each year."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from insar_mining.errors import ReportError
from insar_mining.geo.mines import Mine
from insar_mining.report.frame import (
    MapFrame,
    draw_outline,
    figure_of,
    finish_map,
    frame_of,
    legend_below,
    thin_factor,
    thin_mean,
)

NDAI_COLOURS = "viridis"
COHERENCE_COLOURS = "gray"
STABLE_COLOUR = "#0072b2"
MEAN_COHERENCE = "mean coherence (1 = ground looked the same every time)"
NDAI_CEILING = 0.45
MAP_WIDTH_IN = 4.8
NARROW_IN = 3.6
"""Three in a row fill a page."""


def map_figure(
    frame: MapFrame, panels: tuple[int, int] = (1, 1), width_in: float = MAP_WIDTH_IN, legend_rows: int = 0
) -> Figure:
    """Return an empty figure whose panels suit a map's shape (rows, columns of panels; inches per panel)."""
    width_km, height_km = frame.size_km
    height_in = min(max(width_in * height_km / width_km, 0.4 * width_in), 1.5 * width_in)
    rows, columns = panels
    # room for a title above, and for axis labels, a colour bar or a legend below
    return Figure(figsize=(columns * width_in, rows * (height_in + 0.9 + 0.16 * legend_rows)), layout="constrained")


def map_axes(frame: MapFrame, ax: Axes | None, legend_rows: int = 0) -> Axes:
    """Return the given axes, else those of a new figure that suits the map and its legend."""
    return map_figure(frame, legend_rows=legend_rows).add_subplot() if ax is None else ax


def draw_values(
    ax: Axes, frame: MapFrame, values: npt.NDArray[np.floating], colours: str, low: float, high: float
) -> AxesImage:
    """Draw cells in one colour each, without interpolation, and nothing where there is no data."""
    return ax.imshow(
        np.ma.masked_invalid(thin_mean(values)),
        cmap=colormaps[colours].with_extremes(bad=(0.0, 0.0, 0.0, 0.0)),
        vmin=low,
        vmax=high,
        extent=frame.extent_km,
        interpolation="nearest",
        origin="upper",
    )


def colour_bar(ax: Axes, image: AxesImage, label: str, extend: str) -> None:
    """Put a labelled colour bar below a map."""
    bar = figure_of(ax).colorbar(
        image, ax=ax, orientation="horizontal", extend=extend, fraction=0.04, pad=0.02, aspect=34
    )
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8, length=3)


def plane_of(raster: xr.DataArray) -> xr.DataArray:
    """Check that a raster has the two dimensions of a map and return it."""
    if raster.ndim != 2 or set(raster.dims) != {"y", "x"}:
        raise ReportError(f"a map needs the dimensions (y, x), this has {raster.dims}: select one layer first")
    return raster


def plot_mine(
    mean_coherence: xr.DataArray,
    mine: Mine,
    ax: Axes | None = None,
    *,
    label: str = MEAN_COHERENCE,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw a mine's outline over the coherence averaged over all pairs, or over that of one pair.

    Parameters
    ----------
    mean_coherence : DataArray (y, x)
        0 to 1, NaN without data; drawn on that fixed scale, dark is low.
    mine : Mine
    ax : Axes, optional
        Drawn into; by default into a new figure.
    label : str
        What the values are, for the colour bar.
    frame : MapFrame, optional
        The raster's place, for rasters that have lost their attribute ``crs``.

    Returns
    -------
    Axes
    """
    frame = frame_of(mean_coherence, frame)
    ax = map_axes(frame, ax)
    values = frame.north_up(plane_of(mean_coherence)).astype(np.float32)
    image = draw_values(ax, frame, values, COHERENCE_COLOURS, 0.0, 1.0)
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame)
    colour_bar(ax, image, label, "neither")
    return ax


def plot_stable_points(
    stable: xr.DataArray,
    mine: Mine,
    background: xr.DataArray | None = None,
    ax: Axes | None = None,
    *,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw the stable points, over the mean coherence if it is given.

    Parameters
    ----------
    stable : DataArray (y, x) of bool
    mine : Mine
    background : DataArray (y, x), optional
        Mean coherence 0 to 1, drawn pale below the points.
    ax, frame
        As for :func:`plot_mine`.

    Returns
    -------
    Axes
    """
    frame = frame_of(stable, frame)
    ax = map_axes(frame, ax)
    if background is not None:
        pale = 0.45 + 0.55 * frame.north_up(plane_of(background)).astype(np.float32)
        draw_values(ax, frame, pale, COHERENCE_COLOURS, 0.0, 1.0)
    mask = frame.north_up(plane_of(stable)).astype(bool)
    # where cells are drawn together, one stable cell is enough to show: points are few and scattered
    shown = thin_mean(mask) > 0 if thin_factor(*mask.shape) > 1 else mask
    layer = np.zeros((*shown.shape, 4))
    layer[shown] = to_rgba(STABLE_COLOUR)
    ax.imshow(layer, extent=frame.extent_km, interpolation="nearest", origin="upper")
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame)
    label = f"stable points ({np.count_nonzero(mask):,} cells)"
    legend_below(ax, [Patch(color=STABLE_COLOUR, label=label)], inches=0.45)
    return ax


def plot_ndai_year(
    ndai: xr.DataArray,
    mine: Mine,
    year: int,
    ax: Axes | None = None,
    *,
    ceiling: float = NDAI_CEILING,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw one year's mean NDAI on the scale 0 (stable) to `ceiling` (disturbed in every pair).

    Parameters
    ----------
    ndai : DataArray (y, x)
        Unclipped; values beyond the scale take the colour of its end.
    mine : Mine
    year : int
    ax, frame
        As for :func:`plot_mine`.
    ceiling : float
        Upper end of the scale, > 0; the same for all years, or maps could not be compared.

    Returns
    -------
    Axes
    """
    frame = frame_of(ndai, frame)
    ax = map_axes(frame, ax)
    values = frame.north_up(plane_of(ndai)).astype(np.float32)
    image = draw_values(ax, frame, values, NDAI_COLOURS, 0.0, ceiling)
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame, title=str(year))
    colour_bar(ax, image, "annual NDAI (0 = as stable as the stable points)", "both")
    return ax


def plot_annual_ndai(
    annual: xr.DataArray, mine: Mine, *, ceiling: float = NDAI_CEILING, frame: MapFrame | None = None
) -> Figure:
    """Draw the annual NDAI of every year side by side, all on one scale.

    Parameters
    ----------
    annual : DataArray (year, y, x)
    mine : Mine
    ceiling, frame
        As for :func:`plot_ndai_year`.

    Returns
    -------
    Figure
        One axes per year, in the order of `annual`.
    """
    years = [int(year) for year in np.atleast_1d(annual["year"].values)]
    if not years:
        raise ReportError("no year to draw: the annual NDAI is empty")
    frame = frame_of(annual, frame)
    columns = min(3, len(years))
    rows = -(-len(years) // columns)
    figure = map_figure(frame, (rows, columns), NARROW_IN)
    for place, year in enumerate(years):
        ax = figure.add_subplot(rows, columns, place + 1)
        plot_ndai_year(annual.isel(year=place), mine, year, ax, ceiling=ceiling, frame=frame)
    return figure


def mean_coherence(coh: xr.DataArray, block_rows: int = 512) -> xr.DataArray:
    """Compute the mean over the pairs of a stack without holding the stack.

    Blocks of rows of one pair at a time are read and summed in double precision, so that
    memory is a few blocks and one map, however many pairs there are.

    Parameters
    ----------
    coh : DataArray (pair, y, x)
        May be backed lazily by files; NaN is left out.
    block_rows : int
        Rows read at once; 512 is the usual height of a tile in a cloud-optimised GeoTIFF.

    Returns
    -------
    DataArray (y, x) float32
        NaN where no pair has data.
    """
    coh = coh.transpose("pair", "y", "x")
    mean = np.full((coh.sizes["y"], coh.sizes["x"]), np.nan, dtype=np.float32)
    for start in range(0, coh.sizes["y"], block_rows):
        rows = coh.isel(y=slice(start, start + block_rows))
        total = np.zeros((rows.sizes["y"], rows.sizes["x"]))
        count = np.zeros(total.shape, dtype=np.int32)
        for pair in range(coh.sizes["pair"]):
            layer = rows.isel(pair=pair).values
            finite = np.isfinite(layer)
            total[finite] += layer[finite]
            count += finite
        np.divide(total, count, out=total, where=count > 0)
        mean[start : start + block_rows] = np.where(count > 0, total, np.nan)
    return xr.DataArray(
        mean, dims=("y", "x"), coords={"y": coh["y"], "x": coh["x"]}, name="mean_coherence", attrs=dict(coh.attrs)
    )
