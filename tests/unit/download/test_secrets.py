"""A token and a password go through every path of errors, and are found nowhere."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import re
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from shapely.geometry import box, mapping
from typer.testing import CliRunner

from insar_mining.cli import app, inputs
from insar_mining.download import credentials as module
from insar_mining.download.credentials import EARTHDATA, Credentials, Realm, find_credentials
from insar_mining.download.files import Item, fetch_files
from insar_mining.download.integrity import Expected
from insar_mining.download.products import open_session
from insar_mining.download.session import EarthdataSession, clean, get_text, place, why
from insar_mining.download.transfer import Limits
from insar_mining.errors import ArchiveError
from insar_mining.pipeline.acquisition import Network
from insar_mining.scenes.records import records_table, write_records
from insar_mining.scenes.search import search
from tests.unit.conftest import ToLoopback

TOKEN = "eyJ0eXAiOiJKV1QiLCJ.TOPSECRETTOKEN.abc-_123"
PASSWORD = "pass word+TOPSECRETPASSWORD"
HIDDEN = ("TOPSECRET", "SIGNED-SECRET", "U29tZWJvZHk6cGFzcyB3b3")  # the last one: base64 of name and password

ACCOUNTS = {
    "token": lambda: Credentials(token=TOKEN),
    "password": lambda: Credentials(username="Somebody", password=PASSWORD),
    "both": lambda: Credentials(token=TOKEN, username="Somebody", password=PASSWORD),
}


def assert_hidden(*texts: object) -> None:
    for text in texts:
        for secret in HIDDEN:
            assert secret not in str(text), text


@pytest.fixture
def everything_logged() -> Any:
    """The log of every library at its most talkative."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


WAYS = [
    "well", "cut:0.3", "cut:0.0", "stall:0.4", "short", "endless", "status:401", "status:403", "status:404",
    "status:429:1", "status:500", "status:418", "status:202:500", "html", "hidden-html", "login", "wrong-range",
    "away:/a.zip?signature=SIGNED-SECRET", "away:http|//127.0.0.1|1/x?signature=SIGNED-SECRET",
    "away:http|//Somebody|TOPSECRET@127.0.0.1|1/x",
]  # fmt: skip


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("way", WAYS)
def test_no_secret_in_outcomes_logs_or_files(
    server: Any, realm: Realm, tmp_path: Path, everything_logged: io.StringIO, account: str, way: str
) -> None:
    url = server.add("/a.zip", b"PK\x03\x04" + bytes(5000), always=way) + "?signature=SIGNED-SECRET"
    session = EarthdataSession(ACCOUNTS[account](), realm)
    limits = Limits(read_s=0.2, connect_s=0.2, attempts=2, first_wait_s=0.001)
    wanted = [Item(url, "a.zip", Expected(kind="zip")), Item(url, "b.bin", Expected(size=5004))]
    outcomes = fetch_files(wanted, tmp_path, session, limits=limits, sleep=lambda s: None)
    for outcome in outcomes:
        assert_hidden(outcome.reason, outcome.path)
    assert_hidden(everything_logged.getvalue(), repr(session), session.__dict__.get("headers"))
    for path in tmp_path.rglob("*"):
        assert_hidden(path.name, path.read_bytes().decode("latin-1"))
    sent = [a.headers.get("Authorization") for a in server.asked]
    assert way.startswith("stall") or any(sent)  # else the test would show nothing


@pytest.mark.parametrize("way", ["status:401", "status:403", "away:http|//127.0.0.1|1/x?code=SIGNED-SECRET"])
def test_no_secret_in_tracebacks(server: Any, realm: Realm, way: str) -> None:
    url = server.add("/list", b"", always=way) + "?signature=SIGNED-SECRET"
    session = EarthdataSession(ACCOUNTS["both"](), realm)
    with pytest.raises(ArchiveError) as caught:
        get_text(session, url)
    assert_hidden(*traceback.format_exception(caught.value))


