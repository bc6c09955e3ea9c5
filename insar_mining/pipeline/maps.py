"""From scenes to one coherence map per pair: resumed, and going on past a bad date."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
from shapely.geometry.base import BaseGeometry

from insar_mining.coherence.current import is_current
from insar_mining.coherence.engine import Engine, coherence, engine_for
from insar_mining.coherence.plan.model import CoherencePlan, make_plan
from insar_mining.coherence.plan.stack import choose_stack_reference
from insar_mining.doors import parse_json
from insar_mining.errors import (
    CoverageError,
    InsarMiningError,
    OptionError,
    OrbitError,
    PairError,
    ProductError,
    SkippedInputWarning,
    SnapError,
    StackReferenceWarning,
)
from insar_mining.files import write_text
from insar_mining.geo.grid import MapGrid
from insar_mining.options.models import RunOptions
from insar_mining.pipeline.quality import Qualities
from insar_mining.scenes.network import choose_pairs
from insar_mining.sentinel1.product import Product, open_product

logger = logging.getLogger(__name__)

ProgressCallback = Callable[[str, int, int], None]
"""Called with a stage's name, how much of it is done, and how much there is."""

SIDES = ("reference", "secondary")

# what a single product or pair can suffer from; everything else stops the run
FAULTS_OF_A_PAIR = (ProductError, OrbitError, CoverageError, PairError, SnapError)

STACK_RECORD = "stack_reference.json"  # beside the maps
MAP_FILES = re.compile(rf"\d{{8}}_\d{{8}}\.(?:tif|json)|{re.escape(STACK_RECORD)}", re.ASCII)
DATES = ".dates"  # beside the maps: dates on the geometry of the stack reference

# when so many pairs fail and none succeeds, the fault is not with single dates
HOPELESS_PAIRS = 3


@dataclass(frozen=True, eq=False)
class Maps:
    """Hold the coherence maps of a run.

    Attributes
    ----------
    pairs : GeoDataFrame
        Pairs that have a map, in order of time.
    paths : tuple of Path
        Their maps.
    kept : int
        How many of them were there already, complete and of the same plan.
    failures : mapping of str to str
        Pairs that could not be mapped, and why.
    bad_dates : tuple of date
        Dates none of whose pairs could be mapped; a longer pair bridges each where there is one.
    quality : mapping of str to mapping
        Of each mapped pair what :meth:`insar_mining.pipeline.quality.Qualities.of_pair` tells of its dates.
    """

    pairs: gpd.GeoDataFrame
    paths: tuple[Path, ...]
    kept: int
    failures: Mapping[str, str]
    bad_dates: tuple[dt.date, ...]
    quality: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(eq=False)
