"""What stands between the page and other sites: their requests are refused, and they cannot frame the page."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

SAFE_HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
POLICY_VIOLATION = 1008  # code of a websocket that is closed


class Guard:
    """Refuse requests and websockets that a page of another site sends, and add `SAFE_HEADERS` to each answer.

    A browser adds the header Origin to each request that another site causes and that it could not make by a link. It
    must name the host that the request is sent to. Programs that are no browsers send no such header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not is_foreign(Headers(scope=scope)):
            await self.app(scope, receive, with_safe_headers(send))
        elif scope["type"] == "http":
            await PlainTextResponse("this page answers no other site", 403, SAFE_HEADERS)(scope, receive, send)
        else:
            await receive()  # the request for a connection
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})


def is_foreign(headers: Headers) -> bool:
    """Whether a page of another site has sent a request.

    >>> is_foreign(Headers({"Origin": "http://evil.example", "Host": "localhost:8712"}))
    True
    """
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


def with_safe_headers(send: Send) -> Send:
    """A function that sends what it is given, with `SAFE_HEADERS` in the head of an answer."""

    async def send_safely(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(SAFE_HEADERS)
        await send(message)

    return send_safely
