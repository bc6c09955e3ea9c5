"""Simulate a pair from files alone: real annotation folders, an elevation model, a map of zones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from insar_mining.errors import OptionError
from insar_mining.geo.grid import utm_epsg
from insar_mining.geo.mines import Mine, read_mines
from insar_mining.simulate.ground import MapFunction, ZoneMap, uniform
from insar_mining.simulate.scene import Settings
from insar_mining.simulate.stack import Progress, SimulatedPair, as_area, simulate_pair
from insar_mining.simulate.templates import load_template, morocco_template
from insar_mining.simulate.terrain import flat, terrain_from_dem

DEM_MARGIN_DEG = 0.03  # ground beyond the area that is simulated, or written to the scene's own model


def simulate_from_templates(
    out: Path | str,
    reference: Path | str | None = None,
    secondary: Path | str | None = None,
    *,
    zones: Path | str | float = 0.9,
    dem: Path | str | None = None,
    area: BaseGeometry | tuple[float, float, float, float] | None = None,
    swaths: str | Sequence[str] = "IW1",
    polarisation: str = "VV",
    background: float = 0.9,
    height_m: float = 300.0,
    baseline_m: float = 0.0,
    seed: int = 1,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> SimulatedPair:
    """Simulate a pair under real annotations.

    Parameters
    ----------
    out : path
        Folder for ``scenes/``, ``dem.tif`` and ``truth/``.
    reference, secondary : path, optional
        SAFE folders; only ``manifest.safe`` and ``annotation/*.xml`` are read.  Without a
        reference, the template shipped with the package (IW1 VV, Morocco); without a
        secondary, the reference's track 12 days later.
    zones : path or float
        One temporal coherence, or a vector file whose polygons have the property
        ``coherence`` (0..1) and, if wanted, ``backscatter_db``.
    dem : path, optional
        Orthometric heights in EPSG:4326; without one the ground is flat at `height_m`.
    area : shapely geometry or (west, south, east, north), longitude and latitude, optional
        By default the box around the zones.
    background : float
        Temporal coherence outside of all zones.
    baseline_m : float
        Shift of the secondary's orbit along line of sight x velocity, on top of its own.

    Raises
    ------
    OptionError
        Neither an area nor zones, or a zone without a coherence in 0..1.
    CoverageError, DemError, MineError, ProductError, OutputError
    """
    regions = [] if isinstance(zones, (int, float)) else read_mines(zones)
    if area is None and not regions:
        raise OptionError("one coherence for all ground says not where: give an area, or a file of zones")
    shape = as_area(area) if area is not None else shapely.box(*shapely.total_bounds([r.geometry for r in regions]))
    epsg = utm_epsg(shape.centroid.x, shape.centroid.y)
    if isinstance(zones, (int, float)):
        coherence, brightness = uniform(float(zones)), uniform(0.0)
    else:
        coherence, brightness = _functions(regions, background, epsg)
    if dem is None:
        terrain = flat(epsg, height_m)
    else:
        west, south, east, north = shape.buffer(DEM_MARGIN_DEG).bounds
        terrain = terrain_from_dem(Path(dem), epsg, bounds_deg=(west, south, east, north))
    return simulate_pair(
        out,
        reference=morocco_template() if reference is None else load_template(reference),
        secondary=None if secondary is None else load_template(secondary),
        swath=swaths,
        polarisation=polarisation,
        area=shape,
        terrain=terrain,
        coherence=coherence,
        backscatter_db=brightness,
        rng=np.random.default_rng(seed),
        baseline_m=baseline_m,
        settings=settings,
        progress=progress,
    )


def _functions(regions: Sequence[Mine], background: float, epsg: int) -> tuple[MapFunction, MapFunction]:
    """Coherence and backscatter of the zones of a file."""
    coherence: dict[str, float] = {}
    brightness: dict[str, float] = {}
    for region in regions:
        value = _number(region, "coherence")
        if value is None or not 0 <= value <= 1:
            given = region.properties.get("coherence")
            raise OptionError(f"zone {region.id}: coherence is {given!r}; give every polygon one in 0..1")
        coherence[region.id] = value
        brightness[region.id] = _number(region, "backscatter_db") or 0.0
    ground = ZoneMap({region.id: region.geometry for region in regions}, epsg)
    return ground.values(coherence, background=background), ground.values(brightness, background=0.0)


def _number(region: Mine, name: str) -> float | None:
    value = region.properties.get(name)
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if np.isfinite(number) else None
