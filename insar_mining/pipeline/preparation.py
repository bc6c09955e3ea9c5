"""What a run would do: its pairs, what it reads and writes, and how long that takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd

from insar_mining.archive.products import scan_products
from insar_mining.coherence.plan import CoherencePlan
from insar_mining.coherence.product import is_current
from insar_mining.errors import ArchiveError, OptionError
from insar_mining.mines import Mine
from insar_mining.options import RunOptions
from insar_mining.pipeline.estimate import Estimate, estimate
from insar_mining.pipeline.inputs import mine_of
from insar_mining.pipeline.maps import FAULTS_OF_A_PAIR, Planner, ProgressCallback
from insar_mining.pipeline.network import choose_pairs, scenes_for

MAPS = "coherence"


@dataclass(frozen=True, eq=False)
class Start:
    """What a run starts from: everything that was asked for, found and checked.

    Attributes
    ----------
    scenes : GeoDataFrame
        Of the period, over the mine, with the polarisation.
    unreadable : sequence of mappings
        ``path`` and ``reason`` of what looks like a product and is none.
    """

    mine: Mine
    options: RunOptions
    planner: Planner
    scenes: gpd.GeoDataFrame
    unreadable: Sequence[Mapping[str, str]]

    @property
    def period(self) -> tuple[dt.date, dt.date]:
        """First and last day that were asked for."""
        assert self.options.start is not None
        assert self.options.end is not None
        return self.options.start, self.options.end


@dataclass(frozen=True, eq=False)
class RunPlan:
    """What a run would do (``--dry-run``).

    Attributes
    ----------
    pairs : GeoDataFrame
        As of :func:`insar_mining.select_pairs`, with the column ``map``: ``to make``, ``there``,
        or why the pair cannot be mapped.
    plans : tuple of CoherencePlan
    estimate : Estimate
    """

    mine: Mine
    out: Path
    pairs: gpd.GeoDataFrame
    plans: tuple[CoherencePlan, ...]
    estimate: Estimate


def prepare(mine: Mine | Path | str, options: RunOptions, out: Path) -> Start:
    """Find and check everything that a run starts from.

    Raises
    ------
    OptionError
        No start, end or elevation model.
    ArchiveError
        No folder of scenes, or none in the period.
    """
    missing = [name for name in ("start", "end", "dem") if getattr(options, name) is None]
    if missing or options.dem is None:
        raise OptionError(f"a run needs {' and '.join(missing)}; give them as options or in an options file")
    if options.scenes is None:
        raise ArchiveError(
            "a run without a folder of scenes would have to search and download them, which this version cannot: "
            "give the folder that holds the Sentinel-1 products (--scenes, scenes=)"
        )
    found = mine_of(mine, options.mine_id)
    scenes = scan_products(options.scenes)
    chosen = scenes_for(
        scenes,
        area=found.geometry,
        start=options.start,
        end=options.end,
        polarisation=options.pairs.polarisation,
    )
    return Start(
        mine=found,
        options=options,
        planner=Planner(found.geometry, options.dem, out / MAPS, options),
        scenes=chosen,
        unreadable=tuple(scenes.attrs.get("skipped", ())),
    )


def plan_run(start: Start, out: Path, progress: ProgressCallback) -> RunPlan:
    """Plan every pair of a run; nothing is written."""
    pairs = choose_pairs(start.scenes, start.options.pairs, area=start.mine.geometry)
    plans, states = [], []
    for done, pair in enumerate(pairs.to_dict("records"), start=1):
        try:
            plan = start.planner.plan(pair)
            plans.append(plan)
            states.append("there" if is_current(plan, start.options.coherence.engine) else "to make")
        except FAULTS_OF_A_PAIR as error:
            states.append(str(error))
        progress("planning", done, len(pairs))
    to_map = [plan for plan, state in zip(plans, (s for s in states if s in ("there", "to make")), strict=True)
              if state == "to make"]  # fmt: skip
    years = start.period[1].year - start.period[0].year + 1
    return RunPlan(start.mine, out, pairs.assign(map=states), tuple(plans), estimate(plans, to_map, years))
