"""Every command with odd arguments: one argument of a good command line is exchanged, and what comes out is judged.

The command lines are made from the commands themselves, so that a new command or option is walked without a change
here.  An outcome is an exit code that `ENDS` holds for the command with a message of its own; anything else is a fault:
a traceback, code 70, a changed file of the user, a request to a host by a file's name, a hang, or a peak of memory.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer.main

from insar_mining.cli import COMMANDS, command_line
from tests.fuzz.arena import TooLong, limited_time

# beyond the 250 MB that a process of its own holds
PEAK_MB = 750.0
# codes of findings beside 0, 1 and 2, as `insar-mining --help` lists them
FINDINGS = {"inventory": 3, "factors": 3, "update": 11}

MINE = {
    "type": "Feature",
    "properties": {"name": "Pit", "id": "pit"},
    "geometry": {"type": "Polygon", "coordinates": [[[-7.0, 32.0], [-6.99, 32.0], [-6.99, 32.01], [-7.0, 32.0]]]},
}
TABLE = b"asset_id,name,iso3,mineral,year,area_m2,production_t\nm1,Pit,MAR,copper,2021,1e6,5e5\n"
VRT = b'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
VRT += b"<SourceFilename>/vsicurl/ADDRESS/x.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
OGR_VRT = b'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/vsicurl/ADDRESS/x</SrcDataSource></OGRVRTLayer>'
OGR_VRT += b"</OGRVRTDataSource>"
LAUGHS = b"a: &a [x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (n + 1, n + 1, b", ".join([b"*%c" % n] * 8)) for n in range(ord("a"), ord("i"))
)


def _zip(name: str, content: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return held.getvalue()


# files of the user: good ones, damaged ones, and names that few programs expect
USERS_FILES: dict[str | bytes, bytes] = {
    "mine.geojson": json.dumps(MINE).encode(),
    "table.csv": TABLE,
    "run.yaml": b"start: 2021-01-01\nend: 2021-12-31\n",
    "thesis.docx": b"years of work",
    ".env.old": b"SECRET=1",
    "empty": b"",
    "empty.geojson": b"",
    "empty.csv": b"",
    "empty.tif": b"",
    "empty.yaml": b"",
    "binary": bytes(range(256)) * 40,
    "binary.csv": bytes(range(256)) * 40,
    "binary.geojson": bytes(range(256)) * 40,
    "nul.csv": b"year,area_m2\n2021,\x00\n",
    "utf16.csv": "year,area_m2\n2021,1\n".encode("utf-16"),
    "latin.csv": "name,année\nSão,1\n".encode("latin-1"),
    "numbers.csv": b"asset_id,name,iso3,mineral,year,area_m2,production_t\n=1+1,nan,XXX,gold,1e99,-inf,nan\n",
    "wide.csv": b",".join([b"a"] * 60_000) + b"\n",
    "vrt.geojson": OGR_VRT,
    "vrt.tif": VRT,
    "20210105_20210117.tif": VRT,
    "laughs.yaml": LAUGHS,
    "deep.yaml": b"[" * 5_000,
    "deep.json": b"[" * 100_000,
    "list.json": b"[1, 2, null]",
    "null.json": b"null",
    "nan.json": b'{"type": "Feature", "geometry": {"type": "Point", "coordinates": [NaN, 1e999]}, "properties": null}',
    "bomb.zip": _zip("doc.kml", bytes(30_000_000)),
    "bad.zip": b"PK\x03\x04" + bytes(200),
    "bad.kmz": _zip("doc.kml", b"<kml"),
    "bad.parquet": b"PAR1" + bytes(40) + b"PAR1",
    "bad.gpkg": b"SQLite format 3\0" + bytes(200),
    "bad.SAFE/manifest.safe": b"<xml",
    "folder.geojson/notes.txt": b"keep me",
    "result/collection.json": b'{"assets": {"..": {"href": ".."}, ".": {"href": "."}, "": {}}}',
    "result/run.yaml": b"start: [\n",
    "result/activity.csv": b"year\n\xff\n",
    "portfolio/portfolio.json": b'{"mines": 7, "version": "x"}',
    "portfolio/mines/notes.txt": b"keep me",
    "with\nnewline.geojson": json.dumps(MINE).encode(),
    "[bold]%s{0}.csv": TABLE,
    b"caf\xe9.geojson": json.dumps(MINE).encode(),
    b"caf\xe9.csv": TABLE,
    "-v": b"a name that looks like an option",
}
ODD_NAMES = ("", ".", "..", "/dev/null", "missing", "missing/in/missing.csv", "loop", "gone", "n" * 300)
ODD_HOSTS = ("/vsicurl/ADDRESS/x.geojson", "ADDRESS/x.csv", "/vsizip//vsicurl/ADDRESS/x.zip", "zip+ADDRESS/x!y")
ODD_NUMBERS = ("nan", "inf", "-inf", "-1", "0", "1e308", "1e-320", "1e400", "9" * 400, "0x10", "1_000", "", "1,5", "٣")
ODD_TEXTS = ("", " ", "nan", "\udcff", "a\nb", "../..", "=1+1", "[bold]x", "%s", "2021-02-30", "99999-01-01", "a=b=c")
ODD_TEXTS += ("0000-00-00", "2021-12-31", "1-2", "NAME=VALUE", "memory=1e999G", "bad://x", "0/0", "-1/2")
ODD_TEXTS += ("x" * 5_000,)


@dataclass
class Fault:
    """A command line, and what was wrong."""

    args: list[str]
    what: str

    def __str__(self) -> str:
        return f"{' '.join(map(repr, self.args))}: {self.what}"


@dataclass
class Walk:
    """A folder of a user's files beside which commands run, and what became of every command line."""

    home: Path
    address: str
    requests: list[str]
    ran: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_mb: float = 0.0

    def __post_init__(self) -> None:
        self.user = self.home / "user"
        self.out = self.home / "out"
        for name, content in USERS_FILES.items():
            path = self.user / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(b"ADDRESS", self.address.encode()))
        (self.user / "loop").symlink_to(self.user / "loop")
        (self.user / "gone").symlink_to(self.user / "nothing")
        (self.user / "nobody").mkdir()
        self.before = contents(self.user)

    def walk(self, every: int) -> None:
        """Run the command lines, one of ``every``, from a folder that holds nothing."""
        self.out.mkdir()
        with contextlib.chdir(self.out):
            for number, (name, args) in enumerate(self.command_lines()):
                if number % every == 0:
                    self.one(name, args)

    def command_lines(self) -> Iterator[tuple[str, list[str]]]:
        """Yield every command line: a good one, with one argument exchanged."""
        for name, command in leaves():
            words = name.split()
            good = {p.name: self.good(name, p) for p in command.params if p.required} | self.extra(name)
            yield name, [*words, *self.spelled(command, good)]
            for parameter in command.params:
                if parameter.name == "out" and name in ("demo", "simulate"):
                    continue
                for odd in self.odd_values(parameter):
                    yield name, [*words, *self.spelled(command, good | {parameter.name: odd})]

    def good(self, name: str, parameter: Any) -> str:
        """A value that a command accepts of an argument that it needs."""
        words = {"start": "2021-01-01", "end": "2021-12-31", "year": "2021", "asset": "m1", "activity": "copper ore"}
        if name == "factors find" or not _is_path(parameter):
            return words.get(parameter.name, "x")
        return str(self.user / ("table.csv" if "mine" not in parameter.name else "mine.geojson"))

    def extra(self, name: str) -> dict[str, str]:
        """What keeps a command from doing its whole job."""
        if name in ("demo", "simulate"):  # a file in the place of the result
            return {"out": str(self.user / "thesis.docx")}
        dry = {"dry_run": ""} if name in ("run", "coherence", "fetch") else {}
        if name in ("run", "portfolio plan", "portfolio run"):
            mine = str(self.user / "mine.geojson")
            dry |= {name.split()[0] if name != "run" else "mine": mine, "scenes": str(self.user / "nobody")}
            dry |= {"start": "2021-01-01", "end": "2021-12-31", "dem": str(self.user / "empty.tif")}
        return dry | ({"folder": str(self.user / "nobody")} if name == "analyse" else {})

    def odd_values(self, parameter: Any) -> Iterator[str]:
        if _is_path(parameter) or parameter.param_type_name == "argument":
            names = [name for name in USERS_FILES if isinstance(name, str)]
            names += [os.fsdecode(name) for name in USERS_FILES if isinstance(name, bytes)]
            folders = ("bad.SAFE", "folder.geojson", "result", "portfolio", "nobody")
            yield from (f"{self.user}/{name}" for name in (*names, *folders, "loop", "gone"))
            yield from ODD_NAMES
            yield from (name.replace("ADDRESS", self.address) for name in ODD_HOSTS)
        elif not parameter.is_flag:
            yield from ODD_NUMBERS
            yield from ODD_TEXTS

    @staticmethod
    def spelled(command: Any, values: dict[str, str]) -> list[str]:
        """Return a command line; arguments come last, after what ends the options."""
        options: list[str] = []
        arguments: list[str] = []
        for parameter in command.params:
            if parameter.name not in values:
                continue
            value = values[parameter.name]
            if parameter.param_type_name == "argument":
                arguments.append(value)
            elif parameter.is_flag:
                options.append(parameter.opts[0])
            else:
                options += [parameter.opts[0], *itertools.repeat(value, max(parameter.nargs, 1))]
        return [*options, "--", *arguments] if arguments else options

    def one(self, name: str, args: list[str]) -> None:
        """Run a command line and judge it."""
        before = len(self.requests)
        with peak_memory() as peak, limited_time() as watch:
            try:
                code, _, said = in_process(args)
                what = judged(name, code, said)
            except TooLong:
                code, what = -1, "takes too long"
            except BaseException as error:
                code, what = -1, f"raw {type(error).__name__}: {error}"
        self.ran += 1
        self.codes[code] = self.codes.get(code, 0) + 1
        self.slowest_s, self.peak_mb = max(self.slowest_s, watch.seconds), max(self.peak_mb, peak())
        asked = [one for one in self.requests[before:] if self.address.rpartition(":")[2] in one or "request" in one]
        after = contents(self.user)
        if after != self.before:
            what = self._changed(after, args) or what
        if asked:
            what = f"asks a host: {asked[0]}"
        if peak() > PEAK_MB:
            what = f"takes {peak():.0f} MB"
        if what:
            self.faults.append(Fault(args, " ".join(what.split())[:600]))

    def _changed(self, after: dict[str, bytes], args: list[str]) -> str:
        """Name what changed; what a command adds to a folder that it was given is its result, and is taken away."""
        added = after.keys() - self.before.keys()
        for path in sorted(added, reverse=True):
            Path(path).rmdir() if after[path] == b"folder" else Path(path).unlink()
        changed = sorted(path for path, content in self.before.items() if after.get(path) != content)
        for path in changed:
            if self.before[path] != b"folder":
                Path(path).write_bytes(self.before[path])
        strange = [path for path in added if not any(path.startswith(arg) for arg in args if arg)]
        return f"changes {[*changed, *strange][:5]}" if changed or strange else ""


