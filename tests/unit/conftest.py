"""An archive on the loopback interface that serves what a test gives it, and a random generator per test."""

from __future__ import annotations

import contextlib
import json
import lzma
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from requests.adapters import HTTPAdapter

from insar_mining.download.credentials import Realm
from insar_mining.download.session import EarthdataSession

DATA = Path(__file__).parents[1] / "data"


@dataclass
class Served:
    """One file of the server; every request takes the next way to misbehave, then the server is well."""

    content: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    content_type: str = "application/octet-stream"
    ways: list[str] = field(default_factory=list)
    always: str = "well"
    ranges: bool = True
    login: str | None = None  # Authorization header that must come


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    start: int
    status: int
    sent: int
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    """Serves :class:`Served` files and recorded catalogue answers; bounded to one machine and one test."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.records: list[dict[str, Any]] = []
        self.page_size = 250
        self.catalogue_ways: list[str] = []
        self._asked: list[Asked] = []
        self.answering = 0
        self.connections = 0
        self.queries: list[dict[str, list[str]]] = []
        self.lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.lock:
            self.connections -= 1

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, content: bytes, **how: Any) -> str:
        self.files[path] = Served(content, **how)
        return self.url + path

    def note(self, asked: Asked) -> None:
        with self.lock:
            self._asked.append(asked)

    def note_none(self) -> None:
        """Forget the requests so far."""
        self.asked.clear()

    @property
    def asked(self) -> list[Asked]:
        """Requests so far; a client may have its last byte before the server has noted what it sent."""
        until = time.monotonic() + 30
        while self.answering and time.monotonic() < until:
            time.sleep(0.002)
        return self._asked


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # a client that was killed
            super().handle()

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.answering += 1
        try:
            self.choose_answer()
        finally:
            with self.server.lock:
                self.server.answering -= 1

    def choose_answer(self) -> None:
        path = urlsplit(self.path).path
        served = self.server.files.get(path)
        if served is None:
            return self.answer(404, b"nothing here")
        with self.server.lock:
            way = served.ways.pop(0) if served.ways else served.always
        if served.login is not None and self.headers.get("Authorization") != served.login:
            return self.answer(401, b"login first")
        getattr(self, "way_" + way.split(":")[0].replace("-", "_"))(served, *way.split(":")[1:])
        return None

    # ways to answer ------------------------------------------------------------------------------

    def way_well(self, served: Served, *, announced: int | None = None, send: float = 1.0, block: int = 0) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        same = condition is None or condition in (served.etag, served.modified)
        start = int(match[1]) if match and served.ranges and same else 0
        size = len(served.content)
        if start >= size > 0 and match:
            return self.answer(416, b"", {"Content-Range": f"bytes */{size}"}, start=start)
        rest = served.content[start:]
        headers = {"Content-Type": served.content_type, **self.identity(served)}
        if match and served.ranges and same:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        status = 206 if "Content-Range" in headers else 200
        length = len(rest) if announced is None else announced
        return self.answer(status, rest[: int(len(rest) * send)], headers, length=length, start=start, block=block)

    def identity(self, served: Served) -> dict[str, str]:
        found = {"ETag": served.etag, "Last-Modified": served.modified}
        return {name: value for name, value in found.items() if value}

    def way_cut(self, served: Served, share: str = "0.37") -> None:
        self.way_well(served, send=float(share))
        self.close_connection = True

    def way_slow(self, served: Served, block: str = "2000") -> None:
        self.way_well(served, block=int(block))

    def way_stall(self, served: Served, seconds: str = "2") -> None:
        time.sleep(float(seconds))
        self.close_connection = True

    def way_short(self, served: Served) -> None:
        """Announces and sends less than the file has."""
        half = len(served.content) // 2
        self.answer(200, served.content[:half], {"Content-Type": served.content_type})

    def way_endless(self, served: Served) -> None:
        """Gives no length; the end of the connection is the end of the file."""
        self.send_response(200)
        self.send_header("Content-Type", served.content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(served.content)
        self.server.note(Asked(self.path, 0, 200, len(served.content), dict(self.headers)))
        self.close_connection = True

    def way_status(self, served: Served, status: str, retry_after: str = "") -> None:
        self.answer(int(status), b"no", {"Retry-After": retry_after.replace("|", ":")} if retry_after else {})

    def way_html(self, served: Served) -> None:
        self.answer(200, b"<!DOCTYPE html><html>log in</html>", {"Content-Type": "text/html; charset=utf-8"})

    def way_hidden_html(self, served: Served) -> None:
        self.answer(200, b"<!DOCTYPE html><html>log in</html>", {"Content-Type": served.content_type})

    def way_login(self, served: Served) -> None:
        """Redirects to a login that sets a cookie and leads back; without the cookie there is no file."""
        if "asf-urs=granted" in self.headers.get("Cookie", ""):
            return self.way_well(served)
        place = urlsplit(self.path).path
        self.server.files["/oauth"] = Served(place.encode(), always="grant")
        return self.answer(302, b"", {"Location": f"/oauth?code=SIGNED-SECRET&state={place}"})

    def way_grant(self, served: Served) -> None:
        back = served.content.decode()
        headers = {"Location": f"{back}?signature=SIGNED-SECRET", "Set-Cookie": "asf-urs=granted; Path=/; HttpOnly"}
        self.answer(302, b"", headers)

    def way_away(self, served: Served, place: str) -> None:
        self.answer(302, b"", {"Location": place.replace("|", ":")})

    def way_wrong_range(self, served: Served) -> None:
        """Answers a range with another one."""
        size = len(served.content)
        headers = {"Content-Range": f"bytes 0-{size - 1}/{size}", **self.identity(served)}
        self.answer(206, served.content, headers)

    def way_deaf(self, served: Served) -> None:
        """Ignores If-Range: sends the rest of the new file behind the beginning of the old one."""
        del self.headers["If-Range"]
        self.way_well(served)

    def answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
        start: int = 0,
        block: int = 0,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        sent = 0
        try:
            for first in range(0, len(body), block or max(len(body), 1)):
                piece = body[first : first + (block or len(body))]
                self.wfile.write(piece)
                sent += len(piece)
                if block:
                    self.wfile.flush()
                    time.sleep(0.002)
        finally:
            self.server.note(Asked(self.path, start, status, sent, dict(self.headers)))

    # the catalogue -------------------------------------------------------------------------------

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.server.queries.append(parse_qs(form))
        way = self.server.catalogue_ways.pop(0) if self.server.catalogue_ways else "well"
        if way.startswith("status"):
            return self.answer(int(way.split(":")[1]), b'{"errors": ["no"]}', {"Content-Type": "application/json"})
        if way == "html":
            return self.answer(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
        start = int(self.headers.get("CMR-Search-After") or 0)
        stop = min(start + self.server.page_size, len(self.server.records))
        page = {"hits": len(self.server.records), "took": 1, "items": self.server.records[start:stop]}
        headers = {"Content-Type": "application/json"}
        if stop < len(self.server.records) and way != "ends":
            headers["CMR-Search-After"] = str(stop)
        return self.answer(200, json.dumps(page).encode(), headers)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join(timeout=10)


class ToLoopback(HTTPAdapter):
    """Sends what is meant for the archive's hosts to a server on this machine."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        assert isinstance(parts.path, str)
        request.url = self.url + parts.path + (f"?{parts.query}" if parts.query else "")
        return super().send(request, **{**options, "verify": False})


@pytest.fixture
def catalogue(server: Server) -> requests.Session:
    """A session for which every https host is the server."""
    session = EarthdataSession()
    session.mount("https://", ToLoopback(server.url))
    return session


@pytest.fixture
def realm(server: Server) -> Realm:
    """Credentials may go to the server."""
    return Realm(token=(server.url,), password=(server.url,))


@pytest.fixture(scope="session")
def records() -> Callable[[str], list[dict[str, Any]]]:
    """Recorded granules: ``records("slc_176")``."""

    def load(name: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(lzma.decompress((DATA / "asf" / f"{name}.json.xz").read_bytes()))[
            "items"
        ]
        return items

    return load


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed start, one per test."""
    return np.random.default_rng(20230904)
