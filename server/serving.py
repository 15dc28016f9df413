"""Listening with waitress until a signal says stop, and stopping without cutting answers off."""

from __future__ import annotations

import copy
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import waitress
from waitress import wasyncore

from everslide.server.fast_path import FastPath
from everslide.server.tile_channel import TileChannel

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 10.0
"""How long a stopping server waits for answers that are being sent."""
_FLUSH_SECONDS = 0.2
"""After the last answer was handed to waitress: the time it may take to reach the socket."""
_LOOP_SECONDS = 2.0
"""waitress looks at its sockets every second, and ends when there are none."""


class InFlight:
    """WSGI middleware that counts requests being answered."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self.count += 1
        try:
            return self._app(environ, _flushing(environ, start_response))
        finally:
            with self._lock:
                self.count -= 1


def _flushing(environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
    """`start_response` that has streams of events sent at once: of a response that goes on, waitress keeps back what is
    less than 18,000 bytes."""

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
        if channel is not None and any(value.startswith("text/event-stream") for _, value in headers):
            channel.adj = copy.copy(channel.adj)
            channel.adj.send_bytes = 1
        return start_response(status, headers, *error)

    return start


class Server:
    """A server that listens from its constructor on; port 0 takes any free one. Raises OSError when it cannot."""

    def __init__(self, app: WSGIApplication, host: str, port: int, threads: int) -> None:
        self._app = InFlight(app)
        self._sockets: dict[int, Any] = {}
        self._server: Any = waitress.create_server(  # the package has no types
            self._app,
            map=self._sockets,
            host=host,
            port=port,
            threads=threads,
            channel_request_lookahead=1,  # or `waitress.client_disconnected` never says so
            channel_timeout=180,
            ident="everslide",
        )
        fast = getattr(app, "wsgi_app", None)
        if isinstance(fast, FastPath):
            channels = type("Channels", (TileChannel,), {"tiles": fast})
            for listener in self._sockets.values():
                listener.channel_class = channels
        self.host = host
        listening = getattr(self._server, "effective_listen", None)  # a name may stand for several addresses
        self.port = int(listening[0][1] if listening else self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def start(self) -> None:
        """Answer requests, in other threads."""
        self._thread.start()

    def stop(self, refuse: Callable[[], None]) -> None:
        """Stop. refuse: lets requests that wait for something give up; called before waiting for their answers."""
        refuse()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._app.count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(_FLUSH_SECONDS)
        wasyncore.close_all(self._sockets, ignore_all=True)
        self._thread.join(_LOOP_SECONDS)


def wait_for_signal() -> None:
    """Return on SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):  # a wait without a limit would not let the signal in on every platform
        pass
    log.info("stopping")
