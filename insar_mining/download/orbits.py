"""Orbit files of an acquisition: precise (POEORB) if published, else restituted (RESORB).

Files are looked for in the folders that are at hand, then at one source after another.
A file is used only if it is of the satellite, covers the acquisition with a margin, and
leads through the state vectors of the product's own annotation.
"""

from __future__ import annotations

import datetime as dt
import html
import logging
import re
import urllib.parse
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from xml.etree import ElementTree

import numpy as np
import requests

from insar_mining.doors import opened_zip, parse_xml, read_member
from insar_mining.download.files import Item, ProgressCallback, fetch_files
from insar_mining.download.integrity import Expected, drop_fetched, is_noted, read_note, write_note
from insar_mining.download.session import get_text
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError, OrbitError, ProductError
from insar_mining.files import appears_whole
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.orbit import read_orbit_file
from insar_mining.sentinel1.product import open_product
from insar_mining.sentinel1.readable import any_sub_swath

logger = logging.getLogger(__name__)

Kind = Literal["POEORB", "RESORB"]
KINDS: tuple[Kind, ...] = ("POEORB", "RESORB")

MARGIN_S = 60.0
"""What an orbit file must cover before the first and after the last line."""

MAX_DISTANCE_M = 20.0
"""Largest distance between an orbit file and the annotation's state vectors.

The annotation may carry a predicted orbit (10 m); another cycle of the same track flies
some 100 m away, and a second of time is 7.5 km.
"""

_NAME = re.compile(
    r"(?P<platform>S1[A-Z])_OPER_AUX_(?P<kind>POEORB|RESORB)_[A-Z]{4}_(?P<created>\d{8}T\d{6})"
    r"_V(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})\.EOF"
)
_MOST_PAGES = 50


@dataclass(frozen=True)
class OrbitName:
    """Hold what the name of an orbit file states; times in UTC."""

    name: str
    platform: str
    kind: str
    created: np.datetime64
    start: np.datetime64
    stop: np.datetime64

    @classmethod
    def find(cls, text: str) -> OrbitName | None:
        """Read the name of an orbit file in a text; None if there is none."""
        match = _NAME.search(text)
        if match is None:
            return None
        times = (_utc(match[part]) for part in ("created", "start", "stop"))
        return cls(match[0], match["platform"], match["kind"], *times)

    def covers(self, platform: str, start: np.datetime64, stop: np.datetime64, margin_s: float) -> bool:
        """Return whether the file is of the satellite and covers the span with the margin on both sides."""
        margin = np.timedelta64(round(margin_s * 1e9), "ns")
        return bool(self.platform == platform and self.start <= start - margin and stop + margin <= self.stop)


def _utc(text: str) -> np.datetime64:
    return np.datetime64(dt.datetime.strptime(text, "%Y%m%dT%H%M%S"), "ns")


class OrbitSource(Protocol):
    """Describe a place on the network with orbit files."""

    def listed(
        self, session: requests.Session, kind: str, platform: str, start: np.datetime64
    ) -> Iterable[tuple[OrbitName, str]]:
        """Return names and addresses of files that may cover a time."""


@dataclass(frozen=True)
class BucketSource:
    """List orbit files of the public bucket of the Registry of Open Data, kept by ASF; no login."""

    url: str = "https://s1-orbits.s3.us-west-2.amazonaws.com"

    def listed(
        self, session: requests.Session, kind: str, platform: str, start: np.datetime64
    ) -> Iterator[tuple[OrbitName, str]]:
        """List files in the order of their creation, from the day of the acquisition on; page by page."""
        folder = f"AUX_{kind}/{platform}_OPER_AUX_{kind}_OPOD_"
        after = folder + str(start.astype("datetime64[D]")).replace("-", "")
        for _ in range(_MOST_PAGES):
            query = urllib.parse.urlencode({"list-type": 2, "prefix": folder, "start-after": after})
            root = _xml(session, f"{self.url}/?{query}")
            keys = [key.text or "" for key in root.iterfind("{*}Contents/{*}Key")]
            for key in keys:
                found = OrbitName.find(key)
                if found is not None:
                    yield found, f"{self.url}/{urllib.parse.quote(key)}"
            if root.findtext("{*}IsTruncated") != "true" or not keys:
                return
            after = keys[-1]


