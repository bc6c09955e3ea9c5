"""Orbit files: which fits, where it is found, and what is rejected."""

from __future__ import annotations

import io
import lzma
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from insar_mining.download.orbits import BucketSource, DirectorySource, OrbitName, find_orbit, orbit_distance_m
from insar_mining.download.session import EarthdataSession
from insar_mining.download.transfer import Limits
from insar_mining.errors import OrbitError
from insar_mining.sentinel1.annotation import SubSwath, parse_annotation

AZORES = Path(__file__).parents[2] / "data" / "azores"
NAME = "S1A_OPER_AUX_RESORB_OPOD_20220918T093241_V20220918T053155_20220918T084925.EOF"
POEORB = "S1A_OPER_AUX_POEORB_OPOD_20221008T081733_V20220917T225942_20220919T005942.EOF"
QUICK = Limits(attempts=2, first_wait_s=0.001, connect_s=1.0, read_s=1.0)


@pytest.fixture(scope="module")
def content() -> bytes:
    return lzma.decompress((AZORES / f"{NAME}.xz").read_bytes())


@pytest.fixture(scope="module")
def swath() -> SubSwath:
    (path,) = AZORES.glob("*.xml.xz")
    return parse_annotation(lzma.decompress(path.read_bytes()), source=path.name)


def changed(content: bytes, *, x_m: float = 0.0, seconds: int = 0, mission: str = "Sentinel-1A") -> bytes:
    """The same file, with every position moved, every time shifted, or of another satellite."""
    text = content.decode().replace("Sentinel-1A", mission)
    if x_m:
        text = re.sub(r'(<X unit="m">)([^<]+)', lambda m: f"{m[1]}{float(m[2]) + x_m:.6f}", text)
    if seconds:
        text = re.sub(
            r"UTC=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?</UTC>",
            lambda m: f"UTC={np.datetime64(m[1]) + np.timedelta64(seconds, 's')}{m[2] or ''}</UTC>",
            text,
        )
    return text.encode()


def zipped(content: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def bucket(server: Any, files: dict[str, bytes], **how: Any) -> BucketSource:
    """A bucket that lists its files by name, all on one page."""
    for name, content in files.items():
        kind = "POEORB" if "POEORB" in name else "RESORB"
        server.add(f"/AUX_{kind}/{name}", content, **how)
    keys = "".join(
        f"<Contents><Key>AUX_{'POEORB' if 'POEORB' in n else 'RESORB'}/{n}</Key></Contents>" for n in sorted(files)
    )
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    server.add(
        "/", f'<ListBucketResult xmlns="{space}">{keys}<IsTruncated>false</IsTruncated></ListBucketResult>'.encode()
    )
    return BucketSource(server.url)


def test_the_real_file_lies_on_the_annotation(content: bytes, swath: SubSwath, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert orbit_distance_m(tmp_path / NAME, swath) < 0.05
    found = find_orbit(swath, tmp_path)
    assert (found.path, found.kind) == (tmp_path / NAME, "RESORB")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"x_m": 25.0}, r"lies 25\.0 m from the annotation's state vectors \(limit 20 m\)"),
        ({"seconds": 1}, r"lies 7,\d{3}\.\d m"),
        ({"seconds": -10}, r"lies 7\d,\d{3}\.\d m"),
        ({"mission": "Sentinel-1B"}, "holds the orbit of Sentinel-1B"),
        ({"seconds": 14400}, "covers .* to"),
    ],
)
def test_a_wrong_file_is_rejected(
    content: bytes, swath: SubSwath, tmp_path: Path, how: dict[str, Any], said: str
) -> None:
    (tmp_path / NAME).write_bytes(changed(content, **how))
    with pytest.raises(OrbitError, match=said):
        orbit_distance_m(tmp_path / NAME, swath)
    with pytest.raises(OrbitError, match=r"nothing was asked of the network.*" + said):
        find_orbit(swath, tmp_path)


