"""Ways in which the stand-in can go wrong, as SNAP does."""

from __future__ import annotations

import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

BEFORE = {}
AFTER = {}


def before(function):
    """Goes wrong before the graph is carried out."""
    BEFORE[function.__name__] = function
    return function


def after(function):
    """Goes wrong with the product on disk."""
    AFTER[function.__name__] = function
    return function


def asked(graph: Path) -> str | None:
    """The kind of mischief that is asked for here: of ``kind@part,...`` one whose part the graph's name holds."""
    only, once = os.environ.get("STANDIN_ONLY", ""), os.environ.get("STANDIN_ONCE")
    for wish in filter(None, os.environ.get("STANDIN_MISCHIEF", "").split(",")):
        kind, _, part = wish.partition("@")
        if part not in graph.stem or only not in graph.read_text("utf-8"):
            continue
        if once:
            did = Path(f"{once}-{kind}-{graph.stem}")
            if did.exists():
                continue
            did.touch()
        return kind
    return None


def fail(message: str) -> None:
    raise ValueError(message)


@before
def hang() -> None:
    """Deadlock: a child that sleeps, and silence."""
    print("....10%", end="", flush=True)
    child = subprocess.Popen(["sleep", "600"])
    note = os.environ.get("STANDIN_PIDS")
    if note:
        Path(note).write_text(f"{os.getpid()} {child.pid}")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


@before
def spin() -> None:
    """Busy for ever, silently."""
    while True:
        pass


@before
def flood() -> None:
    """Megabytes on stderr; then all goes well."""
    line = "INFO: org.esa.snap: " + "x" * 1000 + "\n"
    for _ in range(8000):
        sys.stderr.write(line)


@before
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@before
def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@before
def heap() -> None:
    print("Java heap space", flush=True)
    fail("Cannot construct DataBuffer.")


@before
def unknown() -> None:
    fail("[NodeId: Interferogram] Unknown element 'cohWinAzimuth'")


@before
def fortran() -> None:
    """No libgfortran: coregistration only warns."""
    graph = Path(sys.argv[1]).read_text("utf-8")
    if "Back-Geocoding" in graph:
        print("WARNING: org.esa.s1tbx.insar: Unable to calculate baselines", file=sys.stderr)
    elif "Interferogram" in graph:
        fail("[NodeId: Interferogram] 'void org.jblas.NativeBlas.dgemm(char, char, int, int, int, double, double[])'")


@before
def narrow() -> None:
    """Spectral diversity of bursts that fit into one tile."""
    if "Enhanced-Spectral-Diversity" in Path(sys.argv[1]).read_text("utf-8"):
        fail("Arrays must have the same length.")


@before
def incoherent() -> None:
    """Spectral diversity that finds nothing to go by."""
    if "Enhanced-Spectral-Diversity" in Path(sys.argv[1]).read_text("utf-8"):
        fail("[NodeId: Enhanced-Spectral-Diversity] Estimation of the azimuth shift failed")


@before
def limit() -> None:
    """A disk that takes a few kilobytes more: a limit on the size of files, which no root is needed for."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@before
def full() -> None:
    fail("java.io.IOException: No space left on device")


def _rewrite(target: Path, function) -> None:
    for image in target.with_suffix(".data").glob("*.img"):
        image.write_bytes(function(image.read_bytes()))


@after
def empty(target: Path) -> None:
    _rewrite(target, lambda data: bytes(len(data)))


@after
def missing(target: Path) -> None:
    """Values that are no numbers, everywhere."""
    _rewrite(target, lambda data: struct.pack(">f", float("nan")) * (len(data) // 4))


@after
def half(target: Path) -> None:
    _rewrite(target, lambda data: data[: len(data) // 2])


@after
def halfheader(target: Path) -> None:
    text = target.read_bytes()
    target.write_bytes(text[: len(text) // 2])


@after
def nothing(target: Path) -> None:
    target.unlink()


@after
def trap(target: Path) -> None:
    """The orbit trap: vectors of the annotation, 10 s apart, and no word of an orbit file."""
    text = target.read_text("utf-8")
    text = re.sub(r'(name="orbit_state_vector_file"[^>]*>)[^<]*', r"\1-", text)
    vector = r'<MDElem name="orbit_vector(\d+)">.*?</MDElem>'
    text = re.sub(vector, lambda m: m[0] if int(m[1]) % 10 == 1 else "", text, flags=re.DOTALL)
    target.write_text(text, encoding="utf-8")


@after
def otherdate(target: Path) -> None:
    target.write_text(target.read_text("utf-8").replace("16Sep2023", "28Sep2023"), encoding="utf-8")


@after
def offgrid(target: Path) -> None:
    """Cells half a cell off, as with the origin of the standard grid left at 0."""
    text = target.read_text("utf-8")
    head, _, rest = text.partition("<IMAGE_TO_MODEL_TRANSFORM>")
    numbers, _, tail = rest.partition("<")
    values = [float(n) for n in numbers.split(",")]
    values[4] += values[0] / 2
    target.write_text(f"{head}<IMAGE_TO_MODEL_TRANSFORM>{','.join(map(repr, values))}<{tail}", encoding="utf-8")
