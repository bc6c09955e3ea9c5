"""Twenty tiny mines, an archive on this machine that holds their images, and the job that other processes do.

Twelve mines lie on two bursts of one track, six on two bursts of another; no image shows the two that are left, one of
them far away.  Of three dates something cannot be had: the pixels, the metadata, or whole pixels of another burst.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry

from insar_mining.coherence.builtin.images import dates as resampling
from insar_mining.files import write_text
from insar_mining.options.models import RunOptions
from insar_mining.pipeline import result, run
from insar_mining.portfolio.executors import execute, local_pool
from insar_mining.portfolio.ledger import Task
from insar_mining.portfolio.plan import open_portfolio
from insar_mining.portfolio.runs import run_mine
from insar_mining.portfolio.work import Finished, Steps
from insar_mining.simulate import Template, morocco_template
from insar_mining.simulate import annotation_xml as edit
from tests.end_to_end import mirror
from tests.end_to_end.test_archive_run import X, Y, lonlat
from tests.unit.conftest import Server

DAYS = [-600, -588, -576, -564, -552, -540, -528]
PERIOD = ("2022-01-01", "2022-12-31")
OTHER_TRACK, OTHER_DAYS = 125, 5  # the same orbit 73 revolutions, five days, later
EAST_M = 9_000.0  # of the mines of the second track
LOST_PIXELS, LOST_METADATA, DAMAGED = "20220124", "20220217", "20220313"
SIDE_M, STEP_M = 90.0, 130.0


def mines() -> dict[str, BaseGeometry]:
    """Outlines by name: rows of squares with 40 m between them, so that the boxes around their maps overlap."""
    squares = {}
    for name, columns, rows, east in (("a", 4, 3, 0.0), ("b", 3, 2, EAST_M)):
        for number in range(columns * rows):
            x = X + east + STEP_M * (number % columns - (columns - 1) / 2)
            y = Y + STEP_M * (number // columns - (rows - 1) / 2)
            half = SIDE_M / 2
            squares[f"{name}{number:02d}"] = lonlat(box(x - half, y - half, x + half, y + half))
    return squares | {
        "empty": lonlat(box(X, Y + 9_000, X + SIDE_M, Y + 9_000 + SIDE_M)),
        "outside": box(10, 50, 10.01, 50.01),
    }


SOME = ("a00", "a01", "b00", "b01", "empty", "outside")


def write_polygons(path: Path, names: Collection[str]) -> Path:
    """Write the polygons of some names."""
    features = [
        {"type": "Feature", "properties": {"name": name, "COUNTRY_NAME": "Morocco"}, "geometry": mapping(shape)}
        for name, shape in mines().items()
        if name in names
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def other_template() -> Template:
    """The template's scene on another track: as the satellite would see the same ground five days later."""
    ours = morocco_template()
    revolutions = (OTHER_TRACK - 52) % 175
    xml, text = (edit.shift_days(part, OTHER_DAYS) for part in (ours.annotations["IW1", "VV"], ours.manifest))
    orbit = edit.parse_annotation(xml, source="template").absolute_orbit
    old, new = str(orbit).encode(), str(orbit + revolutions).encode()
    xml = xml.replace(b"<absoluteOrbitNumber>" + old, b"<absoluteOrbitNumber>" + new)
    text = text.replace(b">" + old + b"<", b">" + new + b"<").replace(b">52<", f">{OTHER_TRACK}<".encode())
    return Template("another track", {("IW1", "VV"): xml}, text)


def around(east: float, columns: int, rows: int) -> BaseGeometry:
    wide, high = (STEP_M * count / 2 + 30 for count in (columns, rows))
    return lonlat(box(X + east - wide, Y - high, X + east + wide, Y + high))


