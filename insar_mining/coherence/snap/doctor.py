"""What this machine has of all that the engines need, and how to mend what it lacks."""

from __future__ import annotations

import ctypes
import importlib.util
import netrc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from insar_mining.coherence.snap.check import check_graph, parse
from insar_mining.coherence.snap.graphs import known_version, read_template, template_names, templates_folder
from insar_mining.coherence.snap.settings import (
    HOME_VARIABLE,
    MEMORY,
    SCRATCH,
    USUAL_PLACES,
    VERSIONS,
    ask,
    find_gpt,
    settings,
    version_of,
)
from insar_mining.errors import InsarMiningError
from insar_mining.machine import memory_bytes, processors

GIB = 1024**3
LEAST_MEMORY_GIB = 8
LEAST_DISK_GIB = 50
FORTRAN = "libgfortran.so.5"
EARTHDATA = "urs.earthdata.nasa.gov"
OK, ADVICE, FAULT = "ok", "advice", "fault"


@dataclass(frozen=True)
class Examination:
    """Hold one thing that was looked at.

    Attributes
    ----------
    state : str
        ``ok``, ``advice`` (something optional is missing or scarce) or ``fault`` (something
        is set up wrongly).
    remedy : str
        How to mend it, empty if all is well.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def examine() -> list[Examination]:
    """Look at everything; nothing is changed and no network is used."""
    looks: tuple[Callable[[], Iterator[Examination]], ...] = (
        _snap, _fortran, _graphs, _java, _snappy, _memory, _disk, _credentials, _libraries
    )  # fmt: skip
    return [examination for look in looks for examination in _safely(look)]


def _safely(look: Callable[[], Iterator[Examination]]) -> Iterator[Examination]:
    try:
        yield from look()
    except InsarMiningError as error:
        yield Examination(look.__name__.strip("_"), FAULT, str(error), "mend what the message names")


def _snap() -> Iterator[Examination]:
    found = find_gpt()
    if found is None:
        yield Examination(
            "SNAP",
            ADVICE,
            f"not found ({HOME_VARIABLE}, PATH, {', '.join(USUAL_PLACES)})",
            f"only for --engine snap: install SNAP {VERSIONS[0]} (https://step.esa.int) and set {HOME_VARIABLE} to its "
            "folder, or use the project's SNAP image",
        )
        return
    gpt, by = found
    version = version_of(gpt)
    text = ".".join(map(str, version)) or "unknown"
    supported = bool(version) and version[0] in VERSIONS
    yield Examination(
        "SNAP",
        OK if supported else ADVICE,
        f"{text} at {gpt} (by {by})",
        "" if supported else f"the graphs are checked for SNAP {' and '.join(map(str, VERSIONS))}; install one of them",
    )
    listed = ask(gpt, "-h")
    needed = sorted(_operators_used())
    missing = [name for name in needed if not re.search(rf"^\s*{re.escape(name)}\b", listed, re.MULTILINE)]
    yield Examination(
        "SNAP toolboxes",
        FAULT if missing else OK,
        f"gpt does not list {', '.join(missing)}"
        if missing
        else f"gpt lists all {len(needed)} operators that are used",
        "install the Sentinel-1 (microwave) toolbox: SNAP Desktop, Tools, Plugins; or the installer with all toolboxes"
        if missing
        else "",
    )


def _fortran() -> Iterator[Examination]:
    """Look for the library that SNAP's linear algebra needs; without it the interferogram fails, hours into a run."""
    if not sys.platform.startswith("linux"):
        return
    there = loads(FORTRAN)
    needed = find_gpt() is not None
    yield Examination(
        FORTRAN,
        OK if there else FAULT if needed else ADVICE,
        "found" if there else "not found by the loader",
        "" if there else "SNAP's interferogram needs it: install the package libgfortran5",
    )


