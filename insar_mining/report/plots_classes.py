"""Plot maps and legends of the three-year composite and of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from insar_mining.errors import ReportError
from insar_mining.geo.mines import Mine
from insar_mining.report.frame import (
    MapFrame,
    draw_outline,
    finish_map,
    frame_of,
    legend_below,
    no_data_patch,
    thin_majority,
    thin_mean,
)
from insar_mining.report.plots_maps import map_axes, map_figure

YEARS_OF_COLOUR: Mapping[str, tuple[int, ...]] = {
    "red": (0,),
    "green": (1,),
    "blue": (2,),
    "yellow": (0, 1),
    "cyan": (1, 2),
    "magenta": (0, 2),
    "white": (0, 1, 2),
    "black": (),
}
"""Which of the three years were active, by the colour that their light mixes to (Table 1 of the published method)."""

_HEX = {
    "red": "#ff0000",
    "green": "#00c800",
    "blue": "#0000ff",
    "yellow": "#ffe600",
    "cyan": "#00e5e5",
    "magenta": "#ff00ff",
    "white": "#ffffff",
    "black": "#000000",
}
_ALIASES = {"r": "red", "g": "green", "b": "blue", "y": "yellow", "c": "cyan", "m": "magenta", "w": "white"}
_ALIASES |= {"k": "black", "none": "black", "inactive": "black", "all": "white"}
# Okabe and Ito's colours, for classes that are not the eight: distinct with any colour vision
_OTHER = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")

BAND_COLOUR = "#14213d"
BAND_WIDTH_IN = 2.5
QUIET_COLOUR = "#f1f1ee"
FOUND_COLOURS: Mapping[str, str] = {
    "active, and found": "#0072b2",
    "active, but missed": "#000000",
    "found, but not active": "#e69f00",
    "neither": QUIET_COLOUR,
}


def class_flags(classes: xr.DataArray) -> dict[int, str]:
    """Return {value: meaning} from the CF attributes ``flag_values`` and ``flag_meanings``.

    Raises
    ------
    ReportError
        An attribute is missing, or there are not as many meanings as values.
    """
    values = classes.attrs.get("flag_values")
    meanings = classes.attrs.get("flag_meanings")
    if values is None or meanings is None:
        raise ReportError("classes need the attributes flag_values and flag_meanings (CF conventions, section 3.5)")
    names = meanings.split() if isinstance(meanings, str) else [str(meaning) for meaning in meanings]
    numbers = [int(value) for value in np.atleast_1d(values)]
    if len(names) != len(numbers):
        raise ReportError(f"{len(numbers)} flag_values but {len(names)} flag_meanings: give one meaning for each value")
    return dict(zip(numbers, names, strict=True))


def colour_name(meaning: str) -> str | None:
    """Return the colour that a class means ("R", "red", "Red"), or None if none of the eight."""
    lower = meaning.lower()
    name = _ALIASES.get(lower, lower)
    return name if name in _HEX else None


def class_colours(flags: Mapping[int, str]) -> dict[int, str]:
    """Return {value: "#rrggbb"}: the method's own colours, and distinct ones for other classes."""
    colours, spare = {}, 0
    for value, meaning in flags.items():
        name = colour_name(meaning)
        if name is None:
            colours[value] = _OTHER[spare % len(_OTHER)]
            spare += 1
        else:
            colours[value] = _HEX[name]
    return colours


def describe_class(meaning: str, years: Sequence[int] | None) -> str:
    """Describe in words when the ground of a class was active.

    Examples
    --------
    >>> describe_class("cyan", (2021, 2022, 2023))
    'active in 2022 and 2023'
    >>> describe_class("haul_road", None)
    'haul road'
    """
    name = colour_name(meaning)
    if name is None:
        return meaning.replace("_", " ")
    labels = [f"year {place + 1}" for place in range(3)] if years is None else [str(year) for year in years]
    active = [labels[place] for place in YEARS_OF_COLOUR[name]]
    if not active:
        return "active in none of the three years"
    if len(active) == 3:
        return "active in all three years"
    return f"active in {active[0]} only" if len(active) == 1 else f"active in {active[0]} and {active[1]}"


def years_of(raster: xr.DataArray) -> tuple[int, int, int] | None:
    """Return a composite's (or its classes') three years from its attribute or coordinate, if it has them."""
    found = raster.attrs.get("years", raster.coords["year"].values if "year" in raster.coords else None)
    if found is None or np.size(found) != 3:
        return None
    first, second, third = (int(year) for year in found)
    return first, second, third


