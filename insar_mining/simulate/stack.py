"""Simulate stacks and pairs of complete products with pixels of known coherence."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Transformer
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.arrays import ComplexArray, FloatArray
from insar_mining.errors import CoverageError, OptionError, OrbitError
from insar_mining.geo.elevation import LEAST_REACH_DEG, tile_reach_deg
from insar_mining.geo.elevation_window import Bounds
from insar_mining.geo.grid import MapGrid, utm_epsg
from insar_mining.sentinel1.annotation import parse_annotation
from insar_mining.simulate import ground, truth
from insar_mining.simulate.annotation_xml import REPEAT_DAYS
from insar_mining.simulate.ground import MapFunction
from insar_mining.simulate.scene import Acquisition, Level, Ready, Settings, prepare, slimmed, write_product
from insar_mining.simulate.templates import Template
from insar_mining.simulate.terrain import ARC_SECOND_DEG, Terrain, write_dem

_log = logging.getLogger(__name__)


DEM_MARGIN_DEG = 0.02  # for the cells of a map around the area
PROBES = 200
SCENES = "scenes"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SimulatedStack:
    """Hold what was written: products in order of the acquisitions, the DEM, truth per pair."""

    products: tuple[Path, ...]
    dates: tuple[dt.date, ...]
    dem: Path
    truth: dict[tuple[int, int], Path]


@dataclass(frozen=True)
class SimulatedPair:
    """Hold a simulated pair on disk."""

    reference: Path
    secondary: Path
    dem: Path
    truth: Path


def as_area(area: BaseGeometry | tuple[float, float, float, float]) -> BaseGeometry:
    """Convert a box (west, south, east, north) or a polygon in longitude and latitude to a polygon."""
    return box(*area) if isinstance(area, tuple) else area


def simulate_pair(
    out: Path | str,
    *,
    reference: Template,
    secondary: Template | Acquisition | None = None,
    area: BaseGeometry | tuple[float, float, float, float],
    terrain: Terrain,
    coherence: float | Path | MapFunction,
    rng: np.random.Generator,
    **how: Any,
) -> SimulatedPair:
    """Simulate two products of known coherence, with the DEM and the truth on a map.

    Parameters
    ----------
    out : Path
        Folder for ``scenes/`` (the products), ``dem.tif`` and ``truth/<pair>.tif``.
    reference : Template
        Real metadata of the first date.
    secondary : Template or Acquisition, optional
        The same of the second, or how it differs; without it, the reference's own track is
        repeated 12 days later.
    area : shapely geometry, or (west, south, east, north), longitude and latitude
    terrain : Terrain
    coherence : float, path of a raster, or function of (easting, northing) in ``terrain.epsg``
        Temporal coherence, 0..1.
    rng : numpy.random.Generator
    **how
        As :func:`simulate_stack` takes it.

    Returns
    -------
    SimulatedPair

    Raises
    ------
    CoverageError
        No burst sees the area.
    OptionError, ProductError, OrbitError, OutputError
    """
    second = Acquisition(reference, REPEAT_DAYS) if secondary is None else secondary
    second = second if isinstance(second, Acquisition) else Acquisition(second)
    temporal = ground.as_function(coherence, terrain.epsg, background=0.0)
    stack = simulate_stack(
        out, [Acquisition(reference), second], area=area, terrain=terrain, coherence=lambda index: temporal, rng=rng,
        **how,
    )  # fmt: skip
    return SimulatedPair(stack.products[0], stack.products[1], stack.dem, stack.truth[0, 1])


@dataclass(frozen=True)
class Written:
    """Hold what is written of a simulation.

    Attributes
    ----------
    swaths : str or sequence of str
        Sub-swaths.
    polarisation : str
    backscatter_db : float, path of a raster, or function of (easting, northing)
    grid : MapGrid, optional
        Grid of the truth; by default around the area at `spacing_m`.
    truth_pairs : sequence of (i, j), optional
        Pairs to write the truth of; by default all consecutive ones.
    """

    swaths: str | Sequence[str] = "IW1"
    polarisation: str = "VV"
    backscatter_db: float | Path | MapFunction = 0.0
    grid: MapGrid | None = None
    spacing_m: float = 20.0
    truth_pairs: Sequence[tuple[int, int]] | None = None


def simulate_stack(
    out: Path | str,
    acquisitions: Sequence[Acquisition],
    *,
    area: BaseGeometry | tuple[float, float, float, float],
    terrain: Terrain,
    coherence: Callable[[int], MapFunction],
    rng: np.random.Generator,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **written: Any,
) -> SimulatedStack:
    """Simulate products of several dates over one piece of ground.

    The reflectivity of every scatterer is a first-order autoregressive chain: between
    acquisitions i and i + 1 its correlation is ``coherence(i)(x, y)``, so that of i and j is
    the product of the steps between them (times the snow of either date).

    Parameters
    ----------
    coherence : callable
        ``coherence(i)`` returns the map function of the step from acquisition i to i + 1.
    progress : callable, optional
        Called with (dates done, dates in all).
    **written
        See :class:`Written`.

    Other parameters, the files and the errors are those of :func:`simulate_pair`.
    """
    what = Written(**written)
    out, shape, settings = Path(out), as_area(area), settings or Settings()
    names = [what.swaths] if isinstance(what.swaths, str) else list(what.swaths)
    if len(acquisitions) < 1 or not names:
        raise OptionError(f"{len(acquisitions)} acquisitions of {len(names)} sub-swaths: nothing to simulate")
    centre = shape.centroid
    if terrain.epsg != utm_epsg(centre.x, centre.y):
        _log.info("the terrain lies in EPSG:%d, not in the UTM zone of the area", terrain.epsg)
    grid = what.grid or MapGrid.around(shape, what.spacing_m, epsg=terrain.epsg)
    typical = parse_annotation(acquisitions[0].template.annotation(names[0], what.polarisation), source="template")
    try:
        level = Level.of(typical, shape, terrain, settings)
    except OrbitError as error:
        west, south, east, north = shape.bounds
        raise CoverageError(
            f"the track of {acquisitions[0].template.name} does not pass the area ({west:.3f}..{east:.3f} E, "
            f"{south:.3f}..{north:.3f} N) within the scene. Choose an area inside it."
        ) from error
    brightness_db = ground.as_function(what.backscatter_db, terrain.epsg, background=0.0)

    at = np.meshgrid(grid.x, grid.y)
    for index in range(len(acquisitions) - 1):  # before anything is written
        ground.checked_coherence(coherence(index)(at[0], at[1]))

    if settings.crop:
        distinct = {id(a.template): a.template for a in acquisitions}
        thin = {key: slimmed(template, names, what.polarisation, shape) for key, template in distinct.items()}
        acquisitions = [replace(a, template=thin[id(a.template)]) for a in acquisitions]

    streams = rng.spawn(1 + 2 * len(acquisitions))
    points = ground.scatter(shape, terrain, level.lattice_m, streams[0], margin_m=settings.margin_m)
    root_intensity = level.amplitude * 10 ** (brightness_db(points.easting_m, points.northing_m) / 20)
    scenes: list[Ready] = []
    products: list[Path] = []
    underlying: ComplexArray | None = None
    for index, acquisition in enumerate(acquisitions):
        chance = streams[1 + 2 * index]
        if underlying is None:
            underlying = ground.first_reflectivity(len(points), chance)
        else:
            step = ground.checked_coherence(coherence(index - 1)(points.easting_m, points.northing_m))
            underlying = ground.next_reflectivity(underlying, step, chance)
        seen = underlying
        if acquisition.snow_coherence is not None:
            snow = ground.checked_coherence(np.full(len(points), acquisition.snow_coherence))
            seen = ground.next_reflectivity(underlying, snow, chance)
        ready, places = prepare(acquisition, names, what.polarisation, shape, points, settings)
        product = write_product(
            out / SCENES,
            ready,
            places,
            seen * root_intensity,
            level.noise_sigma,
            streams[2 + 2 * index],
            zipped=settings.zipped,
        )
        products.append(product)
        scenes.append(ready)
        if progress is not None:
            progress(index + 1, len(acquisitions))

    dem = write_dem(terrain, _with_reach(shape.bounds, terrain), out / "dem.tif", step_deg=ARC_SECOND_DEG)
    pairs = what.truth_pairs if what.truth_pairs is not None else [(i, i + 1) for i in range(len(scenes) - 1)]
    truths = {
        (i, j): _write_truth(out, scenes[i], scenes[j], _temporal(scenes, i, j, coherence, grid), terrain, grid,
                             brightness_db, level)
        for i, j in pairs
    }  # fmt: skip
    return SimulatedStack(tuple(products), tuple(s.date for s in scenes), dem, truths)


def _with_reach(bounds: Bounds, terrain: Terrain) -> Bounds:
    """Extend an area by what SNAP needs around it, as far as there is terrain."""
    west, south, east, north = bounds

    def extended(lon: float, lat: float) -> Bounds:
        most = terrain.bounds_deg or (-math.inf, -math.inf, math.inf, math.inf)
        return max(west - lon, most[0]), max(south - lat, most[1]), min(east + lon, most[2]), min(north + lat, most[3])

    wide = extended(LEAST_REACH_DEG, LEAST_REACH_DEG)
    places = np.meshgrid(np.linspace(wide[0], wide[2], PROBES), np.linspace(wide[1], wide[3], PROBES))
    height = terrain.ellipsoidal_m(*Transformer.from_crs(4326, terrain.epsg, always_xy=True).transform(*places))
    reach = tile_reach_deg(max(abs(south), abs(north)), float(np.abs(height).max()))
    return extended(*(1.1 * degrees + DEM_MARGIN_DEG for degrees in reach))


def _temporal(
    scenes: Sequence[Ready], first: int, second: int, coherence: Callable[[int], MapFunction], grid: MapGrid
) -> FloatArray:
    x, y = np.meshgrid(grid.x, grid.y)
    value = np.ones(grid.shape)
    for step in range(first, second):
        value *= ground.checked_coherence(coherence(step)(x, y))
    for index in (first, second):
        snow = scenes[index].acquisition.snow_coherence
        value *= 1.0 if snow is None else snow
    return value


def _write_truth(
    out: Path, first: Ready, second: Ready, temporal: FloatArray, terrain: Terrain, grid: MapGrid,
    brightness_db: MapFunction, level: Level,
) -> Path:  # fmt: skip
    """Write the truth of a pair; where two sub-swaths see a cell, the one counts whose edge is farther away."""
    x, y = np.meshgrid(grid.x, grid.y)
    bands = {name: np.full(grid.shape, np.nan) for name in truth.BANDS}
    depth = np.zeros(grid.shape)  # metres of slant range from the edge of the sub-swath that is written
    backscatter = 10 ** (brightness_db(x, y) / 10)
    for reference, secondary in zip(first.swaths, second.swaths, strict=True):
        seen, again = (truth.view(s, terrain, x, y) for s in (reference, secondary))
        inside = truth.imaged(reference, seen) & truth.imaged(secondary, again)
        inside &= truth.depth_m(reference, seen) > depth
        depth = np.where(inside, truth.depth_m(reference, seen), depth)
        geometric = truth.geometric_coherence(reference, secondary, seen, again)
        snr = [level.snr_of(s, backscatter, v.jacobian) for s, v in ((reference, seen), (secondary, again))]
        thermal = truth.thermal_coherence(*snr) if np.isfinite(level.snr) else np.ones(grid.shape)
        mask = truth.mask_of(seen.local_incidence_deg)
        clear = mask < truth.LAYOVER
        parts = {
            "coherence": np.where(clear, temporal * geometric * thermal, np.nan),
            "temporal": temporal,
            "geometric": np.where(clear, geometric, np.nan),
            "thermal": np.where(clear, thermal, np.nan),
            "mask": mask.astype(np.float64),
            "local_incidence_deg": seen.local_incidence_deg,
        }
        for name, values in parts.items():
            bands[name] = np.where(inside, values, bands[name])
    dates = [s.date for s in (first, second)]
    tags = {"REFERENCE_DATE": dates[0].isoformat(), "SECONDARY_DATE": dates[1].isoformat(), "SIMULATED": "YES"}
    name = f"{dates[0]:%Y%m%d}_{dates[1]:%Y%m%d}.tif"
    return truth.write_truth(out / "truth" / name, grid, bands, tags)