class Planner:
    """Make the plans of a stack: one grid, one set of options, every product opened once."""

    area: BaseGeometry
    dem: Path
    folder: Path
    options: RunOptions
    grid: MapGrid = field(init=False)
    stack_reference: Product | None = field(init=False, default=None)
    _products: dict[str, Product] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Fix the grid that all pairs share."""
        self.grid = MapGrid.around(self.area, self.options.coherence.spacing_m)

    def choose_pairs(self, scenes: gpd.GeoDataFrame, without: Sequence[dt.date] = ()) -> gpd.GeoDataFrame:
        """Choose the pairs to map, for a run and for a dry run alike: baselines are those of the mapped ground.

        Parameters
        ----------
        scenes : GeoDataFrame
            As :func:`insar_mining.scenes.network.scenes_for` gives it.
        without : sequence of date
            Dates not to use, beside those of the options.

        Raises
        ------
        PairError
            No two scenes form a pair.
        """
        options = self.options.pairs
        return choose_pairs(
            scenes,
            options.replace(exclude=(*options.exclude, *without)),
            area=self.area,
            orbits=self.options.coherence.orbits,
        )

    def settle_stack(self, pairs: gpd.GeoDataFrame) -> None:
        """Choose the scene to whose geometry all dates are brought, once for the folder.

        It is the one that an earlier run recorded, so that new dates never change what is there; else
        that of the date asked for; else the earliest that sees all of the mine.  Without a common geometry, and
        with SNAP, there is none: each pair is brought to its own reference.

        Warns
        -----
        StackReferenceWarning
            The recorded scene is none of the dates any more: with another, every map is made again.
        """
        chosen = self.options.coherence
        if chosen.engine != "builtin" or not chosen.common_geometry or self.stack_reference is not None:
            return
        sides = [
            (pair[f"{side}_date"], str(pair[f"{side}_path"])) for pair in pairs.to_dict("records") for side in SIDES
        ]
        products = [self._product(path) for _, path in sorted({(str(_day(date)), path) for date, path in sides})]
        wanted = self.options.coherence.stack_reference
        recorded = self._recorded()
        if wanted is not None:
            products = [product for product in products if _day(product.start) == wanted]
            if not products:
                raise OptionError(f"stack_reference {wanted} is no date of the pairs. Name one that is, or none.")
        elif recorded is not None:
            same = [product for product in products if product.identity() == recorded["identity"]]
            products = same or products
        options = self.options.coherence
        self.stack_reference = choose_stack_reference(
            products,
            self.grid,
            self.dem,
            polarisation=self.options.pairs.polarisation,
            swaths=options.swaths,
            dem_heights=options.dem_heights,
        )
        if wanted is None and recorded is not None and not same:
            warnings.warn(
                f"{recorded['scene']}, to whose geometry the maps in {self.folder} were brought, is none of this "
                f"run's dates; {self.stack_reference.name} takes its place, and all maps are made again. To keep "
                "them, put the scene back and include its date",
                StackReferenceWarning,
                stacklevel=3,
            )

    def record_stack(self) -> None:
        """Write down the stack reference, for later runs in the same folder."""
        if self.stack_reference is not None:
            record = {"scene": self.stack_reference.name, "identity": self.stack_reference.identity()}
            write_text(self.folder / STACK_RECORD, json.dumps(record, indent=2) + "\n")

    def _recorded(self) -> dict[str, str] | None:
        try:
            record = parse_json((self.folder / STACK_RECORD).read_bytes())
            return {key: str(record[key]) for key in ("scene", "identity")}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def engine(self) -> Engine:
        """Return the engine for all pairs; the built-in one keeps the dates that it has brought to the geometry."""
        return engine_for(self.options.coherence, self.folder / DATES, self.options.snap)

    def beside(self, folder: Path, options: RunOptions) -> Planner:
        """Return a planner of the same stack with other options, whose maps go into another folder."""
        other = Planner(self.area, self.dem, folder, options)
        other.grid, other.stack_reference, other._products = self.grid, self.stack_reference, self._products
        return other

    def plan(self, pair: Mapping[str, object]) -> CoherencePlan:
        """Plan one row of a pair table."""
        return make_plan(
            self._product(str(pair["reference_path"])),
            self._product(str(pair["secondary_path"])),
            area=self.area,
            dem=self.dem,
            out=self.folder / f"{pair['pair']}.tif",
            stack_reference=self.stack_reference,
            grid=self.grid,
            options=self.options.coherence,
            polarisation=self.options.pairs.polarisation,
        )

    def _product(self, path: str) -> Product:
        if path not in self._products:
            self._products[path] = open_product(path)
        return self._products[path]


def make_maps(scenes: gpd.GeoDataFrame, planner: Planner, progress: ProgressCallback) -> Maps:
    """Map every pair of a table of scenes.

    A pair that cannot be mapped is reported and left out. A date none of whose pairs can be
    mapped is excluded, and the pairs are selected again, so that a longer pair bridges it.

    Parameters
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.scenes.network.scenes_for` gives it.

    Raises
    ------
    InsarMiningError
        No pair at all could be mapped (the first failure, by its own name), or something failed
        that has nothing to do with a single pair: the elevation model, the disk, the engine.
    """
    done: dict[str, Path] = {}
    failed: dict[str, InsarMiningError] = {}
    bad: list[dt.date] = []
    kept = 0
    quality: dict[str, Mapping[str, object]] = {}
    dates = Qualities()
    engine = planner.engine()
    while True:
        try:
            pairs = planner.choose_pairs(scenes, without=bad)
        except PairError:
            if not failed:
                raise
            break  # without the bad dates there is no pair left
        planner.settle_stack(pairs)
        planner.record_stack()
        progress("coherence", len(done), len(pairs))
        for pair in pairs.to_dict("records"):
            if pair["pair"] in done or pair["pair"] in failed:
                continue
            try:
                plan = planner.plan(pair)
                kept += is_current(plan, planner.options.coherence.engine, planner.options.snap)
                done[pair["pair"]] = coherence(plan, engine)
                quality[pair["pair"]] = dates.of_pair(plan)
            except FAULTS_OF_A_PAIR as error:
                failed[pair["pair"]] = error
                warnings.warn(f"pair {pair['pair']} left out: {error}", SkippedInputWarning, stacklevel=3)
            progress("coherence", len([name for name in pairs["pair"] if name in done]), len(pairs))
        culprit = bad_date(pairs, done, failed)
        if culprit is None or (not done and len(failed) >= HOPELESS_PAIRS):
            break
        bad.append(culprit)
        logger.info("%s is left out: none of its pairs could be mapped", culprit)
    if not done:
        raise none_of(failed)
    mapped = pairs[pairs["pair"].isin(list(done))]
    return Maps(
        pairs=mapped,
        paths=tuple(done[name] for name in mapped["pair"]),
        kept=kept,
        failures={name: str(error) for name, error in failed.items()},
        bad_dates=tuple(bad),
        quality=quality,
    )


def bad_date(
    pairs: gpd.GeoDataFrame, done: Mapping[str, Path], failed: Mapping[str, InsarMiningError]
) -> dt.date | None:
    """Return the date that is most likely at fault for failed pairs, None if single pairs are.

    A date with one mapped pair is good. Among the others it is the one that most failures name
    (a product's fault names its file), then the one with most failures, then the later.
    """
    blame: dict[dt.date, tuple[int, int]] = {}
    good: set[dt.date] = set()
    for pair in pairs.to_dict("records"):
        for side in SIDES:
            date = _day(pair[f"{side}_date"])
            if pair["pair"] in done:
                good.add(date)
            elif pair["pair"] in failed:
                named, count = blame.get(date, (0, 0))
                is_named = any(scene in str(failed[pair["pair"]]) for scene in str(pair[side]).split("+"))
                blame[date] = (named + is_named, count + 1)
    suspects = {date: how_much for date, how_much in blame.items() if date not in good}
    return max(suspects, key=lambda date: (*suspects[date], date)) if suspects else None


def _day(value: object) -> dt.date:
    return dt.date.fromisoformat(str(value)[:10])


def none_of(failed: Mapping[str, InsarMiningError]) -> InsarMiningError:
    """Return the first failure, with the number of pairs it stands for."""
    name, first = next(iter(failed.items()))
    if len(failed) == 1:
        return first
    return type(first)(f"none of the {len(failed)} pairs tried could be mapped; the first, {name}: {first}")