@dataclass(frozen=True)
class DirectorySource:
    """List orbit files of a web server, a folder per month, as ESA's STEP has them; no login."""

    url: str = "https://step.esa.int/auxdata/orbits/Sentinel-1"

    def listed(
        self, session: requests.Session, kind: str, platform: str, start: np.datetime64
    ) -> Iterator[tuple[OrbitName, str]]:
        """List the month of the acquisition and of the day before it, when its files may begin."""
        days = (start.astype("datetime64[D]"), start.astype("datetime64[D]") - np.timedelta64(1, "D"))
        for month in dict.fromkeys(str(day)[:7] for day in days):
            place = f"{self.url}/{kind}/{platform}/{month.replace('-', '/')}/"
            status, text = get_text(session, place)
            if status == 404:
                continue
            if status != 200:
                raise ArchiveError(f"{place}: the server answers {status}")
            for href in dict.fromkeys(re.findall(r'href="([^"?]+)"', text)):
                found = OrbitName.find(href)
                if found is not None:
                    yield found, urllib.parse.urljoin(place, html.unescape(href))


SOURCES: tuple[OrbitSource, ...] = (BucketSource(), DirectorySource())
"""Asked in this order."""


def _xml(session: requests.Session, url: str) -> ElementTree.Element:
    status, text = get_text(session, url)
    if status != 200:
        raise ArchiveError(f"{url.partition('?')[0]}: the server answers {status}")
    try:
        return parse_xml(text)
    except ElementTree.ParseError as error:
        raise ArchiveError(f"{url.partition('?')[0]}: its listing cannot be read ({error})") from None


@dataclass(frozen=True)
class FoundOrbit:
    """Hold an orbit file that fits an acquisition.

    Attributes
    ----------
    path : Path
    kind : str
        ``"POEORB"`` or ``"RESORB"``.
    distance_m : float
        Largest distance between it and the annotation's state vectors.
    """

    path: Path
    kind: str
    distance_m: float


def find_orbit(
    swath: SubSwath,
    cache: Path | str,
    *,
    folders: Sequence[Path | str] = (),
    session: requests.Session | None = None,
    sources: Sequence[OrbitSource] = SOURCES,
    kinds: Sequence[Kind] = KINDS,
    margin_s: float = MARGIN_S,
    limits: Limits | None = None,
) -> FoundOrbit:
    """Find the orbit file of an acquisition, and fetch it if it is not at hand.

    Parameters
    ----------
    swath : SubSwath
        Any sub-swath of the product.
    cache : path
        Folder that fetched files are kept in, each with its checksum; looked into first.
    folders : sequence of paths
        Further folders with ``.EOF`` files (also in folders below, and zipped).
    session : requests.Session, optional
        Without it nothing is asked of the network.
    sources : sequence of OrbitSource
    kinds : sequence of {"POEORB", "RESORB"}
        In the order of preference.
    margin_s : float
        What the file must cover before and after the acquisition.

    Raises
    ------
    OrbitError
        No file fits; the text lists what was looked at, and why it did not fit.
    """
    cache = Path(cache)
    start = swath.utc(swath.bursts[0].azimuth_time_s)
    stop = swath.utc(swath.bursts[-1].azimuth_time_s + swath.lines_per_burst * swath.azimuth_time_interval_s)
    problems: list[str] = []

    def fits(name: OrbitName) -> bool:
        return name.covers(swath.platform, start, stop, margin_s)

    def tested(path: Path, kind: str) -> FoundOrbit | None:
        try:
            return FoundOrbit(path, kind, orbit_distance_m(path, swath, margin_s=margin_s))
        except OrbitError as error:
            problems.append(str(error))
            return None

    for kind in kinds:
        for folder in (cache, *folders):
            for path in _at_hand(Path(folder), cache, kind, fits, problems):
                if (found := tested(path, kind)) is not None:
                    return found
        for source in sources if session is not None else ():
            assert session is not None
            wanted = _Wanted(kind, swath.platform, start, fits)
            for path in _from_source(source, session, cache, wanted, limits, problems):
                if (found := tested(path, kind)) is not None:
                    return found
                drop_fetched(path)
        logger.info("no %s of %s at %s", kind, swath.platform, start)
    asked = "" if session is not None else " (nothing was asked of the network)"
    said = f": {'; '.join(problems)}" if problems else ""
    raise OrbitError(
        f"no orbit file of {swath.platform} covers {start} to {stop} with {margin_s:g} s on both sides{asked}{said}. "
        "Restituted orbits are published within hours, precise ones after three weeks; files can also be put into "
        f"{cache}"
    )


def find_orbits(
    products: Sequence[Path | str],
    cache: Path | str,
    *,
    progress: ProgressCallback | None = None,
    **how: Any,
) -> tuple[dict[Path, FoundOrbit], dict[Path, str]]:
    """Find the orbit file of every product; one without does not keep the others from theirs.

    Parameters
    ----------
    products : sequence of path
    cache : path
    progress : callable (stage, done, all), optional
    **how
        See :func:`find_orbit`.

    Returns
    -------
    found : dict of Path to FoundOrbit
    missing : dict of Path to str
        Products that have none, or cannot be read, and why.
    """
    found: dict[Path, FoundOrbit] = {}
    missing: dict[Path, str] = {}
    for done, path in enumerate(map(Path, products), start=1):
        try:
            product = open_product(path)
            found[path] = find_orbit(any_sub_swath(product), cache, **how)
        except (OrbitError, ProductError) as error:
            missing[path] = str(error)
        if progress is not None:
            progress("orbits", done, len(products))
    return found, missing