def test_no_secret_in_the_errors_of_a_search(
    server: Any, realm: Realm, catalogue: requests.Session, everything_logged: io.StringIO,
    records: Callable[[str], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "netrc").write_text(f"machine cmr.earthdata.nasa.gov login Somebody password {PASSWORD.split()[1]}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    for way in ("status:400", "html"):
        server.catalogue_ways = [way]
        with pytest.raises(ArchiveError) as caught:
            search(box(0, 0, 1, 1), "2020-01-01", "2020-02-01", session=catalogue)
        assert_hidden(*traceback.format_exception(caught.value), everything_logged.getvalue())
    assert all("Authorization" not in str(q) for q in server.asked)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_credentials_do_not_show_themselves(account: str) -> None:
    found = ACCOUNTS[account]()
    assert_hidden(repr(found), str(found), f"{found}", [found], {"x": found})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(found, protocol)
    assert "TOPSECRET" in "".join(found.secrets)


def test_a_session_that_is_copied_still_hides_and_limits(realm: Realm) -> None:
    session = copy.copy(EarthdataSession(ACCOUNTS["both"](), realm))
    assert_hidden(repr(session))
    request = requests.Request("GET", "https://example.com").prepare()
    request.headers["Authorization"] = "Bearer x"
    answer = requests.Response()
    answer.url = "https://datapool.asf.alaska.edu/x"
    session.rebuild_auth(request, answer)
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("url", "token", "password"),
    [
        ("https://datapool.asf.alaska.edu/SLC/x.zip", True, False),
        ("https://sentinel1-burst.asf.alaska.edu/x.tiff", True, False),
        ("https://urs.earthdata.nasa.gov/oauth/authorize?x=y", True, True),
        ("http://datapool.asf.alaska.edu/SLC/x.zip", False, False),
        ("http://urs.earthdata.nasa.gov/", False, False),
        ("https://evil-asf.alaska.edu.example.com/", False, False),
        ("https://notasf.alaska.edu/", False, False),
        ("https://evilurs.earthdata.nasa.gov.example.com/", False, False),
        ("https://urs.earthdata.nasa.gov:8443/", False, False),
        ("https://asf-ngap2w-p-s1-slc.s3.us-west-2.amazonaws.com/x", False, False),
        ("https://user@datapool.asf.alaska.edu@example.com/", False, False),
    ],
)
def test_secrets_go_to_their_hosts_only(url: str, token: bool, password: bool) -> None:
    assert (EARTHDATA.authorisation(url, ACCOUNTS["token"]()) is not None) == token
    assert (EARTHDATA.authorisation(url, ACCOUNTS["password"]()) is not None) == password
    assert EARTHDATA.authorisation(url, None) is None


def test_a_way_from_https_to_http_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    session = EarthdataSession(ACCOUNTS["both"]())
    answer = requests.Response()
    answer.url = "https://datapool.asf.alaska.edu/x?signature=SIGNED-SECRET"
    request = requests.Request("GET", "http://datapool.asf.alaska.edu/x?code=SIGNED-SECRET").prepare()
    with pytest.raises(ArchiveError, match="unprotected") as caught:
        session.rebuild_auth(request, answer)
    assert_hidden(caught.value)
    assert "Authorization" not in request.headers
    assert session.verify is True


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("GET https://a.b/c/d?x=SIGNED-SECRET&y=1 failed", "GET https://a.b/c/d failed"),
        ("Max retries: /login?code=SIGNED-SECRET (Caused by", "Max retries: /login (Caused by"),
        ("https://me:TOPSECRET@host/x", "https://host/x"),
        ("Authorization: Bearer TOPSECRET.x-y", "Authorization: Bearer ***"),
        ("'basic VE9QU0VDUkVU=='", "'basic ***'"),
        ("nothing to hide?", "nothing to hide?"),
    ],
)
def test_texts_are_cleaned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_an_address_is_shown_without_its_secrets() -> None:
    assert place("https://me:TOPSECRET@host:8443/a/b?code=SIGNED-SECRET#x") == "https://host:8443/a/b"
    assert_hidden(why(requests.ConnectionError("https://me:TOPSECRET@h/x?code=SIGNED-SECRET")))
    assert_hidden(why(ValueError("https://me:TOPSECRET@h/x?code=SIGNED-SECRET")))


# Finding ---------------------------------------------------------------------------------------


def test_accounts_are_found_in_their_order(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine urs.earthdata.nasa.gov login me password from_netrc\n")
    environment = {"EARTHDATA_TOKEN": "t", "EARTHDATA_USERNAME": "u", "EARTHDATA_PASSWORD": "p", "NETRC": str(netrc)}
    assert find_credentials(environment=environment).token == "t"  # type: ignore[union-attr]
    del environment["EARTHDATA_TOKEN"]
    assert find_credentials(environment=environment).name_and_password == ("u", "p")  # type: ignore[union-attr]
    del environment["EARTHDATA_USERNAME"], environment["EARTHDATA_PASSWORD"]
    found = find_credentials(environment=environment)
    assert found is not None
    assert found.name_and_password == ("me", "from_netrc")
    netrc.write_text("machine example.com login me password x\n")
    assert find_credentials(environment=environment) is None
    assert find_credentials(environment={"NETRC": str(tmp_path / "none")}) is None


def test_the_terminal_is_asked_last_and_does_not_show_the_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "me")
    monkeypatch.setattr(module.getpass, "getpass", lambda prompt: PASSWORD)
    found = find_credentials(prompt=True, environment={"NETRC": str(tmp_path / "none")})
    assert found is not None
    assert found.name_and_password == ("me", PASSWORD)
    assert_hidden(*capsys.readouterr())