def simulated(folder: Path) -> tuple[Path, ...]:
    """Products of both tracks; one mine of each is worked in a step between dates."""
    shapes = mines()
    first = mirror.simulated(folder / "a", DAYS, shapes["a01"], {1}, around(0.0, 4, 3))
    second = mirror.simulated(folder / "b", DAYS, shapes["b02"], {1}, around(EAST_M, 3, 2), other_template())
    return (*first.products, *second.products)


@dataclass
class Archive:
    """A server with the images, whose misbehaviour is set for every test."""

    server: Server
    held: mirror.Mirror

    def misbehave(self) -> None:
        """Let three dates fail."""
        self.server.files[self.held.pixels[LOST_PIXELS][1]].always = "status:404"
        self.server.files[self.held.metadata[LOST_METADATA][0]].always = "status:404"
        self.server.files[self.held.pixels[DAMAGED][0]].content = b"this is no TIFF"

    @property
    def asked(self) -> Counter[str]:
        """How often every file was asked for."""
        return Counter(one.path for one in self.server.asked if one.path.endswith((".tiff", ".xml", ".EOF", ".tif")))


@contextmanager
def served(held: mirror.Mirror) -> Iterator[Archive]:
    """Serve the images."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    held.serve(server)
    yield Archive(server, held)
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def network(url: str) -> Any:
    return mirror.network(SimpleNamespace(url=url))  # type: ignore[arg-type]


def job(task: Task, folder: Path, steps: Steps, *, url: str, attempt: str) -> Finished:
    """Run a mine; note every date that is resampled, and every mine that is run, and leave out its page."""
    of = resampling.Resampler.of

    def counted(relief, side, stack, *how):  # type: ignore[no-untyped-def]
        note(folder / "resampled", f"{side.product.name} {side.burst_index} {stack.burst_index} {relief.region}")
        return of(relief, side, stack, *how)

    note(folder / "run", task.id)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resampling.Resampler, "of", counted)
        patched.setattr(result, "write_report", lambda path, content: write_text(path, "a page"))
        return run_mine(task, folder, steps, attempt=attempt, network=lambda: network(url))


def note(path: Path, line: str) -> None:
    """Add a line to a file, in one piece, whichever process does it."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def noted(path: Path) -> Counter[str]:
    return Counter(path.read_text().splitlines())


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of all files of the results but hidden ones and products; the time of a run is left out."""
    root = folder / "mines"
    digests = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if not path.is_file() or any(part.startswith(".") or part == "archive" for part in name.parts):
            continue
        content = path.read_bytes()
        if path.name == "run.yaml":
            content = without_time(content)
        if path.name == "collection.json":  # it holds the checksum of the former
            checksum = hashlib.sha256((path.parent / "run.yaml").read_bytes()).hexdigest()
            assert checksum.encode() in content
            content = content.replace(checksum.encode(), b"")
        digests[name.as_posix()] = hashlib.sha256(content).hexdigest()
    return digests


def without_time(content: bytes) -> bytes:
    assert content.count(b"\n  finished: ") == 1
    return re.sub(rb"\n  finished: .*", b"", content)


def alone(source: Path, url: str, options: str, out: Path) -> None:
    """Run one mine with the archive's folder beside it."""
    chosen = RunOptions(**json.loads(options))
    chosen = chosen.replace(archive=chosen.archive.replace(folder=out.parents[1] / "archive"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(result, "write_report", lambda path, content: write_text(path, "a page"))
        run(source, out=out, options=chosen, network=network(url))


def main() -> None:
    """Run a planned portfolio in two processes (``FOLDER URL``), or one mine (``POLYGON URL OPTIONS OUT``)."""
    source, url, *how = sys.argv[1:]
    if how:
        alone(Path(source), url, how[0], Path(how[1]))
        return
    made = open_portfolio(Path(source))
    called = functools.partial(job, url=url, attempt=str(os.getpid()))
    with local_pool(2) as pool:
        execute(made.tasks, made.folder, called, pool, lambda *_: None)


if __name__ == "__main__":
    main()
