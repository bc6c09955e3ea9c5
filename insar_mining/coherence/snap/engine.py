"""The SNAP engine: a plan as a chain of graphs, each in a process of its own, and the map read back.

Every stage writes a product that is checked (whole, not empty, the right dates, the right
orbit) before the next one starts and before the ones it was made from are deleted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from shapely.geometry import box

from insar_mining.arrays import Float32Array
from insar_mining.coherence.plan.model import CoherencePlan, Progress
from insar_mining.coherence.plan.product import Layers
from insar_mining.coherence.snap.catalogue import VERSIONS
from insar_mining.coherence.snap.dimap import Dimap, check_content, coherence_band, move_origin, read_dimap
from insar_mining.coherence.snap.gpt import Gpt, Runner
from insar_mining.coherence.snap.graphs import known_version, read_template, render
from insar_mining.coherence.snap.install import find_snap
from insar_mining.coherence.snap.mapped import masked, on_grid
from insar_mining.coherence.snap.provision import DEM_NODATA, LaidOrbit, lay_geoid, lay_orbit, write_external_dem
from insar_mining.coherence.snap.seen import seen_cells
from insar_mining.coherence.snap.settings import SnapSettings, settings, with_variant
from insar_mining.coherence.snap.stage import refuse_other_orbits, run_checked
from insar_mining.coherence.snap.workspace import Workspace, workspace
from insar_mining.errors import (
    EngineError,
    EngineWarning,
    SnapError,
    SnapOutputError,
)
from insar_mining.sentinel1.product import open_product

BOTH = ("reference", "secondary")
GEOMETRY_MAY_DO = (SnapError, SnapOutputError)  # what spectral diversity may fail of: overlaps that are not coherent
REGION_MARGIN_DEG = 0.1  # heights move the ground in the image by up to some km
EARTH_RADIUS_M = 6378137.0
BYTES_PER_PIXEL = 30  # two dates, the stack and the interferogram that is made of it
# share of the whole that is done when a stage has ended, for one sub-swath
WEIGHTS = {"split": 1, "coregister": 4, "interferogram": 3, "merge": 1, "subset": 1, "terrain-correction": 1}


class SnapEngine:
    """Carries out plans with SNAP's graph processing tool."""

    name = "snap"
    version: str | None = None

    def map_layers(self, plan: CoherencePlan, progress: Progress) -> Layers:
        """Run SNAP on the plan; it gives coherence alone."""
        plan.recipe.refuse_unless_plain(self.name)
        return {"coherence": self.map_coherence(plan, progress)}

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> Float32Array:
        """Compute coherence on the plan's grid: float32, shape (height, width), NaN outside.

        Raises
        ------
        EngineError
            SNAP is not there, or cannot read these products.
        SnapError
            SNAP failed, by name.
        """
        install = find_snap()
        warn_of_version(install.version, install.version_text)
        self.version = with_variant(f"SNAP {install.version_text}")

        def runner(work: Workspace) -> Runner:
            return Gpt([str(install.gpt)], work.path / "userdir", work.path, install.version_text)

        return map_with(plan, settings(), known_version(install.version), runner, progress)


def warn_of_version(version: tuple[int, ...], text: str) -> None:
    """Say so if the graphs were written for other versions of SNAP than this one."""
    if not version or version[0] not in VERSIONS:
        warnings.warn(
            f"SNAP {text}: the graphs are checked against {' and '.join(map(str, VERSIONS))} only; its result may "
            "differ, or the graphs may not run",
            EngineWarning,
            stacklevel=4,
        )


def map_with(
    plan: CoherencePlan,
    limits: SnapSettings,
    version: int,
    make_runner: Callable[[Workspace], Runner],
    progress: Progress,
) -> Float32Array:
    """Carry out a plan with whatever runs graphs; see :meth:`SnapEngine.map_coherence`."""
    for path in (plan.reference, plan.secondary):
        _refuse_bursts(path)
    seen = seen_cells(plan)
    with workspace(limits.scratch or plan.out.parent, plan.pair, limits, disk_bytes(plan)) as work:
        with closing(make_runner(work)) as runner:
            product = Chain(plan, work, runner, limits, version, progress).run()
        band = coherence_band(product, plan.reference_date, plan.secondary_date, plan.polarisation)
        return masked(*on_grid(product, band, plan.grid), seen, product.path)