def plot_rgb(rgb: xr.DataArray, mine: Mine, ax: Axes | None = None, *, frame: MapFrame | None = None) -> Axes:
    """Draw three years' NDAI as red, green and blue light.

    Parameters
    ----------
    rgb : DataArray (band, y, x)
        0 to 1; a cell with NaN in any band is drawn as no data.
    mine : Mine
    ax : Axes, optional
        Drawn into; by default into a new figure.
    frame : MapFrame, optional
        The raster's place, for rasters that have lost their attribute ``crs``.

    Returns
    -------
    Axes
    """
    if rgb.ndim != 3 or set(rgb.dims) != {"band", "y", "x"} or rgb.sizes["band"] != 3:
        raise ReportError(f"a composite needs the dimensions (band: 3, y, x), this has {dict(rgb.sizes)}")
    frame = frame_of(rgb, frame)
    ax = map_axes(frame, ax)
    values = np.moveaxis(thin_mean(frame.north_up(rgb).astype(np.float32)), 0, -1)
    known = np.isfinite(values).all(axis=-1, keepdims=True)
    picture = np.concatenate([np.clip(np.where(known, values, 0.0), 0.0, 1.0), known], axis=-1)
    ax.imshow(picture, extent=frame.extent_km, interpolation="nearest", origin="upper")
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame)
    return ax


def plot_rgb_legend(years: Sequence[int], ax: Axes | None = None) -> Axes:
    """Draw how the colours of three years mix: three overlapping discs, every region named.

    Parameters
    ----------
    years : sequence of 3 int
        Red, green, blue.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    if len(years) != 3:
        raise ReportError(f"a composite shows three years, not {len(years)}")
    if ax is None:
        ax = Figure(figsize=(4.6, 4.4), layout="constrained").add_subplot()
    angles = np.deg2rad([150.0, 30.0, 270.0])
    centres = 0.62 * np.column_stack([np.cos(angles), np.sin(angles)])
    x, y = np.meshgrid(np.linspace(-1.75, 1.75, 700), np.linspace(1.75, -1.75, 700))
    light = np.stack([np.hypot(x - cx, y - cy) <= 1.0 for cx, cy in centres], axis=-1)
    ax.imshow(light.astype(float), extent=(-1.75, 1.75, -1.75, 1.75), interpolation="nearest")
    for name, members in YEARS_OF_COLOUR.items():
        place = _legend_place(centres, members)
        text = "\n".join([name, *(_short_years(years, members))])
        # only blue and black are so dark that white ink reads better than black (WCAG contrast)
        ink = "white" if name in ("blue", "black") else "black"
        ax.text(*place, text, ha="center", va="center", fontsize=8, color=ink, linespacing=1.1)
    ax.set_axis_off()
    return ax


def _legend_place(centres: npt.NDArray[np.float64], members: tuple[int, ...]) -> tuple[float, float]:
    if not members:
        return 1.4, -1.5
    x, y = centres[list(members)].mean(axis=0)
    stretch = {1: 1.65, 2: 2.1, 3: 1.0}[len(members)]
    return float(stretch * x), float(stretch * y)


def _short_years(years: Sequence[int], members: tuple[int, ...]) -> list[str]:
    if not members:
        return ["no year"]
    if len(members) == 3:
        return ["all three"]
    chosen = [str(years[member]) for member in members]
    return [f"{chosen[0]} only"] if len(chosen) == 1 else [f"{chosen[0]} +", chosen[1]]


def plot_classes(
    classes: xr.DataArray,
    mine: Mine,
    ax: Axes | None = None,
    *,
    years: Sequence[int] | None = None,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw the class of every cell, with a legend that counts them.

    Parameters
    ----------
    classes : DataArray (y, x) of integers
        With the attributes ``flag_values`` and ``flag_meanings``; any other value is drawn as no data.
    mine : Mine
    ax : Axes, optional
    years : sequence of 3 int, optional
        By default those of the raster's attribute ``years``.
    frame : MapFrame, optional

    Returns
    -------
    Axes
        Its image holds the place of each cell's class in ``flag_values``, masked without data.
    """
    flags = class_flags(classes)
    years = years_of(classes) if years is None else years
    frame = frame_of(classes, frame)
    ax = map_axes(frame, ax, legend_rows=len(flags) + 1)
    labels = frame.north_up(classes)
    places = np.full(labels.shape, -1, dtype=np.int16)
    for place, value in enumerate(flags):
        places[labels == value] = place
    colours = list(class_colours(flags).values())
    _draw_labels(ax, frame, places, colours)
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame)
    handles = [
        Patch(
            facecolor=colour,
            edgecolor="black",
            linewidth=0.5,
            label=f"{meaning}: {describe_class(meaning, years)} ({np.count_nonzero(places == place):,})",
        )
        for place, (colour, meaning) in enumerate(zip(colours, flags.values(), strict=True))
    ]
    handles.append(no_data_patch())
    legend_below(ax, handles, inches=0.45)
    return ax