def loads(library: str) -> bool:
    """Check whether the system's loader finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _operators_used() -> set[str]:
    """Return the operators of all templates."""
    used = set()
    for name in template_names():
        used |= {node.findtext("operator", "").strip() for node in parse(read_template(name)).findall("node")}
    return used


def _graphs() -> Iterator[Examination]:
    folder, found = templates_folder(), find_gpt()
    version = known_version(version_of(found[0]) if found else ())
    faults = [
        f"{name}.xml {finding}"
        for name in template_names(folder)
        for finding in check_graph(read_template(name, folder), version, placeholders=True)
    ]
    number = len(template_names(folder))
    yield Examination(
        "graphs",
        FAULT if faults or not number else OK,
        f"{faults[0]} (and {len(faults) - 1} more)" if faults else f"{number} in {folder}, valid for SNAP {version}",
        "`insar-mining graph check` lists every fault" if faults or not number else "",
    )


def _java() -> Iterator[Examination]:
    found = find_gpt()
    candidates = [found[0].parent.parent / "jre" / "bin" / "java"] if found else []
    if os.environ.get("JAVA_HOME"):
        candidates.append(Path(os.environ["JAVA_HOME"]) / "bin" / "java")
    on_path = shutil.which("java")
    if on_path:
        candidates.append(Path(on_path))
    java = next((path for path in candidates if path.is_file()), None)
    if java is None:
        remedy = "SNAP brings its own; only engine kits need one: install Java 21 and set JAVA_HOME"
        yield Examination("Java", ADVICE, "not found", remedy)
        return
    done = subprocess.run([str(java), "-version"], capture_output=True, timeout=60, check=False)
    text = (done.stderr or done.stdout).decode("utf-8", "replace").splitlines()
    yield Examination("Java", OK, f"{text[0] if text else 'version unknown'} at {java}")


def _snappy() -> Iterator[Examination]:
    specification = importlib.util.find_spec("esa_snappy")
    if specification is None or specification.origin is None:
        remedy = (
            "only for --engine snappy: pip install 'insar-mining[snap]', then snap --nogui --nosplash --snappy python"
        )
        yield Examination("esa_snappy", ADVICE, "not installed", remedy)
        return
    module = Path(specification.origin).parent
    configured = [path for path in (module / "esa_snappy.ini", module.parent / "esa_snappy.ini") if path.is_file()]
    if not configured:
        yield Examination(
            "esa_snappy",
            ADVICE,
            f"installed in {module}, not configured (no esa_snappy.ini)",
            "connect it to SNAP once: snap --nogui --nosplash --snappy /path/to/python",
        )
        return
    # the heap of its own file does not matter: the engine writes one for every run
    yield Examination("esa_snappy", OK, f"configured by {configured[0]}")


def _memory() -> Iterator[Examination]:
    limits, amount = settings(), memory_bytes() / GIB
    scarce = amount < LEAST_MEMORY_GIB
    yield Examination(
        "memory",
        ADVICE if scarce else OK,
        f"{amount:.1f} GiB and {processors()} processors; SNAP would get {limits.heap_mib} MiB of heap, "
        f"{limits.cache_mib} MiB of it for tiles, and {limits.parallelism} threads",
        f"SNAP wants {LEAST_MEMORY_GIB} GiB or more for a burst; give the container more, or set {MEMORY}"
        if scarce
        else "",
    )


def _disk() -> Iterator[Examination]:
    for name, folder in (
        ("disk here", settings().scratch or Path.cwd()),
        ("disk for temporary files", Path(tempfile.gettempdir())),
    ):
        free = shutil.disk_usage(folder).free / GIB
        scarce = name == "disk here" and free < LEAST_DISK_GIB
        yield Examination(
            name,
            ADVICE if scarce else OK,
            f"{free:.1f} GiB free in {folder}",
            f"a pair of whole sub-swaths needs some {LEAST_DISK_GIB} GiB in SNAP; set {SCRATCH} to a larger disk"
            if scarce
            else "",
        )


def _credentials() -> Iterator[Examination]:
    where = None
    if os.environ.get("EARTHDATA_TOKEN"):
        where = "EARTHDATA_TOKEN"
    elif os.environ.get("EARTHDATA_USERNAME") and os.environ.get("EARTHDATA_PASSWORD"):
        where = "EARTHDATA_USERNAME and EARTHDATA_PASSWORD"
    else:
        path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
        try:
            if path.is_file() and EARTHDATA in netrc.netrc(str(path)).hosts:
                where = str(path)
        except (netrc.NetrcParseError, OSError) as error:
            yield Examination("credentials", FAULT, f"{path} cannot be read ({error})", "mend the file, or delete it")
            return
    if where:
        yield Examination("credentials", OK, f"for {EARTHDATA} in {where}")  # that they are there, never what they are
    else:
        remedy = f"only for downloads: make an account at https://{EARTHDATA}, and put it into ~/.netrc (mode 600)"
        yield Examination("credentials", ADVICE, "none for Earthdata", remedy)


def _libraries() -> Iterator[Examination]:
    import pyproj
    import rasterio
    from pyproj import Transformer

    folder = Path(pyproj.datadir.get_data_dir())
    whole = (folder / "proj.db").is_file()
    easting = Transformer.from_crs(4326, 32629, always_xy=True).transform(-9.0, 0.0)[0] if whole else 0.0
    good = whole and abs(easting - 500_000) < 1
    foreign = [name for name in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA") if os.environ.get(name)]
    yield Examination(
        "PROJ data",
        OK if good else FAULT,
        f"{folder} (PROJ {pyproj.proj_version_str})" + (f"; set: {', '.join(foreign)}" if foreign else ""),
        ""
        if good
        else f"unset {', '.join(foreign) or 'PROJ_DATA'} (SNAP and conda set it for themselves), or reinstall pyproj",
    )
    with rasterio.Env() as environment:
        drivers = {"COG", "GTiff"} <= set(environment.drivers())
    yield Examination(
        "GDAL",
        OK if drivers else FAULT,
        f"{rasterio.__gdal_version__} with rasterio {rasterio.__version__}",
        "" if drivers else "reinstall rasterio from its wheel",
    )
