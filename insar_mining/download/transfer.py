"""One file over HTTP: ranges, retries, waiting, and what a server may do wrong."""

from __future__ import annotations

import datetime as dt
import email.utils
import os
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3

from insar_mining.download.integrity import MAGIC, Expected
from insar_mining.download.session import LoginError, why, why_refused
from insar_mining.errors import OptionError

_BLOCK = 1 << 18
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_PREPARING = 202
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Unavailable(Exception):
    """A file could not be fetched; the text says why."""


@dataclass(frozen=True)
class Limits:
    """Limit how hard a server may be asked.

    Attributes
    ----------
    connections : int
        At the same time, 1 to 16.
    bytes_per_s : float or None
        Over all connections; None is as fast as it comes.
    connect_s, read_s : float
        Longest time without a connection, or without a byte.
    attempts : int
        Attempts in a row that bring no new byte before a file is given up.
    first_wait_s, longest_wait_s : float
        Waiting before the second attempt, doubled every time, with a random half; what
        a server asks for (Retry-After) is kept up to the longest.
    prepare_s : float
        How long a server may prepare a file (202), as ASF's burst extractor does.
    """

    connections: int = 4
    bytes_per_s: float | None = None
    connect_s: float = 20.0
    read_s: float = 60.0
    attempts: int = 7
    first_wait_s: float = 1.0
    longest_wait_s: float = 120.0
    prepare_s: float = 900.0

    def __post_init__(self) -> None:
        """Refuse what no server should be asked."""
        if not 1 <= self.connections <= 16:
            raise OptionError(f"connections is {self.connections}; it must be 1 to 16 (more is impolite)")
        if self.bytes_per_s is not None and not self.bytes_per_s >= 1024:
            raise OptionError(f"bytes_per_s is {self.bytes_per_s}; it must be 1024 or more")


