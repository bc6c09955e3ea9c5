"""Fetching from a server that misbehaves: what appears is the file, byte for byte, or nothing appears."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insar_mining.download import files as download
from insar_mining.download.credentials import Credentials, Realm
from insar_mining.download.files import Item, Outcome, check_space, fetch_files, missing_bytes, part_path
from insar_mining.download.integrity import Expected, note_path
from insar_mining.download.session import EarthdataSession
from insar_mining.download.transfer import Limits, Throttle
from insar_mining.errors import OptionError, OutputError

QUICK = Limits(connections=3, read_s=1.0, connect_s=1.0, first_wait_s=0.001, longest_wait_s=5.0)
SIZE = 700_000


def zipped(seed: int, size: int = SIZE) -> bytes:
    """A real zip of random bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("S1A.SAFE/measurement/x.tiff", np.random.default_rng(seed).bytes(size))
    return buffer.getvalue()


CONTENT = zipped(1)
OTHER = zipped(2)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def item(url: str, content: bytes = CONTENT, *, name: str = "a.zip", size: bool = True, checksum: bool = True) -> Item:
    expected = Expected(len(content) if size else None, md5(content) if checksum else None, "zip")
    return Item(url, name, expected, about_bytes=len(content))


def fetched(server: Any, wanted: Item | list[Item], folder: Path, **options: Any) -> list[Outcome]:
    waits = options.pop("waits", [])
    session = options.pop("session", None) or EarthdataSession()
    items = wanted if isinstance(wanted, list) else [wanted]
    options = {"limits": QUICK, "sleep": lambda s: waits.append(s), "jitter": random.Random(1), **options}
    return fetch_files(items, folder, session, **options)


def only_whole_files(folder: Path, contents: dict[str, bytes]) -> None:
    visible = {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}
    assert visible == contents


def statuses(server: Any) -> list[int]:
    return [asked.status for asked in server.asked]


@pytest.mark.parametrize(
    ("ways", "requests"),
    [
        ([], 1),
        (["cut:0.37"], 2),
        (["cut:0.37", "cut:0.0", "cut:0.5", "cut:0.9"], 5),
        (["cut:0.0"], 2),
        (["slow"], 1),
        (["stall:1.5"], 1),
        (["short"], 2),
        (["status:429:3"], 2),
        (["status:500", "status:500"], 3),
        (["status:503:Fri, 31 Dec 1999 23|59|59 GMT"], 2),
        (["html"], 2),
        (["hidden-html"], 2),
        (["login"], 3),
        (["endless"], 1),
        (["cut:0.37", "wrong-range"], 3),
        (["cut:0.37", "html", "status:500"], 4),
        (["status:202", "status:202:7"], 3),
    ],
)
@pytest.mark.parametrize("knowing", ["size and checksum", "size", "checksum", "nothing"])
def test_the_file_comes_byte_for_byte_whatever_the_server_does(
    server: Any, tmp_path: Path, ways: list[str], requests: int, knowing: str
) -> None:
    if ways == ["short"] and knowing in ("checksum", "nothing"):
        requests = 2  # a short file ends well: its directory or checksum is missing
    url = server.add("/a.zip", CONTENT, ways=list(ways))
    wanted = item(url, size="size" in knowing, checksum="checksum" in knowing)
    (outcome,) = fetched(server, wanted, tmp_path)
    assert outcome.state == "fetched", outcome.reason
    only_whole_files(tmp_path, {"a.zip": CONTENT})
    assert len(server.asked) == requests
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip", note_path(tmp_path / "a.zip").name}


def test_after_a_cut_only_the_rest_is_asked_for(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT, ways=["cut:0.37", "cut:0.5"])
    fetched(server, item(url), tmp_path)
    first, second, third = server.asked
    assert (first.start, second.start, third.start) == (0, first.sent, first.sent + second.sent)
    assert first.sent + second.sent + third.sent == len(CONTENT)
    assert second.headers["If-Range"] == '"1"'


