"""The SNAP engine: a plan as a chain of graphs, each in a process of its own, and the map read back.

Every stage writes a product that is checked (whole, not empty, the right dates, the right
orbit) before the next one starts and before the ones it was made from are deleted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from shapely.geometry import box

from insar_mining.coherence.plan import CoherencePlan, Progress
from insar_mining.coherence.product import Layers
from insar_mining.coherence.snap.catalogue import VERSIONS
from insar_mining.coherence.snap.dimap import Dimap, check_content, coherence_band, move_origin, read_dimap
from insar_mining.coherence.snap.gpt import Gpt, Runner
from insar_mining.coherence.snap.graphs import known_version, read_template, render
from insar_mining.coherence.snap.install import find_snap
from insar_mining.coherence.snap.mapped import masked, on_grid
from insar_mining.coherence.snap.provision import DEM_NODATA, lay_geoid, lay_orbit, write_external_dem
from insar_mining.coherence.snap.seen import anchor, seen_cells
from insar_mining.coherence.snap.settings import SnapSettings, settings
from insar_mining.coherence.snap.workspace import Workspace, workspace
from insar_mining.errors import (
    EngineError,
    EngineWarning,
    SnapCrashError,
    SnapHangError,
    SnapMemoryError,
    SnapOrbitError,
)
from insar_mining.sentinel1.product import open_product

FloatMap = npt.NDArray[np.float32]

SECOND_TRY = (SnapHangError, SnapMemoryError, SnapCrashError)
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

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> FloatMap:
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
        self.version = f"SNAP {install.version_text}"

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
) -> FloatMap:
    """Carry out a plan with whatever runs graphs; see :meth:`SnapEngine.map_coherence`."""
    for path in (plan.reference, plan.secondary):
        _refuse_bursts(path)
    seen = seen_cells(plan)
    with workspace(plan, limits, disk_bytes(plan)) as work:
        chain = Chain(plan, work, make_runner(work), limits, version, progress)
        product = chain.run()
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
    _orbits: dict[str, tuple[str, str] | None] = field(default_factory=dict)
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
        scene, date = getattr(self.plan, f"{side}_scene"), getattr(self.plan, f"{side}_date")
        platform = self.plan.platforms[side == "secondary"]
        userdir = self.work.real / "userdir"
        self._orbits[side] = None if orbit is None else lay_orbit(orbit, userdir, platform, date)
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
                product=source,
                swath=swath,
                polarisation=plan.polarisation,
                first_burst=min(bursts),
                last_burst=max(bursts),
                **({} if orbit is None else {"orbit_type": orbit[0]}),
            ).path
            self._check_orbits(splits[side], (side,))
        diversity = self.settings.spectral_diversity
        stack = self._stage(
            f"coregister-{swath}", "coregister-esd" if diversity else "coregister", dates, **splits, **elevation
        ).path
        self._check_orbits(stack, ("reference", "secondary"))
        for split in splits.values():
            self.work.discard(split)
        interferogram = self._stage(
            f"interferogram-{swath}",
            "interferogram",
            dates,
            stack=stack,
            remove_flat_earth=plan.remove_flat_earth,
            remove_topography=plan.remove_topography,
            window_azimuth=plan.window.azimuth,
            window_range=plan.window.range,
            polarisation=plan.polarisation,
            **elevation,
        ).path
        self._check_orbits(interferogram, ("reference", "secondary"))
        self.work.discard(stack)
        return interferogram

    def _merged(self, parts: list[Path]) -> Path:
        names = ("near", "far") if len(parts) == 2 else ("near", "middle", "far")
        dates = (self.plan.reference_date, self.plan.secondary_date)
        template = "merge-two" if len(parts) == 2 else "merge-three"
        merged = self._stage(
            "merge", template, dates, polarisation=self.plan.polarisation, **dict(zip(names, parts, strict=True))
        ).path
        for part in parts:
            self.work.discard(part)
        return merged

    def _mapped(self, source: Path, elevation: dict[str, object]) -> Dimap:
        """Cut the image to the area, put windows where they belong, and map it."""
        plan, grid = self.plan, self.plan.grid
        dates = (plan.reference_date, plan.secondary_date)
        region = box(*grid.bounds_lonlat()).buffer(REGION_MARGIN_DEG, join_style="mitre")
        cut = self._stage("subset", "subset", dates, source=source, region=region.wkt)
        self.work.discard(source)
        down, right = anchor(plan)
        if down or right:
            move_origin(cut.path, down, right)
        mapped = self._stage(
            "terrain-correction",
            "terrain-correction",
            dates,
            source=cut.path,
            band=coherence_band(cut, *dates, plan.polarisation).name,
            spacing_m=repr(grid.spacing_m),
            spacing_deg=repr(math.degrees(grid.spacing_m / EARTH_RADIUS_M)),
            crs=grid.crs,
            grid_origin_m=repr(grid.spacing_m / 2),
            **elevation,
        )
        self._check_orbits(mapped.path, ("reference",))
        return mapped

    def _stage(self, name: str, template: str, dates: tuple[str, ...], **values: object) -> Dimap:
        """Run a graph and check what it left; where that makes sense try once more, more gently."""
        target = self.work.path / f"{name}.dim"
        text = render(read_template(template), {**values, "target": target}, self.version, name=template)
        graph = self.work.path / f"{name}.xml"
        graph.write_text(text, encoding="utf-8")
        limits = self.settings
        share = WEIGHTS[next(stage for stage in WEIGHTS if name.startswith(stage))] / self._work_units()
        for last in (False, True):
            try:
                self.runner.run(graph, name, limits, lambda part: self.progress(min(self._done + part * share, 1.0)))
                product = read_dimap(target)
                check_content(product, dates)
            except SECOND_TRY as error:
                if last:
                    raise type(error)(f"twice: {error}") from error
                limits = limits.gentler()
                warnings.warn(
                    f"{error}. Trying once more with {limits.parallelism} threads", EngineWarning, stacklevel=2
                )
                self.work.discard(target)
            else:
                break
        self._done += share
        self.progress(min(self._done, 1.0))
        return product

    def _work_units(self) -> int:
        number = len(self.swaths)
        whole = WEIGHTS["subset"] + WEIGHTS["terrain-correction"] + WEIGHTS["merge"] * (number > 1)
        return number * (2 * WEIGHTS["split"] + WEIGHTS["coregister"] + WEIGHTS["interferogram"]) + whole

    def _check_orbits(self, path: Path, sides: tuple[str, ...]) -> None:
        """Make sure that a product was made with the orbit files it was given.

        Raises
        ------
        SnapOrbitError
            Its metadata names another file, or its vectors are not the ones that
            Apply-Orbit-File makes, 1 s apart.
        """
        records = read_dimap(path).orbits()
        for number, side in enumerate(sides):
            orbit = self._orbits[side]
            if orbit is None:
                continue
            record = records[number] if number < len(records) else None
            said = "nothing" if record is None else f"{record.file or 'no file'}, vectors {record.spacing_s:g} s apart"
            stem = orbit[1].removesuffix(".EOF")
            if record is None or stem not in record.file or not 0.5 < record.spacing_s < 1.5:
                raise SnapOrbitError(
                    f"{path.name}: the {side} should have the orbit {orbit[1]} in vectors 1 s apart, its metadata says "
                    f"{said}. The geometry is that of the annotation. SNAP 14 does so when Apply-Orbit-File and "
                    "its successors are in one graph: run them in separate processes, as the package's own graphs do"
                )
