"""Hold the parts of a plan, in the order of the method: scenes, elevation, geometry, estimation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from insar_mining.coherence.plan.matching import BurstPair
from insar_mining.coherence.plan.recipe import Recipe, Window
from insar_mining.errors import OrbitError, ProductError
from insar_mining.files import sha256
from insar_mining.geo.elevation_window import Heights
from insar_mining.sentinel1.product import Product, open_product, with_orbit

CHANGED = "was changed after the map was planned. Leave inputs alone during a run, and run the same command again"


@dataclass(frozen=True)
class PlannedScene:
    """Describe one date of a plan: its product and orbit file, and what identifies the two.

    Attributes
    ----------
    path : Path
        SAFE folder, zip or burst product.
    scene : str
        Name of the product.
    product_identity, orbit_identity : str
        Hashes of what is read; ``"annotation"`` for the orbit that the product annotates.
    day : str
        ISO date of the first line.
    platform : str
    orbit : Path, optional
        Orbit file.
    start : str, optional
        Time of the first line, UTC.
    """

    path: Path
    scene: str
    product_identity: str
    day: str
    platform: str
    orbit: Path | None = None
    orbit_identity: str = "annotation"
    start: str | None = None

    @classmethod
    def of(cls, product: Product, orbit: Path | None) -> PlannedScene:
        """Describe an opened product and the orbit file whose state vectors it has."""
        return cls(
            path=product.path,
            scene=product.name,
            product_identity=product.identity(),
            day=str(product.start.astype("datetime64[D]")),
            platform=product.platform,
            orbit=orbit,
            orbit_identity="annotation" if orbit is None else sha256(orbit),
            start=f"{product.start.astype('datetime64[us]')}Z",
        )

    @property
    def identity(self) -> tuple[str, str]:
        """What identifies product and orbit."""
        return self.product_identity, self.orbit_identity

    def open(self) -> Product:
        """Open the product with the orbit file's state vectors, if there is one.

        Raises
        ------
        ProductError, OrbitError
            Also where product or orbit file is another than when this was made.
        """
        product = open_product(self.path, require_manifest=False)
        if product.identity() != self.product_identity:
            raise ProductError(f"{self.path}: {CHANGED}")
        if self.orbit is not None and sha256(self.orbit) != self.orbit_identity:
            raise OrbitError(f"{self.orbit}: {CHANGED}")
        return with_orbit(product, [self.orbit] if self.orbit else [])[0]


@dataclass(frozen=True)
class PlanScenes:
    """Name the acquisitions of a plan, which are of one track; the reference is earlier than the secondary."""

    reference: PlannedScene
    secondary: PlannedScene
    stack_reference: PlannedScene
    polarisation: str
    relative_orbit: int | None
    direction: str

    @property
    def pair(self) -> str:
        """Name of the pair, ``"20200105_20200117"``."""
        return "_".join(self.days).replace("-", "")

    @property
    def days(self) -> tuple[str, str]:
        """ISO dates of reference and secondary."""
        return self.reference.day, self.secondary.day

    @property
    def all(self) -> tuple[PlannedScene, PlannedScene, PlannedScene]:
        """Reference, secondary and stack reference."""
        return self.reference, self.secondary, self.stack_reference


@dataclass(frozen=True)
class Elevation:
    """Name an elevation model, what identifies its heights over the grid, and the datum they are in."""

    path: Path
    identity: str
    heights: Heights
    reference: str = ""  # the datum that was found, and how


@dataclass(frozen=True)
class PairGeometry:
    """Describe how the pair sees the grid.

    Attributes
    ----------
    swaths : tuple of str
        Sub-swaths considered: where neighbours overlap, each shows its side of the middle.
    bursts : tuple of BurstPair
        Bursts that show the grid.
    covered : float
        Share of the grid that these bursts see, 0..1.
    perpendicular_baseline_m : float
        At the middle of the grid, sign as in ASF's catalogue.
    common_band : float
        Share of the azimuth spectrum that the bursts of both dates have in common, 0..1: how well they are
        synchronised.
    """

    swaths: tuple[str, ...]
    bursts: tuple[BurstPair, ...]
    covered: float
    perpendicular_baseline_m: float
    common_band: float = 1.0


@dataclass(frozen=True)
class Estimation:
    """Describe how coherence is estimated: phases removed before it, window, estimator and bands.

    Attributes
    ----------
    window_anchor : str
        ``"centre"`` puts a window's value at the window's middle, ``"snap"`` leaves it on
        the pixel (half a line away for an even window).
    """

    window: Window
    recipe: Recipe
    remove_flat_earth: bool = True
    remove_topography: bool = True
    window_anchor: str = "centre"

    @property
    def window_offset(self) -> tuple[float, float]:
        """Lines and samples by which the middle of a window lies beyond its pixel, as the map wants it.

        The window of pixel y takes the lines y - (n - 1) // 2 and the next n - 1, in both engines, so that an
        even one is centred on y + 0.5; ``window_anchor="snap"`` leaves its value on y.
        """
        if self.window_anchor == "snap":
            return 0.0, 0.0
        return 0.5 * (self.window.azimuth % 2 == 0), 0.5 * (self.window.range % 2 == 0)