@pytest.mark.parametrize("knowing", ["checksum", "nothing"])
@pytest.mark.parametrize("etag", ['"1"', None])
@pytest.mark.parametrize("deaf", [False, True])
def test_a_file_that_changes_between_two_attempts_is_begun_anew(
    server: Any, tmp_path: Path, etag: str | None, deaf: bool, knowing: str
) -> None:
    """Old beginning and new rest are never joined, even if the server gives the rest regardless."""
    url = server.add("/a.zip", CONTENT, etag=etag, ways=["cut:0.37"])

    def change(seconds: float) -> None:
        served = server.files["/a.zip"]
        if served.content is CONTENT:
            served.content, served.etag = OTHER, etag and '"2"'
            served.ways = ["deaf"] if deaf else []

    wanted = item(url, OTHER, checksum=knowing == "checksum")
    (outcome,) = fetched(server, wanted, tmp_path, sleep=change)
    assert outcome.state == "fetched", outcome.reason
    only_whole_files(tmp_path, {"a.zip": OTHER})


@pytest.mark.parametrize("known", [True, False])
def test_a_server_without_ranges_gives_the_file_all_the_same(server: Any, tmp_path: Path, known: bool) -> None:
    url = server.add("/a.zip", CONTENT, ranges=False, ways=["cut:0.37", "cut:0.6"])
    (outcome,) = fetched(server, item(url, size=known, checksum=known), tmp_path)
    assert outcome.state == "fetched"
    assert [a.start for a in server.asked] == [0, 0, 0]
    only_whole_files(tmp_path, {"a.zip": CONTENT})


def test_a_server_is_asked_again_after_the_time_it_names(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT, ways=["status:429:3", "status:429:9999", "status:202:4"])
    waits: list[float] = []
    fetched(server, item(url), tmp_path, waits=waits)
    assert waits == [3.0, QUICK.longest_wait_s, 4.0]


def test_waiting_doubles_and_has_a_random_half(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT, ways=["status:500"] * 5)
    waits: list[float] = []
    limits = Limits(first_wait_s=1.0, longest_wait_s=6.0)
    fetched(server, item(url), tmp_path, waits=waits, limits=limits)
    full = np.array([1, 2, 4, 6, 6])
    assert ((waits >= full / 2) & (waits <= full)).all()
    assert len(set(np.array(waits) / full)) == 5


