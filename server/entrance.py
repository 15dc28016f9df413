"""The outermost WSGI middleware: applies headers of trusted proxies, and refuses foreign Host headers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from everslide.server.errors import HTTP_STATUS, HostError, RequestError, error_json
from everslide.server.fast_path import FastPath
from everslide.server.hosts import Hosts
from everslide.server.proxies import TrustedProxies

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Entrance:
    """WSGI middleware around the application. common: headers of every answer. tiles: the `FastPath`, if `app` is
    one."""

    def __init__(
        self, app: WSGIApplication, proxies: TrustedProxies, hosts: Hosts, common: list[tuple[str, str]]
    ) -> None:
        self._app, self._proxies, self.hosts, self._common = app, proxies, hosts, common
        self.tiles = app if isinstance(app, FastPath) else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            forwarded = self._proxies.apply(environ)
            self._check_host(environ, forwarded)
        except RequestError as error:
            return self._refuse(error, start_response)
        return self._app(environ, start_response)

    def _check_host(self, environ: WSGIEnvironment, forwarded: bool) -> None:
        """Without a list, a trusted proxy is trusted to send on only what is meant for Everslide."""
        host = environ.get("HTTP_HOST", "")
        if self.hosts.allows(host) or (forwarded and not self.hosts.listed):
            return
        found = repr(host[:80])
        raise HostError(f"a host in {self.hosts.words}", found, "start the server with --hosts and that name")

    def _refuse(self, error: RequestError, start_response: StartResponse) -> Iterable[bytes]:
        status = HTTP_STATUS[type(error)]
        body = json.dumps(error_json(status, error.expected, error.found, error.do)).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(
            f"{status} {'Misdirected Request' if status == 421 else 'Bad Request'}",
            [*headers, ("Cache-Control", "no-store"), *self._common],
        )
        return [body]
