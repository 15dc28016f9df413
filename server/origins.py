"""Protection against cross-site requests: pages of the server itself and of listed origins may send requests.

A page of any other origin can make a browser send requests here, with the cookies of its user. Browsers state where a
request comes from (`Sec-Fetch-Site`, `Origin`); other programs do not, and have no user's cookies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from everslide.server.domain_names import ascii_origin
from everslide.server.errors import ForeignError, MediaTypeError

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_FRAME = re.compile(r"https?://(?:(?:\*\.)?[a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])(?::(?:\d{1,5}|\*))?")
_FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""Bodies that a page may send anywhere without asking first; nothing here takes one."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def parse_origins(words: str) -> tuple[str, ...]:
    """ "https://a.example, http://b.example:8080" -> origins in lower case; "*" is any. Raises ValueError."""
    return _parsed(words, _ORIGIN)


def parse_frames(words: str) -> tuple[str, ...]:
    """As `parse_origins`; "https://*.example.org" is any host below, "http://localhost:*" any port."""
    return _parsed(words, _FRAME)


def _parsed(words: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    origins = tuple(ascii_origin(word.strip().lower().rstrip("/")) for word in words.split(",") if word.strip())
    for origin in origins:
        if origin != "*" and not pattern.fullmatch(origin):
            raise ValueError(f"{origin!r}: expected origins such as https://pages.example, or *")
    return origins


@dataclass(frozen=True)
class Asked:
    """The parts of a request that show which page sent it. host: of the server, as the client named it. length: of the
    body in bytes, 1 if unknown."""

    method: str
    host: str
    scheme: str
    headers: Mapping[str, str]
    media_type: str = ""
    length: int = 0

    @property
    def origin(self) -> str | None:
        """Origin of the page that sent it, where the browser states it; "null" for a page without origin or a header
        that is not valid."""
        given = self.headers.get("Origin", self.headers.get("Referer") or None)
        if given is None:
            return None
        try:
            page = urlsplit(given)
        except ValueError:
            return "null"
        return f"{page.scheme}://{page.netloc}".lower() if page.netloc else "null"


class Origins:
    """Decides by origin. named: origins whose pages have the rights of the server's own page; "*": any page may read,
    none may write."""

    def __init__(self, named: tuple[str, ...]) -> None:
        self._named = named

    def check_change(self, asked: Asked) -> None:
        """Call before anything is changed. Raises ForeignError, MediaTypeError."""
        if asked.method in SAFE_METHODS:
            return
        if not self._is_own(asked) and not self._is_named(asked.origin):
            raise _foreign(asked)
        if asked.length and asked.media_type in _FORMS:
            raise MediaTypeError("JSON", asked.media_type, "send it with 'Content-Type: application/json'")

    def check_cost(self, asked: Asked) -> None:
        """Call before a request paints or computes. Raises ForeignError.

        Only `Sec-Fetch-Site` counts here: browsers request pictures without an Origin, and programs that validate IIIF
        services invent one.
        """
        if "*" in self._named or asked.headers.get("Sec-Fetch-Site") != "cross-site":
            return
        opened = asked.headers.get("Sec-Fetch-Mode") == "navigate" and asked.headers.get("Sec-Fetch-Dest") == "document"
        if not opened and not self._is_named(asked.origin):
            raise _foreign(asked)

    @staticmethod
    def _is_own(asked: Asked) -> bool:
        site = asked.headers.get("Sec-Fetch-Site")
        if site is not None:
            return site in ("same-origin", "none")
        if asked.origin is None:  # no browser
            return True
        origin = urlsplit(asked.origin)
        return bool(origin.netloc) and _short(origin.netloc, origin.scheme) == _short(asked.host.lower(), asked.scheme)

    def _is_named(self, origin: str | None) -> bool:
        return origin is not None and origin in self._named


def _short(netloc: str, scheme: str) -> str:
    """Without the scheme's own port: a proxy that ends TLS may not have said which scheme it was."""
    return netloc.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _foreign(asked: Asked) -> ForeignError:
    return ForeignError(
        "a request of Everslide's own page, or of an origin that --cors-origins names",
        f"one of {asked.origin or 'another site'}"[:120],
        "name the origin when starting the server; behind a proxy, see --trusted-proxies",
    )