@pytest.mark.parametrize(
    ("always", "words"),
    [
        ("status:401", r"does not accept the login \(401\): the token has expired.*EARTHDATA_TOKEN"),
        ("status:403", r"refuses access \(403\): the account has not accepted the licence"),
        ("status:404", r"no such file \(404\)"),
        ("status:500", r"busy \(500\) \(7 attempts in a row brought nothing\)"),
        ("status:418", "answers 418"),
        ("html", "a web page came instead of the file: the archive wants a login"),
        ("hidden-html", "does not begin like the file"),
        ("cut:0.0", "cut off"),
        ("stall:1.3", "no answer in time"),
        ("status:202:100", "still prepares the file .202. for more than 900 s"),
        ("login-loop", "circles"),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing(server: Any, tmp_path: Path, always: str, words: str) -> None:
    url = server.add("/a.zip", CONTENT, always="away:/a.zip" if always == "login-loop" else always)
    limits = Limits(connections=3, read_s=0.3, connect_s=1.0, first_wait_s=0.001)
    (outcome,) = fetched(server, item(url, size=False), tmp_path, limits=limits)
    assert outcome.state == "failed"
    assert re.search(words, outcome.reason), outcome.reason
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_than_the_catalogue_says_is_refused(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", OTHER + b"more")
    (outcome,) = fetched(server, item(url), tmp_path)
    assert outcome.state == "failed"
    assert f"{len(OTHER) + 4:,} bytes, the catalogue says {len(CONTENT):,}" in outcome.reason
    only_whole_files(tmp_path, {})


def test_a_file_whose_checksum_is_wrong_never_appears(server: Any, tmp_path: Path) -> None:
    damaged = CONTENT[:5000] + b"\0\0\0\0" + CONTENT[5004:]
    url = server.add("/a.zip", damaged)
    (outcome,) = fetched(server, item(url), tmp_path)
    assert "not the file, 3 times: its MD5 is" in outcome.reason
    assert list(tmp_path.iterdir()) == []
    (outcome,) = fetched(server, item(url, checksum=False), tmp_path)  # the CRC inside the zip finds it too
    assert "damaged inside the zip" in outcome.reason
    assert list(tmp_path.iterdir()) == []


def test_one_file_that_fails_does_not_keep_the_others(server: Any, tmp_path: Path) -> None:
    contents = {f"{i}.zip": zipped(i, 50_000) for i in range(6)}
    urls = {name: server.add(f"/{name}", content) for name, content in contents.items()}
    server.files["/3.zip"].always = "status:404"
    items = [item(urls[name], content, name=name) for name, content in contents.items()]
    outcomes = fetched(server, items, tmp_path)
    assert [o.state for o in outcomes] == ["fetched"] * 3 + ["failed"] + ["fetched"] * 2
    only_whole_files(tmp_path, {n: c for n, c in contents.items() if n != "3.zip"})


def test_a_login_that_is_refused_is_not_tried_for_every_file(server: Any, tmp_path: Path) -> None:
    items = [item(server.add(f"/{i}.zip", CONTENT, always="status:401"), name=f"{i}.zip") for i in range(20)]
    outcomes = fetched(server, items, tmp_path)
    assert {o.state for o in outcomes} == {"failed"}
    assert len(server.asked) <= QUICK.connections
    assert sum("not tried" in o.reason for o in outcomes) >= 20 - QUICK.connections


def test_what_is_there_is_not_fetched_again(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT)
    assert fetched(server, item(url), tmp_path)[0].state == "fetched"
    assert fetched(server, item(url), tmp_path)[0].state == "there"
    note_path(tmp_path / "a.zip").unlink()  # a file that somebody put there: checked, and used
    assert fetched(server, item(url), tmp_path)[0].state == "there"
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", ["truncated", "other bytes", "empty"])
def test_a_damaged_file_under_the_final_name_is_replaced(server: Any, tmp_path: Path, how: str) -> None:
    url = server.add("/a.zip", CONTENT)
    fetched(server, item(url), tmp_path)
    final = tmp_path / "a.zip"
    final.write_bytes({"truncated": CONTENT[:-9], "other bytes": OTHER, "empty": b""}[how])
    assert fetched(server, item(url), tmp_path)[0].state == "fetched"
    only_whole_files(tmp_path, {"a.zip": CONTENT})


def test_a_part_of_another_file_is_not_continued(server: Any, tmp_path: Path) -> None:
    part = part_path(tmp_path / "a.zip")
    part.write_bytes(OTHER[:1000])
    part.with_name(part.name + ".json").write_text(
        json.dumps({"url": "https://elsewhere/a.zip", "etag": '"1"', "modified": None, "total": len(CONTENT)})
    )
    fetched(server, item(server.add("/a.zip", CONTENT)), tmp_path)
    assert server.asked[0].start == 0
    only_whole_files(tmp_path, {"a.zip": CONTENT})


def test_a_complete_part_is_taken_without_asking(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT)
    part = part_path(tmp_path / "a.zip")
    part.write_bytes(CONTENT)
    part.with_name(part.name + ".json").write_text(
        json.dumps({"url": url, "etag": '"1"', "modified": None, "total": len(CONTENT)})
    )
    assert fetched(server, item(url), tmp_path)[0].fetched_bytes == 0
    assert server.asked == []
    only_whole_files(tmp_path, {"a.zip": CONTENT})


def test_two_processes_do_not_fetch_one_file_together(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT, always="slow:20000")
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.extend(fetched(server, item(url), tmp_path, sleep=time.sleep)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(asked.sent for asked in server.asked) == len(CONTENT)
    # the others wait for it, and have it then
    assert sorted(outcome.state for outcome in outcomes) == ["fetched", "there", "there", "there"]
    only_whole_files(tmp_path, {"a.zip": CONTENT})


def test_a_file_that_another_process_holds_and_nothing_comes_is_given_up(server: Any, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT)
    with (tmp_path / ".a.zip.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (outcome,) = fetched(server, item(url), tmp_path, limits=replace(QUICK, prepare_s=0.5))
        assert outcome.state == "failed"
        assert "another process" in outcome.reason
        assert server.asked == []
    assert fetched(server, item(url), tmp_path)[0].state == "fetched"


def test_no_more_connections_than_allowed(server: Any, tmp_path: Path) -> None:
    active, most, lock = 0, 0, threading.Lock()
    items = [item(server.add(f"/{i}.zip", zipped(i, 60_000), always="slow:6000"), zipped(i, 60_000), name=f"{i}.zip")
             for i in range(8)]  # fmt: skip
    handler = server.RequestHandlerClass.do_GET

    def counted(self: Any) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        try:
            handler(self)
        finally:
            with lock:
                active -= 1

    server.RequestHandlerClass.do_GET = counted
    try:
        fetched(server, items, tmp_path)
    finally:
        server.RequestHandlerClass.do_GET = handler
    assert 2 <= most <= QUICK.connections


def test_the_bandwidth_is_shared_and_kept(server: Any, tmp_path: Path) -> None:
    items = [item(server.add(f"/{i}.zip", zipped(i, 300_000)), zipped(i, 300_000), name=f"{i}.zip") for i in range(3)]
    began = time.monotonic()
    fetched(server, items, tmp_path, limits=Limits(connections=3, bytes_per_s=900_000), sleep=time.sleep)
    assert time.monotonic() - began >= 0.95


def test_the_throttle_spreads_bytes_over_time() -> None:
    now = [0.0]
    throttle = Throttle(1000.0, clock=lambda: now[0])
    assert [throttle.wait_for(500), throttle.wait_for(500)] == [0.5, 1.0]
    now[0] = 10.0  # a pause is not saved up
    assert throttle.wait_for(1000) == 1.0
    assert Throttle(None).wait_for(10**9) == 0.0


def test_progress_ends_at_the_sum_of_the_sizes(server: Any, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    url = server.add("/a.zip", CONTENT, ways=["cut:0.37", "wrong-range", "cut:0.2"])
    other = server.add("/b.zip", OTHER)
    fetched(server, [item(url), item(other, OTHER, name="b.zip")], tmp_path, progress=lambda *a: seen.append(a))
    assert seen[-1] == ("fetching", len(CONTENT) + len(OTHER), len(CONTENT) + len(OTHER))


def test_what_the_disk_cannot_hold_is_not_begun(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.add("/a.zip", CONTENT)
    usage = shutil._ntuple_diskusage(10**12, 10**12, download.SPARE_BYTES + len(CONTENT) - 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="to be fetched and"):
        fetched(server, item(url), tmp_path / "new" / "folder")
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []
    part_path(tmp_path / "a.zip").write_bytes(CONTENT[:1])  # what is there already needs no space
    check_space([item(url)], tmp_path)
    assert missing_bytes([item(url)], tmp_path) == len(CONTENT) - 1


@pytest.mark.parametrize("name", ["../a.zip", "/a.zip", "", "x/../../a.zip"])
def test_names_stay_inside_the_folder(server: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="inside the folder"):
        fetched(server, item(server.url + "/a.zip", name=name), tmp_path)


def test_two_files_of_one_name_are_refused(server: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"two files of one name: a\.zip"):
        fetched(server, [item("http://x/1"), item("http://x/2")], tmp_path)


@pytest.mark.parametrize("limits", [{"connections": 0}, {"connections": 64}, {"bytes_per_s": 1.0}])
def test_impolite_limits_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Limits(**limits)


def test_names_of_folders_may_hold_anything(server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "мина [1] é"
    fetched(server, item(server.add("/a.zip", CONTENT), name="2020/ö b.zip"), folder)
    assert (folder / "2020" / "ö b.zip").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_said(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (outcome,) = fetched(server, item(server.add("/a.zip", CONTENT)), tmp_path / "file" / "folder")
    assert outcome.state == "failed"
    assert "cannot be written" in outcome.reason


# Login -----------------------------------------------------------------------------------------


def test_the_token_goes_to_the_archive_and_nowhere_else(server: Any, realm: Realm, tmp_path: Path) -> None:
    elsewhere = type(server)()
    thread = threading.Thread(target=elsewhere.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        elsewhere.add("/signed", CONTENT)
        place = elsewhere.url.replace(":", "|") + "/signed?Signature=x"
        url = server.add("/a.zip", CONTENT, always=f"away:{place}", login="Bearer TOKEN")
        session = EarthdataSession(Credentials(token="TOKEN"), realm)
        (outcome,) = fetched(server, item(url), tmp_path, session=session)
        assert outcome.state == "fetched", outcome.reason
        assert "Authorization" not in elsewhere.asked[0].headers
        assert server.asked[0].headers["Authorization"] == "Bearer TOKEN"
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()


def test_name_and_password_are_sent_where_they_belong(server: Any, realm: Realm, tmp_path: Path) -> None:
    url = server.add("/a.zip", CONTENT, login="Basic bmFtZTpwYXNz")
    session = EarthdataSession(Credentials(username="name", password="pass"), realm)
    assert fetched(server, item(url), tmp_path, session=session)[0].state == "fetched"


def test_a_netrc_is_not_sent_behind_our_back(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password hidden\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetched(server, item(server.add("/a.zip", CONTENT, always="login")), tmp_path)
    assert all("Authorization" not in a.headers for a in server.asked)
    assert all(a.headers["User-Agent"].startswith("insar-mining/") for a in server.asked)


# kill -9 ---------------------------------------------------------------------------------------

FETCHER = """
import os, sys, json, random
from insar_mining.download.files import Item, fetch_files
from insar_mining.download.session import EarthdataSession
from insar_mining.download.integrity import Expected
from insar_mining.download.transfer import Limits

folder, wanted = sys.argv[1], json.loads(sys.argv[2])
items = [Item(w["url"], w["name"], Expected(w["size"], w["md5"], "zip")) for w in wanted]
for line in sys.stdin:  # one round per line, each in a child: what a new process does, without its start
    child = os.fork()
    if child == 0:
        limits = Limits(connections=3, read_s=5, first_wait_s=0.001)
        outcomes = fetch_files(items, folder, EarthdataSession(), limits=limits)
        os._exit(0 if all(o.path for o in outcomes) else 1)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


class Campaign:
    """Rounds of fetching five files, each round killed at some moment, until all are there; then new files."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.contents = {f"{i}.zip": zipped(i, 400_000) for i in range(5)}
        folder.mkdir()
        wanted = []
        for number, (name, content) in enumerate(self.contents.items()):
            url = server.add(f"/{folder.name}/{name}", content, always="slow:40000")
            # the size is known of some, the checksum of others
            size, checksum = len(content) if number % 2 else None, md5(content) if number % 3 else None
            wanted.append({"url": url, "name": name, "size": size, "md5": checksum})
        self.process = subprocess.Popen(  # one fork per round: a new process without the cost of its imports
            [sys.executable, "-c", FETCHER, str(folder), json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self, kill_after_s: float | None) -> int:
        """Let a process fetch, kill it if that is wanted; return how it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self.process.stdout.readline())

    def whole(self) -> set[str]:
        return {name for name in self.contents if (self.folder / name).exists()}

    def check_round(self, before: dict[str, int], finished: set[str], asked: list[Any]) -> None:
        whole = self.whole()
        assert finished <= whole  # nothing lost
        for name in whole:
            assert (self.folder / name).read_bytes() == self.contents[name]  # nothing half
        for one in asked:  # nothing fetched twice: no whole file, no byte of a part
            name = one.path.rpartition("/")[2]
            assert name not in finished
            assert one.start == before[name]

    def stop(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait(timeout=20)

    def end(self) -> None:
        assert self.round(None) == 0
        only_whole_files(self.folder, self.contents)
        notes = {note_path(self.folder / name).name for name in self.contents}
        assert {p.name for p in self.folder.glob(".*")} == notes


@pytest.mark.slow
def test_kill_minus_nine_at_random_moments_loses_nothing(
    server: Any, tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    rounds, generator, killed, current = campaign(200), random.Random(20231122), 0, None
    with contextlib.ExitStack() as stack:
        for number in range(rounds):
            if current is None:
                current = Campaign(server, tmp_path / str(number))
                stack.callback(current.stop)
            before = {name: size_of_part(current.folder / name) for name in current.contents}
            finished, seen = current.whole(), len(server.asked)
            killed += os.WIFSIGNALED(current.round(generator.uniform(0.0, 0.05)))
            settle(server)
            current.check_round(before, finished, server.asked[seen:])
            if current.whole() == set(current.contents) or number == rounds - 1:
                current.end()
                current = None
    assert killed > rounds / 4  # else little was shown


def size_of_part(final: Path) -> int:
    part = part_path(final)
    state = part.with_name(part.name + ".json")
    return part.stat().st_size if part.exists() and state.exists() else 0


def settle(server: Any) -> None:
    """Wait until the server has noticed that its clients are gone."""
    last, still, until = -1, 0, time.monotonic() + 30
    while still < 3 and time.monotonic() < until:
        still = still + 1 if len(server.asked) == last and not server.connections else 0
        last = len(server.asked)
        time.sleep(0.005)
