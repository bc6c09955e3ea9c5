"""Real data and settings that several test modules share; see the README beside each folder of tests/data."""

from __future__ import annotations

import functools
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from insar_mining.sentinel1.annotation import SubSwath, parse_annotation

DATA = Path(__file__).parent / "data"


def unpacked(folder: str, pattern: str) -> bytes:
    """Content of the one xz-compressed file of tests/data that matches a pattern."""
    (path,) = (DATA / folder).glob(pattern + ".xz")
    return lzma.decompress(path.read_bytes())


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--stress`` (or INSAR_MINING_STRESS=1) runs campaigns in full, else at a tenth of their size."""
    parser.addoption("--stress", action="store_true", help="run campaigns in full, else at a tenth of their size")


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