def orbit_distance_m(path: Path | str, swath: SubSwath, *, margin_s: float = MARGIN_S) -> float:
    """Return the largest distance between an orbit file and an annotation's state vectors.

    The file's smooth arc is evaluated at the times of the annotation's own vectors
    during the acquisition (and one on either side).

    Raises
    ------
    OrbitError
        The file is damaged, of another satellite, does not cover the acquisition with
        the margin, or lies farther than 20 m from the annotation: it is another orbit's.
    """
    start = swath.bursts[0].azimuth_time_s
    stop = swath.bursts[-1].azimuth_time_s + swath.lines_per_burst * swath.azimuth_time_interval_s
    orbit = read_orbit_file(
        path, epoch=swath.epoch, start_s=start - margin_s, stop_s=stop + margin_s, platform=swath.platform
    )
    arc = orbit.arc(start - 20, stop + 20)
    own = swath.orbit
    near = (own.time_s >= start - 10) & (own.time_s <= stop + 10)
    distance = np.linalg.norm(arc.position_m(own.time_s[near]) - own.position_m[near], axis=1)
    if distance.size == 0 or not distance.max() <= MAX_DISTANCE_M:
        most = f"{distance.max():,.1f} m" if distance.size else "an unknown distance"
        raise OrbitError(
            f"{Path(path).name}: lies {most} from the annotation's state vectors (limit {MAX_DISTANCE_M:g} m), so it "
            "is not the orbit of this acquisition. Delete it, and fetch it again."
        )
    return float(distance.max())


def _at_hand(folder: Path, cache: Path, kind: str, fits: _Fits, problems: list[str]) -> Iterator[Path]:
    """Yield files of a folder that may fit, the latest made first; a damaged one of the cache is dropped."""
    if not folder.is_dir():
        return
    named = [(OrbitName.find(p.name), p) for p in folder.rglob("*.EOF*") if not p.name.startswith(".")]
    good = [(n, p) for n, p in named if n is not None and n.kind == kind and fits(n)]
    for name, path in sorted(good, key=lambda found: (found[0].created, found[1].suffix), reverse=True):
        if path.suffix.lower() == ".zip":
            try:
                yield _unpacked(path, cache / name.name)
            except OrbitError as error:
                problems.append(str(error))
        elif folder == cache and read_note(path) is not None and not is_noted(path, Expected(kind="xml")):
            problems.append(f"{path}: changed since it was fetched; fetched again")
            drop_fetched(path)
        else:
            yield path


class _Fits(Protocol):
    def __call__(self, name: OrbitName) -> bool: ...


@dataclass(frozen=True)
class _Wanted:
    """Describe which orbit file is wanted."""

    kind: str
    platform: str
    start: np.datetime64
    fits: _Fits


def _from_source(
    source: OrbitSource,
    session: requests.Session,
    cache: Path,
    wanted: _Wanted,
    limits: Limits | None,
    problems: list[str],
) -> Iterator[Path]:
    """Fetch what fits from one source, the latest made first; its failures are noted."""
    try:
        listed = source.listed(session, wanted.kind, wanted.platform, wanted.start)
        good = [(name, url) for name, url in listed if name.kind == wanted.kind and wanted.fits(name)]
    except ArchiveError as error:
        problems.append(str(error))
        return
    for name, url in sorted(good, key=lambda found: found[0].created, reverse=True):
        is_zip = url.lower().endswith(".zip")
        item = Item(url, name.name + (".zip" if is_zip else ""), Expected(kind="zip" if is_zip else "xml"))
        (outcome,) = fetch_files([item], cache, session, limits=limits)
        if outcome.path is None:
            problems.append(outcome.reason)
            continue
        try:
            yield _unpacked(outcome.path, cache / name.name) if is_zip else outcome.path
        except OrbitError as error:
            problems.append(str(error))


def _unpacked(path: Path, target: Path) -> Path:
    """Take the orbit file out of its zip."""
    if is_noted(target, Expected(kind="xml")):
        return target
    try:
        with opened_zip(path) as archive:
            names = [n for n in archive.namelist() if n.rpartition("/")[2] == target.name]
            if len(names) != 1:
                raise OrbitError(f"{path}: does not hold {target.name}")
            content = read_member(archive, names[0])
    except (OSError, zipfile.BadZipFile) as error:
        raise OrbitError(f"{path}: cannot be unpacked ({error}). Delete it, and fetch it again.") from error
    with appears_whole(target) as partial:
        partial.write_bytes(content)
    write_note(target, Expected(kind="xml"), path.name)
    return target
