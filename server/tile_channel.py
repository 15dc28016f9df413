"""A connection of waitress that answers for tiles in memory at once, in the thread that reads from the sockets.

To hand a request to another thread, and to build a WSGI request for it, costs more than the answer: by
`tests/benchmarks/cached_tiles.py` this class serves 7.5 times the tiles of the usual way, which alone is 1.3 times as
fast as large_image. Whatever is not one whole, plain GET for a tile in memory goes waitress' usual way.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from everslide.server.fast_path import FastPath
from everslide.server.hosts import Hosts

_REQUEST = re.compile(rb"GET (/slides/[!-~]{1,200}?)(?:\?([!-~]{0,100}))? HTTP/1\.1\r\n(.*\r\n)?\r\n", re.DOTALL)
_LONG_WAY = re.compile(
    rb"^(?:if-|origin:|range:|expect:|x-forwarded-host:|content-length:|transfer-encoding:|upgrade:|connection:[^\r]*close)",
    re.IGNORECASE | re.MULTILINE,
)
"""A request with one of these headers needs the usual way."""
_HOST = re.compile(rb"^host:[ \t]*([!-~]*)[ \t]*\r$", re.IGNORECASE | re.MULTILINE)


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Says "100 Continue" only where more is to come. Waitress would say it without a body too, and wait for one."""

    def received(self, data: bytes) -> int:
        """See HTTPRequestParser."""
        count = int(super().received(data))
        if self.completed:
            self.expect_continue = False
        return count


class TileChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """tiles: finds the answers. hosts: the accepted Host headers. Both are set by a subclass, since waitress itself
    makes the channels."""

    parser_class = Parser
    tiles: FastPath
    hosts: Hosts
    missed: tuple[str, str] | None = None
    """Path and query of the latest request for a tile that is not in memory: need not be looked for again."""

    def received(self, data: bytes) -> bool:
        """See HTTPChannel. `data` is what was read from the socket in one go."""
        self.missed = None
        idle = self.request is None and not self.requests and not self.total_outbufs_len
        answer = self._answer(data) if idle and not self.will_close and not self.close_when_flushed else None
        if answer is None:
            return bool(super().received(data))
        with self.outbuf_lock:
            sent, failed = self._flush_exception(lambda do_close: self.send(answer, do_close)) or (0, False)
            if self.connected and not failed and sent < len(answer):
                rest = answer[sent:]
                self.outbufs[-1].append(rest)
                self.current_outbuf_count += len(rest)
                self.total_outbufs_len += len(rest)
        return True

    def _answer(self, data: bytes) -> bytes | None:
        """The bytes of a response."""
        request = _REQUEST.fullmatch(data)
        if request is None or b"\r\n\r\n" in data[:-4]:
            return None
        head = request[3] or b""
        named = _HOST.findall(head)
        if _LONG_WAY.search(head) or len(named) != 1 or not self.hosts.allows(named[0].decode("ascii")):
            return None
        path, query = request[1].decode("ascii"), (request[2] or b"").decode("ascii")
        answer = self.tiles.in_memory(path, query)
        if answer is None:
            self.missed = path, query
            return None
        head, body = answer
        return b"".join((_start(int(time.time())), head, b"Content-Length: %d\r\n\r\n" % len(body), body))


@lru_cache(maxsize=2)
def _start(seconds: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nServer: everslide\r\nDate: {formatdate(seconds, usegmt=True)}\r\n".encode()