def test_a_small_difference_is_no_fault(content: bytes, swath: SubSwath, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(changed(content, x_m=5.0))
    assert orbit_distance_m(tmp_path / NAME, swath) == pytest.approx(5.0, abs=0.05)


def test_coverage_with_a_margin_on_both_sides() -> None:
    name = OrbitName.find(f"x/{NAME}.zip")
    assert name is not None
    begin, end = np.datetime64("2022-09-18T05:31:55", "ns"), np.datetime64("2022-09-18T08:49:25", "ns")
    second = np.timedelta64(1, "s")
    assert name.covers("S1A", begin + 60 * second, end - 60 * second, 60)
    assert not name.covers("S1A", begin + 59 * second, end - 60 * second, 60)
    assert not name.covers("S1A", begin + 60 * second, end - 59 * second, 60)
    assert not name.covers("S1B", begin + 60 * second, end - 60 * second, 60)
    assert OrbitName.find("S1D_OPER_AUX_POEORB_OPOD_20261008T081733_V20260917T225942_20260919T005942.EOF") is not None
    assert OrbitName.find("S1A_OPER_AUX_PREORB_OPOD_20221008T081733_V20220917T225942_20220919T005942.EOF") is None


def test_precise_orbits_come_first_then_restituted(
    server: Any, content: bytes, swath: SubSwath, tmp_path: Path
) -> None:
    session = EarthdataSession()
    source = bucket(server, {NAME: content})
    first = find_orbit(swath, tmp_path, session=session, sources=[source])
    assert (first.kind, first.path.read_bytes()) == ("RESORB", content)
    precise = content.replace(b"AUX_RESORB", b"AUX_POEORB")
    source = bucket(server, {NAME: content, POEORB: precise})  # published meanwhile
    second = find_orbit(swath, tmp_path, session=session, sources=[source])
    assert (second.kind, second.path.name) == ("POEORB", POEORB)
    seen = len(server.asked)
    assert find_orbit(swath, tmp_path, session=session, sources=[source]) == second
    assert len(server.asked) == seen  # from the cache


def test_the_latest_made_of_several_is_used(server: Any, content: bytes, swath: SubSwath, tmp_path: Path) -> None:
    later = NAME.replace("20220918T093241", "20230101T000000")
    source = bucket(server, {NAME: content, later: content})
    assert find_orbit(swath, tmp_path, session=EarthdataSession(), sources=[source]).path.name == later


def test_the_next_source_is_asked_if_one_fails(server: Any, content: bytes, swath: SubSwath, tmp_path: Path) -> None:
    month = "/s/RESORB/S1A/2022/09/"
    server.add(month, f'<a href="../">up</a><a href="{NAME}.zip">x</a>'.encode(), content_type="text/html")
    server.add(f"{month}{NAME}.zip", zipped(content, NAME))
    away = BucketSource(f"{server.url}/gone")
    sources = [away, DirectorySource(f"{server.url}/s")]
    found = find_orbit(swath, tmp_path, session=EarthdataSession(), sources=sources, limits=QUICK)
    assert found.path.read_bytes() == content


def test_a_file_that_is_wrong_at_one_source_is_taken_from_the_next(
    server: Any, content: bytes, swath: SubSwath, tmp_path: Path
) -> None:
    source = bucket(server, {NAME: changed(content, x_m=500.0)})
    month = "/s/RESORB/S1A/2022/09/"
    server.add(month, f'<a href="{NAME}.zip">x</a>'.encode(), content_type="text/html")
    server.add(f"{month}{NAME}.zip", zipped(content, NAME))
    sources = [source, DirectorySource(f"{server.url}/s")]
    found = find_orbit(swath, tmp_path, session=EarthdataSession(), sources=sources, limits=QUICK)
    assert found.path.read_bytes() == content


def test_an_offline_folder_is_enough(content: bytes, swath: SubSwath, tmp_path: Path) -> None:
    offline = tmp_path / "auxdata [é]" / "RESORB" / "S1A"
    offline.mkdir(parents=True)
    (offline / f"{NAME}.zip").write_bytes(zipped(content, NAME))
    found = find_orbit(swath, tmp_path / "cache", folders=[tmp_path / "auxdata [é]"])
    assert found.path == tmp_path / "cache" / NAME
    assert found.path.read_bytes() == content


def test_a_cached_file_that_was_changed_is_fetched_again(
    server: Any, content: bytes, swath: SubSwath, tmp_path: Path
) -> None:
    source = bucket(server, {NAME: content})
    session = EarthdataSession()
    path = find_orbit(swath, tmp_path, session=session, sources=[source]).path
    path.write_bytes(changed(content, x_m=5.0))
    assert find_orbit(swath, tmp_path, session=session, sources=[source]).path.read_bytes() == content


def test_when_nothing_fits_the_reasons_are_said(server: Any, swath: SubSwath, tmp_path: Path) -> None:
    sources = [BucketSource(f"{server.url}/gone"), DirectorySource(f"{server.url}/none")]
    with pytest.raises(OrbitError, match=r"no orbit file of S1A covers .*the server answers 404.*three weeks"):
        find_orbit(swath, tmp_path, session=EarthdataSession(), sources=sources, limits=QUICK)
    shutil.rmtree(tmp_path)
    with pytest.raises(OrbitError, match="no orbit file of S1A"):
        find_orbit(swath, tmp_path)


def test_a_long_listing_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket gives so many names a page and no more."""
    names = [NAME.replace("T093241", f"T{n // 60:02d}{n % 60:02d}{n // 1200:02d}") for n in range(1440)]
    asked: list[str] = []

    class Session(requests.Session):
        def get(self, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
            asked.append(url)
            query = requests.utils.urlparse(url).query
            after = dict(pair.split("=") for pair in query.split("&"))["start-after"].replace("%2F", "/")
            rest = sorted(f"AUX_RESORB/{n}" for n in names if f"AUX_RESORB/{n}" > after)
            keys = "".join(f"<Contents><Key>{k}</Key></Contents>" for k in rest[:600])
            answer = requests.Response()
            answer.status_code, answer.url = 200, url
            more = str(len(rest) > 600).lower()
            answer._content = f"<ListBucketResult>{keys}<IsTruncated>{more}</IsTruncated></ListBucketResult>".encode()
            return answer

    listed = list(BucketSource("https://b").listed(Session(), "RESORB", "S1A", np.datetime64("2022-09-18T07:49", "ns")))
    assert len({name.name for name, _ in listed}) == 1440
    assert len(asked) == 3
