"""Domain names with other than ASCII letters, in the form in which browsers send them: münchen.example is
xn--mnchen-3ya.example."""

from __future__ import annotations

import re

import idna

_NAME_IN_ORIGIN = re.compile(r"([a-z]+://)([^/:\[\]]+)(.*)", re.DOTALL)


def ascii_name(name: str) -> str:
    """A name, with "*." before it or not, in ASCII letters (RFC 5891, as browsers map it: UTS 46); one in ASCII is
    given back as it is. Raises ValueError."""
    if name.isascii():
        return name
    wild, base = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        return wild + idna.encode(base, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{name!r}: expected a domain name: {error}") from error


def ascii_origin(origin: str) -> str:
    """ "https://münchen.example:8443" -> with its name in ASCII letters. Raises ValueError."""
    match = _NAME_IN_ORIGIN.fullmatch(origin)
    return f"{match[1]}{ascii_name(match[2])}{match[3]}" if match else origin
