"""Run the built-in engine: from the products of a pair to its map, over the area of interest only.

For each burst of the stack reference that shows the map: find the pixels that the map needs, bring
both dates onto them, estimate coherence in blocks of lines, and fill the cells that the burst shows.

An engine that is kept for a stack, with a cache, brings every date to the geometry once: a further
pair is then an interferogram, a window and a look-up.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, Float32Array
from insar_mining.coherence.builtin import compiled
from insar_mining.coherence.builtin.extras.misregistration import Shift
from insar_mining.coherence.builtin.extras.refine import described, shift_of_date
from insar_mining.coherence.builtin.images.burst import Side
from insar_mining.coherence.builtin.images.cache import ArrayCache
from insar_mining.coherence.builtin.images.dates import DateLines, Kept, OwnPixels, Phases, Relief, Resampler, blocks_of
from insar_mining.coherence.builtin.images.scene import Scene
from insar_mining.coherence.builtin.layers import (
    PHASES,
    POWERS,
    Dates,
    burst_layers,
    halo,
    looks_in_words,
    looks_of_common_band,
    offset_of,
)
from insar_mining.coherence.builtin.mapbands import MAP_BANDS, map_bands
from insar_mining.coherence.plan.bursts import burst_cuts
from insar_mining.coherence.plan.matching import BurstPair
from insar_mining.coherence.plan.model import ALGORITHM, CoherencePlan, PlannedScene, Progress
from insar_mining.coherence.plan.product import Layers
from insar_mining.coherence.plan.recipe import BIAS_BANDS
from insar_mining.errors import PartialDemWarning
from insar_mining.geometry.coregister import Region
from insar_mining.geometry.geocode import Place, bilinear, look_up, nearest
from insar_mining.geometry.terrain import RIM_M, dem_arrays, lost_at_rim
from insar_mining.geometry.threads import threads
from insar_mining.sentinel1.product import Product

logger = logging.getLogger(__name__)


Shifts = Sequence[Shift | None]
"""Of reference and secondary against the stack reference; None where nothing was measured."""

DATES = ("REFERENCE", "SECONDARY")


class BuiltinEngine:
    """Execute plans with numpy and numba.

    Parameters
    ----------
    cache : ArrayCache, optional
        Where dates on the geometry of the stack reference are kept for further pairs; without one
        each plan reads and resamples its two dates block by block, and keeps nothing.
    threads : int, optional
        By default as many as the machine or the container allows, at most ``OMP_NUM_THREADS``.  Maps of one
        process wait for each other (:func:`insar_mining.geometry.threads.threads`).
    """

    name = "builtin"
    version: str | None = None

    def __init__(self, cache: ArrayCache | None = None, threads: int | None = None) -> None:
        self._cache = cache
        self._threads = threads
        self._products: dict[PlannedScene, Product] = {}
        self._scene: Scene | None = None
        self._shifts: dict[tuple[object, ...], Shift] = {}
        self._known_looks: dict[tuple[object, ...], dict[str, str]] = {}
        self.notes: dict[str, str] = {}

    def map_layers(self, plan: CoherencePlan, progress: Progress) -> Layers:
        """Compute coherence and the bands of the plan's recipe: float32, shape (height, width), NaN outside."""
        if not compiled.are_compiled():
            logger.info("compiling the kernels, once on this machine: about a minute")
        with threads(self._threads):
            scene = self._scene_of(plan)
            shifts = [self._shift(scene, plan, which) for which in (0, 1)]
            # windows that are cut have no looks in common
            looks = self._looks(scene, plan) if plan.recipe.estimator == "boxcar" else {}
            self.notes = looks | {
                f"{name}_SHIFT": described(shift) for name, shift in zip(DATES, shifts, strict=True) if shift
            }
            names = [name for name in ("coherence", *plan.recipe.bands) if name not in MAP_BANDS]
            # the mask rests on amplitudes too, which are no band by themselves
            inner = POWERS if "mask" in plan.recipe.bands else ()
            out = {name: np.full(plan.grid.shape, np.nan, dtype=np.float32) for name in (*names, *inner)}
            for done, pair in enumerate(plan.bursts):
                self._fill_from_burst(out, scene, pair, shifts, plan, _part(progress, done, len(plan.bursts)))
            self.notes |= _told_of_rim(out["coherence"], plan)
            products = [self._product(date) for date in plan.scenes.all[:2]]
            return {name: out[name] for name in names} | map_bands(scene, products, plan, out)

    def _scene_of(self, plan: CoherencePlan) -> Scene:
        """Return what the pairs of the plan's stack share; the last one is cached."""
        stack = plan.scenes.stack_reference
        key = (stack.identity, plan.grid, plan.elevation.identity, plan.geometry.swaths, plan.polarisation)
        if self._scene is None or self._scene.key != key:
            product = self._product(stack)
            swaths = {name: product.sub_swath(name, plan.polarisation) for name in plan.geometry.swaths}
            dem = dem_arrays(plan.heights().dem)
            look = look_up(swaths[plan.geometry.swaths[0]], plan.grid, dem)
            self._scene = Scene(key, product, plan.polarisation, swaths, burst_cuts(list(swaths.values())), dem, look)
        return self._scene

    def _product(self, acquisition: PlannedScene) -> Product:
        if acquisition not in self._products:
            self._products[acquisition] = acquisition.open()
        return self._products[acquisition]

    def _fill_from_burst(
        self,
        out: dict[str, Float32Array],
        scene: Scene,
        pair: BurstPair,
        shifts: Shifts,
        plan: CoherencePlan,
        progress: Progress,
    ) -> None:
        """Fill the cells of the map that one burst shows."""
        shown = scene.shown_by(pair)
        offsets = {name: offset_of(name, plan) for name in out}
        region = scene.region(pair, offsets.values())
        if shown is None or region is None:
            return
        layers = burst_layers(region, self._dates(region, scene, pair, shifts, plan), plan, progress)
        frame = scene.side(pair).frame
        corner = shown.rows.start, shown.columns.start

        def put(
            how: Callable[..., None], values: npt.NDArray[np.generic], name: str, target: npt.NDArray[np.generic]
        ) -> None:
            place = Place.on(region, frame, offsets[name])
            how(values, scene.look.time_s, scene.look.slant_range_m, place, shown.chosen, *corner, target)

        for name, target in out.items():
            if name in PHASES:
                parts = [np.full(target.shape, np.nan, np.float32) for _ in range(2)]
                for part, values in zip(parts, (layers[name].real, layers[name].imag), strict=True):
                    put(bilinear, np.ascontiguousarray(values), name, part)
                here = target[shown.rows, shown.columns]
                real, imaginary = (part[shown.rows, shown.columns][shown.chosen] for part in parts)
                here[shown.chosen] = np.arctan2(imaginary, real)
            else:
                put(nearest if name in BIAS_BANDS else bilinear, layers[name], name, target)

    def _dates(self, region: Region, scene: Scene, pair: BurstPair, shifts: Shifts, plan: CoherencePlan) -> Dates:
        """Bring both dates of a pair to the geometry of the burst of the stack reference."""
        stack = scene.side(pair)
        wide = region.padded(*halo(plan.window, plan.recipe)).aligned()
        relief = self._relief(wide, stack, scene, plan)
        reference, secondary, _ = plan.scenes.all
        return Dates(
            stack,
            self._date(reference, pair.reference_index, relief, stack, shifts[0], plan),
            self._date(secondary, pair.secondary_index, relief, stack, shifts[1], plan),
        )

    def _looks(self, scene: Scene, plan: CoherencePlan) -> dict[str, str]:
        """Estimate the independent looks of the window, once per stack and window."""
        regions = {pair: scene.region(pair) for pair in plan.bursts}
        main = max(plan.bursts, key=lambda pair: 0 if (r := regions[pair]) is None else r.shape[0] * r.shape[1])
        region, stack = regions[main], scene.side(main)
        if region is None:
            return {}
        key = (scene.key, plan.window, main.swath, main.stack_index)
        if key not in self._known_looks:
            self._known_looks[key] = looks_in_words(region, stack, plan.window)
        known = self._known_looks[key]
        if not plan.recipe.common_band:
            return known
        # each pair shares another part of the band; the pixels were read with all of it
        return {
            "LOOKS": f"{looks_of_common_band(region, stack, plan):.2f}",
            "LOOKS_MEASURED": f"{known['LOOKS_MEASURED']}; before the common-band filter",
        }

    def _shift(self, scene: Scene, plan: CoherencePlan, which: int) -> Shift | None:
        """Estimate the residual misregistration of a date if the recipe asks for it, once per date and map."""
        date = plan.scenes.all[which]
        if plan.recipe.refine == "none" or date.identity == plan.scenes.stack_reference.identity:
            return None
        key = (scene.key, date.identity, plan.bursts)
        if key not in self._shifts:
            self._shifts[key] = shift_of_date(scene, self._product(date), plan.bursts, which)
        return self._shifts[key]

    def _relief(self, wide: Region, stack: Side, scene: Scene, plan: CoherencePlan) -> Relief:
        """Compute the terrain heights of a burst, or reuse those of an earlier date."""
        relief = Relief(wide, stack, scene.dem)
        reach = relief.reach
        shape = reach.shape[0], reach.posts
        if self._cache is None or not self._cache.holds(shape, np.float64):
            return relief
        key = _key("heights that a burst sees", plan, stack, reach)
        blocks = (relief.heights(block.line_start, block.line_stop) for block in blocks_of(reach))
        return relief.knowing(self._cache.get(key, shape, np.float64, lambda: blocks))

    def _date(
        self, date: PlannedScene, index: int, relief: Relief, stack: Side, shift: Shift | None, plan: CoherencePlan
    ) -> DateLines:
        """Resample one date to the stack geometry: unchanged, from the cache, or block by block."""
        if date.identity == plan.scenes.stack_reference.identity and index == stack.burst_index:
            return OwnPixels(stack)
        side = Side(self._product(date), self._product(date).sub_swath(stack.swath.swath, plan.polarisation), index)
        phases = Phases(plan.estimation.remove_flat_earth, plan.estimation.remove_topography)
        shape = relief.region.shape
        moved = (0.0, 0.0) if shift is None else shift.both
        resampler = functools.cache(lambda: Resampler.of(relief, side, stack, phases, moved))
        if self._cache is None or not self._cache.holds(shape, np.complex64):
            return resampler()
        key = _key("date on the geometry of a burst", plan, stack, relief.region)
        key |= {
            "date": (date.identity, index),
            "phases": (plan.estimation.remove_flat_earth, plan.estimation.remove_topography),
            "shift": moved,
        }

        def blocks() -> Iterator[Complex64Array]:
            ahead = [*blocks_of(relief.region)]
            for number, block in enumerate(ahead):
                for upcoming in ahead[number + 1 : number + 2]:  # the disk works on the next block meanwhile
                    resampler().announce(upcoming)
                yield resampler().lines(block)

        return Kept(relief.region, self._cache.get(key, shape, np.complex64, blocks), resampler)


def _told_of_rim(values: Float32Array, plan: CoherencePlan) -> dict[str, str]:
    """Warn of what a map lost where its elevation model ends, and return it for the tags."""
    dem = plan.heights().dem
    rim = lost_at_rim(values, plan.grid, dem)
    if rim is None:
        return {}
    warnings.warn(
        f"{dem.source}: {rim} (needed {RIM_M:g} m). Use a model that reaches {RIM_M:g} m beyond the map, or add tiles.",
        PartialDemWarning,
        stacklevel=4,
    )
    return {"DEM_RIM": str(rim)}


def _key(what: str, plan: CoherencePlan, stack: Side, region: Region) -> dict[str, object]:
    """Return what decides an array on the pixels of a burst of the stack reference."""
    return {
        "what": what,
        "algorithm": ALGORITHM,
        "stack reference": plan.scenes.stack_reference.identity,
        "image": (stack.swath.swath, plan.polarisation, stack.burst_index),
        "dem": plan.elevation.identity,
        "region": (region.line_start, region.line_stop, region.sample_start, region.sample_stop),
    }


def _part(progress: Progress, done: int, parts: int) -> Progress:
    """Report the progress of one part of several as progress of the whole."""
    return lambda share: progress((done + share) / parts)