def plot_class_band(
    classes: xr.DataArray,
    mine: Mine,
    value: int,
    ax: Axes | None = None,
    *,
    years: Sequence[int] | None = None,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw the cells of one class, dark on pale, for eyes and printers that cannot tell the colours.

    Parameters
    ----------
    classes, mine, ax, years, frame
        As for :func:`plot_classes`.
    value : int
        One of the raster's ``flag_values``.

    Returns
    -------
    Axes
    """
    flags = class_flags(classes)
    if value not in flags:
        raise ReportError(f"class {value} is not one of the flag_values {list(flags)}")
    years = years_of(classes) if years is None else years
    frame = frame_of(classes, frame)
    ax = map_axes(frame, ax)
    labels = frame.north_up(classes)
    band = np.where(labels == value, 1, 0)
    band[~np.isin(labels, list(flags))] = -1
    _draw_labels(ax, frame, band, [QUIET_COLOUR, BAND_COLOUR])
    draw_outline(ax, frame, mine.geometry)
    name = flags[value].replace("_", " ")
    title = f"{name[:1].upper()}{name[1:]}\n{describe_class(flags[value], years)}"
    finish_map(ax, frame, title=title, ticks=False)
    return ax


def _draw_labels(ax: Axes, frame: MapFrame, labels: npt.NDArray[np.integer], colours: Sequence[str]) -> None:
    ax.imshow(
        np.ma.masked_less(thin_majority(labels), 0),
        cmap=ListedColormap(list(colours)).with_extremes(bad=(0.0, 0.0, 0.0, 0.0)),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        extent=frame.extent_km,
        interpolation="nearest",
        origin="upper",
    )


def plot_class_bands(
    classes: xr.DataArray, mine: Mine, *, years: Sequence[int] | None = None, frame: MapFrame | None = None
) -> Figure:
    """Draw every class as a map of its own, four in a row.

    Parameters
    ----------
    classes, mine, years, frame
        As for :func:`plot_classes`.

    Returns
    -------
    Figure
        One axes per class, in the order of ``flag_values``.
    """
    flags = class_flags(classes)
    frame = frame_of(classes, frame)
    columns = min(4, len(flags))
    rows = -(-len(flags) // columns)
    figure = map_figure(frame, (rows, columns), BAND_WIDTH_IN)
    for place, value in enumerate(flags):
        plot_class_band(classes, mine, value, figure.add_subplot(rows, columns, place + 1), years=years, frame=frame)
    return figure


def plot_found_and_truth(
    found: xr.DataArray,
    truth: xr.DataArray,
    mine: Mine,
    year: int,
    ax: Axes | None = None,
    *,
    frame: MapFrame | None = None,
) -> Axes:
    """Draw where the detected activity agrees with the simulated activity.

    Parameters
    ----------
    found, truth : DataArray (y, x)
        True (or 1) where active; NaN where nothing is known.
    mine : Mine
    year : int
    ax, frame
        As for :func:`plot_rgb`.

    Returns
    -------
    Axes
    """
    frame = frame_of(found, frame)
    ax = map_axes(frame, ax, legend_rows=len(FOUND_COLOURS))
    was_found = frame.north_up(found).astype(np.float32)
    was_active = frame.north_up(truth).astype(np.float32)
    kind = np.full(was_found.shape, 3, dtype=np.int16)
    kind[(was_found > 0) & (was_active > 0)] = 0
    kind[~(was_found > 0) & (was_active > 0)] = 1
    kind[(was_found > 0) & ~(was_active > 0)] = 2
    kind[np.isnan(was_found) | np.isnan(was_active)] = -1
    _draw_labels(ax, frame, kind, list(FOUND_COLOURS.values()))
    draw_outline(ax, frame, mine.geometry)
    finish_map(ax, frame, title=str(year))
    handles = [
        Patch(
            facecolor=colour, edgecolor="black", linewidth=0.5, label=f"{label} ({np.count_nonzero(kind == place):,})"
        )
        for place, (label, colour) in enumerate(FOUND_COLOURS.items())
    ]
    legend_below(ax, handles, inches=0.45)
    return ax