def judged(name: str, code: int, said: str) -> str:
    """Return what is wrong with an end, nothing if it is as documented."""
    if "Traceback (most recent call last)" in said:
        return f"traceback: {said[-400:]}"
    if code not in {0, 1, 2, FINDINGS.get(name.split()[0], 0)} and not (name == "update" and code == 10):
        return f"code {code}: {said[-400:]}"
    if code in (1, 2) and not said.strip() and name not in ("doctor", "compare"):
        return f"code {code} without a word"
    return ""


def in_process(args: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, and what it wrote."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape")
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    old, sys.argv = sys.argv, ["insar-mining", *args]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = command_line()
            except SystemExit as end:
                code = end.code
    finally:
        sys.argv = old
    texts = []
    for stream in (out, errors):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
    return int(code) if isinstance(code, int) else 0, texts[0], texts[1]


def leaves() -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, by its words."""
    import importlib

    for name, (module, _) in COMMANDS.items():
        command = typer.main.get_command(importlib.import_module(f"insar_mining.cli.{module}").app)
        below = getattr(command, "commands", None)
        if below:
            yield from ((f"{name} {word}", one) for word, one in below.items())
        else:
            yield name, command


def _is_path(parameter: Any) -> bool:
    """Whether a parameter names a file or folder; versions of the parser keep its type in different places."""
    kind = getattr(parameter, "type_descriptor", None) or parameter.type
    return "path" in str(getattr(kind, "annotation", kind)).lower()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content, links with their target, folders as such."""
    found = {}
    for base, folders, files in os.walk(folder):
        for path in (Path(base) / name for name in (*folders, *files)):
            if path.is_symlink():
                found[str(path)] = b"link to " + os.fsencode(path.readlink())
            else:
                found[str(path)] = b"folder" if path.is_dir() else path.read_bytes()
    return found


@contextlib.contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the most memory (MB) since, beyond what is held now; 0 where it is not known.

    Tests before this one leave memory with the process, which is no part of a command's.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    held = _memory_mb("VmRSS")
    yield lambda: _memory_mb("VmHWM") - held


def _memory_mb(name: str) -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
    return 0.0