def _refuse_bursts(path: Path) -> None:
    if not path.exists():
        raise EngineError(f"{path}: joined slices cannot be given to SNAP here; use --engine builtin for them")
    if path.suffix.lower() != ".zip" and not (path / "manifest.safe").is_file():
        raise EngineError(
            f"{path} has no manifest.safe, and SNAP reads whole products only; use --engine builtin for single bursts"
        )


def disk_bytes(plan: CoherencePlan) -> int:
    """Estimate the most that lies on disk at one time."""
    product = open_product(plan.reference, require_manifest=False)
    swaths = {pair.swath: product.sub_swath(pair.swath, plan.polarisation) for pair in plan.bursts}
    pixels = sum(s.lines_per_burst * s.samples_per_burst for s in (swaths[pair.swath] for pair in plan.bursts))
    return pixels * BYTES_PER_PIXEL


@dataclass(eq=False)
class Chain:
    """The stages of one pair.

    `version` is that of the catalogue which graphs are rendered for.
    """

    plan: CoherencePlan
    work: Workspace
    runner: Runner
    settings: SnapSettings
    version: int
    progress: Progress
    _orbits: dict[str, LaidOrbit | None] = field(default_factory=dict)
    _done: float = 0.0

    def run(self) -> Dimap:
        """Run all stages and return the map, wherever it lies."""
        plan, work = self.plan, self.work
        lay_geoid(work.real / "userdir")
        dem = write_external_dem(plan, work.real / "dem.tif")
        elevation = {"dem": work.path / dem.name, "dem_nodata": DEM_NODATA}
        sources = {side: self._source(side) for side in ("reference", "secondary")}
        parts = [self._sub_swath(swath, sources, elevation) for swath in self.swaths]
        whole = parts[0] if len(parts) == 1 else self._merged(parts)
        return self._mapped(whole, elevation)

    @property
    def swaths(self) -> list[str]:
        """Sub-swaths of the plan, from near to far."""
        return sorted({pair.swath for pair in self.plan.bursts})

    def _source(self, side: str) -> Path:
        """Make a product reachable under a plain name, and lay its orbit file out."""
        path, orbit = getattr(self.plan, side), getattr(self.plan, f"{side}_orbit")
        scene = getattr(self.plan, f"{side}_scene")
        self._orbits[side] = None if orbit is None else lay_orbit(orbit, self.work.real / "userdir")
        if path.suffix.lower() == ".zip":
            return self.work.link(path, f"{scene}.zip")
        return self.work.link(path, f"{scene}.SAFE") / "manifest.safe"

    def _sub_swath(self, swath: str, sources: dict[str, Path], elevation: dict[str, object]) -> Path:
        """Split both dates, coregister them, and make their debursted interferogram."""
        plan, dates = self.plan, (self.plan.reference_date, self.plan.secondary_date)
        splits = {}
        for side, source in sources.items():
            bursts = [getattr(pair, f"{side}_index") + 1 for pair in plan.bursts if pair.swath == swath]
            orbit = self._orbits[side]
            splits[side] = self._stage(
                f"split-{side}-{swath}",
                "split" if orbit is None else "split-orbit",
                (),
                (side,),
                product=source,
                product_format="SENTINEL-1",
                swath=swath,
                polarisation=plan.polarisation,
                first_burst=min(bursts),
                last_burst=max(bursts),
                **({} if orbit is None else {"orbit_type": orbit.orbit_type}),
            ).path
        stack = self._coregistered(swath, splits, elevation)
        for split in splits.values():
            self.work.discard(split)
        interferogram = self._stage(
            f"interferogram-{swath}",
            "interferogram",
            dates,
            BOTH,
            stack=stack,
            remove_flat_earth=plan.remove_flat_earth,
            remove_topography=plan.remove_topography,
            window_azimuth=plan.window.azimuth,
            window_range=plan.window.range,
            polarisation=plan.polarisation,
            **elevation,
        ).path
        self.work.discard(stack)
        return interferogram

    def _coregistered(self, swath: str, splits: dict[str, Path], elevation: dict[str, object]) -> Path:
        """Bring the secondary onto the reference; spectral diversity is tried where it can be, and never fatal."""
        dates = (self.plan.reference_date, self.plan.secondary_date)
        name = f"coregister-{swath}"
        if self.settings.spectral_diversity:
            if sum(pair.swath == swath for pair in self.plan.bursts) < 2:
                warnings.warn(
                    f"{swath} shows the area in one burst, spectral diversity needs the overlap of two; {swath} is "
                    "coregistered by geometry alone",
                    EngineWarning,
                    stacklevel=2,
                )
            else:
                try:
                    return self._stage(name, "coregister-esd", dates, BOTH, **splits, **elevation).path
                except SnapError as error:
                    if type(error) not in GEOMETRY_MAY_DO:
                        raise
                    warnings.warn(f"{error}. {swath} is coregistered by geometry alone", EngineWarning, stacklevel=2)
                    self.work.discard(self.work.path / f"{name}.dim")
        return self._stage(name, "coregister", dates, BOTH, **splits, **elevation).path

    def _merged(self, parts: list[Path]) -> Path:
        names = ("near", "far") if len(parts) == 2 else ("near", "middle", "far")
        dates = (self.plan.reference_date, self.plan.secondary_date)
        template = "merge-two" if len(parts) == 2 else "merge-three"
        merged = self._stage(
            "merge",
            template,
            dates,
            BOTH[:1],
            polarisation=self.plan.polarisation,
            **dict(zip(names, parts, strict=True)),
        ).path
        for part in parts:
            self.work.discard(part)
        return merged

    def _mapped(self, source: Path, elevation: dict[str, object]) -> Dimap:
        """Cut the image to the area, put windows where they belong, and map it."""
        plan, grid = self.plan, self.plan.grid
        dates = (plan.reference_date, plan.secondary_date)
        region = box(*grid.bounds_lonlat()).buffer(REGION_MARGIN_DEG, join_style="mitre")
        cut = self._stage("subset", "subset", dates, BOTH[:1], source=source, region=region.wkt)
        self.work.discard(source)
        down, right = plan.window_offset
        if down or right:
            move_origin(cut.path, down, right)
        mapped = self._stage(
            "terrain-correction",
            "terrain-correction",
            dates,
            BOTH[:1],
            source=cut.path,
            band=coherence_band(cut, *dates, plan.polarisation).name,
            spacing_m=repr(grid.spacing_m),
            spacing_deg=repr(math.degrees(grid.spacing_m / EARTH_RADIUS_M)),
            crs=grid.crs,
            grid_origin_m=repr(grid.spacing_m / 2),
            **elevation,
        )
        return mapped

    def _stage(
        self, name: str, template: str, dates: tuple[str, ...], sides: tuple[str, ...], **values: object
    ) -> Dimap:
        """Run a graph and check what it left.

        Parameters
        ----------
        dates : tuple of str
            Dates that must stand in the names of its bands.
        sides : tuple of str
            Dates whose orbits its metadata must name.
        """
        target = self.work.path / f"{name}.dim"
        text = render(
            read_template(template, self.settings.graphs), {**values, "target": target}, self.version, name=template
        )
        graph = self.work.path / f"{name}.xml"
        graph.write_text(text, encoding="utf-8")
        share = WEIGHTS[next(stage for stage in WEIGHTS if name.startswith(stage))] / self._work_units()

        def check() -> Dimap:
            product = read_dimap(target)
            check_content(product, dates)
            refuse_other_orbits(product, [(side, self._orbits[side]) for side in sides])
            return product

        product = run_checked(
            self.runner, graph, name, self.settings, check,
            progress=lambda part: self.progress(min(self._done + part * share, 1.0)),
            again=lambda: self.work.discard(target),
        )  # fmt: skip
        self._done += share
        self.progress(min(self._done, 1.0))
        return product

    def _work_units(self) -> int:
        number = len(self.swaths)
        whole = WEIGHTS["subset"] + WEIGHTS["terrain-correction"] + WEIGHTS["merge"] * (number > 1)
        return number * (2 * WEIGHTS["split"] + WEIGHTS["coregister"] + WEIGHTS["interferogram"]) + whole
