"""Who asks: an Earthdata token, or a name and password, found and never shown.

Nothing here writes a secret anywhere: the object's text hides it, it cannot be pickled,
and it is sent only to the hosts named in :data:`EARTHDATA`.
"""

from __future__ import annotations

import getpass
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from insar_mining.errors import ArchiveError

LOGIN_HOST = "urs.earthdata.nasa.gov"
REMEDY = (
    f"set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD, or put the account into ~/.netrc "
    f"(machine {LOGIN_HOST} login NAME password ...); accounts and tokens: https://{LOGIN_HOST}"
)


class Credentials:
    """Hold an Earthdata account: a token, or a name and a password.

    Parameters
    ----------
    token : str, optional
        User token of Earthdata Login (valid 60 days).
    username, password : str, optional
    """

    __slots__ = ("_password", "_token", "_username")

    def __init__(self, *, token: str | None = None, username: str | None = None, password: str | None = None) -> None:
        if not token and not (username and password):
            raise ArchiveError(f"no Earthdata token, and no name with a password: {REMEDY}")
        for name, value in (("token", token), ("username", username), ("password", password)):
            if value and any(ord(letter) < 32 for letter in value):
                raise ArchiveError(f"the Earthdata {name} holds a line break or control character. Copy it again.")
        self._token, self._username, self._password = token, username, password

    @property
    def token(self) -> str | None:
        """The secret itself."""
        return self._token

    @property
    def name_and_password(self) -> tuple[str, str] | None:
        """The secret itself."""
        return (self._username, self._password) if self._username and self._password else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything that must not be seen."""
        return tuple(s for s in (self._token, self._password) if s)

    def __repr__(self) -> str:
        """Describe what kind of credentials these are."""
        kind = "token" if self._token else "name and password"
        return f"<Earthdata credentials ({kind}, hidden)>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, so that no secret is written or sent to another process."""
        raise TypeError("credentials are not pickled. Find them again where they are needed.")


@dataclass(frozen=True)
class Realm:
    """Hold where credentials may go: origins such as ``https://.asf.alaska.edu`` (with subdomains) or one host's.

    Attributes
    ----------
    token : tuple of str
        Origins that are sent the token.
    password : tuple of str
        Origins that are sent name and password.
    """

    token: tuple[str, ...]
    password: tuple[str, ...]

    def authorisation(self, url: str, credentials: Credentials | None) -> tuple[str, Any] | None:
        """Return ``("token", ...)`` or ``("password", (name, password))`` for an address, or None."""
        if credentials is None:
            return None
        if credentials.token and _belongs(url, self.token):
            return "token", credentials.token
        if credentials.name_and_password and _belongs(url, self.password):
            return "password", credentials.name_and_password
        return None


EARTHDATA = Realm(
    token=("https://.asf.alaska.edu", "https://.earthdata.nasa.gov"),
    password=(f"https://{LOGIN_HOST}",),
)
"""NASA's login, and ASF's hosts that take its tokens."""


def _belongs(url: str, origins: tuple[str, ...]) -> bool:
    asked = urlsplit(url)
    for origin in origins:
        allowed = urlsplit(origin)
        host, wanted = (asked.hostname or ""), (allowed.netloc.rpartition(":")[0] or allowed.netloc)
        same_host = host.endswith(wanted) if wanted.startswith(".") else host == wanted
        port = {"http": 80, "https": 443}
        same_port = (asked.port or port.get(asked.scheme)) == (allowed.port or port.get(allowed.scheme))
        if asked.scheme == allowed.scheme and same_host and same_port:
            return True
    return False


def find_credentials(
    *, prompt: bool = False, environment: Mapping[str, str] | None = None, netrc_file: Path | None = None
) -> Credentials | None:
    """Look for an Earthdata account.

    In this order: ``EARTHDATA_TOKEN``; ``EARTHDATA_USERNAME`` and
    ``EARTHDATA_PASSWORD``; the ``.netrc`` file (``NETRC``, else ``~/.netrc``); a
    question at the terminal.  None if there is none.

    Raises
    ------
    ArchiveError
        The ``.netrc`` file cannot be read, or only half of an account is there.
    """
    said = os.environ if environment is None else environment
    token = said.get("EARTHDATA_TOKEN", "").strip()
    if token:
        return Credentials(token=token.removeprefix("Bearer ").strip())
    username, password = said.get("EARTHDATA_USERNAME"), said.get("EARTHDATA_PASSWORD")
    if username and password:
        return Credentials(username=username, password=password)
    if username or password:
        missing = "EARTHDATA_PASSWORD" if username else "EARTHDATA_USERNAME"
        raise ArchiveError(f"{missing} is not set although its partner is; {REMEDY}")
    found = _from_netrc(netrc_file or Path(said.get("NETRC") or Path.home() / ".netrc"))
    if found is None and prompt:
        username = input("Earthdata user name: ").strip()
        found = Credentials(username=username, password=getpass.getpass("Earthdata password: "))
    return found


def _from_netrc(path: Path) -> Credentials | None:
    if not path.is_file():
        return None
    try:
        entry = netrc.netrc(str(path)).authenticators(LOGIN_HOST)
    except netrc.NetrcParseError as error:
        # the parser's own words quote the word that it stumbled over, which may be the password
        raise ArchiveError(f"{path}: line {error.lineno} cannot be read as .netrc. Mend it or set a token.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path}: cannot be read ({type(error).__name__}). Check its rights.") from None
    if entry is None:
        return None
    login, _, password = entry
    return Credentials(username=login, password=password) if login and password else None
