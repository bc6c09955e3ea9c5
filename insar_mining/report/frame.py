"""Locate a raster on the ground, in kilometres, so that every map of a report has the same axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError
from shapely import get_coordinates
from shapely import transform as transform_geometry
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import FloatArray
from insar_mining.errors import ReportError

MAX_DRAWN_CELLS = 1200
"""Longest side of a drawn map in cells: more than a page can show, so larger rasters are aggregated first."""

OUTLINE_COLOUR = "#111111"
NO_DATA = "////"
"""Cells without data are hatched: no grey or colour of a scale can be taken for it."""
NO_DATA_EDGE = "#b5b5b5"


@dataclass(frozen=True)
class MapFrame:
    """Describe the place of a north-up raster: its outer edges, and the ground length of its cells.

    Lengths are geodesic (WGS 84) along the raster's middle row and column, so that a UTM, a
    geographic and a Mercator raster get the same kilometres. Over the extent of a mine the
    change of scale inside the map is far below the width of a line.

    Attributes
    ----------
    crs : pyproj.CRS
    west, north : float
        Outer edges of the first column and of the northernmost row, in units of the CRS.
    step_x, step_y : float
        Cell sizes in units of the CRS, both positive.
    width, height : int
        Number of cells.
    km_per_x, km_per_y : float
        Kilometres on the ground per unit of the CRS.
    window : (int, int, int, int), optional
        Rows and columns of the raster on each side of the frame and its shape (top, left, height, width), where it
        shows a part of one.
    """

    crs: CRS
    west: float
    north: float
    step_x: float
    step_y: float
    width: int
    height: int
    km_per_x: float
    km_per_y: float
    window: tuple[int, int, int, int] | None = None

    @classmethod
    def of(cls, raster: xr.DataArray) -> MapFrame:
        """Return the frame of a raster with coordinates ``x`` and ``y`` and an attribute ``crs``.

        Raises
        ------
        ReportError
            No CRS, no coordinates, or cells that are not of one size.
        """
        if "crs" not in raster.attrs:
            raise ReportError(f"raster {raster.name!r} has no attribute 'crs': set .attrs['crs'], e.g. to 'EPSG:32629'")
        crs = CRS.from_user_input(raster.attrs["crs"])
        transform = raster.attrs.get("transform")
        step_x = _step(raster, "x", None if transform is None else float(transform[0]))
        step_y = _step(raster, "y", None if transform is None else float(transform[4]))
        west = float(raster["x"].values.min()) - step_x / 2
        north = float(raster["y"].values.max()) + step_y / 2
        width, height = raster.sizes["x"], raster.sizes["y"]
        km_x, km_y = _ground_scale(crs, west, north, step_x * width, step_y * height)
        return cls(crs, west, north, step_x, step_y, width, height, km_x, km_y)

    def around(self, area: BaseGeometry, border: float = 0.1) -> MapFrame:
        """Return the part of the frame that holds an area with a border, a share of its longer side.

        Parameters
        ----------
        area : shapely geometry in longitude and latitude
        border : float
        """
        to_map = Transformer.from_crs(4326, self.crs, always_xy=True)
        x, y = to_map.transform(*get_coordinates(area.segmentize(1e-3)).T)
        step = np.array([self.step_x, self.step_y])
        first = np.array([x.min() - self.west, self.north - y.max()]) / step
        last = np.array([x.max() - self.west, self.north - y.min()]) / step
        edge = border * (last - first).max()
        full = np.array([self.width, self.height])
        left, top = (int(value) for value in np.clip(np.floor(first - edge), 0, full - 1))
        right, bottom = (int(value) for value in np.clip(np.ceil(last + edge), [left + 1, top + 1], full))
        return replace(
            self,
            west=self.west + left * self.step_x,
            north=self.north - top * self.step_y,
            width=right - left,
            height=bottom - top,
            window=(top, left, self.height, self.width),
        )

    @property
    def size_km(self) -> tuple[float, float]:
        """(width, height) of the map on the ground, kilometres."""
        return self.width * self.step_x * self.km_per_x, self.height * self.step_y * self.km_per_y

    @property
    def extent_km(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) for ``imshow``, kilometres from the south-west corner."""
        width, height = self.size_km
        return 0.0, width, 0.0, height

    def north_up(self, raster: xr.DataArray) -> npt.NDArray[Any]:
        """Return the values of the frame, the first row in the north and the first column in the west.

        Raises
        ------
        ReportError
            The raster has another shape than the frame.
        """
        top, left, height, width = self.window or (0, 0, self.height, self.width)
        if (raster.sizes["y"], raster.sizes["x"]) != (height, width):
            raise ReportError(
                f"raster {raster.name!r} has {raster.sizes['y']} x {raster.sizes['x']} cells, the map has "
                f"{height} x {width}: bring all rasters of a report to one grid"
            )
        values = raster.transpose(..., "y", "x").values
        if height > 1 and raster["y"].values[0] < raster["y"].values[-1]:
            values = values[..., ::-1, :]
        if width > 1 and raster["x"].values[0] > raster["x"].values[-1]:
            values = values[..., ::-1]
        return np.asarray(values[..., top : top + self.height, left : left + self.width])

    def rings_km(self, area: BaseGeometry) -> list[FloatArray]:
        """Return the rings of polygons given in longitude and latitude as (n, 2) arrays of kilometres."""
        to_map = Transformer.from_crs(4326, self.crs, always_xy=True)
        south = self.north - self.height * self.step_y

        def to_km(lonlat: FloatArray) -> FloatArray:
            x, y = to_map.transform(lonlat[:, 0], lonlat[:, 1])
            return np.column_stack([(x - self.west) * self.km_per_x, (y - south) * self.km_per_y])

        boundary = transform_geometry(area.segmentize(1e-3), to_km).boundary
        return [get_coordinates(line) for line in getattr(boundary, "geoms", [boundary])]


