"""The plan of one coherence map: everything that decides the result, before anything is computed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from insar_mining.archive.baselines import perpendicular_baseline_m
from insar_mining.archive.dem import Dem, read_dem
from insar_mining.archive.dem_window import Heights
from insar_mining.coherence.builtin.geometry import DemArrays, arc_arrays, radar_coordinates
from insar_mining.coherence.bursts import burst_cuts, choose_swaths, matching_burst
from insar_mining.errors import CoverageError, OptionError, OrbitError, PairError, PartialCoverageWarning
from insar_mining.files import sha256
from insar_mining.grid import MapGrid
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.product import Product, open_product

FloatArray = npt.NDArray[np.float64]

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0..1."""

ALGORITHM = 1  # raised whenever the built-in engine gives other numbers for the same plan
DEM_MARGIN_DEG = 0.02
FAR_DEG = 0.5  # footprints are drawn for one height and may be kilometres off; beyond this an area is elsewhere
PROBE_POINTS = 65


@dataclass(frozen=True)
class Window:
    """Size of the coherence window: lines in azimuth, samples in range."""

    azimuth: int = 2
    range: int = 7

    def __post_init__(self) -> None:
        """Refuse windows in which coherence means nothing."""
        if not (1 <= self.azimuth <= 101 and 1 <= self.range <= 501 and self.azimuth * self.range >= 2):
            raise OptionError(f"window {self}: 1..101 lines x 1..501 samples, at least 2 pixels in all (default 2x7)")

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``"2x7"`` (azimuth x range).

        Examples
        --------
        >>> Window.parse("2x7")
        Window(azimuth=2, range=7)
        """
        try:
            azimuth, range_ = (int(part) for part in text.lower().split("x"))
        except ValueError as error:
            raise OptionError(f"window {text!r}: write lines x samples, azimuth first, such as 2x7") from error
        return cls(azimuth, range_)

    def __str__(self) -> str:
        """Write ``"2x7"``."""
        return f"{self.azimuth}x{self.range}"


@dataclass(frozen=True)
class BurstPair:
    """A burst of the reference and the burst of the secondary that sees the same ground."""

    swath: str
    reference_index: int
    secondary_index: int


@dataclass(frozen=True)
class CoherencePlan:
    """All that decides one coherence map.

    Two plans with the same :attr:`sha256` give the same map; where files lie and where
    the map is written (`out`) is not part of the identity.

    Attributes
    ----------
    reference, secondary : Path
        Products; the reference is the earlier one.
    bursts : tuple of BurstPair
        Bursts that show the grid.
    covered : float
        Share of the grid that these bursts see, 0..1.
    perpendicular_baseline_m : float
        At the middle of the grid, sign as in ASF's catalogue.
    grid : MapGrid
    window_anchor : str
        ``"centre"`` puts a window's value at the window's middle, ``"snap"`` leaves it on
        the pixel (half a line away for an even window).
    """

    reference: Path
    secondary: Path
    reference_scene: str
    secondary_scene: str
    reference_identity: str
    secondary_identity: str
    reference_date: str
    secondary_date: str
    platforms: tuple[str, str]
    relative_orbit: int | None
    direction: str
    polarisation: str
    bursts: tuple[BurstPair, ...]
    covered: float
    perpendicular_baseline_m: float
    reference_orbit: Path | None
    secondary_orbit: Path | None
    orbit_identity: tuple[str, str]
    dem: Path
    dem_identity: str
    dem_heights: Heights
    grid: MapGrid
    window: Window
    remove_flat_earth: bool
    remove_topography: bool
    window_anchor: str
    out: Path

    @property
    def pair(self) -> str:
        """The pair's name, ``"20200105_20200117"``."""
        return f"{self.reference_date}_{self.secondary_date}".replace("-", "")

    def identity(self) -> dict[str, object]:
        """Return what the result depends on, as plain values."""
        values = dataclasses.asdict(self)
        for name in ("reference", "secondary", "reference_orbit", "secondary_orbit", "dem", "out"):
            del values[name]
        for name in ("covered", "perpendicular_baseline_m"):  # they follow from the rest
            del values[name]
        return {"algorithm": ALGORITHM, **values}

    @property
    def sha256(self) -> str:
        """Hash of :meth:`identity`."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, object]:
        """Everything in the plan as plain values, for printing and for `diff`."""
        values = dataclasses.asdict(self)
        for name in ("reference", "secondary", "reference_orbit", "secondary_orbit", "dem", "out"):
            values[name] = None if values[name] is None else str(values[name])
        return {"pair": self.pair, "sha256": self.sha256, **values}


def make_plan(
    reference: Path | str | Product,
    secondary: Path | str | Product,
    *,
    area: BaseGeometry,
    dem: Path | str,
    out: Path | str,
    polarisation: str = "VV",
    window: Window | None = None,
    spacing_m: float = 20.0,
    grid: MapGrid | None = None,
    swaths: Sequence[str] | None = None,
    orbits: Sequence[Path | str] = (),
    dem_heights: Heights = "auto",
    remove_flat_earth: bool = True,
    remove_topography: bool = True,
    window_anchor: str = "centre",
) -> CoherencePlan:
    """Plan the coherence map of a pair over an area.

    Parameters
    ----------
    reference, secondary : path or Product
        SAFE folders, zips or burst products; the reference is the earlier one.
    area : shapely geometry, longitude and latitude
    dem : path
        Elevation model; orthometric unless it says otherwise or `dem_heights` does.
    out : path
        GeoTIFF to write.
    grid : MapGrid, optional
        By default the UTM grid around the area with `spacing_m`.
    swaths : sequence of str, optional
        By default the fewest sub-swaths that see the most of the area.
    orbits : sequence of path
        EOF files; each product takes the first that covers it.  Without any, the
        annotation's state vectors are used.

    Raises
    ------
    PairError
        The two do not form a pair: same scene, wrong order, different tracks,
        directions or no common burst.
    CoverageError
        The reference does not see the area.
    DemError, OrbitError, ProductError, OptionError
    """
    if window_anchor not in ("centre", "snap"):
        raise OptionError(f'window_anchor {window_anchor!r}: choose "centre" or "snap"')
    if remove_topography and not remove_flat_earth:
        raise OptionError(
            "topographic phase without flat-earth phase cannot be removed; remove both, or only flat earth"
        )
    first = reference if isinstance(reference, Product) else open_product(reference, require_manifest=False)
    second = secondary if isinstance(secondary, Product) else open_product(secondary, require_manifest=False)
    check_pair(first, second)
    polarisation = polarisation.upper()
    first, first_orbit = with_orbit(first, orbits)
    second, second_orbit = with_orbit(second, orbits)

    grid = grid or MapGrid.around(area, spacing_m)
    if first.footprint.distance(box(*grid.bounds_lonlat())) > FAR_DEG:
        raise CoverageError(_not_seen(first, grid, swaths))
    heights = read_dem(dem, grid.bounds_lonlat(), margin_deg=DEM_MARGIN_DEG, heights=dem_heights)
    available = [first.sub_swath(name, polarisation) for name in _named(first, swaths)]
    time, slant_range = probe(available[0], grid, heights)
    chosen, share = choose_swaths(available, time, slant_range)
    if not chosen:
        raise CoverageError(_not_seen(first, grid, swaths))
    if share < 1:
        warnings.warn(
            f"{first.name} sees {share:.0%} of the area; the rest of the map is NaN",
            PartialCoverageWarning,
            stacklevel=2,
        )
    bursts = _burst_pairs(chosen, second, grid, heights, time, slant_range)
    lon, lat = (float(v.mean()) for v in grid.lonlat(slice(grid.height // 2, grid.height // 2 + 1)))
    baseline = perpendicular_baseline_m(
        chosen[0], second.sub_swath(chosen[0].swath, polarisation), lon, lat, float(np.nanmean(heights.height_m))
    )
    return CoherencePlan(
        reference=first.path,
        secondary=second.path,
        reference_scene=first.name,
        secondary_scene=second.name,
        reference_identity=first.identity(),
        secondary_identity=second.identity(),
        reference_date=str(first.start.astype("datetime64[D]")),
        secondary_date=str(second.start.astype("datetime64[D]")),
        platforms=(first.platform, second.platform),
        relative_orbit=first.relative_orbit,
        direction=first.direction,
        polarisation=polarisation,
        bursts=bursts,
        covered=share,
        perpendicular_baseline_m=baseline,
        reference_orbit=first_orbit,
        secondary_orbit=second_orbit,
        orbit_identity=(_orbit_identity(first_orbit), _orbit_identity(second_orbit)),
        dem=Path(dem),
        dem_identity=heights.identity(),
        dem_heights=dem_heights,
        grid=grid,
        window=window or Window(),
        remove_flat_earth=remove_flat_earth,
        remove_topography=remove_topography,
        window_anchor=window_anchor,
        out=Path(out),
    )


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
            f"the reference ({reference.start}) is later than the secondary ({secondary.start}); swap the two"
        )
    for what, one, other in (
        ("relative orbit", reference.relative_orbit, secondary.relative_orbit),
        ("direction", reference.direction, secondary.direction),
    ):
        if one is not None and other is not None and one != other:
            raise PairError(
                f"{reference.name} and {secondary.name} are of different tracks ({what} {one} and {other}); "
                "only scenes of one track interfere"
            )


def with_orbit(product: Product, orbits: Sequence[Path | str]) -> tuple[Product, Path | None]:
    """Return the product with the first orbit file that covers it, and that file.

    Raises
    ------
    OrbitError
        Files are given and none covers the product.
    """
    reasons = []
    for path in orbits:
        try:
            return product.with_orbit_file(Path(path)), Path(path)
        except OrbitError as error:
            reasons.append(str(error))
    if reasons:
        raise OrbitError(f"no orbit file fits {product.name}: " + "; ".join(reasons))
    return product, None


def dem_arrays(dem: Dem) -> DemArrays:
    """Return an elevation model as kernels take it."""
    height = np.ascontiguousarray(dem.height_m, dtype=np.float32)
    return DemArrays(height, dem.west_deg, dem.north_deg, dem.step_lon_deg, dem.step_lat_deg)


def probe(swath: SubSwath, grid: MapGrid, dem: Dem) -> tuple[FloatArray, FloatArray]:
    """Zero-Doppler times and slant ranges of at most 65 x 65 cells spread over the whole grid.

    Cells without a height are left out: they say nothing of what the product sees.
    """
    rows = np.unique(np.linspace(0, grid.height - 1, PROBE_POINTS).round().astype(int))
    columns = np.unique(np.linspace(0, grid.width - 1, PROBE_POINTS).round().astype(int))
    lonlat = [grid.lonlat(slice(row, row + 1)) for row in rows]
    lon = np.concatenate([pair[0][:, columns] for pair in lonlat])
    lat = np.concatenate([pair[1][:, columns] for pair in lonlat])
    arc = swath.arc()
    time, slant_range, height = radar_coordinates(arc_arrays(arc), dem_arrays(dem), lon, lat, arc.centre_s)
    known = np.isfinite(height)
    return time[known], slant_range[known]


def _burst_pairs(
    chosen: Sequence[SubSwath],
    second: Product,
    grid: MapGrid,
    heights: Dem,
    time: FloatArray,
    slant_range: FloatArray,
) -> tuple[BurstPair, ...]:
    """Match each burst that may show a cell of the grid with a burst of the secondary."""
    pairs, missing = [], []
    secondaries = {swath.swath: second.sub_swath(swath.swath, swath.polarisation) for swath in chosen}
    shift = float(np.nanmedian(probe(secondaries[chosen[0].swath], grid, heights)[0] - time))
    start, stop = np.nanmin(time), np.nanmax(time)
    near, far = np.nanmin(slant_range), np.nanmax(slant_range)
    for cut in burst_cuts(chosen):
        first, last = max(cut.start_s, start), min(cut.stop_s, stop)
        if first > last or cut.near_m > far or cut.far_m < near:
            continue
        index = matching_burst(secondaries[cut.swath], (first + last) / 2 + shift)
        if index is None:
            missing.append(f"{cut.swath} burst {cut.burst_index + 1}")
        else:
            pairs.append(BurstPair(cut.swath, cut.burst_index, index))
    if not pairs:
        raise PairError(f"{second.name} holds none of the bursts that show the area ({', '.join(missing)})")
    if missing:
        warnings.warn(
            f"{second.name} does not hold {', '.join(missing)}; the map is NaN there",
            PartialCoverageWarning,
            stacklevel=3,
        )
    return tuple(pairs)


def _named(product: Product, swaths: Sequence[str] | None) -> tuple[str, ...]:
    if swaths is None:
        return product.swaths
    names = tuple(name.upper() for name in swaths)
    unknown = [name for name in names if name not in product.swaths]
    if unknown:
        raise OptionError(f"{product.name} has no sub-swath {', '.join(unknown)}; it has {', '.join(product.swaths)}")
    return names


def _not_seen(product: Product, grid: MapGrid, swaths: Sequence[str] | None) -> str:
    west, south, east, north = grid.bounds_lonlat()
    left, bottom, right, top = product.footprint.bounds
    named = f" in {', '.join(swaths)}" if swaths else ""
    return (
        f"{product.name} does not see the area{named}: the area is {west:.3f}..{east:.3f} E, "
        f"{south:.3f}..{north:.3f} N, the scene {left:.3f}..{right:.3f} E, "
        f"{bottom:.3f}..{top:.3f} N; choose a scene over the mine"
    )


def _orbit_identity(path: Path | None) -> str:
    return "annotation" if path is None else sha256(path)
