"""The SNAP engine: a plan as a chain of graphs, each in a process of its own, and the map read back.

Every stage writes a product that is checked (whole, not empty, the right dates and polarisation, the right
orbit) before the next one starts and before the ones it was made from are deleted.
"""

from __future__ import annotations

import math
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from shapely.geometry import box

from insar_mining.arrays import Float32Array
from insar_mining.coherence.plan.model import CoherencePlan, PlannedScene, Progress
from insar_mining.coherence.plan.product import Layers
from insar_mining.coherence.snap.check import parse
from insar_mining.coherence.snap.dimap import (
    Dimap,
    check_content,
    coherence_band,
    move_origin,
    read_dimap,
    refuse_other_orbits,
)
from insar_mining.coherence.snap.gpt import Gpt, Runner, run_checked
from insar_mining.coherence.snap.graphs import known_version, read_template, render
from insar_mining.coherence.snap.mapped import masked, on_grid, seen_cells
from insar_mining.coherence.snap.provision import (
    DEM_NODATA,
    LaidOrbit,
    Workspace,
    discard,
    lay_geoid,
    lay_orbit,
    read_external_dem,
    with_moved_dems,
    workspace,
    write_external_dem,
)
from insar_mining.coherence.snap.settings import SnapSettings, find_snap, settings, variant, warn_of_version
from insar_mining.doors import parse_xml
from insar_mining.errors import (
    EngineError,
    EngineWarning,
    OptionError,
    SnapError,
    SnapOrbitError,
    SnapOutputError,
    sentence,
)
from insar_mining.geo.elevation import Dem
from insar_mining.options.models import SnapOptions
from insar_mining.sentinel1.product import open_product

BOTH = ("reference", "secondary")
ESTIMATED, GEOMETRY_ALONE = "estimated", "geometry alone"
GEOMETRY_MAY_DO = (SnapError, SnapOutputError)  # what spectral diversity may fail of: overlaps that are not coherent
REGION_MARGIN_DEG = 0.1  # heights move the ground in the image by up to some km
EARTH_RADIUS_M = 6378137.0
BYTES_PER_PIXEL = 30  # two dates, the stack and the interferogram that is made of it
BYTES_PER_SAMPLE = 4  # of a measurement
READS_IN_PLACE_MIB = 8192  # with less heap SNAP's reader copies a measurement before it reads it
APPLY_ORBIT = "Apply-Orbit-File"
# share of the whole that is done when a stage has ended, for one sub-swath
WEIGHTS = {"split": 1, "coregister": 4, "interferogram": 3, "merge": 1, "subset": 1, "terrain-correction": 1}


class SnapEngine:
    """Carry out plans with SNAP's graph processing tool.

    Parameters
    ----------
    options : SnapOptions, optional
        How SNAP is run; what is not given comes from the environment and the machine.
    """

    name = "snap"

    def __init__(self, options: SnapOptions | None = None) -> None:
        self.options = options
        self.version: str | None = None
        self.notes: dict[str, str] = {}

    def map_layers(self, plan: CoherencePlan, progress: Progress) -> Layers:
        """Run SNAP on the plan; it gives coherence alone."""
        plan.recipe.refuse_unless_plain(self.name)
        return {"coherence": self.map_coherence(plan, progress)}

    def map_coherence(self, plan: CoherencePlan, progress: Progress) -> Float32Array:
        """Compute coherence on the plan's grid: float32, shape (height, width), NaN outside.

        Raises
        ------
        DemError
            The elevation model does not reach far enough beyond the area.
        EngineError
            SNAP is not there, or cannot read these products.
        SnapError
            SNAP failed, by name.
        """
        install = find_snap()
        warn_of_version(install.version, install.version_text)

        def runner(work: Workspace) -> Runner:
            return Gpt([str(install.gpt)], work.path / "userdir", work.path, install.version_text)

        limits, asked = settings(self.options), variant(self.options)
        self.version, self.notes = describe_run(install.version_text, asked, {})
        values, esd = map_with(plan, limits, known_version(install.version), runner, progress)
        self.version, self.notes = describe_run(install.version_text, asked, esd)
        return values