def _step(raster: xr.DataArray, axis: str, from_transform: float | None) -> float:
    if axis not in raster.coords:
        raise ReportError(f"raster {raster.name!r} has no coordinate {axis!r}: give the cell centres")
    centres = np.asarray(raster[axis].values, dtype=float)
    if centres.size == 1:
        if from_transform is None:
            raise ReportError(
                f"raster {raster.name!r} is one cell wide along {axis!r} and has no attribute 'transform': "
                "the size of the cell is unknown"
            )
        return abs(from_transform)
    steps = np.diff(centres)
    step = (centres[-1] - centres[0]) / (centres.size - 1)
    if step == 0 or np.abs(steps - step).max() > 1e-3 * abs(step):
        raise ReportError(f"raster {raster.name!r} has uneven coordinates {axis!r}: resample it to one cell size")
    return abs(float(step))


def _ground_scale(crs: CRS, west: float, north: float, span_x: float, span_y: float) -> tuple[float, float]:
    try:
        to_lonlat = Transformer.from_crs(crs, 4326, always_xy=True)
        middle_x, middle_y = west + span_x / 2, north - span_y / 2
        lon, lat = to_lonlat.transform(
            [west, west + span_x, middle_x, middle_x], [middle_y, middle_y, north, north - span_y]
        )
        _, _, metres = Geod(ellps="WGS84").inv([lon[0], lon[2]], [lat[0], lat[2]], [lon[1], lon[3]], [lat[1], lat[3]])
    except ProjError as error:
        raise ReportError(f"the CRS {crs.name!r} cannot be brought to longitude and latitude: {error}") from error
    scale_x, scale_y = metres[0] / span_x / 1000, metres[1] / span_y / 1000
    if not (0 < scale_x < math.inf and 0 < scale_y < math.inf):
        raise ReportError(f"west {west}, north {north} lie outside the CRS {crs.name!r}: check the raster's CRS")
    return float(scale_x), float(scale_y)


def thin_factor(height: int, width: int) -> int:
    """Return the number of cells per side that become one when a map is drawn (1 up to `MAX_DRAWN_CELLS`)."""
    return max(1, math.ceil(max(height, width) / MAX_DRAWN_CELLS))


