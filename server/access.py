"""Who a request is from, and whether it may let the server work. Flask's side of `everslide.server.guards`."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from everslide.server.guards import Guard
from everslide.server.origins import Asked, Origins

COOKIE = "everslide_token"
VIEWER_HEADER = "X-Everslide-Viewer"


class Access:
    """Reads tokens and viewers' names from the request at hand."""

    def __init__(self, token: str | None, rate: float, origins: Origins, framed: bool) -> None:
        """framed: pages of other sites show the viewer in a frame, so its cookie must go with it."""
        self._guard = Guard(token, rate)
        self._origins = origins
        self._framed = framed

    def check_change(self) -> None:
        """Call before every request. Raises ForeignError, MediaTypeError where another site may have sent it."""
        self._origins.check_change(_asked())

    def admit(self) -> None:
        """Call before anything that changes or costs. Raises ForeignError, DeniedError, RateError."""
        self._origins.check_cost(_asked())
        self._guard.admit(request.remote_addr or "", _given())

    def allowed(self) -> bool:
        """Whether the request carries the token, or none is needed."""
        return self._guard.knows(_given())

    def sign_in(self, token: str, response: BaseResponse) -> None:
        """Remember the right token in the browser, where scripts cannot read it."""
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
    """Who asks: the name that a viewer gives itself, else the client's address."""
    return request.headers.get(VIEWER_HEADER, "")[:64] or f"at {request.remote_addr}"


def client_gone() -> Callable[[], bool]:
    """How to find out whether the client went away; waitress can tell, other servers never do."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return gone


def revalidated(response: Response) -> Response:
    """To be kept, and asked about every time: with a tag of its content, and 304 where the client has it."""
    response.headers["Cache-Control"] = "no-cache"
    if response.status_code == 200:
        if not response.direct_passthrough:
            response.add_etag()
        response.make_conditional(request)
    return response
