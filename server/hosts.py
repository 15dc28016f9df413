"""The names that the server answers to: a page that has its own name point to this machine gets nothing here.

Such a page (DNS rebinding) would be of the same origin as the server. Nobody can have an address or a name without a
public domain point elsewhere, so these are answered to; public names must be listed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_-]{1,63})*")
_PORT = re.compile(r":\d{0,5}$")
PRIVATE_DOMAINS = ("local", "localhost", "localdomain", "internal", "intranet", "lan", "home.arpa", "test")
"""Domains that nobody can register: RFC 6761, RFC 6762, RFC 8375, and those that ICANN keeps out of the root."""


def parse_hosts(words: str) -> tuple[str, ...]:
    """ "slides.example.org, *.example.org" -> names in lower case; "*" is any. Raises ValueError."""
    names = tuple(word.strip().lower() for word in words.split(",") if word.strip())
    for name in names:
        if name != "*" and not _NAME.fullmatch(name) and not _is_address(name.strip("[]")):
            raise ValueError(f"{name!r}: expected names without scheme and port, such as slides.example.org")
    return names


class Hosts:
    """Which Host headers are answered.

    words: names that the user listed, see `parse_hosts`. listen: the address that the server listens on: where that is
    this machine only, names of a local network are not its own.
    """

    def __init__(self, words: str, listen: str) -> None:
        self.listed = parse_hosts(words)
        own = {"localhost", socket.gethostname().lower(), listen.lower().strip("[]")}
        self._names = own | {name for name in self.listed if not name.startswith("*")}
        self._domains = [name[1:] for name in self.listed if name.startswith("*.")] + [".localhost"]
        if listen not in ("127.0.0.1", "::1", "localhost"):
            self._domains += [f".{domain}" for domain in PRIVATE_DOMAINS]
        self.allows = lru_cache(maxsize=1024)(self._allows)

    def _allows(self, host: str) -> bool:
        """host: a Host header, with or without a port."""
        if "*" in self.listed or not host:
            return True
        name = _PORT.sub("", host.strip().lower()).rstrip(".")
        if _is_address(name.strip("[]")) or name in self._names:
            return True
        return _NAME.fullmatch(name) is not None and ("." not in name or name.endswith(tuple(self._domains)))

    @property
    def words(self) -> str:
        """For people: what is answered to."""
        return ", ".join(("localhost, addresses", *self.listed))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
