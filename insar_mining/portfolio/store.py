"""What several mines need: burst files, orbits and elevation, each fetched once for the whole portfolio.

A run of one mine keeps its products in a folder of its own, whose files are part of a map's identity.  In a
portfolio these are hard links to the files of the store, so that a map is to the bit that of the mine run alone.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import requests

from insar_mining.doors import parse_json
from insar_mining.download.elevation import fetch_dem
from insar_mining.download.files import Item, Outcome, fetch_files, is_whole
from insar_mining.download.integrity import note_path
from insar_mining.download.orbits import FoundOrbit, find_orbits
from insar_mining.download.products import FetchPlan, open_session
from insar_mining.files import delete, write_text
from insar_mining.geo.mines import Mine
from insar_mining.pipeline.acquisition import Network

FOLDER = "store"
PRODUCT = re.compile(r"[A-Za-z0-9_.-]+\.(tiff|xml|zip)|\.[A-Za-z0-9_.-]+\.(tiff|xml|zip)\.whole\.json")
FAILURE = re.compile(r"[A-Za-z0-9_.-]+\.failed\.json")


@dataclasses.dataclass(frozen=True)
class Store:
    """Hold the shared files of a portfolio.

    Attributes
    ----------
    folder : Path
    attempt : str
        Names the present run of the portfolio: a file that could not be fetched in it is not asked for again.
    login : callable
        Called with the number of connections when something is to be fetched that needs an account.
    lost : dict of str to str
        Filled on the way: products and orbits that could not be had, and why.
    fetched : dict of str to int
        Filled on the way: bytes that were fetched, by file or kind of file.
    """

    folder: Path
    attempt: str
    login: Callable[[int], requests.Session] = open_session
    lost: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)
    fetched: dict[str, int] = dataclasses.field(default_factory=dict, compare=False)

    def network(self, base: Network, records: gpd.GeoDataFrame | None) -> Network:
        """Return a network that takes from the store what is there, and puts there what it fetches."""
        changes: dict[str, Any] = {"fetch": self.fetch, "orbits": self.orbits, "elevation": self.elevation}
        changes["login"] = lambda connections: requests.Session()  # the store logs in when it has to
        if records is not None:
            changes["search"] = Recorded(records)
        return dataclasses.replace(base, **changes)

    def fetch(self, plan: FetchPlan, folder: Path, session: requests.Session, **how: Any) -> list[Outcome]:
        """Fetch the products of a mine into the store, each once, and link them where the run expects them."""
        products = self.folder / "products"
        products.mkdir(parents=True, exist_ok=True)
        named = {item.name: dataclasses.replace(item, name=Path(item.name).name) for item in plan.items}
        with self.locked(*(item.name for item in named.values())):
            reasons = {item.name: self._failure(item) for item in named.values()}
            tried = [item for item in named.values() if not reasons[item.name]]
            missing = [item for item in tried if not is_whole(products / item.name, item.expected, item.url)]
            if missing:  # no account is needed for what is there
                session = self.login(how["limits"].connections)
            outcomes = fetch_files(_once(tried), products, session, **how)
            fetched = {outcome.item.name: outcome for outcome in outcomes}
            self.fetched.update({name: outcome.fetched_bytes for name, outcome in fetched.items()})
            for name, outcome in fetched.items():
                if outcome.path is None and not outcome.refused:
                    write_text(
                        self._failure_path(name), json.dumps({"attempt": self.attempt, "reason": outcome.reason})
                    )
        found = []
        for item in plan.items:
            own = named[item.name].name
            done = fetched.get(own)
            if done is None or done.path is None:
                reason, refused = (reasons[own], False) if done is None else (done.reason, done.refused)
                found.append(Outcome(item, None, "failed", reason, refused=refused))
                self.lost[own] = reason
                continue
            link(done.path, folder / item.name)
            found.append(Outcome(item, folder / item.name, done.state, fetched_bytes=done.fetched_bytes))
        return found

    def orbits(
        self, products: Sequence[Path | str], cache: Path | str, *, session: Any = None, **how: Any
    ) -> tuple[dict[Path, FoundOrbit], dict[Path, str]]:
        """Find orbits in the store; one process at a time fetches those that it lacks."""
        orbits = self.folder / "orbits"
        found, missing = find_orbits(products, orbits, session=None, **how)
        if missing and session is not None:
            with self.locked("orbits"), self._counted("orbits", orbits):
                more, missing = find_orbits(list(missing), orbits, session=session, **how)
            found |= more
        self.lost.update({path.name: reason for path, reason in missing.items()})
        return {Path(path): found[Path(path)] for path in products if Path(path) in found}, missing

    def elevation(self, bounds: Any, cache: Path | str, session: requests.Session, **how: Any) -> Path:
        """Fetch an elevation model by way of the store's tiles; one process at a time."""
        with self.locked("elevation"), self._counted("elevation", self.folder / "dem"):
            return fetch_dem(bounds, self.folder / "dem", session, **how)

    @contextmanager
    def locked(self, *names: str) -> Iterator[None]:
        """Hold names of the store; the operating system frees them when the process ends."""
        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            # in one order, so that no two processes wait for each other
            for key in sorted({hashlib.sha256(name.encode()).hexdigest()[:3] for name in names}):
                handle = held.enter_context((folder / key).open("a"))
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _counted(self, what: str, folder: Path) -> Iterator[None]:
        """Count by how much a locked folder grows."""
        before = _bytes_in(folder)
        yield
        self.fetched[what] = self.fetched.get(what, 0) + _bytes_in(folder) - before

    def _failure_path(self, name: str) -> Path:
        return self.folder / "products" / f"{name}.failed.json"

    def _failure(self, item: Item) -> str:
        """Explain why a file could not be fetched in this attempt; empty if it may be tried."""
        path = self._failure_path(item.name)
        try:
            said: Mapping[str, str] = parse_json(path.read_bytes())
        except (OSError, ValueError):
            return ""
        if said.get("attempt") == self.attempt and not is_whole(path.parent / item.name, item.expected, item.url):
            return str(said.get("reason", "could not be fetched"))
        delete(path, FAILURE)
        return ""


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """Hold a search that answers from the records of the plan."""

    records: gpd.GeoDataFrame

    def __call__(self, mine: Mine, start: Any, end: Any, **how: Any) -> gpd.GeoDataFrame:
        """Return the records that touch a mine in a period, as :func:`insar_mining.search` does."""
        first, last = pd.Timestamp(start), pd.Timestamp(end) + pd.Timedelta(days=1)
        records = self.records
        keep = (records["start"] >= first) & (records["start"] < last) & records.intersects(mine.geometry)
        keep &= records["kind"] == how["kind"]
        if how.get("polarisation"):
            keep &= records["polarisations"].map(lambda names: how["polarisation"] in names.split("+"))
        if how.get("relative_orbit") is not None:
            keep &= (records["relative_orbit"] == how["relative_orbit"]).fillna(False)
        chosen = records[keep.to_numpy(dtype=bool)].reset_index(drop=True)
        named = {key: str(value) for key, value in how.items() if key != "session" and value is not None}
        chosen.attrs = {"query": {**named, "start": str(start), "end": str(end)}}
        return chosen


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("[!.]*") if path.is_file()) if folder.is_dir() else 0


def _once(items: Sequence[Item]) -> list[Item]:
    """Keep one item of every name (metadata that several bursts share)."""
    return list({item.name: item for item in items}.values())


def link(source: Path, target: Path) -> None:
    """Give a file of the store a second name, with its note; copy it where there are no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for one, other in ((source, target), (note_path(source), note_path(target))):
        if other.exists() and other.stat().st_size == one.stat().st_size:
            continue
        delete(other, PRODUCT)
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)
