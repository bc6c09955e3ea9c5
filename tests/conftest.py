"""Real data and settings that several test modules share; see the README beside each folder of tests/data."""

from __future__ import annotations

import functools
import lzma
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from insar_mining.sentinel1.annotation import SubSwath, parse_annotation
from insar_mining.sentinel1.product import open_product

# run as programs of their own, by paths of their own
collect_ignore_glob = ["standin_gpt/*"]

# a busy machine takes any time for an example: no test may depend on it
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

DATA = Path(__file__).parent / "data"


def unpacked(folder: str, pattern: str) -> bytes:
    """Content of the one xz-compressed file of tests/data that matches a pattern."""
    (path,) = (DATA / folder).glob(pattern + ".xz")
    return lzma.decompress(path.read_bytes())


def pytest_configure() -> None:
    """Take Ctrl-C where whoever started the tests had it ignored (nohup, a shell's &): processes inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--stress`` (or INSAR_MINING_STRESS=1) runs campaigns in full, else at a tenth of their size."""
    parser.addoption("--stress", action="store_true", help="run campaigns in full, else at a tenth of their size")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares something expensive in one process, when tests run in several (``-n 2``)."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """Name a test's group: its file, or what it shares with others."""
    shared = {"demo": "demo", "demo_folder": "demo"}
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in shared:
            return shared[fixture]
    if item.path.parent.name == "snap":
        return "snap"
    return (
        "one stack"
        if item.path.name in ("test_stack.py", "test_layers.py", "test_dask.py") and "end_to_end" in item.path.parts
        else str(item.path)
    )


@pytest.fixture(autouse=True)
def default_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own choice of an engine does not reach the tests."""
    monkeypatch.delenv("INSAR_MINING_ENGINE", raising=False)


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """``campaign(2000)``: how many rounds to run of 2000, all of them with --stress, else a tenth."""
    in_full = request.config.getoption("--stress") or os.environ.get("INSAR_MINING_STRESS") == "1"
    return lambda rounds: rounds if in_full else max(1, rounds // 10)


@pytest.fixture(scope="session")
def morocco_annotation() -> Callable[[str, str], bytes]:
    """Real VV annotation: ``morocco_annotation("20230904" or "20230916", "IW1")``."""
    return functools.cache(lambda date, swath: unpacked("morocco", f"s1a-{swath.lower()}-slc-vv-{date}t*.xml"))


@pytest.fixture(scope="session")
def morocco_sub_swath(morocco_annotation: Callable[[str, str], bytes]) -> Callable[[str, str], SubSwath]:
    """The same, parsed: ``morocco_sub_swath("20230904" or "20230916", "IW1")``."""
    return functools.cache(
        lambda date, swath: parse_annotation(
            morocco_annotation(date, swath), source=f"{date}-{swath}", ipf_version="003.61"
        )
    )


@pytest.fixture(scope="session")
def morocco_safe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A real SAFE folder with manifest and VV annotations but no measurement; do not write into it."""

    @functools.cache
    def safe(date: str) -> Path:
        (manifest,) = (DATA / "morocco").glob(f"*SDV_{date}T*.manifest.safe.xz")
        folder = tmp_path_factory.mktemp("morocco") / manifest.name.replace(".manifest.safe.xz", ".SAFE")
        (folder / "annotation").mkdir(parents=True)
        (folder / "manifest.safe").write_bytes(lzma.decompress(manifest.read_bytes()))
        for annotation in (DATA / "morocco").glob(f"s1a-*-vv-{date}t*.xml.xz"):
            (folder / "annotation" / annotation.stem).write_bytes(lzma.decompress(annotation.read_bytes()))
        return folder

    return safe


STANDIN = Path(__file__).parent / "standin_gpt" / "gpt.py"


@pytest.fixture(scope="session")
def install_snap() -> Callable[..., Path]:
    """``install_snap(folder, version)``: make a folder that looks like an installed SNAP, with the stand-in's gpt."""

    def install(folder: Path, version: str = "13.0.4") -> Path:
        (folder / "bin").mkdir(parents=True)
        (folder / "VERSION.txt").write_text(f"{version}\n", encoding="utf-8")
        gpt = folder / "bin" / "gpt"
        command = f"{shlex.quote(sys.executable)} {shlex.quote(str(STANDIN))}"
        # as SNAP's own launcher it starts another process, and waits for it
        gpt.write_text(f'#!/bin/sh\nSTANDIN_VERSION={version} {command} "$@"\n', encoding="utf-8")
        gpt.chmod(0o755)
        return folder

    return install


@pytest.fixture(scope="session")
def orbit_file() -> Callable[..., Path]:
    """``orbit_file(product, folder, late_s)``: an EOF with a product's own state vectors, some time too late."""

    def make(product: Path, folder: Path, late_s: float = 0.0) -> Path:
        opened = open_product(product)
        orbit = opened.sub_swath(opened.swaths[0], opened.polarisations[0]).orbit
        times = opened.epoch + ((orbit.time_s + late_s) * 1e9).astype("timedelta64[ns]")
        day = str(opened.epoch)[:10].replace("-", "")
        name = f"{opened.platform}_OPER_AUX_POEORB_OPOD_{day}T000000_V{day}T000000_{day}T235959"
        vectors = "".join(
            f"<OSV><UTC>UTC={str(t)[:26]}</UTC>"
            + "".join(
                f"<{k}>{v!r}</{k}>" for k, v in zip(("X", "Y", "Z", "VX", "VY", "VZ"), map(float, state), strict=True)
            )
            + "</OSV>"
            for t, state in zip(times, np.hstack([orbit.position_m, orbit.velocity_m_s]), strict=True)
        )
        path = folder / f"orbit of {day}.EOF"
        path.write_text(
            f"<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><File_Name>{name}</File_Name>"
            f"<Mission>Sentinel-{opened.platform[1:]}</Mission></Fixed_Header></Earth_Explorer_Header>"
            f"<Data_Block><List_of_OSVs>{vectors}</List_of_OSVs></Data_Block></Earth_Explorer_File>"
        )
        return path

    return make
