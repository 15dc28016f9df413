"""The Host headers that the server accepts, as a protection against DNS rebinding.

In such an attack a page's own domain name is made to resolve to this machine, so that the page has the same origin as
the server. IP addresses and names outside public domains cannot be abused in this way, and are accepted; public names
must be listed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache

from everslide.server.domain_names import ascii_name

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_-]{1,63})*")
_PORT = re.compile(r":\d{0,5}$")
PRIVATE_DOMAINS = ("local", "localhost", "localdomain", "internal", "intranet", "lan", "home.arpa", "test")
"""Domains that nobody can register: RFC 6761, RFC 6762, RFC 8375, and those that ICANN keeps out of the root."""


def parse_hosts(words: str) -> tuple[str, ...]:
    """ "slides.example.org, *.münchen.example" -> names in lower case and ASCII letters; "*" is any. Raises
    ValueError."""
    names = tuple(ascii_name(word.strip().lower()) for word in words.split(",") if word.strip())
    for name in names:
        if name != "*" and not _NAME.fullmatch(name) and not _is_address(name.strip("[]")):
            raise ValueError(f"{name!r}: expected names without scheme and port, such as slides.example.org")
    return names


class Hosts:
    """Decides which Host headers are accepted.

    words: names that the user listed, see `parse_hosts`. listen: the address that the server listens on; if that is a
    loopback address, names of a local network are refused.
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
        """The accepted names, for messages."""
        return ", ".join(("localhost, addresses", *self.listed))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
