"""What a run that is given no products, or no elevation model, finds and fetches by itself.

In the order of the data: the images of the catalogue, the track that shows the mine best,
its pairs, then elevation, products and orbits.  What fails with one date leaves that date
out and is told; what is whole is never fetched again, so that a rerun goes on.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import requests

from insar_mining.download.elevation import SOURCES as DEM_SOURCES
from insar_mining.download.elevation import DemSource, fetch_dem
from insar_mining.download.files import Outcome, is_whole
from insar_mining.download.orbits import SOURCES as ORBIT_SOURCES
from insar_mining.download.orbits import FoundOrbit, OrbitSource, find_orbits
from insar_mining.download.products import FetchPlan, fetch_products, open_session, plan_fetch
from insar_mining.download.safe import assembled
from insar_mining.download.session import EarthdataSession
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError, OptionError, ProductError, SkippedInputWarning
from insar_mining.geo.cells import with_margin
from insar_mining.geo.elevation import margin_for_any_engine_deg
from insar_mining.geo.mines import Mine
from insar_mining.options.activity import ActivityOptions
from insar_mining.options.models import ArchiveOptions, RunOptions
from insar_mining.pipeline.maps import ProgressCallback
from insar_mining.pipeline.surroundings import margin_of
from insar_mining.scenes.network import choose_pairs
from insar_mining.scenes.passes import with_one_track
from insar_mining.scenes.products import scan_products
from insar_mining.scenes.search import search
from insar_mining.scenes.tracks import TrackChoice, choose_track, gaps

FOLDER = "archive"
"""Folder of what is fetched, inside that of the result."""

ORBITS, DEM, SAFE = "orbits", "dem", "safe"
"""Folders inside it; products lie beside them."""

READERS_OF_SAFE = ("snap", "snappy")


@dataclass(frozen=True)
class Network:
    """Hold the addresses from which everything comes; tests put a server of their own here.

    Attributes
    ----------
    login : callable
        Called with the number of connections when products are to be fetched; returns a
        session that may.
    public : callable
        Returns a session without an account, for orbits and elevation.
    catalogue : requests.Session, optional
        What the search talks through.
    search, fetch, orbits, elevation : callable
        What finds images, fetches products and finds orbits and heights: the package's own functions, or
        others of the same signature (a portfolio's share what several mines need).
    """

    login: Callable[[int], requests.Session] = open_session
    public: Callable[[], requests.Session] = EarthdataSession
    catalogue: requests.Session | None = None
    orbit_sources: Sequence[OrbitSource] = ORBIT_SOURCES
    dem_sources: Mapping[str, DemSource] = field(default_factory=lambda: DEM_SOURCES)
    limits: Limits = field(default_factory=Limits)
    search: Callable[..., gpd.GeoDataFrame] = search
    fetch: Callable[..., list[Outcome]] = fetch_products
    orbits: Callable[..., tuple[dict[Path, FoundOrbit], dict[Path, str]]] = find_orbits
    elevation: Callable[..., Path] = fetch_dem

    def limits_of(self, options: ArchiveOptions) -> Limits:
        """Return how hard servers may be asked."""
        rate = None if options.bandwidth_mb_s is None else options.bandwidth_mb_s * 1e6
        return dataclasses.replace(self.limits, connections=options.connections, bytes_per_s=rate)


@dataclass(frozen=True, eq=False)
class Found:
    """Hold the scenes and pairs of the catalogue for a run.

    Attributes
    ----------
    records : GeoDataFrame
        Images of the chosen track, as of :func:`insar_mining.search`.
    choice : TrackChoice
    gaps : DataFrame
        See :func:`insar_mining.scenes.tracks.gaps`.
    pairs : GeoDataFrame
        As of :func:`insar_mining.select_pairs`.
    fetch : FetchPlan
        Of the images that form pairs.
    """

    records: gpd.GeoDataFrame
    choice: TrackChoice
    gaps: pd.DataFrame
    pairs: gpd.GeoDataFrame
    fetch: FetchPlan

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """Pairs that were not formed: dictionaries of pair and reason."""
        return [one for one in self.pairs.attrs.get("rejected", ()) if one["pair"]]

    def record(self) -> dict[str, Any]:
        """Return plain values of what was asked, found and chosen."""
        query = {key: value for key, value in self.records.attrs.get("query", {}).items() if key != "session"}
        return {
            "query": query,
            "images_of_the_track": len(self.records),
            "track": list(self.choice.reasons),
            "gaps": self.gaps.astype(str).to_dict("records"),
        }


@dataclass(frozen=True, eq=False)
class Local:
    """Hold the files on the disk.

    Attributes
    ----------
    scenes : GeoDataFrame
        As :func:`insar_mining.scenes.products.scan_products` gives it.
    orbits : tuple of Path
        One orbit file per product, none if annotations' vectors are used.
    lost : tuple of mappings
        ``what`` could not be had, and the ``reason``.
    dates_lost : int
    """

    scenes: gpd.GeoDataFrame
    orbits: tuple[Path, ...]
    lost: tuple[Mapping[str, str], ...]
    dates_lost: int


def mapped_ground(mine: Mine, options: ActivityOptions) -> Mine:
    """Return the ground that a run maps: the mine, and the ground around it."""
    margin_m = margin_of(mine, options)
    return dataclasses.replace(mine, geometry=with_margin(mine, margin_m)) if margin_m else mine


def archive_folder(options: RunOptions, out: Path) -> Path:
    """Return where a run puts what it fetches."""
    return options.archive.folder or out / FOLDER


def find_images(mine: Mine, options: RunOptions, network: Network) -> Found:
    """Search the catalogue, choose the track, and select its pairs; nothing is fetched.

    Raises
    ------
    OptionError
        No start or end.
    ArchiveError
        The catalogue cannot be searched, or has no image.
    PairError
        The images give no pair.
    """
    if options.start is None or options.end is None:
        raise OptionError("a search needs the start and the end of the period. Give both (--start, --end).")
    ground = mapped_ground(mine, options.activity)
    records = network.search(
        ground,
        options.start,
        options.end,
        kind=options.archive.product,
        relative_orbit=options.pairs.relative_orbit,
        polarisation=options.pairs.polarisation,
        session=network.catalogue,
    )
    if records.empty:
        raise ArchiveError(
            f"the archive has no {options.pairs.polarisation} image of {mine.id} from {options.start} to "
            f"{options.end}. Widen the dates, or name another track or polarisation."
        )
    records = with_one_track(records)
    choice = choose_track(records, mine.geometry)
    on_track = (records["relative_orbit"] == choice.relative_orbit) & (records["direction"] == choice.direction)
    chosen = records[on_track].reset_index(drop=True)
    chosen.attrs = dict(records.attrs)
    pairs = choose_pairs(
        chosen,
        options.pairs.replace(relative_orbit=choice.relative_orbit),
        area=ground.geometry,
        orbits=options.coherence.orbits,
    )
    fetch = plan_fetch(chosen, only={*pairs["reference"], *pairs["secondary"]})
    return Found(chosen, choice, gaps(chosen), pairs, fetch)


def acquire(found: Found, options: RunOptions, folder: Path, network: Network, progress: ProgressCallback) -> Local:
    """Fetch the products of a run and their orbits.

    A date that cannot be had whole is left out with a warning; a rerun asks for it again.

    Raises
    ------
    ArchiveError
        The archive refuses the account, or no date at all could be had.
    OutputError
        The disk cannot hold it, or the folder cannot be written.
    """
    plan, lost = found.fetch, dict(found.fetch.unobtainable)
    bad = _fetched(plan, options, folder, network, progress)
    if len(bad) == len(plan.products):
        name, reason = next(iter(bad.items()))
        raise ArchiveError(
            f"none of the {len(bad)} products could be fetched; the first, {plan.products[name][1]}: {reason}"
        )
    paths = {name: folder / name for name in plan.products}
    for name, reason in bad.items():
        _leave_out(name, reason, paths, plan, lost)
    orbits: tuple[Path, ...] = ()
    if options.archive.orbit_files and not options.coherence.orbits:
        orbits = _with_orbits(paths, plan, folder, network, options.archive, lost, progress)
    if options.coherence.engine in READERS_OF_SAFE and options.archive.product == "burst":
        _assemble(paths, plan, folder, lost, progress)
    if not paths:
        raise ArchiveError(f"none of the products can be used; the first: {': '.join(next(iter(lost.items())))}")
    scenes = scan_products(list(paths.values()))
    kept = {plan.products[name][0] for name in paths}
    wanted = {day for day, _ in plan.products.values()}
    told = tuple({"what": what, "reason": reason} for what, reason in lost.items())
    return Local(scenes, orbits, (*told, *_never_paired(found)), len(wanted - kept))


def elevation(mine: Mine, options: RunOptions, folder: Path, network: Network) -> Path:
    """Fetch the elevation model around a mine, and return it.

    Raises
    ------
    ArchiveError, DemError
        It cannot be had; the text names the remedy.
    """
    source = network.dem_sources[options.archive.dem_source]
    bounds = mapped_ground(mine, options.activity).geometry.bounds
    try:
        return network.elevation(
            bounds,
            folder / DEM,
            network.public(),
            source=source,
            margin_deg=margin_for_any_engine_deg(bounds),
            limits=network.limits_of(options.archive),
        )
    except ArchiveError as error:
        raise ArchiveError(f"{error} (or give an elevation model of your own: --dem, dem=)") from None


def _fetched(
    plan: FetchPlan, options: RunOptions, folder: Path, network: Network, progress: ProgressCallback
) -> dict[str, str]:
    """Fetch what is planned; return the products that are not whole, and why."""
    whole = all(is_whole(folder / item.name, item.expected, item.url) for item in plan.items)
    if whole:
        return {}  # no account is needed for what is there
    session = network.login(options.archive.connections)
    limits = network.limits_of(options.archive)
    bad: dict[str, str] = {}
    for outcome in network.fetch(plan, folder, session, limits=limits, progress=progress):
        if outcome.refused:
            raise ArchiveError(outcome.reason)
        if outcome.path is None:
            bad.setdefault(outcome.item.name.partition("/")[0], outcome.reason)
    return bad


def _with_orbits(
    paths: dict[str, Path],
    plan: FetchPlan,
    folder: Path,
    network: Network,
    options: ArchiveOptions,
    lost: dict[str, str],
    progress: ProgressCallback,
) -> tuple[Path, ...]:
    """Find an orbit file for every product; a product without one is taken out of `paths`."""
    found, missing = network.orbits(
        list(paths.values()),
        folder / ORBITS,
        session=network.public(),
        sources=network.orbit_sources,
        limits=network.limits_of(options),
        progress=progress,
    )
    if not found:
        first = next(iter(missing.values()))
        raise ArchiveError(
            f"no orbit file could be had for any of the {len(missing)} products: {first} (--annotation-orbits uses the "
            "products' own state vectors instead)"
        )
    for path, reason in missing.items():
        _leave_out(path.name, reason, paths, plan, lost)
    return tuple(dict.fromkeys(orbit.path for orbit in found.values()))


def _assemble(
    paths: dict[str, Path], plan: FetchPlan, folder: Path, lost: dict[str, str], progress: ProgressCallback
) -> None:
    """Make a SAFE product of every folder of bursts, and use it instead."""
    names = list(paths)
    for done, name in enumerate(names, start=1):
        try:
            paths[name] = assembled(paths[name], folder / SAFE)
        except ProductError as error:
            _leave_out(name, str(error), paths, plan, lost)
        progress("assembling", done, len(names))


def _leave_out(name: str, reason: str, paths: dict[str, Path], plan: FetchPlan, lost: dict[str, str]) -> None:
    day, scene = plan.products[name]
    del paths[name]
    lost[f"{scene} ({day})"] = reason
    warnings.warn(f"date {day} left out: {reason}", SkippedInputWarning, stacklevel=4)


def _never_paired(found: Found) -> tuple[Mapping[str, str], ...]:
    """Return the images that were not fetched because they are in no pair: one entry per date."""
    used = {day for day, _ in found.fetch.products.values()}
    start_of: dict[str, dt.date] = {row.scene: row.start.date() for row in found.records.itertuples()}
    told: dict[dt.date, Mapping[str, str]] = {}
    for one in found.pairs.attrs.get("rejected", ()):
        day = start_of.get(str(one["scene"]))
        if not one["pair"] and day is not None and day not in used:
            told.setdefault(day, {"what": str(one["scene"]), "reason": str(one["reason"])})
    return tuple(told[day] for day in sorted(told))