def test_half_an_account_and_a_broken_netrc_are_named_without_the_secret(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="EARTHDATA_PASSWORD is not set"):
        find_credentials(environment={"EARTHDATA_USERNAME": "me"})
    with pytest.raises(ArchiveError, match="EARTHDATA_USERNAME is not set") as caught:
        find_credentials(environment={"EARTHDATA_PASSWORD": PASSWORD})
    assert_hidden(*traceback.format_exception(caught.value))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine urs.earthdata.nasa.gov login me password {PASSWORD}\n")  # the blank in it breaks it
    with pytest.raises(ArchiveError, match=re.escape(str(netrc)) + r": line \d cannot be read") as caught:
        find_credentials(environment={}, netrc_file=netrc)
    assert_hidden(*traceback.format_exception(caught.value))


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX-Evil: 1", "\x00"])
def test_line_breaks_in_a_secret_are_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ArchiveError, match="control character") as caught:
        Credentials(token=value + "TOPSECRET")
    assert_hidden(caught.value)
    with pytest.raises(ArchiveError, match="no Earthdata token"):
        Credentials(username="me")


# The command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["token", "password"])
@pytest.mark.parametrize("way", ["status:401", "status:403", "html", "cut:0.3", "status:500", "dry run", "no space"])
def test_no_secret_in_what_commands_say_and_write(
    server: Any, catalogue: requests.Session, records: Callable[[str], list[dict[str, Any]]], tmp_path: Path,
    everything_logged: io.StringIO, monkeypatch: pytest.MonkeyPatch, account: str, way: str,
) -> None:  # fmt: skip
    """`run` and `fetch` with --debug, from the environment's account to tracebacks and everything on the disk."""
    secrets = {"EARTHDATA_TOKEN": TOKEN} if account == "token" else {}
    secrets |= {"EARTHDATA_USERNAME": "Somebody", "EARTHDATA_PASSWORD": PASSWORD} if account == "password" else {}
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    server.records = records("burst_166")[-3:]
    table = records_table(server.records)
    for url in (*table["url"], *table["metadata_url"]):
        server.add(urlsplit(url).path, b"II*\0" + bytes(5000), always=way if ":" in way or way == "html" else "well")

    def login(connections: int) -> requests.Session:
        session = open_session(connections)
        session.mount("https://", ToLoopback(server.url))
        # name and password belong to the login's host alone: here the server is that host as well
        session._realm = Realm(token=EARTHDATA.token, password=("https://.asf.alaska.edu",))  # type: ignore[attr-defined]
        return session

    network = Network(login=login, catalogue=catalogue, limits=Limits(attempts=2, first_wait_s=0.001))
    monkeypatch.setattr(inputs, "open_network", lambda: network)
    if way == "no space":
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    (tmp_path / "mine.geojson").write_text(json.dumps(mapping(box(-135.92, 57.03, -135.90, 57.05))))
    scenes = write_records(table, tmp_path / "scenes.geojson")
    (tmp_path / "x").write_bytes(b"")  # a dry run asks whether the elevation model is there
    run = ("run", tmp_path / "mine.geojson", "--start", "2014-01-01", "--end", "2022-12-31", "--dem", tmp_path / "x",
           "--out", tmp_path / "out", "--temporal-baseline", "12", "--temporal-baseline", "24")  # fmt: skip
    for command in (run, ("fetch", scenes, "--to", tmp_path / "to", "--orbits")):
        dry = ("--dry-run",) if way == "dry run" else ()
        done = CliRunner().invoke(app, [str(a) for a in ("--debug", "--verbose", *command, *dry)])
        assert (done.exit_code == 0) == (way == "dry run"), done.output
        assert_hidden(done.stdout, done.stderr, repr(done.exception))
    assert_hidden(everything_logged.getvalue())
    for path in tmp_path.rglob("*"):
        assert_hidden(path.name, path.read_bytes().decode("latin-1") if path.is_file() else "")
    sent = [a.headers.get("Authorization") for a in server.asked if a.path.endswith((".tiff", ".xml"))]
    assert way in ("dry run", "no space") or all(sent), "else the test would show nothing"
