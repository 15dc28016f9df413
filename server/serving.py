"""The HTTP server (waitress): starting, and stopping without cutting off answers."""

from __future__ import annotations

import copy
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.trigger import trigger

from everslide.server.entrance import Entrance
from everslide.server.fields import MAX_FILE_BYTES
from everslide.server.tile_channel import TileChannel

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_MOST_CONNECTIONS, _OTHER_FILES = 4096, 256
"""Connections that may be open at the same time, idle ones too, of which a browser keeps up to six; and files that the
process needs beside them."""
_DRAIN_SECONDS = 10.0
"""How long a stopping server waits for clients to read their answers."""
_END_SECONDS = 2.0
"""How long a stopping server waits for its worker threads, and then for its main loop."""


def _events_at_once(app: WSGIApplication) -> WSGIApplication:
    """`app` with its streams of events sent as they come: of an answer that goes on, waitress keeps back what is less
    than 18,000 bytes."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
            if channel is not None and any(value.startswith("text/event-stream") for _, value in headers):
                channel.adj = copy.copy(channel.adj)
                channel.adj.send_bytes = 1
            return start_response(status, headers, *error)

        return app(environ, start)

    return answer


def _connection_limit() -> int:
    """How many connections are accepted, with as many files as the process may open; a hundred at least."""
    if sys.platform == "win32":
        return _MOST_CONNECTIONS
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = _MOST_CONNECTIONS if allowed == resource.RLIM_INFINITY else allowed - _OTHER_FILES
    return max(100, min(_MOST_CONNECTIONS, found))


class Server:
    """An HTTP server for `app`. It listens once constructed, and answers after `start`. port: 0 takes any free one.
    Raises OSError where it cannot listen."""

    def __init__(self, app: WSGIApplication, host: str, port: int, threads: int) -> None:
        self._sockets: dict[int, Any] = {}
        self._server: Any = waitress.create_server(  # the package has no types
            _events_at_once(app),
            map=self._sockets,
            host=host,
            port=port,
            threads=threads,
            channel_request_lookahead=1,  # or `waitress.client_disconnected` never says so
            channel_timeout=180,
            connection_limit=_connection_limit(),
            asyncore_use_poll=True,  # `select` knows 1,024 files at most
            max_request_body_size=2 * MAX_FILE_BYTES,  # refused unread; what is a little too large is told in JSON
            clear_untrusted_proxy_headers=False,  # the application reads them, and knows whom to trust
            ident="everslide",
        )
        entrance = getattr(app, "wsgi_app", None)
        if isinstance(entrance, Entrance) and entrance.tiles is not None:
            channels = type("Channels", (TileChannel,), {"tiles": entrance.tiles, "hosts": entrance.hosts})
            for listener in self._sockets.values():
                listener.channel_class = channels
        self.host = host.strip("[]")
        listening = getattr(self._server, "effective_listen", None)  # a name may stand for several addresses
        self.port = int(listening[0][1] if listening else self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    @property
    def address(self) -> str:
        """URL of the server, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def in_flight(self) -> int:
        """Connections that wait for an answer, or have not been sent all of it."""
        channels = [each for each in list(self._sockets.values()) if isinstance(each, HTTPChannel)]
        return sum(bool(channel.requests or channel.total_outbufs_len) for channel in channels)

    def start(self) -> None:
        """Answer requests, in other threads."""
        self._thread.start()

    def stop(self, refuse: Callable[[], None]) -> None:
        """Stop. refuse: called first; it must let waiting requests end, so that their answers can be sent."""
        refuse()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self.in_flight and time.monotonic() < deadline:
            time.sleep(0.02)
        # Workers write to the socket that wakes the loop, so they end first; and the loop's thread closes the sockets,
        # since its `select` fails where another thread does.
        self._server.task_dispatcher.shutdown(timeout=_END_SECONDS)
        wake = next(each for each in self._sockets.values() if isinstance(each, trigger))
        wake.pull_trigger(self._close_all)
        self._thread.join(_END_SECONDS)

    def _close_all(self) -> None:
        wasyncore.close_all(self._sockets, ignore_all=True)


def wait_for_signal() -> None:
    """Return on SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):  # a wait without a limit would not let the signal in on every platform
        pass
    log.info("stopping")