def _blocks(values: npt.NDArray[Any], factor: int, fill: float) -> npt.NDArray[Any]:
    """Cut (..., y, x) into (..., y', x', factor * factor), padding the south and east edges with `fill`."""
    *leading, height, width = values.shape
    rows, columns = -(-height // factor), -(-width // factor)
    pad = [(0, 0)] * len(leading) + [(0, rows * factor - height), (0, columns * factor - width)]
    padded = np.pad(values, pad, constant_values=fill)
    cut = padded.reshape(*leading, rows, factor, columns, factor)
    return np.moveaxis(cut, -3, -2).reshape(*leading, rows, columns, factor * factor)


def thin_mean(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Aggregate a map that is too large to draw: the mean of the finite cells of each block.

    Drawing every n-th cell instead would lose or invent small features.
    """
    factor = thin_factor(*values.shape[-2:])
    if factor == 1:
        return values
    blocks = _blocks(values.astype(np.float32), factor, np.nan)
    count = np.isfinite(blocks).sum(axis=-1)
    total = np.nansum(blocks, axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def thin_majority(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """Aggregate a map of labels that is too large to draw: the most frequent label of each block."""
    factor = thin_factor(*labels.shape)
    if factor == 1:
        return labels
    candidates = np.unique(labels)
    blocks = _blocks(labels, factor, int(candidates[0]))
    # padded cells must not vote
    inside = _blocks(np.ones(labels.shape, dtype=bool), factor, False)
    counts = np.stack([((blocks == label) & inside).sum(axis=-1) for label in candidates])
    return np.asarray(candidates[counts.argmax(axis=0)])


def draw_outline(ax: Axes, frame: MapFrame, area: BaseGeometry) -> None:
    """Draw a mine's outline, dark with a light halo, so that it shows on any ground."""
    for ring in frame.rings_km(area):
        (line,) = ax.plot(ring[:, 0], ring[:, 1], color=OUTLINE_COLOUR, linewidth=1.1, gid="mine-outline")
        line.set_path_effects([withStroke(linewidth=2.8, foreground="white", alpha=0.85)])


def scale_bar_km(width_km: float) -> float:
    """Return a round length, 1, 2 or 5 times a power of ten, of at most 30 % of the map's width.

    Examples
    --------
    >>> scale_bar_km(10.0), scale_bar_km(1.5), scale_bar_km(0.8)
    (2.0, 0.2, 0.2)
    """
    limit = 0.3 * width_km
    power = 10.0 ** math.floor(math.log10(limit))
    return max(step * power for step in (1, 2, 5) if step * power <= limit * (1 + 1e-9))


def no_data_patch() -> Patch:
    """Return the legend's entry for cells without data."""
    return Patch(facecolor="white", edgecolor=NO_DATA_EDGE, hatch=NO_DATA, linewidth=0.5, label="no data")


def finish_map(ax: Axes, frame: MapFrame, *, title: str | None = None, ticks: bool = True) -> None:
    """Give a map its limits, kilometre axes, scale bar and north arrow."""
    left, right, bottom, top = frame.extent_km
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.patch.set(facecolor="white", edgecolor=NO_DATA_EDGE, hatch=NO_DATA, linewidth=0.0)
    if ticks:
        ax.set_xlabel("km towards east", fontsize=8)
        ax.set_ylabel("km towards north", fontsize=8)
        ax.tick_params(labelsize=8, length=3)
        ax.locator_params(nbins=6)
    else:
        ax.set(xticks=[], yticks=[])
    length = scale_bar_km(right)
    text = f"{length:g} km" if length >= 1 else f"{1000 * length:g} m"
    bar = AnchoredSizeBar(
        ax.transData,
        length,
        text,
        loc="lower left",
        pad=0.35,
        borderpad=0.4,
        sep=3,
        size_vertical=0.006 * top,
        color="black",
        fontproperties=FontProperties(size=8),
    )
    bar.patch.set(alpha=0.85, linewidth=0)
    ax.add_artist(bar)
    north = ax.text(0.975, 0.965, "N\n↑", transform=ax.transAxes, ha="right", va="top", fontsize=9, linespacing=0.85)
    north.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    if title is not None:
        ax.set_title(title, fontsize=9.5, loc="left", fontweight="bold", parse_math=False)


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes belong to."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ReportError("the axes belong to no figure: make them with Figure.add_subplot")
    return figure


def legend_below(ax: Axes, handles: Sequence[Artist], *, inches: float, columns: int = 1) -> None:
    """Put a legend a fixed distance below the axes, whatever their height."""
    ax.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=ax.transAxes + ScaledTranslation(0.0, -inches, figure_of(ax).dpi_scale_trans),
        ncols=columns,
        fontsize=8,
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.0,
    )


def frame_of(raster: xr.DataArray, frame: MapFrame | None) -> MapFrame:
    """Return the given frame, else the raster's own."""
    return MapFrame.of(raster) if frame is None else frame
