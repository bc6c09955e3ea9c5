"""Sessions that log in where they should, and words for what goes wrong on the network.

No text that leaves this module holds the query of an address (a signature or a login
code may stand there), a header, or a password.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from insar_mining import __version__
from insar_mining.download.credentials import EARTHDATA, REMEDY, Credentials, Realm
from insar_mining.errors import ArchiveError

USER_AGENT = f"insar-mining/{__version__} python-requests/{requests.__version__}"

_QUERY = re.compile(r"((?:https?:/)?/[^\s?'\"<>]*)\?[^\s'\"<>)]*")
_ACCOUNT = re.compile(r"(https?://)[^/\s@]+@")
_HEADER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)


class LoginError(ArchiveError):
    """The archive does not let this account in; trying again is of no use."""


def clean(text: str) -> str:
    """Take queries of addresses, accounts and authorisation headers out of a text."""
    text = _ACCOUNT.sub(r"\1", text)
    return _HEADER.sub(r"\1 ***", _QUERY.sub(r"\1", text))


def place(url: str) -> str:
    """Return an address as it may be shown: without account, query and fragment."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def why(error: BaseException) -> str:
    """Put an error of the network into words that hold nothing secret."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's TLS certificate cannot be verified (REQUESTS_CA_BUNDLE names other certificates)"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses the connection (see HTTPS_PROXY)"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return "the server leads in circles (too many redirects)"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut off"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "the answer is no JSON"
    return f"{type(error).__name__}: {clean(' '.join(str(error).split()))[:300]}"


def why_refused(status: int, url: str) -> str:
    """Put a refusal into words: what it means, and what to do."""
    where = urlsplit(url).hostname
    if status == 401:
        return f"{where} does not accept the login (401): the token has expired, or name or password is wrong. {REMEDY}"
    return (
        f"{where} refuses access (403): the account has not accepted the licence of the data. Log in at "
        "https://urs.earthdata.nasa.gov, accept ASF's end user licence agreement (Applications, EULAs; approve the "
        "application 'Alaska Satellite Facility Data Access'), and try again"
    )


class EarthdataSession(requests.Session):
    """Send credentials to the hosts of a realm only, whatever redirects state.

    ``.netrc`` is not read by requests behind our back (it would be sent to any host that
    it names); proxies and certificates of the environment are used.
    """

    # what a copy of the session keeps (asf_search makes copies)
    __attrs__ = [*requests.Session.__attrs__, "_credentials", "_realm"]  # noqa: RUF012  (requests' own way)

    def __init__(self, credentials: Credentials | None = None, realm: Realm = EARTHDATA, connections: int = 8) -> None:
        super().__init__()
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Accept-Encoding"] = "identity"  # sizes and ranges are those of the file itself
        self.trust_env = False
        self.proxies.update(urllib.request.getproxies())
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self.max_redirects = 12
        self._credentials, self._realm = credentials, realm
        self.auth = self._authorise
        # attempts are counted where files are fetched
        adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        _keep_queries_out_of_the_log()

    def __repr__(self) -> str:
        """Return a text without credentials."""
        return f"<EarthdataSession, {'with' if self._credentials else 'without'} credentials>"

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Give a redirected request the credentials of its own host, or none."""
        prepared_request.headers.pop("Authorization", None)
        if urlsplit(response.url).scheme == "https" and urlsplit(prepared_request.url or "").scheme != "https":
            raise ArchiveError(f"{place(response.url)}: leads from https to an unprotected address; not followed")
        self._authorise(prepared_request)

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        found = self._realm.authorisation(request.url or "", self._credentials)
        if found is not None:
            kind, secret = found
            if kind == "token":
                request.headers["Authorization"] = f"Bearer {secret}"
            else:
                text = base64.b64encode(":".join(secret).encode()).decode()
                request.headers["Authorization"] = f"Basic {text}"
        return request


def catalogue_session() -> requests.Session:
    """Return a session without credentials that tries a question again when the server is busy."""
    session = EarthdataSession()
    patience = Retry(
        total=5,
        backoff_factor=1.0,
        backoff_jitter=1.0,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,  # a search by POST changes nothing
        raise_on_status=False,
    )
    session.mount("https://", HTTPAdapter(max_retries=patience))
    return session


def get_text(session: requests.Session, url: str, *, timeout_s: float = 60.0) -> tuple[int, str]:
    """Fetch a small text (a listing); return its status and content.

    Raises
    ------
    ArchiveError
        The server cannot be reached.
    LoginError
        It does not let us in.
    """
    try:
        answer = session.get(url, timeout=(20.0, timeout_s))
    except requests.RequestException as error:
        raise ArchiveError(f"{place(url)}: {why(error)}") from None
    if answer.status_code in (401, 403):
        raise LoginError(why_refused(answer.status_code, answer.url))
    return answer.status_code, answer.text


class _WithoutQueries(logging.Filter):
    """Clean what urllib3 writes at debug level: it names every address in full."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = clean(record.getMessage())
        record.args = None
        return True


_FILTER = _WithoutQueries()


def _keep_queries_out_of_the_log() -> None:
    logger: Any = logging.getLogger("urllib3.connectionpool")
    if _FILTER not in logger.filters:
        logger.addFilter(_FILTER)
        logging.getLogger("urllib3.util.retry").addFilter(_FILTER)
