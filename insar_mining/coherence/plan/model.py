"""Plan one coherence map: everything that decides the result, before anything is computed.

Three acquisitions take part: the pair's reference and secondary, and the *stack reference*, to
whose geometry both are brought.  Alone, a pair is its own stack: its reference is the stack reference.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from shapely.affinity import translate
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.coherence.plan.bursts import burst_cuts
from insar_mining.coherence.plan.matching import BurstPair, bursts_over, match_bursts
from insar_mining.coherence.plan.recipe import Recipe
from insar_mining.coherence.plan.recipe import Window as Window
from insar_mining.coherence.plan.values import CHANGED, Elevation, Estimation, PairGeometry, PlanScenes
from insar_mining.coherence.plan.values import PlannedScene as PlannedScene
from insar_mining.display import table_html
from insar_mining.errors import (
    CoverageError,
    DemError,
    InsarMiningError,
    OptionError,
    PairError,
    PartialCoverageWarning,
    SkippedInputWarning,
    UnlikeScenesWarning,
)
from insar_mining.geo.grid import MapGrid
from insar_mining.geometry.terrain import GridHeights, heights_for, probe
from insar_mining.options.models import CoherenceOptions, Polarisation, Upper
from insar_mining.sentinel1.baselines import perpendicular_baseline_m
from insar_mining.sentinel1.orbit import orbit_files
from insar_mining.sentinel1.product import Product, open_product, with_orbit
from insar_mining.sentinel1.readable import readable_sub_swaths
from insar_mining.sentinel1.track import on_one_track

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0..1."""

ALGORITHM = 5  # raised whenever the built-in engine gives other numbers for the same plan
FAR_DEG = 0.5  # footprints are drawn for one height and may be kilometres off; beyond this an area is elsewhere


_ROLES = ("reference", "secondary", "stack_reference")
_NOT_IDENTITY = (
    # where files are does not change the result
    *_ROLES,
    *(f"{role}_orbit" for role in _ROLES),
    "dem",
    "out",
    # these follow from the rest
    "covered",
    "perpendicular_baseline_m",
    "times",
    "dem_reference",
    "common_band",
)