def describe_run(version: str, asked: str, esd: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the engine's version with what was asked for besides the plan, and tags on what became of it.

    Parameters
    ----------
    asked : str
        :func:`insar_mining.coherence.snap.settings.variant`.
    esd : mapping
        What became of spectral diversity in each sub-swath, empty if it was not asked for.

    Examples
    --------
    >>> describe_run("14.0.0", "enhanced spectral diversity", {"IW1": "geometry alone", "IW2": "estimated"})[0]
    'SNAP 14.0.0 with enhanced spectral diversity (geometry alone in IW1)'
    """
    fallen = [swath for swath, became in esd.items() if became != ESTIMATED]
    text = f"SNAP {version}" + (f" with {asked}" if asked else "")
    if fallen:
        text += f" (geometry alone in {', '.join(fallen)})"
    return text, {"SPECTRAL_DIVERSITY": "; ".join(f"{k}: {v}" for k, v in esd.items())} if esd else {}


def map_with(
    plan: CoherencePlan,
    limits: SnapSettings,
    version: int,
    make_runner: Callable[[Workspace], Runner],
    progress: Progress,
) -> tuple[Float32Array, dict[str, str]]:
    """Carry out a plan with whatever runs graphs.

    Returns
    -------
    (values, esd)
        The map (see :meth:`SnapEngine.map_coherence`), and what became of spectral diversity in each sub-swath.
    """
    for path in (plan.scenes.reference.path, plan.scenes.secondary.path):
        _refuse_bursts(path)
    dem = read_external_dem(plan)
    seen = seen_cells(plan)
    with workspace(limits.scratch or plan.out.parent, plan.pair, limits, disk_bytes(plan, limits)) as work:
        with closing(make_runner(work)) as runner:
            chain = Chain(plan, dem, work, runner, limits, version, progress)
            product = chain.run()
        band = coherence_band(product, *plan.scenes.days, plan.polarisation)
        return masked(*on_grid(product, band, plan.grid), seen, product.path), chain.esd


def _refuse_bursts(path: Path) -> None:
    if not path.exists():
        raise EngineError(f"{path}: joined slices cannot be given to SNAP here. Use --engine builtin for them.")
    if path.suffix.lower() != ".zip" and not (path / "manifest.safe").is_file():
        raise EngineError(
            f"{path} has no manifest.safe, and SNAP reads whole products only. Use --engine builtin for single bursts."
        )


def disk_bytes(plan: CoherencePlan, limits: SnapSettings) -> int:
    """Estimate the most that lies on disk at once: intermediate products, and the reader's copy of a measurement."""
    product = open_product(plan.scenes.reference.path, require_manifest=False)
    swaths = {pair.swath: product.sub_swath(pair.swath, plan.polarisation) for pair in plan.bursts}
    pixels = sum(s.lines_per_burst * s.samples_per_burst for s in (swaths[pair.swath] for pair in plan.bursts))
    copies = max(len(s.bursts) * s.lines_per_burst * s.samples_per_burst for s in swaths.values()) * BYTES_PER_SAMPLE
    return pixels * BYTES_PER_PIXEL + (copies if limits.heap_mib < READS_IN_PLACE_MIB else 0)


@dataclass(eq=False)
class Chain:
    """Hold the stages of one pair.

    Attributes
    ----------
    version : int
        SNAP's, which graphs are rendered for.
    esd : dict
        What became of spectral diversity in each sub-swath, empty if it was not asked for.
    """

    plan: CoherencePlan
    dem: Dem
    work: Workspace
    runner: Runner
    settings: SnapSettings
    version: int
    progress: Progress
    esd: dict[str, str] = field(default_factory=dict)
    _orbits: dict[str, LaidOrbit | None] = field(default_factory=dict)
    _done: float = 0.0

    def run(self) -> Dimap:
        """Run all stages and return the map, wherever it lies."""
        work = self.work
        lay_geoid(work.real / "userdir")
        dem = write_external_dem(self.dem, work.real / "dem.tif")
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
        date: PlannedScene = getattr(self.plan.scenes, side)
        self._orbits[side] = None if date.orbit is None else lay_orbit(date.orbit, self.work.real / "userdir")
        if date.path.suffix.lower() == ".zip":
            return self.work.link(date.path, f"{date.scene}.zip")
        return self.work.link(date.path, f"{date.scene}.SAFE") / "manifest.safe"

    def _sub_swath(self, swath: str, sources: dict[str, Path], elevation: dict[str, object]) -> Path:
        """Split both dates, coregister them, and make their debursted interferogram."""
        plan, dates = self.plan, self.plan.scenes.days
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
            remove_flat_earth=plan.estimation.remove_flat_earth,
            remove_topography=plan.estimation.remove_topography,
            window_azimuth=plan.window.azimuth,
            window_range=plan.window.range,
            polarisation=plan.polarisation,
            **elevation,
        ).path
        self.work.discard(stack)
        return interferogram

    def _coregistered(self, swath: str, splits: dict[str, Path], elevation: dict[str, object]) -> Path:
        """Bring the secondary onto the reference; spectral diversity is tried where it can be, and never fatal."""
        dates = self.plan.scenes.days
        name = f"coregister-{swath}"
        if self.settings.spectral_diversity:
            try:
                if sum(pair.swath == swath for pair in self.plan.bursts) < 2:
                    raise SnapOutputError(
                        f"{swath}: shows the area in one burst, and spectral diversity needs the overlap of two"
                    )
                stack = self._stage(name, "coregister-esd", dates, BOTH, **splits, **elevation).path
            except SnapError as error:
                if type(error) not in GEOMETRY_MAY_DO:
                    raise
                warnings.warn(
                    f"{sentence(error)} {swath} is coregistered by geometry alone", EngineWarning, stacklevel=2
                )
                self.work.discard(self.work.path / f"{name}.dim")
                self.esd[swath] = GEOMETRY_ALONE
            else:
                self.esd[swath] = ESTIMATED
                return stack
        return self._stage(name, "coregister", dates, BOTH, **splits, **elevation).path

    def _merged(self, parts: list[Path]) -> Path:
        names = ("near", "far") if len(parts) == 2 else ("near", "middle", "far")
        dates = self.plan.scenes.days
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
        dates = plan.scenes.days
        region = box(*grid.bounds_lonlat()).buffer(REGION_MARGIN_DEG, join_style="mitre")
        cut = self._stage("subset", "subset", dates, BOTH[:1], source=source, region=region.wkt)
        self.work.discard(source)
        down, right = plan.estimation.window_offset
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
            check_content(product, dates, self.plan.polarisation)
            orbits = {side: self._orbits[side] for side in sides}
            refuse_other_orbits(product, [(side, orbit.name if orbit else None) for side, orbit in orbits.items()])
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