class Throttle:
    """Spread bytes over time, for all threads together."""

    def __init__(self, bytes_per_s: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = bytes_per_s, clock
        self._lock, self._free_at = threading.Lock(), clock()

    def wait_for(self, count: int) -> float:
        """Return how long to wait after `count` bytes, so that the rate is kept."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now


class _Busy(Exception):
    """An attempt brought nothing; another one may."""

    def __init__(self, reason: str, wait_s: float | None = None, *, preparing: bool = False) -> None:
        super().__init__(reason)
        self.wait_s, self.preparing = wait_s, preparing


@dataclass
class Transfer:
    """Fetch the missing bytes of one file."""

    url: str
    expected: Expected
    session: requests.Session
    limits: Limits
    throttle: Throttle
    sleep: Callable[[float], object]
    jitter: random.Random
    stop: threading.Event

    def fill(
        self,
        handle: IO[bytes],
        known: dict[str, Any],
        note: Callable[[dict[str, Any]], None],
        progress: Callable[[int], None],
    ) -> int:
        """Append what is missing; return how many bytes came.

        Parameters
        ----------
        handle : unbuffered binary file
            Holds the first bytes of the file, or none.
        known : dict
            ``etag``, ``modified`` and ``total`` of these bytes' file; empty if none.
        note : callable
            Told the identity of the server's file before its first byte is written.
        progress : callable
            Told the number of bytes that came, negative where bytes are dropped.

        Raises
        ------
        Unavailable
            The server does not deliver.
        LoginError
            It does not let us in.
        """
        self._identity, self._note, self._progress = dict(known), note, progress
        there = os.fstat(handle.fileno()).st_size
        progress(there)
        fruitless, came, waited = 0, 0, 0.0
        while not self._complete(handle):
            if self.stop.is_set():
                raise Unavailable("stopped; the part that came is kept")
            before = came
            try:
                came += self._attempt(handle)
            except _Arrived as arrived:
                came += arrived.count
                problem: _Busy = arrived.problem
            except _Busy as busy:
                problem = busy
            else:
                continue
            if problem.preparing:
                wait = problem.wait_s or 5.0
                waited += wait
                if waited > self.limits.prepare_s:
                    raise Unavailable(f"{problem} for more than {self.limits.prepare_s:.0f} s; try again later")
            else:
                fruitless = 0 if came > before else fruitless + 1
                if fruitless >= self.limits.attempts:
                    raise Unavailable(f"{problem} ({fruitless} attempts in a row brought nothing); try again later")
                wait = self._wait(max(fruitless, 1), problem.wait_s)
            self.sleep(wait)
        return came

    def _complete(self, handle: IO[bytes]) -> bool:
        size = os.fstat(handle.fileno()).st_size
        total = self.expected.size if self.expected.size is not None else self._identity.get("total")
        if total is not None and size > total:
            self._restart(handle)
            return False
        return total is not None and size == total

    def _wait(self, attempt: int, asked_s: float | None) -> float:
        """Wait exponentially longer, half of it at random, but never less than the server asks for."""
        full = min(self.limits.first_wait_s * 2.0 ** (attempt - 1), self.limits.longest_wait_s)
        own = full * (0.5 + 0.5 * self.jitter.random())
        return max(own, min(asked_s or 0.0, self.limits.longest_wait_s))

    def _attempt(self, handle: IO[bytes]) -> int:
        """Ask once; return how many bytes came, raise if they were not all."""
        offset = os.fstat(handle.fileno()).st_size
        if offset and not self._can_tell():
            self._restart(handle)
            offset = 0
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            validator = self._strong_validator()
            if validator:
                headers["If-Range"] = validator
        try:
            answer = self.session.get(
                self.url, headers=headers, stream=True, timeout=(self.limits.connect_s, self.limits.read_s)
            )
        except requests.RequestException as error:
            raise _Busy(why(error)) from None
        with answer:
            self._check_status(answer)
            offset = self._begin(handle, answer, offset)
            return self._receive(handle, answer, offset)

    def _can_tell(self) -> bool:
        """Return whether a change of the server's file would be noticed, so that a part may be completed."""
        known = self._identity.get("etag") or self._identity.get("modified")
        return bool(self._identity) and bool(known or self.expected.md5)

    def _strong_validator(self) -> str | None:
        etag, modified = self._identity.get("etag"), self._identity.get("modified")
        if isinstance(etag, str) and not etag.startswith("W/"):
            return etag
        return str(modified) if modified else None

    def _check_status(self, answer: requests.Response) -> None:
        status = answer.status_code
        if status == 403 and answer.history and not _asks_for_login(answer.url, self.url):
            raise _Busy("the signed address that the archive led to was refused (403)")
        if status in (401, 403):
            raise LoginError(why_refused(status, answer.url))
        if status in (200, 206, 416):
            html = answer.headers.get("Content-Type", "").lower().startswith("text/html")
            if html and status != 416 and self.expected.kind != "any":
                raise _Busy(
                    "a web page came instead of the file: the archive wants a login, an approval of its application, "
                    "or is being maintained (open the address in a browser to see which)"
                )
            return
        wait = _retry_after(answer.headers.get("Retry-After"))
        if status == _PREPARING:
            raise _Busy("the server still prepares the file (202)", wait, preparing=True)
        if status in _BUSY:
            raise _Busy(f"the server is busy ({status})", wait)
        if status in (404, 410):
            raise Unavailable(f"the server has no such file ({status}); search again, it may have been replaced")
        raise Unavailable(f"the server answers {status} {answer.reason}")

    def _begin(self, handle: IO[bytes], answer: requests.Response, offset: int) -> int:
        """Compare the answer with what is there; return where its bytes belong."""
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if answer.status_code == 416:
            total = int(match[3]) if match and match[3] != "*" else None
            if total is not None and total == offset and self.expected.size in (None, total):
                self._identify(answer, total)
                return offset
            self._restart(handle)
            raise _Busy("the server's file has changed; restarting the download")
        if answer.status_code == 206:
            total = int(match[3]) if match and match[3] != "*" else None
            if match is None or match[1] is None or int(match[1]) != offset or self._changed(answer, total):
                self._restart(handle)
                raise _Busy("the server's file has changed, or it sent another range; restarting the download")
            if total is not None and "total" not in self._identity:
                self._identify(answer, total)
            return offset
        if offset:
            self._restart(handle)  # all of it comes: no ranges here, or the file has changed
        length = answer.headers.get("Content-Length", "")
        self._identify(answer, int(length) if length.isdigit() else None)
        return 0

    def _changed(self, answer: requests.Response, total: int | None) -> bool:
        said = {"etag": answer.headers.get("ETag"), "modified": answer.headers.get("Last-Modified"), "total": total}
        return any(self._identity.get(k) and said[k] and self._identity[k] != said[k] for k in said)

    def _identify(self, answer: requests.Response, total: int | None) -> None:
        wanted = self.expected.size
        if wanted is not None and total is not None and total != wanted:
            raise _Busy(f"the server's file has {total:,} bytes, the catalogue says {wanted:,}")
        self._identity = {
            "etag": answer.headers.get("ETag"),
            "modified": answer.headers.get("Last-Modified"),
            "total": total,
        }
        self._note(self._identity)

    def _restart(self, handle: IO[bytes]) -> None:
        self._progress(-os.fstat(handle.fileno()).st_size)
        handle.truncate(0)
        handle.seek(0)
        self._identity = {}

    def _receive(self, handle: IO[bytes], answer: requests.Response, offset: int) -> int:
        if answer.status_code == 416:
            return 0
        came = 0
        total = self._identity.get("total")
        problem = ""
        try:
            # decode_content off: the bytes of the file, whatever the server calls them
            for block in answer.raw.stream(_BLOCK, decode_content=False):
                if offset + came == 0 and not _fits(block, self.expected):
                    raise _Busy("what came does not begin like the file that is wanted")
                if total is not None and offset + came + len(block) > total:
                    self._restart(handle)
                    raise _Busy("more bytes came than were announced; restarting the download")
                handle.write(block)
                came += len(block)
                self._progress(len(block))
                if self.stop.is_set():
                    break
                pause = self.throttle.wait_for(len(block))
                if pause > 0:
                    self.sleep(pause)
        except (urllib3.exceptions.HTTPError, requests.RequestException, ConnectionError, TimeoutError) as error:
            timed_out = isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError)
            problem = "no byte came in time" if timed_out else "the connection was cut off"
        if total is None and not problem and not self.stop.is_set():
            return self._unannounced_end(answer, offset + came, came)
        if problem or (total is not None and offset + came < total):
            raise _Arrived(came, _Busy(problem or "the connection was cut off"))
        return came

    def _unannounced_end(self, answer: requests.Response, size: int, came: int) -> int:
        """Accept the end of an answer without a length as the end of the file; the checks that follow decide."""
        if self.expected.size is not None and size != self.expected.size:
            raise _Arrived(came, _Busy("the connection was cut off"))
        self._identify(answer, size)
        return came


class _Arrived(Exception):
    """Some bytes came before an attempt failed."""

    def __init__(self, count: int, problem: _Busy) -> None:
        super().__init__(str(problem))
        self.count, self.problem = count, problem


def _asks_for_login(url: str, first_url: str) -> bool:
    """Return whether an address is the archive's own, not a signed one of its storage."""
    host = urlsplit(url).hostname or ""
    return host == urlsplit(first_url).hostname or host.endswith((".earthdata.nasa.gov", ".asf.alaska.edu"))


def _fits(block: bytes, expected: Expected) -> bool:
    starts = MAGIC.get(expected.kind)
    return starts is None or block.lstrip().startswith(starts) or block.startswith(starts)


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a server asks to wait; it may give a number or a date."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return max((when - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)
