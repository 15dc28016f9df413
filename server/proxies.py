"""X-Forwarded headers of trusted proxies: client address, scheme, host and path prefix of the original request."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from everslide.server.errors import MalformedError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")
_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}|\[([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?", re.ASCII)
"""Some proxies name the client's port as well: 203.0.113.9:51234, [2001:db8::7]:51234."""
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")


def parse_networks(words: str) -> tuple[Network, ...]:
    """ "127.0.0.1, 10.0.0.0/8, ::1" -> networks. Raises ValueError, which says what was expected."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in _listed(words))
    except ValueError as error:
        raise ValueError(f"{error}; expected addresses or networks such as 127.0.0.1, 10.0.0.0/8") from error


class TrustedProxies:
    """Applies the X-Forwarded headers of trusted proxies, and removes those of all others."""

    def __init__(self, words: str) -> None:
        """words: see `parse_networks`."""
        self._networks = parse_networks(words)

    def trusts(self, address: str) -> bool:
        """Whether the peer at this address is a proxy whose headers are believed."""
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)

    def apply(self, environ: WSGIEnvironment) -> bool:
        """Change the request to what its client sent; returns whether a trusted proxy forwarded it.

        Every proxy appends the address it saw to `X-Forwarded-For`. From the right, the first address that is not
        trusted is the client; those left of it may be forged. Of the other headers, the value at the same place from
        the right counts. Raises MalformedError where a header is not valid.
        """
        said = {name: _listed(environ.pop(name, "")) for name in FORWARDED}
        if not self._networks or not self.trusts(environ.get("REMOTE_ADDR", "")):
            return False
        clients, hops = [_without_port(each) for each in said["HTTP_X_FORWARDED_FOR"]], 1
        while hops < len(clients) and self.trusts(clients[-hops]):
            hops += 1
        if clients and _address(clients[-hops]) is not None:
            environ["REMOTE_ADDR"] = clients[-hops]
        scheme, host, prefix = (_counted(said[name], hops) for name in FORWARDED[1:])
        if scheme:
            environ["wsgi.url_scheme"] = _checked("X-Forwarded-Proto", scheme.lower(), re.compile("https?"))
        if host:
            environ["HTTP_HOST"] = _checked("X-Forwarded-Host", host, _HOST)
        if prefix:
            environ["SCRIPT_NAME"] = _checked("X-Forwarded-Prefix", prefix, _PREFIX).rstrip("/")
        return True


def _counted(values: list[str], hops: int) -> str:
    """The value that many places from the right; a proxy that replaces the header leaves fewer."""
    return values[-min(hops, len(values))] if values else ""


def _checked(header: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise MalformedError(f"{header} as a proxy sends it", repr(value[:80]), "correct the proxy's settings")
    return value


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _without_port(text: str) -> str:
    match = _WITH_PORT.fullmatch(text)
    return match[1] or match[2] if match else text


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
