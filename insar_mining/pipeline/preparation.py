"""What a run starts from, and what it would do: its pairs, what it fetches, reads and writes, how long that takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd

from insar_mining.coherence.current import is_current
from insar_mining.coherence.plan.model import CoherencePlan
from insar_mining.display import table_html
from insar_mining.errors import InsarMiningError, OptionError
from insar_mining.geo.mines import Mine
from insar_mining.options.models import RunOptions
from insar_mining.pipeline.acquisition import (
    Network,
    acquire,
    archive_folder,
    elevation,
    find_images,
    mapped_ground,
)
from insar_mining.pipeline.costs import ArchivePlan, plan_archive
from insar_mining.pipeline.estimate import RunEstimate, estimate
from insar_mining.pipeline.inputs import check_folder, mine_of
from insar_mining.pipeline.maps import FAULTS_OF_A_PAIR, Planner, ProgressCallback, none_of
from insar_mining.scenes.network import scenes_for
from insar_mining.scenes.products import scan_products
from insar_mining.sentinel1.orbit import orbit_files

MAPS = "coherence"


@dataclass(frozen=True, eq=False)
class Start:
    """Hold the checked inputs from which a run starts.

    Attributes
    ----------
    scenes : GeoDataFrame
        Of the period, over the mine, with the polarisation.
    unreadable : sequence of mappings
        ``path`` and ``reason`` of what looks like a product and is none.
    lost : sequence of mappings
        ``what`` could not be had from the archive, and the ``reason``.
    never_formed : sequence of mappings
        ``pair`` and ``reason`` of pairs that the catalogue alone told to be of no use.
    found : mapping
        What was asked of the catalogue and chosen, as plain values; empty for local scenes.
    """

    mine: Mine
    options: RunOptions
    planner: Planner
    scenes: gpd.GeoDataFrame
    unreadable: Sequence[Mapping[str, str]]
    lost: Sequence[Mapping[str, str]] = ()
    never_formed: Sequence[Mapping[str, Any]] = ()
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def period(self) -> tuple[dt.date, dt.date]:
        """First and last day that were asked for."""
        assert self.options.start is not None
        assert self.options.end is not None
        return self.options.start, self.options.end


@dataclass(frozen=True, eq=False)
class RunPlan:
    """Hold the plan of a run (``--dry-run``).

    Attributes
    ----------
    pairs : GeoDataFrame
        As of :func:`insar_mining.select_pairs`, with the column ``map``: ``to make``, ``there``,
        or why the pair cannot be mapped.
    plans : tuple of CoherencePlan
        None of scenes that are still to be fetched.
    estimate : RunEstimate
    archive : ArchivePlan or None
        What is to be fetched; None for local scenes.
    """

    mine: Mine
    out: Path
    pairs: gpd.GeoDataFrame
    plans: tuple[CoherencePlan, ...]
    estimate: RunEstimate
    archive: ArchivePlan | None = None

    def _repr_html_(self) -> str:
        rows = {"folder": self.out, "pairs": len(self.pairs)}
        states = self.pairs["map"].value_counts() if "map" in self.pairs else {}
        return table_html(f"Run over {self.mine.name}", {**rows, **{f"maps: {name}": n for name, n in states.items()}})


def prepare(
    mine: Mine | Path | str, options: RunOptions, out: Path, network: Network, progress: ProgressCallback
) -> Start:
    """Find, fetch where it is not given, and check everything that a run starts from.

    Raises
    ------
    OptionError
        No start or end.
    ArchiveError
        No scene in the period, or what is missing cannot be fetched.
    """
    check_period(options)
    found = mine_of(mine, options.mine_id)
    if options.scenes is None:
        return _fetched(found, options, out, network, progress)
    scenes = scan_products(options.scenes)
    options = _with_orbit_files(options)
    chosen = _of_period(scenes, found, options)
    dem = options.dem or elevation(found, options, archive_folder(options, out), network)
    return Start(
        mine=found,
        options=options,
        planner=Planner(mapped_ground(found, options.activity).geometry, dem, out / MAPS, options),
        scenes=chosen,
        unreadable=tuple(scenes.attrs.get("skipped", ())),
    )


def _fetched(mine: Mine, options: RunOptions, out: Path, network: Network, progress: ProgressCallback) -> Start:
    """Start from what the archive has; elevation first, so that a fault of the mine shows before gigabytes come."""
    folder = archive_folder(options, out)
    found = find_images(mine, options, network)
    dem = options.dem or elevation(mine, options, folder, network)
    local = acquire(found, options, folder, network, progress)
    # the maps are made of one track with the orbits that were fetched; the record keeps what was asked for
    used = options.replace(
        pairs=options.pairs.replace(relative_orbit=found.choice.relative_orbit),
        coherence=options.coherence.replace(orbits=local.orbits or None),
    )
    return Start(
        mine=mine,
        options=used,
        planner=Planner(mapped_ground(mine, options.activity).geometry, dem, out / MAPS, used),
        scenes=_of_period(local.scenes, mine, options),
        unreadable=tuple(local.scenes.attrs.get("skipped", ())),
        lost=local.lost,
        never_formed=found.rejected,
        found={**found.record(), "dates_wanted": found.fetch.dates, "dates_lost": local.dates_lost},
    )


def check_period(options: RunOptions) -> None:
    """Raise OptionError without a first and a last day."""
    missing = [name for name in ("start", "end") if getattr(options, name) is None]
    if missing:
        raise OptionError(f"a run needs {' and '.join(missing)}. Give them as options or in an options file.")


def _with_orbit_files(options: RunOptions) -> RunOptions:
    """Put the files of folders of orbits in their place."""
    files = orbit_files(options.coherence.orbits)
    return options.replace(coherence=options.coherence.replace(orbits=tuple(files) or None))


def _of_period(scenes: gpd.GeoDataFrame, mine: Mine, options: RunOptions) -> gpd.GeoDataFrame:
    return scenes_for(
        scenes,
        area=mine.geometry,
        start=options.start,
        end=options.end,
        polarisation=options.pairs.polarisation,
    )


def plan_only(
    mine: Mine | Path | str, options: RunOptions, out: Path, network: Network, progress: ProgressCallback
) -> RunPlan:
    """Plan a run; nothing is written, and of the network only the catalogue is asked.

    Raises
    ------
    InsarMiningError
        None of the pairs can be mapped: the first fault, by its own name.
    OptionError
        No start or end, or local scenes without an elevation model, which only a run fetches.
    """
    check_period(options)
    check_folder(out)
    if options.scenes is not None:
        if options.dem is None:
            raise OptionError(
                "to plan the maps of local scenes their elevation model is needed, and a plan fetches none: give one "
                "(--dem), or start the run without --dry-run"
            )
        return plan_run(prepare(mine, options, out, network, progress), out, progress)
    found_mine = mine_of(mine, options.mine_id)
    found = find_images(found_mine, options, network)
    archive, guess = plan_archive(
        mapped_ground(found_mine, options.activity), found, options, archive_folder(options, out)
    )
    return RunPlan(found_mine, out, found.pairs.assign(map="to make"), (), guess, archive)


def plan_run(start: Start, out: Path, progress: ProgressCallback) -> RunPlan:
    """Plan every pair of a run; nothing is written."""
    pairs = start.planner.choose_pairs(start.scenes)
    start.planner.settle_stack(pairs)
    plans, states = [], []
    failed: dict[str, InsarMiningError] = {}
    for done, pair in enumerate(pairs.to_dict("records"), start=1):
        try:
            plan = start.planner.plan(pair)
            plans.append(plan)
            options = start.options
            states.append("there" if is_current(plan, options.coherence.engine, options.snap) else "to make")
        except FAULTS_OF_A_PAIR as error:
            states.append(str(error))
            failed[str(pair["pair"])] = error
        progress("planning", done, len(pairs))
    if not plans:
        raise none_of(failed)
    to_map = [plan for plan, state in zip(plans, (s for s in states if s in ("there", "to make")), strict=True)
              if state == "to make"]  # fmt: skip
    years = start.period[1].year - start.period[0].year + 1
    return RunPlan(start.mine, out, pairs.assign(map=states), tuple(plans), estimate(plans, to_map, years))
