"""Authentication, origin and rate of the current Flask request; the rules are in `guards` and `origins`."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from everslide.server.guards import Guard
from everslide.server.origins import Asked, Origins

COOKIE = "everslide_token"
VIEWER_HEADER = "X-Everslide-Viewer"


class Access:
    """Checks the current Flask request: its token, its origin, and the rate of its client."""

    def __init__(self, token: str | None, rate: float, origins: Origins, framed: bool) -> None:
        """token: None: none is needed. rate: requests a second of one client that may paint or compute. framed: pages
        of other sites may show the viewer in a frame, so its cookie must be allowed there."""
        self._guard = Guard(token, rate)
        self._origins = origins
        self._framed = framed

    def check_change(self) -> None:
        """Call for every request. Raises ForeignError, MediaTypeError where a page of another site sent a change."""
        self._origins.check_change(_asked())

    def admit(self) -> None:
        """Call before a request changes something, paints or computes. Raises ForeignError, DeniedError, RateError."""
        self._origins.check_cost(_asked())
        self._guard.admit(request.remote_addr or "", _given())

    def allowed(self) -> bool:
        """Whether the request carries the token, or none is needed."""
        return self._guard.knows(_given())

    def sign_in(self, token: str, response: BaseResponse) -> None:
        """Set the token as a cookie that scripts cannot read, if it is the right one."""
        if not self._guard.knows(token):
            return
        path, secure = request.script_root + "/", request.is_secure
        if self._framed and secure:  # browsers keep cookies of frames apart, and want TLS for that
            response.set_cookie(COOKIE, token, path=path, httponly=True, samesite="None", secure=True, partitioned=True)
        else:
            response.set_cookie(COOKIE, token, path=path, httponly=True, samesite="Strict", secure=secure)


def _asked() -> Asked:
    length = request.content_length or int("chunked" in request.headers.get("Transfer-Encoding", "").lower())
    return Asked(request.method, request.host, request.scheme, dict(request.headers), request.mimetype, length)


def _given() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else request.cookies.get(COOKIE)


def viewer_name() -> str:
    """The viewer that sent the request: the name that it gives itself in VIEWER_HEADER, else the client's address after
    a line break, a name that nobody can give himself to move another one's view."""
    return request.headers.get(VIEWER_HEADER, "")[:64] or f"\nat {request.remote_addr}"


def client_gone() -> Callable[[], bool]:
    """A function: whether the client has closed the connection. Under servers other than waitress it is always
    False."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return gone


def revalidated(response: Response) -> Response:
    """The response with `Cache-Control: no-cache` and an ETag of its content; 304 where the client has that already."""
    response.headers["Cache-Control"] = "no-cache"
    if response.status_code == 200:
        if not response.direct_passthrough:
            response.add_etag()
        response.make_conditional(request)
    return response