def run_graph(
    name: str,
    values: Mapping[str, object],
    *,
    orbits: Sequence[Path] = (),
    folder: Path | None = None,
    options: SnapOptions | None = None,
    progress: Progress = lambda share: None,
) -> Dimap:
    """Fill in any one template and run it as the engine runs its own: watched, without network, its product checked.

    Parameters
    ----------
    name : str
        Of the template: slice assembly, topographic phase, Goldstein, the whole chain, or any other.
    values : mapping
        A value for every placeholder; ``target`` is a path that ends in ``.dim``.
    orbits : sequence of path
        Orbit files (EOF) for Apply-Orbit-File, in the order of the product's dates.
    folder : path, optional
        Of the templates.
    options : SnapOptions, optional
        How SNAP is run.

    Returns
    -------
    Dimap
        The product, whole, not empty, and made with these orbits; if SNAP fails, what was there before is left.

    Raises
    ------
    OptionError
        A value is missing, or the target is no ``.dim``.
    EngineError, SnapError
        SNAP is not there, or failed, by name.
    """
    install, limits = find_snap(), settings(options)
    warn_of_version(install.version, install.version_text)
    target = Path(str(values.get("target", ""))).absolute()
    if target.suffix != ".dim":
        raise OptionError(f"graph {name!r}: target is {str(values.get('target', ''))!r}; it must end in .dim")
    version = known_version(install.version)
    template = read_template(name, folder or limits.graphs)
    nodes = parse(render(template, {**values, "target": target}, version, name=name)).findall("node")
    operators = {node.findtext("operator") for node in nodes}
    if APPLY_ORBIT in operators and not orbits:
        raise SnapOrbitError(
            f"graph {name!r} has {APPLY_ORBIT}, and SNAP would fetch orbit files by itself. Give them (--orbit)."
        )
    read = [Path(node.findtext("parameters/file", "")) for node in nodes if node.findtext("operator") == "Read"]
    if "SliceAssembly" in operators:
        refuse_slices(read)
    sides = ["reference", *["secondary"] * (len(orbits) - 1)] if APPLY_ORBIT in operators else []
    polarisation = str(values.get("polarisation", ""))
    with workspace(limits.scratch or target.parent, name, limits, 0) as work:
        lay_geoid(work.real / "userdir")
        laid = [lay_orbit(orbit, work.real / "userdir") for orbit in orbits]
        made = work.path / target.name
        graph = work.path / f"{name}.xml"
        text = render(template, {**values, "target": made}, version, name=name)
        graph.write_text(with_moved_dems(text, work), encoding="utf-8")

        def check() -> Dimap:
            product = read_dimap(made)
            check_content(product, polarisation=polarisation)
            refuse_other_orbits(product, list(zip(sides, [orbit.name for orbit in laid], strict=False)))
            return product

        runner = Gpt([str(install.gpt)], work.path / "userdir", work.path, install.version_text)
        with closing(runner):
            run_checked(runner, graph, name, limits, check, progress=progress, again=lambda: discard(made))
        discard(target)
        for path in (made.with_suffix(".data"), made):
            shutil.move(path, target.with_name(path.name))
    return read_dimap(target)


def refuse_slices(paths: Sequence[Path]) -> None:
    """Refuse slices that SliceAssembly drops or fails on.

    SNAP orders them by the slice number of their manifests: of two with one number it drops one without a word.
    Of a product with a single sub-swath it fails on a missing grid of tie points.

    Raises
    ------
    EngineError
    """
    remedy = "`run` and `coherence` join slices themselves with --engine builtin"
    numbers: dict[str, Path] = {}
    for path in paths:
        product = open_product(path.parent if path.name == "manifest.safe" else path)
        if len(product.swaths) < 2:
            raise EngineError(
                f"{product.name}: has one sub-swath ({product.swaths[0]}), SNAP's SliceAssembly needs two or more; "
                f"{remedy}"
            )
        number = _slice_number(path)
        if number in numbers:
            raise EngineError(
                f"{product.name} and {numbers[number].name}: both are slice {number}, and SNAP would drop one of them. "
                f"Give two slices of one pass ({remedy})."
            )
        numbers[number or str(path)] = path


def _slice_number(path: Path) -> str:
    """Read the slice number of a product's manifest, empty if it has none."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(next(name for name in archive.namelist() if name.endswith("/manifest.safe")))
    else:
        text = path.read_bytes()
    return parse_xml(text).findtext(".//{*}sliceNumber", "").strip()