@dataclass(frozen=True)
class CoherencePlan:
    """Hold everything that decides one coherence map, in the order of the method.

    Two plans with the same :attr:`sha256` give the same map; where files are and where
    the map is written (`out`) is not part of the identity.

    Attributes
    ----------
    scenes : PlanScenes
        Reference, secondary and stack reference with their orbits, polarisation and track.
    grid : MapGrid
        Cells of the map.
    elevation : Elevation
    geometry : PairGeometry
        Bursts, coverage and perpendicular baseline.
    estimation : Estimation
        Phases removed, window, estimator and bands.
    out : Path
        GeoTIFF to write.

    Examples
    --------
    >>> plan = insar_mining.make_plan(  # doctest: +SKIP
    ...     "S1A_20230904.SAFE", "S1A_20230916.SAFE", area=mine.geometry, dem="dem.tif", out="20230904_20230916.tif",
    ...     window=insar_mining.Window(2, 7), spacing_m=20.0)
    >>> plan.describe()["window"]  # doctest: +SKIP
    """

    scenes: PlanScenes
    grid: MapGrid
    elevation: Elevation
    geometry: PairGeometry
    estimation: Estimation
    out: Path

    @property
    def pair(self) -> str:
        """Name of the pair, ``"20200105_20200117"``."""
        return self.scenes.pair

    @property
    def polarisation(self) -> str:
        """Polarisation of the scenes."""
        return self.scenes.polarisation

    @property
    def bursts(self) -> tuple[BurstPair, ...]:
        """Bursts that show the grid."""
        return self.geometry.bursts

    @property
    def covered(self) -> float:
        """Share of the grid that the bursts see, 0..1."""
        return self.geometry.covered

    @property
    def perpendicular_baseline_m(self) -> float:
        """Perpendicular baseline at the middle of the grid, sign as in ASF's catalogue."""
        return self.geometry.perpendicular_baseline_m

    @property
    def window(self) -> Window:
        """Window of the estimation."""
        return self.estimation.window

    @property
    def recipe(self) -> Recipe:
        """Estimator and bands."""
        return self.estimation.recipe

    def identity(self) -> dict[str, object]:
        """Return what the result depends on, as plain values under names that never change."""
        values = self._values()
        return {"algorithm": ALGORITHM} | {name: values[name] for name in values if name not in _NOT_IDENTITY}

    def heights(self) -> GridHeights:
        """Read the elevation model on the map's grid.

        Raises
        ------
        DemError
            It cannot be read, or is another than when the plan was made.
        """
        heights = heights_for(self.grid, self.elevation.path, self.elevation.heights)
        if heights.identity != self.elevation.identity:
            raise DemError(f"{self.elevation.path}: {CHANGED}")
        return heights

    @property
    def sha256(self) -> str:
        """Hash of :meth:`identity`."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, object]:
        """Return everything in the plan as plain values, for printing and for `diff`."""
        texts = {name: str(value) if isinstance(value, Path) else value for name, value in self._values().items()}
        return {"pair": self.pair, "sha256": self.sha256, **texts}

    def _values(self) -> dict[str, object]:
        """Return the values of all groups under one level of names."""
        scenes, geometry, estimation = self.scenes, self.geometry, self.estimation
        dates = dict(zip(_ROLES, scenes.all, strict=True))
        start, stop = scenes.reference.start, scenes.secondary.start
        return {
            **{role: date.path for role, date in dates.items()},
            **{f"{role}_scene": date.scene for role, date in dates.items()},
            **{f"{role}_identity": date.product_identity for role, date in dates.items()},
            "reference_date": scenes.reference.day,
            "secondary_date": scenes.secondary.day,
            "platforms": (scenes.reference.platform, scenes.secondary.platform),
            "relative_orbit": scenes.relative_orbit,
            "direction": scenes.direction,
            "polarisation": scenes.polarisation,
            "swaths": geometry.swaths,
            "bursts": tuple(dataclasses.asdict(burst) for burst in geometry.bursts),
            "covered": geometry.covered,
            "perpendicular_baseline_m": geometry.perpendicular_baseline_m,
            **{f"{role}_orbit": date.orbit for role, date in dates.items()},
            "orbit_identity": tuple(date.orbit_identity for date in scenes.all),
            "dem": self.elevation.path,
            "dem_identity": self.elevation.identity,
            "dem_heights": self.elevation.heights,
            "grid": dataclasses.asdict(self.grid),
            "window": dataclasses.asdict(estimation.window),
            "remove_flat_earth": estimation.remove_flat_earth,
            "remove_topography": estimation.remove_topography,
            "window_anchor": estimation.window_anchor,
            "recipe": dataclasses.asdict(estimation.recipe),
            "out": self.out,
            "times": None if start is None or stop is None else (start, stop),
            "dem_reference": self.elevation.reference,
            "common_band": geometry.common_band,
        }

    def _repr_html_(self) -> str:
        return table_html(f"Plan of {self.pair}", self.describe())


class PlanOptions(CoherenceOptions):
    """Hold the options of a plan beside products, area, elevation and grid."""

    polarisation: Annotated[Polarisation, Upper] = Field("VV", description="Polarisation of both products.")
    remove_flat_earth: bool = Field(
        True, description="Remove the flat-earth phase before the coherence window; needed to remove topography."
    )


def make_plan(
    reference: Path | str | Product,
    secondary: Path | str | Product,
    *,
    area: BaseGeometry,
    dem: Path | str,
    out: Path | str,
    stack_reference: Path | str | Product | None = None,
    grid: MapGrid | None = None,
    options: CoherenceOptions | None = None,
    **changes: Any,
) -> CoherencePlan:
    """Plan the coherence map of a pair over an area.

    Parameters
    ----------
    reference, secondary : path or Product
        SAFE folders, zips or burst products; the reference is the earlier one.
    area : shapely geometry, longitude and latitude
    dem : path
        Elevation model; orthometric unless it says otherwise or ``dem_heights`` does.
    out : path
        GeoTIFF to write.
    stack_reference : path or Product, optional
        Any scene of the track, to whose geometry both dates are brought; by default the reference.
        Pairs that share it share the work (see :mod:`insar_mining.coherence.builtin.engine`).
    grid : MapGrid, optional
        By default the UTM grid around the area with ``spacing_m``.
    options : CoherenceOptions, optional
        How the pair becomes a map: ``window``, ``swaths``, ``orbits``, ``estimator``, ``bands`` and so on.
    **changes
        Values of :class:`PlanOptions` that differ from `options`, such as ``polarisation="VH"`` or
        ``window=Window(3, 9)``.

    Raises
    ------
    PairError
        The two do not form a pair: same scene, wrong order, different tracks,
        directions or no common burst.
    CoverageError
        The stack reference does not see the area.
    DemError, OrbitError, ProductError, OptionError

    Examples
    --------
    >>> plan = insar_mining.make_plan(  # doctest: +SKIP
    ...     "S1A_20230904.SAFE", "S1A_20230916.SAFE", area=mine.geometry, dem="dem.tif", out="20230904_20230916.tif",
    ...     window=insar_mining.Window(2, 7), spacing_m=20.0)
    >>> plan.pair, plan.perpendicular_baseline_m  # doctest: +SKIP
    """
    chosen = _plan_options(options, changes)
    window, recipe = Window(*chosen.window), Recipe.of(chosen)
    polarisation, swaths, orbits = chosen.polarisation, chosen.swaths or None, chosen.orbits
    if chosen.remove_topography and not chosen.remove_flat_earth:
        raise OptionError(
            "topographic phase without flat-earth phase cannot be removed. Remove both, or only flat earth."
        )
    recipe.refuse_window(window)
    if recipe.common_band and not chosen.remove_topography:
        raise OptionError(
            "common_band takes the shift from the topographic phase. Remove that, or leave the full band."
        )
    first, first_orbit = _open(reference, orbits)
    second, second_orbit = _open(secondary, orbits)
    check_pair(first, second)
    stack, stack_orbit = (first, first_orbit) if stack_reference is None else _open(stack_reference, orbits)
    for product in (first, second):
        check_track(stack, product)
    if first.platform != second.platform:
        warnings.warn(
            f"{first.name} is of {first.platform} and {second.name} of {second.platform}: their antennas are not the "
            "same, so coherence may be lower. Compare it with that of pairs of one satellite.",
            UnlikeScenesWarning,
            stacklevel=2,
        )
    grid = grid or MapGrid.around(area, chosen.spacing_m)
    if _apart_deg(stack, grid) > FAR_DEG:
        raise CoverageError(_not_seen(stack, grid, swaths))
    heights = heights_for(grid, Path(dem), chosen.dem_heights)
    available, faults = readable_sub_swaths(stack, _named(stack, swaths, polarisation), polarisation)
    time, slant_range = probe(available[0], heights)
    seen = bursts_over(burst_cuts(available), time, slant_range)
    share = sum(int(held.sum()) for _, held in seen) / max(time.size, 1)
    _check_needed(faults, share, swaths)
    if not seen:
        raise CoverageError(_not_seen(stack, grid, swaths))
    if share < 1:
        warnings.warn(
            f"{stack.name} sees {share:.0%} of the area; the rest of the map is NaN",
            PartialCoverageWarning,
            stacklevel=2,
        )
    bursts, common_band = match_bursts([cut for cut, _ in seen], (first, second, stack), polarisation, heights)
    lon, lat = (float(v[0, grid.width // 2]) for v in grid.lonlat(slice(grid.height // 2, grid.height // 2 + 1)))
    main = bursts[0].swath  # any that both dates hold: they have one orbit
    baseline = perpendicular_baseline_m(
        first.sub_swath(main, polarisation),
        second.sub_swath(main, polarisation),
        lon,
        lat,
        float(np.nanmean(heights.dem.height_m)),
    )
    return CoherencePlan(
        scenes=PlanScenes(
            reference=PlannedScene.of(first, first_orbit),
            secondary=PlannedScene.of(second, second_orbit),
            stack_reference=PlannedScene.of(stack, stack_orbit),
            polarisation=polarisation,
            relative_orbit=first.relative_orbit,
            direction=first.direction,
        ),
        grid=grid,
        elevation=Elevation(Path(dem), heights.identity, chosen.dem_heights, heights.dem.reference),
        geometry=PairGeometry(tuple(swath.swath for swath in available), bursts, share, baseline, common_band),
        estimation=Estimation(window, recipe, chosen.remove_flat_earth, chosen.remove_topography, chosen.window_anchor),
        out=Path(out),
    )


def _check_needed(faults: Sequence[InsarMiningError], share: float, named: Sequence[str] | None) -> None:
    """Warn of damaged sub-swaths where the others see all of a map and none was named; raise the first fault else."""
    if faults and (named or share < 1):
        raise faults[0]
    for fault in faults:
        warnings.warn(f"left out: {fault}; other sub-swaths see the whole area", SkippedInputWarning, stacklevel=3)


def _plan_options(options: CoherenceOptions | None, changes: Mapping[str, Any]) -> PlanOptions:
    """Return the options of a plan; sizes of windows may be `Window`, and None means "as it was"."""
    given = {name: value for name, value in changes.items() if value is not None}
    if isinstance(given.get("window"), Window):
        given["window"] = dataclasses.astuple(given["window"])
    return PlanOptions(**{**dict(options or ()), **given})


def check_pair(reference: Product, secondary: Product) -> None:
    """Refuse two products that cannot interfere.

    Raises
    ------
    PairError
    """
    if reference.name == secondary.name or reference.start == secondary.start:
        raise PairError(f"{reference.name} and {secondary.name} are the same scene; a pair needs two dates")
    if reference.start.astype("datetime64[D]") == secondary.start.astype("datetime64[D]"):
        raise PairError(f"{reference.name} and {secondary.name} are of one day; a repeat-pass pair needs two")
    if reference.start > secondary.start:
        raise PairError(
            f"the reference ({reference.start}) is later than the secondary ({secondary.start}). Swap the two."
        )
    check_track(reference, secondary)


def check_track(one: Product, other: Product) -> None:
    """Refuse two products that were not taken from the same orbit.

    Raises
    ------
    PairError
    """
    if not on_one_track(one, other):
        raise PairError(
            f"{one.name} and {other.name} are of different tracks (relative orbit {one.relative_orbit} "
            f"{one.direction} and {other.relative_orbit} {other.direction}); only scenes of one track interfere"
        )


def _open(product: Path | str | Product, orbits: Sequence[Path | str]) -> tuple[Product, Path | None]:
    opened = product if isinstance(product, Product) else open_product(product, require_manifest=False)
    return with_orbit(opened, orbit_files(orbits))


def _named(product: Product, swaths: Sequence[str] | None, polarisation: str) -> tuple[str, ...]:
    if swaths is None:
        # single bursts may hold different polarisations of different sub-swaths; of none at all the product says why
        return tuple(swath for swath, held in product.images if held == polarisation) or product.swaths
    names = tuple(name.upper() for name in swaths)
    unknown = [name for name in names if name not in product.swaths]
    if unknown:
        raise OptionError(f"{product.name} has no sub-swath {', '.join(unknown)}; it has {', '.join(product.swaths)}")
    return names


def _apart_deg(product: Product, grid: MapGrid) -> float:
    """Compute the distance between a map and a footprint, across the antimeridian too."""
    area = box(*grid.bounds_lonlat())
    return min(float(product.footprint.distance(translate(area, turn))) for turn in (-360.0, 0.0, 360.0))


def _not_seen(product: Product, grid: MapGrid, swaths: Sequence[str] | None) -> str:
    west, south, east, north = grid.bounds_lonlat()
    left, bottom, right, top = product.footprint.bounds
    named = f" in {', '.join(swaths)}" if swaths else ""
    return (
        f"{product.name} does not see the area{named}: the area is {west:.3f}..{east:.3f} E, "
        f"{south:.3f}..{north:.3f} N, the scene {left:.3f}..{right:.3f} E, "
        f"{bottom:.3f}..{top:.3f} N; choose a scene over the mine"
    )
